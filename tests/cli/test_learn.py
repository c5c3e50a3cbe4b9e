"""`bandeau learn` and `bandeau switch`: from a report to the lines to add, and the way back."""

from __future__ import annotations

import cProfile
import json
import re
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from bandeau.audit.draft import missing
from bandeau.cli import main
from bandeau.cli.learn import _page, _run, items
from bandeau.ledger.entry import Kind
from bandeau.ledger.place import store_at
from bandeau.policy.file import load, loads
from bandeau.site import Site
from conftest import SMALL

SEEN: list[Any] = [
    {"held": "script", "name": "www.google-analytics.com", "path": "/a", "script": "http://www.own.localhost:9000/gtm.js:3"},
    {"held": "image", "name": "px.social.localhost", "path": "/a", "tag": "img"},
    {"held": "frame", "name": "social.localhost", "path": "/a", "tag": "iframe"},  # declared: waits
    {"held": "style", "name": "social.localhost", "path": "/a", "tag": "link"},  # but not for this
    {"held": "any", "name": "social.localhost", "path": "/a", "tag": "link"},
    {"held": "speculationrules", "name": "null", "path": "/a", "tag": "script"},
    {"held": "cookie set", "name": "_ga", "path": "/b", "seconds": 34_560_000},
    {"held": "cookie read", "name": "PHPSESSID", "path": "/b"},
    {"held": "cookie set", "name": "sq_x", "path": "/b", "seconds": 60},
    {"held": "script", "name": "cdn.évasion.example", "path": '/"\n[[x]]', "tag": "script"},
    {"held": "summary", "distinct": 3, "seen": {}}, {"held": 1, "name": 2}, [], "x", {"name": "no"},
]  # fmt: skip


@pytest.fixture
def policy(tmp_path: Path) -> Path:
    path = tmp_path / "bandeau.toml"
    path.write_text(SMALL, "utf-8")
    report = "".join(json.dumps(one) + "\n" for one in SEEN) + '{"held": "script", "na'
    (tmp_path / "seen.jsonl").write_text(report, "utf-8")
    return path


def learn(policy: Path, *more: str) -> Result:
    words = ["learn", str(policy.parent / "seen.jsonl"), "--policy", str(policy), *more]
    return CliRunner().invoke(main, words)


def test_what_is_missing_is_said_as_tables_that_can_be_added(policy: Path) -> None:
    done = learn(policy)
    assert done.exit_code == 1, done.output
    made = loads(SMALL + "\n" + done.stdout)
    services = {one.id: one for one in made.services}
    assert set(services) >= {"google-analytics", "social"}
    assert services["google-analytics"].purpose == "audience"
    assert services["google-analytics"].recipient == "Google"
    hosts = {h.host: set(h.kinds) for h in services["social"].hosts}
    assert hosts == {"social.localhost": {"style"}, "px.social.localhost": {"image"}}
    assert (services["social"].purpose, services["social"].recipient) == ("social", "Square")
    trackers = {one.name: one for one in made.trackers}
    assert trackers["_ga"].max_age_days == 400
    assert trackers["PHPSESSID"].purpose == "technical"
    assert '"sq_x"' not in done.stdout  # declared as sq_*
    assert "# seen: " in done.stdout
    assert "gtm.js:3" in done.stdout


def test_what_was_added_is_missing_no_longer(policy: Path) -> None:
    done = learn(policy, "--write")
    assert done.exit_code == 1, done.output
    assert re.search(r"added tables: \d+; lines to check: \d+", done.output)
    load(policy)
    again = learn(policy, "--write")
    assert again.exit_code == 0, again.output
    assert "tables missing: 0" in again.output


