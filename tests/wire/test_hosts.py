"""Where a URL leads, told as browsers tell it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bandeau.wire.hosts import (
    INVALID,
    authority,
    is_loopback,
    matches,
    normalise,
    parents,
    spelt,
    target,
)

BASE = "https://www.own.example/a/b"


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("//x.example", "x.example"),
        ("\\\\x.example", "x.example"),
        ("/\\x.example", "x.example"),
        ("https://user:word@x.example/", "x.example"),
        ("https://x.example./", "x.example"),
        ("ht\ntps://x.ex\tample", "x.example"),
        (" \x01https://X.Example ", "x.example"),
        ("http:x.example", "x.example"),
        ("https:///x.example", "x.example"),
        ("///x.example/y", "x.example"),
        ("//[::1]:8/", "[::1]"),
        ("//[0:0:0:0:0:0:0:1]/", "[::1]"),
        ("//0x7f.1", "127.0.0.1"),
        ("//2130706433/", "127.0.0.1"),
        ("//straße.example", "xn--strae-oqa.example"),
        ("//bücher。example", "xn--bcher-kva.example"),
        ("//%65vil.example", "evil.example"),
        ("wss://x.example:8443/s", "x.example"),
        ("https://own.example@evil.example", "evil.example"),
        ("https://www.own.example.evil.example", "www.own.example.evil.example"),
    ],
)
def test_a_foreign_host_is_seen_in_every_spelling(url: str, host: str) -> None:
    assert target(url, BASE).host == host


@pytest.mark.parametrize(
    "url", ["", "?q=//x", "#//x", "a.html", "/a//b", "https:/x", "https:x", "./x:y"]
)
def test_a_relative_url_stays_on_the_page_s_host(url: str) -> None:
    assert target(url, BASE).host == "www.own.example"


@pytest.mark.parametrize(
    "url", ["data:x", "blob:https://x/1", "javascript:1", "about:blank", "mailto:a@b"]
)
def test_schemes_without_a_host_have_none(url: str) -> None:
    assert target(url, BASE).host == ""
    assert target(url, BASE).scheme == url.partition(":")[0]


@pytest.mark.parametrize(
    "url", ["//", "//a b/", "//x:99999", "//x%00", "//[::g]/", "//1.2.3.4.5", "//x:y"]
)
def test_what_cannot_be_read_is_invalid_and_nobody_s(url: str) -> None:
    assert target(url, BASE) == INVALID


def test_a_relative_url_without_a_readable_base_is_invalid() -> None:
    assert target("a", "nonsense") == INVALID


def test_a_default_port_is_the_same_as_none() -> None:
    assert target("https://x:443/", BASE) == target("https://x/", BASE)
    assert target("https://x:444/", BASE).port == 444


@given(st.text(), st.text())
def test_no_url_raises(url: str, base: str) -> None:
    found = target(url, base)
    assert found.host == "" or normalise(found.host) == found.host


@given(st.text())
def test_normalising_twice_changes_nothing(host: str) -> None:
    once = normalise(host)
    assert once is None or normalise(once) == once


def test_a_star_means_every_host_below_and_not_the_host_itself() -> None:
    assert matches("*.example.org", "a.b.example.org")
    assert not matches("*.example.org", "example.org")
    assert not matches("*.example.org", "evilexample.org")
    assert matches("example.org", "example.org")


@given(st.from_regex(r"[a-z]{1,4}(\.[a-z]{1,4}){0,4}", fullmatch=True))
def test_the_patterns_that_could_mean_a_host_all_match_it(host: str) -> None:
    assert all(matches(pattern, host) for pattern in parents(host))


def test_loopback_names_never_leave_the_machine() -> None:
    assert all(map(is_loopback, ["localhost", "a.localhost", "127.0.0.1", "127.9.9.9", "[::1]"]))
    assert not any(map(is_loopback, ["localhost.example", "128.0.0.1", "127.0.0.1.example"]))


def test_a_host_header_is_read_with_its_port() -> None:
    assert authority("A.example:8000") == ("a.example", 8000)
    assert authority("[::1]:80") == ("[::1]", 80)
    assert authority("a.example:") == ("a.example", None)
    assert authority("a b") is None
    assert authority("") is None
    assert authority("a:999999") is None


def test_an_address_is_spelt_as_browsers_send_it() -> None:
    wanted = {
        "https://Bücher.example/é?q#f": "https://xn--bcher-kva.example/é?q#f",
        "http://me:pw@été.localhost:8000": "http://me:pw@xn--t-9fab.localhost:8000",
        "http://[::1]:80/": "http://[::1]/",
        "https://a.test:80": "https://a.test:80",
    }
    assert {url: spelt(url) for url in wanted} == wanted
    for url in ("ftp://a/", "a.example", "https://", "http://a b/", "http://a:x/"):
        assert spelt(url) is None
