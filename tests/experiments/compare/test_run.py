from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from privateyes.errors import ConfigError, RunDirectoryError
from privateyes.experiments.compare.folder import ComparisonFolder
from privateyes.experiments.compare.run import parallel_runs, read_comparison, run_comparison
from privateyes.experiments.evaluate import evaluate_run
from privateyes.experiments.record import RunDirectory
from privateyes.experiments.report import write_report
from privateyes.experiments.spec import ExperimentSpec
from privateyes.tasks.gaze.tables import GazeExperiment

Make = Callable[..., ExperimentSpec]
Finished = tuple[Path, Mapping[str, Any]]


def _without_seconds(value: Any) -> Any:
    """Everything that does not depend on how fast the machine was, how many runs went on, and fresh keys."""
    left_out = ("seconds", "energy", "measured_on", "environment")
    if isinstance(value, dict):
        return {key: _without_seconds(entry) for key, entry in value.items() if not key.startswith(left_out)}
    return [_without_seconds(entry) for entry in value] if isinstance(value, list) else value


def test_every_seed_and_fold_is_a_run_that_other_commands_read(finished_comparison: Finished) -> None:
    folder, results = finished_comparison
    assert results["runs"] == {"planned": 6, "finished": 6, "missing": []}
    assert sorted(path.relative_to(folder).as_posix() for path in folder.glob("seed-*/*")) == [
        f"seed-{seed}/{fold}" for seed in (1, 2, 3) for fold in ("p00", "p01")
    ]
    run = folder / "seed-2" / "p01"
    assert write_report(run).exists()
    tested = evaluate_run(run, "federated")
    row = next(entry for entry in results["methods"] if entry["method"] == "federated")
    assert tested.error["p01"] == pytest.approx(row["per_person_and_seed"]["p01"]["2"])


def test_all_methods_pass_over_equally_many_samples(finished_comparison: Finished) -> None:
    folder, results = finished_comparison
    passed: dict[tuple[str, str], int] = {}
    for path in folder.glob("seed-*/*/metrics.jsonl"):
        for line in map(json.loads, path.read_text().splitlines()):
            key = (path.parent.as_posix(), line["method"])
            passed[key] = passed.get(key, 0) + line["samples"]
    # 4 training persons with 24 images, twice
    assert set(passed.values()) == {2 * 4 * 24}
    assert len(passed) == 6 * 4
    assert results["budget"]["equal"]
    assert set(results["budget"]["passes"].values()) == {192.0}


def test_an_unequal_budget_is_said(comparison_spec: Make, tmp_path: Path, compare_listener: Any) -> None:
    spec = comparison_spec(
        methods='["centralised", "federated"]',
        split='test_persons = ["p03", "p04"]',
        tail="[federation]\ncohort_fraction = 0.67",
        rounds=1,
    )
    results = run_comparison(spec, ComparisonFolder(tmp_path / "c"), compare_listener).results
    assert results is not None
    assert not results["budget"]["equal"]
    assert results["budget"]["passes"] == {"centralised": 72.0, "federated": 48.0}
    assert "Unequal budgets" in results["budget"]["note"]


def test_a_secure_method_equals_its_counterpart_and_methods_start_alike(finished_comparison: Finished) -> None:
    _, results = finished_comparison
    relation = next(entry for entry in results["relations"] if entry["first"] == "private")
    assert relation["holds"]
    assert relation["largest_of_a_person"] < 0.02


def test_one_run_at_a_time_gives_the_same_numbers_and_so_does_a_stop_in_between(
    finished_comparison: Finished, comparison_spec: Make, tmp_path: Path, compare_listener: Any
) -> None:
    # stopped at a moment when one run is finished, one has some rounds and the others have not begun
    folder = ComparisonFolder(tmp_path / "c")
    shutil.copytree(finished_comparison[0], folder.path)
    for path in (*folder.path.glob("seed-[23]"), *folder.path.glob("comparison.*")):
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    half = RunDirectory(folder.path / "seed-1" / "p01")
    (half.path / "results.json").unlink()
    for method in ("adaptive", "private"):
        half.checkpoint_path("p01", method).unlink()
    shutil.rmtree(half.path / "aggregation")
    spec = comparison_spec(compare="parallel = 1")
    outcome = run_comparison(spec, folder, compare_listener, resume=True)
    assert outcome.results is not None
    assert _without_seconds(dict(outcome.results)) == _without_seconds(dict(finished_comparison[1]))
    assert compare_listener.of("planned") == [("planned", 6, 1, 48, 12)]
    assert ("started", "seed 1, fold p01", 4) in compare_listener.told
    assert len(compare_listener.of("round")) == 36
    assert outcome.results["measured_on"]["parallel"] == [1, 2]


