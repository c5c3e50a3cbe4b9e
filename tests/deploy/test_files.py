"""The files of deploy/ name what exists, and do what they say: nginx, systemd, and the image's own steps."""

from __future__ import annotations

import ast
import contextlib
import os
import re
import shlex
import shutil
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import click
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

import serving
from bandeau.adapters.proxy import Proxy
from bandeau.cli import main
from bandeau.policy.file import loads
from bandeau.site import Site
from browser.conftest import free_ports
from conftest import SMALL
from serving import Answered, ask, page, received, running

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
UNITS = sorted(DEPLOY.glob("systemd/*.service"))
OTHERS = {"BANDEAU_KEY_FILE", "BANDEAU_DB_PASSWORD"}  # the ledger's; compose.yaml's own


def command(words: list[str]) -> click.Command:
    """Find a command by its words, and see that it has the flags that follow."""
    found: click.Command = main
    context = click.Context(main)
    while isinstance(found, click.Group):
        found = found.get_command(context, words.pop(0)) or pytest.fail(str(words))
    flags = {flag for one in found.params for flag in one.opts}
    assert {word.partition("=")[0] for word in words if word.startswith("-")} <= flags
    return found


def variables() -> set[str]:
    return {f"BANDEAU_{one.name.upper()}" for one in command(["proxy"]).params if one.name}


@pytest.mark.parametrize("path", [path for path in DEPLOY.rglob("*") if path.is_file()], ids=str)
def test_every_variable_and_file_that_is_named_exists(path: Path) -> None:
    text = path.read_text("utf-8")
    assert set(re.findall(r"BANDEAU_[A-Z_]+", text)) <= variables() | OTHERS
    for named in re.findall(r"(?:deploy|docs|requirements)/[\w./@-]+\w", text):
        assert (ROOT / named).exists(), named


