"""Rewritten pages kept in memory, one for each state; only those that the site lets anybody keep."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from threading import Lock

_ENTRY = 256  # bytes that an entry takes beside its page


class Pages:
    """The pages asked for last, up to so many bytes together. Safe to use from several threads."""

    def __init__(self, room: int) -> None:
        self._room = room  # bytes
        self._kept: OrderedDict[bytes, bytes] = OrderedDict()
        self._lock = Lock()
        self.size = 0  # bytes

    def get(self, key: bytes, make: Callable[[], bytes]) -> bytes:
        """Return the page kept under a key, or make it and keep it."""
        with self._lock:
            page = self._kept.get(key)
            if page is not None:
                self._kept.move_to_end(key)
                return page
        page = make()
        with self._lock:
            if key not in self._kept:
                self._kept[key] = page
                self.size += len(page) + _ENTRY
            while self.size > self._room:
                _, dropped = self._kept.popitem(last=False)
                self.size -= len(dropped) + _ENTRY
        return page
