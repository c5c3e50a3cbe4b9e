"""What rules are judged with: the case, facts, verdicts, and what was there that nothing opened."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from bandeau.audit import known
from bandeau.audit.inventory import Inventory, allowed, item_of
from bandeau.audit.observe import ASKED, Observation, days, site_of
from bandeau.audit.pipe import Params
from bandeau.audit.scenario import Run
from bandeau.policy.model import Policy

Purposes = frozenset[str]
Decide = Callable[["Case", str], "Verdict"]
KEPT = ("cookie_kept", "cookie_in_jar", "storage_kept", "storage_there")
READ_BACK = "the site read back its own cookie"
SANCTIONED = ("ads", "social")  # purposes that an audit fails for where a notice hides them
CLOSED, LESS = 0.5, 0.9  # of a page's text: what is left of a closed one, what a person has to see
_LINEAR = 0.04045  # below it sRGB is linear (WCAG 2.2, "relative luminance")


class Outcome(StrEnum):
    """What a rule came to."""

    FAIL = "fail"
    UNKNOWN = "unknown"
    PASS = "pass"  # noqa: S105 (no password)
    NOT_APPLICABLE = "not applicable"


@dataclass(frozen=True, slots=True)
class Fact:
    """One piece of evidence in words, with where it was seen, who started it and what it is about."""

    text: str
    scenario: str = ""
    station: str = ""
    at: int = 0  # milliseconds
    chain: tuple[str, ...] = ()
    about: str = ""  # a kept item or a host, alike in every rule that has facts of it


@dataclass(frozen=True, slots=True)
class Verdict:
    """A rule, what it came to, and why."""

    rule: str
    outcome: Outcome
    reason: str = ""
    facts: tuple[Fact, ...] = ()
    failure: str = ""  # what was seen, where the rule's own headline would leave it open


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

    def layers(self, *scenarios: str) -> Iterator[tuple[Run, Params]]:
        """Return every layer of a notice that was seen in scenarios, each with its run."""
        return ((run, one) for name in scenarios for run in self.of(name) for one in run.layers)

    def first_layers(self, *scenarios: str) -> Iterator[tuple[Run, Params]]:
        """Return the first layer of each run, where its box was found."""
        return (
            (run, run.layers[0])
            for name in scenarios
            for run in self.of(name)
            if run.layers and run.layers[0].get("box")
        )

    def length(self, scenario: str, station: str) -> int | None:
        """Return the most that a page said at a station in any run, in characters."""
        found = [run.facts["text"][station]["length"] for run in self.of(scenario)
                 if station in run.facts.get("text", {})]  # fmt: skip
        return max(found) if found else None

    @property
    def endpoints(self) -> Params:
        """What the public addresses of bandeau answered; {} where they were not asked."""
        return next(
            (r.facts["endpoints"] for r in self.of("endpoints") if r.facts.get("endpoints")), {}
        )

    @property
    def purposes(self) -> Purposes:
        """Every purpose that needs consent."""
        return frozenset(self.policy.consentable) if self.policy else frozenset()


def arrived(run: Run) -> int | None:
    """Return the length of a page's text at arrival, without its notice, which every choice takes away.

    In a page without a <main> the notice's text is counted with the page's; elsewhere too much is taken
    off, and a loss has to be the greater to be certain.
    """
    found = run.facts.get("text", {}).get("arrive")
    notice = run.layers[0].get("box") or {} if run.layers else {}
    return max(found["length"] - len(notice.get("text", "")), 0) if found else None


def after(run: Run, *beginnings: str) -> Iterator[Observation]:
    """Return what was observed at stations whose names begin so; none given: at all of them."""
    return (one for one in run.observations if not beginnings or one.station.startswith(beginnings))


def forbidden(
    case: Case, run: Run, granted: Purposes, *stations: str, kinds: tuple[str, ...] = KEPT
) -> tuple[list[Fact], list[Fact]]:
    """Return the kept items that nothing granted opens: those that are certain, and the unclassified."""
    certain: dict[tuple[str, str, str], Fact] = {}
    doubtful: dict[tuple[str, str, str], Fact] = {}
    wrote = writers(run)
    sites = {site_of(one.host) for one in run.observations if one.kind == "request"}
    for one in after(run, *stations):
        if one.kind not in kinds:
            continue
        key = (str(one.detail.get("area", "cookie")), one.name, one.host)
        needs = case.inventory.purposes_of_item(one)
        if needs and allowed(needs, granted, every=True):
            continue
        fact = kept_fact(case, one, run, wrote)
        # In the jar of the browser lies also what it asked for by itself.
        seen = key in wrote or one.kind != "cookie_in_jar" or site_of(one.host) in sites
        whose = known.of_item(one)
        if seen and (case.policy or one.third or (whose and whose.needs_consent)):
            certain.setdefault(key, fact)
        else:
            doubtful.setdefault(key, fact)
    return list(certain.values()), [f for key, f in doubtful.items() if key not in certain]


def writers(run: Run) -> dict[tuple[str, str, str], Observation]:
    """Return who wrote each item, by its kind, name and host: the jar does not say."""
    found: dict[tuple[str, str, str], Observation] = {}
    for one in run.observations:
        if one.kind in ("cookie_kept", "storage_kept") and one.chain != ("unattributed",):
            found.setdefault((str(one.detail.get("area", "cookie")), one.name, one.host), one)
    return found


def kept_fact(
    case: Case, one: Observation, run: Run, writers: dict[tuple[str, str, str], Observation]
) -> Fact:
    """Say what was kept, whose it is, how long it lives, what it is for, and who wrote it."""
    needs = case.inventory.purposes_of_item(one)
    writer = writers.get((str(one.detail.get("area", "cookie")), one.name, one.host))
    seconds = (writer or one).detail.get("seconds")
    lasts = days(seconds) if isinstance(seconds, int) else None
    declared = f"{case.inventory.told(needs)}; " if case.policy else ""
    whose = None if needs else known.of_item(one)
    told = f"known as {whose}; " if whose else ""
    age = f", {lasts:g} days" if lasts else ""
    by = "nobody was seen to write it" if writer is None else _by(writer)
    item = item_of(one)
    chain = writer.chain if writer else one.chain
    text = f"{item}{age}: {declared}{told}{by}"
    return Fact(text, run.scenario, one.station, one.at, chain, item)


def _by(one: Observation) -> str:
    if one.detail.get("by") == "http":
        return f"set by the response of {one.detail.get('from')}"
    return f"written by {one.chain[0]}" if one.chain else "written by script"


def asked(case: Case, run: Run, granted: Purposes, *stations: str) -> list[Fact]:
    """Return what was asked of third parties that nothing granted opens, once for each host."""
    found: dict[str, Fact] = {}
    for one in after(run, *stations):
        if one.kind not in (*ASKED, "hint") or not one.third or case.inventory.own(one.host):
            continue
        needs = case.inventory.purposes_of_host(one)
        if needs and allowed(needs, granted, every=False):
            continue
        whose = known.of_host(one.host)
        who = case.inventory.recipients(one.host) or ([whose.owner] if whose else [])
        named = f" ({', '.join(who)})" if who else ""
        word = {"hint": "hint for", "connection": "connection to"}.get(one.kind, "request to")
        text = f"{word} {one.host}{named}: {one.name[:200]}"
        fact = Fact(text, run.scenario, one.station, one.at, one.chain, one.host)
        found.setdefault(one.host, fact)
    return list(found.values())


def sent(case: Case, run: Run, granted: Purposes, *stations: str) -> list[Fact]:
    """Return the cookies that were sent, which is reading, though nothing granted opens them.

    Third parties' come first. The site's own go back with each of its requests: there who wrote
    them is what can be removed.
    """
    found: dict[tuple[bool, str, str], Fact] = {}
    wrote = writers(run)
    for one in after(run, *stations):
        if one.kind != "cookie_sent":
            continue
        needs = case.inventory.purposes_of_item(one)
        if (needs and allowed(needs, granted, every=True)) or not (case.policy or one.third):
            continue
        own = not one.third
        text = f"cookie {one.name} of {one.host} was sent to {one.detail.get('to')}"
        if own:
            text = f"{READ_BACK} {one.name}, with {one.detail.get('to')}"
            text += f": {case.inventory.told(needs)}"
        writer = wrote.get(("cookie", one.name, one.host)) if own else None
        chain = writer.chain if writer else one.chain
        fact = Fact(text, run.scenario, one.station, one.at, chain, item_of(one))
        found.setdefault((own, one.name, one.host), fact)
    return [fact for _, fact in sorted(found.items(), key=lambda pair: pair[0][0])]


def unopened(
    case: Case, run: Run, granted: Purposes, *stations: str, kinds: tuple[str, ...] = KEPT
) -> tuple[list[Fact], list[Fact]]:
    """Return all that nothing granted opens - kept, sent, asked: what is certain, and what is not.

    With no policy a third party that is asked may be the site's own.
    """
    certain, doubtful = forbidden(case, run, granted, *stations, kinds=kinds)
    certain += sent(case, run, granted, *stations)
    more = asked(case, run, granted, *stations)
    return (certain + more, doubtful) if case.policy else (certain, doubtful + more)


def unknown(rule: str, reason: str, *facts: Fact) -> Verdict:
    """Return that nothing can be said, and why, in a word."""
    return Verdict(rule, Outcome.UNKNOWN, reason, facts)


def beside_the_point(rule: str, why: str) -> Verdict:
    """Return that a rule has nothing to be held against here."""
    return Verdict(rule, Outcome.NOT_APPLICABLE, why)


def needs_human(
    case: Case, rule: str, certain: Sequence[Fact], doubtful: Sequence[Fact], *scenarios: str
) -> Verdict:
    """Return what facts come to, where what is doubtful is for a person to look at."""
    if doubtful and not certain and not case.missing(*scenarios):
        return unknown(rule, "needs-human", *doubtful)
    return verdict(case, rule, certain, (), *scenarios)


def nothing(
    scenario: str, *stations: str, kinds: tuple[str, ...] = KEPT
) -> Callable[[Case, str], Verdict]:
    """Make a rule of: nothing that needs consent is kept, sent or asked."""

    def decide(case: Case, rule: str) -> Verdict:
        nothing: Purposes = frozenset()
        found = [unopened(case, run, nothing, *stations, kinds=kinds) for run in case.of(scenario)]
        return verdict(case, rule, *together(found), scenario)

    return decide


def together(found: Iterable[tuple[list[Fact], list[Fact]]]) -> tuple[list[Fact], list[Fact]]:
    """Return what is certain and what is not, of several runs."""
    certain: list[Fact] = []
    doubtful: list[Fact] = []
    for more, unclear in found:
        certain += more
        doubtful += unclear
    return certain, doubtful


def verdict(
    case: Case, rule: str, certain: Sequence[Fact], doubtful: Sequence[Fact], *scenarios: str
) -> Verdict:
    """Return what facts come to: a pass only where every walk of the scenarios came to its end."""
    if certain:
        return Verdict(rule, Outcome.FAIL, "", tuple(certain))
    if missing := case.missing(*scenarios):
        return Verdict(rule, Outcome.UNKNOWN, missing)
    if doubtful:
        return Verdict(rule, Outcome.UNKNOWN, "unclassified", tuple(doubtful))
    return Verdict(rule, Outcome.PASS)


def clicks(case: Case, goal: str) -> int | None:
    """Return the fewest activations that a choice took in any run."""
    found = [run.clicks[goal] for run in case.runs if goal in run.clicks]
    return min(found) if found else None


def contrast(one: str, other: str) -> float | None:
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


def copies(run: Run, *stations: str) -> Iterator[Observation]:
    """Return the copies of the choice that were read at stations."""
    return (
        one for one in after(run, *stations) if one.kind == "copy" and "interest" not in one.name
    )


def granted_copies(run: Run, *stations: str) -> list[Fact]:
    """Return the copies of the choice that say granted, once each."""
    found: dict[str, Fact] = {}
    for one in copies(run, *stations):
        if one.detail["granted"]:
            text = f"{one.name} says granted ({one.detail['what']})"
            found.setdefault(one.name, Fact(text, run.scenario, one.station, one.at))
    return list(found.values())


def unread_copies(run: Run, *stations: str) -> list[Fact]:
    """Return the copies of the choice that are there and cannot be read, once each."""
    found: dict[str, Fact] = {}
    for one in copies(run, *stations):
        if one.detail["granted"] is None:
            text = f"{one.name} is there and cannot be read ({one.detail['what']})"
            found.setdefault(one.name, Fact(text, run.scenario, one.station, one.at))
    return list(found.values())


def once(facts: Iterable[Fact]) -> list[Fact]:
    """Return facts that say different things, the first of each."""
    found: dict[str, Fact] = {}
    for one in facts:
        found.setdefault(one.text, one)
    return list(found.values())


def unanswered(case: Case, rule: str) -> Verdict | None:
    """Return that only the server could tell, where its addresses did not; None where they did."""
    if case.missing("endpoints") or not case.endpoints:
        return unknown(rule, "needs-server")
    return None
