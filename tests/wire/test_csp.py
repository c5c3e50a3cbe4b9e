"""A Content-Security-Policy as data."""

from __future__ import annotations

import pytest

from bandeau.wire import csp


def test_two_policies_in_one_header_stay_two() -> None:
    assert csp.parse("default-src 'self', script-src x") == [
        {"default-src": ("'self'",)},
        {"script-src": ("x",)},
    ]


def test_a_repeated_directive_counts_once_and_the_first_wins() -> None:
    assert csp.parse("img-src a; IMG-SRC b") == [{"img-src": ("a",)}]


def test_the_same_directives_print_the_same_bytes_in_any_order() -> None:
    one = {"img-src": ("a",), "default-src": ("'self'",), "zeta": ()}
    two = dict(reversed(one.items()))
    assert csp.serialise(one) == csp.serialise(two) == "default-src 'self'; img-src a; zeta"


@pytest.mark.parametrize(
    ("policy", "inline"),
    [
        ("img-src 'self'", True),
        ("script-src 'unsafe-inline'", True),
        ("default-src 'self'", False),
        ("script-src 'unsafe-inline' 'nonce-abc'", False),
        ("script-src 'unsafe-inline' 'sha256-abc='", False),
        ("script-src 'unsafe-inline' 'strict-dynamic'", False),
        ("default-src 'none'; script-src-elem 'unsafe-inline'", True),
    ],
)
def test_inline_is_allowed_as_the_standard_says(policy: str, inline: bool) -> None:
    assert csp.allows_inline(csp.parse(policy)[0], "script-src-elem") is inline


def test_the_nonce_is_taken_from_the_directive_that_decides() -> None:
    directives = csp.parse("default-src 'nonce-outer'; script-src 'nonce-Inner+/='")[0]
    assert csp.nonce(directives, "script-src-elem") == "Inner+/="
    assert csp.nonce(directives, "style-src-elem") == "outer"


def test_sources_are_added_where_the_list_is_inherited_from() -> None:
    directives = csp.parse("default-src 'none'; script-src a")[0]
    assert csp.with_sources(directives, "script-src-elem", ("b",))["script-src"] == ("a", "b")
    assert csp.with_sources(directives, "connect-src", ("b",)) == {
        "default-src": ("'none'",),
        "script-src": ("a",),
        "connect-src": ("b",),
    }
    assert csp.with_sources({}, "connect-src", ("b",)) == {}
