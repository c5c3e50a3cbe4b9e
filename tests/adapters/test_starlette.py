"""Starlette and FastAPI: start and end, dependencies and their OpenAPI, what comes after a response."""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Annotated, Any

import pytest
from fastapi import APIRouter, BackgroundTasks, Depends, FastAPI, WebSocket
from fastapi.responses import PlainTextResponse, StreamingResponse
from jinja2 import DictLoader, Environment
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.templating import Jinja2Templates
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from bandeau import Consent
from bandeau.errors import LedgerError, PolicyError
from bandeau.starlette import Middleware, consent, needs, templates
from conftest import ORIGIN, SMALL
from serving import ask, running

PAGE = '{% if consent.allows("social") %}<p>the square{% else %}{{ consent_placeholder("social", lang="fr") }}{% endif %}'
FORM = (b"Content-Type: application/x-www-form-urlencoded", b"Sec-Fetch-Site: same-origin")
JSON = (b"Accept: application/json", b"Sec-Fetch-Dest: empty")
pages = Jinja2Templates(
    env=Environment(loader=DictLoader({"page.html": PAGE}), autoescape=True),
    context_processors=[templates],
)
social, both = needs("social"), needs("social", "ads")
CDN = """
[[service]]
id = "jsdelivr"
purpose = "social"
recipient = "jsDelivr"
hosts = [{ host = "cdn.jsdelivr.net", kinds = ["script", "style"] }]
"""
done: list[str] = []
ended = threading.Event()
routes = APIRouter()


@routes.get("/state", response_class=PlainTextResponse)
async def state(now: Annotated[Consent, Depends(consent)]) -> str:
    return f"{now.state} {sorted(now.granted)} {now.allows('social')}"


@routes.get("/square", response_class=PlainTextResponse, responses=social.responses)
async def square(now: Annotated[Consent, Depends(social)], response: Response) -> str:
    response.set_cookie("session", "1")
    return f"the square, {now.state}"


@routes.get("/both", dependencies=[Depends(both)], responses=both.responses)
def both_needed() -> list[str]:
    return ["both"]


async def plain(request: Request) -> Response:
    """A view of Starlette's own kind."""
    await social(request)
    return PlainTextResponse("plain")


routes.add_route("/plain", plain)


@routes.get("/part")
async def part(request: Request) -> Response:
    return pages.TemplateResponse(request, "page.html")


@routes.get("/stream")
async def stream(tasks: BackgroundTasks) -> StreamingResponse:
    async def pieces() -> AsyncIterator[str]:
        for number in range(30):
            yield f"<p>{number}"
            await asyncio.sleep(0)

    tasks.add_task(ended.set)
    return StreamingResponse(pieces(), media_type="text/html")


@routes.websocket("/socket")
async def socket(websocket: WebSocket, now: Annotated[Consent, Depends(consent)]) -> None:
    await websocket.accept()
    await websocket.send_text(f"{now.state} {await websocket.receive_text()}")
    await websocket.close()


@routes.websocket("/square/socket")
async def closed_socket(websocket: WebSocket, _: Annotated[Consent, Depends(social)]) -> None:
    await websocket.accept()
    await websocket.close()


def made(folder: Path, policy: str = SMALL) -> FastAPI:
    (folder / "bandeau.toml").write_text(policy, "utf-8")

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        done.append("started")
        yield
        done.append("ended")

    app = FastAPI(lifespan=lifespan)
    app.include_router(routes)
    app.add_middleware(BaseHTTPMiddleware, dispatch=_through)
    app.add_middleware(
        Middleware, policy=folder / "bandeau.toml", ledger=f"sqlite:///{folder / 'b.db'}"
    )
    return app


async def _through(request: Request, following: Any) -> Any:
    return await following(request)


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    with running(made(tmp_path_factory.mktemp("fastapi"), SMALL + CDN)) as found:
        yield found


@pytest.fixture(scope="module")
def granted(port: int) -> bytes:
    answered = ask(port, "/_b/choice", *FORM, method="POST", body=b"choice=add&purpose=social")
    (line,) = (v for v in answered.every(b"set-cookie") if v.startswith(b"bandeau="))
    return b"Cookie: " + line.partition(b";")[0]


def test_a_dependency_gives_the_consent(port: int, granted: bytes) -> None:
    assert ask(port, "/state").body == b"undecided [] False"
    assert ask(port, "/state", granted).body == b"partial ['social'] True"


def test_a_route_that_needs_purposes_is_closed_by_our_own_page(port: int, granted: bytes) -> None:
    closed = ask(port, "/square", b"Accept: text/html", b"Sec-Fetch-Dest: document")
    assert closed.status == 403
    assert b'<input type="hidden" name="purpose" value="social">' in closed.body
    assert closed.body.count(b'<section id="bandeau-state"') == 1
    assert not closed.every(b"set-cookie")
    assert int(closed.every(b"content-length")[0]) == len(closed.body)
    opened = ask(port, "/square", granted)
    assert (opened.status, opened.body) == (200, b"the square, partial")
    assert ask(port, "/both", granted).status == 403
    assert ask(port, "/plain", granted).body == b"plain"
    head = ask(port, "/plain", method="HEAD")
    assert (head.status, head.body) == (403, b"")


