"""Real servers for tests, on loopback: an upstream that says exactly what it is told, and ours."""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

from bandeau.adapters.server import configured, listening

Answer = Callable[[bytes, asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Upstream:
    """An HTTP server made of bytes: `answers` maps a path to bytes, or to who writes them."""

    def __init__(self) -> None:
        self.answers: dict[str, bytes | Answer] = {}
        self.heads: list[bytes] = []
        self.port = 0

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
                head = await reader.readuntil(b"\r\n\r\n")
                self.heads.append(head)
                path = head.split(b" ")[1].decode().partition("?")[0]
                answer = self.answers.get(
                    path, b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"
                )
                if isinstance(answer, bytes):
                    writer.write(answer)
                else:
                    await answer(head, reader, writer)
                await writer.drain()
        finally:  # also where a browser opened a connection and never asked
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()


def page(body: bytes, *headers: bytes, status: bytes = b"200 OK") -> bytes:
    """Return a whole HTML answer."""
    lines = [
        b"HTTP/1.1 " + status,
        b"Content-Type: text/html; charset=utf-8",
        b"Connection: close",
        *headers,
    ]
    lines.append(b"Content-Length: %d" % len(body))
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


@contextlib.contextmanager
def upstream(made: Upstream | None = None) -> Iterator[Upstream]:
    """Run an Upstream in a thread, or the one that is given."""
    made = made or Upstream()
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    starting = asyncio.start_server(made.handle, "127.0.0.1", 0)
    server = asyncio.run_coroutine_threadsafe(starting, loop).result(10)
    made.port = server.sockets[0].getsockname()[1]
    try:
        yield made
    finally:

        async def end() -> None:
            server.close()
            tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

        asyncio.run_coroutine_threadsafe(end(), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()


@contextlib.contextmanager
def running(application: Any, *, lifespan: bool = True, port: int = 0) -> Iterator[int]:
    """Serve an ASGI application as our commands do; gives its port."""
    bound = listening("127.0.0.1", port)
    server = configured(application, lifespan=lifespan)
    thread = threading.Thread(
        target=lambda: asyncio.run(server.serve(sockets=[bound])), daemon=True
    )
    thread.start()
    while not server.started and thread.is_alive():
        thread.join(0.01)
    try:
        yield bound.getsockname()[1]
    finally:
        server.should_exit = True
        thread.join(15)
        bound.close()


@contextlib.contextmanager
def proxy(folder: Path, upstream: int, *words: str, **how: Any) -> Iterator[tuple[int, int]]:
    """Run `bandeau proxy` in a folder with a policy; gives its process and its port."""
    command = ["proxy", "--policy", "bandeau.toml", "--upstream", f"http://127.0.0.1:{upstream}",
               "--listen", "127.0.0.1:0", *words]  # fmt: skip
    with (
        (folder / "log").open("ab") as log,
        subprocess.Popen(
            [sys.executable, "-m", "bandeau", *command],
            cwd=folder, stdout=subprocess.PIPE, stderr=log, text=True, **how,
        ) as process,
    ):  # fmt: skip
        try:
            assert process.stdout
            ready = re.match(r"ready http://127\.0\.0\.1:(\d+)/", process.stdout.readline())
            assert ready, (folder / "log").read_text("utf-8")
            yield process.pid, int(ready[1])
        finally:
            process.kill()


class Answered:
    """A response as it came: status, headers in order (lower-case names), body."""

    def __init__(self, data: bytes) -> None:
        head, _, self.body = data.partition(b"\r\n\r\n")
        lines = head.split(b"\r\n")
        self.headers: list[tuple[bytes, bytes]]
        self.complete = True
        self.status = int(lines[0].split(b" ")[1]) if data else 0
        pairs = [line.partition(b":") for line in lines[1:]]
        self.headers = [(name.strip().lower(), value.strip()) for name, _, value in pairs]
        if dict(self.headers).get(b"transfer-encoding") == b"chunked":
            self.body, self.complete = _unchunked(self.body)

    def every(self, name: bytes) -> list[bytes]:
        return [value for key, value in self.headers if key == name]


def ask(
    port: int,
    path: str = "/",
    *lines: bytes,
    method: str = "GET",
    body: bytes = b"",
    host: str = "www.own.localhost:9000",
) -> Answered:
    """Ask once over a socket of its own, and return what came until the end."""
    sent = [
        f"{method} {path} HTTP/1.1".encode(),
        b"Host: " + host.encode(),
        b"Connection: close",
        *lines,
    ]
    if not any(line.lower().startswith((b"accept:", b"sec-fetch-dest:")) for line in lines):
        sent += [b"Accept: text/html", b"Sec-Fetch-Dest: document"]
    if body:
        sent.append(b"Content-Length: %d" % len(body))
    with socket.create_connection(("127.0.0.1", port), 10) as connection:
        connection.sendall(b"\r\n".join(sent) + b"\r\n\r\n" + body)
        return Answered(received(connection))


def received(connection: socket.socket) -> bytes:
    """Return everything up to the end of a connection."""
    data = b""
    with contextlib.suppress(ConnectionError):
        while piece := connection.recv(65536):
            data += piece
    return data


def _unchunked(data: bytes) -> tuple[bytes, bool]:
    body = b""
    while data:
        size, _, data = data.partition(b"\r\n")
        length = int(size or b"0", 16)
        if length == 0:
            return body, True
        body, data = body + data[:length], data[length + 2 :]
    return body, False
