"""What the probe makes of answers that strangers give: what it may conclude, and nothing from nonsense."""

from __future__ import annotations

import base64
import contextlib
import json
import time
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bandeau.audit import probe
from bandeau.audit.probe import Answer, Visitor, probed

PAST = "Wed, 21 Oct 2015 07:28:00 GMT"
AHEAD = "Thu, 21 Oct 2094 07:28:00 GMT"


def answer(*headers: tuple[str, str]) -> Answer:
    return Answer(200, headers, b"")


@pytest.mark.parametrize(
    ("headers", "kept"),
    [
        ([("Cache-Control", "max-age=60")], True),
        ([("Cache-Control", "s-maxage=60, max-age=0")], True),
        ([("Cache-Control", "s-maxage=0, max-age=60")], False),  # RFC 9111 5.2.2.10
        ([("Cache-Control", "max-age=0"), ("Expires", AHEAD)], False),  # 5.3: max-age goes before
        ([("Cache-Control", "max-age=0"), ("Expires", PAST)], False),
        ([("Cache-Control", "public"), ("Cache-Control", "max-age=5")], True),
        ([("Cache-Control", "max-age=0, max-age=60")], False),  # 4.2.1: the first
        ([("Cache-Control", 'max-age="60"')], True),
        ([("Cache-Control", "max-age=soon")], False),
        ([("Expires", "0")], False),  # 5.3: what is no date is past
        ([("Expires", PAST)], False),
        ([("Expires", "Thu, 21 Oct 2094 07:28:00 -0000")], False),
        ([("Expires", AHEAD)], True),
        ([("Expires", AHEAD), ("Cache-Control", "private")], False),
        ([("Cache-Control", 'no-cache="set-cookie", max-age=60')], False),
        ([("Last-Modified", PAST)], True),  # 4.2.2: caches guess
        ([("Last-Modified", PAST), ("Vary", "Cookie, *")], False),
        ([], False),
    ],
)
def test_a_shared_cache_keeps_what_is_fresh_there(
    headers: list[tuple[str, str]], kept: bool
) -> None:
    assert probe._storable(answer(*headers)) is kept


def site(monkeypatch: pytest.MonkeyPatch, answers: Mapping[str, Answer]) -> None:
    """Let every visitor get these answers, by the end of the path."""

    def ask(_self: Visitor, _method: str, path: str, *_: Any) -> Answer:
        known = (found for end, found in answers.items() if path.partition("?")[0].endswith(end))
        return next(known, Answer(404, (), b""))

    monkeypatch.setattr(Visitor, "ask", ask)
    monkeypatch.setattr(probe, "_CHECKPOINT_SECONDS", 0)


def said(document: object, status: int = 200) -> Answer:
    return Answer(status, (), json.dumps(document).encode())


STATE = said({"granted": [], "state": "refused"})
RECEIPT = f"c2sp.org/tlog-proof@v1\nextra {base64.b64encode(bytes(40)).decode()}\nindex 5\n"
CHOSEN = said({"granted": ["ads"], "receipt": RECEIPT})
CHECKPOINT = Answer(200, (), b"www.own.example/_b/log\n9\nroot\n")


def test_what_is_sound_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    site(monkeypatch, {"state": STATE, "choice": CHOSEN, "checkpoint": CHECKPOINT})
    found = probed("http://www.own.example/", "/_b")
    assert [one["index"] for one in found["decisions"]] == [5, 5, 5, 5]
    assert found["sizes"] == [9, 9]


def test_another_site_is_not_asked_further(monkeypatch: pytest.MonkeyPatch) -> None:
    site(monkeypatch, {})
    assert probed("http://www.own.example/", "/_b") == {}


@pytest.mark.parametrize(
    "answers",
    [
        {"state": said({"granted": None})},
        {"state": said({"granted": "ads"})},
        {"state": said({"granted": [1]})},
        {"choice": said({"granted": ["ads"], "receipt": RECEIPT}, 503)},
        {"choice": said({"granted": ["ads"], "receipt": RECEIPT.replace("extra ", "extra !")})},
        {"choice": said({"granted": ["ads"], "receipt": RECEIPT.replace("index 5", "index five")})},
        {"choice": said([])},
        {"choice": Answer(200, (), b"[" * 100_000)},
        {"checkpoint": Answer(200, (), b"www.own.example/_b/log\nmany\n")},
        {"checkpoint": Answer(200, (), b"")},
    ],
)
def test_nothing_is_concluded_from_an_answer_that_is_not_bandeau_s(
    monkeypatch: pytest.MonkeyPatch, answers: dict[str, Answer]
) -> None:
    site(monkeypatch, {"state": STATE, "choice": CHOSEN, "checkpoint": CHECKPOINT, **answers})
    with pytest.raises(OSError, match=r"answer|checkpoint"):
        probed("http://www.own.example/", "/_b")


DOCUMENT = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)
OBJECT = st.fixed_dictionaries(
    {},
    optional={
        "granted": st.lists(st.text()) | DOCUMENT,
        "state": DOCUMENT,
        "receipt": st.just(RECEIPT) | st.text() | DOCUMENT,
    },
)
BODY = st.binary() | (OBJECT | DOCUMENT).map(lambda one: json.dumps(one).encode())
ANSWER = st.builds(
    Answer,
    st.sampled_from([200, 204, 303, 404, 503]),
    st.lists(
        st.tuples(
            st.sampled_from(["Set-Cookie", "Cache-Control", "Expires", "Vary", "Location"]),
            st.text(st.characters(max_codepoint=255)),
        )
    ).map(tuple),
    BODY,
)


@given(st.fixed_dictionaries({"state": ANSWER, "choice": ANSWER, "checkpoint": ANSWER, "": ANSWER}))
def test_whatever_a_site_answers_is_read_or_refused(answers: dict[str, Answer]) -> None:
    with pytest.MonkeyPatch.context() as patched, contextlib.suppress(OSError):
        site(patched, answers)
        assert isinstance(probed("http://www.own.example/", "/_b"), dict)


class Slow:
    """A response that goes on for ever."""

    def read1(self, _most: int) -> bytes:
        return b"."


def test_an_answer_that_does_not_end_is_left() -> None:
    who = Visitor("http://www.own.example/", time.monotonic() + 0.05)
    with pytest.raises(OSError, match="too long"):
        who._read(Slow())  # type: ignore[arg-type]
