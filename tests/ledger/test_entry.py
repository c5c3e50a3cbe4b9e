"""Entries: what is published of each event, and that a commitment gives nothing away."""

from __future__ import annotations

import hashlib
import itertools
import os
import random
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bandeau.decision.model import Decision, Event
from bandeau.ledger import entry, record
from bandeau.ledger.entry import Entry, EntryError, Kind, Reason
from bandeau.ledger.note import Signer
from ledger.publishing import spoilt

PROVE = bool(os.environ.get("BANDEAU_PROVE"))
SALT = hashlib.sha256(b"a salt").digest()
LINE = b"2026-11-24T19:25Z refuse_all snapshot=0 language=fr layer=first device=phone signal=no replaces=none"
VKEY = Signer("n" * 255, b"s" * 32).verifier.vkey
MADE = {
    Kind.SNAPSHOT: entry.snapshot(bytes(range(32))),
    Kind.DECISION: entry.decision(LINE, SALT),
    Kind.ERASURE: entry.erasure(2**64 - 1, Reason.ORDER, 2**32 - 1),
    Kind.KEY: entry.key(VKEY),
    Kind.RETENTION: entry.retention(2**64 - 1),
    Kind.MODE: entry.mode("since=2026-11-24T19:25Z gate=enforced é"),
    Kind.AUDIT: entry.audit(bytes(32)),
}


def test_the_table_of_the_comment_is_what_is_written() -> None:
    rows = re.findall(
        r"^    ([A-Z]+) +01 0(\d) .*? (at most )?([\d,]+)(?: bytes)?$",
        entry.__doc__ or "",
        re.MULTILINE,
    )
    assert [Kind[name] for name, *_ in rows] == list(Kind)
    for name, number, at_most, size in rows:
        made, limit = MADE[Kind[name]].encode(), int(size.replace(",", ""))
        assert made[:2] == bytes([1, int(number)])
        assert len(made) <= limit if at_most else len(made) == limit
    limits = {name: int(size.replace(",", "")) for name, _, at_most, size in rows if at_most}
    assert limits == {"KEY": 2 + entry.MAX_KEY, "MODE": 2 + entry.MAX_MODE}
    assert '"bandeau/decision/v1\\n" || record' in (entry.__doc__ or "")


@pytest.mark.parametrize("kind", Kind)
def test_what_is_made_is_read_back(kind: Kind) -> None:
    made = MADE[kind]
    assert made.kind is kind
    assert Entry.parse(made.encode()) == made
    assert made.described()


def test_the_fields_of_an_entry_are_read_back() -> None:
    for reason in Reason:
        one = entry.erasure(7, reason, 20_781)
        assert entry.erased(Entry.parse(one.encode())) == (7, reason, 20_781)
        assert one.encode() == b"\x01\x03" + (7).to_bytes(8) + bytes([reason]) + (20_781).to_bytes(
            4
        )
    assert entry.kept_from(Entry.parse(entry.retention(9).encode())) == 9
    assert entry.erasure(7, Reason.REQUEST, 1).described() == "record 7 erased (request)"
    assert entry.retention(9).described() == "records before 9 removed"
    assert MADE[Kind.KEY].described() == VKEY


WRONG = {
    "nothing": b"",
    "a version alone": b"\x01",
    "version 0": b"\x00\x02" + bytes(32),
    "version 2": b"\x02\x02" + bytes(32),
    "kind 0": b"\x01\x00" + bytes(32),
    "kind 8": b"\x01\x08" + bytes(32),
    "a commitment of 31 bytes": b"\x01\x02" + bytes(31),
    "a commitment of 33 bytes": b"\x01\x02" + bytes(33),
    "a snapshot of 64 bytes": b"\x01\x01" + bytes(64),
    "an audit of nothing": b"\x01\x07",
    "an inner node of the tree": b"\x01" + bytes(64),
    "an erasure for no reason": b"\x01\x03" + bytes(8) + b"\x00" + bytes(4),
    "an erasure for reason 4": b"\x01\x03" + bytes(8) + b"\x04" + bytes(4),
    "an erasure without its day": b"\x01\x03" + bytes(8) + b"\x01",
    "an erasure with more": MADE[Kind.ERASURE].encode() + b"\0",
    "a retention of 7 bytes": b"\x01\x05" + bytes(7),
    "a key of nothing": b"\x01\x04",
    "a key with an end of line": b"\x01\x04" + VKEY.encode() + b"\n",
    "a key that is too long": b"\x01\x04" + b"k" * (entry.MAX_KEY + 1),
    "a mode of nothing": b"\x01\x06",
    "a mode with a control character": b"\x01\x06a\x1fb",
    "a mode with DEL": b"\x01\x06a\x7f",
    "a mode that is not UTF-8": b"\x01\x06\xff",
    "a mode with half a character": b"\x01\x06\xed\xa0\x80",
    "a mode that is too long": b"\x01\x06" + b"m" * (entry.MAX_MODE + 1),
}


