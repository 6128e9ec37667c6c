"""How fast is the log, and against what?

Questions: what does pipelining give one consumer; does an append cost more when the model is larger; how does
the log compare with storing the weights under a lock; how soon is acknowledged feedback visible in every
replica; what does the newest-version guarantee cost a prediction; how near does a cold replica come to the
kernel's speed; what do predictions feel of snapshots.

A real Valkey (append-only file, fsync every second), Kafka's mock broker. What is compared is measured in
turns within one run; medians. `python benchmarks/log.py [--json FILE] [--size 0.1] [--only heads …]`
"""

from figures import arguments_of, show, verdict
from log_parts import catch_up, growth, heads, ingest, obvious, snapshots, visible

PARTS = {
    part.__name__.rpartition(".")[2]: part.measure
    for part in (ingest, growth, obvious, visible, heads, catch_up, snapshots)
}
AT_MOST = ("append: dearest", "acknowledged", "head check", "p99 of predict")  # goals that are upper bounds


def judge(name: str, value: float) -> str:
    """Whether a figure with a goal in its name meets it."""
    return verdict(name, value, at_most=name.startswith(AT_MOST))


def main() -> None:
    """Print every figure; write them as JSON if asked to."""
    arguments = arguments_of("How fast is the log, and against what?", PARTS).parse_args()
    show("The log", (PARTS[part](arguments.size) for part in arguments.only), arguments.json, judge)


if __name__ == "__main__":
    main()
