"""Every (state, message) pair ends in a legal state or in a terminal abort.

The pairs are made and not found: every state of an aggregator meets every transition, with lists of messages of every
class, whole and damaged; every situation of a client meets every request. Whatever happens, only errors of the
project's tree are raised, a state is used once, and after an error its secrets are gone.
"""

from __future__ import annotations

import secrets
from dataclasses import fields, replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from privateyes.aggregation.snapshot import dump_agreed, dump_committed, load_agreed, load_committed
from privateyes.aggregation.states import Agreed, Announced, Certified, Committed, Opened, State, Step, Voted

from privateyes.aggregation import messages as every_message
from privateyes.aggregation.client import SubmissionSecrets, Submitted, VerifiedAverage
from privateyes.aggregation.memory import ClientMemory
from privateyes.aggregation.messages import (
    Agreement,
    Complaint,
    Delivery,
    Disclosure,
    Header,
    Message,
    Opening,
    RosterCommitment,
    Signed,
    Vote,
)
from privateyes.errors import PrivateyesError, RefusedError

SALT = bytes([9]) * 32
STATES = [Announced, Voted, Committed, Agreed, Opened, Certified]
TRANSITIONS = ["vote", "commit", "agree", "open", "certify"]
TAKES = dict(zip(TRANSITIONS, STATES, strict=False))
GIVES = dict(zip(TRANSITIONS, STATES[1:], strict=False))
STEP_BEFORE = dict(zip(STATES, ["submit", "vote", "commit", "agree", "open", "certify"], strict=True))


class Point:
    """Aggregator 1 of a small world at one state, with everything that ever was said around it."""

    def __init__(self, make_world, state: type[State], n: int = 3) -> None:
        self.world = world = make_world(n=n)
        world.run(to="commit")  # an earlier session, whose messages are at hand too
        earlier = {
            "earlier headers": self._headers(),
            "earlier votes": world.votes,
            "earlier roster": world.commitments,
        }
        old_round, old_hub = world.round, world.hub_commitment
        world.announce()
        for i, own in world.clients.items():
            world.client_memories[i] = own.settle(world.client_memories[i], world.closings(old_round))
        world.submit_all()
        if state is not Announced:
            world.finish(STEP_BEFORE[state])
        self.state, self.memory, self.own = world.states[1], world.aggregator_memories[1], world.aggregators[1]
        states, memories = dict(world.states), dict(world.aggregator_memories)
        world.states = {s: _copy_of(one, s, world) for s, one in states.items()}
        for step in ("vote", "commit", "agree", "open", "certify", "deliver"):
            if state not in STATES[STATES.index(TAKES.get(step, Certified)) + 1 :] or step == "deliver":
                getattr(world, step)()
        world.states, world.aggregator_memories = states, memories
        self.hub_commitment, self.total, self.old_hub = world.hub_commitment, world.total, old_hub
        self.lists = {
            "vote": self._headers(),
            "commit": list(world.votes),
            "agree": list(world.commitments),
            "open": list(world.agreements),
            "certify": list(world.openings),
            "results": list(world.results),
            "announcements": list(world.announcements),
            "deliveries": [world.delivery],
            "submissions": list(world.submissions.values()),
            "closings": world.closings(old_round),
            "hub": [self.hub_commitment, self.total],
            **earlier,
        }

    def _headers(self):
        return [submission.header for submission in self.world.submissions.values()]

    def take(self, transition: str, state: State, given_messages, hub_message=None):
        """One transition with these messages."""
        if transition == "commit":
            return self.own.commit(self.memory, state, given_messages, SALT)
        if transition == "agree":
            return self.own.agree(self.memory, state, given_messages, hub_message or self.hub_commitment)
        if transition == "certify":
            return self.own.certify(state, given_messages, hub_message or self.total)
        return getattr(self.own, transition)(self.memory, state, given_messages)


