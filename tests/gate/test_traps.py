"""Traps that cost others days, each a test; those that need a browser are in tests/browser/test_traps.py.

The numbers are those of the list that the gate was designed against.
"""

from __future__ import annotations

import bz2
import gzip
import itertools
from pathlib import Path

import html5lib
import pytest

from bandeau.gate.markup import Frame, Markup
from bandeau.site import Site
from bandeau.wire.csp import parse
from bandeau.wire.headers import RawHeaders, every, first, tokens
from bandeau.wire.hosts import target
from bandeau.wire.html import decoded
from bandeau.wire.messages import Request
from conftest import ORIGIN, chosen, request, through

HTML: RawHeaders = [(b"content-type", b"text/html; charset=utf-8")]
BASE = "https://own.example/a/page"
HOST = ORIGIN.partition("//")[2]


class Parts:
    """Fragments that can be told apart."""

    def head(self) -> bytes:
        return b"[H]"

    def body(self, lang: str | None) -> bytes:
        return b"[B]"

    def end(self, lang: str | None) -> bytes:
        return b"[E]"

    def frame(self, frame: Frame, lang: str | None) -> bytes:
        return b""

    def closes(self, _path: str) -> bool:
        return False


def gated(page: str | bytes, *, parts: bool = False) -> str:
    data = page if isinstance(page, bytes) else page.encode()
    markup = Markup(
        base=BASE,
        allows=lambda host, _: host == "own.example",
        fragments=Parts() if parts else None,
    )
    return (markup.feed(data) + markup.close()).decode("utf-8", "surrogateescape")


def fetched(destination: bytes, path: str = "/x", headers: RawHeaders | None = None) -> Request:
    return Request(
        "GET", "http", HOST, path, "", [(b"sec-fetch-dest", destination), *(headers or [])]
    )


def test_trap_01_a_noscript_is_a_document_of_its_own() -> None:
    assert (
        gated("<noscript><iframe src=//x></iframe></noscript>")
        == "<noscript><iframe data-bd-src=//x></iframe></noscript>"
    )


def test_trap_02_a_noscript_that_ends_elsewhere_for_some_is_text_for_all() -> None:
    out = gated('<noscript><p alt="</noscript><iframe src=//x>">')
    assert "<iframe src" not in out
    assert out.startswith('<noscript>< p alt="')


def test_trap_04_letters_may_be_large() -> None:
    assert gated("<IfRaMe SrC=//x>") == "<IfRaMe data-bd-SrC=//x>"
    assert 'type="text/plain"' in gated("<ScRiPt TYPE=SpeculationRules>")


@pytest.mark.parametrize(
    "url", ["https:&#x2f;&sol;x/", "https://x/?a=1&amp;b", "&#104;ttps://x/", "https&colon;//x/"]
)
def test_trap_05_references_are_decoded_to_judge_and_kept_as_bytes(url: str) -> None:
    assert gated(f'<iframe src="{url}">') == f'<iframe data-bd-src="{url}">'
    assert target(decoded(url), BASE).host == "x"


@pytest.mark.parametrize(
    "url", ["ht\ntps://x", "\x01 https://x", "https://\tx", "//x\n", "\x1f//x"]
)
def test_trap_06_controls_in_a_url_count_for_nothing(url: str) -> None:
    assert "data-bd-src" in gated(f'<iframe src="{url}">')


@pytest.mark.parametrize(
    "url",
    ["//x", "\\\\x", "/\\x", "https:///x", "//own.example@x", "//x.", "//bücher.example", "//xn--bcher-kva.example",
     "//127.0.0.1", "//[::1]", "//x:8080", "//own.example.evil", "//evil-own.example", "//ownexample", "//0x7f.1"],
)  # fmt: skip
def test_trap_07_every_spelling_of_a_stranger(url: str) -> None:
    assert "data-bd-src" in gated(f'<iframe src="{url}">')


@pytest.mark.parametrize(
    "url",
    [
        "/a",
        "a",
        "?a",
        "#a",
        "//own.example/a",
        "//OWN.example./a",
        "https:/a",
        "https:a",
        "//own.example:443/",
    ],
)
def test_trap_07_every_spelling_of_our_own(url: str) -> None:
    assert gated(f'<iframe src="{url}">') == f'<iframe src="{url}">'


