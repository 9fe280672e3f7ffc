"""Corrupt parties that refuse nothing: what a schedule asks of them, they say, with their own keys."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import Any

from actors import AggregatorActor
from client_actor import ClientActor
from privateyes.aggregation.aggregator import Aggregator
from privateyes.aggregation.memory import AggregatorMemory, SessionRecord
from privateyes.aggregation.messages import (
    VOID,
    Abort,
    AggregatorKey,
    Agreement,
    Announcement,
    Closing,
    Header,
    HubCommitment,
    HubRequest,
    HubSum,
    Opening,
    OpeningReceipt,
    ResultSignature,
    RosterCommitment,
    Vote,
)
from privateyes.aggregation.roster import intersect, result_digest, roster_digest, transcript_digest
from privateyes.crypto.commitment import commit_to_vector, merkle_root
from privateyes.parties.packets import Packet, of_kind, one_of_kind
from shares import added


@dataclass(slots=True)
class Told:
    """What a corrupt aggregator said last about a session."""

    rho: bytes
    salt: bytes
    share: Any
    size: int
    transcript: bytes = b""


class Liar(AggregatorActor):
    """A corrupt aggregator: it keeps every key, checks nothing, and calls every session void.

    Attributes:
        vault: its memory at the start of every set-up, with all chain keys.
        rounds: where it finds the keys of a session.
        change: what it does to a share before it commits to it.
    """

    def __init__(self, own: Aggregator, disk: Any) -> None:
        super().__init__(own, disk)
        memory = self.memory
        self.vault: dict[bytes, AggregatorMemory] = {} if memory is None else {memory.current.id: memory}
        self.rounds: dict[bytes, SessionRecord] = {}
        self.told: dict[bytes, Told] = {}
        self.bound: AggregatorMemory | None = None

    @staticmethod
    def change(share: Any) -> Any:
        """Nothing, by default."""
        return share

    def _signed(self, message: Any, context: bytes) -> list[bytes]:
        return [message.signed_by(self.own.identity, context).to_bytes()]

    def do_announce(self, packet: Packet) -> list[bytes]:
        request = self._request(packet)
        record = SessionRecord(request.setup, request.round, request.state_id)
        self.rounds[record.sid] = record
        number = self.own.number
        return self._signed(Announcement(record.setup, number, record.round, record.state_id), record.setup)

    def do_vote(self, packet: Packet) -> list[bytes]:
        headers = {header.client: header.hash() for header in of_kind(packet.messages(self.manifest), Header)}
        return self._signed(Vote(packet.subject(), self.own.number, tuple(sorted(headers.items()))), packet.subject())

    def do_commit(self, packet: Packet) -> list[bytes] | None:
        messages = packet.messages(self.manifest)
        votes, headers = of_kind(messages, Vote), {header.hash(): header for header in of_kind(messages, Header)}
        entries = intersect([vote.entries for vote in votes])
        counted = [headers[value] for _, value in entries if value in headers]
        record = self.rounds.get(votes[0].sid)
        if record is None or not counted or record.setup not in self.vault:
            return None
        keys = self.vault[record.setup]
        if any(header.client not in keys.chains for header in counted):
            return None
        share, _ = self.own._regenerate(keys, record, counted)
        rho = roster_digest(record.sid, counted[0].group_check, entries)
        told = Told(rho, secrets.token_bytes(32), self.change(share), len(entries))
        self.told[record.sid] = told
        bulk, number = self.manifest.bulk_hash, self.own.number
        digest = commit_to_vector(record.sid, rho, number, told.salt, told.share, bulk)
        return self._signed(RosterCommitment(record.sid, number, rho, digest), record.sid)

    def do_agree(self, packet: Packet) -> list[bytes] | None:
        messages = packet.messages(self.manifest)
        commitments, total = of_kind(messages, RosterCommitment), one_of_kind(messages, HubCommitment)
        told = self.told.get(total.sid) if total is not None else None
        if total is None or told is None:
            return None
        digests = [message.commitment for message in sorted(commitments, key=lambda message: message.aggregator)]
        told.transcript = transcript_digest(total.sid, told.rho, [total.commitment, *digests])
        return self._signed(Agreement(total.sid, self.own.number, told.transcript), total.sid)

    def do_open(self, packet: Packet) -> list[bytes] | None:
        agreements = packet.messages(self.manifest)
        told = self.told.get(agreements[0].sid) if agreements else None
        return None if told is None else [self._opened(agreements[0].sid, told).to_bytes()]

    def _opened(self, sid: bytes, told: Told) -> Opening:
        root = merkle_root(told.share, self.manifest.bulk_hash)
        receipt = OpeningReceipt(sid, self.own.number, told.salt, root).signed_by(self.own.identity, sid)
        return Opening(sid, self.own.number, told.salt, told.share, receipt.signature)

    def do_certify(self, packet: Packet) -> list[bytes] | None:
        messages = packet.messages(self.manifest)
        total = one_of_kind(messages, HubSum)
        told = self.told.get(total.sid) if total is not None else None
        if total is None or told is None:
            return None
        shares = [opening.share for opening in of_kind(messages, Opening)]
        root = merkle_root(added(self.manifest.field, total.share, *shares), self.manifest.bulk_hash)
        result = result_digest(total.sid, told.transcript, root, told.size)
        return self._signed(ResultSignature(total.sid, self.own.number, result), total.sid)

    def do_finish(self, packet: Packet) -> None:
        """It needs no end."""

    def do_closing(self, packet: Packet) -> list[bytes]:
        sid = _sid_of(self._request(packet))
        return self._signed(Closing(sid, self.own.number, VOID), sid)

    def do_give_up(self, packet: Packet) -> list[bytes]:
        sid = _sid_of(self._request(packet))
        return self._signed(Abort(sid, self.own.number, 2), sid)

    def do_words(self, packet: Packet) -> list[bytes]:
        return []

    def do_bind(self, packet: Packet) -> None:
        messages = packet.messages(self.manifest)
        self.bound = self.begun().bind(None, of_kind(messages, AggregatorKey), one_of_kind(messages, HubRequest))

    def do_stream(self, packet: Packet) -> None:
        if self.bound is not None:
            for message in packet.messages(self.manifest):
                self.begun().receive(self.bound, message)

    def do_start(self, packet: Packet) -> None:
        if self.bound is not None and self.setup is not None:
            started = self.setup.start(self.bound)
            self.vault[started.current.id] = started
            self.bound = None


def _sid_of(request: HubRequest) -> bytes:
    return SessionRecord(request.setup, request.round, request.state_id).sid


class Accomplice(ClientActor):
    """A corrupt client: it submits whenever it is asked to, whatever its ledger says."""

    def receive(self, packet: Packet) -> list[Packet]:
        """Forget the ledger first."""
        self.disk.forget_rows()
        return super().receive(packet)
