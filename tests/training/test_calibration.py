from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from privateyes.errors import DataError
from privateyes.tasks.gaze.priors import GAZE_PRIOR
from privateyes.training.calibration import Prior, correct_by_features, fit_offset, fit_ridge

DEGREE = np.pi / 180
PRIOR = Prior(noise=3 * DEGREE, bias=3 * DEGREE, gain=0.2)


def samples(seed: int, count: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(0.0, [0.08, 0.16], (count, 2))


def mean_squares(adapt: str, k: int, bias: float, repeats: int = 3000) -> tuple[float, float]:
    """Mean squared error per angle before and after, in units of the noise's variance, of persons with that bias."""
    generator = np.random.default_rng(k)
    true = generator.normal(0.0, 0.15, (repeats, k + 1, 2))
    predicted = true - bias + PRIOR.noise * generator.standard_normal(true.shape)
    before, after = [], []
    for x, y in zip(predicted, true, strict=True):
        fitted = fit_offset(x[:k], y[:k]) if adapt == "offset" else fit_ridge(x[:k], y[:k], PRIOR)
        before.append(((x[k] - y[k]) ** 2).mean())
        after.append(((fitted.apply(x[k:])[0] - y[k]) ** 2).mean())
    return float(np.mean(before)) / PRIOR.noise**2, float(np.mean(after)) / PRIOR.noise**2


def test_the_offset_of_one_sample_is_its_residual() -> None:
    predicted, true = samples(1, 1), samples(2, 1)
    assert fit_offset(predicted, true).apply(predicted) == pytest.approx(true)
    assert not fit_offset(predicted, true).gain.any()


@given(k=st.integers(1, 12), seed=st.integers(0, 99), yaw=st.floats(-0.2, 0.2), pitch=st.floats(-0.2, 0.2))
def test_a_constant_offset_is_found_exactly_and_partly(k: int, seed: int, yaw: float, pitch: float) -> None:
    predicted = samples(seed, k)
    true = predicted + np.array([pitch, yaw])
    assert fit_offset(predicted, true).offset == pytest.approx([pitch, yaw], abs=1e-12)
    ridge = fit_ridge(predicted, true, PRIOR)
    assert ridge.offset == pytest.approx(np.array([pitch, yaw]) * k / (k + 1), abs=1e-12)
    assert ridge.gain == pytest.approx(np.zeros((2, 2)), abs=1e-12)


def test_one_sample_never_changes_the_gain() -> None:
    assert not fit_ridge(samples(1, 1), samples(2, 1), PRIOR).gain.any()


def test_with_many_samples_ridge_finds_the_affine_map_that_predictions_lack() -> None:
    predicted = samples(3, 4000)
    gain, offset = np.array([[0.3, -0.05], [0.1, 0.25]]), np.array([0.05, -0.08])
    true = predicted + offset + predicted @ gain.T + 0.01 * np.random.default_rng(4).standard_normal((4000, 2))
    fitted = fit_ridge(predicted, true, PRIOR)
    assert fitted.gain == pytest.approx(gain, abs=0.02)
    assert fitted.apply(predicted) == pytest.approx(true, abs=0.06)


def test_a_tight_prior_keeps_the_identity_and_a_wide_one_is_the_least_squares_fit() -> None:
    predicted, true = samples(5, 9), samples(6, 9)
    tight = fit_ridge(predicted, true, Prior(noise=1.0, bias=1e-6, gain=1e-6))
    assert tight.apply(predicted) == pytest.approx(predicted, abs=1e-5)
    wide = fit_ridge(predicted, true, Prior(noise=1e-6, bias=1.0, gain=1.0))
    design = np.column_stack([predicted, np.ones(9)])
    coefficients = np.linalg.lstsq(design, true, rcond=None)[0]
    assert wide.apply(predicted) == pytest.approx(design @ coefficients, abs=1e-5)


@pytest.mark.parametrize("k", [1, 5, 9])
def test_offset_costs_a_person_without_bias_the_noise_of_its_own_estimate(k: int) -> None:
    """The mean squared error grows from 1 to 1 + 1/k in units of the noise's variance."""
    before, after = mean_squares("offset", k, 0.0)
    assert before == pytest.approx(1.0, rel=0.06)
    assert after == pytest.approx(1.0 + 1.0 / k, rel=0.06)
    for wrong in (2 / 3, 3 / 2):
        assert abs(before * (1.0 + wrong / k) - after) > 0.02


@pytest.mark.parametrize("k", [1, 2, 3, 5, 9])
def test_ridge_never_costs_a_person_without_bias_more_than_a_quarter_of_the_mean_square(k: int) -> None:
    """Its offset costs k / (k + 1)^2, at most 1/4; slopes from few samples cost a little more, and less than that."""
    before, after = mean_squares("ridge", k, 0.0)
    offsets = before + k / (k + 1) ** 2
    assert after < 1.32
    assert offsets - 0.05 < after < offsets + 0.12
    if k == 1:
        assert after == pytest.approx(1.25, rel=0.06)
        assert after < mean_squares("offset", 1, 0.0)[1] * 2 / 3


@pytest.mark.parametrize(("k", "adapt"), [(1, "offset"), (5, "offset"), (1, "ridge"), (5, "ridge"), (9, "ridge")])
def test_a_bias_above_the_threshold_pays_and_one_below_does_not(k: int, adapt: str) -> None:
    threshold = PRIOR.noise / np.sqrt(k if adapt == "offset" else k + 2)
    before, after = mean_squares(adapt, k, 2.0 * threshold)
    assert after < before
    if k == 1:  # with more, the gain adds its own cost and benefit
        before, after = mean_squares(adapt, k, 0.5 * threshold)
        assert after > before


@pytest.mark.parametrize("k", [1, 5, 9])
def test_ridge_is_the_best_on_average_for_people_as_different_as_the_prior_says(k: int) -> None:
    generator = np.random.default_rng(10 + k)
    before, after, plain = [], [], []
    for _ in range(2500):
        predicted = generator.normal(0.0, [0.08, 0.16], (k + 1, 2))
        gain, offset = generator.normal(0, PRIOR.gain, (2, 2)), generator.normal(0, PRIOR.bias, 2)
        centred = predicted - predicted[:k].mean(axis=0)
        true = predicted + offset + centred @ gain.T + PRIOR.noise * generator.standard_normal(predicted.shape)
        new = slice(k, None)
        before.append(((predicted[new] - true[new]) ** 2).mean())
        after.append(((fit_ridge(predicted[:k], true[:k], PRIOR).apply(predicted[new]) - true[new]) ** 2).mean())
        plain.append(((fit_offset(predicted[:k], true[:k]).apply(predicted[new]) - true[new]) ** 2).mean())
    assert np.mean(after) < np.mean(plain)
    assert np.mean(after) < np.mean(before)


def test_a_last_layer_with_only_its_constant_is_the_shrunk_offset() -> None:
    residuals = samples(8, 5)
    corrections = correct_by_features(np.ones((20, 5)), np.arange(5), residuals, PRIOR)
    assert corrections == pytest.approx(np.tile(residuals.mean(axis=0) * 5 / 6, (20, 1)))


def test_a_last_layer_corrects_what_looks_alike_and_leaves_the_rest() -> None:
    features = np.kron(np.eye(2), np.ones((10, 3)))  # two kinds of samples with nothing in common
    chosen = np.array([0, 1, 2])
    corrections = correct_by_features(features @ features[chosen].T, chosen, np.full((3, 2), 0.1), PRIOR)
    assert corrections[:10] == pytest.approx(0.1 * 3 / 4)
    assert corrections[10:] == pytest.approx(0.0)


def test_a_last_layer_is_the_ridge_regression_of_its_weights() -> None:
    generator = np.random.default_rng(3)
    features, chosen = generator.normal(size=(30, 4)), np.array([3, 8, 11, 20, 21, 25])
    residuals = generator.normal(size=(6, 2))
    corrections = correct_by_features(features @ features[chosen].T, chosen, residuals, PRIOR)
    own = features[chosen]
    penalty = np.mean((own**2).sum(axis=1))  # noise equals bias in this prior
    weights = np.linalg.solve(own.T @ own + penalty * np.eye(4), own.T @ residuals)
    assert corrections == pytest.approx(features @ weights)


@pytest.mark.parametrize(
    ("predicted", "true"),
    [
        (np.zeros((0, 2)), np.zeros((0, 2))), (np.zeros(2), np.zeros(2)), (np.zeros((3, 2)), np.zeros((2, 2))),
        (np.zeros((3, 3)), np.zeros((3, 3))), (np.full((2, 2), np.nan), np.zeros((2, 2))),
        (np.zeros((2, 2)), np.full((2, 2), np.inf)),
    ],
)  # fmt: skip
def test_unusable_samples_are_refused(predicted: np.ndarray, true: np.ndarray) -> None:
    for fit in (fit_offset, lambda x, y: fit_ridge(x, y, GAZE_PRIOR)):
        with pytest.raises(DataError, match=r"^calibration"):
            fit(predicted, true)


def test_a_last_layer_without_finite_values_is_refused() -> None:
    with pytest.raises(DataError, match="finite predictions"):
        correct_by_features(np.ones((3, 0)), np.arange(0), np.zeros((0, 2)), PRIOR)
    with pytest.raises(DataError, match="finite predictions"):
        correct_by_features(np.full((3, 1), np.nan), np.arange(1), np.zeros((1, 2)), PRIOR)
