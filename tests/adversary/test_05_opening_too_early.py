"""5. With a leaked group key, an opening is asked for before every commitment is signed: refused."""

from __future__ import annotations

from dataclasses import replace

import pytest

from privateyes.aggregation.messages import Agreement, Opening
from privateyes.errors import AbortError, RefusedError

TARGET = -23


def _agreements(network, solo, missing: str) -> list[Agreement]:
    own, liar = solo.agree_word, network.liars[0]
    full = solo._with_liars(own, lambda s: Agreement(solo.sid, s, solo.transcript))
    others = [message for message in full if message.aggregator != liar]
    return {
        "none sent": [own],
        "one short": others,
        "wrong transcript": [*others, network.sign(Agreement(solo.sid, liar, bytes(32)))],
        "forged": [*others, Agreement(solo.sid, liar, solo.transcript)],
        "own copied": [own] * network.n,
        "own under another number": [*others, replace(own, aggregator=liar)],
    }[missing]


@pytest.mark.parametrize(
    "missing", ["none sent", "one short", "wrong transcript", "forged", "own copied", "own under another number"]
)
def test_the_honest_aggregator_opens_only_against_every_signature_on_one_transcript(coalition, missing) -> None:
    coalition.play(until="vote")
    solo = coalition.solo(1, 2, 3)
    solo.run(until="open")
    assert not coalition.ask(solo.name, "open", *_agreements(coalition, solo, missing))
    assert isinstance(coalition.refusal_of(solo.name), AbortError)
    assert not coalition.honest_word(Opening)
    assert solo.open() is not None, "with all of them it opens: what came before changed nothing"
    coalition.require_sound()


@pytest.mark.parametrize("kill", [False, True])
def test_before_it_has_signed_a_transcript_it_opens_nothing_also_after_a_restart(coalition, kill) -> None:
    coalition.play(until="vote")
    solo = coalition.solo(1, 2, 3)
    solo.run(until="agree")
    if kill:
        coalition.kill(solo.name)
    solo.agree_word = coalition.sign(Agreement(solo.sid, coalition.liars[0], solo.transcript))
    assert solo.open() is None
    assert isinstance(coalition.refusal_of(solo.name), RefusedError)
    assert not coalition.honest_word(Opening)


def test_an_opening_that_was_refused_for_want_of_a_signature_is_no_word_and_costs_nothing(world) -> None:
    world.run(to="agree")
    memory = world.aggregator_memories[1]
    with pytest.raises(AbortError, match="not exactly one message"):
        world.aggregators[1].open(memory, world.shares[1], world.agreements[:1])
    assert world.sid in world.aggregators[1].open(memory, world.shares[1], world.agreements).memory.opened


def test_without_the_agreement_the_adversary_forces_the_aggregate_that_it_likes(make_network, case, aggregator_actor):
    """It asks for the honest opening first, reads Y with the leaked key, and only then decides what to commit to."""

    class Hasty(aggregator_actor):
        def do_open(self, packet):
            record = self.memory.session
            if record.commitments:
                return super().do_open(packet)
            return [self.own._opening(record, self._share(record.sid)).to_bytes()]

    network = make_network(**case, actor_type=Hasty)
    network.play(until="vote")
    solo = network.solo(1, 2, 3)
    solo.run(until="agree")
    (solo.open_word,) = network.ask(solo.name, "open")
    honest = network.ideal(1, 2, 3)
    assert solo.read() == [*honest.values, honest.total_weight]
    solo.force(0, TARGET)
    for step in (solo.agree, solo.open, solo.certify):
        assert step() is not None
    solo.deliver()
    assert network.every_honest_client_accepted(replace(honest, values=(TARGET, *honest.values[1:])))
    with pytest.raises(AssertionError, match="opened before it had signed T"):
        network.require_sound()
