"""The charts of a comparison's page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from markupsafe import Markup

from privateyes.experiments.compare.marks import amount, band, seed_ticks, span, ticks_between, whisker
from privateyes.experiments.compare.sentences import counted
from privateyes.experiments.report import svg
from privateyes.experiments.report.charts import NARROW, WIDE
from privateyes.experiments.report.methods import Method, is_secure, method
from privateyes.experiments.tasks import metric_of
from privateyes.training.metric import Metric

_NAME_LENGTH = 14
_OTHER = Method("", "w-other", "", "circle", 1.5)


@dataclass(frozen=True, slots=True)
class IntervalRow:
    """One row of `intervals`.

    Attributes:
        label: its name.
        look: mark and colour.
        mean: where the mark stands.
        ends: of the interval; None without one.
        seeds: the single seeds' values.
    """

    label: str
    look: Method
    mean: float
    ends: tuple[float, float] | None
    seeds: tuple[float, ...] = ()


def error_rows(results: Mapping[str, Any]) -> list[IntervalRow]:
    """The methods' errors, and the mean predictor's."""
    rows = [
        IntervalRow(
            entry["method"],
            method(entry["method"]),
            entry["mean"],
            _pair(entry["interval"]),
            tuple(entry["per_seed"].values()),
        )
        for entry in results["methods"]
    ]
    predictor = results["mean_predictor"]
    return [*rows, IntervalRow(metric_of(results).mean, _OTHER, predictor["mean"], _pair(predictor["interval"]))]


def difference_rows(results: Mapping[str, Any], baseline: str) -> list[IntervalRow]:
    """Every other method minus a baseline, person by person."""
    found = [(entry["method"], entry["differences"].get(baseline)) for entry in results["methods"]]
    return [
        IntervalRow(name, method(name), entry["mean"], _pair(entry["interval"]))
        for name, entry in found
        if entry is not None
    ]


def intervals(rows: Sequence[IntervalRow], metric: Metric, what: str, width: int, zero: bool = False) -> Markup:
    """A mark and its 95 % interval in each row, and below it a stroke for each seed.

    Args:
        rows: at least one.
        metric: what the values are.
        what: the axis's name.
        width: of the drawing, px; a narrow one has the names above the rows.
        zero: whether these are differences, so that 0 is drawn as a line and signs are written.
    """
    narrow, places = width < WIDE, metric.places + zero
    step, top = (46, 6) if narrow else (36, 8)
    base = top + step * len(rows)
    values = [value for row in rows for value in (row.mean, *(row.ends or ()), *row.seeds)] + ([0.0] if zero else [])
    levels = ticks_between(min(values), max(values), 4 if narrow else 7)
    left = 10.0 if narrow else 16 + 7.6 * max(len(row.label) for row in rows)
    x = svg.Scale(levels[0], levels[-1], left, width - (14 if narrow else 214))
    parts = []
    for level in levels:
        parts.append(svg.line(x(level), top, x(level), base, "zero" if zero and level == 0 else "grid"))
        parts.append(svg.text(x(level), base + 18, svg.number(level).replace("-", "−"), "tick", "middle"))
    parts.append(svg.text((x.start + x.end) / 2, base + 38, metric.with_unit(what), "axis", "middle"))
    told = []
    for index, row in enumerate(rows):
        middle = top + step * index + (31 if narrow else step / 2)
        written = f"{span(row.ends, places, zero)}"
        mean = amount(row.mean, metric, places, zero)
        parts += _names(row, mean, written, width, top + step * index + 14 if narrow else middle + 4)
        parts += seed_ticks(x, middle + 9, row.seeds, row.look.css)
        parts += whisker(x, middle, row.ends, row.look.css)
        parts.append(svg.mark(row.look, x(row.mean), middle, 5))
        told.append(f"{row.label} {mean}" + (f", interval {written}" if row.ends else ""))
    return svg.drawing(width, base + 44, f"{what}: {'; '.join(told)}.", parts)


def _names(row: IntervalRow, mean: str, written: str, width: int, y: float) -> list[Markup]:
    """The row's name, its number and its interval in words."""
    label = svg.text(0, y, row.label, f"{row.look.css} label strong halo")
    if width < WIDE:
        return [label, svg.text(width, y, f"{mean}  ({written})" if row.ends else mean, "tick halo", "end")]
    parts = [label, svg.text(width - 122, y, mean, "label strong", "end")]
    return [*parts, svg.text(width, y, written, "tick", "end")] if row.ends else parts


