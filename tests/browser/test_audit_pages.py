"""Forty article pages that others wrote, each audited as its owner would: it ends in time, small, with a report.

Every foreign name leads to a listener of ../shared that answers, and sets cookies, as a third party does.
BANDEAU_PROVE=1 walks through all of them, a quarter of an hour on two cores; `--basetemp` keeps the reports and figures.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from bandeau.audit.scenario import CAP_SECONDS, DEFAULT

PROVE = bool(os.environ.get("BANDEAU_PROVE"))
PAGES = Path(__file__).resolve().parents[3] / "shared" / "pages"
END_SECONDS = 20  # a browser takes one to three to start and to end; a report is written too
MOST_MIB = {"auditor": 400, "browsers": 4000}  # of two browsers at once
MANIFEST = PAGES / "manifest.json"
IDS = (
    [one["id"] for one in json.loads(MANIFEST.read_text("utf-8"))["pages"]]
    if PAGES.is_dir()
    else []
)

SERVERS = """
import asyncio, threading, leaks
pages, others = leaks.make_server("../../pages"), leaks.Net()
threading.Thread(target=pages.serve_forever, daemon=True).start()
async def main():
    await others.start()
    print(pages.server_address[1], others.port, flush=True)
    await asyncio.Event().wait()
asyncio.run(main())
"""

pytestmark = [
    pytest.mark.skipif(not PROVE, reason="BANDEAU_PROVE=1 audits the forty pages"),
    pytest.mark.skipif(not PAGES.is_dir(), reason="there is no ../shared here"),
    pytest.mark.skipif(not shutil.which("chromium"), reason="there is no chromium here"),
]


@dataclass(frozen=True)
class Web:
    """Where the pages are, and the folder of a Chromium for which everybody else is on loopback."""

    url: str
    path: Path


@pytest.fixture(scope="module")
def web(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    folder, leaks = tmp_path_factory.mktemp("web"), PAGES.parent / "tools" / "leaks"
    server = subprocess.Popen(
        [sys.executable, "-B", "-c", SERVERS], cwd=leaks, stdout=subprocess.PIPE, text=True,
        env={**os.environ, "TMPDIR": str(folder)},
    )  # fmt: skip
    assert server.stdout
    pages, others = server.stdout.readline().split()
    rules = f"MAP * 127.0.0.1:{others}, EXCLUDE *.localhost"
    flags = f"--host-resolver-rules='{rules}' --ignore-certificate-errors"
    chromium = folder / "chromium"
    chromium.write_text(f'#!/bin/sh\nexec {shutil.which("chromium")} {flags} "$@"\n')
    chromium.chmod(0o755)
    yield Web(f"http://news.localhost:{pages}", folder)
    server.kill()
    server.communicate()


def resident(process: psutil.Process) -> dict[str, float]:
    """Return what an auditor and the processes under it hold, in MiB; shared pages count for each."""
    found = dict.fromkeys(MOST_MIB, 0.0)
    for whose, one in [
        ("auditor", process),
        *(("browsers", p) for p in process.children(recursive=True)),
    ]:
        try:
            found[whose] += one.memory_info().rss / 2**20
        except psutil.NoSuchProcess:
            continue  # it ended meanwhile
    return found


def runs(process: psutil.Process) -> bool:
    try:
        return bool(process.status() != psutil.STATUS_ZOMBIE)  # of those, only the number is left
    except psutil.NoSuchProcess:
        return False


@pytest.mark.parametrize("page", IDS)
def test_a_page_of_the_real_web_is_audited_whole(web: Web, page: str, tmp_path: Path) -> None:
    profiles, out = tmp_path / "profiles", tmp_path / "report"
    profiles.mkdir()
    began = time.monotonic()
    audit = subprocess.Popen(
        [sys.executable, "-m", "bandeau", "audit", f"{web.url}/{page}", "--out", out, "--jobs", "2", "--quiet"],
        env={**os.environ, "TMPDIR": str(profiles), "PATH": f"{web.path}:{os.environ['PATH']}"},
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    most = dict.fromkeys(MOST_MIB, 0.0)
    watched, seen = psutil.Process(audit.pid), set()
    try:
        while audit.poll() is None:
            assert time.monotonic() - began < len(DEFAULT) / 2 * CAP_SECONDS + END_SECONDS
            seen |= set(watched.children(recursive=True))
            most = {whose: max(most[whose], mib) for whose, mib in resident(watched).items()}
            time.sleep(0.2)
    finally:
        audit.kill()
        said = audit.communicate()[0]
    figures = {"seconds": round(time.monotonic() - began, 1), "MiB": most}
    (tmp_path / "figures.json").write_text(json.dumps(figures), "utf-8")
    assert not [one for one in seen if runs(one)]
    assert not list(profiles.glob("bandeau-audit-*"))
    assert "Traceback" not in said, said
    report = json.loads((out / "report.json").read_text("utf-8"))
    assert (out / "report.html").is_file()
    assert report["exit"] == audit.returncode
    assert [run["scenario"] for run in report["runs"]] == list(DEFAULT)
    assert most["auditor"] < MOST_MIB["auditor"]
    assert most["browsers"] < MOST_MIB["browsers"]
    for run in report["runs"]:
        assert "a fault of the inspector" not in run["facts"].get("error", ""), run["facts"]
        assert run["reason"] not in ("time", "error"), run["facts"]["error"]
        assert run["unwatched"] == []
