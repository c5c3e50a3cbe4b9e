"""Two profiles, one account (rule H4): what is chosen on one holds on the other, and on nobody else's page."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import BrowserContext, Error, Page, expect

import serving
from bandeau import Bandeau
from bandeau.policy.file import loads
from browser.conftest import settle
from browser.djangos import managed, served
from browser.engines import free_port
from serving import Upstream, page

POLICY = """
version = 1
[proof]
keep_days = 912
[controller]
name = "Own Press"
address = "1 Quay, Paris"
contact = "dpo@own.example"
privacy_policy = "/privacy"
[site]
origins = ["http://site.localhost:{port}", "http://127.0.0.1:{port}"]
languages = ["fr", "en"]
presets = ["django"]
[account]
enabled = true
[[purpose]]
id = "social"
data = ["browsing"]
[[service]]
id = "square"
purpose = "social"
recipient = "Square"
hosts = [{{ host = "square.localhost", kinds = ["script", "frame"] }}]
"""
FRONT = """<!doctype html><html lang="fr"><head><title>t</title></head><body><h1>La une</h1>
<script src="http://square.localhost:{third}/s.js"></script>
<iframe src="http://square.localhost:{third}/f" title="Square" width="300" height="150"></iframe></body></html>"""
SETTINGS = """
from pathlib import Path
BASE_DIR = Path(__file__).parent
SECRET_KEY, DEBUG, ALLOWED_HOSTS, ROOT_URLCONF = "-" * 50, False, ["*"], "urls"
INSTALLED_APPS = ["bandeau.django", *(f"django.contrib.{one}" for one in ("auth", "contenttypes", "sessions"))]
MIDDLEWARE = ["bandeau.django.Middleware", "django.contrib.sessions.middleware.SessionMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware"]
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": BASE_DIR / "site.db"}}
BANDEAU_POLICY, BANDEAU_LEDGER = BASE_DIR / "bandeau.toml", f"sqlite:///{BASE_DIR / 'bandeau.db'}"
"""
URLS = """
from pathlib import Path
from django.contrib.auth import get_user_model, login, logout
from django.http import HttpResponse, HttpResponseRedirect
from django.urls import path

def sign_in(request, who):
    login(request, get_user_model().objects.get_or_create(username=who)[0])
    return HttpResponseRedirect("/")

def sign_out(request):
    logout(request)
    return HttpResponseRedirect("/")

def front(request):
    return HttpResponse(Path(__file__).with_name("front.html").read_text("utf-8"))

