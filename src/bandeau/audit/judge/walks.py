"""What a walk left behind: before a choice (C), after each (D to H), exempt (J), under a signal (L)."""

from __future__ import annotations

from bandeau.audit.judge.base import (
    Case,
    Decide,
    Fact,
    Outcome,
    Verdict,
    asked,
    clicks,
    forbidden,
    nothing,
    sent,
    together,
    unopened,
    verdict,
)
from bandeau.audit.observe import Observation, days
from bandeau.audit.scenario import SEED, Run

_MOST_DAYS_EXEMPT = 396  # 13 months (rule J3)
_TRACES = 2  # fingerprinting interfaces that together are more than one page's drawing


def _c1(case: Case, rule: str) -> Verdict:
    """Nothing that needs consent is kept before a choice."""
    found = [forbidden(case, run, frozenset()) for run in case.of("no-choice")]
    return verdict(case, rule, *together(found), "no-choice")


def _c2(case: Case, rule: str) -> Verdict:
    """Nothing is read before a choice: no cookie is sent to a third party, nothing is fingerprinted."""
    facts: list[Fact] = []
    for run in [*case.of("no-choice"), *case.of("dirty")]:
        facts += sent(case, run, frozenset())
        apis = {one.name: one for one in run.observations if one.kind == "fingerprint"}
        if len({name.partition(".")[0] for name in apis}) >= _TRACES:
            for one in apis.values():
                text = f"{one.name} was read by {one.chain[0] if one.chain else 'a script'}"
                facts.append(Fact(text, run.scenario, one.station, one.at, one.chain))
        facts += [
            Fact(
                f"an identifier that {one.host} knew already was sent to {one.detail.get('to')}",
                run.scenario,
                one.station,
                one.at,
                one.chain,
            )
            for one in run.observations
            if one.kind == "cookie_sent" and one.name == SEED
        ]
    return verdict(case, rule, facts, (), "no-choice", "dirty")


def _c3(case: Case, rule: str) -> Verdict:
    """Nothing is asked of third parties before a choice."""
    found = [f for run in case.of("no-choice") for f in asked(case, run, frozenset())]
    certain, doubtful = (found, []) if case.policy else ([], found)
    return verdict(case, rule, certain, doubtful, "no-choice")


def _d1(case: Case, rule: str) -> Verdict:
    """After a refusal nothing is kept, sent or asked."""
    refused = [run for run in case.of("refuse") if run.completed or "refuse" in run.clicks]
    found = [unopened(case, run, frozenset(), "refuse", "again") for run in refused]
    return verdict(case, rule, *together(found), "refuse")


def _d2(case: Case, rule: str) -> Verdict:
    """A refusal is remembered."""
    facts = [
        Fact(f"the notice asked again {run.facts['asked again']}", run.scenario)
        for run in [*case.of("refuse"), *case.of("return")]
        if run.facts.get("asked again")
    ]
    return verdict(case, rule, facts, (), "refuse", "return")


def _e1(case: Case, rule: str) -> Verdict:
    """After acceptance, what fires is a part of what was declared."""
    if case.policy is None:
        return Verdict(rule, Outcome.UNKNOWN, "needs-policy")
    found = [unopened(case, run, case.purposes) for run in case.of("accept")]
    return verdict(case, rule, *together(found), "accept")


def _e2(case: Case, rule: str) -> Verdict:
    """A way back is to be seen after a choice."""
    facts = [
        Fact(run.facts["error"], run.scenario)
        for run in case.of("withdraw")
        if run.reason == "no-way-back"
    ]
    return verdict(case, rule, facts, (), "withdraw")


def _f1(case: Case, rule: str) -> Verdict:
    """One purpose opens what is its own, and nothing else."""
    if case.policy is None:
        return Verdict(rule, Outcome.UNKNOWN, "needs-policy")
    found = [
        unopened(case, run, frozenset((run.scenario.partition(":")[2],)), "only")
        for run in case.of("only")
    ]
    return verdict(case, rule, *together(found), "only")


