"""The charts of the page. Those that need width are drawn twice: for a wide screen, and for a phone's width."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from markupsafe import Markup

from privateyes.experiments.report import quantities, svg
from privateyes.experiments.report.methods import Method, method
from privateyes.experiments.report.summary import Curve, Deviation, Summary
from privateyes.training.metric import Metric

WIDE = 860
NARROW = 360
_NAME_LENGTH = 14


def learning_curves(
    found: Sequence[Curve], rounds: int, mean_predictor: float | None, width: int, metric: Metric
) -> Markup:
    """Error against the round, one labelled line per method, and the mean predictor as a level.

    Args:
        found: the curves, at least one with a point.
        rounds: of the whole run, the right end of the axis.
        mean_predictor: None where it is not known yet.
        width: of the drawing, px.
        metric: what the errors are.
    """
    height = 380 if width == WIDE else 330
    drawn = [curve for curve in found if curve.points]
    highest = max([value for curve in drawn for _, value in curve.points] + [mean_predictor or 0.0])
    # room for the longest name with its number
    right = 36 + 8 * (max(len(name) for name in [metric.mean, *(curve.method.key for curve in drawn)]) + 5)
    levels = svg.ticks(highest * 1.04)
    x = svg.Scale(1, max(rounds, 2), 44, width - right)
    y = svg.Scale(0, levels[-1], height - 44, 26)
    parts = [svg.text(8, 14, metric.with_unit(f"mean {metric.measure}"), "axis")]
    for level in levels:
        parts += _level(x, y(level), svg.number(level))
    parts += _rounds_axis(x, rounds, height, 8 if width == WIDE else 5)
    if mean_predictor is not None:
        parts.append(svg.line(x.start, y(mean_predictor), x.end, y(mean_predictor), "reference"))
    parts += svg.curves([(curve.method, [(x(number), y(value)) for number, value in curve.points]) for curve in drawn])
    parts += _end_labels(drawn, mean_predictor, (x, y), metric)
    told = "; ".join(_told(curve, metric) for curve in drawn)
    return svg.drawing(width, height, f"Learning curves, mean {metric.measure} against the round: {told}.", parts)


def _told(curve: Curve, metric: Metric) -> str:
    (first, before), (last, after) = curve.points[0], curve.points[-1]
    begin, end = quantities.error(before, metric), quantities.error(after, metric)
    return f"{curve.method.key} from {begin} in round {first} to {end} in round {last}"


def _level(x: svg.Scale, y: float, name: str) -> list[Markup]:
    """A horizontal grid line and its number."""
    return [svg.line(x.start, y, x.end, y, "grid"), svg.text(x.start - 6, y + 4, name, "tick", "end")]


def _rounds_axis(x: svg.Scale, rounds: int, height: float, most: int) -> list[Markup]:
    """The numbers and the name of an axis of rounds at the bottom of a drawing."""
    parts = [
        svg.text(x(number), height - 24, str(number), "tick", "middle") for number in svg.round_ticks(rounds, most)
    ]
    return [*parts, svg.text((x.start + x.end) / 2, height - 6, "round", "axis", "middle")]


def _end_labels(
    drawn: Sequence[Curve], mean_predictor: float | None, axes: tuple[svg.Scale, svg.Scale], metric: Metric
) -> list[Markup]:
    """A mark at the end of every curve; all names, after their marks, and last values in the margin.

    Only a curve that ends at the margin is joined to its name: any other line, or a name within the plot, would cross
    other curves and look like more of them.
    """
    x, y = axes
    parts: list[Markup] = []
    margin: list[tuple[str, str, float, Method | None]] = []
    joined: list[bool] = []
    if mean_predictor is not None:
        margin.append((metric.mean, "w-other", mean_predictor, None))
        joined.append(True)
    for curve in drawn:
        number, error = curve.points[-1]
        parts.append(svg.mark(curve.method, x(number), y(error)))
        margin.append((curve.method.key, curve.method.css, error, curve.method))
        joined.append(x(number) > x.end - 1)
    places = svg.spread_labels([y(error) for _, _, error, _ in margin], 17, y.end, y.start)
    for (name, css, error, shown), place, near in zip(margin, places, joined, strict=True):
        if near:
            parts.append(svg.line(x.end + 8, y(error), x.end + 14, place, f"{css} leader"))
        parts += svg.margin_label(css, f"{name} {quantities.error(error, metric)}", x.end + 18, place, shown)
    return parts


def errors_per_person(shown: Sequence[Summary], width: int, metric: Metric) -> Markup:
    """One row per person, one mark per method, and a row of means above them.

    Args:
        shown: methods that have errors per person, at least one.
        width: of the drawing, px.
        metric: what the errors are.
    """
    people = sorted({name for entry in shown for name in entry.per_person or {}})
    step = 30 if len(people) <= 20 else 20
    longest = min(max(len(name) for name in [*people, "mean"]), _NAME_LENGTH)
    top = 62
    base = top + step * (len(people) + 1)
    highest = max(error for entry in shown for error in (entry.per_person or {}).values())
    levels = svg.ticks(highest * 1.02, 8 if width == WIDE else 5)
    x = svg.Scale(0, levels[-1], 28 + 8 * longest, width - 18)
    parts = [*_legend(shown, x.start, width), svg.rectangle(0, top, width, step, "band")]
    for level in levels:
        parts.append(svg.line(x(level), top - 8, x(level), base - 6, "grid"))
        parts.append(svg.text(x(level), base + 12, f"{svg.number(level)}{metric.sign}", "tick", "middle"))
    parts.append(svg.text((x.start + x.end) / 2, base + 32, f"mean {metric.measure}", "axis", "middle"))
    means = {entry.method.key: entry.mean_error for entry in shown}
    parts += _person_row(x, top + step / 2, "mean", means, "label strong")
    for index, name in enumerate(people):
        errors = {entry.method.key: (entry.per_person or {}).get(name) for entry in shown}
        parts += _person_row(x, top + step * (index + 1.5), name, errors, "label")
    told = f"Dot plot of the errors of {quantities.count(len(people), 'person', 'people')}"
    return svg.drawing(width, base + 40, f"{told}; the table below it holds the same numbers.", parts)


def _person_row(x: svg.Scale, y: float, name: str, errors: Mapping[str, float | None], css: str) -> list[Markup]:
    """A name, a line from the smallest to the largest error, and a mark for each method."""
    short = name if len(name) <= _NAME_LENGTH else f"{name[: _NAME_LENGTH - 1]}…"
    parts = [svg.text(x.start - 12, y + 4, short, css, "end")]
    known = [error for error in errors.values() if error is not None]
    if known:
        parts.append(svg.line(x(min(known)), y, x(max(known)), y, "span"))
    return parts + [svg.mark(method(key), x(error), y, 5) for key, error in errors.items() if error is not None]


def _legend(shown: Sequence[Summary], left: float, width: int) -> list[Markup]:
    """The methods' marks and names above the plot: in one row where there is room, else in two columns."""
    parts, columns = [], len(shown) if width == WIDE else 2
    start = left if width == WIDE else 12
    room = (width - start) / max(columns, 1)
    for index, entry in enumerate(shown):
        x, y = start + 8 + room * (index % columns), 16 + 22 * (index // columns)
        parts.append(svg.mark(entry.method, x, y, 5))
        parts.append(svg.text(x + 14, y + 4, entry.method.key, f"{entry.method.css} label"))
    return parts


def round_times(shown: Sequence[Summary]) -> Markup:
    """Seconds per round of each method, split into training and exchange of updates."""
    longest = max(max(entry.seconds, entry.seconds_training + entry.seconds_exchange) for entry in shown)
    x = svg.Scale(0, longest or 1.0, 0, NARROW - 4)
    parts, told = [], []
    for index, entry in enumerate(shown):
        top = index * 56
        written = f"{quantities.seconds(entry.seconds_training)} training"
        if entry.seconds_exchange > 0:
            written += f" + {quantities.seconds(entry.seconds_exchange)} exchange"
        parts.append(svg.text(0, top + 14, entry.method.key, f"{entry.method.css} label strong"))
        parts.append(svg.text(NARROW, top + 14, quantities.seconds(entry.seconds), "label strong", "end"))
        middle, end = x(entry.seconds_training), x(entry.seconds_training + entry.seconds_exchange)
        parts.append(svg.rectangle(0, top + 20, middle, 11, "time-training"))
        parts.append(svg.rectangle(middle, top + 20, end - middle, 11, "time-exchange"))
        parts.append(svg.text(0, top + 45, written, "tick"))
        told.append(f"{entry.method.key} {quantities.seconds(entry.seconds)}, of these {written}")
    return svg.drawing(NARROW, 56 * len(shown), f"Time per round: {'; '.join(told)}.", parts)


def round_bytes(shown: Sequence[Summary]) -> Markup:
    """Bytes up and down of one client in one round, per method."""
    most = max(max(entry.bytes_up or 0.0, entry.bytes_down or 0.0) for entry in shown)
    x = svg.Scale(0, most or 1.0, 62, NARROW - 72)
    parts, told = [], []
    for index, entry in enumerate(shown):
        top = index * 56
        parts.append(svg.text(0, top + 14, entry.method.key, f"{entry.method.css} label strong"))
        sizes = [("up", entry.bytes_up), ("down", entry.bytes_down)]
        for place, (direction, size) in enumerate(sizes):
            y = top + 20 + 15 * place
            end = x(size or 0.0)
            parts.append(svg.text(0, y + 10, direction, "tick"))
            parts.append(svg.rectangle(62, y, end - 62, 11, f"bytes-{direction}"))
            parts.append(svg.text(end + 6, y + 10, "–" if size is None else quantities.data_size(size), "tick"))
        written = [f"{quantities.data_size(size or 0)} {direction}" for direction, size in sizes]
        told.append(f"{entry.method.key} {', '.join(written)}")
    return svg.drawing(NARROW, 56 * len(shown), f"Bytes per client and round: {'; '.join(told)}.", parts)


def deviation_chart(found: Sequence[Deviation], rounds: int) -> Markup:
    """Deviation of every round and its bound, on a logarithmic axis.

    Args:
        found: at least one round.
        rounds: of the whole run, the right end of the axis.
    """
    values = [value for entry in found for value in (entry.deviation, entry.bound) if value > 0]
    low, high = math.floor(math.log10(min(values)) - 0.15), math.ceil(math.log10(max(values)) + 0.15)
    height = 250
    x = svg.Scale(1, max(rounds, 2), 48, NARROW - 12)
    y = svg.Scale(low, high, height - 42, 26)
    parts = [svg.text(8, 14, "largest deviation of any coordinate", "axis")]
    for power in range(low, high + 1, max(1, (high - low) // 6)):
        exponent = quantities.scientific(10.0**power).removeprefix("1.0 × ")
        parts += _level(x, y(power), exponent)
    parts += _rounds_axis(x, rounds, height, 5)
    bounds = [(x(entry.round), y(math.log10(entry.bound))) for entry in found]
    flat = bounds if len(bounds) > 1 else [(48.0, bounds[0][1]), (NARROW - 12.0, bounds[0][1])]
    parts.append(svg.polyline(flat, "bound", 2, "6 4"))
    parts.append(svg.text(flat[0][0] + 4, flat[0][1] - 7, "bound", "label"))
    shown = method("private")
    levels = [y(math.log10(entry.deviation)) if entry.deviation > 0 else y(low) for entry in found]
    parts += [svg.mark(shown, x(entry.round), level, 3.6) for entry, level in zip(found, levels, strict=True)]
    parts.append(svg.text(x(found[0].round) + 4, max(levels) + 20, "measured", f"{shown.css} label"))
    inside = sum(entry.deviation <= entry.bound for entry in found)
    told = f"Deviation per round against its bound: {inside} of {quantities.count(len(found), 'round')} within it."
    return svg.drawing(NARROW, height, told, parts)
