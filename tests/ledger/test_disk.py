"""Disks that are full, files that cannot be written or are damaged: errors that say so, and no loss.

The disk is full for real: files that may grow no further (RLIMIT_FSIZE), a small tmpfs where a root
may mount one, a database that may take no more pages. Sixty flipped bits; six hundred with
BANDEAU_PROVE=1.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import random
import re
import resource
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from bandeau.decision.model import Published
from bandeau.errors import ConflictError, LedgerError
from bandeau.ledger import sqlite
from bandeau.ledger.entry import Reason
from bandeau.ledger.ledger import Ledger
from bandeau.ledger.log import Log
from bandeau.ledger.sqlite import SqliteStore
from ledger.faults import (
    DATABASE,
    NOW,
    OLD,
    PROVE,
    SHOWN,
    Told,
    at,
    decision,
    judge,
    name_in,
    quick_folder,
    retry,
    show,
)

POLICY = Published("a" * 64, ("social", "ads"), {"social": "1", "ads": "2"})
PAGE = json.dumps({"policy": POLICY.digest, "purposes": [*POLICY.fingerprints.items()]}).encode()
MANIFEST = b'{"audit": "what was found"}'


# -- a disk that is full -----------------------------------------------------------------------------


@contextlib.contextmanager
def small_files(_: Ledger) -> Iterator[None]:
    """Let files grow to half a megabyte, or three."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (3_000_000 if PROVE else 500_000, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@contextlib.contextmanager
def few_pages(ledger: Ledger) -> Iterator[None]:
    """Let the database have five pages more than it has."""
    database = ledger.store._write  # type: ignore[attr-defined]
    (pages,) = database.execute("PRAGMA page_count").fetchone()
    database.execute(f"PRAGMA max_page_count={pages + 5}")
    yield
    database.execute("PRAGMA max_page_count=1000000")


@contextlib.contextmanager
def small_disk(ledger: Ledger) -> Iterator[None]:
    """Fill the disk but for a megabyte."""
    ballast = ledger.keys.path.with_name("ballast")
    free = shutil.disk_usage(ballast.parent).free
    ballast.write_bytes(bytes(max(0, free - 1_000_000)))
    yield
    ballast.unlink()


Full = Callable[[Ledger], contextlib.AbstractContextManager[None]]


@pytest.fixture
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """A folder for a ledger; for `small_disk` one of 6 MB."""
    if "small_disk" not in request.node.name:
        yield tmp_path
        return
    mounted = ["mount", "-t", "tmpfs", "-o", "size=6m", "tmpfs", str(tmp_path)]
    done = subprocess.run(mounted, check=False, capture_output=True, text=True)
    if os.geteuid() or "permission denied" in done.stderr:
        pytest.skip("root with the right to mount (CAP_SYS_ADMIN) is absent here")
    done.check_returncode()
    try:
        yield tmp_path
    finally:
        subprocess.run(["umount", str(tmp_path)], check=True)


def filled(ledger: Ledger, told: Told, label: str) -> list[LedgerError]:
    """Append with eight clients until each is told an error; return the errors."""
    snapshot = ledger.snapshot(SHOWN)
    errors: list[LedgerError] = []

    def client(number: int) -> None:
        for count in range(5000):
            name = f"{label}-{number}-{count}"
            try:
                told.receipts[name] = ledger.append(decision(snapshot, name), retry(name)).receipt()
            except LedgerError as error:
                errors.append(error)
                return

    clients = [threading.Thread(target=client, args=(number,)) for number in range(8)]
    for one in clients:
        one.start()
    for one in clients:
        one.join()
    return errors


def names(ledger: Ledger) -> set[str]:
    return {name_in(kept.record) for kept in ledger.store.records(0, ledger.head.tree.size)}


