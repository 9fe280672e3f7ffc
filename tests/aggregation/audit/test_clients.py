"""What a record proves about clients. Culprits sign with their own keys here, forgeries are signed with others'."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from audit_records import (
    ALL,
    OTHER,
    RecordedWorld,
    come_back,
    faults,
    forged,
    named,
    record_of,
    resigned,
    result_of,
    set_up_of,
    submit_as_another_life,
)
from privateyes.aggregation.audit import audit
from privateyes.aggregation.audit.findings import Level
from privateyes.aggregation.messages import (
    OPENED,
    VOID,
    Closing,
    Disclosure,
    Header,
    SealedGroupKey,
    SealedStreamKey,
    Submission,
)


def _second_header(world: Any) -> list[Any]:
    return [resigned(world, world.submissions[3].header, nonce=OTHER)]


def _short_header(world: Any) -> list[Any]:
    return [resigned(world, world.submissions[3].header, sealed_hashes=(OTHER,))]


def _other_session_key(world: Any) -> list[Any]:
    return [resigned(world, world.submissions[3].header, sealed_hashes=(OTHER,) * 3, session_key_hash=OTHER)]


def _disclosed(world: Any, *keys: bytes) -> list[Any]:
    return [resigned(world, Disclosure(world.sid, 3, result_of(world), key)) for key in keys]


def _right_key(world: Any) -> bytes:
    return bytes(world.group.session_key(world.sid))


CLIENT_ALONE = {
    "two headers": ("sealed", _second_header, "signed 2 different headers"),
    "too few stream keys": ("sealed", _short_header, "does not name one stream key for each aggregator"),
    "two session keys": ("sealed", _other_session_key, "named the same group key and different session keys"),
    "a sealed key published": ("sealed", lambda world: _disclosed(world, _right_key(world)), "key of a sealed task"),
    "two keys published": ("public", lambda world: _disclosed(world, _right_key(world), OTHER), "2 different keys"),
    "a wrong key published": ("public", lambda world: _disclosed(world, OTHER), "not the one its own header names"),
    "a leader's part": (
        "sealed",
        lambda world: [resigned(world, replace(world.group_keys[1], leader=3))],
        "without being its leader",
    ),
}


@pytest.mark.parametrize(("mode", "accuse", "text"), CLIENT_ALONE.values(), ids=CLIENT_ALONE.keys())
def test_a_client_is_proven_guilty_by_its_own_signatures(make: Any, mode: str, accuse: Any, text: str) -> None:
    case = make(mode=mode)
    found = named(case.world, [*case.said, *accuse(case.world)])
    assert any(text in what for what in found[Level.PROVEN, ("client 3",)])
    assert all("client 3" in parties for _, parties in found)
    assert named(case.world, [*case.said, *(forged(case.world, message) for message in accuse(case.world))]) == {}


@pytest.fixture(scope="module")
def two_sessions() -> SimpleNamespace:
    """Two finished rounds of one set-up."""
    world = RecordedWorld()
    world.accepted_round()
    nonce = world.submissions[3].header.nonce
    world.run()
    world.keep()
    return SimpleNamespace(world=world, said=world.said, nonce=nonce)


def _told(world: Any, messages: list[Any], level: Level, step: str) -> list[tuple[str, tuple[str, ...]]]:
    """What is said at one level about one step, in order."""
    found = audit(world.manifest, messages)
    return [(said.what, said.parties) for said in found.everything if (said.level, said.step) == (level, step)]


def test_two_headers_of_one_life_are_proof_whatever_another_life_signed(make: Any) -> None:
    case = make()
    third = resigned(case.world, case.world.submissions[3].header, sealed_hashes=(OTHER,) * 3)
    told = _told(case.world, [*case.said, *_second_header(case.world), third], Level.PROVEN, "step 1")
    assert told == [("signed 2 different headers for one session, with the same sealed keys", ("client 3",))]


def test_who_names_two_session_keys_is_told_by_client_and_alone_where_nobody_else_speaks(make_world: Any) -> None:
    world = make_world()
    world.run(to="submit")
    base = [*world.offers, *world.announcements]
    one, two, three = (world.submissions[client].header for client in (1, 2, 3))

    def with_key(header: Header, mark: int) -> Any:
        return resigned(world, header, session_key_hash=bytes([mark]) * 32, sealed_hashes=(bytes([mark]) * 32,) * 3)

    assert list(named(world, [*base, three, with_key(three, 7)])) == [(Level.PROVEN, ("client 3",))]
    several = [one, three, with_key(three, 7), with_key(two, 7), with_key(two, 8)]
    text = "named the same group key and different session keys"
    assert _told(world, [*base, *several], Level.PROVEN, "step 1") == [(text, ("client 2",)), (text, ("client 3",))]
    assert (Level.INCONSISTENT, ("client 1", "client 2", "client 3")) in named(world, [*base, *several])


def test_two_keys_for_one_result_are_proof_whatever_is_published_for_another(make: Any) -> None:
    case = make(mode="public")
    world = case.world
    other = resigned(world, Disclosure(world.sid, 3, OTHER, OTHER))
    told = _told(world, [*case.said, *_disclosed(world, _right_key(world), OTHER), other], Level.PROVEN, "step 5")
    assert ("published 2 different keys for one result", ("client 3",)) in told


def test_a_key_that_is_published_rightly_is_not_spoken_of(make: Any) -> None:
    """Neither beside the word that the session was opened, nor where the record lacks its client's header."""
    case = make(mode="public")
    world = case.world
    said = [*case.said, *_disclosed(world, _right_key(world)), resigned(world, Closing(world.sid, 2, OPENED))]
    fewer = [m for m in said if not (isinstance(m, Submission) and m.header.client == 3)]
    for record in (said, fewer):
        found = audit(world.manifest, record)
        assert found.faults == ()
        assert [said.what for said in found.everything if (said.level, said.step) == (Level.NOTED, "step 5")] == []


