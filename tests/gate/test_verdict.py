"""Rules: who needs what, and which paths are closed."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bandeau.gate.verdict import KINDS, Rules
from bandeau.policy.model import Policy


@pytest.fixture(scope="module")
def rules(policy: Policy) -> Rules:
    return Rules(policy)


def test_granting_more_never_takes_away(rules: Rules) -> None:
    sets = [
        frozenset(c) for n in range(3) for c in itertools.combinations(sorted(rules.purposes), n)
    ]
    hosts = [
        "social.localhost",
        "x.ads.localhost",
        "tags.localhost",
        "img.own.localhost",
        "x.example",
    ]
    for one, two in itertools.product(sets, sets):
        if one <= two:
            for host, kind in itertools.product(hosts, KINDS):
                assert not rules.allowance(one).allows(host, kind) or rules.allowance(two).allows(
                    host, kind
                )


def test_before_any_grant_only_own_hosts_are_reached(rules: Rules) -> None:
    nothing = rules.allowance(frozenset())
    assert nothing.allows("www.own.localhost", "script")
    assert nothing.allows("img.own.localhost", "image")
    assert not nothing.allows("img.own.localhost", "script")
    assert not any(
        nothing.allows(h, k) for h in ("social.localhost", "tags.localhost", "", "x") for k in KINDS
    )


def test_any_of_several_purposes_opens_a_manager(rules: Rules) -> None:
    for granted in ({"social"}, {"ads"}):
        assert rules.allowance(frozenset(granted)).allows("tags.localhost", "script")


def test_a_star_means_the_hosts_below(rules: Rules) -> None:
    ads = rules.allowance(frozenset({"ads"}))
    assert ads.allows("a.b.ads.localhost", "image")
    assert not ads.allows("ads.localhost", "image")
    assert not ads.allows("xads.localhost", "image")


@pytest.mark.parametrize(
    "path",
    ["/comments/1", "/Comments/1", "//comments/1", "/a/../comments/1", "/%63omments/1", "/comments;x/1",
     "/./comments/1", "/comments%2f1", "/x/%2e%2e/comments/1", "\\comments\\1", "/comments/", "/COMMENTS/%31"],
)  # fmt: skip
def test_a_closed_path_is_closed_in_every_spelling(rules: Rules, path: str) -> None:
    found = rules.closed(path, frozenset())
    assert found is not None
    assert found.id == "comments"
    assert rules.closed(path, frozenset({"social"})) is None


@pytest.mark.parametrize("path", ["/", "/comment", "/commentsx", "/a/comments/1", "", "*"])
def test_other_paths_are_open(rules: Rules, path: str) -> None:
    assert rules.closed(path, frozenset()) is None


@given(st.text(max_size=80))
def test_every_path_has_an_answer(policy: Policy, path: str) -> None:
    Rules(policy).closed(path, frozenset())
    Rules(policy).frame_of(path)


def test_a_frame_s_route_belongs_to_its_service(rules: Rules) -> None:
    found = rules.frame_of("/slot/1")
    assert found is not None
    assert found.id == "chain"
    closed = rules.closed("/slot/1", frozenset())
    assert closed is found
