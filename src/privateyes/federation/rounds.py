"""The round as whoever coordinates it sees it: a cohort trains, and its updates are exchanged for the next state.

An engine supplies the `Trainer`, an aggregation supplies the `Exchange`, and `run_rounds` is the algorithm that joins
them ([McMahan 2017], algorithm 1, with the averaging left to the exchange). What a client does in a round, on its own
side, is in participants.py; the coordinator is given participants, and no update.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from time import perf_counter
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from privateyes.errors import ConvergedError
from privateyes.federation.cohorts import NO_FAILURES, Attendance, ClientFailures, draw_attendance, select_cohort
from privateyes.federation.lineage import prefixed_digest, weights_digest
from privateyes.federation.participants import Participant

if TYPE_CHECKING:  # it brings the compiled kernels, which averaging in the clear and a checkpoint do without
    from privateyes.encoding.clips import ClipPlan


@dataclass(frozen=True, slots=True)
class ServerState:
    """Everything that the next round depends on.

    Args:
        vector: the model's trainable parameters, float32 (d,).
        moments: the server optimiser's memory, each float64 (d,); empty for FedAvg.
        round: number of rounds that changed it.
        last_sid: id of the last accepted aggregation session; empty where there is none.
        clips: of each tensor, where they adapt from round to round; None where one clip holds throughout.
        void_rounds: number of rounds that left it as it was, because too few clients arrived or nothing moved.
        lineage: W of every earlier state of the task, oldest first (`federation.lineage`).
    """

    vector: NDArray[np.float32] = field(repr=False)
    moments: tuple[NDArray[np.float64], ...] = field(default=(), repr=False)
    round: int = 0
    last_sid: bytes = b""
    clips: ClipPlan | None = None
    void_rounds: int = 0
    lineage: tuple[bytes, ...] = field(default=(), repr=False)
    _weights: bytes = field(default=b"", init=False, repr=False, compare=False)

    @property
    def rounds_run(self) -> int:
        """How many rounds are over: the index of the next one."""
        return self.round + self.void_rounds

    def digest(self) -> bytes:
        """SHA-256 (32 bytes) of a length-prefixed, little-endian encoding of every field but `void_rounds`.

        A void round changes nothing that clients agree on, so the next one begins from the same digest.
        """
        moments = [np.ascontiguousarray(moment, dtype="<f8") for moment in self.moments]
        vector = np.ascontiguousarray(self.vector, dtype="<f4")
        numbers = (self.round.to_bytes(8, "big"), len(moments).to_bytes(8, "big"))
        clips = b"".join(struct.pack("<Qd", *pair) for pair in self.clips.pairs()) if self.clips else b""
        small = (b"privateyes server state v3", *numbers, self.last_sid, clips, b"".join(self.lineage))
        return prefixed_digest((*small, vector, *moments))

    def weights(self) -> bytes:
        """W of this state: see `federation.lineage.weights_digest`, which runs once for each state.

        Raises:
            TrainingError: the vector has a NaN.
        """
        if not self._weights:
            object.__setattr__(self, "_weights", weights_digest(self.vector))
        return self._weights


@dataclass(frozen=True, slots=True)
class ExchangeReport:
    """What one exchange cost, and what the exchange wants recorded.

    Args:
        seconds: wall time of the exchange.
        bytes_up_per_client: bytes one client sends, mean over the cohort.
        bytes_down_per_client: bytes one client receives, mean over the cohort.
        details: further facts that JSON can hold.
    """

    seconds: float
    bytes_up_per_client: float
    bytes_down_per_client: float
    details: Mapping[str, object]


class Exchange(Protocol):
    """How the updates of a cohort become the next state."""

    def exchange(self, state: ServerState, participants: Sequence[Participant]) -> tuple[ServerState, ExchangeReport]:
        """The state after this round. `participants` come in cohort order.

        Raises:
            ConvergedError: its weights are those of an earlier state.
        """
        ...

    def close(self) -> None:
        """Release whatever the exchange holds; the task may go on later."""
        ...


class Trainer(Protocol):
    """What makes the clients train."""

    def train(
        self, round_index: int, cohort: Sequence[str], vector: NDArray[np.float32], work: Mapping[str, float]
    ) -> list[Participant]:
        """The members of `cohort`, in its order, each trained from `vector`, float32 (d,).

        `work` holds the share of its local work, in (0, 1], of those who do not do all of it.
        """
        ...


@dataclass(frozen=True, slots=True)
class RoundSettings:
    """How many rounds, who takes part, and what happens to them.

    Args:
        rounds: number of rounds, void ones included.
        cohort_fraction: share of the clients, in (0, 1], that is selected for a round.
        seed: what cohorts and fates are drawn from.
        failures: dropped clients and stragglers; none by default.
        least_arrivals: a round in which fewer updates arrive is void; at least 1.
    """

    rounds: int
    cohort_fraction: float
    seed: int
    failures: ClientFailures = NO_FAILURES
    least_arrivals: int = 1


@dataclass(frozen=True, slots=True)
class RoundOutcome:
    """One round that is over: the state after it, who took part, and what it cost.

    Args:
        state: counts the round in `round`, or in `void_rounds` if too few clients arrived.
        attendance: what became of the cohort.
        void: whether the state is still what it was.
        train_loss: mean over the samples of those who arrived; None where nobody trained or all withhold it.
        seconds_training: wall time of training.
        report: what the exchange cost; nothing in a void round.
        samples: of all who arrived, but those who withhold it.
        passed: samples that they took steps on in this round, each as often as it was used; likewise.
        converged: whether the task is over because the round's weights were those of an earlier state; it is void then.
    """

    state: ServerState
    attendance: Attendance
    void: bool
    train_loss: float | None
    seconds_training: float
    report: ExchangeReport
    samples: int = 0
    passed: int = 0
    converged: bool = False


def run_rounds(
    state: ServerState,
    settings: RoundSettings,
    clients: Sequence[str],
    trainer: Trainer,
    exchange: Exchange,
) -> Iterator[RoundOutcome]:
    """Run the rounds that `state` has not been through, one outcome at a time.

    A round depends on the state, the settings and the data only, so a run that is resumed from any state goes on
    exactly as an uninterrupted one would have. Those whose updates do not arrive are not trained: nobody would see it.
    A round whose weights the task had before is the last one: its outcome says so and holds the state before it.

    Raises:
        TrainingError: a client's training or update is unusable.
    """
    for round_index in range(state.rounds_run, settings.rounds):
        cohort = select_cohort(settings.seed, round_index, clients, settings.cohort_fraction)
        attendance = draw_attendance(settings.seed, round_index, cohort, settings.failures)
        if len(attendance.arrived) < settings.least_arrivals:
            state = replace(state, void_rounds=state.void_rounds + 1)
            yield RoundOutcome(state, attendance, True, None, 0.0, ExchangeReport(0.0, 0.0, 0.0, {}))
            continue
        started = perf_counter()
        participants = trainer.train(round_index, attendance.arrived, state.vector, attendance.work)
        seconds_training = perf_counter() - started
        following, report, converged = _exchanged(exchange, state, participants)
        # No exchange needs to know of void rounds.
        state = replace(following, void_rounds=state.void_rounds + converged)
        logs = [participant.log for participant in participants if participant.log is not None]
        samples, passed = sum(log.samples for log in logs), sum(log.passed for log in logs)
        loss = sum(log.samples * log.loss for log in logs) / samples if samples else None
        yield RoundOutcome(state, attendance, converged, loss, seconds_training, report, samples, passed, converged)
        if converged:
            return


def _exchanged(
    exchange: Exchange, state: ServerState, participants: Sequence[Participant]
) -> tuple[ServerState, ExchangeReport, bool]:
    """The state after an exchange, what it cost, and whether it converged; then the state is the one before."""
    started = perf_counter()
    try:
        return *exchange.exchange(state, participants), False
    except ConvergedError:
        return state, ExchangeReport(perf_counter() - started, 0.0, 0.0, {}), True
