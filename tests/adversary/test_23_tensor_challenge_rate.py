"""23. In a 16-bit toy field a powers challenge is forged at rate d/p, the tensor challenge at 2/p.

A statement about polynomials over a field: no party and no coalition enters it.
"""

from __future__ import annotations

import numpy as np

P, SIDE = 65521, 64
DEGREE = SIDE * SIDE - 1


def test_a_polynomial_with_many_roots_fools_powers_and_not_the_tensor() -> None:
    """The deviation holds the coefficients of (x - 1)(x - 2)...(x - 4095): as many roots as its degree."""
    generator = np.random.default_rng(5)
    polynomial = np.array([1], dtype=np.int64)
    for root in range(1, DEGREE + 1):
        polynomial = (np.append(0, polynomial) - root * np.append(polynomial, 0)) % P
    trials = 20_000
    challenge = generator.integers(0, P, trials)
    values = np.zeros(trials, dtype=np.int64)
    for coefficient in polynomial[::-1]:
        values = (values * challenge + coefficient) % P
    exact = DEGREE / P
    assert abs(np.mean(values == 0) - exact) < 5 * np.sqrt(exact / trials)

    grid, forged, rounds, batch = polynomial.reshape(SIDE, SIDE).astype(np.float64), 0, 8, 50_000
    for _ in range(rounds):  # products of two 16-bit numbers, 64 at a time, are exact in float64
        a, b = generator.integers(0, P, (2, batch, SIDE)).astype(np.float64)
        forged += int(np.count_nonzero(((a @ grid) % P * b).sum(axis=1) % P == 0))
    bound = 2 / P * rounds * batch
    assert forged < bound + 5 * np.sqrt(bound)
    assert forged > 0


def test_a_rank_one_deviation_reaches_the_bound_of_two_over_p() -> None:
    generator, trials, hits = np.random.default_rng(6), 20_000_000, 0
    for _ in range(10):
        a, b = generator.integers(0, P, (2, trials // 10), dtype=np.int64)
        hits += int(np.count_nonzero(a * b % P == 0))
    exact = (2 / P - 1 / P**2) * trials
    spread = 5 * np.sqrt(exact)
    assert abs(hits - exact) < spread
    assert abs(hits - 1.5 * exact) > spread
    assert abs(hits - exact / 1.5) > spread
