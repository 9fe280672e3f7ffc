"""A session that all agreed on is read back whole, or it is said that something is missing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from local_task import local_task
from privateyes.aggregation.aggregator import Aggregator
from privateyes.aggregation.privacy_section import Privacy
from privateyes.aggregation.steps import OwnShare
from privateyes.crypto.field import COMPACT
from privateyes.encoding.fixed_point import FixedPoint
from privateyes.engines.local.clock import RoleClock
from privateyes.engines.local.parties import SecurePlan
from privateyes.engines.local.session import LocalInput, Session
from privateyes.engines.local.stages import HUB, OPENING, SHARE, Again, agreed_by_all, load_session
from privateyes.engines.local.wire import Wire
from privateyes.errors import AbortError, MalformedError, RefusedError, RunDirectoryError

PLAN = SecurePlan(("a", "b", "c"), 7, 3, FixedPoint(COMPACT, 1.0, 12, 20, 3), roster_min=2, privacy=Privacy(1.0))


@pytest.fixture
def finished(tmp_path: Path):
    parties, store = local_task(PLAN, tmp_path / "store")
    inputs = {i: LocalInput(np.full(7, 1.5, np.float32), 3, bytes(32)) for i in (1, 3)}
    result = Session(parties, Wire(parties.manifest), store, RoleClock()).run(0, inputs)
    yield parties, store, result
    store.close()


def _load(parties, store, sid):
    return load_session(store, parties, agreed_by_all(parties, sid))


def test_a_stored_session_is_what_the_aggregators_agreed_on(finished) -> None:
    parties, store, result = finished
    stored = _load(parties, store, result.sid)
    assert [client for client, _ in stored.hub.entries] == [1, 3]
    assert stored.clipped == result.clipped == 14
    assert stored.shortened == result.shortened == 2
    (transcript,) = {message.transcript for message in stored.agreements}
    digests = (stored.hub.commitment.commitment, *(message.commitment for message in stored.commitments))
    for own, message in zip(parties.aggregators, stored.agreements, strict=True):
        record = parties.aggregator_memories[own.number].record_of(result.sid)
        assert (record.transcript, record.commitments) == (transcript, digests)
        assert stored.shares[own.number].root == record.share_root
        message.require_signature_of(own.identity.public_bytes, result.sid)


def test_a_missing_share_stops_it(finished) -> None:
    parties, store, result = finished
    store.clear_stages_of(["aggregator 1"])
    with pytest.raises(RunDirectoryError, match="share of aggregator 1 in a session that was agreed on is lost"):
        _load(parties, store, result.sid)


def test_a_lost_sum_is_added_up_again_and_one_that_was_not_agreed_on_is_refused(finished) -> None:
    parties, store, result = finished
    whole = _load(parties, store, result.sid)
    store.clear_stages_of([HUB])
    again = _load(parties, store, result.sid)
    assert again.hub.total.share.tobytes() == whole.hub.total.share.tobytes()
    assert again.hub.commitment == whole.hub.commitment
    own = parties.aggregators[0]
    record = parties.aggregator_memories[own.number].session
    lying = replace(record, commitments=(bytes(32), *record.commitments[1:]))
    for number, memory in parties.aggregator_memories.items():
        parties.aggregator_memories[number] = replace(memory, session=replace(lying, **_own_words(memory.session)))
    with pytest.raises(AbortError, match="not the one that all aggregators agreed on"):
        _load(parties, store, result.sid)


def _own_words(record):
    return {"salt": record.salt, "share_root": record.share_root}


def test_without_what_a_client_sent_a_lost_sum_stays_lost(finished) -> None:
    parties, store, result = finished
    store.clear_stages_of([HUB])
    store.kept.erase("client a", parties.client_memories[1].state.weights)
    with pytest.raises(RunDirectoryError, match="client a does not keep its submission"):
        _load(parties, store, result.sid)


def test_a_session_that_one_gave_up_or_did_not_agree_on_was_not_agreed_on_by_all(finished) -> None:
    parties, _, result = finished
    assert agreed_by_all(parties, result.sid) is not None
    assert agreed_by_all(parties, bytes(32)) is None
    memory = parties.aggregator_memories[2]
    for change in (
        {"given_up": True},
        {"commitments": ()},
        {"commitments": (bytes(32), *memory.session.commitments[1:])},
    ):
        parties.aggregator_memories[2] = replace(memory, session=replace(memory.session, **change))
        assert agreed_by_all(parties, result.sid) is None


def test_the_roster_that_may_be_sent_again_is_stored_before_the_agreements_are_passed_on(finished) -> None:
    parties, store, result = finished
    body = store.stages(result.sid, OPENING)[HUB]
    again = Again.from_bytes(body, parties.manifest)
    assert again.to_bytes() == body
    assert [client for client, _ in again.origin.roster] == [1, 3]
    assert {message.sid for message in again.commitments} == {result.sid}
    with pytest.raises(MalformedError):
        Again.from_bytes(body[:-1], parties.manifest)


def _with_another_share(parties, store, sid) -> None:
    """Whole and sealed, as after a fault of memory before it was written: the disk alone cannot tell."""
    share = np.array(_load(parties, store, sid).shares[1].elements)
    share[0] = (int(share[0]) + 1) % COMPACT.prime
    store.clear_stages_of(["aggregator 1"])
    (body,) = store.write_large(sid, {("aggregator 1", SHARE): [share.data.cast("B")]})
    with store.transaction():
        store.put_large(body)


def test_a_stored_share_that_is_not_the_one_that_was_committed_to_is_not_opened(finished, monkeypatch) -> None:
    """Else it is shown all the same, and fits no signature."""
    parties, store, result = finished
    _with_another_share(parties, store, result.sid)
    session = Session(parties, Wire(parties.manifest), store, RoleClock())
    with pytest.raises(RefusedError, match="not the one that this aggregator committed to"):
        session.finish_agreed(result.sid)
    root = parties.aggregator_memories[1].session.share_root
    own_share = Aggregator.own_share
    monkeypatch.setattr(
        Aggregator,
        "own_share",
        lambda self, elements: OwnShare(elements, root) if self.number == 1 else own_share(self, elements),
    )
    with pytest.raises(MalformedError, match="type Opening does not verify"):
        Session(parties, Wire(parties.manifest), store, RoleClock()).finish_agreed(result.sid)
