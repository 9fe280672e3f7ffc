"""MPIIGaze: normalised eye images of 15 persons [MPIIGaze].

    SOURCE/Data/Normalized/p00/day01.mat                             see `mpiigaze_day`
    SOURCE/Evaluation Subset/sample list for eye image/p00.txt       lines such as "day08/0069.jpg left"

What comes out: grey 36x60 images that the authors equalised; right eyes mirrored to look like left ones, and the yaw of
their gaze and head with them; eye, day and frame. The labels follow the original normalisation, in which the scale is
applied to the gaze too. The order is that of the list (subset "evaluation"), or day by day, frame by frame, left before
right (subset "all").

The lists name frames of the original recordings, and some of those are not among the normalised ones: they are skipped
and named. An image of one grey level is kept, since everyone's results include it, and gets a warning. So do a person's
labels that look swapped or sign-flipped as a whole (`mpiifacegaze.suspicions`, on gaze before right eyes are mirrored).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from privateyes.errors import DataError
from privateyes.tasks.gaze.prepare import pictures
from privateyes.tasks.gaze.prepare.converter import (
    BLOCK_ROWS,
    Block,
    ConvertOptions,
    packed_error,
    refuse_options_of_others,
    still_packed,
    stop_or_skip,
)
from privateyes.tasks.gaze.prepare.mpiifacegaze import suspicions
from privateyes.tasks.gaze.prepare.mpiigaze_day import SIDES, Day, fault_of_labels, gaze_angles, head_angles, read_day
from privateyes.tasks.gaze.prepare.tally import Tally

SIZE: Final = (36, 60)
NORMALISED: Final = Path("Data") / "Normalized"
LISTS: Final = Path("Evaluation Subset") / "sample list for eye image"
_PERSON: Final = re.compile(r"p[0-9]{2}")
_DAY: Final = re.compile(r"(day([0-9]{2}))\.mat")
_LINE: Final = re.compile(r"(day[0-9]{2})/([A-Za-z0-9_\-]{1,64}\.(?:jpg|jpeg|png)) (left|right)")

# Fewer labels may all look up, or to one side, by chance.
_FEWEST_TO_SUSPECT: Final = 50

NO_FRAME: Final = "list names a frame that is not among the normalised ones"
NO_FOLDER: Final = "list of a person without normalised images"
NO_DAY: Final = "list names a day without a file"
DAMAGED_DAY: Final = "list names a day whose file is damaged"
BAD_LINE: Final = "line of the list cannot be read"
TWICE: Final = "line of the list comes twice"


class Wanted(NamedTuple):
    """A line of an evaluation list."""

    day: str
    name: str
    side: str

    def __str__(self) -> str:
        return f"{self.day}/{self.name} {self.side}"


@dataclass(slots=True)
class _Rows:
    """Rows of one person, collected in any order: the few that a list names fit into memory."""

    image: list[NDArray[np.uint8]] = field(repr=False)
    gaze: list[NDArray[np.float64]] = field(repr=False)
    head: list[NDArray[np.float64]] = field(repr=False)
    wanted: list[Wanted]

    def block(self, order: Sequence[int], size: tuple[int, int] | None) -> Block:
        """The rows of `order` as a block of the layout, right eyes mirrored."""
        right = np.array([self.wanted[row].side == "right" for row in order])
        images = [
            self.image[row][:, ::-1] if mirror else self.image[row] for row, mirror in zip(order, right, strict=True)
        ]
        sign = np.where(right, -1.0, 1.0)
        gaze = gaze_angles(np.stack([self.gaze[row] for row in order]))
        head = head_angles(np.stack([self.head[row] for row in order]))
        gaze[:, 1] *= sign
        head[:, 1] *= sign
        wanted = [self.wanted[row] for row in order]
        return {
            "image": np.stack([pictures.resized(image, size) for image in images]),
            "gaze": gaze.astype(np.float32),
            "pose": head.astype(np.float32),
            "eye": right.astype(np.uint8),
            "day": np.array([int(each.day[3:]) for each in wanted], dtype=np.uint16),
            "frame": np.array([str(each) for each in wanted]),
        }


class MPIIGaze:
    """Converts the normalised part, day by day.

    Args:
        source: the unpacked download, or the folder that holds it.
        options: `subset` "evaluation" takes what the lists name, "all" everything; `size` resizes.

    Raises:
        UsageError: an option of another data set is given.
    """

    dataset: Final = "mpiigaze"
    image_of: Final[Literal["eye"]] = "eye"

    def __init__(self, source: Path, options: ConvertOptions) -> None:
        refuse_options_of_others("MPIIGaze", options, {"size", "subset"})
        inner = source / "MPIIGaze"
        self._source = inner if (inner / NORMALISED).is_dir() and not (source / NORMALISED).is_dir() else source
        self._options = options

    def persons(self) -> Sequence[str]:
        """See `Converter.persons`. Who is packed, or has a list only, stays, so that `blocks` reports it."""
        folder = self._source / NORMALISED
        if not folder.is_dir():
            remedy = "name the folder MPIIGaze of the unpacked download, which holds Data/ and Evaluation Subset/"
            raise DataError(f"{folder}: there is no such folder, so that {self._source} is not MPIIGaze", remedy)
        names = {path.name for path in folder.iterdir() if path.is_dir() and _PERSON.fullmatch(path.name)}
        if not names:
            raise DataError(f"{folder} holds no folder such as p00", "unpack the download again")
        return sorted(names | still_packed(folder, _PERSON).keys() | self._listed())

    def devices(self, person: str) -> Sequence[str]:  # noqa: ARG002
        """None: everyone used one laptop."""
        return ()

    def source_files(self, person: str) -> Sequence[Path]:
        """The days' files, and the list."""
        lists = [self._list(person)] if self._options.subset == "evaluation" and self._list(person).is_file() else []
        return [*self._days(person).values(), *lists]

    def blocks(self, person: str, tally: Tally) -> Iterator[Block]:
        """See `Converter.blocks`."""
        if not self._folder(person).is_dir():
            archive = still_packed(self._source / NORMALISED, _PERSON).get(person)
            if archive is None:
                tally.skip(NO_FOLDER, str(LISTS / f"{person}.txt"))
            else:
                stop_or_skip(packed_error(archive), self._options, tally)
            return
        if self._options.subset == "all":
            yield from self._all(person, tally)
            return
        try:
            wanted = read_list(self._list(person), tally)
        except DataError as error:
            stop_or_skip(error, self._options, tally)
            return
        rows = self._collect(person, wanted, tally)
        _suspect(person, rows.gaze, tally)
        places = {each: place for place, each in enumerate(wanted)}
        order = sorted(range(len(rows.wanted)), key=lambda row: places[rows.wanted[row]])
        for start in range(0, len(order), BLOCK_ROWS):
            chosen = order[start : start + BLOCK_ROWS]
            tally.use(len(chosen))
            yield rows.block(chosen, self._options.size)

    def _collect(self, person: str, wanted: Sequence[Wanted], tally: Tally) -> _Rows:
        """What the list names, day by day."""
        files = self._days(person)
        rows = _Rows([], [], [], [])
        by_day: dict[str, list[Wanted]] = {}
        for each in wanted:
            by_day.setdefault(each.day, []).append(each)
        for name in sorted(by_day):
            day = self._day(files.get(name, self._folder(person) / f"{name}.mat"), tally)
            if day is None:
                for each in by_day[name]:
                    tally.skip(DAMAGED_DAY if name in files else NO_DAY, str(each))
                continue
            index = _index(f"{person}/{name}", day, tally)
            for each in by_day[name]:
                if each.name in index:
                    _take(rows, day, index[each.name], each, tally)
                else:
                    tally.skip(NO_FRAME, str(each))
        return rows

    def _all(self, person: str, tally: Tally) -> Iterator[Block]:
        days = self._days(person)
        numbers = {int(name[3:]) for name in days}
        gaps = sorted(set(range(1, max(numbers, default=0))) - numbers)
        if gaps:
            tally.warn(f"{person}: no files of the days {', '.join(map(str, gaps))}, though there are later ones")
        gaze: list[NDArray[np.float64]] = []
        for name, path in days.items():
            day = self._day(path, tally)
            if day is None:
                continue
            rows = _Rows([], [], [], [])
            _index(f"{person}/{name}", day, tally)
            for row, frame in enumerate(day.names):
                for side in SIDES:
                    _take(rows, day, row, Wanted(name, frame, side), tally)
            gaze += rows.gaze
            for start in range(0, len(rows.wanted), BLOCK_ROWS):
                chosen = range(start, min(start + BLOCK_ROWS, len(rows.wanted)))
                tally.use(len(chosen))
                yield rows.block(chosen, self._options.size)
        _suspect(person, gaze, tally)

    def _day(self, path: Path, tally: Tally) -> Day | None:
        """The day's file; None if it is damaged and damaged files are skipped."""
        try:
            day = read_day(path)
            if day.names and day.image_shape != SIZE and self._options.size is None:
                theirs, ours = (f"{height}x{width}" for height, width in (day.image_shape, SIZE))
                remedy = "use the original files, or bring all images to one size with --size"
                raise DataError(f"{path}: images are {theirs} and not {ours}", remedy)
        except DataError as error:
            stop_or_skip(error, self._options, tally)
            return None
        return day

    def _folder(self, person: str) -> Path:
        return self._source / NORMALISED / person

    def _list(self, person: str) -> Path:
        return self._source / LISTS / f"{person}.txt"

    def _listed(self) -> set[str]:
        """Persons who have a list, if lists are used."""
        folder = self._source / LISTS
        if self._options.subset != "evaluation" or not folder.is_dir():
            return set()
        return {path.stem for path in folder.iterdir() if path.suffix == ".txt" and _PERSON.fullmatch(path.stem)}

    def _days(self, person: str) -> dict[str, Path]:
        """Name of the day -> file, in order; none without a folder."""
        if not self._folder(person).is_dir():
            return {}
        found = ((_DAY.fullmatch(path.name), path) for path in self._folder(person).iterdir())
        return dict(sorted((match[1], path) for match, path in found if match))


