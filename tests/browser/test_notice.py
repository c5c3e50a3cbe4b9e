"""The notice under hand and eye: keys, focus, small windows, equal buttons, no shift, no violation."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest
from playwright.sync_api import BrowserContext, Page, Route, expect

from browser.conftest import ARTICLE, Demo, names, settle
from browser.test_probes import POLICY, Sites, served

Visitor = Callable[..., BrowserContext]
PROVE = bool(os.environ.get("BANDEAU_PROVE"))
thorough = pytest.mark.skipif(not PROVE, reason="BANDEAU_PROVE=1 walks through all of them")
TINY = {"width": 320, "height": 256}  # 1280×1024 at 400 %
PHONE = {"width": 390, "height": 844}
DESKTOP = {"width": 1280, "height": 800}
LOOKS = [
    (theme, place)
    for theme in ("plain", "newspaper", "public")
    for place in ("bottom", "top", "corner")
]
PAGE = """<!doctype html><html lang="en"><head><title>A page</title></head><body><a href="#main">Skip</a><main id="main"><h1>A page</h1>
{links}<h2>A film</h2><p>before <iframe src="//probe.localhost:{{port}}/frame" title="A film" width="300" height="200"></iframe>
after</p><p><textarea aria-label="Words"></textarea></p>{links}</main></body></html>""".format(
    links="".join(
        f'<p><a href="/{n}">link {n}</a> and what follows it, line after line.</p>'
        for n in range(12)
    )
).encode()
STRICT = (
    b"default-src 'none'; script-src 'nonce-abc'; style-src 'nonce-abc'; connect-src 'self'; form-action 'self';"
    b" frame-src http://probe.localhost:*; require-trusted-types-for 'script'; trusted-types 'none'"
)
# What of the focused element can be seen: its share of points that are not under the notice.
SEEN = """() => { const one = document.activeElement, box = one.getBoundingClientRect(), notice = document.getElementById('bandeau');
  const free = (x, y) => { const top = document.elementFromPoint(x, y); return top && (one === top || one.contains(top) || top.contains(one)); };
  const points = [.1, .3, .5, .7, .9].flatMap(x => [.1, .5, .9].map(y => [box.left + box.width * x, box.top + box.height * y]));
  return { tag: one.tagName, text: (one.innerText || one.title || '').slice(0, 30), inside: !!one.closest('#bandeau'),
    body: one === document.body, seen: points.filter(p => free(...p)).length } }"""
STYLES = """buttons => { const values = buttons.map(b => { const s = getComputedStyle(b);
    return Object.fromEntries([...s].filter(n => !n.startsWith('--')).map(n => [n, s.getPropertyValue(n).replace(/[\\d.]+px/g, v => Math.round(parseFloat(v)) + "px")])) });
  const boxes = buttons.map(b => b.getBoundingClientRect());
  return [Object.keys(values[0]).filter(n => new Set(values.map(v => v[n])).size > 1), boxes.map(b => [Math.round(b.width), Math.round(b.height)]), Object.keys(values[0]).length] }"""
SHIFTS = "window.shifts = []; new PerformanceObserver(l => { for (const e of l.getEntries()) shifts.push(e.value) }).observe({type: 'layout-shift', buffered: true})"


def policy(theme: str = "plain", placement: str = "bottom") -> str:
    return f'{POLICY}[notice]\ntheme = "{theme}"\nplacement = "{placement}"\n'


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Sites]:
    with served(tmp_path, {"/": PAGE}, policy=policy()) as found:
        yield found


def at(sites: Sites, path: str = "/") -> str:
    return f"http://site.localhost:{sites.port}{path}"


def walk(page: Page, most: int = 80) -> list[dict[str, Any]]:
    """Press Tab from the page's start until focus leaves it; return what had focus."""
    found = []
    for _ in range(most):
        page.keyboard.press("Tab")
        one = page.evaluate(SEEN)
        if one["body"]:
            break
        found.append(one)
    return found


def test_refusing_is_three_tabs_away_and_escape_grants_nothing(
    site: Sites, visitor: Visitor
) -> None:
    context = visitor()
    page = context.new_page()
    page.goto(at(site))
    assert page.evaluate("document.activeElement === document.body")
    for _ in range(3):
        page.keyboard.press("Tab")
        page.keyboard.press("Escape")
    assert page.evaluate("document.activeElement.value") == "none"
    assert names(context, "site.localhost") == set()
    page.keyboard.press("Enter")
    expect(page.locator("#bandeau")).to_have_count(0)
    expect(page.locator("#bandeau-state [role=status]")).not_to_be_empty()
    assert page.locator("#bandeau-state").get_attribute("data-granted") == ""
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip"


