"""A local session ends in the right average, and nothing leaves of one that cannot."""

from __future__ import annotations

import shutil
import sqlite3
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from failing_disks import Killed
from local_task import INITIAL, dying_after, dying_before, local_parties, set_up_in
from privateyes.aggregation import hub, messages
from privateyes.aggregation.aggregator import Aggregator
from privateyes.aggregation.ledger import SessionEnd
from privateyes.aggregation.manifest import Manifest
from privateyes.aggregation.memory import AggregatorMemory, ClientMemory
from privateyes.aggregation.messages import (
    Abort,
    OpeningReceipt,
)
from privateyes.aggregation.privacy_section import Privacy
from privateyes.aggregation.result import verify_disclosed
from privateyes.crypto.field import COMPACT, Field
from privateyes.encoding.fixed_point import FixedPoint
from privateyes.engines.local.clock import RoleClock
from privateyes.engines.local.message_log import Endpoint, MessageLog, TrafficKey
from privateyes.engines.local.misbehaviour import AlteringAggregator
from privateyes.engines.local.network import Give, LocalNetwork
from privateyes.engines.local.parties import SecurePlan, draw_identities
from privateyes.engines.local.session import Session
from privateyes.engines.local.stages import AGAIN, OPENING
from privateyes.engines.local.thread_team import ThreadTeam
from privateyes.errors import (
    AbortError,
    DeliveryError,
    MalformedError,
    RefusedError,
    RunDirectoryError,
    TrainingError,
)
from privateyes.parties.packets import HUB, Packet
from privateyes.storage import sealed_file
from privateyes.storage.party import StoredParty
from privateyes.storage.store import PartyStore
from taking_part import giving

pytestmark = pytest.mark.usefixtures("copied_stores")

NAMES, D = ("a", "b", "c"), 7


@contextmanager
def damaging(sender: str, step: str, change: Callable[[Any, Manifest], Any]) -> Iterator[None]:
    """What one party answers to a step arrives as something else."""
    carry = MessageLog.carry

    def damaged(self: MessageLog, packet: Packet) -> Packet:
        arrived = carry(self, packet)
        if (packet.sender, packet.step) != (sender, step):
            return arrived
        return replace(arrived, parts=tuple(change(message, self.manifest) for message in arrived.parts))

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(MessageLog, "carry", damaged)
        yield


def plan_of(field: Field = COMPACT, aggregators: int = 2, roster_min: int = 2) -> SecurePlan:
    return SecurePlan(NAMES, D, aggregators, FixedPoint(field, 1.0, 12, 20, 3), roster_min, privacy=Privacy(1.0))


@pytest.fixture
def local(tmp_path, field):
    """Parties, store and a function that runs one session."""
    plan = plan_of(field, 3)
    parties = local_parties(plan)
    message_log = MessageLog(parties.manifest)
    store = PartyStore.create(tmp_path / "store")
    set_up_in(store, parties, message_log)

    class Local:
        def __init__(self) -> None:
            self.parties, self.message_log, self.store, self.rounds = parties, message_log, store, 0

        @property
        def aggregators(self) -> dict[int, AggregatorMemory]:
            return self.parties.aggregator_memories(store)

        @property
        def clients(self) -> dict[int, ClientMemory]:
            return self.parties.client_memories(store)

        def session(self) -> Session:
            self.last = Session(self.parties, self.message_log, store, RoleClock())
            return self.last

        def accept(self) -> None:
            """Every client accepts, as in the exchange."""
            self.last.accept()

        def run(self, *clients: int, delta=None, weight: int = 3):
            inputs = {
                i: giving(np.full(D, 0.25, np.float32) if delta is None else delta, weight, bytes(32)) for i in clients
            }
            self.rounds += 1
            return self.session().run(self.rounds, inputs)

    yield Local()
    store.close()


def test_clients_outside_the_cohort_get_the_average_too(local) -> None:
    result = local.run(1, 3)
    assert sorted(result.averages) == [1, 2, 3]
    assert result.averages[2].roster == (1, 3)
    assert np.allclose(result.averages[2].mean, 0.25, atol=2**-12)
    assert not result.refusals


