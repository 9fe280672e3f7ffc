"""What is to be estimated: a picture, a folder of pictures, or persons in a data file; batch by batch.

In a folder, a picture that cannot be used is named, with the reason, and the others go on. A single one is an error.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from privateyes.errors import ConfigError, DataError, TrainingError
from privateyes.tasks.gaze.dataset import list_persons, load_persons
from privateyes.tasks.gaze.layout import COLUMNS
from privateyes.tasks.gaze.models import PICTURES
from privateyes.tasks.gaze.predict.estimator import Columns, Estimator, ModelFacts
from privateyes.tasks.gaze.predict.poses import Attributes, Eye, PoseSource
from privateyes.tasks.gaze.prepare.pictures import colour_pixels, grey_pixels, read_picture
from privateyes.tasks.gaze.stored import open_file, source_dataset

_SUFFIXES: Final = (".png", ".jpg", ".jpeg", ".bmp")
_DATA_SUFFIXES: Final = (".h5", ".hdf5")
# What lies beside pictures and is none; everything else in a folder is named.
_NO_PICTURES: Final = (
    ".csv",
    ".tsv",
    ".txt",
    ".md",
    ".json",
    ".jsonl",
    ".toml",
    ".yaml",
    ".yml",
    ".xml",
    ".html",
    ".pdf",
)
_VIDEOS: Final = (".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".mpg", ".mpeg", ".wmv", ".mts", ".ogv", ".3gp")
_ARRAYS: Final = (".npy", ".npz", ".mat", ".pt", ".pkl")
# Data files hold left eyes, and right ones that look like them: nothing is mirrored.
_STORED: Final = "as stored"
# Rows at a time: large enough to be quick, small enough for faces of 448 pixels.
_ROWS: Final = 64


@dataclass(frozen=True, slots=True)
class Skipped:
    """Something that could not be used, and why."""

    name: str
    reason: str


@dataclass(slots=True)
class Skips:
    """Collects what is skipped; `strict` raises instead, for a single picture."""

    strict: bool = False
    found: list[Skipped] = field(default_factory=list)

    def add(self, path: Path, name: str, error: DataError) -> None:
        """Remember it under its name.

        Raises:
            DataError: `error`, which names the path, if this is strict.
        """
        problem = error.problem.removeprefix(f"{path}: ").removeprefix(f"{name}: ")
        if self.strict:
            raise DataError(f"{path}: {problem}", error.remedy) from error
        self.found.append(Skipped(name, problem))


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """Some rows to be estimated.

    Attributes:
        names: of the rows.
        eyes: "left", "right", or what else a table says; a right one is mirrored before the model sees it, and its
            result mirrored back.
        columns: what the model takes, N rows each, after `facts.pictures`, not mirrored yet.
    """

    names: tuple[str, ...]
    eyes: tuple[str, ...]
    columns: dict[str, NDArray[Any]] = field(repr=False)

    def __len__(self) -> int:
        return len(self.names)


def estimate(estimator: Estimator, batch: Batch) -> NDArray[np.float32]:
    """What the estimator says about a batch: (N, 2), for the pictures as they are, not as mirrored for the model."""
    mirrored = np.array([eye == "right" for eye in batch.eyes])
    columns = {
        name: _mirrored_pictures(array, mirrored) if name in PICTURES else _mirrored_angles(array, mirrored)
        for name, array in batch.columns.items()
    }
    estimated = finite_estimates(estimator, columns)
    if estimator.facts.label == "point":
        return _mirrored_angles(estimated[:, ::-1], mirrored)[:, ::-1]
    return _mirrored_angles(estimated, mirrored)


def finite_estimates(estimator: Estimator, columns: Columns) -> NDArray[np.float32]:
    """What the estimator says about rows of its inputs.

    Raises:
        TrainingError: it is no number, which pictures cannot cause.
    """
    estimated = estimator.estimate(columns)
    if not np.isfinite(estimated).all():
        problem = f"{estimator.facts.source or 'the model'}: training diverged, for its answers are NaN or infinite"
        raise TrainingError(problem, "train it again with a lower training.learning_rate")
    return estimated


def is_data_file(target: Path) -> bool:
    """Whether a name is that of a data file in the project's layout."""
    return target.suffix.lower() in _DATA_SUFFIXES


