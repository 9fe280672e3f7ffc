"""Steps 3 and 4 at an aggregator: T, an opening, a result, each on the signed word of all; and the end of a session."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from privateyes.aggregation.messages import (
    GIVE_UP,
    HubCommitment,
    HubSum,
    Opening,
    ResultSignature,
)
from privateyes.aggregation.roster import result_digest, transcript_digest
from privateyes.aggregation.steps import OwnShare
from privateyes.crypto.commitment import commit_to_sum, merkle_root
from privateyes.errors import AbortError, BlamedError, RefusedError
from sessions import bound_anew, one, passed
from world import World

SALT = bytes([6]) * 32
ZERO = bytes(32)


@pytest.fixture
def world() -> World:
    """Four clients and two aggregators."""
    return World(n=2)


# Exchanges


def _given(world: World, step: str) -> list[Any]:
    of = {"commit": "votes", "agree": "commitments", "open": "agreements", "certify": "openings", "finish": "results"}
    return list(getattr(world, of[step]))


def _take(world: World, step: str, memory: Any, given: list[Any]) -> Any:
    own = world.aggregators[1]
    if step == "commit":
        return own.commit(memory, world.headers, given, SALT)
    if step == "agree":
        return own.agree(memory, given, world.hub_commitment)
    if step == "open":
        return own.open(memory, world.shares[1], given)
    if step == "certify":
        return own.certify(memory, given, world.total)
    return own.finish(memory, given)


BEFORE = {"commit": "vote", "agree": "commit", "open": "agree", "certify": "open", "finish": "certify"}


@pytest.fixture(scope="module")
def played() -> tuple[World, dict[str, Any]]:
    """A session of three aggregators, and aggregator 1's memory after each step; nobody changes it."""
    world = World(n=3)
    return world, passed(world)


@pytest.mark.parametrize("step", BEFORE)
@pytest.mark.parametrize(
    "damage",
    ["none", "missing", "own missing", "twice", "stranger", "nobody", "another session", "last of another session",
     "misnamed", "forged", "kind", "of no session", "swapped"],
)  # fmt: skip
def test_every_exchange_needs_exactly_one_signed_message_of_each_for_this_session(played, step, damage) -> None:
    world, memories = played
    memory = memories[BEFORE[step]]
    first, second, third = _given(world, step)

    def signed(message: Any, sid: bytes) -> Any:
        if not isinstance(message, Opening):
            return message.signed_by(world.aggregator_keys[2], sid)
        receipt = message.receipt(world.manifest.bulk_hash).signed_by(world.aggregator_keys[2], sid)
        return replace(message, signature=receipt.signature)

    elsewhere = signed(replace(second, sid=ZERO), ZERO)
    changed = {
        "none": [],
        "missing": [first, second],
        "own missing": [second, third],
        "twice": [first, second, second],
        "stranger": [first, second, replace(third, aggregator=4)],
        "nobody": [first, second, replace(third, aggregator=0)],
        "another session": [first, elsewhere, third],
        "last of another session": [first, second, signed(replace(third, sid=ZERO), ZERO)],
        "misnamed": [first, signed(replace(second, sid=ZERO), world.sid), third],
        "forged": [first, replace(second, signature=first.signature), third],
        "kind": [first, world.headers[0], third],
        "of no session": [world.announcements[0], second, third],
        "swapped": [first, replace(third, aggregator=2), replace(second, aggregator=3)],
    }[damage]
    unnamed = damage in ("none", "of no session") and step in ("commit", "open", "finish")
    error = RefusedError if unnamed else AbortError  # these three learn the session from the first message
    with pytest.raises(error):
        _take(world, step, memory, changed)
    # Nothing has happened: with the right messages, in any order, it goes on.
    assert _take(world, step, memory, [third, first, second])


def test_what_is_not_signed_by_the_aggregator_that_it_names_is_named(played) -> None:
    world, memories = played
    forged = [world.votes[0], replace(world.votes[1], entries=()), world.votes[2]]
    with pytest.raises(AbortError, match=r"type Vote does not verify \(aggregator 2\)"):
        world.aggregators[1].commit(memories["vote"], world.headers, forged, SALT)


