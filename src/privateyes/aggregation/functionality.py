"""The ideal functionality F_AGG in plain integers: what the protocol must be indistinguishable from (protocol, "What it
must achieve").

A trusted party takes every honest input, lets the adversary choose who is counted and, if it holds a client, add one
shift that it fixed before seeing anything, and hands the sum to the clients. Tests hold the real protocol against this.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from privateyes.errors import AbortError


@dataclass(frozen=True, slots=True)
class IdealInput:
    """One client's input: encoded integers (d,) and its weight."""

    values: Sequence[int]
    weight: int


@dataclass(frozen=True, slots=True)
class IdealOutput:
    """The sum Y over the roster, (d,), and the total weight W."""

    values: tuple[int, ...]
    total_weight: int


def aggregate(
    inputs: Mapping[int, IdealInput], roster: Collection[int], roster_min: int, shift: Sequence[int] | None = None
) -> IdealOutput:
    """Y = sum of the inputs in the roster, plus the shift.

    Args:
        inputs: by client; a client without an input did not submit.
        roster: the adversary's choice among the submitters.
        roster_min: R_min.
        shift: the adversary's z, (d + 1,) with the weight last; only if it holds a client.

    Raises:
        AbortError: the roster is too small or names a client that did not submit.
    """
    if len(set(roster)) < roster_min or not set(roster) <= set(inputs):
        raise AbortError("the roster is smaller than R_min or names a client that did not submit")
    members = [inputs[client] for client in sorted(set(roster))]
    length = len(members[0].values)
    z = list(shift) if shift is not None else [0] * (length + 1)
    values = tuple(sum(member.values[t] for member in members) + z[t] for t in range(length))
    return IdealOutput(values, sum(member.weight for member in members) + z[length])