def test_trap_08_a_base_moves_relative_addresses_and_only_the_first_does() -> None:
    markup = Markup(
        base=BASE, allows=lambda host, _: host in ("own.example", "cdn.example"), fragments=None
    )
    page = b"<base href=//cdn.example/><base href=//own.example/><iframe src=a><form action=/b>"
    assert markup.feed(page) + markup.close() == page
    assert gated("<base href=//x/><iframe src=a>") == "<base data-bd-href=//x/><iframe src=a>"


@pytest.mark.parametrize(
    ("page", "out"),
    [("<iframe src=//x/>", "<iframe data-bd-src=//x/>"), ("<iframe a b= src=//x>", "<iframe a b= src=//x>"),
     ("<iframe =x src=//x>", "<iframe =x data-bd-src=//x>"), ("<iframe/src=//x/y/ >", "<iframe/data-bd-src=//x/y/ >")],
)  # fmt: skip
def test_trap_09_attributes_are_read_as_a_browser_reads_them(page: str, out: str) -> None:
    assert gated(page) == out  # `b= src=…` gives b a value and no src


@pytest.mark.parametrize(
    "before", ["<!-->", "<!--->", "<!-- --!>", "<?x>", "<!x>", "</ x>", "<!-- -- -->", "<!---->"]
)
def test_trap_10_a_tag_after_an_odd_comment_is_live(before: str) -> None:
    assert "data-bd-src" in gated(before + "<iframe src=//x>")


@pytest.mark.parametrize("before", ["<!--", "<!-- --", "<?", "<!x ", "</ ", "<!-- ->", "<!--!"])
def test_trap_10_a_tag_inside_one_is_text(before: str) -> None:
    page = before + "<iframe src=//x"
    assert gated(page) == page


def test_trap_11_a_script_ends_where_the_browser_ends_it() -> None:
    inside = "<script><!-- <script> </script> <iframe src=//x> --></script>"
    assert gated(inside) == inside
    assert "data-bd-src" in gated("<script><!-- </script><iframe src=//x> -->")


@pytest.mark.parametrize(
    "name", ["style", "textarea", "title", "xmp", "iframe", "noembed", "noframes", "script"]
)
def test_trap_12_raw_text_is_left_alone(name: str) -> None:
    page = f"<{name}><iframe src=//x><link rel=preconnect href=//x></{name}>"
    assert gated(page) == page


def test_trap_12_plaintext_has_no_end() -> None:
    page = "<plaintext></plaintext><iframe src=//x>"
    assert gated(page) == page


@pytest.mark.parametrize(
    "page",
    ["<svg><style><iframe src=//x>", "<svg><title><iframe src=//x>", "<math><mi><iframe src=//x>", "<svg><xmp></svg><iframe src=//x>",
     "<svg><![CDATA[>]]><p><iframe src=//x>", "<math><annotation-xml encoding=text/html><style></style><iframe src=//x>"],
)  # fmt: skip
def test_trap_13_foreign_content_has_no_raw_text(page: str) -> None:
    assert "data-bd-src" in gated(page)


@pytest.mark.parametrize(
    "start", ["<template>", "<template shadowrootmode=open>", "<template><template>"]
)
def test_trap_14_a_template_goes_live_later(start: str) -> None:
    assert "data-bd-src" in gated(start + "<iframe src=//x>")


def test_trap_15_a_srcdoc_is_rewritten_at_every_depth() -> None:
    inner = "<iframe srcdoc='&lt;link rel=preconnect href=//x&gt;'>"
    out = gated(f'<iframe srcdoc="{inner}">')
    (one,) = html5lib.parse(out, namespaceHTMLElements=False).iter("iframe")
    (two,) = html5lib.parse(one.get("srcdoc"), namespaceHTMLElements=False).iter("iframe")
    (link,) = html5lib.parse(two.get("srcdoc"), namespaceHTMLElements=False).iter("link")
    assert link.get("href") is None
    assert link.get("data-bd-href") == "//x"


@pytest.mark.parametrize(
    "candidates",
    ["/a 1x, //x/b 2x", "data:image/gif;base64,A,B 1x, //x/b", "//x/a,b.png"],
)
def test_trap_16_a_preload_with_one_foreign_candidate_goes(candidates: str) -> None:
    assert "data-bd-imagesrcset" in gated(f'<link rel=preload as=image imagesrcset="{candidates}">')


@pytest.mark.parametrize("kind", ["module", "importmap", "application/ld+json", "text/javascript"])
def test_trap_19_other_scripts_survive_byte_for_byte(kind: str) -> None:
    page = f'<script type={kind} nomodule integrity="sha256-x" crossorigin>{{"a": "</ script>"}}</script>'
    assert gated(page) == page
    assert (
        gated("<script type=speculationrules>{}</script>")
        == '<script type="text/plain" type=speculationrules>{}</script>'
    )


