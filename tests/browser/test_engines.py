"""The newspaper in the other two engines: choices, what a withdrawal removes, tabs, the back button."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from browser.conftest import ARTICLE, Demo
from browser.engines import ENGINES, ENTER, ESCAPE, TAB, Driver, missing
from browser.test_notice import SEEN, STYLES, thorough

TECHNICAL = {"bandeau", "lanterne_session", "lanterne_depuis"}
GRANTED = "document.querySelector('#bandeau-state').dataset.granted"
KEPT = "localStorage.length + sessionStorage.length"


@pytest.fixture
def browser(started: Driver, demo: Demo) -> Driver:
    """Be a visitor who has not chosen, and is asked."""
    started.goto(demo.url)
    for _ in range(20):
        started.forget()  # which WebKitGTK does in another process, now or in a moment
        started.goto(demo.url)
        if started.js("document.querySelector('#bandeau') !== null"):
            return started
        time.sleep(0.2)
    raise AssertionError("the choice is not forgotten")


@pytest.fixture(params=ENGINES, scope="module")
def started(
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
    written = browser.cookies() - TECHNICAL
    assert written

    browser.goto(f"{demo.url}/_b/settings?back=/")
    quiet(demo)
    press(browser, "button[value=none]")
    browser.until(GRANTED, "")
    assert browser.cookies() == TECHNICAL
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
    assert browser.cookies() == TECHNICAL


def save(browser: Driver, demo: Demo, *purposes: str) -> None:
    """Save settings with exactly these purposes ticked."""
    browser.goto(f"{demo.url}/_b/settings?back={ARTICLE}")
    wanted = "[" + ", ".join(f"'{one}'" for one in purposes) + "]"
    browser.js(
        "document.querySelectorAll('#bandeau-settings input[type=checkbox]').forEach("
        f"box => {{ box.checked = {wanted}.includes(box.value) }})"
    )
    press(browser, "button[value=save]")
    browser.until("location.pathname", ARTICLE)


def held(browser: Driver) -> int:
    return int(browser.js("document.querySelectorAll('[data-bandeau-needs=social]').length"))


def test_S3_S7_a_refusal_holds_and_can_be_changed(demo: Demo, browser: Driver) -> None:
    save(browser, demo)
    before = quiet(demo)
    for path in ("/", ARTICLE, "/en" + ARTICLE):
        browser.goto(demo.url + path)
        browser.until(GRANTED, "")
    assert browser.cookies() == TECHNICAL
    assert browser.js(KEPT) == 0
    assert quiet(demo) == before
    save(browser, demo, "audience")
    browser.goto(demo.url + ARTICLE)
    browser.until(GRANTED, "audience")
    assert quiet(demo) > before
    save(browser, demo)
    browser.until(GRANTED, "")


def test_S5_S8_social_networks_open_in_place_and_close_together(
    demo: Demo, browser: Driver
) -> None:
    form = "document.querySelectorAll('iframe[src*=\"/commentaires/\"]').length"
    save(browser, demo)
    assert held(browser) == 3
    assert browser.js(form) == 0
    press(browser, ".comments [data-bandeau-needs=social] button")
    browser.until(GRANTED, "social")
    assert browser.js("location.pathname") == ARTICLE
    assert browser.js(form) == 1
    assert held(browser) == 0
    browser.until("document.cookie.includes('agora_id')", wanted=True)
    save(browser, demo, "profiles", "audience", "ads", "video")
    assert held(browser) == 3
    assert browser.js(form) == 0
    assert "agora_id" not in browser.cookies()
    assert browser.js("localStorage.getItem('agora_id')") is None
    save(browser, demo)


def test_accept_refuse_and_settings_look_alike_in_both_layers(demo: Demo, browser: Driver) -> None:
    for path, layer in (("/", "#bandeau"), ("/_b/settings", "#bandeau-settings")):
        browser.goto(demo.url + path)
        different, boxes, read = browser.js(
            f"({STYLES})([...document.querySelectorAll('{layer} button')])"
        )
        assert read > 200
        assert different == []
        assert boxes[0] == boxes[1] == boxes[2]
        assert boxes[0][1] >= 44


def test_keys_reach_refusal_in_three_and_escape_grants_nothing(demo: Demo, browser: Driver) -> None:
    browser.goto(demo.url)
    browser.keys(TAB, ESCAPE, TAB, ESCAPE, TAB, ESCAPE)
    browser.until("document.activeElement.value", "none")
    assert browser.js(GRANTED) == ""
    assert "bandeau" not in browser.cookies()
    browser.keys(ENTER)
    browser.until("document.querySelector('#bandeau')", None)
    browser.until(
        "document.querySelector('#bandeau-state [role=status]').textContent != ''", wanted=True
    )
    assert browser.js(GRANTED) == ""


def still(browser: Driver) -> None:
    """Wait until what has focus is scrolled to, which WebKitGTK does smoothly."""
    place = None
    while place != (place := browser.js("scrollY")):
        time.sleep(0.2)


@thorough
def test_what_has_focus_is_never_under_the_notice(demo: Demo, browser: Driver) -> None:
    browser.goto(demo.url)
    stops = 0
    for _ in range(40):
        browser.keys(TAB)
        still(browser)
        one = browser.js(f"({SEEN})()")
        if one["body"]:
            break
        assert one["seen"], one
        stops += 1
    assert stops > 15


@thorough
def test_focus_goes_to_what_was_opened(demo: Demo, browser: Driver) -> None:
    browser.goto(demo.url + ARTICLE)
    browser.js("document.querySelector('#bandeau button[value=none]').click()")
    browser.until("document.querySelector('#bandeau')", None)
    title = browser.js(
        "document.querySelector('[data-bandeau-needs=video]').nextElementSibling.title"
    )
    press(browser, "[data-bandeau-needs=video] button")
    browser.until("document.activeElement.title", title)
