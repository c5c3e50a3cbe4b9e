"""Applications that others wrote, unmodified, behind their adapter: they work as before, and an audit is clean.

The same journey (log in, forms with their tokens, an upload, a download, a stream) goes through the
application as its authors start it and through the gate; what comes back must be the same, but for what
bandeau puts into pages. BANDEAU_PROVE=1 installs them, each into an environment of its own.
"""

from __future__ import annotations

import contextlib
import difflib
import json
import os
import re
import sqlite3
import subprocess
import sys
import time
import venv
from base64 import b64encode
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from mimetypes import guess_type
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from browser.conftest import free_ports
from serving import Answered, ask

HERE = Path(__file__).parent / "applications"
ROOT = Path(__file__).resolve().parents[2]
FILE = bytes(range(256)) * 300  # what is uploaded
OURS = re.compile(  # the guard, the head, the first layer, the band
    rb'<script data-bd(?:-granted)?="[^"]*"[^>]*>.*?</script>'
    rb'|<style[^>]*>[^<]*</style><script type="module"[^>]*? src="/_b/static/[^>]*></script>'
    rb'|<span class="bandeau-hold".*?</span></span>'
    rb'|<section id="bandeau(?:-state)?".*?</section>',
    re.DOTALL,
)
FILM = "{{Video\n|width=100%\nhttps://www.youtube.com/watch?v=dQw4w9WgXcQ\n}}"
# What the gate, or the server, says itself: of everything, and of what is asked for as a page. Cookies are
# looked at by name.
CHANGED = frozenset(
    b"connection content-security-policy date keep-alive permissions-policy server set-cookie"
    b" transfer-encoding vary".split()
)
OF_PAGES = frozenset(
    b"accept-ranges cache-control content-length etag last-modified x-content-type-options".split()
)

MOMENTS = (rb"\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT", rb'"[\w.-]{20,}"')  # dates, entity tags

NO_CURRENCY = "XXX"  # ISO 4217: none; what I hate money writes where a project has one for all

pytestmark = pytest.mark.skipif(
    "BANDEAU_PROVE" not in os.environ, reason="BANDEAU_PROVE=1 installs and walks applications"
)


@dataclass
class Visitor:
    """A browser that keeps cookies, and everything that it was answered."""

    port: int
    host: str
    masks: tuple[bytes, ...]  # what differs from one run to the next: tokens, times, hashes
    jar: dict[bytes, bytes] = field(default_factory=dict)
    seen: list[tuple[str, dict[str, Any]]] = field(default_factory=list)

    def ask(self, path: str, *lines: bytes, method: str = "GET", body: bytes = b"") -> Answered:
        sent = b"; ".join(name + b"=" + value for name, value in self.jar.items())
        more = (b"Cookie: " + sent,) if sent else ()
        host = f"{self.host}:{self.port}"
        answered = ask(self.port, path, *lines, *more, method=method, body=body, host=host)
        for line in answered.every(b"set-cookie"):
            name, _, value = line.partition(b";")[0].partition(b"=")
            if value.strip(b'"') and b"max-age=0" not in line.lower():
                self.jar[name] = value
            else:
                self.jar.pop(name, None)
        page = not any(line.startswith(b"Accept:") for line in lines)  # then `ask` asks for one
        self.seen.append(
            (f"{method} {path}", self.told(answered, CHANGED | OF_PAGES if page else CHANGED))
        )
        return answered

    def told(self, answered: Answered, changed: frozenset[bytes]) -> dict[str, Any]:
        kept = [(n, v) for n, v in answered.headers if n not in changed]
        cookies = sorted({line.partition(b"=")[0] for line in answered.every(b"set-cookie")})
        body = OURS.sub(b"", answered.body).strip().replace(b"data-bd-src=", b"src=")
        head = [(n, masked(v, *self.masks, *MOMENTS)) for n, v in sorted(kept)]
        found = {"head": head, "body": masked(body, *self.masks)}
        return {"status": answered.status, "cookies": cookies, **found}

    def post(self, path: str, fields: dict[str, str], *lines: bytes) -> Answered:
        kind = b"Content-Type: application/x-www-form-urlencoded"
        return self.ask(path, kind, *lines, method="POST", body=urlencode(fields).encode())

    def upload(
        self, path: str, name: str, file: str, content: bytes, *lines: bytes, **fields: str
    ) -> Answered:
        """Post a form with a file; its type follows from its name."""
        kinds = f"Content-Type: {guess_type(file)[0]}\r\n"
        part = b"--edge\r\nContent-Disposition: form-data; name="
        body = b"".join(
            part + f'"{key}"\r\n\r\n{value}\r\n'.encode() for key, value in fields.items()
        )
        body += (
            part
            + f'"{name}"; filename="{file}"\r\n{kinds}\r\n'.encode()
            + content
            + b"\r\n--edge--\r\n"
        )
        kind = b"Content-Type: multipart/form-data; boundary=edge"
        return self.ask(path, kind, *lines, method="POST", body=body)


