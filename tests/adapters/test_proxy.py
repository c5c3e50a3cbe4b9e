"""The proxy, over real sockets: good upstreams, broken ones, and what passes between."""

from __future__ import annotations

import asyncio
import gzip
import re
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import brotli
import pytest
import zstandard
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect
from websockets.typing import Subprotocol

import serving
from bandeau.adapters.asgi import Receive, Scope, Send
from bandeau.adapters.proxy import Limits, Proxy
from bandeau.ledger.sqlite import SqliteStore
from bandeau.policy.file import loads
from bandeau.site import Site
from conftest import ORIGIN, SMALL
from serving import Upstream, ask, page

PAGE = b"<html lang=en><head><title>t</title></head><body><p>text<iframe src=//social.localhost/f></iframe></body></html>"
FORM = (b"Content-Type: application/x-www-form-urlencoded", b"Sec-Fetch-Site: same-origin")


@pytest.fixture(scope="module")
def up() -> Iterator[Upstream]:
    with serving.upstream() as made:
        yield made


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("ledger")
    made = Site.from_policy(loads(SMALL), f"sqlite:///{folder / 'bandeau.db'}")
    yield made
    made.close()


@pytest.fixture(scope="module")
def port(up: Upstream, site: Site) -> Iterator[int]:
    limits = Limits(connect_seconds=1.0, head_seconds=1.0, idle_seconds=5.0)
    with serving.running(Proxy(site, f"http://127.0.0.1:{up.port}", limits=limits)) as found:
        yield found


def choice(port: int, body: bytes) -> bytes:
    answered = ask(port, "/_b/choice", *FORM, method="POST", body=body)
    assert answered.status == 303
    return b"Cookie: " + answered.every(b"set-cookie")[0].partition(b";")[0]


def test_a_page_comes_gated(port: int, up: Upstream) -> None:
    up.answers["/"] = page(
        PAGE, b"Set-Cookie: junk=1", b"Link: <https://x.example>; rel=preconnect"
    )
    answered = ask(port)
    assert answered.status == 200
    assert b"data-bd-src=//social.localhost/f" in answered.body
    assert b'<section id="bandeau"' in answered.body
    assert not answered.every(b"set-cookie")
    assert not answered.every(b"link")
    assert answered.every(b"content-security-policy")
    assert not answered.every(b"server")


@pytest.mark.parametrize("coding", ["gzip", "br", "zstd"])
def test_coded_pages_come_gated(port: int, up: Upstream, coding: str) -> None:
    data = {"gzip": gzip.compress, "br": brotli.compress, "zstd": zstandard.compress}[coding](PAGE)
    up.answers["/coded"] = page(data, b"Content-Encoding: " + coding.encode())
    answered = ask(port, "/coded", b"Accept-Encoding: gzip, br, zstd", b"Accept: text/html")
    assert answered.every(b"content-encoding") == [coding.encode()]
    decoders = {"gzip": gzip.decompress, "br": brotli.decompress,
                "zstd": lambda d: zstandard.ZstdDecompressor().decompressobj().decompress(d)}  # fmt: skip
    assert b"data-bd-src" in decoders[coding](answered.body)


def test_everything_else_passes_byte_for_byte(port: int, up: Upstream) -> None:
    body = bytes(range(256)) * 2000
    up.answers["/file"] = (
        b'HTTP/1.1 200 OK\r\nContent-Type: application/zip\r\nContent-Encoding: gzip\r\nETag: "a"\r\n'
        b"Content-Length: %d\r\nConnection: close\r\n\r\n" % len(body)
    ) + body
    answered = ask(port, "/file", b"Accept: */*", b"Sec-Fetch-Dest: empty")
    assert answered.body == body
    assert answered.every(b"etag") == [b'"a"']
    assert answered.every(b"content-length") == [b"%d" % len(body)]


