"""Traps that only a browser springs; the others are in tests/gate/test_traps.py."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from browser.conftest import settle
from browser.test_probes import Sites, choose, served

Visitor = Callable[..., BrowserContext]
both = pytest.mark.parametrize("scripts", [True, False], ids=["scripts", "no-scripts"])
MODULE = b"window.ran = true; document.cookie = 'probe_script=1; path=/'"
INTEGRITY = "sha384-" + base64.b64encode(hashlib.sha384(MODULE).digest()).decode()
P = "//probe.localhost:{port}"
PAGES = {
    "/images": f"""<img src={P}/a src={P}/b><picture><source srcset="{P}/c 1x"><img srcset="/own.gif 1x, {P}/d 2x"></picture>
        <noscript><img src={P}/e></noscript><video poster={P}/f></video><input type=image src={P}/g><body background={P}/h>
        <svg><image href={P}/i /></svg><object data={P}/j></object><embed src={P}/k>""",
    "/styles": f"""<style>@import url({P}/a.css); body {{ background: url({P}/b) }}
        @font-face {{ font-family: x; src: url({P}/c) }} p {{ font-family: x }}</style>
        <link rel=stylesheet href={P}/d.css><p style="background: url({P}/e)">text<link rel=icon href={P}/f>""",
    "/handlers": f"""<img src=/none onerror="new Image().src = '{P}/a'; navigator.sendBeacon('{P}/b')">
        <body onload="fetch('{P}/c', {{mode: 'no-cors'}})">text""",
    "/frames": f"""<iframe src="data:text/html,<img src='http:{P}/a'>"></iframe>
        <iframe src="javascript:'<img src=&quot;http:{P}/b&quot;>'"></iframe><iframe srcdoc="<img src={P}/c>"></iframe>
        <script>const f = document.createElement('iframe');
        f.src = URL.createObjectURL(new Blob(['<img src="http:{P}/d">'], {{type: 'text/html'}})); document.body.append(f)</script>""",
    "/meta": "<head><meta http-equiv=Content-Security-Policy content=\"script-src 'self' 'unsafe-inline'; img-src 'none'\"></head><p>text",
    "/integrity": f'<script src="{P}/probe.js" integrity="{INTEGRITY}" crossorigin></script><p>text',
    "/quirks": '<!DOCTYPE html PUBLIC "-//W3C//DTD HTML 4.01 Transitional//EN"><p>text',
    "/xhtml1": '<!DOCTYPE html PUBLIC "-//W3C//DTD XHTML 1.0 Strict//EN" "http://www.w3.org/TR/xhtml1/DTD/xhtml1-strict.dtd"><p>text',
    "/standards": "<!doctype html><p>text",
    "/none": "<p>no doctype",
    "/worker.js": "self.addEventListener('fetch', e => e.respondWith(caches.match(e.request).then(r => r || fetch(e.request))))",
}


@pytest.fixture
def sites(tmp_path: Path) -> Iterator[Sites]:
    pages = {path: page.encode() for path, page in PAGES.items()}
    with served(tmp_path, {**pages, "/plain": b"<!doctype html><html lang=en><p>plain"}) as found:
        yield found


def visit(page: Page, sites: Sites, path: str) -> list[str]:
    """Open a page and return what its third party was asked for."""
    before = len(sites.asked)
    page.goto(f"http://site.localhost:{sites.port}{path}")
    page.wait_for_timeout(600)
    return sites.asked[before:]


@both
@pytest.mark.parametrize(
    ("number", "path"),
    [("03 and 16 and 18 pictures in every form", "/images"), ("17 styles", "/styles"), ("18 handlers", "/handlers"),
     ("49 frames of no address", "/frames")],
)  # fmt: skip
def test_traps_of_what_a_page_loads(
    sites: Sites, visitor: Visitor, scripts: bool, number: str, path: str
) -> None:
    page = visitor(scripts=scripts).new_page()
    assert visit(page, sites, path) == [], number
    choose(page, sites, "all")
    if scripts or path != "/handlers":
        assert visit(page, sites, path), number  # it would have been asked


def test_trap_22_integrity_still_holds_after_a_grant(sites: Sites, visitor: Visitor) -> None:
    page = visitor().new_page()
    choose(page, sites, "all")
    visit(page, sites, "/integrity")
    assert page.evaluate("window.ran") is True


def test_trap_24_a_policy_in_the_markup_comes_after_our_parts_and_still_narrows(
    sites: Sites, visitor: Visitor
) -> None:
    page = visitor().new_page()
    visit(page, sites, "/meta")
    expect(page.locator("#bandeau button")).to_have_count(3)
    assert page.evaluate("typeof window[Symbol.for('bandeau')].held") == "function"
    barred = "() => new Promise(done => { const i = new Image(); i.onload = () => done(false); i.onerror = () => done(true); i.src = '/own.gif' })"
    assert page.evaluate(barred) is True


@pytest.mark.parametrize(
    ("path", "mode"),
    [
        ("/quirks", "BackCompat"),
        ("/xhtml1", "CSS1Compat"),
        ("/standards", "CSS1Compat"),
        ("/none", "BackCompat"),
    ],
)
def test_trap_28_the_rendering_mode_is_the_page_s_own(
    sites: Sites, visitor: Visitor, path: str, mode: str
) -> None:
    page = visitor().new_page()
    visit(page, sites, path)
    assert page.evaluate("document.compatMode") == mode


def test_trap_41_an_old_service_worker_is_gone_after_a_withdrawal(
    sites: Sites, visitor: Visitor
) -> None:
    page = visitor().new_page()
    choose(page, sites, "all")
    visit(page, sites, "/plain")
    page.evaluate(
        """async () => { const c = await caches.open('probe_cache');
        await c.put('/plain', new Response('stale', {headers: {'content-type': 'text/html'}}));
        await navigator.serviceWorker.register('/worker.js'); await navigator.serviceWorker.ready }"""
    )
    choose(page, sites, "none")
    visit(page, sites, "/plain")
    visit(page, sites, "/plain")
    assert "stale" not in page.content()
    left = "async () => [(await navigator.serviceWorker.getRegistrations()).length, (await caches.keys()).length]"
    assert page.evaluate(left) == [0, 0]


def test_trap_43_back_after_a_withdrawal_shows_the_withdrawn_state(
    sites: Sites, ordinary: BrowserContext
) -> None:
    page = ordinary.new_page()
    choose(page, sites, "all")
    visit(page, sites, "/images")
    page.goto(f"http://site.localhost:{sites.port}/_b/settings?back=/plain")
    page.locator("#bandeau-settings button[value=none]").click()
    settle(page)
    before = len(sites.asked)
    page.go_back()
    page.go_back()
    page.wait_for_timeout(800)
    assert page.url.endswith("/images")
    expect(page.locator("#bandeau-state")).to_have_attribute("data-granted", "")
    assert len(sites.asked) == before
