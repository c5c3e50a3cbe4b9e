"""Sums of decisions, kept beside the log in the transaction that stores them: counts, never who.

    mark = day, kind, value, outcome        day counts from 1970, UTC
    tally = mark, n, gone                   of n decisions the records of `gone` are removed

    kind       value                             outcome
    action     accept_all, refuse_all …          granted | partial | refused
    language   fr, en …                          the same
    layer      first, settings, place, api, tcf  the same
    device     phone, tablet, desktop, unknown   the same
    snapshot   index of what was shown           the same
    purpose    social, ads …                     granted | refused
    lost       (empty, on day 0)                 (empty): what was removed before there was a tally

Each breakdown is counted alone, so that a day has some dozens of rows however many decisions it has. All
of a mark stands in the record, so at any time, erasures included:

    n - gone = the records left that have the mark;  the sum of n over action and lost = all decisions
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from functools import lru_cache
from typing import NamedTuple

from bandeau.errors import RecordError
from bandeau.ledger import record

ROW = tuple[int, str, str, str, int, int]
DAY = 1440  # minutes
_SINGLE = re.compile(rb"T\d\d:\d\dZ (.*? replaces=)\w+")  # what decisions of one day differ in


class Mark(NamedTuple):
    """What a decision is counted under."""

    day: int
    kind: str
    value: str
    outcome: str


NEVER = 10**7  # a day after all that a record can have
LOST = Mark(0, "lost", "", "")


def counted(lines: Iterable[bytes]) -> Counter[Mark]:
    """Count records; what is none (somebody changed it) counts as nothing."""
    found: Counter[Mark] = Counter()
    for shape, n in Counter(map(_shape, lines)).items():
        for mark in _marks(shape):
            found[mark] += n
    return found


def rows(added: Counter[Mark], removed: Counter[Mark] | None = None) -> list[ROW]:
    """Return what to add to a tally, in one order: writers of several processes meet no deadlock."""
    gone = removed or Counter()
    marks = sorted({*added, *gone})
    return [(*mark, added[mark], gone[mark]) for mark in marks if added[mark] or gone[mark]]


def difference(tallied: Iterable[ROW], left: Counter[Mark], decisions: int) -> list[ROW]:
    """Return what a tally lacks, given a count of the records left and of all decisions; [] if right."""
    kept = {Mark(*row[:4]): (row[4], row[5]) for row in tallied}
    wanted = Counter({mark: n + kept.get(mark, (0, 0))[1] for mark, n in left.items()})
    wanted.update({mark: gone for mark, (_, gone) in kept.items() if mark not in left})
    known = sum(n for mark, n in wanted.items() if mark.kind == "action")
    wanted[LOST] = decisions - known
    changed = Counter({mark: n - kept.get(mark, (0, 0))[0] for mark, n in wanted.items()})
    lost = Counter({LOST: wanted[LOST] - kept.get(LOST, (0, 0))[1]})
    return rows(changed, lost)


@lru_cache(maxsize=4096)  # most lines of a batch are the same
def _shape(line: bytes) -> bytes:
    """Return the record that is counted as this one is."""
    if not isinstance(line, bytes):  # a column that was changed to another type
        return b""
    return _SINGLE.sub(rb"T00:00Z \1none", line, count=1)


@lru_cache(maxsize=4096)
def _marks(shape: bytes) -> tuple[Mark, ...]:
    try:
        one = record.parse(shape)
    except RecordError:
        return ()
    yes = sum(granted for _, granted in one.choices)
    outcome = "refused" if not yes else "granted" if yes == len(one.choices) else "partial"
    values = {
        "action": one.event.value,
        "language": one.language,
        "layer": one.layer,
        "device": one.device,
        "snapshot": str(one.snapshot),
    }
    day = one.minute // DAY
    found = [Mark(day, kind, value, outcome) for kind, value in values.items()]
    for purpose, granted in one.choices:
        found.append(Mark(day, "purpose", purpose, "granted" if granted else "refused"))
    return tuple(found)
