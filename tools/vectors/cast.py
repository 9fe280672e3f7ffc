"""The parties of one vector round, from the memories that a set-up leaves to the delivery, all secrets from names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import numpy as np

from privateyes.aggregation import hub
from privateyes.aggregation.aggregator import Aggregator
from privateyes.aggregation.client import Client, SubmissionSecrets, Submitted, VerifiedAverage
from privateyes.aggregation.keys import GroupKey, KeyChain, session_id, setup_id
from privateyes.aggregation.manifest import Manifest, Party
from privateyes.aggregation.memory import AggregatorMemory, ClientMemory
from privateyes.aggregation.messages import NO_SESSION, Delivery, Disclosure, Header, Message, Submission
from privateyes.aggregation.states import Step
from privateyes.crypto.field import field_by_name
from privateyes.crypto.signature import SigningKey
from privateyes.encoding.clips import ClipPlan
from privateyes.encoding.fixed_point import FixedPoint, largest_scale_bits
from vectors.values import secret

STEPS = ("announce", "submit", "vote", "commit", "agree", "open", "certify", "deliver")
WEIGHT_MAX = 50


@dataclass(frozen=True)
class Plot:
    """What happens in one round.

    Attributes:
        unseen: for some aggregators, the clients whose headers never reach them.
    """

    name: str
    n: int
    m: int
    field: str
    mode: str
    submitting: tuple[int, ...]
    unseen: Mapping[int, tuple[int, ...]] = field(default_factory=lambda: MappingProxyType({}))
    dimension: int = 7
    round: int = 0
    roster_max: int | None = None
    clips: ClipPlan | None = None


def make_manifest(plot: Plot, aggregators: Mapping[int, SigningKey], clients: Mapping[int, SigningKey]) -> Manifest:
    """A small task."""
    chosen, roster_max = field_by_name(plot.field), plot.roster_max or plot.m
    bits = min(20, largest_scale_bits(chosen, 1.0, WEIGHT_MAX, roster_max) or 0)
    return Manifest(
        dimension=plot.dimension,
        encoding=FixedPoint(chosen, 1.0, bits, WEIGHT_MAX, roster_max),
        roster_min=2,
        corrupt_clients=0,
        leader=1,
        mode=plot.mode,
        aggregators=tuple(Party(f"aggregator {s}", key.public_bytes) for s, key in aggregators.items()),
        clients=tuple(Party(f"client {i}", key.public_bytes) for i, key in clients.items()),
    )


class Cast:
    """Every party of one round; a step's messages stand in an attribute, so that a refusal can alter them."""

    def __init__(self, plot: Plot) -> None:
        self.plot = plot
        self.aggregator_keys = {s: SigningKey(self.secret(f"aggregator {s}")) for s in range(1, plot.n + 1)}
        self.client_keys = {i: SigningKey(self.secret(f"client {i}")) for i in range(1, plot.m + 1)}
        self.manifest = make_manifest(plot, self.aggregator_keys, self.client_keys)
        self.field, self.prime = self.manifest.field, self.manifest.field.prime
        self.epoch, self.round = 1, plot.round
        self.setup = setup_id(self.manifest.digest(), self.epoch)
        self.group = GroupKey(self.setup, self.epoch, self.secret("group key"), self.manifest.sealed)
        self.state_digest = self.secret("state digest")
        self.aggregators = {s: Aggregator(self.manifest, s, key) for s, key in self.aggregator_keys.items()}
        self.clients = {i: Client(self.manifest, i, key) for i, key in self.client_keys.items()}
        self.aggregator_memories = {s: self._aggregator_memory(s) for s in self.aggregators}
        self.client_memories = {i: self._client_memory(i) for i in self.clients}
        self.state_id = self.group.state_id(self.state_digest)
        self.sid = session_id(self.setup, self.round, self.state_id)
        self.session_key = self.group.session_key(self.sid)
        self.states: dict[int, Any] = {}

    def secret(self, name: str, count: int = 32) -> bytes:
        """A value of this plot alone."""
        return secret(f"{self.plot.name}/{name}", count)

    def stream_key(self, client: int, aggregator: int) -> bytes:
        """K[i,s]."""
        return self.secret(f"stream key {client} {aggregator}")

    def sealed_hash(self, client: int, aggregator: int) -> bytes:
        """What a header of the client names for the aggregator."""
        return self.secret(f"sealed hash {client} {aggregator}")

    def _aggregator_memory(self, s: int) -> AggregatorMemory:
        chains = {i: KeyChain(0, self.stream_key(i, s)) for i in self.client_keys}
        hashes = {i: self.sealed_hash(i, s) for i in self.client_keys}
        return AggregatorMemory(1, 1, -1, NO_SESSION, frozenset(), chains, hashes)

    def _client_memory(self, i: int) -> ClientMemory:
        chains = tuple(KeyChain(0, self.stream_key(i, s)) for s in self.aggregator_keys)
        hashes = tuple(self.sealed_hash(i, s) for s in self.aggregator_keys)
        return ClientMemory(self.group, chains, hashes, self.state_digest)

    def delta(self, client: int) -> Any:
        """An update in (-1.25, 1.25), so that some values are clipped."""
        data = np.frombuffer(self.secret(f"delta {client}", 4 * self.plot.dimension), dtype=">u4")
        return (data.astype(np.float64) / 2**32 * 2.5 - 1.25).astype(np.float32)

    def weight(self, client: int) -> int:
        """From 1 to the manifest's largest."""
        return 1 + secret(f"{self.plot.name}/weight {client}")[0] % WEIGHT_MAX

    def fresh(self, client: int) -> SubmissionSecrets:
        """The client's randomness for its only submission."""
        return SubmissionSecrets(self.secret(f"nonce {client}"), self.secret(f"rounding key {client}"))

    def salt(self, aggregator: int) -> bytes:
        """The salt of the aggregator's commitment."""
        return self.secret(f"salt {aggregator}")

    # The steps

    def play(self, to: str = "deliver") -> Cast:
        """All steps up to and including ``to``."""
        for step in STEPS[: STEPS.index(to) + 1]:
            getattr(self, step)()
        return self

    def announce(self) -> None:
        """Step 0."""
        steps = self._at_all(
            lambda s, own: own.announce(self.aggregator_memories[s], self.epoch, self.round, self.state_id)
        )
        self.announcements = [step.message for step in steps]

    def submit(self) -> None:
        """Step 1; who does not submit observes."""
        self.submitted: dict[int, Submitted] = {}
        for i, own in self.clients.items():
            memory = self.client_memories[i]
            if i in self.plot.submitting:
                done = own.submit(
                    memory, self.announcements, self.delta(i), self.weight(i), self.fresh(i), self.plot.clips
                )
                self.submitted[i], self.client_memories[i] = done, done.memory
            else:
                self.client_memories[i] = own.observe(memory, self.announcements)
        self.submissions: dict[int, Submission] = {i: done.submission for i, done in self.submitted.items()}

    def headers_seen(self, aggregator: int) -> list[Header]:
        """The headers that reach one aggregator."""
        lost = self.plot.unseen.get(aggregator, ())
        return [submission.header for i, submission in self.submissions.items() if i not in lost]

    def vote(self) -> None:
        """Step 2."""
        steps = self._at_all(lambda s, own: own.vote(self.aggregator_memories[s], self.states[s], self.headers_seen(s)))
        self.votes = [step.message for step in steps]

    def commit(self) -> None:
        """Step 3, first half."""
        steps = self._at_all(
            lambda s, own: own.commit(self.aggregator_memories[s], self.states[s], self.votes, self.salt(s))
        )
        self.commitments = [step.message for step in steps]
        self.entries = self.states[1].entries
        self.total, self.hub_commitment = hub.add_shares(
            self.manifest, self.sid, self.entries, lambda i: self.submissions[i].share
        )

    def agree(self) -> None:
        """Step 3, second half."""
        steps = self._at_all(
            lambda s, own: own.agree(self.aggregator_memories[s], self.states[s], self.commitments, self.hub_commitment)
        )
        self.agreements = [step.message for step in steps]

    def open(self) -> None:
        """Step 4, first half."""
        steps = self._at_all(lambda s, own: own.open(self.aggregator_memories[s], self.states[s], self.agreements))
        self.openings = [step.message for step in steps]

    def certify(self) -> None:
        """Step 4, second half."""
        steps = self._at_all(lambda s, own: own.certify(self.states[s], self.openings, self.total))
        self.results = [step.message for step in steps]

    def deliver(self) -> None:
        """Step 5 at the hub."""
        self.delivery: Delivery = hub.deliver(
            self.manifest, self.group.check_value(), self.entries, (self.hub_commitment, self.commitments),
            (self.total, self.openings), self.results,
        )  # fmt: skip

    def check(self, client: int) -> VerifiedAverage:
        """Step 5 at a client."""
        return self.clients[client].check(self.client_memories[client], self.delivery, self.plot.clips)

    def disclose(self, client: int) -> Disclosure:
        """K_sid, in a public task."""
        return self.clients[client].disclose(self.client_memories[client], self.delivery)

    def _at_all(self, transition: Any) -> list[Step[Any, Any]]:
        steps = []
        for s, own in self.aggregators.items():
            step = transition(s, own)
            self.states[s] = step.state
            self.aggregator_memories[s] = step.memory or self.aggregator_memories[s]
            steps.append(step)
        return steps

    # What happens after the round, and what adversaries do

    def next_announcements(self) -> list[Any]:
        """The next round, from the same state; closes this one."""
        return [
            own.announce(self.aggregator_memories[s], self.epoch, self.round + 1, self.state_id).message
            for s, own in self.aggregators.items()
        ]

    def closings(self) -> list[Any]:
        """How this round ended, once the next is announced."""
        out = []
        for s, own in self.aggregators.items():
            later = own.announce(self.aggregator_memories[s], self.epoch, self.round + 1, self.state_id).memory
            if later is None:
                raise RuntimeError("an announcement changes the memory")
            out.append(own.closing(later, self.epoch, self.round, self.state_id))
        return out

    def by_aggregator(self, message: Any, aggregator: int, context: bytes | None = None) -> Any:
        """The message as a corrupt aggregator signs it."""
        return message.signed_by(self.aggregator_keys[aggregator], self.sid if context is None else context)

    def by_client(self, message: Any, client: int, context: bytes | None = None) -> Any:
        """The message as a corrupt client signs it."""
        return message.signed_by(self.client_keys[client], self.sid if context is None else context)

    def shifted(self, share: Any, changes: Mapping[int, int]) -> Any:
        """A copy of a share with amounts added to single elements."""
        altered = np.array(share)
        for position, amount in changes.items():
            altered[position] = (int(altered[position]) + amount) % self.prime
        return altered


def bytes_of(messages: Sequence[Message]) -> list[str]:
    """Hexadecimal."""
    return [message.to_bytes().hex() for message in messages]
