"""Parties as actors around their real state machines.

A party's disk holds what it stored before it sent anything; a kill takes the rest, and a restarted party knows its disk
alone. A handler reads its disk once, before it begins; what it writes goes over what it read.
"""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from disks import Disk, Name, View
from packets import HUB, Packet, of_kind, one_of_kind, setup_named
from privateyes.aggregation.aggregator import Aggregator
from privateyes.aggregation.ledger import LedgerEntry
from privateyes.aggregation.memory import AggregatorMemory
from privateyes.aggregation.messages import (
    AggregatorKey,
    Agreement,
    Header,
    HubCommitment,
    HubRequest,
    HubSum,
    Opening,
    Origin,
    RosterCommitment,
    Vote,
)
from privateyes.aggregation.roster import Entries, intersect
from privateyes.aggregation.setup import AggregatorSetup, ClientSetup
from privateyes.aggregation.steps import OwnShare
from privateyes.errors import MalformedError, PrivateyesError, RefusedError, RunDirectoryError

Setup = TypeVar("Setup", AggregatorSetup, ClientSetup)

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


class Actor:
    """A party: its disk, what dies with the process, and when it is to die."""

    parse: Callable[[bytes], Any]  # a memory of its kind

    def __init__(self, name: str, own: Any, disk: Disk) -> None:
        self.name, self.own, self.manifest = name, own, own.manifest
        self.slot = own.manifest.digest()
        self.disk, self.seen = disk, disk.read()
        self.pinned: View | None = None
        self.fate: Fate | None = None
        self.failure: PrivateyesError | None = None
        self.met: Counter[tuple[str, str]] = Counter()
        """How often which fate was met at which step."""
        self.restart()

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
        """Do what the hub asks; the answers."""
        handler: Callable[[Packet], Sequence[bytes] | None] | None = getattr(self, f"do_{packet.step}", None)
        if handler is None or packet.receiver != self.name:
            raise MalformedError(f"{self.name} knows no {packet.step}")
        self.seen = self.pinned or self.disk.read()
        answer = handler(packet)
        return [] if answer is None else [Packet(self.name, HUB, packet.step, tuple(answer))]

    def write(
        self, step: str, memory: Any, changes: Mapping[Name, Any] | None = None, rows: tuple[LedgerEntry, ...] = ()
    ) -> None:
        """Put all of it on disk, or die before or after."""
        self.reach(step, "computed")
        self.reach(step, "failed")
        self.disk.write(self.seen, {("memory", self.slot): memory, **(changes or {})}, rows)
        self.reach(step, "stored")

    def held(self) -> Any:
        """The memory that the handler read, which this step takes."""
        memory = self.seen.get("memory", self.slot)
        if memory is None:
            raise RefusedError(f"{self.name} has no memory of this task", "make a set-up first")
        return memory

    def begun(self, setup: Setup | None) -> Setup:
        """Its next set-up, which the hub must have asked for before."""
        if setup is None:
            raise RefusedError(f"{self.name} makes no set-up", "ask it for its keys first")
        return setup


