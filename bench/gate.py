"""What the gate costs a request: `python bench/gate.py`. Medians of interleaved rounds in one process.

Without HTML: an ASGI application that answers JSON, bare and behind the gate, called without a socket;
by visitors who are known (they loaded a page just now, as most requests' visitors did) and by new ones.
With HTML: pages of 100 kB and 500 kB through the gate, beside gzip -6 and beside rendering as much
text with Jinja2.
"""

from __future__ import annotations

import asyncio
import importlib
import itertools
import statistics
import tempfile
import time
import zlib
from collections.abc import Callable
from pathlib import Path

import jinja2

from bandeau import Bandeau
from bandeau.adapters.asgi import Message, Receive, Scope, Send
from bandeau.decision import cookie
from bandeau.policy.file import loads

ROUNDS = 5
POLICY = (
    'version = 1\n[proof]\nkeep_days = 912\n[controller]\nname = "a"\naddress = "a"\ncontact = "a"\n'
    'privacy_policy = "/"\n[site]\norigins = ["https://paper.example"]\nlanguages = ["fr"]\n'
    '[[purpose]]\nid = "social"\n[[service]]\nid = "s"\npurpose = "social"\nrecipient = "r"\n'
    'hosts = [{ host = "s.example", kinds = ["script", "frame"] }]\n'
    '[[tracker]]\nname = "session"\nkind = "cookie"\npurpose = "technical"\n'
)
TEMPLATE = """{% for row in rows %}<p class="{{ row.a }}">{{ row.b }} <a href="/{{ row.c }}">{{ row.d }}</a>
<em>{{ row.e }}</em>{% if row.c %}<br><img src="/{{ row.c }}.png" alt="">{% endif %}</p>{% endfor %}"""
COOKIES = b"; ".join(b"name%d=value-of-some-length-%d" % (n, n) for n in range(10)) + b"; session=1"
SERIAL = itertools.count()


def scope(path: str, accept: bytes, destination: bytes, cookies: bytes = COOKIES) -> Scope:
    return {
        "type": "http", "method": "GET", "scheme": "https", "path": path, "raw_path": path.encode(), "query_string": b"",
        "headers": [(b"host", b"paper.example"), (b"accept", accept), (b"sec-fetch-dest", destination), (b"cookie", cookies),
                    (b"user-agent", b"Mozilla/5.0 (X11; Linux x86_64)"), (b"accept-language", b"fr-FR,fr;q=0.9")],
    }  # fmt: skip


def application(
    body: bytes, kind: bytes, caching: bytes = b"no-cache"
) -> Callable[[Scope, Receive, Send], object]:
    head: Message = {
        "type": "http.response.start",
        "status": 200,
        "headers": [(b"content-type", kind), (b"cache-control", caching)],
    }

    async def answer(_scope: Scope, _receive: Receive, send: Send) -> None:
        await send(dict(head))
        await send({"type": "http.response.body", "body": body})

    return answer


async def _receive() -> Message:
    return {"type": "http.request", "body": b""}


async def _send(_message: Message) -> None:
    pass


def seconds(app: object, asked: Scope, count: int, *, new: bytes = b"") -> float:
    """Return the time of one request, over `count` of them; with `new` cookies by a visitor each."""
    scopes = [dict(asked) for _ in range(count)]
    for one in scopes if new else ():
        kept = [pair for pair in asked["headers"] if pair[0] != b"cookie"]
        one["headers"] = [*kept, (b"cookie", b"n=%d; %s" % (next(SERIAL), new))]

    async def run() -> float:
        started = time.perf_counter()
        for one in scopes:
            await app(one, _receive, _send)  # type: ignore[operator]
        return (time.perf_counter() - started) / count

    return asyncio.run(run())


def medians(*tasks: Callable[[], float]) -> list[float]:
    rounds = [[task() for task in tasks] for _ in range(ROUNDS)]
    return [statistics.median(column) for column in zip(*rounds, strict=True)]


def once(task: Callable[[], object]) -> float:
    started = time.perf_counter()
    task()
    return time.perf_counter() - started


def main() -> None:
    splice = importlib.import_module("splice")
    with tempfile.TemporaryDirectory() as folder:
        site = Bandeau.from_policy(loads(POLICY), f"sqlite:///{Path(folder) / 'b.db'}")
        assert isinstance(site, Bandeau)
        bare = application(b'{"a": 1}', b"application/json")
        gated = site.asgi(bare)  # type: ignore[arg-type]
        asked = scope("/api", b"*/*", b"empty")
        all_of_it = frozenset(site.current.order)
        made = cookie.Choice(site.current.digest, all_of_it, all_of_it, int(time.time() // 60))
        value = cookie.encode(made, site.current.order, site.desk.key)
        chosen = COOKIES + b"; __Host-bandeau=" + value.encode()
        columns = {
            "bare": lambda: seconds(bare, asked, 5000),
            "a known visitor": lambda: seconds(gated, asked, 5000),
            "a known visitor with a choice": lambda: seconds(
                gated, scope("/api", b"*/*", b"empty", chosen), 5000
            ),
            "a new visitor": lambda: seconds(gated, asked, 5000, new=COOKIES),
            "a new visitor with a choice": lambda: seconds(gated, asked, 5000, new=chosen),
        }
        first, *others = medians(*columns.values())
        print(f"a request that is no page, 11 cookies: bare {first * 1e6:.1f} µs, through the gate")
        for name, found in zip(list(columns)[1:], others, strict=True):
            print(f"  {name:30} {found * 1e6:6.1f} µs   more {(found - first) * 1e6:5.1f} µs")
        for size in (100_000, 500_000):
            page = splice.pages()[0]
            while len(page) < size:
                page = page.replace(b"</body>", splice.part() + b"</body>")
            page = page[: page.rfind(b"\n", 0, size - 20)] + b"</body></html>"
            row = {
                key: splice.words(n).decode()
                for key, n in (("a", 1), ("b", 60), ("c", 1), ("d", 3), ("e", 2))
            }
            template = jinja2.Environment(autoescape=True).from_string(TEMPLATE)
            rows = [row] * (len(page) // len(template.render(rows=[row])))
            kind = b"text/html; charset=utf-8"
            gated = site.asgi(application(page, kind))  # type: ignore[arg-type]
            lasting = site.asgi(application(page, kind, b"public, max-age=60"))  # type: ignore[arg-type]
            asked = scope("/", b"text/html", b"document")
            ours, kept, packed, rendered = medians(
                lambda gated=gated, asked=asked: seconds(gated, asked, 20),  # type: ignore[misc]
                lambda kept=lasting, asked=asked: seconds(kept, asked, 20),  # type: ignore[misc]
                lambda page=page: once(lambda: zlib.compress(page, 6)),  # type: ignore[misc]
                lambda t=template, r=rows: once(lambda: t.render(rows=r)),  # type: ignore[misc]
            )
            print(f"a page of {len(page) // 1000} kB")
            print(
                f"  gated {ours * 1e3:6.2f} ms   gzip -6 {packed * 1e3:6.2f} ms ({ours / packed:.2f})",
                end="",
            )
            print(f"   Jinja2, as much text {rendered * 1e3:6.2f} ms ({ours / rendered:.2f})")
            print(f"  gated, from memory {kept * 1e3:6.2f} ms")
        site.close()


if __name__ == "__main__":
    main()
