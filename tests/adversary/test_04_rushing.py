"""4. A rushing aggregator turns Z into -Z or 2Z: its commitment tells, and so would the tag's pads."""

from __future__ import annotations

import pytest

from privateyes.aggregation.result import Check
from privateyes.errors import BlamedError


def _scale_the_result(network, factor: int) -> None:
    """The last to open chooses its share so that the sum of all becomes ``factor`` times what it was."""
    network.play(until="certify")
    network.shift_opening(
        lambda share, total: network.add(share, *([total] if factor == 2 else [-total.astype(object)] * 2))
    )
    network.run()


@pytest.mark.parametrize("factor", [-1, 2])
def test_a_scaled_result_does_not_fit_the_commitment(coalition, factor) -> None:
    _scale_the_result(coalition, factor)
    (error,) = coalition.honest_errors()
    assert isinstance(error, BlamedError)
    assert error.party == f"aggregator {coalition.liars[-1]}"
    assert coalition.nobody_accepted()
    coalition.require_sound()


@pytest.mark.parametrize("factor", [-1, 2])
@pytest.mark.usefixtures("without_commitments")
def test_even_without_the_commitment_the_pads_of_the_tags_refuse_it(operators, factor) -> None:
    """Scaling needs no group key; with one, test_02 shows what the missing commitment alone allows."""
    _scale_the_result(operators, factor)
    for i in operators.honest_clients:
        assert operators.refusal_of(f"client {i}").check == Check.TAG
    assert operators.nobody_accepted()


@pytest.mark.usefixtures("without_commitments", "without_pads")
def test_without_commitment_and_pads_a_doubled_sum_is_accepted_in_public_mode(make_network, case) -> None:
    """The weight doubles too: the average stays, the total weight lies. (The mask of sealed mode is a guard too.)"""
    network = make_network(**case, corrupt_clients=(), mode="public", weight_max=20)
    _scale_the_result(network, 2)
    accepted = [network.clients[i].accepted[0] for i in network.honest_clients]
    assert {average.total_weight for average in accepted} == {2 * network.ideal().total_weight}


@pytest.mark.usefixtures("without_commitments", "without_pads")
def test_without_commitment_and_pads_the_tags_of_a_negated_sum_fit(make_network, case) -> None:
    """What is left is the check of the total weight, which nobody negates unseen."""
    network = make_network(**case, corrupt_clients=(), mode="public")
    _scale_the_result(network, -1)
    assert {network.refusal_of(f"client {i}").check for i in network.honest_clients} == {Check.WEIGHT}
