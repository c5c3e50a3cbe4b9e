"""The newspaper's parts without a browser: profiles out of garbage, a silent comment server, its children."""

from __future__ import annotations

import asyncio
import importlib.util
import socket
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import serving
from bandeau.adapters.server import listening
from bandeau.demo import profile
from bandeau.demo.backstage import Backstage, mark
from bandeau.demo.comments import Comments, MissingError, served
from bandeau.demo.commentserver import configured
from bandeau.demo.paper import Paper, application
from serving import ask

SECTIONS = frozenset({"culture", "sport"})
ARTICLE = "/international/2017/07/06/paris-moscou"


@given(st.text(max_size=200))
def test_any_cookie_is_some_profile(value: str) -> None:
    read = profile.read(value, SECTIONS)
    assert set(read) <= SECTIONS
    assert profile.read(profile.written(read), SECTIONS) == read


def test_a_profile_reads_what_it_wrote_and_nothing_else() -> None:
    assert profile.written(Counter(sport=3, culture=1)) == "culture.1-sport.3"
    assert profile.read("culture.1-sport.3", SECTIONS) == Counter(sport=3, culture=1)
    assert profile.read("nobody.4-sport.-1-sport.1e9-culture", SECTIONS) == Counter()
    assert profile.read(None, SECTIONS) == Counter()
    assert profile.read(profile.written(Counter(sport=100_000)), SECTIONS) == Counter(sport=999)


def test_a_comment_server_that_is_away_is_said_and_breaks_nothing() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        away = Comments(taken.getsockname()[1])
        assert asyncio.run(away.published("/x")) is None
        assert asyncio.run(away.write("/x", "t", "", "text")) == 503


def test_an_article_comes_without_its_comment_server() -> None:
    with serving.running(application(1), lifespan=False) as port:
        answered = ask(port, ARTICLE)
        assert answered.status == 200
        assert "ne peuvent pas être affichés".encode() in answered.body


def test_isso_is_asked_for_where_it_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    with (
        listening("127.0.0.1", 0) as bound,
        pytest.raises(MissingError, match="pip install"),
        served(tmp_path, bound, []),
    ):
        pass


def test_isso_that_does_not_start_says_where_to_look(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with (
        listening("127.0.0.1", 0) as bound,
        pytest.raises(MissingError, match=r"isso\.err"),
        served(tmp_path, bound, []),
    ):
        pass


def test_isso_keeps_its_password_over_restarts(tmp_path: Path) -> None:
    first = configured(tmp_path, 8001, ["http://a"]).read_text()
    assert configured(tmp_path, 8001, ["http://a"]).read_text() == first
    assert (tmp_path / "isso.cfg").stat().st_mode & 0o077 == 0


def test_backstage_forgets_and_never_grows() -> None:
    backstage = Backstage(1)
    for number in range(3000):
        backstage.viewed(mark(b"%d" % number), "")
    assert len(backstage._views) <= 1000
    received = asyncio.run(backstage.received(mark(b"x")))
    assert [one["requests"] for one in received] == [0] * 8


@pytest.mark.parametrize(
    ("path", "status"),
    [("/", 200), ("/en/", 200), ("/en" + ARTICLE, 200), ("/confidentialite", 200), ("/en/coulisses", 200),
     ("/redaction", 200), ("/en/flux.atom", 200), ("/nothing", 404), ("/commentaires/nothing", 404),
     ("/statique/../paper.py", 404), ("/en/en/", 404), ("/%00", 404)],
)  # fmt: skip
def test_every_address_answers(path: str, status: int) -> None:
    with serving.running(application(1), lifespan=False) as port:
        answered = ask(port, path)
        assert answered.status == status
        assert b"Traceback" not in answered.body


@pytest.mark.parametrize(
    ("lines", "body", "status"),
    [
        ([b"Sec-Fetch-Site: cross-site"], b"texte=x", 403),
        ([], b"texte=x", 403),
        ([b"Sec-Fetch-Site: same-origin"], b"\xff\x00&&==" * 20, 200),
        ([b"Sec-Fetch-Site: same-origin"], b"texte=" + b"x" * 100_000, 200),
    ],
)
def test_a_form_of_somebody_else_s_writes_nothing(
    lines: list[bytes], body: bytes, status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[Any] = []

    async def write(*what: Any) -> int:
        written.append(what)
        return 202

    monkeypatch.setattr(Comments, "write", write)
    with serving.running(application(1), lifespan=False) as port:
        answered = ask(port, "/commentaires" + ARTICLE, *lines, method="POST", body=body)
    assert answered.status == status
    assert written == []


def test_both_languages_have_the_same_texts_and_every_article_is_whole() -> None:
    paper = Paper(1)

    def keys(table: Any, at: str = "") -> set[str]:
        if not isinstance(table, dict):
            return {at}
        return {key for name, value in table.items() for key in keys(value, f"{at}.{name}")}

    assert keys(paper._texts["fr"]) == keys(paper._texts["en"])
    assert len(paper.articles) == 10
    for article in paper.articles.values():
        assert article["also"] in paper.articles
        assert article["also"] != article["path"]
        assert article["section"] in paper.sections
        assert article["picture"] in paper._static
        kinds = {
            language: [block[0] for block in article[language]["body"]] for language in ("fr", "en")
        }
        assert kinds["fr"] == kinds["en"]
        assert "quote" in kinds["fr"]
        assert kinds["fr"].count("h2") >= 2
