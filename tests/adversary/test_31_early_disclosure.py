"""31. K or K_sid published early, or for a void session: refused.

A client of a public task publishes K_sid, never K, and only against n result signatures. The hub and n - 1 aggregators
ask for it earlier; they hold no client, who could simply tell them.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from privateyes.aggregation.client import Client
from privateyes.aggregation.messages import VOID, Closing, Delivery, Disclosure, ResultSignature
from privateyes.aggregation.result import Check, require_result_signatures, verify_disclosed
from privateyes.errors import DeliveryError, RefusedError


@pytest.fixture
def public(make_network, case):
    """A public task; the adversary holds no client."""
    return make_network(**case, corrupt_clients=(), mode="public")


def _ask_for_the_key(network, delivery) -> list[Disclosure]:
    return [answer for i in network.clients for answer in network.ask(f"client {i}", "disclose", delivery)]


def _signed_by_all_but_one(network) -> Delivery:
    """A delivery of the current session with everything in it, and the honest signature missing or copied."""
    session = network.session
    share = network.add(session.total.share, *(message.share for message in session.parsed("open")))
    results = [word.signature for word in session.parsed("certify") if word.aggregator != network.honest]
    results.insert(network.honest - 1, results[0])
    return Delivery(network.sid, session.group_check, session.entries, _digests(session), tuple(results), share)


def _digests(session) -> tuple[bytes, ...]:
    return (session.commitment.commitment, *(message.commitment for message in session.parsed("commit")))


def _keys_of(network) -> tuple[bytes, bytes]:
    group = network.clients[1].memory.group
    return group.key, group.session_key(network.sid)


def test_before_every_result_signature_no_client_discloses(public) -> None:
    name = f"aggregator {public.honest}"
    public.adversary.on("certify", lambda packet: None, sender=name)
    public.play()
    assert public.honest_word(ResultSignature), "it exists, but the hub says that it does not"
    assert not _ask_for_the_key(public, _signed_by_all_but_one(public))
    assert {public.refusal_of(f"client {i}").check for i in public.clients} == {Check.SIGNATURES}
    assert not any(key in part for packet in public.adversary.seen for part in packet.parts for key in _keys_of(public))
    public.require_sound()


def test_for_a_void_session_no_client_discloses(public) -> None:
    public.play(until="open")
    earlier = public.announced[-1]
    held = [packet for packet in public.flight if packet.receiver != f"aggregator {public.honest}"]
    public.flight.clear()
    for packet in held:
        public.deliver(packet)  # the corrupt ones open among themselves
    public.flight.clear()
    session, liar = public.session, public.liars[0]
    results = tuple(public.sign(ResultSignature(public.sid, liar, bytes(32))).signature for _ in range(public.n))
    total, entries = session.total.share, session.entries
    forged = Delivery(public.sid, session.group_check, entries, _digests(session), results, total)
    sid = public.sid
    public.give_up(earlier)
    public.announce()
    public.run(until="submit")
    public.void(earlier, until="submit")
    assert [closing.outcome for closing in public.honest_word(Closing)] == [VOID]
    assert not _ask_for_the_key(public, forged)
    assert all(isinstance(public.refusal_of(f"client {i}"), DeliveryError) for i in public.clients)
    assert not public.honest_word(Disclosure)
    session_key = public.clients[1].memory.group.session_key(sid)
    assert not any(session_key in part for packet in public.adversary.seen for part in packet.parts)
    public.require_sound()


def test_a_session_that_ended_before_a_new_set_up_is_disclosed_after_it_too(public) -> None:
    public.play()
    delivery = public.session.delivery
    public.set_up()
    disclosures = _ask_for_the_key(public, delivery)
    headers = [submission.header for submission in public.session.submissions.values()]
    average = verify_disclosed(public.manifest, delivery, headers, disclosures[0])
    assert average.mean.tolist() == public.clients[2].accepted[0].mean.tolist()
    public.require_sound()


def test_a_sealed_task_discloses_nothing_even_after_the_result(operators) -> None:
    operators.play(until="check")
    assert not _ask_for_the_key(operators, operators.session.delivery)
    assert all(isinstance(operators.refusal_of(f"client {i}"), RefusedError) for i in operators.clients)
    operators.run()
    assert not any(key in p for packet in operators.adversary.seen for p in packet.parts for key in _keys_of(operators))
    operators.require_sound()


def test_after_the_result_is_signed_anybody_verifies_it_with_the_session_key_and_never_learns_the_group_key(
    public,
) -> None:
    public.play(until="check")
    disclosures = _ask_for_the_key(public, public.session.delivery)
    key, session_key = _keys_of(public)
    assert {disclosure.session_key for disclosure in disclosures} == {session_key}
    headers = [submission.header for submission in public.session.submissions.values()]
    average = verify_disclosed(public.manifest, public.session.delivery, headers, disclosures[0])
    public.run()
    accepted = public.clients[2].accepted[0]
    assert average.mean.tolist() == accepted.mean.tolist()
    assert average.total_weight == accepted.total_weight
    assert not any(key in part for packet in public.adversary.seen for part in packet.parts)
    public.require_sound()


def test_a_key_that_a_corrupt_client_makes_up_verifies_nothing(make_network, case) -> None:
    """It cannot make an altered sum verify: the headers hold the true key's hash."""
    network = make_network(**case, mode="public")
    network.play(until="check")
    delivery = network.session.delivery
    headers = [submission.header for submission in network.session.submissions.values()]
    made_up = network.sign(Disclosure(network.sid, 4, bytes(32), bytes(32)))
    with pytest.raises(DeliveryError) as refusal:
        verify_disclosed(network.manifest, delivery, headers, made_up)
    assert refusal.value.check == Check.GROUP_KEY
    result = require_result_signatures(network.manifest, delivery.receipt(network.manifest.bulk_hash))
    true = network.sign(Disclosure(network.sid, 4, result, network.group.session_key(network.sid)))
    altered = replace(delivery, share=network.shifted(delivery.share, network.matching({0: 1})))
    with pytest.raises(DeliveryError) as refusal:
        verify_disclosed(network.manifest, altered, headers, true)
    assert refusal.value.check == Check.SIGNATURES


def test_with_a_key_that_was_disclosed_before_commit_the_operators_shift_the_sum_without_a_client(
    make_network, case
) -> None:
    class Talkative(Client):
        def disclose(self, memory, delivery):
            session_key = memory.group.session_key(delivery.sid)
            return Disclosure(delivery.sid, self.number, bytes(32), session_key).signed_by(self.identity, delivery.sid)

    network = make_network(**case, corrupt_clients=(), mode="public", client_type=Talkative)
    network.play(until="vote")
    share = network.field.zeros(network.manifest.share_elements)
    empty = Delivery(network.sid, bytes(32), (), (), (), share)
    (disclosure,) = network.ask("client 1", "disclose", empty)
    changes = network.matching({0: 9}, disclosure.session_key)
    network.hub.shift = lambda total: network.shifted(total, changes)
    network.run()
    assert network.every_honest_client_accepted(network.ideal(shift=[9] + [0] * network.d))
    with pytest.raises(AssertionError, match="disclosed the key of a session whose result is not signed"):
        network.require_sound()
