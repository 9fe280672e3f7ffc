"""What a record proves about the sum."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any
from unittest import mock

import pytest

from audit_records import (
    ALL,
    OTHER,
    against_parties,
    as_receipts,
    faults,
    forged,
    named,
    preimage,
    record_of,
    resigned,
    result_of,
    set_up_of,
    without,
)
from privateyes.aggregation.audit import audit, results
from privateyes.aggregation.audit.evidence import delivered_result, delivered_transcript
from privateyes.aggregation.audit.findings import HUB, Level
from privateyes.aggregation.messages import (
    Agreement,
    Delivery,
    DeliveryReceipt,
    Disclosure,
    HubCommitment,
    HubSum,
    ResultSignature,
)
from privateyes.crypto.commitment import commit_to_sum


def test_different_results_name_the_pair(make: Any) -> None:
    case = make()
    world = case.world
    base = [*without(as_receipts(world, case.said), ResultSignature, DeliveryReceipt), world.results[0]]
    found = named(world, [*base, resigned(world, world.results[1], result=OTHER)])
    assert list(found) == [(Level.INCONSISTENT, ("aggregator 1", "aggregator 2"))]
    assert named(world, [*base, forged(world, replace(world.results[1], result=OTHER))]) == {}


def with_wrong_sum(make_world: Callable[..., Any], mode: str) -> Any:
    """A hub that commits to another sum than it received; everybody else is honest."""
    world = make_world(mode=mode)
    world.run(to="commit")
    world.total = HubSum(world.sid, world.shifted(world.total.share, {0: 1}))
    world.hub_commitment = HubCommitment(
        world.sid, commit_to_sum(world.sid, world.total.share, world.manifest.bulk_hash)
    )
    for step in ("agree", "open", "certify", "deliver"):
        getattr(world, step)()
    return world


def test_a_hub_whose_sum_is_not_the_shares_sum_is_named(make_world: Any) -> None:
    world = with_wrong_sum(make_world, "sealed")
    record = [*set_up_of(world), *record_of(world)]
    found = named(world, record)
    assert list(found) == [(Level.SUSPECTED, (HUB,))]
    assert "or its word was altered on the way" in found[Level.SUSPECTED, (HUB,)][0]
    assert faults(world, as_receipts(world, record)) == ()  # without the shares nobody can tell
    fewer = without(record, Agreement, of=2)
    assert faults(world, fewer) == ()  # nor without every aggregator's signature on T


def test_a_forged_sum_or_share_in_the_record_accuses_no_party(make: Any) -> None:
    case = make()
    world = case.world
    share = world.shifted(world.total.share, {0: 1})
    submission = replace(world.submissions[3], share=world.shifted(world.submissions[3].share, {0: 1}))
    delivery = replace(world.delivery, share=share)
    extra = [HubSum(world.sid, share), HubCommitment(world.sid, OTHER), submission, delivery]
    for order in ([*case.said, *extra], [*extra, *case.said]):
        found = audit(world.manifest, order)
        assert {fault.level for fault in found.faults} == {Level.SUSPECTED}
        assert against_parties(world, order) == ()
        assert any("every client refuses at check 4" in finding.what for finding in found.everything)
        assert any("Submission in the name of client 3" in finding.what for finding in found.everything)
        assert any("the hub's sum is the sum of the roster's shares" in f.what for f in found.everything)


def test_a_public_sum_without_its_tags_is_proven_wrong_and_names_all_who_could(make_world: Any) -> None:
    world = with_wrong_sum(make_world, "public")
    disclosure = world.clients[1].disclose(world.client_memories[1], world.delivery)
    receipts = without(as_receipts(world, [*set_up_of(world), *record_of(world)]), DeliveryReceipt)
    complaint = world.clients[2].complain(world.sid, 5)
    found = audit(world.manifest, [*receipts, world.delivery, disclosure, complaint])
    (fault,) = found.faults
    assert (fault.level, fault.parties) == (
        Level.INCONSISTENT,
        ("hub", *ALL, "client 1", "client 2", "client 3", "client 4"),
    )
    assert "the signed sum is wrong, as anyone can check" in fault.what
    assert any("The delivery in the record has that fault" in f.what for f in found.everything)
    assert not any("the sum was not checked here" in f.what for f in found.everything)
    other = world.clients[2].complain(world.sid, 6)
    found = audit(world.manifest, [*receipts, world.delivery, disclosure, other])
    assert not any("The delivery in the record has that fault" in f.what for f in found.everything)
    # Without the disclosure, or with a forged one, nobody can tell.
    assert named(world, [*receipts, world.delivery, forged(world, disclosure)]) == {}


def test_a_published_key_that_the_roster_did_not_use_names_publisher_and_roster(make_world: Any) -> None:
    """Client 4 did not submit, so no header of its own tells which key it holds."""
    world = make_world(mode="public")
    world.run(1, 2, 3)
    record = without(as_receipts(world, [*set_up_of(world), *record_of(world)]), DeliveryReceipt)
    record.append(world.delivery)
    wrong = resigned(world, Disclosure(world.sid, 4, result_of(world), OTHER))
    assert list(named(world, [*record, wrong])) == [
        (Level.INCONSISTENT, ("client 1", "client 2", "client 3", "client 4"))
    ]
    assert named(world, [*record, forged(world, wrong)]) == {}
    right = world.clients[4].disclose(world.client_memories[4], world.delivery)
    assert faults(world, [*record, right]) == ()


def test_a_key_of_another_group_in_a_clients_name_does_not_hide_what_the_right_one_shows(make_world: Any) -> None:
    world = with_wrong_sum(make_world, "public")
    right = world.clients[2].disclose(world.client_memories[2], world.delivery)
    wrong = resigned(world, replace(right, client=1), session_key=OTHER)
    complaint = world.clients[4].complain(world.sid, 5)
    for order in ([wrong, right], [right, wrong]):
        found = audit(world.manifest, [*set_up_of(world), *record_of(world), *order, complaint])
        assert any("The delivery in the record has that fault" in finding.what for finding in found.everything)


def test_every_published_key_that_does_not_fit_is_named_beside_one_that_does(make: Any) -> None:
    case = make(mode="public")
    world = case.world
    right = world.clients[2].disclose(world.client_memories[2], world.delivery)
    for liar in (1, 3):
        wrong = resigned(world, replace(right, client=liar), session_key=OTHER)
        for order in ([wrong, right], [right, wrong]):
            everyone = ("client 1", "client 2", "client 3", "client 4")
            assert (Level.INCONSISTENT, everyone) in named(world, [*case.said, *order])


def test_of_published_keys_that_do_not_fit_five_are_told(make_world: Any) -> None:
    world = make_world(n=2, m=10, mode="public")
    world.run(1, 2, 3)
    result = result_of(world)
    wrong = [resigned(world, Disclosure(world.sid, client, result, bytes([client]) * 32)) for client in range(4, 11)]
    found = faults(world, [*set_up_of(world), *record_of(world), *wrong])
    assert len([fault for fault in found if fault.what.startswith("the published session key")]) == 5


def test_a_published_key_is_held_against_no_roster_of_which_headers_are_missing(make_world: Any) -> None:
    world = make_world(mode="public")
    world.run(1, 2, 3)
    record = without([*set_up_of(world), *record_of(world)], DeliveryReceipt)
    wrong = resigned(world, Disclosure(world.sid, 4, result_of(world), OTHER))
    fewer = [message for message in record if message is not world.submissions[2]]
    assert not [fault for fault in faults(world, [*fewer, wrong]) if "client 1" in fault.parties]


def test_without_one_aggregators_agreement_the_others_results_are_still_added_up(make: Any) -> None:
    case = make()
    world = case.world
    base = without(without(case.said, ResultSignature, Delivery), Agreement, of=1)
    wrong = [resigned(world, word, result=OTHER) for word in world.results]
    found = named(world, [*base, *wrong])
    for number in (2, 3):
        assert found[Level.PROVEN, (f"aggregator {number}",)] == [
            "signed a result that is not the sum of what its T holds"
        ]
    assert (Level.PROVEN, ("aggregator 1",)) not in found


def test_each_that_signed_a_result_under_another_transcript_is_named_for_that_once(make: Any) -> None:
    case = make()
    world = case.world
    other = preimage(world, commitments=(OTHER, *world.delivery.commitments[1:]))
    wrong = [resigned(world, word, result=delivered_result(other)) for word in world.results]
    found = named(world, [*without(case.said, ResultSignature, Delivery), other, *wrong])
    for number in (1, 2, 3):
        assert found[Level.PROVEN, (f"aggregator {number}",)] == ["signed a result under another T than its own"]


@pytest.mark.parametrize("count", [0, 1, 3, 5])
@pytest.mark.parametrize("signers", [(1,), (1, 2, 3)], ids=["one signer", "all"])
def test_a_transcript_of_another_number_of_commitments_stops_no_check(make: Any, count: int, signers: Any) -> None:
    case = make()
    world = case.world
    cut = preimage(world, commitments=(*world.delivery.commitments, OTHER)[:count])
    said = case.said
    for number in signers:
        agreement = resigned(world, world.agreements[number - 1], transcript=delivered_transcript(cut)[0])
        result = resigned(world, world.results[number - 1], result=OTHER)
        said = [*without(said, Agreement, ResultSignature, of=number), agreement, result]
    found = named(world, [*without(said, Delivery), cut])
    assert ((Level.INCONSISTENT, ("aggregator 1", "aggregator 2")) in found) is (signers == (1,))


def _with_header_of_client_3(case: Any, header: Any) -> list[Any]:
    """The record, had every aggregator signed a roster with this header, and client 2 then published K_sid."""
    world = case.world
    roster = tuple((client, header.hash() if client == 3 else value) for client, value in world.delivery.roster)
    receipt = preimage(world, roster=roster)
    signed = [resigned(world, word, result=delivered_result(receipt)) for word in world.results]
    delivery = replace(world.delivery, roster=roster, results=tuple(word.signature for word in signed))
    right = world.clients[2].disclose(world.client_memories[2], world.delivery)
    published = resigned(world, right, result=delivered_result(receipt))
    base = without(case.said, ResultSignature, Delivery)
    return [*base, replace(world.submissions[3], header=header), *signed, delivery, published]


@pytest.mark.parametrize(
    ("make_header", "changes"),
    [
        (forged, {"nonce": OTHER}),
        (forged, {"session_key_hash": OTHER}),
        (resigned, {"group_check": OTHER, "session_key_hash": OTHER}),
    ],
    ids=["forged", "forged, another key", "under another group key"],
)
def test_a_header_that_no_honest_aggregator_takes_stops_no_check_and_is_held_against_no_client(
    make: Any, make_header: Any, changes: Any
) -> None:
    """Every aggregator is corrupt. Nothing is promised then, but that honest clients are not named for it."""
    case = make(mode="public")
    world = case.world
    changed = replace(world.submissions[3].header, **changes)
    found = named(world, _with_header_of_client_3(case, make_header(world, changed)))
    for number in (1, 2, 3):
        assert (Level.PROVEN, (f"aggregator {number}",)) in found
    assert (Level.INCONSISTENT, ("client 2", "client 3")) not in found


def test_a_key_that_fits_not_one_header_of_the_roster_is_held_against_those_that_name_another(make: Any) -> None:
    case = make(mode="public")
    header = resigned(case.world, case.world.submissions[3].header, session_key_hash=OTHER)
    found = named(case.world, _with_header_of_client_3(case, header))
    assert (Level.INCONSISTENT, ("client 2", "client 3")) in found


def test_however_many_clients_publish_the_key_the_sum_is_checked_once(make: Any) -> None:
    case = make(mode="public")
    world = case.world
    disclosures = [world.clients[i].disclose(world.client_memories[i], world.delivery) for i in world.clients]
    complaints = [world.clients[i].complain(world.sid, check) for i in world.clients for check in range(1, 9)]
    with mock.patch.object(results, "verify_disclosed", wraps=results.verify_disclosed) as checked:
        found = audit(world.manifest, [*case.said, *disclosures, *complaints])
    assert checked.call_count == 1
    assert found.sessions[0].total_weight == world.ideal().total_weight
    assert isinstance(world.delivery, Delivery)
