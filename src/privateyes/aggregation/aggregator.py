"""An aggregator's side of a round, as a chain of states (protocol, steps 0 and 2 to 4).

    announce -> Announced -> vote -> Voted -> commit -> Committed -> agree -> Agreed -> open -> Opened -> certify ->
    Certified

Each transition takes one state and what arrived and returns a Step: the next state, the message to send and what must
be on disk before it is sent. A state is used once. A transition that raises ends the session at this aggregator: the
state's secrets are erased, and nothing later is committed to, agreed to or opened for it; if it was not opened, it is
void from the next announcement on. So that this holds for states that somebody kept or reloaded, every transition up to
the opening also takes the current memory, and refuses a session that is no longer its last.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import IntEnum
from functools import partial
from typing import TypeAlias

from privateyes.aggregation.keys import MAX_ROUND, session_id, setup_id, share_stream
from privateyes.aggregation.manifest import Manifest
from privateyes.aggregation.memory import AggregatorMemory
from privateyes.aggregation.messages import (
    OPENED,
    VOID,
    Abort,
    Agreement,
    Announcement,
    Closing,
    Header,
    HubCommitment,
    HubSum,
    Message,
    Opening,
    OpeningReceipt,
    ResultSignature,
    RosterCommitment,
    Signed,
    Vote,
)
from privateyes.aggregation.roster import (
    intersect,
    require_one_group_key,
    require_size,
    result_digest,
    roster_digest,
    transcript_digest,
)
from privateyes.aggregation.states import Agreed, Announced, Certified, Committed, Opened, Step, Voted, using
from privateyes.aggregation.summation import add_streams, chunks_of_result
from privateyes.crypto.commitment import SALT_BYTES, MerkleTree, commit_to_share, commit_to_sum_root, merkle_root
from privateyes.crypto.field import Elements
from privateyes.crypto.lanes import ONE_LANE, Lanes
from privateyes.crypto.signature import SigningKey
from privateyes.crypto.statement import equal_in_constant_time
from privateyes.crypto.streams import ElementStream
from privateyes.errors import AbortError, BlamedError, MalformedError, RefusedError

FromAggregator: TypeAlias = Vote | RosterCommitment | Agreement | OpeningReceipt


class Point(IntEnum):
    """The step of the protocol at which an aggregator stopped a session; an ``Abort`` names one of them."""

    ROSTER = 2
    COMMIT = 3
    OPEN = 4


@dataclass(frozen=True, slots=True)
class Stopped:
    """The end of a session at one aggregator: the memory to store, and then the notice to send."""

    memory: AggregatorMemory
    message: Abort


@dataclass(frozen=True, slots=True)
class Aggregator:
    """Aggregator s of a task.

    Attributes:
        manifest: its own pinned copy.
        number: s, from 1.
        identity: its pinned signing key.
        lanes: where its work on several clients is done side by side.

    Guarantees:
        It sees headers, rosters and, after every commitment is signed, a sum that is masked with a key it does not
        have. One honest aggregator keeps every honest update private against all others together with the hub.
    """

    manifest: Manifest
    number: int
    identity: SigningKey
    lanes: Lanes = ONE_LANE

    # Step 0

    def announce(
        self, memory: AggregatorMemory, epoch: int, round_number: int, state_id: bytes
    ) -> Step[Announced, Announcement]:
        """Close every earlier session, erasing the keys of all earlier rounds, and permit one more.

        Raises:
            RefusedError: another epoch, or a round that does not increase.
        """
        if epoch != memory.epoch or not memory.last_round < round_number <= MAX_ROUND:
            raise RefusedError(
                f"round {round_number} of epoch {epoch} does not follow round {memory.last_round} "
                f"of epoch {memory.epoch}",
                "announce a later round of the current epoch",
            )
        setup = setup_id(self.manifest.digest(), epoch)
        sid = session_id(setup, round_number, state_id)
        announced = replace(
            memory,
            last_round=round_number,
            last_sid=sid,
            transcript=b"",
            stopped=False,
            chains={client: chain.advance_to(round_number, setup) for client, chain in memory.chains.items()},
        )
        message = Announcement(self.number, epoch, round_number, state_id).signed_by(self.identity, setup)
        return Step(Announced(sid), message, announced)

    def closing(self, memory: AggregatorMemory, epoch: int, round_number: int, state_id: bytes) -> Closing:
        """Say how an earlier session ended here.

        The session is named by its round and not by its id, so that a session that is still to come cannot be declared
        void in advance and opened later.

        Raises:
            RefusedError: the round is not before the announced one, so it may still be opened; or it is from before
                these records, so it may have been opened.
        """
        if epoch < memory.first_epoch:
            raise RefusedError(
                f"the records begin with epoch {memory.first_epoch}; how epoch {epoch} ended is not known",
                "that session stays unsettled; a restored backup would be worse, for it brings used keys back",
            )
        not_closed = RefusedError(
            f"round {round_number} of epoch {epoch} is not closed", "announce the next round first"
        )
        if round_number < 0 or (epoch, round_number) >= (memory.epoch, memory.last_round):
            raise not_closed
        sid = session_id(setup_id(self.manifest.digest(), epoch), round_number, state_id)
        # The last session of the epoch before may be finished until the new epoch's first round is announced.
        if sid == memory.last_sid and sid not in memory.opened:
            raise not_closed
        outcome = OPENED if sid in memory.opened else VOID
        return Closing(sid, self.number, outcome).signed_by(self.identity, sid)

    def stop(self, memory: AggregatorMemory, step: Point) -> Stopped:
        """Give the last session up for good, and say so: its id and the step, nothing derived from a share."""
        sid = memory.last_sid
        return Stopped(replace(memory, stopped=True), Abort(sid, self.number, step).signed_by(self.identity, sid))

    # Step 2

    def vote(self, memory: AggregatorMemory, state: Announced, headers: Sequence[Header]) -> Step[Voted, Vote]:
        """Say which headers are valid; ``rejected`` says why the others are not.

        A client with two different valid headers is left out. An invalid header proves nothing about the client that it
        names.

        Raises:
            RefusedError: the session is closed.
        """
        with using(state, Announced):
            _require_announced(memory, state.sid)
            valid: dict[int, set[Header]] = {}
            rejected: dict[int, str] = {}
            for header in headers:
                _require_kind(header, Header)
                if len(valid.get(header.client, ())) > 1:  # left out already; more cost more signatures to check
                    continue
                fault = self._fault_of(header, memory)
                if fault is None:
                    valid.setdefault(header.client, set()).add(header)
                else:
                    rejected[header.client] = fault
            rejected = {client: fault for client, fault in rejected.items() if client not in valid}
            rejected |= {client: "sent two different headers" for client, found in valid.items() if len(found) > 1}
            kept = {client: next(iter(found)) for client, found in sorted(valid.items()) if len(found) == 1}
            entries = tuple((client, header.hash()) for client, header in kept.items())
            message = Vote(state.sid, self.number, entries).signed_by(self.identity, state.sid)
            return Step(Voted(state.sid, kept, entries, rejected), message)

    def _fault_of(self, header: Header, memory: AggregatorMemory) -> str | None:
        if header.sid != memory.last_sid:
            return "its header is for another session"
        own_hash = memory.sealed_hashes.get(header.client)
        if own_hash is None or header.client not in memory.chains:
            return "it is not registered in this epoch"
        if (
            len(header.sealed_hashes) != len(self.manifest.aggregators)
            or header.sealed_hashes[self.number - 1] != own_hash
        ):
            return "its header names another stream key"
        try:
            header.require_signature_of(self.manifest.clients[header.client - 1].public_key, header.sid)
        except MalformedError as error:
            return error.problem
        return None

    # Step 3

    def commit(
        self, memory: AggregatorMemory, state: Voted, votes: Sequence[Vote], salt: bytes
    ) -> Step[Committed, RosterCommitment]:
        """Fix the roster, regenerate its streams into Z_s and commit to it.

        Args:
            votes: one of every aggregator.
            salt: 32 fresh secret bytes.

        Raises:
            MalformedError: the salt has another length.
            RefusedError: the session is closed, or its keys were used and erased before a restart.
            AbortError: votes missing, the roster too small or large, two group keys in it, or a header this aggregator
                does not hold.
        """
        with using(state, Voted):
            _require_announced(memory, state.sid)
            if len(salt) != SALT_BYTES:
                raise MalformedError(f"a salt has {SALT_BYTES} bytes, not {len(salt)}", "draw a fresh one")
            self._require_one_of_each(votes, Vote, state.sid)
            entries = intersect([vote.entries for vote in votes])
            require_size(entries, self.manifest)
            if not set(entries) <= set(state.entries):
                raise AbortError(
                    "the votes agree on a header that this aggregator did not vote for", "announce a new round"
                )
            headers = [state.headers[client] for client, _ in entries]
            require_one_group_key(headers)
            share, spent = self._regenerate(memory, state.sid, headers)
            rho = roster_digest(state.sid, headers[0].group_check, entries)
            root = merkle_root(share, self.lanes)
            committed = Committed(state.sid, entries, rho, salt, self.number, share, root)
            message = RosterCommitment(state.sid, self.number, rho, committed.commitment)
            return Step(committed, message.signed_by(self.identity, state.sid), spent)

    def _regenerate(
        self, memory: AggregatorMemory, sid: bytes, headers: Sequence[Header]
    ) -> tuple[Elements, AggregatorMemory]:
        """Z_s = sum over the roster of stream_{i,s}; and the chains with this round's keys gone."""
        setup = setup_id(self.manifest.digest(), memory.epoch)
        prime_field = self.manifest.field

        def stream_of(header: Header, scratch: Elements) -> ElementStream:
            round_key = memory.chains[header.client].advance_to(memory.last_round, setup).round_key(setup)
            return share_stream(prime_field, round_key, sid, header.client, self.number, header.nonce, scratch)

        total = prime_field.zeros(self.manifest.share_elements)
        add_streams(prime_field, total, [partial(stream_of, header) for header in headers], self.lanes)
        spent = {client: chain.advance_to(memory.last_round + 1, setup) for client, chain in memory.chains.items()}
        return total, replace(memory, chains=spent)

    def agree(
        self, memory: AggregatorMemory, state: Committed, commitments: Sequence[RosterCommitment], hub: HubCommitment
    ) -> Step[Agreed, Agreement]:
        """Sign T, which fixes the roster and every party's contribution before any is opened.

        Args:
            commitments: one of every aggregator.
            hub: com_0.

        Raises:
            RefusedError: the session is closed, or another T was signed for it: a restarted aggregator repeats its word
                and says no second one.
            AbortError: one is missing, for another roster, or equal to another's.
        """
        with using(state, Committed):
            _require_last(memory, state.sid)
            self._require_one_of_each(commitments, RosterCommitment, state.sid)
            _require_kind(hub, HubCommitment)
            if hub.sid != state.sid:
                raise AbortError("the hub's commitment is for another session", "announce a new round")
            ordered = sorted(commitments, key=lambda message: message.aggregator)
            for message in ordered:
                if message.rho != state.rho:
                    raise AbortError(
                        f"aggregator {message.aggregator} signed another roster",
                        "announce a new round; compare the signed votes",
                    )
            digests = [message.commitment for message in ordered]
            if digests[self.number - 1] != state.commitment:
                raise AbortError("this aggregator's own commitment came back altered", "announce a new round")
            if len(set(digests)) != len(digests):
                raise AbortError(
                    "two aggregators sent the same commitment", "announce a new round; one copied the other's"
                )
            transcript = transcript_digest(state.sid, state.rho, [hub.commitment, *digests])
            _require_one_transcript(memory, transcript, or_none=True)
            message_out = Agreement(state.sid, self.number, transcript).signed_by(self.identity, state.sid)
            agreed = Agreed(state, (hub.commitment, *digests), transcript)
            return Step(agreed, message_out, replace(memory, transcript=transcript))

    # Step 4

    def open(self, memory: AggregatorMemory, state: Agreed, agreements: Sequence[Agreement]) -> Step[Opened, Opening]:
        """Reveal Z_s, only against every aggregator's signature on the same T.

        Raises:
            RefusedError: the session is closed: this aggregator may have called it void; or T is not the one that it
                signed.
            AbortError: one is missing or signs something else.
        """
        with using(state, Agreed):
            committed = state.committed
            sid = committed.sid
            _require_last(memory, sid)
            _require_one_transcript(memory, state.transcript)
            self._require_one_of_each(agreements, Agreement, sid)
            for agreement in agreements:
                if not equal_in_constant_time(agreement.transcript, state.transcript):
                    raise AbortError(
                        f"aggregator {agreement.aggregator} agreed to other commitments", "announce a new round"
                    )
            # Signed through its receipt, whose statement is the same and whose root is known already.
            receipt = OpeningReceipt(sid, self.number, committed.salt, committed.share_root)
            signature = receipt.signed_by(self.identity, sid).signature
            message = Opening(sid, self.number, committed.salt, committed.share, signature)
            return Step(Opened(state), message, replace(memory, opened=memory.opened | {sid}))

    def certify(self, state: Opened, openings: Sequence[Opening], total: HubSum) -> Step[Certified, ResultSignature]:
        """Check every opening, add them up chunk by chunk and sign the result.

        Raises:
            BlamedError: an aggregator's own signed opening does not fit its signed commitment.
            AbortError: an opening is missing, or the hub's sum does not fit com_0.
        """
        with using(state, Opened):
            committed, commitments = state.agreed.committed, state.agreed.commitments
            sid = committed.sid
            for opening in openings:
                _require_kind(opening, Opening)
            _require_kind(total, HubSum)
            receipts = [self._receipt_of(opening, committed) for opening in openings]
            self._require_one_of_each(receipts, OpeningReceipt, sid)
            root = merkle_root(total.share, self.lanes)
            if total.sid != sid or commit_to_sum_root(sid, total.share.nbytes, root) != commitments[0]:
                raise AbortError(
                    "the hub's sum is not the one that it committed to", "announce a new round; the hub is at fault"
                )
            for receipt in receipts:
                require_committed(receipt, committed.rho, committed.share.nbytes, commitments)
            tree = MerkleTree()
            for piece in chunks_of_result(self.manifest.field, total.share, [opening.share for opening in openings]):
                tree.update(piece, self.lanes)
            digest = result_digest(sid, state.agreed.transcript, tree.root(), len(committed.entries))
            message = ResultSignature(sid, self.number, digest).signed_by(self.identity, sid)
            return Step(Certified(sid), message)

    def _receipt_of(self, opening: Opening, committed: Committed) -> OpeningReceipt:
        """The opening's receipt; of this aggregator's own share the root is known."""
        own = opening.share is committed.share
        root = committed.share_root if own else merkle_root(opening.share, self.lanes)
        return OpeningReceipt(opening.sid, opening.aggregator, opening.salt, root, opening.signature)

    def _require_one_of_each(self, messages: Sequence[FromAggregator], kind: type[Signed], sid: bytes) -> None:
        for message in messages:
            _require_kind(message, kind)
        numbers = sorted(message.aggregator for message in messages)
        if numbers != list(range(1, len(self.manifest.aggregators) + 1)):
            raise AbortError("not exactly one message of every aggregator", "announce a new round; ask the missing one")
        for message in messages:
            if message.sid != sid:
                raise AbortError(
                    f"aggregator {message.aggregator}'s message is for another session", "announce a new round"
                )
            try:
                message.require_signature_of(self.manifest.aggregators[message.aggregator - 1].public_key, sid)
            except MalformedError as error:
                raise AbortError(f"{error.problem} (aggregator {message.aggregator})", "announce a new round") from None


