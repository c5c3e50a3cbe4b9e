"""Django's and Flask's own small sites with a hostile page: nothing passes, and nothing of theirs breaks."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import flask
import pytest
from playwright.sync_api import expect

import bandeau.flask
from adapters.test_frameworks import django_views, flask_app
from adapters.test_scenarios import wsgi_served
from bandeau import Bandeau
from bandeau.policy.file import loads
from browser.conftest import names, settle
from browser.engines import free_port
from browser.test_probes import POLICY, SIX, Sites, Visitor, served


@pytest.fixture(params=["django", "flask"])
def tutorial(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[str, Sites]]:
    """Give the site's address, and the third party that its hostile page tries to reach."""
    port = free_port()
    preset = f'presets = ["{request.param}"]\nlanguages = ["en"]'
    policy = POLICY.format(port=port).replace('languages = ["en"]', preset)
    with contextlib.ExitStack() as stack:
        (tmp_path / "third").mkdir()
        third = stack.enter_context(served(tmp_path / "third", {}))
        hostile = SIX.replace("{port}", str(third.port))
        gated: Any
        if request.param == "django":
            from django.core.wsgi import get_wsgi_application

            import bandeau.django
            from adapters import django_site

            django_site.ready(tmp_path, policy, *django_views(hostile))
            gated = get_wsgi_application()
            stack.callback(lambda: bandeau.django.site().close())
        else:
            made = Bandeau.from_policy(loads(policy), f"sqlite:///{tmp_path / 'b.db'}")
            stack.callback(made.close)
            gated = made.wsgi(flask_app(hostile))
        stack.enter_context(wsgi_served(gated, port))
        yield f"http://site.localhost:{port}", third


def test_six_probes_find_nothing_and_the_site_works(
    tutorial: tuple[str, Sites], visitor: Visitor
) -> None:
    url, third = tutorial
    context = visitor()
    page = context.new_page()

    def found() -> dict[str, bool]:
        """Say which of the six probes worked; the site's own home sets the sixth, a cookie."""
        before = len(third.asked)
        page.goto(url + "/probes")
        page.wait_for_load_state("networkidle")
        asked, jar = third.asked[before:], names(context, "site.localhost")
        return {
            "script": bool(page.evaluate("window.ran")),
            "its cookie": bool({"probe_script", "probe_own"} & jar),
            "its storage": page.evaluate("Object.keys(localStorage).length") > 0,
            "image": "/pixel.gif" in asked,
            "frame": "/frame" in asked,
            "server cookie": "tracker" in jar,
        }

    page.goto(url)
    assert set(found().values()) == {False}
    for choice, passes in (("none", False), ("all", True), ("none", False)):
        page.goto(f"{url}/_b/settings?back=/")
        page.locator(f"#bandeau-settings button[value={choice}]").click()
        settle(page)
        found_now = found()
        assert found_now.pop("server cookie") is False  # undeclared, whatever is granted
        assert set(found_now.values()) == {passes}, choice
    for times in (5, 6):
        page.goto(url)
        expect(page.locator("body")).to_contain_text(f"seen {times} times [] refused")


@pytest.mark.parametrize("scripts", [True, False], ids=["scripts", "no scripts"])
def test_a_part_that_a_template_holds_back_opens_in_place(
    visitor: Visitor, tmp_path: Path, scripts: bool
) -> None:
    port = free_port()
    app, file = flask.Flask("parts"), tmp_path / "bandeau.toml"
    file.write_text(POLICY.format(port=port), "utf-8")
    app.config.update(BANDEAU_POLICY=file, BANDEAU_LEDGER=f"sqlite:///{tmp_path / 'b.db'}")
    bandeau.flask.Bandeau(app)

    @app.route("/")
    def front() -> str:
        return flask.render_template_string(
            '<html lang=en><body>{{ consent_placeholder("social", "ads") }}'
            '{% if consent.allows("social") and consent.allows("ads") %}<h1>the square</h1>{% endif %}'
        )

    with wsgi_served(app, port), contextlib.closing(app.extensions["bandeau"]):
        page = visitor(scripts=scripts).new_page()
        page.goto(f"http://site.localhost:{port}/")
        for left in (2, 1):
            buttons = page.locator("[data-bandeau-needs] button")
            expect(buttons).to_have_count(left)
            buttons.first.click()
        expect(page.locator("h1")).to_have_text("the square")
        expect(buttons).to_have_count(0)
