"""The inspector on a site with planted faults: each is found under its rule, and a sound site has none."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence

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


SOME = ("no-choice", "gpc", "endpoints")
OF_SOME = {
    "A4", "A8", "C3", "C4", "C6", "I1", "I2", "I4", "J1", "J5", "K3", "K6", "L1", "L2", "L3", "M1", "M2", "M3", "M4", "M5",
}  # fmt: skip


def judged(
    *faults: str, scenarios: Sequence[str] = SCENARIOS
) -> tuple[list[Run], dict[str, Verdict]]:
    with served(*faults) as port:
        plan = Plan(f"http://site.localhost:{port}/", prefix="/_b")
        runs = apart(walked(plan, scenarios, 2, Progress(plan.url, quiet=True)))
        found = judge(Case(runs, policy(port)), load().values())
    return runs, {one.rule: one for one in found}


def failed(verdicts: dict[str, Verdict]) -> dict[str, list[str]]:
    return {
        rule: [fact.text for fact in one.facts]
        for rule, one in verdicts.items()
        if one.outcome is Outcome.FAIL
    }


def test_faults_that_stand_together_are_found_in_three_walks() -> None:
    assert failed(judged(*FAULTS, scenarios=SOME)[1]).keys() >= OF_SOME


@pytest.mark.skipif(not PROVE, reason="BANDEAU_PROVE=1 walks through all of the choices")
def test_every_planted_fault_is_found_where_all_stand_together() -> None:
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
