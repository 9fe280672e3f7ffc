"""Contact sheets: one picture per person with eyes from right to left and arrows where the labels say they look.

Where only points of gaze are known, each image carries its point in cm.

A look at a sheet shows at once what statistics hide: swapped or negated angles, unmirrored right eyes, empty images.
A sheet shows a person's eyes. It belongs where the data is and nowhere else.
"""

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import Iterable
from dataclasses import dataclass, field
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
from privateyes.tasks.gaze.dataset import Person, load_images, load_labels

_COLUMNS: Final = 8
_DPI: Final = 110
_TILE_WIDTH_INCH: Final = 1.5
_TITLE_INCH: Final = 0.55
# Gazes stay within 25 degrees of the camera, whose arrows would be too short to read.
_ARROW_GAIN: Final = 1.6
_ARROW_COLOUR: Final = "#d1495b"


@dataclass(frozen=True, slots=True)
class Sheet:
    """What is on one sheet.

    Attributes:
        name: whose images.
        labels: (N, 2) all labels of the person: gaze (pitch, yaw) in radians, or points in cm.
        angles: whether the labels are angles.
        rows: (n,) the rows shown, in order.
        images: (n, H, W) or (n, H, W, 3) uint8, the images at these rows.
    """

    name: str
    labels: NDArray[np.float32] = field(repr=False)
    angles: bool
    rows: NDArray[np.intp] = field(repr=False)
    images: NDArray[np.uint8] = field(repr=False)


def sheet_of_person(person: Person, count: int = 48) -> Sheet:
    """Some of a person's images, evenly spaced in the order of yaw, or of the point's x where there is no gaze.

    Args:
        person: at least one image, with gaze or with the column point.
        count: how many images at most; >= 1.
    """
    labels = person.columns["point"] if person.gaze is None else person.gaze
    rows = _choose(labels, person.gaze is not None, count)
    return Sheet(person.name, labels, person.gaze is not None, rows, person.image[rows])


def sheet_of_file(path: Path, name: str, count: int = 48) -> Sheet:
    """The same from a file, of which only the images that are shown are read.

    Raises:
        DataError: the file or the person breaks a rule of the layout.
    """
    labels = load_labels(path, name)
    angles = "gaze" in labels
    target = labels["gaze"] if angles else labels["point"]
    rows = _choose(target, angles, count)
    return Sheet(name, target, angles, rows, load_images(path, name, rows))


def draw_contact_sheet(sheet: Sheet) -> Figure:
    """Draw images with their labels.

    An arrow starts at the image's centre and is the gaze vector seen by the camera: (dx, dy) = (-cos p sin y, -sin p).
    A point is written as numbers: whether the camera's picture is mirrored is not known here.

    Returns:
        A figure that no window system and no global state knows of.
    """
    rows = -(-len(sheet.rows) // _COLUMNS)
    height, width = sheet.images.shape[1:3]
    size = (_COLUMNS * _TILE_WIDTH_INCH, rows * _TILE_WIDTH_INCH * height / width + _TITLE_INCH)
    figure = Figure(figsize=size, dpi=_DPI, facecolor="white")
    FigureCanvasAgg(figure)
    top = 1 - _TITLE_INCH / size[1]
    grid = figure.add_gridspec(rows, _COLUMNS, left=0.005, right=0.995, bottom=0.01, top=top, wspace=0.03, hspace=0.05)
    for place, (row, image) in enumerate(zip(sheet.rows, sheet.images, strict=True)):
        axes = figure.add_subplot(grid[place // _COLUMNS, place % _COLUMNS])
        _draw_image(axes, image)
        if sheet.angles:
            _draw_arrow(axes, (height, width), sheet.labels[row])
        else:
            _write_point(axes, sheet.labels[row])
    figure.text(0.008, 1 - 0.16 / size[1], _title(sheet), va="top", fontsize=11)
    return figure


def write_contact_sheets(folder: Path, sheets: Iterable[Sheet]) -> list[Path]:
    """Write `<name>.png` for every sheet.

    Args:
        folder: is made if it is missing.
        sheets: may be a generator.

    Returns:
        The files, in the order of the sheets.

    Raises:
        DataError: the folder cannot be made or written.
    """
    return [_write_sheet(folder, sheet) for sheet in sheets]


def _write_sheet(folder: Path, sheet: Sheet) -> Path:
    path = folder / f"{sheet.name}.png"
    drawn = io.BytesIO()
    draw_contact_sheet(sheet).savefig(drawn, format="png")
    temporary = folder / f".{sheet.name}.{os.getpid()}.part"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        temporary.write_bytes(drawn.getvalue())
        temporary.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise DataError(f"{path}: the contact sheet cannot be written", "choose another folder") from error
    return path


def _choose(labels: NDArray[np.float32], angles: bool, count: int) -> NDArray[np.intp]:
    order = np.argsort(labels[:, 1 if angles else 0], kind="stable")
    places = np.linspace(0, len(order) - 1, min(count, len(order))).round().astype(np.intp)
    chosen: NDArray[np.intp] = order[places]
    return chosen


def _draw_image(axes: Axes, image: NDArray[np.uint8]) -> None:
    height, width = image.shape[:2]
    axes.imshow(image, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
    axes.set(xlim=(-0.5, width - 0.5), ylim=(height - 0.5, -0.5))
    axes.set_axis_off()


def _draw_arrow(axes: Axes, shape: tuple[int, ...], gaze: NDArray[np.float32]) -> None:
    height, width = shape
    right, down = vectors_from_angles(gaze)[:2] * (_ARROW_GAIN * height)
    start = ((width - 1) / 2, (height - 1) / 2)
    end = (start[0] + right, start[1] + down)
    arrow = FancyArrowPatch(
        start, end, arrowstyle="->", color=_ARROW_COLOUR, linewidth=1.5, mutation_scale=9, shrinkA=0, shrinkB=0
    )
    # A white rim keeps the arrow visible on dark irises and on light skin.
    arrow.set_path_effects([withStroke(linewidth=3.5, foreground="white")])
    axes.add_patch(arrow)


def _write_point(axes: Axes, point: NDArray[np.float32]) -> None:
    text = f"{point[0]:+.1f}, {point[1]:+.1f} cm"
    written = axes.text(0.5, 0.03, text, transform=axes.transAxes, ha="center", fontsize=8)
    written.set_path_effects([withStroke(linewidth=2.5, foreground="white")])


def _title(sheet: Sheet) -> str:
    labels = sheet.labels.astype(np.float64)
    mean, spread = (f(np.rad2deg(labels) if sheet.angles else labels, axis=0) for f in (np.mean, np.std))
    shown = f"{sheet.name}: {len(sheet.rows)} of {len(sheet.labels)} images, sorted by "
    if sheet.angles:
        return (
            f"{shown}yaw (first looks furthest to the image's right).  "
            f"Gaze in degrees, mean ± SD: pitch {mean[0]:.1f} ± {spread[0]:.1f}, yaw {mean[1]:.1f} ± {spread[1]:.1f}"
        )
    return (
        f"{shown}the point's x.  "
        f"Point in cm, mean ± SD: x {mean[0]:.1f} ± {spread[0]:.1f}, y {mean[1]:.1f} ± {spread[1]:.1f}"
    )
