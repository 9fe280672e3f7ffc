"""6. A second T under the same roster, also after a kill and a restart: refused."""

from __future__ import annotations

from dataclasses import replace

import pytest

from privateyes.aggregation.messages import HubCommitment
from privateyes.aggregation.snapshot import dump_committed, load_committed
from privateyes.aggregation.states import Committed
from privateyes.engines.local.session import AGREED
from privateyes.engines.local.store import PartyStore
from privateyes.errors import RefusedError, RunDirectoryError


def _agree_to_another_sum(world, state):
    hub = HubCommitment(world.sid, bytes(32))
    return world.aggregators[1].agree(world.aggregator_memories[1], state, world.commitments, hub)


def test_an_aggregator_agrees_once(world) -> None:
    world.run(to="commit")
    state = world.states[1]
    world.agree()
    with pytest.raises(RefusedError, match="used already"):
        _agree_to_another_sum(world, state)


def test_after_a_restart_the_store_holds_the_first_transcript_and_takes_no_second(world, tmp_path) -> None:
    world.run(to="commit")
    body = dump_committed(world.states[1])
    world.agree()
    store = PartyStore(tmp_path / "store")
    with store.transaction():
        store.put_stage(world.sid, "aggregator 1", AGREED, world.agreements[0].transcript)
    second = _agree_to_another_sum(world, load_committed(body, world.manifest))
    with pytest.raises(RunDirectoryError, match="past agreed"), store.transaction():
        store.put_stage(world.sid, "aggregator 1", AGREED, second.message.transcript)
    assert store.stages(world.sid, AGREED) == {"aggregator 1": world.agreements[0].transcript}
    store.close()


def test_without_single_use_one_roster_gets_two_signed_transcripts(world, monkeypatch) -> None:
    monkeypatch.setattr(Committed, "use", lambda self: None)
    world.run(to="commit")
    state = world.states[1]
    world.agree()
    second = _agree_to_another_sum(world, state).message
    assert second.transcript != world.agreements[0].transcript
    second.require_signature_of(world.aggregator_keys[1].public_bytes, world.sid)
    assert replace(second, transcript=b"") != second
