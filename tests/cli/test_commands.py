"""The commands as a user calls them: exit codes, words, and a graceful end."""

from __future__ import annotations

import asyncio
import json
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

import serving
from bandeau.cli import main
from conftest import SMALL
from serving import ask

BANDEAU = [sys.executable, "-m", "bandeau"]


def run(*arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*BANDEAU, *arguments], capture_output=True, text=True, cwd=cwd, timeout=60, check=False
    )


@pytest.fixture
def policy_file(tmp_path: Path) -> Path:
    path = tmp_path / "bandeau.toml"
    path.write_text(SMALL, "utf-8")
    return path


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def test_help_is_one_line_a_command_and_quick() -> None:
    done = run("--help")
    assert done.returncode == 0
    assert {"check", "demo", "proxy"} <= set(re.findall(r"^  (\w+)  ", done.stdout, re.MULTILINE))
    for command in ("check", "demo", "proxy"):
        assert run(command, "--help").returncode == 0
    assert run("--version").stdout.startswith("python -m bandeau, version 0.")


def test_check_tells_everything_and_says_so_by_its_exit_code(policy_file: Path) -> None:
    done = run("check", str(policy_file))
    assert (done.returncode, done.stdout.splitlines()[-1]) == (0, f"{policy_file}: good")
    policy_file.write_text(
        SMALL.replace("keep_days = 912", "").replace('kind = "local_storage"', 'kind = "x"'),
        "utf-8",
    )
    done = run("check", str(policy_file))
    assert done.returncode == 1
    assert done.stdout.count("→") == 2
    found = json.loads(run("check", str(policy_file), "--format", "json").stdout)
    assert [problem["id"] for problem in found] == ["BP004", "BP005"]
    assert run("check", str(policy_file.parent / "none.toml")).returncode == 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--upstream", "ftp://x", "--listen", "127.0.0.1:1"], "--upstream"),
        (["--upstream", "http://x", "--listen", "9000"], "--listen"),
        (
            ["--upstream", "http://x", "--listen", "127.0.0.1:0", "--ledger", "mysql://x"],
            "sqlite:///",
        ),
        (
            ["--upstream", "http://x", "--listen", "127.0.0.1:0", "--trust-forwarded", "nonsense"],
            "nonsense",
        ),
    ],
)
def test_a_proxy_that_cannot_start_says_why_in_a_line(
    policy_file: Path, arguments: list[str], said: str
) -> None:
    done = run("proxy", "--policy", str(policy_file), *arguments, cwd=policy_file.parent)
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_every_flag_of_the_proxy_has_its_variable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    user = CliRunner()
    said = user.invoke(main, ["proxy", "--help"]).output
    flags = set(re.findall(r"^  --([a-z-]+)", said, re.MULTILINE))
    named = {f"BANDEAU_{flag.replace('-', '_').upper()}" for flag in flags}
    assert named == set(re.findall(r"BANDEAU_\w+", said))
    Path("bandeau.toml").write_text(SMALL.replace(".localhost:9000", ".example"), "utf-8")
    settings = {
        "BANDEAU_POLICY": "bandeau.toml",
        "BANDEAU_UPSTREAM": "http://x",
        "BANDEAU_LISTEN": "127.0.0.1:0",
        "BANDEAU_INSECURE_ORIGIN": "1",
        "BANDEAU_TRUST_FORWARDED": "10.0.0.0/8 nonsense",
    }
    done = user.invoke(main, ["proxy"], env=settings)
    assert done.exit_code == 2
    assert "'nonsense'" in done.output  # everything before it was taken
    done = user.invoke(main, ["proxy"], env=settings | {"BANDEAU_LEDGER": "mysql://x"})
    assert "sqlite:///" in done.output
    done = user.invoke(main, ["ledger", "stats"], env={"BANDEAU_LEDGER": "sqlite:///absent.db"})
    assert "absent.db" in done.output


def test_plain_http_beyond_this_machine_has_to_be_asked_for(policy_file: Path) -> None:
    policy_file.write_text(
        SMALL.replace("http://www.own.localhost:9000", "http://own.example"), "utf-8"
    )
    done = run(
        "proxy", "--policy", str(policy_file), "--upstream", "http://x", "--listen", "127.0.0.1:0"
    )
    assert done.returncode == 2
    assert "--insecure-origin" in done.stderr


@pytest.fixture
def up() -> Iterator[serving.Upstream]:
    with serving.upstream() as made:
        yield made


def started(arguments: list[str], cwd: Path) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [*BANDEAU, *arguments], cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout
    line = process.stdout.readline()
    assert line.startswith("ready http://"), line + (
        process.stderr.read() if process.stderr else ""
    )
    return process


def test_a_proxy_serves_ends_gracefully_and_keeps_its_choices(
    policy_file: Path, up: serving.Upstream
) -> None:
    async def slowly(
        _head: bytes, _reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\nbegin ")
        await writer.drain()
        await asyncio.sleep(1.5)
        writer.write(b"end")

    up.answers.update({"/slow": slowly, "/": serving.page(b"<p>x")})
    port = free_port()
    arguments = ["proxy", "--policy", str(policy_file), "--upstream", f"http://127.0.0.1:{up.port}",
                 "--listen", f"127.0.0.1:{port}"]  # fmt: skip
    process = started(arguments, policy_file.parent)
    taken = run("demo", "--port", str(port), "--data", str(policy_file.parent / "d"))
    assert taken.returncode == 2
    assert "cannot be used" in taken.stderr
    form = (b"Content-Type: application/x-www-form-urlencoded", b"Sec-Fetch-Site: same-origin")
    answered = ask(port, "/_b/choice", *form, method="POST", body=b"choice=all")
    cookie = b"Cookie: " + answered.every(b"set-cookie")[0].partition(b";")[0]
    with socket.create_connection(("127.0.0.1", port), 5) as connection:
        connection.sendall(b"GET /slow HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        time.sleep(0.5)
        process.send_signal(signal.SIGTERM)
        assert b"end" in serving.received(connection)
    _, said = process.communicate(timeout=20)
    assert process.returncode == 0, said
    assert "Traceback" not in said
    again = started(arguments, policy_file.parent)
    assert b'data-state="granted"' in ask(port, "/", cookie).body
    again.kill()
    again.communicate()
    third = started(arguments, policy_file.parent)  # after kill -9
    assert b'data-state="granted"' in ask(port, "/", cookie).body
    third.send_signal(signal.SIGINT)
    third.communicate(timeout=20)


def test_observing_writes_a_report(policy_file: Path, up: serving.Upstream, tmp_path: Path) -> None:
    up.answers["/"] = serving.page(
        b"<script src=https://x.example/a.js></script>", b"Set-Cookie: junk=1"
    )
    port, report = free_port(), tmp_path / "report.jsonl"
    process = started(
        ["proxy", "--policy", str(policy_file), "--upstream", f"http://127.0.0.1:{up.port}", "--listen",
         f"127.0.0.1:{port}", "--observe", "--report", str(report)], policy_file.parent,
    )  # fmt: skip
    answered = ask(port)
    assert answered.body == b"<script src=https://x.example/a.js></script>"
    assert answered.every(b"set-cookie") == [b"junk=1"]
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=20)
    lines = [json.loads(line) for line in report.read_text("utf-8").splitlines()]
    assert {"x.example", "junk"} <= {line.get("name") for line in lines}
    assert lines[-1]["held"] == "summary"
