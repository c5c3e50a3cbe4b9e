"""Sites of the size of a tutorial, with sessions, forms, uploads and messages, behave as without us."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from adapters.test_scenarios import wsgi_served
from conftest import SMALL
from serving import Answered, ask

UPLOAD = (
    b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.bin"\r\n\r\n'
    + bytes(range(256)) * 400
    + b"\r\n--x"
)


def preset(name: str) -> str:
    return SMALL.replace("own_hosts", f'presets = ["{name}"]\nown_hosts', 1)


def django_views(hostile: str = "") -> list[Any]:
    from django.contrib import messages
    from django.http import HttpResponse, HttpResponseRedirect, StreamingHttpResponse
    from django.middleware.csrf import get_token
    from django.urls import path
    from django.views.decorators.csrf import csrf_exempt

    def home(request: Any) -> Any:
        if request.method == "POST":
            messages.success(request, f"thanks, {request.POST['name']}")
            return HttpResponseRedirect("/")
        request.session["seen"] = request.session.get("seen", 0) + 1
        said = " ".join(map(str, messages.get_messages(request)))
        response = HttpResponse(
            f"<html><body><p>seen {request.session['seen']} times [{said}] {request.consent.state}"
            f"<form method=post><input name=csrfmiddlewaretoken value={get_token(request)}></form>"
        )
        response.set_cookie("tracker", "1")
        return response

    @csrf_exempt  # type: ignore[untyped-decorator]
    def upload(request: Any) -> Any:
        return HttpResponse(str(len(request.FILES["file"].read())), content_type="text/plain")

    def stream(_request: Any) -> Any:
        return StreamingHttpResponse((f"<p>{n}</p>" for n in range(50)), content_type="text/html")

    def probes(_request: Any) -> Any:
        return HttpResponse(hostile)

    views = {"": home, "upload": upload, "stream": stream, "probes": probes}
    return [path(where, view) for where, view in views.items()]


def flask_app(hostile: str = "") -> Any:
    import flask

    from bandeau.flask import consent

    app = flask.Flask("site")
    app.secret_key = "-"

    @app.route("/", methods=["GET", "POST"])
    def home() -> Any:
        if flask.request.method == "POST":
            flask.flash(f"thanks, {flask.request.form['name']}")
            return flask.redirect("/")
        flask.session["seen"] = flask.session.get("seen", 0) + 1
        said = " ".join(map(str, flask.get_flashed_messages()))
        response = flask.make_response(
            f"<html><body><p>seen {flask.session['seen']} times [{said}] {consent.state}"
        )
        response.set_cookie("tracker", "1")
        return response

    @app.post("/upload")
    def upload() -> Any:
        return flask.Response(str(len(flask.request.files["file"].read())), mimetype="text/plain")

    @app.route("/stream")
    def stream() -> Any:
        return flask.Response((f"<p>{n}</p>" for n in range(50)), mimetype="text/html")

    @app.route("/probes")
    def probes() -> Any:
        return hostile

    return app


@pytest.fixture(scope="module", params=["django", "flask"])
def port(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    folder: Path = tmp_path_factory.mktemp(request.param)
    with contextlib.ExitStack() as stack:
        if request.param == "django":
            from django.core.wsgi import get_wsgi_application

            import bandeau.django
            from adapters import django_site

            django_site.ready(folder, preset("django"), *django_views())
            yield stack.enter_context(wsgi_served(get_wsgi_application()))
            bandeau.django.site().close()
        else:
            import bandeau.flask

            app, file = flask_app(), folder / "bandeau.toml"
            file.write_text(preset("flask"), "utf-8")
            app.config.update(BANDEAU_POLICY=file, BANDEAU_LEDGER=f"sqlite:///{folder / 'b.db'}")
            bandeau.flask.Bandeau(app)
            stack.callback(app.extensions["bandeau"].close)
            yield stack.enter_context(wsgi_served(app))


class Visitor:
    """Keeps cookies as a browser would, by name."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.jar: dict[bytes, bytes] = {}

    def ask(self, path: str, *lines: bytes, **more: Any) -> Answered:
        sent = b"; ".join(name + b"=" + value for name, value in self.jar.items())
        answered = ask(self.port, path, *lines, *([b"Cookie: " + sent] if sent else []), **more)
        for line in answered.every(b"set-cookie"):
            name, _, value = line.partition(b";")[0].partition(b"=")
            if value.strip(b'"') and b"max-age=0" not in line.lower():
                self.jar[name] = value
            else:
                self.jar.pop(name, None)
        return answered


def test_sessions_forms_and_messages(port: int) -> None:
    visitor = Visitor(port)
    for times in (1, 2, 3):
        body = visitor.ask("/").body.decode()
        assert f"seen {times} times [] undecided" in body
    assert b"tracker" not in visitor.jar
    token = re.search(r"value=(\w{20,})", body)
    form = b"name=Zo%C3%A9" + (f"&csrfmiddlewaretoken={token[1]}".encode() if token else b"")
    kind = (
        b"Content-Type: application/x-www-form-urlencoded",
        b"Origin: http://www.own.localhost:9000",
    )
    assert visitor.ask("/", *kind, method="POST", body=form).status == 302
    assert "[thanks, Zoé]" in visitor.ask("/").body.decode()
    assert "[]" in visitor.ask("/").body.decode()


@pytest.mark.parametrize("port", ["django"], indirect=True)  # Flask has no protection of its own
def test_a_forged_form_is_the_framework_s_matter(port: int) -> None:
    assert b"csrfmiddlewaretoken" in ask(port, "/").body
    kind = b"Content-Type: application/x-www-form-urlencoded"
    assert ask(port, "/", kind, method="POST", body=b"name=x").status == 403


def test_uploads_and_streams(port: int) -> None:
    kind = b"Content-Type: multipart/form-data; boundary=x"
    assert ask(port, "/upload", kind, method="POST", body=UPLOAD + b"--\r\n").body == b"102400"
    assert b"<p>49</p>" in ask(port, "/stream").body


def test_a_choice_holds(port: int) -> None:
    visitor = Visitor(port)
    form = (b"Content-Type: application/x-www-form-urlencoded", b"Sec-Fetch-Site: same-origin")
    assert visitor.ask("/_b/choice", *form, method="POST", body=b"choice=none").status == 303
    assert "refused" in visitor.ask("/").body.decode()
    assert "seen 2 times" in visitor.ask("/").body.decode()
