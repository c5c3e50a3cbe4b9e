"""The ledger in one SQLite file: decisions and published policies, durable before they are answered.

One writer thread commits what has queued up in one transaction (group commit): a decision costs a
share of an fsync, and nobody is told "done" before the disk is. WAL with `synchronous=FULL`
survives loss of power (SQLite, "Write-Ahead Logging", section 4).
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import queue
import sqlite3
import threading
import time
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path

from bandeau.decision.cookie import POLICY_DIGITS
from bandeau.decision.model import Decision, Event, Published
from bandeau.errors import LedgerBusyError, LedgerError

QUEUE = 10_000  # decisions waiting for the writer; beyond that visitors are told to come back
BATCH = 1_000  # decisions in one transaction
_WAIT_SECONDS = 5.0  # for another process that holds the file
_SCHEMA = """
CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
INSERT OR IGNORE INTO meta VALUES ('schema_version', '2');
CREATE TABLE IF NOT EXISTS policy (
    digest TEXT PRIMARY KEY, published_minute INTEGER NOT NULL,
    purposes TEXT NOT NULL, fingerprints TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS decision (
    number INTEGER PRIMARY KEY, minute INTEGER NOT NULL, event TEXT NOT NULL, policy TEXT NOT NULL,
    choices TEXT NOT NULL, language TEXT NOT NULL, signal INTEGER NOT NULL,
    layer TEXT NOT NULL DEFAULT 'api', device TEXT NOT NULL DEFAULT 'unknown',
    snapshot TEXT NOT NULL DEFAULT '');
CREATE TABLE IF NOT EXISTS snapshot (
    sha256 TEXT PRIMARY KEY, taken_minute INTEGER NOT NULL, bytes BLOB NOT NULL) WITHOUT ROWID;
"""
_FROM_1 = (
    "ALTER TABLE decision ADD COLUMN layer TEXT NOT NULL DEFAULT 'api'",
    "ALTER TABLE decision ADD COLUMN device TEXT NOT NULL DEFAULT 'unknown'",
    "ALTER TABLE decision ADD COLUMN snapshot TEXT NOT NULL DEFAULT ''",
    "UPDATE meta SET value = '2' WHERE name = 'schema_version'",
)
_INSERT = (
    "INSERT INTO decision"
    " (minute, event, policy, choices, language, signal, layer, device, snapshot)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) RETURNING number"
)


@dataclass(frozen=True, slots=True)
class Receipt:
    """What an append answers with: the decision's number in this ledger, from 1."""

    number: int


@dataclass(frozen=True, slots=True)
class _Waiting:
    decision: Decision
    future: Future[Receipt]


class Ledger:
    """Decisions in, receipts out. Safe to use from any thread; `close` when done."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()
        self._waiting: queue.Queue[_Waiting | None] = queue.Queue(QUEUE)
        self._closed = False
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._database = self._open()
        except (OSError, sqlite3.Error) as error:
            raise LedgerError(f"{path}: cannot open the ledger: {error}") from error
        self._writer = threading.Thread(target=self._run, name="bandeau-ledger", daemon=True)
        self._writer.start()

    @property
    def used(self) -> bool:
        """Whether any policy was ever published here."""
        return bool(self.published())

    def publish(self, policy: Published, minute: int) -> None:
        """Remember a policy for as long as cookies may quote it; a known one is left as it is."""
        row = (
            policy.digest,
            minute,
            json.dumps(policy.order),
            json.dumps(dict(policy.fingerprints), sort_keys=True),
        )
        try:
            with self._lock, self._database:
                self._database.execute("INSERT OR IGNORE INTO policy VALUES (?, ?, ?, ?)", row)
        except sqlite3.Error as error:
            raise LedgerError(f"{self.path}: cannot publish the policy: {error}") from error

    def published(self) -> dict[str, Published]:
        """Return every published policy by the start of its digest, as cookies quote it."""
        try:
            with self._lock:
                rows = self._database.execute(
                    "SELECT digest, purposes, fingerprints FROM policy"
                ).fetchall()
        except sqlite3.Error as error:
            raise LedgerError(f"{self.path}: cannot read the policies: {error}") from error
        return {
            digest[:POLICY_DIGITS]: Published(digest, tuple(json.loads(order)), json.loads(prints))
            for digest, order, prints in rows
        }

    def keep(self, snapshot: bytes, minute: int) -> str:
        """Keep what visitors are shown under its SHA-256, and return that as hex."""
        found = hashlib.sha256(snapshot).hexdigest()
        try:
            with self._lock, self._database:
                self._database.execute(
                    "INSERT OR IGNORE INTO snapshot VALUES (?, ?, ?)", (found, minute, snapshot)
                )
        except sqlite3.Error as error:
            raise LedgerError(f"{self.path}: cannot keep the snapshot: {error}") from error
        return found

    def snapshot(self, sha256: str) -> bytes | None:
        """Return what was kept under a SHA-256, or None."""
        with self._lock:
            row = self._database.execute(
                "SELECT bytes FROM snapshot WHERE sha256 = ?", (sha256,)
            ).fetchone()
        return bytes(row[0]) if row else None

    def submit(self, decision: Decision) -> Future[Receipt]:
        """Queue a decision; the future is done when it is on disk, or failed with LedgerError."""
        waiting = _Waiting(decision, Future())
        try:
            if self._closed:
                raise LedgerError(f"{self.path}: the ledger is closed")
            self._waiting.put_nowait(waiting)
        except queue.Full:
            raise LedgerBusyError(f"{self.path}: {QUEUE} decisions are waiting already") from None
        return waiting.future

    def append(self, decision: Decision, timeout_seconds: float = 10.0) -> Receipt:
        """Store a decision and return its receipt once it is on disk."""
        try:
            return self.submit(decision).result(timeout_seconds)
        except TimeoutError:
            raise LedgerBusyError(f"{self.path}: not stored in {timeout_seconds} s") from None

    def decisions(self) -> list[Decision]:
        """Return every decision in order."""
        with self._lock:
            rows = self._database.execute(
                "SELECT minute, event, policy, choices, language, signal, layer, device, snapshot"
                " FROM decision ORDER BY number"
            ).fetchall()
        return [
            Decision(
                minute,
                Event(event),
                policy,
                tuple(json.loads(choices).items()),
                language,
                bool(signal),
                layer,
                device,
                snapshot,
            )
            for minute, event, policy, choices, language, signal, layer, device, snapshot in rows
        ]

    def close(self) -> None:
        """Store what is waiting, then let go of the file."""
        if not self._closed:
            self._closed = True
            self._waiting.put(None)
            self._writer.join()
            self._database.close()

    def _open(self) -> sqlite3.Connection:
        database = sqlite3.connect(self.path, check_same_thread=False, timeout=_WAIT_SECONDS)
        _write_ahead(database)
        database.execute("PRAGMA synchronous=FULL")
        database.executescript(_SCHEMA)
        version = "SELECT value FROM meta WHERE name = 'schema_version'"
        with database:  # two processes may open it at once: the second finds it done
            database.execute("BEGIN IMMEDIATE")
            if database.execute(version).fetchone() == ("1",):
                for statement in _FROM_1:
                    database.execute(statement)
        found = database.execute(version).fetchone()
        if found != ("2",):
            raise sqlite3.DatabaseError(f"schema version {found[0]} is not one this version knows")
        return database

    def _run(self) -> None:
        while (first := self._waiting.get()) is not None:
            batch = [first]
            last = False
            with contextlib.suppress(queue.Empty):
                while len(batch) < BATCH:
                    item = self._waiting.get_nowait()
                    if item is None:
                        last = True
                        break
                    batch.append(item)
            self._commit([w for w in batch if w.future.set_running_or_notify_cancel()])
            if last:
                return

    def _commit(self, batch: list[_Waiting]) -> None:
        """Commit a batch whole; if that fails, try each alone, so that one bad item fails alone."""
        if not batch:
            return
        try:
            receipts = self._write(batch)
        except sqlite3.Error as error:
            if len(batch) > 1:
                for waiting in batch:
                    self._commit([waiting])
                return
            batch[0].future.set_exception(LedgerError(f"{self.path}: not stored: {error}"))
            return
        for waiting, receipt in zip(batch, receipts, strict=True):
            waiting.future.set_result(receipt)

    def _write(self, batch: list[_Waiting]) -> list[Receipt]:
        with self._lock:
            try:
                self._database.execute("BEGIN IMMEDIATE")
                numbers = [
                    self._database.execute(_INSERT, _row(waiting.decision)).fetchone()[0]
                    for waiting in batch
                ]
                self._database.execute("COMMIT")
            except BaseException:
                if self._database.in_transaction:  # a failed COMMIT may have rolled back itself
                    self._database.execute("ROLLBACK")
                raise
        return [Receipt(number) for number in numbers]


def _write_ahead(database: sqlite3.Connection) -> None:
    """Turn WAL on; where several open a new file at once SQLite answers "locked" without waiting."""
    deadline = time.monotonic() + _WAIT_SECONDS
    while True:
        try:
            database.execute("PRAGMA journal_mode=WAL")
        except sqlite3.OperationalError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.01)
        else:
            return


def _row(decision: Decision) -> tuple[int | str, ...]:
    return (
        decision.minute,
        decision.event,
        decision.policy,
        json.dumps(dict(decision.choices)),
        decision.language,
        int(decision.signal),
        decision.layer,
        decision.device,
        decision.snapshot,
    )


def path_of(url: str) -> Path:
    """Read `sqlite:///relative.db` or `sqlite:////absolute.db`."""
    if not url.startswith("sqlite:///") or len(url) == len("sqlite:///"):
        raise LedgerError(
            f"{url!r} is no ledger; write sqlite:///bandeau.db (three slashes, a path)"
        )
    return Path(url.removeprefix("sqlite:///"))
