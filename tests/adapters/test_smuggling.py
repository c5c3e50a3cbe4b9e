"""Requests that two parsers may read differently: what reaches upstream is what was meant, or nothing.

Each is sent to the proxy and to nginx as docs/edge.md sets it up, with the proxy or a recorder behind
it. The recorder reads strictly (RFC 9112) and notes whole requests only; every path names its case, so
that a second request out of one connection is seen whoever sent it on.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import re
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import pytest

import serving
from bandeau.adapters.asgi import Message, Scope
from bandeau.adapters.proxy import Limits, Proxy
from bandeau.policy.file import loads
from bandeau.site import Site
from conftest import SMALL
from edge.test_edge import nginx
from serving import Upstream, ask, page

HOST = b"Host: www.own.localhost:9000\r\n"
END = b"Connection: close\r\n\r\n"
GET = b"GET /@ HTTP/1.1\r\n" + HOST
POST = b"POST /@ HTTP/1.1\r\n" + HOST
CHUNKED = b"Transfer-Encoding: chunked\r\n"
SECOND = b"GET /@/second HTTP/1.1\r\n" + HOST + END  # what smuggling would make of the rest


class Read(NamedTuple):
    """A request as somebody read it."""

    method: bytes
    target: bytes
    body: bytes = b""


class Seen(NamedTuple):
    """A request as it reached upstream."""

    read: Read
    fields: list[tuple[bytes, bytes]]

    def every(self, name: bytes) -> list[bytes]:
        return [value for key, value in self.fields if key == name]


def got(target: bytes = b"/@") -> Read:
    return Read(b"GET", target)


def posted(body: bytes) -> Read:
    return Read(b"POST", b"/@", body)


# What is sent, and what it may be read as; None where nobody may read it as anything.
CASES: dict[str, tuple[bytes, Read | None]] = {
    # One length, and nobody to doubt it.
    "no body": (GET + END, got()),
    "a length": (POST + b"Content-Length: 5\r\n" + END + b"hello", posted(b"hello")),
    "a length of none": (POST + b"Content-Length: 0\r\n" + END, posted(b"")),
    "chunks": (POST + CHUNKED + END + b"5\r\nhello\r\n0\r\n\r\n", posted(b"hello")),
    "a body of a get": (GET + b"Content-Length: 5\r\n" + END + b"hello", Read(b"GET", b"/@", b"hello")),
    # Lengths that disagree.
    "length and chunks": (POST + b"Content-Length: 5\r\n" + CHUNKED + b"\r\n0\r\n\r\n" + SECOND, None),
    "chunks and length": (POST + CHUNKED + b"Content-Length: 5\r\n\r\n0\r\n\r\n" + SECOND, None),
    "two lengths": (POST + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello" + SECOND, None),
    "two equal lengths": (POST + b"Content-Length: 5\r\nContent-Length: 5\r\n" + END + b"hello", None),
    "a list of lengths": (POST + b"Content-Length: 5, 6\r\n\r\nhello" + SECOND, None),
    "a list of equal lengths": (POST + b"Content-Length: 5, 5\r\n" + END + b"hello", None),
    "a negative length": (POST + b"Content-Length: -1\r\n\r\n" + SECOND, None),
    "a length with a plus": (POST + b"Content-Length: +5\r\n\r\nhello" + SECOND, None),
    "a length with an exponent": (POST + b"Content-Length: 1e1\r\n\r\nhello" + SECOND, None),
    "a length in hexadecimal": (POST + b"Content-Length: 0x5\r\n\r\nhello" + SECOND, None),
    "a length in octal": (POST + b"Content-Length: 005\r\n" + END + b"hello", posted(b"hello")),
    "a length with a space in it": (POST + b"Content-Length: 5 0\r\n\r\nhello" + SECOND, None),
    "an empty length": (POST + b"Content-Length: \r\n\r\n" + SECOND, None),
    "a length beyond 64 bits": (POST + b"Content-Length: 18446744073709551621\r\n\r\nhello" + SECOND, None),
    "a length under another digit": (POST + b"Content-Length: \xef\xbc\x95\r\n\r\nhello" + SECOND, None),
    "a length with an underscore": (POST + b"Content_Length: 5\r\n" + END + b"hello", posted(b"")),
    # Codings that are none.
    "xchunked": (POST + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n" + SECOND, None),
    "identity": (POST + b"Transfer-Encoding: identity\r\n\r\n" + SECOND, None),
    "chunked, identity": (POST + b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n" + SECOND, None),
    "identity, chunked": (POST + b"Transfer-Encoding: identity, chunked\r\n\r\n0\r\n\r\n" + SECOND, None),
    "gzip, chunked": (POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n" + SECOND, None),
    "chunked twice": (POST + b"Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n" + SECOND, None),
    "two codings": (POST + CHUNKED + b"Transfer-Encoding: identity\r\n\r\n0\r\n\r\n" + SECOND, None),
    "two chunked": (POST + CHUNKED + CHUNKED + b"\r\n0\r\n\r\n" + SECOND, None),
    "chunked in capitals": (POST + b"Transfer-Encoding: CHUNKED\r\n" + END + b"5\r\nhello\r\n0\r\n\r\n", posted(b"hello")),
    "chunked in quotes": (POST + b'Transfer-Encoding: "chunked"\r\n\r\n0\r\n\r\n' + SECOND, None),
    "chunked after a comma": (POST + b"Transfer-Encoding: , chunked\r\n\r\n0\r\n\r\n" + SECOND, None),
    "chunked after a vertical tab": (POST + b"Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n" + SECOND, None),
    "chunked with a parameter": (POST + b"Transfer-Encoding: chunked;q=1\r\n\r\n0\r\n\r\n" + SECOND, None),
    "an empty coding": (POST + b"Transfer-Encoding: \r\nContent-Length: 5\r\n\r\nhello" + SECOND, None),
    "chunks of a 1.0": (b"POST /@ HTTP/1.0\r\n" + HOST + CHUNKED + b"\r\n0\r\n\r\n" + SECOND, None),
    "a coding with an underscore": (POST + b"Transfer_Encoding: chunked\r\nContent-Length: 5\r\n" + END + b"hello", posted(b"hello")),
    # Chunks that are none.
    "a chunk extension": (POST + CHUNKED + END + b"5;a=b\r\nhello\r\n0\r\n\r\n", posted(b"hello")),
    "a chunk extension in quotes": (POST + CHUNKED + END + b'5;a="b;c"\r\nhello\r\n0\r\n\r\n', posted(b"hello")),
    "a chunk extension with a line end": (POST + CHUNKED + b"\r\n5;a\nhello\r\n0\r\n\r\n" + SECOND, None),
    "a chunk size with 0x": (POST + CHUNKED + b"\r\n0x5\r\nhello\r\n0\r\n\r\n" + SECOND, None),
    "a chunk size that is negative": (POST + CHUNKED + b"\r\n-5\r\nhello\r\n0\r\n\r\n" + SECOND, None),
    "a chunk size that is no number": (POST + CHUNKED + b"\r\nzz\r\nhello\r\n0\r\n\r\n" + SECOND, None),
    "a chunk size beyond 64 bits": (POST + CHUNKED + b"\r\n10000000000000005\r\nhello\r\n0\r\n\r\n" + SECOND, None),
    "a chunk size after a space": (POST + CHUNKED + b"\r\n 5\r\nhello\r\n0\r\n\r\n" + SECOND, None),
    "a chunk size with zeros": (POST + CHUNKED + END + b"0005\r\nhello\r\n0\r\n\r\n", posted(b"hello")),
    "a chunk longer than it says": (POST + CHUNKED + b"\r\n3\r\nhello\r\n0\r\n\r\n" + SECOND, None),
    "a chunk without its line end": (POST + CHUNKED + b"\r\n5\r\nhello0\r\n\r\n" + SECOND, None),
    "chunks with bare line feeds": (POST + CHUNKED + b"\r\n5\nhello\n0\n\n" + SECOND, None),
    "chunks with bare returns": (POST + CHUNKED + b"\r\n5\rhello\r0\r\r" + SECOND, None),
    "chunks that end too early": (POST + CHUNKED + b"\r\n5\r\nhel", None),
    # Trailers are no headers.
    "a trailer": (POST + CHUNKED + END + b"5\r\nhello\r\n0\r\nX-Last: 1\r\n\r\n", posted(b"hello")),
    "a trailer with a host": (POST + CHUNKED + END + b"0\r\nHost: evil.example\r\n\r\n", posted(b"")),
    "a trailer with a length": (POST + CHUNKED + END + b"0\r\nContent-Length: 99\r\n\r\n", None),
    "a trailer with a cookie": (POST + CHUNKED + END + b"0\r\nCookie: session=evil\r\n\r\n", posted(b"")),
    # Lines that end or fold strangely.
    "line feeds alone": (b"GET /@ HTTP/1.1\nHost: www.own.localhost:9000\nConnection: close\n\n", None),
    "a line feed between headers": (GET + b"X: a\nContent-Length: 5\r\n" + END + b"hello", None),
    "a return between headers": (GET + b"X: a\rContent-Length: 5\r\n\r\n" + SECOND, None),
    "a folded header": (GET + b"X: a\r\n b\r\n" + END, None),
    "a folded coding": (POST + b"Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n" + SECOND, None),
    "a folded first header": (b"GET /@ HTTP/1.1\r\n X: a\r\n" + HOST + END, None),
    "a space before the colon": (POST + b"Content-Length : 5\r\n\r\nhello" + SECOND, None),
    "a tab before the colon": (POST + b"Transfer-Encoding\t: chunked\r\n\r\n0\r\n\r\n" + SECOND, None),
    "a space within a name": (GET + b"X Y: 1\r\n" + END, None),
    "no colon": (GET + b"Nothing\r\n" + END, None),
    "no name": (GET + b": nothing\r\n" + END, None),
    "nul in a value": (GET + b"X: a\0b\r\n" + END, None),
    "nul in a name": (GET + b"X\0: a\r\n" + END, None),
    "a control character in a value": (GET + b"X: a\x01b\r\n" + END, None),
    "del in a value": (GET + b"X: a\x7fb\r\n" + END, None),
    "latin letters in a value": (GET + b"X: caf\xe9\r\n" + END, got()),
    "an empty line first": (b"\r\n" + GET + END, got()),
    # Targets.
    "an absolute target of ours": (b"GET http://www.own.localhost:9000/@ HTTP/1.1\r\n" + HOST + END, got()),
    "an absolute target elsewhere": (b"GET http://evil.example/@ HTTP/1.1\r\n" + HOST + END, None),
    "an absolute target with a user": (b"GET http://www.own.localhost:9000@evil.example/@ HTTP/1.1\r\n" + HOST + END, None),
    "a path without a slash": (b"GET nowhere HTTP/1.1\r\n" + HOST + END, None),
    "connect": (b"CONNECT evil.example:443 HTTP/1.1\r\n" + HOST + END, None),
    "a space in the target": (b"GET /@ /second HTTP/1.1\r\n" + HOST + END, None),
    "a tab for a space": (b"GET\t/@\tHTTP/1.1\r\n" + HOST + END, None),
    "nul in the target": (b"GET /@\0 HTTP/1.1\r\n" + HOST + END, None),
    "a control character in the target": (b"GET /@\x01 HTTP/1.1\r\n" + HOST + END, None),
    "letters beyond ascii in the target": (b"GET /@\xc3\xa9 HTTP/1.1\r\n" + HOST + END, None),
    "a fragment": (b"GET /@#/second HTTP/1.1\r\n" + HOST + END, None),
    "a line end in percent": (b"GET /@%0d%0aX:%201 HTTP/1.1\r\n" + HOST + END, got(b"/@%0d%0aX:%201")),
    "nul in percent": (b"GET /@%00 HTTP/1.1\r\n" + HOST + END, got(b"/@%00")),
    "a slash in percent": (b"GET /@%2fsecond HTTP/1.1\r\n" + HOST + END, got(b"/@%2fsecond")),
    "percent of percent": (b"GET /@%252e%252e HTTP/1.1\r\n" + HOST + END, got(b"/@%252e%252e")),
    "percent of nothing": (b"GET /@%zz HTTP/1.1\r\n" + HOST + END, got(b"/@%zz")),
    "dots": (b"GET /x/../@ HTTP/1.1\r\n" + HOST + END, got(b"/x/../@")),
    "dots in percent": (b"GET /x/%2e%2e/@ HTTP/1.1\r\n" + HOST + END, got(b"/x/%2e%2e/@")),
    "two slashes": (b"GET //@ HTTP/1.1\r\n" + HOST + END, got(b"//@")),
    "a backslash": (b"GET /\\/@ HTTP/1.1\r\n" + HOST + END, got(b"/\\/@")),
    "a query with a line end in percent": (b"GET /@?a=%0d%0a HTTP/1.1\r\n" + HOST + END, got(b"/@?a=%0d%0a")),
    # Hosts.
    "no host": (b"GET /@ HTTP/1.1\r\n" + END, None),
    "two hosts": (GET + b"Host: evil.example\r\n" + END, None),
    "the same host twice": (GET + HOST + END, None),
    "a host with a space": (b"GET /@ HTTP/1.1\r\nHost: a b\r\n" + END, None),
    "a host with a path": (b"GET /@ HTTP/1.1\r\nHost: a/../b\r\n" + END, None),
    "a host with a user": (b"GET /@ HTTP/1.1\r\nHost: www.own.localhost:9000@evil.example\r\n" + END, None),
    "a host with a port that is none": (b"GET /@ HTTP/1.1\r\nHost: www.own.localhost:9000x\r\n" + END, None),
    # Versions and switches.
    "0.9": (b"GET /@\r\n\r\n" + SECOND, None),
    "1.2": (b"GET /@ HTTP/1.2\r\n" + HOST + END, None),
    "2.0": (b"GET /@ HTTP/2.0\r\n" + HOST + END, None),
    "no such version": (b"GET /@ HTTP/1.1x\r\n" + HOST + END, None),
    "another protocol": (b"GET /@ RTSP/1.0\r\n" + HOST + END, got()),  # whatever it is called, it is one
    "a preface of http/2": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + SECOND, None),
    "a method in small letters": (b"get /@ HTTP/1.1\r\n" + HOST + END, None),
    "expect": (POST + b"Expect: 100-continue\r\nContent-Length: 5\r\n" + END + b"hello", posted(b"hello")),
    "expect what nobody knows": (POST + b"Expect: 200-ok\r\nContent-Length: 5\r\n" + END + b"hello", posted(b"hello")),
    "h2c": (GET + b"Upgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\nConnection: Upgrade, HTTP2-Settings\r\n\r\n" + SECOND, got()),
    "h2c with a body": (POST + b"Upgrade: h2c\r\nConnection: Upgrade\r\nContent-Length: 5\r\n\r\nhello" + SECOND, None),
    "a web socket of no version": (GET + b"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 777\r\n\r\n" + SECOND, None),
    "an upgrade nobody asked for": (GET + b"Upgrade: websocket\r\n" + END, got()),
    "a length that connection names": (POST + b"Content-Length: 5\r\nConnection: close, content-length\r\n\r\nhello", posted(b"hello")),
    "a host that connection names": (GET + b"Connection: close, host\r\n\r\n", got()),
    # Size.
    "a target of 9 kB": (b"GET /@?" + b"a" * 9_000 + b" HTTP/1.1\r\n" + HOST + END, got(b"/@?" + b"a" * 9_000)),
    "a target of 70 kB": (b"GET /@?" + b"a" * 70_000 + b" HTTP/1.1\r\n" + HOST + END, None),
    "a header of 70 kB": (GET + b"X: " + b"a" * 70_000 + b"\r\n" + END, None),
}  # fmt: skip


class Recorder(Upstream):
    """Notes every whole request that reaches it, and answers 200."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[Seen] = []

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        ends = (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError)
        with contextlib.closing(writer), contextlib.suppress(*ends):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n"))[:-4]
                first, *lines = head.split(b"\r\n")
                pairs = [line.partition(b":") for line in lines]
                fields = [(name.lower(), value.strip()) for name, _, value in pairs]
                method, target, _ = first.split(b" ")
                body = await self._body(reader, fields)
                self.seen.append(Seen(Read(method, target, body), fields))
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

    @staticmethod
    async def _body(reader: asyncio.StreamReader, fields: list[tuple[bytes, bytes]]) -> bytes:
        said = [pair for pair in fields if pair[0] in (b"content-length", b"transfer-encoding")]
        assert len(said) <= 1, said
        if not said:
            return b""
        if said[0][0] == b"content-length":
            return await reader.readexactly(int(said[0][1]))
        body = b""
        while size := int(await reader.readuntil(b"\r\n"), 16):
            body += await reader.readexactly(size)
            assert await reader.readexactly(2) == b"\r\n"
        assert await reader.readexactly(2) == b"\r\n"  # our client sends no trailers
        return body


