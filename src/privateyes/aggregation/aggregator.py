"""An aggregator's side of a round (protocol, steps 0 and 2 to 4).

    announce -> vote -> commit -> agree -> open -> certify -> finish        give_up, closing

Each transition takes the aggregator's current memory and what arrived, and returns what to store and then what to send.
Nothing else is kept between two of them. The rule behind all: for each session an aggregator says one vote, one
commitment, one T, one opening and one result, whatever is asked for and however often. A transition that raises changes
nothing: the hub may ask again with other messages, until the word stands in the memory; from then on the same word
comes back, byte for byte. Only ``give_up`` and the next announcement end a session that was not opened.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeAlias

from privateyes.aggregation.keys import MAX_ROUND, KeyChain, session_id, share_stream
from privateyes.aggregation.manifest import Manifest
from privateyes.aggregation.memory import MAX_UNFINISHED, AggregatorMemory, SessionRecord
from privateyes.aggregation.messages import (
    ANNOUNCE,
    CLOSING,
    GIVE_UP,
    NO_SESSION,
    OPENED,
    VOID,
    Abort,
    Agreement,
    Announcement,
    Closing,
    Header,
    HubCommitment,
    HubRequest,
    HubSum,
    Opening,
    OpeningReceipt,
    Origin,
    ResultSignature,
    RosterCommitment,
    Signed,
    Vote,
)
from privateyes.aggregation.roster import (
    Entries,
    intersect,
    require_one_kind_of_header,
    require_size,
    result_digest,
    roster_digest,
)
from privateyes.aggregation.session_rules import (
    LATER,
    current_session,
    headers_of,
    is_closed,
    last_session,
    require_committed,
    require_committed_share,
    require_kind,
    require_not_given_up,
    require_settled,
)
from privateyes.aggregation.steps import Committed, OwnShare, Point, Step, Voted, Words
from privateyes.aggregation.summation import add_streams, chunks_of_result
from privateyes.crypto.commitment import SALT_BYTES, MerkleTree, commit_to_share, commit_to_sum_root, merkle_root
from privateyes.crypto.field import Elements
from privateyes.crypto.lanes import ONE_LANE, Lanes
from privateyes.crypto.signature import SigningKey
from privateyes.crypto.statement import equal_in_constant_time
from privateyes.crypto.streams import ElementStream
from privateyes.errors import AbortError, MalformedError, RefusedError

FromAggregator: TypeAlias = Vote | RosterCommitment | Agreement | OpeningReceipt | ResultSignature


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

    def announce(self, memory: AggregatorMemory, request: HubRequest) -> Step[Announcement]:
        """Close every earlier session, erasing the keys of all earlier rounds, and permit one more.

        Asked again for the session that it announced last, it says the same again.

        Raises:
            MalformedError: the request is not signed by the task's hub.
            RefusedError: not the current set-up, a round that does not increase, or the last session stands before its
                opening: it must be opened or given up first.
        """
        self._require_request(request, ANNOUNCE)
        setup, last = memory.current, memory.session
        message = Announcement(request.setup, self.number, request.round, request.state_id)
        message = message.signed_by(self.identity, request.setup)
        if request.setup != setup.id or not setup.started:
            raise RefusedError(
                "the request is for a set-up that is not this aggregator's current one, or not started",
                "announce in the current set-up, or make a new one",
            )
        if last is not None and (last.setup, last.round, last.state_id) == (
            request.setup,
            request.round,
            request.state_id,
        ):
            require_not_given_up(last)
            return Step(message, None)
        previous = last.round if last is not None and last.setup == setup.id else -1
        if not previous < request.round <= MAX_ROUND:
            raise RefusedError(f"round {request.round} does not follow round {previous}", LATER)
        require_settled(memory)
        unfinished = dict(memory.unfinished)
        if last is not None and last.sid in memory.opened and not last.finished:
            unfinished[last.sid] = last
        if len(unfinished) > MAX_UNFINISHED:
            raise RefusedError(
                f"{len(unfinished)} opened sessions are not finished", "show n signatures on their results first"
            )
        announced = memory.next(
            session=SessionRecord(request.setup, request.round, request.state_id),
            unfinished=unfinished,
            terminal=dict.fromkeys(memory.terminal, True),
            chains={client: chain.advance_to(request.round, setup.id) for client, chain in memory.chains.items()},
        )
        return Step(message, announced)

    def closing(self, memory: AggregatorMemory, request: HubRequest) -> Closing:
        """Say how an earlier session ended here.

        The session is named by its set-up, round and state and not by its id, so that a session that is still to come
        cannot be declared void in advance and opened later.

        Raises:
            MalformedError: the request is not signed by the task's hub.
            RefusedError: the session may still be opened; or its set-up is not remembered, so it may have been opened.
        """
        self._require_request(request, CLOSING)
        if not memory.remembers(request.setup):
            raise RefusedError(
                "this aggregator does not remember that set-up, so it cannot say how a session of it ended",
                "that session stays unsettled; a restored backup would be worse, for it brings used keys back",
            )
        sid = session_id(request.setup, request.round, request.state_id)
        if sid in memory.opened:
            outcome = OPENED
        elif is_closed(memory, request, sid):
            outcome = VOID
        else:
            raise RefusedError(
                f"round {request.round} is not closed: it may still be opened", "announce the next round, or give it up"
            )
        return Closing(sid, self.number, outcome).signed_by(self.identity, sid)

    def give_up(self, memory: AggregatorMemory, request: HubRequest) -> Step[Abort]:
        """Give the last announced session up for good: nothing more is signed or opened for it. Then erase its share.

        Raises:
            MalformedError: the request is not signed by the task's hub.
            RefusedError: it was opened, or it is not the last announced session here. If it is closed already, its
                closing says so.
        """
        self._require_request(request, GIVE_UP)
        record = memory.session
        sid = session_id(request.setup, request.round, request.state_id)
        if sid in memory.opened:
            raise RefusedError("the session was opened here", "finish it")
        if record is None or record.sid != sid:
            raise RefusedError("only the last announced session can be given up", "ask how that session ended here")
        reached = Point.OPEN if record.commitments else Point.COMMIT if record.rho else Point.ROSTER
        notice = Abort(sid, self.number, reached).signed_by(self.identity, sid)
        if record.given_up:
            return Step(notice, None)
        return Step(notice, memory.with_record(replace(record, given_up=True, salt=b"", share_root=b"")))

    def _require_request(self, request: HubRequest, action: int) -> None:
        if not isinstance(request, HubRequest) or request.action != action:
            raise RefusedError("the hub asked for something else", "ask with the request of this step")
        request.require_signature_of(self.manifest.hub_key, request.setup)

    # Step 2

    def vote(
        self, memory: AggregatorMemory, sid: bytes, headers: Sequence[Header], origin: Origin | None = None
    ) -> Voted:
        """Say which headers are valid; ``rejected`` says why the others are not.

        A client with two different valid headers is left out. An invalid header proves nothing about the client that it
        names.

        Args:
            sid: the session.
            headers: as the hub collected them.
            origin: the roster of the session that the headers name, where they send its updates again.

        Raises:
            RefusedError: the session is closed, given up or of an earlier set-up.
        """
        record = current_session(memory, sid)
        if record.voted is not None:
            return Voted(self._vote(record.sid, record.voted), None)
        expected = {NO_SESSION} | ({origin.sid} if origin is not None and self._knows(memory, origin) else set())
        valid: dict[int, set[Header]] = {}
        rejected: dict[int, str] = {}
        for header in dict.fromkeys(headers):  # one signature to check, however often a header comes
            require_kind(header, Header)
            if len(valid.get(header.client, ())) > 1:  # left out already; more cost more signatures to check
                continue
            fault = self._fault_of(header, memory, record, expected)
            if fault is None:
                valid.setdefault(header.client, set()).add(header)
            else:
                rejected[header.client] = fault
        rejected = {client: fault for client, fault in rejected.items() if client not in valid}
        rejected |= {client: "sent two different headers" for client, found in valid.items() if len(found) > 1}
        kept = sorted((client, next(iter(found)).hash()) for client, found in valid.items() if len(found) == 1)
        voted = replace(record, voted=tuple(kept))
        return Voted(self._vote(sid, tuple(kept)), memory.with_record(voted), rejected)

    def _vote(self, sid: bytes, entries: Entries) -> Vote:
        return Vote(sid, self.number, entries).signed_by(self.identity, sid)

    def _fault_of(
        self, header: Header, memory: AggregatorMemory, record: SessionRecord, expected: set[bytes]
    ) -> str | None:
        if header.sid != record.sid:
            return "its header is for another session"
        own_hash = memory.sealed_hashes.get(header.client)
        if own_hash is None or header.client not in memory.chains:
            return "it is not registered in this set-up"
        if (
            len(header.sealed_hashes) != len(self.manifest.aggregators)
            or header.sealed_hashes[self.number - 1] != own_hash
        ):
            return "its header names another stream key"
        if header.origin not in expected:
            return "it sends the update of a session again whose roster this aggregator cannot confirm"
        try:
            header.require_signature_of(self.manifest.clients[header.client - 1].public_key, header.sid)
        except MalformedError as error:
            return error.problem
        return None

    def _knows(self, memory: AggregatorMemory, origin: Origin) -> bool:
        """Whether that roster is the one that this aggregator opened the session with.

        Where every roster holds every client, there is no other to confuse it with: then an aggregator that lost its
        store may take part too.
        """
        if self.manifest.is_fixed_cohort:
            return True
        return memory.opened.get(origin.sid) == roster_digest(origin.sid, origin.group_check, origin.roster)

    # Step 3

    def commit(
        self,
        memory: AggregatorMemory,
        headers: Sequence[Header],
        votes: Sequence[Vote],
        salt: bytes,
        origin: Origin | None = None,
    ) -> Committed:
        """Fix the roster, regenerate its streams into Z_s and commit to it.

        Args:
            headers: those that it voted for, at least.
            votes: one of every aggregator.
            salt: 32 fresh secret bytes.
            origin: as for the vote.

        Raises:
            MalformedError: the salt has another length.
            RefusedError: the session is closed, given up or of an earlier set-up, or this aggregator has not voted.
            AbortError: votes missing, the roster too small or large, mixed headers in it, another roster than that of
                the session that is sent again, or a header this aggregator does not hold.
        """
        sid = votes[0].sid if votes and isinstance(votes[0], Vote) else b""
        record = current_session(memory, sid)
        if record.rho:
            return Committed(self._commitment(record), None)
        if record.voted is None:
            raise RefusedError("this aggregator has not voted in this session", "ask for its vote first")
        if len(salt) != SALT_BYTES:
            raise MalformedError(f"a salt has {SALT_BYTES} bytes, not {len(salt)}", "draw a fresh one")
        self._require_one_of_each(votes, Vote, sid)
        entries = intersect([vote.entries for vote in votes])
        require_size(entries, self.manifest)
        if not set(entries) <= set(record.voted):
            raise AbortError("the votes agree on a header that this aggregator did not vote for", "ask again")
        counted = headers_of(entries, headers)
        require_one_kind_of_header(counted)
        self._require_roster_of(memory, origin, counted)
        share, chains = self._regenerate(memory, record, counted)
        committed = replace(
            record,
            rho=roster_digest(sid, counted[0].group_check, entries),
            roster_size=len(entries),
            salt=salt,
            share_root=merkle_root(share, self.manifest.bulk_hash, self.lanes),
        )
        after = replace(memory.with_record(committed), chains=chains)
        return Committed(self._commitment(committed), after, OwnShare(share, committed.share_root))

    def _require_roster_of(self, memory: AggregatorMemory, origin: Origin | None, headers: Sequence[Header]) -> None:
        """What is sent again goes to the same clients, nobody more and nobody less."""
        named = headers[0].origin
        if named == NO_SESSION:
            return
        if origin is None or origin.sid != named or not self._knows(memory, origin):
            raise AbortError("the roster of the session that is sent again is not confirmed", "give its true roster")
        if not self.manifest.is_fixed_cohort and {client for client, _ in origin.roster} != {
            header.client for header in headers
        }:
            raise AbortError(
                "the roster is not that of the session that is sent again",
                "wait for all of its clients; with others, the difference could be one client's update",
            )

    def _regenerate(
        self, memory: AggregatorMemory, record: SessionRecord, headers: Sequence[Header]
    ) -> tuple[Elements, dict[int, KeyChain]]:
        """Z_s = sum over the roster of stream_{i,s}; and the chains with this round's keys gone."""
        prime_field, setup, sid = self.manifest.field, record.setup, record.sid

        def stream_of(header: Header, scratch: Elements) -> ElementStream:
            round_key = memory.chains[header.client].advance_to(record.round, setup).round_key(setup)
            return share_stream(prime_field, round_key, sid, header.client, self.number, header.nonce, scratch)

        total = prime_field.zeros(self.manifest.share_elements)
        add_streams(prime_field, total, [partial(stream_of, header) for header in headers], self.lanes)
        spent = {client: chain.advance_to(record.round + 1, setup) for client, chain in memory.chains.items()}
        return total, spent

    def _commitment(self, record: SessionRecord) -> RosterCommitment:
        message = RosterCommitment(record.sid, self.number, record.rho, self._own_commitment(record))
        return message.signed_by(self.identity, record.sid)

    def _own_commitment(self, record: SessionRecord) -> bytes:
        length = self.manifest.share_bytes
        return commit_to_share(record.sid, record.rho, self.number, record.salt, length, record.share_root)

    def agree(
        self, memory: AggregatorMemory, commitments: Sequence[RosterCommitment], hub: HubCommitment
    ) -> Step[Agreement]:
        """Sign T, which fixes the roster and every party's contribution before any is opened.

        Args:
            commitments: one of every aggregator.
            hub: com_0.

        Raises:
            RefusedError: the session is closed or given up, this aggregator has not committed, or another T was signed
                for it: an aggregator repeats its word and says no second one.
            AbortError: one is missing, for another roster, or equal to another's.
        """
        require_kind(hub, HubCommitment)
        record = last_session(memory, hub.sid)
        if not record.rho:
            raise RefusedError("this aggregator has not committed in this session", "ask for its commitment first")
        self._require_one_of_each(commitments, RosterCommitment, record.sid)
        ordered = sorted(commitments, key=lambda message: message.aggregator)
        for message in ordered:
            if message.rho != record.rho:
                raise AbortError(
                    f"aggregator {message.aggregator} signed another roster", "compare the signed votes, and ask again"
                )
        digests = [message.commitment for message in ordered]
        if digests[self.number - 1] != self._own_commitment(record):
            raise AbortError("this aggregator's own commitment came back altered", "ask again")
        if len(set(digests)) != len(digests):
            raise AbortError("two aggregators sent the same commitment", "give the session up; one copied the other's")
        agreed = replace(record, commitments=(hub.commitment, *digests))
        if record.commitments:
            if record.transcript != agreed.transcript:
                raise RefusedError("another transcript was signed for this session", "go on with it, or give it up")
            return Step(self._agreement(record), None)
        return Step(self._agreement(agreed), memory.with_record(agreed))

    def _agreement(self, record: SessionRecord) -> Agreement:
        return Agreement(record.sid, self.number, record.transcript).signed_by(self.identity, record.sid)

    # Step 4

    def open(self, memory: AggregatorMemory, share: OwnShare, agreements: Sequence[Agreement]) -> Step[Opening]:
        """Reveal Z_s, only against every aggregator's signature on the same T.

        Args:
            share: Z_s as it was committed to.

        Raises:
            RefusedError: the session is closed or given up: this aggregator may have called it void; or it signed no T;
                or the share is another than it committed to.
            AbortError: an agreement is missing or signs something else.
        """
        sid = agreements[0].sid if agreements and isinstance(agreements[0], Agreement) else b""
        record = memory.record_of(sid) if sid in memory.opened else last_session(memory, sid)
        if record is None or not record.commitments:
            raise RefusedError("this aggregator signed no transcript of this session", "ask for its agreement first")
        require_committed_share(record, share)
        if sid in memory.opened:
            return Step(self._opening(record, share), None)
        self._require_one_of_each(agreements, Agreement, sid)
        for agreement in agreements:
            if not equal_in_constant_time(agreement.transcript, record.transcript):
                raise AbortError(f"aggregator {agreement.aggregator} agreed to other commitments", "ask again")
        opened = memory.next(opened={**memory.opened, sid: record.rho})
        return Step(self._opening(record, share), opened)

    def _opening(self, record: SessionRecord, share: OwnShare) -> Opening:
        signature = self._opening_receipt(record).signature
        return Opening(record.sid, self.number, record.salt, share.elements, signature)

    def _opening_receipt(self, record: SessionRecord) -> OpeningReceipt:
        receipt = OpeningReceipt(record.sid, self.number, record.salt, record.share_root)
        return receipt.signed_by(self.identity, record.sid)

    def own_share(self, elements: Elements) -> OwnShare:
        """A share that was read back from the store, or handed back after it was opened."""
        return OwnShare(elements, merkle_root(elements, self.manifest.bulk_hash, self.lanes))

    def words(self, memory: AggregatorMemory, sid: bytes) -> Words:
        """Once more, everything that this aggregator said in its last session or in an opened one that is not finished.

        Raises:
            RefusedError: it does not remember that session, or gave it up.
        """
        record = memory.record_of(sid)
        if record is None:
            raise RefusedError("this aggregator does not keep the words of that session", "ask how it ended")
        require_not_given_up(record)
        return Words(
            vote=None if record.voted is None else self._vote(sid, record.voted),
            commitment=self._commitment(record) if record.rho else None,
            agreement=self._agreement(record) if record.commitments else None,
            commitments=record.commitments,
            opening=self._opening_receipt(record) if sid in memory.opened else None,
            result=self._result(record) if record.result else None,
        )

    def certify(
        self,
        memory: AggregatorMemory,
        openings: Sequence[Opening],
        total: HubSum,
        own_share: OwnShare | None = None,
    ) -> Step[ResultSignature]:
        """Check every opening, add them up chunk by chunk and sign the result. After an opening nothing needs secrecy,
        so this may be asked for at any time, until n signatures on the result were shown.

        Args:
            openings: of every aggregator; its own may be left out if ``own_share`` is given.
            total: C.
            own_share: Z_s from its own store, as it was committed to.

        Raises:
            RefusedError: this aggregator did not open the session, or does not need its words any more.
            BlamedError: an aggregator's own signed opening does not fit its signed commitment.
            AbortError: an opening is missing, or the hub's sum does not fit com_0.
        """
        require_kind(total, HubSum)
        sid = total.sid
        record = memory.record_of(sid)
        if record is None or sid not in memory.opened:
            raise RefusedError("this aggregator did not open that session, or it is finished", "deliver its result")
        if record.result:
            return Step(self._result(record), None)
        for opening in openings:
            require_kind(opening, Opening)
        others = [opening for opening in openings if own_share is None or opening.aggregator != self.number]
        receipts = [opening.receipt(self.manifest.bulk_hash, self.lanes) for opening in others]
        shares = [opening.share for opening in others]
        if own_share is not None:
            require_committed_share(record, own_share)
            receipts.append(self._opening_receipt(record))
            shares.append(own_share.elements)
        self._require_one_of_each(receipts, OpeningReceipt, sid)
        root = merkle_root(total.share, self.manifest.bulk_hash, self.lanes)
        if commit_to_sum_root(sid, total.share.nbytes, root) != record.commitments[0]:
            raise AbortError("the hub's sum is not the one that it committed to", "ask again; the hub is at fault")
        for receipt in receipts:
            require_committed(receipt, record.rho, self.manifest.share_bytes, record.commitments)
        tree = MerkleTree(self.manifest.bulk_hash)
        for piece in chunks_of_result(self.manifest.field, total.share, shares):
            tree.update(piece, self.lanes)
        certified = replace(record, result=result_digest(sid, record.transcript, tree.root(), record.roster_size))
        return Step(self._result(certified), memory.with_record(certified))

    def _result(self, record: SessionRecord) -> ResultSignature:
        return ResultSignature(record.sid, self.number, record.result).signed_by(self.identity, record.sid)

    def finish(self, memory: AggregatorMemory, results: Sequence[ResultSignature]) -> AggregatorMemory | None:
        """Forget what repeating a session takes, once n signatures on its result are shown; then erase its share.

        Returns:
            The memory to store; None if it was finished before.

        Raises:
            RefusedError: this aggregator signed no result of that session.
            AbortError: not one signature of every aggregator on its result.
        """
        sid = results[0].sid if results and isinstance(results[0], ResultSignature) else b""
        record = memory.record_of(sid)
        if record is None and sid in memory.opened:
            return None
        if record is None or not record.result:
            raise RefusedError("this aggregator signed no result of that session", "ask it to certify first")
        if record.finished:
            return None
        self._require_one_of_each(results, ResultSignature, sid)
        if {message.result for message in results} != {record.result}:
            raise AbortError("the aggregators signed different results", "compare their transcripts")
        if sid in memory.unfinished:
            return memory.next(unfinished={other: own for other, own in memory.unfinished.items() if other != sid})
        return memory.with_record(replace(record, finished=True))

    def _require_one_of_each(self, messages: Sequence[FromAggregator], kind: type[Signed], sid: bytes) -> None:
        for message in messages:
            require_kind(message, kind)
        numbers = sorted(message.aggregator for message in messages)
        if numbers != list(self.manifest.aggregator_numbers):
            raise AbortError("not exactly one message of every aggregator", "ask the missing one again")
        for message in messages:
            if message.sid != sid:
                raise AbortError(f"aggregator {message.aggregator}'s message is for another session", "ask again")
            try:
                message.require_signature_of(self.manifest.aggregators[message.aggregator - 1].public_key, sid)
            except MalformedError as error:
                raise AbortError(f"{error.problem} (aggregator {message.aggregator})", "ask again") from None
