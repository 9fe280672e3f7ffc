"""GazeCapture: recordings of 1474 people on telephones and tablets; the label is a point in cm beside the camera.

    SOURCE/00002/{frames/00000.jpg, frames.json, appleFace.json, appleLeftEye.json, appleRightEye.json, faceGrid.json,
                  dotInfo.json, info.json}

The JSON files hold columns with one entry for each frame [GazeCapture, README of the release]. A frame counts if all
four `IsValid` are 1: its face, both of its eyes and its face grid. What comes out:

    image           the face crop, RGB, resized to 224x224 as iTracker takes it
    left, right     crops of the person's own left and right eye, RGB, of the same size. The left eye is on the image's
                    right side. Nothing is mirrored.
    grid            x, y, width, height of the face in 25x25 cells that cover the frame, counted from 1, as published
    point           dotInfo's (XCam, YCam): cm from the camera, x to the right and y up as seen by the person who holds
                    the device, whose camera stays put while the device turns. So y < 0 in portrait mode.
    device          index of info.json's DeviceName
    frame           "00002/frames/00000.jpg"
    split           attribute of the group: info.json's Dataset, train, val or test

There is no head pose and there are no gaze angles. Boxes are cut as the release's own program for PyTorch does:
fractions of pixels are cut off, the face's box grows by one pixel to the left and upwards, an eye's box begins one
pixel higher and is relative to the grown face, and what lies outside of the frame is black. A frame that its file wants
shown turned (EXIF orientation) is skipped: nobody knows which way its boxes are meant.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from privateyes.errors import DataError, UsageError
from privateyes.tasks.gaze.layout import GRID_CELLS, LARGEST_POINT_CM
from privateyes.tasks.gaze.prepare import pictures
from privateyes.tasks.gaze.prepare.converter import (
    Block,
    ConvertOptions,
    packed_error,
    refuse_options_of_others,
    still_packed,
    stop_or_skip,
)
from privateyes.tasks.gaze.prepare.pictures import Box
from privateyes.tasks.gaze.prepare.rows import Row, in_blocks
from privateyes.tasks.gaze.prepare.tally import Tally

SPLITS: Final = ("train", "val", "test")
SIZE: Final = (224, 224)
_FOLDER: Final = re.compile(r"[0-9]{5}")
_FRAME: Final = re.compile(r"[0-9]{5}\.jpg")
# A detected face is never much larger than the frame; a box from a damaged file may be of any size.
_LARGEST_BOX: Final = 4
# JSON file -> what IsValid speaks of.
_DETECTIONS: Final = {
    "appleFace.json": "face",
    "appleLeftEye.json": "left eye",
    "appleRightEye.json": "right eye",
    "faceGrid.json": "face grid",
}
_METADATA: Final = ("info.json", "frames.json", *_DETECTIONS, "dotInfo.json")
_COPY: Final = "unpack the recording again"

BAD_NAME: Final = "frame's name is not of the form 00000.jpg"
TWICE: Final = "frame is listed twice"
MISSING: Final = "frame's file is missing"
UNREADABLE: Final = "frame cannot be read"
NO_BOX: Final = "a box has no position, width or height"
OUTSIDE: Final = "a box lies outside of the frame"
HUGE: Final = "a box is far larger than the frame"
BAD_GRID: Final = "face grid shows no part of the frame"
BAD_DOT: Final = "dot's position is no number, or a metre away"


@dataclass(frozen=True, slots=True, eq=False)
class _Recording:
    """One person's metadata, checked for what concerns the files as a whole.

    Attributes:
        device: DeviceName.
        split: Dataset: train, val or test.
        frames: N names.
        valid: (N, 4) bool, in the order of `_DETECTIONS`.
        boxes: (N, 4, 4): x, y, width, height of each of them; NaN where there is none.
        dots: (N, 2) cm.
        warnings: what deserves a look.
    """

    device: str
    split: str
    frames: list[str]
    valid: NDArray[np.bool_] = field(repr=False)
    boxes: NDArray[np.float64] = field(repr=False)
    dots: NDArray[np.float64] = field(repr=False)
    warnings: tuple[str, ...]


class GazeCapture:
    """Converts the unpacked release; a person is a recording.

    Args:
        source: the folder with the recordings' folders 00002, 00003, ...
        options: `size` is that of all three crops; `split` takes one part of the published division.

    Raises:
        UsageError: an option of another data set is given.
    """

    dataset: Final = "gazecapture"
    image_of: Final[Literal["face"]] = "face"

    def __init__(self, source: Path, options: ConvertOptions) -> None:
        if options.largest_blink is not None:
            raise UsageError("GazeCapture records no blinks", "leave the limit on blinks out")
        refuse_options_of_others("GazeCapture", options, {"size", "split"})
        self._source = source
        self._options = options

    def persons(self) -> Sequence[str]:
        """The recordings of the split, sorted. One that is packed or whose info.json is damaged stays, to be reported.

        Raises:
            DataError: SOURCE holds no recording, or none of the split.
        """
        found = _entries(self._source)
        names = sorted(path.name for path in found if _FOLDER.fullmatch(path.name) and os.path.isdir(path))
        if not names:
            raise self._not_gazecapture()
        names = sorted({*names, *still_packed(self._source, _FOLDER)})
        if self._options.split is None:
            return names
        chosen = [name for name in names if self._split_of(name) in (self._options.split, None)]
        if not chosen:
            problem = f"{self._source}: none of {len(names)} recordings is of the split '{self._options.split}'"
            raise DataError(problem, "unpack the other recordings, or choose another split")
        return chosen

    def devices(self, person: str) -> Sequence[str]:
        """The recording's only device; none if info.json is damaged, which `blocks` reports."""
        try:
            return [_device_and_split(self._source / person)[0]]
        except DataError:
            return []

    def source_files(self, person: str) -> Sequence[Path]:
        """The JSON files, and the folder of frames."""
        folder = self._source / person
        return [path for path in [*(folder / name for name in _METADATA), folder / "frames"] if os.path.exists(path)]

    def blocks(self, person: str, tally: Tally) -> Iterator[Block]:
        """See `Converter.blocks`."""
        archive = still_packed(self._source, _FOLDER).get(person)
        try:
            if archive is not None:
                raise packed_error(archive)
            recording = _read_recording(self._source / person)
        except DataError as error:
            stop_or_skip(error, self._options, tally)
            return
        tally.attributes["split"] = recording.split
        for text in recording.warnings:
            tally.warn(text)
        yield from in_blocks(self._rows(person, recording, tally), tally)

    def _rows(self, person: str, recording: _Recording, tally: Tally) -> Iterator[Row]:
        size = self._options.size or SIZE
        seen: set[str] = set()
        for index, name in enumerate(recording.frames):
            what = f"{person}/frames/{name}"
            fault = TWICE if name in seen else _fault_of_metadata(recording, index)
            seen.add(name)
            if fault is not None:
                tally.skip(fault, what)
                continue
            path = self._source / person / "frames" / name
            if pictures.is_missing(path):
                tally.skip(MISSING, what)
                continue
            try:
                picture = pictures.read_picture(path, what)
            except DataError as error:
                tally.skip(UNREADABLE, error.problem)
                continue
            if pictures.is_turned(picture):
                tally.skip(pictures.TURNED, what)
                continue
            crops = _crops(picture.convert("RGB"), recording.boxes[index], size)
            if isinstance(crops, str):
                tally.skip(crops, what)
                continue
            grid = np.trunc(recording.boxes[index, 3]).astype(np.int16)
            yield {**crops, "grid": grid, "point": recording.dots[index], "device": np.uint16(0), "frame": what}

    def _split_of(self, person: str) -> str | None:
        """The published split of a recording, or None if info.json cannot tell."""
        try:
            return _device_and_split(self._source / person)[1]
        except DataError:
            return None

    def _not_gazecapture(self) -> DataError:
        problem = f"{self._source}: no recording of GazeCapture, which are folders 00002, 00003, ..."
        if os.path.isfile(self._source / "frames.json"):
            return DataError(problem, "this is a single recording: name the folder that holds it")
        if still_packed(self._source, _FOLDER):
            return DataError(problem, "unpack the archives (.tar.gz) first")
        return DataError(problem, "name the folder into which the release was unpacked")


