"""What the owner declared, as the inspector reads it: not the gate's reading, which it does not trust.

With no policy nothing is declared, and only what is certain without one is told apart.
"""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import urlsplit

from bandeau.audit.observe import Observation, file_of
from bandeau.decision.model import TECHNICAL
from bandeau.policy import presets
from bandeau.policy.model import Policy, Service, Tracker
from bandeau.wire.hosts import matches

Purposes = frozenset[str]
# The cookies of the consent system itself: the choice, its receipt, an objection.
OWN = frozenset(
    f"{prefix}bandeau{name}"
    for prefix in ("", "__Host-", "__Secure-")
    for name in ("", "-audience", "-receipt")
)
_AREAS = {
    "local_storage": "local storage key",
    "session_storage": "session storage key",
    "indexed_db": "database",
    "service_worker": "service worker",
}
PURPOSES = {  # the built-in ones, as one says what something needs consent for
    "ads": "advertising",
    "audience": "audience measurement",
    "profiles": "creating profiles",
    "social": "social networks",
    "video": "videos",
}
_SKEW_DAYS = 1.0  # between what is declared and what is set


class Inventory:
    """Answers of what a policy declares."""

    def __init__(self, policy: Policy | None) -> None:
        self.policy = policy
        self._services = {one.id: one for one in policy.services} if policy else {}
        self._presets = presets.trackers(policy.site.presets) if policy else ()

    @property
    def own_hosts(self) -> tuple[str, ...]:
        """The publisher's hosts beyond the site's own."""
        return tuple(one.host for one in self.policy.site.own_hosts) if self.policy else ()

    def own(self, host: str) -> bool:
        """Say whether a host is declared as the publisher's own."""
        return any(matches(one, host) for one in self.own_hosts)

    def trackers(self, one: Observation) -> list[Tracker]:
        """Return every declaration that fits a kept item."""
        if self.policy is None:
            return []
        kind = _kind(one)
        return [t for t in self.policy.trackers if t.kind == kind and _named(t.name, one.name)]

    def purposes_of_item(self, one: Observation) -> list[Purposes] | None:
        """Return, for each declaration of an item, the purposes of which any opens it; None: undeclared.

        An item that is declared twice needs all of its declarations to be open.
        """
        if _kind(one) == "cookie" and (
            one.name in OWN or any(_named(t.name, one.name) for t in self._presets)
        ):
            return [frozenset((TECHNICAL,))]
        found = [self._of_tracker(tracker) for tracker in self.trackers(one)]
        if not found and one.third:
            found = [_of_service(s) for s in self._services.values() if self._opened(s, one)]
        return found or None

    def purposes_of_host(self, one: Observation) -> list[Purposes] | None:
        """Return, for each service that was asked, the purposes of which any opens it; None: undeclared.

        What a chain brings that is declared as open belongs to the chain (a slot, or the whole page).
        """
        found = [
            _of_service(service)
            for service in self._services.values()
            if any(matches(declared.host, one.host) for declared in service.hosts)
            or self._opened(service, one)
        ]
        return found or None

    def _opened(self, service: Service, one: Observation) -> bool:
        """Say whether something came by a service that may bring anybody."""
        if service.open != "frame":
            return service.open == "page" and one.third
        paths = [urlsplit(file_of(step)).path for step in one.chain if step.startswith("http")]
        return any(
            path.startswith(route[:-1]) if route.endswith("*") else path == route
            for route in service.routes
            for path in paths
        )

    def recipients(self, host: str) -> list[str]:
        """Return who is declared to receive what is sent to a host."""
        return [
            service.recipient
            for service in self._services.values()
            if any(matches(declared.host, host) for declared in service.hosts)
        ]

    def receivers(self, one: Observation) -> list[str]:
        """Return the names under which those are declared who receive a request."""
        return [
            name
            for service in self._services.values()
            if any(matches(declared.host, one.host) for declared in service.hosts)
            or self._opened(service, one)
            for name in (service.recipient, service.legal_name)
            if name
        ]

    def titles(self, needs: Iterable[Purposes]) -> list[str]:
        """Return what declarations need consent for, in English where the owner has words for it."""
        names = {name for one in needs for name in one if name not in ("", TECHNICAL)}
        return sorted(self.title(name) for name in names)

    def title(self, name: str) -> str:
        """Return a purpose's title by its id."""
        declared = (
            {one.id: one.text.get("en") for one in self.policy.purposes} if self.policy else {}
        )
        words = declared.get(name)
        return words.title if words else PURPOSES.get(name, name)

    def told(self, needs: list[Purposes] | None) -> str:
        """Say what something was declared to need."""
        if needs is None:
            return "not declared"
        return f"needs consent for {' and '.join(self.titles(needs))}"

    def too_long(self, one: Observation) -> float | None:
        """Return the declared days where an item asks for more; None where it does not."""
        seconds = one.detail.get("seconds")
        declared = [t.max_age_days for t in self.trackers(one)]
        if not isinstance(seconds, int) or not declared:
            return None
        longest = max((days or 0) for days in declared)
        return float(longest) if seconds / 86_400 > longest + _SKEW_DAYS else None

    def exempt(self, one: Observation) -> bool:
        """Say whether an item is declared as exempt audience measurement."""
        return any(tracker.exempt for tracker in self.trackers(one))

    def _of_tracker(self, tracker: Tracker) -> Purposes:
        if tracker.exempt:
            return frozenset((TECHNICAL,))
        if tracker.purpose:
            return frozenset((tracker.purpose,))
        return _of_service(self._services[tracker.service or ""])


def allowed(needs: Iterable[Purposes], granted: Purposes, *, every: bool) -> bool:
    """Say whether declarations are open under what was granted: every one of them, or any."""
    open_ = [TECHNICAL in one or bool(one & granted) for one in needs]
    return all(open_) if every else any(open_)


def _of_service(service: Service) -> Purposes:
    return frozenset(service.needs_any or (service.purpose or "",))


def item_of(one: Observation) -> str:
    """Return what a kept or sent item is called: its kind, name and host."""
    kind = _kind(one)
    return f"{_AREAS.get(kind, kind)} {one.name} of {one.host}"


def _kind(one: Observation) -> str:
    area = one.detail.get("area")
    return str(area) if area else "cookie"


def _named(declared: str, name: str) -> bool:
    return name.startswith(declared[:-1]) if declared.endswith("*") else name == declared