urlpatterns = [path("", front), path("in/<who>", sign_in), path("out", sign_out)]
"""
MANAGE = """
import os, sys
os.environ["DJANGO_SETTINGS_MODULE"] = "settings"
from django.core.management import execute_from_command_line
execute_from_command_line(sys.argv)
"""


def application(front: str) -> Any:
    """Return a site where `/in/ada` signs in, and `/out` out."""

    async def app(scope: Any, _receive: Any, send: Any) -> None:
        path: str = scope["path"]
        headers = [(b"content-type", b"text/html; charset=utf-8")]
        if path.startswith("/in/"):
            headers.append((b"set-cookie", b"sessionid=%s; Path=/; HttpOnly" % path[4:].encode()))
        elif path == "/out":
            headers.append((b"set-cookie", b"sessionid=; Path=/; Max-Age=0"))
        status = 200
        if path != "/":
            status, headers = 303, [*headers, (b"location", b"/")]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": front.encode()})

    return app


def who(scope: Any) -> str | None:
    sent = dict(scope["headers"]).get(b"cookie", b"").decode()
    pairs = dict(one.strip().partition("=")[::2] for one in sent.split(";"))
    return pairs.get("sessionid") or None


@contextlib.contextmanager
def site(kind: str, folder: Path, third: Upstream) -> Iterator[str]:
    front = FRONT.format(third=third.port)
    if kind == "asgi":
        bound = free_port()
        made = Bandeau.from_policy(loads(POLICY.format(port=bound)), f"sqlite:///{folder}/b.db")
        app = made.asgi(application(front), account=who)
        with serving.running(app, lifespan=False, port=bound) as port:
            yield f"http://site.localhost:{port}"
        made.close()
        return
    port = free_port()
    for name, text in {
        "settings.py": SETTINGS, "urls.py": URLS, "manage.py": MANAGE, "front.html": front,
        "bandeau.toml": POLICY.format(port=port),
    }.items():  # fmt: skip
        (folder / name).write_text(text, "utf-8")
    assert "no issues" in managed(Path(sys.executable), folder, "check")
    managed(Path(sys.executable), folder, "migrate")
    with served(Path(sys.executable), folder, port) as url:
        yield url


PROVED = pytest.param(
    "django",
    marks=pytest.mark.skipif(
        "BANDEAU_PROVE" not in os.environ, reason="BANDEAU_PROVE=1 does it with Django's users"
    ),
)


@pytest.mark.parametrize("kind", ["asgi", PROVED])
def test_H4_two_profiles_and_one_account(
    kind: str, tmp_path: Path, visitor: Callable[..., BrowserContext]
) -> None:
    with serving.upstream() as third:
        third.answers |= {"/s.js": page(b"1"), "/f": page(b"<p>the square")}
        with site(kind, tmp_path, third) as url:
            laptop = visitor(user_agent="laptop").new_page()
            phone = visitor(user_agent="phone", scripts=False).new_page()
            told = "vous choisissez pour tous vos appareils"

            def shows(tab: Page, *, granted: bool, account: bool) -> None:
                """See what a page says, and that the third party heard of it or did not."""
                agent = b"User-Agent: laptop" if tab is laptop else b"User-Agent: phone"
                before = sum(agent in head for head in third.heads)
                try:
                    tab.goto(url)
                except Error as error:  # where its script loads it anew just now
                    if "interrupted by another navigation" not in error.message:
                        raise
                    tab.goto(url)
                state = tab.locator("#bandeau-state")
                said = expect(state)
                (said.to_contain_text if account else said.not_to_contain_text)("votre compte")
                expect(state).to_have_attribute("data-granted", "social" if granted else "")
                assert (sum(agent in head for head in third.heads) > before) is granted

            def presses(tab: Page, value: str, *, settings: bool = False) -> None:
                if settings:
                    tab.locator(".bandeau-way").click()
                one = tab.locator(f"main button[value={value}], #bandeau button[value={value}]")
                with tab.expect_response("**/_b/choice"):
                    one.click()
                if tab is laptop:  # its script may load the page anew
                    settle(tab)

            for tab, own in ((laptop, "all"), (phone, "none")):
                shows(tab, granted=False, account=False)
                expect(tab.locator("#bandeau")).not_to_contain_text(told)
                presses(tab, own)
            shows(laptop, granted=True, account=False)
            shows(phone, granted=False, account=False)

            for tab in (laptop, phone):
                tab.goto(f"{url}/in/ada")
                shows(tab, granted=False, account=True)
                expect(tab.locator("#bandeau")).to_contain_text(told)
            presses(laptop, "all")
            shows(laptop, granted=True, account=True)
            shows(phone, granted=True, account=True)  # a new device hears that it is so, and why
            expect(phone.locator("#bandeau")).to_have_count(0)
            presses(phone, "none", settings=True)
            shows(phone, granted=False, account=True)
            band = laptop.locator("#bandeau-state")  # an open page hears of it when it is looked at
            expect(band).to_have_attribute("data-granted", "social")
            laptop.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
            expect(band).to_have_attribute("data-granted", "")
            shows(laptop, granted=False, account=True)
            presses(laptop, "all", settings=True)
            shows(phone, granted=True, account=True)

            for tab in (laptop, phone):
                tab.goto(f"{url}/out")
            shows(laptop, granted=True, account=False)
            shows(phone, granted=False, account=False)

            phone.goto(f"{url}/in/bob")
            shows(phone, granted=False, account=True)
            presses(phone, "none")
            laptop.goto(f"{url}/in/ada")
            shows(laptop, granted=True, account=True)
