from __future__ import annotations

import errno
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import cast

import click
import pytest
from click.testing import Result
from typer.main import get_command

from privateyes import __version__
from privateyes.cli import main, records
from privateyes.cli.interruption import Terminated
from privateyes.experiments import run
from privateyes.experiments.record import EXPERIMENT
from privateyes.tasks.gaze import datafiles

Call = Callable[..., Result]


def commands_of(group: click.Group, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Every command below a group, with the groups."""
    yield path
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from commands_of(command, (*path, name))
        else:
            yield (*path, name)


def found(path: tuple[str, ...]) -> click.Command:
    command: click.Command = get_command(main.app)
    for name in path:
        assert isinstance(command, click.Group)
        command = command.commands[name]
    return command


EVERY = list(commands_of(cast(click.Group, get_command(main.app))))
LEAVES = [path for path in EVERY if not isinstance(found(path), click.Group)]
_MARKUP = re.compile(r"\[/?(?:bold)?]")


def test_help_lists_what_tasks_bring_among_the_other_commands() -> None:
    assert list(cast(click.Group, found(())).commands) == [
        "demo", "train", "compare", "mpc", "evaluate", "calibrate", "predict", "export", "report", "clean", "models",
        "data", "task", "transcript",
    ]  # fmt: skip


@pytest.mark.parametrize("command", EVERY, ids=" ".join)
def test_every_command_explains_itself(call: Call, command: tuple[str, ...]) -> None:
    result = call(*command, "--help")
    assert result.exit_code == 0
    assert "Usage:" in result.stdout
    assert len(result.stdout.splitlines()) > 5


def described(call: Call, command: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, columns: int = 80) -> list[str]:
    """The lines of a command's help between its usage and its arguments."""
    monkeypatch.setenv("COLUMNS", str(columns))
    lines = [line.strip() for line in call(*command, "--help").stdout.splitlines()]
    return lines[: next(index for index, line in enumerate(lines) if line.startswith("╭"))]


@pytest.mark.parametrize("command", EVERY, ids=" ".join)
def test_help_breaks_no_line_where_80_columns_hold_the_next_word(
    call: Call, command: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    for line, following in pairwise(described(call, command, monkeypatch)):
        if line and following and not following.startswith("- "):
            assert len(f"{line} {following.split()[0]}") > 78, (line, following)


@pytest.mark.parametrize("command", LEAVES, ids=" ".join)
def test_the_help_of_every_command_lists_its_exit_codes(
    call: Call, command: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = described(call, command, monkeypatch)
    codes = [line[:4] for line in lines[lines.index("Exit codes:") :] if line.startswith("- ")]
    assert codes in (["- 0:", "- 2:"], ["- 0:", "- 1:", "- 2:"])


def test_the_help_of_the_program_lists_the_codes_of_all_commands(call: Call) -> None:
    words = " ".join(call("--help").stdout.split())
    for code in ("0 done", "1 findings", "2 an error", "70 a bug", "130 interrupted", "141 nobody", "143 ended"):
        assert code in words


@pytest.mark.parametrize("command", EVERY, ids=" ".join)
def test_no_text_of_any_help_is_lost_to_markup(
    call: Call, command: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Words in brackets are styles to the library that prints help, and vanish unless they are escaped."""
    monkeypatch.setenv("COLUMNS", "300")
    shown = " ".join(call(*command, "--help").stdout.replace("│", " ").split())
    own = found(command)
    for text in (own.help, own.epilog, *(getattr(parameter, "help", None) for parameter in own.params)):
        written = " ".join(_MARKUP.sub("", (text or "")).replace("\\[", "[").split())
        assert written in shown
        assert "[/" not in written


@pytest.mark.parametrize("command", LEAVES, ids=" ".join)
def test_help_calls_arguments_what_the_usage_line_calls_them(
    call: Call, command: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    (usage,) = [line for line in described(call, command, monkeypatch, 120) if line.startswith("Usage:")]
    names = usage.partition("[OPTIONS]")[2].split()
    panel = call(*command, "--help").stdout.partition("─ Arguments ─")[2].partition("╰")[0]
    listed = [line.strip("│ ").removeprefix("*").split()[0] for line in panel.splitlines() if line.startswith("│ *")]
    assert listed == names


def test_the_program_says_what_it_trains_and_names_all_six_methods(call: Call) -> None:
    words = " ".join(call("--help").stdout.split())
    assert "Train vision models across people" in words
    assert (
        "with six methods (pooled; alone; federated, and with an adaptive server; and both of these through secure"
        in words
    )


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


@pytest.mark.parametrize(("end", "code"), [(KeyboardInterrupt, 130), (Terminated, 143)])
def test_an_interruption_names_the_command_that_continues_the_run(
    call: Call, experiment: Path, monkeypatch: pytest.MonkeyPatch, end: type[KeyboardInterrupt], code: int
) -> None:
    directory = experiment.parent / "my run"

    def interrupted(*arguments: object, **options: object) -> None:
        directory.mkdir()
        (directory / EXPERIMENT).touch()
        raise end

    monkeypatch.setattr(run, "run_experiment", interrupted)
    result = call("train", experiment, "--out", directory)
    assert result.exit_code == code
    assert result.stderr == f"interrupted: continue the run with `privateyes train '{directory}' --resume`\n"


def test_an_interruption_before_anything_was_written_names_nothing_to_continue(
    call: Call, experiment: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*arguments: object, **options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(run, "run_experiment", interrupted)
    result = call("train", experiment, "--out", experiment.parent / "run")
    assert result.stderr == "interrupted: nothing was begun; give the same command again\n"


@pytest.mark.skipif(not Path("/proc").exists(), reason="looks for processes in /proc")
@pytest.mark.parametrize(("sent", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_run_that_a_signal_ends_says_how_it_goes_on_and_leaves_no_process(
    eyes: Path, experiment_text: Callable[..., str], tmp_path: Path, sent: signal.Signals, code: int
) -> None:
    text = experiment_text(eyes, rounds=100_000).replace("workers = 1", "workers = 2")
    (tmp_path / "long.toml").write_text(text)
    program = "from privateyes.cli.main import main; main()"
    command = [sys.executable, "-c", program, "train", tmp_path / "long.toml", "--out", tmp_path / "run"]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    while not (tmp_path / "run" / "metrics.jsonl").exists():
        assert process.poll() is None
        time.sleep(0.02)
    workers = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    assert len(workers) >= 2
    process.send_signal(sent)
    _, told = process.communicate(timeout=60)
    assert process.returncode == code
    assert told.splitlines()[-1] == f"interrupted: continue the run with `privateyes train {tmp_path / 'run'} --resume`"
    assert "Traceback" not in told
    deadline = time.monotonic() + 20
    while (alive := [pid for pid in workers if Path(f"/proc/{pid}").exists()]) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not alive


def test_a_second_sigterm_ends_the_process_at_once() -> None:
    program = (
        "import os, signal\n"
        "from privateyes.cli.interruption import Terminated, sigterm_as_interruption\n"
        "with sigterm_as_interruption():\n"
        "    try: os.kill(os.getpid(), signal.SIGTERM)\n"
        "    except Terminated: os.kill(os.getpid(), signal.SIGTERM)\n"
        "    print('still here')"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout) == (-signal.SIGTERM, "")


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("train", ["place of [data]", "[default: runs/<name>]"]),
        ("evaluate", ["[default: the run's own]"]),
    ],
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
