"""What a screen reader is told of each change: once, through AT-SPI, in Firefox."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from browser.conftest import ARTICLE, Demo
from browser.engines import LAUNCHER, Driver, firefox
from browser.test_notice import thorough


class Heard:
    """The sentences that were inserted into live regions, from now on."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._known = len(self.lines())

    def lines(self) -> list[tuple[str, str]]:
        lines = self._file.read_text("utf-8").splitlines() if self._file.exists() else []
        return [(how, text) for how, text in map(json.loads, lines)]

    def new(self, seconds: float = 10.0) -> list[str]:
        """Wait for one, then as long again as it may take a second to come."""
        ends = time.monotonic() + seconds
        while len(self.lines()) == self._known and time.monotonic() < ends:
            time.sleep(0.1)
        time.sleep(1)
        found, self._known = self.lines()[self._known :], len(self.lines())
        assert {how for how, _ in found} <= {"polite"}
        return [text for _, text in found]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("heard")


@pytest.fixture(scope="module")
def reader(place: Path) -> Iterator[Driver]:
    needs = ("firefox-esr", "dbus-run-session", "xvfb-run")
    lacking = [name for name in needs if not shutil.which(name)]
    lacking += [] if Path(LAUNCHER).exists() else ["at-spi2-core"]
    bound = "import gi; gi.require_version('Atspi', '2.0'); from gi.repository import Atspi"
    system = Path("/usr/bin/python3")
    lacking += [] if system.exists() else ["python3 of Debian"]
    if not lacking:
        done = subprocess.run([system, "-c", bound], capture_output=True, text=True, check=False)
        absent = ("No module named 'gi'", "Namespace Atspi not available")
        lacking += ["gir1.2-atspi-2.0"] if any(one in done.stderr for one in absent) else []
        assert lacking or not done.returncode, done.stderr
    if lacking:
        pytest.skip(f"there is no {lacking[0]} here")
    with firefox(place, heard=place / "heard") as driver:
        # Firefox begins to tell some seconds after its start, so a page of the test's own speaks until it is heard.
        (place / "speaks.html").write_text("<!doctype html><p role=status></p>")
        driver.goto((place / "speaks.html").as_uri())
        ends = time.monotonic() + 30
        while ("polite", "test") not in Heard(place / "heard").lines():
            assert time.monotonic() < ends, "nothing is heard"
            driver.js("document.querySelector('p').replaceChildren('test')")
            time.sleep(0.2)
        yield driver


@pytest.fixture
def heard(reader: Driver, place: Path, demo: Demo) -> Heard:
    reader.goto(demo.url)
    reader.forget()
    reader.goto(demo.url + ARTICLE)
    reader.until("document.readyState", "complete")
    time.sleep(1)
    return Heard(place / "heard")


def sentence(reader: Driver, key: str) -> str:
    return str(reader.js(f"document.querySelector('#bandeau-state').dataset.{key}"))


def click(reader: Driver, selector: str) -> None:
    reader.js(f"document.querySelector('{selector}').click()")


@thorough
def test_a_refusal_is_told_once(reader: Driver, heard: Heard) -> None:
    told = sentence(reader, "saved")
    click(reader, "#bandeau button[value=none]")
    assert heard.new() == [told]


@thorough
def test_a_failure_is_told_once(reader: Driver, heard: Heard) -> None:
    told = sentence(reader, "failed")
    reader.js("document.querySelector('#bandeau form').setAttribute('action', '/_b/nothing')")
    click(reader, "#bandeau button[value=all]")
    assert heard.new() == [told]


@thorough
def test_an_agreement_that_would_lose_words_is_told_once(reader: Driver, heard: Heard) -> None:
    told = sentence(reader, "reload")
    reader.js("dispatchEvent(new Event('input'))")
    click(reader, "#bandeau button[value=all]")
    (said,) = heard.new()
    assert said.startswith(told)


@thorough
def test_what_a_placeholder_opens_is_told_by_focus_alone(reader: Driver, heard: Heard) -> None:
    click(reader, "#bandeau button[value=none]")
    assert len(heard.new()) == 1
    reader.leave(lambda: click(reader, "[data-bandeau-needs=video] button"))
    reader.until("document.activeElement.tagName", "IFRAME")
    assert heard.new(2.0) == []