def find_pictures(target: Path) -> list[Path]:
    """The picture itself, or all pictures below a folder, sorted.

    Raises:
        DataError: there is none.
    """
    if target.is_file():
        if target.suffix.lower() in (*_VIDEOS, *_ARRAYS):
            fault = _fault_of_kind(target)
            raise DataError(f"{target}: {fault.problem}", fault.remedy)
        return [target]
    if not target.is_dir():
        raise DataError(f"{target}: there is no such file or folder", "check the path")
    found = sorted(path for path in target.rglob("*") if path.suffix.lower() in _SUFFIXES and path.is_file())
    if not found:
        other = next(iter(_others(target)), None)
        there = f", but {_name_below(other, target)}: {_fault_of_kind(other).problem}" if other else ""
        raise DataError(f"{target} holds no picture{there}", f"name a folder with {', '.join(_SUFFIXES)} files")
    return found


def skip_other_files(target: Path, skips: Skips) -> None:
    """Note whatever lies in a folder and is no picture that is read here; tables, texts and hidden files aside.

    Args:
        target: a folder, or a single picture, beside which nothing is looked at.
        skips: where they are noted.
    """
    for path in _others(target):
        skips.add(path, _name_below(path, target), _fault_of_kind(path))


def _others(target: Path) -> list[Path]:
    """What is no picture, sorted; nothing for a single file."""
    known = (*_SUFFIXES, *_NO_PICTURES)
    return sorted(
        path
        for path in (target.rglob("*") if target.is_dir() else ())
        if path.suffix.lower() not in known
        and not any(part.startswith(".") for part in path.relative_to(target).parts)
        and path.is_file()
    )


def _fault_of_kind(path: Path) -> DataError:
    """Why a file is not read, by its name."""
    suffix = path.suffix.lower()
    if suffix in _VIDEOS:
        return DataError("a video, which is not read", "store its frames as pictures")
    if suffix in _ARRAYS:
        return DataError("an array, which is not read", "store its images as pictures, or in a data file (.h5)")
    if suffix in _DATA_SUFFIXES:
        return DataError("a data file, which is read on its own only", "name it in place of the folder")
    return DataError(f"no {', '.join(_SUFFIXES)} file, so it was not read", "convert it")


def load_picture(path: Path) -> Image.Image:
    """A decoded picture, turned as its camera noted.

    Raises:
        DataError: it cannot be read, or is damaged.
    """
    return ImageOps.exif_transpose(read_picture(path, str(path)))


def picture_batches(target: Path, facts: ModelFacts, poses: PoseSource, eye: Eye, skips: Skips) -> Iterator[Batch]:
    """Pictures of normalised eyes (or faces), in batches.

    Args:
        target: a picture or a folder.
        facts: of the model that is to see them.
        poses: where head poses come from, if the model needs them.
        eye: what the pictures show where the table of poses does not say it.
        skips: where unusable pictures are noted.

    Raises:
        DataError: there is no picture, or one cannot be used and `skips` is strict.
        ConfigError: the model needs something that pictures do not have.
    """
    _refuse_missing_inputs(facts, poses)
    paths = find_pictures(target)
    folder = target if target.is_dir() else target.parent
    skip_other_files(target, skips)
    for start in range(0, len(paths), _ROWS):
        rows = []
        for path in paths[start : start + _ROWS]:
            name = _name_below(path, target)
            try:
                rows.append(_read_row(path, name, poses.of(path, folder), eye, facts))
            except DataError as error:
                skips.add(path, name, error)
        if rows:
            columns: dict[str, NDArray[Any]] = {"image": np.stack([row.pixels for row in rows])}
            if "pose" in facts.inputs:
                columns["pose"] = np.array([row.pose for row in rows], dtype=np.float32)
            yield Batch(tuple(row.name for row in rows), tuple(row.eye for row in rows), columns)


