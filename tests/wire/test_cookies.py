"""Cookie lines, read as RFC 6265bis has browsers read them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bandeau.wire.cookies import Removal, attributes, name_value, pairs, removes, value_of


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (b"a=b; Path=/", (b"a", b"b")),
        (b"  a \t=\t b  ; x", (b"a", b"b")),
        (b"foo", (b"", b"foo")),
        (b"=foo", (b"", b"foo")),
        (b"a=b=c", (b"a", b"b=c")),
        (b'a="b;c"', (b"a", b'"b')),
        (b"a=", (b"a", b"")),
        (b"", None),
        (b"=", None),
        (b"; Path=/", None),
        (b"a\x00=b", None),
        (b"a=b\x7f", None),
        (b"a=b; Path=/\x01", None),
        (b"a\t=b", (b"a", b"b")),
        (b"\xc3\xa9=1", (b"\xc3\xa9", b"1")),
    ],
)
def test_name_and_value_are_split_as_browsers_split_them(
    line: bytes, expected: tuple[bytes, bytes] | None
) -> None:
    assert name_value(line) == expected


def test_the_last_of_an_attribute_s_repeats_wins() -> None:
    assert attributes(b"a=b; Path=/x; PATH=/y; Secure")[b"path"] == b"/y"


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (b"a=; Max-Age=0", True),
        (b"a=b; max-age=-5", True),
        (b"a=b; Max-Age=00", True),
        (b"a=b; Max-Age=10", False),
        (b"a=b; Max-Age=10; Expires=Thu, 01 Jan 1970 00:00:00 GMT", False),
        (b"a=b; Expires=Thu, 01-Jan-1970 00:00:00 GMT", True),
        (b"a=b; Expires=Thu, 01 Jan 2037 00:00:00 GMT", False),
        (b"a=b; Expires=Thu, 01 Jan 2037 00:00:00 1970", False),
        (b"a=1970", False),
        (b"a=b", False),
    ],
)
def test_a_deletion_is_told_from_a_keeping_line(line: bytes, expected: bool) -> None:
    assert removes(line) is expected


def test_a_cookie_header_is_split_at_semicolons_only_and_keeps_repeats() -> None:
    assert pairs(b'a=1; b="x, y"; a=2;; c') == [
        (b"a", b"a=1"),
        (b"b", b'b="x, y"'),
        (b"a", b"a=2"),
        (b"", b"c"),
    ]


def test_every_value_of_a_repeated_name_is_found() -> None:
    assert value_of(b"xa=0; a=1; a=2", b"a") == [b"1", b"2"]


@given(st.binary())
def test_nothing_a_stranger_sends_raises(data: bytes) -> None:
    name_value(data)
    attributes(data)
    removes(data)
    assert all(raw in data for _, raw in pairs(data))


def test_a_removal_of_a_host_cookie_is_secure_and_names_no_domain() -> None:
    line = Removal(b"__Host-x", b"/", "own.example").line(secure=True)
    assert line == b"__Host-x=; Max-Age=0; Path=/; Secure"


def test_a_removal_of_a_partitioned_cookie_says_so() -> None:
    assert Removal(b"x", partitioned=True).line(secure=True).endswith(b"SameSite=None; Partitioned")
