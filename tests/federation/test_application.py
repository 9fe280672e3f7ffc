"""A client's host with what trains beside it, each with a store of its own: no other part takes a step for it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from privateyes.crypto.field import WIDE
from privateyes.crypto.statement import KEY_BYTES
from privateyes.encoding.fixed_point import FixedPoint, largest_scale_bits
from privateyes.engines.local.parties import SecurePlan, draw_identities, parties_from
from privateyes.errors import MalformedError, TrainingError
from privateyes.federation.adaptive_clips import AdaptiveClips, ClippingOptimiser
from privateyes.federation.application import FederatedClient
from privateyes.federation.participants import ClientUpdate, Participant
from privateyes.federation.plain import PlainExchange
from privateyes.federation.rounds import ServerState
from privateyes.federation.server_step import FedAvg, ServerOptimiser, StepSettings, build_server_optimiser
from privateyes.federation.stored_state import load_state
from privateyes.parties.aggregator import AggregatorHost
from privateyes.parties.client import ClientHost
from privateyes.parties.hub import HubHost, Named
from privateyes.parties.packets import HUB, client_name
from privateyes.parties.round import Parties, run_round, set_up
from privateyes.storage.memory import MemoryStore

NAMES, D = ("ada", "bob", "cyd"), 40


def local_round(name: str, state: ServerState) -> Participant | None:
    """Half of the way to a point of one's own; bob is away in the second round."""
    if (name, state.round) == ("bob", 1):
        return None
    goal = np.linspace(-0.5, 0.5, D) + NAMES.index(name) / 8
    delta = (0.5 * (goal - state.vector)).astype(np.float32)
    return Participant(ClientUpdate(name, 1 + NAMES.index(name), delta, 0.0))


class Federation:
    """All parties of a task, each with a store in memory."""

    def __init__(
        self, optimiser: ServerOptimiser, initial: ServerState, train: Callable[..., Participant | None] = local_round
    ) -> None:
        bits = largest_scale_bits(WIDE, 1.0, 3, len(NAMES))
        assert bits is not None
        plan = SecurePlan(NAMES, D, 2, FixedPoint(WIDE, 1.0, bits, 3, len(NAMES)), roster_min=2)
        drawn = parties_from(plan, draw_identities(plan), initial.digest())
        self.logs: list[tuple[int, bool]] = []
        hosts: dict[str, AggregatorHost | ClientHost] = {}
        for aggregator in drawn.aggregators:
            hosts[f"aggregator {aggregator.number}"] = AggregatorHost(aggregator)
        for client, name in zip(drawn.clients, NAMES, strict=True):
            own = FederatedClient(
                optimiser,
                lambda state, name=name: train(name, state),
                lambda: bytes(KEY_BYTES),
                initial,
                lambda clipped, shortened: self.logs.append((clipped, shortened)),
            )
            hosts[client_name(client.number)] = ClientHost(client, own)
        stores = {name: MemoryStore() for name in (HUB, *hosts)}
        self.parties = Parties(HubHost(drawn.manifest, drawn.hub), hosts, stores)
        set_up(self.parties, 1, 1)

    def run(self, rounds: int) -> None:
        for number in range(rounds):
            memory = self.parties.stores[client_name(1)].read().get("memory", self.parties.hub.slot)
            named = Named(self.parties.hub.setup, number, memory.state_id)
            run_round(self.parties, named, [client_name(i) for i, _ in enumerate(NAMES, start=1)])

    def states(self) -> list[ServerState]:
        slot = self.parties.hub.slot
        return [
            load_state(self.parties.stores[client_name(i)].read().get("model", slot))
            for i, _ in enumerate(NAMES, start=1)
        ]


def plain_rounds(optimiser: ServerOptimiser, state: ServerState, rounds: int) -> ServerState:
    for _ in range(rounds):
        present = [one for name in NAMES if (one := local_round(name, state)) is not None]
        state, _ = PlainExchange(optimiser).exchange(state, present)
    return state


@pytest.mark.parametrize("name", ["fedavg", "fedadam"])
def test_clients_that_do_all_by_themselves_reach_the_state_of_plain_averaging_to_the_byte(name: str) -> None:
    optimiser = build_server_optimiser(name, StepSettings(0.5))
    initial = ServerState(np.zeros(D, np.float32), optimiser.initial_moments(D))
    federation = Federation(optimiser, initial)
    federation.run(3)
    expected = plain_rounds(optimiser, initial, 3)
    for state in federation.states():
        assert state.vector.tobytes() == expected.vector.tobytes()
        assert (state.round, len(state.lineage)) == (3, 3)
    assert len(federation.logs) == 8  # bob was away once, and nobody gave an update for him


def test_clips_that_adapt_are_part_of_a_clients_own_state() -> None:
    policy = AdaptiveClips((10, 30), 2.0, 1.0)
    initial = ServerState(np.zeros(D, np.float32), clips=policy.initial())
    federation = Federation(ClippingOptimiser(FedAvg(), policy), initial)
    federation.run(2)
    first, *others = federation.states()
    assert first.clips is not None
    assert max(first.clips.clips) < 1.0
    assert all(other.digest() == first.digest() for other in others)


@pytest.mark.parametrize(("size", "value", "problem"), [(D + 1, 0.1, "has shape"), (D, np.nan, "NaN or infinite")])
def test_an_update_that_cannot_be_used_stops_its_client_at_once(size: int, value: float, problem: str) -> None:
    def diverging(name: str, state: ServerState) -> Participant | None:
        if name != "cyd":
            return local_round(name, state)
        return Participant(ClientUpdate(name, 1, np.full(size, value, np.float32), 0.0))

    federation = Federation(FedAvg(), ServerState(np.zeros(D, np.float32)), diverging)
    with pytest.raises(TrainingError, match=f"client cyd {problem}|client cyd .*{problem}"):
        federation.run(1)
    assert not federation.parties.stores[client_name(3)].read().get("kept", federation.parties.hub.session.named.setup)


@pytest.mark.parametrize("model", [b"", b"\x00\x00\x00\x02{}", b"\x00\x00\x00\x04rest", bytes(40)])
def test_bytes_that_are_no_state_are_named(model: bytes) -> None:
    own = FederatedClient(FedAvg(), lambda _: None, lambda: bytes(KEY_BYTES))
    assert own.initial_model() is None
    with pytest.raises(MalformedError, match="no training state"):
        own.read(model)
