"""A ledger in one SQLite file: any threads and processes of one machine.

WAL with `synchronous=FULL` survives loss of power (SQLite, "Write-Ahead Logging", section 4).
`BEGIN IMMEDIATE` makes writers wait for each other; the head is read within, and its row is changed
only where it still is what was read.
"""

from __future__ import annotations

import contextlib
import random
import sqlite3
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from bandeau.errors import LedgerError
from bandeau.ledger.store import (
    ADDED,
    COLUMNS,
    FIRST_WAIT,
    LATEST,
    LONGEST_WAIT,
    ONCE,
    SCHEMA_VERSION,
    Batch,
    Event,
    Head,
    Kept,
    Make,
    Replay,
    Seen,
    Untold,
)
from bandeau.ledger.tally import ROW
from bandeau.wire import fork

_WAIT_SECONDS = 5.0  # for another process that holds the file
_MANY = 500  # parameters of one statement; SQLite allows 999 at least
_SCHEMA = """
CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE entry (idx INTEGER PRIMARY KEY, entry BLOB NOT NULL);
CREATE TABLE record (idx INTEGER PRIMARY KEY, line BLOB NOT NULL, replaces INTEGER);
CREATE INDEX record_replaces ON record (replaces) WHERE replaces IS NOT NULL;
CREATE TABLE record_key (idx INTEGER PRIMARY KEY, salt BLOB NOT NULL);
CREATE TABLE node (
    level INTEGER, n INTEGER, hash BLOB NOT NULL, PRIMARY KEY (level, n)) WITHOUT ROWID;
CREATE TABLE event (
    idx INTEGER PRIMARY KEY, kind INTEGER NOT NULL, minute INTEGER NOT NULL, detail TEXT NOT NULL);
CREATE TABLE document (sha256 TEXT PRIMARY KEY, idx INTEGER NOT NULL, bytes BLOB NOT NULL);
CREATE TABLE policy (
    digest TEXT PRIMARY KEY, minute INTEGER NOT NULL, purposes TEXT NOT NULL,
    fingerprints TEXT NOT NULL);
CREATE TABLE replay (
    key BLOB PRIMARY KEY, bound BLOB NOT NULL, idx INTEGER NOT NULL, size INTEGER NOT NULL,
    day INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE hold (idx INTEGER PRIMARY KEY, minute INTEGER NOT NULL, reason TEXT NOT NULL);
CREATE TABLE head (
    id INTEGER PRIMARY KEY CHECK (id = 1), origin TEXT NOT NULL, size INTEGER NOT NULL,
    peaks BLOB NOT NULL, vkey TEXT NOT NULL, checkpoint BLOB NOT NULL);
"""
_TALLY = """
CREATE TABLE tally (
    day INTEGER, kind TEXT, value TEXT, outcome TEXT, n INTEGER NOT NULL, gone INTEGER NOT NULL,
    PRIMARY KEY (day, kind, value, outcome)) WITHOUT ROWID
"""
_OUTBOX = """
CREATE TABLE IF NOT EXISTS outbox (
    idx INTEGER, partner TEXT, minute INTEGER NOT NULL, detail TEXT NOT NULL, due INTEGER NOT NULL,
    tries INTEGER NOT NULL, PRIMARY KEY (partner, idx)) WITHOUT ROWID
"""
_ACCOUNT = """
CREATE TABLE IF NOT EXISTS account (
    key BLOB PRIMARY KEY, value TEXT NOT NULL, idx INTEGER NOT NULL, minute INTEGER NOT NULL)
    WITHOUT ROWID
"""
_DUE = "SELECT idx FROM outbox WHERE partner = ?1 AND due <= ?2 ORDER BY due, idx LIMIT 1"
_CLAIM = (
    f"UPDATE outbox SET due = ?2 + MIN({FIRST_WAIT} << MIN(tries, 20), {LONGEST_WAIT}),"  # noqa: S608
    f" tries = tries + 1 WHERE partner = ?1 AND idx = ({_DUE})"
    " RETURNING idx, partner, minute, detail"
)
_HEAD = "SELECT origin, size, peaks, vkey, checkpoint FROM head WHERE id = 1"
_AT_ONCE = (64, 8, 1)  # rows of one statement: six columns of 64 stay below the 999 parameters
_SIZES = {table: range(64, 0, -1) if table == "tally" else _AT_ONCE for table in COLUMNS}


def _instead(table: str) -> str:
    return " OR IGNORE" if table in ONCE else " OR REPLACE" if table in LATEST else ""


