"""What changes from image to image: gaze, head, lids, light and camera, drawn per recording day and per sample.

Everything is drawn for the unmirrored image; what belongs to a right eye is mirrored afterwards, as the right eyes'
images are. Draws are row by row from streams of their own, so the first n images of a person do not depend on how many
are asked for.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Final

import numpy as np
from numpy.typing import NDArray

from privateyes.tasks.gaze.angles import angles_from_vectors, vectors_from_angles
from privateyes.tasks.gaze.synthetic.anatomy import (
    DAY_STREAM,
    NORMAL_STREAM,
    UNIFORM_STREAM,
    EyeAnatomy,
    PersonAnatomy,
    person_generator,
)
from privateyes.tasks.gaze.synthetic.axes import eye_in_head_angles, head_rotation, optical_axis, rotate
from privateyes.tasks.gaze.synthetic.surface import LID_THICKNESS_MM

Floats = NDArray[np.float64]

DAYS: Final = 10
# Largest eye-in-head angles, radians: beyond them people turn the head.
PITCH_LIMIT: Final = float(np.radians(24.0))
YAW_LIMIT: Final = float(np.radians(27.0))
# Height of the eye corners over the eyeball's centre: the image is centred between the corners.
CORNER_HEIGHT_MM: Final = 6.0

# What the compiled part reads, by topic; all float64.
_FRAME_FIELDS: Final = (
    # head to camera: the first two rows of the rotation
    *("r00", "r01", "r02", "r10", "r11", "r12"),
    # the iris plane's directions and the optical axis in the camera frame; distances along it from the eyeball's centre
    *("across_x", "across_y", "across_z", "down_x", "down_y", "down_z", "axis_x", "axis_y", "axis_z"),
    *("limbus", "cornea", "pupil"),
    # where the image's centre lies, mm from the eyeball's centre; magnification
    *("centre_x", "centre_y", "zoom"),
    # the lids' opening above and below the line of the corners, the crease above it, the lashes' projected length, mm
    *("upper", "lower", "crease", "reach"),
    # the lamp's direction in the camera frame and in the head frame, and how much light comes from where
    *("light_x", "light_y", "light_z", "light_u", "light_v", "light_w", "ambient", "diffuse", "haze", "lamp"),
    # the screen, as mirrored in the cornea
    *("screen_x", "screen_y", "screen_z", "screen_width", "screen_height", "screen"),
    # the camera; blur in pixels of an image 60 pixels wide, noise in grey levels
    *("gradient_x", "gradient_y", "exposure", "gamma", "contrast", "blur_x", "blur_y", "noise", "denoise"),
)
FRAME: Final = np.dtype([("side", np.int64), *((name, np.float64) for name in _FRAME_FIELDS)])
EYE: Final = np.dtype([(field.name, np.float64) for field in fields(EyeAnatomy)])


@dataclass(frozen=True, slots=True)
class Scene:
    """All that the renderer needs for N images of one person, and their labels.

    Attributes:
        frames: (N,) of `FRAME`.
        rotation: (N, 3, 3) float64, head to camera.
        optical: (N, 3) float64, the drawn eyeball's axis in the camera frame.
        pose: (N, 2) float64, head (pitch, yaw), radians.
        gaze: (N, 2) float64, labelled gaze (pitch, yaw), radians.
        eyes: (2,) of `EYE`: left, right.
    """

    frames: NDArray[np.void]
    rotation: Floats
    optical: Floats
    pose: Floats
    gaze: Floats
    eyes: NDArray[np.void]


def draw_scene(seed: int, person: int, anatomy: PersonAnatomy, count: int) -> Scene:
    """Draw `count` images of one person: left eyes in even rows, mirrored right eyes in odd rows, days in turn."""
    normal = person_generator(seed, person, NORMAL_STREAM).standard_normal((count, 20))
    uniform = person_generator(seed, person, UNIFORM_STREAM).random((count, 8))
    rows = np.arange(count)
    side, day = rows % 2, (rows // 2) % DAYS
    mirror = np.where(side == 1, -1.0, 1.0)
    days = _draw_days(seed, person)[day]

    gaze, pose, roll = _draw_gaze(anatomy, days, normal, uniform, mirror)
    rotation = head_rotation(pose, roll)
    kappa = np.array([[eye.kappa_pitch_rad, eye.kappa_yaw_rad] for eye in (anatomy.left, anatomy.right)])[side]
    eyes = eye_records(anatomy)
    frames = np.zeros(count, dtype=FRAME)
    frames["side"] = side
    optical = optical_axis(gaze, rotation, kappa)
    _place(frames, eyes, rotation, normal)
    turn_eyeball(frames, eyes, rotation, optical)
    in_head = angles_from_vectors(rotate(rotation.transpose(0, 2, 1), optical))
    openness = anatomy.habits.openness_mean + 0.025 * days[:, 5] + anatomy.habits.openness_spread * normal[:, 6]
    open_lids(frames, eyes, in_head, pose, openness)
    frames["pupil"] = eyes["pupil_radius_mm"][side] * np.exp(0.08 * days[:, 6] + 0.05 * normal[:, 7])
    _light(frames, days, normal, uniform, mirror)
    towards_lamp = rotate(rotation.transpose(0, 2, 1), _columns(frames, "light_x", "light_y", "light_z"))
    frames["light_u"], frames["light_v"], frames["light_w"] = towards_lamp.T
    _camera(frames, eyes, days, normal, uniform, mirror)
    return Scene(frames, rotation, optical, pose, gaze, eyes)


def eye_records(anatomy: PersonAnatomy) -> NDArray[np.void]:
    """Both eyes as a (2,) structured array, which compiled code can read."""
    eyes = np.zeros(2, dtype=EYE)
    for record, eye in zip(eyes, (anatomy.left, anatomy.right), strict=True):
        for name in EYE.names or ():
            record[name] = getattr(eye, name)
    return eyes


def _draw_days(seed: int, person: int) -> Floats:
    """(DAYS, 24) standard normal draws; which column means what is decided where it is used."""
    return person_generator(seed, person, DAY_STREAM).standard_normal((DAYS, 24)).clip(-2.2, 2.2)


def _draw_gaze(
    anatomy: PersonAnatomy, days: Floats, normal: Floats, uniform: Floats, mirror: Floats
) -> tuple[Floats, Floats, Floats]:
    """Targets on a screen below the camera; the head turns part of the way. Returns gaze, pose and head roll."""
    habits = anatomy.habits
    degree = np.pi / 180
    target_pitch = habits.gaze_pitch_mean + habits.gaze_pitch_half_range * (2 * uniform[:, 0] - 1)
    target_yaw = habits.gaze_yaw_mean + habits.gaze_yaw_half_range * (2 * uniform[:, 1] - 1)
    target_pitch = target_pitch + degree * (1.2 * days[:, 0] + 0.8 * normal[:, 0])
    target_yaw = target_yaw + degree * (2.0 * days[:, 1] + 1.5 * normal[:, 1])
    away = np.stack([target_pitch - habits.gaze_pitch_mean, target_yaw - habits.gaze_yaw_mean], axis=-1)
    pose = np.stack(
        [
            habits.head_pitch_mean + habits.head_pitch_spread * (0.7 * days[:, 2] + 0.6 * normal[:, 2]),
            habits.head_yaw_mean + habits.head_yaw_spread * (0.6 * days[:, 3] + 0.6 * normal[:, 3]),
        ],
        axis=-1,
    )
    pose = pose + habits.head_follow * away
    roll = degree * (1.2 * days[:, 4] + 1.0 * normal[:, 4])
    # The eye turns only so far in the head; the label follows what the eye really does.
    rotation = head_rotation(pose, roll)
    in_head = eye_in_head_angles(np.stack([target_pitch, target_yaw], axis=-1), rotation)
    limit = np.array([PITCH_LIMIT, YAW_LIMIT])
    in_head = limit * np.tanh(in_head / limit)
    gaze = np.asarray(angles_from_vectors(rotate(rotation, vectors_from_angles(in_head))))
    flip = np.stack([np.ones_like(mirror), mirror], axis=-1)
    return gaze * flip, pose * flip, roll * mirror


def _place(frames: NDArray[np.void], eyes: NDArray[np.void], rotation: Floats, normal: Floats) -> None:
    """Centre the image between the eye corners, with a small error as face alignment makes it."""
    eye = eyes[frames["side"]]
    middle = np.stack(
        [
            (eye["inner_x_mm"] + eye["outer_x_mm"]) / 2,
            (eye["inner_y_mm"] + eye["outer_y_mm"]) / 2 - 0.6,
            np.full(len(frames), -CORNER_HEIGHT_MM),
        ],
        axis=-1,
    )
    seen = rotate(rotation, middle)
    frames["centre_x"] = seen[:, 0] + 0.34 * normal[:, 8]
    frames["centre_y"] = seen[:, 1] + 0.34 * normal[:, 9]
    frames["zoom"] = eye["nearness"] * (1.0 + 0.012 * normal[:, 10])


def _columns(frames: NDArray[np.void], *names: str) -> Floats:
    return np.stack([frames[name] for name in names], axis=-1)


def turn_eyeball(frames: NDArray[np.void], eyes: NDArray[np.void], rotation: Floats, optical: Floats) -> None:
    """Set the eyeball's geometry for the optical axes (N, 3), in place."""
    eye = eyes[frames["side"]]
    for i, j in np.ndindex(2, 3):
        frames[f"r{i}{j}"] = rotation[:, i, j]
    across = np.cross(optical, rotation[:, :, 1])
    across /= np.linalg.norm(across, axis=-1, keepdims=True)
    down = np.cross(across, optical)
    for name, vectors in (("across", across), ("down", down), ("axis", optical)):
        for k, component in enumerate("xyz"):
            frames[f"{name}_{component}"] = vectors[:, k]
    frames["limbus"] = np.sqrt(eye["eyeball_radius_mm"] ** 2 - eye["iris_radius_mm"] ** 2)
    frames["cornea"] = frames["limbus"] - np.sqrt(eye["cornea_radius_mm"] ** 2 - eye["iris_radius_mm"] ** 2)


