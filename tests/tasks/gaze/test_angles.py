from __future__ import annotations

import math

import mpmath
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from privateyes.tasks.gaze.angles import angles_from_vectors, angular_error_deg, vectors_from_angles

pitches = st.floats(-math.pi / 2, math.pi / 2)
yaws = st.floats(-math.pi, math.pi)
gazes = st.tuples(pitches, yaws)


def test_axes_point_where_the_convention_says() -> None:
    straight, up, left = vectors_from_angles([[0.0, 0.0], [0.3, 0.0], [0.0, 0.3]])
    np.testing.assert_array_equal(straight, [0, 0, -1])
    assert up[1] < 0, "y is down, so a gaze upwards has a negative y"
    assert left[0] < 0, "x is right, so a gaze to the image's left has a negative x"


@given(gazes)
def test_vectors_are_unit_vectors(gaze: tuple[float, float]) -> None:
    assert np.linalg.norm(vectors_from_angles(gaze)) == pytest.approx(1.0, abs=1e-15)


@given(st.tuples(st.floats(-1.5, 1.5), yaws), st.floats(1e-3, 1e3))
def test_angles_survive_the_way_to_vectors_of_any_length_and_back(gaze: tuple[float, float], length: float) -> None:
    pitch, yaw = angles_from_vectors(length * vectors_from_angles(gaze))
    assert pitch == pytest.approx(gaze[0], abs=1e-13)
    # Yaw lives on a circle: -pi and pi are one direction.
    assert math.remainder(yaw - gaze[1], 2 * math.pi) == pytest.approx(0, abs=1e-12)


@given(gazes)
def test_vectors_survive_the_way_to_angles_and_back(gaze: tuple[float, float]) -> None:
    vector = vectors_from_angles(gaze)
    np.testing.assert_allclose(vectors_from_angles(angles_from_vectors(vector)), vector, atol=1e-15)


@given(st.tuples(st.floats(-2, 2, width=32), st.floats(-4, 4, width=32)))
def test_identical_float32_gazes_are_exactly_zero_degrees_apart(gaze: tuple[float, float]) -> None:
    single = np.array(gaze, dtype=np.float32)
    assert angular_error_deg(single, single) == 0.0


@given(gazes, gazes)
def test_error_is_symmetric_finite_and_between_0_and_180(a: tuple[float, float], b: tuple[float, float]) -> None:
    error = float(angular_error_deg(a, b))
    assert 0.0 <= error <= 180.0
    assert error == float(angular_error_deg(b, a))


@given(gazes, gazes)
def test_error_equals_the_angle_computed_with_50_digits(a: tuple[float, float], b: tuple[float, float]) -> None:
    assert float(angular_error_deg(a, b)) == pytest.approx(_angle_with_50_digits(a, b), abs=1e-12)


def test_tiny_angles_keep_their_digits() -> None:
    error = float(angular_error_deg([0.2, 0.1], [0.2, 0.1 + 1e-9]))
    assert error == pytest.approx(_angle_with_50_digits((0.2, 0.1), (0.2, 0.1 + 1e-9)), rel=1e-6)


def test_opposite_gazes_are_180_degrees_apart() -> None:
    assert float(angular_error_deg([0.0, 0.0], [0.0, np.pi])) == pytest.approx(180.0, abs=1e-12)


def test_shapes_broadcast() -> None:
    assert angular_error_deg(np.zeros((4, 3, 2)), np.zeros(2)).shape == (4, 3)


def _angle_with_50_digits(a: tuple[float, float], b: tuple[float, float]) -> float:
    with mpmath.workdps(50):
        u, v = ((-mpmath.cos(p) * mpmath.sin(y), -mpmath.sin(p), -mpmath.cos(p) * mpmath.cos(y)) for p, y in (a, b))
        chord = mpmath.sqrt(sum((i - j) ** 2 for i, j in zip(u, v, strict=True)))
        opposite = mpmath.sqrt(sum((i + j) ** 2 for i, j in zip(u, v, strict=True)))
        return float(mpmath.degrees(2 * mpmath.atan2(chord, opposite)))
