"""The parties of one vector task, from the memories that a set-up leaves to the delivery, all secrets from names."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

import numpy as np

from privateyes.aggregation import hub
from privateyes.aggregation.aggregator import Aggregator
from privateyes.aggregation.client import Client, SubmissionSecrets, Submitted, Update, VerifiedAverage
from privateyes.aggregation.kept import Kept
from privateyes.aggregation.keys import GroupKey, KeyChain, session_id, setup_id
from privateyes.aggregation.ledger import LedgerEntry
from privateyes.aggregation.manifest import Manifest, Party
from privateyes.aggregation.memory import AggregatorMemory, BoundSetup, ClientMemory, TrainingState
from privateyes.aggregation.messages import (
    ANNOUNCE,
    CLOSING,
    AggregatorKey,
    Announcement,
    Closing,
    Delivery,
    Disclosure,
    Header,
    HubRequest,
    Opening,
    Origin,
    Submission,
)
from privateyes.aggregation.privacy_section import Privacy
from privateyes.crypto.bulk import BulkHash
from privateyes.crypto.field import field_by_name
from privateyes.crypto.signature import SigningKey
from privateyes.encoding.clips import ClipPlan
from privateyes.encoding.fixed_point import FixedPoint, largest_scale_bits
from vectors.keys import seeds_of, unsealing_key
from vectors.values import secret

STEPS = ("announce", "submit", "vote", "commit", "agree", "open", "certify", "deliver")
WEIGHT_MAX = 50


@dataclass(frozen=True)
class Plot:
    """One task, and what happens in its first session.

    Attributes:
        submitting: the clients that submit.
        unseen: for some aggregators, the clients whose headers never reach them.
    """

    name: str
    n: int
    m: int
    field: str
    mode: str
    submitting: tuple[int, ...]
    bulk_hash: str = "blake3"
    unseen: Mapping[int, tuple[int, ...]] = field(default_factory=lambda: MappingProxyType({}))
    dimension: int = 7
    round: int = 0
    roster_min: int = 2
    roster_max: int | None = None
    corrupt_clients: int = 0
    clips: ClipPlan | None = None
    norm_clip: float | None = None


def make_manifest(plot: Plot, keys: Cast) -> Manifest:
    """A small task."""
    chosen, roster_max = field_by_name(plot.field), plot.roster_max or plot.m
    bits = min(20, largest_scale_bits(chosen, 1.0, WEIGHT_MAX, roster_max) or 0)
    return Manifest(
        dimension=plot.dimension,
        encoding=FixedPoint(chosen, 1.0, bits, WEIGHT_MAX, roster_max),
        roster_min=plot.roster_min,
        corrupt_clients=plot.corrupt_clients,
        leaders=(1, 2),
        hub_key=keys.hub_key.public_bytes,
        initial_state=keys.state.digest,
        settings=keys.secret("settings"),
        bulk_hash=BulkHash(plot.bulk_hash),
        mode=plot.mode,
        privacy=None if plot.norm_clip is None else Privacy(plot.norm_clip),
        aggregators=tuple(Party(f"aggregator {s}", key.public_bytes) for s, key in keys.aggregator_keys.items()),
        clients=tuple(Party(f"client {i}", key.public_bytes) for i, key in keys.client_keys.items()),
    )


def state_of(data: bytes, counter: int) -> TrainingState:
    """What a client must know of a training state; here both digests are SHA-256, W after the text "weights"."""
    return TrainingState(hashlib.sha256(data).digest(), hashlib.sha256(b"weights" + data).digest(), counter)


class SetUp:
    """The keys of one set-up of a task.

    Attributes:
        offered: every aggregator's signed sealing key.
        group: K and the set-up id.
    """

    def __init__(self, cast: Cast, epoch: int, leader: int) -> None:
        self.epoch, self.leader, self._cast = epoch, leader, cast
        self.seeds = {s: seeds_of(f"{self._name}/aggregator {s}") for s in cast.aggregator_keys}
        self.public_keys = [unsealing_key(*seeds).public_bytes for seeds in self.seeds.values()]
        digest = cast.manifest.digest()
        self.offered = [
            AggregatorKey(epoch, leader, s, public).signed_by(key, digest)
            for (s, key), public in zip(cast.aggregator_keys.items(), self.public_keys, strict=True)
        ]
        self.id = setup_id(digest, epoch, leader, self.public_keys)
        self.group = GroupKey(self.id, secret(f"{self._name}/group key"), cast.manifest.sealed)

    @property
    def _name(self) -> str:
        return f"{self._cast.plot.name}/set-up {self.epoch}"

    def stream_key(self, client: int, aggregator: int) -> bytes:
        """K[i,s]."""
        return secret(f"{self._name}/stream key {client} {aggregator}")

    def sealed_hash(self, client: int, aggregator: int) -> bytes:
        """What a header of the client names for the aggregator."""
        return secret(f"{self._name}/sealed hash {client} {aggregator}")

    def at_aggregator(self, s: int, memory: AggregatorMemory | None) -> AggregatorMemory:
        """What an aggregator remembers once this set-up has started."""
        current = BoundSetup(self.id, self.epoch, self.leader, started=True)
        keys = {
            "chains": {i: KeyChain(0, self.stream_key(i, s)) for i in self._cast.client_keys},
            "sealed_hashes": {i: self.sealed_hash(i, s) for i in self._cast.client_keys},
        }
        if memory is None:
            return AggregatorMemory(1, current, **keys)
        return memory.next(current=current, terminal={**memory.terminal, memory.current.id: False}, **keys)

    def at_client(self, i: int, memory: ClientMemory | None) -> ClientMemory:
        """What a client remembers once it has started this set-up."""
        keys = {
            "group": self.group,
            "chains": tuple(KeyChain(0, self.stream_key(i, s)) for s in self._cast.aggregator_keys),
            "sealed_hashes": tuple(self.sealed_hash(i, s) for s in self._cast.aggregator_keys),
        }
        if memory is None:
            return ClientMemory(version=1, state=self._cast.state, started=frozenset({self.id}), **keys)
        return memory.next(started=memory.started | {self.id}, last_round=-1, **keys)


class Cast:
    """Every party of one task, and what each remembers now."""

    def __init__(self, plot: Plot) -> None:
        self.plot = plot
        self.hub_key = SigningKey(self.secret("hub"))
        self.aggregator_keys = {s: SigningKey(self.secret(f"aggregator {s}")) for s in range(1, plot.n + 1)}
        self.client_keys = {i: SigningKey(self.secret(f"client {i}")) for i in range(1, plot.m + 1)}
        self.state = state_of(self.secret("state", 50), 0)
        self.manifest = make_manifest(plot, self)
        self.field, self.prime = self.manifest.field, self.manifest.field.prime
        self.aggregators = {s: Aggregator(self.manifest, s, key) for s, key in self.aggregator_keys.items()}
        self.clients = {
            i: Client(self.manifest, i, key, self.secret(f"data set {i}")) for i, key in self.client_keys.items()
        }
        self.aggregator_memories: dict[int, AggregatorMemory] = {}
        self.client_memories: dict[int, ClientMemory] = {}
        self.ledgers: dict[int, list[LedgerEntry]] = {i: [] for i in self.clients}
        self.kept: dict[int, Kept] = {}
        self.set_up(1, 1)

    def secret(self, name: str, count: int = 32) -> bytes:
        """A value of this task alone."""
        return secret(f"{self.plot.name}/{name}", count)

    def set_up(self, epoch: int, leader: int, lost: Sequence[int] = ()) -> None:
        """Begin with the keys of a set-up; the aggregators in ``lost`` remember nothing from before."""
        self.keys = SetUp(self, epoch, leader)
        for s in self.aggregators:
            before = None if s in lost else self.aggregator_memories.get(s)
            self.aggregator_memories[s] = self.keys.at_aggregator(s, before)
        for i in self.clients:
            self.client_memories[i] = self.keys.at_client(i, self.client_memories.get(i))

    def play(self, to: str = "deliver") -> Session:
        """The first session, up to and including a step."""
        return Session(self, self.plot.name, self.plot.round).play(to)

    def delta(self, client: int) -> Any:
        """An update in (-1.25, 1.25), so that some values are clipped."""
        data = np.frombuffer(self.secret(f"delta {client}", 4 * self.plot.dimension), dtype=">u4")
        return (data.astype(np.float64) / 2**32 * 2.5 - 1.25).astype(np.float32)

    def weight(self, client: int) -> int:
        """From 1 to the manifest's largest."""
        return 1 + self.secret(f"weight {client}")[0] % WEIGHT_MAX

    def rounding_key(self, client: int) -> bytes:
        """Of the client's own stream."""
        return self.secret(f"rounding key {client}")

    def by_aggregator(self, message: Any, aggregator: int, context: bytes) -> Any:
        """The message as a corrupt aggregator signs it; an opening is signed with its root in the vector's place."""
        if isinstance(message, Opening):
            receipt = message.receipt(self.manifest.bulk_hash)
            return replace(message, signature=self.by_aggregator(receipt, aggregator, context).signature)
        return message.signed_by(self.aggregator_keys[aggregator], context)

    def by_client(self, message: Any, client: int, context: bytes) -> Any:
        """The message as a corrupt client signs it."""
        return message.signed_by(self.client_keys[client], context)

    def request(self, action: int, setup: bytes, round_number: int, state_id: bytes) -> HubRequest:
        """What the hub asks for."""
        return HubRequest(action, setup, round_number, state_id).signed_by(self.hub_key, setup)


