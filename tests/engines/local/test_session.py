"""A local session ends in the right average, and a kill at any store transaction changes nothing."""

from __future__ import annotations

import sqlite3
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest

from privateyes.aggregation import hub, messages
from privateyes.aggregation.aggregator import Aggregator
from privateyes.aggregation.memory import AggregatorMemory
from privateyes.aggregation.messages import (
    VOID,
    Abort,
    Agreement,
    Announcement,
    Closing,
    Header,
    Opening,
    OpeningReceipt,
    ResultSignature,
    RosterCommitment,
    Vote,
)
from privateyes.aggregation.privacy_section import Privacy
from privateyes.aggregation.result import verify_disclosed
from privateyes.crypto.field import COMPACT, WIDE, Field
from privateyes.encoding.fixed_point import FixedPoint
from privateyes.engines.local import sealed_file, secure, session
from privateyes.engines.local.clock import RoleClock
from privateyes.engines.local.crew import Crew
from privateyes.engines.local.misbehaviour import AlteringAggregator
from privateyes.engines.local.parties import SecurePlan, draw_identities, parties_from, set_up_epoch
from privateyes.engines.local.quorum import Quorum
from privateyes.engines.local.secure import SecureExchange
from privateyes.engines.local.session import LocalInput, Session
from privateyes.engines.local.store import PartyStore
from privateyes.engines.local.wire import Place, TrafficKey, Wire
from privateyes.errors import AbortError, DeliveryError, MalformedError, RunDirectoryError, TrainingError
from privateyes.federation.rounds import ClientUpdate, ServerState
from privateyes.federation.server_step import FedAvg

NAMES, D = ("a", "b", "c"), 7


def _plan(field: Field = COMPACT, aggregators: int = 2, roster_min: int = 2) -> SecurePlan:
    return SecurePlan(NAMES, D, aggregators, FixedPoint(field, 1.0, 12, 20, 3), roster_min, privacy=Privacy(1.0))


def _updates(round_index: int, names=NAMES) -> list[ClientUpdate]:
    generator = np.random.default_rng(round_index)
    deltas = {name: generator.normal(0, 0.6, D).astype(np.float32) for name in NAMES}
    return [ClientUpdate(name, 2 + index, deltas[name], 0.0) for index, name in enumerate(NAMES) if name in names]


def _start() -> ServerState:
    return ServerState(np.zeros(D, np.float32))


class Killed(BaseException):
    """The process dies."""


class MortalStore(PartyStore):
    """Dies at the k-th of: before a transaction, inside it at its end, right after it is on disk; before and after
    large bodies are written; before the journal is folded in.
    """

    moments_left = -1

    def __init__(self, path) -> None:
        super().__init__(path)
        self._connection.execute("PRAGMA synchronous = OFF")  # the process dies here, not the machine

    def _tick(self) -> None:
        if MortalStore.moments_left == 0:
            raise Killed
        MortalStore.moments_left -= 1

    @contextmanager
    def transaction(self) -> Iterator[None]:
        self._tick()
        with super().transaction():
            yield
            self._tick()
        self._tick()

    def write_large(self, bodies):
        self._tick()
        written = super().write_large(bodies)
        self._tick()
        return written

    def write_state(self, pieces):
        self._tick()
        return super().write_state(pieces)

    def fold_journal(self) -> None:
        self._tick()
        super().fold_journal()


@pytest.fixture
def spoken(monkeypatch: pytest.MonkeyPatch):
    """Every signed message that ever crossed a wire, by type, session and speaker."""
    words = defaultdict(set)
    count = Wire._count

    def listening(self, message, hops):
        match message:
            case RosterCommitment() | Agreement() | Opening() | ResultSignature() | Vote():
                words[type(message), message.sid, message.aggregator].add(message.to_bytes())
            case Closing():
                words[Closing, message.sid, message.aggregator].add(message.outcome)
            case Header():
                words[Header, message.sid, message.client].add(message.to_bytes())
            case Announcement():
                words[Announcement, (message.epoch, message.round), message.aggregator].add(message.to_bytes())
        return count(self, message, hops)

    monkeypatch.setattr(Wire, "_count", listening)
    return words


def _require_one_voice(words) -> None:
    assert words
    assert all(len(said) == 1 for said in words.values())
    for kind, sid, speaker in words:
        if kind is Closing and words[Closing, sid, speaker] == {VOID}:
            assert (Opening, sid, speaker) not in words


