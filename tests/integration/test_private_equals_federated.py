"""`private` is `federated` with other words on the wire: end to end, through the experiment's own door."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from privateyes.experiments.record import RunDirectory
from privateyes.experiments.run import run_experiment
from privateyes.experiments.spec import parse_spec

PAIRS = ("federated", "private", "fedadam", "private-fedadam", "fedavgm", "private-fedavgm")


class Silent:
    """An observer that does not look."""

    def note(self, text: str) -> None: ...
    def planned(self, rounds: int, done: int) -> None: ...
    def method_started(self, fold: str, method: str, done: int, rounds: int) -> None: ...
    def round_done(self, line: Any) -> None: ...
    def method_finished(self, fold: str, method: str) -> None: ...


@pytest.fixture(scope="module", params=["compact", "wide"])
def both(request: Any, tmp_path_factory: Any, eyes: Path, experiment_text: Callable[..., str]) -> tuple[str, Path, Any]:
    """The field, the directory and the results of one run of both methods."""
    text = experiment_text(eyes, json.dumps(list(PAIRS)), rounds=4, tail=f'[aggregation]\nfield = "{request.param}"\n')
    directory = tmp_path_factory.mktemp(request.param) / "run"
    spec = parse_spec(text, "test", directory.parent)
    return request.param, directory, run_experiment(spec, directory, Silent())


def test_every_round_of_private_stays_within_the_bound(both: tuple[str, Path, Any]) -> None:
    _, directory, results = both
    rounds = [line for line in RunDirectory(directory).read_metrics() if line["method"].startswith("private")]
    assert len(rounds) == 3 * 4
    for line in rounds:
        details = line["details"]
        weight = details["total_weight"]
        rounding = len(details["roster"]) / (weight * 2 ** details["scale_bits"])
        assert details["deviation"] < details["deviation_bound"] <= rounding + 1e-15
    assert results["equality"]["ratio"] < 1


@pytest.mark.parametrize(("clear", "secure"), list(zip(PAIRS[::2], PAIRS[1::2], strict=True)))
def test_both_methods_end_with_the_same_model(both: tuple[str, Path, Any], clear: str, secure: str) -> None:
    field, directory, results = both
    run = RunDirectory(directory)
    federated, private = (run.read_checkpoint("all", method) for method in (clear, secure))
    assert federated is not None
    assert private is not None
    if field == "wide":
        assert private.state().vector.tobytes() == federated.state().vector.tobytes()
        assert results["equality"]["error_difference"] == 0
    else:
        assert abs(private.state().vector - federated.state().vector).max() < 1e-4
    for ours, theirs in zip(private.moments, federated.moments, strict=True):
        assert abs(ours - theirs).max() < (1e-9 if field == "wide" else 1e-5)


def test_the_replayed_alteration_is_refused_by_every_client_and_the_honest_control_by_none(
    both: tuple[str, Path, Any],
) -> None:
    _, _, results = both
    replay = results["replay"]
    assert replay["control_accepted"] == ["p00", "p01", "p02"]
    assert [verdict["client"] for verdict in replay["verdicts"]] == ["p00", "p01", "p02"]
    assert all(verdict["refused"] and verdict["reason"].startswith("tag check") for verdict in replay["verdicts"])


def test_the_parties_keys_are_gone_and_the_transcripts_stay(both: tuple[str, Path, Any]) -> None:
    _, directory, _ = both
    kept = sorted(path.name for path in (directory / "aggregation" / "all" / "private").rglob("*") if path.is_file())
    assert kept.pop(0) == "ended.json"  # the ids of stores that were here, and no key
    assert kept[0] == "manifest.toml"
    rounds = [f"round-{number:04d}" for number in range(1, 5)]
    assert [name[:10] for name in kept[1:5]] == rounds
    assert kept[5:] == ["settings.json", "setup.jsonl"]
    assert not list(directory.glob("replay-*"))
