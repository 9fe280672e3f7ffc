"""39. After an opened and refused session its updates may be sent again: to the same roster, with the same numbers, and
in no other way.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from isolation import less, open_with, opened_sum, sum_of
from privateyes.aggregation.aggregator import Aggregator
from privateyes.aggregation.client import Client
from privateyes.errors import AbortError, DeliveryError, RefusedError

ROSTER = (1, 2, 3)


@pytest.fixture
def refused(world):
    """A session that was opened and that nobody accepted: its sum, its roster and what all committed to."""
    world.first_sum = open_with(world, *ROSTER)
    world.first = world.origin, list(world.commitments), dict(world.inputs)
    world.certify()
    world.finish_session()
    return world


def _again(world, *clients: int, origin=None):
    world.announce()
    for client in clients or ROSTER:
        world.submit_again(client, *world.first[:2])
    world.vote(origin=origin or world.first[0])


def test_the_same_clients_send_the_same_numbers_and_the_sum_says_nothing_new(refused) -> None:
    _again(refused)
    refused.commit(origin=refused.first[0])
    refused.finish_from("agree")
    assert opened_sum(refused) == refused.first_sum
    for client in ROSTER:
        average = refused.check(client)
        assert average.roster == ROSTER
        assert np.array_equal(average.mean, refused.mean_of(refused.ideal_of(refused.first[2], ROSTER)))


def test_without_a_member_or_with_one_more_no_aggregator_commits(refused) -> None:
    _again(refused, 1, 2)
    with pytest.raises(AbortError, match="not that of the session that is sent again"):
        refused.commit(origin=refused.first[0])
    assert not any(memory.session.rho for memory in refused.aggregator_memories.values())


def test_a_client_that_was_not_in_the_roster_has_nothing_to_repeat(refused) -> None:
    refused.announce()
    refused.kept[4], refused.encoded_updates[4] = refused.kept[1], refused.encoded_updates[1]
    with pytest.raises(RefusedError, match="did not submit to the session"):
        refused.submit_again(4, *refused.first[:2])


def test_a_forged_list_is_told_by_its_rho_at_the_clients_and_at_the_aggregators(refused) -> None:
    origin, commitments, _ = refused.first
    forged = replace(origin, roster=origin.roster[:2])
    refused.announce()
    with pytest.raises(RefusedError, match="not the one that every aggregator committed to"):
        refused.submit_again(1, forged, commitments)
    for client in (1, 2):
        refused.submit_again(client, origin, commitments)
    refused.vote(origin=forged)
    for rejected in refused.rejected.values():
        assert set(rejected) == {1, 2}
        assert all("cannot confirm" in fault for fault in rejected.values())


def test_an_aggregator_that_lost_its_store_confirms_no_roster_unless_there_is_only_one(refused) -> None:
    memory = refused.aggregator_memories[1]
    refused.announce()
    for client in ROSTER:
        refused.submit_again(client, *refused.first[:2])
    lost = replace(refused.aggregator_memories[1], opened={})
    own = refused.aggregators[1]
    voted = own.vote(lost, refused.sid, refused.headers, refused.first[0])
    assert voted.message.entries == ()
    fixed = replace(refused.manifest, roster_min=refused.m)
    assert fixed.is_fixed_cohort
    assert replace(own, manifest=fixed)._knows(lost, refused.first[0])
    assert not own._knows(lost, refused.first[0])
    assert own._knows(memory, refused.first[0])


def test_fresh_updates_and_repeats_never_meet_in_a_roster(refused) -> None:
    refused.announce()
    for client in ROSTER:
        refused.submit_again(client, *refused.first[:2])
    refused.submit(4)
    refused.vote(origin=refused.first[0])
    with pytest.raises(AbortError, match="mixes fresh updates with updates that are sent again"):
        refused.commit(origin=refused.first[0])


def test_a_client_that_sent_again_accepts_no_other_roster(refused) -> None:
    _again(refused)
    refused.commit(origin=refused.first[0])
    refused.finish_from("agree")
    memory = refused.client_memories[1]
    session = replace(memory.followed[-1], roster=(1, 2))
    refused.client_memories[1] = replace(memory, followed=(*memory.followed[:-1], session))
    with pytest.raises(DeliveryError, match="not that of the session whose update this client sent again"):
        refused.check(1)


def test_a_fresh_update_is_refused_while_the_session_is_not_void(refused) -> None:
    refused.announce()
    for client in ROSTER:
        with pytest.raises(RefusedError, match="was opened"):
            refused.submit(client)


class Careless(Aggregator):
    """A test double that confirms whatever roster the hub names, and commits to any."""

    def _knows(self, memory, origin):
        return True

    def _require_roster_of(self, memory, origin, headers):
        return None


class Obliging(Client):
    """A test double that takes what is left of a roster for the roster."""

    def _require_own_session(self, memory, delivery):
        session = memory.session(delivery.sid)
        clients = tuple(client for client, _ in delivery.roster)
        freed = replace(memory, followed=(replace(session, roster=clients),))
        return Client._require_own_session(self, freed, delivery)


def test_without_the_aggregators_check_leaving_a_suspect_out_isolates_it(make_world, case) -> None:
    world = make_world(n=case["n"], field=case["field"], aggregator_type=Careless, client_type=Obliging)
    first = open_with(world, *ROSTER)
    origin, commitments, victim = world.origin, list(world.commitments), sum_of(world, 3)
    world.announce()
    for client in (1, 2):
        world.submit_again(client, origin, commitments)
    world.vote(origin=origin)
    world.commit(origin=origin)
    world.finish_from("agree", until="open")
    assert less(first, opened_sum(world)) == victim
