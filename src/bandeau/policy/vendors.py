"""The vendors whose tags can be told of a choice: their calls are data, `vendors.toml`; no rule here."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files


@dataclass(frozen=True, slots=True)
class Vendor:
    """A vendor's calls, as JavaScript; `keys` are what it distinguishes, `source` says where from."""

    title: str
    keys: tuple[str, ...]
    default: str
    update: str
    source: str
    remark: str = ""
    unverified: str = ""


@cache
def vendors() -> dict[str, Vendor]:
    """Return the vendors by the names that a policy gives them."""
    text = (files("bandeau.policy") / "vendors.toml").read_text("utf-8")
    return {
        name: Vendor(**{**entry, "keys": tuple(entry["keys"])})
        for name, entry in tomllib.loads(text).items()
    }
