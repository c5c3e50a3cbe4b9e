"""A ledger, read: where the log stands, its tiles, proofs and records, and whether all of it fits.

Nothing here needs a key, and nothing here writes (see `ledger`).
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from bandeau.decision.cookie import POLICY_DIGITS
from bandeau.decision.model import Decision, Published
from bandeau.errors import LedgerError, RecordError
from bandeau.ledger import entry, note, record, tally, tiles
from bandeau.ledger.entry import Entry, EntryError, Kind
from bandeau.ledger.receipt import Receipt
from bandeau.ledger.store import Head, Kept, Seen, Store
from bandeau.ledger.tally import ROW, Mark
from bandeau.ledger.tree import Nodes, Tree, consistency, grow, inclusion, leaf, peaks_of

_DECISION = bytes((1, Kind.DECISION))
_REMOVALS = (bytes((1, Kind.ERASURE)), bytes((1, Kind.RETENTION)))
_CHUNK = 65_536  # entries; a full tile of level 1, so that its nodes are checked as they close


@dataclass(frozen=True, slots=True)
class Noted:
    """A record as the log holds it: its index, the decision, and whether an authority holds it."""

    index: int
    decision: Decision
    held: bool = False


class Log:
    """A ledger's log over a store."""

    def __init__(self, store: Store) -> None:
        self.store = store

    @property
    def head(self) -> Head:
        """Where the log stands. Raises LedgerError where nothing was ever written."""
        found = self.store.head()
        if found is None:
            raise LedgerError(f"{self.store.url}: there is no log in it yet")
        return found

    def published_policies(self) -> dict[str, Published]:
        """Return every published policy by the start of its digest, as cookies quote it."""
        return {
            digest[:POLICY_DIGITS]: Published(digest, tuple(json.loads(order)), json.loads(prints))
            for digest, _, order, prints in self.store.policies()
        }

    def vkeys(self) -> list[str]:
        """Return every key that ever signed this log, the oldest first."""
        return [event.detail for event in self.store.events([Kind.KEY])]

    def document(self, sha256: str) -> bytes | None:
        """Return a snapshot or a manifest by its hash (hex)."""
        found = self.store.document(sha256)
        return found[1] if found else None

    def snapshot_at(self, index: int) -> bytes | None:
        """Return the snapshot that the entry at an index names."""
        found = self.store.entries(index, index + 1)
        if not found or found[0][:2] != bytes((1, Kind.SNAPSHOT)):
            return None
        return self.document(found[0][2:].hex())

    def nodes(self, size: int) -> Nodes:
        """Return what reads the nodes of the tree of a size."""

        def tile(level: int, n: int) -> list[bytes]:
            low, high = n * tiles.WIDTH, (n + 1) * tiles.WIDTH
            if level == 0:
                return [leaf(one) for one in self.store.entries(low, min(high, size))]
            return self.store.nodes(level * tiles.HEIGHT, low, high)

        return tiles.nodes(tile)

    def root(self, size: int) -> bytes:
        """Return the root that the log had at a size, out of its entries of today."""
        return peaks_of(size, self.nodes(size)).root

    def path(self, index: int, size: int) -> tuple[bytes, ...]:
        """Return the audit path of an entry in the tree of a size."""
        return tuple(inclusion(index, size, self.nodes(size)))

    def growth_proof(self, old: int, size: int) -> list[bytes]:
        """Return the proof that the tree of a size begins with an older one."""
        return consistency(old, size, self.nodes(size))

    def kept(self, index: int) -> Kept | None:
        """Return a decision's record and salt, where both are still there."""
        found = self.store.records(index, index + 1)
        return found[0] if found else None

    def receipt(self, index: int) -> Receipt | None:
        """Return a decision's receipt under the newest checkpoint; None once it was erased."""
        kept = self.kept(index)
        if kept is None:
            return None
        head = self.head
        path = self.path(index, head.tree.size)
        return Receipt(index, kept.record, kept.salt, path, head.checkpoint)

    def decisions(self, low: int = 0, high: int | None = None) -> Iterator[Noted]:
        """Return what is kept of decisions, in order."""
        end = self.head.tree.size if high is None else high
        held = {index for index, _, _ in self.store.holds()}
        for kept in self.left(low, end):
            yield Noted(kept.index, record.parse(kept.record), kept.index in held)

    def left(self, low: int, high: int) -> Iterator[Kept]:
        """Return what is kept of decisions, unread, in order."""
        for start in range(low, high, _CHUNK):
            yield from self.store.records(start, min(start + _CHUNK, high))

    def lacking(
        self, head: Head, low: int = 0, before: Counter[Mark] | None = None, decided: int = 0
    ) -> list[ROW]:
        """Return what the tally lacks to be a count of the log; [] where it is right.

        To be called while the head is held. `before` and `decided` count what lies before `low`.
        """
        found = Counter(before)
        for start in range(low, head.tree.size, _CHUNK):
            end = min(start + _CHUNK, head.tree.size)
            found += tally.counted(kept.record for kept in self.store.records(start, end))
            decided += sum(one[:2] == _DECISION for one in self.store.entries(start, end))
        return tally.difference(self.store.tally(0, tally.NEVER), found, decided)

    def history(self, index: int) -> list[Noted]:
        """Return a decision with all that it replaces and all that replaced it, in order.

        What was erased is left out; the chain goes on through a record that is still there.
        """
        found: dict[int, Noted] = {}
        held = {one for one, _, _ in self.store.holds()}
        waiting = [index]
        while waiting:
            one = waiting.pop()
            kept = None if one in found else self.kept(one)
            if kept is None:
                continue
            found[one] = Noted(one, record.parse(kept.record), one in held)
            waiting += self.store.successors(one)
            if kept.replaces is not None:
                waiting.append(kept.replaces)
        return [found[one] for one in sorted(found)]

    def tile(self, path: str) -> bytes | None:
        """Return a tile or a bundle by its path below `tile/`; None for what the log has not."""
        read = tiles.parse(path)
        size = self.head.tree.size
        if read is None or not tiles.exists(read, size):
            return None
        level, n, width = read
        low = n * tiles.WIDTH
        if level == tiles.ENTRIES:
            return tiles.bundle(self.store.entries(low, low + width))
        if level == 0:
            return b"".join(leaf(one) for one in self.store.entries(low, low + width))
        return b"".join(self.store.nodes(level * tiles.HEIGHT, low, low + width))

    def tree(self, size: int) -> Iterator[tuple[int, list[bytes], Tree]]:
        """Recompute the tree from its entries, a chunk at a time: index, entries, tree after them."""
        found = Tree()
        for low in range(0, size, _CHUNK):
            entries = self.store.entries(low, min(low + _CHUNK, size))
            found = grow(found, [leaf(one) for one in entries]).tree
            yield low, entries, found

    def fsck(self) -> list[str]:
        """Recompute everything from the entries; return what does not fit, in words."""
        problems: list[str] = []
        try:
            problems += self.store.integrity()
            problems += self._checked()
        except (LedgerError, TypeError, ValueError) as error:  # it holds what nobody wrote
            problems.append(f"the ledger cannot be read: {error}")
        return problems

    def _checked(self) -> list[str]:
        problems: list[str] = []
        self.published_policies()  # cookies quote them: a start would fail
        head = self.store.head()
        if head is None:
            return [*problems, "there is no log yet"]
        size = head.tree.size
        seen = _Seen(self, {index for index, _, _ in self.store.holds()})
        found = Tree()
        for low, entries, found in self.tree(size):  # noqa: B007 (the last one is needed)
            if len(entries) != min(_CHUNK, size - low):
                return [*problems, *seen.problems, f"entries are missing after index {low}"]
            problems += self._nodes_of(low, entries)
            seen.look(low, entries)
        if self.store.entries(size, size + 1) and self.head.tree.size == size:
            problems.append(f"there are entries after the head, from index {size}")
        if found != head.tree:
            problems.append(f"the entries give another tree of {size} than the head has")
        problems += self._nodes_above(size) + seen.problems + seen.unexplained() + seen.beside()
        problems += _signed(head, found)
        return problems + self._miscounted(seen, size)

    def _miscounted(self, seen: _Seen, size: int) -> list[str]:
        """Compare the tally with a recount, to which is added what came while it was made."""
        lacking: list[ROW] = []

        def look(head: Head | None, _: Seen) -> None:
            grown = self.store.entries(size, head.tree.size) if head else []
            if head and not any(one[:2] in _REMOVALS for one in grown):  # of what was counted
                lacking.extend(self.lacking(head, size, seen.counted, seen.decided))

        self.store.commit(look)
        if not lacking:
            return []
        first = tally.Mark(*lacking[0][:4])
        where = f"{first.kind} {first.value} {first.outcome}, day {first.day}"
        remedy = "bandeau ledger migrate counts anew"
        return [f"{len(lacking)} sums of the tally are wrong, first {where}: {remedy}"]

    def _nodes_of(self, low: int, entries: list[bytes]) -> list[str]:
        """Check the stored roots of the full tiles that begin within a chunk."""
        wrong = []
        hashes = [leaf(one) for one in entries]
        for level in (8, 16):
            width = 1 << level
            for first in range(0, len(hashes) - width + 1, width):
                root = grow(Tree(), hashes[first : first + width]).tree.root
                n = (low + first) // width
                if self.store.nodes(level, n, n + 1) != [root]:
                    wrong.append(
                        f"the hash of level {level}, number {n} is not that of its entries"
                    )
        return wrong

    def _nodes_above(self, size: int) -> list[str]:
        """Check the stored roots of larger tiles, each against the tile below it."""
        wrong = []
        for level in range(24, size.bit_length(), 8):
            for n in range(size >> level):
                below = self.store.nodes(level - 8, n * tiles.WIDTH, (n + 1) * tiles.WIDTH)
                if self.store.nodes(level, n, n + 1) != [grow(Tree(), below).tree.root]:
                    wrong.append(
                        f"the hash of level {level}, number {n} is not that of its entries"
                    )
        return wrong


