"""An honest client for tests: the host that ships, its disk, the trainer beside it, and the model that it holds."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from actors import Actor
from disks import Disk
from privateyes.aggregation.client import Client, Submitted, Update, VerifiedAverage
from privateyes.aggregation.functionality import IdealInput
from privateyes.aggregation.memory import ClientMemory, TrainingState
from privateyes.aggregation.messages import Announcement, Delivery, Origin, RosterCommitment
from privateyes.errors import MalformedError, RefusedError
from privateyes.parties.client import ClientHost, Contribution, Keep
from privateyes.parties.packets import Packet

ROUNDING = bytes([7]) * 32
"""Every client's key of the rounding stream, so that what an update encodes to is known."""


@dataclass(frozen=True, slots=True)
class Model:
    """A stand-in for a training state.

    Attributes:
        weights: in place of the weights, their digest W.
        counter: accepted rounds before it.
        history: of how it came about; two states with the same weights differ in it.
        lineage: every W before it.
    """

    weights: bytes
    counter: int = 0
    history: bytes = bytes(32)
    lineage: tuple[bytes, ...] = ()

    def to_bytes(self) -> bytes:
        """As clients give it to each other."""
        return b"".join((self.counter.to_bytes(8, "big"), self.weights, self.history, *self.lineage))

    @classmethod
    def from_bytes(cls, data: bytes) -> Model:
        """Read what ``to_bytes`` wrote.

        Raises:
            MalformedError: it is no such model.
        """
        pieces = [data[start : start + 32] for start in range(8, len(data), 32)]
        if len(pieces) < 2 or len(pieces[-1]) != 32:
            raise MalformedError("no model")
        return cls(pieces[0], int.from_bytes(data[:8], "big"), pieces[1], tuple(pieces[2:]))

    @property
    def state(self) -> TrainingState:
        """What a client must know of it."""
        return TrainingState(hashlib.sha256(self.to_bytes()).digest(), self.weights, self.counter)

    def after(self, average: VerifiedAverage, weights: bytes = b"") -> Model:
        """The next one; ``weights`` are those of a server step that leads elsewhere."""
        moved = weights or hashlib.sha256(self.weights + average.mean.tobytes()).digest()
        history = hashlib.sha256(self.history + average.sid + average.mean.tobytes()).digest()
        return Model(moved, self.counter + 1, history, (*self.lineage, self.weights))


INITIAL = Model(bytes([1]) * 32)
"""The model that a task begins with."""


def read_model(data: bytes) -> TrainingState:
    """What a client must know of a model that it was given."""
    return Model.from_bytes(data).state


@dataclass(frozen=True, slots=True)
class Made:
    """What really stands behind a header.

    Attributes:
        data_set, weights: what the update was made from.
        origin: the session whose update it sends again, or no session.
        input: the ideal functionality's.
    """

    data_set: bytes
    weights: bytes
    sid: bytes
    origin: bytes
    input: IdealInput