@pytest.mark.parametrize("full", [small_files, few_pages, small_disk])
def test_a_full_disk_loses_nothing_and_is_forgotten_once_there_is_room(
    folder: Path, full: Full
) -> None:
    begun = time.monotonic()
    ledger, told = at(folder), Told()
    ledger.snapshot(SHOWN)
    with full(ledger):
        for attempt in range(3):
            errors = filled(ledger, told, f"full{attempt}")
            assert len(errors) == 8
            assert {type(error) for error in errors} == {LedgerError}
            assert ledger.failed
            assert names(ledger) == set(told.receipts)
            assert judge(ledger, told).faults == []
        acknowledged = len(told.receipts)
    name = "room"
    told.receipts[name] = ledger.append(decision(1, name), retry(name)).receipt()
    assert ledger.failed is None
    assert judge(ledger, told).faults == []
    ledger.close()
    again = at(folder)
    assert judge(again, told).faults == []
    assert names(again) == set(told.receipts)
    again.close()
    show(f"a full disk ({full.__name__})", {"acknowledged before it was": acknowledged}, begun)


def refused(ledger: Ledger) -> tuple[int, str]:
    """Append until something is not stored; return how many were asked for, and the error."""
    for number in range(5000):
        name = f"more-{number}"
        try:
            ledger.append(decision(1, name), retry(name))
        except LedgerError as error:
            return number + 1, str(error)
    raise AssertionError("the disk is not full")


def test_a_retry_after_the_disk_was_full_stores_the_decision_once(tmp_path: Path) -> None:
    ledger = at(tmp_path)
    ledger.snapshot(SHOWN)
    with small_files(ledger):
        many, _ = refused(ledger)
    again = [ledger.append(decision(1, f"more-{n}"), retry(f"more-{n}")) for n in range(many)]
    assert [one.index for one in again] == list(range(2, many + 2))
    assert ledger.head.tree.size == many + 2
    ledger.close()


@pytest.mark.parametrize(("full", "last"), [(small_files, "COMMIT"), (few_pages, "INSERT")])
def test_what_failed_is_said_where_sqlite_has_rolled_back_itself(
    tmp_path: Path, full: Full, last: str
) -> None:
    ledger = at(tmp_path)
    ledger.snapshot(SHOWN)
    statements: list[str] = []
    ledger.store._write.set_trace_callback(statements.append)  # type: ignore[attr-defined]
    with full(ledger):
        _, error = refused(ledger)
        assert re.search("disk I/O error|disk is full", error)
        assert statements[-1].startswith(last)  # no ROLLBACK, which would fail
    ledger.close()


# -- files that are not what they were ---------------------------------------------------------------


_READER = """
import os, sys
from pathlib import Path
from bandeau.errors import LedgerError
from bandeau.ledger import sqlite
sqlite._WAIT_SECONDS = 0.1
if os.geteuid() == 0:  # root may write everything
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
try:
    sqlite.SqliteStore(Path(sys.argv[1]))
except LedgerError as error:
    print(error)
"""


def test_a_file_that_may_only_be_read_is_refused_and_left_as_it_is() -> None:
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        path = folder / DATABASE
        at(folder).close()
        before = path.read_bytes(), sorted(folder.iterdir())
        path.chmod(0o444)
        folder.chmod(0o555)
        script = [sys.executable, "-c", _READER, str(path)]
        done = subprocess.run(script, capture_output=True, text=True, check=False)
        folder.chmod(0o755)
        assert (done.stderr, done.returncode) == ("", 0)
        assert f"{path}: cannot open the ledger" in done.stdout
        assert (path.read_bytes(), sorted(folder.iterdir())) == before


@pytest.fixture(scope="module")
def life() -> Iterator[Path]:
    """The folder of a closed ledger in which every table has rows."""
    with quick_folder() as folder:
        now = OLD
        ledger = at(folder, lambda: now)
        ledger.publish(POLICY)
        snapshot = ledger.snapshot(PAGE)
        ledger.enforced("bandeau=1 gate=enforced")
        old = [ledger.append(decision(snapshot, f"old-{n}", OLD)).index for n in range(9)]
        now = NOW
        ledger.hold(old[1], "a dispute")
        ledger.retain(100)
        futures = [ledger.submit(decision(snapshot, f"n{n}"), retry(f"n{n}")) for n in range(280)]
        made = [future.result(10).index for future in futures]
        for n in range(0, 60, 3):
            ledger.append(decision(snapshot, f"again{n}", NOW, made[n]), retry(f"again{n}"))
        ledger.erase(made[5], Reason.REQUEST)
        ledger.rotate()
        ledger.audited(MANIFEST)
        assert ledger.fsck() == []
        ledger.close()
        yield folder


