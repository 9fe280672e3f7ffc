from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest

from privateyes.engines.local.pool import WorkerPool
from privateyes.experiments import methods
from privateyes.experiments.checkpoint import SHARED
from privateyes.experiments.method_names import METHODS
from privateyes.experiments.methods import FoldContext, run_method, server_optimiser, start_of
from privateyes.experiments.prepare import prepare
from privateyes.experiments.spec import ExperimentSpec
from privateyes.federation.participants import Participant
from privateyes.federation.plain import PlainExchange
from privateyes.federation.rounds import ExchangeReport, ServerState
from privateyes.federation.server_step import AdaptiveOptimiser, FedAvg


@pytest.fixture
def context(small_spec: Callable[..., ExperimentSpec], eyes: Path, tmp_path: Path) -> Iterator[FoldContext]:
    preparation = prepare(small_spec())
    with WorkerPool(preparation.task(eyes), preparation.local_settings(), workers=1) as pool:
        yield FoldContext(preparation, preparation.folds[0], pool, tmp_path)


@pytest.mark.parametrize("method", [name for name in METHODS if name != "mpc"])
def test_all_methods_start_from_the_same_parameters(context: FoldContext, method: str) -> None:
    start = start_of(method, context)
    assert start.round == 0
    assert set(start.vectors) == (set(context.fold.train) if method == "local" else {SHARED})
    for vector in start.vectors.values():
        np.testing.assert_array_equal(vector, context.preparation.initial)


@pytest.mark.parametrize("method", [name for name, plan in METHODS.items() if not plan.secure and name != "mpc"])
def test_a_method_that_goes_on_from_a_checkpoint_ends_as_if_never_stopped(context: FoldContext, method: str) -> None:
    rounds = [outcome.checkpoint for outcome in run_method(method, context, start_of(method, context))]
    assert [checkpoint.round for checkpoint in rounds] == [1, 2]
    resumed = [outcome.checkpoint for outcome in run_method(method, context, rounds[0])]
    assert len(resumed) == 1
    for client, vector in rounds[1].vectors.items():
        assert resumed[0].vectors[client].tobytes() == vector.tobytes()
    assert [moment.tobytes() for moment in resumed[0].moments] == [moment.tobytes() for moment in rounds[1].moments]


def test_each_adaptive_method_ends_in_a_model_of_its_own(context: FoldContext) -> None:
    names = ["federated", "fedavgm", "fedadagrad", "fedadam", "fedyogi"]
    models = {
        list(run_method(method, context, start_of(method, context)))[-1].checkpoint.vectors[SHARED].tobytes()
        for method in names
    }
    assert len(models) == len(names)


def test_adaptive_is_the_method_of_the_optimiser_that_the_experiment_chooses(
    small_spec: Callable[..., ExperimentSpec], eyes: Path, tmp_path: Path
) -> None:
    preparation = prepare(small_spec(tail='[federation]\nadaptive_optimiser = "fedyogi"'))
    with WorkerPool(preparation.task(eyes), preparation.local_settings(), workers=1) as pool:
        context = FoldContext(preparation, preparation.folds[0], pool, tmp_path)
        last = {
            method: list(run_method(method, context, start_of(method, context)))[-1]
            for method in ("adaptive", "fedyogi", "fedadam")
        }
    digests = {method: outcome.checkpoint.state().digest() for method, outcome in last.items()}
    assert digests["adaptive"] == digests["fedyogi"] != digests["fedadam"]


def test_each_optimisers_numbers_come_from_its_own_table(small_spec: Callable[..., ExperimentSpec]) -> None:
    tail = '[federation]\nserver_schedule = "cosine"\n[federation.fedadam]\nlearning_rate = 0.5\ntau = 1'
    spec = small_spec(tail=tail)
    adam, yogi = (server_optimiser(METHODS[method], spec) for method in ("fedadam", "fedyogi"))
    assert isinstance(adam, AdaptiveOptimiser)
    assert isinstance(yogi, AdaptiveOptimiser)
    assert (adam.settings.learning_rate, adam.settings.tau, adam.settings.rounds) == (0.5, 1.0, 2)
    assert yogi.settings.learning_rate == spec.federation.fedyogi.learning_rate != 0.5


