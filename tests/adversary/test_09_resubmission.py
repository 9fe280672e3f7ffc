"""9. A client is asked to submit twice from one training state after the first sum was opened: it refuses."""

from __future__ import annotations

from dataclasses import replace

import pytest

from privateyes.aggregation.aggregator import Aggregator
from privateyes.aggregation.client import Client
from privateyes.aggregation.messages import NO_SESSION, OPENED, VOID, Closing, Opening, Submission
from privateyes.errors import MalformedError, RefusedError


def _open_and_withhold_the_result(network, *clients: int) -> None:
    """The adversary learns the first sum; the clients do not get it."""
    network.play(*clients, until="check")
    network.flight.clear()
    network.first = network.sid, network.announced[-1]


@pytest.mark.parametrize("cohort", [(1, 2, 4), (1, 2, 3, 4)], ids=["smaller", "larger"])
def test_after_an_opening_the_client_submits_to_no_other_roster(coalition, cohort) -> None:
    _open_and_withhold_the_result(coalition, 1, 2, 3)
    coalition.play(*cohort)
    for i in (1, 2):
        error = coalition.refusal_of(f"client {i}")
        assert isinstance(error, RefusedError)
        assert "its result was not accepted" in str(error)
        assert len(coalition.words_of(f"client {i}", Submission)) == 1
    coalition.require_sound()


def test_one_honest_aggregator_outweighs_every_false_claim_that_nothing_was_opened(coalition) -> None:
    _open_and_withhold_the_result(coalition, 1, 2, 3)
    sid, session = coalition.first
    coalition.play(1, 2, 4)

    def lie(packet):
        return coalition.altered(packet, 0, lambda closing: coalition.sign(replace(closing, outcome=VOID), sid))

    for s in coalition.liars:
        coalition.adversary.on("closing", lie, sender=f"aggregator {s}")
    coalition.void(session)
    assert {closing.outcome for closing in coalition.honest_word(Closing)} == {OPENED}
    coalition.play(1, 2, 4)
    assert all(len(coalition.words_of(f"client {i}", Submission)) == 1 for i in (1, 2, 3))
    coalition.require_sound()


def test_a_void_session_releases_the_clients_and_the_honest_aggregator_never_opens_it(coalition) -> None:
    coalition.play(1, 2, 3, until="open")
    held = list(coalition.flight)
    coalition.flight.clear()
    session = coalition.announced[-1]
    coalition.play(1, 2, 3, until="vote")
    coalition.flight.clear()
    coalition.void(session)
    for late in held:
        coalition.deliver(late)
    assert not coalition.honest_word(Opening)
    coalition.flight.clear()
    coalition.play(1, 2, 3)
    assert coalition.every_honest_client_accepted(coalition.ideal(1, 2, 3))
    coalition.require_sound()


def test_a_new_epoch_does_not_let_an_aggregator_open_what_it_calls_void(coalition) -> None:
    """Between the start of an epoch and its first round, too, a session is either open to be opened or void."""
    coalition.play(1, 2, 3, until="open")
    held, session = list(coalition.flight), coalition.announced[-1]
    coalition.flight.clear()
    coalition.set_up()
    name = f"aggregator {coalition.honest}"
    before = coalition.ask(name, "closing", session)
    for late in held:
        coalition.deliver(late)
    coalition.flight.clear()
    opened = bool(coalition.honest_word(Opening))
    assert not (before and before[0].outcome == VOID and opened)
    coalition.announce(1, 2, 3)
    coalition.run(until="submit")
    (after,) = coalition.ask(name, "closing", session)
    assert after.outcome == (OPENED if opened else VOID)
    coalition.require_sound()


