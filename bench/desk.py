"""A million decisions at the desk: `python bench/desk.py [DECISIONS]`.

They go through the ledger's own queue into a SQLite file, over two years; some are erased, and the oldest
retained. Then the pages of choices are asked for over HTTP, logged in, as often as it takes to speak of the
worst; and the tally is held against a recount of the records, in the plainest way.
"""

from __future__ import annotations

import http.client
import random
import statistics
import sys
import tempfile
import threading
import time
from collections import Counter, deque
from concurrent.futures import Future
from pathlib import Path
from typing import Any

from bandeau.adapters.server import configured, listening
from bandeau.decision.model import Decision, Event
from bandeau.desk.app import Desk
from bandeau.desk.users import Users
from bandeau.ledger import tally
from bandeau.ledger.entry import Reason
from bandeau.ledger.keys import Keys
from bandeau.ledger.ledger import Ledger
from bandeau.ledger.place import key_file, store_at
from bandeau.policy.file import loads
from bandeau.site import Site, origin

DAYS, ASKED, ERASED, RETAINED = 730, 200, 200, 700
TODAY = 20_786  # days since 1970
DAY = 1440  # minutes
PURPOSES = ("audience", "social", "video", "ads")
POLICY = (
    'version = 1\n[proof]\nkeep_days = 912\n[controller]\nname = "a"\naddress = "a"\ncontact = "a"\n'
    'privacy_policy = "/"\n[site]\norigins = ["http://127.0.0.1:7621"]\nlanguages = ["fr", "en"]\n'
) + "".join(f'[[purpose]]\nid = "{one}"\ndata = ["browsing"]\n' for one in PURPOSES)
EVENTS = [Event.ACCEPT_ALL] * 9 + [Event.REFUSE_ALL] * 7 + [Event.CUSTOM] * 3 + [Event.WITHDRAW]


def filled(ledger: Ledger, snapshot: int, count: int, clock: list[int]) -> None:
    """Let visitors decide, so many a day, with the queue always full."""
    pick, waiting = random.Random(5), deque[Future[Any]]()
    for number in range(count):
        clock[0] = (TODAY - DAYS) * DAY + number * DAYS * DAY // count
        event = pick.choice(EVENTS)
        yes = {Event.ACCEPT_ALL: 1.0, Event.CUSTOM: 0.5}.get(event, 0.0)
        one = Decision(
            clock[0], event, tuple((p, pick.random() < yes) for p in PURPOSES),
            pick.choice(("fr", "fr", "en")), signal=False, snapshot=snapshot,
            layer=pick.choice(("first", "first", "first", "settings", "place")),
            device=pick.choice(("phone", "phone", "desktop", "tablet")),
        )  # fmt: skip
        waiting.append(ledger.submit(one))
        if len(waiting) >= 8_000:
            waiting.popleft().result()
    for future in waiting:
        future.result()


def recounted(ledger: Ledger) -> bool:
    """Count the records that are left, and compare."""
    found: Counter[tuple[int, str, str, str]] = Counter()
    for noted in ledger.decisions():
        one = noted.decision
        day, granted = one.minute // DAY, [yes for _, yes in one.choices]
        outcome = "refused" if not any(granted) else "granted" if all(granted) else "partial"
        for kind, value in (
            ("action", one.event.value), ("language", one.language), ("layer", one.layer),
            ("device", one.device), ("snapshot", str(one.snapshot)),
        ):  # fmt: skip
            found[day, kind, value, outcome] += 1
        for purpose, yes in one.choices:
            found[day, "purpose", purpose, "granted" if yes else "refused"] += 1
    rows = ledger.store.tally(0, tally.NEVER)
    gone = sum(row[5] for row in rows if row[1] == "action")
    print(f"  {len(rows)} rows; {found.total()} marks of the records left, {gone} records gone")
    return {row[:4]: row[4] - row[5] for row in rows if row[4] != row[5]} == dict(found)


def asked(port: int, session: str, path: str) -> float:
    """Ask for a page on a connection of its own; return milliseconds until its last byte."""
    started = time.perf_counter()
    connection = http.client.HTTPConnection("127.0.0.1", port, 60)
    connection.request("GET", path, headers={"Cookie": f"desk={session}"})
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    assert answer.status == 200, answer.status
    assert b"<svg" in body or path == "/ledger", path
    return (time.perf_counter() - started) * 1000


def main() -> None:
    count = int(sys.argv[1]) if sys.argv[1:] else 1_000_000
    with tempfile.TemporaryDirectory() as made:
        folder, clock = Path(made), [(TODAY - DAYS) * DAY]
        url, policy = f"sqlite:///{folder / 'l.db'}", loads(POLICY)
        keys = Keys(key_file(url), new=True)
        ledger = Ledger(store_at(url), keys, origin(policy), now=lambda: clock[0])
        snapshot = Site(policy, ledger).desk.snapshot
        started = time.perf_counter()
        filled(ledger, snapshot, count, clock)
        print(
            f"{count} decisions over {DAYS} days, written in {time.perf_counter() - started:.0f} s"
        )
        started = time.perf_counter()
        ledger.retain(RETAINED)
        print(
            f"  records older than {RETAINED} days removed in {time.perf_counter() - started:.1f} s"
        )
        pick = random.Random(6)
        for index in pick.sample(range(count // 2, count), ERASED):
            ledger.erase(index, Reason.REQUEST)
        users = Users(folder / "users")
        users.add("a", "a long password", "reader")
        session = users.begin(users.all()[0])
        bound = listening("127.0.0.1", 0)
        port = bound.getsockname()[1]
        server = configured(Desk(policy, "policy", url, users, f"http://127.0.0.1:{port}"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [bound]}, daemon=True)
        thread.start()
        while not server.started:
            thread.join(0.01)
        for unit in ("day", "week", "month", "year"):
            paths = [
                f"/?unit={unit}&day=20{pick.choice((25, 26))}-{pick.randint(1, 10):02}-{pick.randint(1, 28):02}"
                for _ in range(ASKED)
            ]
            took = [asked(port, session, path) for path in paths]
            print(
                f"  choices of a {unit:6} median {statistics.median(took):6.1f} ms, worst {max(took):6.1f} ms (goal 300)"
            )
        took = [asked(port, session, "/ledger") for _ in range(20)]
        print(
            f"  the ledger's page   median {statistics.median(took):6.1f} ms, worst {max(took):6.1f} ms"
        )
        server.should_exit = True
        thread.join(15)
        bound.close()
        started = time.perf_counter()
        agrees = recounted(ledger)
        print(
            f"  the tally is the recount: {agrees}; counted in {time.perf_counter() - started:.1f} s"
        )
        started = time.perf_counter()
        problems = ledger.fsck()
        print(f"  fsck: {problems or 'all of it fits'}, in {time.perf_counter() - started:.0f} s")
        ledger.close()


if __name__ == "__main__":
    main()
