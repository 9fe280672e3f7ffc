"""11. Client i's package replayed as client j's, at another aggregator or in a later round: left out."""

from __future__ import annotations

from dataclasses import replace

import pytest

from privateyes.aggregation.messages import Header


def test_a_header_under_another_clients_number_is_left_out(world) -> None:
    world.run(1, 2, to="submit")
    stolen = replace(world.submissions[1].header, client=3)
    named = replace(stolen, sealed_hashes=world.client_memories[3].sealed_hashes)
    headers = [world.submissions[2].header, stolen, named]
    world.vote(everywhere=headers)
    assert [i for i, _ in world.votes[0].entries] == [2]
    assert "signature" in world.states[1].rejected[3]


def test_a_header_from_an_earlier_round_is_left_out(world) -> None:
    world.run(to="submit")
    earlier = world.submissions[1].header
    world.announce()
    world.vote(everywhere=[earlier])
    assert world.votes[0].entries == ()
    assert world.states[1].rejected == {1: "its header is for another session"}


def test_a_header_from_an_earlier_epoch_is_left_out_even_at_the_same_round_and_state(world) -> None:
    world.run(to="submit")
    earlier, sid = world.submissions[1].header, world.sid
    world.set_up(bytes(32))
    world.announce()
    assert world.sid != sid
    world.vote(everywhere=[earlier])
    assert world.votes[0].entries == ()


def test_a_header_that_names_another_stream_key_of_this_aggregator_is_left_out(world) -> None:
    world.run(to="submit")
    memory = world.client_memories[1]
    swapped = (memory.sealed_hashes[1], memory.sealed_hashes[0], *memory.sealed_hashes[2:])
    for hashes in (swapped, swapped[:1], (*memory.sealed_hashes, bytes(32)), ()):
        header = replace(world.submissions[1].header, sealed_hashes=hashes).signed_by(world.client_keys[1], world.sid)
        found = world.aggregators[1]._fault_of(header, world.aggregator_memories[1])
        assert found == "its header names another stream key"


def test_without_the_signature_a_package_passes_as_another_clients(world, monkeypatch: pytest.MonkeyPatch) -> None:
    world.run(1, 2, to="submit")
    stolen = replace(world.submissions[1].header, client=3, sealed_hashes=world.client_memories[3].sealed_hashes)
    monkeypatch.setattr(Header, "require_signature_of", lambda self, key, context: None)
    world.vote(everywhere=[stolen])
    assert [i for i, _ in world.votes[0].entries] == [3]
