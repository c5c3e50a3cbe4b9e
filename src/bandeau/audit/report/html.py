"""A report as one page that a person can read: what is wrong first, who brings it, and what to do."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from bandeau.audit.observe import file_of

_ORDER = {"fail": 0, "unknown": 1, "pass": 2, "not applicable": 3}
_SEVERITY = {"C": 0, "M": 1, "m": 2}
_FORCE = {"L": "law or judgment", "G": "guidance of a regulator", "B": "best practice"}
_RANK = {"C": "critical", "M": "major", "m": "minor"}


_WHY = {  # the words for a reason that is one word
    "no-notice": "no notice that asks for a choice was found",
    "no-control": "the button or link for it was not found",
    "no-effect": "what was clicked changed nothing",
    "no-way-back": "no way back to the choices was found",
    "asked-again": "the notice came back when the page was loaded again",
    "no-list": "no list of trackers was found",
    "no-language": "the language is not one of those that are known",
    "one-site": "one site alone cannot show it",
    "not-run": "that walk was not asked for",
    "not-seen": "what it is about was not seen",
    "not-watched": "something ran that could not be watched",
    "needs-human": "for a person to look at",
    "needs-policy": "only a policy of the site's can tell",
    "needs-server": "only the site's server can tell",
    "unclassified": "nobody has said what the items are for",
    "others-chose": "others chose meanwhile",
    "bot-wall": "the site asks for proof of a person",
    "time": "it took too long",
    "error": "something went wrong",
}
_CODE = re.compile("`([^`]+)`")
_FACTS = 5  # of a rule that are open at first
_HOSTS = 6  # of a tag that are named


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
    templates.filters["marked"] = _marked
    return templates.get_template("report.html").render(
        report=report,
        headlines=[one for one in report["verdicts"] if one["headline"]],
        failed=[one for one in verdicts if one["outcome"] == "fail"],
        unknown=[one for one in verdicts if one["outcome"] == "unknown"],
        passed=[one for one in verdicts if one["outcome"] == "pass"],
        reasons=Counter(
            one["reason"] for one in verdicts if one["outcome"] == "unknown"
        ).most_common(),
        undone=_undone(report["runs"]),
        remove=_remove(report, verdicts),
        way=lambda chain: _way(chain, report["url"]),
        why=lambda reason: _WHY.get(reason, reason.replace("-", " ")),
        rank=_RANK,
        force=_FORCE,
        facts=_FACTS,
        timelines=[_timeline(run) for run in report["runs"]],
    )


def _undone(runs: list[Mapping[str, Any]]) -> dict[str, list[str]]:
    """Return why walks did not come to their end, with the walks."""
    found: dict[str, list[str]] = {}
    for run in runs:
        if not run["completed"]:
            why = run["facts"].get("error") or _WHY.get(run["reason"], run["reason"])
            found.setdefault(why, []).append(run["scenario"])
    return found


def _remove(report: Mapping[str, Any], verdicts: list[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the places in the site's pages that most findings start from, and whom they bring."""
    found: Counter[tuple[str, str]] = Counter()
    rules: dict[tuple[str, str], list[str]] = {}
    url = report["url"]
    for one in verdicts:
        for fact in one["facts"] if one["outcome"] == "fail" else ():
            if (place := _place(fact["chain"], url))[0] not in ("", "unattributed"):
                found[place] += 1
                rules.setdefault(place, []).append(one["rule"])
    brings: dict[tuple[str, str], Counter[str]] = {}
    for run in report["runs"]:
        for one in run["observations"]:
            if one["third"] and one["kind"] in ("request", "connection"):
                brings.setdefault(_place(one["chain"], url), Counter())[one["host"]] += 1
    return [
        {
            "place": place,
            "count": count,
            "rules": dict.fromkeys(rules[place]),
            "hosts": [host for host, _ in brings.get(place, Counter()).most_common(_HOSTS)],
            "more": max(0, len(brings.get(place, ())) - _HOSTS),
        }
        for place, count in found.most_common(20)
    ]


def _place(chain: list[str], url: str) -> tuple[str, str]:
    """Return the step of a chain that the site's own page begins it with, in words."""
    return _said(chain[-2] if len(chain) > 1 else chain[-1] if chain else "", url)


def _way(chain: list[str], url: str) -> list[tuple[str, str]]:
    """Return a chain from the page to who did it, once for each file."""
    steps = [_said(step, url) for step in reversed(chain)]
    if len(steps) > 1 and steps[0][0] == "the page":
        del steps[0]  # the others say where they are
    lines = [(where, "line " in what and "<" not in what) for what, where in steps]
    return [
        one
        for at, one in enumerate(steps)
        if not (at and lines[at][1] and lines[at] == lines[at - 1])
    ]


def _said(step: str, url: str) -> tuple[str, str]:
    """Return a step of a chain in words: what it is, and where; "" where that is all there is to say."""
    file, _, tag = step.partition(" <")
    if tag and file.startswith("http"):
        return f"<{tag}", _where(file, url)
    word, address = "", step
    for begins, said in (("response of ", "a Set-Cookie header"), ("redirect from ", "a redirect")):
        if step.startswith(begins):
            word, address = said, step.removeprefix(begins)
    if not address.startswith("http"):
        return step, ""
    place = file_of(address)
    where, (line, _, column) = _where(place, url), address[len(place) + 1 :].partition(":")
    if line:
        return f"{'a script in ' if column and place == url else ''}line {line}", where
    return (word, where) if word else (where, "")


def _marked(text: str) -> Markup:
    """Return a text in which what stands between backticks is code."""
    return Markup(_CODE.sub(r"<code>\1</code>", str(escape(text))))  # noqa: S704 (escaped before)


def _where(address: str, url: str) -> str:
    """Return an address as one reads it: the page that was audited by that name, queries cut."""
    plain, asked, _ = address.partition("?")
    return "the page" if address == url else f"{plain}{asked and '?…'}"


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