def _copy_of(state: State, number: int, world) -> State:
    """An unused state of the same content, through the store's bytes where there are any."""
    if isinstance(state, Committed):
        return load_committed(dump_committed(state), number, world.manifest)
    if isinstance(state, Agreed):
        return load_agreed(dump_agreed(state), _copy_of(state.committed, number, world), world.manifest)
    if isinstance(state, Opened):
        return Opened(_copy_of(state.agreed, number, world))
    if isinstance(state, Voted):
        return Voted(state.sid, state.headers, state.entries, state.rejected)
    return type(state)(state.sid)


@pytest.fixture(scope="session")
def points(make_world):
    """Every state once; tests copy what they use."""
    return {state: Point(make_world, state) for state in STATES}


def _secrets_of(state: State) -> Committed | None:
    if isinstance(state, Opened):
        state = state.agreed
    if isinstance(state, Agreed):
        state = state.committed
    return state if isinstance(state, Committed) else None


def _require_legal_end(point: Point, transition: str, state: State, outcome) -> None:
    """A Step to the next state, or an error after which the state is used up and, unless it was sent already, empty."""
    if isinstance(outcome, Step):
        assert isinstance(state, TAKES[transition])
        assert isinstance(outcome.state, GIVES[transition])
        assert isinstance(outcome.message, Signed)
        with pytest.raises(RefusedError):
            point.take(transition, state, point.lists[transition])
        return
    assert isinstance(outcome, PrivateyesError)
    if not isinstance(state, TAKES[transition]):
        assert isinstance(outcome, RefusedError), "a state of another point is refused before anything is looked at"
        return
    with pytest.raises(RefusedError):
        point.take(transition, state, point.lists[transition])
    held = _secrets_of(state)
    if held is not None and not isinstance(state, Opened):
        assert held.salt == b""
        assert not held.share.any()


def _attempt(point: Point, transition: str, state: State, given_messages, hub_message=None):
    try:
        return point.take(transition, state, given_messages, hub_message)
    except PrivateyesError as error:
        return error


def _damaged(world, own: list[Message], transition: str, others: dict[str, list[Message]]) -> dict[str, list[Message]]:
    """The right messages, and what can be wrong with them."""
    second = own[1]
    lists = {
        "right": own,
        "none": [],
        "one missing": own[:-1],
        "own missing": own[1:],
        "one twice": [*own, own[0]],
        "one in another's place": [own[0], *own[:-1]],
        "reversed": own[::-1],
    }
    if isinstance(second, Signed):
        number = 2
        key = world.client_keys[number] if isinstance(second, Header) else world.aggregator_keys[number]
        role = "client" if isinstance(second, Header) else "aggregator"
        lists |= {
            "forged": [own[0], replace(second, signature=bytes(64)), *own[2:]],
            "from another session": [own[0], replace(second, sid=bytes(32)).signed_by(key, bytes(32)), *own[2:]],
            "misnamed": [own[0], replace(second, sid=bytes(32)).signed_by(key, world.sid), *own[2:]],
            "of nobody": [own[0], replace(second, **{role: 9}).signed_by(key, world.sid), *own[2:]],
            "of number nought": [own[0], replace(second, **{role: 0}).signed_by(key, world.sid), *own[2:]],
        }
        lists |= {
            f"{name} altered": [own[0], changed.signed_by(key, world.sid), *own[2:]]
            for name, changed in _alterations(second)
        }
    mixed = {f"{name} instead": found for name, found in others.items() if name != transition}
    mixed |= {f"one of {name}": [*own[:-1], found[0]] for name, found in others.items() if name != transition}
    return lists | mixed


def _alterations(message):
    if isinstance(message, Vote):
        yield "entries", replace(message, entries=message.entries[:1])
        yield "padded entries", replace(message, entries=(*message.entries, (77, bytes(32))))
    if isinstance(message, RosterCommitment):
        yield "rho", replace(message, rho=bytes(32))
        yield "commitment", replace(message, commitment=bytes(32))
    if isinstance(message, Agreement):
        yield "transcript", replace(message, transcript=bytes(32))
    if isinstance(message, Opening):
        share = np.array(message.share)
        share[0] ^= 1
        yield "share", replace(message, share=share)
        yield "salt", replace(message, salt=bytes(32))
    if isinstance(message, Header):
        for name in ("nonce", "group_check", "session_key_hash", "share_hash"):
            yield name, replace(message, **{name: bytes(32)})
        yield "keys", replace(message, sealed_hashes=message.sealed_hashes[:1])


