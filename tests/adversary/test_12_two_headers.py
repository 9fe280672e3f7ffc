"""12. One client sends two valid headers to different aggregators: left out, and the others' round goes on."""

from __future__ import annotations

from dataclasses import replace

import pytest

from privateyes.aggregation import aggregator
from privateyes.aggregation import hub as honest_hub
from privateyes.aggregation.messages import Vote
from privateyes.errors import AbortError


def _equivocate(network) -> None:
    """The corrupt client's second header goes to the corrupt aggregators, its first to the honest one."""

    def second(header):
        return network.sign(replace(header, nonce=bytes(32)))

    for s in network.liars:
        network.adversary.on(
            "vote", lambda packet: network.altered(packet, -1, second), sender="hub", receiver=f"aggregator {s}"
        )


def test_different_headers_at_different_aggregators_leave_the_client_out(coalition) -> None:
    _equivocate(coalition)
    coalition.play()
    votes = [message for _, message in coalition.said if isinstance(message, Vote)]
    assert len(votes) == coalition.n
    assert all(4 in dict(vote.entries) for vote in votes)
    assert coalition.every_honest_client_accepted(coalition.ideal(1, 2, 3))
    coalition.require_sound()


def test_both_headers_at_one_aggregator_leave_the_client_out(coalition) -> None:
    def both(packet):
        header = packet.messages(coalition.manifest)[-1]
        second = coalition.sign(replace(header, nonce=bytes(32)))
        return packet.with_messages([*packet.messages(coalition.manifest), second])

    coalition.adversary.on("vote", both, sender="hub")
    coalition.play()
    assert [i for i, _ in coalition.honest_word(Vote)[0].entries] == [1, 2, 3]
    assert coalition.every_honest_client_accepted(coalition.ideal(1, 2, 3))
    coalition.require_sound()


def test_the_same_header_twice_is_no_fault(coalition) -> None:
    def twice(packet):
        return packet.with_messages(packet.messages(coalition.manifest) * 2)

    coalition.adversary.on("vote", twice, sender="hub")
    coalition.play()
    assert coalition.every_honest_client_accepted(coalition.ideal())
    coalition.require_sound()


def test_an_intersection_of_client_numbers_alone_lets_one_client_stop_every_round(
    coalition, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The double of the intersection takes whatever entry the first vote has for a client that all voted for."""

    def by_number(votes):
        return tuple(sorted(entry for entry in votes[0] if all(entry[0] in dict(vote) for vote in votes)))

    for module in (aggregator, honest_hub):
        monkeypatch.setattr(module, "intersect", by_number)
    _equivocate(coalition)
    coalition.play()
    assert coalition.nobody_accepted()
    stopped = [error for s in range(1, coalition.n + 1) for error in coalition.errors_of(f"aggregator {s}")]
    assert any("did not vote for" in str(error) for error in stopped)
    assert all(isinstance(error, AbortError) for error in stopped)
