"""How a client trains, and what it is asked to do in one round."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

DeviceName = Literal["cpu", "cuda", "auto"]
Precision = Literal["float32", "bfloat16", "float16"]
Schedule = Literal["constant", "cosine", "step"]


@dataclass(frozen=True, slots=True)
class LocalSettings:
    """How a client trains.

    Args:
        seed: the experiment's seed.
        rounds: number of rounds, which the schedule spans.
        local_epochs: passes over the client's samples in one round: a whole number, or a share of a pass, below 1, with
            which the rounds walk through pass after pass.
        batch_size: samples per step; the last batch of a pass may be smaller.
        optimiser: "sgd" or "adam".
        learning_rate: step size before the schedule, above 0.
        momentum: of SGD, in [0, 1); Adam ignores it.
        weight_decay: L2 penalty, at least 0.
        schedule: how the step size changes from round to round; see `training.schedule`.
        warmup_rounds: rounds in which the step size climbs to the learning rate, at least 0.
        decay_rounds: with schedule "step": after that many rounds the step size is multiplied by `decay_factor`.
        decay_factor: with schedule "step", in (0, 1].
        proximal_mu: weight of FedProx's proximal term, at least 0; only in assignments that ask for it.
        device: "cpu", "cuda", or "auto" for CUDA where torch sees a device; see `training.device`.
        precision: what the model computes in. Parameters, updates and losses stay float32 with all of them.
    """

    seed: int
    rounds: int
    local_epochs: float
    batch_size: int
    optimiser: Literal["sgd", "adam"]
    learning_rate: float
    momentum: float
    weight_decay: float
    schedule: Schedule
    warmup_rounds: int = 0
    decay_rounds: tuple[int, ...] = ()
    decay_factor: float = 0.1
    proximal_mu: float = 0.0
    device: DeviceName = "cpu"
    precision: Precision = "float32"


@dataclass(frozen=True, slots=True)
class Assignment:
    """What one client is asked to do in one round.

    Args:
        client: its name.
        round_index: the round, from 0.
        proximal: whether its loss has FedProx's proximal term, weighted by `LocalSettings.proximal_mu`.
        work: share of the round's steps that it manages in time, in (0, 1]; never less than one step.
    """

    client: str
    round_index: int
    proximal: bool = False
    work: float = 1.0
