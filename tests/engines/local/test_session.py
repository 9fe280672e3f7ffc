"""A local session ends in the right average, and a kill at any store transaction changes nothing."""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest

from privateyes.aggregation.messages import (
    VOID,
    Agreement,
    Announcement,
    Closing,
    Header,
    Opening,
    ResultSignature,
    RosterCommitment,
    Vote,
)
from privateyes.crypto.field import COMPACT, WIDE, Field
from privateyes.encoding.fixed_point import FixedPoint
from privateyes.engines.local import secure
from privateyes.engines.local.parties import SecurePlan, draw_identities, parties_from, set_up_epoch
from privateyes.engines.local.secure import SecureExchange
from privateyes.engines.local.session import LocalInput, RoleClock, Session
from privateyes.engines.local.store import PartyStore
from privateyes.engines.local.wire import Place, Wire
from privateyes.errors import AbortError, MalformedError, RunDirectoryError, TrainingError
from privateyes.federation.rounds import ClientUpdate, ServerState
from privateyes.federation.server_step import FedAvg

NAMES, D = ("a", "b", "c"), 7


def _plan(field: Field = COMPACT, aggregators: int = 2, roster_min: int = 2) -> SecurePlan:
    return SecurePlan(NAMES, D, aggregators, FixedPoint(field, 1.0, 12, 20, 3), roster_min)


def _updates(round_index: int, names=NAMES) -> list[ClientUpdate]:
    generator = np.random.default_rng(round_index)
    deltas = {name: generator.normal(0, 0.6, D).astype(np.float32) for name in NAMES}
    return [ClientUpdate(name, 2 + index, deltas[name], 0.0) for index, name in enumerate(NAMES) if name in names]


def _start() -> ServerState:
    return ServerState(np.zeros(D, np.float32))


class Killed(BaseException):
    """The process dies."""


class MortalStore(PartyStore):
    """Dies at the k-th of: before a transaction, inside it at its end, right after it is on disk."""

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


@pytest.fixture
def spoken(monkeypatch: pytest.MonkeyPatch):
    """Every signed message that ever crossed a wire, by type, session and speaker."""
    words = defaultdict(set)
    carry = Wire.carry

    def listening(self, message, sender, receiver, copies=1):
        match message:
            case RosterCommitment() | Agreement() | Opening() | ResultSignature() | Vote():
                words[type(message), message.sid, message.aggregator].add(message.to_bytes())
            case Closing():
                words[Closing, message.sid, message.aggregator].add(message.outcome)
            case Header():
                words[Header, message.sid, message.client].add(message.to_bytes())
            case Announcement():
                words[Announcement, (message.epoch, message.round), message.aggregator].add(message.to_bytes())
        return carry(self, message, sender, receiver, copies)

    monkeypatch.setattr(Wire, "carry", listening)
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
    assert moments > 60
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
    for case, (first, second) in enumerate([(9, 4), (17, 6), (20, 9), (25, 1), (28, 2), (30, 3), (31, 5), (33, 1)]):
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
    for key in ("saturated", "roster", "total_weight", "deviation"):
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


def test_an_incomplete_store_of_an_opened_session_is_said_to_be_so(local) -> None:
    local.run(1, 2)
    session = Session(local.parties, local.wire, local.store, RoleClock())
    with pytest.raises(RunDirectoryError, match="incomplete"):
        session.finish_opened(bytes(32))


def test_what_an_aggregator_stored_for_a_session_is_gone_once_it_announces_the_next(local) -> None:
    sid = local.run(1, 2).sid
    assert "aggregator 1" in local.store.stages(sid, "committed")
    for number, memory in local.parties.client_memories.items():
        local.parties.client_memories[number] = memory.with_state(bytes([1]) * 32)
    local.run(1, 2)
    for stage in ("committed", "agreed", "agreement"):
        assert not local.store.stages(sid, stage)


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
