"""28. In sealed mode nothing that leaves a client lets one test a guess of the next model."""

from __future__ import annotations

import pytest

from privateyes.aggregation.keys import GroupKey
from privateyes.crypto.labels import Label, Role
from privateyes.crypto.statement import digest

GUESS = bytes([0x77]) * 32


def _traffic(world) -> bytes:
    """All that the hub sees of two rounds, the second from the guessed state."""
    pieces = []
    for _ in range(2):
        world.run()
        messages = [
            *world.announcements,
            *world.submissions.values(),
            *world.votes,
            *world.commitments,
            *world.agreements,
            *world.openings,
            *world.results,
            world.delivery,
        ]
        pieces += [message.to_bytes() for message in messages]
        world.accept(GUESS)
    return b"".join(pieces)


def test_the_right_guess_appears_in_no_message_under_any_hash_that_needs_no_group_key(world) -> None:
    seen = _traffic(world)
    setup = world.group.setup
    candidates = [GUESS, digest(Label.STATE_ID, Role.ALL, setup, GUESS), digest(Label.STATE_ID, Role.ALL, b"", GUESS)]
    candidates += [GroupKey(setup, 1, key).state_id(GUESS) for key in (b"", bytes(32), setup)]
    assert all(candidate not in seen for candidate in candidates)


def test_whoever_has_the_group_key_can_test_the_guess(world) -> None:
    assert world.client_memories[2].group.state_id(GUESS) in _traffic(world)


def test_with_a_plain_hash_as_state_id_anyone_could(world, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(GroupKey, "state_id", lambda self, state: digest(Label.STATE_ID, Role.ALL, self.setup, state))
    assert digest(Label.STATE_ID, Role.ALL, world.client_memories[2].group.setup, GUESS) in _traffic(world)
