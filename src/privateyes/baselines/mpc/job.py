"""What is to be trained under MPC, checked before anything starts."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from privateyes.baselines.mpc.protocols import ENGINE, FRACTION_BITS, PROTOCOLS, Protocol, ProtocolName
from privateyes.errors import ConfigError, DataError

# Sums of products must not leave the ring: with 64 bits and a fraction of 18 they must stay below 2^63 / 2^36 = 2^27.
LARGEST_VALUE: Final = 1e6

IMAGE_KINDS: Final = ("small_cnn", "lenet", "resnet_preact_8")
"""The networks on grey images and head poses that the program in the locked environment knows."""
KINDS: Final = ("perceptron", *IMAGE_KINDS)


@dataclass(frozen=True, slots=True, eq=False)
class Owner:
    """What one data owner has to share.

    Attributes:
        name: of the person.
        features: (N, D) float32, everything the network sees of a sample.
        targets: (N, T) float32.
    """

    name: str
    features: NDArray[np.float32] = field(repr=False)
    targets: NDArray[np.float32] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Network:
    """A network that the program in the locked environment knows.

    Attributes:
        kind: see `KINDS`.
        shapes: of its tensors, in torch's order and layout.
        image_shape: (height, width) that the convolutional ones take from the features; what follows is the head pose.
    """

    kind: str
    shapes: tuple[tuple[int, ...], ...]
    image_shape: tuple[int, int] = (0, 0)

    @property
    def parameters(self) -> int:
        """Number of parameters."""
        return sum(math.prod(shape) for shape in self.shapes)

    def as_json(self) -> dict[str, Any]:
        """As the program reads it."""
        return {"kind": self.kind, "height": self.image_shape[0], "width": self.image_shape[1]}


@dataclass(frozen=True, slots=True)
class Sgd:
    """How a step is made: SGD with momentum in torch's form, mean l1 or l2 loss over a batch."""

    learning_rate: float
    momentum: float
    loss: Literal["l1", "l2"]


@dataclass(frozen=True, slots=True, eq=False)
class TrainingJob:
    """A training under MPC; `check_job` says what may stand in it.

    Attributes:
        protocol: a name in `protocols.PROTOCOLS`.
        parties: computing parties.
        owners: the data, each owner's apart.
        network: what is trained.
        initial: the parameters to start from, float32 (d,); public, as in the other methods.
        sgd: how a step is made.
        plan: the rows of each step, counted over all owners in order; public.
        ring_bits: 64, or 128 for more precision at about twice the cost.
        silence_s: give up when no process has said anything for that long.
    """

    protocol: ProtocolName
    parties: int
    owners: tuple[Owner, ...]
    network: Network
    initial: NDArray[np.float32] = field(repr=False)
    sgd: Sgd
    plan: tuple[tuple[int, ...], ...] = field(repr=False)
    ring_bits: int = 64
    silence_s: int = 600

    @property
    def fraction_bits(self) -> int:
        """How many of the ring's bits are for the fraction."""
        return FRACTION_BITS[self.ring_bits]

    @property
    def samples(self) -> int:
        """Samples of all owners."""
        return sum(len(owner.features) for owner in self.owners)

    def digest(self) -> str:
        """SHA-256 in hexadecimal over everything that decides the result."""
        facts = {
            "engine": [ENGINE, self.ring_bits, self.fraction_bits],
            "protocol": [self.protocol, self.parties],
            "network": [self.network.as_json(), self.network.shapes],
            "sgd": [self.sgd.learning_rate, self.sgd.momentum, self.sgd.loss],
            "plan": self.plan,
            "owners": [[owner.name, owner.features.shape, owner.targets.shape] for owner in self.owners],
        }
        state = hashlib.sha256(json.dumps(facts).encode())
        arrays = [array for owner in self.owners for array in (owner.features, owner.targets)]
        for array in (self.initial, *arrays):
            state.update(np.ascontiguousarray(array).tobytes())
        return state.hexdigest()


def protocol_for(name: str, parties: int | None) -> tuple[Protocol, int]:
    """The protocol and its number of parties; its fewest where `parties` is None.

    Raises:
        ConfigError: there is no such protocol, or it does not take so many parties.
    """
    if name not in PROTOCOLS:
        raise ConfigError(f'mpc.protocol = "{name}" is not known', f"choose from: {', '.join(PROTOCOLS)}")
    protocol = PROTOCOLS[name]
    count = (3 if protocol.most >= 3 else protocol.fewest) if parties is None else parties
    if not protocol.fewest <= count <= protocol.most:
        takes = str(protocol.fewest) if protocol.fewest == protocol.most else f"{protocol.fewest} to {protocol.most}"
        problem = f"mpc.parties = {count}, but the protocol {name} takes {takes}"
        raise ConfigError(problem, f"set it to {takes}, leave it out, or choose another mpc.protocol")
    return protocol, count


