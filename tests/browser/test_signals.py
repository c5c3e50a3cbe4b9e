"""What tags hear of a choice: a stand-in for gtag.js writes down every call in its order, in three engines."""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import BrowserContext, Error, Page, expect

import serving
from bandeau.adapters.asgi import (
    Middleware,
    Receive,
    Scope,
    Send,
    read_body,
    request_of,
    send_reply,
)
from bandeau.policy.file import loads
from bandeau.policy.vendors import vendors
from bandeau.site import Site
from bandeau.wire.headers import RawHeaders
from bandeau.wire.messages import Reply
from browser.engines import ENGINES, Driver, firefox, missing

PROVE = bool(os.environ.get("BANDEAU_PROVE"))
thorough = pytest.mark.skipif(not PROVE, reason="BANDEAU_PROVE=1 walks in the other engines too")
Visitor = Callable[..., BrowserContext]
KEYS = vendors()["google"].keys
POLICY = """
version = 1
[proof]
keep_days = 912
[controller]
name = "Press"
address = "-"
contact = "dpo@press.example"
privacy_policy = "/privacy"
[site]
origins = ["http://site.localhost:{port}"]
languages = ["en"]
[[purpose]]
id = "ads"
[[purpose]]
id = "audience"
[[service]]
id = "tags"
needs_any = ["ads", "audience"]
recipient = "Tags"
hosts = [{{ host = "tags.localhost", kinds = ["script", "image"] }}]
[signals.google]
ad_storage = ["ads"]
ad_user_data = ["ads"]
ad_personalization = ["ads", "audience"]
analytics_storage = ["audience"]
security_storage = ["technical"]
"""
STAND_IN = b"""
window.seen = [];
const hear = (one) => {
  seen.push(JSON.parse(JSON.stringify(Array.from(one))));
  if (one[0] === "config") new Image().src = new URL("/collect?" + one[1], hear.at);
};
hear.at = document.currentScript.src;
for (const one of dataLayer) hear(one);
const push = dataLayer.push;
dataLayer.push = (...all) => { all.forEach(hear); return push.apply(dataLayer, all); };
"""
OWN = """<script{nonce}>
window.asked = [bandeau.allows("ads"), bandeau.allows("technical"), bandeau.allows("nothing"), dataLayer.length];
document.addEventListener("bandeau:choice", ({{ detail }}) =>
  navigator.sendBeacon("/heard", JSON.stringify([detail, bandeau.allows("ads")])));
</script>"""
TAG = """<script async{nonce} src="http://tags.localhost:{port}/gtag/js?id=G-1"></script><script{nonce}>
window.dataLayer = window.dataLayer || []; function gtag() {{ dataLayer.push(arguments); }}
gtag("js", 0); gtag("config", "G-1");</script>"""
HEAD = "<!doctype html><html lang=en><head><title>t</title>"
PAGES = {
    "/tag": HEAD + OWN + TAG + "<body><p>text",
    "/bare": TAG + "<p>no head, and the tag comes first",
    "/plain": HEAD + OWN + "<body><p>text",
    "/nonce": HEAD + OWN + TAG + "<body><p>text",
    "/strict": HEAD + "<body><p>text",
}
CSP = {
    "/nonce": "script-src 'nonce-n0' 'strict-dynamic'; require-trusted-types-for 'script'; trusted-types 'none'",
    "/strict": "default-src 'self'; require-trusted-types-for 'script'; trusted-types 'none'",
}


