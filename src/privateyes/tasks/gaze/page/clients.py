"""Where each client's images look: a small map of cells for every client.

The cells are those of `federation.partition.bins`: between quantiles of everybody's gaze, so that all are about equally
dark for a client like everybody. Yaw grows to the left, as in the images.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal

from markupsafe import Markup
from pydantic import Field

from privateyes.experiments.report import svg
from privateyes.experiments.report.schema import Client, Clients, NonNegative

_CELL: Final = (23.0, 17.0)
_GAP: Final = 24.0
_TEXT: Final = 32.0
_LONGEST_NAME: Final = 15


class GazeClient(Client):
    """Where a client's images look: see `tasks.gaze.clients`."""

    mean: tuple[float, float]
    spread: tuple[NonNegative, NonNegative]
    skew: NonNegative
    skew_by_chance: NonNegative
    cells: list[NonNegative]


class GazeClients(Clients):
    """The clients of the first fold, and the cells of their maps."""

    label: Literal["gaze", "point"]
    bins: tuple[Annotated[int, Field(ge=1)], Annotated[int, Field(ge=1)]]
    rows: Annotated[list[GazeClient], Field(min_length=1)]  # type: ignore[assignment]


def distributions(found: GazeClients, width: float) -> Markup:
    """One map per client, as many in a row as fit into `width` px."""
    across, up = found.bins[1], found.bins[0]
    if found.label != "gaze":
        across, up = up, across
    panel = (max(across * _CELL[0], 115.0), up * _CELL[1] + _TEXT)
    columns = max(1, int((width + _GAP) // (panel[0] + _GAP)))
    darkest = max(share for client in found.rows for share in client.cells)
    parts: list[Markup] = []
    for place, client in enumerate(found.rows):
        left = (place % columns) * (panel[0] + _GAP)
        top = (place // columns) * (panel[1] + _GAP)
        parts += _panel(client, found, (left, top), darkest)
    rows = -(-len(found.rows) // columns)
    told = "; ".join(f"{client.name}: {client.samples} images, skew {client.skew:.2f}" for client in found.rows)
    return svg.drawing(width, rows * (panel[1] + _GAP), f"Where the images of each client look. {told}.", parts)


def caption(found: GazeClients, several_folds: bool) -> str:
    """What the maps show."""
    where = f" of the first fold ({found.fold})" if several_folds else ""
    some = f" {len(found.rows)} of {found.count} clients are shown." if len(found.rows) < found.count else ""
    names = "up is up, left is the image's left" if found.label == "gaze" else "x to the right, y upwards"
    return (
        f"The clients{where}: {found.how}. Each map divides the training persons' gaze into {len(found.rows[0].cells)} "
        f"cells that hold about equal shares of all images ({names}); the fuller a cell's colour, the larger its share "
        "of the client's images. Below a name: images, and skew, the total variation distance from everybody's "
        "distribution, which is the share of the client's images that would have to look elsewhere; in brackets, what "
        f"blind draws of that size would show.{some}"
    )


def _panel(client: GazeClient, found: GazeClients, corner: tuple[float, float], darkest: float) -> list[Markup]:
    left, top = corner
    first_bins, second_bins = found.bins
    parts = [
        svg.text(left, top + 11, _shortened(client.name)),
        svg.text(left, top + 26, f"{client.samples:,} · {client.skew:.2f} ({client.skew_by_chance:.2f})", "tick"),
    ]
    tile = Markup('<rect x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}" class="cell" fill-opacity="{:.2f}"/>')
    for index, share in enumerate(client.cells):
        first, second = divmod(index, second_bins)
        # pitch upwards and yaw to the left; points have x first, to the right, and y upwards
        column, row = (second_bins - 1 - second, first_bins - 1 - first)
        if found.label != "gaze":
            column, row = first, second_bins - 1 - second
        x, y = left + column * _CELL[0], top + _TEXT + row * _CELL[1]
        parts.append(tile.format(x, y, _CELL[0] - 1, _CELL[1] - 1, share / darkest))
    across, up = (second_bins, first_bins) if found.label == "gaze" else (first_bins, second_bins)
    frame = svg.rectangle(left - 1, top + _TEXT - 1, across * _CELL[0] + 1, up * _CELL[1] + 1, "cell-frame")
    return [*parts, frame]


def _shortened(name: str) -> str:
    return name if len(name) <= _LONGEST_NAME else f"{name[: _LONGEST_NAME - 7]}…{name[-6:]}"
