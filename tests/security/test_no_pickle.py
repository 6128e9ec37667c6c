"""Nothing that a serving process reads can run code: no pickle, no Keras file, no eval."""

import ast
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from secured_replica import X, feedback, running

import odl

ROOT = Path(odl.__file__).parent.parent
FOLDERS = ("odl", "hedge_model", "streaming", "seldon")
MODULES = sorted(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py"))
FORBIDDEN_MODULES = {"pickle", "_pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}
FORBIDDEN_CALLS = {"eval", "exec", "compile", "__import__"}
# Numba keeps the machine code that it made of our own sources as a pickle beside them, see SECURITY.md.
COMPILER_CACHE = "numba/core/caching.py"
HOOK = """
import sys

def watch(event, arguments):
    if event == "pickle.find_class":
        found = f"pickle {arguments[0]}.{arguments[1]} by {sys._getframe(1).f_code.co_filename}"
    elif event == "open" and str(arguments[0]).endswith((".keras", ".h5", ".pkl", ".pickle")):
        found = f"open {arguments[0]}"
    else:
        return
    with open(LOG, "a") as file:
        file.write(found + chr(10))

sys.addaudithook(watch)
"""


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_module_pickles_evaluates_or_loads_numpy_objects(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            assert not {alias.name.split(".")[0] for alias in node.names} & FORBIDDEN_MODULES
        elif isinstance(node, ast.ImportFrom):
            assert (node.module or "").split(".")[0] not in FORBIDDEN_MODULES
        elif isinstance(node, ast.Call):
            name = node.func.id if isinstance(node.func, ast.Name) else ""
            assert name not in FORBIDDEN_CALLS
            for keyword in node.keywords:
                if keyword.arg == "allow_pickle":
                    assert isinstance(keyword.value, ast.Constant) and keyword.value.value is False
                if keyword.arg == "safe_mode":
                    assert isinstance(keyword.value, ast.Constant) and keyword.value.value is True


def test_a_running_replica_unpickles_nothing_and_opens_no_keras_file(
    model_file: Path, tmp_path: Path, valkey_url: str
) -> None:
    """Watched by an audit hook of the interpreter: start, learning, snapshots, answers."""
    log = tmp_path / "audit.log"
    log.write_text("")
    (tmp_path / "sitecustomize.py").write_text(HOOK.replace("LOG", repr(str(log))))
    model_file.write_text(f"{model_file.read_text()}\n[serve]\nsnapshot_every = 2\n")
    environment = {"PYTHONPATH": str(tmp_path)}
    with running(["--model", str(model_file), "--redis", valkey_url], environment) as server:
        for number in range(6):
            httpx.post(f"{server.url}/send-feedback", json=feedback(f"p-{number}"), timeout=30)
        answer = httpx.post(f"{server.url}/predict", json={"jsonData": X}, timeout=30)
        assert answer.json()["meta"]["tags"]["version"] == 6
    lines = log.read_text().splitlines()
    assert [line for line in lines if COMPILER_CACHE not in line] == []


def test_the_hook_would_notice(tmp_path: Path) -> None:
    log = tmp_path / "audit.log"
    (tmp_path / "sitecustomize.py").write_text(HOOK.replace("LOG", repr(str(log))))
    (tmp_path / "x.keras").write_text("")
    code = "import pickle, collections; pickle.loads(pickle.dumps(collections.Counter())); open('x.keras')"
    subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code],
        env={"PYTHONPATH": str(tmp_path)},
        cwd=tmp_path,
        check=True,
    )
    found = log.read_text()
    assert "pickle collections.Counter" in found and "open x.keras" in found
