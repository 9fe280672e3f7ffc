"""A client accepts a right result, sends an update again where that says nothing new, and only moves forward."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np
import pytest

from privateyes.aggregation.client import Client, Submitted
from privateyes.aggregation.keys import KeyChain
from privateyes.aggregation.ledger import SessionEnd
from privateyes.aggregation.memory import ClientMemory, TrainingState
from privateyes.aggregation.messages import NO_SESSION, Delivery, RosterCommitment, Voucher
from privateyes.aggregation.privacy_section import Privacy
from privateyes.aggregation.result import Check
from privateyes.aggregation.roster import roster_digest
from privateyes.aggregation.setup import ClientSetup
from privateyes.crypto.bulk import BulkHash
from privateyes.errors import DeliveryError, MalformedError, RefusedError
from sessions import certified
from world import World, state_after

ZERO, ONES = bytes(32), bytes([1]) * 32


@pytest.fixture
def world() -> World:
    """Four clients and two aggregators."""
    return World(n=2)


def one(world: World) -> tuple[Client, ClientMemory]:
    """Client 1 and what it remembers."""
    return world.clients[1], world.client_memories[1]


# The same bytes again


@pytest.mark.parametrize("mode", ["sealed", "public"])
@pytest.mark.parametrize("bulk_hash", BulkHash)
@pytest.mark.parametrize("privacy", [None, Privacy(0.5)])
def test_a_submission_leaves_again_byte_for_byte_in_its_session(make_world, field, mode, bulk_hash, privacy) -> None:
    world = make_world(n=2, m=3, d=16, field=field, mode=mode, bulk_hash=bulk_hash, privacy=privacy)
    world.run(to="submit")
    for i, submission in world.submissions.items():
        kept = world.kept[i].with_update(world.encoded_updates[i])
        assert world.clients[i].resend(world.client_memories[i], kept).to_bytes() == submission.to_bytes()


def test_bytes_leave_again_until_the_session_is_void_or_the_next_result_is_accepted(world) -> None:
    """Also when this client has the result: others may wait for it, and the hub may have lost the sum."""
    world.run()
    own, _ = one(world)
    kept = world.kept[1].with_update(world.encoded_updates[1])
    sent, delivery = world.submissions[1].to_bytes(), world.delivery
    world.set_up()
    assert own.resend(world.client_memories[1], kept).to_bytes() == sent
    world.accept()
    assert own.resend(world.client_memories[1], kept).to_bytes() == sent
    forgotten = replace(world.client_memories[1], accepted=None)
    other = replace(kept, header=replace(kept.header, nonce=ZERO))
    for memory, damaged in ((forgotten, kept), (world.client_memories[1], other)):
        with pytest.raises(RefusedError, match="does not follow that session any more"):
            own.resend(memory, damaged)
    world.run()
    world.accept()
    with pytest.raises(RefusedError, match="does not follow that session any more"):
        own.resend(world.client_memories[1], kept)
    assert delivery.sid not in {session.sid for session in world.client_memories[1].followed}


# The same update again


class Again:
    """A session of clients 1 to 3 of four that was opened and not accepted; the next round is announced."""

    def __init__(self, **world: Any) -> None:
        self.world = World(n=2, **world)
        self.world.run(1, 2, 3)
        self.origin, self.commitments, self.ideal = self.world.origin, self.world.commitments, self.world.ideal()
        self.world.announce()

    def send(self, client: int = 1, **given: Any) -> Submitted:
        """One client's answer, which leaves the world as it was."""
        world = self.world
        kept = given.get("kept") or world.kept[client].with_update(world.encoded_updates[client])
        return world.clients[client].submit_again(
            given.get("memory") or world.client_memories[client],
            given.get("ledger", world.ledgers[client]),
            given.get("announcements", world.announcements),
            kept,
            given.get("nonce", ONES),
            (given.get("origin", self.origin), given.get("commitments", self.commitments)),
        )

    def signed(self, **changes: Any) -> list[RosterCommitment]:
        """The commitments with something else in them, signed by all."""
        keys = self.world.aggregator_keys
        return [
            replace(message, **changes).signed_by(keys[message.aggregator], self.origin.sid)
            for message in self.commitments
        ]


