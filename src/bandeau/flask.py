"""Flask: `Bandeau(app)`, or `Bandeau()` once and `init_app(app)` in a factory.

    app.config["BANDEAU_POLICY"] = "bandeau.toml"
    app.config["BANDEAU_LEDGER"] = "sqlite:////srv/lanterne/bandeau.db"
    Bandeau(app)

`consent` is the request's Consent, in views and in templates. Pure translation: the gate is the one of
`adapters.wsgi`.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar, cast

from flask import Flask, Response, current_app, request
from markupsafe import Markup
from werkzeug.local import LocalProxy
from werkzeug.middleware.proxy_fix import ProxyFix

from bandeau.adapters.wsgi import Account, Environ, Middleware, request_of
from bandeau.decision.model import Consent
from bandeau.errors import BandeauError
from bandeau.site import Exchange, Site

__all__ = ["Bandeau", "consent", "needs", "placeholder", "trackers"]

_SETTINGS = frozenset(("BANDEAU_POLICY", "BANDEAU_LEDGER"))
View = TypeVar("View", bound=Callable[..., Any])


class Bandeau:
    """The extension: puts applications behind the gate, each with a site of its own.

    `app.extensions["bandeau"]` is that site. It closes with the process, or once nothing holds the
    application any more.
    """

    def __init__(
        self, app: Flask | None = None, account: Callable[[], object] | None = None
    ) -> None:
        """`account` says who is signed in, where `[account]` is on; it has the request's context."""
        self._account = account
        if app is not None:
            self.init_app(app)

    def init_app(self, app: Flask) -> None:
        """Put an application behind the gate, by its BANDEAU_POLICY and BANDEAU_LEDGER.

        A ProxyFix that is there already stays outside: the gate has to know the visitor's address.
        Raises BandeauError with every problem, RuntimeError for an application that was here before.
        """
        if "bandeau" in app.extensions:
            raise RuntimeError("this application is behind bandeau already")
        unknown = {name for name in app.config if name.startswith("BANDEAU_")} - _SETTINGS
        problems = [f"{name} is no setting of bandeau: remove it" for name in sorted(unknown)]
        if not app.config.get("BANDEAU_POLICY"):
            problems.append('add app.config["BANDEAU_POLICY"] = "bandeau.toml"')
        if problems:
            raise BandeauError("\n".join(problems))
        ledger = app.config.get("BANDEAU_LEDGER", "sqlite:///bandeau.db")
        site = Site.from_file(app.config["BANDEAU_POLICY"], str(ledger))
        inner = app.wsgi_app.app if isinstance(app.wsgi_app, ProxyFix) else app.wsgi_app
        try:
            gate = Middleware(inner, site, self._who(app))
        except BandeauError:
            site.close()
            raise
        weakref.finalize(app, site.close)
        app.extensions["bandeau"] = site
        app.jinja_env.globals.update(
            consent=consent, consent_placeholder=placeholder, consent_trackers=trackers
        )
        if isinstance(app.wsgi_app, ProxyFix):
            app.wsgi_app.app = gate
        else:
            app.wsgi_app = gate  # type: ignore[method-assign]

    def _who(self, app: Flask) -> Account | None:
        account = self._account
        if account is None:
            return None

        def who(environ: Environ) -> object:
            with app.request_context(dict(environ)):  # the application makes one of its own later
                return account()

        return who


def needs(*purposes: str) -> Callable[[View], View]:
    """Close a view until all of these purposes are granted: 403, our page, one button for each.

    Stands below `@app.route`; views may be asynchronous. An unknown purpose raises PolicyError.
    """

    def decorate(view: View) -> View:
        @wraps(view)
        def gated(*args: Any, **kwargs: Any) -> Any:
            exchange = _exchange()
            exchange.reply = exchange.closed(purposes)
            if exchange.reply:
                return Response(status=exchange.reply.status)  # the gate sends the page
            return current_app.ensure_sync(view)(*args, **kwargs)

        return cast("View", gated)

    return decorate


def placeholder(*purposes: str, lang: str | None = None) -> Markup:
    """Return what stands for a part of a page that needs purposes, with its buttons.

    In templates it is called `consent_placeholder`. Nothing where all of them are granted; `lang` is the
    page's language, else the visitor's.
    """
    return Markup(_exchange().held(purposes, lang))  # noqa: S704 (our own template, escaped there)


def trackers(lang: str | None = None) -> Markup:
    """Return all that is declared, as a part of the site's own privacy page.

    In templates it is called `consent_trackers`. `lang` is the page's language, else the visitor's.
    """
    exchange = _exchange()
    return Markup(exchange.site.notice.listing(lang or exchange.language))  # noqa: S704 (as above)


def _exchange() -> Exchange:
    """Return the request's exchange; a request that was made by hand meets the gate here."""
    environ: dict[str, Any] = request.environ
    if "bandeau.exchange" not in environ:
        site: Site = current_app.extensions["bandeau"]
        environ["bandeau.exchange"] = site.exchange(request_of(environ))
    return cast("Exchange", environ["bandeau.exchange"])


consent = cast("Consent", LocalProxy(lambda: _exchange().consent))
