"""Who is signed in chooses for the account: on all devices, and on none for anybody else (rule H4)."""

from __future__ import annotations

import asyncio
import json
import re
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

import bandeau.ledger.ledger as writer
from bandeau import Bandeau
from bandeau.adapters.proxy import Proxy
from bandeau.cli import main
from bandeau.decision.model import Event, State
from bandeau.errors import LedgerError, PolicyError
from bandeau.gate.verdict import STORAGE
from bandeau.ledger.keys import Keys
from bandeau.ledger.ledger import Ledger
from bandeau.ledger.place import store_at
from bandeau.ledger.store import Account
from bandeau.policy.file import loads
from bandeau.site import UNKNOWN, Site, origin
from bandeau.wire.headers import RawHeaders, every, first
from bandeau.wire.messages import Reply
from conftest import MAPPED, POSTED, SMALL, chosen, decisions, request, through

ACCOUNTS = SMALL.replace("[[purpose]]", "[account]\nenabled = true\n[[purpose]]", 1)
HTML: RawHeaders = [(b"content-type", b"text/html; charset=utf-8")]
PAGE = b'<html lang="en"><head><title>t</title></head><body><p>x<iframe src="//social.localhost/f"></iframe></body></html>'
WHO = "reader-4711@mail.example"
DAY = 1440  # minutes


class Clock:
    """A site's minutes, to be put forward."""

    minute = 29_926_765

    def __call__(self) -> int:
        return self.minute


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def place(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'bandeau.db'}"


def opened(place: str, clock: Clock, policy: str = ACCOUNTS, key: str = "bandeau.key") -> Site:
    declared, store = loads(policy), store_at(place)
    keys = Keys(Path(place.removeprefix("sqlite:///")).with_name(key), new=True)
    ledger = Ledger(store, keys, origin(declared), valid_days=declared.site.valid_days, now=clock)
    return Site(declared, ledger, now=clock)


@pytest.fixture
def site(place: str, clock: Clock) -> Iterator[Site]:
    made = opened(place, clock)
    yield made
    made.close()


def post(site: Site, body: bytes, who: object = None, sent: RawHeaders | None = None) -> Reply:
    exchange = site.exchange(request("/_b/choice", [*POSTED, *(sent or [])], "POST"), who)
    return site.answer_sync(exchange, body)


def choose(site: Site, body: bytes, who: object = WHO, sent: RawHeaders | None = None) -> Reply:
    """Choose as somebody who is signed in and was told so."""
    reply = post(site, body + b"&account=1", who, sent)
    assert reply.status == 303, reply
    return reply


def granted(site: Site, who: object = None, sent: RawHeaders | None = None) -> frozenset[str]:
    return site.exchange(request("/", sent), who).consent.granted


def page(site: Site, who: object = None, sent: RawHeaders | None = None) -> str:
    return through(site.exchange(request("/", sent), who), HTML, PAGE).decode()


BOTH = frozenset({"social", "ads"})
LAPTOP: RawHeaders = [(b"user-agent", b"laptop")]
PHONE: RawHeaders = [(b"user-agent", b"phone Mobile")]


@pytest.mark.parametrize("before", [b"choice=all", b"choice=none"])
@pytest.mark.parametrize(
    ("body", "then"),
    [
        (b"choice=all", BOTH),
        (b"choice=none", frozenset()),
        (b"choice=save&purpose=social", frozenset({"social"})),
        (b"choice=save", frozenset()),
    ],
)
def test_whatever_is_chosen_on_one_device_holds_on_the_other(
    site: Site, before: bytes, body: bytes, then: frozenset[str]
) -> None:
    choose(site, before, sent=PHONE)
    choose(site, body, sent=LAPTOP)
    for device in (LAPTOP, PHONE):
        consent = site.exchange(request("/", device), WHO).consent
        assert (consent.granted, consent.asks, consent.account) == (then, frozenset(), True)
    assert ("<iframe src=" in page(site, WHO, PHONE)) is ("social" in then)


@pytest.mark.parametrize(
    ("own", "body"),
    [
        (b"choice=all", b"choice=none"),
        (b"choice=none", b"choice=all"),
        (b"choice=save&purpose=ads", b"choice=all"),
    ],
)
def test_the_device_s_own_choice_stays_and_holds_again_after_signing_out(
    site: Site, own: bytes, body: bytes
) -> None:
    device = chosen(site, own)
    before = granted(site, None, device)
    reply = choose(site, body, sent=device)
    names = {line.partition(b"=")[0] for line in every(reply.headers, b"set-cookie")}
    assert not names & {b"bandeau", b"bandeau-receipt"}
    assert granted(site, WHO, device) == (BOTH if body == b"choice=all" else frozenset())
    assert granted(site, None, device) == before
    for out in (site.exchange(request("/", device), WHO), site.exchange(request("/", device))):
        swept = every(out.response(200, HTML).headers, b"set-cookie")
        assert not any(line.startswith((b"bandeau=", b"__Host-bandeau=")) for line in swept)


