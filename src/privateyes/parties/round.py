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
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from privateyes.aggregation.messages import Delivery
from privateyes.errors import AbortError, PrivateyesError
from privateyes.parties.effects import Effects, Host, View, Write
from privateyes.parties.hub import HubHost, Named
from privateyes.parties.packets import HUB, Packet

ASKED_OF_CLIENTS: Final = ("submit", "again", "observe")
"""The requests that follow an announcement."""


class Store(Protocol):
    """A party's store."""

    def read(self) -> View:
        """Everything, as it is now."""

    def write(self, seen: View, what: Write) -> None:
        """All of it or nothing, over what its writer had read."""


class Network(Protocol):
    """Whoever carries packets between the hub and the other hosts, and stores what they say.

    Attributes:
        failures: why a party did less than it was asked for, by party and step, in this round.
    """

    @property
    def hub(self) -> HubHost:
        """Asks."""

    @property
    def failures(self) -> dict[tuple[str, str], PrivateyesError]:
        """See above."""

    def carry(self, effects: Effects, but: Collection[str] = ()) -> tuple[Packet, ...]:
        """Carry the hub's requests and their answers until nobody asks any more.

        Args:
            but: requests for these steps are kept back.

        Returns:
            Those.

        Raises:
            ProtocolError, MalformedError: a party refuses; what was stored stays stored.
        """


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

    def carry(self, effects: Effects, but: Collection[str] = ()) -> tuple[Packet, ...]:
        """See ``Network.carry``; one packet after the other."""
        hub_store = self.stores[HUB]
        self._store(HUB, hub_store.read(), effects)
        flight, held = deque(effects.packets), list[Packet]()
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
            for following in effects.packets:
                (held if following.step in but and packet.receiver == HUB else flight).append(following)
        return tuple(held)

    def _store(self, name: str, view: View, effects: Effects) -> None:
        if effects.write is not None:
            self.stores[name].write(view, effects.write)


def set_up(network: Network, epoch: int, leader: int) -> None:
    """Exchange keys among all clients of the task (protocol, "Setup").

    Raises:
        ProtocolError, MalformedError: a party refuses; nothing is started, and another set-up may be made.
    """
    hub = network.hub
    network.carry(hub.offer(epoch, leader, hub.clients))
    network.carry(hub.pass_on_sealed())
    network.carry(hub.hand_out_group_keys())
    network.carry(hub.start(hub.clients))


def run_round(
    network: Network,
    named: Named,
    submitters: Iterable[str],
    unsettled: Iterable[Named] = (),
    source: tuple[Any, ...] = (),
) -> Delivery:
    """One session, from the announcement to the result that every client has checked (protocol, "One round").

    Args:
        named: the session: a round larger than every earlier one of this set-up, and the id of the training state that
            all clients are at.
        submitters: the clients that send an update; the others follow. One that refuses to send follows too.
        unsettled: earlier sessions whose end a client does not know: it is told before it is asked for an update.
        source: where updates are sent again: the roster of their first session, and the commitments to it.

    Raises:
        ProtocolError, MalformedError: a party refuses. Unless the hub has begun to open it, give the session up.
    """
    hub = network.hub
    network.failures.clear()
    asked = network.carry(hub.announce(named, submitters, source), but=ASKED_OF_CLIENTS)
    for earlier in unsettled:
        network.carry(hub.settle(earlier))
    network.carry(Effects(packets=asked))
    session = hub.session
    if not session.closed:
        network.carry(hub.effects(session.close_submissions()))
    return finish_round(network)


def finish_round(network: Network) -> Delivery:
    """The end of a session that every client has checked.

    Raises:
        AbortError: it did not come so far.
    """
    session = network.hub.session
    if session.delivery is None:
        raise AbortError("the session did not end", "give it up, and announce the next one")
    network.carry(network.hub.effects(session.finish()))
    return session.delivery
