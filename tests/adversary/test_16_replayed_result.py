"""16. An old result delivered again: it is of another session."""

from __future__ import annotations

from dataclasses import replace

import pytest

from privateyes.aggregation.messages import NO_SESSION
from privateyes.aggregation.result import Check
from privateyes.errors import DeliveryError


def _replay_the_first_result(network) -> None:
    """Right after it was accepted, and in the next round in place of the new one."""
    network.play(1, 2, 3)
    first = [packet for packet in network.adversary.seen if packet.step == "check"]
    for packet in first:
        network.deliver(packet)
    network.play(until="check")
    network.flight = first
    network.run()


def test_a_result_is_accepted_for_its_own_session_only(coalition) -> None:
    _replay_the_first_result(coalition)
    for i in coalition.honest_clients:
        refusals = [error for error in coalition.errors_of(f"client {i}") if isinstance(error, DeliveryError)]
        assert [error.check for error in refusals] == [Check.SESSION] * 2
        assert len(coalition.clients[i].accepted) == 1
    coalition.require_sound()


def test_without_the_session_the_old_result_is_applied_again(make_network, case, client_actor) -> None:
    """The double believes that whatever comes is of the session that it follows."""

    class Credulous(client_actor):
        def do_check(self, packet):
            if self.memory.accepted is not None:
                self.put(replace(self.memory, followed=(self.memory.accepted,)))
                self.seen = self.disk.read()
            return super().do_check(packet)

    network = make_network(**case)
    old = network.clients[3]
    network.clients[3] = network.actors["client 3"] = Credulous(old.own, old.disk, old.encoded)
    network.clients[3].delta = old.delta
    network.play(1, 2, 4)
    first = next(p for p in network.adversary.seen if p.step == "check" and p.receiver == "client 3")
    network.deliver(first)
    assert [average.sid for average in network.clients[3].accepted] == [network.sid] * 2


def test_a_client_that_waits_for_no_session_takes_none_without_an_id(world) -> None:
    world.run()
    world.accept()
    with pytest.raises(DeliveryError) as refusal:
        world.check(1, replace(world.delivery, sid=NO_SESSION))
    assert refusal.value.check == Check.SESSION
