"""A reader's profile: which sections were read how often, in a cookie of the paper's own."""

from __future__ import annotations

import re
from collections import Counter

NAME = "profil"
DAYS = 90
_ENTRY = re.compile(r"([a-z]{2,20})\.([1-9][0-9]{0,2})")


def read(value: str | None, sections: frozenset[str]) -> Counter[str]:
    """Return readings by section; what is not written here counts for nothing."""
    found: Counter[str] = Counter()
    for part in (value or "").split("-")[:20]:
        match = _ENTRY.fullmatch(part)
        if match and match[1] in sections:
            found[match[1]] = int(match[2])
    return found


def written(readings: Counter[str]) -> str:
    """Return a profile as the cookie holds it: `culture.2-international.5`."""
    return "-".join(f"{name}.{min(count, 999)}" for name, count in sorted(readings.items()))
