"""States and events: every cell of the table, the forbidden ones too."""

from __future__ import annotations

import contextlib
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bandeau.decision.model import Event, State
from bandeau.decision.moves import MOVES, ImpossibleMoveError, event_of, move, state_of

ALL = frozenset({"social", "ads", "video"})
GRANTS = {
    State.UNDECIDED: frozenset[str](),
    State.REFUSED: frozenset[str](),
    State.PARTIAL: frozenset({"social"}),
    State.GRANTED: ALL,
}
NAMED = [frozenset[str](), frozenset({"social"}), frozenset({"ads"}), ALL, frozenset({"unknown"})]


@pytest.mark.parametrize(("state", "event"), list(itertools.product(State, Event)))
def test_an_event_leads_where_the_table_says_or_nowhere(state: State, event: Event) -> None:
    for named in NAMED:
        if (state, event) not in MOVES:
            with pytest.raises(ImpossibleMoveError):
                move(state, event, GRANTS[state], named, ALL)
            continue
        with contextlib.suppress(
            ImpossibleMoveError
        ):  # this set of purposes makes it another event
            reached, granted = move(state, event, GRANTS[state], named, ALL)
            assert reached in MOVES[state, event]
            assert reached == state_of(granted, ALL)
            assert granted <= ALL


def test_every_cell_of_the_table_can_happen() -> None:
    reached = set()
    for (state, event), named in itertools.product(MOVES, NAMED):
        try:
            reached.add((state, event, move(state, event, GRANTS[state], named, ALL)[0]))
        except ImpossibleMoveError:
            continue
    assert reached == {(*cell, after) for cell, afters in MOVES.items() for after in afters}


@pytest.mark.parametrize("event", [Event.REFUSE_ALL, Event.WITHDRAW, Event.RENEW, Event.SIGNAL])
def test_only_three_events_widen_a_choice(event: Event) -> None:
    for state, named in itertools.product(State, NAMED):
        if (state, event) in MOVES:
            try:
                _, granted = move(state, event, GRANTS[state], named, ALL)
            except ImpossibleMoveError:
                continue
            assert granted <= GRANTS[state]


CHOICES = st.sampled_from(["all", "none", "save", "add"])
SUBSETS = st.frozensets(st.sampled_from(sorted(ALL)))


@given(CHOICES, SUBSETS, SUBSETS, st.booleans())
def test_every_post_makes_an_event_that_can_happen(
    choice: str,
    granted: frozenset[str],
    named: frozenset[str],
    decided: bool,
) -> None:
    state = state_of(granted, ALL) if decided or granted else State.UNDECIDED
    if choice == "add" and not named - granted:
        return  # answered as unreadable before it is an event
    event, about = event_of(choice, state, granted, named)
    _, after = move(state, event, granted, about, ALL)
    expected = {"all": ALL, "none": frozenset(), "save": named, "add": granted | named}
    assert after == expected[choice]


def test_taking_away_is_a_withdrawal_and_changing_nothing_renews() -> None:
    granted = frozenset({"social", "ads"})
    assert event_of("none", State.PARTIAL, granted, frozenset())[0] is Event.WITHDRAW
    assert event_of("save", State.PARTIAL, granted, frozenset({"ads"}))[0] is Event.WITHDRAW
    assert event_of("save", State.PARTIAL, granted, granted)[0] is Event.RENEW
    assert event_of("all", State.GRANTED, ALL, frozenset())[0] is Event.RENEW
    assert event_of("none", State.REFUSED, frozenset(), frozenset())[0] is Event.REFUSE_ALL