def send(port: int, raw: bytes) -> bytes:
    """Send bytes, and return what came until the end, or until nothing came any more."""
    answer = b""
    with (
        contextlib.suppress(ConnectionError, TimeoutError),
        socket.create_connection(("127.0.0.1", port), 5) as connection,
    ):
        connection.sendall(raw)
        connection.settimeout(1.0)
        while piece := connection.recv(65536):
            answer += piece
    return answer


def walked(port: int, recorder: Recorder) -> dict[str, list[Seen]]:
    """Send every case; return what reached the recorder of each."""
    found = sent(port, recorder, [raw for raw, _ in CASES.values()])
    return dict(zip(CASES, found, strict=True))


def sent(port: int, recorder: Recorder, raws: list[bytes]) -> list[list[Seen]]:
    """Send requests, each under a path of its own; return what reached the recorder of each."""
    placed = [raw.replace(b"/@", b"/case%d-" % at) for at, raw in enumerate(raws)]
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda raw: send(port, raw), placed))
    found: list[list[Seen]] = [[] for _ in raws]
    for (method, target, body), fields in recorder.seen:
        if not target.startswith(b"/_b/"):  # the edge's own question
            at = re.search(rb"case(\d+)-", target)
            assert at, target
            read = Read(method, target.replace(at[0], b"@"), body)
            found[int(at[1])].append(Seen(read, fields))
    return found


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    made = Site.from_policy(loads(SMALL), f"sqlite:///{tmp_path_factory.mktemp('l') / 'b.db'}")
    yield made
    made.close()


