"""Requests and responses through the whole gate, without a socket."""

from __future__ import annotations

import gzip
import io
import json
from pathlib import Path

import brotli
import pytest
import zstandard

from bandeau.decision.model import State
from bandeau.errors import KeyFileError, LedgerError, PolicyError
from bandeau.gate.observe import Observer
from bandeau.policy.file import loads
from bandeau.site import Site
from bandeau.wire.headers import RawHeaders, every, first, tokens
from bandeau.wire.messages import Request
from conftest import ORIGIN, SMALL, chosen, request, through

HTML: RawHeaders = [(b"content-type", b"text/html; charset=utf-8")]
PAGE = b'<html lang="en"><head><title>t</title></head><body><p>x<iframe src="//social.localhost/f"></iframe></body></html>'


def test_a_first_visit_is_gated_and_asked(site: Site) -> None:
    exchange = site.exchange(request("/a?b=1", [(b"cookie", b"session=1; sq_x=2; junk=3")]))
    assert every(exchange.request_headers, b"cookie") == [b"session=1"]
    assert every(exchange.request_headers, b"bd-purposes") == [b""]
    filtered = exchange.response(
        200, [*HTML, (b"set-cookie", b"junk=1"), (b"etag", b'"e"'), (b"content-length", b"9")]
    )
    body = filtered.feed(PAGE) + filtered.close()
    names = [name for name, _ in filtered.headers]
    assert b"content-length" not in names
    assert first(filtered.headers, b"cache-control") == b"private, no-cache"
    assert {b"cookie", b"sec-gpc"} <= set(tokens(filtered.headers, b"vary"))
    assert b"-bd" in (first(filtered.headers, b"etag") or b"")
    assert first(filtered.headers, b"permissions-policy") == b"geolocation=()"
    swept = every(filtered.headers, b"set-cookie")
    assert all(b"Max-Age=0" in line for line in swept)
    assert {line.partition(b"=")[0] for line in swept} == {b"sq_x", b"junk"}
    assert body.index(b"<script data-bd=") < body.index(b"<title>")
    assert b'<section id="bandeau"' in body
    assert b'data-bd-src="//social.localhost/f"' in body
    assert b'form="bandeau-add-social"' in body


def test_after_a_grant_its_things_pass_and_nothing_else(site: Site) -> None:
    cookie = chosen(site, b"choice=save&purpose=social")
    sent = [(b"cookie", cookie[0][1] + b"; sq_x=2; ad=1")]
    exchange = site.exchange(request("/", sent))
    assert exchange.consent.state is State.PARTIAL
    assert every(exchange.request_headers, b"cookie") == [b"sq_x=2"]
    assert every(exchange.request_headers, b"bd-purposes") == [b"social"]
    body = through(exchange, HTML, PAGE)
    assert b'<iframe src="//social.localhost/f"' in body
    assert b'<section id="bandeau"' not in body
    assert b'id="bandeau-state"' in body


def test_no_client_speaks_for_us(site: Site) -> None:
    exchange = site.exchange(
        request(
            "/",
            [
                (b"bd-purposes", b"ads"),
                (b"bd-anything", b"1"),
                (b"bd_account", b"1"),
                (b"cf-ipcity", b"Paris"),
            ],
        )
    )
    assert every(exchange.request_headers, b"bd-purposes") == [b""]
    assert not every(exchange.request_headers, b"bd-anything")
    assert not every(exchange.request_headers, b"bd_account")  # the same name to CGI and WSGI
    assert not every(exchange.request_headers, b"cf-ipcity")


def test_a_choice_is_worth_nothing_under_another_host(site: Site) -> None:
    cookie = chosen(site, b"choice=all")
    foreign = Request("GET", "http", "evil.example", "/", "", [(b"accept", b"text/html"), *cookie])
    exchange = site.exchange(foreign)
    assert exchange.consent.state is State.UNDECIDED
    assert b'<section id="bandeau"' not in through(exchange, HTML, PAGE)


