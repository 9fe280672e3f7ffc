"""The parties of a round, put where one piece of their work can be timed through the same calls that an engine makes.

Nothing is mocked: keys, headers, signatures, commitments and tags are real, and every delivery that is checked here
passes. Only the update is made up, since no time depends on its values.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from privateyes.aggregation import hub
from privateyes.aggregation.client import Client, SubmissionSecrets, Submitted, Update
from privateyes.aggregation.keys import KeyChain, session_id
from privateyes.aggregation.memory import AggregatorMemory, BoundSetup, TrainingState
from privateyes.aggregation.messages import ANNOUNCE, Delivery, Header, HubRequest, HubSum, Opening, Submission, Vote
from privateyes.aggregation.privacy_section import Privacy
from privateyes.aggregation.steps import OwnShare, Step
from privateyes.crypto.bulk import BulkHash
from privateyes.crypto.field import Elements, Field
from privateyes.crypto.lanes import Lanes
from privateyes.encoding.fixed_point import FixedPoint, largest_scale_bits
from privateyes.engines.local.parties import LocalParties, SecurePlan, draw_identities, parties_from, set_up
from privateyes.engines.local.wire import Wire

T = TypeVar("T", bound=np.generic)
INITIAL = TrainingState(bytes(32), bytes(32), 0)

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
    """One size of everything.

    Attributes:
        norm_clip: limits the L2 norm of updates; None for no limit.
    """

    dimension: int
    clients: int
    aggregators: int
    field: Field
    bulk_hash: BulkHash = BulkHash.BLAKE3
    norm_clip: float | None = None

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
        privacy = None if self.norm_clip is None else Privacy(self.norm_clip)
        return SecurePlan(
            names,
            self.dimension,
            self.aggregators,
            encoding,
            roster_min=ROSTER,
            bulk_hash=self.bulk_hash,
            privacy=privacy,
        )

    def parties(self) -> LocalParties:
        """Fresh parties, before any set-up."""
        plan = self.plan()
        return parties_from(plan, draw_identities(plan), INITIAL.digest)


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
        set_up(self.parties, INITIAL, Wire(self.manifest))
        self._before = dict(self.parties.client_memories)
        some = self._before[1]
        setup = some.group.setup
        request = HubRequest(ANNOUNCE, setup, 0, some.state_id).signed_by(self.parties.hub, setup)
        self.announcements = self._each(lambda own, memory: own.announce(memory, request))
        self.sid = session_id(setup, 0, some.state_id)
        self.delta = random_update(case.dimension)

    @property
    def client(self) -> Client:
        """Client 1, before its submission."""
        return self.parties.clients[0]

    def submit(self, number: int = 1) -> Submitted:
        """One client's whole submission, as often as wanted: nothing is remembered. What a client keeps of its update
        is not written anywhere here: a disk is no part of the protocol.
        """
        memory, update = self._before[number], Update(self.delta, WEIGHT)
        client = self.parties.clients[number - 1]
        return client.submit(memory, (), self.announcements, update, fresh_secrets(), lambda _piece: None)

    def _each(self, transition: Callable[[Any, AggregatorMemory], Step[Any]]) -> list[Any]:
        """Every aggregator's next word; what it must remember is remembered."""
        memories, words = self.parties.aggregator_memories, []
        for own in self.parties.aggregators:
            step = transition(own, memories[own.number])
            memories[own.number] = step.memory or memories[own.number]
            words.append(step.message)
        return words

    def finish(self, clients: int = ROSTER) -> Finished:
        """The submissions of the first ``clients`` and the steps after them; once."""
        parties, submissions = self.parties, {}
        for number in range(1, clients + 1):
            done = self.submit(number)
            parties.client_memories[number] = done.memory
            submissions[number] = done.submission
        headers = [hub.require_intact(self.manifest, submission) for submission in submissions.values()]
        votes = self._each(lambda own, memory: own.vote(memory, self.sid, headers))
        own_shares: dict[int, OwnShare] = {}

        def commit(own: Any, memory: AggregatorMemory) -> Step[Any]:
            step = own.commit(memory, headers, votes, secrets.token_bytes(32))
            own_shares[own.number] = step.share
            return step

        commitments = self._each(commit)
        entries = hub.choose_roster(self.manifest, votes)
        shares, first = {number: submission.share for number, submission in submissions.items()}, submissions[1]
        submissions.clear()
        total, hub_commitment = hub.add_shares(self.manifest, self.sid, entries, shares.pop)
        agreements = self._each(lambda own, memory: own.agree(memory, commitments, hub_commitment))
        openings = self._each(lambda own, memory: own.open(memory, own_shares[own.number], agreements))
        before = parties.aggregator_memories[1]
        results = self._each(lambda own, memory: own.certify(memory, openings, total, own_shares[own.number]))
        sent = (
            self.manifest,
            headers[0].group_check,
            entries,
            (hub_commitment, commitments),
            (total, openings),
            results,
        )
        return Finished(self, first, before, own_shares[1], openings, total, sent, hub.deliver(*sent))


