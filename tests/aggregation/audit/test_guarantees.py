"""Nobody honest is named, whatever is left out, forged or signed by others, and whatever stores are lost."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import fields, replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audit_records import (
    OTHER,
    RecordedWorld,
    as_receipts,
    come_back,
    faults,
    record_of,
    resigned,
    set_up_of,
    submit_as_another_life,
    without,
)
from privateyes.aggregation.audit import audit
from privateyes.aggregation.audit.evidence import MESSAGE_TYPES, collect
from privateyes.aggregation.audit.findings import HUB, RECORDER, Level
from privateyes.aggregation.messages import (
    CLOSING,
    Abort,
    AggregatorKey,
    Agreement,
    Announcement,
    Complaint,
    Header,
    HubCommitment,
    Message,
    SealedGroupKey,
    SealedStreamKey,
    Signed,
    Submission,
)
from privateyes.crypto.labels import Role
from privateyes.errors import AbortError, PrivateyesError, RefusedError


@pytest.fixture(scope="module")
def everything(make_world: Any) -> SimpleNamespace:
    """Everything said by honest parties: a void session, a certified one, a complaint, abort notices, a disclosure."""
    world = make_world(mode="public")
    said = set_up_of(world)
    world.run(to="agree")
    said += [*record_of(world), *world.give_up()]
    world.announce()
    closings = world.closings(0)
    for client in world.clients:
        world.settle(client, closings)
    world.submit_all(1, 2, 3)
    world.finish()
    said += [*closings, *record_of(world), world.clients[2].disclose(world.client_memories[2], world.delivery)]
    said.append(world.clients[4].complain(world.sid, 3))
    signed = [message for message in said if isinstance(message, Signed)]
    return SimpleNamespace(world=world, said=[*said, *as_receipts(world, said)], signed=signed)


@settings(max_examples=60)
@given(data=st.data())
def test_no_choice_of_honest_messages_blames_anyone(everything: Any, data: Any) -> None:
    """Any subset that shows which sessions it is about, in any order, repeated; with the sealing keys or without."""
    world = everything.world
    kinds = (AggregatorKey, Announcement) if data.draw(st.booleans()) else (Announcement,)
    base = [message for message in everything.said if isinstance(message, kinds)]
    chosen = data.draw(st.lists(st.sampled_from(everything.said), max_size=160))
    assert faults(world, data.draw(st.permutations([*base, *chosen]))) == ()


@settings(max_examples=60)
@given(data=st.data())
def test_no_choice_of_honest_messages_with_forgeries_among_them_blames_a_party(everything: Any, data: Any) -> None:
    """Any subset, in any order, repeated. Whoever wrote that down is suspected, and nobody else."""
    world = everything.world
    chosen = data.draw(st.lists(st.sampled_from(everything.said), max_size=160))
    copies = data.draw(st.lists(st.sampled_from(everything.signed), max_size=10))
    forgeries = [_altered(data, everything, message) for message in copies]
    forgeries = [
        replace(message, signature=original.signature) for message, original in zip(forgeries, copies, strict=True)
    ]
    forgeries = [message for message, original in zip(forgeries, copies, strict=True) if message != original]
    found = audit(world.manifest, data.draw(st.permutations([*chosen, *forgeries])))
    assert all((fault.level, fault.parties) == (Level.SUSPECTED, (RECORDER,)) for fault in found.faults)


def _altered(data: Any, everything: Any, message: Any) -> Any:
    """A message with some field replaced by one that stands in other messages, or by something new."""
    names = [field.name for field in fields(message) if field.name != "signature"]
    name = data.draw(st.sampled_from(names))
    value = getattr(message, name)
    pool = [getattr(other, field.name) for other in everything.said for field in fields(other)]
    if isinstance(value, bytes):
        same = [entry for entry in pool if isinstance(entry, bytes) and len(entry) == len(value)]
        new: Any = data.draw(st.sampled_from([*same[:200], bytes(len(value))]))
    elif isinstance(value, int):
        new = data.draw(st.integers(0, 5))
    elif isinstance(value, np.ndarray):
        new = everything.world.shifted(value, {data.draw(st.integers(0, value.size - 1)): 1})
    else:
        new = value[data.draw(st.integers(0, 1)) :][: data.draw(st.integers(0, 5))]
    return replace(message, **{name: new})


CORRUPT = {"aggregator 2", "client 3"}


@settings(max_examples=80)
@given(data=st.data())
def test_whatever_corrupt_parties_sign_no_honest_party_is_proven_guilty(everything: Any, data: Any) -> None:
    """Aggregator 2 and client 3 sign what they like; whoever wrote the record alters what nobody signed."""
    world = everything.world
    kinds = (SealedGroupKey, SealedStreamKey, Complaint, Abort)
    own = [
        message
        for message in everything.signed
        if (getattr(message, "aggregator", 0) == 2 and message.role is Role.AGGREGATOR)
        or (getattr(message, "client", 0) == 3 and not isinstance(message, kinds))
    ]
    unsigned = [message for message in everything.said if not isinstance(message, Signed)]
    said = list(everything.said)
    for message in data.draw(st.lists(st.sampled_from(own), min_size=1, max_size=6)):
        altered = _altered(data, everything, message)
        itself = {"aggregator": 2} if altered.role is Role.AGGREGATOR else {"client": 3}
        said.append(resigned(world, replace(altered, **itself)))
    touched = data.draw(st.lists(st.sampled_from(without(unsigned, Submission)), max_size=4))
    said += [_altered(data, everything, message) for message in touched]
    dropped = data.draw(st.sets(st.sampled_from(list(MESSAGE_TYPES.values())), max_size=3))
    record = without(said, *dropped) if dropped else said
    for fault in audit(world.manifest, data.draw(st.permutations(record)), data.draw(st.booleans())).faults:
        assert (CORRUPT | {RECORDER}) & set(fault.parties), str(fault)
        if fault.level is Level.PROVEN:
            assert set(fault.parties) <= CORRUPT, str(fault)


def _told(data: Any, own: Any, other: Any) -> Any:
    """What an honest aggregator gets of the corrupt one's two words."""
    return data.draw(st.sampled_from([own, other]))


