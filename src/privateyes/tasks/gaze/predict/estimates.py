"""Estimates for pictures, data files and camera frames, as rows of a table."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from privateyes.errors import ConfigError, DataError
from privateyes.files import write_atomically
from privateyes.tasks.gaze.angles import angles_from_vectors
from privateyes.tasks.gaze.camera import ASSUMED_VIEW_DEG, Camera, assumed_camera
from privateyes.tasks.gaze.models import PICTURES
from privateyes.tasks.gaze.normalisation import LabelConvention, VirtualCamera
from privateyes.tasks.gaze.predict.estimator import Estimator
from privateyes.tasks.gaze.predict.landmarker import Landmarker
from privateyes.tasks.gaze.predict.overlay import draw_on_eye, draw_on_frame, draw_text_on, write_picture
from privateyes.tasks.gaze.predict.poses import Eye, PoseSource
from privateyes.tasks.gaze.predict.sources import (
    Batch,
    Skipped,
    Skips,
    data_batches,
    estimate,
    find_pictures,
    finite_estimates,
    is_data_file,
    load_picture,
    picture_batches,
    skip_other_files,
)
from privateyes.tasks.gaze.prepare.pictures import colour_pixels
from privateyes.training.counts import Tell, tell_nobody
from privateyes.wording import counted

if TYPE_CHECKING:
    from privateyes.tasks.gaze.predict.frames import View

Value = str | float
# Labels of these data sets follow the original normalisation; all others are rotated only.
_SCALED_LABELS: Final = frozenset({"mpiigaze"})
_PNG: Final = ".png"
# Blank pictures in a note.
_NAMED: Final = 5
# A spreadsheet runs a cell that begins so; names of foreign files must not become programs.
_FORMULA: Final = ("=", "+", "-", "@")
_FRAME_COLUMNS: Final = (
    "image", "eye", "pitch_deg", "yaw_deg", "gaze_x", "gaze_y", "gaze_z", "x_mm", "y_mm", "z_mm",
    "head_pitch_deg", "head_yaw_deg", "misfit_px",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Predictions:
    """A table of estimates.

    Attributes:
        columns: its headings, with units.
        rows: one for each eye, in the order of the source; texts and numbers.
        skipped: what could not be used.
        notes: what a reader has to know to trust the numbers.
    """

    columns: tuple[str, ...]
    rows: list[tuple[Value, ...]]
    skipped: list[Skipped] = field(default_factory=list)
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class FrameSettings:
    """How camera frames are read.

    Attributes:
        landmarker: finds the face.
        virtual: the virtual camera, see `frames.choose_virtual_camera`.
        camera: took the frames; None assumes one for each.
        convention: of the labels that the model learned; None goes by its training data.
    """

    landmarker: Landmarker
    virtual: VirtualCamera
    camera: Camera | None = None
    convention: LabelConvention | None = None


def predict_pictures(
    estimator: Estimator,
    target: Path,
    poses: PoseSource,
    eye: Eye = "left",
    overlay: Path | None = None,
    tell: Tell = tell_nobody,
) -> Predictions:
    """Estimate gaze in pictures of normalised eyes, or in a data file of the project's layout.

    Args:
        estimator: the model.
        target: a picture, a folder of pictures, or an .h5 file.
        poses: head poses of pictures.
        eye: what pictures show where the table of poses does not say it. Right eyes are mirrored for the model, and the
            result is mirrored back. Those of data files are stored mirrored, and so are their results.
        overlay: a folder for pictures with arrows.
        tell: is told how many pictures are done, and of how many; 0 where that is not known.

    Raises:
        DataError: nothing could be used.
        ConfigError: the model needs something that is not there.
    """
    skips = Skips(strict=target.is_file())
    facts = estimator.facts
    if is_data_file(target):
        batches = data_batches(target, facts, poses)
    else:
        batches = picture_batches(target, facts, poses, eye, skips)
    columns = ("image", "eye", "pitch_deg", "yaw_deg") if facts.label == "gaze" else ("image", "eye", "x_cm", "y_cm")
    rows: list[tuple[Value, ...]] = []
    blank: list[str] = []
    drawn = None if overlay is None else _Overlay(overlay, target)
    total = 0 if is_data_file(target) else len(find_pictures(target))
    for batch in batches:
        tell(len(rows) + len(skips.found), total)
        estimated = estimate(estimator, batch)
        blank += _blank(batch)
        shown = np.rad2deg(estimated) if facts.label == "gaze" else estimated
        rows += [
            (name, side, float(first), float(second))
            for name, side, (first, second) in zip(batch.names, batch.eyes, shown, strict=True)
        ]
        if drawn is not None:
            _draw_batch(drawn, batch, estimated, facts.label == "gaze")
    _refuse_empty(target, rows, skips)
    notes = (*_notes_on_blank(blank), *(() if is_data_file(target) else _notes_on_pictures(estimator)))
    return Predictions(columns, rows, skips.found, notes)


def predict_frames(
    estimator: Estimator,
    target: Path,
    settings: FrameSettings,
    overlay: Path | None = None,
    tell: Tell = tell_nobody,
) -> Predictions:
    """Estimate gaze in pictures of a camera: faces, heads, normalised views, and back to the camera.

    Args:
        estimator: a model of gaze angles that takes the image and, maybe, the head's pose.
        target: a picture or a folder of pictures.
        settings: how to read them.
        overlay: a folder for frames with arrows.
        tell: is told how many pictures are done, and of how many.

    Returns:
        For each eye (or face) the gaze in the camera's frame, as angles in degrees and as a unit vector, the place it
        starts from in mm, the head's angles in the virtual camera's frame, and how well the landmarks fit a head.

    Raises:
        DataError: nothing could be used, or the camera is not the one of these frames.
        ConfigError: the model cannot be used with frames.
    """
    facts = estimator.facts
    if facts.label != "gaze" or not set(facts.inputs) <= {"image", "pose"}:
        needs = f"takes {', '.join(facts.inputs)} and estimates the {facts.label}"
        problem = f"model {facts.model} cannot be used on camera frames, since it {needs}"
        raise ConfigError(problem, "use a model of gaze angles that takes the image and the head's pose")
    convention = settings.convention or _convention_of(facts.dataset)
    paths = find_pictures(target)
    skips = Skips(strict=target.is_file())
    skip_other_files(target, skips)
    drawn = None if overlay is None else _Overlay(overlay, target)
    rows: list[tuple[Value, ...]] = []
    for done, path in enumerate(paths):
        tell(done, len(paths))
        name = path.relative_to(target).as_posix() if path != target else path.name
        try:
            frame = colour_pixels(load_picture(path))
            rows += _predict_frame(estimator, name, frame, settings, convention, drawn)
        except DataError as error:
            skips.add(path, name, error)
    _refuse_empty(target, rows, skips)
    notes = (*_notes(settings, convention), *_notes_on_pictures(estimator))
    return Predictions(_FRAME_COLUMNS, rows, skips.found, notes)


def refuse_csv_place(path: Path) -> None:
    """Find out before the work whether a table could be written after it.

    Raises:
        DataError: the folder is missing, or the name is a folder's.
    """
    if path.is_dir() or not path.parent.is_dir():
        raise DataError(f"{path}: there is no folder {path.parent}, or this is one", "choose another --csv")


def write_csv(path: Path, predictions: Predictions) -> None:
    """Write the table, completely or not at all; numbers with six digits after the point.

    Raises:
        DataError: the file cannot be written.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(predictions.columns)
    writer.writerows([_cell(value) for value in row] for row in predictions.rows)
    try:
        write_atomically(path, text.getvalue().encode())
    except OSError as error:
        raise DataError(f"{path} cannot be written ({error.strerror})", "choose another --csv") from error


