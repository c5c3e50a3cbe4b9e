"""Uvicorn as our commands start it: a socket bound before anything else, one line when it answers."""

from __future__ import annotations

import asyncio
import contextlib
import re
import resource
import signal
import socket
from typing import Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

GRACE_SECONDS = 10  # for running responses after SIGTERM
HEAD_BYTES = 64 * 1024  # of one request: beyond it 431, and the connection ends
HEAD_SECONDS = 20.0  # from a connection's first moment, or a request's first byte, to a whole head
_FRAMES = (b"content-length", b"transfer-encoding")
_AUTHORITY = re.compile(rb"https?://([^/?]*)", re.IGNORECASE)


class _Guarded(HttpToolsProtocol):
    """Uvicorn's protocol with limits on heads, of which it has none, in bytes and in time.

    It refuses what another server may read as another request, and keeps trailers from being headers.
    """

    _late: asyncio.TimerHandle | None = None
    _begun = False  # a head has, and is not complete
    _bytes = 0

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        self._known()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._late:
            self._bytes += len(data)
            if self._bytes > HEAD_BYTES and b"\r\n\r\n" not in data[:HEAD_BYTES]:
                self._refuse(b"431 Request Header Fields Too Large")
                return
        super().data_received(data)
        if self._begun and not self._late:  # most heads come whole, and need no timer
            self._wait()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._begun = True

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._begun:  # else a trailer, which may be dropped (RFC 9110 6.5.1), and is no header
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._known()
        switches = self.parser.should_upgrade() and not self._should_upgrade()
        # The parser takes what follows such a head for the other protocol's, so a body is lost.
        if self._doubtful() or (switches and any(name in _FRAMES for name, _ in self.headers)):
            raise ValueError("another server may read this head otherwise")  # uvicorn answers 400
        super().on_headers_complete()
        if switches:
            self.cycle.keep_alive = False

    def _doubtful(self) -> bool:
        """Say whether servers disagree on this head: where its body ends, or whom it is for.

        One coding that frames (RFC 9112 6.1), none in 1.0; an absolute target is for the Host that
        came with it (3.2.2), and no target has a fragment (3.2).
        """
        version = self.parser.get_http_version()
        codings = [value.lower() for name, value in self.headers if name == b"transfer-encoding"]
        if version not in ("1.0", "1.1") or b"#" in self.url:
            return True
        if codings and (version == "1.0" or codings != [b"chunked"]):
            return True
        if self.url.startswith(b"/"):
            return False
        absolute = _AUTHORITY.match(self.url)
        hosts = [value.lower() for name, value in self.headers if name == b"host"]
        return absolute is None or hosts != [absolute[1].lower()]

    def _wait(self) -> None:
        self._bytes = 0
        self._late = self.loop.call_later(HEAD_SECONDS, self._refuse, b"408 Request Timeout")

    def _known(self) -> None:
        self._begun = False
        if self._late:
            self._late.cancel()
            self._late = None

    def _refuse(self, status: bytes) -> None:
        self._known()
        if not self.transport.is_closing():
            self.transport.write(
                b"HTTP/1.1 " + status + b"\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"
            )
            self.transport.close()


def listening(host: str, port: int) -> socket.socket:
    """Bind a port, so that a taken one is known at once. Raises OSError with one line to print."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # asyncio turns Nagle's algorithm off only where it can see that the protocol is TCP; with it on, a
    # body that follows its head waits 40 ms for the other side's acknowledgement.
    found = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        found.bind((host, port))
    except OSError as error:
        found.close()
        raise OSError(f"{host}:{port} cannot be used: {error.strerror}") from None
    return found


def configured(application: Any, *, lifespan: bool = True) -> uvicorn.Server:
    """Return a server for an application: no banner, no access log, no words about itself."""
    return uvicorn.Server(
        uvicorn.Config(
            application,
            log_config=None,  # its records go where ours go
            log_level="warning",
            access_log=False,
            server_header=False,
            date_header=True,
            proxy_headers=False,
            lifespan="on" if lifespan else "off",
            http=_Guarded,
            ws="websockets-sansio",
            ws_max_size=64 * 1024 * 1024,
            timeout_graceful_shutdown=GRACE_SECONDS,
        )
    )


def serve(applications: list[tuple[Any, socket.socket]], ready: str) -> None:
    """Serve until SIGINT or SIGTERM, then finish what runs; print one line once all answer."""
    # What a shell or systemd begins with, 1,024, is for programs that use select(2).
    allowed = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, allowed))
    # Uvicorn raises the signal again when it has stopped, which would end us before we have closed.
    signal.signal(signal.SIGTERM, lambda *_: None)
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_serve(applications, ready))


async def _serve(applications: list[tuple[Any, socket.socket]], ready: str) -> None:
    servers = [configured(application) for application, _ in applications]
    tasks = [
        asyncio.create_task(server.serve(sockets=[bound]))
        for server, (_, bound) in zip(servers, applications, strict=True)
    ]
    # Uvicorn has a flag for this, not an event.
    while not all(server.started for server in servers) and not any(task.done() for task in tasks):  # noqa: ASYNC110
        await asyncio.sleep(0.01)
    if all(server.started for server in servers):
        print(ready, flush=True)  # noqa: T201 (the contract's one line)
    _, pending = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for server in servers:
        server.should_exit = True
    await asyncio.gather(*pending)
