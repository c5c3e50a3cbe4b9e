"""What a log's owner, or whoever gets at its files, could try; and what an outsider's check says to it."""

from __future__ import annotations

import dataclasses
import os
import random
import shutil
import subprocess
import sys
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import bandeau
from bandeau.ledger import entry, note, tree
from bandeau.ledger.note import Checkpoint, Signer, Verifier
from bandeau.ledger.verify import (
    ForkError,
    LogVerified,
    RefusedError,
    first_difference,
    main,
    parted,
    verify_log,
    verify_receipt,
)
from ledger.publishing import NAME, Published, flipped, leaf, root, spoilt, written

PROVE = bool(os.environ.get("BANDEAU_PROVE"))
Files = dict[str, bytes]
LOG = Published(300)
KEYS = [LOG.signer.verifier]
FILES = LOG.files()
OLD = LOG.checkpoint(100)
PROVES = (
    "It proves that the log's key signed a tree in which this line has its place; not who decided,"
    " nor that the site's clock was right."
)
FIRST, SECOND = "tile/entries/000", "tile/entries/001.p/44"


def checked(files: Files, old: bytes | None = None) -> LogVerified:
    names = [name.removeprefix("tile/") for name in files if name.startswith("tile/")]
    return verify_log(files.get, KEYS, old, names)


def rewritten(at: int, size: int = 300) -> Published:
    """Return the log as its owner would rewrite it: another decision at an index, all signed again."""
    forged = Published(size)
    forged.entries[at] = entry.decision(LOG.record(at), b"another salt".ljust(32)).encode()
    return forged


def replaced(name: str, content: bytes) -> Files:
    assert FILES[name] != content
    return {**FILES, name: content}


def pieces(name: str) -> list[bytes]:
    """Return a bundle's entries with their lengths."""
    base = 256 * ("001" in name)
    return [len(one).to_bytes(2) + one for one in LOG.entries[base : base + 256]]


def joined(name: str, change: Callable[[list[bytes]], object]) -> Files:
    some = pieces(name)
    assert b"".join(some) == FILES[name]
    change(some)
    return replaced(name, b"".join(some))


def swap(some: list[bytes]) -> None:
    some[3], some[4] = some[4], some[3]


def without(name: str) -> Files:
    return {key: content for key, content in FILES.items() if key != name}


CHECKPOINT = FILES["checkpoint"]
OTHER_ENTRY = len(LOG.entries[5]).to_bytes(2) + Published.decision(9_999)

