from __future__ import annotations

import io

import pytest
from rich.console import Console
from rich.progress import Progress, TextColumn

from privateyes.cli import comparison_progress
from privateyes.cli.comparison_progress import Bars, PlainLines


def _line(number: int) -> dict[str, object]:
    return {"method": "federated", "round": number, "rounds": 2, "mean_error": 7.5}


def test_plain_lines_say_what_is_left() -> None:
    written = io.StringIO()
    lines = PlainLines(Console(file=written, width=200))
    lines.planned(3, 1, 6, 2)
    lines.run_started("seed 2", 2)
    lines.round_done("seed 2", _line(1))
    lines.round_done("seed 2", _line(2))
    lines.run_finished("seed 2", 4.0)
    lines.run_started("seed 3", 2)
    lines.run_failed("seed 3", "the disk is [full]")
    assert written.getvalue().splitlines() == [
        "3 runs, 1 of them finished; 4 of 6 rounds to do",
        "seed 2: begins",
        "seed 2: finished in 4.0 s (2 of 3; 2 rounds left)",
        "seed 3: begins",
        "failed: seed 3: the disk is [full]",
    ]


def test_a_long_run_is_heard_of_once_a_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]
    monkeypatch.setattr(comparison_progress, "perf_counter", lambda: clock[0])
    written = io.StringIO()
    lines = PlainLines(Console(file=written, width=200))
    lines.planned(1, 0, 100, 0)
    lines.run_started("seed 1", 100)
    for number in range(10):
        clock[0] += 31.0
        lines.round_done("seed 1", _line(number))
    told = [line for line in written.getvalue().splitlines() if "round" in line and "min left" in line]
    assert len(told) == 5
    assert told[0] == "seed 1: federated, round 1 of 2; about 51 min left"


def test_bars_come_and_go_and_the_whole_counts_every_round() -> None:
    written = io.StringIO()
    console = Console(file=written, force_terminal=True, width=120, color_system=None)
    with Progress(TextColumn("{task.description} {task.fields[state]}"), console=console) as progress:
        bars = Bars(progress)
        bars.planned(3, 1, 6, 2)
        for name in ("seed [x]", "seed 3"):
            bars.run_started(name, 2)
        bars.round_done("seed [x]", _line(1))
        bars.round_done("seed [x]", _line(2))
        assert [task.description for task in progress.tasks] == ["all runs", r"seed \[x]", "seed 3"]
        bars.run_finished("seed [x]", 1.0)
        bars.run_failed("seed 3", "lost")
        bars.step_done("p00", 3, 9)
        whole, generic = progress.tasks
        assert (whole.completed, whole.total) == (6, 6)
        assert whole.fields["state"] == "2 of 3 runs, 1 failed"
        assert (generic.completed, generic.total) == (3, 9)
    assert "failed: seed 3: lost" in written.getvalue()


def test_a_bar_keeps_the_last_error_of_the_method_that_a_run_is_at() -> None:
    console = Console(file=io.StringIO(), force_terminal=True)
    with Progress(TextColumn("{task.description}"), console=console) as progress:
        bars = Bars(progress)
        bars.planned(1, 0, 4, 0)
        bars.run_started("seed 1", 4)
        shown = []
        for method, error in (("local", {}), ("local", {"mean_error": 7.5}), ("local", {}), ("federated", {})):
            bars.round_done("seed 1", {"method": method, "round": 1, "rounds": 2, **error})
            shown.append(progress.tasks[1].fields["state"])
    assert shown == ["local", "local 7.50", "local 7.50", "federated"]