def test_what_has_focus_is_never_under_the_notice_at_400_percent(
    site: Sites, visitor: Visitor
) -> None:
    page = visitor(viewport=TINY).new_page()
    page.goto(at(site))
    found = walk(page)
    assert [one["text"] for one in found if not one["seen"]] == []
    assert len(found) > 25
    assert [one["inside"] for one in found].index(False) == 6  # the notice, then the page: no trap


@pytest.mark.parametrize(
    "size",
    [TINY, PHONE, DESKTOP] if PROVE else [TINY],
    ids=["tiny", "phone", "desktop"][: 3 if PROVE else 1],
)
def test_accept_refuse_and_settings_differ_in_nothing_but_words(
    site: Sites, visitor: Visitor, size: Any
) -> None:
    page = visitor(viewport=size).new_page()
    for path, layer in (("/", "#bandeau"), ("/_b/settings", "#bandeau-settings")):
        page.goto(at(site, path))
        different, boxes, read = page.locator(f"{layer} button").evaluate_all(STYLES)
        assert read > 300
        assert different == []
        assert len({tuple(box) for box in boxes}) == 1
        assert boxes[0][1] >= 44


@thorough
def test_nothing_shifts_before_at_or_after_a_choice(site: Sites, visitor: Visitor) -> None:
    page = visitor(viewport=PHONE).new_page()
    page.add_init_script(SHIFTS)
    page.goto(at(site))
    page.locator("#bandeau button[value=none]").click()
    settle(page)
    assert page.evaluate("shifts") == []
    held = page.locator(".bandeau-hold").bounding_box()
    page.locator(".bandeau-hold button").first.click()
    expect(page.locator("iframe[src]")).to_have_count(1)
    settle(page)
    frame = page.locator("iframe[src]").bounding_box()
    assert held
    assert frame
    assert held["width"] == frame["width"] - 4  # its borders
    assert held["height"] >= frame["height"] - 4  # more only where its words need it
    assert page.evaluate("shifts") == []


def test_focus_goes_to_what_was_opened_in_place(site: Sites, visitor: Visitor) -> None:
    page = visitor().new_page()
    page.goto(at(site))
    page.locator("#bandeau button[value=none]").click()
    settle(page)
    page.evaluate("history.replaceState({own: 1}, '')")
    page.locator(".bandeau-hold button").first.press("Enter")
    expect(page.locator("iframe[src]")).to_have_count(1)
    # Not `:focus`, which asks whether the window has the focus too: a browser without a screen gives that to
    # the process of another site's frame or not, whatever the page does.
    page.wait_for_function("document.activeElement.title === 'A film'")
    settle(page)
    assert page.evaluate("document.activeElement.outerHTML").startswith("<iframe")
    assert page.evaluate("history.state") == {"own": 1}


def test_what_is_pressed_while_a_choice_is_on_its_way_waits_its_turn(
    site: Sites, visitor: Visitor
) -> None:
    page = visitor().new_page()
    page.goto(at(site))
    sent: list[str] = []

    def slow(route: Route) -> None:
        sent.append(parse_qs(route.request.post_data)["choice"][0])
        page.wait_for_timeout(300)
        route.continue_()

    page.route("**/_b/choice", slow)
    presses = (
        "document.querySelector('#bandeau button[value=none]').click();"
        "const open = document.querySelector('.bandeau-hold button'); open.click(); open.click()"
    )
    page.evaluate(presses)
    expect(page.locator("iframe[src]")).to_have_count(1)
    settle(page)
    assert sent == ["none", "add"]

    other = visitor().new_page()
    other.goto(at(site))
    other.evaluate("dispatchEvent(new Event('input'))")  # a reload would lose something
    other.evaluate(presses)
    offer = other.locator("#bandeau-state [role=status] button")
    expect(offer).to_have_count(1)
    other.wait_for_timeout(4_500)  # longer than a confirmation stands
    expect(offer).to_have_count(1)


@thorough
def test_a_part_that_opens_without_a_frame_focuses_its_heading(
    demo: Demo, visitor: Visitor
) -> None:
    page = visitor().new_page()
    page.goto(demo.url + ARTICLE)
    page.locator("#bandeau button[value=none]").click()
    settle(page)
    page.locator("[data-bandeau-needs=social]").first.evaluate(
        "one => one.nextElementSibling.removeAttribute('data-bd-src')"
    )
    page.locator("[data-bandeau-needs=social] button").first.click()
    page.wait_for_function("document.activeElement.matches('h2')")
    assert (
        page.evaluate("document.activeElement.innerText") == "Ukraine\u00a0: la ligne ne bouge pas"
    )


