"""The protocol gives exactly what the ideal functionality gives."""

from __future__ import annotations

import math
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from privateyes.aggregation.aggregator import Aggregator
from privateyes.aggregation.client import SubmissionSecrets, Update
from privateyes.aggregation.functionality import IdealInput, aggregate
from privateyes.aggregation.result import verify_disclosed
from privateyes.crypto.field import COMPACT, WIDE
from privateyes.crypto.labels import Label, Role
from privateyes.crypto.lanes import Lanes
from privateyes.crypto.streams import KeyStream
from privateyes.encoding.clips import ClipPlan, segments
from privateyes.errors import AbortError

PLAIN = settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def _drawn_world(make_world, data):
    clients = data.draw(st.integers(2, 6), label="clients")
    lanes = Lanes(data.draw(st.integers(1, 3), label="lanes"), map)
    return make_world(
        field=data.draw(st.sampled_from([COMPACT, WIDE])),
        n=data.draw(st.integers(2, 5), label="aggregators"),
        m=clients,
        d=data.draw(st.integers(1, 60), label="dimension"),
        mode=data.draw(st.sampled_from(["sealed", "public"]), label="mode"),
        aggregator_type=lambda manifest, number, key: Aggregator(manifest, number, key, lanes),
    )


def _submit_some(world, data) -> set[int]:
    cohort = data.draw(st.sets(st.integers(1, world.m), min_size=2), label="cohort")
    world.announce(data.draw(st.integers(world.next_round, world.next_round + 5)))
    for i, own in world.clients.items():
        if i not in cohort:
            world.client_memories[i] = own.observe(world.client_memories[i], world.announcements)
    values = st.floats(-1.5, 1.5, width=32)
    for i in cohort:
        delta = np.array(data.draw(st.lists(values, min_size=world.d, max_size=world.d)), dtype=np.float32)
        world.submit(i, delta, data.draw(st.integers(1, 50)))
    return cohort


def _interrupted(world, data) -> None:
    """What may come between two rounds: a session that everyone gives up, or a new set-up."""
    what = data.draw(st.sampled_from(["nothing", "given up", "set up"]), label="between")
    if what == "given up":
        world.announce()
        world.submit_all()
        world.give_up()
        for i in world.clients:
            world.settle(i, world.closings(world.round))
    if what == "set up":
        world.set_up()


@PLAIN
@given(data=st.data())
def test_every_honest_run_ends_in_the_ideal_sum_at_every_client(make_world, data) -> None:
    world = _drawn_world(make_world, data)
    for number in range(data.draw(st.integers(1, 2))):
        _interrupted(world, data)
        cohort = _submit_some(world, data)
        # The adversary chooses who is counted: a header that one aggregator never sees leaves its client out.
        roster = data.draw(st.sets(st.sampled_from(sorted(cohort)), min_size=2), label="roster")
        kept = [world.submissions[i].header for i in sorted(cohort) if i in roster]
        world.vote({data.draw(st.integers(1, world.n)): kept})
        for step in (world.commit, world.agree, world.open, world.certify, world.deliver):
            step()
        expected = world.ideal(*roster)
        for i in world.clients:
            got = world.check(i)
            assert got.total_weight == expected.total_weight
            assert np.array_equal(got.mean, world.mean_of(expected))
            assert got.roster == tuple(sorted(roster))
            assert got.counted == (i in roster)
        if not world.manifest.sealed:
            disclosure = world.clients[1].disclose(world.client_memories[1], world.delivery)
            shown = verify_disclosed(world.manifest, world.delivery, world.headers, disclosure)
            assert shown.total_weight == expected.total_weight
            assert np.array_equal(shown.mean, world.mean_of(expected))
        world.accept(bytes([number + 1]) * 32)


@PLAIN
@given(data=st.data())
def test_a_blind_shift_of_a_corrupt_client_ends_in_the_ideal_sum_with_that_shift(make_world, data) -> None:
    """Point 3 of the functionality: with K, and before anything is opened, the sum moves by z and by nothing else."""
    world = make_world(field=data.draw(st.sampled_from([COMPACT, WIDE])), n=2, m=3, d=5)
    world.run(to="submit")
    shift = data.draw(st.lists(st.integers(-3, 3), min_size=5, max_size=5), label="shift")
    changes = world.with_matching_tags(dict(enumerate(shift)))
    honest = world.submissions[3]
    world.submissions[3] = replace(honest, share=world.shifted(honest.share, changes))
    world.finish()
    expected = aggregate(world.inputs, {1, 2, 3}, 2, shift=[*shift, 0])
    for i in world.clients:
        assert np.array_equal(world.check(i).mean, world.mean_of(expected))


def test_each_tensor_with_its_own_clip_ends_in_the_exact_sum_on_its_own_grid(make_world, field) -> None:
    world, plan = make_world(field=field, n=3, m=3, d=7), ClipPlan((2, 4, 1), (0.5, 0.25, 8.0))
    world.announce()
    parts = segments(world.encoding, 7, plan)
    sums = np.zeros(7, dtype=np.int64)
    for i in world.clients:
        fresh = SubmissionSecrets(bytes([i]) * 32, bytes([i + 9]) * 32)
        update = Update(world.delta(i), i, plan)
        done = world.clients[i].submit(
            world.client_memories[i], [], world.announcements, update, fresh, lambda piece: None
        )
        world.client_memories[i], world.submissions[i] = done.memory, done.submission
        words = np.zeros(7, dtype="<u4")
        KeyStream(fresh.rounding_key, Label.ROUNDING, Role.CLIENT, b"").fill(words.data.cast("B"))
        for part in parts:
            for t in range(part.start, part.stop):
                clip = Fraction(part.encoding.clip)
                value = max(-clip, min(clip, Fraction(float(world.delta(i)[t])))) * i * 2**part.encoding.scale_bits
                below = math.floor(value)
                sums[t] += below + (Fraction(int(words[t]), 2**32) < value - below)
    world.finish()
    for i in world.clients:
        average = world.clients[i].check(world.client_memories[i], world.delivery, plan)
        for part in parts:
            assert np.array_equal(average.mean[part.span], part.encoding.decode(sums[part.span], 1 + 2 + 3))


@pytest.mark.parametrize(("d", "field"), [(140_001, COMPACT), (131_072, COMPACT), (131_071, COMPACT), (80_000, WIDE)])
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
