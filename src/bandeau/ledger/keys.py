r"""The site's secret: one file of 32 random bytes, from which each use gets a key of its own.

    file = 64 hex digits "\n", mode 0600

Without the file the choices of all visitors become unreadable, so it is only ever made together
with a new ledger; missing beside a used one it is an error, not a reason to make another.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import re
import secrets
from pathlib import Path

from bandeau.errors import KeyFileError


def load(path: Path, *, new: bool) -> bytes:
    """Return the secret (32 bytes) in a key file; `new` says that its ledger holds nothing yet."""
    if new and not path.exists():
        _make(path)
    try:
        text = path.read_text("ascii")
    except FileNotFoundError:
        raise KeyFileError(
            f"{path}: the key file is missing, but its ledger holds decisions; put the file back"
            " from your backup, or name it in BANDEAU_KEY_FILE"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise KeyFileError(f"{path}: cannot be read as a key file: {error}") from error
    if not re.fullmatch(r"[0-9a-f]{64}\n", text):
        raise KeyFileError(f"{path}: not a key file (64 hex digits and a line end)")
    if path.stat().st_mode & 0o077:
        raise KeyFileError(f"{path}: others can read the key; run: chmod 600 {path}")
    return bytes.fromhex(text)


def derive(secret: bytes, use: str) -> bytes:
    """Return the key for one use (HMAC-SHA-256 as in HKDF-Expand, RFC 5869 2.3, one block)."""
    return hmac.new(secret, f"bandeau/{use}/v1\x01".encode("ascii"), hashlib.sha256).digest()


def _make(path: Path) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return  # another process made it between our look and now
    except OSError as error:
        raise KeyFileError(f"{path}: cannot make the key file: {error}") from error
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(secrets.token_hex(32) + "\n")
        file.flush()
        os.fsync(file.fileno())
