"""The hub adds what it cannot read, and passes on what can be counted together."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from privateyes.aggregation import hub
from privateyes.aggregation.messages import Header
from privateyes.crypto.bulk import BulkHash
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
    assert total.sid == commitment.sid == world.sid
    assert commitment.commitment == commit_to_sum(world.sid, total.share, world.manifest.bulk_hash)


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 8, 9, 13])
def test_any_number_of_shares_is_added_up_whatever_fits_together_in_one_pass(make_world, field, count) -> None:
    world = make_world(n=2, m=13, field=field)
    generator = np.random.default_rng(count)
    shares = {
        i: generator.integers(0, field.prime, world.manifest.share_elements).astype(field.dtype)
        for i in range(1, count + 1)
    }
    entries = tuple((i, bytes(32)) for i in shares)
    total, _ = hub.add_shares(world.manifest, bytes(32), entries, lambda i: shares[i])
    expected = sum(share.astype(object) for share in shares.values()) % field.prime
    assert total.share.tolist() == expected.tolist()


def test_the_hub_finds_the_roster_that_the_aggregators_will_find(world) -> None:
    world.run(1, 2, 4, to="commit")
    entries = hub.choose_roster(world.manifest, world.votes)
    assert [client for client, _ in entries] == [1, 2, 4]
    assert {memory.session.roster_size for memory in world.aggregator_memories.values()} == {3}
    world.agree()
    world.open()
    world.certify()
    assert world.deliver().roster == entries


def test_the_hub_does_not_go_on_with_a_roster_that_is_too_small(world) -> None:
    world.run(1, to="vote")
    with pytest.raises(AbortError, match="a roster of 1"):
        hub.choose_roster(world.manifest, world.votes)


# Uploads


@pytest.mark.parametrize("bulk_hash", BulkHash)
@pytest.mark.parametrize("position", [0, 6, 7, -1])
def test_a_share_with_any_altered_element_does_not_fit_its_header(make_world, position, bulk_hash) -> None:
    world = make_world(n=2, bulk_hash=bulk_hash)
    world.run(to="submit")
    submission = world.submissions[1]
    assert hub.require_intact(world.manifest, submission) == submission.header
    altered = replace(submission, share=world.shifted(submission.share, {position: 1}))
    with pytest.raises(MalformedError, match="client 1"):
        hub.require_intact(world.manifest, altered)


def test_a_share_does_not_fit_the_header_of_another_client_or_session(world) -> None:
    world.run(to="submit")
    submission = world.submissions[1]
    for changes in ({"client": 2}, {"sid": bytes(32)}):
        with pytest.raises(MalformedError):
            hub.require_intact(world.manifest, replace(submission, header=replace(submission.header, **changes)))


@pytest.mark.parametrize("client", [0, 5, 2**16 - 1])
def test_a_header_of_nobody_is_not_taken(world, client) -> None:
    world.run(to="submit")
    submission = world.submissions[1]
    with pytest.raises(MalformedError, match=f"a header names client {client}, which the task does not have"):
        hub.require_intact(world.manifest, replace(submission, header=replace(submission.header, client=client)))


def test_a_header_that_its_client_did_not_sign_is_not_taken(world) -> None:
    """Else every aggregator would refuse the roster, and a record of it would make an honest hub suspected."""
    world.run(to="submit")
    submission = world.submissions[1]
    for changes in ({"nonce": bytes(32)}, {"signature": bytes(64)}):
        with pytest.raises(MalformedError, match="type Header does not verify"):
            hub.require_intact(world.manifest, replace(submission, header=replace(submission.header, **changes)))


def test_a_share_fits_its_header_under_the_manifests_bulk_hash_alone(make_world) -> None:
    world = make_world(n=2)
    world.run(to="submit")
    with pytest.raises(MalformedError):
        hub.require_intact(replace(world.manifest, bulk_hash=BulkHash.SHA256), world.submissions[1])


# Groups of headers


def _header(client: int, **changes) -> Header:
    plain = Header(bytes(32), client, bytes(32), bytes([1]) * 32, bytes([2]) * 32, (), bytes(32))
    return replace(plain, **changes)


@pytest.mark.parametrize(
    "changes", [{"group_check": bytes(32)}, {"session_key_hash": bytes(32)}, {"origin": bytes([3]) * 32}]
)
def test_one_client_with_a_value_of_its_own_spoils_no_round(changes) -> None:
    honest = [_header(1), _header(2), _header(4)]
    strange = _header(3, **changes)
    assert hub.one_kind([honest[0], strange, *honest[1:]]) == honest
    # Of two groups of one size, the one with the smaller client numbers.
    assert hub.one_kind([_header(2, **changes), _header(1)]) == [_header(1)]
    assert hub.one_kind([_header(1, **changes), _header(2)]) == [_header(1, **changes)]
    assert hub.one_kind([_header(5, **changes), *honest, _header(6, **changes), _header(7, **changes)]) == honest
    # In whatever order they came.
    late, other = [_header(5), _header(2)], [_header(3, **changes), _header(4, **changes)]
    assert hub.one_kind([*late, *other]) == late


def test_a_larger_group_wins_over_a_smaller_one_with_lower_numbers() -> None:
    strange = {"group_check": bytes(32)}
    assert hub.one_kind([_header(1), _header(2, **strange), _header(3, **strange)]) == [
        _header(2, **strange),
        _header(3, **strange),
    ]


def test_headers_that_differ_in_what_is_a_clients_own_stay_together() -> None:
    headers = [_header(1, nonce=bytes([7]) * 32), _header(2, share_hash=bytes([8]) * 32), _header(3, sealed_hashes=())]
    assert hub.one_kind(headers) == headers
    assert hub.one_kind([]) == []


def test_without_grouping_one_client_ends_the_round_for_all(make_world) -> None:
    world = make_world(n=2, m=3)
    world.run(to="submit")
    liar = replace(world.submissions[3].header, session_key_hash=bytes(32)).signed_by(world.client_keys[3], world.sid)
    headers = [world.submissions[1].header, world.submissions[2].header, liar]
    world.vote(everywhere=headers)
    with pytest.raises(AbortError, match="different group keys"):
        world.commit(everywhere=headers)
    passed_on = hub.one_kind(headers)
    assert [header.client for header in passed_on] == [1, 2]


# Sessions that the hub takes up again


def test_n_signatures_on_one_transcript_say_that_a_session_can_be_opened(world) -> None:
    world.run(to="agree")
    transcript = world.agreements[0].transcript
    assert hub.agreed_transcript(world.manifest, world.agreements) == transcript
    assert hub.agreed_transcript(world.manifest, world.agreements[::-1]) == transcript
    assert hub.agreed_transcript(world.manifest, world.agreements[1:]) is None
    assert hub.agreed_transcript(world.manifest, []) is None
    twice = [world.agreements[0], *world.agreements[:-1]]
    assert hub.agreed_transcript(world.manifest, twice) is None


def test_signatures_on_different_transcripts_and_of_strangers_do_not_add_up(world) -> None:
    world.run(to="agree")
    first = world.agreements[0]
    other = world.signed_by_aggregator(replace(first, transcript=bytes(32)), 1)
    assert hub.agreed_transcript(world.manifest, [other, *world.agreements[1:]]) is None
    # The word that fits counts, whatever else the aggregator said.
    assert hub.agreed_transcript(world.manifest, [other, *world.agreements]) == first.transcript
    for stranger in (0, world.n + 1):
        named = world.signed_by_aggregator(replace(first, aggregator=stranger), 1)
        assert hub.agreed_transcript(world.manifest, [named, *world.agreements[1:]]) is None
    with pytest.raises(MalformedError, match="type Agreement does not verify"):
        hub.agreed_transcript(world.manifest, [replace(first, signature=bytes(64)), *world.agreements[1:]])


def test_a_sum_that_is_added_up_again_is_held_against_the_signed_transcript(world) -> None:
    world.run(to="agree")
    rho, transcript = world.commitments[0].rho, world.agreements[0].transcript
    hub.require_agreed_sum(world.hub_commitment, rho, world.commitments[::-1], transcript)
    # One client sent another share than the first time.
    altered = {i: submission.share for i, submission in world.submissions.items()}
    altered[2] = world.shifted(altered[2], {0: 1})
    _, other = hub.add_shares(world.manifest, world.sid, world.entries, lambda i: altered[i])
    wrong = [
        (other, rho, world.commitments),
        (world.hub_commitment, bytes(32), world.commitments),
        (world.hub_commitment, rho, world.commitments[1:]),
        (world.hub_commitment, rho, [replace(world.commitments[0], commitment=bytes(32)), *world.commitments[1:]]),
        (replace(world.hub_commitment, sid=bytes(32)), rho, world.commitments),
    ]
    for total, roster, commitments in wrong:
        with pytest.raises(AbortError, match="not the one that all aggregators agreed on"):
            hub.require_agreed_sum(total, roster, commitments, transcript)


# Deliveries


def test_a_delivery_holds_the_sum_of_the_uploads_and_of_everything_opened(world) -> None:
    world.run()
    opened = [world.total.share, *(opening.share for opening in world.openings)]
    expected = sum(share.astype(object) for share in opened) % world.prime
    assert world.delivery.share.tolist() == expected.tolist()
    assert world.delivery.commitments == (
        world.hub_commitment.commitment,
        *(message.commitment for message in world.commitments),
    )
    assert world.delivery.results == tuple(message.signature for message in world.results)
    assert (world.delivery.sid, world.delivery.roster) == (world.sid, world.entries)


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


def test_the_hub_blames_nobody_for_a_commitment_that_was_altered_on_the_way(world) -> None:
    world.run()
    world.commitments[0] = replace(world.commitments[0], commitment=bytes(32))
    with pytest.raises(MalformedError, match="type RosterCommitment does not verify"):
        world.deliver()


def test_the_hub_delivers_no_result_that_was_altered_on_the_way(world) -> None:
    world.run()
    world.results[1] = replace(world.results[1], result=bytes(32))
    with pytest.raises(MalformedError, match="type ResultSignature does not verify"):
        world.deliver()


def test_the_hub_delivers_no_result_on_which_the_aggregators_differ(world) -> None:
    world.run()
    world.results[1] = world.signed_by_aggregator(replace(world.results[1], result=bytes(32)), 2)
    with pytest.raises(AbortError, match="the aggregators signed different results"):
        world.deliver()


@pytest.mark.parametrize("kind", ["commitments", "openings", "results"])
def test_the_hub_delivers_nothing_without_a_word_of_every_aggregator(world, kind) -> None:
    world.run()
    getattr(world, kind)[0] = getattr(world, kind)[1]
    with pytest.raises(AbortError, match="not exactly one message of every aggregator"):
        world.deliver()
