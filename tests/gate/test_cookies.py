"""Set-Cookie and Cookie at the gate."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bandeau.gate import cookies
from bandeau.gate.verdict import Allowance, Names, Rules
from bandeau.policy.model import Policy


@pytest.fixture
def nothing(policy: Policy) -> Allowance:
    return Rules(policy).allowance(frozenset())


@pytest.fixture
def social(policy: Policy) -> Allowance:
    return Rules(policy).allowance(frozenset({"social"}))


def setting(*lines: bytes) -> list[tuple[bytes, bytes]]:
    return [(b"set-cookie", line) for line in lines]


def test_only_declared_cookies_of_granted_purposes_are_set(
    nothing: Allowance, social: Allowance
) -> None:
    lines = setting(b"session=1", b"sq_a=1; Max-Age=9", b"unknown=1", b"sq=1")
    assert cookies.response(lines, nothing).headers == setting(b"session=1")
    assert cookies.response(lines, nothing).held == (b"sq_a", b"unknown", b"sq")
    assert cookies.response(lines, social).headers == setting(b"session=1", b"sq_a=1; Max-Age=9")


def test_a_cookie_of_two_purposes_needs_both(policy: Policy) -> None:
    rules = Rules(policy)
    for granted, passes in (({"social"}, False), ({"ads"}, False), ({"social", "ads"}, True)):
        kept = cookies.response(setting(b"both=1"), rules.allowance(frozenset(granted))).headers
        assert bool(kept) is passes


@pytest.mark.parametrize(
    "line",
    [b"x=; Max-Age=0", b"x=; max-age=-1; Path=/", b"x=; Expires=Thu, 01 Jan 1970 00:00:00 GMT"],
)
def test_a_deletion_always_passes(line: bytes, nothing: Allowance) -> None:
    assert cookies.response(setting(line), nothing).headers == setting(line)


@pytest.mark.parametrize(
    "line",
    [
        b"x=1; Max-Age=10; Expires=Thu, 01 Jan 1970 00:00:00 GMT",
        b"x=1; Expires=Thu, 01 Jan 2099 00:00:00 GMT",
        b"=x",
        b"x",
        b" x = 1",
        b"\tx=1",
        b"session\x00=1",
        b"SESSION=1",
        b"session2=1",
        b"x=1; session=1",
    ],
)
def test_no_spelling_passes_as_another_cookie(line: bytes, nothing: Allowance) -> None:
    assert cookies.response(setting(line), nothing).headers == []


def test_the_site_cannot_write_the_visitor_s_choice(social: Allowance) -> None:
    lines = setting(b"bandeau=1.x", b"__Host-bandeau=1", b"__Secure-bandeau=; Max-Age=0")
    assert cookies.response(lines, social).headers == []


def test_a_cookie_that_is_sent_is_read(nothing: Allowance, social: Allowance) -> None:
    sent = [b"session=1; sq_a=2; unknown=3", b"bandeau=1.x; sq_b=4"]
    assert cookies.request(sent, nothing).headers == [(b"cookie", b"session=1")]
    assert cookies.request(sent, nothing).held == (b"sq_a", b"unknown", b"sq_b")
    assert cookies.request(sent, social).headers == [
        (b"cookie", b"session=1; sq_a=2"),
        (b"cookie", b"sq_b=4"),
    ]


@given(st.binary(max_size=200), st.binary(max_size=200))
def test_whatever_is_sent_nothing_raises(one: bytes, two: bytes) -> None:
    allowance = Allowance(frozenset(), {"cookie": Names()}, {}, frozenset(), frozenset())
    assert cookies.request([one, two], allowance).headers == []
    cookies.response(setting(one, two), allowance)


def test_a_sweep_names_every_place_a_cookie_can_lie_in() -> None:
    swept = cookies.sweep([b"x"], "a.b.example", "/one/two/page", secure=True)
    lines = {value for _, value in swept}
    assert b"x=; Max-Age=0; Path=/; Secure" in lines
    assert b"x=; Max-Age=0; Path=/; Domain=b.example; Secure" in lines
    assert b"x=; Max-Age=0; Path=/one/two; Secure" in lines
    assert b"x=; Max-Age=0; Path=/one/; Secure" in lines
    assert b"x=; Max-Age=0; Path=/; Secure; SameSite=None; Partitioned" in lines
    assert not any(b"Domain=example;" in line for line in lines)


def test_a_sweep_stays_small_and_reaches_every_name_first() -> None:
    names = [b"c%d" % n for n in range(300)]
    swept = cookies.sweep(names, "a.b.example", "/one/two/page", secure=True)
    assert len(swept) == cookies.SWEEP_LINES
    assert len({value.partition(b"=")[0] for _, value in swept}) == cookies.SWEEP_LINES


def test_a_sweep_never_takes_the_choice() -> None:
    assert cookies.sweep([b"bandeau", b"__Host-bandeau"], "a.example", "/", secure=True) == []
