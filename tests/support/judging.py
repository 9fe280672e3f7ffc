"""The ideal functionality's judgement on everything that was said and accepted in a network."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any

import numpy as np

from privateyes.aggregation.functionality import aggregate
from privateyes.aggregation.messages import (
    VOID,
    Agreement,
    Announcement,
    Closing,
    Delivery,
    Disclosure,
    Opening,
    ResultSignature,
    RosterCommitment,
    Signed,
)
from privateyes.aggregation.roster import result_digest, roster_digest, transcript_digest
from privateyes.crypto.commitment import merkle_root

if TYPE_CHECKING:
    from network import Network


def require_sound(network: Network) -> None:
    """No honest party said two things about one session, opened what it called void, or accepted a wrong sum."""
    _require_one_word_of_each(network)
    _require_no_second_submission(network)
    for i in network.honest_clients:
        for average, delivery in network.clients[i].verified:
            _require_right_sum(network, average)
            _require_fixed_before_opening(network, delivery)


def _require_one_word_of_each(network: Network) -> None:
    words = network.honest_word(Signed)
    for kind in (RosterCommitment, Agreement, Opening, ResultSignature, Closing):
        by_sid = defaultdict(set)
        for message in words:
            if isinstance(message, kind):
                by_sid[message.sid].add(message.to_bytes())
        assert all(len(found) == 1 for found in by_sid.values()), f"two different {kind.__name__} for one session"
    announced = [(m.epoch, m.round, m.state_id) for m in words if isinstance(m, Announcement)]
    assert len({subject[:2] for subject in announced}) == len(set(announced)), "two announcements of one round"
    opened = {message.sid for message in words if isinstance(message, Opening)}
    void = {message.sid for message in words if isinstance(message, Closing) and message.outcome == VOID}
    assert not opened & void, "opened a session that it called void"
    _require_no_early_disclosure(network)


def _require_no_early_disclosure(network: Network) -> None:
    signed: set[bytes] = set()
    for name, message in network.said:
        if isinstance(message, ResultSignature) and message.aggregator == network.honest:
            signed.add(message.sid)
        if isinstance(message, Disclosure) and name not in network.corrupt:
            assert message.sid in signed, "disclosed the key of a session whose result is not signed"


def _require_no_second_submission(network: Network) -> None:
    void = {message.sid for message in network.honest_word(Closing) if message.outcome == VOID}
    for (client, _), sids in network.submitted_from.items():
        if client in network.honest_clients:
            assert len(set(sids)) == len(sids), "two submissions to one session"
            assert set(sids[:-1]) <= void, "a second submission from one state without the honest word that it is void"


def _require_right_sum(network: Network, average: Any) -> None:
    inputs, honest = network.inputs[average.sid], set(average.roster) - set(network.corrupt_clients)
    assert honest <= set(inputs), "somebody is counted who did not submit"
    assert len(average.roster) >= network.manifest.roster_min, "too few are counted"
    if not network.corrupt_clients:
        expected = aggregate(inputs, average.roster, network.manifest.roster_min)
        assert average.total_weight == expected.total_weight, "a wrong total weight was accepted"
        assert np.array_equal(average.mean, network.mean_of(expected)), "a wrong sum was accepted"


def _require_fixed_before_opening(network: Network, delivery: Delivery) -> None:
    """The accepted sum stood in the T that the honest aggregator signed before it opened: any shift was blind."""
    rho = roster_digest(delivery.sid, delivery.group_check, delivery.roster)
    transcript = transcript_digest(delivery.sid, rho, delivery.commitments)
    words = [message for message in network.honest_word(Signed) if getattr(message, "sid", None) == delivery.sid]
    spoken = [message for message in words if isinstance(message, Agreement | Opening)]
    assert isinstance(spoken[0], Agreement), "opened before it had signed T"
    assert spoken[0].transcript == transcript, "accepted what is not in the signed T"
    result = result_digest(delivery.sid, transcript, merkle_root(delivery.share), len(delivery.roster))
    assert {m.result for m in words if isinstance(m, ResultSignature)} == {result}, "accepted what is not signed"
