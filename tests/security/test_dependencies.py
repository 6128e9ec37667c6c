"""The audit of the lock is green, and red for a planted old package; the SBOM names what is locked."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
LOCK = ROOT / "requirements" / "lock.txt"
HASH = " --hash=sha256:" + "0" * 64

_spec = importlib.util.spec_from_file_location("audit", ROOT / "requirements" / "audit.py")
assert _spec is not None and _spec.loader is not None
audit = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(audit)


def test_what_is_locked_is_without_known_advisories(capsys: pytest.CaptureFixture[str]) -> None:
    assert audit.main([]) == 0
    told = capsys.readouterr().out
    assert all(f"{lock.name}: " in told for lock in LOCK.parent.glob("*.txt") if lock.name != "overrides.txt")


@pytest.mark.parametrize(
    ("planted", "told"),
    [
        (f"requests==2.5.0{HASH}", "requests 2.5.0: expected 2.32.4 or later"),
        (f"Werkzeug==2.2.2{HASH}", "CVE-2023-25577"),
        (f"keras==3.8.0{HASH}", "CVE-2025-1550"),
        (f"PyYAML==5.3.1 \\\n   {HASH}", "CVE-2020-14343"),
        (f"flask_cors==5.0.1{HASH}", "flask-cors 5.0.1"),
        (f"protobuf==3.19.0{HASH}", "protobuf 3.19.0"),
        ("harmless==1.0", "expected a sha256 hash"),
        (f"harmless>=1.0{HASH}", "expected one exact version"),
        ("https://example.org/x.whl", "expected name==version"),
    ],
)
def test_a_planted_line_turns_it_red(
    planted: str, told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lock = tmp_path / "lock.txt"
    lock.write_text(f"{LOCK.read_text()}\n{planted}\n")
    assert audit.main([str(lock)]) == 1
    assert told in capsys.readouterr().out


def test_what_was_accepted_is_looked_at_again_when_it_changes() -> None:
    found = {"accepted": {"protobuf": {"version": "3.20.3"}}, "advisories": {}}
    assert audit.stale({"protobuf": audit.Version("3.20.3")}, found) == []
    assert audit.stale({"protobuf": audit.Version("5.0")}, found) and audit.stale({}, found)


def test_a_service_that_complains_turns_it_red(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[list[str]] = []

    def run(command: list[str], check: bool) -> subprocess.CompletedProcess[bytes]:
        asked.append(command)
        return subprocess.CompletedProcess(command, len(asked) - 1)

    monkeypatch.setattr(audit.subprocess, "run", run)
    lock = str(LOCK)
    assert audit.main(["--online", lock]) == 0 and audit.main(["--online", lock]) == 1
    assert "--strict" in asked[0] and "CVE-2025-4565" in asked[0]


def test_the_bill_of_materials_names_every_locked_package(tmp_path: Path) -> None:
    target = tmp_path / "sbom.json"
    tool = Path(sys.executable).parent / "cyclonedx-py"
    command = [str(tool), "requirements", str(LOCK), "--output-reproducible", "-o", str(target)]
    subprocess.run(command, check=True, capture_output=True, timeout=300)
    named = {(part["name"].lower(), part["version"]) for part in json.loads(target.read_text())["components"]}
    packages, complaints = audit.read_lock(LOCK.read_text())
    assert complaints == [] and len(packages) > 100
    assert {name for name, _ in named} >= {name for name in packages if "-" not in name}
    assert len(named) == len(packages)
