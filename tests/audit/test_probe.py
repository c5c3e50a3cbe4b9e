"""What the probe makes of answers that strangers give: what it may conclude, and nothing from nonsense."""

from __future__ import annotations

import base64
import contextlib
import json
import socket
import threading
import time
from collections.abc import Mapping
from http import HTTPStatus
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
        (
            [("Expires", AHEAD), ("Date", AHEAD)],
            False,
        ),  # 4.2.1: Expires less Date, by the server's clock
        (
            [("Cache-Control", "max-age=60"), ("Age", "60")],
            False,
        ),  # 4.2: it has lived so long already
        ([("Cache-Control", "max-age=60"), ("Age", "59")], True),
        ([("Cache-Control", f"max-age={'9' * 5000}")], True),  # more digits than Python reads
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

    def ask(_self: Visitor, _method: str, path: str, *more: Any) -> Answer:
        refusing = any("none" in one.values() for one in more)
        ends = ["refusal"] if refusing and "refusal" in answers else []
        ends += [one for one in answers if path.partition("?")[0].endswith(one)]
        return answers[ends[0]] if ends else Answer(404, (), b"")

    monkeypatch.setattr(Visitor, "ask", ask)
    monkeypatch.setattr(probe, "_CHECKPOINT_SECONDS", 0)


def said(document: object, status: int = 200) -> Answer:
    return Answer(status, (), json.dumps(document).encode())


def receipt(record: bytes) -> str:
    extra = base64.b64encode(record + b"~" * 32).decode()
    return f"c2sp.org/tlog-proof@v1\nextra {extra}\nindex 5\n"


STATE = said({"granted": [], "state": "refused"})
RECORD = "2026-11-25T07:33Z accept_all"
RECEIPT = receipt(RECORD.encode())
UNREADABLE = receipt(b"\xff\xfe")
CHOSEN = said({"granted": ["ads"], "receipt": RECEIPT})
REFUSAL = said({"granted": [], "receipt": RECEIPT})
CHECKPOINT = Answer(200, (), b"www.own.example/_b/log\n9\nroot\n")

SOUND = {"state": STATE, "refusal": REFUSAL, "choice": CHOSEN, "checkpoint": CHECKPOINT}


def test_what_is_sound_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    site(monkeypatch, SOUND)
    found = probed("http://www.own.example/", "/_b")
    assert [one["index"] for one in found["decisions"]] == [5, 5, 5, 5]
    assert {one["record"] for one in found["decisions"]} == {RECORD}  # and nothing of the salt
    assert found["sizes"] == [9, 9]
    assert found["cache"]["wrong"] == []  # whoever asks is told "refused", but by no cache


@pytest.mark.parametrize(
    "answers", [{}, {"state": said({"state": "refused", "granted": [], "source": "tcf"})}]
)
def test_another_site_and_one_with_a_consent_platform_are_not_asked_further(
    monkeypatch: pytest.MonkeyPatch, answers: dict[str, Answer]
) -> None:
    site(monkeypatch, answers)
    assert probed("http://www.own.example/", "/_b") == {}


@pytest.mark.parametrize(
    "answers",
    [
        {"state": said({"granted": None})},
        {"state": said({"granted": "ads"})},
        {"state": said({"granted": [1]})},
        {
            "state": said({"granted": ["\ud800"]})
        },  # half of a surrogate pair: no report could say it
        {"choice": said({"granted": ["ads"], "receipt": UNREADABLE})},
        {"choice": said({"granted": []})},  # to an acceptance: then no cache can be tried
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
    site(monkeypatch, {**SOUND, **answers})
    with pytest.raises(OSError, match=r"answer|checkpoint"):
        probed("http://www.own.example/", "/_b")


@pytest.mark.parametrize("what", ["tile/entries/000.p/9", "snapshot"])
@pytest.mark.parametrize("status", [200, 404, 503])
def test_no_version_of_a_notice_is_compared_with_an_error_or_a_page(
    monkeypatch: pytest.MonkeyPatch, what: str, status: int
) -> None:
    tile = Answer(200, (), b"\x00\x20" + b"a" * 32)
    snapshot = f"snapshot/{(b'a' * 32).hex()}"
    page = Answer(status, (), b"<!doctype html><title>no</title>" * 9)
    answers = {"tile/entries/000.p/9": tile, snapshot: Answer(200, (), b"text")}
    site(monkeypatch, {**answers, snapshot if what == "snapshot" else what: page})
    found = probe._Probe("http://www.own.example/", "/_b").snapshot("accept_all snapshot=0 x", 9)
    assert bool(found) is (what == "snapshot" and status == HTTPStatus.OK)


@pytest.mark.parametrize("number", ["9", "9" * 5000])
def test_a_snapshot_that_the_log_cannot_have_is_not_asked_for(number: str) -> None:
    asked = probe._Probe("http://127.0.0.1:9/", "/_b")  # where nobody answers
    assert asked.snapshot(f"accept_all snapshot={number} x", 9) == {}


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


@given(
    st.fixed_dictionaries(
        {"state": ANSWER, "refusal": ANSWER, "choice": ANSWER, "checkpoint": ANSWER, "": ANSWER}
    )
)
def test_whatever_a_site_answers_is_read_or_refused(answers: dict[str, Answer]) -> None:
    with pytest.MonkeyPatch.context() as patched, contextlib.suppress(OSError):
        site(patched, answers)
        assert isinstance(probed("http://www.own.example/", "/_b"), dict)


class Slow:
    """A response that goes on for ever."""

    length = None

    def read1(self, _most: int) -> bytes:
        return b"."


def test_an_answer_that_does_not_end_is_left() -> None:
    who = Visitor("http://www.own.example/", time.monotonic() + 0.05)
    with pytest.raises(OSError, match="take too long"):
        who._read(Slow())  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("length", "body"), [(5, b"four"), (5 << 20, b"." * (5 << 20)), (4, b"four")]
)
def test_an_answer_is_read_whole_or_not_at_all(length: int, body: bytes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            link, _ = server.accept()
            with link, contextlib.suppress(OSError):  # the other end may have had enough
                link.recv(4096)
                link.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (length, body))

        thread = threading.Thread(target=answer)
        thread.start()
        who = Visitor(f"http://127.0.0.1:{server.getsockname()[1]}/", time.monotonic() + 9)
        if body == b"four" and length == len(body):
            assert who.ask("GET", "/").body == body
        else:
            with pytest.raises(OSError, match="cut short"):
                who.ask("GET", "/")
        thread.join()
