"""Parties that misbehave on purpose, to show on one's own federation that the others find out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from privateyes.aggregation.aggregator import Aggregator
from privateyes.aggregation.keys import KeyChain
from privateyes.aggregation.memory import AggregatorMemory, SessionRecord
from privateyes.aggregation.messages import Header
from privateyes.crypto.field import Elements


@dataclass(frozen=True, slots=True)
class AlteringAggregator(Aggregator):
    """Changes one coordinate of its share before it commits, and is honest in everything else.

    Its commitment, its signatures and its opening all fit each other, so the other aggregators notice nothing: only the
    clients' tags tell.

    Attributes:
        coordinate: which one.
        amount: what it adds, as a field element.
    """

    coordinate: int = 0
    amount: int = 1

    def _regenerate(
        self, memory: AggregatorMemory, record: SessionRecord, headers: Sequence[Header]
    ) -> tuple[Elements, dict[int, KeyChain]]:
        # Named in full: a dataclass with slots is a new class, which the short form of super() does not know.
        share, spent = Aggregator._regenerate(self, memory, record, headers)
        share[self.coordinate] = (int(share[self.coordinate]) + self.amount) % self.manifest.field.prime
        return share, spent
