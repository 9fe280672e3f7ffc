"""Complaints and abort notices: told, with what the record shows of their reason, and held against nobody."""

from __future__ import annotations

from typing import Any

import pytest

from audit_records import OTHER, faults, forged, preimage, without
from privateyes.aggregation.audit import audit
from privateyes.aggregation.audit.findings import RECORDER, Level, Outcome
from privateyes.aggregation.messages import Delivery, ResultSignature, Submission
from privateyes.aggregation.result import Check


@pytest.mark.parametrize("check", [*Check, 99])
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
    base = [*case.world.offers, *case.world.announcements]
    missing = audit(case.world.manifest, [*base, complaint]).sessions[0].findings
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
        altered = preimage(world, **change)
        found = audit(world.manifest, [*base, altered, complaint])
        assert {fault.parties for fault in found.faults} == {("hub", RECORDER)}  # who wrote that delivery down
        assert any("The delivery in the record has that fault" in finding.what for finding in found.everything)
        both = audit(world.manifest, [*case.said, altered, complaint])
        assert not any("The delivery in the record has that fault" in finding.what for finding in both.everything)


def _shows(world: Any, messages: list[Any], check: int, client: int = 2) -> bool:
    """Whether the record is said to have the fault that a client complains of."""
    found = audit(world.manifest, [*messages, world.clients[client].complain(world.sid, check)])
    return any("The delivery in the record has that fault" in finding.what for finding in found.everything)


def test_what_the_record_lacks_shows_no_fault(make: Any) -> None:
    case = make()
    world = case.world
    base = without(case.said, Delivery)
    no_header = [m for m in base if not (isinstance(m, Submission) and m.header.client == 2)]
    other_key = preimage(world, group_check=OTHER)
    assert _shows(world, [*base, other_key], 2)
    assert not _shows(world, [*no_header, other_key], 2)
    listed = preimage(world, roster=tuple((client, OTHER if client == 2 else value) for client, value in world.entries))
    assert _shows(world, [*base, listed], 3)
    assert not _shows(world, [*no_header, listed], 3)
    # Two deliveries, both with a legal roster; the client is not in one of them, or in neither.
    unlisted = preimage(world, roster=tuple(entry for entry in world.entries if entry[0] != 2))
    assert not _shows(world, [*base, unlisted], 3)
    assert not _shows(world, [*base, listed, unlisted], 3)


def test_a_fault_at_one_check_does_not_show_one_at_another(make: Any) -> None:
    case = make()
    base = without(case.said, Delivery)
    illegal = preimage(case.world, roster=case.world.entries[:1])
    assert [check for check in Check if _shows(case.world, [*base, illegal], check)] == [Check.ROSTER]


def test_an_illegal_roster_shows_the_fault_to_every_client(make: Any) -> None:
    case = make()
    world = case.world
    illegal = preimage(world, roster=world.entries[:1])
    found = audit(world.manifest, [*without(case.said, Delivery), illegal, world.clients[3].complain(world.sid, 3)])
    assert any("The delivery in the record has that fault" in finding.what for finding in found.everything)


@pytest.mark.parametrize("check", [5, 6, 7, 8])
def test_a_public_complaint_that_the_record_does_not_bear_out_says_so_and_calls_it_not_false(
    make: Any, check: int
) -> None:
    """A public task has no clips but the manifest's: what passes here passes at every client."""
    case = make(mode="public")
    world = case.world
    disclosure = world.clients[1].disclose(world.client_memories[1], world.delivery)
    found = audit(world.manifest, [*case.said, disclosure, world.clients[2].complain(world.sid, check)])
    assert found.faults == ()
    (told,) = [finding for finding in found.everything if finding.level is Level.REFUSED]
    assert told.what.endswith("passes: the client was sent another one, or complains without reason")
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
    assert (fake.sessions[0].outcome, len(fake.faults)) == (Outcome.CERTIFIED, 3)
    aborted = audit(world.manifest, [*without(case.said, ResultSignature, Delivery), *complaints])
    assert (aborted.sessions[0].outcome, aborted.is_consistent) == (Outcome.ABORTED, True)


def test_an_abort_notice_says_at_which_step_and_proves_nothing(make_world: Any) -> None:
    world = make_world()
    world.run(to="commit")
    notices = world.give_up()
    found = audit(world.manifest, [*world.offers, *world.announcements, *notices])
    assert found.faults == ()
    told = [finding.what for finding in found.sessions[0].findings if finding.level is Level.REFUSED]
    assert len(told) == 3
    assert "says that it gave the session up at step 3; alone this proves nothing about anyone" in told[0]
    assert faults(world, [*world.offers, *world.announcements, forged(world, notices[0])]) != ()