def curves(results: Mapping[str, Any], against: Literal["round", "seconds"], width: int) -> Markup:
    """Error against rounds or seconds: the mean over seeds and folds, and the range of the seeds around it.

    Args:
        results: with at least one point in a curve.
        against: what the horizontal axis counts.
        width: of the drawing, px.
    """
    drawn = [(method(entry["method"]), entry["curve"]) for entry in results["methods"] if entry["curve"]]
    metric, level = metric_of(results), results["mean_predictor"]["mean"]
    wide = width == WIDE
    height = 400 if wide else 300
    values = [point[key] for _, curve in drawn for point in curve for key in ("low", "high")]
    levels = ticks_between(min(values), max(*values, level), 6)
    last = max(curve[-1][against] for _, curve in drawn)
    right = 42 + 7.2 * (max(len(look.key) for look, _ in drawn) + 6) if wide else 14
    y = svg.Scale(levels[0], levels[-1], height - 44, 26)
    x = svg.Scale(1 if against == "round" else 0, max(last, 2) if against == "round" else last, 44, width - right)
    parts = [svg.text(8, 14, metric.with_unit(f"mean {metric.name}"), "axis")]
    for value in levels:
        parts.append(svg.line(x.start, y(value), x.end, y(value), "grid"))
        parts.append(svg.text(x.start - 6, y(value) + 4, svg.number(value), "tick", "end"))
    parts += _horizontal(x, against, last, height, 8 if wide else 5)
    parts.append(svg.line(x.start, y(level), x.end, y(level), "reference"))
    for look, curve in drawn:
        parts.append(band([(x(p[against]), y(p["low"]), y(p["high"])) for p in curve], look.css))
    parts += svg.curves([(look, [(x(point[against]), y(point["error"])) for point in curve]) for look, curve in drawn])
    if wide:
        parts += _ends(drawn, against, level, x, y, metric)
    else:  # no room for names beside the plot
        parts += [svg.mark(look, x(curve[-1][against]), y(curve[-1]["error"])) for look, curve in drawn]
        parts.append(svg.text(x.start + 4, y(level) - 5, metric.mean, "tick halo"))
        legend, below = _legend([look for look, _ in drawn], width, height + 16)
        parts, height = [*parts, *legend], round(below) - 14
    told = "; ".join(
        f"{look.key} from {amount(curve[0]['error'], metric)} to {amount(curve[-1]['error'], metric)}"
        for look, curve in drawn
    )
    return svg.drawing(width, height, f"Mean {metric.name} against {against}: {told}.", parts)


def _horizontal(x: svg.Scale, against: str, last: float, height: float, most: int) -> list[Markup]:
    if against == "round":
        numbers: Sequence[float] = svg.round_ticks(int(last), most)
    else:
        numbers = [value for value in svg.ticks(last, most) if value <= last * 1.0001]
    name = "round" if against == "round" else "processor seconds of training and exchange"
    parts = [svg.text(x(value), height - 24, svg.number(value), "tick", "middle") for value in numbers]
    return [*parts, svg.text((x.start + x.end) / 2, height - 6, name, "axis", "middle")]


def _ends(
    drawn: Sequence[tuple[Method, Any]], against: str, level: float, x: svg.Scale, y: svg.Scale, metric: Metric
) -> list[Markup]:
    """A mark at the end of every curve, and all names, after their marks, with their last values in the margin.

    Only a curve that ends at the margin is joined to its name: another line would cross the plot.
    """
    parts = [svg.mark(look, x(curve[-1][against]), y(curve[-1]["error"])) for look, curve in drawn]
    margin: list[tuple[str, Method, float, float]] = [(metric.mean, _OTHER, x.end, level)]
    margin += [(look.key, look, x(curve[-1][against]), curve[-1]["error"]) for look, curve in drawn]
    places = svg.spread_labels([y(error) for *_, error in margin], 16, y.end, y.start)
    for (name, look, end, error), place in zip(margin, places, strict=True):
        if end > x.end - 4:
            parts.append(svg.line(max(end + 8, x.end + 6), y(error), x.end + 16, place, f"{look.css} leader"))
        label = f"{name} {amount(error, metric)}"
        parts += svg.margin_label(look.css, label, x.end + 20, place, None if look is _OTHER else look)
    return parts


