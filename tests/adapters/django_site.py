"""Django's settings, made once for a process as a project's would be; each test brings its own addresses."""

from __future__ import annotations

import sys
import types
from pathlib import Path
from typing import Any

import django
from django.conf import settings
from django.urls import clear_url_caches


def ready(folder: Path, policy: str, *patterns: Any) -> None:
    """Configure Django for a policy and some addresses."""
    file = folder / "bandeau.toml"
    file.write_text(policy, "utf-8")
    urls = types.ModuleType("test_urls")
    urls.urlpatterns = list(patterns)  # type: ignore[attr-defined]
    sys.modules["test_urls"] = urls
    if not settings.configured:
        settings.configure(
            ALLOWED_HOSTS=["*"], ROOT_URLCONF="test_urls", SECRET_KEY="-" * 50, USE_TZ=True,
            SESSION_ENGINE="django.contrib.sessions.backends.signed_cookies",
            INSTALLED_APPS=["django.contrib.sessions", "django.contrib.messages"],
            MIDDLEWARE=[
                "bandeau.django.Middleware",
                "django.contrib.sessions.middleware.SessionMiddleware",
                "django.middleware.common.CommonMiddleware",
                "django.middleware.csrf.CsrfViewMiddleware",
                "django.contrib.messages.middleware.MessageMiddleware",
            ],
        )  # fmt: skip
        django.setup()
    clear_url_caches()
    settings.BANDEAU_POLICY = file
    settings.BANDEAU_LEDGER = f"sqlite:///{folder / 'bandeau.db'}"
