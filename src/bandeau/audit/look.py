"""What a page shows beside its controls, as expressions to run in it (`look.js`); nothing is judged.

A layer's box with its texts, links and colours, where the focus is, what stands around the way back, how
much the page says, and the copies of the choice that other scripts read.
"""

from __future__ import annotations

from importlib.resources import files

_SOURCE = (files("bandeau.audit") / "look.js").read_text("utf-8").partition("(() =>")
_LIBRARY = "".join(_SOURCE[1:]).strip()


def on(name: str) -> str:
    """Return a function to call on a control, with others of its layer: `box`, `focus`, `state`."""
    return f"function (...others) {{ return {_LIBRARY}.{name}.apply(this, others); }}"


def page(name: str) -> str:
    """Return an expression to evaluate in a page: `text`, `said` or `copies` (a promise)."""
    return f"{_LIBRARY}.{name}()"
