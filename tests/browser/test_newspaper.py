"""The newspaper's own rows: comments by Isso, profiles, audience, backstage; in Chromium."""

from __future__ import annotations

import json
import re
import sqlite3
import time
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, FrameLocator, Page, expect

from browser.conftest import ARTICLE, PARTIES, Demo, eventually, names, settle
from browser.test_lanterne import Visitor, both, press, save

FRAME = f"iframe[src*='/commentaires{ARTICLE}']"


def form(page: Page) -> FrameLocator:
    page.locator(FRAME).scroll_into_view_if_needed()
    return page.frame_locator(FRAME)


def approve(demo: Demo, text: str) -> None:
    """Do what an editor does: approve the comment, in Isso, by the link that it sends them."""
    log = demo.data / "isso.log"
    ends = time.monotonic() + 10
    while True:
        found = log.read_text() if log.exists() else ""
        place = found.find(text)
        link = re.search(r"Activate comment: (\S+)", found[place:]) if place >= 0 else None
        if link:
            break
        assert time.monotonic() < ends, "Isso sent no link"
        time.sleep(0.1)
    path = re.sub(r"^https?://[^/]+", "", link[1])
    request = urllib.request.Request(f"http://127.0.0.1:{demo.port + 1}{path}", b"", method="POST")
    with urllib.request.urlopen(request, timeout=10) as answer:
        assert b"activated" in answer.read()


def status(demo: Demo, path: str, method: str = "GET", cookie: str = "") -> int:
    request = urllib.request.Request(
        f"http://127.0.0.1:{demo.port}{path}", b"texte=x" if method == "POST" else None, method=method,
        headers={"Host": f"lanterne.localhost:{demo.port}", "Sec-Fetch-Site": "same-origin", "Cookie": cookie},
    )  # fmt: skip
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        with error:
            return int(error.code)


def test_S4_after_refusal_comments_are_read_and_not_written(demo: Demo, visitor: Visitor) -> None:
    page = visitor().new_page()
    page.goto(demo.url + ARTICLE)
    press(page, "none")
    expect(page.locator(".comments > p, .comments > ol").first).to_be_visible()
    expect(page.locator(FRAME)).to_have_count(0)
    expect(page.locator(".comments [data-bandeau-needs=social] button")).to_be_visible()
    for root in ("", "/en"):
        assert status(demo, f"{root}/commentaires{ARTICLE}") == 403
        assert status(demo, f"{root}/commentaires{ARTICLE}", "POST") == 403
        assert status(demo, f"{root}/COMMENTAIRES/../commentaires{ARTICLE}", "POST") == 403


def test_S5_S14_a_comment_is_written_in_place_and_read_back(demo: Demo, visitor: Visitor) -> None:
    context = visitor()
    page = context.new_page()
    page.goto(demo.url + ARTICLE)
    press(page, "none")
    page.locator(".comments [data-bandeau-needs=social] button").click()
    settle(page)
    assert page.url == demo.url + ARTICLE  # the article was never left
    text = f"Une lecture utile, merci {time.time_ns()}"
    box = form(page)
    box.locator(".isso-textarea").click()
    box.locator(".isso-textarea").fill(text)
    box.locator("input[name=author]").fill("Zoé")
    box.locator("input[type=submit], .isso-post-action input").first.click()
    expect(box.locator(".isso-text", has_text=text)).to_be_visible(timeout=10_000)
    eventually(page, lambda: any(name.startswith("isso-") for name in names(context)))
    reader = visitor().new_page()
    reader.goto(demo.url + ARTICLE)
    expect(reader.locator(".comments")).not_to_contain_text(text)  # the editors read it first
    approve(demo, text)
    reader.goto(demo.url + ARTICLE)
    expect(reader.locator(".comments .comment").last).to_have_text(text)

    page.goto(f"{demo.url}/_b/settings?back={ARTICLE}")
    page.locator("button[value=none]").click()
    settle(page)
    expect(page.locator(FRAME)).to_have_count(0)
    assert not [name for name in names(context, "") if name.startswith("isso-")]
    assert page.evaluate("Object.keys(localStorage)") == []
    assert names(context, "commentaires.localhost") == set()


def test_S14_without_a_script_a_plain_form_posts_once_granted(demo: Demo, visitor: Visitor) -> None:
    page = visitor(scripts=False).new_page()
    save(page, demo.url, "social")
    page.goto(f"{demo.url}/commentaires{ARTICLE}")
    number = str(time.time_ns())
    text = f"Sans script non plus <b>{number}</b>"
    page.locator("#texte").fill(text)
    page.locator("form.plain button").click()
    expect(page.locator(".said")).to_contain_text("attend la relecture")
    approve(demo, number)
    page.goto(demo.url + ARTICLE)
    expect(page.locator(".comments .comment").last).to_have_text(text)  # as text, not as markup


