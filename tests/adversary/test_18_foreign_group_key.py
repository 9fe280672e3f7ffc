"""18. The hub seals a group key of its own, replays an ex-member's, or the leader gives one client another key."""

from __future__ import annotations

from dataclasses import replace

import pytest

from privateyes.aggregation.client import Check
from privateyes.aggregation.messages import SealedGroupKey
from privateyes.aggregation.setup import ClientSetup, _group_key_info
from privateyes.crypto.sealing import seal
from privateyes.errors import AbortError, DeliveryError, MalformedError, RefusedError

KEY = bytes([0x55]) * 32


@pytest.fixture
def joining(world):
    """Client 2 while it sets up the second epoch."""
    return ClientSetup(world.manifest, 2, world.client_keys[2], 2, bytes(32), world.client_memories[2])


def _sealed_by_the_hub(joining, leader: int = 1, epoch: int = 2) -> SealedGroupKey:
    info = _group_key_info(joining._setup, leader, 2)
    return SealedGroupKey(epoch, leader, 2, seal(KEY, joining.key().public_key, info))


def test_a_key_that_the_hub_sealed_is_refused(joining) -> None:
    with pytest.raises(MalformedError, match="does not verify"):
        joining.receive_group_key(_sealed_by_the_hub(joining))


def test_a_key_of_a_client_that_is_not_the_leader_is_refused(world, joining) -> None:
    for leader in (3, 1):
        message = _sealed_by_the_hub(joining, leader).signed_by(world.client_keys[3], joining._setup)
        with pytest.raises((RefusedError, MalformedError)):
            joining.receive_group_key(message)


def test_a_key_of_an_earlier_epoch_is_refused(world, joining) -> None:
    old = next(message for message in world.group_keys if message.recipient == 2)
    with pytest.raises(RefusedError, match="another epoch"):
        joining.receive_group_key(old)
    with pytest.raises(MalformedError):
        joining.receive_group_key(replace(old, epoch=2))


def test_a_second_key_in_one_epoch_is_refused(world, joining) -> None:
    message = _sealed_by_the_hub(joining).signed_by(world.client_keys[1], joining._setup)
    joining.receive_group_key(message)
    with pytest.raises(RefusedError, match="a second group key"):
        joining.receive_group_key(message)


def test_without_the_signature_the_hub_chooses_the_group_key(joining, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SealedGroupKey, "require_signature_of", lambda self, key, context: None)
    joining.receive_group_key(_sealed_by_the_hub(joining))
    assert joining._group_key == KEY


def _give_client_two_another_key(world) -> None:
    memory = world.client_memories[2]
    world.client_memories[2] = replace(memory, group=replace(memory.group, key=KEY))


def test_a_client_with_another_key_refuses_the_announced_state(world) -> None:
    _give_client_two_another_key(world)
    world.announce()
    with pytest.raises(RefusedError):
        world.submit(2)


def test_a_client_with_another_key_refuses_the_result_at_the_key_before_any_tag(world) -> None:
    world.run()
    _give_client_two_another_key(world)
    with pytest.raises(DeliveryError) as refusal:
        world.check(2)
    assert refusal.value.check == Check.GROUP_KEY


@pytest.mark.parametrize("name", ["group_check", "session_key_hash"])
def test_aggregators_refuse_a_roster_with_two_group_keys(world, name) -> None:
    world.run(to="submit")
    header = replace(world.submissions[2].header, **{name: bytes(32)}).signed_by(world.client_keys[2], world.sid)
    world.submissions[2] = replace(world.submissions[2], header=header)
    world.vote()
    with pytest.raises(AbortError, match="different group keys"):
        world.commit()
