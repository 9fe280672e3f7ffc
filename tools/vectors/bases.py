"""The sessions that cases start from, by name, each played once."""

from __future__ import annotations

from functools import cache

from vectors.cast import Cast, Session
from vectors.repeats import fixed_chain, open_chain
from vectors.rounds import plots

SEALED, PUBLIC = "3-compact-sealed", "3-compact-public"
AGAIN, MOVED, FIXED = "repeats-open/2", "repeats-open/3", "repeats-fixed/2"
"""A repeat in the next round, one in another set-up, and one in a fixed cohort."""
FIRST_OF_FIXED = "repeats-fixed/1"
"""An ordinary session of a public task in which one client may be corrupt."""
LIMITED, LIMITED_IN_PARTS = "2-compact-public-norm", "2-wide-sealed-norm"
"""Rounds of tasks that limit the L2 norm; in the second each tensor has a clip, and some a finer grid."""


@cache
def bases() -> dict[str, Session]:
    """Two rounds with three aggregators, two with a limit of the L2 norm, and both chains of repeats."""
    rounds = [Cast(plot).play() for plot in (*plots(3)[:2], *plots(2)[4:])]
    return {session.name: session for session in (*rounds, *open_chain(), *fixed_chain())}