def _g2(case: Case, rule: str) -> Verdict:
    """Withdrawing costs at most one click more than accepting: the one that opens the choices."""
    accept, withdraw = clicks(case, "accept"), clicks(case, "withdraw")
    if accept is None or withdraw is None:
        missing = case.missing("withdraw" if withdraw is None else "accept") or "no-control"
        return Verdict(rule, Outcome.UNKNOWN, missing)
    if withdraw > accept + 1:
        text = f"withdrawing took {withdraw} clicks, accepting {accept}"
        return Verdict(rule, Outcome.FAIL, "", (Fact(text, "withdraw"),))
    return Verdict(rule, Outcome.PASS)


def _g4(case: Case, rule: str) -> Verdict:
    """The site's own items are erased by a withdrawal; a third party's jar is out of its reach."""
    facts: list[Fact] = []
    doubtful: list[Fact] = []
    for run in case.of("withdraw"):
        last = max((one.at for one in run.observations if one.kind == "cookie_in_jar"), default=0)
        here = [
            one
            for one in run.observations
            if one.kind in ("cookie_in_jar", "storage_there")
            and one.station.startswith("withdraw-")
            and (one.kind != "cookie_in_jar" or one.at == last)
            and not one.third
        ]
        rest = Run(run.scenario, run.number, run.setting, observations=[*_origins(run), *here])
        certain, unclear = forbidden(case, rest, frozenset(), "withdraw-")
        facts += certain
        doubtful += unclear
    return verdict(case, rule, facts, doubtful, "withdraw")


def _origins(run: Run) -> list[Observation]:
    return [
        one
        for one in run.observations
        if one.kind in ("cookie_kept", "storage_kept") and not one.station.startswith("withdraw-")
    ]


def _h1(case: Case, rule: str) -> Verdict:
    """A refusal lives as long as an acceptance."""
    found: dict[str, dict[str, int]] = {}
    for scenario in ("refuse", "accept"):
        for run in case.of(scenario):
            for one in run.observations:
                seconds = one.detail.get("seconds")
                if (
                    one.kind == "cookie_kept"
                    and one.station == scenario
                    and isinstance(seconds, int)
                ):
                    found.setdefault(one.name, {})[scenario] = seconds
    both = {name: lives for name, lives in found.items() if len(lives) == 2}  # noqa: PLR2004
    if not both:
        return Verdict(rule, Outcome.UNKNOWN, "unclassified")
    facts = tuple(
        Fact(
            f"{name} lives {days(lives['refuse']):g} days after a refusal,"
            f" {days(lives['accept']):g} after an acceptance",
            "refuse",
        )
        for name, lives in sorted(both.items())
        if lives["refuse"] < lives["accept"]
    )
    return Verdict(rule, Outcome.FAIL if facts else Outcome.PASS, "", facts)


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
                text = f"{one.name} was set again at {one.station}: its end moves"
                facts.setdefault(one.name, Fact(text, run.scenario, one.station, one.at, one.chain))
            set_at.setdefault(one.name, one.station)
    if not facts and not seen:
        return Verdict(rule, Outcome.UNKNOWN, "not-seen")
    return verdict(case, rule, list(facts.values()), (), "no-choice", "return")


DECIDE: dict[str, Decide] = {
    "C1": _c1,
    "C2": _c2,
    "C3": _c3,
    "C5": nothing("dismiss", "dismiss"),
    "D1": _d1,
    "D2": _d2,
    "E1": _e1,
    "E2": _e2,
    "F1": _f1,
    "G1": _e2,
    "G2": _g2,
    "G3": nothing(
        "withdraw", "withdraw-reload", "withdraw-page", kinds=("cookie_kept", "storage_kept")
    ),
    "G4": _g4,
    "H1": _h1,
    "J3": _j3,
    "L1": nothing("gpc"),
}