class Street:
    """One port, two hosts: the gated site, and the tag's, which writes down what it is asked for."""

    def __init__(self, port: int, gated: Any) -> None:
        self.port, self.gated = port, gated
        self.asked: list[str] = []
        self.heard: list[Any] = []
        self.signals: list[str] = []  # values of Sec-GPC that came with pages
        self.signal = False  # send it for browsers that cannot

    @property
    def url(self) -> str:
        return f"http://site.localhost:{self.port}"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = request_of(scope)
        if not request.host.startswith("tags."):
            if self.signal:
                scope["headers"] = [*scope["headers"], (b"sec-gpc", b"1")]
            self.signals += [one.decode() for one in request.every(b"sec-gpc")]
            await self.gated(scope, receive, send)
            return
        self.asked.append(f"{request.path}?{request.query}")
        await send_reply(
            send, Reply(200, [(b"content-type", b"text/javascript")], STAND_IN), head=False
        )

    async def own(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["path"]
        if path == "/heard":
            self.heard.append(json.loads(await read_body(receive, 9999) or b""))
        nonce = " nonce=n0" if path == "/nonce" else ""
        page = PAGES.get(path, "<p>nothing").format(port=self.port, nonce=nonce)
        headers: RawHeaders = [(b"content-type", b"text/html; charset=utf-8")]
        if path in CSP:
            headers.append((b"content-security-policy", CSP[path].encode()))
        await send_reply(send, Reply(200, headers, page.encode()), head=False)


@contextlib.contextmanager
def opened(folder: Path, policy: str = POLICY) -> Iterator[Street]:
    bound: list[Street] = []

    async def street(scope: Scope, receive: Receive, send: Send) -> None:
        await bound[0](scope, receive, send)

    with serving.running(street, lifespan=False) as port:
        site = Site.from_policy(loads(policy.format(port=port)), f"sqlite:///{folder / 'b.db'}")
        found = Street(port, None)
        found.gated = Middleware(found.own, site)
        bound.append(found)
        yield found
        site.close()


@pytest.fixture
def street(tmp_path: Path) -> Iterator[Street]:
    with opened(tmp_path) as found:
        yield found


def driven(page: Page) -> Driver:
    """Drive a page of Chromium's as the other engines are driven."""
    pages = [page]
    front = [0]

    def command(name: str, body: dict[str, Any]) -> Any:
        one = pages[front[0]]
        try:
            if name == "WebDriver:Navigate":
                one.goto(body["url"])
            elif name == "WebDriver:Back":
                one.go_back()
            elif name == "WebDriver:ExecuteScript":
                return one.evaluate(f"() => {{ {body['script']} }}")
            elif name == "WebDriver:DeleteAllCookies":
                one.context.clear_cookies()
            elif name == "WebDriver:NewWindow":
                pages.append(one.context.new_page())
                return {"handle": len(pages) - 1}
            elif name == "WebDriver:GetWindowHandle":
                return front[0]
            elif name == "WebDriver:SwitchToWindow":
                front[0] = int(body["handle"])
        except Error as error:
            raise RuntimeError(str(error)) from None
        return None

    return Driver(command)


def state(*granted: str) -> dict[str, str]:
    """Return what Google is to be told while these keys are granted."""
    return {key: "granted" if key in (*granted, "security_storage") else "denied" for key in KEYS}


DENIED = state()
COUNTED = state("analytics_storage")
GRANTED = state("ad_storage", "ad_user_data", "ad_personalization", "analytics_storage")
LAYER = "Array.from(dataLayer, (one) => Array.from(one))"
CALLS = f"{LAYER}.filter((one) => one[0] === 'consent').map((one) => [one[1], one[2]])"
FIRST = f"({LAYER})[0]"


def press(browser: Driver, value: str) -> None:
    browser.js(f"document.querySelector('#bandeau button[value={value}]').click()")


def save(browser: Driver, street: Street, *purposes: str) -> None:
    """Save settings with exactly these purposes ticked."""
    browser.goto(f"{street.url}/_b/settings?back=/plain")
    browser.js(
        "document.querySelectorAll('#bandeau-settings input[type=checkbox]').forEach("
        f"box => {{ box.checked = {list(purposes)}.includes(box.value) }})"
    )
    browser.leave(lambda: browser.js("document.querySelector('button[value=save]').click()"))


def heard(street: Street) -> Any:
    """Wait for the one event that is to come; return it with what `allows('ads')` said."""
    ends = time.monotonic() + 10
    while not street.heard and time.monotonic() < ends:
        time.sleep(0.05)
    (found,) = street.heard
    street.heard.clear()
    return found


def tagged(browser: Driver, street: Street, path: str, wanted: dict[str, str]) -> None:
    """Open a page whose tag may run: it hears the final state before anything else, and once."""
    before = len(street.asked)
    browser.goto(street.url + path)
    browser.until("(window.seen || []).map((one) => one[0]).join()", "consent,js,config")
    assert browser.js("seen[0]") == ["consent", "default", wanted]
    assert browser.js(CALLS) == [["default", wanted]]
    assert "/gtag/js?id=G-1" in street.asked[before:]


def walk(browser: Driver, street: Street) -> None:
    """Choose in every way, and look at what the tag hears, and when."""
    for path in ("/tag", "/bare", "/nonce"):
        browser.goto(street.url + path)
        browser.until("document.readyState", "complete")
        assert browser.js(FIRST) == ["consent", "default", DENIED]
        assert browser.js("Object.prototype.toString.call(dataLayer[0])") == "[object Arguments]"
        assert browser.js(f"{LAYER}.map((one) => one[0]).join()") == "consent,js,config"
    assert browser.js("asked") == [False, True, False, 1]
    press(browser, "none")  # in place
    browser.until(CALLS, [["default", DENIED], ["update", DENIED]])
    assert heard(street) == [{"granted": [], "state": "refused", "action": "none"}, False]
    browser.goto(street.url + "/tag")
    browser.until("document.readyState", "complete")
    assert browser.js(CALLS) == [["default", DENIED]]
    assert street.asked == []  # of all that, nothing went to the vendor

    save(browser, street, "audience")
    for path in ("/tag", "/bare", "/nonce"):
        tagged(browser, street, path, COUNTED)
    browser.forget()
    browser.goto(street.url + "/plain")
    press(browser, "all")  # in place, and nothing was held back
    browser.until(CALLS, [["default", DENIED], ["update", GRANTED]])
    assert browser.js("bandeau.allows('ads')") is True
    event = heard(street)
    assert sorted(event[0].pop("granted")) == ["ads", "audience"]
    assert event == [{"state": "granted", "action": "all"}, True]
    tagged(browser, street, "/tag", GRANTED)

    first = browser.tab()
    second = browser.new_tab()
    browser.switch(second)
    save(browser, street)  # a withdrawal, in another tab
    browser.switch(first)
    browser.until(FIRST, ["consent", "default", DENIED])
    assert heard(street) == [{"granted": [], "state": "refused", "action": "elsewhere"}, False]
    browser.goto(street.url + "/plain")
    browser.back()  # a page of before the withdrawal, kept or not
    browser.until("bandeau.allows('audience')", wanted=False)
    browser.until(FIRST, ["consent", "default", DENIED])

    browser.forget()
    street.signal = True
    before = len(street.asked)
    browser.goto(street.url + "/tag")
    browser.until("document.readyState", "complete")
    assert browser.js(CALLS) == [["default", DENIED]]
    assert len(street.asked) == before


def test_tags_hear_each_choice_in_its_order(street: Street, visitor: Visitor) -> None:
    walk(driven(visitor().new_page()), street)


@thorough
@pytest.mark.parametrize("engine", ENGINES)
def test_tags_hear_each_choice_in_the_other_engines(
    street: Street, engine: str, tmp_path: Path
) -> None:
    lacking = missing(engine)
    if lacking:
        pytest.skip(f"there is no {lacking} here")
    (home := tmp_path / "profile").mkdir()
    with ENGINES[engine](home) as browser:
        walk(browser, street)


def test_a_choice_that_is_not_stored_is_told_to_nobody(street: Street, visitor: Visitor) -> None:
    page = visitor().new_page()
    page.route("**/choice", lambda route: route.abort())
    page.goto(street.url + "/plain")
    page.locator("#bandeau button[value=all]").click()
    expect(page.locator("#bandeau-state [role=status]")).not_to_be_empty()
    assert page.evaluate(CALLS) == [["default", DENIED]]
    assert page.evaluate("bandeau.allows('ads')") is False
    assert street.heard == []


def test_a_strict_site_with_trusted_types_lets_it_run(street: Street, visitor: Visitor) -> None:
    page = visitor().new_page()
    said: list[str] = []
    page.on("console", lambda one: said.append(one.text))
    page.goto(street.url + "/strict")
    page.locator("#bandeau button[value=all]").click()
    driven(page).until(CALLS, [["default", DENIED], ["update", GRANTED]])
    assert said == []


def test_every_vendor_s_calls_are_made(tmp_path: Path, visitor: Visitor) -> None:
    lines = [
        f"{name} = {json.dumps({one.keys[0]: ['ads']}).replace(':', ' =')}\n"
        for name, one in vendors().items()
    ]
    policy = (
        POLICY.partition("[signals.google]")[0]
        + "[signals]\n"
        + "".join(lines).replace("{", "{{").replace("}", "}}")
    )
    queues = "[uetq, Array.from(clarity.q, (one) => Array.from(one)), ttq, _paq, pdl.consent.defaultPreset]"
    with opened(tmp_path, policy) as street:
        page = visitor().new_page()
        raised: list[str] = []
        page.on("pageerror", lambda error: raised.append(str(error)))
        page.goto(street.url + "/plain")
        denied, granted = {"ad_storage": "denied"}, {"ad_storage": "granted"}
        both = {"ad_Storage": "denied", "analytics_Storage": "denied"}
        first: list[Any] = [
            ["consent", "default", denied], [["consentv2", both]], [["revokeConsent"]], [["requireConsent"]],
            {"PA": "opt-out"},
        ]  # fmt: skip
        assert page.evaluate(queues) == first
        page.evaluate(
            "window.calls = []; window.fbq = (...all) => calls.push(all); window.pa = {consent: {setMode: (one) => calls.push(one)}}"
        )
        page.locator("#bandeau button[value=all]").click()
        driven(page).until("calls", [["consent", "grant"], "opt-in"])
        assert page.evaluate(queues) == [
            [*first[0], "consent", "update", granted], [["consentv2", both], ["consentv2", both | {"ad_Storage": "granted"}]],
            [["revokeConsent"], ["grantConsent"]], [["requireConsent"], ["setConsentGiven"]], {"PA": "opt-out"},
        ]  # fmt: skip
        page.goto(street.url + "/plain")
        assert page.evaluate(queues) == [
            ["consent", "default", granted], [["consentv2", both | {"ad_Storage": "granted"}]], [["grantConsent"]],
            [["requireConsent"], ["setConsentGiven"]], {"PA": "opt-in"},
        ]  # fmt: skip
        assert raised == []


GPC = {
    "privacy.globalprivacycontrol.enabled": True,
    "privacy.globalprivacycontrol.functionality.enabled": True,
}


@thorough
def test_firefox_s_own_signal_is_obeyed_and_overruled_knowingly(
    street: Street, tmp_path: Path
) -> None:
    if missing("Firefox"):
        pytest.skip("there is no firefox-esr here")
    (home := tmp_path / "profile").mkdir()
    with firefox(home, GPC) as browser:
        browser.goto(street.url + "/plain")
        assert set(street.signals) == {"1"}
        assert browser.js("navigator.globalPrivacyControl") is True
        assert browser.js("document.querySelector('#bandeau')") is None
        said = "document.querySelector('#bandeau-state').textContent"
        assert "Global Privacy Control" in browser.js(said)
        assert browser.js("document.querySelector('#bandeau-state').dataset.state") == "refused"
        kept = browser.js(said)
        browser.goto(street.url + "/_b/settings?back=/plain")
        everything = "document.querySelector('#bandeau-settings button[value=all]').click()"
        browser.leave(lambda: browser.js(everything))
        assert "Global Privacy Control" in browser.js("document.querySelector('main').textContent")
        assert browser.cookies() == set()  # asked once more, nothing stored
        browser.leave(lambda: browser.js(everything))
        browser.until("location.pathname", "/plain")
        assert browser.js("document.querySelector('#bandeau-state').dataset.state") == "granted"
        assert browser.js("bandeau.allows('ads')") is True
        assert "Global Privacy Control" in browser.js(said)  # the conflict is shown
        assert browser.js(said) != kept
