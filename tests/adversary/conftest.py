"""The network between the parties, which belongs to the adversary.

Every party is an actor around its real state machine. What passes between two actors is a Packet of bytes, which the
receiver parses with its own manifest. A party's disk holds what it stored before it sent anything; a kill takes the
rest, and a restarted party knows its disk alone. The adversary sees every packet before it arrives and says what
arrives instead: nothing, something later, something altered, an old packet, somebody else's. The hub and the corrupt
parties are the adversary's: by default they play their part, and a test changes what it likes of them. It can sign
with corrupt parties' keys only.
"""

from __future__ import annotations

import hashlib
import secrets
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import pytest

from privateyes.aggregation import aggregator, hub, result
from privateyes.aggregation.aggregator import Aggregator
from privateyes.aggregation.challenge import TensorChallenge
from privateyes.aggregation.client import Client, SubmissionSecrets
from privateyes.aggregation.functionality import IdealInput, aggregate
from privateyes.aggregation.keys import GroupKey, session_id, setup_id
from privateyes.aggregation.memory import AggregatorMemory, ClientMemory
from privateyes.aggregation.messages import (
    VOID,
    AggregatorKey,
    Agreement,
    Announcement,
    ClientKey,
    Closing,
    Complaint,
    Delivery,
    Disclosure,
    Header,
    HubCommitment,
    HubSum,
    Opening,
    ResultSignature,
    RosterCommitment,
    SealedGroupKey,
    SealedStreamKey,
    Signed,
    Submission,
    Vote,
)
from privateyes.aggregation.roster import result_digest, roster_digest, transcript_digest
from privateyes.aggregation.setup import AggregatorSetup, ClientSetup
from privateyes.aggregation.snapshot import dump_agreed, dump_committed, load_agreed, load_committed
from privateyes.aggregation.states import Agreed, Announced, Committed, Opened, Voted
from privateyes.crypto.commitment import commit_to_sum, commit_to_vector, merkle_root
from privateyes.crypto.field import COMPACT, WIDE
from privateyes.crypto.labels import Label, Role
from privateyes.crypto.streams import ElementStream, scratch_words
from privateyes.errors import DeliveryError, MalformedError, PrivateyesError, RefusedError

HUB = "hub"
ROUNDING = bytes([7]) * 32

ANSWERS: dict[str, type[Any]] = {
    "announce": Announcement,
    "submit": Submission,
    "vote": Vote,
    "commit": RosterCommitment,
    "agree": Agreement,
    "open": Opening,
    "certify": ResultSignature,
    "closing": Closing,
    "check": Complaint,
    "disclose": Disclosure,
    "key": AggregatorKey,
    "seal": SealedStreamKey,
    "lead": SealedGroupKey,
}
"""What a party answers to the hub's request of that name."""

REQUESTS: dict[str, type[Any]] = {
    "submit": Announcement,
    "observe": Announcement,
    "vote": Header,
    "commit": Vote,
    "agree": RosterCommitment,
    "open": Agreement,
    "certify": Opening,
    "check": Delivery,
    "disclose": Delivery,
    "settle": Closing,
    "seal": AggregatorKey,
    "stream": SealedStreamKey,
    "lead": ClientKey,
    "group": SealedGroupKey,
}
"""What the hub's request of that name carries; the last part of "agree" and "certify" is the hub's own message."""

_LAST_PART: dict[str, type[Any]] = {"agree": HubCommitment, "certify": HubSum}


@dataclass(frozen=True, slots=True)
class Packet:
    """What is in flight: the hub's request to a party, or a party's answer to the hub."""

    sender: str
    receiver: str
    step: str
    parts: tuple[bytes, ...]

    def messages(self, manifest: Any) -> list[Any]:
        """The parts, parsed as strictly as the receiver does."""
        if self.receiver == HUB:
            kinds = [ANSWERS[self.step]] * len(self.parts)
            if self.step == "seal":
                kinds[-1] = ClientKey
        else:
            kinds = [REQUESTS[self.step]] * len(self.parts)
            if self.step in _LAST_PART and kinds:
                kinds[-1] = _LAST_PART[self.step]
        return [kind.from_bytes(part, manifest) for kind, part in zip(kinds, self.parts, strict=True)]


def naming(epoch: int, round_number: int, state_id: bytes) -> bytes:
    """A session as the hub names it in a request."""
    return epoch.to_bytes(8, "big") + round_number.to_bytes(8, "big") + state_id


def _named(parts: Sequence[bytes]) -> tuple[int, int, bytes]:
    if len(parts) != 1 or len(parts[0]) != 48:
        raise MalformedError("no name of a session")
    return int.from_bytes(parts[0][:8], "big"), int.from_bytes(parts[0][8:16], "big"), parts[0][16:]


class Killed(Exception):  # noqa: N818 - nothing went wrong
    """The process died here."""


class Actor:
    """A party: its disk, what dies with the process, and when it is to die."""

    def __init__(self, name: str, manifest: Any, memory: bytes) -> None:
        self.name, self.manifest = name, manifest
        self.disk: dict[str, bytes] = {"memory": memory}
        self.dies_at: tuple[str, str] | None = None
        self.failure: PrivateyesError | None = None
        self.restart()

    def restart(self) -> None:
        """Start anew from the disk."""
        raise NotImplementedError

    def reach(self, step: str, moment: str) -> None:
        """Die here if that is the plan."""
        if self.dies_at == (step, moment):
            self.dies_at = None
            raise Killed

    def receive(self, packet: Packet) -> list[Packet]:
        """Do what the hub asks; the answers."""
        handler: Callable[[Packet], Sequence[bytes] | None] | None = getattr(self, f"do_{packet.step}", None)
        if handler is None or packet.receiver != self.name:
            raise MalformedError(f"{self.name} knows no {packet.step}")
        answer = handler(packet)
        return [] if answer is None else [Packet(self.name, HUB, packet.step, tuple(answer))]

    def write(self, step: str, stored: dict[str, bytes]) -> None:
        """Put all of it on disk, or die before or after."""
        self.reach(step, "computed")
        self.disk |= stored
        self.reach(step, "stored")


