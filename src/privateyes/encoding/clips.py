"""A clip for each tensor, as part of the training state (protocol, "Encoding").

Updates of different layers differ in size by orders of magnitude; one clip for all of them wastes the grid of the small
ones. A plan gives each tensor its own, and may change from round to round, since it belongs to the state that every
client computes for itself. The manifest's clip stays the cap: a larger one is cut down to it, so that nobody can widen
what a corrupt client's blind shift could do. The scale follows from the clip and is never finer than what cannot wrap.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import accumulate, pairwise

from privateyes.encoding.fixed_point import MAX_SCALE_BITS, FixedPoint, exact_clip
from privateyes.errors import ParameterError


@dataclass(frozen=True, slots=True)
class ClipPlan:
    """Clips of one training state.

    Attributes:
        lengths: elements of each tensor, in the order of the update vector.
        clips: largest absolute value in each; one for each length.

    Raises:
        ParameterError: not one positive, finite clip for each non-empty tensor.
    """

    lengths: tuple[int, ...]
    clips: tuple[float, ...]

    def __post_init__(self) -> None:
        if len(self.lengths) != len(self.clips) or not self.lengths:
            raise ParameterError(
                f"{len(self.clips)} clips for {len(self.lengths)} tensors", "give one clip for each tensor"
            )
        for position, (length, clip) in enumerate(self.pairs()):
            if length < 1 or not (math.isfinite(clip) and exact_clip(clip) > 0):
                raise ParameterError(
                    f"tensor {position}: clip {clip} for {length} elements", "clips are positive and finite"
                )

    def pairs(self) -> Iterator[tuple[int, float]]:
        """(length, clip) of each tensor."""
        return zip(self.lengths, self.clips, strict=True)


def plan_of_pairs(pairs: Iterable[tuple[int, float]]) -> ClipPlan:
    """The plan of (length, clip) pairs, as ``ClipPlan.pairs`` gives them.

    Raises:
        ParameterError: as for ``ClipPlan``.
    """
    lengths, clips = tuple(zip(*pairs, strict=True)) or ((), ())
    return ClipPlan(tuple(int(length) for length in lengths), tuple(float(clip) for clip in clips))


@dataclass(frozen=True, slots=True)
class Segment:
    """Coordinates ``start`` to ``stop`` of the update vector, and how they are encoded."""

    start: int
    stop: int
    encoding: FixedPoint

    @property
    def span(self) -> slice:
        """As an index."""
        return slice(self.start, self.stop)


def segments(encoding: FixedPoint, dimension: int, plan: ClipPlan | None) -> tuple[Segment, ...]:
    """How each part of an update is encoded.

    Args:
        encoding: the manifest's, which caps every clip.
        dimension: d.
        plan: None for the manifest's clip everywhere.

    Raises:
        ParameterError: the plan's lengths do not add up to d.
    """
    if plan is None:
        return (Segment(0, dimension, encoding),)
    ends = (0, *accumulate(plan.lengths))
    if ends[-1] != dimension:
        raise ParameterError(
            f"the clips are for {ends[-1]} parameters, and the task has {dimension}", "use the task's own model"
        )
    return tuple(
        Segment(start, stop, _tightened(encoding, clip))
        for (start, stop), clip in zip(pairwise(ends), plan.clips, strict=True)
    )


def within(parts: tuple[Segment, ...], start: int, stop: int) -> Iterator[Segment]:
    """The segments of coordinates ``start`` to ``stop``, cut to them and counted from ``start``."""
    for part in parts:
        if part.start < stop and part.stop > start:
            yield Segment(max(part.start, start) - start, min(part.stop, stop) - start, part.encoding)


def _tightened(encoding: FixedPoint, clip: float) -> FixedPoint:
    """The encoding with a smaller clip, and the grid refined by as many halvings as keep the sum in its bounds."""
    capped = min(exact_clip(clip), encoding.clip)
    finer = math.frexp(encoding.clip)[1] - math.frexp(capped)[1]
    if math.ldexp(capped, finer) > encoding.clip:
        finer -= 1
    bits = min(encoding.scale_bits + finer, max(MAX_SCALE_BITS, encoding.scale_bits))
    return replace(encoding, clip=capped, scale_bits=bits)