@settings(max_examples=25)
@given(data=st.data())
def test_aggregators_that_were_told_different_things_are_never_proven_guilty(make_world: Any, data: Any) -> None:
    """The hub and aggregator 2 say two things at every step, to each honest aggregator another one."""
    world = make_world()
    world.run(to="vote")
    world.votes = {vote.aggregator: vote for vote in world.votes}
    said: list[Any] = [*set_up_of(world), *world.announcements, *world.submissions.values(), *world.votes.values()]
    fewer = resigned(world, world.votes[2], entries=world.votes[2].entries[data.draw(st.integers(0, 2)) :])
    said.append(fewer)
    words: dict[int, Any] = {}
    for s in (1, 2, 3):
        votes = [world.votes[1], _told(data, world.votes[2], fewer), world.votes[3]]
        step = _tried(world, s, "commit", world.headers, votes, bytes([s]) * 32)
        if step is not None:
            words[s], world.shares[s] = step.message, step.share
    said += words.values()
    if len(words) == 3:
        said += _two_commitments(data, world, words)
    kept = data.draw(st.sets(st.integers(0, len(said) - 1)))
    for record in (said, [message for index, message in enumerate(said) if index in kept]):
        for fault in audit(world.manifest, record).faults:
            assert {"aggregator 2", HUB, RECORDER} & set(fault.parties), str(fault)
            if fault.level is Level.PROVEN:
                assert fault.parties == ("aggregator 2",), str(fault)


def _tried(world: Any, number: int, name: str, *arguments: Any) -> Any:
    """One step of one aggregator, or None if it refuses."""
    try:
        step = getattr(world.aggregators[number], name)(world.aggregator_memories[number], *arguments)
    except (AbortError, RefusedError):
        return None
    world._take(number, step)
    return step


def _two_commitments(data: Any, world: Any, words: dict[int, Any]) -> list[Any]:
    """COMMIT and OPEN go on where the honest aggregators let them; all that was said."""
    other = resigned(
        world, words[2], rho=words[1].rho, commitment=data.draw(st.sampled_from([OTHER, words[1].commitment]))
    )
    sums = [HubCommitment(world.sid, bytes([number]) * 32) for number in (1, 2)]
    said: list[Any] = [other, *sums]
    agreed = {}
    for s in (1, 2, 3):
        seen = [words[1], _told(data, words[2], other) if s != 2 else words[2], words[3]]
        step = _tried(world, s, "agree", seen, _told(data, *sums))
        if step is not None:
            agreed[s] = step.message
    said += agreed.values()
    if 1 not in agreed or 3 not in agreed:
        return said
    to_each = {s: resigned(world, Agreement(world.sid, 2, OTHER), transcript=agreed[s].transcript) for s in (1, 3)}
    said += to_each.values()
    for s in (1, 3):
        step = _tried(world, s, "open", world.shares[s], [agreed[1], to_each[s], agreed[3]])
        if step is not None:
            said.append(step.message)
    return said


