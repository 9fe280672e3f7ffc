"""An experiment's trainings under MPC, fold after fold, in a directory of their own."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from privateyes.engines.mpc.driver import Launcher
from privateyes.errors import RunDirectoryError
from privateyes.experiments.mpc.plan import plan_mpc
from privateyes.experiments.mpc.result import MpcResult
from privateyes.experiments.mpc.run import MpcObserver, run_mpc
from privateyes.experiments.prepare import prepare
from privateyes.experiments.record import exclusive
from privateyes.experiments.spec import ExperimentSpec
from privateyes.tasks.gaze.dataset import write_persons
from privateyes.tasks.gaze.synthetic import render_persons
from privateyes.wording import counted

SYNTHETIC_DATA = "synthetic_eyes.h5"


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
        data = Path(spec.data.path) if spec.data.path is not None else _rendered(spec, directory, observer)
        jobs = plan_mpc(preparation, data)
        return [run_mpc(job, directory / job.fold.name, observer, launcher) for job in jobs]


def _rendered(spec: ExperimentSpec, directory: Path, observer: MpcObserver) -> Path:
    """The synthetic persons, rendered once and kept in the directory."""
    path, synthetic = directory / SYNTHETIC_DATA, spec.data.synthetic
    if synthetic is not None and not path.exists():
        for unfinished in directory.glob(f".{path.name}.*.part"):  # left behind by a kill
            with suppress(OSError):
                unfinished.unlink()
        observer.note(
            f"rendering {counted(synthetic.persons, 'person')} with "
            f"{counted(synthetic.images_per_person, 'eye image')} each"
        )
        write_persons(path, render_persons(spec.seed, synthetic.persons, synthetic.images_per_person))
    return path
