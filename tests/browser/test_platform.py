"""The six probes where a consent platform asks: what its string refuses is held, what it grants passes."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from playwright.sync_api import BrowserContext, expect

from browser.conftest import names
from browser.test_probes import POLICY, SIX, probes, served
from wire.tcf_strings import DAY, made

PROBE = 42  # the third party's id among vendors
PLATFORM = (
    POLICY.replace('id = "ads"', 'id = "ads"\ntcf_purposes = [1, 2]')
    .replace('id = "social"', 'id = "social"\ntcf_purposes = [11]')
    .replace('recipient = "Probe"', f'recipient = "Probe"\ntcf_vendor = {PROBE}')
    + """
[[tracker]]
name = "euconsent-v2"
kind = "cookie"
purpose = "technical"
max_age_days = 182
[choice]
source = "tcf"
settings_url = "/plain"
"""
)


def test_six_probes_of_six_are_held_until_a_string_grants_them(
    tmp_path: Path, visitor: Callable[..., BrowserContext]
) -> None:
    today = int(time.time()) // 86_400 * DAY

    def choose(purposes: Iterable[int], vendors: Iterable[int], **more: Any) -> None:
        """Do as a platform does: write the string from the page."""
        string = made(purposes, vendors, created=today, updated=today, **more)
        page.goto(f"http://site.localhost:{sites.port}/plain")
        page.evaluate(f"document.cookie = 'euconsent-v2={string}; path=/; max-age=99999'")

    pages = {"/": SIX.encode(), "/plain": b"<!doctype html><html lang=en><title>t</title><p>plain"}
    with served(tmp_path, pages, policy=PLATFORM) as sites:
        page = visitor().new_page()
        assert set(probes(page, sites).values()) == {False}
        expect(page.locator("#bandeau")).to_have_count(0)
        expect(page.locator("form")).to_have_count(0)
        choose((), ())
        assert set(probes(page, sites).values()) == {False}
        choose((1, 2, 11), ())
        assert set(probes(page, sites).values()) == {False}
        choose((1, 2, 11), (PROBE,), disclosed=())
        assert set(probes(page, sites).values()) == {False}
        assert sites.asked == []
        choose((1, 2), (PROBE,))
        assert set(probes(page, sites).values()) == {True}
        choose((), (PROBE,))
        before = len(sites.asked)
        assert set(probes(page, sites).values()) == {False}
        assert len(sites.asked) == before
        assert names(page.context, "site.localhost") == {"bandeau", "euconsent-v2"}
