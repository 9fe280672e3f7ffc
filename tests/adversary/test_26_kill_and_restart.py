"""26. An aggregator or a client is killed at each step and restarted: abort or the same answer, never two openings."""

from __future__ import annotations

import pytest

from privateyes.aggregation.messages import Opening, RosterCommitment
from privateyes.errors import RefusedError

MOMENTS = ["computed", "stored", "sent"]
"""Before its word is on disk; after, and before it is sent; after it is sent."""

AGGREGATOR_STEPS = ["announce", "vote", "commit", "agree", "open", "certify"]


def _recover(network, name: str) -> None:
    """What an honest hub does: ask the restarted party for the words that it stored, ask again what it was asked
    before, and, if the session still does not end, start the next round.
    """
    network.run(until="vote")
    _ask_again(network, name, "submit")
    network.run()
    if name.startswith("aggregator"):
        network.repeat(name)
        network.run()
    for step in ("agree", "open", "certify", "check"):
        _ask_again(network, name, step)
        network.run()
    if len(_states(network)) != 1 or _states(network) == {network.first_state}:
        network.play_again()


def _ask_again(network, name: str, step: str) -> None:
    asked = [packet for packet in network.adversary.seen if packet.receiver == name and packet.step == step]
    if asked:
        network.carry(asked[0])


def _states(network) -> set[bytes]:
    return {network.clients[i].memory.state_digest for i in network.honest_clients}


def _play_with_a_kill(network, name: str, step: str, moment: str) -> None:
    network.first_state = network.clients[network.honest_clients[0]].memory.state_digest
    network.kill(name, step, moment)
    network.announce()
    _recover(network, name)
    assert network.actors[name].dies_at is None, "the party got that far and died"


def _require_one_end(network) -> None:
    """All honest clients moved on together, and no honest word contradicts another."""
    assert len(_states(network)) == 1
    assert _states(network) != {network.first_state}
    network.require_sound()


@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("step", AGGREGATOR_STEPS)
def test_a_killed_aggregator_gives_the_same_answer_or_none(coalition, step, moment) -> None:
    _play_with_a_kill(coalition, f"aggregator {coalition.honest}", step, moment)
    _require_one_end(coalition)
    before_commitment = AGGREGATOR_STEPS.index(step) < 2 or (step, moment) == ("commit", "computed")
    assert coalition.round == (1 if before_commitment else 0), "from COMMIT on the session goes on"


@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("step", ["submit", "check"])
def test_a_killed_client_goes_on_from_what_it_stored(coalition, step, moment) -> None:
    _play_with_a_kill(coalition, "client 2", step, moment)
    _require_one_end(coalition)


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_client_that_is_killed_while_it_watches_goes_on(coalition, moment) -> None:
    coalition.first_state = coalition.clients[1].memory.state_digest
    coalition.kill("client 2", "observe", moment)
    coalition.play(1, 3, 4)
    if moment == "computed":
        assert not coalition.clients[2].accepted, "it does not follow the session that it forgot, and is behind now"
        assert len(_states(coalition)) == 2
    else:
        assert len(_states(coalition)) == 1
    coalition.require_sound()


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_client_that_is_killed_while_it_settles_submits_again_only_if_it_knows_of_the_end(coalition, moment) -> None:
    coalition.play(until="open")
    coalition.flight.clear()
    coalition.first_state = coalition.clients[1].memory.state_digest
    coalition.kill("client 2", "settle", moment)
    coalition.play_again()
    assert coalition.clients[1].accepted[0].roster == ((1, 3, 4) if moment == "computed" else (1, 2, 3, 4))
    _require_one_end(coalition)


