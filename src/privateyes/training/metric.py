"""How good a model's answers are, in a number, and the words that go with it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Metric:
    """A number for one person's answers, never negative, and how tables, sentences and charts speak of it.

    Attributes:
        key: as it stands in a run's files and in the heads of CSV columns, such as "deg".
        name: in a table's head, after "mean", such as "error" or "Dice".
        plural: of the name, such as "errors".
        measure: its full name, such as "angular error".
        sign: what follows a number, with the space that belongs there; empty where there is no unit.
        word: the unit on axes and in sentences, such as "degrees"; empty where there is none.
        mean: what the mean predictor answers with, such as "mean gaze": the mean label of those trained on.
        of: from predicted and true answers of one person, float32 (N, ...) each, N >= 1, to the value.
        lower_is_better: the direction.
        places: decimals of a written value.
    """

    key: str
    name: str
    plural: str
    measure: str
    sign: str
    word: str
    mean: str
    of: Callable[[NDArray[np.float32], NDArray[np.float32]], float]
    lower_is_better: bool = True
    places: int = 2

    def written(self, value: float, places: int | None = None) -> str:
        """``4.57°``, ``2.31 cm`` or ``0.914``."""
        return f"{value:.{self.places if places is None else places}f}{self.sign}"

    def better(self, one: float, other: float) -> bool:
        """Whether `one` is a better value than `other`."""
        return one < other if self.lower_is_better else one > other

    def best(self, values: Iterable[float]) -> float:
        """The best of them, at least one."""
        return min(values) if self.lower_is_better else max(values)

    def worse_by(self, difference: float) -> float:
        """How much worse the first of two values is, from first minus second; negative where it is better."""
        return difference if self.lower_is_better else -difference

    def with_unit(self, text: str) -> str:
        """``mean error, degrees``; the text itself where there is no unit."""
        return f"{text}, {self.word}" if self.word else text

    @property
    def mean_in_unit(self) -> str:
        """``mean angular error in degrees``."""
        return f"mean {self.measure} in {self.word}" if self.word else f"mean {self.measure}"
