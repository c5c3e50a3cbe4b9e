"""The one table of states and events; only here does a state change.

Two rules stand behind it. What is granted after an event is computed from what was granted before
and what the event names, never from what a page claims to know. And nothing widens a choice but
accept_all, custom and add.
"""

from __future__ import annotations

from functools import lru_cache

from bandeau.decision.model import Event, State

Purposes = frozenset[str]

_ANY = frozenset({State.REFUSED, State.PARTIAL, State.GRANTED})
_OPENED = frozenset({State.PARTIAL, State.GRANTED})
_NARROWED = frozenset({State.REFUSED, State.PARTIAL})
_REFUSED = frozenset({State.REFUSED})
_PARTIAL = frozenset({State.PARTIAL})
_GRANTED = frozenset({State.GRANTED})

# What may follow; a cell that is missing cannot happen.
MOVES: dict[tuple[State, Event], frozenset[State]] = {
    (State.UNDECIDED, Event.ACCEPT_ALL): _GRANTED,
    (State.UNDECIDED, Event.REFUSE_ALL): _REFUSED,
    (State.UNDECIDED, Event.CUSTOM): _ANY,
    (State.UNDECIDED, Event.ADD): _OPENED,
    (State.UNDECIDED, Event.SIGNAL): _REFUSED,
    (State.REFUSED, Event.ACCEPT_ALL): _GRANTED,
    (State.REFUSED, Event.REFUSE_ALL): _REFUSED,
    (State.REFUSED, Event.CUSTOM): _ANY,
    (State.REFUSED, Event.ADD): _OPENED,
    (State.REFUSED, Event.RENEW): _REFUSED,
    (State.REFUSED, Event.SIGNAL): _REFUSED,
    (State.PARTIAL, Event.ACCEPT_ALL): _GRANTED,
    (State.PARTIAL, Event.CUSTOM): _ANY,
    (State.PARTIAL, Event.ADD): _OPENED,
    (State.PARTIAL, Event.WITHDRAW): _NARROWED,
    (State.PARTIAL, Event.RENEW): _PARTIAL,
    (State.PARTIAL, Event.SIGNAL): _PARTIAL,  # an explicit choice stands against the signal (L2)
    (State.GRANTED, Event.CUSTOM): _ANY,
    (State.GRANTED, Event.WITHDRAW): _NARROWED,
    (State.GRANTED, Event.RENEW): _GRANTED,
    (State.GRANTED, Event.SIGNAL): _GRANTED,
}


class ImpossibleMoveError(Exception):
    """Our own mistake: an event was made of a visitor's post that cannot happen in this state."""

    def __init__(self, state: State, event: Event, named: Purposes) -> None:
        super().__init__(f"event {event} cannot happen when {state} (purposes: {sorted(named)})")
        self.state, self.event, self.named = state, event, named


def state_of(granted: Purposes, purposes: Purposes) -> State:
    """Name the state of an answered choice: nothing granted, everything, or some."""
    if not granted:
        return State.REFUSED
    return State.GRANTED if granted == purposes else State.PARTIAL


@lru_cache(maxsize=1024)
def move(
    state: State, event: Event, granted: Purposes, named: Purposes, purposes: Purposes
) -> tuple[State, Purposes]:
    """Return the state and the grants after an event that names some of the policy's purposes."""
    named &= purposes
    after = {
        Event.ACCEPT_ALL: purposes,
        Event.REFUSE_ALL: frozenset[str](),
        Event.CUSTOM: named,
        Event.ADD: granted | named,
        Event.WITHDRAW: granted - named,
        Event.RENEW: granted,
        Event.SIGNAL: granted,
    }[event]
    reached = state_of(after, purposes)
    if reached not in MOVES.get((state, event), ()):
        raise ImpossibleMoveError(state, event, named)
    return reached, after


def event_of(
    choice: str, state: State, granted: Purposes, named: Purposes
) -> tuple[Event, Purposes]:
    """Turn a posted `choice` (all, none, save, add) into the event that it is in this state.

    `none` after a grant is a withdrawal, and so is `save` when it only takes away; what changes
    nothing renews. Returned with the purposes that the event names.
    """
    decided = state is not State.UNDECIDED
    if choice == "all":
        return (Event.RENEW, granted) if state is State.GRANTED else (Event.ACCEPT_ALL, named)
    if choice == "none":
        return (Event.WITHDRAW, granted) if granted else (Event.REFUSE_ALL, frozenset())
    wanted = granted | named if choice == "add" else named
    if decided and wanted == granted:
        return Event.RENEW, granted
    if choice == "add":
        return Event.ADD, named
    if wanted < granted:
        return Event.WITHDRAW, granted - wanted
    return Event.CUSTOM, wanted
