"""An experiment's trainings under MPC, fold after fold, in a directory of their own."""

from __future__ import annotations

from pathlib import Path

from privateyes.baselines.mpc.driver import Launcher
from privateyes.errors import RunDirectoryError
from privateyes.experiments.mpc.plan import plan_mpc
from privateyes.experiments.mpc.result import MpcResult
from privateyes.experiments.mpc.run import MpcObserver, run_mpc
from privateyes.experiments.prepare import prepare
from privateyes.experiments.record import exclusive
from privateyes.experiments.spec import ExperimentSpec
from privateyes.experiments.synthetic import data_of, make_data


def run_mpc_experiment(
    spec: ExperimentSpec, directory: Path, observer: MpcObserver, launcher: Launcher | None = None
) -> list[MpcResult]:
    """Train every fold under MPC, each below the directory in a folder of its name; finished folds are read.

    Args:
        spec: the experiment.
        directory: of the results; made if it is not there.
        observer: is told how it goes.
        launcher: as for `run_mpc`.

    Returns:
        One result for each fold.

    Raises:
        UsageError: as for `run_mpc`, or the experiment does not fit its data.
        RunDirectoryError: the directory cannot be used, or holds results of another experiment.
    """
    preparation = prepare(spec)
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunDirectoryError(f"{directory} cannot be made ({error.strerror})", "choose another --out") from error
    with exclusive(directory):
        make_data(spec, directory, observer.note)
        jobs = plan_mpc(preparation, data_of(spec, directory))
        return [run_mpc(job, directory / job.fold.name, observer, launcher) for job in jobs]
