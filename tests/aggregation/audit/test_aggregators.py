"""What a record proves about aggregators. Culprits sign with their own keys here, forgeries are signed with others'."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from audit_records import (
    ALL,
    OTHER,
    RecordedWorld,
    as_receipts,
    faults,
    forged,
    named,
    preimage,
    record_of,
    resigned,
    set_up_of,
    without,
)
from privateyes.aggregation.audit import audit
from privateyes.aggregation.audit.findings import RECORDER, Level
from privateyes.aggregation.messages import (
    OPENED,
    VOID,
    Abort,
    Agreement,
    Closing,
    Delivery,
    DeliveryReceipt,
    Message,
    Opening,
    OpeningReceipt,
    ResultSignature,
    RosterCommitment,
    Submission,
    Vote,
)
from privateyes.aggregation.roster import result_digest, roster_digest, transcript_digest


def _second_vote(world: Any) -> list[Any]:
    return [resigned(world, world.votes[1], entries=world.votes[1].entries[:-1])]


def _second_commitment(world: Any) -> list[Any]:
    return [resigned(world, world.commitments[1], commitment=OTHER)]


def _second_rho(world: Any) -> list[Any]:
    return [resigned(world, world.commitments[1], rho=OTHER)]


def _second_transcript(world: Any) -> list[Any]:
    return [resigned(world, world.agreements[1], transcript=OTHER)]


def _opening_receipt(world: Any) -> OpeningReceipt:
    receipt: OpeningReceipt = world.openings[1].receipt(world.manifest.bulk_hash)
    return receipt


def _second_opening(world: Any) -> list[Any]:
    return [resigned(world, _opening_receipt(world), salt=OTHER)]


def _second_result(world: Any) -> list[Any]:
    return [resigned(world, world.results[1], result=OTHER)]


def _closing(world: Any, *outcomes: int) -> list[Any]:
    return [resigned(world, Closing(world.sid, 2, outcome)) for outcome in outcomes]


def _given_up(world: Any, *steps: int) -> list[Any]:
    return [resigned(world, Abort(world.sid, 2, step)) for step in steps]


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
    "no such ending beside one": (lambda world: _closing(world, OPENED, 7), "neither opened nor void"),
    "given up and opened": (lambda world: _given_up(world, 4), "gave the session up, and signed its opening and"),
    "given up twice": (lambda world: _given_up(world, 2, 3), "signed 2 different abort notices"),
    "two announcements": (_second_announcement, "(epoch 1) from 2 different states"),
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
def test_a_forged_accusation_of_an_aggregator_is_held_against_whoever_wrote_it(
    make: Any, accuse: Any, text: str
) -> None:
    case = make()
    found = audit(case.world.manifest, [*case.said, *(forged(case.world, message) for message in accuse(case.world))])
    assert {(fault.level, fault.parties) for fault in found.faults} == {(Level.SUSPECTED, (RECORDER,))}
    aside = [finding.what for finding in found.faults]
    assert any("in the name of aggregator 2" in what and "proves nothing" in what for what in aside)


def _illegal_size(case: Any) -> tuple[list[Message], list[Any]]:
    world, entries = case.world, case.world.entries[:1]
    rho = roster_digest(world.sid, world.delivery.group_check, entries)
    base = [*without(case.said, RosterCommitment, of=2), preimage(world, roster=entries)]
    return base, [resigned(world, world.commitments[1], rho=rho)]


def _not_voted_for(case: Any) -> tuple[list[Message], list[Any]]:
    world = case.world
    return without(case.said, Vote, of=2), [resigned(world, world.votes[1], entries=world.votes[1].entries[1:])]


def _other_group_key(case: Any) -> tuple[list[Message], list[Any]]:
    world = case.world
    rho = roster_digest(world.sid, OTHER, world.entries)
    base = [*without(case.said, RosterCommitment, of=2), preimage(world, group_check=OTHER)]
    return base, [resigned(world, world.commitments[1], rho=rho)]


def _roster_with(case: Any, **changes: Any) -> tuple[list[Message], list[Any]]:
    """A roster in which client 4 has another header, which it signed."""
    world = case.world
    foreign = resigned(world, world.submissions[4].header, **changes)
    entries = (*world.entries[:3], (4, foreign.hash()))
    rho = roster_digest(world.sid, world.delivery.group_check, entries)
    base = without(case.said, RosterCommitment, Vote, of=2)
    base = [message for message in base if not (isinstance(message, Submission) and message.header.client == 4)]
    accusing = [resigned(world, world.commitments[1], rho=rho)]
    return [*base, foreign, preimage(world, roster=entries)], accusing


def _two_group_keys(case: Any) -> tuple[list[Message], list[Any]]:
    return _roster_with(case, group_check=OTHER)


def _mixed_origins(case: Any) -> tuple[list[Message], list[Any]]:
    return _roster_with(case, origin=OTHER)


def _unsigned_header(case: Any) -> tuple[list[Message], list[Any]]:
    world = case.world
    made_up = forged(world, replace(world.submissions[4].header, nonce=OTHER))
    entries = (*world.entries[:3], (4, made_up.hash()))
    return [*without(case.said, Vote, of=2), made_up], [resigned(world, world.votes[1], entries=entries)]


def _roster_with_a_forged_header(case: Any) -> tuple[list[Message], list[Any]]:
    world = case.world
    made_up = forged(world, replace(world.submissions[4].header, nonce=OTHER))
    entries = (*world.entries[:3], (4, made_up.hash()))
    rho = roster_digest(world.sid, world.delivery.group_check, entries)
    base = [*without(case.said, RosterCommitment, Vote, of=2), made_up, preimage(world, roster=entries)]
    return base, [resigned(world, world.commitments[1], rho=rho)]


def _swapped_header(case: Any) -> tuple[list[Message], list[Any]]:
    world = case.world
    entries = (*world.entries[:3], (4, world.entries[2][1]))
    return without(case.said, Vote, of=2), [resigned(world, world.votes[1], entries=entries)]


def _other_commitment_under_t(case: Any) -> tuple[list[Message], list[Any]]:
    world = case.world
    base = without(case.said, RosterCommitment, Opening, of=2)
    return base, [resigned(world, world.commitments[1], commitment=OTHER)]


def _t_over(case: Any, digests: tuple[bytes, ...]) -> tuple[list[Message], list[Any]]:
    world = case.world
    transcript = transcript_digest(world.sid, world.commitments[0].rho, digests)
    base = [*without(case.said, Agreement, of=2), preimage(world, commitments=digests)]
    return base, [resigned(world, world.agreements[1], transcript=transcript)]


def _equal_commitments(case: Any) -> tuple[list[Message], list[Any]]:
    one, two, three, _ = case.world.delivery.commitments
    return _t_over(case, (one, two, three, three))


def _too_few_commitments(case: Any) -> tuple[list[Message], list[Any]]:
    return _t_over(case, case.world.delivery.commitments[:2])


def _no_commitments(case: Any) -> tuple[list[Message], list[Any]]:
    return _t_over(case, ())


def _wrong_sum(case: Any) -> tuple[list[Message], list[Any]]:
    world = case.world
    return without(case.said, ResultSignature, Delivery, of=2), [resigned(world, world.results[1], result=OTHER)]


def _result_of_another_t(case: Any) -> tuple[list[Message], list[Any]]:
    world = case.world
    other = preimage(world, commitments=(OTHER, *world.delivery.commitments[1:]))
    transcript = transcript_digest(world.sid, world.commitments[0].rho, other.commitments)
    result = result_digest(world.sid, transcript, other.share_root, len(other.roster))
    base = [*without(case.said, ResultSignature, Delivery, of=2), other]
    return base, [resigned(world, world.results[1], result=result)]


def _unfit_under_t(case: Any) -> tuple[list[Message], list[Any]]:
    world = case.world
    base = without(case.said, RosterCommitment, Opening, of=2)
    return base, [resigned(world, _opening_receipt(world), salt=OTHER)]


PINNED = {
    "a roster of one": (_illegal_size, "of 1 client, outside 2..4"),
    "a roster with a header it did not vote for": (_not_voted_for, "with a header that it did not vote for"),
    "another group key": (_other_group_key, "under another group key than its clients'"),
    "two group keys": (_two_group_keys, "whose clients hold different group keys"),
    "a roster of fresh and repeated updates": (_mixed_origins, "mixes fresh updates with updates that are sent again"),
    "a vote for a forged header": (_unsigned_header, "voted for a header in client 4's name that client 4 did not"),
    "a roster with a forged header": (_roster_with_a_forged_header, "signed a roster with a header in client 4's name"),
    "a vote for another's header": (_swapped_header, "voted for a header of client 3 in place of client 4's"),
    "another commitment than under its T": (_other_commitment_under_t, "signed a T that holds another roster or"),
    "a T with equal commitments": (_equal_commitments, "signed a T with two equal commitments"),
    "a T with too few": (_too_few_commitments, "signed a T over a wrong number of commitments"),
    "a T with none": (_no_commitments, "signed a T over a wrong number of commitments"),
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


def _told(world: Any, messages: list[Message], level: Level, step: str) -> list[tuple[str, tuple[str, ...]]]:
    """What is said at one level about one step, in order."""
    found = audit(world.manifest, messages)
    return [(said.what, said.parties) for said in found.everything if (said.level, said.step) == (level, step)]


def test_every_fault_of_a_vote_is_told_by_client_and_five_at_most(make: Any) -> None:
    case = make()
    world, own = case.world, ("aggregator 2",)
    short = resigned(world, world.submissions[2].header, sealed_hashes=world.submissions[2].header.sealed_hashes[:1])
    made_up = forged(world, replace(world.submissions[4].header, nonce=OTHER))
    first, third = world.entries[0][1], world.entries[2][1]
    entries = ((0, first), (1, OTHER), (2, short.hash()), (3, first), (4, made_up.hash()), (98, third), (99, third))
    vote = resigned(world, world.votes[1], entries=entries)
    told = [
        "voted for client 0, which is not in the manifest",
        "voted for a header in client 2's name with a wrong number of stream keys",
        "voted for a header of client 1 in place of client 3's",
        "voted for a header in client 4's name that client 4 did not sign",
        "voted for client 98, which is not in the manifest",
    ]
    record = [*without(case.said, Vote, of=2), short, made_up, vote]
    assert _told(world, record, Level.PROVEN, "step 2")[:5] == [(what, own) for what in told]
    assert not [what for what, _ in _told(world, record, Level.PROVEN, "step 2") if "client 99" in what]


def test_a_roster_that_nobody_knows_hides_no_illegal_one_of_the_same_signer(make: Any) -> None:
    case = make()
    base, (illegal,) = _illegal_size(case)
    unknown = resigned(case.world, illegal, rho=OTHER)
    for both in ([illegal, unknown], [unknown, illegal]):
        (told,) = _told(case.world, [*base, *both], Level.PROVEN, "step 2")
        assert told == ("signed a roster of 1 client, outside 2..4", ("aggregator 2",))


# How a session ended


def test_a_voided_session_with_anothers_result_names_two(make: Any) -> None:
    case = make()
    world = case.world
    base = [*without(case.said, ResultSignature, Opening, Delivery), world.results[0]]
    for accuse in (_closing(world, VOID), _given_up(world, 4)):
        assert list(named(world, [*base, *accuse])) == [(Level.INCONSISTENT, ("aggregator 1", "aggregator 2"))]
        assert named(world, [*base, *(forged(world, message) for message in accuse)]) == {}


def test_who_is_proven_to_have_broken_its_word_makes_nobody_else_suspect(make: Any) -> None:
    """The others' results stand beside its VOID, and it signed one too."""
    case = make()
    for accuse in (_closing(case.world, VOID), _given_up(case.world, 4)):
        assert list(named(case.world, [*case.said, *accuse])) == [(Level.PROVEN, ("aggregator 2",))]


