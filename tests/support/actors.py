"""Honest parties for tests: the hosts that ship, each with a disk, and what a test may do to them.

A kill takes what is not on disk, and a restarted party knows its disk alone. A handler reads its disk once, before it
begins; what it writes goes over what it read.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from disks import Disk
from privateyes.aggregation.aggregator import Aggregator
from privateyes.aggregation.memory import AggregatorMemory
from privateyes.aggregation.messages import Vote
from privateyes.aggregation.roster import Entries, intersect
from privateyes.errors import RunDirectoryError
from privateyes.parties.aggregator import AggregatorHost
from privateyes.parties.effects import Host, View
from privateyes.parties.packets import Packet, of_kind

MOMENTS = ("computed", "stored", "sent")
"""Before a party's word is on disk; after, and before it is sent; after it is sent."""


class Killed(Exception):  # noqa: N818 - nothing went wrong
    """The process died here."""


@dataclass(frozen=True, slots=True)
class Fate:
    """What is to happen to a party when it next reaches a moment of a step.

    Attributes:
        moment: one of MOMENTS, where the process dies; or "failed": the disk takes nothing, and the process lives on.
        loses: whether the disk goes with the process.
    """

    step: str
    moment: str
    loses: bool = False


class Actor(Host):
    """A host with its disk, what dies with the process, and when it is to die."""

    parse: Callable[[bytes], Any]  # a memory of its kind
    disk: Disk

    def take(self, disk: Disk) -> None:
        """Begin with this disk."""
        self.disk, self.pinned = disk, None
        self.fate: Fate | None = None
        self.met: Counter[tuple[str, str]] = Counter()
        """How often which fate was met at which step."""
        self.restart()

    pinned: View | None
    """What two handlers that race both read."""

    def restart(self) -> None:
        """Start anew from the disk."""
        memory = self.memory
        if memory is not None:
            self.disk.put("memory", self.slot, type(self).parse(memory.to_bytes()))
        self.pinned = None
        self.setup: Any = None

    @property
    def memory(self) -> Any:
        """What it remembers of the task now; None if nothing."""
        return self.disk.read().get("memory", self.slot)

    def die(self, loses: bool = False) -> None:
        """Kill the process and start it anew."""
        if loses:
            self.disk.lose()
        self.restart()

    def reach(self, step: str, moment: str) -> None:
        """Die here if that is the plan."""
        fate = self.fate
        if fate is not None and (fate.step, fate.moment) == (step, moment):
            self.fate = None
            self.met[step, f"lost {moment}" if fate.loses else moment] += 1
            if moment == "failed":
                raise RunDirectoryError(f"{self.name} cannot write its store", "make room, or mend the disk")
            if fate.loses:
                self.disk.lose()
            raise Killed

    def receive(self, packet: Packet) -> list[Packet]:
        """Do what the hub asks, and store what that takes, or die before or after; the answers."""
        view = self.pinned or self.disk.read()
        effects = self.handle(packet, view)
        if effects.write is not None:
            self.reach(packet.step, "computed")
            self.reach(packet.step, "failed")
            self.disk.write(view, effects.write)
            self.stored(packet.step)
            self.reach(packet.step, "stored")
        return [answer.encoded() for answer in effects.packets]

    def stored(self, step: str) -> None:
        """What it wanted stored for this step is on disk."""


class AggregatorActor(AggregatorHost, Actor):
    """An aggregator and its disk.

    Attributes:
        rosters: every roster that it ever committed to, by sid and rho.
    """

    parse = AggregatorMemory.from_bytes

    def __init__(self, own: Aggregator, disk: Disk) -> None:
        super().__init__(own)
        self.rosters: dict[tuple[bytes, bytes], Entries] = {}
        self.take(disk)

    def do_commit(self, packet: Packet) -> list[bytes]:
        answer = super().do_commit(packet)
        if self.wants_to_store():
            (word,) = self.answered(packet, answer)
            votes = of_kind(packet.messages(self.manifest), Vote)
            self.rosters[word.sid, word.rho] = intersect([vote.entries for vote in votes])
        return answer

    def stand_by_what_it_opened(self) -> None:
        """Certify the opening that it is shown as its own, not the share that it committed to."""
        self._committed = None

    def wants_to_store(self) -> bool:
        """Whether the handler that ran last has something for the disk."""
        return self._write is not None

    def answered(self, packet: Packet, answer: list[bytes]) -> list[Any]:
        """An answer's messages."""
        return packet.answer(answer).messages(self.manifest)
