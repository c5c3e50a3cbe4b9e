"""What a ledger promises, whichever database holds it: every test runs over SQLite and PostgreSQL."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import shutil
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
import pytest

from bandeau.decision.model import Decision, Event, Published
from bandeau.errors import (
    ConflictError,
    KeyFileError,
    LedgerBusyError,
    LedgerError,
    MovedError,
    RecordError,
)
from bandeau.ledger import ledger as module
from bandeau.ledger import postgres, receipt, record, sqlite
from bandeau.ledger.entry import Kind, Reason
from bandeau.ledger.keys import Keys
from bandeau.ledger.ledger import Ledger, Retry, Stored
from bandeau.ledger.note import Verifier
from bandeau.ledger.place import store_at
from bandeau.ledger.store import Batch, Head, Seen
from bandeau.ledger.tree import consistent, leaf
from ledger.postgres_server import server

ORIGIN = "www.own.example/_b/log"
MINUTE = 29_926_765  # 2026-11-25T11:25Z
DAY = 1440  # minutes
PROVE = bool(os.environ.get("BANDEAU_PROVE"))


@dataclass
class Place:
    """A database for one log, the key file, and every ledger that a test opened on them."""

    url: str
    key: Path
    disk: Path  # all that the database has written lies below it
    settle: Callable[[], None] = lambda: None  # what the database does by and by
    minute: int = MINUTE
    opened: list[Ledger] = field(default_factory=list)

    def ledger(self, key: Path | None = None, **days: int | None) -> Ledger:
        return self._opened(Keys(key or self.key, new=True), **days)

    def recovering(self) -> Ledger:
        return self._opened(Keys(self.key), recovering=True)

    def _opened(self, keys: Keys, **how: Any) -> Ledger:
        store = store_at(self.url)
        try:
            self.opened.append(Ledger(store, keys, ORIGIN, now=lambda: self.minute, **how))
        except Exception:
            store.close()
            raise
        return self.opened[-1]

    def close(self) -> None:
        for ledger in self.opened:
            ledger.close()
        self.opened.clear()

    def holds(self, *secrets: bytes) -> list[bytes]:
        """Return which of some bytes lie in a file of the database, its WAL or its log."""
        self.settle()
        files = [file for file in self.disk.rglob("*") if file.is_file()]
        content = [file.read_bytes() for file in files if "pginstall" not in file.parts]
        assert content
        return [secret for secret in secrets if any(secret in one for one in content)]


@pytest.fixture(params=["sqlite", "postgres"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    with contextlib.ExitStack() as stack:
        key = tmp_path / "bandeau.key"
        if request.param == "sqlite":
            (tmp_path / "db").mkdir()
            made = Place(f"sqlite:///{tmp_path / 'db' / 'l.db'}", key, tmp_path / "db")
        else:
            url = stack.enter_context(server().database())
            made = Place(url, key, server().folder, server().settle)
        stack.callback(made.close)
        yield made


@pytest.fixture
def pg(tmp_path: Path) -> Iterator[Place]:
    """PostgreSQL, for what only it has."""
    with server().database() as url:
        made = Place(url, tmp_path / "bandeau.key", server().folder, server().settle)
        yield made
        made.close()


def decision(
    snapshot: int = 1, purpose: str = "social", minute: int = MINUTE, replaces: int | None = None
) -> Decision:
    return Decision(
        minute, Event.CUSTOM, ((purpose, True),), "fr", signal=False, snapshot=snapshot,
        layer="first", device="phone", replaces=replaces,
    )  # fmt: skip


def shown(ledger: Ledger) -> int:
    index = ledger.snapshot(b"what visitors are shown")
    assert index == 1  # after the entry that names the key
    return index


def verified(ledger: Ledger, stored: Stored) -> bytes:
    """Check a receipt as a visitor does, and return its text."""
    text = stored.receipt().encode()
    read = receipt.parse(text)
    receipt.check(read, [Verifier.parse(vkey) for vkey in ledger.vkeys()])
    assert read.index == stored.index
    return text


def recomputed(entries: list[bytes]) -> bytes:
    """MTH of RFC 6962, section 2.1, as it is defined there."""
    if len(entries) < 2:
        return hashlib.sha256(b"\x00" + entries[0] if entries else b"").digest()
    half = 1 << (len(entries) - 1).bit_length() - 1
    both = recomputed(entries[:half]) + recomputed(entries[half:])
    return hashlib.sha256(b"\x01" + both).digest()


def committed(ledger: Ledger, count: int) -> list[Stored]:
    """Store some decisions in one batch."""
    line = record.encode(decision())
    done: list[Future[Stored]] = [Future() for _ in range(count)]
    ledger._commit([module._Waiting(line, None, MINUTE // DAY, None, one) for one in done])
    return [one.result(0) for one in done]


@contextlib.contextmanager
def held(ledger: Ledger) -> Iterator[None]:
    """Hold the log's head, as another writer does while it commits."""
    begun, over = threading.Event(), threading.Event()

    def make(_: Head | None, __: Seen) -> None:
        begun.set()
        over.wait(10)

    thread = threading.Thread(target=ledger.store.commit, args=(make,))
    thread.start()
    assert begun.wait(10)
    try:
        yield
    finally:
        over.set()
        thread.join()


