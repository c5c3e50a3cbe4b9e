"""`bandeau audit` and `bandeau init` on the newspaper: behind the gate, and raw."""

from __future__ import annotations

import csv
import hashlib
import io
import json
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from click.testing import CliRunner

from bandeau.audit.document import normalised
from bandeau.audit.draft import draft
from bandeau.audit.scenario import Plan, Run, apart
from bandeau.cli import main
from bandeau.cli.audit import judged, walked
from bandeau.cli.progress import Progress
from bandeau.demo.serve import policy
from bandeau.ledger.entry import Kind
from bandeau.ledger.log import Log
from bandeau.ledger.place import store_at
from bandeau.policy.file import loads
from browser.conftest import ARTICLE, PARTIES, Demo


@dataclass
class Audited:
    """What was walked of a page, and the report on it."""

    plan: Plan
    runs: list[Run]
    report: dict[str, Any]


def audited(url: str, port: int, *scenarios: str) -> Audited:
    plan = Plan(url, prefix=policy(port).site.prefix)
    runs = apart(walked(plan, scenarios, 2, Progress(plan.url, quiet=True)))
    return Audited(plan, runs, judged(plan, runs, policy(port), datetime.now(UTC)))


def outcome(report: dict[str, Any], rule: str) -> str:
    return next(str(one["outcome"]) for one in report["verdicts"] if one["rule"] == rule)


def facts(report: dict[str, Any], rule: str) -> Any:
    return next(one["facts"] for one in report["verdicts"] if one["rule"] == rule)


@pytest.fixture(scope="module")
def raw(demo: Demo) -> Audited:
    return audited(demo.raw + ARTICLE, demo.port, "no-choice", "gpc")


@pytest.fixture(scope="module")
def gated(demo: Demo) -> Audited:
    return audited(
        demo.url + ARTICLE, demo.port, "no-choice", "refuse", "accept", "withdraw", "only:social",
        "dirty", "return", "small", "dismiss", "gpc", "settings", "keyboard", "no-script", "endpoints",
    )  # fmt: skip


def test_the_newspaper_behind_the_gate_is_clean(gated: Audited) -> None:
    report = gated.report
    assert [one["facts"] for one in report["verdicts"] if one["outcome"] == "fail"] == []
    assert [
        (run["scenario"], run["reason"], run["facts"].get("error"))
        for run in report["runs"]
        if not run["completed"]
    ] == []
    assert [run["unwatched"] for run in report["runs"] if run["unwatched"]] == []
    assert report["exit"] == 0
    unknown = {one["rule"]: one["reason"] for one in report["verdicts"] if one["outcome"] != "pass"}
    server = dict.fromkeys(("G5", "H2", "H3", "H4", "I3", "I4", "I5", "J4", "M4"), "needs-server")
    assert unknown == {**server, "B2": "not-run", "F2": "not-run", "J2": "one-site"}
    accept = next(run for run in report["runs"] if run["scenario"] == "accept")
    assert accept["clicks"] == {"accept": 1}
    assert {one["host"].partition(".")[0].partition("-")[0] for one in accept["observations"] if one["third"]} >= {"social", "mesure", "video", "regie"}  # fmt: skip


def test_of_the_raw_paper_the_list_is_complete(raw: Audited) -> None:
    report = raw.report
    assert report["exit"] == 1
    assert {one["rule"] for one in report["verdicts"] if one["outcome"] == "fail"} == {
        "A1",
        "B5",
        "C1",
        "C2",
        "C3",
        "C6",
        "L1",
    }
    kept = {fact["text"].split(" of ")[0].split()[-1] for fact in facts(report, "C1")}
    assert kept >= {"visiteur", "telegram_visiteur", "variante", "_metreur", "metreur_tiers", "agora_id", "agora_compte", "derniere_visite",
                    "regie_id", "regie_tiers", "etiquettes_id", "ecran_visiteur", "profil"}  # fmt: skip
    hosts = {
        fact["text"].split()[2].partition(".")[0].partition("-")[0] for fact in facts(report, "C3")
    }
    lazy = {"telegram", "commentaires"}  # frames far down, which come when the page is scrolled
    assert hosts == {party.partition("-")[0] for party in PARTIES} | lazy


def test_every_finding_names_what_in_the_page_started_it(raw: Audited) -> None:
    for fact in (*facts(raw.report, "C1"), *facts(raw.report, "C3")):
        assert any(ARTICLE in step or "/pub/" in step for step in fact["chain"]), fact
    embeds = [one for one in facts(raw.report, "C3") if "telegram.localhost" in one["text"]]
    assert all(f'{ARTICLE} <iframe src="http://telegram.' in one["chain"][-2] for one in embeds)
    assert embeds


def test_two_audits_of_the_same_page_are_equal_but_for_times_and_values(demo: Demo) -> None:
    page = demo.url + "/confidentialite"
    two = [audited(page, demo.port, "no-choice", "refuse").report for _ in range(2)]
    assert normalised(two[0]) == normalised(two[1])


def test_what_a_walk_begins_with_is_found_as_if_it_was_walked_alone(demo: Demo) -> None:
    page = demo.url + "/confidentialite"
    both = audited(page, demo.port, "accept", "withdraw").report
    alone = audited(page, demo.port, "accept").report
    assert [run["scenario"] for run in both["runs"]] == ["accept", "withdraw"]
    assert normalised(both)["runs"][:1] == normalised(alone)["runs"]
    assert all(run["completed"] for run in both["runs"])


