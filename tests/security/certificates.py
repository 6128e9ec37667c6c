"""A certificate as files."""

from dataclasses import dataclass
from pathlib import Path

import trustme


@dataclass(frozen=True)
class Certificate:
    """PEM files."""

    cert: Path
    key: Path
    ca: Path


def issue(authority: trustme.CA, name: str, folder: Path) -> Certificate:
    """A certificate for `name` by `authority`, written to a new `folder`."""
    folder.mkdir()
    issued = authority.issue_cert(name)
    found = Certificate(folder / "cert.pem", folder / "key.pem", folder / "ca.pem")
    found.cert.write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))
    issued.private_key_pem.write_to_path(found.key)
    authority.cert_pem.write_to_path(found.ca)
    return found
