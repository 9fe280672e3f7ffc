"""A training under MPC from an experiment to its result; the engine is a stub, so the network stays as it began."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from privateyes.baselines.mpc.driver import Launcher
from privateyes.baselines.mpc.protocols import PROTOCOLS
from privateyes.errors import EngineError, RunDirectoryError
from privateyes.experiments.mpc.plan import MpcJob, features_of, training_of
from privateyes.experiments.mpc.run import MODEL, RESULT, read_result, run_mpc

MakeJob = Callable[..., MpcJob]
FEW = "samples_per_person = 4\nbatch_size = 6\nepochs = 2\n"


def test_the_result_names_protocol_and_threat_model(finished: Any) -> None:
    result = finished.result
    assert (result.protocol, result.parties, result.ring_bits, result.fraction_bits) == ("aby3", 3, 64, 18)
    assert result.engine == "SecretFlow SPU 0.9.5"
    assert result.threat_model == PROTOCOLS["aby3"].threat_model
    assert result.samples == {"p00": 4, "p01": 4, "p02": 4}
    assert result.unit == "deg"


def test_errors_are_those_of_held_out_persons(finished: Any) -> None:
    job, result = finished.job, finished.result
    assert set(result.errors) == set(result.counterpart_errors) == set(result.guess_errors) == {"p03", "p04"}
    _, model = training_of(job)  # the stub trains nothing: these are the parameters
    for person, error in result.errors.items():
        with torch.inference_mode():
            samples = job.task.examples(person).rows(slice(None))
            predicted = model(torch.from_numpy(features_of(samples))).numpy()
        assert error == pytest.approx(job.task.metrics[0].of(predicted, job.task.labels_of(person)))
    assert result.counterpart_errors != result.errors
    assert result.counterpart_errors["p03"] == pytest.approx(result.shaken_errors["p03"], abs=0.05)


def test_the_deviation_is_the_distance_from_the_counterpart(finished: Any) -> None:
    deviation = finished.result.deviation
    assert deviation.largest == deviation.largest_change > 1e-4  # the stub's network never moved
    assert 0 < deviation.mean < deviation.largest


def test_what_was_measured_and_what_was_not_stand_apart(finished: Any) -> None:
    result = finished.result
    assert (result.measured.extrapolated, result.measured.steps, result.measured.bytes_per_step) == (False, 4, 1000.0)
    assert [(cost.network, cost.batch_size, cost.extrapolated) for cost in result.probes] == [
        ("small_cnn", 1, False),
        ("small_cnn", 4, False),
    ]
    own, model = result.extrapolated
    # 3 persons with 24 images, 4 rounds of 2 epochs: 12 batches of 6, or 5 of 16, in each of 8 epochs.
    assert (own.network, own.steps, own.extrapolated) == ("perceptron", 8 * 12, True)
    assert (model.network, model.batch_size, model.steps, model.extrapolated) == ("small_cnn", 16, 8 * 5, True)
    assert own.bytes_per_party == 96_000.0
    assert own.formula
    assert model.formula
    assert json.loads((finished.folder / RESULT).read_text())["extrapolated"][0]["extrapolated"] is True


def test_a_result_survives_its_file(finished: Any, tmp_path: Path) -> None:
    assert read_result(tmp_path) is None
    assert read_result(finished.folder) == finished.result


def test_progress_is_told(finished: Any) -> None:
    assert finished.listener.notes[0] == "mpc all: 12 samples of 3 persons, 4 steps"
    assert finished.listener.steps[:4] == [("all", done, 4) for done in range(1, 5)]


def test_a_finished_result_is_read_and_not_computed_again(finished: Any, listener: Any, tmp_path: Path) -> None:
    nobody = Launcher(tmp_path / "no python")
    assert run_mpc(finished.job, finished.folder, listener, nobody) == finished.result
    assert listener.notes == [f"{finished.folder} is finished already"]
    assert np.array_equal(np.load(finished.folder / MODEL), training_of(finished.job)[0].initial)


@pytest.mark.parametrize(
    "other",
    ["learning_rate = 0.01", 'protocol = "semi2k"\nlearning_rate = 0.2', "probe_batches = [1, 2]\nlearning_rate = 0.2"],
)
def test_another_trainings_result_is_not_taken(
    other: str, finished: Any, make_job: MakeJob, listener: Any, tmp_path: Path
) -> None:
    nobody = Launcher(tmp_path / "no python")
    with pytest.raises(RunDirectoryError, match="another training under MPC; choose another --out"):
        run_mpc(make_job(FEW + other), finished.folder, listener, nobody)


def test_a_failed_training_leaves_no_result(
    make_job: MakeJob, stub: Launcher, listener: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STUB_ENGINE", "party dies")
    with pytest.raises(EngineError, match="party 1 ended with exit code 9"):
        run_mpc(make_job(FEW), tmp_path / "fold", listener, stub)
    assert not (tmp_path / "fold").exists()


@pytest.mark.parametrize("content", ["{", "{}", "[]", '{"digest": 1}'])
def test_a_damaged_result_is_named(content: str, tmp_path: Path) -> None:
    (tmp_path / RESULT).write_text(content)
    with pytest.raises(RunDirectoryError, match=r"mpc.json is damaged .* delete the file"):
        read_result(tmp_path)