def masked(text: bytes, *masks: bytes) -> bytes:
    for mask in masks:
        text = re.sub(mask, b"~", text)
    return text


def token(page: Answered, name: str) -> str:
    found = re.search(rf'name="{name}"[^>]*? value="([^"]+)"'.encode(), page.body)
    assert found, page.body
    return found[1].decode()


Start = Callable[
    [Path, Path, int, list[str]], list[str]
]  # interpreter, folder, port, policy and ledger


@dataclass(frozen=True)
class Application:
    """What is installed, how it starts, what is done with it and where the audit begins."""

    packages: tuple[str, ...]
    host: str
    third: str  # who waits for consent
    masks: tuple[bytes, ...]
    start: Start
    journey: Callable[[Visitor, list[str]], None]
    page: str = "/"
    environ: Callable[[Path, list[str]], dict[str, str]] = lambda _folder, _gate: {}
    loads: bool = True  # whether it asks the third party for anything, once it may
    findings: frozenset[str] = frozenset()  # rules that the application breaks by itself


def script(name: str) -> Start:
    return lambda python, _, port, gate: [str(python), str(HERE / name), str(port), *gate]


# -- An Otter Wiki: Flask, Flask-Login, Flask-WTF -------------------------------------------------------


def wiki_environ(folder: Path, _gate: list[str]) -> dict[str, str]:
    (folder / "pages").mkdir()
    git = ("git", "-C", str(folder / "pages"), "-c", "init.defaultBranch=main")
    subprocess.run([*git, "init", "--quiet"], check=True)
    return {
        "REPOSITORY": str(folder / "pages"),
        "SQLALCHEMY_DATABASE_URI": f"sqlite:///{folder / 'wiki.db'}",
        "SECRET_KEY": "-" * 32,
        "EMAIL_NEEDS_CONFIRMATION": "false",
    }


