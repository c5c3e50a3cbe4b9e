"""What the desk tells of numbers: no small one, not by difference either."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as some

from bandeau.desk import chart
from bandeau.desk.counts import KINDS, OUTCOMES, STEP, UNITS, Figure, Period, counted
from bandeau.ledger.tally import ROW

EPOCH = date(1970, 1, 1)
rows = some.lists(
    some.tuples(
        some.integers(20_700, 20_800), some.sampled_from((*KINDS, "lost")),
        some.sampled_from(("a", "b", "c")), some.sampled_from(OUTCOMES),
        some.integers(0, 60), some.just(0),
    )
)  # fmt: skip


def period_of(unit: str, day: int = 20_750) -> Period:
    return Period.holding(unit, EPOCH + timedelta(days=day))


def within(found: list[ROW], period: Period) -> list[ROW]:
    low, high = ((day - EPOCH).days for day in (period.first, period.end))
    return [row for row in found if low <= row[0] < high]


@given(rows, some.sampled_from(UNITS))
def test_every_figure_is_a_sum_rounded_down_to_the_ten(found: list[ROW], unit: str) -> None:
    period = period_of(unit)
    some_rows = within(found, period)
    shown = counted(some_rows, period)
    for kind in KINDS:
        for line in shown.kinds[kind]:
            mine = [row for row in some_rows if row[1:3] == (kind, line.value)]
            assert line.total.n == sum(row[4] for row in mine) // STEP * STEP
            for outcome, figure in zip(OUTCOMES, line.figures, strict=True):
                exact = sum(row[4] for row in mine if row[3] == outcome)
                assert figure.n == exact // STEP * STEP
    whole = sum(row[4] for row in some_rows if row[1] == "action")
    assert shown.whole.total.n == whole // STEP * STEP
    assert len(shown.parts) == {"day": 1, "week": 7, "month": 31, "year": 12}[unit]


def explained(figures: list[Figure], total: Figure) -> Iterator[tuple[int, ...]]:
    """Yield all exact sums that would be shown like that."""
    spans = (range(figure.n, figure.n + STEP) for figure in figures)
    for exact in itertools.product(*spans):
        if Figure.of(sum(exact)) == total:
            yield exact


@given(some.lists(some.integers(0, 45), min_size=1, max_size=4))
def test_a_hidden_sum_may_be_nine_as_well_as_what_it_is(exact: list[int]) -> None:
    figures, total = [Figure.of(one) for one in exact], Figure.of(sum(exact))
    possible = list(explained(figures, total))
    for place, one in enumerate(exact):
        if one < STEP:
            assert {one, 9} <= {sums[place] for sums in possible}


def test_periods_are_the_calendar_s_and_meet_without_a_gap() -> None:
    for unit in UNITS:
        period = period_of(unit)
        assert period.before is not None
        assert Period.holding(unit, period.before).end == period.first
        assert Period.holding(unit, period.end).first == period.end
        inside = period.first + (period.end - period.first) // 2
        assert Period.holding(unit, inside) == period
    assert period_of("month", 0).first == EPOCH
    assert period_of("year", 0).before is None


@given(some.dictionaries(some.sampled_from(("unit", "day", "x")), some.text()))
def test_no_query_is_refused(asked: dict[str, str]) -> None:
    assert Period.of(asked).unit in UNITS


@pytest.mark.parametrize("day", ["9999-12-31", "0001-01-01", "2026-02-30", "", "1969-12-31"])
@pytest.mark.parametrize("unit", UNITS)
def test_the_ends_of_the_calendar_are_no_period_of_ours(unit: str, day: str) -> None:
    period = Period.of({"unit": unit, "day": day})
    assert period.unit == unit
    assert period.first < period.end


def test_an_order_by_size_tells_nothing_of_what_is_hidden() -> None:
    period = period_of("day")
    found: list[ROW] = [
        (20_750, "language", value, "granted", n, 0)
        for value, n in (("de", 9), ("en", 2), ("fr", 40), ("nl", 5))
    ]
    assert [line.value for line in counted(found, period).kinds["language"]] == [
        "fr",
        "de",
        "en",
        "nl",
    ]


def test_a_chart_names_itself_and_lets_no_markup_in() -> None:
    label, parts = "<i>label</i>", (3, 0, 1)
    drawn = (
        chart.bars("x", [(label, parts, "<b>"), ("b", (0, 0, 0), "")]),
        chart.columns("x", label, "<b>", [(label, parts), ("b", (0, 0, 0))]),
    )
    for svg in drawn:
        assert 'aria-labelledby="x' in svg
        assert "&lt;i&gt;label&lt;/i&gt;</title>" in svg
        assert "&lt;b&gt;</desc>" in svg
        assert "<i>" not in svg
        assert "style=" not in svg
        assert 'class="s0"' in svg
        assert 'class="s1"' not in svg
    assert "<svg" in chart.columns("x", "t", "a", [])
    assert chart.bars("x", []) == ""
