"""9. A client is asked to submit twice from one training state after the first sum was opened: it refuses."""

from __future__ import annotations

from dataclasses import replace

import pytest

from privateyes.aggregation import aggregator
from privateyes.aggregation.client import Client
from privateyes.aggregation.messages import CLOSING, OPENED, VOID, Closing, Opening, Submission
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


def _play_until_t_is_signed(network, *clients: int):
    """The session as the hub names it, and the requests to open that it holds back."""
    network.play(*clients, until="open")
    held, named = list(network.flight), network.announced[-1]
    network.flight.clear()
    return named, held


def test_a_session_that_was_given_up_releases_the_clients_and_the_honest_aggregator_never_opens_it(coalition) -> None:
    named, held = _play_until_t_is_signed(coalition, 1, 2, 3)
    coalition.give_up(named)
    coalition.void(named)
    for late in held:
        coalition.deliver(late)
    assert not coalition.honest_word(Opening)
    coalition.flight.clear()
    coalition.play(1, 2, 3)
    assert coalition.every_honest_client_accepted(coalition.ideal(1, 2, 3))
    coalition.require_sound()


def test_a_session_that_a_later_round_overtook_before_t_is_void_too(coalition) -> None:
    coalition.play(1, 2, 3, until="agree")
    held, named = list(coalition.flight), coalition.announced[-1]
    coalition.flight.clear()
    coalition.announce()
    coalition.run(until="submit")
    coalition.void(named, until="submit")
    for late in held:
        coalition.deliver(late)
    coalition.run()
    assert [closing.outcome for closing in coalition.honest_word(Closing)] == [VOID]
    assert coalition.every_honest_client_accepted(coalition.ideal())
    coalition.require_sound()


def test_a_new_set_up_does_not_let_an_aggregator_open_what_it_calls_void(coalition) -> None:
    """Between the start of a set-up and its first round, a session of the last one may still be opened: not void."""
    named, held = _play_until_t_is_signed(coalition, 1, 2, 3)
    coalition.set_up()
    name = f"aggregator {coalition.honest}"
    assert not coalition.closing(name, named)
    assert "may still be opened" in str(coalition.refusal_of(name))
    for late in held:
        coalition.deliver(late)
    coalition.flight.clear()
    assert len(coalition.honest_word(Opening)) == 1
    coalition.announce(1, 2, 3)
    coalition.run(until="submit")
    (after,) = coalition.closing(name, named)
    assert after.outcome == OPENED
    coalition.require_sound()


def test_without_that_the_adversary_has_both_sums_and_their_difference(coalition, monkeypatch) -> None:
    """The double calls every session of a terminal set-up void at once, though the last may still be opened."""
    monkeypatch.setattr(
        aggregator,
        "is_closed",
        lambda memory, request, sid: request.setup in memory.terminal or memory.session.given_up,
    )
    network = coalition
    named, held = _play_until_t_is_signed(network, 1, 2, 3)
    first_total, group = network.session.total, network.group
    network.set_up()
    network.void(named)
    for late in held:
        network.deliver(late)
    openings = [message for _, message in network.said if isinstance(message, Opening) and message.sid == named.sid]
    shares = [message.share for message in openings]
    first = network.read(network.add(first_total.share, *shares), masks=3, group=group, sid=named.sid)
    network.flight.clear()
    network.play(2, 3, 4)
    second = network.ideal(2, 3, 4)
    assert network.every_honest_client_accepted(second)
    known = network.input_of(4)
    theirs = [*second.values, second.total_weight]
    stolen = [a - b + c for a, b, c in zip(first, theirs, [*known.values, known.weight], strict=True)]
    assert stolen == [*network.input_of(1).values, network.input_of(1).weight]
    with pytest.raises(AssertionError, match=r"opened a session that it called void.*of different rosters"):
        network.require_sound()


def test_without_the_guard_the_difference_of_two_sums_is_one_clients_update(make_network, case) -> None:
    class Forgetting(Client):
        def submit(self, memory, ledger, *rest):
            return super().submit(memory, (), *rest)

    network = make_network(**case, client_type=Forgetting)
    sums = []
    for roster in ((1, 2, 3), (2, 3, 4)):
        network.play(*roster, until="check")
        everything = [opening.share for opening in network.session.parsed("open")]
        sums.append(network.read(network.add(network.session.total.share, *everything), masks=3))
        network.flight.clear()
    known = network.input_of(4)
    stolen = [a - b + c for a, b, c in zip(*sums, [*known.values, known.weight], strict=True)]
    assert stolen == [*network.input_of(1).values, network.input_of(1).weight]
    with pytest.raises(AssertionError, match=r"a second submission from the same weights.*of different rosters"):
        network.require_sound()


def _opened(world, *clients: int) -> None:
    world.run(*clients)
    world.first_sid, world.first_round = world.sid, world.round
    world.announce()


def test_the_honest_word_can_be_neither_left_out_nor_forged_nor_taken_from_another_session(world) -> None:
    _opened(world, 1, 2)
    memory, ledger, client = world.client_memories[1], world.ledgers[1], world.clients[1]
    lies = [
        Closing(world.first_sid, s, VOID).signed_by(world.aggregator_keys[s], world.first_sid)
        for s in range(2, world.n + 1)
    ]
    with pytest.raises(RefusedError):
        client.settle(memory, ledger, lies)
    with pytest.raises(RefusedError):
        client.settle(memory, ledger, [lies[0], *lies])
    with pytest.raises(MalformedError):
        client.settle(memory, ledger, [Closing(world.first_sid, 1, VOID), *lies])
    request = world.request(CLOSING, world.first_round, bytes(32))
    other = world.aggregators[1].closing(world.aggregator_memories[1], request)
    assert other.outcome == VOID
    with pytest.raises((RefusedError, MalformedError)):
        client.settle(memory, ledger, [other, *lies])
    with pytest.raises(MalformedError):
        client.settle(memory, ledger, [replace(other, sid=world.first_sid), *lies])
    misnamed = Closing(bytes(32), 2, VOID).signed_by(world.aggregator_keys[2], world.first_sid)
    true = world.closings(world.first_round)
    with pytest.raises(RefusedError, match="close different sessions"):
        client.settle(memory, ledger, [true[0], misnamed, *true[2:]])
    unknown = Closing(world.first_sid, 2, 2).signed_by(world.aggregator_keys[2], world.first_sid)
    with pytest.raises(MalformedError, match="neither void nor opened"):
        client.settle(memory, ledger, [true[0], unknown, *true[2:]])
    with pytest.raises(RefusedError):
        client.settle(memory, ledger, [])


def test_an_aggregator_that_said_void_never_opens(world) -> None:
    world.run(1, 2, to="agree")
    world.give_up()
    assert {closing.outcome for closing in world.closings(world.round)} == {VOID}
    for s, own in world.aggregators.items():
        with pytest.raises(RefusedError, match="gave the session up"):
            own.open(world.aggregator_memories[s], world.shares[s], world.agreements)


def test_an_aggregator_declares_no_session_void_that_it_may_still_open(world) -> None:
    world.run(1, 2, to="agree")
    for round_number in (world.round, world.round + 1):
        with pytest.raises(RefusedError, match="is not closed"):
            world.closings(round_number)