def test_pages_stream(port: int, up: Upstream) -> None:
    async def slowly(
        _head: bytes, _reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        writer.write(
            b"HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\n\r\n<html><body><p>early</p>"
        )
        await writer.drain()
        await asyncio.sleep(2)
        writer.write(b"<p>late</p>")

    up.answers["/stream"] = slowly
    with socket.create_connection(("127.0.0.1", port), 5) as connection:
        started = time.monotonic()
        connection.sendall(b"GET /stream HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        data = b""
        while b"early" not in data:
            data += connection.recv(65536)
        assert time.monotonic() - started < 1.8
        assert b"late" in serving.received(connection)


def test_request_bodies_pass(port: int, up: Upstream) -> None:
    async def echo(head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        length = re.search(rb"(?i)content-length: (\d+)", head)
        body = await reader.readexactly(int(length[1])) if length else b""
        while not length and not body.endswith(b"0\r\n\r\n"):
            body += await reader.read(65536)
        writer.write(
            b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n" % len(body)
            + body
        )

    up.answers["/echo"] = echo
    body = b"x" * 300_000
    assert ask(port, "/echo", method="POST", body=body).body == body
    answered = ask(port, "/echo", b"Transfer-Encoding: chunked", b"Accept: */*", method="PUT")
    assert answered.status in (
        200,
        502,
        504,
    )  # nothing was sent: the proxy waits no longer than it says
    with socket.create_connection(("127.0.0.1", port), 5) as connection:
        connection.sendall(
            b"POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n5\r\nhello\r\n0\r\n\r\n"
        )
        assert b"hello" in serving.received(connection)


def test_a_head_has_the_headers_and_no_body(port: int, up: Upstream) -> None:
    up.answers["/head"] = (
        b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 999\r\nConnection: close\r\n\r\n"
    )
    answered = ask(port, "/head", method="HEAD")
    assert answered.status == 200
    assert answered.body == b""
    assert answered.every(b"content-security-policy")


def test_a_range_of_a_page_is_the_whole_page_and_of_a_file_a_range(port: int, up: Upstream) -> None:
    up.answers["/part"] = page(PAGE)
    assert ask(port, "/part", b"Range: bytes=5-9").status == 200
    assert b"range" not in up.heads[-1].lower()
    up.answers["/film"] = (
        b"HTTP/1.1 206 Partial Content\r\nContent-Type: video/mp4\r\nContent-Range: bytes 0-3/9\r\n"
        b"Content-Length: 4\r\nConnection: close\r\n\r\nabcd"
    )
    answered = ask(port, "/film", b"Range: bytes=0-3", b"Accept: */*", b"Sec-Fetch-Dest: video")
    assert (answered.status, answered.body) == (206, b"abcd")
    assert b"range: bytes=0-3" in up.heads[-1].lower()


def test_an_etag_is_good_for_one_state_only(port: int, up: Upstream) -> None:
    async def conditional(
        head: bytes, _reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        if b'"v1"' in head:
            writer.write(b'HTTP/1.1 304 Not Modified\r\nETag: "v1"\r\nConnection: close\r\n\r\n')
        else:
            writer.write(page(PAGE, b'ETag: "v1"'))

    up.answers["/etag"] = conditional
    etag = ask(port, "/etag").every(b"etag")[0]
    again = ask(port, "/etag", b"If-None-Match: " + etag)
    assert again.status == 304
    assert again.every(b"etag") == [etag]
    assert again.body == b""
    cookie = choice(port, b"choice=all")
    assert ask(port, "/etag", b"If-None-Match: " + etag, cookie).status == 200
    assert ask(port, "/etag", b'If-None-Match: "v1"').status == 200


def test_headers_of_one_connection_end_there(port: int, up: Upstream) -> None:
    up.answers["/hop"] = page(
        PAGE, b"Keep-Alive: 1", b"Proxy-Authenticate: x", b"X-Private: 1"
    ).replace(b"Connection: close", b"Connection: close, X-Private")
    answered = ask(port, "/hop", b"TE: trailers", b"Proxy-Authorization: secret", b"X-Mine: 1")
    assert not answered.every(b"x-private")
    assert not answered.every(b"keep-alive")
    sent = up.heads[-1].lower()
    assert b"proxy-authorization" not in sent
    assert b"\r\nte:" not in sent
    assert b"x-mine: 1" in sent


def test_an_answer_has_one_date(port: int, up: Upstream) -> None:
    up.answers["/dated"] = page(PAGE, b"Date: Mon, 23 Nov 2026 10:00:00 GMT")
    assert len(ask(port, "/dated").every(b"date")) == 1
    assert len(ask(port, "/_b/state").every(b"date")) == 1


def test_forwarded_headers_of_strangers_count_for_nothing(
    port: int, up: Upstream, site: Site
) -> None:
    up.answers["/fwd"] = page(PAGE)
    claims = (b"X-Forwarded-For: 6.6.6.6", b"Forwarded: for=6.6.6.6", b"X-Forwarded-Proto: https", b"X-Real-IP: 6.6.6.6",
              b"X-Forwarded-Host: evil.example")  # fmt: skip
    ask(port, "/fwd", *claims)
    sent = up.heads[-1].lower()
    assert b"6.6.6.6" not in sent
    assert b"x-forwarded-for: 127.0.0.1" in sent
    assert b"x-forwarded-proto: http\r\n" in sent
    assert b"evil.example" not in sent
    trusting = Proxy(site, f"http://127.0.0.1:{up.port}", trusted=["127.0.0.0/8"])
    with serving.running(trusting) as other:
        ask(other, "/fwd", *claims)
    sent = up.heads[-1].lower()
    assert b"x-forwarded-for: 6.6.6.6, 127.0.0.1" in sent
    assert b"x-forwarded-proto: https" in sent
    assert b"host: evil.example" in sent


BROKEN = {
    "closes at once": b"",
    "no http": b"SSH-2.0-OpenSSH\r\n\r\n",
    "half a head": b"HTTP/1.1 200 OK\r\nContent-Ty",
    "status of letters": b"HTTP/1.1 abc OK\r\n\r\n",
    "two lengths": b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 3\r\nContent-Length: 9\r\n\r\nabc",
    "a head too large": b"HTTP/1.1 200 OK\r\nX: " + b"a" * 200_000 + b"\r\n\r\n",
}  # fmt: skip


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_upstream_is_a_page_of_ours(port: int, up: Upstream, name: str) -> None:
    up.answers["/broken"] = BROKEN[name]
    answered = ask(port, "/broken", b"Accept-Language: en", b"Accept: text/html")
    assert answered.status == 502, answered.body
    assert answered.every(b"content-security-policy")
    assert b'<html lang="en"' in answered.body
    assert b"bandeau-state" in answered.body


def test_a_slow_upstream_is_told_in_time(port: int, up: Upstream) -> None:
    async def never(
        _head: bytes, reader: asyncio.StreamReader, _writer: asyncio.StreamWriter
    ) -> None:
        await reader.read()

    up.answers["/slow"] = never
    assert ask(port, "/slow").status == 504


@pytest.mark.parametrize("ending", ["short", "chunk", "gzip"])
def test_a_body_that_breaks_off_breaks_off_here_too(port: int, up: Upstream, ending: str) -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n"
    up.answers["/cut"] = {
        "short": head + b"Content-Length: 500\r\n\r\n<p>begin",
        "chunk": head + b"Transfer-Encoding: chunked\r\n\r\n5\r\n<p>be\r\n",
        "gzip": page(gzip.compress(PAGE)[:-12], b"Content-Encoding: gzip"),
    }[ending]
    answered = ask(port, "/cut")
    assert answered.status == 200
    assert not answered.complete


def test_an_upstream_that_is_down_is_a_502(site: Site) -> None:
    with serving.running(Proxy(site, "http://127.0.0.1:9")) as other:
        assert ask(other).status == 502
        assert ask(other, "/_b/health").body == b"ok\n"


def test_a_choice_over_the_wire_and_its_page(port: int, up: Upstream) -> None:
    up.answers["/"] = page(PAGE)
    cookie = choice(port, b"choice=add&purpose=social")
    body = ask(port, "/", cookie).body
    assert b"<iframe src=//social.localhost/f>" in body
    assert b'data-state="partial"' in body
    assert ask(port, "/_b/choice", *FORM, method="POST", body=b"x" * 70_000).status == 413
    assert ask(port, "/_b/choice", method="POST", body=b"choice=all").status == 403


def test_an_unknown_host_is_served_undecided_and_cannot_choose(port: int, up: Upstream) -> None:
    up.answers["/"] = page(PAGE)
    cookie = choice(port, b"choice=all")
    answered = ask(port, "/", cookie, host="evil.example")
    assert b"data-bd-src" in answered.body
    assert b'<section id="bandeau"' not in answered.body
    assert (
        ask(
            port, "/_b/choice", *FORM, method="POST", body=b"choice=all", host="evil.example"
        ).status
        == 403
    )


@pytest.mark.parametrize(
    "line", [b"GET http://other.example/ HTTP/1.1", b"GET * HTTP/1.1", b"OPTIONS * HTTP/1.1", b"GET //x/ HTTP/1.1",
             b"GET /\xff HTTP/1.1", b"GET /%00 HTTP/1.1", b"GET /?\xff HTTP/1.1", b"BREW / HTTP/1.1"],
)  # fmt: skip
def test_odd_targets_are_answered_and_never_ungated(port: int, up: Upstream, line: bytes) -> None:
    up.answers.update({"/": page(PAGE), "//x/": page(PAGE), "*": page(PAGE)})
    with socket.create_connection(("127.0.0.1", port), 5) as connection:
        connection.sendall(line + b"\r\nHost: www.own.localhost:9000\r\nConnection: close\r\n\r\n")
        data = serving.received(connection)
    assert re.match(rb"HTTP/1.1 [2345]\d\d ", data)
    assert b"<iframe src=//social" not in data


def test_many_at_once_do_not_mix(port: int, up: Upstream) -> None:
    up.answers["/"] = page(PAGE)
    granted, refused = choice(port, b"choice=all"), choice(port, b"choice=none")
    with ThreadPoolExecutor(8) as pool:
        bodies = list(
            pool.map(lambda n: ask(port, "/", granted if n % 2 else refused).body, range(120))
        )
    for number, body in enumerate(bodies):
        assert (b"<iframe src=//social.localhost/f>" in body) is bool(number % 2)


def test_a_websocket_passes_both_ways(site: Site) -> None:
    heard: list[dict[bytes, bytes]] = []

    async def echo(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            return
        heard.append(dict(scope["headers"]))
        await receive()
        headers = [(b"set-cookie", b"junk=1")]
        await send({"type": "websocket.accept", "subprotocol": "b", "headers": headers})
        while (message := await receive())["type"] == "websocket.receive":
            await send({**message, "type": "websocket.send"})

    with (
        serving.running(echo, lifespan=False) as behind,
        serving.running(Proxy(site, f"http://127.0.0.1:{behind}")) as front,
    ):
        sent = {"Cookie": "junk=1; session=2"}
        offered = [Subprotocol("a"), Subprotocol("b")]
        address = f"ws://127.0.0.1:{front}/ws"
        with connect(address, additional_headers=sent, subprotocols=offered) as socket_:
            assert socket_.subprotocol == "b"
            assert socket_.response is not None
            assert "set-cookie" not in socket_.response.headers
            for message in ("text", b"bytes", "x" * 200_000):
                socket_.send(message)
                assert socket_.recv(5) == message
        with pytest.raises(InvalidStatus):
            connect(f"ws://127.0.0.1:{front}/comments/ws")
    assert heard[0][b"cookie"] == b"session=2"


def test_a_full_disk_grants_nothing_and_pages_still_come(up: Upstream, tmp_path: Path) -> None:
    site = Site.from_policy(loads(SMALL), f"sqlite:///{tmp_path / 'b.db'}")
    up.answers["/"] = page(PAGE)
    with serving.running(Proxy(site, f"http://127.0.0.1:{up.port}")) as front:
        assert isinstance(site.ledger.store, SqliteStore)
        site.ledger.store._write.execute("PRAGMA max_page_count = 1")
        statuses = {
            ask(front, "/_b/choice", *FORM, method="POST", body=b"choice=all").status
            for _ in range(300)
        }
        assert 503 in statuses
        last = ask(front, "/_b/choice", *FORM, method="POST", body=b"choice=all")
        assert last.status == 503
        assert not last.every(b"set-cookie")
        assert b"data-bd-src" in ask(front).body
    site.close()


def test_origins_are_told_apart_by_port(port: int) -> None:
    body = b"choice=all"
    assert (
        ask(
            port, "/_b/choice", *FORM, method="POST", body=body, host=ORIGIN.removeprefix("http://")
        ).status
        == 303
    )
    assert (
        ask(
            port, "/_b/choice", *FORM, method="POST", body=body, host="www.own.localhost:9001"
        ).status
        == 403
    )
