"""Notices side by side on one page, in one run: `./dev bench notice [--only bandeau,klaro] [--rounds 3] [--write]`.

Seven widely used notices from npm, unmodified and at pinned versions, each as its manual says (`bench/notices`), and
bandeau: the same page behind the gate. Where a notice knows purposes it has three. DSFR's is markup and a dialog, what
its buttons do is the site's own; c15t is built into the page with React, and keeps choices in the browser, as it does
without a server. Packages are installed once, into a cache folder (XDG_CACHE_HOME, else ~/.cache).

`--write` writes docs/notice-peers.md. The machine should do nothing else: times are the least or the median of rounds
in which all take turns, the rest is counted once.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import functools
import json
import mimetypes
import os
import platform
import re
import shutil
import statistics
import subprocess
import tempfile
import threading
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import brotli
from playwright.sync_api import Browser, BrowserContext, Error, Page, sync_playwright

from bandeau.adapters.asgi import Middleware, Receive, Scope, Send, request_of, send_reply
from bandeau.adapters.server import configured, listening
from bandeau.policy.file import loads
from bandeau.site import Site
from bandeau.wire.messages import Reply

ROUNDS, TABS = 7, 60
SHOWN_SECONDS = 4.0  # after which a notice that could not be seen is not shown
HERE = Path(__file__).resolve().parent
PAGE = HERE.parent / "docs" / "notice-peers.md"
CACHE = (
    Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "bandeau-bench" / "notice"
)
FLAGS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip
PHONE: dict[str, Any] = {
    "locale": "fr-FR", "viewport": {"width": 390, "height": 844}, "is_mobile": True, "has_touch": True,
}  # fmt: skip
DESK: dict[str, Any] = {"locale": "fr-FR", "viewport": {"width": 1280, "height": 900}}
OURS, BARE = "bandeau", "bare"
AXE = {"axe-core": "4.14.1"}


@dataclass(frozen=True)
class Notice:
    """Its packages, the notice's own first; and where its controls are (CSS selectors)."""

    packages: dict[str, str]
    accept: str
    refuse: str
    settings: str = ""  # opens `preferences`
    preferences: str = ""

    @property
    def title(self) -> str:
        return " ".join(next(iter(self.packages.items()), (OURS,)))


