"""What a session keeps on disk from COMMIT on, and how a session that was opened before a kill is read back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Final, Protocol

from privateyes.aggregation.messages import Agreement, HubCommitment, HubSum, RosterCommitment
from privateyes.aggregation.roster import Entries
from privateyes.aggregation.snapshot import load_agreed, load_committed
from privateyes.aggregation.states import Agreed
from privateyes.crypto.statement import HASH_BYTES
from privateyes.engines.local.parties import LocalParties, aggregator_name
from privateyes.engines.local.store import LargeBody
from privateyes.errors import RunDirectoryError

COMMITTED, SUM = "committed", "sum"
"""Large bodies: an aggregator's commitment with its share, and the hub's sum."""
AGREED, AGREEMENT, CLIPPED = "agreed", "agreement", "clipped"
HUB: Final = "hub"
CLIENTS: Final = "clients"


class Store(Protocol):
    """What a session needs of a store; store.py has the durable one."""

    def transaction(self) -> AbstractContextManager[None]: ...
    def put_memory(self, party: str, body: bytes) -> None: ...
    def put_stage(self, sid: bytes, party: str, stage: str, body: bytes) -> None: ...
    def stages(self, sid: bytes, stage: str) -> dict[str, bytes]: ...
    def write_large(self, bodies: Mapping[tuple[str, str], Sequence[bytes | memoryview]]) -> list[LargeBody]: ...
    def put_large(self, sid: bytes, body: LargeBody) -> None: ...
    def large(self, sid: bytes, party: str, stage: str) -> bytearray | None: ...
    def clear_stages(self) -> bool: ...
    def clear_stages_of(self, party: str) -> None: ...
    def fold_journal(self) -> None: ...


@dataclass(frozen=True, slots=True)
class HubSession:
    """What the hub holds from COMMIT on."""

    group_check: bytes
    entries: Entries
    total: HubSum
    commitment: HubCommitment


def sum_pieces(group_check: bytes, total: HubSum) -> tuple[bytes, memoryview]:
    """The hub's large body: what a delivery will need beside the openings."""
    return group_check, total.share.data.cast("B")


@dataclass(frozen=True, slots=True)
class StoredSession:
    """A session as it stood when every aggregator had agreed; the lists are in the aggregators' order."""

    hub: HubSession
    commitments: Sequence[RosterCommitment]
    agreed: Sequence[Agreed]
    agreements: Sequence[Agreement]
    clipped: int
    shortened: int


def load_session(store: Store, parties: LocalParties, sid: bytes) -> StoredSession:
    """Read back a session that some aggregator opened: then all have agreed, so everything is there.

    Raises:
        RunDirectoryError: a party's word is missing, or a file was damaged.
        MalformedError: a stored word is damaged.
    """
    manifest = parties.manifest
    agreed_bodies, agreement_bodies = store.stages(sid, AGREED), store.stages(sid, AGREEMENT)
    agreed, agreements, commitments = [], [], []
    for own in parties.aggregators:
        name = aggregator_name(own.number)
        body = store.large(sid, name, COMMITTED)
        if body is None or name not in agreed_bodies or name not in agreement_bodies:
            raise _incomplete(name)
        committed = load_committed(memoryview(body), own.number, manifest)
        agreed.append(load_agreed(agreed_bodies[name], committed, manifest))
        agreements.append(Agreement.from_bytes(agreement_bodies[name], manifest))
        commitments.append(RosterCommitment(sid, own.number, committed.rho, committed.commitment))
    hub_body = store.large(sid, HUB, SUM)
    if hub_body is None:
        raise _incomplete("the hub")
    share = manifest.field.from_bytes(memoryview(hub_body)[HASH_BYTES:], manifest.share_elements)
    hub = HubSession(
        group_check=bytes(hub_body[:HASH_BYTES]),
        entries=agreed[0].committed.entries,
        total=HubSum(sid, share),
        commitment=HubCommitment(sid, agreed[0].commitments[0]),
    )
    counts = store.stages(sid, CLIPPED).get(CLIENTS, b"")
    clipped, shortened = int.from_bytes(counts[:8], "big"), int.from_bytes(counts[8:], "big")
    return StoredSession(hub, commitments, agreed, agreements, clipped, shortened)


def _incomplete(who: str) -> RunDirectoryError:
    return RunDirectoryError(
        f"the store of an opened session is incomplete: {who} stopped it, or its word is lost",
        "start the run in a new directory",
    )