def wiki(visitor: Visitor, _said: list[str]) -> None:
    visitor.ask("/")
    form = {"csrf_token": token(visitor.ask("/-/register"), "csrf_token")}
    person = {
        "email": "ada@wiki.example",
        "name": "Ada",
        "password1": "otter-river",
        "password2": "otter-river",
    }
    assert visitor.post("/-/register", {**form, **person}).status == 302
    form = {"csrf_token": token(visitor.ask("/-/login"), "csrf_token")}
    known = {"email": "ada@wiki.example", "password": "otter-river", "remember": "on"}
    assert visitor.post("/-/login", known).status == 400  # without its token
    assert visitor.post("/-/login", {**form, **known}).status == 302
    assert b"Ada" in visitor.ask("/-/settings").body
    form = {"csrf_token": token(visitor.ask("/-/create"), "csrf_token")}
    visitor.post("/-/create", {**form, "pagename": "Privacy"})
    text = {"content": "# Privacy\n\nÉcrit *ici*.", "commit": "begun"}
    assert visitor.post("/Privacy/save", {**form, **text}).status == 302
    assert "Écrit".encode() in visitor.ask("/Privacy").body
    assert visitor.post("/Film/save", {**form, "content": FILM, "commit": "shown"}).status == 302
    assert b"https://www.youtube.com/embed/" in visitor.ask("/Film").body
    form = {"csrf_token": token(visitor.ask("/Privacy/attachments"), "csrf_token")}
    visitor.upload("/Privacy/attachments", "file", "a.bin", FILE, message="sent", **form)
    assert visitor.ask("/Privacy/a/a.bin", b"Accept: */*").body == FILE
    visitor.ask("/Privacy/a/a.bin", b"Accept: */*", b"Range: bytes=10-19")
    visitor.ask("/Privacy/attachments")
    visitor.post("/-/search", {**form, "query": "ici"})
    for path in (
        "/Privacy/history",
        "/-/changelog/feed.atom",
        "/-/index",
        "/static/css/otterwiki.css",
        "/nowhere",
    ):
        visitor.ask(path)
    visitor.ask("/", method="HEAD")
    assert visitor.ask("/-/logout").status == 302


# -- I hate money: Flask, Flask-WTF, Flask-Talisman, and a ProxyFix of its own -------------------------


def budget_environ(folder: Path, _gate: list[str]) -> dict[str, str]:
    settings = folder / "settings.cfg"
    settings.write_text(
        f"SECRET_KEY = '{'-' * 32}'\nSESSION_COOKIE_SECURE = False\n"
        f"SQLALCHEMY_DATABASE_URI = 'sqlite:///{folder / 'budget.db'}'\n",
        "utf-8",
    )
    return {"IHATEMONEY_SETTINGS_FILE_PATH": str(settings)}


def budget(visitor: Visitor, _said: list[str]) -> None:
    visitor.ask("/")
    form = {"csrf_token": token(visitor.ask("/create"), "csrf_token")}
    flat = {
        "name": "flat",
        "password": "river",
        "contact_email": "ada@flat.example",
        "default_currency": NO_CURRENCY,
    }
    assert visitor.post("/create", flat).status == 200  # without its token: once more
    assert visitor.post("/create", {**form, **flat}).status == 302
    visitor.ask("/flat/")
    form = {"csrf_token": token(visitor.ask("/flat/members/add"), "csrf_token")}
    assert visitor.post("/flat/members/add", {**form, "name": "Zoé", "weight": "1"}).status == 302
    bill = {"date": "2026-11-01", "what": "Café", "payer": "1", "amount": "12.5", "payed_for": "1"}
    more = {"original_currency": NO_CURRENCY, "bill_type": "Expense", "submit": "1"}
    assert visitor.post("/flat/add", {**form, **bill, **more}).status == 302
    assert "Café".encode() in visitor.ask("/flat/").body
    bills = visitor.ask("/flat/export/bills.json", b"Accept: */*").body
    assert (
        visitor.upload(
            "/flat/import", "file", "bills.json", bills.replace(b"12.5", b"77.25"), **form
        ).status
        == 302
    )
    assert b"77.25" in visitor.ask("/flat/export/bills.csv", b"Accept: */*").body
    for path in (
        "/flat/statistics",
        "/flat/settle_bills",
        "/flat/history",
        "/lang/fr",
        "/flat/",
        "/nowhere/",
    ):
        visitor.ask(path)
    login = b"Authorization: Basic " + b64encode(b"flat:river")
    assert (
        json.loads(visitor.ask("/api/projects/flat", login, b"Accept: application/json").body)[
            "name"
        ]
        == "flat"
    )
    visitor.ask("/static/css/main.css", b"Accept: text/css", b"Range: bytes=10-19")
    visitor.ask("/", method="HEAD")
    assert visitor.post("/exit", form).status == 302
    form = {"csrf_token": token(visitor.ask("/authenticate"), "csrf_token")}
    assert visitor.post("/authenticate", {**form, "id": "flat", "password": "river"}).status == 302


