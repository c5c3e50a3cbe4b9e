"""Trees against the recursive definitions of RFC 6962, section 2.1, written out here."""

from __future__ import annotations

import hashlib
import os
import random
from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bandeau.ledger import tree
from bandeau.ledger.tree import Growth, Tree, consistent, grow, included
from ledger.publishing import above, leaf

PROVE = bool(os.environ.get("BANDEAU_PROVE"))
MOST = 300
LEAVES = [leaf(b"entry %d" % n) for n in range(MOST)]
WHOLE = grow(Tree(), LEAVES)
OTHER = hashlib.sha256(b"of no tree").digest()


def half(width: int) -> int:
    """Return k of the RFC: the largest power of two smaller than n."""
    k = 1
    while 2 * k < width:
        k *= 2
    return k


@cache
def mth(low: int, high: int) -> bytes:
    if high == low:
        return hashlib.sha256().digest()
    if high == low + 1:
        return LEAVES[low]
    middle = low + half(high - low)
    return above(mth(low, middle), mth(middle, high))


def path(m: int, low: int, high: int) -> list[bytes]:
    if high == low + 1:
        return []
    k = half(high - low)
    if m < k:
        return [*path(m, low, low + k), mth(low + k, high)]
    return [*path(m - k, low + k, high), mth(low, low + k)]


def proof(m: int, low: int, high: int, *, whole: bool = True) -> list[bytes]:
    """SUBPROOF of section 2.1.2; `whole` is its b."""
    if m == high - low:
        return [] if whole else [mth(low, high)]
    k = half(high - low)
    if m <= k:
        return [*proof(m, low, low + k, whole=whole), mth(low + k, high)]
    return [*proof(m - k, low + k, high, whole=False), mth(low, low + k)]


def test_hashes_are_those_of_the_comment() -> None:
    assert "leaf = SHA-256(00 || entry)     node = SHA-256(01 || left || right)" in (
        tree.__doc__ or ""
    )
    assert tree.leaf(b"x") == hashlib.sha256(b"\x00x").digest()
    assert tree.node(b"l", b"r") == hashlib.sha256(b"\x01lr").digest()
    assert Tree().root == tree.EMPTY == hashlib.sha256(b"").digest()
    # SHA-256 of the byte 00 alone
    assert (
        tree.leaf(b"").hex() == "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"
    )


def test_a_tree_grown_entry_by_entry_has_the_root_and_peaks_of_each_size() -> None:
    grown = Tree()
    for size in range(MOST):
        assert (grown.size, grown.root) == (size, mth(0, size))
        assert len(grown.peaks) == size.bit_count()
        growth = grow(grown, [LEAVES[size]])
        path_of_new = tree.inclusion(size, size + 1, growth.node)
        assert path_of_new == path(size, 0, size + 1)
        grown = growth.tree
    assert grown == WHOLE.tree


@settings(max_examples=600 if PROVE else 60)
@given(st.lists(st.integers(1, 90), max_size=12))
def test_a_tree_grown_in_batches_is_the_same_and_proves_each_of_a_batch(batches: list[int]) -> None:
    grown = Tree()
    for batch in batches:
        size = min(grown.size + batch, MOST)
        growth = grow(grown, LEAVES[grown.size : size])
        assert growth.tree.root == mth(0, size)
        for index in range(grown.size, size):
            assert tree.inclusion(index, size, growth.node) == path(index, 0, size)
        for level in range(10):
            new = range(grown.size >> level, size >> level)
            wanted = [(n, mth(n << level, (n + 1) << level)) for n in new]
            assert growth.new_nodes(level, grown.size) == wanted
        grown = growth.tree
    assert grown == grow(Tree(), LEAVES[: grown.size]).tree


def test_nothing_grows_out_of_nothing() -> None:
    assert grow(Tree(), []).tree == Tree()
    assert grow(WHOLE.tree, []).tree == WHOLE.tree


def test_every_inclusion_proof_of_every_size_is_the_rfc_s_and_holds() -> None:
    for size in range(MOST + 1):
        root = mth(0, size)
        assert tree.peaks_of(size, WHOLE.node).root == root
        for index in range(size):
            found = tree.inclusion(index, size, WHOLE.node)
            assert found == path(index, 0, size)
            assert included(LEAVES[index], index, size, found, root)
            if PROVE or size < 40:
                assert not included(OTHER, index, size, found, root)
                assert not included(LEAVES[index], index, size, found, OTHER)
                assert not included(LEAVES[index], index, size, [*found, OTHER], root)
                assert not found or not included(LEAVES[index], index, size, found[:-1], root)


def test_every_consistency_proof_of_every_size_is_the_rfc_s_and_holds() -> None:
    for size in range(MOST + 1):
        root = mth(0, size)
        for old in range(size + 1):
            before = mth(0, old)
            found = tree.consistency(old, size, WHOLE.node)
            assert found == (proof(old, 0, size) if old else [])
            assert consistent(old, before, size, root, found)
            if PROVE or size < 40:
                assert not consistent(old, OTHER, size, root, found)
                assert not consistent(old, before, size, root, [*found, OTHER])
                if found:
                    assert not consistent(old, before, size, OTHER, found)
                    assert not consistent(old, before, size, root, found[:-1])