@both
def test_S15_a_profile_is_made_only_when_granted(
    demo: Demo, visitor: Visitor, scripts: bool
) -> None:
    context = visitor(scripts=scripts)
    page = context.new_page()
    page.goto(demo.url + "/culture/2017/07/04/avignon-71")
    expect(page.locator(".box h2")).to_have_text("Le choix de la rédaction")
    assert "profil" not in names(context)
    save(page, demo.url, "profiles")
    for _ in range(2):
        page.goto(demo.url + "/economie/2017/07/02/deux-lignes-nouvelles")
    page.goto(demo.url)
    expect(page.locator(".box h2")).to_have_text("Pour vous")
    expect(page.locator(".profile")).to_contain_text("Économie (2 lectures)")
    expect(page.locator(".box li").first).to_contain_text("Économie")
    expect(page.locator("#bandeau-state [data-line=profiles]")).to_contain_text("autorisés")
    assert "profil" in names(context)
    save(page, demo.url)
    assert "profil" not in names(context)
    page.goto(demo.url)
    expect(page.locator(".box h2")).to_have_text("Le choix de la rédaction")


@both
def test_S11_audience_survives_refusal_is_not_renewed_and_can_be_objected_to(
    demo: Demo, visitor: Visitor, scripts: bool
) -> None:
    context = visitor(scripts=scripts)
    page = context.new_page()

    def cookie() -> dict[str, Any] | None:
        found = [dict(one) for one in context.cookies() if one.get("name") == "lanterne_depuis"]
        return found[0] if found else None

    page.goto(demo.url)
    press(page, "none")
    first = cookie()
    assert first
    assert re.fullmatch(r"\d{4}-\d{2}", first["value"])  # a month is no identifier
    assert 389 * 86_400 < first["expires"] - time.time() <= 396 * 86_400
    page.wait_for_timeout(1200)
    page.goto(demo.url + ARTICLE)
    assert cookie() == first
    page.goto(demo.url + "/_b/trackers")
    page.get_by_role("button", name="Ne plus compter ma visite").click()
    settle(page)
    expect(page.get_by_text("Votre visite n’est pas comptée")).to_be_visible()
    assert cookie() is None
    page.goto(demo.url + ARTICLE)
    assert cookie() is None
    assert "bandeau-audience" in names(context)


def test_S13_a_message_waits_and_its_placeholder_opens_it(demo: Demo, visitor: Visitor) -> None:
    page = visitor().new_page()
    page.goto(demo.url + ARTICLE)
    press(page, "none")
    before = demo.total()
    held = page.locator("[data-bandeau-needs=social]", has_text="Telegram")
    expect(held).to_be_visible()
    assert demo.total() == before
    held.locator("button").click()
    settle(page)
    page.locator("iframe[src*='telegram.localhost']").scroll_into_view_if_needed()
    expect(page.frame_locator("iframe[src*='telegram.localhost']").locator("main")).to_be_visible()


def independent(demo: Demo, mark: str) -> dict[str, int]:
    """Count each third party's own journal, one line at a time."""
    counts = {}
    for party in (*PARTIES, "telegram"):
        request = urllib.request.Request(
            f"http://127.0.0.1:{demo.port}/_journal", headers={"Host": f"{party}.localhost:{demo.port}"}
        )  # fmt: skip
        with urllib.request.urlopen(request, timeout=10) as answer:
            lines = json.load(answer)
        counts[party.partition("-")[0]] = sum(line["browser"] == mark for line in lines)
    return counts


def test_backstage_equals_the_journals_in_every_state(
    demo: Demo, chromium: Browser, visitor: Visitor
) -> None:
    agent = f"Mozilla/5.0 (X11; Linux x86_64) Backstage/{time.time_ns()}"
    context = visitor(user_agent=agent)
    page = context.new_page()
    seen: dict[str, int] = {}

    def shown() -> dict[str, int]:
        rows = page.locator("[data-received] tbody tr")
        return {
            row.get_attribute("data-party") or "": int(row.locator("td").first.inner_text())
            for row in rows.all()
        }

    def visit() -> None:
        page.goto(demo.url + ARTICLE)
        for part in ("iframe[src*='video']", "iframe[src*='social']", "iframe[src*='telegram']"):
            if page.locator(part).count():
                page.locator(part).first.scroll_into_view_if_needed()
        page.wait_for_timeout(1500)
        settle(page)

    def compare(state: str) -> int:
        page.goto(demo.url + "/coulisses")
        page.wait_for_selector("[data-received] tbody tr")
        mark = next(
            (line["browser"] for party in PARTIES for line in demo.received()[party.partition("-")[0]]
             if line["browser"] not in others), "nobody",
        )  # fmt: skip
        eventually(page, lambda: shown() == independent(demo, mark))
        found = shown()
        total = int(page.locator("[data-total]").inner_text())
        assert total == sum(found.values()), state
        seen.update(found)
        return total

    others = {line["browser"] for lines in demo.received().values() for line in lines}
    visit()
    assert compare("no choice") == 0
    page.goto(demo.url)
    press(page, "none")
    visit()
    assert compare("refused") == 0
    save(page, demo.url, "social")
    visit()
    social = compare("social only")
    assert seen["social"] > 0
    assert seen["telegram"] > 0
    assert {party: seen[party] for party in ("video", "regie", "mesure")} == dict.fromkeys(
        ("video", "regie", "mesure"), 0
    )
    save(page, demo.url, "social", "profiles", "audience", "ads", "video")
    visit()
    everything = compare("accepted")
    assert everything > social
    assert all(seen[party] > 0 for party in ("mesure", "video", "regie", "enchere"))
    save(page, demo.url)
    page.wait_for_timeout(500)
    stopped = compare("withdrawn")
    visit()
    assert compare("withdrawn, later") == stopped


