"""The byte formulas equal what crosses the wire."""

from pathlib import Path

import numpy as np
import pytest

from privateyes.aggregation.costs import message_delays, messages_in_turn, round_costs
from privateyes.crypto.field import COMPACT, WIDE, Field
from privateyes.encoding.fixed_point import FixedPoint
from privateyes.engines.local.parties import SecurePlan, draw_identities, parties_from, set_up_epoch
from privateyes.engines.local.session import LocalInput, RoleClock, Session
from privateyes.engines.local.store import PartyStore
from privateyes.engines.local.wire import Place, Wire


@pytest.mark.parametrize("field", [COMPACT, WIDE], ids=lambda field: field.name)
@pytest.mark.parametrize(("aggregators", "submitting"), [(2, 4), (3, 4), (5, 3)])
@pytest.mark.parametrize("mode", ["sealed", "public"])
def test_the_formulas_equal_the_counted_traffic(
    field: Field, aggregators: int, submitting: int, mode: str, tmp_path: Path
) -> None:
    names = ("a", "b", "c", "d")
    encoding = FixedPoint(field, 1.0, 10, 5, 4)
    plan = SecurePlan(names, 100, aggregators, encoding, roster_min=3, mode=mode)
    parties = parties_from(plan, draw_identities(plan))
    set_up_epoch(parties, bytes(32), Wire(parties.manifest))
    wire, store = Wire(parties.manifest), PartyStore(tmp_path / "parties.sqlite")
    inputs = {i: LocalInput(np.full(100, 0.1, np.float32), 2, bytes(32)) for i in range(1, submitting + 1)}
    Session(parties, wire, store, RoleClock()).run(0, inputs)
    store.close()

    costs = round_costs(parties.manifest, submitted=submitting, roster=submitting)

    assert wire.bytes_between(Place.CLIENT, Place.HUB) == submitting * costs.client_up + costs.disclosure
    assert (
        wire.bytes_between(Place.HUB, Place.CLIENT)
        == len(names) * costs.client_down + (len(names) - 1) * costs.disclosure
    )
    assert wire.bytes_between(Place.AGGREGATOR, Place.HUB) == aggregators * costs.aggregator_up
    assert wire.bytes_between(Place.HUB, Place.AGGREGATOR) == aggregators * costs.aggregator_down

    # In the order of first use: what goes along with another message costs no delay of its own.
    hops = [key.message for key in wire.traffic if key.message not in ("HubCommitment", "HubSum")]
    assert hops == [message for message, count in messages_in_turn(parties.manifest) for _ in range(count)]
    assert message_delays(parties.manifest) == len(hops) == (14 if mode == "sealed" else 16)
