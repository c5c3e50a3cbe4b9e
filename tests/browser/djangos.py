"""Django sites as their owners run them: an environment of their own, manage.py, its server on loopback."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from urllib.error import HTTPError

ROOT = Path(__file__).resolve().parents[2]


def installed(folder: Path, *packages: str) -> Path:
    """Make an environment with some packages and bandeau in it, and return its Python."""
    python = folder / "bin" / "python"
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    pip = [str(python), "-m", "pip", "--quiet", "--disable-pip-version-check", "install"]
    subprocess.run([*pip, *packages, str(ROOT)], check=True, timeout=590)
    return python


def managed(python: Path, site: Path, *words: str, **more: str) -> str:
    """Run manage.py to its end and return all that it said, whether it liked it or not."""
    done = subprocess.run(
        [python, "manage.py", *words], cwd=site, env={**os.environ, **more}, text=True, check=False,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=300,
    )  # fmt: skip
    return done.stdout


@contextlib.contextmanager
def served(python: Path, site: Path, port: int, **more: str) -> Iterator[str]:
    """Run the development server until the end of the block; gives its address once it answers."""
    log, url = site / f"{port}.log", f"http://127.0.0.1:{port}"
    with log.open("a") as out:
        server = subprocess.Popen(
            [python, "manage.py", "runserver", str(port), "--noreload"], cwd=site, env={**os.environ, **more},
            stdout=out, stderr=out,
        )  # fmt: skip
        try:
            for _ in range(300):
                assert server.poll() is None, log.read_text("utf-8")
                if _answers(f"{url}/_up"):
                    break
                time.sleep(0.2)
            yield url
        finally:
            server.terminate()
            server.wait(20)


def _answers(url: str) -> bool:
    """Say whether a server answers, if only that there is no such page."""
    try:
        urllib.request.urlopen(url, timeout=10).close()
    except HTTPError as error:
        error.close()
    except OSError:
        return False
    return True
