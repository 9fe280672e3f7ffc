"""NVGaze's synthetic set, as NVIDIA publishes it and its own programs read it [NVGaze code].

    nvgaze_{female,male}_NN_public_50K_K/footage_description.csv   a header whose names carry types, one row for each
    image nvgaze_{female,male}_NN_public_50K_K/footage_image_data.zip    PNG files, read from the archive

Columns used, wherever they stand: archive, image_L_0 or image_R_0, float_gaze_x_degree, float_gaze_y_degree, and if
there is one, string_eye. float_blink, from 0 (open) to 1 (closed), decides whether an eye is open enough to have a
gaze. All other columns, and the masks in the archive, are left out. The packages K of one subject are one person.
"""

from __future__ import annotations

import os
import re
import struct
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

import numpy as np
from PIL import Image

from privateyes.errors import DataError
from privateyes.tasks.gaze.prepare import nvgaze_labels as labels
from privateyes.tasks.gaze.prepare import pictures
from privateyes.tasks.gaze.prepare.converter import ConvertOptions, packed_error, still_packed, stop_or_skip
from privateyes.tasks.gaze.prepare.rows import Row
from privateyes.tasks.gaze.prepare.tally import Tally

LARGEST_BLINK: Final = 0.5
LABELS: Final = "footage_description.csv"
IMAGES: Final = "footage_image_data.zip"

CLOSED: Final = "eye is closed"
NO_BLINK: Final = "float_blink is no number"
OTHER_EYE: Final = "string_eye contradicts the image's column"
NO_ARCHIVE: Final = "archive is missing or damaged"

_PACKAGE: Final = re.compile(r"nvgaze_((?:female|male)_[0-9]{2})_public_[0-9]+K_([0-9]{1,4})")
_GAZE: Final = ("float_gaze_x_degree", "float_gaze_y_degree")
_LARGEST_BYTES: Final = 64 << 20
# What zipfile and its decompressors raise for damaged archives; RuntimeError stands for encrypted members.
_DAMAGE: Final = (zipfile.BadZipFile, zlib.error, struct.error, OSError, EOFError, ValueError, RuntimeError)
_COPY: Final = "copy it again"
_Archives = dict[str, zipfile.ZipFile | None]


def packages(source: Path) -> Mapping[str, list[Path]]:
    """Person -> folders of its packages, in the order of their numbers; persons are sorted.

    The archive of a package that is still packed stands for its folder, so that `rows` reports it.
    """
    try:
        there = {path.name: path for path in source.iterdir() if os.path.isdir(path)} | still_packed(source, _PACKAGE)
        found = [(match, path) for name, path in there.items() if (match := _PACKAGE.fullmatch(name))]
    except OSError as error:
        raise DataError(f"{source} cannot be listed ({error.strerror})", "name the unpacked folder") from error
    grouped: dict[str, list[Path]] = {}
    for match, path in sorted(found, key=lambda entry: (entry[0][1], int(entry[0][2]), entry[1].name)):
        grouped.setdefault(match[1], []).append(path)
    return grouped


def source_files(folders: list[Path]) -> list[Path]:
    """The lists and archives of a person's packages, and packages that are still packed."""
    files = [path for folder in folders for path in (folder / LABELS, folder / IMAGES, folder)]
    return [path for path in files if os.path.isfile(path)]


def rows(folders: list[Path], size: tuple[int, int], options: ConvertOptions, tally: Tally) -> Iterator[Row]:
    """A person's rows, package by package.

    Args:
        folders: of its packages.
        size: (height, width) that images are brought to.
        options: `largest_blink` and `skip_damaged` count.
        tally: told what is skipped.

    Raises:
        DataError: a list or an archive as a whole is missing or damaged.
    """
    blink = LARGEST_BLINK if options.largest_blink is None else options.largest_blink
    first_size: list[tuple[int, int]] = []
    for folder in folders:
        with ExitStack() as stack:
            try:
                if os.path.isfile(folder):
                    raise packed_error(folder)
                labels.refuse_other_separator(folder / LABELS)
                columns = _find_columns(folder / LABELS, blink)
                _look_at_labels(folder / LABELS, columns)
                archives: _Archives = {IMAGES: stack.enter_context(_open_archive(folder / IMAGES))}
            except DataError as error:
                stop_or_skip(error, options, tally)
                continue
            yield from _Package(folder, columns, archives, stack).rows((size, blink), first_size, tally)


