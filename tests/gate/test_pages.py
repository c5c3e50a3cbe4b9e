"""Rewritten pages in memory: the same bytes as without, only pages that anybody may keep, bounded."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bandeau.gate.pages import Pages
from bandeau.gate.response import Filtered
from bandeau.policy.file import loads
from bandeau.site import Site
from bandeau.wire.headers import RawHeaders, first
from conftest import POSTED, SMALL, request
from test_endpoints import ALL, post

PAGE = b"<!doctype html><html lang=fr><head><title>t</title></head><body><p>text</body></html>"
LASTING: RawHeaders = [(b"content-type", b"text/html"), (b"cache-control", b"public, max-age=60")]
Make = Any


@pytest.fixture
def without(tmp_path: Path) -> Iterator[Site]:
    text = SMALL.replace("[[purpose]]", "page_memory = 0\n[[purpose]]", 1)
    made = Site.from_policy(loads(text), f"sqlite:///{tmp_path / 'without.db'}")
    yield made
    made.close()


def answered(site: Site, path: str = "/", sent: RawHeaders | None = None, **kw: Any) -> Filtered:
    found = site.exchange(request(path, sent)).response(
        kw.get("status", 200), kw.get("headers", LASTING)
    )
    assert isinstance(found, Filtered)
    return found


def test_a_page_is_rewritten_once_for_each_state(site: Site) -> None:
    assert site.pages
    cookie = (first(post(site, ALL, POSTED).headers, b"set-cookie") or b"").partition(b";")[0]
    one = answered(site).whole(PAGE)
    size = site.pages.size
    assert size > len(PAGE)
    assert answered(site).whole(PAGE) == one
    assert site.pages.size == size
    other = answered(site, sent=[(b"cookie", cookie)]).whole(PAGE)
    assert other != one
    assert site.pages.size > size
    for path, body in (("/x", PAGE), ("/", PAGE + b" "), ("/?a", PAGE)):
        size = site.pages.size
        answered(site, path).whole(body)
        assert site.pages.size > size


def test_what_is_kept_is_what_would_be_made(site: Site) -> None:
    for sent in (
        [],
        [(b"accept-language", b"en")],
        [(b"sec-gpc", b"1")],
        [(b"sec-fetch-dest", b"iframe")],
    ):
        kept = [answered(site, "/a?b=1", sent).whole(PAGE) for _ in range(2)]
        streamed = answered(site, "/a?b=1", sent)
        assert (
            streamed.feed(PAGE[:40]) + streamed.feed(PAGE[40:]) + streamed.close()
            == kept[0]
            == kept[1]
        )


@pytest.mark.parametrize(
    "headers",
    [
        [(b"content-type", b"text/html")],
        [(b"content-type", b"text/html"), (b"cache-control", b"private, max-age=60")],
        [(b"content-type", b"text/html"), (b"cache-control", b"no-store")],
        [*LASTING, (b"set-cookie", b"session=1")],
        [*LASTING, (b"content-security-policy", b"script-src 'nonce-abcdefgh'")],
    ],
)
def test_a_page_for_one_visitor_is_not_kept(site: Site, headers: RawHeaders) -> None:
    assert site.pages
    found = answered(site, headers=headers)
    assert not found.lasting
    assert b"bandeau" in found.whole(PAGE)
    assert site.pages.size == 0


def test_a_page_asked_for_with_credentials_is_not_kept(site: Site) -> None:
    assert not answered(site, sent=[(b"authorization", b"Basic eA==")]).lasting
    assert not answered(site, status=404).lasting


def test_memory_is_bounded_and_the_oldest_goes_first() -> None:
    pages = Pages(10_000)
    made: list[int] = []

    def page(number: int) -> bytes:
        made.append(number)
        return b"x" * 4000

    for number in (1, 2, 1, 3, 1, 2):
        pages.get(b"%d" % number, lambda number=number: page(number))  # type: ignore[misc]
        assert pages.size <= 10_000
    assert made == [1, 2, 3, 2]
    assert len(pages.get(b"large", lambda: b"x" * 20_000)) == 20_000
    assert pages.size == 0


def test_without_room_nothing_is_kept(without: Site) -> None:
    found = answered(without)
    assert without.pages is None
    assert not found.lasting
    assert b"bandeau" in found.whole(PAGE)
