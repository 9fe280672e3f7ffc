"""11. Client i's package replayed as client j's, at another aggregator or in a later round: left out."""

from __future__ import annotations

from dataclasses import replace

import pytest

from privateyes.aggregation.messages import NO_SESSION, Header, Submission, Vote


def _voted_for(network) -> list[int]:
    return [client for client, _ in network.honest_word(Vote)[-1].entries]


def _show_instead(network, *headers) -> None:
    """The hub shows every aggregator these headers in place of the true ones."""
    network.adversary.on("vote", lambda packet: packet.with_messages(headers) if packet.sender == "hub" else packet)


def test_a_header_under_another_clients_number_is_left_out(coalition) -> None:
    coalition.play(1, 2, 4, until="vote")
    first, second = (coalition.session.submissions[i].header for i in (1, 2))
    stolen = replace(first, client=3)
    named = replace(stolen, sealed_hashes=coalition.clients[3].memory.sealed_hashes)
    resigned = replace(named, client=4)
    forged = replace(named, signature=coalition.sign(resigned).signature)
    _show_instead(coalition, second, stolen, named, forged)
    coalition.run()
    assert _voted_for(coalition) == [2]
    memory = coalition.aggregators[coalition.honest].memory
    assert "signature" in coalition.aggregators[coalition.honest].own._fault_of(
        named, memory, memory.session, {NO_SESSION}
    )
    coalition.require_sound()


def test_a_corrupt_client_that_sends_anothers_share_as_its_own_spoils_its_own_round_only(coalition) -> None:
    """Its streams do not fit, so the sum is noise and every client refuses."""
    coalition.play(until="vote")
    copied = coalition.session.submissions[1].share
    coalition.session.submissions[4] = replace(coalition.session.submissions[4], share=copied)
    coalition.run()
    assert coalition.nobody_accepted()
    coalition.require_sound()


def test_a_package_from_an_earlier_round_is_left_out(coalition) -> None:
    coalition.play()
    earlier = [message.header for message in coalition.words_of("client 1", Submission)]
    coalition.announce(2, 3, 4)
    coalition.run(until="vote")
    _show_instead(coalition, *earlier)
    coalition.run()
    assert _voted_for(coalition) == []
    coalition.require_sound()


def test_a_package_from_an_earlier_set_up_is_left_out_even_at_the_same_round_and_state(coalition) -> None:
    coalition.play(until="vote")
    coalition.flight.clear()
    earlier, sid = coalition.session.submissions[1].header, coalition.sid
    coalition.set_up()
    coalition.announce(2, 3, 4)
    assert coalition.sid != sid
    coalition.run(until="vote")
    coalition.flight = coalition.hub.ask(coalition.hub.aggregators, "vote", [coalition.sid, earlier.to_bytes()])
    coalition.run()
    assert _voted_for(coalition) == []
    coalition.require_sound()


def test_a_header_that_names_another_stream_key_of_this_aggregator_is_left_out(coalition) -> None:
    """What was sealed to another aggregator, or fewer or more keys than there are aggregators."""
    coalition.play(until="vote")
    honest = coalition.honest - 1
    hashes = coalition.clients[4].memory.sealed_hashes
    swapped = list(hashes)
    swapped[honest], swapped[honest - 1] = swapped[honest - 1], swapped[honest]
    actor = coalition.aggregators[coalition.honest]
    for wrong in (tuple(swapped), hashes[:1], (*hashes, bytes(32)), ()):
        header = coalition.sign(replace(coalition.session.submissions[4].header, sealed_hashes=wrong))
        assert (
            actor.own._fault_of(header, actor.memory, actor.memory.session, {NO_SESSION})
            == "its header names another stream key"
        )
    _show_instead(coalition, *(coalition.session.submissions[i].header for i in (1, 2, 3)), header)
    coalition.run()
    assert _voted_for(coalition) == [1, 2, 3]
    coalition.require_sound()


def test_without_the_signature_a_package_passes_as_another_clients(coalition, monkeypatch: pytest.MonkeyPatch) -> None:
    coalition.play(1, 2, 4, until="vote")
    first = coalition.session.submissions[1].header
    stolen = replace(first, client=3, sealed_hashes=coalition.clients[3].memory.sealed_hashes)
    monkeypatch.setattr(Header, "require_signature_of", lambda self, key, context: None)
    _show_instead(coalition, stolen)
    coalition.run()
    assert _voted_for(coalition) == [3]
