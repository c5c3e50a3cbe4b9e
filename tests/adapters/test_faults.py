"""What breaks around the proxy: a page of ours says so or the page comes, and all goes on by itself."""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import serving
from bandeau.adapters.proxy import Limits, Proxy
from bandeau.adapters.server import listening
from bandeau.ledger.sqlite import SqliteStore
from bandeau.policy.file import loads
from bandeau.site import Site
from conftest import SMALL
from serving import Answered, Upstream, ask, page

FORM = (b"Content-Type: application/x-www-form-urlencoded", b"Sec-Fetch-Site: same-origin")
PAGE = b"<html><body><p>text<iframe src=//social.localhost/f></iframe></body></html>"
HEAD = b"GET / HTTP/1.1\r\nHost: www.own.localhost:9000\r\nAccept: text/html\r\n"
IDLE, CLIENTS = 10_000, 4  # connections, and the processes that hold them
YEAR = 525_600  # minutes


@pytest.fixture
def up() -> Iterator[Upstream]:
    with serving.upstream() as made:
        made.answers["/"] = page(PAGE)
        yield made


@contextlib.contextmanager
def front(site: Site, port: int) -> Iterator[int]:
    limits = Limits(connect_seconds=1.0, head_seconds=2.0, idle_seconds=1.0)
    with serving.running(Proxy(site, f"http://127.0.0.1:{port}", limits=limits)) as found:
        yield found


def chosen(port: int, body: bytes) -> Answered:
    return ask(port, "/_b/choice", *FORM, method="POST", body=body)


def cookie(answered: Answered) -> bytes:
    return b"Cookie: " + answered.every(b"set-cookie")[0].partition(b";")[0]


def gated(answered: Answered) -> bool:
    return answered.status == 200 and b"data-bd-src=//social.localhost/f" in answered.body


def test_an_upstream_that_goes_and_comes_back_is_found_by_itself(site: Site) -> None:
    with contextlib.ExitStack() as upstream:
        first = upstream.enter_context(serving.upstream())
        first.answers["/"] = page(PAGE)
        with front(site, first.port) as port:
            assert gated(ask(port))
            upstream.close()
            gone = ask(port)
            assert gone.status == 502
            assert gone.every(b"content-security-policy")
            assert chosen(port, b"choice=none").status == 303  # a choice needs no upstream

            async def again() -> None:
                made = await asyncio.start_server(first.handle, "127.0.0.1", first.port)
                async with made:
                    assert gated(await asyncio.to_thread(ask, port))

            asyncio.run(again())