# -- Piccolo Admin: FastAPI, with a docs page that loads its script from a CDN --------------------------


def admin(visitor: Visitor, _said: list[str]) -> None:
    visitor.ask("/")
    known = {"username": "piccolo", "password": "piccolo123"}
    assert visitor.post("/public/login/", known).status == 403  # without its token
    csrf = b"X-CSRFToken: " + visitor.jar[b"csrftoken"]
    assert visitor.post("/public/login/", known, csrf).status in (200, 303)
    assert b"piccolo" in visitor.ask("/api/user/", b"Accept: application/json").body
    movie = json.loads(visitor.ask("/api/tables/movie/1/", b"Accept: application/json").body)
    changed = json.dumps({"name": movie["name"] + " again"}).encode()
    kind = b"Content-Type: application/json"
    assert (
        visitor.ask("/api/tables/movie/1/", kind, csrf, method="PATCH", body=changed).status == 200
    )
    visitor.ask("/api/tables/movie/?__page_size=5&__order=-id", b"Accept: application/json")
    sent = {"table_name": "movie", "column_name": "poster"}
    stored = visitor.upload("/api/media/", "file", "a.jpg", FILE, csrf, **sent)
    key = json.loads(stored.body)["file_key"]
    assert visitor.ask(f"/api/media-files/movie/poster/{key}", b"Accept: */*").body == FILE
    for path in (
        "/public/docs/",
        "/api/docs/",
        "/api/openapi.json",
        "/public/translations/",
        "/nowhere",
    ):
        visitor.ask(path)
    script = re.search(rb'src="\.(/assets/[^"]+)"', visitor.ask("/").body)
    assert script
    visitor.ask(script[1].decode(), b"Accept: */*", b"Sec-Fetch-Dest: script")
    assert visitor.post("/public/logout/", {}, csrf).status in (200, 303)


# -- Datasette: ASGI, by its own hook -------------------------------------------------------------------


def data_environ(folder: Path, gate: list[str]) -> dict[str, str]:
    database = sqlite3.connect(folder / "data.db")
    database.execute("CREATE TABLE row (n INTEGER PRIMARY KEY, word TEXT)")
    database.executemany("INSERT INTO row VALUES (?, ?)", [(n, f"é{n}") for n in range(5_000)])
    database.execute("CREATE TABLE place (name TEXT, latitude FLOAT, longitude FLOAT)")
    database.execute("INSERT INTO place VALUES ('Lyon', 45.76, 4.83)")
    database.commit()
    database.close()
    (folder / "templates" / "pages").mkdir(parents=True)
    (folder / "templates" / "pages" / "privacy.html").write_text("<html><body><h1>Privacy", "utf-8")
    return {"POLICY": gate[0], "LEDGER": gate[1]} if gate else {}


def data_start(python: Path, folder: Path, port: int, gate: list[str]) -> list[str]:
    plugins = ["--plugins-dir", str(HERE / "plugins")] if gate else []
    return [
        str(python.with_name("datasette")), str(folder / "data.db"), "--port", str(port), "--root",
        "--secret", "-" * 32, "--template-dir", str(folder / "templates"), *plugins,
    ]  # fmt: skip


