"""Networks in which the adversary holds the hub and more, and the guards that can be switched off in them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from actors import AggregatorActor
from client_actor import INITIAL, ClientActor
from doubles import Forgetful
from network import Network
from privateyes.aggregation import aggregator, hub, result
from privateyes.aggregation.aggregator import Aggregator
from privateyes.aggregation.challenge import TensorChallenge
from privateyes.aggregation.client import Client
from privateyes.crypto.field import COMPACT, WIDE
from world import World


@pytest.fixture(scope="session")
def make_network(make_world: type[World]) -> Callable[..., Network]:
    """Builds a network; its parties start from the memories of a set-up that is made once for each shape."""
    known: dict[Any, dict[str, Any]] = {}

    def make(
        n: int = 3,
        field: Any = COMPACT,
        honest: int = 1,
        corrupt_clients: Sequence[int] = (4,),
        client_type: type[Client] = Client,
        aggregator_type: type[Aggregator] = Aggregator,
        actor_type: type[AggregatorActor] = AggregatorActor,
        tolerated: int = 1,
        **shape: Any,
    ) -> Network:
        shape = {"roster_min": 3, "corrupt_clients": tolerated, **shape}
        key = (n, field.name, *sorted(shape.items()))
        types = {"client_type": client_type, "aggregator_type": aggregator_type}
        world = make_world(n=n, field=field, initial=INITIAL.state, set_up=key not in known, **types, **shape)
        if key not in known:
            known[key] = {f"aggregator {s}": memory for s, memory in world.aggregator_memories.items()}
            known[key] |= {f"client {i}": memory for i, memory in world.client_memories.items()}
        network = Network(world, known[key], honest, corrupt_clients)
        if actor_type is not AggregatorActor:
            network.swap_honest_actor(actor_type)
        return network

    return make


CASES = [(2, COMPACT, 1), (2, WIDE, 2), (3, COMPACT, 3), (3, WIDE, 1), (5, COMPACT, 2)]
"""n, the field, and which aggregator is the honest one."""


@pytest.fixture(params=CASES, ids=lambda case: f"{case[0]}-{case[1].name}-honest{case[2]}")
def case(request: pytest.FixtureRequest) -> dict[str, Any]:
    """Arguments of make_network and, less the honest one, of make_world."""
    return dict(zip(("n", "field", "honest"), request.param, strict=True))


@pytest.fixture
def coalition(make_network: Callable[..., Network], case: dict[str, Any]) -> Network:
    """The adversary holds the hub, n - 1 aggregators and client 4."""
    return make_network(**case)


@pytest.fixture
def operators(make_network: Callable[..., Network], case: dict[str, Any]) -> Network:
    """The adversary holds the hub and n - 1 aggregators, and no client."""
    return make_network(**case, corrupt_clients=())


@pytest.fixture
def world(make_world: type[World], case: dict[str, Any]) -> World:
    """Four clients and two, three or five aggregators, driven step by step."""
    return make_world(n=case["n"], field=case["field"])


@pytest.fixture(scope="session")
def forgetful() -> type[Forgetful]:
    """The class of aggregators whose store forgets; see Forgetful."""
    return Forgetful


@pytest.fixture
def without_commitments(monkeypatch: pytest.MonkeyPatch) -> None:
    """A guard switched off: openings are not held against the commitments."""
    for module in (aggregator, hub):
        monkeypatch.setattr(module, "require_committed", lambda *arguments: None)


@pytest.fixture
def without_result_signatures(monkeypatch: pytest.MonkeyPatch) -> None:
    """A guard switched off: clients do not look at the aggregators' signatures on a result."""
    monkeypatch.setattr(result, "require_signature", lambda *arguments: None)


@pytest.fixture
def without_pads(monkeypatch: pytest.MonkeyPatch) -> None:
    """A guard switched off: every v_l is zero."""
    made = TensorChallenge.accumulator

    def accumulator(challenge: TensorChallenge) -> Any:
        plain = made(challenge)
        plain._pads = np.zeros_like(plain._pads)
        return plain

    monkeypatch.setattr(TensorChallenge, "accumulator", accumulator)


@pytest.fixture(scope="session")
def aggregator_actor() -> type[AggregatorActor]:
    """The class of the aggregators around their state machines, for test doubles."""
    return AggregatorActor


@pytest.fixture(scope="session")
def client_actor() -> type[ClientActor]:
    """The class of the clients around their state machines, for test doubles."""
    return ClientActor
