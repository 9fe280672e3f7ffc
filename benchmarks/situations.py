"""The parties of a round, put where one piece of their work can be timed through the same calls that an engine makes.

Nothing is mocked: keys, headers, signatures, commitments and tags are real, and every delivery that is checked here
passes. Only the update is made up, since no time depends on its values.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from privateyes.aggregation.client import Update, VerifiedAverage
from privateyes.aggregation.keys import KeyChain, session_id
from privateyes.aggregation.memory import AggregatorMemory, BoundSetup, TrainingState
from privateyes.aggregation.messages import ANNOUNCE, Header, HubRequest, Vote
from privateyes.aggregation.privacy_section import Privacy
from privateyes.crypto.bulk import BulkHash
from privateyes.crypto.field import Elements, Field
from privateyes.crypto.lanes import Lanes
from privateyes.encoding.fixed_point import FixedPoint, largest_scale_bits
from privateyes.engines.local.parties import LocalParties, SecurePlan, draw_identities, parties_from
from privateyes.parties.aggregator import AggregatorHost
from privateyes.parties.client import ClientHost, Contribution
from privateyes.parties.effects import Effects, Host, View
from privateyes.parties.hub import HubHost, HubSession, Named
from privateyes.parties.packets import HUB, Packet, client_name
from privateyes.parties.round import ASKED_OF_CLIENTS, Parties, set_up
from privateyes.storage.memory import MemoryStore

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


class _Trainer:
    """An application whose update is made up, and whose model never changes but for its count."""

    def __init__(self, delta: NDArray[np.float32]) -> None:
        self._delta = delta

    def initial_model(self) -> bytes:
        """Its count."""
        return bytes(1)

    def contribution(self, _model: bytes) -> Contribution:
        """The update, rounded with a fresh key."""
        return Contribution(Update(self._delta, WEIGHT), secrets.token_bytes(32))

    def submitted(self, clipped: int, shortened: bool) -> None:
        """Nobody reads this log."""

    def after(self, model: bytes, _average: VerifiedAverage) -> bytes:
        """The next one."""
        return bytes((model[0] + 1,))

    def read(self, model: bytes) -> TrainingState:
        """Its count, in place of digests."""
        return TrainingState(model * 32, model * 32, model[0])

    def clip_plan(self, _model: bytes) -> None:
        """The manifest's clip."""


class _Forgetful:
    """A sink that writes nowhere: a disk is no part of the protocol."""

    def write(self, piece: Elements, /) -> None:
        """Nothing."""

    def finish(self) -> bytes:
        """Nothing."""
        return b""


@contextmanager
def _nowhere(_kind: str, _count: int, _dtype: np.dtype[Any]) -> Iterator[_Forgetful]:
    yield _Forgetful()


class _Store(MemoryStore):
    """A party's store, which keeps no encoded update."""

    def read(self) -> View:
        return replace(super().read(), sink=_nowhere)


class _Asked(Host):
    """Keeps what it was asked, and what it was shown then."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.asked: dict[str, tuple[Packet, View]] = {}

    def handle(self, packet: Packet, view: View) -> Effects:
        self.asked[packet.step] = packet, view
        return super().handle(packet, view)

    def again(self, step: str) -> Effects:
        """Take a step once more."""
        return super().handle(*self.asked[step])


class _Aggregator(AggregatorHost, _Asked):
    """An aggregator."""


class _Client(ClientHost, _Asked):
    """A client."""


class Round:
    """A round at the announcement; ``finish`` takes it to its end at every client.

    Args:
        submitters: how many clients submit; the others follow.
    """

    def __init__(self, case: Case, submitters: int = ROSTER) -> None:
        drawn = case.parties()
        self.manifest = drawn.manifest
        trainer = _Trainer(random_update(case.dimension))
        hosts: list[_Asked] = [_Aggregator(own) for own in drawn.aggregators]
        hosts += [_Client(own, trainer) for own in drawn.clients]
        self.hosts = {host.name: host for host in hosts}
        self.client = drawn.clients[0]
        self.hub = HubHost(self.manifest, drawn.hub)
        stores = {name: _Store() for name in (HUB, *self.hosts)}
        self.parties = Parties(self.hub, self.hosts, stores)
        set_up(self.parties, 1, 1)
        named = Named(self.hub.setup, 0, stores["client 1"].read().get("memory", self.hub.slot).state_id)
        names = [client_name(number) for number in range(1, submitters + 1)]
        self._held = self.parties.carry(self.hub.announce(named, names), but=ASKED_OF_CLIENTS)

    def submit(self) -> Effects:
        """Client 1's whole submission, as often as wanted: nothing is remembered."""
        request = next(packet for packet in self._held if packet.receiver == "client 1")
        return self.hosts["client 1"].handle(request, self.parties.stores["client 1"].read())

    def finish(self) -> Finished:
        """The submissions and the steps after them; once."""
        self.parties.carry(Effects(packets=self._held))
        return Finished(self, self.hub.session)


@dataclass(frozen=True, slots=True)
class Finished:
    """What a round leaves behind: every step can be taken again, from what the party was asked and knew then."""

    round: Round
    session: HubSession

    def certify(self) -> object:
        """An aggregator checks every opening and signs the result."""
        return self.round.hosts["aggregator 1"].again("certify")

    def deliver(self) -> object:
        """The hub checks the openings and makes the delivery."""
        return self.session.deliver()

    def check(self) -> object:
        """A client checks and decodes the delivery, and goes on to the next model."""
        return self.round.hosts["client 1"].again("check")

    def require_intact(self) -> object:
        """The hub holds client 1's share against its header."""
        return self.round.hub.require_intact(self.session.submissions[1])


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

        write = self.vote().write
        assert write is not None, "a first vote always changes the memory"
        self.voted = write.bodies["memory", self.manifest.digest()]

    def with_lanes(self, lanes: Lanes | None) -> Callable[[], object]:
        """Aggregator 1's commitment: regenerate every client's stream, add them up, hash and sign the sum."""
        own, headers = self.parties.aggregators[0], tuple(self.headers.values())
        host = AggregatorHost(own if lanes is None else replace(own, lanes=lanes))
        request = Packet(HUB, host.name, "commit", (*self.votes, *headers))
        return lambda: host.handle(request, self._view(self.voted))

    def vote(self) -> Effects:
        """Check every header."""
        host = AggregatorHost(self.parties.aggregators[0])
        request = Packet(HUB, host.name, "vote", (self.sid, *self.headers.values()))
        return host.handle(request, self._view(self.announced))

    def _view(self, memory: AggregatorMemory) -> View:
        return View({("memory", self.manifest.digest()): memory})


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
