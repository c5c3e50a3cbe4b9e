r"""Merkle trees of RFC 6962, section 2.1: growth, proofs and their checks. No input or output.

    leaf = SHA-256(00 || entry)     node = SHA-256(01 || left || right)     empty = SHA-256("")

A node is named (level, index): it spans the entries from index * 2**level, 2**level of them, and
exists once all of them do. A tree of n entries is held by its *peaks*, the nodes of the ones in n's
binary form, the largest first: at most 63 hashes of 32 bytes. `tests/ledger/test_tree.py` grows trees
entry by entry and holds every root and proof to the RFC's recursive definitions.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

HASH = 32  # bytes
MAX_SIZE = 2**63 - 1  # entries (tlog-tiles: levels 0 to 63)
MAX_PROOF = 63  # hashes
EMPTY = hashlib.sha256(b"").digest()
Nodes = Callable[[int, int], bytes]  # (level, index) to hash; only ever asked for what exists

_sha256 = hashlib.sha256


def leaf(entry: bytes) -> bytes:
    """Return the hash of an entry."""
    return _sha256(b"\x00" + entry).digest()


def node(left: bytes, right: bytes) -> bytes:
    """Return the hash over two neighbours."""
    return _sha256(b"\x01" + left + right).digest()


@dataclass(frozen=True, slots=True)
class Tree:
    """A tree of `size` entries by its peaks, the largest first."""

    size: int = 0
    peaks: tuple[bytes, ...] = ()

    @property
    def root(self) -> bytes:
        """The Merkle Tree Hash of all entries."""
        return _joined(self.peaks) if self.peaks else EMPTY


@dataclass(frozen=True, slots=True)
class Growth:
    """A tree after a batch, and every node that the batch completed or stands beside.

    `levels[n]` is (index of the first, the hashes) at level n. That is enough to prove each entry of
    the batch, because what lies to its left is a peak of the tree before.
    """

    tree: Tree
    levels: tuple[tuple[int, Sequence[bytes]], ...]

    def node(self, level: int, index: int) -> bytes:
        """Return a node of the right edge."""
        first, hashes = self.levels[level]
        return hashes[index - first]

    def new_nodes(self, level: int, before: int) -> list[tuple[int, bytes]]:
        """Return (index, hash) of the nodes of a level that a tree of `before` entries had not."""
        if level >= len(self.levels):
            return []
        first, hashes = self.levels[level]
        known = before >> level
        return [(first + n, found) for n, found in enumerate(hashes) if first + n >= known]


def grow(tree: Tree, leaves: Sequence[bytes]) -> Growth:
    """Append entries, given by their hashes, level by level: one hash for each entry appended."""
    start, hashes = tree.size, list(leaves)
    size = start + len(hashes)
    peaks = list(tree.peaks)  # the smallest is last, and is the one that an odd level needs first
    levels: list[tuple[int, Sequence[bytes]]] = []
    grown: list[bytes] = []
    while hashes or peaks:
        if start & 1:
            hashes.insert(0, peaks.pop())
            start -= 1
        levels.append((start, hashes))
        pairs = len(hashes) // 2
        if len(hashes) % 2:
            grown.append(hashes[-1])
        hashes = [
            _sha256(b"\x01" + hashes[n] + hashes[n + 1]).digest() for n in range(0, 2 * pairs, 2)
        ]
        start >>= 1
    return Growth(Tree(size, tuple(reversed(grown))), tuple(levels))


def peaks_of(size: int, nodes: Nodes) -> Tree:
    """Read a tree of a size out of its nodes."""
    return Tree(size, tuple(nodes(level, index) for level, index in _cover(0, size)))


def inclusion(index: int, size: int, nodes: Nodes) -> list[bytes]:
    """Return the audit path of an entry, from the leaf's sibling upwards (RFC 6962, 2.1.1)."""
    if not 0 <= index < size:
        raise ValueError(f"a tree of {size} entries has no entry {index}")
    return [span(low, high, nodes) for low, high in siblings(index, size)]


def consistency(old: int, size: int, nodes: Nodes) -> list[bytes]:
    """Return the proof that a tree begins with an older one (RFC 6962, 2.1.2); empty for old = 0."""
    if not 0 <= old <= size:
        raise ValueError(f"a tree of {size} entries has no older tree of {old}")
    if old in (0, size):
        return []
    low, high, whole = 0, size, True  # `whole`: the old tree is all of what is looked at
    found: list[tuple[int, int]] = []
    while old != high:
        middle = low + _split(high - low)
        if old <= middle:
            found.append((middle, high))
            high = middle
        else:
            found.append((low, middle))
            low, whole = middle, False
    if not whole:
        found.append((low, high))
    return [span(low, high, nodes) for low, high in reversed(found)]


def included(leaf_hash: bytes, index: int, size: int, path: Sequence[bytes], root: bytes) -> bool:
    """Check an audit path (RFC 9162, 2.1.3.2); never raises."""
    if not 0 <= index < size or len(path) > MAX_PROOF:
        return False
    place, last, found = index, size - 1, leaf_hash
    for sibling in path:
        if last == 0:
            return False
        if place & 1 or place == last:
            found = node(sibling, found)
            while not place & 1 and place:
                place, last = place >> 1, last >> 1
        else:
            found = node(found, sibling)
        place, last = place >> 1, last >> 1
    return last == 0 and found == root


def consistent(old: int, old_root: bytes, size: int, root: bytes, path: Sequence[bytes]) -> bool:
    """Check that a tree begins with an older one (RFC 9162, 2.1.4.2); never raises."""
    if not 0 <= old <= size or len(path) > MAX_PROOF:
        return False
    if old == size:
        return not path and old_root == root
    if old == 0:
        return not path and old_root == EMPTY
    rest = list(path)
    if old & (old - 1) == 0:
        rest.insert(0, old_root)
    if not rest:
        return False
    place, last = old - 1, size - 1
    while place & 1:
        place, last = place >> 1, last >> 1
    before = after = rest[0]
    for sibling in rest[1:]:
        if last == 0:
            return False
        if place & 1 or place == last:
            before, after = node(sibling, before), node(sibling, after)
            while not place & 1 and place:
                place, last = place >> 1, last >> 1
        else:
            after = node(after, sibling)
        place, last = place >> 1, last >> 1
    return last == 0 and before == old_root and after == root


def _split(width: int) -> int:
    """Return the largest power of two below a width of at least 2."""
    return 1 << (width - 1).bit_length() - 1


def siblings(index: int, size: int) -> list[tuple[int, int]]:
    """Return what the hashes of an audit path span, from the leaf's sibling upwards: (low, high)."""
    low, high, found = 0, size, []
    while high - low > 1:
        middle = low + _split(high - low)
        if index < middle:
            found.append((middle, high))
            high = middle
        else:
            found.append((low, middle))
            low = middle
    return found[::-1]


def _cover(low: int, high: int) -> Iterator[tuple[int, int]]:
    """Name the nodes that a span consists of, the largest first; `low` is a multiple of its width."""
    while low < high:
        level = (high - low).bit_length() - 1
        yield level, low >> level
        low += 1 << level


def span(low: int, high: int, nodes: Nodes) -> bytes:
    """Return the hash over the entries from `low` to before `high`, as one of an audit path."""
    return _joined([nodes(level, index) for level, index in _cover(low, high)])


def _joined(peaks: Sequence[bytes]) -> bytes:
    found = peaks[-1]
    for peak in reversed(peaks[:-1]):
        found = node(peak, found)
    return found
