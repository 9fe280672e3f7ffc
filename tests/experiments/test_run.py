from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from privateyes.errors import ConfigError, DataError
from privateyes.experiments.checkpoint import Checkpoint
from privateyes.experiments.prepare import prepare
from privateyes.experiments.record import RunDirectory
from privateyes.experiments.run import run_experiment, warn_of_data
from privateyes.experiments.spec import ExperimentSpec, parse_spec
from privateyes.tasks.gaze.dataset import write_persons
from privateyes.tasks.gaze.synthetic import render_persons

Make = Callable[..., ExperimentSpec]
THREE = '["centralised", "local", "federated"]'


def without_timings(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: without_timings(entry) for key, entry in value.items() if not key.startswith("seconds")}
    return [without_timings(entry) for entry in value] if isinstance(value, list) else value


def outcome_of(directory: Path) -> dict[str, Any]:
    """Everything that must be the same in two runs of one experiment."""
    run = RunDirectory(directory)
    files = [path for path in directory.rglob("*") if path.suffix == ".safetensors" or path.name == "samples.npz"]
    return {
        "files": {str(path.relative_to(directory)): path.read_bytes() for path in files},
        "metrics": without_timings(run.read_metrics()),
        "results": without_timings(run.read_json("results.json")),
    }


def test_a_run_leaves_all_its_files(finished_run: Path) -> None:
    names = {str(path.relative_to(finished_run)) for path in finished_run.rglob("*") if path.is_file()}
    checkpoints = {f"checkpoints/all/{method}.safetensors" for method in ("centralised", "local", "federated")}
    files = {
        "experiment.toml",
        "begun.json",
        "environment.json",
        "metrics.jsonl",
        "model.json",
        "results.json",
        "samples.npz",
    }
    assert names == files | checkpoints


def test_every_round_has_its_line(finished_run: Path) -> None:
    lines = RunDirectory(finished_run).read_metrics()
    assert [(line["method"], line["round"]) for line in lines] == [
        (method, number) for method in ("centralised", "local", "federated") for number in (1, 2)
    ]
    for line in lines:
        assert set(line["error"]) == {"p03", "p04"}
        assert line["mean_error"] == pytest.approx(sum(line["error"].values()) / 2)
        assert line["seconds"] == pytest.approx(line["seconds_training"] + line["seconds_exchange"])


def test_the_observer_hears_how_it_goes(small_spec: Make, tmp_path: Path, listener: Any) -> None:
    run_experiment(small_spec(), tmp_path / "run", listener)
    assert listener.told == [
        ("planned", 2, 0),
        ("started", "all", "federated", 0, 2),
        ("round", "all", "federated", 1),
        ("round", "all", "federated", 2),
        ("finished", "all", "federated"),
    ]


def test_a_run_on_two_workers_ends_in_the_same_bytes(
    small_spec: Make, finished_run: Path, tmp_path: Path, listener: Any
) -> None:
    spec = small_spec(methods=THREE)
    parallel = spec.model_copy(update={"training": spec.training.model_copy(update={"workers": 2})})
    run_experiment(parallel, tmp_path / "run", listener)
    assert outcome_of(tmp_path / "run") == outcome_of(finished_run)


@pytest.mark.parametrize("stop_after", range(1, 6))
@pytest.mark.parametrize("before_checkpoint", [False, True])
def test_a_run_that_stops_at_any_round_is_resumed_to_the_same_end(
    small_spec: Make,
    finished_run: Path,
    tmp_path: Path,
    listener: Any,
    monkeypatch: pytest.MonkeyPatch,
    stop_after: int,
    before_checkpoint: bool,
) -> None:
    from privateyes.experiments import record

    write, written = record.write_checkpoint, []

    def stop(path: Path, checkpoint: Checkpoint) -> None:
        if not before_checkpoint:
            write(path, checkpoint)
        written.append(path)
        if len(written) == stop_after:
            raise KeyboardInterrupt
        if before_checkpoint:
            write(path, checkpoint)

    spec = small_spec(methods=THREE)
    monkeypatch.setattr(record, "write_checkpoint", stop)
    with pytest.raises(KeyboardInterrupt):
        run_experiment(spec, tmp_path / "run", listener)
    monkeypatch.undo()
    run_experiment(spec, tmp_path / "run", listener, resume=True)
    assert outcome_of(tmp_path / "run") == outcome_of(finished_run)


def test_a_finished_run_that_is_resumed_is_left_as_it_is(
    small_spec: Make, finished_run: Path, tmp_path: Path, listener: Any
) -> None:
    copy = Path(shutil.copytree(finished_run, tmp_path / "copy"))
    before = {path: path.read_bytes() for path in copy.rglob("*") if path.is_file()}
    results = run_experiment(small_spec(methods=THREE), copy, listener, resume=True)
    assert results == json.loads((copy / "results.json").read_text())
    assert {path: path.read_bytes() for path in copy.rglob("*") if path.is_file()} == before


