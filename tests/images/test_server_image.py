"""The server's image, built and run for real: a replica on a real Redis, as nobody, on a read-only root."""

import signal
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from image import Container, container, missing

MODEL = """
name = "{name}"
[model]
task = "binary"
classes = ["no", "yes"]
[log]
require_fsync_always = false
retain = 1_000_000
archive = "s3://nobody-asks-it-before-there-is-something-to-trim/flights"
"""
EVENTS = 20

pytestmark = pytest.mark.xdist_group("images")
if reason := missing():
    pytest.skip(reason, allow_module_level=True)


@pytest.fixture(scope="module")
def server() -> Iterator[Container]:
    with container("server") as opened:
        yield opened


def test_a_replica_learns_and_answers_as_nobody_on_a_read_only_root(
    server: Container, valkey_url: str, model_name: str
) -> None:
    (server.root / "etc/odl").mkdir(exist_ok=True)
    (server.root / "etc/odl/model.toml").write_text(MODEL.format(name=model_name))
    settings = {"ODL_MODEL": "/etc/odl/model.toml", "ODL_REDIS": valkey_url, "NUMBA_DEBUG_CACHE": "1"}
    with server.running("serve", "--port", "0", **settings) as process:
        assert process.stdout is not None
        cached = []
        for line in process.stdout:  # of numba first, then where it serves
            if " at http" in line:
                break
            cached.append(line)
        else:
            pytest.fail("it ended before it served")
        url = line.split(" at ")[-1].strip()
        for i in range(EVENTS):
            feedback = {
                "request": {"meta": {"puid": f"event-{i}"}, "jsonData": {"a": i % 5 - 2}},
                "truth": {"strData": "yes" if i % 5 > 2 else "no"},
            }
            answer = httpx.post(f"{url}/api/v1.0/feedback", json=feedback, timeout=60)
            assert answer.status_code == 200, answer.text
        answer = httpx.post(f"{url}/api/v1.0/predictions", json={"jsonData": {"a": 2}}, timeout=60).json()
        version = httpx.get(f"{url}/status", timeout=60).json()["version"]
        status = Path(f"/proc/{process.pid}/status").read_text()
        process.send_signal(signal.SIGTERM)
        cached += process.stdout.readlines()
        assert process.wait(60) == 0
    assert version == EVENTS
    assert answer["jsonData"]["yes"] > 0.3
    assert "Uid:\t65532" in status
    # The kernel came out of the image; nothing was compiled that would have been saved.
    assert any("data loaded from" in line for line in cached)
    assert not [line for line in cached if "data saved to" in line or "index saved to" in line]


def test_its_kernel_is_compiled_for_the_same_processor_wherever_it_was_built(server: Container) -> None:
    ask = """
from numba.core.registry import cpu_target
_, *processor = cpu_target.target_context.codegen().magic_tuple()
print(*processor)
"""
    assert server.output(ask, entrypoint=["/opt/odl/bin/python", "-c"]) == "x86-64-v2"


def test_it_holds_no_tensorflow_and_no_installer(server: Container) -> None:
    names = {path.name for path in (server.root / "opt/odl/lib/python3.11/site-packages").iterdir()}
    assert {"numpy", "numba", "granian", "redis", "confluent_kafka"} <= names
    assert not names & {"tensorflow", "keras", "pip", "setuptools"}


def test_it_says_what_it_is_and_is_nobody(server: Container) -> None:
    server.check_identity("server")


def test_its_bill_of_materials_lists_what_is_in_it(server: Container) -> None:
    server.check_sbom("server")
