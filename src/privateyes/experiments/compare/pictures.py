"""The main charts of a comparison as PNG, light and dark, to be shown where a page cannot be.

They have the methods' colours and marks of the page; the colours are read from its style.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from privateyes.errors import RunDirectoryError
from privateyes.experiments.compare.charts import told_apart
from privateyes.experiments.compare.sentences import counted
from privateyes.experiments.report.methods import Mark, Method, is_secure, method
from privateyes.experiments.report.turns import Turn, turns
from privateyes.experiments.tasks import metric_of

_MARKERS: Final[Mapping[Mark, str]] = MappingProxyType(
    {"circle": "o", "ring": "o", "square": "s", "triangle": "^", "diamond": "D"}
)
_DPI = 160
_TURN_WIDTH = 2.2
_WIDTH_PX, _HEIGHT_PX = 500.0, 330.0
_OTHER = Method("", "w-other", "", "circle", 1.5)


@dataclass(frozen=True, slots=True)
class Theme:
    """Colours of the page by their names in its style."""

    name: str
    colours: Mapping[str, str]

    def of(self, look: Method) -> str:
        """A method's colour."""
        return self.colours[look.css.removeprefix("w-").replace("-", "")]


def write_pictures(folder: Path, results: Mapping[str, Any]) -> list[Path]:
    """Write ``errors``, ``curves``, ``persons`` and ``costs``, each as -light.png and -dark.png.

    Args:
        folder: made if it is not there.
        results: what ``comparison.json`` holds.

    Returns:
        The files.

    Raises:
        RunDirectoryError: the folder cannot be written to.
    """
    drawings: Mapping[str, Callable[[Mapping[str, Any], Theme], Figure]] = {
        "errors": _errors,
        "curves": _curves,
        "persons": _persons,
        "costs": _costs,
    }
    written = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for theme in themes():
            for name, draw in drawings.items():
                path = folder / f"{name}-{theme.name}.png"
                with _style(theme):
                    # no date and no version, so that equal numbers give equal bytes
                    draw(results, theme).savefig(path, dpi=_DPI, metadata={"Software": None})
                written.append(path)
    except OSError as error:
        raise RunDirectoryError(f"{folder} cannot be written ({error.strerror})", "choose another folder") from error
    return written


def themes() -> list[Theme]:
    """Light and dark, from the page's style."""
    sheet = resources.files("privateyes.experiments.report").joinpath("templates", "page.css").read_text("utf-8")
    light, dark = re.findall(r":root \{(.*?)\}", sheet, re.DOTALL)[:2]
    return [
        Theme(name, dict(re.findall(r"--(\w+): (#\w+)", text))) for name, text in (("light", light), ("dark", dark))
    ]


@contextmanager
def _style(theme: Theme) -> Iterator[None]:
    ink, soft, paper = (theme.colours[name] for name in ("ink", "soft", "paper"))
    settings: dict[Any, Any] = {
        "figure.facecolor": paper,
        "savefig.facecolor": paper,
        "axes.facecolor": paper,
        "axes.edgecolor": theme.colours["rule"],
        "axes.labelcolor": soft,
        "axes.titlecolor": ink,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.axisbelow": True,
        "text.color": ink,
        "xtick.color": soft,
        "ytick.color": soft,
        "grid.color": theme.colours["grid"],
        "font.family": "DejaVu Sans",
        "font.size": 10,
        "legend.frameon": False,
        "text.parse_math": False,  # a dollar in a name is a dollar
    }
    with mpl.rc_context(settings):
        yield


def _figure(height: float, columns: int = 1) -> tuple[Figure, Sequence[Axes]]:
    figure = Figure(figsize=(8.6, height), layout="constrained")
    return figure, list(figure.subplots(1, columns, squeeze=False)[0])


