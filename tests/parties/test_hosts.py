"""Hosts of single parties: bytes in, effects out, restartable from their stores, and every request may come twice."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest

from privateyes.aggregation.messages import VOID, Closing
from privateyes.engines.memory import SecureAverage
from privateyes.errors import AbortError, MalformedError, RefusedError, RunDirectoryError
from privateyes.parties.aggregator import AggregatorHost
from privateyes.parties.client import ClientHost
from privateyes.parties.effects import Effects, Host, View
from privateyes.parties.hub import STEPS, HubHost, Named
from privateyes.parties.packets import ANSWERS, HUB, REQUESTS, Packet
from privateyes.storage.memory import MemoryStore

NAMES, D = ("ada", "bob", "cyd"), 20
UPDATES = {name: np.full(D, value, np.float32) for name, value in zip(NAMES, (0.1, 0.2, 0.6), strict=True)}
ROUND = ("announce", "submit", "vote", "commit", "agree", "open", "certify", "check", "finish")


@pytest.fixture
def average() -> Iterator[SecureAverage]:
    made = SecureAverage(NAMES, D, aggregators=2, threads=1)
    yield made
    made.close()


def watched(average: SecureAverage, monkeypatch: pytest.MonkeyPatch) -> list[tuple[Packet, View, Effects]]:
    """Every request to a host from here on, with what the host was shown and what it did."""
    seen: list[tuple[Packet, View, Effects]] = []
    handle = Host.handle

    def watch(self: Host, packet: Packet, view: View) -> Effects:
        effects = handle(self, packet, view)
        seen.append((packet, view, effects))
        return effects

    monkeypatch.setattr(Host, "handle", watch)
    return seen


def test_a_round_is_the_table_and_every_party_is_asked_for_its_part_once(average, monkeypatch) -> None:
    seen = watched(average, monkeypatch)
    assert np.allclose(average(UPDATES).mean, 0.3, atol=1e-3)
    assert tuple(dict.fromkeys(packet.step for packet, *_ in seen)) == ROUND
    assert set(STEPS) < set(ROUND)
    asked = Counter((packet.receiver.split()[0], packet.step) for packet, *_ in seen)
    assert asked == {
        **{("aggregator", step): 2 for step in ROUND if step not in ("submit", "check")},
        **{("client", step): 3 for step in ("submit", "check")},
    }


def test_bytes_carry_a_round_as_the_messages_do(average, monkeypatch) -> None:
    handle, hub_handle = Host.handle, HubHost.handle
    monkeypatch.setattr(Host, "handle", lambda self, packet, view: handle(self, packet.encoded(), view))
    monkeypatch.setattr(HubHost, "handle", lambda self, packet: hub_handle(self, packet.encoded()))
    assert np.allclose(average(UPDATES).mean, 0.3, atol=1e-3)


def test_a_host_that_is_made_anew_from_its_store_before_every_request_goes_on(average, monkeypatch) -> None:
    parties, handle = average._parties, Host.handle

    def anew(self: Host, packet: Packet, view: View) -> Effects:
        fresh = AggregatorHost(self.own) if isinstance(self, AggregatorHost) else ClientHost(self.own, self.application)
        return handle(fresh, packet, view)

    monkeypatch.setattr(Host, "handle", anew)
    for _ in range(2):
        assert np.allclose(average(UPDATES).mean, 0.3, atol=1e-3)
    assert len(parties.hosts) == 5


def test_a_request_that_comes_twice_is_answered_with_the_same_bytes_and_nothing_more_is_stored(
    average, monkeypatch
) -> None:
    seen = watched(average, monkeypatch)
    average(UPDATES)
    aggregators = [one for one in seen if one[0].receiver.startswith("aggregator") and one[0].step != "finish"]
    after = {}
    for packet, _, effects in reversed(aggregators):  # what the store held once the session's last word was stored
        after.setdefault(packet.receiver, None)
        if after[packet.receiver] is None and effects.write is not None:
            store = MemoryStore()
            view = next(v for p, v, _ in seen if p.receiver == packet.receiver and p.step == "finish")
            store._view = view
            after[packet.receiver] = store
    for packet, _, effects in aggregators:
        if packet.step in ("vote", "commit", "agree", "open", "certify"):
            again = average._parties.hosts[packet.receiver].handle(packet.encoded(), after[packet.receiver].read())
            assert again.write is None
            assert [one.encoded() for one in again.packets] == [one.encoded() for one in effects.packets]


def test_a_client_sends_the_bytes_of_its_submission_once_more(average, monkeypatch) -> None:
    seen = watched(average, monkeypatch)
    average(UPDATES)
    packet, _, effects = next(one for one in seen if one[0].step == "submit" and one[0].receiver == "client 2")
    view = next(v for p, v, _ in seen if p.step == "check" and p.receiver == "client 2")
    sid = effects.packets[0].messages(average.manifest)[0].header.sid
    again = average._parties.hosts["client 2"].handle(Packet(HUB, "client 2", "resend", (sid,)), view)
    assert again.write is None
    assert again.packets[0].encoded().parts == effects.packets[0].encoded().parts
    with pytest.raises(RefusedError, match="client 2 keeps no update of that session"):
        average._parties.hosts["client 2"].handle(Packet(HUB, "client 2", "resend", (bytes(32),)), view)
    assert packet.step == "submit"


def test_what_a_submission_changes_is_one_write_and_its_update_is_gone_once_the_weights_moved_on(
    average, monkeypatch
) -> None:
    seen = watched(average, monkeypatch)
    average(UPDATES)
    _, _, effects = next(one for one in seen if one[0].step == "submit")
    assert effects.write is not None
    assert sorted(kind for kind, _ in effects.write.bodies) == ["kept", "memory", "update"]
    assert len(effects.write.rows) == 1
    average(UPDATES)
    held = average._parties.stores["client 1"].read()
    assert sorted(kind for kind, _ in held.bodies) == ["kept", "memory", "model", "update"], "of the last one alone"


def test_the_hub_stores_that_it_opens_before_it_asks_anybody_to(average, monkeypatch) -> None:
    handle, wrote = HubHost.handle, []

    def watch(self: HubHost, packet: Packet) -> Effects:
        effects = handle(self, packet)
        if effects.write is not None:
            wrote.append((effects.write, {one.step for one in effects.packets}))
        return effects

    monkeypatch.setattr(HubHost, "handle", watch)
    average(UPDATES)
    ((write, steps),) = wrote
    assert [kind for kind, _ in write.bodies] == ["opening"]
    assert steps == {"open"}
    restarted = HubHost(average.manifest, average._parties.hub.key, average._parties.stores[HUB].read())
    assert restarted.opening == {sid for _, sid in write.bodies}


def test_the_hub_holds_nothing_of_a_session_that_has_ended(average) -> None:
    """The updates of all clients, in a process that may run for months."""
    hub = average._parties.hub
    average(UPDATES)
    assert (hub.sessions, hub.session.submissions, dict(hub.session.got)) == ({}, {}, {})
    with pytest.raises(AbortError):
        average(dict(list(UPDATES.items())[:1]))
    assert (hub.sessions, hub.session.submissions, dict(hub.session.got)) == ({}, {}, {})
    average(UPDATES)


# What is refused


def test_a_host_takes_only_requests_that_it_knows_and_that_are_for_it(average) -> None:
    host, view = average._parties.hosts["client 1"], average._parties.stores["client 1"].read()
    for packet in (Packet(HUB, "client 2", "vouch", ()), Packet(HUB, "client 1", "sing", ())):
        with pytest.raises(MalformedError, match=f"client 1 knows no {packet.step}"):
            host.handle(packet, view)
    assert host.handle(Packet(HUB, "client 1", "vouch", ()), view).packets


def test_a_party_without_a_memory_of_the_task_says_so(average) -> None:
    for name, step in (("client 1", "vouch"), ("aggregator 1", "start"), ("aggregator 1", "words")):
        parts = (bytes(32),) if step == "words" else ()
        with pytest.raises(RefusedError, match=r"no memory of this task|makes no set-up"):
            average._parties.hosts[name].handle(Packet(HUB, name, step, parts), View({}))


def test_a_message_of_another_kind_is_malformed_as_bytes_and_as_it_is(average, monkeypatch) -> None:
    seen = watched(average, monkeypatch)
    average(UPDATES)
    vote = next(one for one in seen if one[0].step == "vote")[2].packets[0].parts[0]
    packet, view, _ = next(one for one in seen if one[0].step == "agree")
    host = average._parties.hosts[packet.receiver]
    with pytest.raises(MalformedError, match="a Vote is not what was asked for"):
        host.handle(replace(packet, parts=(vote, *packet.parts)), view)
    with pytest.raises(MalformedError):
        host.handle(replace(packet, parts=(vote.to_bytes(), *packet.parts)), view)


def test_the_hub_refuses_what_its_sender_did_not_sign(average, monkeypatch) -> None:
    seen = watched(average, monkeypatch)
    average(UPDATES)
    answer = next(one for one in seen if one[0].step == "vote")[2].packets[0]
    forged = replace(answer.parts[0], signature=bytes(64))
    hub = average._parties.hub
    with pytest.raises(MalformedError, match="does not verify"):
        hub.handle(replace(answer, parts=(forged,)))
    with pytest.raises(MalformedError, match="a message of aggregator 1 came from aggregator 2"):
        hub.handle(replace(answer, sender="aggregator 2"))


def test_of_two_handlers_that_read_the_same_only_one_stores(average, monkeypatch) -> None:
    seen = watched(average, monkeypatch)
    average(UPDATES)
    _, view, effects = next(one for one in seen if one[0].step == "vote")
    assert effects.write is not None
    store = MemoryStore()
    store._view = view
    store.write(view, effects.write)
    with pytest.raises(RunDirectoryError, match="another handler stored its word first"):
        store.write(view, effects.write)
    _, view, effects = next(one for one in seen if one[0].step == "submit")
    assert effects.write is not None
    store = MemoryStore()
    store._view = view
    memory = next(name for name in effects.write.bodies if name[0] == "memory")
    others = {name: body for name, body in effects.write.bodies.items() if name != memory}
    store.write(view, replace(effects.write, bodies=others))
    with pytest.raises(RunDirectoryError, match="another task wrote to the ledger first"):
        store.write(view, effects.write)


def test_every_request_has_a_handler_and_every_handler_a_request() -> None:
    handled = {name[3:] for host in (AggregatorHost, ClientHost) for name in dir(host) if name.startswith("do_")}
    assert handled == {*REQUESTS, *ANSWERS, "start"}


def test_nothing_secret_shows_in_what_is_printed_of_a_write_or_a_packet(average, monkeypatch) -> None:
    seen = watched(average, monkeypatch)
    average(UPDATES)
    for packet, _, effects in seen:
        for shown in (repr(packet), repr(effects)):
            assert len(shown) < 3000
            assert "0.1" not in shown.replace("0.10", "")


# What a hostile hub, a hostile client or a kill makes of the order of requests


def _begin_set_up(average: SecureAverage) -> ClientHost:
    """The second set-up of a task, up to the keys that the clients sealed; the first client."""
    parties = average._parties
    parties.carry(parties.hub.offer(2, 1, parties.hub.clients))
    client = parties.hosts["client 1"]
    assert isinstance(client, ClientHost)
    return client


def test_a_refused_request_to_seal_leaves_the_set_up_under_way_and_the_model_that_came_with_it(average) -> None:
    """Else a client starts with the memory of a later state and an older model: it would send a second update from that
    model, under weights that its ledger does not know.
    """
    client, parties = _begin_set_up(average), average._parties
    client.given = b"a model that others vouched for"
    begun = client.setup
    forged = tuple(replace(parties.hub.made["key"][name][0], signature=bytes(64)) for name in parties.hub.aggregators)
    with pytest.raises(MalformedError):
        client.handle(Packet(HUB, "client 1", "seal", forged), parties.stores["client 1"].read())
    assert client.setup is begun
    assert client.given == b"a model that others vouched for"


def test_a_client_starts_with_the_model_of_its_training_state_alone(average) -> None:
    client, parties = _begin_set_up(average), average._parties
    parties.carry(parties.hub.pass_on_sealed())
    parties.carry(parties.hub.hand_out_group_keys())
    client.given = bytes(39) + b"1"
    with pytest.raises(RefusedError, match="does not hold the model of its training state"):
        client.handle(Packet(HUB, "client 1", "start", ()), parties.stores["client 1"].read())


def test_a_host_holds_nothing_of_what_it_was_shown_or_what_is_to_be_stored(average) -> None:
    """A store erases keys, salts and updates; a process that runs for months must not keep them."""
    average(UPDATES)
    for host in average._parties.hosts.values():
        assert (dict(host.seen.bodies), host.seen.rows, host._write) == ({}, (), None)


def test_an_aggregator_holds_no_share_of_a_session_that_was_given_up(average) -> None:
    average(UPDATES)
    parties, hub = average._parties, average._parties.hub
    for name, trainer in average._trainers.items():
        trainer.given = (UPDATES[name], 1)
    named = Named(hub.setup, 7, average._state_id())
    asked = parties.carry(hub.announce(named, hub.clients), but=("agree",))
    aggregators = [parties.hosts[name] for name in hub.aggregators]
    assert {packet.step for packet in asked} == {"agree"}
    assert all(own._committed is not None for own in aggregators)
    parties.carry(hub.give_up(named))
    assert all(own._committed is None for own in aggregators)


@pytest.mark.parametrize("kept", [0, 1, 2])
def test_the_hub_refuses_less_of_a_client_than_a_set_up_takes(average, kept) -> None:
    _begin_set_up(average)
    hub = average._parties.hub
    whole = hub.made["seal"]["client 3"]
    assert len(whole) == 3
    with pytest.raises(MalformedError, match="client 3 did not answer seal with all that it takes"):
        hub.handle(Packet("client 3", HUB, "seal", whole[:kept]))
    hub.handle(Packet("client 3", HUB, "seal", whole))
    average._parties.carry(hub.pass_on_sealed())


@pytest.mark.parametrize("sender", ["aggregator 1", "client 1"])
def test_the_hub_takes_no_empty_key(average, sender) -> None:
    hub = average._parties.hub
    hub.offer(2, 1, hub.clients)
    with pytest.raises(MalformedError, match="did not answer key"):
        hub.handle(Packet(sender, HUB, "key", ()))
    assert not hub.made["key"]


def test_the_hub_hears_no_stranger_and_keeps_no_closing_that_it_did_not_ask_for(average) -> None:
    hub, own = average._parties.hub, average._parties.hosts["aggregator 1"].own
    closing = Closing(bytes(32), 1, VOID).signed_by(own.identity, bytes(32))
    with pytest.raises(MalformedError, match="is no party of this task"):
        hub.handle(Packet("nobody", HUB, "closing", (closing,)))
    hub.handle(Packet("aggregator 1", HUB, "closing", (closing,)))
    assert hub.closings == {}
    fresh = HubHost(average.manifest, hub.key)
    assert fresh.handle(Packet("aggregator 1", HUB, "words", ())).packets == ()


def test_the_hub_stores_that_it_opens_as_often_as_it_asks_anybody_to(average) -> None:
    """The first write may have failed. And what it learns of the roster later takes the place of nothing."""
    hub = average._parties.hub
    for known in (b"", b"a roster", b"a roster"):
        hub.begin_to_open(bytes(32), known)
        write = hub.effects([]).write
        assert write is not None
        assert write.bodies == {("opening", bytes(32)): known}
    hub.begin_to_open(bytes(32))
    assert hub.effects([]).write is None
