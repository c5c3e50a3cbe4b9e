"""From observations to verdicts: facts first, each against the rule that it bears on.

FAIL needs positive evidence, kept. PASS needs the walk to have come to its end. Everything else is
UNKNOWN with its reason. The gate is never asked: what is judged is what a browser saw.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from bandeau.audit.inventory import Inventory, allowed
from bandeau.audit.observe import Observation, days
from bandeau.audit.ruleset import Rule
from bandeau.audit.scenario import SEED, Run
from bandeau.policy.model import Policy

Purposes = frozenset[str]
_KEPT = ("cookie_kept", "cookie_in_jar", "storage_kept", "storage_there")
_ASKED = ("request", "connection", "beacon")
_MOST_DAYS_EXEMPT = 396  # 13 months (rule J3)
_LEAST_AREA = 0.8  # of one control to the other, before a person has to look
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

    def done(self, scenario: str) -> list[Run]:
        """Return the runs of a scenario that came to their end."""
        return [run for run in self.of(scenario) if run.completed]

    def why_not(self, scenario: str) -> str:
        """Say why a scenario cannot be judged."""
        runs = self.of(scenario)
        if not runs:
            return "not-run"
        return runs[0].reason or "not-watched"

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
        reason = "needs-server" if rule.reach == "self" else "needs-human"
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


def _sorted(case: Case, kept: list[Fact], asked: list[Fact]) -> tuple[list[Fact], list[Fact]]:
    """Tell what is certain from what is not: with no policy, a third party may be the site's own."""
    return (kept + asked, []) if case.policy else (kept, asked)


# -- rules --------------------------------------------------------------------------------------------


def _emptiness(
    scenario: str, *stations: str, granted: Callable[[Case, Run], Purposes] | None = None
) -> Callable[[Case, str], Verdict]:
    """Make a rule of: nothing that needs consent is kept."""

    def decide(case: Case, rule: str) -> Verdict:
        certain: list[Fact] = []
        doubtful: list[Fact] = []
        for run in case.of(scenario):
            allowed_here = granted(case, run) if granted else frozenset[str]()
            more, unclear = _forbidden(case, run, allowed_here, *stations)
            certain += more
            doubtful += unclear
        return _verdict(case, rule, scenario, certain, doubtful)

    return decide


def _verdict(
    case: Case, rule: str, scenario: str, certain: list[Fact], doubtful: Sequence[Fact] = ()
) -> Verdict:
    if certain:
        return Verdict(rule, Outcome.FAIL, "", tuple(certain))
    if not case.done(scenario):
        return Verdict(rule, Outcome.UNKNOWN, case.why_not(scenario))
    if doubtful:
        return Verdict(rule, Outcome.UNKNOWN, "unclassified", tuple(doubtful))
    return Verdict(rule, Outcome.PASS)


def _a1(case: Case, rule: str) -> Verdict:
    """A notice appears where there is anything to consent to."""
    shown = any(run.layers for run in case.of("no-choice"))
    if shown:
        return Verdict(rule, Outcome.PASS)
    if not case.done("no-choice"):
        return Verdict(rule, Outcome.UNKNOWN, case.why_not("no-choice"))
    facts = [f for run in case.of("no-choice") for f in _forbidden(case, run, frozenset())[0]]
    facts += [f for run in case.of("no-choice") for f in _asked(case, run, frozenset())]
    if facts:
        return Verdict(rule, Outcome.FAIL, "", tuple(facts))
    return Verdict(rule, Outcome.NOT_APPLICABLE, "nothing was seen that needs consent")


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
            rule, Outcome.UNKNOWN, case.why_not("refuse" if refuse is None else "accept")
        )
    if refuse > accept:
        text = f"refusing took {refuse} clicks, accepting {accept}"
        return Verdict(rule, Outcome.FAIL, "", (Fact(text, "refuse"),))
    return Verdict(rule, Outcome.PASS)


def _a4(case: Case, rule: str) -> Verdict:
    """Refusing is a control of the same kind as accepting."""
    for run in case.runs:
        for layer in run.layers[:1]:
            by_goal = {one["goal"]: one for one in layer["controls"]}
            accept, refuse = by_goal.get("accept"), by_goal.get("refuse")
            if not accept or not refuse:
                continue
            if refuse["in_text"] and not accept["in_text"]:
                fact = Fact("refusing is a link in a text, accepting a button", run.scenario)
                return Verdict(rule, Outcome.FAIL, "", (fact,))
            return Verdict(rule, Outcome.PASS)
    return Verdict(rule, Outcome.UNKNOWN, "no-control")


