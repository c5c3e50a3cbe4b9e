"""Charts as SVG, made here: lengths in per cent, so that a chart is as wide as its place and text stays.

Colours are the style sheet's (classes s0, s1, s2), labels are text beside the drawings. Each drawing has
a title and a description, and the chart stands beside a table of the same numbers.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from markupsafe import Markup

THICK = 16  # px, of a bar
HEIGHT = 200  # px, of columns
_LABELS = 8  # at most, below columns


def bars(name: str, rows: Sequence[tuple[str, Sequence[int], str]]) -> Markup:
    """Draw a bar for each label, parts and description; the longest takes the whole width."""
    most = max((sum(parts) for _, parts, _ in rows), default=0) or 1
    drawn = []
    for place, (label, parts, about) in enumerate(rows):
        shapes = [Markup('<rect class="rest" width="100%" height="{}"/>').format(THICK)]
        for series, left, width in _spans(parts, most):
            shape = Markup('<rect class="s{}" x="{}%" width="{}%" height="{}"/>')
            shapes.append(shape.format(series, left, width, THICK))
        drawn.append(Markup('<p class="bar">{}</p>').format(label))
        drawn.append(_svg(f"{name}-{place}", label, about, THICK, shapes))
    return Markup("").join(drawn)


def columns(name: str, title: str, about: str, rows: Sequence[tuple[str, Sequence[int]]]) -> Markup:
    """Draw a column for each label and parts, these upon each other; some have their label below."""
    most = max((sum(parts) for _, parts in rows), default=0) or 1
    wide = 100 / max(len(rows), 1)
    every = -(-len(rows) // _LABELS)
    shapes = [
        Markup('<line class="faint" x2="100%" y1="{0}" y2="{0}"/>').format(HEIGHT // 2),
        Markup('<line x2="100%" y1="{0}" y2="{0}"/>').format(HEIGHT),
    ]
    for place, (_, parts) in enumerate(rows):
        left = round((place + 0.1) * wide, 2)
        for series, below, high in _spans(parts, most):
            top, tall = (100 - below - high) * HEIGHT / 100, high * HEIGHT / 100
            shape = Markup('<rect class="s{}" x="{}%" y="{}" width="{}%" height="{}"/>')
            shapes.append(
                shape.format(series, left, round(top, 2), round(0.8 * wide, 2), round(tall, 2))
            )
    labels = (label if place % every == 0 else "" for place, (label, _) in enumerate(rows))
    axis = Markup("").join(Markup("<span>{}</span>").format(label) for label in labels)
    foot = Markup('<div class="axis" aria-hidden="true">{}</div>').format(axis)
    return _svg(name, title, about, HEIGHT, shapes) + foot


def _spans(parts: Sequence[int], most: int) -> Iterator[tuple[int, float, float]]:
    """Return series, beginning and length in per cent of what is there."""
    before = 0
    for series, part in enumerate(parts):
        if part:
            yield series, round(100 * before / most, 2), round(100 * part / most, 2)
        before += part


def _svg(name: str, title: str, about: str, height: int, shapes: Sequence[Markup]) -> Markup:
    return Markup(
        '<svg class="chart" role="img" aria-labelledby="{0}-title" aria-describedby="{0}-desc"'
        ' width="100%" height="{1}"><title id="{0}-title">{2}</title>'
        '<desc id="{0}-desc">{3}</desc>{4}</svg>'
    ).format(name, height, title, about, Markup("").join(shapes))
