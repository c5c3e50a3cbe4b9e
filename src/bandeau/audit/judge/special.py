"""What is exempt from consent (J), and what is held to a signal (L)."""

from __future__ import annotations

import re
from datetime import datetime
from http import HTTPStatus

from bandeau.audit.judge.base import (
    KEPT,
    Case,
    Decide,
    Fact,
    Outcome,
    Verdict,
    beside_the_point,
    granted_copies,
    needs_human,
    nothing,
    once,
    unanswered,
    unknown,
    verdict,
)
from bandeau.audit.lexicon import said
from bandeau.audit.observe import Observation, days
from bandeau.audit.pipe import Params
from bandeau.audit.scenario import Run

_MOST_DAYS_EXEMPT = 396  # 13 months (rule J3)
_SUPPORT = {"gpc", "lastUpdate"}  # members of a support file (GPC draft)
_NONE = "no exempt tracker is declared"


def _exempt(case: Case, *scenarios: str) -> list[tuple[Run, Observation]]:
    """Return what was kept of the trackers that are declared as exempt."""
    return [
        (run, one)
        for name in scenarios
        for run in case.of(name)
        for one in run.observations
        if one.kind in KEPT and case.inventory.exempt(one)
    ]


def _foreign(case: Case, *scenarios: str) -> list[Fact]:
    """Return what is exempt and yet belongs to a third party."""
    return once(
        Fact(f"the exempt {one.name} belongs to {one.host}", run.scenario, one.station, one.at)
        for run, one in _exempt(case, *scenarios)
        if one.third
    )


def _j1(case: Case, rule: str) -> Verdict:
    """What is exempt stays with the publisher."""
    if case.policy is None or not any(one.exempt for one in case.policy.trackers):
        return beside_the_point(rule, _NONE)
    seen = _exempt(case, "no-choice", "refuse")
    names = {one.detail["digest"]: one.name for _, one in seen if one.detail.get("digest")}
    facts = _foreign(case, "no-choice", "refuse")
    for run in [*case.of("no-choice"), *case.of("refuse")]:
        for one in run.observations:
            for digest in one.detail.get("values", ()):
                if digest in names:
                    text = f"what the exempt {names[digest]} holds travels to {one.host}"
                    facts.append(Fact(text, run.scenario, one.station, one.at, one.chain))
    if not facts and not seen:
        return unknown(rule, case.missing("no-choice", "refuse") or "not-seen")
    doubtful = [
        Fact(f"{one.name} is of {case.policy.service(one.service).recipient}")
        for one in case.policy.trackers
        if one.exempt and one.service
    ]
    return needs_human(case, rule, once(facts), doubtful, "no-choice", "refuse")


def _j2(case: Case, rule: str) -> Verdict:
    """What is exempt belongs to the site alone; only two sites in one profile could show it."""
    if case.policy is None or not any(one.exempt for one in case.policy.trackers):
        return beside_the_point(rule, _NONE)
    facts = _foreign(case, "no-choice")
    if facts:
        return verdict(case, rule, facts, ())
    return unknown(rule, case.missing("no-choice") or "one-site")


def _j3(case: Case, rule: str) -> Verdict:
    """An exempt tracker lives at most 13 months and is not prolonged."""
    if case.policy is None or not any(t.exempt for t in case.policy.trackers):
        return Verdict(rule, Outcome.NOT_APPLICABLE, "no exempt tracker is declared")
    facts: dict[str, Fact] = {}
    seen = False
    for run in [*case.of("no-choice"), *case.of("return")]:  # others clear the jar on the way
        set_at: dict[str, str] = {}
        for one in run.observations:
            if one.kind != "cookie_kept" or not case.inventory.exempt(one):
                continue
            seen = True
            seconds = one.detail.get("seconds")
            asked = days(seconds) if isinstance(seconds, int) else 0
            if asked and asked > _MOST_DAYS_EXEMPT:
                text = f"{one.name} asks for {asked:g} days, {_MOST_DAYS_EXEMPT} are the most"
                facts.setdefault(one.name, Fact(text, run.scenario, one.station, one.at, one.chain))
            elif one.name in set_at and set_at[one.name] != one.station and asked:
                text = f"{one.name} was set again on a later load: its end moves"
                facts.setdefault(one.name, Fact(text, run.scenario, one.station, one.at, one.chain))
            set_at.setdefault(one.name, one.station)
    if not facts and not seen:
        return Verdict(rule, Outcome.UNKNOWN, "not-seen")
    return verdict(case, rule, list(facts.values()), (), "no-choice", "return")


