"""One suite for every adapter: the same site, seen by the same visitors, must come out the same."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import AsyncIterator, Iterable, Iterator
from pathlib import Path
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import flask
import pytest
from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

import bandeau.django
import bandeau.flask
import bandeau.starlette
import serving
from bandeau import Bandeau
from bandeau.adapters.asgi import Receive, Scope, Send, read_body, request_of
from bandeau.adapters.proxy import Proxy
from bandeau.ledger.log import Log
from bandeau.ledger.place import store_at
from bandeau.policy.file import loads
from bandeau.wire.headers import RawHeaders
from conftest import MAPPED, SMALL
from serving import Answered, ask
from wire.tcf_strings import DAY, made

PAGE = b"<html lang=en><head><title>t</title></head><body><p>x<iframe src=//social.localhost/f></iframe></body></html>"
HTML = (b"content-type", b"text/html; charset=utf-8")
FORM = (b"Content-Type: application/x-www-form-urlencoded", b"Sec-Fetch-Site: same-origin")
ADAPTERS = ["asgi", "wsgi", "proxy", "django", "django-async", "flask", "starlette", "fastapi"]
METHODS = ["GET", "HEAD", "POST"]


def site(
    method: str, path: str, headers: RawHeaders, body: bytes
) -> tuple[int, RawHeaders, list[bytes]]:
    """Answer as the site of the suite does, whatever it is served by."""
    if path == "/page":
        cookies = [
            (b"set-cookie", b"junk=1; Path=/"),
            (b"set-cookie", b"session=2; Path=/; HttpOnly"),
        ]
        return (
            200,
            [HTML, *cookies, (b"etag", b'"v1"'), (b"link", b"<https://x.example>; rel=preconnect")],
            [PAGE],
        )
    if path == "/lasting":
        size = (b"content-length", b"%d" % len(PAGE))
        return 200, [HTML, (b"cache-control", b"public, max-age=60"), size], [PAGE]
    if path == "/stream":
        return 200, [HTML], [PAGE[at : at + 9] for at in range(0, len(PAGE), 9)]
    if path == "/file":
        return (
            200,
            [(b"content-type", b"application/zip"), (b"etag", b'"f"')],
            [bytes(range(256)) * 40],
        )
    if path == "/seen":
        seen = {name.decode(): value.decode("latin-1") for name, value in headers}
        return 200, [(b"content-type", b"application/json")], [json.dumps(seen).encode()]
    if path == "/echo":
        return 200, [(b"content-type", b"text/plain")], [method.encode(), b" ", body]
    if path == "/moved":
        return 302, [(b"location", b"https://x.example/p.gif")], [b"It has moved."]
    if path == "/empty":
        return 204, [], []
    return 404, [HTML], [b"<p>missing <iframe src=//social.localhost/f></iframe>"]


async def as_asgi(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] != "http":
        return
    request = request_of(scope)
    body = await read_body(receive, 1 << 24) or b""
    status, headers, chunks = site(request.method, request.path, request.headers, body)
    await send({"type": "http.response.start", "status": status, "headers": headers})
    for chunk in chunks[:-1]:
        await send({"type": "http.response.body", "body": chunk, "more_body": True})
    await send({"type": "http.response.body", "body": chunks[-1] if chunks else b""})


def as_wsgi(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    headers = [
        (k[5:].lower().replace("_", "-").encode(), v.encode("latin-1"))
        for k, v in environ.items()
        if k.startswith("HTTP_")
    ]
    body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    status, answered, chunks = site(environ["REQUEST_METHOD"], environ["PATH_INFO"], headers, body)
    start_response(f"{status} X", [(n.decode(), v.decode("latin-1")) for n, v in answered])
    return chunks if len(chunks) == 1 else iter(chunks)


def as_django(request: Any) -> Any:
    from django.core.handlers.asgi import ASGIRequest
    from django.http import HttpResponse, StreamingHttpResponse

    headers = [
        (k[5:].lower().replace("_", "-").encode(), v.encode("latin-1"))
        for k, v in request.META.items()
        if k.startswith("HTTP_")
    ]
    status, answered, chunks = site(request.method, request.path, headers, request.body)
    response: Any
    if request.path == "/stream":
        pieces: Any = _slowly(chunks) if isinstance(request, ASGIRequest) else chunks
        response = StreamingHttpResponse(pieces, status=status)
    else:
        response = HttpResponse(b"".join(chunks), status=status)
    for name, value in answered:
        text = value.decode("latin-1")
        if name == b"set-cookie":
            cookie, _, more = text.partition(";")
            response.set_cookie(*cookie.split("="), path="/", httponly="HttpOnly" in more)
        else:
            response[name.decode()] = text
    return response


def as_flask() -> Any:
    app = flask.Flask("site", static_folder=None)

    @app.route("/", defaults={"path": ""}, methods=METHODS)
    @app.route("/<path:path>", methods=METHODS)
    def everything(path: str) -> Any:
        asked = flask.request
        headers = [(k.lower().encode(), v.encode("latin-1")) for k, v in asked.headers.items()]
        status, answered, chunks = site(asked.method, f"/{path}", headers, asked.get_data())
        pieces = iter(chunks) if path == "stream" else chunks
        pairs = [(n.decode(), v.decode("latin-1")) for n, v in answered]
        return flask.Response(pieces, status, pairs)

    return app


async def as_starlette(request: Request) -> Response:
    status, answered, chunks = site(
        request.method, request.url.path, request.scope["headers"], await request.body()
    )
    response = (
        StreamingResponse(_slowly(chunks), status)
        if request.url.path == "/stream"
        else Response(b"".join(chunks), status)
    )
    own = [pair for pair in response.raw_headers if pair[0] not in dict(answered)]
    response.raw_headers = own + answered
    return response


def starlette_app(kind: str) -> Any:
    if kind == "starlette":
        return Starlette(routes=[Route("/{path:path}", as_starlette, methods=METHODS)])
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    app.api_route("/{path:path}", methods=METHODS)(as_starlette)
    return app


async def _slowly(chunks: list[bytes]) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk


class _Quiet(WSGIRequestHandler):
    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextlib.contextmanager
def wsgi_served(application: Any, port: int = 0) -> Iterator[int]:
    server: WSGIServer = make_server("127.0.0.1", port, application, handler_class=_Quiet)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield server.server_port
    server.shutdown()
    thread.join(5)
    server.server_close()


@contextlib.contextmanager
def served(adapter: str, folder: Path, policy: str) -> Iterator[int]:
    """Serve the site behind the gate, by one of the adapters."""
    with contextlib.ExitStack() as stack:
        if adapter.startswith("django"):
            from django.core.asgi import get_asgi_application
            from django.core.wsgi import get_wsgi_application
            from django.urls import re_path
            from django.views.decorators.csrf import csrf_exempt

            from adapters import django_site

            django_site.ready(folder, policy, re_path("", csrf_exempt(as_django)))
            stack.callback(bandeau.django.site().close)
            if adapter == "django":
                yield stack.enter_context(wsgi_served(get_wsgi_application()))
            else:
                yield stack.enter_context(serving.running(get_asgi_application(), lifespan=False))
            return
        file, ledger = folder / "bandeau.toml", f"sqlite:///{folder / 'bandeau.db'}"
        file.write_text(policy, "utf-8")
        if adapter == "flask":
            flask_app = as_flask()
            flask_app.config.update(BANDEAU_POLICY=file, BANDEAU_LEDGER=ledger)
            bandeau.flask.Bandeau(flask_app)
            yield stack.enter_context(wsgi_served(flask_app))
            flask_app.extensions["bandeau"].close()
            return
        if adapter in ("starlette", "fastapi"):
            app = starlette_app(adapter)
            app.add_middleware(bandeau.starlette.Middleware, policy=file, ledger=ledger)
            yield stack.enter_context(serving.running(app))
            return
        made = Bandeau.from_policy(loads(policy), ledger)
        assert isinstance(made, Bandeau)
        stack.callback(made.close)
        if adapter == "asgi":
            yield stack.enter_context(serving.running(made.asgi(as_asgi), lifespan=False))
        elif adapter == "wsgi":
            yield stack.enter_context(wsgi_served(made.wsgi(as_wsgi)))
        else:
            behind = stack.enter_context(serving.running(as_asgi, lifespan=False))
            yield stack.enter_context(serving.running(Proxy(made, f"http://127.0.0.1:{behind}")))


@pytest.fixture(scope="module", params=ADAPTERS)
def port(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    with served(request.param, tmp_path_factory.mktemp(request.param), SMALL) as found:
        yield found


def choice(port: int, body: bytes, *lines: bytes) -> Answered:
    return ask(port, "/_b/choice", *FORM, *lines, method="POST", body=body)


def cookie_of(answered: Answered) -> bytes:
    (line,) = (value for value in answered.every(b"set-cookie") if value.startswith(b"bandeau="))
    return b"Cookie: " + line.partition(b";")[0]


def test_a_first_visit(port: int) -> None:
    answered = ask(port, "/page")
    assert answered.status == 200
    assert b"data-bd-src=//social.localhost/f" in answered.body
    assert answered.body.count(b'<section id="bandeau"') == 1
    assert answered.body.count(b'<section id="bandeau-state"') == 1
    assert [line.partition(b"=")[0] for line in answered.every(b"set-cookie")] == [b"session"]
    assert not answered.every(b"link")
    assert b", ".join(answered.every(b"content-security-policy")).count(b"worker-src") == 1
    assert answered.every(b"cache-control") == [b"private, no-cache"]
    assert answered.every(b"etag")[0].startswith(b'W/"v1-bd')
    assert not any(
        int(length) != len(answered.body) for length in answered.every(b"content-length")
    )


def test_streams(port: int) -> None:
    body = ask(port, "/stream").body
    assert b"data-bd-src=//social.localhost/f" in body
    assert body.endswith(b"</html>")


def test_a_page_that_many_may_see_is_made_once_for_each_state(port: int) -> None:
    undecided = [ask(port, "/lasting") for _ in range(3)]
    granted = cookie_of(choice(port, b"choice=all"))
    allowed = [ask(port, "/lasting", granted) for _ in range(3)]
    for bodies in ({one.body for one in undecided}, {one.body for one in allowed}):
        (body,) = bodies
        assert body.endswith(b"</html>")
    assert b"data-bd-src=//social.localhost/f" in undecided[0].body
    assert b"data-bd-src=//social.localhost/f" not in allowed[0].body
    assert undecided[0].every(b"cache-control") == [b"private, no-cache"]


def test_files_pass_as_they_are(port: int) -> None:
    answered = ask(port, "/file", b"Accept: */*", b"Sec-Fetch-Dest: empty")
    assert answered.body == bytes(range(256)) * 40
    assert answered.every(b"etag") == [b'"f"']


def test_a_downloader_gets_a_part_and_a_page_comes_whole(port: int) -> None:
    part = (b"Accept: */*", b"Range: bytes=5-9")
    assert json.loads(ask(port, "/seen", *part).body)["range"] == "bytes=5-9"
    old_browser = (b"Accept: text/html,*/*;q=0.8", b"Range: bytes=5-9")
    assert "range" not in json.loads(ask(port, "/seen", *old_browser).body)
    assert "range" not in json.loads(ask(port, "/seen", *part, b"Sec-Fetch-Dest: iframe").body)


def test_what_the_site_sees(port: int) -> None:
    answered = ask(
        port, "/seen", b"Cookie: session=1; junk=2; sq_a=3", b"BD-Purposes: ads", b"X-Geo-Country: FR",
        b'If-None-Match: "v1"', b"Accept: text/html", b"Sec-Fetch-Dest: document",
    )  # fmt: skip
    seen = json.loads(answered.body)
    assert seen["cookie"] == "session=1"
    assert seen["bd-purposes"] == ""
    assert "x-geo-country" not in seen
    assert "if-none-match" not in seen
    swept = answered.every(b"set-cookie")
    assert {line.partition(b"=")[0] for line in swept} == {b"junk", b"sq_a"}
    assert len(swept) >= 6
    assert all(b"Max-Age=0" in line for line in swept)


def test_a_life(port: int) -> None:
    granted = cookie_of(choice(port, b"choice=add&purpose=social&back=/page"))
    page = ask(port, "/page", granted)
    assert b"<iframe src=//social.localhost/f>" in page.body
    assert b'data-state="partial"' in page.body
    assert json.loads(ask(port, "/seen", granted).body)["bd-purposes"] == "social"
    assert ask(port, "/comments/1").status == 403
    assert ask(port, "/comments/1", granted).status == 404
    withdrawn = choice(port, b"choice=none", granted)
    assert withdrawn.every(b"clear-site-data") == [b'"storage"']
    assert b"data-bd-src" in ask(port, "/page", cookie_of(withdrawn)).body


def test_forgeries(port: int) -> None:
    assert ask(port, "/_b/choice", method="POST", body=b"choice=all").status == 403
    assert ask(port, "/_b/choice?choice=all").status == 405
    assert choice(port, b"x" * 70_000).status == 413
    assert choice(port, b"choice=perhaps").status == 400


def test_bodies_errors_and_empty_answers(port: int) -> None:
    body = b"a=1&b=%C3%A9" * 3000
    assert (
        ask(port, "/echo", b"Content-Type: text/plain", method="POST", body=body).body
        == b"POST " + body
    )
    missing = ask(port, "/nowhere")
    assert missing.status == 404
    assert b"data-bd-src" in missing.body
    assert missing.every(b"content-security-policy")
    assert ask(port, "/empty").status == 204
    held = ask(port, "/moved", b"Sec-Fetch-Dest: image", b"Accept: */*")
    assert (held.status, held.body) == (204, b"")
    moved = ask(port, "/moved")
    assert moved.status == 302
    assert b"It has moved." in moved.body


def test_our_own_pages(port: int) -> None:
    assert b'<html lang="en"' in ask(port, "/_b/settings?lang=en").body
    assert ask(port, "/_b/health").body == b"ok\n"
    assert ask(port, "/_b/none").status == 404
    assert ask(port, "/_b/trackers", b"Accept: application/json").every(b"content-type") == [
        b"application/json"
    ]


def test_paths_in_other_spellings_stay_closed(port: int) -> None:
    for path in ("/Comments/1", "//comments/1", "/a/../comments/1", "/%63omments/1"):
        assert ask(port, path).status == 403, path


def test_the_seen_cookie_header_is_never_empty(port: int) -> None:
    assert "cookie" not in json.loads(ask(port, "/seen", b"Cookie: junk=1").body)


@pytest.mark.parametrize("adapter", ADAPTERS)
def test_a_platform_s_string_is_recorded_before_the_site_is_asked(
    adapter: str, tmp_path: Path
) -> None:
    today = int(time.time()) // 86_400 * DAY
    string = made((1, 2, 8, 11), (10, 20), special_features=(1,), created=today, updated=today)
    sent = b"Cookie: euconsent-v2=" + string.encode()
    fetched = b"Sec-Fetch-Dest: empty"

    def told(answered: Answered) -> str:
        return str(json.loads(answered.body)["bd-purposes"])

    with served(adapter, tmp_path, MAPPED) as port:
        assert told(ask(port, "/seen", sent, fetched)) == ""
        page = ask(port, "/seen", sent)
        assert told(page) == "audience, ads, social"
        both = sent + b"; " + cookie_of(page).removeprefix(b"Cookie: ")
        again = ask(port, "/seen", both, fetched)
        assert told(again) == "audience, ads, social"
        assert not again.every(b"set-cookie")
        assert told(ask(port, "/seen", cookie_of(page))) == ""
        assert choice(port, b"choice=all", both).status == 403
        assert ask(port, "/slot/1", sent, fetched).status == 204
        assert ask(port, "/slot/1", both, fetched).status == 404  # the site's own word
    log = Log(store_at(f"sqlite:///{tmp_path / 'bandeau.db'}"))
    assert [noted.decision.layer for noted in log.decisions()] == ["tcf"]
    log.store.close()