NOTICES = {
    OURS: Notice(
        {}, "#bandeau button[value=all]", "#bandeau button[value=none]",
        "#bandeau button[value=settings]", "#bandeau-settings button[value=save]",
    ),
    "vanilla-cookieconsent": Notice(
        {"vanilla-cookieconsent": "3.1.0"}, "#cc-main .cm [data-role=all]",
        "#cc-main .cm [data-role=necessary]", "#cc-main .cm [data-role=show]", "#cc-main .pm [data-role=save]",
    ),
    "klaro": Notice(
        {"klaro": "0.7.22"}, ".klaro .cookie-notice .cm-btn-success", ".klaro .cookie-notice .cn-decline",
        ".klaro .cookie-notice .cn-learn-more", ".klaro .cookie-modal .cm-btn-accept",
    ),
    "tarteaucitron": Notice(
        {"tarteaucitronjs": "1.34.0"}, "#tarteaucitronPersonalize2", "#tarteaucitronAllDenied2",
        "#tarteaucitronCloseAlert", "#tarteaucitronClosePanel",
    ),
    "orejime": Notice(
        {"orejime": "3.2.1"}, ".orejime-Banner-saveButton", ".orejime-Banner-declineButton",
        ".orejime-Banner-learnMoreButton", ".orejime-Modal-saveButton",
    ),
    "cookieconsent": Notice({"cookieconsent": "3.1.1"}, ".cc-window .cc-allow", ".cc-window .cc-deny"),
    "c15t": Notice(
        {"@c15t/react": "2.2.1", "react": "19.3.1", "react-dom": "19.3.1", "esbuild": "0.28.2"},
        "[data-testid=consent-banner-accept-button]", "[data-testid=consent-banner-reject-button]",
        "[data-testid=consent-banner-customize-button]", "[data-testid=consent-dialog-card]",
    ),
    "dsfr": Notice(
        {"@gouvfr/dsfr": "1.15.3"}, "#accept", "#refuse",
        ".fr-consent-banner [aria-controls=consent-modal]", "#consent-modal #keep",
    ),
}  # fmt: skip
ROWS = {
    "requests": "files asked for",
    "raw": "their bytes",
    "brotli": "their bytes, brotli 11",
    "html": "added to the HTML of each page, bytes (brotli 11)",
    "all": "files and HTML, brotli 11",
    "script": "script time on a phone's screen, ms: least (median)",
    "shift": "layout shift before, at and after the choice",
    "accept": "accepting, CPU slowed 4x: worst event, ms (median)",
    "axe": "axe-core, first layer: rules broken, rules undecided",
    "axe-more": "the same with the preferences open",
    "tabs": "Tabs to «refuse»",
    "alike": "«refuse» looks like «accept»",
    "csp": "strict CSP: violations",
    "types": "Trusted Types: violations",
    "off": "scripts off",
    "before": "six probes that got through before a choice",
    "after": "the same after a refusal",
    "unreadable": "choice unreadable (`%7Bnot-json`, `null`): asked again",
}
REASONS = {  # why bandeau is not first in a row; shown only where it is not
    "html": "The notice stands in the HTML, complete without scripts, and so does the guard: later, it could not hold anything back.",
    "all": "Smaller is what knows no purposes and holds nothing back; after the choice the guard stays, and the notice goes.",
    "script": "Most of it is the guard, which must run before anything else in the page; those with less hold nothing back.",
    "accept": "The page is laid out anew without the room that it kept for the notice.",
    "tabs": "The text can be scrolled, so it is a stop; then «accept», then «refuse». The focus is moved for nobody.",
}
POLICIES = {
    "/strict": b"default-src 'none'; script-src 'self' 'nonce-bench'; style-src 'self' 'nonce-bench'; img-src 'self' data:;"
    b" font-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'",
    "/types": b"require-trusted-types-for 'script'",
}
PIXEL = bytes.fromhex(
    "47494638396101000100800000ffffff00000021f90401000000002c00000000010001000002024401003b"
)
OWN = b'window.ran = true; document.cookie = "own=1; path=/; max-age=999"; localStorage.setItem("own", "1");'
WATCH = """
window.seen = { shifts: [], events: [] };
new PerformanceObserver((list) => seen.shifts.push(...list.getEntries().map((one) => one.value)))
  .observe({ type: "layout-shift", buffered: true });
new PerformanceObserver((list) => seen.events.push(...list.getEntries().filter((one) => one.interactionId)
  .map((one) => one.duration))).observe({ type: "event", durationThreshold: 16 });
addEventListener("securitypolicyviolation", (event) =>
  event.disposition === "enforce" && console.debug("violation", event.effectiveDirective, event.blockedURI));
"""
SEEN = """(one) => {
  const box = one.getBoundingClientRect(), root = one.getRootNode();
  const hit = root.elementFromPoint(box.x + box.width / 2, box.y + box.height / 2);
  return one.checkVisibility({ opacityProperty: true, visibilityProperty: true }) && one.contains(hit);
}"""
MOVES = """document.getAnimations().some((one) =>
  one.playState === "running" && one.effect.getComputedTiming().endTime !== Infinity)"""
LOOK = """(one) => {
  const style = getComputedStyle(one);
  return { height: one.getBoundingClientRect().height, ...Object.fromEntries(["color", "backgroundColor", "borderTopColor",
    "borderTopWidth", "fontSize", "fontWeight", "textDecorationLine"].map((name) => [name, style[name]])) };
}"""


@dataclass(frozen=True)
class Cell:
    """What is shown, and what it is worth: less is better, None takes no part."""

    text: str
    worth: float | None = None


# -- the pages -------------------------------------------------------------------------------------


