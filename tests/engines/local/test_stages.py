"""A session that all agreed on is finished from what the parties stored, or it is said that something is missing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from failing_disks import Killed
from local_task import dying_before, local_task
from privateyes.aggregation.aggregator import Aggregator
from privateyes.aggregation.memory import AggregatorMemory
from privateyes.aggregation.privacy_section import Privacy
from privateyes.aggregation.steps import OwnShare
from privateyes.crypto.field import COMPACT
from privateyes.encoding.fixed_point import FixedPoint
from privateyes.engines.local.clock import RoleClock
from privateyes.engines.local.message_log import MessageLog
from privateyes.engines.local.parties import LocalParties, SecurePlan
from privateyes.engines.local.session import Session
from privateyes.engines.local.stages import OPENING, agreed_by_all
from privateyes.errors import AbortError, MalformedError, RefusedError, RunDirectoryError
from privateyes.parties.again import Again
from privateyes.parties.effects import Write
from privateyes.parties.packets import HUB, aggregator_name
from privateyes.storage.store import PartyStore
from taking_part import giving

PLAN = SecurePlan(("a", "b", "c"), 7, 3, FixedPoint(COMPACT, 1.0, 12, 20, 3), roster_min=2, privacy=Privacy(1.0))


def session_of(parties: LocalParties, store: PartyStore) -> Session:
    return Session(parties, MessageLog(parties.manifest), store, RoleClock())


@pytest.fixture(params=["open", "certify"])
def agreed(tmp_path: Path, request: pytest.FixtureRequest):
    """Two clients' session, which died when all had agreed, or when all had opened."""
    parties, store = local_task(PLAN, tmp_path / "store")
    inputs = {i: giving(np.full(7, 1.5, np.float32), 3, bytes(32)) for i in (1, 3)}
    with dying_before(request.param), pytest.raises(Killed):
        session_of(parties, store).run(0, inputs)
    sid = parties.aggregator_memories(store)[1].session.sid
    yield parties, store, sid
    store.close()


def rewrite(parties: LocalParties, store: PartyStore, number: int, **changes: Any) -> None:
    """What an aggregator remembers of its last session becomes something else, as after a fault of memory."""
    memory = parties.aggregator_memories(store)[number]
    other: AggregatorMemory = replace(memory, session=replace(memory.session, **changes))
    values = (other.to_bytes(), aggregator_name(number))
    store._mirrors.write("UPDATE memory SET body = ? WHERE party = ?", values)
    parties.parts(store)[aggregator_name(number)].forget()


def test_a_stored_session_is_finished_with_what_the_aggregators_agreed_on(agreed) -> None:
    parties, store, sid = agreed
    result = session_of(parties, store).finish_agreed(sid)
    assert {average.roster for average in result.averages.values()} == {(1, 3)}
    assert sorted(result.averages) == [1, 2, 3]
    assert result.clipped == 14
    assert result.shortened == 2
    limit = PLAN.privacy.limit(PLAN.encoding)
    assert limit is not None
    assert np.allclose(result.averages[1].mean, 1 / np.sqrt(7), atol=2**-8)


def test_a_missing_share_stops_it(agreed) -> None:
    parties, store, sid = agreed
    store.clear_stages_of(["aggregator 1"])
    parties.parts(store)["aggregator 1"].forget()
    with pytest.raises(RunDirectoryError, match="share of aggregator 1 in a session that was agreed on is lost: noth"):
        session_of(parties, store).finish_agreed(sid)


def test_a_sum_that_was_not_agreed_on_is_refused_before_anybody_opens(agreed) -> None:
    parties, store, sid = agreed
    record = parties.aggregator_memories(store)[1].session
    for number in (1, 2, 3):
        rewrite(parties, store, number, commitments=(bytes(32), *record.commitments[1:]))
    opened = {number: memory.opened for number, memory in parties.aggregator_memories(store).items()}
    with pytest.raises(AbortError, match="not the one that all aggregators agreed on"):
        session_of(parties, store).finish_agreed(sid)
    assert {number: memory.opened for number, memory in parties.aggregator_memories(store).items()} == opened


def test_without_what_a_client_sent_the_sum_stays_lost(agreed) -> None:
    parties, store, sid = agreed
    store.remove_stage(sid, "client a", "update")
    with pytest.raises(RunDirectoryError, match="client a does not keep its submission"):
        session_of(parties, store).finish_agreed(sid)


def test_a_session_that_one_gave_up_or_did_not_agree_on_was_not_agreed_on_by_all(agreed) -> None:
    parties, store, sid = agreed
    assert agreed_by_all(parties, store, sid) is not None
    assert agreed_by_all(parties, store, bytes(32)) is None
    record = parties.aggregator_memories(store)[2].session
    for change in (
        {"given_up": True},
        {"commitments": ()},
        {"commitments": (bytes(32), *record.commitments[1:])},
    ):
        rewrite(parties, store, 2, **{"given_up": False, "commitments": record.commitments, **change})
        assert agreed_by_all(parties, store, sid) is None


def test_the_roster_that_may_be_sent_again_is_stored_before_the_agreements_are_passed_on(agreed) -> None:
    parties, store, sid = agreed
    body = store.stages(sid, OPENING)[HUB]
    again = Again.from_bytes(body, parties.manifest)
    assert again.to_bytes() == body
    assert [client for client, _ in again.origin.roster] == [1, 3]
    assert {message.sid for message in again.commitments} == {sid}
    with pytest.raises(MalformedError):
        Again.from_bytes(body[:-1], parties.manifest)


def with_another_share(parties: LocalParties, store: PartyStore, sid: bytes) -> None:
    """Whole and sealed, as after a fault of memory before it was written: the disk alone cannot tell."""
    part = parties.parts(store)["aggregator 1"]
    share = np.array(part.read().get("share", sid))
    share[0] = (int(share[0]) + 1) % COMPACT.prime
    store.clear_stages_of(["aggregator 1"])
    part.forget()
    view = part.read()
    memory = view.get("memory", parties.manifest.digest())
    part.write(view, Write({("memory", parties.manifest.digest()): memory.next(), ("share", sid): share}))
    part.forget()


def test_a_stored_share_that_is_not_the_one_that_was_committed_to_is_not_opened(agreed, monkeypatch) -> None:
    """Else it is shown all the same, and fits no signature."""
    parties, store, sid = agreed
    with_another_share(parties, store, sid)
    with pytest.raises(RefusedError, match="not the one that this aggregator committed to"):
        session_of(parties, store).finish_agreed(sid)
    root = parties.aggregator_memories(store)[1].session.share_root
    own_share = Aggregator.own_share
    monkeypatch.setattr(
        Aggregator,
        "own_share",
        lambda self, elements: OwnShare(elements, root) if self.number == 1 else own_share(self, elements),
    )
    with pytest.raises(MalformedError, match="type Opening does not verify"):
        session_of(parties, store).finish_agreed(sid)
