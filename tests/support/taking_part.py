"""Clients whose local rounds are over, and what they give to a session."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from privateyes.aggregation.client import Update
from privateyes.engines.local.network import Give
from privateyes.federation.participants import ClientUpdate, Participant
from privateyes.parties.client import Contribution


def taking_part(updates: Iterable[ClientUpdate]) -> list[Participant]:
    """The participants of a round in which each hands over what it trained, as it is."""
    return [Participant(update) for update in updates]


def giving(delta: NDArray[np.float32], weight: int, rounding_key: bytes = bytes(32)) -> Give:
    """A client's own side that gives these numbers."""
    return lambda clips: Contribution(Update(delta, weight, clips), rounding_key)
