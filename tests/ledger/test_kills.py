"""`kill -9` at any moment: what was acknowledged is there, once and right, and the next process goes on.

A kill at each of the chosen points and a few at random ones; with BANDEAU_PROVE=1 more than 200.
"""

from __future__ import annotations

import contextlib
import random
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bandeau.errors import LedgerError
from bandeau.ledger.entry import Reason
from bandeau.ledger.keys import Keys
from bandeau.ledger.ledger import Ledger
from bandeau.ledger.sqlite import SqliteStore
from ledger.faults import (
    CLIENTS,
    DATABASE,
    KEY,
    ORIGIN,
    POINTS,
    PROVE,
    SHOWN,
    Child,
    Told,
    at,
    decision,
    judge,
    name_in,
    numbered,
    retry,
    show,
)

ROUNDS = 8 if PROVE else 1  # of a test at a chosen point
KEPT = 10  # kills of one ledger, then another begins


@pytest.fixture(scope="module")
def count() -> Iterator[Counter[str]]:
    """Figures of all tests here, printed at the end."""
    found: Counter[str] = Counter()
    begun = time.monotonic()
    yield found
    show("kill -9", found, begun)


def retried(ledger: Ledger, told: Told, child: Child) -> Iterator[str]:
    """Send again what each client sent last, and send what it may have sent; name what goes wrong."""
    snapshot = ledger.snapshot(SHOWN)
    stored = {name_in(kept.record): kept for kept in ledger.store.records(0, ledger.head.tree.size)}
    for client in range(CLIENTS):
        label = f"{child.label}-{client}"
        sent = 0
        while f"{label}-{sent}" in told.receipts:
            sent += 1
        for number in range(max(sent - 1, 0), sent + 1):
            name, made = numbered(snapshot, label, number)
            known, original = told.receipts.get(name), stored.get(name)
            if known and not original:
                continue  # removed, as it was asked for: a retry is a new decision
            answer = ledger.append(made, retry(name))
            if told.retaining and ledger.kept(answer.index) is None:
                continue  # stored, removed as it was asked for, and never answered: no receipt
            proof = told.receipts[name] = answer.receipt()
            if original and (answer.index, proof.record, proof.salt) != (
                original.index,
                original.record,
                original.salt,
            ):
                yield f"{name} was at {original.index}, and its retry is at {answer.index}"


def aftermath(folder: Path, told: Told, children: list[Child], count: Counter[str]) -> list[str]:
    """Open the ledger of a process that was killed; return all that is wrong with it."""
    ledger = at(folder)
    try:
        verdict = judge(ledger, told)
        for child in children:
            count["acknowledged"] += child.said("ack")
            verdict.doubled += retried(ledger, told, child)
        after = judge(ledger, told)
    finally:
        ledger.close()
    for found in (verdict, after):
        for word in ("lost", "wrong", "doubled"):
            count[word] += len(getattr(found, word))
    return [*told.faults, *verdict.faults, *after.faults]