# Rows of the tamper matrix that need nothing but the files: what is done, and where it is noticed.
ALONE: dict[str, tuple[Files, str]] = {
    "a bit in the first bundle": (replaced(FIRST, flipped(FILES[FIRST], 8 * 200)), "tile/0/000: hash 4"),
    "a bit in the partial bundle": (replaced(SECOND, flipped(FILES[SECOND], 8 * 300)), "tile/0/001.p/44"),
    "a bit in the length of an entry": (replaced(SECOND, flipped(FILES[SECOND], 8)), SECOND),
    "a bit in an entry's kind": (replaced(SECOND, flipped(FILES[SECOND], 8 * 3 + 7)), "entry 256: not an entry"),
    "a bit in a level-0 tile": (
        replaced("tile/0/000", flipped(FILES["tile/0/000"], 8 * 32 * 9)),
        "tile/0/000: hash 9 is not that of what begins with entry 9",
    ),
    "a bit in the partial level-0 tile": (
        replaced("tile/0/001.p/44", flipped(FILES["tile/0/001.p/44"], 8 * 32 * 9)),
        "tile/0/001.p/44: hash 9 is not that of what begins with entry 265",
    ),
    "a bit in the level-1 tile": (
        replaced("tile/1/000.p/1", flipped(FILES["tile/1/000.p/1"], 77)),
        "tile/1/000.p/1: hash 0",
    ),
    "another size in the checkpoint": (
        replaced("checkpoint", CHECKPOINT.replace(b"\n300\n", b"\n299\n")), "does not fit the text",
    ),
    "another root in the checkpoint": (
        replaced("checkpoint", CHECKPOINT.replace(
            note.encoded(root(LOG.leaves)).encode(), note.encoded(root(LOG.leaves[:299])).encode())),
        "does not fit the text",
    ),
    "another key under the same name": (Published(300, seed=b"o" * 32).files(), "log's own key"),
    "another origin": (Published(300, "www.other.example/_b/log").files(), "log's own key"),
    "the key under another origin": (
        replaced("checkpoint", LOG.signer.sign(300, root(LOG.leaves)).replace(NAME.encode(), b"x", 1)),
        "does not fit the text",
    ),
    "a root of other entries, signed": (
        replaced("checkpoint", LOG.signer.sign(300, root(LOG.leaves[:299]))), "root is not that of the entries",
    ),
    "entries swapped in a bundle": (joined(FIRST, swap), "tile/0/000: hash 3"),
    "an entry dropped from a bundle": (joined(FIRST, lambda some: some.pop(5)), "255 entries where 256"),
    "an entry dropped at the end": (joined(SECOND, lambda some: some.pop()), "43 entries where 44"),
    "an entry added to a bundle": (joined(SECOND, lambda some: some.append(OTHER_ENTRY)), "too long"),
    "an entry in another's place": (
        joined(FIRST, lambda some: some.__setitem__(5, OTHER_ENTRY)), "tile/0/000: hash 5",
    ),
    "a bundle cut in an entry": (replaced(SECOND, FILES[SECOND][:-1]), "ends within an entry"),
    "a bundle of nothing": (replaced(SECOND, b""), "0 entries where 44"),
    "the partial bundle missing": (without(SECOND), f"{SECOND}: it is missing"),
    "the full bundle missing": (without(FIRST), f"{FIRST}: it is missing"),
    "a level-0 tile missing": (without("tile/0/000"), "tile/0/000: it is missing"),
    "the level-1 tile missing": (without("tile/1/000.p/1"), "tile/1/000.p/1: it is missing"),
    "the checkpoint missing": (without("checkpoint"), "checkpoint: it is missing"),
    "the checkpoint of nothing": (replaced("checkpoint", b""), "checkpoint: a note is"),
    "half a checkpoint": (replaced("checkpoint", CHECKPOINT[:60]), "checkpoint: a note is"),
    "a tile cut": (replaced("tile/0/000", FILES["tile/0/000"][:-32]), "8160 bytes where 8192"),
    "a tile of half a hash more": (replaced("tile/0/000", FILES["tile/0/000"] + bytes(16)), "8208 bytes"),
    "a tile of nothing": (replaced("tile/1/000.p/1", b""), "0 bytes where 32"),
    "a tile under another width": (
        {**without("tile/0/001.p/44"), "tile/0/001.p/43": FILES["tile/0/001.p/44"][: 43 * 32]},
        "tile/0/001.p/44: it is missing",
    ),
    "a tile too many": ({**FILES, "tile/0/002": FILES["tile/0/000"]}, "tile/0/002: a log of 300 entries"),
    "a partial tile too wide": ({**FILES, "tile/0/001.p/45": bytes(45 * 32)}, "tile/0/001.p/45: a log of 300"),
    "a partial tile of a full width": ({**FILES, "tile/0/001.p/256": bytes(8192)}, "tile/0/001.p/256: a log"),
    "a file that is no tile": ({**FILES, "tile/0/000.new": b""}, "tile/0/000.new: a log of 300 entries has no"),
    "an older partial tile that is another": ({**FILES, "tile/0/000.p/9": bytes(9 * 32)}, "tile/0/000.p/9: hash 0"),
    "an older bundle that is another": (
        {**FILES, "tile/entries/000.p/2": b"".join(pieces(FIRST)[1:3])}, "tile/entries/000.p/2: other entries",
    ),
}  # fmt: skip


@pytest.mark.parametrize("which", ALONE)
def test_a_changed_file_is_refused_and_named(which: str) -> None:
    files, where = ALONE[which]
    assert checked(FILES).checkpoint == Checkpoint(NAME, 300, root(LOG.leaves))
    with pytest.raises(RefusedError) as refused:
        checked(files)
    assert where in str(refused.value)


