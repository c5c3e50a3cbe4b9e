"""Writers and servers that die, sleep or lose their connection: nothing acknowledged is lost or doubled.

Short by default; with BANDEAU_PROVE=1 some hundred kills, and writers that sleep for 30 seconds.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from bandeau.decision.model import Decision, Event
from bandeau.errors import LedgerError
from bandeau.ledger import postgres, receipt
from bandeau.ledger.keys import Keys
from bandeau.ledger.ledger import Ledger, Stored
from bandeau.ledger.note import Verifier
from bandeau.ledger.place import store_at
from ledger.postgres_server import server

ORIGIN = "www.own.example/_b/log"
PROVE = bool(os.environ.get("BANDEAU_PROVE"))
PATIENCE = 60.0  # seconds, for what takes a moment on an idle machine

# Decides until its input ends; says which decision is at which index.
_WRITER = """
import os, sys, threading
from pathlib import Path
from bandeau.decision.model import Decision, Event
from bandeau.errors import LedgerError
from bandeau.ledger import postgres
from bandeau.ledger.keys import Keys
from bandeau.ledger.ledger import Ledger
from bandeau.ledger.place import store_at

url, key, name, threads, patience = sys.argv[1:]
postgres._SETTINGS["lock_timeout"] = patience
ledger = Ledger(store_at(url), Keys(Path(key)), "www.own.example/_b/log")
over = threading.Event()

def write(thread):
    n = 0
    while not over.is_set():
        purpose, n = f"{name}-{thread}-{n}", n + 1
        made = Decision(29_926_765, Event.ADD, ((purpose, True),), "fr", signal=False, snapshot=1)
        try:
            said = f"{ledger.append(made).index} {purpose}"
        except LedgerError as error:
            said = f"failed {error}"
        os.write(1, said.encode() + b"\\n")
        over.wait(0.005)

workers = [threading.Thread(target=write, args=(n,)) for n in range(int(threads))]
for worker in workers:
    worker.start()
sys.stdin.read()
over.set()
for worker in workers:
    worker.join()