@pytest.fixture
def again() -> Again:
    return Again()


def test_an_update_is_sent_again_with_the_same_numbers_under_a_fresh_nonce_to_the_same_roster(again) -> None:
    world, before = again.world, again.world.client_memories[1]
    done = again.send()
    header, entry = done.submission.header, done.entry
    assert (header.sid, header.origin, header.nonce) == (world.sid, again.origin.sid, ONES)
    header.require_signature_of(world.client_keys[1].public_bytes, world.sid)
    assert (entry.sid, entry.origin, entry.chain) == (world.sid, again.origin.sid, again.origin.sid)
    assert (entry.end, entry.weights) == (SessionEnd.UNKNOWN, before.state.weights)
    assert not np.any(done.submission.share == world.total.share)
    session = done.memory.session(world.sid)
    assert (session.origin, session.roster, session.header_hash) == (again.origin.sid, (1, 2, 3), header.hash())
    # Both are followed: whichever of them ends with a right result is accepted.
    assert [own.sid for own in done.memory.followed] == [again.origin.sid, world.sid]
    assert (done.memory.version, done.memory.last_round) == (before.version + 1, world.round)
    assert done.memory.chains == tuple(chain.advance_to(world.round + 1, world.setup) for chain in before.chains)
    assert (done.clipped, done.shortened) == (0, False)


@pytest.mark.parametrize("mode", ["sealed", "public"])
def test_what_is_sent_again_ends_in_the_sum_that_was_refused(make_world, field, mode) -> None:
    again = Again(field=field, mode=mode)
    world = again.world
    for i in (1, 2, 3):
        world.submit_again(i, again.origin, again.commitments)
    world.client_memories[4] = world.clients[4].observe(world.client_memories[4], world.announcements)
    world.vote(origin=again.origin)
    world.commit(origin=again.origin)
    for step in (world.agree, world.open, world.certify, world.deliver):
        step()
    for i in world.clients:
        average = world.check(i)
        assert np.array_equal(average.mean, world.mean_of(again.ideal))
        assert (average.roster, average.counted) == ((1, 2, 3), i != 4)
    world.accept()
    assert [entry.end for entry in world.ledgers[1]] == [SessionEnd.UNKNOWN, SessionEnd.ACCEPTED]


def test_an_update_is_sent_again_as_often_as_it_takes(again) -> None:
    world = again.world
    world.submit_again(1, again.origin, again.commitments)
    first = world.sid
    world.announce()
    done = again.send()  # what was kept last is of the second session
    assert done.entry.chain == again.origin.sid
    assert [own.sid for own in done.memory.followed] == [again.origin.sid, first, world.sid]
    # A repeat that is void is out of the way, and what it kept with it; the first session's does as well.
    world.settle(1, world.closings(1))
    with pytest.raises(RefusedError, match="does not follow that session any more"):
        again.send()
    assert world.kept[1].header.sid == first


def test_an_update_is_sent_again_in_the_next_set_up_too(again) -> None:
    world = again.world
    world.set_up()
    world.announce()
    done = again.send()
    assert done.entry.setup == world.setup
    assert done.entry.chain == again.origin.sid


def test_nothing_is_sent_again_to_a_session_that_was_announced_to_others_only(again) -> None:
    with pytest.raises(RefusedError, match="not exactly one message"):
        again.send(announcements=again.world.announcements[:1])


