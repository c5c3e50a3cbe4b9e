"""Faults for a ledger on SQLite: a disk that forgets, a process that dies at a chosen point, a judge.

`Disk` remembers every write of a run and gives the files that a loss of power would have left. Run as
a script, this module is the process that gets killed: clients that append and say on standard output
what was acknowledged. `judge` holds what is in a ledger against all that it has acknowledged.
"""

from __future__ import annotations

import base64
import contextlib
import itertools
import os
import random
import signal
import sqlite3
import stat
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, Literal, Self
from unittest import mock

import apsw

from bandeau.decision.model import Decision, Event
from bandeau.errors import LedgerError
from bandeau.ledger import entry, receipt, record
from bandeau.ledger import ledger as writing
from bandeau.ledger.entry import Kind, Reason
from bandeau.ledger.keys import Keys
from bandeau.ledger.ledger import Ledger, Retry
from bandeau.ledger.log import Log
from bandeau.ledger.note import Verifier
from bandeau.ledger.receipt import Receipt, ReceiptError
from bandeau.ledger.sqlite import SqliteStore
from bandeau.ledger.tree import Tree, grow, leaf

PROVE = bool(os.environ.get("BANDEAU_PROVE"))
ORIGIN = "www.own.example/_b/log"
DATABASE, KEY = "bandeau.db", "bandeau.key"
SHOWN = b'{"notice": "what visitors are shown"}'
OLD, NOW = 29_000_000, 29_900_000  # minutes since 1970; more than a year apart
CLIENTS = 32
AGED = 3  # of each client of a process, so many decisions come first and are old
SECTOR = 512  # bytes; what a disk writes whole


# -- ledgers and decisions ---------------------------------------------------------------------------


def at(folder: Path, now: Callable[[], int] = lambda: NOW) -> Ledger:
    """Open the ledger in a folder, or begin it, as a site does."""
    store = SqliteStore(folder / DATABASE)
    try:
        return Ledger(store, Keys(folder / KEY, new=store.head() is None), ORIGIN, now=now)
    except BaseException:
        store.close()
        raise


def decision(snapshot: int, name: str, minute: int = NOW, replaces: int | None = None) -> Decision:
    """Make a decision that can be told from all others: its purpose bears a name of its own."""
    choices = ((name, True),)
    return Decision(
        minute, Event.CUSTOM, choices, "fr", signal=False, snapshot=snapshot, replaces=replaces
    )


def numbered(snapshot: int, label: str, number: int) -> tuple[str, Decision]:
    """Make the decision that a client makes in a place of its own, and its name."""
    name = f"{label}-{number}"
    return name, decision(snapshot, name, OLD if number < AGED else NOW)


def name_in(line: bytes) -> str:
    """Read the name of a decision out of its record."""
    return record.parse(line).choices[0][0]


def retry(name: str) -> Retry:
    """Make what a decision is repeated with."""
    return Retry(name.encode(), b"bound to " + name.encode())


@contextlib.contextmanager
def quick_folder() -> Iterator[Path]:
    """Give a folder in memory, where there is one; what lies in it has lost its power before."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if os.access(memory, os.W_OK) else None) as found:
        yield Path(found)


def show(what: str, figures: Mapping[str, int], begun: float) -> None:
    """Say figures (pytest -s lets them be seen)."""
    sys.stdout.write(f"\n{what}: {dict(figures)} in {time.monotonic() - begun:.0f} s\n")


# -- the judge ---------------------------------------------------------------------------------------


@dataclass
class Told:
    """What a ledger has said, and what it was asked to remove."""

    receipts: dict[str, Receipt] = field(default_factory=dict)  # by the decision's name
    asked: set[int] = field(default_factory=set)  # erasures that were begun
    retaining: bool = False  # a removal of old records was begun
    gone: set[int] = field(default_factory=set)  # records whose removal was acknowledged
    known: list[str] = field(default_factory=list)  # decisions whose retries are recognised
    faults: list[str] = field(default_factory=list)  # errors where there should be none

    def may_miss(self, index: int, kept_from: int) -> bool:
        """Say whether a record's removal was at least asked for."""
        return index in self.asked or (self.retaining and index < kept_from)


