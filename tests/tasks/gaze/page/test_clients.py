from __future__ import annotations

import re

import pytest
from pydantic import ValidationError

from privateyes.tasks.gaze.page.clients import GazeClient, GazeClients, caption, distributions


def client(name: str, cells: list[float]) -> GazeClient:
    return GazeClient(
        name=name, persons=["p"], samples=1200, mean=(1, 2), spread=(3, 4), skew=0.25, skew_by_chance=0.04, cells=cells
    )


def made(cells: list[float], bins: tuple[int, int] = (2, 3), label: str = "gaze", count: int = 1) -> GazeClients:
    rows = [client("c1", cells), client("<b>long-name-of-a-device", [1.0, 0, 0, 0, 0, 0])]
    return GazeClients(fold="all", how="by hand", label=label, bins=bins, count=count, rows=rows)


def tiles(drawing: str) -> list[tuple[float, float, float]]:
    pattern = r'<rect x="([\d.]+)" y="([\d.]+)" [^>]*class="cell" fill-opacity="([\d.]+)"'
    return [(float(x), float(y), float(share)) for x, y, share in re.findall(pattern, drawing)]


def test_a_cell_of_high_pitch_is_drawn_high_and_one_of_high_yaw_left() -> None:
    low_right, high_left = [0.5, 0, 0, 0, 0, 0], [0, 0, 0, 0, 0, 0.5]
    for cells, place in ((low_right, (1, 1)), (high_left, (0, 0))):
        drawn = tiles(distributions(made(cells), 900))[:6]
        columns, rows = sorted({x for x, _, _ in drawn}), sorted({y for _, y, _ in drawn})
        x, y, share = max(drawn, key=lambda tile: tile[2])
        assert (rows.index(y), min(columns.index(x), 1)) == place
        assert share == 0.5, "the fullest cell of all clients has full colour"


def test_points_have_x_to_the_right() -> None:
    drawn = tiles(distributions(made([0, 0, 0, 0, 0, 0.5], bins=(2, 3), label="point"), 900))[:6]
    columns, rows = sorted({x for x, _, _ in drawn}), sorted({y for _, y, _ in drawn})
    assert (len(columns), len(rows)) == (2, 3)
    x, y, _ = max(drawn, key=lambda tile: tile[2])
    assert (columns.index(x), rows.index(y)) == (1, 0)


def test_names_are_escaped_and_everything_is_said_in_words() -> None:
    drawing = str(distributions(made([0.5, 0.5, 0, 0, 0, 0]), 300))
    assert "<b>" not in drawing
    assert "c1: 1200 images, skew 0.25" in drawing
    assert "1,200 · 0.25 (0.04)" in drawing


def test_a_narrow_page_has_fewer_maps_in_a_row() -> None:
    wide, narrow = (tiles(distributions(made([0.5, 0, 0, 0, 0, 0]), width)) for width in (900, 200))
    assert len({y for _, y, _ in wide}) == 2
    assert len({y for _, y, _ in narrow}) == 4


def test_the_caption_names_fold_and_what_is_left_out() -> None:
    assert caption(made([0.5, 0, 0, 0, 0, 0], count=2), several_folds=False).startswith(
        "The clients: by hand. Each map"
    )
    text = caption(made([0.5, 0, 0, 0, 0, 0], count=99), several_folds=True)
    assert "of the first fold (all)" in text
    assert text.endswith("2 of 99 clients are shown.")


def test_a_file_without_clients_or_with_a_broken_entry_is_told_apart() -> None:
    with pytest.raises(ValidationError):
        GazeClients.model_validate({"fold": "all", "how": "", "label": "gaze", "bins": [1, 1], "count": 1, "rows": []})
