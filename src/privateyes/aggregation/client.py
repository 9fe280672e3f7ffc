"""A client's side of a round: follow an announcement, submit a share, check and decode the result (protocol, steps 0, 1
and 5).

Pure: a transition takes the client's memory and what arrived, and returns the new memory and what to send. Store the
memory first.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from privateyes.aggregation.challenge import TensorChallenge
from privateyes.aggregation.keys import GroupKey, session_id, session_key_hash, share_stream
from privateyes.aggregation.manifest import Manifest
from privateyes.aggregation.memory import NOT_SUBMITTED, ClientMemory, PendingSession
from privateyes.aggregation.messages import (
    NO_SESSION,
    OPENED,
    VOID,
    Announcement,
    Closing,
    Complaint,
    Delivery,
    Disclosure,
    Header,
    Signed,
    Submission,
)
from privateyes.aggregation.result import (
    Check,
    open_result,
    require_legal_roster,
    require_result_signatures,
    result_mask,
)
from privateyes.crypto.field import Elements
from privateyes.crypto.labels import Label, Role
from privateyes.crypto.signature import SigningKey
from privateyes.crypto.statement import BulkDigest, equal_in_constant_time
from privateyes.crypto.streams import CHUNK_BYTES, ElementStream, KeyStream, scratch_words
from privateyes.encoding.clips import ClipPlan, Segment, segments, within
from privateyes.errors import DeliveryError, MalformedError, RefusedError, TrainingError

_NOT_FOLLOWED: Final = "the result is of a session that this client does not follow"


@dataclass(frozen=True, slots=True)
class SubmissionSecrets:
    """Fresh randomness for one submission.

    Attributes:
        nonce: 32 bytes, never used before; public.
        rounding_key: 32 bytes that key the stochastic rounding. The rounding depends on nothing else, so a simulation
            that derives this key from its seed repeats itself; privacy rests on the masks and not on the rounding.
    """

    nonce: bytes
    rounding_key: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Submitted:
    """What a submission changes and sends. ``clipped`` counts clipped coordinates, for the client's own log only."""

    memory: ClientMemory
    submission: Submission
    clipped: int


@dataclass(frozen=True, slots=True)
class VerifiedAverage:
    """A result that passed every check.

    Attributes:
        sid: its session.
        mean: the weighted average, float64 (d,).
        total_weight: W.
        roster: the clients that were counted, ascending.
        counted: whether this client's own submission is among them. If it submitted and was left out, tell its
            operator.
    """

    sid: bytes
    mean: NDArray[np.float64] = field(repr=False)
    total_weight: int
    roster: tuple[int, ...]
    counted: bool