class _Seen:
    """What a walk over the log has come across, for what can only be said of the whole."""

    def __init__(self, log: Log, held: set[int]) -> None:
        self._log = log
        self._held = held
        self._snapshots: set[int] = set()
        self._erased: set[int] = set()
        self._kept_from = 0
        self._gone: list[int] = []
        self._events: dict[int, tuple[int, str]] = {}
        self._policies: dict[str, Published] = {}  # as the snapshots have them, by digest
        self.problems: list[str] = []
        self.counted: Counter[Mark] = Counter()
        self.decided = 0

    def look(self, low: int, entries: list[bytes]) -> None:
        """Look at a chunk: each entry, and what is kept of each decision."""
        records = {kept.index: kept for kept in self._log.store.records(low, low + len(entries))}
        self.counted += tally.counted(kept.record for kept in records.values())
        for index, content in enumerate(entries, low):
            try:
                one = Entry.parse(content)
            except EntryError as error:
                self.problems.append(f"entry {index}: {error}")
                continue
            if one.kind is not Kind.DECISION:
                self._events[index] = int(one.kind), said(one)
            match one.kind:
                case Kind.DECISION:
                    self.decided += 1
                    self._decision(index, content, records.pop(index, None))
                case Kind.SNAPSHOT | Kind.AUDIT:
                    self._document(index, one)
                    if one.kind is Kind.SNAPSHOT:
                        self._snapshots.add(index)
                case Kind.ERASURE:
                    self._erased.add(entry.erased(one)[0])
                case Kind.RETENTION:
                    self._kept_from = max(self._kept_from, entry.kept_from(one))
        self.problems += [f"record {index} belongs to no decision" for index in records]

    def unexplained(self) -> list[str]:
        """Return the decisions without a record that neither an erasure nor the retention explains."""
        return [
            f"record {index} is gone, and no entry says why"
            for index in self._gone
            if index not in self._erased and index >= self._kept_from
        ]

    def beside(self) -> list[str]:
        """Return what the tables beside the log say otherwise than the log itself."""
        told = {event.index: (event.kind, event.detail) for event in self._log.store.events()}
        wrong = sorted(i for i in {*told, *self._events} if told.get(i) != self._events.get(i))
        gone = sorted(self._held.intersection(self._gone) | {i for i in self._held if i in told})
        kept = {policy.digest: policy for policy in self._log.published_policies().values()}
        return [
            *(
                f"what cookies may quote of the policy {digest} is not what its snapshot says"
                for digest, policy in self._policies.items()
                if kept.get(digest) != policy
            ),
            *(f"what is noted of entry {index} is not what the log says" for index in wrong),
            *(f"record {index} is held, and is not there" for index in gone),
        ]

    def _decision(self, index: int, content: bytes, kept: Kept | None) -> None:
        if kept is None:
            self._gone.append(index)
            return
        if entry.decision(kept.record, kept.salt).encode() != content:
            self.problems.append(f"record {index} is not the one that was logged")
            return
        try:
            found = record.parse(kept.record)
        except RecordError as error:
            self.problems.append(f"record {index}: {error}")
            return
        if found.snapshot not in self._snapshots:
            self.problems.append(f"record {index} refers to no earlier snapshot")
        before = found.replaces
        if before != kept.replaces or not (before is None or self._decided(before, index)):
            self.problems.append(f"record {index} replaces what it cannot")

    def _decided(self, before: int, index: int) -> bool:
        """Say whether an earlier entry is a decision."""
        found = self._log.store.entries(before, before + 1) if before < index else []
        return [one[:2] for one in found] == [_DECISION]

    def _document(self, index: int, one: Entry) -> None:
        found = self._log.document(one.body.hex())
        if found is None or hashlib.sha256(found).digest() != one.body:
            self.problems.append(
                f"entry {index}: its {one.kind.name.lower()} is missing or changed"
            )
        elif one.kind is Kind.SNAPSHOT and (policy := _policy(found)):
            self._policies.setdefault(
                policy.digest, policy
            )  # what is published once is left as it is


def _policy(snapshot: bytes) -> Published | None:
    """Return the policy that a snapshot is of; None where it does not say, as any bytes may be one."""
    try:
        shown = json.loads(snapshot)
        purposes = dict(shown["purposes"])
        return Published(str(shown["policy"]), tuple(purposes), purposes)
    except (ValueError, TypeError, KeyError):
        return None


def said(one: Entry) -> str:
    """Return what is noted beside an entry that is no decision."""
    if one.kind in (Kind.SNAPSHOT, Kind.AUDIT):
        return f"{one.kind.name.lower()} {one.body.hex()}"
    return one.described()


def _signed(head: Head, found: Tree) -> list[str]:
    """Check the newest checkpoint against the tree and the key that the head names."""
    try:
        checkpoint = note.opened(head.checkpoint, [note.Verifier.parse(head.vkey)])
    except note.NoteError as error:
        return [f"the newest checkpoint: {error}"]
    if (checkpoint.origin, checkpoint.size, checkpoint.root) != (
        head.origin,
        found.size,
        found.root,
    ):
        return ["the newest checkpoint is signed, but not for this tree"]
    return []
