"""Do the labels point where the eyes look? Evidence from the pixels alone, to find swapped or negated angles.

When an eye turns, its iris moves across the image: to the left for positive yaw, upwards for positive pitch. Two
measures of that movement are taken for every image and correlated with both angles, each with the other held fixed:

- displacement: how far the image must be shifted against the person's mean image to explain the difference between
  them, by one linear step of [Lucas & Kanade, 1981]. It uses every edge, and is the stronger measure sideways.
- dark centroid: the centre of the darkest fifth of the pixels. Lids move with pitch and have edges of their own, but
  they are bright; a vertical verdict needs both measures to agree.

Only the middle of the image is used, where the iris is. Crops that show little besides the iris carry hardly any
evidence about pitch. Where evidence is weak the verdict is that it cannot be told, so that good data is not refused.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Final

import numpy as np
from numpy.typing import NDArray

# Enough rows for any verdict; more would only cost time.
_ROW_LIMIT: Final = 2000
_FEWEST_ROWS: Final = 50
# Larger images are averaged down to about this height: the iris is seen as well, and 100 times faster.
_EVIDENCE_HEIGHT: Final = 36
# The middle half of the image, but never less than the iris region of a 36x60 image.
_IRIS_REGION: Final = (9, 15)
_DARK_SHARE: Final = 0.2
# A correlation counts from this size on, and only if chance would hardly ever produce it (in standard errors of
# Fisher's z). On ten people of MPIIGaze and fourteen synthetic ones, right labels give -0.20 to -0.92 sideways for yaw
# and at most 0.16 in size for pitch; vertically for pitch they give -0.41 to -0.88 at 36x60, while crops of the iris
# reach 0.16 of either sign in both measures by lids and light alone.
_CLEAR_SIDEWAYS: Final = 0.25
_CLEAR_VERTICAL: Final = 0.3
_STRONG: Final = 0.35
_CLEAR_STANDARD_ERRORS: Final = 5.0
# Sideways movement must follow one angle at least this many times as much as the other.
_DOMINANCE: Final = 2.0


class Verdict(Enum):
    """What the pixels say about one property of the labels."""

    RIGHT = "right"
    WRONG = "wrong"
    SUSPECT = "suspect"  # points to wrong, but not strongly enough to refuse the data
    UNKNOWN = "cannot tell"


@dataclass(frozen=True, slots=True)
class Orientation:
    """Verdicts about a person's gaze labels, with the correlations behind them.

    Attributes:
        order: are the columns (pitch, yaw) and not swapped?
        yaw_sign: is yaw positive towards the image's left?
        pitch_sign: is pitch positive upwards?
        sideways: (2,) partial correlations of the sideways displacement (rightwards) with label columns 0 and 1.
        vertical: (2,) the same for the vertical displacement (downwards).
        centroid: (2,) the same for the row of the dark centroid.
    """

    order: Verdict
    yaw_sign: Verdict
    pitch_sign: Verdict
    sideways: tuple[float, float]
    vertical: tuple[float, float]
    centroid: tuple[float, float]


def cannot_tell() -> Orientation:
    """The verdicts where there is nothing to look at: no angles, or no single eye in the middle of the image."""
    return _judge(np.zeros((3, 2)), 0)


def evidence_rows(count: int, limit: int = _ROW_LIMIT) -> NDArray[np.int64]:
    """Rows that are enough for any verdict, evenly over `count` rows: (n,), n at most `limit`."""
    return np.linspace(0, count - 1, min(count, limit)).astype(np.int64)


def evidence_of(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Images as the verdicts need them: grey, and large ones averaged down by a whole factor.

    Args:
        image: (N, H, W) or (N, H, W, 3) uint8.

    Returns:
        (N, h, w) uint8; small grey images as they are.
    """
    factor = image.shape[1] // _EVIDENCE_HEIGHT
    if image.ndim == 3 and factor < 2:
        return image
    factor = max(1, min(factor, image.shape[2]))
    height, width = image.shape[1] // factor, image.shape[2] // factor
    small = np.empty((len(image), height, width), dtype=np.uint8)
    for row, picture in enumerate(image):
        cells = picture[: height * factor, : width * factor].reshape(height, factor, width, factor, -1)
        small[row] = cells.mean(axis=(1, 3, 4))
    return small


def orientation_of(image: NDArray[np.uint8], gaze: NDArray[np.floating]) -> Orientation:
    """Compare a person's labels with the movement of the iris.

    Args:
        image: (N, H, W) or (N, H, W, 3) uint8, of one eye.
        gaze: (N, 2) what should be (pitch, yaw), radians, finite.

    Returns:
        Verdicts; all unknown for few images, images without contrast, or labels that do not vary.
    """
    rows = evidence_rows(len(image))
    labels = gaze[rows].astype(np.float64)
    middle = middle_of(evidence_of(image[rows]))
    if len(rows) < _FEWEST_ROWS or min(middle.shape[1:]) < 3:
        return _judge(np.zeros((3, 2)), len(rows))
    measures = [*displacements(middle), _dark_centroid_row(middle)]
    return _judge(np.array([partial_correlations(measure, labels) for measure in measures]), len(rows))


