"""From a site that nobody has looked at to one that obeys: init, a few lines, the gate, an audit."""

from __future__ import annotations

import difflib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from browser.conftest import ARTICLE, Demo, free_ports

HOST = "lanterne.localhost"
EDITED = 10  # lines at most


def bandeau(*words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "bandeau", *words],
        capture_output=True,
        check=False,
        text=True,
        cwd=cwd,
        timeout=400,
    )


@pytest.mark.skipif(
    "BANDEAU_PROVE" not in os.environ, reason="BANDEAU_PROVE=1 goes from init to a clean audit"
)
def test_a_drafted_policy_with_a_few_edited_lines_makes_the_raw_newspaper_clean(
    demo: Demo, tmp_path: Path
) -> None:
    draft, policy, port = tmp_path / "draft.toml", tmp_path / "bandeau.toml", free_ports()
    done = bandeau("init", demo.raw + ARTICLE, "-o", str(draft), "--thorough", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    text = draft.read_text("utf-8")
    edited = text.replace(f'origins = ["{demo.raw}"]', f'origins = ["http://{HOST}:{port}"]')
    edited = edited.replace('privacy_policy = "/privacy"', 'privacy_policy = "/confidentialite"')
    changes = list(difflib.unified_diff(text.splitlines(), edited.splitlines(), n=0, lineterm=""))
    print(*changes, sep="\n")  # noqa: T201 (the diff is what is to be shown)
    assert 0 < sum(line.startswith("+") for line in changes[2:]) <= EDITED
    policy.write_text(edited, "utf-8")
    assert bandeau("check", str(policy), cwd=tmp_path).returncode == 0
    gate = subprocess.Popen(
        [sys.executable, "-m", "bandeau", "proxy", "--policy", str(policy), "--upstream",
         f"http://127.0.0.1:{demo.port + 2}", "--listen", f"127.0.0.1:{port}"],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, cwd=tmp_path,
    )  # fmt: skip
    try:
        assert gate.stdout
        assert gate.stdout.readline().startswith("ready ")
        audit = bandeau("audit", f"http://{HOST}:{port}{ARTICLE}", "--policy", str(policy),
                        "--out", str(tmp_path / "report"), cwd=tmp_path)  # fmt: skip
    finally:
        gate.send_signal(signal.SIGTERM)
        gate.communicate(timeout=30)
    report = json.loads((tmp_path / "report" / "report.json").read_text("utf-8"))
    assert [one["facts"] for one in report["verdicts"] if one["outcome"] == "fail"] == []
    assert audit.returncode == 0, audit.stdout