def plan_batches(samples: int, batch_size: int, epochs: int, seed: int) -> tuple[tuple[int, ...], ...]:
    """The rows of every step: each epoch passes over all samples once, newly shuffled; the last batch may be smaller.

    The same permutations as `training.local` draws from that seed.
    """
    import torch

    order = torch.Generator().manual_seed(seed)
    steps: list[tuple[int, ...]] = []
    for _ in range(epochs):
        rows = torch.randperm(samples, generator=order).tolist()
        steps += [tuple(rows[start : start + batch_size]) for start in range(0, samples, batch_size)]
    return tuple(steps)


def check_job(job: TrainingJob) -> None:
    """Refuse what could not be trained, or would leave the range of fixed point.

    Raises:
        ConfigError: protocol and parties do not fit, or there is no step to make.
        DataError: an owner's arrays do not fit together, or hold a value that fixed point cannot.
    """
    protocol_for(job.protocol, job.parties)
    if job.ring_bits not in FRACTION_BITS:
        raise ConfigError(f"mpc.ring_bits = {job.ring_bits}", f"choose from: {', '.join(map(str, FRACTION_BITS))}")
    if job.network.kind not in KINDS:
        raise ConfigError(f"the network {job.network.kind} is not known under MPC", f"choose from: {', '.join(KINDS)}")
    if not job.owners or not job.plan:
        raise ConfigError("training under MPC needs at least one owner and one step", "raise mpc.epochs")
    if job.initial.shape != (job.network.parameters,):
        problem = f"{job.initial.size} initial parameters for a network of {job.network.parameters}"
        raise ConfigError(problem, "start from parameters of the same network")
    first = job.owners[0]
    for owner in job.owners:
        _check_owner(owner, first)
    if max(map(max, job.plan)) >= job.samples or min(map(min, job.plan)) < 0:
        raise ConfigError(f"the plan names rows outside of the {job.samples} samples", "plan with that many samples")


def _check_owner(owner: Owner, first: Owner) -> None:
    where = f"owner {owner.name}"
    for kind, array, other in (
        ("features", owner.features, first.features),
        ("targets", owner.targets, first.targets),
    ):
        if array.ndim != 2 or array.dtype != np.float32 or len(array) != len(owner.features) or not len(array):
            problem = f"{where}: {kind} are {array.dtype} {array.shape}"
            raise DataError(problem, "give float32 (samples, columns), at least one sample")
        if array.shape[1:] != other.shape[1:]:
            problem = f"{where}: {kind} have {array.shape[1]} columns, those of {first.name} {other.shape[1]}"
            raise DataError(problem, "bring all images to one size")
        if not np.all(np.abs(array) < LARGEST_VALUE):  # NaN fails, too
            problem = f"{where}: {kind} hold NaN, infinity or a value beyond {LARGEST_VALUE:g}"
            raise DataError(problem, "fixed point cannot hold it; correct the data")


def split_vector(vector: NDArray[np.float32], shapes: Sequence[tuple[int, ...]]) -> list[NDArray[np.float32]]:
    """A flat vector as tensors of these shapes."""
    ends = np.cumsum([math.prod(shape) for shape in shapes])[:-1]
    return [part.reshape(shape) for part, shape in zip(np.split(vector, ends), shapes, strict=True)]


def public_part(job: TrainingJob) -> Mapping[str, Any]:
    """What every party is told: everything but the data."""
    count = len(job.owners)
    tensors = range(len(job.network.shapes))
    return {
        "protocol": PROTOCOLS[job.protocol].engine_name,
        "parties": job.parties,
        "ring_bits": job.ring_bits,
        "fraction_bits": job.fraction_bits,
        "network": job.network.as_json(),
        "tensors": [list(shape) for shape in job.network.shapes],
        "owners": [len(owner.features) for owner in job.owners],
        "columns": [job.owners[0].features.shape[1], job.owners[0].targets.shape[1]],
        "inputs": [
            *(f"tensor{index}" for index in tensors),
            *(f"velocity{index}" for index in tensors),
            *(f"{kind}{index}" for index in range(count) for kind in ("features", "targets")),
        ],
        "loss": job.sgd.loss,
        "learning_rate": job.sgd.learning_rate,
        "momentum": job.sgd.momentum,
        "plan": [list(rows) for rows in job.plan],
        "silence_s": job.silence_s,
    }
