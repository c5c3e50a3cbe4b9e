"""`./dev bench notice`, tried on bandeau alone."""

from __future__ import annotations

import os
import runpy
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser


@pytest.fixture(scope="module")
def bench() -> dict[str, Any]:
    return runpy.run_path(str(Path(__file__).resolve().parents[2] / "bench" / "notice.py"))


@pytest.mark.skipif(
    "BANDEAU_PROVE" not in os.environ, reason="BANDEAU_PROVE=1 measures a page in every way"
)
def test_every_row_is_measured_of_a_page_behind_the_gate(
    bench: dict[str, Any], chromium: Browser
) -> None:
    try:
        axe = (bench["installed"]("axe", bench["AXE"]) / "axe-core" / "axe.min.js").read_text()
    except OSError:
        axe = ""
    with bench["served"]({"bandeau": bench["HERE"]}) as street:
        made = bench["Bench"](chromium, street, axe)
        cells = made.once("bandeau") | made.rounds(["bandeau"], 1)["bandeau"]
        with made.visitor(**bench["DESK"]) as context:
            street.asked.clear()
            bare = made.through(made.opened(context.new_page(), "bare", "/probes"))
    assert list(bench["ROWS"]) == sorted(cells, key=list(bench["ROWS"]).index)
    missing = {row for row, cell in cells.items() if cell.text.startswith("not measured")}
    assert missing == (set() if axe else {"axe", "axe-more"})
    assert bare.worth == 6
    assert (cells["before"].text, cells["after"].text) == ("1 (script)", "1 (script)")
    held = (
        "alike",
        "csp",
        "types",
        "off",
        "unreadable",
        "shift",
        *(("axe", "axe-more") if axe else ()),
    )
    assert {row: cells[row].text for row in held if cells[row].worth} == {}
    assert cells["script"].worth > 0
    assert cells["brotli"].worth + cells["html"].worth == cells["all"].worth


def test_a_row_says_who_is_before_bandeau_and_why(bench: dict[str, Any]) -> None:
    cell, place = bench["Cell"], bench["place"]
    table = {"bandeau": {"tabs": cell("3", 3)}, "klaro": {"tabs": cell("9", 9)}}
    assert place("tabs", table) == "first"
    table["dsfr"] = {"tabs": cell("3", 3)}
    assert place("tabs", table) == "first, with others"
    table["c15t"] = {"tabs": cell("1", 1)}
    assert place("tabs", table) == f"after c15t. {bench['REASONS']['tabs']}"
    table["bandeau"] = {"tabs": cell("not measured: it broke")}
    assert place("tabs", table) == "not measured"
