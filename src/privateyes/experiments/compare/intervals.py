"""Means with 95 % intervals over persons.

The persons are the sample: each person's error is first averaged over the seeds, so that a further seed makes a
person's number steadier and does not pass for a further person. With n such numbers of mean m and standard deviation s
(n - 1 in the denominator), the interval is m ± t s / sqrt(n), where t is the 97.5 % point of Student's t distribution
with n - 1 degrees of freedom [Student 1908].

Persons differ more than methods do. Two methods are therefore compared by the interval of the difference person by
person, which takes the differences between persons out.

When each person is left out once, the models share most of their training persons, so the persons' errors are not
independent of each other and the interval is an approximation.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import stdtrit

from privateyes.experiments.compare.measured import Errors

LEVEL = 0.95


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean over persons, with the interval around it.

    Attributes:
        mean: over the persons.
        half_width: of the interval; None for fewer than two persons.
        spread: standard deviation over the persons; None for fewer than two.
        count: number of persons.
    """

    mean: float
    half_width: float | None
    spread: float | None
    count: int

    def as_json(self) -> dict[str, Any]:
        """As it stands in ``comparison.json``."""
        ends = None if self.half_width is None else [self.mean - self.half_width, self.mean + self.half_width]
        return {"mean": self.mean, "interval": ends, "sd_over_persons": self.spread, "persons": self.count}


def estimate(values: Sequence[float]) -> Estimate:
    """The mean of one value per person, at least one, and its interval."""
    count = len(values)
    mean = float(np.mean(values))
    if count < 2:
        return Estimate(mean, None, None, count)
    spread = float(np.std(values, ddof=1))
    return Estimate(mean, student_quantile(count - 1) * spread / math.sqrt(count), spread, count)


def student_quantile(degrees_of_freedom: int, level: float = LEVEL) -> float:
    """The point that Student's t stays below in absolute value with probability `level`."""
    return float(stdtrit(degrees_of_freedom, 0.5 + level / 2))


def over_seeds(errors: Errors) -> dict[str, float]:
    """Person -> mean of the person's errors over the seeds."""
    return {person: float(np.mean(list(by_seed.values()))) for person, by_seed in errors.items()}


def per_seed(errors: Errors, seeds: Sequence[int]) -> dict[int, float]:
    """Seed -> mean error over the persons."""
    return {
        seed: float(np.mean([by_seed[seed] for by_seed in errors.values() if seed in by_seed]))
        for seed in seeds
        if any(seed in by_seed for by_seed in errors.values())
    }


def spread_over_seeds(errors: Errors, seeds: Sequence[int]) -> float | None:
    """Standard deviation over the seeds of the mean over persons; None for fewer than two seeds."""
    means = list(per_seed(errors, seeds).values())
    return float(np.std(means, ddof=1)) if len(means) > 1 else None


def paired(first: Mapping[str, float], second: Mapping[str, float]) -> dict[str, float]:
    """Person -> first minus second, for the persons that both have."""
    return {person: first[person] - second[person] for person in first if person in second}
