"""A client's own side of a round: what it trained, and what it hands over.

Whoever coordinates a round passes participants on and asks none for its update. Three may: averaging in the clear, the
client's own host, and what a simulation measures (tests/architecture holds the list). So no other part of a round can
hold an update.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from privateyes.errors import TrainingError

Transform: TypeAlias = Callable[[NDArray[np.float32]], NDArray[np.float32]]
"""What a client does with the vector of its update, float32 (d,), before it hands it over; such as clipping its norm.
Noise on the grid belongs into the encoding (parties/client.py), after the rounding.
"""
WeightPolicy: TypeAlias = Callable[[int], int]
"""The weight of an update, at least 1, from the number of the client's samples."""


def by_samples(samples: int) -> int:
    """Each sample weighs the same ([McMahan 2017], algorithm 1)."""
    return samples


def equally(samples: int) -> int:  # noqa: ARG001 - one signature for all policies
    """Each client weighs the same, so no count leaves it."""
    return 1


@dataclass(frozen=True, slots=True)
class ClientUpdate:
    """What one client's local round gave. All of it but the name is the client's own: no repr shows it.

    Args:
        client: its name.
        weight: number of samples it trained on; once handed over, what the weight policy makes of it. At least 1.
        delta: new minus old parameters, float32 (d,); of an optimiser with further vectors, those after it.
        loss: mean over the samples that steps were taken on.
        passed: how many those were, each as often as a step was taken on it.
    """

    client: str
    weight: int = field(repr=False)
    delta: NDArray[np.float32] = field(repr=False)
    loss: float = field(repr=False)
    passed: int = field(default=0, repr=False)


@dataclass(frozen=True, slots=True)
class LocalLog:
    """What a client shows the person in front of it; never part of a message.

    Args:
        samples: that it trained on.
        loss: mean over the samples that steps were taken on.
        passed: how many those were, each as often as a step was taken on it.
    """

    samples: int
    loss: float
    passed: int


@dataclass(frozen=True, slots=True)
class HandOver:
    """What a client does with what it trained before any of it leaves.

    Args:
        transform: of the update's vector; none by default.
        weight: of the update.
        withholds: whether not even the run that plays all clients is shown losses and counts: they depend on data, so
            under differential privacy they would have to be paid for.
    """

    transform: Transform | None = None
    weight: WeightPolicy = by_samples
    withholds: bool = False


AS_TRAINED: Final = HandOver()


class Participant:
    """One client in one round.

    Args:
        trained: what its local round gave.
        policy: what becomes of it.

    Attributes:
        client: its name.
        log: for whoever watches the run; None where the client withholds it.
    """

    def __init__(self, trained: ClientUpdate, policy: HandOver = AS_TRAINED) -> None:
        self.client = trained.client
        self.log = None if policy.withholds else LocalLog(trained.weight, trained.loss, trained.passed)
        self._trained, self._policy = trained, policy

    def __repr__(self) -> str:
        return f"Participant({self.client!r})"

    def hand_over(self) -> ClientUpdate:
        """What it hands over. For those alone that the module names."""
        own, transform = self._trained, self._policy.transform
        delta = own.delta if transform is None else transform(own.delta)
        return replace(own, delta=delta, weight=self._policy.weight(own.weight))


def require_usable(update: ClientUpdate, dimension: int) -> None:
    """Refuse an update that must not be averaged.

    Raises:
        TrainingError: it has a wrong length, a weight below 1, a NaN or an infinity.
    """
    who = f"the update of client {update.client}"
    if update.delta.shape != (dimension,):
        problem = f"{who} has shape {update.delta.shape} where the model has {dimension} parameters"
        raise TrainingError(problem, "every client must train the same model")
    if update.weight < 1:
        raise TrainingError(f"{who} has weight {update.weight}", "a client needs at least one sample")
    unusable = int(np.count_nonzero(~np.isfinite(update.delta)))
    if unusable:
        remedy = "lower training.learning_rate, or look for bad labels with `privateyes data check`"
        raise TrainingError(f"{who} has {unusable} values that are NaN or infinite", remedy)


def require_some(participants: Sequence[Participant]) -> None:
    """Refuse a round of nobody.

    Raises:
        TrainingError: there is no participant.
    """
    if not participants:
        raise TrainingError("no client handed over an update", "a round needs at least one")
