"""What the notice says, and what happens: one test for each row, scripts on and off, in Chromium."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import BrowserContext, Error, Page, Route, expect

from browser.conftest import ARTICLE, Demo, eventually, names, settle

Visitor = Callable[..., BrowserContext]
TECHNICAL = {"bandeau", "lanterne_session", "lanterne_depuis"}  # the last one is exempt (S11)
both = pytest.mark.parametrize("scripts", [True, False], ids=["scripts", "no-scripts"])
PURPOSES = ["Réseaux sociaux", "Profils", "Mesure d’audience", "Publicité personnalisée", "Vidéos"]


def press(page: Page, value: str) -> None:
    page.locator(f"#bandeau button[value={value}]").click()
    settle(page)


def save(page: Page, url: str, *purposes: str) -> None:
    """Save settings with exactly these purposes ticked."""
    page.goto(f"{url}/_b/settings?back={ARTICLE}")
    for box in page.locator("#bandeau-settings input[type=checkbox]").all():
        box.set_checked(box.get_attribute("value") in purposes)
    page.locator("button[value=save]").click()
    settle(page)


def line(page: Page, name: str = "cookies") -> str:
    """Return what the band shows in a line."""
    text = page.locator(f"#bandeau-state [data-line={name}]").inner_text()
    return re.sub(r"\s+", " ", text).strip()


@both
def test_S1_three_controls_of_the_same_rank(demo: Demo, visitor: Visitor, scripts: bool) -> None:
    page = visitor(scripts=scripts).new_page()
    page.goto(demo.url)
    notice = page.locator("#bandeau")
    assert notice.locator("button").all_inner_texts() == [
        "Tout accepter",
        "Tout refuser",
        "Paramétrer vos choix",
    ]
    text = notice.inner_text()
    assert "Ce site utilise des cookies" in text
    assert "La Lanterne" in text
    places = [text.index(purpose) for purpose in [*PURPOSES, "Tout accepter"]]
    assert places == sorted(places)
    boxes = [button.bounding_box() for button in notice.locator("button").all()]
    assert boxes[0]
    assert boxes[1]
    assert (boxes[0]["width"], boxes[0]["height"]) == (boxes[1]["width"], boxes[1]["height"])
    assert boxes[0]["height"] >= 44
    if scripts:
        style = "b => { const s = getComputedStyle(b); return [s.color, s.backgroundColor, s.font, s.border, s.padding] }"
        styles = [button.evaluate(style) for button in notice.locator("button").all()]
        assert styles[0] == styles[1] == styles[2]


@both
def test_S2_controller_data_recipients_and_trackers_are_named(
    demo: Demo, visitor: Visitor, scripts: bool
) -> None:
    page = visitor(scripts=scripts).new_page()
    answer = page.goto(demo.url)
    assert answer
    assert answer.header_value("permissions-policy") == "geolocation=()"
    press(page, "settings")
    assert page.url.startswith(f"{demo.url}/_b/settings")
    text = page.locator("main").inner_text()
    for said in (
        "La Lanterne",
        *PURPOSES,
        "adresse IP",
        "navigation",
        "Agora Réseau SA",
        "Métreur SAS",
        "agora_id",
    ):
        assert said in text, said


@both
def test_S3_after_refusal_only_technical_trackers(
    demo: Demo, visitor: Visitor, scripts: bool
) -> None:
    context = visitor(scripts=scripts)
    page = context.new_page()
    before = demo.total()
    for path in ("/", ARTICLE):
        page.goto(demo.url + path)
        page.wait_for_timeout(300)
    assert names(context, "") == TECHNICAL - {"bandeau"}
    press(page, "none")
    for path in ("/", ARTICLE, "/en" + ARTICLE):
        page.goto(demo.url + path)
        page.wait_for_timeout(300)
    assert names(context, "") == TECHNICAL
    assert demo.total() == before
    if scripts:
        assert page.evaluate("[localStorage.length, sessionStorage.length, document.cookie]") == [
            0,
            0,
            "",
        ]


@both
def test_S5_social_networks_open_by_accepting_settings_or_in_place(
    demo: Demo, visitor: Visitor, scripts: bool
) -> None:
    for way in ("all", "settings", "in place"):
        page = visitor(scripts=scripts).new_page()
        page.goto(demo.url + ARTICLE)
        if way == "all":
            press(page, "all")
        elif way == "settings":
            save(page, demo.url, "social")
        else:
            page.locator("[data-bandeau-needs=social] button").first.click()
            settle(page)
        page.goto(demo.url + ARTICLE)
        expect(page.locator("iframe[src*='social.localhost']")).to_have_count(1)
        if way != "all":
            assert line(page) == "Cookies : autorisés (Réseaux sociaux)"
            expect(page.locator("[data-bandeau-needs=video]")).to_have_count(1)


@both
def test_S6_a_band_in_colour_icon_and_words(demo: Demo, visitor: Visitor, scripts: bool) -> None:
    page = visitor(scripts=scripts).new_page()
    page.goto(demo.url)
    said = {"none": ("Cookies : refusés", "Profils : refusés")}
    said["all"] = (f"Cookies : autorisés ({', '.join(PURPOSES)})", "Profils : autorisés")
    for choice in ("none", "all"):
        page.goto(f"{demo.url}/_b/settings")
        page.locator(f"button[value={choice}]").click()
        settle(page)
        page.goto(demo.url)
        assert (line(page), line(page, "profiles")) == said[choice]
        for name in ("cookies", "profiles"):
            shown = page.locator(f"#bandeau-state [data-line={name}] > span:visible")
            expect(shown.locator("svg")).to_have_count(1)
            if scripts:
                red, green, _ = map(
                    int, re.findall(r"\d+", shown.evaluate("e => getComputedStyle(e).color"))[:3]
                )
                assert (green > red) is (choice == "all")
        last = page.locator(
            "header, nav, main, footer, section[aria-label], section[aria-labelledby], aside"
        ).last
        assert last.get_attribute("id") == "bandeau-state"
    page.goto(f"{demo.url}/_b/settings")
    expect(page.locator("fieldset .bandeau-yes:visible")).to_have_count(len(PURPOSES))


@both
def test_S7_choices_change_at_any_time(demo: Demo, visitor: Visitor, scripts: bool) -> None:
    context = visitor(scripts=scripts)
    page = context.new_page()
    for path in ("/", ARTICLE, "/confidentialite", "/nothing-here", "/_b/settings", "/_b/trackers"):
        page.goto(demo.url + path)
        way = page.locator("#bandeau-state").get_by_role("link", name="Paramétrer vos choix")
        expect(way).to_have_count(1)
    page.goto(demo.url + ARTICLE)
    press(page, "all")
    page.goto(demo.url + ARTICLE)
    if scripts:
        eventually(page, lambda: {"agora_id", "_metreur"} <= names(context))
    page.locator("#bandeau-state").get_by_role("link", name="Paramétrer vos choix").click()
    page.locator("#bandeau-settings button[value=none]").click()
    settle(page)
    assert page.url == demo.url + ARTICLE
    before = demo.total()
    page.goto(demo.url + ARTICLE)
    page.wait_for_timeout(500)
    assert names(context) == TECHNICAL
    assert demo.total() == before
    assert line(page) == "Cookies : refusés"


@both
def test_S8_a_purpose_switched_off_closes_all_that_is_its(
    demo: Demo, visitor: Visitor, scripts: bool
) -> None:
    context = visitor(scripts=scripts)
    page = context.new_page()
    page.goto(demo.url + ARTICLE)
    press(page, "all")
    page.goto(demo.url + ARTICLE)
    if scripts:
        eventually(page, lambda: {"agora_id", "_metreur"} <= names(context))
    save(page, demo.url, "profiles", "audience", "ads", "video")
    before = demo.received()
    page.goto(demo.url + ARTICLE)
    eventually(page, lambda: len(demo.received()["mesure"]) > len(before["mesure"]))
    page.wait_for_timeout(500)
    after = demo.received()
    assert len(after["social"]) == len(before["social"])
    assert len(after["mesure"]) > len(before["mesure"])
    assert "agora_id" not in names(context)
    expect(page.locator("[data-bandeau-needs=social]")).to_have_count(3)
    assert "Réseaux sociaux" not in line(page)
    if scripts:
        assert page.evaluate("localStorage.getItem('agora_id')") is None
        assert "_metreur" in names(context)


@both
def test_S9_saving_untouched_settings_grants_nothing(
    demo: Demo, visitor: Visitor, scripts: bool
) -> None:
    page = visitor(scripts=scripts).new_page()
    page.goto(demo.url)
    press(page, "settings")
    assert page.locator("input[type=checkbox]:checked").count() == 0
    page.locator("button[value=save]").click()
    settle(page)
    assert line(page) == "Cookies : refusés"
    expect(page.locator("#bandeau")).to_have_count(0)


@both
def test_S10_rights_and_practices_are_a_link_away(
    demo: Demo, visitor: Visitor, scripts: bool
) -> None:
    page = visitor(scripts=scripts).new_page()
    for start in ("/", "/_b/settings"):
        for label, part in (
            ("Confidentialité", "/confidentialite"),
            ("Traceurs et destinataires", "/_b/trackers"),
        ):
            page.goto(demo.url + start)
            place = page.locator("#bandeau" if start == "/" else "main")
            place.get_by_role("link", name=label, exact=True).click()
            assert part in page.url
    text = page.locator("main").inner_text()
    for said in (
        "Vos droits",
        "CNIL",
        "lanterne_session",
        "agora_compte",
        "Régie Réverbère SA",
        "dpo@lanterne.example",
    ):
        assert said in text, said


@both
def test_S12_an_article_is_an_article(demo: Demo, visitor: Visitor, scripts: bool) -> None:
    page = visitor(scripts=scripts).new_page()
    for root, also in (("", "Lire aussi"), ("/en", "Read also")):
        page.goto(demo.url + root + ARTICLE)
        expect(page.locator("article h1")).to_have_count(1)
        expect(page.locator("article .standfirst")).to_be_visible()
        picture = page.locator("article figure img").first
        assert picture.get_attribute("alt")
        if scripts:
            assert picture.evaluate("i => i.complete && i.naturalWidth > 0")
        expect(page.locator("article figure figcaption .credit").first).to_be_visible()
        assert page.locator("article h2").count() >= 2
        assert page.locator("article blockquote").count() >= 1
        assert also.lower() in page.locator("article").inner_text().lower()


@both
def test_S13_a_link_tells_nobody_and_an_embed_waits(
    demo: Demo, visitor: Visitor, scripts: bool
) -> None:
    context = visitor(scripts=scripts)
    page = context.new_page()
    asked: list[str] = []
    context.on("request", lambda request: asked.append(request.url))
    page.goto(demo.url + ARTICLE)
    link = page.get_by_role("link", name="Suivez La Lanterne sur Telegram")
    expect(link).to_have_attribute("href", re.compile("^https://telegram\\.example/"))
    expect(page.locator("[data-bandeau-needs=social]")).to_have_count(3)
    page.wait_for_timeout(300)
    assert not [url for url in asked if "telegram" in url]


@pytest.mark.parametrize("root", ["", "/en"])
def test_the_raw_newspaper_leaks_and_the_gated_one_does_not(
    demo: Demo, visitor: Visitor, root: str
) -> None:
    found = {}
    for name, url in (("raw", demo.raw), ("gated", demo.url)):
        context = visitor()
        before = demo.total()
        page = context.new_page()
        page.goto(url + root + ARTICLE)
        page.wait_for_timeout(1500)
        page.evaluate("scrollTo(0, document.body.scrollHeight)")
        if name == "raw":
            eventually(page, lambda before=before: demo.total() - before >= 10)  # type: ignore[misc]
        page.wait_for_timeout(1000)
        found[name] = (demo.total() - before, names(context, ""))
    assert found["raw"][0] >= 10
    assert {"agora_id", "_metreur", "variante", "visiteur"} <= found["raw"][1]
    assert found["gated"] == (0, TECHNICAL - {"bandeau"})


def test_the_ad_chain_runs_in_its_frame_and_nowhere_else(demo: Demo, visitor: Visitor) -> None:
    context = visitor()
    page = context.new_page()
    page.goto(demo.url + ARTICLE)
    page.wait_for_timeout(500)
    before = demo.received()
    with pytest.raises(Error, match="ERR_ABORTED"):  # 204: there is nothing to show
        page.goto(f"{demo.url}/pub/emplacement")
    assert demo.received()["etiquettes"] == before["etiquettes"]
    page.goto(demo.url + ARTICLE)
    save(page, demo.url, "ads")
    hosts = set()
    for _ in range(2):
        page.goto(demo.url + ARTICLE)
        eventually(page, lambda: [frame for frame in page.frames if "creation-" in frame.url])
        creatives = [frame for frame in page.frames if "creation-" in frame.url]
        assert len(creatives) == 1
        hosts.add(creatives[0].url.split("/")[2])
        assert "Allumettes" in creatives[0].locator("body").inner_text()
    assert len(hosts) == 2  # another host each time, and none of them is declared
    policy = page.goto(demo.url + ARTICLE)
    assert policy
    header = policy.header_value("content-security-policy") or ""
    assert "http:" not in header.replace("http://", "")
    assert not hosts & set(re.findall(r"[a-z0-9.-]+\.localhost", header))
    inserted = """host => new Promise(done => { const s = document.createElement('script');
        s.src = `http://${host}/offre.js`; s.onload = () => done('ran'); s.onerror = () => done('barred');
        document.body.append(s) })"""
    for host in hosts:
        assert page.evaluate(inserted, host) == "barred"
    assert not {name for name in names(context) if name.startswith(("enchere", "regie"))}


def test_a_refusal_closes_at_once_and_reloads_nothing(demo: Demo, visitor: Visitor) -> None:
    page = visitor().new_page()
    page.goto(demo.url + ARTICLE)
    page.evaluate("window.mark = 1")
    held: list[Route] = []
    page.route("**/_b/choice", lambda route: held.append(route))  # noqa: PLW0108 (it is marked)
    page.locator("#bandeau button[value=none]").click(no_wait_after=True)
    expect(page.locator("#bandeau")).to_have_count(0)  # and nobody has answered yet
    eventually(page, lambda: held)
    held[0].continue_()
    expect(page.locator("#bandeau-state [role=status]")).to_contain_text("enregistrés")
    settle(page)
    assert page.evaluate("window.mark") == 1


def test_a_choice_that_could_not_be_stored_says_so_and_grants_nothing(
    demo: Demo, visitor: Visitor
) -> None:
    context = visitor()
    page = context.new_page()
    page.goto(demo.url)
    page.route("**/_b/choice", lambda route: route.fulfill(status=503, body="{}"))
    page.locator("#bandeau button[value=all]").click()
    expect(page.locator("#bandeau")).to_be_visible()
    assert "n’a pas pu être enregistré" in page.locator("#bandeau-state [role=status]").inner_text()
    assert "bandeau" not in names(context)


def test_other_tabs_and_pages_from_the_history_follow_a_withdrawal(
    demo: Demo, visitor: Visitor
) -> None:
    context = visitor()
    one = context.new_page()
    one.goto(demo.url + ARTICLE)
    press(one, "all")
    two = context.new_page()
    two.goto(demo.url + ARTICLE)
    one.goto(f"{demo.url}/_b/settings?back=/")
    one.locator("button[value=none]").click()
    settle(one)
    expect(two.locator("#bandeau-state")).to_have_attribute("data-granted", "", timeout=5000)
    before = demo.total()
    two.wait_for_timeout(500)
    assert demo.total() == before
    one.go_back()
    expect(one.locator("#bandeau-state")).to_have_attribute("data-granted", "", timeout=5000)


def test_a_signal_is_obeyed_without_asking(demo: Demo, visitor: Visitor) -> None:
    context = visitor(extra_http_headers={"Sec-GPC": "1"})
    page = context.new_page()
    page.goto(demo.url)
    expect(page.locator("#bandeau")).to_have_count(0)
    assert "Global Privacy Control" in page.locator("#bandeau-state").inner_text()
    page.goto(f"{demo.url}/_b/settings?back=/")
    page.locator("button[value=all]").click()
    settle(page)
    assert "confirm=1" in page.url or page.locator("input[name=confirm]").count()
    page.locator("button[value=all]").click()
    settle(page)
    assert "bandeau" in names(context)
    page.goto(demo.url)
    assert line(page).startswith("Cookies : autorisés")


def test_our_pages_speak_english_too(demo: Demo, visitor: Visitor) -> None:
    page = visitor().new_page()
    page.goto(f"{demo.url}/en/")
    assert page.locator("#bandeau button").all_inner_texts()[:2] == ["Accept all", "Reject all"]
    press(page, "settings")
    assert page.locator("html").get_attribute("lang") == "en"
    page.locator("button[value=save]").click()
    settle(page)
    assert page.url == f"{demo.url}/en/"
