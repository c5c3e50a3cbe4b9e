"""A ledger in a PostgreSQL database: any processes, on any machines.

The head's row is locked from when it is read until COMMIT (`synchronous_commit = on`), so writers form
a line. A batch takes two round trips: its rows go out in one pipeline, as arrays, where COPY would
take one for each table. A writer that is suspended in between holds the row, and no timeout of the
server's is sure to end that (none counts within a pipeline or a COPY): whoever waits for it does.

The tables are in a schema of their own. `record` and `record_key` are partitioned by the month of the
record's time, so that retention can drop whole months. Connect directly, or through a pooler that keeps
sessions: settings are made when connecting.
"""

from __future__ import annotations

import contextlib
import os
import re
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Literal, NamedTuple, TypeVar
from urllib.parse import parse_qsl, urlencode

import psycopg
from psycopg import errors
from psycopg.conninfo import conninfo_to_dict
from psycopg.pq import TransactionStatus

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

_T = TypeVar("_T")


class Database(psycopg.Connection[tuple[Any, ...]]):
    """A connection that waits for an answer until `ends` (monotonic); None: as long as it takes."""

    ends: float | None = None

    def wait(self, gen: Any, *args: Any, **more: Any) -> Any:
        """See psycopg; raises OperationalError where no answer comes."""
        timely = gen if self.ends is None else _until(self.ends, gen)
        return super().wait(timely, *args, **more)


def _until(ends: float, gen: Any) -> Any:
    """Go on with what psycopg waits for; from time to time it is told that nothing came."""
    try:
        wanted = next(gen)
        while True:
            ready = yield wanted
            if not ready and time.monotonic() > ends:
                raise psycopg.OperationalError("the server does not answer")
            wanted = gen.send(ready)
    except StopIteration as done:
        return done.value


