"""ASGI 3: an application behind the gate, in the same process; pure translation.

Where the application raises before it has answered, the server's own error stands, as without us:
it has no page of the site in it.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, MutableMapping
from inspect import isawaitable
from typing import Any

from bandeau.errors import PolicyError
from bandeau.policy.check import speakers
from bandeau.site import UNKNOWN, Exchange, Request, Site
from bandeau.wire.headers import RawHeaders
from bandeau.wire.messages import Reply

Message = MutableMapping[str, Any]
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
ASGIApp = Callable[[Scope, Receive, Send], Awaitable[None]]
Account = Callable[[Scope], object]  # the id of who is signed in, else None; may be awaitable

_SCHEMES = {"ws": "http", "wss": "https"}
_log = logging.getLogger("bandeau")
# They send bytes past the filter: a path, a file descriptor, a pushed or hinted request.
_BYPASSES = ("http.response.pathsend", "http.response.zerocopysend", "http.response.push")


class Middleware:
    """Wraps an ASGI application; `scope["bandeau"]` is the request's Consent.

    `account` says of a scope who is signed in, before the application sees it. Raises PolicyError where
    `[account]` needs it, or does not.
    """

    def __init__(self, app: ASGIApp, site: Site, account: Account | None = None) -> None:
        problems = speakers(site.policy, told=account is not None)
        if problems:
            raise PolicyError(problems)
        self.app = app
        self.site = site
        self._account = account

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await self._websocket(scope, receive, send)
            return
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        exchange = await self.site.recorded(await self._exchange(scope))
        if exchange.endpoint:
            body = await read_body(receive, self.site.max_form)
            if body is None:
                reply = exchange.failure(413)
            else:
                reply = await self.site.answer(exchange, body)
            await send_reply(send, reply, head=scope["method"] == "HEAD")
        elif exchange.reply:
            await send_reply(send, exchange.reply, head=scope["method"] == "HEAD")
        else:
            responder = Responder(exchange, send)
            await self.app(inner_scope(scope, exchange), receive, responder)

    async def _exchange(self, scope: Scope) -> Exchange:
        who: object = None
        if self._account:
            try:
                who = self._account(scope)
                who = await who if isawaitable(who) else who
            except Exception:  # noqa: BLE001 (the owner's own code: it fails closed, and a page still comes)
                _log.exception("who is signed in could not be told: nothing passes")
                who = UNKNOWN
        return await self.site.exchanged(request_of(scope), who)

    async def _websocket(self, scope: Scope, receive: Receive, send: Send) -> None:
        exchange = await self._exchange(scope)
        if exchange.endpoint or exchange.reply:
            await receive()  # websocket.connect
            await send({"type": "websocket.close", "code": 1008})  # RFC 6455 7.4.1: policy
            return

        async def filtering(message: Message) -> None:
            if message["type"] in ("websocket.accept", "websocket.http.response.start"):
                found = exchange.response(101, raw(message.get("headers", ())))
                message = {**message, "headers": found.headers}
            await send(message)

        await self.app(inner_scope(scope, exchange), receive, filtering)


class Responder:
    """Holds the head of a response back until it is filtered, then filters the body as it comes."""

    def __init__(self, exchange: Exchange, send: Send) -> None:
        self._exchange = exchange
        self._send = send
        self._filtered: Any = None
        self._passes = False  # the body is no page: it goes through as it is
        self._begun = False  # a piece of the body has gone through

    async def __call__(self, message: Message) -> None:
        kind = message["type"]
        if kind == "http.response.body":
            if self._passes:
                await self._send(message)
            elif self._filtered is not None:
                await self._body(message)
        elif kind == "http.response.start":
            await self._start(message)
        elif kind == "http.response.early_hint":
            links = [(b"link", link) for link in message.get("links", ())]
            kept = [value for _, value in self._exchange.informational(links)]
            if kept:
                await self._send({**message, "links": kept})
        elif kind != "http.response.trailers":
            await self._send(message)

    async def _start(self, message: Message) -> None:
        if self._exchange.reply:  # a view asked for more than was granted
            await self._instead(self._exchange.reply)
            return
        headers = raw(message.get("headers", ()))
        try:
            self._filtered = found = self._exchange.response(message["status"], headers)
            self._passes = found.passthrough
        except Exception:  # noqa: BLE001 (it fails closed, and a page still comes)
            _log.exception("the gate failed on a response's head: nothing of it is sent")
            await self._instead(self._exchange.failure(500))
            return
        await self._send(
            {
                "type": "http.response.start",
                "status": found.status,
                "headers": found.headers,
            }
        )

    async def _instead(self, reply: Reply) -> None:
        """Send a page of ours; the application's body finds nothing to go through."""
        await send_reply(self._send, reply, head=self._exchange.request.method == "HEAD")

    async def _body(self, message: Message) -> None:
        chunk, more = message.get("body", b""), message.get("more_body", False)
        if not (self._begun or more):
            chunk = self._filtered.whole(chunk)
        else:
            self._begun = True
            chunk = self._filtered.feed(chunk) if chunk else b""
            chunk += b"" if more else self._filtered.close()
        if chunk or not more:
            await self._send({"type": "http.response.body", "body": chunk, "more_body": more})


def request_of(scope: Scope) -> Request:
    """Make a Request of an ASGI scope."""
    path = scope.get("raw_path") or scope["path"].encode("utf-8")
    scheme: str = scope.get("scheme", "http")
    request = Request(
        scope.get("method", "GET"),
        _SCHEMES.get(scheme, scheme),
        "",
        path.decode("latin-1").partition("?")[0],
        scope.get("query_string", b"").decode("latin-1"),
        raw(scope["headers"]),
    )
    hosts = request.every(b"host")
    if len(hosts) == 1:  # more than one is none (RFC 9112 3.2)
        request.host = hosts[0].decode("latin-1")
    return request


def raw(headers: Any) -> RawHeaders:
    """Return ASGI headers as a list of lower-case names and values."""
    return [(name.lower(), value) for name, value in headers]


def inner_scope(scope: Scope, exchange: Exchange) -> Scope:
    """Return the scope that the application sees."""
    inner = {
        **scope,
        "headers": exchange.request_headers,
        "bandeau": exchange.consent,
        "bandeau.exchange": exchange,
    }
    if scope.get("extensions"):
        inner["extensions"] = {k: v for k, v in scope["extensions"].items() if k not in _BYPASSES}
    return inner


async def read_body(receive: Receive, limit: int) -> bytes | None:
    """Read a whole request body; None when it is larger than the limit, in bytes, or broke off."""
    body = b""
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return None
        body += bytes(message.get("body", b""))
        if len(body) > limit:
            return None
        if not message.get("more_body", False):
            return body


async def send_reply(send: Send, reply: Reply, *, head: bool) -> None:
    """Send a complete answer."""
    headers = [*reply.headers]
    if reply.status not in (204, 304):
        headers.append((b"content-length", str(len(reply.body)).encode("ascii")))
    await send({"type": "http.response.start", "status": reply.status, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if head else reply.body})
