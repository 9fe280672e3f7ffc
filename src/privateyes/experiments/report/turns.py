"""Curves that coincide take turns along their line, in dashes, so that none hides another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

_NEAR_PX: Final = 2.5
_DASH_PX: Final = 14.0
Points = Sequence[tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Turn:
    """When a curve is drawn: it is number `index`, from 0, of `count` that coincide."""

    index: int
    count: int

    @property
    def dashes(self) -> str:
        """The dash pattern: drawn for one turn, and away for those of the others."""
        return f"{_DASH_PX:g} {_DASH_PX * (self.count - 1):g}"

    @property
    def offset(self) -> float:
        """Where in the pattern the line begins, so that the first dash comes after the turns before."""
        return _DASH_PX * (self.count - self.index) % (_DASH_PX * self.count)


def turns(curves: Sequence[Points]) -> list[Turn | None]:
    """For each curve its turn; None for one that lies apart from all others.

    Args:
        curves: in px, each from left to right.
    """
    group = list(range(len(curves)))
    for later in range(len(curves)):
        for earlier in range(later):
            if group[earlier] != group[later] and _coincide(curves[earlier], curves[later]):
                joined = group[later]
                group = [group[earlier] if number == joined else number for number in group]
    return [_turn(group, index) for index in range(len(curves))]


def _turn(group: Sequence[int], index: int) -> Turn | None:
    members = [other for other, number in enumerate(group) if number == group[index]]
    return Turn(members.index(index), len(members)) if len(members) > 1 else None


def _coincide(one: Points, other: Points) -> bool:
    """Whether at least half of the shorter curve lies on the longer one."""
    if not one or not other:
        return False
    short, long = sorted((np.array(one), np.array(other)), key=len)
    inside = (short[:, 0] >= long[0, 0] - 0.5) & (short[:, 0] <= long[-1, 0] + 0.5)
    apart = np.abs(np.interp(short[:, 0], long[:, 0], long[:, 1]) - short[:, 1])
    return bool(np.count_nonzero(inside & (apart <= _NEAR_PX)) * 2 >= len(short))