def _mark(look: Method, theme: Theme) -> dict[str, Any]:
    """How matplotlib draws the mark of a method."""
    hollow = look.mark == "ring"
    return {
        "marker": _MARKERS[look.mark],
        "markersize": 11 if hollow else 7.5,
        "markerfacecolor": "none" if hollow else theme.of(look),
        "markeredgecolor": theme.of(look) if hollow else theme.colours["paper"],
        "markeredgewidth": 2 if hollow else 0.7,
        "linestyle": "none",
    }


def _title(results: Mapping[str, Any]) -> str:
    persons = counted(results["mean_predictor"]["persons"], results["persons_are"])
    seeds = "1 seed" if len(results["seeds"]) == 1 else f"{len(results['seeds'])} seeds"
    return f"{results['name']}: {results['model']}, {persons} never trained on, {seeds}"


def _errors(results: Mapping[str, Any], theme: Theme) -> Figure:
    """The methods' errors with their intervals and seeds."""
    metric, predictor = metric_of(results), results["mean_predictor"]
    rows = [
        (entry["method"], method(entry["method"]), entry, list(entry["per_seed"].values()))
        for entry in results["methods"]
    ]
    rows.append((metric.mean, _OTHER, predictor, []))
    figure, (axes,) = _figure(1.3 + 0.36 * len(rows))
    for index, (_, look, entry, seeds) in enumerate(rows):
        colour = theme.of(look)
        if entry["interval"] is not None:
            low, high = entry["interval"]
            axes.plot([low, high], [index, index], color=colour, marker="|", markersize=8, linewidth=1.8)
        axes.plot(seeds, [index + 0.27] * len(seeds), color=colour, marker="|", markersize=5, linestyle="none")
        axes.plot([entry["mean"]], [index], **_mark(look, theme))
        axes.annotate(
            metric.written(entry["mean"]), (1.01, index), xycoords=("axes fraction", "data"), va="center", weight="bold"
        )
    axes.set_yticks(range(len(rows)), [label for label, *_ in rows])
    for text, (_, look, *_) in zip(axes.get_yticklabels(), rows, strict=True):
        text.set_color(theme.of(look))
        text.set_fontweight("bold")
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x")
    over = f"line: 95 % interval over {results['persons_are']}, strokes: single seeds"
    axes.set_xlabel(metric.with_unit(f"mean {metric.measure}") + f"; {over}")
    axes.set_title(_title(results), loc="left", fontsize=10.5)
    return figure


def _curves(results: Mapping[str, Any], theme: Theme) -> Figure:
    """Errors against rounds and against processor seconds."""
    metric = metric_of(results)
    figure, axes = _figure(4.2, columns=2)
    for place, (against, label) in zip(axes, (("round", "round"), ("seconds", "processor seconds")), strict=True):
        taking = turns([_as_drawn(entry["curve"], against, results) for entry in results["methods"]])
        for entry, turn in zip(results["methods"], taking, strict=True):
            look, curve = method(entry["method"]), entry["curve"]
            x = [point[against] for point in curve]
            low, high = ([point[key] for point in curve] for key in ("low", "high"))
            broad = look.line_width > 3 and turn is None
            place.fill_between(x, low, high, color=theme.of(look), alpha=0.13, linewidth=0)
            place.plot(
                x,
                [point["error"] for point in curve],
                color=theme.of(look),
                linewidth=look.line_width * 0.75 if turn is None else _TURN_WIDTH,
                alpha=0.6 if broad else 1.0,
                zorder=3 - look.line_width / 10,  # broad lines below narrow ones
                linestyle=(0.0, _dashes(look)) if turn is None else _in_turn(turn),
                label=entry["method"] if against == "round" else None,
            )
        place.axhline(results["mean_predictor"]["mean"], color=theme.colours["soft"], linestyle=":", linewidth=1.2)
        place.grid(axis="y")
        place.set_xlabel(label)
    axes[0].set_ylabel(metric.with_unit(f"mean {metric.measure}"))
    axes[1].sharey(axes[0])
    axes[1].tick_params(labelleft=False)
    columns = min(4, len(results["methods"]))
    figure.legend(loc="outside lower center", ncols=columns, labelcolor="linecolor", handlelength=3)
    figure.suptitle(_title(results), x=0.01, ha="left", fontsize=10.5)
    return figure


