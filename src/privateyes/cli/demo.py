"""`privateyes demo`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def command(
    out: Annotated[Path, typer.Option(metavar="DIR", help="The run's directory.")] = Path("runs/demo"),
) -> None:
    """Render synthetic eyes, train with six methods, show table and page; under three minutes.

    Nothing is downloaded. A demo that was stopped goes on where it was; delete its directory to start anew.

    Exit codes:

    - 0: the demo is finished.
    - 2: the directory cannot be used.

    Example: privateyes demo --out runs/demo
    """
    from privateyes.cli.interruption import work_that_goes_on
    from privateyes.cli.progress import choose_observer
    from privateyes.cli.tables import print_outcome
    from privateyes.experiments.locate import demo_experiment
    from privateyes.experiments.report import write_report
    from privateyes.experiments.run import run_experiment

    with work_that_goes_on("go on with the same command"):
        with choose_observer() as observer:
            results = run_experiment(demo_experiment(), out, observer, resume=True)
        print_outcome(results, out, write_report(out))