@contextlib.contextmanager
def proxied(site: Site, recorder: Recorder) -> Iterator[int]:
    with serving.upstream(recorder):
        limits = Limits(connect_seconds=1.0, head_seconds=2.0, idle_seconds=1.0)
        proxy = Proxy(site, f"http://127.0.0.1:{recorder.port}", limits=limits)
        with serving.running(proxy) as port:
            yield port


@pytest.fixture(scope="module")
def straight(site: Site) -> dict[str, list[Seen]]:
    recorder = Recorder()
    with proxied(site, recorder) as port:
        return walked(port, recorder)


@pytest.fixture(scope="module")
def through(site: Site, tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Seen]]:
    recorder = Recorder()
    with proxied(site, recorder) as gate, nginx(tmp_path_factory.mktemp("n"), gate) as port:
        return walked(port, recorder)


@pytest.fixture(scope="module")
def by_nginx(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Seen]]:
    recorder = Recorder()
    with serving.upstream(recorder), nginx(tmp_path_factory.mktemp("n"), recorder.port) as port:
        return walked(port, recorder)


def test_there_are_many_cases() -> None:
    assert len(CASES) >= 100


@pytest.mark.parametrize("name", CASES)
def test_what_was_meant_reaches_upstream_once_or_nothing_does(
    straight: dict[str, list[Seen]], name: str
) -> None:
    meant = CASES[name][1]
    assert [seen.read for seen in straight[name]] == ([meant] if meant else [])
    for seen in straight[name]:
        assert seen.every(b"host") == [b"www.own.localhost:9000"]
        assert not seen.every(b"x-last")
        assert b"session=evil" not in seen.every(b"cookie")


