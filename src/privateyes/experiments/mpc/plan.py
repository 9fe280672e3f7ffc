"""From an experiment to the trainings under MPC that stand for it: few samples, a small network, every fold."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from privateyes.baselines.mpc.in_the_clear import OnFeatures, build_perceptron
from privateyes.baselines.mpc.job import (
    IMAGE_KINDS,
    Network,
    Owner,
    Sgd,
    TrainingJob,
    check_job,
    plan_batches,
    protocol_for,
)
from privateyes.errors import ConfigError
from privateyes.experiments.folds import Fold
from privateyes.experiments.prepare import Preparation
from privateyes.experiments.spec_tables import Mpc
from privateyes.experiments.tasks import task_of
from privateyes.federation.seeds import derive_seed
from privateyes.training.task import Examples, TaskOnData

POOLED: Final = "everybody"
_MOST_FEATURES: Final = 20_000
_PROBE_STEPS: Final = 3  # the first does not count (`costs.measured_cost`)
_GREY_LEVELS: Final = 255.0


@dataclass(frozen=True, slots=True)
class MpcJob:
    """One training under MPC, of one fold.

    Attributes:
        preparation: the experiment.
        data: the data file.
        fold: who shares images, and who is tested.
        probed: whether steps of the experiment's own model are measured, too.
    """

    preparation: Preparation
    data: Path
    fold: Fold
    probed: bool

    @property
    def settings(self) -> Mpc:
        """The table [mpc], with its defaults where the experiment has none."""
        return settings_of(self.preparation)

    @property
    def task(self) -> TaskOnData:
        """Data, labels and errors of the experiment."""
        return self.preparation.task(self.data)


def settings_of(preparation: Preparation) -> Mpc:
    """The table [mpc], with its defaults where the experiment has none."""
    return preparation.spec.mpc or Mpc()


def plan_mpc(preparation: Preparation, data: Path) -> list[MpcJob]:
    """One training for each fold; the experiment's own model is probed in the first, for it costs the same in all.

    Args:
        preparation: the experiment.
        data: the data file, which exists by now.

    Raises:
        ConfigError: protocol and parties do not fit, the network or the images are too much for MPC, or nobody is
            tested.
    """
    settings = settings_of(preparation)
    if preparation.spec.split.test_persons == []:
        problem = "split.test_persons = [] leaves nobody to test on, and mpc is compared by its errors"
        raise ConfigError(problem, "test somebody")
    protocol_for(settings.protocol, settings.parties)
    if settings.network == "model" and not is_known(preparation):
        problem = f'mpc.network = "model", but {preparation.spec.model.name} is not known under MPC'
        raise ConfigError(problem, f'set it to "perceptron", or model.name to one of {", ".join(IMAGE_KINDS)}')
    if settings.probe_batches and len(set(settings.probe_batches)) != 2:
        problem = f"mpc.probe_batches = {settings.probe_batches} are not two different batch sizes"
        raise ConfigError(problem, "give two, such as [1, 4], or [] to measure no step of the experiment's model")
    probed = bool(settings.probe_batches) and settings.network == "perceptron" and is_known(preparation)
    return [MpcJob(preparation, data, fold, probed and index == 0) for index, fold in enumerate(preparation.folds)]


def is_known(preparation: Preparation) -> bool:
    """Whether the experiment's model can be trained under MPC: known there, on grey images and head poses."""
    return _image_shape(preparation) is not None


def _image_shape(preparation: Preparation) -> tuple[int, int] | None:
    """(height, width) of the images of a model that is known; else None."""
    return task_of(preparation.spec).image_under_mpc(preparation.spec, preparation.learning)


def _known_shape(preparation: Preparation) -> tuple[int, int]:
    """As `_image_shape`, where `plan_mpc` has refused what is not known."""
    shape = _image_shape(preparation)
    if shape is None:
        raise ConfigError(f"{preparation.spec.model.name} is not known under MPC", "name another model")
    return shape