@pytest.mark.parametrize("unit", UNITS, ids=lambda path: path.name)
def test_a_unit_starts_a_command_that_exists_and_is_shut_in(unit: Path, tmp_path: Path) -> None:
    text = unit.read_text("utf-8")
    program, *words = shlex.split(re.findall(r"^ExecStart=(.*)$", text, re.MULTILINE)[0])
    assert program == "/opt/bandeau/bin/bandeau"
    assert "/opt/bandeau" in (DEPLOY / "Containerfile").read_text("utf-8")
    command(words)
    shut = text[text.index("CapabilityBoundingSet=") :].partition("\n\n")[0].strip()
    assert all(shut in other.read_text("utf-8") for other in UNITS)
    tool = shutil.which("systemd-analyze")
    if not tool:
        pytest.skip("there is no systemd-analyze here (Debian: apt-get install systemd)")
    name = unit.name.replace("@.", "@9000.")
    (tmp_path / name).write_text(text.replace(program, sys.executable), "utf-8")
    for timer in DEPLOY.glob("systemd/*.timer"):
        shutil.copy(timer, tmp_path)
    said = subprocess.run(
        [tool, "verify", f"./{name}"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert (said.returncode, said.stderr) == (0, "")
    exposed = [tool, "security", "--offline=true", "--threshold=15", f"./{name}"]  # of 100
    assert subprocess.run(exposed, cwd=tmp_path, capture_output=True, check=False).returncode == 0


def test_the_pins_of_the_image_are_those_that_are_tested() -> None:
    pin = re.compile(r"^([\w.-]+==\S+)", re.MULTILINE)
    image = set(pin.findall((ROOT / "requirements" / "serve.txt").read_text("utf-8")))
    tested = set(pin.findall((ROOT / "requirements" / "dev.txt").read_text("utf-8")))
    assert image <= tested
    names = {one.partition("==")[0] for one in image}
    assert {"aiohttp", "click", "cryptography", "psycopg", "pydantic", "uvicorn"} <= names
    assert not {"pytest", "playwright", "starlette"} & names


def certificate(folder: Path, name: str) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder(
        subject, subject, key.public_key(), 1, now, now.replace(year=now.year + 1)
    )
    made = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
    pem = serialization.Encoding.PEM
    (folder / "fullchain.pem").write_bytes(made.sign(key, hashes.SHA256()).public_bytes(pem))
    form, none = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    (folder / "privkey.pem").write_bytes(key.private_bytes(pem, form, none))


@contextlib.contextmanager
def nginx(folder: Path, gate: int, name: str) -> Iterator[int]:
    """Run nginx with deploy/nginx.conf, but for its addresses; gives its TLS port."""
    program = shutil.which("nginx", path=os.environ.get("PATH", "") + ":/usr/sbin")
    if not program:
        pytest.skip("there is no nginx here (Debian: apt-get install nginx-light)")
    certificate(folder, name)
    plain, tls = free_ports(), free_ports()
    text = (DEPLOY / "nginx.conf").read_text("utf-8")
    for old, new in (
        ("bandeau:9000", f"127.0.0.1:{gate}"),
        ("listen 80;", f"listen 127.0.0.1:{plain};"),
        ("listen 443 ssl;", f"listen 127.0.0.1:{tls} ssl;"),
        ("www.example.org", name),
        ("/etc/nginx/certificates", str(folder)),
    ):
        assert old in text
        text = text.replace(old, new)
    kept = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    paths = "".join(f"{one}_temp_path {folder / one};\n" for one in kept)
    user = "user root;" if os.geteuid() == 0 else ""
    conf = folder / "nginx.conf"
    conf.write_text(
        f"daemon off; pid {folder}/pid; {user} events {{}}\nhttp {{\n{paths}{text}\n}}", "utf-8"
    )
    with subprocess.Popen([program, "-c", conf, "-e", "stderr"], stderr=subprocess.PIPE) as server:
        try:
            for _ in range(100):
                with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", tls), 1):
                    break
                time.sleep(0.05)
            yield tls
        finally:
            server.terminate()


def test_nginx_as_it_is_shipped_gives_a_site_its_scheme_and_its_visitors(tmp_path: Path) -> None:
    name = "www.own.localhost"
    policy = SMALL.replace("http://www.own.localhost:9000", f"https://{name}")
    site = Site.from_policy(loads(policy), f"sqlite:///{tmp_path}/bandeau.db")
    with serving.upstream() as up:
        up.answers["/"] = page(b"<html lang=en><title>t</title><p>x")
        proxy = Proxy(site, f"http://127.0.0.1:{up.port}", trusted=["127.0.0.1/32"])
        with running(proxy) as gate, nginx(tmp_path, gate, name) as port:
            context = ssl.create_default_context(cafile=str(tmp_path / "fullchain.pem"))
            request = (
                f"POST /_b/choice HTTP/1.1\r\nHost: {name}\r\nConnection: close\r\nSec-Fetch-Site: same-origin\r\n"
                "Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 11\r\n\r\nchoice=none"
            )
            for sent in (f"GET / HTTP/1.1\r\nHost: {name}\r\nConnection: close\r\n\r\n", request):
                with (
                    socket.create_connection(("127.0.0.1", port), 10) as plain,
                    context.wrap_socket(plain, server_hostname=name) as tls,
                ):
                    tls.sendall(sent.encode())
                    answered = Answered(received(tls))
            assert answered.status == 303
            assert answered.every(b"set-cookie")[0].startswith(b"__Host-bandeau=")
            head = up.heads[0].lower()
            assert b"x-forwarded-proto: https\r\n" in head
            assert f"x-forwarded-host: {name}\r\n".encode() in head
            assert b"x-forwarded-for: 127.0.0.1, 127.0.0.1\r\n" in head  # the visitor, nginx
    site.close()


def instructions() -> list[list[tuple[str, str]]]:
    """Read the Containerfile: for each stage its instructions, as pairs of word and rest."""
    text = re.sub(r"\\\n", " ", (DEPLOY / "Containerfile").read_text("utf-8"))
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    stages: list[list[tuple[str, str]]] = []
    for line in lines:
        word, _, rest = line.strip().partition(" ")
        if word == "FROM":
            stages.append([])
        stages[-1].append((word, rest.strip()))
    return stages


def test_the_image_has_no_root_and_starts_a_command_that_exists() -> None:
    last = dict(instructions()[-1])
    assert last["USER"] == "10001:10001"
    assert ast.literal_eval(last["ENTRYPOINT"]) == ["bandeau"]
    command(ast.literal_eval(last["CMD"]))
    for word, rest in instructions()[0]:
        if word == "COPY":
            assert all((ROOT / name).exists() for name in rest.split()[:-1])


@pytest.mark.skipif(
    "BANDEAU_PROVE" not in os.environ, reason="BANDEAU_PROVE=1 takes the steps of the image"
)
def test_the_steps_of_the_image_make_a_gate_that_is_healthy(tmp_path: Path) -> None:
    """Its build stage in an empty folder instead of a container, then its last words as they stand."""
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "base"], check=True)
    source, base = tmp_path / "source", str(tmp_path / "base" / "bin")
    source.mkdir()
    search = {"PATH": f"{base}:{os.environ['PATH']}"}

    def placed(words: str) -> str:
        return re.sub(r"(?<![\w.])/(opt|wheel|etc/bandeau|var/lib)\b", rf"{tmp_path}/\1", words)

    for word, rest in instructions()[0]:
        if word == "COPY":
            *names, target = rest.split()
            for name in names:
                made = source / target / name if target == "./" else source / target
                copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
                copy(ROOT / name, made)
        elif word == "RUN":
            subprocess.run(
                ["sh", "-ec", placed(rest)], cwd=source, env=os.environ | search, check=True
            )
    shutil.rmtree(source)
    last = dict(instructions()[-1])
    settings = dict(pair.split("=", 1) for pair in shlex.split(placed(last["ENV"])))
    settings["PATH"] = f"{tmp_path}/opt/bandeau/bin:{os.environ['PATH']}"
    port = free_ports()
    settings["BANDEAU_LISTEN"] = settings["BANDEAU_LISTEN"].replace(
        "0.0.0.0:9000", f"127.0.0.1:{port}"
    )
    for name in ("BANDEAU_POLICY", "BANDEAU_KEY_FILE"):
        Path(settings[name]).parent.mkdir(parents=True)
    Path(settings["BANDEAU_POLICY"]).write_text(SMALL, "utf-8")
    healthy = ast.literal_eval(last["HEALTHCHECK"].partition("CMD ")[2])
    healthy[-1] = healthy[-1].replace("9000", str(port))
    started = [*ast.literal_eval(last["ENTRYPOINT"]), *ast.literal_eval(last["CMD"])]
    with serving.upstream() as up:
        up.answers["/"] = page(b"<html lang=en><title>t</title><p>x")
        settings["BANDEAU_UPSTREAM"] = f"http://127.0.0.1:{up.port}"
        program = shutil.which(started[0], path=settings["PATH"])
        assert program == f"{tmp_path}/opt/bandeau/bin/bandeau"
        with subprocess.Popen(
            [program, *started[1:]], env=settings, cwd=Path(settings["BANDEAU_KEY_FILE"]).parent,
            stdout=subprocess.PIPE, text=True,
        ) as process:  # fmt: skip
            assert process.stdout
            assert process.stdout.readline().startswith("ready ")
            assert b'id="bandeau"' in ask(port).body
            assert subprocess.run(healthy, env=settings, check=False).returncode == 0
            process.terminate()
            assert process.wait(20) == 0
        assert (
            subprocess.run(healthy, env=settings, check=False, stderr=subprocess.DEVNULL).returncode
            != 0
        )