def installed(name: str, packages: dict[str, str]) -> Path:
    """Return the folder that has these npm packages; fill it first. Raises OSError in a line."""
    folder, source = CACHE / name, HERE / "notices" / f"{name}.jsx"
    wanted = json.dumps({"private": True, "dependencies": packages})
    made_of = wanted + (source.read_text("utf-8") if source.exists() else "")
    stamp = folder / "stamp"
    if stamp.exists() and stamp.read_text("utf-8") == made_of:
        return folder / "node_modules"
    if not shutil.which("npm"):
        raise OSError("npm is missing")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "package.json").write_text(wanted, "utf-8")
    commands = [["npm", "install", "--ignore-scripts", "--no-audit", "--no-fund"]]
    if source.exists():
        shutil.copy(source, folder)
        production = '--define:process.env.NODE_ENV="production"'
        commands.append(
            ["node_modules/.bin/esbuild", source.name, "--bundle", "--minify", "--format=esm",
             "--jsx=automatic", "--outdir=node_modules/built", production]
        )  # fmt: skip
    for command in commands:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        if done.returncode:
            raise OSError((done.stderr.strip().splitlines() or [f"{command[0]} failed"])[-1])
    stamp.write_text(made_of, "utf-8")
    return folder / "node_modules"


@functools.cache
def html(name: str, path: str) -> str:
    """Return a notice's page: the same for all but for what its manual says to put into it."""
    text = (HERE / "notices" / "page.html").read_text("utf-8")
    parts = {
        "probes": (HERE / "notices" / "probes.html").read_text("utf-8") if path == "/probes" else ""
    }
    source = HERE / "notices" / f"{name}.html"
    if source.exists():
        _, *pieces = re.split(r"<!-- (\w+) -->\n", source.read_text("utf-8"))
        parts |= dict(zip(pieces[::2], pieces[1::2], strict=True))
    for place in ("head", "first", "probes", "way", "body"):
        text = text.replace(f"<!-- {place} -->", parts.get(place, ""))
    if path in POLICIES:
        text = re.sub(r"<(script|style|link)\b", r'<\1 nonce="bench"', text)
    return text


@dataclass
class Street:
    """One port: each notice's site on a host of its own, and a third party that writes down what it is asked."""

    folders: dict[str, Path]
    port: int = 0
    asked: list[str] = field(default_factory=list)
    gated: Middleware | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        name = request_of(scope).host.partition(".")[0]
        if name == "third":
            self.asked.append(scope["path"].strip("/"))
            kind, body = (
                (b"image/gif", PIXEL) if scope["path"] == "/pixel" else (b"text/html", b"<p>")
            )
            await send_reply(send, Reply(200, [(b"content-type", kind)], body), head=False)
        elif name == OURS and self.gated:
            await self.gated(scope, receive, send)
        else:
            await self.site(scope, receive, send)

    async def site(self, scope: Scope, _receive: Receive, send: Send) -> None:
        """Answer for any of the sites; knows nothing of consent."""
        await send_reply(
            send, self._reply(request_of(scope).host.partition(".")[0], scope["path"]), head=False
        )

    def _reply(self, name: str, path: str) -> Reply:
        if path in ("/", "/probes", *POLICIES):
            headers = [(b"content-type", b"text/html; charset=utf-8")]
            if path in POLICIES:
                headers.append((b"content-security-policy", POLICIES[path]))
            if path == "/probes":
                headers.append((b"set-cookie", b"served=1; Path=/; Max-Age=999"))
            return Reply(200, headers, html(name, path).replace("{port}", str(self.port)).encode())
        if path == "/own.js":
            return Reply(200, [(b"content-type", b"text/javascript")], OWN)
        root = self.folders.get(name, HERE)
        file = (root / path.removeprefix("/npm/")).resolve()
        if path.startswith("/npm/") and file.is_relative_to(root) and file.is_file():
            kind = mimetypes.guess_type(path)[0] or "application/octet-stream"
            return Reply(200, [(b"content-type", kind.encode())], file.read_bytes())
        return Reply(404, [(b"content-type", b"text/plain")], b"")

    def url(self, name: str, path: str = "/") -> str:
        return f"http://{name}.localhost:{self.port}{path}"


