"""Global Privacy Control on the wire: the header's spellings and the support file, by each adapter."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from adapters.test_scenarios import ADAPTERS, FORM, served
from conftest import SMALL
from serving import ask

SUPPORT = "/.well-known/gpc.json"
JOINING = ("wsgi", "flask", "django", "django-async")  # headers of one name, as PEP 3333 has it
SPELLINGS = [  # Global Privacy Control, draft of April 2026, "The Sec-GPC Header Field"
    ([b"Sec-GPC: 1"], True),
    ([b'Sec-GPC: "1"'], False),
    ([b"Sec-GPC: 1, 1"], False),
    ([b"Sec-GPC: 0"], False),
    ([b"Sec-GPC: 01"], False),
    ([b"Sec-GPC:  1 "], True),  # white space around a value is none of it (RFC 9110 5.5)
    ([b"Sec-GPC: true"], False),
    ([b"Sec-GPC:"], False),
    ([b"Sec-GPC: 0", b"Sec-GPC: 1"], True),
    ([], False),
]


@pytest.fixture(scope="module", params=ADAPTERS)
def adapter(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def port(adapter: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    policy = f"{SMALL}\n[signals]\ngpc_since = 2026-01-01\n"
    with served(adapter, tmp_path_factory.mktemp(adapter), policy) as found:
        yield found


@pytest.mark.parametrize(("lines", "obeyed"), SPELLINGS)
def test_only_one_exactly_refuses_and_what_is_behind_gets_the_header(
    port: int, adapter: str, lines: list[bytes], obeyed: bool
) -> None:
    joined = adapter in JOINING and len(lines) > 1
    state = json.loads(ask(port, "/_b/state", *lines).body)["state"]
    assert state == ("refused" if obeyed and not joined else "undecided")
    page = ask(port, "/page", *lines)
    assert (b'<section id="bandeau"' in page.body) != (obeyed and not joined)
    assert b"Sec-GPC" in b",".join(page.every(b"vary"))
    seen = json.loads(ask(port, "/seen", *lines).body).get("sec-gpc", "").strip()
    sent = [line.partition(b":")[2].strip().decode() for line in lines]
    assert seen in (",".join(sent), *sent[-1:])  # the site of the suite tells the last


def test_accepting_against_it_asks_once_more_and_shows_the_conflict(port: int) -> None:
    signal = b"Sec-GPC: 1"
    asked = ask(port, "/_b/choice", *FORM, signal, method="POST", body=b"choice=all&lang=en")
    assert asked.status == 409
    assert b"Global Privacy Control" in asked.body
    assert b'name="confirm" value="1"' in asked.body
    assert not asked.every(b"set-cookie")
    body = b"choice=all&confirm=1&lang=en"
    granted = ask(port, "/_b/choice", *FORM, signal, method="POST", body=body)
    cookie = b"Cookie: " + granted.every(b"set-cookie")[0].partition(b";")[0]
    shown = ask(port, "/page", signal, cookie).body.partition(b'id="bandeau-state"')[2]
    assert b"Global Privacy Control" in shown


def test_the_support_file_is_served_with_the_policy_s_date(port: int) -> None:
    answered = ask(port, SUPPORT, b"Accept: */*")
    assert answered.status == 200
    assert answered.every(b"content-type") == [b"application/json"]
    assert json.loads(answered.body) == {"gpc": True, "lastUpdate": "2026-01-01"}
    assert ask(port, SUPPORT, method="POST", body=b"x").status == 405
    assert ask(port, SUPPORT, host="elsewhere.example").status == 404  # the site's own answer
    assert ask(port, SUPPORT + "/").status == 404


def test_without_a_date_or_with_less_than_everything_enforced_the_path_is_the_site_s(
    tmp_path: Path,
) -> None:
    some = '[signals]\ngpc_since = 2026-01-01\n[rollout]\npaths = ["/page"]\nreport = "seen"\n'
    for number, more in enumerate(("", some.replace('"seen"', f'"{tmp_path}/seen"'))):
        (folder := tmp_path / str(number)).mkdir()
        with served("asgi", folder, f"{SMALL}\n{more}") as port:
            assert ask(port, SUPPORT).status == 404
