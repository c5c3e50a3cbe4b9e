"""Consent that a site obeys: a gate in the HTTP response, not a script that asks the page to behave.

site = Bandeau.from_file("bandeau.toml", ledger="sqlite:///bandeau.db")
app = site.asgi(app)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bandeau.decision.model import Consent, State
from bandeau.errors import BandeauError, PolicyError
from bandeau.site import Site

if TYPE_CHECKING:
    from bandeau.adapters.asgi import ASGIApp
    from bandeau.adapters.asgi import Middleware as ASGIMiddleware
    from bandeau.adapters.wsgi import Middleware as WSGIMiddleware
    from bandeau.adapters.wsgi import WSGIApp

__all__ = ["Bandeau", "BandeauError", "Consent", "PolicyError", "State"]


class Bandeau(Site):
    """A site behind bandeau: make one at start, wrap the application with it."""

    def asgi(self, app: ASGIApp) -> ASGIMiddleware:
        """Return the application behind the gate; `scope["bandeau"]` is the request's Consent."""
        from bandeau.adapters.asgi import Middleware  # noqa: PLC0415 (an adapter only on request)

        return Middleware(app, self)

    def wsgi(self, app: WSGIApp) -> WSGIMiddleware:
        """Return the application behind the gate; `environ["bandeau"]` is the request's Consent."""
        from bandeau.adapters.wsgi import Middleware  # noqa: PLC0415 (an adapter only on request)

        return Middleware(app, self)
