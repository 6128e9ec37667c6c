#!/usr/bin/env python3
"""What an image holds, as a bill of materials: python3 requirements/bill.py odl-server FOLDER > sbom.json

CycloneDX JSON of the Python packages in FOLDER (site-packages) and of Debian's packages beside them, as they
are installed. The standard library is enough, so that an image can list itself as it is built; the same
packages give the same bytes. Where packages came from is not listed: sites differ in it.
"""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import Distribution, distributions
from typing import Any

LICENCE_CHARS_MAX = 80  # some packages put the whole text there


def python_packages(folder: str) -> Iterator[dict[str, Any]]:
    """The distributions in a folder."""
    for each in distributions(path=[folder]):
        name = re.sub(r"[-_.]+", "-", each.metadata["Name"]).lower()
        yield component(name, each.version, f"pkg:pypi/{name}@{each.version}", licence(each))


def licence(package: Distribution) -> str:
    """What a package says of its licence, empty if that is nothing short."""
    said = package.metadata["License-Expression"] or package.metadata["License"] or ""
    return said if len(said) <= LICENCE_CHARS_MAX and "\n" not in said else ""


def debian_packages() -> Iterator[dict[str, Any]]:
    """What dpkg knows; nothing where there is no dpkg."""
    command = ["dpkg-query", "--show", "--showformat", "${Package} ${Version} ${Architecture}\n"]
    try:
        lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    except FileNotFoundError:
        return
    for line in lines:
        name, version, architecture = line.split()
        yield component(name, version, f"pkg:deb/debian/{name}@{version}?arch={architecture}", "")


def component(name: str, version: str, purl: str, said: str) -> dict[str, Any]:
    """One entry of the bill."""
    found = {"type": "library", "bom-ref": purl, "name": name, "version": version, "purl": purl}
    return found | ({"licenses": [{"license": {"name": said}}]} if said else {})


def bill(image: str, folder: str) -> dict[str, Any]:
    """The bill of materials of an image."""
    components = [*python_packages(folder), *debian_packages()]
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {"component": {"type": "container", "bom-ref": image, "name": image}},
        "components": sorted(components, key=lambda each: str(each["purl"])),
    }


if __name__ == "__main__":
    json.dump(bill(*sys.argv[1:3]), sys.stdout, indent=1)
