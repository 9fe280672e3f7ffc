"""What a round costs in bytes and in message delays, as formulas over the manifest's numbers; a test holds them against
counted traffic.

The leading term is one vector for each client up and down, whatever the number of aggregators, and n vectors down and
one up for each aggregator, whatever the number of clients. The number of delays depends on neither.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from privateyes.aggregation.manifest import Manifest
from privateyes.crypto.signature import SIGNATURE_BYTES
from privateyes.crypto.statement import HASH_BYTES

_KIND: Final = 1
_AGGREGATOR: Final = 2
_CLIENT: Final = 4
_ROUND: Final = 8
_ENTRY: Final = _CLIENT + HASH_BYTES
_SIGNED: Final = _KIND + SIGNATURE_BYTES


MESSAGES_IN_TURN: Final = (
    ("Announcement", 2),  # by way of the hub, as everything between aggregators, and from aggregators to clients
    ("Submission", 1),
    ("Header", 1),
    ("Vote", 2),
    ("RosterCommitment", 2),  # HubCommitment goes along
    ("Agreement", 2),
    ("Opening", 2),  # HubSum goes along
    ("ResultSignature", 1),
    ("Delivery", 1),
)
"""What a round waits for, one after the other, and over how many hops each goes."""


DISCLOSURE: Final = ("Disclosure", 2)


def messages_in_turn(manifest: Manifest) -> tuple[tuple[str, int], ...]:
    """``MESSAGES_IN_TURN``, and in public mode the disclosure of the session's key."""
    return MESSAGES_IN_TURN if manifest.sealed else (*MESSAGES_IN_TURN, DISCLOSURE)


def message_delays(manifest: Manifest) -> int:
    """One-way delays of a round over a relaying hub: 14, in public mode 16, whatever n, m and d are."""
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
    """

    client_up: int
    client_down: int
    aggregator_up: int
    aggregator_down: int
    disclosure: int


def round_costs(manifest: Manifest, submitted: int, roster: int) -> RoundCosts:
    """The bytes of one round.

    Args:
        submitted: clients that submitted.
        roster: clients that were counted.
    """
    n = len(manifest.aggregators)
    share = manifest.share_bytes
    header = _SIGNED + _CLIENT + 5 * HASH_BYTES + (1 + n * HASH_BYTES)
    announcement = _SIGNED + _AGGREGATOR + 2 * _ROUND + HASH_BYTES
    vote = _SIGNED + HASH_BYTES + _AGGREGATOR + 4 + submitted * _ENTRY
    roster_commitment = _SIGNED + _AGGREGATOR + 3 * HASH_BYTES
    agreement = result = _SIGNED + _AGGREGATOR + 2 * HASH_BYTES
    opening = _SIGNED + _AGGREGATOR + 2 * HASH_BYTES + share
    hub_commitment = _KIND + 2 * HASH_BYTES
    hub_sum = _KIND + HASH_BYTES + share
    lists = (4 + roster * _ENTRY) + (1 + (n + 1) * HASH_BYTES) + (1 + n * SIGNATURE_BYTES)
    delivery = _KIND + 2 * HASH_BYTES + lists + share
    exchanged = vote + roster_commitment + agreement + opening
    return RoundCosts(
        client_up=_KIND + header + share,
        client_down=n * announcement + delivery,
        aggregator_up=announcement + exchanged + result,
        aggregator_down=submitted * header + (n - 1) * exchanged + hub_commitment + hub_sum,
        disclosure=0 if manifest.sealed else _SIGNED + _CLIENT + 3 * HASH_BYTES,
    )