def test_an_account_without_a_choice_is_asked_whatever_its_device_has_granted(site: Site) -> None:
    device = chosen(site, b"choice=all")
    exchange = site.exchange(request("/", [(b"cookie", device[0][1] + b"; sq_x=1")]), WHO)
    assert exchange.consent.state is State.UNDECIDED
    assert not any(b"sq_x" in line for line in every(exchange.request_headers, b"cookie"))
    assert every(exchange.request_headers, b"bd-purposes") == [b""]
    assert '<section id="bandeau"' in page(site, WHO, device)


def test_another_account_on_the_same_device_neither_sees_nor_changes_it(site: Site) -> None:
    device = chosen(site, b"choice=save&purpose=ads")
    choose(site, b"choice=all", "one", device)
    assert site.exchange(request("/", device), "two").consent.state is State.UNDECIDED
    assert b'"index": null' in receipt(site, "two", device).body
    choose(site, b"choice=none", "two", device)
    assert (granted(site, "one", device), granted(site, "two", device)) == (BOTH, frozenset())
    assert granted(site, None, device) == frozenset({"ads"})
    assert [one.replaces for one in decisions(site)] == [None, None, None]


def test_a_number_is_an_account_and_what_is_no_id_grants_nothing(site: Site) -> None:
    choose(site, b"choice=all", 7)
    assert granted(site, "7") == BOTH
    for nobody in (True, 1.0, b"7", object(), UNKNOWN):
        consent = site.exchange(request("/"), nobody).consent
        assert (consent.state, consent.account) == (State.UNDECIDED, True)
        assert post(site, b"choice=all&account=1", nobody).status == 503


@pytest.mark.parametrize("language", ["fr", "en"])
def test_the_reach_is_told_before_the_buttons_and_in_the_band(site: Site, language: str) -> None:
    words = site.notice._texts[language].words
    exchange = site.exchange(request("/"), WHO)
    body = through(exchange, HTML, PAGE.replace(b'"en"', b'"%s"' % language.encode())).decode()
    said = words["first"]["account"]
    assert body.index(said) < body.index("<ul>")  # where a phone shows it without scrolling
    band = body[body.index('<section id="bandeau-state"') :]
    assert words["band"]["account"].partition("{")[0] in band
    forms = re.findall(r"<form.*?</form>", body, re.DOTALL)
    assert len(forms) == 3
    assert all('name="account" value="1"' in form for form in forms)
    asked = site.exchange(request(f"/_b/settings?lang={language}"), WHO)
    assert words["settings"]["account"] in site.answer_sync(asked, b"").body.decode()
    stranger = through(site.exchange(request("/")), HTML, PAGE).decode()
    assert 'name="account"' not in stranger
    assert all(
        words[part]["account"].partition("{")[0] not in stranger for part in ("first", "band")
    )


@pytest.mark.parametrize("body", [b"choice=all", b"choice=none", b"choice=add&purpose=social"])
def test_a_choice_is_not_taken_with_another_reach_than_was_told(site: Site, body: bytes) -> None:
    choose(site, b"choice=save&purpose=ads")
    before = len(decisions(site))
    signed_in_since = post(site, body, WHO)
    signed_out_since = post(site, body + b"&account=1", None)
    for reply, account in ((signed_in_since, True), (signed_out_since, False)):
        assert reply.status == 409
        assert not every(reply.headers, b"set-cookie")
        assert site.notice._texts["fr"].words["settings"]["moved"] in reply.body.decode()
        assert (b'name="account"' in reply.body) is account
    asked = site.exchange(
        request("/_b/choice", [*POSTED, (b"accept", b"application/json")], "POST"), WHO
    )
    told = json.loads(site.answer_sync(asked, body).body)
    assert told["moved"]
    again = site.answer_sync(site.exchange(request(told["settings"]), WHO), b"")
    assert "Rien n’a été enregistré" in again.body.decode()
    assert len(decisions(site)) == before
    assert granted(site, WHO) == frozenset({"ads"})