def test_only_the_one_chain_that_is_not_settled_is_sent_again(again) -> None:
    (entry,) = again.world.ledgers[1]
    own = again.world.client_keys[1].public_bytes
    assert entry.key == own
    refused = {
        "did not submit to the session": [
            [], [replace(entry, key=ZERO)], [replace(entry, manifest=ZERO)], [replace(entry, weights=ZERO)],
            [replace(entry, origin=ONES)],
        ],
        "only the one session from these weights": [
            [replace(entry, end=SessionEnd.VOID)],
            [entry, replace(entry, round=9)],
            [entry, replace(entry, round=9, end=SessionEnd.ACCEPTED)],
            [entry, replace(entry, round=9, key=ZERO)],
            [entry, replace(entry, round=9, data_set=ZERO, manifest=ZERO)],
        ],
    }  # fmt: skip
    for problem, ledgers in refused.items():
        for ledger in ledgers:
            with pytest.raises(RefusedError, match=problem):
                again.send(ledger=ledger)
    harmless = [replace(entry, round=9, key=ZERO, data_set=ZERO), replace(entry, round=9, end=SessionEnd.VOID)]
    assert again.send(ledger=[*harmless, entry])


def test_an_update_is_sent_again_with_the_key_and_in_the_task_that_it_was_sent_with(again) -> None:
    (entry,) = again.world.ledgers[1]
    fields = {"key": ZERO, "data_set": ZERO, "weights": ZERO, "manifest": ZERO}
    for others in product(*([{}, {name: value}] for name, value in fields.items())):
        changes = {name: value for other in others for name, value in other.items()}
        for end in SessionEnd:
            ledger = [replace(entry, end=end, **changes)]
            if set(changes) <= {"data_set"} and end is not SessionEnd.VOID:
                assert again.send(ledger=ledger).entry.chain == again.origin.sid
                continue
            with pytest.raises(RefusedError):
                again.send(ledger=ledger)


def test_a_client_that_was_not_counted_has_nothing_to_repeat(again) -> None:
    world = again.world
    roster = again.origin.roster
    for other in (roster[1:], ((1, ZERO), *roster[1:]), ((2, roster[0][1]), *roster[1:]), ()):
        with pytest.raises(RefusedError, match="is not in the roster of the session"):
            again.send(origin=replace(again.origin, roster=other))
    with pytest.raises(RefusedError, match="did not submit to the session"):
        again.send(client=4, kept=world.kept[1].with_update(world.encoded_updates[1]))


def test_the_roster_is_the_one_that_every_aggregator_committed_to(again) -> None:
    origin, commitments = again.origin, again.commitments
    larger = replace(origin, roster=(*origin.roster, (4, ZERO)))
    for other in (larger, replace(origin, roster=origin.roster[:2]), replace(origin, group_check=ZERO)):
        with pytest.raises(RefusedError, match="is not the one that every aggregator committed to"):
            again.send(origin=other)
    for s in (0, 1):
        for changes in ({"rho": ZERO}, {"sid": ZERO}):
            shown = [*commitments]
            shown[s] = again.signed(**changes)[s]
            with pytest.raises(RefusedError, match="is not the one that every aggregator committed to"):
                again.send(commitments=shown)
    for shown in (commitments[:1], [commitments[0]] * 2, [*commitments, commitments[0]], []):
        with pytest.raises(RefusedError, match="not exactly one message"):
            again.send(commitments=shown)
    swapped = [replace(commitments[0], aggregator=2), replace(commitments[1], aggregator=1)]
    for shown in (swapped, [replace(commitments[0], signature=bytes(64)), commitments[1]]):
        with pytest.raises(MalformedError, match="RosterCommitment does not verify"):
            again.send(commitments=shown)
    # If all aggregators lie, only the other clients' own headers are in the way.
    rho = roster_digest(origin.sid, origin.group_check, larger.roster)
    assert again.send(origin=larger, commitments=again.signed(rho=rho)).memory.followed[-1].roster == (1, 2, 3, 4)