def _j5(case: Case, rule: str) -> Verdict:
    """Exempt measurement is told, can be objected to, and sets nothing after that."""
    if case.policy is None or not any(one.exempt for one in case.policy.trackers):
        return beside_the_point(rule, _NONE)
    if none := unanswered(case, rule):
        return none
    told = [page["text"] for run in case.of("no-choice") for page in run.facts.get("told", ())]
    found = case.endpoints["objection"]
    names = [one.name for one in case.policy.trackers if one.exempt]
    facts = [
        Fact(f"{name} was set after the objection", "endpoints")
        for name in found["set"]
        if any(re.fullmatch(re.escape(one).replace(r"\*", ".*"), name) for one in names)
    ]
    if told and not any(said("audience", text) for text in told):
        facts.append(Fact("no page that the notice leads to speaks of measuring", "no-choice"))
    if not facts and not told:
        return unknown(rule, case.missing("no-choice") or "no-list")
    if not facts and not found["offered"]:
        return unknown(rule, "no-control")
    return verdict(case, rule, facts, (), "endpoints", "no-choice")


def _l2(case: Case, rule: str) -> Verdict:
    """Accepting against the signal is told of, and the support file is what it should be."""
    facts: list[Fact] = []
    tried = [run.facts["against"] for run in case.of("gpc") if "against" in run.facts]
    if any(one["stored"] and not one["said"] for one in tried):
        facts.append(Fact("accepting against the signal was stored without a word of it", "gpc"))
    for run in case.of("gpc"):
        file = run.facts.get("support file", {})
        document = file.get("document", {}) if file.get("status") == HTTPStatus.OK else {}
        # A server that answers every address answers this one too: that is no support file.
        if document.keys() & _SUPPORT and not _supports(document):
            text = "/.well-known/gpc.json has no boolean gpc or no date lastUpdate"
            facts.append(Fact(text, run.scenario))
    if not facts and not tried:
        return unknown(rule, case.missing("gpc") or "no-notice")
    if not facts and not all(one["said"] for one in tried):
        return unknown(rule, case.missing("gpc") or "no-effect")
    return verdict(case, rule, facts, (), "gpc")


def _supports(document: Params) -> bool:
    try:
        datetime.fromisoformat(str(document["lastUpdate"]))
    except (KeyError, ValueError):
        return False
    return isinstance(document.get("gpc"), bool)


def _l3(case: Case, rule: str) -> Verdict:
    """No signal, and no lack of one, grants anything; a record keeps yes or no of it."""
    if none := unanswered(case, rule):
        return none
    facts = [
        Fact(f"with {one['headers'] or 'no header'} {one['granted']} is granted", "endpoints")
        for one in case.endpoints["signals"]
        if one["granted"]
    ]
    kept = re.search(r" signal=(\S+)", case.endpoints["decisions"][0]["record"])
    if kept and kept[1] not in ("yes", "no"):
        facts.append(Fact(f"a record keeps the signal as {kept[1]}", "endpoints"))
    for run in [*case.of("no-choice"), *case.of("gpc")]:
        facts += granted_copies(run, "arrive", f"{run.scenario}-reload")
    return verdict(case, rule, facts, (), "endpoints", "no-choice", "gpc")


DECIDE: dict[str, Decide] = {
    "J1": _j1,
    "J2": _j2,
    "J3": _j3,
    "J5": _j5,
    "L1": nothing("gpc", "arrive", "gpc"),
    "L2": _l2,
    "L3": _l3,
}
