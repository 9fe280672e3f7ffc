"""The exchange of a private round: clients, aggregators and hub in one process, the full protocol between them.

Implements federation's `Exchange`. Every client checks the sum, decodes it and runs the server step itself; the states
that they reach must be identical to the byte. A run that is killed at any moment resumes: a session on which all
aggregators agreed is finished, any other that was not accepted is given up or void and run again, and one that was
accepted is not repeated. A session that was opened and refused stops the run until people decide (`privateyes task
continue`).
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from privateyes.aggregation.client import Update, VerifiedAverage
from privateyes.aggregation.costs import round_costs
from privateyes.aggregation.manifest import manifest_from_toml
from privateyes.aggregation.memory import FollowedSession, TrainingState
from privateyes.crypto.labels import Label, Role
from privateyes.crypto.statement import digest
from privateyes.encoding.clips import ClipPlan
from privateyes.engines.local.allocator import keep_freed_memory
from privateyes.engines.local.clock import RoleClock
from privateyes.engines.local.deviation import deviation
from privateyes.engines.local.message_log import Endpoint, MessageLog
from privateyes.engines.local.network import Give, set_up_locally
from privateyes.engines.local.parties import (
    Identities,
    LocalParties,
    SecurePlan,
    client_name,
    parties_from,
)
from privateyes.engines.local.pinning import first_difference, require_pinned
from privateyes.engines.local.session import Session, SessionResult
from privateyes.engines.local.stages import AGAIN, CLIENTS, OPENING, REFUSED, agreed_by_all, followed_by
from privateyes.engines.local.thread_team import ThreadTeam, threads_for
from privateyes.errors import AbortError, MalformedError, ParameterError, ProtocolError, RunDirectoryError
from privateyes.federation.application import training_state
from privateyes.federation.observation import EACH_CLIENT, Observation, Observe, keep_nothing
from privateyes.federation.participants import Participant, require_some, require_usable
from privateyes.federation.rounds import ExchangeReport, ServerState
from privateyes.federation.server_step import ServerOptimiser
from privateyes.federation.stored_state import dump_state, load_state
from privateyes.files import write_atomically
from privateyes.parties.client import Contribution
from privateyes.storage.places import name_folders, note_on_missing, open_store, store_folders
from privateyes.storage.store import PartyStore
from privateyes.storage.transcript import TranscriptFile

MANIFEST_NAME = "manifest.toml"
SETTINGS_NAME = "settings.json"
"""The settings that clients train with; the manifest pins the file's digest."""
TRANSCRIPTS_NAME = "transcripts"