class AggregatorActor(Actor):
    """An aggregator and its store: memory, and each session's share from COMMIT until nobody needs it."""

    parse = AggregatorMemory.from_bytes

    def __init__(self, own: Aggregator, disk: Disk) -> None:
        self.rosters: dict[tuple[bytes, bytes], Entries] = {}
        """Every roster that it ever committed to, by sid and rho."""
        super().__init__(f"aggregator {own.number}", own, disk)

    def _say(self, name: str, step: Any, changes: Mapping[Name, Any] | None = None) -> list[bytes]:
        if step.memory is not None:
            self.write(name, step.memory, {**(changes or {}), **self._erased(step.memory)})
        return [step.message.to_bytes()]

    def _erased(self, memory: AggregatorMemory) -> dict[Name, None]:
        """The shares that nobody needs any more."""
        last = memory.session
        needed = set(memory.unfinished)
        if last is not None and not last.given_up and not last.finished:
            needed.add(last.sid)
        return {name: None for name in self.seen.bodies if name[0] == "share" and name[1] not in needed}

    def do_announce(self, packet: Packet) -> list[bytes]:
        return self._say("announce", self.own.announce(self.held(), self._request(packet)))

    def _request(self, packet: Packet) -> HubRequest:
        requests = packet.messages(self.manifest)
        if len(requests) != 1:
            raise MalformedError("not one request")
        request: HubRequest = requests[0]
        return request

    def do_vote(self, packet: Packet) -> list[bytes]:
        messages, memory = packet.messages(self.manifest), self.held()
        headers, origin = of_kind(messages, Header), one_of_kind(messages, Origin)
        return self._say("vote", self.own.vote(memory, packet.subject(), headers, origin))

    def do_commit(self, packet: Packet) -> list[bytes]:
        messages, memory = packet.messages(self.manifest), self.held()
        votes, headers, origin = of_kind(messages, Vote), of_kind(messages, Header), one_of_kind(messages, Origin)
        step = self.own.commit(memory, headers, votes, secrets.token_bytes(32), origin)
        if step.share is None:
            return self._say("commit", step)
        sid = step.message.sid
        self.rosters[sid, step.message.rho] = intersect([vote.entries for vote in votes])
        return self._say("commit", step, {("share", sid): step.share.elements})

    def do_agree(self, packet: Packet) -> list[bytes]:
        messages = packet.messages(self.manifest)
        total = one_of_kind(messages, HubCommitment)
        if total is None:
            raise MalformedError("the hub's own message is missing")
        return self._say("agree", self.own.agree(self.held(), of_kind(messages, RosterCommitment), total))

    def do_open(self, packet: Packet) -> list[bytes]:
        agreements: list[Agreement] = packet.messages(self.manifest)
        share = self._share(agreements[0].sid if agreements else b"")
        if share is None:
            raise RefusedError(f"{self.name} stores no share of that session", "go on with the last one")
        return self._say("open", self.own.open(self.held(), share, agreements))

    def _share(self, sid: bytes) -> OwnShare | None:
        elements = self.seen.get("share", sid)
        return None if elements is None else self.own.own_share(elements)

    def do_certify(self, packet: Packet) -> list[bytes]:
        messages = packet.messages(self.manifest)
        openings, total = of_kind(messages, Opening), one_of_kind(messages, HubSum)
        if total is None:
            raise MalformedError("the hub's own message is missing")
        came = any(opening.aggregator == self.own.number for opening in openings)
        return self._say("certify", self.own.certify(self.held(), openings, total, *self._own(came, total.sid)))

    def _own(self, came: bool, sid: bytes) -> tuple[OwnShare, ...]:
        """Its own share, where its opening did not come with the others'."""
        share = None if came else self._share(sid)
        return () if share is None else (share,)

    def do_finish(self, packet: Packet) -> None:
        after = self.own.finish(self.held(), packet.messages(self.manifest))
        if after is not None:
            self.write("finish", after, self._erased(after))

    def do_closing(self, packet: Packet) -> list[bytes]:
        return [self.own.closing(self.held(), self._request(packet)).to_bytes()]

    def do_give_up(self, packet: Packet) -> list[bytes]:
        return self._say("give_up", self.own.give_up(self.held(), self._request(packet)))

    def do_words(self, packet: Packet) -> list[bytes]:
        """All that it said in a session, for a hub that lost it."""
        sid = packet.subject()
        words = self.own.words(self.held(), sid)
        com_0 = HubCommitment(sid, words.commitments[0]) if words.commitments else None
        said = (words.vote, words.commitment, words.agreement, com_0, words.opening, words.result)
        return [message.to_bytes() for message in said if message is not None]

    # Set-up

    def do_key(self, packet: Packet) -> list[bytes]:
        own = self.own
        self.setup = AggregatorSetup(own.manifest, own.number, own.identity, *setup_named(packet.subject()))
        return [self.setup.key().to_bytes()]

    def do_bind(self, packet: Packet) -> None:
        messages = packet.messages(self.manifest)
        request = one_of_kind(messages, HubRequest)
        if request is None:
            raise MalformedError("the hub's own message is missing")
        memory, keys = self.seen.get("memory", self.slot), of_kind(messages, AggregatorKey)
        bound = self.begun(self.setup).bind(memory, keys, request)
        self.write("bind", bound, self._erased(bound))

    def do_stream(self, packet: Packet) -> None:
        for message in packet.messages(self.manifest):
            self.begun(self.setup).receive(self.held(), message)

    def do_start(self, packet: Packet) -> None:
        self.write("start", self.begun(self.setup).start(self.held()))
        self.setup = None
