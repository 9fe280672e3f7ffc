"""NVGaze's real recordings, read as the authors of PrivatEyes read them [DualView code].

    SOURCE/01.csv     14 lines of preamble, then: image's name, eye (L or R), gaze x, gaze y (radians)
    SOURCE/01/        the images, 640x480

Their program uses the first 2999 lines of each list; `subset="all"` takes all lines. If one of the first 14 lines names
the columns (imagefile,eye,gaze_x,gaze_y), columns are taken by name and data begin below it; else they begin at line
15.

The unit is radians in the files that public readers describe ([acomoeye-NN]). A list of which nearly all angles would
be beyond 90 degrees then is taken for degrees, and a warning says so. That reader offers to halve the real angles, to
match the definition of the synthetic ones. They are taken as they are here; a person whose labels span far more than
the field of 30x40 degrees that the paper names gets a warning.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from types import MappingProxyType
from typing import Final

import numpy as np
from numpy.typing import NDArray

from privateyes.errors import DataError
from privateyes.tasks.gaze.prepare import nvgaze_labels as labels
from privateyes.tasks.gaze.prepare import pictures
from privateyes.tasks.gaze.prepare.converter import ConvertOptions, packed_error, still_packed, stop_or_skip
from privateyes.tasks.gaze.prepare.rows import Row
from privateyes.tasks.gaze.prepare.tally import Tally

PREAMBLE: Final = 14
# The program counts from 1 and stops at 3000.
EVALUATED: Final = 2999
NUMBER: Final = re.compile(r"[0-9]{2}")
_LIST: Final = re.compile(r"([0-9]{2})\.csv")
# Half of the field's wider side, 40 degrees, with a margin for glances beyond the target.
_WIDE_RAD: Final = np.deg2rad(25.0)
# So many labels, and this share of them, have to be too large for radians before they are taken for degrees.
_FEWEST_FOR_A_UNIT: Final = 5
_NEARLY_ALL: Final = 0.9
_POSITIONS: Final[Mapping[str, int]] = MappingProxyType({"image": 0, "eye": 1, "gazex": 2, "gazey": 3})
_NAMES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "imagefile": "image",
        "imagename": "image",
        "filename": "image",
        "image": "image",
        "name": "image",
        "eye": "eye",
        "gazex": "gazex",
        "gazey": "gazey",
    }
)


@dataclass(frozen=True, slots=True)
class _List:
    """Where a list's data stand.

    Attributes:
        first_line: counted from 1.
        columns: "image", "eye", "gazex", "gazey" -> position.
        unit_rad: one unit of the gaze angles, radians.
    """

    first_line: int
    columns: Mapping[str, int]
    unit_rad: float = 1.0


def persons(source: Path) -> list[str]:
    """p01, p02, ... for every 01.csv, 02.csv, ..., sorted.

    Beside lists, a folder 03/ without a list counts as well, and so does an archive 03.zip: what is missing is reported
    when p03 is converted.
    """
    try:
        found = list(source.iterdir())
    except OSError as error:
        raise DataError(f"{source} cannot be listed ({error.strerror})", "name the unpacked folder") from error
    numbers = {match[1] for path in found if (match := _LIST.fullmatch(path.name))}
    if numbers:
        numbers |= {path.name for path in found if NUMBER.fullmatch(path.name) and os.path.isdir(path)}
        numbers |= still_packed(source, NUMBER).keys()
    return sorted(f"p{number}" for number in numbers)


def source_files(source: Path, person: str) -> list[Path]:
    """The list and the folder of images."""
    number = person.removeprefix("p")
    return [path for path in (source / f"{number}.csv", source / number) if os.path.exists(path)]


def rows(source: Path, person: str, size: tuple[int, int], options: ConvertOptions, tally: Tally) -> Iterator[Row]:
    """A person's rows, in the order of the list.

    Args:
        source: the folder of lists.
        person: such as p01.
        size: (height, width) that images are brought to.
        options: `subset` and `skip_damaged` count.
        tally: told what is skipped.

    Raises:
        DataError: the list or the folder is missing, or the list as a whole is damaged or in another unit.
    """
    number = person.removeprefix("p")
    path, folder = source / f"{number}.csv", source / number
    most = EVALUATED if options.subset == "evaluation" else None
    try:
        if number in still_packed(source, NUMBER):
            raise packed_error(still_packed(source, NUMBER)[number])
        if not os.path.isdir(folder):
            raise DataError(f"{folder}: the folder of the images that {path.name} lists is missing", "copy it again")
        labels.refuse_other_separator(path)
        table = _find_columns(path)
        table = replace(table, unit_rad=_look_at_labels(path, table, most, tally))
    except DataError as error:
        stop_or_skip(error, options, tally)
        return
    yield from _read_images(folder, path, (table, most, size), tally)


def _read_images(
    folder: Path, path: Path, plan: tuple[_List, int | None, tuple[int, int]], tally: Tally
) -> Iterator[Row]:
    table, most, size = plan
    seen: set[str] = set()
    first_size: tuple[int, int] | None = None
    for line, cells in islice(_data(path, table), most):
        row = _parse(cells, table, seen)
        if isinstance(row, str):
            tally.skip(row, f"{path.name}, line {line}: {','.join(cells)}")
            continue
        name, eye, gaze = row
        what = f"{folder.name}/{name}"
        if pictures.is_missing(folder / name):
            tally.skip(labels.MISSING, what)
            continue
        try:
            picture = pictures.read_picture(folder / name, what)
        except DataError as error:
            tally.skip(labels.UNREADABLE, error.problem)
            continue
        if pictures.is_turned(picture):
            tally.skip(pictures.TURNED, what)
            continue
        first_size = first_size or picture.size
        if picture.size != first_size:
            tally.skip(labels.OTHER_SIZE, f"{what}: {picture.width}x{picture.height}")
            continue
        image = pictures.grey_pixels(picture, size)
        yield {"image": image[:, ::-1] if eye else image, "gaze": gaze, "eye": np.uint8(eye), "frame": what}


def _parse(cells: list[str], table: _List, seen: set[str]) -> tuple[str, int, NDArray[np.float32]] | str:
    """(name, eye, gaze) of a row, or why there is none. `seen` holds the names of earlier rows."""
    columns = table.columns
    if len(cells) <= max(columns.values()):
        return labels.TOO_FEW
    name = cells[columns["image"]]
    if not labels.is_plain_name(name):
        return labels.BAD_NAME
    if name in seen:
        return labels.TWICE
    seen.add(name)
    eye = labels.parse_eye(cells[columns["eye"]])
    if eye is None:
        return labels.BAD_EYE
    x, y = (labels.parse_angle(cells[columns[part]], table.unit_rad) for part in ("gazex", "gazey"))
    if isinstance(x, str) or isinstance(y, str):
        return x if isinstance(x, str) else str(y)
    return name, eye, labels.pitch_yaw(x, y, eye)


def _data(path: Path, table: _List) -> Iterator[tuple[int, list[str]]]:
    return ((line, cells) for line, cells in labels.read_rows(path) if line >= table.first_line)


def _find_columns(path: Path) -> _List:
    """Where the data begin, and which column is which.

    Raises:
        DataError: a line that names columns lacks one or has one twice, or there is no preamble.
    """
    for line, cells in labels.read_rows(path):
        if line > PREAMBLE:
            break
        keys = [re.sub(r"[^a-z]", "", cell.lower()) for cell in cells]
        if "gazex" in keys and "gazey" in keys:
            return _List(line + 1, _named_columns(path, line, keys))
        if len(cells) >= len(_POSITIONS) and not any(isinstance(labels.parse_angle(c, 1.0), str) for c in cells[2:4]):
            problem = f"{path}: line {line} looks like data, but the first {PREAMBLE} lines are the preamble"
            raise DataError(
                problem, "restore the original list, or name the columns in line 1: imagefile,eye,gaze_x,gaze_y"
            )
    return _List(PREAMBLE + 1, _POSITIONS)


def _named_columns(path: Path, line: int, keys: list[str]) -> Mapping[str, int]:
    columns: dict[str, int] = {}
    for position, key in enumerate(keys):
        part = _NAMES.get(key)
        if part is None:
            continue
        if part in columns:
            raise DataError(f"{path}, line {line}: two columns could be the {part}", "restore the original list")
        columns[part] = position
    for part in _POSITIONS:
        if part not in columns:
            raise DataError(f"{path}, line {line}: there is no column for the {part}", "restore the original list")
    return columns


def _look_at_labels(path: Path, table: _List, most: int | None, tally: Tally) -> float:
    """Read the whole list once, so that a fault of all of it is found before the first image.

    Returns:
        One unit of its angles, radians.

    Raises:
        DataError: the list is damaged, empty or in an unknown unit.
    """
    total, pairs = 0, []
    for _, cells in _data(path, table):
        total += 1
        pair = labels.pair_of(cells, (table.columns["gazex"], table.columns["gazey"]))
        pairs += [pair] if pair else []
    if total == 0:
        raise DataError(f"{path}: there is no row below the preamble", "copy it again")
    angles = np.array(pairs, dtype=np.float64).reshape(-1, 2)
    unit_rad = _unit_of(path, angles, tally)
    if len(angles) and np.median(np.abs(angles).max(axis=1)) * unit_rad > _WIDE_RAD:
        tally.warn(f"{path.name}: most gazes are beyond 25 degrees: labels may be twice the angle (docs/data.md)")
    if most is not None and total > most:
        tally.warn(f"{path.name}: the first {most} of {total} rows are used; the subset 'all' takes all")
    return unit_rad


def _unit_of(path: Path, angles: NDArray[np.float64], tally: Tally) -> float:
    """One unit of a list's angles (N, 2), radians: 1, or a degree if they cannot be radians.

    In degrees, hardly a gaze in a hundred is within 1.6 of straight ahead in both directions.

    Raises:
        DataError: they cannot be degrees either.
    """
    largest = np.abs(angles).max(axis=1)
    if len(angles) >= _FEWEST_FOR_A_UNIT and np.mean(largest >= np.pi / 2) >= _NEARLY_ALL and np.median(largest) < 90:
        tally.warn(f"{path.name}: gaze angles are taken for degrees, since nearly all are too large for radians")
        return float(np.deg2rad(1.0))
    labels.refuse_other_unit(path, angles, "rad")
    return 1.0