@thorough
def test_words_that_were_typed_are_not_lost_to_a_reload(site: Sites, visitor: Visitor) -> None:
    page = visitor().new_page()
    page.goto(at(site))
    page.locator("#bandeau button[value=none]").click()
    settle(page)
    page.locator("textarea").press_sequentially("Mine")
    page.locator(".bandeau-hold button").first.click()
    expect(page.locator("#bandeau-state [role=status] button")).to_have_count(1)
    assert page.locator("textarea").input_value() == "Mine"
    page.locator("#bandeau-state [role=status] button").click()
    expect(page.locator("iframe[src]")).to_have_count(1)


def test_a_failure_brings_the_notice_and_the_focus_back(site: Sites, visitor: Visitor) -> None:
    page = visitor(viewport=TINY).new_page()
    page.goto(at(site))
    page.route("**/_b/choice", lambda route: route.abort())
    page.locator("#bandeau button[value=all]").press("Enter")
    expect(page.locator("#bandeau-state [role=status]")).not_to_be_empty()
    assert page.evaluate("document.activeElement.value") == "all"
    assert page.evaluate(SEEN)["seen"] > 0  # what says so does not cover it


@thorough
def test_a_hidden_notice_is_a_refusal_and_the_page_scrolls(site: Sites, visitor: Visitor) -> None:
    context = visitor(viewport=PHONE)
    page = context.new_page()
    page.add_init_script(
        "addEventListener('DOMContentLoaded', () => { const s = new CSSStyleSheet(); s.replaceSync('#bandeau{display:none!important}'); document.adoptedStyleSheets = [s] })"
    )
    page.goto(at(site))
    expect(page.locator("#bandeau")).to_be_hidden()
    page.mouse.wheel(0, 600)
    page.wait_for_function("scrollY > 0")
    page.locator("main a").first.click()
    page.wait_for_url(at(site, "/0"))
    assert names(context, "site.localhost") == set()
    page.goto(at(site))
    expect(page.locator("#bandeau-state .bandeau-no:visible")).to_have_count(2)
    expect(page.locator("iframe[src]")).to_have_count(0)
    assert "/frame" not in site.asked


@thorough
def test_a_strict_policy_with_trusted_types_sees_no_violation_in_any_layer(
    tmp_path: Path, visitor: Visitor
) -> None:
    with served(
        tmp_path,
        {"/": PAGE},
        (b"content-security-policy", STRICT),
        policy=policy("public", "corner"),
    ) as sites:
        page = visitor().new_page()
        told: list[str] = []
        page.expose_function("told", lambda one: told.append(one))  # noqa: PLW0108 (it is marked)
        page.add_init_script(
            "addEventListener('securitypolicyviolation', e => told(e.violatedDirective + ' ' + e.blockedURI + ' ' + e.sample))"
        )
        page.on("pageerror", lambda error: told.append(str(error)))
        page.goto(at(sites))
        page.locator("#bandeau button[value=none]").click()
        settle(page)
        page.locator(".bandeau-hold button").first.click()
        for _ in range(200):  # a function to wait for would be evaluated in the page
            if page.evaluate("document.activeElement.title") == "A film":
                break
            page.wait_for_timeout(50)
        assert page.evaluate("document.activeElement.title") == "A film"  # what is loaded later ran
        page.locator("#bandeau-state .bandeau-way").click()
        page.locator("#bandeau-settings button[value=all]").click()
        settle(page)
        assert page.locator("#bandeau-state").get_attribute("data-granted") == "ads social"
        assert [one for one in told if "probe.js" not in one] == []


@thorough
def test_withdrawing_takes_the_clicks_of_consenting_and_the_one_that_opens(
    site: Sites, visitor: Visitor
) -> None:
    page, clicks = visitor().new_page(), 0

    def click(selector: str) -> int:
        page.locator(selector).click()
        settle(page)
        return 1

    state = page.locator("#bandeau-state")
    page.goto(at(site))
    consenting = click("#bandeau button[value=all]")
    expect(state).to_have_attribute("data-granted", "ads social")
    clicks += click("#bandeau-state .bandeau-way")
    clicks += click("#bandeau-settings button[value=none]")
    expect(state).to_have_attribute("data-granted", "")
    assert clicks <= consenting + 1


