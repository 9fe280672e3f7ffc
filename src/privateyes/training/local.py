"""One client's local round: the model in, an update out ([McMahan 2017], ClientUpdate; [FedProx], algorithm 2)."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from privateyes.errors import TrainingError
from privateyes.federation.seeds import derive_seed
from privateyes.training.batches import read_batches
from privateyes.training.device import FIRST_SCALE, computing_in, resolve_device, scaler_of_losses
from privateyes.training.flat import FlatParameters
from privateyes.training.schedule import learning_rate_at
from privateyes.training.settings import Assignment, LocalSettings
from privateyes.training.task import Dataset, LearningTask
from privateyes.training.vector import load_vector, vector_from_model

_LOSSES_AT_A_TIME: Final = 64
_FINEST_SHARE: Final = 1_000_000  # denominators up to it: 0.1 is a tenth, which no float is


@dataclass(frozen=True, slots=True)
class LocalRound:
    """What a local round ends with.

    Args:
        delta: new minus old parameters, float32 (d,).
        samples: number of the client's samples, its weight.
        loss: mean over the samples that steps were taken on.
        passed: how many those were, each as often as a step was taken on it.
    """

    delta: NDArray[np.float32] = field(repr=False)
    samples: int = field(repr=False)
    loss: float = field(repr=False)
    passed: int = field(repr=False)


def train_locally(
    task: LearningTask,
    settings: LocalSettings,
    examples: Dataset,
    assignment: Assignment,
    vector: NDArray[np.float32],
) -> LocalRound:
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

    Returns:
        The update, the number of the client's samples (whatever share of the work was done), and the mean loss over the
        samples that steps were taken on, without the proximal term, and their number.

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
        _seed_global_generators(device, _seed(settings, "noise", assignment))
        loss, passed = _descend(task, settings, examples, assignment, model)
        delta = vector_from_model(model) - vector
    _finite(float(np.abs(delta).max(initial=0.0)), assignment)
    return LocalRound(delta=delta, samples=len(examples), loss=loss, passed=passed)


def _descend(
    task: LearningTask, settings: LocalSettings, examples: Dataset, assignment: Assignment, model: nn.Module
) -> tuple[float, int]:
    """Take the round's steps; the mean loss over their samples, and the number of these."""
    descent, losses = _Descent(model, settings, assignment), _Losses(assignment)
    device = descent.parameters.values.device
    draws = torch.Generator().manual_seed(_seed(settings, "augment", assignment))
    for rows in read_batches(examples, _batches(len(examples), settings, assignment)):
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


def _batches(samples: int, settings: LocalSettings, assignment: Assignment) -> Iterator[Tensor]:
    """Row numbers, int64 (B,), for each step, cut off after the assigned share of the steps."""
    if settings.local_epochs < 1:
        batches = _share_of_passes(samples, settings, assignment)
        yield from batches[: max(1, math.ceil(assignment.work * len(batches)))]
        return
    order = torch.Generator().manual_seed(_seed(settings, "client", assignment))
    steps = int(settings.local_epochs) * -(-samples // settings.batch_size)
    left = max(1, math.ceil(assignment.work * steps))
    while left:
        permutation = torch.randperm(samples, generator=order)
        for start in range(0, samples, settings.batch_size)[:left]:
            left -= 1
            yield permutation[start : start + settings.batch_size]


def _share_of_passes(samples: int, settings: LocalSettings, assignment: Assignment) -> Sequence[Tensor]:
    """The batches of a round that makes less than a pass: round after round walks on through passes in fresh orders.

    All batches are of one size, so that none weighs more than another; one may end a pass and begin the next. Where the
    walk stands follows from the round's number, so that a round depends on no other; a client that sits a round out
    skips the batches of that round. A client with less than a batch to do in a round takes smaller ones, and every
    round takes one sample at least.
    """
    share = Fraction(settings.local_epochs).limit_denominator(_FINEST_SHARE) * samples
    size = min(settings.batch_size, max(1, math.floor(share)))
    first = math.floor(assignment.round_index * share / size)
    end = max(first + 1, math.floor((assignment.round_index + 1) * share / size))
    begin, stop = first * size, end * size
    orders = []
    for number in range(begin // samples, -(-stop // samples)):
        seed = derive_seed(settings.seed, "pass", assignment.client, number)
        orders.append(torch.randperm(samples, generator=torch.Generator().manual_seed(seed)))
    skipped = begin // samples * samples
    return torch.split(torch.cat(orders)[begin - skipped : stop - skipped], size)


def _seed_global_generators(device: torch.device, seed: int) -> None:
    """For whatever the model draws itself, such as dropout."""
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        torch.cuda.manual_seed(seed)


def _seed(settings: LocalSettings, purpose: str, assignment: Assignment) -> int:
    return derive_seed(settings.seed, purpose, assignment.client, assignment.round_index)


def _finite(value: float, assignment: Assignment) -> float:
    if not math.isfinite(value):
        remedy = "lower training.learning_rate, or look for bad labels with `privateyes data check`"
        problem = f"client {assignment.client}: training diverged to {value} in round {assignment.round_index + 1}"
        raise TrainingError(problem, remedy)
    return value
