"""Random schedules: what each is made of, and the judge's word at its end."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from unittest import mock

import judging
from actors import AggregatorActor
from chaos import Chaos
from client_actor import INITIAL, ClientActor, Model
from liars import Accomplice, Liar
from network import Network
from privateyes.aggregation import messages, result
from privateyes.aggregation.client import Client
from privateyes.aggregation.messages import VOID, Closing, Disclosure
from privateyes.crypto import signature
from privateyes.crypto.field import COMPACT, WIDE
from privateyes.crypto.signature import SigningKey
from world import World

SHAPES: tuple[dict[str, Any], ...] = (
    {"n": 2, "m": 3, "roster_min": 2},
    {"n": 2, "m": 3, "roster_min": 3},
    {"n": 2, "m": 4, "roster_min": 3, "corrupt_clients": 1},
    {"n": 3, "m": 3, "roster_min": 2},
    {"n": 2, "m": 4, "roster_min": 4, "corrupt_clients": 1},
)
"""Open and fixed cohorts, with a corrupt client, the last, and without; two and three aggregators."""


@dataclass(slots=True)
class Doubles:
    """The parties that play in a schedule, where a guard is to be off."""

    aggregator: type[AggregatorActor] = AggregatorActor
    client: type[ClientActor] = ClientActor
    client_type: type[Client] = Client


class HostileNetwork(Network):
    """A network whose corrupt parties refuse nothing, and whose honest trainers never make an update twice."""

    doubles: Doubles

    def actor_of_aggregator(self, number: int) -> type[AggregatorActor]:
        """A liar, or the honest one."""
        return self.doubles.aggregator if number == self.honest else Liar

    def actor_of_client(self, number: int) -> type[ClientActor]:
        """An accomplice, or an honest one."""
        return Accomplice if number in self.corrupt_clients else self.doubles.client


@dataclass(slots=True)
class Schedules:
    """Makes and runs schedules; set-ups are made once for each shape.

    Attributes:
        doubles: who plays.
        happened: how often what, over all schedules.
        cells: how often which fault befell which step of an honest party.
    """

    doubles: Doubles = field(default_factory=Doubles)
    happened: Counter[str] = field(default_factory=Counter)
    cells: Counter[tuple[str, str]] = field(default_factory=Counter)
    _known: dict[Any, tuple[World, dict[str, Any]]] = field(default_factory=dict)

    def run(self, seed: int, plan: str = "") -> list[str]:
        """One schedule; every promise that it broke."""
        dice = random.Random(seed)
        shape = dict(dice.choice(SHAPES))
        shape |= {"mode": dice.choice(["sealed", "public"]), "field": dice.choice([COMPACT, WIDE]), "d": 2}
        first = self._network(shape, dice)
        chaos = Chaos(first, dice, lambda network: self._other_task(network, shape, dice))
        chaos.play(dice.randint(5, 12), plan)
        heard = {task: ear.heard() for task, ear in chaos.ears.items()}
        self._count(chaos)
        return [*judging.broken_promises(chaos.tasks), *judging.wrongly_proven(heard)]

    def _network(self, shape: dict[str, Any], dice: random.Random) -> HostileNetwork:
        world, memories = self._set_up(shape)
        absent = f"client {dice.randint(1, world.m)}" if dice.random() < 0.2 else ""
        present = {name: memory for name, memory in memories.items() if name != absent}
        network = self._hostile(world, present, dice.randint(1, world.n))
        for actor in network.clients.values():
            actor.has_initial = dice.random() < 0.5
        return network

    def _hostile(self, world: World, memories: dict[str, Any], honest: int, *sibling: Network) -> HostileNetwork:
        corrupt = (world.m,) if world.manifest.corrupt_clients else ()
        kind = type("Hostile", (HostileNetwork,), {"doubles": self.doubles})
        network: HostileNetwork = kind(world, memories, honest, corrupt, *sibling)
        for actor in network.clients.values():
            actor.trains_anew = True
        return network

    def _set_up(self, shape: dict[str, Any]) -> tuple[World, dict[str, Any]]:
        key = tuple(sorted((name, str(value)) for name, value in shape.items()))
        if key not in self._known:
            world = World(**shape, client_type=self.doubles.client_type, initial=INITIAL.state)
            memories = {f"aggregator {s}": memory for s, memory in world.aggregator_memories.items()}
            memories |= {f"client {i}": memory for i, memory in world.client_memories.items()}
            self._known[key] = world, memories
        return self._known[key]

    def _other_task(self, first: Network, shape: dict[str, Any], dice: random.Random) -> Network:
        """Of the same parties and data: another manifest of the same keys, or of other keys; from the first weights, or
        from those that some client holds now.
        """
        held = [actor.model.weights for actor in first.clients.values() if actor.model is not None]
        model = INITIAL if dice.random() < 0.6 or not held else Model(dice.choice(held))
        keys = {"first_client": dice.randrange(2), "settings": bytes([9]) * 32, "initial": model.state}
        world = World(**shape, **keys, set_up=False, client_type=self.doubles.client_type)
        task = self._hostile(world, {}, first.honest, first)
        task.initial = model
        for actor in task.clients.values():
            actor.initial = model
        task.set_up()
        return task

    def _count(self, chaos: Chaos) -> None:
        self.happened += chaos.did
        self.cells += chaos.cells
        for task in chaos.tasks:
            self.cells += task.met
            closings = task.honest_word(Closing)
            self.happened["void"] += sum(closing.outcome == VOID for closing in closings)
            self.happened["opened"] += len(task.opened)
            self.happened["stopped"] += len(task.failures)
            self.happened["accepted"] += sum(len(task.clients[i].accepted) for i in task.honest_clients)
            self.happened["disclosed"] += sum(isinstance(message, Disclosure) for _, message in task.said)


@contextmanager
def remembered_signatures() -> Iterator[None]:
    """What was signed here, or verified once, is not verified again: most of a schedule's time otherwise."""
    known: set[tuple[bytes, bytes, bytes]] = set()
    public: dict[int, tuple[SigningKey, bytes]] = {}
    sign, require = SigningKey.sign, signature.require_signature

    def signing(key: SigningKey, statement: bytes) -> bytes:
        _, public_bytes = public.setdefault(id(key), (key, b""))
        if not public_bytes:
            public_bytes = key.public_bytes
            public[id(key)] = key, public_bytes
        signed = sign(key, statement)
        known.add((public_bytes, signed, statement))
        return signed

    def requiring(public_key: bytes, signed: bytes, statement: bytes, what: str) -> None:
        if (public_key, bytes(signed), statement) not in known:
            require(public_key, signed, statement, what)
            known.add((public_key, bytes(signed), statement))

    with (
        mock.patch.object(SigningKey, "sign", signing),
        mock.patch.object(messages, "require_signature", requiring),
        mock.patch.object(result, "require_signature", requiring),
    ):
        yield