@dataclass
class Verdict:
    """What a ledger has done wrong, in words."""

    lost: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    fsck: list[str] = field(default_factory=list)

    @property
    def faults(self) -> list[str]:
        """All of it."""
        return [f"{word}: {one}" for word, found in vars(self).items() for one in found]


def judge(log: Log, told: Told) -> Verdict:
    """Hold a ledger against all that it has said."""
    verdict = Verdict(fsck=log.fsck())
    head = log.head
    entries = log.store.entries(0, head.tree.size)
    kept = {one.index: one for one in log.store.records(0, head.tree.size)}
    parsed = [entry.Entry.parse(one) for one in entries]
    erased = {entry.erased(one)[0] for one in parsed if one.kind is Kind.ERASURE}
    kept_from = max(
        (entry.kept_from(one) for one in parsed if one.kind is Kind.RETENTION), default=0
    )
    for name, one in told.receipts.items():
        found = kept.get(one.index)
        if one.index >= len(entries):
            verdict.lost.append(f"{name}: no entry {one.index} in a log of {len(entries)}")
        elif entries[one.index] != entry.decision(one.record, one.salt).encode():
            verdict.wrong.append(f"{name}: entry {one.index} is another")
        elif found is None:
            logged = one.index in erased or one.index < kept_from
            if not (logged and told.may_miss(one.index, kept_from)):
                verdict.lost.append(f"{name}: record {one.index} is gone")
        elif (found.record, found.salt) != (one.record, one.salt):
            verdict.wrong.append(f"{name}: record {one.index} is another")
        elif one.index in told.gone:
            verdict.wrong.append(f"{name}: record {one.index} was removed and is there")
    keys = [one.body.decode() for one in parsed if one.kind is Kind.KEY]
    if keys[-1:] != [head.vkey]:
        verdict.wrong.append("the key that the log names last is not the one that signs")
    verdict.wrong += _disproved(told, entries, tuple(keys))
    names = Counter(name_in(one.record) for one in kept.values())
    verdict.doubled += [
        f"{name} is there {times} times" for name, times in names.items() if times > 1
    ]
    places = Counter(one.index for one in told.receipts.values())
    verdict.doubled += [
        f"{index} was given out twice" for index, times in places.items() if times > 1
    ]
    return verdict


def _disproved(told: Told, entries: Sequence[bytes], keys: tuple[str, ...]) -> Iterator[str]:
    """Name the receipts that prove nothing, and those whose checkpoint is not one of this log."""
    signed: dict[tuple[int, bytes], str] = {}
    for name, one in told.receipts.items():
        try:
            signed.setdefault(_proven(one, name, keys), name)
        except ReceiptError as error:
            yield f"{name}: {error}"
    tree = Tree()
    for size, root in sorted(signed):
        tree = grow(tree, [leaf(one) for one in entries[tree.size : size]]).tree
        if (tree.size, tree.root) != (size, root):
            yield f"{signed[size, root]}: its checkpoint of {size} is not one of this log"


@lru_cache(maxsize=100_000)  # it depends on nothing else, and the same are asked for at every cut
def _proven(one: Receipt, name: str, keys: tuple[str, ...]) -> tuple[int, bytes]:
    if name_in(one.record) != name:
        raise ReceiptError(f"the receipt is of {name_in(one.record)}")
    checkpoint = receipt.check(one, [Verifier.parse(key) for key in keys])
    return checkpoint.size, checkpoint.root


# -- a disk that forgets -----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Step:
    """Something that was done to a file."""

    file: str
    kind: Literal["write", "truncate", "delete", "sync", "put", "folder"]
    place: int = 0  # of a write; a truncated file's length; 1 for a put file that was synced before
    data: bytes = b""