def _train(directory, rounds: int, field: Field, aggregators: int) -> tuple[ServerState, list[dict]]:
    """Rounds until done, beginning anew from the last state that was handed over, as a resumed run does."""
    exchange = SecureExchange(_plan(field, aggregators), FedAvg(), directory, seed=5)
    details = []
    try:
        state = _train.checkpoint
        while state.round < rounds:
            state, report = exchange.exchange(state, _updates(state.round))
            _train.checkpoint = state
            details.append(report.details)
    finally:
        exchange._store._connection.close()
    return state, details


@pytest.mark.parametrize(("field", "aggregators"), [(COMPACT, 2), (WIDE, 3)], ids=["2-compact", "3-wide"])
def test_a_kill_at_any_moment_changes_neither_the_result_nor_what_was_said(
    tmp_path, monkeypatch, spoken, field, aggregators
) -> None:
    monkeypatch.setattr(secure, "PartyStore", MortalStore)
    MortalStore.moments_left, _train.checkpoint = -1, _start()
    expected, _ = _train(tmp_path / "reference", 2, field, aggregators)
    moments = -1 - MortalStore.moments_left
    assert moments > 40
    step = 1 if field is COMPACT else 5
    for moment in range(0, moments, step):
        spoken.clear()
        MortalStore.moments_left, _train.checkpoint = moment, _start()
        directory = tmp_path / f"{moment}"
        with pytest.raises(Killed):
            _train(directory, 2, field, aggregators)
        MortalStore.moments_left = -1
        resumed, _ = _train(directory, 2, field, aggregators)
        assert resumed.vector.tobytes() == expected.vector.tobytes()
        assert resumed.round == expected.round
        _require_one_voice(spoken)


def test_a_second_kill_during_the_recovery_changes_nothing_either(tmp_path, monkeypatch, spoken) -> None:
    monkeypatch.setattr(secure, "PartyStore", MortalStore)
    MortalStore.moments_left, _train.checkpoint = -1, _start()
    expected, _ = _train(tmp_path / "reference", 1, COMPACT, 2)
    for case, (first, second) in enumerate([(5, 4), (9, 6), (12, 9), (15, 1), (17, 2), (18, 3), (19, 5), (22, 1)]):
        spoken.clear()
        _train.checkpoint = _start()
        for moment in (first, second):
            MortalStore.moments_left = moment
            try:
                _train(tmp_path / f"{case}", 1, COMPACT, 2)
            except Killed:
                continue
        MortalStore.moments_left, _train.checkpoint = -1, _start()
        resumed, _ = _train(tmp_path / f"{case}", 1, COMPACT, 2)
        assert resumed.vector.tobytes() == expected.vector.tobytes()
        _require_one_voice(spoken)


