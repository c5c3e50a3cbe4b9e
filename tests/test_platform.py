"""A site whose choices a consent platform asks for: what its string opens, and only once it is recorded."""

from __future__ import annotations

import asyncio
import itertools
import json
import random
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from bandeau.adapters.asgi import Middleware, Receive, Scope, Send, send_reply
from bandeau.decision.model import Decision, Event, State
from bandeau.errors import LedgerError
from bandeau.ledger import record
from bandeau.ledger.keys import Keys
from bandeau.ledger.ledger import Ledger
from bandeau.ledger.place import store_at
from bandeau.policy.file import loads
from bandeau.site import Exchange, Site, origin
from bandeau.wire import tcf
from bandeau.wire.headers import RawHeaders, every, first
from bandeau.wire.messages import Reply
from bandeau.wire.tcf import Restriction
from conftest import MAPPED, ORIGIN, POSTED, SMALL, chosen, decisions, request, through
from wire.tcf_strings import DAY, ids, made

TODAY = 20_600  # days since 1970: what `made` writes
NOW = TODAY * 1440 + 600  # minutes
HTML: RawHeaders = [(b"content-type", b"text/html; charset=utf-8")]
PAGE = b'<html lang="en"><head><title>t</title></head><body><p>x<iframe src="//square.localhost/f"></iframe></body></html>'
MEANT = {"audience": {1, 8}, "ads": {1, 2}, "social": {1, 11}}  # as the policy maps them
ORDER = tuple(MEANT)
JUNK = (b"count_me=1", b"chained=1", b"seen=1", b"other=1")  # cookies that came along
VENDORS = (10, 20, 30)
Open = Callable[..., Site]


def made_of(folder: Path, text: str = MAPPED, now: Callable[[], int] = lambda: NOW) -> Site:
    """Open a site of a policy, at a fixed minute; one folder has one ledger."""
    policy, store = loads(text), store_at(f"sqlite:///{folder / 'b.db'}")
    keys = Keys(folder / "b.key", new=store.head() is None)
    return Site(policy, Ledger(store, keys, origin(policy)), now=now)


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Open]:
    """Sites of one ledger, each of a policy."""
    sites: list[Site] = []

    def new(text: str = MAPPED, now: Callable[[], int] = lambda: NOW) -> Site:
        sites.append(made_of(tmp_path, text, now))
        return sites[-1]

    yield new
    for site in sites:
        site.close()


@pytest.fixture
def site(opened: Open) -> Site:
    return opened()


