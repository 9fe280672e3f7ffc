"""repeats.json: opened sessions whose result nobody accepted, and the sessions that send their updates again.

The results of the first sessions are right too, so that every session of a chain can be checked; that no client
accepted them is all that matters to what follows.
"""

from __future__ import annotations

from typing import Any

from vectors.cast import Cast, Plot, Session
from vectors.rounds import written

OPEN = Plot("repeats-open", n=2, m=4, field="compact", mode="sealed", submitting=(1, 2, 3), dimension=4)
FIXED = Plot(
    "repeats-fixed", n=2, m=3, field="wide", mode="public", submitting=(1, 2, 3), bulk_hash="sha256", dimension=4,
    roster_min=3, corrupt_clients=1,
)  # fmt: skip


def open_chain() -> list[Session]:
    """An open cohort: again in the next round, and once more in a set-up that the second leader made."""
    cast = Cast(OPEN)
    first = Session(cast, "repeats-open/1", 2).play()
    again = Session(cast, "repeats-open/2", 3, first).play()
    cast.set_up(2, leader=2)
    return [first, again, Session(cast, "repeats-open/3", 0, first).play()]


def fixed_chain() -> list[Session]:
    """A fixed cohort: an aggregator that lost its store takes part in the repeat."""
    cast = Cast(FIXED)
    first = Session(cast, "repeats-fixed/1", 0).play()
    cast.set_up(2, leader=1, lost=(2,))
    return [first, Session(cast, "repeats-fixed/2", 0, first).play()]


def _chain(sessions: list[Session]) -> dict[str, Any]:
    lost = {session.name: [] for session in sessions} | {"repeats-fixed/2": [2]}
    return {
        "name": sessions[0].plot.name,
        "sessions": [
            {
                **written(session, []),
                "repeats": None if session.repeats is None else session.repeats.name,
                "lost": lost[session.name],
            }
            for session in sessions
        ],
    }


def make() -> dict[str, Any]:
    """Two chains."""
    return {
        "about": "updates that are sent again, docs/protocol.md, Sending an update again",
        "chains": [_chain(open_chain()), _chain(fixed_chain())],
    }
