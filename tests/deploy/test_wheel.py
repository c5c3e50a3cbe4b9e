"""What `pip install bandeau` brings: every file, few packages, types; and a proxy that serves."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tarfile
import time
import zipfile
from pathlib import Path

import pytest
from flit_core.sdist import SdistBuilder
from flit_core.wheel import make_wheel_in

from conftest import SMALL
from serving import ask, page, upstream

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = 12  # at most, bandeau itself among them
COUNT = """import importlib.metadata as m, json
print(json.dumps(sorted(d.metadata["Name"].lower() for d in m.distributions())))"""
PROGRAM = """from bandeau import Bandeau
site = Bandeau.from_file({argument}, ledger="sqlite:///bandeau.db")
state: str = site.wsgi(lambda environ, start_response: []).site.policy.controller.name
"""


def built(folder: Path) -> Path:
    return Path(make_wheel_in(ROOT / "pyproject.toml", folder).file)


def run(*words: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(word) for word in words],
        capture_output=True,
        text=True,
        check=False,
        cwd=cwd,
        timeout=300,
    )


def test_the_wheel_is_pure_typed_and_has_every_file(tmp_path: Path) -> None:
    wheel = built(tmp_path)
    assert wheel.name.endswith("-py3-none-any.whl")
    with zipfile.ZipFile(wheel) as opened:
        inside = {name for name in opened.namelist() if name.startswith("bandeau/")}
        entry = next(name for name in opened.namelist() if name.endswith("/entry_points.txt"))
        assert "bandeau=bandeau.cli:main" in opened.read(entry).decode()
    source = ROOT / "src"
    there = {
        str(path.relative_to(source))
        for path in source.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert inside == there
    assert {
        "bandeau/py.typed",
        "bandeau/policy/schema.json",
        "bandeau/gate/static/guard.js",
    } <= inside


def test_the_source_archive_is_the_project(tmp_path: Path) -> None:
    archive = SdistBuilder.from_ini_path(ROOT / "pyproject.toml").build(tmp_path)
    with tarfile.open(archive) as opened:
        inside = {name.partition("/")[2] for name in opened.getnames()}
    if not (ROOT / ".git").exists():
        pytest.skip("there is no .git here")
    listed = run("git", "ls-files", cwd=ROOT)
    assert listed.returncode == 0, listed.stderr
    assert set(listed.stdout.splitlines()) - inside <= {".gitignore"}


@pytest.mark.skipif(
    "BANDEAU_PROVE" not in os.environ, reason="BANDEAU_PROVE=1 installs the wheel with pip"
)
@pytest.mark.parametrize("version", ["3.11", "3.12", "3.13"])
def test_an_empty_environment_gets_few_packages_and_a_proxy_that_serves(
    version: str, tmp_path: Path
) -> None:
    python = shutil.which(f"python{version}")
    if not python or run(python, "-c", "", cwd=tmp_path).returncode:
        pytest.skip(f"there is no Python {version} here")
    wheel = built(tmp_path)
    (tmp_path / "bandeau.toml").write_text(SMALL, "utf-8")
    run(python, "-m", "venv", "new", cwd=tmp_path)
    tools = tmp_path / "new" / "bin"
    before = set(json.loads(run(tools / "python", "-c", COUNT, cwd=tmp_path).stdout))
    done = run(tools / "pip", "install", wheel, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    brought = set(json.loads(run(tools / "python", "-c", COUNT, cwd=tmp_path).stdout)) - before
    assert "bandeau" in brought
    assert len(brought) <= PACKAGES, brought

    assert run(tools / "bandeau", "--help", cwd=tmp_path).returncode == 0
    assert run(tools / "bandeau", "check", "bandeau.toml", cwd=tmp_path).stdout.endswith("good\n")
    assert "pip install 'bandeau[demo]'" in run(tools / "bandeau", "demo", cwd=tmp_path).stderr
    bare = run(tools / "bandeau", "proxy", "--policy", "bandeau.toml", "--upstream", "http://x",
               "--listen", "127.0.0.1:0", cwd=tmp_path)  # fmt: skip
    assert bare.returncode == 2
    assert "pip install 'bandeau[serve]'" in bare.stderr

    program = tmp_path / "program.py"  # held to the installed package's own types
    for argument, code in (('"bandeau.toml"', 0), ("3", 1)):
        program.write_text(PROGRAM.format(argument=argument), "utf-8")
        checked = run(sys.executable, "-m", "mypy", "--strict", "--config-file=", "--python-executable",
                      tools / "python", program, cwd=tmp_path)  # fmt: skip
        assert checked.returncode == code, checked.stdout

    done = run(tools / "pip", "install", f"{wheel}[serve]", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    with upstream() as site:
        site.answers["/"] = page(
            b"<html><body><iframe src=http://social.localhost/></iframe>", b"Set-Cookie: junk=1"
        )
        starts = []
        for _ in range(5):
            begun = time.perf_counter()
            process = subprocess.Popen(
                [tools / "bandeau", "proxy", "--policy", "bandeau.toml", "--upstream",
                 f"http://127.0.0.1:{site.port}", "--listen", "127.0.0.1:0"],
                cwd=tmp_path, stdout=subprocess.PIPE, text=True,
            )  # fmt: skip
            assert process.stdout
            ready = process.stdout.readline()
            starts.append(time.perf_counter() - begun)
            answered = ask(int(re.findall(r":(\d+)/ ->", ready)[0]))
            process.send_signal(signal.SIGTERM)
            process.communicate(timeout=20)
            assert process.returncode == 0
            assert answered.status == 200
            assert answered.every(b"set-cookie") == []
            assert b'id="bandeau"' in answered.body
            assert b"<iframe src=http://social" not in answered.body
    imports = [
        run(tools / "python", "-X", "importtime", "-c", "import bandeau", cwd=tmp_path).stderr
        for _ in range(5)
    ]
    micro = statistics.median(int(said.splitlines()[-1].split("|")[1]) for said in imports)
    start = statistics.median(starts)
    print(f"{len(brought)} packages; import {micro / 1000:.0f} ms; proxy {start:.2f} s")  # noqa: T201 (to be shown)


@pytest.mark.skipif(
    "BANDEAU_PROVE" not in os.environ, reason="BANDEAU_PROVE=1 installs another Django with pip"
)
def test_the_newest_django_passes_what_the_pinned_one_does(tmp_path: Path) -> None:
    python = next(
        (one for n in (14, 13, 12) if (one := shutil.which(f"python3.{n}"))
         and run(one, "-c", "", cwd=tmp_path).returncode == 0), None,
    )  # fmt: skip
    if not python:
        pytest.skip("there is no Python 3.12 or newer here, which Django 6 needs")
    run(python, "-m", "venv", "new", cwd=tmp_path)
    tools = tmp_path / "new" / "bin"
    packages = ["django>=6", "fastapi", "flask", "hypothesis", "pytest"]
    done = run(
        tools / "pip", "install", f"{built(tmp_path)}[serve,audit,demo,postgres]", *packages, cwd=tmp_path
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    files = [f"tests/adapters/test_{name}.py" for name in ("django", "frameworks", "scenarios")]
    done = run(tools / "python", "-m", "pytest", "-q", "-p", "no:cacheprovider", *files, cwd=ROOT)
    assert done.returncode == 0, done.stdout
    print(done.stdout.splitlines()[-1])  # noqa: T201 (to be shown)
