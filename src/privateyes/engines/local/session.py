"""One aggregation session among local parties: the protocol's steps in order, each word stored before it is sent.

What several parties do in one step they do side by side where threads pay off; storing and sending follow in the
parties' order, on one thread. So nothing that is stored, sent or computed depends on the number of threads.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from privateyes.aggregation import hub
from privateyes.aggregation.client import Client, SubmissionSecrets, Submitted, Update, VerifiedAverage
from privateyes.aggregation.keys import session_id
from privateyes.aggregation.ledger import LedgerEntry, unsettled
from privateyes.aggregation.memory import AggregatorMemory, ClientMemory
from privateyes.aggregation.messages import (
    ANNOUNCE,
    CLOSING,
    Agreement,
    Announcement,
    Complaint,
    Delivery,
    Header,
    HubCommitment,
    HubRequest,
    HubSumReceipt,
    Opening,
    OpeningReceipt,
    Origin,
    ResultSignature,
    RosterCommitment,
    Submission,
)
from privateyes.aggregation.result import Check
from privateyes.aggregation.roster import Entries
from privateyes.aggregation.steps import Committed, OwnShare, Step
from privateyes.crypto.commitment import SALT_BYTES, merkle_root
from privateyes.crypto.statement import HASH_BYTES
from privateyes.encoding.clips import ClipPlan
from privateyes.engines.local.clock import RoleClock
from privateyes.engines.local.crew import Crew
from privateyes.engines.local.parties import LocalParties, aggregator_name
from privateyes.engines.local.quorum import Quorum
from privateyes.engines.local.stages import (
    AGAIN,
    CLIENTS,
    CLIPPED,
    HUB,
    OPENING,
    SHARE,
    SUM,
    Again,
    HubSession,
    agreed_by_all,
    client_party,
    followed_by,
    kept_submission,
    load_session,
    put_memories,
)
from privateyes.engines.local.wire import Place, Wire
from privateyes.errors import AbortError, DeliveryError, MalformedError, ProtocolError, RunDirectoryError, TrainingError
from privateyes.storage.ledger_rows import KeptUpdate
from privateyes.storage.store import PartyStore


@dataclass(frozen=True, slots=True)
class LocalInput:
    """One client's update, its weight and the key of its stochastic rounding."""

    delta: NDArray[np.float32] = field(repr=False)
    weight: int = field(repr=False)
    rounding_key: bytes = field(repr=False)


@dataclass(slots=True)
class SessionResult:
    """How a session ended at every client.

    Attributes:
        sid: the session.
        averages: by client number, for those that accepted.
        refusals: by client number, for those that refused; with the signed complaint.
        clipped: coordinates clipped, over all clients; in a real deployment each client knows its own count only.
        shortened: clients whose update was longer than the L2 norm allows; likewise.
        dropped: what was wrong with the submissions that the hub did not take, by client number.
        finished: what the aggregators remember once they were shown all result signatures; to be stored by then.
    """

    sid: bytes
    averages: dict[int, VerifiedAverage] = field(default_factory=dict)
    refusals: dict[int, tuple[DeliveryError, Complaint]] = field(default_factory=dict)
    clipped: int = 0
    shortened: int = 0
    dropped: dict[int, str] = field(default_factory=dict)
    finished: dict[int, AggregatorMemory] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Uploaded:
    """What the hub holds after SUBMIT: the submissions by client, and what the aggregators are shown of them."""

    submissions: Mapping[int, Submission]
    headers: Sequence[Header]
    origin: Origin | None


