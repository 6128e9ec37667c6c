"""HTTPS, and clients that must show a certificate, with certificates made here."""

import ssl
from pathlib import Path

import httpx
import pytest
from certificates import Certificate
from secured_replica import X, running

from odl.cli import main
from odl.errors import Misconfigured
from seldon.tls import Tls, tls_of


def trusting(certificate: Certificate, own: Certificate | None = None) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(certificate.ca))
    if own is not None:
        context.load_cert_chain(own.cert, own.key)
    return context


def test_a_replica_answers_by_https_and_only_whom_it_knows(
    model_file: Path, valkey_url: str, localhost: Certificate, visitor: Certificate, stranger: Certificate
) -> None:
    environment = {
        "ODL_TLS_CERT": str(localhost.cert),
        "ODL_TLS_KEY": str(localhost.key),
        "ODL_TLS_CLIENT_CA": str(localhost.ca),
    }
    with running(["--model", str(model_file), "--redis", valkey_url], environment) as server:
        assert server.url.startswith("https://")
        known = trusting(localhost, visitor)
        answer = httpx.post(f"{server.url}/predict", json={"jsonData": X}, verify=known, timeout=30)
        assert answer.status_code == 200
        for context in (trusting(localhost), trusting(localhost, stranger), trusting(stranger, visitor)):
            with pytest.raises(httpx.TransportError):
                httpx.post(f"{server.url}/predict", json={"jsonData": X}, verify=context, timeout=30)
        with pytest.raises(httpx.TransportError):
            httpx.get(server.url.replace("https", "http") + "/live", timeout=30)
        old = trusting(localhost, visitor)
        old.minimum_version = old.maximum_version = ssl.TLSVersion.TLSv1_2
        assert httpx.get(f"{server.url}/live", verify=old, timeout=30).status_code == 200
        assert httpx.get(f"{server.url}/live", verify=known, timeout=30).status_code == 200


def test_settings_that_do_not_fit_are_refused(
    localhost: Certificate, visitor: Certificate, tmp_path: Path
) -> None:
    assert tls_of(None, "", None) is None
    for files in ((str(localhost.cert), None, None), (None, None, str(localhost.ca))):
        with pytest.raises(Misconfigured, match="--tls-cert FILE"):
            tls_of(*files)
    with pytest.raises(Misconfigured, match="in PEM, received"):
        Tls(localhost.cert, visitor.key)  # of another certificate
    with pytest.raises(Misconfigured, match="in PEM, received"):
        Tls(tmp_path / "none", localhost.key)
    (tmp_path / "empty").write_text("")
    with pytest.raises(Misconfigured, match="in PEM, received"):
        Tls(localhost.cert, localhost.key, tmp_path / "empty")


def test_seldon_core_cannot_have_a_certificate_and_says_so(
    model_file: Path, localhost: Certificate, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [
        "--model",
        str(model_file),
        "--redis",
        "redis://127.0.0.1:1",
        "--tls-cert",
        str(localhost.cert),
    ]
    assert main(["serve", "--server", "seldon", *arguments]) == 2
    assert "plain HTTP only" in capsys.readouterr().err
