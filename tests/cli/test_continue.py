"""``privateyes task continue`` on a round that was opened and refused."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from click.testing import Result

from privateyes.crypto.field import COMPACT
from privateyes.encoding.fixed_point import FixedPoint, largest_scale_bits
from privateyes.engines.local.misbehaviour import AlteringAggregator
from privateyes.engines.local.parties import SecurePlan
from privateyes.engines.local.secure import SecureExchange
from privateyes.errors import AbortError
from privateyes.experiments.record import EXPERIMENT, exclusive
from privateyes.federation.rounds import ClientUpdate, ServerState
from privateyes.federation.server_step import FedAvg

Call = Callable[..., Result]
NAMES = ("ada", "bob", "cyd", "dan")


def _exchange(folder: Path) -> SecureExchange:
    bits = largest_scale_bits(COMPACT, 1.0, 300, len(NAMES))
    assert bits is not None
    encoding = FixedPoint(COMPACT, 1.0, bits, weight_max=300, roster_max=len(NAMES))
    return SecureExchange(SecurePlan(NAMES, 20, 3, encoding, 4), FedAvg(), folder, seed=1)


def _round(exchange: SecureExchange, state: ServerState) -> ServerState:
    following, _ = exchange.exchange(
        state, [ClientUpdate(name, 2, np.full(20, 0.1, np.float32), 0.0) for name in NAMES]
    )
    return following


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run's directory whose only task has a round that every client refused; aggregator 2 altered its share."""
    (tmp_path / EXPERIMENT).write_text("")
    folder = tmp_path / "aggregation" / "all" / "private"
    with closing(_exchange(folder)) as exchange:
        state = _round(exchange, ServerState(np.zeros(20, np.float32)))
        assert exchange._parties is not None
        honest = exchange._parties.aggregators[1]
        altering = AlteringAggregator(honest.manifest, honest.number, honest.identity, coordinate=3, amount=5)
        exchange._parties = exchange._parties.with_aggregator(altering)
        with pytest.raises(AbortError, match="privateyes task continue"):
            _round(exchange, state)
    return tmp_path


def test_what_happened_and_what_is_safe_is_told_and_a_decision_ends_the_wait(call: Call, run: Path) -> None:
    told = call("task", "continue", run)
    assert told.exit_code == 1
    shown = " ".join(told.stdout.split())
    assert "round 1 was opened and refused" in shown
    for name in NAMES:
        assert f"{name} yes 5 (" in shown
    assert "send again" in shown
    decided = call("task", "continue", run, "--send-again")
    assert decided.exit_code == 0
    assert "will be sent again; go on with `privateyes train --resume`" in decided.stdout
    assert call("task", "continue", run).exit_code == 0


def test_nothing_is_decided_while_the_run_is_at_work(call: Call, run: Path) -> None:
    with exclusive(run):
        for directory in (run, run / "aggregation" / "all" / "private"):
            refused = call("task", "continue", directory, "--send-again")
            assert refused.exit_code == 2
            assert f"another process is working in {run}" in refused.stderr
    assert call("task", "continue", run).exit_code == 1


def test_a_folder_without_a_task_is_named(call: Call, tmp_path: Path) -> None:
    refused = call("task", "continue", tmp_path)
    assert refused.exit_code == 2
    assert f"{tmp_path} holds no task" in refused.stderr
