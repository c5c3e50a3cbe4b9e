"""Page views through a server and the gate, from several connections at once: each is counted once."""

from __future__ import annotations

import http.client
import os
import re
import sqlite3
import threading
from pathlib import Path

import serving
from bandeau.adapters.asgi import Middleware, Receive, Scope, Send, send_reply
from bandeau.policy.file import loads
from bandeau.site import Site
from bandeau.wire.messages import Reply
from conftest import ORIGIN, SMALL

VIEWS = 100_000 if os.environ.get("BANDEAU_PROVE") else 2_000
CONNECTIONS = 8
AGENTS = {
    "phone": "Mozilla/5.0 (iPhone; CPU iPhone OS 17_0 like Mac OS X) Mobile/15E148",
    "desktop": "Mozilla/5.0 (X11; Linux x86_64; rv:132.0) Gecko/20100101 Firefox/132.0",
}


async def site_of(_scope: Scope, _receive: Receive, send: Send) -> None:
    kind = [(b"content-type", b"text/html; charset=utf-8")]
    page = b"<!doctype html><html lang=en><head><title>t</title></head><body><p>text</body></html>"
    await send_reply(send, Reply(200, kind, page), head=False)


def resident() -> int:
    found = re.search(r"VmRSS:\s+(\d+)", Path("/proc/self/status").read_text())
    return int(found[1]) if found else 0


def ask_many(port: int, count: int, first: int) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    for number in range(first, first + count):
        device = "phone" if number % 4 else "desktop"
        connection.request("GET", f"/page/{number % 20}?visitor={number}", headers={
            "Host": ORIGIN.partition("//")[2], "User-Agent": AGENTS[device], "Accept": "text/html",
            "Sec-Fetch-Dest": "document", "Cookie": f"session=secret-{number}", "X-Forwarded-For": "203.0.113.7",
            "Referer": f"https://search.example/?q=visitor-{number}",
        })  # fmt: skip
        with connection.getresponse() as answer:
            assert answer.status == 200
            answer.read()
    connection.close()


def test_every_view_is_counted_and_nobody_is_kept(tmp_path: Path) -> None:
    text = SMALL + "\n[measure]\npage_views = true\n"
    site = Site.from_policy(loads(text), f"sqlite:///{tmp_path / 'b.db'}")
    each = VIEWS // CONNECTIONS
    with serving.running(Middleware(site_of, site), lifespan=False) as port:
        ask_many(port, 200, 0)  # what grows once has grown
        assert site.views
        before = sum(count for _, count in site.views.sums("path")), resident()
        threads = [
            threading.Thread(target=ask_many, args=(port, each, number * each))
            for number in range(CONNECTIONS)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        grown = resident() - before[1]
    site.close()
    with sqlite3.connect(tmp_path / "b.db") as database:
        (total,) = database.execute("SELECT SUM(views) FROM page_view").fetchone()
        dump = "\n".join(database.iterdump())
    assert total - before[0] == each * CONNECTIONS
    assert grown < 16_384, f"{grown} kB more"
    for secret in ("visitor", "secret", "203.0.113", "Mozilla", "iPhone"):
        assert secret not in dump
    rows = [line for line in dump.splitlines() if 'INTO "page_view"' in line]
    assert len(rows) == 20
    print(f"{total} views, {len(rows)} rows, {grown} kB more; such as {rows[0]}")  # noqa: T201