@pytest.mark.parametrize(
    "kind",
    [b"text/css", b"text/javascript", b"application/json", b"application/pdf", b"image/svg+xml"],
)
def test_what_is_no_page_passes_untouched_under_the_narrowest_policy(
    site: Site, kind: bytes
) -> None:
    exchange = site.exchange(request("/x", [(b"sec-fetch-dest", b"style")]))
    exchange = site.exchange(
        Request("GET", "http", exchange.request.host, "/x", "", [(b"sec-fetch-dest", b"style")])
    )
    filtered = exchange.response(
        200, [(b"content-type", kind), (b"cache-control", b"public, max-age=9"), (b"etag", b'"e"')]
    )
    assert filtered.passthrough
    assert first(filtered.headers, b"cache-control") == b"public, max-age=9"
    assert first(filtered.headers, b"etag") == b'"e"'
    assert first(filtered.headers, b"content-security-policy") == site.narrowest


def test_pictures_carry_no_policy(site: Site) -> None:
    sent = Request(
        "GET", "http", ORIGIN.partition("//")[2], "/x", "", [(b"sec-fetch-dest", b"image")]
    )
    assert not every(
        site.exchange(sent).response(200, [(b"content-type", b"image/png")]).headers,
        b"content-security-policy",
    )


@pytest.mark.parametrize("kind", [b"", b"text/plain", b"application/octet-stream", b"text/xml"])
def test_a_document_of_any_type_is_under_the_policy(site: Site, kind: bytes) -> None:
    headers = [(b"content-type", kind)] if kind else []
    filtered = site.exchange(request("/x")).response(200, headers)
    assert every(filtered.headers, b"content-security-policy")
    assert first(filtered.headers, b"cache-control") == b"private, no-cache"
    if not kind:
        assert first(filtered.headers, b"x-content-type-options") == b"nosniff"


def coded(coding: str, body: bytes) -> bytes:
    if coding == "gzip":
        return gzip.compress(body)
    if coding == "br":
        return bytes(brotli.compress(body))
    if coding == "zstd":
        return bytes(zstandard.compress(body))
    return body


def decoded(coding: str, body: bytes) -> bytes:
    if coding == "gzip":
        return gzip.decompress(body)
    if coding == "br":
        return bytes(brotli.decompress(body))
    if coding == "zstd":
        return zstandard.ZstdDecompressor().stream_reader(io.BytesIO(body)).read()
    return body


@pytest.mark.parametrize("coding", ["gzip", "br", "zstd", "identity"])
def test_coded_pages_are_rewritten_and_coded_again(site: Site, coding: str) -> None:
    exchange = site.exchange(request("/", [(b"accept-encoding", b"gzip, br, zstd, dcb")]))
    assert b"dcb" not in (first(exchange.request_headers, b"accept-encoding") or b"")
    filtered = exchange.response(200, [*HTML, (b"content-encoding", coding.encode())])
    data = coded(coding, PAGE * 20)
    out = (
        b"".join(filtered.feed(data[at : at + 50]) for at in range(0, len(data), 50))
        + filtered.close()
    )
    body = decoded(coding, out)
    assert b"data-bd-src" in body
    assert b' src="//social.localhost' not in body


def test_a_coding_that_cannot_be_read_is_withheld(site: Site) -> None:
    body = through(
        site.exchange(request("/")),
        [*HTML, (b"content-encoding", b"compress")],
        b"\x1f\x9d<script>",
    )
    assert b"cannot be read" in body
    assert b"\x1f" not in body


@pytest.mark.parametrize("codec", ["utf-16-le", "utf-16-be", "iso2022_jp"])
def test_a_tag_cannot_hide_in_a_character_set(site: Site, codec: str) -> None:
    page = '<html><body><iframe src="//social.localhost/f"></iframe>é'.replace(
        "é", "" if "2022" in codec else "é"
    )
    mark = {"utf-16-le": b"\xff\xfe", "utf-16-be": b"\xfe\xff"}.get(codec, b"")
    charset = {"iso2022_jp": b"; charset=iso-2022-jp"}.get(codec, b"")
    body = through(
        site.exchange(request("/")),
        [(b"content-type", b"text/html" + charset)],
        mark + page.encode(codec),
    )
    assert b"data-bd-src" in body
    assert body.startswith(b"\xef\xbb\xbf")


@pytest.mark.parametrize("status", [404, 410, 500, 503])
def test_error_pages_are_gated_too(site: Site, status: int) -> None:
    assert b"data-bd-src" in through(site.exchange(request("/")), HTML, PAGE, status)


