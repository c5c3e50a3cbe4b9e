"""Receipts: what a visitor keeps holds for one line, at one place, under one key."""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import hashlib
import os
import random
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bandeau.ledger import entry, note, receipt, tree
from bandeau.ledger.note import Checkpoint, Note, Signature, Signer
from bandeau.ledger.receipt import Receipt, ReceiptError, check, parse
from ledger.publishing import NAME, Published, flipped, root, spoilt

PROVE = bool(os.environ.get("BANDEAU_PROVE"))
LOG = Published(300)
KEYS = [LOG.signer.verifier]
MADE = LOG.receipt(41, 300)
TEXT = MADE.encode()


def test_a_receipt_is_the_text_of_the_grammar() -> None:
    words = receipt.__doc__ or ""
    first = re.search(r'receipt = "(.*)\\n"', words)
    assert first
    head, _, checkpoint = TEXT.decode().partition("\n\n")
    lines = head.split("\n")
    assert lines[0] == first[1] == "c2sp.org/tlog-proof@v1"
    assert lines[1] == "extra " + base64.b64encode(LOG.record(41) + LOG.salt(41)).decode()
    assert lines[2] == "index 41"
    assert [base64.b64decode(line) for line in lines[3:]] == list(MADE.path)
    assert checkpoint.encode() == LOG.checkpoint(300)
    assert f"*{tree.MAX_PROOF}(base64(hash)" in words
    assert f"the last {entry.SALT} bytes" in words
    assert receipt.MAX_RECEIPT == 128 * 1024
    assert "At most 128 KiB" in words


def test_every_receipt_of_a_log_holds() -> None:
    for size in (3, 256, 257, 300):
        for index in range(2, size, 1 if PROVE else 7):
            made = LOG.receipt(index, size)
            assert parse(made.encode()) == made
            assert check(made, KEYS) == Checkpoint(NAME, size, root(LOG.leaves[:size]))


CHANGES: dict[str, Receipt] = {
    "another index": dataclasses.replace(MADE, index=40),
    "an index beyond the tree": dataclasses.replace(MADE, index=300),
    "another choice": dataclasses.replace(MADE, record=MADE.record.replace(b"ads=yes", b"ads=no")),
    "another salt": dataclasses.replace(MADE, salt=LOG.salt(42)),
    "another's record and salt": dataclasses.replace(
        MADE, record=LOG.record(42), salt=LOG.salt(42)
    ),
    "a path without its end": dataclasses.replace(MADE, path=MADE.path[:-1]),
    "a path with more": dataclasses.replace(MADE, path=(*MADE.path, bytes(32))),
    "a path upside down": dataclasses.replace(MADE, path=MADE.path[::-1]),
    "no path": dataclasses.replace(MADE, path=()),
    "64 hashes": dataclasses.replace(MADE, path=(bytes(32),) * 64),
    "a checkpoint of another size": dataclasses.replace(MADE, checkpoint=LOG.checkpoint(299)),
    "a checkpoint of nothing": dataclasses.replace(MADE, checkpoint=LOG.signer.sign(0, tree.EMPTY)),
    "a checkpoint by another key": dataclasses.replace(
        MADE, checkpoint=Published(300, seed=b"o" * 32).checkpoint(300)
    ),
    "a checkpoint of another log": dataclasses.replace(
        MADE, checkpoint=Signer("www.other.example", b"s" * 32).sign(300, root(LOG.leaves))
    ),
}


@pytest.mark.parametrize("which", CHANGES)
def test_whatever_is_changed_no_longer_holds(which: str) -> None:
    assert check(MADE, KEYS).size == 300
    with pytest.raises(ReceiptError):
        check(CHANGES[which], KEYS)


def test_a_line_that_is_no_record_proves_nothing_though_it_was_signed() -> None:
    for line in (b"anything", LOG.record(41) + b" ads=yes", LOG.record(41).replace(b"=1", b"=01")):
        content = entry.decision(line, LOG.salt(1)).encode()
        checkpoint = LOG.signer.sign(1, tree.leaf(content))
        with pytest.raises(ReceiptError, match="record"):
            check(Receipt(0, line, LOG.salt(1), (), checkpoint), KEYS)


def test_an_inner_node_is_no_entry() -> None:
    """What a path proves is a salted commitment of 34 bytes, so no 65 bytes that begin with 01."""
    left, right = LOG.leaves[40:42]
    above = tree.node(left, right)
    shorter = MADE.path[1:]
    assert tree.included(
        above, 41 >> 1, 300 >> 1, shorter, root(LOG.leaves)
    )  # a node is in its tree
    assert len(b"\x01" + left + right) == 65
    with pytest.raises(entry.EntryError):
        entry.Entry.parse(b"\x01" + left + right)
    with pytest.raises(ReceiptError):
        check(dataclasses.replace(MADE, index=20, path=shorter), KEYS)


def test_63_hashes_are_read_and_64_are_not() -> None:
    longest = dataclasses.replace(MADE, path=(bytes(32),) * 63, index=2**63 - 1)
    assert parse(longest.encode()) == longest
    with pytest.raises(ReceiptError, match="at most 63"):
        parse(dataclasses.replace(MADE, path=(bytes(32),) * 64).encode())