def data_batches(path: Path, facts: ModelFacts, poses: PoseSource) -> Iterator[Batch]:
    """All persons of a data file, in batches; its right eyes are mirrored already.

    Raises:
        DataError: the file breaks a rule of the layout, or lacks something that the model takes.
        ConfigError: poses are given that would be passed over.
    """
    if poses.table:
        raise ConfigError(f"{poses.origin} names pictures, and {path} is a data file", "leave --pose out")
    pictures = facts.pictures_from(_dataset_of(path))
    for person_name in list_persons(path):
        person = load_persons(path, [person_name], sorted(set(facts.inputs) & set(COLUMNS)))[0]
        parts = person.parts()
        if "pose" in facts.inputs and poses.everywhere.pose is not None:
            if "pose" in parts:
                problem = f"{path} has its own head poses, so that {poses.origin} would be passed over"
                raise ConfigError(problem, "leave it out")
            parts["pose"] = np.tile(np.array(poses.everywhere.pose, dtype=np.float32), (len(person), 1))
        for name in facts.inputs:
            if name not in parts:
                problem = f"{path}: person {person_name} has no {name}, which model {facts.model} needs"
                remedy = "give --pose PITCH,YAW" if name == "pose" else "name data that have it"
                raise DataError(problem, remedy)
        try:
            facts.refuse_other_picture(parts["image"].shape[1:])
        except DataError as error:
            raise DataError(f"{path}, person {person_name}: {error.problem}", error.remedy) from error
        for start in range(0, len(person), _ROWS):
            rows_of = {name: parts[name][start : start + _ROWS] for name in facts.inputs}
            columns = {n: pictures.apply(array) if n in PICTURES else array for n, array in rows_of.items()}
            rows = range(start, start + len(columns["image"]))
            names = tuple(f"{person_name} {row}" for row in rows)
            yield Batch(names, (_STORED,) * len(rows), columns)


def _dataset_of(path: Path) -> str | None:
    with open_file(path) as file:
        return source_dataset(file)


@dataclass(frozen=True, slots=True, eq=False)
class _Row:
    name: str
    eye: Eye
    pixels: NDArray[np.uint8] = field(repr=False)
    pose: tuple[float, float]


def _read_row(path: Path, name: str, known: Attributes, eye: Eye, facts: ModelFacts) -> _Row:
    if known.pose is None and "pose" in facts.inputs:
        raise DataError(f"{name}: the table of head poses has no line for it", "add one")
    pixels = pixels_for(load_picture(path), facts)
    facts.refuse_other_picture(pixels.shape)
    return _Row(name, known.eye or eye, facts.pictures_from(None).apply(pixels[None])[0], known.pose or (0.0, 0.0))


def pixels_for(picture: Image.Image, facts: ModelFacts) -> NDArray[np.uint8]:
    """Colours where the model takes them or its run made them grey in its own way, else grey, whatever the file holds.

    Returns:
        (H, W, 3) or (H, W) uint8, before `facts.pictures`.
    """
    colours = len(facts.image_shape) == 3 or (facts.pictures.grey and picture.mode not in ("1", "L", "LA"))
    return colour_pixels(picture) if colours else grey_pixels(picture)


def _refuse_missing_inputs(facts: ModelFacts, poses: PoseSource) -> None:
    other = [name for name in facts.inputs if name not in ("image", "pose")]
    if other:
        problem = f"model {facts.model} also takes {', '.join(other)}, which a picture does not have"
        raise ConfigError(problem, "name a data file (.h5) that has them")
    if "pose" in facts.inputs and not poses.table and poses.everywhere.pose is None:
        problem = f"model {facts.model} needs the head's pose, which a picture does not show"
        remedy = (
            "give --pose PITCH,YAW in degrees, or --pose FILE.csv with image, pitch_deg and yaw_deg; "
            "--pose 0,0 says that heads face the normalised camera"
        )
        raise ConfigError(problem, remedy)


def _name_below(path: Path, target: Path) -> str:
    return path.relative_to(target).as_posix() if path != target else path.name


def _mirrored_pictures(pictures: NDArray[Any], mirrored: NDArray[np.bool_]) -> NDArray[Any]:
    if not mirrored.any():
        return pictures
    result = pictures.copy()
    result[mirrored] = pictures[mirrored][:, :, ::-1]
    return result


def _mirrored_angles(angles: NDArray[Any], mirrored: NDArray[np.bool_]) -> NDArray[Any]:
    if not mirrored.any():
        return angles
    result = angles.copy()
    result[mirrored, 1] *= -1
    return result
