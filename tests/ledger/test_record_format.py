"""A decision's line: readable, one spelling, and never the same for two decisions."""

from __future__ import annotations

import dataclasses
import os
import random
import re
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bandeau.decision.model import Decision, Event
from bandeau.errors import RecordError
from bandeau.ledger import record
from ledger.publishing import spoilt

PROVE = bool(os.environ.get("BANDEAU_PROVE"))
MINUTES = 4_223_371_680  # from 1970 to the end of 9999
FIXED = (
    "snapshot",
    "language",
    "layer",
    "device",
    "signal",
    "replaces",
    "time",
    "none",
    "yes",
    "no",
)
MADE = Decision(
    29_926_765, Event.CUSTOM, (("social", True), ("ads", False)), "fr", signal=False,
    snapshot=4, layer="settings", device="phone", replaces=17,
)  # fmt: skip
LINE = (
    b"2026-11-25T11:25Z custom snapshot=4 language=fr layer=settings device=phone signal=no"
    b" replaces=17 social=yes ads=no"
)

purposes = st.sampled_from(FIXED) | st.from_regex(r"[a-z][a-z0-9_-]{0,63}", fullmatch=True)
decisions = st.builds(
    Decision,
    minute=st.integers(0, MINUTES - 1),
    event=st.sampled_from(Event),
    choices=st.lists(
        st.tuples(purposes, st.booleans()), max_size=8, unique_by=lambda pair: pair[0]
    ).map(tuple),
    language=st.from_regex(r"[a-z]{2,3}", fullmatch=True),
    signal=st.booleans(),
    snapshot=st.integers(0, 10**19 - 1),
    layer=st.sampled_from(record.LAYERS),
    device=st.sampled_from(record.DEVICES),
    replaces=st.none() | st.integers(0, 10**19 - 1),
)


def test_the_example_of_the_comment_is_a_record() -> None:
    words = record.__doc__ or ""
    example = re.search(
        r"^    (2026-.*)\n +(replaces.*?) {2,}\(on one line, at most ([\d,]+) bytes",
        words,
        re.MULTILINE,
    )
    assert example
    line = f"{example[1]} {example[2]}".encode()
    found = record.parse(line)
    assert record.encode(found) == line
    when = datetime(2026, 11, 24, 19, 25, tzinfo=UTC)
    assert found == Decision(
        int(when.timestamp()) // 60, Event.ACCEPT_ALL, (("social", True), ("ads", True)), "fr",
        signal=False, snapshot=0, layer="first", device="phone",
    )  # fmt: skip
    assert int(example[3].replace(",", "")) == record.MAX_RECORD


def test_the_words_of_the_comment_are_those_that_are_read() -> None:
    words = " ".join((record.__doc__ or "").split())
    assert f"action = {' | '.join(Event)} " in words
    assert f"layer = {' | '.join(record.LAYERS)} " in words
    assert f"device = {' | '.join(record.DEVICES)} " in words


def test_a_decision_is_one_readable_line() -> None:
    assert record.encode(MADE) == LINE
    assert record.parse(LINE) == MADE


@settings(max_examples=20_000 if PROVE else 100)
@given(decisions)
def test_a_record_is_read_as_it_was_written(made: Decision) -> None:
    line = record.encode(made)
    assert record.parse(line) == made
    assert re.fullmatch(rb"[a-z0-9_=:TZ -]+", line)


@settings(max_examples=20_000 if PROVE else 100)
@given(
    decisions, decisions, st.sets(st.sampled_from([f.name for f in dataclasses.fields(Decision)]))
)
def test_equal_lines_are_equal_decisions(one: Decision, other: Decision, some: set[str]) -> None:
    """`other` has a part of its fields from `one`, so that what is alike is often but one word apart."""
    mixed = dataclasses.replace(other, **{name: getattr(one, name) for name in some})
    assert (record.encode(one) == record.encode(mixed)) == (one == mixed)


def test_a_purpose_may_be_called_as_a_fixed_field() -> None:
    some = tuple((name, n % 2 == 0) for n, name in enumerate(FIXED))
    made = dataclasses.replace(MADE, choices=some, replaces=None)
    assert record.parse(record.encode(made)) == made
    without = dataclasses.replace(made, choices=())
    assert record.parse(record.encode(without)) == without