@pytest.mark.parametrize(("status", "method"), [(304, "GET"), (204, "GET"), (200, "HEAD")])
def test_answers_without_a_body_stay_without(site: Site, status: int, method: str) -> None:
    filtered = site.exchange(request("/", method=method)).response(status, HTML)
    assert filtered.feed(b"") + filtered.close() == b""
    assert every(filtered.headers, b"content-security-policy")


def test_a_frame_gets_the_guard_and_no_notice(site: Site) -> None:
    framed = Request(
        "GET", "http", ORIGIN.partition("//")[2], "/f", "", [(b"sec-fetch-dest", b"iframe")]
    )
    body = through(site.exchange(framed), HTML, PAGE)
    assert b"<script data-bd=" in body
    assert b"bandeau-state" not in body
    assert b"data-bd-src" in body


def test_a_piece_of_a_page_fetched_by_script_gets_no_parts(site: Site) -> None:
    fetched = Request(
        "GET", "http", ORIGIN.partition("//")[2], "/f", "", [(b"sec-fetch-dest", b"empty")]
    )
    body = through(site.exchange(fetched), HTML, b"<p>x<iframe src=//social.localhost/></iframe>")
    assert body == b"<p>x<iframe data-bd-src=//social.localhost/></iframe>"


def test_a_subresource_is_not_sent_on_to_a_stranger(site: Site) -> None:
    away = [(b"location", b"https://x.example/p.gif"), (b"content-length", b"0")]
    for destination in (b"image", b"script", b"iframe", b"empty"):
        asked = Request(
            "GET", "http", ORIGIN.partition("//")[2], "/r", "", [(b"sec-fetch-dest", destination)]
        )
        filtered = site.exchange(asked).response(302, away)
        assert filtered.status == 204
        assert not every(filtered.headers, b"location")
    assert (
        site.exchange(request("/r")).response(302, away).status == 302
    )  # the visitor follows a link


def test_closed_paths_answer_for_themselves(site: Site) -> None:
    comments = site.exchange(request("/comments/1")).reply
    assert comments is not None
    assert comments.status == 403
    assert b'name="purpose" value="social"' in comments.body
    slot = site.exchange(request("/slot/1")).reply
    assert slot is not None
    assert slot.status == 204
    cookie = chosen(site, b"choice=all")
    assert site.exchange(request("/comments/1", cookie)).reply is None


def test_an_open_chain_runs_in_a_sandbox(site: Site) -> None:
    cookie = chosen(site, b"choice=all")
    sent = [(b"sec-fetch-dest", b"iframe"), *cookie]
    frame = Request("GET", "http", ORIGIN.partition("//")[2], "/slot/1", "", sent)
    policies = every(site.exchange(frame).response(200, HTML).headers, b"content-security-policy")
    assert b"sandbox allow-scripts" in policies[-1]
    page = every(
        site.exchange(request("/", cookie)).response(200, HTML).headers, b"content-security-policy"
    )
    assert b"sandbox" not in page[-1]


def test_the_same_state_gives_the_same_page_and_another_another(site: Site) -> None:
    cookie = chosen(site, b"choice=none")
    one, two = (through(site.exchange(request("/", cookie)), HTML, PAGE) for _ in range(2))
    assert one == two
    keys = {
        site.exchange(request("/", sent)).key
        for sent in ([], cookie, chosen(site, b"choice=all"), [(b"sec-gpc", b"1")])
    }
    assert len(keys) == 4


def test_a_changed_policy_keeps_refusals_and_asks_only_for_what_changed(
    site: Site, tmp_path: Path
) -> None:
    cookie = chosen(site, b"choice=all")
    site.close()
    grown = loads(SMALL.replace('"*.ads.localhost"', '"*.more.localhost"'))
    after = Site.from_policy(grown, f"sqlite:///{tmp_path / 'bandeau.db'}")
    try:
        consent = after.exchange(request("/", cookie)).consent
        assert consent.granted == {"social"}
        assert consent.asks == {"ads"}
    finally:
        after.close()


