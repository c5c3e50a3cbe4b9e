"""`bandeau demo`: the paper behind the gate, its third parties, all on loopback in one process."""

from __future__ import annotations

import sys
import tomllib
from importlib.resources import files
from pathlib import Path

from bandeau.adapters.asgi import ASGIApp, Middleware, Receive, Scope, Send, request_of
from bandeau.adapters.server import listening, serve_all
from bandeau.demo.paper import application
from bandeau.demo.parties import Parties
from bandeau.errors import BandeauError
from bandeau.policy.file import from_table
from bandeau.policy.model import Policy
from bandeau.site import Site


def policy(port: int) -> Policy:
    """Return the paper's policy for the port it is served on."""
    table = tomllib.loads((files("bandeau.demo") / "bandeau.toml").read_text("utf-8"))
    table["site"]["origins"] = [f"http://lanterne.localhost:{port}"]
    return from_table(table)[0]


class Street:
    """Everything that answers on one port: the third parties by their Host, else the paper."""

    def __init__(self, paper: ASGIApp, parties: Parties) -> None:
        self._paper = paper
        self._parties = parties

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and Parties.plays(request_of(scope).host.partition(":")[0]):
            await self._parties(scope, receive, send)
        else:
            await self._paper(scope, receive, send)


def run(port: int, data: Path, *, without_gate: bool) -> int:
    """Serve until interrupted. Returns the exit code: 2 for a taken port or unusable data."""
    try:
        bound = [listening("127.0.0.1", port)]
        if without_gate:
            bound.append(listening("127.0.0.1", port + 2))
        site = Site.from_policy(policy(port), f"sqlite:///{data.resolve() / 'bandeau.db'}")
    except (BandeauError, OSError) as error:
        print(error, file=sys.stderr)
        return 2
    parties, paper = Parties(port), application(port)
    applications = [(Street(Middleware(paper, site), parties), bound[0])]
    addresses = [f"http://lanterne.localhost:{port}/"]
    if without_gate:
        applications.append((paper, bound[1]))
        addresses.append(f"http://lanterne.localhost:{port + 2}/ (without the gate)")
    try:
        serve_all(applications, "ready " + " ".join(addresses))
    finally:
        site.close()
    return 0
