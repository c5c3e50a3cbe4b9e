"""When a page counts as quiet."""

from __future__ import annotations

import asyncio
from pathlib import Path

from bandeau.audit.watch import Setting, Watch


def test_what_a_click_sets_going_is_waited_for_however_long_the_page_was_quiet() -> None:
    async def walk() -> list[str]:
        watch = Watch(Setting(), Path("unused"))
        await asyncio.sleep(0.1)  # quiet, before anybody asks
        request = {"requestId": "1", "request": {"url": "http://site.localhost/choice"}}
        loop = asyncio.get_running_loop()
        loop.call_later(0.05, watch._event, "Network.requestWillBeSent", request, "s")
        loop.call_later(0.25, watch._event, "Network.loadingFinished", {"requestId": "1"}, "s")
        assert await watch.settled(0.1) == "quiet"
        return [event.method for event in watch.events]

    assert asyncio.run(walk()) == ["Network.requestWillBeSent", "Network.loadingFinished"]
