"""The kinds of partition and their numbers; which numbers go with which kind."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final, Literal

from privateyes.errors import ConfigError

Kind = Literal["person", "device", "label_skew", "size_skew"]
KINDS: Final[tuple[Kind, ...]] = ("person", "device", "label_skew", "size_skew")
SizeLaw = Literal["lognormal", "power"]
DEFAULT_DEVICES: Final = 2
DEFAULT_MINIMUM: Final = 10


@dataclass(frozen=True, slots=True)
class PartitionSettings:
    """How the samples of the training persons are divided into clients.

    Exactly one of `clients` and `clients_per_person` goes with a skewed partition, and says whether persons mix: with
    `clients` the samples of all persons are pooled and dealt to so many clients, with `clients_per_person` each
    person's samples are dealt to so many clients of that person alone.

    Attributes:
        by: "person": a client for each person. "device": for each device of each person. "label_skew": clients that
            differ in where they look. "size_skew": clients that differ in how many samples they have.
        clients: number of clients in all, with persons pooled; skewed partitions only.
        clients_per_person: number of clients of each person; for "device" the number of blocks where no column tells
            devices apart, 2 if None.
        alpha: concentration of "label_skew", above 0: towards 0 each client looks into one cell of gaze, towards
            infinity all clients look alike.
        pitch_bins, yaw_bins: cells of gaze for "label_skew", and for measuring the skew of any partition; where labels
            are points, of x and of y.
        size_law: of "size_skew": "lognormal", sizes proportional to exp(spread z) over the quantiles z of the standard
            normal distribution; "power", the i-th largest proportional to i^-spread.
        size_spread: the law's number, at least 0; 0 makes equal sizes.
        minimum: fewest samples that a client may have; None means 10, and no limit for "person".
    """

    by: Kind = "person"
    clients: int | None = None
    clients_per_person: int | None = None
    alpha: float = 1.0
    pitch_bins: int = 3
    yaw_bins: int = 5
    size_law: SizeLaw = "lognormal"
    size_spread: float = 1.0
    minimum: int | None = None

    @property
    def trivial(self) -> bool:
        """Whether each person is simply a client."""
        return self.by == "person" and self.minimum is None

    @property
    def least(self) -> int:
        """Fewest samples that a client may have."""
        if self.minimum is not None:
            return self.minimum
        return 1 if self.by == "person" else DEFAULT_MINIMUM

    def require_consistent(self) -> None:
        """Refuse numbers that are impossible, or that the kind of partition would ignore.

        Raises:
            ConfigError: names the key and the remedy.
        """
        skewed = self.by in ("label_skew", "size_skew")
        for key in ("clients", "clients_per_person", "pitch_bins", "yaw_bins", "minimum"):
            value = getattr(self, key)
            if value is not None and value < 1:
                raise ConfigError(f"partition.{key} = {value}", "it should be at least 1")
        if not (math.isfinite(self.alpha) and self.alpha > 0):
            raise ConfigError(f"partition.alpha = {self.alpha:g}", "it should be above 0")
        if not (math.isfinite(self.size_spread) and self.size_spread >= 0):
            raise ConfigError(f"partition.size_spread = {self.size_spread:g}", "it should be at least 0")
        if self.by not in KINDS:
            raise ConfigError(f'partition.by = "{self.by}" is not known', f"choose from: {', '.join(KINDS)}")
        if skewed and (self.clients is None) == (self.clients_per_person is None):
            problem = f'partition.by = "{self.by}" needs exactly one of clients and clients_per_person'
            raise ConfigError(
                problem, "clients pools all persons; clients_per_person keeps each client within one person"
            )
        if self.clients is not None and not skewed:
            problem = f'partition.clients does not go with partition.by = "{self.by}", where the data decide'
            raise ConfigError(problem, "remove it")
        if self.clients_per_person is not None and self.by == "person":
            problem = 'partition.clients_per_person does not go with partition.by = "person"'
            raise ConfigError(problem, 'remove it, or set partition.by = "device"')