@pytest.mark.parametrize("name", CASES)
def test_nginx_and_the_proxy_read_the_same_request(
    straight: dict[str, list[Seen]], by_nginx: dict[str, list[Seen]], name: str
) -> None:
    """Either refuses what the other takes, or both read one and the same."""
    ours, its = ([seen.read for seen in found[name]] for found in (straight, by_nginx))
    assert not ours or not its or ours == its[: len(ours)]


@pytest.mark.parametrize("name", CASES)
def test_behind_nginx_the_proxy_reads_what_nginx_read_or_nothing(
    by_nginx: dict[str, list[Seen]], through: dict[str, list[Seen]], name: str
) -> None:
    its, chain = ([seen.read for seen in found[name]] for found in (by_nginx, through))
    assert chain in (its, [])
    for seen in through[name]:
        assert seen.every(b"host") == [b"www.own.localhost:9000"]


@pytest.mark.skipif(
    "BANDEAU_PROVE" not in os.environ, reason="BANDEAU_PROVE=1 sends mutated requests"
)
def test_by_chance_too_nginx_and_the_proxy_read_the_same_request(
    site: Site, tmp_path: Path
) -> None:
    seed = random.randrange(1 << 32)
    chance = random.Random(seed)
    small = [raw for raw, _ in CASES.values() if len(raw) < 2_000]
    raws = [mutated(chance.choice(small), chance) for _ in range(2_000)]
    ours, its = Recorder(), Recorder()
    with proxied(site, ours) as port:
        straight = sent(port, ours, raws)
    with serving.upstream(its), nginx(tmp_path, its.port) as port:
        by_nginx = sent(port, its, raws)
    both = 0
    for raw, found, other in zip(raws, straight, by_nginx, strict=True):
        mine, theirs = [seen.read for seen in found], [seen.read for seen in other]
        both += bool(mine and theirs)
        left = iter(
            theirs
        )  # one that we refuse, for its Host say, may stand before one that we take
        assert not theirs or all(one in left for one in mine), (seed, raw, mine, theirs)
    assert both > 100, seed


