from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

for package in ("onnx", "onnxscript", "onnxruntime"):
    pytest.importorskip(package, reason="the extra privateyes[onnx] is not installed")

Call = Callable[..., Result]


def test_an_exported_model_estimates_as_its_run(
    call: Call, trained: tuple[Path, Result], eyes: Path, tmp_path: Path
) -> None:
    out = tmp_path / "gaze.onnx"
    result = call("export", trained[0], out, "--method", "federated")
    assert result.exit_code == 0
    assert f"{out}: small: federated, fold all, round 2" in result.stdout
    assert "takes image, pose; gives gaze" in result.stdout
    assert "licence: the training data's terms are not recorded" in result.stdout
    by_run = call("predict", trained[0], eyes, "--method", "federated")
    by_file = call("predict", out, eyes)
    assert by_file.exit_code == 0
    assert by_file.stdout == by_run.stdout


def test_a_file_has_no_methods(call: Call, trained: tuple[Path, Result], eyes: Path, tmp_path: Path) -> None:
    result = call("predict", tmp_path / "gaze.onnx", eyes, "--method", "federated")
    assert result.exit_code == 2
    assert "holds one model only; leave --method, --fold and --client out" in result.stderr


def test_an_existing_file_is_kept(call: Call, trained: tuple[Path, Result], tmp_path: Path) -> None:
    (tmp_path / "gaze.onnx").write_text("mine")
    result = call("export", trained[0], tmp_path / "gaze.onnx", "--method", "federated")
    assert result.exit_code == 2
    assert result.stderr.endswith("is there already; choose another name, or delete it\n")


def test_where_everyone_has_a_model_one_is_exported(call: Call, trained: tuple[Path, Result], tmp_path: Path) -> None:
    result = call("export", trained[0], tmp_path / "gaze.onnx", "--method", "local")
    assert "choose one with --client: p00, p01, p02" in result.stderr
    assert call("export", trained[0], tmp_path / "gaze.onnx", "--method", "local", "--client", "p01").exit_code == 0
