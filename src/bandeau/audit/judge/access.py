"""Who can use the notice (K): assistive technology, keyboard, small windows, languages."""

from __future__ import annotations

from bandeau.audit.judge.base import (
    Case,
    Decide,
    Fact,
    Verdict,
    beside_the_point,
    contrast,
    needs_human,
    once,
    unknown,
    verdict,
)
from bandeau.audit.lexicon import languages, spoken
from bandeau.audit.pipe import Params

_STATEFUL = ("checkbox", "menuitemcheckbox", "radio", "switch")  # ARIA 1.2, aria-checked
_MOST_STOPS = 5  # of Tab until the notice (rule K2)
_LARGE, _LARGE_BOLD = 24, 18.66  # CSS pixels: 18 and 14 points (WCAG 2.2, "large scale")
_RATIO, _RATIO_LARGE = 4.5, 3.0  # WCAG 2.2, 1.4.3
_LEAST_TARGET = 24  # CSS pixels (WCAG 2.2, 2.5.8)


def _k1(case: Case, rule: str) -> Verdict:
    """Controls are real ones, with a role and a name, and so is the notice."""
    layers = [(run, layer) for run in case.runs for layer in run.layers]
    if not layers:
        return unknown(rule, "no-notice")
    facts = [
        Fact(f"the {one['role']} «{one['label']}» has no {lacks}", run.scenario)
        for run, layer in layers
        for one in layer["controls"]
        for lacks, there in (
            ("role", one["role"]),
            ("name", one["label"]),
            ("state", one["role"] not in _STATEFUL or one["checked"] is not None),
        )
        if not there
    ]
    doubtful = [
        Fact(f"the notice has no {lacks}", run.scenario)
        for run, layer in case.first_layers("no-choice")
        for lacks in ("role", "name", "heading")
        if not layer["box"][lacks]
    ]
    return needs_human(case, rule, facts[:3], once(doubtful), "no-choice")


def _k2(case: Case, rule: str) -> Verdict:
    """The notice is met soon by Tab, everything in it is reached, and Enter refuses."""
    facts: list[Fact] = []
    for run in case.of("keyboard"):
        stops = run.facts.get("stops", [])
        for walked in stops:
            if walked["stuck"]:
                facts.append(Fact(f"Tab does not lead away from {walked['stuck']}", run.scenario))
            missed = walked["missed"] if walked["whole"] else ()
            facts += [Fact(f"«{one}» is not reached by Tab", run.scenario) for one in missed]
            if walked.get("held") is False and _clicked(case):
                text = f"Enter on «{walked['control']}» does not refuse, a click does"
                facts.append(Fact(text, run.scenario))
        box = run.layers[0].get("box", {}) if run.layers else {}
        met = stops[0]["met"] if stops and stops[0]["whole"] else 0
        if (met is None or met > _MOST_STOPS) and not (box.get("live") or box.get("modal")):
            text = f"the notice is met at stop {met} of Tab, and was not announced"
            facts.append(Fact(text if met else "Tab does not lead to the notice", run.scenario))
    if facts:
        return verdict(case, rule, facts, ())
    if missing := case.missing("keyboard"):
        return unknown(rule, missing)
    done = all(run.facts["stops"][-1].get("held") for run in case.of("keyboard"))
    return verdict(case, rule, (), (), "keyboard") if done else unknown(rule, "no-effect")


def _clicked(case: Case) -> bool:
    return any("refuse" in run.clicks for run in case.of("refuse"))


def _k3(case: Case, rule: str) -> Verdict:
    """Texts of the notice stand out from their ground, and what has the focus from what has not."""
    facts: dict[tuple[str, str], Fact] = {}
    doubtful: dict[tuple[str, str], Fact] = {}
    seen = False
    for run, layer in case.layers("no-choice", "settings"):
        box = layer.get("box", {})
        for one in () if box.get("whole") else box.get("grounds", ()):
            seen = True
            ratio = contrast(one["color"], one["ground"] or "")
            large = one["size"] >= _LARGE or (one["bold"] and one["size"] >= _LARGE_BOLD)
            key = (one["color"], str(one["ground"]))
            if ratio is None:
                text = f"what «{one['text']}» is written on cannot be computed"
                doubtful.setdefault(key, Fact(text, run.scenario))
            elif ratio < (_RATIO_LARGE if large else _RATIO):
                colours = f"{one['color']} on {one['ground']}"
                text = f"«{one['text']}» has a contrast of {ratio:.1f}:1 ({colours})"
                facts.setdefault(key, Fact(text, run.scenario))
    for run in case.of("keyboard"):
        for walked in run.facts.get("stops", ()):
            for label in walked["faint"]:
                text = f"«{label}» looks the same with the focus and without it"
                facts.setdefault(("focus", label), Fact(text, run.scenario))
    if not seen and not facts:
        return unknown(rule, case.missing("no-choice") or "no-notice")
    return needs_human(
        case, rule, list(facts.values()), list(doubtful.values()), "no-choice", "keyboard"
    )


