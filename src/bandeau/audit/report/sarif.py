"""A report as SARIF 2.1.0 (OASIS): findings where code scanners' results are shown."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

_LEVEL = {"C": "error", "M": "error", "m": "warning"}
_SCHEMA = (
    "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
)


def log(report: Mapping[str, Any]) -> str:
    """Return the log."""
    rules = [
        {
            "id": one["rule"],
            "shortDescription": {"text": one["requirement"]},
            "help": {"text": one["remedy"]},
            "properties": {
                "severity": one["severity"],
                "force": one["force"],
                "sources": one["sources"],
            },
        }
        for one in report["verdicts"]
    ]
    results = [
        _result(report["url"], number, one, fact)
        for number, one in enumerate(report["verdicts"])
        if one["outcome"] == "fail"
        for fact in one["facts"]
    ]
    driver = {"name": "bandeau audit", "version": report["bandeau"], "rules": rules}
    run = {"tool": {"driver": driver}, "results": results, "columnKind": "unicodeCodePoints"}
    document = {"$schema": _SCHEMA, "version": "2.1.0", "runs": [run]}
    return json.dumps(document, ensure_ascii=False, indent=1, sort_keys=True) + "\n"


def _result(
    url: str, number: int, one: Mapping[str, Any], fact: Mapping[str, Any]
) -> dict[str, Any]:
    where = {"physicalLocation": {"artifactLocation": {"uri": url}}}
    found: dict[str, Any] = {
        "ruleId": one["rule"],
        "ruleIndex": number,
        "level": _LEVEL[one["severity"]],
        "message": {"text": f"{fact['text']} (scenario {fact['scenario']}, {fact['station']})"},
        "locations": [where],
    }
    if fact["chain"]:
        steps = [
            {"location": {**where, "message": {"text": step}}} for step in reversed(fact["chain"])
        ]
        found["codeFlows"] = [{"threadFlows": [{"locations": steps}]}]
    return found
