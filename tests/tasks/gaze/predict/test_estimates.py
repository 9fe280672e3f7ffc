from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from face_frames import CAMERA, FaceFrame, FixedLandmarker, IrisEstimator, face_frame
from privateyes.errors import ConfigError, DataError
from privateyes.tasks.gaze.angles import vectors_from_angles
from privateyes.tasks.gaze.camera import Camera
from privateyes.tasks.gaze.dataset import load_persons
from privateyes.tasks.gaze.normalisation import LabelConvention
from privateyes.tasks.gaze.predict.estimates import (
    FrameSettings,
    Predictions,
    predict_frames,
    predict_pictures,
    write_csv,
)
from privateyes.tasks.gaze.predict.estimator import ModelFacts
from privateyes.tasks.gaze.predict.frames import choose_virtual_camera
from privateyes.tasks.gaze.predict.poses import parse_pose
from privateyes.tasks.gaze.preprocess import Pictures, equalise
from privateyes.tasks.gaze.trained import open_run_estimator

FACES = {
    "far.png": {"turn_deg": (0.0, 20.0, 0.0), "place_mm": (-60.0, -20.0, 600.0), "target_mm": (100.0, -200.0, 0.0)},
    "leaning.png": {"turn_deg": (-25.0, 10.0, -8.0), "target_mm": (120.0, 100.0, 0.0)},
    "turned.png": {},
}


@pytest.fixture(scope="module")
def faces() -> dict[str, FaceFrame]:
    return {name: face_frame(**settings) for name, settings in FACES.items()}


@pytest.fixture
def frames(tmp_path: Path, faces: dict[str, FaceFrame]) -> Path:
    """A folder of camera frames, one without a face, one damaged."""
    folder = tmp_path / "frames"
    folder.mkdir()
    for name, face in faces.items():
        Image.fromarray(face.frame).save(folder / name)
    Image.new("RGB", (1280, 960)).save(folder / "nobody.png")
    (folder / "zz.png").write_bytes((folder / "far.png").read_bytes()[:1000])
    return folder


def _settings(faces: dict[str, FaceFrame], camera: Camera | None = CAMERA) -> FrameSettings:
    virtual = choose_virtual_camera(IrisEstimator().facts.image_shape, None)
    return FrameSettings(FixedLandmarker(*faces.values()), virtual, camera)


# --- pictures ---


def test_pictures_on_disk_are_estimated_as_the_rows_they_came_from(
    finished_run: Path, eyes: Path, tmp_path: Path
) -> None:
    estimator = open_run_estimator(finished_run, "federated")
    person = load_persons(eyes, ["p03"])[0]
    lines = ["image,pitch_deg,yaw_deg"]
    (tmp_path / "eyes").mkdir()
    for row in range(5):
        Image.fromarray(person.image[row]).save(tmp_path / "eyes" / f"{row}.png")
        pitch, yaw = np.rad2deg(person.pose[row].astype(np.float64))
        lines.append(f"{row}.png,{pitch!r},{yaw!r}".replace("np.float64(", "").replace(")", ""))
    (tmp_path / "poses.csv").write_text("\n".join(lines))
    found = predict_pictures(estimator, tmp_path / "eyes", parse_pose(str(tmp_path / "poses.csv")))
    expected = np.rad2deg(estimator.estimate({"image": person.image[:5], "pose": person.pose[:5]}))
    assert found.columns == ("image", "eye", "pitch_deg", "yaw_deg")
    assert [row[:2] for row in found.rows] == [(f"{row}.png", "left") for row in range(5)]
    np.testing.assert_allclose([row[2:] for row in found.rows], expected, rtol=1e-4, atol=1e-4)


def test_a_data_file_gives_a_row_for_each_of_its(finished_run: Path, eyes: Path, tmp_path: Path) -> None:
    estimator = open_run_estimator(finished_run, "federated")
    found = predict_pictures(estimator, eyes, parse_pose(None), overlay=tmp_path / "arrows")
    persons = load_persons(eyes)
    assert len(found.rows) == sum(len(person) for person in persons)
    assert found.rows[0][0] == "p00 0"
    assert (tmp_path / "arrows" / "p00 0.png").is_file()
    assert len(list((tmp_path / "arrows").iterdir())) == len(found.rows)


