"""The code that an audit ends with and the report on it, of runs and verdicts that are written down here."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from bandeau.audit.document import document, exit_code
from bandeau.audit.judge import Fact, Outcome, Verdict
from bandeau.audit.report import FORMATS, write
from bandeau.audit.ruleset import load
from bandeau.audit.scenario import Run
from bandeau.audit.watch import Setting

DONE = Run("refuse", 1, Setting(), completed=True)
BLIND = Run("refuse", 1, Setting(), completed=True, unwatched=["worker https://a.test/w.js"])
PASS, FAIL = Verdict("A1", Outcome.PASS), Verdict("C1", Outcome.FAIL)
HUMAN = Verdict("B2", Outcome.UNKNOWN, "needs-human")


def stopped(reason: str) -> Run:
    return Run("refuse", 1, Setting(), reason=reason)


@pytest.mark.parametrize("verdicts", [[PASS], [PASS, HUMAN], []])
def test_it_is_0_where_every_walk_came_to_its_end(verdicts: list[Verdict]) -> None:
    assert exit_code([DONE], verdicts) == 0


@pytest.mark.parametrize(
    "runs",
    [
        *([DONE, stopped(reason)] for reason in ("no-notice", "no-control", "bot-wall", "error")),
        [BLIND],
        [],
    ],
)
def test_it_is_2_where_anything_kept_one_from_it_and_1_for_a_failure_even_so(
    runs: list[Run],
) -> None:
    assert exit_code(runs, [PASS, HUMAN]) == 2
    assert exit_code(runs, [PASS, FAIL]) == 1


def test_a_page_with_half_of_a_surrogate_pair_gets_its_report_all_the_same(tmp_path: Path) -> None:
    half = "half \ud800"
    done = replace(DONE, facts={"text": {"arrive": {"text": half}}, half: [half]})
    found = Verdict("C1", Outcome.FAIL, "", (Fact(half, chain=(half,)),))
    report = document("http://a.test/", [done], [found], load(), started=datetime.now(UTC))
    write(report, [done], tmp_path, [one for one in FORMATS if one != "har"])
    assert "half ?" in (tmp_path / "report.json").read_text("utf-8")
