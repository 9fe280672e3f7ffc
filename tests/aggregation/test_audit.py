"""What a record proves, and about whom. Culprits sign with their own keys here, forgeries are signed with others'."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import fields, replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from privateyes.aggregation.aggregator import Point
from privateyes.aggregation.audit import audit
from privateyes.aggregation.evidence import MESSAGE_TYPES, read_message
from privateyes.aggregation.findings import Audit, Finding, Level, Outcome, joined
from privateyes.aggregation.keys import setup_id
from privateyes.aggregation.messages import (
    OPENED,
    VOID,
    Abort,
    AggregatorKey,
    Agreement,
    Announcement,
    ClientKey,
    Closing,
    Complaint,
    Delivery,
    DeliveryReceipt,
    Disclosure,
    HubCommitment,
    HubSum,
    Message,
    Opening,
    OpeningReceipt,
    ResultSignature,
    RosterCommitment,
    SealedGroupKey,
    SealedStreamKey,
    Signed,
    Submission,
    Vote,
    Voucher,
)
from privateyes.aggregation.result import require_result_signatures
from privateyes.aggregation.roster import result_digest, roster_digest, transcript_digest
from privateyes.crypto.commitment import commit_to_sum
from privateyes.crypto.labels import Role
from privateyes.crypto.sealing import SEALING_PUBLIC_KEY_BYTES
from privateyes.crypto.signature import SigningKey
from privateyes.errors import AbortError, MalformedError

OTHER = bytes([9]) * 32
ALL = ("aggregator 1", "aggregator 2", "aggregator 3")


def record_of(world: Any) -> list[Message]:
    """All that was said in the session that a world is at, vectors included."""
    said = [*world.announcements, *world.submissions.values()]
    for name in ("votes", "commitments", "hub_commitment", "agreements", "openings", "total", "results", "delivery"):
        value = getattr(world, name, ())
        said += value if isinstance(value, list) else [value] if isinstance(value, Message) else []
    return [message for message in said if getattr(message, "sid", world.sid) == world.sid]


def set_up_of(world: Any) -> list[Message]:
    return [*[sealed for own in world.stream_keys.values() for sealed in own], *world.group_keys]


def as_receipts(messages: Sequence[Message]) -> list[Message]:
    """The same as a record on disk has it."""
    kept = [message.header if isinstance(message, Submission) else message for message in messages]
    return [message.receipt() if isinstance(message, Opening | HubSum | Delivery) else message for message in kept]


def without(messages: Sequence[Message], *kinds: type[Message], of: int | None = None) -> list[Message]:
    """The record less messages of these classes, all or one party's."""
    return [
        message
        for message in messages
        if not (isinstance(message, kinds) and (of is None or getattr(message, "aggregator", of) == of))
    ]


def resigned(world: Any, message: Any, **changes: Any) -> Any:
    """A signed message, altered and signed again by the party that it names."""
    altered = replace(message, **changes)
    number = getattr(altered, "leader", getattr(altered, "client", None))
    key = world.aggregator_keys[altered.aggregator] if altered.role is Role.AGGREGATOR else world.client_keys[number]
    context = altered.sid if hasattr(altered, "sid") else setup_id(world.manifest.digest(), altered.epoch)
    return altered.signed_by(key, context)


def forged(world: Any, message: Any) -> Any:
    """The same message with the signature of somebody else."""
    context = message.sid if hasattr(message, "sid") else setup_id(world.manifest.digest(), message.epoch)
    return message.signed_by(SigningKey(bytes(32)), context)


@pytest.fixture(scope="module")
def make(make_world: Any) -> Callable[..., SimpleNamespace]:
    """A finished session and its record; parties are drawn once for each shape."""
    known: dict[Any, SimpleNamespace] = {}

    def finished(**shape: Any) -> SimpleNamespace:
        key = tuple(sorted(shape.items()))
        if key not in known:
            world = make_world(**shape)
            world.run()
            known[key] = SimpleNamespace(world=world, said=[*set_up_of(world), *record_of(world)])
        return known[key]

    return finished


def faults(world: Any, messages: Sequence[Message]) -> tuple[Finding, ...]:
    return audit(world.manifest, messages).faults


def named(world: Any, messages: Sequence[Message]) -> dict[tuple[Level, tuple[str, ...]], list[str]]:
    """What is said against whom."""
    found: dict[tuple[Level, tuple[str, ...]], list[str]] = {}
    for fault in faults(world, messages):
        found.setdefault((fault.level, fault.parties), []).append(fault.what)
    return found


# Honest sessions


@pytest.mark.parametrize("mode", ["sealed", "public"])
@pytest.mark.parametrize("shorten", [list, as_receipts], ids=["full", "receipts"])
def test_an_honest_session_is_certified_and_everything_holds(make: Any, mode: str, shorten: Any) -> None:
    case = make(mode=mode)
    found = audit(case.world.manifest, shorten(case.said))
    (session,) = found.sessions
    assert (session.outcome, session.roster, session.epoch, session.round) == (Outcome.CERTIFIED, (1, 2, 3, 4), 1, 0)
    assert found.faults == ()
    levels = {finding.level for finding in found.everything}
    assert levels == ({Level.HOLDS} if mode == "sealed" else {Level.HOLDS, Level.MISSING})
    assert found.verified > 30


def test_with_the_disclosed_key_anyone_checks_a_public_sum(make: Any) -> None:
    case = make(mode="public")
    world = case.world
    disclosure = world.clients[2].disclose(world.client_memories[2], world.delivery)
    record = [*without(as_receipts(case.said), DeliveryReceipt), world.delivery, disclosure]
    (session,) = audit(world.manifest, record).sessions
    assert session.total_weight == world.ideal().total_weight
    assert all(finding.level is Level.HOLDS for finding in session.findings)


def test_a_record_of_another_task_is_not_judged(make: Any, make_world: Any) -> None:
    other = make_world(first_client=7, m=5)
    found = audit(other.manifest, make().said)
    assert (found.verified, found.faults) == (0, ())
    assert [session.outcome for session in found.sessions] == [Outcome.UNPLACED]
    assert "another task or manifest" in found.sessions[0].findings[0].what


