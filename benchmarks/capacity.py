"""How much does a model cost, and how large a fleet does it take?

First what one event and one model cost here: processor time of a replica by model size, memory, snapshot,
bytes and processor time in Redis. Then a simulation (`capacity_parts/fleet.py`) of fleets made of such
units, from one machine to a thousand models and a million events per second.
`python benchmarks/capacity.py [--json FILE] [--size 0.1] [--seed 0]`
"""

import argparse
import json
from dataclasses import asdict
from pathlib import Path

from capacity_parts.costs import Costs, measure
from capacity_parts.fleet import Demand, Unit, plan
from rich.console import Console
from rich.table import Table

HTTP_US = 150.0  # of one prediction beyond the learner's part: HTTP, JSON, its share of a head check
RETAIN = 100_000  # entries kept of each log
DEMANDS = {
    "one model, one machine": Demand(1, 2_000, 500, 2, 1.0, RETAIN),
    "ten models": Demand(10, 20_000, 5_000, 3, 1.0, RETAIN),
    "a hundred models": Demand(100, 100_000, 50_000, 3, 0.8, RETAIN),
    "a thousand models, a million events/s": Demand(1_000, 1_000_000, 500_000, 3, 0.6, RETAIN),
}


def main() -> None:
    """Measure, plan, print, write JSON if asked to."""
    parser = argparse.ArgumentParser(
        description="How much does a model cost; how large a fleet does it take?"
    )
    parser.add_argument("--json", help="file to write the figures to")
    parser.add_argument("--size", type=float, default=1.0, help="share of the usual work (1.0)")
    parser.add_argument("--seed", type=int, default=0, help="of the simulation (0)")
    arguments = parser.parse_args()
    console = Console(width=120)
    costs, redis = measure(arguments.size)
    console.print(_cost_table(costs))
    for name, value in redis.items():
        console.print(f"{name}: {value:,.1f}", highlight=False)
    default = costs["default"]
    unit = Unit(
        default.fold_us,
        default.predict_us + HTTP_US,
        redis["Redis: processor per append, us"],
        default.memory_bytes,
        redis["Redis: bytes per event"],
    )
    plans = {name: plan(unit, demand, arguments.seed) for name, demand in DEMANDS.items()}
    table = Table(
        "demand", "replica cores", "Redis cores", "GiB replicas", "GiB Redis", "largest model",
        "too large", "wait p50 / p99 ms", title="Fleets of default models",
    )  # fmt: skip
    for name, found in plans.items():
        table.add_row(
            name,
            f"{found.learner_cores:,}",
            f"{found.redis_cores:,}",
            f"{found.replica_gib:,.1f}",
            f"{found.redis_gib:,.1f}",
            f"{found.largest_model_share:.2f} cores",
            str(found.too_large),
            f"{found.wait_p50_ms:.2f} / {found.wait_p99_ms:.2f}",
        )
    console.print(table)
    if arguments.json:
        file = Path(arguments.json)
        file.parent.mkdir(parents=True, exist_ok=True)
        figures = {
            "costs": {name: asdict(cost) for name, cost in costs.items()},
            "redis": redis,
            "plans": {name: asdict(found) for name, found in plans.items()},
        }
        file.write_text(json.dumps(figures, indent=2))


def _cost_table(costs: dict[str, Costs]) -> Table:
    table = Table(
        "model",
        "fold, us/event",
        "over default",
        "events/s per core",
        "predict, us",
        "memory, MB",
        "snapshot, MB",
    )
    base = costs["default"].fold_us
    for name, cost in costs.items():
        table.add_row(
            name,
            f"{cost.fold_us:.1f}",
            f"{cost.fold_us / base:.2f}",
            f"{1e6 / cost.fold_us:,.0f}",
            f"{cost.predict_us:.1f}",
            f"{cost.memory_bytes / 1e6:.1f}",
            f"{cost.snapshot_bytes / 1e6:.2f}",
        )
    return table


if __name__ == "__main__":
    main()
