"""Three engines behind one small driver, by what each brings: WebKitWebDriver and Firefox's Marionette.

Both speak WebDriver's commands (W3C WebDriver 2), the one over HTTP, the other as length-prefixed JSON on
a socket. Chromium is driven by Playwright elsewhere.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

QUIET = {
    "app.update.enabled": False,
    "browser.aboutwelcome.enabled": False,
    "browser.shell.checkDefaultBrowser": False,
    "browser.startup.homepage_override.mstone": "ignore",
    "datareporting.policy.dataSubmissionEnabled": False,
    "network.captive-portal-service.enabled": False,
    "network.connectivity-service.enabled": False,
}
# What a command is called by Marionette, and its method and path over HTTP.
COMMANDS = {
    "WebDriver:Navigate": ("POST", "/url"),
    "WebDriver:Back": ("POST", "/back"),
    "WebDriver:ExecuteScript": ("POST", "/execute/sync"),
    "WebDriver:PerformActions": ("POST", "/actions"),
    "WebDriver:GetCookies": ("GET", "/cookie"),
    "WebDriver:DeleteAllCookies": ("DELETE", "/cookie"),
    "WebDriver:NewWindow": ("POST", "/window/new"),
    "WebDriver:SwitchToWindow": ("POST", "/window"),
    "WebDriver:GetWindowHandle": ("GET", "/window"),
}
TAB, ENTER, ESCAPE = "\ue004", "\ue007", "\ue00c"
Command = Callable[[str, dict[str, Any]], Any]


class Driver:
    """A browser with one visitor."""

    def __init__(self, command: Command) -> None:
        self._command = command

    def goto(self, url: str) -> None:
        self._command("WebDriver:Navigate", {"url": url})

    def back(self) -> None:
        self._command("WebDriver:Back", {})

    def js(self, expression: str) -> Any:
        """Return what an expression comes to in the page."""
        return self._command(
            "WebDriver:ExecuteScript", {"script": f"return {expression}", "args": []}
        )

    def keys(self, *keys: str) -> None:
        """Press keys one after another (WebDriver 2, 15.4.2: those without a character have a number)."""
        steps = [{"type": kind, "value": key} for key in keys for kind in ("keyDown", "keyUp")]
        self._command(
            "WebDriver:PerformActions", {"actions": [{"type": "key", "id": "k", "actions": steps}]}
        )

    def cookies(self) -> set[str]:
        """Return the names of the cookies that the page's address gets, HttpOnly ones too."""
        return {cookie["name"] for cookie in self._command("WebDriver:GetCookies", {})}

    def forget(self) -> None:
        """Be a new visitor to the site whose page this is."""
        self._command("WebDriver:DeleteAllCookies", {})

    def new_tab(self) -> str:
        """Open a tab and return its handle; the tab in front stays the same."""
        return str(self._command("WebDriver:NewWindow", {"type": "tab"})["handle"])

    def tab(self) -> str:
        return str(self._command("WebDriver:GetWindowHandle", {}))

    def switch(self, handle: str) -> None:
        self._command("WebDriver:SwitchToWindow", {"handle": handle})

    def until(self, expression: str, wanted: Any, seconds: float = 10.0) -> None:
        """Wait until an expression comes to something; pages may be changing meanwhile."""
        ends, found = time.monotonic() + seconds, None
        while time.monotonic() < ends:
            with contextlib.suppress(RuntimeError):
                found = self.js(expression)
                if found == wanted:
                    return
            time.sleep(0.1)
        raise AssertionError(f"{expression} is {found!r}, not {wanted!r}")

    def leave(self, act: Callable[[], object]) -> None:
        """Do what loads another page, or this one anew, and wait until that has come."""
        self.js("window.before = true")
        act()
        self.until("document.readyState == 'complete' && !window.before", wanted=True)