ACROSS = {
    "a nonce": (lambda case: {"nonce": case.nonce}, "used one nonce in 2 sessions"),
    "a group key": (lambda case: {"group_check": OTHER}, "used 2 group keys in set-up"),
}


@pytest.mark.parametrize(("change", "text"), ACROSS.values(), ids=ACROSS.keys())
def test_what_a_client_repeats_or_changes_across_sessions_is_proven(two_sessions: Any, change: Any, text: str) -> None:
    world = two_sessions.world
    own = world.submissions[3].header
    second = resigned(world, own, **change(two_sessions))
    base = [message for message in two_sessions.said if message != own]
    assert len(base) == len(two_sessions.said) - 1
    found = [fault for fault in faults(world, [*base, second]) if text in fault.what]
    assert [(fault.level, fault.parties) for fault in found] == [(Level.PROVEN, ("client 3",))]
    assert named(world, [*base, forged(world, second)]) == {}
    assert faults(world, two_sessions.said) == ()


def test_other_stream_keys_in_another_session_are_noted_only(two_sessions: Any) -> None:
    """A client that lost its store has others; and then its group key may be another one too."""
    world = two_sessions.world
    own = world.submissions[3].header
    second = resigned(world, own, sealed_hashes=(OTHER,) * 3, group_check=OTHER)
    found = audit(world.manifest, [message for message in two_sessions.said if message != own] + [second])
    assert "client 3" not in {name for fault in found.faults if fault.level is Level.PROVEN for name in fault.parties}
    noted = [finding.what for finding in found.findings if finding.level is Level.NOTED]
    assert any("named different stream keys in set-up" in what for what in noted)
    assert any("stand under 2 group keys" in what for what in noted)
    assert any("another stream key for aggregator 1 than the one that it sealed" in what for what in noted)


