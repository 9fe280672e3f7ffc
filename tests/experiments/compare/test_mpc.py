from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from privateyes.baselines.mpc.costs import Cost
from privateyes.errors import ConfigError, EngineError
from privateyes.experiments.compare import mpc
from privateyes.experiments.compare.folder import ComparisonFolder
from privateyes.experiments.compare.run import run_comparison
from privateyes.experiments.mpc.result import Deviation, MpcResult
from privateyes.experiments.spec import ExperimentSpec
from privateyes.experiments.spec_tables import Mpc

Make = Callable[..., ExperimentSpec]
COST = Cost(
    what="32 samples",
    network="perceptron",
    parameters=560,
    batch_size=8,
    steps=4,
    seconds_per_step=0.5,
    seconds=2.0,
    cpu_s_per_step=1.5,
    bytes_per_step=1e5,
    bytes_per_party=4e5,
    messages_per_step=30.0,
    extrapolated=False,
)


def _result(fold: str, errors: dict[str, float]) -> MpcResult:
    return MpcResult(
        digest="d",
        fold=fold,
        engine="an engine",
        protocol="aby3",
        parties=3,
        ring_bits=64,
        fraction_bits=18,
        threat_model="semi-honest",
        network="perceptron",
        parameters=560,
        samples={"p02": 16, "p03": 16},
        epochs=1,
        unit="deg",
        errors=errors,
        counterpart_errors=errors,
        shaken_errors=errors,
        guess_errors=errors,
        deviation=Deviation(1e-4, 1e-5, 0.1),
        measured=COST,
        setup_s=1.0,
        total_s=4.0,
        share_bytes=10,
        cpu_s=(1.0,) * 3,
        peak_memory_bytes=(1,) * 3,
        cores=2,
        extrapolated=(replace(COST, extrapolated=True, formula="x 100", seconds=200.0),),
    )


def _store(folder: Path, result: MpcResult) -> None:
    target = folder / "mpc" / result.fold
    target.mkdir(parents=True)
    (target / "mpc.json").write_text(json.dumps(result.as_json()))


def test_errors_are_over_the_persons_of_all_folds_and_extrapolations_are_marked(tmp_path: Path) -> None:
    _store(tmp_path, _result("p00", {"p00": 6.0}))
    _store(tmp_path, _result("p01", {"p01": 8.0}))
    found = mpc.compile_mpc(tmp_path, ["p00", "p01"], None)
    assert found["problem"] is None
    assert (found["errors"]["mean"], found["errors"]["persons"]) == (7.0, 2)
    assert found["measured"]["extrapolated"] is False
    assert [(cost["extrapolated"], cost["formula"]) for cost in found["extrapolated"]] == [(True, "x 100")]


def test_folds_that_are_missing_are_said(tmp_path: Path) -> None:
    _store(tmp_path, _result("p00", {"p00": 6.0}))
    assert mpc.compile_mpc(tmp_path, ["p00", "p01"], None)["problem"] == "1 of 2 folds are trained"
    assert mpc.compile_mpc(tmp_path, ["p00", "p01"], "no disk")["problem"] == "no disk"


def test_without_an_environment_the_rest_stands_and_the_row_says_why(
    comparison_spec: Make, tmp_path: Path, compare_listener: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> None:
        raise EngineError("the locked environment cannot be made", "connect to a network")

    monkeypatch.setattr(mpc, "run_mpc", refuse)
    spec = comparison_spec(methods='["federated", "mpc"]', split='test_persons = ["p03", "p04"]', rounds=1)
    outcome = run_comparison(spec, ComparisonFolder(tmp_path / "c"), compare_listener)
    assert not outcome.failures
    assert outcome.results is not None
    assert [entry["method"] for entry in outcome.results["methods"]] == ["federated"]
    assert "the locked environment cannot be made" in outcome.results["mpc"]["problem"]
    assert any("the locked environment cannot be made" in str(entry) for entry in compare_listener.of("note"))
    page = (tmp_path / "c" / "comparison.html").read_text()
    assert "Nothing was measured: the locked environment cannot be made" in page


def test_what_mpc_would_refuse_in_the_end_is_refused_before_anything_is_trained(
    comparison_spec: Make, tmp_path: Path, compare_listener: Any
) -> None:
    spec = comparison_spec(methods='["federated", "mpc"]', split='test_persons = ["p03", "p04"]', rounds=1)
    spec = spec.model_copy(update={"mpc": Mpc(probe_batches=[4, 4])})
    with pytest.raises(ConfigError, match=r"mpc\.probe_batches = \[4, 4\] are not two different batch sizes"):
        run_comparison(spec, ComparisonFolder(tmp_path / "c"), compare_listener)
    assert not (tmp_path / "c").exists()