def test_what_cannot_be_read_is_said_in_a_line(policy: Path) -> None:
    (policy.parent / "seen.jsonl").unlink()
    done = learn(policy)
    assert (done.exit_code, len(done.output.splitlines())) == (2, 1)
    for listen in ("0.0.0.0:80", "127.0.0.1:x"):
        assert learn(policy, "--listen", listen).exit_code == 2
    policy.write_text("version = 2", "utf-8")
    assert learn(policy).exit_code == 2


def test_the_page_keeps_up_with_the_report(policy: Path) -> None:
    import socket

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = [
        "learn",
        str(policy.parent / "seen.jsonl"),
        "--policy",
        str(policy),
        "--listen",
        f"127.0.0.1:{port}",
    ]
    with subprocess.Popen(
        [sys.executable, "-m", "bandeau", *words], stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout
            assert process.stdout.readline().startswith("ready ")

            def got(path: str) -> str:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=20) as answer:
                    return str(answer.read().decode())

            page = got("/")
            assert "<td>www.google-analytics.com" in page
            assert "waits for consent" in page
            assert "<td>/&quot;\n[[x]] &lt;script&gt;" in page
            data = json.loads(got("/learn.json"))
            assert "[[service]]" in data["add"]
            with (policy.parent / "seen.jsonl").open("a", encoding="utf-8") as report:
                report.write('\n{"held": "image", "name": "late.example", "path": "/"}\n')
            assert "late.example" in got("/")
        finally:
            process.terminate()


def test_each_item_of_the_page_is_missing_as_it_would_be_alone(policy: Path) -> None:
    report, declared = policy.parent / "seen.jsonl", load(policy)
    alone = {
        (one["held"], one["name"]): bool(missing(declared, "http://own", [_run([one], declared)]))
        for one in items(report)
    }
    shown = json.loads(_page(report, policy, data=True))["items"]
    assert {(one["what"], one["name"]): one["missing"] for one in shown} == alone
    assert set(alone.values()) == {True, False}


def test_twice_as_many_items_take_twice_as_many_calls_and_one_draft(policy: Path) -> None:
    report = policy.parent / "seen.jsonl"

    def calls(start: int, count: int) -> int:
        made = [
            {"held": "image", "name": f"h{n}.x{n // 3}.example", "path": f"/{n}", "tag": "img"}
            for n in range(start, start + count)
        ]
        report.write_text("".join(json.dumps(one) + "\n" for one in made))
        profile = cProfile.Profile()
        assert len(profile.runcall(_page, report, policy, data=False)) > count
        stats = profile.getstats()
        assert [one.callcount for one in stats if one.code is missing.__code__] == [1]
        return sum(one.callcount for one in stats)

    calls(0, 10)  # what is read once
    assert calls(2000, 800) < 2.1 * calls(1000, 400)


def test_the_switch_is_a_file_that_running_sites_see_and_stands_in_the_log(policy: Path) -> None:
    url = f"sqlite:///{policy.parent / 'b.db'}"
    site = Site.from_file(policy, url)
    site.close()

    def switch(what: str) -> Result:
        return CliRunner().invoke(main, ["switch", what, "--policy", str(policy), "--ledger", url])

    done = switch("cookies")
    assert done.exit_code == 0, done.output
    assert (policy.parent / "bandeau.switch").exists()
    done = switch("all")
    assert done.exit_code == 0, done.output
    assert not (policy.parent / "bandeau.switch").exists()
    store = store_at(url)
    said = [event.detail.split()[1:3] for event in store.events([Kind.MODE])]
    store.close()
    assert [words[0].count(",") for words in said] == [7, 0, 7]
    assert said[1][0] == "enforced=cookies"


def test_the_switch_holds_even_where_the_ledger_cannot_be_opened(policy: Path) -> None:
    done = CliRunner().invoke(
        main,
        [
            "switch",
            "cookies",
            "--policy",
            str(policy),
            "--ledger",
            f"sqlite:///{policy.parent / 'none.db'}",
        ],
    )
    assert done.exit_code == 2
    assert (policy.parent / "bandeau.switch").exists()
