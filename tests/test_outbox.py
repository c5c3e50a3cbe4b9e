"""Partners learn of every withdrawal, at least once, whoever is killed or away; over both databases."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import hmac
import json
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from bandeau import outbox
from bandeau.errors import LedgerError, PolicyError
from bandeau.ledger.keys import Keys
from bandeau.ledger.ledger import Ledger
from bandeau.ledger.place import store_at
from bandeau.ledger.store import Untold
from bandeau.policy.file import loads
from bandeau.site import Site, origin
from conftest import SMALL, chosen, request
from ledger.postgres_server import server

SECRET = b"a secret of thirty-two bytes ...."
SECONDS = 20.0  # for anything to come about, on a busy machine


@dataclass
class Partner:
    """A partner's server: what came, and what it answers (0: it hangs up)."""

    answers: int = 204
    came: list[tuple[dict[str, str], bytes]] = field(default_factory=list)
    port: int = 0

    def told(self) -> list[dict[str, Any]]:
        """Check every signature as a stranger to our code does, and return what was said."""
        found = []
        for headers, body in self.came:
            text = b".".join(
                (headers["webhook-id"].encode(), headers["webhook-timestamp"].encode(), body)
            )
            signature = base64.b64encode(hmac.new(SECRET, text, hashlib.sha256).digest()).decode()
            assert headers["webhook-signature"] == f"v1,{signature}"
            assert abs(time.time() - int(headers["webhook-timestamp"])) < 300
            found.append(json.loads(body))
        return found


@contextlib.contextmanager
def partner(answers: int = 204) -> Iterator[Partner]:
    made = Partner(answers)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            made.came.append(({k.lower(): v for k, v in self.headers.items()}, body))
            if made.answers:
                self.send_response(made.answers)
                self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as listening:
        made.port = listening.server_port
        threading.Thread(target=listening.serve_forever, args=(0.02,), daemon=True).start()
        yield made
        listening.shutdown()


def until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + SECONDS
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@dataclass
class Clock:
    minute: int = 29_926_765


class World:
    """A ledger's place, and the sites that were opened on it."""

    def __init__(self, url: str, folder: Path) -> None:
        self.url, self.folder, self.clock = url, folder, Clock()
        self._sites: list[Site] = []

    def site(self, port: int, services: tuple[str, ...] = ("square",)) -> Site:
        policy = loads(written(port, services))
        keys = Keys(self.folder / "bandeau.key", new=True)
        ledger = Ledger(store_at(self.url), keys, origin(policy), now=lambda: self.clock.minute)
        self._sites.append(Site(policy, ledger, now=lambda: self.clock.minute))
        return self._sites[-1]

    def close(self) -> None:
        for site in self._sites:
            site.close()


def written(port: int, services: tuple[str, ...] = ("square",)) -> str:
    """Return the small policy with partners on a port of loopback."""
    return SMALL + "".join(
        f'[[partner]]\nservice = "{service}"\nurl = "http://127.0.0.1:{port}/{service}"\n'
        f'secret_env = "PARTNER_SECRET"\n{"names = [" + chr(34) + "sq_id" + chr(34) + "]" if service == "square" else ""}\n'
        for service in services
    )


