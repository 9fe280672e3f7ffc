"""A session on disk is the session that was there, and damage is refused."""

from __future__ import annotations

import numpy as np
import pytest
from privateyes.aggregation.snapshot import dump_agreed, dump_committed, load_agreed, load_committed

from privateyes.errors import MalformedError


def test_a_session_goes_on_from_disk_after_every_aggregator_committed(world) -> None:
    world.run(to="commit")
    for s, state in world.states.items():
        world.states[s] = load_committed(dump_committed(state), s, world.manifest)
    for step in (world.agree, world.open, world.certify, world.deliver):
        step()
    assert np.array_equal(world.check(1).mean, world.mean_of(world.ideal()))


def test_a_session_goes_on_from_disk_after_agreement_with_the_same_opening(world) -> None:
    world.run(to="agree")
    bodies = {s: (dump_committed(state.committed), dump_agreed(state)) for s, state in world.states.items()}
    world.open()
    first = [opening.to_bytes() for opening in world.openings]
    for s, (committed, agreed) in bodies.items():
        world.states[s] = load_agreed(agreed, load_committed(committed, s, world.manifest), world.manifest)
    world.open()
    assert [opening.to_bytes() for opening in world.openings] == first
    world.certify()
    world.deliver()
    assert np.array_equal(world.check(1).mean, world.mean_of(world.ideal()))


def test_every_truncation_and_extension_is_refused(world) -> None:
    world.run(to="agree")
    state = world.states[1]
    committed, agreed = dump_committed(state.committed), dump_agreed(state)
    for data in (b"", committed[:-1], committed[1:], committed + b"\0", committed[:50]):
        with pytest.raises(MalformedError):
            load_committed(data, 1, world.manifest)
    for data in (b"", agreed[:-1], agreed + b"\0", agreed[:32]):
        with pytest.raises(MalformedError):
            load_agreed(data, state.committed, world.manifest)


def test_a_loaded_share_can_be_added_to(world) -> None:
    world.run(to="commit")
    loaded = load_committed(dump_committed(world.states[1]), 1, world.manifest)
    loaded.share[0] = 0
    assert world.states[1].share.flags.writeable
