"""The protocol gives exactly what the ideal functionality gives."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from privateyes.aggregation.functionality import IdealInput, aggregate
from privateyes.crypto.field import COMPACT, WIDE
from privateyes.errors import AbortError

PLAIN = settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@PLAIN
@given(data=st.data())
def test_every_honest_run_ends_in_the_ideal_sum_at_every_client(make_world, data) -> None:
    clients = data.draw(st.integers(2, 6), label="clients")
    world = make_world(
        field=data.draw(st.sampled_from([COMPACT, WIDE])),
        n=data.draw(st.integers(2, 5), label="aggregators"),
        m=clients,
        d=data.draw(st.integers(1, 60), label="dimension"),
    )
    rounds = data.draw(st.integers(1, 2))
    for number in range(rounds):
        cohort = data.draw(st.sets(st.integers(1, clients), min_size=2), label="cohort")
        world.announce(data.draw(st.integers(world.next_round, world.next_round + 5)))
        for i, own in world.clients.items():
            if i not in cohort:
                world.client_memories[i] = own.observe(world.client_memories[i], world.announcements)
        for i in cohort:
            values = st.floats(-1.5, 1.5, width=32)
            delta = np.array(data.draw(st.lists(values, min_size=world.d, max_size=world.d)), dtype=np.float32)
            world.submit(i, delta, data.draw(st.integers(1, 50)))
        world.finish()
        expected = world.ideal()
        for i in world.clients:
            got = world.check(i)
            assert got.total_weight == expected.total_weight
            assert np.array_equal(got.mean, world.mean_of(expected))
            assert got.roster == tuple(sorted(cohort))
            assert got.counted == (i in cohort)
        world.accept(bytes([number + 1]) * 32)


@pytest.mark.parametrize(("d", "field"), [(70_001, COMPACT), (65_536, COMPACT), (65_535, COMPACT), (40_000, WIDE)])
def test_vectors_of_several_chunks_end_in_the_ideal_sum(make_world, d, field) -> None:
    world = make_world(n=2, m=2, d=d, field=field)
    world.run()
    assert np.array_equal(world.check(2).mean, world.mean_of(world.ideal()))


@pytest.mark.parametrize("coordinates", [2, 3, 4, 5, 8, 9, 10, 15, 16, 17, 288, 289, 290])
def test_dimensions_around_a_perfect_square_end_in_the_ideal_sum(make_world, coordinates, field) -> None:
    world = make_world(n=2, m=2, d=coordinates - 1, field=field)
    world.run()
    assert np.array_equal(world.check(1).mean, world.mean_of(world.ideal()))


def test_the_adversary_may_choose_the_roster_and_one_blind_shift() -> None:
    inputs = {1: IdealInput([1, 2], 3), 2: IdealInput([10, 20], 4), 5: IdealInput([100, 200], 5)}
    output = aggregate(inputs, {1, 5}, 2, shift=[0, -7, 1])
    assert output.values == (101, 195)
    assert output.total_weight == 9


@pytest.mark.parametrize("roster", [{1}, {1, 3}, set()])
def test_a_roster_that_is_too_small_or_names_an_absent_client_aborts(roster) -> None:
    inputs = {1: IdealInput([1], 1), 2: IdealInput([1], 1)}
    with pytest.raises(AbortError):
        aggregate(inputs, roster, 2)
