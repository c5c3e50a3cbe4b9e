"""What a site behind bandeau answers at its public addresses: its records (I), and its own safety (M).

Elsewhere nothing is asked, and only the site's server could tell: needs-server.
"""

from __future__ import annotations

import re
from itertools import pairwise
from urllib.parse import urlsplit

from bandeau.audit.inventory import OWN
from bandeau.audit.judge.base import (
    Case,
    Decide,
    Fact,
    Verdict,
    once,
    unanswered,
    unknown,
    verdict,
)
from bandeau.audit.observe import ASKED
from bandeau.audit.probe import AGENT
from bandeau.wire.cookies import attributes

_DAY = 86_400  # seconds
_ADDRESS = re.compile(r"\b\d{1,3}(\.\d{1,3}){3}\b|\S@[\w-]+\.\w")  # IPv4, or an e-mail's


def _facts(*texts: str) -> list[Fact]:
    return [Fact(text, "endpoints") for text in texts]


def _i1(case: Case, rule: str) -> Verdict:
    """Each decision made one record that says what was decided."""
    if none := unanswered(case, rule):
        return none
    decisions = case.endpoints["decisions"]
    lost = [
        f"of the decision «{one['what']}» there is no record"
        for one in decisions
        if not one["record"]
    ]
    if lost:
        return verdict(case, rule, _facts(*lost), ())
    facts = [
        f"«{one['what']}» granted {one['granted']}, its record says: {one['record']}"
        for one in decisions
        if _recorded(one["record"]) != set(one["granted"])
    ]
    first, again, *rest = decisions
    if first["index"] != again["index"]:
        facts.append(f"one request, sent twice, has the records {first['index']}, {again['index']}")
    places = [first["index"], *(one["index"] for one in rest)]
    if len(set(places)) < len(places):
        facts.append(f"{len(places)} decisions have the records {places}")
    before, now = case.endpoints["sizes"]
    if None not in (before, now) and now - before < len(places):
        facts.append(f"{len(places)} decisions made the log {now - before} entries longer")
    # Others choose meanwhile; where two follow each other at once, the first made no second record.
    if not facts and all(b - a > 1 for a, b in pairwise(places)):
        return unknown(rule, "others-chose")
    return verdict(case, rule, _facts(*facts), (), "endpoints")


def _recorded(record: str) -> set[str]:
    """Return the purposes that a record says were granted."""
    return set(re.findall(r" ([a-z][a-z0-9_-]*)=yes", record.partition(" replaces=")[2]))


def _i2(case: Case, rule: str) -> Verdict:
    """The version of the notice that a record names is given out, with the hash that was logged."""
    if none := unanswered(case, rule):
        return none
    found = case.endpoints["snapshot"]
    if not found:
        return unknown(rule, "needs-server")
    same = found["given"] == found["logged"]
    text = f"what is given out has the hash {found['given']}, logged was {found['logged']}"
    return verdict(case, rule, () if same else _facts(text), (), "endpoints")


def _i4(case: Case, rule: str) -> Verdict:
    """A record has no address and no user agent; that it can be erased is for the server to show."""
    if none := unanswered(case, rule):
        return none
    facts = [
        f"the record of «{one['what']}» says: {one['record']}"
        for one in case.endpoints["decisions"]
        if AGENT.partition(" ")[0] in one["record"] or _ADDRESS.search(one["record"])
    ]
    return verdict(case, rule, _facts(*facts), ()) if facts else unknown(rule, "needs-server")


def _m1(case: Case, rule: str) -> Verdict:
    """Nothing but a request of the site's own page chooses."""
    if none := unanswered(case, rule):
        return none
    facts = [
        f"{one['what']} granted {', '.join(one['granted'])}"
        for one in case.endpoints["forged"]
        if one["granted"]
    ]
    return verdict(case, rule, _facts(*facts), (), "endpoints")


def _m2(case: Case, rule: str) -> Verdict:
    """The cookie of the choice has its attributes and no identifier; a changed one is no choice."""
    if none := unanswered(case, rule):
        return none
    found, line = case.endpoints, str(case.endpoints["cookie"]["line"])
    if not line or case.policy is None:
        return unknown(rule, "needs-server")
    given = attributes(line.encode())
    wanted = {b"httponly": b"", b"samesite": b"lax", b"path": b"/"}
    if found["scheme"] == "https":
        wanted[b"secure"] = b""
    facts = [
        f"the cookie of the choice is not set with {name.decode()}"
        for name, value in wanted.items()
        if name not in given or (value and given[name].lower() != value)
    ]
    if b"domain" in given and case.policy.site.choice_scope != "site":
        facts.append("the cookie of the choice is set for a whole domain")
    age = given.get(b"max-age", b"")[:18]  # no number that matters is longer
    if age.isdigit() and int(age) > case.policy.site.valid_days * _DAY:
        facts.append(f"it asks for {int(age) // _DAY} days, more than is declared")
    if found["cookie"]["alike"] is False:
        facts.append("two visitors with one choice in one minute got different cookies")
    facts += [f"a changed cookie grants {one['granted']}" for one in found["garbled"]["taken"][:3]]
    if not facts and (found["cookie"]["alike"] is None or not found["garbled"]["tried"]):
        return unknown(rule, "not-watched")
    return verdict(case, rule, _facts(*facts), (), "endpoints")


def _m3(case: Case, rule: str) -> Verdict:
    """Through a shared cache everybody gets what is theirs."""
    if none := unanswered(case, rule):
        return none
    facts = [
        f"through a shared cache, {one['path']} made for who is {one['got']} came to who is {one['who']}"
        for one in case.endpoints["cache"]["wrong"]
    ]
    return verdict(case, rule, _facts(*facts), (), "endpoints")


def _m4(case: Case, rule: str) -> Verdict:
    """A purpose that there is not is denied; the store is not for a visitor to stop."""
    if none := unanswered(case, rule):
        return none
    granted = case.endpoints["unknown purpose"]
    if not granted:
        return unknown(rule, "needs-server")
    text = f"a purpose that nobody declared was chosen, and {', '.join(granted)} is granted"
    return verdict(case, rule, _facts(text), ())


def _m5(case: Case, rule: str) -> Verdict:
    """The consent system calls nobody, keeps the choice and its proof, and is not turned on visitors."""
    if none := unanswered(case, rule):
        return none
    walks = ("no-choice", "refuse", "accept", "withdraw")
    facts = _facts(*case.endpoints["turned"])
    prefix = f"{case.policy.site.prefix}/" if case.policy else "/_b/"
    for run in (run for name in walks for run in case.of(name)):
        for one in run.observations:
            first = urlsplit(one.chain[0].removeprefix("response of ")) if one.chain else None
            if first is None or not first.path.startswith(prefix):
                continue
            where = (run.scenario, one.station, one.at, one.chain)
            if one.third and one.kind in ASKED:
                facts.append(Fact(f"it contacts {one.host}", *where))
            kept = one.kind in ("cookie_kept", "storage_kept") and one.detail.get("seconds") != 0
            if kept and one.name not in OWN:
                facts.append(Fact(f"it keeps {one.name}", *where))
    return verdict(case, rule, once(facts), (), "endpoints", *walks)


DECIDE: dict[str, Decide] = {
    "I1": _i1,
    "I2": _i2,
    "I4": _i4,
    "M1": _m1,
    "M2": _m2,
    "M3": _m3,
    "M4": _m4,
    "M5": _m5,
}
