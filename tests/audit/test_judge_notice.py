"""Verdicts on what a notice offers, names and asks, and on who can use it."""

from __future__ import annotations

from typing import Any

import pytest

from audit.cases import (
    box,
    copied,
    declared,
    kept,
    layer,
    notice,
    outcome,
    request,
    text,
    tick,
    verdict,
    walked,
)
from bandeau.audit.scenario import Run

ADS = request("ads.test", "accept-reload")
ACCEPTED = walked("accept", ADS, kept("accept", "ad"))
REFUSED = walked("refuse")


def visit(*layers: dict[str, Any], **facts: Any) -> Run:
    return walked("no-choice", layers=list(layers) or [notice()], facts=facts)


def test_a_purpose_that_acceptance_opens_is_named_before_the_buttons() -> None:
    policy = declared()
    assert outcome("A6", visit(), ACCEPTED, policy=policy) == "pass"
    silent = visit(notice(text="We and our partners improve your experience."))
    assert outcome("A6", silent, ACCEPTED, policy=policy) == "fail"
    video = walked("accept", request("tube.test", "accept"))
    assert outcome("A6", silent, video, policy=policy) == "needs-human"
    assert outcome("A6", visit(), ACCEPTED) == "unclassified"
    assert outcome("A6", visit(), policy=policy) == "not-run"
    assert outcome("A6", walked("no-choice"), ACCEPTED, policy=policy) == "no-notice"
    for declared_or_not in (policy, None):
        nothing = walked("accept")
        assert outcome("A6", visit(), nothing, policy=declared_or_not) == "not applicable"


def test_a_title_of_one_s_own_names_a_purpose() -> None:
    policy = declared(title="Sponsors of this site")
    named = visit(notice(text="Sponsors of this site decide what you see."))
    assert outcome("A6", named, ACCEPTED, policy=policy) == "pass"


def told(words: str) -> Run:
    return visit(told=[{"url": "http://site.test/privacy", "text": words}])


def test_whoever_is_contacted_is_named_where_the_notice_leads() -> None:
    policy = declared()
    assert outcome("A7", told("Site SA, Adco"), ACCEPTED, policy=policy) == "pass"
    assert outcome("A7", told("Site SA, ads.test"), ACCEPTED, policy=policy) == "pass"
    assert outcome("A7", told("Site SA"), ACCEPTED, policy=policy) == "fail"
    assert outcome("A7", told("Adco"), ACCEPTED, policy=policy) == "needs-human"
    assert outcome("A7", told("Site SA"), ACCEPTED) == "needs-human"
    assert outcome("A7", visit(), ACCEPTED, policy=policy) == "no-list"
    assert outcome("A7", visit(notice(links=[])), ACCEPTED) == "fail"
    assert outcome("A7", told("Site SA, Adco"), policy=policy) == "not-run"
    assert outcome("A7", walked("no-choice"), ACCEPTED) == "no-notice"


def test_a_second_dialog_that_only_accepts_is_one_too_many() -> None:
    assert outcome("A8", visit()) == "pass"
    second = {"label": "OK", "text": "Welcome! We use cookies.", "goals": ["accept"]}
    assert outcome("A8", visit(others=[second])) == "fail"
    for harmless in ({"goals": ["accept", "refuse"]}, {"text": "Get our newsletter"}):
        assert outcome("A8", visit(others=[{**second, **harmless}])) == "pass"
    assert outcome("A8", walked("no-choice")) == "no-notice"
    assert outcome("A8") == "not-run"


@pytest.mark.parametrize(
    ("left", "wanted"), [(1000, "pass"), (950, "pass"), (700, "needs-human"), (400, "fail")]
)
def test_refusing_leaves_the_page_its_text(left: int, wanted: str) -> None:
    accepted = walked("accept", facts={"text": text(1000, "accept-reload")})
    refused = walked("refuse", facts={"text": text(left, "refuse-reload")})
    assert outcome("A9", visit(), refused, accepted) == wanted
    assert outcome("A9", visit(), refused) == "not-run"
    assert outcome("A9", visit(), REFUSED, accepted) == "not-watched"


