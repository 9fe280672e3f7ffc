"""The method `mpc` of a comparison: generic MPC on few samples, what it measured, and what more of it would cost.

It is trained once for every fold, with the experiment's own seed, after the other methods. If it cannot be, the
comparison says why and stands without it.

In ``comparison.json``, under ``mpc``:

    problem          why there is no result, or not of every fold; None if all is well
    engine, protocol, parties, threat_model, network, parameters, epochs, samples (of a fold, mean)
    errors, counterpart_errors, guess_errors
                     mean, interval, sd_over_persons, persons: of the network trained under MPC, of its counterpart in
                     the clear, and of always answering the mean label of the shared samples
    deviation        largest absolute difference of a parameter from the counterpart's
    measured         what, seconds and bytes_per_party of the training, means over folds
    extrapolated     the same for this comparison's run, which nobody ran: each with formula and extrapolated: true
    folds            every fold's result in full
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from privateyes.errors import PrivateyesError
from privateyes.experiments.compare.intervals import estimate
from privateyes.experiments.method_names import METHODS
from privateyes.experiments.mpc.plan import plan_mpc
from privateyes.experiments.mpc.result import MpcResult
from privateyes.experiments.mpc.run import read_result, run_mpc
from privateyes.experiments.prepare import Preparation
from privateyes.experiments.spec import ExperimentSpec

FOLDER = "mpc"


class Observer(Protocol):
    """Who is told how it goes."""

    def note(self, text: str) -> None:
        """Something happens that takes a while."""
        ...

    def step_done(self, fold: str, done: int, steps: int) -> None:
        """So many steps of a fold's training are done."""
        ...


def wants_mpc(spec: ExperimentSpec) -> bool:
    """Whether the experiment names generic MPC."""
    return any(METHODS[method].kind == "mpc" for method in spec.methods)


def train_mpc(preparation: Preparation, data: Path, folder: Path, observer: Observer) -> str | None:
    """Train what is not trained yet, fold after fold.

    Args:
        preparation: the comparison's experiment.
        data: the data file.
        folder: the comparison's directory.
        observer: is told how it goes.

    Returns:
        Why it stopped; None where every fold is trained.
    """
    try:
        for job in plan_mpc(preparation, data):
            run_mpc(job, folder / FOLDER / job.fold.name, observer)
    except PrivateyesError as error:
        observer.note(f"mpc: {error}")
        return str(error)
    return None


def compile_mpc(folder: Path, folds: Sequence[str], problem: str | None) -> dict[str, Any]:
    """What ``comparison.json`` says of generic MPC, from the folds that are trained.

    Args:
        folder: the comparison's directory.
        folds: names of all folds.
        problem: why it stopped, as far as that is known.

    Raises:
        RunDirectoryError: a result is damaged.
    """
    found = [result for fold in folds if (result := read_result(folder / FOLDER / fold)) is not None]
    if not found:
        return {"problem": problem or "not trained yet"}
    if problem is None and len(found) < len(folds):
        problem = f"{len(found)} of {len(folds)} folds are trained"
    first = found[0]
    return {
        "problem": problem,
        "engine": first.engine,
        "protocol": first.protocol,
        "parties": first.parties,
        "threat_model": first.threat_model,
        "network": first.network,
        "parameters": first.parameters,
        "epochs": first.epochs,
        "samples": float(np.mean([sum(result.samples.values()) for result in found])),
        "errors": _over_persons([result.errors for result in found]),
        "counterpart_errors": _over_persons([result.counterpart_errors for result in found]),
        "guess_errors": _over_persons([result.guess_errors for result in found]),
        "deviation": max(result.deviation.largest for result in found),
        "measured": _measured(found),
        "extrapolated": [cost.as_json() for cost in first.extrapolated],
        "folds": [result.as_json() for result in found],
    }


def _over_persons(errors: Sequence[Mapping[str, float]]) -> dict[str, Any]:
    return estimate([error for fold in errors for error in fold.values()]).as_json()


def _measured(found: Sequence[MpcResult]) -> dict[str, Any]:
    return {
        "what": found[0].measured.what,
        "network": found[0].measured.network,
        "seconds": float(np.mean([result.measured.seconds for result in found])),
        "seconds_setup": float(np.mean([result.setup_s for result in found])),
        "bytes_per_party": float(np.mean([result.measured.bytes_per_party for result in found])),
        "extrapolated": False,
    }
