"""What a data file has for everyone: sizes, columns, rows; so that a run can be refused before it starts."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from privateyes.errors import ConfigError, DataError
from privateyes.tasks.gaze.dataset import list_persons, load_labels
from privateyes.tasks.gaze.layout import TARGETS
from privateyes.tasks.gaze.models import INPUTS, PICTURES, Label, Offer
from privateyes.tasks.gaze.preprocess import Pictures
from privateyes.tasks.gaze.stored import open_file, read_blocks, stored_parts

# Pictures at a time, while a file is checked.
_BLOCK_BYTES = 32 << 20


@dataclass(frozen=True, slots=True)
class Stock:
    """What there is to learn from.

    Attributes:
        source: names the file in messages.
        image_shape: (height, width) or (height, width, 3) of everyone's images, as stored or as resized.
        eye_shape: the same of the eye crops; None where somebody has none.
        counts: person -> number of rows.
        without: part of the layout -> somebody who does not have it.
    """

    source: str
    image_shape: tuple[int, ...]
    eye_shape: tuple[int, ...] | None
    counts: Mapping[str, int]
    without: Mapping[str, str]

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


def grey_eyes(source: str, shape: tuple[int, ...], counts: Mapping[str, int]) -> Stock:
    """The stock of rendered eyes with gaze and head pose."""
    name = next(iter(counts), "")
    return Stock(source, shape, None, counts, MappingProxyType(dict.fromkeys(("point", "left", "right", "grid"), name)))


def take_stock(path: Path, pictures: Pictures) -> Stock:
    """Read everything once, in pieces, and check the layout's rules.

    Args:
        path: the data file.
        pictures: what is done to pictures when they are loaded; the shapes are those after it.

    Raises:
        DataError: the file is damaged or breaks a rule, or persons differ in the size of their pictures.
        ConfigError: `pictures` does not fit the data.
    """
    counts: dict[str, int] = {}
    without: dict[str, str] = {}
    shapes: dict[str, dict[str, tuple[int, ...]]] = {part: {} for part in PICTURES}
    for name in list_persons(path):
        labels = load_labels(path, name)
        found = _check_pictures(path, name)
        counts[name] = len(next(iter(labels.values())))
        for part in (*INPUTS, *TARGETS):
            if part not in labels and part not in found:
                without.setdefault(part, name)
        for part, shape in found.items():
            shapes[part][name] = pictures.shape_after(shape)
    for part, by_name in shapes.items():
        _refuse_mixture(path, part, by_name)
    first = next(iter(counts))
    eye = None if "left" in without else shapes["left"][first]
    return Stock(str(path), shapes["image"][first], eye, counts, without)


def described(shape: tuple[int, ...]) -> str:
    """``36x60``, or ``224x224 RGB``."""
    return f"{shape[0]}x{shape[1]}{' RGB' if len(shape) == 3 else ''}"


def _check_pictures(path: Path, name: str) -> dict[str, tuple[int, ...]]:
    """Shapes of a person's pictures, each of which is read once."""
    with open_file(path) as file:
        stored = {part: data for part, data in stored_parts(path, file, name).items() if part in PICTURES}
        for data in stored.values():
            rows = max(1, _BLOCK_BYTES // math.prod(data.shape[1:]))
            for _ in read_blocks(f"{path}, person {name}", data, rows):
                pass
        return {part: tuple(data.shape[1:]) for part, data in stored.items()}


def _refuse_mixture(path: Path, part: str, shapes: Mapping[str, tuple[int, ...]]) -> None:
    what = "images" if part == "image" else f"{part} eyes"
    first = next(iter(shapes), "")
    for name, shape in shapes.items():
        if shape != shapes[first]:
            theirs, ours = described(shape), described(shapes[first])
            problem = f"{path}: person {name} has {theirs} {what}, person {first} has {ours}"
            raise DataError(problem, "bring all of them to one kind, with data.resize and data.grey")