def test_leaving_one_out_makes_a_fold_for_each_person(eyes: Path, tmp_path: Path, listener: Any) -> None:
    text = f"""
name = "folds"
methods = ["federated"]
[data]
path = "{eyes}"
image_limit = 8
[split]
leave_one_out = true
folds = ["p01", "p03"]
[model]
name = "resnet_preact_8"
[training]
rounds = 1
[runtime]
workers = 1
"""
    results = run_experiment(parse_spec(text, "x.toml", Path()), tmp_path / "run", listener)
    assert [fold["fold"] for fold in results["folds"]] == ["p01", "p03"]
    assert set(results["rows"][0]["per_person"]) == {"p01", "p03"}
    assert (tmp_path / "run/checkpoints/p03/federated.safetensors").exists()


def test_synthetic_persons_are_rendered_once_into_the_run(tmp_path: Path, listener: Any) -> None:
    text = """
name = "drawn"
methods = ["federated"]
[data.synthetic]
persons = 3
images_per_person = 6
[split]
test_persons = ["r02"]
[model]
name = "resnet_preact_8"
[training]
rounds = 1
[runtime]
workers = 1
"""
    results = run_experiment(parse_spec(text, "x.toml", Path()), tmp_path / "run", listener)
    assert ("note", "rendering 3 persons with 6 eye images each") in listener.told
    assert (tmp_path / "run/synthetic_eyes.h5").exists()
    assert results["rows"][0]["spread"] is None  # one person has no spread


def test_nothing_is_written_when_the_data_cannot_be_used(small_spec: Make, tmp_path: Path, listener: Any) -> None:
    with pytest.raises(DataError):
        run_experiment(small_spec(data=tmp_path / "none.h5"), tmp_path / "run", listener)
    assert list(tmp_path.iterdir()) == []


def test_a_gpu_that_is_not_there_is_refused_before_anything_is_written(
    small_spec: Make, tmp_path: Path, listener: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(ConfigError, match=r'runtime\.device = "cuda", but this torch'):
        run_experiment(small_spec(tail='device = "cuda"'), tmp_path / "run", listener)
    assert list(tmp_path.iterdir()) == []


def test_sixteen_bits_train_every_method_and_whatever_gpu_there_is_may_be_asked_for(
    small_spec: Make, tmp_path: Path, listener: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    spec = small_spec(methods=THREE, extra_training='precision = "bfloat16"', tail='device = "auto"')
    results = run_experiment(spec, tmp_path / "run", listener)
    assert all(0 < row["mean_error"] < 90 for row in results["rows"])


def test_generic_mpc_is_no_method_of_a_run(
    small_spec: Callable[..., ExperimentSpec], tmp_path: Path, listener: Any
) -> None:
    with pytest.raises(ConfigError, match=r'methods contains "mpc".*privateyes compare'):
        run_experiment(small_spec(methods='["federated", "mpc"]'), tmp_path / "run", listener)
    assert not (tmp_path / "run").exists()


def test_extras_change_no_number(small_spec: Make, finished_run: Path, tmp_path: Path, listener: Any) -> None:
    run_experiment(small_spec(methods=THREE), tmp_path / "run", listener, extras=False)
    assert not (tmp_path / "run" / "samples.npz").exists()
    ours, theirs = outcome_of(tmp_path / "run"), outcome_of(finished_run)
    del theirs["files"]["samples.npz"]
    assert ours == theirs


def test_processor_time_is_recorded_and_every_sample_is_counted(finished_run: Path) -> None:
    for line in RunDirectory(finished_run).read_metrics():
        assert line["samples"] == 3 * 24
        assert line["seconds_cpu"] > 0


@pytest.fixture(scope="module")
def swapped_eyes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Rendered persons p00 to p04, of whom p01 and p03 have (yaw, pitch) where (pitch, yaw) belongs."""
    path = tmp_path_factory.mktemp("swapped") / "eyes.h5"
    persons = [replace(person, name=f"p{index:02d}") for index, person in enumerate(render_persons(4, 5, 60))]
    for index in (1, 3):
        persons[index] = replace(persons[index], gaze=persons[index].gaze[:, ::-1].copy())
    write_persons(path, persons)
    return path


def test_labels_that_the_images_contradict_are_told_before_training(
    swapped_eyes: Path, small_spec: Make, tmp_path: Path, listener: Any
) -> None:
    run_experiment(small_spec(data=swapped_eyes, rounds=1), tmp_path / "run", listener)
    first, *others = [text for kind, text, *_ in listener.told if kind == "note"]
    assert "warning: gaze: pitch and yaw look swapped for 2 of 5 persons (p01, p03)" in first
    assert f"`privateyes data check {swapped_eyes}`, and store (pitch, yaw) in this order" in first
    assert not any("warning" in text for text in others)
    assert [entry[0] for entry in listener.told].index("note") < [entry[0] for entry in listener.told].index("started")


def test_labels_of_persons_who_take_no_part_and_good_ones_are_no_cause_for_a_word(
    swapped_eyes: Path, small_spec: Make, listener: Any
) -> None:
    preparation = prepare(small_spec(data=swapped_eyes))
    fold = replace(preparation.folds[0], train=("p00", "p02"), test=("p04",))
    warn_of_data(replace(preparation, folds=(fold,)), listener)
    assert listener.told == []
