"""A client's host, and what it needs from whoever trains beside it.

A client stores its memory, the model that it holds, the ledger of its data set, and of every session that may have to
be repeated what it sent: a header, the keys of that session, and the encoded update.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeAlias

from privateyes.aggregation.client import Changed, Client, SubmissionSecrets, Submitted, Update, VerifiedAverage
from privateyes.aggregation.kept import Kept, KeptSubmission
from privateyes.aggregation.ledger import LedgerEntry, SessionEnd
from privateyes.aggregation.memory import TrainingState
from privateyes.aggregation.messages import (
    AggregatorKey,
    Announcement,
    ClientKey,
    Closing,
    Delivery,
    Origin,
    RosterCommitment,
    SealedGroupKey,
    SealedState,
    Voucher,
)
from privateyes.aggregation.setup import ClientSetup
from privateyes.crypto.field import Elements
from privateyes.crypto.statement import HASH_BYTES, KEY_BYTES
from privateyes.encoding.clips import ClipPlan
from privateyes.errors import DeliveryError, MalformedError, RefusedError
from privateyes.parties.effects import Answer, Draw, Host, Name
from privateyes.parties.packets import Packet, client_name, of_kind, one_of_kind

Keep: TypeAlias = Callable[[Elements], None]
"""Takes an encoded update in pieces."""


@dataclass(frozen=True, slots=True)
class Contribution:
    """What a client gives to one average.

    Attributes:
        update: encoded and masked before it leaves.
        rounding_key: of the stochastic rounding, secret.
    """

    update: Update = field(repr=False)
    rounding_key: bytes = field(repr=False)


class Application(Protocol):
    """Whoever trains beside a client. A model is bytes to the protocol; only its application reads it."""

    def initial_model(self) -> bytes | None:
        """The model that the task begins with; None where the client is to be given one by the others."""

    def contribution(self, model: bytes) -> Contribution:
        """The update that training from this model gave.

        Raises:
            RefusedError: there is none this time; the client follows the round without submitting.
        """

    def submitted(self, clipped: int, shortened: bool) -> None:
        """What encoding changed, for the client's own log: how many coordinates were clipped, and whether the update
        was longer than the L2 norm allows.
        """

    def after(self, model: bytes, average: VerifiedAverage) -> bytes:
        """The next model: the server step on a verified average. All clients must reach the same bytes."""

    def read(self, model: bytes) -> TrainingState:
        """What the protocol must know of a model.

        Raises:
            MalformedError: these bytes are none.
        """

    def clip_plan(self, model: bytes) -> ClipPlan | None:
        """The clips of single tensors, if the model has any."""


class ClientHost(Host):
    """One client, with its key.

    Bodies: ("memory", H(manifest)), a ClientMemory; ("model", H(manifest)), bytes; ("kept", sid), bytes; ("update",
    sid), elements.
    """

    own: Client

    def __init__(self, own: Client, application: Application, draw: Draw = secrets.token_bytes) -> None:
        super().__init__(client_name(own.number), own, draw)
        self.application = application
        self.given: bytes | None = None
        """The model that it is to start the set-up under way with, if not its own."""

    def held_model(self) -> bytes:
        """The model that the view shows."""
        model: bytes | None = self.seen.get("model", self.slot)
        if model is None:
            raise RefusedError(f"{self.name} has no model of this task", "make a set-up first")
        return model

    # A round

    def do_observe(self, packet: Packet) -> None:
        """Follow a round without submitting."""
        self.store(self.own.observe(self.held(), of_kind(packet.messages(self.manifest), Announcement)))

    def do_submit(self, packet: Packet) -> Answer | None:
        """Mask the update and send it, or follow the round if it must not be sent."""
        announcements = of_kind(packet.messages(self.manifest), Announcement)
        return self._submit(announcements, lambda keep: self.submission(announcements, keep))

    def submission(self, announcements: list[Announcement], keep: Keep) -> Submitted:
        """The update of its application, masked; ``keep`` is given what it was encoded to, piece by piece.

        Raises:
            RefusedError: it must not be sent.
        """
        given = self.application.contribution(self.held_model())
        fresh = SubmissionSecrets(self.draw(HASH_BYTES), given.rounding_key)
        return self.own.submit(self.held(), self.seen.rows, announcements, given.update, fresh, keep)

    def do_again(self, packet: Packet) -> Answer | None:
        """Send the update of an earlier session again, to the same clients."""
        messages = packet.messages(self.manifest)
        announcements, origin = of_kind(messages, Announcement), one_of_kind(messages, Origin)
        if origin is None:
            raise MalformedError("no session to send again")
        source = (origin, of_kind(messages, RosterCommitment))
        return self._submit(announcements, lambda keep: self.repetition(announcements, source, keep))

    def repetition(
        self,
        announcements: list[Announcement],
        source: tuple[Origin, list[RosterCommitment]],
        keep: Keep,
    ) -> Submitted:
        """The update that it kept of an earlier session, masked anew; ``keep`` is given it once more.

        Raises:
            RefusedError: it must not be sent.
        """
        origin, _ = source
        kept, nonce = self.kept(origin.sid), self.draw(HASH_BYTES)
        keep(kept.encoded)
        return self.own.submit_again(self.held(), self.seen.rows, announcements, kept, nonce, source)

    def _submit(self, announcements: list[Announcement], submit: Callable[[Keep], Submitted]) -> Answer | None:
        try:
            with self.seen.sink("update", self.manifest.dimension, self.manifest.field.dtype) as sink:
                done = submit(sink.write)
                encoded = sink.finish()
        except RefusedError as refusal:  # it still follows the round, if it can
            self.store(self.own.observe(self.held(), announcements))
            self.failure = refusal
            return None
        sid = done.entry.sid
        bodies = {("kept", sid): done.kept.to_bytes(), ("update", sid): encoded}
        self.store(done.memory, bodies, (done.entry,))
        self.application.submitted(done.clipped, done.shortened)
        return [done.submission]

    def kept(self, sid: bytes) -> Kept:
        """What it keeps of its submission to a session.

        Raises:
            RefusedError: nothing.
        """
        body, encoded = self.seen.get("kept", sid), self.elements("update", sid, self.manifest.dimension)
        if body is None or encoded is None:
            raise RefusedError(f"{self.name} keeps no update of that session", "nothing is to be sent for it")
        return KeptSubmission.from_bytes(body, self.manifest).with_update(encoded)

    def do_resend(self, packet: Packet) -> Answer:
        """Send the bytes of a submission once more, to the same session."""
        return [self.own.resend(self.held(), self.kept(packet.subject()))]

    def do_check(self, packet: Packet) -> Answer | None:
        """Check a result, take the server step, and store the next model; only then the average is accepted."""
        deliveries = packet.messages(self.manifest)
        if len(deliveries) != 1:
            raise MalformedError("not one delivery")
        delivery: Delivery = deliveries[0]
        try:
            average = self.verify(delivery)
        except DeliveryError as error:
            self.failure = error
            return [self.own.complain(delivery.sid, error.check)]
        following = self.application.after(self.held_model(), average)
        changed = self.own.accept(self.held(), self.seen.rows, average, self.application.read(following))
        self.store(changed.memory, {("model", self.slot): following, **self._erased(changed)}, changed.entries)
        return None

    def verify(self, delivery: Delivery) -> VerifiedAverage:
        """The average in a result.

        Raises:
            DeliveryError: it must not be used.
        """
        return self.own.check(self.held(), delivery, self.application.clip_plan(self.held_model()))

    def do_disclose(self, packet: Packet) -> Answer:
        """Publish the key of a finished session of a public task."""
        deliveries = packet.messages(self.manifest)
        return [self.own.disclose(self.held(), delivery) for delivery in deliveries]

    # After a round that did not end

    def do_settle(self, packet: Packet) -> None:
        """Take every aggregator's word on how an earlier session ended."""
        changed = self.own.settle(self.held(), self.seen.rows, of_kind(packet.messages(self.manifest), Closing))
        if changed.memory is not self.held():
            self.store(changed.memory, self._erased(changed), changed.entries)

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
        return {(kind, row.sid): None for row in gone for kind in ("kept", "update")}

    def _rows(self) -> list[LedgerEntry]:
        return [row for row in self.seen.rows if row.manifest == self.slot]

    # Other clients

    def do_vouch(self, packet: Packet) -> Answer:  # noqa: ARG002 - as every handler
        """Sign for the state that it reached by passing all checks."""
        return [self.own.vouch(self.held())]

    def do_give(self, packet: Packet) -> Answer:
        """Its own model, sealed to a client that lacks it."""
        memory, model = self.held(), self.held_model()
        keys: list[ClientKey] = packet.messages(self.manifest)
        return [self.own.give_state(memory, key, model, self.application.read) for key in keys]

    def do_jump(self, packet: Packet) -> None:
        """Go to a public model, which anybody may show, with vouchers for it."""
        model, vouchers = packet.subject(), packet.messages(self.manifest)
        memory = self.own.jump(self.held(), vouchers, self.application.read(model))
        self.store(memory, {("model", self.slot): model})

    # Set-up

    def do_seal(self, packet: Packet) -> Answer:
        """Bind to the aggregators' keys, and seal the first key of a stream to each."""
        keys: list[AggregatorKey] = packet.messages(self.manifest)
        own, memory = self.own, self.seen.get("memory", self.slot)
        given = self.application.initial_model() if memory is None else None
        initial = None if given is None else self.application.read(given)
        setup = ClientSetup(own.manifest, own.number, own.identity, memory, initial)
        setup.bind(keys)
        answer = [*setup.seal_stream_keys([self.draw(KEY_BYTES) for _ in keys]), setup.key()]
        # A refused request leaves the set-up before it whole, with the model that it was given.
        self.setup, self.given = setup, given
        return answer

    def do_lead(self, packet: Packet) -> Answer:
        """Draw the group key, and seal it to every client."""
        keys: dict[int, ClientKey] = {message.client: message for message in packet.messages(self.manifest)}
        return list(self.begun().lead(keys, self.draw(KEY_BYTES)))

    def do_group(self, packet: Packet) -> None:
        """Take the group key."""
        messages: list[SealedGroupKey] = packet.messages(self.manifest)
        for message in messages:
            self.begun().receive_group_key(message)

    def do_state(self, packet: Packet) -> None:
        """Take over a model that others hold, with vouchers for it."""
        messages: list[Any] = packet.messages(self.manifest)
        sealed = one_of_kind(messages, SealedState)
        if sealed is None:
            raise MalformedError("no state")
        self.given = self.begun().receive_state(sealed, of_kind(messages, Voucher), self.application.read)

    def do_start(self, packet: Packet) -> None:  # noqa: ARG002 - as every handler
        """Begin the set-up: from here on every other one of this task is past."""
        memory = self.begun().start(self.seen.get("memory", self.slot))
        model = self.given if self.given is not None else self.held_model()
        if self.application.read(model).digest != memory.state.digest:  # else it would train from another one
            raise RefusedError(f"{self.name} does not hold the model of its training state", "make a new set-up")
        self.store(memory, {} if self.given is None else {("model", self.slot): model})
        self.setup = self.given = None
