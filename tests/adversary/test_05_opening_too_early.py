"""5. With a leaked group key, an opening is asked for before every commitment is signed: refused."""

from __future__ import annotations

import numpy as np
import pytest

from privateyes.aggregation.aggregator import Aggregator
from privateyes.aggregation.messages import Agreement
from privateyes.errors import AbortError, RefusedError


@pytest.mark.parametrize("missing", ["none sent", "wrong transcript", "forged", "own copied"])
def test_an_honest_aggregator_opens_only_against_every_signature_on_one_transcript(world, missing) -> None:
    world.run(to="agree")
    own = world.agreements[0]
    fake = world.signed_by_aggregator(Agreement(world.sid, 2, bytes(32)), 2)
    others = {
        "none sent": [own],
        "wrong transcript": [own, fake, *world.agreements[2:]],
        "forged": [own, Agreement(world.sid, 2, own.transcript), *world.agreements[2:]],
        "own copied": [own] * world.n,
    }[missing]
    with pytest.raises(AbortError):
        world.aggregators[1].open(world.aggregator_memories[1], world.states[1], others)


def test_a_refused_opening_is_refused_for_good(world) -> None:
    world.run(to="agree")
    with pytest.raises(AbortError):
        world.aggregators[1].open(world.aggregator_memories[1], world.states[1], world.agreements[:1])
    with pytest.raises(RefusedError, match="used already"):
        world.aggregators[1].open(world.aggregator_memories[1], world.states[1], world.agreements)


def test_without_the_agreement_the_adversary_forces_the_aggregate_that_it_likes(make_world) -> None:
    """It asks for the honest opening first, reads Y with the leaked key, and only then decides what to commit to."""

    class Hasty(Aggregator):
        def _require_one_of_each(self, messages, sid) -> None:
            if messages and not isinstance(messages[0], Agreement):
                super()._require_one_of_each(messages, sid)

    world = make_world(n=2, aggregator_type=Hasty)
    world.run(to="commit")
    honest = world.aggregators[1]
    placeholder = world.commitments[1]
    step = honest.agree(world.aggregator_memories[1], world.states[1], world.commitments, world.hub_commitment)
    early = honest.open(world.aggregator_memories[1], step.state, []).message
    result = world.total.share.astype(object) + early.share.astype(object) + world.states[2].share.astype(object)
    masked = (result % world.prime).astype(world.field.dtype)
    sums, tags_fit = world.clients[1]._unmask(
        world.client_memories[1],
        type("D", (), {"sid": world.sid, "share": masked})(),
        len(world.entries),
    )
    assert tags_fit
    assert np.array_equal(sums[:-1], np.array(world.ideal().values))
    assert placeholder.commitment not in early.to_bytes()
