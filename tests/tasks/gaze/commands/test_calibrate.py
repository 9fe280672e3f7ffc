from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from click.testing import Result

Call = Callable[..., Result]


def test_a_table_of_persons_by_k_is_printed_and_written(call: Call, trained: tuple[Path, Result]) -> None:
    run, _ = trained
    result = call("calibrate", run, "--method", "federated", "--k", "1,3", "--draws", "3")
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert "federated, ridge, 3 draws of spread images" in lines[0]
    assert all(heading in result.stdout for heading in ("uncalibrated", "k = 1", "k = 3"))
    for person in ("p03", "p04", "mean"):
        row = next(line for line in lines if line.strip().startswith(person))
        assert row.count("±") >= 2
        assert "°" in row
    content = json.loads((run / "calibration" / "federated-ridge.json").read_text())
    assert [entry["person"] for entry in content["persons"]] == ["p03", "p04"]
    assert content["settings"]["samples"] == [1, 3]


def test_adaptation_persons_and_placement_can_be_chosen(call: Call, trained: tuple[Path, Result]) -> None:
    run, _ = trained
    arguments = ("--adapt", "offset", "--persons", "p04", "--placement", "random", "--eyes", "halves")
    result = call("calibrate", run, *arguments, "--k", "2", "--draws", "1", "--fold", "all")
    assert result.exit_code == 0
    assert "offset, 1 draw of random images" in result.stdout
    assert "p03" not in result.stdout
    assert "k images of each eye" in result.stdout


def test_bad_input_is_one_line(call: Call, trained: tuple[Path, Result], tmp_path: Path) -> None:
    run, _ = trained
    for arguments, words in (
        ((run, "--k", "0"), "calibration.samples = [0]"),
        ((run, "--k", "one"), "--k one; give numbers"),
        ((run, "--k", "24"), "person p03: calibration with k = 24 of 24 usable samples"),
        ((run, "--persons", "p00"), "person p00 took part in the training"),
        ((run, "--persons", ","), "--persons names nobody"),
        ((run, "--method", "private"), "the run has no such method"),
        ((run, "--fold", "p00"), "the run has no such fold"),
        ((tmp_path,), "is no run directory"),
    ):
        result = call("calibrate", *arguments)
        assert result.exit_code == 2, arguments
        assert words in result.stderr
        assert len(result.stderr.splitlines()) == 1