def test_a_language_more_asks_nobody_again(site: Site, tmp_path: Path) -> None:
    cookie = chosen(site, b"choice=all")
    site.close()
    more = 'languages = ["fr", "en", "ga"]\naccept_unreviewed = ["ga"]'
    grown = loads(SMALL.replace('languages = ["fr", "en"]', more))
    after = Site.from_policy(grown, f"sqlite:///{tmp_path / 'bandeau.db'}")
    try:
        assert after.current.digest != site.current.digest
        consent = after.exchange(request("/", cookie)).consent
        assert consent.granted == {"social", "ads"}
        assert not consent.asks
    finally:
        after.close()


def test_a_ledger_without_its_key_is_refused(site: Site, tmp_path: Path, policy: object) -> None:
    site.close()
    (tmp_path / "bandeau.key").unlink()
    with pytest.raises(KeyFileError, match="backup"):
        Site.from_policy(site.policy, f"sqlite:///{tmp_path / 'bandeau.db'}")
    with pytest.raises(LedgerError, match="sqlite:///"):
        Site.from_policy(site.policy, "bandeau.db")
    with pytest.raises(PolicyError, match="BP001"):
        Site.from_file(tmp_path / "none.toml")


def test_the_address_is_cut_until_its_purpose_is_granted(tmp_path: Path) -> None:
    cut = loads(SMALL.replace("[[purpose]]", "anonymise_upstream_ip = true\n[[purpose]]", 1))
    site = Site.from_policy(cut, f"sqlite:///{tmp_path / 'x.db'}")
    try:
        exchange = site.exchange(
            request("/", [(b"x-forwarded-for", b"1.2.3.4"), (b"x-real-ip", b"1.2.3.4")])
        )
        assert not every(exchange.request_headers, b"x-forwarded-for")
        assert exchange.forwarded_for("192.0.2.77") == "192.0.2.0"
        assert exchange.forwarded_for("2001:db8:1:2::3") == "2001:db8:1::"
        assert exchange.forwarded_for("nonsense") == "unknown"
        granted = site.exchange(request("/", chosen(site, b"choice=all")))
        assert granted.forwarded_for("192.0.2.77") == "192.0.2.77"
    finally:
        site.close()


def test_observing_changes_nothing_and_tells_everything(site: Site, policy: object) -> None:
    out = io.StringIO()
    site.observer, site.layers = Observer(out), frozenset()
    exchange = site.exchange(request("/comments/1", [(b"cookie", b"junk=1; session=2")]))
    assert exchange.reply is None
    assert every(exchange.request_headers, b"cookie") == [b"junk=1; session=2"]
    headers = [*HTML, (b"set-cookie", b"other=1"), (b"content-encoding", b"gzip")]
    filtered = exchange.response(200, headers)
    data = gzip.compress(
        PAGE + b"<script src=https://x.example/a.js></script><link rel=preconnect href=//y.example>"
    )
    assert filtered.headers == headers
    assert filtered.feed(data) + filtered.close() == data
    found = {(line["held"], line["name"]) for line in map(json.loads, out.getvalue().splitlines())}
    assert {("cookie read", "junk"), ("cookie set", "other"), ("frame", "social.localhost"),
            ("script", "x.example"), ("any", "y.example")} <= found  # fmt: skip


@pytest.mark.parametrize(
    "src", ["/comments/1", "comments/1", "/a/../comments/1", f"{ORIGIN}/Comments/1"]
)
def test_a_frame_of_a_closed_page_of_ours_waits_and_says_why(site: Site, src: str) -> None:
    page = (
        f'<!doctype html><html lang=en><body><iframe src="{src}" title="Write"></iframe>'.encode()
    )
    held = through(site.exchange(request("/")), HTML, page)
    assert f'data-bd-src="{src}"'.encode() in held
    assert b'data-bandeau-needs="social"' in held
    assert b'<button form="bandeau-add-social" name="choice" value="add">' in held
    opened = through(site.exchange(request("/", chosen(site, b"choice=all"))), HTML, page)
    assert f'<iframe src="{src}"'.encode() in opened


@pytest.mark.parametrize("src", ["/other", "#comments", "?a=/comments/1", "data:text/html,x"])
def test_a_frame_of_an_open_page_of_ours_is_left_alone(site: Site, src: str) -> None:
    page = f'<!doctype html><html lang=en><body><iframe src="{src}"></iframe>'.encode()
    assert b"data-bandeau-needs" not in through(site.exchange(request("/")), HTML, page)