class Session:
    """One session; a step's messages stand in an attribute, so that a refusal can alter them.

    Args:
        name: what its fresh secrets follow from.
        origin: the session whose updates are sent again.
    """

    def __init__(self, cast: Cast, name: str, number: int, origin: Session | None = None) -> None:
        self.cast, self.plot, self.manifest, self.keys = cast, cast.plot, cast.manifest, cast.keys
        self.name, self.round, self.repeats = name, number, origin
        self.aggregators, self.clients, self.field, self.prime = cast.aggregators, cast.clients, cast.field, cast.prime
        self.setup, self.group = self.keys.id, self.keys.group
        self.state_id = self.group.state_id(cast.state.digest)
        self.sid = session_id(self.setup, number, self.state_id)
        self.session_key = self.group.session_key(self.sid)
        self.origin = None if origin is None else Origin(origin.sid, origin.group.check_value(), origin.entries)
        self.first = origin or self
        # What every party remembers before it.
        self.aggregators_before = dict(cast.aggregator_memories)
        self.clients_before = dict(cast.client_memories)
        self.ledgers_before = {i: tuple(entries) for i, entries in cast.ledgers.items()}
        self.kept_before = dict(cast.kept)

    def nonce(self, client: int) -> bytes:
        """Of the client's header."""
        return secret(f"{self.name}/nonce {client}")

    def salt(self, aggregator: int) -> bytes:
        """The salt of the aggregator's commitment."""
        return secret(f"{self.name}/salt {aggregator}")

    # The steps

    def play(self, to: str = "deliver") -> Session:
        """All steps up to and including ``to``."""
        for step in STEPS[: STEPS.index(to) + 1]:
            getattr(self, step)()
        return self

    def announce(self) -> None:
        """Step 0."""
        self.request = self.requested(ANNOUNCE, self.round)
        self.announcements: list[Announcement] = self._at_all(lambda own, memory: own.announce(memory, self.request))

    def requested(self, action: int, number: int) -> HubRequest:
        """The hub's request about a round from this state."""
        return self.cast.request(action, self.setup, number, self.state_id)

    def submit(self) -> None:
        """Step 1; who does not submit observes."""
        self.submitted: dict[int, Submitted] = {}
        for i, own in self.clients.items():
            memory = self.cast.client_memories[i]
            if i not in self.submitting:
                self.cast.client_memories[i] = own.observe(memory, self.announcements)
                continue
            self.submitted[i], self.cast.kept[i] = done, _ = self._submitted_by(own, memory)
            self.cast.client_memories[i] = done.memory
            self.cast.ledgers[i].append(done.entry)
        self.submissions: dict[int, Submission] = {i: done.submission for i, done in self.submitted.items()}

    @property
    def submitting(self) -> tuple[int, ...]:
        """The clients that submit; in a repeat, those of the first roster."""
        return self.plot.submitting if self.origin is None else tuple(client for client, _ in self.origin.roster)

    def _submitted_by(self, own: Client, memory: ClientMemory) -> tuple[Submitted, Kept]:
        i, ledger = own.number, self.cast.ledgers[own.number]
        if self.origin is not None:
            kept, evidence = self.cast.kept[i], (self.origin, self.first.commitments)
            done = own.submit_again(memory, ledger, self.announcements, kept, self.nonce(i), evidence)
            return done, done.kept.with_update(kept.encoded)
        pieces: list[Any] = []
        update = Update(self.cast.delta(i), self.cast.weight(i), self.plot.clips)
        fresh = SubmissionSecrets(self.nonce(i), self.cast.rounding_key(i))
        done = own.submit(memory, ledger, self.announcements, update, fresh, lambda piece: pieces.append(piece.copy()))
        return done, done.kept.with_update(np.concatenate(pieces))

    def headers_seen(self, aggregator: int) -> list[Header]:
        """The headers that reach one aggregator."""
        lost = self.plot.unseen.get(aggregator, ())
        return [submission.header for i, submission in self.submissions.items() if i not in lost]

    def vote(self) -> None:
        """Step 2."""
        self.votes = self._at_all(
            lambda own, memory: own.vote(memory, self.sid, self.headers_seen(own.number), self.origin)
        )

    def commit(self) -> None:
        """Step 3, first half."""
        self.shares: dict[int, Any] = {}

        def transition(own: Aggregator, memory: AggregatorMemory) -> Any:
            s = own.number
            step = own.commit(memory, self.headers_seen(s), self.votes, self.salt(s), self.origin)
            self.shares[s] = step.share
            return step

        self.commitments = self._at_all(transition)
        self.entries = hub.choose_roster(self.manifest, self.votes)
        self.total, self.hub_commitment = hub.add_shares(
            self.manifest, self.sid, self.entries, lambda i: self.submissions[i].share
        )

    def agree(self) -> None:
        """Step 3, second half."""
        self.agreements = self._at_all(lambda own, memory: own.agree(memory, self.commitments, self.hub_commitment))

    def open(self) -> None:
        """Step 4, first half."""
        self.openings = self._at_all(lambda own, memory: own.open(memory, self.shares[own.number], self.agreements))

    def certify(self) -> None:
        """Step 4, second half."""
        self.results = self._at_all(lambda own, memory: own.certify(memory, self.openings, self.total))

    def deliver(self) -> None:
        """Step 5 at the hub."""
        self.delivery: Delivery = hub.deliver(
            self.manifest, self.group.check_value(), self.entries, (self.hub_commitment, self.commitments),
            (self.total, self.openings), self.results,
        )  # fmt: skip
        self.aggregators_after = dict(self.cast.aggregator_memories)
        self.clients_after = dict(self.cast.client_memories)

    def check(self, client: int) -> VerifiedAverage:
        """Step 5 at a client."""
        return self.clients[client].check(self.clients_after[client], self.delivery, self.plot.clips)

    def disclose(self, client: int) -> Disclosure:
        """K_sid, in a public task."""
        return self.clients[client].disclose(self.clients_after[client], self.delivery)

    def _at_all(self, transition: Any) -> list[Any]:
        words = []
        for s, own in self.aggregators.items():
            step = transition(own, self.cast.aggregator_memories[s])
            self.cast.aggregator_memories[s] = step.memory or self.cast.aggregator_memories[s]
            words.append(step.message)
        return words

    # What happens after the session, and what adversaries do

    def next_announcements(self) -> list[Announcement]:
        """The next round, from the same state; closes this one."""
        return [step.message for step in self._next()]

    def _next(self) -> list[Any]:
        request = self.requested(ANNOUNCE, self.round + 1)
        return [own.announce(self.aggregators_after[s], request) for s, own in self.aggregators.items()]

    def closings(self) -> list[Closing]:
        """How this session ended, once the next is announced."""
        request = self.requested(CLOSING, self.round)
        return [
            own.closing(step.memory, request) for own, step in zip(self.aggregators.values(), self._next(), strict=True)
        ]

    def by_aggregator(self, message: Any, aggregator: int, context: bytes | None = None) -> Any:
        """The message as a corrupt aggregator signs it."""
        return self.cast.by_aggregator(message, aggregator, self.sid if context is None else context)

    def by_client(self, message: Any, client: int, context: bytes | None = None) -> Any:
        """The message as a corrupt client signs it."""
        return self.cast.by_client(message, client, self.sid if context is None else context)

    def shifted(self, share: Any, changes: Mapping[int, int]) -> Any:
        """A copy of a share with amounts added to single elements."""
        altered = np.array(share)
        for position, amount in changes.items():
            altered[position] = (int(altered[position]) + amount) % self.prime
        return altered
