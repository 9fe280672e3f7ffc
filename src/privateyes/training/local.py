"""One client's local round: the model in, an update out ([McMahan 2017], ClientUpdate)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from privateyes.errors import TrainingError
from privateyes.federation.seeds import derive_seed
from privateyes.training.task import Examples, LearningTask
from privateyes.training.vector import load_vector, vector_from_model


@dataclass(frozen=True, slots=True)
class LocalSettings:
    """How a client trains.

    Args:
        seed: the experiment's seed.
        rounds: number of rounds, which the schedule spans.
        local_epochs: passes over the client's samples in one round.
        batch_size: samples per step; the last batch of a pass may be smaller.
        optimiser: "sgd" or "adam".
        learning_rate: step size before the schedule, above 0.
        momentum: of SGD, in [0, 1); Adam ignores it.
        weight_decay: L2 penalty, at least 0.
        schedule: "constant", or "cosine" from the learning rate towards 0 over the rounds.
    """

    seed: int
    rounds: int
    local_epochs: int
    batch_size: int
    optimiser: Literal["sgd", "adam"]
    learning_rate: float
    momentum: float
    weight_decay: float
    schedule: Literal["constant", "cosine"]


@dataclass(frozen=True, slots=True)
class LocalRound:
    """What a local round ends with: new minus old parameters, float32 (d,), number of samples, mean loss."""

    delta: NDArray[np.float32]
    samples: int
    loss: float


def learning_rate_at(settings: LocalSettings, round_index: int) -> float:
    """The step size in a round (from 0). Cosine: rate * (1 + cos(pi * round / rounds)) / 2."""
    if settings.schedule == "constant":
        return settings.learning_rate
    return settings.learning_rate * 0.5 * (1.0 + math.cos(math.pi * round_index / settings.rounds))


def train_locally(
    task: LearningTask,
    settings: LocalSettings,
    examples: Examples,
    client: str,
    round_index: int,
    vector: NDArray[np.float32],
) -> LocalRound:
    """Train from `vector` on one client's samples for `local_epochs` passes.

    The optimiser's state (momentum, Adam's moments) starts fresh in every round: a client keeps nothing between rounds
    but its data, so a round depends on the model, the data and the seed alone. Shuffling, and whatever the model itself
    draws, come from seeds derived from (seed, client, round). Call it inside `deterministic_torch` for the same bytes
    every time.

    Args:
        task: model and loss.
        settings: how to train.
        examples: the client's samples.
        client: its name.
        round_index: the round, from 0.
        vector: parameters to start from, float32 (d,); unchanged.

    Raises:
        TrainingError: the client has no samples, or the loss or the update is not finite.
    """
    if len(examples) == 0:
        raise TrainingError(f"client {client} has no samples", "leave this person out, or give the person images")
    with torch.random.fork_rng():
        torch.manual_seed(derive_seed(settings.seed, "noise", client, round_index))
        model = task.build_model(0)
        load_vector(model, vector)
        model.train()
        optimiser = _optimiser(model, settings, learning_rate_at(settings, round_index))
        order = torch.Generator().manual_seed(derive_seed(settings.seed, "client", client, round_index))
        loss_sum = 0.0
        for _ in range(settings.local_epochs):
            permutation = torch.randperm(len(examples), generator=order)
            for start in range(0, len(examples), settings.batch_size):
                batch = examples.rows(permutation[start : start + settings.batch_size])
                optimiser.zero_grad()
                loss = task.loss_of(task.predict(model, batch.inputs), batch.targets)
                loss.backward()  # type: ignore[no-untyped-call]
                optimiser.step()
                loss_sum += _finite(loss.item(), client, round_index) * len(batch)
    delta = vector_from_model(model) - vector
    _finite(float(np.abs(delta).max(initial=0.0)), client, round_index)
    return LocalRound(delta=delta, samples=len(examples), loss=loss_sum / (settings.local_epochs * len(examples)))


def _finite(value: float, client: str, round_index: int) -> float:
    if not math.isfinite(value):
        remedy = "lower training.learning_rate, or look for bad labels with `privateyes data check`"
        raise TrainingError(f"client {client}: training diverged to {value} in round {round_index + 1}", remedy)
    return value


def _optimiser(model: nn.Module, settings: LocalSettings, learning_rate: float) -> torch.optim.Optimizer:
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    if settings.optimiser == "adam":
        return torch.optim.Adam(parameters, lr=learning_rate, weight_decay=settings.weight_decay)
    return torch.optim.SGD(parameters, lr=learning_rate, momentum=settings.momentum, weight_decay=settings.weight_decay)
