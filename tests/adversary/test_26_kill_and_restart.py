"""26. An aggregator or a client is killed at each step and restarted: the same answer, never two openings."""

from __future__ import annotations

import pytest

from actors import MOMENTS
from privateyes.aggregation.messages import Opening, RosterCommitment
from privateyes.errors import RefusedError

AGGREGATOR_STEPS = ["announce", "vote", "commit", "agree", "open", "certify"]


def _states(network) -> set[bytes]:
    return {network.clients[i].memory.state.digest for i in network.honest_clients}


def _play_with_a_kill(network, name: str, step: str, moment: str, *submitters: int) -> None:
    """One round in which a party dies; an honest hub asks again whoever does not answer."""
    network.first_state = network.clients[network.honest_clients[0]].memory.state.digest
    network.patient = True
    network.kill(name, step, moment)
    network.play(*submitters)
    assert network.actors[name].fate is None, "the party got that far and died"
    for _ in range(2):
        network.retry()


def _require_one_end(network) -> None:
    """All honest clients moved on together, and no honest word contradicts another."""
    assert len(_states(network)) == 1
    assert _states(network) != {network.first_state}
    network.require_sound()


@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("step", AGGREGATOR_STEPS)
def test_a_killed_aggregator_gives_the_same_answer_and_the_session_goes_on(coalition, step, moment) -> None:
    _play_with_a_kill(coalition, f"aggregator {coalition.honest}", step, moment)
    _require_one_end(coalition)
    assert coalition.round == 0, "whatever the moment, no second round is needed"


@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("step", ["submit", "check"])
def test_a_killed_client_goes_on_from_what_it_stored(coalition, step, moment) -> None:
    _play_with_a_kill(coalition, "client 2", step, moment)
    _require_one_end(coalition)
    assert coalition.clients[1].accepted[0].roster == (1, 2, 3, 4)


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_client_that_is_killed_while_it_watches_goes_on(coalition, moment) -> None:
    _play_with_a_kill(coalition, "client 2", "observe", moment, 1, 3, 4)
    if moment == "computed":
        assert not coalition.clients[2].accepted, "it does not follow the session that it forgot, and is behind now"
        assert len(_states(coalition)) == 2
    else:
        assert len(_states(coalition)) == 1
    coalition.require_sound()


def test_a_client_that_is_behind_replays_what_it_missed_in_order_and_goes_on(coalition) -> None:
    _play_with_a_kill(coalition, "client 2", "observe", "computed", 1, 3, 4)
    coalition.adversary.on("observe", lambda packet: None, receiver="client 2")
    coalition.play(1, 3, 4)
    assert not coalition.clients[2].accepted
    for packet in coalition.adversary.seen:
        if packet.receiver == "client 2" and packet.step in ("observe", "check"):
            coalition.deliver(packet)
    assert len(coalition.clients[2].accepted) == 2
    assert len(_states(coalition)) == 1
    coalition.play()
    assert coalition.clients[2].accepted[-1].counted is True
    coalition.require_sound()


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_client_that_is_killed_while_it_settles_submits_again_only_if_it_knows_of_the_end(coalition, moment) -> None:
    coalition.play(until="open")
    coalition.flight.clear()
    coalition.first_state = coalition.clients[1].memory.state.digest
    coalition.kill("client 2", "settle", moment)
    coalition.play_again()
    assert coalition.clients[1].accepted[0].roster == ((1, 3, 4) if moment == "computed" else (1, 2, 3, 4))
    _require_one_end(coalition)


@pytest.mark.parametrize("moment", MOMENTS)
def test_an_aggregator_that_is_killed_while_it_gives_up_gave_up_or_did_not(coalition, moment) -> None:
    coalition.play(until="open")
    held, named, name = list(coalition.flight), coalition.announced[-1], f"aggregator {coalition.honest}"
    coalition.flight.clear()
    coalition.kill(name, "give_up", moment)
    coalition.give_up(named)
    void = coalition.closing(name, named)
    assert bool(void) is (moment != "computed")
    for packet in held:
        coalition.deliver(packet)
    assert bool(coalition.honest_word(Opening)) is (moment == "computed")
    coalition.require_sound()


@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("step", ["bind", "start"])
def test_an_aggregator_that_is_killed_while_a_set_up_is_made_is_bound_to_it_or_not(coalition, moment, step) -> None:
    """Its private key died with it, so another set-up is made if this one has not started."""
    name, before = f"aggregator {coalition.honest}", coalition.hub.setup
    coalition.kill(name, step, moment)
    coalition.set_up()
    current = coalition.aggregators[coalition.honest].memory.current
    assert current.id == (before if (step, moment) == ("bind", "computed") else coalition.hub.setup)
    assert current.started is (current.id == before or (step == "start" and moment != "computed"))
    _require_a_round_after_another_set_up(coalition)


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_client_that_is_killed_while_a_set_up_starts_is_in_it_or_not(coalition, moment) -> None:
    before = coalition.hub.setup
    coalition.kill("client 2", "start", moment)
    coalition.set_up()
    current = coalition.clients[2].memory.group.setup
    assert current == (before if moment == "computed" else coalition.hub.setup)
    _require_a_round_after_another_set_up(coalition)


def _require_a_round_after_another_set_up(network) -> None:
    network.set_up()
    network.play()
    assert network.every_honest_client_accepted(network.ideal())
    network.require_sound()


@pytest.mark.parametrize("registered", [True, False])
def test_what_was_voted_in_one_set_up_is_not_committed_to_in_the_next(coalition, registered) -> None:
    """The keys are gone with their set-up, whether or not the client has new ones."""
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
        loses = ("session",)

    network = make_network(**case, actor_type=ForgetsSession)
    network.play(until="vote")
    solo, other = network.solo(1, 2, 3), network.solo(2, 3, 4)
    network.kill(solo.name, "open", "sent")
    solo.run(until="certify")
    other.run(until="certify")
    assert len({word.to_bytes() for word in network.honest_word(Opening)}) == 2
    with pytest.raises(AssertionError, match="two different RosterCommitment"):
        network.require_sound()


def test_with_a_store_that_forgets_the_share_a_kill_ends_the_session_but_opens_nothing(
    make_network, case, forgetful
) -> None:
    """The memory alone, whose keys are erased, keeps the promise; what is lost is that the session can go on."""

    class ForgetsShare(forgetful):
        loses = ("share",)

    network = make_network(**case, actor_type=ForgetsShare)
    network.play(until="vote")
    solo, other = network.solo(1, 2, 3), network.solo(2, 3, 4)
    network.kill(solo.name, "agree", "sent")
    solo.run(until="open")
    assert solo.open() is None
    assert other.run() is None
    assert not network.honest_word(Opening)
    network.require_sound()


def test_a_stored_share_that_was_damaged_is_not_opened(coalition) -> None:
    """It would be held against the commitment, and name the aggregator as guilty though only its disk is at fault."""
    coalition.play(until="open")
    actor = coalition.aggregators[coalition.honest]
    share = actor.disk.read().get("share", coalition.sid)
    actor.disk.put("share", coalition.sid, coalition.shifted(share, {0: 1}))
    coalition.kill(actor.name)
    coalition.run()
    assert "not the one that this aggregator committed to" in str(coalition.honest_errors()[0])
    assert not coalition.honest_word(Opening)
    actor.disk.put("share", coalition.sid, share)
    coalition.retry()
    assert coalition.every_honest_client_accepted(coalition.ideal())
    coalition.require_sound()
