from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from privateyes.experiments.compare.dispatch import _Teller, run_all, tidy
from privateyes.experiments.compare.folder import ComparisonFolder
from privateyes.experiments.compare.plan import SubRun, plan_runs, settings_of
from privateyes.experiments.compare.run import run_comparison
from privateyes.experiments.record import exclusive
from privateyes.experiments.spec import ExperimentSpec
from privateyes.experiments.spec_tables import Compare

Make = Callable[..., ExperimentSpec]
HELD_OUT = 'test_persons = ["p03", "p04"]'


def test_a_run_that_fails_is_named_and_the_others_go_on(
    comparison_spec: Make, tmp_path: Path, compare_listener: Any
) -> None:
    spec = comparison_spec(methods='["federated"]', split=HELD_OUT, rounds=1)
    held = tmp_path / "c" / "seed-2" / "all"
    folder = ComparisonFolder(tmp_path / "c")
    folder.begin(spec, ["all"], 2)
    held.mkdir(parents=True)
    with exclusive(held):
        outcome = run_comparison(spec, folder, compare_listener, resume=True)
    assert [(failure.run.name, "another process" in failure.problem) for failure in outcome.failures] == [
        ("seed 2", True)
    ]
    assert outcome.results is not None
    assert outcome.results["seeds"] == [1, 3]
    (missing,) = outcome.results["runs"]["missing"]
    assert "another process is working in" in missing["problem"]
    assert {entry[1] for entry in compare_listener.of("finished")} == {"seed 1", "seed 3"}
    # and the remedy helps
    assert not run_comparison(spec, folder, compare_listener, resume=True).failures


def test_a_run_with_a_damaged_checkpoint_fails_alone(
    comparison_spec: Make, tmp_path: Path, compare_listener: Any
) -> None:
    spec = comparison_spec(methods='["federated"]', split=HELD_OUT, rounds=1)
    runs = plan_runs(spec, ["all"], tmp_path, None)
    damaged = runs[0].directory / "checkpoints" / "all" / "federated.safetensors"
    assert run_all(runs[:1], 1, Compare(), compare_listener) == []
    (runs[0].directory / "results.json").unlink()
    damaged.write_bytes(b"no checkpoint")
    failures = run_all(runs[:2], 1, Compare(), compare_listener)
    assert [failure.run.name for failure in failures] == ["seed 1"]
    assert "federated.safetensors" in failures[0].problem
    assert compare_listener.of("finished")[-1] == ("finished", "seed 2")


class _Killer:
    """Kills the process that does a run, once, as soon as the run has a round."""

    def __init__(self, listener: Any, victim: str) -> None:
        self._listener, self._victim, self.killed = listener, victim, 0

    def round_done(self, name: str, line: Any) -> None:
        self._listener.round_done(name, line)
        if name == self._victim and not self.killed:
            (process,) = multiprocessing.active_children()
            self.killed = process.pid or 0
            os.kill(self.killed, signal.SIGKILL)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._listener, name)


def test_a_process_that_dies_takes_no_other_run_with_it(
    comparison_spec: Make, tmp_path: Path, compare_listener: Any
) -> None:
    spec = comparison_spec(methods='["federated"]', split=HELD_OUT, rounds=40)
    runs = plan_runs(spec, ["all"], tmp_path, None)
    killer = _Killer(compare_listener, "seed 1")
    failures = run_all(runs, 1, Compare(), killer)
    assert killer.killed
    assert [failure.run.name for failure in failures] == ["seed 1"]
    assert "ended unexpectedly (exit code -9)" in failures[0].problem
    assert [entry[1] for entry in compare_listener.of("finished")] == ["seed 2", "seed 3"]
    assert multiprocessing.active_children() == []
    assert run_all(runs[:1], 1, Compare(), compare_listener) == []


class _Interrupting:
    """Ctrl-C in the middle of it."""

    def __init__(self, listener: Any) -> None:
        self._listener = listener

    def round_done(self, name: str, line: Any) -> None:
        raise KeyboardInterrupt

    def __getattr__(self, name: str) -> Any:
        return getattr(self._listener, name)


def test_an_interrupt_ends_all_processes(comparison_spec: Make, tmp_path: Path, compare_listener: Any) -> None:
    spec = comparison_spec(methods='["federated"]', split=HELD_OUT, rounds=1000)
    with pytest.raises(KeyboardInterrupt):
        run_all(plan_runs(spec, ["all"], tmp_path, None), 2, Compare(), _Interrupting(compare_listener))
    assert multiprocessing.active_children() == []


@pytest.mark.parametrize("kept", [True, False])
def test_only_what_may_go_is_deleted(comparison_spec: Make, tmp_path: Path, kept: bool) -> None:
    names = ["results.json", "metrics.jsonl", "checkpoints/all/private.safetensors"]
    names += ["aggregation/all/private/manifest.toml", "aggregation/all/private/transcripts/000.jsonl"]
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x")
    spec = comparison_spec(compare=f"keep_checkpoints = {str(kept).lower()}\nkeep_records = {str(kept).lower()}")
    tidy(SubRun(1, "all", spec, tmp_path), settings_of(spec))
    left = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()}
    gone = set() if kept else {names[2], names[4]}
    assert left == set(names) - gone


def test_a_round_that_was_not_evaluated_is_told_without_an_error() -> None:
    ours, theirs = multiprocessing.Pipe()
    line = {"fold": "all", "method": "federated", "round": 1, "rounds": 2, "seconds": 0.5}
    with ours, theirs:
        for more in ({}, {"mean_error": 7.5}):
            _Teller(theirs).round_done({**line, **more})
            assert ours.recv().content == {"fold": "all", "method": "federated", "round": 1, "rounds": 2, **more}