def _entries(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except OSError as error:
        raise DataError(f"{folder} cannot be listed ({error.strerror})", "name the unpacked release") from error


def _fault_of_metadata(recording: _Recording, index: int) -> str | None:
    """Why a frame cannot be used, as far as the JSON files tell; None if it can."""
    if not _FRAME.fullmatch(recording.frames[index]):
        return BAD_NAME
    failed = [what for what, fine in zip(_DETECTIONS.values(), recording.valid[index], strict=True) if not fine]
    if failed:
        return f"not valid: {', '.join(failed)}"
    boxes = recording.boxes[index]
    if not np.isfinite(boxes).all() or (np.trunc(boxes[:, 2:]) < 1).any() or (np.abs(boxes) > 2**15 - 1).any():
        return NO_BOX
    if not (np.abs(recording.dots[index]) <= LARGEST_POINT_CM).all():
        return BAD_DOT
    start, size = np.trunc(boxes[3, :2]), np.trunc(boxes[3, 2:])
    return BAD_GRID if (start > GRID_CELLS).any() or (start + size - 1 < 1).any() else None


def _crops(frame: Image.Image, boxes: NDArray[np.float64], size: tuple[int, int]) -> dict[str, NDArray[np.uint8]] | str:
    """Crops of the face and of both eyes, or why there are none.

    Args:
        frame: RGB.
        boxes: (4, 4), finite: face, left eye, right eye, grid.
        size: (height, width) of the crops.
    """
    whole = np.trunc(boxes[:3]).astype(np.int64)
    whole += np.array([[-1, -1, 1, 1], [0, -1, 0, 0], [0, -1, 0, 0]])
    whole[1:, :2] += whole[0, :2]
    crops: dict[str, NDArray[np.uint8]] = {}
    for name, numbers in zip(("image", "left", "right"), whole.tolist(), strict=True):
        box = Box(*numbers)
        if max(box.width, box.height) > _LARGEST_BOX * max(frame.size):
            return HUGE
        if not pictures.overlaps(frame, box):
            return OUTSIDE
        crops[name] = pictures.colour_pixels(pictures.padded_crop(frame, box), size)
    return crops


def _read_recording(folder: Path) -> _Recording:
    """Read a recording's JSON files.

    Raises:
        DataError: a file is missing or damaged, or a column is missing, holds no numbers or has another length.
    """
    device, split = _device_and_split(folder)
    frames = _read_json(folder / "frames.json")
    frames = [frames] if isinstance(frames, str) else frames
    if not isinstance(frames, list) or not all(isinstance(name, str) for name in frames):
        raise DataError(f"{folder / 'frames.json'}: no list of file names", _COPY)
    if not frames:
        raise DataError(f"{folder / 'frames.json'}: the list is empty", "remove the recording, or unpack it again")
    valid, boxes = [], []
    for file in _DETECTIONS:
        table = _read_table(folder / file)
        flags = _column(folder / file, table, "IsValid", len(frames))
        if not np.isin(flags, (0, 1)).all():
            raise DataError(f"{folder / file}: IsValid holds something else than 0 and 1", _COPY)
        valid.append(flags == 1)
        boxes.append(np.stack([_column(folder / file, table, name, len(frames)) for name in "XYWH"], axis=1))
    dots = folder / "dotInfo.json"
    table = _read_table(dots)
    points = np.stack([_column(dots, table, name, len(frames)) for name in ("XCam", "YCam")], axis=1)
    warnings = _oddities(folder, len(frames))
    return _Recording(device, split, frames, np.stack(valid, axis=1), np.stack(boxes, axis=1), points, warnings)


def _oddities(folder: Path, frames: int) -> tuple[str, ...]:
    total = _read_table(folder / "info.json").get("TotalFrames")
    if total is None or total == frames:
        return ()
    return (f"info.json speaks of {total} frames, frames.json lists {frames}",)


def _device_and_split(folder: Path) -> tuple[str, str]:
    """DeviceName and Dataset of a recording.

    Raises:
        DataError: info.json is missing or damaged, or lacks one of them.
    """
    path = folder / "info.json"
    info = _read_table(path)
    device, split = info.get("DeviceName"), info.get("Dataset")
    if not isinstance(device, str) or not device:
        raise DataError(f"{path}: there is no DeviceName", _COPY)
    if split not in SPLITS:
        raise DataError(f"{path}: Dataset is {split!r} and none of {', '.join(SPLITS)}", _COPY)
    return device, split


def _read_table(path: Path) -> Mapping[str, Any]:
    table = _read_json(path)
    if not isinstance(table, dict):
        raise DataError(f"{path}: no JSON object", _COPY)
    return table


def _read_json(path: Path) -> Any:
    try:
        content = path.read_bytes()
    except FileNotFoundError as error:
        raise DataError(f"{path}: there is no such file", _COPY) from error
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror})", _COPY) from error
    try:
        return json.loads(content.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: byte {error.start} is no UTF-8 text", _COPY) from error
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}: no JSON, or cut short ({error})", _COPY) from error


def _column(path: Path, table: Mapping[str, Any], name: str, length: int) -> NDArray[np.float64]:
    """A column as (length,) numbers; null becomes NaN.

    A column of a single entry may have been written as a number without a list.

    Raises:
        DataError: the column is missing, holds no numbers or has another length.
    """
    if name not in table:
        raise DataError(f"{path}: there is no column {name}", _COPY)
    values = table[name] if isinstance(table[name], list) else [table[name]]
    if len(values) != length:
        problem = f"{path}: column {name} has {len(values)} entries, but frames.json lists {length} frames"
        raise DataError(problem, _COPY)
    for row, value in enumerate(values):
        if value is not None and not isinstance(value, int | float):
            raise DataError(f"{path}: column {name}, entry {row} is {type(value).__name__} and no number", _COPY)
    try:
        return np.array([np.nan if value is None else value for value in values], dtype=np.float64)
    except OverflowError as error:
        raise DataError(f"{path}: column {name} holds a number beyond all measure", _COPY) from error
