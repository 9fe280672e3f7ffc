"""`privateyes models`."""

from __future__ import annotations


def command() -> None:
    """List the networks that an experiment can name: inputs, sizes, parameters, source.

    A torch module of your own needs no entry here: name it as "package.module:Class" (docs/own-models.md).

    Exit codes:

    - 0: listed.
    - 2: a package is missing.

    Example: privateyes models
    """
    from privateyes.cli.console import make_console
    from privateyes.cli.fitted_table import FittedTable
    from privateyes.tasks.gaze.models import MODELS, count_parameters

    table = FittedTable("model.name, as an experiment file gives it")
    table.add_column("name", wrap=False)
    for heading in ("inputs", "pictures", "learns"):
        table.add_column(heading)
    for heading in ("least size", "usual size", "parameters there"):
        table.add_column(heading, justify="right")
    table.add_column("source")
    for name, kind in MODELS.items():
        count, usual = count_parameters(kind), kind.usual_size
        table.add_row(
            name,
            ", ".join(kind.inputs),
            "grey" if kind.channels == 1 else "RGB",
            " or ".join(kind.labels),
            f"{kind.smallest_side}x{kind.smallest_side}",
            "-" if usual is None else f"{usual[0]}x{usual[1]}",
            "-" if count is None else f"{count:,}",
            kind.source or "this project",
        )
    console = make_console()
    console.print(table)
    console.print(
        "No weights are shipped or fetched: training starts from the seed. A torch module of your own is named as "
        '"package.module:Class"; see docs/own-models.md.',
        highlight=False,
        markup=False,
        soft_wrap=not console.is_terminal,
    )