@thorough
def test_on_paper_there_is_the_state_and_no_notice(site: Sites, visitor: Visitor) -> None:
    page = visitor().new_page()
    page.goto(at(site))
    page.emulate_media(media="print")
    expect(page.locator("#bandeau")).to_be_hidden()
    expect(page.locator("#bandeau-state .bandeau-no:visible")).to_have_count(2)
    assert page.evaluate("getComputedStyle(document.body).paddingBottom") == "0px"


@thorough
@pytest.mark.parametrize(
    "size",
    [TINY, PHONE, DESKTOP, {"width": 320, "height": 568}, {"width": 844, "height": 390}],
    ids=lambda size: f"{size['width']}x{size['height']}",
)
@pytest.mark.parametrize("look", LOOKS, ids="-".join)
def test_every_look_keeps_focus_in_sight_and_its_buttons_equal(
    tmp_path: Path, visitor: Visitor, look: tuple[str, str], size: Any
) -> None:
    with served(tmp_path, {"/": PAGE}, policy=policy(*look)) as sites:
        page = visitor(viewport=size).new_page()
        page.goto(at(sites))
        found = walk(page)
        assert len(found) > 25
        assert [one["text"] for one in found if not one["seen"]] == []
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        different, boxes, _ = page.locator("#bandeau button").evaluate_all(STYLES)
        assert different == []
        assert len({tuple(box) for box in boxes}) == 1
        share = page.locator("#bandeau").evaluate(
            "one => one.getBoundingClientRect().height / innerHeight"
        )
        assert share <= (0.41 if size["height"] > 640 and look[1] != "corner" else 0.74)


@thorough
@pytest.mark.parametrize(
    "size", [PHONE, {"width": 320, "height": 568}, DESKTOP], ids=["phone", "narrow", "desktop"]
)
def test_text_of_twice_the_size_leaves_every_button_within_reach(
    site: Sites, visitor: Visitor, size: Any
) -> None:
    context = visitor(viewport=size)
    page = context.new_page()
    session = context.new_cdp_session(page)
    session.send("Page.setFontSizes", {"fontSizes": {"standard": 32, "fixed": 26}})
    page.goto(at(site))
    assert (
        page.locator("#bandeau h2").evaluate("one => parseFloat(getComputedStyle(one).fontSize)")
        >= 30
    )
    assert [one["text"] for one in walk(page) if not one["seen"]] == []
    for path in ("/_b/settings", "/_b/trackers"):
        page.goto(at(site, path))
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


AXE = """async () => { const r = await axe.run(document, {iframes: false, rules: {'frame-tested': {enabled: false}}});
  return [r.violations, r.incomplete].map(l => l.map(v => [v.id, v.nodes.map(n => n.target)])).concat(r.passes.length) }"""
SCHEMES: dict[str, dict[str, Any]] = {
    "light": {},
    "dark": {"color_scheme": "dark"},
    "forced": {"forced_colors": "active"},
}


def judged(axe: str, visitor: Visitor, scheme: str, addresses: list[str]) -> None:
    for size in (TINY, PHONE, DESKTOP):
        page = visitor(viewport=size, **SCHEMES[scheme]).new_page()
        for address in addresses:
            page.goto(address)
            page.evaluate(f"{axe};0")
            violations, incomplete, passes = page.evaluate(AXE)
            assert (violations, incomplete) == ([], []), address
            assert passes > 20


@thorough
@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("lang", ["fr", "en"])
def test_axe_finds_nothing_and_leaves_nothing_open(
    axe: str, demo: Demo, visitor: Visitor, lang: str, scheme: str
) -> None:
    start = "" if lang == "fr" else "/en"
    ours = [f"/_b/{page}?lang={lang}" for page in ("settings", "trackers", "receipt")]
    paths = [f"{start}/", f"{start}{ARTICLE}", *ours]
    judged(axe, visitor, scheme, [demo.url + path for path in paths])


@thorough
@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("lang", ["de", "el"])
def test_axe_finds_nothing_in_other_languages(
    axe: str, tmp_path: Path, visitor: Visitor, lang: str, scheme: str
) -> None:
    spoken = policy().replace(
        'languages = ["en"]', f'languages = ["{lang}"]\naccept_unreviewed = ["{lang}"]'
    )
    assert lang in spoken
    skip = b'<a href="#main">Skip</a>'  # the page's own, which would stand outside of its landmarks
    own = PAGE.replace(b"en", lang.encode(), 1).replace(skip, b"")
    with served(tmp_path, {"/": own}, policy=spoken) as sites:
        paths = ("/", "/_b/settings", "/_b/trackers", "/_b/receipt")
        judged(axe, visitor, scheme, [at(sites, path) for path in paths])