class ClientActor(ClientHost, Actor):
    """A client, its disk, and the trainer beside it, which always has an update.

    Attributes:
        initial: the model that the task begins with.
        has_initial: whether the trainer has that one; a newcomer's does not.
        trains_anew: whether every fresh update differs.
        next_weights: where the next server step leads, if not on.
        nonce: what it submits with, unless it is empty: then a fresh one.
        made: by header hash, what it ever made, sent or not.
        verified: what it accepted, or was about to when the process died.
        accepted: what it accepted.
        jumps: how often it took a model over from others.
    """

    parse = ClientMemory.from_bytes
    returns_after_a_loss = False  # a test double's does

    def __init__(self, own: Client, disk: Disk, encoded: Callable[..., list[int]]) -> None:
        super().__init__(own, self)
        self.encoded = encoded
        self.nonce = b""
        self.delta: Any = None
        self.trains_anew = False
        self.clips: Any = None
        self.weight = own.number + 1
        self.initial, self.has_initial = INITIAL, True
        self.next_weights = b""
        self.accepted: list[Any] = []
        self.verified: list[tuple[Any, Delivery]] = []
        self.made: dict[bytes, Made] = {}
        self.jumps = 0
        self._taken = False
        self.take(disk)

    def restart(self) -> None:
        super().restart()
        self.given = None

    def receive(self, packet: Packet) -> list[Packet]:
        """Do what the hub asks. A key whose store is lost is out: the new store was not made with it."""
        if not (self.disk.of_its_key or self.returns_after_a_loss):
            raise RefusedError(
                f"{self.name}'s store is not the one that was made with its key", "the key is out of this task"
            )
        return super().receive(packet)

    def stored(self, step: str) -> None:
        """Count what it accepted, and what it took over."""
        if step == "check":
            self.accepted.append(self.verified[-1][0])
        self.jumps += step == "jump" or (step == "start" and self._taken)

    @property
    def model(self) -> Any:
        """The model that it holds; None if it holds none."""
        held = self.disk.read().get("model", self.slot)
        return None if held is None else Model.from_bytes(held)

    def put(self, memory: ClientMemory) -> None:
        """Change the memory as if it had always been so; for tests."""
        self.disk.put("memory", self.slot, memory)

    def hold(self, model: Model) -> None:
        """Hold another model; for tests."""
        self.put(replace(self.memory, state=model.state))
        self.disk.put("model", self.slot, model.to_bytes())

    # The trainer

    def initial_model(self) -> bytes | None:
        """What the task begins with, if it has that."""
        return self.initial.to_bytes() if self.has_initial else None

    def contribution(self, _: bytes) -> Contribution:
        """The update that it has, or the next one."""
        if self.trains_anew:
            generator = np.random.default_rng([self.own.number, len(self.made)])
            self._trained = generator.normal(0.0, 0.4, self.manifest.dimension).astype(np.float32)
        else:
            self._trained = self.delta
        return Contribution(Update(self._trained, self.weight, self.clips), ROUNDING)

    def submitted(self, clipped: int, shortened: bool) -> None:
        """Nobody reads this log."""

    def after(self, model: bytes, average: VerifiedAverage) -> bytes:
        """The next model."""
        return Model.from_bytes(model).after(average, self.next_weights).to_bytes()

    def read(self, model: bytes) -> TrainingState:
        """What a client must know of a model that it was given."""
        return read_model(model)

    def clip_plan(self, _: bytes) -> Any:
        """Of every model the same."""
        return self.clips

    # What the judge must know

    def submission(self, announcements: list[Announcement], keep: Keep) -> Submitted:
        draw = self.draw
        if self.nonce:
            self.draw = lambda _: self.nonce
        try:
            done = super().submission(announcements, keep)
        finally:
            self.draw = draw
        self._made(done, self.input(self._trained))
        return done

    def repetition(
        self, announcements: list[Announcement], source: tuple[Origin, list[RosterCommitment]], keep: Keep
    ) -> Submitted:
        done = super().repetition(announcements, source, keep)
        self._made(done, self.made[self.kept(source[0].sid).header.hash()].input)
        return done

    def _made(self, done: Submitted, what: IdealInput) -> None:
        entry = done.entry
        made = Made(entry.data_set, entry.weights, entry.sid, entry.origin, what)
        self.made[done.submission.header.hash()] = made

    def input(self, delta: Any = None) -> IdealInput:
        """The ideal functionality's, for an update, by default the one that it has."""
        values = self.encoded(self.delta if delta is None else delta, self.weight, ROUNDING)
        return IdealInput(values, self.weight)

    def verify(self, delivery: Delivery) -> VerifiedAverage:
        average = super().verify(delivery)
        self.verified.append((average, delivery))
        return average

    def do_start(self, packet: Packet) -> None:
        self._taken = self.given is not None and self.seen.get("memory", self.slot) is not None
        super().do_start(packet)
