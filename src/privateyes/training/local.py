"""One client's local round: the model in, an update out ([McMahan 2017], ClientUpdate; [FedProx], algorithm 2)."""

from __future__ import annotations

import math
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from privateyes.errors import TrainingError
from privateyes.federation.participants import ClientUpdate
from privateyes.training.batches import read_batches
from privateyes.training.device import FIRST_SCALE, computing_in, resolve_device, scaler_of_losses
from privateyes.training.flat import FlatParameters
from privateyes.training.sampling import Sampler, seed_for, shuffled
from privateyes.training.schedule import learning_rate_at
from privateyes.training.settings import Assignment, LocalSettings
from privateyes.training.task import Dataset, LearningTask
from privateyes.training.vector import load_vector, vector_from_model

_LOSSES_AT_A_TIME: Final = 64


def train_locally(
    task: LearningTask,
    settings: LocalSettings,
    examples: Dataset,
    assignment: Assignment,
    vector: NDArray[np.float32],
    sampler: Sampler = shuffled,
) -> ClientUpdate:
    """Train from `vector` for `local_epochs` passes over a client's samples, or for the assigned share of their steps.

    The optimiser's state (momentum, Adam's moments) starts fresh in every round: a client keeps nothing between rounds
    but its data, so a round depends on the model, the data, the assignment and the seed alone. Shuffling, augmentation
    and whatever the model itself draws come from seeds derived from (seed, client, round), each its own. Call it inside
    `deterministic_torch` for the same bytes every time.

    Args:
        task: model and loss.
        settings: how to train.
        examples: the client's samples, on the CPU or in a file.
        assignment: who trains, in which round, and how much of it.
        vector: parameters to start from, float32 (d,); unchanged.
        sampler: which samples each step takes.

    Returns:
        The update; its weight is the number of the client's samples, whatever share of the work was done, and its loss
        is without the proximal term.

    Raises:
        TrainingError: the client has no samples, or the loss or the update is not finite.
        ConfigError: the device is not there.
        DataError: samples cannot be read.
    """
    if len(examples) == 0:
        problem = f"client {assignment.client} has no samples"
        raise TrainingError(problem, "leave this person out, or give the person images")
    device = resolve_device(settings.device)
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        model = task.build_model(0).to(device)
        load_vector(model, vector)
        model.train()
        _seed_global_generators(device, seed_for(settings, "noise", assignment))
        loss, passed = _descend(task, settings, examples, assignment, model, sampler)
        delta = vector_from_model(model) - vector
    _finite(float(np.abs(delta).max(initial=0.0)), assignment)
    return ClientUpdate(assignment.client, len(examples), delta, loss, passed)


def _descend(
    task: LearningTask,
    settings: LocalSettings,
    examples: Dataset,
    assignment: Assignment,
    model: nn.Module,
    sampler: Sampler,
) -> tuple[float, int]:
    """Take the round's steps; the mean loss over their samples, and the number of these."""
    descent, losses = _Descent(model, settings, assignment), _Losses(assignment)
    device = descent.parameters.values.device
    draws = torch.Generator().manual_seed(seed_for(settings, "augment", assignment))
    for rows in read_batches(examples, sampler(len(examples), settings, assignment)):
        batch = task.augment(rows, draws).to(device)
        with computing_in(settings.precision, device):
            predicted = task.predict(model, batch.inputs)
        loss = task.loss_of(predicted.float(), batch.targets)
        descent.step(loss)
        losses.add(loss.detach(), len(batch))
    mean = losses.mean()
    descent.require_a_step()
    return mean, losses.samples


class _Descent:
    """A fresh optimiser on a model, with what is added to each gradient before it steps."""

    def __init__(self, model: nn.Module, settings: LocalSettings, assignment: Assignment) -> None:
        self.parameters = FlatParameters(model)
        self._assignment = assignment
        self._steps = 0
        self._weight_decay = settings.weight_decay
        self._mu = settings.proximal_mu if assignment.proximal else 0.0
        values = self.parameters.values
        self._start = values.detach().clone() if self._mu else values.detach()
        self._scaler = scaler_of_losses(settings.precision, values.device)
        rate = learning_rate_at(settings, assignment.round_index)
        self._optimiser: torch.optim.Optimizer
        if settings.optimiser == "adam":
            self._optimiser = torch.optim.Adam([values], lr=rate, foreach=False)
        else:
            self._optimiser = torch.optim.SGD([values], lr=rate, momentum=settings.momentum, foreach=False)

    def step(self, loss: Tensor) -> None:
        """One step down the loss, plus mu/2 |w - w_t|^2 ([FedProx], equation 2), plus the L2 penalty."""
        gradients, values = self.parameters.gradients, self.parameters.values.detach()
        gradients.zero_()
        self._scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
        self._scaler.unscale_(self._optimiser)
        if self._mu:
            gradients.add_(values - self._start, alpha=self._mu)
        if self._weight_decay:
            gradients.add_(values, alpha=self._weight_decay)
        self._scaler.step(self._optimiser)
        self._scaler.update()
        self._steps += 1

    def require_a_step(self) -> None:
        """Refuse a round whose every step was left out, because each one's gradient overflowed."""
        if self._scaler.is_enabled() and self._scaler.get_scale() <= FIRST_SCALE * 0.5**self._steps:
            who, number = self._assignment.client, self._assignment.round_index + 1
            problem = f"client {who}: every gradient overflowed in float16 in round {number}"
            raise TrainingError(problem, 'set training.precision to "bfloat16" or "float32", or give more steps')


class _Losses:
    """The mean of losses, read a few at a time: reading one makes the CPU wait for a GPU."""

    def __init__(self, assignment: Assignment) -> None:
        self._assignment = assignment
        self._unread: list[tuple[Tensor, int]] = []
        self._sum, self.samples = 0.0, 0

    def add(self, loss: Tensor, samples: int) -> None:
        """The mean loss of a batch."""
        self._unread.append((loss, samples))
        if len(self._unread) == _LOSSES_AT_A_TIME:
            self._read()

    def mean(self) -> float:
        """Over all samples."""
        self._read()
        return self._sum / self.samples

    def _read(self) -> None:
        values = torch.stack([loss for loss, _ in self._unread]).tolist() if self._unread else []
        for value, (_, samples) in zip(values, self._unread, strict=True):
            self._sum += _finite(value, self._assignment) * samples
            self.samples += samples
        self._unread.clear()


def _seed_global_generators(device: torch.device, seed: int) -> None:
    """For whatever the model draws itself, such as dropout."""
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        torch.cuda.manual_seed(seed)


def _finite(value: float, assignment: Assignment) -> float:
    if not math.isfinite(value):
        remedy = "lower training.learning_rate, or look for bad labels with `privateyes data check`"
        problem = f"client {assignment.client}: training diverged to {value} in round {assignment.round_index + 1}"
        raise TrainingError(problem, remedy)
    return value
