"""The parties of a round, put where one piece of their work can be timed through the same calls that an engine makes.

Nothing is mocked: keys, headers, signatures, commitments and tags are real, and every delivery that is checked here
passes. Only the update is made up, since no time depends on its values.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from privateyes.aggregation import hub
from privateyes.aggregation.aggregator import Aggregator
from privateyes.aggregation.client import Client, SubmissionSecrets, Submitted
from privateyes.aggregation.keys import KeyChain
from privateyes.aggregation.memory import AggregatorMemory
from privateyes.aggregation.messages import NO_SESSION, Delivery, Header, HubSum, Opening, Submission, Vote
from privateyes.aggregation.states import Agreed, Announced, Opened, Step, Voted
from privateyes.crypto.field import Elements, Field
from privateyes.crypto.lanes import Lanes
from privateyes.encoding.fixed_point import FixedPoint, largest_scale_bits
from privateyes.engines.local.parties import (
    FIRST_EPOCH,
    LocalParties,
    SecurePlan,
    draw_identities,
    parties_from,
    set_up_epoch,
)
from privateyes.engines.local.wire import Wire

T = TypeVar("T", bound=np.generic)
Transition: TypeAlias = Callable[[Aggregator, AggregatorMemory, Any], Step[Any, Any]]

MODELS = {77_046: "ResNet-preact-8", 1_827_076: "LeNet", 11_689_512: "ResNet-18", 100_000_000: "1e8"}
"""d, and the model that has so many parameters."""

WEIGHT = 1000
WEIGHT_MAX = 3000
CLIP = 1.0
ROSTER = 2  # of a whole session here; what a client or an opening costs does not depend on it

HELD_BYTES = 2 << 30
OVERLAP_BYTES = 64 << 20
DISTINCT = 16


@dataclass(frozen=True, slots=True)
class Case:
    """One size of everything."""

    dimension: int
    clients: int
    aggregators: int
    field: Field

    @property
    def memory_bytes(self) -> int:
        """What the work of one role may allocate at a time: two float64 vectors are more than any of them does."""
        return 16 * self.dimension

    def plan(self) -> SecurePlan:
        """The task, on the finest grid that fits."""
        bits = largest_scale_bits(self.field, CLIP, WEIGHT_MAX, self.clients)
        assert bits is not None, "the benchmark's own parameters fit"
        encoding = FixedPoint(self.field, CLIP, bits, WEIGHT_MAX, self.clients)
        names = tuple(f"c{i:04d}" for i in range(self.clients))
        return SecurePlan(names, self.dimension, self.aggregators, encoding, roster_min=ROSTER)

    def parties(self) -> LocalParties:
        """Fresh parties, before any epoch."""
        plan = self.plan()
        return parties_from(plan, draw_identities(plan))


def random_update(dimension: int) -> NDArray[np.float32]:
    """An update as training makes one: mostly small."""
    update: NDArray[np.float32] = np.random.default_rng(0).standard_normal(dimension, dtype=np.float32)
    update *= np.float32(0.05)
    return update


def fresh_secrets() -> SubmissionSecrets:
    """A nonce and a rounding key."""
    return SubmissionSecrets(secrets.token_bytes(32), secrets.token_bytes(32))


class Round:
    """A round of ``ROSTER`` clients, at the announcement; ``finish`` takes it to the delivery."""

    def __init__(self, case: Case) -> None:
        self.parties = case.parties()
        self.manifest = self.parties.manifest
        set_up_epoch(self.parties, bytes(32), Wire(self.manifest))
        self._before = dict(self.parties.client_memories)
        some = self._before[1]
        state_id = some.group.state_id(some.state_digest)
        self._steps = [
            own.announce(self.parties.aggregator_memories[own.number], FIRST_EPOCH, 0, state_id)
            for own in self.parties.aggregators
        ]
        self.announcements = [step.message for step in self._steps]
        self.sid = self._steps[0].state.sid
        self.delta = random_update(case.dimension)

    @property
    def client(self) -> Client:
        """Client 1, before its submission."""
        return self.parties.clients[0]

    def submit(self, number: int = 1) -> Submitted:
        """One client's whole submission, as often as wanted: nothing is remembered."""
        memory = self._before[number]
        return self.parties.clients[number - 1].submit(memory, self.announcements, self.delta, WEIGHT, fresh_secrets())

    def _each(self, steps: Sequence[Step[Any, Any]], transition: Transition) -> list[Step[Any, Any]]:
        """The next step of every aggregator, from the one before; what it must remember is remembered."""
        memories, done = self.parties.aggregator_memories, []
        for own, step in zip(self.parties.aggregators, steps, strict=True):
            memories[own.number] = step.memory or memories[own.number]
            done.append(transition(own, memories[own.number], step.state))
        return done

    def finish(self, clients: int = ROSTER) -> Finished:
        """The submissions of the first ``clients`` and the steps after them; once."""
        parties, submissions = self.parties, {}
        for number in range(1, clients + 1):
            done = self.submit(number)
            parties.client_memories[number] = done.memory
            submissions[number] = done.submission
        headers = [hub.require_intact(submission) for submission in submissions.values()]
        voted = self._each(self._steps, lambda own, memory, state: own.vote(memory, state, headers))
        votes = [step.message for step in voted]
        committed = self._each(
            voted, lambda own, memory, state: own.commit(memory, state, votes, secrets.token_bytes(32))
        )
        commitments = [step.message for step in committed]
        entries = hub.choose_roster(self.manifest, votes)
        shares, first = {number: submission.share for number, submission in submissions.items()}, submissions[1]
        submissions.clear()
        total, hub_commitment = hub.add_shares(self.manifest, self.sid, entries, shares.pop)
        agreed = self._each(committed, lambda own, memory, state: own.agree(memory, state, commitments, hub_commitment))
        agreements = [step.message for step in agreed]
        opened = self._each(agreed, lambda own, memory, state: own.open(memory, state, agreements))
        openings = [step.message for step in opened]
        certified = self._each(opened, lambda own, _, state: own.certify(state, openings, total))
        results = [step.message for step in certified]
        sent = (
            self.manifest,
            headers[0].group_check,
            entries,
            (hub_commitment, commitments),
            (total, openings),
            results,
        )
        return Finished(self, first, agreed[0].state, openings, total, sent, hub.deliver(*sent))


