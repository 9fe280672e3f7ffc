from __future__ import annotations

import io
import re
from typing import Any

import pytest
from rich.console import Console
from rich.progress import Progress, TextColumn

from privateyes.cli import pace
from privateyes.cli.progress import Bars, PlainLines
from privateyes.experiments.run import Observer


def tell(observer: Observer, **unit: str) -> None:
    observer.note("rendering")
    observer.method_started("p03", "private", 1, 2)
    line: dict[str, Any] = {"fold": "p03", "method": "private", "round": 2, "mean_error": 4.567, **unit}
    observer.round_done(line)
    observer.method_finished("p03", "private")


def test_plain_lines_tell_method_fold_error_and_time() -> None:
    text = io.StringIO()
    tell(PlainLines(Console(file=text)))
    lines = text.getvalue().splitlines()
    assert lines[:2] == ["rendering", "private without p03: 2 rounds, from round 2"]
    assert lines[2].startswith("private without p03: 4.57 degrees, ")


def test_an_error_in_centimetres_is_told_in_centimetres() -> None:
    text = io.StringIO()
    tell(PlainLines(Console(file=text)), unit="cm")
    assert "private without p03: 4.57 cm, " in text.getvalue()
    bars = io.StringIO()
    columns = TextColumn("{task.fields[error]}")
    with Progress(columns, console=Console(file=bars, force_terminal=True, width=80)) as progress:
        tell(Bars(progress), unit="cm")
    assert "4.57 cm" in bars.getvalue()


def test_one_round_is_told_in_the_singular() -> None:
    text = io.StringIO()
    PlainLines(Console(file=text)).method_started("all", "local", 0, 1)
    assert text.getvalue() == "local: 1 round\n"


def test_a_bar_moves_and_shows_the_error() -> None:
    text = io.StringIO()
    console = Console(file=text, force_terminal=True, width=80)
    with Progress(TextColumn("{task.description} {task.completed} {task.fields[error]}"), console=console) as progress:
        tell(Bars(progress))
    assert "private without p03 2" in text.getvalue()
    assert "4.57°" in text.getvalue()


def last_line(*lines: dict[str, Any], done: int = 0) -> str:
    """What plain lines end a method with."""
    text = io.StringIO()
    observer = PlainLines(Console(file=text))
    observer.method_started("all", "federated", done, 15)
    for line in lines:
        observer.round_done({"fold": "all", "method": "federated", **line})
    observer.method_finished("all", "federated")
    return re.sub(r"\d+\.\d s$", "T s", text.getvalue().splitlines()[-1])


def test_a_method_that_validation_persons_judged_ends_with_the_error_of_its_best_round() -> None:
    errors = {1: (6.0, 1), 2: (4.06, 2), 3: (3.9, 2), 4: (5.0, 2)}  # round -> error, best round so far
    lines = [{"round": n, "mean_error": error, "best_round": best} for n, (error, best) in errors.items()]
    assert last_line(*lines) == "federated: 4.06 degrees (round 2 of 4 run), T s"


def test_a_best_round_from_before_a_stop_is_named_without_its_error() -> None:
    assert last_line({"round": 9, "mean_error": 5.0, "best_round": 7}, done=8) == "federated: round 7 of 9 run, T s"


def test_the_last_known_error_is_told_where_not_every_round_is_evaluated() -> None:
    assert last_line({"round": 1, "mean_error": 5.0}, {"round": 2}) == "federated: 5.00 degrees, T s"
    judged = {"round": 2, "mean_error": 5.0, "best_round": 2}
    assert last_line({"round": 1}, judged, {"round": 3}) == "federated: 5.00 degrees (round 2 of 3 run), T s"
    assert last_line({"round": 1}) == "federated: T s"


def test_an_error_is_of_its_own_method() -> None:
    text = io.StringIO()
    lines = PlainLines(Console(file=text))
    tell(lines)
    lines.method_started("p03", "local", 0, 1)
    lines.method_finished("p03", "local")
    assert "local without p03: 0.0 s" in text.getvalue()


def test_a_bar_keeps_the_last_known_error() -> None:
    columns = TextColumn("{task.fields[error]}")
    with Progress(columns, console=Console(file=io.StringIO(), force_terminal=True)) as progress:
        bars = Bars(progress)
        bars.method_started("all", "federated", 0, 3)
        shown = []
        for line in ({"round": 1}, {"round": 2, "mean_error": 4.567}, {"round": 3}):
            bars.round_done({"fold": "all", "method": "federated", **line})
            shown.append((progress.tasks[-1].completed, progress.tasks[-1].fields["error"]))
    assert shown == [(1, ""), (2, "4.57°"), (3, "4.57°")]


def test_names_are_no_markup() -> None:
    lines, bars = io.StringIO(), io.StringIO()
    PlainLines(Console(file=lines)).note("runs/[/0]")
    assert lines.getvalue() == "runs/[/0]\n"
    columns = TextColumn("{task.description}")
    with Progress(columns, console=Console(file=bars, force_terminal=True)) as progress:
        observer = Bars(progress)
        observer.note("runs/[/0]")
        observer.method_started("p[/1]", "local", 0, 1)
    assert "runs/[/0]" in bars.getvalue()
    assert "local without p[/1]" in bars.getvalue()


def test_plain_lines_tell_once_a_minute_where_a_run_is_and_how_long_it_will_take(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = [100.0]
    monkeypatch.setattr(pace, "perf_counter", lambda: now[0])
    text = io.StringIO()
    lines = PlainLines(Console(file=text))
    now[0] += 61
    lines.beat()
    lines.planned(30, 0)
    lines.method_started("all", "federated", 0, 15)
    for number in (1, 2, 3):
        now[0] += 25
        lines.round_done({"fold": "all", "method": "federated", "round": number})
    now[0] += 30
    lines.beat()
    now[0] += 31
    lines.beat()  # a round that takes long is no reason for silence
    assert text.getvalue().splitlines() == [
        "preparing, for 1 min",
        "federated: 15 rounds",
        "federated: 3 of 15 rounds done; about 11 min left",
        "federated: 3 of 15 rounds done; about 20 min left",
    ]


def test_a_bar_over_all_methods_moves_with_every_round_and_skips_what_is_left_out() -> None:
    with Progress(console=Console(file=io.StringIO(), force_terminal=True)) as progress:
        bars = Bars(progress)
        assert [(task.description, task.total) for task in progress.tasks] == [("preparing", None)]
        bars.planned(30, 4)
        bars.method_started("all", "federated", 4, 15)
        bars.round_done({"fold": "all", "method": "federated", "round": 5})
        whole = progress.tasks[0]
        assert (whole.description, whole.completed, whole.total) == ("all methods", 5, 30)
        bars.method_finished("all", "federated")  # it stopped early
        assert whole.completed == 15
