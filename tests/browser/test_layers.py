"""Each layer of the gate out of work in turn: the inspector finds what that layer alone holds.

Nothing in bandeau switches a layer off, so no release can be served without one: what does a layer's
work is replaced here, in the process that serves. BANDEAU_PROVE=1 tries every layer.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

import serving
from bandeau import endpoints
from bandeau.adapters.asgi import ASGIApp, Middleware, Receive, Scope, Send, request_of, send_reply
from bandeau.audit.judge import Case, Outcome, judge
from bandeau.audit.ruleset import load
from bandeau.audit.scenario import Plan, apart, run
from bandeau.demo import serve as demo
from bandeau.demo.paper import application
from bandeau.demo.parties import Parties
from bandeau.gate import connections, cookies, csp, guard, markup, response, strict
from bandeau.gate import headers as heads
from bandeau.gate.verdict import Rules
from bandeau.policy.file import loads
from bandeau.policy.model import Policy
from bandeau.site import Site
from bandeau.wire.headers import RawHeaders
from bandeau.wire.messages import Reply
from browser.conftest import ARTICLE

if not shutil.which("chromium"):
    pytest.skip("there is no chromium here", allow_module_level=True)
PROVE = bool(os.environ.get("BANDEAU_PROVE"))
thorough = pytest.mark.skipif(not PROVE, reason="BANDEAU_PROVE=1 walks without each layer")

POLICY = """
version = 1
proof.keep_days = 912
controller = {{ name = "Own Press", address = "x", contact = "dpo@own.example", privacy_policy = "/privacy" }}
site = {{ origins = ["http://site.localhost:{port}"], languages = ["en"], network = "{network}" }}
purpose = [{{ id = "ads" }}]
[[service]]
id = "slot"
purpose = "ads"
recipient = "Adco"
open = "frame"
routes = ["/slot"]
hosts = [{{ host = "ads.localhost", kinds = ["script", "image", "frame"] }}]
[[tracker]]
name = "ad"
kind = "cookie"
service = "slot"
max_age_days = 1
"""
ID = "=0123456789abcdef; path=/; max-age=999"
STRANGER = "http://stranger.localhost:PORT/page"
Page = tuple[str, dict[str, str]]
PAGES: dict[str, Page] = {  # what stands in a page, and what comes in its head
    "/": ("", {}),
    "/privacy": ("<p>Own Press shares with Adco.", {}),
    "/keeps": ("", {"set-cookie": f"ad{ID}; httponly"}),
    "/hints": ("", {"link": f"<{STRANGER}>; rel=preconnect"}),
    "/loads": (f"<script>new Image().src = '{STRANGER}'</script>", {}),
    "/refreshes": (f"<meta http-equiv=refresh content='0;url={STRANGER}'>", {}),
    "/frames": ("<iframe src=/slot title=x></iframe>", {}),
    "/slot": (
        f"<script>const f = document.createElement('iframe'); document.body.append(f); f.contentDocument.cookie = 'slot{ID}'</script>",
        {},
    ),
    "/cached": ("", {"cache-control": "public, max-age=600"}),
    "/strict": (
        f"<script nonce=abc>document.cookie = 'written{ID}'</script>",
        {"content-security-policy": "script-src 'nonce-abc'"},
    ),
    "/leaves": (f"<script>location = '{STRANGER}'</script>", {}),
}


class Layer(NamedTuple):
    """What does the work and by what it is replaced, and a page of which nothing else holds what it brings."""

    off: list[tuple[Any, str, Any]]
    page: str
    walk: str
    rule: str  # that fails without the layer
    network: str = "default"


LAYERS = {
    "response cookies": Layer(
        [(cookies, "response", lambda headers, _: cookies.Filtered(headers, ()))],
        ARTICLE, "no-choice", "C1",
    ),
    "sweep": Layer([(cookies, "sweep", lambda *_, **__: [])], "/keeps", "withdraw", "G4"),
    "response headers": Layer(
        [(heads, "reaching", lambda headers, *_: headers)], "/hints", "no-choice", "C3"
    ),
    "browser policy": Layer([(csp, "policy", lambda *_, **__: "")], "/loads", "no-choice", "C3"),
    "frame's policy": Layer(
        [(csp, "frame_policy", lambda *_, **__: "")], "/frames", "only:ads", "F1"
    ),
    "markup": Layer([(markup, "_EDITS", {})], "/refreshes", "no-choice", "C3"),
    "guard": Layer([(guard, "tag", lambda *_: b"")], ARTICLE, "no-choice", "C1"),
    "admitted parts": Layer(
        [(strict, "admit", lambda headers, _: (headers, None))], "/strict", "no-choice", "C1"
    ),
    "routes": Layer([(Rules, "closed", lambda *_: None)], ARTICLE, "no-choice", "C3"),
    "caching headers": Layer(
        [(heads, "personal", lambda headers: headers), (response, "vary", lambda headers, *_: headers)],
        "/cached", "endpoints", "M3",
    ),
    "entity tags": Layer(
        [(heads, "tagged", lambda headers, _: headers), (heads, "conditional", lambda headers, *_, **__: headers)],
        ARTICLE, "refuse", "D2",
    ),
    "connection list": Layer(
        [(connections, "allowlist", lambda *_, **__: "")], "/leaves", "no-choice", "C3", "strict"
    ),
    "own origin": Layer([(endpoints, "same_origin", lambda _: True)], "/", "endpoints", "M1"),
}  # fmt: skip
QUICK = {"caching headers"}  # no browser is needed


async def own(scope: Scope, _receive: Receive, send: Send) -> None:
    """Answer as a careless publisher, and as everybody else: what is not the site's is a page."""
    asked = request_of(scope)
    host, _, port = asked.host.partition(":")
    body, more = PAGES.get(asked.path, ("", {}))
    if host != "site.localhost":
        more = {}
    headers: RawHeaders = [(b"content-type", b"text/html; charset=utf-8")]
    headers += [(k.encode(), v.replace("PORT", port).encode()) for k, v in more.items()]
    page = (
        "<!doctype html><html lang=en><title>A page</title><h1>A page</h1>"
        + "<p>Many words. " * 400
    )
    whole = (page + body).replace("PORT", port).encode()
    await send_reply(send, Reply(200, headers, whole), head=False)


