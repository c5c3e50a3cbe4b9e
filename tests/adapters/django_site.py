"""Django's settings, made once for a process as a project's would be; each test brings its own addresses."""

from __future__ import annotations

import sys
import types
from pathlib import Path
from typing import Any

import django
from django.conf import settings
from django.urls import clear_url_caches


def configure() -> None:
    """Make the settings of the process, once."""
    if settings.configured:
        return
    settings.configure(
        ALLOWED_HOSTS=["*"], ROOT_URLCONF="test_urls", SECRET_KEY="-" * 50, USE_TZ=True,
        SESSION_ENGINE="django.contrib.sessions.backends.signed_cookies",
        INSTALLED_APPS=["bandeau.django", *(f"django.contrib.{one}" for one in ("auth", "contenttypes", "sessions", "messages"))],
        TEMPLATES=[{
            "BACKEND": "django.template.backends.django.DjangoTemplates",
            "OPTIONS": {"context_processors": [
                "django.template.context_processors.request",
                "bandeau.django.context_processors.consent",
            ]},
        }],
        MIDDLEWARE=[
            "bandeau.django.Middleware",
            "django.contrib.sessions.middleware.SessionMiddleware",
            "django.middleware.common.CommonMiddleware",
            "django.middleware.csrf.CsrfViewMiddleware",
            "django.contrib.messages.middleware.MessageMiddleware",
        ],
    )  # fmt: skip
    django.setup()


def ready(folder: Path, policy: str, *patterns: Any) -> None:
    """Configure Django for a policy and some addresses."""
    file = folder / "bandeau.toml"
    file.write_text(policy, "utf-8")
    urls = types.ModuleType("test_urls")
    urls.urlpatterns = list(patterns)  # type: ignore[attr-defined]
    sys.modules["test_urls"] = urls
    configure()
    clear_url_caches()
    settings.BANDEAU_POLICY = file
    settings.BANDEAU_LEDGER = f"sqlite:///{folder / 'bandeau.db'}"