@pytest.mark.parametrize("which", WRONG)
def test_what_is_no_entry_is_refused(which: str) -> None:
    with pytest.raises(EntryError):
        Entry.parse(WRONG[which])


def test_words_go_to_the_limit() -> None:
    assert Entry.parse(b"\x01\x04" + b"k" * entry.MAX_KEY)
    assert Entry.parse(b"\x01\x06" + b"m" * entry.MAX_MODE)
    assert len(entry.mode("m" * entry.MAX_MODE).body) == entry.MAX_MODE


@pytest.mark.parametrize("line", ["m" + "é" * 3000, "m" * 4097, "", "two\nlines"])
def test_a_mode_that_would_be_no_entry_is_not_made(line: str) -> None:
    with pytest.raises(EntryError):
        entry.mode(line)


def test_no_mutated_entry_raises_or_is_read_as_another() -> None:
    """5,000 of them; 1,000,000 with BANDEAU_PROVE=1."""
    seed = random.randrange(1 << 32)
    chance = random.Random(seed)
    originals = [one.encode() for one in MADE.values()]
    pieces = [b"\x01", b"\x02", b"\xff", b"\n", b"\0" * 8, *originals]
    for _ in range(1_000_000 if PROVE else 5_000):
        content = spoilt(chance.choice(originals), pieces, chance)
        try:
            found = Entry.parse(content)
        except EntryError:
            continue
        assert found.encode() == content, (seed, content)
        assert isinstance(found.described(), str)


@settings(max_examples=20_000 if PROVE else 300)
@given(
    st.sampled_from([b"", b"\x01", *(bytes([1, kind]) for kind in Kind)]), st.binary(max_size=60)
)
def test_garbage_is_an_entry_or_refused(head: bytes, rest: bytes) -> None:
    try:
        found = Entry.parse(head + rest)
    except EntryError:
        return
    assert found.encode() == head + rest
    assert isinstance(found.described(), str)


# -- commitments ------------------------------------------------------------------------------------


def test_equal_records_give_unrelated_entries() -> None:
    made = [entry.decision(LINE, hashlib.sha256(bytes([n])).digest()).encode() for n in range(200)]
    assert len(set(made)) == 200
    apart = [
        (int.from_bytes(one[2:]) ^ int.from_bytes(other[2:])).bit_count()
        for one, other in itertools.pairwise(made)
    ]
    assert min(apart) > 70  # of 256 bits; unrelated ones differ in 128, give or take 8
    assert max(apart) < 186


def test_nobody_guesses_a_record_without_its_salt() -> None:
    """All choices of 6 purposes in each minute of an hour, with every salt that could be known."""
    purposes = ("audience", "social", "ads", "video", "maps", "chat")
    secret = hashlib.sha256(b"nobody knows this").digest()
    minutes = range(29_926_740, 29_926_740 + (60 if PROVE else 5))

    lines = [
        record.encode(
            Decision(
                minute,
                event,
                tuple(zip(purposes, words, strict=True)),
                "fr",
                signal=False,
                snapshot=1,
            )
        )
        for minute in minutes
        for event in (Event.ACCEPT_ALL, Event.REFUSE_ALL, Event.CUSTOM)
        for words in itertools.product((True, False), repeat=len(purposes))
    ]
    assert len(set(lines)) == len(minutes) * 3 * 2 ** len(purposes)
    published = entry.decision(lines[411], secret).encode()
    known = [b"", bytes(32), SALT, published[2:], hashlib.sha256(lines[411]).digest()]
    for salt in known:
        assert published not in {entry.decision(line, salt).encode() for line in lines}
    assert hashlib.sha256(lines[411]).digest() != published[2:]
    opened = [line for line in lines if entry.decision(line, secret).encode() == published]
    assert opened == [lines[411]]


@given(st.binary(min_size=32, max_size=32), st.binary(max_size=60), st.integers(1, 31))
def test_no_byte_moves_between_record_and_salt(salt: bytes, line: bytes, by: int) -> None:
    whole = line + salt
    moved = whole[by:] + whole[:by]
    other_line, other_salt = moved[:-32], moved[-32:]
    same = (line, salt) == (other_line, other_salt)
    assert (entry.decision(line, salt) == entry.decision(other_line, other_salt)) == same
    longer = entry.decision(line + salt[:by], salt)
    assert longer != entry.decision(line, salt)