@contextlib.contextmanager
def served(folders: dict[str, Path]) -> Iterator[Street]:
    """Serve all pages on loopback."""
    street, bound = Street(folders), listening("127.0.0.1", 0)
    street.port = bound.getsockname()[1]
    policy = (
        (HERE / "notices" / "bandeau.toml").read_text("utf-8").replace("{port}", str(street.port))
    )
    server = configured(street, lifespan=False)
    thread = threading.Thread(
        target=lambda: asyncio.run(server.serve(sockets=[bound])), daemon=True
    )
    with tempfile.TemporaryDirectory() as data:
        site = Site.from_policy(loads(policy), f"sqlite:///{data}/bandeau.db")
        street.gated = Middleware(street.site, site)
        thread.start()
        try:
            yield street
        finally:
            server.should_exit = True
            thread.join(15)
            bound.close()
            site.close()


# -- measuring -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Round:
    """One visit on a phone's screen: ms of script, layout shifts, and ms of the worst event of accepting."""

    script: float
    shifts: tuple[float, float, float] = (0, 0, 0)
    accept: float = 0


@dataclass
class Bench:
    """All that is measured of a notice, by its name."""

    browser: Browser
    street: Street
    axe: str = ""  # axe-core's source

    @contextlib.contextmanager
    def visitor(self, **options: Any) -> Iterator[BrowserContext]:
        context = self.browser.new_context(**options)
        context.set_default_timeout(10_000)
        context.add_init_script(WATCH)
        try:
            yield context
        finally:
            context.close()

    def opened(self, page: Page, name: str, path: str = "/") -> Page:
        """Open a page and wait until its notice can be seen. Raises OSError where it cannot."""
        page.goto(self.street.url(name, path))
        if name != BARE and not shown(page, NOTICES[name].accept):
            raise OSError("the notice is not shown")
        settled(page)
        return page

    def round(self, name: str) -> Round:
        with self.visitor(**PHONE) as context:
            page = context.new_page()
            protocol = context.new_cdp_session(page)
            protocol.send("Performance.enable", {"timeDomain": "threadTicks"})
            self.opened(page, name)
            metrics = protocol.send("Performance.getMetrics")["metrics"]
            script = 1000 * next(one["value"] for one in metrics if one["name"] == "ScriptDuration")
            if name == BARE:
                return Round(script)
            before = sum(page.evaluate("seen.shifts"))
            protocol.send("Emulation.setCPUThrottlingRate", {"rate": 4})
            page.locator(NOTICES[name].accept).tap()
            page.wait_for_timeout(700)
            events, at = page.evaluate("[seen.events, seen.shifts]")
            protocol.send("Emulation.setCPUThrottlingRate", {"rate": 1})
            page.goto(self.street.url(name))
            settled(page)
            after = sum(page.evaluate("seen.shifts"))
            return Round(script, (before, sum(at) - before, after), max(events, default=16))

    def weight(self, name: str) -> dict[str, Cell]:
        """Count what the browser asks for that it does not ask for on the page without a notice."""
        asked: dict[str, None] = {}
        with self.visitor(**PHONE) as context:
            context.on("request", lambda one: asked.setdefault(one.url))
            self.opened(context.new_page(), name)
        files = [
            self._body(url)
            for url in asked
            if url.startswith("http") and url != self.street.url(name)
        ]
        mine, bare = self._body(self.street.url(name)), self._body(self.street.url(BARE))
        added, packed = len(mine) - len(bare), size(mine) - size(bare)
        return {
            "requests": Cell(str(len(files)), len(files)),
            "raw": Cell(f"{sum(map(len, files)):,}", sum(map(len, files))),
            "brotli": Cell(f"{sum(map(size, files)):,}", sum(map(size, files))),
            "html": Cell(f"{added:,} ({packed:,})", packed),
            "all": Cell(f"{packed + sum(map(size, files)):,}", packed + sum(map(size, files))),
        }

    def _body(self, url: str) -> bytes:
        parts = urllib.parse.urlsplit(url)
        headers = {"Host": parts.netloc, "Accept": "text/html", "Sec-Fetch-Dest": "document"}
        request = urllib.request.Request(
            f"http://127.0.0.1:{parts.port}{parts.path}", headers=headers
        )
        with urllib.request.urlopen(request, timeout=10) as answer:
            found: bytes = answer.read()
        return found

    def first(self, name: str) -> dict[str, Cell]:
        """Judge the first layer: axe-core, the keyboard, the two buttons."""
        notice = NOTICES[name]
        with self.visitor(**DESK) as context:
            page = self.opened(context.new_page(), name)
            cells = {"axe": self.judged(page)}
            accept, refuse = (
                page.locator(one).evaluate(LOOK) for one in (notice.accept, notice.refuse)
            )
            other = [key for key in accept if not alike(accept[key], refuse[key])]
            words = {"backgroundColor": "background", "textDecorationLine": "underline"}
            named = ", ".join(
                words.get(key, re.sub("[A-Z]", lambda one: " " + one[0].lower(), key))
                for key in other
            )
            cells["alike"] = Cell(f"no: {named}" if other else "yes", len(other))
            for tabs in range(TABS + 1):
                if page.locator(notice.refuse).evaluate(
                    "(one) => one === one.getRootNode().activeElement"
                ):
                    cells["tabs"] = Cell(str(tabs), tabs)
                    break
                page.keyboard.press("Tab")
            else:
                cells["tabs"] = Cell(f"not within {TABS}", TABS + 1)
        return cells

    def second(self, name: str) -> dict[str, Cell]:
        """Judge the preferences."""
        if not NOTICES[name].settings:
            return {"axe-more": Cell("has none")}
        with self.visitor(**DESK) as context:
            page = self.opened(context.new_page(), name)
            self._preferences(page, name)
            return {"axe-more": self.judged(page)}

    def _preferences(self, page: Page, name: str) -> None:
        page.locator(NOTICES[name].settings).click()
        if not shown(page, NOTICES[name].preferences, centre=False):
            raise OSError("the preferences do not open")
        settled(page)

    def judged(self, page: Page) -> Cell:
        if not self.axe:
            return Cell("not measured: axe-core is not installed")
        protocol = page.context.new_cdp_session(
            page
        )  # a world of its own, which no policy of the page reaches
        frame = protocol.send("Page.getFrameTree")["frameTree"]["frame"]["id"]
        world = protocol.send("Page.createIsolatedWorld", {"frameId": frame})["executionContextId"]
        protocol.send("Runtime.evaluate", {"contextId": world, "expression": self.axe})
        run = "axe.run(document).then((found) => [found.violations, found.incomplete].map((list) => list.map((one) => one.id)))"
        found = protocol.send(
            "Runtime.evaluate",
            {"contextId": world, "awaitPromise": True, "returnByValue": True, "expression": run},
        )["result"]["value"]
        text = ", ".join(
            f"{len(rules)}{f' ({names})' if (names := ', '.join(rules)) else ''}" for rules in found
        )
        return Cell(text, 1000 * len(found[0]) + len(found[1]))

    def policed(self, name: str, path: str) -> Cell:
        """Open the page under a policy of the site's own, and the preferences where it shows; count violations."""
        said: list[str] = []
        with self.visitor(**DESK) as context:
            context.on(
                "console",
                lambda one: said.append(one.text) if one.text.startswith("violation ") else None,
            )
            page = context.new_page()
            page.goto(self.street.url(name, path))
            if not shown(page, NOTICES[name].accept):
                return Cell(f"**not shown**, {len(said)}", 1000 + len(said))
            settled(page)
            if NOTICES[name].settings:
                try:
                    self._preferences(page, name)
                except (Error, OSError):
                    return Cell(f"preferences do not open, {len(said)}", 500 + len(said))
        return Cell(str(len(said)), len(said))

    def off(self, name: str) -> Cell:
        """Open the page without scripts, and refuse."""
        with self.visitor(**DESK, java_script_enabled=False) as context:
            page = context.new_page()
            page.goto(self.street.url(name))
            if not shown(page, NOTICES[name].accept, seconds=0.5):
                return Cell("not shown", 2)
            page.locator(NOTICES[name].refuse).click()
            page.wait_for_timeout(400)
            page.goto(self.street.url(name))
            if shown(page, NOTICES[name].accept, seconds=0.5):
                return Cell("shown, its buttons do nothing", 1)
            return Cell("shown, a choice holds", 0)

    def probes(self, name: str) -> dict[str, Cell]:
        """Count the probes that get through: before a choice, and on the page opened anew after a refusal."""
        with self.visitor(**DESK) as context:
            self.street.asked.clear()
            page = self.opened(context.new_page(), name, "/probes")
            before = self.through(page)
            page.locator(NOTICES[name].refuse).click()
            page.wait_for_timeout(800)
            self.street.asked.clear()
            page.goto(self.street.url(name, "/probes"))
            page.wait_for_timeout(400)
            return {"before": before, "after": self.through(page)}

    def through(self, page: Page) -> Cell:
        kept = page.context.storage_state()
        cookies = {one["name"] for one in kept["cookies"]}
        keys = {one["name"] for origin in kept["origins"] for one in origin["localStorage"]}
        found = {
            "script": bool(page.evaluate("window.ran")), "its cookie": "own" in cookies,
            "its storage": "own" in keys, "image": "pixel" in self.street.asked,
            "frame": "frame" in self.street.asked, "server's cookie": "served" in cookies,
        }  # fmt: skip
        through = [probe for probe, yes in found.items() if yes]
        named = f" ({', '.join(through)})" if 0 < len(through) < len(found) else ""
        return Cell(f"{len(through)}{named}", len(through))

    def unreadable(self, name: str) -> Cell:
        """Accept, find out which cookies keep that, and come back with nonsense in them."""
        with self.visitor(**DESK) as context:
            page = self.opened(context.new_page(), name)
            page.locator(NOTICES[name].accept).click()
            page.wait_for_timeout(800)
            names = [one["name"] for one in context.cookies()]
        if not names:
            return Cell("keeps none in a cookie")
        asked = []
        for value in ("%7Bnot-json", "null"):
            with self.visitor(**DESK) as context:
                url = self.street.url(name)
                context.add_cookies([{"name": one, "value": value, "url": url} for one in names])
                page = context.new_page()
                page.goto(url)
                asked.append(shown(page, NOTICES[name].accept))
        return Cell(", ".join("yes" if yes else "**no**" for yes in asked), asked.count(False))

    def once(self, name: str) -> dict[str, Cell]:
        """Measure all that needs no rounds; what cannot be measured says why."""
        parts: dict[tuple[str, ...], Callable[[], dict[str, Cell]]] = {
            ("requests", "raw", "brotli", "html", "all"): lambda: self.weight(name),
            ("axe", "alike", "tabs"): lambda: self.first(name),
            ("axe-more",): lambda: self.second(name),
            ("csp",): lambda: {"csp": self.policed(name, "/strict")},
            ("types",): lambda: {"types": self.policed(name, "/types")},
            ("off",): lambda: {"off": self.off(name)},
            ("before", "after"): lambda: self.probes(name),
            ("unreadable",): lambda: {"unreadable": self.unreadable(name)},
        }
        cells: dict[str, Cell] = {}
        for keys, part in parts.items():
            try:
                cells |= part()
            except (Error, OSError) as error:
                cells |= dict.fromkeys(keys, missed(error))
        return cells

    def rounds(self, names: list[str], number: int) -> dict[str, dict[str, Cell]]:
        """Let all take turns; of a time the least, of an interaction the median, of shifts the worst."""
        found: dict[str, list[Round]] = {name: [] for name in names}
        cells: dict[str, dict[str, Cell]] = {name: {} for name in names}
        for _ in range(number):
            for name in [name for name in names if not cells[name]]:
                try:
                    found[name].append(self.round(name))
                except (Error, OSError) as error:
                    cells[name] = dict.fromkeys(("script", "shift", "accept"), missed(error))
        for name, rounds in found.items():
            if cells[name]:
                continue
            script = [one.script for one in rounds]
            shifts = [max(part) for part in zip(*(one.shifts for one in rounds), strict=True)]
            accept = statistics.median(one.accept for one in rounds)
            cells[name] = {
                "script": Cell(f"{min(script):.1f} ({statistics.median(script):.1f})", min(script)),
                "shift": Cell(
                    ", ".join(f"{one:.3f}".rstrip("0").rstrip(".") for one in shifts), sum(shifts)
                ),
                "accept": Cell(f"{accept:.0f}" if accept > 16 else "≤ 16", accept),
            }
        return cells


