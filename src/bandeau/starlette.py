"""Starlette and FastAPI: the gate as middleware, and a view's consent as a dependency.

    app.add_middleware(bandeau.starlette.Middleware, policy="bandeau.toml")

    async def view(consent: Annotated[Consent, Depends(bandeau.starlette.consent)]): …

Pure translation: the gate is the one of `adapters.asgi`. Nothing of FastAPI is imported here; what its
`Depends` calls needs only a connection.
"""

from __future__ import annotations

import weakref
from pathlib import Path
from typing import Any

from markupsafe import Markup
from starlette.exceptions import HTTPException, WebSocketException
from starlette.requests import HTTPConnection, Request

from bandeau.adapters import asgi
from bandeau.adapters.asgi import Account, ASGIApp, Receive, Scope, Send
from bandeau.decision.model import Consent
from bandeau.errors import BandeauError
from bandeau.site import Exchange, Site

__all__ = ["Middleware", "Needs", "consent", "needs", "templates"]


class Middleware:
    """The gate around an application; added last, it stands outermost.

    `account(scope)` says who is signed in, where the policy's `[account]` is on: what stands outside of
    the gate has put it there. The site is made as the application starts, and closed as it ends: a
    policy that cannot be used stops the server with every problem. Without lifespan events it is made
    for the first request, which then raises BandeauError, and closed with the process.
    """

    def __init__(
        self,
        app: ASGIApp,
        policy: str | Path,
        ledger: str = "sqlite:///bandeau.db",
        account: Account | None = None,
    ) -> None:
        self._app = app
        self._account = account
        self._policy = policy
        self._ledger = ledger
        self._gate: asgi.Middleware | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._lifespan(scope, receive, send)
        else:
            await self._opened()(scope, receive, send)

    async def _lifespan(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            gate = self._opened()
        except BandeauError as error:
            await receive()  # lifespan.startup
            await send({"type": "lifespan.startup.failed", "message": str(error)})
            raise
        try:
            await self._app(scope, receive, send)
        finally:
            self._gate = None
            gate.site.close()

    def _opened(self) -> asgi.Middleware:
        if self._gate is None:
            site = Site.from_file(self._policy, self._ledger)
            try:
                self._gate = asgi.Middleware(self._app, site, self._account)
            except BandeauError:
                site.close()
                raise
            weakref.finalize(self._gate, site.close)
        return self._gate


async def consent(connection: HTTPConnection) -> Consent:
    """Return the Consent of a request or WebSocket; for FastAPI, `Depends(consent)`."""
    return _exchange(connection).consent


class Needs:
    """A dependency that closes a route until all of some purposes are granted; see `needs`.

    `responses` is what FastAPI documents of it: `@app.get(…, responses=social.responses)`.
    """

    def __init__(self, *purposes: str) -> None:
        self.purposes = purposes
        self.responses: dict[int | str, dict[str, Any]] = {403: _documented(purposes)}

    async def __call__(self, connection: HTTPConnection) -> Consent:
        exchange = _exchange(connection)
        exchange.reply = exchange.closed(self.purposes)
        if exchange.reply is None:
            return exchange.consent
        if connection.scope["type"] == "websocket":
            raise WebSocketException(1008)  # RFC 6455 7.4.1: policy
        raise HTTPException(exchange.reply.status)  # the gate sends the page


def needs(*purposes: str) -> Needs:
    """Close a route until all of these purposes are granted: 403, our page, one button for each.

    `Depends(needs("social"))`; clients that accept JSON get `{"error": "closed", "needs": ["social"]}`.
    An unknown purpose raises PolicyError.
    """
    return Needs(*purposes)


def templates(request: Request) -> dict[str, Any]:
    """Return `consent`, `consent_placeholder(*purposes, lang=None)` and `consent_trackers(lang=None)`.

    `Jinja2Templates("templates", context_processors=[templates])`.
    """
    exchange = _exchange(request)

    def placeholder(*purposes: str, lang: str | None = None) -> Markup:
        return Markup(exchange.held(purposes, lang))  # noqa: S704 (our own template, escaped there)

    def trackers(lang: str | None = None) -> Markup:
        listing = exchange.site.notice.listing(lang or exchange.language)
        return Markup(listing)  # noqa: S704 (as above)

    return {
        "consent": exchange.consent,
        "consent_placeholder": placeholder,
        "consent_trackers": trackers,
    }


def _exchange(connection: HTTPConnection) -> Exchange:
    found = connection.scope.get("bandeau.exchange")
    if not isinstance(found, Exchange):
        raise TypeError("this request is not behind bandeau: app.add_middleware(Middleware, …)")
    return found


def _documented(purposes: tuple[str, ...]) -> dict[str, Any]:
    """Return the 403 as an OpenAPI Response Object (OpenAPI 3.1, 4.8.17)."""
    properties = {
        "error": {"const": "closed"},
        "needs": {"type": "array", "items": {"enum": list(purposes)}},
    }
    return {
        "description": (
            f"The visitor has not agreed to {', '.join(purposes)}."
            " A page says what is needed and why, with a button to agree; or JSON, where it is accepted."
        ),
        "content": {
            "text/html": {"schema": {"type": "string"}},
            "application/json": {
                "schema": {"type": "object", "properties": properties},
                "example": {"error": "closed", "needs": list(purposes)},
            },
        },
    }
