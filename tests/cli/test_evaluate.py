from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from click.testing import Result

Call = Callable[..., Result]


def test_the_table_lists_person_by_person(call: Call, trained: tuple[Path, Result]) -> None:
    result = call("evaluate", trained[0], "--way", "local", "--persons", "p00, p04")
    assert result.exit_code == 0
    assert "local (fold all, after round 2)" in result.stdout
    assert "trained on" in next(line for line in result.stdout.splitlines() if "p00" in line)
    assert "°" in next(line for line in result.stdout.splitlines() if "p04" in line)


def test_a_way_that_was_not_trained_is_one_line(call: Call, trained: tuple[Path, Result]) -> None:
    result = call("evaluate", trained[0], "--way", "federatde")
    assert result.exit_code == 2
    assert result.stderr == "error: --way federatde: the run has no such way; did you mean federated?\n"


def test_persons_that_name_nobody_are_refused(call: Call, trained: tuple[Path, Result]) -> None:
    result = call("evaluate", trained[0], "--persons", ",")
    assert result.exit_code == 2
    assert result.stderr.startswith("error: --persons names nobody; ")
