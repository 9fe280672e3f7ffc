"""Drives a training under MPC: starts owners and parties as processes, passes pipes between them, reads what they say.

    this process ---job---> party 0, 1, 2 (linked to each other over the loopback)
    this process -images--> owner's process --its share--> each party's pipe, one owner after the other
    party 0, 1, 2 --shares of the trained model--> this process --> the opener's process --model--> this process

Shares and images go through pipes only, never through a file. A share goes from the owner's process straight into the
party's: no party, and not even this process, gets a second one. What a kill leaves behind is nothing.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter
from typing import Any, BinaryIO, Final

import numpy as np
from numpy.typing import NDArray

from privateyes.baselines.mpc.inside import frames
from privateyes.baselines.mpc.job import LARGEST_VALUE, TrainingJob, public_part, split_vector
from privateyes.baselines.mpc.processes import Member, ProcessGroup, Said, free_ports, this_process
from privateyes.errors import EngineError, TrainingError

PROGRAM: Final = Path(__file__).parent / "inside" / "party.py"
_ATTEMPTS: Final = 5
# The engine's log line after every execution; its numbers count payload, without the transport's headers.
_TRAFFIC: Final = re.compile(r"Link details: total send bytes (\d+), recv bytes (\d+), send actions (\d+)")
# Executions before the first step: one pools the features, one the targets.
_POOLINGS: Final = 2


@dataclass(frozen=True, slots=True)
class Launcher:
    """How the processes are started.

    Attributes:
        python: the interpreter of the locked environment.
        program: the script that runs in it.
    """

    python: Path
    program: Path = PROGRAM

    def command(self, role: str, *arguments: str) -> list[str]:
        """The command line of a role; the environment's own packages only, whatever the user's variables say."""
        return [str(self.python), "-E", "-s", "-B", str(self.program), role, str(this_process()), *arguments]


@dataclass(frozen=True, slots=True)
class PartyCost:
    """What a party spent.

    Attributes:
        step_bytes: bytes that it sent in each step.
        step_messages: messages that it sent in each step.
        cpu_s: from the process's start to its end.
        peak_memory_bytes: the most that it held.
    """

    step_bytes: tuple[int, ...]
    step_messages: tuple[int, ...]
    cpu_s: float
    peak_memory_bytes: int


@dataclass(frozen=True, slots=True, eq=False)
class Trained:
    """The end of a training under MPC.

    Attributes:
        vector: the parameters, float32 (d,), revealed here and nowhere before.
        step_s: seconds of every step, the slowest party's.
        step_cpu_s: CPU seconds of every step, all parties' together.
        setup_s: from the start of the first process to the first step: starting, sharing, linking, compiling.
        total_s: everything.
        share_bytes: size of one party's shares of all images and labels.
        parties: what each spent.
    """

    vector: NDArray[np.float32] = field(repr=False)
    step_s: tuple[float, ...]
    step_cpu_s: tuple[float, ...]
    setup_s: float
    total_s: float
    share_bytes: int
    parties: tuple[PartyCost, ...]


class _PortTakenError(Exception):
    """Somebody took a port between its choice and its use."""


@dataclass(slots=True)
class _PartyRecord:
    """What was heard of a party so far."""

    traffic: list[tuple[int, int]] = field(default_factory=list)
    steps: list[float] = field(default_factory=list)
    steps_cpu: list[float] = field(default_factory=list)
    shares: list[frames.Share] = field(default_factory=list)
    seen: set[str] = field(default_factory=set)
    share_bytes: int = 0
    cpu_s: float = 0.0
    peak_memory_bytes: int = 0
    ended: bool = False


def train_under_mpc(job: TrainingJob, launcher: Launcher, on_step: Callable[[int, int], None]) -> Trained:
    """Train as the job says, and reveal the model here at the end.

    Guarantees: the images and labels leave this process into their owner's process only, which hands each party one
    share; nothing but the trained parameters is opened. What that is worth depends on the protocol
    (`protocols.Protocol.threat_model`): here all processes run on one machine and under one user, which measures what
    it costs and hides nothing from whoever runs it.

    Args:
        job: what `job.check_job` accepts.
        launcher: how to start the processes.
        on_step: told the steps done and their number.

    Raises:
        EngineError: a process failed, was silent for too long or said what it should not.
        TrainingError: the training diverged.
    """
    for attempt in range(_ATTEMPTS):
        try:
            return _Training(job, launcher, on_step).run()
        except _PortTakenError as error:
            if attempt == _ATTEMPTS - 1:
                problem = f"no free ports were found on the loopback in {_ATTEMPTS} attempts ({error})"
                raise EngineError(problem, "try again when fewer programs open ports") from error
    raise EngineError("no attempt was made", "report this as a bug")


class _Training:
    """One attempt."""

    def __init__(self, job: TrainingJob, launcher: Launcher, on_step: Callable[[int, int], None]) -> None:
        self._job, self._launcher, self._on_step = job, launcher, on_step
        self._records: dict[Member, _PartyRecord] = {}
        self._first_step_at: float | None = None

    def run(self) -> Trained:
        started = perf_counter()
        with ProcessGroup(self._job.silence_s) as group:
            parties = self._start_parties(group)
            self._wait(group, "linked")
            self._share_everything(group, parties)
            self._wait(group, "done")
            while not all(record.ended for record in self._records.values()):
                self._hear(group.listen())
            vector = self._open(group)
        total_s = perf_counter() - started
        return self._outcome(vector, started, total_s)

    def _start_parties(self, group: ProcessGroup) -> list[Member]:
        ports = free_ports(self._job.parties)
        public = public_part(self._job)
        parties = []
        for rank in range(self._job.parties):
            member = group.start(f"party {rank}", self._launcher.command("party"))
            self._records[member] = _PartyRecord()
            parties.append(member)
        for rank, member in enumerate(parties):
            told = {**public, "rank": rank, "ports": ports}
            group.feed(member, lambda pipe, told=told: frames.write_json(pipe, told), close=False)  # type: ignore[misc]
        return parties

    def _share_everything(self, group: ProcessGroup, parties: Sequence[Member]) -> None:
        """The initial parameters, then each owner's data, each by a process of its own."""
        targets = [party.stdin.fileno() for party in parties]
        tensors = split_vector(self._job.initial, self._job.network.shapes)
        start = {f"tensor{index}": tensor for index, tensor in enumerate(tensors)}
        start |= {f"velocity{index}": np.zeros_like(tensor) for index, tensor in enumerate(tensors)}
        self._share(group, "the initial model's process", start, targets)
        for index, owner in enumerate(self._job.owners):
            arrays = {f"features{index}": owner.features, f"targets{index}": owner.targets}
            self._share(group, f"the process of owner {owner.name}", arrays, targets)

    def _share(
        self, group: ProcessGroup, name: str, arrays: Mapping[str, NDArray[np.float32]], targets: list[int]
    ) -> None:
        described = {**public_part(self._job), "plan": [], "arrays": len(arrays)}

        def write(pipe: BinaryIO) -> None:
            frames.write_json(pipe, described)
            for key, array in arrays.items():
                frames.write_json(pipe, {"name": key, "shape": list(array.shape)})
                frames.write_frame(pipe, np.ascontiguousarray(array, dtype=np.float32).tobytes())

        command = self._launcher.command("share", ",".join(map(str, targets)))
        member = group.start(name, command, targets)
        group.feed(member, write, close=True)
        while True:
            said = group.listen()
            self._hear(said)
            if said.member is member and said.returncode is not None:
                return

    def _open(self, group: ProcessGroup) -> NDArray[np.float32]:
        """The model, from all parties' shares of it."""
        count = len(self._job.network.shapes)
        shares = [record.shares for record in self._records.values()]

        def write(pipe: BinaryIO) -> None:
            frames.write_json(pipe, {**public_part(self._job), "plan": [], "arrays": count})
            for index in range(count):
                for party in shares:
                    frames.write_share(pipe, party[index])

        member = group.start("the process that opens the model", self._launcher.command("open"))
        group.feed(member, write, close=True)
        parts: list[NDArray[np.float32]] = []
        while True:
            said = group.listen()
            _raise_refusal(said)
            if said.member is member and said.event is not None and said.event["event"] == "tensor":
                parts.append(_tensor(said))
            elif said.member is member and said.returncode is not None:
                break
        vector = np.concatenate([part.ravel() for part in parts]) if parts else np.zeros(0, np.float32)
        if [part.shape for part in parts] != list(self._job.network.shapes):
            raise EngineError("the opened model has other tensors than the network", "report this as a bug")
        if not np.all(np.abs(vector) < LARGEST_VALUE):  # fixed point has no NaN: what leaves its range wraps around
            raise TrainingError("training under MPC left the range of fixed point", "lower mpc.learning_rate")
        return vector

    def _wait(self, group: ProcessGroup, event: str) -> None:
        """Until every party has said it."""
        while not all(event in record.seen for record in self._records.values()):
            self._hear(group.listen())

    def _hear(self, said: Said) -> None:
        _raise_refusal(said)
        record = self._records.get(said.member)
        if record is None:
            return
        if said.returncode is not None:
            record.ended = True
            if "done" not in record.seen:
                raise EngineError(f"{said.member.name} ended before its work was done", "run it again")
        elif said.log_line is not None:
            if found := _TRAFFIC.search(said.log_line):
                record.traffic.append((int(found[1]), int(found[3])))
        elif said.event is not None:
            with _well_formed(said):
                self._note(record, said.event)

    def _note(self, record: _PartyRecord, event: Mapping[str, Any]) -> None:
        kind = str(event["event"])
        record.seen.add(kind)
        if kind == "received":
            record.share_bytes = int(event["bytes"])
        elif kind == "step":
            if self._first_step_at is None:
                self._first_step_at = perf_counter() - float(event["seconds"])
            record.steps_cpu.append(float(event["cpu_s"]))
            record.steps.append(float(event["seconds"]))
            if len(record.steps) == min(len(other.steps) for other in self._records.values()):
                self._on_step(len(record.steps), len(self._job.plan))
        elif kind == "share":
            record.shares.append(frames.share_from_json(event))
        elif kind == "done":
            record.cpu_s = float(event["cpu_s"])
            record.peak_memory_bytes = int(event["peak_memory_bytes"])

    def _outcome(self, vector: NDArray[np.float32], started: float, total_s: float) -> Trained:
        steps = len(self._job.plan)
        records = list(self._records.values())
        for record in records:
            if len(record.steps) != steps or len(record.traffic) != steps + _POOLINGS:
                problem = f"a party reported {len(record.steps)} steps and {len(record.traffic)} executions of {steps}"
                raise EngineError(problem, "the engine's log has another form than that of its locked version")
        first = self._first_step_at if self._first_step_at is not None else started
        return Trained(
            vector=vector,
            step_s=tuple(max(times) for times in zip(*(record.steps for record in records), strict=True)),
            step_cpu_s=tuple(sum(times) for times in zip(*(record.steps_cpu for record in records), strict=True)),
            setup_s=first - started,
            total_s=total_s,
            share_bytes=records[0].share_bytes,
            parties=tuple(_cost(record) for record in records),
        )


