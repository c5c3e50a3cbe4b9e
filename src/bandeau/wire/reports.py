"""What browsers report of a Content-Security-Policy: one shape out of the two that are sent.

`application/csp-report` is one object (CSP3 5.3, "obsolete"), `application/reports+json` a list of
them with other names (Reporting API, CSP3 5.5). Whatever else is sent is no report, and no error.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

_MOST = 20  # reports of one body that are read


@dataclass(frozen=True, slots=True)
class Violation:
    """One thing that a policy did not allow; addresses as the browser wrote them."""

    directive: str
    blocked: str  # an address, or a word such as "inline"
    document: str
    source: str  # "address:line" of the file that asked for it; "" where that is not said


def violations(body: bytes) -> list[Violation]:
    """Return what a report says, at most 20 violations; nothing for what is no report."""
    try:
        sent = json.loads(body)
    except (ValueError, RecursionError):
        return []
    if isinstance(sent, dict):
        sent = [{"type": "csp-violation", "body": sent.get("csp-report")}]
    if not isinstance(sent, list):
        return []
    found = []
    for one in sent[:_MOST]:
        said = one.get("body") if isinstance(one, dict) else None
        if isinstance(said, dict) and one.get("type") == "csp-violation":
            source, line = _text(said, "sourceFile", "source-file"), said.get("lineNumber")
            line = said.get("line-number") if line is None else line
            found.append(
                Violation(
                    _text(said, "effectiveDirective", "effective-directive", "violated-directive"),
                    _text(said, "blockedURL", "blocked-uri"),
                    _text(said, "documentURL", "document-uri"),
                    f"{source}:{line}" if source and isinstance(line, int) else source,
                )
            )
    return found


def _text(said: dict[str, Any], *names: str) -> str:
    """Return the first of these that is text, cut to what a file may hold of it."""
    return next((value[:500] for name in names if isinstance(value := said.get(name), str)), "")