def test_only_the_federation_exchanges_bytes(context: FoldContext) -> None:
    first = {
        method: next(run_method(method, context, start_of(method, context)))
        for method in ("centralised", "local", "federated")
    }
    dimension = context.preparation.initial.size
    assert first["federated"].bytes_up_per_client == 4 * dimension + 8
    assert first["federated"].bytes_down_per_client == 4 * dimension
    for method in ("centralised", "local"):
        assert first[method].bytes_up_per_client == first[method].bytes_down_per_client == 0


@pytest.mark.parametrize("method", [name for name, plan in METHODS.items() if plan.secure])
def test_a_secure_method_trains_as_its_counterpart_through_another_exchange(
    context: FoldContext, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    asked: list[tuple[tuple[str, ...], int, Path]] = []
    closed: list[bool] = []

    class Veiled(PlainExchange):
        def exchange(
            self, state: ServerState, participants: Sequence[Participant]
        ) -> tuple[ServerState, ExchangeReport]:
            following, _ = super().exchange(state, participants)
            return following, ExchangeReport(0.5, 10.0, 20.0, {"sid": "ab"})

        def close(self) -> None:
            closed.append(True)

    def open_veiled(spec, plan, optimiser, folder, note):  # type: ignore[no-untyped-def]
        asked.append((plan.clients, plan.dimension, folder))
        return Veiled(optimiser)

    monkeypatch.setattr(methods, "open_secure_exchange", open_veiled)
    counterpart = METHODS[method].counterpart
    assert counterpart is not None
    private = list(run_method(method, context, start_of(method, context)))
    clear = list(run_method(counterpart, context, start_of(counterpart, context)))
    assert private[-1].checkpoint.state().digest() == clear[-1].checkpoint.state().digest()
    assert (private[0].seconds_exchange, private[0].bytes_up_per_client, private[0].details) == (
        0.5,
        10.0,
        {"sid": "ab"},
    )
    folder = context.run_directory / "aggregation" / context.fold.name / method
    assert asked == [(("p00", "p01", "p02"), context.preparation.initial.size, folder)]
    assert closed == [True]


def test_centralised_is_one_client_with_all_images(context: FoldContext) -> None:
    from privateyes.engines.local.pool import PoolTrainer

    outcome = next(run_method("centralised", context, start_of("centralised", context)))
    trainer = PoolTrainer(context.pool, {"everybody": ("p00", "p01", "p02")})
    (everybody,) = trainer.train(0, ["everybody"], context.preparation.initial)
    assert everybody.hand_over().weight == 72
    state, _ = PlainExchange(FedAvg()).exchange(ServerState(context.preparation.initial), [everybody])
    assert outcome.checkpoint.vectors[SHARED].tobytes() == state.vector.tobytes()


def test_private_with_adaptive_clips_stays_close_to_averaging_in_the_clear_and_resumes(
    small_spec: Callable[..., ExperimentSpec], eyes: Path, tmp_path: Path
) -> None:
    spec = small_spec(tail="[aggregation]\nclip_headroom = 64.0", rounds=3)
    preparation = prepare(spec)
    with WorkerPool(preparation.task(eyes), preparation.local_settings(), workers=1) as pool:
        context = FoldContext(preparation, preparation.folds[0], pool, tmp_path)
        start = start_of("private", context)
        assert start.clips is not None
        assert sum(start.clips.lengths) == preparation.initial.size
        assert set(start.clips.clips) == {1.0}
        rounds = list(run_method("private", context, start))
        in_the_clear = list(run_method("federated", context, start_of("federated", context)))
        clips = rounds[-1].checkpoint.clips
        assert clips is not None
        assert min(clips.clips) < 1.0
        for private, federated in zip(rounds, in_the_clear, strict=True):
            ours, theirs = private.checkpoint.vectors[SHARED], federated.checkpoint.vectors[SHARED]
            assert np.abs(ours - theirs).max() < 1e-4
        resumed = list(run_method("private", context, rounds[1].checkpoint))
        assert resumed[-1].checkpoint.state().digest() == rounds[-1].checkpoint.state().digest()