def mutated(raw: bytes, chance: random.Random) -> bytes:
    """Change a request somewhere behind its path, by pieces that parsers stumble over."""
    pieces = [b"\r\n", b"\n", b"\r", b" ", b"\t", b":", b";", b",", b"0", b"5", b"\0", b"\x0b", b"\xff",
              b"Content-Length: 5\r\n", b"Content-Length: 0\r\n", CHUNKED, b"0\r\n\r\n", b"chunked", b"identity"]  # fmt: skip
    start = raw.find(b"HTTP/")
    for _ in range(chance.choice((1, 1, 2, 3))):
        at = chance.randrange(max(start, 0), len(raw))
        cut = at + chance.choice((0, 0, 1, 2))
        changed = raw[:at] + chance.choice(pieces) + raw[cut:]
        raw = changed if changed.count(b"/@") == raw.count(b"/@") else raw  # it names the case
    return raw


CLAIMS = (
    *(b"X-Forwarded-Host: evil.example", b"X-Host: evil.example", b"X-Forwarded-Server: evil.example"),
    *(b"X-HTTP-Host-Override: evil.example", b"Forwarded: host=evil.example;proto=https;for=6.6.6.6"),
    *(b"X-Original-URL: /evil", b"X-Rewrite-URL: /evil", b"X-Forwarded-Prefix: /evil", b"X-Forwarded-Path: /evil"),
    *(b"X-Forwarded-Proto: https", b"X-Forwarded-Scheme: https", b"X-Forwarded-Ssl: on", b"X-Forwarded-Port: 1"),
)  # fmt: skip


