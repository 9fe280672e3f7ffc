"""19. A guess about an input tested by mixing group keys in one roster: the roster is refused."""

from __future__ import annotations

from dataclasses import replace

import pytest

from privateyes.aggregation import aggregator
from privateyes.aggregation.messages import RosterCommitment
from privateyes.aggregation.result import Check
from privateyes.errors import AbortError


def _mix(network, wrong: int) -> None:
    """Client 4 claims another group key, and the hub counts its share with the guess subtracted."""

    def other(submission):
        return replace(submission, header=network.sign(replace(submission.header, group_check=bytes(32))))

    network.adversary.on("submit", lambda packet: network.altered(packet, 0, other), sender="client 4")
    network.hub.one_kind = list  # the hub passes on what does not fit together
    network.hub.shift = lambda share: network.shifted(share, {0: wrong})
    network.play()


def test_the_honest_aggregator_commits_to_no_roster_with_two_group_keys(coalition) -> None:
    _mix(coalition, 0)
    (error,) = coalition.honest_errors()
    assert isinstance(error, AbortError)
    assert "different group keys" in str(error)
    assert not coalition.honest_word(RosterCommitment)
    coalition.require_sound()


def test_without_that_guard_whether_a_client_accepts_tells_whether_the_guess_was_right(
    make_network, case, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(aggregator, "require_one_kind_of_header", lambda headers: None)
    verdicts = []
    for wrong in (0, 1):
        network = make_network(**case)
        _mix(network, wrong)
        verdicts.append(bool(network.clients[1].accepted))
    assert verdicts == [True, False]


def test_the_client_compares_the_group_key_before_the_tag(coalition) -> None:
    def mixed(delivery):
        return replace(delivery, group_check=bytes(32), share=coalition.shifted(delivery.share, {0: 1}))

    coalition.adversary.on("check", lambda packet: coalition.altered(packet, 0, mixed), sender="hub")
    coalition.play()
    assert {coalition.refusal_of(f"client {i}").check for i in coalition.honest_clients} == {Check.GROUP_KEY}
    coalition.require_sound()
