"""What trains beside one client's host: everything that a client does in a round, in one place.

    train, transform, weigh     the participant that ``train`` gives
    encode, mask, submit        the host (parties/client.py)
    check                       the host
    server step                 here, on the average that was verified; every client takes the same one, to the byte
    store                       the host: this state, as the client's model

A model is a whole training state. The local engine stores one state for all of its clients instead.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from privateyes.aggregation.client import Update, VerifiedAverage
from privateyes.aggregation.memory import TrainingState
from privateyes.encoding.clips import ClipPlan
from privateyes.errors import MalformedError, RefusedError, RunDirectoryError
from privateyes.federation.participants import Participant, require_usable
from privateyes.federation.rounds import ServerState
from privateyes.federation.server_step import ServerOptimiser
from privateyes.federation.stored_state import dump_state, load_state
from privateyes.parties.client import Contribution

Train: TypeAlias = Callable[[ServerState], Participant | None]
"""One local round from a state; None where the client sits it out."""
DrawKey: TypeAlias = Callable[[], bytes]


class FederatedClient:
    """An ``Application`` of a client's host that trains.

    Args:
        optimiser: the server step, the same at every client.
        train: this client's local round.
        draw_key: 32 secret bytes, for the stochastic rounding of one update.
        initial: the state that the task begins with; None where the client is to be given one by the others.
        log: is told how many coordinates were clipped, and whether the norm was shortened.
    """

    def __init__(
        self,
        optimiser: ServerOptimiser,
        train: Train,
        draw_key: DrawKey,
        initial: ServerState | None = None,
        log: Callable[[int, bool], None] = lambda *_: None,
    ) -> None:
        self._optimiser, self._train, self._draw_key = optimiser, train, draw_key
        self._initial, self._log = initial, log

    def initial_model(self) -> bytes | None:
        """The state that the task begins with."""
        return None if self._initial is None else _dump(self._initial)

    def contribution(self, model: bytes) -> Contribution:
        """The update of a local round from this state.

        Raises:
            RefusedError: the client sits the round out.
            TrainingError: training diverged, or its update must not be averaged.
        """
        state = _load(model)
        participant = self._train(state)
        if participant is None:
            raise RefusedError("this client sits the round out", "it follows without an update")
        update = participant.hand_over()
        require_usable(update, self._optimiser.vectors * state.vector.size)
        return Contribution(Update(update.delta, update.weight, state.clips), self._draw_key())

    def submitted(self, clipped: int, shortened: bool) -> None:
        """Tell the log."""
        self._log(clipped, shortened)

    def after(self, model: bytes, average: VerifiedAverage) -> bytes:
        """The server step.

        Raises:
            ConvergedError: it has weights that the task had before.
        """
        return _dump(self._optimiser.step(_load(model), average.mean, average.sid))

    def read(self, model: bytes) -> TrainingState:
        """What the protocol knows of a state.

        Raises:
            MalformedError: these bytes are none.
        """
        return training_state(_load(model))

    def clip_plan(self, model: bytes) -> ClipPlan | None:
        """The state's clips of single tensors."""
        return _load(model).clips


def training_state(state: ServerState) -> TrainingState:
    """What the clients' side of the protocol knows of a state."""
    return TrainingState(state.digest(), state.weights(), state.round)


def _dump(state: ServerState) -> bytes:
    return b"".join(dump_state(state))


def _load(model: bytes) -> ServerState:
    try:
        return load_state(model)
    except (RunDirectoryError, ValueError, KeyError, TypeError) as error:
        raise MalformedError(f"no training state ({error})") from None