def shown(page: Page, control: str, *, seconds: float = SHOWN_SECONDS, centre: bool = True) -> bool:
    """Say whether a control comes to be seen, with nothing over its centre where that is asked."""
    found, ends = page.locator(control).first, time.monotonic() + seconds
    while True:
        with contextlib.suppress(Error):  # the page may be on its way to another
            if found.is_visible() and (not centre or found.evaluate(SEEN)):
                return True
        if time.monotonic() > ends:
            return False
        page.wait_for_timeout(50)


def settled(page: Page) -> None:
    """Wait until controls work, which takes one notice half a second, and what moves has moved."""
    page.wait_for_timeout(700)
    ends = time.monotonic() + 2
    while page.evaluate(MOVES) and time.monotonic() < ends:
        page.wait_for_timeout(100)


def size(body: bytes) -> int:
    return len(brotli.compress(body, quality=11))


def alike(one: float | str, other: float | str) -> bool:
    """Say whether two properties are the same; lengths in px may differ by a tenth."""
    if isinstance(one, str) or isinstance(other, str):
        return one == other
    return 0.9 <= one / other <= 1.1


def missed(error: Exception) -> Cell:
    return Cell(f"not measured: {str(error).splitlines()[0]}")


# -- the table -------------------------------------------------------------------------------------