def test_a_walk_that_comes_no_further_than_its_beginning_says_so_of_both(demo: Demo) -> None:
    done = audited(demo.url + "/nowhere", demo.port, "accept", "withdraw")
    assert [(run.scenario, run.completed, run.reason) for run in done.runs] == [
        ("accept", False, "error"),
        ("withdraw", False, "error"),
    ]


def test_without_a_policy_what_nobody_classified_is_not_clean_and_not_a_finding(
    gated: Audited,
) -> None:
    report = judged(gated.plan, gated.runs, None, datetime.now(UTC))
    assert [one["rule"] for one in report["verdicts"] if one["outcome"] == "fail"] == []
    assert outcome(report, "C1") == "unknown"
    assert outcome(report, "C3") == "pass"  # the gate let no third party be asked


def test_every_format_is_written_and_the_manifest_goes_into_the_log(
    demo: Demo, tmp_path: Path
) -> None:
    words = [
        one
        for name in ("json", "html", "csv", "sarif", "junit", "har", "github", "pdf")
        for one in ("--format", name)
    ]
    out = tmp_path / "report"
    done = CliRunner().invoke(
        main, ["audit", demo.raw + ARTICLE, "--scenario", "no-choice", "--out", str(out), *words]
    )
    assert done.exit_code == 1, done.output
    report = json.loads((out / "report.json").read_text("utf-8"))
    assert report["version"] == 2
    html = (out / "report.html").read_text("utf-8")
    assert "illegal" not in html
    assert "metreur_tiers" in html
    assert '<img src="data:image/webp;base64,' in html
    assert 'src="pictures' not in html
    rows = list(csv.DictReader(io.StringIO((out / "report.csv").read_text("utf-8"))))
    assert {row["rule"] for row in rows} == {one["rule"] for one in report["verdicts"]}
    sarif = json.loads((out / "report.sarif").read_text("utf-8"))
    assert sarif["version"] == "2.1.0"
    assert {one["ruleId"] for one in sarif["runs"][0]["results"]} == {
        row["rule"] for row in rows if row["outcome"] == "fail"
    }
    suite = ET.fromstring((out / "report.junit.xml").read_text("utf-8"))
    assert suite.get("failures") == str(report["counts"]["fail"])
    assert json.loads((out / "report.har").read_text("utf-8"))["log"]["entries"]
    assert (out / "report.github.txt").read_text("utf-8").startswith("::error title=")
    assert (out / "report.pdf").read_bytes()[:5] == b"%PDF-"
    manifest = json.loads((out / "manifest.json").read_text("utf-8"))
    for name, sha256 in manifest["sha256"].items():
        assert hashlib.sha256((out / name).read_bytes()).hexdigest() == sha256
    url = f"sqlite:///{demo.data / 'bandeau.db'}"
    logged = CliRunner().invoke(
        main, ["ledger", "log-audit", str(out / "manifest.json"), "--ledger", url]
    )
    assert logged.exit_code == 0, logged.output
    store = store_at(url)
    (event,) = Log(store).store.events([Kind.AUDIT])
    store.close()
    assert (
        event.detail == f"audit {hashlib.sha256((out / 'manifest.json').read_bytes()).hexdigest()}"
    )


def test_what_changed_since_an_earlier_report_is_said(
    raw: Audited, gated: Audited, tmp_path: Path
) -> None:
    from bandeau.audit.compare import CompareError, changes

    old = tmp_path / "old.json"
    old.write_text(json.dumps(raw.report), "utf-8")
    assert list(changes(old, raw.report)) == []
    said = list(changes(old, gated.report))
    assert "C1: was fail, is pass" in said
    assert any(line.startswith("C3: gone: request to mesure.localhost") for line in said)
    old.write_text("{}", "utf-8")
    with pytest.raises(CompareError):
        list(changes(old, gated.report))


def test_a_draft_of_the_raw_paper_declares_what_was_seen(raw: Audited) -> None:
    text = draft(raw.plan.url, [run for run in raw.runs if run.scenario == "no-choice"])
    made = loads(text)
    assert {service.purpose for service in made.services} >= {"social", "audience", "ads", "video"}
    assert {tracker.name for tracker in made.trackers} >= {
        "visiteur",
        "_metreur",
        "agora_id",
        "variante",
    }
    days = {
        tracker.name: tracker.max_age_days for tracker in made.trackers if tracker.kind == "cookie"
    }
    assert days["visiteur"] == 365
    assert days["lanterne_session"] is None
    assert next(t.purpose for t in made.trackers if t.name == "lanterne_session") == "technical"
    assert text.count("# check:") > 10


def test_the_command_says_in_a_line_what_it_cannot_do(tmp_path: Path) -> None:
    for words in (["audit", "ftp://x"], ["audit", "http://127.0.0.1:9/", "--scenario", "nonsense"],
                  ["init", "http://127.0.0.1:9/", "-o", str(tmp_path / "p.toml")]):  # fmt: skip
        done = CliRunner().invoke(main, words)
        assert done.exit_code == 2, done.output
        assert not (tmp_path / "p.toml").exists()
    done = CliRunner().invoke(main, ["audit", "http://127.0.0.1:9/", "--scenario", "no-choice"])
    assert done.exit_code == 2
    assert "was not done" in done.output
