"""21. Words at or above p, wrong lengths, trailing bytes: parse errors."""

from __future__ import annotations

from dataclasses import replace

import pytest

from privateyes.aggregation.messages import Delivery, HubSum, Opening, Submission
from privateyes.crypto.field import Field
from privateyes.errors import MalformedError

WHERE = [("certify", 0), ("certify", -1), ("check", 0)]
"""Requests that carry a vector: an opening, the hub's sum, the delivery; and which part of them it is."""


def _with_word(network, data: bytes, word: int) -> bytes:
    """The message with its last field element replaced."""
    size = network.field.element_bytes
    end = len(data) - (64 if data[0] == Opening.kind else 0)
    return data[: end - size] + word.to_bytes(size, "little") + data[end:]


def _damage(network, step: str, part: int, change) -> None:
    def damaged(packet):
        parts = list(packet.parts)
        parts[part] = change(parts[part])
        return replace(packet, parts=tuple(parts))

    network.adversary.on(step, damaged, sender="hub")
    network.play()


@pytest.mark.parametrize(("step", "part"), WHERE)
@pytest.mark.parametrize("above", [0, 1, None], ids=["p", "p + 1", "all ones"])
def test_a_word_that_is_not_below_p_stops_every_honest_receiver(coalition, step, part, above) -> None:
    word = 2 ** (8 * coalition.field.element_bytes) - 1 if above is None else coalition.prime + above
    _damage(coalition, step, part, lambda data: _with_word(coalition, data, word))
    receivers = (
        [f"client {i}" for i in coalition.honest_clients] if step == "check" else [f"aggregator {coalition.honest}"]
    )
    for name in receivers:
        error = coalition.refusal_of(name)
        assert isinstance(error, MalformedError)
        assert "not below the prime" in str(error)
    assert coalition.nobody_accepted()
    coalition.require_sound()


@pytest.mark.parametrize("step", ["submit", "vote", "commit", "agree", "open", "certify", "check"])
@pytest.mark.parametrize("damage", ["longer", "shorter", "shifted", "empty", "one byte", "doubled", "another kind"])
def test_a_message_of_another_length_or_kind_stops_its_receiver_with_a_parse_error(make_network, step, damage) -> None:
    network = make_network(n=3)
    change = {
        "longer": lambda data: data + b"\0",
        "shorter": lambda data: data[:-1],
        "shifted": lambda data: data[1:],
        "empty": lambda data: b"",
        "one byte": lambda data: data[:1],
        "doubled": lambda data: data + data,
        "another kind": lambda data: bytes([data[0] ^ 1]) + data[1:],
    }[damage]
    _damage(network, step, 1 if step == "vote" else 0, change)  # a request for a vote begins with the session's id
    honest = [failure for failure in network.failures if failure.step == step and failure.party not in network.corrupt]
    assert honest
    assert all(isinstance(failure.error, MalformedError) for failure in honest)
    assert network.nobody_accepted()
    network.require_sound()


def test_a_message_of_another_length_or_kind_is_no_message(world) -> None:
    world.run()
    messages = [world.submissions[1], world.openings[0], world.total, world.delivery]
    for kind, data in zip((Submission, Opening, HubSum, Delivery), [m.to_bytes() for m in messages], strict=True):
        for wrong in (data + b"\0", data[:-1], data[1:], b"", data[:1], data + data, bytes([data[0] ^ 1]) + data[1:]):
            with pytest.raises(MalformedError):
                kind.from_bytes(wrong, world.manifest)


def test_without_the_check_one_share_has_two_encodings(coalition, monkeypatch: pytest.MonkeyPatch) -> None:
    coalition.play(until="certify")
    data = coalition.session.total.to_bytes()
    monkeypatch.setattr(Field, "require_canonical", lambda self, elements: None)
    zero, alias = _with_word(coalition, data, 0), _with_word(coalition, data, coalition.prime)
    first, second = (HubSum.from_bytes(one, coalition.manifest).share for one in (zero, alias))
    assert int(first[-1]) % coalition.prime == int(second[-1]) % coalition.prime
    assert zero != alias
