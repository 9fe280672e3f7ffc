"""Data normalisation: what a virtual camera would have seen that looks straight at an eye or a face [Normalisation].

A virtual camera stands at a fixed distance, looks at the centre of the eye (or face) and is turned about its axis until
the head has no roll. With unit vectors z towards the centre, y along z x head_x and x along y x z as the rows of R,
with S = diag(1, 1, d_n / d) for a centre at the distance d, and camera matrices C of the camera and C_n of the virtual
one, the image is warped by W = C_n S R C^-1.

How labels follow is a convention, and data sets differ:

- ROTATION_ONLY turns a gaze by R. It is the corrected method of 2018, of MPIIFaceGaze and of ETH-XGaze, and what a
  camera that really stood there would measure.
- WITH_SCALE applies S R, as to the image. It is the original method, and that of MPIIGaze's labels.

A head's direction is turned by R in both. Angles are (pitch, yaw) as in `tasks.gaze.angles`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from types import MappingProxyType
from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from privateyes.errors import DataError
from privateyes.tasks.gaze.angles import angles_from_vectors, vectors_from_angles
from privateyes.tasks.gaze.camera import Camera

Floats = NDArray[np.float64]

# Nearer than this stands no camera; a distance in metres or centimetres looks like it.
_NEAREST_MM: Final = 100.0
_FURTHEST_MM: Final = 20_000.0
_ORTHONORMAL: Final = 1e-6


class LabelConvention(Enum):
    """What is done to a gaze when its image is normalised."""

    ROTATION_ONLY = "rotation_only"
    WITH_SCALE = "with_scale"


@dataclass(frozen=True, slots=True)
class VirtualCamera:
    """A camera as one would like to have it: without distortion, its axis through the image's centre.

    Args:
        focal_px: focal length, pixels.
        distance_mm: between camera and centre.
        width_px: of the image.
        height_px: of the image.
    """

    focal_px: float
    distance_mm: float
    width_px: int
    height_px: int

    @property
    def matrix(self) -> Floats:
        """(3, 3); the axis meets the image at (width / 2, height / 2), as in the published code."""
        across, along = self.width_px / 2, self.height_px / 2
        return np.array([[self.focal_px, 0.0, across], [0.0, self.focal_px, along], [0.0, 0.0, 1.0]])


VIRTUAL_CAMERAS: Final = MappingProxyType(
    {
        "eye": VirtualCamera(960.0, 600.0, 60, 36),
        "face": VirtualCamera(1600.0, 1000.0, 224, 224),
        "face-448": VirtualCamera(960.0, 300.0, 448, 448),
        "eth-xgaze": VirtualCamera(960.0, 600.0, 224, 224),
    }
)
"""The data sets' cameras: MPIIGaze, MPIIFaceGaze in two sizes, and ETH-XGaze."""


