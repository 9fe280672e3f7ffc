"""A client as an actor: its store, the trainer beside it, and the model that it holds."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from actors import Actor
from disks import Disk, Name
from packets import Packet, of_kind, one_of_kind
from privateyes.aggregation.client import Changed, Client, SubmissionSecrets, Submitted, Update, VerifiedAverage
from privateyes.aggregation.functionality import IdealInput
from privateyes.aggregation.ledger import LedgerEntry, SessionEnd
from privateyes.aggregation.memory import ClientMemory, TrainingState
from privateyes.aggregation.messages import Announcement, Delivery, Origin, RosterCommitment, SealedState, Voucher
from privateyes.aggregation.setup import ClientSetup
from privateyes.errors import DeliveryError, MalformedError, RefusedError

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


class ClientActor(Actor):
    """A client, its store, and the trainer beside it, which always has an update.

    Attributes:
        made: by header hash, what it ever made, sent or not.
    """

    parse = ClientMemory.from_bytes
    returns_after_a_loss = False  # a test double's does

    def __init__(self, own: Client, disk: Disk, encoded: Callable[..., list[int]]) -> None:
        self.encoded = encoded
        self.nonce = b""  # fresh at every submission, unless a test wants it otherwise
        self.delta: Any = None
        self.trains_anew = False  # whether every fresh update differs
        self.clips: Any = None
        self.weight = own.number + 1
        self.initial, self.has_initial = INITIAL, True
        self.next_weights = b""  # where the next server step leads, if not on
        self.accepted: list[Any] = []
        self.verified: list[tuple[Any, Delivery]] = []  # accepted, or about to be when the process died
        self.made: dict[bytes, Made] = {}
        self.given: Model | None = None
        super().__init__(f"client {own.number}", own, disk)

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

    @property
    def model(self) -> Model:
        """The model that it holds."""
        model: Model = self.disk.read().get("model", self.slot)
        return model

    def put(self, memory: ClientMemory) -> None:
        """Change the memory as if it had always been so; for tests."""
        self.disk.put("memory", self.slot, memory)

    def hold(self, model: Model) -> None:
        """Hold another model; for tests."""
        self.put(replace(self.memory, state=model.state))
        self.disk.put("model", self.slot, model)

    # Rounds

    def do_observe(self, packet: Packet) -> None:
        self.write("observe", self.own.observe(self.held(), of_kind(packet.messages(self.manifest), Announcement)))

    def do_submit(self, packet: Packet) -> list[bytes] | None:
        announcements, pieces = of_kind(packet.messages(self.manifest), Announcement), []
        delta = self._update()

        def submit() -> Submitted:
            fresh = SubmissionSecrets(self.nonce or secrets.token_bytes(32), ROUNDING)
            update = Update(delta, self.weight, self.clips)
            memory, rows = self.held(), self.seen.rows
            done = self.own.submit(memory, rows, announcements, update, fresh, lambda q: pieces.append(q.copy()))
            self._made(done, self.input(delta))
            return done

        return self._submit("submit", announcements, submit, pieces)

    def input(self, delta: Any = None) -> IdealInput:
        """The ideal functionality's, for an update, by default the one that it has."""
        values = self.encoded(self.delta if delta is None else delta, self.weight, ROUNDING)
        return IdealInput(values, self.weight)

    def _update(self) -> Any:
        if not self.trains_anew:
            return self.delta
        generator = np.random.default_rng([self.own.number, len(self.made)])
        return generator.normal(0.0, 0.4, self.manifest.dimension).astype(np.float32)

    def do_again(self, packet: Packet) -> list[bytes] | None:
        """Send the update of an earlier session again."""
        messages = packet.messages(self.manifest)
        announcements, origin = of_kind(messages, Announcement), one_of_kind(messages, Origin)
        if origin is None:
            raise MalformedError("no session to send again")
        commitments, pieces = of_kind(messages, RosterCommitment), []

        def submit() -> Submitted:
            small, encoded = self._kept(origin.sid)
            pieces.append(encoded)
            memory, rows, nonce = self.held(), self.seen.rows, secrets.token_bytes(32)
            kept, source = small.with_update(encoded), (origin, commitments)
            done = self.own.submit_again(memory, rows, announcements, kept, nonce, source)
            self._made(done, self.made[small.header.hash()].input)
            return done

        return self._submit("again", announcements, submit, pieces)

    def _kept(self, sid: bytes) -> Any:
        kept = self.seen.get("kept", sid)
        if kept is None:
            raise RefusedError(f"{self.name} keeps no update of that session", "nothing is to be sent for it")
        return kept

    def _made(self, done: Submitted, what: IdealInput) -> None:
        entry = done.entry
        made = Made(entry.data_set, entry.weights, entry.sid, entry.origin, what)
        self.made[done.submission.header.hash()] = made

    def _submit(
        self, step: str, announcements: list[Announcement], submit: Callable[[], Submitted], pieces: list[Any]
    ) -> list[bytes] | None:
        try:
            done = submit()
        except RefusedError as refusal:  # it still follows the round, if it can
            self.write(step, self.own.observe(self.held(), announcements))
            self.failure = refusal
            return None
        kept = (done.kept, np.concatenate(pieces))
        self.write(step, done.memory, {("kept", done.entry.sid): kept}, (done.entry,))
        return [done.submission.to_bytes()]

    def do_resend(self, packet: Packet) -> list[bytes]:
        small, encoded = self._kept(packet.subject())
        return [self.own.resend(self.held(), small.with_update(encoded)).to_bytes()]

    def do_settle(self, packet: Packet) -> None:
        changed = self.own.settle(self.held(), self.seen.rows, packet.messages(self.manifest))
        if changed.memory is not self.held():
            self.write("settle", changed.memory, self._erased(changed), changed.entries)

    def _erased(self, changed: Changed) -> dict[Name, None]:
        """Updates that are never sent again: all sessions from their weights are void, or the weights have moved on and
        it is not the session that moved them.
        """
        rows = {**{row.sid: row for row in self._rows()}, **{row.sid: row for row in changed.entries}}
        used = {row.weights for row in rows.values() if row.end is not SessionEnd.VOID}
        memory = changed.memory
        last = memory.accepted.sid if memory.accepted is not None else b""
        past = [row for row in rows.values() if row.weights != memory.state.weights and row.sid != last]
        gone = [*past, *(row for row in rows.values() if row.weights not in used)]
        return {("kept", row.sid): None for row in gone}

    def _rows(self) -> list[LedgerEntry]:
        return [row for row in self.seen.rows if row.manifest == self.slot]

    def do_check(self, packet: Packet) -> list[bytes] | None:
        """Check, move to the next model, store it; then the average is accepted."""
        deliveries = packet.messages(self.manifest)
        if len(deliveries) != 1:
            raise MalformedError("not one delivery")
        try:
            average = self.own.check(self.held(), deliveries[0], self.clips)
        except DeliveryError as error:
            self.failure = error
            return [self.own.complain(deliveries[0].sid, error.check).to_bytes()]
        self.verified.append((average, deliveries[0]))
        following = self.model.after(average, self.next_weights)
        changed = self.own.accept(self.held(), self.seen.rows, average, following.state)
        changes = {("model", self.slot): following, **self._erased(changed)}
        self.write("check", changed.memory, changes, changed.entries)
        self.accepted.append(average)
        return None

    def do_disclose(self, packet: Packet) -> list[bytes]:
        deliveries = packet.messages(self.manifest)
        return [self.own.disclose(self.held(), delivery).to_bytes() for delivery in deliveries]

    # Other clients

    def do_vouch(self, packet: Packet) -> list[bytes]:
        return [self.own.vouch(self.held()).to_bytes()]

    def do_give(self, packet: Packet) -> list[bytes]:
        """Its own model, sealed to a client that lacks it."""
        memory, keys = self.held(), packet.messages(self.manifest)
        model = self.model.to_bytes()
        return [self.own.give_state(memory, key, model, read_model).to_bytes() for key in keys]

    def do_jump(self, packet: Packet) -> None:
        """To a public model, which anybody may show, with vouchers for it."""
        model, vouchers = Model.from_bytes(packet.subject()), packet.messages(self.manifest)
        self.write("jump", self.own.jump(self.held(), vouchers, model.state), {("model", self.slot): model})

    # Set-up

    def do_seal(self, packet: Packet) -> list[bytes]:
        keys, own, memory = packet.messages(self.manifest), self.own, self.seen.get("memory", self.slot)
        self.given = self.initial if memory is None and self.has_initial else None
        initial = None if self.given is None else self.given.state
        setup = ClientSetup(own.manifest, own.number, own.identity, memory, initial)
        setup.bind(keys)
        self.setup = setup
        sealed = setup.seal_stream_keys([secrets.token_bytes(32) for _ in keys])
        return [message.to_bytes() for message in (*sealed, setup.key())]

    def do_lead(self, packet: Packet) -> list[bytes]:
        keys = {message.client: message for message in packet.messages(self.manifest)}
        return [message.to_bytes() for message in self.begun(self.setup).lead(keys, secrets.token_bytes(32))]

    def do_group(self, packet: Packet) -> None:
        for message in packet.messages(self.manifest):
            self.begun(self.setup).receive_group_key(message)

    def do_state(self, packet: Packet) -> None:
        """Take over a model that others hold."""
        messages = packet.messages(self.manifest)
        sealed = one_of_kind(messages, SealedState)
        if sealed is None:
            raise MalformedError("no state")
        vouchers = of_kind(messages, Voucher)
        self.given = Model.from_bytes(self.begun(self.setup).receive_state(sealed, vouchers, read_model))

    def do_start(self, packet: Packet) -> None:
        memory = self.begun(self.setup).start(self.seen.get("memory", self.slot))
        changes: dict[Name, Any] = {} if self.given is None else {("model", self.slot): self.given}
        self.write("start", memory, changes)
        self.setup = self.given = None
