"""19. A guess about an input tested by mixing group keys in one roster: the roster is refused."""

from __future__ import annotations

from dataclasses import replace

import pytest

from privateyes.aggregation import aggregator
from privateyes.aggregation.client import Check
from privateyes.errors import AbortError, DeliveryError


def _mix(world) -> None:
    """Client 2, corrupt, claims another group key in its header."""
    world.run(to="submit")
    header = replace(world.submissions[2].header, group_check=bytes(32)).signed_by(world.client_keys[2], world.sid)
    world.submissions[2] = replace(world.submissions[2], header=header)


def test_no_aggregator_commits_to_a_roster_with_two_group_keys(world) -> None:
    _mix(world)
    world.vote()
    for s, own in world.aggregators.items():
        with pytest.raises(AbortError, match="different group keys"):
            own.commit(world.aggregator_memories[s], world.states[s], world.votes, bytes(32))


def test_without_that_guard_a_roster_with_two_group_keys_is_certified(world, monkeypatch: pytest.MonkeyPatch) -> None:
    """And whether client 1 then accepts tells the adversary whether the mixed share fitted its guess."""
    verdicts = []
    monkeypatch.setattr(aggregator, "require_one_group_key", lambda headers: None)
    for wrong in (0, 1):
        _mix(world)
        honest = world.submissions[2]
        world.submissions[2] = replace(honest, share=world.shifted(honest.share, {0: wrong}))
        world.finish()
        try:
            world.check(1)
            verdicts.append("accepted")
        except DeliveryError:
            verdicts.append("refused")
        for i in world.clients:
            world.client_memories[i] = world.client_memories[i].with_state(bytes([1]) * 32)
    assert verdicts == ["accepted", "refused"]


def test_the_client_compares_the_group_key_before_the_tag(world, monkeypatch: pytest.MonkeyPatch) -> None:
    world.run()
    mixed = replace(world.delivery, group_check=bytes(32), share=world.shifted(world.delivery.share, {0: 1}))
    with pytest.raises(DeliveryError) as refusal:
        world.check(1, mixed)
    assert refusal.value.check == Check.GROUP_KEY
