"""The code that an audit ends with and the report on it, of runs and verdicts that are written down here."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime
from html import unescape
from pathlib import Path

import pytest

from bandeau.audit.document import document, exit_code
from bandeau.audit.judge import Fact, Outcome, Verdict
from bandeau.audit.observe import Observation
from bandeau.audit.report import FORMATS, html, write
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


def test_the_page_says_which_tag_to_remove_whom_it_brings_and_what_was_not_done() -> None:
    url, script = "http://a.test/p", "https://b.test/b.js"
    began = (f'{url} <script src="{script}">', url)
    seen = [
        Observation("request", "arrive", 1, script, "b.test", third=True, chain=began),
        Observation("request", "arrive", 2, script, "c.test", third=True, chain=(f"{script}:9:1", *began)),
    ]  # fmt: skip
    done = replace(DONE, scenario="no-choice", observations=seen)
    chain = (f"response of {script}?x=1", f"{script}:9:1", f"{script}:3:1", *began)
    facts = [Fact(f"fact {number}", "no-choice", "arrive", 1, chain) for number in range(7)]
    found = [
        Verdict("C1", Outcome.FAIL, "", tuple(facts)),
        Verdict("A2", Outcome.UNKNOWN, "no-notice"),
    ]
    runs = [done, stopped("no-notice")]
    page = html.page(document(url, runs, found, load(), started=datetime.now(UTC)))
    text = re.sub(r"\s+", " ", unescape(re.sub(r"<[^>]+>", "", page)))
    assert f'<script src="{script}"> in the pagebrings b.test, c.test · 7 findings: C1' in text
    way = f'started by <script src="{script}"> in the page → line 3 of {script} → a Set-Cookie header of {script}?…'
    assert text.count(way) == 7
    assert text.index("fact 4") < text.index("and 2 more") < text.index("fact 5")
    assert "Not done: refuse: no notice that asks for a choice was found." in text
    assert "1 rule could not be decided. 1: no notice that asks for a choice was found" in text
    assert "? not known no notice that asks for a choice was found" in text
