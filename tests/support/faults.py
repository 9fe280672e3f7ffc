"""What befalls packets and the parties that they meet, by dice."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from actors import MOMENTS
from lies import Lies
from privateyes.aggregation.messages import Origin
from privateyes.errors import MalformedError
from privateyes.parties.packets import HUB, Packet

if TYPE_CHECKING:
    from network import Network

FAULTS = ("drop", "late", "replay", "again", "twice", "alter", "reflect", "lie", "race", "race", "fate", "fate", "fate")
"""What befalls a packet; "fate" is for the party that it meets."""

RARE = {"again", "jump", "give", "state", "give_up", "words", "resend", "disclose", "bind", "lead", "key", "finish"}
"""Steps that a schedule takes seldom, so they are disturbed more often."""

WRITES = {
    "aggregator": ("bind", "start", "announce", "vote", "commit", "agree", "open", "certify", "finish", "give_up"),
    "client": ("start", "observe", "submit", "again", "settle", "check", "jump"),
}
"""The steps at which a party of a kind writes to its disk."""


class Faults:
    """Disturbs what passes.

    Attributes:
        calm: how often a packet simply arrives; different in every schedule, so that some rounds end and some do not.
        haste: how often something that was held back arrives with another packet.
        loses: how often a disk goes with its process.
        kinds: what befalls packets in this schedule; in some it is all, in some it is little.
        deaf: who does not hear how rounds go for now.
        late: what was held back.
        cells: how often which fault befell which step of an honest party.
    """

    def __init__(self, dice: random.Random) -> None:
        self.dice = dice
        self.calm = dice.choice([0.8, 0.93, 0.98, 1.0, 1.0])
        self.haste = dice.choice([0.3, 0.05, 0.005])
        self.loses = dice.choice([0.0, 0.0, 0.5])
        self.kinds: Sequence[str] = dice.choice([FAULTS, FAULTS, dice.sample(FAULTS, 3), dice.sample(FAULTS, 1)])
        self.deaf = ""
        self.late: list[tuple[Network, Packet]] = []
        self.cells: Counter[tuple[str, str]] = Counter()
        self.did: Counter[str] = Counter()

    def decide(self, network: Network, packet: Packet, seen: Sequence[Packet]) -> Iterable[Packet]:
        """What arrives instead of this packet. What the adversary's parties tell each other needs no disturbance."""
        if self.deaf == packet.receiver and packet.step in ("check", "observe"):
            return []
        own = packet.sender in network.corrupt and packet.receiver in network.corrupt
        calm = self.calm if self.calm == 1.0 or packet.step not in RARE else self.calm - 0.2
        decided = [packet] if own or self.dice.random() < calm else self._act(network, packet, seen)
        held = [k for k, (task, _) in enumerate(self.late) if task is network]
        if held and self.dice.random() < self.haste:
            decided = [*decided, self.late.pop(self.dice.choice(held))[1]]
        return decided

    def _act(self, network: Network, packet: Packet, seen: Sequence[Packet]) -> list[Packet]:
        fault = self.dice.choice(self.kinds)
        self.did[fault] += 1
        if fault not in ("fate", "replay", "reflect"):
            self.befell(network, packet, fault)
        decided: list[Packet] = getattr(self, f"_{fault}")(network, packet, seen)
        return decided

    def befell(self, network: Network, packet: Packet, fault: str) -> None:
        """Count what an honest party meets."""
        if packet.receiver in network.actors and packet.receiver not in network.corrupt:
            self.cells[packet.step, fault] += 1
        elif packet.receiver == HUB and packet.sender not in network.corrupt and fault in ("drop", "late"):
            self.cells[packet.step, f"answer {fault}"] += 1

    def _drop(self, network: Network, packet: Packet, seen: Sequence[Packet]) -> list[Packet]:
        return []

    def _late(self, network: Network, packet: Packet, seen: Sequence[Packet]) -> list[Packet]:
        self.late.append((network, packet))
        return []

    def _again(self, network: Network, packet: Packet, seen: Sequence[Packet]) -> list[Packet]:
        return [packet, packet]

    def _twice(self, network: Network, packet: Packet, seen: Sequence[Packet]) -> list[Packet]:
        """The same request with other content after it."""
        return [packet, *self._lie(network, packet, seen)]

    def _replay(self, network: Network, packet: Packet, seen: Sequence[Packet]) -> list[Packet]:
        old = self.dice.choice(seen)
        self.befell(network, old, "replay")
        return [packet, old] if self.dice.random() < 0.5 else [old, packet]

    def _reflect(self, network: Network, packet: Packet, seen: Sequence[Packet]) -> list[Packet]:
        """It goes to somebody else."""
        reflected = replace(packet, receiver=self.dice.choice(sorted(network.actors)), sender=HUB)
        self.befell(network, reflected, "reflect")
        return [reflected] if reflected.receiver != HUB else []

    def _alter(self, network: Network, packet: Packet, seen: Sequence[Packet]) -> list[Packet]:
        parts = list(packet.parts)
        if not parts:
            return [packet]
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
            donor = self.dice.choice(seen)
            parts[index] = self.dice.choice(donor.parts) if donor.parts else parts[index]
        return [replace(packet, parts=tuple(parts))]

    def _lie(self, network: Network, packet: Packet, seen: Sequence[Packet]) -> list[Packet]:
        """Corrupt parties say something else, properly signed, to this one receiver."""
        try:
            messages = packet.messages(network.manifest)
        except MalformedError:
            return [packet]
        lies = Lies(network, self.dice)
        return [packet.with_messages([lies.about(message) for message in messages])]

    def _race(self, network: Network, packet: Packet, seen: Sequence[Packet]) -> list[Packet]:
        """Two handlers begin from one snapshot: of this packet, and of another to the same party."""
        others = [own for own in seen[-60:] if own.receiver == packet.receiver and own.step != "check"]
        if packet.receiver == HUB or not others:
            return [packet]
        same = [own for own in others if own.step == packet.step]
        other = self.dice.choice(same) if same and self.dice.random() < 0.5 else self.dice.choice(others)
        pair = [packet, self._lie(network, packet, seen)[0] if self.dice.random() < 0.5 else other]
        self.dice.shuffle(pair)
        network.race(*pair)
        return []

    def _fate(self, network: Network, packet: Packet, seen: Sequence[Packet]) -> list[Packet]:
        """A party dies, now or when it next reaches some moment; or its disk takes nothing."""
        honest = [name for name in sorted(network.actors) if name not in network.corrupt]
        name = packet.receiver if packet.receiver in honest else self.dice.choice(honest)
        steps = WRITES[name.split()[0]]
        step = packet.step if packet.step in steps and name == packet.receiver else self.dice.choice(steps)
        moment = self.dice.choice([*MOMENTS, "failed"])
        loses = moment != "failed" and self.dice.random() < self.loses
        network.kill(name, step, moment, loses)
        if self.dice.random() < 0.2:
            network.kill(name)
        return [packet]


