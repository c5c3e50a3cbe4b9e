"""Wagtail's starter site, as `wagtail start` writes it: an editor's day with and without the gate comes out the same.

The starter is not changed; its own hook for local settings holds ours, and the site gets one kind of page with a film in it,
as its owner would write one. BANDEAU_PROVE=1 installs Wagtail in an environment of its own, with pip.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from http.cookiejar import CookieJar
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlencode, urlsplit

import html5lib
import pytest
from playwright.sync_api import Browser, expect

from browser.djangos import installed, managed, served
from browser.engines import free_port
from serving import page, upstream

PROVE = bool(os.environ.get("BANDEAU_PROVE"))
pytestmark = pytest.mark.skipif(not PROVE, reason="BANDEAU_PROVE=1 installs and drives Wagtail")
WAGTAIL = "wagtail==8.0.1"
FILM = "film.localhost"
LOCAL = """
import os
from .base import *
INSTALLED_APPS = ["film", *INSTALLED_APPS]
DATABASES["default"]["NAME"] = os.environ["DATA"] + "/db.sqlite3"
MEDIA_ROOT = os.environ["DATA"] + "/media"
WAGTAILEMBEDS_FINDERS = [{"class": "film.finder.Finder"}]
WAGTAIL_GRAVATAR_PROVIDER_URL = None
if "GATED" in os.environ:
    INSTALLED_APPS = ["bandeau.django", *INSTALLED_APPS]
    MIDDLEWARE = ["bandeau.django.Middleware", *MIDDLEWARE]
    BANDEAU_POLICY = os.environ["DATA"] + "/bandeau.toml"
    BANDEAU_LEDGER = "sqlite:///" + os.environ["DATA"] + "/bandeau.db"
"""
MODELS = """
from wagtail.admin.panels import FieldPanel
from wagtail.blocks import RichTextBlock
from wagtail.embeds.blocks import EmbedBlock
from wagtail.fields import StreamField
from wagtail.models import Page

class FilmPage(Page):
    body = StreamField([("text", RichTextBlock()), ("film", EmbedBlock())])
    content_panels = [*Page.content_panels, FieldPanel("body")]
"""
FINDER = """
import os
from wagtail.embeds.finders.base import EmbedFinder

class Finder(EmbedFinder):
    def accept(self, url):
        return True

    def find_embed(self, url, max_width=None, max_height=None):
        html = f'<iframe src="{os.environ["FILM"]}/embed/1" title="A film" width="200" height="113" allowfullscreen></iframe>'
        return {"title": "A film", "author_name": "", "provider_name": "Film", "type": "video",
                "thumbnail_url": "", "width": 200, "height": 113, "html": html}
