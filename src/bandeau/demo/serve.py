"""`bandeau demo`: the paper behind the gate, its third parties and its comment server, on loopback.

Third parties answer on the paper's own port, told apart by Host; Isso is a process of its own on the
next one; the raw paper, for comparison, two further on.
"""

from __future__ import annotations

import contextlib
import socket
import sys
import tomllib
from importlib.resources import files
from pathlib import Path

from bandeau.adapters.asgi import ASGIApp, Middleware, Receive, Scope, Send, request_of
from bandeau.adapters.server import listening, serve
from bandeau.demo import comments
from bandeau.demo.paper import application
from bandeau.demo.parties import Parties, party_of
from bandeau.errors import BandeauError
from bandeau.policy.file import from_table
from bandeau.policy.model import Policy
from bandeau.site import Site

HOST = "lanterne.localhost"  # browsers resolve it to loopback by themselves (RFC 6761 6.3)


def policy(port: int) -> Policy:
    """Return the paper's policy for the port it is served on."""
    table = tomllib.loads((files("bandeau.demo") / "bandeau.toml").read_text("utf-8"))
    table["site"]["origins"] = [f"http://{HOST}:{port}"]
    return from_table(table)[0]


class Street:
    """Everything that answers on one port: the third parties by their Host, else the paper."""

    def __init__(self, paper: ASGIApp, parties: Parties) -> None:
        self._paper = paper
        self._parties = parties

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and party_of(request_of(scope).host):
            await self._parties(scope, receive, send)
        else:
            await self._paper(scope, receive, send)


def run(port: int, data: Path, *, without_gate: bool) -> int:
    """Serve until interrupted. Returns the exit code: 2 for a taken port or unusable data."""
    numbers = [port, port + 1] + ([port + 2] if without_gate else [])
    with contextlib.ExitStack() as stack:
        try:
            bound = [stack.enter_context(listening("127.0.0.1", number)) for number in numbers]
            data.mkdir(parents=True, exist_ok=True)
            site = Site.from_policy(policy(port), f"sqlite:///{data.resolve() / 'bandeau.db'}")
            stack.callback(site.close)
            origins = [f"http://{HOST}:{number}" for number in (port, port + 2)]
            stack.enter_context(comments.served(data, bound[1], origins))
        except (BandeauError, OSError, comments.MissingError) as error:
            print(error, file=sys.stderr)
            return 2
        _serve(port, site, bound)
    return 0


def _serve(port: int, site: Site, bound: list[socket.socket]) -> None:
    paper = Middleware(application(port, site.views, site.notice.trackers_data()), site)
    served: list[tuple[ASGIApp, socket.socket]] = [(Street(paper, Parties()), bound[0])]
    addresses = [f"http://{HOST}:{port}/", f"http://commentaires.localhost:{port + 1}/"]
    for raw in bound[2:]:
        served.append((application(port), raw))
        addresses.append(f"http://{HOST}:{port + 2}/")
    serve(served, "ready " + " ".join(addresses))