def test_what_is_right_under_another_manifest_of_the_same_parties_is_not_held_against_them(make_world: Any) -> None:
    """The same keys in two tasks: two clients are enough in the one and too few in the other."""
    world, stricter = make_world(), make_world(roster_min=3, set_up=False)
    world.run(1, 2)
    assert world.aggregator_keys[1].public_bytes == stricter.aggregator_keys[1].public_bytes
    found = audit(stricter.manifest, record_of(world))
    assert found.faults == ()
    assert [session.outcome for session in found.sessions] == [Outcome.UNPLACED]


def test_without_an_announcement_a_session_is_not_judged(make: Any) -> None:
    case = make()
    world = case.world
    record = [*without(case.said, Announcement), *_second_vote(world)]
    assert faults(world, record) == ()
    hint = forged(world, world.announcements[0])  # the session id itself shows that it belongs, whoever says so
    assert faults(world, [*record, hint])


def test_an_aborted_session_tells_its_step_and_blames_nobody(make_world: Any) -> None:
    world = make_world(roster_min=3)
    world.announce()
    world.submit_all(1, 2)
    world.vote()
    with pytest.raises(AbortError):
        world.commit()
    world.commitments = []
    notices = [own.stop(world.aggregator_memories[s], Point.COMMIT).message for s, own in world.aggregators.items()]
    (session,) = audit(world.manifest, [*record_of(world), *notices]).sessions
    assert (session.outcome, session.step, session.faults) == (Outcome.ABORTED, 3, ())
    assert any("2 clients have every aggregator's vote" in finding.what for finding in session.findings)
    assert sum(finding.level is Level.REFUSED for finding in session.findings) == 3


def test_a_void_session_and_the_one_after_it_blame_nobody(make_world: Any) -> None:
    world = make_world()
    world.run(to="agree")
    first = record_of(world)
    world.announce()
    closings = world.closings(0)
    for i, own in world.clients.items():
        world.client_memories[i] = own.settle(world.client_memories[i], closings)
    world.submit_all()
    world.finish()
    found = audit(world.manifest, [*set_up_of(world), *first, *closings, *record_of(world)])
    assert [(session.outcome, session.step) for session in found.sessions] == [
        (Outcome.ABORTED, 3),
        (Outcome.CERTIFIED, 5),
    ]
    assert found.faults == ()


def test_a_session_that_stops_without_a_word_is_incomplete(make: Any) -> None:
    case = make()
    record = without(case.said, ResultSignature, Delivery, OpeningReceipt)
    (session,) = audit(case.world.manifest, without(record, Opening, of=2)).sessions
    assert (session.outcome, session.step, session.faults) == (Outcome.INCOMPLETE, 4, ())
    missing = {finding.what: finding.parties for finding in session.findings if finding.level is Level.MISSING}
    assert missing == {"1 of 3 openings": ("aggregator 2",), "3 of 3 result signatures": ALL}


# What an aggregator signed against itself


def _second_vote(world: Any) -> list[Any]:
    return [resigned(world, world.votes[1], entries=world.votes[1].entries[:-1])]


def _second_commitment(world: Any) -> list[Any]:
    return [resigned(world, world.commitments[1], commitment=OTHER)]


def _second_rho(world: Any) -> list[Any]:
    return [resigned(world, world.commitments[1], rho=OTHER)]


def _second_transcript(world: Any) -> list[Any]:
    return [resigned(world, world.agreements[1], transcript=OTHER)]


def _second_opening(world: Any) -> list[Any]:
    return [resigned(world, world.openings[1].receipt(), salt=OTHER)]


def _second_result(world: Any) -> list[Any]:
    return [resigned(world, world.results[1], result=OTHER)]


def _closing(world: Any, *outcomes: int) -> list[Any]:
    return [resigned(world, Closing(world.sid, 2, outcome)) for outcome in outcomes]


def _second_announcement(world: Any) -> list[Any]:
    return [resigned(world, world.announcements[1], state_id=OTHER)]


def _vote_for_a_stranger(world: Any) -> list[Any]:
    return [resigned(world, world.votes[1], entries=(*world.votes[1].entries, (99, OTHER)))]


ALONE = {
    "two votes": (_second_vote, "signed 2 different votes"),
    "two commitments": (_second_commitment, "different rosters or commitments"),
    "two rosters": (_second_rho, "different rosters or commitments"),
    "two T": (_second_transcript, "signed 2 different T"),
    "two openings": (_second_opening, "signed 2 different openings"),
    "two results": (_second_result, "signed 2 different results"),
    "an unfit opening": (_second_opening, "opened something other than it committed to"),
    "void and opened": (lambda world: _closing(world, VOID, OPENED), "signed 2 different endings"),
    "void after all": (lambda world: _closing(world, VOID), "declared the session void, and signed its opening and"),
    "no such ending": (lambda world: _closing(world, 7), "neither opened nor void"),
    "two announcements": (_second_announcement, "announced round 0 of epoch 1 from 2 different states"),
    "a vote for a stranger": (_vote_for_a_stranger, "voted for client 99, which is not in the manifest"),
}


@pytest.mark.parametrize(("accuse", "text"), ALONE.values(), ids=ALONE.keys())
def test_an_aggregator_is_proven_guilty_by_its_own_signatures(make: Any, accuse: Any, text: str) -> None:
    case = make()
    found = named(case.world, [*case.said, *accuse(case.world)])
    assert any(text in what for what in found[Level.PROVEN, ("aggregator 2",)])
    assert {parties for level, parties in found if level is Level.PROVEN} == {("aggregator 2",)}
    assert all("aggregator 2" in parties for _, parties in found)


