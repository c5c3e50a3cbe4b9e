"""Choices: how they come about, and every way in which they must not."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bandeau import endpoints
from bandeau.decision.model import Event, State
from bandeau.errors import LedgerBusyError, LedgerError
from bandeau.ledger import ledger as writing
from bandeau.ledger.metrics import openmetrics
from bandeau.policy.file import loads
from bandeau.site import Reply, Site
from bandeau.wire.headers import RawHeaders, every, first
from conftest import POSTED, SMALL, chosen, decisions, request

FORM = (b"content-type", b"application/x-www-form-urlencoded")
ALL = b"choice=all&back=%2Fa&lang=fr"


def post(
    site: Site, body: bytes, headers: RawHeaders, path: str = "/_b/choice", method: str = "POST"
) -> Reply:
    return site.answer_sync(site.exchange(request(path, headers, method)), body)


def get(site: Site, path: str, headers: RawHeaders | None = None) -> Reply:
    return site.answer_sync(site.exchange(request(path, headers)), b"")


def state(site: Site, headers: RawHeaders) -> dict[str, object]:
    found: dict[str, object] = json.loads(get(site, "/_b/state", headers).body)
    return found


@pytest.mark.parametrize(
    ("body", "reached", "granted", "event"),
    [
        (ALL, "granted", ["social", "ads"], Event.ACCEPT_ALL),
        (b"choice=none", "refused", [], Event.REFUSE_ALL),
        (b"choice=save&purpose=ads", "partial", ["ads"], Event.CUSTOM),
        (b"choice=save", "refused", [], Event.CUSTOM),
        (b"choice=add&purpose=social", "partial", ["social"], Event.ADD),
        (
            b"choice=save&purpose=social&purpose=ads&purpose=nonsense",
            "granted",
            ["social", "ads"],
            Event.CUSTOM,
        ),
    ],
)
def test_a_choice_is_stored_and_then_holds(
    site: Site, body: bytes, reached: str, granted: list[str], event: Event
) -> None:
    cookie = chosen(site, body)
    assert state(site, cookie) == {"state": reached, "granted": granted}
    (decision,) = decisions(site)
    assert decision.event is event
    assert [p for p, yes in decision.choices if yes] == granted


def test_the_answer_comes_after_the_disk(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise LedgerError("disk full")

    monkeypatch.setattr(site.ledger, "append", full)
    reply = post(site, ALL, POSTED)
    assert reply.status == 503
    assert first(reply.headers, b"retry-after")
    assert not every(reply.headers, b"set-cookie")
    monkeypatch.setattr(
        site.ledger, "append", lambda *_: (_ for _ in ()).throw(LedgerBusyError("later"))
    )
    assert post(site, ALL, POSTED).status == 503


FORGED: list[tuple[str, RawHeaders]] = [
    (
        "cross-site",
        [FORM, (b"sec-fetch-site", b"cross-site"), (b"origin", b"https://evil.example")],
    ),
    ("same-site", [FORM, (b"sec-fetch-site", b"same-site")]),
    ("typed in", [FORM, (b"sec-fetch-site", b"none")]),
    (
        "two answers",
        [FORM, (b"sec-fetch-site", b"cross-site"), (b"sec-fetch-site", b"same-origin")],
    ),
    ("old browser, foreign origin", [FORM, (b"origin", b"https://evil.example")]),
    ("old browser, no origin", [FORM]),
    ("opaque origin", [FORM, (b"origin", b"null")]),
    ("other port", [FORM, (b"origin", b"http://www.own.localhost:9001")]),
    ("prefetch", [*POSTED, (b"sec-purpose", b"prefetch")]),
    ("prerender", [*POSTED, (b"sec-purpose", b"prefetch;prerender")]),
    ("foreign host", [*POSTED, (b"host", b"evil.example")]),
]


@pytest.mark.parametrize(("name", "headers"), FORGED, ids=[name for name, _ in FORGED])
def test_a_forged_choice_changes_nothing(site: Site, name: str, headers: RawHeaders) -> None:
    if name == "foreign host":
        sent = request("/_b/choice", headers, "POST")
        sent = type(sent)(sent.method, sent.scheme, "evil.example", sent.path, "", sent.headers)
        reply = site.answer_sync(site.exchange(sent), ALL)
    else:
        reply = post(site, ALL, headers)
    assert reply.status == 403
    assert not every(reply.headers, b"set-cookie")
    assert decisions(site) == []


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE"])
def test_only_a_post_chooses(site: Site, method: str) -> None:
    reply = post(site, ALL, POSTED, "/_b/choice?choice=all", method)
    assert reply.status == 405
    assert decisions(site) == []


def test_a_site_with_no_referrer_can_still_choose(site: Site) -> None:
    reply = post(site, ALL, [*POSTED, (b"origin", b"null")])
    assert reply.status == 303


def test_an_old_browser_can_choose_by_its_origin(site: Site) -> None:
    assert post(site, ALL, [FORM, (b"origin", b"http://www.own.localhost:9000")]).status == 303


@pytest.mark.parametrize(
    ("body", "kind"),
    [(b"", FORM), (b"choice=maybe", FORM), (b"choice=all&choice=none", FORM), (b"choice=add", FORM),
     (b"choice=add&purpose=unknown", FORM), (ALL, (b"content-type", b"text/plain")), (b'{"choice":"all"}', FORM),
     (b"&".join(b"a=b" for _ in range(5000)) + b"&choice=all", FORM), (b"\xff\x00" * 99, FORM)],
)  # fmt: skip
def test_what_cannot_be_read_changes_nothing(
    site: Site, body: bytes, kind: tuple[bytes, bytes]
) -> None:
    reply = post(site, body, [kind, POSTED[1]])
    assert reply.status == 400
    assert decisions(site) == []


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=300), st.text(max_size=40), st.binary(max_size=80))
def test_whatever_a_stranger_sends_is_answered(
    site: Site, body: bytes, path: str, cookie: bytes
) -> None:
    sent = [*POSTED, (b"cookie", b"bandeau=" + cookie), (b"accept-language", cookie)]
    for method in ("GET", "POST"):
        asked = request("/_b/" + path.replace("?", ""), sent, method)
        assert 200 <= site.answer_sync(site.exchange(asked), body).status < 500
    assert site.exchange(request("/" + path, sent)).consent.state is State.UNDECIDED


@pytest.mark.parametrize(
    "back",
    ["https://evil.example/", "//evil.example", "/%5Cevil.example", "/a%0d%0aSet-Cookie:x=1"],
)
def test_the_way_back_stays_on_the_site(site: Site, back: str) -> None:
    body = b"choice=none&back=" + back.encode().replace(b"%", b"%25" if "%5C" in back else b"%")
    location = first(post(site, body, POSTED).headers, b"location") or b""
    assert location.startswith(b"/")
    assert not location.startswith((b"//", b"/\\"))
    assert b"\r" not in location
    assert b"\n" not in location


def test_two_cookies_of_ours_are_none(site: Site) -> None:
    (granted,) = chosen(site, ALL)
    (refused,) = chosen(site, b"choice=none")
    both = [(b"cookie", granted[1] + b"; " + refused[1])]
    assert state(site, both)["state"] == "undecided"


def test_a_signal_refuses_until_it_is_overruled_knowingly(site: Site) -> None:
    signal: RawHeaders = [(b"sec-gpc", b"1")]
    assert state(site, signal) == {"state": "refused", "granted": []}
    assert not site.exchange(request("/", signal)).consent.asks
    reply = post(site, ALL, [*POSTED, *signal])
    assert reply.status == 409
    assert b'name="confirm"' in reply.body
    told = post(
        site,
        b"choice=all&back=/a%3Fb&lang=en",
        [(b"accept", b"application/json"), *POSTED, *signal],
    )
    assert json.loads(told.body) == {
        "confirm": True,
        "settings": "/_b/settings?confirm=1&back=/a%3Fb&lang=en",
    }
    assert decisions(site) == []
    cookie = chosen(site, ALL + b"&confirm=1", signal)
    assert state(site, [*cookie, *signal])["state"] == "granted"
    assert decisions(site)[0].signal


def test_a_script_gets_json_and_what_of_its_wishes_is_granted(site: Site) -> None:
    body = b"choice=save&purpose=social&held=cookie:sq_a&held=host:social.localhost&held=host:x.ads.localhost&held=page:/comments/1&held=garbage"
    asked = request("/_b/choice", POSTED, "POST")
    asked = type(asked)(asked.method, asked.scheme, asked.host, asked.path, "",
                        [(b"accept", b"application/json"), *POSTED])  # fmt: skip
    reply = site.answer_sync(site.exchange(asked), body)
    answer = json.loads(reply.body)
    assert answer.pop("receipt").startswith("c2sp.org/tlog-proof@v1\n")
    assert answer == {
        "state": "partial", "granted": ["social"], "names": "Réseaux sociaux", "recorded": True,
        "held_back": ["cookie:sq_a", "host:social.localhost", "page:/comments/1"],
    }  # fmt: skip


def test_a_withdrawal_clears_storage(site: Site) -> None:
    cookie = chosen(site, ALL)
    reply = post(site, b"choice=none", [*POSTED, *cookie])
    assert first(reply.headers, b"clear-site-data") == b'"storage"'
    assert decisions(site)[-1].event is Event.WITHDRAW
    assert first(post(site, b"choice=none", POSTED).headers, b"clear-site-data") is None


def test_a_withdrawal_removes_what_it_closes_with_its_answer(tmp_path: Path) -> None:
    text = SMALL + (
        '[[tracker]]\nname = "deep"\nkind = "cookie"\nservice = "square"\npath = "/forum"\ndomain = "own.localhost"\n'
    )
    site = Site.from_policy(loads(text), f"sqlite:///{tmp_path / 'b.db'}")
    told: list[tuple[frozenset[str], tuple[str, ...]]] = []
    site.on_withdraw = lambda purposes, swept: told.append((purposes, swept))
    (cookie,) = chosen(site, ALL)
    assert told == []
    sent = [*POSTED, (b"cookie", cookie[1] + b"; sq_a=1; session=2; junk=3")]
    lines = every(post(site, b"choice=save&purpose=ads", sent).headers, b"set-cookie")
    removed = {line.partition(b"=")[0] for line in lines if b"Max-Age=0" in line}
    assert removed == {b"sq_a", b"junk", b"deep"}
    assert b"sq_a=; Max-Age=0; Path=/; Domain=own.localhost" in lines
    assert b"deep=; Max-Age=0; Path=/forum; Domain=own.localhost" in lines
    assert told == [(frozenset({"social"}), ("sq_a", "junk", "deep"))]
    site.on_withdraw = lambda *_: 1 // 0  # type: ignore[assignment]
    assert post(site, b"choice=none", [*POSTED, *chosen(site, ALL)]).status == 303
    site.close()


def test_the_cookie_is_kept_by_the_site_alone(site: Site) -> None:
    line = first(post(site, ALL, POSTED).headers, b"set-cookie") or b""
    assert line.startswith(b"bandeau=1.")
    assert b"; HttpOnly" in line
    assert b"; SameSite=Lax" in line
    assert b"; Path=/" in line
    assert b"Max-Age=15724800" in line  # 182 days
    secure = request("/_b/choice", POSTED, "POST")
    secure = type(secure)(secure.method, "https", secure.host, secure.path, "", secure.headers)
    assert site.exchange(secure).own is False  # another scheme is another origin


def test_pages_of_ours_come_in_the_language_asked_for(site: Site) -> None:
    assert b'<html lang="en"' in get(site, "/_b/settings?lang=en").body
    assert b'<html lang="fr"' in get(site, "/_b/settings?lang=xx").body
    assert b'<html lang="en"' in get(site, "/_b/trackers", [(b"accept-language", b"en")]).body
    assert json.loads(get(site, "/_b/trackers?format=json").body)["version"] == 2
    assert get(site, "/_b/nothing").status == 404
    assert get(site, "/_b/health").body == b"ok\n"


def test_static_files_are_found_by_their_hash_only(site: Site) -> None:
    url = site.notice.static_url("bandeau.js")
    assert b"immutable" in (first(get(site, url).headers, b"cache-control") or b"")
    assert get(site, url.replace(url.split("/")[3], "0" * 12)).status == 404
    assert get(site, "/_b/static/x/../../secret").status == 404


@pytest.mark.parametrize("path", ["/_b/log/checkpoint", "/_b/metrics", "/_b/choice"])
def test_what_waits_for_a_slow_store_holds_up_nobody_else(tmp_path: Path, path: str) -> None:
    policy = loads(SMALL.replace("[proof]", "[proof]\nmetrics = true", 1))
    site = Site.from_policy(policy, f"sqlite:///{tmp_path / 'b.db'}")
    store, goes_on = site.ledger.store, threading.Event()
    slow = {name: partial(waited, goes_on, getattr(store, name)) for name in ("head", "events")}
    site.ledger._snapshots.clear()  # as where another process logged what this one shows

    async def visits() -> tuple[bool, Reply]:
        body = ALL if path == "/_b/choice" else b""
        asked = request(path, POSTED if body else None, "POST" if body else "GET")
        asking = asyncio.create_task(site.answer(site.exchange(asked), body))
        for _ in range(5):
            await asyncio.sleep(0.01)
        waits = not asking.done()
        goes_on.set()
        return waits, await asking

    with pytest.MonkeyPatch.context() as patch:
        for name, method in slow.items():
            patch.setattr(store, name, method)
        waits, reply = asyncio.run(visits())
    site.close()
    assert waits
    assert reply.status == (303 if path == "/_b/choice" else 200)


@pytest.mark.parametrize("path", ["settings", "state", "key", "out?to=/a", "static/nothing.js"])
def test_what_is_answered_in_the_loop_asks_no_store(
    site: Site, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    asked = request(f"/_b/{path}")
    exchange = site.exchange(asked)

    def read(*_: object) -> None:
        raise AssertionError("the store is asked")

    for name in ("head", "events", "document", "entries", "nodes", "accounts", "untold"):
        monkeypatch.setattr(site.ledger.store, name, read)
    assert not endpoints.reads(site.desk, asked)
    assert site.answer_sync(exchange, b"").status in (200, 204, 302, 400, 403, 404)


def waited(goes_on: threading.Event, method: Callable[..., object], *values: object) -> object:
    assert goes_on.wait(10)
    return method(*values)


def test_health_tells_of_a_commit_that_hangs(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writing, "WAIT_SECONDS", 0.1)
    goes_on = threading.Event()
    with monkeypatch.context() as patch:
        patch.setattr(
            site.ledger.store, "commit", partial(waited, goes_on, site.ledger.store.commit)
        )
        assert post(site, ALL, POSTED).status == 503
        assert get(site, "/_b/health").body.startswith(b"ledger: a commit has been under way for ")
        goes_on.set()
        deadline = time.monotonic() + 10
        while site.ledger.failed:
            assert time.monotonic() < deadline
            time.sleep(0.01)
    assert get(site, "/_b/health").body == b"ok\n"


def test_what_cannot_be_read_is_said_as_not_available(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone() -> None:
        raise LedgerError("the server does not answer")

    monkeypatch.setattr(site.ledger.store, "head", gone)
    assert get(site, "/_b/log/checkpoint").status == 503
    assert b"\nbandeau_ledger_up 0\n" in openmetrics(site.ledger, {}).encode()
