"""What gaze adds to ``import privateyes as pe``; docs/python.md has an example of each."""

from __future__ import annotations

from pathlib import Path

from privateyes.api import Place
from privateyes.tasks.gaze.export import Exported, export_run
from privateyes.tasks.gaze.predict.estimates import Predictions, predict_pictures
from privateyes.tasks.gaze.predict.poses import parse_eye, parse_pose
from privateyes.tasks.gaze.trained import open_estimator


def predict(
    model: Place,
    source: Place,
    *,
    method: str | None = None,
    fold: str | None = None,
    client: str | None = None,
    pose: str | None = None,
    eye: str = "left",
    overlay: Place | None = None,
) -> Predictions:
    """Estimate gaze in pictures of normalised eyes, or in a data file (`privateyes predict`).

    Args:
        model: a run's directory, or an ONNX file.
        source: a picture, a folder or an .h5 file.
        method, fold, client: whose model, where a run has several.
        pose: the head's pose in degrees, "PITCH,YAW" for all, or the name of a table, for models that need it.
        eye: "left" or "right": what pictures show.
        overlay: a folder for pictures with arrows.

    Raises:
        ConfigError, DataError, RunDirectoryError: model, pictures or options cannot be used.
    """
    estimator = open_estimator(Path(model), method, fold, client)
    side = parse_eye("eye", eye) or "left"
    return predict_pictures(estimator, Path(source), parse_pose(pose), side, None if overlay is None else Path(overlay))


def export(
    run: Place, out: Place, *, method: str | None = None, fold: str | None = None, client: str | None = None
) -> Exported:
    """Write a run's model as an ONNX file (`privateyes export`); arguments and errors are those of `export_run`."""
    return export_run(Path(run), Path(out), method, fold, client)