# Lost stores


class Losses:
    """Honest parties that are restarted, lose stores and repeat their words, in any order; all is written down."""

    def __init__(self) -> None:
        self.world = RecordedWorld(roster_min=2, mode="public")

    def attempt(self, act: Callable[[], Any]) -> None:
        """Do something; a party that refuses has said what it said before."""
        try:
            more = act()
        except PrivateyesError:
            more = None
        self.world.keep(*(more or []))

    def go_on(self, step: str) -> None:
        """A session, up to a step."""
        self.attempt(lambda: self.world.run(to=step))

    def ask_again(self, step: str) -> None:
        """Ask for all words of the session again, up to a step."""
        self.attempt(lambda: self.world.finish(step) if step != "submit" else None)

    def end(self, _: str) -> None:
        """Give the session up, and show the clients how every session of the set-up ended."""
        world = self.world
        self.attempt(world.give_up)
        for number in range(world.next_round):
            closings: list[Message] = []
            for s, own in world.aggregators.items():
                with suppress(RefusedError):
                    closings.append(own.closing(world.aggregator_memories[s], world.request(CLOSING, number)))
            world.keep(*closings)
            for client in world.clients:
                with suppress(RefusedError):
                    world.settle(client, closings)

    def accept(self, _: str) -> None:
        """Every client takes the result, and one says so; one publishes the key."""
        world = self.world

        def taken() -> list[Message]:
            said = [world.clients[2].disclose(world.client_memories[2], world.delivery)]
            world.accept(bytes([world.round]))
            return [*said, *(own.vouch(world.client_memories[i]) for i, own in world.clients.items())]

        if hasattr(world, "delivery"):
            self.attempt(taken)

    def lose_aggregator(self, label: str) -> None:
        """Aggregator 2 loses its store; a set-up is made with its identity key, under the same label or the next."""
        del self.world.aggregator_memories[2]
        self.set_up(label)

    def lose_client(self, label: str) -> None:
        """Client 3 loses its store, and is started from nothing in the next set-up. It should not be."""
        del self.world.client_memories[3]
        self.world.ledgers[3] = []
        self.set_up(label)

    def set_up(self, label: str) -> None:
        """Another set-up; the label says nothing."""
        self.world.epoch -= label in ("vote", "agree", "certify")
        self.attempt(lambda: self.world.set_up(leader=1 + (label in ("commit", "agree"))))

    def come_back(self, _: str) -> None:
        """Client 3 loses its store and repeats the current set-up, with a leader that was restarted in its middle."""

        def again() -> Sequence[Message]:
            come_back(self.world, 3, self.world.aggregator_memories[1].current.leader)
            return self.world.came_back  # type: ignore[no-any-return]

        self.attempt(again)
        self.attempt(lambda: [submit_as_another_life(self.world, 3).header])


STEPS = ("submit", "vote", "commit", "agree", "open", "certify", "deliver")
ACTS = (
    "go_on",
    "go_on",
    "go_on",
    "ask_again",
    "end",
    "accept",
    "lose_aggregator",
    "lose_client",
    "set_up",
    "come_back",
)


@settings(max_examples=60)
@given(acts=st.lists(st.tuples(st.sampled_from(ACTS), st.sampled_from(STEPS)), min_size=2, max_size=10))
def test_whatever_stores_are_lost_nobody_honest_is_named(acts: Any) -> None:
    losses = Losses()
    losses.go_on("submit")
    for act, step in acts:
        getattr(losses, act)(step)
    world = losses.world
    assert audit(world.manifest, world.said).faults == ()
    named = {fault.parties for fault in audit(world.manifest, world.said, whole=True).faults}
    assert named <= {(RECORDER,)}  # a client that came back is at an older state than the others


def test_lost_stores_bring_about_what_version_1_called_proof() -> None:
    """The schedule above is no idle one: second headers, second keys, and a round of one label announced twice."""
    losses = Losses()
    losses.go_on("submit")
    losses.come_back("")
    losses.lose_aggregator("vote")
    losses.go_on("vote")
    world = losses.world
    found = collect(world.manifest, world.said)
    headers = [session.signed.of(Header).get(3, ()) for session in found.judged]
    assert max(map(len, headers)) == 2
    announced = [word for setup in found.placed for word in setup.signed.all_of(Announcement) if word.aggregator == 2]
    assert [(setup.epoch, word.round) for setup, word in zip(found.placed, announced, strict=True)] == [(1, 0), (1, 0)]
    assert len({word.state_id for word in announced}) == 2
    assert audit(world.manifest, world.said).faults == ()