def test_given_up_and_said_to_be_opened_is_proven_without_an_opening(make: Any) -> None:
    case = make()
    world = case.world
    base = without(case.said, ResultSignature, Opening, Delivery)
    found = named(world, [*base, *_given_up(world, 4), *_closing(world, OPENED)])
    assert list(found) == [(Level.PROVEN, ("aggregator 2",))]
    assert "gave the session up, and signed that it was opened" in found[Level.PROVEN, ("aggregator 2",)]


def test_everybody_who_broke_its_word_on_the_end_is_told_in_order(make: Any) -> None:
    case = make()
    world = case.world
    void = resigned(world, Closing(world.sid, 3, VOID))
    others = "and signed its opening and its result"
    assert _told(world, [*case.said, void, *_given_up(world, 4)], Level.PROVEN, "step 0") == [
        (f"gave the session up, {others}", ("aggregator 2",)),
        (f"declared the session void, {others}", ("aggregator 3",)),
    ]


def test_an_ending_that_does_not_exist_says_nothing_about_an_opening(make: Any) -> None:
    case = make()
    world = case.world
    record = [*without(case.said, ResultSignature, Opening, Delivery), *_given_up(world, 4), *_closing(world, 7)]
    told = _told(world, record, Level.PROVEN, "step 0")
    assert told == [("signed an ending that is neither opened nor void", ("aggregator 2",))]


