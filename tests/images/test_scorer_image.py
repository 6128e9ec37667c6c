"""The scorer's image, built and run for real: as nobody, on a read-only file system."""

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from hedge_model import HedgeLearner, ModelSpec
from hedge_model.portable import export
from odl.event import Features

ROOT = Path(__file__).parents[2]
BASE = os.environ.get("ODL_TEST_BASE_IMAGE", "localhost/odl-base:bookworm")
CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")  # a machine behind a proxy has the proxy's there
MINUTES_MAX = 20  # downloads on a busy machine
ROW: Features = {"a": 0.4, "b": -0.2}
# The image's root is bound over itself and made read-only, /tmp is memory, and the process is nobody.
RUN = """
mount --bind {root} {root} && mount -o remount,ro,bind {root} && mount -t tmpfs tmpfs {root}/tmp
exec chroot --userspec=65532:65532 {root} /usr/bin/env -i PATH=/opt/odl/bin:/usr/bin:/bin \
  PYTHONPATH=/opt/app PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 \
  /bin/sh -c 'cd /tmp && exec "$@"' sh {command}
"""

pytestmark = pytest.mark.xdist_group("images")


def missing() -> str:
    """Why images cannot be built here; empty if they can."""
    if os.geteuid() != 0:
        return "building an image without a daemon takes root here"
    wanted = [tool for tool in ("buildah", "mmdebstrap", "unshare") if shutil.which(tool) is None]
    return f"not installed: {', '.join(wanted)}" if wanted else ""


if reason := missing():
    pytest.skip(reason, allow_module_level=True)


def run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=60 * MINUTES_MAX)
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"
    return done.stdout.strip()


@pytest.fixture(scope="module")
def root() -> Iterator[Path]:
    """The file system of a container of the scorer's image."""
    if subprocess.run(["buildah", "inspect", "--type", "image", BASE], capture_output=True).returncode:
        run("k8s/images/base.sh", BASE)
    volume = f"{CERTIFICATES}:{CERTIFICATES}:ro"
    file, image = "k8s/images/scorer.Containerfile", "localhost/odl-scorer-test"
    more = ["--volume", volume] if CERTIFICATES.exists() else []
    run(
        "buildah",
        "bud",
        "--isolation",
        "chroot",
        *more,
        "--build-arg",
        f"BASE={BASE}",
        "-f",
        file,
        "-t",
        image,
        ".",
    )
    container = run("buildah", "from", image)
    try:
        yield Path(run("buildah", "mount", container))
    finally:
        run("buildah", "rm", container)


@pytest.fixture(scope="module")
def learner() -> HedgeLearner:
    learner = HedgeLearner(ModelSpec(task="binary", classes=("no", "yes"), width=16))
    for i in range(300):
        a, b = (i * 37 % 101) / 50 - 1, (i * 53 % 97) / 50 - 1
        learner.learn_one({"a": a, "b": b}, "yes" if a > b else "no")
    return learner


def test_it_answers_as_nobody_on_a_read_only_root(root: Path, learner: HedgeLearner) -> None:
    (root / "model").mkdir(exist_ok=True)
    export(learner, root / "model/model.npz")
    command = "/opt/odl/bin/python -m seldon.scorer /model/model.npz --port 0"
    script = RUN.format(root=root, command=command)
    with subprocess.Popen(
        ["unshare", "--mount", "sh", "-ec", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        line = process.stdout.readline()
        assert "frozen model 'model' of version 300" in line, line + process.stderr.read()
        url = line.split(" at ")[-1].strip()
        answer = httpx.post(f"{url}/predict", json={"jsonData": ROW}, timeout=60).json()
        status = Path(f"/proc/{process.pid}/status").read_text()
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0, process.stderr.read()
    assert answer["jsonData"] == pytest.approx(learner.predict_proba_one(ROW), abs=1e-6)
    assert "Uid:\t65532" in status


def test_it_holds_no_compiler_and_no_tensorflow(root: Path) -> None:
    names = {path.name for path in (root / "opt/odl/lib/python3.11/site-packages").iterdir()}
    assert {"numpy", "granian"} <= names
    assert not names & {"numba", "llvmlite", "tensorflow", "redis", "confluent_kafka", "pip"}