def place(row: str, table: dict[str, dict[str, Cell]]) -> str:
    """Say whether bandeau is first in a row, and where it is not, why."""
    worths = {name: cells[row].worth for name, cells in table.items() if row in cells}
    mine = worths.get(OURS)
    if mine is None:
        return "not measured"
    better = [name for name, worth in worths.items() if worth is not None and worth < mine]
    if better:
        whom = "all others" if len(better) == len(worths) - 1 > 1 else ", ".join(better)
        return f"after {whom}. {REASONS.get(row, 'No reason is known.')}"
    return "first" if list(worths.values()).count(mine) == 1 else "first, with others"


def written(table: dict[str, dict[str, Cell]], bare: str, chromium: str, rounds: int) -> str:
    """Return the page of docs."""
    names = list(table)
    lines = [
        "# The notice beside others",
        "",
        "Made by `./dev bench notice --write` and never by hand: every cell is from one run. Each notice is on one and the same page, at its",
        "pinned version from npm, unmodified, used as its manual says, with three purposes where it knows purposes (`bench/notices`). bandeau's",
        "page is the same page behind the gate. How each row is measured is in `bench/notice.py`.",
        "",
        f"{datetime.now(UTC):%-d %B %Y}, {rounds} rounds; {machine()}; Chromium {chromium}, axe-core {AXE['axe-core']}. The page without any",
        f"notice, in the same run: {bare}. Of times, read which is more.",
        "",
        f"| | {' | '.join(f'{NOTICES[name].title}' for name in names)} | bandeau is |",
        f"|{' --- |' * (len(names) + 2)}",
    ]
    for row, title in ROWS.items():
        cells = [table[name].get(row, Cell("")).text.replace("|", "\\|") for name in names]
        lines.append(f"| {title} | {' | '.join(cells)} | {place(row, table)} |")
    return "\n".join([*lines, "", NOTES])


