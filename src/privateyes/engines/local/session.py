"""One aggregation session among local parties: the protocol's steps in order, each word stored before it is sent."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from time import perf_counter
from types import MappingProxyType
from typing import Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from privateyes.aggregation import hub
from privateyes.aggregation.client import SubmissionSecrets, VerifiedAverage
from privateyes.aggregation.memory import AggregatorMemory, ClientMemory
from privateyes.aggregation.messages import (
    Agreement,
    Announcement,
    Complaint,
    Delivery,
    Header,
    HubCommitment,
    HubSum,
    RosterCommitment,
    Signed,
    Submission,
    Vote,
)
from privateyes.aggregation.roster import Entries
from privateyes.aggregation.snapshot import dump_agreed, dump_committed, load_agreed, load_committed
from privateyes.aggregation.states import Agreed, Announced, Committed
from privateyes.crypto.commitment import SALT_BYTES
from privateyes.crypto.statement import HASH_BYTES
from privateyes.engines.local.parties import FIRST_EPOCH, LocalParties, aggregator_name, client_name
from privateyes.engines.local.wire import Place, Wire
from privateyes.errors import DeliveryError, RunDirectoryError, TrainingError

S = TypeVar("S", bound=Signed)

COMMITTED, AGREED, AGREEMENT, SUM, CLIPPED = "committed", "agreed", "agreement", "sum", "clipped"
_HUB, _CLIENTS = "hub", "clients"


class Store(Protocol):
    """What a session needs of a store; store.py has the durable one."""

    def transaction(self) -> AbstractContextManager[None]: ...
    def put_memory(self, party: str, body: bytes) -> None: ...
    def put_stage(self, sid: bytes, party: str, stage: str, body: bytes) -> None: ...
    def stages(self, sid: bytes, stage: str) -> dict[str, bytes]: ...
    def clear_stages_of(self, party: str) -> None: ...


@dataclass(frozen=True, slots=True)
class LocalInput:
    """One client's update, its weight and the key of its stochastic rounding."""

    delta: NDArray[np.float32] = field(repr=False)
    weight: int
    rounding_key: bytes = field(repr=False)


class RoleClock:
    """Seconds of work by role; in a real deployment the parties work side by side."""

    def __init__(self) -> None:
        self.seconds = dict.fromkeys(Place, 0.0)

    @contextmanager
    def work_of(self, role: Place) -> Iterator[None]:
        """Add the time inside to a role."""
        started = perf_counter()
        try:
            yield
        finally:
            self.seconds[role] += perf_counter() - started


@dataclass(slots=True)
class SessionResult:
    """How a session ended at every client.

    Attributes:
        sid: the session.
        averages: by client number, for those that accepted.
        refusals: by client number, for those that refused; with the signed complaint.
        clipped: coordinates clipped, over all clients; in a real deployment each client knows its own count only.
    """

    sid: bytes
    averages: dict[int, VerifiedAverage] = field(default_factory=dict)
    refusals: dict[int, tuple[DeliveryError, Complaint]] = field(default_factory=dict)
    clipped: int = 0


@dataclass(frozen=True, slots=True)
class _HubSession:
    """What the hub holds from COMMIT on."""

    group_check: bytes
    entries: Entries
    total: HubSum
    commitment: HubCommitment


