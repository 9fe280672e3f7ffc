from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from privateyes.errors import ConfigError, DataError, RunDirectoryError
from privateyes.experiments.calibrate import calibrate_run, chosen_settings, write_calibration
from privateyes.experiments.evaluate import evaluate_run
from privateyes.experiments.run import run_experiment
from privateyes.experiments.spec import ExperimentSpec, parse_spec
from privateyes.tasks.gaze.experiment import GazeEstimation
from privateyes.training.calibration_settings import ADAPTATIONS, CalibrationSettings

FEW = CalibrationSettings(samples=(1, 3), draws=4)
BIAS = np.array([0.15, -0.25], dtype=np.float32)


@pytest.fixture(scope="module")
def biased(tmp_path_factory: pytest.TempPathFactory, make_eyes: Callable[..., Path]) -> Path:
    """Persons of whom p03 looks elsewhere than the eyes show, as far for both eyes, and p04 to each eye's own side."""
    path = make_eyes(tmp_path_factory.mktemp("biased") / "eyes.h5", persons=5, images=60)
    with h5py.File(path, "r+") as file:
        file["p03/gaze"][...] += BIAS
        file["p04/eye"] = np.repeat([0, 1], 30).astype(np.uint8)
        file["p04/gaze"][...] += np.repeat([BIAS * (0, 1), -BIAS * (0, 1)], 30, axis=0)
    return path


@pytest.fixture(scope="module")
def biased_run(
    biased: Path, tmp_path_factory: pytest.TempPathFactory, small_spec: Callable[..., ExperimentSpec], silent: Any
) -> Path:
    directory = tmp_path_factory.mktemp("calibrated") / "run"
    spec = small_spec(data=biased, methods='["centralised", "local"]', rounds=6, extra_training="learning_rate = 0.02")
    run_experiment(spec, directory, silent)
    return directory


