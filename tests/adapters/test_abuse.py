"""What strangers and broken servers send: bounded time and memory, a clear answer, nothing ungated."""

from __future__ import annotations

import gzip
import resource
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import brotli
import pytest
import zstandard

import serving
from bandeau.adapters import server
from bandeau.adapters.proxy import Limits, Proxy
from bandeau.policy.file import loads
from bandeau.site import Site
from bandeau.wire.codings import CodingError, decoder
from conftest import SMALL
from serving import Upstream, ask, page

HOST = b"Host: www.own.localhost:9000\r\n"


@pytest.fixture(scope="module")
def up() -> Iterator[Upstream]:
    with serving.upstream() as made:
        made.answers["/"] = page(b"<p>x<iframe src=//social.localhost/>")
        yield made


@pytest.fixture(scope="module")
def port(up: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    folder: Path = tmp_path_factory.mktemp("ledger")
    site = Site.from_policy(loads(SMALL), f"sqlite:///{folder / 'b.db'}")
    limits = Limits(connect_seconds=1.0, head_seconds=2.0, idle_seconds=1.0)
    with serving.running(Proxy(site, f"http://127.0.0.1:{up.port}", limits=limits)) as found:
        yield found
    site.close()


def said(port: int, data: bytes, wait: float = 10.0) -> bytes:
    with socket.create_connection(("127.0.0.1", port), wait) as connection:
        try:
            connection.sendall(data)
        except ConnectionError:
            return b""
        return serving.received(connection)


@pytest.mark.parametrize("size", [70_000, 1_000_000, 8_000_000])
def test_a_huge_header_is_refused(port: int, size: int) -> None:
    answered = said(port, b"GET / HTTP/1.1\r\n" + HOST + b"X: " + b"a" * size + b"\r\n\r\n")
    assert answered.startswith(b"HTTP/1.1 431") or answered == b""  # cut before it was all sent


def test_many_headers_are_refused_and_some_are_not(port: int) -> None:
    for count, status in ((200, b"200"), (20_000, b"431")):
        lines = b"".join(b"X-%d: a\r\n" % number for number in range(count))
        answered = said(port, b"GET / HTTP/1.1\r\n" + HOST + lines + b"Connection: close\r\n\r\n")
        assert answered[9:12] == status or (answered == b"" and status == b"431")


def test_a_head_that_never_ends_is_cut(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "HEAD_SECONDS", 0.4)
    for start in (b"", b"GET / HTTP/1.1\r\n" + HOST):
        started = time.monotonic()
        assert said(port, start).startswith(b"HTTP/1.1 408")
        assert time.monotonic() - started < 5


def test_a_body_does_not_wait_for_the_acknowledgement_of_its_head() -> None:
    with server.listening(
        "127.0.0.1", 0
    ) as bound:  # asyncio looks at this before it sets TCP_NODELAY
        assert bound.proto == socket.IPPROTO_TCP


def test_a_body_that_never_comes_is_given_up(port: int) -> None:
    answered = said(
        port, b"POST /x HTTP/1.1\r\n" + HOST + b"Content-Length: 9\r\nConnection: close\r\n\r\nabc"
    )
    assert answered[9:12] in (b"502", b"504", b"404")


@pytest.mark.parametrize(
    "lines",
    [
        b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
        b"Content-Length: -1\r\n\r\n",
        b"Content-Length: 1e3\r\n\r\n",
        b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
        b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
        b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"X : b\r\n\r\n",
        b"X: a\nY: b\r\n\r\n",
        b"X: \x00\r\n\r\n",
    ],
)
def test_ambiguous_messages_are_refused_and_nothing_follows_them(
    port: int, up: Upstream, lines: bytes
) -> None:
    before = len(up.heads)
    smuggled = b"GET /smuggled HTTP/1.1\r\n" + HOST + b"\r\n"
    answered = said(port, b"POST /x HTTP/1.1\r\n" + HOST + lines + smuggled, 4.0)
    assert answered[9:12] == b"400"
    assert not any(b"/smuggled" in head for head in up.heads[before:])


@pytest.mark.parametrize(
    "host",
    [
        b"",
        b"Host: \r\n",
        b"Host: a b\r\n",
        b"Host: a\r\nHost: a\r\n",
        b"Host: a/../b\r\n",
        b"Host: @\r\n",
    ],
)
def test_a_host_that_is_none_is_never_ours(port: int, host: bytes) -> None:
    answered = said(port, b"GET / HTTP/1.1\r\n" + host + b"Connection: close\r\n\r\n")
    assert b"<iframe src=" not in answered
    assert b'<section id="bandeau"' not in answered
    assert answered[9:12] in (b"200", b"400")


def bomb(coding: str, size: int) -> bytes:
    zeros = b"<p>" + bytes(size)
    made = {"gzip": lambda: gzip.compress(zeros, 9), "br": lambda: brotli.compress(zeros, quality=9),
            "zstd": lambda: zstandard.ZstdCompressor(level=3).compress(zeros)}  # fmt: skip
    return bytes(made[coding]())  # type: ignore[no-untyped-call]


@pytest.mark.parametrize("coding", ["gzip", "br", "zstd"])
def test_a_bomb_is_no_page(coding: str) -> None:
    data = bomb(coding, 200_000_000)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    made = decoder(coding)
    pieces = [data[at : at + 65_536] for at in range(0, len(data), 65_536)]
    with pytest.raises(CodingError, match="decodes to more"):
        sum(len(made.feed(piece)) for piece in pieces)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 400_000  # KiB


@pytest.mark.parametrize("coding", ["br", "zstd"])
def test_a_bomb_from_upstream_cuts_the_connection_and_the_next_page_comes(
    port: int, up: Upstream, coding: str
) -> None:
    up.answers["/bomb"] = page(bomb(coding, 200_000_000), b"Content-Encoding: " + coding.encode())
    answered = ask(port, "/bomb", b"Accept-Encoding: " + coding.encode(), b"Accept: text/html")
    assert not answered.complete
    assert b"data-bd-src" in ask(port, "/").body


def test_codings_under_the_limit_are_whole(port: int, up: Upstream) -> None:
    for coding in ("gzip", "br", "zstd"):
        data = bomb(coding, 3_000_000)
        made = decoder(coding)
        assert len(made.feed(data) + made.close()) == 3_000_003
