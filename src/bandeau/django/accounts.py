"""Who is signed in, before the site sees the request: what Django's own middleware says behind the gate.

The session is read here by itself, and never written. The site's own, not touched by that, goes on
telling caches which of its pages depend on it (`Vary: Cookie`).
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from importlib import import_module
from typing import Any

from django.apps import apps
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.http import HttpRequest

from bandeau.site import UNKNOWN

_log = logging.getLogger("bandeau")


class Accounts:
    """Asks Django's sessions and users."""

    def __init__(self, sessions: Callable[[str], Any]) -> None:
        from django.contrib import auth  # noqa: PLC0415 (only where it is installed)

        self._sessions = sessions
        self._auth = auth

    def signed_in(self, request: HttpRequest) -> object:
        """Return the primary key of who is signed in; None for nobody; UNKNOWN where none can say."""
        try:
            asked = self._alone(request)
            return asked and _id(self._auth.get_user(asked))
        except Exception:  # noqa: BLE001 (it fails closed, and a page still comes)
            _log.exception("who is signed in could not be told: nothing passes")
            return UNKNOWN

    async def asigned_in(self, request: HttpRequest) -> object:
        """Do what `signed_in` does, with an event loop."""
        try:
            asked = self._alone(request)
            return asked and _id(await self._auth.aget_user(asked))
        except Exception:  # noqa: BLE001 (as above)
            _log.exception("who is signed in could not be told: nothing passes")
            return UNKNOWN

    def _alone(self, request: HttpRequest) -> HttpRequest | None:
        """Return a request that has the visitor's session, and nothing else."""
        key = request.COOKIES.get(settings.SESSION_COOKIE_NAME)
        if not key:
            return None
        asked = HttpRequest()
        asked.session = session = self._sessions(key)
        # A session that is no longer good, or of an older SECRET_KEY, is the site's own to end or renew.
        session.flush = session.cycle_key = lambda: None
        session.aflush = session.acycle_key = _nothing
        return asked


def accounts() -> Accounts:
    """Return what asks. Raises ImproperlyConfigured where nobody can sign in."""
    if not apps.is_installed("django.contrib.auth"):
        raise ImproperlyConfigured(
            "[account] is on, and nobody can sign in: add django.contrib.auth to INSTALLED_APPS"
        )
    return Accounts(import_module(settings.SESSION_ENGINE).SessionStore)


async def _nothing() -> None: ...


def _id(user: Any) -> str | None:
    return str(user.pk) if user.is_authenticated else None
