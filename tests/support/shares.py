"""What can be done to a share from outside: change it, fit its tags to the change, take its masks off."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from privateyes.aggregation.challenge import TensorChallenge
from privateyes.crypto.field import Elements, Field
from privateyes.crypto.labels import Label, Role
from privateyes.crypto.streams import ElementStream, scratch_words


def shifted(field: Field, share: Elements, changes: Mapping[int, int]) -> Elements:
    """A copy of a share with amounts added to single elements."""
    altered = np.array(share)
    for position, amount in changes.items():
        altered[position] = (int(altered[position]) + amount) % field.prime
    return altered


def added(field: Field, *shares: Elements) -> Elements:
    """The sum of shares in the field."""
    total: Any = sum(np.asarray(share).astype(object) for share in shares) % field.prime
    summed: Elements = total.astype(field.dtype)
    return summed


def with_matching_tags(
    field: Field, coordinates: int, changes: Mapping[int, int], session_key: bytes, sid: bytes
) -> dict[int, int]:
    """Changes to the first d + 1 elements of a share, and what they do to the tags behind: takes K_sid."""
    shift = field.zeros(coordinates)
    for position, amount in changes.items():
        shift[position] = amount % field.prime
    accumulator = TensorChallenge(field, coordinates, session_key, sid).accumulator()
    accumulator.update(shift)
    return {**changes, **dict(enumerate(accumulator.tags(pads=0).tolist(), start=coordinates))}


def unmasked(field: Field, body: Elements, masks: int, session_key: bytes, sid: bytes) -> Elements:
    """The first d + 1 elements of a share without the given number of masks: takes K_sid."""
    opened, labels = np.array(body), (Label.MASK, Label.MASK_TAIL)
    stream = ElementStream(field, session_key, labels, Role.ALL, sid, scratch=scratch_words(field))
    stream.subtract_from(opened, masks)
    return opened


def signed(field: Field, elements: Any) -> list[int]:
    """Elements as integers of either sign."""
    return [value - field.prime if value > field.prime // 2 else value for value in elements.tolist()]
