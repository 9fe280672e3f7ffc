"""How much clipping changed, in words: secure methods average clipped updates, and their bound is about these."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def told_of_clipping(equality: Mapping[str, Any] | None) -> str | None:
    """What was clipped in a run's secure methods, in two sentences; None where nothing was, or nothing is known.

    Args:
        equality: as in ``results.json``; files of earlier versions do not say of how many coordinates and updates.
    """
    if equality is None:
        return None
    cut, shortened = equality.get("saturated", 0), equality.get("shortened", 0)
    parts = []
    if cut:
        parts.append(f"{_share(cut, equality.get('coordinates', 0), 'coordinate')} cut to aggregation.clip")
    if shortened:
        parts.append(f"{_share(shortened, equality.get('updates', 0), 'update')} shortened to aggregation.norm_clip")
    if not parts:
        return None
    clipped, rounds = equality.get("clipped_rounds", 0), equality.get("rounds", 0)
    when = f" in {clipped:,} of {rounds:,} rounds" if rounds else ""
    return (
        f"Secure aggregation clipped: {' and '.join(parts)}{when}. The bound holds for the clipped updates alone, "
        "while the counterparts in the clear averaged them as they were; raise what clipped, or lower "
        "training.learning_rate."
    )


def _share(number: int, whole: int, noun: str) -> str:
    """``3 of 60 updates (5.0 %) were``; the share is left out where the whole is not known."""
    if not whole:
        return f"{number:,} {noun}{' was' if number == 1 else 's were'}"
    share = 100 * number / whole
    written = f"{share:.1f}" if share >= 0.1 else "below 0.1"
    return f"{number:,} of {whole:,} {noun}s ({written} %) {'was' if number == 1 else 'were'}"