def _predict_frame(
    estimator: Estimator,
    name: str,
    frame: NDArray[np.uint8],
    settings: FrameSettings,
    convention: LabelConvention,
    drawn: _Overlay | None,
) -> list[tuple[Value, ...]]:
    from privateyes.tasks.gaze.predict.frames import find_views  # with scipy, which normalised eyes do not need

    camera = settings.camera or assumed_camera(*frame.shape[:2])
    camera.refuse_other_frame(*frame.shape[:2])
    landmarks = settings.landmarker.landmarks(frame)
    if landmarks is None:
        raise DataError("no face was found", "leave it out")
    grey = np.array(Image.fromarray(frame).convert("L"))
    facts = estimator.facts
    colours = len(facts.image_shape) == 3 or facts.pictures.grey
    head, views = find_views(frame if colours else grey, landmarks, camera, settings.virtual)
    columns: dict[str, NDArray[Any]] = {
        "image": facts.pictures_from(None).apply(np.stack([view.picture for view in views])),
        "pose": np.array([view.pose for view in views], dtype=np.float32),
    }
    estimated = finite_estimates(estimator, {column: columns[column] for column in facts.inputs})
    gazes = [view.gaze_in_camera(angles, convention) for view, angles in zip(views, estimated, strict=True)]
    if drawn is not None:
        arrows = [(view.normalisation.centre_mm, gaze) for view, gaze in zip(views, gazes, strict=True)]
        text = "   ".join(f"{view.part} {_degrees(gaze)}" for view, gaze in zip(views, gazes, strict=True))
        write_picture(drawn.path_of(name), draw_on_frame(frame, camera, arrows, text))
    return [_frame_row(name, view, gaze, head.misfit_px) for view, gaze in zip(views, gazes, strict=True)]


