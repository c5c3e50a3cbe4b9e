"""Widely met trackers, whose they are and what they are for: names beside what was seen, not verdicts.

The list is `trackers.toml`, with its licence and each entry's source. Who is not in it is unknown;
without the file everybody is, and all else stays the same.
"""

from __future__ import annotations

import json
import tomllib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from pydantic import ConfigDict, TypeAdapter, with_config

from bandeau.audit.observe import Observation
from bandeau.wire.hosts import parents

# Never exempt: what measures an audience may be (rule J1), and a video may have been asked for.
_NEVER_EXEMPT = ("ads", "social", "profiles")


@with_config(ConfigDict(extra="forbid", strict=True))
@dataclass(frozen=True, slots=True)
class Known:
    """One product of an owner, as its own public page at `source` has it."""

    owner: str
    service: str
    purpose: str  # proposed, as an id that a draft uses
    source: str  # an address
    hosts: tuple[str, ...] = ()  # each with all below it
    cookies: tuple[str, ...] = ()  # in the site's own jar; `start*` for all that start so

    def __str__(self) -> str:
        by = "" if self.owner == self.service else f" of {self.owner}"
        return f"{self.service}{by} ({self.purpose})"

    @property
    def needs_consent(self) -> bool:
        """Say whether there is no use of it that is exempt."""
        return self.purpose in _NEVER_EXEMPT


@cache
def trackers() -> tuple[Known, ...]:
    """Return the list in its order; empty where the file is not there."""
    try:
        text = (files("bandeau.audit") / "trackers.toml").read_text("utf-8")
    except FileNotFoundError:
        return ()
    rows = json.dumps(tomllib.loads(text)["tracker"])  # strict JSON makes tuples of lists
    found: tuple[Known, ...] = TypeAdapter(tuple[Known, ...]).validate_json(rows)
    return found


@cache
def _hosts() -> dict[str, Known]:
    return {
        pattern: one for one in trackers() for host in one.hosts for pattern in (host, f"*.{host}")
    }


@cache
def _cookies() -> dict[str, Known]:
    return {name: one for one in trackers() for name in one.cookies}


def of_host(host: str) -> Known | None:
    """Return whose a host is, by the closest one that is known."""
    return next((_hosts()[one] for one in parents(host) if one in _hosts()), None)


def of_cookie(name: str) -> Known | None:
    """Return who writes a cookie of this name into a site's jar, by the longest that fits."""
    fits = (
        one for one in _cookies() if name == one or (one[-1] == "*" and name.startswith(one[:-1]))
    )
    closest = max(fits, key=len, default=None)
    return _cookies()[closest] if closest else None


def of_item(one: Observation) -> Known | None:
    """Return whose a kept item is: a third party's by its host, else a cookie by its name."""
    if one.third:
        return of_host(one.host)
    return of_cookie(one.name) if one.detail.get("area", "cookie") == "cookie" else None