Files = dict[str, bytearray]
Say = Callable[[Told], None]


class Disk(apsw.VFS):
    """A VFS that writes down what SQLite does, and what the key file and its marks go through.

    The -shm file is memory that processes share; it is never synced, so garbage stands for it.
    `synchronous` stands in for what the ledger asks for: how a test sees that it can fail.
    """

    def __init__(self, synchronous: str | None = None) -> None:
        self.steps: list[Step | Say] = []
        self._named = f"disk-{id(self)}"
        self._synchronous = synchronous
        self._synced: set[int] = set()  # inodes
        super().__init__(self._named, "unix")

    def xOpen(self, name: Any, flags: list[int]) -> apsw.VFSFile:
        return _Recorded(self, name, flags)

    def xDelete(self, filename: str, syncdir: bool) -> None:
        super().xDelete(filename, syncdir)
        self.steps.append(Step(Path(filename).name, "delete"))
        if syncdir:
            self.steps.append(Step(Path(filename).name, "sync"))

    def say(self, words: Callable[..., None], *values: Any) -> None:
        """Write down that the ledger has said something by now."""
        self.steps.append(lambda told: words(told, *values))

    @contextlib.contextmanager
    def recording(self) -> Iterator[None]:
        """Let every connection of the standard library's `sqlite3` be one to this disk."""

        def connect(path: Path, timeout: float, **_: Any) -> _Connection:
            return _Connection(path, timeout, self._named, self._synchronous)

        fsync = os.fsync

        def synced(descriptor: int) -> None:
            fsync(descriptor)
            found = os.fstat(descriptor)
            self._synced.add(found.st_ino)
            if stat.S_ISDIR(found.st_mode):
                self.steps.append(Step("", "folder"))

        with (
            mock.patch.object(sqlite3, "connect", connect),
            mock.patch.object(os, "fsync", synced),
            mock.patch.object(os, "replace", self._putting(os.replace)),
            mock.patch.object(os, "link", self._putting(os.link)),
        ):
            yield

    def _putting(self, call: Callable[[Path, Path], None]) -> Callable[[Path, Path], None]:
        def put(source: Path, target: Path) -> None:
            found = source.stat()
            data = source.read_bytes()
            call(source, target)
            self.steps.append(Step(target.name, "put", int(found.st_ino in self._synced), data))

        return put

    def cuts(self) -> Iterator[tuple[int, Told, Callable[[random.Random | None], Files]]]:
        """Cut the power after each step: its number, what was said by then, and what may be left."""
        told = Told()
        safe: Files = {}
        pending: list[Step] = []
        for number, step in enumerate(self.steps):
            if not isinstance(step, Step):
                step(told)
                continue
            if step.kind == "sync":
                _apply(safe, [one for one in pending if one.file == step.file])
                pending = [one for one in pending if one.file != step.file]
            elif step.kind == "folder":
                for gone in {one.file for one in pending if one.kind == "delete"}:
                    while any((one.file, one.kind) == (gone, "delete") for one in pending):
                        first = next(one for one in pending if one.file == gone)
                        _apply(safe, [first])
                        pending.remove(first)
            elif step.kind == "put" and step.place:
                _apply(safe, [step])
            else:
                pending.append(step)
            yield number, told, partial(_left, safe, tuple(pending))


