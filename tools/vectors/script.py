"""How a refusal is written down: who does what, and how the last call ends."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from vectors.cast import STEPS

ORDER = ("announce", "vote", "commit", "agree", "open", "certify")


@dataclass(frozen=True)
class Case:
    """One refusal.

    Attributes:
        about: what happens, in a few words.
        party: who refuses, for example ``{"aggregator": 1}``; empty for the hub and an auditor.
        calls: what the party does, in order; the last ends as expected.
        public: whether it starts from the public round.
    """

    about: str
    party: dict[str, int]
    calls: list[dict[str, Any]]
    expected: dict[str, Any]
    public: bool = False


def after(step: str) -> list[dict[str, Any]]:
    """An aggregator's honest calls up to and including a step."""
    if step not in STEPS:
        raise RuntimeError(f"{step} is no step")
    return [{"do": name} for name in ORDER[: ORDER.index(step) + 1]]


def before(step: str) -> list[dict[str, Any]]:
    """An aggregator's honest calls before a step."""
    return after(ORDER[ORDER.index(step) - 1]) if ORDER.index(step) else []