@dataclass(frozen=True, slots=True)
class Client:
    """Client i of a task.

    Attributes:
        manifest: its own pinned copy.
        number: i, from 1.
        identity: its pinned signing key.

    Guarantees:
        With at least one honest aggregator, nothing but the averages that this client accepts depends on its updates,
        whatever the other aggregators, the hub and other clients do; and an average that it accepts is the right one,
        shifted at most by what a corrupt client could have put into its own update (docs/protocol.md, "Why it holds").
    """

    manifest: Manifest
    number: int
    identity: SigningKey

    # Step 0

    def observe(self, memory: ClientMemory, announcements: Sequence[Announcement]) -> ClientMemory:
        """Follow the announcement of a round, whether or not this client takes part in it.

        Args:
            announcements: one of every aggregator.

        Raises:
            RefusedError: not one of each, for another epoch or state, or for a round that has passed.
            MalformedError: a signature does not verify.
        """
        first = self._require_announcements(memory, announcements)
        if first.round <= memory.last_round:
            raise RefusedError(
                f"round {first.round} does not follow round {memory.last_round}", "announce a later round"
            )
        if not equal_in_constant_time(first.state_id, memory.group.state_id(memory.state_digest)):
            raise RefusedError(
                "the announced training state is not this client's", "bring every client to the same state"
            )
        sid = session_id(memory.group.setup, first.round, first.state_id)
        # Advanced here and not at the submission alone: the keys of rounds that this client sits out are erased too.
        chains = tuple(chain.advance_to(first.round, memory.group.setup) for chain in memory.chains)
        return replace(memory, last_round=first.round, current_sid=sid, chains=chains)

    def _require_announcements(self, memory: ClientMemory, announcements: Sequence[Announcement]) -> Announcement:
        self._require_one_of_each(announcements, Announcement, memory.group.setup)
        first = announcements[0]
        subject = (memory.group.epoch, first.round, first.state_id)
        if any((message.epoch, message.round, message.state_id) != subject for message in announcements):
            raise RefusedError(
                "the aggregators announce different rounds, or another epoch",
                "announce one round, from one state, to all",
            )
        return first

    def settle(self, memory: ClientMemory, closings: Sequence[Closing]) -> ClientMemory:
        """Forget a pending session that every aggregator declares void. One that any of them opened stays pending.

        Args:
            closings: one of every aggregator, for one session.

        Raises:
            RefusedError: not one of each, or for different sessions.
            MalformedError: a signature does not verify, or an outcome is neither opened nor void.
        """
        sid = closings[0].sid if closings and isinstance(closings[0], Closing) else b""
        self._require_one_of_each(closings, Closing, sid)
        if any(message.sid != sid for message in closings):
            raise RefusedError("the aggregators close different sessions", "ask each about the same one")
        for message in closings:
            if message.outcome not in (VOID, OPENED):
                raise MalformedError(f"outcome {message.outcome} is neither void nor opened")
        if any(message.outcome != VOID for message in closings):
            return memory
        current = NO_SESSION if memory.current_sid == sid else memory.current_sid
        pending = tuple(session for session in memory.pending if session.sid != sid)
        return replace(memory, pending=pending, current_sid=current)

    def _require_one_of_each(
        self, messages: Sequence[Announcement] | Sequence[Closing], kind: type[Signed], context: bytes
    ) -> None:
        numbers = [message.aggregator for message in messages if isinstance(message, kind)]
        if len(numbers) != len(messages) or sorted(numbers) != list(range(1, len(self.manifest.aggregators) + 1)):
            raise RefusedError("not exactly one message of every aggregator", "ask the hub for the missing ones")
        for message in messages:
            message.require_signature_of(self.manifest.aggregators[message.aggregator - 1].public_key, context)

    # Step 1

    def submit(
        self,
        memory: ClientMemory,
        announcements: Sequence[Announcement],
        delta: NDArray[np.float32],
        weight: int,
        secrets: SubmissionSecrets,
        clips: ClipPlan | None = None,
    ) -> Submitted:
        """Mask, tag and split one update: one vector goes out, whatever the number of aggregators.

        Args:
            announcements: one of every aggregator, for a round that this client has not observed yet.
            delta: (d,) float32.
            weight: w_i, in [1, w_max].
            clips: the training state's, if it has any; the manifest's clip caps them.

        Raises:
            ParameterError: the clips are for another model.
            RefusedError: the announcement is refused, or an earlier session from this state was opened and its result
                not accepted.
            TrainingError: the update has a NaN, an infinity, a wrong length or an impossible weight.
        """
        observed = self.observe(memory, announcements)
        if any(session.header_hash != NOT_SUBMITTED for session in observed.pending):
            raise RefusedError(
                "a session from this training state was opened, or is not proven void, and its result was not accepted",
                "submitting again could reveal this client's update; accept that result, or show every aggregator's "
                "word that it is void",
            )
        self._require_update(delta, weight)
        setup, sid = memory.group.setup, observed.current_sid
        session_key = memory.group.session_key(sid)
        scratch = scratch_words(self.manifest.field)
        streams = [
            share_stream(
                self.manifest.field, chain.round_key(setup), sid, self.number, aggregator, secrets.nonce, scratch
            )
            for aggregator, chain in enumerate(observed.chains, start=1)
        ]
        parts = segments(self.manifest.encoding, self.manifest.dimension, clips)
        update = _Update(delta, weight, secrets.rounding_key, parts)
        share, share_hash, clipped = self._share(session_key, sid, update, streams, scratch)
        header = Header(
            sid,
            self.number,
            secrets.nonce,
            memory.group.check_value(),
            session_key_hash(sid, session_key),
            memory.sealed_hashes,
            share_hash,
        ).signed_by(self.identity, sid)
        spent = replace(
            observed,
            chains=tuple(chain.advance_to(observed.last_round + 1, setup) for chain in observed.chains),
            pending=(*observed.pending, self._pending(observed, announcements[0], header)),
        )
        return Submitted(spent, Submission(header, share), clipped)

    def _pending(self, observed: ClientMemory, announcement: Announcement, header: Header) -> PendingSession:
        epoch, state_id = observed.group.epoch, announcement.state_id
        return PendingSession(epoch, announcement.round, state_id, header.sid, header.hash())

    def _require_update(self, delta: NDArray[np.float32], weight: int) -> None:
        if delta.dtype != np.float32 or delta.shape != (self.manifest.dimension,):
            raise TrainingError(
                f"the update is {delta.dtype} {delta.shape}, not float32 ({self.manifest.dimension},)",
                "train the model that the manifest describes",
            )
        whole = isinstance(weight, int | np.integer) and not isinstance(weight, bool)
        if not (whole and 1 <= weight <= self.manifest.encoding.weight_max):
            raise TrainingError(
                f"weight {weight} is not a whole number in 1..{self.manifest.encoding.weight_max}",
                "scale the weights, or raise weight_max",
            )

    def _share(
        self,
        session_key: bytes,
        sid: bytes,
        update: _Update,
        streams: Sequence[ElementStream],
        scratch: Elements,
    ) -> tuple[Elements, bytes, int]:
        """c_i = (y, tag) - sum_s stream_s with y = (q, w) + M, in chunks; its hash; the number of clipped values."""
        prime_field, dimension = self.manifest.field, self.manifest.dimension
        share = prime_field.zeros(self.manifest.share_elements)
        hashing = BulkDigest(Label.SHARE_HASH, Role.CLIENT, sid, self.number, length_bytes=share.nbytes)
        rounding = KeyStream(update.rounding_key, Label.ROUNDING, Role.CLIENT, b"")
        mask = result_mask(self.manifest, session_key, sid, scratch)
        accumulator = TensorChallenge(prime_field, dimension + 1, session_key, sid, scratch).accumulator()
        words = np.empty(CHUNK_BYTES // prime_field.element_bytes, dtype=np.uint32)
        clipped = 0
        for start in range(0, dimension, words.size):
            piece = share[start : min(start + words.size, dimension)]
            rounding.fill(words[: piece.size].data.cast("B"))
            clipped += update.encode(start, words[: piece.size], piece)
            if mask is not None:
                mask.add_to(piece)
            accumulator.update(piece)
            _finish_piece(piece, streams, hashing)
        end = share[dimension:]
        end[0] = update.weight
        if mask is not None:
            mask.add_to(end[:1])
        accumulator.update(end[:1])
        end[1:] = accumulator.tags(pads=1)
        _finish_piece(end, streams, hashing)
        return share, hashing.finish(), clipped

    # Step 5

    def check(self, memory: ClientMemory, delivery: Delivery, clips: ClipPlan | None = None) -> VerifiedAverage:
        """Check a delivered result and decode it.

        Args:
            clips: the training state's, if it has any.

        Raises:
            DeliveryError: a check failed; the result must not be used, and ``complain`` says so to the others.
        """
        counted = self._require_own_session(memory, delivery)
        session_key = memory.group_of(delivery.sid).session_key(delivery.sid)
        average = open_result(self.manifest, session_key, delivery, clips)
        roster = tuple(client for client, _ in delivery.roster)
        return VerifiedAverage(delivery.sid, average.mean, average.total_weight, roster, counted)

    def disclose(self, memory: ClientMemory, delivery: Delivery) -> Disclosure:
        """Publish K_sid of a finished session of a public task, so that anyone can check its tags.

        Whoever has K_sid before every contribution is fixed can forge any sum. All n signatures on the result show that
        this is past: the honest aggregator signs no result of a session that it did not open, so none of a void one.

        Raises:
            RefusedError: the task is sealed.
            DeliveryError: not a session that this client follows or accepted last, or not n signatures on this result.
        """
        if self.manifest.sealed:
            raise RefusedError("a sealed task discloses no session key", 'public tasks have mode = "public"')
        sid = delivery.sid
        if sid == NO_SESSION or not (memory.follows(sid) or sid == memory.accepted_sid):
            raise DeliveryError(Check.SESSION, _NOT_FOLLOWED, "ask a client that took part")
        group = self._require_group(memory, delivery)
        require_legal_roster(self.manifest, delivery.roster)
        result = require_result_signatures(self.manifest, delivery.receipt())
        return Disclosure(sid, self.number, result, group.session_key(sid)).signed_by(self.identity, sid)

    def complain(self, delivery_sid: bytes, check: int) -> Complaint:
        """The signed refusal of a session: its id and the check that failed, nothing else."""
        return Complaint(delivery_sid, self.number, check).signed_by(self.identity, delivery_sid)

    def _require_own_session(self, memory: ClientMemory, delivery: Delivery) -> bool:
        """Checks 1 to 4; returns whether this client's submission is counted."""
        own = {session.sid: session.header_hash for session in memory.pending}
        if not memory.follows(delivery.sid):
            raise DeliveryError(Check.SESSION, _NOT_FOLLOWED, "deliver the current one")
        self._require_group(memory, delivery)
        require_legal_roster(self.manifest, delivery.roster)
        listed = dict(delivery.roster).get(self.number)
        if listed is not None and listed != own.get(delivery.sid):
            raise DeliveryError(
                Check.ROSTER,
                "the roster lists a submission that this client did not make",
                "start a new epoch with new keys",
            )
        require_result_signatures(self.manifest, delivery.receipt())
        return listed is not None

    def _require_group(self, memory: ClientMemory, delivery: Delivery) -> GroupKey:
        """Check 2; returns the session's group key."""
        group = memory.group_of(delivery.sid)
        if not equal_in_constant_time(delivery.group_check, group.check_value()):
            raise DeliveryError(Check.GROUP_KEY, "the roster was formed under another group key", "start a new epoch")
        return group


@dataclass(frozen=True, slots=True)
class _Update:
    """One update and how it is encoded."""

    delta: NDArray[np.float32] = field(repr=False)
    weight: int = field(repr=False)
    rounding_key: bytes = field(repr=False)
    parts: tuple[Segment, ...]

    def encode(self, start: int, words: NDArray[np.uint32], out: Elements) -> int:
        """Encode the coordinates from ``start`` into ``out``; returns how many were clipped."""
        clipped = 0
        for part in within(self.parts, start, start + out.size):
            values = self.delta[start + part.start : start + part.stop]
            clipped += part.encoding.encode(values, self.weight, words[part.span], out[part.span])
        return clipped


def _finish_piece(piece: Elements, streams: Sequence[ElementStream], hashing: BulkDigest) -> None:
    for stream in streams:
        stream.subtract_from(piece)
    hashing.update(piece.data.cast("B"))
