"""The tally is a count of the log: whatever was decided, erased, retained, killed or migrated."""

from __future__ import annotations

import contextlib
import sqlite3
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import psycopg
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as some

from bandeau.cli import main
from bandeau.decision.model import Decision, Event
from bandeau.errors import LedgerError
from bandeau.ledger import sqlite, tally
from bandeau.ledger.entry import Reason
from bandeau.ledger.keys import Keys
from bandeau.ledger.ledger import Ledger
from bandeau.ledger.log import Log
from bandeau.ledger.place import store_at, upgrade
from bandeau.ledger.record import DEVICES, LAYERS
from ledger.faults import PROVE, quick_folder
from ledger.postgres_server import server

DAY = 1440  # minutes
TODAY = 20_783  # days since 1970
ORIGIN = "www.own.example/_b/log"


class Opened:
    """A ledger whose clock stands where a test puts it."""

    def __init__(self, url: str, key: Path) -> None:
        self.url, self.key, self.minute = url, key, TODAY * DAY
        self.ledger = self.open()
        self.snapshot = self.ledger.snapshot(b"what visitors are shown")

    def open(self) -> Ledger:
        return Ledger(store_at(self.url), Keys(self.key, new=True), ORIGIN, now=lambda: self.minute)

    def decide(self, **what: object) -> int:
        values = {
            "minute": self.minute, "event": Event.CUSTOM, "choices": (("social", True),),
            "language": "fr", "signal": False, "snapshot": self.snapshot, **what,
        }  # fmt: skip
        return self.ledger.append(Decision(**values)).index  # type: ignore[arg-type]


@contextlib.contextmanager
def opened(kind: str) -> Iterator[Opened]:
    with ExitStack() as stack:
        folder = stack.enter_context(quick_folder())
        url = f"sqlite:///{folder / 'l.db'}"
        if kind == "postgres":
            url = stack.enter_context(server().database())
        found = Opened(url, folder / "l.key")
        stack.callback(lambda: found.ledger.close())  # noqa: PLW0108 (a test may open another)
        yield found


def recount(log: Log) -> tuple[Counter[tuple[int, str, str, str]], int]:
    """Count the records that are left, in the plainest way, and all decisions."""
    found: Counter[tuple[int, str, str, str]] = Counter()
    for noted in log.decisions():
        one = noted.decision
        day, granted = one.minute // DAY, [yes for _, yes in one.choices]
        outcome = "refused" if not any(granted) else "granted" if all(granted) else "partial"
        found[day, "action", one.event.value, outcome] += 1
        found[day, "language", one.language, outcome] += 1
        found[day, "layer", one.layer, outcome] += 1
        found[day, "device", one.device, outcome] += 1
        found[day, "snapshot", str(one.snapshot), outcome] += 1
        for purpose, yes in one.choices:
            found[day, "purpose", purpose, "granted" if yes else "refused"] += 1
    entries = log.store.entries(0, log.head.tree.size)
    return found, sum(one[:2] == b"\x01\x02" for one in entries)


def agrees(log: Log) -> bool:
    """Say whether the tally, less what is gone, is the recount, and all decisions are in it."""
    rows = log.store.tally(0, tally.NEVER)
    left, decided = recount(log)
    kept = {row[:4]: row[4] - row[5] for row in rows if row[4] != row[5]}
    total = sum(row[4] for row in rows if row[1] in ("action", "lost"))
    return kept == dict(left) and total == decided


steps: some.SearchStrategy[tuple[str, object]] = some.one_of(
    some.tuples(some.just("decide"), some.builds(
        dict, event=some.sampled_from(Event), language=some.sampled_from(("fr", "en", "de")),
        layer=some.sampled_from(LAYERS), device=some.sampled_from(DEVICES),
        choices=some.lists(
            some.tuples(some.sampled_from(("social", "ads", "replaces", "x-1")), some.booleans()),
            max_size=3, unique_by=lambda pair: pair[0],
        ).map(tuple),
        replaces=some.sampled_from((None, 2)),
    )),
    some.tuples(some.sampled_from(("erase", "hold", "release")), some.integers(0, 30)),
    some.tuples(some.just("retain"), some.integers(1, 5)),
    some.tuples(some.just("pass"), some.integers(1, 3 * DAY)),
)  # fmt: skip


def walked(kind: str, taken: list[tuple[str, object]]) -> None:
    with opened(kind) as it:
        for word, what in taken:
            with contextlib.suppress(LedgerError):  # erased before, or held
                if word == "decide":
                    assert isinstance(what, dict)
                    it.decide(**what)
                elif word == "pass":
                    assert isinstance(what, int)
                    it.minute += what
                elif word == "erase":
                    it.ledger.erase(what, Reason.REQUEST)  # type: ignore[arg-type]
                elif word == "hold":
                    it.ledger.hold(what, "case 1")  # type: ignore[arg-type]
                elif word == "release":
                    it.ledger.release(what)  # type: ignore[arg-type]
                else:
                    it.ledger.retain(what)  # type: ignore[arg-type]
        assert agrees(it.ledger)
        assert it.ledger.fsck() == []