def test_what_spans_several_sessions_is_told_by_client() -> None:
    """Client 3's words are in earlier sessions of the record than client 2's."""
    world = RecordedWorld()
    headers = []
    for _ in range(3):
        world.accepted_round(2, 3, 4)
        headers.append({client: submission.header for client, submission in world.submissions.items()})
        sids = [header.sid for header in (own[3] for own in headers)]
    first, second, third = headers

    def again(header: Header, sid: bytes, **changes: Any) -> Any:
        return replace(header, **changes).signed_by(world.client_keys[header.client], sid)

    more = [again(second[3], sids[1], nonce=first[3].nonce), again(third[2], sids[2], nonce=second[2].nonce)]
    nonces = [told for told in _told(world, [*world.said, *more], Level.PROVEN, "step 1") if "nonce" in told[0]]
    assert nonces == [("used one nonce in 2 sessions", (f"client {client}",)) for client in (2, 3)]
    # Two group keys with the same sealed keys, one with others; in the first session client 2 is not heard.
    elsewhere = (OTHER,) * 3
    more = [again(first[3], sids[0], group_check=OTHER), again(first[3], sids[0], sealed_hashes=elsewhere)]
    more += [again(second[2], sids[1], group_check=OTHER), again(second[2], sids[1], sealed_hashes=elsewhere)]
    said = [message for message in world.said if message != first[2]]
    name = f"set-up {world.setup.hex()[:8]} (epoch 1)"
    assert _told(world, [*said, *more], Level.PROVEN, "set-up 4") == [
        (f"used 2 group keys in {name}, with the same sealed keys", (f"client {client}",)) for client in (2, 3)
    ]
    noted = _told(world, [*said, *more], Level.NOTED, "set-up 3")
    assert [(what.partition(" than ")[0].partition(" in ")[0], parties) for what, parties in noted] == [
        (text, (f"client {client}",))
        for client in (2, 3)
        for text in (
            "named different stream keys",
            *(f"its header names another stream key for aggregator {number}" for number in (1, 2, 3)),
        )
    ]


def test_a_nonce_in_two_set_ups_is_proven_too(make_world: Any) -> None:
    world = RecordedWorld()
    world.accepted_round()
    world.set_up()
    nonce = world.submissions[3].header.nonce
    world.run()
    world.keep(resigned(world, world.submissions[3].header, nonce=nonce, sealed_hashes=(OTHER,) * 3))
    assert (Level.PROVEN, ("client 3",)) in named(world, world.said)


def test_one_nonce_of_two_clients_accuses_nobody(make: Any) -> None:
    """Nonces are public, and anyone can copy an honest client's."""
    case = make()
    world = case.world
    theirs = world.submissions[1].header.nonce
    header = resigned(world, replace(world.submissions[3].header, nonce=theirs))
    base = [m for m in case.said if not (isinstance(m, Submission) and m.header.client == 3)]
    assert not [f for f in faults(world, [*base, header]) if "nonce" in f.what]


# Clients that lost their store


@pytest.fixture(scope="module")
def returned() -> Any:
    """Client 3 submits, loses its store, is started from nothing, and submits to the same session again."""
    world = RecordedWorld(mode="public")
    world.run(to="submit")
    world.first_header = world.submissions[3].header
    come_back(world, 3)
    world.second_header = submit_as_another_life(world, 3).header
    return world


def test_a_client_that_lost_its_store_and_came_back_is_not_proven_guilty(returned: Any) -> None:
    """It signed two headers of one session, two sets of stream keys, and the leader two group keys: nobody lied."""
    world = returned
    two = [world.first_header, world.second_header]
    assert two[0].sid == two[1].sid
    assert two[0] != two[1]
    assert two[0].group_check != two[1].group_check
    record = [*set_up_of(world), *world.came_back, *record_of(world), two[1]]
    found = audit(world.manifest, record)
    assert found.faults == ()
    noted = [finding.what for finding in found.everything if finding.level is Level.NOTED]
    for text in (
        "signed 2 headers for one session, each with other sealed keys",
        "sealed different stream keys to aggregator 1",
        "sealed different group keys to client 3",
        "sealing keys in set-up",
        "named different stream keys in set-up",
        "stand under 2 group keys",
    ):
        assert any(text in what for what in noted), text


def test_with_the_same_sealed_keys_the_second_header_is_proof(returned: Any) -> None:
    """The guard of the test above: what tells one life from two."""
    world = returned
    second = resigned(world, world.first_header, nonce=OTHER)
    record = [*set_up_of(world), *record_of(world)]
    assert list(named(world, [*record, second])) == [(Level.PROVEN, ("client 3",))]


def test_a_key_that_the_other_life_published_is_no_proof(make_world: Any) -> None:
    """Client 3 lost its store after it submitted; the roster that was certified stands under the other group key."""
    world = RecordedWorld(mode="public")
    world.run()
    world.keep()
    other = resigned(world, world.submissions[3].header, group_check=OTHER, session_key_hash=OTHER)
    base = [message for message in world.said if not (isinstance(message, Header) and message.client == 3)]
    disclosure = world.clients[3].disclose(world.client_memories[3], world.delivery)
    found = audit(world.manifest, [*base, other, disclosure])
    assert not [fault for fault in found.faults if fault.parties == ("client 3",)]
    assert any("lost its store and was given another" in finding.what for finding in found.everything)
    # Under the certified result's own group key it is.
    same = resigned(world, world.submissions[3].header, session_key_hash=OTHER)
    assert (Level.PROVEN, ("client 3",)) in named(world, [*base, same, disclosure])