class Session:
    """Drives one session.

    Args:
        parties: their memories are replaced as the session goes on.
        wire: carries and counts.
        store: where every party's word is put before it is sent.
        clock: where the roles' work is added up.
    """

    def __init__(self, parties: LocalParties, wire: Wire, store: Store, clock: RoleClock) -> None:
        self._parties, self._wire, self._store, self._clock = parties, wire, store, clock

    def run(self, round_number: int, inputs: Mapping[int, LocalInput]) -> SessionResult:
        """Announce, submit, form the roster, commit, open, deliver.

        Args:
            round_number: later than every earlier one.
            inputs: by client number; the other clients follow the round without submitting.

        Raises:
            ProtocolError: a party stopped the session.
            TrainingError: an update cannot be encoded.
        """
        states, announcements = self._announce(round_number)
        self._settle_earlier()
        sid = states[0].sid
        result = SessionResult(sid)
        submissions = self._submit(announcements, inputs, result)
        headers = [self._pass_header_on(submission) for submission in submissions.values()]
        committed, votes, commitments = self._commit(sid, states, headers)
        session = self._add_shares(sid, headers, hub.choose_roster(self._parties.manifest, votes), submissions)
        agreed, agreements = self._agree(sid, committed, commitments, session.commitment)
        self._finish(session, commitments, agreed, agreements, result)
        return result

    def finish_opened(self, sid: bytes) -> SessionResult:
        """Finish a session that some aggregator opened before the process died.

        Raises:
            RunDirectoryError: the store lacks a party's word.
        """
        parties = self._parties
        stored, agreed_bodies = self._store.stages(sid, COMMITTED), self._store.stages(sid, AGREED)
        agreement_bodies = self._store.stages(sid, AGREEMENT)
        hub_body = self._store.stages(sid, SUM).get(_HUB)
        names = [aggregator_name(own.number) for own in parties.aggregators]
        if hub_body is None or any(name not in agreed_bodies or name not in stored for name in names):
            raise RunDirectoryError("the store of an opened session is incomplete", "start the run in a new directory")
        agreed = []
        for own, name in zip(parties.aggregators, names, strict=True):
            committed = load_committed(stored[name], own.number, parties.manifest)
            agreed.append(load_agreed(agreed_bodies[name], committed, parties.manifest))
        agreements = [Agreement.from_bytes(agreement_bodies[name], parties.manifest) for name in names]
        commitments = [
            RosterCommitment(sid, own.number, state.committed.rho, state.committed.commitment)
            for own, state in zip(parties.aggregators, agreed, strict=True)
        ]
        session = _HubSession(
            group_check=hub_body[:HASH_BYTES],
            entries=agreed[0].committed.entries,
            total=HubSum.from_bytes(hub_body[HASH_BYTES:], parties.manifest),
            commitment=HubCommitment(sid, agreed[0].commitments[0]),
        )
        clipped = self._store.stages(sid, CLIPPED).get(_CLIENTS, b"")
        result = SessionResult(sid, clipped=int.from_bytes(clipped, "big"))
        self._finish(session, commitments, agreed, agreements, result)
        return result

    # Steps 0 and 1

    def _announce(self, round_number: int) -> tuple[list[Announced], list[Announcement]]:
        parties = self._parties
        any_client = parties.client_memories[1]
        state_id = any_client.group.state_id(any_client.state_digest)
        steps = []
        for own in parties.aggregators:
            with self._clock.work_of(Place.AGGREGATOR):
                memory = parties.aggregator_memories[own.number]
                steps.append(own.announce(memory, FIRST_EPOCH, round_number, state_id))
            self._keep(own.number, steps[-1].memory, closes_earlier=True)
        receivers = len(parties.clients)
        announcements = [
            self._wire.relay(step.message, Place.AGGREGATOR, Place.CLIENT, copies=receivers) for step in steps
        ]
        return [step.state for step in steps], announcements

    def _settle_earlier(self) -> None:
        """Show the clients every aggregator's word on sessions whose end they do not know, after a kill for example."""
        parties = self._parties
        waiting = {session for memory in parties.client_memories.values() for session in memory.pending}
        for session in waiting:
            closings = [
                own.closing(parties.aggregator_memories[own.number], session.epoch, session.round, session.state_id)
                for own in parties.aggregators
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
        submissions: dict[int, Submission] = {}
        memories: dict[int, ClientMemory] = {}
        for client in self._parties.clients:
            memory = self._parties.client_memories[client.number]
            given = inputs.get(client.number)
            if given is None:
                memories[client.number] = client.observe(memory, announcements)
                continue
            fresh = SubmissionSecrets(secrets.token_bytes(HASH_BYTES), given.rounding_key)
            with self._clock.work_of(Place.CLIENT), _naming(self._parties, client.number):
                submitted = client.submit(memory, announcements, given.delta, given.weight, fresh)
            memories[client.number] = submitted.memory
            submissions[client.number] = submitted.submission
            result.clipped += submitted.clipped
        with self._store.transaction():
            for number, memory in memories.items():
                name = self._parties.manifest.clients[number - 1].name
                self._store.put_memory(client_name(name), memory.to_bytes())
            self._store.put_stage(result.sid, _CLIENTS, CLIPPED, result.clipped.to_bytes(8, "big"))
        self._parties.client_memories.update(memories)
        return {
            number: self._wire.carry(submission, Place.CLIENT, Place.HUB) for number, submission in submissions.items()
        }

    # Steps 2 and 3

    def _pass_header_on(self, submission: Submission) -> Header:
        with self._clock.work_of(Place.HUB):
            header = hub.require_intact(submission)
        self._wire.record(header)
        return self._wire.carry(header, Place.HUB, Place.AGGREGATOR, copies=len(self._parties.aggregators))

    def _commit(
        self, sid: bytes, states: Sequence[Announced], headers: Sequence[Header]
    ) -> tuple[list[Committed], list[Vote], list[RosterCommitment]]:
        aggregators = self._parties.aggregators
        voted, committed = [], []
        for aggregator, state in zip(aggregators, states, strict=True):
            with self._clock.work_of(Place.AGGREGATOR):
                voted.append(aggregator.vote(self._memory_of(aggregator.number), state, headers))
        votes = [self._among_aggregators(step.message) for step in voted]
        for aggregator, step in zip(aggregators, voted, strict=True):
            with self._clock.work_of(Place.AGGREGATOR):
                memory, salt = self._memory_of(aggregator.number), secrets.token_bytes(SALT_BYTES)
                committed.append(aggregator.commit(memory, step.state, votes, salt))
            bodies = {COMMITTED: dump_committed(committed[-1].state)}
            self._keep(aggregator.number, committed[-1].memory, sid, bodies)
        commitments = [self._among_aggregators(step.message) for step in committed]
        return [step.state for step in committed], votes, commitments

    def _add_shares(
        self, sid: bytes, headers: Sequence[Header], entries: Entries, submissions: Mapping[int, Submission]
    ) -> _HubSession:
        with self._clock.work_of(Place.HUB):
            total, commitment = hub.add_shares(
                self._parties.manifest, sid, entries, lambda number: submissions[number].share
            )
        group_check = next(header.group_check for header in headers if header.client == entries[0][0])
        with self._store.transaction():
            self._store.put_stage(sid, _HUB, SUM, group_check + total.to_bytes())
        carried = self._wire.carry(commitment, Place.HUB, Place.AGGREGATOR, copies=len(self._parties.aggregators))
        return _HubSession(group_check, entries, total, carried)

    def _agree(
        self, sid: bytes, states: Sequence[Committed], commitments: Sequence[RosterCommitment], total: HubCommitment
    ) -> tuple[list[Agreed], list[Agreement]]:
        steps = []
        for aggregator, state in zip(self._parties.aggregators, states, strict=True):
            with self._clock.work_of(Place.AGGREGATOR):
                steps.append(aggregator.agree(self._memory_of(aggregator.number), state, commitments, total))
            bodies = {AGREED: dump_agreed(steps[-1].state), AGREEMENT: steps[-1].message.to_bytes()}
            self._keep(aggregator.number, steps[-1].memory, sid, bodies)
        return [step.state for step in steps], [self._among_aggregators(step.message) for step in steps]

    # Steps 4 and 5

    def _finish(
        self,
        session: _HubSession,
        commitments: Sequence[RosterCommitment],
        agreed: Sequence[Agreed],
        agreements: Sequence[Agreement],
        result: SessionResult,
    ) -> None:
        aggregators = self._parties.aggregators
        opened, results = [], []
        for aggregator, state in zip(aggregators, agreed, strict=True):
            with self._clock.work_of(Place.AGGREGATOR):
                opened.append(aggregator.open(self._memory_of(aggregator.number), state, agreements))
            self._keep(aggregator.number, opened[-1].memory)
        openings = [self._among_aggregators(step.message) for step in opened]
        total = self._wire.carry(session.total, Place.HUB, Place.AGGREGATOR, copies=len(aggregators))
        for aggregator, step in zip(aggregators, opened, strict=True):
            with self._clock.work_of(Place.AGGREGATOR):
                certified = aggregator.certify(step.state, openings, total)
            self._wire.record(certified.message)
            results.append(self._wire.carry(certified.message, Place.AGGREGATOR, Place.HUB))
        with self._clock.work_of(Place.HUB):
            delivery = hub.deliver(
                self._parties.manifest,
                session.group_check,
                session.entries,
                (session.commitment, commitments),
                (session.total, openings),
                results,
            )
        self._check(self._wire.carry(delivery, Place.HUB, Place.CLIENT, copies=len(self._parties.clients)), result)

    def _check(self, delivery: Delivery, result: SessionResult) -> None:
        for client in self._parties.clients:
            memory = self._parties.client_memories[client.number]
            try:
                with self._clock.work_of(Place.CLIENT):
                    result.averages[client.number] = client.check(memory, delivery)
            except DeliveryError as error:
                complaint = client.complain(delivery.sid, error.check)
                self._wire.record(complaint)
                result.refusals[client.number] = (error, self._wire.carry(complaint, Place.CLIENT, Place.HUB))

    # Storing and sending

    def _memory_of(self, aggregator: int) -> AggregatorMemory:
        return self._parties.aggregator_memories[aggregator]

    def _keep(
        self,
        aggregator: int,
        memory: AggregatorMemory | None,
        sid: bytes = b"",
        stages: Mapping[str, bytes] = MappingProxyType({}),
        *,
        closes_earlier: bool = False,
    ) -> None:
        with self._store.transaction():
            if closes_earlier:
                self._store.clear_stages_of(aggregator_name(aggregator))
            if memory is not None:
                self._store.put_memory(aggregator_name(aggregator), memory.to_bytes())
            for stage, body in stages.items():
                self._store.put_stage(sid, aggregator_name(aggregator), stage, body)
        if memory is not None:
            self._parties.aggregator_memories[aggregator] = memory

    def _among_aggregators(self, message: S) -> S:
        return self._wire.relay(message, Place.AGGREGATOR, Place.AGGREGATOR, len(self._parties.aggregators) - 1)


@contextmanager
def _naming(parties: LocalParties, number: int) -> Iterator[None]:
    """Errors about an update name the client that made it."""
    try:
        yield
    except TrainingError as error:
        name = parties.manifest.clients[number - 1].name
        raise TrainingError(f"client {name}: {error.problem}", error.remedy) from None
