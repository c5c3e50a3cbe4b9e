"""A decision as one line of text that a privacy officer can read; one spelling only.

    2026-11-24T19:25Z accept_all social=yes ads=no policy=0123456789 snapshot=0123456789ab
        language=fr layer=first device=phone signal=no        (on one line)

Time to the minute, UTC. No address, no user agent, no path, no visitor.
"""

from __future__ import annotations

from datetime import UTC, datetime

from bandeau.decision.cookie import POLICY_DIGITS
from bandeau.decision.model import Decision

SNAPSHOT_DIGITS = 12


def line(decision: Decision) -> str:
    """Return a decision's line, without a line end."""
    when = datetime.fromtimestamp(decision.minute * 60, UTC).strftime("%Y-%m-%dT%H:%MZ")
    fields = [
        *((purpose, _word(granted)) for purpose, granted in decision.choices),
        ("policy", decision.policy[:POLICY_DIGITS]),
        ("snapshot", decision.snapshot[:SNAPSHOT_DIGITS] or "none"),
        ("language", decision.language),
        ("layer", decision.layer),
        ("device", decision.device),
        ("signal", _word(decision.signal)),
    ]
    return " ".join([when, str(decision.event), *(f"{name}={value}" for name, value in fields)])


def _word(yes: bool) -> str:  # noqa: FBT001
    return "yes" if yes else "no"