def test_a_session_with_too_few_clients_opens_nothing_and_the_next_one_works(local) -> None:
    with pytest.raises(AbortError, match="roster of 1"):
        local.run(2)
    assert not any(memory.opened for memory in local.aggregators.values())
    assert local.aggregators[1].session.given_up
    assert local.clients[2].followed
    assert local.run(1, 2, 3).averages[1].total_weight == 9


@pytest.mark.parametrize("damage", ["share", "signature", "element", "name"])
def test_a_bad_submission_of_one_client_does_not_spoil_the_round_for_the_others(local, damage) -> None:
    def damaged(message, manifest):
        if damage == "share":
            return replace(message, share=np.zeros_like(message.share))
        if damage == "element":
            return replace(message, share=np.full_like(message.share, manifest.field.prime)).to_bytes()
        if damage == "name":
            return replace(message, header=replace(message.header, client=3))
        return replace(message, header=replace(message.header, signature=bytes(64)))

    with damaging("client 2", "submit", damaged):
        result = local.run(1, 2, 3)
    assert list(result.dropped) == [2]
    assert {average.roster for average in result.averages.values()} == {(1, 3)}
    assert sorted(result.averages) == [1, 2, 3]
    headers = [
        messages.Header.from_bytes(data, local.parties.manifest)
        for kind, data in local.message_log.transcript
        if kind == "Header"
    ]
    assert [header.client for header in headers] == [1, 3]
    local.accept()
    assert not local.run(1, 2, 3).dropped


def test_each_aggregator_is_asked_once_how_a_session_ended_however_many_wait_for_it(local, monkeypatch) -> None:
    def stop(*_: object) -> None:
        raise AbortError("stopped here")

    with monkeypatch.context() as patched:
        patched.setattr(hub, "choose_roster", stop)
        with pytest.raises(AbortError, match="stopped here"):
            local.run(1, 2, 3)
    assert all(memory.followed for memory in local.clients.values())
    assert local.run(1, 2, 3).averages[1].total_weight == 9
    asked = local.message_log.traffic[TrafficKey("Closing", Endpoint.AGGREGATOR, Endpoint.HUB)]
    assert asked.messages == len(local.parties.aggregators)


@pytest.mark.parametrize(
    ("delta", "weight", "complaint"),
    [
        (np.full(D, np.nan, np.float32), 3, "NaN"),
        (np.full(D, np.inf, np.float32), 3, "infinite"),
        (np.zeros(D - 1, np.float32), 3, r"\(6,\)"),
        (np.zeros(D, np.float64), 3, "float64"),
        (np.zeros(D, ">f4"), 3, ">f4"),
        (np.zeros(D, np.float32), 0, "weight 0"),
        (np.zeros(D, np.float32), 21, "weight 21"),
    ],
)
def test_an_update_that_cannot_be_used_names_its_client_and_nothing_is_sent(local, delta, weight, complaint) -> None:
    before = dict(local.clients)
    with pytest.raises(TrainingError, match=f"client a: .*{complaint}"):
        local.run(1, delta=delta, weight=weight)
    assert local.clients == before
    assert local.message_log.bytes_between(Endpoint.HUB, Endpoint.CLIENT) > 0
    assert not any(kind == "Header" for kind, _ in local.message_log.transcript)
    assert local.run(1, 2).averages[1].roster == (1, 2)


def test_a_disk_that_is_full_at_the_submission_lets_nothing_out(local, monkeypatch) -> None:
    put_memory = PartyStore.put_memory

    def full_for_clients(self, party, *rest) -> None:
        if party.startswith("client"):
            raise sqlite3.OperationalError("database or disk is full")
        put_memory(self, party, *rest)

    monkeypatch.setattr(PartyStore, "put_memory", full_for_clients)
    with pytest.raises(RunDirectoryError):
        local.run(1, 2)
    assert not any(kind == "Header" for kind, _ in local.message_log.transcript)
    monkeypatch.undo()
    assert local.run(1, 2).averages[3].roster == (1, 2)


