"""Many events with categories of their own: the compiled fold, event by event, without Python in between."""
# mypy: allow-untyped-defs

from hedge_model.kernel.compiled import entry
from hedge_model.kernel.fold import DONE, fold


@entry
def fold_events(
    task,  # PREDICT | LEARN
    arrays,  # the learner's, as `fold` takes them, `lists` last
    category_list,  # where in `lists` the rows of one event belong
    rows,  # int64 category rows of all events, one event after the other
    counts,  # int64 [n] how many rows each event has
    fields,
    events,  # float64 [n, fields] numbers, NaN where missing
    present,  # int64 [n] how many numbers each event has
    labels,
    event_weights,
    out,
):
    """Fold events; returns (events taken, DONE or why it stopped, how many updates were not finite)."""
    lists = arrays[-1]
    at, not_finite = 0, 0
    for n in range(events.shape[0]):
        for k in range(counts[n]):
            lists[category_list + k] = rows[at + k]
        at += counts[n]
        of_event = (counts[n], fields, events[n : n + 1], present[n])
        wanted = (labels[n : n + 1], event_weights[n : n + 1], out[n : n + 1])
        taken, reason, bad = fold(*((task,) + arrays + of_event + wanted))
        not_finite += bad
        if taken == 0:
            return n, reason, not_finite
    return events.shape[0], DONE, not_finite
