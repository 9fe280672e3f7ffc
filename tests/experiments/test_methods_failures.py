"""Clients that drop out or straggle, through whole methods: in the clear, with secure aggregation, killed and
resumed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from privateyes.engines.local.pool import WorkerPool
from privateyes.experiments.checkpoint import SHARED, Checkpoint
from privateyes.experiments.methods import FoldContext, MethodRound, run_method, start_of
from privateyes.experiments.prepare import prepare
from privateyes.experiments.record import RunDirectory
from privateyes.experiments.run import run_experiment
from privateyes.experiments.spec import ExperimentSpec
from privateyes.federation.cohorts import ClientFailures, draw_attendance

Make = Callable[..., ExperimentSpec]
ROUNDS = 6
TRAIN = ("p00", "p01", "p02", "p03")


@pytest.fixture
def hazardous(small_spec: Make) -> Make:
    """Four clients, p04 for testing, few images; `federation` and `aggregation` as TOML lines."""

    def make(methods: str, federation: str, aggregation: str = "", rounds: int = ROUNDS) -> ExperimentSpec:
        tail = f"[federation]\n{federation}\n[aggregation]\n{aggregation}\n"
        made = small_spec(methods=methods, rounds=rounds, tail=tail, extra_training="local_epochs = 2")
        split = made.split.model_copy(update={"test_persons": ["p04"]})
        return made.model_copy(update={"split": split, "data": made.data.model_copy(update={"image_limit": 8})})

    return make


@contextmanager
def context_of(spec: ExperimentSpec, folder: Path) -> Iterator[FoldContext]:
    preparation = prepare(spec)
    data = Path(str(spec.data.path))
    with WorkerPool(preparation.task(data), preparation.local_settings(), workers=1) as pool:
        yield FoldContext(preparation, preparation.folds[0], pool, folder)


def rounds_of(spec: ExperimentSpec, method: str, folder: Path, start: Checkpoint | None = None) -> list[MethodRound]:
    with context_of(spec, folder) as context:
        return list(run_method(method, context, start or start_of(method, context)))


def test_every_federated_method_meets_the_same_fates_and_they_are_recorded(hazardous: Make, tmp_path: Path) -> None:
    names = ["federated", "fedprox", "adaptive", "private", "private-fedprox"]
    methods = str(names).replace("'", '"')
    spec = hazardous(methods, "dropout = 0.3\nstragglers = 0.25", "roster_min = 2")
    found = {method: [one.participation for one in rounds_of(spec, method, tmp_path / method)] for method in names}
    for index in range(ROUNDS):
        for method in names:
            partial = "fedprox" in method
            drawn = draw_attendance(spec.seed, index, TRAIN, ClientFailures(0.3, 0.25, partial))
            assert found[method][index] == {
                "cohort": list(TRAIN),
                "arrived": list(drawn.arrived),
                "dropped": list(drawn.dropped),
                "stragglers": dict(drawn.stragglers),
                "void": len(drawn.arrived) < (2 if method.startswith("private") else 1),
            }
    assert any(one["dropped"] for one in found["federated"])
    assert any(one["stragglers"] for one in found["federated"])


def test_pooled_and_local_training_know_no_such_hazards(hazardous: Make, tmp_path: Path) -> None:
    methods = '["centralised", "local"]'
    calm, wild = hazardous(methods, ""), hazardous(methods, "dropout = 0.9\nstragglers = 0.5")
    for method in calm.methods:
        ends = [rounds_of(spec, method, tmp_path)[-1].checkpoint.vectors for spec in (calm, wild)]
        assert {name: vector.tobytes() for name, vector in ends[0].items()} == {
            name: vector.tobytes() for name, vector in ends[1].items()
        }


def test_federated_averaging_drops_stragglers_and_fedprox_takes_what_they_did(hazardous: Make, tmp_path: Path) -> None:
    spec = hazardous('["federated", "fedprox"]', "stragglers = 0.5")
    zero = spec.model_copy(update={"training": spec.training.model_copy(update={"proximal_mu": 0.0})})
    federated, fedprox = (rounds_of(zero, method, tmp_path) for method in ("federated", "fedprox"))
    for one, other in zip(federated, fedprox, strict=True):
        assert len(one.participation["arrived"]) == 2  # type: ignore[arg-type]
        assert other.participation["arrived"] == list(TRAIN)
    assert federated[0].checkpoint.vectors[SHARED].tobytes() != fedprox[0].checkpoint.vectors[SHARED].tobytes()


def test_without_stragglers_and_with_mu_zero_fedprox_is_federated_averaging(hazardous: Make, tmp_path: Path) -> None:
    spec = hazardous('["federated", "fedprox"]', "dropout = 0.3")
    zero = spec.model_copy(update={"training": spec.training.model_copy(update={"proximal_mu": 0.0})})
    ends = [rounds_of(zero, method, tmp_path)[-1].checkpoint.vectors[SHARED].tobytes() for method in zero.methods]
    assert ends[0] == ends[1]
    default = [rounds_of(spec, method, tmp_path)[-1].checkpoint.vectors[SHARED].tobytes() for method in spec.methods]
    assert default[0] != default[1]


def void_rounds(rounds: list[MethodRound]) -> list[int]:
    return [one.checkpoint.round for one in rounds if one.participation["void"]]


def test_private_averages_those_who_arrived_and_a_smaller_roster_than_allowed_is_void(
    hazardous: Make, tmp_path: Path
) -> None:
    """Where enough arrive, private is its counterpart; else its state stays, and the next round goes on from it."""
    spec = hazardous('["federated", "private"]', "dropout = 0.4", "roster_min = 3")
    private, counterpart = (rounds_of(spec, method, tmp_path / method) for method in ("private", "federated"))
    void = void_rounds(private)
    assert void
    assert len(void) < ROUNDS
    assert [one.checkpoint.round for one in private] == list(range(1, ROUNDS + 1))
    before = np.asarray(prepare(spec).initial)
    for one, other in zip(private, counterpart, strict=True):
        vector = one.checkpoint.vectors[SHARED]
        if one.checkpoint.round in void:
            assert vector.tobytes() == before.tobytes()
            assert one.train_loss is None
            assert one.bytes_up_per_client == 0
            assert one.details == {}
            assert len(one.participation["arrived"]) < 3  # type: ignore[arg-type]
        else:
            assert one.details["roster"] == one.participation["arrived"]
        if not any(number <= one.checkpoint.round for number in void):
            np.testing.assert_allclose(vector, other.checkpoint.vectors[SHARED], atol=1e-4)
        before = vector
    assert private[-1].checkpoint.void_rounds == len(void)
    assert private[-1].checkpoint.state().round == ROUNDS - len(void)


def bytes_of(rounds: list[MethodRound]) -> list[list[bytes]]:
    """Model and moments after every round."""
    ends = [one.checkpoint for one in rounds]
    return [[array.tobytes() for array in (end.vectors[SHARED], *end.moments)] for end in ends]


@pytest.mark.parametrize("lost", [0, 1])
@pytest.mark.parametrize(("method", "moments"), [("private", 0), ("private-fedyogi", 2)])
def test_private_goes_on_from_a_checkpoint_after_any_round_void_or_not(
    hazardous: Make, tmp_path: Path, method: str, moments: int, lost: int
) -> None:
    """Also where the last round's checkpoint was lost to a kill, and the parties had accepted that round already."""
    spec = hazardous(f'["{method}"]', "dropout = 0.4", "roster_min = 3")
    whole = rounds_of(spec, method, tmp_path / "whole")
    ends = bytes_of(whole)
    assert len(ends[-1]) == 1 + moments
    for stop_after in range(1 + lost, ROUNDS):
        folder = tmp_path / f"stopped-{stop_after}"
        with context_of(spec, folder) as context:
            rounds = run_method(method, context, start_of(method, context))
            reached = [next(rounds).checkpoint for _ in range(stop_after)]
            rounds.close()
            resumed = list(run_method(method, context, reached[-1 - lost]))
        first = stop_after - lost
        assert bytes_of(resumed) == ends[first:]
        assert [one.participation for one in resumed] == [one.participation for one in whole[first:]]
        assert resumed[-1].checkpoint.void_rounds == whole[-1].checkpoint.void_rounds


