"""The versions of the notice, as the log has them: since when, under which hash, what was declared.

What a version says is not judged here, nor shown (`notice`).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from bandeau.ledger import record
from bandeau.ledger.entry import Kind
from bandeau.ledger.log import Log

_KEPT = 256  # versions that are read once


@dataclass(frozen=True, slots=True, eq=False)  # each is read once: it is what it is
class Version:
    """A version: its place in the log, SHA-256 (hex), time to the minute, languages, declarations."""

    index: int
    sha256: str
    since: str
    languages: tuple[str, ...]
    declared: dict[str, Any]


def snapshot(log: Log, sha256: str) -> dict[str, Any]:
    """Return a snapshot; nothing where what is kept is none, as of ledgers before there were any."""
    try:
        shown = json.loads(log.document(sha256) or b"")
        languages = shown["notice"]["languages"]
    except (ValueError, TypeError, KeyError):
        return {}
    return shown if isinstance(languages, dict) else {}


class Versions:
    """The versions in a log. A snapshot never changes, so each is read once."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self._read = lru_cache(maxsize=_KEPT)(self._version)

    def all(self) -> list[Version]:
        """Return the versions, the newest first. Raises LedgerError."""
        events = self._log.store.events([Kind.SNAPSHOT])
        found = (self._read(one.index, one.detail.split()[1], one.minute) for one in events)
        return [one for one in found if one][::-1]

    def _version(self, index: int, sha256: str, minute: int) -> Version | None:
        shown = snapshot(self._log, sha256)
        if not shown:
            return None
        languages = tuple(shown["notice"]["languages"])
        return Version(index, sha256, record.time(minute), languages, shown["declared"])
