"""Tiles and bundles: one name for each, and no width but the promised one."""

from __future__ import annotations

import contextlib
import os
import random
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bandeau.ledger import tiles, tree
from bandeau.ledger.tiles import ENTRIES, WIDTH, Tile, TileError
from ledger.publishing import Published, numbered, path, root, spoilt

PROVE = bool(os.environ.get("BANDEAU_PROVE"))
LOG = Published(70_000 if PROVE else 1_100)

widths = st.integers(1, WIDTH)
every = st.builds(
    lambda level, n, width: (level, n, width), st.integers(-1, 63), st.integers(0, 2**55), widths
)


def test_the_names_of_the_comment_are_those_that_are_written() -> None:
    words = " ".join((tiles.__doc__ or "").split())
    example = re.search(r"(\d+) is (x[x0-9/]+)", words)
    assert example
    assert tiles.name(0, int(example[1])) == f"0/{example[2]}"
    assert f"{WIDTH} hashes" in words
    assert f"{WIDTH} entries" in words
    assert f"in steps of {tiles.HEIGHT}" in words
    assert tiles.name(ENTRIES, 0, 5) == "entries/000.p/5"
    assert tiles.name(63, 999, 255) == "63/999.p/255"
    assert tiles.name(1, 1000) == "1/x001/000"


@given(every)
def test_a_tile_has_one_name(tile: Tile) -> None:
    level, n, width = tile
    part = "" if width == WIDTH else f".p/{width}"
    named = tiles.name(*tile)
    assert named == f"{'entries' if level < 0 else level}/{numbered(n)}{part}"
    assert tiles.parse(named) == tile


WRONG_NAMES = (
    "", "/", "0", "0/", "0/0", "0/00", "0/0000", "0/000/", "/0/000", "0//000", "00/000", "01/000", "64/000",
    "-1/000", "+1/000", "1e1/000", "x/000", "Entries/000", "entries", "entries/", "entries/0", "entries/x000",
    "0/x000", "0/x000/000", "0/x000/x001/000", "0/x01/000", "0/X001/000", "0/001/000", "0/x001", "0/001/x002",
    "0/000.p", "0/000.p/", "0/000.p/0", "0/000.p/00", "0/000.p/05", "0/000.p/256", "0/000.p/257", "0/000.p/1000",
    "0/000.p/-1", "0/000.p/5/", "0/000.p/5.p/5", "0/000.P/5", "0/000p/5", "0/000/.p/5", "0/000.p/5\n", "0/000\n",
    " 0/000", "0/000 ", "0/٠٠٠", "０/000", "0/000.p/٥", "0\\000", "0/..", "../checkpoint", "0/%30%30%30", "0/000\0",
    "0/000?", "8/0/000", "tile/0/000", "0/" + "x001/" * 200 + "000", "0/" + "9" * 300, "0/000.p/" + "9" * 300,
)  # fmt: skip


@pytest.mark.parametrize("named", WRONG_NAMES)
def test_another_spelling_names_no_tile(named: str) -> None:
    assert tiles.parse(named) is None


@settings(max_examples=20_000 if PROVE else 300)
@given(st.one_of(st.text(max_size=70), st.text("0123456789x/.pentris", max_size=70)))
def test_whatever_is_read_as_a_name_is_the_one_that_is_written(named: str) -> None:
    tile = tiles.parse(named)
    assert tile is None or tiles.name(*tile) == named


def test_no_mutated_name_raises_or_is_a_second_name() -> None:
    """5,000 of them; 1,000,000 with BANDEAU_PROVE=1."""
    seed = random.randrange(1 << 32)
    chance = random.Random(seed)
    originals = [
        b"0/000",
        b"entries/x001/234/067.p/12".replace(b"/234", b"/x234"),
        b"12/x999/999.p/255",
    ]
    pieces = [b"x", b"/", b"0", b".p/", b"000", b"x000/", b"9" * 30, "٣".encode(), b"\n"]
    for _ in range(1_000_000 if PROVE else 5_000):
        named = spoilt(chance.choice(originals), pieces, chance).decode("utf-8", "replace")
        tile = tiles.parse(named)
        assert tile is None or tiles.name(*tile) == named, (seed, named)


# -- what a log of a size has -----------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1, 2, 255, 256, 257, 300, 511, 512, 513, 1025])
def test_a_log_has_the_tiles_that_its_files_have(size: int) -> None:
    published = {name.removeprefix("tile/") for name in LOG.files(size) if name.startswith("tile/")}
    assert {tiles.name(*tile) for tile in tiles.of(size)} == published
    assert all(tiles.exists(tile, size) for tile in tiles.of(size))


def test_a_log_of_70_000_has_the_tiles_that_the_specification_counts() -> None:
    """The example in tlog-tiles, "Partial Tiles"."""
    found = list(tiles.of(70_000))
    assert sum(tile[0] == 0 for tile in found) == sum(tile[0] == ENTRIES for tile in found) == 274
    assert (0, 273, 112) in found
    assert [tile for tile in found if tile[0] > 0] == [(1, 0, 256), (1, 1, 17), (2, 0, 1)]


