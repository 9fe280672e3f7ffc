"""13. Two shares made with one key, one session and one nonce: the library forbids it."""

from __future__ import annotations

import numpy as np
import pytest

from privateyes.aggregation.client import SubmissionSecrets
from privateyes.errors import MalformedError, RefusedError

NONCE = bytes([7]) * 32


def test_the_memory_after_a_submission_submits_no_second_time(world) -> None:
    world.announce()
    world.submit(1, nonce=NONCE)
    with pytest.raises(RefusedError, match="does not follow round"):
        world.submit(1, nonce=NONCE)


def test_the_memory_after_a_submission_holds_no_key_of_that_round(world) -> None:
    world.announce()
    before = world.client_memories[1]
    world.submit(1)
    after = world.client_memories[1]
    for old, new in zip(before.chains, after.chains, strict=True):
        assert new.next_round == world.round + 1
        with pytest.raises(RefusedError, match="keys are erased"):
            new.advance_to(world.round, world.group.setup)
        assert old.key.hex() not in after.to_bytes().decode()


def test_one_nonce_in_two_rounds_gives_unrelated_shares(world) -> None:
    world.run(to="submit")
    world.announce()
    for i in world.clients:
        closings = world.closings(world.round - 1)
        world.client_memories[i] = world.clients[i].settle(world.client_memories[i], closings)
    shares = []
    for _ in range(2):
        world.submit(1, nonce=NONCE)
        shares.append(world.submissions[1].share)
        world.announce()
        closings = world.closings(world.round - 1)
        world.client_memories[1] = world.clients[1].settle(world.client_memories[1], closings)
    assert not np.any(shares[0] == shares[1])


@pytest.mark.parametrize("size", [0, 31, 33])
def test_a_nonce_of_another_length_is_refused(world, size) -> None:
    world.announce()
    fresh = SubmissionSecrets(bytes(size), bytes(32))
    with pytest.raises(MalformedError):
        world.clients[1].submit(world.client_memories[1], world.announcements, world.delta(1), 1, fresh)


def test_a_client_that_goes_back_to_old_memory_and_nonce_gives_its_difference_away(world) -> None:
    world.announce()
    rolled_back = world.client_memories[1]
    first, second = world.delta(1), world.delta(2)
    one = world.submit(1, first, 3, NONCE).share
    world.client_memories[1] = rolled_back
    two = world.submit(1, second, 3, NONCE).share
    difference = (one.astype(object) - two.astype(object)) % world.prime
    expected = [
        (a - b) % world.prime
        for a, b in zip(
            world.encoded(first, 3, bytes([1]) * 32), world.encoded(second, 3, bytes([1]) * 32), strict=True
        )
    ]
    assert difference.tolist()[: world.d] == expected


def test_rolled_back_memory_with_a_fresh_nonce_gives_nothing_away(world) -> None:
    world.announce()
    rolled_back = world.client_memories[1]
    one = world.submit(1, world.delta(1), 3).share
    world.client_memories[1] = rolled_back
    two = world.submit(1, world.delta(1), 3).share
    assert not np.any(one[: world.d] == two[: world.d])
