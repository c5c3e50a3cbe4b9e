"""Who is signed in, as each adapter comes to know it: the same account on two devices, everywhere."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Iterator
from http.cookies import SimpleCookie
from pathlib import Path
from typing import Any

import flask
import pytest
from django.core.exceptions import ImproperlyConfigured
from django.http import HttpRequest, HttpResponse
from django.test import override_settings
from django.urls import path as route
from starlette.applications import Starlette
from starlette.middleware.sessions import SessionMiddleware
from starlette.requests import Request
from starlette.responses import HTMLResponse
from starlette.routing import Route

import bandeau.django
import bandeau.flask
import bandeau.starlette
import serving
from adapters import django_site
from adapters.django_users import NAMES
from adapters.test_scenarios import wsgi_served
from bandeau import Bandeau
from bandeau.adapters.proxy import Limits, Proxy
from bandeau.errors import BandeauError, PolicyError
from bandeau.policy.file import loads
from conftest import SMALL
from serving import Answered, ask, page

ACCOUNTS = SMALL.replace("[[purpose]]", "[account]\nenabled = true\n[[purpose]]", 1)
ASKED = ACCOUNTS.replace("enabled = true", 'enabled = true\nask = "/who"\ncookies = ["session"]')
FORM = (b"Content-Type: application/x-www-form-urlencoded", b"Sec-Fetch-Site: same-origin")
PAGE = "<html lang=en><head><title>t</title></head><body><p>x<iframe src=//social.localhost/f></iframe>"
ADAPTERS = ["asgi", "asgi-await", "wsgi", "flask", "starlette", "django", "django-async", "proxy"]


def who_of(cookies: str) -> str | None:
    """Say who a session's cookie is of; some make it fail."""
    found = SimpleCookie(cookies).get("session")
    if found and found.value == "broken":
        raise ValueError("the sessions cannot be read")
    return found.value if found else None


def session_of(scope: Any) -> str | None:
    return who_of(dict(scope["headers"]).get(b"cookie", b"").decode())


async def awaited(scope: Any) -> str | None:
    return session_of(scope)