def test_a_run_in_which_rounds_are_void_ends_with_results_and_resumes_to_the_same(
    hazardous: Make, tmp_path: Path, listener: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = hazardous('["federated", "private"]', "dropout = 0.5", "roster_min = 3", rounds=4)
    whole = run_experiment(spec, tmp_path / "whole", listener, extras=False)
    lines = RunDirectory(tmp_path / "whole").read_metrics()
    void = [line for line in lines if line["participation"]["void"]]
    assert {line["method"] for line in void} == {"private"}  # in the clear, one client is enough
    for line in void:
        assert line["train_loss"] is None
        before = [entry for entry in lines if entry["method"] == line["method"] and entry["round"] == line["round"] - 1]
        assert all(entry["error"] == line["error"] for entry in before)
    private = next(row for row in whole["rows"] if row["method"] == "private")
    held = [line for line in lines if line["method"] == "private" and not line["participation"]["void"]]
    assert private["void_rounds"] == len(void)
    assert private["seconds_per_round"] == pytest.approx(np.mean([line["seconds"] for line in held]))
    assert private["bytes_up_per_client_round"] == pytest.approx(
        np.mean([line["bytes_up_per_client"] for line in held])
    )
    record, count = RunDirectory.record_round, iter(range(100))

    def stop(self: RunDirectory, line: dict[str, Any], checkpoint: Checkpoint, best: bool = False) -> None:
        record(self, line, checkpoint, best)
        if next(count) == 4 + void[0]["round"] - 1:  # right after the first void round
            raise KeyboardInterrupt

    monkeypatch.setattr(RunDirectory, "record_round", stop)
    with pytest.raises(KeyboardInterrupt):
        run_experiment(spec, tmp_path / "run", listener, extras=False)
    monkeypatch.undo()
    resumed = run_experiment(spec, tmp_path / "run", listener, resume=True, extras=False)
    assert [row["per_person"] for row in resumed["rows"]] == [row["per_person"] for row in whole["rows"]]
    again = RunDirectory(tmp_path / "run").read_metrics()
    assert [line["participation"] for line in again] == [line["participation"] for line in lines]


def test_a_checkpoint_counts_its_void_rounds_and_one_without_any_is_what_it_was(tmp_path: Path) -> None:
    from privateyes.experiments.checkpoint import read_checkpoint, write_checkpoint

    plain = Checkpoint(3, {SHARED: np.zeros(2, dtype=np.float32)})
    write_checkpoint(tmp_path / "plain", plain)
    assert b"void" not in (tmp_path / "plain").read_bytes()
    write_checkpoint(tmp_path / "void", replace(plain, void_rounds=2))
    found = read_checkpoint(tmp_path / "void")
    assert found is not None
    assert (found.round, found.void_rounds, found.state().round, found.state().rounds_run) == (3, 2, 1, 3)
    assert Checkpoint.of_state(found.state()).round == 3
