"""NVGaze's labels: reading its CSV files, and what its two gaze angles mean.

A label is a pair of angles (x, y): x between straight ahead and the gaze's projection on the horizontal plane, y
between straight ahead and its projection on the vertical plane, so that the gaze is along (tan x, tan y, 1). x is
positive to the person's right, y upwards; straight ahead is the headset's, and the person's right is on the image's
left. Nothing in the release says so; this is how public readers of the set take it ([acomoeye-NN] for the projections).
`privateyes data check` compares the signs with the pixels.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from types import MappingProxyType
from typing import Final

import numpy as np
from numpy.typing import NDArray

from privateyes.errors import DataError

TOO_FEW: Final = "row has another number of columns than the header"
NO_NUMBER: Final = "gaze is no number"
OUT_OF_RANGE: Final = "gaze is 90 degrees or more off"
BAD_EYE: Final = "eye is neither left nor right"
BAD_NAME: Final = "image is named by a path"
TWICE: Final = "image is listed twice"
MISSING: Final = "image is missing"
UNREADABLE: Final = "image cannot be read"
OTHER_SIZE: Final = "image is of another size than the first"

_EYES: Final = {"l": 0, "left": 0, "r": 1, "right": 1}
# So few labels may all be small, or all be damaged, by chance.
_FEWEST_TO_JUDGE: Final = 20
_COPY: Final = "copy it again"
# A row has four columns at least.
_FEWEST_SEPARATORS: Final = 3
_OTHER_SEPARATORS: Final = MappingProxyType({";": "semicolons (;)", "\t": "tabs", "|": "bars (|)"})
_LINES_TO_JUDGE: Final = 200
# What file systems allow.
_LONGEST_NAME_BYTES: Final = 255


def pitch_yaw(x: float, y: float, eye: int) -> NDArray[np.float32]:
    """(pitch, yaw), radians, of a pair of projection angles.

    yaw = x, since both are angles in the horizontal plane; tan(pitch) = tan(y) cos(x), since pitch is measured against
    the gaze's own projection. Right eyes are mirrored to look like left ones, which turns yaw's sign.

    Args:
        x: horizontal angle, radians, within -pi/2 and pi/2.
        y: vertical angle, radians, likewise.
        eye: 0 left, 1 right.
    """
    pitch = np.arctan(np.tan(y) * np.cos(x))
    return np.array([pitch, -x if eye else x], dtype=np.float32)


def parse_angle(text: str, unit_rad: float) -> float | str:
    """An angle in radians, or the reason why there is none.

    Args:
        text: the cell.
        unit_rad: one unit of the column, in radians.
    """
    try:
        angle = float(text) * unit_rad
    except ValueError:
        return NO_NUMBER
    if not np.isfinite(angle):
        return NO_NUMBER
    return angle if abs(angle) < np.pi / 2 else OUT_OF_RANGE


def parse_eye(text: str) -> int | None:
    """0 for a left eye (L, left), 1 for a right one (R, right), None for anything else."""
    return _EYES.get(text.strip().lower())


def is_plain_name(name: str) -> bool:
    """Whether a file's name is a name only: no folder, no drive, nothing that leaves the folder."""
    return 0 < len(name.encode()) <= _LONGEST_NAME_BYTES and name not in (".", "..") and not set(name) & set("/\\:\0")


def pair_of(cells: Sequence[str], positions: tuple[int, int]) -> tuple[float, float] | None:
    """Two finite numbers of a row as they stand in the file, or None."""
    if len(cells) <= max(positions):
        return None
    try:
        x, y = (float(cells[position]) for position in positions)
    except ValueError:
        return None
    return (x, y) if np.isfinite((x, y)).all() else None


def read_rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    """The rows of a CSV file as (line, cells without spaces around them); empty lines are left out.

    A line is a row: a lost quotation mark damages its own row and swallows no other.

    Raises:
        DataError: the file is missing, no UTF-8 text, or no CSV.
    """
    try:
        with path.open(encoding="utf-8-sig") as file:
            for number, line in enumerate(file, 1):
                cells = [cell.strip() for cell in next(csv.reader([line]), [])]
                if any(cells):
                    yield number, cells
    except FileNotFoundError as error:
        raise DataError(f"{path}: there is no such file", _COPY) from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: no UTF-8 text ({error.reason})", _COPY) from error
    except (OSError, csv.Error) as error:
        raise DataError(f"{path} cannot be read ({error})", _COPY) from error


def refuse_other_separator(path: Path) -> None:
    """Refuse a list whose columns are separated by something else than commas, as spreadsheets in many languages do.

    Raises:
        DataError: it is one, or cannot be read.
    """
    lines = [",".join(cells) for _, cells in islice(read_rows(path), _LINES_TO_JUDGE)]
    commas = sum(line.count(",") >= _FEWEST_SEPARATORS for line in lines)
    for separator, name in _OTHER_SEPARATORS.items():
        if sum(line.count(separator) >= _FEWEST_SEPARATORS for line in lines) > commas:
            problem = f"{path}: the columns are separated by {name} and not by commas"
            raise DataError(problem, "save the list with commas, and with points in its numbers")


def refuse_other_unit(path: Path, pairs: NDArray[np.float64], unit: str) -> None:
    """Refuse a file whose labels as a whole are not in the unit that its column should have.

    Args:
        path: named in the message.
        pairs: (N, 2) finite numbers as they stand in the file.
        unit: "rad" or "deg", what they should be.

    Raises:
        DataError: most of the numbers would be beyond 90 degrees, or all of them below 1.6 degrees.
    """
    if len(pairs) < _FEWEST_TO_JUDGE:
        return
    largest = np.abs(pairs).max(axis=1)
    if np.median(largest) >= (np.pi / 2 if unit == "rad" else 90):
        problem = f"{path}: most gaze angles are 90 degrees or more if they are in {unit}"
        raise DataError(problem, "the file is no original: restore its labels")
    if unit == "deg" and largest.max() < np.pi / 2:
        problem = f"{path}: no gaze angle reaches 1.6 degrees, so they may be radians and not degrees"
        raise DataError(problem, "the file is no original: restore its labels")
