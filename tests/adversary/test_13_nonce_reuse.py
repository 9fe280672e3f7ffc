"""13. Two shares made with one key, one session and one nonce: the library forbids it."""

from __future__ import annotations

import numpy as np
import pytest

from privateyes.aggregation.client import SubmissionSecrets, Update
from privateyes.aggregation.messages import Submission
from privateyes.errors import MalformedError, RefusedError

NONCE = bytes([7]) * 32


def _ask_twice(network):
    """The hub shows client 1 the same announcement again, after it was killed; the trainer has another update then."""
    network.clients[1].nonce = NONCE
    network.play(until="vote")
    network.kill("client 1")
    network.clients[1].delta = network.world.delta(2)
    announcement = next(p for p in network.adversary.seen if p.step == "submit" and p.receiver == "client 1")
    network.deliver(announcement)
    return network.words_of("client 1", Submission)


def test_a_restarted_client_submits_no_second_time_to_a_session(coalition) -> None:
    assert len(_ask_twice(coalition)) == 1
    error = coalition.refusal_of("client 1")
    assert isinstance(error, RefusedError)
    assert "does not follow round" in str(error)
    coalition.require_sound()


def test_a_client_whose_store_goes_back_gives_the_difference_of_its_updates_away(
    make_network, case, client_actor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The double forgets its submission when it dies, and its nonces repeat: both guards are off."""

    class GoesBack(client_actor):
        def do_submit(self, packet):
            self.before = self.disk.read()
            return super().do_submit(packet)

        def restart(self) -> None:
            if hasattr(self, "before"):
                self.disk._view = self.before
            super().restart()

    network = make_network(**case)
    old = network.clients[1]
    network.clients[1] = network.actors["client 1"] = GoesBack(old.own, old.disk, old.encoded)
    network.clients[1].delta = old.delta
    first = network.input_of(1)
    one, two = _ask_twice(network)
    difference = (one.share.astype(object) - two.share.astype(object)) % network.prime
    second = network.input_of(1)
    expected = [(a - b) % network.prime for a, b in zip(first.values, second.values, strict=True)]
    assert difference.tolist()[: network.d] == expected
    with pytest.raises(AssertionError, match="two submissions to one session"):
        network.require_sound()


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
        world.settle(i, world.closings(world.round - 1))
    shares = []
    for _ in range(2):
        world.submit(1, nonce=NONCE)
        shares.append(world.submissions[1].share)
        world.announce()
        world.settle(1, world.closings(world.round - 1))
    assert not np.any(shares[0] == shares[1])


@pytest.mark.parametrize("size", [0, 31, 33])
def test_a_nonce_of_another_length_is_refused(world, size) -> None:
    world.announce()
    fresh = SubmissionSecrets(bytes(size), bytes(32))
    memory, update = world.client_memories[1], Update(world.delta(1), 1)
    with pytest.raises(MalformedError):
        world.clients[1].submit(memory, (), world.announcements, update, fresh, lambda piece: None)


def test_rolled_back_memory_with_a_fresh_nonce_gives_nothing_away(world) -> None:
    world.announce()
    rolled_back = world.client_memories[1]
    one = world.submit(1, world.delta(1), 3).share
    world.client_memories[1], world.ledgers[1] = rolled_back, []
    two = world.submit(1, world.delta(1), 3).share
    assert not np.any(one[: world.d] == two[: world.d])