def test_what_was_kept_of_another_session_or_damaged_is_not_sent(again) -> None:
    """Other numbers in a second sum of the same roster: the difference is one client's."""
    world = again.world
    kept = world.kept[1].with_update(world.encoded_updates[1])
    with pytest.raises(RefusedError, match="does not follow that session any more"):
        again.send(kept=world.kept[2].with_update(world.encoded_updates[2]))
    for changes in ({"weight": 9}, {"session_key": ZERO}, {"round_keys": (ZERO, kept.round_keys[1])},
                    {"encoded": world.shifted(kept.encoded, {2: 1})}):  # fmt: skip
        with pytest.raises(MalformedError, match="what was stored of the submission is damaged"):
            again.send(kept=replace(kept, **changes))
    with pytest.raises(RefusedError, match="what was kept is of another session"):
        again.send(kept=replace(kept, header=replace(kept.header, sid=ZERO)))
    with pytest.raises(MalformedError, match="another length than the model"):
        again.send(kept=replace(kept, encoded=kept.encoded[:-1]))


def test_what_was_kept_of_a_void_session_from_the_same_weights_is_not_sent(again) -> None:
    """Though its session is still followed: the update could be another one."""
    world = again.world
    memory, (entry,) = world.client_memories[1], world.ledgers[1]
    kept = world.kept[1].with_update(world.encoded_updates[1])
    other = replace(entry, round=9)
    session = replace(memory.followed[0], round=9, header_hash=b"")
    moved = replace(kept, header=replace(kept.header, sid=other.sid))
    session = replace(session, header_hash=moved.header.hash())
    followed = replace(memory, followed=(*memory.followed, session))
    with pytest.raises(RefusedError, match="what was kept is of another session"):
        again.send(kept=moved, memory=followed, ledger=[entry, replace(other, end=SessionEnd.VOID)])


def test_nothing_is_sent_again_once_the_state_has_moved_on(again) -> None:
    world = again.world
    delivery = world.delivery
    world.accept()
    world.announce()
    assert delivery.sid == again.origin.sid
    with pytest.raises(RefusedError, match="did not submit to the session"):
        again.send()
    # With its rows at hand all the same, it no longer follows the session.
    here = [replace(entry, weights=world.client_memories[1].state.weights, end=SessionEnd.UNKNOWN)
            for entry in world.ledgers[1]]  # fmt: skip
    with pytest.raises(RefusedError, match="does not follow that session any more"):
        again.send(ledger=here)


def test_keys_of_the_round_are_needed_to_send_again(again) -> None:
    memory = again.world.client_memories[1]
    spent = tuple(KeyChain(again.world.round + 1, chain.key) for chain in memory.chains)
    with pytest.raises(RefusedError, match="keys are erased"):
        again.send(memory=replace(memory, chains=spent))


# Step 5


def test_a_right_result_is_verified_and_tells_who_was_counted(world) -> None:
    world.announce()
    world.submit_all()
    world.vote({1: [world.submissions[i].header for i in (2, 3)]})
    for step in (world.commit, world.agree, world.open, world.certify, world.deliver):
        step()
    for i in world.clients:
        average = world.check(i)
        assert (average.sid, average.roster, average.counted) == (world.sid, (2, 3), i in (2, 3))
        assert average.total_weight == world.ideal(2, 3).total_weight
        assert np.array_equal(average.mean, world.mean_of(world.ideal(2, 3)))


def test_checks_are_made_in_the_order_of_their_numbers(world) -> None:
    world.run()
    delivery = world.delivery
    damaged = {
        Check.SESSION: {"sid": ZERO},
        Check.GROUP_KEY: {"group_check": ZERO},
        Check.ROSTER: {"roster": delivery.roster[:1]},
        Check.SIGNATURES: {"results": delivery.results[::-1]},
        Check.TAG: {},
    }
    changes: dict[str, object] = {}
    for check in sorted(damaged, reverse=True):
        changes |= damaged[check]
        altered = replace(delivery, **changes)
        if check == Check.TAG:
            altered = certified(world, replace(delivery, share=world.shifted(delivery.share, {0: 1})))
        with pytest.raises(DeliveryError) as refusal:
            world.check(1, altered)
        assert refusal.value.check == check


