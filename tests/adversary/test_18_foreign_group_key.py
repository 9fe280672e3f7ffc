"""18. The hub seals a group key of its own, replays an ex-member's, or the leader gives one client another K."""

from __future__ import annotations

from dataclasses import replace

import pytest

from privateyes.aggregation.memory import FollowedSession
from privateyes.aggregation.messages import SealedGroupKey
from privateyes.aggregation.result import Check
from privateyes.aggregation.setup import AggregatorSetup, ClientSetup, _group_key_info
from privateyes.crypto.sealing import seal
from privateyes.errors import AbortError, MalformedError, RefusedError

KEY = bytes([0x55]) * 32


def _sealed(network, recipient: int, leader: int = 1, key: bytes = KEY) -> SealedGroupKey:
    """A group key of the adversary's choice for one client; all that it takes is that client's public sealing key."""
    setup = network.clients[recipient].setup
    info = _group_key_info(setup._setup, leader, recipient)
    return SealedGroupKey(setup._setup, leader, recipient, seal(key, setup.key().public_key, info))


def _set_up_with(network, message_for_two) -> None:
    """A new set-up in which client 2 gets what the adversary makes of its sealed group key."""

    def swap(packet):
        return replace(packet, parts=(message_for_two().to_bytes(),))

    network.adversary.on("group", swap, sender="hub", receiver="client 2")
    network.before = network.hub.setup
    network.set_up()


def _is_where_it_was(network) -> bool:
    """Without the key the set-up does not start at client 2."""
    return network.clients[2].memory.group.setup == network.before


def test_a_key_that_the_hub_sealed_is_refused(coalition) -> None:
    _set_up_with(coalition, lambda: _sealed(coalition, 2))
    error = coalition.errors_of("client 2")[0]
    assert isinstance(error, MalformedError)
    assert "does not verify" in str(error)
    assert _is_where_it_was(coalition)
    coalition.require_sound()


@pytest.mark.parametrize("leader", [4, 1])
def test_a_key_of_a_client_that_is_not_the_leader_is_refused(coalition, leader) -> None:
    """Client 4, corrupt, signs in its own name and in the leader's."""

    def message():
        setup = coalition.clients[2].setup
        return _sealed(coalition, 2, leader).signed_by(coalition.clients[4].own.identity, setup._setup)

    _set_up_with(coalition, message)
    assert isinstance(coalition.errors_of("client 2")[0], RefusedError if leader == 4 else MalformedError)
    assert _is_where_it_was(coalition)


@pytest.mark.parametrize("renamed", [False, True])
def test_a_key_of_an_earlier_set_up_is_refused(coalition, renamed) -> None:
    """An ex-member may know it."""
    coalition.set_up()
    old = next(p for p in coalition.adversary.seen if p.step == "group" and p.receiver == "client 2")
    (message,) = old.messages(coalition.manifest)
    _set_up_with(coalition, lambda: replace(message, setup=coalition.hub.setup) if renamed else message)
    assert isinstance(coalition.errors_of("client 2")[0], MalformedError if renamed else RefusedError)
    assert _is_where_it_was(coalition)


def test_a_second_key_in_one_set_up_is_refused(world) -> None:
    offers = [AggregatorSetup(world.manifest, s, key, 2, 1) for s, key in world.aggregator_keys.items()]
    joining = ClientSetup(world.manifest, 2, world.client_keys[2], world.client_memories[2])
    setup = joining.bind([own.key() for own in offers])
    sealed = SealedGroupKey(setup, 1, 2, seal(KEY, joining.key().public_key, _group_key_info(setup, 1, 2)))
    message = sealed.signed_by(world.client_keys[1], setup)
    joining.receive_group_key(message)
    with pytest.raises(RefusedError, match="a second group key"):
        joining.receive_group_key(message)


def test_without_the_signature_the_hub_chooses_the_group_key_and_reads_what_it_masks(
    coalition, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(SealedGroupKey, "require_signature_of", lambda self, key, context: None)
    for i in coalition.honest_clients:
        coalition.adversary.on(
            "group",
            lambda packet, i=i: replace(packet, parts=(_sealed(coalition, i).to_bytes(),)),
            sender="hub",
            receiver=f"client {i}",
        )
    coalition.set_up()
    taken = {
        coalition.clients[i].memory.group.key for i in coalition.honest_clients if i not in coalition.manifest.leaders
    }
    assert taken == {KEY}


@pytest.fixture
def two_faced(make_network, case):
    """The leader, corrupt, gives client 2 another key than the others."""
    network = make_network(**case, corrupt_clients=(1,))
    leader = network.clients[1]

    def message():
        return _sealed(network, 2).signed_by(leader.own.identity, network.clients[2].setup._setup)

    _set_up_with(network, message)
    assert network.clients[2].memory.group.key == KEY
    assert network.clients[3].memory.group.key != KEY
    network.honest_clients = [3, 4, 2]
    return network


def test_a_client_with_another_key_refuses_the_announced_state(two_faced) -> None:
    two_faced.play(1, 2, 3, 4)
    assert isinstance(two_faced.errors_of("client 2")[0], RefusedError)
    assert two_faced.clients[3].accepted[0].roster == (1, 3, 4)
    assert not two_faced.clients[2].accepted
    two_faced.require_sound()


def test_a_client_with_another_key_refuses_the_result_at_the_key_before_any_tag(two_faced) -> None:
    """Even if the announcement had got past it."""
    two_faced.play(1, 3, 4, until="check")
    actor = two_faced.clients[2]
    followed = FollowedSession(actor.memory.group.setup, two_faced.round, two_faced.state_id, actor.memory.group)
    actor.put(replace(actor.memory, followed=(followed,)))
    two_faced.run()
    assert two_faced.refusal_of("client 2").check == Check.GROUP_KEY
    two_faced.require_sound()


@pytest.mark.parametrize("name", ["group_check", "session_key_hash"])
def test_the_honest_aggregator_refuses_a_roster_with_two_group_keys(coalition, name) -> None:
    def other(submission):
        return replace(submission, header=coalition.sign(replace(submission.header, **{name: bytes(32)})))

    coalition.adversary.on("submit", lambda packet: coalition.altered(packet, 0, other), sender="client 4")
    coalition.hub.one_kind = list  # a corrupt hub passes on what does not fit together
    coalition.play()
    (error,) = coalition.honest_errors()
    assert isinstance(error, AbortError)
    assert "different group keys" in str(error)
    coalition.require_sound()
