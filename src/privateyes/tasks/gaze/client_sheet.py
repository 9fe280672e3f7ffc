"""A picture of who looks where: each client's gaze distribution in a panel of its own, all on common axes.

Yaw grows to the left, as it does in the images, so a panel shows gazes as the camera sees them. The shading is the
client's; the line encloses the densest nine tenths of everybody's samples, for comparison.
"""

from __future__ import annotations

import io
import os
import textwrap
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from privateyes.errors import DataError
from privateyes.federation.partition import ClientStatistics
from privateyes.tasks.gaze.metrics import coordinates_of, metric_of_label

MOST_PANELS: Final = 60
_COLUMNS: Final = 6
_PANEL_INCH: Final = (1.75, 1.55)
_NARROWEST_INCH: Final = 5.6
_DPI: Final = 130
_PIXELS: Final = 33  # of a panel's shading along the wider axis; odd, so that the middle has one
_SHADES: Final = LinearSegmentedColormap.from_list("client", ["#ffffff", "#9ecae1", "#3182bd", "#08306b"])
_LINE: Final = "#e6550d"


@dataclass(frozen=True, slots=True, eq=False)
class Panel:
    """One client to draw.

    Attributes:
        statistics: the client in numbers.
        labels: (N, 2) gaze (pitch, yaw) in degrees, or points (x, y) in cm.
    """

    statistics: ClientStatistics
    labels: NDArray[np.floating] = field(repr=False)


