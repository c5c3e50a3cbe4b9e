"""The report as one document: everything that was seen and what it came to; every format is made of it.

`VERSION` changes with the document's shape; `schema()` describes it. Two audits of an unchanged site
differ only in times, values and what `normalised` takes out.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from bandeau.audit import known
from bandeau.audit.inventory import Inventory
from bandeau.audit.judge import Outcome, Verdict
from bandeau.audit.observe import Observation
from bandeau.audit.recipients import recipients
from bandeau.audit.ruleset import RULESET_VERSION, Rule
from bandeau.audit.scenario import Run
from bandeau.policy.digest import digest
from bandeau.policy.model import Policy

VERSION = 2
CLEAN, FINDINGS, NOT_DONE = 0, 1, 2


def document(
    url: str,
    runs: Sequence[Run],
    verdicts: Sequence[Verdict],
    rules: Mapping[str, Rule],
    *,
    started: datetime,
    policy: Policy | None = None,
    version: str = "",
) -> dict[str, Any]:
    """Return the report of an audit. `policy` is what was judged against."""
    found: dict[str, Any] = _writable(
        {
            "version": VERSION,
            "bandeau": version,
            "ruleset": RULESET_VERSION,
            "url": url,
            "started": started.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "policy": digest(policy) if policy else None,
            "exit": exit_code(runs, verdicts),
            "counts": {
                outcome.value: sum(1 for one in verdicts if one.outcome is outcome)
                for outcome in Outcome
            },
            "verdicts": [_verdict(one, rules[one.rule]) for one in verdicts],
            "known": _known(runs),
            "recipients": recipients(url, runs, Inventory(policy)),
            "runs": [_run(run) for run in runs],
        }
    )
    return found


def _known(runs: Sequence[Run]) -> list[dict[str, Any]]:
    """Return whose hosts and cookies were seen, as far as their owners' own pages tell."""
    met: dict[known.Known, set[str]] = {}
    for one in (one for run in runs for one in run.observations):
        whose = known.of_host(one.host) if one.third else None
        name = one.host
        if one.kind in ("cookie_kept", "cookie_in_jar") and not one.third:
            whose, name = known.of_cookie(one.name), one.name
        if whose:
            met.setdefault(whose, set()).add(name)
    return [
        {
            "owner": one.owner,
            "service": one.service,
            "purpose": one.purpose,
            "source": one.source,
            "seen": sorted(met[one]),
        }
        for one in known.trackers()
        if one in met
    ]


def _writable(value: Any) -> Any:
    """Return a value of which UTF-8 can write every text: pages may hold half of a surrogate pair."""
    match value:
        case str():
            return value.encode("utf-8", "replace").decode()
        case dict():
            return {_writable(key): _writable(one) for key, one in value.items()}
        case list() | tuple():
            return [_writable(one) for one in value]
        case _:
            return value


def exit_code(runs: Sequence[Run], verdicts: Iterable[Verdict]) -> int:
    """Return 1 for any failure, else 2 where a walk did not come to its end, else 0.

    What only a person can decide changes nothing.
    """
    if any(one.outcome is Outcome.FAIL for one in verdicts):
        return FINDINGS
    if not runs or any(not run.completed or run.unwatched for run in runs):
        return NOT_DONE
    return CLEAN


def normalised(report: Mapping[str, Any]) -> dict[str, Any]:
    """Return a report without what differs from run to run: times, values, ports and random names."""
    found = copy.deepcopy(dict(report))
    found.pop("started")
    for run in found["runs"]:
        run.pop("pictures", None)
        run["facts"] = {k: v for k, v in run["facts"].items() if k not in ("ended", "text")}
        seen = {
            (one["kind"], one["station"], one["name"].partition("?")[0], one["host"])
            for one in run["observations"]
        }
        run["observations"] = [list(one) for one in sorted(seen)]
    for verdict in found["verdicts"]:
        for fact in verdict["facts"]:
            fact.pop("at")
            fact["text"] = fact["text"].partition("?")[0]
            fact["chain"] = [one.partition("?")[0] for one in fact["chain"]]
    return found


def _verdict(one: Verdict, rule: Rule) -> dict[str, Any]:
    return {
        "rule": rule.id,
        "rule_version": rule.version,
        "requirement": rule.requirement,
        "failure": one.failure or rule.failure,
        "outcome": one.outcome.value,
        "reason": one.reason,
        "severity": rule.severity,
        "force": rule.force,
        "headline": rule.headline,
        "sources": list(rule.sources),
        "remedy": rule.remedy,
        "evidence": rule.evidence,
        "question": rule.question or "",
        "facts": [asdict(fact) for fact in one.facts],
    }


def _run(run: Run) -> dict[str, Any]:
    return {
        "scenario": run.scenario,
        "number": run.number,
        "completed": run.completed,
        "reason": run.reason,
        "browser": run.version,
        "agent": run.agent,
        "setting": asdict(run.setting),
        "clicks": run.clicks,
        "layers": run.layers,
        "facts": run.facts,
        "unwatched": run.unwatched,
        "pictures": sorted(run.pictures),
        "observations": [_observation(one) for one in run.observations],
    }


def _observation(one: Observation) -> dict[str, Any]:
    found = asdict(one)
    found["chain"], found["detail"] = list(one.chain), dict(one.detail)
    return found
