"""A pytest plugin: "this page deposits nothing when refused", as one assertion in anybody's tests.

    def test_refusal(bandeau_audit, live_server):
        bandeau_audit(live_server.url, "refuse", policy="bandeau.toml")

The browser is real, and so is the server: the page is walked as `bandeau audit` walks it. Needs
`pip install 'bandeau[audit]'` and Chromium.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from bandeau.audit.judge import Verdict
    from bandeau.audit.scenario import Run

# What each walk is about: the rules that it can fail.
RULES = {
    "no-choice": ("C1", "C2", "C3"),
    "refuse": ("D1",),
    "accept": ("E1",),
    "withdraw": ("G3", "G4"),
    "gpc": ("L1",),
    "dismiss": ("C5",),
}
Audit = Callable[..., None]


@pytest.fixture
def bandeau_audit() -> Audit:
    """Return `audit(url, *scenarios, policy=None, language="fr-FR")`: fails the test with what was seen.

    Scenarios are those of `RULES`; none named: "refuse". `policy` is a path; without one only what is
    certain without a declaration fails. A walk that could not be done to its end fails the test too.
    """

    def audit(
        url: str, *scenarios: str, policy: str | Path | None = None, language: str = "fr-FR"
    ) -> None:
        __tracebackhide__ = True
        unknown = [name for name in scenarios if name not in RULES]
        if unknown:
            raise ValueError(f"{unknown[0]!r} is not one of {', '.join(RULES)}")
        from bandeau.audit.scenario import apart  # noqa: PLC0415 (only where it is used)

        runs, verdicts = apart(_walked(url, scenarios or ("refuse",), policy, language))
        told = _told(runs, verdicts)
        if told:
            pytest.fail(f"{url}\n" + "\n".join(told), pytrace=False)

    return audit


async def _walked(
    url: str, scenarios: Sequence[str], policy: str | Path | None, language: str
) -> tuple[list[Run], list[Verdict]]:
    from bandeau.audit.judge import Case, judge  # noqa: PLC0415 (only where it is used)
    from bandeau.audit.ruleset import load as load_rules  # noqa: PLC0415
    from bandeau.audit.scenario import Plan, run, shared  # noqa: PLC0415
    from bandeau.audit.watch import Setting  # noqa: PLC0415
    from bandeau.policy.file import load  # noqa: PLC0415
    from bandeau.wire.hosts import spelt  # noqa: PLC0415

    address = spelt(url)
    if address is None:
        raise ValueError(f"{url!r} is no http address")
    declared = load(Path(policy)) if policy else None
    own = tuple(one.host for one in declared.site.own_hosts) if declared else ()
    prefix = declared.site.prefix if declared else ""
    plan = Plan(address, Setting(language=language), own=own, prefix=prefix)
    async with shared(plan) as browser:
        runs = [await run(plan, scenario, browser=browser) for scenario in scenarios]
    rules = load_rules()
    wanted = [rules[one] for scenario in scenarios for one in RULES[scenario]]
    return runs, judge(Case(runs, declared), wanted)


def _told(runs: Sequence[Run], verdicts: Sequence[Verdict]) -> list[str]:
    lines = [
        f"{run.scenario} could not be done: {run.facts.get('error', run.reason)}"
        for run in runs
        if not run.completed
    ]
    lines += [f"{run.scenario}: not watched: {one}" for run in runs for one in run.unwatched]
    for verdict in verdicts:
        for fact in verdict.facts if verdict.outcome == "fail" else ():
            lines.append(f"{verdict.rule} {fact.text} ({fact.scenario}, {fact.station})")
            lines += [f"    started by {step}" for step in reversed(fact.chain)]
    return lines
