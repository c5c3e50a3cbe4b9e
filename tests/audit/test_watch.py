"""When a page counts as quiet, and what counts as not watched."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest

from bandeau.audit.pipe import Browser
from bandeau.audit.watch import Chromium, Setting, Watch


def test_what_a_click_sets_going_is_waited_for_however_long_the_page_was_quiet() -> None:
    async def walk() -> list[str]:
        watch = Watch(Setting(), Chromium())
        await asyncio.sleep(0.5)  # quiet, before anybody asks
        request = {"requestId": "1", "request": {"url": "http://site.localhost/choice"}}
        loop = asyncio.get_running_loop()
        loop.call_later(0.05, watch.event, "Network.requestWillBeSent", request, "s")
        loop.call_later(0.25, watch.event, "Network.loadingFinished", {"requestId": "1"}, "s")
        assert await watch.settled(0.5) == "quiet"  # long: a busy machine stalls
        return [event.method for event in watch.events]

    assert asyncio.run(walk()) == ["Network.requestWillBeSent", "Network.loadingFinished"]


class Silent:
    """A browser that answers nothing until it is stopped."""

    def __init__(self) -> None:
        self.gone = asyncio.Event()

    async def call(self, *_: Any) -> None:
        await self.gone.wait()

    async def stop(self) -> None:
        self.gone.set()


@pytest.mark.parametrize(
    ("then", "told"),
    [
        (("bandeau.jar",), ["worker http://a.test/w.js: it was never ready to be watched"]),
        ((), []),  # it came when all was read
        (("Target.detachedFromTarget", "bandeau.jar"), []),  # it ended while it waited
    ],
)
def test_what_is_not_ready_when_the_browser_is_closed_was_not_watched_if_a_station_was_read_since(
    then: tuple[str, ...], told: list[str]
) -> None:
    async def walk() -> list[str]:
        browser = Chromium()
        browser._browser = cast("Browser", Silent())
        watch = Watch(Setting(), browser)
        watch.note("bandeau.jar", {})
        info = {"targetId": "1", "type": "worker", "url": "http://a.test/w.js"}
        params = {"sessionId": "s", "targetInfo": info, "waitingForDebugger": True}
        watch.event("Target.attachedToTarget", params, "")
        await asyncio.sleep(0.01)
        for method in then:
            if method == "bandeau.jar":
                watch.note(method, {})
            else:
                watch.event(method, {"sessionId": "s"}, "")
        await watch.close()
        return watch.unwatched

    assert asyncio.run(walk()) == told
