"""Before any choice (C): what is kept, read, asked, signalled and disguised."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import replace

from bandeau.audit.inventory import allowed
from bandeau.audit.judge.base import (
    READ_BACK,
    Case,
    Decide,
    Fact,
    Verdict,
    asked,
    forbidden,
    granted_copies,
    nothing,
    once,
    sent,
    together,
    unread_copies,
    verdict,
)
from bandeau.audit.lexicon import notices
from bandeau.audit.observe import LONG, Observation, site_of
from bandeau.audit.scenario import SEED, Run

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
    facts.sort(key=lambda one: one.text.startswith(READ_BACK))  # what others read comes first
    return verdict(case, rule, facts, (), "no-choice", "dirty")


def _c3(case: Case, rule: str) -> Verdict:
    """Nothing is asked of third parties before a choice."""
    found = [f for run in case.of("no-choice") for f in asked(case, run, frozenset())]
    certain, doubtful = (found, []) if case.policy else ([], found)
    return verdict(case, rule, certain, doubtful, "no-choice")


def _c4(case: Case, rule: str) -> Verdict:
    """No copy of the choice says granted before there is one."""
    facts: list[Fact] = []
    doubtful: list[Fact] = []
    for run in case.of("no-choice"):
        facts += granted_copies(run)
        facts += _as_accepted(case, run)
        doubtful += unread_copies(run)
    return verdict(case, rule, facts, doubtful, "no-choice")


def _as_accepted(case: Case, run: Run) -> list[Fact]:
    """Return the notice's own cookies that hold before a choice what they hold after accepting."""
    shown = {layer["name"] for layer in run.layers}
    kept = [one for known in notices() if known.name in shown for one in known.kept]
    names = {one.removeprefix("cookie ") for one in kept if one.startswith("cookie ")}
    accepted, refused = (_held(case.of(name), names) for name in ("accept", "refuse"))
    told_apart = {name for name, _ in accepted} & {name for name, _ in refused}
    return [
        Fact(f"{name} holds before a choice what it holds after accepting", run.scenario)
        for name, digest in sorted((_held([run], names) & accepted) - refused)
        if name in told_apart
    ]


def _held(runs: Iterable[Run], names: Collection[str]) -> set[tuple[str, str]]:
    """Return the last value of each cookie in the jars of runs, as what tells it from others."""
    found: set[tuple[str, str]] = set()
    for run in runs:
        last = {
            one.name: str(one.detail["digest"])
            for one in run.observations
            if one.kind == "cookie_in_jar" and one.name in names
        }
        found |= set(last.items())
    return found


def _c6(case: Case, rule: str) -> Verdict:
    """No identifier of the site travels in addresses to others, and no own name is another's."""
    told: list[Fact] = []
    led_to: list[Fact] = []
    doubtful: list[Fact] = []
    for run in [*case.of("no-choice"), *case.of("refuse")]:
        mine = {
            str(one.detail["digest"]): one.name
            for one in run.observations
            if one.kind == "cookie_kept" and not one.third and one.detail.get("size", 0) >= LONG
        }
        for one in run.observations:
            needs = case.inventory.purposes_of_host(one) or ()
            for digest in one.detail.get("values", ()):
                if digest in mine and not allowed(needs, frozenset(), every=False):
                    text = f"what {mine[digest]} holds travels in an address to {one.host}"
                    fact = Fact(text, run.scenario, one.station, one.at, one.chain)
                    (told if case.policy else doubtful).append(fact)
        for host, name in run.facts.get("names", {}).items():
            text = f"{host} is another name of {name or 'nobody knows whom'}"
            led = Observation("request", "", 0, "", name, third=True)
            if who := case.inventory.receivers(led):
                led_to.append(Fact(f"{text} ({who[0]})", run.scenario))
            elif site_of(name) != site_of(host) and not case.inventory.own(name):
                doubtful.append(Fact(text, run.scenario))
    found = verdict(case, rule, once([*told, *led_to]), once(doubtful), "no-choice", "refuse")
    seen = [headline for facts, headline in ((told, _TRAVELS), (led_to, _DISGUISED)) if facts]
    return replace(found, failure=" ".join(seen))


_TRAVELS = "An identifier of the site's travels to third parties in addresses."
_DISGUISED = "A third party stands under the site's name."
DECIDE: dict[str, Decide] = {
    "C1": _c1,
    "C2": _c2,
    "C3": _c3,
    "C4": _c4,
    "C5": nothing("dismiss", "dismiss"),
    "C6": _c6,
}
