"""What a process does once before its first run, so that no round's time includes it: the compiled kernels are loaded.

Loading them takes as long as several rounds of a small model, and would be counted as an exchange of whichever secure
method comes first.
"""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from privateyes.experiments.folds import Fold
from privateyes.experiments.method_names import METHODS
from privateyes.experiments.secure import open_secure_exchange, secure_plan
from privateyes.experiments.spec import ExperimentSpec
from privateyes.experiments.spec_tables import Store
from privateyes.federation.participants import ClientUpdate, Participant
from privateyes.federation.rounds import ServerState
from privateyes.federation.server_step import FedAvg

_CLIENTS, _PARAMETERS = 3, 8


def _tell_nobody(_: str) -> None:
    """There is nothing to tell."""


def warm_up(spec: ExperimentSpec) -> None:
    """Aggregate a few numbers the method that the experiment's secure methods do; nothing where it has none.

    Raises:
        UsageError: the experiment's aggregation cannot be used.
    """
    if not any(METHODS[method].secure for method in spec.methods):
        return
    aggregation = spec.aggregation.model_copy(update={"roster_min": None, "corrupt_clients": 0})
    federation = spec.federation.model_copy(update={"cohort_fraction": 1.0})
    # Without mirrors: nothing of it is worth keeping.
    small = spec.model_copy(update={"aggregation": aggregation, "federation": federation, "store": Store()})
    clients = {f"c{index}": 1 for index in range(_CLIENTS)}
    plan = secure_plan(small, Fold("warm-up", tuple(clients), ()), clients, _PARAMETERS)
    ones = np.ones(_PARAMETERS, dtype=np.float32)
    participants = [Participant(ClientUpdate(name, 1, ones, 0.0)) for name in clients]
    with (
        TemporaryDirectory() as folder,
        closing(open_secure_exchange(small, plan, FedAvg(), Path(folder) / "task", _tell_nobody)) as exchange,
    ):
        exchange.exchange(ServerState(ones), participants)