# T


def test_an_agreement_is_on_the_roster_and_on_all_commitments_in_order(played) -> None:
    world, memories = played
    before = memories["commit"]
    step = world.aggregators[1].agree(before, world.commitments[::-1], world.hub_commitment)
    digests = (world.hub_commitment.commitment, *(message.commitment for message in world.commitments))
    transcript = transcript_digest(world.sid, before.session.rho, digests)
    assert (step.message.sid, step.message.aggregator, step.message.transcript) == (world.sid, 1, transcript)
    step.message.require_signature_of(world.aggregator_keys[1].public_bytes, world.sid)
    assert step.memory == before.next(session=replace(before.session, commitments=digests))


@pytest.mark.parametrize("reached", ["agree", "open", "certify"])
def test_one_transcript_is_signed_for_a_session_and_repeated_as_often_as_it_is_asked_for(played, reached) -> None:
    world, memories = played
    own, memory = world.aggregators[1], memories[reached]
    again = own.agree(memory, world.commitments, world.hub_commitment)
    assert (again.message.to_bytes(), again.memory) == (world.agreements[0].to_bytes(), None)
    other = HubCommitment(world.sid, SALT)
    with pytest.raises(RefusedError, match="another transcript was signed"):
        own.agree(memory, world.commitments, other)
    # With that entry of its memory lost, the hub gets a second one, after it has seen what the first one opened.
    forgetful = replace(memory, session=replace(memory.session, commitments=()))
    assert own.agree(forgetful, world.commitments, other).message.transcript != again.message.transcript


def test_an_agreement_needs_a_commitment_to_the_same_roster_by_everybody(played) -> None:
    world, memories = played
    own, memory = world.aggregators[1], memories["commit"]
    with pytest.raises(RefusedError, match="has not committed"):
        own.agree(memories["vote"], world.commitments, world.hub_commitment)
    other = world.signed_by_aggregator(replace(world.commitments[1], rho=SALT), 2)
    with pytest.raises(AbortError, match="aggregator 2 signed another roster"):
        own.agree(memory, [world.commitments[0], other, world.commitments[2]], world.hub_commitment)


def test_a_copied_commitment_is_not_agreed_to(played) -> None:
    world, memories = played
    own, memory = world.aggregators[1], memories["commit"]
    for copied in (0, 2):
        copy = world.signed_by_aggregator(
            replace(world.commitments[1], commitment=world.commitments[copied].commitment), 2
        )
        with pytest.raises(AbortError, match="two aggregators sent the same commitment"):
            own.agree(memory, [world.commitments[0], copy, world.commitments[2]], world.hub_commitment)


def test_its_own_commitment_comes_back_as_it_was_said(played) -> None:
    """Else whoever has its key alone could choose its share when the others' are known."""
    world, memories = played
    own, memory = world.aggregators[1], memories["commit"]
    altered = world.signed_by_aggregator(replace(world.commitments[0], commitment=SALT), 1)
    with pytest.raises(AbortError, match="own commitment came back altered"):
        own.agree(memory, [altered, *world.commitments[1:]], world.hub_commitment)


def test_the_hubs_commitment_is_one_and_of_the_last_session(played) -> None:
    world, memories = played
    own, memory = world.aggregators[1], memories["commit"]
    with pytest.raises(AbortError, match="HubSum came where HubCommitment was expected"):
        own.agree(memory, world.commitments, world.total)
    with pytest.raises(RefusedError, match="not the last announced session"):
        own.agree(memory, world.commitments, HubCommitment(ZERO, world.hub_commitment.commitment))