_PATIENCE = 5.0  # seconds: for the server to come back when it is lost in a commit
_REWRITTEN = 64 * 2**20  # bytes of a month's table that `scrub` writes anew, in about a second
_LOCK = int.from_bytes(b"bandeau")  # advisory: making the tables, and the head's row
_CONNECTION = {  # what the URL says goes before
    "application_name": "bandeau",
    "connect_timeout": 5,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 20_000,
    "target_session_attrs": "read-write",  # of several hosts, the one that takes writes
    "client_encoding": "UTF8",
}
_SETTINGS = {
    "search_path": "bandeau",
    "synchronous_commit": "on",
    "lock_timeout": "3s",
    "tcp_keepalives_idle": "10",
    "tcp_keepalives_interval": "5",
    "tcp_keepalives_count": "3",
}
# None for writing: where a COMMIT waits for a standby, PostgreSQL answers a timeout with success
_READING = {**_SETTINGS, "statement_timeout": "60s"}
# A server that is halted keeps no time, and its machine says that it is there: readers keep their own.
_READ_SECONDS = 65.0
_PAGE_SECONDS = 3.0  # where a page waits for what is read
_RESTS_SECONDS = 1.0  # in which nobody asks a server that was silent for as long
_SCHEMA = """
CREATE TABLE meta (name text PRIMARY KEY, value text NOT NULL);
CREATE TABLE entry (idx bigint PRIMARY KEY, entry bytea NOT NULL);
CREATE TABLE record (
    idx bigint, line bytea NOT NULL, replaces bigint, month integer,
    PRIMARY KEY (idx, month)) PARTITION BY LIST (month);
CREATE INDEX record_replaces ON record (replaces) WHERE replaces IS NOT NULL;
CREATE TABLE record_key (
    idx bigint, salt bytea NOT NULL, month integer,
    PRIMARY KEY (idx, month)) PARTITION BY LIST (month);
CREATE TABLE node (level integer, n bigint, hash bytea NOT NULL, PRIMARY KEY (level, n));
CREATE TABLE event (
    idx bigint PRIMARY KEY, kind integer NOT NULL, minute bigint NOT NULL, detail text NOT NULL);
CREATE TABLE document (sha256 text PRIMARY KEY, idx bigint NOT NULL, bytes bytea NOT NULL);
CREATE TABLE policy (
    digest text PRIMARY KEY, minute bigint NOT NULL, purposes text NOT NULL,
    fingerprints text NOT NULL);
CREATE TABLE replay (
    key bytea PRIMARY KEY, bound bytea NOT NULL, idx bigint NOT NULL, size bigint NOT NULL,
    day integer NOT NULL);
CREATE INDEX replay_day ON replay USING brin (day);
CREATE TABLE hold (idx bigint PRIMARY KEY, minute bigint NOT NULL, reason text NOT NULL);
CREATE TABLE head (
    id integer PRIMARY KEY CHECK (id = 1), origin text NOT NULL, size bigint NOT NULL,
    peaks bytea NOT NULL, vkey text NOT NULL, checkpoint bytea NOT NULL);
"""
_TALLY = """
CREATE TABLE tally (
    day integer, kind text, value text, outcome text, n bigint NOT NULL, gone bigint NOT NULL,
    PRIMARY KEY (day, kind, value, outcome))
"""
_OUTBOX = """
CREATE TABLE IF NOT EXISTS outbox (
    idx bigint, partner text, minute bigint NOT NULL, detail text NOT NULL, due bigint NOT NULL,
    tries integer NOT NULL, PRIMARY KEY (partner, idx))
"""
_ACCOUNT = """
CREATE TABLE IF NOT EXISTS account (
    key bytea PRIMARY KEY, value text NOT NULL, idx bigint NOT NULL, minute bigint NOT NULL)
"""
_CLAIM = f"""
UPDATE outbox SET due = %(now)s + LEAST({FIRST_WAIT} << LEAST(tries, 20), {LONGEST_WAIT}),
    tries = tries + 1 WHERE (partner, idx) = (
        SELECT partner, idx FROM outbox WHERE partner = %(partner)s AND due <= %(now)s
        ORDER BY due, idx LIMIT 1 FOR UPDATE SKIP LOCKED)
    RETURNING idx, partner, minute, detail
"""  # noqa: S608 (two numbers of ours)
_TYPES = {
    "entry": ("bigint", "bytea"),
    "record": ("bigint", "bytea", "bigint"),
    "record_key": ("bigint", "bytea"),
    "node": ("integer", "bigint", "bytea"),
    "event": ("bigint", "integer", "bigint", "text"),
    "document": ("text", "bigint", "bytea"),
    "policy": ("text", "bigint", "text", "text"),
    "replay": ("bytea", "bytea", "bigint", "bigint", "integer"),
    "hold": ("bigint", "bigint", "text"),
    "outbox": ("bigint", "text", "bigint", "text", "bigint", "integer"),
    "tally": ("integer", "text", "text", "text", "bigint", "bigint"),
    "account": ("bytea", "text", "bigint", "bigint"),
}
_MONTHLY = ("record", "record_key")


def _insert(table: str) -> str:
    names, types = COLUMNS[table], _TYPES[table]
    if table in _MONTHLY:
        names, types = (*names, "month"), (*types, "integer")
    arrays = ", ".join(f"%b::{one}[]" for one in types)
    return (
        f"INSERT INTO {table} ({', '.join(names)})"  # noqa: S608 (names of ours)
        f" SELECT * FROM unnest({arrays}){_instead(table)}"
    )


def _instead(table: str) -> str:
    if table == "tally":
        return ADDED
    if table in ONCE:
        return " ON CONFLICT DO NOTHING"
    key, *others = COLUMNS[table]
    moved = ", ".join(f"{one} = excluded.{one}" for one in others)
    return f" ON CONFLICT ({key}) DO UPDATE SET {moved}" if table in LATEST else ""


_INSERT = {table: _insert(table) for table in COLUMNS}
_HEAD = "SELECT origin, size, peaks, vkey, checkpoint FROM head WHERE id = 1"
_BEGIN = "INSERT INTO head VALUES (1, %s, %s, %s, %s, %s)"
_MOVE = (  # from where it was read: else the size is NULL, which the table refuses
    "UPDATE head SET origin = %s, size = CASE size + %s WHEN %s THEN size + %s END,"
    " peaks = %s, vkey = %s, checkpoint = %s"
)
_SLEEPERS = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity JOIN pg_locks USING (pid)
    WHERE datname = current_database() AND relation = 'head'::regclass AND granted
    AND mode IN ('RowShareLock', 'RowExclusiveLock') AND wait_event = 'ClientRead'
    AND clock_timestamp() - xact_start > current_setting('lock_timeout')::interval / 2