def digests(directory: Path) -> dict[str, str]:
    files = [path for path in directory.rglob("*") if path.is_file()]
    return {str(path.relative_to(directory)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_a_bias_that_no_image_shows_is_taken_out_by_a_few_samples(biased_run: Path) -> None:
    report = calibrate_run(biased_run, CalibrationSettings(samples=(1, 5, 9), draws=10), "centralised")
    both = {entry.person: entry for entry in report.persons}
    for person in ("p03", "p04"):
        errors = [both[person].by_k[k].mean for k in (1, 5, 9)]
        assert both[person].uncalibrated > 14
        assert errors[2] < errors[1] < errors[0] < 0.75 * both[person].uncalibrated
        assert errors[2] < 0.4 * both[person].uncalibrated
    assert report.metric.key == "deg"


def test_eyes_that_differ_are_calibrated_separately_where_the_data_tell_them_apart(biased_run: Path) -> None:
    settings = CalibrationSettings(samples=(5,), draws=6)
    apart = calibrate_run(biased_run, settings, "centralised", persons=["p04"])
    together = calibrate_run(
        biased_run, CalibrationSettings(samples=(5,), draws=6, eyes="together"), "centralised", persons=["p04"]
    )
    halves = calibrate_run(
        biased_run, CalibrationSettings(samples=(5,), draws=6, eyes="halves"), "centralised", persons=["p04"]
    )
    assert (apart.persons[0].eyes, together.persons[0].eyes) == (2, 1)
    assert apart.persons[0].by_k[5].mean < 0.5 * together.persons[0].by_k[5].mean
    assert halves.persons[0].by_k == apart.persons[0].by_k
    assert not apart.notes


def test_a_note_says_whose_eyes_could_not_be_told_apart(biased_run: Path) -> None:
    assert "the eyes of p03 apart" in calibrate_run(biased_run, FEW, "centralised").notes[0]
    together = CalibrationSettings(samples=(1,), draws=1, eyes="together")
    assert calibrate_run(biased_run, together, "centralised").notes == ()


def test_faces_show_both_eyes_and_are_no_case_for_a_note(biased_run: Path, tmp_path: Path) -> None:
    run = shutil.copytree(biased_run, tmp_path / "run")
    text = (run / "experiment.toml").read_text()
    data = shutil.copy(str(parse_spec(text, "run", run).data.path), tmp_path / "eyes.h5")
    (run / "experiment.toml").write_text(re.sub(r'path = ".*"', f'path = "{data}"', text))
    assert calibrate_run(run, FEW, "centralised").notes != ()
    with h5py.File(data, "r+") as file:
        file.attrs["image_of"] = "face"
    assert calibrate_run(run, FEW, "centralised").notes == ()


@pytest.mark.parametrize("adapt", ADAPTATIONS)
def test_nothing_of_the_run_changes_but_the_report_that_is_written(biased_run: Path, adapt: str) -> None:
    before = digests(biased_run)
    settings = CalibrationSettings(samples=(3,), draws=2, adapt=adapt)  # type: ignore[arg-type]
    report = calibrate_run(biased_run, settings, "centralised", persons=["p03"])
    assert digests(biased_run) == before
    written = write_calibration(biased_run, report)
    after = digests(biased_run)
    assert after.pop(f"calibration/centralised-{adapt}.json")
    before.pop(f"calibration/centralised-{adapt}.json", None)
    assert after == before, "checkpoints and all else are byte for byte what they were"
    written.unlink()


def test_what_is_written_has_errors_and_no_sample_label_or_correction(biased_run: Path) -> None:
    report = calibrate_run(biased_run, FEW, "centralised")
    path = write_calibration(biased_run, report)
    content = json.loads(path.read_text())
    path.unlink()
    assert set(content) == {"method", "unit", "settings", "persons", "notes", "by_k", "uncalibrated"}
    assert set(content["persons"][0]) == {"person", "fold", "samples", "eyes", "uncalibrated", "by_k"}
    assert set(content["persons"][0]["by_k"]) == {"1", "3"}
    assert set(content["persons"][0]["by_k"]["1"]) == {"mean", "spread", "uncalibrated"}
    assert content["by_k"]["3"]["mean_error"] == report.mean_error(3)
    assert content["uncalibrated"]["spread"] == report.spread(None)


def test_the_uncalibrated_error_is_the_evaluations(biased_run: Path) -> None:
    for method in ("centralised", "local"):
        report, evaluation = calibrate_run(biased_run, FEW, method), evaluate_run(biased_run, method)
        assert {p.person: p.uncalibrated for p in report.persons} == pytest.approx(evaluation.error, abs=1e-5)


def test_the_same_run_gives_the_same_numbers_and_adaptations_share_their_samples(biased_run: Path) -> None:
    first = calibrate_run(biased_run, FEW, "centralised", persons=["p03"])
    assert calibrate_run(biased_run, FEW, "centralised", persons=["p03"]) == first
    offset = calibrate_run(biased_run, CalibrationSettings((1, 3), "offset", draws=4), "centralised", persons=["p03"])
    for k in (1, 3):
        assert offset.persons[0].by_k[k].uncalibrated == first.persons[0].by_k[k].uncalibrated
        assert offset.persons[0].by_k[k].mean != first.persons[0].by_k[k].mean


def test_samples_without_a_finite_prediction_are_neither_drawn_nor_tested(
    biased_run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = np.zeros(60, dtype=np.bool_)
    few[10:14] = True
    monkeypatch.setattr("privateyes.training.personal.PersonalModel.usable", lambda _: few)
    report = calibrate_run(biased_run, CalibrationSettings((3,), draws=2), "centralised", persons=["p03"])
    assert report.persons[0].samples == 4
    with pytest.raises(DataError, match="person p03: calibration with k = 5 of 4 usable samples leaves none"):
        calibrate_run(biased_run, CalibrationSettings((5,), draws=2), "centralised", persons=["p03"])


def test_a_person_with_one_kind_of_eye_is_no_case_for_a_note(biased_run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    left = {"left": np.arange(60, dtype=np.int64)}
    monkeypatch.setattr(GazeEstimation, "calibration_groups", lambda *_: left)
    assert calibrate_run(biased_run, FEW, "centralised", persons=["p03"]).notes == ()


def test_one_draw_has_no_spread(biased_run: Path) -> None:
    report = calibrate_run(biased_run, CalibrationSettings((1,), draws=1), "centralised", persons=["p03"])
    assert report.persons[0].by_k[1].spread is None
    assert report.spread(1) is None


def test_the_persons_that_trained_are_not_new(biased_run: Path) -> None:
    with pytest.raises(ConfigError, match=r"person p00 took part in the training in fold all and is not new.*p03, p04"):
        calibrate_run(biased_run, FEW, persons=["p00"])
    with pytest.raises(DataError, match="there is no person p99"):
        calibrate_run(biased_run, FEW, persons=["p99"])
    with pytest.raises(ConfigError, match="--persons names nobody"):
        calibrate_run(biased_run, FEW, persons=[])


def test_more_samples_than_a_person_has_are_refused_with_the_persons_name(biased_run: Path) -> None:
    with pytest.raises(DataError, match="person p03: calibration with k = 60 of 60 usable samples leaves none"):
        calibrate_run(biased_run, CalibrationSettings((60,), draws=1), "centralised")
    with pytest.raises(DataError, match="person p04, left eyes: calibration with k = 30 of 30 usable"):
        calibrate_run(biased_run, CalibrationSettings((30,), draws=1), "centralised", persons=["p04"])


@pytest.mark.parametrize("samples", [(0,), (-1, 5), (), (5, 5)])
def test_no_sample_and_the_same_number_twice_are_refused(biased_run: Path, samples: tuple[int, ...]) -> None:
    with pytest.raises(ConfigError, match=r"calibration\.samples"):
        calibrate_run(biased_run, CalibrationSettings(samples), "centralised")


def test_unknown_methods_and_folds_are_refused(biased_run: Path) -> None:
    with pytest.raises(ConfigError, match="--method federated: the run has no such method"):
        calibrate_run(biased_run, FEW, "federated")
    with pytest.raises(ConfigError, match="--fold p00: the run has no such fold"):
        calibrate_run(biased_run, FEW, fold="p00")


def test_a_run_without_a_checkpoint_or_no_run_at_all_is_refused(
    biased: Path, tmp_path: Path, small_spec: Callable[..., ExperimentSpec]
) -> None:
    from privateyes.experiments.record import open_run

    with pytest.raises(RunDirectoryError, match="no run directory"):
        calibrate_run(tmp_path, FEW)
    open_run(tmp_path / "begun", small_spec(data=biased), {}, resume=False)
    with pytest.raises(RunDirectoryError, match="has no checkpoint of federated in fold all; train it first"):
        calibrate_run(tmp_path / "begun", FEW)


def test_settings_come_from_the_command_line_then_the_experiment_then_the_defaults(
    biased: Path, biased_run: Path, tmp_path: Path, small_spec: Callable[..., ExperimentSpec]
) -> None:
    from privateyes.experiments.record import open_run

    assert chosen_settings(biased_run) == CalibrationSettings()
    spec = small_spec(data=biased, tail='[calibration]\nsamples = [2, 4]\nadapt = "offset"\n')
    open_run(tmp_path / "run", spec, {}, resume=False)
    assert chosen_settings(tmp_path / "run") == CalibrationSettings((2, 4), "offset")
    assert chosen_settings(tmp_path / "run", k="7", draws=3) == CalibrationSettings((7,), "offset", draws=3)
    with pytest.raises(ConfigError, match="--k 1,x; give numbers"):
        chosen_settings(biased_run, k="1,x")
    with pytest.raises(ConfigError, match=r"calibration\.samples = \[0\]"):
        chosen_settings(biased_run, k="0")


def test_a_run_can_end_with_calibration(
    biased: Path, tmp_path: Path, small_spec: Callable[..., ExperimentSpec], silent: Any
) -> None:
    spec = small_spec(data=biased, methods='["centralised", "local"]', tail="[calibration]\nsamples = [2]\ndraws = 2\n")
    results = run_experiment(spec, tmp_path / "run", silent)
    assert [entry["method"] for entry in results["calibration"]] == ["centralised", "local"]
    expected = calibrate_run(tmp_path / "run", method="local").as_json()
    assert json.loads((tmp_path / "run" / "results.json").read_text())["calibration"][1] == json.loads(
        json.dumps(expected)
    )


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("samples = [5, 60]", r"person p03: calibration\.samples = \[5, 60\], of 60 samples, leaves none to test on"),
        ("samples = [30]", r"person p04, left eyes: calibration\.samples = \[30\], of 30 samples"),
        ('samples = [30]\neyes = "halves"', r"person p03, left eyes: .* of 30 samples"),
    ],
)
def test_more_samples_than_a_person_has_are_refused_before_anything_is_trained(
    biased: Path, tmp_path: Path, small_spec: Callable[..., ExperimentSpec], silent: Any, table: str, message: str
) -> None:
    spec = small_spec(data=biased, tail=f"[calibration]\n{table}\n")
    with pytest.raises(DataError, match=message):
        run_experiment(spec, tmp_path / "run", silent)
    assert not (tmp_path / "run").exists()


def test_impossible_numbers_of_samples_are_refused_with_the_file(small_spec: Callable[..., ExperimentSpec]) -> None:
    with pytest.raises(ConfigError, match=r"small\.toml: calibration\.samples = \[5, 5\]; give different numbers"):
        small_spec(tail="[calibration]\nsamples = [5, 5]\n")


def test_an_earlier_report_is_kept_whatever_it_says(biased_run: Path) -> None:
    def written(samples: tuple[int, ...]) -> Path:
        return write_calibration(biased_run, calibrate_run(biased_run, CalibrationSettings(samples, draws=2), "local"))

    first = written((1,))
    content = first.read_bytes()
    second, third = written((2,)), written((3,))
    assert [path.name for path in (first, second, third)] == [
        "local-ridge.json", "local-ridge-2.json", "local-ridge-3.json"
    ]  # fmt: skip
    assert written((2,)) == second  # it says what is there already
    assert first.read_bytes() == content
    third.write_text("{")  # damaged, and not ours to replace
    assert written((3,)).name == "local-ridge-4.json"
    for path in biased_run.glob("calibration/local-ridge*.json"):
        path.unlink()