class AggregatorActor(Actor):
    """An aggregator and its store: memory, and from COMMIT on the session's share, salt and transcript."""

    takes: ClassVar = {"vote": Announced, "commit": Voted, "agree": Committed, "open": Agreed, "certify": Opened}

    def __init__(self, own: Aggregator, memory: bytes) -> None:
        self.own = own
        super().__init__(f"aggregator {own.number}", own.manifest, memory)

    def restart(self) -> None:
        self.memory = AggregatorMemory.from_bytes(self.disk["memory"]) if self.disk["memory"] else None
        self.setup: AggregatorSetup | None = None
        self.state: Any = None
        if "committed" in self.disk:
            self.state = load_committed(self.disk["committed"], self.own.number, self.manifest)
        if "agreed" in self.disk:
            self.state = load_agreed(self.disk["agreed"], self.state, self.manifest)

    def _take(self, packet: Packet, *more: Any) -> list[bytes]:
        """One transition. One that raises ends the session here: nothing of it stays, on disk either."""
        messages = packet.messages(self.manifest)
        state = self.state
        if not isinstance(state, self.takes[packet.step]):
            raise RefusedError(f"{self.name} is not at {packet.step}")
        if packet.step in _LAST_PART:
            messages, more = messages[:-1], (*messages[-1:], *more)
            if not more:
                raise MalformedError("the hub's own message is missing")
        leading = () if packet.step == "certify" else (self.memory,)
        try:
            step = getattr(self.own, packet.step)(*leading, state, messages, *more)
        except PrivateyesError:
            self.state = None
            self.disk.pop("committed", None)
            self.disk.pop("agreed", None)
            raise
        return self._say(packet.step, step)

    def _say(self, name: str, step: Any) -> list[bytes]:
        stored = {} if step.memory is None else {"memory": step.memory.to_bytes()}
        if name == "commit":
            stored["committed"] = dump_committed(step.state)
        if name == "agree":
            stored["agreed"] = dump_agreed(step.state)
        word = step.message.to_bytes()
        if name in ("commit", "agree", "open", "certify"):
            stored[f"word {name}"] = word
        self.write(name, stored)
        self.state, self.memory = step.state, step.memory or self.memory
        return [word]

    def do_announce(self, packet: Packet) -> list[bytes]:
        step = self.own.announce(self.memory, *_named(packet.parts))
        self.reach("announce", "computed")
        self.disk = {"memory": step.memory.to_bytes()}  # the stages of the closed session go in the same write
        return self._say("announce", step)

    def do_vote(self, packet: Packet) -> list[bytes]:
        return self._take(packet)

    def do_commit(self, packet: Packet) -> list[bytes]:
        return self._take(packet, secrets.token_bytes(32))

    def do_agree(self, packet: Packet) -> list[bytes]:
        return self._take(packet)

    def do_open(self, packet: Packet) -> list[bytes]:
        return self._take(packet)

    def do_certify(self, packet: Packet) -> list[bytes]:
        return self._take(packet)

    def do_closing(self, packet: Packet) -> list[bytes]:
        return [self.own.closing(self.memory, *_named(packet.parts)).to_bytes()]

    def repeat(self) -> list[Packet]:
        """Send the stored words again: the answer to a hub that did not get them."""
        names = [name for name in ("commit", "agree", "open", "certify") if f"word {name}" in self.disk]
        return [Packet(self.name, HUB, name, (self.disk[f"word {name}"],)) for name in names]

    # Set-up

    def do_key(self, packet: Packet) -> list[bytes]:
        own = self.own
        self.setup = AggregatorSetup(own.manifest, own.number, own.identity, _named(packet.parts)[0], self.memory)
        return [self.setup.key().to_bytes()]

    def do_stream(self, packet: Packet) -> None:
        for message in packet.messages(self.manifest):
            self._in_setup().receive(message)

    def do_start(self, packet: Packet) -> None:
        memory = self._in_setup().start(self.memory)
        self.write("start", {"memory": memory.to_bytes()})
        self.memory, self.setup = memory, None

    def _in_setup(self) -> AggregatorSetup:
        if self.setup is None:
            raise RefusedError(f"{self.name} sets up no epoch")
        return self.setup


