"""41. Two handlers of one aggregator begin from one snapshot: the store lets one of them speak."""

from __future__ import annotations

import secrets
from dataclasses import replace

import pytest

from client_actor import INITIAL
from privateyes.aggregation.messages import GIVE_UP, OPENED, VOID, Submission
from privateyes.errors import RefusedError
from privateyes.parties.packets import Packet
from privateyes.storage.store import PartyStore

HONEST = 1


def _two_commitments(world):
    """What two handlers compute from the same memory, each with a salt of its own."""
    world.run(to="vote")
    own, memory = world.aggregators[HONEST], world.aggregator_memories[HONEST]
    return memory, [own.commit(memory, world.headers, world.votes, secrets.token_bytes(32)) for _ in range(2)]


def test_the_second_is_refused_and_then_repeats_the_firsts_word(world, tmp_path) -> None:
    memory, (first, second) = _two_commitments(world)
    assert first.message.commitment != second.message.commitment
    store = PartyStore.create(tmp_path / "store")
    for version in range(1, memory.version + 1):
        store.put_memory("aggregator 1", memory.to_bytes(), version)
    store.put_memory("aggregator 1", first.memory.to_bytes(), first.memory.version)
    with pytest.raises(RefusedError, match="another handler wrote first"):
        store.put_memory("aggregator 1", second.memory.to_bytes(), second.memory.version)
    own, stored = world.aggregators[HONEST], type(memory).from_bytes(store.memory("aggregator 1"))
    store.close()
    again = own.commit(stored, world.headers, world.votes, secrets.token_bytes(32))
    assert again.message.to_bytes() == first.message.to_bytes()
    assert again.memory is None


def test_without_compare_and_swap_one_session_gets_two_commitments(world) -> None:
    _, (first, second) = _two_commitments(world)
    said = {first.message.to_bytes(), second.message.to_bytes()}
    assert len(said) == 2, "a store that takes both lets both out"
    assert first.message.sid == second.message.sid


# Every step, over the network


def _two_requests(network, step: str) -> tuple[Packet, Packet]:
    """A request to a party that is waiting for it, and another of the same step that leads to another word."""
    name = "client 1" if step == "submit" else f"aggregator {network.honest}"
    packet = next(packet for packet in network.flight if (packet.step, packet.receiver) == (step, name))
    messages = packet.messages(network.manifest)
    if step == "submit":
        return packet, packet  # each with a nonce of its own
    if step == "announce":
        other = replace(messages[0], round=messages[0].round + 1)
        return packet, packet.with_messages([other.signed_by(network.hub.key, other.setup)])
    if step == "vote":
        return packet, packet.with_messages(messages[:-1])
    if step == "commit":
        return packet, packet  # each with a salt of its own
    return packet, packet.with_messages([*messages[:-1], replace(messages[-1], commitment=bytes(32))])


STEPS = ["announce", "submit", "vote", "commit", "agree"]


@pytest.mark.parametrize("step", STEPS)
def test_at_every_step_one_of_two_handlers_speaks(coalition, step) -> None:
    coalition.play(until=step)
    packets = _two_requests(coalition, step)
    coalition.flight.remove(packets[0])
    before = len(coalition.said)
    coalition.race(*packets)
    assert len(coalition.said) == before + 1
    assert "stored its word first" in str(coalition.refusal_of(packets[0].receiver))
    coalition.run()
    assert coalition.every_honest_client_accepted(coalition.ideal())
    coalition.require_sound()


@pytest.mark.parametrize("step", STEPS)
def test_without_compare_and_swap_both_speak(coalition, step) -> None:
    coalition.play(until=step)
    packets = _two_requests(coalition, step)
    coalition.actors[packets[0].receiver].disk.compares = False
    before = len(coalition.said)
    coalition.race(*packets)
    first, second = (message.to_bytes() for _, message in coalition.said[before:])
    assert first != second


@pytest.mark.parametrize("compares", [True, False])
@pytest.mark.parametrize("first", ["open", "give_up"])
def test_a_session_is_opened_or_given_up_if_the_store_compares(coalition, first, compares) -> None:
    coalition.play(until="open")
    name, named = f"aggregator {coalition.honest}", coalition.announced[-1]
    coalition.aggregators[coalition.honest].disk.compares = compares
    held = next(packet for packet in coalition.flight if packet.receiver == name)
    coalition.flight.clear()
    pair = [held, Packet("hub", name, "give_up", (coalition.request(GIVE_UP, named).to_bytes(),))]
    coalition.race(*(pair if first == "open" else pair[::-1]))
    (word,) = coalition.closing(name, named)
    assert word.outcome == (OPENED if (first == "open") is compares else VOID)
    if compares or first == "give_up":
        return coalition.require_sound()
    with pytest.raises(AssertionError, match="opened a session that it called void"):
        coalition.require_sound()
    return None


@pytest.mark.parametrize("compares", [True, False])
def test_two_tasks_do_not_both_find_the_weights_unused(coalition, compares) -> None:
    """Their memories are two, and the ledger is one: the write of a row is compared too."""
    world = type(coalition.world)(
        n=coalition.n, m=4, field=coalition.field, roster_min=3, corrupt_clients=1, settings=bytes([9]) * 32,
        initial=INITIAL.state, set_up=False,
    )  # fmt: skip
    task = type(coalition)(world, {}, coalition.honest, coalition.corrupt_clients, coalition)
    task.set_up()
    for network in (coalition, task):
        network.play(until="submit")
    disk = coalition.disks["client 1"]
    disk.compares, seen = compares, disk.read()
    for network in (coalition, task):
        network.clients[1].pinned = seen
        network.run()
        network.clients[1].pinned = None
    assert bool(task.words_of("client 1", Submission)) is not compares
