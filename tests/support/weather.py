"""A network that is bad and not evil, and an honest hub that asks again until its rounds have ended."""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING

from actors import MOMENTS
from faults import WRITES
from privateyes.aggregation.messages import ANNOUNCE, VOID, Closing
from privateyes.errors import AbortError
from privateyes.parties.packets import HUB, Packet

if TYPE_CHECKING:
    from client_actor import ClientActor
    from network import Network

PATIENCE = 80
"""How often an honest hub asks again before a test calls it a stall."""


class Weather:
    """Drops, delays, damages and repeats packets, and lets processes die; nobody lies and no disk is lost."""

    def __init__(self, network: Network, dice: random.Random) -> None:
        self.network, self.dice = network, dice
        self.badness = dice.choice([0.0, 0.05, 0.15, 0.3])
        self.late: list[Packet] = []
        self.seen: list[Packet] = []

    def decide(self, packet: Packet) -> Iterable[Packet]:
        """What arrives."""
        self.seen.append(packet)
        arriving = [packet] if self.dice.random() >= self.badness else self._disturbed(packet)
        if self.late and self.dice.random() < 0.2:
            arriving = [*arriving, self.late.pop(self.dice.randrange(len(self.late)))]
        return arriving

    def _disturbed(self, packet: Packet) -> list[Packet]:
        what = self.dice.choice(["drop", "late", "damage", "replay", "kill"])
        if what == "late":
            self.late.append(packet)
        if what == "kill":
            self._kill()
        if what == "replay":
            return [packet, self.dice.choice(self.seen)]
        if what == "damage" and packet.parts:
            return [self._damaged(packet)]
        return [packet] if what == "kill" else []

    def _damaged(self, packet: Packet) -> Packet:
        parts = list(packet.parts)
        index = self.dice.randrange(len(parts))
        data = bytearray(parts[index])
        if data:
            data[self.dice.randrange(len(data))] ^= 1 << self.dice.randrange(8)
        parts[index] = bytes(data)
        return replace(packet, parts=tuple(parts))

    def _kill(self) -> None:
        name = self.dice.choice([name for name in sorted(self.network.actors) if name != HUB])
        step, moment = self.dice.choice(WRITES[name.split()[0]]), self.dice.choice([*MOMENTS, "failed"])
        self.network.kill(name, step, moment)


class HonestHub:
    """Plays whole rounds as an honest hub does, and says how each ended.

    Args:
        forgets: how often it loses its disk in the middle of a session.
    """

    def __init__(self, network: Network, dice: random.Random, forgets: float = 0.0) -> None:
        self.network, self.dice, self.forgets = network, dice, forgets
        network.hub.careful = True

    def set_up(self, leader: int = 1) -> None:
        """A set-up in which everybody has started; as often as it takes, for nothing of one is saved for the next."""
        network, weather = self.network, self.network.adversary
        badness, weather.badness = weather.badness, weather.badness / 10
        before = network.hub.setup
        for _ in range(PATIENCE):
            network.set_up(leader)
            aggregators = [actor.memory for actor in network.aggregators.values()]
            new = network.hub.setup != before
            there = new and all(
                own.current.id == network.hub.setup and len(own.chains) == network.m for own in aggregators
            )
            if there and all(own.memory.group.setup == network.hub.setup for own in network.clients.values()):
                weather.badness = badness
                return
        raise AssertionError("the set-up stalls")

    def play(self, *submitters: int) -> bool:
        """One round to its end: whether its result is accepted by all; if not, it is void, and all know."""
        network = self.network
        network.patient, self.lost, losses = True, False, 0
        network.announce(*submitters)
        for attempt in range(PATIENCE):
            network.run()
            if self._all_accepted():
                network.flight += network.session.finish()
                network.run()
                return True
            if losses < 2 and self.dice.random() < self.forgets:
                network.hub.lose()
                self.lost, losses = True, losses + 1
            if self.lost:
                self._look()
            elif self._is_stuck(attempt):
                return self._give_up()
            else:
                self._ask_again(attempt)
        return self._give_up()

    def _listeners(self) -> list[ClientActor]:
        return [self.network.clients[i] for i in self.network.honest_clients]

    def _has_accepted(self, actor: ClientActor) -> bool:
        last = actor.memory.accepted
        return last is not None and last.sid == self.network.sid

    def _all_accepted(self) -> bool:
        return all(self._has_accepted(actor) for actor in self._listeners())

    def _look(self) -> None:
        """Ask everybody what they know of the session, and take it from there once all aggregators have answered."""
        network = self.network
        before = len(network.failures)
        session = network.hub.know(network.announced[-1])
        session.spoke.clear()
        network.look(session.named)
        refused = {failure.party for failure in network.failures[before:] if failure.step == "words"}
        self.lost = not set(network.hub.aggregators) <= session.spoke | refused

    def _is_stuck(self, attempt: int) -> bool:
        """Whether nothing that can still be said ends the session. Once n agreements went out, it is not given up."""
        network, session = self.network, self.network.session
        if network.sid in network.hub.opening:
            return False
        try:
            different = {agreement.transcript for agreement in session.parsed("agree")}
            return bool(session.is_voted and not session.entries) or len(different) > 1 or attempt > PATIENCE // 2
        except AbortError:  # the roster is too small
            return True

    def _ask_again(self, attempt: int) -> None:
        network, session = self.network, self.network.session
        if not session.closed and session.got["submit"] and attempt > 4:
            network.flight += session.close_submissions()
        try:
            network.retry()
        except (AbortError, LookupError):  # a roster that is too small, or a share that is not here yet
            network.look(session.named)
        if session.delivery is None:
            return
        unheard = [name for name in network.hub.aggregators if name not in session.got["announce"]]
        request = network.request(ANNOUNCE, network.announced[-1]).to_bytes()
        network.flight += network.hub.ask(unheard, "announce", [request])
        network.run()
        words, parts = session.words("announce"), [session.delivery.to_bytes()]
        for actor in self._listeners():
            if not self._has_accepted(actor):  # one that did not hear of the round hears of it first
                network.flight += network.hub.ask([actor.name], "observe", words)
                network.run()
                network.flight += network.hub.ask([actor.name], "check", parts)
        network.run()

    def _give_up(self) -> bool:
        network, named = self.network, self.network.announced[-1]
        assert named.sid not in network.hub.opening, "a session that is being opened stalls"
        for _ in range(PATIENCE):
            network.give_up(named)
            network.void(named)
            words = [message for _, message in network.said if isinstance(message, Closing)]
            void = {word.aggregator for word in words if word.sid == named.sid and word.outcome == VOID}
            followed = [actor.memory.session(named.sid) for actor in self._listeners()]
            submitted = any(own is not None and own.submitted for own in followed)
            if not submitted and (len(void) == network.n or not network.inputs[named.sid]):
                return False  # where nobody submitted, the next announcement closes it
        raise AssertionError("a session that cannot be opened does not become void")
