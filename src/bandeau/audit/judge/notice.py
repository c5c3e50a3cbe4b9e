"""What the notice offers: its first layer (A), its settings (B), and who can use them (K)."""

from __future__ import annotations

from collections.abc import Iterator

from bandeau.audit.judge.base import (
    KEPT,
    Case,
    Decide,
    Fact,
    Outcome,
    Verdict,
    clicks,
    contrast,
    kept_fact,
    nothing,
    verdict,
    writers,
)
from bandeau.audit.observe import days
from bandeau.audit.pipe import Params
from bandeau.audit.scenario import Run

_LEAST_CONTRAST = 3.0  # under which nobody is meant to read it (rule A5)
_LEAST_AREA = 0.8  # of one control to the other, before a person has to look
_STATEFUL = ("checkbox", "menuitemcheckbox", "radio", "switch")  # ARIA 1.2, aria-checked


def _a1(case: Case, rule: str) -> Verdict:
    """A notice appears where there is anything to consent to."""
    if any(run.layers for run in case.of("no-choice")):
        return Verdict(rule, Outcome.PASS)
    if missing := case.missing("no-choice"):
        return Verdict(rule, Outcome.UNKNOWN, missing)
    verdict = nothing("no-choice")(case, rule)
    if verdict.outcome is Outcome.PASS:
        return Verdict(rule, Outcome.NOT_APPLICABLE, "nothing was seen that needs consent")
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
        return Verdict(rule, Outcome.UNKNOWN, "no-control")
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
        return Verdict(rule, Outcome.UNKNOWN, "no-control")
    if doubtful and not facts:
        return Verdict(rule, Outcome.UNKNOWN, "needs-human", tuple(doubtful))
    return verdict(case, rule, facts, (), "no-choice", "small")


def _b1(case: Case, rule: str) -> Verdict:
    """Nothing optional is ticked when the settings are opened before a choice."""
    seen = False
    for run in case.runs:
        if run.scenario.partition(":")[0] not in ("no-choice", "refuse", "only"):
            continue
        for layer in run.layers:
            ticks = [one for one in layer["controls"] if one["checked"] is not None]
            seen = seen or bool(ticks)
            facts = tuple(
                Fact(f"«{one['label']}» is ticked before anybody chose", run.scenario)
                for one in ticks
                if one["checked"] and not one["disabled"]
            )
            if facts:
                return Verdict(rule, Outcome.FAIL, "", facts)
    return Verdict(rule, Outcome.PASS) if seen else Verdict(rule, Outcome.UNKNOWN, "not-watched")


def _b5(case: Case, rule: str) -> Verdict:
    """Every item is declared, and lives no longer than declared."""
    if case.policy is None:
        return Verdict(rule, Outcome.UNKNOWN, "needs-policy")
    facts: dict[tuple[str, str], Fact] = {}
    for run in case.runs:
        wrote = writers(run)
        for one in run.observations:
            if one.kind not in KEPT:
                continue
            needs = case.inventory.purposes_of_item(one)
            if needs is None:
                facts.setdefault((one.name, one.host), kept_fact(one, run, wrote, None))
            declared = case.inventory.too_long(one)
            if declared is not None:
                asked = days(one.detail.get("seconds"))
                text = (
                    f"{one.name} of {one.host} asks for {asked:g} days, declared are {declared:g}"
                )
                facts.setdefault(
                    (one.name, "age"), Fact(text, run.scenario, one.station, one.at, one.chain)
                )
    if facts:
        return Verdict(rule, Outcome.FAIL, "", tuple(facts.values()))
    return verdict(case, rule, (), (), "accept")


def _k1(case: Case, rule: str) -> Verdict:
    """Controls are real ones, with a role and a name."""
    layers = [(run, layer) for run in case.runs for layer in run.layers]
    if not layers:
        return Verdict(rule, Outcome.UNKNOWN, "no-notice")
    facts = tuple(
        Fact(f"the {one['role']} «{one['label']}» has no {lacks}", run.scenario)
        for run, layer in layers
        for one in layer["controls"]
        for lacks, there in (
            ("role", one["role"]),
            ("name", one["label"]),
            ("state", one["role"] not in _STATEFUL or one["checked"] is not None),
        )
        if not there
    )
    return Verdict(rule, Outcome.FAIL if facts else Outcome.PASS, "", facts[:3])


DECIDE: dict[str, Decide] = {
    "A1": _a1,
    "A2": _a2,
    "A3": _a3,
    "A4": _a4,
    "A5": _a5,
    "B1": _b1,
    "B5": _b5,
    "K1": _k1,
}
