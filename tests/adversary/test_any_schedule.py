"""Whatever the adversary does with what is in flight and with its own parties, the ideal functionality's promises hold.

Random schedules over the whole network: packets are dropped, delayed, reordered, replayed, altered, reflected and
replaced by different lies to different receivers; parties are killed; rounds, epochs and closings are asked for at any
time. The honest aggregator and the honest clients run the real state machines, which may raise nothing but errors of
the project's tree. After every schedule Network.require_sound judges everything that was said and accepted.
"""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace

import pytest

from privateyes.aggregation.messages import (
    VOID,
    Agreement,
    Announcement,
    Closing,
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
    Submission,
    Vote,
)
from privateyes.crypto.field import COMPACT, WIDE
from privateyes.errors import MalformedError, PrivateyesError

SHAPES = [(2, COMPACT, 1), (2, WIDE, 2), (3, COMPACT, 2), (3, WIDE, 3), (5, COMPACT, 4)]


class Chaos:
    """An adversary that rolls dice.

    Attributes:
        calm: how often a packet simply arrives; different in every schedule, so that some rounds end and some do not.
        haste: how often something that was held back arrives with another packet.
    """

    def __init__(self, network, seed: int) -> None:
        self.network, self.dice = network, random.Random(seed)
        self.calm = self.dice.choice([0.6, 0.9, 0.97, 0.99, 1.0])
        self.haste = self.dice.choice([0.3, 0.05, 0.005])
        self.late, self.seen = [], network.adversary.seen
        network.adversary = self
        self.names = [name for name in network.actors if name != "hub"]
        self.did = Counter()

    def decide(self, packet):
        self.seen.append(packet)
        decided = [packet] if self.dice.random() < self.calm else self._act(packet)
        if self.late and self.dice.random() < self.haste:
            decided = [*decided, self.late.pop(self.dice.randrange(len(self.late)))]
        return decided

    def _act(self, packet):
        act = self.dice.choice(["drop", "delay", "replay", "alter", "reflect", "lie", "lie", "lie", "kill", "arm"])
        self.did[act] += 1
        return getattr(self, f"_{act}")(packet)

    def _drop(self, packet):
        return []

    def _delay(self, packet):
        self.late.append(packet)
        return []

    def _replay(self, packet):
        old = self.dice.choice(self.seen)
        return [packet, old] if self.dice.random() < 0.5 else [old, packet, packet]

    def _alter(self, packet):
        parts = list(packet.parts)
        if parts:
            index = self.dice.randrange(len(parts))
            data = bytearray(parts[index])
            kind = self.dice.choice(["flip", "cut", "swap", "leave out", "twice", "foreign"])
            if kind == "flip" and data:
                data[self.dice.randrange(len(data))] ^= 1 << self.dice.randrange(8)
                parts[index] = bytes(data)
            elif kind == "cut":
                parts[index] = bytes(data[: self.dice.randrange(len(data) + 1)])
            elif kind == "swap":
                self.dice.shuffle(parts)
            elif kind == "leave out":
                parts.pop(index)
            elif kind == "twice":
                parts.append(parts[index])
            else:
                donor = self.dice.choice(self.seen)
                parts[index] = self.dice.choice(donor.parts) if donor.parts else parts[index]
        return [replace(packet, parts=tuple(parts))]

    def _reflect(self, packet):
        return [replace(packet, receiver=self.dice.choice(self.names), sender="hub")]

    def _lie(self, packet):
        """Corrupt parties say something else, properly signed, to this one receiver."""
        try:
            messages = packet.messages(self.network.manifest)
        except MalformedError:
            return [packet]
        told = [self._twisted(message) if self.dice.random() < 0.7 else message for message in messages]
        return [replace(packet, parts=tuple(message.to_bytes() for message in told))]

    def _kill(self, packet):
        self.network.kill(self.dice.choice(self.names))
        return [packet]

    def _arm(self, packet):
        rounds = ["announce", "vote", "commit", "agree", "open", "certify"]
        steps = [*rounds, "observe", "submit", "check", "settle", "start"]
        moment = self.dice.choice(["computed", "stored", "sent"])
        self.network.kill(self.dice.choice(self.names), self.dice.choice(steps), moment)
        return [packet]

    # Lies

    def _twisted(self, message):
        network = self.network
        speaker = getattr(message, "aggregator", None)
        client = getattr(message, "client", None)
        corrupt = speaker in network.liars or client in network.corrupt_clients
        if isinstance(message, SealedStreamKey | SealedGroupKey):
            return message
        if isinstance(message, Submission):
            corrupt = message.header.client in network.corrupt_clients
        unsigned = isinstance(message, HubCommitment | HubSum | Delivery)
        if not (corrupt or unsigned):
            return message
        changed = self._changed(message)
        if unsigned or isinstance(message, Submission):
            return changed
        setup = network.clients[network.honest_clients[0]].memory.group.setup
        context = changed.sid if hasattr(changed, "sid") else setup
        return network.sign(changed, context)

    def _changed(self, message):
        match message:
            case Announcement():
                return replace(
                    message, round=max(0, message.round + self.dice.choice([-1, 0, 1])), state_id=self._digest()
                )
            case Closing():
                return replace(message, outcome=VOID)
            case Header():
                name = self.dice.choice(["nonce", "group_check", "session_key_hash", "share_hash"])
                return replace(message, **{name: self._digest()})
            case Submission():
                header = self.network.sign(self._changed(message.header), message.header.sid)
                return replace(message, header=header)
            case Vote():
                kept = tuple(entry for entry in message.entries if self.dice.random() < 0.8)
                return replace(message, entries=kept)
            case RosterCommitment():
                return replace(message, **{self.dice.choice(["rho", "commitment"]): self._digest()})
            case HubCommitment():
                return replace(message, commitment=self._digest())
            case Agreement():
                return replace(message, transcript=self._digest())
            case ResultSignature():
                return replace(message, result=self._digest())
            case Opening() | HubSum():
                return replace(message, share=self._shifted(message.share))
            case Delivery():
                return self._changed_delivery(message)
            case _:
                return message

    def _changed_delivery(self, message):
        if self.dice.random() < 0.5:
            return replace(message, share=self._shifted(message.share))
        return replace(message, roster=message.roster[:-1])

    def _shifted(self, share):
        changes = {self.dice.randrange(self.network.d + 1): self.dice.choice([1, -1, 1000])}
        if self.network.corrupt_clients and self.dice.random() < 0.8:
            changes = self.network.matching(changes)
        return self.network.shifted(share, changes)

    def _digest(self) -> bytes:
        return self.dice.choice([bytes(32), self.dice.randbytes(32)])

    # What the hub does of its own accord

    def play(self, rounds: int = 3) -> None:
        network, dice = self.network, self.dice
        for _ in range(rounds):
            if dice.random() < 0.25:
                network.shift_before_commit(lambda: {0: 1})
            if dice.random() < 0.2:
                network.hub.shift = lambda share: self._shifted(share)
            submitters = [i for i in network.clients if dice.random() < 0.9]
            try:
                if dice.random() < 0.3:
                    network.set_up()
                    self._meddle()
                if dice.random() < 0.5:
                    network.play_again()
                else:
                    network.play(*submitters, until=dice.choice(["", "commit", "agree", "open", "certify", "check"]))
                    self.late += network.flight  # held back, to arrive whenever
                    network.flight.clear()
                self._meddle()
            except (PrivateyesError, LookupError, ValueError) as error:  # the hub's script, at a loss
                self.did[type(error).__name__] += 1

    def _meddle(self) -> None:
        """Old requests again, stored words again, and the word on any earlier round, at any time."""
        network, dice = self.network, self.dice
        for _ in range(dice.randrange(6)):
            act = dice.randrange(6)
            if act == 0 and self.seen:
                network.carry(dice.choice(self.seen))
            elif act in (0, 1) and self.late:
                network.deliver(self.late.pop(dice.randrange(len(self.late))))
            elif act == 2:
                self._ask_for_the_key()
            elif act == 3:
                name = f"aggregator {network.honest}"
                network.kill(name)
                network.repeat(name)
            else:
                network.void(dice.choice(network.announced or [bytes(48)]))
            network.run()

    def _ask_for_the_key(self) -> None:
        """A delivery that was, whole or with signatures taken from elsewhere, and K_sid asked for in return."""
        deliveries = [packet for packet in self.seen if packet.step == "check" and packet.sender == "hub"]
        if deliveries:
            packet = self.dice.choice(deliveries)
            packet = replace(packet, step="disclose", receiver=f"client {self.dice.choice([*self.network.clients])}")
            self.network.carry(packet if self.dice.random() < 0.5 else self._lie(packet)[0])


