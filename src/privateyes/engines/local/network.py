"""All parties of a local task as hosts in one process, and what passes between them.

Requests that are in flight to different parties are handled side by side where threads pay off; what the parties then
say is stored in one transaction, in their order, on one thread. So either all take a step or nobody does, and nothing
that is stored, sent or computed depends on the number of threads.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Final

from privateyes.aggregation.client import VerifiedAverage
from privateyes.aggregation.memory import TrainingState
from privateyes.crypto.statement import HASH_BYTES
from privateyes.encoding.clips import ClipPlan
from privateyes.engines.local.clock import RoleClock
from privateyes.engines.local.message_log import Endpoint, MessageLog, endpoint_of
from privateyes.engines.local.parties import LocalParties
from privateyes.engines.local.thread_team import ThreadTeam
from privateyes.errors import MalformedError, PrivateyesError, RefusedError, TrainingError
from privateyes.parties.aggregator import AggregatorHost
from privateyes.parties.client import ClientHost, Contribution
from privateyes.parties.effects import Effects, Host, View
from privateyes.parties.hub import HubHost
from privateyes.parties.packets import HUB, Packet, Part
from privateyes.parties.round import set_up
from privateyes.storage.party import Prepared, StoredParty, write_together
from privateyes.storage.store import PartyStore

_SUBMITTING: Final = ("submit", "again")
_AT_THE_END: Final = ("check", "finish")
_TOLD_THE_RUN: Final = ("check", "disclose")
_ASKED_ONCE_MORE: Final = ("words", "resend")
_COUNTER_BYTES: Final = 8
_FIRST_EPOCH: Final = 1
_LEADER: Final = 1

Step = Callable[[TrainingState, VerifiedAverage], TrainingState]
"""The server step from a state, on an average; all clients must reach the same state."""


Give = Callable[[ClipPlan | None], Contribution]
"""A client's own side: what it gives to a session, made when its host asks. The clips are the training state's."""


class Trainer:
    """What trains beside a local client is elsewhere: its side of the round gives the update, and the run takes the
    average away.

    To this client a model is what the protocol knows of a training state: the state itself is stored once for all.

    Attributes:
        gives: what it submits; without it the client follows the round.
        clipped, shortened: what encoding changed of it.
        average: the result that it verified.
    """

    def __init__(self, initial: TrainingState | None, step: Step, clips: ClipPlan | None) -> None:
        self._initial, self._step, self._clips = initial, step, clips
        self.gives: Give | None = None
        self.clipped, self.shortened = 0, False
        self.average: VerifiedAverage | None = None

    def initial_model(self) -> bytes | None:
        """The state that the task begins with."""
        return None if self._initial is None else dump_training_state(self._initial)

    def contribution(self, model: bytes) -> Contribution:  # noqa: ARG002 - whoever trained knows it
        """What its side of the round gives."""
        if self.gives is None:
            raise RefusedError("no update was given", "give one, or leave the client out of this round")
        return self.gives(self._clips)

    def submitted(self, clipped: int, shortened: bool) -> None:
        """Keep the counts for the run's report."""
        self.clipped, self.shortened = clipped, shortened

    def after(self, model: bytes, average: VerifiedAverage) -> bytes:
        """The next state."""
        following = self._step(load_training_state(model), average)
        self.average = average
        return dump_training_state(following)

    def read(self, model: bytes) -> TrainingState:
        """As it was dumped."""
        return load_training_state(model)

    def clip_plan(self, model: bytes) -> ClipPlan | None:  # noqa: ARG002 - whoever steps knows it
        """The training state's."""
        return self._clips


def dump_training_state(state: TrainingState) -> bytes:
    """What the protocol knows of a state, as a client's model."""
    return state.digest + state.weights + state.counter.to_bytes(_COUNTER_BYTES, "big")


def load_training_state(model: bytes) -> TrainingState:
    """Read what ``dump_training_state`` wrote.

    Raises:
        MalformedError: it is no such state.
    """
    if len(model) != 2 * HASH_BYTES + _COUNTER_BYTES:
        raise MalformedError("no training state")
    digest, weights = model[:HASH_BYTES], model[HASH_BYTES : 2 * HASH_BYTES]
    return TrainingState(digest, weights, int.from_bytes(model[2 * HASH_BYTES :], "big"))


