"""The switch of an owner whose site does not work behind the gate: nothing but cookies is filtered.

It is a file beside the key, so that it works without a restart, on a full disk, and by hand.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

LEFT = frozenset(("cookies",))  # what stays enforced
_SECONDS = 1.0  # how soon it is seen


class Switch:
    """Says whether the file is there; looked at once a second at most."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._on = False
        self._next = 0.0

    @property
    def on(self) -> bool:
        """Whether all but cookies is switched off."""
        if self._path is not None and time.monotonic() >= self._next:
            self._on = os.path.exists(self._path)  # noqa: PTH110 (what may not be read is no order)
            self._next = time.monotonic() + _SECONDS
        return self._on


def switch_file(key: Path) -> Path:
    """Return where the switch lies: `bandeau.switch` for `bandeau.key`."""
    return key.with_suffix(".switch")
