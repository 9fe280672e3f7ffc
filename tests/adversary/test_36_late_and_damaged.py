"""36. After T was signed, messages come late or damaged: nothing is lost, and nobody opens what was given up."""

from __future__ import annotations

from dataclasses import replace

import pytest

from actors import AggregatorActor
from isolation import less, open_with, opened_sum, sum_of
from privateyes.aggregation import aggregator as aggregator_code
from privateyes.aggregation.messages import ANNOUNCE, GIVE_UP, VOID
from privateyes.errors import AbortError, PrivateyesError, RefusedError

HONEST = 1


def test_a_damaged_agreement_costs_nothing_and_the_right_one_still_opens(world) -> None:
    world.run(1, 2, 3, to="agree")
    before = dict(world.aggregator_memories)
    damaged = [replace(message, transcript=bytes(32)) for message in world.agreements]
    for s, own in world.aggregators.items():
        for seen in (damaged, world.agreements[:-1], []):
            with pytest.raises((AbortError, RefusedError)):
                own.open(world.aggregator_memories[s], world.shares[s], seen)
    assert world.aggregator_memories == before
    world.finish_from("open")
    assert world.check(1).total_weight == world.ideal(1, 2, 3).total_weight


def test_after_t_the_next_round_waits_until_the_session_is_opened_or_given_up_by_all(world) -> None:
    world.run(1, 2, 3, to="agree")
    own, memory = world.aggregators[HONEST], world.aggregator_memories[HONEST]
    following = world.request(ANNOUNCE, world.round + 1)
    with pytest.raises(RefusedError, match="neither opened nor given up"):
        own.announce(memory, following)
    round_number = world.round
    notices = world.give_up()
    assert {notice.step for notice in notices} == {4}
    assert {closing.outcome for closing in world.closings(round_number)} == {VOID}
    with pytest.raises(RefusedError, match="gave the session up"):
        own.open(world.aggregator_memories[HONEST], world.shares[HONEST], world.agreements)
    for client in (1, 2, 3):
        world.settle(client, world.closings(round_number))
    open_with(world, 1, 2)
    assert opened_sum(world) == sum_of(world, 1, 2)


def test_what_was_opened_is_not_given_up_and_a_stale_memory_stores_neither(world) -> None:
    """Giving up races opening: both begin from one memory, and the store takes one of the two."""
    world.run(1, 2, 3, to="agree")
    own, memory = world.aggregators[HONEST], world.aggregator_memories[HONEST]
    opened = own.open(memory, world.shares[HONEST], world.agreements)
    given_up = own.give_up(memory, world.request(GIVE_UP, world.round))
    assert opened.memory.version == given_up.memory.version == memory.version + 1
    with pytest.raises(RefusedError, match="was opened here"):
        own.give_up(opened.memory, world.request(GIVE_UP, world.round))
    with pytest.raises(RefusedError, match="gave the session up"):
        own.open(given_up.memory, world.shares[HONEST], world.agreements)


def test_without_that_check_a_session_is_void_and_opened(make_world, case, monkeypatch) -> None:
    monkeypatch.setattr(aggregator_code, "last_session", lambda memory, sid: memory.session)
    world = make_world(n=case["n"], field=case["field"])
    world.run(1, 2, 3, to="agree")
    roots = {s: memory.session.share_root for s, memory in world.aggregator_memories.items()}
    world.give_up()
    closings = world.closings(world.round)
    assert {closing.outcome for closing in closings} == {VOID}
    for s, memory in world.aggregator_memories.items():  # salt and root, which giving up erased, are the adversary's
        session = replace(memory.session, salt=bytes(32), share_root=roots[s])
        world.aggregator_memories[s] = replace(memory, session=session)
    world.finish_from("open", until="open")
    first, victim = opened_sum(world), sum_of(world, 3)
    for client in (1, 2):
        world.settle(client, closings)
    second = open_with(world, 1, 2)
    assert less(first, second) == victim


# Over the network, with a hub that asks again


DAMAGES = {
    "lost": lambda packet: None,
    "another kind": lambda packet: replace(packet, parts=(*packet.parts[:-1], b"\0" + packet.parts[-1][1:])),
    "cut": lambda packet: replace(packet, parts=packet.parts[:-1]),
    "signed by nobody": lambda packet: replace(
        packet, parts=tuple(part[:-1] + bytes((part[-1] ^ 1,)) for part in packet.parts)
    ),
}


def _disturb_once(network, step: str, change) -> None:
    """The first request of a step to the honest aggregator."""
    done = []

    def disturb(packet):
        first = not done
        done.append(packet)
        return change(packet) if first else packet

    network.adversary.on(step, disturb, "hub", f"aggregator {network.honest}")


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("step", ["announce", "commit", "agree", "open", "certify"])
def test_a_hub_that_asks_again_ends_the_session(coalition, step, damage) -> None:
    _disturb_once(coalition, step, DAMAGES[damage])
    coalition.play()
    assert coalition.nobody_accepted()
    coalition.retry()
    assert coalition.every_honest_client_accepted(coalition.ideal())
    assert coalition.round == 0
    coalition.require_sound()


class Touchy(AggregatorActor):
    """A test double whose session ends with the first error, as in version 1: its share is gone."""

    def receive(self, packet):
        try:
            return super().receive(packet)
        except PrivateyesError:
            if packet.step == "open":
                self.disk.put("share", self.memory.session.sid, None)
            raise


def test_if_an_error_ended_the_session_one_damaged_message_would_leave_it_neither_opened_nor_void(
    make_network, case
) -> None:
    network = make_network(**case, actor_type=Touchy)
    _disturb_once(network, "open", DAMAGES["cut"])
    network.play()
    for _ in range(3):
        network.retry()
    assert not network.closing(f"aggregator {network.honest}", network.announced[-1])
    network.play()
    assert network.nobody_accepted(), "and no client submits from its model again"


def test_an_aggregator_that_lost_its_store_gives_nothing_up(coalition) -> None:
    """It would say that it never opens what it may have opened."""
    coalition.play(until="check")
    name, named = f"aggregator {coalition.honest}", coalition.announced[-1]
    coalition.lose(name)
    assert not coalition.ask(name, "give_up", coalition.request(GIVE_UP, named))
    coalition.flight.clear()
    coalition.set_up()
    assert not coalition.ask(name, "give_up", coalition.request(GIVE_UP, named))
    assert not coalition.closing(name, named)
    coalition.require_sound()
