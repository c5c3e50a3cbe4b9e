"""From the ledgers of earlier schemas to the one of today.

Schema 3 had no tally: it gets one, counted out of its records. The ledgers before there was a log (1 and
2, SQLite) become a new one: every decision that is there is logged, in order, with the time and the
choices that it had. That it was logged only now is what its place shows: after the entry of the key that
was made for the log.
"""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

from bandeau.decision.model import Decision, Event
from bandeau.errors import BandeauError
from bandeau.ledger.keys import Keys
from bandeau.ledger.ledger import Ledger
from bandeau.ledger.log import Log
from bandeau.ledger.place import POSTGRESQL, key_file, store_at, upgrade
from bandeau.ledger.sqlite import SqliteStore, path_of
from bandeau.ledger.store import SCHEMA_VERSION, Batch, Head, Seen
from bandeau.policy.file import load
from bandeau.site import origin

_UNSHOWN = b'{"migrated": "what was shown was not kept when these decisions were made"}'
_COUNTED = (
    "CREATE TABLE IF NOT EXISTS page_view (day INTEGER NOT NULL, path TEXT NOT NULL,"
    " referrer TEXT NOT NULL, device TEXT NOT NULL, views INTEGER NOT NULL,"
    " PRIMARY KEY (day, path, referrer, device)) WITHOUT ROWID"
)


def migrated(url: str, policy: Path | None) -> str:
    """Migrate a ledger and say what was done. Raises BandeauError, and leaves the ledger as it is.

    One that is up to date is counted anew where its tally is not what its records give.
    """
    if url.startswith(POSTGRESQL):
        return _recounted(url)
    path = path_of(url)
    if not path.exists():
        raise BandeauError(f"{path}: there is no ledger")
    with closing(sqlite3.connect(path)) as old:
        version = _version(old)
        if version in ("3", str(SCHEMA_VERSION)):
            return _recounted(url)
        if version not in ("1", "2"):
            raise BandeauError(f"{path}: schema version {version} is not one that can be migrated")
        if policy is None:
            raise BandeauError(
                f"{path}: a ledger of schema {version} needs --policy: it names the log"
            )
        old.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        fresh, before = (path.with_name(path.name + end) for end in (".new", f".schema-{version}"))
        fresh.unlink(missing_ok=True)
        keys = Keys(key_file(url))
        ledger = Ledger(SqliteStore(fresh), keys, origin(load(policy)))
        try:
            count = _carried(old, ledger, version)
            counted = _rows(old, "page_view")
        finally:
            ledger.close()
        with closing(sqlite3.connect(fresh)) as new, new:
            new.execute(_COUNTED)
            new.executemany("INSERT INTO page_view VALUES (?, ?, ?, ?, ?)", counted)
    path.rename(before)
    fresh.rename(path)
    return f"{path}: {count} decisions are in the log now; the ledger as it was is {before}"


def _recounted(url: str) -> str:
    upgrade(url)
    store = store_at(url)
    log, lacking = Log(store), 0

    def make(head: Head | None, _: Seen) -> Batch | None:
        nonlocal lacking
        rows = log.lacking(head) if head else []
        lacking = len(rows)
        return Batch(head, {"tally": rows}) if head and rows else None

    with closing(store):
        store.commit(make)
    done = f"its decisions are counted, {lacking} sums are new" if lacking else "it is up to date"
    return f"{store.url}: {done}"


def _version(old: sqlite3.Connection) -> str:
    try:
        row = old.execute("SELECT value FROM meta WHERE name = 'schema_version'").fetchone()
    except sqlite3.DatabaseError as error:
        raise BandeauError(f"this is no ledger: {error}") from None
    return str(row[0])


def _rows(old: sqlite3.Connection, table: str) -> list[tuple[Any, ...]]:
    known = old.execute("SELECT 1 FROM sqlite_master WHERE name = ?", (table,)).fetchone()
    return old.execute(f"SELECT * FROM {table}").fetchall() if known else []  # noqa: S608 (our words)


def _carried(old: sqlite3.Connection, ledger: Ledger, version: str) -> int:
    ledger.carry(_rows(old, "policy"))
    shown = {"": ledger.snapshot(_UNSHOWN)}
    for sha256, _, content in sorted(_rows(old, "snapshot"), key=lambda row: row[1]):
        shown[sha256] = ledger.snapshot(content)
    more = ", layer, device, snapshot" if version == "2" else ""
    count = 0
    for row in old.execute(
        f"SELECT minute, event, choices, language, signal{more} FROM decision ORDER BY number"  # noqa: S608
    ):
        minute, event, choices, language, signal = row[:5]
        layer, device, sha256 = row[5:] or ("api", "unknown", "")
        decision = Decision(
            minute=minute,
            event=Event(event),
            choices=tuple(json.loads(choices).items()),
            language=language,
            signal=bool(signal),
            snapshot=shown.get(sha256, shown[""]),
            layer=layer,
            device=device,
        )
        ledger.append(decision)
        count += 1
    return count