def _run_schedules(make_network, shape, corrupt_clients, seeds, **doubles) -> Counter:
    """Every schedule, judged; how often what happened."""
    happened = Counter()
    for seed in seeds:
        n, field, honest = shape
        mode = "public" if seed % 3 == 0 else "sealed"
        network = make_network(n=n, field=field, honest=honest, corrupt_clients=corrupt_clients, mode=mode, **doubles)
        chaos = Chaos(network, seed)
        chaos.play()
        try:
            network.require_sound()
        except AssertionError as error:
            raise AssertionError(f"schedule {seed} of {shape}: {error}") from error
        happened += chaos.did
        happened["accepted"] += sum(len(network.clients[i].accepted) for i in network.honest_clients)
        happened["stopped"] += len(network.failures)
        happened["opened"] += len(network.honest_word(Opening))
        happened["disclosed"] += sum(isinstance(message, Disclosure) for _, message in network.said)
        happened["void"] += sum(closing.outcome == VOID for closing in network.honest_word(Closing))
    return happened


@pytest.mark.parametrize("corrupt_clients", [(), (4,)], ids=["no client", "client 4"])
@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: f"{shape[0]}-{shape[1].name}-honest{shape[2]}")
def test_no_schedule_breaks_a_promise(make_network, shape, corrupt_clients) -> None:
    happened = _run_schedules(make_network, shape, corrupt_clients, range(20))
    for what in ("accepted", "stopped", "opened", "void", "lie", "kill", "replay"):
        assert happened[what] > 0, f"the schedules are too tame or too wild: nothing {what}"


@pytest.mark.slow
@pytest.mark.parametrize("corrupt_clients", [(), (4,)], ids=["no client", "client 4"])
@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: f"{shape[0]}-{shape[1].name}-honest{shape[2]}")
def test_no_schedule_breaks_a_promise_in_many_tries(make_network, shape, corrupt_clients) -> None:
    happened = _run_schedules(make_network, shape, corrupt_clients, range(1000, 1400))
    assert happened["disclosed"] > 0


@pytest.fixture
def doubles(forgetful, untagged_client):
    """Test doubles with one guard off each, and the promise that the schedules then find broken."""

    class ForgetsSession(forgetful):
        loses = ("committed", "agreed", "memory")

    return {
        "tags": ((), {"client_type": untagged_client}, "a wrong"),
        "store": ((4,), {"actor_type": ForgetsSession}, "two different|void"),
    }


@pytest.mark.parametrize("guard", ["tags", "store"])
def test_without_a_guard_some_schedule_breaks_its_promise(make_network, doubles, guard) -> None:
    corrupt_clients, double, promise = doubles[guard]
    with pytest.raises(AssertionError, match=promise):
        _run_schedules(make_network, SHAPES[2], corrupt_clients, range(60), **double)
