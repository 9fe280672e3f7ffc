"""Server optimisers: how the mean update moves the model.

The adaptive ones take the mean update of a round for a pseudo-gradient ([Reddi 2021], algorithm 2): with Delta_t the
weighted mean of the clients' updates, x_t the model, and everything element by element,

    m_t = beta1 m_(t-1) + (1 - beta1) Delta_t
    v_t = v_(t-1) + Delta_t^2                                            FedAdagrad
    v_t = beta2 v_(t-1) + (1 - beta2) Delta_t^2                          FedAdam
    v_t = v_(t-1) - (1 - beta2) Delta_t^2 sign(v_(t-1) - Delta_t^2)      FedYogi
    x_(t+1) = x_t + rate m_t / (sqrt(v_t) + tau)

from m_(-1) = 0 and v_(-1) = tau^2, without bias correction. FedAvgM ([Hsu 2019], section 4.3) keeps
m_t = beta1 m_(t-1) + Delta_t and moves by rate m_t. [Federated Gaze] applies the method to gaze estimation.

Every implementation must be bit-exact, because in `private` each client runs the step itself and all must reach the
same state: float64, element by element, no reductions, and only +, -, *, / and the square root, which IEEE 754 rounds
correctly on every machine. The cosine of a falling rate is not among them and is therefore rounded to 32 bits.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from privateyes.errors import ConfigError, ConvergedError, TrainingError
from privateyes.federation.rounds import ServerState

Vector = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class StepSettings:
    """The numbers of a server step; an optimiser uses those that its equations name.

    Args:
        learning_rate: the server's step size, above 0.
        beta1: weight of the past in the mean update, in [0, 1).
        beta2: weight of the past in the mean squared update, in [0, 1); FedAdam and FedYogi.
        tau: adaptivity, above 0: coordinates whose updates are well below it move as without division.
        rounds: with a number, the rate falls over so many rounds along a cosine, as the clients' may; None keeps it.
    """

    learning_rate: float
    beta1: float = 0.9
    beta2: float = 0.99
    tau: float = 1e-3
    rounds: int | None = None

    def __post_init__(self) -> None:
        if not 0 < self.learning_rate < math.inf:  # at zero, every round would be from the same weights
            raise ConfigError(
                f"the server's learning_rate = {self.learning_rate:g}", "give a rate above 0; 1 is plain averaging"
            )

    def rate_at(self, round_index: int) -> float:
        """The step size in a round (from 0): constant, or rate (1 + cos(pi round / rounds)) / 2."""
        if self.rounds is None:
            return self.learning_rate
        share = 0.5 * (1.0 + math.cos(math.pi * min(round_index, self.rounds) / self.rounds))
        return self.learning_rate * math.ldexp(round(math.ldexp(share, 32)), -32)


class ServerOptimiser(Protocol):
    """Turns the weighted mean of the clients' updates into the next state."""

    @property
    def vectors(self) -> int:
        """How many vectors, each (d,), one after the other, a client hands over: the update, and what a method needs
        the mean of besides.
        """
        ...

    def initial_moments(self, dimension: int) -> tuple[Vector, ...]:
        """The memory before the first round, each float64 (dimension,)."""
        ...

    def step(self, state: ServerState, mean: Vector, sid: bytes = b"") -> ServerState:
        """The next state from the mean, float64 (vectors d,); `sid` is the session that produced it.

        Raises:
            ConvergedError: it has weights that the task had before.
        """
        ...


@dataclass(frozen=True, slots=True)
class FedAvg:
    """vector + learning_rate * mean, in float64, rounded once to float32 ([McMahan 2017], algorithm 1, at rate 1)."""

    settings: StepSettings = StepSettings(1.0)
    vectors: ClassVar[int] = 1

    def initial_moments(self, dimension: int) -> tuple[Vector, ...]:  # noqa: ARG002 (has no memory)
        """Empty: FedAvg remembers nothing."""
        return ()

    def step(self, state: ServerState, mean: Vector, sid: bytes = b"") -> ServerState:
        """The next state; see the class."""
        return _moved(state, self.settings.rate_at(state.round) * mean, (), sid)


