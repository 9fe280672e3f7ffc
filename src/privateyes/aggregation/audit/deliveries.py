"""The deliveries of a session's record, each held against the manifest and its signatures once.

A delivery is nobody's word: it counts if its roster is legal and it carries n signatures on its result.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from privateyes.aggregation.audit.evidence import SessionEvidence, delivered_result
from privateyes.aggregation.manifest import Manifest
from privateyes.aggregation.messages import DeliveryReceipt
from privateyes.aggregation.result import Check, require_legal_roster, require_result_signatures
from privateyes.errors import DeliveryError


@dataclass(frozen=True, slots=True)
class Deliveries:
    """What is known of a session's deliveries.

    Attributes:
        faults: by delivery, why every client refuses it; None where it is certified.
        certified: the first certified one of each result, by result.
        group_checks: every kc that one of them names.
        with_legal_roster: how many of them have a legal roster.
        listed: in how many of those a client is listed, and as what.
    """

    faults: Mapping[DeliveryReceipt, DeliveryError | None]
    certified: Mapping[bytes, DeliveryReceipt]
    group_checks: frozenset[bytes]
    with_legal_roster: int
    listed: Mapping[int, Counter[bytes]]


def look_at_deliveries(manifest: Manifest, session: SessionEvidence) -> Deliveries:
    """Hold every delivery against what all clients hold it against."""
    faults: dict[DeliveryReceipt, DeliveryError | None] = {}
    certified: dict[bytes, DeliveryReceipt] = {}
    listed: dict[int, Counter[bytes]] = {}
    legal = 0
    # Those with their vector come first: of a certified result only one is looked at further.
    for receipt in sorted(session.deliveries, key=lambda receipt: receipt not in session.full):
        fault = faults[receipt] = _fault_of(manifest, receipt)
        if fault is None:
            certified.setdefault(delivered_result(receipt), receipt)
        if fault is None or fault.check != Check.ROSTER:
            legal += 1
            for client, value in receipt.roster:
                listed.setdefault(client, Counter())[value] += 1
    checks = frozenset(receipt.group_check for receipt in session.deliveries)
    return Deliveries(faults, certified, checks, legal, listed)


def _fault_of(manifest: Manifest, receipt: DeliveryReceipt) -> DeliveryError | None:
    try:
        require_legal_roster(manifest, receipt.roster)
        require_result_signatures(manifest, receipt)
    except DeliveryError as error:
        return error
    return None
