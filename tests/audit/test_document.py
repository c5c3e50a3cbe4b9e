"""The code that an audit ends with and the report on it, of runs and verdicts that are written down here."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime
from html import unescape
from pathlib import Path
from typing import Any

import pytest

from bandeau.audit import scenario
from bandeau.audit.document import document, exit_code
from bandeau.audit.judge import Fact, Outcome, Verdict
from bandeau.audit.observe import Observation
from bandeau.audit.pipe import BrowserError
from bandeau.audit.report import FORMATS, html, thumbnails, write
from bandeau.audit.report.words import picture_name, shortened, station, walk
from bandeau.audit.ruleset import load
from bandeau.audit.scenario import Run
from bandeau.audit.watch import Setting
from bandeau.policy.model import Policy

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


URL, SCRIPT = "http://a.test/p", "https://b.test/b.js"
BEGAN = (f'{URL} <script src="{SCRIPT}">', URL)


def shown(runs: list[Run], verdicts: list[Verdict], policy: Policy | None = None) -> str:
    """Return the words of the page on an audit."""
    started = datetime(2026, 11, 5, 9, tzinfo=UTC)
    page = html.page(document(URL, runs, verdicts, load(), started=started, policy=policy))
    return re.sub(r"\s+", " ", unescape(re.sub(r"<[^>]+>", "", page[page.index("<body>") :])))


def request(
    host: str,
    station: str = "arrive",
    query: str = "",
    chain: tuple[str, ...] = BEGAN,
    **detail: Any,
) -> Observation:
    url = f"https://{host}/x{query}"
    return Observation("request", station, 1, url, host, third=True, chain=chain, detail=detail)


def test_the_page_says_which_tag_to_remove_whom_it_brings_and_what_was_not_done() -> None:
    chain = (f"response of {SCRIPT}?x=1", f"{SCRIPT}:9:1", f"{SCRIPT}:3:1", *BEGAN)
    done = replace(DONE, scenario="no-choice", observations=[request("b.test")])
    abouts = ["b.test", "cookie u of b.test", "cookie u of b.test", *(f"cookie {n} of a.test" for n in range(7))]  # fmt: skip
    facts = [Fact(f"fact {n} at {SCRIPT}?y={n}", "no-choice", "arrive", 1500, chain, about)
             for n, about in enumerate(abouts)]  # fmt: skip
    own = Fact("own", "no-choice", "arrive", 1, (f"response of {URL}", URL), "cookie s of a.test")
    found = [
        Verdict("C1", Outcome.FAIL, "", tuple(facts)),
        Verdict("L1", Outcome.FAIL, "", (own, *facts[:3])),
        Verdict("A2", Outcome.UNKNOWN, "no-notice"),
        Verdict("H2", Outcome.UNKNOWN, "needs-server"),
        Verdict("J3", Outcome.NOT_APPLICABLE, "no exempt tracker is declared"),
    ]
    text = shown(
        [done, stopped("no-notice"), replace(stopped("no-notice"), scenario="only:ads")], found
    )
    assert "5 November 2026, 09:00 UTC · 1 page, one browser" in text
    assert "✕ 2 rules broken, 2 not decided, 0 hold, 1 does not apply." in text
    assert (
        "C1 Cookies or other items that need consent are kept on the device before any choice."
        in text
    )
    tag = f'<script src="{SCRIPT}"> in the page'
    assert f"{tag}brings b.test · keeps or sends u, 0, 1, 2, 3, 4 and 2 more · C1 L1" in text
    assert "Cookies that the site’s own server sets with the pagekeeps or sends s · L1" in text
    way = f"started by {tag} → line 3 of {SCRIPT} → a cookie in the answer of {SCRIPT}?…"
    assert text.count(way) == 10 + 3
    seen = "(first visit: first load, before any choice, after 1.5 s)"
    assert f"fact 4 at {SCRIPT}?… {seen}" in text
    assert text.index("fact 4") < text.index("and 5 more") < text.index("fact 5")
    assert "2 tests could not be done: there is no notice to answer" in text
    assert "refusal testtest of accepting only advertising" in text
    assert "? 1 could not be tested: there is no notice to answer" in text
    assert "1 rule: not to be seen from outside: ask the site's engineers H2" in text
    assert "Ask for: " in text
    assert "J3" in text[text.index("1 rule does not apply") :]


def test_what_the_walk_with_the_signal_shares_with_the_first_is_told_once_and_folded() -> None:
    before, again, new = (
        Fact(text, scenario, "arrive", 1, BEGAN)
        for text, scenario in (("old", "no-choice"), ("old", "gpc"), ("new", "gpc"))
    )
    failed = [Verdict("C1", Outcome.FAIL, "", (before,)), Verdict("L1", Outcome.FAIL, "", (again, new))]  # fmt: skip
    text = shown([DONE], failed)
    signal = text[text.index("✕ L1") :]
    assert signal.index("new (") < signal.index("and 1 fact of C1, seen here too old (")
    assert "seen here too" not in shown([DONE], failed[1:])


def test_all_places_that_bring_a_recipient_can_be_read_and_no_notice_has_a_tile() -> None:
    ways = [(f'{URL} <img src="https://b.test/{n}">', URL) for n in range(25)]
    facts = tuple(Fact(f"fact {n}", "no-choice", "arrive", 1, way) for n, way in enumerate(ways))
    done = replace(DONE, scenario="no-choice", observations=[request("b.test", chain=one) for one in ways])  # fmt: skip
    text = shown([done], [Verdict("A1", Outcome.FAIL, "", facts)])
    assert "and 24 other places" in text
    assert "and 5 other places" in text
    assert text.count('<img src="https://b.test/24">') == 3  # as a recipient's, to remove, as proof
    tiles = text[text.index("The behaviours") : text.index("Who receives data")]
    assert "✕ broken Things happen that need consent, and no notice asks for it. (A1)" in tiles.replace("broken", "broken ").replace("  ", " ")  # fmt: skip


def test_facts_that_differ_in_made_up_names_alone_are_told_once() -> None:
    hosts = [f"bid-{name}.ads.test" for name in ("x1", "x2", "x3")]
    loads = [replace(DONE, scenario="no-choice", number=number, observations=[request(host)])
             for number, host in enumerate(hosts)]  # fmt: skip
    facts = [Fact(f"request to {one}: https://{one}/x?id={one}", "no-choice", "arrive", 1, BEGAN, one)
             for one in hosts]  # fmt: skip
    text = shown(loads, [Verdict("C3", Outcome.FAIL, "", tuple(facts))])
    assert "request to bid-x1.ads.test: https://bid-x1.ads.test/x?… and 2 more like it" in text
    assert "bid-x2" not in text
    assert "brings bid-….ads.test (3 names) · C3" in text


def test_a_page_needs_nothing_but_itself_and_shows_a_picture_once() -> None:
    done = replace(DONE, pictures={"arrive": b"", "refuse": b"", "refuse-reload": b""})
    made = document(URL, [done], [], load(), started=datetime.now(UTC))
    names = [picture_name("refuse", 1, one) for one in ("arrive", "refuse", "refuse-reload")]
    page = html.page(made, dict(zip(names, ["data:a", "data:b", "data:a"], strict=True)))
    assert re.findall('<img src="([^"]*)"', page) == ["data:a", "data:b"]
    assert re.findall(r'(?:src|href)="(?!data:|#)[^"]*"', page) == []


def test_a_report_without_a_browser_for_small_pictures_is_written_without_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def absent() -> str:
        raise BrowserError("there is no chromium here")

    monkeypatch.setattr(thumbnails, "executable", absent)
    done = replace(DONE, pictures={"arrive": b"\x89PNG"})
    write(document(URL, [done], [], load(), started=datetime.now(UTC)), [done], tmp_path, ["html"])
    assert "<img" not in (tmp_path / "report.html").read_text("utf-8")
    assert (tmp_path / "pictures" / "refuse-1-arrive.png").read_bytes() == b"\x89PNG"


def test_an_address_is_cut_and_its_whole_is_kept_as_a_title() -> None:
    made = shortened(f"asked {URL}, http://a.test/s?x=<1: https://b.test/b?y=2: why", URL)
    assert made == (
        f'asked <span title="{URL}">the page</span>, <span title="http://a.test/s?x=">/s?…</span>&lt;1: '
        '<span title="https://b.test/b?y=2">https://b.test/b?…</span>: why'
    )


def test_every_walk_and_every_station_of_one_has_a_name_in_words() -> None:
    source = Path(scenario.__file__).read_text("utf-8")
    found = re.findall(r'(?:mark|arrive|walk|choose)\((?:Goal\.\w+, )?f?"([a-z-]+)"', source)
    assert {"arrive", "refuse", "settings", "against", "dirty"} <= set(found)
    assert [one for one in found if station(one) == one] == []
    assert [one for one in scenario.NAMES if walk(one) == one] == []


def test_a_purpose_of_the_owners_own_is_called_as_he_calls_it() -> None:
    assert walk("only:ads") == "test of accepting only advertising"
    assert walk("only:polls") == "test of accepting only polls"
    assert station("only:ads-reload") == "after accepting only advertising, page loaded again"
    assert station("accept-page-2") == "after accepting, page 2"
