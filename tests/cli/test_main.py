from __future__ import annotations

import errno
import subprocess
import sys
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest
from click.testing import Result

from privateyes import __version__
from privateyes.cli import main, records
from privateyes.experiments import datafiles, run

Call = Callable[..., Result]
COMMANDS = [
    [], ["demo"], ["train"], ["evaluate"], ["predict"], ["export"], ["report"], ["clean"], ["data"], ["data", "render"],
    ["data", "check"], ["data", "merge"], ["data", "prepare"], ["task", "verify"], ["transcript", "verify"],
]  # fmt: skip


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_command_explains_itself(call: Call, command: list[str]) -> None:
    result = call(*command, "--help")
    assert result.exit_code == 0
    assert "Usage:" in result.stdout
    assert len(result.stdout.splitlines()) > 5


@pytest.mark.parametrize("command", [["task", "verify"], ["transcript", "verify"]], ids=" ".join)
def test_help_breaks_no_line_where_80_columns_hold_the_next_word(
    call: Call, command: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    lines = [line.strip() for line in call(*command, "--help").stdout.splitlines()]
    lines = lines[: next(index for index, line in enumerate(lines) if line.startswith("╭"))]
    for line, following in pairwise(lines):
        if line and following and not following.startswith("- "):
            assert len(f"{line} {following.split()[0]}") > 78, (line, following)
    assert [line[:3] for line in lines if line.startswith("- ")] == ["- 0", "- 1", "- 2"]


def test_a_bug_keeps_its_traceback_and_exits_with_no_verdicts_code(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Python's own exit code for it is 1, which `transcript verify` says of somebody's fault."""

    def broken(*arguments: object) -> None:
        raise RuntimeError("something that nobody thought of")

    monkeypatch.setattr(records, "find_record", broken)
    monkeypatch.setattr(sys, "argv", ["privateyes", "transcript", "verify", str(tmp_path)])
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    with pytest.raises(SystemExit) as ended:
        main.main()
    assert ended.value.code == 70
    told = capsys.readouterr().err
    assert "Traceback (most recent call last)" in told
    assert "RuntimeError: something that nobody thought of" in told


def test_a_reader_that_left_is_no_verdict(call: Call, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def unread(*arguments: object) -> None:
        raise BrokenPipeError(errno.EPIPE, "Broken pipe")

    monkeypatch.setattr(records, "find_record", unread)
    assert call("transcript", "verify", tmp_path).exit_code == 141


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
