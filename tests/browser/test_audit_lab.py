"""The inspector in a lab of planted deposits: all of them found, each with who did it, nothing invented."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

import pytest

from bandeau.audit import look, observe, scenario, watch
from bandeau.audit.observe import ASKED, Observation, Reader
from bandeau.audit.pipe import BrowserError
from bandeau.audit.scenario import Plan, apart, run
from bandeau.audit.watch import Chromium, Raw, Setting, Watch
from browser.lab import lab

if not shutil.which("chromium"):
    pytest.skip("there is no chromium here", allow_module_level=True)


class Seen(NamedTuple):
    url: str
    events: list[Raw]

    def read(self) -> list[Observation]:
        return Reader(self.url).read(self.events)


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    with lab() as found:
        yield found


@pytest.fixture(scope="module")
def both(port: int, tmp_path_factory: pytest.TempPathFactory) -> tuple[Seen, Seen]:
    """Two visits to the lab, raw, side by side in one browser."""
    url = f"http://site.localhost:{port}/lab"

    async def visits() -> tuple[Seen, Seen]:
        browser = await Chromium.started(Setting(), tmp_path_factory.mktemp("profile"))
        try:
            first, second = await asyncio.gather(visit(browser), visit(browser))
        finally:
            await browser.stop()
        return first, second

    async def visit(browser: Chromium) -> Seen:
        opened = await Watch.within(Setting(), browser)
        try:
            session = await opened.page()
            opened.mark("arrive")
            await opened.go(session, url)
            await opened.evaluate(session, "scrollTo(0, document.body.scrollHeight)")
            for _ in range(20):  # a busy machine starts the service worker later
                await opened.settled(1.0)
                if any("sw_cookie" in str(one.params) for one in opened.events):
                    break
            hints = await opened.evaluate(
                session,
                "[...document.querySelectorAll('link[rel=preconnect]')].map((l) => [l.rel, l.href])",
            )
            opened.note("bandeau.hints", {"page": url, "hints": hints})
            opened.note("bandeau.tags", {"tags": await opened.evaluate(session, scenario._TAGS)})
            opened.note("bandeau.jar", {"cookies": await opened.cookies()})
            copies = await opened.evaluate(session, look.page("copies"))
            opened.note("bandeau.copies", {"copies": copies})
            await opened.go(session, f"http://site.localhost:{port}/empty")
            await opened.settled(0.3)
        finally:
            await opened.close()
        assert opened.unwatched == []
        return Seen(url, opened.events)

    return apart(visits())


@pytest.fixture(scope="module")
def seen(both: tuple[Seen, Seen]) -> Seen:
    return both[0]


# kind, name, host, what the first link of the chain names, what the chain leads to in the page
TRUTH = [
    ("cookie_kept", "h_session", "site", "response of", "/lab"),
    ("cookie_kept", "h_730", "site", "response of", "/lab"),
    ("cookie_kept", "h_deep", "site", "response of", "/lab"),
    ("cookie_refused", "h_foreign", "foreign.example", "response of", "/lab"),
    ("cookie_kept", "js_cookie", "site", "/own.js:2", '/lab <script src="/own.js">'),
    ("cookie_kept", "flash", "site", "/own.js:3", '/lab <script src="/own.js">'),
    ("cookie_deleted", "flash", "site", "/own.js:3", '/lab <script src="/own.js">'),
    ("cookie_deleted", "gone", "site", "/own.js:16", '/lab <script src="/own.js">'),
    ("cookie_kept", "late", "site", "/own.js:4", '/lab <script src="/own.js">'),
    ("cookie_kept", "cs_cookie", "site", "/own.js:5", '/lab <script src="/own.js">'),
    ("cookie_kept", "realm", "site", "/own.js:10", '/lab <script src="/own.js">'),
    ("cookie_kept", "sw_cookie", "site", "/sw.js:1", "/lab"),
    ("cookie_kept", "hop", "site", "/hop", '/lab <img srcset="/hop">'),
    ("cookie_kept", "r1", "tracker", "/r1", '/lab <img srcset="/hop">'),
    ("cookie_kept", "r2", "embed", "/r2", '/lab <img srcset="/hop">'),
    ("cookie_kept", "t_first", "site", "/t.js:2", '/lab <script src="http://tracker.'),
    ("cookie_kept", "t_id", "tracker", "/pixel", "/t.js:4"),
    ("cookie_kept", "t_part", "tracker", "/pixel", "/t.js:4"),
    ("cookie_kept", "e_js", "embed", "/frame:2", '/lab <iframe src="http://embed.'),
    ("cookie_kept", "e_lazy", "embed", "response of", '/lab <iframe src="http://embed.'),
    ("cookie_read", "document.cookie", "site", "/t.js:3", '/lab <script src="http://tracker.'),
    ("cookie_sent", "t_id", "tracker", "/t.js:7", '/lab <script src="http://tracker.'),
    ("storage_kept", "ls_set", "site", "/own.js:6", '/lab <script src="/own.js">'),
    ("storage_kept", "ls_prop", "site", "unattributed", ""),
    ("storage_kept", "ss_set", "site", "/own.js:7", '/lab <script src="/own.js">'),
    ("storage_kept", "idb_lab", "site", "/own.js:8", '/lab <script src="/own.js">'),
    ("storage_kept", "cache_lab", "site", "/own.js:8", '/lab <script src="/own.js">'),
    ("storage_kept", "idb_worker", "site", "/worker.js:1", "/lab"),
    ("storage_kept", "/sw.js", "site", "/own.js:12", '/lab <script src="/own.js">'),
    ("storage_kept", "e_ls", "embed", "/frame:2", '/lab <iframe src="http://embed.'),
    ("request", "/from-worker", "tracker", "/worker.js:1", "/lab"),
    ("request", "/beacon", "tracker", "/t.js:5", '/lab <script src="http://tracker.'),
    ("connection", "/socket", "tracker", "/t.js:6", '/lab <script src="http://tracker.'),
    ("request", "/leaving", "tracker", "/t.js:8", '/lab <script src="http://tracker.'),
    ("hint", "hinted.localhost", "hinted", "preconnect", "/lab"),
    ("hint", "linked.localhost", "linked", "Link header", "/lab"),
    ("fingerprint", "canvas.toDataURL", "site", "/own.js:13", '/lab <script src="/own.js">'),
    ("fingerprint", "webgl.getParameter", "site", "/own.js:14", '/lab <script src="/own.js">'),
    ("cookie_in_jar", "h_deep", "site", "", ""),
    ("copy", "Consent Mode ad_storage", "", "", ""),
    ("copy", "UET ad_storage", "", "", ""),
]  # fmt: skip


def found(seen: list[Observation], row: tuple[str, str, str, str, str]) -> bool:
    kind, name, host, first, leads = row
    return any(
        one.kind == kind
        and name in one.name
        and host in one.host
        and (not first or (one.chain and first in one.chain[0]))
        and (not leads or any(leads in step for step in one.chain))
        for one in seen
    )


@pytest.mark.parametrize("row", TRUTH, ids=lambda row: f"{row[0]} {row[1]}")
def test_every_planted_deposit_is_found_with_who_did_it(
    seen: Seen, row: tuple[str, str, str, str, str]
) -> None:
    assert found(seen.read(), row)


def test_walks_side_by_side_see_the_same_and_nothing_of_each_other(
    both: tuple[Seen, Seen],
) -> None:
    kinds = ("cookie_kept", "cookie_refused", "cookie_in_jar", "storage_kept", "request", "hint")
    one, other = (  # an icon that is not there, the browser asks for once, whoever shows it
        sorted(
            (o.kind, o.name, o.host, o.chain)
            for o in visit.read()
            if o.kind in kinds and not o.name.endswith("/favicon.ico")
        )
        for visit in both
    )
    assert one == other


def test_what_an_earlier_walk_has_in_its_cache_is_asked_for_anew(port: int, tmp_path: Path) -> None:
    async def cached(browser: Chromium) -> list[bool]:
        opened = await Watch.within(Setting(), browser)
        session = await opened.page()
        for path in ("keeps", "empty", "keeps"):
            await opened.go(session, f"http://site.localhost:{port}/{path}")
        await opened.close()
        told = [one for one in opened.events if "kept.js" in str(one.params.get("response"))]
        memory = {
            one.params["requestId"]
            for one in opened.events
            if one.method == "Network.requestServedFromCache"
        }
        return [
            one.params["response"]["fromDiskCache"] or one.params["requestId"] in memory
            for one in told
            if one.method == "Network.responseReceived"
        ]

    async def visits() -> list[list[bool]]:
        browser = await Chromium.started(Setting(), tmp_path)
        try:
            return [await cached(browser), await cached(browser)]
        finally:
            await browser.stop()

    assert apart(visits()) == [[False, True], [False, True]]


def test_nothing_is_invented(seen: Seen) -> None:
    planted = {name for kind, name, *_ in TRUTH if kind.startswith("cookie")}
    cookies = {
        one.name
        for one in seen.read()
        if one.kind in ("cookie_kept", "cookie_in_jar", "cookie_refused")
    }
    assert cookies <= planted
    stored = {one.name for one in seen.read() if one.kind == "storage_kept"}
    assert stored == {name for kind, name, *_ in TRUTH if kind == "storage_kept"}
    hosts = {one.host.partition(".")[0] for one in seen.read() if one.kind == "request"}
    assert hosts == {"site", "tracker", "embed", "linked"}


def test_lifetimes_are_those_that_were_sent_and_not_the_jar_s(seen: Seen) -> None:
    asked = {one.name: one.detail["seconds"] for one in seen.read() if one.kind == "cookie_kept"}
    assert asked["h_730"] == asked["js_cookie"] == 730 * 86_400
    assert asked["h_session"] is None


def test_what_the_browser_refused_says_why_and_what_it_partitioned_is_marked(seen: Seen) -> None:
    by_name = {
        one.name: one for one in seen.read() if one.kind in ("cookie_kept", "cookie_refused")
    }
    assert by_name["h_foreign"].detail["reasons"] == ["InvalidDomain"]
    assert by_name["t_part"].detail["partitioned"]
    assert not by_name["t_id"].detail["partitioned"]
    assert by_name["t_first"].third is False
    assert by_name["t_id"].third is True


def test_an_update_outranks_a_later_default_and_a_region_one_for_all(seen: Seen) -> None:
    copies = {one.name: one.detail["granted"] for one in seen.read() if one.kind == "copy"}
    assert copies == {
        "Consent Mode ad_storage": True,
        "Consent Mode ad_user_data": False,
        "UET ad_storage": True,
    }


COLLECTORS = [
    *(name for name in observe._HANDLERS if name not in ("bandeau.station", "bandeau.storage", "Network.loadingFailed", "Audits.issueAdded", "Network.webTransportCreated", "DOMStorage.domStorageItemUpdated")),
    *(f"script {kind}" for kind in ("cookie_written", "cookie_deleted", "cookie_read", "storage_written", "fingerprint")),
]  # fmt: skip


@pytest.mark.parametrize("collector", COLLECTORS)
def test_without_a_collector_something_is_missed(seen: Seen, collector: str) -> None:
    """The truth notices each of them: one that could go unnoticed would be no evidence."""
    kind = collector.removeprefix("script ")
    events = [
        one
        for one in seen.events
        if one.method != collector and not (kind != collector and one.params.get("kind") == kind)
    ]
    rest = Seen(seen.url, events).read()
    assert not all(found(rest, row) for row in TRUTH)


def test_the_browser_itself_asks_nobody_who_sets_cookies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Google's accounts would keep one in the jar, and a site that brings nobody would fail for it."""
    asked: list[bytes] = []

    async def met(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await reader.read(4096))  # TLS says in clear whom it is for
        writer.close()

    async def visit() -> None:
        server = await asyncio.start_server(met, "127.0.0.1", 0)
        everybody = f"--host-resolver-rules=MAP * 127.0.0.1:{server.sockets[0].getsockname()[1]}"
        monkeypatch.setattr(watch, "FLAGS", (*watch.FLAGS, everybody))
        opened = await Watch.opened(Setting(), tmp_path)
        with contextlib.suppress(BrowserError):
            await opened.go(await opened.page(), "http://example.test/")
        await asyncio.sleep(1)
        await opened.close()
        server.close()

    apart(visit())
    assert any(b"example.test" in one for one in asked)
    assert not [one for one in asked if b"accounts.google" in one]


