"""However a client is asked, it sends one update from each model: a second one only after all called the first void,
or the same one to the same roster.
"""

from __future__ import annotations

import secrets
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, find, given, settings
from hypothesis import strategies as st

from privateyes.aggregation import client as client_module
from privateyes.aggregation.client import (
    Changed,
    Client,
    SubmissionSecrets,
    Submitted,
    Update,
    VerifiedAverage,
)
from privateyes.aggregation.ledger import LedgerEntry, SessionEnd
from privateyes.aggregation.memory import ClientMemory
from privateyes.aggregation.messages import (
    OPENED,
    VOID,
    Announcement,
    Closing,
    Origin,
    RosterCommitment,
    Submission,
)
from privateyes.aggregation.roster import roster_digest
from privateyes.errors import PrivateyesError
from situations import require_client_successor
from world import World, state_after

STEPS = st.tuples(
    st.sampled_from(["submit", "submit", "again", "again", "observe", "settle", "accept", "set up", "resend"]),
    st.integers(0, 5),
    st.integers(0, 5),
)
WALKS = st.lists(STEPS, min_size=1, max_size=30)


class Walk:
    """The adversary holds the hub, every aggregator's key and the other clients; every number picks a variant.

    The one thing that it may not do is to call a session void that it opens: what is called void stands apart.
    """

    def __init__(self, world: World) -> None:
        self.world, self.own = world, world.clients[1]
        self.memory: ClientMemory = world.client_memories[1]
        self.rows: list[LedgerEntry] = []
        self.kept: dict[bytes, Any] = {}
        self.rosters: dict[bytes, Origin] = {}
        self.encoded: dict[bytes, bytes] = {}
        self.sent: set[bytes] = set()
        self.void: set[bytes] = set()
        """What every aggregator called void."""

    def _signed(self, message: Any, context: bytes) -> Any:
        return message.signed_by(self.world.aggregator_keys[message.aggregator], context)

    def _announcements(self, a: int) -> list[Announcement]:
        memory = self.memory
        number = max(memory.last_round + (a % 3 or 1) - (a == 5), 0)
        plain = [Announcement(memory.group.setup, s, number, memory.state_id) for s in self.world.aggregators]
        return [self._signed(message, memory.group.setup) for message in plain]

    def ask(self, request: str, a: int, b: int) -> None:
        """One request; what leaves is held against all that left before."""
        kept = self.memory.to_bytes()
        try:
            outcome = getattr(self, f"_{request.replace(' ', '_')}")(a, b)
        except PrivateyesError:
            assert self.memory.to_bytes() == kept
            return
        if outcome is None:
            return
        if isinstance(outcome, Submission):
            assert outcome.header.hash() in self.sent
            return
        after = outcome if isinstance(outcome, ClientMemory) else outcome.memory
        if after is not self.memory and request != "set up":
            require_client_successor(self.memory, after)
        self.memory = ClientMemory.from_bytes(after.to_bytes())
        if isinstance(outcome, Changed):
            ended = {entry.sid: entry for entry in outcome.entries}
            self.rows = [ended.get(row.sid, row) for row in self.rows]
        if isinstance(outcome, Submitted):
            self._note(outcome)

    def _note(self, done: Submitted) -> None:
        entry = done.entry
        assert entry.sid not in {row.sid for row in self.rows}, "two submissions to one session"
        here = [row for row in self.rows if row.weights == entry.weights and row.sid not in self.void]
        assert {row.chain for row in here} <= {entry.chain}, "a second update from one model"
        if here:
            assert self.encoded[entry.sid] == self.encoded[entry.chain], "another update in one chain"
        self.rows.append(entry)
        self.sent.add(done.submission.header.hash())

    def _observe(self, a: int, b: int) -> Any:
        return self.own.observe(self.memory, self._announcements(a))

    def _submit(self, a: int, b: int) -> Any:
        announcements, pieces = self._announcements(a), []
        update = Update(np.full(self.world.d, b / 10, np.float32), b + 1)
        fresh = SubmissionSecrets(secrets.token_bytes(32), bytes([b]) * 32)
        done = self.own.submit(
            self.memory, self.rows, announcements, update, fresh, lambda piece: pieces.append(piece.copy())
        )
        return self._keep(done, np.concatenate(pieces))

    def _keep(self, done: Submitted, encoded: Any) -> Submitted:
        sid, header = done.entry.sid, done.submission.header
        self.kept[sid] = done.kept.with_update(encoded)
        self.encoded[sid] = encoded.tobytes() + done.kept.weight.to_bytes(8, "big")
        roster = ((1, header.hash()), (2, bytes(32)))
        self.rosters[sid] = Origin(sid, header.group_check, roster)
        return done

    def _again(self, a: int, b: int) -> Any:
        if not self.rows:
            return None
        row, kept = self.rows[-1 - a % len(self.rows)], self.kept[self.rows[-1 - b % len(self.rows)].sid]
        if b == 5:  # damaged on its disk
            kept = replace(kept, encoded=self.world.shifted(kept.encoded, {0: 1}))
        origin = self.rosters[row.sid]
        rho = roster_digest(origin.sid, origin.group_check, origin.roster)
        plain = [RosterCommitment(origin.sid, s, rho, bytes(32)) for s in self.world.aggregators]
        commitments = [self._signed(message, origin.sid) for message in plain]
        done = self.own.submit_again(
            self.memory, self.rows, self._announcements(a), kept, secrets.token_bytes(32), (origin, commitments)
        )
        return self._keep(done, kept.encoded)

    def _resend(self, a: int, b: int) -> Any:
        if not self.rows:
            return None
        return self.own.resend(self.memory, self.kept[self.rows[-1 - a % len(self.rows)].sid])

    def _settle(self, a: int, b: int) -> Any:
        if not self.rows:
            return None
        sid = self.rows[-1 - a % len(self.rows)].sid
        plain = [Closing(sid, s, OPENED if b in (s, 5) else VOID) for s in self.world.aggregators]
        if all(message.outcome == VOID for message in plain):
            self.void.add(sid)
        return self.own.settle(self.memory, self.rows, [self._signed(message, sid) for message in plain])

    def _accept(self, a: int, b: int) -> Any:
        if not self.memory.followed:
            return None
        sid = self.memory.followed[a % len(self.memory.followed)].sid
        average = VerifiedAverage(sid, np.zeros(1), 2, (1, 2), True)
        state = state_after(self.memory.state, bytes([b]))
        if b > 3:  # a server step that leaves the weights as they were
            state = replace(state, weights=self.memory.state.weights)
        return self.own.accept(self.memory, self.rows, average, state)

    def _set_up(self, a: int, b: int) -> Any:
        world = self.world
        world.client_memories[1] = self.memory
        world.aggregator_memories, others = {}, {i: world.client_memories[i] for i in (2, 3)}
        world.set_up()
        world.client_memories.update(others)
        return world.client_memories[1]


