"""2. An aggregator adds a delta when it opens, tags and all, because it also holds a client: the commitment tells."""

from __future__ import annotations

from dataclasses import replace

import pytest

from privateyes.aggregation.messages import ResultSignature
from privateyes.errors import BlamedError

CHOSEN = 17


def _force_the_first_coordinate(network) -> None:
    """It has seen the honest opening, so it chooses what the sum will be; with the group key the tags fit."""

    def change(share, total):
        seen = network.read(total, masks=4)
        return network.shifted(share, network.matching({0: CHOSEN - seen[0]}))

    network.play(until="certify")
    network.shift_opening(change)
    network.run()


def test_an_opening_that_differs_from_its_commitment_names_its_aggregator(coalition) -> None:
    _force_the_first_coordinate(coalition)
    (error,) = coalition.honest_errors()
    assert isinstance(error, BlamedError)
    assert error.party == f"aggregator {coalition.liars[-1]}"
    assert not coalition.honest_word(ResultSignature)
    assert coalition.nobody_accepted()
    coalition.require_sound()


def test_another_salt_is_no_way_out(world) -> None:
    world.run(to="open")
    opening = replace(world.openings[1], salt=bytes(32))
    receipt = world.signed_by_aggregator(opening.receipt(world.manifest.bulk_hash), 2)
    world.openings[1] = replace(opening, signature=receipt.signature)
    with pytest.raises(BlamedError, match="aggregator 2: opened something other"):
        world.certify()


@pytest.mark.usefixtures("without_commitments")
def test_without_the_commitment_any_aggregate_can_be_forced(coalition) -> None:
    _force_the_first_coordinate(coalition)
    honest = coalition.ideal()
    forced = replace(honest, values=(CHOSEN, *honest.values[1:]))
    assert coalition.every_honest_client_accepted(forced)
