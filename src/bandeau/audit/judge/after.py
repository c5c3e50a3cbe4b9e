"""After a choice: refusal (D), acceptance (E), one purpose (F), withdrawal (G), how long (H)."""

from __future__ import annotations

from bandeau.audit.inventory import allowed
from bandeau.audit.judge.base import (
    CLOSED,
    KEPT,
    LESS,
    Case,
    Decide,
    Fact,
    Outcome,
    Verdict,
    after,
    arrived,
    beside_the_point,
    clicks,
    copies,
    forbidden,
    granted_copies,
    needs_human,
    nothing,
    once,
    together,
    unknown,
    unopened,
    unread_copies,
    verdict,
)
from bandeau.audit.lexicon import said
from bandeau.audit.observe import ASKED, Observation, days
from bandeau.audit.scenario import Run

_SKEW = 3600  # seconds by which two lifetimes may differ that are written as dates


def _d1(case: Case, rule: str) -> Verdict:
    """After a refusal nothing is kept, sent or asked."""
    refused = [run for run in case.of("refuse") if run.completed or "refuse" in run.clicks]
    found = [unopened(case, run, frozenset(), "refuse") for run in refused]
    return verdict(case, rule, *together(found), "refuse")


def _d2(case: Case, rule: str) -> Verdict:
    """A refusal is remembered."""
    facts = [
        Fact(f"the notice asked again {run.facts['asked again']}", run.scenario)
        for run in [*case.of("refuse"), *case.of("return")]
        if run.facts.get("asked again")
    ]
    return verdict(case, rule, facts, (), "refuse", "return")


def _d3(case: Case, rule: str) -> Verdict:
    """After a refusal and a withdrawal every copy of the choice says so."""
    walked = [*case.of("refuse"), *case.of("withdraw")]
    facts = [fact for run in walked for fact in granted_copies(run, run.scenario)]
    doubtful = [fact for run in walked for fact in unread_copies(run, run.scenario)]
    seen = any(list(copies(run, run.scenario)) for run in walked)
    if not seen and not case.missing("refuse", "withdraw"):
        return beside_the_point(rule, "no copy of the choice is there that others read")
    return verdict(case, rule, facts, doubtful, "refuse", "withdraw")


def _d4(case: Case, rule: str) -> Verdict:
    """The page stays open after a refusal, and says in whose place something is missing."""
    facts: list[Fact] = []
    doubtful: list[Fact] = []
    for run in case.of("refuse"):
        pages = run.facts.get("text", {})
        before, now, length = pages.get("arrive"), pages.get("refuse-reload"), arrived(run)
        if not before or not now or length is None:
            continue
        if before["path"] != now["path"]:
            text = f"after refusing, {before['path']} leads to {now['path']}"
            facts.append(Fact(text, run.scenario, "refuse-reload"))
        elif now["length"] < length * CLOSED:
            text = f"of {length} characters of text {now['length']} are left"
            facts.append(Fact(text, run.scenario, "refuse-reload"))
        for host, one in _missing_frames(case).items():
            names = [host, *case.inventory.receivers(one)]
            if not any(name.casefold() in now["text"].casefold() for name in names):
                text = f"a frame of {host} is missing, and nothing says so"
                doubtful.append(Fact(text, run.scenario, "refuse-reload"))
    return needs_human(case, rule, facts, once(doubtful), "refuse", "accept")


def _missing_frames(case: Case) -> dict[str, Observation]:
    """Return the third parties that the page shows in frames after accepting, not after refusing."""

    def shown(scenario: str) -> dict[str, Observation]:
        return {
            one.host: one
            for run in case.of(scenario)
            for one in after(run, f"{scenario}-reload")
            if one.kind == "request" and one.third and one.detail["type"] == "Document"
        }

    refused = shown("refuse")
    return {
        host: one
        for host, one in shown("accept").items()
        if host not in refused
        and case.inventory.purposes_of_host(one) != [frozenset(("ads",))]  # nobody's function
    }


def _e1(case: Case, rule: str) -> Verdict:
    """After acceptance, what fires is a part of what was declared."""
    if case.policy is None:
        return unknown(rule, "needs-policy")
    found = [unopened(case, run, case.purposes) for run in case.of("accept")]
    return verdict(case, rule, *together(found), "accept")


def _e2(case: Case, rule: str) -> Verdict:
    """A way back is to be seen after a choice, on every page."""
    return verdict(case, rule, _lost(case), (), "accept", "withdraw")


def _lost(case: Case) -> list[Fact]:
    """Return where no way back was to be seen, once a choice was made."""
    facts = [
        Fact(run.facts["error"], run.scenario)
        for run in [*case.of("withdraw"), *case.of("reconsider")]
        if run.reason == "no-way-back"
    ]
    for run in (run for name in ("accept", "refuse", "withdraw") for run in case.of(name)):
        for station, shown in run.facts.get("way back", {}).items():
            if shown is None:
                text = "no way back to the choices is to be seen"
                facts.append(Fact(text, run.scenario, station))
    return facts


def _f1(case: Case, rule: str) -> Verdict:
    """One purpose opens what is its own, and nothing else."""
    if case.policy is None:
        return Verdict(rule, Outcome.UNKNOWN, "needs-policy")
    found = [
        unopened(case, run, frozenset((run.scenario.partition(":")[2],)), "only")
        for run in case.of("only")
    ]
    return verdict(case, rule, *together(found), "only")