def middle_of(image: NDArray[np.uint8]) -> NDArray[np.float64]:
    """(N, H, W) -> (N, h, w): the middle of every image with mean 0 and standard deviation 1 over the whole image."""
    pixels = image.astype(np.float64)
    spread = pixels.std(axis=(1, 2), keepdims=True)
    pixels = (pixels - pixels.mean(axis=(1, 2), keepdims=True)) / np.where(spread > 0, spread, 1.0)
    slices = []
    for side, least in zip(image.shape[1:], _IRIS_REGION, strict=True):
        kept = max(side // 2, min(side, least))
        slices.append(slice((side - kept) // 2, (side - kept) // 2 + kept))
    middle: NDArray[np.float64] = pixels[:, slices[0], slices[1]]
    return middle


def displacements(middle: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Displacement of every image against the mean image, pixels: ((N,) rightwards, (N,) downwards)."""
    mean = middle.mean(axis=0)
    down, right = np.gradient(mean, axis=0), np.gradient(mean, axis=1)
    # Brightness and contrast may differ too: they are fitted along with the displacement.
    basis = np.column_stack([-right.ravel(), -down.ravel(), np.ones(mean.size), mean.ravel()])
    differences = (middle - mean).reshape(len(middle), -1)
    solution = np.linalg.lstsq(basis, differences.T, rcond=None)[0]
    rightwards: NDArray[np.float64] = solution[0]
    downwards: NDArray[np.float64] = solution[1]
    return rightwards, downwards


def partial_correlations(measure: NDArray[np.float64], labels: NDArray[np.float64]) -> NDArray[np.float64]:
    """(2,) correlation of a measure with each label column, the other column held fixed; 0 where nothing varies."""
    result = np.zeros(2)
    for column in (0, 1):
        fixed = labels[:, 1 - column] - labels[:, 1 - column].mean()
        left, right = (_without(values - values.mean(), fixed) for values in (measure, labels[:, column]))
        product = np.sqrt((left @ left) * (right @ right))
        # Rounding leaves tiny remainders of constant columns; they are no variation.
        scale = np.sqrt((measure @ measure) * (labels[:, column] @ labels[:, column]))
        result[column] = (left @ right) / product if product > 1e-9 * scale else 0.0
    return result


def _judge(correlations: NDArray[np.float64], count: int) -> Orientation:
    sideways, vertical, centroid = correlations
    yaw_column = int(np.argmax(np.abs(sideways)))
    pitch_column = 1 - yaw_column
    dominates = abs(sideways[yaw_column]) >= _DOMINANCE * abs(sideways[pitch_column])
    size = abs(sideways[yaw_column]) if dominates else 0.0
    order = _graded(yaw_column == 1, size, _CLEAR_SIDEWAYS, count)
    yaw_sign = _graded(sideways[yaw_column] < 0, size, _CLEAR_SIDEWAYS, count)
    # The column of pitch is known only where the column of yaw is.
    agreed = vertical[pitch_column] * centroid[pitch_column] > 0 and order is not Verdict.UNKNOWN
    size = min(abs(vertical[pitch_column]), abs(centroid[pitch_column])) if agreed else 0.0
    pitch_sign = _graded(vertical[pitch_column] < 0, size, _CLEAR_VERTICAL, count)
    return Orientation(order, yaw_sign, pitch_sign, _pair(sideways), _pair(vertical), _pair(centroid))


def _graded(right: bool, size: float, clear: float, count: int) -> Verdict:
    if size < clear or np.arctanh(min(size, 0.999)) * np.sqrt(max(count - 4, 0)) < _CLEAR_STANDARD_ERRORS:
        return Verdict.UNKNOWN
    if right:
        return Verdict.RIGHT
    return Verdict.WRONG if size >= _STRONG else Verdict.SUSPECT


def _dark_centroid_row(middle: NDArray[np.float64]) -> NDArray[np.float64]:
    """(N,) mean row of the darkest pixels of every image, weighted by how dark they are."""
    threshold = np.quantile(middle.reshape(len(middle), -1), _DARK_SHARE, axis=1)[:, None, None]
    weight = np.maximum(threshold - middle, 0.0)
    row_weight = weight.sum(axis=2)
    total = row_weight.sum(axis=1)
    rows: NDArray[np.float64] = row_weight @ np.arange(middle.shape[1]) / np.where(total > 0, total, 1.0)
    return rows


def _without(values: NDArray[np.float64], fixed: NDArray[np.float64]) -> NDArray[np.float64]:
    power = float(fixed @ fixed)
    return values - fixed * (float(values @ fixed) / power) if power > 0 else values


def _pair(values: NDArray[np.float64]) -> tuple[float, float]:
    return float(values[0]), float(values[1])
