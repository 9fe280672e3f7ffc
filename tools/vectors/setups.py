"""setups.json: two whole set-ups of one task; in each a client is given a training state."""

from __future__ import annotations

from typing import Any

from privateyes.aggregation.memory import AggregatorMemory, ClientMemory, TrainingState
from privateyes.aggregation.messages import BIND, Message, SealedState, Voucher
from privateyes.aggregation.setup import AggregatorSetup, ClientSetup
from vectors import sealing
from vectors.cast import Cast, SetUp, state_of
from vectors.keys import seeds_of


class Played:
    """One set-up, played by the real parties with sealing keys from seeds.

    Args:
        memories: what aggregators and clients remember before; the same is there afterwards.
    """

    def __init__(self, cast: Cast, keys: SetUp, memories: tuple[dict[int, Any], dict[int, Any]]) -> None:
        self.cast, self.keys, self.epoch, self.said = cast, keys, keys.epoch, list[tuple[str, Message]]()
        self.aggregator_memories, self.client_memories = memories
        self.taking_part, self.joining = sealing.TAKING_PART[self.epoch], 4
        self.aggregators = {s: self.aggregator(s) for s in cast.aggregators}
        self.clients = {i: self.client(i) for i in self.taking_part}
        with sealing.pinned():
            self._play()
        self.sealed_hashes = {i: list(self.client_memories[i].sealed_hashes) for i in self.taking_part}

    def aggregator(self, s: int) -> AggregatorSetup:
        """An aggregator's offer."""
        cast = self.cast
        own = AggregatorSetup(cast.manifest, s, cast.aggregator_keys[s], self.epoch, self.keys.leader)
        own._unsealing = sealing.recipient(f"{self.epoch}/aggregator {s}")
        return own

    def client(self, i: int) -> ClientSetup:
        """A client; the one that joins has no training state."""
        cast, memory = self.cast, self.client_memories.get(i)
        initial = None if memory is not None or i == self.joining else cast.state
        own = ClientSetup(cast.manifest, i, cast.client_keys[i], memory, initial)
        own._unsealing = sealing.recipient(f"{self.epoch}/client {i}")
        return own

    def _say(self, sender: str, *messages: Any) -> None:
        self.said += [(sender, message) for message in messages]

    def _play(self) -> None:
        cast, setup = self.cast, self.keys.id
        offered = [own.key() for own in self.aggregators.values()]
        request = cast.request(BIND, setup, 0, bytes(32))
        for s, message in enumerate(offered, start=1):
            self._say(f"aggregator {s}", message)
        self._say("hub", request)
        for s, own in self.aggregators.items():
            self.aggregator_memories[s] = own.bind(self.aggregator_memories.get(s), offered, request)
        for i, own in self.clients.items():
            if own.bind(offered) != setup:
                raise RuntimeError("another set-up id than that of the keys")
            sealed = own.seal_stream_keys([self.keys.stream_key(i, s) for s in cast.aggregators])
            self._say(f"client {i}", own.key(), *sealed)
            for message in sealed:
                self.aggregators[message.aggregator].receive(self.aggregator_memories[message.aggregator], message)
        leader = self.keys.leader
        group_keys = self.clients[leader].lead({i: own.key() for i, own in self.clients.items()}, self.keys.group.key)
        self._say(f"client {leader}", *group_keys)
        for message in group_keys:
            self.clients[message.recipient].receive_group_key(message)
        for s, own in self.aggregators.items():
            self.aggregator_memories[s] = own.start(self.aggregator_memories[s])
        self._give_state()

    def _give_state(self) -> None:
        """The others start; then client 4 is given the state that they hold."""
        cast, joining = self.cast, self.clients[self.joining]
        for i, own in self.clients.items():
            if i != self.joining:
                self.client_memories[i] = own.start(self.client_memories.get(i))
        givers = [i for i in self.taking_part if i != self.joining][:2]
        vouchers = [cast.clients[i].vouch(self.client_memories[i]) for i in givers]
        for i, voucher in zip(givers, vouchers, strict=True):
            self._say(f"client {i}", voucher)
        data, leader = sealing.training_state(self.epoch), self.keys.leader
        memory = self.client_memories[leader]
        message = cast.clients[leader].give_state(memory, joining.key(), data, self.read)
        self._say(f"client {leader}", message)
        joining.receive_state(message, vouchers, self.read)
        self.client_memories[self.joining] = joining.start(self.client_memories.get(self.joining))

    def read(self, data: bytes) -> TrainingState:
        """What a client must know of a state."""
        return state_of(data, sealing.STATES[self.epoch])


def played() -> list[Played]:
    """Both set-ups; between them clients 2 and 3 have moved on by five rounds, and client 4 has not."""
    cast, made = sealing.set_ups()
    aggregators: dict[int, AggregatorMemory] = {}
    clients: dict[int, ClientMemory] = {}
    first = Played(cast, made[1], (aggregators, clients))
    later = state_of(sealing.training_state(2), sealing.STATES[2])
    for i in (2, 3):
        clients[i] = clients[i].next(state=later)
    return [first, Played(cast, made[2], (aggregators, clients))]


def _written(own: Played) -> dict[str, Any]:
    cast, keys, taking_part = own.cast, own.keys, own.taking_part
    seeds = {i: seeds_of(f"{sealing.PLOT.name}/set-up {own.epoch}/client {i}") for i in taking_part}
    state = own.read(sealing.training_state(own.epoch))
    return {
        "epoch": keys.epoch,
        "leader": keys.leader,
        "clients": list(taking_part),
        "joining": own.joining,
        "aggregator_sealing_seeds": [list(keys.seeds[s]) for s in cast.aggregators],
        "client_sealing_seeds": [list(seeds[i]) for i in taking_part],
        "stream_keys_by_client": [[keys.stream_key(i, s) for s in cast.aggregators] for i in taking_part],
        "group_key": keys.group.key,
        "state": {"bytes": sealing.training_state(own.epoch), "digest": state.digest, "counter": state.counter},
        "setup_id": keys.id,
        "group_check": keys.group.check_value(),
        "state_id": keys.group.state_id(state.digest),
        "sealed_hashes_by_client": list(own.sealed_hashes.values()),
        "messages": [
            {"from": sender, "kind": type(message).__name__, "bytes": message.to_bytes()}
            for sender, message in own.said
        ],
    }


def make() -> dict[str, Any]:
    """The usual leader's set-up, and one that the second leader made while the first was away."""
    cast, _ = sealing.set_ups()
    made = played()
    kinds = {type(message) for own in made for _, message in own.said}
    if not {SealedState, Voucher} <= kinds:
        raise RuntimeError("nobody was given a state")
    return {
        "about": "set-ups, docs/protocol.md, Setup; what is sealed is frozen, for sealing is randomised",
        "manifest": cast.manifest.to_toml(),
        "hub_signing_key": cast.hub_key.secret_bytes(),
        "aggregator_signing_keys": [key.secret_bytes() for key in cast.aggregator_keys.values()],
        "client_signing_keys": [key.secret_bytes() for key in cast.client_keys.values()],
        "set_ups": [_written(own) for own in made],
    }