def _f2(case: Case, rule: str) -> Verdict:
    """What accepting all brings of a purpose, granting that purpose alone brings too."""
    if case.policy is None:
        return unknown(rule, "needs-policy")
    if {run.scenario.partition(":")[2] for run in case.of("only")} < case.purposes:
        return unknown(rule, "not-run")
    facts: list[Fact] = []
    doubtful: list[Fact] = []
    for purpose in sorted(case.purposes):
        alone = [run for run in case.of("only") if run.scenario == f"only:{purpose}"]
        got = {name for run in alone for name in _declared_for(case, run, purpose)}
        every = [_declared_for(case, run, purpose) for run in case.of("accept")]
        for name in sorted({name for one in every for name in one} - got):
            text = f"{name}, declared for {case.inventory.title(purpose)},"
            text += " comes with accepting all and not with it alone"
            sure = len(every) > 1 and len(alone) > 1 and all(name in one for one in every)
            (facts if sure else doubtful).append(Fact(text, f"only:{purpose}"))
    return verdict(case, rule, facts, doubtful, "accept", "only")


def _declared_for(case: Case, run: Run, purpose: str) -> set[str]:
    """Return the items of a run that are declared for one purpose and no other."""
    return {
        one.name
        for one in run.observations
        if one.kind in KEPT and case.inventory.purposes_of_item(one) == [frozenset((purpose,))]
    }


def _f3(case: Case, rule: str) -> Verdict:
    """What serves several purposes waits for all; a feature needs purposes that somebody serves."""
    if case.policy is None:
        return unknown(rule, "needs-policy")
    facts: list[Fact] = []
    for run in case.of("only"):
        granted = frozenset((run.scenario.partition(":")[2],))
        for one in after(run, "only"):
            needs = case.inventory.purposes_of_item(one) if one.kind in KEPT else None
            if needs and len(needs) > 1 and not allowed(needs, granted, every=True):
                text = f"{one.name} serves {len(needs)} purposes, and one was granted"
                facts.append(Fact(text, run.scenario, one.station, one.at, one.chain))
    served = {p for one in case.policy.services for p in (one.purpose, *one.needs_any)}
    doubtful = [
        Fact(f"{feature.id} needs {need}, for which no service is declared", "only")
        for feature in case.policy.features
        for need in feature.needs
        if need not in served
    ]
    return needs_human(case, rule, once(facts), doubtful, "only")


def _g1(case: Case, rule: str) -> Verdict:
    """The way back is on every page, and leads to the choices without a script."""
    lost = _lost(case)
    doubtful: list[Fact] = []
    for run in case.of("no-script"):
        entry, leads = run.facts.get("entry"), run.facts.get("leads")
        if not run.completed or (entry and leads):
            continue
        dead = f"the way back «{entry}» leads to no choice" if entry else "no way back is seen"
        certain, unclear = unopened(case, run, frozenset())
        if "accept" in run.clicks:
            lost.append(Fact(f"without script one can accept, but {dead}", run.scenario))
        elif certain:
            lost.append(Fact(f"without script {dead}, and {certain[0].text}", run.scenario))
        elif unclear:
            doubtful.append(Fact(f"without script {dead}, and {unclear[0].text}", run.scenario))
    return verdict(case, rule, lost, doubtful, "withdraw", "no-script")


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


def _g5(case: Case, rule: str) -> Verdict:
    """After a withdrawal the page says what it said before, and nobody was frightened on the way."""
    facts: list[Fact] = []
    doubtful: list[Fact] = []
    for run in case.of("withdraw"):
        pages = run.facts.get("text", {})
        # Accepting ends the notice too, whose words are counted with a page that has no <main>.
        earlier = [arrived(run), pages.get("accept-reload", {}).get("length")]
        length = min((one for one in earlier if one is not None), default=0)
        now = pages.get("withdraw-reload")
        if length and now and now["length"] < length * LESS:
            text = f"of {length} characters of text {now['length']} are left"
            facts.append(Fact(text, run.scenario, "withdraw-reload"))
        for layer in run.layers[1:]:
            words = said("loss", layer.get("box", {}).get("text", ""))
            if words:
                text = f"the way back speaks of loss: {', '.join(words)}"
                doubtful.append(Fact(text, run.scenario))
    reached = {
        one.host
        for run in case.of("accept")
        for one in run.observations
        if one.kind in ASKED and one.third and not case.inventory.own(one.host)
    }
    if not facts and not doubtful and reached and not case.missing("withdraw", "accept"):
        return unknown(rule, "needs-server", Fact(f"is it told to {', '.join(sorted(reached))}?"))
    return needs_human(case, rule, facts, doubtful, "withdraw", "accept")


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
        return unknown(rule, case.missing("refuse", "accept") or "unclassified")
    facts = tuple(
        Fact(
            f"{name} lives {days(lives['refuse']):g} days after a refusal,"
            f" {days(lives['accept']):g} after an acceptance",
            "refuse",
        )
        for name, lives in sorted(both.items())
        if lives["refuse"] < lives["accept"] - _SKEW
    )
    return Verdict(rule, Outcome.FAIL if facts else Outcome.PASS, "", facts)


DECIDE: dict[str, Decide] = {
    "D1": _d1,
    "D2": _d2,
    "D3": _d3,
    "D4": _d4,
    "E1": _e1,
    "E2": _e2,
    "F1": _f1,
    "F2": _f2,
    "F3": _f3,
    "G1": _g1,
    "G2": _g2,
    "G3": nothing(
        "withdraw", "withdraw-reload", "withdraw-page", kinds=("cookie_kept", "storage_kept")
    ),
    "G4": _g4,
    "G5": _g5,
    "H1": _h1,
}