"""
_REPLAYS = "SELECT key, bound, idx, size FROM replay WHERE key = ANY(%b::bytea[])"
_ACCOUNTS = "SELECT key, value, idx FROM account WHERE key = ANY(%b::bytea[])"
_THERE = "SELECT m FROM unnest(%s::integer[]) AS m WHERE to_regclass('record_' || m) IS NOT NULL"
_MONTHS = (
    "SELECT substr(inhrelid::regclass::text, length('record_') + 1)::integer"
    " FROM pg_inherits WHERE inhparent = 'record'::regclass ORDER BY 1"
)
_OFF = """
SELECT name || ' is off: what was acknowledged can be lost with the power' FROM pg_settings
    WHERE name IN ('fsync', 'full_page_writes') AND setting = 'off'
UNION ALL SELECT checksum_failures || ' blocks of the database had a wrong checksum'
    FROM pg_stat_database WHERE datname = current_database() AND checksum_failures > 0
UNION ALL SELECT 'the index ' || indexrelid::regclass || ' is not valid'
    FROM pg_index JOIN pg_class ON pg_class.oid = indrelid
    WHERE relnamespace = current_schema()::regnamespace AND NOT indisvalid
"""


class PostgresStore:
    """See `store.Store`. Safe to use from any thread. `url` is for people, `address` to connect."""

    def __init__(self, url: str) -> None:
        self._parts = _parts(url)
        self.url, self.address = _shown(url), url
        self._months: list[int] = []  # of the last batch
        self._closed = False
        self.session: object = None  # the connection that writes
        self._lines = self._anew()
        self.again()

    def again(self) -> None:
        """Connect, and see that the schema is ours."""
        self._lines = self._anew(self._lines)
        with self._line("writing") as line, self._said("cannot open the ledger"):
            try:
                version = line.retried(_made)
                self.session = line.open()
            except psycopg.Error:
                line.close()
                raise
            if version != str(SCHEMA_VERSION):
                line.close()
                remedy = (
                    "run: bandeau ledger migrate"
                    if version == "3"
                    else "use the version of bandeau that made it"
                )
                raise LedgerError(f"{self.url}: schema version {version} is not ours; {remedy}")

    def commit(
        self, make: Make, keys: Iterable[bytes] = (), accounts: Iterable[bytes] = ()
    ) -> None:
        """See `store.Store`. Where the connection is lost on the way, it goes on with another.

        A batch whose COMMIT was sent and never answered is looked for before anything is made again.
        """
        asked = list(keys), list(accounts)
        sent: Batch | None = None
        known, deadline = False, 0.0
        with self._line("writing") as line, self._said("not stored"):
            while True:
                try:
                    database = line.open()
                    if (
                        self.session is not database
                    ):  # a standby may have taken over: read there too
                        self.session = database
                        self._lines.reading.stale = self._lines.paging.stale = True
                    known = True
                    head, batch = self._next(database, make, asked, sent)
                    if batch is None or batch is sent:
                        database.execute("COMMIT" if batch else "ROLLBACK")
                        return
                    self._prepare(database, batch)
                    sent = batch
                    _put(database, head, batch)
                except errors.LockNotAvailable as error:
                    if line.lost(error) or not line.open().execute(_SLEEPERS).fetchall():
                        raise
                except psycopg.Error as error:
                    if not line.lost(error) or not known:
                        raise
                    deadline = deadline or time.monotonic() + _PATIENCE
                    if time.monotonic() > deadline:
                        raise
                    time.sleep(0.05)
                except BaseException:
                    line.lost()
                    raise
                else:
                    return

    def head(self) -> Head | None:
        """See `store.Store`."""
        rows = self._rows(_HEAD)
        return Head.of(*rows[0]) if rows else None

    def entries(self, low: int, high: int) -> list[bytes]:
        """See `store.Store`."""
        sql = "SELECT entry FROM entry WHERE idx >= %s AND idx < %s ORDER BY idx"
        return [row[0] for row in self._rows(sql, low, high)]

    def nodes(self, level: int, low: int, high: int) -> list[bytes]:
        """See `store.Store`."""
        sql = "SELECT hash FROM node WHERE level = %s AND n >= %s AND n < %s ORDER BY n"
        return [row[0] for row in self._rows(sql, level, low, high)]

    def records(self, low: int, high: int) -> list[Kept]:
        """See `store.Store`."""
        there = "WHERE idx >= %s AND idx < %s"
        sql = f"SELECT idx, line, replaces, month FROM record {there} ORDER BY idx"  # noqa: S608
        found = self._rows(sql, low, high)
        months = sorted({row[3] for row in found})  # a join would look into every pair of months
        sql = f"SELECT idx, salt FROM record_key {there} AND month = ANY(%s)"  # noqa: S608
        salts = dict(self._rows(sql, low, high, months)) if found else {}
        return [
            Kept(index, line, salts[index], replaces)
            for index, line, replaces, _ in found
            if index in salts
        ]

    def successors(self, index: int) -> list[int]:
        """See `store.Store`."""
        sql = "SELECT idx FROM record WHERE replaces = %s ORDER BY idx"
        return [row[0] for row in self._rows(sql, index)]

    def events(self, kinds: Iterable[int] = ()) -> list[Event]:
        """See `store.Store`."""
        rows = self._rows("SELECT idx, kind, minute, detail FROM event ORDER BY idx")
        wanted = set(kinds)
        return [Event(*row) for row in rows if not wanted or row[1] in wanted]

    def document(self, sha256: str) -> tuple[int, bytes] | None:
        """See `store.Store`."""
        rows = self._rows("SELECT idx, bytes FROM document WHERE sha256 = %s", sha256)
        return (rows[0][0], rows[0][1]) if rows else None

    def policies(self) -> list[tuple[str, int, str, str]]:
        """See `store.Store`."""
        rows = self._rows("SELECT digest, minute, purposes, fingerprints FROM policy")
        return [(row[0], row[1], row[2], row[3]) for row in rows]

    def holds(self) -> list[tuple[int, int, str]]:
        """See `store.Store`."""
        rows = self._rows("SELECT idx, minute, reason FROM hold ORDER BY idx")
        return [(row[0], row[1], row[2]) for row in rows]

    def tally(self, low: int, high: int) -> list[ROW]:
        """See `store.Store`."""
        sql = (
            "SELECT day, kind, value, outcome, n, gone FROM tally WHERE day >= %s AND day < %s"
            ' ORDER BY day, kind, value COLLATE "C", outcome'
        )
        return [(r[0], r[1], r[2], r[3], r[4], r[5]) for r in self._rows(sql, low, high)]

    def accounts(self, keys: Iterable[bytes]) -> dict[bytes, tuple[str, int]]:
        """See `store.Store`."""
        rows = self._rows(_ACCOUNTS, list(keys), by="paging")
        return {key: (value, index) for key, value, index in rows}

    def claim(self, partner: str, now: int) -> Untold | None:
        """See `store.Store`."""
        values = {"partner": partner, "now": now}
        with self._line("reading") as line, self._said("not claimed"):
            row = line.retried(lambda it: it.execute(_CLAIM.encode(), values).fetchone())
        return Untold(*row) if row else None

    def told(self, index: int, partner: str) -> None:
        """See `store.Store`."""
        sql = b"DELETE FROM outbox WHERE idx = %s AND partner = %s"
        with self._line("reading") as line, self._said("not forgotten"):
            line.retried(lambda it: it.execute(sql, [index, partner]))

    def untold(self) -> int:
        """See `store.Store`."""
        return int(self._rows("SELECT count(*) FROM outbox", by="paging")[0][0])

    def scrub(self) -> None:
        """Vacuum the months out of which something was deleted, by this process or another.

        Space that was vacuumed can hold the old bytes until it is used again, so a month's table of up
        to 64 MiB is written anew; above that run VACUUM FULL on it at a quiet hour. The WAL is cut where
        the role may do that (`pg_switch_wal()`, `pg_checkpoint`); without `wal_recycle = off` its files
        are kept for later as they are. WAL archives and backups are not reached: they hold the bytes
        until they expire, so leave `record_key` out of backups.
        """
        with self._line("writing") as line, self._said("not scrubbed"):
            line.retried(self._scrubbed)

    def integrity(self) -> list[str]:
        """See `store.Store`. Every block that is read is checked too, where the server has checksums."""
        return [row[0] for row in self._rows(_OFF)]

    def close(self) -> None:
        """See `store.Store`."""
        self._closed = True
        lines = self._mine()
        for line in lines.all:
            with line.lock:
                line.close()

    # -- connections -------------------------------------------------------------------------------

    def _anew(self, old: _Lines | None = None) -> _Lines:
        """Return what connects when it is used; of another process's connections only let go."""
        if old:
            for line in old.all:
                line.close(ours=old.process == os.getpid())
        return _Lines(
            os.getpid(),
            _Line(self._parts, _SETTINGS),
            _Line(self._parts, _READING, _READ_SECONDS),
            _Line({**self._parts, "connect_timeout": 2}, _READING, _PAGE_SECONDS),
        )

    def _mine(self) -> _Lines:
        if self._lines.process != os.getpid():
            self._lines = self._anew(self._lines)
        return self._lines

    @contextlib.contextmanager
    def _line(self, name: Literal["writing", "reading", "paging"]) -> Iterator[_Line]:
        """Hold one of this process's connections."""
        if self._closed:
            raise LedgerError(f"{self.url}: the ledger is closed")
        lines = self._mine()
        line = {"writing": lines.writing, "reading": lines.reading, "paging": lines.paging}[name]
        if not line.taken():
            raise LedgerError(f"{self.url}: cannot be read: the server does not answer")
        try:
            yield line
        finally:
            line.lock.release()

    def _rows(
        self, sql: str, *values: Any, by: Literal["reading", "paging"] = "reading"
    ) -> list[tuple[Any, ...]]:
        with self._line(by) as line, self._said("cannot be read"):
            return line.retried(lambda it: it.execute(sql.encode(), values, binary=True).fetchall())

    @contextlib.contextmanager
    def _said(self, what: str) -> Iterator[None]:
        """Turn the database's errors into ours."""
        try:
            yield
        except psycopg.Error as error:
            words = " ".join((error.diag.message_primary or str(error)).split())
            for secret in filter(None, map(self._parts.get, _SECRETS)):
                words = words.replace(secret, "***")
            raise LedgerError(f"{self.url}: {what}: {words}") from error

    # -- writing -----------------------------------------------------------------------------------

    def _next(
        self,
        database: Database,
        make: Make,
        asked: tuple[list[bytes], list[bytes]],
        sent: Batch | None,
    ) -> tuple[Head | None, Batch | None]:
        """Hold the head, and return it with what is to be written; `sent` where that is in already."""
        with database.pipeline():
            database.execute("BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE")
            held = database.execute(f"{_HEAD} FOR UPDATE".encode(), binary=True)
            answered, chosen = (
                database.execute(sql, [keys], binary=True) if keys else ()
                for sql, keys in zip((_REPLAYS, _ACCOUNTS), asked, strict=True)
            )
            there = database.execute(_THERE, [self._months])
        row = held.fetchone()
        if row is None:  # nothing to hold yet
            database.execute("SELECT pg_advisory_xact_lock(%s)", [_LOCK])
            row = database.execute(f"{_HEAD} FOR UPDATE".encode(), binary=True).fetchone()
        head = Head.of(*row) if row else None
        self._months = [month for (month,) in there]
        if sent and _is_in(database, sent):
            return head, sent
        replays = {key: Replay(*rest) for key, *rest in answered}
        accounts = {key: (value, index) for key, value, index in chosen}
        return head, make(head, Seen(replays, accounts))

    def _prepare(self, database: Database, batch: Batch) -> None:
        """Do what takes round trips of its own, and is seldom: new months, and what goes."""
        months = sorted({_month(row[1]) for row in batch.rows.get("record", ())})
        for month in months:
            if month not in self._months:
                _partition(database, month)
        self._months = months
        if batch.erased or batch.before:
            _remove(database, batch)

    def _scrubbed(self, database: Database) -> None:
        deadline = time.monotonic() + _PATIENCE
        noted = database.execute("SELECT name, value FROM meta WHERE name LIKE 'scrub %'")
        for name, value in noted.fetchall():
            for table in _MONTHLY:
                with contextlib.suppress(errors.UndefinedTable):  # dropped since
                    self._vacuum(database, f"{table}_{name.split()[1]}", deadline)
            database.execute("DELETE FROM meta WHERE name = %s AND value = %s", [name, value])
        database.execute("VACUUM replay")
        self._vacuum(database, "account", deadline)
        with contextlib.suppress(errors.InsufficientPrivilege):
            database.execute("SELECT pg_switch_wal()")
            database.execute("CHECKPOINT")

    def _vacuum(self, database: Database, table: str, deadline: float) -> None:
        while True:
            database.execute(f"VACUUM {table}".encode())
            dead, size = database.execute(
                "SELECT pg_stat_get_dead_tuples(%s::regclass), pg_table_size(%s::regclass)",
                [table, table],
            ).fetchall()[0]
            if not dead:
                break
            if time.monotonic() > deadline:
                raise LedgerError(
                    f"{self.url}: somebody reads the database, so what was deleted is still in it;"
                    " run the command again"
                )
            time.sleep(0.05)
        if size <= _REWRITTEN:
            database.execute(f"VACUUM FULL {table}".encode())


