"""Where a ledger is: from a URL to its store, and to the key file that belongs to it."""

from __future__ import annotations

import os
from pathlib import Path

from bandeau.errors import LedgerError
from bandeau.ledger.sqlite import SqliteStore, path_of
from bandeau.ledger.store import Store

POSTGRESQL = ("postgresql://", "postgres://")


def store_at(url: str) -> Store:
    """Open the database that a URL names. Raises LedgerError with the remedy."""
    if not url.startswith(POSTGRESQL):
        return SqliteStore(path_of(url))
    try:
        from bandeau.ledger.postgres import PostgresStore  # noqa: PLC0415 (an extra)
    except ModuleNotFoundError:
        raise LedgerError(
            "PostgreSQL needs one more package: pip install 'bandeau[postgres]'"
        ) from (None)
    return PostgresStore(url)


def key_file(url: str) -> Path:
    """Return BANDEAU_KEY_FILE, else `bandeau.key` beside a file, or in the working directory."""
    named = os.environ.get("BANDEAU_KEY_FILE")
    if named:
        return Path(named)
    folder = Path() if url.startswith(POSTGRESQL) else path_of(url).parent
    return folder / "bandeau.key"
