"""Real processes under fire: servers, replicas and a consumer that are killed, paused, cut off and rewound.

Each row of the scorecard is one function `round(seed, directory) -> Counter` of the faults that landed; it
raises `AssertionError` for a broken promise. `make test` runs small rounds, `make soak` many of them.
"""