def data(visitor: Visitor, said: list[str]) -> None:
    visitor.ask("/")
    (secret,) = (
        found[1] for line in said if (found := re.search(r"/-/auth-token\?token=(\w+)", line))
    )
    assert visitor.ask(f"/-/auth-token?token={secret}").status == 302
    assert json.loads(visitor.ask("/-/actor.json").body)["actor"]["id"] == "root"
    form = {"csrftoken": token(visitor.ask("/-/upload-csvs"), "csrftoken")}
    lines = b"a,b\n" + b"".join(b"%d,x\n" % n for n in range(2_000))
    assert (
        visitor.upload("/-/upload-csvs", "csv", "sent.csv", lines).status == 403
    )  # without its token
    visitor.upload("/-/upload-csvs", "csv", "sent.csv", lines, **form)
    until = time.monotonic() + 60
    here = f"{visitor.host}:{visitor.port}"
    while (
        b'"filtered_table_rows_count": 2000,'
        not in ask(visitor.port, "/data/sent.json", host=here).body
    ):
        assert time.monotonic() < until  # it reads the file in the background
        time.sleep(0.2)
    visitor.ask("/data/sent")
    assert (
        visitor.ask("/data/row.csv?_stream=on&_size=max", b"Accept: */*").body.count(b"\n") == 5_001
    )
    for path in (
        "/data/place",
        "/data/row?_sort_desc=n",
        "/data/row/7.json",
        "/data?sql=select+1",
        "/privacy",
        "/nowhere",
        "/-/static/app.css",
    ):
        visitor.ask(path)
    form = {"csrftoken": token(visitor.ask("/-/logout"), "csrftoken")}
    assert visitor.post("/-/logout", form).status == 302


APPLICATIONS = {
    "wiki": Application(
        ("otterwiki==2.26.1",), "wiki.localhost", "www.youtube.com",
        (
            rb'(?<=name="csrf_token" value=")[^"]+', rb'(?<=name="csrf-token" content=")[^"]+',
            rb"\b[0-9a-f]{6,40}\b", rb'(?<=title=")[^"]* ago', rb"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(?::\d\d)?[^<\"]*", rb"\d\d:\d\d(?::\d\d)?",
        ),
        script("wiki.py"), wiki, "/Film", environ=wiki_environ, findings=frozenset({"K2"}),
    ),
    "budget": Application(
        ("ihatemoney==7.2.1",), "budget.localhost", "count.flat.example",
        (
            rb'(?<=name="csrf_token" type="hidden" value=")[^"]+', rb"\d\d:\d\d(?::\d\d)?",
            rb"(?<=/join/|/feed/)[\w.-]+",
        ),
        script("budget.py"), budget, environ=budget_environ, loads=False,
    ),
    "admin": Application(
        ("piccolo_admin==1.14.0", "piccolo[sqlite]", "uvicorn"), "admin.localhost", "cdn.jsdelivr.net",
        (rb"[0-9a-f]{8}-[0-9a-f-]{27}",), script("admin.py"), admin, "/public/docs/",
    ),
    "datasette": Application(
        ("datasette==0.65.5", "datasette-upload-csvs==0.9.1", "datasette-cluster-map==0.18.2", "python-multipart==0.0.20"), "data.localhost", "*.tile.openstreetmap.org",
        (rb"[\w-]{20,}\.[\w-]{27}", rb"[\d.]+(?=ms)", rb'(?<="query_ms": )[\d.]+'),
        data_start, data, "/data/place", environ=data_environ,
    ),
}  # fmt: skip