@pytest.fixture
def database(life: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A copy of its database, to be damaged."""
    monkeypatch.setattr(sqlite, "_WAIT_SECONDS", 0.05)
    with quick_folder() as folder:
        for path in life.iterdir():
            shutil.copy(path, folder)
        yield folder / DATABASE


def noticed(path: Path) -> bool:
    """Say whether a ledger is refused, or its fsck finds fault with it."""
    try:
        store = SqliteStore(path)
    except LedgerError:
        return True
    try:
        return bool(Log(store).fsck())
    except LedgerError:
        return True
    finally:
        store.close()


@pytest.mark.parametrize(
    "garbage",
    [
        lambda content: random.Random(1).randbytes(len(content)),
        lambda content: b"not a database\n" * (len(content) // 15),
        lambda content: content[:100] + bytes(len(content) - 100),
        lambda content: bytes(4096) + content[4096:],
        lambda content: content[: len(content) // 2],
        lambda content: content[:-1],
        lambda content: content[: 4096 * 8] + bytes(4096 * 8) + content[4096 * 16 :],
        lambda content: content[::-1],
    ],
    ids=["random", "text", "header", "no header", "half", "one less", "hole", "backwards"],
)
def test_a_file_that_was_replaced_by_garbage_is_noticed(
    database: Path, garbage: Callable[[bytes], bytes]
) -> None:
    assert not noticed(database)
    database.write_bytes(garbage(database.read_bytes()))
    assert noticed(database)


def logged(store: SqliteStore) -> list[Any]:
    """Read all that the log commits to."""
    head = store.head()
    assert head
    size = head.tree.size + 1
    documents = [store.document(hashlib.sha256(one).hexdigest()) for one in (PAGE, MANIFEST)]
    rows = [store.entries(0, size), store.nodes(8, 0, size), store.records(0, size)]
    return [head, documents, *rows, [store.successors(index) for index in range(size)]]


def beside(store: SqliteStore) -> list[Any]:
    """Read all that no entry commits to."""
    replays = store._rows("SELECT * FROM replay ORDER BY key")
    return [store.events(), store.policies(), store.holds(), replays]


def test_a_flipped_bit_in_what_is_logged_is_noticed_or_changes_nothing(database: Path) -> None:
    begun = time.monotonic()
    content = database.read_bytes()
    store = SqliteStore(database)
    before, other = logged(store), beside(store)
    store.close()
    split: Counter[str] = Counter()
    for seed in range(600 if PROVE else 60):
        place = random.Random(seed).randrange(len(content) * 8)
        flipped = bytearray(content)
        flipped[place // 8] ^= 1 << place % 8
        database.write_bytes(flipped)
        try:
            store = SqliteStore(database)
        except Exception:  # noqa: BLE001 (which ones it may raise: another test)
            split["refused"] += 1
            continue
        try:
            problems = Log(store).fsck()
        except Exception:  # noqa: BLE001 (as above)
            split["fsck cannot read it"] += 1
            continue
        else:
            if problems:
                split["by SQLite" if complains(store) else "by the log"] += 1
                continue
            assert logged(store) == before, f"bit {place}"
            with contextlib.suppress(LedgerError):
                split["seen by nobody" if beside(store) == other else "beside the log"] += 1
        finally:
            store.close()
    show("flipped bits", split, begun)
    assert split["by the log"]


def complains(store: SqliteStore) -> bool:
    """Say whether SQLite itself finds something wrong; it may be too broken to be asked."""
    try:
        return bool(store.integrity())
    except LedgerError:
        return True


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE event SET detail = detail || '.' WHERE kind = 6",
        "UPDATE event SET kind = 7 WHERE kind = 6",
        "INSERT INTO event VALUES (100, 6, 5, 'since=never')",
        "DELETE FROM event WHERE kind = 6",
        "UPDATE hold SET idx = idx + 1",
        "DELETE FROM policy",
        "UPDATE policy SET fingerprints = '{}'",
        "UPDATE policy SET purposes = '[]'",
    ],
)
def test_a_change_beside_the_log_is_noticed(database: Path, change: str) -> None:
    altered(database, change)
    assert noticed(database)


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE hold SET reason = 'a dispuue'",
        "UPDATE event SET minute = minute + 1 WHERE kind = 1",
        "UPDATE replay SET idx = idx + 1 WHERE idx = 100",
        "UPDATE replay SET bound = key WHERE idx = 100",
    ],
)
def test_a_change_of_what_no_entry_commits_to_is_seen_by_nobody(
    database: Path, change: str
) -> None:
    """The bounds of `fsck`, as docs/ledger.md states them: what begins to be noticed moves up."""
    altered(database, change)
    assert not noticed(database)


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE entry SET entry = CAST(entry AS TEXT) WHERE idx = 100",
        "UPDATE record SET line = CAST(line AS TEXT) WHERE idx = 100",
        "UPDATE record_key SET salt = 5 WHERE idx = 100",
        "UPDATE node SET hash = 'x'",
        "UPDATE head SET peaks = 5",
        "UPDATE head SET checkpoint = CAST(checkpoint AS TEXT)",
        "UPDATE head SET vkey = 5",
        "UPDATE head SET origin = x'ff'",
        "UPDATE document SET bytes = 5",
    ],
)
def test_a_value_of_another_kind_is_noticed_as_any_other_is(database: Path, change: str) -> None:
    altered(database, change)
    assert noticed(database)


@pytest.mark.parametrize(
    "column", ["entry.entry", "record.line", "node.hash", "event.detail", "policy.purposes"]
)
def test_a_column_that_is_called_otherwise_is_noticed(database: Path, column: str) -> None:
    table, _, name = column.partition(".")
    altered(
        database,
        "PRAGMA writable_schema=ON",
        f"UPDATE sqlite_master SET sql = replace(sql, '{name} ', 'other ') WHERE name = '{table}'",
    )
    assert noticed(database)


def test_a_schema_that_is_no_text_is_refused_as_any_other_is(database: Path) -> None:
    content = database.read_bytes()
    database.write_bytes(content.replace(b"CREATE TABLE meta", b"CREATE T\xc1BLE meta"))
    with pytest.raises(LedgerError, match="cannot open"):
        SqliteStore(database)


@pytest.mark.parametrize(
    "line", ["CAST(replace(line, 'custom', 'cusuom') AS BLOB)", "CAST(line AS TEXT)", "5"]
)
def test_a_record_that_cannot_be_read_keeps_nobody_from_deciding(
    database: Path, line: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    altered(database, f"UPDATE record SET line = {line}")
    monkeypatch.setattr("bandeau.ledger.ledger.WAIT_SECONDS", 2)
    store = SqliteStore(database)
    with contextlib.closing(at(database.parent)) as site:
        keys = site.keys
    ledger = Ledger(store, keys, "", keep_days=100, now=lambda: NOW)
    for name in ("one", "two"):
        ledger.append(decision(1, name))
    ledger.close()


@pytest.mark.parametrize("change", ["idx = idx - 1", "size = size - 1", "bound = key"])
def test_a_changed_replay_gives_nobody_another_s_record(tmp_path: Path, change: str) -> None:
    ledger = at(tmp_path)
    made = decision(ledger.snapshot(SHOWN), "a")
    for name in ("other", "mine"):
        ledger.append(made, retry(name))
    altered(tmp_path / DATABASE, f"UPDATE replay SET {change}")
    with pytest.raises(ConflictError):
        ledger.append(made, retry("mine"))
    ledger.close()


def altered(path: Path, *changes: str) -> None:
    """Change rows behind the ledger's back."""
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as database:
        rows = [database.execute(change).rowcount for change in changes]
        assert rows[-1] >= 1
