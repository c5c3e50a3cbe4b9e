"""The counter: what is a view, what is kept of it, nothing lost, nothing about anybody, old sums gone."""

from __future__ import annotations

import contextlib
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from bandeau.errors import LedgerError
from bandeau.ledger.place import store_at
from bandeau.measure import View, Views, view
from bandeau.measure import store as module
from bandeau.measure.count import device
from bandeau.policy.file import loads
from bandeau.site import Site
from bandeau.wire.headers import RawHeaders, every
from conftest import POSTED, SMALL, request, through
from ledger.postgres_server import server

PHONE = b"Mozilla/5.0 (iPhone; CPU iPhone OS 17_0 like Mac OS X) Mobile/15E148 Safari/604.1"
DESKTOP = b"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/130.0 Safari/537.36"
HTML: RawHeaders = [(b"content-type", b"text/html; charset=utf-8")]
OWN = {"www.own.localhost"}


def seen(*headers: tuple[bytes, bytes], path: str = "/a", **kw: Any) -> View | None:
    sent: RawHeaders = [(b"user-agent", DESKTOP), *headers]
    asked = request(path, sent, kw.get("method", "GET"))
    return view(asked, kw.get("status", 200), page=kw.get("page", True), own=OWN)


def test_a_view_is_a_path_a_host_and_a_class() -> None:
    assert seen() == View("/a", "", "desktop")
    assert seen(path="/a?b=secret") == View("/a", "", "desktop")
    came = (b"referer", b"https://search.example/find?q=a+name")
    assert seen(came) == View("/a", "search.example", "desktop")
    assert seen((b"referer", b"http://www.own.localhost:9000/x")) == View("/a", "", "desktop")
    assert seen((b"referer", b"\xff\x00::nonsense")) == View("/a", "", "desktop")


@pytest.mark.parametrize(
    ("agent", "found"),
    [
        (PHONE, "phone"),
        (DESKTOP, "desktop"),
        (b"Mozilla/5.0 (iPad; CPU OS 16_0 like Mac OS X) Mobile/15E148", "tablet"),
        (b"Mozilla/5.0 (Linux; Android 14; SM-X200) Chrome/130.0 Safari/537.36", "tablet"),
        (b"Mozilla/5.0 (Linux; Android 14; Pixel 8) Chrome/130.0 Mobile Safari/537.36", "phone"),
    ],
)
def test_device_classes(agent: bytes, found: str) -> None:
    assert device(agent) == found


@pytest.mark.parametrize(
    "agent",
    [
        b"",
        b"curl/8.5",
        b"Googlebot/2.1",
        b"python-requests/2",
        b"HeadlessChrome/130",
        b"Some Spider",
    ],
)
def test_robots_are_left_out(agent: bytes) -> None:
    asked = request("/a", [(b"user-agent", agent)])
    assert view(asked, 200, page=True, own=OWN) is None


@pytest.mark.parametrize(
    "more",
    [{"status": 404}, {"status": 301}, {"page": False}, {"method": "POST"}, {"method": "HEAD"}],
)
def test_what_nobody_reads_is_no_view(more: dict[str, Any]) -> None:
    assert seen(**more) is None


def test_prefetches_are_no_views_and_revalidated_pages_are() -> None:
    assert seen((b"sec-purpose", b"prefetch;prerender")) is None
    assert seen((b"purpose", b"prefetch")) is None
    assert seen(status=304, page=False) == View("/a", "", "desktop")


