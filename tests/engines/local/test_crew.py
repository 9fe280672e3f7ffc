"""Threads change nothing but time: not results, not which failure is raised, not what is counted."""

from __future__ import annotations

import threading
from time import thread_time

import pytest

from privateyes.engines.local.clock import RoleClock
from privateyes.engines.local.crew import Crew, threads_for
from privateyes.engines.local.wire import Place
from privateyes.errors import RefusedError


@pytest.fixture(params=[1, 2, 5])
def crew(request: pytest.FixtureRequest):
    made = Crew(request.param)
    yield made
    made.close()


def burn(seconds: float) -> float:
    """Keep a core busy for some processor time."""
    end, total = thread_time() + seconds, 0.0
    while thread_time() < end:
        total += sum(range(100))
    return total


def test_results_come_in_the_order_of_the_items(crew: Crew) -> None:
    assert crew.run(lambda item: item * item, range(50)) == [item * item for item in range(50)]
    assert crew.run(str, []) == []
    assert list(crew.lanes().run(str, [7])) == ["7"]


def test_work_may_hand_out_work_of_its_own(crew: Crew) -> None:
    def outer(item: int) -> list[list[int]]:
        return crew.run(lambda inner: crew.run(lambda last: item * inner * last, range(3)), range(4))

    for _ in range(20):
        assert crew.run(outer, range(6)) == [[[a * b * c for c in range(3)] for b in range(4)] for a in range(6)]


def test_of_several_failures_the_first_in_order_is_raised(crew: Crew) -> None:
    def work(item: int) -> int:
        if item in (3, 4, 7):
            raise RefusedError(f"item {item}")
        burn(0.001 * (item == 2))
        return item

    for _ in range(20):
        with pytest.raises(RefusedError, match="item 3"):
            crew.run(work, range(9))


def test_nobody_is_at_work_any_more_when_a_failure_is_raised(crew: Crew) -> None:
    at_work, adding = [0], threading.Lock()

    def work(item: int) -> None:
        with adding:
            at_work[0] += 1
        try:
            burn(0.002)
            if item == 1:
                raise RefusedError("stop")
        finally:
            with adding:
                at_work[0] -= 1

    with pytest.raises(RefusedError):
        crew.run(work, range(30))
    assert at_work == [0]


def test_an_error_that_is_no_refusal_is_raised_too(crew: Crew) -> None:
    def work(item: int) -> float:
        return 1 / (item - 3)

    with pytest.raises(ZeroDivisionError):
        crew.run(work, range(6))
    assert crew.run(abs, range(6)) == list(range(6)), "the crew goes on after a failure"


def test_several_threads_take_part() -> None:
    crew, meeting = Crew(3), threading.Barrier(3)
    assert sorted(crew.run(lambda _: meeting.wait(timeout=20), range(3))) == [0, 1, 2]
    crew.close()


def test_the_work_of_helpers_counts_for_the_role_that_they_help(crew: Crew) -> None:
    clock = RoleClock(crew.seconds)
    with clock.work_of(Place.AGGREGATOR):
        crew.run(lambda _: crew.run(burn, [0.01] * 3), range(3))
    assert clock.seconds[Place.AGGREGATOR] >= 0.09
    assert clock.seconds[Place.CLIENT] == 0

    def as_client(_: int) -> None:
        with clock.work_of(Place.CLIENT):
            burn(0.01)

    crew.run(as_client, range(4))
    assert clock.seconds[Place.CLIENT] >= 0.04


def test_small_vectors_are_not_worth_a_thread() -> None:
    assert threads_for(1000, 8) == 1
    assert threads_for(1 << 24, 8) == 8
    assert threads_for(1 << 24) >= 1
