from __future__ import annotations

import io
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import pytest
from rich.console import Console

from privateyes.cli import bars_or_lines, comparison_progress, mpc_tables, progress
from privateyes.tasks.gaze.commands import conversion_progress

Choice = Callable[[], AbstractContextManager[Any]]
CHOICES = [
    progress.choose_observer,
    comparison_progress.choose_observer,
    conversion_progress.choose_observer,
    mpc_tables.choose_mpc_observer,
]


@pytest.mark.parametrize("choose", CHOICES)
def test_without_a_terminal_there_are_plain_lines(choose: Choice) -> None:
    with choose() as observer:
        assert "Lines" in type(observer).__name__


@pytest.mark.parametrize("choose", CHOICES)
def test_on_a_terminal_there_are_bars(choose: Choice, monkeypatch: pytest.MonkeyPatch) -> None:
    written = io.StringIO()
    monkeypatch.setattr(bars_or_lines, "Console", lambda stderr: Console(file=written, force_terminal=stderr))
    with choose() as observer:
        assert "Bar" in type(observer).__name__
    assert "\x1b[?25h" in written.getvalue()  # the cursor is back


def test_lines_go_to_stderr_and_leave_stdout_to_results(capsys: pytest.CaptureFixture[str]) -> None:
    with progress.choose_observer() as observer:
        observer.note("rendering")
    assert capsys.readouterr() == ("", "rendering\n")


def test_names_are_no_markup(monkeypatch: pytest.MonkeyPatch) -> None:
    written = io.StringIO()
    monkeypatch.setattr(bars_or_lines, "Console", lambda stderr: Console(file=written, force_terminal=stderr))
    with mpc_tables.choose_mpc_observer() as observer:
        observer.step_done("p[/0]", 1, 2)
    assert "mpc p[/0]" in written.getvalue()


def test_lines_are_woken_where_nothing_is_heard_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    woken = threading.Event()

    class Observer:
        def __init__(self, _: Console) -> None: ...
        def beat(self) -> None:
            woken.set()

    monkeypatch.setattr(bars_or_lines, "_BEAT_S", 0.01)
    with bars_or_lines.bars_or_lines(lambda progress: progress, Observer, ()):  # type: ignore[arg-type,return-value]
        assert woken.wait(10)
    assert not any(thread.name == "privateyes-progress" for thread in threading.enumerate())