NOTES = """- Files: all that the browser asks for on the page with a notice and not on the page without, each compressed alone. What stands in the HTML
  (settings, markup, texts) is in its own row, and comes with every page. DSFR is a design system: a site that is made with it has most of its files anyhow.
- Script time is Chromium's `ScriptDuration` of a load on a screen of 390x844, without a slowed CPU. Accepting: the longest event of the tap, to the next picture (Event
  Timing, which counts in steps of 8 ms and from 16 ms on).
- Layout shift counts what a visitor's tap excuses, too. After the choice: the page opened anew.
- axe-core: all rules, the whole page, 1280x900.
- «Looks like»: height within a tenth, colours, border, font and underline, as computed.
- Strict CSP: own files and nonces, nothing inline without one, no `eval`; Trusted Types: `require-trusted-types-for 'script'` alone. Violations of the first layer and the
  preferences; «not shown»: the button to accept cannot be seen within 4 s.
- The six probes: a script of the site's own that no notice was told of, the cookie and the key in local storage that it writes, an image and a frame of a third party, and a cookie
  in the page's own response. bandeau's policy declares none of them either: the script is the site's and runs, and keeps nothing.
- DSFR's consent is markup and a dialog; what its buttons do is the site's own, and so is where a choice is kept. c15t runs without its server, and so keeps choices in the browser.
"""


