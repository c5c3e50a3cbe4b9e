"""What a ledger needs of a database: one way to write, few to read; the same rows in each.

    entry       idx, entry                          the log itself: append-only, kept for ever
    record      idx, line, replaces                 what a DECISION entry commits to; erasable
    record_key  idx, salt                           its salt, apart, so that backups can leave it out
    node        level, n, hash                      roots of full tiles: what makes proofs quick
    event       idx, kind, minute, detail           what the entries that are no decisions say, and when
    document    sha256, idx, bytes                  snapshots and audit manifests, by hash
    policy      digest, minute, purposes, fingerprints      what cookies may quote
    replay      key, bound, idx, size, day          answered requests, for retries (48 hours)
    outbox      idx, partner, minute, detail, due, tries    withdrawals that partners are yet to be told
    hold        idx, minute, reason                 records that must not be erased
    tally       day, kind, value, outcome, n, gone  sums of decisions, never who (see `tally`)
    account     key, value, idx, minute             what signed-in visitors chose last; erasable
    head        the log's name, size, peaks, signing key and newest checkpoint: one row

Everything that changes the log goes through `commit`, in one transaction that holds the head: writers
of several threads, processes or machines form one line, and none can fork the tree.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from bandeau.ledger.tally import ROW
from bandeau.ledger.tree import HASH, Tree

SCHEMA_VERSION = 4
COLUMNS = {
    "entry": ("idx", "entry"),
    "record": ("idx", "line", "replaces"),
    "record_key": ("idx", "salt"),
    "node": ("level", "n", "hash"),
    "event": ("idx", "kind", "minute", "detail"),
    "document": ("sha256", "idx", "bytes"),
    "policy": ("digest", "minute", "purposes", "fingerprints"),
    "replay": ("key", "bound", "idx", "size", "day"),
    "hold": ("idx", "minute", "reason"),
    "outbox": ("idx", "partner", "minute", "detail", "due", "tries"),
    "tally": ("day", "kind", "value", "outcome", "n", "gone"),
    "account": ("key", "value", "idx", "minute"),
}
ONCE = ("document", "policy", "hold")  # tables where a row that is there already stays as it is
LATEST = ("account",)  # and where a new one takes its place
ADDED = (  # to a row of the tally that is there already
    " ON CONFLICT (day, kind, value, outcome)"
    " DO UPDATE SET n = tally.n + excluded.n, gone = tally.gone + excluded.gone"
)
FIRST_WAIT, LONGEST_WAIT = 2, 256  # minutes, until a partner is tried again
REPLAY_DAYS = 2  # how long a retry is recognised


@dataclass(frozen=True, slots=True)
class Head:
    """Where the log stands: its name, tree, the key that signs (as vkey) and the signed checkpoint."""

    origin: str
    tree: Tree
    vkey: str
    checkpoint: bytes

    @property
    def peaks(self) -> bytes:
        """The tree's peaks in one piece, as they are stored."""
        return b"".join(self.tree.peaks)

    @classmethod
    def of(cls, origin: str, size: int, peaks: bytes, vkey: str, checkpoint: bytes) -> Head:
        """Make a head of a row."""
        found = tuple(peaks[n : n + HASH] for n in range(0, len(peaks), HASH))
        return cls(origin, Tree(size, found), vkey, bytes(checkpoint))


@dataclass(slots=True)
class Batch:
    """What one transaction writes: the head after it, rows by table, and what goes."""

    head: Head
    rows: dict[str, list[tuple[Any, ...]]] = field(default_factory=dict)
    erased: Sequence[int] = ()  # records and salts to remove
    before: int = 0  # and all of those before this index, but for the ones on hold
    released: Sequence[int] = ()  # holds to lift
    forget: int = 0  # replays of days before this one
    left: Sequence[bytes] = ()  # accounts' keys to remove
    lapsed: int = 0  # and all accounts' choices of before this minute

    def add(self, table: str, *row: Any) -> None:
        """Add a row."""
        self.rows.setdefault(table, []).append(row)