"""
TEMPLATE = """
{% extends "base.html" %}{% load wagtailcore_tags %}
{% block content %}<main><h1>{{ page.title }}</h1>{% include_block page.body %}</main>{% endblock %}
"""
POLICY = """version = 1
[proof]
keep_days = 912
[controller]
name = "My Site"
address = "1 Street, Town"
contact = "dpo@example.org"
privacy_policy = "/privacy/"
[site]
origins = ["http://127.0.0.1:{port}"]
languages = ["en"]
presets = ["django", "django-admin", "wagtail"]
[[purpose]]
id = "video"
data = ["ip_address", "browsing"]
[[service]]
id = "film"
purpose = "video"
recipient = "Film Inc"
hosts = [{{ host = "film.localhost", kinds = ["frame"] }}]
[[tracker]]
name = "film_seen"
kind = "cookie"
service = "film"
party = "third"
max_age_days = 30
"""
PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010802000000907753de0000000c4944415408d763f8cfc0000003010100c9fe92ef"
    "0000000049454e44ae426082"
)
PDF = b"%PDF-1.4\n" + bytes(range(256)) * 4000  # a megabyte, streamed back


@pytest.fixture(scope="module")
def film() -> Iterator[str]:
    """The third party: a page with a cookie that it wants to keep."""
    cookie = b"Set-Cookie: film_seen=1; Max-Age=2592000; Path=/; SameSite=None; Secure"
    with upstream() as made:
        made.answers["/embed/1"] = page(b"<!doctype html><title>A film</title><p>A film", cookie)
        yield f"http://{FILM}:{made.port}"


@pytest.fixture(scope="module")
def starter(tmp_path_factory: pytest.TempPathFactory, film: str) -> Path:
    """A fresh site by `wagtail start`, migrated, with an editor."""
    folder = tmp_path_factory.mktemp("wagtail")
    python = installed(folder / "venv", WAGTAIL)
    site = folder / "site"
    site.mkdir()
    subprocess.run(
        [python.with_name("wagtail"), "start", "mysite", "."],
        cwd=site,
        check=True,
        stdout=subprocess.DEVNULL,
    )
    (site / "mysite" / "settings" / "local.py").write_text(LOCAL, "utf-8")
    for name, text in {
        "__init__": "",
        "models": MODELS,
        "finder": FINDER,
        "migrations/__init__": "",
    }.items():
        place = site / "film" / f"{name}.py"
        place.parent.mkdir(exist_ok=True)
        place.write_text(text, "utf-8")
    template = site / "film" / "templates" / "film" / "film_page.html"
    template.parent.mkdir(parents=True)
    template.write_text(TEMPLATE, "utf-8")
    (folder / "plain").mkdir()
    for words in (
        "makemigrations film",
        "migrate",
        "createsuperuser --noinput --username editor --email e@example.org",
    ):
        run(folder, "plain", film, *words.split(), DJANGO_SUPERUSER_PASSWORD="editor's")
    shutil.copytree(folder / "plain", folder / "gated")
    return folder


def run(folder: Path, data: str, film: str, *words: str, **more: str) -> str:
    return managed(
        folder / "venv" / "bin" / "python",
        folder / "site",
        *words,
        **environment(folder, data, film),
        **more,
    )


def environment(folder: Path, data: str, film: str) -> dict[str, str]:
    gated = {"GATED": "1"} if data == "gated" else {}
    same = {"PYTHONHASHSEED": "0"}  # Wagtail has lists in the order of a set
    return {**same, "DATA": str(folder / data), "FILM": film, **gated}


def running(
    folder: Path, data: str, film: str, port: int
) -> contextlib.AbstractContextManager[str]:
    python, site = folder / "venv" / "bin" / "python", folder / "site"
    return served(python, site, port, **environment(folder, data, film))


class Editor:
    """A browser without a window: keeps cookies, fills in the forms it finds, follows redirects."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.jar = CookieJar()
        self.opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(self.jar))
        self.journey: list[tuple[str, int, str]] = []
        self.pages: dict[str, bytes] = {}

    def get(self, path: str, data: bytes | None = None, **headers: str) -> bytes:
        """Ask for a page; remember what was asked, its status and where it led."""
        sent = {"Accept": "text/html,*/*;q=0.8", "Referer": self.url + path, "Origin": self.url}
        request = urllib.request.Request(self.url + path, data, {**sent, **headers})
        try:
            answered = self.opener.open(request, timeout=60)
        except HTTPError as error:
            answered = error
        with answered:
            body: bytes = answered.read()
            where = urlsplit(answered.url).path
            self.journey.append((path, answered.status, where))
            if "html" in str(answered.headers["Content-Type"]):
                self.pages[f"{len(self.journey)} {path} {where}"] = body
            return body

    def post(self, path: str, body: bytes, **fields: str) -> bytes:
        """Send the form of a page that has a token, with some of its fields changed."""
        filled = {**form_of(body), **fields}
        return self.get(
            path,
            urlencode(filled).encode(),
            **{"Content-Type": "application/x-www-form-urlencoded"},
        )

    def upload(self, path: str, body: bytes, name: str, content: bytes, **fields: str) -> bytes:
        """Send a form with a file, in parts (RFC 7578)."""
        parts = [
            f'--x\r\nContent-Disposition: form-data; name="{key}"\r\n\r\n{value}\r\n'.encode()
            for key, value in {**form_of(body), **fields}.items()
        ]
        head = f'--x\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\nContent-Type: application/octet-stream\r\n\r\n'
        whole = b"".join([*parts, head.encode(), content, b"\r\n--x--\r\n"])
        return self.get(path, whole, **{"Content-Type": "multipart/form-data; boundary=x"})


def form_of(body: bytes) -> dict[str, str]:
    """Return the fields of the largest form of a page that posts, as a browser would send them."""
    tree = html5lib.parse(body, namespaceHTMLElements=False)
    forms = [form for form in tree.iter("form") if form.get("method", "").lower() == "post"]
    found: list[dict[str, str]] = [{}]
    for form in forms:
        fields = {
            one.get("name"): one.get("value", "")
            for one in form.iter("input")
            if one.get("name") and one.get("type") not in ("checkbox", "radio", "file", "submit")
        }
        for one in form.iter("textarea"):
            if one.get("name"):
                fields[one.get("name")] = (one.text or "").removeprefix("\n")
        for one in form.iter("select"):
            options = list(one.iter("option"))
            chosen = [
                option for option in options if option.get("selected") is not None
            ] or options[:1]
            if one.get("name") and chosen:
                fields[one.get("name")] = chosen[0].get("value", "")
        found.append(fields)
    return max(found, key=lambda fields: ("csrfmiddlewaretoken" in fields, len(fields)))