@contextlib.contextmanager
def process(command: list[str], home: Path | None = None) -> Iterator[subprocess.Popen[bytes]]:
    """Run a program with all that it starts, in a home of its own, and end all of it.

    It gets no message bus: what a bus starts outlives the program, a file system among it that
    stays mounted under the home, where nobody can remove it.
    """
    environment = {**os.environ, "DBUS_SESSION_BUS_ADDRESS": "disabled:"}
    if home:
        environment |= {"HOME": str(home), "XDG_RUNTIME_DIR": str(home)}
    running = subprocess.Popen(
        command,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        yield running
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(running.pid, signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            running.wait(5)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(running.pid, signal.SIGKILL)
        running.wait(5)


# On a screen and a bus of its own, with a listener beside it.
HEARD = """{launcher} --launch-immediately & /usr/bin/python3 {listener} > {heard} &
GNOME_ACCESSIBILITY=1 exec firefox-esr --marionette --no-remote --profile {home}"""
LAUNCHER = "/usr/libexec/at-spi-bus-launcher"


@contextlib.contextmanager
def firefox(
    home: Path, more: Mapping[str, bool] | None = None, heard: Path | None = None
) -> Iterator[Driver]:
    """Start Firefox with a profile in `home`; `more` are preferences.

    What a screen reader would hear is written to `heard` (see `hears`).
    """
    port = free_port()
    preferences = {
        **QUIET,
        **(more or {}),
        "marionette.port": port,
        "accessibility.force_disabled": -1 if heard else 0,
    }
    lines = [
        f"user_pref({json.dumps(name)}, {json.dumps(value)});"
        for name, value in preferences.items()
    ]
    (home / "user.js").write_text("\n".join(lines))
    command = ["firefox-esr", "--headless", "--marionette", "--no-remote", "--profile", str(home)]
    if heard:
        listener = Path(__file__).with_name("hears.py")
        script = HEARD.format(launcher=LAUNCHER, listener=listener, heard=heard, home=home)
        command = ["dbus-run-session", "--", "xvfb-run", "-a", "sh", "-c", script]
    with process(command, home), connected(port) as link:
        stream = link.makefile("rwb")
        serial = 0

        def read() -> Any:
            size = b""
            while not size.endswith(b":"):
                size += stream.read(1)
            return json.loads(stream.read(int(size[:-1])))

        def ask(name: str, body: dict[str, Any]) -> Any:
            nonlocal serial
            serial += 1
            message = json.dumps([0, serial, name, body]).encode()
            stream.write(b"%d:%s" % (len(message), message))
            stream.flush()
            _, _, error, result = read()
            if error:
                raise RuntimeError(f"{name}: {error.get('message')}")
            return (
                result["value"] if isinstance(result, dict) and set(result) == {"value"} else result
            )

        read()  # its greeting
        ask("WebDriver:NewSession", {})
        yield Driver(ask)


@contextlib.contextmanager
def webkit(home: Path) -> Iterator[Driver]:
    port = free_port()
    browser = max(map(str, Path("/usr/lib").glob("*/webkit2gtk-4.*/MiniBrowser")))
    command = ["xvfb-run", "-a", "WebKitWebDriver", f"--port={port}"]
    with process(command, home):
        connected(port).close()
        base = f"http://127.0.0.1:{port}/session"

        def send(method: str, url: str, body: dict[str, Any]) -> Any:
            data = json.dumps(body).encode() if method == "POST" else None
            request = urllib.request.Request(url, data, method=method)
            try:
                with urllib.request.urlopen(request, timeout=60) as answer:
                    return json.load(answer)["value"]
            except urllib.error.HTTPError as error:
                raise RuntimeError(f"{url}: {json.load(error)['value'].get('message')}") from None

        options = {"binary": browser, "args": ["--automation"]}
        wanted = {"alwaysMatch": {"webkitgtk:browserOptions": options}}
        session = f"{base}/{send('POST', base, {'capabilities': wanted})['sessionId']}"

        def ask(name: str, body: dict[str, Any]) -> Any:
            method, path = COMMANDS[name]
            return send(method, session + path, body)

        yield Driver(ask)
        send("DELETE", session, {})


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


def connected(port: int, seconds: float = 60.0) -> socket.socket:
    ends = time.monotonic() + seconds
    while True:
        try:
            return socket.create_connection(("127.0.0.1", port), 60)
        except OSError:
            if time.monotonic() > ends:
                raise
            time.sleep(0.05)


ENGINES = {"WebKitGTK": webkit, "Firefox": firefox}
NEEDS = {"WebKitGTK": "WebKitWebDriver", "Firefox": "firefox-esr"}


def missing(engine: str) -> str | None:
    """Return what has to be installed for an engine, or None."""
    needs = [NEEDS[engine]] + (["xvfb-run"] if engine == "WebKitGTK" else [])
    return next((name for name in needs if not shutil.which(name)), None)
