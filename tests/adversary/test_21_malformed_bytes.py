"""21. Words at or above p, wrong lengths, trailing bytes: parse errors."""

from __future__ import annotations

import pytest

from privateyes.aggregation.messages import Delivery, HubSum, Opening, Submission
from privateyes.crypto.field import Field
from privateyes.errors import MalformedError


def _messages(world):
    world.run()
    return [
        (Submission, world.submissions[1].to_bytes()),
        (Opening, world.openings[0].to_bytes()),
        (HubSum, world.total.to_bytes()),
        (Delivery, world.delivery.to_bytes()),
    ]


def _with_word(world, data: bytes, kind: type, word: int) -> bytes:
    """The message with its last field element replaced."""
    size = world.field.element_bytes
    end = len(data) - (64 if kind is Opening else 0)
    return data[: end - size] + word.to_bytes(size, "little") + data[end:]


def test_a_word_that_is_not_below_p_is_no_element(world) -> None:
    largest = 2 ** (8 * world.field.element_bytes) - 1
    for kind, data in _messages(world):
        kind.from_bytes(_with_word(world, data, kind, world.prime - 1), world.manifest)
        for word in (world.prime, world.prime + 1, largest):
            with pytest.raises(MalformedError, match="not below the prime"):
                kind.from_bytes(_with_word(world, data, kind, word), world.manifest)


def test_a_message_of_another_length_is_no_message(world) -> None:
    for kind, data in _messages(world):
        for wrong in (data + b"\0", data[:-1], data[1:], b"", data[:1], data + data):
            with pytest.raises(MalformedError):
                kind.from_bytes(wrong, world.manifest)


def test_a_message_of_another_kind_is_no_message(world) -> None:
    for kind, data in _messages(world):
        with pytest.raises(MalformedError):
            kind.from_bytes(bytes([data[0] ^ 1]) + data[1:], world.manifest)


def test_without_the_check_one_share_has_two_encodings(world, monkeypatch: pytest.MonkeyPatch) -> None:
    _, data = _messages(world)[2]
    monkeypatch.setattr(Field, "require_canonical", lambda self, elements: None)
    zero, alias = _with_word(world, data, HubSum, 0), _with_word(world, data, HubSum, world.prime)
    first, second = (HubSum.from_bytes(one, world.manifest).share for one in (zero, alias))
    assert int(first[-1]) % world.prime == int(second[-1]) % world.prime
    assert zero != alias