def _require_last(memory: AggregatorMemory, sid: bytes) -> None:
    if memory.last_sid != sid:
        raise RefusedError("a later round was announced, so this session is closed", "go on with the later round")
    if memory.stopped:
        raise RefusedError("this aggregator gave the session up", "announce a new round")


def _require_announced(memory: AggregatorMemory, sid: bytes) -> None:
    """Streams are regenerated in the epoch in which the session was announced, or never."""
    _require_last(memory, sid)
    if memory.last_round < 0:
        raise RefusedError("the session is of an earlier epoch, whose keys are erased", "announce a new round")


def _require_one_transcript(memory: AggregatorMemory, transcript: bytes, *, or_none: bool = False) -> None:
    """One T for each session, whatever was restarted or reloaded in between: with two, the first opening would tell how
    to choose the second.
    """
    if memory.transcript != transcript and not (or_none and not memory.transcript):
        raise RefusedError("another transcript was signed for this session", "announce a new round")


def _require_kind(message: Message, kind: type[Message]) -> None:
    if not isinstance(message, kind):
        raise AbortError(
            f"a message of type {type(message).__name__} came where {kind.__name__} was expected",
            "announce a new round",
        )


def require_committed(receipt: OpeningReceipt, rho: bytes, length_bytes: int, commitments: Sequence[bytes]) -> None:
    """Hold an opening against the commitment that was agreed on.

    Args:
        receipt: of the opening.
        length_bytes: of a share.
        commitments: com_0..com_n.

    Raises:
        BlamedError: it does not fit. The party that is named signed both.
    """
    number = receipt.aggregator
    commitment = commit_to_share(receipt.sid, rho, number, receipt.salt, length_bytes, receipt.share_root)
    if not equal_in_constant_time(commitment, commitments[number]):
        raise BlamedError(
            f"aggregator {number}",
            "opened something other than it committed to",
            "exclude it; its signatures prove it",
        )
