"""Averaging in the clear: the hub sees every update. The reference that `private` must equal."""

from __future__ import annotations

from collections.abc import Sequence
from time import perf_counter

import numpy as np
from numpy.typing import NDArray

from privateyes.federation.observation import EACH_CLIENT, HUB, Observation, Observe, keep_nothing
from privateyes.federation.participants import ClientUpdate, Participant, require_some, require_usable
from privateyes.federation.rounds import ExchangeReport, ServerState
from privateyes.federation.server_step import ServerOptimiser

_BYTES_PER_PARAMETER = 4
_BYTES_OF_WEIGHT = 8


def weighted_mean(updates: Sequence[ClientUpdate]) -> NDArray[np.float64]:
    """sum(w_i delta_i) / sum(w_i) in float64 (d,), clients in the order given."""
    total = np.zeros(updates[0].delta.shape, dtype=np.float64)
    for update in updates:
        total += update.weight * update.delta.astype(np.float64)
    total /= sum(update.weight for update in updates)
    return total


class PlainExchange:
    """Every client sends its update and its weight as they are; the hub averages and sends the next model.

    Args:
        optimiser: what the hub does with the mean.
        observe: is told what the hub and each client see.
    """

    def __init__(self, optimiser: ServerOptimiser, observe: Observe = keep_nothing) -> None:
        self._optimiser, self._observe = optimiser, observe

    def exchange(self, state: ServerState, participants: Sequence[Participant]) -> tuple[ServerState, ExchangeReport]:
        """The next state, and the bytes that the messages of one client would hold.

        Raises:
            TrainingError: there is nobody, or an update has a wrong length, a NaN or an infinity.
        """
        started = perf_counter()
        dimension = self._optimiser.vectors * state.vector.size
        require_some(participants)
        updates = [participant.hand_over() for participant in participants]
        for update in updates:
            require_usable(update, dimension)
            self._observe(Observation(HUB, state.round + 1, "update", update))
        mean = weighted_mean(updates)
        self._observe(Observation(EACH_CLIENT, state.round + 1, "mean", mean))
        following = self._optimiser.step(state, mean)
        report = ExchangeReport(
            seconds=perf_counter() - started,
            bytes_up_per_client=_BYTES_PER_PARAMETER * dimension + _BYTES_OF_WEIGHT,
            bytes_down_per_client=_BYTES_PER_PARAMETER * state.vector.size,
            details={},
        )
        return following, report

    def close(self) -> None:
        """Nothing to release."""
