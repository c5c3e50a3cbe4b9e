"""`consent` in every template, where `TEMPLATES` lists `bandeau.django.context_processors.consent`."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest

from bandeau.decision.model import Consent, State


def consent(request: HttpRequest) -> dict[str, Any]:
    """Return the visitor's Consent; undecided, so nothing granted, where the gate was not passed."""
    return {"consent": getattr(request, "consent", Consent(State.UNDECIDED))}