# -- decisions in, receipts out --------------------------------------------------------------------


def test_what_append_returned_is_on_disk_and_proven(place: Place) -> None:
    ledger = place.ledger()
    made = decision(shown(ledger))
    stored = ledger.append(made)
    verified(ledger, stored)
    other = place.ledger()
    assert [noted.decision for noted in other.decisions()] == [made]
    kept = other.kept(stored.index)
    assert kept
    assert kept.record == record.encode(made)
    assert other.head == ledger.head
    assert other.fsck() == []


def test_all_that_is_stored_comes_back_as_it_was(place: Place) -> None:
    ledger = place.ledger()
    first = ledger.append(decision(shown(ledger)))
    second = ledger.append(decision(replaces=first.index))
    third = ledger.append(decision(replaces=first.index))
    ledger.publish(Published("a" * 64, ("social",), {"social": "1"}))
    ledger.publish(Published("a" * 64, ("other",), {"other": "2"}))
    ledger.enforced("pages=all")
    ledger.enforced("pages=all")
    manifest = ledger.audited(b"\x00manifest\xff" * 100_000)
    ledger.hold(second.index, "file 7")
    place.close()
    found = place.ledger()
    assert found.store.successors(first.index) == [second.index, third.index]
    assert [noted.index for noted in found.history(third.index)] == [2, 3, 4]
    assert found.published_policies()["a" * 10].order == ("social",)
    assert [event.kind for event in found.store.events()] == [4, 1, 6, 7]
    assert [event.index for event in found.store.events([Kind.MODE, Kind.AUDIT])] == [5, manifest]
    digest = hashlib.sha256(b"\x00manifest\xff" * 100_000).hexdigest()
    assert found.document(digest) == b"\x00manifest\xff" * 100_000
    assert found.document("0" * 64) is None
    assert found.store.holds() == [(second.index, MINUTE, "file 7")]
    assert not found.store.entries(100, 200)
    assert not found.store.records(0, 2)
    assert found.fsck() == []