class _Line:
    """A connection that is made when it is needed, and again when it was lost.

    With `seconds` whoever takes it is done in that time or so, be it that the server never answers.
    """

    def __init__(
        self, parts: dict[str, Any], settings: dict[str, str], seconds: float | None = None
    ) -> None:
        given = parts.get("options") or ""
        options = " ".join([given, *(f"-c {name}={value}" for name, value in settings.items())])
        self._parts = {**_CONNECTION, **parts, "options": options}
        self._database: Database | None = None
        self._seconds = seconds
        self._ends: float | None = None
        self._rests = 0.0  # until when nobody asks
        self.lock = threading.Lock()
        self.stale = False  # it may be to a server that is not the one any more

    def taken(self) -> bool:
        """Take the lock; False where those before or the server have kept others waiting too long."""
        if self._seconds is None:
            return self.lock.acquire()
        ends = time.monotonic() + self._seconds
        if time.monotonic() < self._rests or not self.lock.acquire(timeout=self._seconds):
            return False
        self._ends = ends
        return True

    def open(self) -> Database:
        """Return the connection."""
        if self.stale:
            self.stale = False
            self.close()
        if self._database is None:
            self._database = Database.connect(**self._parts, autocommit=True)
        self._database.ends = self._ends
        return self._database

    def lost(self, error: psycopg.Error | None = None) -> bool:
        """Leave the transaction, if there is one; say whether the connection is gone with it."""
        database = self._database
        fatal = error and error.diag.severity_nonlocalized in ("FATAL", "PANIC")
        if database and not fatal and not database.closed:
            try:
                if database.info.transaction_status != TransactionStatus.IDLE:
                    database.execute("ROLLBACK")
            except psycopg.Error:
                pass
            else:
                return False
        self.close()
        return True

    def retried(self, action: Callable[[Database], _T]) -> _T:
        """Do something that can be done twice; once more where the connection was lost."""
        known, began = self._database, time.monotonic()
        try:
            return action(self.open())
        except psycopg.Error as error:
            if not self._lost(error, began) or known is None:
                raise
            if self._ends is not None and time.monotonic() > self._ends:
                raise
        try:
            return action(self.open())
        except psycopg.Error as error:
            self._lost(error, began)
            raise

    def _lost(self, error: psycopg.Error, began: float) -> bool:
        """See `lost`; where that took its time the others are told at once, for a moment."""
        lost = self.lost(error)
        if lost and time.monotonic() - began > _RESTS_SECONDS:
            self._rests = time.monotonic() + _RESTS_SECONDS
        return lost

    def close(self, *, ours: bool = True) -> None:
        """Let go of the connection. One of a parent process must not be ended: the parent goes on."""
        database, self._database = self._database, None
        if database and ours:
            database.close()
        elif database and not database.closed:
            os.close(database.fileno())
            _PARENTS.append(database)


