"""States, events and what is known of one visitor's choice; no rule of change (see `moves`)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

TECHNICAL = (
    "technical"  # the built-in purpose that needs no consent (ePrivacy Directive, art. 5(3))
)


class State(StrEnum):
    """Where a visitor stands; superseded and expired are derived and lead back to these."""

    UNDECIDED = "undecided"
    REFUSED = "refused"
    PARTIAL = "partial"
    GRANTED = "granted"


class Event(StrEnum):
    """What a visitor, or the visitor's browser, did."""

    ACCEPT_ALL = "accept_all"
    REFUSE_ALL = "refuse_all"
    CUSTOM = "custom"
    ADD = "add"
    WITHDRAW = "withdraw"
    RENEW = "renew"
    SIGNAL = "signal"


@dataclass(frozen=True, slots=True)
class Consent:
    """The choice in force for one request.

    `granted` and `asks` are purpose ids; `asks` are those the notice has still to ask for (none:
    no first layer). `signal` says that the browser sent `Sec-GPC: 1`. `vendors` are those that a consent
    platform's string lets serve a granted purpose (`tcf.vendor_id`); none where there is no platform.
    `account` says that it is the choice of who is signed in, on all devices, and not this device's.
    """

    state: State
    granted: frozenset[str] = frozenset()
    asks: frozenset[str] = frozenset()
    signal: bool = False
    vendors: frozenset[str] = frozenset()
    account: bool = False

    @property
    def passes(self) -> frozenset[str]:
        """What the gate is asked for: purposes and vendors."""
        return self.granted | self.vendors if self.vendors else self.granted

    def allows(self, purpose: str) -> bool:
        """Say whether a purpose may be pursued now; an unknown purpose may not."""
        return purpose == TECHNICAL or purpose in self.granted

    @property
    def key(self) -> str:
        """The granted purposes in one text, for a cache to tell visitors apart by."""
        return " ".join(sorted(self.granted))


@dataclass(frozen=True, slots=True)
class Published:
    """What has to be remembered of a policy once visitors have answered it.

    `order` is the order of its purposes (a cookie counts them), `fingerprints` one text per purpose.
    """

    digest: str
    order: tuple[str, ...]
    fingerprints: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Decision:
    """A choice as an event, as it is recorded.

    `minute` counts minutes since 1970 UTC, no finer. `snapshot` is the log index of what was shown,
    `replaces` that of the decision which the visitor's receipt names.
    """

    minute: int
    event: Event
    choices: tuple[tuple[str, bool], ...]
    language: str
    signal: bool
    snapshot: int
    layer: str = "api"  # where it was made: first, settings, place (at a feature), api, tcf
    device: str = "unknown"  # phone, tablet, desktop, unknown
    replaces: int | None = None
