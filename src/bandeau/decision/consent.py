"""From a decoded choice to the consent of a request: superseded policies and the signal; no bytes."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

from bandeau.decision.cookie import POLICY_DIGITS, Choice
from bandeau.decision.model import Consent, Event, Published, State
from bandeau.decision.moves import move, state_of


def consent_of(
    choice: Choice | None, current: Published, published: Mapping[str, Published], *, signal: bool
) -> Consent:
    """Return what holds under the current policy.

    A choice about an earlier policy is superseded: its refusals stay, a grant stays where the
    purpose's fingerprint is unchanged, only the rest is asked again (rules H3). Without a choice
    the signal refuses (rule L1); against a choice it changes nothing (rule L2).
    """
    if choice is None:
        return _without_choice(current.order, signal)
    purposes = frozenset(current.order)
    granted, decided = choice.granted & purposes, choice.decided & purposes
    if choice.policy != current.digest:
        before = published[choice.policy[:POLICY_DIGITS]].fingerprints
        changed = {p for p in granted if before.get(p) != current.fingerprints[p]}
        granted, decided = granted - changed, decided - changed
    if not decided and purposes:
        return Consent(State.UNDECIDED, asks=purposes, signal=signal)
    return Consent(state_of(granted, purposes), granted, purposes - decided, signal=signal)


@lru_cache(maxsize=64)
def _without_choice(order: tuple[str, ...], signal: bool) -> Consent:  # noqa: FBT001 (a cache key)
    purposes = frozenset(order)
    if not signal:
        return Consent(State.UNDECIDED, asks=purposes)
    state, granted = move(State.UNDECIDED, Event.SIGNAL, frozenset(), frozenset(), purposes)
    return Consent(state, granted, signal=True)
