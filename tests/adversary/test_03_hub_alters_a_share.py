"""3. The hub alters the sum C, or one client's share: every client aborts at the tag.

With a client's group key this is the blind shift of point 3 (test_01); so the hub has all other aggregators, no client.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from privateyes.aggregation import hub
from privateyes.aggregation.messages import ResultSignature
from privateyes.aggregation.result import Check
from privateyes.errors import AbortError, MalformedError


def _alter_the_share_of_client_one(network) -> None:
    """The hub counts another share than the one whose hash client 1 signed."""
    network.play(until="vote")
    honest = network.session.submissions[1]
    network.session.submissions[1] = replace(honest, share=network.shifted(honest.share, {2: -4}))
    network.run()


def test_every_client_refuses_a_sum_with_an_altered_share(operators) -> None:
    _alter_the_share_of_client_one(operators)
    for i in operators.honest_clients:
        assert operators.refusal_of(f"client {i}").check == Check.TAG
    assert operators.nobody_accepted()
    operators.require_sound()


def test_every_client_refuses_an_altered_sum(operators) -> None:
    operators.hub.shift = lambda share: operators.shifted(share, {operators.d: 1})
    operators.play()
    assert {operators.refusal_of(f"client {i}").check for i in operators.honest_clients} == {Check.TAG}
    operators.require_sound()


def test_without_the_tag_the_altered_sum_is_accepted(make_network, case, untagged_client) -> None:
    network = make_network(**case, corrupt_clients=(), client_type=untagged_client)
    _alter_the_share_of_client_one(network)
    assert network.every_honest_client_accepted(network.ideal(shift=[0, 0, -4] + [0] * (network.d - 2)))


def test_a_sum_that_was_altered_after_agreement_is_refused_by_the_honest_aggregator(coalition) -> None:
    """Even with the group key, so that the tags would fit."""
    coalition.play(until="certify")
    hub_sum = coalition.session.total
    coalition.session.total = replace(hub_sum, share=coalition.shifted(hub_sum.share, coalition.matching({0: 1})))
    coalition.flight = coalition.session.proceed()
    coalition.run()
    (error,) = coalition.honest_errors()
    assert isinstance(error, AbortError)
    assert "the hub is at fault" in str(error)
    assert not coalition.honest_word(ResultSignature)
    coalition.require_sound()


def test_a_hub_that_is_honest_notices_a_damaged_share_before_the_round_is_spoilt(world) -> None:
    world.run(to="submit")
    honest = world.submissions[2]
    assert hub.require_intact(world.manifest, honest) == honest.header
    with pytest.raises(MalformedError, match="does not fit its header"):
        hub.require_intact(world.manifest, replace(honest, share=world.shifted(honest.share, {-1: 1})))
