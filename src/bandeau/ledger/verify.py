"""What an outsider runs: a receipt, or a published log, checked out of its bytes alone.

    python -m bandeau.ledger.verify RECEIPT --key VKEY|FILE [--against DIR]
    python -m bandeau.ledger.verify DIR --key VKEY|FILE [--old CHECKPOINT]

It needs the standard library, and `cryptography` for the signature alone; neither a store nor a secret.
Nothing that is published is believed: the root and every tile are computed anew from the entries, since
readers of tiles have let forged ones pass (CVE-2026-56865). The key comes from elsewhere than what is
checked, and so does an older checkpoint: a log that was rewritten *and* signed again is in order by
itself, and only what outsiders kept of it, receipts or checkpoints, tells.

Exit: 0 in order, 1 refused, 2 usage or unreadable, 3 in order as far as goes without `cryptography`.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from bandeau.decision.model import Decision
from bandeau.ledger import entry, note, receipt, record, tiles
from bandeau.ledger.entry import Entry, EntryError, Kind
from bandeau.ledger.note import Checkpoint, NoteError, Verifier
from bandeau.ledger.receipt import Receipt, ReceiptError
from bandeau.ledger.tiles import ENTRIES, HEIGHT, WIDTH, TileError
from bandeau.ledger.tree import EMPTY, HASH, Tree, grow, inclusion, leaf, siblings

Read = Callable[[str], bytes | None]  # a published file by its name, None for what is not there
CHECKPOINT = "checkpoint"
_MAX_FILE = WIDTH * (2 + tiles.MAX_ENTRY)  # bytes: the longest bundle
_PROVES = (
    "It proves that the log's key signed a tree in which this line has its place;"
    " not who decided, nor that the site's clock was right."
)
_UNSIGNED = "everything but the signature was checked: for that install the package `cryptography`"


class RefusedError(ValueError):
    """Something does not hold; the message says what and where."""


class ForkError(RefusedError):
    """A log in order by itself, of `size` entries, that does not begin as it did for somebody else."""

    def __init__(self, size: int, old: Checkpoint) -> None:
        self.size, self.old = size, old
        super().__init__(
            f"the log does not begin with the {old.size} entries that were signed before"
        )


@dataclass(frozen=True, slots=True)
class Verified:
    """A receipt that holds."""

    receipt: Receipt
    decision: Decision
    checkpoint: Checkpoint


@dataclass(frozen=True, slots=True)
class LogVerified:
    """A published log that holds: what it says of itself, and what its entries are."""

    checkpoint: Checkpoint
    kinds: bytes  # of each entry, by index
    keys: tuple[tuple[int, Verifier], ...]  # the keys that were handed over to, and where
    kept_from: int  # records before this index are gone
    old: Checkpoint | None  # what it was found to begin with


def verify_receipt(content: bytes, verifiers: Iterable[Verifier]) -> Verified:
    """Check a receipt whole. Raises RefusedError."""
    try:
        found = receipt.parse(content)
        checkpoint = receipt.check(found, verifiers)
    except ReceiptError as error:
        raise RefusedError(f"receipt: {error}") from None
    decision = record.parse(found.record)
    if max(decision.snapshot, decision.replaces or 0) >= found.index:
        raise RefusedError("receipt: the record refers to an entry that came after it")
    return Verified(found, decision, checkpoint)


def verify_log(
    read: Read,
    verifiers: Iterable[Verifier],
    old: bytes | None = None,
    names: Iterable[str] = (),
) -> LogVerified:
    """Recompute a published log from its entries. Raises RefusedError, ForkError.

    `old` is a checkpoint that somebody kept. `names` are the files below `tile/`, where they can be
    listed: none may be there that the log never had.
    """
    keys = tuple(verifiers)
    signed = _published(read, CHECKPOINT)
    checkpoint = _opened(CHECKPOINT, signed, keys)
    before = None if old is None else _opened("the older checkpoint", old, keys)
    if before and before.size > checkpoint.size:
        raise RefusedError(
            f"{CHECKPOINT}: the log has {checkpoint.size} entries, and had {before.size} before: it was"
            " cut, or this copy is the older one"
        )
    walk = _Walk(read, checkpoint.size, names)
    past = Tree()
    for n in range(-(-checkpoint.size // WIDTH)):
        tree, leaves = walk.tree, walk.bundle(n)
        if before and tree.size < before.size <= walk.tree.size:
            past = grow(tree, leaves[: before.size - tree.size]).tree
    walk.end()
    if walk.tree.root != checkpoint.root:
        raise RefusedError(f"{CHECKPOINT}: its root is not that of the entries")
    _handed_over(walk.keys, signed, checkpoint.size)
    origins = {checkpoint.origin, *(key.name for _, key in walk.keys)}
    if before and before.origin not in origins:
        raise RefusedError(f"the older checkpoint: it is of another log, {before.origin}")
    if before and past.root != before.root:
        raise ForkError(checkpoint.size, before)
    return LogVerified(checkpoint, bytes(walk.kinds), tuple(walk.keys), walk.kept_from, before)


def first_difference(one: Read, other: Read, sizes: tuple[int, int]) -> int | None:
    """Return the first index at which two logs hold other entries; None as far as both can be read."""
    for n in range(-(-min(sizes) // WIDTH)):
        try:
            pairs = zip(_entries(one, sizes[0], n), _entries(other, sizes[1], n), strict=False)
        except RefusedError:
            return None
        for place, (left, right) in enumerate(pairs, n * WIDTH):
            if left != right:
                return place
    return None


def parted(shown: Verified, read: Read, size: int) -> tuple[int, int]:
    """Return the first span of entries, [low, high), that a log in order has otherwise than a receipt.

    Each hash of a receipt's path stands for a span of entries, and the record's own for a span of one.
    """

    def row(level: int, n: int) -> list[bytes]:
        width = _width(size, level, n)
        return tiles.hashes(_published(read, f"tile/{tiles.name(level, n, width)}"), width)

    mine, signed = shown.receipt, shown.checkpoint.size
    nodes = tiles.nodes(row)
    spans = [(mine.index, mine.index + 1), *siblings(mine.index, signed)]
    theirs = [nodes(0, mine.index), *inclusion(mine.index, signed, nodes)]
    compared = zip(spans, (mine.leaf, *mine.path), theirs, strict=True)
    return min(span for span, left, right in compared if left != right)


def main(argv: Sequence[str] | None = None) -> int:
    """Check what the command line names; return the exit code."""
    try:
        words = _words().parse_args(argv)
        verifiers = [one for word in words.key for one in _keys(word)]
        signatures = _can_verify()
        if not signatures:
            verifiers = [_Unchecked(one.name, one.public, one.kind) for one in verifiers]
        what = Path(words.what)
        for line in (_log if what.is_dir() else _receipt)(what, words, verifiers):
            _say(line, sys.stdout)
    except SystemExit as done:  # argparse has said why
        return int(done.code or 0)
    except RefusedError as error:
        _say(f"refused: {error}", sys.stderr)
        return 1
    except (OSError, ValueError) as error:
        _say(f"error: {error}", sys.stderr)
        return 2
    if not signatures:
        _say(_UNSIGNED, sys.stderr)
        return 3
    return 0


class _Walk:
    """A pass over a log's entries; it holds the right edge of the tree, and a byte for each entry."""

    def __init__(self, read: Read, size: int, names: Iterable[str]) -> None:
        self.tree = Tree()
        self.kinds = bytearray()
        self.keys: list[tuple[int, Verifier]] = []
        self.kept_from = 0
        self._read = read
        self._size = size
        # of each level what its last tile holds so far, and the widths that tiles had at smaller sizes
        self._rows: list[list[bytes]] = []
        self._former: dict[tuple[int, int], list[int]] = {}
        for name in names:
            tile = tiles.parse(name)
            if tile is None or not tiles.exists(tile, size):
                raise RefusedError(f"tile/{name}: a log of {size} entries has no such tile")
            level, n, width = tile
            if width != _width(size, level, n):
                self._former.setdefault((level, n), []).append(width)

    def bundle(self, n: int) -> list[bytes]:
        """Read 256 entries, or as many as there are, and let the tree grow; return their hashes."""
        entries = _entries(self._read, self._size, n)
        for content in entries:
            self._look(content)
        for width in self._former.get((ENTRIES, n), ()):
            name = f"tile/{tiles.name(ENTRIES, n, width)}"
            if _published(self._read, name) != tiles.bundle(entries[:width]):
                raise RefusedError(f"{name}: other entries than the log has")
        leaves = [leaf(content) for content in entries]
        growth = grow(self.tree, leaves)
        for step in range(0, len(growth.levels), HEIGHT):
            level = step // HEIGHT
            if level == len(self._rows):
                self._rows.append([])
            self._rows[level] += [found for _, found in growth.new_nodes(step, self.tree.size)]
            if len(self._rows[level]) == WIDTH:
                self._compare(level, n >> step)
        self.tree = growth.tree
        return leaves

    def end(self) -> None:
        """Compare the tiles that are not full."""
        for level, row in enumerate(self._rows):
            if row:
                self._compare(level, self._size // WIDTH >> HEIGHT * level)

    def _compare(self, level: int, n: int) -> None:
        """Compare a tile with the hashes it has to hold, and with what it held at smaller sizes."""
        row, self._rows[level] = self._rows[level], []
        for width in (len(row), *self._former.get((level, n), ())):
            name = f"tile/{tiles.name(level, n, width)}"
            content = _published(self._read, name)
            if content == b"".join(row[:width]):
                continue
            if len(content) != HASH * width:
                raise RefusedError(f"{name}: {len(content)} bytes where {HASH * width} have to be")
            place = next(k for k in range(width) if content[HASH * k : HASH * (k + 1)] != row[k])
            first = n * WIDTH + place << HEIGHT * level
            raise RefusedError(
                f"{name}: hash {place} is not that of what begins with entry {first}"
            )

    def _look(self, content: bytes) -> None:
        """See that an entry is one, and says nothing that cannot be at its place."""
        index = len(self.kinds)
        try:
            one = Entry.parse(content)
            self._understand(index, one)
        except (EntryError, NoteError) as error:
            raise RefusedError(f"entry {index}: {error}") from None
        self.kinds.append(one.kind)

    def _understand(self, index: int, one: Entry) -> None:
        match one.kind:
            case Kind.KEY:
                self.keys.append((index, Verifier.parse(one.body.decode("utf-8"))))
            case Kind.ERASURE:
                gone = entry.erased(one)[0]
                if gone >= index or self.kinds[gone] != Kind.DECISION:
                    raise EntryError(
                        f"it says that {gone} was erased, which is no decision before it"
                    )
            case Kind.RETENTION:
                first = entry.kept_from(one)
                if not self.kept_from <= first <= index:
                    raise EntryError(f"it says that records before {first} are gone, out of order")
                self.kept_from = first


class _Unchecked(Verifier):
    """A key where nothing can be verified: what it signed is taken as signed, and said to be so."""

    __slots__ = ()

    def verifies(self, text: str, signature: bytes) -> bool:  # noqa: ARG002 (as its parent)
        return True


def _published(read: Read, name: str) -> bytes:
    found = read(name)
    if found is None:
        raise RefusedError(f"{name}: it is missing")
    return found


def _opened(what: str, signed: bytes, verifiers: Iterable[Verifier]) -> Checkpoint:
    try:
        found = note.opened(signed, verifiers)
    except NoteError as error:
        raise RefusedError(f"{what}: {error}") from None
    if not found.size and found.root != EMPTY:
        raise RefusedError(f"{what}: nothing has another root")
    return found


def _width(size: int, level: int, n: int) -> int:
    """Return how wide a tile of a log of a size is."""
    return min(WIDTH, (size >> HEIGHT * max(level, 0)) - n * WIDTH)


def _entries(read: Read, size: int, n: int) -> list[bytes]:
    width = _width(size, ENTRIES, n)
    name = f"tile/{tiles.name(ENTRIES, n, width)}"
    try:
        return tiles.unbundled(_published(read, name), width)
    except TileError as error:
        raise RefusedError(f"{name}: {error}") from None


def _handed_over(keys: list[tuple[int, Verifier]], signed: bytes, size: int) -> None:
    """See that the newest key signs; what it was handed over with may still be signed by the old one."""
    if not keys or keys[-1][0] == size - 1:
        return
    index, newest = keys[-1]
    signers = {(one.name, one.key_id) for one in note.parse(signed).signatures}
    if (newest.name, newest.key_id) not in signers:
        raise RefusedError(f"{CHECKPOINT}: another key signed than entry {index} handed over to")


# -- the command line ------------------------------------------------------------------------------


def _words() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(
        prog="python -m bandeau.ledger.verify",
        description="Check a visitor's receipt, or a published log (a folder), out of its bytes alone.",
    )
    made.add_argument("what", metavar="RECEIPT|DIR", help="a receipt, or the folder of a log")
    made.add_argument(
        "--key", action="append", required=True, metavar="VKEY|FILE",
        help="the log's public key, or a file of them, one a line; from elsewhere than the log",
    )  # fmt: skip
    made.add_argument("--against", metavar="DIR", help="a published log that must hold the receipt")
    made.add_argument(
        "--old", metavar="CHECKPOINT",
        help="a checkpoint you kept; with the tiles of its time beside it the first change is named",
    )  # fmt: skip
    return made


def _receipt(path: Path, words: argparse.Namespace, verifiers: list[Verifier]) -> list[str]:
    if words.old:
        raise ValueError("--old goes with the folder of a log")
    shown = verify_receipt(_file(path, receipt.MAX_RECEIPT), verifiers)
    origin, size = shown.checkpoint.origin, shown.checkpoint.size
    return [
        f"{origin}: record {shown.receipt.index}, signed when the log had {size} entries",
        shown.receipt.record.decode("ascii"),
        *([_against(shown, Path(words.against), verifiers)] if words.against else []),
        _PROVES,
    ]


def _against(shown: Verified, folder: Path, verifiers: list[Verifier]) -> str:
    """Hold a receipt to a published log."""
    read = _reader(folder)
    try:
        found = verify_log(read, verifiers, shown.receipt.checkpoint, _listed(folder))
    except ForkError as error:
        raise RefusedError(
            f"{folder}: {error}; {_first(parted(shown, read, error.size))}"
        ) from None
    except RefusedError as error:
        raise RefusedError(f"{folder}: {error}") from None
    decision = shown.decision
    if found.kinds[decision.snapshot] != Kind.SNAPSHOT:
        raise RefusedError(f"receipt: entry {decision.snapshot}, what was shown, is no snapshot")
    if decision.replaces is not None and found.kinds[decision.replaces] != Kind.DECISION:
        raise RefusedError(f"receipt: entry {decision.replaces}, which it replaces, is no decision")
    return f"It is in the published log of {found.checkpoint.size} entries, all of them recomputed."


def _log(folder: Path, words: argparse.Namespace, verifiers: list[Verifier]) -> list[str]:
    if words.against:
        raise ValueError("--against goes with a receipt")
    read = _reader(folder)
    old = _file(Path(words.old), note.MAX_NOTE) if words.old else None
    try:
        return _told(verify_log(read, verifiers, old, _listed(folder)))
    except ForkError as error:
        sizes = error.size, error.old.size
        place = first_difference(read, _reader(Path(words.old).parent), sizes)
        span = (0, error.old.size) if place is None else (place, place + 1)
        raise RefusedError(f"{error}; {_first(span)}") from None


def _first(span: tuple[int, int]) -> str:
    low, high = span
    one = str(low) if high == low + 1 else f"one of {low} to {high - 1}"
    return f"the first entry that is another is {one}"


def _told(found: LogVerified) -> list[str]:
    head, counts = found.checkpoint, Counter(found.kinds)
    lines = [
        f"{head.origin}: {head.size} entries, all of them recomputed, root {note.encoded(head.root)}",
        ", ".join(f"{counts[kind]} {kind.name}" for kind in Kind if counts[kind]) or "empty",
    ]
    if found.kept_from:
        lines.append(f"records before {found.kept_from} are gone, by the log's own word")
    lines += [f"from entry {index} on the key {key.vkey} signs" for index, key in found.keys]
    if found.old:
        lines.append(f"It begins with the {found.old.size} entries of the older checkpoint.")
    return lines


def _reader(folder: Path) -> Read:
    def read(name: str) -> bytes | None:
        try:
            return _file(folder / name, _MAX_FILE)
        except (FileNotFoundError, NotADirectoryError):
            return None

    return read


def _listed(folder: Path) -> list[str]:
    tile = folder / "tile"
    return sorted(
        path.relative_to(tile).as_posix() for path in tile.rglob("*") if not path.is_dir()
    )


def _file(path: Path, limit: int) -> bytes:
    """Read a file, and one byte more than it may have where it has."""
    with path.open("rb") as file:
        return file.read(limit + 1)


def _keys(word: str) -> list[Verifier]:
    """Read a key, or a file of them."""
    with contextlib.suppress(ValueError):
        return [Verifier.parse(word)]
    try:
        lines = _file(Path(word), note.MAX_NOTE).decode("utf-8")
        return [Verifier.parse(line) for line in lines.removesuffix("\n").split("\n")]
    except (OSError, ValueError) as error:
        raise ValueError(f"{word}: neither a key nor a file of keys: {error}") from None


def _can_verify() -> bool:
    try:
        from cryptography.hazmat.primitives.asymmetric import ed25519  # noqa: F401, PLC0415
    except ImportError:
        return False
    return True


def _say(line: str, stream: TextIO) -> None:
    """Write one line, whatever was put into it and whatever the terminal can show."""
    shown = "".join(
        one if one.isprintable() else one.encode("unicode_escape").decode("ascii") for one in line
    )
    encoding = stream.encoding or "ascii"
    stream.write(shown.encode(encoding, "backslashreplace").decode(encoding) + "\n")


if __name__ == "__main__":
    sys.exit(main())
