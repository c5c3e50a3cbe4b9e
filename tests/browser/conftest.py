"""A real Chromium, the newspaper as `bandeau demo` serves it, and a site of probes."""

from __future__ import annotations

import fcntl
import json
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import pytest
from playwright.sync_api import (
    Browser,
    BrowserContext,
    Page,
    Playwright,
    expect,
    sync_playwright,
)

from browser.notices import AXE, PEERS, Peer, fetch

FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
ARTICLE = "/international/2017/07/06/paris-moscou"
PARTIES = ("social", "mesure", "video", "etiquettes", "regie", "enchere-x", "creation-x")


@pytest.fixture(scope="session")
def playwright() -> Iterator[Playwright]:
    if not shutil.which("chromium"):
        pytest.skip("there is no chromium here")
    expect.set_options(timeout=15_000)  # ms; machines differ
    with sync_playwright() as made:
        yield made


@pytest.fixture(scope="session")
def chromium(playwright: Playwright) -> Iterator[Browser]:
    browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS)
    yield browser
    browser.close()


@pytest.fixture
def ordinary(playwright: Playwright, tmp_path: Path) -> Iterator[BrowserContext]:
    """A visitor with an ordinary profile: only such a one makes early connections."""
    context = playwright.chromium.launch_persistent_context(
        tmp_path / "profile", executable_path=shutil.which("chromium"), args=FLAGS
    )
    yield context
    context.close()


@dataclass(frozen=True)
class Demo:
    """The newspaper: behind the gate on `port`, Isso on the next one, raw two further on."""

    port: int
    data: Path

    @property
    def url(self) -> str:
        return f"http://lanterne.localhost:{self.port}"

    @property
    def raw(self) -> str:
        return f"http://lanterne.localhost:{self.port + 2}"

    def received(self) -> dict[str, list[dict[str, Any]]]:
        """Return what each third party has received so far."""
        return {party.partition("-")[0]: self._journal(party) for party in PARTIES}

    def total(self) -> int:
        return sum(map(len, self.received().values()))

    def _journal(self, party: str) -> list[dict[str, Any]]:
        address = f"http://127.0.0.1:{self.port}/_journal"
        request = urllib.request.Request(
            address, headers={"Host": f"{party}.localhost:{self.port}"}
        )
        with urllib.request.urlopen(request, timeout=10) as answer:
            found: list[dict[str, Any]] = json.load(answer)
        return found


def free_ports() -> int:
    """Return a port that is free, with the two after it free as well."""
    while True:
        with socket.socket() as one, socket.socket() as two, socket.socket() as three:
            one.bind(("127.0.0.1", 0))
            port: int = one.getsockname()[1]
            try:
                two.bind(("127.0.0.1", port + 1))
                three.bind(("127.0.0.1", port + 2))
            except (OSError, OverflowError):
                continue
            return port


def packed(request: pytest.FixtureRequest, wanted: Iterable[Peer]) -> Path:
    """Return the folder of pinned packages as the registry has them, kept between runs."""
    if not shutil.which("chromium"):
        pytest.skip("there is no chromium here")
    folder = Path(request.config.cache.mkdir("notices"))
    with (folder / "lock").open("w") as lock:  # two workers want the same packages
        fcntl.flock(lock, fcntl.LOCK_EX)
        missing = [one for one in wanted if not (folder / one.folder).is_dir()]
        if missing:
            if not shutil.which("npm"):
                pytest.skip("there is no npm here")
            fetch(folder, missing)
    return folder


@pytest.fixture(scope="session")
def builds(request: pytest.FixtureRequest) -> Path:
    return packed(request, PEERS.values())


@pytest.fixture(scope="session")
def axe(request: pytest.FixtureRequest) -> str:
    """The source of axe-core."""
    return (packed(request, [AXE]) / AXE.folder / "axe.min.js").read_text("utf-8")


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    port, data = free_ports(), tmp_path_factory.mktemp("lanterne")
    process = subprocess.Popen(
        [sys.executable, "-m", "bandeau", "demo", "--port", str(port), "--data", str(data), "--without-gate"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout
    line = process.stdout.readline()
    if not line.startswith("ready "):
        process.kill()
        pytest.fail(f"the newspaper does not start: {line}{process.communicate()[1]}")
    yield Demo(port, data)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=30)


_QUIET = 0.4  # seconds


class Traffic:
    """What a visitor's pages are asking for."""

    def __init__(self, context: BrowserContext) -> None:
        self.open: list[str] = []
        self.last = 0.0
        context.on("request", lambda one: self._heard(one.url, begins=True))
        context.on("requestfinished", lambda one: self._heard(one.url))
        context.on("requestfailed", lambda one: self._heard(one.url))

    def _heard(self, url: str, *, begins: bool = False) -> None:
        self.last = time.monotonic()
        if begins:
            self.open.append(url)
        elif url in self.open:
            self.open.remove(url)


_TRAFFIC: WeakKeyDictionary[BrowserContext, Traffic] = WeakKeyDictionary()
Opened = Callable[..., Page]


@pytest.fixture
def visitor(chromium: Browser) -> Iterator[Callable[..., BrowserContext]]:
    """Make new visitors; `scripts=False` for one without."""
    contexts: list[BrowserContext] = []

    def new(*, scripts: bool = True, **options: Any) -> BrowserContext:
        options.setdefault("locale", "fr-FR")
        options.setdefault("viewport", {"width": 1280, "height": 900})
        contexts.append(chromium.new_context(java_script_enabled=scripts, **options))
        _TRAFFIC[contexts[-1]] = Traffic(contexts[-1])
        contexts[-1].set_default_timeout(10_000)
        return contexts[-1]

    yield new
    for context in contexts:
        context.close()


def names(context: BrowserContext, host: str = "lanterne.localhost") -> set[str]:
    """Return the names of the cookies that lie in the jar for a host."""
    return {
        cookie.get("name", "")
        for cookie in context.cookies()
        if cookie.get("domain", "").endswith(host)
    }


def eventually(page: Page, condition: Callable[[], object], seconds: float = 15.0) -> None:
    """Wait until something holds: machines differ, and a fixed pause is too short on one of them."""
    ends = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < ends, "it never came"
        page.wait_for_timeout(100)


def settle(page: Page) -> None:
    """Wait until a choice has taken effect: stored, and the page followed or loaded anew.

    The time counts from now: a page that was idle before a click is still called idle after it.
    """
    traffic = _TRAFFIC.get(page.context)
    if traffic is None:
        page.wait_for_load_state("networkidle")
        return
    traffic.last, ends = time.monotonic(), time.monotonic() + 15
    while traffic.open or time.monotonic() - traffic.last < _QUIET:
        assert time.monotonic() < ends, f"still asking: {traffic.open}"
        page.wait_for_timeout(50)
