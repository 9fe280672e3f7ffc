"""How far a secure average is from the exact one. Only a simulation can measure it: it asks clients in the clear."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from privateyes.aggregation.client import VerifiedAverage
from privateyes.aggregation.manifest import Manifest
from privateyes.encoding.clips import ClipPlan, segments
from privateyes.encoding.norm import clipped_norm
from privateyes.federation.participants import Participant


def deviation(
    manifest: Manifest, clips: ClipPlan | None, average: VerifiedAverage, counted: Sequence[Participant]
) -> tuple[float, float]:
    """The largest difference between the decoded average and the exact weighted mean of the clipped updates, and what
    bounds it; of several tensors with clips of their own, those of the one that comes closest to its bound.

    Args:
        manifest: of the task.
        clips: the training state's, if it has any.
        average: that every client verified.
        counted: whose updates are in it.
    """
    parts = segments(manifest.encoding, manifest.dimension, clips)
    limit = None if manifest.privacy is None else manifest.privacy.limit(manifest.encoding)
    updates, found = [participant.hand_over() for participant in counted], []
    weights = {update.client: float(update.weight) for update in updates}
    if limit is not None:
        for update in updates:
            norm = clipped_norm(update.delta, parts)
            weights[update.client] *= limit.shrink(norm, update.weight, update.delta.size)
    for part in parts:
        clip, exact = part.encoding.clip, np.zeros(part.stop - part.start, dtype=np.float64)
        for update in updates:
            exact += weights[update.client] * np.clip(update.delta[part.span].astype(np.float64), -clip, clip)
        exact /= sum(update.weight for update in updates)
        bound = part.encoding.deviation_bound(len(updates), average.total_weight)
        found.append((float(np.abs(average.mean[part.span] - exact).max()), bound))
    return max(found, key=lambda pair: pair[0] / pair[1])