@dataclass(frozen=True, slots=True)
class FedAvgM:
    """FedAvg with momentum at the server ([Hsu 2019], section 4.3); one moment, m."""

    settings: StepSettings
    vectors: ClassVar[int] = 1

    def initial_moments(self, dimension: int) -> tuple[Vector, ...]:
        """m = 0."""
        return (np.zeros(dimension),)

    def step(self, state: ServerState, mean: Vector, sid: bytes = b"") -> ServerState:
        """The next state; see the module."""
        momentum = self.settings.beta1 * state.moments[0] + mean
        return _moved(state, self.settings.rate_at(state.round) * momentum, (momentum,), sid)


SecondMoment = Callable[[Vector, Vector, float], Vector]
"""(v of the last round, squared mean update, beta2) -> v of this round."""


@dataclass(frozen=True, slots=True)
class AdaptiveOptimiser:
    """FedAdagrad, FedAdam and FedYogi ([Reddi 2021], algorithm 2), which differ in v alone; two moments, m and v."""

    settings: StepSettings
    second_moment: SecondMoment
    vectors: ClassVar[int] = 1

    def initial_moments(self, dimension: int) -> tuple[Vector, ...]:
        """m = 0, v = tau^2."""
        return np.zeros(dimension), np.full(dimension, self.settings.tau * self.settings.tau)

    def step(self, state: ServerState, mean: Vector, sid: bytes = b"") -> ServerState:
        """The next state; see the module."""
        given, (last_first, last_second) = self.settings, state.moments
        first = given.beta1 * last_first + (1.0 - given.beta1) * mean
        second = self.second_moment(last_second, mean * mean, given.beta2)
        change = given.rate_at(state.round) * first / (np.sqrt(second) + given.tau)
        return _moved(state, change, (first, second), sid)


def adagrad_moment(last: Vector, squared: Vector, beta2: float) -> Vector:  # noqa: ARG001 (one signature for the three)
    """The sum of all squared updates."""
    return last + squared


def adam_moment(last: Vector, squared: Vector, beta2: float) -> Vector:
    """The running mean of the squared updates."""
    return beta2 * last + (1.0 - beta2) * squared


def yogi_moment(last: Vector, squared: Vector, beta2: float) -> Vector:
    """Towards the squared update in steps whose size depends on that update alone ([Yogi])."""
    return last - (1.0 - beta2) * squared * np.sign(last - squared)


def _adaptive(second_moment: SecondMoment) -> Callable[[StepSettings], ServerOptimiser]:
    def construct(settings: StepSettings) -> ServerOptimiser:
        return AdaptiveOptimiser(settings, second_moment)

    return construct


SERVER_OPTIMISERS: Mapping[str, Callable[[StepSettings], ServerOptimiser]] = MappingProxyType(
    {
        "fedavg": FedAvg,
        "fedavgm": FedAvgM,
        "fedadagrad": _adaptive(adagrad_moment),
        "fedadam": _adaptive(adam_moment),
        "fedyogi": _adaptive(yogi_moment),
    }
)
"""Name in an experiment file -> constructor."""


def build_server_optimiser(name: str, settings: StepSettings) -> ServerOptimiser:
    """The optimiser of that name.

    Raises:
        ConfigError: there is none of that name.
    """
    if name not in SERVER_OPTIMISERS:
        raise ConfigError(f'"{name}" is no server optimiser', f"choose one of: {', '.join(sorted(SERVER_OPTIMISERS))}")
    return SERVER_OPTIMISERS[name](settings)


def _moved(state: ServerState, change: Vector, moments: tuple[Vector, ...], sid: bytes) -> ServerState:
    """The state after a change, which is added in float64 and rounded once to float32.

    Raises:
        ConvergedError: the state's weights, or those of one before it, come out again.
        TrainingError: a weight is NaN, or infinite in float32.
    """
    with np.errstate(over="ignore"):
        vector = (state.vector.astype(np.float64) + change).astype(np.float32)
    if not np.isfinite(vector).all():
        raise TrainingError(
            f"training diverged: the server's step of round {state.rounds_run + 1} gave weights of NaN or infinity",
            "lower the server's learning_rate in [federation], or training.learning_rate",
        )
    lineage = (*state.lineage, state.weights())
    following = replace(state, vector=vector, moments=moments, round=state.round + 1, last_sid=sid, lineage=lineage)
    if following.weights() in lineage:
        raise ConvergedError(
            f"the model no longer changes: round {following.round} gave weights that the task had before",
            "training is over, and the state before that round is its result",
        )
    return following