def test_a_roster_lists_a_client_as_it_submitted_or_not_at_all(world) -> None:
    world.run(1, 2, 3)
    delivery = world.delivery
    for client, roster in ((1, ((1, ZERO), *delivery.roster[1:])), (4, (*delivery.roster, (4, ZERO)))):
        with pytest.raises(DeliveryError, match="a submission that this client did not make") as refusal:
            world.check(client, certified(world, replace(delivery, roster=roster)))
        assert refusal.value.check == Check.ROSTER


def test_what_was_sent_again_comes_back_with_the_roster_of_its_first_session_alone(again) -> None:
    world = again.world
    for i in (1, 2, 3):
        world.submit_again(i, again.origin, again.commitments)
    world.vote(origin=again.origin)
    world.commit(origin=again.origin)
    for step in (world.agree, world.open, world.certify, world.deliver):
        step()
    assert world.check(1).counted
    roster = world.delivery.roster
    for other in (roster[:2], (*roster, (4, ZERO)), (*roster[:2], (4, ZERO))):
        altered = certified(world, replace(world.delivery, roster=other))
        with pytest.raises(
            DeliveryError, match="not that of the session whose update this client sent again"
        ) as refusal:
            world.check(1, altered)
        assert refusal.value.check == Check.ROSTER
    # A client that only watched holds nothing against it.
    watching = replace(world.client_memories[1].followed[-1], origin=NO_SESSION, roster=())
    memory = replace(world.client_memories[1], followed=(watching,))
    with pytest.raises(DeliveryError) as refusal:
        world.clients[1].check(memory, certified(world, replace(world.delivery, roster=roster[:2])))
    assert refusal.value.check == Check.TAG


def test_a_session_that_is_not_followed_is_none_of_a_clients_business(world) -> None:
    world.run()
    own, memory = one(world)
    with pytest.raises(DeliveryError, match="does not follow") as refusal:
        own.check(replace(memory, followed=()), world.delivery)
    assert refusal.value.check == Check.SESSION
    world.accept()
    with pytest.raises(DeliveryError, match="does not follow"):
        world.check(1)


def test_a_pending_result_is_still_accepted_after_the_next_announcement(world) -> None:
    world.run()
    delivery = world.delivery
    world.announce()
    world.client_memories[1] = world.clients[1].observe(world.client_memories[1], world.announcements)
    assert world.check(1, delivery).counted


def test_a_complaint_says_session_and_check_and_nothing_else(world) -> None:
    world.run()
    complaint = world.clients[2].complain(world.sid, Check.TAG)
    assert (complaint.sid, complaint.client, complaint.check) == (world.sid, 2, 5)
    complaint.require_signature_of(world.client_keys[2].public_bytes, world.sid)
    assert len(complaint.to_bytes()) == 1 + 32 + 4 + 1 + 64


# Moving on


def test_an_accepted_result_leads_to_a_new_head_and_ends_what_was_followed(world) -> None:
    world.run()
    own, before = one(world)
    (entry,) = world.ledgers[1]
    state, other = state_after(before.state, b""), replace(entry, round=9)
    changed = own.accept(before, [other, entry, replace(entry, manifest=ZERO), replace(entry, key=ZERO)],
                         world.check(1), state)  # fmt: skip
    assert changed.memory == before.next(state=state, followed=(), accepted=before.followed[0])
    assert changed.entries == (replace(entry, end=SessionEnd.ACCEPTED),)


