"""The parties of a small aggregation task in memory, driven step by step, without a network between them."""

from __future__ import annotations

import hashlib
import math
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import replace
from fractions import Fraction
from functools import lru_cache
from types import MappingProxyType
from typing import Any

import numpy as np

from privateyes.aggregation import hub
from privateyes.aggregation.aggregator import Aggregator
from privateyes.aggregation.client import Client, SubmissionSecrets, Update, VerifiedAverage
from privateyes.aggregation.functionality import IdealInput, IdealOutput, aggregate
from privateyes.aggregation.kept import KeptSubmission
from privateyes.aggregation.keys import session_id
from privateyes.aggregation.ledger import LedgerEntry
from privateyes.aggregation.manifest import Manifest, Party
from privateyes.aggregation.memory import TrainingState
from privateyes.aggregation.messages import (
    ANNOUNCE,
    BIND,
    CLOSING,
    GIVE_UP,
    Agreement,
    Delivery,
    Header,
    HubRequest,
    Opening,
    Origin,
    RosterCommitment,
    Submission,
    Vote,
)
from privateyes.aggregation.privacy_section import Privacy
from privateyes.aggregation.setup import AggregatorSetup, ClientSetup, require_one_setup
from privateyes.crypto.bulk import BulkHash
from privateyes.crypto.field import COMPACT, Field
from privateyes.crypto.labels import Label, Role
from privateyes.crypto.signature import SigningKey
from privateyes.crypto.streams import KeyStream
from privateyes.encoding.clips import segments
from privateyes.encoding.fixed_point import FixedPoint, largest_scale_bits
from privateyes.encoding.norm import UpdateEncoder
from shares import shifted, signed, with_matching_tags

INITIAL = TrainingState(bytes(32), bytes([1]) * 32, 0)
"""The training state that a small task begins with."""


def state_after(state: TrainingState, mark: bytes) -> TrainingState:
    """A training state that may follow another; ``mark`` tells several apart."""
    digest = hashlib.sha256(state.digest + mark).digest()
    return TrainingState(digest, hashlib.sha256(b"weights" + digest).digest(), state.counter + 1)


@lru_cache(maxsize=256)
def _encoded(encoding: FixedPoint, delta: tuple[float, ...], weight: int, rounding_key: bytes) -> tuple[int, ...]:
    words = np.zeros(len(delta), dtype="<u4")
    KeyStream(rounding_key, Label.ROUNDING, Role.CLIENT, b"").fill(words.data.cast("B"))
    clip, scale = Fraction(encoding.clip), weight * (1 << encoding.scale_bits)
    values = []
    for value, word in zip(delta, words.tolist(), strict=True):
        exact = max(-clip, min(clip, Fraction(value))) * scale
        below = math.floor(exact)
        values.append(below + (Fraction(word, 1 << 32) < exact - below))
    return tuple(values)


