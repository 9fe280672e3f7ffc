"""32. A straggler that was left out accepts and goes on; a client that is listed without having submitted aborts."""

from __future__ import annotations

from dataclasses import replace

from privateyes.aggregation.client import Client
from privateyes.aggregation.memory import NOT_SUBMITTED
from privateyes.aggregation.result import Check


def _leave_client_three_out(network) -> None:
    """It submitted, and the hub says that its upload never came."""
    network.adversary.on("submit", lambda packet: None, sender="client 3")
    network.play()


def test_a_straggler_accepts_the_sum_of_the_others_learns_of_it_and_goes_on(coalition) -> None:
    _leave_client_three_out(coalition)
    (average,) = coalition.clients[3].accepted
    assert average.counted is False
    assert average.roster == (1, 2, 4)
    assert coalition.every_honest_client_accepted(coalition.ideal(1, 2, 4))
    coalition.adversary._rules.clear()
    coalition.play()
    assert coalition.clients[3].accepted[1].counted is True
    assert coalition.every_honest_client_accepted(coalition.ideal())
    coalition.require_sound()


def test_a_client_that_did_not_take_part_accepts_too(coalition) -> None:
    coalition.play(1, 2, 4)
    assert coalition.clients[3].accepted[0].counted is False
    coalition.require_sound()


def _list_client_three_though_it_knows_of_no_submission(network) -> None:
    """Somebody submitted in its name: its keys were taken, or its disk was put back to before it submitted."""
    network.play(until="check")
    actor = network.clients[3]
    (session,) = actor.memory.followed
    actor.put(replace(actor.memory, followed=(replace(session, header_hash=NOT_SUBMITTED),)))
    network.run()


def test_a_client_that_is_listed_without_having_submitted_aborts(coalition) -> None:
    _list_client_three_though_it_knows_of_no_submission(coalition)
    assert coalition.refusal_of("client 3").check == Check.ROSTER
    assert not coalition.clients[3].accepted
    assert coalition.clients[1].accepted
    coalition.require_sound()


def test_a_client_that_is_listed_with_another_submission_aborts(coalition) -> None:
    coalition.play(until="check")
    actor = coalition.clients[3]
    (session,) = actor.memory.followed
    actor.put(replace(actor.memory, followed=(replace(session, header_hash=bytes(32)),)))
    coalition.run()
    assert coalition.refusal_of("client 3").check == Check.ROSTER
    coalition.require_sound()


def test_without_that_check_somebody_elses_submission_speaks_for_the_client(make_network, case) -> None:
    class Careless(Client):
        def check(self, memory, delivery, clips=None):
            listed = dict(delivery.roster).get(self.number)
            followed = tuple(replace(session, header_hash=listed or NOT_SUBMITTED) for session in memory.followed)
            return super().check(replace(memory, followed=followed), delivery, clips)

    network = make_network(**case, client_type=Careless)
    _list_client_three_though_it_knows_of_no_submission(network)
    assert network.clients[3].accepted[0].counted is True