@pytest.fixture(scope="module")
def mapped(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A site for all who only ask what passes."""
    site = made_of(tmp_path_factory.mktemp("mapped"))
    yield site
    site.close()


def string(purposes: Iterable[str] = ORDER, vendors: Iterable[int] = VENDORS, **more: Any) -> str:
    """Return a string that consents to purposes of the policy, and vendors."""
    wanted = set(purposes)
    features = (1,) if "ads" in wanted else ()
    numbers = set().union(*(MEANT[one] for one in wanted))
    return made(numbers, vendors, special_features=features, **more)


def cookie(value: str, *others: bytes) -> RawHeaders:
    return [(b"cookie", b"; ".join([b"euconsent-v2=" + value.encode(), *others]))]


def visit(site: Site, headers: RawHeaders, path: str = "/") -> Exchange:
    return site.recorded_sync(site.exchange(request(path, headers)))


def kept(exchange: Exchange) -> bytes:
    """Return the Set-Cookie of ours that the page carries, as a pair to send back."""
    lines = every(exchange.response(200, HTML).headers, b"set-cookie")
    (line,) = [line for line in lines if line.startswith(b"bandeau=")]
    assert b"HttpOnly" in line
    return line.partition(b";")[0]


def returned(site: Site, value: str, *others: bytes) -> Exchange:
    """Visit twice: the second time with what the first visit left."""
    return visit(site, cookie(value, kept(visit(site, cookie(value))), *others))


# -- What passes ---------------------------------------------------------------------------------------


def subsets(items: Iterable[Any]) -> list[tuple[Any, ...]]:
    found = tuple(items)
    return [one for n in range(len(found) + 1) for one in itertools.combinations(found, n)]


def expected(purposes: set[str], vendors: set[int]) -> dict[str, bool]:
    """What passes, as it follows from the policy's text."""
    audience, ads, social = (one in purposes for one in ORDER)
    return {
        "script platform.localhost": True,
        "connect platform.localhost": True,
        "script counter.localhost": audience and 10 in vendors,
        "script chain.localhost": ads and 20 in vendors,
        "frame chain.localhost": ads and 20 in vendors,
        "image follower.localhost": ads and 10 in vendors,
        "script tags.localhost": (ads or social) and 30 in vendors,
        "frame square.localhost": social,
        "script square.localhost": False,
        "cookie euconsent-v2": True,
        "cookie count_me": audience and 10 in vendors,
        "cookie chained": ads and 20 in vendors,
        "cookie seen": social,
        "cookie other": False,
        "page /slot/1": ads and 20 in vendors,
        "page /comments/1": social,
        "geolocation": ads,
    }


def seen(site: Site, sent: str) -> dict[str, bool]:
    """What passes, as a browser and the application would find it."""
    return seen_by(returned(site, sent, *JUNK))


def seen_by(exchange: Exchange) -> dict[str, bool]:
    assert exchange.change is None
    policy = (
        first(exchange.response(200, HTML).headers, b"content-security-policy") or b""
    ).decode()
    read = b"; ".join(every(exchange.request_headers, b"cookie")).decode()
    headers = dict(exchange.response(200, HTML).headers)
    ours = [pair for pair in exchange.request.headers if pair[0] == b"cookie"]
    found = {}
    for item in expected(set(), set()):
        kind, _, name = item.partition(" ")
        if kind == "cookie":
            found[item] = f"{name}=" in read
        elif kind == "page":
            found[item] = exchange.site.exchange(request(name, ours)).reply is None
        elif kind == "geolocation":
            found[item] = b"permissions-policy" not in headers
        else:
            found[item] = exchange.allowance.allows(name, kind)
            assert found[item] <= (name in policy), (item, policy)
    assert ("square.localhost" in policy) is found["frame square.localhost"]
    return found


@pytest.mark.parametrize("purposes", subsets(ORDER), ids="+".join)
@pytest.mark.parametrize("vendors", subsets(VENDORS), ids=lambda v: "+".join(map(str, v)))
def test_every_combination_of_purposes_and_vendors_opens_what_is_its(
    mapped: Site, purposes: tuple[str, ...], vendors: tuple[int, ...]
) -> None:
    exchange = returned(mapped, string(purposes, vendors), *JUNK)
    assert seen_by(exchange) == expected(set(purposes), set(vendors))
    consent = exchange.consent
    assert consent.granted == set(purposes)
    assert consent.asks == set()
    states = {0: State.REFUSED, 1: State.PARTIAL, 2: State.PARTIAL, 3: State.GRANTED}
    assert consent.state is states[len(purposes)]
    told = every(exchange.request_headers, b"bd-purposes")
    assert told == [", ".join(purposes).encode()]


def test_a_purpose_needs_all_that_it_is_mapped_to(mapped: Site) -> None:
    for numbers in subsets((1, 2, 8, 11)):
        for features in ((), (1,), (2,)):
            sent = made(numbers, VENDORS, special_features=features)
            granted = {one for one, meant in MEANT.items() if meant <= set(numbers)}
            granted -= set() if 1 in features else {"ads"}
            assert returned(mapped, sent).consent.granted == granted


def test_a_legitimate_interest_opens_nothing(mapped: Site) -> None:
    every_one = ids(range(1, 25), 24)
    sent = made((), (), purposes_by_interest=every_one, vendors_by_interest=ids(VENDORS))
    assert seen(mapped, sent) == expected(set(), set())
    sent = string(ORDER, (), vendors_by_interest=ids(VENDORS))
    assert seen(mapped, sent) == expected(set(ORDER), set())


def test_a_vendor_that_was_not_disclosed_is_closed(mapped: Site) -> None:
    for disclosed in subsets(VENDORS):
        sent = string(ORDER, VENDORS, disclosed=disclosed)
        assert seen(mapped, sent) == expected(set(ORDER), set(disclosed))


def test_a_string_of_before_march_2026_need_not_disclose(opened: Open) -> None:
    day = tcf.DISCLOSED_SINCE // DAY
    site = opened(now=lambda: day * 1440)
    old = string(created=(day - 1) * DAY, updated=(day - 1) * DAY, disclosed=None)
    assert seen(site, old) == expected(set(ORDER), set(VENDORS))
    new = string(created=day * DAY, updated=day * DAY, disclosed=None)
    assert visit(site, cookie(new)).consent.state is State.UNDECIDED


@pytest.mark.parametrize(
    ("kind", "purpose", "vendor", "closed"),
    [
        (tcf.NOT_ALLOWED, 2, 20, {"script chain.localhost", "frame chain.localhost", "cookie chained", "page /slot/1"}),
        (tcf.REQUIRE_INTEREST, 2, 20, {"script chain.localhost", "frame chain.localhost", "cookie chained", "page /slot/1"}),
        (3, 2, 10, {"image follower.localhost"}),
        (tcf.NOT_ALLOWED, 8, 10, {"script counter.localhost", "cookie count_me"}),
        (tcf.NOT_ALLOWED, 1, 10, {"script counter.localhost", "cookie count_me", "image follower.localhost"}),
        (tcf.NOT_ALLOWED, 2, 30, set()),  # it may still serve the other purpose
        (tcf.NOT_ALLOWED, 1, 30, {"script tags.localhost"}),
        (tcf.REQUIRE_CONSENT, 1, 10, set()),
        (tcf.NOT_ALLOWED, 3, 10, set()),
        (tcf.NOT_ALLOWED, 1, 11, set()),
    ],
)  # fmt: skip
def test_a_publisher_s_restriction_closes_a_vendor_for_its_purpose(
    mapped: Site, kind: int, purpose: int, vendor: int, closed: set[str]
) -> None:
    restriction = Restriction(purpose, kind, ids((vendor,)))
    found = seen(mapped, string(restrictions=(restriction,)))
    assert {item for item, passes in found.items() if not passes} == closed | {
        "script square.localhost",
        "cookie other",
    }


# -- What is no choice ---------------------------------------------------------------------------------

GRANTING = string()
NONE = {
    "absent": [],
    "empty": cookie(""),
    "unreadable": cookie(GRANTING[:-3]),
    "not ASCII": [(b"cookie", b"euconsent-v2=\xff" + GRANTING.encode())],
    "two that differ": cookie(GRANTING, b"euconsent-v2=" + string(()).encode()),
    "in another cookie": [(b"cookie", b"euconsent=" + GRANTING.encode())],
    "of another service": cookie(string(service_specific=False)),
    "too old": cookie(string(updated=(TODAY - 183) * DAY)),
    "of a day to come": cookie(string(updated=(TODAY + 2) * DAY)),
}  # fmt: skip


@pytest.mark.parametrize("headers", NONE.values(), ids=NONE)
def test_what_is_no_string_is_no_choice(mapped: Site, headers: RawHeaders) -> None:
    exchange = visit(mapped, headers)
    assert exchange.consent.state is State.UNDECIDED
    assert not exchange.consent.passes
    assert exchange.policy == mapped.narrowest
    assert exchange.change is None


def test_a_string_holds_as_long_as_a_choice_does(opened: Open) -> None:
    minute = NOW
    site = opened(now=lambda: minute)
    ours = kept(visit(site, cookie(GRANTING)))
    for days, state in ((181, State.GRANTED), (182, State.UNDECIDED)):
        minute = TODAY * 1440 + days * 1440
        assert visit(site, cookie(GRANTING, ours)).consent.state is state
    minute = (TODAY - 1) * 1440 + 1  # a clock behind, or a visitor east of us
    assert visit(site, cookie(GRANTING)).consent.state is State.GRANTED


def test_the_same_string_twice_is_one(mapped: Site) -> None:
    twice = cookie(GRANTING, b"euconsent-v2=" + GRANTING.encode())
    assert visit(mapped, twice).consent.state is State.GRANTED


def test_a_string_is_worth_nothing_under_another_host(mapped: Site) -> None:
    asked = request("/", cookie(GRANTING))
    asked.host = "evil.example"
    exchange = mapped.recorded_sync(mapped.exchange(asked))
    assert exchange.consent.state is State.UNDECIDED
    assert exchange.change is None


def test_a_signal_refuses_where_no_string_is_and_yields_to_one(site: Site) -> None:
    signal = (b"sec-gpc", b"1")
    without = visit(site, [signal])
    assert (without.consent.state, without.consent.signal) == (State.REFUSED, True)
    with_one = visit(site, [*cookie(GRANTING), signal])
    assert (with_one.consent.state, with_one.consent.signal) == (State.GRANTED, True)
    assert [decision.signal for decision in decisions(site)] == [True]


# -- The register --------------------------------------------------------------------------------------


def recorded(site: Site) -> list[tuple[Event, list[str]]]:
    return [(one.event, [p for p, yes in one.choices if yes]) for one in decisions(site)]


@pytest.mark.parametrize(
    "headers",
    [
        [(b"sec-fetch-dest", b"script")],
        [(b"sec-fetch-dest", b"iframe")],
        [(b"sec-fetch-dest", b"document"), (b"sec-purpose", b"prefetch;prerender")],
        [(b"accept", b"image/*")],
    ],
)
def test_nothing_passes_before_a_page_has_recorded_it(mapped: Site, headers: RawHeaders) -> None:
    asked = request("/", cookie(GRANTING))
    asked = type(asked)("GET", asked.scheme, asked.host, "/", "", [*cookie(GRANTING), *headers])
    exchange = mapped.recorded_sync(mapped.exchange(asked))
    assert exchange.consent.state is State.UNDECIDED
    assert not exchange.consent.passes
    assert exchange.change is None
    assert not exchange.kept


def test_a_browser_that_does_not_say_what_it_fetches_for_is_recorded_by_its_pages(
    mapped: Site,
) -> None:
    headers = [*cookie(GRANTING), (b"accept", b"text/html,*/*;q=0.8")]
    asked = request("/")
    asked = type(asked)("GET", asked.scheme, asked.host, "/", "", headers)
    assert mapped.recorded_sync(mapped.exchange(asked)).consent.state is State.GRANTED


def test_a_page_of_ours_for_a_site_that_is_down_carries_what_was_recorded(mapped: Site) -> None:
    exchange = visit(mapped, cookie(GRANTING))
    assert exchange.kept
    assert set(exchange.kept) <= set(exchange.failure(502).headers)


def test_only_a_page_that_is_got_is_recorded(mapped: Site) -> None:
    for method in ("POST", "HEAD"):
        exchange = mapped.exchange(request("/", cookie(GRANTING), method))
        assert exchange.change is None
    for path in ("/_b/trackers", "/_b/key"):
        assert mapped.exchange(request(path, cookie(GRANTING))).change is None


def test_each_change_is_one_record_and_the_string_is_in_none(site: Site) -> None:
    ours: tuple[bytes, ...] = ()
    taken: list[frozenset[str]] = []
    site.on_withdraw = lambda purposes, _: taken.append(purposes)
    for purposes in (("social",), ("social",), ("ads", "social"), ORDER, ("ads",), (), (), ORDER):
        exchange = visit(site, cookie(string(purposes), *ours))
        assert exchange.consent.granted == set(purposes)
        ours = (kept(exchange),) if exchange.kept else ours
    assert recorded(site) == [
        (Event.CUSTOM, ["social"]),
        (Event.CUSTOM, ["ads", "social"]),
        (Event.ACCEPT_ALL, ["audience", "ads", "social"]),
        (Event.WITHDRAW, ["ads"]),
        (Event.WITHDRAW, []),
        (Event.ACCEPT_ALL, ["audience", "ads", "social"]),
    ]
    assert taken == [{"audience", "social"}, {"ads"}]
    assert record.encode(decisions(site)[2]) == (
        b"2026-05-27T10:00Z accept_all snapshot=2 language=en layer=tcf device=unknown signal=no"
        b" replaces=none audience=yes ads=yes social=yes"
    )


def test_every_change_is_the_event_that_a_post_would_be(mapped: Site) -> None:
    befores = {
        purposes: (kept(visit(mapped, cookie(string(purposes)))),) for purposes in subsets(ORDER)
    }
    for before, ours in [(None, ()), *befores.items()]:
        for after in subsets(ORDER):
            change = mapped.exchange(request("/", cookie(string(after), *ours))).change
            if before == after:
                assert change is None
                continue
            was, now = set(before or ()), set(after)
            assert change
            assert change.narrows is (now <= was)
            assert change.withdrawn == was - now
            if now == set(ORDER):
                assert change.decision.event is Event.ACCEPT_ALL
            elif now < was:
                assert change.decision.event is Event.WITHDRAW
            else:
                assert change.decision.event is (Event.CUSTOM if now else Event.REFUSE_ALL)


def test_a_refusal_is_recorded_too_and_holds_unrecorded(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    refusing = cookie(string(()))
    with monkeypatch.context() as patch:
        patch.setattr(site.ledger, "append", broken)
        exchange = visit(site, refusing)
        assert exchange.consent.state is State.REFUSED
        assert not exchange.kept
    assert visit(site, refusing).consent.state is State.REFUSED
    assert recorded(site) == [(Event.REFUSE_ALL, [])]


def broken(*_: object) -> None:
    raise LedgerError("disk full")


def test_what_cannot_be_recorded_does_not_pass_and_pages_still_come(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = kept(visit(site, cookie(string(("social",)))))
    with monkeypatch.context() as patch:
        patch.setattr(site.ledger, "append", broken)
        exchange = visit(site, cookie(GRANTING))
        assert exchange.consent.state is State.UNDECIDED
        assert exchange.policy == site.narrowest
        assert b"<p>x" in through(exchange, HTML, PAGE)
        assert visit(site, cookie(GRANTING, ours)).consent.granted == {"social"}
        assert visit(site, cookie(string(()), ours)).consent.granted == set()
    assert visit(site, cookie(GRANTING, ours)).consent.granted == set(ORDER)


def test_a_withdrawal_holds_at_once_for_whatever_is_fetched(mapped: Site) -> None:
    ours = kept(visit(mapped, cookie(GRANTING)))
    asked = request("/slot/1", cookie(string(("social",)), ours))
    fetched = type(asked)(
        "GET", asked.scheme, asked.host, "/slot/1", "", [(b"sec-fetch-dest", b"iframe"), *cookie(string(("social",)), ours)]
    )  # fmt: skip
    exchange = mapped.recorded_sync(mapped.exchange(fetched))
    assert exchange.consent.granted == {"social"}
    assert exchange.reply
    assert exchange.reply.status == 204


def test_a_withdrawal_removes_what_it_closes(mapped: Site) -> None:
    ours = kept(visit(mapped, cookie(GRANTING)))
    exchange = visit(mapped, cookie(string(("social",)), ours, b"count_me=1", b"seen=1"))
    headers = exchange.response(200, HTML).headers
    gone = [line for line in every(headers, b"set-cookie") if b"Max-Age=0" in line]
    assert {line.partition(b"=")[0] for line in gone} == {b"count_me", b"chained"}
    assert any(line.startswith(b"chained=; Max-Age=0; Path=/slot/") for line in gone)
    assert first(headers, b"clear-site-data") == b'"storage"'


def test_a_vendor_that_is_added_or_withdrawn_is_obeyed_and_is_no_new_record(site: Site) -> None:
    ours = kept(visit(site, cookie(string(ORDER, (10,)))))
    for vendors in ((10, 20), (), (20, 30), VENDORS):
        exchange = visit(site, cookie(string(ORDER, vendors), ours))
        assert not exchange.kept
        assert exchange.allowance.allows("chain.localhost", "script") is (20 in vendors)
    assert len(decisions(site)) == 1


def test_our_cookie_alone_grants_nothing(mapped: Site) -> None:
    ours = kept(visit(mapped, cookie(GRANTING)))
    for sent in ([(b"cookie", ours)], cookie("", ours), cookie(GRANTING[:-3], ours)):
        exchange = visit(mapped, sent)
        assert exchange.consent.state is State.UNDECIDED
        assert not exchange.consent.passes


def test_a_purpose_that_changed_waits_for_a_string_of_afterwards(opened: Open) -> None:
    more = MAPPED.replace("tcf_vendor = 20", "tcf_vendor = 20\ntransfer = 'none'")
    before = opened(MAPPED + "\n")
    ours = kept(visit(before, cookie(GRANTING)))
    before.close()
    minute = NOW
    site = opened(more, now=lambda: minute)
    for _ in range(2):
        exchange = visit(site, cookie(GRANTING, ours))
        assert exchange.consent.granted == {"audience", "social"}
        assert not exchange.kept
    minute += 1440
    later = string(created=(TODAY + 1) * DAY, updated=(TODAY + 1) * DAY)
    exchange = visit(site, cookie(later, ours))
    assert exchange.consent.granted == set(ORDER)
    assert recorded(site)[-1] == (Event.ACCEPT_ALL, list(ORDER))


def test_the_event_loop_records_before_the_application_is_asked(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[bytes, list[Decision]]] = []

    async def app(scope: Scope, _receive: Receive, send: Send) -> None:
        told = dict(scope["headers"])[b"bd-purposes"]
        asked.append((told, decisions(site)))
        await send_reply(send, Reply(200, HTML, PAGE), head=False)

    sent: list[dict[str, Any]] = []

    async def send(message: Any) -> None:
        sent.append(dict(message))

    async def receive() -> Any:
        return {"type": "http.request", "body": b"", "more_body": False}

    found = request("/", cookie(GRANTING))
    host = (b"host", ORIGIN.partition("//")[2].encode())
    scope = {
        "type": "http",
        "method": "GET",
        "scheme": "http",
        "path": "/",
        "headers": [*found.headers, host],
    }
    asyncio.run(Middleware(app, site)(dict(scope), receive, send))
    ((told, stored),) = asked
    assert told == b"audience, ads, social"
    assert [one.event for one in stored] == [Event.ACCEPT_ALL]
    assert any(
        name == b"set-cookie" and value.startswith(b"bandeau=")
        for name, value in sent[0]["headers"]
    )

    async def failing(*_: object) -> None:
        broken()

    monkeypatch.setattr(site.ledger, "appended", failing)
    asyncio.run(Middleware(app, site)(dict(scope), receive, send))
    assert asked[1][0] == b""
    assert sent[2]["status"] == 200


def test_observed_nothing_is_recorded(opened: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    site = opened()
    monkeypatch.setattr(site, "layers", frozenset())
    assert site.exchange(request("/", cookie(GRANTING))).change is None


# -- Caches --------------------------------------------------------------------------------------------


def test_visitors_whose_vendors_differ_share_no_page(mapped: Site) -> None:
    one, two = (returned(mapped, string(ORDER, vendors)) for vendors in ((10,), (20,)))
    assert one.consent.granted == two.consent.granted
    assert one.key != two.key
    assert one.edge_key != two.edge_key
    shared: RawHeaders = [*HTML, (b"cache-control", b"public, max-age=60")]
    page = b'<html><body><script src="//counter.localhost/c.js"></script><iframe src="//chain.localhost/f"></iframe>'
    bodies = [exchange.response(200, shared).whole(page) for exchange in (one, two)]
    assert [b'data-bd-src="//chain.localhost/f"' in body for body in bodies] == [True, False]
    again = returned(mapped, string(ORDER, (10,))).response(200, shared)
    assert again.whole(page) == bodies[0]


def test_a_page_says_what_it_varies_on(mapped: Site) -> None:
    headers = returned(mapped, GRANTING).response(200, HTML).headers
    assert first(headers, b"cache-control") == b"private, no-cache"
    assert first(headers, b"vary") == b"Cookie, Sec-GPC"


def test_an_edge_lets_through_whoever_is_to_be_recorded(opened: Open) -> None:
    site = opened(MAPPED.replace("[choice]", "edge_cache = true\n[choice]"))
    shared: RawHeaders = [*HTML, (b"cache-control", b"public, max-age=60")]
    key = dict(site.answer_sync(site.exchange(request("/_b/key", cookie(GRANTING))), b"").headers)
    assert key[b"bd-key"].endswith(b"-new")
    exchange = visit(site, cookie(GRANTING))
    assert first(exchange.response(200, shared).headers, b"x-accel-expires") is None
    second = visit(site, cookie(GRANTING, kept(exchange)))
    assert first(second.response(200, shared).headers, b"x-accel-expires") == b"60"


# -- What visitors see ---------------------------------------------------------------------------------


def test_no_page_of_ours_asks(mapped: Site) -> None:
    for sent in ([], cookie(string(())), cookie(string(("ads",)))):
        exchange = visit(mapped, sent)
        body = through(exchange, HTML, PAGE).decode()
        assert 'id="bandeau"' not in body
        assert "<form" not in body
        assert "<button" not in body.partition("<script")[0].rpartition("</script>")[2]
        assert 'name="choice"' not in body
        assert "/_b/settings" not in body
        assert 'class="bandeau-way" href="/choices"' in body
        held = body.partition('class="bandeau-hold"')[2].partition("</iframe>")[0]
        assert '<a href="/choices">' in held


def test_a_closed_page_leads_to_the_platform(opened: Open) -> None:
    for url, leads in (
        ("/choices", "/choices"),
        ("#cmp", "/#cmp"),
        ("https://c.example/", "https://c.example/"),
    ):
        site = opened(MAPPED.replace('"/choices"', f'"{url}"'))
        exchange = visit(site, cookie(string(("ads",))), "/comments/1")
        assert exchange.reply
        assert exchange.reply.status == 403
        body = exchange.reply.body.decode()
        assert f'href="{leads}"' in body
        assert "<form" not in body
        assert any(value.startswith(b"bandeau=") for _, value in exchange.reply.headers)


def test_our_own_choice_and_settings_are_closed(mapped: Site) -> None:
    def got(path: str, headers: RawHeaders, method: str = "GET", body: bytes = b"") -> Reply:
        return mapped.answer_sync(mapped.exchange(request(path, headers, method)), body)

    refused = got("/_b/choice", POSTED, "POST", b"choice=all")
    assert refused.status == 403
    assert b"consent platform" in refused.body
    assert not every(refused.headers, b"set-cookie")
    assert got("/_b/settings", []).status == 404


def test_pages_of_ours_say_where_choices_are_made(mapped: Site) -> None:
    ours = kept(visit(mapped, cookie(string(("social",)))))
    headers = [*cookie(string(("social",)), ours), (b"accept", b"application/json")]

    def got(path: str, sent: RawHeaders) -> Reply:
        return mapped.answer_sync(mapped.exchange(request(path, sent)), b"")

    assert json.loads(got("/_b/state", headers).body) == {
        "state": "partial",
        "granted": ["social"],
        "source": "tcf",
    }
    assert json.loads(got("/_b/trackers", headers).body)["choice"] == {
        "source": "tcf",
        "cookie": "euconsent-v2",
        "settings_url": "/choices",
    }
    page = got("/_b/trackers", []).body.decode()
    assert "Transparency and Consent Framework" in page
    assert "<code>euconsent-v2</code>" in page


def test_a_visitor_gets_the_proof_of_what_was_recorded(site: Site) -> None:
    lines = every(visit(site, cookie(GRANTING)).response(200, HTML).headers, b"set-cookie")
    pairs = [line.partition(b";")[0] for line in lines]
    assert any(b"Path=/_b/;" in line for line in lines)
    reply = site.answer_sync(site.exchange(request("/_b/receipt", cookie(GRANTING, *pairs))), b"")
    body = reply.body.decode()
    assert "layer=tcf" in body
    assert "made with the site’s consent platform" in body
    withdrawn = visit(site, cookie(string(()), pairs[0]))  # the other is for our pages only
    assert b"bandeau-receipt=; Max-Age=0; Path=/_b/; HttpOnly; SameSite=Lax" in [
        value for _, value in withdrawn.kept
    ]


def test_an_objection_to_measurement_takes_no_vendor_s_cookie(mapped: Site) -> None:
    ours = kept(visit(mapped, cookie(GRANTING)))
    exchange = mapped.exchange(
        request("/_b/audience", [*POSTED, *cookie(GRANTING, ours, b"count_me=1")], "POST")
    )
    reply = mapped.answer_sync(exchange, b"measure=off")
    assert [line.partition(b"=")[0] for line in every(reply.headers, b"set-cookie")] == [
        b"bandeau-audience"
    ]


def test_the_snapshot_holds_the_mapping_and_no_notice(site: Site) -> None:
    visit(site, cookie(GRANTING))
    shown = json.loads(site.ledger.snapshot_at(decisions(site)[0].snapshot) or b"")
    assert shown["declared"]["choice"]["source"] == "tcf"
    for parts in shown["notice"]["languages"].values():
        assert (parts["first"], parts["settings"]) == ("", "")
        assert "<form" not in parts["band"]
    assert "counter.localhost" in shown["browser_policies"]["audience"]
    assert "counter.localhost" not in shown["browser_policies"]["social"]


def test_with_a_notice_a_string_is_nothing(opened: Open) -> None:
    site = opened(SMALL)
    assert visit(site, cookie(GRANTING)).consent.state is State.UNDECIDED
    assert site.exchange(request("/", chosen(site, b"choice=all"))).consent.state is State.GRANTED


def test_strings_of_every_kind_never_raise(mapped: Site) -> None:
    chance = random.Random(9)
    for _ in range(300):
        letters = list(GRANTING)
        for _ in range(chance.randint(1, 6)):
            letters[chance.randrange(len(letters))] = chance.choice("A_.-g9é\x7f")
        visit(mapped, [(b"cookie", b"euconsent-v2=" + "".join(letters).encode("latin-1"))])
