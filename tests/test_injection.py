"""No answer of ours leads elsewhere, no line of its head and no formula of a table is a stranger's."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator
from urllib.parse import quote

import pytest

from bandeau.audit.report.csv import table
from bandeau.policy.file import loads
from bandeau.site import Reply, Request, Site
from bandeau.wire.headers import first
from bandeau.wire.hosts import target
from conftest import ORIGIN, POSTED, SMALL, request

ELSEWHERE = [
    *("https://evil.example/", "http://evil.example", "//evil.example", "///evil.example", "////evil.example"),
    *("/\\evil.example", "\\\\evil.example", "/\\/evil.example", "\\/evil.example", "/\t/evil.example"),
    *("/\n/evil.example", "/\r\n//evil.example", " //evil.example", "\t//evil.example", "\x00//evil.example"),
    *("javascript:alert(1)", "data:text/html,x", "https:evil.example", "https:/evil.example", "evil.example"),
    *("@evil.example", "?//evil.example", "#//evil.example", "", "/\u2028/evil.example", "/\u202e/evil"),
    *("/a\r\nSet-Cookie: x=1", "/a\nX: 1", "/a\rX: 1", "/a\x00b", "/a\x0bb", "/a\x85b", "/\ud7ff", "/é/\xa0x"),
    *("/a%0d%0aX: 1", "/%2f/evil.example", "/%5cevil.example", "/.//evil.example", "/..//evil.example"),
]  # fmt: skip
HEAD = re.compile(rb"[\t\x20-\x7e]*")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    made = Site.from_policy(loads(SMALL), f"sqlite:///{tmp_path_factory.mktemp('i') / 'b.db'}")
    yield made
    made.close()


def sound(reply: Reply) -> None:
    """Assert that a reply's head is lines of ours, and that it leads nowhere else."""
    for name, value in reply.headers:
        assert HEAD.fullmatch(name + value), (name, value)
        assert name != b"x"
        assert b"x=1" not in value or name == b"location"
    where = first(reply.headers, b"location")
    if where is not None:
        assert target(where.decode(), ORIGIN + "/") == target(ORIGIN, "")
        assert not re.match(rb"/[/\\]", where)


@pytest.mark.parametrize("back", ELSEWHERE)
@pytest.mark.parametrize(("path", "form"), [("choice", "choice=none"), ("choice", "choice=all"), ("audience", "measure=off")])  # fmt: skip
def test_the_way_back_after_a_post_is_a_path_of_this_site(
    site: Site, path: str, form: str, back: str
) -> None:
    body = f"{form}&back={quote(back, errors='surrogatepass')}".encode()
    reply = site.answer_sync(site.exchange(request(f"/_b/{path}", POSTED, "POST")), body)
    assert reply.status == 303
    sound(reply)


@pytest.mark.parametrize("back", ELSEWHERE)
@pytest.mark.parametrize("page", ["settings", "trackers", "receipt"])
def test_the_way_back_in_a_page_is_a_path_of_this_site(site: Site, page: str, back: str) -> None:
    asked = Request("GET", "http", "www.own.localhost:9000", f"/_b/{page}", f"back={quote(back)}")
    reply = site.answer_sync(site.exchange(asked), b"")
    assert reply.status == 200
    sound(reply)
    for where in re.findall(rb'(?:name="back" value|href|action)="([^"]*)"', reply.body):
        assert target(where.decode(), ORIGIN + "/") in (
            target(ORIGIN, ""),
            target("mailto:a@b", ""),
        )


@pytest.mark.parametrize("url", ["https://evil.example/", "//evil.example", "/", "javascript:alert(1)", "https://a.example/\r\nX: 1", ""])  # fmt: skip
def test_nobody_is_led_out_without_our_signature(site: Site, url: str) -> None:
    good = site.outbound("https://good.example/").partition("s=")[2].partition("&")[0]
    for seal in ("", "0", good, good + "A", "é"):
        asked = Request(
            "GET", "http", "www.own.localhost:9000", "/_b/out", f"u={quote(url)}&s={quote(seal)}"
        )
        reply = site.answer_sync(site.exchange(asked), b"")
        assert reply.status == 404
        assert first(reply.headers, b"location") is None


