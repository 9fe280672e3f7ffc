"""Clips that follow the size of the updates, tensor by tensor.

After each round every client computes the next clips from the average that it verified, as it does the server step: in
bit-exact arithmetic, so that all reach the same state. A power of two that is ``headroom`` times the largest averaged
coordinate keeps rare larger updates unclipped and the grid fine; the manifest's clip caps it (encoding/clips.py).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from itertools import accumulate, pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray

from privateyes.encoding.clips import ClipPlan
from privateyes.federation.rounds import ServerState
from privateyes.federation.server_step import ServerOptimiser

SMALLEST_CLIP: Final = 2.0**-20


@dataclass(frozen=True, slots=True)
class AdaptiveClips:
    """How clips adapt.

    Attributes:
        lengths: elements of each tensor, in the order of the update vector.
        headroom: how many times the largest averaged coordinate a clip is at least.
        largest: the manifest's clip, from which every tensor starts.
    """

    lengths: tuple[int, ...]
    headroom: float
    largest: float

    def initial(self) -> ClipPlan:
        """The clips of the first round."""
        return ClipPlan(self.lengths, (self.largest,) * len(self.lengths))

    def following(self, mean: NDArray[np.float64]) -> ClipPlan:
        """The clips after a round whose verified average is ``mean``, float64 (d,)."""
        ends = accumulate(self.lengths, initial=0)
        return ClipPlan(self.lengths, tuple(self._clip_of(mean[start:stop]) for start, stop in pairwise(ends)))

    def _clip_of(self, mean: NDArray[np.float64]) -> float:
        wanted = self.headroom * float(np.abs(mean).max())
        power = math.ldexp(1.0, math.frexp(wanted)[1]) if wanted > SMALLEST_CLIP else SMALLEST_CLIP
        return min(power, self.largest)


@dataclass(frozen=True, slots=True)
class ClippingOptimiser:
    """A server optimiser whose states carry adaptive clips: its step, then the clips of the next round."""

    optimiser: ServerOptimiser
    clips: AdaptiveClips

    @property
    def vectors(self) -> int:
        """As the optimiser's."""
        return self.optimiser.vectors

    def initial_moments(self, dimension: int) -> tuple[NDArray[np.float64], ...]:
        """As the optimiser's."""
        return self.optimiser.initial_moments(dimension)

    def step(self, state: ServerState, mean: NDArray[np.float64], sid: bytes = b"") -> ServerState:
        """As the optimiser's, with the clips that follow from the mean update."""
        return replace(self.optimiser.step(state, mean, sid), clips=self.clips.following(mean))
