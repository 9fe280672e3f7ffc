"""Parties as actors around their real state machines.

A party's disk holds what it stored before it sent anything; a kill takes the rest, and a restarted party knows its disk
alone.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, TypeVar

from packets import HUB, LAST_PART, Packet, named
from privateyes.aggregation.aggregator import Aggregator
from privateyes.aggregation.client import Client, SubmissionSecrets
from privateyes.aggregation.manifest import Manifest
from privateyes.aggregation.memory import AggregatorMemory, ClientMemory
from privateyes.aggregation.messages import Delivery
from privateyes.aggregation.setup import AggregatorSetup, ClientSetup
from privateyes.aggregation.snapshot import dump_agreed, dump_committed, load_agreed, load_committed
from privateyes.aggregation.states import Agreed, Announced, Committed, Opened, Voted
from privateyes.errors import DeliveryError, MalformedError, PrivateyesError, RefusedError

ROUNDING = bytes([7]) * 32
"""Every client's key of the rounding stream, so that what an update encodes to is known."""

Setup = TypeVar("Setup", AggregatorSetup, ClientSetup)


class Killed(Exception):  # noqa: N818 - nothing went wrong
    """The process died here."""


class Actor:
    """A party: its disk, what dies with the process, and when it is to die."""

    def __init__(self, name: str, manifest: Manifest, memory: bytes) -> None:
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

    def begun(self, setup: Setup | None) -> Setup:
        """Its set-up of the next epoch, which the hub must have asked for before."""
        if setup is None:
            raise RefusedError(f"{self.name} sets up no epoch")
        return setup


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
        if packet.step in LAST_PART:
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
        step = self.own.announce(self.memory, *named(packet.parts))
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
        return [self.own.closing(self.memory, *named(packet.parts)).to_bytes()]

    def repeat(self) -> list[Packet]:
        """Send the stored words again: the answer to a hub that did not get them."""
        names = [name for name in ("commit", "agree", "open", "certify") if f"word {name}" in self.disk]
        return [Packet(self.name, HUB, name, (self.disk[f"word {name}"],)) for name in names]

    # Set-up

    def do_key(self, packet: Packet) -> list[bytes]:
        own = self.own
        self.setup = AggregatorSetup(own.manifest, own.number, own.identity, named(packet.parts)[0], self.memory)
        return [self.setup.key().to_bytes()]

    def do_stream(self, packet: Packet) -> None:
        for message in packet.messages(self.manifest):
            self.begun(self.setup).receive(message)

    def do_start(self, packet: Packet) -> None:
        memory = self.begun(self.setup).start(self.memory)
        self.write("start", {"memory": memory.to_bytes()})
        self.memory, self.setup = memory, None


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
        return [message.to_bytes() for message in self.begun(self.setup).lead(keys, secrets.token_bytes(32))]

    def do_group(self, packet: Packet) -> None:
        for message in packet.messages(self.manifest):
            self.begun(self.setup).receive_group_key(message)

    def do_start(self, packet: Packet) -> None:
        self.keep("start", self.begun(self.setup).start(self.memory))
        self.setup = None