def _k4(case: Case, rule: str) -> Verdict:
    """The state of the choice is told by text, also with forced colours; a change is announced."""
    if missing := case.missing("accept", "refuse", "withdraw"):
        return unknown(rule, missing)
    shown = [_way_back(case, name, name) for name in ("accept", "refuse", "withdraw")]
    if not all(shown):
        return beside_the_point(rule, "no state of the choice is shown: that is for rule E2")
    accept, refuse, withdraw = shown
    if refuse["text"] == accept["text"]:
        text = f"only colours tell accepted from refused: «{refuse['text'][:80]}» after either"
        fact = Fact(text, "refuse", "refuse-reload")
        # By itself, a colour may change at any time: acceptance is read in two walks.
        again = _way_back(case, "withdraw", "accept").get("colours")
        told = again == accept["colours"] != refuse["colours"]
        if told and withdraw["colours"] == refuse["colours"]:
            return verdict(case, rule, [fact], ())
        if told and withdraw["colours"] == accept["colours"]:  # what was withdrawn may still be on
            return unknown(rule, "needs-human", fact)
        return beside_the_point(rule, "no state of the choice is shown")
    doubtful = [
        Fact("the choice changed, and nothing was announced", run.scenario, name)
        for name in ("accept", "refuse")
        for run in case.of(name)
        if not run.facts.get("announced", {}).get(name)
    ]
    if refuse["text"] != withdraw["text"]:
        text = "what stands around the way back differs between two refusals as well"
        doubtful.append(Fact(text, "withdraw", "withdraw-reload"))
    return needs_human(case, rule, (), doubtful, "accept", "refuse", "withdraw")


def _way_back(case: Case, scenario: str, choice: str) -> Params:
    """Return what stood around the way back after a choice in a walk; {} where that was not read."""
    for run in case.of(scenario):
        found: Params = run.facts.get("way back", {}).get(f"{choice}-reload") or {}
        if "text" in found:
            return found
    return {}


def _k5(case: Case, rule: str) -> Verdict:
    """In small windows every control can be pressed, and nothing that has the focus is covered."""
    facts: list[Fact] = []
    doubtful: list[Fact] = []
    reached = [(run, one) for run in case.of("small") for one in run.facts.get("reached", ())]
    for run, one in reached:
        if not one["hit"]:
            facts.append(
                Fact(f"«{one['label']}» cannot be pressed in a window of 320 by 256", run.scenario)
            )
        elif min(one["width"], one["height"]) < _LEAST_TARGET:
            text = f"«{one['label']}» is {one['width']:.0f} by {one['height']:.0f} pixels"
            doubtful.append(Fact(text, run.scenario))
    facts += [
        Fact(f"the notice lies over {one} while it has the focus", run.scenario)
        for run in case.of("small")
        for one in dict.fromkeys(run.facts.get("covered", ()))
    ]
    if not reached and not facts:
        return unknown(rule, case.missing("small") or "no-notice")
    return needs_human(case, rule, facts, doubtful, "small")


def _k6(case: Case, rule: str) -> Verdict:
    """The notice speaks the language of the page, and respects that less motion was asked for."""
    facts: list[Fact] = []
    seen = known = silent = False
    for run, layer in case.layers("no-choice", "settings"):
        seen = True
        language = layer.get("box", {}).get("page_lang", "").partition("-")[0].lower()
        silent = silent or not language
        heard = [(one["label"], spoken(one["label"])) for one in layer["controls"] if one["goal"]]
        heard = [(label, found) for label, found in heard if found]
        if language not in languages() or not heard:
            continue
        known = True
        if len(heard) > 1 and not any(language in found for _, found in heard):
            labels = ", ".join(f"«{label}»" for label, _ in heard)
            facts.append(
                Fact(
                    f"the page says that it speaks {language}, the notice says {labels}",
                    run.scenario,
                )
            )
    facts += [
        Fact(
            "something in the notice moves without end although less motion is asked for",
            run.scenario,
        )
        for run in case.of("no-choice")
        if run.facts.get("moves")
    ]
    if not known and not facts:
        none = "no-language" if silent else "unclassified" if seen else "no-notice"
        return unknown(rule, case.missing("no-choice") or none)
    return verdict(case, rule, facts[:3], (), "no-choice")


DECIDE: dict[str, Decide] = {"K1": _k1, "K2": _k2, "K3": _k3, "K4": _k4, "K5": _k5, "K6": _k6}
