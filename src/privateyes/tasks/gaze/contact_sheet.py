"""Contact sheets: one picture per person with eyes from right to left and arrows where the labels say they look.

A look at a sheet shows at once what statistics hide: swapped or negated angles, unmirrored right eyes, empty images.
A sheet shows a person's eyes. It belongs where the data is and nowhere else.
"""

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch
from matplotlib.patheffects import withStroke
from numpy.typing import NDArray

from privateyes.errors import DataError
from privateyes.tasks.gaze.angles import vectors_from_angles
from privateyes.tasks.gaze.dataset import Person

_COLUMNS: Final = 8
_DPI: Final = 110
_TILE_WIDTH_INCH: Final = 1.5
_TITLE_INCH: Final = 0.55
# Gazes stay within 25 degrees of the camera, whose arrows would be too short to read.
_ARROW_GAIN: Final = 1.6
_ARROW_COLOUR: Final = "#d1495b"


def draw_contact_sheet(person: Person, count: int = 48) -> Figure:
    """Draw some of a person's eyes, sorted by yaw, with their gaze.

    The arrow starts at the image's centre and is the gaze vector seen by the camera: (dx, dy) = (-cos p sin y, -sin p).

    Args:
        person: at least one image.
        count: how many eyes at most, evenly spaced in the order of yaw; >= 1.

    Returns:
        A figure that no window system and no global state knows of.
    """
    chosen = _evenly_by_yaw(person.gaze, count)
    rows = -(-len(chosen) // _COLUMNS)
    height, width = person.image.shape[1:]
    size = (_COLUMNS * _TILE_WIDTH_INCH, rows * _TILE_WIDTH_INCH * height / width + _TITLE_INCH)
    figure = Figure(figsize=size, dpi=_DPI, facecolor="white")
    FigureCanvasAgg(figure)
    top = 1 - _TITLE_INCH / size[1]
    grid = figure.add_gridspec(rows, _COLUMNS, left=0.005, right=0.995, bottom=0.01, top=top, wspace=0.03, hspace=0.05)
    for place, row in enumerate(chosen):
        axes = figure.add_subplot(grid[place // _COLUMNS, place % _COLUMNS])
        _draw_eye(axes, person.image[row], person.gaze[row])
    figure.text(0.008, 1 - 0.16 / size[1], _title(person, len(chosen)), va="top", fontsize=11)
    return figure


def write_contact_sheets(folder: Path, persons: Iterable[Person], count: int = 48) -> list[Path]:
    """Write `<name>.png` for every person.

    Args:
        folder: is made if it is missing.
        persons: whose eyes to draw; may be a generator.
        count: how many eyes at most on each sheet.

    Returns:
        The files, in the order of the persons.

    Raises:
        DataError: the folder cannot be made or written.
    """
    return [_write_sheet(folder, person, count) for person in persons]


def _write_sheet(folder: Path, person: Person, count: int) -> Path:
    path = folder / f"{person.name}.png"
    drawn = io.BytesIO()
    draw_contact_sheet(person, count).savefig(drawn, format="png")
    temporary = folder / f".{person.name}.{os.getpid()}.part"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        temporary.write_bytes(drawn.getvalue())
        temporary.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise DataError(f"{path}: the contact sheet cannot be written", "choose another folder") from error
    return path


def _evenly_by_yaw(gaze: NDArray[np.float32], count: int) -> NDArray[np.intp]:
    order = np.argsort(gaze[:, 1], kind="stable")
    places = np.linspace(0, len(order) - 1, min(count, len(order))).round().astype(np.intp)
    chosen: NDArray[np.intp] = order[places]
    return chosen


def _draw_eye(axes: Axes, image: NDArray[np.uint8], gaze: NDArray[np.float32]) -> None:
    height, width = image.shape
    axes.imshow(image, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
    right, down = vectors_from_angles(gaze)[:2] * (_ARROW_GAIN * height)
    start = ((width - 1) / 2, (height - 1) / 2)
    end = (start[0] + right, start[1] + down)
    arrow = FancyArrowPatch(
        start, end, arrowstyle="->", color=_ARROW_COLOUR, linewidth=1.5, mutation_scale=9, shrinkA=0, shrinkB=0
    )
    # A white rim keeps the arrow visible on dark irises and on light skin.
    arrow.set_path_effects([withStroke(linewidth=3.5, foreground="white")])
    axes.add_patch(arrow)
    axes.set(xlim=(-0.5, width - 0.5), ylim=(height - 0.5, -0.5))
    axes.set_axis_off()


def _title(person: Person, shown: int) -> str:
    mean, spread = (np.rad2deg(f(person.gaze.astype(np.float64), axis=0)) for f in (np.mean, np.std))
    return (
        f"{person.name}: {shown} of {len(person)} images, sorted by yaw (first looks furthest to the image's right).  "
        f"Gaze in degrees, mean ± SD: pitch {mean[0]:.1f} ± {spread[0]:.1f}, yaw {mean[1]:.1f} ± {spread[1]:.1f}"
    )
