from __future__ import annotations

import io

import pytest
from rich.console import Console

from privateyes.cli import pace
from privateyes.cli.pace import Lines, Pace, in_words


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(pace, "perf_counter", made)
    return made


@pytest.mark.parametrize(("seconds", "said"), [(0.2, "0 s"), (40, "40 s"), (170, "3 min"), (7500, "2 h 5 min")])
def test_times_are_told_in_words(seconds: float, said: str) -> None:
    assert in_words(seconds) == said


def test_the_time_left_follows_from_what_was_done_in_this_attempt(clock: Clock) -> None:
    paced = Pace()
    paced.begin(total=30, done=10)
    assert paced.left() == ""  # nobody knows yet
    clock.now += 120
    paced.done += 5
    assert paced.left() == "about 6 min left"
    paced.done = 30
    assert paced.left() == ""


def test_a_line_is_due_a_minute_after_the_last_one(clock: Clock) -> None:
    text = io.StringIO()
    lines = Lines(Console(file=text))
    clock.now += 59
    assert not lines.due()
    clock.now += 1
    assert lines.due()
    lines.write("[b]x")
    assert not lines.due()
    assert text.getvalue() == "[b]x\n"
    assert lines.age() == "1 min"
