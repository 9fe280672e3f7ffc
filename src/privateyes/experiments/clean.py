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

from privateyes.engines.local.mirror import STORE_NAME
from privateyes.engines.local.secure import TRANSCRIPTS_NAME, store_folders
from privateyes.errors import PrivateyesError, RunDirectoryError
from privateyes.experiments.record import EXPERIMENT, exclusive
from privateyes.experiments.replay import REPLAY_FOLDER
from privateyes.experiments.report import write_report
from privateyes.experiments.secure import FOLDER, forget_secrets
from privateyes.experiments.way_names import WAYS
from privateyes.files import overwrite

SAMPLES: Final = "samples.npz"
PAGE: Final = "report.html"
_PICTURE: Final = b"data:image/png"  # a page has none but the eyes


class Kind(Enum):
    """What is removed, in words."""

    KEYS = "keys of all parties, their shares and states"
    LOCAL = "models of single clients"
    SAMPLES = "pictures of test persons, with labels and predictions"
    PAGE = "the page's pictures of eyes: it is written again without them"
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
    """

    path: Path
    kind: Kind
    size_bytes: int


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
        yield tuple(Remnant(path, kind, _size(path, kind)) for path, kind in _found(directory, everything))


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
    for folder in (*directory.glob("checkpoints/*/"), directory / "checkpoints", directory / REPLAY_FOLDER):
        with suppress(OSError):  # it is not there, or holds something
            folder.rmdir()


def is_finished(directory: Path) -> bool:
    """Whether a run has its results; one that has not cannot be continued without its keys."""
    return (directory / "results.json").is_file()


def _found(directory: Path, everything: bool) -> Iterator[tuple[Path, Kind]]:
    tasks = sorted((directory / FOLDER).glob("*/*/"))
    for folder in (*tasks, directory / REPLAY_FOLDER):
        if any(_store_files(folder)):
            yield folder, Kind.KEYS
    for path in sorted(directory.glob("checkpoints/*/*.safetensors")):
        way = WAYS.get(path.name.partition(".")[0])
        if way is not None and way.kind == "local":
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


def _store_files(folder: Path) -> Iterator[Path]:
    """The store's files and its bodies, in every mirror; a kill may have left the one without the other."""
    stem = STORE_NAME.partition(".")[0]
    for place in {folder, *store_folders(folder)}:
        for path in sorted(place.glob(f"{stem}.*")):
            yield from sorted(path.iterdir()) if path.is_dir() and not path.is_symlink() else ()
            yield path


def _size(path: Path, kind: Kind) -> int:
    files = _store_files(path) if kind is Kind.KEYS else path.rglob("*") if kind is Kind.RECORD else (path,)
    return sum(file.lstat().st_size for file in files if not file.is_dir())


def _forget(folder: Path) -> None:
    """Destroy a task's store; one that is damaged or of another version, and does not open, is overwritten as it is."""
    if not any(path.is_symlink() for path in _store_files(folder)):  # else another folder would be emptied
        with suppress(RunDirectoryError, sqlite3.Error):
            forget_secrets(folder)
    for path in list(_store_files(folder)):
        if path.is_dir() and not path.is_symlink():
            path.rmdir()
        else:
            overwrite(path)


def _without_pictures(directory: Path) -> None:
    try:
        write_report(directory, with_eyes=False)
    except PrivateyesError:  # of a run whose other files are damaged
        (directory / PAGE).unlink()