def test_without_that_the_adversary_has_both_sums_and_their_difference(make_network, case, aggregator_actor) -> None:
    """The double takes its last session into the new epoch, where it is void by its round and open by its id."""

    class KeepsLastSession(aggregator_actor):
        def do_start(self, packet):
            last = self.memory.last_sid
            super().do_start(packet)
            self.memory = replace(self.memory, last_sid=last)

    class ClosesByRound(Aggregator):
        def closing(self, memory, epoch, round_number, state_id):
            return super().closing(replace(memory, last_sid=NO_SESSION), epoch, round_number, state_id)

    network = make_network(**case, actor_type=KeepsLastSession, aggregator_type=ClosesByRound)
    network.play(1, 2, 3, until="open")
    held, session, sid = list(network.flight), network.announced[-1], network.sid
    first_total = network.hub.total
    network.flight.clear()
    group = network.group
    network.set_up()
    network.void(session)
    for late in held:
        network.deliver(late)
    shares = [message.share for name, message in network.said if isinstance(message, Opening) and message.sid == sid]
    first = network.read(network.add(first_total.share, *shares), masks=3, group=group, sid=sid)
    network.flight.clear()
    network.play(2, 3, 4)
    second = network.ideal(2, 3, 4)
    assert network.every_honest_client_accepted(second)
    known = network.input_of(4)
    theirs = [*second.values, second.total_weight]
    stolen = [a - b + c for a, b, c in zip(first, theirs, [*known.values, known.weight], strict=True)]
    assert stolen == [*network.input_of(1).values, network.input_of(1).weight]
    with pytest.raises(AssertionError, match="opened a session that it called void"):
        network.require_sound()


def test_without_the_guard_the_difference_of_two_sums_is_one_clients_update(make_network, case) -> None:
    class Forgetting(Client):
        def submit(self, memory, *rest):
            return super().submit(replace(memory, pending=()), *rest)

    network = make_network(**case, client_type=Forgetting)
    sums = []
    for roster in ((1, 2, 3), (2, 3, 4)):
        network.play(*roster, until="check")
        everything = [opening.share for opening in network.hub._parsed("open")]
        sums.append(network.read(network.add(network.hub.total.share, *everything), masks=3))
        network.flight.clear()
    known = network.input_of(4)
    stolen = [a - b + c for a, b, c in zip(*sums, [*known.values, known.weight], strict=True)]
    assert stolen == [*network.input_of(1).values, network.input_of(1).weight]
    with pytest.raises(AssertionError, match="a second submission from one state"):
        network.require_sound()


def _opened(world, *clients: int) -> None:
    world.run(*clients)
    world.first_sid, world.first_round = world.sid, world.round
    world.announce()


def test_the_honest_word_can_be_neither_left_out_nor_forged_nor_taken_from_another_session(world) -> None:
    _opened(world, 1, 2)
    memory, client = world.client_memories[1], world.clients[1]
    lies = [
        Closing(world.first_sid, s, VOID).signed_by(world.aggregator_keys[s], world.first_sid)
        for s in range(2, world.n + 1)
    ]
    with pytest.raises(RefusedError):
        client.settle(memory, lies)
    with pytest.raises(RefusedError):
        client.settle(memory, [lies[0], *lies])
    with pytest.raises(MalformedError):
        client.settle(memory, [Closing(world.first_sid, 1, VOID), *lies])
    other = world.aggregators[1].closing(world.aggregator_memories[1], world.epoch, world.first_round, bytes(32))
    assert other.outcome == VOID
    with pytest.raises((RefusedError, MalformedError)):
        client.settle(memory, [other, *lies])
    with pytest.raises(MalformedError):
        client.settle(memory, [replace(other, sid=world.first_sid), *lies])
    misnamed = Closing(bytes(32), 2, VOID).signed_by(world.aggregator_keys[2], world.first_sid)
    true = world.closings(world.first_round)
    with pytest.raises(RefusedError, match="close different sessions"):
        client.settle(memory, [true[0], misnamed, *true[2:]])
    unknown = Closing(world.first_sid, 2, 2).signed_by(world.aggregator_keys[2], world.first_sid)
    with pytest.raises(MalformedError, match="neither void nor opened"):
        client.settle(memory, [true[0], unknown, *true[2:]])
    with pytest.raises(RefusedError):
        client.settle(memory, [])


def test_an_aggregator_that_said_void_never_opens(world) -> None:
    world.run(1, 2, to="agree")
    states, agreements = dict(world.states), list(world.agreements)
    first_round = world.round
    world.announce()
    assert {closing.outcome for closing in world.closings(first_round)} == {VOID}
    for s, own in world.aggregators.items():
        with pytest.raises(RefusedError, match="this session is closed"):
            own.open(world.aggregator_memories[s], states[s], agreements)


def test_an_aggregator_declares_no_session_void_that_it_may_still_open(world) -> None:
    world.run(1, 2, to="agree")
    for round_number in (world.round, world.round + 1):
        with pytest.raises(RefusedError, match="is not closed"):
            world.closings(round_number)