ledger.close()
"""


class Writer:
    """A process that writes from some threads, and what was acknowledged to it."""

    def __init__(self, url: str, key: Path, name: str, threads: int = 4) -> None:
        self.acknowledged: dict[str, int] = {}
        self.failures: list[str] = []
        self.process = subprocess.Popen(
            [sys.executable, "-c", _WRITER, url, str(key), name, str(threads),
             "3s" if PROVE else "600ms"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout
        for line in self.process.stdout:
            index, _, purpose = line.rstrip("\n").partition(" ")
            if index == "failed":
                self.failures.append(purpose)
            elif line.endswith("\n"):
                self.acknowledged[purpose] = int(index)

    def writes(self, more: int = 20) -> None:
        """Wait until some more decisions were acknowledged."""
        wanted = len(self.acknowledged) + more
        deadline = time.monotonic() + PATIENCE
        while len(self.acknowledged) < wanted:
            assert time.monotonic() < deadline, self.failures[-1:]
            assert self.process.poll() is None
            time.sleep(0.005)

    def kill(self) -> None:
        self.process.kill()
        self._ended()

    def close(self) -> None:
        if self.process.poll() is None:
            assert self.process.stdin
            self.process.stdin.close()
            assert self.process.wait(PATIENCE) == 0
            self._ended()

    def _ended(self) -> None:
        self.process.wait(PATIENCE)
        self._reader.join()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe:
                pipe.close()


class Log:
    """A log that several processes write."""

    def __init__(self, url: str, key: Path) -> None:
        self.url, self.key = url, key
        self.writers: list[Writer] = []
        with self.opened() as ledger:
            assert ledger.snapshot(b"shown") == 1

    @contextlib.contextmanager
    def opened(self, url: str = "") -> Iterator[Ledger]:
        ledger = Ledger(store_at(url or self.url), Keys(self.key, new=True), ORIGIN)
        try:
            yield ledger
        finally:
            ledger.close()

    def writer(self, name: str, threads: int = 4) -> Writer:
        mark = f"?application_name={name}" if self.url.startswith("postgres") else ""
        self.writers.append(Writer(self.url + mark, self.key, name, threads))
        return self.writers[-1]

    def close(self) -> None:
        for writer in self.writers:
            writer.kill()

    def check(self) -> None:
        """End the writers; see that each acknowledged decision is where it was said to be, once."""
        for writer in self.writers:
            writer.close()
        found = defaultdict(list)
        with self.opened() as ledger:
            for noted in ledger.decisions():
                found[noted.decision.choices[0][0]].append(noted.index)
            assert ledger.head.tree.size == 2 + len(found)
            assert ledger.fsck() == []
        assert all(len(indexes) == 1 for indexes in found.values())
        acknowledged = 0
        for writer in self.writers:
            for purpose, index in writer.acknowledged.items():
                assert found[purpose] == [index]
                acknowledged += 1
        assert acknowledged > 0


@pytest.fixture
def pg(tmp_path: Path) -> Iterator[Log]:
    with server().database() as url:
        made = Log(url, tmp_path / "bandeau.key")
        yield made
        made.close()


@pytest.fixture(params=["sqlite", "postgres"])
def log(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Log]:
    if request.param == "postgres":
        yield request.getfixturevalue("pg")
        return
    made = Log(f"sqlite:///{tmp_path / 'l.db'}", tmp_path / "bandeau.key")
    yield made
    made.close()


def decision(purpose: str) -> Decision:
    return Decision(29_926_765, Event.ADD, ((purpose, True),), "fr", signal=False, snapshot=1)


def verified(ledger: Ledger, stored: Stored) -> None:
    read = receipt.parse(stored.receipt().encode())
    receipt.check(read, [Verifier.parse(ledger.vkey)])


# -- processes -------------------------------------------------------------------------------------


def test_several_processes_write_one_log_without_a_gap(log: Log) -> None:
    writers = [log.writer(f"p{n}") for n in range(4 if PROVE else 3)]
    for writer in writers:
        writer.writes(2000 if PROVE else 20)
    log.check()
    assert not any(writer.failures for writer in writers)


def test_no_acknowledged_decision_is_lost_when_a_writer_is_killed(log: Log) -> None:
    for n in range(200 if PROVE else 3):
        writer = log.writer(f"k{n}", threads=32)
        writer.writes(random.randrange(33, 200))
        writer.kill()
    log.check()


def test_a_writer_that_sleeps_at_any_moment_goes_on_where_the_others_are(log: Log) -> None:
    sleeper, other = log.writer("sleeper"), log.writer("other")
    for _ in range(5 if PROVE else 3):
        sleeper.writes(5)
        sleeper.process.send_signal(signal.SIGSTOP)
        time.sleep(30 if PROVE else 0.1)
        sleeper.process.send_signal(signal.SIGCONT)
        other.writes(5)
    sleeper.writes(5)
    log.check()


# -- PostgreSQL ------------------------------------------------------------------------------------


_OWING = """
SELECT state FROM pg_stat_activity WHERE application_name = 'sleeper'
    AND xact_start IS NOT NULL AND wait_event = 'ClientRead'