def test_a_folder_of_nothing_but_damage_is_an_error_that_says_why(finished_run: Path, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"no picture")
    (tmp_path / "b.png").write_bytes(b"no picture")
    with pytest.raises(DataError, match=r"none of 2 files could be used \(a\.png: no picture"):
        predict_pictures(open_run_estimator(finished_run, "federated"), tmp_path, parse_pose("0,0"))


def test_overlays_of_pictures_of_the_same_name_stay_apart(finished_run: Path, eyes: Path, tmp_path: Path) -> None:
    image = load_persons(eyes, ["p03"])[0].image[0]
    for name in ("a.png", "a.bmp", "sub/a.png"):
        (tmp_path / "eyes" / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(tmp_path / "eyes" / name)
    estimator = open_run_estimator(finished_run, "federated")
    predict_pictures(estimator, tmp_path / "eyes", parse_pose("0,0"), overlay=tmp_path / "out")
    written = sorted(path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*.png"))
    assert written == ["a.bmp.png", "a.png", "sub/a.png"]


def test_arrows_are_never_drawn_over_their_sources_or_each_other(
    finished_run: Path, eyes: Path, tmp_path: Path
) -> None:
    image = load_persons(eyes, ["p03"])[0].image[0]
    for name in ("a.bmp", "a.bmp.png", "b.PNG", "sub/b.PNG"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(tmp_path / name)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    estimator = open_run_estimator(finished_run, "federated")
    predict_pictures(estimator, tmp_path, parse_pose("0,0"), overlay=tmp_path)
    assert {path: path.read_bytes() for path in before} == before
    written = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()}
    assert written - {path.relative_to(tmp_path).as_posix() for path in before} == {
        "a.bmp.png.png", "a.bmp.png.png.png", "b.PNG.png", "sub/b.PNG.png",
    }  # fmt: skip


def test_estimates_of_blank_pictures_are_noted(finished_run: Path, eyes: Path, tmp_path: Path) -> None:
    image = load_persons(eyes, ["p03"])[0].image[0]
    (tmp_path / "eyes").mkdir()
    for number in range(9):
        Image.fromarray(image if number == 8 else image * 0).save(tmp_path / "eyes" / f"{number}.png")
    estimator = open_run_estimator(finished_run, "federated")
    found = predict_pictures(estimator, tmp_path / "eyes", parse_pose("0,0"))
    assert len(found.rows) == 9
    assert found.notes == (
        "8 estimates of pictures of one grey level, black or white, which show nothing: 0.png, 1.png, 2.png, 3.png, "
        "4.png and 3 more",
    )
    one = predict_pictures(estimator, tmp_path / "eyes" / "0.png", parse_pose("0,0"))
    assert one.notes[0].startswith("1 estimate of pictures of one grey level")
    assert predict_pictures(estimator, tmp_path / "eyes" / "8.png", parse_pose("0,0")).notes == ()


def test_blank_rows_of_a_data_file_are_noted(finished_run: Path, eyes: Path, tmp_path: Path) -> None:
    path = tmp_path / "eyes.h5"
    path.write_bytes(eyes.read_bytes())
    with h5py.File(path, "r+") as file:
        file["p03/image"][4] = 255
    found = predict_pictures(open_run_estimator(finished_run, "federated"), path, parse_pose(None))
    assert found.notes == ("1 estimate of pictures of one grey level, black or white, which show nothing: p03 4",)


# --- camera frames ---


def test_from_camera_frames_the_true_gaze_comes_back_in_the_cameras_frame(
    frames: Path, faces: dict[str, FaceFrame], tmp_path: Path
) -> None:
    found = predict_frames(IrisEstimator(), frames, _settings(faces), tmp_path / "arrows")
    table = [dict(zip(found.columns, row, strict=True)) for row in found.rows]
    assert [(row["image"], row["eye"]) for row in table] == [
        (name, eye) for name in sorted(FACES) for eye in ("right", "left")
    ]
    for row in table:
        face = faces[str(row["image"])]
        origin = np.array([row["x_mm"], row["y_mm"], row["z_mm"]], dtype=np.float64)
        gaze = np.array([row["gaze_x"], row["gaze_y"], row["gaze_z"]], dtype=np.float64)
        true = face.target_mm - origin
        assert np.degrees(np.arccos(np.clip(gaze @ true / np.linalg.norm(true), -1, 1))) < 1.5
        angles = np.radians([row["pitch_deg"], row["yaw_deg"]])  # type: ignore[list-item]
        np.testing.assert_allclose(vectors_from_angles(angles), gaze, atol=1e-9)
        assert float(row["misfit_px"]) < 1e-3
    assert {path.name for path in (tmp_path / "arrows").iterdir()} == set(FACES)


def test_the_heads_angles_of_both_eyes_are_told_unmirrored(frames: Path, faces: dict[str, FaceFrame]) -> None:
    """A head that faces the camera's left side of the picture has a positive yaw for either eye of a far face."""
    estimator = IrisEstimator()
    found = predict_frames(estimator, frames / "far.png", _settings(faces))
    column = found.columns.index("head_yaw_deg")
    right, left = (float(row[column]) for row in found.rows)
    assert right * left > 0
    given = np.rad2deg(estimator.seen[0]["pose"][:, 1])
    np.testing.assert_allclose(given, [-right, left], rtol=1e-5)


def test_what_is_no_picture_in_a_folder_of_frames_is_named(frames: Path, faces: dict[str, FaceFrame]) -> None:
    (frames / "clip.mp4").write_bytes(b"x")
    found = predict_frames(IrisEstimator(), frames, _settings(faces))
    assert found.skipped[0].name == "clip.mp4"
    assert found.skipped[0].reason == "a video, which is not read"


def test_frames_without_a_face_or_damaged_are_named_and_skipped(frames: Path, faces: dict[str, FaceFrame]) -> None:
    found = predict_frames(IrisEstimator(), frames, _settings(faces))
    reasons = {entry.name: entry.reason for entry in found.skipped}
    assert list(reasons) == ["nobody.png", "zz.png"]
    assert reasons["nobody.png"] == "no face was found"
    assert "damaged" in reasons["zz.png"]


def test_a_single_frame_without_a_face_is_an_error(frames: Path, faces: dict[str, FaceFrame]) -> None:
    with pytest.raises(DataError, match=r"nobody\.png: no face was found"):
        predict_frames(IrisEstimator(), frames / "nobody.png", _settings(faces))


def test_the_assumed_camera_is_told_and_a_given_one_is_not(frames: Path, faces: dict[str, FaceFrame]) -> None:
    assumed = predict_frames(IrisEstimator(), frames, _settings(faces, None)).notes
    given = predict_frames(IrisEstimator(), frames, _settings(faces)).notes
    assert any("no camera was given: assumed" in note and "60 degrees" in note for note in assumed)
    assert not any("no camera was given" in note for note in given)


@pytest.mark.parametrize(
    ("dataset", "asked", "used"),
    [
        (None, None, "rotation_only"),
        ("mpiifacegaze", None, "rotation_only"),
        ("mpiigaze", None, "with_scale"),
        ("mpiigaze", LabelConvention.ROTATION_ONLY, "rotation_only"),
    ],
    ids=str,
)
def test_labels_are_taken_back_as_the_training_data_had_them_unless_asked_otherwise(
    frames: Path, faces: dict[str, FaceFrame], dataset: str | None, asked: LabelConvention | None, used: str
) -> None:
    def gazes(estimator: IrisEstimator, convention: LabelConvention | None) -> tuple[np.ndarray, tuple[str, ...]]:
        plain = _settings(faces)
        settings = FrameSettings(plain.landmarker, plain.virtual, plain.camera, convention)
        found = predict_frames(estimator, frames / "turned.png", settings)
        return np.array([row[4:7] for row in found.rows], dtype=np.float64), found.notes

    found, notes = gazes(IrisEstimator(dataset=dataset), asked)
    expected, _ = gazes(IrisEstimator(dataset=dataset), LabelConvention(used))
    np.testing.assert_array_equal(found, expected)
    assert any(f"labels taken for {used}" in note for note in notes) == (asked is None)
    other = next(convention for convention in LabelConvention if convention.value != used)
    assert np.abs(found - gazes(IrisEstimator(dataset=dataset), other)[0]).max() > 0.01


def test_views_are_equalised_for_a_model_of_equalised_images_and_a_note_says_so(
    frames: Path, faces: dict[str, FaceFrame]
) -> None:
    plain, taught = IrisEstimator(), IrisEstimator(dataset="mpiigaze")
    notes = [predict_frames(model, frames / "turned.png", _settings(faces)).notes for model in (plain, taught)]
    np.testing.assert_array_equal(taught.seen[0]["image"], equalise(plain.seen[0]["image"]))
    assert [any("pictures were equalised: those of mpiigaze" in note for note in found) for found in notes] == [
        False,
        True,
    ]


def test_a_camera_of_frames_of_another_size_is_refused(frames: Path, faces: dict[str, FaceFrame]) -> None:
    small = Camera(np.array([[600.0, 0, 160], [0, 600, 120], [0, 0, 1]]))
    with pytest.raises(
        DataError, match=r"the camera's axis at \(160, 120\) is far from the middle of a 1280x960 frame"
    ):
        predict_frames(IrisEstimator(), frames / "far.png", _settings(faces, small))


def test_models_that_take_other_things_cannot_see_frames(frames: Path, faces: dict[str, FaceFrame]) -> None:
    with pytest.raises(ConfigError, match="cannot be used on camera frames, since it takes image, left, right"):
        predict_frames(IrisEstimator(("image", "left", "right")), frames, _settings(faces))


def test_models_without_pose_are_not_given_one(frames: Path, faces: dict[str, FaceFrame]) -> None:
    estimator = IrisEstimator(("image",))
    predict_frames(estimator, frames / "far.png", _settings(faces))
    assert list(estimator.seen[0]) == ["image"]


class FaceWatcher(IrisEstimator):
    """Takes whole faces in colour and says that everybody looks straight ahead."""

    def __init__(self) -> None:
        super().__init__()
        self.facts = ModelFacts("face", ("image",), (224, 224, 3), None, "gaze", Pictures(), "eth-xgaze", "a face")

    def estimate(self, columns: Mapping[str, NDArray[Any]]) -> NDArray[np.float32]:
        self.seen.append(columns)
        return np.zeros((len(columns["image"]), 2), dtype=np.float32)


def test_models_of_faces_get_one_view_in_colour(frames: Path, faces: dict[str, FaceFrame]) -> None:
    estimator = FaceWatcher()
    virtual = choose_virtual_camera((224, 224, 3), None, "eth-xgaze")
    settings = FrameSettings(FixedLandmarker(*faces.values()), virtual, CAMERA)
    found = predict_frames(estimator, frames / "leaning.png", settings)
    assert [row[1] for row in found.rows] == ["face"]
    assert estimator.seen[0]["image"].shape == (1, 224, 224, 3)
    row = dict(zip(found.columns, found.rows[0], strict=True))
    origin = np.array([row["x_mm"], row["y_mm"], row["z_mm"]], dtype=np.float64)
    gaze = np.array([row["gaze_x"], row["gaze_y"], row["gaze_z"]], dtype=np.float64)
    np.testing.assert_allclose(gaze, -origin / np.linalg.norm(origin), atol=1e-9)


# --- the table ---


def test_the_table_is_written_with_six_digits_and_harmless_names(tmp_path: Path) -> None:
    rows: list[tuple[str | float, ...]] = [("=1+1.png", "left", -1.23456789, 0.1), ("a,b.png", "right", 2.0, -3.0)]
    write_csv(tmp_path / "x.csv", Predictions(("image", "eye", "pitch_deg", "yaw_deg"), rows))
    with (tmp_path / "x.csv").open(newline="") as file:
        assert list(csv.reader(file)) == [
            ["image", "eye", "pitch_deg", "yaw_deg"],
            ["'=1+1.png", "left", "-1.234568", "0.100000"],
            ["a,b.png", "right", "2.000000", "-3.000000"],
        ]


def test_a_table_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"cannot be written .*; choose another --csv"):
        write_csv(tmp_path / "none" / "x.csv", Predictions(("image",), []))
