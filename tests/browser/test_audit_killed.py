"""An audit that is killed outright leaves no browser behind, and its profile to the next audit."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from bandeau.audit.scenario import profile
from browser.lab import lab

if not shutil.which("chromium"):
    pytest.skip("there is no chromium here", allow_module_level=True)

PROCESSES = Path("/proc")
SECONDS = 20  # a browser takes one to three to end


def naming(folder: Path) -> list[str]:
    """Return the commands of every process that was started with a path in a folder."""
    found = []
    for one in PROCESSES.glob("[0-9]*/cmdline"):
        try:
            command = one.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue  # it ended meanwhile
        if str(folder) in command:
            found.append(command)
    return found


def until(true: Callable[[], object]) -> None:
    ends = time.monotonic() + SECONDS
    while not true():
        assert time.monotonic() < ends
        time.sleep(0.05)


@pytest.mark.skipif(not PROCESSES.is_dir(), reason="processes are read from /proc")
def test_a_killed_audit_leaves_no_browser_and_the_next_removes_its_profiles(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with lab() as port:
        audit = subprocess.Popen(
            [sys.executable, "-m", "bandeau", "audit", f"http://site.localhost:{port}/spins",
             "--scenario", "no-choice", "--scenario", "gpc", "--jobs", "2"],
            env={**os.environ, "TMPDIR": str(tmp_path)}, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            until(lambda: sum("--type=renderer" in one for one in naming(tmp_path)) >= 2)
            time.sleep(1)  # so that the pages spin: no process of theirs answers any more
        finally:
            audit.kill()
            audit.wait()
        until(lambda: not naming(tmp_path))
    assert len(list(tmp_path.glob("bandeau-audit-*"))) == 1  # two walks in one browser
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with profile() as first, profile() as second:
        assert set(tmp_path.glob("bandeau-audit-*")) == {first, second}  # none that is in use
    assert not list(tmp_path.glob("bandeau-audit-*"))


def test_a_folder_of_the_name_that_is_a_link_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    (tmp_path / "kept").mkdir()
    (tmp_path / "bandeau-audit-link").symlink_to(tmp_path / "kept")
    with profile():
        assert (tmp_path / "kept").is_dir()
    assert (tmp_path / "bandeau-audit-link").is_symlink()
