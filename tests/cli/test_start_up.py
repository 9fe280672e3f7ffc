"""What commands import before they do anything: heavy packages that a command has no use of cost every user seconds."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import Result
from PIL import Image

_PROGRAM = """
import json, sys
from contextlib import redirect_stdout
from io import StringIO
arguments = json.loads(sys.argv[1])
if arguments is None:
    import privateyes
else:
    from privateyes.cli.main import main
    sys.argv = ["privateyes", *arguments]
    try:
        with redirect_stdout(StringIO()):
            main()
    except SystemExit as end:
        assert not end.code, end.code
print(json.dumps([name for name in sys.modules]))
"""
# What compiles torch models and reasons about their shapes; nothing here is compiled.
COMPILER = {"torch._inductor", "torch._dynamo", "sympy"}


def imported(arguments: list[str] | None) -> set[str]:
    """The modules that a command has imported when it is done."""
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM, json.dumps(arguments)],
        capture_output=True,
        text=True,
        check=False,
        timeout=200,
    )
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stdout))


def test_importing_the_package_imports_nothing_heavy() -> None:
    assert not imported(None) & {"torch", "numpy", "numba", "rich", "typer", "pydantic"}


@pytest.mark.parametrize("arguments", [["--help"], ["train", "--help"], ["predict", "--help"]], ids=" ".join)
def test_help_needs_neither_torch_nor_numpy(arguments: list[str]) -> None:
    assert not imported(arguments) & {"torch", "numpy", "numba", "h5py", "pydantic", "matplotlib", "scipy"}


def test_predicting_one_picture_imports_torch_and_little_else(trained: tuple[Path, Result], tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (9, 15), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "eye.png")
    found = imported(["predict", str(trained[0]), str(tmp_path / "eye.png"), "--pose", "0,0"])
    assert "torch" in found
    assert not found & {*COMPILER, "scipy", "numba", "matplotlib", "privateyes.experiments.prepare"}


@pytest.mark.parametrize("command", [["evaluate"], ["train", "--resume"]], ids=" ".join)
def test_training_and_evaluation_import_no_compiler_and_no_drawing(
    trained: tuple[Path, Result], command: list[str]
) -> None:
    found = imported([command[0], str(trained[0]), *command[1:]])
    assert not found & {*COMPILER, "matplotlib", "scipy.ndimage", "scipy.optimize"}