@pytest.fixture
def python(request: pytest.FixtureRequest, name: str) -> Path:
    """The application's own environment, kept between runs outside of the repository's files."""
    wanted = APPLICATIONS[name].packages
    folder = Path(request.config.cache.mkdir("applications")) / "-".join(wanted)
    if not (folder / "made").exists():
        venv.create(folder, with_pip=True, clear=True)
        pip = [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet"]
        subprocess.run([*pip, *wanted, "--editable", str(ROOT)], check=True, timeout=900)
        (folder / "made").touch()
    return folder / "bin" / "python"


@contextlib.contextmanager
def started(
    one: Application, python: Path, folder: Path, port: int, gate: list[str]
) -> Iterator[list[str]]:
    """Run an application, with the gate or without; gives the lines that it has said so far."""
    folder.mkdir()
    environ = {**os.environ, **one.environ(folder, gate), "PYTHONUNBUFFERED": "1"}
    log = folder / "log"
    with log.open("wb") as out:
        command = one.start(python, folder, port, gate)
        process = subprocess.Popen(command, cwd=folder, env=environ, stdout=out, stderr=out)
    try:
        until = time.monotonic() + 90
        while True:
            with contextlib.suppress(OSError):
                if ask(port, "/", host=f"{one.host}:{port}").status == 200:
                    break
            assert process.poll() is None, log.read_text("utf-8")
            assert time.monotonic() < until, log.read_text("utf-8")
            time.sleep(0.2)
        yield log.read_text("utf-8").splitlines()
    finally:
        process.terminate()
        process.wait(30)


@pytest.mark.parametrize("name", APPLICATIONS)
def test_an_application_works_as_before_and_its_audit_is_clean(
    name: str, python: Path, tmp_path: Path
) -> None:
    one, port = APPLICATIONS[name], free_ports()
    policy = tmp_path / "bandeau.toml"
    text = (HERE / f"{name}.toml").read_text("utf-8")
    policy.write_text(text.replace(f"{one.host}:8080", f"{one.host}:{port}"), "utf-8")
    before = Visitor(port, one.host, one.masks)
    with started(one, python, tmp_path / "before", port, []) as said:
        one.journey(before, said)
    gate = [str(policy), f"sqlite:///{tmp_path / 'bandeau.db'}"]
    behind = Visitor(port, one.host, one.masks)
    with started(one, python, tmp_path / "behind", port, gate) as said:
        one.journey(behind, said)
        assert len(behind.seen) == len(before.seen)
        for (step, raw), (_, gated) in zip(before.seen, behind.seen, strict=True):
            assert gated == raw, (step, differing(raw, gated))
        held = behind.ask(one.page)
        assert b'<section id="bandeau"' in held.body
        assert not allowed(held, one.third)
        choice = behind.post("/_b/choice", {"choice": "all"}, b"Sec-Fetch-Site: same-origin")
        assert choice.status == 303
        assert allowed(behind.ask(one.page), one.third)
        report = audited(f"http://{one.host}:{port}{one.page}", policy, tmp_path / "report")
    asked = {run["scenario"]: contacts(run, one.third) for run in report["runs"]}
    assert not asked["no-choice"] + asked["refuse"] + asked["gpc"]
    assert bool(asked["accept"]) is one.loads
    failed = {one["rule"]: one["facts"] for one in report["verdicts"] if one["outcome"] == "fail"}
    assert set(failed) == one.findings, failed


def differing(raw: dict[str, Any], gated: dict[str, Any]) -> list[str]:
    """Show the first lines in which two answers differ."""
    before, behind = (
        [*map(str, one["head"]), *one["body"].decode("latin-1").splitlines()]
        for one in (raw, gated)
    )
    return list(difflib.unified_diff(before, behind, lineterm="", n=0))[:12]


def allowed(page: Answered, host: str) -> bool:
    """Say whether a page's browser policies let it contact a host."""
    return host.encode() in b" ".join(page.every(b"content-security-policy"))


def contacts(run: dict[str, Any], host: str) -> int:
    """Count the requests to a host that a walk of the audit saw."""
    asked = (one["host"] for one in run["observations"] if one["kind"] == "request")
    return sum(one.endswith(host.removeprefix("*")) for one in asked)


def audited(url: str, policy: Path, folder: Path) -> Any:
    command = [
        sys.executable,
        "-m",
        "bandeau",
        "audit",
        url,
        "--policy",
        str(policy),
        "--out",
        str(folder),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=500)
    print(done.stdout, done.stderr)  # noqa: T201 (shown where it fails)
    assert done.returncode in (0, 1), done.stdout + done.stderr
    return json.loads((folder / "report.json").read_text("utf-8"))