@pytest.mark.parametrize("opener", [(1,), (2,), (3,), (1, 3), (2, 3)], ids=str)
def test_a_session_that_some_aggregators_opened_and_others_did_not_is_finished(local, monkeypatch, opener) -> None:
    """As after kills of machines of their own; here all store in one transaction, so their rows are mixed by hand."""
    before, inputs = {}, {i: giving(np.full(D, 0.25, np.float32), 3, bytes(32)) for i in (1, 2, 3)}
    write = StoredParty.put

    def noting(self, prepared):
        if any(name[0] == "memory" and body.version for name, body in prepared.what.bodies.items()):
            before[self.name] = local.store.memory(self.name)
        write(self, prepared)

    with monkeypatch.context() as patched, dying_after("open"):
        patched.setattr(StoredParty, "put", noting)
        with pytest.raises(Killed):
            local.session().run(1, inputs)
    for number in {1, 2, 3} - set(opener):
        name = f"aggregator {number}"
        memory = AggregatorMemory.from_bytes(before[name])
        assert memory.version == local.aggregators[number].version - 1
        values = (memory.version, before[name], name)
        local.store._mirrors.write("UPDATE memory SET version = ?, body = ? WHERE party = ?", values)
        local.parties.parts(local.store)[name].forget()
    (sid,) = {sid for memory in local.aggregators.values() for sid in memory.opened}
    assert {number for number, memory in local.aggregators.items() if memory.opened} == set(opener)
    result = local.session().finish_agreed(sid)
    assert np.allclose(result.averages[2].mean, 0.25, atol=2**-12)
    assert all(sid in memory.opened for memory in local.aggregators.values())


@pytest.mark.parametrize("mode", ["sealed", "public"])
def test_neither_what_is_said_nor_what_is_computed_depends_on_the_number_of_threads(
    tmp_path, monkeypatch, field, mode
) -> None:
    dimension = 150_000
    plan = SecurePlan(NAMES, dimension, 3, FixedPoint(field, 1.0, 12, 20, 3), roster_min=2, mode=mode)
    identities = draw_identities(plan)
    made = PartyStore.create(tmp_path / "made")
    set_up_in(made, local_parties(plan, identities))
    made.close()
    random = np.random.default_rng(1)
    inputs = {i: giving(random.normal(0, 0.6, dimension).astype(np.float32), 3, bytes(32)) for i in (1, 2, 3)}
    outcomes = []
    for count in (1, 2, 5):
        shutil.copytree(tmp_path / "made", tmp_path / f"{count}")
        team, store = ThreadTeam(count), PartyStore(tmp_path / f"{count}")
        parties = local_parties(plan, identities, team.lanes())
        message_log, clock = MessageLog(parties.manifest, lanes=team.lanes()), RoleClock(team.seconds)
        driven = Session(parties, message_log, store, clock, team)
        for place, host in enumerate(driven._network.hosts.values()):
            host.draw = lambda size, place=place: bytes([place]) * size
        result = driven.run(1, inputs)
        driven.accept()
        averages = {i: average.mean.tobytes() for i, average in result.averages.items()}
        memories = parties.aggregator_memories(store), parties.client_memories(store)
        outcomes.append((message_log.transcript, message_log.table(), averages, result.clipped, memories))
        assert all(clock.seconds[role] > 0 for role in Endpoint)
        store.close()
        team.close()
    assert outcomes[0] == outcomes[1] == outcomes[2]
    assert len(outcomes[0][2]) == 3


def test_with_the_clocks_running_backwards_a_session_ends_as_always(local, monkeypatch) -> None:
    """The protocol reads no clock; only what is measured becomes nonsense."""
    falling = iter(range(10**9, 0, -1))
    for name in ("time", "monotonic", "perf_counter", "thread_time", "process_time"):
        monkeypatch.setattr(time, name, lambda: float(next(falling)))
        monkeypatch.setattr(time, f"{name}_ns", lambda: next(falling))
    result = Session(local.parties, local.message_log, local.store, RoleClock(time.thread_time)).run(
        1, _inputs(1, 2, 3)
    )
    assert np.allclose(result.averages[1].mean, 0.25, atol=2**-12)
    assert next(falling) < 10**9 - 10, "no clock was read: the test proves nothing"


def _inputs(*clients: int) -> dict[int, Give]:
    return {i: giving(np.full(D, 0.25, np.float32), 3, bytes(32)) for i in clients}


