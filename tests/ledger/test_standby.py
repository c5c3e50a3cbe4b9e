"""A standby takes over: with synchronous replication nothing is lost, else no fork is signed.

What a standby lacks by default; with BANDEAU_PROVE=1 under load too, of threads and of 32 visitors of
processes of `bandeau proxy`.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import pytest

import serving
from bandeau.decision.model import Decision, Event
from bandeau.errors import LedgerBusyError, LedgerError
from bandeau.ledger import forks, postgres, receipt
from bandeau.ledger import ledger as writing
from bandeau.ledger.keys import Keys
from bandeau.ledger.ledger import Ledger
from bandeau.ledger.log import Log
from bandeau.ledger.note import Verifier
from bandeau.ledger.place import store_at
from bandeau.measure.count import View
from bandeau.measure.store import Views
from conftest import SMALL
from ledger.postgres_server import Server
from serving import ask

ORIGIN = "www.own.localhost:9000/_b/log"
PROVE = bool(os.environ.get("BANDEAU_PROVE"))
PATIENCE = 120.0  # seconds, for what takes a moment on an idle machine
PROCESSES, VISITORS = 3, 32


class Pair:
    """A primary and its standby, with URLs that name both: `url` the primary first, `turned` last."""

    def __init__(self, stack: contextlib.ExitStack) -> None:
        self.primary = Server()
        stack.callback(self.primary.close)
        self.primary.do("CREATE DATABASE ledger OWNER site")
        self.standby = Server(of=self.primary)
        stack.callback(self.standby.close)
        first, second = (f"127.0.0.1:{one.port}" for one in (self.primary, self.standby))
        self.url = f"postgresql://site@{first},{second}/ledger?target_session_attrs=read-write"
        self.turned = f"postgresql://site@{second},{first}/ledger"

    def synchronous(self) -> None:
        """Let what is acknowledged be on the standby's disk (PostgreSQL 27.2.8)."""
        self.primary.do("ALTER SYSTEM SET synchronous_standby_names = '*'")
        self.primary.do("SELECT pg_reload_conf()")
        until(lambda: self.primary.one("SELECT sync_state FROM pg_stat_replication") == "sync")

    def promote(self) -> None:
        assert self.standby.one("SELECT pg_promote()")


@pytest.fixture
def pair() -> Iterator[Pair]:
    with contextlib.ExitStack() as stack:
        yield Pair(stack)


