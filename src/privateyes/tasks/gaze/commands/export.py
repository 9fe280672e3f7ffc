"""`privateyes export`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def command(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run's directory.")],
    out: Annotated[Path, typer.Argument(metavar="OUT.onnx", help="File to write; must not be there yet.")],
    method: Annotated[str | None, typer.Option(help=r"Whose model. \[default: the experiment's last method]")] = None,
    fold: Annotated[str | None, typer.Option(help=r"Of which fold. \[default: the first]")] = None,
    client: Annotated[str | None, typer.Option(help="Whose model, where every client has its own.")] = None,
) -> None:
    """Write a run's model as an ONNX file, for programs without torch.

    Its metadata say what it takes and gives, and where it comes from. Who gets the file gets the model: whatever it
    remembers of its training data goes with it.

    Exit codes:

    - 0: the file is written.
    - 2: there is no such model, or the file cannot be written.

    Example: privateyes export runs/demo gaze.onnx --method private
    """
    from privateyes.tasks.gaze.export import export_run

    exported = export_run(run, out, method, fold, client)
    typer.echo(f"{out}: {exported.facts.source}")
    typer.echo(f"takes {', '.join(exported.facts.inputs)}; gives {exported.facts.label}")
    typer.echo(f"licence: {exported.licence}")
