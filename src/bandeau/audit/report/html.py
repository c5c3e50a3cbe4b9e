"""A report as one page that a person can read: what is wrong first, who brings it, and what to do."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

_ORDER = {"fail": 0, "unknown": 1, "pass": 2, "not applicable": 3}
_SEVERITY = {"C": 0, "M": 1, "m": 2}
_FORCE = {"L": "law or judgment", "G": "guidance of a regulator", "B": "best practice"}
_RANK = {"C": "critical", "M": "major", "m": "minor"}


def page(report: Mapping[str, Any]) -> str:
    """Return the page; it needs nothing but itself."""
    templates = Environment(
        loader=PackageLoader("bandeau.audit.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    verdicts = sorted(
        report["verdicts"],
        key=lambda one: (_ORDER[one["outcome"]], _SEVERITY[one["severity"]], one["rule"]),
    )
    return templates.get_template("report.html").render(
        report=report,
        headlines=[one for one in report["verdicts"] if one["headline"]],
        failed=[one for one in verdicts if one["outcome"] == "fail"],
        unknown=[one for one in verdicts if one["outcome"] == "unknown"],
        passed=[one for one in verdicts if one["outcome"] == "pass"],
        remove=_remove(verdicts),
        rank=_RANK,
        force=_FORCE,
        timelines=[_timeline(run) for run in report["runs"]],
    )


def _remove(verdicts: list[Mapping[str, Any]]) -> list[tuple[str, int]]:
    """Return the places in the site's own pages that the most findings start from."""
    found: Counter[str] = Counter()
    for one in verdicts:
        if one["outcome"] == "fail":
            found.update({fact["chain"][-2] if len(fact["chain"]) > 1 else fact["chain"][-1]
                          for fact in one["facts"] if fact["chain"]})  # fmt: skip
    return found.most_common(20)


def _timeline(run: Mapping[str, Any]) -> dict[str, Any]:
    stations: dict[str, Counter[str]] = {}
    hosts: dict[str, set[str]] = {}
    for one in run["observations"]:
        station = one["station"]
        stations.setdefault(station, Counter())[one["kind"]] += 1
        if one["third"] and one["kind"] == "request":
            hosts.setdefault(station, set()).add(one["host"])
    return {
        "run": run,
        "stations": [
            {
                "name": name,
                "kinds": counted,
                "hosts": sorted(hosts.get(name, ())),
            }
            for name, counted in stations.items()
        ],
    }
