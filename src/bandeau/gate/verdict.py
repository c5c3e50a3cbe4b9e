"""What passes under a choice: trackers by name, hosts by kind, routes by path; compiled once.

`Rules` holds the policy as tables; `Allowance` is what is left of them for one set of granted
purposes. There are few such sets in practice, so each is computed once and kept.
"""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass, field
from functools import lru_cache
from urllib.parse import unquote

from bandeau.decision.model import TECHNICAL
from bandeau.decision.tcf import vendor_id
from bandeau.policy.model import Feature, Policy, Service, Tracker
from bandeau.wire.hosts import parents, target

KINDS = ("script", "style", "image", "font", "media", "frame", "connect", "object", "form")
STORAGE = ("local_storage", "session_storage", "indexed_db", "cache", "service_worker")
Need = tuple[
    frozenset[str], ...
]  # all of these must hold; each holds when any of its purposes is granted
_EVERYBODY: Need = ()


@dataclass(frozen=True, eq=False)
class Names:
    """Permitted names of one kind of tracker: exact ones, and starts of names (written `start*`)."""

    exact: frozenset[str] = frozenset()
    starts: tuple[str, ...] = ()

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and (name in self.exact or name.startswith(self.starts))

    def listed(self) -> list[str]:
        """Return them as the policy writes them, in one fixed order."""
        return sorted([*self.exact, *(start + "*" for start in self.starts)])


@dataclass(frozen=True, eq=False)
class Allowance:
    """What passes while exactly these purposes are granted, and these vendors may serve them."""

    granted: frozenset[str]
    names: dict[str, Names]
    hosts: dict[str, tuple[str, ...]]  # kind -> host patterns in a fixed order, own origins apart
    opened: frozenset[str]  # kinds for which a granted `open = "page"` service admits any host
    data: frozenset[str]  # data categories of the granted purposes
    _own: frozenset[str] = frozenset()
    _sets: dict[str, frozenset[str]] = field(default_factory=dict)

    def permits(self, kind: str, name: str) -> bool:
        """Say whether a first-party tracker may be written and read."""
        return name in self.names[kind]

    def reachable(self) -> tuple[str, ...]:
        """Return the host patterns that may be contacted for anything; "*" alone for every host."""
        return ("*",) if self.opened else tuple(sorted(self._own | self._sets["any"]))

    def allows(self, host: str, kind: str) -> bool:
        """Say whether the page may contact a host for a kind of thing; kind "any": for anything."""
        if host in self._own or (kind in self.opened or (kind == "any" and self.opened)):
            return bool(host)
        patterns = self._sets.get(kind, frozenset())
        return any(pattern in patterns for pattern in parents(host))