def _full(*_: object) -> None:
    raise OSError(28, "No space left on device")


@pytest.mark.parametrize("where", ["a share's file", "the seals' transaction"])
def test_a_disk_that_is_full_at_the_commitment_lets_nothing_out_and_the_next_round_works(
    local, monkeypatch, where
) -> None:
    with monkeypatch.context() as patched:
        if where == "a share's file":
            seal = PartyStore.seal

            def full_at_the_shares(self, file, body):
                with pytest.MonkeyPatch.context() as inner:
                    if "share" in file:
                        inner.setattr(sealed_file.os, "fsync", _full)
                    return seal(self, file, body)

            patched.setattr(PartyStore, "seal", full_at_the_shares)
        else:
            put_large = PartyStore.put_large

            def overfilled_by_the_shares(self, body):
                if body.stage == "share":
                    _overfill(self, body)
                put_large(self, body)

            patched.setattr(PartyStore, "put_large", overfilled_by_the_shares)
        with pytest.raises(RunDirectoryError, match=r"cannot be written .*free some space") as caught:
            local.run(1, 2, 3)
    local.store._connection.execute("PRAGMA max_page_count = 1000000")
    assert "\n" not in str(caught.value)
    said = {kind for kind, _ in local.message_log.transcript}
    assert "Vote" in said
    assert not said & {"RosterCommitment", "HubCommitment", "Agreement", "OpeningReceipt"}
    assert not any(memory.opened for memory in local.aggregators.values())
    assert local.run(1, 2, 3).averages[2].roster == (1, 2, 3)


def _overfill(self, body) -> None:
    """A disk on which not one page is left."""
    self._connection.execute("PRAGMA max_page_count = 1")  # as many as there are: SQLite allows no fewer
    self._mirrors.write("INSERT INTO stage VALUES (?, 'x', 'x', ?)", (body.sid, bytes(1 << 20)))


def _stopping_at(own: Aggregator, step: str) -> Aggregator:
    def refuse(self, *_: object) -> None:
        raise AbortError("this aggregator has seen enough", "ask its operator")

    kind = type("Stubborn", (Aggregator,), {step: refuse, "__slots__": ()})
    return kind(own.manifest, own.number, own.identity)


@pytest.mark.parametrize(
    ("step", "point"), [("vote", 2), ("commit", 2), ("agree", 3), ("open", 4), ("certify", 4)], ids=str
)
def test_where_one_aggregator_cannot_go_on_all_give_the_session_up_and_the_next_round_works_unless_it_can_be_opened(
    local, step, point
) -> None:
    honest = local.parties
    local.parties = honest.with_aggregator(_stopping_at(honest.aggregators[1], step))
    with pytest.raises(AbortError, match="seen enough"):
        local.run(1, 2, 3)
    notices = [
        Abort.from_bytes(data, honest.manifest) for kind, data in local.message_log.transcript if kind == "Abort"
    ]
    record = local.aggregators[2].session
    if step in ("open", "certify"):  # all have agreed: nobody may give it up, and it is finished later
        assert not notices
        assert not record.given_up
        local.parties = honest
        result = local.session().finish_agreed(record.sid)
        assert result.averages[2].roster == (1, 2, 3)
        return
    assert [(notice.aggregator, notice.step) for notice in notices] == [(s, point) for s in (1, 2, 3)]
    for notice in notices:
        notice.require_signature_of(honest.manifest.aggregators[notice.aggregator - 1].public_key, record.sid)
    assert record.given_up
    assert not any(memory.opened for memory in local.aggregators.values())
    for number in (1, 2, 3):
        assert local.store.large(record.sid, f"aggregator {number}", "share") is None
    local.parties = honest
    assert local.run(1, 2, 3).averages[2].roster == (1, 2, 3)


def test_what_was_damaged_on_the_way_once_all_agreed_does_not_give_the_session_up(local) -> None:
    def damaged(message, _):
        return replace(message, signature=bytes(64))

    with damaging("aggregator 2", "agree", damaged), pytest.raises(MalformedError, match="type Agreement does not"):
        local.run(1, 2, 3)
    last = local.aggregators[1].session
    assert not last.given_up
    assert local.session().finish_agreed(last.sid).averages[2].roster == (1, 2, 3)


