"""Run the simulation: one seed with its trace, or many.

python tests/simulation/run.py --seed 7           what happened in run 7
python tests/simulation/run.py --runs 2000        seeds 0 to 1999; the first failing one with its trace
python tests/simulation/run.py --mutant no_prev   the same, of a weakened protocol
"""

import argparse
import logging
import sys
import time
from collections import Counter
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parent.parent / "odl")]

from mutants import MUTANTS  # noqa: E402 - importable from here on
from simulation import run_many, run_one  # noqa: E402


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seed", type=int, help="show this run")
    parser.add_argument("--from", type=int, default=0, dest="first", help="first seed of many")
    parser.add_argument("--runs", type=int, default=2000)
    parser.add_argument("--mutant", choices=MUTANTS)
    arguments = parser.parse_args()
    logging.disable(logging.CRITICAL)
    parts = MUTANTS[arguments.mutant] if arguments.mutant else None
    if arguments.seed is not None:
        run = run_one(arguments.seed, parts, tell=True)
        print(run.report())
        return 1 if run.violation else 0
    began = time.process_time()
    counts: Counter[str] = Counter()
    runs = 0
    for run in run_many(range(arguments.first, arguments.first + arguments.runs), parts):
        runs += 1
        counts += run.counts
        if run.violation:
            print(run_one(run.seed, parts, tell=True).report())
            break
    seconds = time.process_time() - began
    print(f"{runs} runs, {seconds:.1f} s of processor, {60 * runs / seconds:.0f} runs a minute")
    print(", ".join(f"{name} {count}" for name, count in sorted(counts.items())))
    return 1 if run.violation else 0


if __name__ == "__main__":
    sys.exit(main())
