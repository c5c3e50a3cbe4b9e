"""A ledger, written: decisions in, receipts out, durable and signed before they are answered.

One writer thread takes what has queued up and commits it in one transaction (group commit): records,
entries, the tree's new peaks and its signed checkpoint. A decision costs a share of an fsync and of a
signature, and the answer already carries its proof: there is no merge delay. Several processes may
write one log; the store makes them form a line.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import hmac
import json
import logging
import os
import queue
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from dataclasses import dataclass
from functools import partial
from weakref import WeakKeyDictionary

from bandeau.decision.model import Decision, Published
from bandeau.errors import (
    ConflictError,
    KeyFileError,
    LedgerBusyError,
    LedgerError,
    MovedError,
    RecordError,
)
from bandeau.ledger import entry, note, record, tally
from bandeau.ledger.entry import SALT, Entry, Kind, Reason
from bandeau.ledger.keys import Keys, derive
from bandeau.ledger.log import Log
from bandeau.ledger.receipt import Receipt
from bandeau.ledger.store import REPLAY_DAYS, Account, Batch, Head, Make, Replay, Seen, Store
from bandeau.ledger.tree import Growth, Tree, grow, inclusion, leaf

QUEUE = 10_000  # decisions waiting for the writer; beyond that visitors are told to come back
BATCH = 1_000  # decisions in one transaction
WAIT_SECONDS = 10.0  # for a decision to be stored
_MARK_SECONDS = 1.0
_ROTATIONS = 5  # of the key, in the time of one commit
_DAY = 1440  # minutes
_OF_A_DECISION = ("entry", "record", "record_key")  # tables
_log = logging.getLogger("bandeau")


@dataclass(frozen=True, slots=True)
class Retry:
    """What makes a request recognisable when it is sent twice: a key, and what the key is bound to.

    `key` is what the client sent; `bound` is everything that a true repetition has in common with the
    first (body, and what is known of who asks). Only keyed hashes of both are stored, for two days.
    """

    key: bytes
    bound: bytes


@dataclass(slots=True)
class Stored:
    """A decision that is on disk: its index, and what makes its receipt."""

    index: int
    receipt: Callable[[], Receipt]


Tell = Sequence[tuple[str, str]]  # partners' ids, and what each is told of a withdrawal
Chosen = tuple[Account, str]  # a signed-in visitor's choice as it was read, and what it is to be
_Sealed = tuple[bytes, bytes]  # a retry's key as it is stored, and what binds it: keyed hashes


@dataclass(slots=True)
class _Waiting:
    record: bytes
    replaces: int | None
    day: int
    retry: Retry | None
    done: Future[Stored] | asyncio.Future[Stored]
    loop: asyncio.AbstractEventLoop | None = None  # where `done` is asyncio's
    tell: Tell = ()
    chosen: Chosen | None = None

    def wanted(self) -> bool:
        """Say whether somebody still waits for it, once the writer has come to it."""
        if isinstance(self.done, Future):
            return self.done.set_running_or_notify_cancel()
        return not self.done.done()


class _Patience:
    """Ends what waits too long in an event loop: all wait equally long, so one timer is enough."""

    def __init__(self) -> None:
        self._until: dict[
            asyncio.Future[Stored], float
        ] = {}  # the loop's time; the first comes first
        self._running = False

    def begin(self, done: asyncio.Future[Stored]) -> None:
        """See that `done` fails with LedgerBusyError where it is not done in time."""
        loop = done.get_loop()
        self._until[done] = until = loop.time() + WAIT_SECONDS
        if not self._running:
            self._running = True
            loop.call_at(until, self._due, loop)

    def end(self, done: asyncio.Future[Stored]) -> None:
        """Forget what is waited for no longer."""
        del self._until[done]

    def _due(self, loop: asyncio.AbstractEventLoop) -> None:
        now = loop.time() + 0.01  # a timer may be early by the clock's resolution
        late = [done for done, until in self._until.items() if until <= now]
        _tell([(done, LedgerBusyError(f"not stored in {WAIT_SECONDS:.0f} s")) for done in late])
        following = next((until for until in self._until.values() if until > now), None)
        self._running = following is not None
        if following is not None:
            loop.call_at(following, self._due, loop)


class Ledger(Log):
    """A log with the key that signs it. Safe to use from any thread; `close` when done."""

    def __init__(
        self,
        store: Store,
        keys: Keys,
        origin: str,
        *,
        keep_days: int | None = None,
        valid_days: int | None = None,
        recovering: bool = False,
        now: Callable[[], int] = lambda: int(time.time() // 60),
    ) -> None:
        """Open the log, or begin it under `origin`; `now` counts minutes since 1970, UTC.

        With `keep_days` the writer removes older records, once a day, and with `valid_days` accounts'
        older choices. `recovering` opens what would be refused, to `recover` it.
        Raises LedgerError for a log that this key did not sign or that is behind its mark.
        """
        super().__init__(store)
        self.keys = keys
        self.unrecorded = 0  # refusals and withdrawals that were obeyed though not stored
        self._failed: str | None = None  # why the last commit failed
        self._busy: float | None = None  # since when a commit is under way
        self._now = now
        self._waiting: queue.SimpleQueue[_Waiting | None] = queue.SimpleQueue()
        self._closed = False
        self._starting = threading.Lock()
        self._writer: tuple[int, threading.Thread] | None = None
        self._snapshots: set[int] = set()
        self._keep_days, self._valid_days = keep_days, valid_days
        self._forgotten = self._retained = 0
        self._marked = 0.0
        self._patience = WeakKeyDictionary[asyncio.AbstractEventLoop, _Patience]()
        self._newest: Head | None = None  # what this process has signed, or found when it opened
        self._noted: Head | None = None  # of it, what stands beside the key file
        self._session: object = None  # the store's, in which the log was seen to go on
        self._seal = b""  # of the secret that signs: every process that may write knows it
        self._signer = self._opened(origin, recovering=recovering)

    @property
    def origin(self) -> str:
        """The log's name."""
        return self._signer.verifier.name

    @property
    def vkey(self) -> str:
        """The public key that verifies the log, as a line of text."""
        return self._signer.verifier.vkey

    @property
    def failed(self) -> str | None:
        """Why the last commit failed, or that one takes longer than anybody waits; None: all is well."""
        since = self._busy
        if since is not None and (seconds := time.monotonic() - since) > WAIT_SECONDS:
            return f"a commit has been under way for {seconds:.0f} s"
        return self._failed

    @property
    def waiting(self) -> int:
        """How many decisions wait for the writer."""
        return self._waiting.qsize()

    def submit(
        self,
        decision: Decision,
        retry: Retry | None = None,
        tell: Tell = (),
        chosen: Chosen | None = None,
    ) -> Future[Stored]:
        """Queue a decision; the future is done when it is on disk and signed.

        What partners are to be told, and what an account has chosen, is stored with it, or nothing is.
        Raises RecordError for what is no record, LedgerBusyError when too many are waiting. The future
        fails with LedgerError: with ConflictError for a retry that repeats nothing, with MovedError
        where the account chose something else since it was read.
        """
        done: Future[Stored] = Future()
        self._queue(decision, retry, tell, chosen, done)
        return done

    def append(
        self,
        decision: Decision,
        retry: Retry | None = None,
        tell: Tell = (),
        chosen: Chosen | None = None,
    ) -> Stored:
        """Store a decision, and return once it is on disk and signed."""
        try:
            return self.submit(decision, retry, tell, chosen).result(WAIT_SECONDS)
        except FutureTimeoutError:
            raise LedgerBusyError(f"not stored in {WAIT_SECONDS:.0f} s") from None

    async def appended(
        self,
        decision: Decision,
        retry: Retry | None = None,
        tell: Tell = (),
        chosen: Chosen | None = None,
    ) -> Stored:
        """Do what `append` does, for callers with an event loop."""
        loop = asyncio.get_running_loop()
        done: asyncio.Future[Stored] = loop.create_future()
        if decision.snapshot not in self._snapshots:  # a slow store holds up nobody else
            await asyncio.to_thread(self._refer, decision)
        self._queue(decision, retry, tell, chosen, done, loop)
        patience = self._patience.get(loop)
        if patience is None:
            patience = self._patience[loop] = _Patience()
        patience.begin(done)
        try:
            return await done
        finally:
            patience.end(done)

    def hashed(self, who: str) -> tuple[bytes, ...]:
        """Return what stands for an account instead of its id: keyed hashes, the newest key's first."""
        return tuple(
            hmac.digest(key, who.encode("utf-8", "surrogatepass"), "sha256")
            for key in self.keys.derived("account")
        )

    def account(self, keys: tuple[bytes, ...]) -> Account:
        """Return what an account has chosen last. Raises LedgerError."""
        found = self.store.accounts(keys)
        value, index = max(found.values(), key=lambda row: row[1], default=("", None))
        return Account(keys, value.encode("ascii", "replace"), index)

    def forget(self, who: str) -> None:
        """Remove an account's choice; the records, which name nobody, stay."""
        self.keys.reread()  # another process may have written under a newer one
        keys = self.hashed(who)
        self.store.commit(lambda head, _: Batch(_there(head), left=keys))
        self.store.scrub()

    def publish(self, policy: Published) -> None:
        """Remember a policy for as long as cookies may quote it; a known one is left as it is."""
        order, prints = policy.order, dict(policy.fingerprints)
        row = (policy.digest, self._now(), json.dumps(order), json.dumps(prints, sort_keys=True))
        self.carry([row])

    def carry(self, policies: Sequence[tuple[str, int, str, str]]) -> None:
        """Remember policies by their rows, as they come out of another ledger."""
        rows = list(policies)
        self.store.commit(lambda head, _: Batch(_there(head), {"policy": rows}))

    def snapshot(self, content: bytes) -> int:
        """Keep what visitors are shown, log its hash, and return its index; once for the same bytes."""
        index = self._keep(entry.snapshot, content, "snapshot")
        self._snapshots |= {index}
        return index

    def audited(self, manifest: bytes) -> int:
        """Keep an audit's manifest, log its hash, and return its index; once for the same bytes."""
        return self._keep(entry.audit, manifest, "audit")

    def enforced(self, what: str) -> None:
        """Log what is enforced from now on; what the last MODE entry says already is not repeated."""
        last = self.store.events([Kind.MODE])
        if not last or last[-1].detail.partition(" ")[2] != what:
            line = f"since={record.time(self._now())} {what}"
            self._log(entry.mode(line), line)

    def erase(self, index: int, reason: Reason) -> int:
        """Remove a record and its salt for good, and return the index of the ERASURE entry.

        Raises LedgerError where there is no such record (any more) or an authority holds it.
        """
        if self.kept(index) is None:
            self.store.scrub()  # what a crash kept from being so
            raise LedgerError(f"there is no record {index}, or it was erased before")
        for held, _, why in self.store.holds():
            if held == index:
                raise LedgerError(f"record {index} is held: {why}; release it first")
        one = entry.erasure(index, reason, self._now() // _DAY)
        found = self._log(one, one.described(), erased=(index,))
        self.store.scrub()
        return found

    def retain(self, keep_days: int) -> int | None:
        """Remove the records that are older, but for those on hold; return the least index kept.

        None where nothing is old enough.
        """
        now = self._now()
        young = now - keep_days * _DAY
        last = self.store.events([Kind.RETENTION])
        known = int(last[-1].detail.split()[2]) if last else 0
        first = known
        for noted in self.decisions(known):
            if young <= noted.decision.minute <= now:
                break
            if noted.decision.minute < young:  # one from a clock that was ahead holds up nothing
                first = noted.index + 1
        if first == known:
            return None
        one = entry.retention(first)
        self._log(one, one.described(), before=first)
        self.store.scrub()
        return first

    def hold(self, index: int, reason: str) -> None:
        """Keep a record from erasure and retention, as for a dispute (GDPR art. 17(3)(e), 18(2))."""
        if self.kept(index) is None:
            raise LedgerError(f"there is no record {index}, or it was erased before")
        row = (index, self._now(), reason)
        self.store.commit(lambda head, _: Batch(_there(head), {"hold": [row]}))

    def release(self, index: int) -> None:
        """Lift a hold."""
        self.store.commit(lambda head, _: Batch(_there(head), released=(index,)))

    def rotate(self) -> None:
        """Let a new secret sign from now on.

        The tree whose last entry names the new key is signed by both, so that whoever holds the old key
        can follow.
        """
        before = self._signer
        self.keys.add()
        self._hand_over(self.origin, before)

    def recover(self, *, renamed: bool) -> None:
        """Go on where the key is lost, or under a new name where an older backup was restored.

        The old key signs nothing of this: it is not there, or has signed another continuation.
        """
        if renamed:
            self.keys.add()
        name = _unused(self.keys, self.origin.partition("/~")[0]) if renamed else self.origin
        self._hand_over(name, None)

    def checkpoint_at(self, size: int) -> bytes:
        """Return the signed checkpoint of an earlier size."""
        return self._signer.sign(size, self.root(size))

    def close(self) -> None:
        """Store what is waiting, then let go of the database."""
        if self._closed:
            return
        self._closed = True
        if self._writer and self._writer[0] == os.getpid():
            self._waiting.put(None)
            self._writer[1].join()
        self._mark(force=True)
        self.store.close()

    # -- opening -----------------------------------------------------------------------------------

    def _opened(self, origin: str, *, recovering: bool = False) -> note.Signer:
        head = self.store.head()
        if head is None:
            return self._begun(_unused(self.keys, origin))
        if recovering:
            return note.Signer(head.origin, self.keys.derived("log")[0])
        for secret in reversed(self.keys.secrets):
            signer = note.Signer(head.origin, derive(secret, "log"))
            if signer.verifier.vkey == head.vkey:
                self._session = self.store.session
                self._ahead(head)
                self._newest = head
                self._seal = derive(secret, "retry")
                return signer
        raise KeyFileError(
            f"{self.keys.path}: another key signed {self.store.url} ({head.vkey}); put that key file"
            " back, or, if it is lost for good: bandeau ledger rotate --lost"
        )

    def _begun(self, origin: str) -> note.Signer:
        """Begin with an entry that names the key; where another process was quicker, its log it is."""
        signer = self._signer = note.Signer(origin, self.keys.derived("log")[0])
        vkey = signer.verifier.vkey

        def make(head: Head | None, _: Seen) -> Batch | None:
            if head:
                return None
            batch = Batch(Head(origin, Tree(), vkey, b""))
            content = entry.key(vkey).encode()
            batch.add("entry", 0, content)
            batch.add("event", 0, int(Kind.KEY), self._now(), vkey)
            self._grown(batch, batch.head, [leaf(content)])
            return batch

        self.store.commit(make)
        self.keys.reread()
        return self._opened(origin)

    def _ahead(self, head: Head) -> None:
        """Refuse a ledger that lacks what this key has signed already, here or beside the key file."""
        known = [mark] if (mark := self._mark_of(head.origin)) else []
        if self._newest and self._newest.origin == head.origin:
            known.append((self._newest.tree.size, self._newest.tree.root))
        size = self.head.tree.size  # read after the mark: others may be writing
        for signed, root in known:
            behind = signed > size
            if behind or self.root(signed) != root:
                raise LedgerError(
                    f"{self.store.url}: it was restored from a backup, or is a standby that lacks what"
                    f" was acknowledged: the log {head.origin} was signed with {signed} entries, and"
                    f" {'only ' if behind else 'other '}{size} are here. Going on would sign two"
                    " histories under one name. Put the newer ledger back, or go on under a new name:"
                    " bandeau ledger rotate --restored"
                )

    def _mark_of(self, origin: str) -> tuple[int, bytes] | None:
        mark = self.keys.mark(origin)
        try:
            known = note.Checkpoint.parse(note.parse(mark).text) if mark else None
        except note.NoteError:
            return None  # torn by a crash: it is rewritten with the next decision
        return (known.size, known.root) if known else None

    def _goes_on(self, head: Head) -> None:
        """Refuse to sign after a head that is not a continuation: who answers may be another server."""
        if self.store.session is not self._session:
            session = self.store.session
            self._ahead(head)
            self._session = session

    # -- writing -----------------------------------------------------------------------------------

    def _queue(
        self,
        decision: Decision,
        retry: Retry | None,
        tell: Tell,
        chosen: Chosen | None,
        done: Future[Stored] | asyncio.Future[Stored],
        loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        line = record.encode(decision)
        self._refer(decision)
        day = self._now() // _DAY
        self._awake()
        if self._waiting.qsize() >= QUEUE:
            raise LedgerBusyError(f"{QUEUE} decisions are waiting already")
        self._waiting.put(_Waiting(line, decision.replaces, day, retry, done, loop, tell, chosen))

    def _refer(self, decision: Decision) -> None:
        """See that a decision refers to a snapshot that was logged before it."""
        if decision.snapshot not in self._snapshots:
            known = {event.index for event in self.store.events([Kind.SNAPSHOT])}
            if decision.snapshot not in known:
                raise RecordError(f"the entry {decision.snapshot} is no snapshot")
            self._snapshots = known

    def _sealed(self, retry: Retry | None) -> tuple[_Sealed, ...]:
        if retry is None:
            return ()
        found = []
        secrets = self.keys.derived("retry")
        for secret in sorted(secrets, key=lambda one: one != self._seal):  # not all know a newer
            key = hmac.digest(secret, b"key\n" + retry.key, "sha256")
            bound = hmac.digest(secret, key + retry.bound, "sha256")
            found.append((key[:16], bound))
        return tuple(found)

    def _awake(self) -> None:
        """See that there is a writer in this process; a fork leaves its parent's behind."""
        if self._closed:
            raise LedgerError("the ledger is closed")
        here = os.getpid()
        if self._writer and self._writer[0] == here:
            return
        with self._starting:
            if self._writer and self._writer[0] == here:
                return
            if self._writer:
                self._waiting, self._busy = queue.SimpleQueue(), None
                self.store.again()
            thread = threading.Thread(target=self._run, name="bandeau-ledger", daemon=True)
            self._writer = here, thread
            thread.start()

    def _next(self) -> _Waiting | None:
        """Wait for a decision. Where none comes for a second, note how far the log is signed."""
        if self._noted is not self._newest:
            try:
                return self._waiting.get(timeout=_MARK_SECONDS)
            except queue.Empty:
                self._mark(force=True)
        return self._waiting.get()

    def _run(self) -> None:
        while (first := self._next()) is not None:
            batch, last = [first], False
            while len(batch) < BATCH and not last:
                try:
                    item = self._waiting.get_nowait()
                except queue.Empty:
                    break
                if item is None:
                    last = True
                else:
                    batch.append(item)
            self._busy = time.monotonic()
            self._commit([one for one in batch if one.wanted()])
            self._busy = None
            # Where this process fails, others may go on elsewhere: they must know how far it signed.
            self._mark(force=self._failed is not None)
            self._retain_daily()
            if last:
                return

    def _retain_daily(self) -> None:
        today = self._now() // _DAY
        if self._keep_days is None or self._retained == today:
            return
        self._retained = today
        try:
            self.retain(self._keep_days)
        except Exception as error:  # noqa: BLE001 (whatever a record holds, decisions go on)
            _log.error("old records could not be removed today: %s", error)

    def _commit(self, batch: list[_Waiting]) -> None:
        """Store a batch whole or not at all, and tell each."""
        if not batch:
            return
        results: dict[int, Stored | LedgerError] = {}
        sealed: list[tuple[_Sealed, ...]] = []
        signers: list[note.Signer] = []

        def keys() -> list[bytes]:
            signers[:] = [self._signer]  # before the secrets: a rotation may come between
            sealed[:] = [self._sealed(one.retry) for one in batch]
            return [key for replays in sealed for key, _ in replays]

        def make(head: Head | None, seen: Seen) -> Batch | None:
            results.clear()
            if self._signer is not signers[0]:
                raise _OtherKeyError(self.vkey)
            return self._made(_there(head), seen, batch, sealed, results)

        accounts = [key for one in batch if one.chosen for key in one.chosen[0].keys]
        try:
            self._tried(make, keys, accounts)
        except Exception as error:  # noqa: BLE001 (whatever it was, every visitor gets an answer)
            self._failed = str(error)
            _log.error("%d decisions were not stored: %s", len(batch), error)
            results = {n: LedgerError(f"not stored: {error}") for n in range(len(batch))}
        else:
            self._failed = None
        told: dict[asyncio.AbstractEventLoop | None, list[_Told]] = {}
        for place, one in enumerate(batch):
            told.setdefault(one.loop, []).append((one.done, results[place]))
        for loop, some in told.items():  # an event loop is woken once for all that wait in it
            if loop is None:
                _tell(some)
            else:
                with contextlib.suppress(RuntimeError):  # it is closed: nobody waits any more
                    loop.call_soon_threadsafe(_tell, some)

    def _tried(
        self,
        make: Make,
        keys: Callable[[], Sequence[bytes]] = tuple,
        accounts: Sequence[bytes] = (),
    ) -> None:
        """Commit; where another process rotated the key, read the key file again and go on with it."""
        signed: Head | None = None

        def seen(head: Head | None, replays: Seen) -> Batch | None:
            nonlocal signed
            batch = make(head, replays)
            signed = batch.head if batch else None
            return batch

        for _ in range(_ROTATIONS):
            try:
                self.store.commit(seen, keys(), accounts)
            except _OtherKeyError:
                self.keys.reread()
                self._signer = self._opened(self.origin)
            else:
                self._newest = signed or self._newest
                return
        raise LedgerError("the log's key changes faster than it can be read")

    def _made(
        self,
        head: Head,
        seen: Seen,
        waiting: list[_Waiting],
        sealed: list[tuple[_Sealed, ...]],  # the retries by each secret, the newest first
        results: dict[int, Stored | LedgerError],
    ) -> Batch | None:
        """Turn what waits into one batch; a retry of what is stored already gets the same answer."""
        if head.vkey != self._signer.verifier.vkey:
            raise _OtherKeyError(head.vkey)
        self._goes_on(head)
        batch, index, now = Batch(head), head.tree.size, self._now()
        salts = os.urandom(SALT * len(waiting))
        new: list[tuple[int, bytes]] = []  # places in what waits, and salts
        leaves: list[bytes] = []
        entries, records, salted = (batch.rows.setdefault(table, []) for table in _OF_A_DECISION)
        first: dict[bytes, int] = {}  # a retry's key to the place where it came first
        repeated: list[tuple[int, int]] = []
        standing = {key: at for key, (_, at) in seen.accounts.items()}
        choices: dict[bytes, tuple[str, int, int]] = {}
        for place, one in enumerate(waiting):
            replays = sealed[place]
            known = [(seen.replays[key], bound) for key, bound in replays if key in seen.replays]
            now_at: int | None = None
            if one.chosen:
                keys = one.chosen[0].keys
                now_at = max((standing[key] for key in keys if key in standing), default=None)
            if known:
                moved = one.chosen and now_at != known[0][0].index  # what it repeats holds no more
                results[place] = _conflict() if moved else self._replayed(*known[0])
                continue
            if replays and replays[0][0] in first:
                repeated.append((place, first[replays[0][0]]))
                continue
            if one.replaces is not None and one.replaces >= index:
                results[place] = LedgerError(f"there is no decision {one.replaces} to replace")
                continue
            if one.chosen:
                account, value = one.chosen
                if now_at != account.index:
                    results[place] = MovedError("the account has chosen something else meanwhile")
                    continue
                standing[account.keys[0]] = index
                choices[account.keys[0]] = (value, index, now)
                batch.left = [*batch.left, *account.keys[1:]]
            if replays:
                first[replays[0][0]] = place
            salt = salts[SALT * place : SALT * (place + 1)]
            content = entry.decision(one.record, salt).encode()
            entries.append((index, content))
            records.append((index, one.record, one.replaces))
            salted.append((index, salt))
            new.append((place, salt))
            leaves.append(leaf(content))
            for partner, detail in one.tell:
                batch.add("outbox", index, partner, now, detail, now, 0)
            index += 1
        if not leaves:
            return None
        batch.rows["tally"] = tally.rows(tally.counted(row[1] for row in records))
        growth = self._grown(batch, head, leaves)
        for at, (place, salt) in enumerate(new, head.tree.size):
            one = waiting[place]
            receipt = partial(_proved, growth, at, one.record, salt, batch.head.checkpoint)
            results[place] = Stored(at, receipt)
            if sealed[place]:
                key, bound = sealed[place][0]
                size = growth.tree.size
                batch.add("replay", key, _tied(bound, at, size), at, size, one.day)
        for place, earlier in repeated:
            same = sealed[place] == sealed[earlier]
            results[place] = results[earlier] if same else _conflict()
        for key, row in choices.items():
            batch.add("account", key, *row)
        today = waiting[0].day
        if self._forgotten != today:
            self._forgotten, batch.forget = today, today - REPLAY_DAYS
            if self._valid_days:
                batch.lapsed = now - self._valid_days * _DAY
        return batch

    def _grown(
        self, batch: Batch, head: Head, leaves: list[bytes], signer: note.Signer | None = None
    ) -> Growth:
        """Grow the tree, and put nodes and head of it into the batch."""
        signer = signer or self._signer
        growth = grow(head.tree, leaves)
        for level in range(8, len(growth.levels), 8):
            for n, found in growth.new_nodes(level, head.tree.size):
                batch.add("node", level, n, found)
        signed = signer.sign(growth.tree.size, growth.tree.root)
        verifier = signer.verifier
        batch.head = Head(verifier.name, growth.tree, verifier.vkey, signed)
        return growth

    def _replayed(self, known: Replay, bound: bytes) -> Stored | LedgerError:
        if not hmac.compare_digest(known.bound, _tied(bound, known.index, known.size)):
            return _conflict()

        def receipt() -> Receipt:
            kept = self.kept(known.index)
            if kept is None:
                raise LedgerError(f"record {known.index} was erased")
            path = self.path(known.index, known.size)
            checkpoint = self.checkpoint_at(known.size)
            return Receipt(known.index, kept.record, kept.salt, path, checkpoint)

        return Stored(known.index, receipt)

    def _log(self, one: Entry, detail: str, *, erased: Sequence[int] = (), before: int = 0) -> int:
        """Log an entry that is no decision, and return its index."""
        return self._logged(lambda _: one, detail, erased=erased, before=before)

    def _logged(
        self,
        entry_at: Callable[[int], Entry],
        detail: str,
        *,
        erased: Sequence[int] = (),
        before: int = 0,
        document: bytes | None = None,
    ) -> int:
        found = -1

        def make(head: Head | None, _: Seen) -> Batch:
            nonlocal found
            there = _there(head)
            if there.vkey != self._signer.verifier.vkey:
                raise _OtherKeyError(there.vkey)
            self._goes_on(there)
            found = there.tree.size
            one = entry_at(found)
            content = one.encode()
            batch = Batch(there, erased=erased, before=before)
            if erased or before:
                gone = tally.counted(self._removed(erased, before))
                batch.rows["tally"] = tally.rows(Counter(), gone)
            batch.add("entry", found, content)
            batch.add("event", found, int(one.kind), self._now(), detail)
            if document is not None:
                batch.add("document", hashlib.sha256(document).hexdigest(), found, document)
            self._grown(batch, there, [leaf(content)])
            return batch

        self._tried(make)
        return found

    def _removed(self, erased: Sequence[int], before: int) -> Iterator[bytes]:
        """Return the records that a batch removes, while the head is held."""
        for index in erased:
            kept = self.kept(index)
            if kept is None:
                raise LedgerError(f"there is no record {index}, or it was erased before")
            yield kept.record
        held = {index for index, _, _ in self.store.holds()}
        yield from (kept.record for kept in self.left(0, before) if kept.index not in held)

    def _keep(self, make: Callable[[bytes], Entry], content: bytes, word: str) -> int:
        digest = hashlib.sha256(content)
        known = self.store.document(digest.hexdigest())
        if known:
            return known[0]
        one = make(digest.digest())
        return self._logged(lambda _: one, f"{word} {digest.hexdigest()}", document=content)

    def _hand_over(self, name: str, old: note.Signer | None) -> None:
        """Log the key that signs from now on, in one step with what it signs first."""
        secret = self.keys.secrets[-1]
        new = note.Signer(name, derive(secret, "log"))
        vkey = new.verifier.vkey
        found: Head | None = None

        def make(head: Head | None, _: Seen) -> Batch:
            nonlocal found
            there = _there(head)
            if old:
                if there.vkey != old.verifier.vkey:
                    raise _OtherKeyError(there.vkey)
                self._goes_on(there)
            batch = Batch(there)
            content = entry.key(vkey).encode()
            batch.add("entry", there.tree.size, content)
            batch.add("event", there.tree.size, int(Kind.KEY), self._now(), vkey)
            self._grown(batch, there, [leaf(content)], new)
            if old:
                tree = batch.head.tree
                signed = note.parse(old.sign(tree.size, tree.root))
                both = (*note.parse(batch.head.checkpoint).signatures, *signed.signatures)
                checkpoint = note.Note(signed.text, both).encode()
                batch.head = Head(name, tree, vkey, checkpoint)
            found = batch.head
            return batch

        self.store.commit(make)
        self._newest = found
        self._signer, self._seal = new, derive(secret, "retry")

    def _mark(self, *, force: bool = False) -> None:
        """Note beside the key file how far it has signed, once a second; never less than is there."""
        now, newest = time.monotonic(), self._newest
        if newest is None or (not force and now - self._marked < _MARK_SECONDS):
            return
        self._marked, self._noted = now, newest
        try:
            with self.keys.alone():
                known = self._mark_of(newest.origin)
                if known is None or known[0] < newest.tree.size:
                    self.keys.set_mark(newest.origin, newest.checkpoint)
        except (OSError, LedgerError) as error:
            _log.warning("how far the log is signed could not be noted beside the key: %s", error)


class _OtherKeyError(LedgerError):
    """Another process has put the log under another key."""


def _proved(growth: Growth, index: int, line: bytes, salt: bytes, checkpoint: bytes) -> Receipt:
    """Make a receipt when somebody asks for it: paths cost more than entries."""
    path = tuple(inclusion(index, growth.tree.size, growth.node))
    return Receipt(index, line, salt, path, checkpoint)


_Told = tuple[Future[Stored] | asyncio.Future[Stored], Stored | LedgerError]


def _tell(told: Sequence[_Told]) -> None:
    """Answer those who still wait."""
    for done, found in told:
        if done.done():
            continue
        if isinstance(found, Stored):
            done.set_result(found)
        else:
            done.set_exception(found)


def _there(head: Head | None) -> Head:
    if head is None:
        raise LedgerError("the log's head is gone")
    return head


def _tied(bound: bytes, index: int, size: int) -> bytes:
    """Tie a retry to its answer, so that a row that was changed gives nobody another's record."""
    return hmac.digest(bound, b"%d %d" % (index, size), "sha256")[:16]


def _conflict() -> ConflictError:
    return ConflictError("this idempotency key came before with another request")


def _unused(keys: Keys, origin: str) -> str:
    """Return a name that this key has signed nothing under: `origin`, or with /~2 and so on."""
    name, number = origin, 2
    while keys.mark(name) is not None:
        name, number = f"{origin}/~{number}", number + 1
    return name
