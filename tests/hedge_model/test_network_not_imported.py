"""TensorFlow takes seconds to import and hundreds of megabytes, so nothing that serves may pull it in."""

import subprocess
import sys

import pytest

SERVING = (
    "odl",
    "odl.cli",
    "hedge_model",
    "hedge_model.learner",
    "streaming",
    "streaming.consumer",
    "seldon",
    "seldon.server",
)
SHOW = "import importlib, sys; importlib.import_module(sys.argv[1]); print(*sys.modules)"


@pytest.mark.parametrize("module", SERVING)
def test_importing_a_serving_module_imports_neither_tensorflow_nor_keras(module: str) -> None:
    shown = subprocess.run([sys.executable, "-c", SHOW, module], capture_output=True, text=True, check=True)
    loaded = {name.split(".")[0] for name in shown.stdout.split()}
    assert module.split(".")[0] in loaded
    assert not loaded & {"tensorflow", "keras"}


def test_the_model_class_for_seldon_core_needs_no_tensorflow() -> None:
    """seldon-core itself imports TensorFlow wherever it finds it; serving images leave it out."""
    absent = (
        "import sys; sys.modules.update(tensorflow=None, keras=None); import seldon.model; print('ready')"
    )
    shown = subprocess.run([sys.executable, "-c", absent], capture_output=True, text=True)
    assert shown.stdout == "ready\n", shown.stderr
