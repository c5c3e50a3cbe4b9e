"""WSGI (PEP 3333): an application behind the gate, in the same process; pure translation.

`environ["bandeau"]` is the request's Consent. Where the application raises before it has answered,
the server's own error stands, as without us.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

from bandeau.errors import PolicyError
from bandeau.policy.check import speakers
from bandeau.site import UNKNOWN, Exchange, Request, Site
from bandeau.wire.headers import RawHeaders
from bandeau.wire.messages import Reply

Environ = dict[str, Any]
StartResponse = Callable[..., Any]
WSGIApp = Callable[[Environ, StartResponse], Iterable[bytes]]
Account = Callable[[Environ], object]  # the id of who is signed in, else None

_log = logging.getLogger("bandeau")
_UNPREFIXED = {"CONTENT_TYPE": b"content-type", "CONTENT_LENGTH": b"content-length"}  # PEP 3333


class Middleware:
    """Wraps a WSGI application.

    `account` says of an environ who is signed in, before the application sees it. Raises PolicyError
    where `[account]` needs it, or does not.
    """

    def __init__(self, app: WSGIApp, site: Site, account: Account | None = None) -> None:
        problems = speakers(site.policy, told=account is not None)
        if problems:
            raise PolicyError(problems)
        self.app = app
        self.site = site
        self._account = account

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        who: object = None
        if self._account:
            try:
                who = self._account(environ)
            except Exception:  # noqa: BLE001 (the owner's own code: it fails closed, and a page still comes)
                _log.exception("who is signed in could not be told: nothing passes")
                who = UNKNOWN
        exchange = self.site.recorded_sync(self.site.exchange(request_of(environ), who))
        if exchange.endpoint:
            body = read_body(environ, self.site.max_form)
            reply = exchange.failure(413) if body is None else self.site.answer_sync(exchange, body)
            return _sent(reply, environ, start_response)
        if exchange.reply:
            return _sent(exchange.reply, environ, start_response)
        return _Gated(self.app, inner_environ(environ, exchange), exchange, start_response)


class _Gated:
    """A response on its way: the application may start it late, and `close` is passed on."""

    def __init__(
        self, app: WSGIApp, environ: Environ, exchange: Exchange, start_response: StartResponse
    ) -> None:
        self._environ = environ
        self._exchange = exchange
        self._start_response = start_response
        self._filtered: Any = None
        self._written: list[bytes] = []
        self._ours: bytes | None = None  # a page that stands instead of the application's
        self._upstream = app(environ, self._start)

    def __iter__(self) -> Iterator[bytes]:
        whole = self._whole()
        if whole is not None:
            yield self._filtered.whole(whole)
            return
        for chunk in self._upstream:
            yield from self._pass(chunk)
        yield from self._pass(b"")
        if self._ours is None and not self._filtered.passthrough:
            yield self._filtered.close()

    def _whole(self) -> bytes | None:
        """Return the application's page where it was given in one piece, as most are."""
        if not isinstance(self._upstream, list | tuple) or len(self._upstream) != 1:
            return None
        if self._ours is not None or self._written or self._filtered is None:
            return None
        return None if self._filtered.passthrough else self._upstream[0]

    def close(self) -> None:
        """Let the application let go of what it holds."""
        close = getattr(self._upstream, "close", None)
        if close:
            close()

    def _start(self, status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Any:
        if self._exchange.reply:  # a view asked for more than was granted
            return self._instead(self._exchange.reply)
        raw = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers]
        try:
            self._filtered = self._exchange.response(int(status[:3]), raw)
        except Exception:  # noqa: BLE001 (it fails closed, and a page still comes)
            _log.exception("the gate failed on a response's head: nothing of it is sent")
            return self._instead(self._exchange.failure(500))
        changed = self._filtered.status != int(status[:3])
        line = _status(self._filtered.status) if changed else status
        more = (exc_info,) if exc_info else ()
        self._start_response(line, _text(self._filtered.headers), *more)
        return self._written.append  # the write() of PEP 3333

    def _instead(self, reply: Reply) -> Any:
        """Send a page of ours, and nothing of the application's."""
        if self._ours is None:
            (self._ours,) = _sent(reply, self._environ, self._start_response) or (b"",)
        return self._written.append

    def _pass(self, chunk: bytes) -> Iterator[bytes]:
        written, self._written[:] = b"".join(self._written), []
        if self._ours is not None:
            rest, self._ours = self._ours, b""
            yield rest
            return
        for piece in (written, chunk):
            if piece:
                yield piece if self._filtered.passthrough else self._filtered.feed(piece)


def request_of(environ: Environ) -> Request:
    """Make a Request of a WSGI environ; its decoded path is encoded again."""
    headers = [
        (name[5:].replace("_", "-").lower().encode("latin-1"), value.encode("latin-1"))
        for name, value in environ.items()
        if name.startswith("HTTP_")
    ]
    headers += [
        (raw, environ[name].encode("latin-1"))
        for name, raw in _UNPREFIXED.items()
        if environ.get(name)
    ]
    path = environ.get("SCRIPT_NAME", "") + environ.get("PATH_INFO", "")
    return Request(
        method=environ["REQUEST_METHOD"],
        scheme=environ["wsgi.url_scheme"],
        host=environ.get("HTTP_HOST") or f"{environ['SERVER_NAME']}:{environ['SERVER_PORT']}",
        path=quote(path.encode("latin-1"), safe="/%:@!$&'()*+,;=~"),
        query=environ.get("QUERY_STRING", ""),
        headers=headers,
    )


def inner_environ(environ: Environ, exchange: Exchange) -> Environ:
    """Return the environ that the application sees."""
    inner = {name: value for name, value in environ.items() if not name.startswith("HTTP_")}
    for name, value in exchange.request_headers:
        key = name.decode("latin-1").upper().replace("-", "_")
        if key not in _UNPREFIXED:
            between = "; " if key == "COOKIE" else ", "
            before = inner.get(f"HTTP_{key}")
            text = value.decode("latin-1")
            inner[f"HTTP_{key}"] = f"{before}{between}{text}" if before else text
    inner["bandeau"], inner["bandeau.exchange"] = exchange.consent, exchange
    return inner


def read_body(environ: Environ, limit: int) -> bytes | None:
    """Read a whole request body; None when it is larger than the limit, in bytes."""
    try:
        length = int(environ.get("CONTENT_LENGTH") or 0)
    except ValueError:
        return None
    if not 0 <= length <= limit:
        return None
    body: bytes = environ["wsgi.input"].read(length)
    return body


def _sent(reply: Reply, environ: Environ, start_response: StartResponse) -> list[bytes]:
    headers = [*reply.headers]
    if reply.status != HTTPStatus.NO_CONTENT:
        headers.append((b"content-length", str(len(reply.body)).encode("ascii")))
    start_response(_status(reply.status), _text(headers))
    return [] if environ["REQUEST_METHOD"] == "HEAD" else [reply.body]


def _status(status: int) -> str:
    return f"{status} {HTTPStatus(status).phrase}"


def _text(headers: RawHeaders) -> list[tuple[str, str]]:
    return [(name.decode("latin-1"), value.decode("latin-1")) for name, value in headers]
