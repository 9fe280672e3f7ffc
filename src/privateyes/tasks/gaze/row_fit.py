"""Do the rows of the labels belong to the rows of the images? To find labels that are shifted by a row, or shuffled.

Whatever an eye looks like, its pixels say something about its gaze, and they say it about the label of their own row.
How much is measured twice, and the larger number counts:

- a linear guess from the pixels of the image's middle (ridge regression), made for each fifth of the rows from the
  other four, and correlated with the labels;
- the sideways displacement of the iris (`orientation`), which needs no learning and so tells more of a few rows.

If labels a few rows before or after fit clearly better than the row's own, they are shifted. If nothing fits where
right labels would, they belong to other images. On ten people of MPIIGaze, cropped to 9x15 pixels, right labels give
0.42 to 0.84 with 2000 rows and 0.25 at least with 200; shuffled ones give 0.08 at most with 2000 rows, and with 200 of
them less than 0.2 in 19 of 20 cases.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Final

import numpy as np
from numpy.typing import NDArray

from privateyes.tasks.gaze.orientation import displacements, evidence_of, middle_of, partial_correlations

# Further off is no slip of one list against another, and rows of a video resemble each other over a few rows.
_SHIFTS: Final = (0, -1, 1, -2, 2, -3, 3)
_FEWEST_TO_SHIFT: Final = 50
# With fewer rows, right labels of iris crops may fit no better than chance.
FEWEST_TO_MATCH: Final = 200
# From here on labels belong to their rows. With `FEWEST_TO_MATCH` rows, chance stays below in 19 of 20 cases.
_LEAST_FIT: Final = 0.2
# By so many standard errors of Fisher's z must another row's labels be ahead of the own ones.
_AHEAD_STANDARD_ERRORS: Final = 5.0
_FOLDS: Final = 5
# Of the mean power of a pixel: enough to hold a hundred pixels against a hundred rows.
_RIDGE: Final = 0.1
# Coarser than that nothing of an iris is left.
_CELLS: Final = (6, 10)


class Fit(Enum):
    """What the pixels say about the order of the labels."""

    OWN = "labels fit the images of their rows"
    SHIFTED = "labels fit the images of other rows"
    NONE = "labels fit no images"
    UNKNOWN = "cannot tell"


@dataclass(frozen=True, slots=True)
class RowFit:
    """The verdict about a person's labels.

    Attributes:
        fit: the verdict.
        own: how well labels fit the images of their own rows: a correlation, 0 to 1.
        best: the same for the shift that fits best.
        shift: label row minus image row at `best`; 0 unless `fit` is SHIFTED.
    """

    fit: Fit
    own: float
    best: float
    shift: int


def no_fit_known() -> RowFit:
    """The verdict where there is nothing to look at: no angles, or no single eye in the middle of the image."""
    return RowFit(Fit.UNKNOWN, 0.0, 0.0, 0)


def row_fit_of(image: NDArray[np.uint8], gaze: NDArray[np.floating], rows: NDArray[np.integer]) -> RowFit:
    """Compare a person's images with the labels of their rows, and of the rows around them.

    Args:
        image: (n, H, W) or (n, H, W, 3) uint8, of one eye; a sample of the person's images.
        gaze: (N, 2) all labels of the person.
        rows: (n,) where the images of the sample stand among the N.

    Returns:
        Unknown for few images, images of a few pixels, or labels that do not vary or are no numbers.
    """
    middle = middle_of(evidence_of(image))
    if len(rows) < _FEWEST_TO_SHIFT or min(middle.shape[1:]) < 3:
        return no_fit_known()
    if not np.isfinite(gaze).all() or not np.ptp(gaze, axis=0).any():
        return no_fit_known()
    shifted = np.stack([gaze[(rows + shift) % len(gaze)] for shift in _SHIFTS], axis=1).astype(np.float64)
    guesses = _guessed(_cells(middle), shifted.reshape(len(rows), -1)).reshape(shifted.shape)
    rightwards = displacements(middle)[0]
    fits = np.array([_fit(guesses[:, place], rightwards, shifted[:, place]) for place in range(len(_SHIFTS))])
    own, place = float(fits[0]), int(np.argmax(fits))
    ahead = (np.arctanh(min(fits[place], 0.999)) - np.arctanh(min(own, 0.999))) * np.sqrt(len(rows) / 2)
    if ahead >= _AHEAD_STANDARD_ERRORS and fits[place] >= _LEAST_FIT:
        return RowFit(Fit.SHIFTED, own, float(fits[place]), _SHIFTS[place])
    if own >= _LEAST_FIT:
        return RowFit(Fit.OWN, own, own, 0)
    return RowFit(Fit.NONE if len(rows) >= FEWEST_TO_MATCH else Fit.UNKNOWN, own, own, 0)


def _fit(guesses: NDArray[np.float64], rightwards: NDArray[np.float64], labels: NDArray[np.float64]) -> float:
    """The larger of both measures; negative correlations of guesses are chance."""
    guessed = [_correlation(guesses[:, column], labels[:, column]) for column in (0, 1)]
    moved = np.abs(partial_correlations(rightwards, labels))
    return float(max(0.0, *guessed, *moved))


def _cells(middle: NDArray[np.float64]) -> NDArray[np.float64]:
    """(n, cells): the middle of every image in coarse cells, which fewer rows can be held against."""
    count, height, width = middle.shape
    side = max(1, min(height // _CELLS[0], width // _CELLS[1]))
    high, wide = height // side, width // side
    blocks = middle[:, : high * side, : wide * side].reshape(count, high, side, wide, side)
    cells: NDArray[np.float64] = blocks.mean(axis=(2, 4)).reshape(count, high * wide)
    return cells


def _guessed(cells: NDArray[np.float64], labels: NDArray[np.float64]) -> NDArray[np.float64]:
    """(n, k) a linear guess of every label from the cells, learned from rows of other folds.

    Guesses are relative to the mean of the rows that they were learned from: that mean is higher where the fold's own
    labels are lower, which would look like a relation.
    """
    fold = np.arange(len(cells)) % _FOLDS
    guesses = np.zeros_like(labels)
    for number in range(_FOLDS):
        learned = fold != number
        mean = cells[learned].mean(axis=0)
        centred = cells[learned] - mean
        power = centred.T @ centred
        power += (_RIDGE * np.trace(power) / len(power) + np.finfo(np.float64).tiny) * np.eye(len(power))
        weights = np.linalg.lstsq(power, centred.T @ (labels[learned] - labels[learned].mean(axis=0)), rcond=None)[0]
        guesses[~learned] = (cells[~learned] - mean) @ weights
    return guesses


def _correlation(first: NDArray[np.float64], second: NDArray[np.float64]) -> float:
    a, b = first - first.mean(), second - second.mean()
    product = float(np.sqrt((a @ a) * (b @ b)))
    return float(a @ b) / product if product > 0 else 0.0