def test_17_signatures_are_too_many() -> None:
    read = note.parse(MADE.checkpoint)
    others = [Signature(f"other.example/{n}", bytes(4), bytes(64)) for n in range(16)]
    enough = Note(read.text, (*read.signatures, *others[:15])).encode()
    assert check(dataclasses.replace(MADE, checkpoint=enough), KEYS).size == 300
    many = Note(read.text, (*read.signatures, *others)).encode()
    with pytest.raises(ReceiptError, match="at most 16"):
        check(dataclasses.replace(MADE, checkpoint=many), KEYS)


HASH_LINE = note.encoded(MADE.path[0]).encode()
EXTRA = TEXT.split(b"\n")[1].removeprefix(b"extra ")
WRONG = {
    "nothing": b"",
    "a checkpoint alone": MADE.checkpoint,
    "another version": TEXT.replace(b"@v1", b"@v2"),
    "no first line": TEXT.partition(b"\n")[2],
    "something before it": b"\n" + TEXT,
    "a byte order mark": b"\xef\xbb\xbf" + TEXT,
    "CRLF": TEXT.replace(b"\n", b"\r\n"),
    "no extra": TEXT.replace(b"extra " + EXTRA + b"\n", b""),
    "extra twice": TEXT.replace(b"extra", b"extra " + EXTRA + b"\nextra"),
    "an extra with a salt alone": TEXT.replace(EXTRA, note.encoded(MADE.salt).encode()),
    "an empty extra": TEXT.replace(EXTRA, b""),
    "two spaces": TEXT.replace(b"index ", b"index  "),
    "Index": TEXT.replace(b"index", b"Index"),
    "no index": TEXT.replace(b"index 41\n", b""),
    "a zero before the index": TEXT.replace(b"index 41", b"index 041"),
    "a sign before the index": TEXT.replace(b"index 41", b"index +41"),
    "an index in hexadecimal": TEXT.replace(b"index 41", b"index 0x29"),
    "an index of 300 digits": TEXT.replace(b"index 41", b"index " + b"4" * 300),
    "an index beyond 2**63": TEXT.replace(b"index 41", b"index 9223372036854775808"),
    "a hash of 31 bytes": TEXT.replace(HASH_LINE, note.encoded(MADE.path[0][:31]).encode()),
    "a hash of 33 bytes": TEXT.replace(HASH_LINE, note.encoded(MADE.path[0] + b"0").encode()),
    "a hash with other trailing bits": TEXT.replace(HASH_LINE, HASH_LINE[:-2] + b"B="),
    "a hash without its end": TEXT.replace(HASH_LINE, HASH_LINE[:-1]),
    "a hash in hexadecimal": TEXT.replace(HASH_LINE, MADE.path[0].hex().encode()),
    "a space after a hash": TEXT.replace(HASH_LINE, HASH_LINE + b" "),
    "a byte that is no ASCII": TEXT.replace(b"index", b"ind\xe9x"),
    "no checkpoint": TEXT.partition(b"\n\n")[0] + b"\n",
    "more than there may be": TEXT + b"x" * receipt.MAX_RECEIPT,
}


@pytest.mark.parametrize("which", WRONG)
def test_a_receipt_in_another_spelling_is_not_read(which: str) -> None:
    assert WRONG[which] != TEXT
    with pytest.raises(ReceiptError):
        parse(WRONG[which])


def test_what_follows_the_empty_line_is_the_checkpoint_to_the_byte() -> None:
    for wrong in (TEXT + b"\n", TEXT[:-1], TEXT.replace(b"\n\n", b"\n\n\n", 1), TEXT + b"more\n"):
        with pytest.raises(ReceiptError):
            check(parse(wrong), KEYS)


receipts = st.builds(
    Receipt,
    index=st.integers(0, tree.MAX_SIZE),
    record=st.binary(min_size=1, max_size=200),
    salt=st.binary(min_size=32, max_size=32),
    path=st.lists(st.binary(min_size=32, max_size=32), max_size=63).map(tuple),
    checkpoint=st.binary(max_size=300),
)


@given(receipts)
def test_receipts_are_read_as_they_were_written(made: Receipt) -> None:
    assert parse(made.encode()) == made


def test_every_single_bit_of_a_receipt_counts() -> None:
    for bit in range(0, 8 * len(TEXT), 1 if PROVE else 5):
        with pytest.raises(ReceiptError):
            check(parse(flipped(TEXT, bit)), KEYS)


def test_no_mutated_receipt_raises_or_holds() -> None:
    """2,000 of them; 1,000,000 with BANDEAU_PROVE=1."""
    seed = random.randrange(1 << 32)
    chance = random.Random(seed)
    pieces = [
        b"\n",
        b"\n\n",
        b" ",
        b"=",
        b"0",
        b"index 41\n",
        HASH_LINE + b"\n",
        b"9" * 300,
        b"\xff",
        TEXT[:60],
    ]
    for _ in range(1_000_000 if PROVE else 2_000):
        content = spoilt(TEXT, pieces, chance)
        with contextlib.suppress(ReceiptError):
            found = parse(content)
            assert found.encode() == content, (seed, content)
            check(found, KEYS)
            assert content == TEXT, (seed, content)


@settings(max_examples=20_000 if PROVE else 300)
@given(st.binary(max_size=300), st.sampled_from([b"", b"c2sp.org/tlog-proof@v1\n", TEXT[:200]]))
def test_garbage_is_refused(content: bytes, head: bytes) -> None:
    with pytest.raises(ReceiptError):
        check(parse(head + content), KEYS)


def test_the_hash_of_a_receipt_is_that_of_its_entry() -> None:
    content = LOG.entries[41]
    assert MADE.leaf == hashlib.sha256(b"\x00" + content).digest()