def _cost(record: _PartyRecord) -> PartyCost:
    stepping = record.traffic[_POOLINGS:]
    return PartyCost(
        step_bytes=tuple(count for count, _ in stepping),
        step_messages=tuple(count for _, count in stepping),
        cpu_s=record.cpu_s,
        peak_memory_bytes=record.peak_memory_bytes,
    )


def _raise_refusal(said: Said) -> None:
    if said.event is None or said.event["event"] != "refused":
        return
    problem = f"{said.member.name} stopped: {said.event.get('problem')}"
    if said.event.get("code") == "port":
        raise _PortTakenError(problem)
    raise EngineError(problem, "run it again; the message is the engine's own")


def _tensor(said: Said) -> NDArray[np.float32]:
    with _well_formed(said):
        event = said.event or {}
        values = np.frombuffer(base64.b64decode(event["values"], validate=True), dtype=np.float32)
        return values.reshape([int(side) for side in event["shape"]])


@contextmanager
def _well_formed(said: Said) -> Iterator[None]:
    """An event whose content is not what it should be is the sender's fault."""
    try:
        yield
    except (KeyError, TypeError, ValueError, frames.BrokenFrameError) as error:
        kind = (said.event or {}).get("event")
        problem = f"{said.member.name} sent a damaged event {kind!r} ({type(error).__name__}: {error})"
        raise EngineError(problem, "delete the folder of the environment; it is made anew") from error
