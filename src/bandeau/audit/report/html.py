"""A report as one page that a person can read: what is wrong first, who receives what, what to do."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from bandeau.audit.observe import ASKED
from bandeau.audit.report import words

_OUTCOMES = ("fail", "unknown", "pass", "not applicable")
_SEVERITY = {"C": 0, "M": 1, "m": 2}
_FACTS = 5  # of a rule that are open at first
_PLACES = 20  # to remove something from, that are open at first
_NAMED = 6  # of many, the ones that are named
_AGAIN = {"L1": ("C1", "C2", "C3")}  # rules on a walk that repeats what others say of the first one
Report = Mapping[str, Any]


def page(report: Report, pictures: Mapping[str, str] | None = None) -> str:
    """Return the page; it needs nothing but itself. `pictures` are addresses (data:) by file name."""
    templates = Environment(
        loader=PackageLoader("bandeau.audit.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    url = report["url"]
    verdicts = sorted(report["verdicts"], key=lambda one: (_SEVERITY[one["severity"]], one["rule"]))
    by_outcome = {
        outcome: [one for one in verdicts if one["outcome"] == outcome] for outcome in _OUTCOMES
    }
    names = {
        host: name
        for row in report["recipients"]
        for name, hosts in row["hosts"].items()
        for host in hosts
    }
    templates.filters |= {
        "marked": words.marked,
        "shortened": lambda text: words.shortened(text, url),
        "walk": words.walk,
        "station": words.station,
        "place": words.where,
        "way": lambda chain: words.way(chain, url),
        "why": lambda reason: words.WHY.get(reason, reason.replace("-", " ")),
    }
    began = datetime.fromisoformat(report["started"])
    return templates.get_template("report.html").render(
        report=report,
        began=f"{began.day} {began:%B %Y, %H:%M} UTC",
        pages=max(
            (int(name.rpartition("-page-")[2]) for name in _stations(report) if "-page-" in name),
            default=1,
        ),
        failed=by_outcome["fail"],
        unknown=_by_reason(by_outcome["unknown"]),
        passed=by_outcome["pass"],
        beside=by_outcome["not applicable"],
        headlines=[one for one in verdicts if one["headline"]],
        untested=_by_reason([one for one in by_outcome["unknown"] if one["headline"]]),
        undone=_undone(report["runs"]),
        whens=Counter(one["when"] for one in report["recipients"]).items(),
        remove=_remove(report, by_outcome["fail"], names),
        places=_PLACES,
        alike=lambda facts: _alike(facts, names),
        again=lambda one: _again(one, by_outcome["fail"], names),
        read_back=words.SET,
        facts=_FACTS,
        named=_NAMED,
        timelines=[_timeline(run, names) for run in report["runs"] if run["completed"]],
        pictures=_once(report["runs"], pictures or {}),
    )


def _stations(report: Report) -> set[str]:
    return {one["station"] for run in report["runs"] for one in run["observations"]}


def _by_reason(verdicts: list[Report]) -> dict[str, list[Report]]:
    """Return verdicts by their reason, the most frequent first."""
    found: dict[str, list[Report]] = {}
    for one in verdicts:
        found.setdefault(one["reason"], []).append(one)
    return dict(sorted(found.items(), key=lambda pair: -len(pair[1])))


def _undone(runs: list[Report]) -> dict[str, list[str]]:
    """Return why walks did not come to their end, with the walks."""
    found: dict[str, list[str]] = {}
    for run in runs:
        if not run["completed"]:
            why = words.WHY.get(run["reason"], str(run["reason"]))
            if run["reason"] in ("bot-wall", "time", "error"):  # of which the walk has more to tell
                why = str(run["facts"].get("error", why))
            found.setdefault(why, []).append(run["scenario"])
    return found


def _told(text: str, names: Mapping[str, str]) -> str:
    """Return a text with hosts by the names that they are told by."""
    for host, name in names.items():
        if host != name:
            text = text.replace(host, name)
    return text


def _alike(facts: list[Report], names: Mapping[str, str]) -> list[tuple[Report, int]]:
    """Return facts that differ in more than queries and made-up names, each with how many are alike."""
    found: dict[tuple[str, str], list[Report]] = {}
    for one in facts:
        found.setdefault(_key(one, names), []).append(one)
    return [(them[0], len(them)) for them in found.values()]


def _key(fact: Report, names: Mapping[str, str]) -> tuple[str, str]:
    return _told(fact["about"] or fact["text"], names), _told(fact["text"].partition("?")[0], names)


def _again(
    verdict: Report, failed: list[Report], names: Mapping[str, str]
) -> tuple[list[Report], list[Report], list[str]]:
    """Return a rule's facts that no other says, those that others do say, and which others."""
    others = [one for one in failed if one["rule"] in _AGAIN.get(verdict["rule"], ())]
    said = {_key(fact, names) for one in others for fact in one["facts"]}
    new = [fact for fact in verdict["facts"] if _key(fact, names) not in said]
    old = [fact for fact in verdict["facts"] if _key(fact, names) in said]
    return new, old, [one["rule"] for one in others]


def _remove(report: Report, failed: list[Report], names: Mapping[str, str]) -> list[dict[str, Any]]:
    """Return the places in the site's pages that most things start from: whom they bring, what is kept.

    A cookie is one thing, under however many rules and in however many walks it was met.
    """
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for one in failed:
        for fact in one["facts"]:
            if (place := words.place(fact["chain"], report["url"]))[0] not in ("", "unattributed"):
                entry = found.setdefault(
                    place, {"place": place, "rules": {}, "kept": {}, "hosts": {}}
                )
                entry["rules"][one["rule"]] = None
                if " of " in fact["about"]:
                    entry["kept"][words.name_of(fact["about"])] = None
    for one in (one for run in report["runs"] for one in run["observations"]):
        brings = one["kind"] in ASKED and one["host"] in names
        if brings and (place := words.place(one["chain"], report["url"])) in found:
            found[place]["hosts"][_counted(names[one["host"]], names)] = None
    return sorted(found.values(), key=lambda one: -len(one["kept"]) - len(one["hosts"]))


def _counted(name: str, names: Mapping[str, str]) -> str:
    """Return a name that hosts are told by, with how many they are."""
    count = sum(1 for host, told in names.items() if told == name and host != told)
    return f"{name} ({count} names)" if count else name


def _timeline(run: Report, names: Mapping[str, str]) -> dict[str, Any]:
    stations: dict[str, Counter[str]] = {}
    hosts: dict[str, set[str]] = {}
    for one in run["observations"]:
        stations.setdefault(one["station"], Counter())[one["kind"]] += 1
        if one["third"] and one["kind"] == "request":
            hosts.setdefault(one["station"], set()).add(names.get(one["host"], one["host"]))
    return {
        "run": run,
        "stations": [
            {"name": name, "kinds": counted, "hosts": sorted(hosts.get(name, ()))}
            for name, counted in stations.items()
        ],
    }


def _once(
    runs: list[Report], pictures: Mapping[str, str]
) -> dict[tuple[str, int], list[tuple[str, str]]]:
    """Return the stations and pictures of each walk; one that looks like an earlier one is left out."""
    seen: set[str] = set()
    found: dict[tuple[str, int], list[tuple[str, str]]] = {}
    for run in runs:
        walk = run["scenario"], run["number"]
        for name in run["pictures"]:
            shown = pictures.get(words.picture_name(*walk, name), "")
            if shown and shown not in seen:
                seen.add(shown)
                found.setdefault(walk, []).append((name, shown))
    return found
