"""Quality drops, Prometheus sees it, Alertmanager calls the webhook; quality recovers, and it calls again."""

import contextlib
import itertools
import json
import signal
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from monitored import MODEL, MONITORING, eventually, running

ALERT = "OdlQualityBelowBaseline"
BATCH = 100
_batches = itertools.count()


class Webhook:
    """What Alertmanager calls; remembers the last status of each alert."""

    def __init__(self) -> None:
        self.states: dict[str, str] = {}
        told = self.states

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                message = json.loads(self.rfile.read(int(self.headers["content-length"])))
                for alert in message["alerts"]:
                    told[alert["labels"]["alertname"]] = alert["status"]
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/"
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@contextlib.contextmanager
def server(command: list[str], ready: str) -> Iterator[None]:
    """A server until it is ready, and its end."""
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            eventually(lambda: _is_ready(process, ready), f"{command[0]} is ready")
            yield
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()


def _is_ready(process: subprocess.Popen[bytes], url: str) -> bool:
    assert process.poll() is None, "the server ended"
    try:
        return httpx.get(url, timeout=5).status_code == 200
    except httpx.HTTPError:
        return False


def impatient(groups: dict[str, Any]) -> dict[str, Any]:
    """The rules, but a condition need not last before it is told."""
    plain: dict[str, Any] = json.loads(json.dumps(groups))
    for group in plain["groups"]:
        for rule in group["rules"]:
            rule.pop("for", None)
    return plain


@pytest.fixture
def webhook() -> Iterator[Webhook]:
    hook = Webhook()
    yield hook
    hook.close()


@pytest.fixture
def replica(valkey_url: str, tmp_path: Path) -> Iterator[str]:
    path = tmp_path / "model.toml"
    path.write_text(MODEL.format(name="quality"))
    with running(
        ["serve", "--model", str(path), "--redis", valkey_url, "--port", "0"], r" at (http\S+)"
    ) as url:
        yield url


@pytest.fixture
def watched(
    tool: Callable[[str], str], rule_groups: dict[str, Any], webhook: Webhook, replica: str, tmp_path: Path
) -> Iterator[str]:
    """A real Prometheus that scrapes the replica, and a real Alertmanager behind it; where Prometheus is."""
    programs = tool("prometheus"), tool("prometheus-alertmanager")
    at, alerts_at = f"127.0.0.1:{free_port()}", f"127.0.0.1:{free_port()}"
    alertmanager = yaml.safe_load((MONITORING / "alertmanager.yaml").read_text())
    alertmanager["receivers"][0]["webhook_configs"][0]["url"] = webhook.url
    for route in (alertmanager["route"], *alertmanager["route"]["routes"]):
        route |= {"group_wait": "0s", "group_interval": "1s"}
    prometheus = {
        "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
        "rule_files": ["rules.yaml"],
        "scrape_configs": [{"job_name": "odl", "static_configs": [{"targets": [replica.split("//")[1]]}]}],
        "alerting": {"alertmanagers": [{"static_configs": [{"targets": [alerts_at]}]}]},
    }
    files = {"rules.yaml": impatient(rule_groups), "prometheus.yaml": prometheus, "alerts.yaml": alertmanager}
    for name, content in files.items():
        (tmp_path / name).write_text(yaml.safe_dump(content))
    one = [programs[1], f"--config.file={tmp_path}/alerts.yaml", f"--storage.path={tmp_path}/alerts"]
    one += [f"--web.listen-address={alerts_at}", "--cluster.listen-address="]
    two = [programs[0], f"--config.file={tmp_path}/prometheus.yaml", f"--storage.tsdb.path={tmp_path}/data"]
    two += [f"--web.listen-address={at}"]
    with server(one, f"http://{alerts_at}/-/ready"), server(two, f"http://{at}/-/ready"):
        yield f"http://{at}"


def teach(url: str, *, truly: bool) -> None:
    """A batch of events whose label follows from x; or one of lies, each the opposite of what the model says
    just before: no learner predicts those better than chance."""
    rows = [{"x": at * 61 % 100 / 100, "place": "here"} for at in range(BATCH)]
    with httpx.Client(base_url=url, timeout=60) as client:
        if truly:
            enter(client, rows, ["yes" if row["x"] > 0.5 else "no" for row in rows])
            return
        for row in rows:
            said = client.post("/predict", json={"jsonData": row}).raise_for_status().json()["jsonData"]
            enter(client, [row], ["no" if said["yes"] > 0.5 else "yes"])


def enter(client: httpx.Client, rows: list[dict[str, Any]], labels: list[str]) -> None:
    """Feedback of many rows."""
    request = {"jsonData": rows, "meta": {"puid": f"batch-{next(_batches)}"}}
    message = {"request": request, "truth": {"jsonData": labels}}
    client.post("/send-feedback", json=message).raise_for_status()


def test_the_webhook_is_called_when_quality_drops_and_when_it_recovers(
    watched: str, replica: str, webhook: Webhook
) -> None:
    def known() -> Any:
        answer = httpx.get(f"{watched}/api/v1/query", params={"query": 'odl_recent_events{over="window"}'})
        found = answer.json()["data"]["result"]
        return found and float(found[0]["value"][1]) >= 1_000

    for _ in range(12):
        teach(replica, truly=True)
    eventually(known, "Prometheus has scraped a full window")
    assert ALERT not in webhook.states

    def is_told_after(status: str, truly: bool) -> bool:
        if webhook.states.get(ALERT) != status:
            teach(replica, truly=truly)
        return webhook.states.get(ALERT) == status

    eventually(lambda: is_told_after("firing", truly=False), "the webhook heard of bad quality")
    eventually(lambda: is_told_after("resolved", truly=True), "the webhook heard of good quality")
