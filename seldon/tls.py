"""TLS of a server: its certificate, and whose certificates it asks of clients.

With `client_ca` only clients whose certificate that authority signed get a connection (mutual TLS). The HTTP
server does not tell which certificate a request came with: a certificate opens the listener, what may be done
there is for tokens to say, and without tokens it is everything.
"""

import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from odl.errors import Misconfigured


@dataclass(frozen=True, slots=True)
class Tls:
    """Files in PEM; the key is PKCS#8 without a password."""

    certificate: Path  # the server's, with what leads to its authority
    key: Path  # of the certificate
    client_ca: Path | None = (
        None  # clients must have a certificate of this authority; None: any client may come
    )

    def __post_init__(self) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        try:
            context.load_cert_chain(self.certificate, self.key, password=_no_password)
            if self.client_ca is not None:
                context.load_verify_locations(self.client_ca)
        except (OSError, ValueError) as error:  # ssl.SSLError is an OSError; its text names no secrets
            files = ", ".join(str(path) for path in (self.certificate, self.key, self.client_ca) if path)
            raise Misconfigured(
                f"expected a certificate, its key and an authority in PEM, received {files}: {error}"
            ) from error

    def granian_options(self) -> dict[str, Any]:
        """The same as granian's settings; TLS 1.2 and 1.3."""
        from granian.constants import SSLProtocols

        return {
            "ssl_cert": self.certificate,
            "ssl_key": self.key,
            "ssl_protocol_min": SSLProtocols.tls12,
            "ssl_ca": self.client_ca,
            "ssl_client_verify": self.client_ca is not None,
        }


def tls_of(certificate: str | None, key: str | None, client_ca: str | None) -> Tls | None:
    """The TLS of three settings, None for plain HTTP. Raises `Misconfigured` when they are incomplete."""
    if not (certificate or key or client_ca):
        return None
    if not (certificate and key):
        raise Misconfigured(
            "expected a certificate and its key for TLS: pass both `--tls-cert FILE` and `--tls-key FILE`, "
            "or set ODL_TLS_CERT and ODL_TLS_KEY"
        )
    return Tls(Path(certificate), Path(key), Path(client_ca) if client_ca else None)


def _no_password() -> str:
    raise ValueError("the key has a password: store it without one, readable by the server alone")
