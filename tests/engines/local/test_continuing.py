"""What waits for a decision, which ways are safe, and why the others are not."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from failing_disks import Killed, lose
from local_task import dying_before, refuse
from privateyes.aggregation.aggregator import Aggregator
from privateyes.aggregation.memory import AggregatorMemory, ClientMemory
from privateyes.aggregation.messages import Opening
from privateyes.aggregation.steps import Step
from privateyes.crypto.field import COMPACT
from privateyes.encoding.fixed_point import FixedPoint
from privateyes.engines.local.continuing import SEND_AGAIN, Refused, look, send_again, task_folders
from privateyes.engines.local.parties import SecurePlan
from privateyes.engines.local.secure import SecureExchange
from privateyes.engines.local.stages import AGAIN, OPENING
from privateyes.errors import AbortError, BlamedError, RefusedError, RunDirectoryError
from privateyes.federation.participants import ClientUpdate
from privateyes.federation.rounds import ServerState
from privateyes.federation.server_step import FedAvg
from privateyes.parties.packets import HUB
from privateyes.storage.store import PartyStore
from taking_part import taking_part

NAMES, D = ("ada", "bob", "cyd"), 20
OPEN_COHORT = SecurePlan(NAMES, D, 2, FixedPoint(COMPACT, 1.0, 12, 20, 3), roster_min=2)
FIXED_COHORT = replace(OPEN_COHORT, roster_min=3)


def updates_of(*names: str) -> list[ClientUpdate]:
    return [ClientUpdate(name, 5, np.full(D, 0.1, np.float32), 0.0) for name in names or NAMES]


def start() -> ServerState:
    return ServerState(np.zeros(D, np.float32))


def opened(folder: Path, plan: SecurePlan = OPEN_COHORT, mirrors: tuple[Path, ...] = ()) -> SecureExchange:
    return SecureExchange(plan, FedAvg(), folder, seed=1, mirrors=mirrors)


def refused_in(
    folder: Path, plan: SecurePlan = OPEN_COHORT, names: tuple[str, ...] = NAMES, mirrors: tuple[Path, ...] = ()
) -> ServerState:
    """A task whose second round was refused; the state after the first."""
    with closing(opened(folder, plan, mirrors)) as private:
        state, _ = private.exchange(start(), taking_part(updates_of()))
        refuse(private, state, updates_of(*names))
    return state


def look_at(folder: Path) -> Refused:
    found = look(folder)
    assert found is not None
    return found


# What waits


def test_it_is_said_which_round_was_refused_by_whom_and_who_was_counted(tmp_path) -> None:
    refused_in(tmp_path, names=("ada", "cyd"))
    found = look_at(tmp_path)
    assert (found.round, found.sessions, found.asked_again) == (2, (found.sid,), False)
    assert found.roster == ("ada", "cyd")
    assert found.refusals == dict.fromkeys(NAMES, 5)
    assert [party.name for party in found.manifest.clients] == list(NAMES)


def test_a_task_that_can_simply_go_on_waits_for_nobody(tmp_path, monkeypatch) -> None:
    def die(*_: object) -> None:
        raise Killed

    for step in ("_set_up", "_session", "_accept"):
        folder = tmp_path / step
        with monkeypatch.context() as patched, closing(opened(folder)) as private:
            patched.setattr(SecureExchange, step, die)
            with pytest.raises(Killed):
                private.exchange(start(), taking_part(updates_of()))
        assert look(folder) is None
        with closing(opened(folder)) as private:
            private.exchange(start(), taking_part(updates_of()))
        assert look(folder) is None
    PartyStore(folder).destroy()
    assert look(folder) is None


def test_a_session_that_was_opened_and_that_no_client_has_looked_at_yet_is_no_refused_one(tmp_path) -> None:
    with closing(opened(tmp_path)) as private, dying_before("check"), pytest.raises(Killed):
        private.exchange(start(), taking_part(updates_of()))
    assert look(tmp_path) is None


@pytest.mark.parametrize("names", [("ada", "bob"), ("bob", "cyd")], ids=["without the last", "without the first"])
def test_of_sessions_that_sent_one_update_again_the_first_is_named_and_a_decision_counts_once(tmp_path, names) -> None:
    state = refused_in(tmp_path, names=names)
    first = look_at(tmp_path)
    for repeats in (1, 2):
        assert send_again(tmp_path).asked_again
        assert look_at(tmp_path).asked_again
        with closing(opened(tmp_path)) as private:
            refuse(private, state, updates_of())
        found = look_at(tmp_path)
        assert (found.round, found.sid, found.roster, found.asked_again) == (2, first.sid, names, False)
        assert len(set(found.sessions)) == len(found.sessions) == 1 + repeats
    send_again(tmp_path)
    with closing(opened(tmp_path)) as private:
        following, _ = private.exchange(state, taking_part(updates_of()))
    assert following.round == 2
    assert look(tmp_path) is None


def test_a_decision_is_taken_in_every_mirror_and_those_that_are_missing_are_told(tmp_path) -> None:
    mirrors = (tmp_path / "x", tmp_path / "y", tmp_path / "z")
    refused_in(tmp_path / "task", mirrors=mirrors)
    told: list[str] = []
    assert look(tmp_path / "task", told.append) is not None
    assert told == []
    send_again(tmp_path / "task")
    lose(mirrors[0])
    found = look(tmp_path / "task", told.append)
    assert found is not None
    assert found.asked_again
    (note,) = told
    assert note.startswith(f"warning: the mirror in {mirrors[0]} is missing; the store goes on without it")
    lose(mirrors[1])
    with pytest.raises(RunDirectoryError, match="1 of the 3 mirrors"):
        look(tmp_path / "task")


def fail_to_open(private: SecureExchange, state: ServerState) -> None:
    """A round in which aggregator 2 opens something else than it committed to, so that no result comes of it."""
    parties, _ = private._parties_at(state)
    own = parties.aggregators[1]

    def open_another(self: Aggregator, *given: Any) -> Step[Opening]:
        step = Aggregator.open(self, *given)
        other = replace(step.message, share=(step.message.share + 1) % COMPACT.prime)
        receipt = other.receipt(self.manifest.bulk_hash).signed_by(self.identity, other.sid)
        return replace(step, message=replace(other, signature=receipt.signature))

    misbehaving = type("Misbehaving", (Aggregator,), {"open": open_another, "__slots__": ()})
    private._parties = parties.with_aggregator(misbehaving(own.manifest, own.number, own.identity))
    with pytest.raises(BlamedError, match=f"aggregator 2: .*; `privateyes task continue {private._directory}` says"):
        private.exchange(state, taking_part(updates_of()))
    private._parties = parties


def test_a_round_that_an_aggregator_does_not_open_rightly_waits_and_goes_on_once_it_does(tmp_path) -> None:
    for _ in range(2):
        with closing(opened(tmp_path)) as private:
            fail_to_open(private, start())
        found = look_at(tmp_path)
        assert (found.round, found.roster, found.refusals) == (1, NAMES, {})
        assert [way.name for way in found.ways if way.is_safe] == ["send again", "start over"]
    with closing(opened(tmp_path)) as private:
        following, _ = private.exchange(start(), taking_part(updates_of()))
    assert following.round == 1
    assert look(tmp_path) is None


def test_a_round_that_an_aggregator_does_not_open_rightly_can_be_sent_again(tmp_path) -> None:
    with closing(opened(tmp_path)) as private:
        fail_to_open(private, start())
    send_again(tmp_path)
    with closing(opened(tmp_path)) as private:
        following, _ = private.exchange(start(), taking_part(updates_of()))
    assert following.round == 1
    assert np.allclose(following.vector, 0.1, atol=1e-3)


def test_a_failure_before_the_opening_points_nowhere(tmp_path) -> None:
    with closing(opened(tmp_path)) as private, pytest.raises(AbortError, match="roster of 1") as raised:
        private.exchange(start(), taking_part(updates_of("ada")))
    assert "task continue" not in str(raised.value)
    assert look(tmp_path) is None


# What is safe


def test_two_ways_are_safe_and_every_other_one_says_whom_it_would_hurt(tmp_path) -> None:
    refused_in(tmp_path)
    ways = look_at(tmp_path).ways
    assert [way.name for way in ways if way.is_safe] == ["send again", "start over"]
    reasons = {way.name: way.why for way in ways}
    for name, reason in {
        "send again": "the same 3 clients and nobody else send the same updates once more",
        "fresh noise": "only where every update was sent under differential privacy; here none was",
        "start over": "a new run from other weights",
        "go on without a suspect": "differ by its update, and it may be honest",
        "add somebody": "differ by the update of whoever is added",
        "train again from the same model": "a second sample of the same images' update",
        "accept the risk": "the people whose images these are",
    }.items():
        assert reason in reasons.pop(name)
    assert not reasons


def forget_roster(store: PartyStore, found: Refused) -> None:
    store.remove_stage(found.sid, HUB, OPENING)


def forget_opening(store: PartyStore, found: Refused) -> None:
    """As an aggregator that was set up anew."""
    memory = AggregatorMemory.from_bytes(store.memory("aggregator 2"))
    rewrite(store, "aggregator 2", replace(memory, opened={}, session=None))


def agree_and_not_open(store: PartyStore, found: Refused) -> None:
    """As an aggregator that was killed, or cut off, before it opened."""
    rewrite(store, "aggregator 2", replace(AggregatorMemory.from_bytes(store.memory("aggregator 2")), opened={}))


def open_another_roster(store: PartyStore, found: Refused) -> None:
    memory = AggregatorMemory.from_bytes(store.memory("aggregator 2"))
    rewrite(store, "aggregator 2", replace(memory, opened={found.sid: bytes(32)}))


def accept_in_one_client(store: PartyStore, found: Refused) -> None:
    """As a client that was shown a result of that session which it accepts."""
    rewrite(store, "client bob", replace(ClientMemory.from_bytes(store.memory("client bob")), followed=()))


def lose_what_was_sent(store: PartyStore, found: Refused) -> None:
    store.remove_stage(found.sid, "client cyd", "kept")
    store.remove_stage(found.sid, "client cyd", "update")


def damage_what_was_sent(store: PartyStore, found: Refused) -> None:
    store._mirrors.write("UPDATE stage SET body = ? WHERE party = ? AND stage = 'kept'", (b"?", "client cyd"))


def lose_the_numbers(store: PartyStore, found: Refused) -> None:
    statement = "SELECT file FROM large WHERE party = 'client cyd' AND stage = 'update'"
    (name,) = store._mirrors.connection.execute(statement).fetchone()
    (path,) = store._mirrors.body_files(name)
    path.unlink()


def rewrite(store: PartyStore, party: str, memory: AggregatorMemory | ClientMemory) -> None:
    store._mirrors.write("UPDATE memory SET body = ? WHERE party = ?", (memory.to_bytes(), party))


HINDRANCES = {
    "the hub lost the roster": (forget_roster, "the hub does not keep its roster"),
    "an aggregator forgot it": (forget_opening, "an aggregator does not remember that it opened that roster"),
    "an aggregator opened another": (open_another_roster, "an aggregator does not remember that it opened that roster"),
    "an aggregator has not opened it": (agree_and_not_open, "an aggregator agreed to open it and has not yet"),
    "a client moved on": (accept_in_one_client, "bob accepted a result, or moved on, and has nothing to send again"),
    "a client lost its update": (lose_what_was_sent, "cyd does not keep what it sent"),
    "a client's words are damaged": (damage_what_was_sent, "cyd does not keep what it sent"),
    "a client's numbers are lost": (lose_the_numbers, "cyd does not keep what it sent"),
}


@pytest.mark.parametrize(("happen", "reason"), HINDRANCES.values(), ids=HINDRANCES.keys())
def test_what_hinders_a_repetition_is_said_and_the_decision_refused(tmp_path, happen, reason) -> None:
    refused_in(tmp_path)
    found = look_at(tmp_path)
    with closing(PartyStore(tmp_path)) as store:
        happen(store, found)
    way = look_at(tmp_path).way(SEND_AGAIN)
    assert not way.is_safe
    assert reason in way.why
    assert look_at(tmp_path).way("start over").is_safe
    with pytest.raises(RefusedError, match=f"cannot be sent again: .*{reason}.*; see the other ways"):
        send_again(tmp_path)
    with closing(PartyStore(tmp_path)) as store:
        assert not store.stages(found.sid, AGAIN)


def test_where_every_roster_holds_everybody_an_opening_still_comes_first(tmp_path) -> None:
    refused_in(tmp_path, FIXED_COHORT)
    found = look_at(tmp_path)
    with closing(PartyStore(tmp_path)) as store:
        agree_and_not_open(store, found)
    assert "resume the run first" in look_at(tmp_path).way(SEND_AGAIN).why


@pytest.mark.parametrize("happen", [forget_opening, open_another_roster])
def test_where_every_roster_holds_everybody_an_aggregator_need_not_remember(tmp_path, happen) -> None:
    refused_in(tmp_path, FIXED_COHORT)
    found = look_at(tmp_path)
    with closing(PartyStore(tmp_path)) as store:
        happen(store, found)
    assert look_at(tmp_path).way(SEND_AGAIN).is_safe


def test_a_client_that_was_not_counted_need_not_keep_anything(tmp_path) -> None:
    refused_in(tmp_path, names=("ada", "bob"))
    assert look_at(tmp_path).way(SEND_AGAIN).is_safe


def test_where_nothing_waits_nothing_is_decided(tmp_path) -> None:
    with closing(opened(tmp_path)) as private:
        private.exchange(start(), taking_part(updates_of()))
    with pytest.raises(RefusedError, match="no session waits for a decision; resume the run"):
        send_again(tmp_path)


# Where to look


def test_the_tasks_of_a_run_are_found_and_a_tasks_folder_is_taken_as_it_is(tmp_path) -> None:
    folders = [
        tmp_path / "aggregation" / fold / way for fold in ("p00", "p01") for way in ("private", "private-fedadam")
    ]
    for folder in folders:
        folder.mkdir(parents=True)
        (folder / "manifest.toml").touch()
    assert task_folders(tmp_path) == folders
    assert task_folders(folders[2]) == [folders[2]]
    for other in (tmp_path / "aggregation", tmp_path / "nowhere"):
        with pytest.raises(RunDirectoryError, match=f"{other} holds no task; give a run's directory"):
            task_folders(other)
