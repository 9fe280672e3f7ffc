"""A set-up and a round, start to end, among hosts in one process.

    set-up   aggregators offer sealing keys; all bind to them; clients seal stream keys to the aggregators, and the
             leader seals a group key to the clients; all start
    round    announce   every aggregator signs the round
             submit     every client sends its update, masked and without the aggregators' streams; the hub adds them
             vote       every aggregator says which headers it holds; what all hold is the roster
             commit     every aggregator computes the roster's streams, and commits to their sum
             agree      every aggregator signs all commitments
             open       every aggregator shows its sum, once all have signed the same
             certify    every aggregator checks all openings, and signs the result
             check      every client checks signatures, roster and tag, decodes, and steps to the next model

Whoever drives hosts over a network does what ``Parties.carry`` does: give the party the request and what it stored,
store what it says, and only then send what it answers.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from privateyes.aggregation.messages import Delivery
from privateyes.errors import AbortError, PrivateyesError
from privateyes.parties.effects import Effects, Host, View, Write
from privateyes.parties.hub import HubHost, Named
from privateyes.parties.packets import HUB


class Store(Protocol):
    """A party's store."""

    def read(self) -> View:
        """Everything, as it is now."""

    def write(self, seen: View, what: Write) -> None:
        """All of it or nothing, over what its writer had read."""


@dataclass(frozen=True, slots=True)
class Parties:
    """Every party of a task, each with its own store.

    Attributes:
        hub: asks.
        hosts: the others, by name.
        stores: by name, the hub's too.
        failures: why a party did less than it was asked for, by party and step, in this round.
    """

    hub: HubHost
    hosts: Mapping[str, Host]
    stores: Mapping[str, Store] = field(repr=False)
    failures: dict[tuple[str, str], PrivateyesError] = field(default_factory=dict)

    def carry(self, effects: Effects) -> None:
        """Carry the hub's requests and their answers until nobody asks any more.

        Raises:
            ProtocolError, MalformedError: a party refuses; what was stored stays stored.
        """
        hub_store = self.stores[HUB]
        self._store(HUB, hub_store.read(), effects)
        flight = deque(effects.packets)
        while flight:
            packet = flight.popleft()
            view = self.stores[packet.receiver].read()
            if packet.receiver == HUB:
                effects = self.hub.handle(packet)
            else:
                effects = self.hosts[packet.receiver].handle(packet, view)
            self._store(packet.receiver, view, effects)
            if effects.failure is not None:
                self.failures[packet.receiver, packet.step] = effects.failure
            flight.extend(effects.packets)

    def _store(self, name: str, view: View, effects: Effects) -> None:
        if effects.write is not None:
            self.stores[name].write(view, effects.write)


def set_up(parties: Parties, epoch: int, leader: int) -> None:
    """Exchange keys among all clients of the task (protocol, "Setup").

    Raises:
        ProtocolError, MalformedError: a party refuses; nothing is started, and another set-up may be made.
    """
    hub = parties.hub
    parties.carry(hub.offer(epoch, leader, hub.clients))
    parties.carry(hub.pass_on_sealed())
    parties.carry(hub.hand_out_group_keys())
    parties.carry(hub.start(hub.clients))


def run_round(parties: Parties, number: int, state_id: bytes, submitters: Iterable[str]) -> Delivery:
    """One session, from the announcement to the result that every client has checked (protocol, "One round").

    Args:
        number: of the session, larger than every earlier one of this set-up.
        state_id: of the training state that all clients are at.
        submitters: the clients that send an update; the others follow. One that refuses to send follows too.

    Raises:
        ProtocolError, MalformedError: a party refuses. Unless the hub has begun to open it, give the session up.
    """
    hub = parties.hub
    parties.failures.clear()
    parties.carry(hub.announce(Named(hub.setup, number, state_id), submitters))
    session = hub.session
    if not session.closed:
        parties.carry(hub.effects(session.close_submissions()))
    if session.delivery is None:
        raise AbortError("the session did not end", "give it up, and announce the next one")
    parties.carry(hub.effects(session.finish()))
    return session.delivery