# -- what only somebody who looked before can tell ----------------------------------------------------


def reordered() -> Published:
    forged = Published(300)
    forged.entries[50], forged.entries[51] = forged.entries[51], forged.entries[50]
    return forged


@pytest.mark.parametrize(
    ("forged", "word"),
    [(reordered(), "does not begin"), (rewritten(99), "does not begin"), (rewritten(2), "does not begin"),
     (Published(99), "had 100 before"), (Published(0), "had 100 before")],
    ids=["reordered", "rewritten at 99", "rewritten at 2", "cut at 99", "cut to nothing"],
)  # fmt: skip
def test_what_was_signed_again_is_refused_by_who_kept_a_checkpoint(
    forged: Published, word: str
) -> None:
    assert checked(FILES, OLD).old == Checkpoint(NAME, 100, root(LOG.leaves[:100]))
    assert checked(forged.files())
    with pytest.raises(RefusedError, match=word):
        checked(forged.files(), OLD)


def test_a_rewrite_after_the_last_look_needs_a_witness() -> None:
    """Row 6 of the matrix: by the checkpoint of 100 nobody sees it; by a receipt of 250 everybody does."""
    forged = rewritten(200).files()
    assert checked(forged, OLD).old
    held = LOG.receipt(230, 250)
    with pytest.raises(ForkError) as refused:
        checked(forged, held.checkpoint)
    assert refused.value.size == 300
    shown = verify_receipt(held.encode(), KEYS)
    assert parted(shown, forged.get, 300) == (192, 224)
    shown = verify_receipt(LOG.receipt(200, 250).encode(), KEYS)
    assert parted(shown, forged.get, 300) == (200, 201)


def test_any_rewrite_is_seen_by_who_holds_a_checkpoint_from_outside() -> None:
    """Row 7: a verifier that knows nothing takes each; one that kept the checkpoint of then takes none."""
    for at in (2, 150, 255, 256, 299):
        forged = rewritten(at).files()
        assert checked(forged)
        with pytest.raises(ForkError):
            checked(forged, CHECKPOINT)
        assert first_difference(FILES.get, forged.get, (300, 300)) == at


def test_two_faces_of_one_log_are_told_apart_by_each_other_s_receipts() -> None:
    """A split view: two trees of one size under one key. Of their receipts each refutes the other log."""
    one, other = LOG, rewritten(120)
    for mine, theirs in ((one, other), (other, one)):
        shown = verify_receipt(mine.receipt(119, 300).encode(), KEYS)
        files = theirs.files()
        with pytest.raises(ForkError):
            checked(files, shown.receipt.checkpoint)
        assert parted(shown, files.get, 300) == (120, 128)
    assert first_difference(one.files().get, other.files().get, (300, 300)) == 120


def test_the_span_in_which_a_receipt_differs_holds_the_entry_that_changed() -> None:
    chance = random.Random(5)
    for _ in range(400 if PROVE else 40):
        size = chance.randrange(3, 301)
        index, at = chance.randrange(2, size), chance.randrange(2, size)
        forged = rewritten(at)
        low, high = parted(
            verify_receipt(LOG.receipt(index, size).encode(), KEYS), forged.files().get, 300
        )
        assert low <= at < high
        assert (low, high) == (at, at + 1) or index not in range(low, high)