def test_a_kill_at_any_moment_loses_and_doubles_nothing(
    tmp_path: Path, count: Counter[str]
) -> None:
    chance = random.Random()
    told = Told()
    for kill in range(100 if PROVE else 3):
        folder = tmp_path / str(kill // KEPT)
        folder.mkdir(exist_ok=True)
        if kill % KEPT == 0:
            told = Told()
        with Child(folder, f"k{kill}") as child:
            if chance.random() < 0.75:  # else it may be killed before it is ready
                assert child.wait("ready")
            time.sleep(chance.uniform(0.0, 0.4))
        child.tell(told)
        count["kills"] += 1
        assert aftermath(folder, told, [child], count) == []


@pytest.mark.parametrize("point", POINTS)
def test_a_kill_at_a_chosen_point_loses_and_doubles_nothing(
    tmp_path: Path, point: str, count: Counter[str]
) -> None:
    chance = random.Random()
    task = POINTS[point].task
    told, folder = Told(), tmp_path
    for kill in range(ROUNDS):
        if task == "retain":  # what is old comes first in a log, and goes once
            told, folder = Told(), tmp_path / str(kill)
            folder.mkdir()
        with Child(folder, f"p{kill}", point, 0 if task else chance.randrange(40)) as child:
            assert child.join() == -9, POINTS[point].words
        child.tell(told)
        count["kills"] += 1
        assert aftermath(folder, told, [child], count) == []


def test_two_processes_write_one_log_and_one_is_killed(tmp_path: Path, count: Counter[str]) -> None:
    for kill in range(12 if PROVE else 1):
        folder = tmp_path / str(kill)
        folder.mkdir()
        told = Told()
        with Child(folder, "one") as one, Child(folder, "other") as other:
            for child in (one, other):
                assert child.wait("ack", CLIENTS)
            one.kill()
            assert other.wait("ack", other.said("ack") + 2 * CLIENTS)  # it goes on
            other.stop()
        assert other.said("closed")
        for child in (one, other):
            child.tell(told)
        count["kills"] += 1
        assert aftermath(folder, told, [one, other], count) == []


def test_what_a_kill_kept_from_being_scrubbed_is_scrubbed_by_erasing_again(tmp_path: Path) -> None:
    with Child(tmp_path, "e", "erase") as child:
        assert child.join() == -9
    told = Told()
    child.tell(told)
    (index,) = told.asked
    (one,) = (found for found in told.receipts.values() if found.index == index)

    def left() -> list[str]:
        files = (path for path in tmp_path.iterdir() if path.name.startswith(DATABASE))
        return [path.name for path in files if one.salt in path.read_bytes()]

    site = at(tmp_path)  # runs all the while, so that the WAL is not removed
    assert site.kept(index) is None
    assert left()
    again = at(tmp_path)
    with contextlib.suppress(LedgerError):  # it may say that it was erased before
        again.erase(index, Reason.REQUEST)
    again.close()
    assert left() == []
    site.close()


def test_a_retry_is_known_in_every_process_right_after_another_has_rotated_the_key(
    tmp_path: Path,
) -> None:
    one, other = at(tmp_path), at(tmp_path)
    made = decision(one.snapshot(SHOWN), "a")
    one.rotate()
    first = one.append(made, retry("a"))
    again = other.append(made, retry("a"))
    assert (again.index, again.receipt().salt) == (first.index, first.receipt().salt)
    one.close()
    other.close()


def test_a_retry_is_known_in_every_process_after_a_kill_within_a_rotation(tmp_path: Path) -> None:
    other = at(tmp_path)
    made = decision(other.snapshot(SHOWN), "a")
    with Child(tmp_path, "r", "rotate") as child:  # a new secret is in the file, not in the log
        assert child.join() == -9
    one = at(tmp_path)
    first = one.append(made, retry("a"))
    again = other.append(made, retry("a"))
    one.close()
    other.close()
    assert again.index == first.index


def test_secrets_that_are_added_at_once_are_all_kept(tmp_path: Path) -> None:
    key = tmp_path / KEY
    several = [Keys(key, new=True) for _ in range(8)]
    together = threading.Barrier(len(several))

    def add(keys: Keys) -> None:
        together.wait()
        keys.add()

    adding = [threading.Thread(target=add, args=(keys,)) for keys in several]
    for one in adding:
        one.start()
    for one in adding:
        one.join()
    found = Keys(key).secrets
    assert len(found) == 1 + len(several)
    assert {keys.secrets[-1] for keys in several} == set(found[1:])


_FORKS = """
import os, subprocess, sys, time
from pathlib import Path
from ledger.faults import DATABASE, SHOWN, at, decision

folder, who = Path(sys.argv[1]), sys.argv[2]
ledger = at(folder)
snapshot = ledger.snapshot(SHOWN)

def write(low, high):
    for n in range(low, high):
        os.write(1, b"%d n%d\\n" % (ledger.append(decision(snapshot, f"n{n}")).index, n))

told, tell = os.pipe()
if who == "sibling" and not os.fork():
    os.read(told, 1)
    write(0, 20)
    ledger.close()
    os._exit(0)
if not os.fork():
    write(20, 40)
    os.write(tell, b".")
    time.sleep(0.5)
    if who == "visitor":
        script = "import sqlite3, sys; sqlite3.connect(sys.argv[1]).execute('SELECT * FROM entry')"
        subprocess.run([sys.executable, "-c", script, folder / DATABASE], check=True)
    write(40, 60)
    os.kill(os.getpid(), 9)
os.kill(os.getpid(), 9)
"""


@pytest.mark.parametrize(("who", "many"), [("sibling", 60), ("visitor", 40)])
def test_a_process_that_came_of_a_fork_loses_nothing_when_others_come_and_go(
    tmp_path: Path, who: str, many: int
) -> None:
    script = [sys.executable, "-c", _FORKS, str(tmp_path), who]
    tests = Path(__file__).parents[1]
    done = subprocess.run(
        script, stdout=subprocess.PIPE, check=False, text=True, cwd=tests, timeout=60
    )
    told = dict(line.split()[::-1] for line in done.stdout.splitlines())
    assert len(told) == many
    with contextlib.closing(SqliteStore(tmp_path / DATABASE)) as store:
        found = {name_in(one.record): str(one.index) for one in store.records(0, 1000)}
    assert found == told


# -- marks -------------------------------------------------------------------------------------------


@pytest.fixture
def killed(tmp_path: Path) -> tuple[Path, Told]:
    """The folder of a ledger whose second process was killed, with a mark, and what it said."""
    at(tmp_path).close()
    with Child(tmp_path, "m", "marked", 2) as child:
        assert child.join() == -9
    told = Told()
    child.tell(told)
    return tmp_path, told


@pytest.mark.parametrize(
    "tear",
    [
        lambda _: b"",
        lambda mark: mark[:1],
        lambda mark: mark[: len(mark) // 2],
        lambda mark: mark[:-1],
        lambda mark: mark[: mark.index(b"\n\n") + 2],
        lambda mark: bytes(len(mark)),
        lambda mark: b"\xff" * len(mark),
    ],
    ids=["empty", "one byte", "half", "no end", "no signature", "zeros", "no text"],
)
def test_a_torn_mark_keeps_no_ledger_from_opening(
    killed: tuple[Path, Told], tear: Callable[[bytes], bytes]
) -> None:
    folder, told = killed
    (mark,) = folder.glob("*.mark")
    mark.write_bytes(tear(mark.read_bytes()))
    ledger = at(folder)
    assert judge(ledger, told).faults == []
    ledger.append(decision(ledger.snapshot(SHOWN), "next"))
    head = ledger.head
    ledger.close()
    assert mark.read_bytes() == head.checkpoint


@pytest.mark.parametrize("content", [b"", b"\0" * 40_000, None], ids=["empty", "zeros", "none"])
def test_a_wal_that_is_lost_is_noticed_by_the_mark(
    killed: tuple[Path, Told], content: bytes | None
) -> None:
    folder, _ = killed
    wal = folder / f"{DATABASE}-wal"
    assert wal.stat().st_size > 4096
    wal.unlink()
    if content is not None:
        wal.write_bytes(content)
    with pytest.raises(LedgerError, match="restored from a backup"):
        at(folder)


def test_a_database_that_is_lost_whole_is_not_written_again_under_the_same_name(
    killed: tuple[Path, Told],
) -> None:
    folder, _ = killed
    for path in folder.glob(f"{DATABASE}*"):
        path.unlink()
    ledger = at(folder)
    assert ledger.origin == f"{ORIGIN}/~2"
    ledger.close()