def _a5(case: Case, rule: str) -> Verdict:
    """Accept and refuse are of the same kind and size."""
    for run in case.runs:
        for layer in run.layers[:1]:
            by_goal = {one["goal"]: one for one in layer["controls"]}
            accept, refuse = by_goal.get("accept"), by_goal.get("refuse")
            if not accept or not refuse:
                continue
            if accept["in_view"] and not refuse["in_view"]:
                fact = Fact("accepting is in view, refusing is not", run.scenario)
                return Verdict(rule, Outcome.FAIL, "", (fact,))
            area = refuse["width"] * refuse["height"], accept["width"] * accept["height"]
            if not _LEAST_AREA < area[0] / max(area[1], 1) < 1 / _LEAST_AREA:
                text = f"refusing has {area[0]:.0f} px² to press, accepting {area[1]:.0f}"
                return Verdict(rule, Outcome.UNKNOWN, "needs-human", (Fact(text, run.scenario),))
            return Verdict(rule, Outcome.PASS)
    return Verdict(rule, Outcome.UNKNOWN, "no-control")


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
    if not case.done("accept"):
        return Verdict(rule, Outcome.UNKNOWN, case.why_not("accept"))
    return Verdict(rule, Outcome.PASS)


def _c2(case: Case, rule: str) -> Verdict:
    """Nothing is read before a choice: no cookie is sent to a third party, nothing is fingerprinted."""
    facts: list[Fact] = []
    for run in [*case.of("no-choice"), *case.of("dirty")]:
        facts += [f for f in _sent(case, run, frozenset()) if case.policy or "of" in f.text]
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
    return _verdict(case, rule, "no-choice", facts)


def _c3(case: Case, rule: str) -> Verdict:
    """Nothing is asked of third parties before a choice."""
    asked = [f for run in case.of("no-choice") for f in _asked(case, run, frozenset())]
    return _verdict(case, rule, "no-choice", *_sorted(case, [], asked))


def _d1(case: Case, rule: str) -> Verdict:
    """After a refusal nothing is kept, sent or asked."""
    facts: list[Fact] = []
    doubtful: list[Fact] = []
    for run in case.of("refuse"):
        if not run.completed and "refuse" not in run.clicks:
            continue
        certain, unclear = _forbidden(case, run, frozenset(), "refuse", "again")
        nothing: Purposes = frozenset()
        asked = _asked(case, run, nothing, "refuse", "again")
        kept = certain + _sent(case, run, nothing, "refuse", "again")
        more = _sorted(case, kept, asked)
        facts += more[0]
        doubtful += [*unclear, *more[1]]
    return _verdict(case, rule, "refuse", facts, doubtful)


def _d2(case: Case, rule: str) -> Verdict:
    """A refusal is remembered."""
    for run in case.of("return"):
        if run.facts.get("asked again"):
            text = "the notice asked again after the browser was started anew"
            return Verdict(rule, Outcome.FAIL, "", (Fact(text, run.scenario, "return"),))
    if case.done("return"):
        return Verdict(rule, Outcome.PASS)
    if case.done("refuse"):
        return Verdict(rule, Outcome.UNKNOWN, "kept on the next pages; return was not walked")
    for run in case.of("refuse"):
        if run.reason == "no-effect":
            return Verdict(rule, Outcome.FAIL, "", (Fact(run.facts["error"], run.scenario),))
    return Verdict(rule, Outcome.UNKNOWN, case.why_not("refuse"))


def _e1(case: Case, rule: str) -> Verdict:
    """After acceptance, what fires is a part of what was declared."""
    if case.policy is None:
        return Verdict(rule, Outcome.UNKNOWN, "needs-policy")
    facts: list[Fact] = []
    for run in case.of("accept"):
        facts += _forbidden(case, run, case.purposes)[0] + _asked(case, run, case.purposes)
    return _verdict(case, rule, "accept", facts)


def _e2(case: Case, rule: str) -> Verdict:
    """A way back is to be seen after a choice."""
    for run in case.of("withdraw"):
        if run.reason == "no-way-back":
            return Verdict(rule, Outcome.FAIL, "", (Fact(run.facts["error"], run.scenario),))
        if run.completed:
            return Verdict(rule, Outcome.PASS)
    return Verdict(rule, Outcome.UNKNOWN, case.why_not("withdraw"))


def _f1(case: Case, rule: str) -> Verdict:
    """One purpose opens what is its own, and nothing else."""
    runs = case.of("only")
    if not runs or case.policy is None:
        return Verdict(rule, Outcome.UNKNOWN, "not-run" if case.policy else "needs-policy")
    facts: list[Fact] = []
    for run in runs:
        granted = frozenset((run.scenario.partition(":")[2],))
        facts += _forbidden(case, run, granted, "only")[0] + _asked(case, run, granted, "only")
    if not facts and any(not run.completed for run in runs):
        return Verdict(rule, Outcome.UNKNOWN, case.why_not("only"))
    return _verdict(case, rule, "only", facts)


