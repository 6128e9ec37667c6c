"""The golden fold: a small fold whose bits are known. A machine that computes others must stay out."""

import hashlib
import platform

import llvmlite
import numba
import numpy as np

from hedge_model.learner import HedgeLearner
from hedge_model.spec import FieldKind, ModelSpec

GOLDEN = "628c71237976fb36d4188990364dff8d9e7451e2c6200b04d27910a36ac702b3"  # of kernel revision 5
NUMBERS: dict[str, FieldKind] = {name: "number" for name in ("a", "b")}
EVENTS = 300  # so that the window of 250 is full and goes round


class MachineDiffers(RuntimeError):
    """This machine, or what is installed on it, computes other bits than the ones everybody agreed on."""


def assert_golden(expected: str = GOLDEN) -> None:
    """Raise `MachineDiffers` unless the golden fold gives the expected digest here."""
    found = golden_digest()
    if found != expected:
        llvm = ".".join(map(str, llvmlite.binding.llvm_version_info))
        raise MachineDiffers(
            f"the golden fold gives {found[:16]} instead of {expected[:16]} on this machine "
            f"({platform.machine()}, numba {numba.__version__}, LLVM {llvm}): its replica would not agree "
            "with the others; install the locked versions on x86-64"
        )


def golden_digest() -> str:
    """SHA-256 over the predictions and the final weights of small folds of every kind, some of the default
    width, for which code is made apart."""
    digest = hashlib.sha256()
    for spec in (
        ModelSpec(hidden_layers=3, width=20, hash_bits=6, window=250, crosses=(("city", "wet"),), seed=7),
        ModelSpec(hidden_layers=2, window=250, fields=NUMBERS, seed=7),
        ModelSpec(hidden_layers=2, width=20, hash_bits=6, preset="g16", seed=7),
        ModelSpec(hidden_layers=4, hash_bits=6, preset="paper", seed=7),
        ModelSpec(hidden_layers=2, width=20, hash_bits=6, window=250, task="regression", seed=7),
        ModelSpec(hidden_layers=2, width=20, window=250, task="regression", fields=NUMBERS, seed=7),
    ):
        learner = HedgeLearner(spec)
        for number in range(EVENTS):
            x, y = _event(number)
            label = y if spec.task == "regression" else ("low", "middle", "high")[int(y) % 3]
            if spec.fields is not None:  # as many categories as numbers are another arithmetic than numbers
                x = {name: x[name] for name in spec.fields}
            learner.predict_one(x)
            predicted = learner.prequential_one(x, label, 1.0 + number % 2)
            values = list(predicted.values()) if isinstance(predicted, dict) else [predicted]
            digest.update(np.array(values, "<f8").tobytes())
        for weights in learner.weights().values():
            digest.update(weights.astype("<f4").tobytes())
    return digest.hexdigest()


def _event(number: int) -> tuple[dict[str, float | str | bool | None], float]:
    """A number, a skewed one that is missing at times, a category, a bool; and a target."""
    a, b = number * 37 % 64 / 7, float(number * number * 29 % 101) ** 3
    city = ("Rome", "Oslo", "Lima")[number * 5 % 3]
    x = {"a": a, "b": None if number % 9 == 4 else b, "city": city, "wet": number % 4 == 0}
    return x, a + (3.0 if city == "Oslo" else 0.0)
