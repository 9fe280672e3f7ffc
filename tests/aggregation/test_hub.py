"""The hub adds what it cannot read."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from privateyes.aggregation import hub
from privateyes.crypto.commitment import commit_to_sum
from privateyes.errors import AbortError, BlamedError, MalformedError


def test_the_sum_is_that_of_the_rosters_shares_and_of_no_other(world) -> None:
    world.run(to="submit")
    entries = tuple((i, world.submissions[i].header.hash()) for i in (1, 3))
    asked = []

    def share_of(client):
        asked.append(client)
        return world.submissions[client].share

    total, commitment = hub.add_shares(world.manifest, world.sid, entries, share_of)
    assert asked == [1, 3]
    assert np.array_equal(total.share, world.field.add(world.submissions[1].share, world.submissions[3].share))
    assert commitment.commitment == commit_to_sum(world.sid, total.share)


def test_the_hub_finds_the_roster_that_the_aggregators_will_find(world) -> None:
    world.run(1, 2, 4, to="commit")
    assert hub.choose_roster(world.manifest, world.votes) == world.states[1].entries


def test_the_hub_does_not_go_on_with_a_roster_that_is_too_small(world) -> None:
    world.run(1, to="vote")
    with pytest.raises(AbortError):
        hub.choose_roster(world.manifest, world.votes)


@pytest.mark.parametrize("position", [0, 6, 7, -1])
def test_a_share_with_any_altered_element_does_not_fit_its_header(world, position) -> None:
    world.run(to="submit")
    submission = world.submissions[1]
    hub.require_intact(submission)
    with pytest.raises(MalformedError, match="client 1"):
        hub.require_intact(replace(submission, share=world.shifted(submission.share, {position: 1})))


def test_a_share_does_not_fit_the_header_of_another_client_or_session(world) -> None:
    world.run(to="submit")
    submission = world.submissions[1]
    for changes in ({"client": 2}, {"sid": bytes(32)}):
        with pytest.raises(MalformedError):
            hub.require_intact(replace(submission, header=replace(submission.header, **changes)))


def test_messages_in_any_order_give_the_same_delivery(world) -> None:
    world.run()
    expected = world.delivery.to_bytes()
    for messages in (world.commitments, world.openings, world.results):
        messages.reverse()
    assert world.deliver().to_bytes() == expected


def test_the_hub_blames_an_opening_that_does_not_fit(world) -> None:
    world.run()
    altered = replace(world.openings[0], share=world.shifted(world.openings[0].share, {0: 1}))
    world.openings[0] = world.signed_by_aggregator(altered, 1)
    with pytest.raises(BlamedError, match="aggregator 1"):
        world.deliver()


def test_the_hub_blames_nobody_for_an_opening_that_was_altered_on_the_way(world) -> None:
    world.run()
    world.openings[0] = replace(world.openings[0], share=world.shifted(world.openings[0].share, {0: 1}))
    with pytest.raises(MalformedError, match="type Opening does not verify"):
        world.deliver()


@pytest.mark.parametrize("kind", ["commitments", "openings", "results"])
def test_the_hub_delivers_nothing_without_a_word_of_every_aggregator(world, kind) -> None:
    world.run()
    getattr(world, kind)[0] = getattr(world, kind)[1]
    with pytest.raises(AbortError, match="not exactly one message of every aggregator"):
        world.deliver()