def test_trap_20_of_two_types_ours_comes_first_and_theirs_stays() -> None:
    out = gated("<script type=speculationrules type=b>")
    (script,) = html5lib.parse(out, namespaceHTMLElements=False).iter("script")
    assert script.get("type") == "text/plain"
    assert "type=speculationrules" in out


def test_trap_23_two_policies_are_never_made_one(site: Site) -> None:
    theirs = [b"img-src a.example, img-src b.example", b"img-src c.example"]
    headers = [*HTML, *((b"content-security-policy", value) for value in theirs)]
    found = every(
        site.exchange(request("/")).response(200, headers).headers, b"content-security-policy"
    )
    policies = [policy for value in found for policy in parse(value.decode())]
    assert [policy["img-src"] for policy in policies[:3]] == [
        ("a.example",),
        ("b.example",),
        ("c.example",),
    ]
    assert len(policies) >= 4


@pytest.mark.parametrize(
    "name", [b"content-security-policy", b"content-security-policy-report-only"]
)
def test_trap_25_no_report_goes_abroad(site: Site, name: bytes) -> None:
    headers: RawHeaders = [*HTML, (name, b"img-src 'self'; report-uri https://x.example/r /own; report-to g"),
                           (b"report-to", b'{"group":"g","endpoints":[{"url":"https://x.example"}]}'),
                           (b"reporting-endpoints", b'g="https://x.example"')]  # fmt: skip
    out = site.exchange(request("/")).response(200, headers).headers
    assert not any(b"x.example" in value for _, value in out)
    assert any(b"report-uri /own" in value for _, value in out)


@pytest.mark.parametrize(
    ("charset", "codec", "mark"),
    [("", "utf-8", b"\xef\xbb\xbf"), ("utf-8", "utf-8", b""), ("iso-8859-1", "latin-1", b""), ("gb2312", "utf-8", b""),
     ("shift_jis", "shift_jis", b""), ("utf-16", "utf-16-le", b"\xff\xfe"), ("utf-16be", "utf-16-be", b""),
     ("iso-2022-jp", "iso2022_jp", b""), ("windows-1252", "cp1252", b"")],
)  # fmt: skip
def test_trap_26_text_in_any_character_set_is_unchanged(
    site: Site, charset: str, codec: str, mark: bytes
) -> None:
    word = "日本" if "jp" in codec or "jis" in codec else "é"
    page = f"<html><body><p>{word}</p><iframe src=//social.localhost/></iframe></body></html>"
    kind = b"text/html" + (f"; charset={charset}".encode() if charset else b"")
    filtered = site.exchange(request("/")).response(200, [(b"content-type", kind)])
    body = filtered.feed(mark + page.encode(codec)) + filtered.close()
    assert b"data-bd-src" in body
    now = "utf-8" if codec.startswith(("utf-16", "iso2022")) else codec
    assert f"<p>{word}</p>".encode(now) in body
    if now != codec:
        assert first(filtered.headers, b"content-type") == b"text/html; charset=utf-8"


@pytest.mark.parametrize(
    ("page", "out"),
    [("\ufeff<!doctype html><p>x", "\ufeff<!doctype html>[H][B]<p>x[E]"), ("<!doctype html>\n<title>t</title>x", "<!doctype html>\n[H]<title>t</title>[B]x[E]"),
     ("<meta charset=utf-8><p>", "<meta charset=utf-8>[H][B]<p>[E]"), ("<html><body>", "<html>[H]<body>[B][E]")],
)  # fmt: skip
def test_trap_27_mark_and_doctype_stay_first_and_a_head_may_be_implied(page: str, out: str) -> None:
    assert gated(page, parts=True) == out


def test_trap_29_line_ends_stay_as_they_are() -> None:
    page = "<p\r\nclass='a'>x\r\n</p>\r<br>\n"
    assert gated(page) == page


def test_trap_30_nul_bytes_are_bytes() -> None:
    page = "<p>\x00</p><\x00><a\x00b=c>\x00<!--\x00-->"
    assert gated(page) == page
    assert "data-bd-src" in gated("\x00<iframe src=//x>")


