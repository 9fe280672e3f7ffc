"""From the command line's words to an experiment and its directory."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from privateyes.errors import ConfigError, RunDirectoryError
from privateyes.experiments.record import RunDirectory
from privateyes.experiments.spec import ExperimentSpec, load_spec, parse_spec

_RUNS = Path("runs")


def locate_experiment(
    experiment: Path, out: Path | None, data: Path | None, resume: bool
) -> tuple[ExperimentSpec, Path]:
    """The experiment, and the directory of its run.

    Args:
        experiment: a TOML file, or, to resume, the run's directory.
        out: the run's directory; ``runs/<name>`` if None.
        data: a data file to use in place of the experiment's.
        resume: whether a run is to be continued.

    Raises:
        ConfigError: the file is missing or wrong.
        RunDirectoryError: a directory is named that holds no run, or that would have to be another one.
    """
    if not experiment.is_dir():
        if resume:
            require_file_or("run", experiment)
        spec = load_spec(experiment, data)
        return spec, _RUNS / spec.name if out is None else out
    if not resume:
        problem = f"{experiment} is a directory"
        raise ConfigError(problem, "name an experiment file, or add --resume to continue the run in this directory")
    if out is not None or data is not None:
        problem = f"{experiment} already fixes the directory and the data of its run"
        raise RunDirectoryError(problem, "leave --out and --data away")
    return RunDirectory(experiment).read_spec(), experiment


def require_file_or(what: str, named: Path) -> None:
    """Refuse what is to be continued and is neither a directory nor an experiment file.

    Args:
        what: the directory would hold, such as ``run``.
        named: on the command line.

    Raises:
        RunDirectoryError: there is nothing, and it is not called as an experiment file is.
    """
    if not named.exists() and named.suffix != ".toml":
        raise RunDirectoryError(f"{named}: there is no such {what}", f"name the directory of a {what}")


def demo_experiment() -> ExperimentSpec:
    """The packaged experiment of `privateyes demo`."""
    resource = files("privateyes.experiments") / "demo.toml"
    return parse_spec(resource.read_text(encoding="utf-8"), "demo.toml", Path())