class _Recorded(apsw.VFSFile):
    def __init__(self, disk: Disk, name: Any, flags: list[int]) -> None:
        path = Path(name.filename() if isinstance(name, apsw.URIFilename) else name or "")
        self._name = path.name
        self._steps = disk.steps
        # SQLite syncs the folder of a new journal or WAL along with the file itself, the first time.
        kinds = apsw.SQLITE_OPEN_MAIN_JOURNAL | apsw.SQLITE_OPEN_WAL
        self._new = bool(flags[0] & kinds) and not path.exists()
        super().__init__("unix", name, flags)

    def xWrite(self, data: bytes, offset: int) -> None:
        super().xWrite(data, offset)
        self._steps.append(Step(self._name, "write", offset, bytes(data)))

    def xTruncate(self, newsize: int) -> None:
        super().xTruncate(newsize)
        self._steps.append(Step(self._name, "truncate", newsize))

    def xSync(self, flags: int) -> None:
        super().xSync(flags)
        self._steps.append(Step(self._name, "sync"))
        if self._new:
            self._new = False
            self._steps.append(Step("", "folder"))


class _Rows(list[Any]):
    """A statement's rows, and how many it changed, as the standard library's cursor has them."""

    rowcount = -1

    def fetchone(self) -> Any:
        return self[0] if self else None

    def fetchall(self) -> list[Any]:
        return list(self)


class _Connection:
    """A connection of `apsw` that behaves as one of `sqlite3`, as far as a ledger goes."""

    def __init__(self, path: Path, timeout: float, vfs: str, synchronous: str | None) -> None:
        self._database = apsw.Connection(str(path), vfs=vfs)
        self._database.set_busy_timeout(int(timeout * 1000))
        self._database.execute("PRAGMA wal_autocheckpoint=40")  # pages; so that there are many
        self._synchronous = synchronous

    def execute(self, sql: str, values: Sequence[Any] = ()) -> _Rows:
        if self._synchronous and sql.startswith("PRAGMA synchronous"):
            sql = f"PRAGMA synchronous={self._synchronous}"
        found = _Rows(self._database.execute(sql, values))
        found.rowcount = self._database.changes()
        return found

    def executemany(self, sql: str, rows: Sequence[Sequence[Any]]) -> None:
        self._database.executemany(sql, rows)

    @property
    def in_transaction(self) -> bool:
        return self._database.in_transaction

    def close(self) -> None:
        self._database.close()


def _apply(files: Files, steps: Sequence[Step]) -> None:
    for step in steps:
        match step.kind:
            case "put":
                files[step.file] = bytearray(step.data)
            case "delete":
                files.pop(step.file, None)
            case "truncate":
                found = files.setdefault(step.file, bytearray())
                del found[step.place :]
                found.extend(bytes(step.place - len(found)))
            case "write":
                found = files.setdefault(step.file, bytearray())
                found.extend(bytes(max(0, step.place - len(found))))
                found[step.place : step.place + len(step.data)] = step.data


def _left(safe: Files, pending: Sequence[Step], chance: random.Random | None) -> Files:
    """Return what is on the disk: what was synced, and by chance some of what was not."""
    files = {name: bytearray(content) for name, content in safe.items()}
    if chance:
        _apply(files, [part for step in pending for part in _parts(step, chance)])
        files[f"{DATABASE}-shm"] = bytearray(chance.randbytes(32_768))
    return files