@pytest.mark.parametrize(
    "page",
    ["<body>a", "<body>a</body>b</body>", "<body><script>'</body>'</script>", "<body><!-- </body> -->", "<body><template></body></template>",
     "<body><noscript></body></noscript>", "</body>", "<body>a</html>"],
)  # fmt: skip
def test_trap_31_the_band_stands_once_and_last(page: str) -> None:
    out = gated(page, parts=True)
    assert out.count("[E]") == 1
    assert "[E]" not in out.split("<script>")[-1].split("</script>")[0] or "<script>" not in out
    assert out.partition("[E]")[2] in ("", "</body>", "</html>", "</body>b</body>")


def test_trap_32_a_fragment_gets_no_parts_and_is_still_disarmed(site: Site) -> None:
    body = through(site.exchange(fetched(b"empty")), HTML, b"<li><iframe src=//social.localhost/>")
    assert body == b"<li><iframe data-bd-src=//social.localhost/>"


def test_trap_33_conditional_and_server_side_comments_are_kept() -> None:
    page = "<!--[if lt IE 9]><script src=//x></script><![endif]--><!--#include virtual='/a' --><!--esi <esi:include src=/a/> --><esi:include src='/b'/>"
    assert gated(page) == page


def test_trap_34_an_amp_page_gets_no_script() -> None:
    for mark in ("amp", "⚡", "⚡4ads amp"):
        page = f"<!doctype html><html {mark}><head></head><body>x</body></html>"
        assert gated(page, parts=True) == page


def test_trap_35_xhtml_as_xml_stays_well_formed(site: Site) -> None:
    import xml.etree.ElementTree as ET

    page = b'<?xml version="1.0"?><html xmlns="http://www.w3.org/1999/xhtml"><head><script src="/a"/><title>t</title></head><body><iframe src="http://social.localhost/f"/></body></html>'
    filtered = site.exchange(request("/")).response(
        200, [(b"content-type", b"application/xhtml+xml")]
    )
    body = filtered.feed(page) + filtered.close()
    assert b"data-bd-src" in body
    ET.fromstring(body)


def test_trap_36_without_a_type_nothing_is_guessed(site: Site) -> None:
    filtered = site.exchange(request("/")).response(200, [])
    assert filtered.passthrough
    assert first(filtered.headers, b"x-content-type-options") == b"nosniff"
    assert every(filtered.headers, b"content-security-policy")


def test_trap_37_cut_at_every_byte_the_output_is_the_same(shared: Path) -> None:
    page = gzip.decompress(
        min((shared / "pages").glob("*.html.gz"), key=lambda p: p.stat().st_size).read_bytes()
    )[:6000]
    page += (
        "<script>é</scr".encode()
        + b"ipt><iframe src=//x title='&eacute;'><!-- a --><noscript><iframe src=//x></noscript>"
    )
    whole = gated(page, parts=True)
    for at in range(len(page)):
        markup = Markup(base=BASE, allows=lambda host, _: host == "own.example", fragments=Parts())
        out = markup.feed(page[:at]) + markup.feed(page[at:]) + markup.close()
        assert out.decode("utf-8", "surrogateescape") == whole, at


def test_trap_38_members_ends_and_empty_bodies(site: Site) -> None:
    coded: RawHeaders = [*HTML, (b"content-encoding", b"gzip")]
    two = gzip.compress(b"<body><p>one") + gzip.compress(b"<p>two")
    assert b"two" in gzip.decompress(through(site.exchange(request("/")), coded, two))
    empty = site.exchange(request("/", method="GET")).response(200, coded)
    assert gzip.decompress(empty.feed(b"") + empty.close())  # the parts, and nothing invented
    with pytest.raises(Exception, match="ends inside"):
        through(site.exchange(request("/")), coded, two[:-3])
    with pytest.raises(Exception, match=r"header|stream|check"):
        through(site.exchange(request("/")), coded, bz2.compress(b"x"))


def test_trap_39_the_sweep_ends_and_spares_what_is_declared(site: Site) -> None:
    jar = {"session": "1", "junk": "1", "sq_x": "1"}
    for round_, path in itertools.product(range(3), ["/a/b/page"]):
        sent = "; ".join(f"{name}={value}" for name, value in jar.items()).encode()
        out = site.exchange(request(path, [(b"cookie", sent)])).response(200, HTML).headers
        for line in every(out, b"set-cookie"):
            jar.pop(line.partition(b"=")[0].decode(), None)
        assert jar == {"session": "1"}, round_
    assert not every(out, b"set-cookie")  # nothing left to sweep: no endless loop