def read_list(path: Path, tally: Tally) -> list[Wanted]:
    """The lines of an evaluation list; what cannot be read, or comes twice, is skipped and named.

    Raises:
        DataError: the list is missing, or most of its lines are something else.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig", errors="replace").splitlines()
    except FileNotFoundError as error:
        remedy = "copy the folder 'Evaluation Subset' of the download, or take all images with --subset all"
        raise DataError(f"{path}: there is no such list", remedy) from error
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror})", "copy it again") from error
    wanted: dict[Wanted, None] = {}
    bad: list[str] = []
    for line in lines:
        match = _LINE.fullmatch(" ".join(line.split()))
        if match is None:
            bad += [line] if line.strip() else []
            continue
        each = Wanted(match[1], match[2], match[3])
        if each in wanted:
            tally.skip(TWICE, str(each))
        wanted[each] = None
    if len(bad) > len(wanted):
        problem = f"{path}: most lines are not such as 'day08/0069.jpg left' (the first is {bad[0][:60]!r})"
        raise DataError(problem, f"use the lists of the folder '{LISTS}'")
    for line in bad:
        tally.skip(BAD_LINE, f"{path.name}: {line}")
    return list(wanted)


def _index(where: str, day: Day, tally: Tally) -> Mapping[str, int]:
    """Name of a frame -> its first row."""
    index: dict[str, int] = {}
    for row, name in enumerate(day.names):
        if index.setdefault(name, row) != row:
            tally.warn(f"{where}: the frame {name} is there twice; lists get the first one")
    return index


def _suspect(person: str, gaze: Sequence[NDArray[np.float64]], tally: Tally) -> None:
    """Warn of vectors (3,) of one person, as recorded, whose order or signs look wrong as a whole."""
    if len(gaze) >= _FEWEST_TO_SUSPECT:
        for warning in suspicions(gaze_angles(np.stack(gaze))):
            tally.warn(f"{person}: {warning}")


def _take(rows: _Rows, day: Day, row: int, wanted: Wanted, tally: Tally) -> None:
    """Add one sample, or skip it for its labels."""
    eye = day.eyes[wanted.side]
    fault = fault_of_labels(eye.gaze[row], eye.head[row])
    if fault is not None:
        tally.skip(fault, str(wanted))
        return
    image: NDArray[Any] = eye.image[row]
    if image.min() == image.max():
        tally.warn(f"{wanted}: the image has one grey level only; it is kept, as in everyone's results")
    rows.image.append(image.copy())
    rows.gaze.append(eye.gaze[row])
    rows.head.append(eye.head[row])
    rows.wanted.append(wanted)
