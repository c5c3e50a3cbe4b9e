"""Notes and checkpoints: one spelling, and who signed counts."""

from __future__ import annotations

import contextlib
import hashlib
import os
import random
import re
from collections.abc import Callable
from textwrap import dedent

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from bandeau.ledger import note, tree
from bandeau.ledger.note import Checkpoint, Note, NoteError, Signature, Signer, Verifier, opened
from ledger.publishing import NAME, flipped, spoilt

PROVE = bool(os.environ.get("BANDEAU_PROVE"))
LOG = Signer(NAME, b"s" * 32)
KEY = LOG.verifier
ROOT = hashlib.sha256(b"root").digest()
SIGNED = LOG.sign(300, ROOT)
TEXT = Checkpoint(NAME, 300, ROOT).text()


def witnessed(
    text: str, seconds: int, name: str = "witness.example/w1"
) -> tuple[Verifier, Signature]:
    """Sign a text as a witness does, by c2sp.org/tlog-cosignature."""
    key = Ed25519PrivateKey.from_private_bytes(b"w" * 32)
    verifier = Verifier(name, key.public_key().public_bytes_raw(), note.COSIGNATURE)
    made = key.sign(f"cosignature/v1\ntime {seconds}\n{text}".encode())
    return verifier, Signature(name, verifier.key_id, seconds.to_bytes(8) + made)


def signed(text: str, *more: Signature) -> bytes:
    """Return a note over any text, signed by the log, with more signatures under it."""
    key = Ed25519PrivateKey.from_private_bytes(b"s" * 32)
    mine = Signature(NAME, KEY.key_id, key.sign(text.encode()))
    return Note(text, (mine, *more)).encode()


def unknown(n: int, length: int = 64) -> Signature:
    return Signature(f"other.example/{n}", n.to_bytes(4), bytes(length))


# -- the comment ------------------------------------------------------------------------------------


def test_the_example_of_the_comment_is_a_checkpoint() -> None:
    written = dedent(re.search(r"\n    www.*?…\n", note.__doc__ or "", re.DOTALL)[0][1:])  # type: ignore[index]
    text, _, signatures = written.partition("\n\n")
    found = Checkpoint.parse(text + "\n")
    assert found.text() == text + "\n"
    assert (found.origin, found.size) == ("www.lanterne.example/_b/log", 3)
    assert signatures.startswith(f"— {found.origin} ")


def test_the_limits_are_those_of_the_comment() -> None:
    words = note.__doc__ or ""
    assert note.MAX_NOTE == 64 * 1024
    assert "at most 64 KiB" in words
    assert f"1*{note.MAX_SIGNATURES} signature" in words
    assert f"{note.ED25519:02} Ed25519 | {note.COSIGNATURE:02} a witness's" in words


def test_a_signed_checkpoint_is_the_note_of_the_grammar() -> None:
    made = SIGNED.decode()
    line = rf"— {re.escape(NAME)} [A-Za-z0-9+/]+=*\n"
    assert re.fullmatch(re.escape(TEXT) + "\n" + line, made)
    assert KEY.key_id == hashlib.sha256(NAME.encode() + b"\n\x01" + KEY.public).digest()[:4]
    assert KEY.vkey == f"{NAME}+{KEY.key_id.hex()}+{note.encoded(bytes([1]) + KEY.public)}"
    assert LOG.sign(300, ROOT) == SIGNED


# -- who signed -------------------------------------------------------------------------------------


def test_a_checkpoint_is_opened_with_the_log_s_key_alone() -> None:
    assert opened(SIGNED, [KEY]) == Checkpoint(NAME, 300, ROOT)
    other = Signer(NAME, b"o" * 32).verifier
    elsewhere = Signer("www.other.example/_b/log", b"s" * 32).verifier
    for verifiers in ([], [other], [elsewhere], [other, elsewhere]):
        with pytest.raises(NoteError, match="log's own key"):
            opened(SIGNED, verifiers)


def test_another_origin_than_the_key_s_name_is_refused() -> None:
    with pytest.raises(NoteError, match="log's own key"):
        opened(signed(TEXT.replace(NAME, "www.other.example")), [KEY])


def test_signatures_by_unknown_keys_and_of_unknown_kinds_are_passed_over() -> None:
    impostor = Signature(NAME, b"\0\0\0\0", bytes(64))  # the name alone makes no key
    namesake = Signature("other.example", KEY.key_id, bytes(64))  # nor does the id alone
    ml_dsa = unknown(1, 2420 + 8)
    for more in (
        [unknown(1)],
        [unknown(1), unknown(1)],
        [impostor, namesake, ml_dsa],
        [unknown(1, 1)],
    ):
        assert opened(signed(TEXT, *more), [KEY]).size == 300


