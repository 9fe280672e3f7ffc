from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from privateyes.errors import DataError
from privateyes.tasks.gaze.camera import ASSUMED_VIEW_DEG, Camera, assumed_camera, load_camera

MATRIX = [[900.0, 0, 640], [0, 910.0, 350], [0, 0, 1]]
# k1, k2, p1, p2, k3 of a webcam.
WEBCAM = (-0.16321888, 0.66783406, -0.00121854, -0.00303158, -1.02159927)


def _camera(distortion: tuple[float, ...] = WEBCAM) -> Camera:
    return Camera(np.array(MATRIX), distortion)


def test_a_point_on_the_axis_is_seen_at_the_principal_point() -> None:
    np.testing.assert_allclose(_camera().project([0.0, 0.0, 500.0]), [640, 350])


def test_projection_divides_by_depth_and_y_points_down() -> None:
    np.testing.assert_allclose(_camera(()).project([[100.0, 50.0, 1000.0]]), [[730, 395.5]])


def test_each_coefficient_moves_a_point_as_the_model_says() -> None:
    """Worked out by hand at x = 0.2, y = 0.1: r2 = 0.05."""
    expected = {
        (0.1, 0, 0, 0, 0): (0.2 * 1.005, 0.1 * 1.005),
        (0, 0.1, 0, 0, 0): (0.2 * 1.00025, 0.1 * 1.00025),
        (0, 0, 0.1, 0, 0): (0.2 + 0.2 * 0.02, 0.1 + 0.1 * 0.07),
        (0, 0, 0, 0.1, 0): (0.2 + 0.1 * 0.13, 0.1 + 0.2 * 0.02),
        (0, 0, 0, 0, 0.1): (0.2 * 1.0000125, 0.1 * 1.0000125),
    }
    for distortion, (x, y) in expected.items():
        seen = _camera(tuple(map(float, distortion))).project([0.2, 0.1, 1.0])
        np.testing.assert_allclose(seen, [900 * x + 640, 910 * y + 350], rtol=1e-12)


def test_four_coefficients_are_five_whose_last_is_zero() -> None:
    point = [100.0, 120.0, 400.0]
    np.testing.assert_array_equal(_camera(WEBCAM[:4]).project(point), _camera((*WEBCAM[:4], 0.0)).project(point))


@given(st.floats(-0.5, 0.5), st.floats(-0.4, 0.4), st.floats(100, 2000))
def test_distorting_where_a_plain_lens_shows_a_point_is_where_the_lens_shows_it(x: float, y: float, z: float) -> None:
    point = np.array([x, y, 1.0]) * z
    np.testing.assert_allclose(_camera().distort(_camera(()).project(point)), _camera().project(point), atol=1e-9)
    np.testing.assert_allclose(_camera().slopes(_camera(()).project(point)), [x, y], atol=1e-12)


@pytest.mark.parametrize(("height", "width"), [(480, 640), (1280, 720)])
def test_the_assumed_camera_sees_the_stated_angle_across_the_longer_side(height: int, width: int) -> None:
    camera = assumed_camera(height, width)
    half = max(height, width) / 2
    assert np.degrees(2 * np.arctan2(half, camera.matrix[0, 0])) == pytest.approx(ASSUMED_VIEW_DEG)
    np.testing.assert_allclose(camera.matrix[:2, 2], [(width - 1) / 2, (height - 1) / 2])


@pytest.mark.parametrize("suffix", [".toml", ".json"])
@pytest.mark.parametrize("distortion", [None, list(WEBCAM), [list(WEBCAM)]], ids=["none", "list", "row"])
def test_a_camera_is_read_from_toml_and_json(tmp_path: Path, suffix: str, distortion: list[float] | None) -> None:
    path = tmp_path / f"camera{suffix}"
    keys = {"camera_matrix": MATRIX} | ({} if distortion is None else {"distortion": distortion})
    toml = "".join(f"{key} = {json.dumps(value)}\n" for key, value in keys.items())
    path.write_text(json.dumps(keys) if suffix == ".json" else toml)
    camera = load_camera(path)
    np.testing.assert_array_equal(camera.matrix, MATRIX)
    assert camera.distortion == (() if distortion is None else WEBCAM)


@pytest.mark.parametrize("suffix", [".toml", ".json"])
def test_a_byte_order_mark_is_read_over(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"camera{suffix}"
    text = json.dumps({"camera_matrix": MATRIX}) if suffix == ".json" else f"camera_matrix = {MATRIX}\n"
    path.write_text(text, encoding="utf-8-sig")
    np.testing.assert_array_equal(load_camera(path).matrix, MATRIX)


BAD_FILES = {
    "missing": (None, "cannot be read as a camera"),
    "no TOML": ("camera_matrix = [[", "cannot be read as a camera"),
    "no matrix": ("distortion = []", "there is no camera_matrix"),
    "unknown key": (f"camera_matrix = {MATRIX}\ndistorsion = []", "distorsion is not a known key"),
    "text": ('camera_matrix = "wide"', "does not hold numbers only"),
    "ragged": ("camera_matrix = [[1, 2], [3]]", "does not hold numbers only"),
    "shape": ("camera_matrix = [[900, 0], [0, 900]]", r"the shape \(2, 2\)"),
    "transposed": ("camera_matrix = [[900, 0, 0], [0, 900, 0], [640, 350, 1]]", "no matrix of intrinsics"),
    "millimetres": ("camera_matrix = [[4.2, 0, 2.4], [0, 4.2, 1.8], [0, 0, 1]]", "too short for pixels"),
    "nan": ("camera_matrix = [[nan, 0, 2], [0, 900, 1], [0, 0, 1]]", "or NaN"),
    "coefficients": (f"camera_matrix = {MATRIX}\ndistortion = [0.1, 0.2]", "has 2 coefficients"),
    "endless": (f"camera_matrix = {MATRIX}\ndistortion = [inf, 0, 0, 0]", "or NaN"),
}


@pytest.mark.parametrize("case", BAD_FILES)
def test_files_that_are_no_camera_are_refused_by_name(tmp_path: Path, case: str) -> None:
    text, message = BAD_FILES[case]
    path = tmp_path / "camera.toml"
    if text is not None:
        path.write_text(text)
    with pytest.raises(DataError, match=message) as refused:
        load_camera(path)
    assert str(path) in refused.value.problem
    assert refused.value.remedy


def test_json_that_is_no_table_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "camera.json"
    path.write_text("[1, 2]")
    with pytest.raises(DataError, match="there is no camera_matrix"):
        load_camera(path)
