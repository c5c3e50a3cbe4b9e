"""From a choice to the consent of a request."""

from __future__ import annotations

from bandeau.decision.consent import consent_of
from bandeau.decision.cookie import Choice
from bandeau.decision.model import Published, State
from bandeau.decision.signals import opted_out

OLD = Published("a" * 64, ("social", "ads"), {"social": "s1", "ads": "a1"})
NEW = Published("b" * 64, ("social", "ads", "video"), {"social": "s1", "ads": "a2", "video": "v1"})
KNOWN = {p.digest[:10]: p for p in (OLD, NEW)}


def of_old(*granted: str) -> Choice:
    return Choice(OLD.digest, frozenset(granted), frozenset(OLD.order), 1)


def test_without_a_choice_everything_is_asked_and_nothing_granted() -> None:
    consent = consent_of(None, NEW, KNOWN, signal=False)
    assert (consent.state, consent.granted, consent.asks) == (
        State.UNDECIDED,
        frozenset(),
        frozenset(NEW.order),
    )
    assert consent.allows("technical")
    assert not consent.allows("social")
    assert not consent.allows("unknown")


def test_the_signal_refuses_without_asking() -> None:
    consent = consent_of(None, NEW, KNOWN, signal=True)
    assert (consent.state, consent.asks, consent.signal) == (State.REFUSED, frozenset(), True)


def test_an_explicit_choice_stands_against_the_signal() -> None:
    consent = consent_of(of_old("social"), OLD, KNOWN, signal=True)
    assert consent.allows("social")


def test_after_a_policy_change_only_what_is_new_or_changed_is_asked() -> None:
    consent = consent_of(of_old("social", "ads"), NEW, KNOWN, signal=False)
    assert consent.granted == {"social"}
    assert consent.asks == {"ads", "video"}
    assert consent.state is State.PARTIAL


def test_refusals_stay_through_a_policy_change() -> None:
    consent = consent_of(of_old(), NEW, KNOWN, signal=False)
    assert consent.state is State.REFUSED
    assert consent.asks == {"video"}


def test_only_the_exact_value_1_is_the_signal() -> None:
    for value in (b'"1"', b"1, 1", b"0", b"01", b"true", b"", b"11"):
        assert not opted_out([value])
    assert opted_out([b" 1 "])
    assert opted_out([b"0", b"1"])
    assert not opted_out([])
