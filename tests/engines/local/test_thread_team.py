"""Threads change nothing but time: not results, not which failure is raised, not what is counted."""

from __future__ import annotations

import threading
from time import thread_time

import pytest

from privateyes.engines.local.clock import RoleClock
from privateyes.engines.local.message_log import Endpoint
from privateyes.engines.local.thread_team import ThreadTeam, threads_for
from privateyes.errors import RefusedError


@pytest.fixture(params=[1, 2, 5])
def team(request: pytest.FixtureRequest):
    made = ThreadTeam(request.param)
    yield made
    made.close()


def burn(seconds: float) -> float:
    """Keep a core busy for some processor time."""
    end, total = thread_time() + seconds, 0.0
    while thread_time() < end:
        total += sum(range(100))
    return total


def test_results_come_in_the_order_of_the_items(team: ThreadTeam) -> None:
    assert team.run(lambda item: item * item, range(50)) == [item * item for item in range(50)]
    assert team.run(str, []) == []
    assert list(team.lanes().run(str, [7])) == ["7"]


def test_work_may_hand_out_work_of_its_own(team: ThreadTeam) -> None:
    def outer(item: int) -> list[list[int]]:
        return team.run(lambda inner: team.run(lambda last: item * inner * last, range(3)), range(4))

    for _ in range(20):
        assert team.run(outer, range(6)) == [[[a * b * c for c in range(3)] for b in range(4)] for a in range(6)]


def test_of_several_failures_the_first_in_order_is_raised(team: ThreadTeam) -> None:
    def work(item: int) -> int:
        if item in (3, 4, 7):
            raise RefusedError(f"item {item}")
        burn(0.001 * (item == 2))
        return item

    for _ in range(20):
        with pytest.raises(RefusedError, match="item 3"):
            team.run(work, range(9))


def test_nobody_is_at_work_any_more_when_a_failure_is_raised(team: ThreadTeam) -> None:
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
        team.run(work, range(30))
    assert at_work == [0]


def test_an_error_that_is_no_refusal_is_raised_too(team: ThreadTeam) -> None:
    def work(item: int) -> float:
        return 1 / (item - 3)

    with pytest.raises(ZeroDivisionError):
        team.run(work, range(6))
    assert team.run(abs, range(6)) == list(range(6)), "the team goes on after a failure"


def test_several_threads_take_part() -> None:
    team, meeting = ThreadTeam(3), threading.Barrier(3)
    assert sorted(team.run(lambda _: meeting.wait(timeout=20), range(3))) == [0, 1, 2]
    team.close()


def test_the_work_of_helpers_counts_for_the_role_that_they_help(team: ThreadTeam) -> None:
    clock = RoleClock(team.seconds)
    with clock.work_of(Endpoint.AGGREGATOR):
        team.run(lambda _: team.run(burn, [0.01] * 3), range(3))
    assert clock.seconds[Endpoint.AGGREGATOR] >= 0.09
    assert clock.seconds[Endpoint.CLIENT] == 0

    def as_client(_: int) -> None:
        with clock.work_of(Endpoint.CLIENT):
            burn(0.01)

    team.run(as_client, range(4))
    assert clock.seconds[Endpoint.CLIENT] >= 0.04


def test_small_vectors_are_not_worth_a_thread() -> None:
    assert threads_for(1000, 8) == 1
    assert threads_for(1 << 24, 8) == 8
    assert threads_for(1 << 24) >= 1
