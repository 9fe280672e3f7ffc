from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from matplotlib.image import imread

from privateyes.errors import DataError
from privateyes.federation.partition import ClientStatistics
from privateyes.tasks.gaze.client_sheet import MOST_PANELS, Panel, draw_clients, write_clients


def panel(name: str, pitch: float, yaw: float, count: int = 300) -> Panel:
    """A client that looks about there, in degrees."""
    labels = np.random.default_rng(1).normal([pitch, yaw], [2.0, 3.0], (count, 2))
    mean = np.deg2rad(labels.mean(axis=0))
    statistics = ClientStatistics(name, ("p",), count, (mean[0], mean[1]), (0.03, 0.05), 0.4, 0.05)
    return Panel(statistics, labels)


def test_each_client_has_a_panel_on_common_axes_with_its_name_size_and_skew() -> None:
    figure = draw_clients([panel("a", -10, 15), panel("b", 0, -15, 1500)], "gaze", "two clients")
    first, second = figure.axes
    assert first.get_title() == "a · 300\nskew 0.40 (chance 0.05)"
    assert second.get_title().startswith("b · 1,500")
    assert first.get_xlim() == second.get_xlim()
    assert first.get_ylim() == second.get_ylim()
    assert "two clients" in figure.texts[0].get_text()


def test_yaw_grows_to_the_left_as_in_the_image_and_shading_is_where_the_client_looks() -> None:
    figure = draw_clients([panel("a", -10, 15), panel("b", 0, -15)], "gaze", "t")
    for axes, (pitch, yaw) in zip(figure.axes, ((-10, 15), (0, -15)), strict=True):
        left, right = axes.get_xlim()
        assert left > right
        mesh = axes.collections[0]
        share = np.asarray(mesh.get_array()).reshape(33, 33)
        row, column = np.unravel_index(int(share.argmax()), share.shape)
        edges_across, edges_up = np.linspace(right, left, 34), np.linspace(*axes.get_ylim(), 34)
        assert abs(edges_across[column] - yaw) < 5
        assert abs(edges_up[row] - pitch) < 4
        assert share.sum() == pytest.approx(1.0)
        assert axes.lines[0].get_xdata()[0] == pytest.approx(yaw, abs=1)  # type: ignore[index]


def test_points_in_centimetres_are_drawn_as_they_are() -> None:
    figure = draw_clients([panel("a", 3, 5)], "point", "t")
    left, right = figure.axes[0].get_xlim()
    assert left < 3 < right
    assert any("x, cm" in text.get_text() for text in figure.texts)


def test_one_far_sample_does_not_squeeze_the_others() -> None:
    usual = panel("a", 0, 0, 2000)
    usual.labels[0] = [80.0, 85.0]
    low, high = draw_clients([usual], "gaze", "t").axes[0].get_ylim()
    assert high - low < 30


def test_labels_that_do_not_vary_can_be_drawn() -> None:
    still = panel("a", 0, 0, 5)
    still.labels[:] = 1.0
    assert len(draw_clients([still], "gaze", "t").axes) == 1


def test_too_many_clients_are_thinned_out_and_the_picture_says_so() -> None:
    figure = draw_clients([panel(f"c{i:03d}", 0, 0, 20) for i in range(MOST_PANELS + 40)], "gaze", "t")
    assert len(figure.axes) == MOST_PANELS
    shown = " ".join(" ".join(text.get_text() for text in figure.texts).split())
    assert f"{MOST_PANELS} of {MOST_PANELS + 40} clients are drawn" in shown


def test_a_picture_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    figure = draw_clients([panel("a", 0, 0)], "gaze", "t")
    write_clients(tmp_path / "plot.png", figure)
    assert imread(tmp_path / "plot.png").ndim == 3
    with pytest.raises(DataError, match=r"plot\.doc: no picture format; end the name with \.png"):
        write_clients(tmp_path / "plot.doc", figure)
    with pytest.raises(DataError, match="cannot be written"):
        write_clients(tmp_path / "none" / "plot.png", figure)
    assert [path.name for path in tmp_path.iterdir()] == ["plot.png"]