def test_where_the_aggregators_agree_on_different_transcripts_all_give_the_session_up_before_the_hub_opens(
    local, monkeypatch
) -> None:
    """Else the hub would never give it up again, and no aggregator would open it."""
    honest = Aggregator.agree

    def differ(self, *given):
        step = honest(self, *given)
        if self.number != 2:
            return step
        record = replace(step.memory.session, commitments=(bytes(32), *step.memory.session.commitments[1:]))
        memory, sid = replace(step.memory, session=record), step.message.sid
        return replace(step, message=self.words(memory, sid).agreement, memory=memory)

    with monkeypatch.context() as patched:
        patched.setattr(Aggregator, "agree", differ)
        with pytest.raises(AbortError, match="signed different transcripts"):
            local.run(1, 2, 3)
    last = local.aggregators[1].session
    assert last.given_up
    assert not local.store.stages(last.sid, OPENING)
    assert local.run(1, 2, 3).averages[2].roster == (1, 2, 3)


def test_a_session_that_some_aggregators_agreed_on_and_others_did_not_is_given_up_and_the_next_round_works(
    local, monkeypatch
) -> None:
    write = LocalNetwork._write

    def of_one_alone(self, writes, steps):
        write(self, writes[:1] if "agree" in steps else writes, steps)
        if "agree" in steps:
            raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(LocalNetwork, "_write", of_one_alone)
        with pytest.raises(Killed):
            local.run(1, 2, 3)
    assert local.aggregators[1].session.commitments
    with pytest.raises(RefusedError, match="neither opened nor given up"):
        local.run(1, 2, 3)
    local.session().give_up_outstanding()
    assert local.run(1, 2, 3).averages[2].roster == (1, 2, 3)


def test_the_hub_keeps_no_sum_and_adds_it_up_again_from_what_the_clients_sent(local) -> None:
    with dying_before("certify"), pytest.raises(Killed):
        local.run(1, 2, 3)
    sid = local.aggregators[1].session.sid
    assert [name for name, _ in local.store.large_bodies(HUB)] == []
    local.store.clear_stages_of([HUB])
    result = local.session().finish_agreed(sid)
    assert np.allclose(result.averages[1].mean, 0.25, atol=2**-12)


def test_a_refused_session_is_sent_again_with_the_same_numbers_and_then_accepted(local) -> None:
    honest = local.parties
    altering = AlteringAggregator(honest.manifest, 2, honest.aggregators[1].identity)
    local.parties = honest.with_aggregator(altering)
    refused = local.run(1, 2)
    assert sorted(refused.refusals) == [1, 2, 3]
    local.parties = honest
    with pytest.raises(RefusedError, match="send the same update to the same roster again"):
        local.run(1, 2, 3)
    result = local.session().run_again(3, refused.sid)
    assert result.averages[1].roster == (1, 2)
    assert np.allclose(result.averages[1].mean, 0.25, atol=2**-12)
    local.accept()
    entries = local.store.ledger.from_weights(INITIAL.weights)
    assert {entry.sid: entry.end for entry in entries} == {
        refused.sid: SessionEnd.UNKNOWN,
        result.sid: SessionEnd.ACCEPTED,
    }


def test_giving_a_repeat_up_erases_its_shares_and_not_those_of_an_opened_session_that_is_not_finished(
    local, monkeypatch
) -> None:
    honest = local.parties
    local.parties = honest.with_aggregator(AlteringAggregator(honest.manifest, 2, honest.aggregators[1].identity))
    refused = local.run(1, 2)
    monkeypatch.setattr(Session, "_finish_refused", lambda self: None)  # as if a result signature were missing
    local.parties = honest.with_aggregator(_stopping_at(honest.aggregators[1], "agree"))
    with pytest.raises(AbortError, match="seen enough"):
        local.session().run_again(2, refused.sid)
    given_up = local.aggregators[1].session
    assert given_up.given_up
    for number in (1, 2, 3):
        assert local.store.large(given_up.sid, f"aggregator {number}", "share") is None
        assert local.store.large(refused.sid, f"aggregator {number}", "share") is not None
    local.parties = honest
    assert sorted(local.session().finish_agreed(refused.sid).refusals) == [1, 2, 3]


