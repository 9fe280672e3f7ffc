from __future__ import annotations

import numpy as np
import pytest

from face_frames import CAMERA, VIEW, FaceFrame, IrisEstimator, face_frame
from privateyes.errors import ConfigError, DataError
from privateyes.tasks.gaze.angles import angles_from_vectors, angular_error_deg
from privateyes.tasks.gaze.normalisation import VIRTUAL_CAMERAS, LabelConvention, VirtualCamera
from privateyes.tasks.gaze.predict.frames import View, choose_virtual_camera, find_views

EYE = VIRTUAL_CAMERAS["eye"]
ROTATION_ONLY = LabelConvention.ROTATION_ONLY
FACES = {
    "turned": {},
    "frontal": {"turn_deg": (0.0, 0.0, 0.0), "place_mm": (0.0, -20.0, 600.0), "target_mm": (0.0, 0.0, 0.0)},
    "leaning": {"turn_deg": (-25.0, 10.0, -8.0), "target_mm": (120.0, 100.0, 0.0)},
    "near": {"place_mm": (-30.0, 0.0, 320.0), "target_mm": (60.0, 30.0, 0.0)},
}


def _views(face: FaceFrame) -> list[View]:
    grey = face.frame[..., 0]
    return find_views(grey, face.landmarks, CAMERA, VIEW)[1]


def _error_deg(gaze: np.ndarray, view: View, face: FaceFrame) -> float:
    true = face.target_mm - view.normalisation.centre_mm
    return float(angular_error_deg(angles_from_vectors(gaze), angles_from_vectors(true)))


@pytest.mark.parametrize("face", FACES)
def test_the_gaze_of_a_drawn_face_comes_back_from_both_eyes(face: str) -> None:
    drawn = face_frame(**FACES[face])
    views = _views(drawn)
    assert [view.part for view in views] == ["right", "left"]
    estimated = IrisEstimator().estimate({"image": np.stack([view.picture for view in views])})
    for view, angles in zip(views, estimated, strict=True):
        assert _error_deg(view.gaze_in_camera(angles, ROTATION_ONLY), view, drawn) < 0.7


def test_a_right_eye_that_was_not_mirrored_back_would_look_elsewhere() -> None:
    """The twin of the test above."""
    drawn = face_frame()
    right = _views(drawn)[0]
    angles = IrisEstimator().estimate({"image": right.picture[None]})[0]
    assert abs(angles[1]) > 0.05
    wrong = right.gaze_in_camera(angles * [1, -1], ROTATION_ONLY)
    assert _error_deg(wrong, right, drawn) > 5


def test_the_right_eye_is_shown_mirrored_and_so_is_its_pose() -> None:
    drawn = face_frame()
    head, views = find_views(drawn.frame[..., 0], drawn.landmarks, CAMERA, EYE)
    right, left = views
    np.testing.assert_array_equal(right.picture[:, ::-1], right.normalisation.warp_image(drawn.frame[..., 0]))
    np.testing.assert_array_equal(left.picture, left.normalisation.warp_image(drawn.frame[..., 0]))
    for view, sign in ((right, -1), (left, 1)):
        pitch, yaw = view.normalisation.head_angles(head.rotation)
        assert view.pose == pytest.approx((pitch, sign * yaw))
    assert right.normalisation.centre_mm[0] < left.normalisation.centre_mm[0]


def test_a_face_is_one_view_around_its_middle() -> None:
    drawn = face_frame(place_mm=(0.0, -20.0, 600.0))
    _, views = find_views(drawn.frame, drawn.landmarks, CAMERA, VIRTUAL_CAMERAS["eth-xgaze"])
    assert [view.part for view in views] == ["face"]
    assert views[0].picture.shape == (224, 224, 3)
    right, left = (view.normalisation.centre_mm for view in _views(drawn))
    centre = views[0].normalisation.centre_mm
    assert right[0] < centre[0] < left[0]
    assert centre[1] > max(right[1], left[1])


def test_labels_with_scale_are_taken_back_with_scale() -> None:
    view = _views(face_frame())[1]
    angles = np.array([-0.1, 0.2])
    plain, scaled = (view.gaze_in_camera(angles, convention) for convention in LabelConvention)
    assert np.linalg.norm(scaled) == pytest.approx(1)
    np.testing.assert_allclose(view.normalisation.gaze_angles(scaled, LabelConvention.WITH_SCALE), angles)
    assert np.abs(plain - scaled).max() > 0.01


def test_an_eye_outside_of_the_frame_is_refused() -> None:
    drawn = face_frame(place_mm=(-260.0, 0.0, 450.0))
    with pytest.raises(DataError, match="more than half of the view lies outside"):
        _views(drawn)


@pytest.mark.parametrize(
    ("shape", "text", "expected"),
    [
        ((36, 60), None, EYE),
        ((72, 120), None, VirtualCamera(1920, 600, 120, 72)),
        ((224, 224, 3), None, VIRTUAL_CAMERAS["face"]),
        ((448, 448, 3), None, VIRTUAL_CAMERAS["face-448"]),
        ((224, 224, 3), "eth-xgaze", VIRTUAL_CAMERAS["eth-xgaze"]),
        ((9, 15), "960,600", VirtualCamera(960, 600, 15, 9)),
    ],
    ids=str,
)
def test_the_virtual_camera_follows_from_the_images_or_is_named(
    shape: tuple[int, ...], text: str | None, expected: VirtualCamera
) -> None:
    assert choose_virtual_camera(shape, text) == expected


def test_a_model_of_eth_xgaze_gets_its_own_camera() -> None:
    assert choose_virtual_camera((224, 224, 3), None, "eth-xgaze") == VIRTUAL_CAMERAS["eth-xgaze"]
    assert choose_virtual_camera((224, 224, 3), None, "mpiifacegaze") == VIRTUAL_CAMERAS["face"]


@pytest.mark.parametrize(
    ("shape", "text", "message"),
    [
        ((9, 15), None, "no virtual camera is known for 9x15 images; say --virtual-camera"),
        ((64, 64), None, "no virtual camera is known for 64x64"),
        ((36, 60), "face", "gives 224x224 images; the model takes 36x60"),
        ((36, 60), "eyes", "--virtual-camera eyes; say --virtual-camera with one of eye, face"),
        ((36, 60), "960", "--virtual-camera 960; "),
        ((36, 60), "960,0.6", "such as 960,600"),
        ((36, 60), "nan,600", "such as 960,600"),
    ],
    ids=str,
)
def test_virtual_cameras_that_cannot_be_are_refused(shape: tuple[int, ...], text: str | None, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        choose_virtual_camera(shape, text)
