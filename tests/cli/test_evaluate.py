from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import h5py
from click.testing import Result

Call = Callable[..., Result]


def test_the_table_lists_person_by_person(call: Call, trained: tuple[Path, Result]) -> None:
    result = call("evaluate", trained[0], "--method", "local", "--persons", "p00, p04")
    assert result.exit_code == 0
    assert "local (fold all, after round 2)" in result.stdout
    assert "trained on" in next(line for line in result.stdout.splitlines() if "p00" in line)
    assert "°" in next(line for line in result.stdout.splitlines() if "p04" in line)


def test_a_method_that_was_not_trained_is_one_line(call: Call, trained: tuple[Path, Result]) -> None:
    result = call("evaluate", trained[0], "--method", "federatde")
    assert result.exit_code == 2
    assert result.stderr == "error: --method federatde: the run has no such method; did you mean federated?\n"


def test_persons_that_name_nobody_are_refused(call: Call, trained: tuple[Path, Result]) -> None:
    result = call("evaluate", trained[0], "--persons", ",")
    assert result.exit_code == 2
    assert result.stderr.startswith("error: --persons names nobody; ")


def test_a_table_of_poses_is_refused_with_what_is_read_instead(
    call: Call, trained: tuple[Path, Result], tmp_path: Path
) -> None:
    table = tmp_path / "poses.csv"
    table.write_text("image,pitch_deg,yaw_deg\na.png,1,2\n")
    for arguments, what in ((["--data", table], str(table)), (["--pose", table], "--pose")):
        result = call("evaluate", trained[0], *arguments)
        assert result.exit_code == 2
        assert result.stderr.startswith(f"error: {what}: evaluate reads no tables")
        assert "name a data file (.h5) that holds pose" in result.stderr


def test_data_without_the_pose_that_the_model_takes_are_refused_by_its_name(
    call: Call, trained: tuple[Path, Result], eyes: Path, tmp_path: Path
) -> None:
    path = tmp_path / "eyes.h5"
    path.write_bytes(eyes.read_bytes())
    with h5py.File(path, "r+") as file:
        for person in file:
            del file[person]["pose"]
    result = call("evaluate", trained[0], "--method", "federated", "--data", path)
    assert result.exit_code == 2
    assert "pose" in result.stderr
    assert "Traceback" not in result.stderr
