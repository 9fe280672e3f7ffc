"""A session is read back whole, or it is said whose word is missing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from privateyes.aggregation.privacy_section import Privacy
from privateyes.crypto.field import COMPACT
from privateyes.encoding.fixed_point import FixedPoint
from privateyes.engines.local.clock import RoleClock
from privateyes.engines.local.parties import SecurePlan, draw_identities, parties_from, set_up_epoch
from privateyes.engines.local.session import LocalInput, Session
from privateyes.engines.local.stages import load_session
from privateyes.engines.local.store import PartyStore
from privateyes.engines.local.wire import Wire
from privateyes.errors import RunDirectoryError

PLAN = SecurePlan(("a", "b", "c"), 7, 3, FixedPoint(COMPACT, 1.0, 12, 20, 3), roster_min=2, privacy=Privacy(1.0))


@pytest.fixture
def finished(tmp_path: Path):
    parties = parties_from(PLAN, draw_identities(PLAN))
    set_up_epoch(parties, bytes(32), Wire(parties.manifest))
    store = PartyStore(tmp_path / "store")
    inputs = {i: LocalInput(np.full(7, 1.5, np.float32), 3, bytes(32)) for i in (1, 3)}
    result = Session(parties, Wire(parties.manifest), store, RoleClock()).run(0, inputs)
    yield parties, store, result
    store.close()


def test_a_stored_session_is_what_the_aggregators_agreed_on(finished) -> None:
    parties, store, result = finished
    stored = load_session(store, parties, result.sid)
    assert [client for client, _ in stored.hub.entries] == [1, 3]
    assert stored.clipped == result.clipped == 14
    assert stored.shortened == result.shortened == 2
    assert len({state.transcript for state in stored.agreed}) == 1
    assert [message.transcript for message in stored.agreements] == [state.transcript for state in stored.agreed]
    digests = [stored.hub.commitment.commitment, *(message.commitment for message in stored.commitments)]
    assert list(stored.agreed[0].commitments) == digests
    for own, message in zip(parties.aggregators, stored.agreements, strict=True):
        message.require_signature_of(own.identity.public_bytes, result.sid)


@pytest.mark.parametrize(
    ("table", "condition", "who"),
    [
        ("stage", "party = 'aggregator 2' AND stage = 'agreed'", "aggregator 2"),
        ("stage", "party = 'aggregator 3' AND stage = 'agreement'", "aggregator 3"),
        ("large", "party = 'aggregator 1'", "aggregator 1"),
        ("large", "party = 'hub'", "the hub"),
    ],
)
def test_a_missing_word_is_named(finished, table: str, condition: str, who: str) -> None:
    parties, store, result = finished
    store._connection.execute(f"DELETE FROM {table} WHERE {condition}")  # noqa: S608 - from above
    with pytest.raises(RunDirectoryError, match=f"incomplete: {who} stopped it"):
        load_session(store, parties, result.sid)


def test_of_another_session_nothing_is_read(finished) -> None:
    parties, store, _ = finished
    with pytest.raises(RunDirectoryError, match="incomplete"):
        load_session(store, parties, bytes(32))