def test_an_aggregator_that_lost_its_store_is_set_up_anew_under_the_same_label_and_named_by_nobody(
    make_world: Any,
) -> None:
    """All that it said is said again, in a set-up of its own: keyed by the label, these would be second words."""
    world = RecordedWorld()
    world.run(to="commit")
    world.keep()
    first = {(message.aggregator, message.round): message.state_id for message in world.announcements}
    del world.aggregator_memories[2]
    world.epoch, world.ledgers = 0, {client: [] for client in world.clients}
    world.set_up()
    world.run()
    world.keep()
    again = {(message.aggregator, message.round): message.state_id for message in world.announcements}
    assert first.keys() == again.keys()
    assert first[2, 0] != again[2, 0]
    found = audit(world.manifest, world.said)
    assert found.faults == ()
    assert {session.epoch for session in found.sessions} == {1}
    assert len({session.setup for session in found.sessions}) == 2


# Rosters


def test_a_roster_that_the_votes_do_not_give_names_all_aggregators(make: Any) -> None:
    """The record shows another vote of aggregator 3 than the one that the others answered."""
    case = make()
    world = case.world
    other = resigned(world, world.votes[2], entries=world.votes[2].entries[1:])
    base = without(case.said, Vote, Delivery, Agreement, Opening, ResultSignature, RosterCommitment)
    record = [*base, *world.votes[:2], other, *world.commitments[:2]]
    assert list(named(world, record)) == [(Level.INCONSISTENT, ALL)]
    assert named(world, [*base, *world.votes[:2], forged(world, other), *world.commitments[:2]]) == {}


