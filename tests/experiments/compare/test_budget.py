from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from privateyes.experiments.compare.budget import budget
from privateyes.experiments.compare.measured import FinishedRun, Measured
from privateyes.experiments.compare.plan import SubRun


def measured(lines: list[dict[str, Any]]) -> Measured:
    run = FinishedRun(SubRun(1, "all", None, Path()), {"clients": {"count": 2}}, lines, {})  # type: ignore[arg-type]
    return Measured((run,), ())


@pytest.mark.parametrize(
    ("epochs", "words", "passed"),
    [(1.0, "1 local epoch,", 96), (2.0, "2 local epochs,", 192), (0.25, "0.25 local epochs,", 24)],
)
def test_passes_are_told_in_words_and_counted(epochs: float, words: str, passed: float) -> None:
    """As recorded by earlier versions, which did not count what was passed over."""
    lines = [{"method": "local", "round": number, "samples": 48} for number in (1, 2)]
    found = budget(measured(lines), ["local"], epochs)
    assert f"Equal budgets: 2 rounds of {words}" in found["note"]
    assert found["passes"] == {"local": passed}


def of_two_ways(first: int, second: int) -> dict[str, Any]:
    methods = {"federated": first, "fedprox": second}
    lines = [
        {"method": method, "round": number, "samples": 50, "passed": passed}
        for method, passed in methods.items()
        for number in (1, 2)
    ]
    return budget(measured(lines), list(methods), 1.0)


def test_what_was_counted_decides_and_not_what_the_clients_hold() -> None:
    """A straggler's share of its work is no full pass."""
    found = of_two_ways(50, 40)
    assert not found["equal"]
    assert found["passes"] == {"federated": 100.0, "fedprox": 80.0}
    assert "Unequal budgets" in found["note"]
    assert "federated 100, fedprox 80" in found["note"]


def test_whole_batches_make_budgets_differ_a_little_and_it_is_said() -> None:
    assert "the same number of samples. " in of_two_ways(1000, 1000)["note"]
    nearly = of_two_ways(1000, 1004)
    assert nearly["equal"]
    assert "but for up to 0.4 % that whole batches make" in nearly["note"]
    assert not of_two_ways(1000, 1011)["equal"]


def test_a_method_without_any_step_has_no_equal_budget() -> None:
    """All of its rounds were void."""
    assert not of_two_ways(50, 0)["equal"]
    assert of_two_ways(0, 0)["equal"]
