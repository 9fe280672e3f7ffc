"""One aggregation session among local parties: the protocol's steps in order, each word stored before it is sent.

What several parties do in one step they do side by side where threads pay off; storing and sending follow in the
parties' order, on one thread. So nothing that is stored, sent or computed depends on the number of threads.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from privateyes.aggregation import hub
from privateyes.aggregation.aggregator import Aggregator, Point
from privateyes.aggregation.client import Client, SubmissionSecrets, Submitted, VerifiedAverage
from privateyes.aggregation.messages import (
    Agreement,
    Announcement,
    Complaint,
    Delivery,
    Header,
    HubCommitment,
    HubSumReceipt,
    Opening,
    OpeningReceipt,
    ResultSignature,
    RosterCommitment,
    Submission,
)
from privateyes.aggregation.result import Check
from privateyes.aggregation.roster import Entries
from privateyes.aggregation.snapshot import committed_pieces, dump_agreed
from privateyes.aggregation.states import Agreed, Announced, Committed, Opened, Step
from privateyes.crypto.commitment import SALT_BYTES, merkle_root
from privateyes.crypto.statement import HASH_BYTES
from privateyes.encoding.clips import ClipPlan
from privateyes.engines.local.clock import RoleClock
from privateyes.engines.local.crew import Crew
from privateyes.engines.local.parties import FIRST_EPOCH, LocalParties, aggregator_name, client_name
from privateyes.engines.local.quorum import Quorum
from privateyes.engines.local.stages import (
    AGREED,
    AGREEMENT,
    CLIENTS,
    CLIPPED,
    COMMITTED,
    HUB,
    SUM,
    HubSession,
    Store,
    load_session,
    sum_pieces,
)
from privateyes.engines.local.wire import Place, Wire
from privateyes.errors import DeliveryError, TrainingError


@dataclass(frozen=True, slots=True)
class LocalInput:
    """One client's update, its weight and the key of its stochastic rounding."""

    delta: NDArray[np.float32] = field(repr=False)
    weight: int
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
    """

    sid: bytes
    averages: dict[int, VerifiedAverage] = field(default_factory=dict)
    refusals: dict[int, tuple[DeliveryError, Complaint]] = field(default_factory=dict)
    clipped: int = 0
    shortened: int = 0


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
        store: Store,
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
            ProtocolError: a party stopped the session; the aggregators among those that did said so, signed.
            TrainingError: an update cannot be encoded.
            RunDirectoryError: something cannot be stored, so it was not sent.
        """
        states, announcements = self._announce(round_number)
        self._settle_earlier()
        sid = states[0].sid
        result = SessionResult(sid)
        submissions = self._submit(announcements, inputs, result)
        headers = [self._pass_header_on(submission.header) for submission in submissions.values()]
        session, committed, commitments = self._commit(sid, states, headers, submissions)
        agreed, agreements = self._agree(sid, committed, commitments, session.commitment)
        self._finish(session, commitments, agreed, agreements, result)
        return result

    def finish_opened(self, sid: bytes) -> SessionResult:
        """Finish a session that some aggregator opened before the process died.

        Raises:
            RunDirectoryError: the store lacks a party's word, or it was damaged.
        """
        stored = load_session(self._store, self._parties, sid)
        result = SessionResult(sid, clipped=stored.clipped, shortened=stored.shortened)
        self._finish(stored.hub, stored.commitments, stored.agreed, stored.agreements, result)
        return result

    # Steps 0 and 1

    def _announce(self, round_number: int) -> tuple[list[Announced], list[Announcement]]:
        parties = self._parties
        any_client = parties.client_memories[1]
        state_id = any_client.group.state_id(any_client.state_digest)
        steps = []
        for own in parties.aggregators:
            with self._clock.work_of(Place.AGGREGATOR):
                steps.append(own.announce(self._quorum.memory_of(own), FIRST_EPOCH, round_number, state_id))
        with self._store.transaction():
            void = self._store.clear_stages()
            self._quorum.put_memories(steps)
        self._quorum.take_memories(steps)
        if void:
            self._store.fold_journal()  # it still holds the keys of the void session's shares
        receivers = len(parties.clients)
        announcements = [
            self._wire.relay(step.message, Place.AGGREGATOR, Place.CLIENT, copies=receivers) for step in steps
        ]
        return [step.state for step in steps], announcements

    def _settle_earlier(self) -> None:
        """Show the clients every aggregator's word on sessions whose end they do not know, after a kill for example."""
        parties = self._parties
        # Asked once for each session, however many clients wait for it.
        waiting = {
            (session.epoch, session.round, session.state_id)
            for memory in parties.client_memories.values()
            for session in memory.pending
        }
        for epoch, number, state_id in sorted(waiting):
            closings = [
                own.closing(self._quorum.memory_of(own), epoch, number, state_id) for own in parties.aggregators
            ]
            receivers = len(parties.clients)
            received = [
                self._wire.relay(closing, Place.AGGREGATOR, Place.CLIENT, copies=receivers) for closing in closings
            ]
            for client in parties.clients:
                memory = parties.client_memories[client.number]
                parties.client_memories[client.number] = client.settle(memory, received)

    def _submit(
        self, announcements: Sequence[Announcement], inputs: Mapping[int, LocalInput], result: SessionResult
    ) -> dict[int, Submission]:
        parties = self._parties
        nonces = {number: secrets.token_bytes(HASH_BYTES) for number in inputs}

        def submit(client: Client) -> Submitted:
            given = inputs[client.number]
            fresh = SubmissionSecrets(nonces[client.number], given.rounding_key)
            memory = parties.client_memories[client.number]
            with self._clock.work_of(Place.CLIENT), _naming(parties, client.number):
                return client.submit(memory, announcements, given.delta, given.weight, fresh, self._clips)

        taking_part = [client for client in parties.clients if client.number in inputs]
        done = dict(zip([own.number for own in taking_part], self._crew.run(submit, taking_part), strict=True))
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
            for number, memory in memories.items():
                name = parties.manifest.clients[number - 1].name
                self._store.put_memory(client_name(name), memory.to_bytes())
            self._store.put_stage(result.sid, CLIENTS, CLIPPED, counts)
        parties.client_memories.update(memories)
        received = self._crew.run(self._upload, [submitted.submission for submitted in done.values()])
        return dict(zip(done, received, strict=True))

    def _upload(self, submission: Submission) -> Submission:
        received = self._wire.carry(submission, Place.CLIENT, Place.HUB)
        with self._clock.work_of(Place.HUB):
            hub.require_intact(received)
        return received

    # Steps 2 and 3

    def _pass_header_on(self, header: Header) -> Header:
        self._wire.record(header)
        return self._wire.carry(header, Place.HUB, Place.AGGREGATOR, copies=len(self._parties.aggregators))

    def _commit(
        self, sid: bytes, states: Sequence[Announced], headers: Sequence[Header], submissions: Mapping[int, Submission]
    ) -> tuple[HubSession, list[Committed], list[RosterCommitment]]:
        state_of = self._quorum.by_number(states)
        voted = self._quorum.take(Point.ROSTER, lambda own, memory: own.vote(memory, state_of[own.number], headers))
        votes = [self._quorum.send(step.message) for step in voted]
        voted_of = self._quorum.by_number([step.state for step in voted])
        salt_of = self._quorum.by_number([secrets.token_bytes(SALT_BYTES) for _ in voted])
        committed = self._quorum.take(
            Point.COMMIT,
            lambda own, memory: own.commit(memory, voted_of[own.number], votes, salt_of[own.number]),
        )
        session = self._add_shares(sid, headers, hub.choose_roster(self._parties.manifest, votes), submissions)
        bodies: dict[tuple[str, str], tuple[bytes, memoryview]] = {
            (aggregator_name(own.number), COMMITTED): committed_pieces(step.state)
            for own, step in zip(self._parties.aggregators, committed, strict=True)
        }
        bodies[HUB, SUM] = sum_pieces(session.group_check, session.total)
        self._quorum.keep(committed, sid, large=self._store.write_large(bodies))
        self._wire.record(session.commitment)
        carried = self._wire.carry(session.commitment, Place.HUB, Place.AGGREGATOR, copies=len(committed))
        session = replace(session, commitment=carried)
        return session, [step.state for step in committed], [self._quorum.send(step.message) for step in committed]

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
        group_check = next(header.group_check for header in headers if header.client == entries[0][0])
        return HubSession(group_check, entries, total, commitment)

    def _agree(
        self, sid: bytes, states: Sequence[Committed], commitments: Sequence[RosterCommitment], total: HubCommitment
    ) -> tuple[list[Agreed], list[Agreement]]:
        state_of = self._quorum.by_number(states)
        steps = self._quorum.take(
            Point.COMMIT,
            lambda own, memory: own.agree(memory, state_of[own.number], commitments, total),
        )
        said = [{AGREED: dump_agreed(step.state), AGREEMENT: step.message.to_bytes()} for step in steps]
        self._quorum.keep(steps, sid, said)
        return [step.state for step in steps], [self._quorum.send(step.message) for step in steps]

    # Steps 4 and 5

    def _finish(
        self,
        session: HubSession,
        commitments: Sequence[RosterCommitment],
        agreed: Sequence[Agreed],
        agreements: Sequence[Agreement],
        result: SessionResult,
    ) -> None:
        sid, state_of = result.sid, self._quorum.by_number(agreed)
        opened = self._quorum.take(Point.OPEN, lambda own, memory: own.open(memory, state_of[own.number], agreements))
        self._quorum.keep(opened, sid)
        openings = self._send_openings(opened)
        results = self._certify(session, opened, openings)
        with self._clock.work_of(Place.HUB):
            delivery = hub.deliver(
                self._parties.manifest,
                session.group_check,
                session.entries,
                (session.commitment, commitments),
                (session.total, openings),
                results,
            )
        self._wire.record(delivery)
        self._check(self._wire.carry(delivery, Place.HUB, Place.CLIENT, copies=len(self._parties.clients)), result)

    def _send_openings(self, opened: Sequence[Step[Opened, Opening]]) -> list[Opening]:
        for step in opened:
            message, committed = step.message, step.state.agreed.committed
            # The root is known where the aggregator opens what it committed to; what else it sends is hashed as sent.
            own = message.share is committed.share
            root = committed.share_root if own else merkle_root(message.share, self._crew.lanes())
            self._wire.record(OpeningReceipt(message.sid, message.aggregator, message.salt, root, message.signature))
        return self._crew.run(self._quorum.forward, [step.message for step in opened])

    def _certify(
        self, session: HubSession, opened: Sequence[Step[Opened, Opening]], openings: Sequence[Opening]
    ) -> list[ResultSignature]:
        sid, step_of = session.total.sid, self._quorum.by_number(opened)
        self._wire.record(HubSumReceipt(sid, merkle_root(session.total.share, self._crew.lanes())))
        total = self._wire.carry(session.total, Place.HUB, Place.AGGREGATOR, copies=len(opened))

        def seen_by(own: Aggregator) -> list[Opening]:
            """Its own opening is the one that it made; only the others' came over the wire."""
            return [step_of[own.number].message if other.aggregator == own.number else other for other in openings]

        certified = self._quorum.take(
            Point.OPEN, lambda own, _: own.certify(step_of[own.number].state, seen_by(own), total)
        )
        for step in certified:
            self._wire.record(step.message)
        return [self._wire.carry(step.message, Place.AGGREGATOR, Place.HUB) for step in certified]

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
