"""Secrets come from files and the environment, and are nowhere to be read afterwards."""

import json
import subprocess
import sys
from pathlib import Path

import httpx
from secured_replica import X, feedback, running

from odl.embedded_redis import EmbeddedRedis
from odl.redis_connection import connect
from seldon.access import token_digest
from streaming.embedded_broker import BrokerProcess

REDIS_SECRET, TOKEN, KAFKA_SECRET = "r3dis/s3cret", "t0ken-s3cret", "k4fka-s3cret"
SPELLINGS = (REDIS_SECRET, "r3dis%2Fs3cret", TOKEN, token_digest(TOKEN), KAFKA_SECRET)


def test_no_secret_is_printed_answered_or_listed(model_file: Path, tmp_path: Path) -> None:
    """A replica with a password, a token and a Kafka login, asked everything, with its servers taken away."""
    (tmp_path / "password").write_text(REDIS_SECRET)
    (tmp_path / "tokens").write_text(f"predict,feedback {token_digest(TOKEN)} shop\n")
    (tmp_path / "kafka").write_text(
        f"security.protocol=plaintext\nsasl.username=odl\nsasl.password={KAFKA_SECRET}\n"
    )
    seen: list[str] = []
    bearer = {"Authorization": f"Bearer {TOKEN}"}
    with EmbeddedRedis(tmp_path / "redis") as redis, BrokerProcess() as broker:
        admin = connect(redis.url)
        admin.execute_command("ACL", "SETUSER", "odl", "on", f">{REDIS_SECRET}", "~*", "&*", "+@all")
        admin.close()
        environment = {
            "ODL_REDIS": redis.url,
            "ODL_REDIS_USER": "odl",
            "ODL_REDIS_PASSWORD_FILE": str(tmp_path / "password"),
            "ODL_TOKENS": str(tmp_path / "tokens"),
            "ODL_KAFKA": broker.bootstrap,
            "ODL_KAFKA_OPTIONS": str(tmp_path / "kafka"),
            "ODL_MODEL": str(model_file),
        }
        with running([], environment) as server:
            ask = httpx.Client(base_url=server.url, timeout=30)
            wrong = {"Authorization": f"Bearer {TOKEN}x"}
            for headers in ({}, wrong, bearer):
                seen += [
                    ask.post("/predict", json={"jsonData": X}, headers=headers).text,
                    ask.post("/send-feedback", json=feedback("p-1"), headers=headers).text,
                    ask.post("/predict", content=f'{{"{TOKEN}'.encode()[:3], headers=headers).text,
                ]
            paths = ("/metrics", "/status", "/ready", "/metadata", "/")
            seen += [ask.get(path).text for path in paths]
            status = subprocess.run(
                [sys.executable, "-m", "odl", "status", "--json"],
                env=environment,
                capture_output=True,
                text=True,
                timeout=300,
                check=True,
            )
            assert json.loads(status.stdout)["replicas"]
            seen += [status.stdout, status.stderr]
            seen.append(Path(f"/proc/{server.process.pid}/cmdline").read_text())
            redis.stop()
            broker.close()
            away = ask.post("/predict", json={"jsonData": X}, headers=bearer)
            assert away.status_code == 503
            seen += [away.text, ask.get("/ready").text]
            ask.close()
        seen += server.printed
    everything = "\n".join(seen)
    assert "cannot be reached" in everything and "odl_replica_version" in everything
    for secret in SPELLINGS:
        assert secret not in everything


def test_what_is_refused_at_start_shows_no_secret_either(
    model_file: Path, tmp_path: Path, valkey_url: str
) -> None:
    (tmp_path / "plain").write_text(f"predict {TOKEN} shop\n")
    (tmp_path / "kafka").write_text(f"sasl.password {KAFKA_SECRET}\n")
    base = {"ODL_MODEL": str(model_file), "ODL_REDIS": valkey_url}
    for environment in (
        {"ODL_TOKENS": str(tmp_path / "plain")},
        {"ODL_REDIS_USER": "nobody", "ODL_REDIS_PASSWORD": REDIS_SECRET},
        {"ODL_KAFKA": "127.0.0.1:1", "ODL_KAFKA_OPTIONS": str(tmp_path / "kafka")},
        {"ODL_REDIS": f"redis://:{REDIS_SECRET}@127.0.0.1"},
    ):
        done = subprocess.run(
            [sys.executable, "-m", "odl", "serve", "--port", "0"],
            env=base | environment,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == 2 and done.stderr.count("\n") == 1, done.stderr
        for secret in SPELLINGS:
            assert secret not in done.stdout + done.stderr
