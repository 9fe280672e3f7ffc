"""Every kind of bad input: one clear line with the remedy, exit code 2, nothing half written."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from click.testing import Result

from privateyes.training import local

Call = Callable[..., Result]
Text = Callable[..., str]


@pytest.fixture
def refused(call: Call, tmp_path: Path) -> Callable[..., str]:
    """Calls `train` on an experiment's text, and returns the one line with which it was refused."""

    def train(text: str, *arguments: str | Path, out: Path | None = None) -> str:
        folder = tmp_path / "experiment"
        folder.mkdir(exist_ok=True)
        (folder / "x.toml").write_text(text)
        out = out or tmp_path / "run"
        before = _snapshot(tmp_path)
        result = call("train", folder / "x.toml", "--out", out, *arguments)
        assert result.exit_code == 2
        assert result.stdout == ""
        assert _snapshot(tmp_path) == before, "something was written"
        return _only_line(result)

    return train


def _only_line(result: Result) -> str:
    lines = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1
    assert result.stderr.endswith(lines[0] + "\n")
    assert "; " in lines[0], "no remedy"
    assert "Traceback" not in result.stderr
    return lines[0]


def _snapshot(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def _with_dataset(path: Path, name: str, change: Callable[[np.ndarray], np.ndarray]) -> Path:
    with h5py.File(path, "r+") as file:
        content = change(file[name][...])
        del file[name]
        file[name] = content
    return path


def test_a_missing_data_file(refused: Callable[..., str], experiment_text: Text, tmp_path: Path) -> None:
    line = refused(experiment_text(tmp_path / "none.h5"))
    assert "none.h5: there is no such file; check the path" in line


def test_an_empty_data_file(refused: Callable[..., str], experiment_text: Text, tmp_path: Path) -> None:
    (tmp_path / "empty.h5").touch()
    assert "empty.h5: the file is empty" in refused(experiment_text(tmp_path / "empty.h5"))


def test_a_data_file_without_persons(refused: Callable[..., str], experiment_text: Text, tmp_path: Path) -> None:
    h5py.File(tmp_path / "nobody.h5", "w").close()
    assert "the file holds no person" in refused(experiment_text(tmp_path / "nobody.h5"))


def test_one_person_only(
    refused: Callable[..., str], experiment_text: Text, tmp_path: Path, make_eyes: Callable[..., Path]
) -> None:
    line = refused(experiment_text(make_eyes(tmp_path / "one.h5", persons=1)))
    assert "holds only one person (p00)" in line


def test_images_too_small_for_the_model(refused: Callable[..., str], experiment_text: Text, eyes: Path) -> None:
    line = refused(experiment_text(eyes).replace("resnet_preact_8", "lenet"))
    assert "model lenet cannot take 9x15 images" in line
    assert "resnet_preact_8" in line


def test_labels_in_degrees(
    refused: Callable[..., str], experiment_text: Text, tmp_path: Path, make_eyes: Callable[..., Path]
) -> None:
    path = _with_dataset(make_eyes(tmp_path / "degrees.h5"), "p01/gaze", lambda gaze: np.rad2deg(gaze))
    line = refused(experiment_text(path))
    assert "person p01, gaze" in line
    assert "labels in degrees must be converted to radians" in line


def test_nan_in_an_image(
    refused: Callable[..., str], experiment_text: Text, tmp_path: Path, make_eyes: Callable[..., Path]
) -> None:
    def spoil(image: np.ndarray) -> np.ndarray:
        image = image.astype(np.float32)
        image[3, 0, 0] = np.nan
        return image

    path = _with_dataset(make_eyes(tmp_path / "nan.h5"), "p02/image", spoil)
    assert "person p02, image: row 3 holds NaN" in refused(experiment_text(path))


def test_nan_in_a_label(
    refused: Callable[..., str], experiment_text: Text, tmp_path: Path, make_eyes: Callable[..., Path]
) -> None:
    def spoil(gaze: np.ndarray) -> np.ndarray:
        gaze[5, 1] = np.nan
        return gaze

    path = _with_dataset(make_eyes(tmp_path / "nan.h5"), "p00/gaze", spoil)
    assert "person p00, gaze: row 5 holds NaN" in refused(experiment_text(path))


def test_an_unknown_key(refused: Callable[..., str], experiment_text: Text, eyes: Path) -> None:
    line = refused(experiment_text(eyes, extra_training="batchsize = 4"))
    assert "training.batchsize is not a known key; did you mean training.batch_size?" in line


def test_a_roster_larger_than_the_cohort(refused: Callable[..., str], experiment_text: Text, eyes: Path) -> None:
    line = refused(experiment_text(eyes, methods='["private"]', tail="[aggregation]\nroster_min = 4"))
    assert "aggregation.roster_min = 4 is larger than the cohort of 3 clients" in line
    assert "set it to at most 3" in line


def test_a_fixed_point_scale_that_could_wrap_for_this_cohort(
    refused: Callable[..., str], experiment_text: Text, eyes: Path
) -> None:
    line = refused(experiment_text(eyes, methods='["private"]', tail="[aggregation]\nscale_bits = 30"))
    assert "scale_bits = 30 could wrap: 3 clients x weight 24 x clip 1 x 2^30" in line
    assert "use scale_bits = 23 or less" in line


def test_a_clip_that_fits_no_scale(refused: Callable[..., str], experiment_text: Text, eyes: Path) -> None:
    line = refused(experiment_text(eyes, methods='["private"]', tail="[aggregation]\nclip = 1e9"))
    assert "no fixed-point scale fits 3 clients of weight up to 24 with clip 1e+09" in line
    assert 'use aggregation.field = "wide", or lower aggregation.clip' in line


def test_a_directory_that_holds_another_run(
    refused: Callable[..., str], call: Call, experiment: Path, experiment_text: Text, eyes: Path, tmp_path: Path
) -> None:
    assert call("train", experiment, "--out", tmp_path / "run").exit_code == 0
    assert "holds another run" in refused(experiment_text(eyes, rounds=3))
    assert "holds another run" in refused(experiment_text(eyes, rounds=3), "--resume")
    assert "already holds this run, finished; see it with `privateyes report`" in refused(experiment_text(eyes))


def test_a_directory_that_holds_something_else(
    refused: Callable[..., str], experiment_text: Text, eyes: Path, tmp_path: Path
) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "thesis.tex").write_text("precious")
    assert "holds files that are no run (thesis.tex)" in refused(experiment_text(eyes))


