"""Personal calibration: a few labelled samples of a new person correct what a shared model says about that person.

Two eyes that look alike may look in different directions: the visual axis, which labels follow, leaves the optical
axis, which images show, by an angle that differs from person to person (kappa, [Guestrin & Eizenman]). No model can
know it of a person that it never saw, and it is nearly the same in all of a person's samples. So the residual of sample
i, label minus prediction, is modelled as

    r_i = b + M (x_i - c) + e_i

with x_i the prediction, c the mean prediction of the k calibration samples, b the person's offset and M (2, 2) a gain
(an estimator's range is often too narrow, and more so for some people). Offset and gain are estimated by their
posterior mean under a normal prior that is fixed in advance and known to nobody's test data (`Prior`):

    b = k / (k + noise^2 / bias^2)  mean(r)              towards no offset
    M = R^T X (X^T X + noise^2 / gain^2 I)^-1            towards no gain: for k = 1 exactly none

with X and R the centred predictions and residuals. That is the adaptation "ridge", the default: it needs no rule for
which k an affine correction pays, and its expected squared error is not above the uncalibrated one for people as
different as the prior says. The adapt "offset" is b = mean(r) alone, without shrinking.

The prior. bias = noise: a new person's offset is believed to be of the size of the scatter of single predictions, so
that the belief weighs as much as one sample and half of what a single sample says is taken (a unit-information prior,
[Kass & Wasserman]). gain = 0.2: predictions that are a fifth too narrow or too wide are usual, twice that is rare.

What calibration costs. Of a person without any bias, the offset of k samples is pure error: its variance is noise^2 / k
for each angle, so the mean squared error of each angle grows from noise^2 to noise^2 (1 + 1/k) with "offset", and to
noise^2 (1 + k / (k + 1)^2) with "ridge", gain aside. "offset" pays for a person whose bias is above noise / sqrt(k);
"ridge" above noise / sqrt(k + 2). With k = 1 neither does for somebody whom the shared model fits anyway.

Everything here is float64, runs on the person's own device and returns a correction: labels and images go nowhere.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from privateyes.errors import DataError

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Prior:
    """What is believed of people before any of their samples is seen; standard deviations, in the labels' unit.

    Attributes:
        noise: of one sample's residual around the person's own offset, above 0.
        bias: of the offset over people, above 0.
        gain: of each element of M over people, above 0; no unit.
    """

    noise: float
    bias: float
    gain: float


@dataclass(frozen=True, slots=True, eq=False)
class Correction:
    """What is added to a person's predictions.

    Attributes:
        centre: (2,) float64, c.
        offset: (2,) float64, b.
        gain: (2, 2) float64, M.
    """

    centre: Floats = field(repr=False)
    offset: Floats = field(repr=False)
    gain: Floats = field(repr=False)

    def apply(self, predicted: NDArray[np.floating]) -> Floats:
        """Corrected predictions, float64 (N, 2), of `predicted` (N, 2)."""
        values = np.asarray(predicted, dtype=np.float64)
        corrected: Floats = values + self.offset + (values - self.centre) @ self.gain.T
        return corrected


def fit_offset(predicted: NDArray[np.floating], true: NDArray[np.floating]) -> Correction:
    """The mean residual, and nothing else.

    Args:
        predicted: (k, 2) the shared model's, k >= 1.
        true: (k, 2) the labels.

    Raises:
        DataError: there is no sample, or a value is not finite.
    """
    values, residuals = _checked(predicted, true)
    return Correction(values.mean(axis=0), residuals.mean(axis=0), np.zeros((2, 2)))


def fit_ridge(predicted: NDArray[np.floating], true: NDArray[np.floating], prior: Prior) -> Correction:
    """Offset and gain as their posterior means; arguments and errors as `fit_offset`."""
    values, residuals = _checked(predicted, true)
    count = len(values)
    centre = values.mean(axis=0)
    offset = count / (count + (prior.noise / prior.bias) ** 2) * residuals.mean(axis=0)
    spread, rest = values - centre, residuals - residuals.mean(axis=0)
    penalty = (prior.noise / prior.gain) ** 2 * np.eye(2)
    gain = np.linalg.solve(spread.T @ spread + penalty, spread.T @ rest).T
    return Correction(centre, offset, gain)


def correct_by_features(
    products: NDArray[np.floating], chosen: NDArray[np.integer], residuals: NDArray[np.floating], prior: Prior
) -> Floats:
    """Corrections from an adapted last layer: its posterior mean, the same model with features in place of x.

    The last layer's weights get a normal prior around the shared ones, of a size that lets its output move by
    `prior.bias` at a typical calibration sample. With few samples and many features only inner products of features
    matter, so nothing is larger than (N, k).

    Args:
        products: (N, k) inner products of the features (with a constant one among them) of all samples with those of
            the calibration samples.
        chosen: (k,) which of the N samples the calibration samples are.
        residuals: (k, 2) label minus prediction.
        prior: noise and bias; the gain is not used.

    Returns:
        (N, 2) float64, to be added to the predictions.

    Raises:
        DataError: there is no sample, or a value is not finite.
    """
    inner = np.asarray(products, dtype=np.float64)
    rest = np.asarray(residuals, dtype=np.float64)
    if len(rest) == 0 or not (np.isfinite(inner).all() and np.isfinite(rest).all()):
        raise DataError("calibration needs samples with finite predictions", "look at the model and the data")
    among = inner[chosen]
    typical = float(np.trace(among)) / len(rest)
    penalty = (prior.noise / prior.bias) ** 2 * typical * np.eye(len(rest))
    corrections: Floats = inner @ np.linalg.solve(among + penalty, rest)
    return corrections


def _checked(predicted: NDArray[np.floating], true: NDArray[np.floating]) -> tuple[Floats, Floats]:
    values, labels = np.asarray(predicted, dtype=np.float64), np.asarray(true, dtype=np.float64)
    if values.ndim != 2 or values.shape[1] != 2 or values.shape != labels.shape or len(values) == 0:
        problem = f"calibration of predictions of shape {values.shape} with labels of shape {labels.shape}"
        raise DataError(problem, "give (k, 2) of both, k >= 1")
    if not (np.isfinite(values).all() and np.isfinite(labels).all()):
        raise DataError("calibration with a prediction or a label that is not finite", "leave such samples out")
    return values, labels - values
