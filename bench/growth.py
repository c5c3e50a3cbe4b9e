"""A thousand million page views a month: `python bench/growth.py` measures, then computes.

Measured in this run: the CPU of a server with and without the gate (a page of 100 kB, what is no page, a
decision), the database's CPU, rows, WAL and published bytes for a decision in PostgreSQL. Simulated out of
that: a month hour by hour, the queue before one core in its busiest hour, and the database as it grows until
the oldest records go. The assumptions are the constants below; nothing else is assumed.

CPU is counted, not time, so a busy machine disturbs little. Compression and TLS are not in it: they are the
front server's.
"""

from __future__ import annotations

import contextlib
import http.client
import math
import os
import platform
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg

from bandeau import Bandeau
from bandeau.adapters.server import listening, serve
from bandeau.decision.model import Decision, Event
from bandeau.ledger import tiles
from bandeau.ledger.keys import Keys
from bandeau.ledger.ledger import Ledger, Retry
from bandeau.ledger.place import store_at

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "ledger"))
from postgres_server import Server

VIEWS = 1_000_000_000  # a month
OTHERS = 10  # requests a page view that go through the gate and are no page (calls, own scripts)
VIEWS_A_DECISION = (20, 50, 100)  # a newspaper's readers decide once in half a year, and are many
DAYS, KEEP_DAYS = 30, 912
BUSY = 0.6  # of a core in the busiest hour: above that queues grow quickly
EVENT = 4.0  # times as many for three hours, once a month: news
DECISIONS, ALONE, PAGES, SMALL_ONES, POSTS = 20_000, 3_000, 1_500, 4_000, 3_000  # measured
PURPOSES = ("audience", "social", "video", "ads")
HOST = "www.paper.example"
POLICY = (
    'version = 1\n[proof]\nkeep_days = 912\n[controller]\nname = "a"\naddress = "a"\ncontact = "a"\n'
    f'privacy_policy = "/"\n[site]\norigins = ["http://{HOST}"]\nlanguages = ["fr"]\n'
    + "".join(f'[[purpose]]\nid = "{one}"\n' for one in PURPOSES)
)
ARTICLE = (
    b"<!doctype html><html lang=fr><head><title>t</title></head><body><p>"
    + b"Un paragraphe d'article avec <a href=/autre>un lien</a> et du texte. " * 1_400
    + b"<iframe src=https://video.example/embed></iframe></body></html>"
)


@dataclass(frozen=True)
class Costs:
    """Seconds of CPU a request, with the gate and without; of a decision in the database; bytes."""

    page: tuple[float, float]
    other: tuple[float, float]
    post: tuple[float, float]
    database: float
    rows: dict[str, float]  # by table
    wal: float
    published: float


# -- measured ----------------------------------------------------------------------------------------


async def paper(scope: Any, receive: Any, send: Any) -> None:
    """Answer with bytes that lie ready."""
    if scope["type"] == "lifespan":
        for word in ("startup", "shutdown"):
            await receive()
            await send({"type": f"lifespan.{word}.complete"})
        return
    await receive()
    page = scope["path"] == "/article"
    kind, body = (b"text/html; charset=utf-8", ARTICLE) if page else (b"application/json", b"{}")
    headers = [(b"content-type", kind), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def child(ledger: str) -> None:
    """Be a server, with the gate where a ledger is named."""
    application: Any = paper
    if ledger:
        Path("bandeau.toml").write_text(POLICY)
        application = Bandeau.from_file("bandeau.toml", ledger).asgi(paper)
    bound = listening("127.0.0.1", 0)
    serve([(application, bound)], str(bound.getsockname()[1]))


@contextlib.contextmanager
def running(folder: str, ledger: str) -> Iterator[tuple[int, int]]:
    """Run a server as long as the block; give its pid and port."""
    command = [sys.executable, os.path.abspath(__file__), "serve", ledger]  # noqa: PTH100
    process = subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, text=True)
    assert process.stdout
    try:
        yield process.pid, int(process.stdout.readline())
    finally:
        process.terminate()
        process.wait()
        process.stdout.close()


def spent(*pids: int) -> float:
    """Return the seconds of CPU of processes, with their children that have ended."""
    ticks = 0
    for pid in pids:
        with contextlib.suppress(OSError):
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            ticks += sum(map(int, fields[11:15]))
    return ticks / os.sysconf("SC_CLK_TCK")