def test_what_a_policy_of_the_page_s_barred_is_no_request(port: int) -> None:
    done = apart(run(Plan(f"http://site.localhost:{port}/barred"), "no-choice"))
    assert done.completed, done.facts
    assert [one.name for one in done.observations if one.kind in ASKED and one.third] == []
    asked = {urlsplit(one.name).path for one in done.observations if one.kind == "request"}
    assert asked >= {"/barred", "/hop", "/barred.js"}


@pytest.mark.parametrize("path", ["/endless", "/alert", "/closes", "/empty"])
def test_a_page_that_never_rests_is_audited_all_the_same(port: int, path: str) -> None:
    done = apart(run(Plan(f"http://site.localhost:{port}{path}"), "gpc"))
    assert done.completed, done.facts
    assert done.observations


def test_a_download_instead_of_a_page_ends_with_a_reason(port: int) -> None:
    done = apart(run(Plan(f"http://site.localhost:{port}/download"), "no-choice"))
    assert (done.completed, done.reason) == (False, "error")


def test_a_server_that_is_not_there_is_no_clean_site() -> None:
    done = apart(run(Plan("http://127.0.0.1:9/"), "no-choice"))
    assert (done.completed, done.reason) == (False, "error")


def test_a_worker_whose_script_is_not_there_never_ran_and_needed_no_watching(port: int) -> None:
    done = apart(run(Plan(f"http://site.localhost:{port}/stillborn"), "no-choice"))
    assert (done.completed, done.unwatched) == (True, [])


