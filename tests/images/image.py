"""Images built by buildah, and containers of them without a daemon: as nobody, on a read-only file system."""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

ROOT = Path(__file__).parents[2]
OWN_BASE = "localhost/odl-base:bookworm"  # made from Debian's packages; any other is pulled
BASE = os.environ.get("ODL_TEST_BASE_IMAGE", OWN_BASE)
CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")  # a machine behind a proxy has the proxy's there
TRIMMED = {"libclang", "setuptools"}  # locked, and taken out again by requirements/trim.sh
MINUTES_MAX = 20  # downloads on a busy machine
# The image's root is bound over itself and made read-only, /tmp is memory, /proc is there as in any
# container, and the process is nobody.
_RUN = """
mount --bind "$0" "$0" && mount -o remount,ro,bind "$0" && mount -t tmpfs tmpfs "$0/tmp"
mount --bind /proc "$0/proc"
exec setpriv --no-new-privs chroot --userspec=65532:65532 "$0" /usr/bin/env -i --chdir=/tmp "$@"
"""


def missing() -> str:
    """Why images cannot be built here; empty if they can."""
    if os.geteuid() != 0:
        return "building an image without a daemon takes root here"
    tools = ["buildah", "unshare", "setpriv", *(["mmdebstrap"] if BASE == OWN_BASE else [])]
    wanted = [tool for tool in tools if shutil.which(tool) is None]
    return f"not installed: {', '.join(wanted)}" if wanted else ""


def run(*command: str) -> str:
    """What a command that has to succeed prints."""
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=60 * MINUTES_MAX)
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"
    return done.stdout.strip()


@dataclass(frozen=True)
class Container:
    """The file system of an image, and how the image says that it is run."""

    root: Path
    config: dict[str, Any]  # OCI: Entrypoint, Cmd, Env, User, Labels
    size_bytes: int

    def command(self, *arguments: str, entrypoint: list[str] | None = None, **more: str) -> list[str]:
        """What runs a process of the image with its environment (and `more`), in this machine's network."""
        environment = [*self.config["Env"], *(f"{name}={value}" for name, value in more.items())]
        command = [*(entrypoint or self.config["Entrypoint"]), *arguments]
        return ["unshare", "--mount", "sh", "-ec", _RUN, str(self.root), *environment, *command]

    @contextmanager
    def running(self, *arguments: str, **more: str) -> Iterator[subprocess.Popen[str]]:
        """A process of the image; ended whatever happens. What it logs goes where the test's own does."""
        command = self.command(*arguments, **more)
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            try:
                yield process
            finally:
                process.kill()

    def output(self, *arguments: str, entrypoint: list[str] | None = None, **more: str) -> str:
        """What a process of the image that has to succeed prints."""
        return run(*self.command(*arguments, entrypoint=entrypoint, **more))

    def check_identity(self, name: str) -> None:
        """It says what it is, runs as nobody, and nobody may write to what is ours in it."""
        assert self.config["Labels"]["org.opencontainers.image.title"] == f"odl {name}"
        assert self.config["User"] == "65532:65532"
        found = self.output(
            "/opt",
            "-xdev",
            "!",
            "-type",
            "l",
            "(",
            "-uid",
            "65532",
            "-o",
            "-perm",
            "-2",
            ")",
            entrypoint=["/usr/bin/find"],
        )
        assert found == "", f"nobody may write {found[:500]}"

    def check_sbom(self, name: str) -> None:
        """The bill of materials in it is valid, names no host, and lists what is locked and installed."""
        text = (self.root / "opt/odl/sbom.json").read_text()
        assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
        assert "://" not in text
        listed = {each["purl"] for each in json.loads(text)["components"]}
        lock = (ROOT / f"requirements/{name}.txt").read_text()
        locked = set(re.findall(r"^([a-z0-9._-]+==[^ ]+)", lock, re.M))
        python = {purl.removeprefix("pkg:pypi/").replace("@", "==") for purl in listed if "pypi" in purl}
        assert python <= locked
        assert {pin.partition("==")[0] for pin in locked - python} <= TRIMMED
        assert any(purl.startswith("pkg:deb/debian/libc6@") for purl in listed)


@contextmanager
def container(name: str) -> Iterator[Container]:
    """Build an image (what did not change comes from earlier builds' layers) and open it."""
    inspect = ["buildah", "inspect", "--type", "image", BASE]
    if BASE == OWN_BASE and subprocess.run(inspect, capture_output=True).returncode:
        run("k8s/images/base.sh", BASE)
    image = f"localhost/odl-{name}-test"
    shared = ["--volume", f"{CERTIFICATES}:{CERTIFICATES}:ro"] if CERTIFICATES.exists() else []
    run(
        *("buildah", "bud", "--layers", "--isolation", "chroot", *shared, "--build-arg", f"BASE={BASE}"),
        *("--file", f"k8s/images/{name}.Containerfile", "--tag", image, "."),
    )
    [facts] = json.loads(run("buildah", "images", "--json", image))
    config = json.loads(run("buildah", "inspect", "--type", "image", image))["OCIv1"]["config"]
    opened = run("buildah", "from", image)
    try:
        yield Container(Path(run("buildah", "mount", opened)), config, _bytes(facts["size"]))
    finally:
        run("buildah", "rm", opened)


def _bytes(text: str) -> int:
    number, unit = text.split()
    return int(float(number) * {"KB": 1e3, "MB": 1e6, "GB": 1e9}[unit])
