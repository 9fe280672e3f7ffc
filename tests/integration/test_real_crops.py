"""A whole tiny run on real eyes: the 9x15 crops of MPIIGaze, one person left out."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from privateyes.experiments.report import write_report
from privateyes.experiments.run import run_experiment
from privateyes.experiments.spec import parse_spec

CROPS = "mpiigaze/MPIIGaze_crop9x15_p00-p09.h5"
EXPERIMENT = """
name = "crops"
methods = ["centralised", "local", "federated", "private"]
[data]
path = "${PRIVATEYES_DATA}/mpiigaze/MPIIGaze_crop9x15_p00-p09.h5"
image_limit = 24
[split]
leave_one_out = true
folds = ["p00"]
[model]
name = "resnet_preact_8"
[training]
rounds = 2
[runtime]
workers = 1
"""


class Silent:
    """An observer that does not care."""

    def note(self, text: str) -> None: ...
    def planned(self, rounds: int, done: int) -> None: ...
    def method_started(self, fold: str, method: str, done: int, rounds: int) -> None: ...
    def round_done(self, line: object) -> None: ...
    def method_finished(self, fold: str, method: str) -> None: ...


@pytest.mark.realdata
def test_a_whole_run_on_real_crops_ends_with_results_within_the_bound_and_a_page(tmp_path: Path) -> None:
    folder = os.environ.get("PRIVATEYES_DATA")
    if not folder:
        pytest.skip("PRIVATEYES_DATA does not name a folder with mpiigaze/ and synthetic_eyes/")
    if not (Path(folder) / CROPS).is_file():
        pytest.skip(f"{folder} holds no {CROPS}")
    directory = tmp_path / "run"
    results = run_experiment(parse_spec(EXPERIMENT, "crops.toml", tmp_path), directory, Silent())
    assert results["folds"] == [{"fold": "p00", "train": [f"p{i:02d}" for i in range(1, 10)], "test": ["p00"]}]
    rows = {row["method"]: row for row in results["rows"]}
    assert list(rows) == ["centralised", "local", "federated", "private"]
    assert all(set(row["per_person"]) == {"p00"} and row["mean_error"] < 60 for row in rows.values())
    equality = results["equality"]
    assert 0 < equality["largest_deviation"] <= equality["bound"]
    assert equality["error_difference"] < 0.01
    assert all(verdict["refused"] for verdict in results["replay"]["verdicts"])
    assert len(results["replay"]["verdicts"]) == 9
    assert json.loads((directory / "results.json").read_text()) == results
    assert "p00" in write_report(directory, with_pictures=False).read_text(encoding="utf-8")
    assert list((directory / "aggregation" / "p00" / "private" / "transcripts").glob("round-*.jsonl"))
    assert not list(directory.rglob("*.sqlite")), "the parties' keys outlived the run"
