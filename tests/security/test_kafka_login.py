"""Kafka's TLS and SASL: settings come from one file, and open a real broker that wants both."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import apache_kafka
import httpx
import pytest
from certificates import Certificate
from cryptography.hazmat.primitives import serialization
from secured_replica import MODEL, feedback, running

from odl.errors import Misconfigured, Unavailable
from streaming.connection import check_broker, client_options, load_options, options_of

pytestmark = pytest.mark.xdist_group("apache kafka")  # so that its servers start once
USER, SECRET = "odl", "k4fka-s3cret"
REACHED_S_MAX = 120.0
LISTENER = """
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller},SASL_SSL://127.0.0.1:{guarded}
advertised.listeners=PLAINTEXT://127.0.0.1:{port},SASL_SSL://127.0.0.1:{guarded}
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SASL_SSL:SASL_SSL
sasl.enabled.mechanisms=PLAIN
listener.name.sasl_ssl.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule \\
  required user_{user}="{secret}";
ssl.keystore.type=PEM
ssl.keystore.location={keystore}
ssl.truststore.type=PEM
ssl.truststore.location={truststore}
listener.name.sasl_ssl.ssl.client.auth=required
"""


@dataclass(frozen=True)
class Guarded:
    """A broker that asks for a certificate and a login."""

    bootstrap: str
    options: Path  # settings that it accepts


def options_text(certificate: Certificate, secret: str) -> str:
    return f"""# as librdkafka names them
security.protocol=SASL_SSL
sasl.mechanisms=PLAIN
sasl.username={USER}
sasl.password={secret}
ssl.ca.location={certificate.ca}
ssl.certificate.location={certificate.cert}
ssl.key.location={certificate.key}
"""


@pytest.fixture(scope="module")
def guarded(
    localhost: Certificate, visitor: Certificate, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Guarded]:
    if apache_kafka.missing():
        pytest.skip(apache_kafka.missing())
    folder = tmp_path_factory.mktemp("kafka")
    key = serialization.load_pem_private_key(localhost.key.read_bytes(), None)
    pkcs8 = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (folder / "keystore.pem").write_bytes(pkcs8 + localhost.cert.read_bytes())
    (folder / "options").write_text(options_text(visitor, SECRET))
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = int(probe.getsockname()[1])
    own = {"guarded": port, "user": USER, "secret": SECRET, "keystore": folder / "keystore.pem"}
    listener = LISTENER.replace("{port}", "PORT").replace("{controller}", "CONTROLLER_PORT")
    listener = listener.format(**own, truststore=localhost.ca)
    listener = listener.replace("CONTROLLER_PORT", "{controller}").replace("PORT", "{port}")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(apache_kafka, "SETTINGS", apache_kafka.SETTINGS + listener)
        broker = apache_kafka.ApacheKafka(folder / "broker")
    with broker:
        broker.create_topic("guarded-feedback", 1)
        broker.create_topic("guarded-feedback-dead-letters", 1)
        yield Guarded(f"127.0.0.1:{port}", folder / "options")


def test_feedback_goes_through_a_broker_that_wants_a_certificate_and_a_login(
    guarded: Guarded, tmp_path: Path, valkey_url: str
) -> None:
    (tmp_path / "model.toml").write_text(f'name = "guarded"\n{MODEL}')
    environment = {
        "ODL_MODEL": str(tmp_path / "model.toml"),
        "ODL_REDIS": valkey_url,
        "ODL_KAFKA": guarded.bootstrap,
        "ODL_KAFKA_OPTIONS": str(guarded.options),
    }
    consume = subprocess.Popen(
        [sys.executable, "-m", "odl", "consume"],
        env=os.environ | environment,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        with running([], environment) as server:
            receipt = httpx.post(f"{server.url}/send-feedback", json=feedback("p-1"), timeout=30).json()
            assert receipt["meta"]["tags"]["durability"] == "durable"
            deadline = time.monotonic() + REACHED_S_MAX
            while httpx.get(f"{server.url}/status", timeout=30).json()["version"] < 1:
                assert time.monotonic() < deadline and consume.poll() is None
                time.sleep(0.1)
    finally:
        consume.send_signal(signal.SIGTERM)
        told = consume.communicate(timeout=60)[1]
    assert SECRET not in told + "".join(server.printed) + json.dumps(receipt)


def test_a_wrong_login_a_strange_certificate_and_none_are_refused(
    guarded: Guarded, visitor: Certificate, stranger: Certificate, tmp_path: Path
) -> None:
    for name, text in (
        ("password", options_text(visitor, "wrong-s3cret")),
        ("certificate", options_text(stranger, SECRET)),
        ("none", ""),
    ):
        (tmp_path / name).write_text(text)
        with pytest.raises((Misconfigured, Unavailable)) as caught:
            check_broker(guarded.bootstrap, timeout_s=3.0, options=load_options(tmp_path / name))
        assert "s3cret" not in str(caught.value)
    assert check_broker(guarded.bootstrap, options=load_options(guarded.options), timeout_s=60.0)


def test_settings_reach_librdkafka_and_win_over_ours(tmp_path: Path, visitor: Certificate) -> None:
    """It refuses a file that is not there, which it can only know from us."""
    path = tmp_path / "options"
    path.write_text(f" # comment\n\n{options_text(visitor, 'a=b')}client.id=shop\n")
    options = options_of({"ODL_KAFKA_OPTIONS": str(path)})
    assert options["sasl.password"] == "a=b" and options_of({}) == {}
    assert client_options("127.0.0.1:1", options)["client.id"] == "shop"
    with pytest.raises(Misconfigured, match="Kafka settings were refused"):
        check_broker("127.0.0.1:1", options={**options, "ssl.ca.location": str(tmp_path / "none")})


@pytest.mark.parametrize(
    ("line", "hint"),
    [
        ("sasl.password s3cret", "line 1: expected name=value"),
        ("auto.offset.reset=earliest", "line 1: expected a setting that begins with"),
        ("acks=0", "received acks"),
        ("enable.idempotence=false", "received enable.idempotence"),
        ("bootstrap.servers=x", "received bootstrap.servers"),
    ],
)
def test_settings_that_decide_what_is_kept_are_refused_and_values_are_not_shown(
    line: str, hint: str, tmp_path: Path
) -> None:
    path = tmp_path / "options"
    path.write_text(line)
    with pytest.raises(Misconfigured, match=hint) as caught:
        load_options(path)
    assert "s3cret" not in str(caught.value)
    with pytest.raises(Misconfigured, match="cannot be read"):
        load_options(tmp_path / "none")