def test_after_its_set_up_ended_a_committed_session_is_still_agreed_on_and_opened(world) -> None:
    memories = passed(world)
    own = world.aggregators[1]
    bound = bound_anew(world, memories["commit"])
    agreed = own.agree(bound, world.commitments, world.hub_commitment)
    assert agreed.message.to_bytes() == world.agreements[0].to_bytes()
    opened = own.open(agreed.memory, world.shares[1], world.agreements)
    certified = own.certify(opened.memory, world.openings, world.total)
    assert certified.message.to_bytes() == world.results[0].to_bytes()
    assert certified.memory.current == bound.current


# Openings


def test_an_opening_is_the_salt_and_the_share_that_were_committed_to(played) -> None:
    world, memories = played
    before = memories["agree"]
    step = world.aggregators[1].open(before, world.shares[1], world.agreements)
    opening = step.message
    assert (opening.sid, opening.aggregator, opening.salt) == (world.sid, 1, before.session.salt)
    assert opening.share is world.shares[1].elements
    receipt = opening.receipt(world.manifest.bulk_hash)
    receipt.require_signature_of(world.aggregator_keys[1].public_bytes, world.sid)
    assert step.memory == before.next(opened={world.sid: before.session.rho})


def test_nothing_is_opened_but_what_was_committed_to(played) -> None:
    world, memories = played
    own = world.aggregators[1]
    damaged = own.own_share(world.shifted(world.shares[1].elements, {0: 1}))
    for memory in (memories["agree"], memories["open"], memories["certify"]):
        for share in (damaged, world.shares[2], OwnShare(world.shares[1].elements, ZERO)):
            with pytest.raises(RefusedError, match="not the one that this aggregator committed to"):
                own.open(memory, share, world.agreements)
    read_back = own.own_share(np.array(world.shares[1].elements))
    assert own.open(memories["agree"], read_back, world.agreements).message.to_bytes() == world.openings[0].to_bytes()


@pytest.mark.parametrize("reached", ["announce", "vote", "commit"])
def test_nothing_is_opened_before_its_own_signature_on_the_transcript(played, reached) -> None:
    world, memories = played
    with pytest.raises(RefusedError, match="signed no transcript of this session"):
        world.aggregators[1].open(memories[reached], world.shares[1], world.agreements)


@pytest.mark.parametrize("number", [1, 2, 3])
def test_nothing_is_opened_unless_all_signed_the_same_transcript(played, number) -> None:
    world, memories = played
    agreements = list(world.agreements)
    other = replace(agreements[number - 1], transcript=SALT)
    agreements[number - 1] = world.signed_by_aggregator(other, number)
    with pytest.raises(AbortError, match=f"aggregator {number} agreed to other commitments"):
        world.aggregators[1].open(memories["agree"], world.shares[1], agreements)


def test_an_opening_is_repeated_to_the_byte_until_the_session_is_finished(world) -> None:
    world.run()
    own, expected = world.aggregators[1], world.openings[0].to_bytes()
    agreements, share, results = world.agreements, world.shares[1], world.results
    repeated = [one(world)[1]]
    world.announce()
    repeated += [one(world)[1]]
    world.set_up()
    world.announce()
    repeated += [one(world)[1]]
    for memory in repeated:
        for given in (agreements, agreements[:1]):
            again = own.open(memory, share, given)
            assert (again.message.to_bytes(), again.memory) == (expected, None)
    finished = own.finish(repeated[-1], results)
    with pytest.raises(RefusedError, match="signed no transcript of this session"):
        own.open(finished, share, agreements)


def test_a_closed_session_is_not_opened(world) -> None:
    """Version 1's fault the other way round: what is void here must not be shown."""
    world.run(to="agree")
    own, memory = one(world)
    forgotten = replace(memory, session=replace(memory.session, round=1))
    with pytest.raises(RefusedError, match="not the last announced session"):
        own.open(forgotten, world.shares[1], world.agreements)
    # Not even where it were still known: only what was opened is opened again.
    kept = replace(forgotten, unfinished={world.sid: memory.session})
    with pytest.raises(RefusedError, match="not the last announced session"):
        own.open(kept, world.shares[1], world.agreements)