def test_honest_aggregators_that_were_shown_different_votes_are_not_proven_guilty(make_world: Any) -> None:
    world = make_world()
    world.run(to="vote")
    smaller = resigned(world, world.votes[2], entries=world.votes[2].entries[1:])
    world.commit({2: [*world.votes[:2], smaller]})
    shown = [message for message in record_of(world) if not isinstance(message, RosterCommitment)]
    record = [*set_up_of(world), *shown, *world.commitments[:2]]
    assert list(named(world, record)) == [(Level.INCONSISTENT, ALL)]
    # With the second vote in the record the culprit is known, and is the only one that is named alone.
    found = named(world, [*record, smaller])
    assert {parties for level, parties in found if level is Level.PROVEN} == {("aggregator 3",)}


# Updates that are sent again


@pytest.fixture(scope="module")
def repeated() -> Any:
    """A session that was opened and whose result nobody took, and its updates sent again to the same clients."""
    world = RecordedWorld(corrupt_clients=0)
    world.run(1, 2, 3)
    world.keep()
    world.first = world.sid
    origin, commitments = world.origin, world.commitments
    world.announce()
    for client in (1, 2, 3):
        world.submit_again(client, origin, commitments)
    world.vote(origin=origin)
    world.commit(origin=origin)
    for step in ("agree", "open", "certify", "deliver"):
        getattr(world, step)()
    world.keep(origin)
    return world


def test_an_update_that_is_sent_again_to_its_roster_blames_nobody(repeated: Any) -> None:
    found = audit(repeated.manifest, repeated.said, whole=True)
    assert found.faults == ()
    assert [session.roster for session in found.sessions] == [(1, 2, 3), (1, 2, 3)]


