"""The log of `bandeau proxy` through everything that can go wrong: nothing that a visitor sent is in it."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

import serving
from bandeau.adapters.proxy import Limits, Proxy
from bandeau.cli.logs import FORMATS, logged
from bandeau.site import Site
from conftest import SMALL
from serving import ask, page, running

MARK = "mark3d"  # stands in every value that the visitor and upstream send
SENT = (
    f"Cookie: session={MARK}".encode(),
    f"User-Agent: {MARK}/1.0".encode(),
    f"X-Forwarded-For: 203.0.113.77, {MARK}".encode(),
    f"Referer: http://www.own.localhost:9000/?{MARK}".encode(),
)


@pytest.fixture(params=sorted(FORMATS))
def log(request: pytest.FixtureRequest) -> Iterator[io.StringIO]:
    """The log as the command writes it, of every logger there is."""
    out = io.StringIO()
    handler = logged(request.param, out)
    logging.getLogger().addHandler(handler)
    yield out
    logging.getLogger().removeHandler(handler)


async def _cut(_head: bytes, _reader: object, writer: asyncio.StreamWriter) -> None:
    writer.write(
        f"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n{MARK}".encode()
    )


async def _late(_head: bytes, reader: asyncio.StreamReader, _writer: object) -> None:
    await reader.read()  # until the proxy has had enough


def test_no_record_has_anything_that_a_visitor_sent(
    tmp_path: Path, log: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "bandeau.toml").write_text(SMALL, "utf-8")
    site = Site.from_file(tmp_path / "bandeau.toml", f"sqlite:///{tmp_path}/bandeau.db")
    with serving.upstream() as up:
        up.answers |= {
            "/head": f"HTTP/1.1 200 OK\r\nSet-Cookie: a={MARK}\x00\r\n{MARK}\r\n\r\n".encode(),
            "/cut": _cut,
            "/late": _late,
            "/coded": page(MARK.encode(), b"Content-Encoding: gzip"),
            "/gone": b"",
        }
        application = Proxy(site, f"http://127.0.0.1:{up.port}", limits=Limits(5, 0.3, 0.3))
        with running(application) as port:
            for path in ("head", "cut", "late", "coded", "gone"):
                ask(port, f"/{path}?q={MARK}", *SENT)
            ask(
                port, f"/?{MARK}", *SENT, host="elsewhere.example"
            )  # an origin that is not declared
            ask(port, f"/{MARK} {MARK}", *SENT)  # no HTTP
            ask(port, f"/?{MARK}", *SENT, b"X: " + MARK.encode() * 20_000)
            ask(port, f"/socket?{MARK}", *SENT, b"Connection: Upgrade", b"Upgrade: websocket",
                b"Sec-WebSocket-Version: 13", b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==")  # fmt: skip
            with monkeypatch.context() as broken:

                def fails(*_: object) -> None:
                    raise ValueError(f"?q={MARK}")

                broken.setattr(Site, "exchanged", fails)
                ask(port, f"/?{MARK}", *SENT)
            with monkeypatch.context() as broken:

                def full(*_: object, **__: object) -> None:
                    raise sqlite3.OperationalError("disk I/O error")

                broken.setattr(type(site.ledger.store), "commit", full)
                form = (
                    b"Content-Type: application/x-www-form-urlencoded",
                    b"Sec-Fetch-Site: same-origin",
                )
                said = ask(
                    port, f"/_b/choice?{MARK}", *SENT, *form, method="POST", body=b"choice=all"
                )
                assert said.status == 503
    site.close()
    text = log.getvalue()
    assert MARK not in text
    assert "203.0.113.77" not in text
    for word in ("is broken", "is slow", "WebSocket", "not in [site] origins", "Invalid HTTP", "ValueError",
                 "was not stored"):  # fmt: skip
        assert word in text, word


def test_a_record_in_json_is_one_line_with_its_keys() -> None:
    out = io.StringIO()
    record = logging.LogRecord(
        "bandeau", logging.WARNING, __file__, 1, "of %s\nlines", ("two",), None
    )
    logged("json", out).emit(record)
    assert out.getvalue().count("\n") == 1
    told = json.loads(out.getvalue())
    assert list(told) == ["time", "level", "logger", "message"]
    assert told["message"] == "of two\nlines"


def test_asyncio_s_own_words_end_before_what_they_quote() -> None:
    out = io.StringIO()
    words = f"Task exception was never retrieved\nfuture: <Task exception=ValueError('{MARK}')>"
    logged("text", out).emit(logging.LogRecord("asyncio", logging.ERROR, "", 1, words, None, None))
    assert "never retrieved" in out.getvalue()
    assert MARK not in out.getvalue()
