"""All parties in one process, with keys of their own."""

from __future__ import annotations

from dataclasses import replace

import pytest

from failing_disks import Killed
from local_task import dying_before, local_parties, set_up_in
from privateyes.crypto.field import COMPACT
from privateyes.encoding.fixed_point import FixedPoint
from privateyes.engines.local.message_log import Endpoint, MessageLog
from privateyes.engines.local.parties import SecurePlan, draw_identities
from privateyes.errors import ConfigError, ParameterError
from privateyes.storage.store import PartyStore


@pytest.fixture
def store(tmp_path):
    opened = PartyStore.create(tmp_path)
    yield opened
    opened.close()


PLAN = SecurePlan(("x", "y", "z"), 5, 2, FixedPoint(COMPACT, 1.0, 8, 10, 3), roster_min=2)


def test_every_party_has_a_name_and_a_key_of_its_own() -> None:
    identities = draw_identities(PLAN)
    assert list(identities.keys) == ["aggregator 1", "aggregator 2", "client x", "client y", "client z", "hub"]
    assert list(identities.data_sets) == ["client x", "client y", "client z"]
    assert len({*identities.keys.values(), *identities.data_sets.values()}) == 9
    assert draw_identities(PLAN) != identities


@pytest.mark.parametrize("name", ["x\u202e", " x", "", "x\n", "x" * 201])
def test_a_client_that_would_be_seen_as_another_is_refused_before_any_key_is_drawn(name) -> None:
    with pytest.raises(ConfigError, match=r"\[\[clients\]\] number 2: name"):
        replace(PLAN, clients=("y", name, "z")).require_safe()


def test_the_same_identities_give_the_same_manifest() -> None:
    identities = draw_identities(PLAN)
    first, second = local_parties(PLAN, identities), local_parties(PLAN, identities)
    assert first.manifest == second.manifest
    assert first.number_of("z") == 3
    assert [party.name for party in first.manifest.aggregators] == ["aggregator 1", "aggregator 2"]


def test_the_set_up_gives_all_clients_one_group_key_and_each_pair_a_key_of_its_own(store) -> None:
    parties = local_parties(PLAN)
    message_log = MessageLog(parties.manifest)
    set_up_in(store, parties, message_log)
    assert len({memory.group.key for memory in parties.client_memories(store).values()}) == 1
    chains = {
        (i, s): chain.key
        for i, memory in parties.client_memories(store).items()
        for s, chain in enumerate(memory.chains, start=1)
    }
    assert len(set(chains.values())) == 6
    for s, memory in parties.aggregator_memories(store).items():
        assert {i: chain.key for i, chain in memory.chains.items()} == {i: chains[i, s] for i in (1, 2, 3)}
    assert message_log.bytes_between(Endpoint.CLIENT, Endpoint.HUB) > 6 * 1168


def test_no_secret_crosses_the_wire_in_the_clear(store) -> None:
    parties = local_parties(PLAN)
    message_log = MessageLog(parties.manifest)
    set_up_in(store, parties, message_log)
    said = b"".join(data for _, data in message_log.transcript)
    memories = parties.client_memories(store).values()
    secrets = [memory.group.key for memory in memories]
    secrets += [chain.key for memory in memories for chain in memory.chains]
    assert not any(secret in said for secret in secrets)


def test_the_aggregators_are_bound_before_anything_is_unsealed_and_a_killed_set_up_is_made_anew(store) -> None:
    parties = local_parties(PLAN)
    with dying_before("stream"), pytest.raises(Killed):
        set_up_in(store, parties)
    bound = parties.aggregator_memories(store)
    assert sorted(bound) == [1, 2]
    assert not any(memory.current.started or memory.chains for memory in bound.values())
    assert parties.client_memories(store) == {}
    set_up_in(store, parties)
    for number, memory in parties.aggregator_memories(store).items():
        assert memory.current.started
        assert memory.current.id != bound[number].current.id
        assert list(memory.terminal) == [bound[number].current.id]


def test_one_aggregator_can_be_replaced() -> None:
    parties = local_parties(PLAN)
    other = replace(parties.aggregators[1], manifest=parties.manifest)
    replaced = parties.with_aggregator(other)
    assert replaced.aggregators == (parties.aggregators[0], other)


@pytest.mark.parametrize(
    "changes", [{"aggregators": 1}, {"clients": ("x",)}, {"roster_min": 4}, {"corrupt_clients": 1}], ids=str
)
def test_an_unsafe_plan_is_refused(changes) -> None:
    plan = replace(PLAN, **changes)
    with pytest.raises(ParameterError):
        local_parties(plan)
