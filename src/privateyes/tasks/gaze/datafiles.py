"""Data files on their own, outside a run."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from privateyes.errors import DataError
from privateyes.tasks.gaze.contact_sheet import sheet_of_file, write_contact_sheets
from privateyes.tasks.gaze.dataset import Person, write_persons
from privateyes.tasks.gaze.synthetic import render_persons
from privateyes.training.counts import Tell, tell_nobody


def render_file(out: Path, persons: int, images: int, seed: int, tell: Tell = tell_nobody) -> None:
    """Render persons into a new file.

    Args:
        out: the HDF5 file; must not be there.
        persons: number of persons, at least 1.
        images: eye images per person, at least 1.
        seed: the same seed gives the same persons and images.
        tell: is told how many persons are rendered, and of how many.

    Raises:
        DataError: `out` exists, or cannot be written.
    """
    if out.exists():
        raise DataError(f"{out} is there already", "choose another name, or delete it")
    write_persons(out, told(render_persons(seed, persons, images), persons, tell))


def told(persons: Iterable[Person], count: int, tell: Tell) -> Iterator[Person]:
    """The persons, one after the other; `tell` is told how many of the `count` have come."""
    tell(0, count)
    for done, person in enumerate(persons, start=1):
        yield person
        tell(done, count)


def draw_sheets(data: Path, names: Sequence[str], folder: Path) -> int:
    """Draw a contact sheet of each named person into `folder`, which is made; returns how many.

    Raises:
        DataError: the data cannot be read, or the folder cannot be written.
    """
    return len(write_contact_sheets(folder, (sheet_of_file(data, name) for name in names)))