def persons(results: Mapping[str, Any], width: int) -> Markup:
    """One row per person, one mark per method of those that can be told apart, and a row of means above them."""
    methods, metric = told_apart(results["methods"]), metric_of(results)
    people = sorted({name for entry in methods for name in entry["per_person"]})
    values = [error for entry in methods for error in entry["per_person"].values()]
    levels = ticks_between(min(values), max(values), 8 if width == WIDE else 4)
    names = [name if len(name) <= _NAME_LENGTH else f"{name[: _NAME_LENGTH - 1]}…" for name in people]
    legend, top = _legend([method(entry["method"]) for entry in methods], width)
    step = 30 if len(people) <= 20 else 20
    base = top + step * (len(people) + 1)
    x = svg.Scale(levels[0], levels[-1], 26 + 8 * max(len(name) for name in [*names, "mean"]), width - 18)
    parts = [*legend, svg.rectangle(0, top, width, step, "band")]
    for level in levels:
        parts.append(svg.line(x(level), top - 8, x(level), base - 6, "grid"))
        parts.append(svg.text(x(level), base + 12, f"{svg.number(level)}{metric.sign}", "tick", "middle"))
    parts.append(svg.text((x.start + x.end) / 2, base + 32, f"mean {metric.measure}", "axis", "middle"))
    rows = [("mean", {entry["method"]: entry["mean"] for entry in methods})]
    rows += [(shown, _of(methods, name)) for shown, name in zip(names, people, strict=True)]
    for index, (shown, errors) in enumerate(rows):
        middle = top + step * (index + 0.5)
        parts.append(svg.text(x.start - 14, middle + 4, shown, "label strong" if index == 0 else "label", "end"))
        parts.append(svg.line(x(min(errors.values())), middle, x(max(errors.values())), middle, "span"))
        parts += [svg.mark(method(key), x(error), middle, _dot(key)) for key, error in errors.items()]
    whose = counted(len(people), results["persons_are"])
    told = f"Dot plot of the {metric.plural} of {whose}; the table below it holds the same numbers."
    return svg.drawing(width, base + 40, told, parts)


def told_apart(methods: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The methods without those that have the mark and the colour of an earlier one, and differ in their dashes
    alone.
    """
    looks: dict[tuple[str, str], Mapping[str, Any]] = {}
    for entry in methods:
        look = method(entry["method"])
        looks.setdefault((look.css, look.mark), entry)
    return list(looks.values())


def _of(methods: Sequence[Mapping[str, Any]], person: str) -> dict[str, float]:
    return {entry["method"]: entry["per_person"][person] for entry in methods if person in entry["per_person"]}


def _dot(key: str) -> float:
    """Size of a mark: those of the secure methods are smaller, so that the counterpart below stays visible."""
    return 3.2 if is_secure(key) else 5.4


def _legend(looks: Sequence[Method], width: int, top: float = 14.0) -> tuple[list[Markup], float]:
    """The methods' marks and names in as many rows as they need, and where something else may begin below them."""
    parts: list[Markup] = []
    x, y = 8.0, top
    for look in looks:
        room = 36 + 8.0 * len(look.key)
        if x > 8 and x + room - 16 > width:
            x, y = 8.0, y + 22
        parts += [svg.mark(look, x, y, 5), svg.text(x + 14, y + 4, look.key, f"{look.css} label")]
        x += room
    return parts, y + 26


def relation(entry: Mapping[str, Any], metric: Metric) -> Markup:
    """What was asked, as a shaded range, and the difference with its interval and its seeds in it.

    For a secure method and its counterpart the range is on both sides of 0; else it is open to the better side.
    """
    bound = metric.worse_by(entry["bound"] if entry["demand"] != "below" else -entry["bound"])
    mean, ends = entry["difference"]["mean"], _pair(entry["difference"]["interval"])
    seeds = tuple(entry["per_seed"].values())
    values = [mean, 0.0, bound, *(ends or ()), *seeds] + ([-bound] if entry["demand"] == "beside" else [])
    room, better_left = (max(values) - min(values)) * 0.12, metric.lower_is_better
    x = svg.Scale(min(values) - room, max(values) + room, 6, NARROW - 6)
    allowed = sorted((x(bound), x(-bound) if entry["demand"] == "beside" else x.start if better_left else x.end))
    look = method(entry["first"])
    parts = [
        svg.rectangle(allowed[0], 4, max(allowed[1] - allowed[0], 1.5), 34, "allowed"),
        svg.line(x.start, 21, x.end, 21, "grid"),
        svg.line(x(0), 4, x(0), 38, "zero"),
        *seed_ticks(x, 30, seeds, look.css),
        *whisker(x, 21, ends, look.css),
        svg.mark(look, x(mean), 21, 5),
    ]
    marked = {value: svg.number(value + 0.0).replace("-", "−") for value in (bound + 0.0, 0.0)}
    if entry["demand"] == "beside":
        marked[-bound] = svg.number(-bound).replace("-", "−")
    places = sorted(marked, key=x)
    spread = svg.spread_labels([x(value) for value in places], 34, 16, NARROW - 16)
    parts += [svg.text(place, 54, marked[value], "tick", "middle") for value, place in zip(places, spread, strict=True)]
    told = f"{entry['first']} minus {entry['second']}: {amount(mean, metric, 4, True)}, bound {bound:g}."
    return svg.drawing(NARROW, 58, told, parts)


def _pair(ends: Sequence[float] | None) -> tuple[float, float] | None:
    return None if ends is None else (float(ends[0]), float(ends[1]))
