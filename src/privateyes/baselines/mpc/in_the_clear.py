"""The same training in the clear: same parameters to start from, same batches, same steps, in torch and float32.

What distinguishes the two results is fixed point and the engine's arithmetic, and nothing else.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from privateyes.baselines.mpc.job import Network, TrainingJob
from privateyes.federation.seeds import derive_seed
from privateyes.training.determinism import deterministic_torch
from privateyes.training.vector import load_vector, vector_from_model

# The last layer starts small, so that the first predictions are near 0, straight ahead.
_LAST_LAYER_SCALE = 0.01


class Perceptron(nn.Module):
    """Linear layers with ReLU between them.

    Args:
        sides: inputs, hidden units of each layer, outputs.
    """

    def __init__(self, sides: Sequence[int]) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(before, after) for before, after in pairwise(sides))

    def forward(self, features: Tensor) -> Tensor:
        """(B, D) float32 -> (B, T)."""
        hidden = features
        for index, layer in enumerate(self.layers):
            hidden = layer(hidden if index == 0 else hidden.relu())
        return hidden


class OnFeatures(nn.Module):
    """A model of images and head poses, on features: the pixels of a grey image in [0, 1], then the pose.

    Args:
        model: (image (B, 1, H, W), pose (B, 2)) -> (B, 2).
        image_shape: (H, W).
    """

    def __init__(self, model: nn.Module, image_shape: tuple[int, int]) -> None:
        super().__init__()
        self.model = model
        self._shape = image_shape

    def forward(self, features: Tensor) -> Tensor:
        """(B, H * W + 2) float32 -> (B, 2)."""
        pixels = math.prod(self._shape)
        outputs: Tensor = self.model(features[:, :pixels].reshape(-1, 1, *self._shape), features[:, pixels:])
        return outputs


def build_perceptron(inputs: int, hidden: Sequence[int], outputs: int, seed: int) -> tuple[Network, Perceptron]:
    """A perceptron whose parameters depend on the seed only: normal with Kaiming's scale, biases 0 [Kaiming init]."""
    model = Perceptron([inputs, *hidden, outputs])
    generator = torch.Generator().manual_seed(derive_seed(seed, "initial perceptron"))
    with torch.no_grad():
        for index, layer in enumerate(model.layers):
            last = index == len(model.layers) - 1
            weight, bias = layer.weight, layer.bias
            scale = _LAST_LAYER_SCALE if last else math.sqrt(2.0 / weight.shape[1])  # type: ignore[index]
            weight.normal_(0.0, scale, generator=generator)  # type: ignore[operator]
            bias.zero_()  # type: ignore[operator]
    shapes = tuple(tuple(parameter.shape) for parameter in model.parameters())
    return Network("perceptron", shapes), model


def shake(job: TrainingJob) -> TrainingJob:
    """The same job from parameters that differ by one unit of fixed point, up or down."""
    generator = np.random.default_rng(derive_seed(0, "shaken counterpart"))
    unit = 2.0**-job.fraction_bits
    moved = job.initial + unit * generator.choice([-1.0, 1.0], job.initial.shape)
    return replace(job, initial=moved.astype(np.float32))


def train_in_the_clear(job: TrainingJob, model: nn.Module) -> NDArray[np.float32]:
    """The parameters, float32 (d,), that the job's steps lead to in float32.

    Args:
        job: what is trained under MPC.
        model: (features (B, D)) -> (B, T), with the job's tensors as its parameters in that order; is changed.
    """
    features = torch.from_numpy(np.concatenate([owner.features for owner in job.owners]))
    targets = torch.from_numpy(np.concatenate([owner.targets for owner in job.owners]))
    load_vector(model, job.initial)
    optimiser = torch.optim.SGD(model.parameters(), lr=job.sgd.learning_rate, momentum=job.sgd.momentum)
    with deterministic_torch():
        for rows in job.plan:
            index = torch.tensor(rows)
            optimiser.zero_grad()
            difference = model(features[index]) - targets[index]
            loss = difference.abs().mean() if job.sgd.loss == "l1" else (difference * difference).mean()
            loss.backward()
            optimiser.step()
    return vector_from_model(model)
