"""Charts as SVG, made here: lengths in per cent, so that a chart is as wide as its place and text stays.

Colours are the style sheet's (classes s0, s1, s2). Each chart has a title and a description, and stands
beside a table of the same numbers.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from markupsafe import Markup, escape

ROW = 46  # px: a label, and a bar below it
HEIGHT = 200  # px, of columns; their labels come below
_FOOT = 22  # px
_LABELS = 8  # at most, below columns


def bars(name: str, title: str, about: str, rows: Sequence[tuple[str, Sequence[int]]]) -> Markup:
    """Draw a bar for each row, its parts side by side; the longest takes the whole width."""
    most = max((sum(parts) for _, parts in rows), default=0) or 1
    drawn = []
    for place, (label, parts) in enumerate(rows):
        top = place * ROW
        drawn.append(Markup('<text x="0" y="{}">{}</text>').format(top + 15, label))
        drawn.append(
            Markup('<rect class="rest" x="0" y="{}" width="100%" height="16"/>').format(top + 22)
        )
        for series, left, width in _spans(parts, most):
            drawn.append(
                Markup('<rect class="s{}" x="{}%" y="{}" width="{}%" height="16"/>').format(
                    series, left, top + 22, width
                )
            )
    return _svg(name, title, about, max(len(rows), 1) * ROW, drawn)


def columns(name: str, title: str, about: str, rows: Sequence[tuple[str, Sequence[int]]]) -> Markup:
    """Draw a column for each row, its parts upon each other, and a label below some of them."""
    most = max((sum(parts) for _, parts in rows), default=0) or 1
    wide = 100 / max(len(rows), 1)
    every = -(-len(rows) // _LABELS)
    drawn = [
        Markup('<line x1="0" x2="100%" y1="{0}" y2="{0}"/>').format(HEIGHT),
        Markup('<line class="faint" x1="0" x2="100%" y1="{0}" y2="{0}"/>').format(HEIGHT // 2),
    ]
    for place, (label, parts) in enumerate(rows):
        left = _number(place * wide + wide * 0.1)
        for series, below, high in _spans(parts, most):
            y, height = ((100 - below - high) * HEIGHT / 100, high * HEIGHT / 100)
            drawn.append(
                Markup('<rect class="s{}" x="{}%" y="{}" width="{}%" height="{}"/>').format(
                    series, left, _number(y), _number(wide * 0.8), _number(height)
                )
            )
        if place % every == 0:
            drawn.append(
                Markup('<text class="at" x="{}%" y="{}">{}</text>').format(
                    left, HEIGHT + _FOOT - 5, label
                )
            )
    return _svg(name, title, about, HEIGHT + _FOOT, drawn)


def _spans(parts: Sequence[int], most: int) -> Iterator[tuple[int, float, float]]:
    """Return series, beginning and length in per cent of what is there."""
    before = 0
    for series, part in enumerate(parts):
        if part:
            yield series, _number(100 * before / most), _number(100 * part / most)
        before += part


def _number(value: float) -> float:
    return round(value, 2)


def _svg(name: str, title: str, about: str, height: int, drawn: Sequence[Markup]) -> Markup:
    return Markup(
        '<svg class="chart" role="img" aria-labelledby="{0}-title"'
        ' aria-describedby="{0}-desc" width="100%" height="{1}">'
        '<title id="{0}-title">{2}</title><desc id="{0}-desc">{3}</desc>{4}</svg>'
    ).format(escape(name), height, title, about, Markup("").join(drawn))