def _frame_row(name: str, view: View, gaze: NDArray[np.float64], misfit_px: float) -> tuple[Value, ...]:
    angles = np.rad2deg(angles_from_vectors(gaze))
    pose = np.rad2deg(view.unmirrored(view.pose))
    numbers: Iterable[float] = (*angles, *gaze, *view.normalisation.centre_mm, *pose, misfit_px)
    return (name, view.part, *(float(number) for number in numbers))


def _convention_of(dataset: str | None) -> LabelConvention:
    return LabelConvention.WITH_SCALE if dataset in _SCALED_LABELS else LabelConvention.ROTATION_ONLY


def _notes(settings: FrameSettings, convention: LabelConvention) -> tuple[str, ...]:
    notes = []
    if settings.camera is None:
        notes.append(
            f"no camera was given: assumed a lens without distortion that sees {ASSUMED_VIEW_DEG:g} degrees across the "
            "longer side; distances are as wrong as that is, angles less so (--camera FILE gives the real one)"
        )
    if settings.convention is None:
        notes.append(f"labels taken for {convention.value}; say --labels if the training data's are others")
    return tuple(notes)


def _notes_on_pictures(estimator: Estimator) -> tuple[str, ...]:
    if not estimator.facts.trained_equalised:
        return ()
    return (f"pictures were equalised: those of {estimator.facts.dataset}, which the model learned from, come so",)


def _blank(batch: Batch) -> list[str]:
    """Rows with a picture of one grey level, in which nobody sees an eye."""
    pictures = [batch.columns[name].reshape(len(batch), -1) for name in PICTURES if name in batch.columns]
    blank = np.any([rows.min(axis=1) == rows.max(axis=1) for rows in pictures], axis=0)
    return [name for name, is_blank in zip(batch.names, blank, strict=True) if is_blank]


def _notes_on_blank(blank: list[str]) -> tuple[str, ...]:
    if not blank:
        return ()
    shown = ", ".join(blank[:_NAMED]) + (f" and {len(blank) - _NAMED} more" if len(blank) > _NAMED else "")
    what = counted(len(blank), "estimate")
    return (f"{what} of pictures of one grey level, black or white, which show nothing: {shown}",)


def _draw_batch(overlay: _Overlay, batch: Batch, estimated: NDArray[np.float32], angles: bool) -> None:
    for name, picture, values in zip(batch.names, batch.columns["image"], estimated, strict=True):
        if angles:
            pitch, yaw = np.rad2deg(values)
            drawn = draw_on_eye(picture, values, f"pitch {pitch:+.1f}°   yaw {yaw:+.1f}°")
        else:
            drawn = draw_text_on(picture, f"x {values[0]:+.1f} cm   y {values[1]:+.1f} cm")
        write_picture(overlay.path_of(name), drawn)


class _Overlay:
    """Names for pictures with arrows: two sources never share one, and no source is written over.

    Args:
        folder: where they go.
        target: the sources; arrows may go into their own folder.
    """

    def __init__(self, folder: Path, target: Path) -> None:
        self._folder = folder
        self._taken = set() if is_data_file(target) else {path.resolve() for path in find_pictures(target)}

    def path_of(self, name: str) -> Path:
        """``a/b.png`` -> ``FOLDER/a/b.png``, ``a/b.jpg`` -> ``FOLDER/a/b.jpg.png``; one more .png if that is taken."""
        path = self._folder / (name if name.lower().endswith(_PNG) else f"{name}{_PNG}")
        while path.resolve() in self._taken:
            path = path.with_name(f"{path.name}{_PNG}")
        self._taken.add(path.resolve())
        return path


def _degrees(gaze: NDArray[np.float64]) -> str:
    pitch, yaw = np.rad2deg(angles_from_vectors(gaze))
    return f"pitch {pitch:+.1f}° yaw {yaw:+.1f}°"


def _refuse_empty(target: Path, rows: list[tuple[Value, ...]], skips: Skips) -> None:
    if rows:
        return
    first = skips.found[0] if skips.found else Skipped("", "it holds nothing")
    problem = f"{target}: none of {counted(len(skips.found), 'file')} could be used ({first.name}: {first.reason})"
    raise DataError(problem, "check what they are, and which images the model takes")


def _cell(value: Value) -> str:
    if isinstance(value, float):
        return f"{value:.6f}"
    return f"'{value}" if value.startswith(_FORMULA) else value
