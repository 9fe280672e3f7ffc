"""However an aggregator is asked among corrupt others, it says one word of each kind, and none that belies another."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, find, given, settings
from hypothesis import strategies as st

from privateyes.aggregation import aggregator, session_rules
from privateyes.aggregation.memory import AggregatorMemory
from walk import REQUESTS, Walk
from world import World

STEPS = st.tuples(st.sampled_from([*["on"] * 8, *REQUESTS]), st.integers(0, 20), st.integers(0, 7))
WALKS = st.lists(STEPS, min_size=1, max_size=40)


@pytest.fixture(scope="module")
def world() -> World:
    """Two aggregators and three clients, from whose first set-up every walk begins."""
    return World(n=2, m=3, d=2)


def walk(world: World, steps: list[tuple[str, int, int]]) -> Walk:
    """All of these requests, in order."""
    walk = Walk(world)
    for request, a, b in steps:
        if request == "on":
            walk.on(a, b)
        else:
            walk.ask(request, a, b)
    return walk


@given(steps=WALKS)
@settings(max_examples=150, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
def test_no_walk_brings_a_second_word(world, steps) -> None:
    walk(world, steps)


def test_walks_come_everywhere(world) -> None:
    """Else the one above would say nothing."""
    on = ("on", 0, 0)
    whole = walk(world, [*[on] * 6, ("finish", 0, 0), *[("on", 0, 2)] * 5, ("give_up", 0, 0), ("closing", 0, 0),
                         ("bind", 0, 0), *[on] * 3, ("give_up", 0, 0)])  # fmt: skip
    assert whole.reached == {
        "Announcement", "Vote", "RosterCommitment", "Agreement", "Opening", "ResultSignature", "Closing", "Abort",
    }  # fmt: skip


def _forgetting(**parts: Any) -> Any:
    """A disk from which a part of the last session is missing."""

    def load(self: Walk, data: bytes) -> AggregatorMemory:
        memory = AggregatorMemory.from_bytes(data)
        return memory if memory.session is None else replace(memory, session=replace(memory.session, **parts))

    return load


GUARDS = {
    "a session that was given up is over": (aggregator, "require_not_given_up", lambda record: None),
    "void is said of what is closed alone": (aggregator, "is_closed", lambda *named: True),
    "a vote stays": (Walk, "load", _forgetting(voted=None)),
    "that it was given up stays": (Walk, "load", _forgetting(given_up=False)),
    "T stays": (Walk, "load", _forgetting(commitments=())),
}


@pytest.mark.parametrize("guard", GUARDS)
def test_without_a_guard_some_walk_brings_a_second_word(world, guard, monkeypatch) -> None:
    where, name, off = GUARDS[guard]
    monkeypatch.setattr(where, name, off)
    if name == "require_not_given_up":
        monkeypatch.setattr(session_rules, name, off)
    quick = settings(max_examples=2000, derandomize=True, database=None, phases=[Phase.generate])
    find(WALKS, lambda steps: _breaks(world, steps), settings=quick)


def _breaks(world: World, steps: list[tuple[str, int, int]]) -> bool:
    try:
        walk(world, steps)
    except AssertionError:
        return True
    return False
