"""Loss of power at every point of a run: what was acknowledged is there, once and right.

The real ledger runs on a disk that writes down each write and sync (`faults.Disk`, a VFS of `apsw`,
with the SQLite that `apsw` brings). For each cut the files are put together as they may have been
left, and opened by the ordinary ledger with the standard library's SQLite. A few batches; fifty with
BANDEAU_PROVE=1.
"""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import Future
from functools import partial
from pathlib import Path
from unittest import mock

import pytest

from bandeau.decision.model import Published
from bandeau.errors import BandeauError
from bandeau.ledger import ledger as writing
from bandeau.ledger import receipt
from bandeau.ledger.entry import Kind, Reason
from bandeau.ledger.ledger import Ledger, Stored
from bandeau.ledger.note import Verifier
from bandeau.ledger.receipt import Receipt
from ledger.faults import (
    KEY,
    NOW,
    OLD,
    PROVE,
    SHOWN,
    Disk,
    Files,
    Step,
    Told,
    at,
    decision,
    judge,
    quick_folder,
    retry,
    show,
)

BATCHES = 50 if PROVE else 5
SEEDS = 12 if PROVE else 2  # ways to lose what was not synced, beside losing all of it
POLICY = Published("a" * 64, ("social", "ads"), {"social": "1", "ads": "2"})


class Run:
    """A ledger's life on a disk: batches of decisions, and everything else that writes."""

    def __init__(self, folder: Path, disk: Disk, batches: int = BATCHES) -> None:
        self.folder, self.disk, self.batches = folder, disk, batches
        self._minute = OLD
        self._receipts: dict[str, Receipt] = {}
        with disk.recording(), mock.patch.object(writing, "_MARK_SECONDS", 0.0):
            self._ledger = at(folder, lambda: self._minute)
            self._snapshot = self._ledger.snapshot(SHOWN)
            self._ledger.publish(POLICY)
            for batch in range(batches):
                self._batch(batch)
                self._between(batch)
            self._ledger.close()

    def _batch(self, batch: int) -> None:
        chance = random.Random(batch)
        last = max((one.index for one in self._receipts.values()), default=None)
        futures = []
        for number in range(chance.randrange(1, 9)):
            name = f"b{batch}-{number}"
            made = decision(self._snapshot, name, self._minute, last if number % 3 == 0 else None)
            future = self._ledger.submit(made, retry(name))
            future.add_done_callback(partial(self._stored, name))
            futures.append(future)
        for future in futures:
            future.result(30)

    def _stored(self, name: str, done: Future[Stored]) -> None:
        """Note an answer, in the very moment in which a visitor may get it."""
        found = done.result().receipt()
        self._receipts[name] = found

        def told_so(told: Told) -> None:
            told.receipts[name] = found
            told.known.append(name)

        self.disk.say(told_so)

    def _between(self, batch: int) -> None:
        ledger, say = self._ledger, self.disk.say
        match batch * 5 // self.batches if (batch + 1) * 5 % self.batches == 0 else -1:
            case 0:
                self._minute = NOW
                say(lambda told: told.known.clear())  # two days are long over
                (held, gone, *_) = [one.index for one in self._receipts.values()]
                ledger.hold(held, "a dispute")
                say(lambda told: told.asked.add(gone))
                ledger.erase(gone, Reason.REQUEST)
                say(lambda told: told.gone.add(gone))
            case 1:
                say(lambda told: setattr(told, "retaining", True))
                first = ledger.retain(100)
                assert first
                held, *_ = [index for index, _, _ in ledger.store.holds()]
                say(lambda told: told.gone.update(set(range(first)) - {held}))
                ledger.release(held)
            case 2:
                ledger.close()
                self._ledger = at(self.folder, lambda: self._minute)
            case 3:
                ledger.rotate()
            case 4:
                ledger.store.scrub()


def recovered(folder: Path, told: Told, *, name: str) -> list[str]:
    """Open what a loss of power has left, and go on; return all that is wrong."""
    try:
        ledger = at(folder)
    except BandeauError as error:
        return [f"it cannot be opened: {error}"]
    try:
        faults = judge(ledger, told).faults
        return faults + list(_going_on(ledger, told, name))
    except BandeauError as error:
        return [f"it cannot go on: {error}"]
    finally:
        ledger.close()


def _going_on(ledger: Ledger, told: Told, name: str) -> Iterator[str]:
    snapshot = ledger.snapshot(SHOWN)
    for known in told.known[-1:]:
        one, again = told.receipts[known], ledger.append(decision(snapshot, known), retry(known))
        if (again.index, again.receipt().record) != (one.index, one.record):
            yield f"{known} was at {one.index}, and its retry is at {again.index}"
    size = ledger.head.tree.size
    next_one = ledger.append(decision(snapshot, name), retry(name))
    receipt.check(next_one.receipt(), [Verifier.parse(ledger.vkey)])
    if next_one.index != size:
        yield f"the next decision is at {next_one.index} of {size}"


def survived(disk: Disk, seeds: int, figures: Counter[str]) -> Iterator[tuple[int, int, str]]:
    """Cut the power at every point, in several ways; give the cut, the way, and what is wrong."""
    for cut, told, left in disk.cuts():
        for seed in range(seeds + 1):
            chance = random.Random(f"{cut} {seed}") if seed else None
            with quick_folder() as folder:
                _write(folder, left(chance))
                figures["states"] += 1
                for fault in recovered(folder, told, name="next"):
                    yield cut, seed, fault
        figures["cuts"] += 1
    figures["acknowledged"] = len(told.receipts)


def _write(folder: Path, files: Files) -> None:
    for name, content in files.items():
        path = folder / name
        path.write_bytes(content)
        path.chmod(0o600)


def test_a_loss_of_power_at_any_point_loses_nothing_that_was_acknowledged() -> None:
    begun = time.monotonic()
    figures: Counter[str] = Counter()
    with quick_folder() as folder:
        disk = Disk()
        Run(folder, disk)
        log = at(folder)
        kinds = Counter(Kind(event.kind) for event in log.store.events())
        log.close()
    assert kinds == {Kind.KEY: 2, Kind.SNAPSHOT: 1, Kind.ERASURE: 1, Kind.RETENTION: 1}
    assert list(survived(disk, SEEDS, figures)) == []
    show("loss of power", figures, begun)


@pytest.mark.parametrize("synchronous", ["OFF", "NORMAL"])
def test_without_a_sync_at_each_commit_the_same_cuts_lose_decisions(synchronous: str) -> None:
    with quick_folder() as folder:
        disk = Disk(synchronous)
        Run(folder, disk, 5)
    assert any(fault.startswith("lost") for _, _, fault in survived(disk, 0, Counter()))


def test_a_secret_is_in_its_folder_for_good_before_anything_is_signed_with_it() -> None:
    with quick_folder() as folder:
        disk = Disk()
        Run(folder, disk, 5)
    steps = [step for step in disk.steps if isinstance(step, Step)]
    made = [place for place, step in enumerate(steps) if (step.file, step.kind) == (KEY, "put")]
    assert len(made) == 2  # the first one, and that of the rotation
    for place in made:
        after = (step.kind for step in steps[place:] if step.kind in ("sync", "folder"))
        assert next(after) == "folder"
