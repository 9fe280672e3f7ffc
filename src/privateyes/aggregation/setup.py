"""The set-up of an epoch: fresh sealing keys, pairwise stream keys, one group key (protocol, "Setup").

The private halves of the sealing keys live in the two set-up objects alone, which are dropped when the epoch starts:
whoever later takes a party's pinned key and all recorded traffic can open nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from privateyes.aggregation.keys import MAX_EPOCH, GroupKey, KeyChain, setup_id
from privateyes.aggregation.manifest import Manifest
from privateyes.aggregation.memory import AggregatorMemory, ClientMemory
from privateyes.aggregation.messages import (
    NO_SESSION,
    AggregatorKey,
    ClientKey,
    SealedGroupKey,
    SealedState,
    SealedStreamKey,
    Voucher,
)
from privateyes.crypto.labels import Label, Role
from privateyes.crypto.sealing import UnsealingKey, seal
from privateyes.crypto.signature import SigningKey
from privateyes.crypto.statement import KEY_BYTES, equal_in_constant_time, statement
from privateyes.errors import MalformedError, RefusedError


def _stream_key_info(setup: bytes, client: int, aggregator: int) -> bytes:
    return statement(Label.STREAM_KEY, Role.CLIENT, setup, client, aggregator)


def _group_key_info(setup: bytes, leader: int, recipient: int) -> bytes:
    return statement(Label.GROUP_KEY, Role.CLIENT, setup, leader, recipient)


def _state_info(setup: bytes, sender: int, recipient: int) -> bytes:
    return statement(Label.SEALED_STATE, Role.CLIENT, setup, sender, recipient)


def _not_begun(unsealing: UnsealingKey | None) -> UnsealingKey:
    if unsealing is None:
        raise RefusedError("the epoch has begun, and the keys of its set-up are gone", "start a new epoch")
    return unsealing


def _require_later_epoch(epoch: int, previous: int) -> None:
    if not previous < epoch <= MAX_EPOCH:
        raise RefusedError(f"epoch {epoch} does not follow epoch {previous}", "epochs strictly increase")


def _require_next(previous: ClientMemory | None, epoch: int, state_digest: bytes | None) -> None:
    if previous is None:
        return
    _require_later_epoch(epoch, previous.group.epoch)
    if state_digest is None or not equal_in_constant_time(previous.state_digest, state_digest):
        raise RefusedError(
            "the training state is not this client's current one", "a client never goes back to an older checkpoint"
        )


class AggregatorSetup:
    """One aggregator while an epoch is being set up.

    Args:
        manifest: the aggregator's own pinned copy.
        aggregator: s, from 1.
        identity: its pinned signing key.
        epoch: later than every earlier one.
        previous: its memory of the epoch before, if there was one.
        never_ran: the operator's word that this identity was never part of an epoch. Without it, and without a memory,
            sessions of this epoch are not declared void: one may have been opened before the memory was lost.

    Raises:
        RefusedError: the epoch does not increase.
    """

    __slots__ = ("_epoch", "_first_epoch", "_identity", "_manifest", "_number", "_received", "_setup", "_unsealing")

    def __init__(
        self,
        manifest: Manifest,
        aggregator: int,
        identity: SigningKey,
        epoch: int,
        previous: AggregatorMemory | None,
        *,
        never_ran: bool = False,
    ) -> None:
        _require_later_epoch(epoch, previous.epoch if previous else 0)
        self._manifest, self._number, self._identity = manifest, aggregator, identity
        self._epoch = epoch
        self._first_epoch = epoch if never_ran else epoch + 1
        self._setup = setup_id(manifest.digest(), epoch)
        self._unsealing: UnsealingKey | None = UnsealingKey()
        self._received: dict[int, tuple[KeyChain, bytes]] = {}

    def __repr__(self) -> str:
        return f"AggregatorSetup(aggregator {self._number}, epoch {self._epoch}, <secret>)"

    def key(self) -> AggregatorKey:
        """The signed sealing key, for every client."""
        message = AggregatorKey(self._epoch, self._number, _not_begun(self._unsealing).public_bytes)
        return message.signed_by(self._identity, self._setup)

    def receive(self, message: SealedStreamKey) -> None:
        """Unseal a client's stream key. The first one of an epoch wins.

        Raises:
            RefusedError: unknown client, another aggregator or epoch, or a second key.
            MalformedError: wrong signature, or sealed for something else.
        """
        client = message.client
        if not 1 <= client <= len(self._manifest.clients):
            raise RefusedError(f"client {client} is not in the manifest")
        if message.aggregator != self._number or message.epoch != self._epoch:
            raise RefusedError(f"a stream key of client {client} is meant for another aggregator or epoch")
        message.require_signature_of(self._manifest.clients[client - 1].public_key, self._setup)
        if client in self._received:
            raise RefusedError(f"client {client} has a stream key in this epoch already", "start a new epoch")
        key = _not_begun(self._unsealing).unseal(message.sealed, _stream_key_info(self._setup, client, self._number))
        self._received[client] = (KeyChain(0, key), message.sealed_hash(self._setup))

    def start(self, previous: AggregatorMemory | None) -> AggregatorMemory:
        """Begin the epoch: drops the sealing key's private half.

        Args:
            previous: its memory of the epoch before as it is now; a session may have been opened during the set-up.

        Raises:
            RefusedError: the epoch does not increase.
        """
        _require_later_epoch(self._epoch, previous.epoch if previous else 0)
        _not_begun(self._unsealing)
        self._unsealing = None
        return AggregatorMemory(
            epoch=self._epoch,
            first_epoch=previous.first_epoch if previous else self._first_epoch,
            last_round=-1,
            last_sid=previous.last_sid if previous else NO_SESSION,
            transcript=previous.transcript if previous else b"",
            stopped=previous.stopped if previous else False,
            opened=previous.opened if previous else frozenset(),
            chains={client: chain for client, (chain, _) in self._received.items()},
            sealed_hashes={client: sealed_hash for client, (_, sealed_hash) in self._received.items()},
        )


class ClientSetup:
    """One client while an epoch is being set up.

    Args:
        manifest: the client's own pinned copy.
        client: i, from 1.
        identity: its pinned signing key.
        epoch: later than every earlier one.
        state_digest: the training state that it holds; None for a newcomer, which another client gives it to.
        previous: its memory of the epoch before, if there was one.

    Raises:
        RefusedError: the epoch does not increase, or the state is not the client's current one.
    """

    __slots__ = (
        "_chains", "_epoch", "_group_key", "_identity", "_manifest", "_number", "_returning", "_sealed_hashes",
        "_setup", "_state_digest", "_unsealing",
    )  # fmt: skip

    def __init__(
        self,
        manifest: Manifest,
        client: int,
        identity: SigningKey,
        epoch: int,
        state_digest: bytes | None,
        previous: ClientMemory | None = None,
    ) -> None:
        _require_next(previous, epoch, state_digest)
        self._manifest, self._number, self._identity, self._epoch = manifest, client, identity, epoch
        self._setup = setup_id(manifest.digest(), epoch)
        self._state_digest = state_digest
        self._unsealing: UnsealingKey | None = UnsealingKey()
        self._returning = previous is not None
        self._chains: tuple[KeyChain, ...] = ()
        self._sealed_hashes: tuple[bytes, ...] = ()
        self._group_key: bytes | None = None

    def __repr__(self) -> str:
        return f"ClientSetup(client {self._number}, epoch {self._epoch}, <secret>)"

    def key(self) -> ClientKey:
        """The signed sealing key, for the leader."""
        message = ClientKey(self._epoch, self._number, _not_begun(self._unsealing).public_bytes)
        return message.signed_by(self._identity, self._setup)

    def seal_stream_keys(self, keys: Sequence[AggregatorKey], secrets: Sequence[bytes]) -> tuple[SealedStreamKey, ...]:
        """Seal a fresh K[i,s] to each aggregator's signed key.

        Args:
            keys: one message of every aggregator.
            secrets: 32 fresh random bytes for each aggregator.

        Raises:
            RefusedError: an aggregator is missing or named twice, or keys were sealed before.
            MalformedError: a signature does not verify, or there is not one secret of 32 bytes for each aggregator.
        """
        if self._chains:
            raise RefusedError("stream keys were sealed in this epoch already", "start a new epoch")
        if [len(secret) for secret in secrets] != [KEY_BYTES] * len(self._manifest.aggregators):
            raise MalformedError(f"not {KEY_BYTES} secret bytes for each aggregator", "draw fresh ones")
        by_number = {message.aggregator: message for message in keys if message.epoch == self._epoch}
        numbers = range(1, len(self._manifest.aggregators) + 1)
        if len(keys) != len(numbers) or sorted(by_number) != list(numbers):
            raise RefusedError(
                "not exactly one key of every aggregator for this epoch", "ask the hub for the missing ones"
            )
        sealed = []
        for number, party, secret in zip(numbers, self._manifest.aggregators, secrets, strict=True):
            by_number[number].require_signature_of(party.public_key, self._setup)
            info = _stream_key_info(self._setup, self._number, number)
            message = SealedStreamKey(
                self._epoch, self._number, number, seal(secret, by_number[number].public_key, info)
            )
            sealed.append(message.signed_by(self._identity, self._setup))
        self._chains = tuple(KeyChain(0, secret) for secret in secrets)
        self._sealed_hashes = tuple(message.sealed_hash(self._setup) for message in sealed)
        return tuple(sealed)

    def lead(self, keys: Mapping[int, ClientKey], secret: bytes) -> tuple[SealedGroupKey, ...]:
        """As the manifest's leader: seal the group key to every client that sent its key.

        Args:
            keys: by client number.
            secret: K, 32 fresh random bytes.

        Raises:
            RefusedError: this client is not the leader, or led before.
            MalformedError: a signature does not verify.
        """
        if self._number != self._manifest.leader or self._group_key is not None:
            raise RefusedError("only the manifest's leader makes the group key, and once an epoch")
        if len(secret) != KEY_BYTES:
            raise MalformedError(f"a group key has {KEY_BYTES} bytes, not {len(secret)}")
        sealed = []
        for recipient, message in sorted(keys.items()):
            if message.client != recipient or message.epoch != self._epoch:
                raise RefusedError(f"the key filed under client {recipient} is of another client or epoch")
            if not 1 <= recipient <= len(self._manifest.clients):
                raise RefusedError(f"client {recipient} is not in the manifest")
            message.require_signature_of(self._manifest.clients[recipient - 1].public_key, self._setup)
            info = _group_key_info(self._setup, self._number, recipient)
            out = SealedGroupKey(self._epoch, self._number, recipient, seal(secret, message.public_key, info))
            sealed.append(out.signed_by(self._identity, self._setup))
        self._group_key = secret
        return tuple(sealed)

    def receive_group_key(self, message: SealedGroupKey) -> None:
        """Unseal the group key that the leader made.

        Raises:
            RefusedError: not from the manifest's leader, not for this client and epoch, or a second one.
            MalformedError: wrong signature, or sealed for something else.
        """
        leader = self._manifest.leader
        if (message.epoch, message.leader, message.recipient) != (self._epoch, leader, self._number):
            raise RefusedError("a group key of another epoch, leader or recipient")
        message.require_signature_of(self._manifest.clients[leader - 1].public_key, self._setup)
        if self._group_key is not None and self._number != leader:
            raise RefusedError("a second group key in one epoch", "start a new epoch")
        info = _group_key_info(self._setup, leader, self._number)
        key = _not_begun(self._unsealing).unseal(message.sealed, info)
        if self._group_key is not None and not equal_in_constant_time(self._group_key, key):
            raise RefusedError("the leader's own sealed key is not the one it made", "start a new epoch")
        self._group_key = key

    def give_state(self, newcomer: ClientKey, state: bytes, digest_of: Callable[[bytes], bytes]) -> SealedState:
        """Seal this client's training state to a client that joins.

        Args:
            state: in whatever form the newcomer reads.
            digest_of: gives the digest of a state in that form.

        Raises:
            RefusedError: it is not this client's current state, or the key is of another epoch or no client's.
            MalformedError: a signature does not verify.
        """
        if self._state_digest is None or not equal_in_constant_time(digest_of(state), self._state_digest):
            raise RefusedError("that is not this client's current training state", "a newcomer has none to give")
        recipient = newcomer.client
        if newcomer.epoch != self._epoch or not 1 <= recipient <= len(self._manifest.clients):
            raise RefusedError(f"the key of client {recipient} is of another epoch or of no client of the task")
        newcomer.require_signature_of(self._manifest.clients[recipient - 1].public_key, self._setup)
        sealed = seal(state, newcomer.public_key, _state_info(self._setup, self._number, recipient))
        return SealedState(self._epoch, self._number, recipient, sealed).signed_by(self._identity, self._setup)

    def vouch(self) -> Voucher:
        """Sign the id of the training state that this client holds, for newcomers.

        Raises:
            RefusedError: it holds none, or does not have the group key yet.
        """
        if self._state_digest is None or self._group_key is None:
            raise RefusedError("a client vouches for the state that it holds, once it has the group key")
        state_id = self._group(self._group_key).state_id(self._state_digest)
        return Voucher(self._epoch, self._number, state_id).signed_by(self._identity, self._setup)

    def receive_state(
        self, message: SealedState, vouchers: Sequence[Voucher], digest_of: Callable[[bytes], bytes]
    ) -> bytes:
        """As a newcomer, take over the training state of another client.

        One client alone could give weights that make the newcomer's update tell of its images. So one more client than
        the manifest assumes corrupt must hold the same state. A client that has a state is given none: it moves on by
        results that it checked, and never goes back.

        Args:
            vouchers: of different clients.
            digest_of: reads and checks a state and gives its digest.

        Raises:
            RefusedError: this client has a state or no group key yet, the message is not for it or of another epoch, or
                too few clients hold this state.
            MalformedError: wrong signature, or sealed for something else.
        """
        if self._state_digest is not None:
            raise RefusedError("this client has a training state", "it moves on by results that it checked")
        if self._group_key is None:
            raise RefusedError("a newcomer needs the group key before the state", "ask the leader for it")
        sender = message.sender
        known = 1 <= sender <= len(self._manifest.clients)
        if (message.epoch, message.recipient) != (self._epoch, self._number) or not known:
            raise RefusedError("a training state of another epoch, for another client, or from no client of the task")
        message.require_signature_of(self._manifest.clients[sender - 1].public_key, self._setup)
        info = _state_info(self._setup, sender, self._number)
        state = _not_begun(self._unsealing).unseal_text(message.sealed, info)
        digest = digest_of(state)
        self._require_vouchers(vouchers, self._group(self._group_key).state_id(digest))
        self._state_digest = digest
        return state

    def _require_vouchers(self, vouchers: Sequence[Voucher], state_id: bytes) -> None:
        holders = set()
        for voucher in vouchers:
            client = voucher.client
            if not 1 <= client <= len(self._manifest.clients) or client == self._number:
                continue
            if (voucher.epoch, voucher.state_id) == (self._epoch, state_id):
                voucher.require_signature_of(self._manifest.clients[client - 1].public_key, self._setup)
                holders.add(client)
        if len(holders) <= self._manifest.corrupt_clients:
            raise RefusedError(
                f"{len(holders)} clients vouch for this training state, and {self._manifest.corrupt_clients} may be "
                "corrupt",
                f"show vouchers of {self._manifest.corrupt_clients + 1} clients",
            )

    def _group(self, key: bytes) -> GroupKey:
        return GroupKey(self._setup, self._epoch, key, self._manifest.sealed)

    def start(self, previous: ClientMemory | None) -> ClientMemory:
        """Begin the epoch: drops the sealing key's private half.

        Args:
            previous: its memory of the epoch before as it is now; sessions whose end it does not know carry over.

        Raises:
            RefusedError: the stream keys or the group key are missing, or the client has moved on since the set-up
                began.
        """
        if self._returning and previous is None:
            raise RefusedError("the client's memory of the epoch before is missing", "give it as it is now")
        _require_next(previous, self._epoch, self._state_digest)
        if not self._chains or self._group_key is None:
            raise RefusedError("the epoch's keys are incomplete", "finish the set-up first")
        if self._state_digest is None:
            raise RefusedError("this newcomer has no training state", "let another client give it one")
        _not_begun(self._unsealing)
        self._unsealing = None
        return ClientMemory(
            group=self._group(self._group_key),
            chains=self._chains,
            sealed_hashes=self._sealed_hashes,
            state_digest=self._state_digest,
            pending=previous.carried_over() if previous else (),
        )