def _parts(step: Step, chance: random.Random) -> Iterator[Step]:
    luck = chance.random()
    if step.kind == "put" and luck < 0.6:  # renamed, before its bytes were written
        yield Step(step.file, "put", data=step.data[: chance.choice((0, len(step.data) // 2))])
    elif luck < 0.4 or (step.kind != "write" and luck < 0.7):
        yield step
    elif step.kind == "write" and luck < 0.6:
        low, end = step.place, step.place + len(step.data)
        while low < end:
            high = min(end, low - low % SECTOR + SECTOR)
            if chance.random() < 0.5:
                yield Step(step.file, "write", low, step.data[low - step.place : high - step.place])
            low = high


# -- a process that is killed ------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Point:
    """Where a process dies: at a statement (before, within, after it), or at a call."""

    words: str
    when: Literal["before", "within", "after"] = "before"
    statement: str = ""
    call: tuple[Any, str] | None = None
    ending: str = ""  # of the file's name that the call is about
    task: Literal["", "erase", "retain", "rotate", "scrub"] = ""  # what goes on meanwhile


_CUT = "PRAGMA wal_checkpoint"
POINTS = {
    "begun": Point("within a transaction", statement="UPDATE head"),
    "commit": Point("before COMMIT", statement="COMMIT"),
    "committing": Point("within COMMIT", "within", "COMMIT"),
    "answer": Point("between COMMIT and the answer", "after", "COMMIT"),
    "mark": Point("half of a mark is written", call=(Path, "write_bytes"), ending=""),
    "marked": Point("a mark is written, not in place", call=(Path, "replace"), ending=".mark"),
    "erase": Point("an erasure is stored, not scrubbed", "before", _CUT, task="erase"),
    "retain": Point("old records are removed, not scrubbed", "before", _CUT, task="retain"),
    "checkpoint": Point("within a checkpoint of the WAL", "within", _CUT, task="scrub"),
    "erased": Point("an erasure is scrubbed, not answered", "after", _CUT, task="erase"),
    "secret": Point(
        "a new secret is written, not in place", call=(Path, "replace"), ending=KEY, task="rotate"
    ),
    "rotate": Point(
        "a new secret is in place, not in the log", call=(Ledger, "_hand_over"), task="rotate"
    ),
    "rotated": Point(
        "a new key is in the log, not answered", "after", call=(Ledger, "_hand_over"), task="rotate"
    ),
}


class Child:
    """A process that writes a ledger with many clients until it dies; what it said is kept."""

    def __init__(self, folder: Path, label: str, point: str = "", passes: int = 0) -> None:
        self.label = label
        self.lines: list[str] = []
        self._news = threading.Condition()
        self._over = False
        self._process = subprocess.Popen(
            [sys.executable, __file__, str(folder), label, point, str(passes)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def wait(self, word: str, times: int = 1, seconds: float = 30) -> bool:
        """Wait until a word was said so many times; False when the process has ended before."""
        with self._news:
            self._news.wait_for(lambda: self.said(word) >= times or self._over, seconds)
            return self.said(word) >= times

    def said(self, word: str) -> int:
        """Count how many times a word was said."""
        return sum(line.startswith(f"{word} ") for line in tuple(self.lines))

    def kill(self) -> None:
        """Kill it, if it still lives, and hear all that it has said."""
        self._process.kill()
        self.join()

    def stop(self) -> None:
        """Let it end as it wants to."""
        assert self._process.stdin
        self._process.stdin.close()
        self.join()

    def join(self) -> int:
        """Wait for its end, and return how it ended: -9 for a kill."""
        code = self._process.wait(60)
        self._reader.join()
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe
            pipe.close()
        return code

    def tell(self, told: Told) -> None:
        """Add all that it has said."""
        for line in self.lines:
            word, *values = line.split(" ")
            match word:
                case "ack":
                    told.receipts[values[0]] = receipt.parse(base64.b64decode(values[1]))
                case "erasing":
                    told.asked.add(int(values[0]))
                case "erased":
                    told.gone.add(int(values[0]))
                case "retaining":
                    told.retaining = True
                case "retained":
                    told.gone.update(
                        one.index for one in told.receipts.values() if one.index < int(values[0])
                    )
                case "fault":
                    told.faults.append(line)

    def _read(self) -> None:
        assert self._process.stdout
        for line in self._process.stdout:
            with self._news:
                self.lines += [line.rstrip("\n")] if line.endswith("\n") else []
                self._news.notify_all()
        with self._news:
            self._over = True
            self._news.notify_all()


def say(*words: object) -> None:
    """Say a line, whole or not at all (a pipe takes up to 4,096 bytes at once)."""
    line = " ".join(map(str, words)).encode() + b"\n"
    assert len(line) <= 4096
    os.write(1, line)


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _die_soon() -> None:
    """Die within the next milliseconds, whatever the caller is at by then."""
    threading.Timer(random.uniform(0, 0.004), _die).start()


class _Deadly:
    """Counts how often a point was passed, and dies there in the end."""

    def __init__(self, point: Point, passes: int) -> None:
        self._point, self._passes = point, passes
        self.armed = not point.task

    def reached(self) -> bool:
        """Say whether it is time."""
        self._passes -= self.armed
        return self._passes < 0

    def connection(self) -> type[sqlite3.Connection]:
        """Return a kind of connection that dies at the point's statement."""
        deadly, point = self, self._point

        class Connection(sqlite3.Connection):
            def execute(self, sql: str, *values: Any) -> sqlite3.Cursor:
                now = sql.lstrip().startswith(point.statement) and deadly.reached()
                if now and point.when == "before":
                    _die()
                if now and point.when == "within":
                    _die_soon()
                found = super().execute(sql, *values)
                if now:
                    _die()
                return found

        return Connection

    def call(self, original: Callable[..., Any]) -> Callable[..., Any]:
        """Return a function that dies at the point instead of, or after, doing its work."""

        def called(one: Any, *values: Any) -> Any:
            if not str(values[0]).endswith(self._point.ending) or not self.reached():
                return original(one, *values)
            if isinstance(values[0], bytes):
                original(one, values[0][: len(values[0]) // 2])
            elif self._point.when == "after":
                original(one, *values)
            _die()
            return None

        return called


def _client(ledger: Ledger, snapshot: int, label: str, ending: threading.Event) -> None:
    for number in itertools.count():
        if ending.is_set():
            return
        name, made = numbered(snapshot, label, number)
        try:
            stored = ledger.append(made, retry(name))
        except LedgerError as error:
            say("fault", name, error)
            continue
        say("ack", name, base64.b64encode(stored.receipt().encode()).decode())
        _INDEXES.append(stored.index)


_INDEXES: list[int] = []  # of what was acknowledged, to choose from


def _work(ledger: Ledger, task: str, ending: threading.Event) -> None:
    """Do what the point is about, again and again, while the clients go on."""
    while task and not ending.wait(0.02):
        match task:
            case "erase" if len(_INDEXES) > CLIENTS * AGED:
                index = _INDEXES.pop(random.randrange(len(_INDEXES)))
                say("erasing", index)
                ledger.erase(index, Reason.REQUEST)
                say("erased", index)
            case "retain" if len(_INDEXES) > CLIENTS:
                say("retaining", "")
                say("retained", ledger.retain(100) or 0)
            case "scrub":
                ledger.store.scrub()
            case "rotate" if len(_INDEXES) > CLIENTS:
                ledger.rotate()


def main(folder: str, label: str, named: str, passes: str) -> None:
    """Write a ledger with many clients, until standard input ends or a point is reached."""
    point = POINTS.get(named, Point("nowhere"))
    deadly = _Deadly(point, int(passes))
    with contextlib.ExitStack() as stack:
        if point.statement:
            connect = partial(sqlite3.connect, factory=deadly.connection())
            stack.enter_context(mock.patch.object(sqlite3, "connect", connect))
        if point.call:
            original = getattr(*point.call)
            stack.enter_context(mock.patch.object(*point.call, deadly.call(original)))
            stack.enter_context(mock.patch.object(writing, "_MARK_SECONDS", 0.0))
        ledger = at(Path(folder))
        snapshot = ledger.snapshot(SHOWN)
        say("ready", "")
        ending = threading.Event()
        clients = [
            threading.Thread(target=_client, args=(ledger, snapshot, f"{label}-{n}", ending))
            for n in range(CLIENTS)
        ]
        for one in clients:
            one.start()
        deadly.armed = True
        worker = threading.Thread(target=_work, args=(ledger, point.task, ending))
        worker.start()
        sys.stdin.read()
        ending.set()
        for one in (*clients, worker):
            one.join()
        ledger.close()
        say("closed", "")


if __name__ == "__main__":
    main(*sys.argv[1:])
