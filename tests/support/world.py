"""The parties of a small aggregation task in memory, driven step by step, without a network between them."""

from __future__ import annotations

import math
import secrets
from collections.abc import Mapping, Sequence
from fractions import Fraction
from types import MappingProxyType
from typing import Any

import numpy as np

from privateyes.aggregation import hub
from privateyes.aggregation.aggregator import Aggregator
from privateyes.aggregation.client import Client, SubmissionSecrets, VerifiedAverage
from privateyes.aggregation.functionality import IdealInput, IdealOutput, aggregate
from privateyes.aggregation.manifest import Manifest, Party
from privateyes.aggregation.messages import Agreement, Delivery, Header, Opening, RosterCommitment, Submission, Vote
from privateyes.aggregation.privacy_section import Privacy
from privateyes.aggregation.setup import AggregatorSetup, ClientSetup
from privateyes.crypto.field import COMPACT, Field
from privateyes.crypto.labels import Label, Role
from privateyes.crypto.signature import SigningKey
from privateyes.crypto.streams import KeyStream
from privateyes.encoding.clips import segments
from privateyes.encoding.fixed_point import FixedPoint, largest_scale_bits
from privateyes.encoding.norm import UpdateEncoder
from shares import shifted, signed, with_matching_tags


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
        privacy: Privacy | None = None,
    ) -> None:
        bits = min(16, largest_scale_bits(field, 1.0, weight_max, m) or 0)
        self.encoding = FixedPoint(field, 1.0, bits, weight_max, m)
        self.field, self.n, self.m, self.d, self.prime = field, n, m, d, field.prime
        self.aggregator_keys = {s: SigningKey(bytes([1, s]) + bytes(30)) for s in range(1, n + 1)}
        self.client_keys = {i: SigningKey(bytes([2, i, first_client]) + bytes(29)) for i in range(1, m + 1)}
        self.manifest = Manifest(
            dimension=d,
            encoding=self.encoding,
            roster_min=roster_min,
            corrupt_clients=corrupt_clients,
            leader=1,
            mode=mode,
            privacy=privacy,
            aggregators=tuple(Party(f"a{s}", key.public_bytes) for s, key in self.aggregator_keys.items()),
            clients=tuple(Party(f"c{i}", key.public_bytes) for i, key in self.client_keys.items()),
        )
        self.aggregators = {s: aggregator_type(self.manifest, s, key) for s, key in self.aggregator_keys.items()}
        self.clients = {i: client_type(self.manifest, i, key) for i, key in self.client_keys.items()}
        self.aggregator_memories: dict[int, Any] = {}
        self.client_memories: dict[int, Any] = {}
        self.epoch, self.next_round = 0, 0
        if set_up:
            self.set_up(bytes(32))

    def set_up(self, state_digest: bytes) -> None:
        """A new epoch among the parties, with real keys."""
        self.epoch += 1
        epoch, manifest = self.epoch, self.manifest
        self.next_round = 0
        self.aggregator_setups = {
            s: AggregatorSetup(manifest, s, key, epoch, self.aggregator_memories.get(s), never_ran=epoch == 1)
            for s, key in self.aggregator_keys.items()
        }
        self.client_setups = {
            i: ClientSetup(manifest, i, key, epoch, state_digest, self.client_memories.get(i))
            for i, key in self.client_keys.items()
        }
        offered = [own.key() for own in self.aggregator_setups.values()]
        self.stream_keys = {}
        for i, own in self.client_setups.items():
            self.stream_keys[i] = own.seal_stream_keys(offered, [secrets.token_bytes(32) for _ in offered])
            for s, sealed in enumerate(self.stream_keys[i], start=1):
                self.aggregator_setups[s].receive(sealed)
        keys = {i: own.key() for i, own in self.client_setups.items()}
        self.group_keys = self.client_setups[1].lead(keys, secrets.token_bytes(32))
        for message in self.group_keys:
            self.client_setups[message.recipient].receive_group_key(message)
        for s, own in self.aggregator_setups.items():
            self.aggregator_memories[s] = own.start(self.aggregator_memories.get(s))
        for i, own in self.client_setups.items():
            self.client_memories[i] = own.start(self.client_memories.get(i))

    # The steps

    def announce(self, round_number: int | None = None) -> None:
        """Step 0: every aggregator announces the next round from client 1's state."""
        self.round = self.next_round if round_number is None else round_number
        self.next_round = self.round + 1
        self.group = self.client_memories[1].group
        self.state_id = self.group.state_id(self.client_memories[1].state_digest)
        self.states, self.announcements = {}, []
        for s, own in self.aggregators.items():
            step = own.announce(self.aggregator_memories[s], self.epoch, self.round, self.state_id)
            self.aggregator_memories[s] = step.memory
            self.states[s] = step.state
            self.announcements.append(step.message)
        self.sid = self.states[1].sid
        self.submissions: dict[int, Submission] = {}
        self.inputs: dict[int, IdealInput] = {}
        self.deltas: dict[int, Any] = {}

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
        done = self.clients[client].submit(self.client_memories[client], self.announcements, delta, weight, fresh)
        self.client_memories[client] = done.memory
        self.submissions[client] = done.submission
        self.deltas[client] = delta
        self.inputs[client] = IdealInput(self.encoded(delta, weight, key), weight)
        return done.submission

    def encoded(self, delta: Any, weight: int, rounding_key: bytes) -> list[int]:
        """q in plain fractions, from the rounding stream; a limit of the L2 norm takes floats, and so the encoder."""
        privacy, parts = self.manifest.privacy, segments(self.encoding, self.d, None)
        if privacy is not None:
            rounding, out = KeyStream(rounding_key, Label.ROUNDING, Role.CLIENT, b""), self.field.zeros(self.d)
            list(UpdateEncoder(delta, weight, rounding, parts, privacy.limit(self.encoding)).pieces(out))
            return signed(self.field, out)
        words = np.zeros(delta.size, dtype="<u4")
        KeyStream(rounding_key, Label.ROUNDING, Role.CLIENT, b"").fill(words.data.cast("B"))
        clip = Fraction(self.encoding.clip)
        scale = int(weight) * (1 << self.encoding.scale_bits)
        values = []
        for value, word in zip(delta.tolist(), words.tolist(), strict=True):
            exact = max(-clip, min(clip, Fraction(value))) * scale
            below = math.floor(exact)
            values.append(below + (Fraction(word, 1 << 32) < exact - below))
        return values

    def submit_all(self, *clients: int) -> None:
        """Step 1 at the given clients, or at all; the others only observe."""
        chosen = clients or tuple(self.clients)
        for i, own in self.clients.items():
            if i in chosen:
                self.submit(i)
            else:
                self.client_memories[i] = own.observe(self.client_memories[i], self.announcements)

    def vote(
        self, headers: Mapping[int, Sequence[Header]] = MappingProxyType({}), everywhere: Sequence[Header] | None = None
    ) -> None:
        """Step 2; ``everywhere`` replaces what all aggregators see."""
        everything = [submission.header for submission in self.submissions.values()]
        everything = everything if everywhere is None else list(everywhere)
        self.votes = []
        for s, own in self.aggregators.items():
            step = own.vote(self.aggregator_memories[s], self.states[s], headers.get(s, everything))
            self.states[s] = step.state
            self.votes.append(step.message)

    def commit(self, votes: Mapping[int, Sequence[Vote]] = MappingProxyType({})) -> None:
        """Step 3, first half, and the hub's sum."""
        self.commitments = []
        for s, own in self.aggregators.items():
            memory = self.aggregator_memories[s]
            step = own.commit(memory, self.states[s], votes.get(s, self.votes), secrets.token_bytes(32))
            self.states[s], self.aggregator_memories[s] = step.state, step.memory
            self.commitments.append(step.message)
        self.entries = self.states[1].entries
        self.total, self.hub_commitment = hub.add_shares(
            self.manifest, self.sid, self.entries, lambda i: self.submissions[i].share
        )

    def agree(self, commitments: Mapping[int, Sequence[RosterCommitment]] = MappingProxyType({})) -> None:
        """Step 3, second half."""
        self.agreements = []
        for s, own in self.aggregators.items():
            memory, seen = self.aggregator_memories[s], commitments.get(s, self.commitments)
            step = own.agree(memory, self.states[s], seen, self.hub_commitment)
            self.states[s], self.aggregator_memories[s] = step.state, step.memory
            self.agreements.append(step.message)

    def open(self, agreements: Mapping[int, Sequence[Agreement]] = MappingProxyType({})) -> None:
        """Step 4, first half."""
        self.openings = []
        for s, own in self.aggregators.items():
            step = own.open(self.aggregator_memories[s], self.states[s], agreements.get(s, self.agreements))
            self.states[s], self.aggregator_memories[s] = step.state, step.memory
            self.openings.append(step.message)

    def certify(self, openings: Mapping[int, Sequence[Opening]] = MappingProxyType({})) -> None:
        """Step 4, second half."""
        self.results = []
        for s, own in self.aggregators.items():
            step = own.certify(self.states[s], openings.get(s, self.openings), self.total)
            self.states[s] = step.state
            self.results.append(step.message)

    def deliver(self) -> Delivery:
        """Step 5 at the hub; the message crosses the wire as bytes."""
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
        for step in ("vote", "commit", "agree", "open", "certify", "deliver"):
            getattr(self, step)()
            if step == to:
                return

    def check(self, client: int, delivery: Delivery | None = None) -> VerifiedAverage:
        """Step 5 at one client."""
        return self.clients[client].check(self.client_memories[client], delivery or self.delivery)

    def accept(self, state_digest: bytes) -> None:
        """Every client accepts the delivery and moves to a new state."""
        for i in self.clients:
            self.check(i)
            self.client_memories[i] = self.client_memories[i].with_state(state_digest, self.sid)

    # What adversaries and judges need

    def ideal(self, *roster: int) -> IdealOutput:
        """What the ideal functionality gives for a roster (all submitters by default)."""
        return aggregate(self.inputs, roster or tuple(self.inputs), self.manifest.roster_min)

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
        """The message as a corrupt aggregator signs it."""
        return message.signed_by(self.aggregator_keys[aggregator], self.sid)

    def closings(self, round_number: int) -> list[Any]:
        """Every aggregator's word on an earlier session from the current state."""
        return [
            own.closing(self.aggregator_memories[s], self.epoch, round_number, self.state_id)
            for s, own in self.aggregators.items()
        ]
