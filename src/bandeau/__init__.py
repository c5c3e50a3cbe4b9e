"""Consent that a site obeys: a gate in the HTTP response, not a script that asks the page to behave.

site = Bandeau.from_file("bandeau.toml", ledger="sqlite:///bandeau.db")
app = site.asgi(app)

Names are loaded when they are used, so that `python -m bandeau.ledger.verify` needs the standard library
alone.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bandeau.bandeau import Bandeau
    from bandeau.decision.model import Consent, State
    from bandeau.errors import BandeauError, PolicyError

__all__ = ["Bandeau", "BandeauError", "Consent", "PolicyError", "State"]

_PLACES = {
    "Bandeau": "bandeau.bandeau",
    "BandeauError": "bandeau.errors",
    "Consent": "bandeau.decision.model",
    "PolicyError": "bandeau.errors",
    "State": "bandeau.decision.model",
}


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module 'bandeau' has no attribute {name!r}")
    return getattr(import_module(_PLACES[name]), name)
