"""`bandeau notice preview`: every combination renders, and what its forms post is forgotten."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from urllib.parse import urlencode

import pytest
from click.testing import CliRunner

from bandeau.cli import main
from bandeau.cli.notice.preview import LAYERS, SCHEMES, STATES, Preview
from bandeau.policy.file import loads
from bandeau.policy.model import Policy
from bandeau.wire.messages import Reply, Request
from conftest import SMALL
from serving import ask, running


@pytest.fixture(scope="module")
def preview(policy: Policy) -> Preview:
    return Preview(policy)


def asked(preview: Preview, path: str, method: str = "GET", accept: bytes = b"*/*") -> Reply:
    path, _, query = path.partition("?")
    return preview.answer(
        Request(method, "http", "127.0.0.1:8000", path, query, [(b"accept", accept)])
    )


def page(preview: Preview, **chosen: str) -> str:
    reply = asked(preview, f"/page?{urlencode(chosen)}")
    assert reply.status == 200
    return reply.body.decode()


@pytest.mark.parametrize("layer", LAYERS)
def test_every_layer_renders_in_every_state_and_language(preview: Preview, layer: str) -> None:
    for lang, state in itertools.product(preview.axes["lang"], STATES):
        html = page(preview, lang=lang, state=state, layer=layer)
        assert f'<html lang="{lang}"' in html
        assert ('id="bandeau"' in html) is (layer == "first" and state == "undecided")
        assert ('id="bandeau-settings"' in html) is (layer == "settings")
        assert ('class="bandeau-hold"' in html) is (layer == "placeholder")
        assert html.count('id="bandeau-state"') == 1


def test_every_look_renders_in_every_scheme(preview: Preview) -> None:
    looks = itertools.product(preview.axes["theme"], preview.axes["placement"], SCHEMES)
    pages = {
        look: page(preview, **dict(zip(("theme", "placement", "scheme"), look, strict=True)))
        for look in looks
    }
    assert len(set(pages.values())) == len(pages) == 27
    for (_, _, scheme), html in pages.items():
        assert "prefers-color-scheme" not in html
        assert ("CanvasText" in html) is (scheme == "forced")


def test_the_index_shows_one_axis_side_by_side(preview: Preview) -> None:
    for axis, values in preview.axes.items():
        html = asked(preview, f"/?across={axis}&lang=en").body.decode()
        assert html.count("<iframe") == len(values)
    assert asked(preview, "/?across=nothing&lang=xx").body == asked(preview, "/").body


def test_what_is_posted_is_answered_and_forgotten(
    preview: Preview, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    before = page(preview)
    for reply in (
        asked(preview, "/_b/choice", "POST"),
        asked(preview, "/_b/choice", "POST", b"application/json"),
    ):
        assert not [name for name, _ in reply.headers if name == b"set-cookie"]
        assert reply.status == 303 or json.loads(reply.body)["granted"] == []
    assert page(preview) == before
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1:8000", 200),
        ("localhost:1", 200),
        ("[::1]:80", 200),
        ("evil.example:8000", 421),
        ("127.0.0.1.evil.example", 421),
        ("", 421),
        ("a b", 421),
    ],
)
def test_it_answers_under_a_name_of_this_machine_only(
    preview: Preview, host: str, status: int
) -> None:
    assert preview.answer(Request("GET", "http", host, "/", "", [])).status == status


def test_it_serves_the_parts_of_a_page(preview: Preview) -> None:
    with running(preview) as port:
        html = ask(port, "/page?layer=first").body.decode()
        script = html.partition('type="module" src="')[2].partition('"')[0]
        assert ask(port, script).body.count(b'"submit"') == 1
        assert ask(port, script.replace("bandeau.js", "later.js")).status == 200
        assert ask(port, "/_b/trackers?lang=en").status == 200
        assert ask(port, "/nothing").status == 404


def test_all_languages_leave_out_those_without_the_owner_s_own_texts() -> None:
    alone = SMALL.replace('languages = ["fr", "en"]', 'languages = ["fr"]')
    assert "en" in Preview(loads(alone), everything=True).axes["lang"]
    own = '[[purpose]]\nid = "poll"\n[purpose.text.fr]\ntitle = "Sondages"\nsentence = "Vous interroger."\n[[service]]\n'
    found = Preview(loads(alone.replace("[[service]]\n", own, 1)), everything=True)
    assert found.axes["lang"] == ("fr",)
    assert "en" in found.left_out


def test_a_policy_that_is_wrong_is_told(tmp_path: Path) -> None:
    (tmp_path / "p.toml").write_text("version = 2")
    done = CliRunner().invoke(main, ["notice", "preview", str(tmp_path / "p.toml")])
    assert done.exit_code == 2
    assert "BP0" in done.output