def machine() -> str:
    """Describe the machine in a few words."""
    try:
        system = platform.freedesktop_os_release()["PRETTY_NAME"].partition(" (")[0]
    except OSError:
        system = platform.system()
    return f"{os.cpu_count()} cores, {system}, Python {platform.python_version()}"


def main() -> None:
    parser = argparse.ArgumentParser(description="Notices side by side on one page.")
    parser.add_argument("--only", default=",".join(NOTICES), help="names, with commas between them")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--write", action="store_true", help=f"write docs/{PAGE.name}")
    parser.add_argument("--pictures", type=Path, help="a folder for a picture of each first layer")
    options = parser.parse_args()
    names = options.only.split(",")
    if unknown := [name for name in names if name not in NOTICES]:
        parser.error(f"no notice is called {unknown[0]}; there are {', '.join(NOTICES)}")
    chromium, began = shutil.which("chromium"), time.monotonic()
    if not chromium:
        print("notice: chromium is missing (Debian: apt-get install chromium)")
        return
    table: dict[str, dict[str, Cell]] = {name: {} for name in names}
    folders: dict[str, Path] = {}
    for name in names:
        try:
            folders[name] = (
                installed(name, NOTICES[name].packages) if NOTICES[name].packages else HERE
            )
        except OSError as error:
            table[name] = dict.fromkeys(ROWS, Cell(f"not installed: {error}"))
    try:
        axe = (installed("axe", AXE) / "axe-core" / "axe.min.js").read_text("utf-8")
    except OSError as error:
        print(f"without axe-core: {error}")
        axe = ""
    with served(folders) as street, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        bench = Bench(browser, street, axe)
        for name in folders:
            table[name] |= bench.once(name)
            if options.pictures:
                options.pictures.mkdir(parents=True, exist_ok=True)
                with contextlib.suppress(Error, OSError), bench.visitor(**PHONE) as context:
                    bench.opened(context.new_page(), name).screenshot(
                        path=options.pictures / f"{name}.png"
                    )
        with bench.visitor(**DESK) as context:
            alone = bench.judged(bench.opened(context.new_page(), BARE)).text
        turns = bench.rounds([BARE, *folders], options.rounds)
        for name in folders:
            table[name] |= turns[name]
        bare = f"script time {turns[BARE]['script'].text} ms, axe-core {alone}"
        text = written(table, bare, browser.version, options.rounds)
        browser.close()
    print(text)
    print(f"{time.monotonic() - began:.0f} s")
    if options.write:
        PAGE.write_text(text, "utf-8")


if __name__ == "__main__":
    main()
