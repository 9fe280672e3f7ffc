"""A client's side of a round: follow an announcement, submit a share, check and decode the result (protocol, steps 0, 1
and 5).

Pure: a transition takes the client's memory, the ledger's entries at its weights and what arrived, and returns what to
store, in one write, and then what to send.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from privateyes.aggregation.challenge import TensorChallenge
from privateyes.aggregation.kept import Kept, KeptSubmission, Pieces
from privateyes.aggregation.keys import GroupKey, session_key_hash, share_stream
from privateyes.aggregation.ledger import (
    LedgerEntry,
    SessionEnd,
    at_weights,
    chain_of,
    ended,
    require_unused,
)
from privateyes.aggregation.manifest import Manifest
from privateyes.aggregation.memory import ClientMemory, FollowedSession, TrainingState
from privateyes.aggregation.messages import (
    NO_SESSION,
    OPENED,
    VOID,
    Announcement,
    ClientKey,
    Closing,
    Complaint,
    Delivery,
    Disclosure,
    Header,
    Origin,
    RosterCommitment,
    SealedState,
    Signed,
    Submission,
    Voucher,
)
from privateyes.aggregation.result import (
    Check,
    open_result,
    require_legal_roster,
    require_result_signatures,
    result_mask,
)
from privateyes.aggregation.roster import roster_digest
from privateyes.aggregation.setup import require_later, require_vouchers, seal_state
from privateyes.crypto.commitment import MerkleTree, share_hash
from privateyes.crypto.field import Elements
from privateyes.crypto.labels import Label, Role
from privateyes.crypto.signature import SigningKey
from privateyes.crypto.statement import equal_in_constant_time
from privateyes.crypto.streams import ElementStream, KeyStream, scratch_words
from privateyes.encoding.clips import ClipPlan, segments
from privateyes.encoding.norm import UpdateEncoder
from privateyes.errors import DeliveryError, MalformedError, ParameterError, RefusedError, TrainingError

_NOT_FOLLOWED: Final = "the result is of a session that this client does not follow"

Ledger = Sequence[LedgerEntry]
"""The entries at the client's current weights, of its key or of its data set; more do no harm."""


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
    """What a submission changes and sends.

    Attributes:
        memory, entry, kept: to be stored in one write, with the encoded update, before anything is sent.
        submission: to be sent.
        clipped: number of clipped coordinates, for the client's own log only.
        shortened: whether the update was longer than the L2 norm allows, for the client's own log only.
    """

    memory: ClientMemory
    entry: LedgerEntry
    kept: KeptSubmission
    submission: Submission
    clipped: int = 0
    shortened: bool = False


@dataclass(frozen=True, slots=True)
class Changed:
    """A memory and the ledger's entries that changed with it, to be stored in one write."""

    memory: ClientMemory
    entries: tuple[LedgerEntry, ...]