class _Lines(NamedTuple):
    """A process's connections: readers do not wait for the writer, nor pages for readers."""

    process: int
    writing: _Line
    reading: _Line
    paging: _Line

    @property
    def all(self) -> tuple[_Line, ...]:
        return self.writing, self.reading, self.paging


_PARENTS: list[Database] = []  # kept, because what is collected is ended
_SECRETS = ("password", "sslpassword")


def _parts(url: str) -> dict[str, Any]:
    """Read a URL; what is wrong in it may be a part of a password, so it is not repeated."""
    try:
        parts = conninfo_to_dict(url)
    except psycopg.Error:
        parts = {"dbname": "@"}
    places = str(parts.get("host", "")) + str(parts.get("dbname", ""))
    if "@" in places or re.search(r"[^0-9,]", str(parts.get("port", ""))):
        raise LedgerError(
            "the ledger's URL cannot be read; write postgresql://USER:PASSWORD@HOST/DATABASE, and in"
            " a password %40 for @, %2F for /, %3A for :, %25 for %"
        )
    return dict(parts)


def _shown(url: str) -> str:
    """Return a URL without its passwords."""
    place, _, query = re.sub(r"(?<=//)([^:@/]*):[^@/]*@", r"\1:***@", url, count=1).partition("?")
    kept = [pair for pair in parse_qsl(query) if pair[0] not in _SECRETS]
    return f"{place}?{urlencode(kept)}" if kept else place


