"""When a method ends early, from its metrics lines alone, so that a resumed run decides as one that was not.

A line with ``converged`` is the last: the server's step gave weights that the method had before (`federation.lineage`).

Where the split names validation persons, every line of a round that was evaluated (training.evaluate_every) holds
``validation`` (person -> error) and ``validation_error`` (their mean); with training.patience also ``best_round``, the
best one so far, and ``stopped``, whether the method ends with this line. The errors of the test persons stand in the
same lines, and nothing here reads them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from privateyes.training.stopping import best_round, is_over


class Stopping:
    """Decides when a method in a fold ends.

    Args:
        patience: rounds without a better validation error, void ones aside; None to look at no errors.
        lines: the metrics lines that are there already, by round.
        lower_is_better: the direction of what is measured.
    """

    def __init__(self, patience: int | None, lines: Iterable[Mapping[str, Any]], lower_is_better: bool = True) -> None:
        self._patience, self._lower = patience, lower_is_better
        self._errors: dict[int, float] = {}
        self._void: set[int] = set()
        self._converged = False
        for line in lines:
            self._converged = self._converged or bool(line.get("converged"))
            if "validation_error" in line:
                self._errors[line["round"]] = float(line["validation_error"])
            if line.get("participation", {}).get("void"):
                self._void.add(line["round"])

    @property
    def over(self) -> bool:
        """Whether the method has ended before its last round."""
        return self._converged or is_over(self._errors, self._patience, self._void, self._lower)

    @property
    def improved(self) -> bool:
        """Whether the model of the last round that was judged is the one to keep."""
        return self._patience is not None and best_round(self._errors, self._lower) == max(self._errors)

    def judge(
        self, number: int, errors: Mapping[str, float], void: bool = False, converged: bool = False
    ) -> dict[str, Any]:
        """Take note of a round; what its metrics line gains.

        Args:
            number: of the round, from 1.
            errors: validation person -> error; empty where there is none, or where the round was not evaluated.
            void: whether the round left the model as it was.
            converged: whether it did because the model no longer changes.
        """
        if void:
            self._void.add(number)
        self._converged = converged
        if not errors:
            return {}
        self._errors[number] = float(np.mean(list(errors.values())))
        found: dict[str, Any] = {"validation": dict(errors), "validation_error": self._errors[number]}
        if self._patience is not None:
            found |= {"best_round": best_round(self._errors, self._lower), "stopped": self.over}
        return found


def result_line(lines: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    """The line of the round whose model is a method's result: the best one if validation persons decide, else the last.

    Args:
        lines: of one method in one fold, by round; at least one.
    """
    last = lines[-1]
    if "best_round" not in last:
        return last
    return next(line for line in lines if line["round"] == last["best_round"])
