"""The table of folders in docs/ARCHITECTURE.md is true: who imports whom, and how long a module may be."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
OURS = {"odl", "hedge_model", "streaming", "seldon"}
ALLOWED = {
    "odl": {"odl"},
    "odl/cli": OURS,
    "hedge_model": {"hedge_model"},
    "streaming": {"odl", "streaming"},
    "seldon": {"odl", "hedge_model", "streaming", "seldon"},
}
LINES_MAX = 330  # about 300, with room to finish a thought
FUNCTION_LINES_MAX = 70
OFFLINE_ONLY = {"tensorflow", "keras"}

MODULES = sorted(path for folder in OURS for path in (ROOT / folder).rglob("*.py"))


def layer(path: Path) -> str:
    parts = path.relative_to(ROOT).parts
    return "odl/cli" if parts[:2] == ("odl", "cli") else parts[0]


def imported(tree: ast.AST) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute here"
            names.add((node.module or "").split(".")[0])
    return names


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_module_imports_only_what_its_layer_allows(path: Path) -> None:
    used = imported(ast.parse(path.read_text())) & OURS
    assert used <= ALLOWED[layer(path)]


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_only_the_network_imports_keras(path: Path) -> None:
    if not path.stem.startswith(("network", "keras")):
        assert not imported(ast.parse(path.read_text())) & OFFLINE_ONLY


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_modules_and_functions_stay_short(path: Path) -> None:
    source = path.read_text()
    assert source.count("\n") <= LINES_MAX
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = (node.end_lineno or 0) - node.lineno + 1
            assert length <= FUNCTION_LINES_MAX, f"{node.name} has {length} lines"