class SecureExchange:
    """Averages by secure aggregation among local parties.

    Args:
        plan: the task.
        optimiser: the server step, which every client runs.
        directory: of this task: the parties' store, the manifest and the transcripts.
        seed: of the experiment; the stochastic rounding follows from it, nothing secret does.
        threads: how many threads large vectors are worked on with; 0 means one for each core. It changes nothing but
            time.
        mirrors: three or more folders on different disks, which then hold the parties' store in the directory's place.
        observe: is told the mean, which every client sees; nobody sees more.

    Raises:
        ParameterError: the plan is unsafe; nothing was written.
        RunDirectoryError: the directory holds another task, another manifest, or transcripts without their keys.
    """

    def __init__(
        self,
        plan: SecurePlan,
        optimiser: ServerOptimiser,
        directory: Path,
        seed: int,
        threads: int = 0,
        mirrors: Sequence[Path] = (),
        observe: Observe = keep_nothing,
    ) -> None:
        self._observe = observe
        self._plan, self._optimiser, self._directory, self._seed = plan, optimiser, directory, seed
        plan.require_safe()
        keep_freed_memory()  # every party of every round needs the same large vectors
        self._store = self._own_store(tuple(mirrors) or (directory,))
        self._parties: LocalParties | None = None
        field = plan.encoding.field
        self._team = ThreadTeam(threads_for((plan.dimension + 1 + field.tags) * field.element_bytes, threads))
        try:
            self._require_own_directory()
        except RunDirectoryError:
            self.close()
            raise

    def _own_store(self, folders: Sequence[Path]) -> PartyStore:
        """The store in these folders; a new one, with keys of its own, where nothing was ever said under others."""
        if any(PartyStore.exists(folder) for folder in folders):
            return open_store(self._directory, folders)
        named = store_folders(self._directory)
        if any(PartyStore.exists(folder) for folder in named):
            raise RunDirectoryError(
                f"{self._directory} has its store in {_listed(named)}, and there is none in {_listed(folders)}",
                "name the folders that it is in: a store stays where it was made",
            )
        if any((self._directory / TRANSCRIPTS_NAME).glob("round-*")):
            raise RunDirectoryError(
                f"{self._directory} holds transcripts of rounds, but the parties' keys are gone",
                "use a new run directory: a new set-up would overwrite the task's record",
            )
        self._directory.mkdir(parents=True, exist_ok=True)
        name_folders(self._directory, folders)
        clients = [client_name(name) for name in self._plan.clients]
        return PartyStore.create(*folders, parties=self._plan.party_names(), data_sets=clients)

    def missing_mirrors(self) -> tuple[str, ...]:
        """The folders of mirrors that could not be read: the store goes on without them."""
        return self._store.missing_mirrors()

    def note_on_missing(self, mirror: str, command: str) -> str:
        """What an operator is told of one; see `places.note_on_missing`."""
        return note_on_missing(self._store, mirror, command)

    def _identities(self) -> Identities:
        return Identities(self._store.identities(), self._store.data_sets())

    def _require_own_directory(self) -> None:
        """Go on with the task that the directory holds, and with no other."""
        known, pinned = self._identities(), self._store.manifest()
        if sorted(known.keys) != sorted(self._plan.party_names()):
            raise RunDirectoryError(f"{self._directory} holds another task", "use a new run directory")
        if pinned is None:
            return
        path = self._directory / MANIFEST_NAME
        require_pinned(path, pinned)
        initial = manifest_from_toml(pinned).initial_state
        parties = parties_from(self._plan, known, initial, self._team.lanes())
        difference = first_difference(pinned, parties.manifest.to_toml())
        if difference is not None:
            raise RunDirectoryError(
                f"{self._directory} holds another task: {difference}", "use a new run directory, or the old experiment"
            )
        if not path.exists():
            write_atomically(path, pinned.encode())
        self._parties = parties

    def exchange(self, state: ServerState, participants: Sequence[Participant]) -> tuple[ServerState, ExchangeReport]:
        """One private round. Called again for a round that is complete, it returns the same state.

        Raises:
            ParameterError: the model has another length than the manifest says.
            TrainingError: an update cannot be used.
            RunDirectoryError: the state is not the parties' own, or the disk is full or fails.
            ProtocolError: a party stopped the session; no state changed.
        """
        handed_over = self._optimiser.vectors * state.vector.size
        if handed_over != self._plan.dimension:
            raise ParameterError(
                f"the model has {handed_over} parameters where the manifest's dimension is {self._plan.dimension}",
                "train the model that the manifest describes, or start a new task",
            )
        require_some(participants)
        self._require_known(participants)
        before = state.digest()
        accepted = self._store.accepted_after(before)
        if accepted is not None:
            return load_state(accepted[0]), ExchangeReport(**json.loads(accepted[1]))
        parties, setup_bytes = self._parties_at(state)
        started = perf_counter()
        clock, reached = RoleClock(self._team.seconds), _Reached(self._optimiser, state)
        with self._pointing_at_ways_on():
            session, result, message_log = self._session(state, participants, parties, clock, reached)
        following = self._following(reached, result, parties)
        seconds = perf_counter() - started
        self._observe(Observation(EACH_CLIENT, state.round + 1, "mean", next(iter(result.averages.values())).mean))
        report = self._report(state, participants, result, message_log, clock, seconds, setup_bytes)
        started = perf_counter()  # again: measuring the deviation is no part of a round, storing its end is
        self._accept(before, following, report, session)
        report = replace(report, seconds=seconds + perf_counter() - started)
        self._store.amend_report(_dump_report(report))
        return following, report

    def _require_known(self, participants: Sequence[Participant]) -> None:
        for participant in participants:
            if participant.client not in self._plan.clients:
                known = ", ".join(self._plan.clients)
                raise ParameterError(
                    f"an update is from {participant.client}, who is no client of the task", f"its clients are: {known}"
                )

    def close(self) -> None:
        """Close the store and end the threads."""
        self._team.close()
        self._store.close()

    def _parties_at(self, given: ServerState) -> tuple[LocalParties, int]:
        """The parties, which must be at this state, and the bytes of a set-up that happened now."""
        state, setup_bytes = training_state(given), 0
        if self._parties is None:
            self._parties, setup_bytes = self._set_up(state)
        if any(memory.state != state for memory in self._parties.client_memories(self._store).values()):
            last = self._store.accepted_round()
            if last is not None and given.round < last:
                raise RunDirectoryError(
                    f"the given state is after round {given.round}, and the parties in {self._directory} accepted "
                    f"round {last} already",
                    "a client never goes back to an older state: continue from the last one",
                )
            raise RunDirectoryError(
                f"the parties in {self._directory} are at another state than the given one",
                "continue from the state that they accepted last, or use a new run directory",
            )
        return self._parties, setup_bytes

    def _set_up(self, state: TrainingState) -> tuple[LocalParties, int]:
        parties = parties_from(self._plan, self._identities(), state.digest, self._team.lanes())
        message_log = MessageLog(parties.manifest)
        pin = partial(self._pin, parties.manifest.to_toml(), message_log)
        set_up_locally(parties, self._store, state, message_log, self._team, pin)
        return parties, sum(entry.bytes for entry in message_log.traffic.values())

    def _pin(self, manifest: str, message_log: MessageLog) -> None:
        """What stands beside the store, and then the manifest in it; in the transaction with which all parties start:
        without it there was no set-up.
        """
        write_atomically(self._directory / MANIFEST_NAME, manifest.encode())
        write_atomically(self._directory / SETTINGS_NAME, self._plan.settings)
        path = self._transcript_path("setup")
        path.unlink(missing_ok=True)  # of a set-up that was killed, among other keys
        record = TranscriptFile(path)
        for kind, data in message_log.transcript:
            record.add(kind, data)
        record.close()
        self._store.put_manifest(manifest)

    def _transcript_path(self, name: str) -> Path:
        folder = self._directory / TRANSCRIPTS_NAME
        folder.mkdir(exist_ok=True)
        return folder / f"{name}.jsonl"

    def _session(
        self,
        state: ServerState,
        participants: Sequence[Participant],
        parties: LocalParties,
        clock: RoleClock,
        reached: _Reached,
    ) -> tuple[Session, SessionResult, MessageLog]:
        """Finish a session that all aggregators agreed on before a kill, or run a new one.

        What was said is kept, however it ends.
        """
        agreed = _agreed_and_waited_for(parties, self._store)
        again = agreed is not None and self._is_asked_to_send_again(agreed)
        number = self._round_to_announce(parties) if agreed is None or again else agreed.round
        record = TranscriptFile(self._transcript_path(f"round-{state.round + 1:04d}-session-{number:04d}"))
        message_log = MessageLog(parties.manifest, record.add, self._team.lanes())
        session = Session(parties, message_log, self._store, clock, self._team, state.clips, reached.step)
        try:
            if agreed is not None and not again and (finished := self._finished(session, agreed.sid)) is not None:
                return session, finished, message_log
            session.give_up_outstanding()
            number = self._round_to_announce(parties)
            if again and agreed is not None:
                return session, session.run_again(number, agreed.chain), message_log
            return session, session.run(number, local_inputs(parties, state, participants, self._seed)), message_log
        finally:
            record.close()

    def _finished(self, session: Session, sid: bytes) -> SessionResult | None:
        """A session that all agreed on; None if a party's share of it cannot be read and nobody opened it: then it is
        given up.
        """
        try:
            return session.finish_agreed(sid)
        except RunDirectoryError as error:
            if not self._may_be_opened(sid):
                return None
            with suppress(RunDirectoryError):  # the first error says more
                self._note_refusals(sid, self._refusals_of(sid))
            error.remedy = error.remedy or "see what `privateyes task continue` offers"
            raise

    def _may_be_opened(self, sid: bytes) -> bool:
        """Whether an aggregator opened it. All of them are here, so what the hub passed on to them does not count."""
        memories = self._parties.aggregator_memories(self._store).values() if self._parties else ()
        return any(sid in memory.opened for memory in memories)

    def _round_to_announce(self, parties: LocalParties) -> int:
        """Later than every round that any party has heard of: after a kill, some are ahead of others. A round that was
        announced from the clients' state, and in which nobody has done anything since, is announced again.
        """
        last = {memory.session for memory in parties.aggregator_memories(self._store).values()}
        (session, *others) = last
        clients = parties.client_memories(self._store).values()
        if not others and session is not None and session.voted is None and not session.given_up:
            subject = (session.setup, session.state_id)
            if all(
                (memory.group.setup, memory.state_id) == subject and memory.last_round < session.round
                for memory in clients
            ):
                return session.round
        rounds = [session.round for session in last if session is not None]
        return max([*rounds, *(memory.last_round for memory in clients)], default=-1) + 1

    def _is_asked_to_send_again(self, session: FollowedSession) -> bool:
        """Whether it was refused, and people decided that its updates are sent again; see continuing.py."""
        refused = self._store.stages(session.sid, REFUSED)
        return bool(refused and self._store.stages(session.chain, AGAIN))

    def _following(self, reached: _Reached, result: SessionResult, parties: LocalParties) -> ServerState:
        """The state that all clients reached.

        Raises:
            AbortError: a client refused.
        """
        if result.refusals or reached.state is None:
            number, (error, _) = next(iter(result.refusals.items()))
            name = parties.manifest.clients[number - 1].name
            checks = {client: complaint.check for client, (_, complaint) in result.refusals.items()}
            self._note_refusals(result.sid, checks)
            raise AbortError(
                f"{len(result.refusals)} of {len(parties.clients)} clients refused the round, "
                f"first {name}: {error.problem}",
                f"the signed complaints are in {self._directory}; `privateyes task continue {self._directory}` says "
                "what is safe now",
            )
        return reached.state

    @contextmanager
    def _pointing_at_ways_on(self) -> Iterator[None]:
        """A session that the hub has begun to open, and that cannot be ended, waits for people."""
        try:
            yield
        except (ProtocolError, MalformedError) as error:
            parties = self._parties
            waited_for = followed_by(parties, self._store) if parties else []
            opened = [one for one in waited_for if self._store.stages(one.sid, OPENING)]
            if opened:
                self._note_refusals(opened[-1].sid, self._refusals_of(opened[-1].sid))
                way_on = f"`privateyes task continue {self._directory}` says what is safe now"
                error.remedy = f"{error.remedy}; {way_on}" if error.remedy else way_on
            raise

    def _refusals_of(self, sid: bytes) -> Mapping[int, int]:
        return json.loads(self._store.stages(sid, REFUSED).get(CLIENTS, b"{}"))  # type: ignore[no-any-return]

    def _note_refusals(self, sid: bytes, checks: Mapping[int, int]) -> None:
        """Store which clients refused a session, at which check; none, if no result of it came to them."""
        with self._store.transaction():
            self._store.remove_stage(sid, CLIENTS, REFUSED)
            self._store.put_stage(sid, CLIENTS, REFUSED, json.dumps(checks).encode())

    def _accept(self, before: bytes, following: ServerState, report: ExchangeReport, session: Session) -> None:
        """The new state, every client's memory of it and the end of the session's secrets, all or nothing.

        Stored first: a client that moved on in memory alone could be made to submit the same update twice.
        """
        written = self._store.write_state(dump_state(following))
        text = _dump_report(report)
        session.accept(lambda: self._store.put_accepted(before, following.round, written, text))

    def _report(
        self,
        state: ServerState,
        participants: Sequence[Participant],
        result: SessionResult,
        message_log: MessageLog,
        clock: RoleClock,
        seconds: float,
        setup_bytes: int,
    ) -> ExchangeReport:
        manifest = message_log.manifest
        average = next(iter(result.averages.values()))
        counted = [manifest.clients[number - 1].name for number in average.roster]
        own = [participant for participant in participants if participant.client in counted]
        measured, bound = deviation(manifest, state.clips, average, own)
        details: dict[str, Any] = {
            "sid": result.sid.hex(),
            "roster": counted,
            "total_weight": average.total_weight,
            "dropped": {manifest.clients[number - 1].name: problem for number, problem in result.dropped.items()},
            "saturated": result.clipped,
            "shortened": result.shortened,
            "scale_bits": manifest.encoding.scale_bits,
            "deviation": measured,
            "deviation_bound": bound,
            "seconds_client": clock.seconds[Endpoint.CLIENT] / len(manifest.clients),
            "seconds_hub": clock.seconds[Endpoint.HUB],
            "seconds_aggregator": clock.seconds[Endpoint.AGGREGATOR] / len(manifest.aggregators),
            "setup_bytes": setup_bytes,
            "traffic": message_log.table(),
        }
        # The formulas, which a test holds against the counted traffic: after a kill, the traffic counted here is that
        # of the session's last steps only.
        costs = round_costs(manifest, submitted=len(participants), roster=len(counted))
        count = len(manifest.clients)  # one client discloses in a public task, and the others receive it
        up, down = costs.disclosure / count, costs.disclosure * (count - 1) / count
        return ExchangeReport(seconds, costs.client_up + up, costs.client_down + down, details)


