"""When to stop: once the error on persons kept for this purpose has not improved for some rounds [Prechelt 1998].

The decision is a function of all errors so far, which are on disk: a run that is resumed decides as one that was not.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence


def best_round(errors: Sequence[float]) -> int:
    """The round, from 1, with the smallest error; the first of several. `errors` holds one for each round."""
    return 1 + min(range(len(errors)), key=errors.__getitem__)


def is_over(errors: Sequence[float], patience: int | None, void: Collection[int] = ()) -> bool:
    """Whether `patience` rounds have passed since the best one; never without a patience, or before a round.

    Rounds in `void`, from 1, do not count: they left the model as it was, so that it could not improve.
    """
    if patience is None or not errors:
        return False
    best = best_round(errors)
    return len(errors) - best - sum(1 for number in void if number > best) >= patience