class Rules:
    """A policy made ready to be asked. `holds(granted)` gives the Allowance."""

    def __init__(self, policy: Policy) -> None:
        self.policy = policy
        self.purposes = frozenset(policy.consentable)
        self.own = frozenset(target(origin, origin).host for origin in policy.site.origins)
        self._needs = {service.id: _need_of(service) for service in policy.services}
        self._trackers = self._collect_trackers()
        self._exempt = {
            kind: frozenset(t.name for t in policy.trackers if t.kind == kind and t.exempt)
            for kind in ("cookie", *STORAGE)
        }
        self._hosts = self._collect_hosts()
        self.allowance = lru_cache(maxsize=256)(self._allowance)
        self._routed = any(f.routes for f in policy.features) or any(
            s.routes for s in policy.services
        )

    def held_by(self, need: Need, granted: frozenset[str]) -> bool:
        """Say whether a need is met."""
        return all(TECHNICAL in any_of or any_of & granted for any_of in need)

    def service_of(self, host: str, kind: str) -> Service | None:
        """Return the service whose host this is, the one with the closest pattern first."""
        for pattern in parents(host):
            for service in self.policy.services:
                if any(h.host == pattern and kind in h.kinds for h in service.hosts):
                    return service
        return None

    def closed(self, path: str, granted: frozenset[str]) -> Feature | Service | None:
        """Return the feature or service that keeps a path closed, or None where it is open."""
        if not self._routed:
            return None
        spellings = _spellings(path)
        for feature in self.policy.features:
            need = tuple(frozenset((purpose,)) for purpose in feature.needs)
            if _routed(feature.routes, spellings) and not self.held_by(need, granted):
                return feature
        for service in self.policy.services:
            if _routed(service.routes, spellings) and not self.held_by(
                self._needs[service.id], granted
            ):
                return service
        return None

    def frame_of(self, path: str) -> Service | None:
        """Return the service with `open = "frame"` that a path belongs to."""
        if not self._routed:
            return None
        spellings = _spellings(path)
        return next(
            (s for s in self.policy.services if s.open == "frame" and _routed(s.routes, spellings)),
            None,
        )

    def _allowance(self, granted: frozenset[str], *, objected: bool = False) -> Allowance:
        """Return what passes; `objected` says that exempt trackers are objected to (rule J5)."""
        hosts: dict[str, tuple[str, ...]] = {}
        for kind in KINDS:
            table = self._hosts[kind]
            hosts[kind] = tuple(h for h in sorted(table) if self.held_by(table[h], granted))
        names = {}
        for kind, needs in self._trackers.items():
            barred = self._exempt[kind] if objected else frozenset()
            passing = [
                name for name in needs if name not in barred and self.held_by(needs[name], granted)
            ]
            names[kind] = Names(
                frozenset(name for name in passing if not name.endswith("*")),
                tuple(sorted(name[:-1] for name in passing if name.endswith("*"))),
            )
        opened = {
            kind
            for service in self.policy.services
            if service.open == "page" and self.held_by(self._needs[service.id], granted)
            for host in service.hosts
            for kind in host.kinds
        }
        sets = {kind: frozenset(patterns) for kind, patterns in hosts.items()}
        sets["any"] = frozenset().union(*sets.values())
        data = {item for p in self.policy.purposes if p.id in granted for item in p.data}
        return Allowance(granted, names, hosts, frozenset(opened), frozenset(data), self.own, sets)

    def _collect_trackers(self) -> dict[str, dict[str, Need]]:
        """Declared twice, a tracker needs all its purposes (SAN-2022-023, paragraph 51; rule F3)."""
        found: dict[str, dict[str, Need]] = {kind: {} for kind in ("cookie", *STORAGE)}
        for tracker in self.policy.trackers:
            if tracker.party == "first":
                names = found[tracker.kind]
                names[tracker.name] = names.get(tracker.name, _EVERYBODY) + self._need_of(tracker)
        return found

    def _need_of(self, tracker: Tracker) -> Need:
        if tracker.exempt:
            return _EVERYBODY
        if tracker.service:
            return self._needs[tracker.service]
        return (frozenset((tracker.purpose or "",)),)

    def _collect_hosts(self) -> dict[str, dict[str, Need]]:
        """A host of two services needs both; own kinds of a host need nothing."""
        found: dict[str, dict[str, Need]] = defaultdict(dict)
        for service in self.policy.services:
            for host in service.hosts:
                for kind in host.kinds:
                    needs = found[kind]
                    needs[host.host] = needs.get(host.host, _EVERYBODY) + self._needs[service.id]
        for host in self.policy.site.own_hosts:
            for kind in host.kinds:
                found[kind][host.host] = _EVERYBODY
        return {kind: found[kind] for kind in KINDS}


def _need_of(service: Service) -> Need:
    purposes = service.needs_any or (service.purpose or "",)
    vendor = service.tcf_vendor
    return (frozenset(vendor_id(vendor, one) if vendor else one for one in purposes),)


def routed(routes: tuple[str, ...], path: str) -> bool:
    """Say whether a path, in any spelling of it, is one of these routes."""
    return _routed(routes, _spellings(path))


def _routed(routes: tuple[str, ...], spellings: frozenset[str]) -> bool:
    for route in routes:
        start = route.removesuffix("*").casefold()
        for path in spellings:
            if path == start or (route.endswith("*") and path.startswith(start)):
                return True
    return False


@lru_cache(maxsize=1024)
def _spellings(path: str) -> frozenset[str]:
    """Return a path in every spelling that some server reads as the same one.

    A closed route must stay closed for `/Comments`, `//comments`, `/a/../comments`, `/%63omments`
    and `/comments;x`; a spelling too many closes too much, one too few opens what is closed.
    """
    plain = unquote(path).replace("\\", "/")
    found = {path, plain}
    found.add(re.sub(r";[^/]*", "", plain))
    for spelling in tuple(found):
        parts: list[str] = []
        for part in re.sub(r"/{2,}", "/", spelling).split("/")[1:]:
            if part == "..":
                parts = parts[:-1]
            elif part != ".":
                parts.append(part)
        found.add("/" + "/".join(parts))
    return frozenset(spelling.casefold() for spelling in found)
