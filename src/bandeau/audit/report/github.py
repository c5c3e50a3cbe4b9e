"""A report as annotations that GitHub's runner reads from standard output (workflow commands)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_LEVEL = {"C": "error", "M": "error", "m": "warning"}


def commands(report: Mapping[str, Any]) -> str:
    """Return one line for each rule that failed."""
    lines = []
    for one in report["verdicts"]:
        if one["outcome"] == "fail":
            facts = "\n".join(fact["text"] for fact in one["facts"][:5])
            title = (
                _escaped(f"{one['rule']} {one['failure']}").replace(":", "%3A").replace(",", "%2C")
            )
            lines.append(f"::{_LEVEL[one['severity']]} title={title}::{_escaped(facts)}")
    return "".join(f"{line}\n" for line in lines)


def _escaped(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