def _listed(folders: Sequence[Path]) -> str:
    return ", ".join(str(folder) for folder in folders)


def local_inputs(
    parties: LocalParties, state: ServerState, participants: Sequence[Participant], seed: int
) -> dict[int, Give]:
    """What clients give to a session, by number; the rounding's keys follow from the experiment's seed."""
    inputs: dict[int, Give] = {}
    for participant in participants:
        key = digest(Label.ROUNDING_KEY, Role.CLIENT, b"", seed, participant.client, state.round)
        gives = partial(_contribution, participant, parties.manifest.dimension, key)
        inputs[parties.number_of(participant.client)] = gives
    return inputs


def _contribution(participant: Participant, dimension: int, key: bytes, clips: ClipPlan | None) -> Contribution:
    """On the client's own side.

    Raises:
        TrainingError: the update must not be averaged.
    """
    update = participant.hand_over()
    require_usable(update, dimension)
    return Contribution(Update(update.delta, update.weight, clips), key)


def _agreed_and_waited_for(parties: LocalParties, store: PartyStore) -> FollowedSession | None:
    """The last session that can be opened, or was, and whose result some client waits for."""
    opened = {sid for memory in parties.aggregator_memories(store).values() for sid in memory.opened}
    for session in reversed(followed_by(parties, store)):
        if session.sid in opened or agreed_by_all(parties, store, session.sid) is not None:
            return session
    return None