@pytest.fixture
def world(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[World]:
    monkeypatch.setenv("PARTNER_SECRET", "whsec_" + base64.b64encode(SECRET).decode())
    monkeypatch.setattr(outbox, "_POLL_SECONDS", 0.05)
    with contextlib.ExitStack() as stack:
        url = f"sqlite:///{tmp_path / 'b.db'}"
        if getattr(request, "param", "sqlite") == "postgres":
            url = stack.enter_context(server().database())
        made = World(url, tmp_path)
        stack.callback(made.close)
        yield made


both = pytest.mark.parametrize("world", ["sqlite", "postgres"], indirect=True)


def withdrawn(site: Site, visitor: str, body: bytes = b"choice=none") -> None:
    """Let a visitor, whom the partner knows by a cookie, grant all and take it back."""
    (granted,) = chosen(site, b"choice=all")
    chosen(site, body, [(b"cookie", granted[1] + f"; sq_id={visitor}; session=1".encode())])


def test_a_partner_learns_what_was_withdrawn_and_by_whom_as_it_knows_them(world: World) -> None:
    with partner() as square:
        site = world.site(square.port)
        withdrawn(site, "a1")
        until(lambda: site.ledger.store.untold() == 0)
        assert square.told() == [
            {
                "type": "consent.withdrawn",
                "timestamp": "2026-11-25T11:25Z",
                "data": {
                    "log": "www.own.localhost:9000/_b/log",
                    "index": site.ledger.head.tree.size - 1,
                    "service": "square",
                    "purposes": ["social"],
                    "cookies": {"sq_id": "a1"},
                },
            }
        ]


def test_only_a_service_that_nothing_opens_any_more_is_told(world: World) -> None:
    with partner() as all_three:
        site = world.site(all_three.port, ("square", "chain", "manager"))
        withdrawn(site, "a1", b"choice=save&purpose=ads")  # the manager still has a purpose
        withdrawn(site, "a2", b"choice=all")  # nothing is withdrawn
        (refused,) = chosen(site, b"choice=none")
        chosen(site, b"choice=none", [refused])
        until(lambda: len(all_three.came) == 1)
        withdrawn(site, "a3")
        until(lambda: site.ledger.store.untold() == 0)
        said = [one["data"] for one in all_three.told()]
        assert [one["service"] for one in said[:1]] == ["square"]
        assert {(one["service"], *one["purposes"]) for one in said[1:]} == {
            ("square", "social"),
            ("chain", "ads"),
            ("manager", "ads", "social"),
        }
        assert [one["cookies"] for one in said if one["service"] != "square"] == [{}, {}]


def test_a_partner_that_is_away_is_told_later_under_the_same_id(world: World) -> None:
    with partner(500) as square:
        site = world.site(square.port)
        withdrawn(site, "a1")
        for tries, answer in enumerate((302, 0, 204), 1):
            until(lambda tries=tries: len(square.came) == tries)  # type: ignore[misc]
            square.answers = answer
            time.sleep(0.15)
            assert len(square.came) == tries  # it is left in peace until the wait is over
            assert b"untold: 1 " in site.answer_sync(site.exchange(request("/_b/health")), b"").body
            world.clock.minute += 2**tries
        until(lambda: site.ledger.store.untold() == 0)
        assert b"untold" not in site.answer_sync(site.exchange(request("/_b/health")), b"").body
        assert len({headers["webhook-id"] for headers, _ in square.came}) == 1
        assert len(square.told()) == 4


@both
def test_each_wait_is_twice_as_long_and_after_a_week_all_is_dropped(world: World) -> None:
    with partner() as square:
        site = world.site(square.port)
        site.outbox.close()  # type: ignore[union-attr]
        withdrawn(site, "a1")
        store = site.ledger.store
        tried: list[int] = []
        begun = world.clock.minute
        while store.untold() and len(tried) < 20:
            world.clock.minute += 2  # the least wait
            if found := store.claim("square", world.clock.minute):
                assert found == Untold(found.index, "square", begun, found.detail)
                tried.append(world.clock.minute)
        waits = [later - earlier for earlier, later in pairwise(tried)]
        assert waits[:9] == [2, 4, 8, 16, 32, 64, 128, 256, 256]
    world.clock.minute += outbox.KEEP_DAYS * 1440
    again = world.site(1)  # nobody listens there
    until(lambda: again.ledger.store.untold() == 0)


def test_a_withdrawal_that_is_sent_twice_is_told_once(world: World) -> None:
    with partner() as square:
        site = world.site(square.port)
        (granted,) = chosen(site, b"choice=all")
        sent = [granted, (b"idempotency-key", b"0123456789abcdef")]
        for _ in range(2):
            chosen(site, b"choice=none", sent)
        until(lambda: site.ledger.store.untold() == 0)
        assert len(square.told()) == 1


@both
def test_several_sites_on_one_ledger_tell_all_and_each_but_once_while_none_fails(
    world: World,
) -> None:
    with partner() as square:
        sites = [world.site(square.port) for _ in range(2)]
        names = [f"v{number}" for number in range(16)]
        for number, name in enumerate(names):
            withdrawn(sites[number % 2], name)
        until(lambda: sites[0].ledger.store.untold() == 0)
        told = Counter(one["data"]["cookies"]["sq_id"] for one in square.told())
        assert told == Counter(names)


_KILLED = """
import os, signal, sys, time
sys.path.insert(0, {tests!r})
from bandeau.outbox import Outbox
from bandeau.site import Site
from bandeau.policy.file import loads
from test_outbox import withdrawn, written
kill = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
if {claimed}:
    Outbox._post = kill
else:
    Outbox.wake = lambda self: None
    Outbox._next = lambda self, one: False
site = Site.from_policy(loads(written(1)), {url!r})
withdrawn(site, "killed")
time.sleep(20) if {claimed} else kill()
"""


@pytest.mark.parametrize(
    ("world", "claimed"),
    [("sqlite", False), ("postgres", True)],
    ids=["before it is claimed", "after"],
    indirect=["world"],
)
def test_a_kill_between_commit_and_delivery_loses_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch, claimed: bool
) -> None:
    monkeypatch.setenv("BANDEAU_KEY_FILE", str(world.folder / "bandeau.key"))
    code = _KILLED.format(tests=str(Path(__file__).parent), url=world.url, claimed=claimed)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == -9, done.stderr
    with partner() as square:
        world.clock.minute = int(time.time() // 60) + 3  # the first wait is over
        site = world.site(square.port)
        until(lambda: site.ledger.store.untold() == 0)
        assert [one["data"]["cookies"] for one in square.told()] == [{"sq_id": "killed"}]


def test_what_is_not_stored_is_not_told_and_holds_all_the_same(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise LedgerError("disk full")

    with partner() as square:
        site = world.site(square.port)
        (granted,) = chosen(site, b"choice=all")
        monkeypatch.setattr(site.ledger, "append", full)
        chosen(site, b"choice=none", [granted])
        assert site.ledger.unrecorded == 1
        assert site.ledger.store.untold() == 0
        time.sleep(0.2)
        assert square.came == []


@pytest.mark.parametrize("secret", ["", "whsec_c2hvcnQ=", "c" * 40])
def test_a_site_without_its_partner_s_secret_does_not_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, secret: str
) -> None:
    monkeypatch.setenv("PARTNER_SECRET", secret)
    with pytest.raises(PolicyError, match="BP029"):
        Site.from_policy(loads(written(1)), f"sqlite:///{tmp_path / 'b.db'}")


def test_a_cookie_that_names_nobody_is_not_told(world: World) -> None:
    told = world.site(1).outbox
    assert told
    for sent in ("", "sq_id=", "sq_id=a; sq_id=b", "sq_id=\xff", f"sq_id={'x' * 600}"):
        headers = [sent.encode("latin-1")]
        ((service, detail),) = told.tell(frozenset({"social"}), frozenset(), headers)
        assert (service, json.loads(detail)) == ("square", {"purposes": ["social"], "cookies": {}})


def test_the_form_in_the_docs_is_what_is_sent() -> None:
    text = (outbox.__doc__ or "").partition('    {"type"')[2].partition("\n\n")[0]
    detail = '{"purposes": ["social"], "cookies": {"sq_id": "a1"}}'
    sent = outbox.body("www.own.example/_b/log", Untold(5, "square", 29_926_765, detail))
    assert json.loads('{"type"' + text) == json.loads(sent)


@both
def test_an_older_ledger_gets_its_outbox_when_it_is_opened(world: World) -> None:
    site = world.site(1)
    site.close()
    if world.url.startswith("sqlite"):
        import sqlite3

        with contextlib.closing(sqlite3.connect(world.url.removeprefix("sqlite:///"))) as database:
            database.execute("DROP TABLE outbox")
    else:
        server().do("DROP TABLE bandeau.outbox", world.url.rpartition("/")[2])
    assert world.site(1).ledger.store.untold() == 0