# -- CVE-2026-56865 ------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [300, 1_500])
def test_an_entry_forged_together_with_its_hash_is_refused_in_every_tile(size: int) -> None:
    """Bundle and level-0 tile agree; parents and checkpoint stay. Old readers of tiles took it."""
    log = Published(size)
    files = log.files()
    assert checked(files)
    chance = random.Random(56865)
    for n in range(-(-size // 256)):
        width = min(256, size - 256 * n)
        part = f"{n:03}" if width == 256 else f"{n:03}.p/{width}"
        first = 2 if n == 0 else 0
        for slot in sorted({first, width - 1, *chance.sample(range(first, width), 3)}):
            index = 256 * n + slot
            forged = Published.decision(10_000 + index)
            some = [len(one).to_bytes(2) + one for one in log.entries[256 * n : 256 * n + width]]
            some[slot] = len(forged).to_bytes(2) + forged
            hashes = bytearray(files[f"tile/0/{part}"])
            hashes[32 * slot : 32 * slot + 32] = leaf(forged)
            changed = {f"tile/entries/{part}": b"".join(some), f"tile/0/{part}": bytes(hashes)}
            with pytest.raises(RefusedError, match=r"tile/1/|root is not that of the entries"):
                checked({**files, **changed})


# -- every bit -----------------------------------------------------------------------------------------


def bits(files: Files) -> Iterator[tuple[str, int]]:
    for name, content in sorted(files.items()):
        for bit in range(8 * len(content)):
            yield name, bit


def accepted(files: Files) -> bool:
    """Check a published log by the key that lies beside it, as if that came from elsewhere."""
    try:
        lines = files["vkey"].decode("utf-8").removesuffix("\n").split("\n")
        names = [name.removeprefix("tile/") for name in files if name.startswith("tile/")]
        verify_log(files.get, [Verifier.parse(line) for line in lines], None, names)
    except ValueError:  # refused, or no key
        return False
    return True


def test_every_single_flipped_bit_of_a_published_log_is_refused() -> None:
    """2,000 bits by chance; all of them, some 140,000, with BANDEAU_PROVE=1."""
    files = Published(257).files()
    assert accepted(files)
    every = list(bits(files))
    assert {name for name, _ in every} == {
        "checkpoint", "vkey", "tile/entries/000", "tile/entries/001.p/1", "tile/0/000", "tile/0/001.p/1",
        "tile/1/000.p/1",
    }  # fmt: skip
    for name, bit in every if PROVE else random.sample(every, 2_000):
        assert not accepted({**files, name: flipped(files[name], bit)}), (name, bit)


def test_every_single_flipped_bit_of_the_small_files_is_refused() -> None:
    files = Published(257).files()
    for name in ("checkpoint", "vkey", "tile/1/000.p/1"):
        for bit in range(0, 8 * len(files[name]), 3):
            assert not accepted({**files, name: flipped(files[name], bit)}), (name, bit)


# -- what the entries say ------------------------------------------------------------------------------


def saying(*more: bytes, signer: Signer | None = None) -> Files:
    log = Published(20)
    log.entries += more
    log.signer = signer or log.signer
    return log.files()


NEXT = Signer(NAME, b"n" * 32)
KEY_ENTRY = entry.key(NEXT.verifier.vkey).encode()
DECISION = Published.decision(77)


def test_a_log_says_what_is_in_it() -> None:
    more = (entry.erasure(7, entry.Reason.REQUEST, 20_000), entry.retention(5), entry.mode("gate=enforced"),
            entry.audit(bytes(32)), entry.retention(9), entry.erasure(7, entry.Reason.ORDER, 20_001))  # fmt: skip
    found = checked(saying(*(one.encode() for one in more)))
    assert found.kinds == bytes([4, 1, *[2] * 18, 3, 5, 6, 7, 5, 3])
    assert found.kept_from == 9
    assert [index for index, _ in found.keys] == [0]


@pytest.mark.parametrize(
    ("content", "word"),
    [(b"", "not an entry"), (b"\x01\x02" + bytes(31), "sound DECISION"), (b"\x01\x08" + bytes(32), "not an entry"),
     (b"\x01" + bytes(64), "not an entry"),
     (entry.erasure(20, entry.Reason.REQUEST, 1).encode(), "no decision before it"),
     (entry.erasure(21, entry.Reason.REQUEST, 1).encode(), "no decision before it"),
     (entry.erasure(2**64 - 1, entry.Reason.REQUEST, 1).encode(), "no decision before it"),
     (entry.erasure(1, entry.Reason.REQUEST, 1).encode(), "no decision before it"),
     (entry.retention(21).encode(), "out of order"), (entry.retention(2**64 - 1).encode(), "out of order"),
     (b"\x01\x04not a key", "a key is"), (entry.key(f"{NAME}+00000000+AA==").encode(), "Ed25519"),
     (b"\x01\x03" + (7).to_bytes(8) + b"\x09" + bytes(4), "sound ERASURE")],
)  # fmt: skip
def test_an_entry_that_cannot_stand_where_it_does_is_refused(content: bytes, word: str) -> None:
    with pytest.raises(RefusedError, match=f"^entry 20: .*{word}"):
        checked(saying(content))


def test_retention_does_not_go_back() -> None:
    assert checked(saying(entry.retention(9).encode(), entry.retention(9).encode())).kept_from == 9
    with pytest.raises(RefusedError, match="entry 21: it says that records before 8 are gone"):
        checked(saying(entry.retention(9).encode(), entry.retention(8).encode()))


def test_a_key_that_was_handed_over_signs_no_more() -> None:
    both = [*KEYS, NEXT.verifier]
    for signer, more, fine in ((LOG.signer, (KEY_ENTRY,), True), (NEXT, (KEY_ENTRY,), True),
                               (NEXT, (KEY_ENTRY, DECISION), True), (LOG.signer, (KEY_ENTRY, DECISION), False),
                               (NEXT, (DECISION,), False)):  # fmt: skip
        files = saying(*more, signer=signer)
        if fine:
            assert verify_log(files.get, both).checkpoint.size == 20 + len(more)
        else:
            with pytest.raises(RefusedError, match="another key signed than entry"):
                verify_log(files.get, both)


def test_an_older_checkpoint_may_be_of_an_older_key_and_name_but_of_no_other_log() -> None:
    renamed = Signer(f"{NAME}/~2", b"n" * 32)
    log = Published(20)
    log.entries += [entry.key(renamed.verifier.vkey).encode(), DECISION]
    before, log.signer = log.checkpoint(20), renamed
    found = verify_log(log.files().get, [*KEYS, renamed.verifier], before)
    assert found.old == Checkpoint(NAME, 20, root(log.leaves[:20]))
    elsewhere = Signer("www.other.example", b"x" * 32)
    for size in (0, 10):
        other = elsewhere.sign(size, root(log.leaves[:size]))
        with pytest.raises(RefusedError, match="of another log"):
            verify_log(log.files().get, [renamed.verifier, elsewhere.verifier], other)


def test_a_log_of_every_size_holds_and_begins_with_every_smaller_one() -> None:
    log = Published(600)
    for size in [
        *range(4),
        255,
        256,
        257,
        511,
        512,
        513,
        600,
        *(range(4, 600, 7) if PROVE else ()),
    ]:
        files = log.files(size)
        for old in {
            0,
            size // 2,
            max(0, size - 1),
            size,
            *(n for n in (255, 256, 257, 512) if n <= size),
        }:
            assert checked(files, log.checkpoint(old)).checkpoint.size == size


def test_an_empty_log_is_one_with_the_root_of_nothing() -> None:
    assert checked(Published(0).files()).kinds == b""
    wrong = {"checkpoint": LOG.signer.sign(0, root(LOG.leaves))}
    with pytest.raises(RefusedError, match="nothing has another root"):
        checked(wrong)
    with pytest.raises(RefusedError, match="the older checkpoint: nothing has another root"):
        checked(FILES, wrong["checkpoint"])


def test_a_long_log_takes_no_more_memory_than_a_byte_for_each_entry() -> None:
    log = Published(16_384)
    peaks = []
    for size in (2_048, 16_384):
        files = log.files(size)
        tracemalloc.start()
        checked(files)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] - peaks[0] < 3 * (16_384 - 2_048)  # the bytes are copied once at the end


def test_what_a_checkpoint_promises_beyond_all_measure_is_missing() -> None:
    huge = {**FILES, "checkpoint": LOG.signer.sign(tree.MAX_SIZE, root(LOG.leaves))}
    with pytest.raises(RefusedError, match=r"tile/entries/001: it is missing"):
        verify_log(huge.get, KEYS)


def test_a_log_with_a_full_tile_above_the_first_level_is_compared_whole() -> None:
    size = 65_536 + 257
    files = Published(size).files()
    assert {"tile/1/000", "tile/1/001.p/1", "tile/2/000.p/1", "tile/0/257.p/1"} < set(files)
    assert checked(files, LOG.checkpoint(300)).checkpoint.size == size
    for name, place in (("tile/1/000", 200), ("tile/1/001.p/1", 0), ("tile/2/000.p/1", 0)):
        first = (256 * ("001" in name) + place) * 256 ** int(name[5])
        where = f"{name}: hash {place} is not that of what begins with entry {first}"
        with pytest.raises(RefusedError, match=where):
            checked({**files, name: flipped(files[name], 8 * 32 * place + 9)})


def test_partial_tiles_of_smaller_sizes_may_stay() -> None:
    log = Published(700)
    together: Files = {}
    for size in (1, 100, 255, 256, 300, 512, 600, 700):
        together |= log.files(size)
        assert checked(together).checkpoint.size == size


# -- receipts ------------------------------------------------------------------------------------------


def test_a_record_refers_to_what_came_before_it() -> None:
    def signed(line: bytes, index: int) -> bytes:
        log = Published(20)
        log.entries[index] = entry.decision(line, log.salt(index)).encode()
        return dataclasses.replace(log.receipt(index, 20), record=line).encode()

    line = LOG.record(7)
    assert verify_receipt(signed(line, 7), KEYS).decision.snapshot == 1
    for wrong in (line.replace(b"snapshot=1", b"snapshot=7"), line.replace(b"snapshot=1", b"snapshot=19"),
                  line.replace(b"replaces=none", b"replaces=7"), line.replace(b"=none", b"=9000000000")):  # fmt: skip
        with pytest.raises(RefusedError, match="came after it"):
            verify_receipt(signed(wrong, 7), KEYS)


# -- the command ---------------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return written(tmp_path / "log", FILES)


@pytest.fixture
def held(tmp_path: Path) -> Path:
    (tmp_path / "41.tlog-proof").write_bytes(LOG.receipt(41, 250).encode())
    return tmp_path / "41.tlog-proof"


Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    def run(*words: object) -> tuple[int, str, str]:
        code = main([str(word) for word in words])
        out, err = capsys.readouterr()
        return code, out, err

    return run


def test_the_command_says_what_a_receipt_proves(run: Run, folder: Path, held: Path) -> None:
    code, out, err = run(held, "--key", LOG.vkey)
    assert (code, err) == (0, "")
    assert out.splitlines() == [
        f"{NAME}: record 41, signed when the log had 250 entries",
        LOG.record(41).decode(),
        PROVES,
    ]
    code, out, _ = run(held, "--key", folder / "vkey", "--against", folder)
    assert code == 0
    assert "It is in the published log of 300 entries, all of them recomputed." in out.splitlines()


def test_the_command_says_what_is_in_a_log(run: Run, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "old").write_bytes(OLD)
    code, out, err = run(folder, "--key", folder / "vkey", "--old", tmp_path / "old")
    assert (code, err) == (0, "")
    assert out.splitlines() == [
        f"{NAME}: 300 entries, all of them recomputed, root {note.encoded(root(LOG.leaves))}",
        "1 SNAPSHOT, 298 DECISION, 1 KEY",
        f"from entry 0 on the key {LOG.vkey} signs",
        "It begins with the 100 entries of the older checkpoint.",
    ]


def test_a_refusal_is_one_line_that_says_where(
    run: Run, folder: Path, held: Path, tmp_path: Path
) -> None:
    (tmp_path / "old").write_bytes(OLD)
    forged = written(tmp_path / "forged", rewritten(42).files())
    cases = [
        ((held, "--key", NEXT.verifier.vkey), "refused: receipt: no signature by the log's own key"),
        ((folder, "--key", NEXT.verifier.vkey), "refused: checkpoint: no signature by the log's own key"),
        ((forged, "--key", LOG.vkey, "--old", tmp_path / "old"), "one of 0 to 99"),
        ((forged, "--key", LOG.vkey, "--old", folder / "checkpoint"), "the first entry that is another is 42"),
        ((held, "--key", LOG.vkey, "--against", forged), "the first entry that is another is one of 42 to 43"),
        ((held, "--key", LOG.vkey, "--against", written(tmp_path / "cut", Published(200).files())),
         "the log has 200 entries, and had 250 before"),
    ]  # fmt: skip
    for words, expected in cases:
        code, out, err = run(*words)
        assert (code, out) == (1, ""), words
        assert len(err.splitlines()) == 1
        assert expected in err


def test_a_receipt_of_what_was_not_shown_is_refused_against_the_log(
    run: Run, tmp_path: Path
) -> None:
    log = Published(20)
    line = log.record(7).replace(b"snapshot=1", b"snapshot=3")
    wrong = log.record(8).replace(b"replaces=none", b"replaces=1")
    log.entries[7:9] = [
        entry.decision(line, log.salt(7)).encode(),
        entry.decision(wrong, log.salt(8)).encode(),
    ]
    where = written(tmp_path / "log", log.files())
    for index, content, word in ((7, line, "entry 3, what was shown, is no snapshot"),
                                 (8, wrong, "entry 1, which it replaces, is no decision")):  # fmt: skip
        (tmp_path / "r").write_bytes(
            dataclasses.replace(log.receipt(index, 20), record=content).encode()
        )
        assert run(tmp_path / "r", "--key", LOG.vkey)[0] == 0
        code, _, err = run(tmp_path / "r", "--key", LOG.vkey, "--against", where)
        assert (code, word in err) == (1, True)


def test_what_cannot_be_used_or_read_is_2(
    run: Run, folder: Path, held: Path, tmp_path: Path
) -> None:
    (tmp_path / "none").write_bytes(b"\xff\xfe")
    for words in (
        (), (held,), ("--key", LOG.vkey), (held, folder, "--key", LOG.vkey), (held, "--key"), (held, "--what"),
        (tmp_path / "missing", "--key", LOG.vkey), (held, "--key", tmp_path / "missing"),
        (held, "--key", tmp_path / "none"), (held, "--key", ""), (held, "--key", "a+b"), (held, "--key", folder),
        (held, "--key", LOG.vkey[:-1]), (held, "--key", "\udcff"), ("\udcff", "--key", LOG.vkey),
        ("a\0b", "--key", LOG.vkey), ("x" * 5_000, "--key", LOG.vkey), (held, "--key", "x" * 5_000),
        (folder, "--key", LOG.vkey, "--old", tmp_path / "missing"), (folder, "--key", LOG.vkey, "--against", folder),
        (held, "--key", LOG.vkey, "--old", held),
    ):  # fmt: skip
        code, out, err = run(*words)
        assert (code, out) == (2, ""), words
        assert "Traceback" not in err
    assert run("--help")[0] == 0
    (folder / "tile/0/000").unlink()
    (folder / "tile/0/000").mkdir()
    assert run(folder, "--key", LOG.vkey)[0] == 2


def test_a_key_file_may_hold_several_keys(run: Run, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "keys").write_text(f"{NEXT.verifier.vkey}\n{LOG.vkey}\n")
    assert run(folder, "--key", tmp_path / "keys")[0] == 0
    assert run(folder, "--key", NEXT.verifier.vkey, "--key", LOG.vkey)[0] == 0
    for wrong in (
        "",
        "\n",
        f"{LOG.vkey}\n\n",
        f"\n{LOG.vkey}",
        f"{LOG.vkey}\r\n",
        f"{LOG.vkey} \n",
    ):
        (tmp_path / "keys").write_bytes(wrong.encode())
        assert run(folder, "--key", tmp_path / "keys")[0] == 2


def test_whatever_is_in_a_file_the_command_ends_with_a_line(
    run: Run, held: Path, tmp_path: Path
) -> None:
    """200 receipts and 200 folders by chance; 20,000 each with BANDEAU_PROVE=1."""
    seed = random.randrange(1 << 32)
    chance = random.Random(seed)
    small = Published(5)
    files = small.files()
    receipt = small.receipt(3, 5).encode()
    some = [b"\n", b"\n\n", b"=", b"\xff", b"9" * 300, b"\0\0", bytes(32), receipt[:80]]
    for n in range(20_000 if PROVE else 200):
        held.write_bytes(spoilt(receipt, some, chance))
        name = chance.choice(sorted(files))
        spoilt_files = {**files, name: spoilt(files[name], some, chance)}
        where = written(tmp_path / "spoilt", spoilt_files)
        for what in (held, where):
            code, out, err = run(what, "--key", where / "vkey")
            assert code in (0, 1, 2), (seed, n)
            assert (code == 0) == bool(out), (seed, n)
            assert len(err.splitlines()) == (code > 0), (seed, n)


def test_a_folder_that_holds_no_log_is_refused(run: Run, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert run(tmp_path / "empty", "--key", LOG.vkey)[0] == 1
    shutil.rmtree(folder / "tile")
    (folder / "tile").write_bytes(b"not a folder")
    code, _, err = run(folder, "--key", LOG.vkey)
    assert (code, err) == (1, "refused: tile/entries/000: it is missing\n")


def test_no_control_character_reaches_the_terminal(run: Run, tmp_path: Path) -> None:
    name = "evil\u202e\u009bH.example"
    log = Published(5, name)
    code, out, _ = run(written(tmp_path / "log", log.files()), "--key", log.vkey)
    assert code == 0
    assert r"evil\u202e\x9bH.example: 5 entries" in out
    assert all(one.isprintable() for line in out.splitlines() for one in line)
    _, _, err = run(tmp_path / "a\x1b[31mb", "--key", log.vkey)
    assert "\x1b" not in err


# -- where there is nothing but Python -----------------------------------------------------------------

SOURCE = Path(bandeau.__file__).parents[1]
ALLOWED = {f"bandeau.{name}" for name in (
    "errors", "decision", "decision.model", "ledger", "ledger.entry", "ledger.note", "ledger.receipt",
    "ledger.record", "ledger.tiles", "ledger.tree", "ledger.verify")}  # fmt: skip
_ALONE = """
import sys
class Nothing:
    def find_spec(self, name, path=None, target=None):
        top = name.partition(".")[0]
        if top != "bandeau" and top not in sys.stdlib_module_names:
            raise ModuleNotFoundError(name, name=name)
sys.path[:] = [one for one in sys.path if "site-packages" not in one]
sys.path.insert(0, sys.argv.pop(1))
sys.meta_path.insert(0, Nothing())
from bandeau.ledger.verify import main
code = main(sys.argv[1:])
print(sorted(name for name in sys.modules if name.startswith("bandeau.")))
sys.exit(code)
"""


def alone(*words: object) -> tuple[int, list[str], str]:
    """Run the command with the standard library and src alone, as somebody who installed nothing."""
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", _ALONE, str(SOURCE), *map(str, words)],
        capture_output=True, text=True, encoding="utf-8", check=False,
    )  # fmt: skip
    return done.returncode, done.stdout.splitlines(), done.stderr


def test_the_command_needs_the_standard_library_alone(folder: Path, held: Path) -> None:
    code, out, err = alone(held, "--key", LOG.vkey, "--against", folder)
    assert (code, err) == (
        3,
        "everything but the signature was checked: for that install the package `cryptography`\n",
    )
    assert out[1] == LOG.record(41).decode()
    assert out[-1] == str(sorted(ALLOWED))
    assert alone(folder, "--key", LOG.vkey)[0] == 3


def test_without_cryptography_everything_else_is_still_refused(folder: Path, held: Path) -> None:
    assert alone(held, "--key", NEXT.verifier.vkey)[0] == 1
    held.write_bytes(held.read_bytes().replace(b"index 41", b"index 40"))
    code, _, err = alone(held, "--key", LOG.vkey)
    assert (code, len(err.splitlines())) == (1, 1)
    written(folder, {"tile/0/000": flipped(FILES["tile/0/000"], 5)})
    code, _, err = alone(folder, "--key", LOG.vkey)
    assert code == 1
    assert "tile/0/000: hash 0" in err


def test_it_runs_as_a_module(held: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "bandeau.ledger.verify", str(held), "--key", LOG.vkey],
        capture_output=True, text=True, check=False, env={**os.environ, "PYTHONIOENCODING": "ascii"},
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[1] == LOG.record(41).decode()
