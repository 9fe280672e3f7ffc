from __future__ import annotations

import io

import pytest
from rich.console import Console
from rich.progress import Progress, TextColumn

from privateyes.cli import pace
from privateyes.cli.counting import CountingBar, CountingLines


def test_a_bar_shows_how_many_are_done(monkeypatch: pytest.MonkeyPatch) -> None:
    text = io.StringIO()
    columns = TextColumn("{task.description} {task.completed} of {task.total}")
    with Progress(columns, console=Console(file=text, force_terminal=True, width=80)) as progress:
        count = CountingBar(progress, "persons tested")
        count(2, 5)
    assert "persons tested 2 of 5" in text.getvalue()


def test_without_a_terminal_a_line_comes_once_a_minute_with_the_time_left(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(pace, "perf_counter", lambda: now[0])
    text = io.StringIO()
    count = CountingLines(Console(file=text), "persons tested")
    for done in range(4):
        count(done, 10)
        now[0] += 31
    count.beat()
    assert text.getvalue().splitlines() == [
        "persons tested: 2 of 10; about 4 min left",
        "persons tested: 3 of 10; about 5 min left",
    ]


def test_where_nobody_knows_how_many_there_are_only_what_is_done_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(pace, "perf_counter", lambda: now[0])
    text = io.StringIO()
    count = CountingLines(Console(file=text), "pictures done")
    now[0] += 70
    count(64, 0)
    assert text.getvalue() == "pictures done: 64\n"
