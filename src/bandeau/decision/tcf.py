"""What the string of a consent platform comes to under a policy; not its format (`wire.tcf`).

A string opens what two things have opened: it consents, and the register says so. It is unsigned,
so what it grants passes only once it is recorded; what it refuses holds at once.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from functools import lru_cache

from bandeau.decision.cookie import Choice
from bandeau.decision.model import TECHNICAL, Consent, Published, State
from bandeau.decision.moves import state_of
from bandeau.policy.model import Policy
from bandeau.wire import tcf
from bandeau.wire.tcf import TCString

_DAY = 1440  # minutes
_TENTHS = 600  # of seconds, in a minute
_REMEMBERED = 128  # strings, of 32 KiB at most: 4 MiB


@dataclass(frozen=True, slots=True)
class Answer:
    """What a string grants in the policy's words: its purposes, vendors (`vendor_id`), minute."""

    granted: frozenset[str]
    vendors: frozenset[str]
    minute: int


@dataclass(frozen=True, slots=True)
class Unrecorded:
    """What a string has changed that is not on record: what was recorded, and what it is now."""

    before: Consent
    after: Consent


def vendor_id(vendor: int, purpose: str) -> str:
    """Return what is granted where a vendor of the TCF may serve a purpose of the policy."""
    return f"{vendor}/{purpose}"


class Platform:
    """A policy's mapping of purposes and vendors, made ready to be asked."""

    def __init__(self, policy: Policy) -> None:
        self._purposes = {p.id: p for p in policy.purposes if p.id != TECHNICAL}
        self._valid = policy.site.valid_days * _DAY
        self._vendors = sorted(
            {
                (service.tcf_vendor, purpose)
                for service in policy.services
                for purpose in (service.needs_any or (service.purpose or "",))
                if service.tcf_vendor
            }
        )
        self._read = lru_cache(maxsize=_REMEMBERED)(self._answer)

    def vendors(self, granted: Collection[str]) -> frozenset[str]:
        """Return all vendors that may serve these purposes at most."""
        return frozenset(
            vendor_id(one, purpose) for one, purpose in self._vendors if purpose in granted
        )

    def answer(self, values: Collection[bytes], now: int) -> Answer | None:
        """Return what the values of the cookie say; `now` is in minutes since 1970 UTC. Never raises.

        Several that differ are none, as is one that is too old, or of a day to come.
        """
        found = self._read(*values) if len(values) == 1 else None
        # They name the day only, and a visitor's clock may be some hours ahead (TCF 2.2, LastUpdated).
        if found is None or not now - self._valid < found.minute <= now + _DAY:
            return None
        return found

    def consent(
        self,
        answer: Answer | None,
        choice: Choice | None,
        current: Published,
        recorded: Consent,
    ) -> tuple[Consent, Unrecorded | None]:
        """Return what holds, and what is to be recorded before more does.

        `recorded` is what our own cookie, `choice`, comes to under the `current` policy.
        """
        if answer is None:
            without = State.REFUSED if recorded.signal else State.UNDECIDED
            return Consent(without, signal=recorded.signal), None
        if choice and choice.policy != current.digest and answer.minute <= choice.minute:
            # A string of before that record answers what it meant then: nothing widens (rules H3).
            answer = replace(answer, granted=answer.granted & recorded.granted)
        purposes = frozenset(current.order)
        after = self._of(answer.granted, answer.vendors, purposes, recorded)
        if choice and answer.granted == recorded.granted:
            return after, None
        holds = self._of(answer.granted & recorded.granted, answer.vendors, purposes, recorded)
        if answer.granted and not recorded.granted:
            holds = replace(holds, state=recorded.state)
        before = replace(recorded, vendors=self.vendors(recorded.granted))
        return holds, Unrecorded(before, after)

    @staticmethod
    def _of(
        granted: frozenset[str],
        vendors: frozenset[str],
        purposes: frozenset[str],
        recorded: Consent,
    ) -> Consent:
        serving = frozenset(one for one in vendors if one.partition("/")[2] in granted)
        return Consent(
            state_of(granted, purposes), granted, signal=recorded.signal, vendors=serving
        )

    def _answer(self, value: bytes) -> Answer | None:
        string = tcf.decode(value.decode("latin-1"))
        if string is None:
            return None
        granted = frozenset(p for p in self._purposes if self._consented(string, p))
        vendors = frozenset(
            vendor_id(one, purpose)
            for one, purpose in self._vendors
            if purpose in granted and self._serves(string, one, purpose)
        )
        return Answer(granted, vendors, string.updated // _TENTHS)

    def _consented(self, string: TCString, purpose: str) -> bool:
        """Say whether all that a purpose is mapped to was consented to; an interest is no consent."""
        declared = self._purposes[purpose]
        return all(one in string.purposes for one in declared.tcf_purposes) and all(
            one in string.special_features for one in declared.tcf_special_features
        )

    def _serves(self, string: TCString, vendor: int, purpose: str) -> bool:
        """Say whether consent lets a vendor serve a purpose.

        A publisher may have forbidden it, or required legitimate interest, for which nobody was asked.
        """
        hidden = string.disclosed is not None and vendor not in string.disclosed
        if hidden or vendor not in string.vendors:
            return False
        mapped = self._purposes[purpose].tcf_purposes
        return not any(
            found.kind != tcf.REQUIRE_CONSENT
            and found.purpose in mapped
            and vendor in found.vendors
            for found in string.restrictions
        )