def test_neither_log_nor_database_knows_who_it_was(site: Site, place: str) -> None:
    choose(site, b"choice=all")
    choose(site, b"choice=none")
    lines = [one.record for one in site.ledger.store.records(0, 99)]
    assert all(WHO.encode() not in line and b"account" not in line for line in lines)
    keys = site.ledger.hashed(WHO)
    assert all(len(key) == 32 for key in keys)
    site.close()
    file = Path(place.removeprefix("sqlite:///")).read_bytes()
    assert WHO.encode() not in file
    assert keys[0] in file


def receipt(site: Site, who: object, sent: RawHeaders | None = None) -> Reply:
    asked = [(b"accept", b"application/json"), *(sent or [])]
    return site.answer_sync(site.exchange(request("/_b/receipt", asked), who), b"")


def test_each_decision_replaces_the_last_and_its_receipt_is_shown_on_any_device(site: Site) -> None:
    for body in (b"choice=all", b"choice=none", b"choice=save&purpose=ads"):
        choose(site, body)
    made = list(site.ledger.decisions())
    assert [one.decision.replaces for one in made] == [None, made[0].index, made[1].index]
    assert [one.decision.event for one in made] == [Event.ACCEPT_ALL, Event.WITHDRAW, Event.CUSTOM]
    assert json.loads(receipt(site, WHO, PHONE).body)["index"] == made[2].index
    assert json.loads(receipt(site, None, PHONE).body)["index"] is None


