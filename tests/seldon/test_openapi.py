"""The OpenAPI page is true: schemathesis sends what it describes, and what it does not, to a real server."""

import subprocess
import sys
from pathlib import Path

SCHEMATHESIS = str(Path(sys.executable).parent / "schemathesis")
EXAMPLES = "4"  # for each operation and phase; more find nothing new in a run of every commit


def test_schemathesis_finds_nothing(shared_server, tmp_path: Path) -> None:
    # Left out: that whatever fits the schema is accepted. A schema cannot say that names are the model's.
    arguments = [
        *("--max-examples", EXAMPLES, "--seed", "1", "--phases", "examples,coverage,fuzzing"),
        *("--exclude-checks", "positive_data_acceptance", "--no-color"),
    ]
    command = [SCHEMATHESIS, "run", f"{shared_server.url}/openapi.json", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=540, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stdout[-6000:]


def test_its_own_examples_are_accepted(shared_server) -> None:
    page = shared_server.get("/openapi.json").json()
    assert page["openapi"].startswith("3.1")
    tried = 0
    for path, methods in page["paths"].items():
        if "post" in methods:
            example = methods["post"]["requestBody"]["content"]["application/json"]["example"]
            answer = shared_server.post(path, example)
            assert answer.status_code == 200, (path, answer.text)
            tried += 1
    assert tried == 8


def test_every_route_is_on_the_page_and_the_page_loads_nothing_from_elsewhere(shared_server) -> None:
    page = shared_server.get("/openapi.json").json()
    for path, methods in page["paths"].items():
        if set(methods) == {"get"}:
            assert shared_server.get(path).status_code == 200, path
    text = shared_server.get("/docs").text
    assert "openapi.json" in text and "://" not in text