@pytest.mark.parametrize(("accuse", "text"), ALONE.values(), ids=ALONE.keys())
def test_a_forged_accusation_of_an_aggregator_is_set_aside(make: Any, accuse: Any, text: str) -> None:
    case = make()
    found = audit(case.world.manifest, [*case.said, *(forged(case.world, message) for message in accuse(case.world))])
    assert found.faults == ()
    aside = [finding.what for finding in found.everything if finding.level is Level.NOTED]
    assert any("in the name of aggregator 2" in what and "proves nothing" in what for what in aside)


def _preimage(world: Any, **changes: Any) -> DeliveryReceipt:
    """An unsigned delivery, which anybody can write: it only tells what a signed hash stands for."""
    return replace(world.delivery.receipt(), **changes)


def _illegal_size(case: Any) -> tuple[list[Message], list[Any]]:
    world, entries = case.world, case.world.entries[:1]
    rho = roster_digest(world.sid, world.delivery.group_check, entries)
    base = [*without(case.said, RosterCommitment, of=2), _preimage(world, roster=entries)]
    return base, [resigned(world, world.commitments[1], rho=rho)]


def _not_voted_for(case: Any) -> tuple[list[Message], list[Any]]:
    world = case.world
    return without(case.said, Vote, of=2), [resigned(world, world.votes[1], entries=world.votes[1].entries[1:])]


def _two_group_keys(case: Any) -> tuple[list[Message], list[Any]]:
    world = case.world
    foreign = resigned(world, world.submissions[4].header, group_check=OTHER)
    entries = (*world.entries[:3], (4, foreign.hash()))
    rho = roster_digest(world.sid, world.delivery.group_check, entries)
    base = without(case.said, RosterCommitment, Vote, of=2)
    base = [message for message in base if not (isinstance(message, Submission) and message.header.client == 4)]
    accusing = [resigned(world, world.commitments[1], rho=rho)]
    return [*base, foreign, _preimage(world, roster=entries)], accusing


def _unsigned_header(case: Any) -> tuple[list[Message], list[Any]]:
    world = case.world
    made_up = forged(world, replace(world.submissions[4].header, nonce=OTHER))
    entries = (*world.entries[:3], (4, made_up.hash()))
    return [*without(case.said, Vote, of=2), made_up], [resigned(world, world.votes[1], entries=entries)]


def _swapped_header(case: Any) -> tuple[list[Message], list[Any]]:
    world = case.world
    entries = (*world.entries[:3], (4, world.entries[2][1]))
    return without(case.said, Vote, of=2), [resigned(world, world.votes[1], entries=entries)]


def _other_commitment_under_t(case: Any) -> tuple[list[Message], list[Any]]:
    world = case.world
    base = without(case.said, RosterCommitment, Opening, of=2)
    return base, [resigned(world, world.commitments[1], commitment=OTHER)]


def _equal_commitments(case: Any) -> tuple[list[Message], list[Any]]:
    world = case.world
    one, two, three, _ = world.delivery.commitments
    digests = (one, two, three, three)
    transcript = transcript_digest(world.sid, world.commitments[0].rho, digests)
    base = [*without(case.said, Agreement, of=2), _preimage(world, commitments=digests)]
    return base, [resigned(world, world.agreements[1], transcript=transcript)]


def _too_few_commitments(case: Any) -> tuple[list[Message], list[Any]]:
    world = case.world
    digests = world.delivery.commitments[:3]
    transcript = transcript_digest(world.sid, world.commitments[0].rho, digests)
    base = [*without(case.said, Agreement, of=2), _preimage(world, commitments=digests)]
    return base, [resigned(world, world.agreements[1], transcript=transcript)]


def _wrong_sum(case: Any) -> tuple[list[Message], list[Any]]:
    world = case.world
    return without(case.said, ResultSignature, Delivery, of=2), [resigned(world, world.results[1], result=OTHER)]


def _result_of_another_t(case: Any) -> tuple[list[Message], list[Any]]:
    world = case.world
    other = _preimage(world, commitments=(OTHER, *world.delivery.commitments[1:]))
    transcript = transcript_digest(world.sid, world.commitments[0].rho, other.commitments)
    result = result_digest(world.sid, transcript, other.share_root, len(other.roster))
    base = [*without(case.said, ResultSignature, Delivery, of=2), other]
    return base, [resigned(world, world.results[1], result=result)]


def _unfit_under_t(case: Any) -> tuple[list[Message], list[Any]]:
    world = case.world
    base = without(case.said, RosterCommitment, Opening, of=2)
    return base, [resigned(world, world.openings[1].receipt(), salt=OTHER)]


PINNED = {
    "a roster of one": (_illegal_size, "of 1 clients, outside 2..4"),
    "a roster with a header it did not vote for": (_not_voted_for, "with a header that it did not vote for"),
    "two group keys": (_two_group_keys, "whose clients hold different group keys"),
    "a vote for a forged header": (_unsigned_header, "voted for a header in client 4's name that client 4 did not"),
    "a vote for another's header": (_swapped_header, "voted for a header of client 3 in place of client 4's"),
    "another commitment than under its T": (_other_commitment_under_t, "signed a T that holds another roster or"),
    "a T with equal commitments": (_equal_commitments, "signed a T with two equal commitments"),
    "a T with too few": (_too_few_commitments, "signed a T over a wrong number of commitments"),
    "a wrong sum": (_wrong_sum, "signed a result that is not the sum of what its T holds"),
    "a result of another T": (_result_of_another_t, "signed a result under another T than its own"),
    "an opening unfit for its T": (_unfit_under_t, "opened something other than it committed to"),
}


@pytest.mark.parametrize(("build", "text"), PINNED.values(), ids=PINNED.keys())
def test_an_aggregator_is_proven_guilty_by_what_its_signature_pins(make: Any, build: Any, text: str) -> None:
    case = make()
    base, accusing = build(case)
    found = named(case.world, [*base, *accusing])
    assert any(text in what for what in found[Level.PROVEN, ("aggregator 2",)])
    assert {parties for level, parties in found if level is Level.PROVEN} == {("aggregator 2",)}
    culprits = {"aggregator 2", "client 4"} if build is _two_group_keys else {"aggregator 2"}
    assert all(culprits & set(parties) for _, parties in found)


