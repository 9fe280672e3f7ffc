"""How something that takes one thing after the other says how far it is."""

from __future__ import annotations

from collections.abc import Callable

Tell = Callable[[int, int], None]
"""Is told how many are done, and of how many; 0 where that is not known."""


def tell_nobody(done: int, total: int) -> None:
    """For whoever does not want to know."""