@contextlib.contextmanager
def gated(layer: Layer, folder: Path) -> Iterator[tuple[str, Policy]]:
    """Serve a layer's page behind the gate - of the newspaper, or of PAGES - and everybody else; give its address."""
    streets: list[ASGIApp] = []

    async def street(scope: Scope, receive: Receive, send: Send) -> None:
        await streets[0](scope, receive, send)

    with serving.running(street, lifespan=False) as port, contextlib.ExitStack() as stack:

        def behind(policy: Policy, app: ASGIApp) -> ASGIApp:
            site = Site.from_policy(policy, f"sqlite:///{folder / 'b.db'}")
            stack.callback(site.close)
            return Middleware(app, site)

        if layer.page == ARTICLE:
            policy = demo.policy(port)
            streets.append(demo.Street(behind(policy, application(port)), Parties()))
        else:
            policy = loads(POLICY.format(port=port, network=layer.network))
            streets.append(Street(behind(policy, own)))
        yield policy.site.origins[0] + layer.page, policy


class Street:
    """One port: the site behind the gate under its name, everybody else under theirs."""

    def __init__(self, gated: ASGIApp) -> None:
        self._gated = gated

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        mine = request_of(scope).host.startswith("site.")
        await (self._gated if mine else own)(scope, receive, send)


def walked(layer: Layer, folder: Path) -> tuple[set[str], str]:
    """Walk a layer's page; return the rules that failed, and why the walk did not come to its end."""
    with gated(layer, folder) as (url, policy):
        done = apart(run(Plan(url, prefix=policy.site.prefix), layer.walk))
    verdicts = judge(Case([done], policy), load().values())
    return {one.rule for one in verdicts if one.outcome is Outcome.FAIL}, done.reason


@pytest.mark.parametrize(
    "name",
    [pytest.param(one, marks=[] if one in QUICK else thorough) for one in LAYERS],
)
def test_without_a_layer_there_is_a_finding_and_with_it_none(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    layer = LAYERS[name]
    # A page that leads away is stopped by the list only when it has gone: nothing is left to walk.
    ends = "error" if layer.page == "/leaves" else ""
    assert walked(layer, tmp_path) == (set(), ends)
    for place in layer.off:
        monkeypatch.setattr(*place)
    (tmp_path / "without").mkdir()
    assert layer.rule in walked(layer, tmp_path / "without")[0]


def test_every_layer_is_told_of() -> None:
    text = (Path(__file__).parents[2] / "docs" / "layers.md").read_text("utf-8")
    rows = dict(re.findall(r"^\| ([^|]+?) \|.*\| ([A-M]\d) \|$", text, re.MULTILINE))
    assert rows == {name: layer.rule for name, layer in LAYERS.items()}