@pytest.fixture(scope="module")
def walked() -> tuple[World, ClientMemory]:
    """The world that every walk begins in."""
    world = World(n=2, m=3, d=2)
    return world, world.client_memories[1]


def walk(walked: tuple[World, ClientMemory], steps: list[tuple[str, int, int]]) -> Walk:
    """All of these requests, in order."""
    world, memory = walked
    world.client_memories[1] = memory
    done = Walk(world)
    for request, a, b in steps:
        done.ask(request, a, b)
    return done


@given(steps=WALKS)
@settings(max_examples=150, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
def test_no_walk_brings_a_second_update_from_one_model(walked, steps) -> None:
    walk(walked, steps)


def test_walks_submit_send_again_and_begin_anew(walked) -> None:
    """Else the one above would say nothing."""
    done = walk(walked, [("submit", 1, 1), ("again", 0, 0), ("set up", 0, 0), ("again", 1, 0), ("settle", 0, 0),
                         ("accept", 0, 1), ("submit", 1, 2), ("settle", 0, 0), ("submit", 1, 3)])  # fmt: skip
    assert [row.end for row in done.rows] == [
        SessionEnd.ACCEPTED, SessionEnd.UNKNOWN, SessionEnd.VOID, SessionEnd.VOID, SessionEnd.UNKNOWN,
    ]  # fmt: skip
    assert len({row.chain for row in done.rows}) == 3
    assert len({row.setup for row in done.rows}) == 2


GUARDS = {
    "one update from a model": (client_module, "require_unused", lambda entries: None),
    "the same numbers again": (Client, "_as_sent", lambda self, session, kept: None),
    "a word for void from everybody": (client_module, "VOID", OPENED),
}


@pytest.mark.parametrize("guard", GUARDS)
def test_without_a_guard_some_walk_brings_a_second_update(walked, guard, monkeypatch) -> None:
    where, name, off = GUARDS[guard]
    monkeypatch.setattr(where, name, off)
    quick = settings(max_examples=2000, derandomize=True, database=None, phases=[Phase.generate])
    find(WALKS, lambda steps: _breaks(walked, steps), settings=quick)


def _breaks(walked: tuple[World, ClientMemory], steps: list[tuple[str, int, int]]) -> bool:
    try:
        walk(walked, steps)
    except AssertionError:
        return True
    return False