def test_a_known_key_s_wrong_signature_spoils_all() -> None:
    witness, good = witnessed(TEXT, 1_800_000_000)
    bad = Signature(good.name, good.key_id, flipped(good.signature, 200))
    assert opened(signed(TEXT, good), [KEY, witness]).size == 300
    assert opened(signed(TEXT, bad), [KEY]).size == 300
    with pytest.raises(NoteError, match="does not fit"):
        opened(signed(TEXT, bad), [KEY, witness])
    with pytest.raises(NoteError, match="does not fit"):
        opened(signed(TEXT).replace(b"\n300\n", b"\n301\n"), [KEY])


def test_a_witness_signs_its_time_and_stands_in_for_no_log() -> None:
    witness, good = witnessed(TEXT, 1_800_000_000)
    later = Signature(good.name, good.key_id, (1_800_000_001).to_bytes(8) + good.signature[8:])
    with pytest.raises(NoteError, match="does not fit"):
        opened(signed(TEXT, later), [KEY, witness])
    with pytest.raises(NoteError, match="log's own key"):
        opened(Note(TEXT, (good,)).encode(), [KEY, witness])
    log_as_witness, own = witnessed(TEXT, 5, NAME)
    with pytest.raises(NoteError, match="log's own key"):
        opened(Note(TEXT, (own,)).encode(), [log_as_witness])
    for short in (b"", b"1234567", b"12345678"):
        assert not witness.verifies(TEXT, short)


def test_two_signatures_of_one_key_are_refused() -> None:
    again = note.parse(SIGNED).signatures[0]
    with pytest.raises(NoteError, match="two signatures"):
        opened(signed(TEXT, again), [KEY])


def test_16_signatures_are_read_and_17_are_not() -> None:
    assert opened(signed(TEXT, *map(unknown, range(15))), [KEY]).size == 300
    with pytest.raises(NoteError, match="at most 16"):
        opened(signed(TEXT, *map(unknown, range(16))), [KEY])


def test_a_note_has_its_limit() -> None:
    room = note.MAX_NOTE - len(signed("x\n"))
    assert note.parse(signed("x" * (room + 1) + "\n"))
    with pytest.raises(NoteError, match="at most 65536 bytes"):
        note.parse(signed("x" * (room + 2) + "\n"))


# -- one spelling -----------------------------------------------------------------------------------

LINE = SIGNED.decode().split("\n\n")[1]
WRONG_NOTES = {
    "nothing": b"",
    "a text alone": TEXT.encode(),
    "no signature": TEXT.encode() + b"\n",
    "no empty line": (TEXT + LINE).encode(),
    "no end": SIGNED[:-1],
    "two ends": SIGNED + b"\n",
    "more after it": SIGNED + b"more\n",
    "CRLF": SIGNED.replace(b"\n", b"\r\n"),
    "CR": SIGNED.replace(b"\n", b"\r"),
    "a tab": SIGNED.replace(b" ", b"\t"),
    "NUL": SIGNED.replace(b"300", b"30\0"),
    "a control character in the text": b"x\x1f\n" + SIGNED,
    "a byte order mark before a signature": SIGNED.replace("—".encode(), "\ufeff—".encode()),
    "not UTF-8": SIGNED.replace("—".encode(), b"\xe2\x80"),
    "UTF-8 in too many bytes": SIGNED.replace(b"/", b"\xc0\xaf"),
    "half a character": SIGNED.replace(b"300", b"\xed\xa0\x80"),
    "a hyphen": SIGNED.replace("—".encode(), b"-"),
    "an en dash": SIGNED.replace("—".encode(), "–".encode()),
    "two spaces": SIGNED.replace("— ".encode(), "—  ".encode()),
    "no-break space": SIGNED.replace("— ".encode(), "—\u00a0".encode()),
    "four words": SIGNED[:-1] + b" x\n",
    "no name": SIGNED.replace(f"— {NAME}".encode(), "— ".encode()),
    "a plus in a name": SIGNED.replace(f"— {NAME}".encode(), f"— {NAME}+".encode()),
    "a space of Unicode in a name": SIGNED.replace(
        f"— {NAME}".encode(), f"— {NAME}\u2003".encode()
    ),
    "a name of 256 bytes": SIGNED.replace(f"— {NAME}".encode(), b"\xe2\x80\x94 " + b"n" * 256),
    "a key's id alone": f"{TEXT}\n— {NAME} {note.encoded(KEY.key_id)}\n".encode(),
    "no base64": SIGNED[:-3] + b"*=\n",
    "base64 without its end": SIGNED.replace(b"=\n", b"\n"),
    "base64 with two ends": SIGNED[:-1] + b"=\n",
    "base64 of the other alphabet": f"{TEXT}\n— {NAME} {'-_' * 4}\n".encode(),
    "base64 in two lines": SIGNED[:-10] + b"\n" + SIGNED[-10:],
}


