"""A process's figures as OpenMetrics 1.0 text: how much, and whether it works; nothing of persons."""

from __future__ import annotations

from collections.abc import Mapping

from bandeau.errors import LedgerError
from bandeau.ledger.ledger import QUEUE, Ledger

COUNTED = {  # by the gate, in this process, since it began
    "responses": "Responses that went through the gate.",
    "pages": "Pages among them.",
    "failures": "Answers of ours with 500 and above, instead of the site's.",
}


def openmetrics(ledger: Ledger, counted: Mapping[str, int]) -> str:
    """Return the figures of a ledger that is open in this process, and of the gate before it."""
    figures = []
    up = ledger.failed is None
    try:
        size = ledger.head.tree.size if up else None
    except LedgerError:
        size, up = None, False
    if size is not None:
        figures.append(("bandeau_log_entries", "gauge", "Entries in the log.", size))
    figures += [
        ("bandeau_ledger_waiting", "gauge", "Decisions that wait to be stored.", ledger.waiting),
        ("bandeau_ledger_room", "gauge", "Decisions that may wait at once.", QUEUE),
        (
            "bandeau_ledger_up",
            "gauge",
            "1 unless the last commit failed, or one hangs, or nothing can be read.",
            int(up),
        ),
        (
            "bandeau_unrecorded",
            "counter",
            "Refusals and withdrawals of this process that were obeyed but not stored.",
            ledger.unrecorded,
        ),
    ]
    for key, words in COUNTED.items():
        figures.append((f"bandeau_gate_{key}", "counter", words, counted.get(key, 0)))
    lines = []
    for name, kind, words, value in figures:
        lines += [f"# TYPE {name} {kind}", f"# HELP {name} {words}"]
        lines.append(f"{name}{'_total' if kind == 'counter' else ''} {value}")
    return "\n".join([*lines, "# EOF", ""])
