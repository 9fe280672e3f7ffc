"""1. An aggregator adds a delta to its share before it commits: every client aborts at the tag.

With a client's group key the same delta is point 3 of the ideal functionality, since it was fixed before anything was
opened; so the attack runs without a client, and with one it gives no more than that blind shift.
"""

from __future__ import annotations

import pytest

from privateyes.aggregation.messages import ResultSignature
from privateyes.aggregation.result import Check


def test_every_client_refuses_a_sum_that_all_other_operators_shifted_before_committing(operators) -> None:
    operators.shift_before_commit(lambda: {0: 1})
    operators.play()
    assert operators.honest_word(ResultSignature), "no aggregator can notice"
    for i in operators.honest_clients:
        assert operators.refusal_of(f"client {i}").check == Check.TAG
    assert operators.nobody_accepted()
    operators.require_sound()


@pytest.mark.parametrize("position", [0, 3, -1])
def test_altering_a_tag_itself_is_refused_too(operators, position) -> None:
    operators.shift_before_commit(lambda: {operators.d + 1 + position % operators.field.tags: 1})
    operators.play()
    assert operators.refusal_of("client 2").check == Check.TAG


def test_without_the_tag_the_shifted_sum_is_accepted(make_network, case, untagged_client) -> None:
    network = make_network(**case, corrupt_clients=(), client_type=untagged_client)
    network.shift_before_commit(lambda: {0: 1})
    network.play()
    assert network.every_honest_client_accepted(network.ideal(shift=[1] + [0] * network.d))


def test_with_a_client_the_adversary_gets_the_shift_that_it_fixed_blindly_and_nothing_else(coalition) -> None:
    coalition.shift_before_commit(lambda: coalition.matching({0: 1, 3: -2}))
    coalition.play()
    shift = [1, 0, 0, -2] + [0] * (coalition.d - 3)
    assert coalition.every_honest_client_accepted(coalition.ideal(shift=shift))
    coalition.require_sound()