class ClientActor(Actor):
    """A client, its store, and the trainer beside it, which always has an update."""

    def __init__(self, own: Client, memory: bytes) -> None:
        self.own = own
        self.nonce = b""  # fresh at every submission, unless a test wants it otherwise
        self.delta: Any = None
        self.clips: Any = None
        self.weight = own.number + 1
        self.accepted: list[Any] = []
        self.verified: list[tuple[Any, Delivery]] = []  # accepted, or about to be when the process died
        super().__init__(f"client {own.number}", own.manifest, memory)

    def restart(self) -> None:
        self.memory = ClientMemory.from_bytes(self.disk["memory"])
        self.setup: ClientSetup | None = None

    def keep(self, step: str, memory: ClientMemory) -> None:
        """Store first, then know."""
        self.write(step, {"memory": memory.to_bytes()})
        self.memory = memory

    def do_observe(self, packet: Packet) -> None:
        self.keep("observe", self.own.observe(self.memory, packet.messages(self.manifest)))

    def do_submit(self, packet: Packet) -> list[bytes] | None:
        fresh = SubmissionSecrets(self.nonce or secrets.token_bytes(32), ROUNDING)
        announcements = packet.messages(self.manifest)
        try:
            done = self.own.submit(self.memory, announcements, self.delta, self.weight, fresh, self.clips)
        except RefusedError as refusal:  # it still follows the round, if it can
            self.keep("submit", self.own.observe(self.memory, announcements))
            self.failure = refusal
            return None
        self.keep("submit", done.memory)
        return [done.submission.to_bytes()]

    def do_settle(self, packet: Packet) -> None:
        self.keep("settle", self.own.settle(self.memory, packet.messages(self.manifest)))

    def do_check(self, packet: Packet) -> list[bytes] | None:
        """Check, move to the next state, store it; then the average is accepted."""
        messages = packet.messages(self.manifest)
        if len(messages) != 1:
            raise MalformedError("not one delivery")
        try:
            average = self.own.check(self.memory, messages[0], self.clips)
        except DeliveryError as error:
            self.failure = error
            return [self.own.complain(messages[0].sid, error.check).to_bytes()]
        self.verified.append((average, messages[0]))
        following = hashlib.sha256(self.memory.state_digest + average.sid + average.mean.tobytes()).digest()
        self.keep("check", self.memory.with_state(following, average.sid))
        self.accepted.append(average)
        return None

    def do_disclose(self, packet: Packet) -> list[bytes]:
        deliveries = packet.messages(self.manifest)
        return [self.own.disclose(self.memory, delivery).to_bytes() for delivery in deliveries]

    # Set-up

    def do_seal(self, packet: Packet) -> list[bytes]:
        keys, own = packet.messages(self.manifest), self.own
        if not keys:
            raise MalformedError("no keys")
        previous = self.memory
        setup = ClientSetup(own.manifest, own.number, own.identity, keys[0].epoch, previous.state_digest, previous)
        sealed = setup.seal_stream_keys(keys, [secrets.token_bytes(32) for _ in keys])
        self.setup = setup
        return [message.to_bytes() for message in (*sealed, setup.key())]

    def do_lead(self, packet: Packet) -> list[bytes]:
        keys = {message.client: message for message in packet.messages(self.manifest)}
        return [message.to_bytes() for message in self._in_setup().lead(keys, secrets.token_bytes(32))]

    def do_group(self, packet: Packet) -> None:
        for message in packet.messages(self.manifest):
            self._in_setup().receive_group_key(message)

    def do_start(self, packet: Packet) -> None:
        self.keep("start", self._in_setup().start(self.memory))
        self.setup = None

    def _in_setup(self) -> ClientSetup:
        if self.setup is None:
            raise RefusedError(f"{self.name} sets up no epoch")
        return self.setup


class HubActor:
    """The relay: asks everyone for the next step as soon as it has what that takes. ``shift`` is what a corrupt one
    adds to C before it commits to it.
    """

    name = HUB

    def __init__(self, manifest: Any) -> None:
        self.manifest = manifest
        self.aggregators = [f"aggregator {s}" for s in range(1, len(manifest.aggregators) + 1)]
        self.clients = [f"client {i}" for i in range(1, len(manifest.clients) + 1)]
        self.submitters: set[str] = set()
        self.shift: Callable[[Any], Any] = lambda share: share
        self.got: dict[str, dict[str, tuple[bytes, ...]]] = defaultdict(dict)

    def ask(self, everyone: Iterable[str], step: str, parts: Iterable[bytes]) -> list[Packet]:
        """One request to each."""
        return [Packet(HUB, name, step, tuple(parts)) for name in everyone]

    def announce(self, session: bytes, submitters: Iterable[str]) -> list[Packet]:
        """Start a round."""
        self.got.clear()
        self.submitters = set(submitters)
        return self.ask(self.aggregators, "announce", [session])

    def receive(self, packet: Packet) -> list[Packet]:
        """Keep an answer; the requests that it makes possible."""
        packet.messages(self.manifest)  # a hub refuses what no party could parse
        self.got[packet.step][packet.sender] = packet.parts
        expected = len(self.submitters if packet.step == "submit" else self.aggregators)
        following = getattr(self, f"_after_{packet.step}", None)
        return following() if following and len(self.got[packet.step]) == expected else []

    def words(self, step: str) -> list[bytes]:
        """Every aggregator's answer, in order."""
        return [self.got[step][name][0] for name in self.aggregators if name in self.got[step]]

    def _parsed(self, step: str) -> list[Any]:
        return [ANSWERS[step].from_bytes(word, self.manifest) for word in self.words(step)]

    def _after_announce(self) -> list[Packet]:
        words = self.words("announce")
        watching = [name for name in self.clients if name not in self.submitters]
        return self.ask(sorted(self.submitters), "submit", words) + self.ask(watching, "observe", words)

    def _after_submit(self) -> list[Packet]:
        return self.close_submissions()

    def close_submissions(self) -> list[Packet]:
        """Form the roster of those who came."""
        self.submissions = {}
        for parts in self.got["submit"].values():
            submission = Submission.from_bytes(parts[0], self.manifest)
            self.submissions[hub.require_intact(submission).client] = submission
        self.submitters = set(self.got["submit"])
        headers = [submission.header.to_bytes() for _, submission in sorted(self.submissions.items())]
        return self.ask(self.aggregators, "vote", headers)

    def _after_vote(self) -> list[Packet]:
        return self.ask(self.aggregators, "commit", self.words("vote"))

    def _after_commit(self) -> list[Packet]:
        votes = self._parsed("vote")
        self.entries = hub.choose_roster(self.manifest, votes)
        total, _ = hub.add_shares(self.manifest, votes[0].sid, self.entries, lambda i: self.submissions[i].share)
        self.total = replace(total, share=self.shift(total.share))
        self.commitment = HubCommitment(total.sid, commit_to_sum(total.sid, self.total.share))
        return self.ask(self.aggregators, "agree", [*self.words("commit"), self.commitment.to_bytes()])

    def _after_agree(self) -> list[Packet]:
        return self.ask(self.aggregators, "open", self.words("agree"))

    def _after_open(self) -> list[Packet]:
        return self.ask(self.aggregators, "certify", [*self.words("open"), self.total.to_bytes()])

    def _after_certify(self) -> list[Packet]:
        group_check = self.submissions[self.entries[0][0]].header.group_check
        self.delivery = hub.deliver(
            self.manifest,
            group_check,
            self.entries,
            (self.commitment, self._parsed("commit")),
            (self.total, self._parsed("open")),
            self._parsed("certify"),
        )
        return self.ask(self.clients, "check", [self.delivery.to_bytes()])

    def _after_closing(self) -> list[Packet]:
        words = self.words("closing")
        self.got["closing"].clear()
        return self.ask(self.clients, "settle", words)

    # Set-up

    def _after_key(self) -> list[Packet]:
        return self.ask(self.clients, "seal", self.words("key"))

    def set_up(self) -> list[Packet]:
        """Pass on what the clients sealed, once all have."""
        packets, sealed = [], self.got["seal"]
        for name in self.clients:
            parts = zip(self.aggregators, sealed[name][:-1], strict=True)
            packets += [Packet(HUB, receiver, "stream", (part,)) for receiver, part in parts]
        leader = self.clients[self.manifest.leader - 1]
        return [*packets, Packet(HUB, leader, "lead", tuple(sealed[name][-1] for name in self.clients))]

    def hand_out_group_keys(self) -> list[Packet]:
        """Pass on what the leader sealed, and start."""
        leader = self.clients[self.manifest.leader - 1]
        parts = self.got["lead"][leader]
        packets = [Packet(HUB, name, "group", (part,)) for name, part in zip(self.clients, parts, strict=True)]
        return packets + self.ask([*self.aggregators, *self.clients], "start", [])