@pytest.mark.parametrize("which", WRONG_NOTES)
def test_a_note_in_another_spelling_is_not_read(which: str) -> None:
    assert WRONG_NOTES[which] != SIGNED
    with pytest.raises(NoteError):
        opened(WRONG_NOTES[which], [KEY])


def test_a_note_s_text_ends_at_the_last_empty_line() -> None:
    poem = "one\n\ntwo\n\n\nthree\n"
    assert note.parse(signed(poem)).text == poem
    assert note.parse(signed("\n")).text == "\n"
    assert note.parse(signed("é\u00a0\u2028\x7f\n")).text == "é\u00a0\u2028\x7f\n"


NUMBERS = ["", "00", "0300", "+300", "-1", "300 ", " 300", "3e2", "0x12c", "٣٠٠", "３００", "3_00",
           "300.0", "9" * 300, str(2**63), "1" + "0" * 5000, "300\x0b"]  # fmt: skip


@pytest.mark.parametrize("number", NUMBERS)
def test_a_number_has_one_spelling(number: str) -> None:
    with pytest.raises(NoteError, match="decimal"):
        note.number(number)
    with pytest.raises(NoteError):
        opened(signed(f"{NAME}\n{number}\n{note.encoded(ROOT)}\n"), [KEY])


def test_numbers_go_to_the_limit() -> None:
    for number in (0, 1, 9, 10, 2**63 - 1):
        assert note.number(str(number)) == number
        made = LOG.sign(number, ROOT)
        assert opened(made, [KEY]).size == number
    assert opened(LOG.sign(0, tree.EMPTY), [KEY]) == Checkpoint(NAME, 0, tree.EMPTY)


def test_base64_has_one_spelling() -> None:
    for content in (b"", b"\0", b"\0\0", b"\0\0\0", bytes(range(256))):
        assert note.decoded(note.encoded(content)) == content
    for text in ("AB==", "AAB=", "A", "AA", "AA=", "AAA", "AA==\n", " AA==", "AA==AA==", "A===",
                 "A-_A", "====", "é", "AA\0=", "AA==="):  # fmt: skip
        with pytest.raises(NoteError, match="base64"):
            note.decoded(text)


WRONG_CHECKPOINTS = {
    "two lines": f"{NAME}\n300\n",
    "an extension line": f"{TEXT}time 5\n",
    "no end": TEXT[:-1],
    "an empty line before": f"\n{TEXT}",
    "a root of 31 bytes": f"{NAME}\n300\n{note.encoded(ROOT[:31])}\n",
    "a root of 33 bytes": f"{NAME}\n300\n{note.encoded(ROOT + b'0')}\n",
    "a root with other trailing bits": re.sub(r"(.)=\n$", "B=\n", TEXT),
    "a root without its end": TEXT.replace("=\n", "\n"),
    "no origin": TEXT.replace(NAME, ""),
    "an origin with a space": TEXT.replace(NAME, "a b"),
    "an origin with a plus": TEXT.replace(NAME, "a+b"),
    "an origin with DEL": TEXT.replace(NAME, "a\x7f"),
    "an origin of 256 bytes": TEXT.replace(NAME, "é" * 128),
}


@pytest.mark.parametrize("which", WRONG_CHECKPOINTS)
def test_a_checkpoint_in_another_spelling_is_not_read(which: str) -> None:
    assert WRONG_CHECKPOINTS[which] != TEXT
    with pytest.raises(NoteError):
        Checkpoint.parse(WRONG_CHECKPOINTS[which])
    with pytest.raises(NoteError):
        opened(signed(WRONG_CHECKPOINTS[which]), [KEY])


def test_names_go_to_the_limit() -> None:
    for name in ("n", "n" * 255, "é" * 127, "*~!\\\"'%", "—"):
        signer = Signer(name, b"s" * 32)
        assert Verifier.parse(signer.verifier.vkey) == signer.verifier
        assert opened(signer.sign(1, ROOT), [signer.verifier]).origin == name
    for name in (
        "",
        " ",
        "a b",
        "a+b",
        "a\n",
        "a\0",
        "a\x7f",
        "a\u2009b",
        "a\u0085",
        "n" * 256,
        "é" * 128,
    ):
        with pytest.raises(NoteError, match="name"):
            Signer(name, b"s" * 32)


