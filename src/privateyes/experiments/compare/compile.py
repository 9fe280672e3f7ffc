"""The content of ``comparison.json``, from what the finished runs recorded.

    schema           1
    name, model, task, unit (the key of the task's metric that every error is a value of, such as "deg")
    seeds, folds (names), parameters, baselines
    persons_are      what the data's persons are, a noun in the plural; "persons" if not said otherwise
    runs             planned, finished, and missing: seed, fold and, where it is known, problem
    measured_on      cores, parallel (numbers of runs at a time while seconds were measured), note (a sentence)
    budget           rounds, local_epochs, passes {method: samples passed over in a run, mean}, equal, note (a sentence)
    targets          errors, derived (from what was measured, as the experiment names none)
    environment      versions, platform, commit and the data's SHA-256, as the first run found them
    procedure           how interval, rounds to an error, and energy were found, in words
    mean_predictor   mean, interval, sd_over_persons, persons, per_person
    methods             for each method:
      method, kind, learned
      mean, interval [low, high] (None for one person), sd_over_persons, persons
      sd_over_seeds, per_seed {seed: error}, per_person {person: error}, per_person_and_seed {person: {seed: error}}
      differences    {baseline: mean, interval, sd_over_persons, persons of method minus baseline, person by person}
      targets        [{error, rounds, seconds (of processors), seeds_reached, seeds, runs_reached, runs}]
      seconds        of a clock: per_round, per_round_training, per_round_exchange, per_run;
                     of processors: cpu_per_round, cpu_per_run
      bytes          up_per_client_round, down_per_client_round, up_per_client_once, per_run (all clients, all rounds)
      energy_wh      {per_run, estimate: true, watts_per_core}
      curve          [{round, error, low, high (over the seeds), seconds (of processors)}]
    clipping         what the secure methods clipped, over all runs: saturated of coordinates, shortened of updates,
                     clipped_rounds of rounds; None without a secure method
    relations        see `compare.relations`
    calibration      personal calibration, where the experiment asks for it: see `compare.calibrated`
    mpc              generic MPC, where the experiment names it: see `compare.mpc`

Seconds are the only numbers that two runs of the same comparison do not share.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from privateyes.experiments.compare.budget import budget
from privateyes.experiments.compare.calibrated import compile_calibration
from privateyes.experiments.compare.dispatch import Failure
from privateyes.experiments.compare.folder import Plan
from privateyes.experiments.compare.intervals import estimate, over_seeds, paired, per_seed, spread_over_seeds
from privateyes.experiments.compare.measured import Errors, Measured, MethodRun
from privateyes.experiments.compare.plan import SubRun, settings_of, trained_methods
from privateyes.experiments.compare.relations import relations
from privateyes.experiments.compare.sentences import procedure
from privateyes.experiments.compare.targets import derived_targets, mean_curve, reached, seed_curves
from privateyes.experiments.method_names import METHODS
from privateyes.experiments.spec import ExperimentSpec

SCHEMA = 1
_JOULES_PER_WH = 3600.0


def compile_comparison(
    spec: ExperimentSpec, measured: Measured, failures: Sequence[Failure], plan: Plan
) -> dict[str, Any]:
    """What ``comparison.json`` holds.

    Args:
        spec: the comparison's experiment.
        measured: at least one finished run.
        failures: the runs that stopped just now.
        plan: what the comparison's directory says.
    """
    settings, methods = settings_of(spec), trained_methods(spec)
    errors = {method: measured.errors(method) for method in methods}
    levels = settings.target_errors or _derived(measured, errors)
    predictor = measured.mean_predictor()
    return {
        "schema": SCHEMA,
        "name": spec.name,
        "model": spec.model.name,
        "task": spec.task,
        "unit": measured.metric.key,
        "persons_are": settings.persons_are,
        "seeds": measured.seeds,
        "folds": list(dict.fromkeys(entry.run.fold for entry in measured.finished)),
        "parameters": measured.finished[0].results["parameters"],
        "runs": _runs(measured, failures),
        "measured_on": _measured_on(plan),
        "environment": dict(measured.finished[0].environment),
        "procedure": procedure(settings.persons_are, measured.metric),
        "baselines": [method for method in settings.baselines if method in errors],
        "budget": budget(measured, methods, spec.training.local_epochs),
        "targets": {"errors": list(levels), "derived": not settings.target_errors},
        "mean_predictor": {**estimate(list(predictor.values())).as_json(), "per_person": predictor},
        "methods": [_row(method, spec, measured, errors, levels) for method in methods],
        "relations": relations(measured, methods, settings.relations),
        "clipping": _clipping(measured),
        "calibration": compile_calibration(measured, methods),
    }


def _clipping(measured: Measured) -> dict[str, int] | None:
    found = [entry.results["equality"] for entry in measured.finished if entry.results.get("equality")]
    keys = ("saturated", "coordinates", "shortened", "updates", "clipped_rounds", "rounds")
    return {key: sum(equality.get(key, 0) for equality in found) for key in keys} if found else None


def _derived(measured: Measured, errors: Mapping[str, Errors]) -> list[float]:
    metric = measured.metric
    best = metric.best([estimate(list(over_seeds(entry).values())).mean for entry in errors.values()])
    return derived_targets(estimate(list(measured.mean_predictor().values())).mean, best, metric)


def _runs(measured: Measured, failures: Sequence[Failure]) -> dict[str, Any]:
    problems = {(failure.run.seed, failure.run.fold): failure.problem for failure in failures}

    def told(run: SubRun) -> dict[str, Any]:
        return {"seed": run.seed, "fold": run.fold, "problem": problems.get((run.seed, run.fold))}

    missing = [told(run) for run in measured.missing]
    count = len(measured.finished)
    return {"planned": count + len(missing), "finished": count, "missing": missing}


def _measured_on(plan: Plan) -> dict[str, Any]:
    most = max(plan.parallel)
    many = " or ".join(map(str, plan.parallel)) + (" runs at a time" if most > 1 else " run at a time")
    shared = "; they shared caches and memory, and one alone would be faster" if most > 1 else ""
    note = (
        f"Seconds of a clock were measured with {many} on {plan.cores} cores, each run on one core{shared}. Processor "
        "seconds are hardly touched by what else the machine does."
    )
    return {"cores": plan.cores, "parallel": list(plan.parallel), "note": note}


def _row(
    method: str, spec: ExperimentSpec, measured: Measured, errors: Mapping[str, Errors], levels: Sequence[float]
) -> dict[str, Any]:
    settings, runs = settings_of(spec), measured.method(method)
    own = over_seeds(errors[method])
    curves = seed_curves(runs, measured.seeds)
    first = _result_row(measured, method)
    seconds = _seconds(runs)
    return {
        "method": method,
        "kind": METHODS[method].kind,
        "learned": first["learned"],
        **estimate(list(own.values())).as_json(),
        "sd_over_seeds": spread_over_seeds(errors[method], measured.seeds),
        "per_seed": {str(seed): error for seed, error in per_seed(errors[method], measured.seeds).items()},
        "per_person": own,
        "per_person_and_seed": {
            person: {str(seed): error for seed, error in by_seed.items()} for person, by_seed in errors[method].items()
        },
        "differences": {
            baseline: estimate(list(paired(own, over_seeds(errors[baseline])).values())).as_json()
            for baseline in settings.baselines
            if baseline in errors and baseline != method
        },
        "targets": [reached(level, runs, curves, measured.metric) for level in levels],
        "seconds": seconds,
        "bytes": _bytes(runs, float(first["bytes_up_per_client_once"])),
        "energy_wh": {
            "per_run": seconds["cpu_per_run"] * settings.watts_per_core / _JOULES_PER_WH,
            "estimate": True,
            "watts_per_core": settings.watts_per_core,
        },
        "curve": mean_curve(curves),
    }


def _result_row(measured: Measured, method: str) -> Mapping[str, Any]:
    rows: list[Mapping[str, Any]] = measured.finished[0].results["rows"]
    return next(row for row in rows if row["method"] == method)


def _seconds(runs: Sequence[MethodRun]) -> dict[str, float]:
    def mean(key: str) -> float:
        return float(np.mean([line[key] for run in runs for line in run.lines]))

    return {
        "per_round": mean("seconds"),
        "per_round_training": mean("seconds_training"),
        "per_round_exchange": mean("seconds_exchange"),
        "per_run": float(np.mean([run.seconds()[-1] for run in runs])),
        "cpu_per_round": mean("seconds_cpu"),
        "cpu_per_run": float(np.mean([run.seconds("seconds_cpu")[-1] for run in runs])),
    }


def _bytes(runs: Sequence[MethodRun], once: float) -> dict[str, float]:
    def mean(key: str) -> float:
        return float(np.mean([line[key] for run in runs for line in run.lines]))

    return {
        "up_per_client_round": mean("bytes_up_per_client"),
        "down_per_client_round": mean("bytes_down_per_client"),
        "up_per_client_once": once,
        "per_run": float(np.mean([run.bytes_sent() + once * run.clients for run in runs])),
    }