@dataclass(frozen=True, slots=True, eq=False)
class Normalisation:
    """From a camera to a virtual one. `normalise` makes it.

    Attributes:
        rotation: (3, 3) R, from the camera's to the virtual camera's frame.
        warp: (3, 3) W, from ideal pixels of the camera (distortion undone) to pixels of the virtual camera.
        scale: d_n / d.
        centre_mm: (3,) what the virtual camera looks at, in the camera's frame.
        camera: the camera.
        virtual: the virtual camera.
    """

    rotation: Floats = field(repr=False)
    warp: Floats = field(repr=False)
    scale: float
    centre_mm: Floats = field(repr=False)
    camera: Camera
    virtual: VirtualCamera

    def gaze_angles(self, gaze: ArrayLike, convention: LabelConvention) -> Floats:
        """(pitch, yaw), radians, of a gaze (..., 3) of any length in the camera's frame.

        Raises:
            DataError: the shape is another, or a value is not finite, or a gaze has no length.
        """
        return angles_from_vectors(_directions("gaze", gaze) @ self._conversion(convention).T)

    def gaze_towards(self, target_mm: ArrayLike, convention: LabelConvention) -> Floats:
        """(pitch, yaw), radians, of the gaze from the centre to a point (3,) mm in the camera's frame.

        Raises:
            DataError: the point is not finite, or is the centre itself.
        """
        return self.gaze_angles(np.asarray(target_mm, dtype=np.float64) - self.centre_mm, convention)

    def gaze_in_camera(self, pitch_yaw: ArrayLike, convention: LabelConvention) -> Floats:
        """The inverse of `gaze_angles`: unit vectors (..., 3) in the camera's frame, of angles (..., 2) radians."""
        vectors = vectors_from_angles(pitch_yaw) @ np.linalg.inv(self._conversion(convention)).T
        unit: Floats = vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)
        return unit

    def head_angles(self, head_rotation: ArrayLike) -> Floats:
        """(2,) (pitch, yaw), radians, of a head whose rotation (3, 3) leads from the face model to the camera.

        The model's z axis points to the back of the head, and the face looks along -z: pitch = asin(z_y) and
        yaw = atan2(z_x, z_z).
        """
        return angles_from_vectors(-(self.rotation @ np.asarray(head_rotation, dtype=np.float64))[:, 2])

    def warp_image(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """What the virtual camera sees, interpolated once, straight from the distorted image; black outside it.

        Args:
            image: (H, W) or (H, W, 3) uint8.

        Returns:
            (height_px, width_px) or (height_px, width_px, 3) uint8.

        Raises:
            DataError: another type or shape, or more than half of the view lies outside the image.
        """
        if image.dtype != np.uint8 or not (image.ndim == 2 or (image.ndim == 3 and image.shape[2] == 3)):
            problem = f"an image of {image.dtype} with the shape {image.shape} cannot be normalised"
            raise DataError(problem, "give uint8 (height, width) or (height, width, 3)")
        from scipy.ndimage import (
            map_coordinates,
        )  # takes long to import, and predicting on normalised eyes has no use of it

        places = self._source_pixels()
        height, width = image.shape[:2]
        inside = np.all((places >= -0.5) & (places <= np.array([width, height]) - 0.5), axis=-1)
        if inside.mean() < 0.5:
            raise DataError("more than half of the view lies outside the image", "leave this image out")
        rows_columns = places[..., ::-1].reshape(-1, 2).T
        channels = image[..., None] if image.ndim == 2 else image
        seen = [
            map_coordinates(channel.astype(np.float32), rows_columns, order=1, mode="nearest")
            for channel in np.moveaxis(channels, 2, 0)
        ]
        pixels = np.stack(seen, axis=-1).reshape(*inside.shape, -1) * inside[..., None]
        result: NDArray[np.uint8] = np.rint(np.clip(pixels, 0, 255)).astype(np.uint8)
        return result[..., 0] if image.ndim == 2 else result

    def _source_pixels(self) -> Floats:
        """(height_px, width_px, 2) where each pixel comes from in the image as the camera took it."""
        rows, columns = np.mgrid[: self.virtual.height_px, : self.virtual.width_px].astype(np.float64)
        rays = np.stack([columns, rows, np.ones_like(rows)], axis=-1) @ np.linalg.inv(self.warp).T
        return self.camera.distort(rays[..., :2] / rays[..., 2:])

    def _conversion(self, convention: LabelConvention) -> Floats:
        if convention is LabelConvention.ROTATION_ONLY:
            return self.rotation
        return np.diag([1.0, 1.0, self.scale]) @ self.rotation


def normalise(camera: Camera, head_rotation: ArrayLike, centre_mm: ArrayLike, virtual: VirtualCamera) -> Normalisation:
    """The virtual camera that looks at `centre_mm` with the head upright.

    Args:
        camera: the camera that took the image.
        head_rotation: (3, 3) from the face model's frame to the camera's.
        centre_mm: (3,) of an eye or of the face, in the camera's frame.
        virtual: what it should be.

    Raises:
        DataError: a shape or a unit is wrong, the centre is not in front of the camera, the rotation is none, or the
            head's x axis points to the camera, so that it has no roll.
    """
    head, centre = (np.asarray(values, dtype=np.float64) for values in (head_rotation, centre_mm))
    _check_rotation(head)
    _check_centre(centre)
    distance = float(np.linalg.norm(centre))
    forward = centre / distance
    down = np.cross(forward, head[:, 0])
    length = float(np.linalg.norm(down))
    if length < _ORTHONORMAL:
        raise DataError("the head is seen from the side exactly, so that it has no roll", "leave this image out")
    down = down / length
    rotation = np.stack([np.cross(down, forward), down, forward])
    scale = virtual.distance_mm / distance
    warp = virtual.matrix @ np.diag([1.0, 1.0, scale]) @ rotation @ np.linalg.inv(camera.matrix)
    return Normalisation(rotation, warp, scale, centre, camera, virtual)


def _check_rotation(head: Floats) -> None:
    remedy = "give a rotation matrix from the face model to the camera; turn rotation vectors into one first"
    if head.shape != (3, 3) or not np.isfinite(head).all():
        raise DataError(f"the head's rotation has the shape {head.shape}, or NaN", remedy)
    if np.abs(head @ head.T - np.eye(3)).max() > _ORTHONORMAL or np.linalg.det(head) < 0:
        raise DataError("the head's rotation is no rotation matrix", remedy)


def _check_centre(centre: Floats) -> None:
    if centre.shape != (3,) or not np.isfinite(centre).all():
        raise DataError(f"the centre has the shape {centre.shape}, or NaN", "give one point (x, y, z) in mm")
    distance = float(np.linalg.norm(centre))
    if not _NEAREST_MM <= distance <= _FURTHEST_MM:
        problem = f"the centre is {distance:.4g} mm from the camera"
        raise DataError(problem, "give millimetres in the camera's frame, and the translation of the head as well")
    if centre[2] <= 0:
        problem = f"the centre is behind the camera (z = {centre[2]:.0f} mm)"
        raise DataError(problem, "give it in the camera's frame, where z points away from the camera")


def _directions(name: str, vectors: Any) -> Floats:
    array = np.asarray(vectors, dtype=np.float64)
    if array.ndim == 0 or array.shape[-1] != 3:
        problem = f"{name} has the shape {array.shape} and not (..., 3)"
        raise DataError(problem, "give vectors (x, y, z) in the camera's frame, not angles")
    if not np.isfinite(array).all() or not np.linalg.norm(array, axis=-1).all():
        raise DataError(f"{name} holds NaN, infinity or a vector without length", "leave this sample out")
    return array
