from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from matplotlib.image import imread
from matplotlib.patches import FancyArrowPatch

from privateyes.errors import DataError
from privateyes.tasks.gaze.contact_sheet import draw_contact_sheet, sheet_of_file, sheet_of_person, write_contact_sheets
from privateyes.tasks.gaze.dataset import Person, write_persons


def test_a_sheet_shows_as_many_eyes_as_asked_for_sorted_by_yaw(draw_person: Callable[..., Person]) -> None:
    person = draw_person()
    figure = draw_contact_sheet(sheet_of_person(person, 12))
    assert len(figure.axes) == 12
    shown = [np.asarray(axes.images[0].get_array()) for axes in figure.axes]
    rows = [int(np.argmin(np.abs(person.image.astype(int) - image.astype(int)).sum((1, 2)))) for image in shown]
    assert (np.diff(person.gaze[rows, 1]) >= 0).all()
    assert rows[0] == np.argmin(person.gaze[:, 1])
    assert rows[-1] == np.argmax(person.gaze[:, 1])


def test_arrows_point_where_the_eye_looks(draw_person: Callable[..., Person]) -> None:
    person = draw_person(count=2)
    person.gaze[:] = [[0.2, -0.3], [-0.2, 0.3]]
    right_and_up, left_and_down = (_arrow(axes) for axes in draw_contact_sheet(sheet_of_person(person)).axes)
    assert right_and_up[0] > 0
    assert right_and_up[1] < 0, "rows count downwards"
    assert left_and_down[0] < 0
    assert left_and_down[1] > 0
    assert right_and_up[0] / right_and_up[1] == pytest.approx(-np.cos(0.2) * np.sin(0.3) / np.sin(0.2), rel=1e-5)


def test_the_title_counts_images_and_gives_degrees(draw_person: Callable[..., Person]) -> None:
    person = draw_person(count=30)
    person.gaze[:, 0] = np.deg2rad(-5.0)
    title = draw_contact_sheet(sheet_of_person(person, 8)).texts[0].get_text()
    assert "a: 8 of 30 images" in title
    assert "pitch -5.0 ± 0.0" in title


def test_a_picture_is_written_for_every_person(draw_person: Callable[..., Person], tmp_path: Path) -> None:
    folder = tmp_path / "new" / "sheets"
    paths = write_contact_sheets(folder, map(sheet_of_person, [draw_person("a", 3), draw_person("b", 1, (9, 15))]))
    assert [path.name for path in paths] == ["a.png", "b.png"]
    assert sorted(folder.iterdir()) == paths
    assert all(imread(path).ndim == 3 for path in paths)


def test_a_folder_that_cannot_be_made_is_refused(draw_person: Callable[..., Person], tmp_path: Path) -> None:
    (tmp_path / "occupied").write_text("a file")
    with pytest.raises(DataError, match=r"a\.png: the contact sheet cannot be written; choose another folder"):
        write_contact_sheets(tmp_path / "occupied", [sheet_of_person(draw_person("a", 3))])


def test_a_sheet_of_a_file_is_that_of_the_person(draw_person: Callable[..., Person], tmp_path: Path) -> None:
    person = draw_person("a", 30)
    write_persons(tmp_path / "eyes.h5", [person])
    from_file, from_person = sheet_of_file(tmp_path / "eyes.h5", "a", 8), sheet_of_person(person, 8)
    np.testing.assert_array_equal(from_file.images, from_person.images)
    np.testing.assert_array_equal(from_file.labels, person.gaze)
    assert from_file.angles


def test_coloured_faces_with_points_carry_numbers_and_no_arrow(tmp_path: Path) -> None:
    image = np.random.default_rng(0).integers(0, 256, (3, 20, 20, 3)).astype(np.uint8)
    point = np.float32([[3, -8], [-2.5, -1], [0, 4]])
    write_persons(tmp_path / "faces.h5", [Person("a", image, columns={"point": point})])
    figure = draw_contact_sheet(sheet_of_file(tmp_path / "faces.h5", "a"))
    assert [axes.texts[0].get_text() for axes in figure.axes] == ["-2.5, -1.0 cm", "+0.0, +4.0 cm", "+3.0, -8.0 cm"]
    assert not any(axes.patches for axes in figure.axes)
    np.testing.assert_array_equal(np.asarray(figure.axes[0].images[0].get_array()), image[1])
    assert "Point in cm" in figure.texts[0].get_text()
    assert "x 0.2 ± 2.2" in figure.texts[0].get_text()


def _arrow(axes: object) -> np.ndarray:
    patch = next(patch for patch in axes.patches if isinstance(patch, FancyArrowPatch))
    start, end = patch._posA_posB
    return np.subtract(end, start)
