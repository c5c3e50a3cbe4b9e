"""Django's admin, django-allauth and the debug toolbar behind the gate: each keeps what its preset says, and works."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from browser.djangos import installed, managed, served
from browser.engines import free_port

SETTINGS = """
INSTALLED_APPS = ["bandeau.django", *INSTALLED_APPS, "allauth", "allauth.account", "debug_toolbar"]
MIDDLEWARE = ["bandeau.django.Middleware", "debug_toolbar.middleware.DebugToolbarMiddleware", *MIDDLEWARE,
              "django.middleware.locale.LocaleMiddleware", "allauth.account.middleware.AccountMiddleware"]
AUTHENTICATION_BACKENDS = ["allauth.account.auth_backends.AuthenticationBackend"]
ACCOUNT_EMAIL_VERIFICATION = "none"
INTERNAL_IPS = ["127.0.0.1"]
LOGIN_REDIRECT_URL = "/"
BANDEAU_POLICY = BASE_DIR / "bandeau.toml"
BANDEAU_LEDGER = f"sqlite:///{BASE_DIR / 'bandeau.db'}"
"""
URLS = """
from debug_toolbar.toolbar import debug_toolbar_urls
from django.contrib import admin
from django.http import HttpResponse
from django.urls import include, path

def front(request):
    return HttpResponse(f"<html lang=en><head><title>Mine</title></head><body><p id=who>{request.user}</p></body></html>")

urlpatterns = [path("admin/", admin.site.urls), path("accounts/", include("allauth.urls")), path("", front),
               path("favicon.ico", lambda request: HttpResponse(status=204)), *debug_toolbar_urls()]
"""


@pytest.mark.skipif(
    "BANDEAU_PROVE" not in os.environ, reason="BANDEAU_PROVE=1 installs the applications"
)
def test_log_in_admin_and_toolbar_keep_what_they_need(tmp_path: Path, chromium: Browser) -> None:
    python, port = (
        installed(
            tmp_path / "venv",
            "django==5.2.*",
            "django-allauth==65.21.1",
            "django-debug-toolbar==8.0.0",
        ),
        free_port(),
    )
    site = tmp_path / "site"
    site.mkdir()
    subprocess.run([python, "-m", "django", "startproject", "mysite", "."], cwd=site, check=True)
    with (site / "mysite" / "settings.py").open("a", encoding="utf-8") as settings:
        settings.write(SETTINGS)
    (site / "mysite" / "urls.py").write_text(URLS, "utf-8")
    said = managed(python, site, "check")
    first = said.partition("with your own words for the dots:\n\n")[2].partition("\n\n\n")[0]
    assert 'presets = ["django", "allauth", "debug-toolbar", "django-admin"]' in first
    (site / "bandeau.toml").write_text(first.replace(":8000", f":{port}"), "utf-8")
    assert "no issues" in managed(python, site, "check")
    managed(python, site, "migrate")
    words = ("createsuperuser", "--noinput", "--username", "editor", "--email", "e@example.org")
    managed(python, site, *words, DJANGO_SUPERUSER_PASSWORD="editor's")
    wrong: list[str] = []
    context = chromium.new_context(locale="en-GB")
    page = context.new_page()
    page.on(
        "console", lambda message: wrong.append(message.text) if message.type == "error" else None
    )
    page.on("pageerror", lambda error: wrong.append(str(error)))
    with served(python, site, port) as url:
        page.goto(f"{url}/accounts/signup/")
        for name, value in (
            ("username", "zoe"),
            ("password1", "s3cret-pass-9"),
            ("password2", "s3cret-pass-9"),
        ):
            page.locator(f"[name={name}]").fill(value)
        page.locator("form[action*=signup] button[type=submit]").click()
        expect(page.locator("#who")).to_have_text("zoe")
        page.locator("#djDebug .djDebugPanelButton input[type=checkbox]").first.click()
        page.locator("#djHideToolBarButton").click()
        page.goto(f"{url}/accounts/logout/")
        page.locator("form[action*=logout] button").click()
        page.goto(f"{url}/admin/login/?next=/admin/auth/user/")
        page.locator("#id_username").fill("editor")
        page.locator("#id_password").fill("editor's")
        page.locator("input[type=submit]").click()
        page.wait_for_url(f"{url}/admin/auth/user/")  # the log-in page has such a button too
        page.locator("button.theme-toggle").first.click()
        page.locator("#nav-filter").fill("gro")
        page.locator("#toggle-nav-sidebar").click()
        page.reload()
        expect(page.locator("html")).to_have_attribute("data-theme", "dark")
        kept = page.evaluate(
            "[...Object.keys(localStorage), ...Object.keys(sessionStorage)].sort()"
        )
        cookies = sorted(cookie["name"] for cookie in context.cookies())
        context.close()
    assert kept == [
        "django.admin.navSidebarFilterValue",
        "django.admin.navSidebarIsOpen",
        "djdt.show",
        "theme",
    ]
    assert cookies == ["csrftoken", "djdtHistoryPanel", "sessionid"]
    assert wrong == []
