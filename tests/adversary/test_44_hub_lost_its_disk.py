"""44. The hub loses its disk after all aggregators agreed: it asks for their words, adds the shares up again from what
the clients send once more, and opens. On other bytes it does not.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from isolation import opened_sum, rebuilt, sum_of
from privateyes.aggregation import hub
from privateyes.errors import AbortError, MalformedError


@pytest.fixture
def agreed(world):
    """All have signed T; the hub's sum, the votes, commitments and agreements are gone."""
    world.run(1, 2, 3, to="agree")
    world.lost = world.hub_commitment, world.total
    world.words = {s: own.words(world.aggregator_memories[s], world.sid) for s, own in world.aggregators.items()}
    world.commitments = [said.commitment for said in world.words.values()]
    world.agreements = [said.agreement for said in world.words.values()]
    world.votes = [said.vote for said in world.words.values()]
    world.hub_commitment = world.total = None
    return world


def test_it_opens_from_the_words_and_the_bytes_that_come_again(agreed) -> None:
    transcript = hub.agreed_transcript(agreed.manifest, agreed.agreements)
    assert transcript is not None
    assert hub.choose_roster(agreed.manifest, agreed.votes) == agreed.entries
    agreed.total, agreed.hub_commitment = rebuilt(agreed)
    hub.require_agreed_sum(agreed.hub_commitment, agreed.commitments[0].rho, agreed.commitments, transcript)
    assert agreed.hub_commitment == agreed.lost[0]
    assert agreed.total.share.tobytes() == agreed.lost[1].share.tobytes()
    agreed.finish_from("open")
    assert opened_sum(agreed) == sum_of(agreed, 1, 2, 3)
    assert agreed.check(1).roster == (1, 2, 3)


def test_with_one_agreement_missing_or_different_nothing_may_be_opened(agreed) -> None:
    assert hub.agreed_transcript(agreed.manifest, agreed.agreements[1:]) is None
    sid = agreed.sid
    other = replace(agreed.agreements[0], transcript=bytes(32)).signed_by(agreed.aggregator_keys[1], sid)
    assert hub.agreed_transcript(agreed.manifest, [other, *agreed.agreements[1:]]) is None
    forged = replace(agreed.agreements[0], aggregator=2)
    with pytest.raises(MalformedError):
        hub.agreed_transcript(agreed.manifest, [forged, *agreed.agreements[1:]])


def test_a_sum_of_other_bytes_is_told_by_com_0_under_t(agreed) -> None:
    transcript = hub.agreed_transcript(agreed.manifest, agreed.agreements)
    agreed.total, commitment = rebuilt(agreed)
    wrong = replace(commitment, commitment=bytes(32))
    with pytest.raises(AbortError, match="not the one that all aggregators agreed on"):
        hub.require_agreed_sum(wrong, agreed.commitments[0].rho, agreed.commitments, transcript)
    shares = {i: submission.share for i, submission in agreed.submissions.items()}
    shares[1] = agreed.shifted(shares[1], {0: 1})
    _, other = hub.add_shares(agreed.manifest, agreed.sid, agreed.entries, shares.__getitem__)
    with pytest.raises(AbortError, match="not the one that all aggregators agreed on"):
        hub.require_agreed_sum(other, agreed.commitments[0].rho, agreed.commitments, transcript)


def test_without_that_check_it_would_open_and_no_aggregator_could_certify(agreed) -> None:
    shares = {i: submission.share for i, submission in agreed.submissions.items()}
    shares[1] = agreed.shifted(shares[1], {0: 1})
    agreed.total, agreed.hub_commitment = hub.add_shares(
        agreed.manifest, agreed.sid, agreed.entries, shares.__getitem__
    )
    agreed.open()
    with pytest.raises(AbortError, match="the hub's sum is not the one that it committed to"):
        agreed.certify()
