"""`privateyes calibrate`."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class Adaptation(StrEnum):
    """How a calibration corrects the shared model."""

    ridge = "ridge"
    offset = "offset"
    last_layer = "last_layer"
    all = "all"


class Placement(StrEnum):
    """Which samples are the calibration samples."""

    spread = "spread"
    random = "random"


class Eyes(StrEnum):
    """Which samples are calibrated together."""

    auto = "auto"
    halves = "halves"
    together = "together"


def command(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run's directory.")],
    method: Annotated[str | None, typer.Option(help=r"Whose model. \[default: the experiment's last method]")] = None,
    fold: Annotated[str | None, typer.Option(help=r"Of which fold. \[default: all folds]")] = None,
    persons: Annotated[
        str | None, typer.Option(metavar="NAME,NAME", help=r"Whom to calibrate. \[default: all test persons]")
    ] = None,
    k: Annotated[
        str | None, typer.Option(metavar="1,5,9", help=r"Labelled images of each eye. \[default: 1,5,9]")
    ] = None,
    adapt: Annotated[Adaptation | None, typer.Option(help=r"What is adapted. \[default: ridge]")] = None,
    placement: Annotated[Placement | None, typer.Option(help=r"Where they look. \[default: spread]")] = None,
    eyes: Annotated[Eyes | None, typer.Option(help=r"Eyes separately, or together. \[default: auto]")] = None,
    draws: Annotated[int | None, typer.Option(min=1, help=r"Random draws of the images. \[default: 20]")] = None,
) -> None:
    """Show what a few labelled images of a new person are worth.

    Draws k images of each test person, corrects the shared model with them, and measures the error on the person's
    other images. Everything happens on the person's own data; the shared model is not changed, and nothing is sent.
    Defaults are those of \\[calibration] in the run's experiment, if there is one.

    Exit codes:

    - 0: calibrated.
    - 2: run, data or options cannot be used.

    Example: privateyes calibrate runs/demo --method private --k 1,5,9

    Example: privateyes calibrate runs/demo --adapt offset --persons r06 --eyes halves
    """
    from privateyes.cli.counting import choose_counter
    from privateyes.experiments.calibrate import calibrate_run, chosen_settings, write_calibration
    from privateyes.tasks.gaze.commands.calibration_table import print_calibration

    settings = chosen_settings(
        run,
        k=k,
        adapt=adapt and adapt.value,
        placement=placement and placement.value,
        eyes=eyes and eyes.value,
        draws=draws,
    )
    names = None if persons is None else [name.strip() for name in persons.split(",") if name.strip()]
    with choose_counter("persons calibrated") as tell:
        report = calibrate_run(run, settings, method, fold, names, tell)
    print_calibration(report, write_calibration(run, report))
