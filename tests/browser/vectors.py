"""Every way known for a page to reach a stranger, one listener each, in up to three engines.

    .venv/bin/python tests/browser/vectors.py        writes docs/vectors.md

A row is reached when a connection is opened to its port, whether or not anything is asked on it. WebRTC
is counted by packets. Engines are started as a visitor starts them, with a page and a fresh profile.
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import serving
from bandeau.adapters.asgi import Middleware, Receive, Scope, Send, send_reply
from bandeau.policy.file import loads
from bandeau.site import Site
from bandeau.wire.messages import Reply
from browser.conftest import FLAGS
from browser.engines import process

STATIC = {
    "script": "<script src=U></script>",
    "picture": "<img src=U>",
    "picture, srcset": '<img srcset="U 1x">',
    "picture, source": '<picture><source srcset="U"><img></picture>',
    "video": "<video src=U preload=auto autoplay muted></video>",
    "video, poster": "<video poster=U></video>",
    "audio": "<audio src=U preload=auto></audio>",
    "track": "<video><track default src=U></video>",
    "style sheet": "<link rel=stylesheet href=U>",
    "style, import": "<style>@import url(U);</style>",
    "style, background": '<p style="background: url(U)">x</p>',
    "font": "<style>@font-face { font-family: f; src: url(U) } b { font-family: f }</style><b>x</b>",
    "drawing, image": "<svg><image href=U width=9 height=9 /></svg>",
    "input, image": "<input type=image src=U>",
    "table, background": "<table background=U><tr><td>x</table>",
    "object": "<object data=U></object>",
    "embed": "<embed src=U>",
    "frame": "<iframe src=U></iframe>",
    "frame, srcdoc, picture": '<iframe srcdoc="<img src=U>"></iframe>',
    "frame, srcdoc, frame": '<iframe srcdoc="<iframe src=U></iframe>"></iframe>',
    "frame, data": "<iframe src=\"data:text/html,<img src='U'>\"></iframe>",
    "manifest": "<link rel=manifest href=U>",
    "hint, preconnect": "<link rel=preconnect href=U>",
    "hint, prefetch": "<link rel=prefetch href=U>",
    "hint, preload": "<link rel=preload as=image href=U>",
    "hint, module": "<link rel=modulepreload href=U>",
    "hint, preconnect in srcdoc": '<iframe srcdoc="<link rel=preconnect href=U>"></iframe>',
    "speculation rules": '<script type=speculationrules>{"prefetch": [{"urls": ["U"]}]}</script>',
    "noscript, picture": "<noscript><img src=U></noscript>",
}
SCRIPTED = {
    "script by script": "const s = document.createElement('script'); s.src = U; document.head.append(s)",
    "picture by script": "new Image().src = U",
    "fetch": "fetch(U, {mode: 'no-cors'}).catch(() => 0)",
    "fetch, keepalive": "fetch(U, {mode: 'no-cors', keepalive: true}).catch(() => 0)",
    "XMLHttpRequest": "const x = new XMLHttpRequest(); x.open('GET', U); x.send()",
    "beacon": "navigator.sendBeacon(U, 'x')",
    "WebSocket": "new WebSocket(U.replace('http', 'ws'))",
    "EventSource": "new EventSource(U)",
    "import": "import(U).catch(() => 0)",
    "worker": "new Worker(URL.createObjectURL(new Blob([`fetch('${U}', {mode: 'no-cors'}).catch(() => 0)`])))",
    "frame by script": "const f = document.createElement('iframe'); f.src = U; document.body.append(f)",
    "frame by innerHTML": "document.body.insertAdjacentHTML('beforeend', `<iframe src='${U}'></iframe>`)",
    "preconnect by script": "const l = document.createElement('link'); l.rel = 'preconnect'; l.href = U; document.head.append(l)",
    "form by script": """const f = document.createElement('iframe'); f.name = 'n' + Math.random(); const o = document.createElement('form');
        o.action = U; o.method = 'post'; o.target = f.name; document.body.append(f, o); o.submit()""",
    "ping": "const a = document.createElement('a'); a.href = '#'; a.ping = U; document.body.append(a); a.click()",
    "speculation rules by script": """const s = document.createElement('script'); s.type = 'speculationrules';
        s.textContent = JSON.stringify({prefetch: [{urls: [U]}]}); document.head.append(s)""",
    "style rule by script": """const s = document.createElement('style'); document.head.append(s); s.sheet.insertRule(`i { background: url(${U}) }`);
        const i = document.createElement('i'); i.textContent = 'x'; document.body.append(i)""",
    "document.write in a frame": """const f = document.createElement('iframe'); document.body.append(f);
        f.contentDocument.write(`<img src='${U}'>`)""",
    "blob frame": """const f = document.createElement('iframe');
        f.src = URL.createObjectURL(new Blob([`<img src='${U}'>`], {type: 'text/html'})); document.body.append(f)""",
    "fresh realm, picture": "const f = document.createElement('iframe'); document.body.append(f); new f.contentWindow.Image().src = U",
    "fresh realm, fetch": "const f = document.createElement('iframe'); document.body.append(f); f.contentWindow.fetch(U, {mode: 'no-cors'}).catch(() => 0)",
    "fresh realm, frame": """const f = document.createElement('iframe'); document.body.append(f); const d = f.contentDocument;
        const g = d.createElement('iframe'); g.src = U; d.body.append(g)""",
    "fresh realm, preconnect": """const f = document.createElement('iframe'); document.body.append(f); const d = f.contentDocument;
        const l = d.createElement('link'); l.rel = 'preconnect'; l.href = U; d.head.append(l)""",
    "WebRTC (UDP)": """const p = new RTCPeerConnection({iceServers: [{urls: 'stun:' + new URL(U).host}]});
        p.createDataChannel('x'); p.createOffer().then(o => p.setLocalDescription(o))""",
}
NAVIGATING = {
    "refresh": "<meta http-equiv=refresh content='0;url=U'>",
    "script redirect": "<script>location = 'U'</script>",
    "window.open": "<script>window.open('U')</script>",
    "link": "<a href=U id=a>x</a><script>document.getElementById('a').click()</script>",
    "302": "<script>location = '/redirect?U'</script>",
}
ROWS = [*STATIC, *SCRIPTED, *NAVIGATING]
GUARDED = ("fresh realm, frame", "fresh realm, preconnect")  # bare connections, no request follows
POLICY = """
version = 1
[proof]
keep_days = 1
[controller]
name = "-"
address = "-"
contact = "-"
privacy_policy = "-"
[site]
origins = ["http://site.localhost:{port}"]
languages = ["en"]
network = "{network}"
[[purpose]]
id = "ads"
"""


@dataclass
class Listeners:
    """One TCP and UDP port for each row, and the rows that were reached."""

    ports: dict[str, int] = field(default_factory=dict)
    reached: set[str] = field(default_factory=set)

    def url(self, row: str) -> str:
        return f"http://stranger.localhost:{self.ports[row]}/x"


@contextlib.contextmanager
def listening() -> Iterator[Listeners]:
    made = Listeners()
    loop = asyncio.new_event_loop()

    def accepts(row: str) -> serving.Answer:
        async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            made.reached.add(row)
            with contextlib.suppress(OSError, TimeoutError), contextlib.closing(writer):
                await asyncio.wait_for(reader.read(4096), 2)
                writer.write(
                    b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nAccess-Control-Allow-Origin: *\r\nConnection: close\r\n\r\n"
                )
                await writer.drain()

        return accept  # type: ignore[return-value]

    class Datagrams(asyncio.DatagramProtocol):
        def __init__(self, row: str) -> None:
            self.row = row

        def datagram_received(self, _data: bytes, _address: object) -> None:
            made.reached.add(self.row)

    opened: list[asyncio.AbstractServer | asyncio.BaseTransport] = []

    async def start() -> None:
        for row in ROWS:
            server = await asyncio.start_server(accepts(row), "127.0.0.1", 0)  # type: ignore[arg-type]
            made.ports[row] = server.sockets[0].getsockname()[1]
            opened.append(server)
            with contextlib.suppress(OSError):
                transport, _ = await loop.create_datagram_endpoint(
                    partial(Datagrams, row), ("127.0.0.1", made.ports[row])
                )
                opened.append(transport)

    async def end() -> None:
        for one in opened:
            one.close()
        tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.sleep(0.1)

    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    asyncio.run_coroutine_threadsafe(start(), loop).result(10)
    try:
        yield made
    finally:
        asyncio.run_coroutine_threadsafe(end(), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(5)
        loop.close()


def page_of(listeners: Listeners) -> bytes:
    """Return the page that tries every way that does not lead away."""
    parts = [html.replace("U", listeners.url(row)) for row, html in STATIC.items()]
    tries = [
        f"try {{ ((U) => {{ {code} }})('{listeners.url(row)}') }} catch {{}}"
        for row, code in SCRIPTED.items()
    ]
    script = ";\n".join(tries)
    return f"<!doctype html><html lang=en><head><title>vectors</title></head><body>{''.join(parts)}<script>{script}</script></body></html>".encode()


@contextlib.contextmanager
def site(listeners: Listeners, mode: str, folder: Path) -> Iterator[int]:
    """Serve the page raw, or behind the gate in a network mode."""
    bodies = {"/": page_of(listeners)}
    bodies |= {
        f"/nav/{n}": html.replace("U", listeners.url(row)).encode()
        for n, (row, html) in enumerate(NAVIGATING.items())
    }

    async def own(scope: Scope, _receive: Receive, send: Send) -> None:
        if scope["path"] == "/redirect":
            await send_reply(send, Reply(302, [(b"location", scope["query_string"])]), head=False)
            return
        body = bodies.get(scope["path"], b"")
        await send_reply(
            send, Reply(200, [(b"content-type", b"text/html; charset=utf-8")], body), head=False
        )

    bound: list[object] = []

    async def front(scope: Scope, receive: Receive, send: Send) -> None:
        await bound[0](scope, receive, send)  # type: ignore[operator]

    with serving.running(front, lifespan=False) as port:
        if mode == "raw":
            bound.append(own)
            yield port
            return
        gated = Site.from_policy(
            loads(POLICY.format(port=port, network=mode)), f"sqlite:///{folder / 'b.db'}"
        )
        bound.append(Middleware(own, gated))
        yield port
        gated.close()


@contextlib.contextmanager
def chromium(url: str, profile: Path) -> Iterator[None]:
    flags = [
        *FLAGS,
        "--remote-debugging-port=0",
        "--disable-popup-blocking",
        f"--user-data-dir={profile}",
    ]
    with process(["chromium", *flags, url]):
        yield


@contextlib.contextmanager
def firefox(url: str, profile: Path) -> Iterator[None]:
    quiet = {
        "browser.shell.checkDefaultBrowser": False, "datareporting.policy.dataSubmissionEnabled": False, "app.update.enabled": False,
        "browser.startup.homepage_override.mstone": "ignore", "dom.disable_open_during_load": False, "network.captive-portal-service.enabled": False,
        "toolkit.telemetry.reportingpolicy.firstRun": False, "browser.aboutwelcome.enabled": False,
    }  # fmt: skip
    profile.mkdir()
    lines = [
        f'user_pref("{name}", {str(value).lower() if isinstance(value, bool) else repr(value)});'
        for name, value in quiet.items()
    ]
    (profile / "user.js").write_text("\n".join(lines).replace("'", '"'))
    with process(["firefox-esr", "--headless", "--no-remote", "--profile", str(profile), url]):
        yield


@contextlib.contextmanager
def webkit(url: str, profile: Path) -> Iterator[None]:
    profile.mkdir()
    found = max(map(str, Path("/usr/lib").glob("*/webkit2gtk-4.*/MiniBrowser")))
    command = [
        "xvfb-run",
        "-a",
        found,
        "--javascript-can-open-windows-automatically=true",
        "--private",
        url,
    ]
    with process(command, profile):
        yield


ENGINES = {"Chromium": chromium, "WebKitGTK": webkit, "Firefox": firefox}
NEEDS = {"Chromium": "chromium", "WebKitGTK": "xvfb-run", "Firefox": "firefox-esr"}


def measure(engine: str, mode: str, wait: float = 8.0) -> set[str]:
    """Return the rows that an engine reaches in a mode: raw, default or strict."""
    with listening() as listeners, tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        with site(listeners, mode, folder) as port:
            for path in ["/", *(f"/nav/{n}" for n in range(len(NAVIGATING)))]:
                profile = folder / path.replace("/", "-")
                with ENGINES[engine](f"http://site.localhost:{port}{path}", profile):
                    time.sleep(wait if path == "/" else wait / 2)
        time.sleep(0.3)
        return set(listeners.reached)


def table(
    rows: list[str], columns: list[tuple[str, str]], results: dict[tuple[str, str], set[str]]
) -> list[str]:
    """Return the rows of a table, and how many of them were reached."""
    lines = [
        f"| {row} | "
        + " | ".join("●" if row in results[column] else "" for column in columns)
        + " |"
        for row in rows
    ]
    sums = (f"**{len(results[column] & set(rows))}**" for column in columns)
    return [*lines, f"| **reached** | {' | '.join(sums)} |"]


def main() -> None:
    """Measure what is installed and write the table."""
    columns = [(engine, mode) for engine in ENGINES if shutil.which(NEEDS[engine])
               for mode in ("raw", "default", "strict") if engine == "Chromium" or mode != "strict"]  # fmt: skip
    results = {column: measure(*column) for column in columns}
    lines = ["# What a page can still reach", "",
             f"{len(ROWS)} ways to reach a stranger, before any choice, each with a port of its own; ● is a connection, whether or not a request followed.",
             "“Raw” is the page without the gate. “Default” and “strict” are the network modes. Written by `tests/browser/vectors.py`.",
             "What stays in default mode is where a visitor is led. The browsers are started to let `window.open` through without a click; stock WebKitGTK and Firefox do not.", "",
             "| | " + " | ".join(f"{engine}, {mode}" for engine, mode in columns) + " |", "| --- |" + " --- |" * len(columns)]  # fmt: skip
    apart = [row for row in ROWS if row.startswith(GUARDED)]
    lines += table([row for row in ROWS if row not in apart], columns, results)
    lines += ["", "Apart, what no header holds and only the guard does, which a fresh realm walks round:", ""]  # fmt: skip
    lines += [lines[6], lines[7], *table(apart, columns, results)]
    (Path(__file__).resolve().parents[2] / "docs" / "vectors.md").write_text(
        "\n".join(lines) + "\n", "utf-8"
    )


if __name__ == "__main__":
    main()
