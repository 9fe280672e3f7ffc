"""The exchange of a private round: clients, aggregators and hub in one process, the full protocol between them.

Implements federation's `Exchange`. Every client checks the sum, decodes it and runs the server step itself; the states
that they reach must be identical to the byte. A run that is killed at any moment resumes: a session that nobody opened
is declared void and run again, one that somebody opened is finished, and one that was accepted is not repeated.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load, save

from privateyes.aggregation.costs import round_costs
from privateyes.aggregation.memory import AggregatorMemory, ClientMemory
from privateyes.crypto.labels import Label, Role
from privateyes.crypto.statement import digest
from privateyes.engines.local.parties import (
    LocalParties,
    SecurePlan,
    aggregator_name,
    client_name,
    draw_identities,
    parties_from,
    set_up_epoch,
)
from privateyes.engines.local.session import LocalInput, RoleClock, Session, SessionResult
from privateyes.engines.local.store import PartyStore
from privateyes.engines.local.wire import Place, Wire
from privateyes.errors import AbortError, RunDirectoryError
from privateyes.federation.rounds import ClientUpdate, ExchangeReport, ServerState, check_updates
from privateyes.federation.server_step import ServerOptimiser
from privateyes.files import write_atomically

STORE_NAME = "parties.sqlite"
MANIFEST_NAME = "manifest.toml"


class SecureExchange:
    """Averages by secure aggregation among local parties.

    Args:
        plan: the task.
        optimiser: the server step, which every client runs.
        directory: of this task: the parties' store, the manifest and the transcripts.
        seed: of the experiment; the stochastic rounding follows from it, nothing secret does.

    Raises:
        ParameterError: the plan is unsafe; nothing was written.
        RunDirectoryError: the directory holds another task.
    """

    def __init__(self, plan: SecurePlan, optimiser: ServerOptimiser, directory: Path, seed: int) -> None:
        self._plan, self._optimiser, self._directory, self._seed = plan, optimiser, directory, seed
        plan.require_safe()
        self._store = PartyStore(directory / STORE_NAME)
        self._parties: LocalParties | None = None
        known = self._store.identities()
        if known and sorted(known) != sorted(plan.party_names()):
            self._store.close()
            raise RunDirectoryError(f"{directory} holds another task", "use a new run directory")

    def exchange(self, state: ServerState, updates: Sequence[ClientUpdate]) -> tuple[ServerState, ExchangeReport]:
        """One private round. Called again for a round that is complete, it returns the same state.

        Raises:
            TrainingError: an update cannot be used.
            ProtocolError: a party stopped the session; no state changed.
        """
        check_updates(updates, state.vector.size)
        before = state.digest()
        accepted = self._store.accepted()
        if accepted is not None and accepted[0] == before:
            return _load_state(accepted[1]), ExchangeReport(**json.loads(accepted[2]))
        parties, setup_bytes = self._parties_at(before)
        started = perf_counter()
        wire, clock = Wire(parties.manifest), RoleClock()
        result = self._session(state, updates, parties, wire, clock)
        following = self._step(state, result, parties)
        seconds = perf_counter() - started
        report = self._report(updates, result, wire, clock, seconds, setup_bytes)
        started = perf_counter()  # again: measuring the deviation is no part of a round, storing its end is
        self._accept(before, following, report, parties)
        report = replace(report, seconds=seconds + perf_counter() - started)
        with self._store.transaction():
            self._store.amend_report(_dump_report(report))
        return following, report

    def close(self) -> None:
        """Close the store."""
        self._store.close()

    def _parties_at(self, state_digest: bytes) -> tuple[LocalParties, int]:
        """The parties, which must be at this state, and the bytes of a set-up that happened now."""
        setup_bytes = 0
        if self._parties is None:
            identities = self._store.identities()
            if identities:
                self._parties = self._restore(parties_from(self._plan, identities))
            else:
                self._parties, setup_bytes = self._set_up(state_digest)
        if any(memory.state_digest != state_digest for memory in self._parties.client_memories.values()):
            raise RunDirectoryError(
                f"the parties in {self._directory} are at another state than the given one",
                "continue from the state that they accepted last, or use a new run directory",
            )
        return self._parties, setup_bytes

    def _set_up(self, state_digest: bytes) -> tuple[LocalParties, int]:
        identities = draw_identities(self._plan)
        parties = parties_from(self._plan, identities)
        wire = Wire(parties.manifest)
        set_up_epoch(parties, state_digest, wire)
        write_atomically(self._directory / MANIFEST_NAME, parties.manifest.to_toml().encode())
        self._write_transcript("setup", wire)
        with self._store.transaction():
            for name, seed in identities.items():
                self._store.put_identity(name, seed)
            for number, memory in parties.aggregator_memories.items():
                self._store.put_memory(aggregator_name(number), memory.to_bytes())
            self._put_client_memories(parties, parties.client_memories)
        return parties, sum(entry.bytes for entry in wire.traffic.values())

    def _restore(self, parties: LocalParties) -> LocalParties:
        for aggregator in parties.aggregators:
            body = self._store.memory(aggregator_name(aggregator.number))
            parties.aggregator_memories[aggregator.number] = AggregatorMemory.from_bytes(body)
        for number, party in enumerate(parties.manifest.clients, start=1):
            parties.client_memories[number] = ClientMemory.from_bytes(self._store.memory(client_name(party.name)))
        return parties

    def _session(
        self,
        state: ServerState,
        updates: Sequence[ClientUpdate],
        parties: LocalParties,
        wire: Wire,
        clock: RoleClock,
    ) -> SessionResult:
        """Finish a session that was opened before a kill, or run a new one. What was signed is kept."""
        session = Session(parties, wire, self._store, clock)
        opened = _opened_and_waited_for(parties)
        number = _next_round(parties)
        name = f"round-{state.round + 1:04d}-session-{number if opened is None else number - 1:04d}"
        try:
            if opened is not None:
                name += "-finished"
                return session.finish_opened(opened)
            return session.run(number, local_inputs(parties, state, updates, self._seed))
        finally:
            self._write_transcript(name, wire)

    def _step(self, state: ServerState, result: SessionResult, parties: LocalParties) -> ServerState:
        """Every client takes the server step on the average that it verified; all must reach one state.

        Raises:
            AbortError: a client refused, or two reached different states.
        """
        if result.refusals:
            number, (error, _) = next(iter(result.refusals.items()))
            name = parties.manifest.clients[number - 1].name
            raise AbortError(
                f"{len(result.refusals)} of {len(parties.clients)} clients refused the round, "
                f"first {name}: {error.problem}",
                f"the signed complaints are in {self._directory}",
            )
        following = [self._optimiser.step(state, average.mean, result.sid) for average in result.averages.values()]
        if len({after.digest() for after in following}) != 1:
            raise AbortError("the clients reached different states from one verified average", "report this as a bug")
        return following[0]

    def _accept(self, before: bytes, following: ServerState, report: ExchangeReport, parties: LocalParties) -> None:
        """The new state, every client's memory of it and the end of the session's secrets, all or nothing.

        Stored first: a client that moved on in memory alone could be made to submit the same update twice.
        """
        digest_after = following.digest()
        moved = {number: memory.with_state(digest_after) for number, memory in parties.client_memories.items()}
        with self._store.transaction():
            self._store.put_accepted(before, _dump_state(following), _dump_report(report))
            self._put_client_memories(parties, moved)
            self._store.clear_stages()
        self._store.fold_journal()
        parties.client_memories.update(moved)

    def _put_client_memories(self, parties: LocalParties, memories: Mapping[int, ClientMemory]) -> None:
        for number, memory in memories.items():
            self._store.put_memory(client_name(parties.manifest.clients[number - 1].name), memory.to_bytes())

    def _write_transcript(self, name: str, wire: Wire) -> None:
        """One JSON line for each signed message: its type and its bytes as hexadecimal digits."""
        lines = [json.dumps({"type": kind, "bytes": data.hex()}) + "\n" for kind, data in wire.transcript]
        folder = self._directory / "transcripts"
        folder.mkdir(exist_ok=True)
        write_atomically(folder / f"{name}.jsonl", "".join(lines).encode())

    def _report(
        self,
        updates: Sequence[ClientUpdate],
        result: SessionResult,
        wire: Wire,
        clock: RoleClock,
        seconds: float,
        setup_bytes: int,
    ) -> ExchangeReport:
        manifest = wire.manifest
        average = next(iter(result.averages.values()))
        counted = [manifest.clients[number - 1].name for number in average.roster]
        encoding = manifest.encoding
        details: dict[str, Any] = {
            "sid": result.sid.hex(),
            "roster": counted,
            "total_weight": average.total_weight,
            "saturated": result.clipped,
            "scale_bits": encoding.scale_bits,
            "deviation": _deviation(average.mean, [own for own in updates if own.client in counted], encoding.clip),
            "deviation_bound": encoding.deviation_bound(len(counted), average.total_weight),
            "seconds_client": clock.seconds[Place.CLIENT] / len(manifest.clients),
            "seconds_hub": clock.seconds[Place.HUB],
            "seconds_aggregator": clock.seconds[Place.AGGREGATOR] / len(manifest.aggregators),
            "setup_bytes": setup_bytes,
            "traffic": wire.table(),
        }
        # The formulas, which a test holds against the counted traffic: after a kill, the traffic counted here is that
        # of the session's last steps only.
        costs = round_costs(manifest, submitted=len(updates), roster=len(counted))
        return ExchangeReport(seconds, costs.client_up, costs.client_down, details)


def local_inputs(
    parties: LocalParties, state: ServerState, updates: Sequence[ClientUpdate], seed: int
) -> dict[int, LocalInput]:
    """The updates as a session takes them, by client number; the rounding's keys follow from the experiment's seed."""
    inputs = {}
    for update in updates:
        key = digest(Label.ROUNDING_KEY, Role.CLIENT, b"", seed, update.client, state.round)
        inputs[parties.number_of(update.client)] = LocalInput(update.delta, update.weight, key)
    return inputs


def _next_round(parties: LocalParties) -> int:
    """Later than every round that any party has heard of: after a kill, some are ahead of others."""
    rounds = [memory.last_round for memory in parties.aggregator_memories.values()]
    rounds += [memory.last_round for memory in parties.client_memories.values()]
    return max(rounds) + 1


def _opened_and_waited_for(parties: LocalParties) -> bytes | None:
    """A session that an aggregator opened and whose result some client still waits for."""
    waited_for = {session.sid for memory in parties.client_memories.values() for session in memory.pending}
    opened = {sid for memory in parties.aggregator_memories.values() for sid in memory.opened}
    return next(iter(waited_for & opened), None)


def _deviation(mean: NDArray[np.float64], updates: Sequence[ClientUpdate], clip: float) -> float:
    """The largest difference between the decoded average and the exact weighted mean of the clipped updates.

    Only a simulation can measure this: it holds every update in the clear.
    """
    exact = np.zeros(mean.shape, dtype=np.float64)
    for update in updates:
        exact += update.weight * np.clip(update.delta.astype(np.float64), -clip, clip)
    exact /= sum(update.weight for update in updates)
    return float(np.abs(mean - exact).max())


def _dump_report(report: ExchangeReport) -> str:
    return json.dumps(asdict(report))


def _dump_state(state: ServerState) -> bytes:
    tensors: dict[str, NDArray[Any]] = {"vector": state.vector}
    tensors |= {f"moment_{i}": moment for i, moment in enumerate(state.moments)}
    header = json.dumps({"round": state.round, "last_sid": state.last_sid.hex()}).encode()
    return len(header).to_bytes(4, "big") + header + save(tensors)


def _load_state(data: bytes) -> ServerState:
    split = 4 + int.from_bytes(data[:4], "big")
    header, tensors = json.loads(data[4:split]), load(data[split:])
    moments = tuple(tensors[f"moment_{i}"] for i in range(len(tensors) - 1))
    return ServerState(tensors["vector"], moments, int(header["round"]), bytes.fromhex(header["last_sid"]))