@pytest.mark.parametrize(("build", "text"), PINNED.values(), ids=PINNED.keys())
def test_unsigned_hints_alone_prove_nothing(make: Any, build: Any, text: str) -> None:
    """The same record with the accusing signature forged: whatever is left may come from anybody."""
    case = make()
    base, accusing = build(case)
    found = faults(case.world, [*base, *(forged(case.world, message) for message in accusing)])
    assert not [fault for fault in found if fault.level is Level.PROVEN]
    # client 4's second header in "two group keys" is really its own: that clients differ in kc stays visible
    assert all("aggregator 2" not in fault.parties for fault in found)


def test_who_copied_a_commitment_is_known_once_it_is_opened(make: Any) -> None:
    case = make()
    world = case.world
    copy = resigned(world, world.commitments[2], commitment=world.commitments[1].commitment)
    base = [*world.announcements, *world.commitments[:2]]
    both = ("aggregator 2", "aggregator 3")
    assert list(named(world, [*base, copy])) == [(Level.INCONSISTENT, both)]
    assert list(named(world, [*base, copy, world.openings[1]])) == [(Level.PROVEN, ("aggregator 3",))]
    assert faults(world, [*base, forged(world, copy), world.openings[1]]) == ()


# Where one of several lied


def test_a_voided_session_with_anothers_result_names_two(make: Any) -> None:
    case = make()
    world = case.world
    base = [*without(case.said, ResultSignature, Opening, Delivery), world.results[0]]
    found = named(world, [*base, *_closing(world, VOID)])
    assert list(found) == [(Level.INCONSISTENT, ("aggregator 1", "aggregator 2"))]
    assert faults(world, [*base, *(forged(world, message) for message in _closing(world, VOID))]) == ()


def test_different_results_name_the_pair(make: Any) -> None:
    case = make()
    world = case.world
    base = [*without(as_receipts(case.said), ResultSignature, DeliveryReceipt), world.results[0]]
    found = named(world, [*base, resigned(world, world.results[1], result=OTHER)])
    assert list(found) == [(Level.INCONSISTENT, ("aggregator 1", "aggregator 2"))]
    assert faults(world, [*base, forged(world, replace(world.results[1], result=OTHER))]) == ()


def test_a_roster_that_the_votes_do_not_give_names_all_aggregators(make: Any) -> None:
    """The record shows another vote of aggregator 3 than the one that the others answered."""
    case = make()
    world = case.world
    other = resigned(world, world.votes[2], entries=world.votes[2].entries[1:])
    base = without(case.said, Vote, Delivery, Agreement, Opening, ResultSignature, RosterCommitment)
    record = [*base, *world.votes[:2], other, *world.commitments[:2]]
    assert list(named(world, record)) == [(Level.INCONSISTENT, ALL)]
    assert faults(world, [*base, *world.votes[:2], forged(world, other), *world.commitments[:2]]) == ()


def test_honest_aggregators_that_were_told_different_sums_are_not_proven_guilty(make_world: Any) -> None:
    """com_0 is not signed: a lying hub makes honest aggregators sign different T."""
    world = make_world()
    world.run(to="commit")
    world.agreements = []
    for s, own in world.aggregators.items():
        told = replace(world.hub_commitment, commitment=bytes([s]) * 32)
        step = own.agree(world.aggregator_memories[s], world.states[s], world.commitments, told)
        world.agreements.append(step.message)
    found = named(world, record_of(world))
    assert list(found) == [(Level.INCONSISTENT, ("hub", *ALL))]


def test_honest_aggregators_that_were_shown_different_votes_are_not_proven_guilty(make_world: Any) -> None:
    world = make_world()
    world.run(to="vote")
    smaller = resigned(world, world.votes[2], entries=world.votes[2].entries[1:])
    world.commit({2: [*world.votes[:2], smaller]})
    shown = [message for message in record_of(world) if not isinstance(message, RosterCommitment)]
    record = [*shown, *world.commitments[:2]]
    assert list(named(world, record)) == [(Level.INCONSISTENT, ALL)]
    # With the second vote in the record the culprit is known, and is the only one that is named alone.
    found = named(world, [*record, smaller])
    assert {parties for level, parties in found if level is Level.PROVEN} == {("aggregator 3",)}


def test_an_opening_beside_anothers_other_t_names_two(make: Any) -> None:
    case = make()
    world = case.world
    base = without(as_receipts(case.said), Agreement, ResultSignature, DeliveryReceipt)
    base = [message for message in base if not (isinstance(message, OpeningReceipt) and message.aggregator != 1)]
    other = resigned(world, world.agreements[1], transcript=OTHER)
    found = named(world, [*base, world.agreements[0], other])
    assert (Level.INCONSISTENT, ("aggregator 1", "aggregator 2")) in found
    assert {level for level, _ in found} == {Level.INCONSISTENT}
    assert faults(world, [*base, world.agreements[0], forged(world, other)]) == ()


# Clients


def _second_header(world: Any) -> list[Any]:
    return [resigned(world, world.submissions[3].header, nonce=OTHER)]


def _short_header(world: Any) -> list[Any]:
    return [resigned(world, world.submissions[3].header, sealed_hashes=(OTHER,))]


def result_of(world: Any) -> bytes:
    """H(T, H(Z), |R|) as all aggregators signed it."""
    return require_result_signatures(world.manifest, world.delivery.receipt())


def _disclosed(world: Any, *keys: bytes) -> list[Any]:
    return [resigned(world, Disclosure(world.sid, 3, result_of(world), key)) for key in keys]


def _right_key(world: Any) -> bytes:
    return bytes(world.group.session_key(world.sid))