@pytest.mark.parametrize("transition", TRANSITIONS)
@pytest.mark.parametrize("state", STATES, ids=lambda state: state.__name__)
def test_every_state_under_every_transition_with_every_list_ends_legally(points, state, transition) -> None:
    point = points[state]
    own = point.lists[transition]
    ended = set()
    for name, given_messages in _damaged(point.world, own, transition, point.lists).items():
        fresh = _copy_of(point.state, 1, point.world)
        outcome = _attempt(point, transition, fresh, given_messages)
        _require_legal_end(point, transition, fresh, outcome)
        ended.add(isinstance(outcome, Step))
        if name in ("right", "reversed"):
            assert isinstance(outcome, Step) == isinstance(fresh, TAKES[transition]), name
    tolerant = {"vote"}  # what is wrong with a header is no reason to stop: it is left out
    if isinstance(point.state, TAKES[transition]) and transition not in tolerant:
        assert ended == {True, False}


@pytest.mark.parametrize("transition", ["agree", "certify"])
def test_every_wrong_message_of_the_hub_ends_the_session(points, transition) -> None:
    point = points[TAKES[transition]]
    right = {"agree": point.hub_commitment, "certify": point.total}[transition]
    wrong = [point.old_hub, replace(right, sid=bytes(32)), point.lists["deliveries"][0], point.lists["commit"][0]]
    wrong.append({"agree": point.total, "certify": point.hub_commitment}[transition])
    for message in wrong:
        fresh = _copy_of(point.state, 1, point.world)
        outcome = _attempt(point, transition, fresh, point.lists[transition], message)
        assert isinstance(outcome, PrivateyesError)
        _require_legal_end(point, transition, fresh, outcome)


@pytest.mark.parametrize("transition", TRANSITIONS)
def test_a_used_state_is_never_usable_again(points, transition) -> None:
    point = points[TAKES[transition]]
    for first in (point.lists[transition], []):
        fresh = _copy_of(point.state, 1, point.world)
        _attempt(point, transition, fresh, first)
        for again in TRANSITIONS:
            assert isinstance(_attempt(point, again, fresh, point.lists[again]), RefusedError)


@pytest.mark.parametrize("transition", TRANSITIONS[:-1])
@pytest.mark.parametrize("name", ["last_sid", "stopped"])
def test_no_state_is_used_with_a_memory_that_closed_its_session(points, transition, name) -> None:
    point = points[TAKES[transition]]
    fresh = _copy_of(point.state, 1, point.world)
    closed = replace(point.memory, **{name: bytes(32) if name == "last_sid" else True})
    before, point.memory = point.memory, closed
    try:
        outcome = _attempt(point, transition, fresh, point.lists[transition])
    finally:
        point.memory = before
    assert isinstance(outcome, RefusedError)
    _require_legal_end(point, transition, fresh, outcome)


