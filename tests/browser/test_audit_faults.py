"""The inspector on a site with planted faults: each is found under its rule, and a sound site has none."""

from __future__ import annotations

import os
import shutil

import pytest

from bandeau.audit.judge import Case, Outcome, Verdict, judge
from bandeau.audit.ruleset import load
from bandeau.audit.scenario import Plan, Run, apart
from bandeau.cli.audit import walked
from bandeau.cli.progress import Progress
from browser.faults import FAULTS, policy, served

if not shutil.which("chromium"):
    pytest.skip("there is no chromium here", allow_module_level=True)
PROVE = bool(os.environ.get("BANDEAU_PROVE"))
SCENARIOS = (
    "no-choice", "refuse", "accept", "withdraw", "settings", "keyboard", "small", "gpc", "no-script", "only:ads",
    "endpoints",
)  # fmt: skip


def judged(*faults: str) -> tuple[list[Run], dict[str, Verdict]]:
    with served(*faults) as port:
        plan = Plan(f"http://site.localhost:{port}/", prefix="/_b")
        runs = apart(walked(plan, SCENARIOS, 2, Progress(plan.url, quiet=True)))
        found = judge(Case(runs, policy(port)), load().values())
    return runs, {one.rule: one for one in found}


def failed(verdicts: dict[str, Verdict]) -> dict[str, list[str]]:
    return {
        rule: [fact.text for fact in one.facts]
        for rule, one in verdicts.items()
        if one.outcome is Outcome.FAIL
    }


def test_every_planted_fault_is_found_in_one_walk() -> None:
    found = failed(judged(*FAULTS)[1])
    assert sorted(set().union(*FAULTS.values()) - set(found)) == []


@pytest.mark.skipif(not PROVE, reason="BANDEAU_PROVE=1 plants each fault alone")
@pytest.mark.parametrize("fault", [None, *FAULTS])
def test_a_fault_that_stands_alone_is_the_only_finding(fault: str | None) -> None:
    runs, verdicts = judged(*([fault] if fault else []))
    found = failed(verdicts)
    assert set(found) == (FAULTS[fault] if fault else set()), found
    if fault is None:
        assert [(run.scenario, run.facts.get("error")) for run in runs if not run.completed] == []