CLIENT_ALONE = {
    "two headers": ("sealed", _second_header, "signed 2 different headers"),
    "too few stream keys": ("sealed", _short_header, "does not name one stream key for each aggregator"),
    "a sealed key published": ("sealed", lambda world: _disclosed(world, _right_key(world)), "key of a sealed task"),
    "two keys published": ("public", lambda world: _disclosed(world, _right_key(world), OTHER), "2 different keys"),
    "a wrong key published": ("public", lambda world: _disclosed(world, OTHER), "not the one its own header names"),
    "a leader's part": (
        "sealed",
        lambda world: [resigned(world, replace(world.group_keys[1], leader=3))],
        "without being the leader",
    ),
}


@pytest.mark.parametrize(("mode", "accuse", "text"), CLIENT_ALONE.values(), ids=CLIENT_ALONE.keys())
def test_a_client_is_proven_guilty_by_its_own_signatures(make: Any, mode: str, accuse: Any, text: str) -> None:
    case = make(mode=mode)
    found = named(case.world, [*case.said, *accuse(case.world)])
    assert any(text in what for what in found[Level.PROVEN, ("client 3",)])
    assert all("client 3" in parties for _, parties in found)
    assert faults(case.world, [*case.said, *(forged(case.world, message) for message in accuse(case.world))]) == ()


@pytest.fixture(scope="module")
def two_sessions(make_world: Any) -> SimpleNamespace:
    """Two finished rounds of one epoch."""
    world = make_world()
    world.run()
    first, nonce = record_of(world), world.submissions[3].header.nonce
    world.accept(bytes([1]) * 32)
    world.run()
    return SimpleNamespace(world=world, said=[*set_up_of(world), *first, *record_of(world)], nonce=nonce)


ACROSS = {
    "a nonce": (lambda case: {"nonce": case.nonce}, "used one nonce in 2 sessions"),
    "a group key": (lambda case: {"group_check": OTHER}, "used 2 group keys in epoch 1"),
    "stream keys": (lambda case: {"sealed_hashes": (OTHER,) * 3}, "named different stream keys in epoch 1"),
}


@pytest.mark.parametrize(("change", "text"), ACROSS.values(), ids=ACROSS.keys())
def test_what_a_client_repeats_or_changes_across_sessions_is_proven(two_sessions: Any, change: Any, text: str) -> None:
    world = two_sessions.world
    own = world.submissions[3].header
    second = resigned(world, own, **change(two_sessions))
    base = [m for m in two_sessions.said if not (isinstance(m, Submission) and m.header == own)]
    found = [fault for fault in faults(world, [*base, second]) if text in fault.what]
    assert [(fault.level, fault.parties) for fault in found] == [(Level.PROVEN, ("client 3",))]
    assert faults(world, [*base, forged(world, second)]) == ()
    assert faults(world, two_sessions.said) == ()


def test_one_nonce_of_two_clients_accuses_nobody(make: Any) -> None:
    """Nonces are public, and anyone can copy an honest client's."""
    case = make()
    world = case.world
    theirs = world.submissions[1].header.nonce
    header = resigned(world, replace(world.submissions[3].header, nonce=theirs))
    base = [m for m in case.said if not (isinstance(m, Submission) and m.header.client == 3)]
    assert not [f for f in faults(world, [*base, header]) if "nonce" in f.what]


def test_two_group_keys_in_an_epoch_name_the_leader_and_the_clients(make_world: Any) -> None:
    world = make_world()
    world.run(to="submit")
    foreign = resigned(world, world.submissions[3].header, group_check=OTHER)
    headers = [world.submissions[2].header, foreign]
    found = named(world, [*world.announcements, *headers])
    assert list(found) == [(Level.INCONSISTENT, ("client 1", "client 2", "client 3"))]
    assert faults(world, [*world.announcements, headers[0], forged(world, foreign)]) == ()


def test_two_session_keys_under_one_group_key_name_the_clients(make_world: Any) -> None:
    world = make_world()
    world.run(to="submit")
    foreign = resigned(world, world.submissions[3].header, session_key_hash=OTHER)
    found = named(world, [*world.announcements, world.submissions[2].header, foreign])
    assert list(found) == [(Level.INCONSISTENT, ("client 2", "client 3"))]
    assert faults(world, [*world.announcements, world.submissions[2].header, forged(world, foreign)]) == ()


def test_what_a_restart_during_the_set_up_explains_is_noted_only(make: Any) -> None:
    """An honest party that dies in the middle of a set-up has stored nothing, and begins again."""
    case = make()
    world = case.world
    sealed, group = world.stream_keys[3][0], world.group_keys[1]
    again = [
        resigned(world, sealed, sealed=bytes(len(sealed.sealed))),
        resigned(world, group, sealed=bytes(len(group.sealed))),
        *[resigned(world, AggregatorKey(1, 2, bytes([i]) * SEALING_PUBLIC_KEY_BYTES)) for i in (1, 2)],
        *[resigned(world, ClientKey(1, 3, bytes([i]) * SEALING_PUBLIC_KEY_BYTES)) for i in (1, 2)],
        *[resigned(world, Voucher(1, 3, bytes([i]) * 32)) for i in (1, 2)],
    ]
    found = audit(world.manifest, [*case.said, *again])
    assert found.faults == ()
    noted = {(finding.step, finding.parties) for finding in found.findings if finding.level is Level.NOTED}
    assert noted == {
        ("set-up 2", ("aggregator 2",)),
        ("set-up 2", ("client 3",)),
        ("set-up 3", ("client 3",)),
        ("set-up 7", ("client 3",)),
        ("set-up 4", ("client 1",)),
    }
    only_again = [m for m in [*case.said, *again] if m != sealed]
    mismatch = [finding.what for finding in audit(world.manifest, only_again).findings]
    assert any("names another stream key for aggregator 1" in what for what in mismatch)


def test_different_announcements_of_different_aggregators_accuse_nobody(make_world: Any) -> None:
    """Each signs the state that the hub names."""
    world = make_world()
    setup = setup_id(world.manifest.digest(), 1)
    said = [Announcement(s, 1, 0, bytes([s]) * 32).signed_by(key, setup) for s, key in world.aggregator_keys.items()]
    found = audit(world.manifest, said)
    assert found.faults == ()
    assert any("announced from different states" in finding.what for finding in found.findings)


