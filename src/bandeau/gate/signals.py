"""What scripts are told of a choice: `window.bandeau`, and the calls of the vendors that a policy names.

It tells; it opens nothing. The script is the same in every state, so one hash lets it pass a strict
policy: what is granted stands in an attribute beside it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from html import escape
from importlib.resources import files

from bandeau.policy.model import Policy
from bandeau.policy.vendors import vendors
from bandeau.wire.csp import hash_source

_PLACE = "const vendors = [];"


class Signals:
    """A policy's script. Made once at start."""

    def __init__(self, policy: Policy) -> None:
        told = policy.signals.vendors
        text = (files("bandeau.gate") / "static" / "signals.js").read_text("utf-8")
        calls = ",\n".join(_vendor(name, needs) for name, needs in told.items())
        self.script = text.replace(_PLACE, f"const vendors = [{calls}];")
        self.hash = hash_source(self.script.encode())

    def tag(self, granted: Iterable[str], nonce: str | None = None) -> bytes:
        """Return the whole element, to stand before any script of the page."""
        marked = f' nonce="{escape(nonce)}"' if nonce else ""
        state = escape(" ".join(sorted(granted)))
        return f'<script data-bd-granted="{state}"{marked}>{self.script}</script>'.encode()


def _vendor(name: str, needs: dict[str, tuple[str, ...]]) -> str:
    """Return a vendor as JavaScript. Nothing of a policy gets there but ids, as JSON."""
    vendor = vendors()[name]
    keys = json.dumps({key: needs.get(key, ()) for key in vendor.keys})
    calls = {"default": vendor.default, "update": vendor.update}
    methods = ", ".join(f"{call}(said, may) {{ {text.strip()} }}" for call, text in calls.items())
    return f"{{ keys: {keys}, {methods} }}"
