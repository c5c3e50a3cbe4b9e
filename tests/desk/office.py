"""A ledger that a site wrote for a year, with two versions of its notice, and a desk over it."""

from __future__ import annotations

import contextlib
import html
import http.client
import random
import re
from collections.abc import Iterator
from dataclasses import dataclass
from email.message import Message
from pathlib import Path
from urllib.parse import urlencode

import argon2

from bandeau.decision.model import Decision, Event
from bandeau.desk.app import Desk
from bandeau.desk.users import Users
from bandeau.ledger.keys import Keys
from bandeau.ledger.ledger import Ledger
from bandeau.ledger.place import key_file, store_at
from bandeau.policy.file import loads
from bandeau.policy.model import Policy
from bandeau.site import Site
from bandeau.site import origin as named
from conftest import SMALL
from serving import running

ORIGIN = "http://desk.localhost:9010"
PASSWORD = "correct horse battery"
QUICK = argon2.PasswordHasher(time_cost=1, memory_cost=64, parallelism=1)
DAY = 1440  # minutes
TODAY = 20_786 * DAY  # 2026-11-29
LATER = SMALL.replace('data = ["browsing", "ip_address"]', 'data = ["browsing"]').replace(
    'recipient = "Square"', 'recipient = "Square & <b>Sons</b>"'
)
_ACTIONS = (
    *([(Event.ACCEPT_ALL, (True, True))] * 9), *([(Event.REFUSE_ALL, (False, False))] * 7),
    (Event.CUSTOM, (True, False)), (Event.CUSTOM, (False, True)), (Event.WITHDRAW, (False, False)),
    (Event.ADD, (True, False)),
)  # fmt: skip


@dataclass
class Office:
    """Where everything of it lies."""

    folder: Path
    policy: Policy
    url: str
    users: Users

    def desk(self, origin: str) -> Desk:
        return Desk(self.policy, "bandeau.toml", self.url, self.users, origin)

    @contextlib.contextmanager
    def browser(self, name: str = "") -> Iterator[Browser]:
        """Yield a browser that is logged in, where a name is given."""
        with running(self.desk(ORIGIN)) as port:
            found = Browser(port)
            if name:
                done = found.post("/login", name=name, password=PASSWORD)
                assert done.status == 303, done.text
            yield found


@dataclass
class Seen:
    """An answer."""

    status: int
    headers: Message
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode("utf-8", "replace")

    @property
    def words(self) -> str:
        """What it says, without its markup."""
        return html.unescape(re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", self.text)))


class Browser:
    """Asks a desk as a browser does, and keeps its cookie."""

    def __init__(self, port: int, cookie: str = "") -> None:
        self._port = port
        self.cookie = cookie

    def ask(self, method: str, path: str, body: bytes = b"", **headers: str) -> Seen:
        sent = {"Host": ORIGIN.partition("//")[2], "Cookie": self.cookie}
        sent |= {name.replace("_", "-"): value for name, value in headers.items()}
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", self._port, 60)) as asked:
            asked.request(method, path, body or None, {k: v for k, v in sent.items() if v})
            answer = asked.getresponse()
            found = Seen(answer.status, answer.headers, answer.read())
        if "set-cookie" in found.headers:
            self.cookie = found.headers["set-cookie"].partition(";")[0]
        return found

    def get(self, path: str, **headers: str) -> Seen:
        return self.ask("GET", path, b"", **headers)

    def post(self, path: str, **form: str) -> Seen:
        return self.send(path, urlencode(form).encode(), Sec_Fetch_Site="same-origin")

    def send(self, path: str, body: bytes, **headers: str) -> Seen:
        headers.setdefault("Content_Type", "application/x-www-form-urlencoded")
        return self.ask("POST", path, body, **headers)


def opened(folder: Path, url: str = "") -> Office:
    """Give a folder with a ledger a desk."""
    url = url or f"sqlite:///{folder / 'bandeau.db'}"
    users = Users(folder / "bandeau.desk", hasher=QUICK)
    return Office(folder, loads(LATER), url, users)


def built(folder: Path, decisions: int, days: int = 400, url: str = "") -> Office:
    """Let a site start twice, with a policy each, and visitors decide over so many days.

    Somebody at its desk reads, and somebody edits.
    """
    office = opened(folder, url)
    office.users.add("rea", PASSWORD, "reader")
    office.users.add("edith", PASSWORD, "editor")
    minute = TODAY - days * DAY
    pick = random.Random(7)
    per_day = decisions / days
    for text, share in ((SMALL, 0.6), (LATER, 0.4)):
        policy = loads(text)
        keys = Keys(key_file(office.url), new=True)
        ledger = Ledger(store_at(office.url), keys, named(policy), now=lambda: minute)  # noqa: B023 (at once)
        site = Site(policy, ledger)
        last = minute + int(days * share) * DAY
        while minute < last:
            waiting = []
            for _ in range(int(per_day * pick.uniform(0.6, 1.4))):
                event, (social, ads) = pick.choice(_ACTIONS)
                one = Decision(
                    minute + pick.randrange(DAY), event, (("social", social), ("ads", ads)),
                    pick.choice(("fr", "fr", "fr", "en")), signal=False, snapshot=site.desk.snapshot,
                    layer=pick.choice(("first", "first", "settings", "place")),
                    device=pick.choice(("phone", "phone", "desktop", "tablet")),
                )  # fmt: skip
                waiting.append(ledger.submit(one))
            for future in waiting:
                future.result()
            minute += DAY
        ledger.audited(b'{"url": "https://www.own.example/", "verdict": "clean", "sha256": {}}')
        site.close()
    return office