def test_batches_of_every_size_give_the_tree_of_the_rfc_and_right_proofs(place: Place) -> None:
    ledger = place.ledger()
    shown(ledger)
    for count in (1, 2, 3, 7, 100, 140, 1, 1, 1, 255, 256, 257, 1000):
        before = ledger.head
        stored = committed(ledger, count)
        head = ledger.head
        entries = ledger.store.entries(0, head.tree.size)
        assert len(entries) == before.tree.size + count
        assert head.tree.root == recomputed(entries)
        for one in (stored[0], stored[count // 2], stored[-1]):
            verified(ledger, one)
        old = before.tree
        proof = ledger.growth_proof(old.size, head.tree.size)
        assert consistent(old.size, old.root, head.tree.size, head.tree.root, proof)
    for index in (2, 255, 256, 257, 511, 1024, 2025):
        verified(ledger, Stored(index, lambda at=index: ledger.receipt(at)))  # type: ignore[misc,arg-type]
    assert ledger.store.nodes(8, 0, 99) == [
        recomputed(entries[at : at + 256]) for at in range(0, len(entries) - 255, 256)
    ]
    assert ledger.fsck() == []


def test_a_tree_grows_right_over_65_536_entries(place: Place) -> None:
    ledger = place.ledger()
    shown(ledger)

    def many(head: Head | None, _: Seen) -> Batch:
        assert head
        batch = Batch(head)
        count = 65_530 - head.tree.size
        entries = [b"\x01\x02" + hashlib.sha256(b"%d" % n).digest() for n in range(count)]
        for index, content in enumerate(entries, head.tree.size):
            batch.add("entry", index, content)
        ledger._grown(batch, head, list(map(leaf, entries)))
        return batch

    ledger.store.commit(many)
    before = ledger.head.tree
    for count in (5, 1, 1, 300):
        verified(ledger, committed(ledger, count)[-1])
    head = ledger.head.tree
    entries = ledger.store.entries(0, head.size)
    assert head.size == len(entries) == 65_837
    pairs = ((before.size, head.size), (65_535, 65_536), (65_536, 65_537), (255, head.size))
    root = {size: recomputed(entries[:size]) for size in {size for pair in pairs for size in pair}}
    assert head.root == root[head.size]
    assert ledger.store.nodes(16, 0, 9) == [root[65_536]] == [ledger.root(65_536)]
    assert len(ledger.store.nodes(8, 0, 999)) == 257
    for old, size in pairs:
        assert consistent(old, root[old], size, root[size], ledger.growth_proof(old, size))


# -- retries ---------------------------------------------------------------------------------------


def test_a_retry_gets_the_same_receipt_whatever_was_stored_since(place: Place) -> None:
    ledger = place.ledger()
    shown(ledger)
    retry = Retry(b"key", b"body and visitor")
    text = verified(ledger, ledger.append(decision(), retry))
    for _ in range(3):
        committed(ledger, 300)
        assert verified(ledger, ledger.append(decision(), retry)) == text
    place.minute += DAY
    assert verified(place.ledger(), place.ledger().append(decision(), retry)) == text
    assert ledger.head.tree.size == 2 + 1 + 900


def test_a_key_with_another_body_or_of_another_visitor_gets_nothing(place: Place) -> None:
    ledger = place.ledger()
    shown(ledger)
    ledger.append(decision(), Retry(b"key", b"body visitor"))
    size = ledger.head.tree.size
    for bound in (b"other visitor", b"body stranger", b""):
        with pytest.raises(ConflictError) as caught:
            ledger.append(decision(), Retry(b"key", bound))
        assert "social" not in str(caught.value)
    assert ledger.head.tree.size == size
    verified(ledger, ledger.append(decision(), Retry(b"another key", b"stranger")))


def test_a_hundred_equal_requests_at_once_are_one_decision(place: Place) -> None:
    ledgers = [place.ledger(), place.ledger()]
    shown(ledgers[0])
    retry, foreign = Retry(b"key", b"same"), Retry(b"key", b"foreign")
    futures = [ledgers[n % 2].submit(decision(), retry) for n in range(100)]
    texts = {verified(ledgers[0], future.result(10)) for future in futures}
    assert len(texts) == 1
    assert ledgers[0].head.tree.size == 3
    with held(ledgers[1]):  # so that a foreign request comes into the same batch
        ledgers[0].submit(decision(), Retry(b"first", b""))
        mixed = [ledgers[0].submit(decision(), one) for one in (retry, foreign)]
        fresh = [
            ledgers[0].submit(decision(), Retry(b"new", bound)) for bound in (b"a", b"a", b"b")
        ]
    assert {verified(ledgers[0], mixed[0].result(10))} == texts
    assert fresh[0].result(10).index == fresh[1].result(10).index
    for refused in (mixed[1], fresh[2]):
        with pytest.raises(ConflictError):
            refused.result(10)


def test_a_key_is_forgotten_after_two_days(place: Place) -> None:
    ledger = place.ledger()
    shown(ledger)
    retry = Retry(b"key", b"body")
    first = ledger.append(decision(), retry)
    place.minute += 2 * DAY
    ledger.append(decision())
    assert ledger.append(decision(), retry).index == first.index
    place.minute += DAY
    ledger.append(decision())
    again = ledger.append(decision(), retry)
    assert again.index == ledger.head.tree.size - 1 > first.index
    with pytest.raises(ConflictError):
        ledger.append(decision(), Retry(b"key", b"other"))


# -- what fails ------------------------------------------------------------------------------------


def test_a_decision_refers_to_a_snapshot_that_was_logged_before(place: Place) -> None:
    ledger = place.ledger()
    first = shown(ledger)
    ledger.append(decision(first))
    for wrong in (0, 2, 3, 99):  # a key, a decision, the next entry, one far off
        with pytest.raises(RecordError, match="no snapshot"):
            ledger.append(decision(wrong))
    second = place.ledger().snapshot(b"what visitors are shown later")
    assert ledger.append(decision(second)).index == second + 1
    assert ledger.fsck() == []


def test_a_decision_that_cannot_be_stored_fails_alone(place: Place) -> None:
    ledger = place.ledger()
    shown(ledger)
    with held(place.ledger()):
        futures = [ledger.submit(decision(replaces=99 if n == 30 else None)) for n in range(64)]
        with pytest.raises(RecordError):
            ledger.submit(decision(purpose="Not a purpose"))
    with pytest.raises(LedgerError, match="no decision 99"):
        futures.pop(30).result(10)
    assert [future.result(10).index for future in futures] == list(range(2, 65))
    assert ledger.fsck() == []


def test_a_full_queue_says_so_and_loses_nothing(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "QUEUE", 50)
    ledger = place.ledger()
    shown(ledger)
    taken: list[Future[Stored]] = []
    with held(place.ledger()):
        while len(taken) <= module.BATCH + 50:  # the writer has some, the queue has some
            try:
                taken.append(ledger.submit(decision()))
            except LedgerBusyError:
                break
    assert 50 <= len(taken) <= module.BATCH + 50
    indexes = [future.result(10).index for future in taken]
    assert indexes == list(range(2, 2 + len(taken)))
    verified(ledger, ledger.append(decision()))


def test_a_request_that_is_cancelled_disturbs_no_other(place: Place) -> None:
    ledger = place.ledger()
    shown(ledger)

    async def until(true: Callable[[], bool]) -> None:
        for _ in range(1000):
            if true():
                return
            await asyncio.sleep(0.01)
        raise AssertionError

    async def several() -> Stored:
        with held(place.ledger()):
            running = asyncio.create_task(ledger.appended(decision(purpose="running")))
            await until(lambda: ledger._writer is not None and not ledger.waiting)
            queued = asyncio.create_task(ledger.appended(decision(purpose="queued")))
            stays = asyncio.create_task(ledger.appended(decision(purpose="stays")))
            await until(lambda: ledger.waiting == 2)
            for task in (running, queued):
                task.cancel()
            await asyncio.wait([running, queued])
        return await stays

    verified(ledger, asyncio.run(several()))
    purposes = [noted.decision.choices[0][0] for noted in ledger.decisions()]
    assert purposes == ["running", "stays"]  # the first was on its way already
    assert ledger.fsck() == []


def test_closing_stores_all_that_waits(place: Place) -> None:
    count = 9_999 if PROVE else 2_500
    ledger = place.ledger()
    shown(ledger)
    with held(place.ledger()):
        futures = [ledger.submit(decision()) for _ in range(count)]
        closing = threading.Thread(target=ledger.close)
        closing.start()
    closing.join()
    assert [future.result(0).index for future in futures] == list(range(2, 2 + count))
    with pytest.raises(LedgerError, match="closed"):
        ledger.append(decision())
    assert place.ledger().head.tree.size == 2 + count


_FORKS = """
import os, sys
from pathlib import Path
from bandeau.decision.model import Decision, Event
from bandeau.ledger.keys import Keys
from bandeau.ledger.ledger import Ledger
from bandeau.ledger.place import store_at

def write(name):
    for n in range(20):
        made = Decision(29_926_765, Event.ADD, ((f"{name}-{n}", True),), "fr", signal=False, snapshot=1)
        stored = ledger.append(made)
        assert ledger.receipt(stored.index).index == stored.index

ledger = Ledger(store_at(sys.argv[1]), Keys(Path(sys.argv[2]), new=True), "www.own.example/_b/log")
ledger.snapshot(b"shown")
write("before")
children = []
for name in ("one", "two", ""):
    child = os.fork()
    if not child:
        if name:
            write(name)
        ledger.close()
        sys.exit()
    children.append(child)
write("parent")
for child in children:
    assert os.waitpid(child, 0)[1] == 0
write("after")
ledger.close()
"""


def test_processes_that_come_of_a_fork_go_on_as_their_parent_does(place: Place) -> None:
    command = [sys.executable, "-c", _FORKS, place.url, str(place.key)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    ledger = place.ledger()
    names = [noted.decision.choices[0][0] for noted in ledger.decisions()]
    assert len(names) == len(set(names)) == 100
    assert ledger.head.tree.size == 102
    assert ledger.fsck() == []


def test_a_batch_that_was_made_for_another_head_is_not_stored(place: Place) -> None:
    ledger = place.ledger()
    shown(ledger)
    stale = ledger.head
    ledger.append(decision())
    for head in (stale, Head.of(ORIGIN, 0, b"", stale.vkey, b"")):
        batch = Batch(head)
        batch.add("entry", 99, b"never")
        ledger._grown(batch, head, [leaf(b"never")])
        with pytest.raises(LedgerError, match="not stored"):
            ledger.store.commit(lambda *_, batch=batch: batch)
    assert ledger.head.tree.size == 3
    assert not ledger.store.entries(99, 100)
    verified(ledger, ledger.append(decision()))
    assert ledger.fsck() == []


def test_two_ledgers_and_many_threads_write_one_log(place: Place) -> None:
    ledgers = [place.ledger(), place.ledger()]
    shown(ledgers[0])

    def one(n: int) -> int:
        return ledgers[n % 2].append(decision(purpose=f"n{n}")).index

    with ThreadPoolExecutor(16) as pool:
        indexes = list(pool.map(one, range(400)))
    assert sorted(indexes) == list(range(2, 402))
    found = {noted.index: noted.decision.choices[0][0] for noted in ledgers[0].decisions()}
    assert [found[index] for index in indexes] == [f"n{n}" for n in range(400)]
    assert ledgers[1].fsck() == []


# -- what goes -------------------------------------------------------------------------------------


def test_what_is_erased_is_in_no_file_any_more_and_all_proofs_hold(place: Place) -> None:
    ledger = place.ledger()
    shown(ledger)
    kept = []
    for n in range(30):  # each in a commit of its own, so that old pages lie in the WAL too
        stored = ledger.append(decision(purpose=f"secret-{n}"), Retry(b"%d" % n, b""))
        kept.append((stored, verified(ledger, stored), ledger.kept(stored.index)))
    gone = kept.pop(11)
    last = kept.pop()  # the newest in its page
    secrets = [secret for one in (gone, last) if one[2] for secret in (one[2].record, one[2].salt)]
    assert len(secrets) == 4
    assert place.holds(*secrets) == secrets
    for stored, _, _ in (gone, last):
        ledger.erase(stored.index, Reason.REQUEST)
    assert place.holds(*secrets) == []
    assert ledger.kept(gone[0].index) is None
    assert ledger.receipt(last[0].index) is None
    assert ledger.fsck() == []
    for stored, text, _ in (*kept, gone, last):
        assert verified(ledger, stored) == text
    verified(ledger, ledger.append(decision()))


def test_a_record_is_erased_once_and_not_while_it_is_held(place: Place) -> None:
    ledger = place.ledger()
    shown(ledger)
    held_one, other = (ledger.append(decision()).index for _ in range(2))
    ledger.hold(held_one, "a dispute")
    with pytest.raises(LedgerError, match="a dispute; release it first"):
        ledger.erase(held_one, Reason.REQUEST)
    assert ledger.kept(held_one)
    ledger.release(held_one)
    for index in (held_one, other):
        size = ledger.head.tree.size
        assert ledger.erase(index, Reason.ORDER) == size
        with pytest.raises(LedgerError, match="erased before"):
            ledger.erase(index, Reason.ORDER)
        assert ledger.head.tree.size == size + 1
    for index in (0, 1, 999):
        with pytest.raises(LedgerError, match="there is no record"):
            ledger.erase(index, Reason.ERROR)
    assert ledger.fsck() == []


def test_a_retry_of_what_was_erased_is_a_new_decision(place: Place) -> None:
    ledger = place.ledger()
    shown(ledger)
    stored = ledger.append(decision(), Retry(b"key", b"body"))
    ledger.erase(stored.index, Reason.REQUEST)
    again = ledger.append(decision(), Retry(b"key", b"body"))
    assert again.index > stored.index
    verified(ledger, again)


def test_who_reads_meanwhile_is_named_and_scrubbing_is_made_up_for(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres, "_PATIENCE", 0.3)
    monkeypatch.setattr(sqlite, "_WAIT_SECONDS", 0.3)
    ledger = place.ledger()
    shown(ledger)
    stored = ledger.append(decision(purpose="secret-of-one"))
    kept = ledger.kept(stored.index)
    assert kept
    with reading(place):
        with pytest.raises(LedgerError, match="run the command again"):
            ledger.erase(stored.index, Reason.REQUEST)
        assert place.holds(kept.salt)
    place.ledger().store.scrub()  # another process's
    assert place.holds(kept.salt, kept.record) == []
    assert ledger.fsck() == []


@contextlib.contextmanager
def reading(place: Place) -> Iterator[None]:
    """Keep a transaction open that has read the database."""
    with contextlib.ExitStack() as stack:
        if place.url.startswith("sqlite"):
            connection = sqlite3.connect(sqlite.path_of(place.url), isolation_level=None)
            stack.callback(connection.close)
            connection.execute("BEGIN")
            connection.execute("SELECT * FROM record").fetchall()
        else:
            other = stack.enter_context(psycopg.connect(place.url))
            other.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            other.execute("SELECT * FROM bandeau.record").fetchall()
        yield


def test_retention_removes_what_is_old_but_for_what_is_held(place: Place) -> None:
    ledger = place.ledger()
    shown(ledger)
    for n in range(100):  # ten a day, over a turn of the month
        place.minute = MINUTE + n // 10 * DAY
        ledger.append(decision(purpose=f"n{n}", minute=place.minute))
    ledger.hold(7, "a dispute")
    kept = ledger.kept(52)
    assert kept
    assert ledger.retain(30) is None
    place.minute = MINUTE + 39 * DAY
    first = ledger.retain(31)
    assert first == 2 + 80  # what the days before the eighth brought
    assert [noted.index for noted in ledger.decisions()] == [7, *range(82, 102)]
    assert ledger.retain(31) is None
    assert place.holds(kept.salt, kept.record) == []
    assert ledger.fsck() == []
    ledger.release(7)
    place.minute += 60 * DAY
    assert ledger.retain(31) == 102
    assert [noted.index for noted in ledger.decisions()] == []
    verified(ledger, ledger.append(decision(minute=place.minute)))
    verified(ledger, ledger.append(decision(minute=MINUTE)))  # in a month that went
    assert ledger.fsck() == []


def test_the_writer_retains_by_itself_every_day(place: Place) -> None:
    ledger = place.ledger(keep_days=10)
    shown(ledger)
    old = ledger.append(decision()).index
    place.minute += 11 * DAY
    young = ledger.append(decision(minute=place.minute)).index
    ledger.close()
    assert [noted.index for noted in place.ledger().decisions()] == [young]
    assert (
        place.ledger().store.events([Kind.RETENTION])[0].detail
        == f"records before {old + 1} removed"
    )


def test_one_record_of_a_clock_that_was_ahead_does_not_stop_retention(place: Place) -> None:
    ledger = place.ledger()
    shown(ledger)
    ledger.append(decision(minute=MINUTE + 3650 * DAY))
    old = ledger.append(decision()).index
    place.minute += 20 * DAY
    assert ledger.retain(10) == old + 1
    assert list(ledger.decisions()) == []


# -- keys, backups, clocks -------------------------------------------------------------------------


def test_a_key_that_another_process_rotated_is_taken_up_at_once(place: Place) -> None:
    writing = place.ledger()
    shown(writing)
    first = writing.append(decision())
    text = verified(writing, first)
    done = threading.Event()
    stored: list[Stored] = []

    def write() -> None:
        while not done.is_set():
            stored.append(writing.append(decision()))
            done.wait(0.005)

    with ThreadPoolExecutor(4) as pool:
        threads = [pool.submit(write) for _ in range(4)]
        other = place.ledger()
        for _ in range(3):
            other.rotate()
            while writing.vkey != other.vkey:
                assert not any(thread.done() for thread in threads)
        done.set()
        for thread in threads:
            thread.result(10)
    assert writing.vkey == other.vkey
    assert len(set(other.vkeys())) == 4
    for one in stored:
        verified(writing, one)
    assert verified(writing, first) == text
    assert place.ledger().fsck() == []


def test_a_retry_after_a_rotation_is_still_a_retry(place: Place) -> None:
    ledger = place.ledger()
    shown(ledger)
    retry = Retry(b"key", b"body")
    first = ledger.append(decision(), retry)
    ledger.rotate()
    assert ledger.append(decision(), retry).index == first.index


def test_another_key_is_refused_and_a_lost_one_can_be_left_behind(
    place: Place, tmp_path: Path
) -> None:
    ledger = place.ledger()
    shown(ledger)
    text = verified(ledger, ledger.append(decision()))
    with pytest.raises(KeyFileError, match="rotate --lost") as caught:
        place.ledger(tmp_path / "other.key")
    assert ledger.vkey in str(caught.value)
    place.close()
    place.key.unlink()
    with pytest.raises(KeyFileError, match="missing"):
        Keys(place.key)
    Keys(place.key, new=True)
    with pytest.raises(KeyFileError, match="rotate --lost"):
        place.ledger()
    place.recovering().recover(renamed=False)
    again = place.ledger()
    assert again.origin == ORIGIN
    verified(again, again.append(decision()))
    assert receipt.check(receipt.parse(text), map(Verifier.parse, again.vkeys())).size == 3
    assert again.fsck() == []


@contextlib.contextmanager
def restored(place: Place, since: Callable[[], None]) -> Iterator[Place]:
    """Make a backup, let time pass, and put the backup in the database's place."""
    place.close()
    if place.url.startswith("sqlite"):
        path = sqlite.path_of(place.url)
        shutil.copytree(path.parent, path.parent.with_name("backup"))
        since()
        place.close()
        shutil.rmtree(path.parent)
        path.parent.with_name("backup").rename(path.parent)
        yield place
        return
    with server().database(like=place.url) as url:
        since()
        place.close()
        other = Place(url, place.key, place.disk)
        yield other
        other.close()


def test_a_restored_backup_signs_nothing_until_the_log_has_another_name(place: Place) -> None:
    ledger = place.ledger()
    shown(ledger)
    before = verified(ledger, ledger.append(decision()))
    after = b""

    def since() -> None:
        nonlocal after
        again = place.ledger()
        after = verified(again, again.append(decision(purpose="lost")))

    with restored(place, since) as old:
        with pytest.raises(LedgerError, match="rotate --restored"):
            old.ledger()
        old.recovering().recover(renamed=True)
        found = old.ledger()
        assert found.origin == f"{ORIGIN}/~2"
        verified(found, found.append(decision()))
        assert found.fsck() == []
        known = [Verifier.parse(vkey) for vkey in found.vkeys()]
        for text in (before, after):  # what visitors hold still proves what they did
            receipt.check(receipt.parse(text), known)


def test_a_clock_that_goes_wrong_stops_nothing(place: Place) -> None:
    ledger = place.ledger()
    shown(ledger)
    year = 365 * DAY
    offsets = [0, -60, 10 * year, 0, 12 * year, 80 * year, 1]  # past 2038 and 2106 too
    for n, offset in enumerate(offsets):
        place.minute = MINUTE + offset
        made = decision(minute=place.minute)
        stored = ledger.append(made, Retry(b"%d" % n, b""))
        verified(ledger, stored)
        assert ledger.append(made, Retry(b"%d" % n, b"")).index == stored.index
    assert [noted.decision.minute - MINUTE for noted in ledger.decisions()] == offsets
    assert ledger.fsck() == []


def executed(place: Place, sql: str) -> None:
    """Change a database behind the ledger's back; {} stands where a schema's name goes."""
    if place.url.startswith("sqlite"):
        with contextlib.closing(sqlite3.connect(sqlite.path_of(place.url))) as database:
            database.execute(sql.format(""))
            database.commit()
    else:
        with psycopg.connect(place.url) as other:
            other.execute(sql.format("bandeau.").encode())


def test_another_schema_is_refused(place: Place) -> None:
    place.ledger().close()
    executed(place, "UPDATE {}meta SET value = '99' WHERE name = 'schema_version'")
    with pytest.raises(LedgerError, match="schema version 99 is not ours"):
        place.ledger()


def test_several_that_open_a_new_database_at_once_begin_one_log(place: Place) -> None:
    Keys(place.key, new=True)
    with ThreadPoolExecutor(8) as pool:
        ledgers = list(pool.map(lambda _: place.ledger(), range(8)))
    assert len({ledger.vkey for ledger in ledgers}) == 1
    assert ledgers[0].head.tree.size == 1
    assert ledgers[7].fsck() == []


def test_an_account_s_choice_is_stored_with_its_decision_or_neither_is(place: Place) -> None:
    ledger = place.ledger(valid_days=182)
    one = ledger.account(ledger.hashed("one"))
    assert (one.value, one.index, len(one.keys)) == (b"", None, 1)
    stored = ledger.append(decision(shown(ledger)), chosen=(one, "first"))
    now = ledger.account(one.keys)
    assert (now.value, now.index) == (b"first", stored.index)
    size = ledger.head.tree.size
    with pytest.raises(MovedError):
        ledger.append(decision(shown(ledger)), chosen=(one, "late"))
    assert ledger.head.tree.size == size
    assert ledger.account(one.keys) == now
    both = [ledger.submit(decision(shown(ledger)), chosen=(now, value)) for value in ("a", "b")]
    failed = [isinstance(done.exception(10), MovedError) for done in both]
    assert failed == [False, True]
    assert ledger.account(one.keys).value == b"a"
    assert ledger.account(ledger.hashed("two")).index is None


def test_accounts_choices_lapse_and_are_forgotten_in_every_file(place: Place) -> None:
    ledger = place.ledger(valid_days=182)
    for who in ("one", "two"):
        ledger.append(
            decision(shown(ledger)), chosen=(ledger.account(ledger.hashed(who)), f"choice-{who}")
        )
    assert place.holds(b"choice-one", b"choice-two")
    ledger.forget("one")
    ledger.forget("nobody")
    assert place.holds(b"choice-one", *ledger.hashed("one")) == []
    place.minute += 183 * DAY
    ledger.append(decision(shown(ledger)))
    assert ledger.account(ledger.hashed("two")).index is None


def test_a_ledger_without_accounts_gets_their_table(place: Place) -> None:
    ledger = place.ledger()
    ledger.append(decision(shown(ledger)))
    ledger.close()
    executed(place, "DROP TABLE {}account")
    again = place.ledger()
    again.append(decision(shown(again)), chosen=(again.account(again.hashed("one")), "first"))
    assert again.account(again.hashed("one")).value == b"first"


# -- what only PostgreSQL has ----------------------------------------------------------------------


def tables(place: Place) -> set[str]:
    with psycopg.connect(place.url) as other:
        rows = other.execute("SELECT relname FROM pg_class WHERE relkind = 'r'").fetchall()
    return {name for (name,) in rows if name.startswith("record_")}


def test_each_month_has_its_tables_and_a_month_that_is_old_is_dropped(pg: Place) -> None:
    ledger = pg.ledger()
    shown(ledger)
    for months in range(6):
        pg.minute = MINUTE + 30 * DAY * months
        ledger.append(decision(minute=pg.minute))
    assert tables(pg) == {
        f"record_{part}{month}"
        for part in ("", "key_")
        for month in (202611, 202612, 202701, 202702, 202703, 202704)
    }
    ledger.hold(3, "a dispute")
    assert ledger.retain(80) == 5
    assert tables(pg) == {
        f"record_{part}{month}"
        for part in ("", "key_")
        for month in (202612, 202702, 202703, 202704)
    } - {"record_202701"} - {"record_key_202701"}
    assert [noted.index for noted in ledger.decisions()] == [3, 5, 6, 7]
    assert ledger.fsck() == []


def test_a_new_month_begins_while_somebody_reads_the_old_one(pg: Place) -> None:
    ledger = pg.ledger()
    shown(ledger)
    ledger.append(decision())
    with reading(pg):
        pg.minute += 30 * DAY
        verified(ledger, ledger.append(decision(minute=pg.minute)))


def test_who_reads_an_old_month_stops_its_removal_and_nothing_else(pg: Place) -> None:
    ledger = pg.ledger()
    shown(ledger)
    ledger.append(decision())
    pg.minute += 100 * DAY
    ledger.append(decision(minute=pg.minute))
    with reading(pg):
        with pytest.raises(LedgerError, match="lock timeout"):
            ledger.retain(50)
        verified(ledger, ledger.append(decision(minute=pg.minute)))
    assert ledger.retain(50) == 3
    assert ledger.fsck() == []


def test_a_role_that_may_cut_the_wal_does_so_when_it_erases(pg: Place) -> None:
    owner = Place(pg.url.replace("site@", "postgres@"), pg.key, pg.disk)
    ledger = owner.ledger()
    shown(ledger)
    kept = ledger.kept(ledger.append(decision(purpose="secret-of-owner")).index)
    assert kept
    assert owner.holds(kept.salt, kept.record)
    ledger.erase(kept.index, Reason.REQUEST)
    assert owner.holds(kept.salt, kept.record) == []
    owner.close()


def test_a_password_is_in_no_message_and_no_url(pg: Place, tmp_path: Path) -> None:
    place = pg.url.rpartition("@")[2]
    for url in (
        f"postgresql://site:s3cret@{place}",
        f"postgresql://site@{place}?password=s3cret&application_name=x",
        f"postgresql://site@{place}?p%61ssword=s3cret",
    ):
        store = postgres.PostgresStore(url)
        assert "s3cret" not in store.url
        assert place in store.url
        assert store.address == url
        store.close()
        with pytest.raises(LedgerError, match="does not exist") as caught:
            postgres.PostgresStore(url.replace("/ledger_", "/gone_"))
        assert "s3cret" not in str(caught.value)
    for url in (
        "postgresql://u:s3c/ret@h/db",
        "postgresql://u:s3c@ret@h/db",
        "postgresql://u:s3c%ret@h/db",
    ):
        with pytest.raises(LedgerError, match="%40 for @") as caught:
            postgres.PostgresStore(url)
        assert "s3c" not in str(caught.value)
        assert caught.value.__context__ is None


def test_a_server_that_does_not_sync_is_reported(pg: Place) -> None:
    ledger = pg.ledger()
    assert ledger.store.integrity() == []
    server().do("ALTER SYSTEM SET fsync = off")
    server().do("SELECT pg_reload_conf()")
    try:
        other = pg.ledger()
        assert other.store.integrity() == [
            "fsync is off: what was acknowledged can be lost with the power"
        ]
    finally:
        server().do("ALTER SYSTEM RESET fsync")
        server().do("SELECT pg_reload_conf()")
