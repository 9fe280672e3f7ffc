"""27. What n - 1 aggregators, the hub and a corrupt client see does not depend on an honest client's input."""

from __future__ import annotations

import numpy as np
import pytest

from privateyes.aggregation.client import _mask
from privateyes.aggregation.keys import share_stream
from privateyes.crypto.streams import scratch_words

D = 1 << 15


def _residue(world, share, known: list[int], strip_mask: bool = True):
    """Client 1's share without the mask (a corrupt client knows it) and without the streams of some aggregators."""
    rest = np.array(share)
    for s in known:
        chain = world.chains_before[s - 1]
        stream = share_stream(
            world.field,
            chain.advance_to(world.round, world.group.setup).round_key(world.group.setup),
            world.sid,
            1,
            s,
            world.submissions[1].header.nonce,
            scratch_words(world.field),
        )
        stream.add_to(rest)
    if strip_mask:
        _mask(world.manifest, world.group.session_key(world.sid), world.sid).subtract_from(rest[: D + 1])
    return rest[:D]


def _submit(make_world, field, value: float):
    world = make_world(n=3, m=2, d=D, field=field)
    world.announce()
    world.chains_before = world.client_memories[1].chains
    world.submit(1, np.full(D, value, np.float32), 50)
    return world


def _chi_square(values, prime: int) -> float:
    counts = np.bincount((values.astype(np.float64) * 64 / prime).astype(np.int64), minlength=64)
    return float(((counts - D / 64) ** 2 / (D / 64)).sum())


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_all_but_one_aggregator_see_uniform_noise_whatever_the_input(make_world, field, value) -> None:
    world = _submit(make_world, field, value)
    for honest in (1, 2, 3):
        seen = _residue(world, world.submissions[1].share, [s for s in (1, 2, 3) if s != honest])
        # 63 degrees of freedom: mean 63, standard deviation 11.2.
        assert _chi_square(seen, world.prime) < 63 + 6 * 11.2


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_in_sealed_mode_even_all_aggregators_see_noise_without_a_client(make_world, field, value) -> None:
    world = _submit(make_world, field, value)
    seen = _residue(world, world.submissions[1].share, [1, 2, 3], strip_mask=False)
    assert _chi_square(seen, world.prime) < 63 + 6 * 11.2


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_all_aggregators_together_with_a_client_see_the_input(make_world, field, value) -> None:
    world = _submit(make_world, field, value)
    seen = _residue(world, world.submissions[1].share, [1, 2, 3])
    assert _chi_square(seen, world.prime) > 10_000
    assert seen.tolist() == [q % world.prime for q in world.inputs[1].values]