def test_a_key_published_for_a_void_session_names_two(make_world: Any) -> None:
    world = make_world(mode="public")
    world.run(to="agree")
    disclosure = resigned(world, Disclosure(world.sid, 3, OTHER, _right_key(world)))
    void = resigned(world, Closing(world.sid, 2, VOID))
    found = named(world, [*record_of(world), disclosure, void])
    assert list(found) == [(Level.INCONSISTENT, ("aggregator 2", "client 3"))]
    for record in ([forged(world, disclosure), void], [disclosure, forged(world, void)]):
        assert faults(world, [*record_of(world), *record]) == ()
    alone = audit(world.manifest, [*record_of(world), disclosure]).sessions[0]
    assert any("published too early cannot be told" in finding.what for finding in alone.findings)


def test_a_key_published_for_another_result_names_publisher_and_signers(make: Any) -> None:
    case = make(mode="public")
    world = case.world
    wrong = resigned(world, Disclosure(world.sid, 3, OTHER, _right_key(world)))
    found = named(world, [*case.said, wrong])
    assert list(found) == [(Level.INCONSISTENT, (name, "client 3")) for name in ALL]
    assert faults(world, [*case.said, forged(world, wrong)]) == ()


# The hub, and the sum


def _with_wrong_sum(make_world: Any, mode: str) -> Any:
    """A hub that commits to another sum than it received; everybody else is honest."""
    world = make_world(mode=mode)
    world.run(to="commit")
    world.total = HubSum(world.sid, world.shifted(world.total.share, {0: 1}))
    world.hub_commitment = HubCommitment(world.sid, commit_to_sum(world.sid, world.total.share))
    for step in ("agree", "open", "certify", "deliver"):
        getattr(world, step)()
    return world


def test_a_hub_whose_sum_is_not_the_shares_sum_is_named(make_world: Any) -> None:
    world = _with_wrong_sum(make_world, "sealed")
    found = named(world, record_of(world))
    assert list(found) == [(Level.SUSPECTED, ("hub",))]
    assert "or its word was altered on the way" in found[Level.SUSPECTED, ("hub",)][0]
    assert faults(world, as_receipts(record_of(world))) == ()  # without the shares nobody can tell
    fewer = without(record_of(world), Agreement, of=2)
    assert faults(world, fewer) == ()  # nor without every aggregator's signature on T


def test_a_forged_sum_or_share_in_the_record_accuses_nobody(make: Any) -> None:
    case = make()
    world = case.world
    share = world.shifted(world.total.share, {0: 1})
    submission = replace(world.submissions[3], share=world.shifted(world.submissions[3].share, {0: 1}))
    delivery = replace(world.delivery, share=share)
    extra = [HubSum(world.sid, share), HubCommitment(world.sid, OTHER), submission, delivery]
    for order in ([*case.said, *extra], [*extra, *case.said]):
        found = audit(world.manifest, order)
        assert found.faults == ()
        assert any("every client refuses at check 4" in finding.what for finding in found.everything)
        assert any("Submission in the name of client 3" in finding.what for finding in found.everything)
        assert any("the hub's sum is the sum of the roster's shares" in f.what for f in found.everything)


def test_a_public_sum_without_its_tags_is_proven_wrong_and_names_all_who_could(make_world: Any) -> None:
    world = _with_wrong_sum(make_world, "public")
    disclosure = world.clients[1].disclose(world.client_memories[1], world.delivery)
    receipts = [*without(as_receipts(record_of(world)), DeliveryReceipt), world.delivery, disclosure]
    complaint = world.clients[2].complain(world.sid, 5)
    found = audit(world.manifest, [*receipts, complaint])
    (fault,) = found.faults
    assert (fault.level, fault.parties) == (
        Level.INCONSISTENT,
        ("hub", *ALL, "client 1", "client 2", "client 3", "client 4"),
    )
    assert "the signed sum is wrong, as anyone can check" in fault.what
    assert any("The delivery in the record has that fault" in f.what for f in found.everything)
    # A wrong key in the discloser's name shows nothing; a forged disclosure neither.
    assert faults(world, [*receipts[:-1], forged(world, disclosure)]) == ()


def test_a_published_key_that_the_roster_did_not_use_names_publisher_and_roster(make_world: Any) -> None:
    """Client 4 did not submit, so no header of its own tells which key it holds."""
    world = make_world(mode="public")
    world.run(1, 2, 3)
    record = [*without(as_receipts(record_of(world)), DeliveryReceipt), world.delivery]
    wrong = resigned(world, Disclosure(world.sid, 4, result_of(world), OTHER))
    assert list(named(world, [*record, wrong])) == [
        (Level.INCONSISTENT, ("client 1", "client 2", "client 3", "client 4"))
    ]
    assert faults(world, [*record, forged(world, wrong)]) == ()
    right = world.clients[4].disclose(world.client_memories[4], world.delivery)
    assert faults(world, [*record, right]) == ()


# Notices


@pytest.mark.parametrize("check", [*range(1, 8), 99])
def test_a_complaint_is_told_and_proves_nothing(make: Any, check: int) -> None:
    case = make()
    complaint = case.world.clients[2].complain(case.world.sid, check)
    found = audit(case.world.manifest, [*case.said, complaint])
    assert found.faults == ()
    (told,) = [finding for finding in found.sessions[0].findings if finding.level is Level.REFUSED]
    assert told.parties == ("client 2",)
    assert f"at check {check}" in told.what
    expected = "Only clients can check" if check >= 5 else "does not show that"
    assert expected in told.what
    assert "or the client complains without reason" in told.what or "or complains without reason" in told.what
    missing = audit(case.world.manifest, [*case.world.announcements, complaint]).sessions[0].findings
    assert any("no delivery" in finding.what for finding in missing)
    fake = audit(case.world.manifest, [*case.said, forged(case.world, complaint)])
    assert Level.REFUSED not in {finding.level for finding in fake.everything}