def test_paying_instead_is_for_a_person_to_judge() -> None:
    both = (
        walked(name, facts={"text": text(1000, f"{name}-reload")}) for name in ("accept", "refuse")
    )
    found = verdict("A9", visit(notice(text="Accept cookies or subscribe for 2 €.")), *both)
    assert (found.reason, found.facts[0].text) == (
        "needs-human",
        "the notice speaks of paying: subscribe",
    )


def alone(purpose: str, ticked: list[str], ticks: int = 2) -> Run:
    found = {"found": 1, "ticks": ticks, "ticked": ticked}
    return walked(f"only:{purpose}", facts={"set": found})


def test_each_purpose_has_a_tick_that_moves_no_other() -> None:
    policy = declared()
    ads, video = alone("ads", ["ads"]), alone("video", ["video"])
    assert outcome("B2", ads, video, policy=policy) == "pass"
    assert outcome("B2", ads, alone("video", ["ads", "video"]), policy=policy) == "fail"
    assert outcome("B2", alone("ads", ["ads"], ticks=1), policy=policy) == "fail"
    assert outcome("B2", ads, policy=policy) == "not-run"
    assert outcome("B2", ads, video) == "needs-policy"


def opened(*ticks: dict[str, Any], box_: dict[str, Any] | None = None, **more: Any) -> Run:
    second = {**layer(), "box": box_ or box()}
    second["controls"] += ticks
    return walked("settings", layers=[notice(), second], **more)


@pytest.mark.parametrize(
    ("look", "wanted"),
    [
        ({}, "pass"),
        ({"checked": None}, "fail"),
        ({"label": "Enable"}, "fail"),
        ({"label": "Enable advertising"}, "pass"),
        ({"disabled": True, "checked": True}, "needs-human"),
        ({"disabled": True, "checked": True, "label": "Always active"}, "pass"),
    ],
)
def test_a_tick_shows_a_state_and_no_command(look: dict[str, Any], wanted: str) -> None:
    assert outcome("B3", opened(tick(**look))) == wanted


@pytest.mark.parametrize("rule", ["B3", "B4"])
def test_a_notice_without_settings_has_none_to_judge(rule: str) -> None:
    assert outcome(rule, walked("settings", facts={"settings": "none"})) == "not applicable"
    assert outcome(rule) == "not-run"
    assert outcome(rule, walked("settings", completed=False, reason="no-notice")) == "no-notice"


def saved(*seen: Any, ticked: bool = False, **facts: Any) -> Run:
    shown = {"label": "Advertising", "ticked": ticked, "locked": False}
    more = {"settings": "saved", "shown": [shown], "reopened": [shown], **facts}
    return walked("settings", *seen, facts=more)


def test_saving_untouched_settings_grants_nothing() -> None:
    others = (
        visit(),
        REFUSED,
        walked("accept", kept("accept", "stat"), request("ads.test", "accept")),
    )
    assert outcome("B4", saved(), *others) == "pass"
    assert outcome("B4", saved(ticked=True), *others) == "fail"
    assert outcome("B4", saved(copied("saved", granted=True))) == "fail"
    assert outcome("B4", saved(copied("arrive", granted=True))) == "pass"  # that is for C4
    both = copied("arrive", granted=True), copied("saved", granted=True)
    assert outcome("B4", saved(*both)) == "pass"  # nothing came with saving
    for came in (kept("saved", "stat"), request("ads.test", "saved-reload")):
        assert outcome("B4", saved(came), *others) == "fail"
        assert (
            outcome("B4", saved(came), visit(), REFUSED) == "pass"
        )  # nobody knows what accepting brings
    before = walked("no-choice", kept("arrive", "stat"))
    assert outcome("B4", saved(kept("saved", "stat")), before, *others[1:]) == "pass"


