"""The two units of labels and errors, and the words that go with them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Literal

UnitKey = Literal["deg", "cm"]


@dataclass(frozen=True, slots=True)
class Unit:
    """What a label and its error are measured in.

    Attributes:
        key: as it stands in a run's files.
        sign: what follows a number, with the space that belongs there.
        word: for axes and sentences.
        measure: what is measured.
        mean: what the mean predictor answers with.
        coordinates: names of a label's two numbers.
    """

    key: UnitKey
    sign: str
    word: str
    measure: str
    mean: str
    coordinates: tuple[str, str]

    def written(self, value: float, places: int = 2) -> str:
        """``4.57°`` or ``2.31 cm``."""
        return f"{value:.{places}f}{self.sign}"


UNITS: Final[Mapping[str, Unit]] = MappingProxyType(
    {
        "deg": Unit("deg", "°", "degrees", "angular error", "mean gaze", ("pitch", "yaw")),
        "cm": Unit("cm", " cm", "cm", "distance", "mean point", ("x", "y")),
    }
)
_OF_LABELS: Final[Mapping[str, Unit]] = MappingProxyType({"gaze": UNITS["deg"], "point": UNITS["cm"]})


def unit_of(record: Mapping[str, object]) -> Unit:
    """The unit of a metrics line or of a run's results; degrees in those of earlier versions, which name none."""
    return UNITS[str(record.get("unit", "deg"))]


def unit_of_label(label: str) -> Unit:
    """The unit in which people read a label, "gaze" or "point", and its errors; in memory, angles are in radians."""
    return _OF_LABELS[label]