def draw_clients(panels: Sequence[Panel], target: str, title: str) -> Figure:
    """Small multiples of the clients' gaze distributions.

    Args:
        panels: at least one; at most `MOST_PANELS` are drawn, evenly taken.
        target: "gaze" or "point": what the labels are.
        title: a line above them.

    Returns:
        A figure that no window system and no global state knows of.
    """
    chosen = [panels[i] for i in np.unique(np.linspace(0, len(panels) - 1, MOST_PANELS).round().astype(int))]
    columns = min(_COLUMNS, len(chosen))
    rows = -(-len(chosen) // columns)
    frame = _frame([panel.labels for panel in panels], target)
    width = max(columns * _PANEL_INCH[0] + 0.8, _NARROWEST_INCH)
    heading, legend = _heading(title, width, len(chosen), len(panels))
    above = 0.55 + 0.17 * len(heading) + 0.13 * len(legend)
    height = rows * _PANEL_INCH[1] + above + 0.43
    figure = Figure(figsize=(width, height), dpi=_DPI, facecolor="white")
    FigureCanvasAgg(figure)
    figure.text(0.1 / width, 1 - 0.1 / height, "\n".join(heading), va="top", fontsize=10, weight="bold")
    below = 1 - (0.17 + 0.17 * len(heading)) / height
    figure.text(0.1 / width, below, "\n".join(legend), va="top", fontsize=7.5, color="#444444")
    figure.text(0.5, 0.1 / height, _across_name(frame), ha="center", va="bottom", fontsize=8.5)
    figure.text(0.1 / width, 0.5, frame.names[1], ha="left", va="center", rotation=90, fontsize=8.5)
    right = min((0.67 + columns * _PANEL_INCH[0]) / width, 0.99)
    grid = figure.add_gridspec(
        rows, columns, left=0.62 / width, right=right, bottom=0.55 / height, top=1 - above / height,
        wspace=0.08, hspace=0.3,
    )  # fmt: skip
    shares = [_shares(panel.labels, frame) for panel in chosen]
    darkest = max(float(np.quantile(share[share > 0], 0.98)) for share in shares)
    outline = _shares(np.concatenate([panel.labels for panel in panels]), frame)
    for place, (panel, share) in enumerate(zip(chosen, shares, strict=True)):
        axes = figure.add_subplot(grid[place // columns, place % columns])
        _draw_panel(axes, panel, share, outline, frame, darkest)
        lowest = place + columns >= len(chosen)
        axes.tick_params(labelsize=7, length=2, labelleft=place % columns == 0, labelbottom=lowest)
    return figure


def write_clients(path: Path, figure: Figure) -> None:
    """Write the picture (the name's ending says which format), or leave `path` as it was.

    Raises:
        DataError: the format is not known, or the folder cannot be written.
    """
    kind = path.suffix.removeprefix(".").lower()
    known = figure.canvas.get_supported_filetypes()
    if kind not in known:
        raise DataError(f"{path}: no picture format", f"end the name with .png, .pdf or .svg, not {path.suffix!r}")
    drawn = io.BytesIO()
    figure.savefig(drawn, format=kind)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        temporary.write_bytes(drawn.getvalue())
        temporary.replace(path)
    except OSError as error:
        with suppress(OSError):
            temporary.unlink()
        raise DataError(f"{path}: the picture cannot be written ({error.strerror})", "choose another folder") from error


@dataclass(frozen=True, slots=True, eq=False)
class _Frame:
    """Common axes: which label goes across and which up, their edges and their names."""

    across: int
    up: int
    across_edges: NDArray[np.float64] = field(repr=False)
    up_edges: NDArray[np.float64] = field(repr=False)
    leftwards: bool
    names: tuple[str, str]


def _frame(labels: Sequence[NDArray[np.floating]], target: str) -> _Frame:
    everybody = np.concatenate(labels).astype(np.float64)
    across, up = (1, 0) if target == "gaze" else (0, 1)
    coordinates, word = coordinates_of(target), metric_of_label(target).word
    names = (f"{coordinates[across]}, {word}", f"{coordinates[up]}, {word}")
    # One far sample should not squeeze everybody else into a corner.
    low, high = np.quantile(everybody, [0.002, 0.998], axis=0)
    margin = np.maximum(0.06 * (high - low), 0.5)
    low, high = low - margin, high + margin
    edges = [np.linspace(low[axis], high[axis], _PIXELS + 1) for axis in (across, up)]
    return _Frame(across, up, edges[0], edges[1], target == "gaze", names)


def _shares(labels: NDArray[np.floating], frame: _Frame) -> NDArray[np.float64]:
    """Share of the samples in each pixel of a panel, (up, across); samples beyond the frame count at its border."""
    across = np.clip(labels[:, frame.across], frame.across_edges[0], frame.across_edges[-1])
    up = np.clip(labels[:, frame.up], frame.up_edges[0], frame.up_edges[-1])
    counts = np.histogram2d(up, across, bins=(frame.up_edges, frame.across_edges))[0]
    smooth = _blur(_blur(counts, 0), 1)
    total: NDArray[np.float64] = smooth / smooth.sum()
    return total


def _blur(counts: NDArray[np.float64], axis: int) -> NDArray[np.float64]:
    """Binomial weights 1 4 6 4 1 over neighbours: few samples would else be specks."""
    padded = np.pad(counts, [(2, 2) if index == axis else (0, 0) for index in range(2)])
    parts = [np.take(padded, range(shift, shift + counts.shape[axis]), axis=axis) for shift in range(5)]
    summed: NDArray[np.float64] = np.tensordot(np.array([1.0, 4.0, 6.0, 4.0, 1.0]) / 16.0, np.stack(parts), axes=1)
    return summed


def _draw_panel(
    axes: Axes,
    panel: Panel,
    share: NDArray[np.float64],
    outline: NDArray[np.float64],
    frame: _Frame,
    darkest: float,
) -> None:
    axes.pcolormesh(frame.across_edges, frame.up_edges, share, cmap=_SHADES, vmin=0, vmax=darkest, rasterized=True)
    middles = [(edges[1:] + edges[:-1]) / 2 for edges in (frame.across_edges, frame.up_edges)]
    axes.contour(*middles, outline, levels=[_level(outline, 0.9)], colors=[_LINE], linewidths=0.9)
    mean = panel.statistics.mean if frame.across == 0 else panel.statistics.mean[::-1]
    shown: dict[str, Any] = {"marker": "+", "markersize": 7, "color": "black", "markeredgewidth": 1.1}
    axes.plot(*_mean_in_unit(mean, frame), **shown)
    if frame.leftwards:
        axes.set_xlim(frame.across_edges[-1], frame.across_edges[0])
    axes.xaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 5, 10]))
    axes.yaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 5, 10]))
    for spine in axes.spines.values():
        spine.set(linewidth=0.6, color="#888888")
    entry = panel.statistics
    skew = f"skew {entry.distance:.2f} (chance {entry.distance_by_chance:.2f})"
    axes.set_title(f"{_shortened(entry.name)} · {entry.samples:,}\n{skew}", fontsize=7.5, pad=3)


def _mean_in_unit(mean: tuple[float, float], frame: _Frame) -> tuple[float, float]:
    if frame.leftwards:
        return float(np.rad2deg(mean[0])), float(np.rad2deg(mean[1]))
    return mean


def _level(shares: NDArray[np.float64], enclosed: float) -> float:
    """The density above which pixels hold that part of everything."""
    falling = np.sort(shares, axis=None)[::-1]
    return float(falling[min(int(np.searchsorted(np.cumsum(falling), enclosed)), len(falling) - 1)])


def _heading(title: str, width: float, shown: int, count: int) -> tuple[list[str], list[str]]:
    """Title and legend in lines that fit a figure `width` inches wide."""
    some = "" if shown == count else f" {shown} of {count} clients are drawn."
    legend = (
        "Shading: density of a client's samples, one scale for all. Line: the densest 90 % of everybody's. +: mean. "
        "Beside each name: samples. Skew: total variation distance from everybody's, and what blind draws of that size "
        f"show.{some}"
    )
    return textwrap.wrap(title, int(width / 0.085)), textwrap.wrap(legend, int(width / 0.058))


def _across_name(frame: _Frame) -> str:
    return f"{frame.names[0]}  (left in the panel is left in the image)" if frame.leftwards else frame.names[0]


def _shortened(name: str) -> str:
    return name if len(name) <= 16 else f"{name[:8]}…{name[-7:]}"
