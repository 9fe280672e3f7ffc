"""6. A second T under the same roster, also after a kill and a restart: refused."""

from __future__ import annotations

from dataclasses import replace

import pytest

from privateyes.aggregation.messages import Agreement, HubCommitment, Opening
from privateyes.errors import RefusedError

TARGET = 31


def _open_then_ask_for_another_transcript(network):
    """The first T gets the honest opening, which shows Y; then the honest party is killed, and a second T would let the
    adversary commit anew to what it likes.
    """
    network.play(until="vote")
    solo = network.solo(1, 2, 3)
    solo.run(until="certify")
    network.kill(solo.name)
    solo.force(2, TARGET)
    first, solo.agree_word = solo.agree_word, None
    return solo, first, solo.agree()


def test_after_an_opening_a_restarted_aggregator_signs_no_second_transcript(coalition) -> None:
    solo, first, second = _open_then_ask_for_another_transcript(coalition)
    assert second is None
    assert isinstance(coalition.refusal_of(solo.name), RefusedError)
    assert coalition.honest_word(Agreement) == [first]
    coalition.require_sound()


@pytest.mark.parametrize("kill", [False, True])
def test_before_an_opening_it_signs_no_second_transcript_either(coalition, kill) -> None:
    coalition.play(until="vote")
    solo = coalition.solo(1, 2, 3)
    solo.run(until="open")
    if kill:
        coalition.kill(solo.name)
    first, liar = solo.agree_word, coalition.liars[0]
    solo.shares[liar] = coalition.shifted(solo.shares[liar], {0: 1})
    assert solo.agree() is None
    solo.agree_word = first
    assert solo.open() is None, "the other commitments are in no T that it signed"
    assert not coalition.honest_word(Opening)
    coalition.require_sound()


def test_after_the_restart_the_same_transcript_gets_the_same_opening_again(coalition) -> None:
    coalition.play(until="vote")
    solo = coalition.solo(1, 2, 3)
    solo.run(until="certify")
    first = solo.open_word
    coalition.kill(solo.name)
    assert solo.open().to_bytes() == first.to_bytes()
    solo.certify()
    solo.deliver()
    assert coalition.every_honest_client_accepted(coalition.ideal(1, 2, 3))
    coalition.require_sound()


def test_with_a_store_that_forgets_the_transcript_the_adversary_forces_any_aggregate(make_network, case, forgetful):
    class ForgetsTranscript(forgetful):
        loses = ("transcript",)

    network = make_network(**case, actor_type=ForgetsTranscript)
    solo, first, second = _open_then_ask_for_another_transcript(network)
    assert second.transcript != first.transcript
    for step in (solo.open, solo.certify):
        assert step() is not None
    solo.deliver()
    honest = network.ideal(1, 2, 3)
    forced = replace(honest, values=(*honest.values[:2], TARGET, *honest.values[3:]))
    assert network.every_honest_client_accepted(forced)
    with pytest.raises(AssertionError, match="two different Agreement"):
        network.require_sound()


def _agree_to_another_sum(world, memory):
    return world.aggregators[1].agree(memory, world.commitments, HubCommitment(world.sid, bytes(32)))


def test_the_memory_holds_the_first_transcript_and_repeats_it(world) -> None:
    world.run(to="agree")
    memory = world.aggregator_memories[1]
    with pytest.raises(RefusedError, match="another transcript was signed"):
        _agree_to_another_sum(world, memory)
    again = world.aggregators[1].agree(memory, world.commitments, world.hub_commitment)
    assert again.message.to_bytes() == world.agreements[0].to_bytes()
    assert again.memory is None


def test_without_that_record_one_roster_gets_two_signed_transcripts(world) -> None:
    world.run(to="agree")
    memory = world.aggregator_memories[1]
    forgotten = replace(memory, session=replace(memory.session, commitments=()))
    second = _agree_to_another_sum(world, forgotten).message
    assert second.transcript != world.agreements[0].transcript
    second.require_signature_of(world.aggregator_keys[1].public_bytes, world.sid)
