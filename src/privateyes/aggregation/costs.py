"""What a set-up and a round cost in bytes, and a round in message delays, as formulas over the manifest's numbers; a
test holds them against counted traffic.

The leading term of a round is one vector for each client up and down, whatever the number of aggregators, and n vectors
down and one up for each aggregator, whatever the number of clients. The number of delays depends on neither.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from privateyes.aggregation.manifest import Manifest
from privateyes.crypto.sealing import SEALED_KEY_BYTES, SEALING_PUBLIC_KEY_BYTES
from privateyes.crypto.signature import SIGNATURE_BYTES
from privateyes.crypto.statement import HASH_BYTES

_KIND: Final = 1
_AGGREGATOR: Final = 2
_CLIENT: Final = 4
_ROUND: Final = 8
_EPOCH: Final = 8
_ACTION: Final = 1
_ENTRY: Final = _CLIENT + HASH_BYTES
_SIGNED: Final = _KIND + SIGNATURE_BYTES
_REQUEST: Final = _SIGNED + _ACTION + _ROUND + 2 * HASH_BYTES


MESSAGES_IN_TURN: Final = (
    ("HubRequest", 1),
    ("Announcement", 2),  # by way of the hub, as everything between aggregators, and from aggregators to clients
    ("Submission", 1),
    ("Header", 1),
    ("Vote", 2),
    ("RosterCommitment", 2),  # HubCommitment goes along
    ("Agreement", 2),
    ("Opening", 2),  # HubSum goes along
    ("ResultSignature", 1),  # the aggregators are shown the others' too, but nobody waits for that
    ("Delivery", 1),
)
"""What a round waits for, one after the other, and over how many hops each goes."""


DISCLOSURE: Final = ("Disclosure", 2)


def messages_in_turn(manifest: Manifest) -> tuple[tuple[str, int], ...]:
    """``MESSAGES_IN_TURN``, and in public mode the disclosure of the session's key."""
    return MESSAGES_IN_TURN if manifest.sealed else (*MESSAGES_IN_TURN, DISCLOSURE)


def message_delays(manifest: Manifest) -> int:
    """One-way delays of a round over a relaying hub: 15, in public mode 17, whatever n, m and d are."""
    return sum(hops for _, hops in messages_in_turn(manifest))


@dataclass(frozen=True, slots=True)
class RoundCosts:
    """Bytes of one round in which nothing goes wrong, without the framing of a network.

    Attributes:
        client_up: sent by a client that submits.
        client_down: received by any client.
        aggregator_up: sent by an aggregator.
        aggregator_down: received by an aggregator.
        disclosure: in public mode, sent by one client besides and received by every other; 0 in sealed mode.
        again_client_down: where updates are sent again, received besides by a client that does.
        again_aggregator_down: likewise by an aggregator.
    """

    client_up: int
    client_down: int
    aggregator_up: int
    aggregator_down: int
    disclosure: int
    again_client_down: int
    again_aggregator_down: int


def round_costs(manifest: Manifest, submitted: int, roster: int) -> RoundCosts:
    """The bytes of one round.

    Args:
        submitted: clients that submitted.
        roster: clients that were counted.
    """
    n = len(manifest.aggregators)
    share = manifest.share_bytes
    header = _SIGNED + _CLIENT + 6 * HASH_BYTES + (1 + n * HASH_BYTES)
    announcement = _SIGNED + _AGGREGATOR + _ROUND + 2 * HASH_BYTES
    vote = _SIGNED + HASH_BYTES + _AGGREGATOR + 4 + submitted * _ENTRY
    roster_commitment = _SIGNED + _AGGREGATOR + 3 * HASH_BYTES
    agreement = result = _SIGNED + _AGGREGATOR + 2 * HASH_BYTES
    opening = _SIGNED + _AGGREGATOR + 2 * HASH_BYTES + share
    hub_commitment = _KIND + 2 * HASH_BYTES
    hub_sum = _KIND + HASH_BYTES + share
    origin = _KIND + 2 * HASH_BYTES + 4 + roster * _ENTRY
    lists = (4 + roster * _ENTRY) + (1 + (n + 1) * HASH_BYTES) + (1 + n * SIGNATURE_BYTES)
    delivery = _KIND + 2 * HASH_BYTES + lists + share
    exchanged = vote + roster_commitment + agreement + opening + result
    return RoundCosts(
        client_up=_KIND + header + share,
        client_down=n * announcement + delivery,
        aggregator_up=announcement + exchanged,
        aggregator_down=_REQUEST + submitted * header + (n - 1) * exchanged + hub_commitment + hub_sum,
        disclosure=0 if manifest.sealed else _SIGNED + _CLIENT + 3 * HASH_BYTES,
        again_client_down=origin + n * roster_commitment,
        again_aggregator_down=origin,
    )


@dataclass(frozen=True, slots=True)
class SetupCosts:
    """Bytes of one set-up, without training states for those who lack one.

    Attributes:
        client_up: sent by a client.
        client_down: received by a client.
        leader_up: sent by the leader besides.
        leader_down: received by the leader besides.
        aggregator_up: sent by an aggregator.
        aggregator_down: received by an aggregator.
    """

    client_up: int
    client_down: int
    leader_up: int
    leader_down: int
    aggregator_up: int
    aggregator_down: int


def setup_costs(manifest: Manifest, clients: int) -> SetupCosts:
    """The bytes of one set-up.

    Args:
        clients: those that take part, the leader among them.
    """
    n = len(manifest.aggregators)
    aggregator_key = _SIGNED + _EPOCH + _CLIENT + _AGGREGATOR + SEALING_PUBLIC_KEY_BYTES
    client_key = _SIGNED + HASH_BYTES + _CLIENT + SEALING_PUBLIC_KEY_BYTES
    stream_key = _SIGNED + HASH_BYTES + _CLIENT + _AGGREGATOR + SEALED_KEY_BYTES
    group_key = _SIGNED + HASH_BYTES + 2 * _CLIENT + SEALED_KEY_BYTES
    return SetupCosts(
        client_up=client_key + n * stream_key,
        client_down=n * aggregator_key + group_key,
        leader_up=clients * group_key,
        leader_down=clients * client_key,
        aggregator_up=aggregator_key,
        aggregator_down=(n - 1) * aggregator_key + _REQUEST + clients * stream_key,
    )
