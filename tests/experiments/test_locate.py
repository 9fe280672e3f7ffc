from __future__ import annotations

from pathlib import Path

import pytest

from privateyes.errors import ConfigError, RunDirectoryError
from privateyes.experiments.locate import demo_experiment, locate_experiment
from privateyes.experiments.record import RunDirectory


def test_a_file_runs_in_a_directory_of_its_name(finished_run: Path) -> None:
    file = finished_run / "experiment.toml"
    assert locate_experiment(file, None, None, resume=False)[1] == Path("runs/small")
    assert locate_experiment(file, Path("there"), None, resume=True)[1] == Path("there")


def test_a_runs_directory_is_enough_to_resume(finished_run: Path) -> None:
    spec, directory = locate_experiment(finished_run, None, None, resume=True)
    assert spec == RunDirectory(finished_run).read_spec()
    assert directory == finished_run


def test_a_directory_without_resume_is_refused(finished_run: Path) -> None:
    with pytest.raises(ConfigError, match="add --resume"):
        locate_experiment(finished_run, None, None, resume=False)


def test_a_run_cannot_be_resumed_elsewhere_or_on_other_data(finished_run: Path) -> None:
    for out, data in ((Path("x"), None), (None, Path("x.h5"))):
        with pytest.raises(RunDirectoryError, match="already fixes"):
            locate_experiment(finished_run, out, data, resume=True)


def test_the_demo_trains_each_secure_method_beside_its_counterpart() -> None:
    spec = demo_experiment()
    assert spec.methods == ["centralised", "local", "federated", "adaptive", "private", "private-adaptive"]
    assert spec.data.synthetic is not None
