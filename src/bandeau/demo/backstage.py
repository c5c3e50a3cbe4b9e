"""«Coulisses»: what each third party's journal says it received from one browser, and when.

The figures are asked from the third parties' servers. A browser is told from others by a short mark of
its user agent, since a reader who has refused has nothing else that could tell them apart; the mark
is made anew each time the newspaper starts.
"""

from __future__ import annotations

import asyncio
import hashlib
import secrets
import time
from bisect import bisect_right
from collections import deque
from typing import Any

import aiohttp

PARTIES = {
    "social": "Agora",
    "telegram": "Telegram",
    "mesure": "Métreur",
    "video": "Écran",
    "etiquettes": "Étiquettes",
    "regie": "Régie Réverbère",
    "enchere": "Enchérisseurs",
    "creation": "Créations",
}
_HOSTS = {"enchere": "enchere-x", "creation": "creation-x"}
_TIMEOUT = aiohttp.ClientTimeout(total=2.0)
_BROWSERS = 1000
_VIEWS = 200  # page views remembered for each browser
_KEY = secrets.token_bytes(16)


def mark(agent: bytes) -> str:
    """Return the short mark of a browser."""
    return hashlib.blake2b(agent, key=_KEY, digest_size=6).hexdigest()


class Backstage:
    """Who was where under which choice; what the others received. `port` is the third parties'."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._views: dict[str, deque[tuple[float, str]]] = {}

    def viewed(self, browser: str, choice: str) -> None:
        """Remember under which choice a page was sent to a browser."""
        if browser not in self._views and len(self._views) >= _BROWSERS:
            self._views.pop(next(iter(self._views)))
        self._views.setdefault(browser, deque(maxlen=_VIEWS)).append((time.time(), choice))

    async def received(self, browser: str) -> list[dict[str, Any]]:
        """Return, party by party, what its journal holds of a browser."""
        async with aiohttp.ClientSession(timeout=_TIMEOUT) as session:
            journals = await asyncio.gather(*(self._journal(session, party) for party in PARTIES))
        return [
            self._sums(party, [entry for entry in journal if entry["browser"] == browser], browser)
            for party, journal in zip(PARTIES, journals, strict=True)
        ]

    async def _journal(self, session: aiohttp.ClientSession, party: str) -> list[dict[str, Any]]:
        host = f"{_HOSTS.get(party, party)}.localhost:{self._port}"
        address = f"http://127.0.0.1:{self._port}/_journal"
        try:
            async with session.get(address, headers={"Host": host}) as answer:
                found: list[dict[str, Any]] = await answer.json()
        except (aiohttp.ClientError, TimeoutError, ValueError):
            return []
        return found

    def _sums(self, party: str, entries: list[dict[str, Any]], browser: str) -> dict[str, Any]:
        offered = {entry["offered"] for entry in entries} - {""}
        kept = {name for entry in entries for name in entry["cookies"]}
        first = entries[0] if entries else None
        return {
            "party": party,
            "name": PARTIES[party],
            "requests": len(entries),
            "identifiers": len({one for entry in entries for one in entry["identifiers"]}),
            "kept": sorted(offered & kept),
            "refused": sorted(offered - kept),
            "first": first["time"] if first else None,
            "choice": self._choice(browser, first["time"]) if first else None,
        }

    def _choice(self, browser: str, moment: float) -> str | None:
        views = self._views.get(browser, deque())
        place = bisect_right([when for when, _ in views], moment)
        return views[place - 1][1] if place else None
