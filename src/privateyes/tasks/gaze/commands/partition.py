"""`privateyes data partition`."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class By(StrEnum):
    """Kinds of partition."""

    person = "person"
    device = "device"
    label_skew = "label_skew"
    size_skew = "size_skew"


class Law(StrEnum):
    """Laws of clients' sizes."""

    lognormal = "lognormal"
    power = "power"


def command(
    file: Annotated[Path, typer.Argument(metavar="FILE.h5", help="Data file: one group per person.")],
    by: Annotated[By, typer.Option(help="What makes a client.")] = By.person,
    clients: Annotated[int | None, typer.Option(min=1, help="Skewed: so many clients, persons pooled.")] = None,
    clients_per_person: Annotated[
        int | None, typer.Option(min=1, help="Skewed: so many of each person. Device: blocks without a column.")
    ] = None,
    alpha: Annotated[float, typer.Option(help="label_skew: concentration; small is skewed.")] = 1.0,
    size_law: Annotated[Law, typer.Option(help="size_skew: the sizes' law.")] = Law.lognormal,
    size_spread: Annotated[float, typer.Option(help="size_skew: SD of log sizes, or the power.")] = 1.0,
    minimum: Annotated[int | None, typer.Option(min=1, help=r"Fewest images of a client. \[default: 10]")] = None,
    leave_out: Annotated[str, typer.Option(metavar="NAME,NAME", help="Persons kept for testing.")] = "",
    image_limit: Annotated[int | None, typer.Option(min=1, help="As data.image_limit.")] = None,
    seed: Annotated[int, typer.Option(min=0, max=2**63 - 1, help="The experiment's seed.")] = 1,
    out: Annotated[Path | None, typer.Option(metavar="PLOT.png", help="Draw each client's gaze distribution.")] = None,
) -> None:
    """Show how \\[partition] of an experiment would divide a data file into clients.

    Skew is the share of a client's images that would have to look elsewhere to match everybody's distribution.

    Exit codes:

    - 0: divided and shown.
    - 2: the data cannot be read, or not be divided so.

    Example: privateyes data partition eyes.h5 --by label_skew --clients 12 --alpha 0.3 --out clients.png

    Example: privateyes data partition eyes.h5 --by device --clients-per-person 2
    """
    from privateyes.federation.partition import PartitionSettings
    from privateyes.tasks.gaze.clients import FileRows, draw_survey, survey_clients
    from privateyes.tasks.gaze.commands.client_table import print_clients

    settings = PartitionSettings(
        by=by.value,
        clients=clients,
        clients_per_person=clients_per_person,
        alpha=alpha,
        size_law=size_law.value,
        size_spread=size_spread,
        minimum=minimum,
    )
    names = [name.strip() for name in leave_out.split(",") if name.strip()]
    survey = survey_clients(FileRows(file, names, image_limit), settings, seed)
    print_clients(survey)
    if out is not None:
        draw_survey(survey, out)
        typer.echo(f"{out}: a panel for each client")
