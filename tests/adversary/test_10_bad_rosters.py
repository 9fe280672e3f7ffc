"""10. A roster that is too small, or names unregistered clients or one client twice: refused."""

from __future__ import annotations

from dataclasses import replace

import pytest

from privateyes.aggregation import aggregator
from privateyes.aggregation.client import Check, Client
from privateyes.aggregation.messages import Delivery, Vote
from privateyes.errors import AbortError, DeliveryError, MalformedError


@pytest.fixture
def strict_world(make_world, field):
    return make_world(n=2, field=field, roster_min=3)


def test_an_aggregator_commits_to_no_roster_below_the_minimum(strict_world) -> None:
    strict_world.run(1, 2, to="vote")
    with pytest.raises(AbortError, match=r"a roster of 2 clients is outside 3\.\.4"):
        strict_world.commit()


def test_without_the_bound_the_sum_of_two_is_opened_and_only_the_client_refuses(strict_world, monkeypatch) -> None:
    monkeypatch.setattr(aggregator, "require_size", lambda entries, manifest: None)
    strict_world.run(1, 2)
    with pytest.raises(DeliveryError) as refusal:
        strict_world.check(1)
    assert refusal.value.check == Check.ROSTER
    lax = Client(replace(strict_world.manifest, roster_min=2), 1, strict_world.client_keys[1])
    assert lax.check(strict_world.client_memories[1], strict_world.delivery).roster == (1, 2)


def test_a_client_that_is_not_registered_in_the_epoch_is_left_out(world) -> None:
    world.run(to="submit")
    for s in world.aggregators:
        memory = world.aggregator_memories[s]
        known = {i: value for i, value in memory.sealed_hashes.items() if i != 4}
        object.__setattr__(memory, "sealed_hashes", known)
    world.vote()
    assert [i for i, _ in world.votes[0].entries] == [1, 2, 3]
    assert world.states[1].rejected == {4: "it is not registered in this epoch"}


def test_a_corrupt_aggregator_cannot_vote_a_stranger_into_the_roster(world) -> None:
    world.run(to="vote")
    padded = Vote(world.sid, 2, (*world.votes[1].entries, (9, bytes(32))))
    world.votes[1] = world.signed_by_aggregator(padded, 2)
    world.commit()
    assert [i for i, _ in world.entries] == [1, 2, 3, 4]


def test_an_aggregator_commits_to_no_header_that_it_does_not_hold(world) -> None:
    world.run(1, 2, 3, to="vote")
    padded = (*world.votes[0].entries, (4, bytes(32)))
    world.votes = [world.signed_by_aggregator(Vote(world.sid, s, padded), s) for s in world.aggregators]
    with pytest.raises(AbortError, match="did not vote for"):
        world.commit()


@pytest.mark.parametrize("damage", ["twice", "unsorted", "too many"])
def test_a_roster_names_no_client_twice(world, damage) -> None:
    world.run(to="vote")
    entries = world.votes[0].entries
    changed = {
        "twice": (entries[0], *entries[:-1]),
        "unsorted": (entries[1], entries[0], *entries[2:]),
        "too many": (*entries, (5, bytes(32))),
    }[damage]
    with pytest.raises(MalformedError):
        Vote.from_bytes(Vote(world.sid, 1, changed).to_bytes(), world.manifest)


@pytest.mark.parametrize("client_number", [0, 5])
def test_a_client_refuses_a_roster_with_a_number_outside_the_manifest(world, client_number) -> None:
    world.run(1, 2, 3)
    entries = tuple(sorted((*world.delivery.roster, (client_number, bytes(32)))))
    altered = Delivery(
        world.sid,
        world.delivery.group_check,
        entries,
        world.delivery.commitments,
        world.delivery.results,
        world.delivery.share,
    )
    with pytest.raises(DeliveryError) as refusal:
        world.check(1, altered)
    assert refusal.value.check == Check.ROSTER
