"""What training under MPC cost, and what more of it would: measured figures and figures that are computed from them.

Every figure that was not measured says so (`extrapolated`), and how it was computed (`formula`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from privateyes.baselines.mpc.driver import Trained
from privateyes.errors import DataError


@dataclass(frozen=True, slots=True)
class Cost:
    """The cost of one training; of its steps alone, so that costs of different lengths can be compared.

    Attributes:
        what: which training.
        network: which network.
        parameters: of the network.
        batch_size: samples of a step.
        steps: number of steps.
        seconds_per_step: mean, the slowest party's; as all means, without the first step.
        seconds: of all steps.
        cpu_s_per_step: mean, of all parties together.
        bytes_per_step: mean over the parties of what each sent in a step.
        bytes_per_party: mean over the parties of what each sent in all steps.
        messages_per_step: mean over the parties; on a real network most of them wait for one another.
        extrapolated: whether nobody has run it.
        formula: how it was computed from what was measured; empty where it was measured.
    """

    what: str
    network: str
    parameters: int
    batch_size: int
    steps: int
    seconds_per_step: float
    seconds: float
    cpu_s_per_step: float
    bytes_per_step: float
    bytes_per_party: float
    messages_per_step: float
    extrapolated: bool
    formula: str = ""

    def as_json(self) -> dict[str, Any]:
        """Every field by its name."""
        return asdict(self)

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Cost:
        """The inverse of `as_json`.

        Raises:
            TypeError: fields are missing or unknown.
        """
        return cls(**content)


def measured_cost(what: str, network: str, parameters: int, batch_size: int, trained: Trained) -> Cost:
    """The cost of what was run. Means leave the first step out, in which the engine sets itself up; sums do not.

    Args:
        what: which training.
        network: its name.
        parameters: of the network.
        batch_size: samples of a step; the last step of an epoch may have had fewer.
        trained: the run.
    """
    sent = np.mean([party.step_bytes for party in trained.parties], axis=0)
    messages = np.mean([party.step_messages for party in trained.parties], axis=0)
    return Cost(
        what=what,
        network=network,
        parameters=parameters,
        batch_size=batch_size,
        steps=len(trained.step_s),
        seconds_per_step=_mean_step(trained.step_s),
        seconds=float(np.sum(trained.step_s)),
        cpu_s_per_step=_mean_step(trained.step_cpu_s),
        bytes_per_step=_mean_step(sent),
        bytes_per_party=float(np.sum(sent)),
        messages_per_step=_mean_step(messages),
        extrapolated=False,
    )


def _mean_step(figures: Sequence[float] | NDArray[np.float64]) -> float:
    return float(np.mean(figures[1:] if len(figures) > 1 else figures))


def extrapolate_steps(measured: Cost, what: str, steps: int) -> Cost:
    """The same steps, more of them: everything grows in proportion.

    Args:
        measured: steps of that batch size and network.
        what: which training.
        steps: its number of steps.
    """
    return Cost(
        what=what,
        network=measured.network,
        parameters=measured.parameters,
        batch_size=measured.batch_size,
        steps=steps,
        seconds_per_step=measured.seconds_per_step,
        seconds=measured.seconds_per_step * steps,
        cpu_s_per_step=measured.cpu_s_per_step,
        bytes_per_step=measured.bytes_per_step,
        bytes_per_party=measured.bytes_per_step * steps,
        messages_per_step=measured.messages_per_step,
        extrapolated=True,
        formula=f"measured mean step of {measured.batch_size} samples x {steps} steps",
    )


def extrapolate_batch(probes: Sequence[Cost], what: str, batch_size: int, steps: int) -> Cost:
    """Steps with larger batches than were measured: the straight line through two measured batch sizes.

    What a step does is either once per step (the update of the parameters) or once per sample, hence the line.

    Args:
        probes: measured steps of one network with two different batch sizes.
        what: which training.
        batch_size: of its steps, at least the smaller measured one.
        steps: its number of steps.

    Raises:
        DataError: the probes do not differ in their batch size.
    """

    def at(figure: Callable[[Cost], float]) -> float:
        return _on_line(small.batch_size, figure(small), large.batch_size, figure(large), batch_size)

    small, large = sorted(probes, key=lambda probe: probe.batch_size)
    if small.batch_size == large.batch_size or small.network != large.network:
        raise DataError("two probes of one network need two batch sizes", "probe with another batch size")
    seconds, sent = at(lambda probe: probe.seconds_per_step), at(lambda probe: probe.bytes_per_step)
    return Cost(
        what=what,
        network=large.network,
        parameters=large.parameters,
        batch_size=batch_size,
        steps=steps,
        seconds_per_step=seconds,
        seconds=seconds * steps,
        cpu_s_per_step=at(lambda probe: probe.cpu_s_per_step),
        bytes_per_step=sent,
        bytes_per_party=sent * steps,
        messages_per_step=large.messages_per_step,
        extrapolated=True,
        formula=(
            f"line through the measured steps of {small.batch_size} and {large.batch_size} samples, at {batch_size} "
            f"samples, x {steps} steps"
        ),
    )


def full_steps(samples: Sequence[int], batch_size: int, epochs: float) -> int:
    """Steps of a pooled training: each epoch passes over everybody's samples in batches; the last may break off."""
    return math.ceil(epochs * math.ceil(sum(samples) / batch_size))


def _on_line(x0: float, y0: float, x1: float, y1: float, x: float) -> float:
    """The line through two points, at `x`; never falling: noise of a small measurement must not make more cost less."""
    slope = max(0.0, (y1 - y0) / (x1 - x0))
    return y1 + slope * (x - x1)