def _made(database: Database) -> str | None:
    """Make the tables in a new database, of several processes in one; return the schema's version."""
    there = "SELECT to_regclass('meta')"
    if database.execute(there).fetchall() == [(None,)]:
        with database.transaction():
            database.execute("SELECT pg_advisory_xact_lock(%s)", [_LOCK])
            if database.execute("SELECT to_regnamespace('bandeau')").fetchall() == [(None,)]:
                database.execute("CREATE SCHEMA bandeau")
            if database.execute(there).fetchall() == [(None,)]:
                database.execute(_SCHEMA)
                database.execute(_TALLY)
                row = ["schema_version", str(SCHEMA_VERSION)]
                database.execute("INSERT INTO meta VALUES (%s, %s)", row)
    lacking = "SELECT to_regclass('outbox') IS NULL OR to_regclass('account') IS NULL"
    if database.execute(lacking).fetchall() == [(True,)]:
        with database.transaction():  # which older ledgers of this schema lack
            database.execute("SELECT pg_advisory_xact_lock(%s)", [_LOCK])
            for table in (_OUTBOX, _ACCOUNT):
                database.execute(table)
    found = database.execute("SELECT value FROM meta WHERE name = 'schema_version'").fetchone()
    return str(found[0]) if found else None


def upgrade(url: str) -> None:
    """Give a ledger of schema 3, and no other, its tally, empty. Raises LedgerError."""
    sql = "UPDATE meta SET value = %s WHERE name = 'schema_version' AND value = '3'"
    try:
        with contextlib.closing(_Line(_parts(url), _SETTINGS)) as line, line.open().transaction():
            if line.open().execute(sql, [str(SCHEMA_VERSION)]).rowcount:
                line.open().execute(_TALLY)
    except psycopg.Error as error:
        words = " ".join((error.diag.message_primary or "the server did not answer").split())
        raise LedgerError(f"{_shown(url)}: not migrated: {words}") from None


