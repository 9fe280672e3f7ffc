"""10. A roster that is too small, or names unregistered clients or one client twice: refused."""

from __future__ import annotations

from dataclasses import replace

import pytest

from privateyes.aggregation import aggregator
from privateyes.aggregation.messages import Delivery, Opening, RosterCommitment, Vote
from privateyes.aggregation.result import Check
from privateyes.errors import AbortError, DeliveryError, MalformedError


def test_the_honest_aggregator_commits_to_no_roster_below_the_minimum(coalition) -> None:
    """The corrupt ones vote for client 1 and their own client alone, to read client 1's update."""
    coalition.play(until="vote")
    solo = coalition.solo(1, 4)
    assert solo.vote() is not None
    assert solo.commit() is None
    (error,) = coalition.honest_errors()
    assert isinstance(error, AbortError)
    assert "a roster of 2 clients is outside 3..4" in str(error)
    assert not coalition.honest_word(RosterCommitment)
    coalition.require_sound()


def test_without_the_bound_the_coalition_reads_one_clients_update(coalition, monkeypatch) -> None:
    monkeypatch.setattr(aggregator, "require_size", lambda entries, manifest: None)
    coalition.play(until="vote")
    solo = coalition.solo(1, 4)
    solo.run(until="certify")
    known = coalition.input_of(4)
    stolen = [a - b for a, b in zip(solo.read(), [*known.values, known.weight], strict=True)]
    assert stolen == [*coalition.input_of(1).values, coalition.input_of(1).weight]
    solo.certify()
    solo.deliver()
    assert coalition.refusal_of("client 1").check == Check.ROSTER, "the clients count too, but it is too late"


def test_a_client_that_is_not_registered_in_the_set_up_is_left_out(world) -> None:
    world.run(to="submit")
    for s in world.aggregators:
        memory = world.aggregator_memories[s]
        known = {i: value for i, value in memory.sealed_hashes.items() if i != 4}
        world.aggregator_memories[s] = replace(memory, sealed_hashes=known)
    world.vote()
    assert [i for i, _ in world.votes[0].entries] == [1, 2, 3]
    assert world.rejected[1] == {4: "it is not registered in this set-up"}


@pytest.mark.parametrize("stranger", [9, 4])
def test_corrupt_aggregators_cannot_vote_somebody_into_the_roster(coalition, stranger) -> None:
    """Nine is no client of the manifest, and four handed in no header to the honest aggregator."""
    coalition.play(until="vote")
    solo = coalition.solo(1, 2, 3)
    solo.vote()
    honest, solo.entries = solo.entries, (*solo.entries, (stranger, bytes(32)))
    assert solo.commit() is not None
    solo.entries = honest
    assert solo.commit_word.rho == solo.rho, "its roster has only those whom it voted for too"
    coalition.require_sound()


def test_an_aggregator_commits_to_no_header_that_it_does_not_hold(world) -> None:
    world.run(1, 2, 3, to="vote")
    padded = (*world.votes[0].entries, (4, bytes(32)))
    world.votes = [world.signed_by_aggregator(Vote(world.sid, s, padded), s) for s in world.aggregators]
    with pytest.raises(AbortError, match="did not vote for"):
        world.commit()


@pytest.mark.parametrize("damage", ["twice", "unsorted", "too many"])
def test_a_roster_names_no_client_twice(coalition, damage) -> None:
    coalition.play(until="commit")
    liar = f"aggregator {coalition.liars[0]}"

    def damaged(vote):
        entries = vote.entries
        changed = {
            "twice": (entries[0], *entries[:-1]),
            "unsorted": (entries[1], entries[0], *entries[2:]),
            "too many": (*entries, (5, bytes(32))),
        }[damage]
        return coalition.sign(Vote(coalition.sid, vote.aggregator, changed))

    number = coalition.liars[0] - 1
    assert coalition.session.got["vote"][liar]
    coalition.adversary.on(
        "commit", lambda packet: coalition.altered(packet, number, damaged), receiver=f"aggregator {coalition.honest}"
    )
    coalition.run()
    (error,) = coalition.honest_errors()
    assert isinstance(error, MalformedError)
    assert not coalition.honest_word(Opening)
    coalition.require_sound()


@pytest.mark.parametrize("client_number", [0, 5])
def test_a_client_refuses_a_roster_with_a_number_outside_the_manifest(world, client_number) -> None:
    world.run(1, 2, 3)
    delivery = world.delivery
    entries = tuple(sorted((*delivery.roster, (client_number, bytes(32)))))
    altered = Delivery(world.sid, delivery.group_check, entries, delivery.commitments, delivery.results, delivery.share)
    with pytest.raises(DeliveryError) as refusal:
        world.check(1, altered)
    assert refusal.value.check == Check.ROSTER
