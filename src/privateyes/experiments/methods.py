"""The methods of training (`method_names`) as streams of rounds, each from a checkpoint on."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
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
from privateyes.experiments.method_names import ADAPTIVE, METHODS, MethodPlan
from privateyes.experiments.prepare import Preparation
from privateyes.experiments.secure import open_secure_exchange, secure_plan, task_folder, weight_policy
from privateyes.experiments.spec import ExperimentSpec
from privateyes.federation.adaptive_clips import AdaptiveClips, ClippingOptimiser
from privateyes.federation.cohorts import ClientFailures
from privateyes.federation.participants import HandOver
from privateyes.federation.plain import PlainExchange
from privateyes.federation.rounds import Exchange, RoundOutcome, RoundSettings, run_rounds
from privateyes.federation.server_step import FedAvg, ServerOptimiser, StepSettings, build_server_optimiser

POOLED = "everybody"
"""Name of the only client of `centralised`."""


def _tell_nobody(_: str) -> None:
    """For methods that run unobserved."""


@dataclass(frozen=True, slots=True)
class FoldContext:
    """What a method needs to run one fold; ``note`` is told what its operator should know."""

    preparation: Preparation
    fold: Fold
    pool: WorkerPool
    run_directory: Path
    note: Callable[[str], None] = field(default=_tell_nobody, repr=False)

    @property
    def spec(self) -> ExperimentSpec:
        """The experiment."""
        return self.preparation.spec


@dataclass(frozen=True, slots=True)
class MethodRound:
    """A completed round of a method: where it stands, what the round cost, and whether it was the last one that
    helps.
    """

    checkpoint: Checkpoint
    train_loss: float | None
    seconds_training: float
    seconds_exchange: float = 0.0
    bytes_up_per_client: float = 0.0
    bytes_down_per_client: float = 0.0
    details: Mapping[str, object] = field(default_factory=dict)
    participation: Mapping[str, object] = field(default_factory=dict)
    samples: int = 0
    passed: int = 0
    converged: bool = False


Rounds = Generator[MethodRound, None, None]


def start_of(method: str, context: FoldContext) -> Checkpoint:
    """The checkpoint before the first round."""
    plan, initial = METHODS[method], context.preparation.initial
    if plan.kind == "local":
        return Checkpoint(0, dict.fromkeys(context.fold.clients, initial))
    moments = server_optimiser(plan, context.spec).initial_moments(initial.size) if plan.federated else ()
    clips = _adaptive_clips(context) if plan.secure else None
    return Checkpoint(0, {SHARED: initial}, moments, clips=None if clips is None else clips.initial())


def run_method(method: str, context: FoldContext, start: Checkpoint) -> Rounds:
    """The rounds of a method that `start` has not completed. Close it to end early: a secure method holds its store
    open.

    Raises:
        TrainingError: training diverged or a worker died.
        ProtocolError: in a secure method, a party stopped the round.
    """
    plan = METHODS[method]
    return _KINDS[plan.kind](plan, context, start)


def server_optimiser(plan: MethodPlan, spec: ExperimentSpec) -> ServerOptimiser:
    """The server step of a method, with the experiment's numbers for it."""
    given = spec.federation
    name = given.adaptive_optimiser if plan.server_optimiser == ADAPTIVE else plan.server_optimiser
    numbers = getattr(given, name).model_dump()
    rounds = spec.training.rounds if given.server_schedule == "cosine" else None
    return build_server_optimiser(name, StepSettings(**numbers, rounds=rounds))


def _centralised(_: MethodPlan, context: FoldContext, start: Checkpoint) -> Rounds:
    """One client that holds all images. Its one-off upload of them is no cost of a round."""
    trainer = PoolTrainer(context.pool, {POOLED: context.fold.train})
    settings = RoundSettings(context.spec.training.rounds, 1.0, context.spec.seed)
    for outcome in run_rounds(start.state(), settings, [POOLED], trainer, PlainExchange(FedAvg())):
        checkpoint = Checkpoint.of_state(outcome.state)
        yield MethodRound(
            checkpoint,
            outcome.train_loss,
            outcome.seconds_training,
            samples=outcome.samples,
            passed=outcome.passed,
            converged=outcome.converged,
        )


