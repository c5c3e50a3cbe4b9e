"""A reverse proxy with the gate in it: uvicorn in front, an aiohttp client behind.

Pages are rewritten as they stream; everything else passes untouched, chunk by chunk. Limits, and
what happens past them: the head of a response 64 KiB (502 of our own), the time to connect and to
the first byte (504), a body that breaks off cuts our connection too, so that nobody takes a part for
the whole. Request heads are limited by the server (httptools, 64 KiB).
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any

import aiohttp
from aiohttp import ClientTimeout
from multidict import CIMultiDict
from yarl import URL

from bandeau.adapters.asgi import (
    Message,
    Receive,
    Scope,
    Send,
    raw,
    read_body,
    request_of,
    send_reply,
)
from bandeau.errors import PolicyError
from bandeau.gate import cookies
from bandeau.gate.observe import Observed
from bandeau.gate.response import Filtered
from bandeau.policy.check import speakers
from bandeau.site import UNKNOWN, Exchange, Request, Site
from bandeau.wire.codings import CodingError
from bandeau.wire.cookies import value_of
from bandeau.wire.headers import RawHeaders, first, tokens, without
from bandeau.wire.hosts import authority

_log = logging.getLogger("bandeau")
_HOP_BY_HOP = (  # RFC 9110 7.6.1
    b"connection",
    b"keep-alive",
    b"proxy-authenticate",
    b"proxy-authorization",
    b"proxy-connection",
    b"te",
    b"trailer",
    b"transfer-encoding",
    b"upgrade",
)
_FORWARDED = (
    b"forwarded",
    b"x-forwarded-for",
    b"x-forwarded-host",
    b"x-forwarded-proto",
    b"x-real-ip",
)
# What frameworks take for the address in place of the one that was judged: an edge may say so, no
# visitor, who would be answered with another page, and the next visitor out of a cache as well.
_CLAIMS = (b"x-original-url", b"x-rewrite-url", b"x-host", b"x-http-host-override")
_OF_UPSTREAM = (b"date", b"bd-account")  # what it says of itself (ours has a date), and to us alone
_FOR_UPSTREAM = (
    b"accept-encoding",
    b"bd-purposes",
    b"cookie",
)  # what the gate says in its own words
_HEAD_BYTES = 64 * 1024
_WHOLE_BYTES = 1024 * 1024  # a larger page is never held whole
_CHUNK_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class Limits:
    """Seconds to wait for upstream."""

    connect_seconds: float = 5.0
    head_seconds: float = 60.0
    idle_seconds: float = 60.0


class Proxy:
    """An ASGI application that asks another server and passes its answers through the gate."""

    def __init__(
        self,
        site: Site,
        upstream: str,
        *,
        limits: Limits | None = None,
        trusted: Sequence[str] = (),
    ) -> None:
        """Raises PolicyError where `[account]` is on and nobody can be asked who is signed in."""
        problems = speakers(site.policy, told=site.policy.account.ask is not None)
        if problems:
            raise PolicyError(problems)
        self.site = site
        self._upstream = upstream.rstrip("/")
        self._limits = limits or Limits()
        self._trusted = [ipaddress.ip_network(network) for network in trusted]
        self._client: aiohttp.ClientSession | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
            return
        request = self._request(scope)
        who = await self._who(request)
        exchange = await self.site.recorded(await self.site.exchanged(request, who))
        if scope["type"] == "websocket":
            await self._websocket(scope, exchange, receive, send)
        else:
            await self._http(scope, exchange, receive, send)

    async def _who(self, request: Request) -> object:
        """Ask the site who is signed in, where a visitor brings a cookie of its sessions.

        It is asked each time, with no other cookies than technical ones: whoever has just signed out is
        nobody any more. Where it does not say, nothing passes.
        """
        account, site = self.site.policy.account, self.site
        if not (account.cookies and site.layers and _sound(request)):
            return None
        sent = cookies.request(request.every(b"cookie"), site.rules.allowance(frozenset())).headers
        names = [name.encode("ascii") for name in account.cookies]
        if not any(value_of(line, name) for _, line in sent for name in names):
            return None
        headers: CIMultiDict[str] = CIMultiDict(Host=request.host)
        headers["X-Forwarded-Host"], headers["X-Forwarded-Proto"] = request.host, request.scheme
        for _, line in sent:
            headers.add("Cookie", line.decode("latin-1"))
        address = URL(f"{self._upstream}{account.ask}", encoded=True)
        try:
            async with asyncio.timeout(self._limits.head_seconds):
                asked = self._session().get(address, headers=headers, allow_redirects=False)
                async with asked as answer:
                    told = answer.headers.getall("BD-Account", [])
                    if answer.status in (200, 204) and len(told) < 2:  # noqa: PLR2004
                        return told[0] if told else None
                    fault = f"{answer.status} and {len(told)} accounts"
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            fault = _fault(error)
        _log.error("%s does not say who is signed in, so nothing passes: %s", account.ask, fault)
        return UNKNOWN

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        while True:
            message = await receive()
            if message["type"] == "lifespan.shutdown":
                await self.close()
            await send({"type": message["type"] + ".complete"})
            if message["type"] == "lifespan.shutdown":
                return

    async def close(self) -> None:
        """Let go of the connections to upstream."""
        if self._client:
            await self._client.close()
            self._client = None

    def _session(self) -> aiohttp.ClientSession:
        if self._client is None:
            self._client = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0, ttl_dns_cache=60),
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
                skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding", "Content-Type"),
                max_line_size=_HEAD_BYTES,
                max_field_size=_HEAD_BYTES,
                timeout=ClientTimeout(
                    total=None,
                    sock_connect=self._limits.connect_seconds,
                    sock_read=self._limits.idle_seconds,
                ),
            )
        return self._client

    def _request(self, scope: Scope) -> Request:
        """Take scheme and host as a trusted peer forwards them, else as they came."""
        request = request_of(scope)
        if not self._trusts(scope):
            return request
        scheme = first(request.headers, b"x-forwarded-proto") or b""
        host = first(request.headers, b"x-forwarded-host") or b""
        return Request(
            method=request.method,
            scheme=scheme.decode("latin-1") if scheme in (b"http", b"https") else request.scheme,
            host=host.decode("latin-1") or request.host,
            path=request.path,
            query=request.query,
            headers=request.headers,
        )

    def _trusts(self, scope: Scope) -> bool:
        try:
            peer = ipaddress.ip_address((scope.get("client") or ("",))[0])
        except ValueError:
            return False
        return any(peer in network for network in self._trusted)

    async def _http(self, scope: Scope, exchange: Exchange, receive: Receive, send: Send) -> None:
        head = scope["method"] == "HEAD"
        if not _sound(exchange.request):
            await send_reply(send, exchange.failure(400), head=head)
        elif exchange.endpoint:
            body = await read_body(receive, self.site.max_form)
            found = (
                exchange.failure(413) if body is None else await self.site.answer(exchange, body)
            )
            await send_reply(send, found, head=head)
        elif exchange.reply:
            await send_reply(send, exchange.reply, head=head)
        else:
            await self._forward(scope, exchange, receive, send)

    async def _forward(
        self, scope: Scope, exchange: Exchange, receive: Receive, send: Send
    ) -> None:
        started = False
        try:
            async with asyncio.timeout(self._limits.head_seconds) as patience:
                async with self._ask(scope, exchange, receive) as response:
                    patience.reschedule(None)
                    headers = without(end_to_end(response.raw_headers), *_OF_UPSTREAM)
                    filtered = exchange.response(response.status, headers)
                    started = True
                    await send(
                        {
                            "type": "http.response.start",
                            "status": filtered.status,
                            "headers": filtered.headers,
                        }
                    )
                    async for data in _filtered(response, filtered):
                        if data:
                            await send(
                                {"type": "http.response.body", "body": data, "more_body": True}
                            )
                    await send({"type": "http.response.body", "body": b"", "more_body": False})
        except (aiohttp.ClientError, TimeoutError, CodingError, ValueError) as error:
            slow = isinstance(error, TimeoutError)
            _log.warning("upstream %s: %s", "is slow" if slow else "is broken", _fault(error))
            if started:
                raise BrokenUpstreamError(_fault(error)) from error
            await send_reply(
                send, exchange.failure(504 if slow else 502), head=scope["method"] == "HEAD"
            )

    def _ask(self, scope: Scope, exchange: Exchange, receive: Receive) -> Any:
        request = exchange.request
        query = f"?{request.query}" if request.query else ""
        # The headers say whether there is a body (RFC 9112 6.3).
        sends = first(request.headers, b"content-length") not in (None, b"0") or bool(
            tokens(request.headers, b"transfer-encoding")
        )
        return self._session().request(
            request.method,
            URL(self._upstream + request.path + query, encoded=True),
            headers=self._upstream_headers(scope, exchange),
            data=_body(receive, self._limits.idle_seconds) if sends else None,
            allow_redirects=False,
            expect100=False,
        )

    def _upstream_headers(self, scope: Scope, exchange: Exchange) -> CIMultiDict[str]:
        headers = end_to_end(exchange.request_headers, *_FOR_UPSTREAM)
        peer = (scope.get("client") or ("unknown",))[0]
        chain = exchange.forwarded_for(peer)
        if self._trusts(scope):
            before = first(headers, b"x-forwarded-for")
            chain = f"{before.decode('latin-1')}, {chain}" if before else chain
        else:
            headers = [
                (name, value)
                for name, value in headers
                if name not in _CLAIMS and not name.startswith(b"x-forwarded-")
            ]
        headers = without(headers, *_FORWARDED, b"expect", b"host")
        out: CIMultiDict[str] = CIMultiDict()
        out["Host"] = exchange.request.host
        for name, value in headers:
            out.add(name.decode("latin-1"), value.decode("latin-1"))
        out["X-Forwarded-For"] = chain
        out["X-Forwarded-Host"] = exchange.request.host
        out["X-Forwarded-Proto"] = exchange.request.scheme
        return out

    async def _websocket(
        self, scope: Scope, exchange: Exchange, receive: Receive, send: Send
    ) -> None:
        await receive()  # websocket.connect
        if exchange.endpoint or exchange.reply or not _sound(exchange.request):
            await send({"type": "websocket.close", "code": 1008})
            return
        request = exchange.request
        query = f"?{request.query}" if request.query else ""
        headers = self._upstream_headers(scope, exchange)
        for name in tuple(headers):
            if name.lower().startswith("sec-websocket-"):
                del headers[name]
        try:
            upstream = await self._session().ws_connect(
                URL(self._upstream + request.path + query, encoded=True),
                protocols=scope.get("subprotocols", ()),
                headers=headers,
                max_msg_size=0,
                autoclose=False,
            )
        except (aiohttp.ClientError, TimeoutError) as error:
            _log.warning("upstream refused a WebSocket: %s", _fault(error))
            await send({"type": "websocket.close", "code": 1014})  # bad gateway (IANA registry)
            return
        told = end_to_end(raw(upstream._response.raw_headers))  # noqa: SLF001
        answered = exchange.response(101, without(told, *_OF_UPSTREAM))
        kept = [p for p in answered.headers if not p[0].startswith(b"sec-websocket-")]
        await send({"type": "websocket.accept", "subprotocol": upstream.protocol, "headers": kept})
        await _relay(upstream, receive, send)


def _sound(request: Request) -> bool:
    """Say whether a request may be sent on: upstream's address goes before its path, and it has a Host.

    Without the slash, `@evil.example/` would be another address than upstream's; a Host that is none
    is refused (RFC 9112 3.2).
    """
    return request.path.startswith("/") and authority(request.host) is not None


class BrokenUpstreamError(Exception):
    """Upstream broke off in the middle of a body: our connection is cut as well."""


def _fault(error: Exception) -> str:
    """Say what failed. Most of aiohttp's own words quote the address that was asked, or what came."""
    ours = isinstance(error, aiohttp.ClientConnectorError | CodingError)
    return str(error) if ours else type(error).__name__