def test_an_upstream_that_dies_within_a_page_cuts_it_and_the_next_one_comes(
    site: Site, up: Upstream
) -> None:
    async def dies(_h: bytes, _r: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(
            b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 900\r\n\r\n<p>a"
        )
        await writer.drain()
        writer.transport.abort()

    up.answers["/dies"] = dies
    with front(site, up.port) as port:
        answered = ask(port, "/dies")
        assert answered.status == 502 or not answered.complete
        assert gated(ask(port))


def test_a_ledger_that_is_full_grants_again_once_there_is_room(
    up: Upstream, tmp_path: Path
) -> None:
    site = Site.from_policy(loads(SMALL), f"sqlite:///{tmp_path / 'b.db'}")
    with front(site, up.port) as port:
        assert isinstance(site.ledger.store, SqliteStore)
        write = site.ledger.store._write
        write.execute("PRAGMA max_page_count = 1")
        answers = [chosen(port, b"choice=all") for _ in range(300)]
        assert answers[-1].status == 503
        assert not answers[-1].every(b"set-cookie")
        assert gated(ask(port))
        assert chosen(port, b"choice=none").status == 303  # what takes away holds without a record
        assert ask(port, "/_b/health").body != b"ok\n"
        write.execute("PRAGMA max_page_count = 1000000")
        again = chosen(port, b"choice=all")
        assert again.status == 303
        assert b"<iframe src=//social" in ask(port, "/", cookie(again)).body
        assert ask(port, "/_b/health").body.startswith(b"ok\n")
    site.close()


def test_a_clock_that_jumps_opens_nothing_and_closes_no_page(up: Upstream, tmp_path: Path) -> None:
    made = Site.from_policy(loads(SMALL), f"sqlite:///{tmp_path / 'b.db'}")
    clock = [int(time.time() // 60)]
    site = Site(made.policy, made.ledger, now=lambda: clock[0])
    with front(site, up.port) as port:
        granted = cookie(chosen(port, b"choice=all"))
        assert not gated(ask(port, "/", granted))
        start = clock[0]
        for jump in (YEAR, -YEAR, 1 - start, 40 * YEAR):
            clock[0] = start + jump
            assert gated(ask(port, "/", granted)), jump  # too old, or of a day to come
            again = chosen(port, b"choice=all")
            assert again.status in (303, 503)
            for line in again.every(b"set-cookie")[:1]:
                assert not gated(ask(port, "/", b"Cookie: " + line.partition(b";")[0]))
        clock[0] = start
        assert not gated(ask(port, "/", granted))
    made.close()


def idle(port: int, stack: contextlib.ExitStack, count: int) -> None:
    """Hold connections: half of them have sent nothing, half of them a part of a head."""
    for number in range(count):
        one = stack.enter_context(socket.create_connection(("127.0.0.1", port), 10))
        if number % 2:
            one.sendall(HEAD)


def test_pages_come_between_idle_connections(site: Site, up: Upstream) -> None:
    with front(site, up.port) as port, contextlib.ExitStack() as stack:
        idle(port, stack, 400)
        assert all(gated(ask(port)) for _ in range(10))


def test_a_full_table_of_descriptors_is_forgotten_once_there_is_room(
    up: Upstream, tmp_path: Path
) -> None:
    """All that the system allows is used, not the 1,024 that a shell begins with."""
    (tmp_path / "bandeau.toml").write_text(SMALL)

    def narrow() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (64, 400))

    with serving.proxy(tmp_path, up.port, preexec_fn=narrow) as (process, port):
        with contextlib.ExitStack() as stack:
            idle(port, stack, 300)
            assert gated(ask(port))
            idle(port, stack, 200)
            until(lambda: held(process) >= 390)
        until(lambda: held(process) < 100)
        assert gated(ask(port))
        assert chosen(port, b"choice=all").status == 303


# Holds connections of three kinds, and opens another for each that the server has closed; a byte on
# standard output says that all are there.
_HOLDER = """
import os, select, socket, sys
port, count = int(sys.argv[1]), int(sys.argv[2])
head = b"GET /_b/health HTTP/1.1\\r\\nHost: www.own.localhost:9000\\r\\n"
sent = (b"", head, head + b"\\r\\n")
polled, there, number = select.epoll(), {}, 0
polled.register(0, select.EPOLLIN)
said = False
while True:
    for _ in range(min(50, count - len(there))):
        one = socket.create_connection(("127.0.0.1", port), 60)
        number += 1
        one.sendall(sent[number % 3])
        there[one.fileno()] = one
        polled.register(one, select.EPOLLIN)
    if len(there) == count and not said:
        said = os.write(1, b".")
    for at, _ in polled.poll(0 if len(there) < count else 1):
        if at == 0:
            sys.exit()
        try:
            data = there[at].recv(65536)
        except ConnectionError:
            data = b""
        if not data:
            polled.unregister(at)
            there.pop(at).close()
"""


@contextlib.contextmanager
def holders(port: int, count: int) -> Iterator[None]:
    """Hold some connections for long, from processes of their own: a table of descriptors is each's."""
    words = [sys.executable, "-c", _HOLDER, str(port), str(count // CLIENTS)]
    with contextlib.ExitStack() as stack:
        started = [
            stack.enter_context(
                subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
            )
            for _ in range(CLIENTS)
        ]
        for one in started:
            stack.callback(one.kill)
        for one in started:
            assert one.stdout
            assert one.stdout.read(1) == b"."
        yield


def held(process: int) -> int:
    """Count a process's descriptors."""
    return sum(1 for _ in Path(f"/proc/{process}/fd").iterdir())


def memory(process: int) -> int:
    """Return what a process has in memory, in bytes."""
    text = Path(f"/proc/{process}/status").read_text("ascii")
    return int(text.partition("VmRSS:")[2].split()[0]) * 1024


def until(found: Callable[[], object]) -> None:
    deadline = time.monotonic() + 120
    while not found():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@contextlib.contextmanager
def uvicorn(folder: Path) -> Iterator[tuple[int, int]]:
    """Run an application behind the middleware as its owner does, with uvicorn's own command."""
    (folder / "served.py").write_text(_APPLICATION % (PAGE, str(folder)))
    with listening("127.0.0.1", 0) as free:
        port = free.getsockname()[1]
    words = ["-m", "uvicorn", "served:app", "--port", str(port), "--log-level", "critical"]
    with subprocess.Popen([sys.executable, *words], cwd=folder) as process:
        try:
            until(lambda: process.poll() is not None or answers(port))
            yield process.pid, port
        finally:
            process.kill()


def answers(port: int) -> bool:
    with contextlib.suppress(ConnectionError):
        return ask(port).status == 200
    return False


_APPLICATION = """
from bandeau import Bandeau

async def application(scope, receive, send):
    if scope["type"] == "http":
        headers = [(b"content-type", b"text/html; charset=utf-8")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": %r})

app = Bandeau.from_file("bandeau.toml", ledger="sqlite:///%s/b.db").asgi(application)
"""


@pytest.mark.skipif("BANDEAU_PROVE" not in os.environ, reason="BANDEAU_PROVE=1 holds 10,000")
@pytest.mark.parametrize("served", ["proxy", "asgi"])
def test_pages_come_between_10_000_idle_connections(
    up: Upstream, tmp_path: Path, served: str
) -> None:
    (tmp_path / "bandeau.toml").write_text(SMALL)
    with (
        serving.proxy(tmp_path, up.port) if served == "proxy" else uvicorn(tmp_path) as found,
        contextlib.ExitStack() as stack,
    ):
        process, port = found
        assert all(gated(ask(port)) for _ in range(50))
        before = memory(process)
        stack.enter_context(holders(port, IDLE + IDLE // 10))  # some are always on their way
        within = most = 0
        while within < 50:
            until(lambda: held(process) >= IDLE)
            most = max(most, memory(process) - before)
            assert gated(ask(port))
            assert chosen(port, b"choice=none").status == 303
            within += held(process) >= IDLE
        print(f"{served}: {most / held(process):.0f} bytes for each connection")  # noqa: T201
        assert most < IDLE * 32_768
        stack.close()
        until(lambda: held(process) < 100)
        assert gated(ask(port))


def test_sockets_that_are_half_closed_hold_nothing(site: Site, up: Upstream) -> None:
    """Who has closed after asking gets a page or a closed connection, and keeps nothing of ours."""
    with front(site, up.port) as port:
        for data in (
            b"",
            HEAD,
            HEAD + b"\r\n",
            b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nabc",
        ):
            for _ in range(10):
                with socket.create_connection(("127.0.0.1", port), 10) as one:
                    one.sendall(data)
                    one.shutdown(socket.SHUT_WR)
                    answered = Answered(serving.received(one))
                    assert answered.status in (0, 400, 502) or gated(answered)
        assert gated(ask(port))