def asked(pid: int, port: int, path: str, count: int, body: bytes = b"") -> float:
    """Ask so often, each time as another visitor, over two connections; return CPU a request."""
    kind = "document" if path == "/article" else "empty"

    def client(first: int) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        for number in range(first, count, 2):
            headers = {
                "Host": HOST,
                "Cookie": f"session={number}-{random.random()}",
                "User-Agent": "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
                "Accept": "text/html" if path == "/article" else "*/*",
                "Accept-Language": "fr,en;q=0.5",
                "Sec-Fetch-Dest": kind,
                "Sec-Fetch-Site": "same-origin",
            }
            if body:
                headers["Content-Type"] = "application/x-www-form-urlencoded"
            connection.request("POST" if body else "GET", path, body or None, headers)
            answer = connection.getresponse()
            answer.read()
            assert answer.status in (200, 303), answer.status
        connection.close()

    before = spent(pid)
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(client, range(2)))
    return (spent(pid) - before) / count


def decided(url: str, folder: Path, server: Server) -> tuple[float, dict[str, float], float, float]:
    """Store decisions; return for each the database's CPU, bytes by table, of WAL, and published."""
    ledger = Ledger(store_at(url), Keys(folder / "rows.key", new=True), "paper.example/_b/log")
    snapshot = ledger.snapshot(b"{}")
    minute = int(time.time() // 60)

    def made(number: int) -> Decision:
        granted = number % 3 > 0
        event = Event.ACCEPT_ALL if granted else Event.REFUSE_ALL
        return Decision(
            minute, event, tuple((one, granted) for one in PURPOSES), "fr", signal=False,
            snapshot=snapshot, layer="first", device="phone",
        )  # fmt: skip

    with psycopg.connect(url) as database:
        before, wal = spent(*server.processes()), _wal(database)
        for number in range(ALONE):  # as they come on a site: seldom two in one transaction
            ledger.append(made(number), Retry(b"%020d" % number, b"who"))
        cpu = (spent(*server.processes()) - before) / ALONE
        grown = (_wal(database) - wal) / ALONE
        waiting = [
            ledger.submit(made(number), Retry(b"%020d" % number, b"who"))
            for number in range(ALONE, ALONE + 5_000)
        ]
        for number in range(ALONE + 5_000, DECISIONS):
            waiting[number - ALONE - 5_000].result()
            waiting.append(ledger.submit(made(number), Retry(b"%020d" % number, b"who")))
        for one in waiting:
            one.result()
        sizes = database.execute(
            "SELECT relname, pg_total_relation_size(oid) FROM pg_class WHERE relkind = 'r'"
            " AND relnamespace = 'bandeau'::regnamespace"
        ).fetchall()
    rows: Counter[str] = Counter()
    for name, size in sizes:
        rows[name.rpartition("_20")[0] or name] += size
    wanted = ("entry", "record", "record_key", "node", "replay")
    full = len(ledger.tile("0/000") or b"") + len(ledger.tile("entries/000") or b"")
    ledger.close()
    published = full / tiles.WIDTH + 32 / (tiles.WIDTH - 1)  # all levels above the leaves
    return cpu, {name: rows[name] / DECISIONS for name in wanted}, grown, published


def _wal(database: psycopg.Connection[Any]) -> int:
    found = database.execute("SELECT pg_current_wal_lsn() - '0/0'::pg_lsn").fetchone()
    database.commit()
    assert found
    return int(found[0])


def measured() -> Costs:
    server = Server()
    try:
        with tempfile.TemporaryDirectory() as place, contextlib.ExitStack() as stack:
            sites, rows = (stack.enter_context(server.database()) for _ in range(2))
            found = []
            for ledger in (sites, ""):
                with running(place, ledger) as (pid, port):
                    asked(pid, port, "/article", 100)
                    found.append(
                        (
                            asked(pid, port, "/article", PAGES),
                            asked(pid, port, "/api", SMALL_ONES),
                            asked(pid, port, "/_b/choice", POSTS, b"choice=all&back=%2F&lang=fr"),
                        )
                    )
            page, other, post = zip(*found, strict=True)
            return Costs(page, other, post, *decided(rows, Path(place), server))
    finally:
        server.close()


# -- simulated ---------------------------------------------------------------------------------------


def month() -> list[float]:
    """Return the share of a month's requests that each of its hours has."""
    weights = []
    for hour in range(DAYS * 24):
        day, time_of_day = divmod(hour, 24)
        weight = 1 + 0.75 * math.cos(2 * math.pi * (time_of_day - 20) / 24)
        weight *= 0.85 if day % 7 in (5, 6) else 1.0
        weights.append(weight * (EVENT if day == 12 and 19 <= time_of_day < 22 else 1.0))
    return [weight / sum(weights) for weight in weights]


def waits(costs: Costs, decisions_a_view: float) -> tuple[float, float]:
    """Return the median and the 99th percentile (seconds) before one core that is busy at `BUSY`.

    Lindley's recursion: requests come at random and independently, and wait in one line.
    """
    chance = random.Random(1)
    kinds = [
        (1.0, costs.page[0]),
        (float(OTHERS), costs.other[0]),
        (decisions_a_view, costs.post[0]),
    ]
    shares, services = zip(*kinds, strict=True)
    mean = sum(share * service for share, service in kinds) / sum(shares)
    wait, found = 0.0, []
    for service in chance.choices(services, shares, k=300_000):
        found.append(wait)
        wait = max(0.0, wait + service - chance.expovariate(BUSY / mean))
    found.sort()
    return found[len(found) // 2], found[len(found) * 99 // 100]


def stored(costs: Costs, decisions: float) -> list[tuple[int, float]]:
    """Return (month, bytes in the database) as it grows: entries stay, records go after their time."""
    lasting = costs.rows["entry"] + costs.rows["node"]
    going = costs.rows["record"] + costs.rows["record_key"]
    kept = math.ceil(KEEP_DAYS / DAYS)
    retries = decisions / DAYS * 3 * costs.rows["replay"]  # two days, and today
    return [
        (n, decisions * (n * lasting + min(n, kept) * going) + retries) for n in (1, 12, kept, 60)
    ]


def main() -> None:
    if sys.argv[1:2] == ["serve"]:
        child(sys.argv[2])
        return
    costs = measured()
    print(
        f"{time.strftime('%Y-%m-%d')}, Python {platform.python_version()}, {os.cpu_count()} cores"
    )
    print("CPU a request, µs               with the gate   without")
    for name, (gated, bare) in (
        (f"a page of {len(ARTICLE) // 1000} kB", costs.page),
        ("what is no page", costs.other),
        ("POST choice, PostgreSQL", costs.post),
    ):
        print(f"  {name:28} {gated * 1e6:12.0f} {bare * 1e6:12.0f}")
    print(f"  PostgreSQL, a decision       {costs.database * 1e6:12.0f}")
    sizes = ", ".join(f"{name} {size:.0f}" for name, size in costs.rows.items())
    print(f"bytes a decision: {sizes}; WAL {costs.wal:.0f}; published {costs.published:.0f}")

    busiest = max(month()) * VIEWS / 3600
    print(
        f"\n{VIEWS / 1e9:.0f}e9 page views: {VIEWS / DAYS / 86_400:.0f}/s, busiest hour {busiest:.0f}/s"
    )
    header = [f"a decision in {n} views" for n in VIEWS_A_DECISION]
    table: dict[str, list[str]] = {}
    for views in VIEWS_A_DECISION:
        each = 1 / views
        gated = costs.page[0] + OTHERS * costs.other[0] + each * costs.post[0]
        bare = costs.page[1] + OTHERS * costs.other[1]
        half, slow = waits(costs, each)
        decisions = VIEWS * each
        growth = stored(costs, decisions)
        for name, value in {
            "decisions a month": f"{decisions / 1e6:.0f}e6",
            "decisions/s, mean": f"{decisions / DAYS / 86_400:.1f}",
            "decisions/s, busiest hour": f"{busiest * each:.0f}",
            "cores busy, mean": f"{gated * VIEWS / DAYS / 86_400:.1f}",
            f"cores, busiest hour at {BUSY:.0%}": f"{math.ceil(gated * busiest / BUSY)}",
            "of them for the gate": f"{math.ceil((gated - bare) * busiest / BUSY)}",
            "wait before a core, median ms": f"{half * 1e3:.2f}",
            "wait before a core, p99 ms": f"{slow * 1e3:.1f}",
            "database, cores in the busiest hour": f"{costs.database * busiest * each:.3f}",
            "WAL a month, GB": f"{decisions * costs.wal / 1e9:.1f}",
            "published a month, GB": f"{decisions * costs.published / 1e9:.2f}",
            **{f"database after {n} months, GB": f"{size / 1e9:.1f}" for n, size in growth},
        }.items():
            table.setdefault(name, []).append(value)
    print(f"\n| | {' | '.join(header)} |\n|{' --- |' * (len(header) + 1)}")
    for name, values in table.items():
        print(f"| {name} | {' | '.join(values)} |")


if __name__ == "__main__":
    main()