@dataclass(frozen=True, slots=True)
class Finished:
    """What a round leaves behind.

    Attributes:
        round: where it began.
        submission: client 1's.
        agreed: aggregator 1's state before it opened.
        openings, total, delivery: as they were sent.
        sent: what the hub makes the delivery from.
    """

    round: Round
    submission: Submission
    agreed: Agreed
    openings: list[Opening]
    total: HubSum
    sent: tuple[Any, ...]
    delivery: Delivery

    def opened(self) -> Opened:
        """Aggregator 1 before it certifies, as often as wanted."""
        return Opened(self.agreed)

    def certify(self, state: Opened) -> object:
        """Check every opening and sign the result."""
        return self.round.parties.aggregators[0].certify(state, self.openings, self.total)

    def deliver(self) -> object:
        """The hub checks the openings and makes the delivery."""
        return hub.deliver(*self.sent)

    def check(self, number: int = 1) -> object:
        """A client checks and decodes the delivery."""
        parties = self.round.parties
        return parties.clients[number - 1].check(parties.client_memories[number], self.delivery)

    def require_intact(self) -> object:
        """The hub holds client 1's share against its header."""
        return hub.require_intact(self.submission)


class Roster:
    """Aggregator 1 with every client's header, before it commits. The clients' shares are never made."""

    def __init__(self, case: Case) -> None:
        self.parties = case.parties()
        self.manifest = self.parties.manifest
        count = len(self.manifest.aggregators)
        own_hashes = {client.number: secrets.token_bytes(32) for client in self.parties.clients}
        chains = {client.number: KeyChain(0, secrets.token_bytes(32)) for client in self.parties.clients}
        blank = AggregatorMemory(FIRST_EPOCH, FIRST_EPOCH, -1, NO_SESSION, frozenset(), chains, own_hashes)
        step = self.parties.aggregators[0].announce(blank, FIRST_EPOCH, 0, bytes(32))
        assert step.memory is not None, "announcing always changes the memory"
        self.memory, self.sid = step.memory, step.state.sid
        check, key_hash = secrets.token_bytes(32), secrets.token_bytes(32)
        self.headers = {}
        for client in self.parties.clients:
            named = (own_hashes[client.number],) * count
            header = Header(
                self.sid, client.number, secrets.token_bytes(32), check, key_hash, named, secrets.token_bytes(32)
            )
            self.headers[client.number] = header.signed_by(client.identity, self.sid)
        self.entries = tuple((number, header.hash()) for number, header in self.headers.items())
        self.votes = [
            Vote(self.sid, own.number, self.entries).signed_by(own.identity, self.sid)
            for own in self.parties.aggregators
        ]

    def voted(self) -> Voted:
        """The state before the commitment, as often as wanted."""
        return Voted(self.sid, self.headers, self.entries, {})

    def with_lanes(self, lanes: Lanes | None) -> Callable[[Voted], object]:
        """Aggregator 1's commitment: regenerate every client's stream, add them up, hash and sign the sum."""
        own = self.parties.aggregators[0]
        own = own if lanes is None else replace(own, lanes=lanes)
        return lambda state: own.commit(self.memory, state, self.votes, secrets.token_bytes(32))

    def announced(self) -> Announced:
        """The state before the vote, as often as wanted."""
        return Announced(self.sid)

    def vote(self, state: Announced) -> object:
        """Check every header."""
        return self.parties.aggregators[0].vote(self.memory, state, list(self.headers.values()))


@dataclass(frozen=True, slots=True)
class Spool(Generic[T]):
    """The uploads of a roster, where the hub finds them.

    As many as fit into ``HELD_BYTES`` are all held. Of larger sums there are ``DISTINCT`` vectors, used again and
    again, which overlap in memory with a shift of ``OVERLAP_BYTES``: wherever one is read, none of the others has been
    read lately, so that every element comes from memory and not from a cache, as it does when uploads differ.
    """

    vectors: Sequence[NDArray[T]]

    def __getitem__(self, client: int) -> NDArray[T]:
        return self.vectors[client % len(self.vectors)]


def spool(length: int, clients: int, item_bytes: int, fill: Callable[[int], NDArray[T]]) -> Spool[T]:
    """``clients`` vectors of ``length``; ``fill`` makes the memory that they lie in."""
    if clients * length * item_bytes <= HELD_BYTES:
        everything = fill(clients * length)
        return Spool([everything[i * length : (i + 1) * length] for i in range(clients)])
    shift = OVERLAP_BYTES // item_bytes
    everything = fill(length + (DISTINCT - 1) * shift)
    return Spool([everything[i * shift : i * shift + length] for i in range(DISTINCT)])


def random_elements(field: Field) -> Callable[[int], Elements]:
    """Makes canonical elements."""

    def fill(count: int) -> Elements:
        return np.random.default_rng(0).integers(0, field.prime, size=count, dtype=field.dtype)

    return fill