_INSERT = {
    (table, rows): f"INSERT{_instead(table)} INTO {table} VALUES "
    + ", ".join([f"({', '.join('?' * len(columns))})"] * rows)
    + (ADDED if table == "tally" else "")
    for table, columns in COLUMNS.items()
    for rows in _SIZES[table]
}


class SqliteStore:
    """See `store.Store`. Safe to use from any thread."""

    session: object = None  # one file, whoever opens it

    def __init__(self, path: Path) -> None:
        self.path = path
        self.url = self.address = f"sqlite:///{path}"
        self._writing, self._reading = threading.Lock(), threading.Lock()
        self._closed = False
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise LedgerError(f"{path}: cannot open the ledger: {error}") from error
        self._connect()
        fork.guard(self)

    def again(self) -> None:
        """Do nothing: a fork has connected anew already."""

    def before_fork(self) -> None:
        """See `wire.fork`."""
        self._writing.acquire()
        self._reading.acquire()
        if not self._closed:
            self._read.close()
            self._write.close()

    def after_fork(self, *, child: bool) -> None:  # noqa: ARG002 (both go on alike)
        """See `wire.fork`."""
        try:
            if not self._closed:
                self._connect()
        except LedgerError:
            pass  # whoever asks next is told
        finally:
            self._reading.release()
            self._writing.release()

    def _connect(self) -> None:
        """Connect, and see that the schema is ours."""
        try:
            self._write = self._connected()
            _made(self._write)
            self._read = self._connected()
            version = self._read.execute(
                "SELECT value FROM meta WHERE name = 'schema_version'"
            ).fetchone()[0]
        except (sqlite3.Error, TypeError, ValueError) as error:
            raise LedgerError(f"{self.path}: cannot open the ledger: {error}") from error
        if version != str(SCHEMA_VERSION):
            remedy = (
                f"run: bandeau ledger migrate --ledger {self.url}"
                if version in ("1", "2", "3")
                else "use the version of bandeau that made it"
            )
            raise LedgerError(f"{self.path}: schema version {version} is not ours; {remedy}")

    def commit(
        self, make: Make, keys: Iterable[bytes] = (), accounts: Iterable[bytes] = ()
    ) -> None:
        """See `store.Store`."""
        with self._writing, self._said("not stored"):
            database = self._write
            _begun(database)
            try:
                seen = Seen(_replays(database, list(keys)), _accounts(database, list(accounts)))
                batch = make(_head(database), seen)
                if batch:
                    _put(database, batch)
                database.execute("COMMIT")
            except BaseException:
                if database.in_transaction:  # a COMMIT that failed may have rolled back itself
                    database.execute("ROLLBACK")
                raise

    def head(self) -> Head | None:
        """See `store.Store`."""
        with self._reading, self._said("cannot be read"):
            return _head(self._read)

    def entries(self, low: int, high: int) -> list[bytes]:
        """See `store.Store`."""
        sql = "SELECT entry FROM entry WHERE idx >= ? AND idx < ? ORDER BY idx"
        return [row[0] for row in self._rows(sql, low, high)]

    def nodes(self, level: int, low: int, high: int) -> list[bytes]:
        """See `store.Store`."""
        sql = "SELECT hash FROM node WHERE level = ? AND n >= ? AND n < ? ORDER BY n"
        return [row[0] for row in self._rows(sql, level, low, high)]

    def records(self, low: int, high: int) -> list[Kept]:
        """See `store.Store`."""
        sql = (
            "SELECT idx, line, salt, replaces FROM record JOIN record_key USING (idx)"
            " WHERE idx >= ? AND idx < ? ORDER BY idx"
        )
        return [Kept(*row) for row in self._rows(sql, low, high)]

    def successors(self, index: int) -> list[int]:
        """See `store.Store`."""
        sql = "SELECT idx FROM record WHERE replaces = ? ORDER BY idx"
        return [row[0] for row in self._rows(sql, index)]

    def events(self, kinds: Iterable[int] = ()) -> list[Event]:
        """See `store.Store`."""
        rows = self._rows("SELECT idx, kind, minute, detail FROM event ORDER BY idx")
        wanted = set(kinds)
        return [Event(*row) for row in rows if not wanted or row[1] in wanted]

    def document(self, sha256: str) -> tuple[int, bytes] | None:
        """See `store.Store`."""
        rows = self._rows("SELECT idx, bytes FROM document WHERE sha256 = ?", sha256)
        return (rows[0][0], rows[0][1]) if rows else None

    def policies(self) -> list[tuple[str, int, str, str]]:
        """See `store.Store`."""
        return self._rows("SELECT digest, minute, purposes, fingerprints FROM policy")

    def holds(self) -> list[tuple[int, int, str]]:
        """See `store.Store`."""
        return self._rows("SELECT idx, minute, reason FROM hold ORDER BY idx")

    def tally(self, low: int, high: int) -> list[ROW]:
        """See `store.Store`."""
        sql = (
            "SELECT day, kind, value, outcome, n, gone FROM tally WHERE day >= ? AND day < ?"
            " ORDER BY day, kind, value, outcome"
        )
        return [(r[0], r[1], r[2], r[3], r[4], r[5]) for r in self._rows(sql, low, high)]

    def accounts(self, keys: Iterable[bytes]) -> dict[bytes, tuple[str, int]]:
        """See `store.Store`."""
        with self._reading, self._said("cannot be read"):
            return _accounts(self._read, list(keys))

    def claim(self, partner: str, now: int) -> Untold | None:
        """See `store.Store`."""
        if not self._rows(_DUE, partner, now):
            return None
        with self._writing, self._said("not claimed"):
            _begun(self._write)
            with self._write:
                row = self._write.execute(_CLAIM, (partner, now)).fetchone()
        return Untold(*row) if row else None

    def told(self, index: int, partner: str) -> None:
        """See `store.Store`."""
        with self._writing, self._said("not forgotten"):
            sql = "DELETE FROM outbox WHERE idx = ? AND partner = ?"
            self._write.execute(sql, (index, partner))

    def untold(self) -> int:
        """See `store.Store`."""
        return int(self._rows("SELECT COUNT(*) FROM outbox")[0][0])

    def scrub(self) -> None:
        """Move the WAL into the file and cut it: deleted bytes stay in it until then."""
        deadline = time.monotonic() + _WAIT_SECONDS
        with self._writing, self._said("not scrubbed"):
            while True:
                busy = self._write.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
                if not busy:
                    return
                if time.monotonic() > deadline:
                    raise LedgerError(
                        f"{self.path}: somebody reads the ledger, so what was deleted is still in its"
                        " WAL; run the command again"
                    )
                time.sleep(0.05)

    def integrity(self) -> list[str]:
        """See `store.Store`."""
        rows = self._rows("PRAGMA integrity_check")
        return [str(row[0]) for row in rows if row[0] != "ok"]

    def close(self) -> None:
        """See `store.Store`."""
        with self._writing, self._reading:
            self._closed = True
            self._read.close()
            self._write.close()

    def _connected(self) -> sqlite3.Connection:
        database = sqlite3.connect(
            self.path, timeout=_WAIT_SECONDS, isolation_level=None, check_same_thread=False
        )
        write_ahead(database)
        database.execute("PRAGMA synchronous=FULL")
        database.execute("PRAGMA secure_delete=ON")
        return database

    def _rows(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        with self._reading, self._said("cannot be read"):
            return self._read.execute(sql, values).fetchall()

    @contextlib.contextmanager
    def _said(self, what: str) -> Iterator[None]:
        """Turn the database's errors into ours."""
        try:
            yield
        except (sqlite3.Error, TypeError) as error:  # a column that was changed to another type
            raise LedgerError(f"{self.path}: {what}: {error}") from error


def write_ahead(database: sqlite3.Connection) -> None:
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


def _begun(database: sqlite3.Connection) -> None:
    """Begin a transaction that writes; where another process does, ask again soon.

    SQLite's own waiting backs off to a tenth of a second, and starves whoever waits.
    """
    deadline = time.monotonic() + _WAIT_SECONDS
    database.execute("PRAGMA busy_timeout=0")
    try:
        while True:
            try:
                database.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError as error:
                if error.sqlite_errorname != "SQLITE_BUSY" or time.monotonic() > deadline:
                    raise
                time.sleep(random.uniform(0.0005, 0.003))  # noqa: S311 (no secret)
            else:
                return
    finally:
        database.execute(f"PRAGMA busy_timeout={int(_WAIT_SECONDS * 1000)}")


def _made(database: sqlite3.Connection) -> None:
    """Make the tables of a new file; of several processes one does."""
    database.execute("BEGIN IMMEDIATE")
    try:
        if not database.execute("SELECT 1 FROM sqlite_master WHERE name = 'meta'").fetchone():
            for statement in filter(str.strip, f"{_SCHEMA}{_TALLY}".split(";")):
                database.execute(statement)
            row = ("schema_version", str(SCHEMA_VERSION))
            database.execute("INSERT INTO meta VALUES (?, ?)", row)
        for table in (_OUTBOX, _ACCOUNT):  # which older ledgers of this schema lack
            database.execute(table)
        database.execute("COMMIT")
    except BaseException:
        if database.in_transaction:
            database.execute("ROLLBACK")
        raise


def _head(database: sqlite3.Connection) -> Head | None:
    row = database.execute(_HEAD).fetchone()
    return Head.of(*row) if row else None


def _replays(database: sqlite3.Connection, keys: Sequence[bytes]) -> dict[bytes, Replay]:
    found: dict[bytes, Replay] = {}
    for start in range(0, len(keys), _MANY):
        some = keys[start : start + _MANY]
        marks = ", ".join("?" * len(some))
        rows = database.execute(
            f"SELECT key, bound, idx, size FROM replay WHERE key IN ({marks})",  # noqa: S608 (marks)
            some,
        )
        found.update((row[0], Replay(*row[1:])) for row in rows)
    return found


def _accounts(database: sqlite3.Connection, keys: Sequence[bytes]) -> dict[bytes, tuple[str, int]]:
    found: dict[bytes, tuple[str, int]] = {}
    for start in range(0, len(keys), _MANY):
        some = keys[start : start + _MANY]
        marks = ", ".join("?" * len(some))
        sql = f"SELECT key, value, idx FROM account WHERE key IN ({marks})"  # noqa: S608 (marks)
        found.update((row[0], (row[1], row[2])) for row in database.execute(sql, some))
    return found


def _insert(database: sqlite3.Connection, table: str, rows: Sequence[tuple[Any, ...]]) -> None:
    """Insert rows, many with each statement: after each the interpreter's lock has to be won again."""
    at = 0
    for size in _SIZES[table]:
        while len(rows) - at >= size:
            values = [value for row in rows[at : at + size] for value in row]
            database.execute(_INSERT[table, size], values)
            at += size


def _put(database: sqlite3.Connection, batch: Batch) -> None:
    for table, rows in batch.rows.items():
        _insert(database, table, rows)
    gone = [(index,) for index in batch.erased]
    for table in ("record", "record_key"):
        database.executemany(f"DELETE FROM {table} WHERE idx = ?", gone)  # noqa: S608 (two words)
        if batch.before:
            database.execute(
                f"DELETE FROM {table} WHERE idx < ? AND idx NOT IN (SELECT idx FROM hold)",  # noqa: S608
                (batch.before,),
            )
    database.executemany("DELETE FROM replay WHERE idx = ?", gone)
    database.executemany("DELETE FROM hold WHERE idx = ?", [(index,) for index in batch.released])
    if batch.forget:
        database.execute("DELETE FROM replay WHERE day < ?", (batch.forget,))
    database.executemany("DELETE FROM account WHERE key = ?", [(key,) for key in batch.left])
    if batch.lapsed:
        database.execute("DELETE FROM account WHERE minute < ?", (batch.lapsed,))
    head = batch.head
    new = (head.origin, head.tree.size, head.peaks, head.vkey, head.checkpoint)
    grown = len(batch.rows.get("entry", ()))
    changed = database.execute(
        "UPDATE head SET origin = ?, size = ?, peaks = ?, vkey = ?, checkpoint = ?"
        " WHERE id = 1 AND size = ?",
        (*new, head.tree.size - grown),
    ).rowcount
    if changed != 1:
        if grown != head.tree.size:
            raise sqlite3.IntegrityError("the head is not where it was read")
        database.execute("INSERT INTO head VALUES (1, ?, ?, ?, ?, ?)", new)


def upgrade(path: Path) -> None:
    """Give a ledger of schema 3, and no other, its tally, empty. Raises LedgerError."""
    try:
        with contextlib.closing(sqlite3.connect(path, _WAIT_SECONDS, isolation_level=None)) as it:
            it.execute("BEGIN IMMEDIATE")
            sql = "UPDATE meta SET value = ? WHERE name = 'schema_version' AND value = '3'"
            if it.execute(sql, (str(SCHEMA_VERSION),)).rowcount:
                it.execute(_TALLY)
            it.execute("COMMIT")
    except sqlite3.Error as error:
        raise LedgerError(f"{path}: not migrated: {error}") from error


def path_of(url: str) -> Path:
    """Read `sqlite:///relative.db` or `sqlite:////absolute.db`. Raises LedgerError."""
    if not url.startswith("sqlite:///") or len(url) == len("sqlite:///"):
        raise LedgerError(
            f"{url!r} is no ledger; write sqlite:///bandeau.db (three slashes, a path)"
            " or postgresql://USER@HOST/DATABASE"
        )
    return Path(url.removeprefix("sqlite:///"))
