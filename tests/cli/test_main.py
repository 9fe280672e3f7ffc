from __future__ import annotations

import errno
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

from privateyes import __version__
from privateyes.experiments import datafiles, run

Call = Callable[..., Result]
COMMANDS = [
    [], ["demo"], ["train"], ["evaluate"], ["report"], ["data"], ["data", "render"], ["data", "check"],
    ["task", "verify"], ["transcript", "verify"],
]  # fmt: skip


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_command_explains_itself(call: Call, command: list[str]) -> None:
    result = call(*command, "--help")
    assert result.exit_code == 0
    assert "Usage:" in result.stdout
    assert len(result.stdout.splitlines()) > 5


def test_the_version_is_told(call: Call) -> None:
    assert call("--version").stdout == f"privateyes {__version__}\n"


def test_help_needs_no_torch() -> None:
    """An operator of an aggregator has no torch; and help that waits for it is no help."""
    program = (
        "import sys; sys.argv = ['privateyes', 'train', '--help']\n"
        "from privateyes.cli.main import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "print('torch' in sys.modules)"
    )
    answer = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert answer.stdout.splitlines()[-1] == "False"


def test_a_missing_package_is_one_line_with_the_remedy(
    call: Call, experiment: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def without_torch(*arguments: object, **options: object) -> None:
        raise ModuleNotFoundError("No module named 'torch'", name="torch")

    monkeypatch.setattr(run, "run_experiment", without_torch)
    result = call("train", experiment, "--out", experiment.parent / "run")
    assert result.exit_code == 2
    assert result.stderr == "error: this command needs torch; install it with `pip install 'privateyes[train]'`\n"


def test_an_interruption_names_resume(call: Call, experiment: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*arguments: object, **options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(run, "run_experiment", interrupted)
    result = call("train", experiment, "--out", experiment.parent / "run")
    assert result.exit_code == 130
    assert "train RUN_DIRECTORY --resume" in result.stderr


@pytest.mark.parametrize(
    ("command", "words"),
    [("train", ["place of [data]", "[default: runs/<name>]"]), ("evaluate", ["[default: the run's own]"])],
)
def test_words_in_brackets_are_no_markup(call: Call, command: str, words: list[str]) -> None:
    shown = " ".join(call(command, "--help").stdout.replace("│", " ").split())
    for word in words:
        assert word in shown


def test_a_full_disk_is_one_line_that_names_the_file(
    call: Call, experiment: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*arguments: object, **options: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", "runs/x/metrics.jsonl")

    monkeypatch.setattr(run, "run_experiment", full)
    result = call("train", experiment, "--out", experiment.parent / "run")
    assert result.exit_code == 2
    assert result.stderr.startswith("error: runs/x/metrics.jsonl: No space left on device; free some space")
    assert result.stderr.count("\n") == 1


def test_interrupting_what_is_no_run_names_no_resume(
    call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*arguments: object, **options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(datafiles, "render_persons", interrupted)
    result = call("data", "render", tmp_path / "x.h5")
    assert result.exit_code == 130
    assert result.stderr == "interrupted\n"