def _month(line: bytes) -> int:
    """Return the month of a record as a number: 202611."""
    return int(line[:4] + line[5:7])


def _partition(database: Database, month: int) -> None:
    """Make a month's tables; attaching them, other than making them in place, lets readers go on."""
    if database.execute(_THERE, [[month]]).fetchall():
        return
    for table in _MONTHLY:
        part = f"{table}_{month}"
        database.execute(f"CREATE TABLE {part} (LIKE {table} INCLUDING ALL)".encode())
        sql = f"ALTER TABLE {table} ATTACH PARTITION {part} FOR VALUES IN ({month})"
        database.execute(sql.encode())


def _is_in(database: Database, batch: Batch) -> bool:
    """Say whether a batch was committed: no two decisions have the same entry.

    What has no entry of its own may be done twice.
    """
    entries = batch.rows.get("entry")
    if not entries:
        return False
    index, content = entries[-1]
    found = database.execute("SELECT entry FROM entry WHERE idx = %s", [index]).fetchone()
    return found is not None and found[0] == content


def _put(database: Database, head: Head | None, batch: Batch) -> None:
    """Write a batch and commit; where anything fails COMMIT is left out."""
    month_of = {row[0]: _month(row[1]) for row in batch.rows.get("record", ())}
    new, grown = batch.head, len(batch.rows.get("entry", ()))
    size = [grown, new.tree.size, grown] if head else [new.tree.size]
    with database.pipeline():
        for table, rows in batch.rows.items():
            columns = [list(column) for column in zip(*rows, strict=True)]
            if table in _MONTHLY:
                columns.append([month_of[index] for index in columns[0]])
            database.execute(_INSERT[table].encode(), columns)
        if batch.released:
            database.execute("DELETE FROM hold WHERE idx = ANY(%s)", [list(batch.released)])
        if batch.forget:
            database.execute("DELETE FROM replay WHERE day < %s", [batch.forget])
        if batch.left:
            database.execute("DELETE FROM account WHERE key = ANY(%s)", [list(batch.left)])
        if batch.lapsed:
            database.execute("DELETE FROM account WHERE minute < %s", [batch.lapsed])
        values = [new.origin, *size, new.peaks, new.vkey, new.checkpoint]
        database.execute(_MOVE if head else _BEGIN, values)
        database.execute("COMMIT")


