"""Is anything that is locked known to be vulnerable? `python requirements/audit.py [--online] [LOCK …]`

Exit code 0: no; 1: yes, or something is not pinned with a hash. A green audit means something
because a planted old package turns it red (tests/security/test_dependencies.py).
"""

import argparse
import subprocess
import sys
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

HERE = Path(__file__).parent


def read_lock(text: str) -> tuple[dict[str, Version], list[str]]:
    """The packages of a lock, and what is wrong with its lines: each must be `name==version` with hashes."""
    packages: dict[str, Version] = {}
    complaints = []
    for line in text.replace("\\\n", " ").splitlines():
        stated, _, hashes = line.split("#")[0].partition("--hash=")
        if not stated.strip():
            continue
        try:
            requirement = Requirement(stated.strip())
        except InvalidRequirement:
            complaints.append(f"{stated.strip()[:80]}: expected name==version")
            continue
        pins = [pin for pin in requirement.specifier if pin.operator in ("==", "===")]
        if len(pins) != 1 or pins[0].version.endswith("*"):
            complaints.append(f"{requirement.name}: expected one exact version")
            continue
        if not hashes.startswith("sha256:"):
            complaints.append(f"{requirement.name}: expected a sha256 hash")
        name = canonicalize_name(requirement.name)
        if name in packages:
            complaints.append(f"{name}: expected once, locked as {packages[name]} and {pins[0].version}")
        packages[name] = min(packages.get(name, Version(pins[0].version)), Version(pins[0].version))
    return packages, complaints


def known(packages: Mapping[str, Version], found: Mapping[str, Any]) -> list[str]:
    """One line for each package that is older than its advisories allow and was not accepted."""
    complaints = []
    for name, advisory in found["advisories"].items():
        version = packages.get(name)
        if version is None or version >= Version(advisory["fixed"]):
            continue
        accepted = found["accepted"].get(name, {})
        if version == Version(accepted.get("version", "0")):
            continue
        ids = ", ".join(advisory["ids"])
        complaints.append(f"{name} {version}: expected {advisory['fixed']} or later ({ids})")
    return complaints


def stale(packages: Mapping[str, Version], found: Mapping[str, Any]) -> list[str]:
    """One line for each acceptance that no longer fits the lock."""
    return [
        f"{name}: accepted at {entry['version']}, locked is {packages.get(name)}: look at it again"
        for name, entry in found["accepted"].items()
        if packages.get(name) != Version(entry["version"])
    ]


def ask_online(lock: Path, found: Mapping[str, Any]) -> bool:
    """Whether pip-audit's service knows nothing either."""
    ignored = [
        part
        for entry in found["accepted"].values()
        for each in entry["ids"]
        for part in ("--ignore-vuln", each)
    ]
    tool = Path(sys.executable).parent / "pip-audit"
    command = [
        str(tool),
        "--requirement",
        str(lock),
        "--disable-pip",
        "--require-hashes",
        "--strict",
        *ignored,
    ]
    return subprocess.run(command, check=False).returncode == 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Audit locks and say what was found."""
    parser = argparse.ArgumentParser(description="Compare locks with known advisories.")
    parser.add_argument("locks", nargs="*", type=Path, help="all of this folder, if none is named")
    parser.add_argument("--online", action="store_true", help="also ask pip-audit's advisory service")
    options = parser.parse_args(arguments)
    found = tomllib.loads((HERE / "advisories.toml").read_text())
    locks = options.locks or [path for path in sorted(HERE.glob("*.txt")) if path.name != "overrides.txt"]
    is_green = True
    for lock in locks:
        packages, complaints = read_lock(lock.read_text())
        complaints += known(packages, found)
        if lock == HERE / "lock.txt":
            complaints += stale(packages, found)
        for complaint in complaints:
            sys.stdout.write(f"{lock.name}: {complaint}\n")
        sys.stdout.write(f"{lock.name}: {len(packages)} packages, {len(complaints)} complaints\n")
        is_green &= not complaints
        if options.online:
            is_green &= ask_online(lock, found)
    accepted = ", ".join(f"{name} {entry['version']}" for name, entry in found["accepted"].items())
    count = len(found["advisories"])
    sys.stdout.write(
        f"{count} packages with advisories on file; accepted (SECURITY.md): {accepted or 'none'}\n"
    )
    if not options.online:
        sys.stdout.write("no service was asked for newer advisories: `make audit ARGS=--online`\n")
    return 0 if is_green else 1


if __name__ == "__main__":
    sys.exit(main())