@pytest.mark.parametrize("claim", CLAIMS, ids=lambda claim: claim.partition(b":")[0].decode())
def test_no_claim_of_a_stranger_reaches_upstream_or_what_a_cache_may_keep(
    kept: tuple[int, Upstream], claim: bytes
) -> None:
    port, up = kept
    for path in ("/", "/_b/log/checkpoint", "/_b/settings", "/_b/state", "/_b/key"):
        plain, claimed = ask(port, path), ask(port, path, claim)
        assert plain.status == claimed.status
        assert _lasting(plain) == _lasting(claimed), path
        assert plain.body == claimed.body, path
    assert b"evil" not in up.heads[-1]
    name = claim.partition(b":")[0].lower()
    value = claim.partition(b": ")[2]
    assert name + b": " + value not in up.heads[-1].lower()


@pytest.mark.parametrize(
    "host", ["evil.example", "www.own.localhost:1", "www.own.localhost", "WWW.OWN.LOCALHOST:9000"]
)
def test_what_a_cache_may_keep_says_nothing_of_the_host_that_was_asked(
    kept: tuple[int, Upstream], host: str
) -> None:
    """Such files are kept under a name alone by caches that know no better."""
    port, _ = kept
    sheet = re.search(rb'/_b/static/[^"]+\.css', ask(port, "/_b/settings").body)
    assert sheet
    for path in (sheet[0].decode(), "/_b/log/checkpoint"):
        mine, other = ask(port, path), ask(port, path, host=host)
        assert b"public" in mine.every(b"cache-control")[0]
        assert (other.status, other.body, _lasting(other)) == (
            mine.status,
            mine.body,
            _lasting(mine),
        )


