r"""The site's secrets: one file of 32-byte lines, from which each use gets a key of its own.

    file = 1*(64 hex digits "\n"), the oldest first, mode 0600

The last line signs and seals; the lines before it still open what they sealed. Without the file the
choices of all visitors become unreadable and the log cannot go on, so it is only ever made together
with a new ledger; missing beside a used one it is an error, not a reason to make another.

Beside it lies the *mark* of each log that it signs: the newest checkpoint but for the last second's.
A ledger that is behind its mark was restored from a backup, or is a standby that took over with less;
going on from there would sign two different trees under one name, so it is refused
(c2sp.org/tlog-checkpoint, "Signatures").
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import hmac
import os
import re
import secrets
from collections.abc import Iterator
from pathlib import Path

from bandeau.errors import KeyFileError


class Keys:
    """The secrets in a key file, and the marks beside it."""

    def __init__(self, path: Path, *, new: bool = False) -> None:
        """Read the file. `new` says that the ledger holds nothing yet: then it may be made."""
        self.path = path
        if new and not path.exists():
            self._write(b"")
        self.secrets = self._read()

    def add(self) -> None:
        """Put a new secret at the end; what the others sealed stays readable."""
        with self.alone():
            self._write(self.path.read_bytes() if self.path.exists() else b"")
            self.secrets = self._read()

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """Let one process at a time replace a file here: each is replaced whole. Raises OSError."""
        descriptor = os.open(self.path.parent, os.O_RDONLY)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    def _write(self, before: bytes) -> None:
        """Write a file of what was there and a new secret; of several first ones, one is taken."""
        fresh = self.path.with_name(f"{self.path.name}.new-{os.getpid()}-{secrets.token_hex(4)}")
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            _write(fresh, before + secrets.token_hex(32).encode() + b"\n")
            if before:
                fresh.replace(self.path)
            else:
                with contextlib.suppress(
                    FileExistsError
                ):  # another process was first: its key it is
                    os.link(fresh, self.path)
                fresh.unlink()
            _synced(self.path.parent)
        except OSError as error:
            raise KeyFileError(f"{self.path}: cannot write the key file: {error}") from error

    def reread(self) -> None:
        """Read the file again, as after a rotation by another process."""
        self.secrets = self._read()

    def derived(self, use: str) -> tuple[bytes, ...]:
        """Return the keys for one use, the newest first."""
        return tuple(derive(secret, use) for secret in reversed(self.secrets))

    def mark(self, origin: str) -> bytes | None:
        """Return the newest checkpoint that is known to have been signed for a log."""
        try:
            return self._mark(origin).read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise KeyFileError(f"{self._mark(origin)}: cannot be read: {error}") from error

    def set_mark(self, origin: str, checkpoint: bytes) -> None:
        """Remember a checkpoint. Raises OSError; the log itself does not depend on it."""
        fresh = self._mark(origin).with_suffix(f".{os.getpid()}")
        fresh.write_bytes(checkpoint)
        fresh.replace(self._mark(origin))

    def _mark(self, origin: str) -> Path:
        return self.path.with_name(
            f"{self.path.name}-{hashlib.sha256(origin.encode()).hexdigest()[:12]}.mark"
        )

    def _read(self) -> tuple[bytes, ...]:
        path = self.path
        try:
            text = path.read_text("ascii")
        except FileNotFoundError:
            raise KeyFileError(
                f"{path}: the key file is missing, but its ledger holds decisions; put the file back"
                " from your backup, or name it in BANDEAU_KEY_FILE (lost for good: bandeau ledger rotate"
                " --lost)"
            ) from None
        except (OSError, UnicodeDecodeError) as error:
            raise KeyFileError(f"{path}: cannot be read as a key file: {error}") from error
        if not re.fullmatch(r"([0-9a-f]{64}\n)+", text):
            raise KeyFileError(f"{path}: not a key file (lines of 64 hex digits)")
        if path.stat().st_mode & 0o077:
            raise KeyFileError(f"{path}: others can read the key; run: chmod 600 {path}")
        return tuple(bytes.fromhex(line) for line in text.split())


def derive(secret: bytes, use: str) -> bytes:
    """Return the key for one use (HMAC-SHA-256 as in HKDF-Expand, RFC 5869 2.3, one block)."""
    return hmac.new(secret, f"bandeau/{use}/v1\x01".encode("ascii"), hashlib.sha256).digest()


def _synced(folder: Path) -> None:
    """See that a file's name is on disk, before anything depends on it."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _write(path: Path, content: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