class World:
    """Every party of one small aggregation task in memory, driven step by step.

    What a step produced stands in a public attribute, so that a test can alter it before the next step; every step also
    takes a mapping of what single aggregators get to see instead. Replaced party classes are the test doubles.
    """

    def __init__(
        self,
        field: Field = COMPACT,
        n: int = 3,
        m: int = 4,
        d: int = 7,
        roster_min: int = 2,
        weight_max: int = 50,
        client_type: type[Client] = Client,
        aggregator_type: type[Aggregator] = Aggregator,
        first_client: int = 0,
        corrupt_clients: int = 0,
        mode: str = "sealed",
        set_up: bool = True,
        bulk_hash: BulkHash = BulkHash.BLAKE3,
        leaders: Sequence[int] = (1, 2),
        privacy: Privacy | None = None,
        initial: TrainingState = INITIAL,
        settings: bytes = bytes([4]) * 32,
    ) -> None:
        bits = min(16, largest_scale_bits(field, 1.0, weight_max, m) or 0)
        self.encoding = FixedPoint(field, 1.0, bits, weight_max, m)
        self.field, self.n, self.m, self.d, self.prime = field, n, m, d, field.prime
        self.initial = initial
        self.aggregator_keys = {s: SigningKey(bytes([1, s]) + bytes(30)) for s in range(1, n + 1)}
        self.hub_key = SigningKey(bytes([3]) + bytes(31))
        self.client_keys = {i: SigningKey(bytes([2, i, first_client]) + bytes(29)) for i in range(1, m + 1)}
        self.manifest = Manifest(
            dimension=d,
            encoding=self.encoding,
            roster_min=roster_min,
            corrupt_clients=corrupt_clients,
            leaders=tuple(leaders),
            hub_key=self.hub_key.public_bytes,
            initial_state=initial.digest,
            settings=settings,
            bulk_hash=bulk_hash,
            mode=mode,
            privacy=privacy,
            aggregators=tuple(Party(f"a{s}", key.public_bytes) for s, key in self.aggregator_keys.items()),
            clients=tuple(Party(f"c{i}", key.public_bytes) for i, key in self.client_keys.items()),
        )
        self.aggregators = {s: aggregator_type(self.manifest, s, key) for s, key in self.aggregator_keys.items()}
        self.clients = {
            i: client_type(self.manifest, i, key, bytes([5, i]) + bytes(30)) for i, key in self.client_keys.items()
        }
        self.aggregator_memories: dict[int, Any] = {}
        self.client_memories: dict[int, Any] = {}
        self.ledgers: dict[int, list[LedgerEntry]] = {i: [] for i in self.clients}
        self.kept: dict[int, KeptSubmission] = {}
        self.encoded_updates: dict[int, Any] = {}
        self.shares: dict[int, Any] = {}
        self.epoch, self.next_round = 0, 0
        if set_up:
            self.set_up()

    def set_up(self, leader: int = 1) -> None:
        """A new set-up among the parties, with real keys."""
        self.epoch += 1
        manifest = self.manifest
        self.next_round = 0
        self.old_chains = {s: chain for s, own in self.aggregator_memories.items() for chain in own.chains.values()}
        self.aggregator_setups = {
            s: AggregatorSetup(manifest, s, key, self.epoch, leader) for s, key in self.aggregator_keys.items()
        }
        self.client_setups = {
            i: ClientSetup(manifest, i, key, memory, None if memory else self.initial)
            for i, key in self.client_keys.items()
            for memory in [self.client_memories.get(i)]
        }
        offered = [own.key() for own in self.aggregator_setups.values()]
        self.setup, _ = require_one_setup(manifest, offered)
        bind = self.request(BIND, 0, bytes(32))
        for s, own in self.aggregator_setups.items():
            self.aggregator_memories[s] = own.bind(self.aggregator_memories.get(s), offered, bind)
        self.stream_keys = {}
        for i, own in self.client_setups.items():
            own.bind(offered)
            self.stream_keys[i] = own.seal_stream_keys([secrets.token_bytes(32) for _ in offered])
            for s, sealed in enumerate(self.stream_keys[i], start=1):
                self.aggregator_setups[s].receive(self.aggregator_memories[s], sealed)
        self.offers, self.client_keys_said = offered, [own.key() for own in self.client_setups.values()]
        keys = {message.client: message for message in self.client_keys_said}
        self.group_keys = self.client_setups[leader].lead(keys, secrets.token_bytes(32))
        for message in self.group_keys:
            self.client_setups[message.recipient].receive_group_key(message)
        for s, own in self.aggregator_setups.items():
            self.aggregator_memories[s] = own.start(self.aggregator_memories[s])
        for i, own in self.client_setups.items():
            self.client_memories[i] = own.start(self.client_memories.get(i))

    def request(
        self, action: int, round_number: int, state_id: bytes | None = None, setup: bytes | None = None
    ) -> HubRequest:
        """What the hub asks for, signed."""
        setup = self.setup if setup is None else setup
        state_id = self.state_id if state_id is None else state_id
        return HubRequest(action, setup, round_number, state_id).signed_by(self.hub_key, setup)

    # The steps

    def announce(self, round_number: int | None = None) -> None:
        """Step 0: every aggregator announces the next round from client 1's state."""
        self.round = self.next_round if round_number is None else round_number
        self.next_round = self.round + 1
        self.group = self.client_memories[1].group
        self.state_id = self.client_memories[1].state_id
        self.sid = session_id(self.setup, self.round, self.state_id)
        self.announcements = []
        for s, own in self.aggregators.items():
            step = own.announce(self.aggregator_memories[s], self.request(ANNOUNCE, self.round))
            self._take(s, step)
            self.announcements.append(step.message)
        self.submissions: dict[int, Submission] = {}
        self.inputs: dict[int, IdealInput] = {}
        self.deltas: dict[int, Any] = {}

    def _take(self, aggregator: int, step: Any) -> Any:
        """Store what a transition changed; its message."""
        if step.memory is not None:
            self.aggregator_memories[aggregator] = step.memory
        return step.message

    def delta(self, client: int) -> Any:
        """Some update, the same at every call."""
        generator = np.random.default_rng([client, self.d])
        return (generator.normal(0.0, 0.4, self.d)).astype(np.float32)

    def submit(self, client: int, delta: Any = None, weight: Any = None, nonce: bytes | None = None) -> Submission:
        """Step 1 at one client; the ideal input is computed beside it in plain fractions."""
        delta = self.delta(client) if delta is None else delta
        weight = client + 1 if weight is None else weight
        key = bytes([client]) * 32
        fresh = SubmissionSecrets(nonce or secrets.token_bytes(32), key)
        pieces: list[Any] = []
        done = self.clients[client].submit(
            self.client_memories[client],
            self.ledgers[client],
            self.announcements,
            Update(delta, weight),
            fresh,
            lambda piece: pieces.append(piece.copy()),
        )
        self.encoded_updates[client] = np.concatenate(pieces)
        self.deltas[client] = delta
        self.inputs[client] = IdealInput(self.encoded(delta, weight, key), weight)
        return self._sent(client, done)

    def submit_again(self, client: int, origin: Origin, commitments: Sequence[RosterCommitment]) -> Submission:
        """Step 1 at one client, with the update of an earlier session."""
        kept = self.kept[client].with_update(self.encoded_updates[client])
        done = self.clients[client].submit_again(
            self.client_memories[client],
            self.ledgers[client],
            self.announcements,
            kept,
            secrets.token_bytes(32),
            (origin, commitments),
        )
        return self._sent(client, done)

    def _sent(self, client: int, done: Any) -> Submission:
        self.client_memories[client] = done.memory
        self.ledgers[client].append(done.entry)
        self.kept[client] = done.kept
        self.submissions[client] = done.submission
        return done.submission

    def encoded(self, delta: Any, weight: int, rounding_key: bytes) -> list[int]:
        """q in plain fractions, from the rounding stream; a limit of the L2 norm takes floats, and so the encoder."""
        privacy, parts = self.manifest.privacy, segments(self.encoding, self.d, None)
        if privacy is not None:
            rounding, out = KeyStream(rounding_key, Label.ROUNDING, Role.CLIENT, b""), self.field.zeros(self.d)
            list(UpdateEncoder(delta, weight, rounding, parts, privacy.limit(self.encoding)).pieces(out))
            return signed(self.field, out)
        return list(_encoded(self.encoding, tuple(delta.tolist()), int(weight), rounding_key))

    def submit_all(self, *clients: int) -> None:
        """Step 1 at the given clients, or at all; the others only observe."""
        chosen = clients or tuple(self.clients)
        for i, own in self.clients.items():
            if i in chosen:
                self.submit(i)
            else:
                self.client_memories[i] = own.observe(self.client_memories[i], self.announcements)

    @property
    def headers(self) -> list[Header]:
        """Of everything that was submitted."""
        return [submission.header for submission in self.submissions.values()]

    def vote(
        self,
        headers: Mapping[int, Sequence[Header]] = MappingProxyType({}),
        everywhere: Sequence[Header] | None = None,
        origin: Origin | None = None,
    ) -> None:
        """Step 2; ``everywhere`` replaces what all aggregators see."""
        everything = self.headers if everywhere is None else list(everywhere)
        self.votes = []
        self.rejected = {}
        for s, own in self.aggregators.items():
            step = own.vote(self.aggregator_memories[s], self.sid, headers.get(s, everything), origin)
            self.rejected[s] = step.rejected
            self.votes.append(self._take(s, step))

    def commit(
        self,
        votes: Mapping[int, Sequence[Vote]] = MappingProxyType({}),
        everywhere: Sequence[Header] | None = None,
        origin: Origin | None = None,
    ) -> None:
        """Step 3, first half, and the hub's sum."""
        headers = self.headers if everywhere is None else list(everywhere)
        self.commitments = []
        for s, own in self.aggregators.items():
            memory, seen = self.aggregator_memories[s], votes.get(s, self.votes)
            step = own.commit(memory, headers, seen, secrets.token_bytes(32), origin)
            self.shares[s] = step.share
            self.commitments.append(self._take(s, step))
        self.entries = hub.choose_roster(self.manifest, self.votes)
        self.total, self.hub_commitment = hub.add_shares(
            self.manifest, self.sid, self.entries, lambda i: self.submissions[i].share
        )

    def agree(self, commitments: Mapping[int, Sequence[RosterCommitment]] = MappingProxyType({})) -> None:
        """Step 3, second half."""
        self.agreements = []
        for s, own in self.aggregators.items():
            memory, seen = self.aggregator_memories[s], commitments.get(s, self.commitments)
            self.agreements.append(self._take(s, own.agree(memory, seen, self.hub_commitment)))

    def open(self, agreements: Mapping[int, Sequence[Agreement]] = MappingProxyType({})) -> None:
        """Step 4, first half."""
        self.openings = []
        for s, own in self.aggregators.items():
            step = own.open(self.aggregator_memories[s], self.shares[s], agreements.get(s, self.agreements))
            self.openings.append(self._take(s, step))

    def certify(self, openings: Mapping[int, Sequence[Opening]] = MappingProxyType({})) -> None:
        """Step 4, second half."""
        self.results = []
        for s, own in self.aggregators.items():
            step = own.certify(self.aggregator_memories[s], openings.get(s, self.openings), self.total)
            self.results.append(self._take(s, step))

    def finish_session(self) -> None:
        """Show every aggregator all result signatures."""
        for s, own in self.aggregators.items():
            after = own.finish(self.aggregator_memories[s], self.results)
            if after is not None:
                self.aggregator_memories[s] = after

    @property
    def origin(self) -> Origin:
        """The roster of the current session, as a later one names it."""
        return Origin(self.sid, self.group.check_value(), self.entries)

    def deliver(self) -> Delivery:
        """Step 5 at the hub; the message crosses the message log as bytes."""
        delivery = hub.deliver(
            self.manifest,
            self.group.check_value(),
            self.entries,
            (self.hub_commitment, self.commitments),
            (self.total, self.openings),
            self.results,
        )
        self.delivery = Delivery.from_bytes(delivery.to_bytes(), self.manifest)
        return self.delivery

    def run(self, *clients: int, to: str = "deliver") -> None:
        """All steps from the announcement on, up to and including ``to``."""
        self.announce()
        self.submit_all(*clients)
        if to != "submit":
            self.finish(to)

    def finish(self, to: str = "deliver") -> None:
        """All steps after the submissions, up to and including ``to``."""
        self.finish_from("vote", to)

    def finish_from(self, first: str, until: str = "deliver") -> None:
        """The steps from one to another, both included."""
        steps = ("vote", "commit", "agree", "open", "certify", "deliver")
        for step in steps[steps.index(first) :]:
            getattr(self, step)()
            if step == until:
                return

    def check(self, client: int, delivery: Delivery | None = None) -> VerifiedAverage:
        """Step 5 at one client."""
        return self.clients[client].check(self.client_memories[client], delivery or self.delivery)

    def accept(self, mark: bytes = b"") -> None:
        """Every client accepts the delivery and moves to a new state."""
        for i, own in self.clients.items():
            memory = self.client_memories[i]
            changed = own.accept(memory, self.ledgers[i], self.check(i), state_after(memory.state, mark))
            self.take_change(i, changed)

    def take_change(self, client: int, changed: Any) -> None:
        """Store what a transition of a client changed."""
        self.client_memories[client] = changed.memory
        known = {entry.sid: entry for entry in changed.entries}
        self.ledgers[client] = [known.get(entry.sid, entry) for entry in self.ledgers[client]]

    def settle(self, client: int, closings: Sequence[Any]) -> None:
        """Show a client how a session ended."""
        changed = self.clients[client].settle(self.client_memories[client], self.ledgers[client], closings)
        self.take_change(client, changed)

    # What adversaries and judges need

    def ideal(self, *roster: int) -> IdealOutput:
        """What the ideal functionality gives for a roster (all submitters by default)."""
        return aggregate(self.inputs, roster or tuple(self.inputs), self.manifest.roster_min)

    def ideal_of(self, inputs: Mapping[int, IdealInput], roster: Sequence[int]) -> IdealOutput:
        """The same for inputs of another session."""
        return aggregate(inputs, tuple(roster), self.manifest.roster_min)

    def mean_of(self, output: IdealOutput) -> Any:
        """The decoded average of an ideal output, exact up to one float64 division."""
        values = np.array(output.values, dtype=np.int64)
        return self.encoding.decode(values, output.total_weight)

    def shifted(self, share: Any, changes: Mapping[int, int]) -> Any:
        """A copy of a share with amounts added to single elements."""
        return shifted(self.field, share, changes)

    def with_matching_tags(self, changes: Mapping[int, int]) -> dict[int, int]:
        """The same changes and what they do to the tags: needs the group key, so a corrupt client."""
        key = self.group.session_key(self.sid)
        return with_matching_tags(self.field, self.d + 1, changes, key, self.sid)

    def signed_by_aggregator(self, message: Any, aggregator: int) -> Any:
        """The message as a corrupt aggregator signs it; an opening is signed with its root in the vector's place."""
        if isinstance(message, Opening):
            receipt = self.signed_by_aggregator(message.receipt(self.manifest.bulk_hash), aggregator)
            return replace(message, signature=receipt.signature)
        return message.signed_by(self.aggregator_keys[aggregator], self.sid)

    def closings(self, round_number: int, setup: bytes | None = None) -> list[Any]:
        """Every aggregator's word on an earlier session from the current state."""
        request = self.request(CLOSING, round_number, setup=setup)
        return [own.closing(self.aggregator_memories[s], request) for s, own in self.aggregators.items()]

    def give_up(self) -> list[Any]:
        """Every aggregator gives the current session up."""
        request = self.request(GIVE_UP, self.round)
        return [self._take(s, own.give_up(self.aggregator_memories[s], request)) for s, own in self.aggregators.items()]