def _as_drawn(
    curve: Sequence[Mapping[str, float]], against: str, results: Mapping[str, Any]
) -> list[tuple[float, float]]:
    """The curve's points in about the pixels of a chart on the page, which decide what coincides."""
    everywhere = [point for entry in results["methods"] for point in entry["curve"]]
    last = max((point[against] for point in everywhere), default=0.0) or 1.0
    highest = max([results["mean_predictor"]["mean"], *(point["error"] for point in everywhere)]) or 1.0
    return [(point[against] / last * _WIDTH_PX, point["error"] / highest * _HEIGHT_PX) for point in curve]


def _in_turn(turn: Turn) -> tuple[float, tuple[float, ...]]:
    """The line style of a curve that takes turns, in matplotlib's units, which are line widths."""
    return turn.offset / _TURN_WIDTH, tuple(float(part) / _TURN_WIDTH for part in turn.dashes.split())


def _dashes(look: Method) -> tuple[float, ...]:
    """The pattern in matplotlib's units, which are line widths."""
    return tuple(float(part) / look.line_width for part in look.dashes.split()) or (1, 0)


def _persons(results: Mapping[str, Any], theme: Theme) -> Figure:
    """Every person's error by every method."""
    metric = metric_of(results)
    methods = told_apart(results["methods"])
    people = sorted({name for entry in methods for name in entry["per_person"]})
    rows = ["mean", *people]
    figure, (axes,) = _figure(1.6 + 0.3 * len(rows))
    axes.axhspan(-0.5, 0.5, color=theme.colours["band"], linewidth=0)
    for entry in methods:
        errors = [entry["mean"], *(entry["per_person"].get(name) for name in people)]
        known = [(error, index) for index, error in enumerate(errors) if error is not None]
        mark = _mark(method(entry["method"]), theme)
        if is_secure(entry["method"]):  # smaller, so that the counterpart below stays visible
            mark["markersize"] = 4.5
        axes.plot(*zip(*known, strict=True), label=entry["method"], **mark)
    axes.set_yticks(range(len(rows)), rows)
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.grid(axis="x")
    axes.set_xlabel(metric.with_unit(f"mean {metric.measure}"))
    figure.legend(loc="outside lower center", ncols=min(5, len(methods)))
    axes.set_title(_title(results), loc="left", fontsize=10.5)
    return figure


def _costs(results: Mapping[str, Any], theme: Theme) -> Figure:
    """Processor seconds per round, and bytes of one client in a round."""
    names = [entry["method"] for entry in results["methods"]]
    figure, axes = _figure(1.3 + 0.34 * len(names), columns=2)
    seconds = [entry["seconds"]["cpu_per_round"] for entry in results["methods"]]
    axes[0].barh(range(len(names)), seconds, 0.55, color=[theme.of(method(name)) for name in names])
    axes[0].set_xlabel("processor seconds per round, all clients of a fold")
    axes[0].set_yticks(range(len(names)), names)
    for key, offset, colour in (("up", -0.17, "up"), ("down", 0.17, "down")):
        sizes = [entry["bytes"][f"{key}_per_client_round"] / 1e6 for entry in results["methods"]]
        places = [index + offset for index in range(len(names))]
        axes[1].barh(places, sizes, 0.3, color=theme.colours[colour], label=key)
    axes[1].set_xlabel("MB of one client in a round")
    axes[1].set_yticks(range(len(names)), [""] * len(names))
    axes[1].legend()
    for place in axes:
        place.set_ylim(len(names) - 0.4, -0.6)
        place.grid(axis="x")
        place.tick_params(axis="y", length=0)
    figure.suptitle(_title(results), x=0.01, ha="left", fontsize=10.5)
    return figure