def open_lids(
    frames: NDArray[np.void], eyes: NDArray[np.void], in_head: Floats, pose: Floats, openness: Floats
) -> None:
    """Set the lids, the crease and the lashes for the optical axis' (pitch, yaw) in the head, in place."""
    eye = eyes[frames["side"]]
    travel = eye["eyeball_radius_mm"] * np.sin(in_head[:, 0])
    upper = eye["upper_opening_mm"] * openness + eye["upper_follow"] * travel
    lower = eye["lower_opening_mm"] * (0.5 + 0.5 * openness) - eye["lower_follow"] * travel
    frames["lower"] = np.maximum(lower, 2.0)
    frames["upper"] = np.clip(upper, 2.0 - frames["lower"] * 0.2, 9.5)
    # The fold above the crease stays behind while the lid unrolls downward.
    rest = eye["upper_opening_mm"] + eye["crease_mm"]
    frames["crease"] = np.maximum(rest + 0.45 * (frames["upper"] - eye["upper_opening_mm"]), frames["upper"] + 0.7)
    elevation = np.arcsin(np.clip((frames["upper"] - 1.0) / (eye["eyeball_radius_mm"] + LID_THICKNESS_MM), -0.9, 0.9))
    reach = eye["lash_length_mm"] * np.sin(eye["lash_curl_rad"] + 0.8 * elevation + pose[:, 0] - 0.15)
    frames["reach"] = np.where(reach < 0, -1.0, 1.0) * np.maximum(np.abs(reach), 0.3)


