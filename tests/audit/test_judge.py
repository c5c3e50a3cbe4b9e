"""Verdicts on walks that are written down here: what is certain, what is not, and what was not looked at."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from audit.cases import RULES, asked, declared, kept, layer, request, verdict, walked
from bandeau.audit.judge import DECIDABLE, Outcome
from bandeau.audit.observe import Observation
from bandeau.demo.serve import policy as lanterne

# Rules that say "nothing", each with its walk and a station of it that counts.
NOTHING = {
    "C5": ("dismiss", "dismiss"),
    "D1": ("refuse", "refuse"),
    "G3": ("withdraw", "withdraw-reload"),
    "L1": ("gpc", "gpc"),
}


@pytest.mark.parametrize(("rule", "where"), NOTHING.items())
def test_without_a_policy_only_what_is_certain_fails(rule: str, where: tuple[str, str]) -> None:
    scenario, station = where
    assert verdict(rule, walked(scenario)).outcome is Outcome.PASS
    for doubtful in (asked(station), kept(station)):
        found = verdict(rule, walked(scenario, doubtful))
        assert (found.outcome, found.reason) == (Outcome.UNKNOWN, "unclassified")
        assert found.facts
    assert verdict(rule, walked(scenario, kept(station, third=True))).outcome is Outcome.FAIL


@pytest.mark.parametrize(("rule", "where"), NOTHING.items())
def test_with_a_policy_what_is_not_declared_fails(rule: str, where: tuple[str, str]) -> None:
    scenario, station = where
    policy = lanterne(8000)
    for wrong in (asked(station), kept(station)):
        assert verdict(rule, walked(scenario, wrong), policy=policy).outcome is Outcome.FAIL


@pytest.mark.parametrize(("rule", "where"), NOTHING.items())
@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        ({"completed": False, "reason": "time"}, "time"),
        ({"unwatched": ["a worker"]}, "not-watched"),
    ],
)
def test_every_walk_has_to_end_with_all_of_it_watched(
    rule: str, where: tuple[str, str], broken: dict[str, Any], reason: str
) -> None:
    found = verdict(rule, walked(where[0]), walked(where[0], **broken))
    assert (found.outcome, found.reason) == (Outcome.UNKNOWN, reason)
    assert verdict(rule).reason == "not-run"


def test_a_missing_notice_is_a_finding_only_beside_what_certainly_needs_one() -> None:
    found = {
        verdict("A1", walked("no-choice", *observed)).outcome
        for observed in ([asked("no-choice")], [kept("no-choice")])
    }
    assert found == {Outcome.UNKNOWN}
    assert verdict("A1", walked("no-choice")).outcome is Outcome.NOT_APPLICABLE
    assert verdict("A1", walked("no-choice", kept("", third=True))).outcome is Outcome.FAIL
    assert verdict("A1", walked("no-choice", layers=[layer()])).outcome is Outcome.PASS


def test_a_missing_notice_is_told_once_and_not_as_often_as_something_was_kept() -> None:
    items = [kept("arrive", name, third=True) for name in ("a", "b", "c")]
    (fact,) = verdict("A1", walked("no-choice", *items)).facts
    assert fact.text.startswith(
        "no notice that asks for a choice was found, and yet: cookie a of site.test"
    )
    assert fact.text.endswith("(and 2 more)")


@pytest.mark.parametrize("rule", ["A2", "A3", "A4", "A5", "A6", "A7", "A8", "B1", "B3", "H1", "K6"])
def test_where_no_notice_was_found_that_is_why_nothing_is_known_of_it(rule: str) -> None:
    none = {"completed": False, "reason": "no-notice"}
    others = [walked(name, **none) for name in ("refuse", "accept", "withdraw", "settings")]
    assert verdict(rule, walked("no-choice"), *others).reason == "no-notice"


def test_two_cookies_of_one_name_have_each_their_own_writer() -> None:
    def cookie(kind: str, host: str, **more: Any) -> Observation:
        one = kept("arrive", "uid", third=True, **{"from": f"https://{host}/x", **more})
        return replace(one, kind=kind, host=host, chain=(f"response of https://{host}/x",))

    seen = [cookie("cookie_kept", "ads.test"), cookie("cookie_kept", "video.test")]
    jar = [replace(cookie("cookie_in_jar", one.host), chain=()) for one in seen]
    for facts in (
        verdict("C1", walked("no-choice", *seen)).facts,
        verdict("C1", walked("no-choice", *jar, *seen)).facts,
    ):
        assert [(fact.text.split(" of ", 1)[1], fact.chain[0]) for fact in facts] == [
            (
                f"{host}, 1157.4 days: set by the response of https://{host}/x",
                f"response of https://{host}/x",
            )
            for host in ("ads.test", "video.test")
        ]


def test_a_cookie_of_the_site_s_own_that_is_sent_leads_to_who_wrote_it_and_another_s_to_who_asked() -> (
    None
):
    def chains(*, third: bool) -> tuple[str, ...]:
        wrote = replace(kept("arrive", third=third), chain=("writer",))
        sent = replace(wrote, kind="cookie_sent", chain=("asker",), detail={"to": "x"})
        return verdict("C2", walked("no-choice", wrote, sent), policy=declared()).facts[0].chain

    assert (chains(third=False), chains(third=True)) == (("writer",), ("asker",))


def test_what_lies_in_the_jar_of_a_host_that_nobody_asked_is_no_evidence_against_the_site() -> None:
    jar = replace(kept("arrive", third=True), kind="cookie_in_jar", host="ads.test")
    found = verdict("C1", walked("no-choice", jar))
    assert (found.outcome, found.reason) == (Outcome.UNKNOWN, "unclassified")
    assert found.facts[0].text.endswith("nobody was seen to write it")
    asked_for = request("a.ads.test", "arrive")
    assert verdict("C1", walked("no-choice", asked_for, jar)).outcome is Outcome.FAIL


def test_only_against_a_policy_is_an_item_not_declared() -> None:
    seen = walked("no-choice", kept("arrive", third=True))
    assert "declared" not in verdict("C1", seen).facts[0].text
    assert "not declared" in verdict("C1", seen, policy=declared()).facts[0].text


def test_reading_is_judged_on_a_profile_that_was_used_before() -> None:
    once = walked("no-choice")
    assert verdict("C2", once).reason == "not-run"
    assert verdict("C2", once, walked("dirty", completed=False, reason="error")).reason == "error"
    assert verdict("C2", once, walked("dirty")).outcome is Outcome.PASS


def test_a_refusal_without_effect_says_nothing_of_how_long_one_lasts() -> None:
    refused, back = walked("refuse"), walked("return")
    nothing = walked("refuse", completed=False, reason="no-effect")
    assert verdict("D2", nothing, back).reason == "no-effect"
    assert verdict("D2", refused).reason == "not-run"
    assert verdict("D2", refused, back).outcome is Outcome.PASS
    for scenario in ("refuse", "return"):
        again = walked(scenario, facts={"asked again": "when the page was loaded again"})
        assert verdict("D2", refused, back, again).outcome is Outcome.FAIL


def test_one_way_back_that_is_missing_is_enough() -> None:
    lost = walked("withdraw", completed=False, reason="no-way-back", facts={"error": "none found"})
    both = walked("accept"), walked("withdraw")
    assert verdict("E2", *both, lost).outcome is Outcome.FAIL
    assert verdict("E2", *both).outcome is Outcome.PASS
    assert verdict("E2", both[1]).reason == "not-run"
    bare = walked("accept", facts={"way back": {"accept-page-2": None}})
    assert verdict("E2", bare, both[1]).facts[0].station == "accept-page-2"


@pytest.mark.parametrize(
    ("look", "outcome"),
    [
        ({}, Outcome.PASS),
        ({"in_view": False}, Outcome.FAIL),
        ({"color": "rgb(170, 170, 170)"}, Outcome.FAIL),  # 2.3:1 on white
        ({"color": "rgb(118, 118, 118)"}, Outcome.PASS),  # 4.5:1
        ({"background": "rgba(0, 0, 0, 0)"}, Outcome.UNKNOWN),
        ({"width": 50}, Outcome.UNKNOWN),
    ],
)
def test_refusing_is_seen_and_read_as_well_in_each_window(
    look: dict[str, Any], outcome: Outcome
) -> None:
    wide, small = (walked(name, layers=[layer()]) for name in ("no-choice", "small"))
    assert verdict("A5", wide).reason == "not-run"
    assert verdict("A5", wide, small).outcome is Outcome.PASS
    assert verdict("A5", wide, walked("small", layers=[layer(**look)])).outcome is outcome


def test_a_link_in_the_text_of_one_window_is_no_button() -> None:
    wide, small = (
        walked("no-choice", layers=[layer()]),
        walked("small", layers=[layer(in_text=True)]),
    )
    assert verdict("A4", wide, small).outcome is Outcome.FAIL


@pytest.mark.parametrize(
    ("lacks", "said"),
    [({"label": ""}, "name"), ({"role": ""}, "role"), ({"role": "switch"}, "state")],
)
def test_a_control_without_role_name_or_state_is_named(lacks: dict[str, Any], said: str) -> None:
    assert verdict("K1", walked("no-choice", layers=[layer()])).outcome is Outcome.PASS
    found = verdict("K1", walked("no-choice", layers=[layer(**lacks)]))
    assert found.outcome is Outcome.FAIL
    assert found.facts[0].text.endswith(f"has no {said}")


def test_an_exempt_tracker_that_nobody_saw_is_not_judged() -> None:
    policy = lanterne(8000)
    both = walked("no-choice"), walked("return")
    assert verdict("J3", *both, policy=policy).reason == "not-seen"
    once = walked("no-choice", kept("arrive", "lanterne_depuis", seconds=86_400))
    assert verdict("J3", once, policy=policy).reason == "not-run"
    assert verdict("J3", once, both[1], policy=policy).outcome is Outcome.PASS
    long = walked("no-choice", kept("arrive", "lanterne_depuis", seconds=397 * 86_400))
    assert verdict("J3", long, policy=policy).outcome is Outcome.FAIL


def test_a_rule_that_nothing_decides_says_so() -> None:
    for rule in RULES:
        assert verdict(rule).outcome is not Outcome.PASS
    assert sorted(set(RULES) - DECIDABLE) == ["H2", "H3", "H4", "I3", "I5", "J4"]
    for rule in set(RULES) - DECIDABLE:
        assert "self" in RULES[rule].reach
        assert verdict(rule, walked("no-choice")).reason == "needs-server"


def test_what_others_read_before_a_choice_comes_before_what_the_site_reads_back_itself() -> None:
    own = Observation("cookie_sent", "arrive", 1, "ad", "site.test", third=False, detail={"to": "https://site.test/a"})  # fmt: skip
    other = Observation("cookie_sent", "arrive", 2, "uid", "ads.test", third=True, detail={"to": "https://ads.test/p"})  # fmt: skip
    found = verdict("C2", walked("no-choice", own, other), walked("dirty"), policy=declared())
    assert [(one.text, one.about) for one in found.facts] == [
        ("cookie uid of ads.test was sent to https://ads.test/p", "cookie uid of ads.test"),
        (
            "the site read back its own cookie ad, with https://site.test/a: needs consent for advertising",
            "cookie ad of site.test",
        ),
    ]


def test_what_needs_consent_is_said_by_the_owners_title_else_in_plain_words() -> None:
    for title, words in (("Reklame", "Reklame"), ("", "advertising")):
        found = verdict("C1", walked("no-choice", kept("arrive", "ad")), policy=declared(title))
        assert f": needs consent for {words}; " in found.facts[0].text
