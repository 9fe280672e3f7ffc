from __future__ import annotations

import io
from typing import Any

import pytest
from rich.console import Console
from rich.progress import Progress, TextColumn

from privateyes.cli.progress import Bars, PlainLines, choose_observer
from privateyes.experiments.run import Observer


def tell(observer: Observer, **unit: str) -> None:
    observer.note("rendering")
    observer.way_started("p03", "private", 1, 2)
    line: dict[str, Any] = {"fold": "p03", "way": "private", "round": 2, "mean_error": 4.567, **unit}
    observer.round_done(line)
    observer.way_finished("p03", "private")


def test_plain_lines_tell_way_fold_error_and_time() -> None:
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
    PlainLines(Console(file=text)).way_started("all", "local", 0, 1)
    assert text.getvalue() == "local: 1 round\n"


def test_a_bar_moves_and_shows_the_error() -> None:
    text = io.StringIO()
    console = Console(file=text, force_terminal=True, width=80)
    with Progress(TextColumn("{task.description} {task.completed} {task.fields[error]}"), console=console) as progress:
        tell(Bars(progress))
    assert "private without p03 2" in text.getvalue()
    assert "4.57°" in text.getvalue()


def test_without_a_terminal_there_are_plain_lines(capsys: pytest.CaptureFixture[str]) -> None:
    with choose_observer() as observer:
        assert isinstance(observer, PlainLines)
