"""`privateyes predict`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from privateyes.tasks.gaze.predict.estimates import FrameSettings, Predictions
    from privateyes.tasks.gaze.predict.estimator import Estimator

_FRAMES = "Camera frames"


_Pose = Annotated[
    str | None,
    typer.Option(
        metavar="PITCH,YAW|FILE.csv",
        help="The head's pose in degrees, for models that need it: one for all, as --pose=-5,10, or a table with "
        "the columns image, pitch_deg, yaw_deg and, if you like, eye.",
    ),
]
_FaceLandmarker = Annotated[
    Path | None,
    typer.Option(metavar="FILE.task", help="MediaPipe's face landmarker model.", rich_help_panel=_FRAMES),
]
_Camera = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE.toml|json",
        help="camera_matrix and distortion of a calibration; without it a lens is assumed.",
        rich_help_panel=_FRAMES,
    ),
]
_VirtualCamera = Annotated[
    str | None,
    typer.Option(
        metavar="NAME|FOCAL_PX,DISTANCE_MM",
        help=r"How the model's images were normalised: eye, face, face-448, eth-xgaze. \[default: by their size]",
        rich_help_panel=_FRAMES,
    ),
]
_Labels = Annotated[
    str | None,
    typer.Option(
        metavar="rotation_only|with_scale",
        help=r"How its labels were normalised. \[default: by the training data]",
        rich_help_panel=_FRAMES,
    ),
]
_CameraFrames = Annotated[
    bool, typer.Option("--camera-frames", help="Pictures of faces as a camera takes them.", rich_help_panel=_FRAMES)
]


def command(
    model: Annotated[Path, typer.Argument(metavar="RUN|MODEL.onnx", help="A run's directory, or an exported model.")],
    source: Annotated[Path, typer.Argument(metavar="IMAGE|FOLDER|FILE.h5", help="What to look at.")],
    method: Annotated[str | None, typer.Option(help=r"Whose model. \[default: the experiment's last method]")] = None,
    fold: Annotated[str | None, typer.Option(help=r"Of which fold. \[default: the first]")] = None,
    client: Annotated[str | None, typer.Option(help="Whose model, where every client has its own.")] = None,
    pose: _Pose = None,
    eye: Annotated[str, typer.Option(metavar="left|right", help="Which eye pictures show.")] = "left",
    csv: Annotated[Path | None, typer.Option("--csv", metavar="OUT.csv", help="Write all rows to a table.")] = None,
    overlay: Annotated[Path | None, typer.Option(metavar="DIR", help="Write pictures with arrows.")] = None,
    camera_frames: _CameraFrames = False,
    face_landmarker: _FaceLandmarker = None,
    camera: _Camera = None,
    virtual_camera: _VirtualCamera = None,
    labels: _Labels = None,
) -> None:
    """Estimate gaze in pictures of normalised eyes, in a data file, or in camera frames.

    Pitch is positive upwards, yaw towards the image's left; 0, 0 looks into the camera.

    Exit codes:

    - 0: there are estimates, perhaps of some pictures only.
    - 2: model, pictures or options cannot be used.

    Example: privateyes predict runs/demo eyes/ --pose 0,0 --overlay arrows --csv gaze.csv

    Example: privateyes predict runs/demo photo.jpg --camera-frames --face-landmarker face_landmarker.task
    """
    from privateyes.cli.counting import choose_counter
    from privateyes.errors import ConfigError
    from privateyes.tasks.gaze.predict.estimates import predict_frames, predict_pictures, refuse_csv_place, write_csv
    from privateyes.tasks.gaze.predict.poses import parse_eye, parse_pose
    from privateyes.tasks.gaze.predict.sources import is_data_file
    from privateyes.tasks.gaze.trained import open_estimator

    if csv is not None:
        refuse_csv_place(csv)
    side = parse_eye("--eye", eye) or "left"
    if side == "right" and (camera_frames or is_data_file(source)):
        what = "camera frames show both" if camera_frames else "the data file's right eyes are stored mirrored"
        raise ConfigError("--eye right is for pictures of normalised eyes", f"leave it out: {what}")
    estimator = open_estimator(model, method, fold, client)
    if camera_frames:
        if pose is not None:
            raise ConfigError("--pose does not go with --camera-frames", "the frames show the head's pose")
        settings = _frame_settings(estimator, face_landmarker, camera, virtual_camera, labels)
        with choose_counter("pictures done") as tell:
            predictions = predict_frames(estimator, source, settings, overlay, tell)
    else:
        _refuse_frame_options(face_landmarker, camera, virtual_camera, labels)
        with choose_counter("pictures done") as tell:
            predictions = predict_pictures(estimator, source, parse_pose(pose), side, overlay, tell)
    if csv is not None:
        write_csv(csv, predictions)
    _show(estimator, predictions, csv)


def _frame_settings(
    estimator: Estimator, face_landmarker: Path | None, camera: Path | None, virtual: str | None, labels: str | None
) -> FrameSettings:
    from privateyes.errors import ConfigError
    from privateyes.tasks.gaze.camera import load_camera
    from privateyes.tasks.gaze.normalisation import LabelConvention
    from privateyes.tasks.gaze.predict.estimates import FrameSettings
    from privateyes.tasks.gaze.predict.frames import choose_virtual_camera
    from privateyes.tasks.gaze.predict.landmarker import HOW_TO_GET, MediaPipeLandmarker

    if face_landmarker is None:
        raise ConfigError("--camera-frames needs --face-landmarker FILE.task", HOW_TO_GET)
    known = {convention.value: convention for convention in LabelConvention}
    if labels is not None and labels not in known:
        raise ConfigError(f"--labels {labels}", f"say {' or '.join(known)}")
    chosen = choose_virtual_camera(estimator.facts.image_shape, virtual, estimator.facts.dataset)
    intrinsics = None if camera is None else load_camera(camera)
    return FrameSettings(
        MediaPipeLandmarker(face_landmarker), chosen, intrinsics, None if labels is None else known[labels]
    )


def _refuse_frame_options(
    face_landmarker: Path | None, camera: Path | None, virtual: str | None, labels: str | None
) -> None:
    from privateyes.errors import ConfigError

    given = {"--face-landmarker": face_landmarker, "--camera": camera, "--virtual-camera": virtual, "--labels": labels}
    for option, value in given.items():
        if value is not None:
            raise ConfigError(f"{option} goes with --camera-frames only", "add --camera-frames, or leave it out")


def _show(estimator: Estimator, predictions: Predictions, csv: Path | None) -> None:
    from privateyes.tasks.gaze.commands.prediction_table import print_predictions

    print_predictions(estimator.facts.source, predictions, csv)