def test_a_state_follows_the_one_before_it(world) -> None:
    world.run()
    own, memory = one(world)
    average = world.check(1)
    good = state_after(memory.state, b"")
    for wrong in (replace(good, counter=0), replace(good, counter=2), replace(good, digest=memory.state.digest)):
        with pytest.raises(RefusedError, match="does not follow the one before it"):
            own.accept(memory, world.ledgers[1], average, wrong)
    with pytest.raises(RefusedError, match="of a session that this client does not follow"):
        own.accept(memory, world.ledgers[1], replace(average, sid=ZERO), good)
    accepted = own.accept(memory, world.ledgers[1], average, good).memory
    with pytest.raises(RefusedError, match="of a session that this client does not follow"):
        own.accept(accepted, world.ledgers[1], average, state_after(good, b""))


# Disclosure


@pytest.fixture
def public(make_world) -> World:
    """A delivered round of a public task."""
    world = make_world(n=2, mode="public")
    world.run(1, 2, 3)
    return world


def _disclosed(world: World, memory: ClientMemory, delivery: Delivery, session_key: bytes) -> None:
    disclosure = world.clients[1].disclose(memory, delivery)
    assert (disclosure.sid, disclosure.client, disclosure.session_key) == (delivery.sid, 1, session_key)
    assert disclosure.result == world.results[0].result
    disclosure.require_signature_of(world.client_keys[1].public_bytes, delivery.sid)


def test_the_key_of_a_finished_session_is_disclosed_before_and_after_it_is_accepted(public) -> None:
    delivery, key = public.delivery, public.group.session_key(public.sid)
    _disclosed(public, public.client_memories[1], delivery, key)
    public.accept()
    _disclosed(public, public.client_memories[1], delivery, key)
    # And once the next set-up has started, whether it was accepted before or is still followed.
    public.set_up()
    _disclosed(public, public.client_memories[1], delivery, key)
    assert public.client_memories[1].group.session_key(delivery.sid) != key


def test_a_session_that_the_end_of_its_set_up_carried_over_is_disclosed_under_its_own_key(public) -> None:
    delivery, key = public.delivery, public.group.session_key(public.sid)
    public.set_up()
    public.announce()
    public.client_memories[1] = public.clients[1].observe(public.client_memories[1], public.announcements)
    _disclosed(public, public.client_memories[1], delivery, key)
    own, memory = one(public)
    average = own.check(memory, delivery)
    memory = own.accept(memory, public.ledgers[1], average, state_after(memory.state, b"")).memory
    _disclosed(public, memory, delivery, key)


def test_only_the_session_accepted_last_is_disclosed(public) -> None:
    old = public.delivery
    public.accept()
    public.run(1, 2, 3)
    public.accept()
    with pytest.raises(DeliveryError, match="does not follow") as refusal:
        public.clients[1].disclose(public.client_memories[1], old)
    assert refusal.value.check == Check.SESSION
    with pytest.raises(DeliveryError, match="does not follow"):
        public.clients[1].disclose(replace(public.client_memories[1], accepted=None), public.delivery)


def test_nothing_is_disclosed_without_every_signature_on_the_result(public) -> None:
    own, memory = one(public)
    delivery = public.delivery
    altered = {
        Check.GROUP_KEY: [{"group_check": ZERO}],
        Check.ROSTER: [{"roster": delivery.roster[:1]}, {"roster": ()}, {"roster": (*delivery.roster, (5, ZERO))}],
        Check.SIGNATURES: [
            {"results": delivery.results[:1]}, {"results": (delivery.results[0], bytes(64))},
            {"roster": delivery.roster[:2]}, {"commitments": delivery.commitments[::-1]},
            {"share": public.shifted(delivery.share, {0: 1})},
        ],
    }  # fmt: skip
    for check, cases in altered.items():
        for changes in cases:
            with pytest.raises(DeliveryError) as refusal:
                own.disclose(memory, replace(delivery, **changes))
            assert refusal.value.check == check


def test_a_sealed_task_discloses_nothing(world) -> None:
    world.run()
    own, memory = one(world)
    with pytest.raises(RefusedError, match="a sealed task discloses no session key"):
        own.disclose(memory, world.delivery)


# Other clients