"""


def test_a_writer_that_sleeps_within_its_transaction_stops_nobody(pg: Log) -> None:
    sleeper, other = pg.writer("sleeper"), pg.writer("other")
    with psycopg.connect(server().url(), autocommit=True) as watching:
        sleeper.writes()
        while True:
            sleeper.process.send_signal(signal.SIGSTOP)
            time.sleep(0.02)
            if watching.execute(_OWING).fetchall():
                break
            sleeper.process.send_signal(signal.SIGCONT)
            time.sleep(random.random() / 100)
    since = time.monotonic()
    other.writes(40)
    if PROVE:
        time.sleep(max(0, since + 30 - time.monotonic()))
        other.writes()
    assert not other.failures
    sleeper.process.send_signal(signal.SIGCONT)
    sleeper.writes(40)
    other.writes()
    assert set(sleeper.failures) <= {"not stored in 10 s"}  # its own visitors slept as well
    pg.check()


def test_no_acknowledged_decision_is_lost_when_the_server_is_killed(pg: Log) -> None:
    writer = pg.writer("w", threads=16)
    for _ in range(200 if PROVE else 4):
        writer.writes(random.randrange(30, 300))
        server().kill()
        server().start()
    writer.writes(100)
    pg.check()


def test_a_server_that_restarts_is_found_again_without_an_error(pg: Log) -> None:
    with pg.opened() as ledger:
        for n in range(3):
            verified(ledger, ledger.append(decision(f"before-{n}")))
            server().stop()
            server().start()
            if n % 2:
                assert ledger.head.tree.size == 2 * n + 3
            stored = ledger.append(decision(f"after-{n}"))
            verified(ledger, stored)
            assert ledger.kept(stored.index)


def test_while_the_server_is_away_visitors_are_told_soon_and_later_all_goes_on(
    pg: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres, "_PATIENCE", 0.2)
    with pg.opened() as ledger:
        ledger.append(decision("before"))
        server().stop()
        try:
            for n in range(3):
                with pytest.raises(LedgerError, match=r"postgresql://site@.*not stored"):
                    ledger.append(decision(f"away-{n}"))
                with pytest.raises(LedgerError, match="cannot be read"):
                    assert ledger.head
            assert ledger.failed
        finally:
            server().start()
        verified(ledger, ledger.append(decision("after")))
        assert ledger.failed is None
        assert [noted.decision.choices[0][0] for noted in ledger.decisions()] == ["before", "after"]


class Wire:
    """A way to the server that breaks at a COMMIT: before it arrives, or before its answer does."""

    def __init__(self) -> None:
        self.breaks = ""
        self.meanwhile: Callable[[], object] = int
        self.broken = 0
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = self._listening.getsockname()[1]
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listening.accept()
            except OSError:
                return
            upstream = socket.create_connection(("127.0.0.1", server().port))
            for place in ("before", "after"):
                ends = (client, upstream, place)
                self._threads.append(threading.Thread(target=self._pass, args=ends))
                self._threads[-1].start()

    def _pass(self, client: socket.socket, upstream: socket.socket, place: str) -> None:
        source, sink = (client, upstream) if place == "before" else (upstream, client)
        breaking = False
        with contextlib.suppress(OSError):
            while not breaking and (data := source.recv(65536)):
                breaking = self.breaks == place and b"COMMIT\x00" in data
                if not breaking:
                    sink.sendall(data)
        _hang_up(upstream)
        if breaking:
            self.breaks = ""
            self.broken += 1
            self.meanwhile()
        _hang_up(client)
        source.close()

    def close(self) -> None:
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        for thread in self._threads:
            thread.join()


def _hang_up(end: socket.socket) -> None:
    with contextlib.suppress(OSError):
        end.shutdown(socket.SHUT_RDWR)


def test_a_commit_whose_answer_is_lost_is_looked_for_and_not_made_twice(pg: Log) -> None:
    wire = Wire()
    port = f":{server().port}/"
    try:
        with pg.opened(pg.url.replace(port, f":{wire.port}/")) as ledger, pg.opened() as other:
            expected = []
            for n in range(6):
                ledger.append(decision(f"whole-{n}"))
                wire.breaks = "before" if n % 2 else "after"
                wire.meanwhile = int
                names = [f"broken-{n}"]
                if n % 3 == 0:  # another writer comes between
                    wire.meanwhile = lambda n=n: other.append(decision(f"other-{n}"))  # type: ignore[misc]
                    names.insert(n % 2 == 0, f"other-{n}")
                verified(ledger, ledger.append(decision(f"broken-{n}")))
                expected += [f"whole-{n}", *names]
            assert wire.broken == 6
            assert [noted.decision.choices[0][0] for noted in other.decisions()] == expected
            assert other.fsck() == []
    finally:
        wire.close()
