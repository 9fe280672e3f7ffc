"""What a partition may know of a data file: labels and the columns that tell devices, days and eyes apart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from privateyes.errors import DataError
from privateyes.federation.partition import PersonRows
from privateyes.tasks.gaze.layout import faults_of_person
from privateyes.tasks.gaze.models.kinds import Label
from privateyes.tasks.gaze.stored import device_names, open_file, person_names, read_part, stored_parts

_COLUMNS: Final = ("gaze", "point", "device", "day", "eye")


@dataclass(frozen=True, slots=True, eq=False)
class LabelRows:
    """Everybody's labels.

    Attributes:
        persons: name -> labels and columns, by name; labels are gaze (pitch, yaw) in radians, or points (x, y) in cm.
        target: "gaze" or "point": which of the two.
    """

    persons: Mapping[str, PersonRows]
    target: Label


def read_label_rows(
    path: Path, names: Sequence[str] | None = None, image_limit: int | None = None, label: Label | None = None
) -> LabelRows:
    """Read labels and columns, and check the rules of the layout that concern them.

    Args:
        path: the HDF5 file.
        names: whose; everybody's if None.
        image_limit: at most that many rows of each person, the ones that `GazeTask` keeps; None for all.
        label: which of the two; if None, gaze if everyone has it, else points.

    Raises:
        DataError: the file or a person in it breaks a rule, somebody has no such label, or a name is not in the file.
    """
    found: dict[str, dict[str, NDArray[Any]]] = {}
    devices: dict[str, tuple[str, ...]] = {}
    with open_file(path) as file:
        present = person_names(path, file)
        for name in present if names is None else names:
            if name not in present:
                raise DataError(f"{path}: there is no person {name}", f"the file holds {', '.join(present[:20])}")
            stored = stored_parts(path, file, name)
            where = f"{path}, person {name}"
            parts: dict[str, NDArray[Any]] = {
                part: read_part(where, part, stored[part]) for part in _COLUMNS if part in stored
            }
            devices[name] = device_names(path, file, name) if "device" in parts else ()
            image = {"image": stored["image"]} if "image" in stored else {}
            for fault in faults_of_person(where, {**image, **parts}, devices[name]):
                raise fault
            found[name] = parts
    target: Label = label or ("gaze" if all("gaze" in parts for parts in found.values()) else "point")
    for name, parts in found.items():
        if target not in parts:
            problem = f"{path}: person {name} has no {target}"
            raise DataError(problem, "divide by a label that everyone has, or leave persons out")
    persons = {name: _rows(found[name], target, devices[name], image_limit) for name in sorted(found)}
    return LabelRows(persons, target)


def kept_rows(count: int, image_limit: int | None) -> NDArray[np.int64]:
    """Which of `count` rows are used: all, or `image_limit` evenly spaced ones (recordings are in order of time)."""
    if image_limit is None or count <= image_limit:
        return np.arange(count, dtype=np.int64)
    return (np.arange(image_limit) * count // image_limit).astype(np.int64)


def _rows(
    parts: Mapping[str, NDArray[Any]], target: Label, devices: tuple[str, ...], image_limit: int | None
) -> PersonRows:
    kept = kept_rows(len(parts[target]), image_limit)
    columns = {part: parts[part].astype(np.int64)[kept] if part in parts else None for part in ("device", "day", "eye")}
    return PersonRows(
        labels=parts[target].astype(np.float32)[kept],
        device=columns["device"],
        device_names=devices,
        day=columns["day"],
        eye=columns["eye"],
    )