def _local(_: MethodPlan, context: FoldContext, start: Checkpoint) -> Rounds:
    """Each client's own model; nothing is exchanged."""
    trainer = PoolTrainer(context.pool, context.fold.holdings)
    checkpoint = start
    for round_index in range(start.round, context.spec.training.rounds):
        started = perf_counter()
        updates = trainer.train_each(round_index, checkpoint.vectors)
        seconds = perf_counter() - started
        with np.errstate(over="ignore"):  # weights that are infinite are refused with the round's record
            vectors = {update.client: checkpoint.vectors[update.client] + update.delta for update in updates}
        checkpoint = Checkpoint(round_index + 1, vectors)
        loss = float(np.average([u.loss for u in updates], weights=[u.weight for u in updates]))
        samples, passed = sum(update.weight for update in updates), sum(update.passed for update in updates)
        yield MethodRound(checkpoint, loss, seconds, samples=samples, passed=passed)


def _clear(plan: MethodPlan, context: FoldContext, start: Checkpoint) -> Rounds:
    """The server step on the mean of updates that the hub sees."""
    return _exchanged(plan, context, start, PlainExchange(server_optimiser(plan, context.spec)))


def _secure(plan: MethodPlan, context: FoldContext, start: Checkpoint) -> Rounds:
    """As the counterpart in the clear, with secure aggregation for the exchange."""
    spec, fold = context.spec, context.fold
    optimiser, clips = server_optimiser(plan, spec), _adaptive_clips(context)
    dimension = optimiser.vectors * context.preparation.initial.size
    if clips is not None:
        optimiser = ClippingOptimiser(optimiser, clips)
    task = secure_plan(spec, fold, context.preparation.clients(fold), dimension)
    folder = task_folder(context.run_directory, fold, plan.name)
    exchange = open_secure_exchange(spec, task, optimiser, folder, context.note)
    return _exchanged(plan, context, start, exchange, task.roster_min)


_KINDS: Mapping[str, Callable[[MethodPlan, FoldContext, Checkpoint], Rounds]] = MappingProxyType(
    {"centralised": _centralised, "local": _local, "clear": _clear, "secure": _secure}
)


def _exchanged(
    plan: MethodPlan, context: FoldContext, start: Checkpoint, exchange: Exchange, least_arrivals: int = 1
) -> Rounds:
    spec = context.spec
    failures = ClientFailures(spec.federation.dropout, spec.federation.stragglers, partial_work=plan.proximal)
    cohort_fraction = spec.federation.cohort_fraction
    settings = RoundSettings(spec.training.rounds, cohort_fraction, spec.seed, failures, least_arrivals)
    policy = HandOver(weight=weight_policy(spec))
    trainer = PoolTrainer(context.pool, context.fold.holdings, plan.proximal, policy)
    with closing(exchange):
        for outcome in run_rounds(start.state(), settings, context.fold.clients, trainer, exchange):
            report = outcome.report
            yield MethodRound(
                checkpoint=Checkpoint.of_state(outcome.state),
                train_loss=outcome.train_loss,
                seconds_training=outcome.seconds_training,
                seconds_exchange=report.seconds,
                bytes_up_per_client=report.bytes_up_per_client,
                bytes_down_per_client=report.bytes_down_per_client,
                details=report.details,
                participation=_participation(outcome),
                samples=outcome.samples,
                passed=outcome.passed,
                converged=outcome.converged,
            )


def _participation(outcome: RoundOutcome) -> dict[str, object]:
    """Who took part in a round, for its metrics line."""
    attendance = outcome.attendance
    return {
        "cohort": list(attendance.cohort),
        "arrived": list(attendance.arrived),
        "dropped": list(attendance.dropped),
        "stragglers": dict(attendance.stragglers),
        "void": outcome.void,
    }


def _adaptive_clips(context: FoldContext) -> AdaptiveClips | None:
    given = context.spec.aggregation
    if given.clip_headroom is None:
        return None
    return AdaptiveClips(context.preparation.lengths, given.clip_headroom, exact_clip(given.clip))