@pytest.mark.parametrize("party", ["aggregator", "client 2"])
@pytest.mark.parametrize("moment", MOMENTS)
def test_a_party_that_is_killed_while_an_epoch_starts_is_in_it_or_not(coalition, party, moment) -> None:
    name = f"aggregator {coalition.honest}" if party == "aggregator" else party
    coalition.kill(name, "start", moment)
    coalition.set_up()
    memory = coalition.actors[name].memory
    assert (memory.epoch if party == "aggregator" else memory.group.epoch) == (1 if moment == "computed" else 2)
    coalition.announce(1, 3, 4)
    coalition.run()
    coalition.set_up()
    coalition.play(1, 3, 4)
    assert {coalition.clients[i].accepted[-1].sid for i in (1, 3)} == {coalition.sid}
    coalition.require_sound()


@pytest.mark.parametrize("registered", [True, False])
def test_what_was_voted_in_one_epoch_is_not_committed_to_in_the_next(coalition, registered) -> None:
    """The keys are gone with their epoch, whether or not the client has new ones."""
    coalition.play(until="commit")
    held = list(coalition.flight)
    coalition.flight.clear()
    name = f"aggregator {coalition.honest}"

    def without_client_one(packet):
        (message,) = packet.messages(coalition.manifest)
        return None if message.client == 1 and not registered else packet

    coalition.adversary.on("stream", without_client_one, receiver=name)
    coalition.set_up()
    for late in held:
        coalition.deliver(late)
    assert isinstance(coalition.refusal_of(name), RefusedError)
    assert not coalition.honest_word(RosterCommitment)
    coalition.require_sound()


@pytest.mark.parametrize("again", ["other roster", "other share"])
@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("step", ["vote", "commit", "agree", "open", "certify"])
def test_after_any_kill_the_adversary_gets_no_second_opening(coalition, step, moment, again) -> None:
    """It asks for everything a second time: for another roster, or for other shares of its own."""
    coalition.play(until="vote")
    solo, other = coalition.solo(1, 2, 3), coalition.solo(*((2, 3, 4) if again == "other roster" else (1, 2, 3)))
    coalition.kill(solo.name, step, moment)
    for name in ("vote", "commit", "agree", "open", "certify"):
        if getattr(solo, name)() is None:
            break
    liar = coalition.liars[0]
    other.shares[liar] = coalition.shifted(other.shares[liar], {0: 1})
    for name in ("vote", "commit", "agree", "open", "certify"):
        setattr(other, f"{name}_word", getattr(solo, f"{name}_word", None))
        if getattr(other, f"{name}_word") is None or name == step:
            getattr(other, name)()
        if getattr(other, f"{name}_word") is None:
            break
    assert len({word.to_bytes() for word in coalition.honest_word(Opening)}) <= 1
    assert len({word.rho for word in coalition.honest_word(RosterCommitment)}) <= 1
    coalition.require_sound()


def test_with_a_store_that_forgets_the_session_a_kill_gives_two_openings(make_network, case, forgetful) -> None:
    class ForgetsSession(forgetful):
        loses = ("committed", "agreed", "memory")

    network = make_network(**case, actor_type=ForgetsSession)
    network.play(until="vote")
    solo, other = network.solo(1, 2, 3), network.solo(2, 3, 4)
    network.kill(solo.name, "open", "sent")
    solo.run(until="certify")
    other.run(until="certify")
    assert len({word.to_bytes() for word in network.honest_word(Opening)}) == 2
    with pytest.raises(AssertionError, match="two different RosterCommitment"):
        network.require_sound()


def test_with_a_store_that_forgets_the_commitment_a_kill_ends_the_round_but_opens_nothing(
    make_network, case, forgetful
) -> None:
    """The memory alone, whose keys are erased, keeps the promise; what is lost is that the session can go on."""

    class ForgetsShare(forgetful):
        loses = ("committed", "agreed")

    network = make_network(**case, actor_type=ForgetsShare)
    network.play(until="vote")
    solo, other = network.solo(1, 2, 3), network.solo(2, 3, 4)
    network.kill(solo.name, "agree", "sent")
    solo.run(until="open")
    assert solo.open() is None
    assert other.run() is None
    assert not network.honest_word(Opening)
    network.require_sound()
