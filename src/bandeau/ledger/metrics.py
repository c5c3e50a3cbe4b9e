"""The ledger's figures as OpenMetrics 1.0 text: how much, and whether it works; nothing of persons."""

from __future__ import annotations

from bandeau.ledger.ledger import QUEUE, Ledger


def openmetrics(ledger: Ledger) -> str:
    """Return the figures of a ledger that is open in this process."""
    figures = (
        ("bandeau_log_entries", "gauge", "Entries in the log.", ledger.head.tree.size),
        ("bandeau_ledger_waiting", "gauge", "Decisions that wait to be stored.", ledger.waiting),
        ("bandeau_ledger_room", "gauge", "Decisions that may wait at once.", QUEUE),
        (
            "bandeau_ledger_up",
            "gauge",
            "1 unless the last commit failed.",
            int(ledger.failed is None),
        ),
        (
            "bandeau_unrecorded",
            "counter",
            "Refusals and withdrawals of this process that were obeyed but not stored.",
            ledger.unrecorded,
        ),
    )
    lines = []
    for name, kind, words, value in figures:
        lines += [f"# TYPE {name} {kind}", f"# HELP {name} {words}"]
        lines.append(f"{name}{'_total' if kind == 'counter' else ''} {value}")
    return "\n".join([*lines, "# EOF", ""])