def training_of(job: MpcJob) -> tuple[TrainingJob, nn.Module]:
    """What is to be trained, and the same network for the clear.

    Raises:
        DataError: a person's data cannot be used.
        ConfigError: the images are too large for MPC.
    """
    settings, spec, task = job.settings, job.preparation.spec, job.task
    owners = tuple(_owner(task, person, settings.samples_per_person) for person in job.fold.train)
    columns = owners[0].features.shape[1]
    if columns > _MOST_FEATURES:
        problem = f"{columns} values in a sample are too many for training under MPC"
        raise ConfigError(problem, "set data.resize to a smaller size, such as [9, 15]")
    network, model, initial = _network(job, columns, owners[0].targets.shape[1])
    protocol, parties = protocol_for(settings.protocol, settings.parties)
    samples = sum(len(owner.features) for owner in owners)
    seed = derive_seed(spec.seed, "client", POOLED, 0)
    training = TrainingJob(
        protocol=protocol.name,
        parties=parties,
        owners=owners,
        network=network,
        initial=initial,
        sgd=Sgd(settings.learning_rate, settings.momentum, settings.loss),
        plan=plan_batches(samples, settings.batch_size, settings.epochs, seed),
        ring_bits=settings.ring_bits,
        silence_s=settings.silence_s,
    )
    check_job(training)
    return training, model


def probe_of(job: MpcJob, batch_size: int) -> TrainingJob:
    """A few steps of the experiment's own model on noise: what a step costs depends on shapes and not on values."""
    preparation, settings = job.preparation, job.settings
    protocol, parties = protocol_for(settings.protocol, settings.parties)
    generator = np.random.default_rng(derive_seed(preparation.spec.seed, "mpc probe", batch_size))
    samples = batch_size * _PROBE_STEPS
    columns = math.prod(_known_shape(preparation)) + 2
    owner = Owner(
        "noise",
        generator.random((samples, columns), dtype=np.float32),
        generator.uniform(-0.3, 0.3, (samples, 2)).astype(np.float32),
    )
    training = TrainingJob(
        protocol=protocol.name,
        parties=parties,
        owners=(owner,),
        network=_own_network(preparation, job.task),
        initial=preparation.initial,
        sgd=Sgd(settings.learning_rate, settings.momentum, settings.loss),
        plan=plan_batches(samples, batch_size, 1, 0),
        ring_bits=settings.ring_bits,
        silence_s=settings.silence_s,
    )
    check_job(training)
    return training


def features_of(examples: Examples) -> NDArray[np.float32]:
    """What a network sees of each sample, float32 (N, D): grey levels as [0, 1], everything else as it is."""
    columns = []
    for tensor in examples.inputs:
        values = tensor.reshape(len(examples), -1).to(torch.float32)
        columns.append(values / _GREY_LEVELS if tensor.dtype == torch.uint8 else values)
    features: NDArray[np.float32] = torch.cat(columns, dim=1).numpy()
    return features


def _owner(task: TaskOnData, person: str, limit: int) -> Owner:
    examples = task.examples(person)
    count = min(limit, len(examples))
    chosen = examples.rows(torch.arange(count) * len(examples) // count)
    return Owner(person, features_of(chosen), chosen.targets.numpy().astype(np.float32))


def _network(job: MpcJob, columns: int, outputs: int) -> tuple[Network, nn.Module, NDArray[np.float32]]:
    """The network, the same in torch, and the parameters to start from."""
    preparation, settings = job.preparation, job.settings
    if settings.network == "perceptron":
        network, perceptron = build_perceptron(columns, settings.hidden, outputs, preparation.spec.seed)
        parts = [parameter.detach().numpy().ravel() for parameter in perceptron.parameters()]
        return network, perceptron, np.concatenate(parts)
    height, width = _known_shape(preparation)
    model = OnFeatures(job.task.build_model(0), (height, width))
    return _own_network(preparation, job.task), model, preparation.initial


def _own_network(preparation: Preparation, task: TaskOnData) -> Network:
    height, width = _known_shape(preparation)
    shapes = tuple(tuple(parameter.shape) for parameter in task.build_model(0).parameters())
    return Network(preparation.spec.model.name, shapes, (height, width))