WRONG_LINES = {
    "nothing": b"",
    "an end of line": LINE + b"\n",
    "CRLF": LINE + b"\r\n",
    "a space before": b" " + LINE,
    "a space after": LINE + b" ",
    "two spaces": LINE.replace(b" custom", b"  custom"),
    "a tab": LINE.replace(b" custom", b"\tcustom"),
    "a byte that is no ASCII": LINE.replace(b"fr", b"f\xe9"),
    "a digit that is no ASCII": LINE.replace(b"=4", "=٤".encode()),
    "seconds": LINE.replace(b":25Z", b":25:00Z"),
    "no zone": LINE.replace(b"25Z", b"25"),
    "another zone": LINE.replace(b"25Z", b"25+00:00"),
    "a small t": LINE.replace(b"T", b"t"),
    "no such day": LINE.replace(b"-11-25", b"-11-31"),
    "no such hour": LINE.replace(b"11:25", b"24:00"),
    "no such minute": LINE.replace(b"11:25", b"11:60"),
    "no such year": LINE.replace(b"2026", b"0000"),
    "before 1970": LINE.replace(b"2026", b"1969"),
    "no such action": LINE.replace(b"custom", b"accept"),
    "an action that is derived": LINE.replace(b"custom", b"expired"),
    "a zero before the snapshot": LINE.replace(b"=4", b"=04"),
    "a negative snapshot": LINE.replace(b"=4", b"=-4"),
    "a snapshot of 300 digits": LINE.replace(b"=4", b"=" + b"4" * 300),
    "no snapshot": LINE.replace(b"snapshot=4 ", b""),
    "a snapshot that is none": LINE.replace(b"=4", b"=none"),
    "a zero before what is replaced": LINE.replace(b"=17", b"=017"),
    "capitals in the language": LINE.replace(b"=fr", b"=FR"),
    "a language of four letters": LINE.replace(b"=fr", b"=fran"),
    "a region": LINE.replace(b"=fr", b"=fr-be"),
    "no such layer": LINE.replace(b"settings", b"popup"),
    "no such device": LINE.replace(b"phone", b"watch"),
    "another yes": LINE.replace(b"signal=no", b"signal=true"),
    "fields in another order": LINE.replace(
        b"layer=settings device=phone", b"device=phone layer=settings"
    ),
    "a choice before the fields": LINE.replace(b" snapshot", b" social=yes snapshot"),
    "a purpose twice": LINE + b" social=yes",
    "a purpose twice, otherwise": LINE + b" social=no",
    "a purpose with a capital": LINE + b" Video=no",
    "a purpose that begins with a digit": LINE + b" 1video=no",
    "a purpose of 65 letters": LINE + b" " + b"p" * 65 + b"=no",
    "a purpose without a word": LINE + b" video",
    "a purpose without a name": LINE + b" =no",
    "NUL": LINE + b"\0",
}


@pytest.mark.parametrize("which", WRONG_LINES)
def test_a_line_in_another_spelling_is_not_read(which: str) -> None:
    assert WRONG_LINES[which] != LINE
    with pytest.raises(RecordError):
        record.parse(WRONG_LINES[which])


def test_times_go_from_1970_to_9999() -> None:
    for minute, words in ((0, "1970-01-01T00:00Z"), (MINUTES - 1, "9999-12-31T23:59Z"),
                          (35_791_394, "2038-01-19T03:14Z"), (71_582_788, "2106-02-07T06:28Z")):  # fmt: skip
        made = dataclasses.replace(MADE, minute=minute)
        assert record.encode(made).startswith(words.encode())
        assert record.parse(record.encode(made)) == made
    for minute in (-1, MINUTES, 2**63):
        with pytest.raises(RecordError, match="no time"):
            record.encode(dataclasses.replace(MADE, minute=minute))


@pytest.mark.parametrize(
    "change",
    [{"language": "FR"}, {"language": "fr\n"}, {"language": "fr layer=place"}, {"layer": "popup"},
     {"device": "x"}, {"snapshot": -1}, {"snapshot": 10**19}, {"replaces": -1}, {"replaces": 10**19},
     {"choices": (("a b", True),)}, {"choices": (("A", True),)},
     {"choices": (("p" * 65, True),)}, {"choices": (("", True),)},
     {"choices": tuple((f"p{n:04}", True) for n in range(1_700))}],
    ids=lambda change: str(change)[:50],
)  # fmt: skip
def test_what_could_not_be_read_back_is_not_written(change: dict[str, Any]) -> None:
    with pytest.raises(RecordError):
        record.encode(dataclasses.replace(MADE, **change))


@pytest.mark.parametrize("choices", [(("ads", True), ("ads", False)), (("ads=yes social", True),)])
def test_two_decisions_are_not_written_alike(choices: tuple[tuple[str, bool], ...]) -> None:
    """A purpose twice is not read back; one with a space in it is read as two."""
    with pytest.raises(RecordError):
        record.encode(dataclasses.replace(MADE, choices=choices))


def test_a_record_has_its_limit() -> None:
    def long(last: int) -> Decision:
        some = [(f"p{n:04}", True) for n in range(1_626)] + [("p" * last, True)]
        return dataclasses.replace(MADE, choices=tuple(some), replaces=None)

    short = len(record.encode(long(1)))
    longest = long(1 + record.MAX_RECORD - short)
    line = record.encode(longest)
    assert len(line) == record.MAX_RECORD
    assert record.parse(line) == longest
    with pytest.raises(RecordError):
        record.encode(long(2 + record.MAX_RECORD - short))
    with pytest.raises(RecordError):
        record.parse(line.replace(b" p0000", b" p00000"))


def test_no_mutated_record_raises_or_has_a_second_spelling() -> None:
    """5,000 of them; 1,000,000 with BANDEAU_PROVE=1."""
    seed = random.randrange(1 << 32)
    chance = random.Random(seed)
    pieces = [
        b" ",
        b"=",
        b"=yes",
        b" ads=no",
        b"0",
        b"9" * 300,
        b"-",
        b"\n",
        b"\xff",
        b"none",
        LINE[:40],
    ]
    for _ in range(1_000_000 if PROVE else 5_000):
        line = spoilt(LINE, pieces, chance)
        try:
            found = record.parse(line)
        except RecordError:
            continue
        assert record.encode(found) == line, (seed, line)


@settings(max_examples=20_000 if PROVE else 300)
@given(st.binary(max_size=300))
def test_garbage_is_refused(line: bytes) -> None:
    with pytest.raises(RecordError):
        record.parse(line)
