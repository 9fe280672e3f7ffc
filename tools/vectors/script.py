"""How a case is written down: who does what, and how the last call ends."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

from privateyes.aggregation.messages import Message
from vectors.cast import STEPS

ORDER = ("announce", "vote", "commit", "agree", "open", "certify")


@dataclass(frozen=True)
class Case:
    """One refusal.

    Attributes:
        about: what happens, in a few words.
        party: who refuses, for example ``{"aggregator": 1}``; empty for the hub and an auditor.
        calls: what the party does, in order; the last ends as expected.
        base: the session that it starts from.
    """

    about: str
    party: dict[str, int]
    calls: list[dict[str, Any]]
    expected: dict[str, Any]
    base: str = "3-compact-sealed"


class Table:
    """The messages of a file, each once, under the first 12 hexadecimal digits of its SHA-256."""

    def __init__(self) -> None:
        self.messages: dict[str, bytes] = {}

    def add(self, message: Message) -> str:
        """The name under which the message stands."""
        data = message.to_bytes()
        name = hashlib.sha256(data).hexdigest()[:12]
        if self.messages.setdefault(name, data) != data:
            raise RuntimeError(f"two messages begin with {name}")
        return name

    def written(self, call: dict[str, Any]) -> dict[str, Any]:
        """A call with names in place of its messages."""
        if "messages" not in call:
            return call
        return {**call, "messages": [self.add(message) for message in call["messages"]]}


def after(step: str) -> list[dict[str, Any]]:
    """An aggregator's honest calls up to and including a step."""
    if step not in STEPS:
        raise RuntimeError(f"{step} is no step")
    return [{"do": name} for name in ORDER[: ORDER.index(step) + 1]]


def before(step: str) -> list[dict[str, Any]]:
    """An aggregator's honest calls before a step."""
    return after(ORDER[ORDER.index(step) - 1]) if ORDER.index(step) else []


def replaced(messages: list[Any], position: int, message: Any) -> list[Any]:
    """The list with another message at a position."""
    return [*messages[:position], message, *messages[position + 1 :]]
