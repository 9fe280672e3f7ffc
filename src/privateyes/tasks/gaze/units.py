"""The two units of errors, and the words that go with them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Literal

UnitKey = Literal["deg", "cm"]


@dataclass(frozen=True, slots=True)
class Unit:
    """What an error is measured in.

    Attributes:
        key: as it stands in a run's files.
        sign: what follows a number, with the space that belongs there.
        word: for axes and sentences.
        measure: what is measured.
        mean: what the mean predictor answers with.
    """

    key: UnitKey
    sign: str
    word: str
    measure: str
    mean: str

    def written(self, value: float, places: int = 2) -> str:
        """``4.57°`` or ``2.31 cm``."""
        return f"{value:.{places}f}{self.sign}"


UNITS: Final[Mapping[str, Unit]] = MappingProxyType(
    {
        "deg": Unit("deg", "°", "degrees", "angular error", "mean gaze"),
        "cm": Unit("cm", " cm", "cm", "distance", "mean point"),
    }
)


def unit_of(record: Mapping[str, object]) -> Unit:
    """The unit of a metrics line or of a run's results; degrees in those of earlier versions, which name none."""
    return UNITS[str(record.get("unit", "deg"))]
