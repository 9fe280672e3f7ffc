"""`privateyes compare`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from privateyes.experiments.compare.run import Outcome


def command(
    experiment: Annotated[
        Path,
        typer.Argument(
            metavar="EXPERIMENT", help="A TOML file; with --resume or --table also a comparison's directory."
        ),
    ],
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help=r"The comparison's directory. \[default: runs/compare-<name>]")
    ] = None,
    data: Annotated[
        Path | None, typer.Option(metavar="FILE.h5", help=r"Use this data file in place of \[data].")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Continue a comparison that was stopped.")] = False,
    table: Annotated[
        bool, typer.Option("--table", help="Train nothing: show what the directory holds, and write its files again.")
    ] = False,
    check: Annotated[bool, typer.Option("--check", help=r"Exit with 1 where a relation does not hold.")] = False,
    quick: Annotated[bool, typer.Option("--quick", help="Two rounds, two folds, few images: does it work?")] = False,
    pictures: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Also write the charts as PNG, light and dark.")
    ] = None,
) -> None:
    """Train every method for several seeds and all folds, with equal budgets, and say how they compare.

    Each seed and fold is an ordinary run below DIR/seed-N/; as many go on at a time as there are cores.
    It may be killed at any moment; --resume continues it with the same result.

    Exit codes:

    - 0: everything ran.
    - 1: a run failed, or with --check a relation does not hold.
    - 2: data, configuration or directory cannot be used, or every run failed.

    Example: privateyes compare examples/mpiigaze_crops.toml --out runs/crops

    Example: privateyes compare runs/crops --table --check
    """
    from functools import partial

    from privateyes.cli.comparison_progress import choose_observer
    from privateyes.cli.interruption import by_resuming, work_that_goes_on
    from privateyes.experiments.compare.folder import EXPERIMENT, locate_comparison
    from privateyes.experiments.compare.run import read_comparison, run_comparison

    spec, folder = locate_comparison(experiment, out, data, resume or table, quick)
    if table:
        outcome = read_comparison(spec, folder)
    else:
        how = partial(by_resuming, "comparison", "compare", folder.path, EXPERIMENT)
        with work_that_goes_on(how), choose_observer() as observer:
            outcome = run_comparison(spec, folder, observer, resume)
    _show(outcome, folder.path, pictures, check)


def _show(outcome: Outcome, folder: Path, pictures: Path | None, check: bool) -> None:
    """Print what came of it, and end with the exit code that says it."""
    from privateyes.cli.comparison_tables import print_comparison, print_failures
    from privateyes.experiments.compare.pictures import write_pictures
    from privateyes.experiments.compare.relations import require_relations

    if outcome.results is not None:
        print_comparison(outcome.results, folder)
        if pictures is not None:
            for path in write_pictures(pictures, outcome.results):
                typer.echo(path)
    print_failures(outcome.failures, outcome.results is not None)
    if outcome.failures and outcome.results is None:
        raise typer.Exit(2)
    if outcome.failures or (check and not require_relations(outcome.results)):
        raise typer.Exit(1)
