"""Everything that a browser runs, watched before its first line runs; what comes of it is kept raw.

Each target (page, frame, worker, service worker) is held at its start until it is watched, and so is
whatever it opens, at any depth. A target that could not be watched is evidence too: nothing may be
called clean behind it.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import secrets
import shutil
import subprocess
import time
from collections.abc import Coroutine
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from bandeau.audit.pipe import Browser, BrowserError, Params, environment

# As visitors meet it: no mark of automation, and nothing that the browser asks of anybody by itself.
FLAGS = (
    "--headless=new",
    "--no-first-run",
    "--no-default-browser-check",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-domain-reliability",
    "--disable-extensions",
    "--disable-sync",
    "--gaia-url=http://127.0.0.1:9",  # else it asks Google for accounts, and keeps the cookies
    "--disable-blink-features=AutomationControlled",
    # Else each page has a frame of its own, and nobody hears what is sent as one is left.
    "--disable-features=BackForwardCache,RenderDocument",
    "--hide-scrollbars",
    "--mute-audio",
    "--password-store=basic",
)
# Third-party cookies allowed: what the site would do to a visitor whom no browser protects.
PERMISSIVE = {"profile": {"cookie_controls_mode": 0, "block_third_party_cookies": False}}
_NOT_OURS = ("tab", "browser", "browser_ui", "webview")
_DOCUMENTS = ("page", "iframe")
_KNOWN = (*_DOCUMENTS, "worker", "shared_worker", "service_worker")  # worklets and such know less
_KEPT = ("Network.", "DOMStorage.", "Page.frame", "Page.download")
_NO_EVIDENCE = ("Network.dataReceived", "Network.resourceChangedPriority", "Network.policyUpdated")
_BARRED = "ContentSecurityPolicyIssue"  # of the issues that a browser tells, the only evidence
_ENDED = "navigated or closed"  # of Chromium's answer on a target that is no more
_POLL = 0.03  # seconds
_POLLS = 500
_AGENT = (
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko)"
    " Chrome/{}.0.0.0 Safari/537.36"
)
_BROWSERS = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome")
_ATTACH: Params = {
    "autoAttach": True,
    "waitForDebuggerOnStart": True,
    "flatten": True,
    "filter": [*({"type": kind, "exclude": True} for kind in _NOT_OURS), {}],
}


@dataclass(frozen=True, slots=True)
class Setting:
    """How a browser is set up for one run; all of it is stated in the report."""

    permissive: bool = True  # third-party cookies allowed
    scripts: bool = True
    gpc: bool = False
    language: str = "fr-FR"
    time_zone: str = "Europe/Paris"
    window: tuple[int, int] = (1280, 900)  # CSS pixels


@dataclass(slots=True)
class Raw:
    """One event as the browser told it: milliseconds since the start, session, method, parameters."""

    at: int
    session: str
    method: str
    params: Params


@dataclass(slots=True)
class Target:
    """Something that runs code: what it is, its address, who opened it, and whether it is watched."""

    id: str
    type: str
    url: str
    opener: str  # a session; "": the browser
    watched: bool = False


class Chromium:
    """One browser process, in which walks are watched side by side. Made by `started`."""

    def __init__(self) -> None:
        self.version = self.agent = ""
        self.watches: dict[str, Watch] = {}  # by context; "": the profile's own
        self._sessions: dict[str, Watch] = {}
        self._browser: Browser | None = None

    @classmethod
    async def started(cls, setting: Setting, profile: Path, *, path: str | None = None) -> Chromium:
        """Start a browser on a profile, fresh or left by an earlier run. Raises BrowserError.

        Third-party cookies, language and time zone are those of the setting, for all walks in it.
        """
        path = path or executable()
        if setting.permissive and not (profile / "Default").exists():
            (profile / "Default").mkdir(parents=True)
            (profile / "Default" / "Preferences").write_text(json.dumps(PERMISSIVE), "utf-8")
        made = cls()
        made.agent = _AGENT.format(await asyncio.to_thread(_major, path))
        command = [
            path,
            *FLAGS,
            f"--user-data-dir={profile}",
            f"--user-agent={made.agent}",
            f"--lang={setting.language}",
            f"--accept-lang={setting.language}",
            "--no-startup-window",
        ]
        made._browser = await Browser.start(
            command, made._event, environment=environment(profile, setting.time_zone)
        )
        try:
            made.version = str((await made.call("Browser.getVersion"))["product"])
            await made.call("Target.setAutoAttach", _ATTACH)
        except BaseException:  # also when time is up: nobody else knows this browser yet
            await made.stop()
            raise
        return made

    @property
    def gone(self) -> bool:
        """Say whether the process has ended."""
        return self._browser is None or self._browser.gone.is_set()

    async def call(self, method: str, params: Params | None = None, session: str = "") -> Params:
        """Call a method of the browser or of a session. Raises BrowserError."""
        if self._browser is None:
            raise BrowserError(f"{method}: the browser is gone")
        return await self._browser.call(method, params, session)

    async def stop(self) -> None:
        """End the browser, and with it every walk."""
        if self._browser:
            await self._browser.stop()

    def _event(self, method: str, params: Params, session: str) -> None:
        """Tell an event to the watch that it is of: a target's by its context, or by its opener."""
        watch = self._sessions.get(session)
        if method == "Target.attachedToTarget":
            context = params["targetInfo"].get("browserContextId", "")
            watch = watch or self.watches.get(context) or self.watches.get("")
            if watch:
                self._sessions[params["sessionId"]] = watch
        elif method == "Target.detachedFromTarget":
            watch = self._sessions.pop(params["sessionId"], None)
        if watch:
            watch.event(method, params, session)


