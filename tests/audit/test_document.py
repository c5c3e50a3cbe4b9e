"""The code that an audit ends with, of runs and verdicts that are written down here."""

from __future__ import annotations

import pytest

from bandeau.audit.document import exit_code
from bandeau.audit.judge import Outcome, Verdict
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