def end_to_end(headers: Any, *kept: bytes) -> RawHeaders:
    """Return headers without those that belong to one connection, named in Connection or always.

    `kept` are those that Connection cannot name.
    """
    found = raw(headers)
    named = [name for name in tokens(found, b"connection") if name not in kept]
    return without(found, *_HOP_BY_HOP, *named)


async def _filtered(
    response: aiohttp.ClientResponse, filtered: Filtered | Observed
) -> AsyncIterator[bytes]:
    """Give upstream's body as it may be sent on, in pieces; a page that lasts is taken whole."""
    if filtered.passthrough:
        async for chunk in response.content.iter_chunked(_CHUNK_BYTES):
            yield chunk
    elif filtered.lasting and (response.content_length or _WHOLE_BYTES) < _WHOLE_BYTES:
        yield filtered.whole(await response.read())
    else:
        async for chunk in response.content.iter_chunked(_CHUNK_BYTES):
            yield filtered.feed(chunk)
        yield filtered.close()


async def _body(receive: Receive, patience: float) -> AsyncIterator[bytes]:
    while True:
        message = await asyncio.wait_for(receive(), patience)
        if message["type"] != "http.request":
            raise ConnectionResetError("the visitor went away")
        if message.get("body"):
            yield message["body"]
        if not message.get("more_body", False):
            return


async def _relay(upstream: aiohttp.ClientWebSocketResponse, receive: Receive, send: Send) -> None:
    """Carry messages both ways until one side closes."""

    async def outwards() -> None:
        while True:
            message = await receive()
            if message["type"] == "websocket.disconnect":
                await upstream.close(code=message.get("code") or 1000)
                return
            if message.get("text") is not None:
                await upstream.send_str(message["text"])
            else:
                await upstream.send_bytes(message["bytes"])

    async def inwards() -> None:
        async for message in upstream:
            if message.type is aiohttp.WSMsgType.TEXT:
                await send({"type": "websocket.send", "text": message.data})
            elif message.type is aiohttp.WSMsgType.BINARY:
                await send({"type": "websocket.send", "bytes": message.data})
        closing: Message = {"type": "websocket.close", "code": _code(upstream.close_code)}
        await send(closing)

    tasks = [asyncio.create_task(outwards()), asyncio.create_task(inwards())]
    _, pending = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in pending:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await upstream.close()


def _code(code: int | None) -> int:
    """Return a close code that may be sent (RFC 6455 7.4.1: 1005, 1006 and 1015 never are)."""
    return 1000 if code in (None, 1005) else 1011 if code in (1006, 1015) else int(code or 1000)
