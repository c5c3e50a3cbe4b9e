"""The first layer of a notice (A): what it offers, names, and asks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from bandeau.audit.judge.base import (
    CLOSED,
    KEPT,
    LESS,
    SANCTIONED,
    Case,
    Decide,
    Fact,
    Outcome,
    Verdict,
    asked,
    beside_the_point,
    clicks,
    contrast,
    needs_human,
    nothing,
    unknown,
    verdict,
)
from bandeau.audit.lexicon import said
from bandeau.audit.observe import ASKED, site_of
from bandeau.audit.pipe import Params
from bandeau.audit.scenario import Run
from bandeau.policy.model import BUILT_IN_PURPOSES

_LEAST_CONTRAST = 3.0  # under which nobody is meant to read it (rule A5)
_LEAST_AREA = 0.8  # of one control to the other, before a person has to look


def _a1(case: Case, rule: str) -> Verdict:
    """A notice appears where there is anything to consent to."""
    if any(run.layers for run in case.of("no-choice")):
        return Verdict(rule, Outcome.PASS)
    if missing := case.missing("no-choice"):
        return Verdict(rule, Outcome.UNKNOWN, missing)
    verdict = nothing("no-choice")(case, rule)
    if verdict.outcome is Outcome.PASS:
        return Verdict(rule, Outcome.NOT_APPLICABLE, "nothing was seen that needs consent")
    if verdict.outcome is Outcome.FAIL:  # the rules C1 to C3 list all of it
        first = verdict.facts[0]
        more = len({one.about for one in verdict.facts}) - 1  # things, not how often they were seen
        text = f"no notice that asks for a choice was found, and yet: {first.text}"
        text += f" (and {more} more)" if more else ""
        return replace(verdict, facts=(replace(first, text=text),))
    return verdict


def _a2(case: Case, rule: str) -> Verdict:
    """Every layer that offers to accept offers to refuse."""
    layers = [(run, layer) for run in case.runs for layer in run.layers]
    if not layers:
        return Verdict(rule, Outcome.UNKNOWN, "no-notice")
    facts = []
    for run, layer in layers:
        goals = {one["goal"] for one in layer["controls"]}
        if "accept" in goals and not goals & {"refuse", "save"}:
            labels = ", ".join(f"«{one['label']}»" for one in layer["controls"])
            facts.append(
                Fact(f"a layer offers to accept and not to refuse: {labels}", run.scenario)
            )
    if facts:
        return Verdict(rule, Outcome.FAIL, "", tuple(facts[:1]))
    return Verdict(rule, Outcome.PASS)


def _a3(case: Case, rule: str) -> Verdict:
    """Refusing costs no more clicks than accepting."""
    accept, refuse = clicks(case, "accept"), clicks(case, "refuse")
    if accept is None or refuse is None:
        return Verdict(
            rule,
            Outcome.UNKNOWN,
            case.missing("refuse" if refuse is None else "accept") or "no-control",
        )
    if refuse > accept:
        text = f"refusing took {refuse} clicks, accepting {accept}"
        return Verdict(rule, Outcome.FAIL, "", (Fact(text, "refuse"),))
    return Verdict(rule, Outcome.PASS)


def _pairs(case: Case) -> Iterator[tuple[Run, Params, Params]]:
    """Return the controls that accept and refuse on each first layer that has both."""
    for run in [*case.of("no-choice"), *case.of("small")]:
        for layer in run.layers[:1]:
            by_goal = {one["goal"]: one for one in layer["controls"]}
            if "accept" in by_goal and "refuse" in by_goal:
                yield run, by_goal["accept"], by_goal["refuse"]


def _a4(case: Case, rule: str) -> Verdict:
    """Refusing is a control of the same kind as accepting."""
    pairs = list(_pairs(case))
    facts = [
        Fact("refusing is a link in a text, accepting a button", run.scenario)
        for run, accept, refuse in pairs
        if refuse["in_text"] and not accept["in_text"]
    ]
    if not pairs:
        return unknown(rule, "no-control" if any(run.layers for run in case.runs) else "no-notice")
    return verdict(case, rule, facts, (), "no-choice", "small")


def _a5(case: Case, rule: str) -> Verdict:
    """Refusing is in view, readable, and about as large as accepting, in each window."""
    facts: list[Fact] = []
    doubtful: list[Fact] = []
    pairs = list(_pairs(case))
    for run, accept, refuse in pairs:
        if accept["in_view"] and not refuse["in_view"]:
            facts.append(Fact("accepting is in view, refusing is not", run.scenario))
        ratio = contrast(refuse["color"], refuse["background"])
        if ratio is None:
            doubtful.append(
                Fact("what refusing is written on has no colour of its own", run.scenario)
            )
        elif ratio < _LEAST_CONTRAST:
            facts.append(Fact(f"refusing has a contrast of {ratio:.1f}:1", run.scenario))
        area = refuse["width"] * refuse["height"], accept["width"] * accept["height"]
        if not _LEAST_AREA < area[0] / max(area[1], 1) < 1 / _LEAST_AREA:
            text = f"refusing has {area[0]:.0f} px² to press, accepting {area[1]:.0f}"
            doubtful.append(Fact(text, run.scenario))
    if not pairs:
        return unknown(rule, "no-control" if any(run.layers for run in case.runs) else "no-notice")
    if doubtful and not facts:
        return Verdict(rule, Outcome.UNKNOWN, "needs-human", tuple(doubtful))
    return verdict(case, rule, facts, (), "no-choice", "small")


def _a6(case: Case, rule: str) -> Verdict:
    """Each purpose that acceptance opens is named on the first layer, by a word or its own title."""
    texts = [layer["box"]["text"] for _, layer in case.first_layers("no-choice")]
    if not texts:
        return unknown(rule, case.missing("no-choice") or "no-notice")
    if missing := case.missing("accept"):
        return unknown(rule, missing)
    if case.policy is None:
        brought = [fact for run in case.of("accept") for fact in asked(case, run, frozenset())]
        if brought:
            return unknown(rule, "unclassified", *brought)
        return beside_the_point(rule, "acceptance brings no third party")
    facts: list[Fact] = []
    doubtful: list[Fact] = []
    used = _used(case)
    for purpose, one in sorted(used.items()):
        titles = [text.title for text in case.policy.purpose(purpose).text.values()]
        told = [*(f"«{title}»" for title in titles if title.casefold() in texts[0].casefold())]
        if purpose in BUILT_IN_PURPOSES:
            told += said(purpose, texts[0])
        if not told:
            text = f"acceptance brings {one} for {case.inventory.title(purpose)},"
            text += " which the first layer does not name"
            (facts if purpose in SANCTIONED else doubtful).append(Fact(text, "accept"))
    if not used:
        return beside_the_point(rule, "acceptance opens nothing that is declared for a purpose")
    return needs_human(case, rule, facts, doubtful, "no-choice", "accept")


def _used(case: Case) -> dict[str, str]:
    """Return the purposes of what acceptance brought, each with an item or a host of it."""
    used: dict[str, str] = {}
    for run in case.of("accept"):
        for one in run.observations:
            item = one.kind in KEPT
            needs = case.inventory.purposes_of_item(one) if item else None
            if one.kind in ASKED and one.third:
                needs = case.inventory.purposes_of_host(one)
            for group in needs or ():
                if len(group) == 1 and group <= case.purposes:
                    used.setdefault(next(iter(group)), one.name if item else one.host)
    return used


def _a7(case: Case, rule: str) -> Verdict:
    """A list that the notice leads to names whoever acceptance contacts, and the controller."""
    firsts = list(case.first_layers("no-choice"))
    if not firsts:
        return unknown(rule, case.missing("no-choice") or "no-notice")
    contacted = {
        one.host: one
        for run in case.of("accept")
        for one in run.observations
        if one.kind in ASKED and one.third and not case.inventory.own(one.host)
    }
    box, told = firsts[0][1]["box"], firsts[0][0].facts.get("told", [])
    opens = any(one["goal"] == "settings" for one in firsts[0][1]["controls"])
    if contacted and not box["links"] and not opens:
        text = f"nothing in the notice leads to who is contacted: {', '.join(sorted(contacted))}"
        return verdict(case, rule, [Fact(text, "no-choice")], ())
    texts = [box["text"], *(page["text"] for page in told)]
    texts += [layer["box"]["text"] for _, layer in case.layers("settings") if layer.get("box")]
    whole = " ".join(texts).casefold()
    facts: list[Fact] = []
    doubtful: list[Fact] = []
    for host, one in sorted(contacted.items()):
        names = [host, site_of(host), *case.inventory.receivers(one)]
        if not any(name.casefold() in whole for name in names):
            text = f"{host} is contacted after accepting, and no page that the notice leads to names it"
            known = case.policy and told
            (facts if known else doubtful).append(
                Fact(text, "accept", one.station, one.at, one.chain)
            )
    if case.policy and case.policy.controller.name.casefold() not in whole:
        doubtful.append(Fact(f"{case.policy.controller.name} is not named", "no-choice"))
    if not told and not facts and not case.missing("no-choice", "accept"):
        return unknown(rule, "no-list", *doubtful)
    return needs_human(case, rule, facts, doubtful, "no-choice", "accept")


def _a8(case: Case, rule: str) -> Verdict:
    """Nothing beside the notice asks for consent without a way to refuse."""
    facts = [
        Fact(
            f"a second dialog asks to accept by «{one['label']}» and offers no refusal",
            run.scenario,
        )
        for run in case.of("no-choice")
        for one in run.facts.get("others", ())
        if "refuse" not in one["goals"] and said("cookies", one["text"])
    ]
    if not any(run.layers for run in case.of("no-choice")):
        return unknown(rule, case.missing("no-choice") or "no-notice")
    return verdict(case, rule, facts, (), "no-choice")


def _a9(case: Case, rule: str) -> Verdict:
    """The page says as much after refusing as after accepting, and nobody is asked to pay instead."""
    refused, accepted = (case.length(name, f"{name}-reload") for name in ("refuse", "accept"))
    facts: list[Fact] = []
    doubtful: list[Fact] = []
    if refused is not None and accepted:
        text = (
            f"after refusing the page has {refused} characters of text, after accepting {accepted}"
        )
        if refused < accepted * CLOSED:
            facts.append(Fact(text, "refuse", "refuse-reload"))
        elif refused < accepted * LESS:
            doubtful.append(Fact(text, "refuse", "refuse-reload"))
    for run, layer in case.first_layers("no-choice"):
        words = said("pay", layer["box"]["text"])
        if words:
            doubtful.append(Fact(f"the notice speaks of paying: {', '.join(words)}", run.scenario))
    if refused is None or not accepted:
        return unknown(rule, case.missing("refuse", "accept") or "not-watched")
    return needs_human(case, rule, facts, doubtful, "no-choice", "refuse", "accept")


DECIDE: dict[str, Decide] = {
    "A1": _a1,
    "A2": _a2,
    "A3": _a3,
    "A4": _a4,
    "A5": _a5,
    "A6": _a6,
    "A7": _a7,
    "A8": _a8,
    "A9": _a9,
}