def test_a_page_without_a_notice_says_so(port: int) -> None:
    done = apart(run(Plan(f"http://site.localhost:{port}/empty"), "refuse"))
    assert (done.completed, done.reason) == (False, "no-notice")


def test_a_browser_that_is_not_there_is_a_reason_too(tmp_path: Path) -> None:
    done = apart(run(Plan("http://127.0.0.1:9/", executable=str(tmp_path / "none")), "no-choice"))
    assert (done.completed, done.reason) == (False, "error")


def test_what_begs_far_below_the_page_is_no_notice_and_all_of_the_page_is_walked(port: int) -> None:
    done = apart(run(Plan(f"http://site.localhost:{port}/below"), "no-choice"))
    assert done.completed, done.facts
    assert done.layers == []
    assert "/lazy" in {urlsplit(one.name).path for one in done.observations}


def test_a_notice_that_fades_in_within_the_page_is_read_whole_and_not_all_of_the_page(
    port: int,
) -> None:
    done = apart(run(Plan(f"http://site.localhost:{port}/within"), "no-choice"))
    assert done.completed, done.facts
    box = done.layers[0]["box"]
    assert box["text"].split() == ["We", "use", "cookies.", "Accept", "all", "Reject", "all"]
    assert [one["ground"] for one in box["grounds"] if one["text"] == "We use cookies."] == [
        "rgb(255, 255, 255)"  # read when it had faded in
    ]


@pytest.mark.parametrize(
    ("path", "name", "labels"),
    [
        ("/words", "words", ["Continue without accepting", "Accept all", "Preferences"]),
        ("/shadow", "usercentrics-2", ["Accept all", "Decline all"]),
    ],
)
def test_a_layer_is_what_shares_a_container_and_nothing_else_of_the_page(
    port: int, path: str, name: str, labels: list[str]
) -> None:
    done = apart(run(Plan(f"http://site.localhost:{port}{path}"), "small"))
    assert done.completed, done.facts
    (layer,) = done.layers
    assert layer["name"] == name
    assert [one["label"] for one in layer["controls"]] == labels
    assert [one["label"] for one in done.facts["reached"] if not one["hit"]] == []