def test_an_opened_session_is_finished_and_the_clipped_coordinates_are_still_known(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(secure, "PartyStore", MortalStore)
    MortalStore.moments_left, _train.checkpoint = -1, _start()
    _, expected = _train(tmp_path / "reference", 1, COMPACT, 2)
    moments = -1 - MortalStore.moments_left
    MortalStore.moments_left, _train.checkpoint = moments - 4, _start()
    with pytest.raises(Killed):
        _train(tmp_path / "killed", 1, COMPACT, 2)
    MortalStore.moments_left = -1
    _, resumed = _train(tmp_path / "killed", 1, COMPACT, 2)
    assert expected[0]["saturated"] > 0
    assert expected[0]["shortened"] > 0
    for key in ("saturated", "shortened", "roster", "total_weight", "deviation"):
        assert resumed[0][key] == expected[0][key]


@pytest.fixture
def local(tmp_path, field):
    """Parties, store and a function that runs one session."""
    plan = _plan(field, 3)
    parties = parties_from(plan, draw_identities(plan))
    wire = Wire(parties.manifest)
    set_up_epoch(parties, bytes(32), wire)
    store = PartyStore(tmp_path / "store")

    class Local:
        def __init__(self) -> None:
            self.parties, self.wire, self.store, self.rounds = parties, wire, store, 0

        def run(self, *clients: int, delta=None, weight: int = 3):
            inputs = {
                i: LocalInput(np.full(D, 0.25, np.float32) if delta is None else delta, weight, bytes(32))
                for i in clients
            }
            self.rounds += 1
            return Session(self.parties, wire, store, RoleClock()).run(self.rounds, inputs)

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
    assert not any(memory.opened for memory in local.parties.aggregator_memories.values())
    assert local.parties.client_memories[2].pending
    assert local.run(1, 2, 3).averages[1].total_weight == 9


def test_each_aggregator_is_asked_once_how_a_session_ended_however_many_wait_for_it(local, monkeypatch) -> None:
    def stop(*_: object) -> None:
        raise AbortError("stopped here")

    with monkeypatch.context() as patched:
        patched.setattr(hub, "choose_roster", stop)
        with pytest.raises(AbortError, match="stopped here"):
            local.run(1, 2, 3)
    assert all(memory.pending for memory in local.parties.client_memories.values())
    assert local.run(1, 2, 3).averages[1].total_weight == 9
    asked = local.wire.traffic[TrafficKey("Closing", Place.AGGREGATOR, Place.HUB)]
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
    before = dict(local.parties.client_memories)
    with pytest.raises(TrainingError, match=f"client a: .*{complaint}"):
        local.run(1, delta=delta, weight=weight)
    assert local.parties.client_memories == before
    assert local.wire.bytes_between(Place.HUB, Place.CLIENT) > 0
    assert not any(kind == "Header" for kind, _ in local.wire.transcript)
    assert local.run(1, 2).averages[1].roster == (1, 2)


def test_a_disk_that_is_full_at_the_submission_lets_nothing_out(local, monkeypatch) -> None:
    monkeypatch.setattr(PartyStore, "put_memory", _full_disk_for_clients)
    with pytest.raises(RunDirectoryError):
        local.run(1, 2)
    assert not any(kind == "Header" for kind, _ in local.wire.transcript)
    monkeypatch.undo()
    assert local.run(1, 2).averages[3].roster == (1, 2)


def _full_disk_for_clients(self, party, body) -> None:
    if party.startswith("client"):
        raise sqlite3.OperationalError("database or disk is full")
    self._connection.execute("INSERT INTO memory VALUES (?, ?) ON CONFLICT (party) DO NOTHING", (party, body))


@pytest.mark.parametrize("opener", [(1,), (2,), (3,), (1, 3), (2, 3)], ids=str)
def test_a_session_that_some_aggregators_opened_and_others_did_not_is_finished(local, monkeypatch, opener) -> None:
    """As after kills of machines of their own; here all store in one transaction, so their rows are mixed by hand."""
    before, after, inputs = {}, {}, {i: LocalInput(np.full(D, 0.25, np.float32), 3, bytes(32)) for i in (1, 2, 3)}

    def die(self, *_: object) -> None:
        after.update({number: local.store.memory(f"aggregator {number}") for number in (1, 2, 3)})
        raise Killed

    keep = Quorum.keep

    def noting(self, steps, sid, *rest, **more):
        before.update({number: local.store.memory(f"aggregator {number}") for number in (1, 2, 3)})
        keep(self, steps, sid, *rest, **more)

    with monkeypatch.context() as patched:
        patched.setattr(Quorum, "keep", noting)
        patched.setattr(Session, "_send_openings", die)
        with pytest.raises(Killed):
            Session(local.parties, local.wire, local.store, RoleClock()).run(1, inputs)
    for number in (1, 2, 3):
        body = after[number] if number in opener else before[number]
        local.parties.aggregator_memories[number] = AggregatorMemory.from_bytes(body)
    (sid,) = {sid for memory in local.parties.aggregator_memories.values() for sid in memory.opened}
    result = Session(local.parties, local.wire, local.store, RoleClock()).finish_opened(sid)
    assert np.allclose(result.averages[2].mean, 0.25, atol=2**-12)
    assert all(sid in memory.opened for memory in local.parties.aggregator_memories.values())


@pytest.mark.parametrize("mode", ["sealed", "public"])
def test_neither_what_is_said_nor_what_is_computed_depends_on_the_number_of_threads(
    tmp_path, monkeypatch, field, mode
) -> None:
    dimension = 150_000
    plan = SecurePlan(NAMES, dimension, 3, FixedPoint(field, 1.0, 12, 20, 3), roster_min=2, mode=mode)
    identities = draw_identities(plan)
    first = parties_from(plan, identities)
    set_up_epoch(first, bytes(32), Wire(first.manifest))
    random = np.random.default_rng(1)
    inputs = {i: LocalInput(random.normal(0, 0.6, dimension).astype(np.float32), 3, bytes(32)) for i in (1, 2, 3)}
    outcomes = []
    for count in (1, 2, 5):
        drawn = iter(range(100))
        monkeypatch.setattr(session.secrets, "token_bytes", lambda size, drawn=drawn: bytes([next(drawn)]) * size)
        crew, store = Crew(count), PartyStore(tmp_path / f"{count}")
        parties = parties_from(plan, identities, crew.lanes())
        parties.aggregator_memories.update(first.aggregator_memories)
        parties.client_memories.update(first.client_memories)
        wire, clock = Wire(parties.manifest), RoleClock(crew.seconds)
        result = Session(parties, wire, store, clock, crew).run(1, inputs)
        averages = {i: average.mean.tobytes() for i, average in result.averages.items()}
        outcomes.append((wire.transcript, wire.table(), averages, result.clipped, parties.aggregator_memories))
        assert all(clock.seconds[role] > 0 for role in Place)
        store.close()
        crew.close()
    assert outcomes[0] == outcomes[1] == outcomes[2]
    assert len(outcomes[0][2]) == 3


def test_with_the_clocks_running_backwards_a_session_ends_as_always(local, monkeypatch) -> None:
    """The protocol reads no clock; only what is measured becomes nonsense."""
    falling = iter(range(10**9, 0, -1))
    for name in ("time", "monotonic", "perf_counter", "thread_time", "process_time"):
        monkeypatch.setattr(time, name, lambda: float(next(falling)))
        monkeypatch.setattr(time, f"{name}_ns", lambda: next(falling))
    result = Session(local.parties, local.wire, local.store, RoleClock(time.thread_time)).run(1, _inputs(1, 2, 3))
    assert np.allclose(result.averages[1].mean, 0.25, atol=2**-12)
    assert next(falling) < 10**9 - 10, "no clock was read: the test proves nothing"


def _inputs(*clients: int) -> dict[int, LocalInput]:
    return {i: LocalInput(np.full(D, 0.25, np.float32), 3, bytes(32)) for i in clients}


def _full(*_: object) -> None:
    raise OSError(28, "No space left on device")


@pytest.mark.parametrize("where", ["a share's file", "the seals' transaction"])
def test_a_disk_that_is_full_at_the_commitment_lets_nothing_out_and_the_next_round_works(
    local, monkeypatch, where
) -> None:
    with monkeypatch.context() as patched:
        if where == "a share's file":
            patched.setattr(sealed_file.os, "fsync", _full)
        else:
            patched.setattr(PartyStore, "put_large", _overfill)
        with pytest.raises(RunDirectoryError, match=r"cannot be written .*free some space") as caught:
            local.run(1, 2, 3)
    assert "\n" not in str(caught.value)
    said = {kind for kind, _ in local.wire.transcript}
    assert "Vote" in said
    assert not said & {"RosterCommitment", "HubCommitment", "Agreement", "OpeningReceipt"}
    assert not any(memory.opened for memory in local.parties.aggregator_memories.values())
    assert local.run(1, 2, 3).averages[2].roster == (1, 2, 3)


def _overfill(self, sid, body) -> None:
    """A disk on which not one page is left."""
    self._connection.execute("PRAGMA max_page_count = 1")  # as many as there are: SQLite allows no fewer
    self._connection.execute("INSERT INTO stage VALUES (?, 'x', 'x', ?)", (sid, bytes(1 << 20)))


def _stopping_at(own: Aggregator, step: str) -> Aggregator:
    def refuse(self, *_: object) -> None:
        raise AbortError("this aggregator has seen enough", "ask its operator")

    kind = type("Stubborn", (Aggregator,), {step: refuse, "__slots__": ()})
    return kind(own.manifest, own.number, own.identity)


@pytest.mark.parametrize(
    ("step", "point"), [("vote", 2), ("commit", 3), ("agree", 3), ("open", 4), ("certify", 4)], ids=str
)
def test_an_aggregator_that_stops_says_so_and_forgets_its_share_and_if_nothing_was_opened_the_next_round_works(
    local, step, point
) -> None:
    honest = local.parties
    local.parties = honest.with_aggregator(_stopping_at(honest.aggregators[1], step))
    with pytest.raises(AbortError, match="seen enough"):
        local.run(1, 2, 3)
    notices = [Abort.from_bytes(data, honest.manifest) for kind, data in local.wire.transcript if kind == "Abort"]
    assert [(notice.aggregator, notice.step) for notice in notices] == [(2, point)]
    notices[0].require_signature_of(honest.manifest.aggregators[1].public_key, notices[0].sid)
    assert local.store.large(notices[0].sid, "aggregator 2", "committed") is None
    assert honest.aggregator_memories[2].stopped
    opened = [number for number, memory in honest.aggregator_memories.items() if memory.opened]
    if step == "certify":
        assert opened == [1, 2, 3]
        again = Session(honest, local.wire, local.store, RoleClock())
        with pytest.raises(RunDirectoryError, match="aggregator 2 stopped it"):
            again.finish_opened(notices[0].sid)
        return
    assert opened == []
    local.parties = honest
    assert local.run(1, 2, 3).averages[2].roster == (1, 2, 3)


def test_in_a_public_task_the_key_is_disclosed_even_for_a_refused_result_and_bears_the_complaints_out(
    tmp_path, field
) -> None:
    plan = SecurePlan(NAMES, D, 2, FixedPoint(field, 1.0, 12, 20, 3), roster_min=2, mode="public")
    parties = parties_from(plan, draw_identities(plan))
    set_up_epoch(parties, bytes(32), Wire(parties.manifest))
    honest = parties.aggregators[1]
    parties = parties.with_aggregator(AlteringAggregator(honest.manifest, 2, honest.identity))
    wire, store = Wire(parties.manifest), PartyStore(tmp_path / "store")
    result = Session(parties, wire, store, RoleClock()).run(1, _inputs(1, 2, 3))
    store.close()
    assert sorted(result.refusals) == [1, 2, 3]
    said = defaultdict(list)
    for kind, data in wire.transcript:
        said[kind].append(getattr(messages, kind).from_bytes(data, parties.manifest))
    assert len(said["Complaint"]) == 3
    with pytest.raises(DeliveryError, match="does not carry the clients' tags"):
        verify_disclosed(parties.manifest, said["Delivery"][0], said["Header"], said["Disclosure"][0])


def test_what_stands_in_the_record_is_signed_and_shows_every_step(local) -> None:
    result = local.run(1, 2, 3)
    kinds = Counter(kind for kind, _ in local.wire.transcript[-24:])
    assert kinds == {
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
    for kind, data in local.wire.transcript[-24:]:
        if kind == "OpeningReceipt":
            receipt = OpeningReceipt.from_bytes(data, manifest)
            receipt.require_signature_of(manifest.aggregators[receipt.aggregator - 1].public_key, result.sid)
    assert len(b"".join(data for _, data in local.wire.transcript[-24:])) < 10_000


def test_an_incomplete_store_of_an_opened_session_is_said_to_be_so(local) -> None:
    local.run(1, 2)
    again = Session(local.parties, local.wire, local.store, RoleClock())
    with pytest.raises(RunDirectoryError, match="incomplete"):
        again.finish_opened(bytes(32))


def test_what_an_aggregator_stored_for_a_session_is_gone_once_it_announces_the_next(local) -> None:
    sid = local.run(1, 2).sid
    assert local.store.large(sid, "aggregator 1", "committed") is not None
    assert "aggregator 1" in local.store.stages(sid, "agreed")
    for number, memory in local.parties.client_memories.items():
        local.parties.client_memories[number] = memory.with_state(bytes([1]) * 32, sid)
    local.run(1, 2)
    for stage in ("agreed", "agreement", "clipped"):
        assert not local.store.stages(sid, stage)
    for party, stage in (("aggregator 1", "committed"), ("hub", "sum")):
        assert local.store.large(sid, party, stage) is None


def test_an_input_shows_no_update_in_its_repr() -> None:
    shown = repr(LocalInput(np.full(D, 0.123, np.float32), 3, bytes([9]) * 32))
    assert shown == "LocalInput(weight=3)"


def test_a_message_that_the_receiver_cannot_parse_stops_the_session(local, monkeypatch) -> None:
    monkeypatch.setattr(Vote, "to_bytes", lambda self: b"\x08")
    with pytest.raises(MalformedError):
        local.run(1, 2)


def test_time_is_counted_for_every_role(local) -> None:
    clock = RoleClock()
    inputs = {i: LocalInput(np.zeros(D, np.float32), 1, bytes(32)) for i in (1, 2)}
    Session(local.parties, local.wire, local.store, clock).run(9, inputs)
    assert all(clock.seconds[role] > 0 for role in Place)
