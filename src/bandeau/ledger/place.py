"""Where a ledger is: from a URL to its store, and to the key file that belongs to it."""

from __future__ import annotations

import os
from pathlib import Path
from types import ModuleType

from bandeau.errors import LedgerError
from bandeau.ledger import sqlite
from bandeau.ledger.sqlite import SqliteStore, path_of
from bandeau.ledger.store import Store

POSTGRESQL = ("postgresql://", "postgres://")


def store_at(url: str) -> Store:
    """Open the database that a URL names. Raises LedgerError with the remedy."""
    return (
        _postgres().PostgresStore(url) if url.startswith(POSTGRESQL) else SqliteStore(path_of(url))
    )


def upgrade(url: str) -> None:
    """Bring a ledger of schema 3 to the one of today, with an empty tally. Raises LedgerError."""
    if url.startswith(POSTGRESQL):
        _postgres().upgrade(url)
    else:
        sqlite.upgrade(path_of(url))


def _postgres() -> ModuleType:
    try:
        from bandeau.ledger import postgres  # noqa: PLC0415 (an extra)
    except ModuleNotFoundError:
        raise LedgerError(
            "PostgreSQL needs one more package: pip install 'bandeau[postgres]'"
        ) from None
    return postgres


def key_file(url: str) -> Path:
    """Return BANDEAU_KEY_FILE, else `bandeau.key` beside a file, or in the working directory."""
    named = os.environ.get("BANDEAU_KEY_FILE")
    if named:
        return Path(named)
    folder = Path() if url.startswith(POSTGRESQL) else path_of(url).parent
    return folder / "bandeau.key"
