"""The Flask extension: start and its mistakes, views and templates, what stands around the application."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import subprocess
import sys
import time
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import flask
import pytest
from markupsafe import Markup
from werkzeug.middleware.proxy_fix import ProxyFix

from bandeau.errors import BandeauError, LedgerError, PolicyError
from bandeau.flask import Bandeau, consent, needs, placeholder
from bandeau.ledger.entry import Kind
from bandeau.site import Site
from conftest import ORIGIN, SMALL

HTML = {"Accept": "text/html", "Sec-Fetch-Dest": "document"}
Make = Callable[..., flask.Flask]
bandeau = Bandeau()


@pytest.fixture
def create_app(tmp_path: Path) -> Iterator[Make]:
    made: list[flask.Flask] = []

    def create(
        name: str = "site",
        policy: str = SMALL,
        prepare: Callable[[flask.Flask], None] | None = None,
        **config: Any,
    ) -> flask.Flask:
        file = tmp_path / f"{name}.toml"
        file.write_text(policy, "utf-8")
        app = flask.Flask(name, static_folder=None)
        app.config.update(
            BANDEAU_POLICY=file, BANDEAU_LEDGER=f"sqlite:///{tmp_path / name}/b.db", **config
        )
        if prepare:
            prepare(app)
        bandeau.init_app(app)
        app.register_blueprint(views)
        made.append(app)
        return app

    yield create
    for app in made:
        app.extensions["bandeau"].close()


def plain(text: str) -> flask.Response:
    return flask.Response(text, mimetype="text/plain")


views = flask.Blueprint("views", __name__)


@views.get("/state")
def state() -> flask.Response:
    return plain(f"{consent.state} {sorted(consent.granted)} {consent.allows('social')}")


@views.route("/square", methods=["GET", "HEAD"])
@needs("social")
def square() -> flask.Response:
    response = plain("the square")
    response.set_cookie("session", "1")
    return response


@views.get("/slowly")
@needs("social", "ads")
async def slowly() -> flask.Response:
    await asyncio.sleep(0)
    return plain("both")


@views.get("/wrong")
@needs("sociable")
def wrong() -> str:
    return "never"


@views.get("/part")
def part() -> str:
    return flask.render_template_string(
        '<html lang="fr"><body>{% if consent.allows("social") %}<p>the square</p>'
        '{% else %}{{ consent_placeholder("social", lang="fr") }}{% endif %}'
    )


def choose(client: Any, **form: str) -> None:
    done = client.post(
        "/_b/choice", base_url=ORIGIN, data=form, headers={"Sec-Fetch-Site": "same-origin"}
    )
    assert done.status_code == 303, done.text


def test_views_know_the_consent(create_app: Make) -> None:
    client = create_app().test_client()
    assert client.get("/state", base_url=ORIGIN).text == "undecided [] False"
    choose(client, choice="add", purpose="social")
    assert client.get("/state", base_url=ORIGIN).text == "partial ['social'] True"
    assert client.get("/state").text == "undecided [] False"  # localhost is no origin of the site


def test_a_view_that_needs_purposes_is_closed_by_our_own_page(create_app: Make) -> None:
    client = create_app().test_client()
    closed = client.get("/square", base_url=ORIGIN, headers={**HTML, "Accept-Language": "en"})
    assert closed.status_code == 403
    assert '<input type="hidden" name="purpose" value="social">' in closed.text
    assert '<input type="hidden" name="back" value="/square">' in closed.text
    assert '<html lang="en"' in closed.text
    assert closed.text.count('<section id="bandeau-state"') == 1
    assert not closed.headers.getlist("Set-Cookie")
    assert closed.headers["Cache-Control"] == "no-store"
    choose(client, choice="add", purpose="social")
    opened = client.get("/square", base_url=ORIGIN)
    assert (opened.status_code, opened.text) == (200, "the square")
    assert opened.headers["Set-Cookie"].startswith("session=1")
    choose(client, choice="none")
    assert client.get("/square", base_url=ORIGIN).status_code == 403


def test_machines_are_told_what_is_missing(create_app: Make) -> None:
    client = create_app().test_client()
    asked = {"Accept": "application/json"}
    found = client.get("/slowly", base_url=ORIGIN, headers=asked)
    assert found.status_code == 403
    assert found.get_json() == {"error": "closed", "needs": ["social", "ads"]}
    choose(client, choice="add", purpose="ads")
    found = client.get("/slowly", base_url=ORIGIN, headers=asked)
    assert found.get_json() == {"error": "closed", "needs": ["social"]}


def test_an_asynchronous_view_opens_once_all_is_granted(create_app: Make) -> None:
    client = create_app().test_client()
    choose(client, choice="all")
    assert client.get("/slowly", base_url=ORIGIN).text == "both"


def test_a_closed_view_has_no_body_for_head(create_app: Make) -> None:
    client = create_app().test_client()
    got, head = (
        client.open("/square", base_url=ORIGIN, method=method) for method in ("GET", "HEAD")
    )
    assert (head.status_code, head.data) == (403, b"")
    assert head.headers["Content-Length"] == got.headers["Content-Length"] == str(len(got.data))


def test_an_unknown_purpose_of_a_view_is_said(create_app: Make) -> None:
    client = create_app(TESTING=True).test_client()
    with pytest.raises(PolicyError, match="sociable"):
        client.get("/wrong", base_url=ORIGIN)


def test_a_template_shows_a_part_or_what_stands_for_it(create_app: Make) -> None:
    client = create_app().test_client()
    page = client.get("/part", base_url=ORIGIN, headers=HTML).text
    assert "the square" not in page
    assert page.count('data-bandeau-needs="social" lang="fr"') == 1
    assert page.count('<button form="bandeau-add-social" name="choice" value="add">') == 1
    assert '<form id="bandeau-add-social"' in page
    choose(client, choice="add", purpose="social")
    page = client.get("/part", base_url=ORIGIN, headers=HTML).text
    assert "<p>the square</p>" in page
    assert "data-bandeau-needs" not in page


def test_a_page_s_script_learns_that_a_part_of_it_may_be_shown_now(create_app: Make) -> None:
    client = create_app().test_client()
    form = {"choice": "add", "purpose": "ads", "held": ["needs:social", "needs:ads social"]}
    headers = {"Sec-Fetch-Site": "same-origin", "Accept": "application/json"}
    done = client.post("/_b/choice", base_url=ORIGIN, data=form, headers=headers)
    assert done.get_json()["held_back"] == ["needs:ads social"]


def test_a_request_made_by_hand_meets_the_gate_too(create_app: Make) -> None:
    app = create_app()
    sent = {"Cookie": "bandeau=forged"}
    with app.test_request_context("/state", base_url=ORIGIN, headers=sent):
        assert consent.state == "undecided"
        assert isinstance(placeholder("social"), Markup)
        assert "social" in placeholder("social")


def test_applications_of_one_process_have_their_own_policies(create_app: Make) -> None:
    other = SMALL.replace(ORIGIN, "http://other.localhost:9000")
    one, two = create_app("one").test_client(), create_app("two", other).test_client()
    choose(one, choice="all")
    assert one.get("/state", base_url=ORIGIN).text.startswith("granted")
    cookie = one.get_cookie("bandeau", domain="www.own.localhost")
    assert cookie
    sent = {"Cookie": f"bandeau={cookie.value}"}
    assert two.get("/state", base_url=ORIGIN, headers=sent).text.startswith("undecided")
    assert "choice" in two.get("/part", base_url="http://other.localhost:9000", headers=HTML).text


def test_two_applications_may_share_a_policy_and_a_ledger(create_app: Make) -> None:
    one, two = create_app().test_client(), create_app().test_client()
    choose(one, choice="all")
    cookie = one.get_cookie("bandeau", domain="www.own.localhost")
    assert cookie
    two.set_cookie("bandeau", cookie.value, domain="www.own.localhost")
    assert two.get("/state", base_url=ORIGIN).text.startswith("granted")
    choose(two, choice="none")
    assert two.get("/state", base_url=ORIGIN).text.startswith("refused")


def test_a_site_closes_with_its_application(create_app: Make, tmp_path: Path) -> None:
    app = flask.Flask("short")
    file = tmp_path / "short.toml"
    file.write_text(SMALL, "utf-8")
    app.config.update(BANDEAU_POLICY=file, BANDEAU_LEDGER=f"sqlite:///{tmp_path}/short.db")
    bandeau.init_app(app)
    site, gone = app.extensions["bandeau"], weakref.ref(app)
    assert isinstance(site, Site)
    assert site.ledger.store.head()
    del app
    gc.collect()
    assert gone() is None
    with pytest.raises(LedgerError):
        site.ledger.store.head()


def test_the_gate_stands_inside_a_proxy_fix(create_app: Make) -> None:
    def behind(app: flask.Flask) -> None:
        app.wsgi_app = ProxyFix(app.wsgi_app, x_host=1, x_proto=1)  # type: ignore[method-assign]

    sent = {"X-Forwarded-Host": ORIGIN.partition("//")[2], "X-Forwarded-Proto": "http", **HTML}
    before, after = create_app("before", prepare=behind), create_app("after")
    behind(after)
    for app in (before, after):
        page = app.test_client().get("/part", headers=sent).text
        assert page.count('<section id="bandeau"') == 1


def test_an_owner_s_mistakes_are_all_said_at_start(tmp_path: Path) -> None:
    app = flask.Flask("wrong")
    app.config.update(BANDEAU_LEGDER="sqlite:///b.db", BANDEAU_PREFIX="/x")
    with pytest.raises(BandeauError) as caught:
        Bandeau(app)
    for word in ("BANDEAU_POLICY", "BANDEAU_LEGDER", "BANDEAU_PREFIX"):
        assert word in str(caught.value)
    file = tmp_path / "bandeau.toml"
    file.write_text(SMALL.replace("[site]", "[site]\nspeed = 3\norigin = 4"), "utf-8")
    app = flask.Flask("wrong")
    app.config.update(BANDEAU_POLICY=file, BANDEAU_LEDGER=f"sqlite:///{tmp_path / 'b.db'}")
    with pytest.raises(PolicyError) as found:
        Bandeau(app)
    assert len(found.value.problems) >= 2
    assert "bandeau" not in app.extensions


def test_an_application_goes_behind_the_gate_once(create_app: Make) -> None:
    with pytest.raises(RuntimeError, match="already"):
        Bandeau(create_app())


MODULE = """
from flask import Flask
from bandeau.flask import Bandeau
app = Flask(__name__)
app.config.update(BANDEAU_POLICY="bandeau.toml", BANDEAU_LEDGER="sqlite:///b.db")
site = Bandeau(app)
app.add_url_rule("/", view_func=lambda: "FIRST")
"""


@pytest.mark.skipif(
    "BANDEAU_PROVE" not in os.environ, reason="BANDEAU_PROVE=1 starts flask run --debug"
)
def test_the_debugger_s_reloader_makes_the_site_anew(tmp_path: Path) -> None:
    (tmp_path / "bandeau.toml").write_text(SMALL, "utf-8")
    (tmp_path / "app.py").write_text(MODULE, "utf-8")
    port = _free()
    server = subprocess.Popen(
        [sys.executable, "-m", "flask", "--app", "app", "run", "--debug", "--port", str(port)],
        cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True,
    )  # fmt: skip
    try:
        assert _comes(port, b"FIRST")
        (tmp_path / "app.py").write_text(MODULE.replace("FIRST", "SECOND"), "utf-8")
        assert _comes(port, b"SECOND")
    finally:
        os.killpg(server.pid, signal.SIGTERM)  # the reloader and what it started
        server.communicate(timeout=20)
    site = Site.from_file(tmp_path / "bandeau.toml", f"sqlite:///{tmp_path / 'b.db'}")
    modes = site.ledger.store.events([Kind.MODE])
    site.close()
    assert len(modes) == 1


def _free() -> int:
    from bandeau.adapters.server import listening

    with listening("127.0.0.1", 0) as bound:
        return int(bound.getsockname()[1])


def _comes(port: int, body: bytes) -> bool:
    from serving import ask

    until = time.monotonic() + 60
    while time.monotonic() < until:
        try:
            if ask(port, "/").body.find(body) >= 0:
                return True
        except OSError:
            pass
        time.sleep(0.2)
    return False