def test_the_roster_of_an_opened_session_is_remembered_for_ever(world) -> None:
    opened = {}
    for _ in range(3):
        world.run()
        opened[world.sid] = world.aggregator_memories[1].session.rho
        world.finish_session()
        world.accept()
        world.set_up()
    world.announce()
    assert world.aggregator_memories[1].opened == opened
    assert world.aggregator_memories[1].unfinished == {}


# Results


def _sum(world: World) -> np.ndarray[Any, Any]:
    shares = [world.total.share, *(opening.share for opening in world.openings)]
    total: Any = sum(share.astype(object) for share in shares) % world.prime
    return np.array(total.astype(world.field.dtype))


def test_a_result_is_on_the_sum_of_everything_under_the_transcript(played) -> None:
    world, memories = played
    before = memories["open"]
    step = world.aggregators[1].certify(before, world.openings, world.total)
    root = merkle_root(_sum(world), world.manifest.bulk_hash)
    result = result_digest(world.sid, world.agreements[0].transcript, root, 4)
    assert (step.message.sid, step.message.aggregator, step.message.result) == (world.sid, 1, result)
    step.message.require_signature_of(world.aggregator_keys[1].public_bytes, world.sid)
    assert step.memory == before.next(session=replace(before.session, result=result))


def test_its_own_opening_may_be_left_out_if_its_share_is_given(played) -> None:
    world, memories = played
    own, memory, expected = world.aggregators[1], memories["open"], world.results[0].to_bytes()
    for openings in (
        world.openings[1:],
        world.openings[::-1],
        [*world.openings[1:], replace(world.openings[0], salt=ZERO)],
    ):
        step = own.certify(memory, openings, world.total, world.shares[1])
        assert step.message.to_bytes() == expected
    with pytest.raises(RefusedError, match="not the one that this aggregator committed to"):
        own.certify(memory, world.openings[1:], world.total, world.shares[2])
    for wrong in (world.openings[:2], world.openings[2:], []):
        with pytest.raises(AbortError, match="not exactly one message of every aggregator"):
            own.certify(memory, wrong, world.total, world.shares[1])
    with pytest.raises(AbortError, match="not exactly one message of every aggregator"):
        own.certify(memory, world.openings[1:], world.total)


@pytest.mark.parametrize("given_share", [True, False])
def test_what_is_no_opening_is_refused(played, given_share) -> None:
    world, memories = played
    own, share = world.aggregators[1], world.shares[1] if given_share else None
    for wrong in (world.headers[0], world.total, world.openings[1].receipt(world.manifest.bulk_hash)):
        with pytest.raises(AbortError, match="came where Opening was expected"):
            own.certify(memories["open"], [world.openings[0], wrong, world.openings[2]], world.total, share)
    with pytest.raises(AbortError, match="came where HubSum was expected"):
        own.certify(memories["open"], world.openings, world.hub_commitment, share)


@pytest.mark.parametrize("number", [1, 2, 3])
@pytest.mark.parametrize("part", ["share", "salt"])
def test_an_opening_that_does_not_fit_its_signed_commitment_names_its_signer(played, number, part) -> None:
    world, memories = played
    opening = world.openings[number - 1]
    changed = {"salt": SALT} if part == "salt" else {"share": world.shifted(opening.share, {3: 1})}
    openings = list(world.openings)
    openings[number - 1] = world.signed_by_aggregator(replace(opening, **changed), number)
    with pytest.raises(BlamedError, match="opened something other than it committed to") as blame:
        world.aggregators[1].certify(memories["open"], openings, world.total)
    assert blame.value.party == f"aggregator {number}"


def test_the_hubs_sum_is_the_one_that_it_committed_to(played) -> None:
    world, memories = played
    own, memory = world.aggregators[1], memories["open"]
    share = world.total.share
    for wrong in (world.shifted(share, {0: 1}), world.shifted(share, {world.d: 1}), share[:-1], share[:0]):
        with pytest.raises(AbortError, match="not the one that it committed to"):
            own.certify(memory, world.openings, HubSum(world.sid, wrong))
    assert commit_to_sum(world.sid, share, world.manifest.bulk_hash) == memory.session.commitments[0]


