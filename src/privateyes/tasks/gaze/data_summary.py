"""What a data file has for everyone: sizes, columns, rows; so that a run can be refused before it starts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

from privateyes.errors import ConfigError, DataError
from privateyes.tasks.gaze.layout import TARGETS, faults_of_person
from privateyes.tasks.gaze.models import INPUTS, PICTURES, Label, Offer
from privateyes.tasks.gaze.preprocess import Pictures
from privateyes.tasks.gaze.reader import FileStamp
from privateyes.tasks.gaze.stored import (
    device_names,
    open_file,
    outline_of_frames,
    person_names,
    read_part,
    require_readable,
    stored_parts,
)

# Pictures at a time, while a file is checked.
_BLOCK_BYTES = 8 << 20


@dataclass(frozen=True, slots=True)
class DataSummary:
    """What there is to learn from.

    Attributes:
        source: names the file in messages.
        image_shape: (height, width) or (height, width, 3) of everyone's images, as stored or as resized.
        eye_shape: the same of the eye crops; None where somebody has none.
        counts: person -> number of rows.
        without: part of the layout -> somebody who does not have it.
        stamp: of the file when everything in it was checked; None where there is none yet.
    """

    source: str
    image_shape: tuple[int, ...]
    eye_shape: tuple[int, ...] | None
    counts: Mapping[str, int]
    without: Mapping[str, str]
    stamp: FileStamp | None = None

    def offer(self, label: Label) -> Offer:
        """What a model is offered.

        Raises:
            ConfigError: not everyone has such a label.
        """
        if label in self.without:
            other = next((target for target in TARGETS if target not in self.without), None)
            remedy = (
                f'set data.label = "{other}", which everyone has' if other else "leave those persons out of the file"
            )
            problem = f'data.label = "{label}": person {self.without[label]} of {self.source} has no {label}'
            raise ConfigError(problem, remedy)
        clauses = {part: f"person {name} of {self.source} has none" for part, name in self.without.items()}
        return Offer(self.image_shape, self.eye_shape, {p: c for p, c in clauses.items() if p in INPUTS}, label)


def grey_eyes(source: str, shape: tuple[int, ...], counts: Mapping[str, int]) -> DataSummary:
    """The summary of rendered eyes with gaze and head pose."""
    name = next(iter(counts), "")
    return DataSummary(
        source, shape, None, counts, MappingProxyType(dict.fromkeys(("point", "left", "right", "grid"), name))
    )


def take_stock(path: Path, pictures: Pictures) -> DataSummary:
    """Read everything once, in pieces, and check the layout's rules; a second time only if the file has changed.

    Args:
        path: the data file.
        pictures: what is done to pictures when they are read; the shapes are those after it.

    Raises:
        DataError: the file is damaged or breaks a rule, or persons differ in the size of their pictures.
        ConfigError: `pictures` does not fit the data.
    """
    stamp = FileStamp.of(path)
    persons = _check_everybody(path, stamp)
    if FileStamp.of(path) != stamp:
        raise DataError(f"{path} was changed while it was checked", "run again when nobody writes to it")
    without: dict[str, str] = {}
    shapes: dict[str, dict[str, tuple[int, ...]]] = {part: {} for part in PICTURES}
    for person in persons:
        for part in (*INPUTS, *TARGETS):
            if part not in person.parts:
                without.setdefault(part, person.name)
        for part, shape in person.shapes.items():
            shapes[part][person.name] = pictures.shape_after(shape)
    for part, by_name in shapes.items():
        _refuse_mixture(path, part, by_name)
    first = persons[0].name
    eye = None if "left" in without else shapes["left"][first]
    counts = {person.name: person.rows for person in persons}
    return DataSummary(str(path), shapes["image"][first], eye, counts, without, stamp)


def described(shape: tuple[int, ...]) -> str:
    """``36x60``, or ``224x224 RGB``."""
    return f"{shape[0]}x{shape[1]}{' RGB' if len(shape) == 3 else ''}"


@dataclass(frozen=True, slots=True)
class _Checked:
    """A person who keeps every rule, and whose pictures can all be read.

    Attributes:
        rows: their number.
        parts: what the person has of the layout.
        shapes: of one picture of each kind.
    """

    name: str
    rows: int
    parts: frozenset[str]
    shapes: Mapping[str, tuple[int, ...]]


@lru_cache(maxsize=4)
def _check_everybody(path: Path, stamp: FileStamp | None) -> tuple[_Checked, ...]:  # noqa: ARG001
    """Everyone in the file that has this stamp: a comparison makes many runs of one file within one process."""
    with open_file(path) as file:
        return tuple(_check_person(path, file, name) for name in person_names(path, file))


def _check_person(path: Path, file: Any, name: str) -> _Checked:
    where = f"{path}, person {name}"
    parts = stored_parts(path, file, name)
    pictures: dict[str, Any] = {part: parts[part] for part in PICTURES if part in parts}
    for part in parts.keys() - pictures.keys():
        read = outline_of_frames(where, parts[part]) if part == "frame" else read_part(where, part, parts[part])
        parts[part] = read
    for fault in faults_of_person(where, parts, device_names(path, file, name)):
        raise fault
    for part, dataset in pictures.items():
        require_readable(f"{where}, {part}", dataset, _BLOCK_BYTES)
    shapes = {part: tuple(dataset.shape[1:]) for part, dataset in pictures.items()}
    return _Checked(name, int(parts["image"].shape[0]), frozenset(parts), shapes)


def _refuse_mixture(path: Path, part: str, shapes: Mapping[str, tuple[int, ...]]) -> None:
    what = "images" if part == "image" else f"{part} eyes"
    first = next(iter(shapes), "")
    for name, shape in shapes.items():
        if shape != shapes[first]:
            theirs, ours = described(shape), described(shapes[first])
            problem = f"{path}: person {name} has {theirs} {what}, person {first} has {ours}"
            raise DataError(problem, "bring all of them to one kind, with data.resize and data.grey")
