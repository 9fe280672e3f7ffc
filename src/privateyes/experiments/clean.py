"""Removes from a run's directory what somebody's images, updates or keys could be learned from; results stay.

docs/threat-model.md, "What a run's directory keeps", is the list. Nothing is removed that this module does not know: a
file that somebody put there stays. Keys and shares are overwritten, as far as a disk allows; all else is deleted.
"""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Final

from privateyes.engines.local.secure import TRANSCRIPTS_NAME
from privateyes.errors import PrivateyesError, RunDirectoryError
from privateyes.experiments.method_names import METHODS
from privateyes.experiments.record import EXPERIMENT, exclusive
from privateyes.experiments.replay import REPLAY_FOLDER
from privateyes.experiments.report import write_report
from privateyes.experiments.secure import FOLDER, forget_secrets, remove_store_files, store_files
from privateyes.storage.ended import ENDED_NAME
from privateyes.storage.places import left_folders, store_folders, unreached_folders

SAMPLES: Final = "samples.npz"
PAGE: Final = "report.html"
_PICTURE: Final = b"data:image/png"  # a page has none but its sample pictures


class Kind(Enum):
    """What is removed, in words."""

    KEYS = "keys of all parties, their shares and states"
    LOCAL = "models of single clients"
    SAMPLES = "pictures of test persons, with labels and predictions"
    PAGE = "the page's sample pictures: it is written again without them"
    PART = "a half-written file"
    MODEL = "models that all clients share, and the pooled one"
    RECORD = "the signed record of every round"


@dataclass(frozen=True, slots=True)
class Remnant:
    """Something that a run's directory need not keep.

    Attributes:
        path: a file, or for keys and records the folder that they stand in.
        kind: what it is.
        size_bytes: on disk.
        mirrors: for keys, the folders beyond the run's directory that hold some of it.
    """

    path: Path
    kind: Kind
    size_bytes: int
    mirrors: tuple[Path, ...] = ()


@contextmanager
def remnants_of(directory: Path, everything: bool = False) -> Iterator[tuple[Remnant, ...]]:
    """What can be removed from a run; no other process works in its directory meanwhile.

    Args:
        directory: of a run, finished or not.
        everything: whether its shared models and records are to go too; then it can no longer be evaluated or checked.

    Raises:
        RunDirectoryError: there is no run, or a process is working on it.
    """
    if not (directory / EXPERIMENT).is_file():
        raise RunDirectoryError(
            f"{directory} is no run directory (it has no {EXPERIMENT})",
            "name a directory that `privateyes train` wrote; a comparison's runs are its seed-*/ folders",
        )
    with exclusive(directory):
        yield tuple(_remnant(path, kind) for path, kind in _found(directory, everything))


def remove(directory: Path, remnants: tuple[Remnant, ...]) -> None:
    """Remove them, keys first; can be called again if it was interrupted.

    Args:
        directory: of the run.
        remnants: from `remnants_of`, within its block.
    """
    for remnant in remnants:
        match remnant.kind:
            case Kind.KEYS:
                _forget(remnant.path)
            case Kind.PAGE:
                _without_pictures(directory)
            case Kind.RECORD:
                shutil.rmtree(remnant.path)
            case _:
                remnant.path.unlink(missing_ok=True)
    (directory / REPLAY_FOLDER / ENDED_NAME).unlink(missing_ok=True)
    for folder in (*directory.glob("checkpoints/*/"), directory / "checkpoints", directory / REPLAY_FOLDER):
        with suppress(OSError):  # it is not there, or holds something
            folder.rmdir()


def unreached(directory: Path) -> list[Path]:
    """Mirrors of the run's tasks whose disks are away: they may still hold keys."""
    return [place for folder in sorted((directory / FOLDER).glob("*/*/")) for place in unreached_folders(folder)]


def is_finished(directory: Path) -> bool:
    """Whether a run has its results; one that has not cannot be continued without its keys."""
    return (directory / "results.json").is_file()


def _found(directory: Path, everything: bool) -> Iterator[tuple[Path, Kind]]:
    tasks = sorted((directory / FOLDER).glob("*/*/"))
    for folder in (*tasks, directory / REPLAY_FOLDER):
        if any(store_files(folder)):
            yield folder, Kind.KEYS
    for path in sorted(directory.glob("checkpoints/*/*.safetensors")):
        method = METHODS.get(path.name.partition(".")[0])
        if method is not None and method.kind == "local":
            yield path, Kind.LOCAL
        elif everything:
            yield path, Kind.MODEL
    if (directory / SAMPLES).is_file():
        yield directory / SAMPLES, Kind.SAMPLES
    page = directory / PAGE
    if page.is_file() and _PICTURE in page.read_bytes():
        yield page, Kind.PAGE
    for part in sorted((*directory.glob(".*.part"), *directory.glob("checkpoints/*/.*.part"))):
        yield part, Kind.PART
    if everything:
        for folder in tasks:
            if (folder / TRANSCRIPTS_NAME).is_dir():
                yield folder / TRANSCRIPTS_NAME, Kind.RECORD


def _remnant(path: Path, kind: Kind) -> Remnant:
    found = store_files(path) if kind is Kind.KEYS else path.rglob("*") if kind is Kind.RECORD else (path,)
    files = [file for file in found if not file.is_dir()]
    mirrors = [*store_folders(path), *left_folders(path)] if kind is Kind.KEYS else []
    holding = [place for place in mirrors if place != path and any(file.is_relative_to(place) for file in files)]
    return Remnant(path, kind, sum(file.lstat().st_size for file in files), tuple(holding))


def _forget(folder: Path) -> None:
    """Destroy a task's store; one that is damaged or of another version, and does not open, is overwritten as it is."""
    if not any(path.is_symlink() for path in store_files(folder)):  # else another folder would be emptied
        with suppress(RunDirectoryError, sqlite3.Error):
            forget_secrets(folder)
    remove_store_files(folder)


def _without_pictures(directory: Path) -> None:
    try:
        write_report(directory, with_pictures=False)
    except PrivateyesError:  # of a run whose other files are damaged
        (directory / PAGE).unlink()