def _later(memory: ClientMemory, counter: int = 5) -> TrainingState:
    return TrainingState(bytes([counter]) * 32, bytes([counter + 100]) * 32, counter)


def _vouched(world: World, state: TrainingState, *clients: int) -> list[Voucher]:
    return [world.clients[i].vouch(replace(world.client_memories[i], state=state)) for i in clients]


def test_a_voucher_is_signed_for_the_id_of_the_state_that_the_client_holds(public) -> None:
    own, memory = one(public)
    voucher = own.vouch(memory)
    assert (voucher.setup, voucher.client) == (public.setup, 1)
    assert voucher.state_id == memory.group.state_id(memory.state.digest)
    voucher.require_signature_of(public.client_keys[1].public_bytes, public.setup)


def test_a_client_of_a_public_task_jumps_to_a_later_state_that_others_vouch_for(make_world) -> None:
    world = make_world(n=2, mode="public", roster_min=3, corrupt_clients=1)
    world.run()
    own, before = one(world)
    state = _later(before)
    after = own.jump(replace(before, accepted=before.followed[0]), _vouched(world, state, 2, 3), state)
    assert after == before.next(state=state, followed=(), accepted=None)
    # Its rows stay, and stand in the way of nothing but what was sent from those weights.
    assert [entry.end for entry in world.ledgers[1]] == [SessionEnd.UNKNOWN]
    few = [_vouched(world, state, 2), _vouched(world, state, 2, 1), _vouched(world, _later(before, 6), 2, 3), []]
    for vouchers in few:
        with pytest.raises(RefusedError, match="clients vouch for this training state, and 1 may be corrupt"):
            own.jump(before, vouchers, state)
    forged = [*_vouched(world, state, 2), replace(_vouched(world, state, 3)[0], client=4)]
    with pytest.raises(MalformedError, match="Voucher does not verify"):
        own.jump(before, forged, state)


def test_a_client_jumps_forward_alone_and_never_to_where_it_is(public) -> None:
    public.accept()
    own, memory = one(public)
    assert memory.state.counter == 1
    for counter in (0, 1):
        state = _later(memory, counter)
        with pytest.raises(RefusedError, match=f"the state is after round {counter}, and this client is at round 1"):
            own.jump(memory, _vouched(public, state, 2, 3), state)
    state = _later(memory, 2)
    assert own.jump(memory, _vouched(public, state, 2, 3), state).state == state


def test_in_a_sealed_task_a_state_is_taken_over_in_a_set_up(world) -> None:
    own, memory = one(world)
    state = _later(memory)
    with pytest.raises(RefusedError, match="taken over during a set-up"):
        own.jump(memory, _vouched(world, state, 2, 3), state)


def test_a_state_is_given_as_it_is_held_to_a_key_of_the_current_set_up(world) -> None:
    own, memory = one(world)
    newcomer = ClientSetup(world.manifest, 4, world.client_keys[4])
    newcomer.bind(world.offers)
    key = newcomer.key()
    sealed = own.give_state(memory, key, b"model", lambda data: memory.state)
    assert (sealed.setup, sealed.sender, sealed.recipient) == (world.setup, 1, 4)
    sealed.require_signature_of(world.client_keys[1].public_bytes, world.setup)
    for changes in ({"digest": ONES}, {"weights": ZERO}, {"counter": 9}):
        other = replace(memory.state, **changes)
        with pytest.raises(RefusedError, match="not this client's current training state"):
            own.give_state(memory, key, b"model", lambda data, other=other: other)
    elsewhere = replace(key, setup=ZERO).signed_by(world.client_keys[4], ZERO)
    with pytest.raises(RefusedError, match="the key of client 4 is of another set-up"):
        own.give_state(memory, elsewhere, b"model", lambda data: memory.state)
    with pytest.raises(MalformedError, match="ClientKey does not verify"):
        own.give_state(memory, replace(key, client=3), b"model", lambda data: memory.state)
