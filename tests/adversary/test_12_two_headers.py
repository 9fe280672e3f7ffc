"""12. One client sends two valid headers to different aggregators: left out, and the others' round goes on."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from privateyes.aggregation import aggregator
from privateyes.errors import AbortError


def _second_header(world, client: int):
    first = world.submissions[client].header
    return replace(first, nonce=bytes(32)).signed_by(world.client_keys[client], world.sid)


def _send_two(world) -> None:
    world.run(to="submit")
    honest = [world.submissions[i].header for i in (1, 2, 3)]
    first, second = world.submissions[4].header, _second_header(world, 4)
    world.vote({1: [*honest, first], **{s: [*honest, second] for s in range(2, world.n + 1)}})


def test_different_headers_at_different_aggregators_leave_the_client_out(world) -> None:
    _send_two(world)
    assert all(4 in dict(vote.entries) for vote in world.votes)
    world.commit()
    assert [i for i, _ in world.entries] == [1, 2, 3]
    for step in (world.agree, world.open, world.certify, world.deliver):
        step()
    assert np.array_equal(world.check(1).mean, world.mean_of(world.ideal(1, 2, 3)))


def test_both_headers_at_one_aggregator_leave_the_client_out(world) -> None:
    world.run(to="submit")
    headers = [submission.header for submission in world.submissions.values()]
    world.vote(everywhere=[*headers, _second_header(world, 4)])
    assert [i for i, _ in world.votes[0].entries] == [1, 2, 3]
    assert world.states[1].rejected == {4: "sent two different headers"}


def test_the_same_header_twice_is_no_fault(world) -> None:
    world.run(to="submit")
    headers = [submission.header for submission in world.submissions.values()]
    world.vote(everywhere=[*headers, *headers])
    assert [i for i, _ in world.votes[0].entries] == [1, 2, 3, 4]


def test_an_intersection_of_client_numbers_alone_would_spoil_the_round(world, monkeypatch) -> None:
    def by_number(votes):
        return tuple(sorted(entry for entry in votes[0] if all(entry[0] in dict(vote) for vote in votes)))

    monkeypatch.setattr(aggregator, "intersect", by_number)
    _send_two(world)
    with pytest.raises(AbortError, match="did not vote for"):
        world.commit()
