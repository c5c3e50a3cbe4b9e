"""The gate in Django's chain, sync and async: pure translation, as in the other adapters.

What stands before it in MIDDLEWARE is not gated; what sets cookies, writes pages or keeps them stands
behind it. Only GZipMiddleware does better before it: the gate then sees pages not yet compressed.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable, Generator, Iterable, Iterator
from contextlib import suppress
from contextvars import ContextVar
from http.cookies import CookieError, Morsel
from typing import Any

from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.core.exceptions import ImproperlyConfigured
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.utils.cache import patch_vary_headers
from django.utils.functional import SimpleLazyObject

from bandeau.adapters.wsgi import inner_environ, read_body, request_of
from bandeau.decision.model import Consent
from bandeau.django.accounts import accounts
from bandeau.django.conf import site
from bandeau.site import Exchange
from bandeau.wire.headers import RawHeaders
from bandeau.wire.messages import Reply, Request

_log = logging.getLogger("bandeau")
# The visitor's own request while the site answers it: a view may send another one through the chain, as
# Wagtail's previews do, and what comes back of it is gated once, with the page that it becomes part of.
_answered: ContextVar[HttpRequest | None] = ContextVar("bandeau", default=None)


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
        self._accounts = accounts() if self.site.policy.account.enabled else None

    def __call__(self, request: HttpRequest) -> Any:
        if self.is_async:
            return self._async(request)
        if _answered.get():
            return self.get_response(_within(request, _answered.get()))
        who = self._accounts.signed_in(request) if self._accounts else None
        exchange = self.site.recorded_sync(self.site.exchange(_request(request), who))
        _leave(request, exchange)
        if exchange.endpoint:
            body = _body(request, self.site.max_form)
            return _response(
                exchange.failure(413) if body is None else self.site.answer_sync(exchange, body)
            )
        if exchange.reply:
            return _response(exchange.reply)
        token = _answered.set(request)
        try:
            return _gated(exchange, self.get_response(request))
        finally:
            _answered.reset(token)

    async def _async(self, request: HttpRequest) -> Any:
        if _answered.get():
            return await self.get_response(_within(request, _answered.get()))
        who = await self._accounts.asigned_in(request) if self._accounts else None
        exchange = await self.site.recorded(await self.site.exchanged(_request(request), who))
        _leave(request, exchange)
        if exchange.endpoint:
            body = _body(request, self.site.max_form)
            return _response(
                exchange.failure(413) if body is None else await self.site.answer(exchange, body)
            )
        if exchange.reply:
            return _response(exchange.reply)
        token = _answered.set(request)
        try:
            return _gated(exchange, await self.get_response(request))
        finally:
            _answered.reset(token)


def _request(request: HttpRequest) -> Request:
    scheme = {"wsgi.url_scheme": request.scheme}
    return request_of({"SERVER_NAME": "", "SERVER_PORT": "", **request.META, **scheme})


class ConsentHttpRequest(HttpRequest):  # type: ignore[misc]
    """A request behind the gate, for annotations: `def view(request: ConsentHttpRequest)`."""

    consent: Consent


class Closed(HttpResponse):  # type: ignore[misc]
    """Our own page instead of a view's; the middleware sends its reply, and nothing beside it."""

    def __init__(self, reply: Reply) -> None:
        super().__init__(reply.body, status=reply.status)
        self.reply = reply

    def __await__(self) -> Generator[Any, None, Closed]:
        """Be what an asynchronous class-based view returns too: its `dispatch` is not `async`."""
        return self
        yield


class _Noted(SimpleLazyObject):  # type: ignore[misc]
    """The Consent of a request; who asks it makes an answer that is not everybody's.

    Django's caches keep pages from behind the gate, where every visitor looks alike. A page that asked
    for the consent is not kept: `_cache_update_cache` is what their middleware and `cache_page` go by.
    """

    def __init__(self, request: HttpRequest, consent: Consent) -> None:
        super().__init__(lambda: consent)
        self.__dict__["_request"] = request

    def __getattr__(self, name: str) -> Any:
        personal(self.__dict__["_request"])
        return super().__getattr__(name)


def personal(request: HttpRequest) -> None:
    """Keep the answer to this request out of Django's caches, and say outside what it depends on."""
    request.bandeau.personal = True
    for one in (request, _answered.get() or request):
        one._cache_update_cache = False  # noqa: SLF001 (there is no other word for it before the answer)


def _within(request: HttpRequest, outer: HttpRequest) -> HttpRequest:
    request.bandeau, request.consent = outer.bandeau, outer.consent
    return request


def exchange_of(request: HttpRequest | None) -> Exchange:
    """Return the exchange of a request. Raises ImproperlyConfigured where it did not pass the gate."""
    found = getattr(request, "bandeau", None)
    if not isinstance(found, Exchange):
        raise ImproperlyConfigured(
            'this needs a request that came through "bandeau.django.Middleware"; in a template, '
            "render it with the request: render(request, …)"
        )
    return found


class _Line(Morsel[str]):
    """A whole Set-Cookie line: Django's handlers print what `OutputString` says."""

    def __init__(self, line: str) -> None:
        super().__init__()
        self._line = line
        name, _, value = line.partition(";")[0].partition("=")
        with suppress(CookieError):  # a name that only a visitor could think of
            self.set(name, value, value)

    def OutputString(self, _attrs: Any = None) -> str:  # noqa: N802 (http.cookies' name)
        return self._line


def _leave(request: HttpRequest, exchange: Exchange) -> None:
    """Leave in a request only what the site may see."""
    inner = inner_environ(request.META, exchange)
    for name in [name for name in request.META if name.startswith("HTTP_")]:
        del request.META[name]
    request.META.update({n: v for n, v in inner.items() if n.startswith("HTTP_")})
    for cached in ("COOKIES", "headers"):  # computed from META when first asked for
        request.__dict__.pop(cached, None)
    request.bandeau = exchange
    request.consent = _Noted(request, exchange.consent)


def _body(request: HttpRequest, limit: int) -> bytes | None:
    environ = {"CONTENT_LENGTH": request.META.get("CONTENT_LENGTH"), "wsgi.input": request}
    return read_body(environ, limit)


def _gated(exchange: Exchange, response: HttpResponseBase) -> HttpResponseBase:
    if isinstance(response, Closed):
        return _response(response.reply)
    if exchange.personal:
        patch_vary_headers(response, ("Cookie", "Sec-GPC"))
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
    """Give a response exactly these headers; it holds one value a name, so lists are joined.

    A cookie that passes stays the one that the site set, for who reads `response.cookies` afterwards.
    """
    passed = {morsel.OutputString(): morsel for morsel in response.cookies.values()}
    for name in list(response.headers):
        del response[name]
    response.cookies.clear()
    for number, (raw, value) in enumerate(headers):
        name, text = raw.decode("latin-1"), value.decode("latin-1")
        if name == "set-cookie":
            morsel = passed.get(text) or _Line(text)
            alone = morsel.key and morsel.key not in response.cookies
            key = morsel.key if alone else str(number)
            dict.__setitem__(response.cookies, key, morsel)
        else:
            response[name] = f"{response[name]}, {text}" if response.has_header(name) else text
