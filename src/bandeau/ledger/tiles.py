r"""A log as files: tiles of hashes and bundles of entries (c2sp.org/tlog-tiles). No input or output.

    tile/<level>/<n>[.p/<width>]     256 hashes, or `width` of them; level counts in steps of 8
    tile/entries/<n>[.p/<width>]     256 entries, or `width`: u16 length, big-endian, and its bytes
    <n> = groups of three digits, all but the last with an x: 1234067 is x001/x234/067

A hash in a tile above level 0 is the root of a full tile below it. Whatever is no such name is no tile.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache

from bandeau.ledger.tree import HASH, Nodes, node

WIDTH = 256  # hashes or entries
HEIGHT = 8  # levels of the tree in a tile
MAX_LEVEL = 63
MAX_ENTRY = 65_535  # bytes
ENTRIES = -1  # stands for the level of a bundle of entries
_NAME = re.compile(
    r"(entries|0|[1-9][0-9]?)/((?:x[0-9]{3}/)*[0-9]{3})(?:\.p/([1-9][0-9]{0,2}))?", re.ASCII
)
Tile = tuple[int, int, int]  # level (or ENTRIES), n, width


class TileError(ValueError):
    """A tile or a bundle that does not hold what its name promises."""


def name(level: int, n: int, width: int = WIDTH) -> str:
    """Return the path below `tile/`."""
    digits = f"{n % 1000:03d}"
    while n >= 1000:  # noqa: PLR2004 (groups of three digits)
        n //= 1000
        digits = f"x{n % 1000:03d}/{digits}"
    part = "" if width == WIDTH else f".p/{width}"
    return f"{'entries' if level == ENTRIES else level}/{digits}{part}"


def parse(path: str) -> Tile | None:
    """Read a path below `tile/`, or return None; each tile has one name."""
    match = _NAME.fullmatch(path) if len(path) <= 60 else None  # noqa: PLR2004 (the longest has 42)
    if match is None:
        return None
    level = ENTRIES if match[1] == "entries" else int(match[1])
    n = int(match[2].replace("x", "").replace("/", ""))
    width = int(match[3]) if match[3] else WIDTH
    if level > MAX_LEVEL or (match[3] and width >= WIDTH) or name(level, n, width) != path:
        return None
    return level, n, width


def of(size: int, since: int = 0) -> Iterator[Tile]:
    """Name every tile and bundle of a log of a size that one of `since` entries had not."""
    for level in (ENTRIES, *range(MAX_LEVEL + 1)):
        step = HEIGHT * max(level, 0)
        count, known = size >> step, since >> step
        if not count:
            return
        if count == known:
            continue
        for n in range(known // WIDTH, (count + WIDTH - 1) // WIDTH):
            yield level, n, min(WIDTH, count - n * WIDTH)


def exists(tile: Tile, size: int) -> bool:
    """Say whether a log of a size has (or once had) a tile."""
    level, n, width = tile
    return n * WIDTH + width <= size >> HEIGHT * max(level, 0)


def bundle(entries: Sequence[bytes]) -> bytes:
    """Return entries as a bundle's bytes."""
    return b"".join(struct.pack(">H", len(entry)) + entry for entry in entries)


def unbundled(content: bytes, width: int) -> list[bytes]:
    """Read a bundle of `width` entries. Raises TileError."""
    found: list[bytes] = []
    place = 0
    while place < len(content):
        if len(found) == width or place + 2 > len(content):
            raise TileError("a bundle that is too long")
        length = int.from_bytes(content[place : place + 2])
        entry = content[place + 2 : place + 2 + length]
        if len(entry) != length:
            raise TileError("a bundle that ends within an entry")
        found.append(entry)
        place += 2 + length
    if len(found) != width:
        raise TileError(f"a bundle of {len(found)} entries where {width} were promised")
    return found


def hashes(content: bytes, width: int) -> list[bytes]:
    """Read a tile of `width` hashes. Raises TileError."""
    if len(content) != width * HASH:
        raise TileError(f"a tile of {len(content)} bytes where {width * HASH} were promised")
    return [content[place : place + HASH] for place in range(0, len(content), HASH)]


def nodes(read: Callable[[int, int], Sequence[bytes]]) -> Nodes:
    """Return what reads a tree's nodes out of its tiles; `read(level, n)` gives a tile's hashes.

    Tiles are read once, and kept for as long as what is returned.
    """
    tile = lru_cache(maxsize=64)(read)

    def found(level: int, index: int) -> bytes:
        above = level % HEIGHT
        first = index << above
        row = tile(level // HEIGHT, first // WIDTH)
        below = row[first % WIDTH : first % WIDTH + (1 << above)]
        if len(below) != 1 << above:
            raise TileError(f"level {level} has no node {index}")
        while len(below) > 1:
            below = [node(below[n], below[n + 1]) for n in range(0, len(below), 2)]
        return below[0]

    return found
