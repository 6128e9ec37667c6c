"""Does an append cost more when the model is larger? Three logs, each followed by a model of its own."""

import time

from hedge_model import HedgeLearner
from log_parts.scene import CLASSES, FIELDS, PAPER, appends, events, median, new_log, server, spec_of
from odl.follower import Follower

MODELS = {
    "5x10": spec_of(preset="paper", hidden_layers=5, width=10),
    "20x100": spec_of(**PAPER),
    "2^18 rows": spec_of(
        width=64,
        hash_bits=18,
        fields={**{f"f{i}": "number" for i in range(FIELDS)}, "city": "category"},
        classes=CLASSES,
    ),
}


def measure(size: float) -> dict[str, float]:
    """Median cost of an append, the models taken in turns, append by append."""
    count = max(int(4_000 * size), 50)
    items = appends(events(count))
    with server() as (_, client):
        logs = {name: new_log(client, f"growth-{index}") for index, name in enumerate(MODELS)}
        followers = {
            name: Follower(lambda spec=spec: HedgeLearner(spec), HedgeLearner.from_bytes, logs[name], None)
            for name, spec in MODELS.items()
        }
        spent: dict[str, list[float]] = {name: [] for name in MODELS}
        for number, item in enumerate(items):
            for name in _rotated(list(MODELS), number):
                start = time.perf_counter()
                logs[name].append(item)
                spent[name].append(time.perf_counter() - start)
                if number % 32 == 31:
                    followers[name].step(512)
    costs = {name: median(values) * 1e6 for name, values in spent.items()}
    figures = {f"append, model {name}, us": cost for name, cost in costs.items()}
    figures["append: dearest over cheapest model (goal 1.1)"] = max(costs.values()) / min(costs.values())
    return figures


def _rotated(names: list[str], by: int) -> list[str]:
    """So that none is always the first after a pause."""
    by %= len(names)
    return names[by:] + names[:by]
