"""What one adversary sees of a round, for whoever wants to attack the federation it runs.

Those who average tell it to an ``Observe``. The default keeps nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, TypeAlias

HUB: Final = "hub"
"""Who carries all messages, and averages where that is done in the clear."""
EACH_CLIENT: Final = "each client"


@dataclass(frozen=True, slots=True)
class Observation:
    """One thing that one adversary sees.

    Args:
        adversary: who.
        round: the round, from 1.
        what: "update": a ClientUpdate; "mean": float64 (d,).
        value: the thing itself.
    """

    adversary: str
    round: int
    what: str
    value: object = field(repr=False)


Observe: TypeAlias = Callable[[Observation], None]


def keep_nothing(_: Observation) -> None:
    """Nobody looks."""
