"""Sums of choices over a day, a week, a month or a year; no small number among them.

The rule. Every figure is one sum of decisions, and is shown rounded down to the ten; under ten it is
"< 10", zero too. Totals are figures like the others, shares are made of figures that are shown, and days
are only put together as the calendar does: no period of one's own, so none that differs from another by
a day. Where a breakdown and its total are shown, a hidden sum may always be 9 as well as what it is, so
sums and differences never tell that it is less.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from bandeau.ledger.store import Store
from bandeau.ledger.tally import ROW

STEP = 10
UNITS = ("day", "week", "month", "year")
OUTCOMES = ("granted", "partial", "refused")
KINDS = ("purpose", "action", "language", "layer", "device", "snapshot")
_EPOCH = date(1970, 1, 1)


@dataclass(frozen=True, slots=True)
class Period:
    """Days that the calendar puts together: from `first` to before `end`."""

    unit: str
    first: date
    end: date

    @classmethod
    def of(cls, asked: Mapping[str, str]) -> Period:
        """Return the period that holds a day; this month unless asked otherwise. Never raises."""
        unit = asked.get("unit", "month")
        try:
            day = date.fromisoformat(asked.get("day", ""))
            return cls.holding(unit if unit in UNITS else "month", day)
        except (ValueError, OverflowError):
            return cls.holding(unit if unit in UNITS else "month", datetime.now(UTC).date())

    @classmethod
    def holding(cls, unit: str, day: date) -> Period:
        """Return the period of a unit that holds a day. Raises OverflowError at the end of all days."""
        first = _begin(unit, day)
        widest = {"day": 1, "week": 7, "month": 31, "year": 366}[unit]
        return cls(unit, first, _begin(unit, first + timedelta(days=widest)))

    @property
    def before(self) -> date | None:
        """Return a day of the period before, where there is one."""
        return self.first - timedelta(days=1) if self.first > date(1970, 1, 8) else None

    @property
    def parts(self) -> list[date]:
        """Return the first days of its parts: days, or the months of a year."""
        unit = "month" if self.unit == "year" else "day"
        days = (self.first + timedelta(days=n) for n in range((self.end - self.first).days))
        return [day for day in days if _begin(unit, day) == day]


@dataclass(frozen=True, slots=True)
class Figure:
    """A sum as it may be shown: at least `n`, by less than ten; `n` of 0 says that it is under ten."""

    n: int

    @classmethod
    def of(cls, exact: int) -> Figure:
        """Blur a sum."""
        return cls(exact // STEP * STEP)


@dataclass(frozen=True, slots=True)
class Line:
    """One value of a breakdown: its figures by outcome, and their total as a figure of its own."""

    value: str
    figures: tuple[Figure, ...]
    total: Figure

    @property
    def share(self) -> int | None:
        """Return how much of it was granted, in per cent, where the figures that are shown tell."""
        granted = self.figures[0].n
        return round(100 * granted / self.total.n) if granted and self.total.n else None


@dataclass(frozen=True, slots=True)
class Counts:
    """What there is to show of a period: all of it, its parts in order, and its breakdowns."""

    whole: Line
    parts: list[Line]
    kinds: dict[str, list[Line]]


def read(store: Store, period: Period) -> Counts:
    """Count a period."""
    low, high = ((day - _EPOCH).days for day in (period.first, period.end))
    return counted(store.tally(low, high), period)


def counted(rows: list[ROW], period: Period) -> Counts:
    """Sum up rows of the tally, and blur each sum once."""
    parts: dict[str, Counter[str]] = {day.isoformat(): Counter() for day in period.parts}
    kinds: dict[str, dict[str, Counter[str]]] = {kind: defaultdict(Counter) for kind in KINDS}
    whole: Counter[str] = Counter()
    unit = "month" if period.unit == "year" else "day"
    for day, kind, value, outcome, n, _ in rows:
        if kind in kinds:
            kinds[kind][value][outcome] += n
        if kind == "action":
            whole[outcome] += n
            parts[_begin(unit, _EPOCH + timedelta(days=day)).isoformat()][outcome] += n
    return Counts(
        _line("", whole),
        [_line(value, sums) for value, sums in parts.items()],
        {kind: _lines(found) for kind, found in kinds.items()},
    )


def _lines(found: Mapping[str, Counter[str]]) -> list[Line]:
    """Put the largest first; what is hidden comes last, by name, so that the order tells nothing."""
    lines = [_line(value, sums) for value, sums in found.items()]
    return sorted(lines, key=lambda one: (-one.total.n, one.value))


def _line(value: str, sums: Counter[str]) -> Line:
    figures = tuple(Figure.of(sums[outcome]) for outcome in OUTCOMES)
    return Line(value, figures, Figure.of(sum(sums.values())))


def _begin(unit: str, day: date) -> date:
    match unit:
        case "week":
            return day - timedelta(days=day.weekday())
        case "month":
            return day.replace(day=1)
        case "year":
            return day.replace(month=1, day=1)
    return day
