"""7. An aggregator copies another's commitment and, later, its opening: refused."""

from __future__ import annotations

from dataclasses import replace

import pytest

from privateyes.aggregation import aggregator
from privateyes.aggregation.aggregator import Aggregator
from privateyes.aggregation.messages import Agreement
from privateyes.aggregation.roster import transcript_digest
from privateyes.aggregation.states import Agreed, Step
from privateyes.crypto.commitment import commit_to_vector
from privateyes.errors import AbortError, BlamedError


def _copy_the_first_commitment(world) -> None:
    copied = replace(world.commitments[1], commitment=world.commitments[0].commitment)
    world.commitments[1] = world.signed_by_aggregator(copied, 2)


class Unsuspecting(Aggregator):
    """Agrees to whatever commitments it gets."""

    def agree(self, memory, state, commitments, hub):
        digests = (hub.commitment, *(message.commitment for message in commitments))
        transcript = transcript_digest(state.sid, state.rho, digests)
        message = Agreement(state.sid, self.number, transcript).signed_by(self.identity, state.sid)
        return Step(Agreed(state, digests, transcript), message)


def _copy_the_first_opening(world) -> None:
    first = world.openings[0]
    world.openings[1] = world.signed_by_aggregator(replace(first, aggregator=2), 2)


def test_two_equal_commitments_are_refused(world) -> None:
    world.run(to="commit")
    _copy_the_first_commitment(world)
    with pytest.raises(AbortError, match="the same commitment"):
        world.aggregators[1].agree(
            world.aggregator_memories[1], world.states[1], world.commitments, world.hub_commitment
        )


def test_an_own_commitment_that_comes_back_altered_is_refused(world) -> None:
    world.run(to="commit")
    _copy_the_first_commitment(world)
    with pytest.raises(AbortError, match="own commitment came back altered"):
        world.aggregators[2].agree(
            world.aggregator_memories[2], world.states[2], world.commitments, world.hub_commitment
        )


def test_even_an_aggregator_that_does_not_compare_finds_out_when_the_copy_is_opened(make_world, field) -> None:
    world = make_world(field=field, aggregator_type=Unsuspecting)
    world.run(to="commit")
    _copy_the_first_commitment(world)
    world.agree()
    world.open()
    _copy_the_first_opening(world)
    with pytest.raises(BlamedError, match="aggregator 2"):
        world.aggregators[1].certify(world.states[1], world.openings, world.total)


def test_without_comparison_and_number_a_copied_share_is_certified(make_world, monkeypatch) -> None:
    def without_number(sid, rho, number, salt, vector):
        return commit_to_vector(sid, rho, 0, salt, vector)

    monkeypatch.setattr(aggregator, "commit_to_vector", without_number)
    world = make_world(aggregator_type=Unsuspecting)
    world.run(to="commit")
    _copy_the_first_commitment(world)
    world.agree()
    world.open()
    _copy_the_first_opening(world)
    world.aggregators[1].certify(world.states[1], world.openings, world.total)
