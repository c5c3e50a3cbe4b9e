"""What a decision says of itself, what it quotes, and ledgers of the schema before."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from click.testing import CliRunner

from bandeau.cli import main
from bandeau.decision.model import Decision, Event
from bandeau.decision.record import line
from bandeau.errors import LedgerError
from bandeau.ledger.sqlite import Ledger
from bandeau.policy.file import loads
from bandeau.site import Site
from conftest import SMALL, chosen, request

PHONE = (b"user-agent", b"Mozilla/5.0 (iPhone; CPU iPhone OS 17_0 like Mac OS X) Mobile/15E148")
OLD = """
CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
INSERT INTO meta VALUES ('schema_version', '1');
CREATE TABLE decision (
    number INTEGER PRIMARY KEY, minute INTEGER NOT NULL, event TEXT NOT NULL, policy TEXT NOT NULL,
    choices TEXT NOT NULL, language TEXT NOT NULL, signal INTEGER NOT NULL);
INSERT INTO decision VALUES (1, 5, 'refuse_all', 'aaaa', '{"social": false}', 'fr', 0);
"""


def test_a_decision_is_one_readable_line() -> None:
    made = Decision(
        29_926_765, Event.CUSTOM, "a" * 64, (("social", True), ("ads", False)), "fr", signal=False,
        layer="settings", device="phone", snapshot="b" * 64,
    )  # fmt: skip
    assert line(made) == (
        "2026-11-25T11:25Z custom social=yes ads=no policy=aaaaaaaaaa snapshot=bbbbbbbbbbbb"
        " language=fr layer=settings device=phone signal=no"
    )


@pytest.mark.parametrize(
    ("posted", "layer"),
    [(b"choice=all&layer=first", "first"), (b"choice=save&layer=settings", "settings"),
     (b"choice=add&purpose=social&layer=place", "place"), (b"choice=all", "api"), (b"choice=all&layer=x%0Ay", "api")],
)  # fmt: skip
def test_a_decision_knows_where_it_was_made_and_what_was_shown(
    site: Site, posted: bytes, layer: str
) -> None:
    chosen(site, posted, [PHONE])
    (made,) = site.ledger.decisions()
    assert (made.layer, made.device) == (layer, "phone")
    shown = site.ledger.snapshot(made.snapshot)
    assert shown
    assert hashlib.sha256(shown).hexdigest() == made.snapshot
    document = json.loads(shown)
    page = site.exchange(request("/_b/settings"))
    body = site.answer_sync(page, b"").body.decode()
    assert document["notice"]["languages"]["fr"]["settings"] == body
    assert document["policy"] == made.policy
    assert set(document["browser_policies"]) >= {"", "social", "ads social"}


def test_every_form_says_where_it_stands(site: Site) -> None:
    for path, layer in (("/_b/settings", b"settings"), ("/comments/1", b"place")):
        exchange = site.exchange(request(path))
        body = (exchange.reply or site.answer_sync(exchange, b"")).body
        assert b'name="layer" value="' + layer in body


def test_a_snapshot_is_served_under_its_hash_and_nothing_else_is(site: Site) -> None:
    def ask(name: str) -> tuple[int, bytes]:
        reply = site.answer_sync(site.exchange(request(f"/_b/snapshot/{name}")), b"")
        return reply.status, reply.body

    found = site.desk.snapshot
    status, body = ask(found)
    assert status == 200
    assert hashlib.sha256(body).hexdigest() == found
    for wrong in ("", "0" * 64, found[:-1], found.upper() + "x", "../bandeau.db", "%00" * 22):
        assert ask(wrong)[0] == 404


def test_a_snapshot_is_the_same_until_what_is_shown_changes(tmp_path: Path) -> None:
    def shown(text: str) -> str:
        site = Site.from_policy(loads(text), f"sqlite:///{tmp_path / 'b.db'}")
        site.close()
        return site.desk.snapshot

    assert shown(SMALL) == shown(SMALL)
    assert shown(SMALL) != shown(SMALL.replace("Own Press", "Other Press"))


def test_a_ledger_of_the_schema_before_is_brought_up_to_date(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "l.db") as database:
        database.executescript(OLD)
    for _ in range(2):
        ledger = Ledger(tmp_path / "l.db")
        assert ledger.decisions() == [
            Decision(5, Event.REFUSE_ALL, "aaaa", (("social", False),), "fr", signal=False)
        ]
        ledger.close()
    with sqlite3.connect(tmp_path / "l.db") as database:
        database.execute("UPDATE meta SET value = '3' WHERE name = 'schema_version'")
    with pytest.raises(LedgerError, match="schema version 3"):
        Ledger(tmp_path / "l.db")


def test_two_at_once_bring_it_up_to_date_once(tmp_path: Path) -> None:
    for number in range(10):
        path = tmp_path / f"{number}.db"
        with sqlite3.connect(path) as database:
            database.executescript(OLD)
        with ThreadPoolExecutor(4) as pool:
            for ledger in pool.map(Ledger, [path] * 4):
                assert len(ledger.decisions()) == 1
                ledger.close()


def test_the_command_line_reads_it(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'b.db'}"
    site = Site.from_policy(loads(SMALL), url)
    chosen(site, b"choice=all&layer=first", [PHONE])
    cookie = chosen(site, b"choice=none&layer=first")
    chosen(site, b"choice=save&purpose=social&layer=settings", cookie)
    site.close()

    def run(*words: str) -> tuple[int, str]:
        done = CliRunner().invoke(main, ["ledger", *words, "--ledger", url])
        return done.exit_code, done.output

    code, text = run("export")
    assert code == 0
    assert [one.split()[1] for one in text.splitlines()] == ["accept_all", "refuse_all", "custom"]
    code, text = run("stats")
    assert "3 decisions" in text
    assert "device phone: 1" in text
    assert "purpose social: 2 of 3 granted" in text
    code, text = run("snapshot", site.desk.snapshot[:12])
    assert code == 0
    assert hashlib.sha256(text.rstrip("\n").encode()).hexdigest() == site.desk.snapshot
    assert run("snapshot", "ffff")[0] == 1
    assert run("snapshot", "")[0] == 1
    missing = CliRunner().invoke(main, ["ledger", "stats", "--ledger", "sqlite:////nowhere/l.db"])
    assert missing.exit_code == 2
