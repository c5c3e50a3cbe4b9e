"""What a site proves: decisions that say how they were made, snapshots, receipts, the public log."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import re
from pathlib import Path

import pytest

from bandeau.decision.model import Event
from bandeau.errors import LedgerError
from bandeau.gate.observe import Observer
from bandeau.ledger import note, receipt, tiles
from bandeau.ledger.entry import Kind
from bandeau.policy.file import loads
from bandeau.site import Reply, Site
from bandeau.wire.headers import RawHeaders
from conftest import POSTED, SMALL, chosen, decisions, request

PHONE = (b"user-agent", b"Mozilla/5.0 (iPhone; CPU iPhone OS 17_0 like Mac OS X) Mobile/15E148")
JSON = (b"accept", b"application/json")
KEY = (b"idempotency-key", b"3f0e9a52-7d0c-4b6e-9b1e-0a1d2c3b4a59")


def posted(site: Site, body: bytes, *headers: tuple[bytes, bytes]) -> Reply:
    asked = request("/_b/choice", [*POSTED, *headers], "POST")
    return site.answer_sync(site.exchange(asked), body)


def got(site: Site, path: str, headers: RawHeaders | None = None) -> Reply:
    return site.answer_sync(site.exchange(request(path, headers)), b"")


def jar(reply: Reply) -> dict[bytes, bytes]:
    pairs = [value.partition(b";")[0] for name, value in reply.headers if name == b"set-cookie"]
    return dict(pair.split(b"=", 1) for pair in pairs)


def sent_back(reply: Reply) -> tuple[bytes, bytes]:
    return b"cookie", b"; ".join(b"%s=%s" % pair for pair in jar(reply).items())


def verified(site: Site, text: bytes) -> receipt.Receipt:
    read = receipt.parse(text)
    receipt.check(read, [note.Verifier.parse(site.ledger.vkey)])
    return read


@pytest.mark.parametrize(
    ("body", "layer"),
    [(b"choice=all&layer=first", "first"), (b"choice=save&layer=settings", "settings"),
     (b"choice=add&purpose=social&layer=place", "place"), (b"choice=all", "api"), (b"choice=all&layer=x%0Ay", "api")],
)  # fmt: skip
def test_a_decision_knows_where_it_was_made_and_what_was_shown(
    site: Site, body: bytes, layer: str
) -> None:
    chosen(site, body, [PHONE])
    (made,) = decisions(site)
    assert (made.layer, made.device) == (layer, "phone")
    shown = site.ledger.snapshot_at(made.snapshot)
    assert shown
    document = json.loads(shown)
    page = got(site, "/_b/settings").body.decode()
    assert document["notice"]["languages"]["fr"]["settings"] == page
    assert document["policy"] == site.current.digest
    assert dict(document["purposes"]) == site.current.fingerprints
    assert [one for one, _ in document["purposes"]] == [*site.current.order]
    assert site.ledger.fsck() == []
    assert set(document["browser_policies"]) >= {"", "social", "ads social"}


def test_every_form_says_where_it_stands(site: Site) -> None:
    for path, layer in (("/_b/settings", b"settings"), ("/comments/1", b"place")):
        exchange = site.exchange(request(path))
        body = (exchange.reply or site.answer_sync(exchange, b"")).body
        assert b'name="layer" value="' + layer in body


def test_a_snapshot_is_served_under_its_hash_and_nothing_else_is(site: Site) -> None:
    found = site.ledger.store.events([Kind.SNAPSHOT])[0].detail.removeprefix("snapshot ")
    reply = got(site, f"/_b/snapshot/{found}")
    assert reply.status == 200
    assert hashlib.sha256(reply.body).hexdigest() == found
    for wrong in ("", "0" * 64, found[:-1], found.upper() + "x", "../bandeau.db", "%00" * 22):
        assert got(site, f"/_b/snapshot/{wrong}").status == 404


def test_a_snapshot_is_logged_when_what_is_shown_changes_and_only_then(tmp_path: Path) -> None:
    def shown(text: str) -> int:
        site = Site.from_policy(loads(text), f"sqlite:///{tmp_path / 'b.db'}")
        site.close()
        return site.desk.snapshot

    first = shown(SMALL)
    assert shown(SMALL) == first
    assert shown(SMALL.replace("Own Press", "Other Press")) > first


def test_a_snapshot_names_the_languages_that_no_native_speaker_had_read(tmp_path: Path) -> None:
    three = 'languages = ["fr", "lt", "ga"]\naccept_unreviewed = ["ga", "lt"]'
    text = SMALL.replace('languages = ["fr", "en"]', three)
    for policy, unreviewed in ((SMALL, []), (text, ["ga", "lt"])):
        site = Site.from_policy(loads(policy), f"sqlite:///{tmp_path / 'b.db'}")
        shown = json.loads(site.ledger.snapshot_at(site.desk.snapshot) or b"")
        site.close()
        assert shown["notice"]["unreviewed"] == unreviewed


def test_the_log_says_what_is_enforced_and_says_it_once(tmp_path: Path) -> None:
    for _ in range(2):
        site = Site.from_policy(loads(SMALL), f"sqlite:///{tmp_path / 'b.db'}")
        (mode,) = site.ledger.store.events([Kind.MODE])
        site.close()
    assert re.fullmatch(
        r"since=\d{4}-\d\d-\d\dT\d\d:\d\dZ enforced=cookies,headers,browser-policy,markup,guard,sweep,routes,notice"
        r" paths=/\* network=default quiet=no policy=[0-9a-f]{10} bandeau=[0-9.]+",
        mode.detail,
    )


def test_the_answer_to_a_choice_carries_its_proof(site: Site) -> None:
    answer = json.loads(posted(site, b"choice=all&layer=first", PHONE, JSON).body)
    read = verified(site, answer["receipt"].encode())
    assert re.fullmatch(
        rb"\d{4}-\d\d-\d\dT\d\d:\d\dZ accept_all snapshot=\d+ language=fr layer=first device=phone"
        rb" signal=no replaces=none social=yes ads=yes",
        read.record,
    )
    assert answer["recorded"] is True


def test_a_grant_can_be_shown_again_and_a_withdrawal_names_it(site: Site) -> None:
    granted = posted(site, b"choice=all&layer=first")
    assert set(jar(granted)) == {b"bandeau", b"bandeau-receipt"}
    line = next(v for _, v in granted.headers if v.startswith(b"bandeau-receipt="))
    assert b"; Path=/_b/; HttpOnly; SameSite=Lax" in line
    cookies = sent_back(granted)
    page = got(site, "/_b/receipt?lang=en", [cookies]).body.decode()
    assert "accept all" in page
    assert "bandeau ledger verify" in page
    kept = verified(site, got(site, "/_b/receipt?format=tlog-proof", [cookies]).body)
    withdrawn = posted(site, b"choice=none&layer=settings", cookies)
    assert jar(withdrawn)[b"bandeau-receipt"] == b""  # no mark stays with who grants nothing
    last = decisions(site)[-1]
    assert (last.event, last.replaces) == (Event.WITHDRAW, kept.index)
    assert [one.index for one in site.ledger.history(kept.index)] == [kept.index, kept.index + 1]


def test_a_refusal_leaves_no_mark_and_its_proof_comes_when_it_is_asked_for(site: Site) -> None:
    refused = posted(site, b"choice=none&layer=first")
    assert set(jar(refused)) == {b"bandeau"}
    page = got(site, "/_b/receipt", [sent_back(refused)]).body
    assert b'name="receipt" value="1"' in page
    shown = posted(site, b"choice=none&receipt=1&lang=en&layer=settings", sent_back(refused))
    assert shown.status == 200
    assert b"refuse all" in shown.body
    assert set(jar(shown)) == {b"bandeau"}
    proof = re.search(rb"base64,([A-Za-z0-9+/=]+)", shown.body)
    assert proof
    assert b" refuse_all " in verified(site, base64.b64decode(proof[1])).record


def test_a_receipt_s_cookie_that_we_did_not_seal_finds_nothing(site: Site) -> None:
    value = jar(posted(site, b"choice=all"))[b"bandeau-receipt"]
    index, _, seal = value.partition(b".")
    for wrong in (b"0." + seal, b"%d.%s" % (int(index) + 1, seal), index, b"0" + value, value + b"A", b"",
                  value[:-1], b"9" * 40 + b"." + seal, b"-1." + seal, b"\xff" * 9, value + b"; bandeau-receipt=1.x"):  # fmt: skip
        header = [(b"cookie", b"bandeau-receipt=" + wrong)]
        assert got(site, "/_b/receipt?format=tlog-proof", header).body[:9] == b"<!doctype"
    assert (
        got(site, "/_b/receipt?format=tlog-proof", [(b"cookie", b"bandeau-receipt=" + value)]).body[
            :9
        ]
        == b"c2sp.org/"
    )


def test_a_receipt_of_an_erased_record_is_not_shown_and_the_kept_one_still_holds(
    site: Site,
) -> None:
    from bandeau.ledger.entry import Reason

    reply = posted(site, b"choice=all", JSON)
    text = json.loads(reply.body)["receipt"].encode()
    index = verified(site, text).index
    site.ledger.erase(index, Reason.REQUEST)
    assert got(site, "/_b/receipt?format=tlog-proof", [sent_back(reply)]).body[:9] == b"<!doctype"
    assert verified(site, text).index == index
    assert posted(site, b"choice=none", sent_back(reply)).status == 303


def test_a_repeated_request_is_recorded_once_and_answered_alike(site: Site) -> None:
    first = json.loads(posted(site, b"choice=all", KEY, JSON).body)
    posted(site, b"choice=none")
    again = json.loads(posted(site, b"choice=all", KEY, JSON).body)
    assert first == again
    assert [one.event for one in decisions(site)] == [Event.ACCEPT_ALL, Event.REFUSE_ALL]
    assert posted(site, b"choice=none", KEY, JSON).status == 409
    stranger = posted(site, b"choice=all", KEY, JSON, (b"user-agent", b"another"))
    assert stranger.status == 409
    assert b"tlog-proof" not in stranger.body
    assert not jar(stranger)
    assert len(decisions(site)) == 2


@pytest.mark.parametrize("key", [b"", b"short", b"x" * 101, b"\xff" * 20, b"a b" * 9])
def test_a_key_that_could_be_guessed_or_is_none_is_no_key(site: Site, key: bytes) -> None:
    for _ in range(2):
        assert posted(site, b"choice=all", (b"idempotency-key", key)).status == 303
    assert len(decisions(site)) == 2


def test_what_takes_away_holds_even_when_it_cannot_be_recorded(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise LedgerError("disk full")

    granted = posted(site, b"choice=all")
    with monkeypatch.context() as patch:
        patch.setattr(site.ledger.store, "commit", broken)
        refused = posted(site, b"choice=none", sent_back(granted))
        assert refused.status == 303
        assert jar(refused)[b"bandeau-receipt"] == b""
        assert json.loads(posted(site, b"choice=none", JSON).body)["recorded"] is False
        assert posted(site, b"choice=all").status == 503
        assert posted(site, b"choice=add&purpose=social&layer=place").status == 503
        health = got(site, "/_b/health").body.decode()
    assert "disk full" in health
    assert "unrecorded: 2" in health
    assert posted(site, b"choice=all").status == 303
    assert got(site, "/_b/health").body.startswith(b"ok\n")


def test_anybody_can_rebuild_the_log_from_what_is_served(site: Site) -> None:
    for _ in range(3):
        posted(site, b"choice=all")
    checkpoint = got(site, "/_b/log/checkpoint")
    assert (b"content-type", b"text/plain; charset=utf-8") in checkpoint.headers
    found = note.opened(checkpoint.body, [note.Verifier.parse(site.ledger.vkey)])
    assert found.origin == "www.own.localhost:9000/_b/log"
    entries = got(site, f"/_b/log/tile/entries/000.p/{found.size}").body
    from bandeau.ledger.tree import Tree, grow, leaf

    rebuilt = grow(Tree(), [leaf(one) for one in tiles.unbundled(entries, found.size)]).tree
    assert rebuilt.root == found.root
    for wrong in (
        "tile/0/000",
        "tile/entries/001",
        "tile/x",
        "",
        "tile/",
        "tile/0/0",
        "../log",
        "tile/0/000.p/0",
    ):
        assert got(site, f"/_b/log/{wrong}").status == 404


@pytest.mark.parametrize(
    ("publish", "checkpoint", "tile"),
    [("off", 404, 404), ("checkpoint", 200, 404), ("tiles", 200, 200)],
)
def test_the_owner_says_how_much_of_the_log_is_public(
    tmp_path: Path, publish: str, checkpoint: int, tile: int
) -> None:
    text = SMALL.replace("keep_days = 912", f'keep_days = 912\npublish = "{publish}"')
    site = Site.from_policy(loads(text), f"sqlite:///{tmp_path / 'b.db'}")
    assert got(site, "/_b/log/checkpoint").status == checkpoint
    assert got(site, "/_b/log/tile/entries/000.p/1").status == tile
    site.close()


def test_figures_are_served_only_where_the_owner_says_so(tmp_path: Path, site: Site) -> None:
    assert got(site, "/_b/metrics").status == 404
    text = SMALL.replace("keep_days = 912", "keep_days = 912\nmetrics = true")
    open_site = Site.from_policy(loads(text), f"sqlite:///{tmp_path / 'c.db'}")
    exchange = open_site.exchange(request())
    for kind in (b"text/html", b"image/png"):
        exchange.response(200, [(b"content-type", kind)])
    exchange.failure(403)
    exchange.failure(502)
    body = got(open_site, "/_b/metrics").body.decode()
    open_site.close()
    assert "\nbandeau_log_entries 3\n" in body
    figures = dict(re.findall(r"^bandeau_gate_(\w+)_total (\d+)$", body, re.MULTILINE))
    assert figures == {"responses": "2", "pages": "1", "failures": "1"}
    assert body.endswith("\n# EOF\n")


def test_where_nothing_is_enforced_nothing_of_ours_says_that_it_is(tmp_path: Path) -> None:
    out = io.StringIO()
    site = Site.from_policy(loads(SMALL), f"sqlite:///{tmp_path / 'b.db'}", observer=Observer(out))
    for path in ("settings", "trackers", "state", "receipt", "out", "key"):
        assert got(site, f"/_b/{path}").status == 404
    assert posted(site, b"choice=all").status == 404
    assert got(site, "/_b/health").status == got(site, "/_b/log/checkpoint").status == 200
    (mode,) = site.ledger.store.events([Kind.MODE])
    assert " observed=cookies," in mode.detail
    assert site.ledger.store.events([Kind.SNAPSHOT]) == []
    site.close()
