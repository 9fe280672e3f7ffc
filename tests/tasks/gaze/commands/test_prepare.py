from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
from click.testing import Result

from mpiigaze_files import day_path, face_labels, write_faces, write_list, write_mpiigaze
from privateyes.tasks.gaze.prepare import mpiigaze
from privateyes.tasks.gaze.prepare.converter import CONVERTERS, caution

Call = Callable[..., Result]


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return write_mpiigaze(tmp_path / "MPIIGaze", count=20)


def test_a_data_set_is_converted_and_the_outcome_told(call: Call, source: Path, tmp_path: Path) -> None:
    write_list(source, "p01", ["day01/0001.jpg left", "day01/0077.jpg left", "day02/0088.jpg right"])
    out = tmp_path / "out.h5"
    result = call("data", "prepare", "mpiigaze", source, out)
    assert result.exit_code == 0, result.stderr
    assert result.stdout.splitlines() == [
        f"{out}: 2 persons, 121 rows",
        "skipped 2: list names a frame that is not among the normalised ones",
        f"{out}.skipped.csv: everything that was skipped, by name",
        f"{out}.manifest.json: counts and checksums",
    ]
    assert result.stderr.splitlines() == ["p00 (1 of 2): 120 rows", "p01 (2 of 2): 1 row, 2 skipped"]
    assert call("data", "check", out).exit_code == 0


def test_options_reach_the_converter(call: Call, source: Path, tmp_path: Path) -> None:
    options = ["--persons", "p01", "--size", "9x15", "--limit", "7", "--subset", "all"]
    result = call("data", "prepare", "mpiigaze", source, tmp_path / "out.h5", *options)
    assert result.exit_code == 0, result.stderr
    with h5py.File(tmp_path / "out.h5") as file:
        assert list(file) == ["p01"]
        assert file["p01/image"].shape == (7, 9, 15)
    manifest = json.loads((tmp_path / "out.h5.manifest.json").read_bytes())
    assert {key: manifest["options"][key] for key in ("size", "limit", "subset")} == {
        "size": "9x15", "limit": 7, "subset": "all",
    }  # fmt: skip


def test_damage_is_one_line_with_the_way_on_which_works(call: Call, source: Path, tmp_path: Path) -> None:
    path = day_path(source, "p01", 2)
    path.write_bytes(path.read_bytes()[:300])
    result = call("data", "prepare", "mpiigaze", source, tmp_path / "out.h5")
    assert result.exit_code == 2
    last = result.stderr.splitlines()[-1]
    assert last.startswith(f"error: {path}: no MATLAB file, damaged or cut short")
    assert last.endswith("or go on without it: --skip-damaged")
    assert not (tmp_path / "out.h5").exists()
    result = call("data", "prepare", "mpiigaze", source, tmp_path / "out.h5", "--skip-damaged")
    assert result.exit_code == 0
    assert "p00 (1 of 2): 120 rows, finished before" in result.stderr
    assert "skipped 1: damaged file" in result.stdout


def test_who_has_no_row_is_named(call: Call, source: Path, tmp_path: Path) -> None:
    write_list(source, "p00", ["day01/0099.jpg left"])
    result = call("data", "prepare", "mpiigaze", source, tmp_path / "out.h5")
    assert "without a usable row, and so not in the file: p00" in result.stdout


def test_warnings_are_told_on_stderr(call: Call, tmp_path: Path) -> None:
    import numpy as np

    labels = np.abs(face_labels(4)) * [*[1] * 4, *[0] * 12] + 0.1
    write_faces(tmp_path / "p00.mat", np.zeros((4, 3, 8, 8), np.uint8), labels)
    result = call("data", "prepare", "mpiifacegaze", tmp_path, tmp_path / "out.h5", "--size", "8x8")
    assert result.exit_code == 0, result.stderr
    assert "warning: p00: labels look sign-flipped" in result.stderr


def test_an_interruption_says_how_to_go_on(
    call: Call, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = mpiigaze.read_day

    def interrupted(path: Path) -> object:
        if path.parent.name == "p01":
            raise KeyboardInterrupt
        return original(path)

    monkeypatch.setattr(mpiigaze, "read_day", interrupted)
    result = call("data", "prepare", "mpiigaze", source, tmp_path / "out.h5")
    assert result.exit_code == 130
    assert f"whoever is finished is kept in {tmp_path}/out.h5.parts: the same command goes on" in result.stderr
    monkeypatch.setattr(mpiigaze, "read_day", original)
    result = call("data", "prepare", "mpiigaze", source, tmp_path / "out.h5")
    assert result.exit_code == 0
    assert "p00 (1 of 2): 120 rows, finished before" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--size", "60"], "is no size"),
        (["--size", "0x5"], "is no size"),
        (["--persons", "p00,,p01"], "is no list of names"),
        (["--limit", "0"], "limit"),
        (["--split", "train"], "MPIIGaze has no option split"),
        (["--persons", "p77"], "there is no person p77; there are p00, p01"),
    ],
)
def test_impossible_options_are_refused(
    call: Call, source: Path, tmp_path: Path, arguments: list[str], message: str
) -> None:
    result = call("data", "prepare", "mpiigaze", source, tmp_path / "out.h5", *arguments)
    assert result.exit_code == 2
    assert message in result.stderr
    assert not (tmp_path / "out.h5.parts").exists()


def test_another_data_set_and_a_missing_source_are_one_line(call: Call, tmp_path: Path) -> None:
    result = call("data", "prepare", "mpiigaze", tmp_path, tmp_path / "out.h5")
    assert result.exit_code == 2
    assert "is not MPIIGaze; name the folder" in result.stderr
    assert call("data", "prepare", "lpw", tmp_path, tmp_path / "out.h5").exit_code == 2
    result = call("data", "prepare", "nvgaze", tmp_path / "none", tmp_path / "out.h5")
    assert "none: there is no such file or folder" in result.stderr


def test_a_converter_that_never_met_original_data_says_so_in_its_help_and_its_outcome(
    call: Call, source: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "faces"
    folder.mkdir()
    write_faces(folder / "p00.mat", np.zeros((3, 3, 8, 8), dtype=np.uint8) + np.uint8(9), face_labels(3))
    result = call("data", "prepare", "mpiifacegaze", folder, tmp_path / "faces.h5", "--size", "8x8")
    assert result.exit_code == 0, result.stderr
    line = "the converter for mpiifacegaze follows the published format and never met the original data"
    assert line in result.stdout
    assert "never met" not in call("data", "prepare", "mpiigaze", source, tmp_path / "eyes.h5").stdout
    told = " ".join(call("data", "prepare", "--help").stdout.split())
    for dataset in CONVERTERS:
        assert dataset in told
        assert bool(caution(dataset)) == (dataset in told.partition("Those for")[2].partition("never met")[0])