@pytest.mark.parametrize(
    "header",
    [
        b"Accept-Language: en",
        b"Sec-GPC: 1",
        b"Sec-Fetch-Dest: iframe",
        b"Accept: application/json",
        b"Cookie: bandeau=x",
    ],
)
def test_what_changes_a_page_changes_its_key_or_the_page_is_kept_by_nobody(
    kept: tuple[int, Upstream], header: bytes
) -> None:
    port, _ = kept
    basis = (b"Accept: text/html", b"Sec-Fetch-Dest: document", b"Accept-Language: fr")
    lines = [line for line in basis if line.split(b":")[0] != header.split(b":")[0]]
    plain, other = ask(port, "/", *basis), ask(port, "/", *lines, header)
    keys = [ask(port, "/_b/key", *given).every(b"bd-key") for given in (basis, [*lines, header])]
    assert plain.every(b"surrogate-control")  # an edge may keep it
    assert plain.body == other.body or keys[0] != keys[1] or not other.every(b"surrogate-control")


def _lasting(answered: serving.Answered) -> list[tuple[bytes, bytes]]:
    return [pair for pair in answered.headers if pair[0] != b"date"]


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[int, Upstream]]:
    """A site whose pages an edge may keep."""
    text = SMALL.replace("[[purpose]]", "edge_cache = true\n[[purpose]]", 1)
    text = text.replace("[proof]", '[proof]\npublish = "tiles"', 1)
    site = Site.from_policy(loads(text), f"sqlite:///{tmp_path_factory.mktemp('k') / 'b.db'}")
    with serving.upstream() as up:
        up.answers["/"] = page(
            b"<html><body><p>x<iframe src=//social.localhost/f></iframe>",
            b"Cache-Control: max-age=600",
        )
        with serving.running(Proxy(site, f"http://127.0.0.1:{up.port}")) as port:
            yield port, up
    site.close()


@pytest.mark.parametrize("path", ["@evil.example/", ".evil.example/", ":1/", "evil", "*", ""])
def test_no_path_makes_upstream_another_server(site: Site, path: str) -> None:
    """Whatever server runs the proxy: ours refuses such a target before."""
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.request"}

    async def send_on(message: Message) -> None:
        sent.append(message)

    headers = [(b"host", b"www.own.localhost:9000")]
    scope: Scope = {
        "type": "http",
        "method": "GET",
        "path": path,
        "raw_path": path.encode(),
        "headers": headers,
    }
    asyncio.run(Proxy(site, "http://127.0.0.1").__call__(scope, receive, send_on))
    assert sent[0]["status"] == 400


@pytest.mark.parametrize("name", [b"BD-Purposes", b"Cookie", b"Accept-Encoding"])
def test_no_connection_header_takes_the_gate_s_words_away(
    kept: tuple[int, Upstream], name: bytes
) -> None:
    port, up = kept
    given = (b"Cookie: session=1", b"Accept-Encoding: gzip", b"Accept: text/html")
    ask(port, "/named", *given, b"Connection: " + name)
    assert b"\r\n" + name.lower() + b":" in up.heads[-1].lower()


class Talker(Upstream):
    """Keeps a connection open and says more than it was asked."""

    more = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 4\r\n\r\nevil"

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        ends = (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError)
        with contextlib.closing(writer), contextlib.suppress(*ends):
            while True:
                path = (await reader.readuntil(b"\r\n\r\n")).split(b" ")[1]
                answer = (
                    b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n%s"
                )
                writer.write(answer % (len(path), path) + self.more)


def test_what_follows_an_answer_of_upstream_is_nobody_s(site: Site) -> None:
    talker = Talker()
    with serving.upstream(talker):
        proxy = Proxy(site, f"http://127.0.0.1:{talker.port}")
        with serving.running(proxy) as port:
            answers = [ask(port, f"/{number}") for number in range(20)]
    for number, answered in enumerate(answers):
        assert answered.status == 502 or answered.body == b"/%d" % number
    assert any(answered.status == 200 for answered in answers)