def test_a_variable_that_is_not_set(
    refused: Callable[..., str], experiment_text: Text, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NOT_SET", raising=False)
    assert "environment variable NOT_SET, which is not set" in refused(experiment_text(Path("${NOT_SET}/eyes.h5")))


def test_an_update_that_is_not_finite_ends_the_run_with_one_line_and_can_be_looked_into(
    call: Call, tmp_path: Path, eyes: Path, experiment_text: Text
) -> None:
    """Not before anything is written: it shows only in training. What was recorded before it stays."""
    (tmp_path / "x.toml").write_text(experiment_text(eyes, extra_training="learning_rate = 1e30"))
    line = _only_line(call("train", tmp_path / "x.toml", "--out", tmp_path / "run"))
    assert "training diverged" in line
    assert "lower training.learning_rate" in line
    assert not (tmp_path / "run" / "metrics.jsonl").exists()
    assert not (tmp_path / "run" / "results.json").exists()


def test_training_that_diverges_only_in_what_it_predicts_is_one_line_too_and_again_at_resume(
    call: Call, tmp_path: Path, eyes: Path, experiment_text: Text
) -> None:
    (tmp_path / "x.toml").write_text(experiment_text(eyes, '["centralised"]', "learning_rate = 1e20", rounds=1))
    for resume in ((), ("--resume",)):
        line = _only_line(call("train", tmp_path / "x.toml", "--out", tmp_path / "run", *resume))
        assert "training diverged" in line
        assert "lower training.learning_rate" in line


def test_an_update_with_nan_names_its_client(
    call: Call, tmp_path: Path, eyes: Path, experiment_text: Text, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = local.vector_from_model

    def spoiled(model: object) -> np.ndarray:
        vector = real(model)  # type: ignore[arg-type]
        vector[7] = np.nan
        return vector

    monkeypatch.setattr(local, "vector_from_model", spoiled)
    (tmp_path / "x.toml").write_text(experiment_text(eyes))
    line = _only_line(call("train", tmp_path / "x.toml", "--out", tmp_path / "run"))
    assert "client p00: training diverged to nan in round 1" in line


def test_a_data_file_that_is_not_there_is_told_before_anything_about_the_run(
    call: Call, refused: Callable[..., str], experiment: Path, experiment_text: Text, eyes: Path, tmp_path: Path
) -> None:
    assert call("train", experiment, "--out", tmp_path / "run").exit_code == 0
    for resume in ((), ("--resume",)):
        line = refused(experiment_text(eyes), "--data", tmp_path / "nope.h5", *resume)
        assert "nope.h5: there is no such file; check the path" in line


def test_the_same_of_a_comparison(call: Call, experiment: Path, tmp_path: Path) -> None:
    (tmp_path / "c").mkdir()
    (tmp_path / "c" / "thesis.tex").touch()
    line = _only_line(call("compare", experiment, "--out", tmp_path / "c", "--data", tmp_path / "nope.h5"))
    assert "nope.h5: there is no such file; check the path" in line


@pytest.mark.parametrize("command", ["evaluate", "calibrate", "export"])
def test_a_run_that_is_not_there_is_no_such_run(call: Call, tmp_path: Path, command: str) -> None:
    line = _only_line(call(command, tmp_path / "nope", *(["x.onnx"] if command == "export" else [])))
    assert line == f"error: {tmp_path / 'nope'}: there is no such run; name the directory of a run"


def test_what_is_to_be_continued_and_is_not_there_is_no_such_run_or_comparison(call: Call, tmp_path: Path) -> None:
    for command, option, what in (
        ("train", "--resume", "run"),
        ("compare", "--resume", "comparison"),
        ("compare", "--table", "comparison"),
    ):
        line = _only_line(call(command, tmp_path / "nope", option))
        assert line == f"error: {tmp_path / 'nope'}: there is no such {what}; name the directory of a {what}"
        assert "there is no such experiment file" in _only_line(call(command, tmp_path / "nope.toml", option))


@pytest.fixture
def locked(monkeypatch: pytest.MonkeyPatch) -> Callable[[Path], None]:
    """Makes a file as unreadable as its permissions can; the tests may run as root, who may read everything."""

    def lock(path: Path) -> None:
        access, read_text, open_ = os.access, Path.read_text, Path.open

        def refuse(asked: object) -> None:
            if str(asked) == str(path):
                raise PermissionError(errno.EACCES, "Permission denied", str(path))

        def locked_read(self: Path, *arguments: Any, **options: Any) -> str:
            refuse(self)
            return read_text(self, *arguments, **options)

        def locked_open(self: Path, *arguments: Any, **options: Any) -> Any:
            refuse(self)
            return open_(self, *arguments, **options)

        def may(asked: Any, mode: int, **options: Any) -> bool:
            return str(asked) != str(path) and access(asked, mode, **options)

        monkeypatch.setattr(os, "access", may)
        monkeypatch.setattr(Path, "read_text", locked_read)
        monkeypatch.setattr(Path, "open", locked_open)

    return lock


@pytest.mark.parametrize(
    "command",
    [["train"], ["compare"], ["mpc"], ["task", "verify"], ["transcript", "verify", "--manifest"]],
    ids=" ".join,
)
def test_a_file_that_may_not_be_read_is_one_line_with_the_remedy(
    call: Call, experiment: Path, locked: Callable[[Path], None], command: list[str], tmp_path: Path
) -> None:
    locked(experiment)
    (tmp_path / "record.jsonl").touch()
    result = call(*command, experiment, *([tmp_path / "record.jsonl"] if command[0] == "transcript" else []))
    assert result.exit_code == 2
    assert result.stderr == f"error: {experiment}: Permission denied; check the file's permissions\n"


@pytest.mark.parametrize(("command", "file"), [("train", "experiment.toml"), ("compare", "compare.toml")])
def test_a_run_whose_experiment_may_not_be_read_is_named_with_the_permission(
    call: Call, tmp_path: Path, locked: Callable[[Path], None], command: str, file: str
) -> None:
    (tmp_path / file).touch()
    locked(tmp_path / file)
    line = _only_line(call(command, tmp_path, "--resume"))
    assert line == f"error: {tmp_path / file}: Permission denied; check the file's permissions"


def test_a_manifest_in_place_of_an_experiment_is_called_one(call: Call, make_world: Any, tmp_path: Path) -> None:
    (tmp_path / "x.toml").write_text(make_world(set_up=False).manifest.to_toml())
    line = _only_line(call("train", tmp_path / "x.toml"))
    assert "x.toml looks like a task's manifest; give an experiment file" in line
