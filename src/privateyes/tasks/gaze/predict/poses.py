"""Where the head's pose of a picture comes from, for models that need it: one pose for all, or a table."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Final, Literal

from privateyes.errors import ConfigError, DataError

Eye = Literal["left", "right"]

_COLUMNS: Final = ("image", "pitch_deg", "yaw_deg")
_TABLE: Final = "a CSV file with the columns image, pitch_deg, yaw_deg and, where there are right eyes, eye"
_OTHER_SEPARATORS: Final = MappingProxyType({";": "semicolons (;)", "\t": "tabs", "|": "bars (|)"})
# As for labels: a head that is turned further shows no eye.
_LARGEST_DEG: Final = 90.0


@dataclass(frozen=True, slots=True)
class Attributes:
    """What a picture does not show: the head's (pitch, yaw) in radians, and which eye it is; None where unknown."""

    pose: tuple[float, float] | None = None
    eye: Eye | None = None


@dataclass(frozen=True, slots=True)
class PoseSource:
    """Head poses by the names of pictures.

    Attributes:
        everywhere: of all pictures; None if there is a table or nothing.
        table: name of a picture -> what is known about it.
        origin: what to call the source in messages.
    """

    everywhere: Attributes = Attributes()
    table: Mapping[str, Attributes] = field(default_factory=lambda: MappingProxyType({}))
    origin: str = ""

    def of(self, path: Path, folder: Path) -> Attributes:
        """What is known of a picture, by its path below the folder, or else by its file name."""
        if not self.table:
            return self.everywhere
        below = path.relative_to(folder).as_posix() if path.is_relative_to(folder) else path.name
        return self.table.get(below) or self.table.get(path.name) or Attributes()


def parse_pose(text: str | None) -> PoseSource:
    """Read ``--pose``: ``PITCH,YAW`` in degrees, or the path of a table.

    Raises:
        ConfigError: neither of the two.
        DataError: the table cannot be read or holds something impossible.
    """
    if text is None:
        return PoseSource()
    path = Path(text)
    if path.suffix.lower() == ".csv":
        return PoseSource(table=MappingProxyType(_read_table(path)), origin=str(path))
    parts = text.split(",")
    try:
        pitch, yaw = (float(part) for part in parts)
    except ValueError as error:
        remedy = f"give PITCH,YAW in degrees, such as --pose=-5,10, or {_TABLE}"
        raise ConfigError(f"--pose {text}", remedy) from error
    return PoseSource(everywhere=Attributes(_radians("--pose", pitch, yaw)), origin="--pose")


def _read_table(path: Path) -> dict[str, Attributes]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            header = tuple(reader.fieldnames or ())
            rows = list(reader)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path} cannot be read as a table ({error})", f"give {_TABLE}") from error
    missing = [name for name in _COLUMNS if name not in header]
    for separator, called in _OTHER_SEPARATORS.items():
        if missing and len(header) == 1 and separator in header[0]:
            problem = f"{path}: the columns are separated by {called} and not by commas"
            raise DataError(problem, "save the table with commas, and with points in its numbers")
    if missing:
        raise DataError(f"{path}: there is no column {missing[0]}", f"give {_TABLE}")
    table: dict[str, Attributes] = {}
    for line, row in enumerate(rows, start=2):
        where = f"{path}, line {line}"
        name = row["image"] or ""
        if name in table:
            raise DataError(f"{where}: {name} comes twice", "keep one line for each image")
        try:
            pitch, yaw = float(row["pitch_deg"] or "nan"), float(row["yaw_deg"] or "nan")
        except ValueError as error:
            raise DataError(f"{where}: {error}", "write degrees as plain numbers") from error
        table[name] = Attributes(_radians(where, pitch, yaw), parse_eye(where, row.get("eye") or None))
    return table


def parse_eye(where: str, text: str | None) -> Eye | None:
    """``left``, ``right`` or nothing.

    Raises:
        ConfigError: something else.
    """
    if text is None:
        return None
    if text == "left":
        return "left"
    if text == "right":
        return "right"
    raise ConfigError(f"{where}: eye = {text}", "say left or right")


def _radians(where: str, pitch_deg: float, yaw_deg: float) -> tuple[float, float]:
    for name, value in (("pitch", pitch_deg), ("yaw", yaw_deg)):
        if not abs(value) <= _LARGEST_DEG:  # NaN fails this too
            problem = f"{where}: a head's {name} of {value:g} degrees"
            raise DataError(problem, "give degrees between -90 and 90: pitch up, yaw towards the image's left")
    return math.radians(pitch_deg), math.radians(yaw_deg)