def test_a_finished_comparison_trains_nothing(
    finished_comparison: Finished, comparison_spec: Make, tmp_path: Path, compare_listener: Any
) -> None:
    folder = ComparisonFolder(tmp_path / "c")
    shutil.copytree(finished_comparison[0], folder.path)
    run_comparison(comparison_spec(compare="parallel = 2"), folder, compare_listener, resume=True)
    assert compare_listener.told == [("planned", 6, 6, 48, 48)]


def test_what_is_reported_can_be_changed_without_training(
    finished_comparison: Finished, comparison_spec: Make, tmp_path: Path
) -> None:
    folder = ComparisonFolder(tmp_path / "c")
    shutil.copytree(finished_comparison[0], folder.path)
    assert finished_comparison[1]["persons_are"] == "persons"
    spec = comparison_spec(compare='target_errors = [99]\nbaselines = ["private"]\npersons_are = "day blocks"')
    results = read_comparison(spec, folder).results
    assert results is not None
    assert results["persons_are"] == "day blocks"
    assert results["procedure"]["interval"].startswith("95 % intervals are over day blocks")
    assert results["targets"] == {"errors": [99.0], "derived": False}
    assert results["methods"][0]["targets"][0]["rounds"] == 1.0
    assert list(results["methods"][0]["differences"]) == ["private"]
    assert json.loads((folder.path / "comparison.json").read_text()) == results


def test_reading_gives_what_running_gave(finished_comparison: Finished, comparison_spec: Make, tmp_path: Path) -> None:
    folder = ComparisonFolder(tmp_path / "c")
    shutil.copytree(finished_comparison[0], folder.path)
    assert read_comparison(comparison_spec(), folder).results == finished_comparison[1]
    assert (folder.path / "comparison.html").read_bytes() == (finished_comparison[0] / "comparison.html").read_bytes()


def test_part_of_a_comparison_can_be_read(finished_comparison: Finished, comparison_spec: Make, tmp_path: Path) -> None:
    folder = ComparisonFolder(tmp_path / "c")
    shutil.copytree(finished_comparison[0], folder.path)
    (folder.path / "seed-3" / "p01" / "results.json").unlink()
    results = read_comparison(comparison_spec(), folder).results
    assert results is not None
    assert results["runs"]["missing"] == [{"seed": 3, "fold": "p01", "problem": None}]
    assert results["seeds"] == [1, 2]
    per_person = results["methods"][0]["per_person_and_seed"]
    assert (list(per_person["p00"]), list(per_person["p01"])) == (["1", "2", "3"], ["1", "2"])


def test_nothing_finished_is_nothing_to_read(comparison_spec: Make, tmp_path: Path) -> None:
    folder = ComparisonFolder(tmp_path / "c")
    folder.begin(comparison_spec(), ["p00", "p01"], 2)
    with pytest.raises(RunDirectoryError, match="no finished run yet"):
        read_comparison(comparison_spec(), folder)


def test_what_cannot_be_compared_is_refused_before_anything_is_written(
    comparison_spec: Make, tmp_path: Path, compare_listener: Any
) -> None:
    for spec in (
        comparison_spec(compare='baselines = ["nothing"]'),
        comparison_spec(split='leave_one_out = true\nfolds = ["p77"]'),
    ):
        with pytest.raises(ConfigError):
            run_comparison(spec, ComparisonFolder(tmp_path / "c"), compare_listener)
    assert not (tmp_path / "c").exists()


def test_rendered_persons_are_shared_by_all_seeds_and_nothing_is_kept_that_was_not_asked_for(
    comparison_spec: Make, tmp_path: Path, compare_listener: Any
) -> None:
    spec = comparison_spec(
        methods='["federated", "private"]', split='test_persons = ["r02"]', compare="keep_checkpoints = false", rounds=1
    )
    text = {"path": None, "synthetic": {"persons": 3, "images_per_person": 6}}
    spec = GazeExperiment.model_validate({**spec.model_dump(exclude_none=True), "data": text})
    folder = ComparisonFolder(tmp_path / "c")
    outcome = run_comparison(spec, folder, compare_listener)
    assert outcome.results is not None
    assert not outcome.failures
    assert (folder.path / "synthetic_eyes.h5").exists()
    runs = sorted(folder.path.glob("seed-*/all"))
    assert len(runs) == 3
    for run in runs:
        assert not (run / "synthetic_eyes.h5").exists()
        assert not (run / "checkpoints").exists()
        assert list(run.glob("aggregation/*/*/transcripts/*"))
    assert len(set(outcome.results["methods"][0]["per_seed"].values())) == 3


def test_as_many_runs_go_on_as_asked_for_and_no_more_than_there_are(comparison_spec: Make) -> None:
    assert parallel_runs(comparison_spec(compare="parallel = 5"), 6) == 5
    assert parallel_runs(comparison_spec(compare="parallel = 5"), 3) == 3
    assert parallel_runs(comparison_spec(), 100) >= 1