def test_without_single_use_a_state_is_used_twice(points, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the tests above look for is there to be found."""
    monkeypatch.setattr(State, "use", lambda self: None)
    point = points[Agreed]
    fresh = _copy_of(point.state, 1, point.world)
    outcome = _attempt(point, "open", fresh, point.lists["open"])
    with pytest.raises(pytest.fail.Exception, match="DID NOT RAISE"):
        _require_legal_end(point, "open", fresh, outcome)


def test_without_erasure_a_refused_opening_leaves_its_share(points, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Agreed, "erase", lambda self: None)
    point = points[Agreed]
    fresh = _copy_of(point.state, 1, point.world)
    outcome = _attempt(point, "open", fresh, [])
    with pytest.raises(AssertionError):
        _require_legal_end(point, "open", fresh, outcome)


PICKS = st.lists(st.tuples(st.integers(0, 63), st.integers(0, 15)), max_size=5)


@given(start=st.sampled_from(STATES), walk=st.lists(st.tuples(st.sampled_from(TRANSITIONS), PICKS), max_size=6))
@settings(max_examples=150, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
def test_no_walk_through_the_states_leaves_the_path(points, start, walk) -> None:
    """Any transitions in any order, right messages or any mixture; a step is taken only where the path has one."""
    point = points[start]
    state = _copy_of(point.state, 1, point.world)
    memory = point.memory
    names = list(point.lists)
    try:
        for transition, picks in walk:
            picked = [point.lists[names[a % len(names)]] for a, _ in picks]
            given_messages = [found[b % len(found)] for found, (_, b) in zip(picked, picks, strict=True)]
            outcome = _attempt(point, transition, state, given_messages or point.lists[transition])
            if not isinstance(outcome, Step):
                continue
            assert type(state) is TAKES[transition]
            assert type(outcome.state) is GIVES[transition]
            state, point.memory = outcome.state, outcome.memory or point.memory
    finally:
        point.memory = memory


# Clients

FRESH = SubmissionSecrets(bytes(range(32)), bytes([3]) * 32)
REQUESTS = ["observe", "submit", "settle", "check", "disclose"]


class Situations:
    """Client 1's memory in every situation, and everything that can reach it."""

    def __init__(self, make_world, mode: str) -> None:
        self.world = world = make_world(n=3, mode=mode)
        self.memories = {"fresh": world.client_memories[1]}
        world.announce()
        void_round = world.round
        self.lists = {"old announcements": list(world.announcements)}
        self.memories["observed"] = world.clients[1].observe(world.client_memories[1], world.announcements)
        world.submit_all()
        self.memories["submitted"] = world.client_memories[1]
        world.announce()
        self.lists["void"] = world.closings(void_round)
        for i, own in world.clients.items():
            world.client_memories[i] = own.settle(world.client_memories[i], self.lists["void"])
        self.memories["settled"] = world.client_memories[1]
        self.lists["announcements"] = list(world.announcements)
        world.submit_all()
        self.memories["submitted again"] = world.client_memories[1]
        world.finish()
        opened_round = world.round
        self.delivery = world.delivery
        self.memories["accepted"] = world.client_memories[1].with_state(bytes([1]) * 32, world.sid)
        world.announce()
        self.lists["opened"] = world.closings(opened_round)
        self.lists["late announcements"] = list(world.announcements)
        self.lists["deliveries"] = [self.delivery]
        self.lists["agreements"] = list(world.agreements)
        self.memories["reloaded"] = ClientMemory.from_bytes(self.memories["submitted again"].to_bytes())
        world.set_up(bytes(32))
        self.memories["next epoch"] = world.client_memories[1]
        world.announce()
        self.lists["announcements of the next epoch"] = list(world.announcements)
        self.own = world.clients[1]

    def ask(self, request: str, memory: ClientMemory, given_messages):
        """One request with these messages; of a delivery, the first."""
        if request == "submit":
            return self.own.submit(memory, given_messages, self.world.delta(1), 2, FRESH)
        if request in ("check", "disclose"):
            return getattr(self.own, request)(memory, given_messages)
        return getattr(self.own, request)(memory, given_messages)


@pytest.fixture(scope="session", params=["sealed", "public"])
def situations(request, make_world):
    """Both modes."""
    return Situations(make_world, request.param)


def _deliveries(delivery: Delivery):
    yield delivery
    for one in fields(delivery):
        value = getattr(delivery, one.name)
        if isinstance(value, bytes):
            yield replace(delivery, **{one.name: bytes(32)})
        elif one.name != "share":
            yield replace(delivery, **{one.name: ()})
            yield replace(delivery, **{one.name: value[:-1]})
            yield replace(delivery, **{one.name: (*value, value[-1])})
            yield replace(delivery, **{one.name: value[::-1]})
    share = np.array(delivery.share)
    share[-1] ^= 1
    yield replace(delivery, share=share)


LEGAL = {
    "observe": ClientMemory,
    "settle": ClientMemory,
    "submit": Submitted,
    "check": VerifiedAverage,
    "disclose": Disclosure,
}


@pytest.mark.parametrize("request_name", REQUESTS)
def test_every_situation_of_a_client_under_every_request_ends_legally(situations, request_name) -> None:
    outcomes = set()
    for memory in situations.memories.values():
        before = memory.to_bytes()
        for given_messages in _what_may_come(situations, request_name):
            try:
                outcome = situations.ask(request_name, memory, given_messages)
            except PrivateyesError:
                outcomes.add("refused")
            else:
                assert isinstance(outcome, LEGAL[request_name])
                outcomes.add("done")
            assert memory.to_bytes() == before, "a transition changes no memory; it gives a new one"
    sealed_disclosure = request_name == "disclose" and situations.world.manifest.sealed
    assert outcomes == ({"refused"} if sealed_disclosure else {"refused", "done"})


def _what_may_come(situations, request_name: str):
    if request_name in ("check", "disclose"):
        yield from _deliveries(situations.delivery)
        return
    for found in situations.lists.values():
        yield found
        yield found[:-1]
        yield [*found, found[0]]
        yield [*found[:-1], found[0]]
        yield found[::-1]
        yield [*found[:-1], replace(found[-1], **_one_change(found[-1]))]
    yield []


def _one_change(message) -> dict[str, object]:
    if isinstance(message, Delivery):
        return {"group_check": bytes(32)}
    return {"signature": bytes(64)}


@pytest.mark.parametrize("mode", ["sealed", "public"])
def test_a_client_that_submitted_submits_again_from_that_state_only_after_every_word_that_it_is_void(
    make_world, mode
) -> None:
    found = Situations(make_world, mode)
    for name, memory in found.memories.items():
        for announced in ("announcements", "late announcements", "announcements of the next epoch"):
            try:
                done = found.ask("submit", memory, found.lists[announced])
            except PrivateyesError:
                continue
            assert isinstance(done, Submitted)
            assert name in ("fresh", "observed", "settled"), f"{name} submitted again"
            assert done.memory.pending


def test_whatever_a_client_complains_about_it_says_session_and_check_only(situations) -> None:
    for check in range(256):
        complaint = situations.own.complain(situations.delivery.sid, check)
        assert isinstance(complaint, Complaint)
        assert {one.name for one in fields(complaint)} == {"sid", "client", "check", "signature"}


def test_every_class_of_message_that_an_aggregator_or_client_takes_was_among_what_came(points, situations) -> None:
    """A new message class must be added to the lists above, or to what the round does not take."""
    came = {type(message) for point in points.values() for found in point.lists.values() for message in found}
    came |= {type(message) for found in situations.lists.values() for message in found}
    known = {
        kind
        for kind in vars(every_message).values()
        if isinstance(kind, type) and issubclass(kind, Message) and kind not in (Message, Signed)
    }
    not_in_a_round = {
        "AggregatorKey",
        "ClientKey",
        "SealedStreamKey",
        "SealedGroupKey",
        "SealedState",
        "Voucher",
        "Complaint",
        "Abort",
        "Disclosure",
        "OpeningReceipt",
        "HubSumReceipt",
        "DeliveryReceipt",
    }
    assert {kind.__name__ for kind in known - came} == not_in_a_round


def test_nothing_that_is_no_message_gets_past_a_transition(points) -> None:
    for transition in TRANSITIONS:
        point = points[TAKES[transition]]
        for wrong in (point.lists["deliveries"][0], point.lists["submissions"][0]):
            fresh = _copy_of(point.state, 1, point.world)
            given_messages = [*point.lists[transition][:-1], wrong]
            outcome = _attempt(point, transition, fresh, given_messages)
            assert isinstance(outcome, PrivateyesError)
            _require_legal_end(point, transition, fresh, outcome)


def test_salts_differ_so_equal_shares_have_unequal_commitments(points) -> None:
    point = points[Voted]
    found = set()
    for _ in range(3):
        fresh = _copy_of(point.state, 1, point.world)
        step = point.own.commit(point.memory, fresh, point.lists["commit"], secrets.token_bytes(32))
        found.add(step.message.commitment)
    assert len(found) == 3
