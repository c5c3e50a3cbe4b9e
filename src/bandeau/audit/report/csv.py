"""A report as CSV (RFC 4180): one line for each fact, and for each rule that has none."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from typing import Any

_HEAD = (
    "rule",
    "outcome",
    "severity",
    "force",
    "reason",
    "scenario",
    "station",
    "milliseconds",
    "fact",
    "started by",
    "remedy",
)

_BEGINNINGS = ("=", "+", "-", "@", "\t", "\r", "\0")  # of a formula (OWASP ASVS 5.0, 1.2.10)


def table(report: Mapping[str, Any]) -> str:
    """Return the table."""
    out = io.StringIO()
    write = csv.writer(out).writerow
    write(_HEAD)
    for one in report["verdicts"]:
        rule = (one["rule"], one["outcome"], one["severity"], one["force"], one["reason"])
        for fact in one["facts"] or [None]:
            where = (
                (
                    fact["scenario"],
                    fact["station"],
                    fact["at"],
                    fact["text"],
                    " <- ".join(fact["chain"]),
                )
                if fact
                else ("", "", "", "", "")
            )
            write([_plain(cell) for cell in (*rule, *where, one["remedy"])])
    return out.getvalue()


def _plain(cell: object) -> object:
    """Keep a spreadsheet from taking what a stranger's page said for a formula."""
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(_BEGINNINGS) else cell
