"""When to stop: once the error on persons kept for this purpose has not improved for some rounds [Prechelt 1998].

The decision is a function of all errors so far, which are on disk: a run that is resumed decides as one that was not.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping


def best_round(errors: Mapping[int, float], lower_is_better: bool = True) -> int:
    """The round with the best error; the first of several. `errors`: round, from 1 -> error, at least one."""
    return (min if lower_is_better else max)(sorted(errors), key=errors.__getitem__)


def is_over(
    errors: Mapping[int, float], patience: int | None, void: Collection[int] = (), lower_is_better: bool = True
) -> bool:
    """Whether `patience` rounds have passed between the best one and the last that was judged.

    Never without a patience, or before a round was judged.

    Args:
        errors: round, from 1 -> error; rounds without an evaluation are missing.
        patience: number of rounds.
        void: rounds that do not count: they left the model as it was, so that it could not improve.
        lower_is_better: what makes an error the best; another measure than an error may be better if it is higher.
    """
    if patience is None or not errors:
        return False
    best, last = best_round(errors, lower_is_better), max(errors)
    return last - best - sum(1 for number in void if best < number <= last) >= patience