@settings(max_examples=500 if PROVE else 15)
@given(some.lists(steps, max_size=40))
def test_whatever_is_decided_and_removed_the_tally_is_a_recount(
    taken: list[tuple[str, object]],
) -> None:
    walked("sqlite", taken)


@settings(max_examples=100 if PROVE else 5)
@given(some.lists(steps, max_size=20))
def test_in_postgresql_too(taken: list[tuple[str, object]]) -> None:
    walked("postgres", taken)


@pytest.fixture(params=["sqlite", "postgres"])
def it(request: pytest.FixtureRequest) -> Iterator[Opened]:
    with opened(request.param) as found:
        yield found


def changed(it: Opened, *statements: str) -> None:
    """Let somebody change the database behind the ledger's back."""
    if it.url.startswith("sqlite"):
        with contextlib.closing(sqlite3.connect(sqlite.path_of(it.url))) as other, other:
            for statement in statements:
                other.execute(statement)
    else:
        with psycopg.connect(it.url, options="-c search_path=bandeau") as other_one:
            for statement in statements:
                other_one.execute(statement.encode())


def migrate(it: Opened) -> str:
    done = CliRunner().invoke(main, ["ledger", "migrate", "--ledger", it.url])
    assert done.exit_code == 0, done.output
    return done.output


def test_a_decision_that_is_erased_stays_counted_and_is_noted_as_gone(it: Opened) -> None:
    first = it.decide(event=Event.ACCEPT_ALL)
    it.decide(event=Event.ACCEPT_ALL)
    it.ledger.erase(first, Reason.REQUEST)
    rows = it.ledger.store.tally(TODAY, TODAY + 1)
    assert (TODAY, "action", "accept_all", "granted", 2, 1) in rows
    assert (TODAY, "device", "unknown", "granted", 2, 1) in rows
    assert it.ledger.store.tally(TODAY + 1, tally.NEVER) == []


def test_a_sum_that_somebody_changed_is_named_and_counted_anew(it: Opened) -> None:
    it.decide()
    changed(it, "UPDATE tally SET n = n + 5 WHERE kind = 'language'")
    (problem,) = it.ledger.fsck()
    assert "language fr granted" in problem
    assert "migrate" in problem
    assert "1 sums are new" in migrate(it)
    assert it.ledger.fsck() == []
    assert "up to date" in migrate(it)


def test_a_ledger_of_schema_3_gets_its_tally_out_of_its_records(it: Opened) -> None:
    lost = it.decide()
    for _ in range(3):
        it.decide(device="phone", choices=(("social", True), ("ads", False)))
    it.ledger.erase(lost, Reason.REQUEST)
    it.ledger.close()
    changed(it, "DROP TABLE tally", "UPDATE meta SET value = '3' WHERE name = 'schema_version'")
    with pytest.raises(LedgerError, match="bandeau ledger migrate"):
        it.open()
    assert "counted" in migrate(it)
    it.ledger = it.open()
    rows = it.ledger.store.tally(0, tally.NEVER)
    assert (TODAY, "device", "phone", "partial", 3, 0) in rows
    assert (*tally.LOST, 1, 1) in rows  # of the one that was erased only its number is known
    assert it.ledger.fsck() == []
    assert agrees(it.ledger)
    it.decide()
    assert it.ledger.fsck() == []


def test_upgrading_leaves_other_schemas_alone(it: Opened) -> None:
    it.decide()
    before = it.ledger.store.tally(0, tally.NEVER)
    upgrade(it.url)
    assert it.ledger.store.tally(0, tally.NEVER) == before


def test_a_record_that_is_none_is_erased_all_the_same() -> None:
    with opened("sqlite") as it:
        index = it.decide()
        changed(it, f"UPDATE record SET line = 'nonsense' WHERE idx = {index}")
        it.ledger.erase(index, Reason.ERROR)
        assert it.ledger.kept(index) is None
        assert any("tally" in problem for problem in it.ledger.fsck())


def test_a_ledger_that_is_written_to_meanwhile_is_checked_without_false_alarm() -> None:
    with opened("sqlite") as it:
        it.decide()
        walk = it.ledger.tree

        def slow(size: int) -> Iterator[object]:
            it.decide()
            yield from walk(size)
            it.decide()

        it.ledger.tree = slow  # type: ignore[method-assign, assignment]
        assert it.ledger.fsck() == []
