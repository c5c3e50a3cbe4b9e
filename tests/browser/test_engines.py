"""The newspaper in the other two engines: choices, what a withdrawal removes, tabs, the back button."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from browser.conftest import ARTICLE, Demo
from browser.engines import ENGINES, Driver, missing

GRANTED = "document.querySelector('#bandeau-state').dataset.granted"
KEPT = "localStorage.length + sessionStorage.length"


@pytest.fixture(params=ENGINES, scope="module")
def browser(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Driver]:
    lacking = missing(request.param)
    if lacking:
        pytest.skip(f"there is no {lacking} here")
    with ENGINES[request.param](tmp_path_factory.mktemp("profile")) as driver:
        yield driver


def press(browser: Driver, selector: str) -> None:
    browser.leave(lambda: browser.js(f"document.querySelector('{selector}').click()"))


def quiet(demo: Demo, seconds: float = 1.0) -> int:
    """Return how much third parties have received, once nothing more comes in."""
    total = -1
    while total != (total := demo.total()):
        time.sleep(seconds)
    return total


def test_a_withdrawal_takes_everything_back_everywhere(demo: Demo, browser: Driver) -> None:
    before = quiet(demo)
    browser.goto(demo.url + ARTICLE)
    time.sleep(1)
    assert demo.total() == before, "before a choice"
    press(browser, "#bandeau button[value=all]")
    browser.until(f"{GRANTED} != ''", wanted=True)
    browser.goto(demo.url + ARTICLE)
    browser.until("document.readyState", "complete")
    assert quiet(demo) > before, "after a grant"
    first = browser.tab()
    second = browser.new_tab()
    browser.switch(second)
    browser.goto(demo.url + "/")
    browser.switch(first)
    written = browser.cookies() - {"bandeau", "lanterne_session"}
    assert written

    browser.goto(f"{demo.url}/_b/settings?back=/")
    quiet(demo)
    press(browser, "button[value=none]")
    browser.until(GRANTED, "")
    assert browser.cookies() == {"bandeau", "lanterne_session"}
    assert browser.js(KEPT) == 0
    after = quiet(demo)

    browser.switch(second)
    browser.until(GRANTED, "")
    browser.goto(demo.url + ARTICLE)
    browser.switch(first)
    browser.back()
    browser.back()
    browser.until("location.pathname", ARTICLE)
    browser.until(GRANTED, "")
    assert browser.js("document.querySelectorAll('iframe[src*=\"social.localhost\"]').length") == 0
    assert quiet(demo) == after, "after a withdrawal"
    assert browser.cookies() == {"bandeau", "lanterne_session"}
