"""Django: `MIDDLEWARE = ["bandeau.django.Middleware", …]`, first of all; sync and async.

    BANDEAU_POLICY = BASE_DIR / "bandeau.toml"
    BANDEAU_LEDGER = "sqlite:////srv/lanterne/bandeau.db"

`request.consent` is the request's Consent. Pure translation, as in the other adapters.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from http.cookies import Morsel
from typing import Any

from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase

from bandeau.adapters.wsgi import inner_environ, read_body, request_of
from bandeau.errors import BandeauError
from bandeau.site import Exchange, Site
from bandeau.wire.headers import RawHeaders
from bandeau.wire.messages import Reply

_log = logging.getLogger("bandeau")


class Middleware:
    """The gate in Django's chain. Raises ImproperlyConfigured at start, with every problem."""

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: Callable[[HttpRequest], Any]) -> None:
        self.get_response = get_response
        self.is_async = iscoroutinefunction(get_response)
        if self.is_async:
            markcoroutinefunction(self)
        self.site = site()

    def __call__(self, request: HttpRequest) -> Any:
        if self.is_async:
            return self._async(request)
        exchange = self._exchange(request)
        if exchange.endpoint:
            body = _body(request, self.site.max_form)
            return _response(
                exchange.failure(413) if body is None else self.site.answer_sync(exchange, body)
            )
        if exchange.reply:
            return _response(exchange.reply)
        return _gated(exchange, self.get_response(request))

    async def _async(self, request: HttpRequest) -> HttpResponseBase:
        exchange = self._exchange(request)
        if exchange.endpoint:
            body = _body(request, self.site.max_form)
            return _response(
                exchange.failure(413) if body is None else await self.site.answer(exchange, body)
            )
        if exchange.reply:
            return _response(exchange.reply)
        return _gated(exchange, await self.get_response(request))

    def _exchange(self, request: HttpRequest) -> Exchange:
        """Take the request through the gate, and leave in it only what the site may see."""
        environ = {
            "SERVER_NAME": "",
            "SERVER_PORT": "",
            **request.META,
            "wsgi.url_scheme": request.scheme,
        }
        exchange = self.site.exchange(request_of(environ))
        inner = inner_environ(environ, exchange)
        for name in [name for name in request.META if name.startswith("HTTP_")]:
            del request.META[name]
        request.META.update({n: v for n, v in inner.items() if n.startswith("HTTP_")})
        for cached in ("COOKIES", "headers"):  # computed from META when first asked for
            request.__dict__.pop(cached, None)
        request.consent = exchange.consent
        return exchange


_sites: dict[tuple[str, str], Site] = {}


def site() -> Site:
    """Return the process's site, made of the settings when first asked for."""
    policy = getattr(settings, "BANDEAU_POLICY", None)
    if not policy:
        raise ImproperlyConfigured(
            'add BANDEAU_POLICY = BASE_DIR / "bandeau.toml" to your settings'
        )
    ledger = str(getattr(settings, "BANDEAU_LEDGER", "sqlite:///bandeau.db"))
    key = (str(policy), ledger)
    if key not in _sites:
        try:
            _sites[key] = Site.from_file(policy, ledger)
        except BandeauError as error:
            raise ImproperlyConfigured(str(error)) from error
    return _sites[key]


class _Line(Morsel[str]):
    """A whole Set-Cookie line: Django's handlers print what `OutputString` says."""

    def __init__(self, line: str) -> None:
        super().__init__()
        self._line = line

    def OutputString(self, _attrs: Any = None) -> str:  # noqa: N802 (http.cookies' name)
        return self._line


def _body(request: HttpRequest, limit: int) -> bytes | None:
    environ = {"CONTENT_LENGTH": request.META.get("CONTENT_LENGTH"), "wsgi.input": request}
    return read_body(environ, limit)


def _gated(exchange: Exchange, response: HttpResponseBase) -> HttpResponseBase:
    headers: RawHeaders = [
        (name.lower().encode("latin-1"), value.encode("latin-1"))
        for name, value in response.items()
    ]
    headers += [
        (b"set-cookie", morsel.OutputString().encode("latin-1"))
        for morsel in response.cookies.values()
    ]
    try:
        filtered = exchange.response(response.status_code, headers)
    except Exception:  # noqa: BLE001 (it fails closed, and a page still comes)
        _log.exception("the gate failed on a response's head: nothing of it is sent")
        response.close()
        return _response(exchange.failure(500))
    response.status_code = filtered.status
    _put(response, filtered.headers)
    if filtered.passthrough:
        return response
    if getattr(response, "is_async", False):
        response.streaming_content = _streamed_async(response.streaming_content, filtered)
    elif response.streaming:
        response.streaming_content = _streamed(response.streaming_content, filtered)
    else:
        response.content = filtered.whole(response.content)
    return response


def _streamed(chunks: Iterable[bytes], filtered: Any) -> Iterator[bytes]:
    for chunk in chunks:
        yield filtered.feed(chunk)
    yield filtered.close()


async def _streamed_async(chunks: AsyncIterator[bytes], filtered: Any) -> AsyncIterator[bytes]:
    async for chunk in chunks:
        yield filtered.feed(chunk)
    yield filtered.close()


def _response(reply: Reply) -> HttpResponse:
    response = HttpResponse(reply.body, status=reply.status)
    _put(response, reply.headers)
    return response


def _put(response: HttpResponseBase, headers: RawHeaders) -> None:
    """Give a response exactly these headers; it holds one value a name, so lists are joined."""
    for name in list(response.headers):
        del response[name]
    response.cookies.clear()
    for number, (raw, value) in enumerate(headers):
        name, text = raw.decode("latin-1"), value.decode("latin-1")
        if name == "set-cookie":
            dict.__setitem__(response.cookies, f"{number}", _Line(text))
        else:
            response[name] = f"{response[name]}, {text}" if response.has_header(name) else text
