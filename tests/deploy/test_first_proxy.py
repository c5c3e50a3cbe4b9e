"""From an empty folder to a site that obeys, as docs/deployment.md and docs/rollout.md have it, with what pip installs."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from browser.conftest import free_ports
from deploy.test_wheel import built
from serving import ask

SCRIPT = """document.cookie = "_trk=u12345678; max-age=31536000; path=/"; localStorage.setItem("trk.id", "x1");
new Image().src = "http://stats.localhost:{port}/p.gif";"""
FRONT = """<!doctype html><html lang="en"><head><title>My site</title>
<script src="http://stats.localhost:{port}/s.js"></script>
<script>document.cookie = "seen=1; max-age=2592000; path=/";</script></head>
<body><h1>My site</h1><p>Hello.</p><p><a href="/privacy.html">Privacy</a></p></body></html>"""
PRIVACY = """<!doctype html><html lang="en"><head><title>Privacy</title></head><body><h1>Privacy</h1><p>Who we are.</p></body></html>"""
ROLLOUT = '\n[rollout]\nlayers = []\nreport = "seen.jsonl"\n'


@contextlib.contextmanager
def files(folder: Path, port: int) -> Iterator[None]:
    """Serve a folder with Python's own server."""
    words = [sys.executable, "-m", "http.server", str(port), "--bind", "127.0.0.1"]
    with subprocess.Popen([*words, "--directory", folder], stderr=subprocess.DEVNULL) as server:
        try:
            yield
        finally:
            server.terminate()


class User:
    """Somebody with a folder, and the commands that pip put there."""

    def __init__(self, folder: Path, upstream: int) -> None:
        self.folder, self.upstream, self.port = folder, upstream, free_ports()
        self.host = f"127.0.0.1:{self.port}"

    def bandeau(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [self.folder / "new" / "bin" / "bandeau", *words],
            cwd=self.folder, capture_output=True, text=True, check=False, timeout=300,
        )  # fmt: skip

    @contextlib.contextmanager
    def proxy(self, *flags: str) -> Iterator[None]:
        words = ["proxy", "--policy", "bandeau.toml", "--upstream", f"http://127.0.0.1:{self.upstream}",
                 "--listen", self.host, *flags]  # fmt: skip
        program = self.folder / "new" / "bin" / "bandeau"
        with subprocess.Popen(
            [program, *words], cwd=self.folder, stdout=subprocess.PIPE, text=True
        ) as process:
            assert process.stdout
            assert process.stdout.readline().startswith("ready ")
            try:
                yield
            finally:
                process.send_signal(signal.SIGTERM)
                assert process.wait(20) == 0

    def front(self) -> bytes:
        return ask(self.port, host=self.host).body


@pytest.mark.skipif("BANDEAU_PROVE" not in os.environ, reason="BANDEAU_PROVE=1 goes the whole way")
def test_an_empty_folder_becomes_a_proxy_that_obeys(tmp_path: Path) -> None:
    begun = time.monotonic()
    site, third = tmp_path / "site", tmp_path / "third"
    upstream, port = free_ports(), free_ports()
    for path, text in (
        (site / "index.html", FRONT.format(port=port)),
        (site / "privacy.html", PRIVACY),
        (third / "s.js", SCRIPT.format(port=port)),
        (third / "p.gif", "GIF89a"),
    ):
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, "utf-8")
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "new"], check=True)
    pip = tmp_path / "new" / "bin" / "pip"
    subprocess.run([pip, "install", "--quiet", f"{built(tmp_path)}[serve,audit]"], check=True)
    user, policy = User(tmp_path, upstream), tmp_path / "bandeau.toml"
    raw = (site / "index.html").read_bytes()

    with files(site, upstream), files(third, port):
        done = user.bandeau("init", f"http://127.0.0.1:{upstream}/", "--language", "en-GB")
        assert done.returncode == 0, done.stderr
        draft = policy.read_text("utf-8")
        text = re.sub(
            r"^origins = .*", f'origins = ["http://{user.host}"]', draft, flags=re.MULTILINE
        )
        text = re.sub(
            r"^privacy_policy = .*", 'privacy_policy = "/privacy.html"', text, flags=re.MULTILINE
        )
        edited = sum(a != b for a, b in zip(draft.splitlines(), text.splitlines(), strict=True))
        policy.write_text(text, "utf-8")
        assert user.bandeau("check", "bandeau.toml").returncode == 0

        with user.proxy("--observe", "--report", "first.jsonl"):
            assert user.front() == raw
        assert user.bandeau("learn", "first.jsonl", "--policy", "bandeau.toml").returncode == 0

        start = text.index("# seen: http://stats.localhost")  # a policy that forgot the third party
        forgot = re.sub(r"\[\[(service|tracker)\]\]\n(?:.+\n)+", "", text[start:])
        policy.write_text(text[:start] + forgot + ROLLOUT, "utf-8")
        with user.proxy():
            assert user.front() == raw
        missing = user.bandeau("learn", "seen.jsonl", "--policy", "bandeau.toml")
        assert missing.returncode == 1
        assert 'host = "stats.localhost"' in missing.stdout

        policy.write_text(text, "utf-8")
        with user.proxy():
            enforced = user.front()
            assert b'id="bandeau"' in enforced
            assert user.bandeau("switch", "cookies", "--policy", "bandeau.toml").returncode == 0
            time.sleep(1.2)
            assert user.front() == raw
            assert user.bandeau("switch", "all", "--policy", "bandeau.toml").returncode == 0
            time.sleep(1.2)
            assert user.front() == enforced
            audit = user.bandeau(
                "audit", f"http://{user.host}/", "--policy", "bandeau.toml", "--out", "report"
            )
    report = json.loads((tmp_path / "report" / "report.json").read_text("utf-8"))
    assert [one["facts"] for one in report["verdicts"] if one["outcome"] == "fail"] == []
    assert audit.returncode == 0, audit.stdout
    print(f"{edited} lines edited, {(time.monotonic() - begun) / 60:.1f} minutes")  # noqa: T201 (to be shown)