def test_with_our_signature_one_is_led_to_what_was_signed_and_in_one_line(site: Site) -> None:
    for url in ("https://good.example/?a=b", "https://good.example/é"):
        path, _, query = site.outbound(url).partition("?")
        asked = Request("GET", "http", "www.own.localhost:9000", path, query)
        reply = site.answer_sync(site.exchange(asked), b"")
        assert reply.status == 302
        assert (first(reply.headers, b"location") or b"").startswith(b"https://good.example/")
    for url in ("https://good.example/\r\nX: 1", "javascript:alert(1)", "//evil.example"):
        path, _, query = site.outbound(url).partition("?")
        asked = Request("GET", "http", "www.own.localhost:9000", path, query)
        assert site.answer_sync(site.exchange(asked), b"").status == 404


LINES = [
    "a\r\nX: 1",
    "a\nX: 1",
    "a\rX: 1",
    "a\x00",
    "fr\r\n\r\n<script>",
    "é",
    "\x7f",
    "x=1; Path=/",
]


@pytest.mark.parametrize("value", LINES)
@pytest.mark.parametrize("where", ["lang", "path", "host", "cookie", "accept-language", "key", "user-agent"])  # fmt: skip
def test_no_line_of_a_head_is_a_stranger_s(site: Site, where: str, value: str) -> None:
    sent = (
        [(where.encode(), value.encode())]
        if where in ("cookie", "accept-language", "user-agent")
        else []
    )
    host = "www.own.localhost:9000" + (value if where == "host" else "")
    path = "/_b/settings" + (value if where == "path" else "")
    query = (
        f"lang={quote(value)}&key={quote(value)}&format={quote(value)}"
        if where in ("lang", "key")
        else ""
    )
    for method in ("GET", "POST"):
        for name in (path, "/_b/choice", "/_b/audience", "/_b/key", "/_b/state", "/comments/1"):
            exchange = site.exchange(Request(method, "http", host, name, query, [*sent, *POSTED]))
            body = f"choice=all&measure=off&lang={quote(value)}&key={quote(value)}".encode()
            sound(exchange.reply or site.answer_sync(exchange, body))
    answered = site.exchange(Request("GET", "http", host, "/" + value, query, sent)).response(
        200, [(b"content-type", b"text/html")]
    )
    for key, line in answered.headers:
        assert HEAD.fullmatch(key + line), (key, line)


@pytest.mark.parametrize(
    "path", ["settings", "trackers", "receipt", "none", "choice", "trackers?format=json", "state"]
)
def test_what_is_ours_runs_nothing_else_and_stands_in_no_other_site(site: Site, path: str) -> None:
    where, _, query = path.partition("?")
    asked = Request("GET", "http", "www.own.localhost:9000", f"/_b/{where}", query)
    headers = dict(site.answer_sync(site.exchange(asked), b"").headers)
    policy = headers[b"content-security-policy"]
    assert b"default-src 'none'" in policy  # plug-ins too
    assert b"frame-ancestors 'self'" in policy or b"frame-ancestors 'none'" in policy
    assert headers[b"x-content-type-options"] == b"nosniff"
    assert headers[b"cache-control"] == b"no-store"
    if b"html" in headers[b"content-type"]:
        assert b"base-uri 'none'" in policy
        assert headers[b"referrer-policy"] == b"same-origin"


def test_nothing_that_a_page_said_is_a_formula_in_a_table() -> None:
    said = ["=1+1", "+1", "-1", "@x", "\t=1", "\r=1", "\0=1", "plain"]
    facts = [
        {"scenario": "refuse", "station": "load", "at": 1, "text": text, "chain": []}
        for text in said
    ]
    verdict = {
        "rule": "B1",
        "outcome": "FAIL",
        "severity": "high",
        "force": "law",
        "reason": "",
        "facts": facts,
        "remedy": "",
    }
    rows = list(csv.reader(io.StringIO(table({"verdicts": [verdict]}), newline="")))[1:]
    assert [row[8] for row in rows] == [text if text == "plain" else f"'{text}" for text in said]
