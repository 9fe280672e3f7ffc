"""`privateyes data prepare`."""

from __future__ import annotations

import enum
import re
from pathlib import Path
from typing import Annotated

import typer


class Dataset(enum.StrEnum):
    """Data sets with a converter; the names of `tasks.gaze.prepare.converter.CONVERTERS`."""

    MPIIGAZE = "mpiigaze"
    MPIIFACEGAZE = "mpiifacegaze"
    GAZECAPTURE = "gazecapture"
    NVGAZE = "nvgaze"
    ETH_XGAZE = "eth-xgaze"


class Subset(enum.StrEnum):
    """Which of a person's images."""

    EVALUATION = "evaluation"
    ALL = "all"


class Split(enum.StrEnum):
    """Parts of GazeCapture."""

    TRAIN = "train"
    VAL = "val"
    TEST = "test"


def _size(text: str | None) -> tuple[int, int] | None:
    if text is None:
        return None
    found = re.fullmatch(r"([1-9]\d{0,3})x([1-9]\d{0,3})", text)
    if not found:
        raise typer.BadParameter(f"{text!r} is no size; write height x width, such as 36x60", param_hint="--size")
    return int(found[1]), int(found[2])


def _persons(text: str | None) -> tuple[str, ...] | None:
    if text is None:
        return None
    names = tuple(name.strip() for name in text.split(","))
    if not all(names):
        raise typer.BadParameter(
            f"{text!r} is no list of names; write them with commas, such as p00,p01", param_hint="--persons"
        )
    return names


def command(
    dataset: Annotated[Dataset, typer.Argument(metavar="DATASET", help=", ".join(Dataset))],
    source: Annotated[
        Path, typer.Argument(metavar="SOURCE", help="The unpacked download; docs/data.md shows its tree.")
    ],
    out: Annotated[Path, typer.Argument(metavar="OUT.h5", help="File to write; must not be there yet.")],
    persons: Annotated[str | None, typer.Option(metavar="A,B", help="Only these persons.")] = None,
    size: Annotated[str | None, typer.Option(metavar="HxW", help="Bring all images to this size.")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="At most that many rows of each person.")] = None,
    subset: Annotated[
        Subset, typer.Option(help="MPIIGaze, NVGaze: the images that papers evaluate on, or all.")
    ] = Subset.EVALUATION,
    split: Annotated[Split | None, typer.Option(help="GazeCapture: only this part.")] = None,
    largest_blink: Annotated[
        float | None, typer.Option(min=0, max=1, help="NVGaze, synthetic: skip eyes that are closed further.")
    ] = None,
    skip_damaged: Annotated[
        bool, typer.Option("--skip-damaged", help="Name damaged files and go on, where this would stop.")
    ] = False,
) -> None:
    """Convert a gaze data set as its authors publish it to one HDF5 file.

    Only the converter for mpiigaze was compared with original labels. Those for mpiifacegaze, gazecapture, nvgaze and
    eth-xgaze follow the published formats and never met the original data: look at `data check --sheets`.

    A killed run goes on with the same command. Beside OUT.h5 come OUT.h5.manifest.json (counts, checksums) and
    OUT.h5.skipped.csv (everything that was left out, and why).

    Exit codes:

    - 0: the file is written.
    - 2: source, options or file cannot be used, or something in the source is damaged.

    Example: privateyes data prepare mpiigaze MPIIGaze mpiigaze.h5
    """
    from privateyes.tasks.gaze.commands.conversion_progress import choose_observer, print_conversion
    from privateyes.tasks.gaze.prepare.conversion import Request, convert
    from privateyes.tasks.gaze.prepare.converter import ConvertOptions

    options = ConvertOptions(
        size=_size(size),
        subset=subset.value,
        limit=limit,
        skip_damaged=skip_damaged,
        split=None if split is None else split.value,
        largest_blink=largest_blink,
    )
    request = Request(dataset.value, source, out, options, _persons(persons))
    try:
        with choose_observer() as observer:
            conversion = convert(request, observer)
    except KeyboardInterrupt:
        typer.echo(f"whoever is finished is kept in {request.parts}: the same command goes on", err=True)
        raise
    print_conversion(conversion)
