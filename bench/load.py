"""Sixty-four connections at once, with and without the gate: `python bench/load.py [SECONDS]`. Needs wrk.

One Starlette site on uvicorn, served bare and behind the gate in processes of their own, and asked
in turn: a page of 20 kB, the same as one that caches may keep, and an answer that is no page. For each: requests a second, the 99th
percentile, failures, and how much the server's memory grew while it was asked.
"""

from __future__ import annotations

import contextlib
import importlib
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from proxy import started
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse
from starlette.routing import Route

from bandeau import Bandeau
from bandeau.adapters.server import listening, serve

CONNECTIONS, SECONDS = 64, 60
BARE, GATED = 7611, 7612
ASKED = [
    ("a page of 20 kB", "/", "text/html", "document"),
    ("the same page, which the site lets caches keep", "/kept", "text/html", "document"),
    ("an answer that is no page", "/api", "*/*", "empty"),
]


def site() -> Starlette:
    part = importlib.import_module("splice").part
    body = b"<!doctype html><html lang=fr><head><title>t</title></head><body>"
    body = body + part() + b"</body></html>"

    async def page(_request: Request) -> HTMLResponse:
        return HTMLResponse(body)

    async def kept(_request: Request) -> HTMLResponse:
        return HTMLResponse(body, headers={"cache-control": "public, max-age=60"})

    async def data(_request: Request) -> JSONResponse:
        return JSONResponse({"a": 1})

    return Starlette(routes=[Route("/", page), Route("/kept", kept), Route("/api", data)])


def child(folder: str, port: int) -> None:
    """Be one of the two servers."""
    application: Any = site()
    if port == GATED:
        policy = Path(folder) / "bandeau.toml"
        origin = f'["http://127.0.0.1:{GATED}"]'
        text: str = importlib.import_module("gate").POLICY
        policy.write_text(text.replace('["https://paper.example"]', origin))
        application = Bandeau.from_file(policy, f"sqlite:///{folder}/b.db").asgi(application)
    serve([(application, listening("127.0.0.1", port))], "ready")


def server(folder: str, port: int) -> contextlib.AbstractContextManager[int]:
    return started([sys.executable, __file__, "serve", folder, str(port)])


def resident(pid: int) -> float:
    """Return a process's resident memory, in MB."""
    found = re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())
    return int(found[1]) / 1000 if found else 0.0


def measured(port: int, path: str, accept: str, destination: str, seconds: int) -> str:
    headers = (f"accept: {accept}", f"sec-fetch-dest: {destination}", "cookie: session=1; _x=2")
    said = [word for header in headers for word in ("-H", header)]
    command = ["wrk", "-t", "1", "-c", str(CONNECTIONS), "-d", f"{seconds}s", "--latency", *said]
    out = subprocess.run(
        [*command, f"http://127.0.0.1:{port}{path}"], check=True, capture_output=True, text=True
    ).stdout
    rate = re.search(r"Requests/sec:\s+(\S+)", out)
    slow = re.search(r"99%\s+(\S+)", out)
    assert rate, out
    assert slow, out
    failures = re.findall(r"(?:Socket errors|Non-2xx or 3xx responses):.*", out)
    return f"{float(rate[1]):8.0f}/s   p99 {slow[1]:>9}   {'; '.join(failures) or 'no failure'}"


def main() -> None:
    if sys.argv[1:2] == ["serve"]:
        child(sys.argv[2], int(sys.argv[3]))
        return
    seconds = int(sys.argv[1]) if len(sys.argv) > 1 else SECONDS
    for name, *asked in ASKED:
        print(f"{name}, {CONNECTIONS} connections, {seconds} s each")
        for port, word in ((BARE, "bare"), (GATED, "gated")):
            with tempfile.TemporaryDirectory() as folder, server(folder, port) as pid:
                measured(port, *asked, 3)
                before = resident(pid)
                line = measured(port, *asked, seconds)
                print(f"  {word:6} {line}   memory {resident(pid) - before:+.1f} MB")


if __name__ == "__main__":
    main()
