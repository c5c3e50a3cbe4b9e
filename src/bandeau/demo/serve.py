"""`bandeau demo`: the paper behind the gate and its third parties, on loopback, in one process."""

from __future__ import annotations

import sys
import tomllib
from importlib.resources import files
from pathlib import Path

from bandeau.adapters.asgi import ASGIApp, Middleware, Receive, Scope, Send, request_of
from bandeau.adapters.server import listening, serve
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
    bound = []
    try:
        bound = [
            listening("127.0.0.1", number) for number in ports(port, without_gate=without_gate)
        ]
        data.mkdir(parents=True, exist_ok=True)
        site = Site.from_policy(policy(port), f"sqlite:///{data.resolve() / 'bandeau.db'}")
    except (BandeauError, OSError) as error:
        print(error, file=sys.stderr)
        for each in bound:
            each.close()
        return 2
    paper = application(port)
    served: list[ASGIApp] = [Street(Middleware(paper, site), Parties()), paper]
    addresses = [f"http://{HOST}:{number}/" for number in ports(port, without_gate=without_gate)]
    try:
        serve(list(zip(served, bound, strict=False)), "ready " + " ".join(addresses))
    finally:
        site.close()
    return 0


def ports(port: int, *, without_gate: bool) -> list[int]:
    """Return the ports that are listened on: the street's, and the raw paper's two further on."""
    return [port, port + 2] if without_gate else [port]