def test_clients_that_accept_json_are_told_what_is_missing(port: int, granted: bytes) -> None:
    closed = ask(port, "/both", granted, *JSON)
    assert closed.status == 403
    assert json.loads(closed.body) == {"error": "closed", "needs": ["ads"]}


def test_openapi_says_what_a_route_needs_and_what_its_403_means(port: int) -> None:
    document = json.loads(ask(port, "/openapi.json", *JSON).body)
    assert "403" not in document["paths"]["/state"]["get"]["responses"]
    described = document["paths"]["/both"]["get"]["responses"]["403"]
    assert "has not agreed to social, ads" in described["description"]
    content = described["content"]
    assert content["text/html"]["schema"] == {"type": "string"}
    assert content["application/json"]["example"] == json.loads(ask(port, "/both", *JSON).body)
    assert "needs" in content["application/json"]["schema"]["properties"]


def test_the_docs_page_waits_for_its_cdn(port: int, granted: bytes) -> None:
    for sent, opened in ((), False), ((granted,), True):
        docs = ask(port, "/docs", *sent)
        assert b'src="https://cdn.jsdelivr.net/' in docs.body
        policies = b", ".join(docs.every(b"content-security-policy"))
        assert b"default-src 'self'" in policies
        assert (b"cdn.jsdelivr.net" in policies) is opened


def test_a_template_shows_a_part_or_what_stands_for_it(port: int, granted: bytes) -> None:
    held = ask(port, "/part").body
    assert b"the square" not in held
    assert b'data-bandeau-needs="social" lang="fr"' in held
    shown = ask(port, "/part", granted).body
    assert b"<p>the square" in shown
    assert b"data-bandeau-needs" not in shown


def test_streams_and_what_is_done_after_them(port: int) -> None:
    body = ask(port, "/stream").body
    assert b"<p>29" in body
    assert b'<section id="bandeau-state"' in body
    assert ended.wait(10)


def test_websockets_pass_and_know_the_consent(port: int) -> None:
    headers = {"Origin": ORIGIN}
    with connect(f"ws://127.0.0.1:{port}/socket", additional_headers=headers, proxy=None) as one:
        one.send("hello")
        assert one.recv() == "undecided hello"
        with pytest.raises(ConnectionClosed):
            one.recv()
    with pytest.raises(InvalidStatus, match="403"):
        connect(f"ws://127.0.0.1:{port}/square/socket", additional_headers=headers, proxy=None)


def lifespan_messages(app: Any, *received: str) -> list[dict[str, Any]]:
    sent: list[dict[str, Any]] = []
    waiting = iter(received)

    async def receive() -> dict[str, Any]:
        return {"type": next(waiting)}

    async def send(message: Any) -> None:
        sent.append(dict(message))

    scope = {"type": "lifespan", "asgi": {"version": "3.0"}, "state": {}}
    with contextlib.suppress(PolicyError):
        asyncio.run(app(scope, receive, send))
    return sent


def test_a_policy_that_cannot_be_used_stops_the_start_with_all_its_problems(
    tmp_path: Path,
) -> None:
    app = made(tmp_path, SMALL.replace("[site]", "[site]\nspeed = 3\norigin = 4"))
    done.clear()
    (failed,) = lifespan_messages(app, "lifespan.startup")
    assert failed["type"] == "lifespan.startup.failed"
    assert "speed" in failed["message"]
    assert "origin" in failed["message"]
    assert done == []


def test_the_site_closes_after_the_application_and_opens_again(tmp_path: Path) -> None:
    gates: list[Any] = []

    class Kept(Middleware):
        def _opened(self) -> Any:
            gates.append(super()._opened())
            return gates[-1]

    (tmp_path / "bandeau.toml").write_text(SMALL, "utf-8")

    async def inner(_scope: Any, receive: Any, send: Any) -> None:
        for _ in range(2):
            done.append(type(gates[-1].site.ledger.store.head()).__name__)
            kind = (await receive())["type"]
            await send({"type": f"{kind}.complete"})

    app = Kept(inner, tmp_path / "bandeau.toml", f"sqlite:///{tmp_path / 'b.db'}")
    for _ in range(2):
        done.clear()
        sent = lifespan_messages(app, "lifespan.startup", "lifespan.shutdown")
        assert [one["type"].rpartition(".")[2] for one in sent] == ["complete", "complete"]
        assert done == ["Head", "Head"]  # open from before the application's start to after its end
        with pytest.raises(LedgerError):
            gates[-1].site.ledger.store.head()
    assert gates[0] is not gates[1]


def test_without_lifespan_events_the_first_request_opens_the_site(tmp_path: Path) -> None:
    with running(made(tmp_path), lifespan=False) as port:
        assert ask(port, "/state").body == b"undecided [] False"


def test_a_route_outside_of_the_gate_says_so() -> None:
    with pytest.raises(TypeError, match="add_middleware"):
        asyncio.run(consent(Request({"type": "http", "headers": []})))
