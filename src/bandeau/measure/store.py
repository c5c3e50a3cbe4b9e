"""Sums of page views in the ledger's database; added up in memory and written once a second.

What a crash can lose is the last second's. A day is a UTC day. Nothing older than the policy's
`keep_days` stays (at most 25 months, rule J4). The SQL is the same for SQLite and PostgreSQL.
"""

from __future__ import annotations

import logging
import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from bandeau.errors import LedgerError
from bandeau.measure.count import View
from bandeau.wire import fork

PATHS_A_DAY = 20_000  # beyond that views are counted together: strangers choose the paths
OTHERS = "(others)"
_SECONDS = 1.0
_TABLE = """
CREATE TABLE IF NOT EXISTS page_view (
    day INTEGER NOT NULL, path TEXT NOT NULL, referrer TEXT NOT NULL, device TEXT NOT NULL,
    views BIGINT NOT NULL, PRIMARY KEY (day, path, referrer, device))
"""
_ADD = (
    "INSERT INTO page_view VALUES (?, ?, ?, ?, ?) ON CONFLICT (day, path, referrer, device)"
    " DO UPDATE SET views = page_view.views + excluded.views"
)
_WHERE = "(CAST(? AS TEXT) IS NULL OR path = ?)"  # a path, or any
_LOCK = int.from_bytes(b"views")  # advisory: processes count one after the other
_POSTGRESQL = ("postgresql://", "postgres://")
_log = logging.getLogger("bandeau")
Row = tuple[Any, ...]
Work = Callable[[str, Sequence[Row]], list[Row]]  # a statement, once for each row of values


class Views:
    """Counts page views. Safe to use from any thread; `close` when done."""

    def __init__(
        self,
        place: Path | str,
        keep_days: int,
        today: Callable[[], int] = lambda: int(time.time() // 86_400),
    ) -> None:
        """Count in a database that holds a ledger: by SQLite's path, or the ledger's URL."""
        self._keep_days = keep_days
        self._today = today
        self._waiting: Counter[tuple[int, View]] = Counter()
        self._seen: tuple[int, set[tuple[str, str]]] = (0, set())
        self._lock = threading.Lock()
        self._writing = threading.Lock()
        self._swept = 0
        self._ended = threading.Event()
        self._work = _work_at(str(place))
        self._sweep()
        self._start()
        fork.guard(self)

    def before_fork(self) -> None:
        """See `wire.fork`."""
        self._writing.acquire()
        self._lock.acquire()

    def after_fork(self, *, child: bool) -> None:
        """See `wire.fork`: a child counts what it serves itself."""
        if child:
            self._waiting = Counter()
        self._lock.release()
        self._writing.release()
        if child and not self._ended.is_set():
            self._start()

    def _start(self) -> None:
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
        sql = f"SELECT day, SUM(views) FROM page_view WHERE day >= ? AND {_WHERE} GROUP BY day"  # noqa: S608
        found = {day: int(views) for day, views in self._asked(sql, (first, path, path))}
        return [(day, found.get(day, 0)) for day in range(first, first + last)]

    def sums(self, column: str, path: str | None = None, last: int = 30) -> list[tuple[str, int]]:
        """Return (value, views) of `path`, `referrer` or `device`, the most viewed first."""
        if column not in ("path", "referrer", "device"):
            raise ValueError(f"{column!r} is not counted; path, referrer and device are")
        self.flush()
        sql = (
            f"SELECT {column}, SUM(views) AS n FROM page_view"  # noqa: S608 (one of three words)
            f" WHERE day > ? AND {_WHERE} GROUP BY 1 ORDER BY n DESC, 1"
        )
        rows = self._asked(sql, (self._today() - last, path, path))
        return [(str(value), int(views)) for value, views in rows]

    def flush(self) -> None:
        """Write what has been counted. What cannot be written waits for the next time."""
        with self._writing:
            with self._lock:
                waiting, self._waiting = self._waiting, Counter()
            if not waiting:
                return
            rows = [
                (day, view.path.replace("\0", ""), view.referrer, view.device, views)
                for (day, view), views in waiting.items()
            ]
            try:
                self._work(_ADD, rows)
            except LedgerError as error:
                _log.warning("page views could not be written yet: %s", error)
                with self._lock:
                    self._waiting.update(waiting)

    def close(self) -> None:
        """Write what has been counted, and stop."""
        self._ended.set()
        self._writer.join()
        self.flush()

    def _asked(self, sql: str, values: Row) -> list[Row]:
        with self._writing:
            return self._work(sql, [values])

    def _run(self) -> None:
        while not self._ended.wait(_SECONDS):
            self.flush()
            if self._swept != self._today():
                try:
                    self._sweep()
                except LedgerError as error:
                    _log.warning("old page views could not be removed yet: %s", error)

    def _sweep(self) -> None:
        today = self._today()
        self._asked("DELETE FROM page_view WHERE day <= ?", (today - self._keep_days,))
        self._swept = today


def _work_at(place: str) -> Work:
    """Make the table, and return what opens the database for one piece of work, and lets go of it."""
    if place.startswith(_POSTGRESQL):
        return _in_postgresql(place)
    path = place.removeprefix("sqlite:///")

    def work(sql: str, values: Sequence[Row] = ((),)) -> list[Row]:
        try:
            database = sqlite3.connect(path, timeout=5.0)
            try:
                with database:
                    return [row for one in values for row in database.execute(sql, one)]
            finally:
                database.close()
        except sqlite3.Error as error:
            raise LedgerError(f"{path}: page views: {error}") from error

    work(f"{_TABLE} WITHOUT ROWID")
    return work


def _in_postgresql(url: str) -> Work:
    import psycopg  # noqa: PLC0415 (an extra)
    from psycopg.conninfo import conninfo_to_dict  # noqa: PLC0415

    parts: dict[str, Any] = {
        "connect_timeout": 5,
        "application_name": "bandeau",
        "target_session_attrs": "read-write",  # of several hosts, the one that takes writes
        **conninfo_to_dict(url),
    }

    def work(sql: str, values: Sequence[Row] = ((),)) -> list[Row]:
        statement = sql.replace("?", "%s").encode()
        try:
            with psycopg.connect(**parts) as database:
                database.execute("SET search_path = bandeau; SET lock_timeout = '5s'")
                database.execute("SELECT pg_advisory_xact_lock(%s)", [_LOCK])
                with database.pipeline():
                    done = [database.execute(statement, one) for one in values]
                return [row for one in done if one.description for row in one]
        except psycopg.Error as error:
            raise LedgerError(f"page views: {error}") from error

    work(_TABLE)
    return work