VKEY = KEY.vkey
WRONG_KEYS = {
    "nothing": "",
    "a name": NAME,
    "an end of line": VKEY + "\n",
    "a space": " " + VKEY,
    "an id in capitals": VKEY.replace(KEY.key_id.hex(), "ABCDEF01"),
    "another id": VKEY.replace(KEY.key_id.hex(), "00000000"),
    "another name": VKEY.replace("www", "vvv"),
    "no name": VKEY.removeprefix(NAME),
    "another kind": f"{NAME}+{KEY.key_id.hex()}+{note.encoded(bytes([2]) + KEY.public)}",
    "a witness's kind with the log's id": f"{NAME}+{KEY.key_id.hex()}+{note.encoded(bytes([4]) + KEY.public)}",
    "a key of 31 bytes": f"{NAME}+{KEY.key_id.hex()}+{note.encoded(bytes([1]) + KEY.public[:31])}",
    "base64 with an end that it does not need": VKEY + "=",
    "two keys": f"{VKEY}\n{VKEY}",
    "a name of 256 bytes": "n" * 256 + VKEY.removeprefix(NAME),
}


@pytest.mark.parametrize("which", WRONG_KEYS)
def test_a_key_in_another_spelling_is_not_read(which: str) -> None:
    assert WRONG_KEYS[which] != VKEY
    with pytest.raises(NoteError):
        Verifier.parse(WRONG_KEYS[which])


def test_a_witness_s_key_is_read_as_such() -> None:
    witness, _ = witnessed(TEXT, 5)
    assert Verifier.parse(witness.vkey) == witness
    assert witness.kind == note.COSIGNATURE


@pytest.mark.parametrize("read", [Verifier.parse, Checkpoint.parse])
def test_what_no_utf8_can_spell_is_refused_as_everything_else(read: type) -> None:
    for text in (f"\udcff{VKEY}", TEXT.replace(NAME, "\udcff")):
        with pytest.raises(NoteError):
            read(text)


# -- whatever comes ---------------------------------------------------------------------------------

names = st.text(st.characters(codec="utf-8"), min_size=1, max_size=40).filter(
    lambda name: note._NAME.fullmatch(name) is not None
)
signatures = st.builds(
    Signature, names, st.binary(min_size=4, max_size=4), st.binary(min_size=1, max_size=90)
)
lines = st.text(st.characters(codec="utf-8", min_codepoint=32), max_size=40)
notes = st.builds(
    lambda text, signed_by: Note("\n".join(text) + "\n", tuple(signed_by)),
    st.lists(lines, max_size=4),
    st.lists(signatures, min_size=1, max_size=16),
)


@given(notes)
def test_notes_are_read_as_they_were_written(made: Note) -> None:
    assert note.parse(made.encode()) == made


@given(names, st.integers(0, tree.MAX_SIZE), st.binary(min_size=32, max_size=32))
def test_checkpoints_and_keys_are_read_as_they_were_written(
    name: str, size: int, some: bytes
) -> None:
    made = Checkpoint(name, size, some)
    assert Checkpoint.parse(made.text()) == made
    key = Verifier(name, some)
    assert Verifier.parse(key.vkey) == key


def test_no_mutated_note_raises_or_is_taken_for_another() -> None:
    """2,000 of them; 1,000,000 with BANDEAU_PROVE=1."""
    seed = random.randrange(1 << 32)
    chance = random.Random(seed)
    _, cosigned = witnessed(TEXT, 1_800_000_000)
    originals = [SIGNED, signed(TEXT, unknown(1), cosigned)]
    pieces = [
        b"\n",
        b"\n\n",
        b" ",
        b"+",
        b"=",
        b"0",
        "— ".encode(),
        b"\r\n",
        b"9" * 300,
        b"\xff",
        SIGNED,
    ]
    for _ in range(1_000_000 if PROVE else 2_000):
        content = spoilt(chance.choice(originals), pieces, chance)
        try:
            read = note.parse(content)
        except NoteError:
            continue
        assert read.encode() == content, (seed, content)
        try:
            found = opened(content, [KEY])
        except NoteError:
            continue
        assert found == Checkpoint(NAME, 300, ROOT), (seed, content)


@settings(max_examples=20_000 if PROVE else 300)
@given(st.one_of(st.binary(max_size=200), st.text(st.characters(codec="utf-8"), max_size=200)))
def test_garbage_raises_nothing_but_what_is_announced(content: bytes | str) -> None:
    raw = content if isinstance(content, bytes) else content.encode()
    text = content if isinstance(content, str) else content.decode("latin-1")
    readers: list[Callable[[], object]] = [
        lambda: note.parse(raw),
        lambda: opened(raw, [KEY]),
        lambda: Verifier.parse(text),
        lambda: Checkpoint.parse(text),
        lambda: note.decoded(text),
        lambda: note.number(text),
    ]
    for read in readers:
        with contextlib.suppress(NoteError):
            read()
    assert not KEY.verifies(text, raw)


def test_every_single_bit_of_a_checkpoint_counts() -> None:
    for bit in range(8 * len(SIGNED)):
        with pytest.raises(NoteError):
            opened(flipped(SIGNED, bit), [KEY])