def test_settings_that_cannot_be_saved_are_not_known_to_grant_nothing() -> None:
    for reason in ("no-control", "no-effect"):
        assert outcome("B4", walked("settings", facts={"settings": reason})) == reason
    closed = walked("settings", facts={"settings": "saved", "shown": []})
    assert outcome("B4", closed) == "unclassified"


def test_what_is_ticked_before_a_choice_is_seen_by_who_opens_the_settings() -> None:
    assert outcome("B1", opened(tick())) == "pass"
    assert outcome("B1", opened(tick(checked=True))) == "fail"
    assert outcome("B1", opened(tick(checked=True, disabled=True))) == "pass"


def test_legitimate_interest_is_no_basis_and_advertising_is_never_locked_on() -> None:
    assert outcome("B6", visit(), opened(tick())) == "pass"
    assert outcome("B6", visit(), opened(tick("Legitimate interest"))) == "fail"
    assert (
        outcome("B6", visit(), opened(tick("Advertising", checked=True, disabled=True))) == "fail"
    )
    string = walked(
        "no-choice",
        copied("arrive", granted=True, name="TCF legitimate interests"),
        layers=[notice()],
    )
    assert outcome("B6", string, opened(tick())) == "fail"
    spoken = opened(tick(), box_=box(text="Based on our legitimate interest."))
    assert outcome("B6", visit(), spoken) == "needs-human"
    assert outcome("B6", visit()) == "not-run"


def test_a_notice_without_role_name_or_heading_is_for_a_person_to_look_at() -> None:
    for lacks in ("role", "name", "heading"):
        found = verdict("K1", visit(notice(**{lacks: ""})))
        assert (found.reason, found.facts[0].text) == ("needs-human", f"the notice has no {lacks}")


def stops(**more: Any) -> dict[str, Any]:
    return {
        "met": 1, "whole": True, "stuck": "", "stops": [], "reached": ["Refuse"], "missed": [], "faint": [],
        "control": "Refuse", "pressed": True, "held": True, **more,
    }  # fmt: skip


def keyboard(*walks: dict[str, Any], first: dict[str, Any] | None = None) -> Run:
    return walked("keyboard", layers=[first or notice()], facts={"stops": list(walks)})


@pytest.mark.parametrize(
    ("more", "wanted"),
    [
        ({}, "pass"),
        ({"met": 0}, "pass"),
        ({"met": 6}, "fail"),
        ({"met": None}, "fail"),
        ({"met": None, "whole": False, "pressed": False, "held": None}, "no-effect"),
        ({"missed": ["Refuse"], "pressed": False, "held": None}, "fail"),
        ({"stuck": "a «x»", "pressed": False, "held": None}, "fail"),
        ({"held": False}, "fail"),
    ],
)
def test_the_notice_is_refused_by_keyboard_alone(more: dict[str, Any], wanted: str) -> None:
    clicked = walked("refuse", clicks={"refuse": 1})
    assert outcome("K2", keyboard(stops(**more)), clicked) == wanted


def test_a_late_notice_that_is_announced_is_met_and_one_that_nothing_refuses_is_not_known() -> None:
    for announced in ({"live": True}, {"modal": True}):
        assert outcome("K2", keyboard(stops(met=9), first=notice(**announced))) == "pass"
    assert outcome("K2", keyboard(stops(held=False))) == "no-effect"
    assert outcome("K2") == "not-run"


@pytest.mark.parametrize(
    ("ground", "wanted"),
    [
        ({}, "pass"),
        ({"color": "rgb(118, 118, 118)"}, "pass"),  # 4.54:1
        ({"color": "rgb(130, 130, 130)"}, "fail"),
        ({"color": "rgb(130, 130, 130)", "size": 24}, "pass"),  # large: 3:1
        ({"color": "rgb(130, 130, 130)", "size": 19, "bold": True}, "pass"),
        ({"ground": None}, "needs-human"),
    ],
)
def test_texts_stand_out_from_their_ground(ground: dict[str, Any], wanted: str) -> None:
    text_ = {**box()["grounds"][0], **ground}
    assert outcome("K3", visit(notice(grounds=[text_])), keyboard(stops())) == wanted
    assert (
        outcome("K3", visit(notice(grounds=[text_], whole=True)), keyboard(stops())) == "no-notice"
    )


