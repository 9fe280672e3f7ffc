from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from privateyes.experiments.folds import Fold
from privateyes.experiments.replay import replay_altered_round
from privateyes.experiments.spec import ExperimentSpec
from privateyes.federation.participants import ClientUpdate
from privateyes.federation.rounds import ServerState
from taking_part import taking_part


def test_every_client_refuses_the_altered_round_and_no_keys_stay_behind(
    small_spec: Callable[..., ExperimentSpec], tmp_path: Path
) -> None:
    names = ("p00", "p01", "p02")
    left_by_a_kill = tmp_path / "replay.part"
    left_by_a_kill.mkdir()
    (left_by_a_kill / "parties.sqlite").write_bytes(b"keys of a replay that was killed")
    updates = [ClientUpdate(name, 5, np.full(40, 0.01, np.float32), 0.0) for name in names]
    state = ServerState(np.zeros(40, np.float32))
    fold = Fold("all", names, ("p03", "p04"))
    replay = replay_altered_round(
        small_spec(methods='["private"]'), fold, dict.fromkeys(names, 5), state, taking_part(updates), tmp_path
    )
    assert replay["control_accepted"] == list(names)
    assert [verdict["refused"] for verdict in replay["verdicts"]] == [True] * 3
    assert list(tmp_path.iterdir()) == []