@dataclass(frozen=True, slots=True)
class Update:
    """One client's update of a round.

    Attributes:
        delta: (d,) float32, the client's model minus the round's model.
        weight: w_i, in [1, w_max].
        clips: the training state's, if it has any; the manifest's clip caps them.
    """

    delta: NDArray[np.float32] = field(repr=False)
    weight: int = field(repr=False)
    clips: ClipPlan | None = None


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
        data_set: the random name of the data set that its updates are made from, 32 bytes.

    Guarantees:
        With at least one honest aggregator, nothing but the averages that this client accepts depends on its updates,
        whatever the other aggregators, the hub and other clients do; and an average that it accepts is the right one,
        shifted at most by what a corrupt client could have put into its own update (docs/protocol.md, "Why it holds").
    """

    manifest: Manifest
    number: int
    identity: SigningKey
    data_set: bytes

    # Step 0

    def observe(self, memory: ClientMemory, announcements: Sequence[Announcement]) -> ClientMemory:
        """Follow the announcement of a round, whether or not this client takes part in it.

        Args:
            announcements: one of every aggregator.

        Raises:
            RefusedError: not one of each, for another set-up or state, or for a round that has passed.
            MalformedError: a signature does not verify.
        """
        first = self._require_announcements(memory, announcements)
        if first.round <= memory.last_round:
            raise RefusedError(
                f"round {first.round} does not follow round {memory.last_round}", "announce a later round"
            )
        if not equal_in_constant_time(first.state_id, memory.state_id):
            raise RefusedError(
                "the announced training state is not this client's", "bring every client to the same state"
            )
        setup = memory.group.setup
        session = FollowedSession(setup, first.round, first.state_id, memory.group)
        # A round that this client only watched is over for it when the next one begins; those that it submitted to, and
        # those of an earlier set-up, may still end.
        earlier = tuple(own for own in memory.followed if own.submitted or own.setup != setup)
        # Advanced here and not at the submission alone: the keys of rounds that this client sits out are erased too.
        chains = tuple(chain.advance_to(first.round, setup) for chain in memory.chains)
        return memory.next(last_round=first.round, followed=(*earlier, session), chains=chains)

    def _require_announcements(self, memory: ClientMemory, announcements: Sequence[Announcement]) -> Announcement:
        self._require_one_of_each(announcements, Announcement, memory.group.setup)
        first = announcements[0]
        subject = (memory.group.setup, first.round, first.state_id)
        if any((message.setup, message.round, message.state_id) != subject for message in announcements):
            raise RefusedError(
                "the aggregators announce different rounds, or another set-up",
                "announce one round, from one state, to all",
            )
        return first

    def settle(self, memory: ClientMemory, ledger: Ledger, closings: Sequence[Closing]) -> Changed:
        """Take a session that every aggregator declares void out of the way. One that any of them opened stays.

        Args:
            ledger: the entries of that session, at least.
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
            return Changed(memory, ())
        followed = tuple(session for session in memory.followed if session.sid != sid)
        entries = ended(self._own(ledger), sid, SessionEnd.VOID)
        if len(followed) == len(memory.followed) and not entries:
            return Changed(memory, ())
        return Changed(memory.next(followed=followed), entries)

    def _own(self, ledger: Ledger) -> list[LedgerEntry]:
        """Entries of this task and key: closings of other keys than the manifest's say nothing about them."""
        manifest, key = self.manifest.digest(), self.identity.public_bytes
        return [entry for entry in ledger if entry.manifest == manifest and entry.key == key]

    def _require_one_of_each(
        self,
        messages: Sequence[Announcement] | Sequence[Closing] | Sequence[RosterCommitment],
        kind: type[Signed],
        context: bytes,
    ) -> None:
        numbers = [message.aggregator for message in messages if isinstance(message, kind)]
        if len(numbers) != len(messages) or sorted(numbers) != list(self.manifest.aggregator_numbers):
            raise RefusedError("not exactly one message of every aggregator", "ask the hub for the missing ones")
        for message in messages:
            message.require_signature_of(self.manifest.aggregators[message.aggregator - 1].public_key, context)

    # Step 1

    def submit(
        self,
        memory: ClientMemory,
        ledger: Ledger,
        announcements: Sequence[Announcement],
        update: Update,
        secrets: SubmissionSecrets,
        keep: Callable[[Elements], None],
    ) -> Submitted:
        """Mask, tag and split one update: one vector goes out, whatever the number of aggregators.

        Args:
            ledger: every entry at the weights of its training state, of its key or of its data set.
            announcements: one of every aggregator, for a round that this client has not observed yet.
            keep: is given the encoded update q in pieces, in order, each valid during the call only; what it stores is
                needed to send the same bytes, or the same update, again.

        Raises:
            ParameterError: the clips are for another model, or for a public task.
            RefusedError: the announcement is refused, or a session from these weights was opened or is not void.
            TrainingError: the update has a NaN, an infinity, a wrong length or an impossible weight.
        """
        observed = self.observe(memory, announcements)
        require_unused(self._at_weights(memory, ledger))
        self._require_update(update)
        encoder = self._encoder(update, secrets.rounding_key)

        def pieces(out: Elements) -> Iterator[Elements]:
            for piece in encoder.pieces(out):
                keep(piece)
                yield piece

        done = self._submitted(observed, (pieces, encoder.weight), secrets.nonce)
        return replace(done, clipped=encoder.clipped, shortened=encoder.shortened)

    def _encoder(self, update: Update, rounding_key: bytes) -> UpdateEncoder:
        encoding, privacy = self.manifest.encoding, self.manifest.privacy
        return UpdateEncoder(
            update.delta,
            update.weight,
            KeyStream(rounding_key, Label.ROUNDING, Role.CLIENT, b""),
            segments(encoding, self.manifest.dimension, self._permitted(update.clips)),
            None if privacy is None else privacy.limit(encoding),
        )

    def submit_again(
        self,
        memory: ClientMemory,
        ledger: Ledger,
        announcements: Sequence[Announcement],
        kept: Kept,
        nonce: bytes,
        origin: tuple[Origin, Sequence[RosterCommitment]],
    ) -> Submitted:
        """Send the update of an earlier session from the same weights again: the same numbers, to the same clients.

        That is all that may follow a session that was opened and whose result was not accepted. Its sum is the earlier
        one over again, so it says nothing new.

        Args:
            ledger: as for ``submit``.
            kept: what was stored of a session of the chain that it still follows: of the first, for example.
            nonce: 32 fresh bytes.
            origin: the roster of the chain's first session, and what every aggregator signed when it committed to it.

        Raises:
            RefusedError: the announcement is refused, that session is not the only one from these weights that is not
                void, this client is not in its roster, or the roster is not what all aggregators committed to.
            MalformedError: a signature does not verify, or what was kept is damaged.
        """
        named, commitments = origin
        observed = self.observe(memory, announcements)
        entries = self._at_weights(memory, ledger)
        first = chain_of(entries, named.sid, self.identity.public_bytes, self.manifest.digest())
        if (self.number, first.header_hash) not in named.roster:
            raise RefusedError(
                "this client's update is not in the roster of the session that is to be sent again",
                "it has nothing to repeat; accept that session's result, or settle it",
            )
        rho = roster_digest(named.sid, named.group_check, named.roster)
        self._require_one_of_each(commitments, RosterCommitment, named.sid)
        if any((message.sid, message.rho) != (named.sid, rho) for message in commitments):
            raise RefusedError("that roster is not the one that every aggregator committed to", "give its true roster")
        if kept.header.sid not in {entry.sid for entry in entries if entry.chain == named.sid}:
            raise RefusedError("what was kept is of another session", "give what was stored of this chain")
        # From this very state, clips included, and the same numbers as they left: the bytes of then come out again.
        self._as_sent(memory.session(kept.header.sid), kept)
        clients = tuple(client for client, _ in named.roster)
        return self._submitted(observed, (kept.pieces, kept.weight), nonce, (named.sid, clients))

    def resend(self, memory: ClientMemory, kept: Kept) -> Submission:
        """A submission's bytes once more, for the same session: the same to the bit, so it costs nothing.

        Of the session that it accepted last too: a hub that lost the sum before everybody had the result needs them.

        Raises:
            RefusedError: the client does not follow that session any more.
            MalformedError: what was stored is damaged.
        """
        return self._as_sent(memory.session(kept.header.sid) or memory.accepted, kept)

    def _as_sent(self, session: FollowedSession | None, kept: Kept) -> Submission:
        if session is None or session.header_hash != kept.header.hash():
            raise RefusedError("this client does not follow that session any more", "nothing is to be sent for it")
        streams, scratch = self._streams(kept.round_keys, kept.header.sid, kept.header.nonce)
        share, digest = self._share(kept.session_key, kept.header.sid, (kept.pieces, kept.weight), streams, scratch)
        if digest != kept.header.share_hash:
            raise MalformedError("what was stored of the submission is damaged", "let the session be given up")
        return Submission(kept.header, share)

    def _at_weights(self, memory: ClientMemory, ledger: Ledger) -> tuple[LedgerEntry, ...]:
        return at_weights(ledger, memory.state.weights, self.identity.public_bytes, self.data_set)

    def _permitted(self, clips: ClipPlan | None) -> ClipPlan | None:
        """In public mode the record holds no state, so nobody could repeat the check of a coordinate's size."""
        if clips is not None and not self.manifest.sealed:
            raise ParameterError(
                "a public task has no clips for single tensors: nobody else could check a sum against them",
                "leave the clips out, or make the task sealed",
            )
        return clips

    def _submitted(
        self,
        observed: ClientMemory,
        encoded: tuple[Pieces, int],
        nonce: bytes,
        origin: tuple[bytes, tuple[int, ...]] = (NO_SESSION, ()),
    ) -> Submitted:
        session, setup = observed.followed[-1], observed.group.setup
        sid = session.sid
        session_key = observed.group.session_key(sid)
        round_keys = tuple(chain.round_key(setup) for chain in observed.chains)
        streams, scratch = self._streams(round_keys, sid, nonce)
        share, digest = self._share(session_key, sid, encoded, streams, scratch)
        header = Header(
            sid,
            self.number,
            nonce,
            observed.group.check_value(),
            session_key_hash(sid, session_key),
            observed.sealed_hashes,
            digest,
            origin[0],
        ).signed_by(self.identity, sid)
        followed = replace(session, header_hash=header.hash(), origin=origin[0], roster=origin[1])
        spent = replace(  # one write with ``observe``, so one version
            observed,
            chains=tuple(chain.advance_to(observed.last_round + 1, setup) for chain in observed.chains),
            followed=(*observed.followed[:-1], followed),
        )
        entry = LedgerEntry(
            key=self.identity.public_bytes,
            data_set=self.data_set,
            weights=observed.state.weights,
            manifest=self.manifest.digest(),
            setup=setup,
            round=session.round,
            state_id=session.state_id,
            origin=origin[0],
            header_hash=header.hash(),
        )
        kept = KeptSubmission(header, encoded[1], session_key, round_keys)
        return Submitted(spent, entry, kept, Submission(header, share))

    def _streams(self, round_keys: Sequence[bytes], sid: bytes, nonce: bytes) -> tuple[list[ElementStream], Elements]:
        field, scratch = self.manifest.field, scratch_words(self.manifest.field)
        streams = [
            share_stream(field, round_key, sid, self.number, aggregator, nonce, scratch)
            for aggregator, round_key in enumerate(round_keys, start=1)
        ]
        return streams, scratch

    def _require_update(self, update: Update) -> None:
        delta, weight = update.delta, update.weight
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
        encoded: tuple[Pieces, int],
        streams: Sequence[ElementStream],
        scratch: Elements,
    ) -> tuple[Elements, bytes]:
        """c_i = (y, tag) - sum_s stream_s with y = (q, w) + M, in chunks; and its hash."""
        pieces, weight = encoded
        prime_field, dimension = self.manifest.field, self.manifest.dimension
        share: Elements = np.empty(self.manifest.share_elements, dtype=prime_field.dtype)  # all of it is written below
        hashing = MerkleTree(self.manifest.bulk_hash)
        mask = result_mask(self.manifest, session_key, sid, scratch)
        accumulator = TensorChallenge(prime_field, dimension + 1, session_key, sid, scratch).accumulator()
        for piece in pieces(share[:dimension]):
            if mask is not None:
                mask.add_to(piece)
            accumulator.update(piece)
            _finish_piece(piece, streams, hashing)
        end = share[dimension:]
        end[0] = weight
        if mask is not None:
            mask.add_to(end[:1])
        accumulator.update(end[:1])
        end[1:] = accumulator.tags(pads=1)
        _finish_piece(end, streams, hashing)
        return share, share_hash(sid, self.number, share.nbytes, hashing.root())

    # Step 5

    def check(self, memory: ClientMemory, delivery: Delivery, clips: ClipPlan | None = None) -> VerifiedAverage:
        """Check a delivered result and decode it.

        Args:
            clips: the training state's, if it has any.

        Raises:
            DeliveryError: a check failed; the result must not be used, and ``complain`` says so to the others.
            ParameterError: the clips are for another model, or for a public task.
        """
        session = self._require_own_session(memory, delivery)
        session_key = session.group.session_key(delivery.sid)
        average = open_result(self.manifest, session_key, delivery, self._permitted(clips))
        roster = tuple(client for client, _ in delivery.roster)
        return VerifiedAverage(delivery.sid, average.mean, average.total_weight, roster, self.number in roster)

    def accept(self, memory: ClientMemory, ledger: Ledger, average: VerifiedAverage, state: TrainingState) -> Changed:
        """Move to the state that the verified average led to: a new head, and nothing followed any more.

        Args:
            ledger: the entries of the average's session, at least.
            state: the next one; it counts one accepted round more.

        Raises:
            RefusedError: not a session that the client follows, or not the state after its own: either would forget
                what it submitted.
        """
        session = memory.session(average.sid)
        if session is None:
            raise RefusedError("the accepted result is of a session that this client does not follow")
        if state.counter != memory.state.counter + 1 or equal_in_constant_time(state.digest, memory.state.digest):
            raise RefusedError(
                "the state after an accepted result does not follow the one before it",
                "count the rounds in the training state",
            )
        entries = ended(self._own(ledger), average.sid, SessionEnd.ACCEPTED)
        return Changed(memory.next(state=state, followed=(), accepted=session), entries)

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
        sid, last = delivery.sid, memory.accepted
        session = memory.session(sid) or (last if last is not None and last.sid == sid else None)
        if session is None:
            raise DeliveryError(Check.SESSION, _NOT_FOLLOWED, "ask a client that took part")
        _require_group(session.group, delivery)
        require_legal_roster(self.manifest, delivery.roster)
        result = require_result_signatures(self.manifest, delivery.receipt(self.manifest.bulk_hash))
        return Disclosure(sid, self.number, result, session.group.session_key(sid)).signed_by(self.identity, sid)

    def complain(self, delivery_sid: bytes, check: int) -> Complaint:
        """The signed refusal of a session: its id and the check that failed, nothing else."""
        return Complaint(delivery_sid, self.number, check).signed_by(self.identity, delivery_sid)

    def _require_own_session(self, memory: ClientMemory, delivery: Delivery) -> FollowedSession:
        """Checks 1 to 4; returns the session."""
        session = memory.session(delivery.sid)
        if session is None:
            raise DeliveryError(Check.SESSION, _NOT_FOLLOWED, "deliver the current one")
        _require_group(session.group, delivery)
        require_legal_roster(self.manifest, delivery.roster)
        listed = dict(delivery.roster).get(self.number)
        if listed is not None and listed != session.header_hash:
            raise DeliveryError(
                Check.ROSTER,
                "the roster lists a submission that this client did not make",
                "make a new set-up with new keys",
            )
        if session.origin != NO_SESSION and tuple(client for client, _ in delivery.roster) != session.roster:
            raise DeliveryError(
                Check.ROSTER, "the roster is not that of the session whose update this client sent again"
            )
        require_result_signatures(self.manifest, delivery.receipt(self.manifest.bulk_hash))
        return session

    # Other clients

    def vouch(self, memory: ClientMemory) -> Voucher:
        """Sign the id of the training state that this client reached by passing all checks, for those who lack it."""
        return Voucher(memory.group.setup, self.number, memory.state_id).signed_by(self.identity, memory.group.setup)

    def give_state(
        self, memory: ClientMemory, newcomer: ClientKey, state: bytes, read: Callable[[bytes], TrainingState]
    ) -> SealedState:
        """Seal this client's training state to a client that lacks it.

        Args:
            newcomer: its key of the current set-up.
            state: in whatever form the newcomer reads.
            read: says what a client must know of a state in that form.

        Raises:
            RefusedError: it is not this client's current state, or the key is of another set-up or of no client.
            MalformedError: a signature does not verify.
        """
        if read(state) != memory.state:
            raise RefusedError("that is not this client's current training state")
        if newcomer.setup != memory.group.setup:
            raise RefusedError(f"the key of client {newcomer.client} is of another set-up")
        return seal_state(self.manifest, self.number, self.identity, newcomer, state)

    def jump(self, memory: ClientMemory, vouchers: Sequence[Voucher], state: TrainingState) -> ClientMemory:
        """In a public task, move on to a later state that others reached: the model is public, and its id says which.

        Raises:
            RefusedError: the task is sealed (there a state is taken over in a set-up), the state is not later than the
                client's own, or too few clients vouch for it.
            MalformedError: a signature does not verify.
        """
        if self.manifest.sealed:
            raise RefusedError("in a sealed task a state is taken over during a set-up", "make a new set-up")
        setup = memory.group.setup
        require_vouchers(self.manifest, self.number, vouchers, setup, memory.group.state_id(state.digest))
        require_later(memory, state)
        return memory.next(state=state, followed=(), accepted=None)


def _require_group(group: GroupKey, delivery: Delivery) -> None:
    """Check 2."""
    if not equal_in_constant_time(delivery.group_check, group.check_value()):
        raise DeliveryError(Check.GROUP_KEY, "the roster was formed under another group key", "make a new set-up")


def _finish_piece(piece: Elements, streams: Sequence[ElementStream], hashing: MerkleTree) -> None:
    for stream in streams:
        stream.subtract_from(piece)
    hashing.update(piece)
