"""The versions of the notice: what each snapshot of the log showed, since when and until when."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

from bandeau.ledger import record
from bandeau.ledger.entry import Kind
from bandeau.ledger.log import Log


@dataclass(frozen=True, slots=True)
class Version:
    """A version of the notice: its place in the log, since when, until when, and what it was."""

    index: int
    sha256: str
    since: str
    until: str
    shown: dict[str, Any]

    @property
    def folder(self) -> str:
        return f"notices/{self.index:06d}-{self.since[:10]}-{self.sha256[:12]}"

    @property
    def unreviewed(self) -> list[str]:
        """The languages whose texts no native speaker had read; snapshots of before name none."""
        return list(self.shown["notice"].get("unreviewed", ()))


def versions(log: Log, low: date, high: date) -> Iterator[Version]:
    """Return the versions of the notice that were in force on at least one of the days."""
    events = log.store.events([Kind.SNAPSHOT])
    for event, following in zip(events, [*events[1:], None], strict=True):
        until = following.minute if following else None
        if day_of(event.minute) > high or (until is not None and day_of(until) < low):
            continue
        sha256 = event.detail.split()[1]
        shown = json.loads(log.document(sha256) or b"{}")
        if "notice" in shown:
            end = record.time(until) if until is not None else ""
            yield Version(event.index, sha256, record.time(event.minute), end, shown)


def flat(value: Any, place: str = "") -> Iterator[str]:
    """Return a document as lines that a diff can show: its place, then the text, line by line."""
    if isinstance(value, dict):
        for key in sorted(value):
            yield from flat(value[key], f"{place}.{key}" if place else key)
    elif isinstance(value, list):
        for number, item in enumerate(value):
            yield from flat(item, f"{place}[{number}]")
    else:
        yield from (f"{place}: {line}" for line in str(value).splitlines())


def day_of(minute: int) -> date:
    """Return the day of a minute since 1970, UTC."""
    return datetime.fromtimestamp(minute * 60, UTC).date()