@dataclass(frozen=True, slots=True)
class Finished:
    """What a round leaves behind.

    Attributes:
        round: where it began.
        submission: client 1's.
        opened: aggregator 1's memory before it certified, and its share.
        openings, total, delivery: as they were sent.
        sent: what the hub makes the delivery from.
    """

    round: Round
    submission: Submission
    opened: AggregatorMemory
    own_share: OwnShare
    openings: list[Opening]
    total: HubSum
    sent: tuple[Any, ...]
    delivery: Delivery

    def certify(self) -> object:
        """Check every opening and sign the result."""
        own = self.round.parties.aggregators[0]
        return own.certify(self.opened, self.openings, self.total, self.own_share)

    def deliver(self) -> object:
        """The hub checks the openings and makes the delivery."""
        return hub.deliver(*self.sent)

    def check(self, number: int = 1) -> object:
        """A client checks and decodes the delivery."""
        parties = self.round.parties
        return parties.clients[number - 1].check(parties.client_memories[number], self.delivery)

    def require_intact(self) -> object:
        """The hub holds client 1's share against its header."""
        return hub.require_intact(self.round.manifest, self.submission)


class Roster:
    """Aggregator 1 with every client's header, before it commits. The clients' shares are never made."""

    def __init__(self, case: Case) -> None:
        self.parties = case.parties()
        self.manifest = self.parties.manifest
        count = len(self.manifest.aggregators)
        own_hashes = {client.number: secrets.token_bytes(32) for client in self.parties.clients}
        chains = {client.number: KeyChain(0, secrets.token_bytes(32)) for client in self.parties.clients}
        setup = secrets.token_bytes(32)
        blank = AggregatorMemory(
            version=2, current=BoundSetup(setup, 1, 1, started=True), chains=chains, sealed_hashes=own_hashes
        )
        request = HubRequest(ANNOUNCE, setup, 0, bytes(32)).signed_by(self.parties.hub, setup)
        step = self.parties.aggregators[0].announce(blank, request)
        assert step.memory is not None, "announcing a new session always changes the memory"
        self.announced, self.sid = step.memory, session_id(setup, 0, bytes(32))
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

        voted = self.parties.aggregators[0].vote(self.announced, self.sid, list(self.headers.values()))
        assert voted.memory is not None, "a first vote always changes the memory"
        self.voted = voted.memory

    def with_lanes(self, lanes: Lanes | None) -> Callable[[], object]:
        """Aggregator 1's commitment: regenerate every client's stream, add them up, hash and sign the sum."""
        own, headers = self.parties.aggregators[0], list(self.headers.values())
        own = own if lanes is None else replace(own, lanes=lanes)
        return lambda: own.commit(self.voted, headers, self.votes, secrets.token_bytes(32))

    def vote(self) -> object:
        """Check every header."""
        return self.parties.aggregators[0].vote(self.announced, self.sid, list(self.headers.values()))


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
