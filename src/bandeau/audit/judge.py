"""From observations to verdicts: facts first, each against the rule that it bears on.

FAIL needs positive evidence, kept. PASS needs the walk to have come to its end. Everything else is
UNKNOWN with its reason. The gate is never asked: what is judged is what a browser saw.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from bandeau.audit.inventory import Inventory, allowed
from bandeau.audit.observe import Observation, days
from bandeau.audit.pipe import Params
from bandeau.audit.ruleset import Rule
from bandeau.audit.scenario import SEED, Run
from bandeau.policy.model import Policy

Purposes = frozenset[str]
_KEPT = ("cookie_kept", "cookie_in_jar", "storage_kept", "storage_there")
_ASKED = ("request", "connection", "beacon")
_MOST_DAYS_EXEMPT = 396  # 13 months (rule J3)
_LINEAR = 0.04045  # below it sRGB is linear (WCAG 2.2, "relative luminance")
_LEAST_CONTRAST = 3.0  # under which nobody is meant to read it (rule A5)
_LEAST_AREA = 0.8  # of one control to the other, before a person has to look
_STATEFUL = ("checkbox", "menuitemcheckbox", "radio", "switch")  # ARIA 1.2, aria-checked
_TRACES = 2  # fingerprinting interfaces that together are more than one page's drawing


class Outcome(StrEnum):
    """What a rule came to."""

    FAIL = "fail"
    UNKNOWN = "unknown"
    PASS = "pass"  # noqa: S105 (no password)
    NOT_APPLICABLE = "not applicable"


@dataclass(frozen=True, slots=True)
class Fact:
    """One piece of evidence in words, with where it was seen and who started it."""

    text: str
    scenario: str = ""
    station: str = ""
    at: int = 0  # milliseconds
    chain: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Verdict:
    """A rule, what it came to, and why."""

    rule: str
    outcome: Outcome
    reason: str = ""
    facts: tuple[Fact, ...] = ()


@dataclass(slots=True)
class Case:
    """All that is judged: the runs of every scenario, against a policy where there is one."""

    runs: Sequence[Run]
    policy: Policy | None
    inventory: Inventory = field(init=False)

    def __post_init__(self) -> None:
        self.inventory = Inventory(self.policy)

    def of(self, scenario: str) -> list[Run]:
        """Return the runs of a scenario."""
        return [run for run in self.runs if run.scenario.partition(":")[0] == scenario]

    def missing(self, *scenarios: str) -> str:
        """Say in a word what keeps scenarios from being judged; "" where all runs ended, all watched."""
        for scenario in scenarios:
            if not self.of(scenario):
                return "not-run"
            for run in self.of(scenario):
                if not run.completed or run.unwatched:
                    return run.reason or "not-watched"
        return ""

    @property
    def purposes(self) -> Purposes:
        """Every purpose that needs consent."""
        return frozenset(self.policy.consentable) if self.policy else frozenset()


def judge(case: Case, rules: Iterable[Rule]) -> list[Verdict]:
    """Judge a case by rules, in their order."""
    return [_judged(case, rule) for rule in rules]


def _judged(case: Case, rule: Rule) -> Verdict:
    decide = _DECIDE.get(rule.id)
    if decide is None:
        reason = "needs-server" if rule.reach == "self" else "not-implemented"
        return Verdict(rule.id, Outcome.UNKNOWN, reason)
    return decide(case, rule.id)


# -- what may be there, and what is ---------------------------------------------------------------------


def _after(run: Run, *beginnings: str) -> Iterator[Observation]:
    """Return what was observed at stations whose names begin so; none given: at all of them."""
    return (one for one in run.observations if not beginnings or one.station.startswith(beginnings))


def _forbidden(
    case: Case, run: Run, granted: Purposes, *stations: str, kinds: tuple[str, ...] = _KEPT
) -> tuple[list[Fact], list[Fact]]:
    """Return the kept items that nothing granted opens: those that are certain, and the unclassified."""
    certain: dict[tuple[str, str, str], Fact] = {}
    doubtful: dict[tuple[str, str, str], Fact] = {}
    writers = _writers(run)
    for one in _after(run, *stations):
        if one.kind not in kinds:
            continue
        key = (str(one.detail.get("area", "cookie")), one.name, one.host)
        needs = case.inventory.purposes_of_item(one)
        if needs and allowed(needs, granted, every=True):
            continue
        fact = _kept_fact(one, run, writers, needs)
        if case.policy or one.third:
            certain.setdefault(key, fact)
        else:
            doubtful.setdefault(key, fact)
    return list(certain.values()), [f for key, f in doubtful.items() if key not in certain]


def _writers(run: Run) -> dict[tuple[str, str], Observation]:
    """Return who wrote each item, by its kind and name: the jar does not say."""
    found: dict[tuple[str, str], Observation] = {}
    for one in run.observations:
        if one.kind in ("cookie_kept", "storage_kept") and one.chain != ("unattributed",):
            found.setdefault((str(one.detail.get("area", "cookie")), one.name), one)
    return found


def _kept_fact(
    one: Observation,
    run: Run,
    writers: dict[tuple[str, str], Observation],
    needs: list[Purposes] | None,
) -> Fact:
    area = str(one.detail.get("area", "cookie"))
    writer = writers.get((area, one.name))
    seconds = (writer or one).detail.get("seconds")
    lasts = days(seconds) if isinstance(seconds, int) else None
    words = {
        "cookie": "cookie",
        "local_storage": "local storage key",
        "session_storage": "session storage key",
        "indexed_db": "database",
        "cache": "cache",
        "service_worker": "service worker",
    }[area]
    declared = (
        "not declared"
        if needs is None
        else "needs " + " and ".join(sorted({p for group in needs for p in group}))
    )
    age = f", {lasts:g} days" if lasts else ""
    by = "unattributed" if writer is None else _by(writer)
    text = f"{words} {one.name} of {one.host}{age}: {declared}; {by}"
    return Fact(text, run.scenario, one.station, one.at, writer.chain if writer else one.chain)


def _by(one: Observation) -> str:
    if one.detail.get("by") == "http":
        return f"set by the response of {one.detail.get('from')}"
    return f"written by {one.chain[0]}" if one.chain else "written by script"


def _asked(case: Case, run: Run, granted: Purposes, *stations: str) -> list[Fact]:
    """Return what was asked of third parties that nothing granted opens, once for each host."""
    found: dict[str, Fact] = {}
    for one in _after(run, *stations):
        if one.kind not in (*_ASKED, "hint") or not one.third or case.inventory.own(one.host):
            continue
        needs = case.inventory.purposes_of_host(one)
        if needs and allowed(needs, granted, every=False):
            continue
        who = case.inventory.recipients(one.host)
        named = f" ({', '.join(who)})" if who else ""
        word = {"hint": "hint for", "connection": "connection to", "beacon": "beacon to"}.get(
            one.kind, "request to"
        )
        text = f"{word} {one.host}{named}: {one.name[:200]}"
        found.setdefault(one.host, Fact(text, run.scenario, one.station, one.at, one.chain))
    return list(found.values())


def _sent(case: Case, run: Run, granted: Purposes, *stations: str) -> list[Fact]:
    """Return the cookies that were sent, which is reading, though nothing granted opens them."""
    found: dict[tuple[str, str], Fact] = {}
    for one in _after(run, *stations):
        if one.kind != "cookie_sent":
            continue
        needs = case.inventory.purposes_of_item(one)
        if (needs and allowed(needs, granted, every=True)) or not (case.policy or one.third):
            continue
        text = f"cookie {one.name} of {one.host} was sent to {one.detail.get('to')}"
        found.setdefault(
            (one.name, one.host), Fact(text, run.scenario, one.station, one.at, one.chain)
        )
    return list(found.values())


def _unopened(
    case: Case, run: Run, granted: Purposes, *stations: str, kinds: tuple[str, ...] = _KEPT
) -> tuple[list[Fact], list[Fact]]:
    """Return all that nothing granted opens - kept, sent, asked: what is certain, and what is not.

    With no policy a third party that is asked may be the site's own.
    """
    certain, doubtful = _forbidden(case, run, granted, *stations, kinds=kinds)
    certain += _sent(case, run, granted, *stations)
    asked = _asked(case, run, granted, *stations)
    return (certain + asked, doubtful) if case.policy else (certain, doubtful + asked)


# -- rules --------------------------------------------------------------------------------------------


def _nothing(
    scenario: str, *stations: str, kinds: tuple[str, ...] = _KEPT
) -> Callable[[Case, str], Verdict]:
    """Make a rule of: nothing that needs consent is kept, sent or asked."""

    def decide(case: Case, rule: str) -> Verdict:
        nothing: Purposes = frozenset()
        found = [_unopened(case, run, nothing, *stations, kinds=kinds) for run in case.of(scenario)]
        return _verdict(case, rule, *_together(found), scenario)

    return decide


def _together(found: Iterable[tuple[list[Fact], list[Fact]]]) -> tuple[list[Fact], list[Fact]]:
    certain: list[Fact] = []
    doubtful: list[Fact] = []
    for more, unclear in found:
        certain += more
        doubtful += unclear
    return certain, doubtful


def _verdict(
    case: Case, rule: str, certain: Sequence[Fact], doubtful: Sequence[Fact], *scenarios: str
) -> Verdict:
    if certain:
        return Verdict(rule, Outcome.FAIL, "", tuple(certain))
    if missing := case.missing(*scenarios):
        return Verdict(rule, Outcome.UNKNOWN, missing)
    if doubtful:
        return Verdict(rule, Outcome.UNKNOWN, "unclassified", tuple(doubtful))
    return Verdict(rule, Outcome.PASS)


def _a1(case: Case, rule: str) -> Verdict:
    """A notice appears where there is anything to consent to."""
    if any(run.layers for run in case.of("no-choice")):
        return Verdict(rule, Outcome.PASS)
    if missing := case.missing("no-choice"):
        return Verdict(rule, Outcome.UNKNOWN, missing)
    verdict = _nothing("no-choice")(case, rule)
    if verdict.outcome is Outcome.PASS:
        return Verdict(rule, Outcome.NOT_APPLICABLE, "nothing was seen that needs consent")
    return verdict


def _c1(case: Case, rule: str) -> Verdict:
    """Nothing that needs consent is kept before a choice."""
    found = [_forbidden(case, run, frozenset()) for run in case.of("no-choice")]
    return _verdict(case, rule, *_together(found), "no-choice")


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


def _clicks(case: Case, goal: str) -> int | None:
    found = [run.clicks[goal] for run in case.runs if goal in run.clicks]
    return min(found) if found else None


def _a3(case: Case, rule: str) -> Verdict:
    """Refusing costs no more clicks than accepting."""
    accept, refuse = _clicks(case, "accept"), _clicks(case, "refuse")
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
    return _verdict(case, rule, facts, (), "no-choice", "small")


def _a5(case: Case, rule: str) -> Verdict:
    """Refusing is in view, readable, and about as large as accepting, in each window."""
    facts: list[Fact] = []
    doubtful: list[Fact] = []
    pairs = list(_pairs(case))
    for run, accept, refuse in pairs:
        if accept["in_view"] and not refuse["in_view"]:
            facts.append(Fact("accepting is in view, refusing is not", run.scenario))
        contrast = _contrast(refuse["color"], refuse["background"])
        if contrast is None:
            doubtful.append(
                Fact("what refusing is written on has no colour of its own", run.scenario)
            )
        elif contrast < _LEAST_CONTRAST:
            facts.append(Fact(f"refusing has a contrast of {contrast:.1f}:1", run.scenario))
        area = refuse["width"] * refuse["height"], accept["width"] * accept["height"]
        if not _LEAST_AREA < area[0] / max(area[1], 1) < 1 / _LEAST_AREA:
            text = f"refusing has {area[0]:.0f} px² to press, accepting {area[1]:.0f}"
            doubtful.append(Fact(text, run.scenario))
    if not pairs:
        return Verdict(rule, Outcome.UNKNOWN, "no-control")
    if doubtful and not facts:
        return Verdict(rule, Outcome.UNKNOWN, "needs-human", tuple(doubtful))
    return _verdict(case, rule, facts, (), "no-choice", "small")


def _contrast(one: str, other: str) -> float | None:
    """Return the contrast ratio of two computed colours (WCAG 2.2); None unless both are opaque."""
    lights = []
    for colour in (one, other):
        found = re.fullmatch(r"rgb\((\d+), (\d+), (\d+)\)", colour)
        if found is None:
            return None
        parts = [int(part) / 255 for part in found.groups()]
        red, green, blue = (
            part / 12.92 if part <= _LINEAR else ((part + 0.055) / 1.055) ** 2.4 for part in parts
        )
        lights.append(0.2126 * red + 0.7152 * green + 0.0722 * blue)
    return (max(lights) + 0.05) / (min(lights) + 0.05)


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
        writers = _writers(run)
        for one in run.observations:
            if one.kind not in _KEPT:
                continue
            needs = case.inventory.purposes_of_item(one)
            if needs is None:
                facts.setdefault((one.name, one.host), _kept_fact(one, run, writers, None))
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
    return _verdict(case, rule, (), (), "accept")


def _c2(case: Case, rule: str) -> Verdict:
    """Nothing is read before a choice: no cookie is sent to a third party, nothing is fingerprinted."""
    facts: list[Fact] = []
    for run in [*case.of("no-choice"), *case.of("dirty")]:
        facts += _sent(case, run, frozenset())
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
    return _verdict(case, rule, facts, (), "no-choice", "dirty")


def _c3(case: Case, rule: str) -> Verdict:
    """Nothing is asked of third parties before a choice."""
    asked = [f for run in case.of("no-choice") for f in _asked(case, run, frozenset())]
    certain, doubtful = (asked, []) if case.policy else ([], asked)
    return _verdict(case, rule, certain, doubtful, "no-choice")


def _d1(case: Case, rule: str) -> Verdict:
    """After a refusal nothing is kept, sent or asked."""
    refused = [run for run in case.of("refuse") if run.completed or "refuse" in run.clicks]
    found = [_unopened(case, run, frozenset(), "refuse", "again") for run in refused]
    return _verdict(case, rule, *_together(found), "refuse")


def _d2(case: Case, rule: str) -> Verdict:
    """A refusal is remembered."""
    facts = [
        Fact(f"the notice asked again {run.facts['asked again']}", run.scenario)
        for run in [*case.of("refuse"), *case.of("return")]
        if run.facts.get("asked again")
    ]
    return _verdict(case, rule, facts, (), "refuse", "return")


def _e1(case: Case, rule: str) -> Verdict:
    """After acceptance, what fires is a part of what was declared."""
    if case.policy is None:
        return Verdict(rule, Outcome.UNKNOWN, "needs-policy")
    found = [_unopened(case, run, case.purposes) for run in case.of("accept")]
    return _verdict(case, rule, *_together(found), "accept")


def _e2(case: Case, rule: str) -> Verdict:
    """A way back is to be seen after a choice."""
    facts = [
        Fact(run.facts["error"], run.scenario)
        for run in case.of("withdraw")
        if run.reason == "no-way-back"
    ]
    return _verdict(case, rule, facts, (), "withdraw")


def _f1(case: Case, rule: str) -> Verdict:
    """One purpose opens what is its own, and nothing else."""
    if case.policy is None:
        return Verdict(rule, Outcome.UNKNOWN, "needs-policy")
    found = [
        _unopened(case, run, frozenset((run.scenario.partition(":")[2],)), "only")
        for run in case.of("only")
    ]
    return _verdict(case, rule, *_together(found), "only")


def _g2(case: Case, rule: str) -> Verdict:
    """Withdrawing costs at most one click more than accepting: the one that opens the choices."""
    accept, withdraw = _clicks(case, "accept"), _clicks(case, "withdraw")
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
        certain, unclear = _forbidden(case, rest, frozenset(), "withdraw-")
        facts += certain
        doubtful += unclear
    return _verdict(case, rule, facts, doubtful, "withdraw")


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
    return _verdict(case, rule, list(facts.values()), (), "no-choice", "return")


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


_DECIDE: dict[str, Callable[[Case, str], Verdict]] = {
    "A1": _a1,
    "A2": _a2,
    "A3": _a3,
    "A4": _a4,
    "A5": _a5,
    "B1": _b1,
    "B5": _b5,
    "C1": _c1,
    "C2": _c2,
    "C3": _c3,
    "C5": _nothing("dismiss", "dismiss"),
    "D1": _d1,
    "D2": _d2,
    "E1": _e1,
    "E2": _e2,
    "F1": _f1,
    "G1": _e2,
    "G2": _g2,
    "G3": _nothing(
        "withdraw", "withdraw-reload", "withdraw-page", kinds=("cookie_kept", "storage_kept")
    ),
    "G4": _g4,
    "H1": _h1,
    "J3": _j3,
    "K1": _k1,
    "L1": _nothing("gpc"),
}
DECIDABLE = frozenset(_DECIDE)