async def as_asgi(_scope: Any, _receive: Any, send: Any) -> None:
    headers = [(b"content-type", b"text/html")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": PAGE.encode()})


def as_wsgi(_environ: Any, start: Any) -> list[bytes]:
    start("200 OK", [("Content-Type", "text/html")])
    return [PAGE.encode()]


def as_flask(file: Path, ledger: str) -> flask.Flask:
    app = flask.Flask("site")
    app.secret_key = "-"
    app.config.update(BANDEAU_POLICY=file, BANDEAU_LEDGER=ledger)

    def who() -> object:
        if flask.session.get("who") == "broken":
            raise ValueError("the sessions cannot be read")
        return flask.session.get("who")

    bandeau.flask.Bandeau(app, account=who)

    @app.route("/in/<who>")
    def sign_in(who: str) -> str:
        flask.session["who"] = who
        return "in"

    @app.route("/page")
    def shown() -> str:
        return PAGE

    return app


def as_starlette(file: Path, ledger: str) -> Starlette:
    async def sign_in(request: Request) -> HTMLResponse:
        request.session["who"] = request.path_params["who"]
        return HTMLResponse("in")

    async def shown(_: Request) -> HTMLResponse:
        return HTMLResponse(PAGE)

    def who(scope: Any) -> object:
        if scope["session"].get("who") == "broken":
            raise ValueError("the sessions cannot be read")
        return scope["session"].get("who")

    app = Starlette(routes=[Route("/in/{who}", sign_in), Route("/page", shown)])
    app.add_middleware(bandeau.starlette.Middleware, policy=file, ledger=ledger, account=who)
    app.add_middleware(SessionMiddleware, secret_key="-")  # outside of the gate
    return app


DJANGO = {
    "MIDDLEWARE": [
        "bandeau.django.Middleware",
        "django.contrib.sessions.middleware.SessionMiddleware",
        "django.contrib.auth.middleware.AuthenticationMiddleware",
    ],
    "SESSION_COOKIE_NAME": "session",
    "AUTHENTICATION_BACKENDS": ["adapters.django_users.Backend"],
}


def django_views() -> list[Any]:
    def sign_in(request: Any, who: str) -> HttpResponse:
        backend = DJANGO["AUTHENTICATION_BACKENDS"][0]
        request.session["_auth_user_id"] = NAMES[who]
        request.session["_auth_user_backend"] = backend
        request.session["_auth_user_hash"] = "now"
        return HttpResponse("in")

    def shown(_request: Any) -> HttpResponse:
        return HttpResponse(PAGE)

    return [route("in/<who>", sign_in), route("page", shown)]


@contextlib.contextmanager
def served(adapter: str, folder: Path) -> Iterator[int]:
    """Serve a site with accounts by one of the adapters."""
    file, ledger = folder / "bandeau.toml", f"sqlite:///{folder / 'bandeau.db'}"
    file.write_text(ASKED if adapter == "proxy" else ACCOUNTS, "utf-8")
    with contextlib.ExitStack() as stack:
        if adapter.startswith("django"):
            from django.core.asgi import get_asgi_application
            from django.core.wsgi import get_wsgi_application

            django_site.ready(folder, ACCOUNTS, *django_views())
            stack.enter_context(override_settings(**DJANGO))
            if adapter == "django":
                port = stack.enter_context(wsgi_served(get_wsgi_application()))
            else:
                port = stack.enter_context(serving.running(get_asgi_application(), lifespan=False))
            stack.callback(bandeau.django.site().close)
            yield port
        elif adapter == "flask":
            app = as_flask(file, ledger)
            stack.callback(app.extensions["bandeau"].close)
            yield stack.enter_context(wsgi_served(app))
        elif adapter == "starlette":
            yield stack.enter_context(serving.running(as_starlette(file, ledger)))
        else:
            made = Bandeau.from_policy(loads(file.read_text("utf-8")), ledger)
            stack.callback(made.close)
            if adapter == "wsgi":
                by_environ = lambda environ: who_of(environ.get("HTTP_COOKIE", ""))  # noqa: E731
                yield stack.enter_context(wsgi_served(made.wsgi(as_wsgi, account=by_environ)))
            elif adapter == "proxy":
                up = stack.enter_context(serving.upstream())
                up.answers |= {"/page": page(PAGE.encode(), b"BD-Account: told"), "/who": said}
                gate = Proxy(made, f"http://127.0.0.1:{up.port}", limits=Limits(head_seconds=1.0))
                yield stack.enter_context(serving.running(gate))
            else:
                by_scope: Callable[[Any], Any] = awaited if adapter == "asgi-await" else session_of
                app = made.asgi(as_asgi, account=by_scope)  # type: ignore[assignment]
                yield stack.enter_context(serving.running(app, lifespan=False))


async def said(head: bytes, _reader: Any, writer: Any) -> None:
    """Say as an upstream who is signed in."""
    cookies = next((one for one in head.split(b"\r\n") if one.lower().startswith(b"cookie:")), b":")
    lines = head.decode().lower()
    assert "junk" not in lines
    assert "sq_x" not in lines
    try:
        who = who_of(cookies.partition(b":")[2].strip().decode())
    except ValueError:
        writer.write(b"HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n")
        return
    told = b"BD-Account: %s\r\n" % who.encode() if who else b""
    writer.write(b"HTTP/1.1 204 No Content\r\n%sConnection: close\r\n\r\n" % told)


@pytest.fixture(scope="module", params=ADAPTERS)
def site(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Site]:
    with served(request.param, tmp_path_factory.mktemp(request.param)) as port:
        yield Site(port, request.param)


class Site:
    def __init__(self, port: int, adapter: str) -> None:
        self.port, self.adapter = port, adapter

    def signed_in(self, who: str) -> bytes:
        """Return the value of a session of somebody on a new device."""
        if self.adapter in ("flask", "starlette", "django", "django-async"):
            (line,) = ask(self.port, f"/in/{who}").every(b"set-cookie")
            return line.partition(b";")[0]
        return b"session=" + who.encode()


def asks(port: int, *cookies: bytes, path: str = "/page") -> Answered:
    sent = [b"Cookie: " + b"; ".join(cookies)] if cookies else []
    return ask(port, path, *sent)


def opened(port: int, *cookies: bytes) -> bool:
    answered = asks(port, *cookies)
    assert answered.status == 200
    assert not answered.every(b"bd-account")
    return b"<iframe src=//social" in answered.body


def choose(port: int, body: bytes, *cookies: bytes) -> Answered:
    cookie = b"Cookie: " + b"; ".join(cookies)
    return ask(port, "/_b/choice", *FORM, cookie, method="POST", body=body)


def test_one_account_is_one_choice_and_each_device_keeps_its_own(site: Site) -> None:
    port = site.port
    laptop, phone = site.signed_in("ada"), site.signed_in("ada")
    device = choose(port, b"choice=none").every(b"set-cookie")[0].partition(b";")[0]
    assert b'name="account"' in asks(port, laptop).body
    assert choose(port, b"choice=all", laptop, device).status == 409
    accepted = choose(port, b"choice=all&account=1", laptop, device, b"sq_x=1", b"junk=1")
    assert accepted.status == 303
    assert not any(one.startswith(b"bandeau") for one in accepted.every(b"set-cookie"))
    assert opened(port, phone)
    assert opened(port, laptop, device)
    assert not opened(port, device)
    assert not opened(port)
    assert not opened(port, site.signed_in("bob"), device)
    assert choose(port, b"choice=none&account=1", phone).status == 303
    assert not opened(port, laptop, device)
    assert b'"account": true' in asks(port, laptop, path="/_b/state").body
    assert b'"account"' not in asks(port, device, path="/_b/state").body


def test_where_nobody_can_say_who_it_is_nothing_passes_and_the_page_comes(site: Site) -> None:
    device = choose(site.port, b"choice=all").every(b"set-cookie")[0].partition(b";")[0]
    assert opened(site.port, device)
    broken = site.signed_in("broken")
    assert not opened(site.port, device, broken)
    assert choose(site.port, b"choice=none&account=1", device, broken).status == 503
    assert opened(site.port, device)


def test_a_proxy_asks_with_technical_cookies_only_and_believes_no_visitor(tmp_path: Path) -> None:
    made = Bandeau.from_policy(loads(ASKED), f"sqlite:///{tmp_path / 'b.db'}")
    with serving.upstream() as up:
        up.answers |= {"/page": page(PAGE.encode()), "/who": said}
        with serving.running(Proxy(made, f"http://127.0.0.1:{up.port}")) as port:
            asks(port, b"junk=1")
            ask(port, "/page", b"Cookie: session=eve", host="no host")
            assert len(up.heads) == 1  # nobody to ask about, or nothing that may be sent on
            ask(port, "/page", b"Cookie: session=eve; sq_x=1; junk=2", b"BD-Account: ada")
            asked, shown = (head.decode().lower() for head in up.heads[1:])
            assert asked.startswith("get /who ")
            assert "session=eve" in asked
            assert "host: www.own.localhost:9000" in asked
            assert "ada" not in asked + shown
            for answer in (
                b"302 Found",
                b"404 Not Found",
                b"200 OK\r\nBD-Account: a\r\nBD-Account: b",
            ):
                line = b"HTTP/1.1 %s\r\nContent-Length: 0\r\nConnection: close\r\n\r\n" % answer
                up.answers["/who"] = line
                assert choose(port, b"choice=all&account=1", b"session=eve").status == 503
    made.close()


def test_django_does_not_start_where_nobody_can_sign_in(tmp_path: Path) -> None:
    django_site.ready(tmp_path, ACCOUNTS)
    refused = pytest.raises(ImproperlyConfigured, match="nobody can sign in")
    with override_settings(INSTALLED_APPS=["bandeau.django"]), refused:
        bandeau.django.Middleware(lambda _: HttpResponse())
    bandeau.django.site().close()


class Sessions(dict[str, str]):
    """Sessions by their hash, which nobody may write."""

    def __init__(self, key: str) -> None:
        super().__init__(_auth_user_id="1", _auth_user_hash=key)
        self["_auth_user_backend"] = str(DJANGO["AUTHENTICATION_BACKENDS"][0])

    def flush(self) -> None:
        raise AssertionError

    async def aget(self, key: str) -> str | None:
        return self[key]

    async def aset(self, key: str, value: str) -> None:
        self[key] = value

    aflush = acycle_key = cycle_key = flush


@pytest.mark.parametrize(("key", "who"), [("now", "1"), ("before", "1"), ("stolen", None)])
def test_django_s_sessions_are_verified_and_never_written(key: str, who: str | None) -> None:
    from bandeau.django.accounts import Accounts

    django_site.configure()
    with override_settings(**DJANGO):
        request = HttpRequest()
        assert Accounts(Sessions).signed_in(request) is None
        request.COOKIES["session"] = key
        assert Accounts(Sessions).signed_in(request) == who
        assert asyncio.run(Accounts(Sessions).asigned_in(request)) == who


def test_a_framework_that_tells_nobody_does_not_start(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    file, ledger = tmp_path / "bandeau.toml", f"sqlite:///{tmp_path / 'bandeau.db'}"
    file.write_text(ACCOUNTS, "utf-8")
    app = flask.Flask("site")
    app.config.update(BANDEAU_POLICY=file, BANDEAU_LEDGER=ledger)
    with pytest.raises(PolicyError, match="BP041"):
        bandeau.flask.Bandeau(app)
    gate = bandeau.starlette.Middleware(as_asgi, file, ledger)
    with pytest.raises(BandeauError, match="BP041"):
        gate._opened()