class Watch:
    """One walk's part of a browser, of which everything is watched; `close` when done.

    Made by `opened`, in a browser of its own, or by `within`, in a context of a browser that others use
    too: such a one has a jar, storage, caches and workers of its own, and keeps none of them.
    """

    def __init__(self, setting: Setting, browser: Chromium, context: str = "") -> None:
        self.setting = setting
        self.browser = browser
        self.context: Params = {"browserContextId": context} if context else {}  # in calls
        self.events: list[Raw] = []
        self.targets: dict[str, Target] = {}  # by session
        self.unwatched: list[str] = []  # what could not be watched, and why
        self._began = self._heard = time.monotonic()
        self._busy: set[tuple[str, str]] = set()  # sessions and their requests in flight
        self._binding = f"_{secrets.token_hex(8)}"
        self._tasks: set[asyncio.Task[None]] = set()
        self._waiting: dict[
            str, int
        ] = {}  # sessions not watched yet, and how many events came before
        source = (files("bandeau.audit") / "instrument.js").read_text("utf-8")
        gpc = "true" if setting.gpc else "false"
        source = source.replace("(NAME, GPC)", f"({json.dumps(self._binding)}, {gpc})")
        self._instrument = source.replace("sourceURL=NAME", f"sourceURL={self._binding}")
        browser.watches[context] = self

    @classmethod
    async def opened(cls, setting: Setting, profile: Path, *, path: str | None = None) -> Watch:
        """Start a browser on a profile, fresh or left by an earlier run. Raises BrowserError."""
        return cls(setting, await Chromium.started(setting, profile, path=path))

    @classmethod
    async def within(cls, setting: Setting, browser: Chromium) -> Watch:
        """Begin afresh in a browser that others use too. Raises BrowserError."""
        made = await browser.call("Target.createBrowserContext", {"disposeOnDetach": True})
        return cls(setting, browser, made["browserContextId"])

    async def call(self, method: str, params: Params | None = None, session: str = "") -> Params:
        """Call a method of the browser or of a session. Raises BrowserError."""
        return await self.browser.call(method, params, session)

    async def page(self) -> str:
        """Open a window and return its session, watched and empty."""
        width, height = self.setting.window
        window = {"url": "about:blank", "newWindow": True, "width": width, "height": height}
        made = (await self.call("Target.createTarget", window | self.context))["targetId"]
        for _ in range(_POLLS):
            for session, target in self.targets.items():
                if target.id == made and target.watched:
                    return session
            await asyncio.sleep(_POLL)
        raise BrowserError("a window was opened, but could not be watched")

    async def go(self, session: str, url: str) -> None:
        """Open an address in a window and wait until its document is read. Raises BrowserError."""
        found = await self.call("Page.navigate", {"url": url}, session)
        if found.get("errorText"):
            raise BrowserError(f"{url}: {found['errorText']}")
        for _ in range(_POLLS):
            with contextlib.suppress(BrowserError):  # between two documents there is none to ask
                if await self.evaluate(session, "document.readyState") == "complete":
                    return
            await asyncio.sleep(_POLL)

    def answer(self, session: str) -> tuple[int, dict[str, str]]:
        """Return status and headers (in lower case) of a window's latest document; 0 without one."""
        wanted = ("Document", self.targets[session].id)
        for event in reversed(self.events):
            if event.method == "Network.responseReceived":
                response = event.params["response"]
                if (event.params["type"], event.params.get("frameId")) == wanted:
                    headers = response["headers"].items()
                    return response["status"], {name.lower(): text for name, text in headers}
        return 0, {}

    async def evaluate(self, session: str, expression: str) -> Any:
        """Return the value of an expression in a page. Raises BrowserError where it throws."""
        asked = {"expression": expression, "returnByValue": True, "awaitPromise": True}
        found = await self.call("Runtime.evaluate", asked, session)
        if "exceptionDetails" in found:
            raise BrowserError(f"in the page: {found['exceptionDetails'].get('text')}")
        return found["result"].get("value")

    async def cookies(self) -> list[Params]:
        """Return the whole jar."""
        cookies: list[Params] = (await self.call("Storage.getCookies", self.context))["cookies"]
        return cookies

    async def settled(self, quiet: float = 0.5, most: float = 10.0) -> str:
        """Wait until nothing is in flight and no evidence came for `quiet` s; say what ended it.

        The time counts from now: what a click sets going is not there yet when the click returns. A page
        that is kept from running, by its own work or by other walks, is not quiet: it has to answer.
        """
        self._heard = time.monotonic()
        ends = self._heard + most
        while (now := time.monotonic()) < ends:
            if not self._busy and now - self._heard >= quiet:
                before = self._heard
                if await self._answer(ends - now) and self._heard == before:
                    return "quiet"
            await asyncio.sleep(_POLL)
        return "time"

    async def _answer(self, seconds: float) -> bool:
        """Say whether every window comes to answer; one that is closed need not."""
        pages = [one for one, target in self.targets.items() if target.type == "page"]
        asked = (self.call("Runtime.evaluate", {"expression": "0"}, one) for one in pages)
        try:
            async with asyncio.timeout(seconds):
                await asyncio.gather(*asked, return_exceptions=True)
        except TimeoutError:
            return False
        return True

    def mark(self, station: str) -> None:
        """Note that a station of the walk begins."""
        self._add("", "bandeau.station", {"name": station})

    def note(self, method: str, params: Params) -> None:
        """Add evidence of our own reading, as the jar at a station; `method` begins with "bandeau."."""
        self._add("", method, params)

    def unready(self) -> list[str]:
        """Return what is not ready and so was not watched, where a station was read since it came."""
        found = []
        for session, before in self._waiting.items():
            target = self.targets[session]
            read = any(event.method == "bandeau.jar" for event in self.events[before:])
            if read and target.type in _KNOWN:
                found.append(f"{target.type} {target.url}: it was never ready to be watched")
        return found

    async def close(self) -> None:
        """End it; what is not ready then never was."""
        self.unwatched += self.unready()
        for task in list(self._tasks):
            task.cancel()
        if self.context:
            with contextlib.suppress(BrowserError):
                await self.call("Target.disposeBrowserContext", self.context)
            del self.browser.watches[self.context["browserContextId"]]
        else:
            await self.browser.stop()

    def event(self, method: str, params: Params, session: str) -> None:
        """Hear an event; `session` is a target's, or "" of the browser."""
        if method == "Target.attachedToTarget":
            self._do(self._attached(params, session))
            return
        if method == "Target.detachedFromTarget":
            self._busy = {one for one in self._busy if one[0] != params["sessionId"]}
            self._waiting.pop(params["sessionId"], None)
            return
        if method == "Target.targetInfoChanged":
            return
        if method == "Page.javascriptDialogOpening":
            self._do(self.call("Page.handleJavaScriptDialog", {"accept": True}, session))
        if method == "Runtime.bindingCalled":
            if params.get("name") != self._binding:
                return
            with contextlib.suppress(ValueError):
                self._add(session, "bandeau.script", json.loads(params["payload"]))
            return
        self._count(method, params, session)
        barred = method == "Audits.issueAdded" and params["issue"]["code"] == _BARRED
        if barred or (method.startswith(_KEPT) and method not in _NO_EVIDENCE):
            self._add(session, method, params)

    def _count(self, method: str, params: Params, session: str) -> None:
        """Follow what is in flight; streams and what never left the page never end."""
        if method == "Network.requestWillBeSent":
            local = params["request"]["url"].startswith(("data:", "blob:"))
            if params.get("type") not in ("EventSource", "WebSocket") and not local:
                self._busy.add((session, params["requestId"]))
        elif method in ("Network.loadingFinished", "Network.loadingFailed"):
            ended = params["requestId"]  # a worker's script ends in the worker's session
            self._busy = {one for one in self._busy if one[1] != ended}
        elif method == "Network.responseReceived":
            kind = params["response"].get("mimeType")
            if kind == "text/event-stream":
                self._busy.discard((session, params["requestId"]))

    async def _attached(self, params: Params, opener: str) -> None:
        """Watch a target that waits at its start, then let it run."""
        session, info = params["sessionId"], params["targetInfo"]
        target = Target(info["targetId"], info["type"], info["url"], opener)
        self.targets[session] = target
        self._waiting[session] = len(self.events)
        self._add(
            session, "bandeau.target", {"type": target.type, "url": target.url, "opener": opener}
        )
        try:
            if await self._prepare(session, target):
                target.watched = True
            elif params["waitingForDebugger"]:  # a worker whose script is not there, for one
                del self.targets[session]  # it ended as it waited: nothing of it ran
            else:
                self.unwatched.append(f"{target.type} {target.url}: it ended before it was watched")
        except BrowserError as error:
            if not self.browser.gone and session in self.targets:
                self.unwatched.append(f"{target.type} {target.url}: {error}")
        finally:
            self._waiting.pop(session, None)

    async def _prepare(self, session: str, target: Target) -> bool:
        """Send all at once, and last that it may run: some answer only when they do, in this order.

        Returns False where the target ended before it was told so. Raises BrowserError.
        """
        document = target.type in _DOCUMENTS
        calls: list[tuple[str, Params]] = [
            ("Network.enable", {"maxTotalBufferSize": 0, "maxResourceBufferSize": 0}),
            ("Runtime.enable", {}),
            ("Runtime.setAsyncCallStackDepth", {"maxDepth": 32}),  # an image is asked for later
            ("Runtime.addBinding", {"name": self._binding}),
            ("Target.setAutoAttach", _ATTACH),
        ]
        if self.setting.gpc:
            calls.append(("Network.setExtraHTTPHeaders", {"headers": {"Sec-GPC": "1"}}))
        if document:
            source = {"source": self._instrument, "runImmediately": True}
            calls += [
                ("Page.enable", {}),
                ("DOMStorage.enable", {}),
                ("Audits.enable", {}),
                ("Page.addScriptToEvaluateOnNewDocument", source),
            ]
            if not self.setting.scripts:
                calls.append(("Emulation.setScriptExecutionDisabled", {"value": True}))
        else:
            calls.append(("Runtime.evaluate", {"expression": self._instrument}))
        calls.append(("Runtime.runIfWaitingForDebugger", {}))
        answers = await asyncio.gather(
            *(self.call(method, params, session) for method, params in calls),
            return_exceptions=True,
        )
        if isinstance(answers[-1], BrowserError) and _ENDED in str(answers[-1]):
            return False
        known = target.type in _KNOWN
        for answer in answers:
            if isinstance(answer, BaseException) and known and "wasn't found" not in str(answer):
                raise answer
        return True

    def _add(self, session: str, method: str, params: Params) -> None:
        self._heard = time.monotonic()
        at = int((self._heard - self._began) * 1000)
        self.events.append(Raw(at, session, method, params))

    def _do(self, work: Coroutine[Any, Any, Any]) -> None:
        """Do something without holding up the reader."""

        async def done() -> None:
            with contextlib.suppress(BrowserError):
                await work

        task = asyncio.get_running_loop().create_task(done())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def executable() -> str:
    """Return the path of the Chromium that is installed. Raises BrowserError."""
    found = next(filter(None, map(shutil.which, _BROWSERS)), None)
    if found is None:
        raise BrowserError("there is no Chromium: install it (Debian: apt-get install chromium)")
    return found


def _major(path: str) -> str:
    """Return a browser's major version, by asking it."""
    try:
        done = subprocess.run(  # noqa: S603 (the browser that was found)
            [path, "--version"], capture_output=True, text=True, timeout=30, check=True
        )
        return re.search(r"(\d+)\.", done.stdout)[1]  # type: ignore[index]
    except (OSError, subprocess.SubprocessError, TypeError) as error:
        raise BrowserError(f"{path}: does not say its version: {error}") from error
