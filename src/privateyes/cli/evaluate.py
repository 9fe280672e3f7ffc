"""`privateyes evaluate`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def command(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run's directory.")],
    method: Annotated[str | None, typer.Option(help=r"Whose model. \[default: the experiment's last method]")] = None,
    fold: Annotated[str | None, typer.Option(help=r"Of which fold. \[default: the first]")] = None,
    data: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.h5",
            help=r"Other data, of which every image is tested. \[default: the run's own]",
        ),
    ] = None,
    persons: Annotated[
        str | None,
        typer.Option(metavar="NAME,NAME", help=r"Whom to test. \[default: the fold's test persons, or all of --data]"),
    ] = None,
    pose: Annotated[str | None, typer.Option(hidden=True)] = None,
) -> None:
    """Test a run's model, person by person.

    In the run's own data the same images are tested as in the run: at most data.image_limit of each person, if its
    experiment sets that. Of a file that --data names, all are.

    Errors need labels, so only data files are read; a model that takes the head's pose finds it there, too. Tables of
    poses are for pictures: privateyes predict.

    Exit codes:

    - 0: tested.
    - 2: run, data or options cannot be used.

    Example: privateyes evaluate runs/demo --method private

    Example: privateyes evaluate runs/demo --data others.h5 --persons s10,s11
    """
    from privateyes.cli.counting import choose_counter
    from privateyes.cli.tables import print_evaluation
    from privateyes.errors import ConfigError
    from privateyes.experiments.evaluate import evaluate_run

    if pose is not None or (data is not None and data.suffix.lower() in (".csv", ".tsv")):
        problem = (
            f"{data if pose is None else '--pose'}: evaluate reads no tables, since they hold no images and labels"
        )
        remedy = (
            "name a data file (.h5) that holds pose beside image and gaze; for pictures and a table: privateyes predict"
        )
        raise ConfigError(problem, remedy)
    names = None if persons is None else [name.strip() for name in persons.split(",") if name.strip()]
    with choose_counter("persons tested") as tell:
        evaluation = evaluate_run(run, method, fold, data, names, tell)
    print_evaluation(evaluation)
