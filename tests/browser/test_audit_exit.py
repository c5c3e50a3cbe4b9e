"""How an audit ends: 1 for a finding, 2 where something kept a walk from its end, 0 for nothing else."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from bandeau.audit.scenario import Plan, apart, run
from bandeau.cli import main
from browser.lab import lab

if not shutil.which("chromium"):
    pytest.skip("there is no chromium here", allow_module_level=True)

PROVE = bool(os.environ.get("BANDEAU_PROVE"))
# A browser that answers every call with nothing at all.
HOLLOW = """#!{python}
import json, os, sys
if "--version" in sys.argv:
    print("Chromium 156.0")
else:
    heard = b""
    while more := os.read(3, 65536):
        *calls, heard = (heard + more).split(b"\\0")
        for call in calls:
            if b"Browser.close" in call:
                sys.exit()
            os.write(4, json.dumps({{"id": json.loads(call)["id"], "result": {{}}}}).encode() + b"\\0")
"""


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    with lab() as found:
        yield found


LONGER = [("/challenge", "bot-wall"), ("/away", "error")] if PROVE else []


@pytest.mark.parametrize(
    ("path", "reason"), [("/forbidden", "bot-wall"), ("/nowhere", "error"), *LONGER]
)
def test_a_page_that_visitors_would_not_see_is_not_clean(port: int, path: str, reason: str) -> None:
    done = apart(run(Plan(f"http://site.localhost:{port}{path}"), "no-choice"))
    assert (done.completed, done.reason) == (False, reason), done.facts
    assert done.agent  # it was a browser that met it


def test_a_walk_to_see_the_notice_that_finds_none_ends_with_2(port: int, tmp_path: Path) -> None:
    words = ["--scenario", "small", "--out", str(tmp_path)]
    done = CliRunner().invoke(main, ["audit", f"http://site.localhost:{port}/empty", *words])
    assert done.exit_code == 2, done.output
    assert "small was not done: no notice was found" in done.output
    assert (tmp_path / "report.json").exists()


def test_a_report_that_cannot_be_written_ends_with_2(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "")  # no browser: what matters here comes after the walks
    (tmp_path / "taken").write_text("a file")
    words = ["--scenario", "no-choice", "--out", str(tmp_path / "taken")]
    done = CliRunner().invoke(main, ["audit", "http://127.0.0.1:9/", *words])
    assert done.exit_code == 2
    assert isinstance(done.exception, SystemExit)


def test_a_browser_that_answers_nonsense_is_a_fault_and_no_finding(tmp_path: Path) -> None:
    hollow = tmp_path / "hollow"
    hollow.write_text(HOLLOW.format(python=sys.executable))
    hollow.chmod(0o755)
    done = apart(run(Plan("http://127.0.0.1:9/", executable=str(hollow)), "no-choice"))
    assert (done.completed, done.reason) == (False, "error")
    assert "KeyError" in done.facts["error"]


def test_an_interrupt_ends_an_audit_at_once_with_2(port: int) -> None:
    # What a shell starts in the background ignores interrupts, and so would its children.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    audit = subprocess.Popen(
        [sys.executable, "-m", "bandeau", "audit", f"http://site.localhost:{port}/endless"],
        stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    signal.signal(signal.SIGINT, before)
    assert audit.stderr is not None
    assert "walking" in audit.stderr.readline()
    audit.send_signal(signal.SIGINT)
    said = audit.communicate(timeout=20)[1]
    assert (audit.returncode, said.splitlines()[-1]) == (2, "interrupted: nothing was judged")