def test_the_panel_says_what_the_page_held_back(demo: Demo, visitor: Visitor) -> None:
    page = visitor(user_agent="Mozilla/5.0 Panel").new_page()
    page.goto(demo.url + ARTICLE)
    press(page, "none")
    page.locator("details.backstage summary").click()
    items = page.locator("[data-held]")
    for held in (
        "social.localhost",
        "mesure.localhost",
        "video.localhost",
        "/commentaires/",
        "variante",
    ):
        expect(items).to_contain_text(held)
    expect(page.locator("[data-total]")).to_have_text("0")


def test_the_counter_counts_people_and_keeps_nobody(demo: Demo, visitor: Visitor) -> None:
    person = "Mozilla/5.0 (iPhone; CPU iPhone OS 17_0 like Mac OS X) Mobile/15E148 Safari/604.1"
    path = "/sport/2017/07/01/tour-depart-dusseldorf"

    def views() -> dict[str, int]:
        with sqlite3.connect(demo.data / "bandeau.db") as database:
            found = database.execute(
                "SELECT device, SUM(views) FROM page_view WHERE path = ? GROUP BY 1", (path,)
            )
            return dict(found.fetchall())

    before = views().get("phone", 0)
    page = visitor(user_agent=person).new_page()
    for _ in range(3):
        page.goto(demo.url + path)
    robot = visitor().new_page()  # a headless Chromium says what it is
    robot.goto(demo.url + path)
    eventually(page, lambda: views().get("phone", 0) == before + 3)
    assert set(views()) == {"phone"}
    page.goto(demo.url + "/redaction")
    expect(page.locator(".charts li").first.locator("svg")).to_be_visible()


def test_machines_find_what_they_look_for(demo: Demo, visitor: Visitor) -> None:
    from xml.etree import ElementTree as ET

    def get(path: str) -> tuple[bytes, Any]:
        request = urllib.request.Request(
            f"http://127.0.0.1:{demo.port}{path}",
            headers={"Host": f"lanterne.localhost:{demo.port}"},
        )
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.read(), answer.headers

    atom = "{http://www.w3.org/2005/Atom}"
    for root in ("", "/en"):
        feed = ET.fromstring(get(f"{root}/flux.atom")[0])
        assert len(feed.findall(f"{atom}entry")) == 10
    pages = [
        one.text or ""
        for one in ET.fromstring(get("/plan.xml")[0]).iter()
        if one.tag.endswith("loc")
    ]
    assert len(pages) == 24
    for url in pages:
        assert status(demo, url.partition(f":{demo.port}")[2]) == 200, url
    assert b"Sitemap: http" in get("/robots.txt")[0]
    body, headers = get(ARTICLE)
    data = json.loads(re.search(rb'<script type="application/ld\+json">(.*?)</script>', body)[1])  # type: ignore[index]
    assert data["@type"] == "NewsArticle"
    assert data["datePublished"] == "2017-07-06"
    for name in (b"og:title", b"og:description", b"og:url", b"article:published_time"):
        assert name in body
    again = urllib.request.Request(
        f"http://127.0.0.1:{demo.port}{ARTICLE}",
        headers={"Host": f"lanterne.localhost:{demo.port}", "If-None-Match": headers["ETag"], "Accept": "text/html"},
    )  # fmt: skip
    with pytest.raises(urllib.error.HTTPError) as error:
        urllib.request.urlopen(again, timeout=10)
    with error.value:
        assert error.value.code == 304


def test_the_comment_server_outlives_nothing(demo: Demo, tmp_path: Path) -> None:
    """A newspaper that is killed takes Isso with it."""
    import os
    import signal
    import subprocess
    import sys

    from browser.conftest import free_ports

    port = free_ports()
    process = subprocess.Popen(
        [sys.executable, "-m", "bandeau", "demo", "--port", str(port), "--data", str(tmp_path)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout
    assert process.stdout.readline().startswith("ready ")
    taken = subprocess.run(
        [sys.executable, "-m", "bandeau", "demo", "--port", str(port - 1), "--data", str(tmp_path / "b")],
        capture_output=True, text=True, check=False, timeout=30,
    )  # fmt: skip
    assert taken.returncode == 2
    assert len(taken.stderr.strip().splitlines()) == 1
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    assert len(children) == 1
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    ends = time.monotonic() + 10
    while Path(f"/proc/{children[0]}").exists():
        assert time.monotonic() < ends, "an orphan"
        time.sleep(0.1)