@pytest.fixture(params=["sqlite", "postgres"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of a database with a ledger in it."""
    with contextlib.ExitStack() as stack:
        url = f"sqlite:///{tmp_path / 'v.db'}"
        if request.param == "postgres":
            url = stack.enter_context(server().database())
        store_at(url).close()
        yield url


@pytest.fixture
def views(place: str) -> Iterator[Views]:
    made = Views(place, 760, lambda: 20_000)
    yield made
    made.close()


def test_nothing_is_lost_from_many_threads(views: Views) -> None:
    def many() -> None:
        for number in range(2500):
            views.add(View(f"/{number % 7}", "", "phone"))

    threads = [threading.Thread(target=many) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(count for _, count in views.sums("path")) == 20_000
    assert views.days(last=2) == [(19_999, 0), (20_000, 20_000)]
    assert views.days("/0", last=1) == [(20_000, 8 * 358)]
    assert views.sums("device") == [("phone", 20_000)]
    with pytest.raises(ValueError, match="path, referrer and device"):
        views.sums("day")


def test_several_processes_add_up(place: str) -> None:
    made = [Views(place, 760, lambda: 20_000) for _ in range(4)]
    for number in range(400):
        path = f"/{number % 7}" if number % 8 < 4 else f"/{7 - number % 7}"
        made[number % 4].add(View(path, "", "phone"))
    flushing = [threading.Thread(target=views.close) for views in made]
    for thread in flushing:
        thread.start()
    for thread in flushing:
        thread.join()
    last = Views(place, 760, lambda: 20_000)
    assert sum(count for _, count in last.sums("path")) == 400
    last.close()


def test_what_a_database_cannot_hold_stops_no_other_view(views: Views) -> None:
    for path in ("/\0a", "/\xe9\U0001f36a" * 100, "/b"):
        views.add(View(path[:300], "", "phone"))
    assert dict(views.sums("path"))["/b"] == 1
    assert sum(count for _, count in views.sums("path")) == 3


def test_a_database_that_cannot_be_opened_is_named_without_its_password(tmp_path: Path) -> None:
    with pytest.raises(LedgerError, match="page views"):
        Views(tmp_path, 760)
    with pytest.raises(LedgerError, match="page views") as caught:
        Views("postgresql://u:s3cret@127.0.0.1:1/db", 760)
    assert "s3cret" not in str(caught.value)


def test_sums_survive_and_add_up_over_restarts(place: str) -> None:
    for _ in range(3):
        views = Views(place, 760, lambda: 20_000)
        views.add(View("/", "", "phone"))
        views.close()
    again = Views(place, 760, lambda: 20_000)
    assert again.sums("path") == [("/", 3)]
    again.close()


def test_what_is_too_old_goes(place: str) -> None:
    for day in (20_000, 20_400, 20_760):
        views = Views(place, 760, lambda day=day: day)  # type: ignore[misc]
        views.add(View("/", "", "phone"))
        views.close()
    last = Views(place, 760, lambda: 20_760)
    kept = [(day, count) for day, count in last.days(last=1000) if count]
    assert kept == [(20_400, 1), (20_760, 1)]
    last.close()


def test_strangers_cannot_fill_the_disk(views: Views, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PATHS_A_DAY", 10)
    for number in range(1000):
        views.add(View(f"/{number}", "", "phone"))
    assert len(views.sums("path")) == 11
    assert views.sums("path")[0] == (module.OTHERS, 990)


def test_a_locked_database_loses_nothing(views: Views, monkeypatch: pytest.MonkeyPatch) -> None:
    views.add(View("/", "", "phone"))

    def locked(error: type[Exception]) -> Any:
        def connect(*_args: object, **_kw: object) -> None:
            raise error("the database is locked")

        return connect

    with monkeypatch.context() as patched:
        patched.setattr(sqlite3, "connect", locked(sqlite3.OperationalError))
        patched.setattr(psycopg, "connect", locked(psycopg.OperationalError))
        views.flush()
    assert views.sums("path") == [("/", 1)]


AUDIENCE = """
[measure]
page_views = true
[[purpose]]
id = "audience"
[[tracker]]
name = "seen_since"
kind = "cookie"
purpose = "audience"
exempt = "audience"
max_age_days = 390
"""


@pytest.fixture
def measured(tmp_path: Path) -> Iterator[Site]:
    made = Site.from_policy(loads(SMALL + AUDIENCE), f"sqlite:///{tmp_path / 'b.db'}")
    yield made
    made.close()


def test_a_site_counts_its_pages_and_keeps_nothing_of_its_visitors(
    measured: Site, tmp_path: Path
) -> None:
    sent = [
        (b"user-agent", PHONE),
        (b"x-forwarded-for", b"192.0.2.77"),
        (b"cookie", b"session=s3cret"),
    ]
    for path in ("/a", "/a?name=nobody", "/b"):
        through(measured.exchange(request(path, sent)), HTML, b"<p>")
    assert measured.views
    assert measured.views.sums("path") == [("/a", 2), ("/b", 1)]
    measured.close()
    kept = b"".join(file.read_bytes() for file in tmp_path.glob("b.db*"))
    for secret in (b"192.0.2", b"s3cret", b"nobody", b"iPhone", b"Mozilla"):
        assert secret not in kept


def test_an_objection_works_without_a_script_and_ends_reading_too(measured: Site) -> None:
    """Rule J5: after it nothing is written, read or counted for audience measurement."""
    cookie = (b"cookie", b"seen_since=2026-11; session=1")
    assert dict(measured.exchange(request("/", [cookie])).request_headers)[b"cookie"] == cookie[1]
    exchange = measured.exchange(request("/_b/audience", [*POSTED, cookie], "POST"))
    reply = measured.answer_sync(exchange, b"measure=off&back=/_b/trackers")
    assert reply.status == 303
    lines = every(reply.headers, b"set-cookie")
    assert lines[0].startswith(b"bandeau-audience=0; Max-Age=34214400; Path=/; HttpOnly")
    assert any(line.startswith(b"seen_since=; Max-Age=0") for line in lines)
    objects = (b"cookie", cookie[1] + b"; bandeau-audience=0")
    after = measured.exchange(request("/", [objects, (b"user-agent", PHONE)]))
    assert dict(after.request_headers)[b"cookie"] == b"session=1"
    setting = [*HTML, (b"set-cookie", b"seen_since=2026-11; Max-Age=33696000")]
    filtered = after.response(200, setting)
    assert not any(b"2026-11" in line for line in every(filtered.headers, b"set-cookie"))
    assert measured.views
    assert measured.views.sums("path") == []
    page = measured.exchange(request("/_b/trackers", [objects]))
    assert b"n\xe2\x80\x99est pas compt" in measured.answer_sync(page, b"").body
    back = measured.exchange(request("/_b/audience", [*POSTED, objects], "POST"))
    assert (
        b"Max-Age=0" in every(measured.answer_sync(back, b"measure=on").headers, b"set-cookie")[0]
    )


@pytest.mark.parametrize(("sent", "body", "status"), [([], b"measure=off", 403), (POSTED, b"measure=x", 400), (POSTED, b"\xff", 400)])  # fmt: skip
def test_nobody_else_can_object_for_a_visitor(
    measured: Site, sent: RawHeaders, body: bytes, status: int
) -> None:
    exchange = measured.exchange(request("/_b/audience", sent, "POST"))
    reply = measured.answer_sync(exchange, body)
    assert reply.status == status
    assert not every(reply.headers, b"set-cookie")
    assert measured.answer_sync(measured.exchange(request("/_b/audience")), b"").status == 405
