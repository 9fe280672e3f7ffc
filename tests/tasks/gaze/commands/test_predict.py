from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import Result
from PIL import Image

from face_frames import CAMERA, FaceFrame, FixedLandmarker, IrisEstimator, face_frame
from privateyes.tasks.gaze import trained as trained_models
from privateyes.tasks.gaze.dataset import load_persons
from privateyes.tasks.gaze.predict import landmarker

Call = Callable[..., Result]


@pytest.fixture
def folder(eyes: Path, tmp_path: Path) -> Path:
    """25 eyes, and three pictures that cannot be used."""
    images = [image for person in load_persons(eyes, ["p03", "p04"]) for image in person.image]
    path = tmp_path / "eyes"
    path.mkdir()
    for index, image in enumerate(images[:25]):
        Image.fromarray(image).save(path / f"{index:02d}.png")
    (path / "cut.png").write_bytes((path / "00.png").read_bytes()[:80])
    Image.fromarray(np.zeros((36, 60), dtype=np.uint8)).save(path / "large.png")
    (path / "\x1b[2Jtext.png").write_text("no picture")
    return path


def test_a_folder_gives_a_table_a_file_and_pictures(
    call: Call, trained: tuple[Path, Result], folder: Path, tmp_path: Path
) -> None:
    result = call(
        "predict", trained[0], folder, "--method", "federated", "--pose=-5,10",
        "--csv", tmp_path / "out.csv", "--overlay", tmp_path / "arrows",
    )  # fmt: skip
    assert result.exit_code == 0
    assert "small: federated, fold all, round 2" in result.stdout
    assert "19.png" in result.stdout
    assert "20.png" not in result.stdout
    assert "25 estimates, of which the first 20 are shown; all of them in" in result.stdout
    with (tmp_path / "out.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["image"] for row in rows] == [f"{index:02d}.png" for index in range(25)]
    assert all(abs(float(row["pitch_deg"])) < 90 for row in rows)
    assert len(list((tmp_path / "arrows").iterdir())) == 25


def test_what_was_skipped_is_counted_and_named_without_controlling_the_terminal(
    call: Call, trained: tuple[Path, Result], folder: Path
) -> None:
    result = call("predict", trained[0], folder, "--method", "federated", "--pose", "0,0")
    assert result.exit_code == 0
    assert "skipped 3 files:" in result.stderr
    assert "  large.png: the image is 36x60 grey, where the model takes 9x15 grey" in result.stderr
    assert "  cut.png: " in result.stderr
    assert "?[2Jtext.png: " in result.stderr
    assert "\x1b" not in result.stderr


def test_many_that_were_skipped_are_counted_by_reason(call: Call, trained: tuple[Path, Result], folder: Path) -> None:
    for index in range(30):
        Image.fromarray(np.zeros((36, 60), dtype=np.uint8)).save(folder / f"z{index:02d}.png")
    result = call("predict", trained[0], folder, "--method", "federated", "--pose", "0,0")
    assert "skipped 33 files:" in result.stderr
    assert "  and 23 more: the image is 36x60 grey, where the model takes 9x15 grey" in result.stderr


def test_the_pose_changes_the_estimate(call: Call, trained: tuple[Path, Result], folder: Path) -> None:
    answers = {
        call("predict", trained[0], folder / "00.png", "--method", "federated", f"--pose={pose}").stdout
        for pose in ("0,0", "20,-30")
    }
    assert len(answers) == 2


def test_a_right_eye_is_the_mirrored_left_one(
    call: Call, trained: tuple[Path, Result], folder: Path, tmp_path: Path
) -> None:
    with Image.open(folder / "00.png") as picture:
        picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(tmp_path / "00.png")
    rows = []
    for target, pose, eye in ((folder, "5,10", "left"), (tmp_path, "5,-10", "right")):
        out = tmp_path / f"{eye}.csv"
        call(
            "predict",
            trained[0],
            target / "00.png",
            "--method",
            "federated",
            f"--pose={pose}",
            "--eye",
            eye,
            "--csv",
            out,
        )
        with out.open(newline="") as file:
            rows += list(csv.DictReader(file))
    left, right = rows
    assert right["eye"] == "right"
    assert float(right["pitch_deg"]) == pytest.approx(float(left["pitch_deg"]), abs=1e-5)
    assert float(right["yaw_deg"]) == pytest.approx(-float(left["yaw_deg"]), abs=1e-5)


@pytest.mark.parametrize("case", ["data file", "camera frames"])
def test_which_eye_it_is_cannot_be_said_where_it_would_be_passed_over(
    call: Call, trained: tuple[Path, Result], folder: Path, eyes: Path, case: str
) -> None:
    source = [eyes] if case == "data file" else [folder, "--camera-frames", "--face-landmarker", "x.task"]
    result = call("predict", trained[0], *source, "--method", "federated", "--eye", "right")
    assert result.exit_code != 0
    assert "--eye right is for pictures of normalised eyes; leave it out" in result.stderr
    assert "Traceback" not in result.stderr


def test_a_data_file_needs_no_pose(call: Call, trained: tuple[Path, Result], eyes: Path) -> None:
    result = call("predict", trained[0], eyes, "--method", "local", "--client", "p00")
    assert result.exit_code == 0
    assert "120 estimates" in result.stdout
    assert "local of p00" in result.stdout


ERRORS = {
    "no pose": ([], "needs the head's pose, which a picture does not show; give --pose PITCH,YAW in degrees"),
    "no such method": (["--method", "private"], "--method private: the run has no such method"),
    "an eye in the middle": (["--eye", "third", "--pose", "0,0"], "--eye: eye = third; say left or right"),
    "a camera for normalised eyes": (
        ["--camera", "x.toml", "--pose", "0,0"],
        "--camera goes with --camera-frames only",
    ),
    "frames without a landmarker": (["--camera-frames"], "--camera-frames needs --face-landmarker FILE.task; get"),
    "frames with a pose": (["--camera-frames", "--pose", "0,0"], "--pose does not go with --camera-frames"),
    "labels of no kind": (
        ["--camera-frames", "--face-landmarker", "x.task", "--labels", "both"],
        "--labels both; say rotation_only or with_scale",
    ),
    "a view of no kind": (
        ["--camera-frames", "--face-landmarker", "x.task"],
        "no virtual camera is known for 9x15 images; say --virtual-camera",
    ),
    "a table in no folder": (["--pose", "0,0", "--csv", "/none/x.csv"], "/none/x.csv: there is no folder /none"),
    "no landmarker file": (
        ["--camera-frames", "--face-landmarker", "x.task", "--virtual-camera", "240,600"],
        "x.task: there is no such model file; get face_landmarker.task from https://ai.google.dev",
    ),
}


@pytest.mark.parametrize("case", ERRORS)
def test_what_does_not_fit_is_one_line(call: Call, trained: tuple[Path, Result], folder: Path, case: str) -> None:
    options, message = ERRORS[case]
    method = [] if "--method" in options else ["--method", "federated"]
    result = call("predict", trained[0], folder, *method, *options)
    assert result.exit_code == 2
    assert message in result.stderr
    assert result.stderr.count("\n") == 1


# --- camera frames, with a landmarker that knows the answers and an estimator that measures a drawn iris ---


@pytest.fixture
def face(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FaceFrame:
    face = face_frame()
    Image.fromarray(face.frame).save(tmp_path / "face.png")
    monkeypatch.setattr(landmarker, "MediaPipeLandmarker", lambda model: FixedLandmarker(face))
    monkeypatch.setattr(trained_models, "open_estimator", lambda *choice: IrisEstimator())
    return face


def test_a_camera_frame_gives_both_eyes_and_arrows(call: Call, face: FaceFrame, tmp_path: Path) -> None:
    camera = tmp_path / "camera.toml"
    camera.write_text(f"camera_matrix = {CAMERA.matrix.tolist()}\ndistortion = {list(CAMERA.distortion)}\n")
    result = call(
        "predict", tmp_path, tmp_path / "face.png", "--camera-frames", "--face-landmarker", "x.task",
        "--camera", camera, "--overlay", tmp_path / "arrows", "--csv", tmp_path / "x.csv",
    )  # fmt: skip
    assert result.exit_code == 0
    assert "2 estimates" in result.stdout
    assert "no camera was given" not in result.stderr
    assert "labels taken for rotation_only" in result.stderr
    with (tmp_path / "x.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            origin = np.array([float(row[axis]) for axis in ("x_mm", "y_mm", "z_mm")])
            gaze = np.array([float(row[axis]) for axis in ("gaze_x", "gaze_y", "gaze_z")])
            true = face.target_mm - origin
            assert np.degrees(np.arccos(gaze @ true / np.linalg.norm(true))) < 1.5
    with Image.open(tmp_path / "arrows" / "face.png") as drawn:
        assert drawn.width == 1280


@pytest.mark.usefixtures("face")
def test_without_a_camera_the_assumption_is_told(call: Call, tmp_path: Path) -> None:
    frame = tmp_path / "face.png"
    result = call("predict", tmp_path, frame, "--camera-frames", "--face-landmarker", "x.task")
    assert result.exit_code == 0
    assert "note: no camera was given: assumed a lens without distortion that sees 60 degrees" in result.stderr


def test_words_in_brackets_are_no_markup(call: Call) -> None:
    shown = " ".join(call("predict", "--help").stdout.replace("│", " ").split())
    for words in (
        "[default: the experiment's last method]",
        "[default: by their size]",
        "[default: by the training data]",
    ):
        assert words in shown
