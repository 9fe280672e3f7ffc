"""28. In sealed mode nothing that leaves a client lets one test a guess of the next model.

With a client the coalition knows the model anyway, so the attack runs with the hub and n - 1 aggregators.
"""

from __future__ import annotations

import pytest

from privateyes.aggregation.keys import GroupKey
from privateyes.crypto.labels import Label, Role
from privateyes.crypto.statement import digest


def _what_the_adversary_holds(network) -> tuple[bytes, bytes]:
    """A guess, which is right, of the state after the first round; all traffic and corrupt memories of two rounds."""
    network.play()
    guess = network.clients[1].memory.state.digest
    network.play()
    seen = [part for packet in network.adversary.seen for part in packet.parts]
    kept = [network.aggregators[s].memory.to_bytes() for s in network.liars]
    return guess, b"".join([*seen, *kept])


def _plain_hashes(network, guess: bytes) -> list[bytes]:
    """Everything that somebody without the group key can compute from the guess."""
    setup = network.clients[1].memory.group.setup
    candidates = [guess]
    for label in (Label.STATE_ID, Label.PUBLIC_STATE_ID):
        candidates += [digest(label, Role.ALL, context, guess) for context in (setup, b"")]
    candidates += [GroupKey(setup, key).state_id(guess) for key in (b"", bytes(32), setup)]
    candidates.append(GroupKey(setup, b"", sealed=False).state_id(guess))
    return candidates + [candidate.hex().encode() for candidate in candidates]  # memories hold digits


def test_the_right_guess_appears_in_no_message_under_any_hash_that_needs_no_group_key(operators) -> None:
    guess, seen = _what_the_adversary_holds(operators)
    assert all(candidate not in seen for candidate in _plain_hashes(operators, guess))
    operators.require_sound()


def test_whoever_has_the_group_key_can_test_the_guess(coalition) -> None:
    guess, seen = _what_the_adversary_holds(coalition)
    assert coalition.group.state_id(guess) in seen


def test_with_a_plain_hash_as_state_id_anyone_could(operators, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(GroupKey, "state_id", lambda self, state: digest(Label.STATE_ID, Role.ALL, self.setup, state))
    guess, seen = _what_the_adversary_holds(operators)
    assert any(candidate in seen for candidate in _plain_hashes(operators, guess))


def test_in_public_mode_anyone_can_and_may(make_network, case) -> None:
    network = make_network(**case, corrupt_clients=(), mode="public")
    guess, seen = _what_the_adversary_holds(network)
    assert any(candidate in seen for candidate in _plain_hashes(network, guess))
