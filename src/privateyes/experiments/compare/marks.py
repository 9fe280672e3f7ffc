"""Drawings that the page of a comparison needs besides those of `report.svg`: intervals, bands, axes not from zero."""

from __future__ import annotations

import math
from collections.abc import Sequence

from markupsafe import Markup

from privateyes.experiments.report import svg
from privateyes.training.metric import Metric


def amount(value: float | None, metric: Metric, places: int | None = None, signed: bool = False) -> str:
    """A value or a difference of values, such as ``7.02°``; a dash for None."""
    return "–" if value is None else plain(value, metric.places if places is None else places, signed) + metric.sign


def plain(value: float, places: int, signed: bool = False) -> str:
    """A number without unit; a minus is a real minus, and there is no negative zero."""
    rounded = round(value, places) + 0.0
    sign = "+" if signed and rounded > 0 else ""
    return f"{sign}{rounded:.{places}f}".replace("-", "−")


def span(ends: Sequence[float] | None, places: int = 2, signed: bool = False) -> str:
    """An interval, such as ``6.31 to 7.72``; a dash for None."""
    if ends is None:
        return "–"
    return f"{plain(ends[0], places, signed)} to {plain(ends[1], places, signed)}"


def ticks_between(low: float, high: float, most: int = 6) -> list[float]:
    """Round numbers that span low..high, at most `most` + 2 of them."""
    width = max(high - low, abs(high) * 1e-6, 1e-9)
    magnitude = 10.0 ** math.floor(math.log10(width / most))
    step = next(factor * magnitude for factor in (1, 2, 2.5, 5, 10) if factor * magnitude * most >= width * (1 - 1e-9))
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(index * step, 12) for index in range(first, max(last, first + 1) + 1)]


def whisker(x: svg.Scale, y: float, ends: Sequence[float] | None, css: str) -> list[Markup]:
    """An interval with its two ends marked."""
    if ends is None:
        return []
    low, high = (x(end) for end in ends)
    classes = f"{css} whisker"
    return [
        svg.line(low, y, high, y, classes),
        svg.line(low, y - 5, low, y + 5, classes),
        svg.line(high, y - 5, high, y + 5, classes),
    ]


def seed_ticks(x: svg.Scale, y: float, values: Sequence[float], css: str) -> list[Markup]:
    """A short stroke below a row for each seed."""
    return [svg.line(x(value), y, x(value), y + 5, f"{css} seed") for value in values]


def band(points: Sequence[tuple[float, float, float]], css: str) -> Markup:
    """The area between (x, low) and (x, high) of each point; nothing for fewer than two."""
    if len(points) < 2:
        return Markup("")
    path = [f"{x:.1f},{low:.1f}" for x, low, _ in points] + [f"{x:.1f},{high:.1f}" for x, _, high in reversed(points)]
    return Markup('<polygon points="{}" class="{} area"/>').format(" ".join(path), css)
