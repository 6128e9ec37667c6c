"""How a log continues a position in it: the question that every reader of a log asks first."""

from enum import Enum, auto

from odl.log import Slice, next_chain


class Relation(Enum):
    """How a log continues a position in it."""

    CONTINUES = auto()
    LOST = auto()  # the log holds another history at this position, or ends before it
    TRIMMED = auto()  # the log begins after this position: only a snapshot can bridge that


def relation(version: int, chain: str, part: Slice) -> Relation:
    """How `part`, read at `version`, continues a history that has `chain` there.

    Version numbers alone repeat after a rewind, so chains decide.
    """
    head, entries = part.head, part.entries
    if head.version < version or (head.version == version and head.chain != chain):
        return Relation.LOST
    if head.version == version:
        return Relation.CONTINUES
    if not entries or entries[0].version > version + 1:
        return Relation.TRIMMED
    first = entries[0]
    if first.version == version:
        return Relation.CONTINUES if first.chain == chain else Relation.LOST
    if version == 0:  # nothing was learned, so nothing was lost; damage shows when the entry is taken
        return Relation.CONTINUES
    # Our own entry was trimmed, but the next one proves where it comes from.
    return Relation.CONTINUES if next_chain(chain, first.payload) == first.chain else Relation.LOST
