"""The middleware in an application's own process."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response, StreamingResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket
from websockets.sync.client import connect

import serving
from bandeau import Bandeau
from bandeau.adapters.asgi import Middleware
from bandeau.policy.model import Policy
from conftest import ORIGIN
from serving import ask

PAGE = "<html lang=fr><head><title>t</title></head><body><p>x<iframe src=//social.localhost/f></iframe></body></html>"


def home(request: Request) -> Response:
    consent = request.scope["bandeau"]
    response = HTMLResponse(PAGE + f"<!-- {consent.state} {sorted(request.cookies)} -->")
    response.set_cookie("junk", "1")
    return response


def streamed(_request: Request) -> Response:
    async def pieces() -> Any:
        for at in range(0, len(PAGE), 7):
            yield PAGE[at : at + 7]
            await asyncio.sleep(0)

    return StreamingResponse(pieces(), media_type="text/html")


def fails(_request: Request) -> Response:
    raise RuntimeError("the application's own mistake")


async def talk(websocket: WebSocket) -> None:
    await websocket.accept(headers=[(b"set-cookie", b"junk=1")])
    await websocket.send_json(
        {"cookies": sorted(websocket.cookies), "state": str(websocket.scope["bandeau"].state)}
    )
    await websocket.close()


ROUTES = [
    Route("/", home), Route("/stream", streamed), Route("/fails", fails), Route("/comments/1", home),
    WebSocketRoute("/ws", talk), WebSocketRoute("/comments/ws", talk),
]  # fmt: skip


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, policy: Policy) -> Iterator[Bandeau]:
    found = Bandeau.from_policy(policy, f"sqlite:///{tmp_path_factory.mktemp('l') / 'b.db'}")
    assert isinstance(found, Bandeau)
    yield found
    found.close()


@pytest.fixture(scope="module")
def port(made: Bandeau) -> Iterator[int]:
    with serving.running(made.asgi(Starlette(routes=ROUTES))) as found:
        yield found


def test_the_application_sees_the_choice_and_only_what_it_may(port: int) -> None:
    answered = ask(port, "/", b"Cookie: session=1; junk=2; bandeau=garbage")
    assert b"<!-- undecided ['session'] -->" in answered.body
    assert b"data-bd-src" in answered.body
    assert [line.partition(b"=")[2][:1] for line in answered.every(b"set-cookie")] == [b";"] * len(
        answered.every(b"set-cookie")
    )  # sweeps only


def test_streamed_pages_are_gated(port: int) -> None:
    assert b"data-bd-src" in ask(port, "/stream").body


def test_a_closed_path_never_reaches_the_application(port: int) -> None:
    assert ask(port, "/comments/1").status == 403


def test_an_application_that_fails_is_the_server_s_error(port: int) -> None:
    assert ask(port, "/fails").status == 500


def test_a_choice_holds_in_the_application(port: int) -> None:
    answered = ask(
        port, "/_b/choice", b"Content-Type: application/x-www-form-urlencoded", b"Sec-Fetch-Site: same-origin",
        method="POST", body=b"choice=all",
    )  # fmt: skip
    assert answered.status == 303
    cookie = answered.every(b"set-cookie")[0].partition(b";")[0]
    assert b"<!-- granted [] -->" in ask(port, "/", b"Cookie: " + cookie).body
    assert ask(port, "/comments/1", b"Cookie: " + cookie).status == 200


def test_websockets_are_filtered_and_closed_paths_refused(port: int) -> None:
    host = {"Cookie": "junk=1; session=2"}
    with connect(f"ws://127.0.0.1:{port}/ws", additional_headers=host) as socket:
        assert socket.recv(5) == '{"cookies":["session"],"state":"undecided"}'
        assert socket.response is not None
        assert "set-cookie" not in socket.response.headers
    with pytest.raises(Exception, match="403"):
        connect(f"ws://127.0.0.1:{port}/comments/ws")


class Wire:
    """Calls an ASGI application once, and keeps what it sent."""

    def __init__(self, app: Any) -> None:
        self.app = app
        self.sent: list[dict[str, Any]] = []

    def call(self, **more: Any) -> list[dict[str, Any]]:
        host = ORIGIN.partition("//")[2].encode()
        scope = {"type": "http", "method": "GET", "path": "/", "raw_path": b"/", "query_string": b"", "scheme": "http",
                 "headers": [(b"Host", host), (b"Accept", b"text/html")], **more}  # fmt: skip

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": b"", "more_body": False}

        async def send(message: Any) -> None:
            self.sent.append(dict(message))

        asyncio.run(self.app(scope, receive, send))
        return self.sent


def test_ways_past_the_filter_are_not_offered(made: Bandeau) -> None:
    seen: dict[str, Any] = {}

    async def app(scope: Any, _receive: Any, send: Any) -> None:
        seen.update(scope["extensions"])
        await send(
            {"type": "http.response.early_hint", "links": [b"<https://x.example>; rel=preconnect"]}
        )
        await send(
            {"type": "http.response.early_hint", "links": [b"</a.css>; rel=preload; as=style"]}
        )
        await send(
            {
                "type": "http.response.start",
                "status": 200,
                "headers": [(b"Content-Type", b"text/html")],
            }
        )
        await send({"type": "http.response.body", "body": PAGE.encode()})
        await send({"type": "http.response.trailers", "headers": []})

    offered: dict[str, dict[str, str]] = {
        "http.response.pathsend": {},
        "http.response.zerocopysend": {},
        "http.response.push": {},
        "tls": {},
    }
    sent = Wire(Middleware(app, made)).call(extensions=offered)
    assert list(seen) == ["tls"]
    assert [m["type"] for m in sent] == [
        "http.response.early_hint",
        "http.response.start",
        "http.response.body",
    ]
    assert sent[0]["links"] == [b"</a.css>; rel=preload; as=style"]
    assert b"data-bd-src" in sent[2]["body"]


def test_a_gate_that_fails_sends_nothing_of_the_page(
    made: Bandeau, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def app(_scope: Any, _receive: Any, send: Any) -> None:
        await send(
            {
                "type": "http.response.start",
                "status": 200,
                "headers": [(b"content-type", b"text/html")],
            }
        )
        await send({"type": "http.response.body", "body": b"ungated", "more_body": True})
        await send({"type": "http.response.body", "body": b"ungated"})

    def broken(*_: Any) -> None:
        raise RuntimeError("a mistake of ours")

    monkeypatch.setattr("bandeau.site.Exchange.response", broken)
    sent = Wire(Middleware(app, made)).call()
    assert sent[0]["status"] == 500
    assert b"ungated" not in b"".join(m.get("body", b"") for m in sent)
    assert "a mistake of ours" in caplog.text


def test_lifespan_is_the_application_s_own(made: Bandeau) -> None:
    seen = []

    async def app(scope: Any, _receive: Any, _send: Any) -> None:
        seen.append(scope["type"])

    Wire(Middleware(app, made)).call(type="lifespan")
    assert seen == ["lifespan"]