def test_trap_40_an_undeclared_cookie_is_neither_kept_nor_passed_on(site: Site) -> None:
    exchange = site.exchange(request("/", [(b"cookie", b"hidden=1")]))
    assert not every(exchange.request_headers, b"cookie")
    assert any(
        line.startswith(b"hidden=; Max-Age=0")
        for line in every(exchange.response(200, HTML).headers, b"set-cookie")
    )


@pytest.mark.parametrize("destination", [b"worker", b"sharedworker", b"serviceworker"])
def test_trap_41_workers_carry_the_policy_of_their_visitor(site: Site, destination: bytes) -> None:
    cookie = chosen(site, b"choice=all")
    script: RawHeaders = [(b"content-type", b"text/javascript"), (b"cache-control", b"max-age=99")]
    for sent in ([], cookie):
        out = site.exchange(fetched(destination, headers=sent)).response(200, script).headers
        policy = b", ".join(every(out, b"content-security-policy"))
        assert (b"social.localhost" in policy) is bool(sent)
        assert first(out, b"cache-control") == b"private, no-cache"


def test_trap_42_a_prefetch_decides_nothing_and_sweeps_nothing(site: Site) -> None:
    sent: RawHeaders = [(b"sec-purpose", b"prefetch"), (b"cookie", b"junk=1")]
    out = site.exchange(request("/", sent)).response(200, HTML).headers
    assert not every(out, b"set-cookie")
    assert first(out, b"cache-control") == b"private, no-cache"


def test_trap_44_foreign_hints_in_headers_never_leave_and_own_ones_do(site: Site) -> None:
    hints: RawHeaders = [
        (b"link", b"<https://x.example>; rel=preconnect, </a.css>; rel=preload; as=style")
    ]
    exchange = site.exchange(request("/"))
    assert exchange.informational(hints) == [(b"link", b"</a.css>; rel=preload; as=style")]
    assert every(exchange.response(200, [*HTML, *hints]).headers, b"link") == [
        b"</a.css>; rel=preload; as=style"
    ]


def test_trap_45_a_hop_abroad_and_a_refresh_are_stopped(site: Site) -> None:
    assert (
        site.exchange(fetched(b"image")).response(302, [(b"location", b"//x.example/p")]).status
        == 204
    )
    out = (
        site.exchange(request("/"))
        .response(200, [*HTML, (b"refresh", b"0; url=//x.example")])
        .headers
    )
    assert not every(out, b"refresh")


def test_trap_46_repeats_in_any_case_are_all_handled(site: Site) -> None:
    headers: RawHeaders = [*HTML, *((b"set-cookie", b"j%d=1" % n) for n in range(5)), (b"content-security-policy", b"img-src a"),
                           (b"content-security-policy", b"img-src b")]  # fmt: skip
    out = site.exchange(request("/")).response(200, headers).headers
    assert not [line for line in every(out, b"set-cookie") if b"Max-Age=0" not in line]
    assert len(every(out, b"content-security-policy")) == 3


def test_trap_47_an_inline_script_is_not_judged_by_its_words() -> None:
    page = "<script>var s=document.createElement('script');s.src='//x.example/t.js';document.head.append(s)</script>"
    assert gated(page) == page  # the policy stops what it fetches; its other work goes on


@pytest.mark.parametrize("status", [200, 301, 401, 403, 404, 500, 503])
def test_trap_48_every_page_carries_everything(site: Site, status: int) -> None:
    exchange = site.exchange(request("/"))
    filtered = exchange.response(status, HTML)
    body = filtered.feed(b"<body><p>x") + filtered.close()
    assert b"bandeau-state" in body
    assert every(filtered.headers, b"content-security-policy")
    for ours in (
        exchange.failure(502),
        exchange.failure(413),
        site.exchange(request("/comments/1")).reply,
    ):
        assert ours
        assert every(ours.headers, b"content-security-policy")
        assert b"bandeau-state" in ours.body


def test_trap_50_a_path_that_is_declared_is_closed_and_one_that_is_not_is_the_owner_s(
    site: Site,
) -> None:
    closed = site.exchange(fetched(b"script", "/slot/tag.js")).reply
    assert closed
    assert closed.status == 204
    assert site.exchange(fetched(b"script", "/g/collect")).reply is None


def test_caches_are_told_what_the_page_depends_on(site: Site) -> None:
    out = site.exchange(request("/")).response(200, [*HTML, (b"vary", b"Accept-Encoding")]).headers
    assert {b"cookie", b"sec-gpc", b"accept-encoding"} <= set(tokens(out, b"vary"))
