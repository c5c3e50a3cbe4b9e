"""`Bandeau`: a site behind the gate, for Python applications; what it does is in `site`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bandeau.site import Site

if TYPE_CHECKING:
    from bandeau.adapters.asgi import Account as ASGIAccount
    from bandeau.adapters.asgi import ASGIApp
    from bandeau.adapters.asgi import Middleware as ASGIMiddleware
    from bandeau.adapters.wsgi import Account as WSGIAccount
    from bandeau.adapters.wsgi import Middleware as WSGIMiddleware
    from bandeau.adapters.wsgi import WSGIApp


class Bandeau(Site):
    """A site behind bandeau: make one at start, wrap the application with it."""

    def asgi(self, app: ASGIApp, account: ASGIAccount | None = None) -> ASGIMiddleware:
        """Return the application behind the gate; `scope["bandeau"]` is the request's Consent.

        `account(scope)` returns the id of who is signed in, or None (`[account]`); it may be awaitable.
        """
        from bandeau.adapters.asgi import Middleware  # noqa: PLC0415 (an adapter only on request)

        return Middleware(app, self, account)

    def wsgi(self, app: WSGIApp, account: WSGIAccount | None = None) -> WSGIMiddleware:
        """Return the application behind the gate; `environ["bandeau"]` is the request's Consent.

        `account(environ)` returns the id of who is signed in, or None (`[account]`).
        """
        from bandeau.adapters.wsgi import Middleware  # noqa: PLC0415 (an adapter only on request)

        return Middleware(app, self, account)
