"""The versions of the notice: what each snapshot of the log showed, since when and until when."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from html.parser import HTMLParser
from typing import Any

from bandeau.ledger import record
from bandeau.ledger.entry import Kind
from bandeau.ledger.log import Log
from bandeau.ledger.versions import snapshot

_WITHIN = frozenset(("a", "abbr", "b", "bdi", "code", "em", "i", "span", "strong", "svg", "path"))
_SILENT = frozenset(("style", "script"))


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
        shown = snapshot(log, sha256)
        if shown:
            end = record.time(until) if until is not None else ""
            yield Version(event.index, sha256, record.time(event.minute), end, shown)


def said(shown: dict[str, Any]) -> list[str]:
    """Return what a snapshot says to people, line by line: texts of the notice, then what is declared.

    Markup and style are left out; `flat` of the whole has them.
    """
    lines = []
    for lang, parts in sorted(shown["notice"]["languages"].items()):
        for layer in ("first", "settings", "band"):
            lines += [f"{lang} {layer}: {line}" for line in text(parts.get(layer, ""))]
    for part in ("declared", "keep_days", "register"):
        lines += flat(shown.get(part), part)
    return lines


def text(html: str) -> list[str]:
    """Return the text of some HTML, a line for each block."""
    reader = _Text()
    reader.feed(html)
    reader.close()
    joined = (" ".join(line.split()) for line in "".join(reader.found).split("\n"))
    return [line for line in joined if line]


class _Text(HTMLParser):
    """Collects text; what begins a block begins a line."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self._silent = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:  # noqa: ARG002
        self._silent += tag in _SILENT
        self.found.append("" if tag in _WITHIN else "\n")

    def handle_endtag(self, tag: str) -> None:
        self._silent -= tag in _SILENT and self._silent > 0
        self.found.append("" if tag in _WITHIN else "\n")

    def handle_data(self, data: str) -> None:
        if not self._silent:
            self.found.append(data.replace("\n", " "))


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