def _g2(case: Case, rule: str) -> Verdict:
    """Withdrawing costs at most one click more than accepting: the one that opens the choices."""
    accept, withdraw = _clicks(case, "accept"), _clicks(case, "withdraw")
    if accept is None or withdraw is None:
        return Verdict(rule, Outcome.UNKNOWN, case.why_not("withdraw"))
    if withdraw > accept + 1:
        text = f"withdrawing took {withdraw} clicks, accepting {accept}"
        return Verdict(rule, Outcome.FAIL, "", (Fact(text, "withdraw"),))
    return Verdict(rule, Outcome.PASS)


def _g3(case: Case, rule: str) -> Verdict:
    """After a withdrawal nothing is written, sent or asked any more."""
    facts: list[Fact] = []
    nothing: Purposes = frozenset()
    for run in case.of("withdraw"):
        later = ("withdraw-reload", "withdraw-page")
        facts += _sent(case, run, nothing, *later) + _asked(case, run, nothing, *later)
        written = _forbidden(case, run, nothing, *later, kinds=("cookie_kept", "storage_kept"))
        facts += written[0]
    return _verdict(case, rule, "withdraw", facts)


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
    return _verdict(case, rule, "withdraw", facts, doubtful)


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
    for run in case.runs:
        set_at: dict[str, str] = {}
        for one in run.observations:
            if one.kind != "cookie_kept" or not case.inventory.exempt(one):
                continue
            seconds = one.detail.get("seconds")
            asked = days(seconds) if isinstance(seconds, int) else 0
            if asked and asked > _MOST_DAYS_EXEMPT:
                text = f"{one.name} asks for {asked:g} days, {_MOST_DAYS_EXEMPT} are the most"
                facts.setdefault(one.name, Fact(text, run.scenario, one.station, one.at, one.chain))
            elif one.name in set_at and set_at[one.name] != one.station and asked:
                text = f"{one.name} was set again at {one.station}: its end moves"
                facts.setdefault(one.name, Fact(text, run.scenario, one.station, one.at, one.chain))
            set_at.setdefault(one.name, one.station)
    return _verdict(case, rule, "no-choice", list(facts.values()))


def _k1(case: Case, rule: str) -> Verdict:
    """Controls are real ones, with a role and a name."""
    layers = [(run, layer) for run in case.runs for layer in run.layers]
    if not layers:
        return Verdict(rule, Outcome.UNKNOWN, "no-notice")
    facts = tuple(
        Fact(
            f"a control for {one['goal']} has no name that assistive technology could say",
            run.scenario,
        )
        for run, layer in layers
        for one in layer["controls"]
        if not one["label"]
    )
    return Verdict(rule, Outcome.FAIL if facts else Outcome.PASS, "", facts[:3])


def _l1(case: Case, rule: str) -> Verdict:
    """The browser's signal refuses from the first byte."""
    facts: list[Fact] = []
    doubtful: list[Fact] = []
    for run in case.of("gpc"):
        kept, asked = _forbidden(case, run, frozenset())[0], _asked(case, run, frozenset())
        more = _sorted(case, kept, asked)
        facts += more[0]
        doubtful += more[1]
    return _verdict(case, rule, "gpc", facts, doubtful)


def _c5(case: Case, rule: str) -> Verdict:
    """Closing, Escape, scrolling and going on grant nothing."""
    facts: list[Fact] = []
    for run in case.of("dismiss"):
        later = ("dismiss",)
        facts += _forbidden(case, run, frozenset(), *later)[0]
        facts += _asked(case, run, frozenset(), *later)
    return _verdict(case, rule, "dismiss", facts)


_DECIDE: dict[str, Callable[[Case, str], Verdict]] = {
    "A1": _a1,
    "A2": _a2,
    "A3": _a3,
    "A4": _a4,
    "A5": _a5,
    "B1": _b1,
    "B5": _b5,
    "C1": _emptiness("no-choice"),
    "C2": _c2,
    "C3": _c3,
    "C5": _c5,
    "D1": _d1,
    "D2": _d2,
    "E1": _e1,
    "E2": _e2,
    "F1": _f1,
    "G1": _e2,
    "G2": _g2,
    "G3": _g3,
    "G4": _g4,
    "H1": _h1,
    "J3": _j3,
    "K1": _k1,
    "L1": _l1,
}
DECIDABLE = frozenset(_DECIDE)
