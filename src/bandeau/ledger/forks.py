"""Does what outsiders hold fit this log? Receipts and checkpoints against the entries of today.

A log that is signed by its owner proves nothing about the time since somebody else last looked. Every
receipt carries a checkpoint, so every visitor who kept one has looked.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from bandeau.ledger import note
from bandeau.ledger.log import Log
from bandeau.ledger.receipt import Receipt, ReceiptError, check, parse
from bandeau.ledger.tree import Nodes, siblings, span

Span = tuple[int, int]  # entries from the first to before the second


@dataclass(frozen=True, slots=True)
class Finding:
    """What one piece from outside says of the log; `sound` means that it fits."""

    name: str
    sound: bool
    message: str


def compare(log: Log, pieces: Iterable[tuple[str, bytes]]) -> list[Finding]:
    """Compare receipts and checkpoints, given as (name, bytes), with a log."""
    verifiers = [note.Verifier.parse(vkey) for vkey in log.vkeys()]
    size = log.head.tree.size
    nodes = log.nodes(size)
    found: list[Finding] = []
    forked: dict[note.Checkpoint, list[tuple[str, Receipt | None]]] = {}
    for name, content in pieces:
        try:
            receipt = parse(content) if content.startswith(b"c2sp.org/") else None
            checkpoint = check(receipt, verifiers) if receipt else note.opened(content, verifiers)
        except (ReceiptError, note.NoteError) as error:
            found.append(Finding(name, sound=False, message=f"proves nothing: {error}"))
            continue
        if checkpoint.size > size:
            message = (
                f"rewind: it was signed when the log had {checkpoint.size} entries, and {size} are here;"
                f" the first that is missing is {size}"
            )
            found.append(Finding(name, sound=False, message=message))
        elif log.root(checkpoint.size) == checkpoint.root:
            message = f"fits: {checkpoint.size} of {size} entries"
            found.append(Finding(name, sound=True, message=message))
        else:
            forked.setdefault(checkpoint, []).append((name, receipt))
    for checkpoint, holders in forked.items():
        where = _difference(checkpoint, [one for _, one in holders if one], nodes)
        found += [Finding(name, sound=False, message=where) for name, _ in holders]
    return found


def _difference(checkpoint: note.Checkpoint, receipts: list[Receipt], nodes: Nodes) -> str:
    """Say between which indexes another tree of a size begins to differ from ours.

    Each hash of an audit path that is ours too shows that its span is the same in both.
    """
    same: list[Span] = []
    last = checkpoint.size - 1
    for receipt in receipts:
        spans: list[tuple[Span, bytes]] = [((receipt.index, receipt.index + 1), receipt.leaf)]
        spans += zip(siblings(receipt.index, checkpoint.size), receipt.path, strict=True)
        for (low, high), theirs in spans:
            if span(low, high, nodes) == theirs:
                same.append((low, high))
            else:
                last = min(last, high - 1)
    first = 0
    for low, high in sorted(same):
        if low <= first:
            first = max(first, high)
    where = f"is {first}" if first == last else f"lies between {first} and {last}"
    return (
        f"fork: another tree of {checkpoint.size} entries was signed under this name;"
        f" the first index that differs {where}"
    )


def first_difference(ours: Log, theirs: Iterable[list[bytes]]) -> int | None:
    """Return the first index at which entries from elsewhere are not ours; None where all are.

    `theirs` gives them in order, some at a time, as the bundles of a published log do.
    """
    low = 0
    for some in theirs:
        here = ours.store.entries(low, low + len(some))
        for place, content in enumerate(some):
            if here[place : place + 1] != [content]:
                return low + place
        low += len(some)
    return None
