"""The walks through a site's choices, each from nothing: what is done, and whether it was done.

A choice counts as made when something was stored, the notice went, and it stayed away after the page was
loaded anew; a click alone is nothing (one widely used notice "accepts" by storing that it waits).
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import copy
import fcntl
import hashlib
import json
import os
import shutil
import socket
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field, replace
from http import HTTPStatus
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

from bandeau.audit import look
from bandeau.audit.find import Control, Finder, Notice
from bandeau.audit.keys import Keys
from bandeau.audit.lexicon import Goal, goal_of, said
from bandeau.audit.observe import Observation, Reader, host_of
from bandeau.audit.pipe import BrowserError, Params
from bandeau.audit.probe import probed, support_file
from bandeau.audit.watch import Chromium, Setting, Watch
from bandeau.wire.hosts import is_loopback

T = TypeVar("T")
CAP_SECONDS = 30.0  # one scenario, unless thorough
THOROUGH_SECONDS = 180.0
NAMES = (
    "no-choice",
    "refuse",
    "accept",
    "withdraw",
    "gpc",
    "reconsider",
    "return",
    "no-script",
    "small",
    "dismiss",
    "dirty",
    "settings",
    "keyboard",
    "endpoints",
)
LONG = ("withdraw", "reconsider", "return", "settings")  # two ways to a choice: begun first
BEGINS = {"withdraw": "accept", "reconsider": "refuse"}  # what each begins with, step by step
DEFAULT = ("no-choice", "refuse", "accept", "withdraw", "gpc", "settings", "keyboard")
_MOST_SECONDS = 10.0  # for a station to become quiet
_RESTLESS_SECONDS = 1.5  # where an earlier one never did
_PROFILE = "bandeau-audit-"  # what the name of a profile's folder begins with
_REFUSED = (HTTPStatus.FORBIDDEN, HTTPStatus.TOO_MANY_REQUESTS)
_CHALLENGES = {"cf-mitigated", "x-amzn-waf-action"}  # headers of what asks for a person
_LAYERS = 4  # clicks that a goal may take before it counts as not to be found
_TOLD = 3  # pages that the notice links to and that are read
_STOPS = 12  # of the focus in a small window, to see whether the notice lies over them
_NARROW = (320, 256)  # CSS pixels: 1280 by 1024 at 400 % (WCAG 2.2, 1.4.10)
_HINTS = """[...document.querySelectorAll(
  ['preconnect', 'dns-prefetch', 'prefetch', 'preload', 'modulepreload', 'prerender']
    .map((one) => `link[rel~=${one}]`).join()
)].map((one) => [one.rel.toLowerCase().split(/\\s+/)[0], one.href])"""
_TAGS = """(() => {
  const found = [], plain = (url) => url.split('#')[0];
  const short = (tag) => tag.length > 160 ? `${tag.slice(0, 158)}…>` : tag;
  const read = (page) => {
    for (const one of page.querySelectorAll('[src], img, link[href], object[data], [poster]')) {
      const asked = { src: one.src, href: one.href, data: one.data, poster: one.poster };
      if (one.currentSrc) asked[one.hasAttribute('srcset') ? 'srcset' : 'src'] = one.currentSrc;
      for (const [name, url] of Object.entries(asked)) {
        const tag = `<${one.localName} ${name}="${one.getAttribute(name) ?? ''}">`;
        if (/^https?:/.test(url)) found.push([plain(page.URL), plain(url), short(tag)]);
      }
      if (one.localName === 'iframe' && one.contentDocument) read(one.contentDocument);
    }
  };
  read(document);
  return found;
})()"""
_STORAGE = """(async () => {
  const names = async (get) => { try { return await get(); } catch { return []; } };
  return {
    local_storage: await names(() => Object.keys(localStorage)),
    session_storage: await names(() => Object.keys(sessionStorage)),
    indexed_db: await names(async () => (await indexedDB.databases()).map((one) => one.name)),
    cache: await names(() => caches.keys()),
    service_worker: await names(async () =>
      (await navigator.serviceWorker.getRegistrations()).map((one) => one.scope)),
  };
})()"""
_LINKS = """[...document.querySelectorAll('a[href]')].map((one) => `${one.href}`)"""


@dataclass(slots=True)
class Run:
    """One scenario, done once: what was observed, and whether it came to its end."""

    scenario: str
    number: int
    setting: Setting
    completed: bool = False
    reason: str = ""  # why not: no-notice, no-control, no-effect, bot-wall, time, error …
    observations: list[Observation] = field(default_factory=list)
    clicks: dict[str, int] = field(default_factory=dict)  # goal to activations that it took
    layers: list[Params] = field(default_factory=list)  # what each layer of the notice offered
    facts: Params = field(default_factory=dict)
    pictures: dict[str, bytes] = field(default_factory=dict)  # station to PNG
    unwatched: list[str] = field(default_factory=list)
    version: str = ""
    agent: str = ""
    first: Run | None = None  # the scenario that it begins with (BEGINS), as if walked alone


class NotDoneError(Exception):
    """A scenario that could not come to its end; `reason` is one word."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Plan:
    """What is walked, and how thoroughly."""

    url: str
    setting: Setting = field(default_factory=Setting)
    thorough: bool = False
    own: tuple[str, ...] = ()
    prefix: str = ""  # of bandeau's addresses, where the site stands behind it
    executable: str | None = None

    @property
    def quiet(self) -> float:
        """How long a station has to be quiet, in seconds."""
        return 2.0 if self.thorough else 0.5

    @property
    def pages(self) -> int:
        """How many pages of the site are walked."""
        return 3 if self.thorough else 1


