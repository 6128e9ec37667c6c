"""How fast is the server, and against what?

Questions: is one replica, which for every request reads the head of the log and predicts with the paper's
network (20 x 100), faster than seldon-core's own server around a model that does nothing; what does it add to
its HTTP server and to a round trip to Redis; what memory does it need against the network in Keras; what does
a second replica on a second core add.

Real servers as processes of their own, the same body of 28 features, the server under test alone on one core,
load by wrk (or a small client, which is slower) from the other. What is compared is measured in turns within
one run; medians. Processor time of the serving process is told beside the clock: it says more where others
use the machine. `python benchmarks/serving.py [--json FILE] [--size 0.1] [--only against ...]`
"""

import os

from figures import arguments_of, show, verdict
from serving_parts import against, floors, memory, profile, scale
from serving_parts.load import PROGRAM

PARTS = {part.__name__.rpartition(".")[2]: part.measure for part in (against, memory, scale, floors, profile)}
AT_LEAST = ("req/s", "two replicas")  # goals that are lower bounds


def judge(name: str, value: float) -> str:
    """Whether a figure with a goal in its name meets it."""
    return verdict(name, value, at_most=not any(word in name for word in AT_LEAST))


def main() -> None:
    """Print every figure; write them as JSON if asked to."""
    arguments = arguments_of("How fast is the server, and against what?", PARTS).parse_args()
    title = f"The server; load by {PROGRAM}, {os.cpu_count()} cores"
    show(title, (PARTS[part](arguments.size) for part in arguments.only), arguments.json, judge)


if __name__ == "__main__":
    main()