def test_the_focus_is_seen() -> None:
    assert outcome("K3", visit(), keyboard(stops(faint=["Refuse"]))) == "fail"
    assert outcome("K3", visit()) == "not-run"


def states(*, again: str = "", **texts: tuple[str, str]) -> list[Run]:
    """Walks with what stood around the way back after each: words, colours; `again` as who withdraws had accepted."""
    shown = {
        name: {"label": "x", "text": words, "colours": colours}
        for name, (words, colours) in texts.items()
    }
    first = {**shown["accept"], "colours": again or shown["accept"]["colours"]}
    return [
        walked(
            name,
            facts={
                "way back": {"accept-reload": first, f"{name}-reload": shown[name]},
                "announced": {name: "saved"},
            },
        )
        for name in texts
    ]


def test_the_state_of_the_choice_is_told_in_words() -> None:
    no, yes = ("Cookies refused", "red"), ("Cookies accepted", "green")
    assert outcome("K4", *states(accept=yes, refuse=no, withdraw=no)) == "pass"
    green, red = ("Cookies", "green"), ("Cookies", "red")
    assert outcome("K4", *states(accept=green, refuse=red, withdraw=red)) == "fail"
    assert outcome("K4", *states(accept=red, refuse=red, withdraw=red)) == "not applicable"
    assert outcome("K4", *states(accept=green, refuse=red, withdraw=green)) == "needs-human"
    by_chance = states(accept=green, refuse=red, withdraw=red, again="blue")
    assert outcome("K4", *by_chance) == "not applicable"
    other = ("It is noon", "red")
    assert outcome("K4", *states(accept=yes, refuse=no, withdraw=other)) == "needs-human"
    silent = states(accept=yes, refuse=no, withdraw=no)
    silent[0].facts["announced"]["accept"] = ""
    assert outcome("K4", *silent) == "needs-human"
    assert outcome("K4", *states(accept=yes, refuse=no)) == "not-run"
    assert outcome("K4", walked("accept"), walked("refuse"), walked("withdraw")) == "not applicable"


def small(**more: Any) -> Run:
    reached = {"label": "Refuse", "width": 100, "height": 44, "hit": True, **more}
    return walked("small", facts={"reached": [reached], "covered": []})


def test_in_a_small_window_everything_is_reached_and_nothing_covered() -> None:
    assert outcome("K5", small()) == "pass"
    assert outcome("K5", small(hit=False)) == "fail"
    assert outcome("K5", small(height=16)) == "needs-human"
    covered = walked("small", facts={"reached": [], "covered": ["a «next»"]})
    assert outcome("K5", covered) == "fail"
    assert outcome("K5", walked("small")) == "no-notice"
    assert outcome("K5") == "not-run"


@pytest.mark.parametrize(
    ("page", "labels", "wanted"),
    [
        ("en", ("Accept all", "Reject all"), "pass"),
        ("en-GB", ("Accept all", "Reject all"), "pass"),
        ("fr", ("Accept all", "Reject all"), "fail"),
        ("", ("Accept all", "Reject all"), "no-language"),
        ("en", ("Xyzzy", "Plugh"), "unclassified"),
        ("ja", ("Accept all", "Reject all"), "unclassified"),
    ],
)
def test_the_notice_speaks_the_language_of_the_page(
    page: str, labels: tuple[str, str], wanted: str
) -> None:
    first = notice(page_lang=page)
    for control, label in zip(first["controls"], labels, strict=True):
        control["label"] = label
    assert outcome("K6", visit(first)) == wanted


def test_nothing_moves_for_who_asked_for_less_motion() -> None:
    first = notice()
    first["controls"][0]["label"] = "Accept all"
    assert outcome("K6", visit(first, moves=0)) == "pass"
    assert outcome("K6", visit(first, moves=1)) == "fail"