def test_who_has_updates_sent_again_to_other_clients_is_proven_guilty(repeated: Any) -> None:
    """The others refuse; so the record is that of three corrupt aggregators, and of two if the first is left out."""
    world = repeated
    fewer = world.entries[:2]
    rho = roster_digest(world.sid, world.delivery.group_check, fewer)
    votes = [resigned(world, vote, entries=fewer) for vote in world.votes]
    commitments = [resigned(world, word, rho=rho) for word in world.commitments]
    base = [message for message in world.said if getattr(message, "sid", world.first) == world.first]
    headers = [world.submissions[client].header for client, _ in fewer]
    record = [*base, *world.announcements, *headers, *votes, *commitments]
    found = named(world, record)
    assert {parties for level, parties in found if level is Level.PROVEN} == {(name,) for name in ALL}
    assert all("sent again to other clients" in what for texts in found.values() for what in texts)
    forgeries = [forged(world, word) for word in commitments]
    assert named(world, [*base, *world.announcements, *headers, *votes, *forgeries]) == {}
    unknown = [message for message in record if not (isinstance(message, Vote) and message.sid == world.sid)]
    assert named(world, unknown) == {}  # without the votes nobody knows the roster
    first_missing = [message for message in record if getattr(message, "sid", b"") != world.first]
    assert named(world, first_missing) == {}  # nor that it is another one


class Elsewhere:
    """The repeated session again, in which aggregators sign other rosters than the first session's."""

    def __init__(self, repeated: Any) -> None:
        self.world = repeated
        first = repeated.first
        headers = [submission.header for submission in repeated.submissions.values()]
        self.base = [message for message in repeated.said if getattr(message, "sid", first) == first]
        self.base += [*repeated.announcements, *headers]
        self.entries = repeated.entries

    def roster(self, *entries: tuple[int, bytes], by: tuple[int, ...]) -> list[Any]:
        """The preimage of a roster, and commitments to it."""
        rho = roster_digest(self.world.sid, self.world.delivery.group_check, entries)
        signed = [resigned(self.world, self.world.commitments[s - 1], rho=rho) for s in by]
        return [preimage(self.world, roster=entries), *signed]

    def told(self, *messages: Message) -> list[tuple[str, ...]]:
        """Who had updates sent again to other clients."""
        told = _told(self.world, [*self.base, *messages], Level.PROVEN, "step 3")
        return [parties for what, parties in told if "sent again to other clients" in what]


def test_only_signers_of_both_rosters_are_proven_guilty_of_sending_updates_to_others(repeated: Any) -> None:
    elsewhere = Elsewhere(repeated)
    one, two, three = elsewhere.entries
    assert elsewhere.told(*elsewhere.roster(one, two, by=(1, 3))) == [("aggregator 1",), ("aggregator 3",)]
    # As many clients, and one of them another.
    others = elsewhere.roster(one, two, (4, three[1]), by=(2,))
    assert elsewhere.told(*others) == [("aggregator 2",)]
    # Who signed two rosters is named for that, and not for what either of them means.
    twice = [*elsewhere.roster(one, two, by=(2, 3)), *elsewhere.roster(two, three, by=(2,))]
    assert elsewhere.told(*twice) == [("aggregator 3",)]


def test_who_signed_a_first_roster_of_the_same_clients_does_not_hide_who_signed_another(repeated: Any) -> None:
    elsewhere = Elsewhere(repeated)
    one, two, _ = elsewhere.entries
    own = next(word for word in elsewhere.base if isinstance(word, RosterCommitment) and word.aggregator == 1)
    delivered = next(word for word in elsewhere.base if isinstance(word, DeliveryReceipt))
    smaller = replace(delivered, roster=delivered.roster[:2])
    rho = roster_digest(own.sid, smaller.group_check, smaller.roster)
    elsewhere.base = [*without(elsewhere.base, RosterCommitment, of=1), resigned(repeated, own, rho=rho), smaller]
    again = elsewhere.roster(one, two, by=(1, 2, 3))
    assert elsewhere.told(*again) == [("aggregator 2",), ("aggregator 3",)]


# Reading receipts


def test_receipts_prove_what_whole_messages_prove(make: Any) -> None:
    case = make()
    record = as_receipts(case.world, [*case.said, *_second_result(case.world)])
    assert (Level.PROVEN, ("aggregator 2",)) in named(case.world, record)
