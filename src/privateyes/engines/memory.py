"""Every party of a task in one process and in memory: secure averaging for anybody's own training loop.

It needs no torch and writes no file. One process that plays every party separates no trust; that takes aggregators on
machines of independent operators. What it gives is the protocol itself, its costs and its arithmetic.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import count
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from privateyes.aggregation.client import Update, VerifiedAverage
from privateyes.aggregation.manifest import Manifest
from privateyes.aggregation.memory import ClientMemory, TrainingState
from privateyes.crypto.field import Field, field_by_name
from privateyes.crypto.statement import HASH_BYTES, KEY_BYTES
from privateyes.encoding.clips import ClipPlan
from privateyes.encoding.fixed_point import FixedPoint, exact_clip, largest_scale_bits
from privateyes.engines.local.allocator import keep_freed_memory
from privateyes.engines.local.parties import LocalParties, SecurePlan, draw_identities, parties_from
from privateyes.engines.local.thread_team import ThreadTeam
from privateyes.errors import (
    AbortError,
    MalformedError,
    ParameterError,
    PrivateyesError,
    ProtocolError,
    RefusedError,
    TrainingError,
)
from privateyes.parties.aggregator import AggregatorHost
from privateyes.parties.client import ClientHost, Contribution
from privateyes.parties.hub import HubHost, Named
from privateyes.parties.packets import HUB, client_name
from privateyes.parties.round import Parties, run_round, set_up
from privateyes.storage.memory import MemoryStore

Given = ArrayLike | tuple[ArrayLike, int]
"""An update, or an update and its weight."""

_FIRST_EPOCH: Final = 1
_TURNS: Final = count(1)
_LEADER: Final = 1
_MEND: Final = "mend it, or leave this client out, and call again: nothing was averaged, and no other update is used up"


@dataclass(frozen=True, slots=True)
class Average:
    """What every client gets of one round.

    Attributes:
        mean: float64 (d,), the weighted mean of the updates, each clipped to the task's clip.
        total_weight: of the updates in it.
        counted: the clients whose updates are in it, by name.
        left_out: why an update that was given is not in it, by client.
    """

    mean: NDArray[np.float64] = field(repr=False)
    total_weight: int
    counted: tuple[str, ...]
    left_out: Mapping[str, PrivateyesError]


class _Trainer:
    """What trains beside a client is elsewhere: it gives an update, and takes the mean away.

    A model is a counter and a digest of all averages so far: whoever uses the mean steps to the next model.

    Args:
        keeps: whether it keeps the average; all clients' are the same, and one is enough.
    """

    def __init__(self, keeps: bool) -> None:
        self._keeps = keeps
        self.given: tuple[NDArray[np.float32], int] | None = None
        self.average: VerifiedAverage | None = None
        self.asked = 0

    def initial_model(self) -> bytes:
        return bytes(8 + HASH_BYTES)

    def contribution(self, model: bytes) -> Contribution:  # noqa: ARG002 - whoever trained knows it
        self.asked = next(_TURNS)
        if self.given is None:
            raise RefusedError("no update was given", "give one, or leave the client out of this round")
        delta, weight = self.given
        return Contribution(Update(delta, weight, None), secrets.token_bytes(KEY_BYTES))

    def submitted(self, clipped: int, shortened: bool) -> None:
        """Nobody reads this log."""

    def after(self, model: bytes, average: VerifiedAverage) -> bytes:
        self.average = average if self._keeps else None
        counter = int.from_bytes(model[:8], "big") + 1
        return counter.to_bytes(8, "big") + _hash(model, average.sid)

    def read(self, model: bytes) -> TrainingState:
        if len(model) != 8 + HASH_BYTES:
            raise MalformedError("no model of this task")
        return TrainingState(_hash(b"state", model), _hash(b"weights", model), int.from_bytes(model[:8], "big"))

    def clip_plan(self, model: bytes) -> ClipPlan | None:  # noqa: ARG002 - the manifest's clip for all tensors
        return None


def _hash(*parts: bytes) -> bytes:
    return hashlib.sha256(b"".join(parts)).digest()


class SecureAverage:
    """Averages updates by secure aggregation, all parties in this process (protocol: docs/protocol.md).

        average = SecureAverage(clients=["ada", "bob", "cyd"], dimension=model.size)
        for _ in range(rounds):
            updates = {name: train(name, model) - model for name in average.clients}
            model += average(updates).mean

    Every client checks every result: a mean that anybody altered is an error, never a mean. A call that failed may be
    made again with the same updates, or with others.

    Args:
        clients: their names, 2 or more.
        dimension: d, the number of an update's coordinates.
        aggregators: n, 2 to 7.
        clip: the largest absolute value of a coordinate; larger ones are clipped.
        weight_max: the largest weight of an update.
        field: "compact": 4 bytes for a coordinate, as float32 has; "wide": 8 bytes, and next to no rounding.
        roster_min: the fewest updates that may be averaged; by default all clients'.
        corrupt_clients: how many curious clients an average must still hide each honest update from.
        threads: for large vectors; 0 means one for each core.

    Raises:
        ParameterError: an argument is none, the sum could wrap, or the parameters are unsafe otherwise.
    """

    def __init__(
        self,
        clients: Sequence[str],
        dimension: int,
        *,
        aggregators: int = 3,
        clip: float = 1.0,
        weight_max: int = 1,
        field: str = "compact",
        roster_min: int | None = None,
        corrupt_clients: int = 0,
        threads: int = 0,
    ) -> None:
        self.clients, self.dimension = _names(clients), _whole("dimension", dimension)
        encoding = _encoding(field_by_name(field), clip, weight_max, len(self.clients))
        fewest = len(self.clients) if roster_min is None else roster_min
        plan = SecurePlan(self.clients, dimension, aggregators, encoding, fewest, corrupt_clients)
        plan.require_safe()
        keep_freed_memory()  # every round needs the same large vectors
        self._fewest = fewest
        self._is_closed = False
        self._team = ThreadTeam(threads)
        self._trainers = {name: _Trainer(name == self.clients[0]) for name in self.clients}
        first = self._trainers[self.clients[0]]
        state = first.read(first.initial_model())
        drawn = parties_from(plan, draw_identities(plan), state.digest, self._team.lanes())
        self._parties = self._hosts(drawn)
        self._round = 0
        set_up(self._parties, _FIRST_EPOCH, _LEADER)

    def _hosts(self, drawn: LocalParties) -> Parties:
        hosts: dict[str, AggregatorHost | ClientHost] = {}
        for aggregator in drawn.aggregators:
            host = AggregatorHost(aggregator)
            hosts[host.name] = host
        for own, name in zip(drawn.clients, self.clients, strict=True):
            client = ClientHost(own, self._trainers[name])
            hosts[client.name] = client
        hub = HubHost(drawn.manifest, drawn.hub, lanes=self._team.lanes())
        return Parties(hub, hosts, {name: MemoryStore() for name in (HUB, *hosts)})

    def __call__(self, updates: Mapping[str, Given]) -> Average:
        """One round.

        Args:
            updates: by client, numbers (d,), rounded to float32; with its weight, a whole number, in a tuple, or of
                weight 1. Clients that are not named follow the round without an update.

        Raises:
            ParameterError: this is no mapping, or an update is from no client of the task.
            ProtocolError: a party refused, or the updates are too few; nothing was averaged.
            TrainingError: an update has another length, is none, or holds a NaN; or a weight is none. Nothing was
                averaged, and nobody's update is used up.
        """
        self._require_usable(updates)
        ready = {name: self._ready(name, given) for name, given in updates.items()}
        for name, trainer in self._trainers.items():
            trainer.given = ready.get(name)
        numbers = {name: i for i, name in enumerate(self.clients, start=1)}
        submitters = [client_name(numbers[name]) for name in updates]
        named = Named(self._parties.hub.setup, self._round, self._state_id())
        self._round += 1
        try:
            run_round(self._parties, named, submitters)
        except PrivateyesError as error:
            with suppress(ProtocolError):
                self._end(named)
            if isinstance(error, TrainingError):
                raise TrainingError(f"{self._last_asked()}: {error.problem}", _MEND) from None
            for (who, step), failure in self._parties.failures.items():
                if step == "submit":  # why too few took part says more than that they did
                    why = f"{self._name_of(who)}: {failure.problem}"
                    raise AbortError(f"{error.problem} ({why})", failure.remedy) from None
            raise
        finally:
            for trainer in self._trainers.values():
                trainer.given = None
        return self._result(updates, numbers)

    def _require_usable(self, updates: object) -> None:
        if self._is_closed:
            raise RefusedError("this SecureAverage is closed", "make a new one")
        if not isinstance(updates, Mapping):
            raise ParameterError(
                f"updates is a {type(updates).__name__}, and not a mapping", "give a dict from client's name to update"
            )
        for name in updates:
            if name not in self._trainers:
                raise ParameterError(
                    f"an update is from {name}, who is no client of the task",
                    f"its clients are: {', '.join(self.clients)}",
                )
        if len(updates) < self._fewest:
            absent = [name for name in self.clients if name not in updates]
            raise AbortError(
                f"{len(updates)} of {len(self.clients)} clients gave an update, and an average takes {self._fewest}",
                f"give one of {', '.join(absent)} too; or allow fewer with SecureAverage(..., roster_min=)",
            )

    def _ready(self, name: str, given: Given) -> tuple[NDArray[np.float32], int]:
        """An update as parties take it, and its weight."""
        update, weight = given if isinstance(given, tuple) and len(given) == 2 else (given, 1)
        try:
            found = np.asarray(update)
            if found.dtype.kind not in "fiu" or found.shape != (self.dimension,):
                raise ValueError
        except (TypeError, ValueError, RuntimeError):  # the last: a tensor that is not in this memory
            shape = f"{found.dtype} {found.shape}" if isinstance(update, np.ndarray) else type(update).__name__
            problem = f"{name}: the update is {shape}, and not {self.dimension} numbers"
            raise TrainingError(problem, _MEND if update is not None else f"leave {name} out of the mapping") from None
        largest = self.manifest.encoding.weight_max
        if not isinstance(weight, int | np.integer) or not 1 <= weight <= largest:
            problem = f"{name}: weight {weight!r} is not a whole number in 1..{largest}"
            raise TrainingError(problem, "larger ones take SecureAverage(..., weight_max=)")
        with np.errstate(over="ignore"):  # an infinity is refused
            return np.ascontiguousarray(found, dtype=np.float32), int(weight)

    def _name_of(self, party: str) -> str:
        role, _, number = party.partition(" ")
        return self.clients[int(number) - 1] if role == "client" else party

    def _last_asked(self) -> str:
        """The client that was at work when an update could not be used: one submits after the other."""
        return max(self._trainers, key=lambda name: self._trainers[name].asked)

    def _state_id(self) -> bytes:
        memory: ClientMemory = self._parties.stores[client_name(1)].read().get("memory", self._parties.hub.slot)
        return memory.state_id

    def _end(self, named: Named) -> None:
        """A round that failed is given up by all, and settled with every client."""
        hub = self._parties.hub
        self._parties.carry(hub.give_up(named))
        self._parties.carry(hub.settle(named))

    def _result(self, updates: Mapping[str, Given], numbers: Mapping[str, int]) -> Average:
        failures = self._parties.failures
        refused = [(who, error) for (who, step), error in failures.items() if step == "check"]
        first = self._trainers[self.clients[0]].average
        if refused or first is None:
            problem = f", first {self._name_of(refused[0][0])}: {refused[0][1].problem}" if refused else ""
            raise AbortError(
                f"{len(refused)} of {len(self.clients)} clients refused the result{problem}",
                "somebody altered it: start anew, and from other weights",
            )
        counted = tuple(name for name in self.clients if numbers[name] in first.roster)
        left_out = {name: failures[client_name(numbers[name]), "submit"] for name in updates if name not in counted}
        return Average(first.mean, first.total_weight, counted, left_out)

    @property
    def manifest(self) -> Manifest:
        """The task's parameters and parties."""
        return self._parties.hub.manifest

    def close(self) -> None:
        """End the threads."""
        self._is_closed = True
        self._team.close()


def _names(clients: object) -> tuple[str, ...]:
    remedy = 'name them: clients=["ada", "bob", "cyd"]'
    if isinstance(clients, str) or not isinstance(clients, Iterable):
        raise ParameterError(f"clients = {clients!r} is no list of names", remedy)
    names = tuple(clients)
    strange = [name for name in names if not isinstance(name, str)]
    if strange:
        raise ParameterError(f"clients has {strange[0]!r}, which is no name", remedy)
    return names


def _whole(what: str, value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int | np.integer):
        raise ParameterError(f"{what} = {value!r} is no whole number", "give the number of an update's coordinates")
    return int(value)


def _encoding(prime_field: Field, clip: float, weight_max: int, clients: int) -> FixedPoint:
    exact = exact_clip(clip)
    bits = largest_scale_bits(prime_field, exact, weight_max, clients)
    if bits is None:
        raise ParameterError(
            f"no fixed-point scale fits {clients} clients of weight up to {weight_max} with clip {clip:g} into the "
            f"{prime_field.name} field",
            'use field="wide", or lower clip or weight_max',
        )
    return FixedPoint(prime_field, exact, bits, weight_max, clients)
