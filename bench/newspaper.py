"""The newspaper under load, on two cores: `python bench/newspaper.py [SECONDS] [MINUTES]`. Needs wrk and nginx.

The same newspaper three times, each on a server of its own: bare, bare behind nginx that packs with `gzip -6`, and
behind the gate. The front page and its style sheet are asked of each with 64 connections for SECONDS in all, in slices
that take turns, so that whatever else the machine does falls on all alike. Then, with MINUTES, the gated front page
for that long, with the memory of its server every minute.

CPU is of the servers, nginx with what stands behind it, and ratios are of the same turn, the median of them.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import re
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from load import CONNECTIONS, resident
from proxy import cpu_seconds, nginx, started

from bandeau.adapters.server import listening, serve

BARE, PACKED, GATED = 7621, 7622, 7623
ASKED = {
    "the front page": ("/", "text/html", "document"),
    "its style sheet": ("/statique/lanterne.css", "text/css", "style"),
}
TURNS = 6
_UNITS = {"us": 0.001, "ms": 1.0, "s": 1000.0}


def child(folder: str, port: int) -> None:
    """Be the bare paper or the gated one."""
    demo = importlib.import_module("bandeau.demo.serve")
    site = demo.Site.from_policy(demo.policy(GATED), f"sqlite:///{folder}/b.db")
    application: Any = demo.application(GATED)
    if port == GATED:
        application = demo.Middleware(application, site)
    serve([(application, listening("127.0.0.1", port))], "ready")


def paper(folder: Path, port: int) -> contextlib.AbstractContextManager[int]:
    return started([sys.executable, __file__, "serve", str(folder), str(port)])


def answering(port: int) -> None:
    """Wait until a server takes connections."""
    for _ in range(100):
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
            return
        time.sleep(0.1)


@dataclass
class Figures:
    """What the turns gave: requests a second, milliseconds, CPU microseconds a request."""

    rates: list[float] = field(default_factory=list)
    middles: list[float] = field(default_factory=list)
    slowest: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)


def asked(port: int, what: str, seconds: float, pids: list[int], into: Figures) -> None:
    """Ask for one slice of time, and add what it gave."""
    path, accept, destination = ASKED[what]
    headers = (
        f"Host: lanterne.localhost:{GATED}",
        f"accept: {accept}",
        f"sec-fetch-dest: {destination}",
        "accept-encoding: gzip",
        "cookie: session=1; _x=2",
    )
    said = [word for header in headers for word in ("-H", header)]
    command = ["wrk", "-t", "1", "-c", str(CONNECTIONS), "-d", f"{seconds:.0f}s", "--latency"]
    before = sum(map(cpu_seconds, pids))
    out = subprocess.run(
        [*command, *said, f"http://127.0.0.1:{port}{path}"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    used = sum(map(cpu_seconds, pids)) - before
    rate = re.search(r"Requests/sec:\s+(\S+)", out)
    count = re.search(r"(\d+) requests in", out)
    late = {
        share: (float(n), unit)
        for share, n, unit in re.findall(r"(50|99)%\s+([\d.]+)(us|ms|s)", out)
    }
    assert rate, out
    assert count, out
    into.rates.append(float(rate[1]))
    into.middles.append(late["50"][0] * _UNITS[late["50"][1]])
    into.slowest.append(late["99"][0] * _UNITS[late["99"][1]])
    into.cpu.append(used / int(count[1]) * 1e6)
    into.failures += re.findall(r"(?:Socket errors|Non-2xx or 3xx responses):.*", out)


def printed(name: str, figures: Figures, bare: Figures) -> None:
    rate, middle, slow, cpu = (
        statistics.median(column)
        for column in (figures.rates, figures.middles, figures.slowest, figures.cpu)
    )
    ratio = statistics.median(a / b for a, b in zip(figures.rates, bare.rates, strict=True))
    dearer = statistics.median(a / b for a, b in zip(figures.cpu, bare.cpu, strict=True))
    print(
        f"  {name:26}{rate:8.0f}/s {ratio:5.2f}   p50 {middle:6.1f} ms   p99 {slow:6.1f} ms"
        f"   CPU {cpu:6.0f} us {dearer:5.2f}   {'; '.join(figures.failures) or 'no failure'}"
    )


def main() -> None:
    if sys.argv[1:2] == ["serve"]:
        child(sys.argv[2], int(sys.argv[3]))
        return
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 60.0
    minutes = int(sys.argv[2]) if len(sys.argv) > 2 else 0
    body = (
        "gzip on; gzip_comp_level 6; gzip_proxied any; gzip_types text/css;"
        f" upstream paper {{ server 127.0.0.1:{BARE}; keepalive 64; }}"
        f" server {{ listen 127.0.0.1:{PACKED}; location / {{ proxy_pass http://paper; proxy_set_header Host $http_host;"
        ' proxy_http_version 1.1; proxy_set_header Connection ""; } }'
    )
    with contextlib.ExitStack() as stack:
        folders = [Path(stack.enter_context(tempfile.TemporaryDirectory())) for _ in range(3)]
        bare = stack.enter_context(paper(folders[0], BARE))
        packed = stack.enter_context(nginx(folders[1], "packed", body))
        gated = stack.enter_context(paper(folders[2], GATED))
        servers = {
            "bare": (BARE, [bare]),
            "behind nginx, gzip -6": (PACKED, [packed, bare]),
            "behind the gate": (GATED, [gated]),
        }
        answering(PACKED)
        for what in ASKED:
            print(
                f"{what}, {CONNECTIONS} connections, {seconds:.0f} s each in {TURNS} turns, {os.cpu_count()} cores"
            )
            for port, pids in servers.values():
                asked(port, what, 2, pids, Figures())
            figures = {name: Figures() for name in servers}
            for _ in range(TURNS):
                for name, (port, pids) in servers.items():
                    asked(port, what, seconds / TURNS, pids, figures[name])
            for name in servers:
                printed(name, figures[name], figures["bare"])
        memory, long = [resident(gated)], Figures()
        for _ in range(minutes):
            asked(GATED, "the front page", 60, [gated], long)
            memory.append(resident(gated))
        if minutes:
            every = " ".join(f"{held:.1f}" for held in memory)
            print(
                f"behind the gate for {minutes} minutes, memory in MB each minute: {every}; {'; '.join(long.failures) or 'no failure'}"
            )


if __name__ == "__main__":
    main()
