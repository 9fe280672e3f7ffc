"""The shape of a run's files, as far as the page reads them.

Keys that the page does not know are ignored, so that a file may grow; a key that it needs and a value that is not
finite are refused. Errors are values of the metric that `unit` names, times are in seconds, sizes in bytes.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

NonNegative = Annotated[float, Field(ge=0)]


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)


class RoundLine(_Record):
    """One line of ``metrics.jsonl``: a round of one method in one fold. Rounds count from 1.

    A round that was not evaluated has no errors.
    """

    fold: str
    method: str
    round: int = Field(ge=1)
    rounds: int = Field(ge=1)
    error: dict[str, NonNegative] = Field(default_factory=dict)
    mean_error: NonNegative | None = None
    measures: dict[str, dict[str, NonNegative]] = Field(default_factory=dict)
    unit: str | None = None
    seconds: NonNegative
    seconds_training: NonNegative
    seconds_exchange: NonNegative
    bytes_up_per_client: NonNegative
    bytes_down_per_client: NonNegative
    details: dict[str, Any] = Field(default_factory=dict)
    participation: dict[str, Any] = Field(default_factory=dict)
    stopped: bool = False
    converged: bool = False

    @property
    def void(self) -> bool:
        """Whether the round changed nothing: too few clients arrived, or the model had converged."""
        return self.participation.get("void") is True

    @property
    def ends(self) -> bool:
        """Whether the method has no further round in this fold."""
        return self.stopped or self.converged or self.round == self.rounds


class Measure(_Record):
    """What a method reaches by a further metric of its task."""

    mean: NonNegative
    per_person: dict[str, NonNegative]


class Row(_Record):
    """One method in ``results.json``; without errors where nobody is tested."""

    method: str
    mean_error: NonNegative | None = None
    spread: NonNegative | None = None
    per_person: dict[str, NonNegative]
    measures: dict[str, Measure] = Field(default_factory=dict)
    seconds_per_round: NonNegative
    seconds_exchange_per_round: NonNegative | None = None
    bytes_up_per_client_round: NonNegative | None = None
    bytes_down_per_client_round: NonNegative | None = None
    bytes_up_per_client_once: NonNegative | None = None
    learned: dict[str, str] = Field(default_factory=dict)
    void_rounds: int = Field(default=0, ge=0)
    converged: dict[str, int] = Field(default_factory=dict)
    best_rounds: dict[str, int] = Field(default_factory=dict)
    rounds_run: dict[str, int] = Field(default_factory=dict)


class Fold(_Record):
    """Who was trained on and who was tested; `clients` only where they are not the training persons themselves."""

    fold: str
    train: list[str]
    test: list[str]
    clients: list[str] = Field(default_factory=list)


class Client(_Record):
    """Whose images a client holds, and how many; a task may say more, such as where they look."""

    model_config = ConfigDict(extra="allow")

    name: str
    persons: list[str]
    samples: int = Field(ge=1)


class Clients(_Record):
    """The clients of the first fold; a task may say more."""

    model_config = ConfigDict(extra="allow")

    fold: str
    how: str
    count: int = Field(ge=1)
    rows: Annotated[list[Client], Field(min_length=1)]


class MeanPredictor(_Record):
    """The error of always answering with the mean label of the training people."""

    mean_error: NonNegative
    per_person: dict[str, NonNegative] = Field(default_factory=dict)


class Equality(_Record):
    """How far the secure methods were from plain averaging; deviations are of the averaged update, per coordinate."""

    largest_deviation: NonNegative
    bound: NonNegative
    ratio: NonNegative
    saturated: int = Field(default=0, ge=0)
    shortened: int = Field(default=0, ge=0)
    clipped_rounds: int = Field(default=0, ge=0)
    rounds: int = Field(default=0, ge=0)
    updates: int = Field(default=0, ge=0)
    coordinates: int = Field(default=0, ge=0)
    error_difference: float | None = None


class Verdict(_Record):
    """What one client did with the altered round."""

    client: str
    refused: bool
    reason: str = ""


class Replay(_Record):
    """The round that was replayed with one aggregator altering its share, and its unaltered control."""

    altered_by: str
    what: str = ""
    control_accepted: list[str] = Field(default_factory=list)
    verdicts: list[Verdict]


class Results(_Record):
    """``results.json``: written when every method is done."""

    name: str = ""
    seed: int | None = None
    unit: str | None = None
    parameters: int | None = Field(default=None, ge=0)
    folds: list[Fold] = Field(default_factory=list)
    mean_predictor: MeanPredictor | None = None
    rows: list[Row]
    equality: Equality | None = None
    replay: Replay | None = None
    clients: Clients | None = None


@dataclass(frozen=True, slots=True)
class Samples:
    """``samples.npz``: sample pictures with true and predicted labels.

    Attributes:
        images: uint8, (K, H, W), grey.
        person: the K names of the people shown.
        true: float64, (K, ...), labels.
        predicted: per method float64, (K, ...), predictions of them.
    """

    images: NDArray[np.uint8] = field(repr=False)
    person: tuple[str, ...]
    true: NDArray[np.float64] = field(repr=False)
    predicted: dict[str, NDArray[np.float64]] = field(repr=False)