class _Package:
    """One package while its archives are open."""

    def __init__(self, folder: Path, columns: Mapping[str, int], archives: _Archives, stack: ExitStack) -> None:
        self._folder = folder
        self._columns = columns
        self._archives = archives
        self._stack = stack
        self._image_column = next(name for name in columns if name.startswith("image_"))

    def rows(
        self, settings: tuple[tuple[int, int], float], first_size: list[tuple[int, int]], tally: Tally
    ) -> Iterator[Row]:
        """Usable rows; `first_size` carries the size of the person's first image from package to package."""
        size, blink = settings
        seen: set[tuple[str, str]] = set()
        for line, cells in _data(self._folder / LABELS):
            parsed = self._parse(cells, blink, seen)
            if isinstance(parsed, str):
                tally.skip(parsed, f"{self._folder.name}, line {line}: {','.join(cells)}")
                continue
            archive, name, eye, gaze = parsed
            what = f"{self._folder.name}/{name}"
            picture = self._picture(archive, name, what)
            if isinstance(picture, tuple):
                tally.skip(*picture)
                continue
            first_size += [] if first_size else [picture.size]
            if picture.size != first_size[0]:
                tally.skip(labels.OTHER_SIZE, f"{what}: {picture.width}x{picture.height}")
                continue
            image = pictures.grey_pixels(picture, size)
            yield {"image": image[:, ::-1] if eye else image, "gaze": gaze, "eye": np.uint8(eye), "frame": what}

    def _parse(self, cells: list[str], blink: float, seen: set[tuple[str, str]]) -> tuple[str, str, int, Any] | str:
        """(archive, name, eye, gaze) of a row, or why there is none. `seen` holds the images of earlier rows."""
        if len(cells) != self._columns["width"]:
            return labels.TOO_FEW
        archive, name = cells[self._columns["archive"]], cells[self._columns[self._image_column]]
        if not labels.is_plain_name(archive) or not labels.is_plain_name(name):
            return labels.BAD_NAME
        if (archive, name) in seen:
            return labels.TWICE
        seen.add((archive, name))
        eye = int(self._image_column == "image_R_0")
        if "string_eye" in self._columns:
            said = labels.parse_eye(cells[self._columns["string_eye"]])
            if said != eye:
                return labels.BAD_EYE if said is None else OTHER_EYE
        closed = _closed(cells, self._columns.get("float_blink"), blink)
        if closed is not None:
            return closed
        x, y = (labels.parse_angle(cells[self._columns[column]], np.deg2rad(1.0)) for column in _GAZE)
        if isinstance(x, str) or isinstance(y, str):
            return x if isinstance(x, str) else str(y)
        return archive, name, eye, labels.pitch_yaw(x, y, eye)

    def _picture(self, archive: str, name: str, what: str) -> Image.Image | tuple[str, str]:
        """The picture, or (reason, what) to skip."""
        if archive not in self._archives:
            self._archives[archive] = self._open_further(archive)
        opened = self._archives[archive]
        if opened is None:
            return NO_ARCHIVE, f"{what} in {archive}"
        try:
            member = opened.getinfo(name)
        except KeyError:
            return labels.MISSING, f"{what} in {archive}"
        if member.file_size > _LARGEST_BYTES:
            return labels.UNREADABLE, f"{what}: {member.file_size} bytes are too many for a picture"
        try:
            picture = pictures.decode_picture(opened.read(member), what)
            return (pictures.TURNED, what) if pictures.is_turned(picture) else picture
        except DataError as error:
            return labels.UNREADABLE, error.problem
        except _DAMAGE as error:
            return labels.UNREADABLE, f"{what}: {error}"

    def _open_further(self, archive: str) -> zipfile.ZipFile | None:
        try:
            return self._stack.enter_context(_open_archive(self._folder / archive))
        except DataError:
            return None


def _closed(cells: list[str], column: int | None, largest: float) -> str | None:
    """Why the lids forbid to use a row, or None."""
    if column is None:
        return None
    try:
        blink = float(cells[column])
    except ValueError:
        return NO_BLINK
    if not np.isfinite(blink):
        return NO_BLINK
    return CLOSED if blink > largest else None


def _open_archive(path: Path) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(path)
    except FileNotFoundError as error:
        raise DataError(f"{path}: there is no such file", _COPY) from error
    except _DAMAGE as error:
        raise DataError(f"{path}: no zip archive, or cut short ({error})", _COPY) from error


def _data(path: Path) -> Iterator[tuple[int, list[str]]]:
    """All rows below the header."""
    rows = labels.read_rows(path)
    next(rows, None)
    return rows


def _find_columns(path: Path, blink: float) -> Mapping[str, int]:
    """Name -> position of the columns that are used, and "width": how many there are.

    Raises:
        DataError: the header is missing, lacks a column or has one twice.
    """
    header = next((cells for _, cells in labels.read_rows(path)), [])
    twice = [name for name in header if name and header.count(name) > 1]
    if twice:
        raise DataError(f"{path}: the header has {twice[0]} twice", _COPY)
    images = [name for name in ("image_L_0", "image_R_0") if name in header]
    if len(images) == 2:
        raise DataError(
            f"{path}: image_L_0 and image_R_0 in one row, with one gaze", "split the list into one for each eye"
        )
    if not images:
        raise DataError(
            f"{path}: the header has no column image_L_0", "copy it again: its first line names the columns"
        )
    for name in ("archive", *_GAZE):
        if name not in header:
            raise DataError(
                f"{path}: the header has no column {name}", "copy it again: its first line names the columns"
            )
    if "float_blink" not in header and blink < 1:
        remedy = "pass 1 as the largest blink to use every row, open or closed"
        raise DataError(f"{path}: the header has no column float_blink, so nobody knows which eyes are closed", remedy)
    used = ("archive", *images, "string_eye", *_GAZE, "float_blink")
    return {**{name: header.index(name) for name in used if name in header}, "width": len(header)}


def _look_at_labels(path: Path, columns: Mapping[str, int]) -> None:
    """Read the whole list once, so that a fault of all of it is found before the first image.

    Raises:
        DataError: the list is damaged, empty or in another unit.
    """
    total, pairs = 0, []
    for _, cells in _data(path):
        total += 1
        pair = labels.pair_of(cells, (columns[_GAZE[0]], columns[_GAZE[1]]))
        pairs += [pair] if pair else []
    if total == 0:
        raise DataError(f"{path}: there is no row below the header", _COPY)
    labels.refuse_other_unit(path, np.array(pairs, dtype=np.float64).reshape(-1, 2), "deg")
