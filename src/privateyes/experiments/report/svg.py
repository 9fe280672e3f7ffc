"""Small SVG drawings that follow the page's colours: axes, marks, labels that do not overlap.

Colours and fonts come from ``page.css`` through classes, so that one drawing serves light, dark and paper. Everything
that may come from a file passes through `Markup.format` and is escaped there.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from privateyes.experiments.report.methods import Mark, Method
from privateyes.experiments.report.turns import turns

_TURN_WIDTH = 3.0

_SHAPES: dict[Mark, Markup] = {
    "circle": Markup('<circle class="{css} fill" cx="{x:.1f}" cy="{y:.1f}" r="{r:.1f}"/>'),
    "ring": Markup('<circle class="{css} ring" cx="{x:.1f}" cy="{y:.1f}" r="{big:.1f}"/>'),
    "square": Markup('<path class="{css} fill" d="M{left:.1f} {top:.1f}h{side:.1f}v{side:.1f}h-{side:.1f}z"/>'),
    "triangle": Markup('<path class="{css} fill" d="M{x:.1f} {peak:.1f}l{big:.1f} {tall:.1f}h-{wide:.1f}z"/>'),
    "diamond": Markup(
        '<path class="{css} fill" d="M{x:.1f} {peak:.1f}l{big:.1f} {big:.1f}l-{big:.1f} {big:.1f}'
        'l-{big:.1f}-{big:.1f}z"/>'
    ),
}


@dataclass(frozen=True, slots=True)
class Scale:
    """A linear map from values (low..high) to pixels (start..end)."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        span = self.high - self.low
        return self.start + (value - self.low) / (span if span else 1.0) * (self.end - self.start)


def ticks(high: float, most: int = 6) -> list[float]:
    """Round numbers from 0 to at least `high`, at most `most` + 1 of them."""
    if high <= 0:
        return [0.0, 1.0]
    magnitude = 10 ** math.floor(math.log10(high / most))
    step = next(factor * magnitude for factor in (1, 2, 2.5, 5, 10) if factor * magnitude * most >= high * (1 - 1e-9))
    return [index * step for index in range(math.ceil(high / step - 1e-9) + 1)]


def round_ticks(rounds: int, most: int = 8) -> list[int]:
    """Whole rounds for an axis: 1, the last, and evenly spaced ones between them."""
    step = max(1, math.ceil(rounds / most))
    step = next(nice for nice in (1, 2, 5, 10, 20, 25, 50, 100, 200, 250, 500, max(1000, step)) if nice >= step)
    between = [number for number in range(step, rounds, step) if number > 1 and rounds - number >= 0.7 * step]
    return sorted({1, *between, rounds})


def number(value: float) -> str:
    """A tick's number without superfluous zeros."""
    return f"{value:.10g}"


def spread_labels(positions: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """Moves positions apart until each is `gap` from the next, inside low..high if they fit, in their order.

    Positions that are too close form a block around their mean; blocks that touch are joined.
    """
    blocks: list[list[int]] = []
    for index in sorted(range(len(positions)), key=lambda index: positions[index]):
        blocks.append([index])
        while len(blocks) > 1 and _start(blocks[-1], positions, gap, low, high) < (
            _start(blocks[-2], positions, gap, low, high) + gap * len(blocks[-2])
        ):
            last = blocks.pop()
            blocks[-1] += last
    spread = [0.0] * len(positions)
    for block in blocks:
        start = _start(block, positions, gap, low, high)
        for place, index in enumerate(block):
            spread[index] = start + gap * place
    return spread


def _start(block: Sequence[int], positions: Sequence[float], gap: float, low: float, high: float) -> float:
    """Where the first position of a block lies."""
    height = gap * (len(block) - 1)
    middle = sum(positions[index] for index in block) / len(block)
    return max(low, min(middle - height / 2, high - height))


def mark(shown: Method, x: float, y: float, size: float = 4.5) -> Markup:
    """The mark of a method, centred at (x, y), about 2 `size` px across."""
    big = size * 1.35
    return _SHAPES[shown.mark].format(
        css=shown.css, x=x, y=y, r=size, big=big, left=x - size, top=y - size, side=2 * size,
        peak=y - big, tall=big * 1.85, wide=2 * big,
    )  # fmt: skip


def mark_alone(shown: Method) -> Markup:
    """The mark of a method as a drawing of its own, to stand before the method's name in a text."""
    frame = Markup('<svg class="mark" viewBox="-7.5 -7.5 15 15" aria-hidden="true">{}</svg>')
    return frame.format(mark(shown, 0, 0, 5))


def text(x: float, y: float, content: str, css: str = "", anchor: str = "start") -> Markup:
    """A line of text whose baseline is at y."""
    return Markup('<text x="{:.1f}" y="{:.1f}" class="{}" text-anchor="{}">{}</text>').format(
        x, y, css, anchor, content
    )


def line(x1: float, y1: float, x2: float, y2: float, css: str) -> Markup:
    """A straight line."""
    return Markup('<line x1="{:.1f}" y1="{:.1f}" x2="{:.1f}" y2="{:.1f}" class="{}"/>').format(x1, y1, x2, y2, css)


def rectangle(x: float, y: float, width: float, height: float, css: str) -> Markup:
    """A rectangle; nothing for a width of 0 or less."""
    if width <= 0:
        return Markup("")
    shape = Markup('<rect x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}" class="{}"/>')
    return shape.format(x, y, width, height, css)


def polyline(
    points: Iterable[tuple[float, float]], css: str, width: float, dashes: str = "", offset: float = 0.0
) -> Markup:
    """A line through points, with a dash pattern that begins at an offset."""
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    shifted = Markup(' stroke-dashoffset="{:g}"').format(offset) if offset else ""
    shape = Markup('<polyline points="{}" class="{} line" stroke-width="{}" stroke-dasharray="{}"{}/>')
    return shape.format(path, css, width, dashes or "none", shifted)


def curves(drawn: Sequence[tuple[Method, Sequence[tuple[float, float]]]]) -> list[Markup]:
    """The lines of several methods: those that coincide take turns, and of all others the broad ones come first."""
    found = list(zip(drawn, turns([points for _, points in drawn]), strict=True))
    found.sort(key=lambda entry: -entry[0][0].line_width)
    return [
        polyline(points, look.css, look.line_width, look.dashes)
        if turn is None
        else polyline(points, f"{look.css} turn", _TURN_WIDTH, turn.dashes, turn.offset)
        for (look, points), turn in found
    ]


def margin_label(look: str, content: str, x: float, place: float, shown: Method | None = None) -> list[Markup]:
    """A name in the margin at the height `place`, after the mark of its method: it needs no line to its curve's end."""
    parts = [] if shown is None else [mark(shown, x + 4, place, 4)]
    return [*parts, text(x + 13, place + 4, content, f"{look} label")]


def drawing(width: float, height: float, description: str, parts: Iterable[Markup], css: str = "") -> Markup:
    """A whole drawing that scales with the page; `description` is what a screen reader says in its place."""
    frame = Markup('<svg class="chart {}" viewBox="0 0 {:.0f} {:.0f}" role="img" aria-label="{}">{}</svg>')
    return frame.format(css, width, height, description, Markup("").join(parts))
