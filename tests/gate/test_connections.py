"""Strict network mode: the list, the signed links, and that nothing of it happens by default."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html import unescape
from pathlib import Path

import pytest

from bandeau.gate.connections import allowlist
from bandeau.gate.verdict import Rules
from bandeau.policy.file import loads
from bandeau.site import Site
from bandeau.wire.headers import RawHeaders, every, first
from conftest import SMALL, chosen, request, through

HTML: RawHeaders = [(b"content-type", b"text/html; charset=utf-8")]
STRICT = SMALL.replace(
    "[[purpose]]", 'network = "strict"\nlink_hosts = ["pay.example"]\n[[purpose]]', 1
)


@pytest.fixture
def strict(tmp_path: Path) -> Iterator[Site]:
    made = Site.from_policy(loads(STRICT), f"sqlite:///{tmp_path / 'b.db'}")
    yield made
    made.close()


def test_by_default_there_is_neither_list_nor_redirect(site: Site) -> None:
    exchange = site.exchange(request("/"))
    assert not every(exchange.response(200, HTML).headers, b"connection-allowlist")
    link = b'<a href="https://x.example/a">x</a>'
    assert link in through(site.exchange(request("/")), HTML, b"<body>" + link)


def test_the_list_never_denies_the_site_itself() -> None:
    rules = Rules(loads(STRICT))
    for granted in ((), ("social",), ("social", "ads")):
        value = allowlist(rules.allowance(frozenset(granted)), ["pay.example"], plain=True)
        assert re.fullmatch(r'\(response-origin(?: "https?://[^"\s]+:\*/\*")+\)', value)
        assert ('"http://social.localhost:*/*"' in value) is ("social" in granted)
        assert '"https://pay.example:*/*"' in value


def test_an_outbound_link_leads_through_a_signed_address(strict: Site) -> None:
    page = (
        b'<body><a href="https://x.example/a?b=1&amp;c#d">x</a><a href="/own">o</a><a href=mailto:a@b>m</a>'
        b'<a href="#top">t</a><area href="//y.example"><a href="https://img.own.localhost/p">i</a></body>'
    )
    body = through(strict.exchange(request("/")), HTML, page).decode()
    links = [unescape(link) for link in re.findall(r'<(?:a|area) href="?([^">]*)', body)]
    links = [link for link in links if not re.match("/_b/(?:settings|trackers)|/privacy", link)]
    assert links[0].startswith("/_b/out?u=https%3A%2F%2Fx.example%2Fa%3Fb%3D1%26c%23d&s=")
    assert links[1:4] == ["/own", "mailto:a@b", "#top"]
    assert links[4].startswith("/_b/out?u=http%3A%2F%2Fy.example&s=")
    assert links[5] == "https://img.own.localhost/p"
    reply = strict.answer_sync(strict.exchange(request(links[0])), b"")
    assert reply.status == 302
    assert first(reply.headers, b"location") == b"https://x.example/a?b=1&c#d"


@pytest.mark.parametrize(
    "query",
    ["u=https%3A%2F%2Fx.example", "u=https%3A%2F%2Fx.example&s=AAAAAAAAAAAAAAAA", "u=javascript%3A1&s=x", "",
     "u=https%3A%2F%2Fx.example&s=%FF%00", "s=x", "u=%0d%0aX:1&s=x"],
)  # fmt: skip
def test_an_unsigned_address_leads_nowhere(strict: Site, query: str) -> None:
    reply = strict.answer_sync(strict.exchange(request(f"/_b/out?{query}")), b"")
    assert reply.status == 404
    assert not every(reply.headers, b"location")


def test_a_grant_opens_the_list(strict: Site) -> None:
    cookie = chosen(strict, b"choice=add&purpose=social")
    for sent, opened in (([], False), (cookie, True)):
        out = strict.exchange(request("/", sent)).response(200, HTML).headers
        assert (b"social.localhost" in (first(out, b"connection-allowlist") or b"")) is opened