def _remove(database: Database, batch: Batch) -> None:
    """Delete what a batch says, whole months by their tables, and note for `scrub` where that was."""
    touched: set[int] = set()
    if batch.erased:
        gone = [list(batch.erased)]
        for table in _MONTHLY:
            sql = f"DELETE FROM {table} WHERE idx = ANY(%s) RETURNING month"  # noqa: S608 (two words)
            touched |= {month for (month,) in database.execute(sql.encode(), gone)}
        database.execute("DELETE FROM replay WHERE idx = ANY(%s)", gone)
    if batch.before:
        database.execute("SET LOCAL lock_timeout = '1s'")  # who reads a month that goes stops all
        for (month,) in database.execute(_MONTHS).fetchall():
            if _retire(database, month, batch.before):
                touched.add(month)
    for month in sorted(touched):
        database.execute(
            "INSERT INTO meta VALUES (%s, %s)"
            " ON CONFLICT (name) DO UPDATE SET value = excluded.value",
            [f"scrub {month}", str(batch.head.tree.size)],
        )


def _retire(database: Database, month: int, before: int) -> bool:
    """Drop a month that lies before an index whole; else delete, and say whether anything was there."""
    tables = [f"{table}_{month}" for table in _MONTHLY]
    some = f"EXISTS (SELECT 1 FROM {tables[0]} JOIN hold USING (idx))"  # noqa: S608 (names of ours)
    sql = f"SELECT max(idx), {some} FROM {tables[0]}"  # noqa: S608
    last, held = database.execute(sql.encode()).fetchall()[0]
    if last is not None and last < before and not held:
        database.execute(f"DROP TABLE {', '.join(tables)}".encode())
        return False
    old = "idx < %s AND idx NOT IN (SELECT idx FROM hold)"
    deleted = [
        database.execute(f"DELETE FROM {table} WHERE {old}".encode(), [before]).rowcount  # noqa: S608
        for table in tables
    ]
    return any(deleted)