def test_two_devices_at_once_are_one_after_the_other(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is added on one never brings back what the other takes away meanwhile."""
    choose(site, b"choice=save&purpose=social")
    first_read = site.exchange(request("/_b/choice", POSTED, "POST"), WHO)
    assert first_read.consent.granted == frozenset({"social"})
    choose(site, b"choice=none")
    add = b"choice=add&purpose=ads&account=1"
    assert site.answer_sync(first_read, add).status == 303
    assert granted(site, WHO) == frozenset({"ads"})
    stale = site.exchange(request("/_b/choice", POSTED, "POST"), WHO)
    choose(site, b"choice=all")
    assert asyncio.run(site.answer(stale, b"choice=none&account=1")).status == 303
    assert granted(site, WHO) == frozenset()
    # And where both wait for one transaction, the second is worked out anew as well.
    entered, go = threading.Event(), threading.Event()
    commit = Ledger._commit

    def slow(ledger: Ledger, batch: list[writer._Waiting]) -> None:
        entered.set()
        go.wait(10)
        commit(ledger, batch)

    monkeypatch.setattr(Ledger, "_commit", slow)
    threads = [
        threading.Thread(target=choose, args=(site, body))
        for body in (b"choice=none", b"choice=add&purpose=ads", b"choice=add&purpose=social")
    ]
    threads[0].start()
    entered.wait(10)
    for thread in threads[1:]:
        thread.start()
    deadline = time.monotonic() + 10
    while site.ledger.waiting < 2 and time.monotonic() < deadline:
        time.sleep(0.005)
    go.set()
    for thread in threads:
        thread.join(20)
    assert granted(site, WHO) == BOTH
    replaced = [one.replaces for one in decisions(site)]
    assert len(set(replaced)) == len(replaced)  # one line, no fork


def test_a_repetition_is_recorded_once_and_answered_alike(site: Site) -> None:
    sent = [*PHONE, (b"idempotency-key", b'"0123456789abcdef-0"')]
    choose(site, b"choice=all", sent=sent)
    choose(site, b"choice=all", sent=sent)
    assert len(decisions(site)) == 1
    assert granted(site, WHO) == BOTH


def test_what_was_withdrawn_since_is_not_said_to_hold_by_a_repetition(site: Site) -> None:
    sent = [*PHONE, (b"idempotency-key", b'"0123456789abcdef-0"')]
    choose(site, b"choice=all", sent=sent)
    choose(site, b"choice=none", sent=LAPTOP)
    assert post(site, b"choice=all&account=1", WHO, sent).status == 409
    assert granted(site, WHO) == frozenset()
    assert len(decisions(site)) == 2


def test_who_chooses_without_end_at_once_is_told_to_come_back(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = site.exchange(request("/_b/choice", POSTED, "POST"), WHO)
    choose(site, b"choice=all")
    stale = read.account
    asked: list[object] = []

    def always(keys: object) -> Account | None:
        asked.append(keys)
        return stale

    monkeypatch.setattr(site.ledger, "account", always)
    assert site.answer_sync(read, b"choice=none&account=1").status == 503
    assert asyncio.run(site.answer(read, b"choice=none&account=1")).status == 503
    assert len(asked) < 20


def test_where_the_ledger_cannot_be_read_nothing_passes_and_pages_come(
    site: Site, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    device = chosen(site, b"choice=all")
    choose(site, b"choice=all", sent=device)

    def broken(_keys: object) -> None:
        raise LedgerError("the disk is gone")

    monkeypatch.setattr(site.ledger.store, "accounts", broken)
    exchange = site.exchange(request("/", [(b"cookie", device[0][1] + b"; sq_x=1")]), WHO)
    assert exchange.consent.state is State.UNDECIDED
    assert not any(b"sq_x" in line for line in every(exchange.request_headers, b"cookie"))
    assert "<iframe src=" not in through(exchange, HTML, PAGE).decode()
    assert exchange.response(200, HTML).status == 200
    assert post(site, b"choice=none&account=1", WHO, device).status == 503
    assert granted(site, None, device) == BOTH
    assert WHO not in caplog.text
    assert caplog.text.count("the disk is gone") == 1


def test_what_cannot_be_stored_is_not_said_to_hold(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A cookie could hold a withdrawal without a record; an account's choice is nowhere else."""
    choose(site, b"choice=all")

    def full(*_: object) -> None:
        raise LedgerError("disk full")

    monkeypatch.setattr(site.ledger.store, "commit", full)
    reply = post(site, b"choice=none&account=1", WHO)
    assert reply.status == 503
    assert site.ledger.unrecorded == 0
    monkeypatch.undo()
    assert granted(site, WHO) == BOTH


def test_a_choice_of_an_account_ends_when_a_cookie_s_would(site: Site, clock: Clock) -> None:
    choose(site, b"choice=all")
    clock.minute += 182 * DAY - 1
    assert granted(site, WHO) == BOTH
    clock.minute += 1
    assert site.exchange(request("/"), WHO).consent.state is State.UNDECIDED
    keys = site.ledger.hashed(WHO)
    assert site.ledger.account(keys).index is not None
    clock.minute += DAY
    choose(site, b"choice=all", "somebody else")  # with the first decision of a day
    assert site.ledger.account(keys) == Account(keys)


def test_after_a_new_policy_only_what_changed_is_asked_of_accounts_too(
    place: str, clock: Clock
) -> None:
    first_site = opened(place, clock)
    choose(first_site, b"choice=all")
    choose(first_site, b"choice=none", "refuser")
    first_site.close()
    changed = ACCOUNTS.replace('"identifiers", "geolocation"', '"identifiers"')
    second = opened(place, clock, changed)
    consent = second.exchange(request("/"), WHO).consent
    assert (consent.granted, consent.asks) == (frozenset({"social"}), frozenset({"ads"}))
    assert second.exchange(request("/"), "refuser").consent.state is State.REFUSED
    second.close()


def test_a_new_key_finds_what_an_older_one_wrote_and_writes_it_anew(
    place: str, clock: Clock
) -> None:
    first_site = opened(place, clock)
    choose(first_site, b"choice=all")
    old = first_site.ledger.hashed(WHO)
    first_site.ledger.rotate()
    first_site.close()
    second = opened(place, clock)
    keys = second.ledger.hashed(WHO)
    assert keys[1:] == old
    assert granted(second, WHO) == BOTH
    choose(second, b"choice=none")
    assert list(second.ledger.store.accounts(keys)) == [keys[0]]
    assert granted(second, WHO) == frozenset()
    assert decisions(second)[-1].replaces == next(iter(second.ledger.decisions())).index
    second.close()


def test_an_account_is_forgotten_whatever_key_another_process_wrote_it_under(
    place: str, clock: Clock
) -> None:
    older = opened(place, clock)
    CliRunner().invoke(main, ["ledger", "rotate", "--ledger", place])
    newer = opened(place, clock)
    choose(newer, b"choice=all")
    older.forget(WHO)
    assert granted(newer, WHO) == frozenset()
    older.close()
    newer.close()


def test_the_state_of_a_page_is_the_account_s(site: Site) -> None:
    device = chosen(site, b"choice=save&purpose=social")
    choose(site, b"choice=save&purpose=social", sent=device)
    signed_in, out = site.exchange(request("/", device), WHO), site.exchange(request("/", device))
    assert signed_in.consent.granted == out.consent.granted
    assert signed_in.key != out.key  # the band differs
    assert signed_in.edge_key != out.edge_key
    lasting: RawHeaders = [*HTML, (b"cache-control", b"public, max-age=60"), (b"etag", b'"1"')]
    one, other = (
        site.exchange(request("/", device), who).response(200, lasting) for who in (WHO, None)
    )
    assert one.whole(PAGE) != other.whole(PAGE)
    assert first(one.headers, b"etag") != first(other.headers, b"etag")
    assert first(one.headers, b"cache-control") == b"private, no-cache"
    told = site.answer_sync(site.exchange(request("/_b/key", device), WHO), b"")
    choose(site, b"choice=none", sent=PHONE)  # elsewhere, and at once
    then = site.answer_sync(site.exchange(request("/_b/key", device), WHO), b"")
    assert first(told.headers, b"bd-purposes") == b"social"
    assert first(then.headers, b"bd-purposes") == b""
    assert first(told.headers, b"bd-key") != first(then.headers, b"bd-key")


def test_machines_are_told_that_it_is_the_account_s(site: Site) -> None:
    choose(site, b"choice=all")
    state = site.answer_sync(site.exchange(request("/_b/state"), WHO), b"")
    assert json.loads(state.body) == {
        "state": "granted",
        "granted": ["social", "ads"],
        "account": True,
    }


def test_a_withdrawal_sweeps_the_device_where_it_is_made(site: Site) -> None:
    choose(site, b"choice=all")
    reply = choose(site, b"choice=none", sent=[(b"cookie", b"sq_x=1; session=2")])
    swept = {line.partition(b"=")[0] for line in every(reply.headers, b"set-cookie")}
    assert swept == {b"sq_x"}
    assert bool(every(reply.headers, b"clear-site-data")) is bool(STORAGE)


def test_an_account_that_is_closed_is_forgotten_or_erased_with_its_records(
    place: str, clock: Clock
) -> None:
    made = opened(place, clock)
    for body in (b"choice=all", b"choice=none"):
        choose(made, body)
        choose(made, body, "other")
    made.forget(WHO)
    assert made.exchange(request("/"), WHO).consent.state is State.UNDECIDED
    assert len(decisions(made)) == 4
    key = made.ledger.hashed(WHO)[0]
    made.close()
    assert key not in Path(place.removeprefix("sqlite:///")).read_bytes()
    shown = CliRunner().invoke(main, ["ledger", "history", "--account", "other", "--ledger", place])
    assert re.findall(r" (accept_all|withdraw) ", shown.output) == ["accept_all", "withdraw"]
    index = shown.output.split()[0]
    run = ["ledger", "erase", "--account", "other", "--ledger", place]
    CliRunner().invoke(main, ["ledger", "hold", index, "--because", "x", "--ledger", place])
    held = CliRunner().invoke(main, run)
    assert (held.exit_code, "release it first" in held.output) == (2, True)
    CliRunner().invoke(main, ["ledger", "release", index, "--ledger", place])
    done = CliRunner().invoke(main, run)
    assert done.output.count("is erased") == 2
    assert CliRunner().invoke(main, run).exit_code == 2
    assert CliRunner().invoke(main, ["ledger", "erase", "--ledger", place]).exit_code == 2
    again = opened(place, clock)
    assert again.exchange(request("/"), "other").consent.state is State.UNDECIDED
    assert len(decisions(again)) == 2
    assert again.ledger.fsck() == []
    again.close()


@pytest.mark.parametrize(
    ("policy", "number"),
    [
        (MAPPED + "[account]\nenabled = true\n", "BP040"),
        (ACCOUNTS.replace("enabled = true", 'enabled = true\nask = "/who"'), "BP042"),
        (ACCOUNTS.replace("enabled = true", 'enabled = true\ncookies = ["session"]'), "BP042"),
        (ACCOUNTS.replace("enabled = true", 'ask = "/who"\ncookies = ["both"]'), "BP043"),
    ],
)
def test_a_policy_that_no_account_can_have_is_refused(policy: str, number: str) -> None:
    with pytest.raises(PolicyError) as refused:
        loads(policy)
    assert [one.id for one in refused.value.problems] == [number]


def test_a_site_that_nobody_tells_who_is_signed_in_does_not_start(tmp_path: Path) -> None:
    def who(_: object) -> None: ...

    url = f"sqlite:///{tmp_path / 'b.db'}"
    for policy, given, missing in ((ACCOUNTS, None, True), (SMALL, who, False)):
        made = Bandeau.from_policy(loads(policy), url)
        for wrap in (made.asgi, made.wsgi):
            with pytest.raises(PolicyError, match="BP041"):
                wrap(lambda *_: None, given)  # type: ignore[arg-type]
        if missing:
            with pytest.raises(PolicyError, match="BP041"):
                Proxy(made, "http://127.0.0.1:9")
        made.close()
    file = tmp_path / "edge.toml"
    file.write_text(ACCOUNTS.replace("own_hosts", "edge_cache = true\nown_hosts", 1), "utf-8")
    edge = CliRunner().invoke(main, ["edge", "worker", "--policy", str(file), "--ledger", url])
    assert (edge.exit_code, "without [account]" in edge.output) == (2, True)
