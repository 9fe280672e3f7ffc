"""How many rounds and seconds it takes to reach an error.

A seed's curve is the mean error over all test persons after each round, the persons of all folds together: what one
complete repetition of the experiment looks like. It reaches an error in the first round in which it is no larger. The
mean over the seeds is over those that reach it, and how many do is reported with it; so is the number of single runs
(one seed and one fold) that reach it on their own test persons.

Seconds are processor seconds of training and exchange, which other work on the machine does not stretch; one core does
the work of all clients one after the other. Over the folds they are averaged: a fold is a federation of its own.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from privateyes.experiments.compare.measured import MethodRun
from privateyes.training.metric import Metric

_SHARES = (0.5, 0.75, 0.9)


def derived_targets(mean_predictor: float, best: float, metric: Metric) -> list[float]:
    """Values at a half, three quarters and nine tenths of the way from the mean predictor's to the best method's.

    Rounded to the worse side, errors in degrees to tenths, so that the best method reaches them; none where the best
    method is no better than the mean predictor.
    """
    if not metric.better(best, mean_predictor):
        return []
    exact = [mean_predictor - share * (mean_predictor - best) for share in _SHARES]
    steps = 10 ** (metric.places - 1)
    if metric.lower_is_better:
        return sorted({math.ceil(value * steps - 1e-9) / steps for value in exact}, reverse=True)
    return sorted({math.floor(value * steps + 1e-9) / steps for value in exact})


def seed_curve(runs: Sequence[MethodRun]) -> list[dict[str, float]]:
    """One seed's curve: round, mean error over all persons, mean seconds so far, as far as all its runs go.

    A point for each round in which all its runs were evaluated.
    """
    length = min(len(run.lines) for run in runs)
    seconds = [run.seconds("seconds_cpu") for run in runs]
    return [
        {
            "round": int(runs[0].lines[index]["round"]),
            "error": float(np.mean([error for run in runs for error in run.lines[index]["error"].values()])),
            "seconds": float(np.mean([entry[index] for entry in seconds])),
        }
        for index in range(length)
        if all("error" in run.lines[index] for run in runs)
    ]


def seed_curves(runs: Sequence[MethodRun], seeds: Sequence[int]) -> dict[int, list[dict[str, float]]]:
    """Seed -> its curve."""
    grouped = {seed: [run for run in runs if run.seed == seed] for seed in seeds}
    return {seed: seed_curve(entries) for seed, entries in grouped.items() if entries}


def mean_curve(curves: Mapping[int, Sequence[Mapping[str, float]]]) -> list[dict[str, float]]:
    """Over the seeds: the mean error, its lowest and highest seed, and the mean seconds, as far as all seeds go."""
    entries = list(curves.values())
    points = []
    for together in zip(*entries, strict=False):
        errors = [point["error"] for point in together]
        points.append(
            {
                "round": together[0]["round"],
                "error": float(np.mean(errors)),
                "low": min(errors),
                "high": max(errors),
                "seconds": float(np.mean([point["seconds"] for point in together])),
            }
        )
    return points


def reached(
    target: float, runs: Sequence[MethodRun], curves: Mapping[int, Sequence[Mapping[str, float]]], metric: Metric
) -> dict[str, Any]:
    """Rounds and seconds until a value is reached; None where no seed reaches it."""
    firsts = [
        next((point for point in curve if not metric.better(target, point["error"])), None) for curve in curves.values()
    ]
    found = [point for point in firsts if point is not None]
    return {
        "error": target,
        "rounds": float(np.mean([point["round"] for point in found])) if found else None,
        "seconds": float(np.mean([point["seconds"] for point in found])) if found else None,
        "seeds_reached": len(found),
        "seeds": len(curves),
        "runs_reached": sum(run.reached(target, metric) is not None for run in runs),
        "runs": len(runs),
    }