class LocalNetwork:
    """Carries packets among the parties of one task; a ``Network`` for the rounds of parties/round.py.

    The end of a session, from the clients' acceptance on, is held until ``store_end``: a state that all clients reached
    becomes theirs in one transaction, or nobody's.

    Args:
        parties: the task's.
        store: of all of them.
        trainers: by client number.
        message_log: counts and records.
        clock: where the roles' work is added up.
        team: does the work of several parties side by side.

    Attributes:
        hub: asks.
        hosts, stores: the other parties, and everybody's part of the store, by name.
        besides: what else is written with a step, in the same transaction.
        answers: what clients said of a result, by party and step.
        failures: why a party did less than it was asked for, by party and step.
        dropped: what was wrong with the submissions that the hub did not take, by client number.
    """

    def __init__(
        self,
        parties: LocalParties,
        store: PartyStore,
        trainers: Mapping[int, Trainer],
        message_log: MessageLog,
        clock: RoleClock,
        team: ThreadTeam,
    ) -> None:
        self._store, self._message_log, self._clock, self._team, self._parties = (
            store,
            message_log,
            clock,
            team,
            parties,
        )
        self.stores: dict[str, StoredParty] = parties.parts(store)
        self.hosts: dict[str, Host] = {}
        for aggregator in parties.aggregators:
            own = AggregatorHost(aggregator)
            self.hosts[own.name] = own
        for client in parties.clients:
            host = ClientHost(client, trainers[client.number])
            self.hosts[host.name] = host
        self.hub = HubHost(parties.manifest, parties.hub, self.stores[HUB].read(), team.lanes())
        self.besides: dict[str, Callable[[], object]] = {}
        self.failures: dict[tuple[str, str], PrivateyesError] = {}
        self.dropped: dict[int, str] = {}
        self.answers: dict[tuple[str, str], tuple[Part, ...]] = {}
        self._end: list[tuple[StoredParty, Prepared]] = []

    def carry(self, effects: Effects, but: Collection[str] = ()) -> tuple[Packet, ...]:
        """See ``round.Network``.

        Raises:
            ProtocolError, MalformedError, TrainingError: of the first party that cannot take a step. Nothing was stored
                of anyone's.
            RunDirectoryError: something cannot be stored, so it was not sent.
        """
        self._store_of_hub(effects)
        flight, held = deque(effects.packets), list[Packet]()
        while flight:
            for answer in self.ask(_batch(flight)):
                following = self._hear(answer)
                for packet in following.packets:
                    (held if packet.step in but else flight).append(packet)
        return tuple(held)

    def ask(self, batch: Sequence[Packet]) -> list[Packet]:
        """What these parties answer; each is asked one thing."""
        asked = [(self._message_log.carry(packet), self.stores[packet.receiver].read()) for packet in batch]
        done = self._team.run(self._handled, asked)
        writes = []
        for packet, (effects, prepared) in zip(batch, done, strict=True):
            if effects.failure is not None:
                self.failures[packet.receiver, packet.step] = effects.failure
                if packet.step in _SUBMITTING:  # the run has its update: it does not simply go on without it
                    raise effects.failure
            if prepared is not None:
                writes.append((self.stores[packet.receiver], prepared))
        steps = {packet.step for packet in batch}
        if steps <= set(_AT_THE_END):
            self._end += writes
        else:
            self._write(writes, steps)
        answers = [self._message_log.carry(answer) for effects, _ in done for answer in effects.packets]
        told = [answer for answer in answers if answer.step in _TOLD_THE_RUN]
        self.answers.update({(answer.sender, answer.step): answer.parts for answer in told})
        return answers

    def _handled(self, asked: tuple[Packet, View]) -> tuple[Effects, Prepared | None]:
        packet, view = asked
        host, part = self.hosts[packet.receiver], self.stores[packet.receiver]
        try:
            with self._clock.work_of(endpoint_of(packet.receiver)), self._naming(packet.receiver):
                effects = host.handle(packet, view)
        except PrivateyesError as error:
            if packet.step not in _ASKED_ONCE_MORE:  # where it is, one answer fewer is no reason to stop
                raise
            return Effects(failure=error), None
        prepared = None if effects.write is None else part.prepare(view, effects.write)
        return Effects(None, effects.packets, effects.failure), prepared  # what is on disk need not be held

    @contextmanager
    def _naming(self, name: str) -> Iterator[None]:
        """Errors about an update name the client that made it."""
        try:
            yield
        except TrainingError as error:
            who = self._parties.person(name)
            problem = error.problem if f"client {who}" in error.problem else f"client {who}: {error.problem}"
            raise TrainingError(problem, error.remedy) from None

    def _hear(self, answer: Packet) -> Effects:
        """What the hub asks next. One client's bad submission does not spoil the round for the others."""
        try:
            with self._clock.work_of(Endpoint.HUB):
                effects = self.hub.handle(answer)
        except MalformedError as error:
            if answer.step not in _SUBMITTING:
                raise
            self.dropped[int(answer.sender.split()[1])] = error.problem
            return Effects()
        self._store_of_hub(effects)
        return effects

    def _store_of_hub(self, effects: Effects) -> None:
        if effects.write is not None:
            part = self.stores[HUB]
            steps = {packet.step for packet in effects.packets}
            self._write([(part, part.prepare(part.read(), effects.write))], steps)

    def _write(self, writes: Sequence[tuple[StoredParty, Prepared]], steps: Collection[str]) -> None:
        besides = [write for step, write in self.besides.items() if step in steps]
        if writes or besides:
            write_together(self._store, writes, besides)

    def store_end(self, *besides: Callable[[], object]) -> None:
        """Store how the session ended at every party, and what else is written then, in one transaction.

        Raises:
            RunDirectoryError: it cannot be stored; then every party is where it was.
        """
        write_together(self._store, self._end, besides)
        self._end = []

    def drop_end(self) -> None:
        """Let every party be where it was before the session ended."""
        self._end = []


def _batch(flight: deque[Packet]) -> list[Packet]:
    """The next packets that go to different parties."""
    batch = [flight.popleft()]
    while flight and flight[0].receiver not in {packet.receiver for packet in batch}:
        batch.append(flight.popleft())
    return batch


def set_up_locally(
    parties: LocalParties,
    store: PartyStore,
    initial: TrainingState,
    message_log: MessageLog,
    team: ThreadTeam | None = None,
    besides: Callable[[], object] | None = None,
) -> None:
    """The first set-up among local parties (protocol, "Setup").

    Args:
        initial: the training state that every client starts from; the manifest pins it.
        besides: what else is written in the transaction with which all parties start.
    """
    trainers = trainers_of(parties, initial, lambda before, _: before)  # no step is taken here
    network = LocalNetwork(parties, store, trainers, message_log, RoleClock(), team or ThreadTeam(1))
    if besides is not None:
        network.besides["start"] = besides
    set_up(network, _FIRST_EPOCH, _LEADER)


def trainers_of(
    parties: LocalParties, initial: TrainingState | None, step: Step, clips: ClipPlan | None = None
) -> dict[int, Trainer]:
    """One for each client, by number."""
    return {client.number: Trainer(initial, step, clips) for client in parties.clients}