def test_a_complaint_whose_fault_the_record_shows_says_so(make: Any) -> None:
    case = make()
    world = case.world
    base = without(case.said, Delivery)
    roster = tuple((client, OTHER if client == 2 else value) for client, value in world.entries)
    changes = {
        2: {"group_check": OTHER},
        3: {"roster": roster},
        4: {"results": world.delivery.results[::-1]},
    }
    for check, change in changes.items():
        complaint = world.clients[2].complain(world.sid, check)
        found = audit(world.manifest, [*base, _preimage(world, **change), complaint])
        assert found.faults == ()
        assert any("The delivery in the record has that fault" in finding.what for finding in found.everything)


@pytest.mark.parametrize("check", [5, 6, 7, 8])
def test_a_public_complaint_that_the_record_does_not_bear_out_says_so_and_calls_it_not_false(
    make: Any, check: int
) -> None:
    """A client may hold other clips than the manifest's, which no record has: checks 7 and 8 then differ."""
    case = make(mode="public")
    world = case.world
    disclosure = world.clients[1].disclose(world.client_memories[1], world.delivery)
    found = audit(world.manifest, [*case.said, disclosure, world.clients[2].complain(world.sid, check)])
    assert found.faults == ()
    (told,) = [finding for finding in found.everything if finding.level is Level.REFUSED]
    clips = ", or holds other clips" if check in (7, 8) else ""
    assert told.what.endswith(f"passes: the client was sent another one{clips}, or complains without reason")
    assert not any("false" in finding.what for finding in found.everything)


def test_a_certified_result_that_clients_refuse_is_told_apart_from_one_that_they_take(make: Any) -> None:
    case = make()
    world = case.world
    complaints = [world.clients[client].complain(world.sid, 5) for client in (1, 2, 4)]
    found = audit(world.manifest, [*case.said, *complaints])
    (session,) = found.sessions
    assert (session.outcome, session.step, session.roster) == (Outcome.REFUSED, 5, (1, 2, 3, 4))
    assert session.refusals == ((1, 5), (2, 5), (4, 5))
    assert (found.faults, found.is_consistent) == ((), False)
    fake = audit(world.manifest, [*case.said, *(forged(world, complaint) for complaint in complaints)])
    assert (fake.sessions[0].outcome, fake.is_consistent) == (Outcome.CERTIFIED, True)
    aborted = audit(world.manifest, [*without(case.said, ResultSignature, Delivery), *complaints])
    assert (aborted.sessions[0].outcome, aborted.is_consistent) == (Outcome.ABORTED, True)


def test_a_key_of_another_group_in_a_clients_name_does_not_hide_what_the_right_one_shows(make_world: Any) -> None:
    world = _with_wrong_sum(make_world, "public")
    right = world.clients[2].disclose(world.client_memories[2], world.delivery)
    wrong = resigned(world, replace(right, client=1), session_key=OTHER)
    complaint = world.clients[4].complain(world.sid, 5)
    for order in ([wrong, right], [right, wrong]):
        found = audit(world.manifest, [*record_of(world), *order, complaint])
        assert any("The delivery in the record has that fault" in finding.what for finding in found.everything)


# No honest party is ever named


@pytest.fixture(scope="module")
def everything(make_world: Any) -> SimpleNamespace:
    """Everything said by honest parties: a void session, a certified one, a complaint, abort notices, a disclosure."""
    world = make_world(mode="public")
    said = set_up_of(world)
    world.run(to="agree")
    said += record_of(world)
    said += [own.stop(world.aggregator_memories[s], Point.OPEN).message for s, own in world.aggregators.items()]
    world.announce()
    closings = world.closings(0)
    for i, own in world.clients.items():
        world.client_memories[i] = own.settle(world.client_memories[i], closings)
    world.submit_all(1, 2, 3)
    world.finish()
    said += [*closings, *record_of(world), world.clients[2].disclose(world.client_memories[2], world.delivery)]
    said.append(world.clients[4].complain(world.sid, 3))
    signed = [message for message in said if isinstance(message, Signed)]
    return SimpleNamespace(world=world, said=[*said, *as_receipts(said)], signed=signed)


@settings(max_examples=60)
@given(data=st.data())
def test_no_choice_of_honest_messages_blames_anyone(everything: Any, data: Any) -> None:
    """Any subset, in any order, repeated, with forgeries among them."""
    world = everything.world
    chosen = data.draw(st.lists(st.sampled_from(everything.said), max_size=160))
    copies = data.draw(st.lists(st.sampled_from(everything.signed), max_size=10))
    forgeries = [_altered(data, everything, message) for message in copies]
    forgeries = [
        replace(message, signature=original.signature) for message, original in zip(forgeries, copies, strict=True)
    ]
    forgeries = [message for message, original in zip(forgeries, copies, strict=True) if message != original]
    found = audit(world.manifest, data.draw(st.permutations([*chosen, *forgeries])))
    assert found.faults == ()


def _altered(data: Any, everything: Any, message: Any) -> Any:
    """A message with some field replaced by one that stands in other messages, or by something new."""
    names = [field.name for field in fields(message) if field.name != "signature"]
    name = data.draw(st.sampled_from(names))
    value = getattr(message, name)
    pool = [getattr(other, field.name) for other in everything.said for field in fields(other)]
    if isinstance(value, bytes):
        same = [entry for entry in pool if isinstance(entry, bytes) and len(entry) == len(value)]
        new: Any = data.draw(st.sampled_from([*same[:200], bytes(len(value))]))
    elif isinstance(value, int):
        new = data.draw(st.integers(0, 5))
    elif isinstance(value, np.ndarray):
        new = everything.world.shifted(value, {data.draw(st.integers(0, value.size - 1)): 1})
    else:
        new = value[data.draw(st.integers(0, 1)) :][: data.draw(st.integers(0, 5))]
    return replace(message, **{name: new})