ADD = "/admin/pages/add/{}/{}/3/"  # the kind of page, and the page that it stands below
TITLE, SLUG = "Zoé’s page", "zoes-page"


def day(url: str) -> tuple[Editor, dict[str, Any]]:
    """Live an editor's day: log in, upload, write a page, publish, look, search, and log out."""
    editor = Editor(url)
    got: dict[str, Any] = {}
    refused = editor.post(
        "/admin/login/", editor.get("/admin/"), username="editor", password="wrong"
    )
    got["a wrong password is refused"] = b"password didn" in refused
    editor.post(
        "/admin/login/?next=/admin/",
        editor.get("/admin/login/?next=/admin/"),
        username="editor",
        password="editor's",
    )
    got["cookies"] = tuple(sorted(cookie.name for cookie in editor.jar))
    editor.get("/admin/pages/3/delete/", b"csrfmiddlewaretoken=x")
    got["a forged form is answered with"] = editor.journey[-1][1]
    image = editor.upload(
        "/admin/images/add/", editor.get("/admin/images/add/"), "dot.png", PNG, title="A dot"
    )
    got["the image is there"] = b"A dot" in image
    document = editor.upload(
        "/admin/documents/add/",
        editor.get("/admin/documents/add/"),
        "paper.pdf",
        PDF,
        title="A paper",
    )
    got["the document is there"] = b"A paper" in document
    got["the document comes back"] = editor.get("/documents/1/paper.pdf") == PDF
    listing = editor.get("/admin/images/")
    rendition = re.search(rb'src="(/media/images/[^"]+)"', listing)
    assert rendition, listing[:2000]
    got["the rendition"] = len(editor.get(rendition[1].decode())) > 0
    add = ADD.format("home", "homepage")
    draft = editor.post(add, editor.get(add), title=TITLE, slug=SLUG)
    got["the draft is kept"] = TITLE in draft.decode()
    editor.get(f"/{SLUG}/")
    got["a draft is answered with"] = editor.journey[-1][1]
    place = next(where for _, _, where in reversed(editor.journey) if where.endswith("/edit/"))
    editor.post(
        place, editor.get(place), title=TITLE, slug=SLUG, **{"action-publish": "action-publish"}
    )
    got["published"] = TITLE in editor.get(f"/{SLUG}/").decode()
    add = ADD.format("film", "filmpage")
    block = {"body-count": "1", "body-0-type": "film", "body-0-order": "0", "body-0-deleted": "", "body-0-id": "",
             "body-0-value": "https://www.example.org/watch"}  # fmt: skip
    editor.post(
        add,
        editor.get(add),
        title="A film",
        slug="film",
        **block,
        **{"action-publish": "action-publish"},
    )
    editor.get("/film/")
    got["found"] = TITLE in editor.get("/search/?" + urlencode({"query": "Zoé"})).decode()
    got["found in the admin"] = TITLE in editor.get("/admin/pages/search/?q=page").decode()
    editor.post("/admin/logout/", editor.get("/admin/account/"))
    editor.get("/admin/")
    got["cookies afterwards"] = tuple(sorted(cookie.name for cookie in editor.jar))
    return editor, got


def elements(body: bytes) -> list[tuple[str, ...]]:
    """Return the elements of a page with their texts, without what differs from one run to the next."""
    for pattern, name in (
        (rb"\b[A-Za-z0-9]{64}\b", b"a token"),
        (rb"[?]v=[0-9a-f]{8}", b"?v"),
        (rb"\d{4}-\d\d-\d\dT[\d:.]+", b"a time"),
        (rb"\w+\.? \d+, \d{4}, (?:[\d:]+ [ap]\.m\.|noon|midnight)", b"a time"),
        (rb"\b\d\d:\d\d(?= by)|Just now|\d+\W+minutes? ago", b"a time"),
        (rb"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", b"an id"),
        (rb"key\\&quot;: \\&quot;[a-z0-9]{5}", b"a key"),  # of a block of rich text
    ):
        body = re.sub(pattern, name, body)
    tree = html5lib.parse(body, namespaceHTMLElements=False)
    return [
        (
            one.tag,
            repr(sorted(one.attrib.items())),
            (one.text or "").strip(),
            (one.tail or "").strip(),
        )
        for one in tree.iter()
        if isinstance(one.tag, str)
    ]


