"""Verdicts on what walks left behind, and on what a site behind bandeau answered."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from audit.cases import (
    copied,
    declared,
    kept,
    layer,
    notice,
    outcome,
    request,
    text,
    verdict,
    walked,
)
from bandeau.audit.observe import Observation
from bandeau.audit.scenario import Run
from bandeau.demo.serve import policy as lanterne

LANTERNE = lanterne(8000)


def jar(name: str, digest: str) -> Observation:
    return Observation(
        "cookie_in_jar", "x", 1, name, "site.test", third=False, detail={"digest": digest}
    )


def test_no_copy_says_granted_before_a_choice() -> None:
    assert outcome("C4", walked("no-choice")) == "pass"
    assert outcome("C4", walked("no-choice", copied("arrive", granted=False))) == "pass"
    assert outcome("C4", walked("no-choice", copied("arrive", granted=True))) == "fail"
    assert outcome("C4", walked("no-choice", copied("arrive", granted=None))) == "unclassified"
    assert outcome("C4") == "not-run"
    interests = copied("arrive", granted=True, name="TCF legitimate interests")
    assert outcome("C4", walked("no-choice", interests)) == "pass"  # that is for B6


def test_a_known_notice_s_cookie_that_holds_an_acceptance_before_a_choice_is_one() -> None:
    klaro = {**layer(), "name": "klaro"}
    accepted, refused = walked("accept", jar("klaro", "yes")), walked("refuse", jar("klaro", "no"))
    for digest, wanted in (("yes", "fail"), ("no", "pass"), ("wait", "pass")):
        before = walked("no-choice", jar("klaro", digest), layers=[klaro])
        assert outcome("C4", before, accepted, refused) == wanted
    alike = walked("refuse", jar("klaro", "yes"))  # one that holds the same after either
    assert (
        outcome("C4", walked("no-choice", jar("klaro", "yes"), layers=[klaro]), accepted, alike)
        == "pass"
    )


def disguised(names: dict[str, str] | None = None, **more: Any) -> Run:
    seen = kept("arrive", "id", digest="d", size=20), request("ads.test", "arrive", **more)
    return walked("no-choice", *seen, facts={"names": names or {}})


def test_what_a_cookie_holds_does_not_travel_in_an_address() -> None:
    refused, policy = walked("refuse"), declared()
    assert outcome("C6", disguised(), refused, policy=policy) == "pass"
    assert outcome("C6", disguised(values=["d"]), refused, policy=policy) == "fail"
    assert outcome("C6", disguised(values=["d"]), refused) == "unclassified"
    assert outcome("C6", disguised(), policy=policy) == "not-run"
    short = walked(
        "no-choice",
        kept("arrive", "l", digest="d", size=2),
        request("ads.test", "arrive", values=["d"]),
    )
    assert outcome("C6", short, refused, policy=policy) == "pass"


def test_the_headline_says_which_disguise_was_seen() -> None:
    def told(**seen: Any) -> str:
        return verdict("C6", disguised(**seen), policy=declared()).failure

    travels = "An identifier of the site's travels to third parties in addresses."
    stands = "A third party stands under the site's name."
    led = {"stats.site.test": "ads.test"}
    assert told(values=["d"]) == travels
    assert told(names=led) == stands
    assert told(names=led, values=["d"]) == f"{travels} {stands}"


@pytest.mark.parametrize(
    ("name", "wanted"),
    [("www.site.test", "pass"), ("ads.test", "fail"), ("edge.test", "unclassified"), ("", "unclassified")],
)  # fmt: skip
def test_an_own_name_is_not_another_s(name: str, wanted: str) -> None:
    led = disguised({"stats.site.test": name})
    assert outcome("C6", led, walked("refuse"), policy=declared()) == wanted


def test_all_copies_say_refused_after_a_refusal_and_a_withdrawal() -> None:
    refused = walked("refuse", copied("arrive", granted=True), copied("refuse", granted=False))
    withdrawn = walked(
        "withdraw", copied("accept", granted=True), copied("withdraw", granted=False)
    )
    assert outcome("D3", refused, withdrawn) == "pass"
    for run in (walked("refuse", copied("refuse-reload", granted=True)), walked("withdraw", copied("withdraw-reload", granted=True))):  # fmt: skip
        assert outcome("D3", refused, withdrawn, run) == "fail"
    assert (
        outcome("D3", refused, walked("withdraw", copied("withdraw", granted=None)))
        == "unclassified"
    )
    assert outcome("D3", walked("refuse"), walked("withdraw")) == "not applicable"
    assert outcome("D3", refused) == "not-run"


def refusal(length: int, *, words: str = "", path: str = "/") -> Run:
    pages = {**text(1000, "arrive"), **text(length, "refuse-reload", words, path)}
    return walked("refuse", facts={"text": pages})


def test_a_refusal_leaves_the_page_open_and_says_what_is_missing() -> None:
    plain = walked("accept")
    assert outcome("D4", refusal(1000), plain) == "pass"
    assert outcome("D4", refusal(400), plain) == "fail"
    assert outcome("D4", refusal(1000, path="/pay"), plain) == "fail"
    assert outcome("D4", refusal(1000)) == "not-run"
    framed = walked("accept", request("tube.test", "accept-reload", kind="Document"))
    assert outcome("D4", refusal(1000), framed) == "needs-human"
    for words in ("Open at tube.test", "A video of Tube"):
        assert outcome("D4", refusal(1000, words=words), framed, policy=declared()) == "pass"
    ads = walked("accept", request("ads.test", "accept-reload", kind="Document"))
    assert outcome("D4", refusal(1000), ads, policy=declared()) == "pass"


def test_a_notice_that_is_gone_is_no_text_that_is_lost() -> None:
    """In a short page without a <main> the notice is most of what there is to read."""
    shown, plain = [notice(text="x" * 600)], walked("accept")
    for length, found in ((400, "pass"), (190, "fail")):
        pages = {**text(1000, "arrive"), **text(length, "refuse-reload")}
        run = walked("refuse", layers=shown, facts={"text": pages})
        assert outcome("D4", run, plain) == found
    for length, found in ((380, "pass"), (350, "fail")):
        pages = {**text(1000, "arrive"), **text(length, "withdraw-reload")}
        run = walked("withdraw", layers=shown, facts={"text": pages})
        assert outcome("G5", run, plain) == found


def test_one_purpose_brings_what_all_bring_of_it() -> None:
    policy, ad = declared(), kept("accept", "ad")
    both = [walked("only:ads", kept("only:ads", "ad")), walked("only:video")]
    assert outcome("F2", walked("accept", ad), *both, policy=policy) == "pass"
    lost = [walked("only:ads"), walked("only:video")]
    assert outcome("F2", walked("accept", ad), *lost, policy=policy) == "unclassified"
    assert outcome("F2", *[walked("accept", ad)] * 2, *lost * 2, policy=policy) == "fail"
    assert (
        outcome("F2", walked("accept", ad), walked("accept"), *lost * 2, policy=policy)
        == "unclassified"
    )
    assert outcome("F2", walked("accept", ad), both[0], policy=policy) == "not-run"
    assert outcome("F2", walked("accept", ad), *both) == "needs-policy"


def test_what_serves_two_purposes_waits_for_both() -> None:
    policy = declared()
    assert outcome("F3", walked("only:ads", kept("only:ads", "ad")), policy=policy) == "pass"
    assert outcome("F3", walked("only:ads", kept("only:ads", "both")), policy=policy) == "fail"
    assert outcome("F3", walked("only:ads")) == "needs-policy"
    assert outcome("F3", policy=policy) == "not-run"
    owned = declared(feature='{ id = "comments", needs = ["profiles"], routes = ["/c"] }')
    assert outcome("F3", walked("only:ads"), policy=owned) == "needs-human"


def scriptless(*seen: Observation, clicks: dict[str, int] | None = None, **facts: Any) -> Run:
    return walked("no-script", *seen, clicks=clicks or {}, facts=facts)


def test_the_way_back_works_without_a_script() -> None:
    withdrawn = walked("withdraw")
    works: dict[str, Any] = {"entry": "Choices", "leads": True}
    assert outcome("G1", withdrawn) == "not-run"
    assert outcome("G1", withdrawn, scriptless(clicks={"accept": 1}, **works)) == "pass"
    deads: list[dict[str, Any]] = [{"entry": None}, {"entry": "Choices", "leads": False}]
    for dead in deads:
        assert outcome("G1", withdrawn, scriptless(**dead)) == "pass"  # nothing to take back
        assert outcome("G1", withdrawn, scriptless(clicks={"accept": 1}, **dead)) == "fail"
        assert outcome("G1", withdrawn, scriptless(kept("arrive", third=True), **dead)) == "fail"
        assert outcome("G1", withdrawn, scriptless(kept("arrive"), **dead)) == "unclassified"
    bare = walked("refuse", facts={"way back": {"refuse-reload": None}})
    assert outcome("G1", withdrawn, scriptless(**works), bare) == "fail"


def withdrawal(length: int = 1000, words: str = "", accepted: int = 1000) -> Run:
    pages = {
        **text(1000, "arrive"),
        **text(accepted, "accept-reload"),
        **text(length, "withdraw-reload"),
    }
    return walked("withdraw", layers=[notice(), notice(text=words)], facts={"text": pages})


def test_a_withdrawal_costs_nothing_and_frightens_nobody() -> None:
    alone = walked("accept")
    assert outcome("G5", withdrawal(), alone) == "pass"
    assert outcome("G5", withdrawal(800), alone) == "fail"
    assert outcome("G5", withdrawal(800, accepted=800), alone) == "pass"  # the notice's own words
    assert outcome("G5", withdrawal(words="You will lose your mail."), alone) == "needs-human"
    told = walked("accept", request("ads.test", "accept"))
    assert outcome("G5", withdrawal(), told) == "needs-server"
    assert outcome("G5", withdrawal()) == "not-run"


def exempt(**more: Any) -> Run:
    return walked("no-choice", kept("arrive", "lanterne_depuis", digest="d", **more))


@pytest.mark.parametrize("rule", ["J1", "J2", "J5"])
def test_without_an_exempt_tracker_there_is_nothing_exempt_to_judge(rule: str) -> None:
    assert outcome(rule, exempt()) == "not applicable"
    assert outcome(rule, exempt(), policy=declared()) == "not applicable"


def test_what_is_exempt_stays_with_the_publisher() -> None:
    refused = walked("refuse")
    assert outcome("J1", exempt(), refused, policy=LANTERNE) == "pass"
    travels = walked(
        "no-choice",
        kept("arrive", "lanterne_depuis", digest="d"),
        request("x.test", "arrive", values=["d"]),
    )
    assert outcome("J1", travels, refused, policy=LANTERNE) == "fail"
    assert outcome("J1", exempt(third=True), refused, policy=LANTERNE) == "fail"
    assert outcome("J1", walked("no-choice"), refused, policy=LANTERNE) == "not-seen"
    assert outcome("J1", exempt(), policy=LANTERNE) == "not-run"
    assert outcome("J2", exempt(third=True), policy=LANTERNE) == "fail"
    assert outcome("J2", exempt(), policy=LANTERNE) == "one-site"


def against(*, stored: bool, said: list[str], file: dict[str, Any] | None = None) -> Run:
    document = {"status": 404 if file is None else 200, "document": file or {}}
    facts = {"against": {"stored": stored, "said": said}, "support file": document}
    return walked("gpc", facts=facts)


def test_accepting_against_the_signal_is_told_of() -> None:
    assert outcome("L2", against(stored=False, said=["signal"])) == "pass"
    assert outcome("L2", against(stored=True, said=["signal"])) == "pass"
    assert outcome("L2", against(stored=True, said=[])) == "fail"
    assert outcome("L2", against(stored=False, said=[])) == "no-effect"
    assert outcome("L2", walked("gpc")) == "no-notice"
    assert outcome("L2") == "not-run"


@pytest.mark.parametrize(
    ("file", "wanted"),
    [
        ({"gpc": True, "lastUpdate": "2026-11-25"}, "pass"),
        ({"gpc": False, "lastUpdate": "2026-11-25T10:00:00Z"}, "pass"),
        ({"gpc": "yes", "lastUpdate": "2026-11-25"}, "fail"),
        ({"gpc": True, "lastUpdate": "yesterday"}, "fail"),
        ({"gpc": True}, "fail"),
        ({}, "pass"),  # no JSON: the server answers every address, with a page of its own
        ({"error": "no such page"}, "pass"),
    ],
)
def test_a_support_file_is_what_it_should_be(file: dict[str, Any], wanted: str) -> None:
    assert outcome("L2", against(stored=False, said=["signal"], file=file)) == wanted


# -- what the public addresses answered -----------------------------------------------------------------

RECORD = "2026-11-25T07:33Z accept_all snapshot=2 language=fr layer=first device=desktop signal=no replaces=none"
COOKIE = "__Host-bandeau=1.a.v.v.h.s; Max-Age=15724800; Path=/; Secure; HttpOnly; SameSite=Lax"


def decision(what: str, index: int, *granted: str) -> dict[str, Any]:
    choices = "".join(f" {one}={'yes' if one in granted else 'no'}" for one in ("ads", "video"))
    return {
        "what": what,
        "status": 200,
        "granted": list(granted),
        "record": RECORD + choices,
        "index": index,
    }


def answered(*more: Run, **facts: Any) -> tuple[Run, ...]:
    found = {
        "scheme": "https",
        "forged": [{"what": "a GET", "status": 405, "granted": []}],
        "decisions": [decision("all", 6, "ads", "video"), decision("all again", 6, "ads", "video"), decision("ads", 7, "ads"), decision("none", 9)],
        "sizes": [6, 10],
        "cookie": {"line": COOKIE, "alike": True},
        "snapshot": {"logged": "a", "given": "a"},
        "garbled": {"tried": 40, "taken": []},
        "cache": {"wrong": [], "kept": []},
        "unknown purpose": [],
        "turned": [],
        "signals": [{"headers": {}, "granted": []}],
        "objection": {"offered": True, "status": 303, "set": ["lanterne_session"]},
        **facts,
    }  # fmt: skip
    return (walked("endpoints", facts={"endpoints": found}), *more)


WALKS = [walked(name) for name in ("no-choice", "refuse", "accept", "withdraw", "gpc")]
TOLD = walked("no-choice", facts={"told": [{"url": "x", "text": "Mesure d'audience"}]})


@pytest.mark.parametrize("rule", ["I1", "I2", "I4", "L3", "M1", "M2", "M3", "M4", "M5"])
def test_only_what_stands_behind_bandeau_can_be_asked(rule: str) -> None:
    assert outcome(rule, *WALKS) == "needs-server"
    assert outcome(rule, walked("endpoints", facts={"endpoints": {}}), *WALKS) == "needs-server"
    broken = walked("endpoints", completed=False, reason="error")
    assert outcome(rule, broken, *WALKS) == "needs-server"
    wanted = "needs-server" if rule in ("I4", "M4") else "pass"  # no walk can pass these two
    assert outcome(rule, *answered(), *WALKS, policy=LANTERNE) == wanted


BAD: list[tuple[str, dict[str, Any]]] = [
    ("I1", {"decisions": [decision("all", 6, "ads"), decision("all again", 7, "ads"), decision("none", 8)]}),
    ("I1", {"decisions": [decision("all", 6, "ads"), decision("all again", 6, "ads"), decision("none", 6)]}),
    ("I1", {"decisions": [{**decision("all", 6, "ads"), "record": ""}, decision("all again", 6, "ads")]}),
    ("I1", {"decisions": [{**decision("all", 6, "ads"), "granted": []}, decision("all again", 6, "ads"), decision("none", 7)]}),
    ("I1", {"sizes": [6, 8]}),
    ("I2", {"snapshot": {"logged": "a", "given": "b"}}),
    ("I4", {"decisions": [{**decision("all", 6), "record": f"{RECORD} from=192.0.2.7"}]}),
    ("I4", {"decisions": [{**decision("all", 6), "record": f"{RECORD} agent=Mozilla/5.0"}]}),
    ("I4", {"decisions": [{**decision("all", 6), "record": f"{RECORD} who=jo@site.test"}]}),
    ("L3", {"signals": [{"headers": {"DNT": "0"}, "granted": ["ads"]}]}),
    ("L3", {"decisions": [{**decision("all", 6), "record": RECORD.replace("signal=no", "signal=1;1")}]}),
    ("M1", {"forged": [{"what": "a GET", "status": 200, "granted": ["ads"]}]}),
    *(("M2", {"cookie": {"line": COOKIE.replace(one, ""), "alike": True}}) for one in ("; Secure", "; HttpOnly", "; SameSite=Lax", "; Path=/")),
    ("M2", {"cookie": {"line": COOKIE.replace("15724800", "99999999"), "alike": True}}),
    ("M2", {"cookie": {"line": COOKIE.replace("15724800", "9" * 5000), "alike": True}}),
    ("M2", {"cookie": {"line": f"{COOKIE}; Domain=site.test", "alike": True}}),
    ("M2", {"cookie": {"line": COOKIE, "alike": False}}),
    ("M2", {"garbled": {"tried": 40, "taken": [{"value": "x", "granted": ["ads"]}]}}),
    ("M3", {"cache": {"wrong": [{"path": "/", "who": "refused", "got": "granted"}], "kept": ["/"]}}),
    ("M4", {"unknown purpose": ["ads"]}),
    ("M5", {"turned": ["the settings can be framed by any site"]}),
]  # fmt: skip


@pytest.mark.parametrize(("rule", "wrong"), BAD)
def test_what_the_addresses_answer_wrong_is_a_finding(rule: str, wrong: dict[str, Any]) -> None:
    found = verdict(rule, *answered(**wrong), *WALKS, policy=LANTERNE)
    assert (found.outcome.value, len(found.facts)) == ("fail", 1)


def test_a_record_more_is_not_known_where_others_choose_too() -> None:
    apart = [decision("all", 6, "ads"), decision("all again", 6, "ads"), decision("ads", 9), decision("none", 12)]  # fmt: skip
    assert outcome("I1", *answered(decisions=apart)) == "others-chose"


def test_what_was_not_tried_is_not_known() -> None:
    assert outcome("I2", *answered(snapshot={})) == "needs-server"
    unsure = answered(cookie={"line": COOKIE, "alike": None})
    assert outcome("M2", *unsure, policy=LANTERNE) == "not-watched"
    assert (
        outcome("M2", *answered(cookie={"line": "", "alike": True}), policy=LANTERNE)
        == "needs-server"
    )


def test_the_consent_system_calls_nobody_and_keeps_the_choice_alone() -> None:
    script = ("http://site.test/_b/static/1/bandeau.js:3:1",)
    called = replace(request("x.test", "accept"), chain=script)
    other = replace(kept("accept", "seen"), chain=script)
    mine = replace(kept("accept", "bandeau"), chain=("response of http://site.test/_b/choice",))
    for seen, wanted in ((called, "fail"), (other, "fail"), (mine, "pass")):
        assert outcome("M5", *answered(), *WALKS, walked("accept", seen), policy=LANTERNE) == wanted


def test_an_objection_is_told_of_offered_and_obeyed() -> None:
    assert outcome("J5", *answered(TOLD), policy=LANTERNE) == "pass"
    disobeyed = {"offered": True, "status": 303, "set": ["lanterne_depuis"]}
    assert outcome("J5", *answered(TOLD, objection=disobeyed), policy=LANTERNE) == "fail"
    silent = walked("no-choice", facts={"told": [{"url": "x", "text": "Bonjour"}]})
    assert outcome("J5", *answered(silent), policy=LANTERNE) == "fail"
    hidden = {"offered": False, "status": 404, "set": []}
    assert outcome("J5", *answered(TOLD, objection=hidden), policy=LANTERNE) == "no-control"
    assert outcome("J5", *answered(walked("no-choice")), policy=LANTERNE) == "no-list"
    assert outcome("J5", TOLD, policy=LANTERNE) == "needs-server"