def until(found: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not found():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def decision(purpose: str) -> Decision:
    return Decision(29_926_765, Event.ADD, ((purpose, True),), "fr", signal=False, snapshot=1)


@contextlib.contextmanager
def opened(url: str, key: Path) -> Iterator[Ledger]:
    with contextlib.ExitStack() as stack:
        store = store_at(url)
        stack.callback(store.close)
        ledger = Ledger(store, Keys(key, new=True), ORIGIN)
        stack.callback(ledger.close)
        yield ledger


def fitting(log: Log, pieces: dict[str, bytes]) -> None:
    """See that receipts and checkpoints are of this log, and of no other branch of it."""
    wrong = [one for one in forks.compare(log, pieces.items()) if not one.sound]
    assert wrong == []
    assert log.fsck() == []


@pytest.mark.skipif(not PROVE, reason="BANDEAU_PROVE=1 kills a primary under writers")
def test_what_was_acknowledged_is_on_the_standby_that_takes_over(
    pair: Pair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres, "_PATIENCE", 0.3)
    with (
        opened(pair.turned, tmp_path / "key") as ledger,
        closing(Views(pair.turned, 30)) as counted,
    ):
        assert ledger.snapshot(b"shown") == 1
        counted.add(View("/before", "", "phone"))
        counted.flush()
        pair.synchronous()
        pair.standby.stop()
        with monkeypatch.context() as hurried:
            hurried.setattr(writing, "WAIT_SECONDS", 0.3)
            with pytest.raises(LedgerBusyError, match="not stored in"):
                ledger.append(decision("waits"))
        assert ledger.head.tree.size == 2  # nobody sees it before
        pair.standby.start()
        until(lambda: ledger.head.tree.size == 3)
        held: dict[str, bytes] = {}
        refused: list[str] = []
        over = threading.Event()

        def write(name: str) -> None:
            n = 0
            while not over.is_set():
                n += 1
                try:
                    stored = ledger.append(decision(f"{name}-{n}"))
                except LedgerError as error:
                    refused.append(str(error))
                    over.wait(0.01)
                else:
                    held[f"{name}-{n}"] = stored.receipt().encode()

        writers = [threading.Thread(target=write, args=(f"w{n}",)) for n in range(8)]
        for one in writers:
            one.start()
        until(lambda: len(held) > 100)
        pair.primary.kill()
        until(lambda: refused)
        before = len(held)
        pair.promote()
        until(lambda: len(held) > before + 100)
        over.set()
        for one in writers:
            one.join()
        assert ledger.failed is None
        fitting(ledger, held)
        counted.add(View("/after", "", "phone"))
        assert dict(counted.sums("path")) == {"/before": 1, "/after": 1}
        found = Counter(noted.decision.choices[0][0] for noted in ledger.decisions())
        assert found.keys() >= held.keys()
        assert set(found.values()) == {1}
        indexes = {name: receipt.parse(text).index for name, text in held.items()}
        for noted in ledger.decisions():
            assert indexes.get(noted.decision.choices[0][0], noted.index) == noted.index


def lagging(pair: Pair, since: Callable[[], object]) -> None:
    """Let a standby that gets nothing any more take over, after what happens since."""
    pair.standby.stop()
    since()
    pair.primary.kill()
    pair.standby.start()
    pair.promote()


def test_a_standby_that_lacks_decisions_is_signed_by_nobody_who_knows_of_them(
    pair: Pair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres, "_PATIENCE", 0.3)
    key, elsewhere = tmp_path / "key", tmp_path / "elsewhere"
    with opened(pair.url, key) as ledger, opened(pair.url, key) as other:
        assert ledger.snapshot(b"shown") == 1
        other.append(decision("kept"))
        until(lambda: pair.standby.one("SELECT size FROM bandeau.head", "ledger") == 3)
        pair.standby.stop()
        lost = ledger.append(decision("lost")).receipt().encode()
        until(lambda: b"\n4\n" in (ledger.keys.mark(ORIGIN) or b""))
        pair.primary.kill()
        pair.standby.start()
        pair.promote()
        for one in (ledger, other):  # who wrote it, and who finds its mark beside the key
            for _ in range(2):
                with pytest.raises(LedgerError, match="signed with 4 entries, and only 3 are here"):
                    one.append(decision("fork"))
            assert "rotate --restored" in str(one.failed)
            for signing in (partial(one.audited, b"manifest"), one.rotate):
                with pytest.raises(LedgerError, match="would sign two histories"):
                    signing()
        with pytest.raises(LedgerError, match="or is a standby that lacks"):  # nor after a restart
            opened(pair.url, key).__enter__()

        elsewhere.mkdir()  # a machine whose mark says nothing of it: this is the fork
        (elsewhere / "key").write_bytes(key.read_bytes())
        (elsewhere / "key").chmod(0o600)
        with opened(pair.url, elsewhere / "key") as unknowing:
            for n in range(3):
                unknowing.append(decision(f"fork-{n}"))
            (finding,) = forks.compare(unknowing, [("lost", lost)])
            assert finding.message.startswith("fork: another tree of 4 entries")
        with pytest.raises(LedgerError, match="signed with 4 entries, and other 6 are here"):
            ledger.append(decision("fork"))
        assert b"\n4\n" in (ledger.keys.mark(ORIGIN) or b"")  # what was known stays known

        store = store_at(pair.url)
        with closing(Ledger(store, Keys(key), ORIGIN, recovering=True)) as recovering:
            recovering.recover(renamed=True)
        for one in (ledger, other):  # which go on by themselves
            fitting(one, {"new": one.append(decision("new")).receipt().encode()})
            assert one.origin == f"{ORIGIN}/~2"


def test_a_server_that_hangs_is_not_waited_for_by_pages(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres, "_PAGE_SECONDS", 0.2)
    with contextlib.ExitStack() as stack:
        server = Server()
        stack.callback(server.close)
        url = stack.enter_context(server.database())
        ledger = stack.enter_context(opened(url, tmp_path / "key"))
        mine = ledger.hashed("somebody")
        assert ledger.account(mine).index is None
        server.hang()
        try:
            with pytest.raises(LedgerError, match="cannot be read: the server does not answer"):
                ledger.account(mine)
            with (
                ledger.store._line("paging"),  # type: ignore[attr-defined]
                pytest.raises(LedgerError, match="the server does not answer"),
            ):
                ledger.account(mine)
            with pytest.raises(LedgerError, match="timeout"):  # nor is there another
                ledger.account(mine)
            with pytest.raises(LedgerError, match="the server does not answer"):
                ledger.account(mine)  # which is not asked again at once
        finally:
            server.go_on()

        def answers() -> bool:
            with contextlib.suppress(LedgerError):
                return ledger.account(mine).index is None
            return False

        until(answers)


# -- visitors, and processes of `bandeau proxy` ----------------------------------------------------

_PAGE = b"<html><body><p>text<iframe src=//social.localhost/f></iframe></body></html>"
_HEADERS = {
    "Host": "www.own.localhost:9000",
    "Accept": "application/json",
    "Content-Type": "application/x-www-form-urlencoded",
    "Sec-Fetch-Site": "same-origin",
}
_FORM = (b"Content-Type: application/x-www-form-urlencoded", b"Sec-Fetch-Site: same-origin")


@dataclass
class Front:
    """Some processes that serve one site, and what visitors got of them."""

    ports: list[int]
    held: dict[str, bytes] = field(default_factory=dict)  # receipts, and checkpoints
    refused: Counter[int] = field(default_factory=Counter)  # by the process's port
    wrong: list[str] = field(default_factory=list)
    over: threading.Event = field(default_factory=threading.Event)

    def visit(self, number: int) -> None:
        """Grant again and again, each time as somebody who has not chosen yet."""
        port = self.ports[number % len(self.ports)]
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        for n in range(10**9):
            if self.over.is_set():
                break
            connection.request("POST", "/_b/choice", b"choice=all", _HEADERS)
            answer = connection.getresponse()
            body, granted = answer.read(), answer.getheader("set-cookie")
            if answer.status == 200 and granted:
                self.held[f"{number}-{n}"] = json.loads(body)["receipt"].encode()
            elif answer.status == 503 and answer.getheader("retry-after") and not granted:
                self.refused[port] += 1
                self.over.wait(0.05)
            else:
                self.wrong.append(f"{answer.status} {body!r} {answer.headers}")
                break
        connection.close()

    def acknowledged(self, more: int) -> None:
        wanted = len(self.held) + more
        until(lambda: len(self.held) >= wanted or self.wrong)

    def pages_come(self) -> None:
        for port in self.ports:
            for _ in range(5):
                found = ask(port)
                assert found.status == 200
                assert b"data-bd-src=//social.localhost/f" in found.body

    @contextlib.contextmanager
    def asking(self, path: str) -> Iterator[None]:
        """Ask each process for something that is in the database, whether or not it comes."""

        def one_asks(port: int) -> None:
            with contextlib.suppress(TimeoutError):
                ask(port, path)

        some = [threading.Thread(target=one_asks, args=(port,)) for port in self.ports]
        for one in some:
            one.start()
        yield
        for one in some:
            one.join()

    def published(self, name: str) -> None:
        for port in self.ports:
            self.held[f"{name}-{port}"] = ask(port, "/_b/log/checkpoint").body


@contextlib.contextmanager
def proxies(url: str, folder: Path) -> Iterator[Front]:
    """Run processes of the real command in front of one site, and visitors who go on posting."""
    (folder / "bandeau.toml").write_text(SMALL)
    with contextlib.ExitStack() as stack:
        up = stack.enter_context(serving.upstream())
        up.answers["/"] = serving.page(_PAGE)
        several = [serving.proxy(folder, up.port, "--ledger", url) for _ in range(PROCESSES)]
        ports = [stack.enter_context(one)[1] for one in several]
        front = Front(ports)
        visitors = [threading.Thread(target=front.visit, args=(n,)) for n in range(VISITORS)]
        for one in visitors:
            one.start()
        try:
            yield front
        finally:
            front.over.set()
            for one in visitors:
                one.join()


@pytest.mark.skipif(not PROVE, reason="BANDEAU_PROVE=1 starts processes and kills a primary")
@pytest.mark.parametrize(
    ("turned", "hangs"),
    [(False, False), (True, False), (False, True)],
    ids=["primary first", "standby first", "the primary hangs"],
)
def test_a_failover_under_load_grants_nothing_meanwhile_and_goes_on_by_itself(
    pair: Pair, tmp_path: Path, turned: bool, hangs: bool
) -> None:
    with proxies(pair.turned if turned else pair.url, tmp_path) as front:
        front.acknowledged(100)
        pair.synchronous()
        front.acknowledged(1_000)
        front.published("before")
        (pair.primary.hang if hangs else pair.primary.kill)()
        until(lambda: len(front.refused) == PROCESSES or front.wrong)
        with front.asking("/_b/log/checkpoint"):
            front.pages_come()
        for port in front.ports:
            refusal = ask(port, "/_b/choice", *_FORM, method="POST", body=b"choice=none")
            assert refusal.status == 303  # holds without a record
            assert not ask(port, "/_b/health").body.startswith(b"ok\n")
        if hangs:  # until it is ended, who waits for it waits: it may still have said yes
            pair.primary.kill()
        pair.promote()
        front.acknowledged(1_000)
        recovered = Counter(front.refused)
        front.acknowledged(1_000)
        assert front.refused == recovered
        front.published("after")
        front.over.set()
        for port in front.ports:
            until(lambda port=port: ask(port, "/_b/health").body.startswith(b"ok\n"))  # type: ignore[misc]
    assert front.wrong == []
    with opened(pair.url, tmp_path / "bandeau.key") as ledger:
        fitting(ledger, front.held)
        indexes = [
            receipt.parse(text).index
            for text in front.held.values()
            if text.startswith(b"c2sp.org/")
        ]
        assert len(set(indexes)) == len(indexes) > 3_000
        assert {noted.index for noted in ledger.decisions()} >= set(indexes)
        known = [Verifier.parse(vkey) for vkey in ledger.vkeys()]
        for text in front.held.values():
            if text.startswith(b"c2sp.org/"):
                receipt.check(receipt.parse(text), known)


@pytest.mark.skipif(not PROVE, reason="BANDEAU_PROVE=1 starts processes and kills a primary")
def test_without_synchronous_replication_a_failover_may_lose_and_then_nothing_is_granted(
    pair: Pair, tmp_path: Path
) -> None:
    with proxies(pair.url, tmp_path) as front:
        front.acknowledged(500)
        pair.standby.stop()
        front.acknowledged(500)
        pair.primary.kill()
        pair.standby.start()
        pair.promote()
        refused = Counter(front.refused)
        until(lambda: all(front.refused[port] > refused[port] + 100 for port in front.ports))
        acknowledged = len(front.held)
        front.pages_come()
        for port in front.ports:
            assert b"rotate --restored" in ask(port, "/_b/health").body
        refused = Counter(front.refused)
        until(lambda: all(front.refused[port] > refused[port] + 100 for port in front.ports))
        assert len(front.held) == acknowledged  # nobody signs a fork
        done = subprocess.run(
            [sys.executable, "-m", "bandeau", "ledger", "rotate", "--restored", "--ledger", pair.url],
            cwd=tmp_path, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        front.acknowledged(500)
        after = dict(list(front.held.items())[acknowledged:])
        assert front.wrong == []
    with opened(pair.url, tmp_path / "bandeau.key") as ledger:
        fitting(ledger, after)
        lost = [one for one in forks.compare(ledger, front.held.items()) if not one.sound]
        assert lost  # whoever holds such a receipt shows what was lost