CORRUPT = {"aggregator 2", "client 3"}


@settings(max_examples=80)
@given(data=st.data())
def test_whatever_corrupt_parties_sign_no_honest_party_is_proven_guilty(everything: Any, data: Any) -> None:
    """Aggregator 2 and client 3 sign what they like; whoever wrote the record alters what nobody signed."""
    world = everything.world
    kinds = (SealedGroupKey, SealedStreamKey, Complaint, Abort)
    own = [
        message
        for message in everything.signed
        if (getattr(message, "aggregator", 0) == 2 and message.role is Role.AGGREGATOR)
        or (getattr(message, "client", 0) == 3 and not isinstance(message, kinds))
    ]
    unsigned = [message for message in everything.said if not isinstance(message, Signed)]
    said = list(everything.said)
    for message in data.draw(st.lists(st.sampled_from(own), min_size=1, max_size=6)):
        altered = _altered(data, everything, message)
        itself = {"aggregator": 2} if altered.role is Role.AGGREGATOR else {"client": 3}
        said.append(resigned(world, replace(altered, **itself)))
    touched = data.draw(st.lists(st.sampled_from(without(unsigned, Submission)), max_size=4))
    said += [_altered(data, everything, message) for message in touched]
    dropped = data.draw(st.sets(st.sampled_from(list(MESSAGE_TYPES.values())), max_size=3))
    record = without(said, *dropped) if dropped else said
    for fault in audit(world.manifest, data.draw(st.permutations(record))).faults:
        assert CORRUPT & set(fault.parties), str(fault)
        if fault.level is Level.PROVEN:
            assert set(fault.parties) <= CORRUPT, str(fault)


def _told(data: Any, own: Any, other: Any) -> Any:
    """What an honest aggregator gets of the corrupt one's two words."""
    return data.draw(st.sampled_from([own, other]))


@settings(max_examples=25)
@given(data=st.data())
def test_aggregators_that_were_told_different_things_are_never_proven_guilty(make_world: Any, data: Any) -> None:
    """The hub and aggregator 2 say two things at every step, to each honest aggregator another one."""
    world = make_world()
    world.run(to="vote")
    world.votes = {vote.aggregator: vote for vote in world.votes}
    said: list[Any] = [*set_up_of(world), *world.announcements, *world.submissions.values(), *world.votes.values()]
    fewer = resigned(world, world.votes[2], entries=world.votes[2].entries[data.draw(st.integers(0, 2)) :])
    said.append(fewer)
    words: dict[int, Any] = {}
    for s in (1, 2, 3):
        votes = [world.votes[1], _told(data, world.votes[2], fewer), world.votes[3]]
        try:
            step = world.aggregators[s].commit(world.aggregator_memories[s], world.states[s], votes, bytes([s]) * 32)
        except AbortError:
            continue
        world.states[s], world.aggregator_memories[s] = step.state, step.memory
        words[s] = step.message
    said += words.values()
    if len(words) == 3:
        said += _two_commitments(data, world, words)
    kept = data.draw(st.sets(st.integers(0, len(said) - 1)))
    for record in (said, [message for index, message in enumerate(said) if index in kept]):
        for fault in audit(world.manifest, record).faults:
            assert {"aggregator 2", "hub"} & set(fault.parties), str(fault)
            if fault.level is Level.PROVEN:
                assert set(fault.parties) <= {"aggregator 2", "hub"}, str(fault)


def _two_commitments(data: Any, world: Any, words: dict[int, Any]) -> list[Any]:
    """COMMIT and OPEN go on where the honest aggregators let them; all that was said."""
    other = resigned(
        world, words[2], rho=words[1].rho, commitment=data.draw(st.sampled_from([OTHER, words[1].commitment]))
    )
    sums = [HubCommitment(world.sid, bytes([number]) * 32) for number in (1, 2)]
    said: list[Any] = [other, *sums]
    agreed = {}
    for s in (1, 2, 3):
        seen = [words[1], _told(data, words[2], other) if s != 2 else words[2], words[3]]
        try:
            step = world.aggregators[s].agree(world.aggregator_memories[s], world.states[s], seen, _told(data, *sums))
        except AbortError:
            continue
        agreed[s], world.states[s], world.aggregator_memories[s] = step.message, step.state, step.memory
    said += agreed.values()
    if 1 not in agreed or 3 not in agreed:
        return said
    to_each = {s: resigned(world, Agreement(world.sid, 2, OTHER), transcript=agreed[s].transcript) for s in (1, 3)}
    said += to_each.values()
    for s in (1, 3):
        try:
            step = world.aggregators[s].open(
                world.aggregator_memories[s], world.states[s], [agreed[1], to_each[s], agreed[3]]
            )
        except AbortError:
            continue
        said.append(step.message)
    return said


# Reading and printing


def test_every_message_of_the_protocol_can_be_read_from_a_record(make: Any) -> None:
    case = make()
    for message in [*case.said, *as_receipts(case.said)]:
        kind = type(message).__name__
        assert read_message(kind, message.to_bytes(), case.world.manifest).to_bytes() == message.to_bytes()
    missing = {kind.__name__ for kind in _subclasses(Message)} - {"Signed"} - set(MESSAGE_TYPES)
    assert missing == set()
    with pytest.raises(MalformedError, match="no message of the protocol"):
        read_message("Gossip", b"", case.world.manifest)


def _subclasses(kind: type) -> set[type]:
    return {sub for direct in kind.__subclasses__() for sub in {direct, *_subclasses(direct)}}


def test_findings_read_as_sentences() -> None:
    finding = Finding(Level.INCONSISTENT, "step 3", "signed different T", ("hub", *ALL, "client 2", "client 5"))
    assert str(finding) == "INCONSISTENT (step 3) hub, aggregators 1-3, clients 2, 5: signed different T"
    assert joined(()) == ""


def test_an_empty_record_has_no_sessions(make: Any) -> None:
    assert audit(make().world.manifest, []) == Audit((), (), 0, 0)
