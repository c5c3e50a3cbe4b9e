"""Sums of page views in the ledger's database; added up in memory and written once a second.

What a crash can lose is the last second's. A day is a UTC day. Nothing older than the policy's
`keep_days` stays (at most 25 months, rule J4).
"""

from __future__ import annotations

import contextlib
import logging
import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

from bandeau.errors import LedgerError
from bandeau.measure.count import View

PATHS_A_DAY = 20_000  # beyond that views are counted together: strangers choose the paths
OTHERS = "(others)"
_SECONDS = 1.0
_SCHEMA = """
CREATE TABLE IF NOT EXISTS page_view (
    day INTEGER NOT NULL, path TEXT NOT NULL, referrer TEXT NOT NULL, device TEXT NOT NULL,
    views INTEGER NOT NULL, PRIMARY KEY (day, path, referrer, device)) WITHOUT ROWID;
"""
_ADD = (
    "INSERT INTO page_view VALUES (?, ?, ?, ?, ?)"
    " ON CONFLICT DO UPDATE SET views = views + excluded.views"
)
_log = logging.getLogger("bandeau")


class Views:
    """Counts page views. Safe to use from any thread; `close` when done."""

    def __init__(
        self,
        path: Path,
        keep_days: int,
        today: Callable[[], int] = lambda: int(time.time() // 86_400),
    ) -> None:
        self._path = path
        self._keep_days = keep_days
        self._today = today
        self._waiting: Counter[tuple[int, View]] = Counter()
        self._seen: tuple[int, set[tuple[str, str]]] = (0, set())
        self._lock = threading.Lock()
        self._writing = threading.Lock()
        self._swept = 0
        self._ended = threading.Event()
        try:
            with self._connected() as database:
                database.executescript(_SCHEMA)
            self._sweep()
        except sqlite3.Error as error:
            raise LedgerError(f"{path}: cannot count page views: {error}") from error
        self._writer = threading.Thread(target=self._run, name="bandeau-views", daemon=True)
        self._writer.start()

    def add(self, view: View) -> None:
        """Count one page view."""
        day = self._today()
        with self._lock:
            if self._seen[0] != day:
                self._seen = (day, set())
            known = self._seen[1]
            place = (view.path, view.referrer)
            if place not in known:
                if len(known) >= PATHS_A_DAY:
                    view = View(OTHERS, "", view.device)
                else:
                    known.add(place)
            self._waiting[day, view] += 1

    def days(self, path: str | None = None, last: int = 30) -> list[tuple[int, int]]:
        """Return (day, views) for the last days, the oldest first; `day` counts from 1970, UTC."""
        self.flush()
        first = self._today() - last + 1
        with self._connected() as database:
            rows = database.execute(
                "SELECT day, SUM(views) FROM page_view WHERE day >= ? AND (? IS NULL OR path = ?)"
                " GROUP BY day",
                (first, path, path),
            )
            found = dict(rows.fetchall())
        return [(day, found.get(day, 0)) for day in range(first, first + last)]

    def sums(self, column: str, path: str | None = None, last: int = 30) -> list[tuple[str, int]]:
        """Return (value, views) of `path`, `referrer` or `device`, the most viewed first."""
        if column not in ("path", "referrer", "device"):
            raise ValueError(f"{column!r} is not counted; path, referrer and device are")
        self.flush()
        with self._connected() as database:
            rows = database.execute(
                f"SELECT {column}, SUM(views) AS n FROM page_view"  # noqa: S608 (one of three words)
                " WHERE day > ? AND (? IS NULL OR path = ?) GROUP BY 1 ORDER BY n DESC, 1",
                (self._today() - last, path, path),
            )
            return [(str(value), int(views)) for value, views in rows.fetchall()]

    def flush(self) -> None:
        """Write what has been counted. What cannot be written waits for the next time."""
        with self._writing:
            with self._lock:
                waiting, self._waiting = self._waiting, Counter()
            if not waiting:
                return
            rows = [
                (day, view.path, view.referrer, view.device, views)
                for (day, view), views in waiting.items()
            ]
            try:
                with self._connected() as database:
                    database.executemany(_ADD, rows)
            except sqlite3.Error as error:
                _log.warning("page views could not be written yet: %s", error)
                with self._lock:
                    self._waiting.update(waiting)

    def close(self) -> None:
        """Write what has been counted, and stop."""
        self._ended.set()
        self._writer.join()
        self.flush()

    def _run(self) -> None:
        while not self._ended.wait(_SECONDS):
            self.flush()
            if self._swept != self._today():
                try:
                    self._sweep()
                except sqlite3.Error as error:
                    _log.warning("old page views could not be removed yet: %s", error)

    def _sweep(self) -> None:
        with self._connected() as database:
            database.execute(
                "DELETE FROM page_view WHERE day <= ?", (self._today() - self._keep_days,)
            )
        self._swept = self._today()

    @contextlib.contextmanager
    def _connected(self) -> Iterator[sqlite3.Connection]:
        """Open the database for one piece of work, commit it, and let go."""
        database = sqlite3.connect(self._path, timeout=5.0)
        try:
            with database:
                yield database
        finally:
            database.close()
