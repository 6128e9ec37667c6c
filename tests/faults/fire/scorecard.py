"""The rows of the scorecard that real processes run: sizes, goals, and which faults have to land."""

import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from apache_kafka import missing

from fire import (
    row_damage,
    row_decisions,
    row_holders,
    row_kills,
    row_load,
    row_order,
    row_outages,
    row_pauses,
    row_poison,
    row_rewinds,
    row_starts,
)
from fire.redis_server import binary_of

SIMULATION = Path(__file__).parent.parent.parent / "simulation" / "run.py"
FUZZ = Path(__file__).parent.parent.parent / "security" / "fuzz.py"
SIMULATED_RUNS = 2_000  # a round of R3

Round = Callable[..., Counter[str]]


@dataclass(frozen=True)
class Row:
    """One row."""

    title: str  # what happens
    round: Round  # (seed, directory, **sizes) -> what landed
    counted: tuple[str, ...]  # what has landed adds up over these counts
    goal: int  # of a long run
    commit: Mapping[str, Any] = field(default_factory=dict)  # sizes in `make test`
    long: Mapping[str, Any] = field(default_factory=dict)  # sizes of a round of `make soak`
    servers: bool = False  # whether rounds take turns over the kinds of servers that are installed

    def done(self, landed: Mapping[str, int]) -> int:
        """How far towards the goal."""
        return sum(landed.get(name, 0) for name in self.counted)


def simulate(seed: int, directory: Path, *, runs: int = SIMULATED_RUNS) -> Counter[str]:
    """R3: so many seeds of the simulation; round `seed` is the seed-th block of them."""
    command = [sys.executable, str(SIMULATION), "--from", str(seed * runs), "--runs", str(runs)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    (directory / "simulation.txt").write_text(done.stdout + done.stderr)
    assert done.returncode == 0, (done.stdout + done.stderr)[-4_000:]
    return Counter({"worlds": runs})


def fuzz(seed: int, directory: Path, *, count: int) -> Counter[str]:
    """R19: so many fuzzed requests to a replica."""
    command = [sys.executable, str(FUZZ), "--seed", str(seed), "--count", str(count)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    (directory / "fuzz.txt").write_text(done.stdout + done.stderr)
    assert done.returncode == 0, (done.stdout + done.stderr)[-4_000:]
    return Counter({"requests": count})


ROWS: dict[str, Row] = {
    "R1": Row(
        "kill -9 of replica, consumer, Redis, Kafka",
        row_kills.kills,
        ("replica killed", "consumer killed", "redis killed", "kafka killed"),
        1_000,
        commit={"count": 60, "events": 50_000},
        long={"count": 60, "events": 60_000},
        servers=True,
    ),
    "R2": Row(
        "Redis rewinds: AOF cut, older copy, FLUSHALL, failover behind a black hole",
        row_rewinds.rewinds,
        ("redis cut", "redis older", "redis flushed", "redis failed over"),
        300,
        commit={"count": 20},
        long={"count": 20},
        servers=True,
    ),
    "R3": Row(
        "seeded simulation of the protocol", simulate, ("worlds",), 1_000_000, commit={"runs": SIMULATED_RUNS}
    ),
    "R5": Row(
        "predict after feedback over 3 replicas, linearizable",
        row_order.order,
        ("operations",),
        100_000_000,
        commit={"count": 50, "operations": 5_000},
        long={"count": 20, "operations": 50_000},
    ),
    "R5b": Row("the check finds stale answers", row_order.planted_stale_answers, ("found",), 1_000),
    "R7": Row(
        "snapshots flipped, truncated, swapped",
        row_damage.snapshots,
        ("damages",),
        10_000,
        commit={"count": 2_000},
        long={"count": 2_000},
    ),
    "R8": Row(
        "log entries changed, missing, swapped",
        row_damage.entries,
        ("damages",),
        10_000,
        commit={"count": 500},
        long={"count": 2_000},
    ),
    "R9": Row(
        "one reply in ten dropped or delayed",
        row_outages.lost_replies,
        ("events",),
        1_000_000,
        commit={"events": 20_000},
        long={"events": 50_000},
    ),
    "R10": Row(
        "Redis away",
        row_outages.redis_away,
        ("outages",),
        20,
        commit={"away_s": 10.0},
        long={"away_s": 60.0},
    ),
    "R11": Row(
        "Kafka away",
        row_outages.kafka_away,
        ("outages",),
        20,
        commit={"away_s": 10.0},
        long={"away_s": 60.0},
    ),
    "R12": Row("a replica stopped past a trim", row_pauses.trimmed_past, ("rejoined",), 50),
    "R13": Row(
        "a lock holder paused at each step", row_holders.paused_holder, ("stale writes refused",), 1_900
    ),
    "R15": Row(
        "one message in five is poison",
        row_poison.poison,
        ("good", "bad"),
        1_000_000,
        commit={"events": 20_000},
        long={"events": 50_000},
    ),
    "R17": Row(
        "promote and rollback under load",
        row_decisions.decisions,
        ("decisions",),
        500,
        commit={"count": 10},
        long={"count": 25},
    ),
    "R18": Row(
        "load held",
        row_load.held,
        ("seconds",),
        1_800,
        commit={"seconds": 8},
        long={"seconds": 300},
    ),
    "R19": Row(
        "fuzzed HTTP requests",
        fuzz,
        ("requests",),
        100_000,
        commit={"count": 5_000},  # which tests/security runs
        long={"count": 10_000},
    ),
    "R20": Row(
        "cold starts at once",
        row_starts.cold_starts,
        ("started",),
        50,
        commit={"count": 5},
        long={"count": 5, "events": 20_000},
    ),
    "R22": Row("servers and settings that do not fit", row_starts.config_guards, ("guards",), 5),
}


def play(name: str, seed: int, directory: Path, *, long: bool = False, **sizes: Any) -> Counter[str]:
    """One round; what landed. A broken promise is an `AssertionError`, with what to run to see it again."""
    row = ROWS[name]
    chosen = {**(row.long if long else row.commit), **sizes}
    if long and row.servers:
        chosen = {**_servers(name, seed), **chosen}
    directory.mkdir(parents=True, exist_ok=True)
    try:
        return row.round(seed, directory, **chosen)
    except Exception as error:
        told = ", ".join(f"{key}={value}" for key, value in chosen.items())
        error.add_note(
            f'{name} with seed {seed} ({told}): make soak ARGS="--row {name} --seed {seed} --rounds 1"'
        )
        raise


def size_of(name: str, sizes: Mapping[str, Any]) -> str:
    """A row's size in `make test`, changed by `sizes`, for people to read."""
    return ", ".join(f"{key} {value}" for key, value in {**ROWS[name].commit, **sizes}.items())


def _servers(name: str, seed: int) -> dict[str, str]:
    """The servers of a round: whatever is installed has its turn."""
    products = [product for product in ("valkey", "redis") if binary_of(product)]
    chosen = {"product": products[seed % len(products)]}
    if name == "R1" and not missing() and seed % 3 == 0:
        chosen["kafka"] = "apache"
    return chosen
