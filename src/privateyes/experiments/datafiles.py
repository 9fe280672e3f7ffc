"""Data files on their own, outside a run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from privateyes.errors import DataError
from privateyes.tasks.gaze.contact_sheet import sheet_of_file, write_contact_sheets
from privateyes.tasks.gaze.dataset import write_persons
from privateyes.tasks.gaze.synthetic import render_persons


def render_file(out: Path, persons: int, images: int, seed: int) -> None:
    """Render persons into a new file.

    Args:
        out: the HDF5 file; must not be there.
        persons: number of persons, at least 1.
        images: eye images per person, at least 1.
        seed: the same seed gives the same persons and images.

    Raises:
        DataError: `out` exists, or cannot be written.
    """
    if out.exists():
        raise DataError(f"{out} is there already", "choose another name, or delete it")
    write_persons(out, render_persons(seed, persons, images))


def draw_sheets(data: Path, names: Sequence[str], folder: Path) -> int:
    """Draw a contact sheet of each named person into `folder`, which is made; returns how many.

    Raises:
        DataError: the data cannot be read, or the folder cannot be written.
    """
    return len(write_contact_sheets(folder, (sheet_of_file(data, name) for name in names)))
