"""`bandeau audit` and `bandeau init` on the newspaper: behind the gate, and raw."""

from __future__ import annotations

import csv
import hashlib
import io
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from click.testing import CliRunner

from bandeau.audit.document import normalised
from bandeau.audit.draft import draft
from bandeau.audit.scenario import Plan, apart
from bandeau.cli import main
from bandeau.cli.audit import judged, walked
from bandeau.cli.progress import Progress
from bandeau.demo.serve import policy
from bandeau.ledger.entry import Kind
from bandeau.ledger.log import Log
from bandeau.ledger.place import store_at
from bandeau.policy.file import loads
from browser.conftest import ARTICLE, PARTIES, Demo


def audited(url: str, port: int, *scenarios: str) -> dict[str, Any]:
    plan = Plan(url)
    runs = apart(walked(plan, scenarios, 2, Progress(plan.url, quiet=True)))
    return judged(plan, runs, policy(port), datetime.now(UTC))


def outcome(report: dict[str, Any], rule: str) -> str:
    return next(str(one["outcome"]) for one in report["verdicts"] if one["rule"] == rule)


def facts(report: dict[str, Any], rule: str) -> Any:
    return next(one["facts"] for one in report["verdicts"] if one["rule"] == rule)


@pytest.fixture(scope="module")
def raw(demo: Demo) -> dict[str, Any]:
    return audited(demo.raw + ARTICLE, demo.port, "no-choice", "gpc")


def test_the_newspaper_behind_the_gate_is_clean(demo: Demo) -> None:
    report = audited(
        demo.url + ARTICLE, demo.port, "no-choice", "refuse", "accept", "withdraw", "only:social",
        "dirty", "return", "small", "dismiss", "gpc",
    )  # fmt: skip
    assert [one["facts"] for one in report["verdicts"] if one["outcome"] == "fail"] == []
    assert [
        (run["scenario"], run["reason"], run["facts"].get("error"))
        for run in report["runs"]
        if not run["completed"]
    ] == []
    assert [run["unwatched"] for run in report["runs"] if run["unwatched"]] == []
    assert report["exit"] == 0
    for rule in ("A1", "A2", "A3", "A4", "A5", "B1", "B5", "C1", "C2", "C3", "C5", "D1", "D2", "E1", "E2", "F1", "G2", "G3", "G4", "H1", "J3", "K1", "L1"):  # fmt: skip
        assert outcome(report, rule) == "pass", rule
    accept = next(run for run in report["runs"] if run["scenario"] == "accept")
    assert accept["clicks"] == {"accept": 1}
    assert {one["host"].partition(".")[0].partition("-")[0] for one in accept["observations"] if one["third"]} >= {"social", "mesure", "video", "regie"}  # fmt: skip


def test_of_the_raw_paper_the_list_is_complete(raw: dict[str, Any]) -> None:
    assert raw["exit"] == 1
    assert {one["rule"] for one in raw["verdicts"] if one["outcome"] == "fail"} >= {
        "A1",
        "B5",
        "C1",
        "C2",
        "C3",
        "L1",
    }
    kept = {fact["text"].split(" of ")[0].split()[-1] for fact in facts(raw, "C1")}
    assert kept >= {"visiteur", "variante", "_metreur", "metreur_tiers", "agora_id", "agora_compte", "derniere_visite",
                    "regie_id", "regie_tiers", "etiquettes_id", "ecran_visiteur", "profil"}  # fmt: skip
    hosts = {
        fact["text"].split()[2].partition(".")[0].partition("-")[0] for fact in facts(raw, "C3")
    }
    assert hosts == {party.partition("-")[0] for party in PARTIES}


def test_every_finding_names_what_in_the_page_started_it(raw: dict[str, Any]) -> None:
    for fact in (*facts(raw, "C1"), *facts(raw, "C3")):
        assert any(ARTICLE in step or "/pub/" in step for step in fact["chain"]), fact


def test_two_audits_of_the_same_page_are_equal_but_for_times_and_values(demo: Demo) -> None:
    two = [
        audited(demo.url + "/confidentialite", demo.port, "no-choice", "refuse") for _ in range(2)
    ]
    assert normalised(two[0]) == normalised(two[1])


def test_without_a_policy_what_nobody_classified_is_not_clean_and_not_a_finding(demo: Demo) -> None:
    plan = Plan(demo.url + ARTICLE)
    runs = apart(walked(plan, ["no-choice"], 1, Progress(plan.url, quiet=True)))
    report = judged(plan, runs, None, datetime.now(UTC))
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
    assert report["version"] == 1
    html = (out / "report.html").read_text("utf-8")
    assert "illegal" not in html
    assert "metreur_tiers" in html
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
    raw: dict[str, Any], demo: Demo, tmp_path: Path
) -> None:
    from bandeau.audit.compare import CompareError, changes

    old = tmp_path / "old.json"
    old.write_text(json.dumps(raw), "utf-8")
    assert list(changes(old, raw)) == []
    now = audited(demo.url + ARTICLE, demo.port, "no-choice", "gpc")
    said = list(changes(old, now))
    assert "C1: was fail, is pass" in said
    assert any(line.startswith("C3: gone: request to mesure.localhost") for line in said)
    old.write_text("{}", "utf-8")
    with pytest.raises(CompareError):
        list(changes(old, now))


def test_a_draft_of_the_raw_paper_declares_what_was_seen(demo: Demo) -> None:
    plan = Plan(demo.raw + ARTICLE)
    runs = apart(walked(plan, ["no-choice"], 1, Progress(plan.url, quiet=True)))
    text = draft(plan.url, runs)
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