class _Reached:
    """The state that clients reach from one state by their server steps; all must reach the same.

    Attributes:
        state: None before the first client took the step.
    """

    def __init__(self, optimiser: ServerOptimiser, before: ServerState) -> None:
        self._optimiser, self._before = optimiser, before
        self.state: ServerState | None = None
        self._known: TrainingState | None = None
        self._first = threading.Lock()

    def step(self, _: TrainingState, average: VerifiedAverage) -> TrainingState:
        """One client's server step; from any thread.

        Raises:
            AbortError: another client reached another state.
        """
        following = self._optimiser.step(self._before, average.mean, average.sid)
        with self._first:
            if self.state is None or self._known is None:
                self.state, self._known = following, training_state(following)
        if not _identical(self.state, following):
            raise AbortError("the clients reached different states from one verified average", "report this as a bug")
        return self._known


def _dump_report(report: ExchangeReport) -> str:
    return json.dumps(asdict(report))


def _identical(left: ServerState, right: ServerState) -> bool:
    """Whether two states are the same to the bit; cheaper than two digests."""
    small = [(state.round, state.last_sid, state.clips, state.lineage, len(state.moments)) for state in (left, right)]
    if small[0] != small[1]:
        return False
    pairs: list[tuple[NDArray[Any], NDArray[Any]]] = [(left.vector, right.vector)]
    pairs += zip(left.moments, right.moments, strict=True)
    return all(_same_bits(first, second) for first, second in pairs)


def _same_bits(left: NDArray[Any], right: NDArray[Any]) -> bool:
    whole = f"u{left.itemsize}"
    return left.dtype == right.dtype and np.array_equal(left.view(whole), right.view(whole))