def test_a_path_proves_one_place_of_one_size_only() -> None:
    most = 40 if PROVE else 20
    for size in range(1, most):
        for index in range(size):
            found = path(index, 0, size)
            for other in range(-1, size + 1):
                holds = included(LEAVES[index], other, size, found, mth(0, size))
                assert holds == (other == index)


def test_a_proof_joins_one_pair_of_trees_only() -> None:
    most = 24 if PROVE else 14
    for size in range(1, most):
        for old in range(1, size):
            found = proof(old, 0, size)
            for other in range(most):
                holds = consistent(other, mth(0, old), size, mth(0, size), found)
                assert holds == (other == old)


def test_a_changed_bit_anywhere_in_a_proof_spoils_it() -> None:
    chance = random.Random(6962)

    def changed(made: list[bytes]) -> list[bytes]:
        at, bit = chance.randrange(len(made)), 1 << chance.randrange(256)
        return [*made[:at], (int.from_bytes(made[at]) ^ bit).to_bytes(32), *made[at + 1 :]]

    for _ in range(400):
        size = chance.randrange(2, MOST)
        index, old = chance.randrange(size), chance.randrange(1, size)
        root = mth(0, size)
        assert not included(LEAVES[index], index, size, changed(path(index, 0, size)), root)
        assert not consistent(old, mth(0, old), size, root, changed(proof(old, 0, size)))


def test_an_inner_node_is_no_entry() -> None:
    """A second preimage: 65 bytes that begin with 01 hash as an entry to something else than the node."""
    left, right = LEAVES[:2]
    forged = b"\x01" + left + right
    assert len(forged) == 65
    assert tree.leaf(forged) != tree.node(left, right)
    root = mth(0, 4)
    assert included(LEAVES[0], 0, 4, path(0, 0, 4), root)
    for index in range(2):
        assert not included(tree.leaf(forged), index, 2, [mth(2, 4)], root)


def test_an_empty_tree_holds_nothing_and_begins_every_tree() -> None:
    assert not included(LEAVES[0], 0, 0, [], tree.EMPTY)
    assert consistent(0, tree.EMPTY, 0, tree.EMPTY, [])
    assert consistent(0, tree.EMPTY, 5, mth(0, 5), [])
    assert not consistent(0, OTHER, 5, mth(0, 5), [])
    assert not consistent(5, mth(0, 5), 0, tree.EMPTY, [])
    with pytest.raises(ValueError, match="no entry 0"):
        tree.inclusion(0, 0, WHOLE.node)


def test_what_a_tree_has_not_is_refused() -> None:
    for index in (-1, 5, 2**63):
        with pytest.raises(ValueError, match="no entry"):
            tree.inclusion(index, 5, WHOLE.node)
    for old in (-1, 6, 2**63):
        with pytest.raises(ValueError, match="no older tree"):
            tree.consistency(old, 5, WHOLE.node)


def endless(level: int, index: int) -> bytes:
    """A tree in which every entry is the same, so that each level has one hash."""
    return same(level)


@cache
def same(level: int) -> bytes:
    return LEAVES[0] if level == 0 else above(same(level - 1), same(level - 1))


@pytest.mark.parametrize("size", [2**40 + 1, 2**62, 2**63 - 2, tree.MAX_SIZE])
def test_the_largest_trees_prove_what_they_hold(size: int) -> None:
    whole = tree.peaks_of(size, endless)
    assert len(whole.peaks) <= 63
    assert grow(whole, []).tree == whole
    for index in (0, 1, size // 3, size - 2, size - 1):
        found = tree.inclusion(index, size, endless)
        assert len(found) <= tree.MAX_PROOF
        assert included(LEAVES[0], index, size, found, whole.root)
    for old in (1, 2**39, 2**40 - 1, size - 1):
        found = tree.consistency(old, size, endless)
        before = tree.peaks_of(old, endless).root
        holds = consistent(old, before, size, whole.root, found)
        assert holds or len(found) > tree.MAX_PROOF  # beyond 2**62 some proofs have 64 hashes


def test_a_path_of_64_hashes_is_none() -> None:
    """Not even one that would fit a tree of 2**64 entries, which no log has."""
    assert f"at most {tree.MAX_PROOF} hashes" in (tree.__doc__ or "")
    assert included(LEAVES[0], 0, 2**63, [same(level) for level in range(63)], same(63))
    assert not included(LEAVES[0], 0, 2**64, [same(level) for level in range(64)], same(64))
    assert consistent(1, LEAVES[0], 2**63, same(63), [same(level) for level in range(63)])
    assert not consistent(1, LEAVES[0], 2**65, same(65), [same(level) for level in range(65)])


@settings(max_examples=20_000 if PROVE else 300)
@given(
    st.tuples(st.integers(-(2**70), 2**70), st.integers(-(2**70), 2**70)),
    st.lists(st.binary(max_size=40), max_size=70),
)
def test_no_proof_raises(numbers: tuple[int, int], hashes: list[bytes]) -> None:
    one, other = numbers
    assert not included(OTHER, one, other, hashes, LEAVES[0])
    assert not consistent(one, OTHER, other, LEAVES[0], hashes)


def test_growth_knows_what_stands_beside_a_batch() -> None:
    growth: Growth = grow(grow(Tree(), LEAVES[:7]).tree, LEAVES[7:10])
    assert growth.node(2, 0) == mth(0, 4)
    assert growth.node(0, 9) == LEAVES[9]
