"""`privateyes train`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def command(
    experiment: Annotated[
        Path, typer.Argument(metavar="EXPERIMENT", help="A TOML file, or with --resume also a run's directory.")
    ],
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help=r"The run's directory. \[default: runs/<name>]")
    ] = None,
    data: Annotated[
        Path | None, typer.Option(metavar="FILE.h5", help=r"Use this data file in place of \[data].")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Continue a run that was stopped.")] = False,
) -> None:
    """Train the methods that an experiment file names, and write table and page.

    A run is a directory: frozen configuration, environment, metrics, checkpoints, results, report.html.
    It may be killed at any moment; --resume continues it with the same result.

    Exit codes:

    - 0: the run is finished.
    - 2: experiment, data or directory cannot be used, or training stopped.

    Example: privateyes train examples/synthetic_lenet.toml --out runs/first

    Example: privateyes train runs/first --resume
    """
    from functools import partial

    from privateyes.cli.interruption import by_resuming, work_that_goes_on
    from privateyes.cli.progress import choose_observer
    from privateyes.cli.tables import print_outcome
    from privateyes.experiments.locate import locate_experiment
    from privateyes.experiments.record import EXPERIMENT
    from privateyes.experiments.report import write_report
    from privateyes.experiments.run import run_experiment

    spec, directory = locate_experiment(experiment, out, data, resume)
    with work_that_goes_on(partial(by_resuming, "run", "train", directory, EXPERIMENT)):
        with choose_observer() as observer:
            results = run_experiment(spec, directory, observer, resume)
        print_outcome(results, directory, write_report(directory))