async def run(
    plan: Plan,
    scenario: str,
    number: int = 1,
    on_station: Callable[[str], None] | None = None,
    *,
    browser: Chromium | None = None,
) -> Run:
    """Do one scenario from nothing. Whatever happens, a run with what was observed is returned.

    `on_station` hears the name of each station as it begins. In a `browser` that is given the walk has a
    context of its own; without one, or to start it anew, it has a fresh profile and its own browser.
    """
    setting = _setting(plan.setting, scenario)
    result = Run(scenario, number, setting)
    if scenario in _RESTARTS or (browser and browser.gone):
        browser = None
    with profile() if browser is None else contextlib.nullcontext(Path()) as folder:
        walk = _Walk(plan, result, browser or folder, on_station or (lambda _: None))
        cap = THOROUGH_SECONDS if plan.thorough else CAP_SECONDS
        try:
            try:
                async with asyncio.timeout(cap):
                    if scenario != "endpoints":
                        await walk.open()
                    await _SCENARIOS[scenario.partition(":")[0]](walk)
            finally:
                await walk.close()
            result.completed = True
        except NotDoneError as error:
            result.reason, result.facts["error"] = error.reason, str(error)
        except TimeoutError:
            result.reason, result.facts["error"] = "time", f"not done in {cap:.0f} s"
        except (BrowserError, OSError) as error:
            result.reason, result.facts["error"] = "error", str(error)
        except Exception as error:  # noqa: BLE001 (a fault of ours must not end as "findings")
            told = f"{type(error).__name__}: {error}"
            result.reason, result.facts["error"] = "error", f"a fault of the inspector: {told}"
    if scenario in BEGINS and result.first is None:  # it came no further
        result.first = replace(result, scenario=BEGINS[scenario])
    if scenario == "no-choice":
        hosts = {one.host for one in result.observations if one.kind == "request" and not one.third}
        result.facts["names"] = await asyncio.to_thread(_names, sorted(hosts))
    return result


@contextlib.asynccontextmanager
async def shared(plan: Plan) -> AsyncIterator[Chromium | None]:
    """Give a browser for many walks; None where it cannot be started, as each walk tells by itself."""
    browser = None
    with profile() as folder:
        with contextlib.suppress(Exception):
            browser = await Chromium.started(plan.setting, folder, path=plan.executable)
        try:
            yield browser
        finally:
            if browser:
                await browser.stop()


@contextlib.contextmanager
def profile() -> Iterator[Path]:
    """Give a fresh folder for a browser, locked while in use; remove those that killed audits left.

    The lock ends with the process that holds it, however that ends; a browser has no part in it.
    """
    for left in Path(tempfile.gettempdir()).glob(f"{_PROFILE}*"):
        with _locked(left) as mine:
            if mine:
                shutil.rmtree(left, ignore_errors=True)
    while True:
        folder = Path(tempfile.mkdtemp(prefix=_PROFILE))
        with _locked(folder) as mine:
            if mine:  # else another audit took it for one that was left
                try:
                    yield folder
                finally:
                    shutil.rmtree(folder, ignore_errors=True)
                return


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[bool]:
    """Lock a folder, and say whether that was possible and it is still there."""
    try:
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError:  # it is gone, or somebody else's
        yield False
        return
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        mine = folder.exists()
    except BlockingIOError:
        mine = False
    try:
        yield mine
    finally:
        os.close(handle)