def missing(plain: bytes, gated: bytes) -> list[tuple[str, ...]]:
    """Return what of a page is not found behind the gate, in its order."""
    there, at, gone = elements(gated), 0, []
    for one in elements(plain):
        if one in there[at:]:
            at = there.index(one, at) + 1
        else:
            gone.append(one)
    return gone


Day = tuple[Editor, dict[str, Any]]


@pytest.fixture(scope="module")
def port() -> int:
    return free_port()


@pytest.fixture(scope="module")
def plain(starter: Path, film: str, port: int) -> Day:
    with running(starter, "plain", film, port) as url:
        return day(url)


@pytest.fixture(scope="module")
def gated(starter: Path, film: str, port: int, plain: Day) -> Iterator[Day]:
    (starter / "gated" / "bandeau.toml").write_text(POLICY.format(port=port), "utf-8")
    with running(starter, "gated", film, port) as url:
        yield day(url)


def test_there_is_nothing_to_complain_about(starter: Path, film: str, gated: Day) -> None:
    assert "no issues" in run(starter, "gated", film, "check")


def test_an_editor_s_day_comes_out_the_same(plain: Day, gated: Day) -> None:
    (before, found), (behind, found_behind) = plain, gated
    assert found == found_behind
    assert set(found.values()) - {403, 404} == {True, ("csrftoken", "sessionid"), ("csrftoken",)}
    assert before.journey == behind.journey
    assert len(before.journey) > 25
    gone = {name: missing(whole, behind.pages[name]) for name, whole in before.pages.items()}
    lost = {name: elements for name, elements in gone.items() if elements}
    (name,) = [one for one in before.pages if one.endswith(" /film/ /film/")]
    assert {one: len(elements) for one, elements in lost.items()} == {name: 1}, lost
    assert lost[name][0][0] == "iframe"
    assert FILM in lost[name][0][1]


def test_an_embed_waits_behind_a_placeholder_until_it_is_granted(plain: Day, gated: Day) -> None:
    """Nothing is needed for Wagtail's embeds: what a finder gives is a frame, and the gate knows frames."""
    visitor = Editor(gated[0].url)
    held = visitor.get("/film/")
    assert b'data-bandeau-needs="video"' in held
    assert b"<strong>A film</strong>" in held
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    visitor.get("/_b/choice", b"choice=add&purpose=video&back=/film/", **form)
    (name,) = (name for name in plain[0].pages if name.endswith(" /film/ /film/"))
    shown = visitor.get("/film/")
    assert b"data-bandeau-needs" not in shown
    frames = [one for one in elements(plain[0].pages[name]) if one[0] == "iframe"]
    assert [one for one in elements(shown) if one[0] == "iframe"] == frames


def test_its_pages_are_clean_in_an_audit(starter: Path, gated: Day) -> None:
    policy, report = starter / "gated" / "bandeau.toml", starter / "report"
    for path in ("/film/", f"/{SLUG}/"):
        done = subprocess.run(
            [sys.executable, "-m", "bandeau", "audit", gated[0].url + path, "--policy", policy,
             "--out", report, "--quiet"], capture_output=True, text=True, check=False, timeout=590,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr


def test_the_admin_works_in_a_browser(gated: Day, chromium: Browser) -> None:
    """Log in, fold the menu, open the editor: what the admin keeps stays kept, and nothing of it is barred."""
    url, said = gated[0].url, list[str]()
    context = chromium.new_context(locale="en-GB")
    page = context.new_page()
    page.on(
        "console", lambda message: said.append(message.text) if message.type == "error" else None
    )
    page.on("pageerror", lambda error: said.append(str(error)))
    page.goto(url + "/admin/login/?next=/admin/pages/4/edit/")
    page.locator("#bandeau button[value=none]").click()
    page.locator("#id_username").fill("editor")
    page.locator("#id_password").fill("editor's")
    page.locator("#id_password").press("Enter")
    expect(page.locator("#id_title")).to_have_value(TITLE)
    page.locator("button.sidebar__collapse-toggle").click()
    page.locator("[data-side-panel-toggle=preview], [aria-label='Toggle preview']").first.click()
    expect(page.frame_locator("#w-preview-iframe").locator("body")).to_contain_text(
        "Welcome to your new Wagtail site"
    )
    page.goto(url + ADD.format("film", "filmpage"))
    page.locator("#id_title").fill("Another film")
    expect(page.locator("body")).to_have_class(re.compile("sidebar-collapsed"))
    kept = page.evaluate("Object.keys(localStorage)")
    assert "wagtail:side-panel-open" in kept, kept
    assert {cookie["name"] for cookie in context.cookies()} == {
        "bandeau",
        "csrftoken",
        "sessionid",
        "wagtail_sidebar_collapsed",
    }
    context.close()
    assert said == [], said
