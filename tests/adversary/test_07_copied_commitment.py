"""7. An aggregator copies another's commitment and, later, its opening: refused."""

from __future__ import annotations

from dataclasses import replace

import pytest

from privateyes.aggregation import aggregator, session_rules
from privateyes.aggregation.aggregator import Aggregator
from privateyes.aggregation.messages import Agreement, Opening, ResultSignature
from privateyes.aggregation.roster import transcript_digest
from privateyes.aggregation.steps import Step
from privateyes.crypto import commitment
from privateyes.errors import AbortError, BlamedError


class Unsuspecting(Aggregator):
    """A test double that agrees to whatever commitments it gets."""

    def agree(self, memory, commitments, hub):
        record = memory.session
        digests = (hub.commitment, *(message.commitment for message in commitments))
        transcript = transcript_digest(record.sid, record.rho, digests)
        message = Agreement(record.sid, self.number, transcript).signed_by(self.identity, record.sid)
        return Step(message, memory.with_record(replace(record, commitments=digests)))


class Copying:
    """A corrupt aggregator that says after the honest one whatever that said."""

    def __init__(self, network) -> None:
        self.network, self.liar = network, network.liars[0]
        network.play(until="vote")
        self.solo = network.solo(1, 2, 3)
        self.solo.run(until="agree")
        made = self.solo.commitments
        self.solo.commitments = lambda: self._copied(made(), self.solo.commit_word)

    def _copied(self, words, original):
        return [
            self.network.sign(replace(original, aggregator=self.liar)) if word.aggregator == self.liar else word
            for word in words
        ]

    def certify(self):
        """Open the copied share too."""
        solo = self.solo
        solo.shares[self.liar], solo.salts[self.liar] = solo.open_word.share, solo.open_word.salt
        return solo.certify()


def test_two_equal_commitments_are_refused(coalition) -> None:
    copying = Copying(coalition)
    assert copying.solo.agree() is None
    (error,) = coalition.honest_errors()
    assert isinstance(error, AbortError)
    assert "the same commitment" in str(error)
    assert not coalition.honest_word(Opening)
    coalition.require_sound()


def test_an_own_commitment_that_comes_back_altered_is_refused(coalition) -> None:
    coalition.play(until="vote")
    solo = coalition.solo(1, 2, 3)
    solo.run(until="agree")
    solo.commit_word = replace(solo.commit_word, commitment=bytes(32))
    assert solo.agree() is None
    (error,) = coalition.honest_errors()
    assert isinstance(error, AbortError)
    assert not coalition.honest_word(Opening)


def test_even_an_aggregator_that_does_not_compare_finds_out_when_the_copy_is_opened(make_network, case) -> None:
    network = make_network(**case, aggregator_type=Unsuspecting)
    copying = Copying(network)
    assert copying.solo.agree() is not None
    assert copying.solo.open() is not None
    assert copying.certify() is None
    (error,) = network.honest_errors()
    assert isinstance(error, BlamedError)
    assert error.party == f"aggregator {copying.liar}"


def test_without_comparison_and_number_a_copied_share_is_certified(make_network, case, monkeypatch) -> None:
    """Either guard is enough, so both are off."""
    made = commitment.commit_to_share

    def without_number(sid, rho, number, *rest):
        return made(sid, rho, 0, *rest)

    for module in (aggregator, commitment, session_rules):
        monkeypatch.setattr(module, "commit_to_share", without_number)
    network = make_network(**case, aggregator_type=Unsuspecting)
    copying = Copying(network)
    assert copying.solo.agree() is not None
    assert copying.solo.open() is not None
    assert copying.certify() is not None
    assert network.honest_word(ResultSignature) == [copying.solo.certify_word]


@pytest.mark.parametrize("altered", ["own", "copied"])
def test_driven_by_hand_the_refusals_name_what_is_wrong(world, altered) -> None:
    world.run(to="commit")
    copied = replace(world.commitments[1], commitment=world.commitments[0].commitment)
    world.commitments[1] = world.signed_by_aggregator(copied, 2)
    number, problem = (2, "own commitment came back altered") if altered == "own" else (1, "the same commitment")
    with pytest.raises(AbortError, match=problem):
        world.aggregators[number].agree(world.aggregator_memories[number], world.commitments, world.hub_commitment)
