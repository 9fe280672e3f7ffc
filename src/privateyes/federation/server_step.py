"""Server optimisers: how the mean update moves the model.

Every implementation must be bit-exact (fixed dtype, element by element, no reductions), because in `private` each
client runs the step itself and all must reach the same state.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from privateyes.errors import ConfigError
from privateyes.federation.rounds import ServerState


class ServerOptimiser(Protocol):
    """Turns the weighted mean of the clients' updates into the next state."""

    def initial_moments(self, dimension: int) -> tuple[NDArray[np.float64], ...]:
        """The memory before the first round, each float64 (dimension,)."""
        ...

    def step(self, state: ServerState, mean: NDArray[np.float64], sid: bytes = b"") -> ServerState:
        """The next state from the mean update, float64 (d,); `sid` is the session that produced it."""
        ...


@dataclass(frozen=True, slots=True)
class FedAvg:
    """vector + learning_rate * mean, in float64, rounded once to float32 ([McMahan 2017], algorithm 1, at rate 1)."""

    learning_rate: float = 1.0

    def initial_moments(self, dimension: int) -> tuple[NDArray[np.float64], ...]:  # noqa: ARG002 (has no memory)
        """Empty: FedAvg remembers nothing."""
        return ()

    def step(self, state: ServerState, mean: NDArray[np.float64], sid: bytes = b"") -> ServerState:
        """The next state; see the class."""
        vector = (state.vector.astype(np.float64) + self.learning_rate * mean).astype(np.float32)
        return replace(state, vector=vector, round=state.round + 1, last_sid=sid)


SERVER_OPTIMISERS: Mapping[str, Callable[[float], ServerOptimiser]] = MappingProxyType({"fedavg": FedAvg})
"""Name in an experiment file -> constructor from the learning rate."""


def build_server_optimiser(name: str, learning_rate: float) -> ServerOptimiser:
    """The optimiser of that name.

    Raises:
        ConfigError: there is none of that name.
    """
    if name not in SERVER_OPTIMISERS:
        known = ", ".join(sorted(SERVER_OPTIMISERS))
        raise ConfigError(f'federation.server_optimiser = "{name}" is not known', f"choose one of: {known}")
    return SERVER_OPTIMISERS[name](learning_rate)
