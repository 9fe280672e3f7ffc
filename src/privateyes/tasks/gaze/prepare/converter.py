"""What a converter is: it reads one data set as its authors publish it and yields rows of the layout, block by block.

A converter keeps nothing of a person between two calls and writes nothing. `conversion` drives it, `writer` stores
what it yields and checks every rule of the layout on the way.

Two kinds of faults are told apart. A fault of a whole file (cut short, missing, other columns than expected) stops the
conversion, unless the user passed `--skip-damaged`: `stop_or_skip` does either. A fault of one frame is counted, named
and skipped: `Tally.skip`.
"""

from __future__ import annotations

import dataclasses
import importlib
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, Literal, Protocol

from numpy.typing import NDArray

from privateyes.errors import DataError, UsageError
from privateyes.tasks.gaze.prepare.tally import Tally

# Columns of the layout with the same number of rows each, at most BLOCK_ROWS; `frame` is a list or an array of `str`.
Block = Mapping[str, NDArray[Any]]
BLOCK_ROWS: Final = 512
DAMAGED: Final = "damaged file"
_ARCHIVE: Final = re.compile(r"(.+?)\.(?:tar\.[a-z0-9]+|tar|tgz|zip|7z|rar|gz|bz2|xz)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class ConvertOptions:
    """What a user may choose; a converter refuses what makes no sense for its data set.

    Attributes:
        size: (height, width) that all images are brought to, pixels; None keeps the original size.
        subset: MPIIGaze: the 3000 images of each person that papers evaluate on, or all; NVGaze's real recordings: the
            first 2999 lines of each list, as a paper used them, or all.
        limit: at most that many rows of each person, the first usable ones; the driver sees to it.
        skip_damaged: name and skip files that are damaged as a whole, where the conversion would stop.
        split: GazeCapture only: the recordings of its training, validation or test part; None takes all.
        largest_blink: NVGaze's synthetic set only: frames whose lids are closed further are skipped, 0 to 1; None
            stands for 0.5.
    """

    size: tuple[int, int] | None = None
    subset: Literal["evaluation", "all"] = "evaluation"
    limit: int | None = None
    skip_damaged: bool = False
    split: Literal["train", "val", "test"] | None = None
    largest_blink: float | None = None


class Converter(Protocol):
    """Reads one data set; constructed as `Class(source: Path, options: ConvertOptions)`, which reads no data yet."""

    @property
    def dataset(self) -> str:
        """Its name on the command line, such as "mpiigaze"; a class attribute will do."""

    @property
    def image_of(self) -> Literal["eye", "face"]:
        """What `image` shows."""

    def persons(self) -> Sequence[str]:
        """Names of the persons in the output, sorted.

        Raises:
            DataError: SOURCE is not this data set; says what was expected where.
        """

    def devices(self, person: str) -> Sequence[str]:
        """Names that the column `device` is an index into; empty if there is no such column."""

    def source_files(self, person: str) -> Sequence[Path]:
        """What the manifest is to hold checksums of: metadata and containers file by file.

        A folder stands for all files below it: of these, names and sizes enter the checksum and contents do not.
        """

    def blocks(self, person: str, tally: Tally) -> Iterator[Block]:
        """The person's rows, at most `BLOCK_ROWS` at a time; `tally.use` before each block, `tally.skip` for the rest.

        Raises:
            DataError: a file is damaged as a whole, and `skip_damaged` is off.
        """


# Name on the command line -> module and class; modules are imported when they are asked for.
CONVERTERS: Final[Mapping[str, tuple[str, str]]] = MappingProxyType(
    {
        "mpiigaze": ("mpiigaze", "MPIIGaze"),
        "mpiifacegaze": ("mpiifacegaze", "MPIIFaceGaze"),
        "gazecapture": ("gazecapture", "GazeCapture"),
        "nvgaze": ("nvgaze", "NVGaze"),
        "eth-xgaze": ("eth_xgaze", "EthXGaze"),
    }
)


# Converters that were held against originals; the others were written from the published formats and never met any.
_MET_ORIGINALS: Final = frozenset({"mpiigaze"})


def caution(name: str) -> str:
    """What to know before one relies on a converter; empty if its output was compared with the original data's.

    Args:
        name: one of `CONVERTERS`.
    """
    if name in _MET_ORIGINALS:
        return ""
    return f"the converter for {name} follows the published format and never met the original data"


def open_converter(name: str, source: Path, options: ConvertOptions) -> Converter:
    """The converter of a data set.

    Args:
        name: one of `CONVERTERS`.
        source: the folder (or file) as downloaded and unpacked.
        options: what the user chose.

    Raises:
        UsageError: there is no such converter.
        DataError: `source` does not exist.
    """
    if name not in CONVERTERS:
        raise UsageError(f"there is no converter for {name!r}", f"there are {', '.join(CONVERTERS)}")
    if not source.exists():
        raise DataError(f"{source}: there is no such file or folder", f"name the unpacked download of {name}")
    module, class_name = CONVERTERS[name]
    made: Converter = getattr(importlib.import_module(f"privateyes.tasks.gaze.prepare.{module}"), class_name)(
        source, options
    )
    return made


def refuse_options_of_others(dataset: str, options: ConvertOptions, known: Collection[str]) -> None:
    """Refuse options that another data set has, so that nobody believes that they did something.

    Args:
        dataset: the data set's name for people.
        options: what the user chose.
        known: names of the options that this data set has, besides `limit` and `skip_damaged`.

    Raises:
        UsageError: another one is not at its default.
    """
    for option in dataclasses.fields(ConvertOptions):
        chosen = getattr(options, option.name)
        if option.name not in {*known, "limit", "skip_damaged"} and chosen != option.default:
            problem = f"{dataset} has no option {option.name.replace('_', '-')} (here {chosen})"
            raise UsageError(problem, "leave it out")


def still_packed(folder: Path, names: re.Pattern[str]) -> dict[str, Path]:
    """Archives of what a converter looks for, beside which it does not lie unpacked: its name -> the archive.

    Args:
        folder: where the converter looks; a missing one holds no archive.
        names: what it looks for.
    """
    if not folder.is_dir():
        return {}
    found = ((_ARCHIVE.fullmatch(path.name), path) for path in sorted(folder.iterdir()))
    named = {match[1]: path for match, path in found if match and names.fullmatch(match[1]) and path.is_file()}
    return {name: path for name, path in named.items() if not (folder / name).exists()}


def packed_error(archive: Path) -> DataError:
    """What is said of an archive that nobody unpacked."""
    return DataError(f"{archive} is still packed", "unpack it where it lies")


def stop_or_skip(error: DataError, options: ConvertOptions, tally: Tally) -> None:
    """A file is damaged as a whole: stop, or name it and go on, as the user chose.

    Args:
        error: names the file, the damage and the remedy.
        options: `skip_damaged` decides.
        tally: where the file is named if it is skipped.

    Raises:
        DataError: damaged files are not to be skipped.
    """
    if not options.skip_damaged:
        remedy = f"{error.remedy}; or go on without it: --skip-damaged" if error.remedy else "--skip-damaged goes on"
        raise DataError(error.problem, remedy) from error
    tally.skip(DAMAGED, error.problem)