def test_keys_for_two_results_are_noted_and_whoever_signed_one_is_named_beside_the_client(make: Any) -> None:
    case = make(mode="public")
    world = case.world
    right = _disclosed(world, _right_key(world))
    other = resigned(world, Disclosure(world.sid, 3, OTHER, OTHER))
    found = named(world, [*case.said, *right, other])
    assert list(found) == [(Level.INCONSISTENT, (name, "client 3")) for name in ALL]
    noted = audit(world.manifest, [*case.said, *right, other]).sessions[0].findings
    assert any("published 2 keys for one session, each for another result" in finding.what for finding in noted)


# Where one of several lied


def test_two_group_keys_in_a_set_up_are_noted(make_world: Any) -> None:
    """A leader that is restarted in the middle of a set-up gives out another, and is honest."""
    world = make_world()
    world.run(to="submit")
    foreign = resigned(world, world.submissions[3].header, group_check=OTHER)
    headers = [world.submissions[2].header, foreign]
    record = [*world.offers, *world.announcements, *headers]
    found = audit(world.manifest, record)
    assert found.faults == ()
    noted = {finding.parties for finding in found.findings if "stand under 2 group keys" in finding.what}
    assert noted == {("client 1", "client 2", "client 3")}


def test_two_session_keys_under_one_group_key_name_the_clients(make_world: Any) -> None:
    world = make_world()
    world.run(to="submit")
    foreign = resigned(world, world.submissions[3].header, session_key_hash=OTHER)
    base = [*world.offers, *world.announcements, world.submissions[2].header]
    assert list(named(world, [*base, foreign])) == [(Level.INCONSISTENT, ("client 2", "client 3"))]
    assert named(world, [*base, forged(world, foreign)]) == {}


def test_sealed_keys_that_headers_name_and_the_record_lacks_are_missing(make: Any) -> None:
    case = make()
    world = case.world
    record = [m for m in case.said if not (isinstance(m, SealedStreamKey) and (m.client, m.aggregator) == (2, 1))]
    missing = [f.parties for f in audit(world.manifest, record).findings if f.level is Level.MISSING]
    assert missing == [("client 2",)]
    assert not audit(world.manifest, record, whole=True).is_complete


def test_group_keys_of_those_who_submitted_are_missing_too(make: Any) -> None:
    case = make()
    world = case.world
    gone = {2, 3}
    record = [m for m in case.said if not (isinstance(m, SealedGroupKey) and m.recipient in gone)]
    for whole in (False, True):
        found = audit(world.manifest, record, whole=whole)
        assert [f.parties for f in found.findings if f.level is Level.MISSING] == [("client 2", "client 3")]
        assert found.is_complete is not whole
    never = [m for m in record if getattr(m, "header", m) is m and not (isinstance(m, Header) and m.client in gone)]
    assert not [f for f in audit(world.manifest, never).findings if f.level is Level.MISSING]


def test_a_key_published_for_a_void_session_names_two(make_world: Any) -> None:
    world = make_world(mode="public")
    world.run(to="agree")
    record = [*set_up_of(world), *record_of(world)]
    disclosure = resigned(world, Disclosure(world.sid, 3, OTHER, _right_key(world)))
    void = resigned(world, Closing(world.sid, 2, VOID))
    found = named(world, [*record, disclosure, void])
    assert list(found) == [(Level.INCONSISTENT, ("aggregator 2", "client 3"))]
    for more in ([forged(world, disclosure), void], [disclosure, forged(world, void)]):
        assert named(world, [*record, *more]) == {}
    alone = audit(world.manifest, [*record, disclosure]).sessions[0]
    assert any("published too early cannot be told" in finding.what for finding in alone.findings)


def test_a_key_published_for_another_result_names_publisher_and_signers(make: Any) -> None:
    case = make(mode="public")
    world = case.world
    wrong = resigned(world, Disclosure(world.sid, 3, OTHER, _right_key(world)))
    found = named(world, [*case.said, wrong])
    assert list(found) == [(Level.INCONSISTENT, (name, "client 3")) for name in ALL]
    assert named(world, [*case.said, forged(world, wrong)]) == {}