@dataclass(frozen=True, slots=True)
class Failure:
    """An error that ended what a party was doing."""

    party: str
    step: str
    error: PrivateyesError


class Adversary:
    """Sees every packet before it arrives and says what arrives instead; by default the packet itself."""

    def __init__(self) -> None:
        self.seen: list[Packet] = []
        self._rules: list[tuple[str, str, str, Callable[[Packet], Iterable[Packet] | Packet | None]]] = []

    def on(
        self, step: str, act: Callable[[Packet], Iterable[Packet] | Packet | None], sender: str = "", receiver: str = ""
    ) -> None:
        """Act on packets of a step; the first rule that fits decides."""
        self._rules.append((step, sender, receiver, act))

    def decide(self, packet: Packet) -> Iterable[Packet]:
        """What arrives instead of this packet."""
        self.seen.append(packet)
        for step, sender, receiver, act in self._rules:
            if step == packet.step and sender in ("", packet.sender) and receiver in ("", packet.receiver):
                decided = act(packet)
                return [] if decided is None else [decided] if isinstance(decided, Packet) else decided
        return [packet]


class Network:
    """The parties of one task around an adversary that holds the hub, n - 1 aggregators and perhaps the last client.

    Args:
        world: gives manifest and keys; its parties' memories go to the actors' disks.
        honest: the one honest aggregator.
        corrupt_clients: whose keys and memories the adversary has.
    """

    def __init__(self, world: Any, memories: dict[str, bytes], honest: int, corrupt_clients: Sequence[int]) -> None:
        self.world, self.manifest, self.field, self.prime = world, world.manifest, world.field, world.prime
        self.n, self.m, self.d = world.n, world.m, world.d
        self.honest, self.liars = honest, [s for s in range(1, world.n + 1) if s != honest]
        self.corrupt_clients = tuple(corrupt_clients)
        self.honest_clients = [i for i in range(1, world.m + 1) if i not in corrupt_clients]
        self.corrupt = {HUB, *(f"aggregator {s}" for s in self.liars), *(f"client {i}" for i in corrupt_clients)}
        self.hub, self.adversary = HubActor(world.manifest), Adversary()
        self.aggregators = {s: AggregatorActor(own, memories[f"a{s}"]) for s, own in world.aggregators.items()}
        self.clients = {i: ClientActor(own, memories[f"c{i}"]) for i, own in world.clients.items()}
        self.actors: dict[str, Any] = {HUB: self.hub}
        self.actors |= {actor.name: actor for actor in (*self.aggregators.values(), *self.clients.values())}
        for i, actor in self.clients.items():
            actor.delta = world.delta(i)
        self.epoch, self.round, self.next_round = 1, -1, 0
        self.sid = self.state_id = b""
        self.announced: list[bytes] = []  # every session that was ever asked for, as a request names it
        self.flight: list[Packet] = []
        self.failures: list[Failure] = []
        self.said: list[tuple[str, Any]] = []
        """What honest parties and corrupt ones alike really sent, in order."""
        self.kept: dict[int, AggregatorMemory] = {}
        """What corrupt aggregators should have erased: their memories at the announcement."""
        self.inputs: dict[bytes, dict[int, Any]] = defaultdict(dict)
        self.submitted_from: dict[tuple[int, bytes], list[bytes]] = defaultdict(list)

    # Running

    def announce(self, *submitters: int, round_number: int | None = None) -> None:
        """Put the next round's announcement in flight; everybody submits unless named."""
        self.round = self.next_round if round_number is None else round_number
        self.next_round = self.round + 1
        memory = self.clients[self.honest_clients[0]].memory
        self.state_id = memory.group.state_id(memory.state_digest)
        self.sid = session_id(setup_id(self.manifest.digest(), self.epoch), self.round, self.state_id)
        names = [f"client {i}" for i in submitters or self.clients]
        self.announced.append(naming(self.epoch, self.round, self.state_id))
        self.flight += self.hub.announce(self.announced[-1], names)

    def play(self, *submitters: int, until: str = "") -> None:
        """One round, or the part of it before the hub's requests for a step, which then stay in flight."""
        self.announce(*submitters)
        self.run(until)

    def run(self, until: str = "") -> None:
        """Let everything arrive that is in flight or follows from it, but no request for the step ``until``."""
        while True:
            index = next((k for k, packet in enumerate(self.flight) if not self._held(packet, until)), None)
            if index is not None:
                self.carry(self.flight.pop(index))
            elif not self._submissions_time_out(until):
                return

    @staticmethod
    def _held(packet: Packet, until: str) -> bool:
        return packet.sender == HUB and packet.step == until

    def _submissions_time_out(self, until: str) -> bool:
        came = self.hub.got["submit"]
        waiting = came and set(came) != self.hub.submitters and "vote" not in self.hub.got
        if not waiting:
            return False
        self.flight += self.hub.close_submissions()
        return True

    def carry(self, packet: Packet) -> None:
        """One packet passes the adversary and arrives as it likes."""
        for decided in self.adversary.decide(packet):
            self.deliver(decided)

    def deliver(self, packet: Packet) -> list[Packet]:
        """Bypass the adversary: the packet arrives. Returns the answers, which are in flight then."""
        actor = self.actors.get(packet.receiver)
        if actor is None:
            return []
        try:
            answers: list[Packet] = actor.receive(packet)
        except PrivateyesError as error:
            self.failures.append(Failure(packet.receiver, packet.step, error))
            return []
        except Killed:
            actor.restart()
            return []
        except (LookupError, AttributeError, TypeError, ValueError, ArithmeticError) as error:
            if actor is self.hub:  # the script may be at a loss; a party may not
                return []
            raise AssertionError(f"{packet.receiver} let {error!r} escape at {packet.step}") from error
        if actor is self.hub:
            self.flight += answers
            return answers
        if actor.failure is not None:
            self.failures.append(Failure(packet.receiver, packet.step, actor.failure))
            actor.failure = None
        for answer in answers:
            self._note(actor, answer)
        self.flight += answers
        if actor.dies_at == (packet.step, "sent"):
            actor.dies_at = None
            actor.restart()
        return answers

    def _note(self, actor: Any, answer: Packet) -> None:
        for message in answer.messages(self.manifest):
            self.said.append((actor.name, message))
            if isinstance(message, Announcement) and actor.name in self.corrupt:
                self.kept[actor.own.number] = actor.memory
            if isinstance(message, Submission):
                sid, number = message.header.sid, actor.own.number
                self.inputs[sid][number] = self.input_of(number)
                self.submitted_from[number, actor.memory.state_digest].append(sid)

    def input_of(self, client: int) -> Any:
        """The ideal input that a client's update encodes to."""
        actor = self.clients[client]
        return IdealInput(self.world.encoded(actor.delta, actor.weight, ROUNDING), actor.weight)

    def ask(self, receiver: str, step: str, *parts: Any) -> list[Any]:
        """The corrupt hub asks one party something on its own account; the answer goes to the adversary alone."""
        data = tuple(part if isinstance(part, bytes) else part.to_bytes() for part in parts)
        answers = self.deliver(Packet(HUB, receiver, step, data))
        for answer in answers:
            self.flight.remove(answer)
        return [message for answer in answers for message in answer.messages(self.manifest)]

    def kill(self, name: str, step: str = "", moment: str = "") -> None:
        """Kill and restart a party now, or when it next reaches a moment of a step."""
        if step:
            self.actors[name].dies_at = (step, moment)
        else:
            self.actors[name].restart()

    def repeat(self, name: str) -> None:
        """The hub asks a restarted aggregator for the stored words that it did not get."""
        actor = self.actors[name]
        for lost in actor.repeat():
            if name not in self.hub.got[lost.step]:
                self._note(actor, lost)
                self.flight.append(lost)

    def void(self, session: bytes, until: str = "") -> None:
        """The hub asks everyone how an earlier session ended, and shows the answers to the clients."""
        self.flight += self.hub.ask(self.hub.aggregators, "closing", [session])
        self.run(until)

    def play_again(self) -> None:
        """What an honest hub does after a session that did not end: the next round, and the word on the last before
        anybody submits.
        """
        earlier = self.announced[-1:]
        self.announce()
        self.run(until="submit")
        for session in earlier:
            self.void(session, until="submit")
        self.run()

    def set_up(self) -> None:
        """A new epoch over the network."""
        self.epoch, self.next_round = self.epoch + 1, 0
        self.hub.got.clear()
        self.flight += self.hub.ask(self.hub.aggregators, "key", [naming(self.epoch, 0, bytes(32))])
        self.run()
        self.flight += self.hub.set_up()
        self.run()
        self.flight += self.hub.hand_out_group_keys()
        self.run()

    def swap_honest_actor(self, kind: type[AggregatorActor]) -> None:
        """Put a test double in the honest aggregator's place."""
        old = self.aggregators[self.honest]
        self.aggregators[self.honest] = self.actors[old.name] = kind(old.own, old.disk["memory"])

    # What the adversary does with its own parties

    def replace(self, aggregator: int, kind: Callable[..., Any]) -> None:
        """Let a corrupt aggregator run other code."""
        assert aggregator in self.liars
        actor = self.aggregators[aggregator]
        actor.own = kind(self.manifest, aggregator, actor.own.identity)

    def sign(self, message: Any, context: bytes | None = None) -> Any:
        """A statement signed with a corrupt party's key."""
        if message.role == Role.AGGREGATOR:
            actor: Any = self.aggregators[message.aggregator]
        else:
            actor = self.clients[message.client]
        assert actor.name in self.corrupt, "the adversary does not have this key"
        return message.signed_by(actor.own.identity, self.sid if context is None else context)

    @property
    def group(self) -> GroupKey:
        """The group key, which the adversary has from its client."""
        group: GroupKey = self.clients[self.corrupt_clients[0]].memory.group
        return group

    def matching(self, changes: dict[int, int], session_key: bytes = b"") -> dict[int, int]:
        """Changes to a share, and what they do to the tags: takes K_sid, which follows from the group key."""
        shift = self.field.zeros(self.d + 1)
        for position, amount in changes.items():
            shift[position] = amount % self.prime
        key = session_key or self.group.session_key(self.sid)
        accumulator = TensorChallenge(self.field, self.d + 1, key, self.sid).accumulator()
        accumulator.update(shift)
        tags = accumulator.tags(pads=0).tolist()
        return {**changes, **dict(enumerate(tags, start=self.d + 1))}

    def shifted(self, share: Any, changes: dict[int, int]) -> Any:
        """A copy of a share with amounts added to single elements."""
        return self.world.shifted(share, changes)

    def add(self, *shares: Any) -> Any:
        """The sum of shares in the field."""
        total = sum(np.asarray(share).astype(object) for share in shares) % self.prime
        return total.astype(self.field.dtype)

    def unmasked(self, share: Any, masks: int, group: Any = None, sid: bytes = b"") -> Any:
        """A share's coordinates without the given number of masks, (d + 1,): takes the group key."""
        sid = sid or self.sid
        body, labels = np.array(share[: self.d + 1]), (Label.MASK, Label.MASK_TAIL)
        key, scratch = (group or self.group).session_key(sid), scratch_words(self.field)
        ElementStream(self.field, key, labels, Role.ALL, sid, scratch=scratch).subtract_from(body, masks)
        return body

    def read(self, share: Any, masks: int, group: Any = None, sid: bytes = b"") -> list[int]:
        """What stands in a sum whose streams cancelled, (d + 1,) signed integers: takes the group key."""
        body = self.unmasked(share, masks, group, sid).tolist()
        return [value - self.prime if value > self.prime // 2 else value for value in body]

    def altered(self, packet: Packet, number: int, change: Callable[[Any], Any]) -> Packet:
        """A packet with one message of it changed; corrupt senders sign again, honest ones' words stay as they are."""
        messages = packet.messages(self.manifest)
        messages[number] = change(messages[number])
        return replace(packet, parts=tuple(message.to_bytes() for message in messages))

    def shift_before_commit(self, changes: Callable[[], dict[int, int]]) -> None:
        """The last corrupt aggregator adds something to its share before it commits."""
        network = self

        class Shifting(Aggregator):
            def _regenerate(self, memory: Any, sid: bytes, headers: Any) -> Any:
                share, spent = Aggregator._regenerate(self, memory, sid, headers)
                return network.shifted(share, changes()), spent

        self.replace(self.liars[-1], Shifting)

    def shift_opening(self, change: Callable[[Any, Any], Any]) -> None:
        """Before "certify": the last corrupt aggregator opens another share, which may depend on the sum of all."""
        name = f"aggregator {self.liars[-1]}"
        opening = Opening.from_bytes(self.hub.got["open"][name][0], self.manifest)
        everything = [Opening.from_bytes(word, self.manifest).share for word in self.hub.words("open")]
        changed = replace(opening, share=change(opening.share, self.add(self.hub.total.share, *everything)))
        self.hub.got["open"][name] = (self.sign(changed).to_bytes(),)
        self.flight = self.hub._after_open()

    def solo(self, *roster: int) -> Solo:
        """Leave the scripted hub aside after the submissions: the adversary plays everybody against the honest one."""
        self.flight.clear()
        return Solo(self, roster)

    # What came of it

    def errors_of(self, name: str) -> list[PrivateyesError]:
        """Everything that a party stopped at."""
        return [failure.error for failure in self.failures if failure.party == name]

    def refusal_of(self, name: str) -> PrivateyesError:
        """The last error that a party stopped at."""
        return self.errors_of(name)[-1]

    def honest_errors(self) -> list[PrivateyesError]:
        """The last error of the honest aggregator, in a list; empty if it went through."""
        return self.errors_of(f"aggregator {self.honest}")[-1:]

    def words_of(self, name: str, kind: type[Any]) -> list[Any]:
        """What a party really said."""
        return [message for who, message in self.said if who == name and isinstance(message, kind)]

    def honest_word(self, kind: type[Any]) -> list[Any]:
        """What the honest aggregator really said."""
        return self.words_of(f"aggregator {self.honest}", kind)

    def nobody_accepted(self) -> bool:
        """Whether no honest client took any average."""
        return not any(self.clients[i].accepted for i in self.honest_clients)

    def ideal(self, *roster: int, shift: Sequence[int] | None = None) -> Any:
        """What the ideal functionality gives for the current session."""
        inputs = self.inputs[self.sid]
        return aggregate(inputs, roster or tuple(inputs), self.manifest.roster_min, shift)

    def mean_of(self, output: Any) -> Any:
        """The decoded average of an ideal output."""
        return self.world.mean_of(output)

    def every_honest_client_accepted(self, expected: Any) -> bool:
        """Whether all honest clients' last average is the given ideal output."""
        last = [self.clients[i].accepted[-1:] for i in self.honest_clients]
        mean, weight = self.mean_of(expected), expected.total_weight
        return all(one and np.array_equal(one[0].mean, mean) and one[0].total_weight == weight for one in last)

    # The ideal functionality's judgement on everything that happened

    def require_sound(self) -> None:
        """No honest party said two things about one session, opened what it called void, or accepted a wrong sum."""
        self._require_one_word_of_each()
        self._require_no_second_submission()
        for i in self.honest_clients:
            for average, delivery in self.clients[i].verified:
                self._require_right_sum(average)
                self._require_fixed_before_opening(delivery)

    def _require_one_word_of_each(self) -> None:
        words = self.honest_word(Signed)
        for kind in (RosterCommitment, Agreement, Opening, ResultSignature, Closing):
            by_sid = defaultdict(set)
            for message in words:
                if isinstance(message, kind):
                    by_sid[message.sid].add(message.to_bytes())
            assert all(len(found) == 1 for found in by_sid.values()), f"two different {kind.__name__} for one session"
        announced = [(m.epoch, m.round, m.state_id) for m in words if isinstance(m, Announcement)]
        assert len({subject[:2] for subject in announced}) == len(set(announced)), "two announcements of one round"
        opened = {message.sid for message in words if isinstance(message, Opening)}
        void = {message.sid for message in words if isinstance(message, Closing) and message.outcome == VOID}
        assert not opened & void, "opened a session that it called void"
        self._require_no_early_disclosure()

    def _require_no_early_disclosure(self) -> None:
        signed: set[bytes] = set()
        for name, message in self.said:
            if isinstance(message, ResultSignature) and message.aggregator == self.honest:
                signed.add(message.sid)
            if isinstance(message, Disclosure) and name not in self.corrupt:
                assert message.sid in signed, "disclosed the key of a session whose result is not signed"

    def _require_no_second_submission(self) -> None:
        void = {message.sid for message in self.honest_word(Closing) if message.outcome == VOID}
        for (client, _), sids in self.submitted_from.items():
            if client in self.honest_clients:
                assert len(set(sids)) == len(sids), "two submissions to one session"
                assert set(sids[:-1]) <= void, (
                    "a second submission from one state without the honest word that it is void"
                )

    def _require_right_sum(self, average: Any) -> None:
        inputs, honest = self.inputs[average.sid], set(average.roster) - set(self.corrupt_clients)
        assert honest <= set(inputs), "somebody is counted who did not submit"
        assert len(average.roster) >= self.manifest.roster_min, "too few are counted"
        if not self.corrupt_clients:
            expected = aggregate(inputs, average.roster, self.manifest.roster_min)
            assert average.total_weight == expected.total_weight, "a wrong total weight was accepted"
            assert np.array_equal(average.mean, self.mean_of(expected)), "a wrong sum was accepted"

    def _require_fixed_before_opening(self, delivery: Delivery) -> None:
        """The accepted sum stood in the T that the honest aggregator signed before it opened: any shift was blind."""
        rho = roster_digest(delivery.sid, delivery.group_check, delivery.roster)
        transcript = transcript_digest(delivery.sid, rho, delivery.commitments)
        words = [message for message in self.honest_word(Signed) if getattr(message, "sid", None) == delivery.sid]
        spoken = [message for message in words if isinstance(message, Agreement | Opening)]
        assert isinstance(spoken[0], Agreement), "opened before it had signed T"
        assert spoken[0].transcript == transcript, "accepted what is not in the signed T"
        result = result_digest(delivery.sid, transcript, merkle_root(delivery.share), len(delivery.roster))
        assert {m.result for m in words if isinstance(m, ResultSignature)} == {result}, "accepted what is not signed"


class Solo:
    """The adversary plays the hub and every corrupt aggregator by hand against the honest one.

    Each step asks the honest aggregator and returns its word, or None where it refused. What the corrupt ones will say
    stands in attributes (entries, shares, salts, total) that a test changes before the step that uses them.
    """

    def __init__(self, network: Network, roster: Sequence[int]) -> None:
        self.network, self.sid = network, network.sid
        submissions = [network.hub.submissions[i] for i in roster]
        self.headers = [submission.header for submission in submissions]
        self.entries = tuple((header.client, header.hash()) for header in self.headers)
        self.total = network.add(*(submission.share for submission in submissions))
        self.shares = {
            s: Aggregator._regenerate(network.aggregators[s].own, network.kept[s], self.sid, self.headers)[0]
            for s in network.liars
        }
        self.salts = {s: secrets.token_bytes(32) for s in network.liars}
        self.name = f"aggregator {network.honest}"

    def _ask(self, step: str, messages: Sequence[Any]) -> Any:
        return next(iter(self.network.ask(self.name, step, *messages)), None)

    def _with_liars(self, word: Any, made: Callable[[int], Any]) -> list[Any]:
        words = {self.network.honest: word, **{s: self.network.sign(made(s)) for s in self.network.liars}}
        return [words[s] for s in sorted(words)]

    @property
    def rho(self) -> bytes:
        return roster_digest(self.sid, self.headers[0].group_check, self.entries)

    def vote(self) -> Any:
        self.vote_word = self._ask("vote", self.headers)
        return self.vote_word

    def commit(self) -> Any:
        votes = self._with_liars(self.vote_word, lambda s: Vote(self.sid, s, self.entries))
        self.commit_word = self._ask("commit", votes)
        return self.commit_word

    def commitments(self) -> list[Any]:
        """One of every aggregator."""

        def made(s: int) -> Any:
            digest = commit_to_vector(self.sid, self.rho, s, self.salts[s], self.shares[s])
            return RosterCommitment(self.sid, s, self.rho, digest)

        return self._with_liars(self.commit_word, made)

    @property
    def digests(self) -> tuple[bytes, ...]:
        return (commit_to_sum(self.sid, self.total), *(message.commitment for message in self.commitments()))

    @property
    def transcript(self) -> bytes:
        return transcript_digest(self.sid, self.rho, self.digests)

    def agree(self) -> Any:
        hub_commitment = HubCommitment(self.sid, commit_to_sum(self.sid, self.total))
        self.agree_word = self._ask("agree", [*self.commitments(), hub_commitment])
        return self.agree_word

    def open(self) -> Any:
        agreements = self._with_liars(self.agree_word, lambda s: Agreement(self.sid, s, self.transcript))
        self.open_word = self._ask("open", agreements)
        return self.open_word

    def certify(self) -> Any:
        openings = self._with_liars(self.open_word, lambda s: Opening(self.sid, s, self.salts[s], self.shares[s]))
        self.certify_word = self._ask("certify", [*openings, HubSum(self.sid, self.total)])
        return self.certify_word

    def sum(self) -> Any:
        """Z: C and all shares, as they would be opened now."""
        return self.network.add(self.total, self.open_word.share, *self.shares.values())

    def read(self) -> list[int]:
        """Y and W, with the group key of the corrupt client."""
        return self.network.read(self.sum(), len(self.entries))

    def force(self, coordinate: int, value: int) -> None:
        """Having seen the sum, choose a corrupt share that makes one of its coordinates what the adversary likes."""
        changes = self.network.matching({coordinate: value - self.read()[coordinate]})
        liar = self.network.liars[-1]
        self.shares[liar] = self.network.shifted(self.shares[liar], changes)

    def deliver(self) -> None:
        """Sign the result in the corrupt ones' names and hand it to every client."""
        total = self.sum()
        digest = result_digest(self.sid, self.transcript, merkle_root(total), len(self.entries))
        results = self._with_liars(self.certify_word, lambda s: ResultSignature(self.sid, s, digest))
        signatures = tuple(message.signature for message in results)
        check = self.headers[0].group_check
        delivery = Delivery(self.sid, check, self.entries, self.digests, signatures, total)
        self.network.flight += self.network.hub.ask(self.network.hub.clients, "check", [delivery.to_bytes()])
        self.network.run()

    def run(self, until: str = "") -> Any:
        """The steps before ``until``, or all; the last word."""
        word: Any = None
        for step in ("vote", "commit", "agree", "open", "certify"):
            if step == until:
                return word
            word = getattr(self, step)()
            if word is None:
                return None
        self.deliver()
        return word


class Forgetful(AggregatorActor):
    """A test double: an aggregator's store that loses, when the process dies, what it was told to keep.

    ``loses`` names parts of the disk; ``memory`` goes back to what it was at the announcement, and ``transcript`` is
    the T that the memory names.
    """

    loses: tuple[str, ...] = ()

    def do_announce(self, packet: Packet) -> list[bytes]:
        answer = super().do_announce(packet)
        self.at_announcement = self.disk["memory"]
        return answer

    def restart(self) -> None:
        if hasattr(self, "at_announcement"):
            for name in self.loses:
                self.disk.pop(name, None)
            if "memory" in self.loses:
                self.disk["memory"] = self.at_announcement
            if "transcript" in self.loses:
                memory = AggregatorMemory.from_bytes(self.disk["memory"])
                self.disk["memory"] = replace(memory, transcript=b"").to_bytes()
        super().restart()
        if "memory" in self.loses and self.memory.last_round >= 0:
            self.state = Announced(self.memory.last_sid)


@pytest.fixture(scope="session")
def make_network(make_world: Any) -> Callable[..., Network]:
    """Builds a network; its parties start from the stored memories of a set-up that is made once for each shape."""
    known: dict[Any, dict[str, bytes]] = {}

    def make(
        n: int = 3,
        field: Any = COMPACT,
        honest: int = 1,
        corrupt_clients: Sequence[int] = (4,),
        client_type: type[Client] = Client,
        aggregator_type: type[Aggregator] = Aggregator,
        actor_type: type[AggregatorActor] = AggregatorActor,
        **shape: Any,
    ) -> Network:
        shape = {"roster_min": 3, "corrupt_clients": 1, **shape}
        key = (n, field.name, *sorted(shape.items()))
        world = make_world(
            n=n, field=field, client_type=client_type, aggregator_type=aggregator_type, set_up=key not in known, **shape
        )
        if key not in known:
            known[key] = {f"a{s}": memory.to_bytes() for s, memory in world.aggregator_memories.items()}
            known[key] |= {f"c{i}": memory.to_bytes() for i, memory in world.client_memories.items()}
        network = Network(world, known[key], honest, corrupt_clients)
        if actor_type is not AggregatorActor:
            network.swap_honest_actor(actor_type)
        return network

    return make


CASES = [(2, COMPACT, 1), (2, WIDE, 2), (3, COMPACT, 3), (3, WIDE, 1), (5, COMPACT, 2)]
"""n, the field, and which aggregator is the honest one."""


@pytest.fixture(params=CASES, ids=lambda case: f"{case[0]}-{case[1].name}-honest{case[2]}")
def case(request: pytest.FixtureRequest) -> dict[str, Any]:
    """Arguments of make_network and, less the honest one, of make_world."""
    return dict(zip(("n", "field", "honest"), request.param, strict=True))


@pytest.fixture
def coalition(make_network: Callable[..., Network], case: dict[str, Any]) -> Network:
    """The adversary holds the hub, n - 1 aggregators and client 4."""
    return make_network(**case)


@pytest.fixture
def operators(make_network: Callable[..., Network], case: dict[str, Any]) -> Network:
    """The adversary holds the hub and n - 1 aggregators, and no client."""
    return make_network(**case, corrupt_clients=())


@pytest.fixture
def world(make_world: Any, case: dict[str, Any]) -> Any:
    """Four clients and two, three or five aggregators, driven step by step."""
    return make_world(n=case["n"], field=case["field"])


@pytest.fixture(scope="session")
def forgetful() -> type[Forgetful]:
    """The class of aggregators whose store forgets; see Forgetful."""
    return Forgetful


@pytest.fixture
def without_commitments(monkeypatch: pytest.MonkeyPatch) -> None:
    """A guard switched off: openings are not held against the commitments."""
    monkeypatch.setattr(aggregator, "require_committed", lambda *arguments: None)
    monkeypatch.setattr(hub, "require_committed", lambda *arguments: None)


@pytest.fixture
def without_result_signatures(monkeypatch: pytest.MonkeyPatch) -> None:
    """A guard switched off: clients do not look at the aggregators' signatures on a result."""
    monkeypatch.setattr(result, "require_signature", lambda *arguments: None)


@pytest.fixture
def without_pads(monkeypatch: pytest.MonkeyPatch) -> None:
    """A guard switched off: every v_l is zero."""
    made = TensorChallenge.accumulator

    def accumulator(challenge: TensorChallenge) -> Any:
        plain = made(challenge)
        plain._pads = np.zeros_like(plain._pads)
        return plain

    monkeypatch.setattr(TensorChallenge, "accumulator", accumulator)


@pytest.fixture(scope="session")
def aggregator_actor() -> type[AggregatorActor]:
    """The class of the aggregators around their state machines, for test doubles."""
    return AggregatorActor


@pytest.fixture(scope="session")
def client_actor() -> type[ClientActor]:
    """The class of the clients around their state machines, for test doubles."""
    return ClientActor
