"""The guard in the page: refuses what no header can, writes by script; never the basis of a promise.

A fresh about:blank realm walks round it (its prototypes are its own), in every engine. So it is a
courtesy to honest scripts; what counts is the policy, and the sweep of the next response.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from html import escape
from importlib.resources import files

from bandeau.wire.csp import hash_source


@dataclass(frozen=True, slots=True)
class GuardData:
    """What is permitted now: names for each kind (`name*`: every name that starts so), and hosts."""

    cookie: tuple[str, ...] = ()
    local_storage: tuple[str, ...] = ()
    session_storage: tuple[str, ...] = ()
    indexed_db: tuple[str, ...] = ()
    cache: tuple[str, ...] = ()
    service_worker: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()  # host patterns that hints may name; "*" for any

    def to_json(self) -> str:
        """Return it as the script reads it: one fixed order, no white space."""
        kinds = {name: getattr(self, name) for name in self.__slots__}
        return json.dumps(
            {kind: list(names) for kind, names in kinds.items() if names}, separators=(",", ":")
        )


@cache
def script() -> str:
    """Return the script exactly as it stands in pages."""
    return (files("bandeau.gate") / "static" / "guard.js").read_text("utf-8")


@cache
def script_hash() -> str:
    """Return the CSP hash source of the script; the same in every state."""
    return hash_source(script().encode())


def tag(data: GuardData, nonce: str | None = None) -> bytes:
    """Return the whole element, to stand before any other script of the page."""
    marked = f' nonce="{escape(nonce)}"' if nonce else ""
    state = escape(data.to_json())
    return f'<script data-bd="{state}"{marked}>{script()}</script>'.encode()
