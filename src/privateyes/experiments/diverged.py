"""Training that diverged, found in what its model says: weights may be finite where their predictions are not."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from privateyes.errors import TrainingError
from privateyes.experiments.method_names import ADAPTIVE, METHODS
from privateyes.experiments.spec import ExperimentSpec


def require_finite(values: NDArray[np.floating], spec: ExperimentSpec, method: str, what: str) -> None:
    """Refuse weights or predictions with a NaN or an infinity.

    Args:
        values: of any shape.
        spec: the experiment, for what to lower.
        method: that was trained.
        what: names the values and the round, such as ``the model of round 3``.

    Raises:
        TrainingError: training diverged; names the method, the values and the keys to lower.
    """
    if not np.isfinite(values).all():
        raise TrainingError(
            f"{method}: training diverged, for {what} has values that are NaN or infinite", _remedy(spec, method)
        )


def _remedy(spec: ExperimentSpec, method: str) -> str:
    plan = METHODS[method]
    if plan.kind == "mpc":
        return "lower mpc.learning_rate, or look for bad labels with `privateyes data check`"
    remedy = f"lower training.learning_rate (it is {spec.training.learning_rate:g})"
    if plan.federated:
        given = spec.federation
        name = given.adaptive_optimiser if plan.server_optimiser == ADAPTIVE else plan.server_optimiser
        remedy += f" or federation.{name}.learning_rate (it is {getattr(given, name).learning_rate:g})"
    return f"{remedy}, or look for bad labels with `privateyes data check`; a changed experiment needs another --out"