class Session:
    """Drives one session.

    Args:
        parties: their memories are replaced as the session goes on.
        wire: carries, counts and records.
        store: where every party's word is put before it is sent.
        clock: where the roles' work is added up.
        crew: does the work of several parties side by side; without one, they take turns.
        clips: the training state's, if it has any.
    """

    def __init__(
        self,
        parties: LocalParties,
        wire: Wire,
        store: PartyStore,
        clock: RoleClock,
        crew: Crew | None = None,
        clips: ClipPlan | None = None,
    ) -> None:
        self._parties, self._wire, self._store, self._clock = parties, wire, store, clock
        self._crew = crew or Crew(1)
        self._clips = clips
        self._quorum = Quorum(parties, wire, store, clock, self._crew)

    def run(self, round_number: int, inputs: Mapping[int, LocalInput]) -> SessionResult:
        """Announce, submit, form the roster, commit, open, deliver.

        Args:
            round_number: later than every earlier one.
            inputs: by client number; the other clients follow the round without submitting.

        Raises:
            ProtocolError: a party could not go on; every aggregator gave the session up, unless it could be opened
                already.
            TrainingError: an update cannot be encoded.
            RunDirectoryError: something cannot be stored, so it was not sent.
        """
        sid, announcements = self._announce(round_number)
        self._settle_earlier()
        result = SessionResult(sid)
        uploaded = self._submit(announcements, inputs, result)
        return self._from_roster(round_number, uploaded, result)

    def run_again(self, round_number: int, sid: bytes) -> SessionResult:
        """Send the updates of an earlier session again: the same numbers to the same roster, after it was opened and
        its result was not accepted (protocol, "After a session that was opened and refused").

        Args:
            round_number: later than every earlier one.
            sid: the first session from these weights.

        Raises:
            ProtocolError, RunDirectoryError: as for ``run``.
        """
        body = self._store.stages(sid, OPENING).get(HUB)
        if body is None:
            raise RunDirectoryError(
                "the hub does not keep the roster of the session that is to be sent again",
                "see what `privateyes task continue` offers",
            )
        again = Again.from_bytes(body, self._parties.manifest)
        self._finish_refused()
        new_sid, announcements = self._announce(round_number)
        self._settle_earlier()
        result = SessionResult(new_sid)
        uploaded = self._submit_again(announcements, again, result)
        return self._from_roster(round_number, uploaded, result)

    def _finish_refused(self) -> None:
        """Show the aggregators the result signatures of the last session, which every client has refused: nobody needs
        its words any more but its roster, which the hub keeps.
        """
        memories = self._parties.aggregator_memories
        last = memories[1].session
        words = None if last is None else agreed_by_all(self._parties, last.sid)
        results = [said.result for said in words or () if said.result is not None]
        if len(results) < len(memories):
            return
        finished = {own.number: own.finish(memories[own.number], results) for own in self._parties.aggregators}
        with self._store.transaction():
            for number, memory in finished.items():
                if memory is not None:
                    self._store.put_memory(aggregator_name(number), memory.to_bytes(), memory.version)
        memories.update({number: memory for number, memory in finished.items() if memory is not None})

    def finish_agreed(self, sid: bytes) -> SessionResult:
        """Finish a session on which all aggregators agreed before the process died: it may have been opened.

        Raises:
            RunDirectoryError: the store lacks a party's word, or it was damaged.
        """
        words = agreed_by_all(self._parties, sid)
        if words is None:
            raise RunDirectoryError("not every aggregator agreed on that session", "run the next round")
        stored = load_session(self._store, self._parties, words, self._crew.lanes())
        result = SessionResult(sid, clipped=stored.clipped, shortened=stored.shortened)
        self._finish(stored.hub, stored.commitments, stored.shares, stored.agreements, result)
        return result

    def give_up_outstanding(self) -> None:
        """Give a session up that some aggregators agreed on before the process died, and not all: nobody opened it."""
        for memory in self._parties.aggregator_memories.values():
            last = memory.session
            if last is not None and last.commitments and not last.given_up and last.sid not in memory.opened:
                self._quorum.give_up(last.setup, last.round, last.state_id)
                return

    def _from_roster(self, round_number: int, uploaded: _Uploaded, result: SessionResult) -> SessionResult:
        with self._given_up_on_failure(round_number):
            session, committed = self._commit(result.sid, uploaded)
            commitments = [self._quorum.send(step.message) for step in committed]
            agreements = self._agree(commitments, session.commitment)
        shares = {
            own.number: step.share
            for own, step in zip(self._parties.aggregators, committed, strict=True)
            if step.share is not None
        }
        self._finish(session, commitments, shares, agreements, result)
        return result

    @contextmanager
    def _given_up_on_failure(self, round_number: int) -> Iterator[None]:
        """Before the hub has passed n agreements on, a session that cannot go on is given up by all."""
        try:
            yield
        except (ProtocolError, MalformedError):
            record = self._parties.aggregator_memories[1].session
            is_last = record is not None and record.round == round_number
            # With n agreements on one T it can be opened, whatever was damaged on the way: the next try finishes it.
            if is_last and record is not None and agreed_by_all(self._parties, record.sid) is None:
                self._quorum.give_up(record.setup, record.round, record.state_id)
            raise

    # Steps 0 and 1

    def _request(self, action: int, setup: bytes, round_number: int, state_id: bytes) -> HubRequest:
        request = HubRequest(action, setup, round_number, state_id).signed_by(self._parties.hub, setup)
        return self._wire.tell(request, Place.HUB, Place.AGGREGATOR, copies=len(self._parties.aggregators))

    def _announce(self, round_number: int) -> tuple[bytes, list[Announcement]]:
        parties = self._parties
        any_client = parties.client_memories[1]
        setup, state_id = any_client.group.setup, any_client.state_id
        request = self._request(ANNOUNCE, setup, round_number, state_id)
        steps = self._quorum.take(lambda own, memory: own.announce(memory, request))
        memories = [
            step.memory or self._quorum.memory_of(own) for own, step in zip(parties.aggregators, steps, strict=True)
        ]
        unfinished = {sid for memory in memories for sid in memory.unfinished}
        with self._store.transaction():
            aggregators = [aggregator_name(own.number) for own in parties.aggregators]
            void = self._store.clear_stages_of(aggregators, but=unfinished)
            self._quorum.put_memories(steps)
        self._quorum.take_memories(steps)
        if void:
            self._store.fold_journal()  # it still holds the keys of the void session's shares
        receivers = len(parties.clients)
        announcements = [
            self._wire.relay(step.message, Place.AGGREGATOR, Place.CLIENT, copies=receivers) for step in steps
        ]
        return session_id(setup, round_number, state_id), announcements

    def _settle_earlier(self) -> None:
        """Show the clients every aggregator's word on sessions whose end they do not know, after a kill for example."""
        parties = self._parties
        # Asked once for each session, however many clients wait for it.
        waiting = {
            (session.setup, session.round, session.state_id)
            for memory in parties.client_memories.values()
            for session in memory.followed
        }
        for setup, number, state_id in sorted(waiting):
            request = self._request(CLOSING, setup, number, state_id)
            closings = [own.closing(self._quorum.memory_of(own), request) for own in parties.aggregators]
            receivers = len(parties.clients)
            received = [
                self._wire.relay(closing, Place.AGGREGATOR, Place.CLIENT, copies=receivers) for closing in closings
            ]
            changes = {
                own.number: own.settle(
                    parties.client_memories[own.number],
                    self._store.ledger.of_session(own.identity.public_bytes, received[0].sid),
                    received,
                )
                for own in parties.clients
            }
            memories = {number: changed.memory for number, changed in changes.items()}
            with self._store.transaction():
                self._put_clients(memories)
                for entry in [entry for changed in changes.values() for entry in changed.entries]:
                    self._store.ledger.end(entry)
                self._erase_void_updates(memories)
                self._store.clear_stages(but=self._open_sessions(memories))
            parties.client_memories.update(memories)
            self._store.fold_journal()

    def _ledger_of(self, client: Client) -> list[LedgerEntry]:
        """The entries at a client's weights, of its key or of its data set."""
        weights = self._parties.client_memories[client.number].state.weights
        return self._store.ledger.at(weights, client.identity.public_bytes, client.data_set)

    def _erase_void_updates(self, memories: Mapping[int, ClientMemory]) -> None:
        """An update whose every session is void is needed no more; inside a transaction."""
        for client in self._parties.clients:
            if not unsettled(self._ledger_of(client)):
                name = client_party(self._parties, client.number)
                self._store.kept.erase(name, memories[client.number].state.weights)

    def _open_sessions(self, memories: Mapping[int, ClientMemory]) -> set[bytes]:
        """What must be kept: of sessions that a client still follows, of the first of their chains, and of those that
        an aggregator has not finished.
        """
        followed = [session for memory in memories.values() for session in memory.followed]
        kept = {session.sid for session in followed} | {session.origin for session in followed}
        return kept | {sid for memory in self._parties.aggregator_memories.values() for sid in memory.unfinished}

    def _put_clients(self, memories: Mapping[int, ClientMemory]) -> None:
        """Store what changed; inside a transaction."""
        known = self._parties.client_memories
        changed = {number: memory for number, memory in memories.items() if memory is not known[number]}
        put_memories(self._store, self._parties, {}, changed)

    def _submit(
        self, announcements: Sequence[Announcement], inputs: Mapping[int, LocalInput], result: SessionResult
    ) -> _Uploaded:
        parties = self._parties
        taking_part = [client for client in parties.clients if client.number in inputs]
        seen = {client.number: self._ledger_of(client) for client in taking_part}
        with ExitStack() as stack:
            sinks = {
                client.number: stack.enter_context(
                    self._store.kept.sink(
                        client_party(parties, client.number), parties.client_memories[client.number].state.weights
                    )
                )
                for client in taking_part
            }

            def submit(client: Client) -> tuple[Submitted, KeptUpdate]:
                given, sink = inputs[client.number], sinks[client.number]
                fresh = SubmissionSecrets(secrets.token_bytes(HASH_BYTES), given.rounding_key)
                update = Update(given.delta, given.weight, self._clips)
                memory = parties.client_memories[client.number]
                with self._clock.work_of(Place.CLIENT), _naming(parties, client.number):
                    submitted = client.submit(
                        memory,
                        seen[client.number],
                        announcements,
                        update,
                        fresh,
                        lambda piece: sink.write(piece.data.cast("B")),
                    )
                return submitted, sink.finish()

            both = self._crew.run(submit, taking_part)
        done = {client.number: submitted for client, (submitted, _) in zip(taking_part, both, strict=True)}
        self._keep_submissions(announcements, done, [update for _, update in both], seen, result)
        return self._upload(done, None, result)

    def _submit_again(self, announcements: Sequence[Announcement], again: Again, result: SessionResult) -> _Uploaded:
        parties, roster = self._parties, dict(again.origin.roster)
        taking_part = [client for client in parties.clients if client.number in roster]
        seen = {client.number: self._ledger_of(client) for client in taking_part}
        named = self._wire.carry(again.origin, Place.HUB, Place.CLIENT, copies=len(taking_part))
        committed = [
            self._wire.carry(message, Place.HUB, Place.CLIENT, copies=len(taking_part)) for message in again.commitments
        ]
        done = {}
        for client in taking_part:
            kept = kept_submission(self._store, parties, client.number, again.origin.sid)
            if kept is None:
                raise RunDirectoryError(
                    f"{client_party(parties, client.number)} does not keep the update that is to be sent again",
                    "see what `privateyes task continue` offers",
                )
            with self._clock.work_of(Place.CLIENT):
                done[client.number] = client.submit_again(
                    parties.client_memories[client.number],
                    seen[client.number],
                    announcements,
                    kept,
                    secrets.token_bytes(HASH_BYTES),
                    (named, committed),
                )
        self._keep_submissions(announcements, done, (), seen, result)
        return self._upload(done, again.origin, result)

    def _keep_submissions(
        self,
        announcements: Sequence[Announcement],
        done: Mapping[int, Submitted],
        updates: Sequence[KeptUpdate],
        seen: Mapping[int, Sequence[LedgerEntry]],
        result: SessionResult,
    ) -> None:
        """All that a submission changes, in one write, before anything of it leaves."""
        parties, sid = self._parties, result.sid
        memories = {
            own.number: done[own.number].memory
            if own.number in done
            else own.observe(parties.client_memories[own.number], announcements)
            for own in parties.clients
        }
        result.clipped = sum(submitted.clipped for submitted in done.values())
        result.shortened = sum(submitted.shortened for submitted in done.values())
        counts = b"".join(count.to_bytes(8, "big") for count in (result.clipped, result.shortened))
        with self._store.transaction():
            self._put_clients(memories)
            for update in updates:
                self._store.kept.put_update(update)
            for number, submitted in done.items():
                entry = submitted.entry
                self._store.ledger.append(entry, seen[number])
                self._store.kept.put(client_party(parties, number), sid, entry.weights, submitted.kept.to_bytes())
            self._store.put_stage(sid, CLIENTS, CLIPPED, counts)
        parties.client_memories.update(memories)

    def _upload(self, done: Mapping[int, Submitted], origin: Origin | None, result: SessionResult) -> _Uploaded:
        """One client's bad submission does not spoil the round for the others: the hub goes on without it."""
        received = self._crew.run(self._carry, [(number, one.submission) for number, one in done.items()])
        outcomes = dict(zip(done, received, strict=True))
        submissions = {number: one for number, one in outcomes.items() if isinstance(one, Submission)}
        result.dropped = {number: one.problem for number, one in outcomes.items() if isinstance(one, MalformedError)}
        if origin is not None:
            origin = self._wire.tell(origin, Place.HUB, Place.AGGREGATOR, copies=len(self._parties.aggregators))
        headers = hub.one_kind(submission.header for submission in submissions.values())
        return _Uploaded(submissions, [self._pass_header_on(header) for header in headers], origin)

    def _carry(self, sent: tuple[int, Submission]) -> Submission | MalformedError:
        number, submission = sent
        try:
            received = self._wire.carry(submission, Place.CLIENT, Place.HUB)
            if (received.header.client, received.header.sid) != (number, submission.header.sid):
                raise MalformedError(f"a submission of client {number} is in another's name, or of another session")
            with self._clock.work_of(Place.HUB):
                hub.require_intact(self._parties.manifest, received)
        except MalformedError as error:
            return error
        return received

    # Steps 2 and 3

    def _pass_header_on(self, header: Header) -> Header:
        self._wire.record(header)
        return self._wire.carry(header, Place.HUB, Place.AGGREGATOR, copies=len(self._parties.aggregators))

    def _commit(self, sid: bytes, uploaded: _Uploaded) -> tuple[HubSession, list[Committed]]:
        headers, origin = uploaded.headers, uploaded.origin
        voted = self._quorum.take(lambda own, memory: own.vote(memory, sid, headers, origin))
        self._quorum.keep(voted)
        votes = [self._quorum.send(step.message) for step in voted]
        salt_of = self._quorum.by_number([secrets.token_bytes(SALT_BYTES) for _ in voted])
        committed = self._quorum.take(
            lambda own, memory: own.commit(memory, headers, votes, salt_of[own.number], origin)
        )
        session = self._add_shares(sid, headers, hub.choose_roster(self._parties.manifest, votes), uploaded.submissions)
        bodies = {
            (aggregator_name(own.number), SHARE): [step.share.elements.data.cast("B")]
            for own, step in zip(self._parties.aggregators, committed, strict=True)
            if step.share is not None
        }
        bodies[HUB, SUM] = [session.total.share.data.cast("B")]
        self._quorum.keep(committed, large=self._store.write_large(sid, bodies))
        carried = self._wire.tell(session.commitment, Place.HUB, Place.AGGREGATOR, copies=len(committed))
        return replace(session, commitment=carried), committed

    def _add_shares(
        self, sid: bytes, headers: Sequence[Header], entries: Entries, submissions: Mapping[int, Submission]
    ) -> HubSession:
        with self._clock.work_of(Place.HUB):
            total, commitment = hub.add_shares(
                self._parties.manifest,
                sid,
                entries,
                lambda number: submissions[number].share,
                self._crew.lanes(),
            )
        return HubSession(headers[0].group_check, entries, total, commitment)

    def _agree(self, commitments: Sequence[RosterCommitment], total: HubCommitment) -> list[Agreement]:
        steps = self._quorum.take(lambda own, memory: own.agree(memory, commitments, total))
        self._quorum.keep(steps)
        agreements = [self._quorum.send(step.message) for step in steps]
        if hub.agreed_transcript(self._parties.manifest, agreements) is None:  # no aggregator would open it
            raise AbortError("the aggregators signed different transcripts", "somebody altered a commitment: try again")
        return agreements

    # Steps 4 and 5

    def _finish(
        self,
        session: HubSession,
        commitments: Sequence[RosterCommitment],
        shares: Mapping[int, OwnShare],
        agreements: Sequence[Agreement],
        result: SessionResult,
    ) -> None:
        sid = result.sid
        if not self._store.stages(sid, OPENING):
            again = Again(Origin(sid, session.group_check, session.entries), tuple(commitments))
            chain = next(other.chain for other in followed_by(self._parties) if other.sid == sid)
            with self._store.transaction():  # from here on the hub never gives this session up
                self._store.put_stage(sid, HUB, OPENING, again.to_bytes())
                self._store.remove_stage(chain, HUB, AGAIN)  # what people decided holds until something is opened
        opened = self._quorum.take(lambda own, memory: own.open(memory, shares[own.number], agreements))
        self._quorum.keep(opened)
        openings = self._send_openings(opened, shares)
        results = self._certify(session, shares, openings)
        with self._clock.work_of(Place.HUB):
            delivery = hub.deliver(
                self._parties.manifest,
                session.group_check,
                session.entries,
                (session.commitment, commitments),
                (session.total, openings),
                results,
            )
        for own in self._parties.aggregators:
            after = own.finish(self._quorum.memory_of(own), results)
            if after is not None:
                result.finished[own.number] = after
        self._wire.record(delivery)
        self._check(self._wire.carry(delivery, Place.HUB, Place.CLIENT, copies=len(self._parties.clients)), result)

    def _send_openings(self, opened: Sequence[Step[Opening]], shares: Mapping[int, OwnShare]) -> list[Opening]:
        bulk = self._parties.manifest.bulk_hash
        for own, step in zip(self._parties.aggregators, opened, strict=True):
            message, share = step.message, shares[own.number]
            # The root is known where the aggregator opens what it committed to; what else it sends is hashed as sent.
            known = message.share is share.elements
            root = share.root if known else merkle_root(message.share, bulk, self._crew.lanes())
            self._wire.record(OpeningReceipt(message.sid, message.aggregator, message.salt, root, message.signature))
        return self._crew.run(self._quorum.forward, [step.message for step in opened])

    def _certify(
        self, session: HubSession, shares: Mapping[int, OwnShare], openings: Sequence[Opening]
    ) -> list[ResultSignature]:
        sid, bulk = session.total.sid, self._parties.manifest.bulk_hash
        self._wire.record(HubSumReceipt(sid, merkle_root(session.total.share, bulk, self._crew.lanes())))
        total = self._wire.carry(session.total, Place.HUB, Place.AGGREGATOR, copies=len(openings))
        certified = self._quorum.take(lambda own, memory: own.certify(memory, openings, total, shares[own.number]))
        self._quorum.keep(certified)
        for step in certified:
            self._wire.record(step.message)
        return [self._quorum.forward(step.message) for step in certified]

    def _check(self, delivery: Delivery, result: SessionResult) -> None:
        memories = self._parties.client_memories

        def check(client: Client) -> VerifiedAverage | DeliveryError:
            try:
                with self._clock.work_of(Place.CLIENT):
                    return client.check(memories[client.number], delivery, self._clips)
            except DeliveryError as error:
                return error

        outcomes = self._crew.run(check, self._parties.clients)
        for client, outcome in zip(self._parties.clients, outcomes, strict=True):
            if isinstance(outcome, VerifiedAverage):
                result.averages[client.number] = outcome
                continue
            complaint = client.complain(delivery.sid, outcome.check)
            self._wire.record(complaint)
            result.refusals[client.number] = (outcome, self._wire.carry(complaint, Place.CLIENT, Place.HUB))
        self._disclose(delivery, result)

    def _disclose(self, delivery: Delivery, result: SessionResult) -> None:
        """In a public task, one client publishes K_sid once it has seen n signatures on the result.

        Also where the clients refuse what was signed: then everyone can see that their complaint is right.
        """
        if self._parties.manifest.sealed:
            return
        for client in self._parties.clients:
            refusal = result.refusals.get(client.number)
            if refusal is None or refusal[0].check > Check.SIGNATURES:
                with self._clock.work_of(Place.CLIENT):
                    disclosure = client.disclose(self._parties.client_memories[client.number], delivery)
                self._wire.relay(disclosure, Place.CLIENT, Place.CLIENT, copies=len(self._parties.clients) - 1)
                return


@contextmanager
def _naming(parties: LocalParties, number: int) -> Iterator[None]:
    """Errors about an update name the client that made it."""
    try:
        yield
    except TrainingError as error:
        name = parties.manifest.clients[number - 1].name
        raise TrainingError(f"client {name}: {error.problem}", error.remedy) from None