@given(st.integers(0, 140_000), st.integers(0, 1_000))
def test_growth_adds_the_tiles_that_were_not_there(since: int, by: int) -> None:
    before, after = set(tiles.of(since)), set(tiles.of(since + by))
    assert set(tiles.of(since + by, since)) == after - before


@given(st.integers(0, 2**63 - 1), every)
def test_a_tile_exists_once_its_last_hash_does(size: int, tile: Tile) -> None:
    level, n, width = tile
    last = (n * WIDTH + width) * 256 ** max(level, 0)  # entries that it takes
    assert tiles.exists(tile, size) == (last <= size)
    assert tiles.exists(tile, last)
    assert not tiles.exists(tile, last - 1)


# -- bundles ----------------------------------------------------------------------------------------

BUNDLE = tiles.bundle([b"", b"a", b"bc" * 300])


@given(st.lists(st.binary(max_size=300), max_size=20))
def test_a_bundle_is_read_as_it_was_written(entries: list[bytes]) -> None:
    content = tiles.bundle(entries)
    assert tiles.unbundled(content, len(entries)) == entries
    for width in (len(entries) - 1, len(entries) + 1):
        with pytest.raises(TileError):
            tiles.unbundled(content, width)


def test_a_bundle_holds_entries_of_any_length_that_fits() -> None:
    entries = [b"e" * tiles.MAX_ENTRY, b""]
    assert tiles.unbundled(tiles.bundle(entries), 2) == entries


@pytest.mark.parametrize(
    ("content", "width"),
    [(b"", 1), (b"\0", 1), (b"\0\1", 1), (b"\0\2a", 1), (b"\xff\xffa", 1), (BUNDLE, 2), (BUNDLE, 4),
     (BUNDLE[:-1], 3), (BUNDLE + b"\0", 3), (BUNDLE + b"\0\0", 3), (BUNDLE[1:], 3), (BUNDLE, 0), (b"\0\0", 0)],
)  # fmt: skip
def test_a_bundle_of_another_width_is_refused(content: bytes, width: int) -> None:
    with pytest.raises(TileError):
        tiles.unbundled(content, width)


def test_no_mutated_bundle_raises_or_has_a_second_spelling() -> None:
    """2,000 of them; 1,000,000 with BANDEAU_PROVE=1."""
    seed = random.randrange(1 << 32)
    chance = random.Random(seed)
    pieces = [b"\0\0", b"\0\x01a", b"\xff\xff", BUNDLE[:40]]
    for _ in range(1_000_000 if PROVE else 2_000):
        content = spoilt(BUNDLE[:60], pieces, chance)
        width = chance.randrange(6)
        with contextlib.suppress(TileError):
            found = tiles.unbundled(content, width)
            assert (len(found), tiles.bundle(found)) == (width, content), (seed, content)


# -- hashes -----------------------------------------------------------------------------------------


def test_a_tile_is_read_at_its_own_width_only() -> None:
    content = b"".join(LOG.leaves[:5])
    assert tiles.hashes(content, 5) == LOG.leaves[:5]
    for wrong in (content[:-1], content + b"\0", content[:-32], content + bytes(32), b""):
        with pytest.raises(TileError):
            tiles.hashes(wrong, 5)


def nodes_of(size: int, asked: list[tuple[int, int]] | None = None) -> tree.Nodes:
    files = LOG.files(size)

    def read(level: int, n: int) -> list[bytes]:
        if asked is not None:
            asked.append((level, n))
        width = min(WIDTH, (size >> 8 * level) - n * WIDTH)
        return tiles.hashes(files[f"tile/{tiles.name(level, n, width)}"], width)

    return tiles.nodes(read)


@pytest.mark.parametrize(
    "size", [1, 2, 255, 256, 257, 300, 512, 1_025, *([65_537, 70_000] if PROVE else [])]
)
def test_proofs_are_made_of_published_tiles(size: int) -> None:
    nodes = nodes_of(size)
    assert tree.peaks_of(size, nodes).root == root(LOG.leaves[:size])
    for index in {0, size // 3, size // 2, size - 1}:
        assert tree.inclusion(index, size, nodes) == path(index, LOG.leaves[:size])
    for old in {1, size // 3 or 1, size // 2 or 1, size}:
        found = tree.consistency(old, size, nodes)
        assert tree.consistent(old, root(LOG.leaves[:old]), size, root(LOG.leaves[:size]), found)


def test_each_tile_is_read_once() -> None:
    asked: list[tuple[int, int]] = []
    nodes = nodes_of(1_025, asked)
    for index in range(1_025):
        tree.inclusion(index, 1_025, nodes)
    assert sorted(asked) == [(0, n) for n in range(5)] + [(1, 0)]


def test_a_node_that_a_tile_does_not_hold_is_refused() -> None:
    nodes = tiles.nodes(lambda _level, _n: LOG.leaves[:5])
    assert nodes(0, 4) == LOG.leaves[4]
    for level, index in ((0, 5), (1, 2), (2, 1), (7, 0)):
        with pytest.raises(TileError, match=f"level {level} has no node {index}"):
            nodes(level, index)
