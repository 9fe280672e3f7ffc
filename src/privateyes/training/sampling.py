"""Which samples each step of a local round takes."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from typing import Final, TypeAlias

import torch
from torch import Tensor

from privateyes.federation.seeds import derive_seed
from privateyes.training.settings import Assignment, LocalSettings

_FINEST_SHARE: Final = 1_000_000  # denominators up to it: 0.1 is a tenth, which no float is

Sampler: TypeAlias = Callable[[int, LocalSettings, Assignment], Iterator[Tensor]]
"""(number of samples, settings, assignment) -> row numbers, int64 (B,), for each step; at least one step. What it draws
depends on the seed, the client and the round alone, unless privacy asks for secret draws.
"""


def seed_for(settings: LocalSettings, purpose: str, assignment: Assignment) -> int:
    """The seed of what one client draws for one purpose in one round."""
    return derive_seed(settings.seed, purpose, assignment.client, assignment.round_index)


def shuffled(samples: int, settings: LocalSettings, assignment: Assignment) -> Iterator[Tensor]:
    """Passes over all samples, each in an order of its own, cut off after the assigned share of the steps."""
    if settings.local_epochs < 1:
        batches = _share_of_passes(samples, settings, assignment)
        yield from batches[: max(1, math.ceil(assignment.work * len(batches)))]
        return
    order = torch.Generator().manual_seed(seed_for(settings, "client", assignment))
    steps = int(settings.local_epochs) * -(-samples // settings.batch_size)
    left = max(1, math.ceil(assignment.work * steps))
    while left:
        permutation = torch.randperm(samples, generator=order)
        for start in range(0, samples, settings.batch_size)[:left]:
            left -= 1
            yield permutation[start : start + settings.batch_size]


def _share_of_passes(samples: int, settings: LocalSettings, assignment: Assignment) -> Sequence[Tensor]:
    """The batches of a round that makes less than a pass: round after round walks on through passes in fresh orders.

    All batches are of one size, so that none weighs more than another; one may end a pass and begin the next. Where the
    walk stands follows from the round's number, so that a round depends on no other; a client that sits a round out
    skips the batches of that round. A client with less than a batch to do in a round takes smaller ones, and every
    round takes one sample at least.
    """
    share = Fraction(settings.local_epochs).limit_denominator(_FINEST_SHARE) * samples
    size = min(settings.batch_size, max(1, math.floor(share)))
    first = math.floor(assignment.round_index * share / size)
    end = max(first + 1, math.floor((assignment.round_index + 1) * share / size))
    begin, stop = first * size, end * size
    orders = []
    for number in range(begin // samples, -(-stop // samples)):
        seed = derive_seed(settings.seed, "pass", assignment.client, number)
        orders.append(torch.randperm(samples, generator=torch.Generator().manual_seed(seed)))
    skipped = begin // samples * samples
    return torch.split(torch.cat(orders)[begin - skipped : stop - skipped], size)