def test_in_a_public_task_the_key_is_disclosed_even_for_a_refused_result_and_bears_the_complaints_out(
    tmp_path, field
) -> None:
    plan = SecurePlan(NAMES, D, 2, FixedPoint(field, 1.0, 12, 20, 3), roster_min=2, mode="public")
    parties = local_parties(plan)
    store = PartyStore.create(tmp_path / "store")
    set_up_in(store, parties)
    honest = parties.aggregators[1]
    parties = parties.with_aggregator(AlteringAggregator(honest.manifest, 2, honest.identity))
    message_log = MessageLog(parties.manifest)
    result = Session(parties, message_log, store, RoleClock()).run(1, _inputs(1, 2, 3))
    store.close()
    assert sorted(result.refusals) == [1, 2, 3]
    said = defaultdict(list)
    for kind, data in message_log.transcript:
        said[kind].append(getattr(messages, kind).from_bytes(data, parties.manifest))
    assert len(said["Complaint"]) == 3
    with pytest.raises(DeliveryError, match="does not carry the clients' tags"):
        verify_disclosed(parties.manifest, said["Delivery"][0], said["Header"], said["Disclosure"][0])


def test_what_stands_in_the_record_is_signed_and_shows_every_step(local) -> None:
    result = local.run(1, 2, 3)
    begin = next(index for index, (kind, _) in enumerate(local.message_log.transcript) if kind == "Announcement") - 1
    transcript = local.message_log.transcript[begin:]
    kinds = Counter(kind for kind, _ in transcript)
    assert kinds == {
        "HubRequest": 1,
        "Announcement": 3,
        "Header": 3,
        "Vote": 3,
        "HubCommitment": 1,
        "RosterCommitment": 3,
        "Agreement": 3,
        "OpeningReceipt": 3,
        "HubSumReceipt": 1,
        "ResultSignature": 3,
        "DeliveryReceipt": 1,
    }
    manifest = local.parties.manifest
    for kind, data in transcript:
        if kind == "OpeningReceipt":
            receipt = OpeningReceipt.from_bytes(data, manifest)
            receipt.require_signature_of(manifest.aggregators[receipt.aggregator - 1].public_key, result.sid)
    assert len(b"".join(data for _, data in transcript)) < 10_000


def test_a_session_that_nobody_agreed_on_is_not_finished(local) -> None:
    local.run(1, 2)
    with pytest.raises(RunDirectoryError, match="not every aggregator agreed"):
        local.session().finish_agreed(bytes(32))
    with pytest.raises(RunDirectoryError, match="does not keep the roster"):
        local.session().run_again(2, bytes(32))


def test_what_an_aggregator_stored_for_a_session_is_gone_once_its_result_is_accepted_and_the_next_is_announced(
    local,
) -> None:
    result = local.run(1, 2)
    sid = result.sid
    assert local.store.large(sid, "aggregator 1", "share") is not None
    local.accept()
    local.run(1, 2)
    for number in (1, 2, 3):
        assert local.store.large(sid, f"aggregator {number}", "share") is None


def test_the_store_lets_a_decision_be_taken_once(local) -> None:
    local.store.put_stage(bytes(32), HUB, AGAIN, b"")
    assert local.store.stages(bytes(32), AGAIN)
    local.store.remove_stage(bytes(32), HUB, AGAIN)
    assert not local.store.stages(bytes(32), AGAIN)


def test_a_message_that_the_receiver_cannot_parse_stops_the_session(local) -> None:
    with damaging("aggregator 1", "vote", lambda message, _: b"\x08"), pytest.raises(MalformedError):
        local.run(1, 2)
    assert local.aggregators[1].session.given_up


def test_time_is_counted_for_every_role(local) -> None:
    clock = RoleClock()
    inputs = {i: giving(np.zeros(D, np.float32), 1, bytes(32)) for i in (1, 2)}
    Session(local.parties, local.message_log, local.store, clock).run(9, inputs)
    assert all(clock.seconds[role] > 0 for role in Endpoint)
