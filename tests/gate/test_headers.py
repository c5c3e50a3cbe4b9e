"""Headers that reach third parties, and caches."""

from __future__ import annotations

import pytest

from bandeau.gate import headers as h
from bandeau.wire.headers import RawHeaders

BASE = "https://own.example/a"


def allows(host: str, kind: str) -> bool:
    return host == "own.example" or (host == "img.example" and kind in ("image", "any"))


def reaching(name: bytes, value: bytes) -> bytes | None:
    left = h.reaching([(name, value)], BASE, allows)
    return left[0][1] if left else None


@pytest.mark.parametrize(
    ("value", "left"),
    [
        (b"<https://x.example>; rel=preconnect", None),
        (b"<//x.example/a.js>;rel=preload;as=script", None),
        (
            b"</a.css>; rel=preload, <https://x.example/>; rel=dns-prefetch",
            b"</a.css>; rel=preload",
        ),
        (b'<https://x.example/a,b>; rel="prefetch", </b>; rel=next', b"</b>; rel=next"),
        (
            b"<https://img.example/a>; rel=preload; as=image",
            b"<https://img.example/a>; rel=preload; as=image",
        ),
        (b"<https://x.example/b>; rel=canonical", b"<https://x.example/b>; rel=canonical"),
        (b"<https://x.example>; REL=PRECONNECT", None),
        (
            b"https://x.example; rel=preconnect",
            b"https://x.example; rel=preconnect",
        ),  # no link at all
        (b"<https://x y/>; rel=preconnect", None),
    ],
)
def test_hints_in_link_headers(value: bytes, left: bytes | None) -> None:
    assert reaching(b"link", value) == left


@pytest.mark.parametrize(
    ("name", "value", "left"),
    [
        (b"refresh", b"5; url=https://x.example/", None),
        (b"refresh", b"5", b"5"),
        (b"refresh", b"0;URL='/b'", b"0;URL='/b'"),
        (b"nel", b'{"report_to":"a"}', None),
        (b"report-to", b'{"endpoints":[{"url":"https:\\/\\/x.example/r"}]}', None),
        (b"reporting-endpoints", b'a="https://x.example/r", b="/r"', b'b="/r"'),
        (b"speculation-rules", b'"/rules.json"', None),
        (b"observe-browsing-topics", b"?1", None),
        (b"alt-svc", b'h3=":443"; ma=1', b'h3=":443"; ma=1'),
        (b"alt-svc", b'h3="x.example:443"', None),
        (b"content-security-policy", b"img-src *; report-uri https://x.example/r", b"img-src *"),
        (b"content-security-policy", b"img-src  *", b"img-src  *"),
    ],
)
def test_headers_that_speak_to_others(name: bytes, value: bytes, left: bytes | None) -> None:
    assert reaching(name, value) == left


def test_one_visitor_s_page_is_for_nobody_else() -> None:
    kept = dict(
        h.personal([(b"cache-control", b"public, s-maxage=600, no-transform"), (b"expires", b"x")])
    )
    assert kept == {b"cache-control": b"private, no-cache, no-transform"}
    assert h.personal([(b"cache-control", b"no-store")]) == [(b"cache-control", b"no-store")]


def test_an_etag_is_of_one_state() -> None:
    one = h.tagged([(b"etag", b'W/"abc"')], "0123456789ab")
    assert one == [(b"etag", b'W/"abc-bd0123456789ab"')]
    back: RawHeaders = [(b"if-none-match", b'W/"abc-bd0123456789ab"')]
    assert h.conditional(back, "0123456789ab", page=True) == [(b"if-none-match", b'"abc", W/"abc"')]
    assert h.conditional(back, "ba9876543210", page=True) == []
    assert h.conditional(back, "ba9876543210", page=False) == []


def test_conditions_about_bytes_that_never_passed_the_gate_are_dropped_for_pages() -> None:
    sent: RawHeaders = [
        (b"if-none-match", b'"abc"'),
        (b"range", b"bytes=5-"),
        (b"if-modified-since", b"x"),
    ]
    assert h.conditional(sent, "0" * 12, page=True) == []
    assert dict(h.conditional(sent, "0" * 12, page=False)) == dict(sent)


def test_geolocation_that_an_edge_adds_is_known_by_name() -> None:
    for name in (
        b"cf-ipcity",
        b"x-geo-country",
        b"cloudfront-viewer-latitude",
        b"x-vercel-ip-city",
    ):
        assert h.HIDDEN.fullmatch(name)
    assert not h.HIDDEN.fullmatch(b"cf-ray")
    assert not [name for name in h.USUAL if h.HIDDEN.fullmatch(name)]


@pytest.mark.parametrize(
    ("asked", "status", "upstream", "seconds"),
    [
        ([], 200, b"max-age=60", 60),
        ([], 200, b"public, max-age=60, s-maxage=600", 600),
        ([], 200, b"private, max-age=60", 0),
        ([], 200, b"max-age=60, no-store", 0),
        ([], 200, b"no-cache", 0),
        ([], 200, b"max-age=x", 0),
        ([], 404, b"max-age=60", 0),
        ([(b"authorization", b"Basic x")], 200, b"public, max-age=60", 0),
    ],
)
def test_an_edge_keeps_only_what_shared_caches_may(
    asked: RawHeaders, status: int, upstream: bytes, seconds: int
) -> None:
    assert h.shareable(asked, status, [(b"cache-control", upstream)], []) == seconds
    assert (
        h.shareable(asked, status, [(b"cache-control", upstream)], [(b"set-cookie", b"a=1")]) == 0
    )
