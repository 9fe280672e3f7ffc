from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from face_frames import CAMERA, SIZE
from privateyes.errors import DataError
from privateyes.tasks.gaze.predict.overlay import draw_on_eye, draw_on_frame, draw_text_on, write_picture

RED = np.array([209, 73, 91])


def _red(picture: Image.Image) -> np.ndarray:
    """(M, 2) (x, y) of the arrow's pixels."""
    rows, columns = np.nonzero((np.asarray(picture) == RED).all(-1))
    return np.stack([columns, rows], axis=1).astype(float)


@pytest.mark.parametrize(
    ("pitch_yaw", "direction"),
    [((0.0, 0.25), (-1, 0)), ((0.0, -0.25), (1, 0)), ((0.25, 0.0), (0, -1)), ((-0.25, 0.0), (0, 1))],
    ids=["yaw to the left", "yaw to the right", "pitch up", "pitch down"],
)
def test_the_arrow_leaves_the_middle_towards_the_gaze(
    pitch_yaw: tuple[float, float], direction: tuple[int, int]
) -> None:
    picture = draw_on_eye(np.full((36, 60), 90, dtype=np.uint8), np.array(pitch_yaw), "text")
    away = _red(picture) - [240, 144]
    along = away @ np.array(direction)
    assert along.max() == pytest.approx(np.sin(0.25) * 1.6 * 36 * 8, abs=4)
    assert along.min() > -8
    across = away @ np.array([direction[1], direction[0]])
    assert np.abs(across).max() < 12


@pytest.mark.parametrize("pitch_yaw", [(0.9, 0.0), (-1.0, 1.0), (0.0, -1.5)])
def test_the_arrow_of_a_far_gaze_ends_within_the_picture(pitch_yaw: tuple[float, float]) -> None:
    red = _red(draw_on_eye(np.full((36, 60), 90, dtype=np.uint8), np.array(pitch_yaw), "text"))
    assert red.min() > 3
    assert red[:, 0].max() < 477
    assert red[:, 1].max() < 36 * 8 - 3


def test_small_pictures_are_enlarged_by_a_whole_factor_and_stay_what_they_are() -> None:
    image = np.random.default_rng(0).integers(0, 200, (36, 60, 3)).astype(np.uint8)
    for picture in (draw_on_eye(image, np.zeros(2), "a"), draw_text_on(image, "a")):
        assert picture.width == 480
        assert picture.height > 36 * 8
        np.testing.assert_array_equal(np.asarray(picture)[4 : 36 * 8 : 8, 4:480:8][0], image[0])


def test_large_pictures_keep_their_size() -> None:
    assert draw_on_eye(np.zeros((500, 500), np.uint8), np.zeros(2), "a").width == 500


def test_on_a_frame_arrows_start_at_the_eyes_and_point_where_the_gaze_goes() -> None:
    frame = np.full((*SIZE, 3), 120, dtype=np.uint8)
    origin, gaze = np.array([-50.0, 30.0, 500.0]), np.array([0.6, 0.0, -0.8])
    red = _red(draw_on_frame(frame, CAMERA, [(origin, gaze)], "text"))
    start, tip = CAMERA.project(origin), CAMERA.project(origin + 120 * gaze)
    assert np.linalg.norm(red - start, axis=1).min() < 2
    assert np.linalg.norm(red - tip, axis=1).min() < 4
    assert red[:, 0].max() == pytest.approx(tip[0], abs=6)


def test_a_gaze_into_a_near_camera_ends_before_it() -> None:
    frame = np.full((*SIZE, 3), 120, dtype=np.uint8)
    origin = np.array([20.0, 0.0, 110.0])
    picture = draw_on_frame(frame, CAMERA, [(origin, np.array([0.0, 0.0, -1.0]))], "text")
    assert len(_red(picture))


def test_pictures_are_written_below_new_folders_and_completely(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b.jpg.png"
    write_picture(path, draw_text_on(np.zeros((36, 60), np.uint8), "x"))
    with Image.open(path) as picture:
        assert picture.format == "PNG"
    assert [entry.name for entry in path.parent.iterdir()] == ["b.jpg.png"]


def test_a_folder_that_is_a_file_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("x")
    with pytest.raises(DataError, match=r"the picture cannot be written .*; choose another --overlay folder"):
        write_picture(tmp_path / "a" / "b.png", draw_text_on(np.zeros((36, 60), np.uint8), "x"))