@dataclass(frozen=True, slots=True)
class Replay:
    """An answered request: what bound it, the decision's index, the tree's size in the answer."""

    bound: bytes
    index: int
    size: int


@dataclass(frozen=True, slots=True)
class Account:
    """A signed-in visitor's choice, by whose it is without saying who.

    `keys` are keyed hashes of the application's id, the one to write under first; `value` is the choice
    as a cookie's value, b"" for none, and `index` its decision's. What is not `known` could not be read.
    """

    keys: tuple[bytes, ...] = ()
    value: bytes = b""
    index: int | None = None
    known: bool = True


@dataclass(frozen=True, slots=True)
class Untold:
    """A withdrawal that a partner is yet to be told: the decision's index and minute, what is told."""

    index: int
    partner: str
    minute: int
    detail: str


@dataclass(frozen=True, slots=True)
class Kept:
    """A decision's record and salt, as far as they are still kept."""

    index: int
    record: bytes
    salt: bytes
    replaces: int | None


@dataclass(frozen=True, slots=True)
class Event:
    """An entry that is no decision: its kind's number, the minute (UTC, since 1970), and in words."""

    index: int
    kind: int
    minute: int
    detail: str


@dataclass(frozen=True, slots=True)
class Seen:
    """What a transaction sees of what it is about, by key: answered requests; choices and indexes."""

    replays: Mapping[bytes, Replay]
    accounts: Mapping[bytes, tuple[str, int]]


Make = Callable[[Head | None, Seen], Batch | None]


class Store(Protocol):
    """A database that holds a ledger. Every method raises LedgerError when the database fails."""

    url: str  # as it may be shown
    address: str  # as it is connected to
    session: object  # another one where another server may have come to answer

    def commit(
        self, make: Make, keys: Iterable[bytes] = (), accounts: Iterable[bytes] = ()
    ) -> None:
        """Hold the head, let `make` see it, the replays of `keys` and `accounts`; write what it returns.

        Either all of it is on disk when this returns, or none of it happened. None writes nothing.
        """

    def head(self) -> Head | None:
        """Return where the log stands; None before anything was written."""

    def entries(self, low: int, high: int) -> list[bytes]:
        """Return entries by index, in order."""

    def nodes(self, level: int, low: int, high: int) -> list[bytes]:
        """Return roots of full tiles by number, in order; `level` is a multiple of 8."""

    def records(self, low: int, high: int) -> list[Kept]:
        """Return what is still kept of decisions, by index, in order."""

    def successors(self, index: int) -> list[int]:
        """Return the decisions that replaced one."""

    def events(self, kinds: Iterable[int] = ()) -> list[Event]:
        """Return the entries that are no decisions, in order; of some kinds, or all."""

    def document(self, sha256: str) -> tuple[int, bytes] | None:
        """Return index and bytes of what is kept under a hash (hex)."""

    def policies(self) -> list[tuple[str, int, str, str]]:
        """Return the rows of `policy`."""

    def holds(self) -> list[tuple[int, int, str]]:
        """Return the rows of `hold`."""

    def tally(self, low: int, high: int) -> list[ROW]:
        """Return the rows of `tally` from a day to before another (since 1970, UTC), in order."""

    def accounts(self, keys: Iterable[bytes]) -> dict[bytes, tuple[str, int]]:
        """Return what accounts chose last, by key: the choice as a cookie's value, and its index."""

    def claim(self, partner: str, now: int) -> Untold | None:
        """Return what a partner is to be told next, due at `now`; nobody else gets it for a while.

        The next try is put off before this one is made, twice as long each time: whoever is killed in
        between leaves it to the others. Minutes since 1970, UTC.
        """

    def told(self, index: int, partner: str) -> None:
        """Forget what a partner has been told."""

    def untold(self) -> int:
        """Return how much partners are yet to be told."""

    def scrub(self) -> None:
        """See that what was deleted is in no file of the database any more."""

    def integrity(self) -> list[str]:
        """Return what the database finds wrong with itself."""

    def again(self) -> None:
        """Connect anew, in a process that came of a fork."""

    def close(self) -> None:
        """Let go of the database."""