class Ear:
    """Hears one network's packets, and lets the dice decide.

    Attributes:
        seen: every packet as it was sent.
        told: every packet that arrived otherwise.
        shown: the roster that aggregators are told is the origin's, whatever the clients were told.
    """

    def __init__(self, faults: Faults, network: Network) -> None:
        self.faults, self.network = faults, network
        self.seen: list[Packet] = []
        self.told: list[Packet] = []
        self.shown: Origin | None = None

    def decide(self, packet: Packet) -> Iterable[Packet]:
        """What arrives instead."""
        if self.shown is not None and packet.step in ("vote", "commit") and packet.sender == HUB:
            packet = self._with_other_origin(packet, self.shown)
        self.seen.append(packet)
        decided = list(self.faults.decide(self.network, packet, self.seen))
        self.told += [other for other in decided if other is not packet]
        return decided

    def _with_other_origin(self, packet: Packet, shown: Origin) -> Packet:
        messages = packet.messages(self.network.manifest)
        if not any(isinstance(message, Origin) for message in messages):
            return packet
        return packet.with_messages([shown if isinstance(message, Origin) else message for message in messages])

    def heard(self) -> list[Any]:
        """Every message that crossed the network, forged and altered ones too."""
        messages = []
        for packet in (*self.seen, *self.told):
            for part in packet.parts[len(packet.plain()) :]:
                try:
                    messages += replace(packet, parts=(*packet.plain(), part)).messages(self.network.manifest)
                except MalformedError:
                    continue
        return messages