@pytest.mark.parametrize("reached", ["announce", "vote", "commit", "agree"])
def test_no_result_is_signed_of_what_was_not_opened(played, reached) -> None:
    world, memories = played
    own, openings = world.aggregators[1], world.openings
    with pytest.raises(RefusedError, match="did not open that session"):
        own.certify(memories[reached], openings, world.total)
    with pytest.raises(RefusedError, match="did not open that session"):
        own.certify(memories["open"], openings, HubSum(ZERO, world.total.share))


def test_a_result_is_signed_long_after_the_opening_and_repeated_to_the_byte(world) -> None:
    world.run(to="certify")
    own, expected = world.aggregators[1], world.results[0].to_bytes()
    sid, openings, total, results = world.sid, world.openings, world.total, world.results
    record = one(world)[1].session
    world.aggregator_memories[1] = replace(one(world)[1], session=replace(record, result=b""))
    for _ in range(2):
        world.set_up()
        world.announce()
    memory = one(world)[1]
    late = own.certify(memory, openings, total)
    assert late.message.to_bytes() == expected
    assert late.memory == memory.next(unfinished={sid: record})
    again = own.certify(late.memory, [], HubSum(sid, total.share[:0]))
    assert (again.message.to_bytes(), again.memory) == (expected, None)
    finished = own.finish(late.memory, results)
    with pytest.raises(RefusedError, match="did not open that session, or it is finished"):
        own.certify(finished, openings, total)


# The end


def test_a_session_is_finished_once_everybody_signed_its_result(world) -> None:
    memories = passed(world)
    own, memory = world.aggregators[1], memories["certify"]
    finished = own.finish(memory, world.results)
    assert finished == memory.next(session=replace(memory.session, finished=True))
    assert own.finish(finished, world.results) is None
    assert own.finish(finished, world.results[:1]) is None
    with pytest.raises(RefusedError, match="signed no result of that session"):
        own.finish(memories["open"], world.results)


def test_an_earlier_session_is_forgotten_when_it_is_finished_and_no_other(world) -> None:
    world.run()
    sid, results = world.sid, world.results
    world.accept()
    world.run()
    other = world.sid
    world.accept()
    world.announce()
    own, memory = one(world)
    assert list(memory.unfinished) == [sid, other]
    finished = own.finish(memory, results)
    assert finished == memory.next(unfinished={other: memory.unfinished[other]})
    assert own.finish(finished, results) is None
    with pytest.raises(RefusedError, match="signed no result"):
        own.finish(replace(finished, opened={}), results)


@pytest.mark.parametrize("number", [1, 2])
def test_a_session_is_not_finished_on_different_results(world, number) -> None:
    """Somebody could still need its words."""
    world.run()
    own, memory = one(world)
    results = list(world.results)
    results[number - 1] = world.signed_by_aggregator(replace(results[number - 1], result=SALT), number)
    with pytest.raises(AbortError, match="signed different results"):
        own.finish(memory, results)
    both = [ResultSignature(world.sid, s, SALT).signed_by(key, world.sid) for s, key in world.aggregator_keys.items()]
    with pytest.raises(AbortError, match="signed different results"):
        own.finish(memory, both)


# Words


def test_words_are_those_of_the_last_session_or_of_an_opened_one_that_is_not_finished(world) -> None:
    world.run()
    own, said, sid = world.aggregators[1], (world.votes[0], world.results[0]), world.sid
    world.set_up()
    world.announce()
    memory = one(world)[1]
    words = own.words(memory, sid)
    assert (words.vote, words.result) == said
    assert own.words(memory, world.sid).vote is None
    finished = own.finish(memory, world.results)
    for remembered, named in ((finished, sid), (memory, ZERO)):
        with pytest.raises(RefusedError, match="does not keep the words"):
            own.words(remembered, named)
    gone = own.give_up(memory, world.request(GIVE_UP, world.round)).memory
    with pytest.raises(RefusedError, match="gave the session up"):
        own.words(gone, world.sid)
