"""Who may use the desk, their sessions, and what they did: a small SQLite file of its own, mode 0600.

Passwords are kept as Argon2id hashes (RFC 9106, section 4, the second recommended option), sessions as
hashes of their tokens. A session ends after half an hour without a request, after twelve hours, with the
log-out, with a new password and with the user. Roles: a reader sees, an editor also erases and packs.
"""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import argon2

from bandeau.errors import BandeauError

ROLES = ("reader", "editor")
SHORTEST, LONGEST = 15, 1024  # characters of a password that stands alone (NIST SP 800-63B-4)
IDLE, WHOLE = 30 * 60, 12 * 3600  # seconds of a session
TRIES, ALL_TRIES = 5, 100  # failed log-ins of a name, of all names
WINDOW = 15 * 60  # in so many seconds
_SEEN = 60  # seconds; a session's last use is noted no finer
_NAME = re.compile(r"[a-z0-9][a-z0-9._@-]{0,63}")
_SCHEMA = """
CREATE TABLE IF NOT EXISTS user (name TEXT PRIMARY KEY, hash TEXT NOT NULL, role TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS session (
    id TEXT PRIMARY KEY, name TEXT NOT NULL, begun INTEGER NOT NULL, seen INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS journal (at INTEGER NOT NULL, name TEXT NOT NULL, what TEXT NOT NULL);
"""


@dataclass(frozen=True, slots=True)
class User:
    """Somebody who may use the desk."""

    name: str
    role: str

    @property
    def edits(self) -> bool:
        """Say whether they may erase, pack and check."""
        return self.role == "editor"


class Users:
    """The file. Safe to use from any thread; every method raises BandeauError when it fails."""

    def __init__(
        self,
        path: Path,
        now: Callable[[], float] = time.time,
        hasher: argon2.PasswordHasher | None = None,
    ) -> None:
        self.path = path
        self._now = now
        self._hasher = hasher or argon2.PasswordHasher()
        self._hashing = threading.Lock()  # 64 MiB each: one at a time
        try:
            os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
        except OSError as error:
            raise BandeauError(f"{path}: cannot be used: {error.strerror}") from None
        with self._open() as database:
            database.executescript(_SCHEMA)

    def all(self) -> list[User]:
        """Return everybody, by name."""
        with self._open() as database:
            return [
                User(*row) for row in database.execute("SELECT name, role FROM user ORDER BY 1")
            ]

    def add(self, name: str, password: str, role: str) -> None:
        """Add somebody, or give somebody a new password and role; their sessions end."""
        if not _NAME.fullmatch(name):
            raise BandeauError(
                f"{name!r} is no name: a to z, 0 to 9, and . _ @ - within, at most 64"
            )
        if not SHORTEST <= len(password) <= LONGEST:
            raise BandeauError(f"a password has {SHORTEST} to {LONGEST} characters")
        hashed = self._hasher.hash(password)
        with self._open() as database:
            database.execute("INSERT OR REPLACE INTO user VALUES (?, ?, ?)", (name, hashed, role))
            database.execute("DELETE FROM session WHERE name = ?", (name,))

    def remove(self, name: str) -> None:
        """Remove somebody; their sessions end. Raises BandeauError where there is no such user."""
        with self._open() as database:
            if not database.execute("DELETE FROM user WHERE name = ?", (name,)).rowcount:
                raise BandeauError(f"there is no user {name!r}")
            database.execute("DELETE FROM session WHERE name = ?", (name,))

    def checked(self, name: str, password: str) -> User | None:
        """Return who a name and a password are of; an unknown name takes as long as a known one."""
        with self._open() as database:
            sql = "SELECT hash, role FROM user WHERE name = ?"
            row = database.execute(sql, (name,)).fetchone()
        try:
            with self._hashing:
                self._hasher.verify(row[0] if row else self._nobody, password[: LONGEST + 1])
        except argon2.exceptions.VerifyMismatchError:
            return None
        return User(name, row[1]) if row else None

    def begin(self, user: User) -> str:
        """Begin a session, and return its token."""
        token, now = secrets.token_urlsafe(32), int(self._now())
        with self._open() as database:
            database.execute(
                "DELETE FROM session WHERE seen <= ? OR begun <= ?", (now - IDLE, now - WHOLE)
            )
            row = (_hashed(token), user.name, now, now)
            database.execute("INSERT INTO session VALUES (?, ?, ?, ?)", row)
        return token

    def of(self, token: str) -> User | None:
        """Return whose session a token is, while it lasts."""
        now = int(self._now())
        with self._open() as database:
            row = database.execute(
                "SELECT name, role, seen FROM session JOIN user USING (name)"
                " WHERE id = ? AND seen > ? AND begun > ?",
                (_hashed(token), now - IDLE, now - WHOLE),
            ).fetchone()
            if row and now - row[2] >= _SEEN:
                sql = "UPDATE session SET seen = ? WHERE id = ?"
                database.execute(sql, (now, _hashed(token)))
        return User(row[0], row[1]) if row else None

    def end(self, token: str) -> None:
        """End a session."""
        with self._open() as database:
            database.execute("DELETE FROM session WHERE id = ?", (_hashed(token),))

    def note(self, user: User, what: str) -> None:
        """Write down what somebody did."""
        with self._open() as database:
            row = (int(self._now()), user.name, what)
            database.execute("INSERT INTO journal VALUES (?, ?, ?)", row)

    def journal(self, many: int = 500) -> list[tuple[int, str, str]]:
        """Return what was done last: seconds since 1970, who, what; the newest first."""
        sql = "SELECT at, name, what FROM journal ORDER BY rowid DESC LIMIT ?"
        with self._open() as database:
            return database.execute(sql, (many,)).fetchall()

    @cached_property
    def _nobody(self) -> str:
        """What a password of nobody is compared with."""
        return self._hasher.hash(secrets.token_hex())

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        try:
            with closing(sqlite3.connect(self.path, timeout=5)) as database, database:
                yield database
        except sqlite3.Error as error:
            raise BandeauError(f"{self.path}: cannot be used: {error}") from None


class Attempts:
    """Counts failed log-ins, in this process. A name that failed too often waits, known or not."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._failed: deque[tuple[float, str]] = deque()
        self._lock = threading.Lock()

    def begin(self, name: str) -> int:
        """Return for how many seconds a name must wait; else 0, and count a failure until it succeeds.

        So of many log-ins at once no more are tried than of as many in a row.
        """
        with self._lock:
            now = self._now()
            while self._failed and self._failed[0][0] <= now - WINDOW:
                self._failed.popleft()
            times = [when for when, failed in self._failed if failed == name][-TRIES:]
            waits = [times[0]] if len(times) == TRIES else []
            waits += [self._failed[-ALL_TRIES][0]] if len(self._failed) >= ALL_TRIES else []
            if not waits:
                self._failed.append((now, name))
            return max((int(when + WINDOW - now) + 1 for when in waits), default=0)

    def succeeded(self, name: str) -> None:
        """Take the newest failure of a name back."""
        with self._lock:
            for place in reversed(range(len(self._failed))):
                if self._failed[place][1] == name:
                    del self._failed[place]
                    return


def _hashed(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "replace")).hexdigest()
