"""Lists of headers."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from bandeau.wire import headers as h


def test_a_repeated_header_keeps_every_value_in_order() -> None:
    pairs = [(b"set-cookie", b"a=1"), (b"x", b"y"), (b"set-cookie", b"b=2")]
    assert h.every(pairs, b"set-cookie") == [b"a=1", b"b=2"]
    assert h.first(pairs, b"set-cookie") == b"a=1"
    assert h.first(pairs, b"absent") is None


def test_replacing_leaves_exactly_one() -> None:
    assert h.replaced([(b"a", b"1"), (b"b", b"2"), (b"a", b"3")], b"a", b"4") == [
        (b"b", b"2"),
        (b"a", b"4"),
    ]


def test_vary_is_merged_without_repeats_and_a_star_stays() -> None:
    assert h.vary([(b"vary", b"Accept")], b"Cookie", b"accept") == [(b"vary", b"Accept, Cookie")]
    assert h.vary([(b"vary", b"*")], b"Cookie") == [(b"vary", b"*")]
    assert h.vary([], b"Cookie") == [(b"vary", b"Cookie")]


def test_a_list_is_split_outside_quotes_and_angle_brackets() -> None:
    value = b'<https://x/a,b>; rel="pre,load", "q\\",r", c'
    assert h.split_list(value) == [b'<https://x/a,b>; rel="pre,load"', b'"q\\",r"', b"c"]


@given(st.binary())
def test_splitting_never_raises_and_loses_only_separators(value: bytes) -> None:
    assert sum(map(len, h.split_list(value))) <= len(value)
