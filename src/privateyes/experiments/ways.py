"""The ways of training (`way_names`) as streams of rounds, each from a checkpoint on."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter
from types import MappingProxyType

import numpy as np

from privateyes.encoding.fixed_point import exact_clip
from privateyes.engines.local.pool import PoolTrainer, WorkerPool
from privateyes.experiments.checkpoint import SHARED, Checkpoint
from privateyes.experiments.folds import Fold
from privateyes.experiments.prepare import Preparation
from privateyes.experiments.secure import open_secure_exchange, secure_plan, task_folder
from privateyes.experiments.spec import ExperimentSpec
from privateyes.experiments.way_names import ADAPTIVE, WAYS, WayPlan
from privateyes.federation.adaptive_clips import AdaptiveClips, ClippingOptimiser
from privateyes.federation.plain import PlainExchange
from privateyes.federation.rounds import Exchange, RoundOutcome, RoundSettings, Trainer, run_rounds
from privateyes.federation.server_step import FedAvg, ServerOptimiser, StepSettings, build_server_optimiser

POOLED = "everybody"
"""Name of the only client of `centralised`."""


@dataclass(frozen=True, slots=True)
class FoldContext:
    """What a way needs to run one fold."""

    preparation: Preparation
    fold: Fold
    pool: WorkerPool
    run_directory: Path

    @property
    def spec(self) -> ExperimentSpec:
        """The experiment."""
        return self.preparation.spec


@dataclass(frozen=True, slots=True)
class WayRound:
    """A completed round of a way: where it stands, and what the round cost."""

    checkpoint: Checkpoint
    train_loss: float
    seconds_training: float
    seconds_exchange: float = 0.0
    bytes_up_per_client: float = 0.0
    bytes_down_per_client: float = 0.0
    details: Mapping[str, object] = field(default_factory=dict)


def start_of(way: str, context: FoldContext) -> Checkpoint:
    """The checkpoint before the first round."""
    plan, initial = WAYS[way], context.preparation.initial
    if plan.kind == "local":
        return Checkpoint(0, dict.fromkeys(context.fold.train, initial))
    moments = server_optimiser(plan, context.spec).initial_moments(initial.size) if plan.federated else ()
    clips = _adaptive_clips(context) if plan.secure else None
    return Checkpoint(0, {SHARED: initial}, moments, clips=None if clips is None else clips.initial())


def run_way(way: str, context: FoldContext, start: Checkpoint) -> Iterator[WayRound]:
    """The rounds of a way that `start` has not completed.

    Raises:
        TrainingError: training diverged or a worker died.
        ProtocolError: in a secure way, a party stopped the round.
    """
    plan = WAYS[way]
    return _KINDS[plan.kind](plan, context, start)


def server_optimiser(plan: WayPlan, spec: ExperimentSpec) -> ServerOptimiser:
    """The server step of a way, with the experiment's numbers for it."""
    given = spec.federation
    name = given.adaptive_optimiser if plan.server_optimiser == ADAPTIVE else plan.server_optimiser
    numbers = getattr(given, name).model_dump()
    rounds = spec.training.rounds if given.server_schedule == "cosine" else None
    return build_server_optimiser(name, StepSettings(**numbers, rounds=rounds))


def _centralised(_: WayPlan, context: FoldContext, start: Checkpoint) -> Iterator[WayRound]:
    """One client that holds all images. Its one-off upload of them is no cost of a round."""
    trainer = PoolTrainer(context.pool, {POOLED: context.fold.train})
    for outcome in _rounds(context, start, [POOLED], trainer, PlainExchange(FedAvg()), 1.0):
        yield WayRound(Checkpoint.of_state(outcome.state), outcome.train_loss, outcome.seconds_training)


def _local(_: WayPlan, context: FoldContext, start: Checkpoint) -> Iterator[WayRound]:
    """Each person's own model; nothing is exchanged."""
    trainer = PoolTrainer(context.pool)
    checkpoint = start
    for round_index in range(start.round, context.spec.training.rounds):
        started = perf_counter()
        updates = trainer.train_each(round_index, checkpoint.vectors)
        seconds = perf_counter() - started
        vectors = {update.client: checkpoint.vectors[update.client] + update.delta for update in updates}
        checkpoint = Checkpoint(round_index + 1, vectors)
        loss = float(np.average([u.loss for u in updates], weights=[u.weight for u in updates]))
        yield WayRound(checkpoint, loss, seconds)


def _clear(plan: WayPlan, context: FoldContext, start: Checkpoint) -> Iterator[WayRound]:
    """The server step on the mean of updates that the hub sees."""
    return _exchanged(plan, context, start, PlainExchange(server_optimiser(plan, context.spec)))


def _secure(plan: WayPlan, context: FoldContext, start: Checkpoint) -> Iterator[WayRound]:
    """As the twin in the clear, with secure aggregation for the exchange."""
    spec, fold, dimension = context.spec, context.fold, context.preparation.initial.size
    optimiser, clips = server_optimiser(plan, spec), _adaptive_clips(context)
    if clips is not None:
        optimiser = ClippingOptimiser(optimiser, clips)
    task = secure_plan(spec, fold, context.preparation.clients(fold), dimension)
    folder = task_folder(context.run_directory, fold, plan.name)
    return _exchanged(plan, context, start, open_secure_exchange(spec, task, optimiser, folder))


_KINDS: Mapping[str, Callable[[WayPlan, FoldContext, Checkpoint], Iterator[WayRound]]] = MappingProxyType(
    {"centralised": _centralised, "local": _local, "clear": _clear, "secure": _secure}
)


def _exchanged(plan: WayPlan, context: FoldContext, start: Checkpoint, exchange: Exchange) -> Iterator[WayRound]:
    fraction = context.spec.federation.cohort_fraction
    with closing(exchange):
        for outcome in _rounds(context, start, context.fold.train, PoolTrainer(context.pool), exchange, fraction):
            report = outcome.report
            yield WayRound(
                checkpoint=Checkpoint.of_state(outcome.state),
                train_loss=outcome.train_loss,
                seconds_training=outcome.seconds_training,
                seconds_exchange=report.seconds,
                bytes_up_per_client=report.bytes_up_per_client,
                bytes_down_per_client=report.bytes_down_per_client,
                details=report.details,
            )


def _rounds(
    context: FoldContext,
    start: Checkpoint,
    clients: Sequence[str],
    trainer: Trainer,
    exchange: Exchange,
    cohort_fraction: float,
) -> Iterator[RoundOutcome]:
    settings = RoundSettings(context.spec.training.rounds, cohort_fraction, context.spec.seed)
    return run_rounds(start.state(), settings, clients, trainer, exchange)


def _adaptive_clips(context: FoldContext) -> AdaptiveClips | None:
    given = context.spec.aggregation
    if given.clip_headroom is None:
        return None
    return AdaptiveClips(context.preparation.lengths, given.clip_headroom, exact_clip(given.clip))
