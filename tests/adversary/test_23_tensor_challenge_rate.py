"""23. In a toy field a powers challenge is forged at rate d/p, the tensor challenge at 2/p."""

from __future__ import annotations

import numpy as np

P, SIDE, TRIALS = 251, 15, 400_000
DEGREE = SIDE * SIDE - 1


def test_a_polynomial_with_many_roots_fools_powers_and_not_the_tensor() -> None:
    """The deviation holds the coefficients of (x - 1)(x - 2)...(x - 224): as many roots as its degree."""
    generator = np.random.default_rng(5)
    polynomial = np.array([1], dtype=np.int64)
    for root in range(1, DEGREE + 1):
        polynomial = (np.append(0, polynomial) - root * np.append(polynomial, 0)) % P
    challenge = generator.integers(0, P, TRIALS)
    values = np.zeros(TRIALS, dtype=np.int64)
    for coefficient in polynomial[::-1]:
        values = (values * challenge + coefficient) % P
    powers_rate = np.mean(values == 0)
    assert abs(powers_rate - DEGREE / P) < 0.01
    grid = polynomial.reshape(SIDE, SIDE)
    a, b = generator.integers(0, P, (2, TRIALS, SIDE))
    tensor_rate = np.mean(((a @ grid) % P * b).sum(axis=1) % P == 0)
    assert tensor_rate < 2 / P * 1.15
    assert tensor_rate > 0


def test_a_rank_one_deviation_reaches_the_bound_of_two_over_p() -> None:
    generator = np.random.default_rng(6)
    a, b = generator.integers(0, P, (2, TRIALS))
    rate = np.mean(a * b % P == 0)
    exact = 2 / P - 1 / P**2
    spread = 5 * np.sqrt(exact / TRIALS)
    assert abs(rate - exact) < spread
    assert abs(rate - 1.5 * exact) > spread
    assert abs(rate - exact / 1.5) > spread