def _light(frames: NDArray[np.void], days: Floats, normal: Floats, uniform: Floats, mirror: Floats) -> None:
    """A lamp or window, the ambient share, and the screen, which is mirrored in the cornea."""
    azimuth = 0.75 * days[:, 7] + 0.10 * normal[:, 11]
    elevation = np.clip(0.55 + 0.40 * days[:, 8] + 0.06 * normal[:, 12], -0.3, 1.3)
    frames["light_x"] = mirror * np.sin(azimuth) * np.cos(elevation)
    frames["light_y"] = -np.sin(elevation)
    frames["light_z"] = -np.cos(azimuth) * np.cos(elevation)
    share = 1.0 / (1.0 + np.exp(-(0.2 + 0.8 * days[:, 9] + 0.1 * normal[:, 13])))
    frames["ambient"] = 0.16 + 0.50 * share
    frames["diffuse"] = 1.45 * (1.0 - share) + 0.1
    frames["haze"] = np.clip(0.014 + 0.010 * days[:, 10], 0.003, None)
    screen_x = mirror * (0.05 * days[:, 11] + 0.03 * normal[:, 14])
    screen_y = 0.16 + 0.06 * days[:, 12] + 0.03 * normal[:, 15]
    frames["screen_x"], frames["screen_y"] = screen_x, screen_y
    frames["screen_z"] = -np.sqrt(1 - screen_x**2 - screen_y**2)
    frames["screen_width"] = 0.26 + 0.04 * days[:, 13]
    frames["screen_height"] = 0.17 + 0.03 * days[:, 13]
    # What is on the screen changes, and so does its reflection; on some days the room outshines it.
    shown = 0.3 + 0.7 * uniform[:, 2]
    frames["screen"] = np.clip(0.14 + 0.26 * days[:, 14], 0.0, 0.8) * shown
    frames["lamp"] = np.clip(0.8 + 1.0 * days[:, 15], 0.0, 2.4) * (0.6 + 0.4 * uniform[:, 3])


def _camera(
    frames: NDArray[np.void], eyes: NDArray[np.void], days: Floats, normal: Floats, uniform: Floats, mirror: Floats
) -> None:
    eye = eyes[frames["side"]]
    frames["gradient_x"] = mirror * (0.16 * days[:, 16] + 0.03 * normal[:, 16])
    frames["gradient_y"] = 0.12 * days[:, 17] + 0.03 * normal[:, 17]
    # Automatic exposure makes dark and light skin more alike, but not the same.
    expected = eye["skin_albedo"] ** 0.7 * (frames["ambient"] + 0.6 * frames["diffuse"])
    frames["exposure"] = 0.36 / expected * np.exp(0.23 * days[:, 18] + 0.10 * normal[:, 18])
    frames["gamma"] = np.clip(2.1 + 0.18 * days[:, 19], 1.6, 2.6)
    frames["contrast"] = np.clip(0.75 + 0.30 * days[:, 23], 0.1, 1.3)
    blur = np.clip(0.62 + 0.22 * days[:, 20] + 0.08 * normal[:, 19], 0.3, 1.4)
    moving = uniform[:, 4] < 0.12
    frames["blur_x"] = np.hypot(blur, np.where(moving, 1.3 * uniform[:, 5], 0.0))
    frames["blur_y"] = np.hypot(blur, np.where(moving, 0.9 * uniform[:, 6], 0.0))
    frames["noise"] = np.clip(4.0 + 2.2 * days[:, 21], 1.2, 8.5)
    frames["denoise"] = np.clip(0.12 + 0.08 * days[:, 22], 0.0, 0.25)
