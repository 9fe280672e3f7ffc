from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from privateyes.errors import ConfigError, RunDirectoryError
from privateyes.experiments.compare.folder import ComparisonFolder, check_runs, locate_comparison
from privateyes.experiments.compare.plan import plan_runs
from privateyes.experiments.compare.run import run_comparison
from privateyes.experiments.record import exclusive, open_run
from privateyes.experiments.spec import ExperimentSpec
from privateyes.tasks.gaze.tables import GazeExperiment

Make = Callable[..., ExperimentSpec]


@pytest.fixture
def begun(comparison_spec: Make, tmp_path: Path) -> ComparisonFolder:
    folder = ComparisonFolder(tmp_path / "c")
    folder.begin(comparison_spec(), ["p00", "p01"], 2)
    return folder


def test_a_comparison_is_continued_only_when_asked_to(begun: ComparisonFolder, comparison_spec: Make) -> None:
    begun.check(comparison_spec(), resume=True)
    with pytest.raises(RunDirectoryError, match="already holds this comparison"):
        begun.check(comparison_spec(), resume=False)


def test_another_experiment_is_refused(begun: ComparisonFolder, comparison_spec: Make) -> None:
    for other in (comparison_spec(rounds=3), comparison_spec(methods='["federated"]')):
        with pytest.raises(RunDirectoryError, match="holds another comparison"):
            begun.check(other, resume=True)


def test_further_seeds_and_other_reports_continue_it(begun: ComparisonFolder, comparison_spec: Make) -> None:
    begun.check(comparison_spec(compare="seeds = [1, 2, 3, 4]\ntarget_errors = [6.0]\nparallel = 7"), resume=True)


def test_persons_rendered_with_another_seed_are_another_comparison(comparison_spec: Make, tmp_path: Path) -> None:
    values = comparison_spec(split='test_persons = ["r00"]').model_dump(exclude_none=True)
    values["data"] = {"synthetic": {"persons": 3, "images_per_person": 4}}
    folder = ComparisonFolder(tmp_path / "c")
    folder.begin(GazeExperiment.model_validate(values), ["all"], 1)
    with pytest.raises(RunDirectoryError, match="holds another comparison"):
        folder.check(GazeExperiment.model_validate({**values, "seed": 4}), resume=True)


def test_a_folder_with_other_files_is_refused(comparison_spec: Make, tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("x")
    with pytest.raises(RunDirectoryError, match=r"no comparison \(thesis\.tex\)"):
        ComparisonFolder(tmp_path).check(comparison_spec(), resume=True)
    with pytest.raises(RunDirectoryError, match="is a file"):
        ComparisonFolder(tmp_path / "thesis.tex").check(comparison_spec(), resume=True)


def test_every_number_of_runs_at_a_time_is_remembered(begun: ComparisonFolder, comparison_spec: Make) -> None:
    begun.begin(comparison_spec(), ["p00", "p01"], 4)
    begun.begin(comparison_spec(), ["p00", "p01"], 2)
    assert begun.read_plan().parallel == (2, 4)
    assert begun.read_plan().folds == ("p00", "p01")


def test_nobody_else_works_in_a_comparison_or_rewrites_its_plan(
    begun: ComparisonFolder, comparison_spec: Make, compare_listener: Any
) -> None:
    before = (begun.path / "compare.toml").read_bytes()
    with exclusive(begun.path), pytest.raises(RunDirectoryError, match="another process is working"):
        run_comparison(comparison_spec(compare="seeds = [4, 5, 6]"), begun, compare_listener, resume=True)
    assert (begun.path / "compare.toml").read_bytes() == before


def test_a_plan_that_is_damaged_is_named(begun: ComparisonFolder) -> None:
    (begun.path / "plan.json").write_text('{"folds": ["p00"]}')
    with pytest.raises(RunDirectoryError, match=r"plan\.json is damaged"):
        begun.read_plan()


def test_a_run_of_other_data_or_settings_is_refused(begun: ComparisonFolder, comparison_spec: Make) -> None:
    runs = plan_runs(comparison_spec(), ["p00", "p01"], begun.path, None)
    check_runs(runs, "aa")
    open_run(runs[0].directory, runs[0].spec, {"data_sha256": "aa"}, resume=False)
    check_runs(runs, "aa")
    with pytest.raises(RunDirectoryError, match="the data file has changed"):
        check_runs(runs, "bb")
    with pytest.raises(RunDirectoryError, match="holds another run"):
        check_runs(plan_runs(comparison_spec(rounds=7), ["p00", "p01"], begun.path, None), "aa")


def test_what_differs_is_named(begun: ComparisonFolder, comparison_spec: Make) -> None:
    with pytest.raises(RunDirectoryError, match=r"training\.rounds was \d and is 9"):
        begun.check(comparison_spec(rounds=9), resume=True)
    runs = plan_runs(comparison_spec(), ["p00", "p01"], begun.path, None)
    open_run(runs[0].directory, runs[0].spec, {"data_sha256": "aa"}, resume=False)
    frozen = runs[0].directory / "experiment.toml"
    frozen.write_text(frozen.read_text().replace("learning_rate = 0.05\n", "learning_rate = 0.5\n"))
    with pytest.raises(RunDirectoryError, match=r"was changed since the run began \(training\.learning_rate"):
        check_runs(runs, "aa")


def test_a_directory_names_its_comparison(begun: ComparisonFolder, comparison_spec: Make) -> None:
    spec, folder = locate_comparison(begun.path, None, None, resume=True)
    assert (spec, folder) == (comparison_spec(), begun)
    with pytest.raises(ConfigError, match="is a directory"):
        locate_comparison(begun.path, None, None, resume=False)
    with pytest.raises(RunDirectoryError, match="already fixes the directory"):
        locate_comparison(begun.path, begun.path, None, resume=True)


def test_a_directory_without_a_comparison_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RunDirectoryError, match="holds no comparison"):
        locate_comparison(tmp_path, None, None, resume=True)
    (tmp_path / "compare.toml").write_text("name = 5")
    with pytest.raises(RunDirectoryError, match=r"cannot be used: .*compare\.toml"):
        locate_comparison(tmp_path, None, None, resume=True)


def test_a_file_gets_a_directory_of_its_name(comparison_text: Callable[..., str], tmp_path: Path) -> None:
    (tmp_path / "x.toml").write_text(comparison_text())
    assert locate_comparison(tmp_path / "x.toml", None, None, resume=False)[1].path == Path("runs/compare-small")
    spec, folder = locate_comparison(tmp_path / "x.toml", None, None, resume=False, quick=True)
    assert (spec.name, folder.path) == ("small-quick", Path("runs/compare-small-quick"))