def _names(hosts: Iterable[str]) -> dict[str, str]:
    """Return the name that each host is another name of (RFC 1034 CNAME), "" where nobody says."""
    found = {}
    for host in hosts:
        found[host] = host
        if not is_loopback(host):
            try:
                answer = socket.getaddrinfo(host, None, flags=socket.AI_CANONNAME)
                found[host] = answer[0][3] or host
            except OSError:
                found[host] = ""
    return found


def apart(work: Coroutine[Any, Any, T]) -> T:
    """Do asynchronous work and return its result, also where another loop is running.

    Where none is, an interrupt ends the work and its browsers at once.
    """
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(work)
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, work).result()


def _setting(base: Setting, scenario: str) -> Setting:
    if scenario == "gpc":
        return replace(base, gpc=True)
    if scenario == "no-script":
        return replace(base, scripts=False)
    if scenario == "small":
        return replace(base, window=(360, 640))
    return base


class _Walk:
    """The steps that scenarios are made of."""

    def __init__(
        self, plan: Plan, result: Run, place: Chromium | Path, on_station: Callable[[str], None]
    ) -> None:
        self.on_station = on_station
        self.plan = plan
        self.result = result
        self.place = place  # a browser that others use too, or a profile of its own
        self.watch: Watch | None = None
        self.session = ""
        self._past: list[Any] = []

    async def open(self) -> None:
        """Open a window where nothing was before, or on the profile as it was left."""
        if isinstance(self.place, Chromium):
            self.watch = await Watch.within(self.result.setting, self.place)
        else:
            path = self.plan.executable
            self.watch = await Watch.opened(self.result.setting, self.place, path=path)
        self.result.version = self.watch.browser.version
        self.result.agent = self.watch.browser.agent
        self.session = await self.watch.page()
        self.finder = Finder(self.watch, self.session)

    async def close(self) -> None:
        """End what was opened, and read what it told."""
        if self.watch is None:
            return
        await self.watch.close()
        self.told(self.result, self.watch)
        self.watch = None

    def told(self, result: Run, watch: Watch) -> None:
        """Add to a run what its browser told until now."""
        reader = Reader(self.plan.url, own=self.plan.own)
        result.observations += reader.read(watch.events)
        result.unwatched += watch.unwatched

    def begun(self) -> None:
        """Keep what was walked until now as a run of the scenario that this one begins with."""
        first = copy.deepcopy(self.result)
        first.scenario, first.completed = BEGINS[first.scenario], True
        first.unwatched += self.browser.unready()
        self.told(first, self.browser)
        self.result.first = first

    @property
    def browser(self) -> Watch:
        """The browser that is open."""
        if self.watch is None:
            raise BrowserError("the browser is gone")
        return self.watch

    def mark(self, station: str) -> None:
        """Begin a station."""
        self.browser.mark(station)
        self.on_station(station)

    async def arrive(self, station: str) -> None:
        """Open the site's page as a station. Raises NotDoneError where visitors would see another."""
        browser = self.browser
        self.mark(station)
        await browser.go(self.session, self.plan.url)
        await self.look(station)
        # Asked when all is quiet: some pages are refused at first and load themselves anew.
        with contextlib.suppress(BrowserError):
            address = str(await browser.evaluate(self.session, "location.href"))
            if address.startswith("chrome-error:"):
                raise NotDoneError("error", "the page led to an address that cannot be opened")
        status, headers = browser.answer(self.session)
        if status in _REFUSED or _CHALLENGES & headers.keys():
            raise NotDoneError("bot-wall", f"the server did not let the browser in: {status}")
        if status >= HTTPStatus.BAD_REQUEST:
            raise NotDoneError("error", f"the server answered {status}")

    async def look(self, station: str) -> None:
        """Wait until the page is quiet, scroll through it, and read what it left."""
        browser = self.browser
        ended = await self.settled()
        if self.result.setting.scripts:  # without scripts no promise of it is ever kept
            with contextlib.suppress(BrowserError):
                await browser.evaluate(self.session, _SCROLL)
                ended = await self.settled()
        await self.read(station, ended)

    async def settled(self) -> str:
        """Wait until the page is quiet; one that never was is not waited for as long again."""
        restless = "time" in self.result.facts.get("ended", {}).values()
        most = _RESTLESS_SECONDS if restless else _MOST_SECONDS
        ended = await self.browser.settled(self.plan.quiet, most)
        if ended == "time":
            self.result.facts.setdefault("ended", {}).setdefault("first", "time")
        return ended

    async def read(self, station: str, ended: str) -> None:
        """Read jar, storage, hints and tags, and take a picture; note how the wait before it ended."""
        self.result.facts.setdefault("ended", {})[station] = ended
        browser = self.browser
        browser.note("bandeau.jar", {"cookies": await browser.cookies()})
        with contextlib.suppress(BrowserError):
            address = await browser.evaluate(self.session, "location.href")
            hints = await browser.evaluate(self.session, _HINTS)
            browser.note("bandeau.hints", {"page": address, "hints": hints})
            browser.note("bandeau.tags", {"tags": await browser.evaluate(self.session, _TAGS)})
            if self.result.setting.scripts:
                areas = await browser.evaluate(self.session, _STORAGE)
                host = urlsplit(address).hostname or ""
                browser.note("bandeau.storage", {"host": host, "areas": areas})
                copies = await browser.evaluate(self.session, look.page("copies"))
                browser.note("bandeau.copies", {"copies": copies})
            self.result.facts.setdefault("text", {})[station] = await browser.evaluate(
                self.session, look.page("text")
            )
        with contextlib.suppress(BrowserError):
            shot = await browser.call("Page.captureScreenshot", {"format": "png"}, self.session)
            self.result.pictures[station] = base64.b64decode(shot["data"])

    async def walk(self, station: str, *, chosen: bool = False) -> None:
        """Load the page anew, and walk on to more pages of the site, in the order of its links.

        Raises NotDoneError where a choice was made and the notice came back.
        """
        await self.arrive(f"{station}-reload")
        if chosen and await self.finder.notice() is not None:
            self.result.facts["asked again"] = "when the page was loaded again"
            raise NotDoneError("asked-again", "the notice came back when the page was loaded again")
        await self.back(f"{station}-reload")
        links = await self._links()
        for number, url in enumerate(links[: self.plan.pages - 1], 2):
            name = f"{station}-page-{number}"
            self.mark(name)
            await self.browser.go(self.session, url)
            await self.look(name)
            await self.back(name)

    async def back(self, station: str) -> None:
        """Note whether a way back to the choices is to be seen, and what stands around it.

        The text is read with forced colours, in which colour alone says nothing.
        """
        if not self.result.clicks:
            return
        control, shown = await self.finder.way_back(), None
        if control:
            shown = {"label": control.label}
            with contextlib.suppress(BrowserError):
                plain = await self.finder.on(control, look.on("state"))
                await self._media("forced-colors", "active")
                forced = await self.finder.on(control, look.on("state"))
                await self._media("forced-colors", "none")
                if isinstance(plain, dict) and isinstance(forced, dict):
                    shown |= {"text": forced["text"], "colours": _digest(plain["colours"])}
        self.result.facts.setdefault("way back", {})[station] = shown

    async def still(self, layer: Notice) -> None:
        """Note what of a layer moves without end although less motion is asked for."""
        await self._media("prefers-reduced-motion", "reduce")
        self.result.facts["moves"] = (await self.finder.box(layer)).get("endless", 0)
        await self._media("prefers-reduced-motion", "no-preference")

    async def _media(self, name: str, value: str) -> None:
        features = [{"name": name, "value": value}]
        await self.browser.call("Emulation.setEmulatedMedia", {"features": features}, self.session)

    async def linked(self, links: list[list[str]]) -> None:
        """Read the pages of the site that a layer links to."""
        home = urlsplit(self.plan.url).hostname
        pages = list(dict.fromkeys(url.partition("#")[0] for _, url in links))
        own = [url for url in pages if host_of(url) == home][:_TOLD]
        for number, url in enumerate(own, 1):
            self.mark(f"told-{number}")
            with contextlib.suppress(BrowserError):  # a download, or a page that is not there
                await self.browser.go(self.session, url)
                await self.settled()
                found = await self.browser.evaluate(self.session, look.page("text"))
                self.result.facts.setdefault("told", []).append({"url": url, "text": found["text"]})

    async def others(self, layer: Notice) -> None:
        """Note what else in the window offers to accept, outside of the notice."""
        known = {(one.session, one.node) for one in layer.controls}
        box = self.result.layers[-1].get("box", {}).get("text")
        for one in await self.finder.controls():
            if one.goal is not Goal.ACCEPT or (one.session, one.node) in known:
                continue
            with contextlib.suppress(BrowserError):
                alone = Notice("words", (one,))
                around = await self.finder.box(alone)
                if around.get("text") != box:
                    goals = [goal.value for word in around["labels"] if (goal := goal_of(word))]
                    found = {"label": one.label, "text": around["text"], "goals": goals}
                    self.result.facts.setdefault("others", []).append(found)

    async def notice(self) -> Notice:
        """Return the notice that is shown, and note what its layer offers."""
        for _ in range(6):  # some come late
            found = await self.finder.notice()
            if found:
                await self.noted(found)
                return found
            await asyncio.sleep(0.5)
        raise NotDoneError("no-notice", "no notice was found that asks for a choice")

    async def choose(self, goal: Goal, station: str) -> None:
        """Make a choice and see that it holds. Raises NotDoneError."""
        before = await self.state()
        layer = await self.notice()
        name = layer.name
        made = (await self.browser.evaluate(self.session, look.page("text")))["made"]
        clicks = 0
        for _ in range(_LAYERS):
            clicks += 1
            control = layer.control(goal) or _second(layer, goal)
            last = control is not None
            if control is None:
                control = layer.control(Goal.SETTINGS)
            if control is None:
                raise NotDoneError(
                    "no-control", f"the notice {name} shows no control to {goal.value}"
                )
            self.mark(station)
            await self.finder.press(control)
            ended = await self.settled()
            if last and await self.state() == before:
                clicks += await self._saved(layer)
            if last and await self._held(before):
                self.result.clicks[goal.value] = clicks
                await self._announced(station, made)
                await self.read(station, ended)
                return
            if last:
                break
            layer = await self.finder.notice() or await self.finder.layer()
            if layer.name == name and layer.control(goal) is None:
                layer = await self.finder.layer()
            await self.noted(layer)
        raise NotDoneError(
            "no-effect", f"{goal.value} was pressed, but nothing was stored or it came back"
        )

    async def withdraw(self) -> None:
        """Take an agreement back, by the site's own way. Raises NotDoneError."""
        before = await self.state()
        control = await self.finder.way_back()
        if control is None:
            raise NotDoneError("no-way-back", "no way back to the choices was found")
        self.mark("withdraw")
        await self.finder.press(control)
        await self.settled()
        clicks = 1
        for _ in range(_LAYERS):
            layer = await self.finder.notice() or await self.finder.layer()
            if layer.control(Goal.REFUSE) is None and layer.control(Goal.SAVE) is None:
                layer = await self.finder.layer()
            await self.noted(layer)
            refuse = layer.control(Goal.REFUSE)
            if refuse is None:
                clicks += await self._untick(layer)
                refuse = layer.control(Goal.SAVE)
            if refuse is None:
                refuse = layer.control(Goal.SETTINGS)
            if refuse is None:
                raise NotDoneError("no-control", "the way back shows no control to refuse")
            clicks += 1
            await self.finder.press(refuse)
            ended = await self.settled()
            if refuse.goal is not Goal.SETTINGS:
                if refuse.goal is Goal.REFUSE and await self.state() == before:
                    clicks += await self._saved(layer)
                if await self.state() == before:
                    raise NotDoneError("no-effect", "the withdrawal changed nothing that is stored")
                self.result.clicks["withdraw"] = clicks
                await self.read("withdraw", ended)
                return
        raise NotDoneError("no-control", "the way back leads to no control to refuse")

    async def only(self, purpose: str) -> None:
        """Grant exactly one purpose, by a tick whose value or name is its id. Raises NotDoneError."""
        before = await self.state()
        layer = await self.notice()
        settings = layer.control(Goal.SETTINGS)
        if settings:
            self.mark(f"only:{purpose}")
            await self.finder.press(settings)
            await self.settled()
            layer = await self.finder.layer()
            await self.noted(layer)
        wanted = json.dumps(purpose)
        set_only = f"""(() => {{
          const all = [...document.querySelectorAll('input[type=checkbox]:not(:disabled)')];
          const mine = all.filter((one) => [one.value, one.name, one.id].includes({wanted}));
          for (const one of all) if (one.checked !== mine.includes(one)) one.click();
          const ticked = all.filter((one) => one.checked).map((one) => one.value || one.name || one.id);
          return {{ found: mine.length, ticks: all.length, ticked }};
        }})()"""
        self.result.facts["set"] = await self.browser.evaluate(self.session, set_only)
        if not self.result.facts["set"]["found"]:
            raise NotDoneError("no-control", f"no tick is called {purpose}")
        save = layer.control(Goal.SAVE)
        if save is None:
            raise NotDoneError("no-control", "the settings show no control to save")
        await self.finder.press(save)
        ended = await self.settled()
        if not await self._held(before):
            raise NotDoneError("no-effect", "the settings were saved, but nothing was stored")
        await self.read(f"only:{purpose}", ended)

    async def settings(self) -> None:
        """Open the settings, save them as they are, and see what they show after that."""
        layer = await self.notice()
        opens = layer.control(Goal.SETTINGS)
        if opens is None:
            self.result.facts["settings"] = "none"
            return
        self.mark("settings")
        await self.finder.press(opens)
        await self.settled()
        layer = await self.finder.layer()
        await self.noted(layer)
        self.result.facts["shown"] = await self._ticks(layer)
        save = layer.control(Goal.SAVE)
        if save is None:
            self.result.facts["settings"] = "no-control"
            return
        before = await self.state()
        self.mark("saved")
        await self.finder.press(save)
        ended = await self.settled()
        self.result.facts["settings"] = "saved" if await self._held(before) else "no-effect"
        await self.read("saved", ended)
        await self.walk("saved")
        control = await self.finder.way_back()
        if control:
            await self.finder.press(control)
            await self.settled()
            self.result.facts["reopened"] = await self._ticks(await self.finder.layer())

    async def _ticks(self, layer: Notice) -> list[Params]:
        """Return what a person may tick in a layer, and whether it is ticked."""
        found = []
        for one in layer.ticks:
            with contextlib.suppress(BrowserError):
                ticked = await self.finder.ticked(one)
                found.append({"label": one.label, "ticked": ticked, "locked": one.disabled})
        return found

    async def keyboard(self) -> None:
        """Refuse by keyboard alone. Raises NotDoneError."""
        keys = Keys(self.browser, self.session, self.finder)
        before = await self.state()
        layer = await self.notice()
        stops: list[Params] = self.result.facts.setdefault("stops", [])
        for _ in range(_LAYERS):
            refuse = layer.control(Goal.REFUSE) or _second(layer, Goal.REFUSE)
            control = refuse or layer.control(Goal.SETTINGS)
            if control is None:
                raise NotDoneError("no-control", "the notice shows no control to refuse")
            walked = await keys.through(layer)
            stops.append({**asdict(walked), "control": control.label, "pressed": False})
            if control.label in walked.missed or walked.stuck:
                return  # that is what was to be found out
            self.mark("keyboard")
            if not await keys.back_to(control):
                return
            await keys.press("Enter")
            await self.settled()
            stops[-1]["pressed"] = True
            if refuse:
                stops[-1]["held"] = await self._held(before)
                return
            layer = await self.finder.layer()
            await self.noted(layer)
        raise NotDoneError("no-control", "the settings show no control to refuse")

    async def small(self) -> None:
        """See what of the notice can be reached in small windows, and what it lies over."""
        layer = await self.notice()
        keys = Keys(self.browser, self.session, self.finder)
        covered = await keys.covered(layer, _STOPS)
        self.result.facts["covered"] = covered
        width, height = _NARROW
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        await self.browser.call("Emulation.setDeviceMetricsOverride", size, self.session)
        await asyncio.sleep(self.plan.quiet)
        reached = []
        for one in layer.controls:
            if one.goal and one.role not in ("checkbox", "switch", "radio"):
                with contextlib.suppress(BrowserError):
                    reached.append(await self.finder.reach(one))
        self.result.facts["reached"] = reached

    async def _announced(self, station: str, made: float) -> None:
        """Note how a choice was told: by a status, or because the page was made anew."""
        told = ""
        with contextlib.suppress(BrowserError):
            anew = (await self.browser.evaluate(self.session, look.page("text")))["made"] != made
            status = await self.browser.evaluate(self.session, look.page("said"))
            told = "made anew" if anew else str(status)[:200]
        self.result.facts.setdefault("announced", {})[station] = told

    async def restart(self) -> None:
        """End the browser and start it again on the same profile."""
        await self.close()
        await self.open()

    async def _saved(self, layer: Notice) -> int:
        """Save what a button has only set, where the layer has such a one; return the clicks."""
        save = layer.control(Goal.SAVE)
        if save is None:
            return 0
        await self.finder.press(save)
        await self.settled()
        return 1

    async def _untick(self, layer: Notice) -> int:
        clicks = 0
        for tick in layer.ticks:
            if not tick.disabled and await self.finder.ticked(tick):
                await self.finder.press(tick)
                clicks += 1
        return clicks

    async def _held(self, before: str) -> bool:
        """Say whether something was stored and the notice went; what that took goes on is waited for."""
        for times in range(10):
            if await self.state() != before and await self.finder.notice() is None:
                if times:
                    await self.settled()
                return True
            await asyncio.sleep(0.2)
        return False

    async def state(self) -> str:
        """Return a digest of all that is stored: whether a click changed anything is all it is for."""
        browser = self.browser
        jar = sorted(
            f"{c['domain']} {c['path']} {c['name']} {c['value']}" for c in await browser.cookies()
        )
        local: Any = {}
        if self.result.setting.scripts:
            with contextlib.suppress(BrowserError):
                local = await browser.evaluate(
                    self.session, "({local: {...localStorage}, session: {...sessionStorage}})"
                )
        text = json.dumps([jar, local], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()

    async def _links(self) -> list[str]:
        with contextlib.suppress(BrowserError):
            here = urlsplit(self.plan.url)
            found: list[str] = []
            for link in filter(host_of, await self.browser.evaluate(self.session, _LINKS)):
                one = urlsplit(link)
                plain = one._replace(fragment="").geturl()
                same = (one.scheme, one.netloc) == (here.scheme, here.netloc)
                if same and one.path != here.path and plain not in found:
                    found.append(plain)
            return found
        return []

    async def noted(self, layer: Notice) -> None:
        """Keep what a layer offers, for the rules on its controls."""
        found: Params = {"name": layer.name}
        with contextlib.suppress(BrowserError):
            found["box"] = await self.finder.box(layer)  # first: it waits until all is there
        controls = []
        for one in layer.controls:
            with contextlib.suppress(BrowserError):
                facts = await self.finder.facts(one)
                controls.append(
                    {
                        "role": one.role,
                        "label": one.label,
                        "goal": one.goal.value if one.goal else None,
                        "checked": one.checked,
                        "disabled": one.disabled,
                        **facts,
                    }
                )
        found["controls"] = controls
        self.result.layers.append(found)


_SCROLL = """(async () => {
  const step = innerHeight * 0.8, most = Math.min(document.documentElement.scrollHeight, 30000);
  for (let top = 0; top < most; top += step) {
    scrollTo({ top, behavior: 'instant' }); // else a page that scrolls smoothly stays where it is
    await new Promise(requestAnimationFrame);
  }
  scrollTo({ top: 0, behavior: 'instant' });
})()"""


def _digest(value: object) -> str:
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()[:16]


def _second(layer: Notice, goal: Goal) -> Control | None:
    """Return what refuses on a second layer: saving what nobody ticked."""
    if goal is not Goal.REFUSE or any(one.checked and not one.disabled for one in layer.ticks):
        return None
    return layer.control(Goal.SAVE) if layer.ticks else None


async def _no_choice(walk: _Walk) -> None:
    await walk.arrive("arrive")
    links: list[list[str]] = []
    with contextlib.suppress(NotDoneError):
        layer = await walk.notice()
        links = walk.result.layers[-1].get("box", {}).get("links", [])
        with contextlib.suppress(BrowserError):
            await walk.others(layer)
            await walk.still(layer)
    await walk.walk("no-choice")
    await walk.linked(links)


async def _refuse(walk: _Walk) -> None:
    await walk.arrive("arrive")
    await walk.choose(Goal.REFUSE, "refuse")
    await walk.walk("refuse", chosen=True)


async def _accept(walk: _Walk) -> None:
    await walk.arrive("arrive")
    await walk.choose(Goal.ACCEPT, "accept")
    await walk.walk("accept", chosen=True)


async def _withdraw(walk: _Walk) -> None:
    await _accept(walk)
    walk.begun()
    await walk.withdraw()
    await walk.walk("withdraw")


async def _reconsider(walk: _Walk) -> None:
    await _refuse(walk)
    walk.begun()
    control = await walk.finder.way_back()
    if control is None:
        raise NotDoneError("no-way-back", "no way back to the choices was found")
    await walk.finder.press(control)
    await walk.browser.settled(walk.plan.quiet)
    layer = await walk.finder.notice() or await walk.finder.layer()
    accept = layer.control(Goal.ACCEPT)
    if accept is None:
        raise NotDoneError("no-control", "the way back shows no control to accept")
    walk.mark("reconsider")
    await walk.finder.press(accept)
    await walk.read("reconsider", await walk.settled())
    await walk.walk("reconsider")


async def _return(walk: _Walk) -> None:
    await _refuse(walk)
    await walk.restart()
    await walk.arrive("return")
    if await walk.finder.notice() is not None:
        walk.result.facts["asked again"] = "after the browser was started anew"


async def _only(walk: _Walk) -> None:
    purpose = walk.result.scenario.partition(":")[2]
    await walk.arrive("arrive")
    await walk.only(purpose)
    await walk.walk(f"only:{purpose}")


async def _gpc(walk: _Walk) -> None:
    """Walk under the signal, then accept against it: does anybody say that the two differ?"""
    await walk.arrive("arrive")
    await walk.walk("gpc")
    with contextlib.suppress(OSError):
        walk.result.facts["support file"] = await asyncio.to_thread(support_file, walk.plan.url)
    layer = await walk.finder.notice()
    if layer is None:  # the signal was taken for a refusal: then by the way back
        control = await walk.finder.way_back()
        if control is None:
            return
        await walk.finder.press(control)
        await walk.browser.settled(walk.plan.quiet)
        layer = await walk.finder.layer()
    accept = layer.control(Goal.ACCEPT)
    if accept is None:
        return
    first = await walk.finder.box(layer)
    before = await walk.state()
    walk.mark("against")
    await walk.finder.press(accept)
    await walk.browser.settled(walk.plan.quiet)
    stored = await walk.state() != before
    now = await walk.browser.evaluate(walk.session, look.page("text"))
    told = said("signal", f"{first.get('text', '')} {now['text']}")
    walk.result.facts["against"] = {"stored": stored, "said": told}


async def _no_script(walk: _Walk) -> None:
    """Choose where that can be done without script, and look for the way back and where it leads."""
    await walk.arrive("arrive")
    with contextlib.suppress(NotDoneError):
        await walk.choose(Goal.ACCEPT, "no-script")
    await walk.walk("no-script")
    control = await walk.finder.way_back()
    walk.result.facts["entry"] = control.label if control else None
    if control:
        await walk.finder.press(control)
        await walk.browser.settled(walk.plan.quiet)
        layer = await walk.finder.notice() or await walk.finder.layer()
        goals = [one.goal for one in layer.controls]
        walk.result.facts["leads"] = Goal.REFUSE in goals or Goal.SAVE in goals


async def _small(walk: _Walk) -> None:
    await walk.arrive("arrive")
    await walk.small()


async def _settings(walk: _Walk) -> None:
    await walk.arrive("arrive")
    await walk.settings()


async def _keyboard(walk: _Walk) -> None:
    await walk.arrive("arrive")
    await walk.keyboard()


async def _endpoints(walk: _Walk) -> None:
    """Ask the public addresses of a site behind bandeau; elsewhere there is nothing to ask."""
    plan = walk.plan
    found = await asyncio.to_thread(probed, plan.url, plan.prefix) if plan.prefix else {}
    walk.result.facts["endpoints"] = found


async def _dismiss(walk: _Walk) -> None:
    await walk.arrive("arrive")
    layer = await walk.notice()
    close = layer.control(Goal.CLOSE)
    walk.mark("dismiss")
    if close:
        await walk.finder.press(close)
    await Keys(walk.browser, walk.session, walk.finder).press("Escape")
    await walk.look("dismiss")
    await walk.walk("dismiss")


async def _dirty(walk: _Walk) -> None:
    """Begin with an identifier of each third party that the site brings, as from a visit elsewhere."""
    await walk.arrive("first")
    hosts = {
        urlsplit(event.params["request"]["url"]).hostname
        for event in walk.browser.events
        if event.method == "Network.requestWillBeSent"
    }
    reader = Reader(walk.plan.url, own=walk.plan.own)
    await walk.browser.call("Storage.clearCookies", walk.browser.context)
    for host in sorted(filter(None, hosts)):
        if reader.third(host):
            cookie = {"name": SEED, "value": hashlib.sha256(host.encode()).hexdigest()[:24]}
            more = {"domain": host, "path": "/", "sameSite": "None", "secure": True}
            seed = {"cookies": [{**cookie, **more}], **walk.browser.context}
            await walk.browser.call("Storage.setCookies", seed)
    await walk.arrive("dirty")
    await walk.walk("dirty")


_RESTARTS = ("return",)  # what a context keeps ends with its browser
SEED = "bandeau_seed"  # the cookie that stands for what a third party knows already
_SCENARIOS: dict[str, Callable[[_Walk], Awaitable[None]]] = {
    "no-choice": _no_choice,
    "refuse": _refuse,
    "accept": _accept,
    "withdraw": _withdraw,
    "gpc": _gpc,
    "reconsider": _reconsider,
    "return": _return,
    "only": _only,
    "no-script": _no_script,
    "small": _small,
    "dismiss": _dismiss,
    "dirty": _dirty,
    "settings": _settings,
    "keyboard": _keyboard,
    "endpoints": _endpoints,
}
