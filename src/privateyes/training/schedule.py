"""The step size of a client, round by round.

Warm-up comes first ([Goyal 2017], section 2.2: a linear climb), then the schedule, over the rounds that are left:

    constant   stays
    cosine     falls towards 0 along half a cosine ([SGDR], equation 5, without restarts)
    step       is multiplied by a factor after each of some rounds
"""

from __future__ import annotations

import math

from privateyes.training.settings import LocalSettings


def learning_rate_at(settings: LocalSettings, round_index: int) -> float:
    """The step size in a round (from 0), above 0.

    In warm-up round k of n (from 0) it is the learning rate times (k + 1) / (n + 1), so that the first round after the
    warm-up is the first at the full rate.
    """
    warmup = settings.warmup_rounds
    if round_index < warmup:
        return settings.learning_rate * (round_index + 1) / (warmup + 1)
    if settings.schedule == "cosine":
        angle = math.pi * (round_index - warmup) / (settings.rounds - warmup)
        return settings.learning_rate * 0.5 * (1.0 + math.cos(angle))
    if settings.schedule == "step":
        passed = sum(1 for boundary in settings.decay_rounds if round_index >= boundary)
        return settings.learning_rate * settings.decay_factor**passed
    return settings.learning_rate
