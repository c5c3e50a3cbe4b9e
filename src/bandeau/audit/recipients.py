"""Who receives data: each third party that was asked, what it got, what for, and what brings it.

Hosts are told together where one recipient is declared or known for them, where they are of one
registrable domain, or where they begin alike and each was met in one load only: names that are made
for each visit. What servers pass on among themselves is not seen.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

from bandeau.audit import known
from bandeau.audit.inventory import Inventory
from bandeau.audit.observe import ASKED, LONG, Observation, host_of, site_of
from bandeau.audit.scenario import SEED, Run

WHEN = (
    "before any choice",
    "after a refusal",
    "after accepting",
    "in a test that did not come to its end",
)
_REFUSED = ("refuse", "keyboard", "settings", "dismiss", "return")  # walks that grant nothing
_UNASKED = ("no-choice", "gpc", "small", "dirty")  # walks without a choice


@dataclass(slots=True)
class _Party:
    """One who was asked; dictionaries keep the order in which things were met."""

    owners: list[str]
    source: str  # where the owner tells of it, for who is known and not declared
    when: int = len(WHEN) - 1
    hosts: dict[str, set[str]] = field(default_factory=dict)
    purposes: dict[str, None] = field(default_factory=dict)
    page: bool = False
    cookies: dict[str, None] = field(default_factory=dict)
    identifiers: dict[str, None] = field(default_factory=dict)
    keeps: dict[str, None] = field(default_factory=dict)
    writes: dict[str, None] = field(default_factory=dict)
    ways: dict[tuple[str, ...], None] = field(default_factory=dict)


def recipients(url: str, runs: Sequence[Run], inventory: Inventory) -> list[dict[str, Any]]:
    """Return a row for each party, the earliest first.

    owners        who is declared, else known; empty where nobody is
    source        the owner's page that says so, of who is known and not declared; else ""
    hosts         the name that hosts are told by, to the hosts
    when          the first of WHEN in which it was met
    purposes      what it needs consent for, as declared, else as known; empty where neither
    page          whether an address of the site's pages travelled in a request's address
    identifiers   names of the site's own cookies whose value travelled in one
    cookies       names of cookies that went to it
    keeps         names of what it keeps on the device
    writes        names of what its scripts keep there under the site's own name
    ways          what in the site's own pages brings it: steps of chains, as observations have them
    """
    names = folded(runs)
    found: dict[str, _Party] = {}
    for run in runs:
        pages = {url, *(one.name for one in run.observations if _is_page(one))}
        mine = {one.detail["digest"]: one.name for one in run.observations if _is_own_cookie(one)}
        for one, host in _of_others(run, inventory):
            declared, whose, name = inventory.recipients(host), known.of_host(host), names[host]
            owners = declared or ([whose.owner] if whose else [])
            key = ", ".join(owners) or (site_of(host) if name == host else name)
            source = whose.source if whose and not declared else ""
            party = found.setdefault(key, _Party(owners, source))
            party.hosts.setdefault(name, set()).add(host)
            party.when = min(party.when, _when(run, one.station))
            if one.kind == "cookie_sent":
                party.cookies[one.name] = None
            elif one.kind not in ASKED:
                (party.keeps if one.third else party.writes)[one.name] = None
            else:
                needs = inventory.purposes_of_host(one)
                needs = needs or ([frozenset((whose.purpose,))] if whose else [])
                party.purposes |= dict.fromkeys(inventory.titles(needs))
                party.page |= any(page in unquote(one.name) for page in pages)
                party.identifiers |= {
                    mine[v]: None for v in one.detail.get("values", ()) if v in mine
                }
                party.ways |= {way: None for way in [_way(one.chain, url)] if way}
    return [
        {
            "owners": one.owners,
            "source": one.source,
            "hosts": {name: sorted(hosts) for name, hosts in sorted(one.hosts.items())},
            "when": WHEN[one.when],
            "purposes": list(one.purposes),
            "page": one.page,
            "identifiers": list(one.identifiers),
            "cookies": list(one.cookies),
            "keeps": list(one.keeps),
            "writes": list(one.writes),
            "ways": list(one.ways),
        }
        for one in sorted(found.values(), key=lambda one: one.when)
    ]


def folded(runs: Sequence[Run]) -> dict[str, str]:
    """Return the name that each third party's host is told by: its own, or `start-….rest`."""
    loads: dict[str, set[tuple[str, int, str]]] = defaultdict(set)
    for run in runs:
        for one in run.observations:
            if one.third and one.kind in ASKED:
                loads[one.host].add((run.scenario, run.number, one.station))
    alike: dict[str, list[str]] = defaultdict(list)
    for host, met in loads.items():
        label, _, rest = host.partition(".")
        start = label.rpartition("-")[0]
        alike[f"{start}-….{rest}" if start and len(met) == 1 else host].append(host)
    return {
        host: name if len(hosts) > 1 else host for name, hosts in alike.items() for host in hosts
    }


def _of_others(run: Run, inventory: Inventory) -> Iterator[tuple[Observation, str]]:
    """Return what was asked of third parties, sent to them and kept by them, each with their host."""
    asked = {
        one.host
        for one in run.observations
        if one.kind in ASKED and one.third and one.host and not inventory.own(one.host)
    }
    for one in run.observations:
        host = one.host if one.kind in ASKED else ""
        if one.kind == "cookie_sent" and one.third and one.name != SEED:
            host = host_of(str(one.detail.get("to")))
        elif one.kind in ("cookie_kept", "storage_kept"):
            host = host_of(one.chain[0].removeprefix("response of ")) if one.chain else ""
        if host in asked:
            yield one, host


def _is_page(one: Observation) -> bool:
    return one.kind == "request" and not one.third and one.detail.get("type") == "Document"


def _is_own_cookie(one: Observation) -> bool:
    return one.kind == "cookie_kept" and not one.third and one.detail.get("size", 0) >= LONG


def _when(run: Run, station: str) -> int:
    """Return the place in WHEN of what was seen at a station."""
    if station in ("arrive", "first") or (run.scenario in _UNASKED and station != "against"):
        return 0
    if not run.completed:  # a button may have been pressed; that a choice was kept was not seen
        return 3
    refused = run.scenario in _REFUSED or station.startswith("withdraw-")
    return 1 if refused else 2


def _way(chain: Sequence[str], url: str) -> tuple[str, ...]:
    """Return the steps of a chain that are in the site's own pages and files."""
    home = site_of(host_of(url))
    return tuple(step for step in chain if site_of(host_of(step.partition(" ")[0])) == home)
