"""A set-up: fresh sealing keys, pairwise stream keys, one group key (protocol, "Setup").

The private halves of the sealing keys live in the two set-up objects alone, which drop them when the set-up starts:
whoever later takes a party's pinned key and all recorded traffic can open nothing. A party that is restarted in the
middle of a set-up has lost them, and another set-up is made.

An aggregator binds itself to a set-up, on disk, before it unseals anything in it. From then on every earlier one is
terminal: nothing is unsealed, announced, voted on or committed to there, and it never becomes the current one again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from privateyes.aggregation.keys import MAX_EPOCH, GroupKey, KeyChain, setup_id
from privateyes.aggregation.manifest import Manifest
from privateyes.aggregation.memory import AggregatorMemory, BoundSetup, ClientMemory, TrainingState
from privateyes.aggregation.messages import (
    BIND,
    AggregatorKey,
    ClientKey,
    HubRequest,
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


def _still_held(unsealing: UnsealingKey | None) -> UnsealingKey:
    if unsealing is None:
        raise RefusedError("the set-up has started or was replaced, and its private keys are gone", "make a new set-up")
    return unsealing


def _bound(setup: bytes | None) -> bytes:
    if setup is None:
        raise RefusedError("the aggregators' keys are not known yet", "bind the set-up to them first")
    return setup


def require_one_setup(manifest: Manifest, keys: Sequence[AggregatorKey]) -> tuple[bytes, tuple[AggregatorKey, ...]]:
    """The set-up that n signed sealing keys make, and the keys in their order.

    Raises:
        RefusedError: not one of each aggregator, or for different epochs or leaders, or a leader that is not pinned.
        MalformedError: a signature does not verify.
    """
    ordered = tuple(sorted(keys, key=lambda message: message.aggregator))
    if [message.aggregator for message in ordered] != list(manifest.aggregator_numbers):
        raise RefusedError("not exactly one key of every aggregator", "ask the hub for the missing ones")
    first = ordered[0]
    if any((message.epoch, message.leader) != (first.epoch, first.leader) for message in ordered):
        raise RefusedError("the aggregators' keys are for different epochs or leaders", "ask for keys of one set-up")
    if first.leader not in manifest.leaders:
        raise RefusedError(f"client {first.leader} is not among the manifest's leaders", "name one of them")
    digest = manifest.digest()
    for message, party in zip(ordered, manifest.aggregators, strict=True):
        message.require_signature_of(party.public_key, digest)
    return setup_id(digest, first.epoch, first.leader, [message.public_key for message in ordered]), ordered


class AggregatorSetup:
    """One aggregator's offer, and the set-up that comes of it. It has one at a time: a new one replaces the old.

    Args:
        manifest: the aggregator's own pinned copy.
        aggregator: s, from 1.
        identity: its pinned signing key.
        epoch: a label, as the hub names it.
        leader: the client that is to make the group key.

    Raises:
        RefusedError: the epoch is no label, or the leader not pinned.
    """

    __slots__ = ("_epoch", "_identity", "_leader", "_manifest", "_number", "_received", "_setup", "_unsealing")

    def __init__(self, manifest: Manifest, aggregator: int, identity: SigningKey, epoch: int, leader: int) -> None:
        if not 0 <= epoch <= MAX_EPOCH:
            raise RefusedError(f"epoch {epoch} is outside 0..{MAX_EPOCH}", "name a smaller one")
        if leader not in manifest.leaders:
            raise RefusedError(f"client {leader} is not among the manifest's leaders", "name one of them")
        self._manifest, self._number, self._identity = manifest, aggregator, identity
        self._epoch, self._leader = epoch, leader
        self._setup: bytes | None = None
        self._unsealing: UnsealingKey | None = UnsealingKey()
        self._received: dict[int, tuple[KeyChain, bytes]] = {}

    def __repr__(self) -> str:
        return f"AggregatorSetup(aggregator {self._number}, epoch {self._epoch}, <secret>)"

    def key(self) -> AggregatorKey:
        """The signed sealing key, for everyone."""
        public_key = _still_held(self._unsealing).public_bytes
        message = AggregatorKey(self._epoch, self._leader, self._number, public_key)
        return message.signed_by(self._identity, self._manifest.digest())

    def bind(
        self, memory: AggregatorMemory | None, keys: Sequence[AggregatorKey], request: HubRequest
    ) -> AggregatorMemory:
        """Fix the set-up. Store the memory before anything is unsealed: every earlier set-up is terminal with it.

        Args:
            memory: the current one; None at an aggregator that has none, for the first time or after a loss.
            keys: one of every aggregator, this one's own among them.
            request: the hub's, for this set-up: strangers must not end the set-up before it.

        Raises:
            RefusedError: not one set-up of all, another key in this aggregator's name, or bound before.
            MalformedError: a signature does not verify.
        """
        if self._setup is not None:
            raise RefusedError("this key is bound to a set-up already", "offer a new one")
        setup, ordered = require_one_setup(self._manifest, keys)
        if request.action != BIND or request.setup != setup:
            raise RefusedError("the hub asked for something else than to bind this set-up", "ask for that")
        request.require_signature_of(self._manifest.hub_key, setup)
        if ordered[self._number - 1].public_key != _still_held(self._unsealing).public_bytes:
            raise RefusedError("the key in this aggregator's name is not the one that it offers", "ask it again")
        current = BoundSetup(setup, ordered[0].epoch, ordered[0].leader)
        if memory is None:
            bound = AggregatorMemory(1, current)
        else:
            if memory.remembers(setup):
                raise RefusedError("this aggregator was bound to that set-up before", "offer a new key")
            terminal = {**memory.terminal, memory.current.id: False}
            bound = memory.next(current=current, terminal=terminal, chains={}, sealed_hashes={})
        self._setup = setup
        return bound

    def receive(self, memory: AggregatorMemory, message: SealedStreamKey) -> None:
        """Unseal a client's stream key. The first one in a set-up wins.

        Args:
            memory: as it is stored now; it must say that this set-up is the current one.

        Raises:
            RefusedError: unknown client, another aggregator or set-up, a second key, or not the current set-up.
            MalformedError: wrong signature, or sealed for something else.
        """
        setup, client = self._require_current(memory), message.client
        if not 1 <= client <= len(self._manifest.clients):
            raise RefusedError(f"client {client} is not in the manifest")
        if message.aggregator != self._number or message.setup != setup:
            raise RefusedError(f"a stream key of client {client} is meant for another aggregator or set-up")
        message.require_signature_of(self._manifest.clients[client - 1].public_key, setup)
        if client in self._received:
            raise RefusedError(f"client {client} has a stream key in this set-up already", "make a new set-up")
        key = _still_held(self._unsealing).unseal(message.sealed, _stream_key_info(setup, client, self._number))
        self._received[client] = (KeyChain(0, key), message.sealed_hash(setup))

    def _require_current(self, memory: AggregatorMemory) -> bytes:
        setup = _bound(self._setup)
        if memory.current.id != setup:
            self._unsealing, self._received = None, {}  # it never becomes current again
        if memory.current.id != setup or memory.current.started:
            raise RefusedError(
                "this set-up is not the current one, or it has started", "go on with the current one, or make a new one"
            )
        return setup

    def start(self, memory: AggregatorMemory) -> AggregatorMemory:
        """Put the keys in place. The private half and the first chain keys are gone from here.

        Args:
            memory: as it is stored now; a session may have been opened during the set-up.

        Raises:
            RefusedError: this set-up is not the current one, or it started before.
        """
        self._require_current(memory)
        _still_held(self._unsealing)
        started = memory.next(
            current=BoundSetup(memory.current.id, memory.current.epoch, memory.current.leader, started=True),
            chains={client: chain for client, (chain, _) in self._received.items()},
            sealed_hashes={client: sealed_hash for client, (_, sealed_hash) in self._received.items()},
        )
        self._unsealing, self._received = None, {}
        return started


class ClientSetup:
    """One client while a set-up is made.

    Args:
        manifest: the client's own pinned copy.
        client: i, from 1.
        identity: its pinned signing key.
        memory: what it remembers of the task; None for a client that is new to it.
        initial: for a new client, the training state that the manifest pins, if the client has it; another state is
            given to it by others.

    Raises:
        RefusedError: the client has a memory, or the state is not the pinned one.
    """

    __slots__ = (
        "_aggregator_keys",
        "_chains",
        "_group_key",
        "_identity",
        "_leader",
        "_manifest",
        "_memory",
        "_number",
        "_sealed_hashes",
        "_setup",
        "_state",
        "_unsealing",
    )  # fmt: skip

    def __init__(
        self,
        manifest: Manifest,
        client: int,
        identity: SigningKey,
        memory: ClientMemory | None = None,
        initial: TrainingState | None = None,
    ) -> None:
        if initial is not None and memory is not None:
            raise RefusedError(
                "this client has a training state already", "it moves on by results that it checked, or by vouchers"
            )
        if initial is not None and (initial.digest != manifest.initial_state or initial.counter != 0):
            raise RefusedError(
                "the training state is not the one that the manifest pins", "begin from that one, or ask for vouchers"
            )
        self._manifest, self._number, self._identity = manifest, client, identity
        self._memory, self._state = memory, initial
        self._setup: bytes | None = None
        self._leader = 0
        self._aggregator_keys: tuple[AggregatorKey, ...] = ()
        self._unsealing: UnsealingKey | None = UnsealingKey()
        self._chains: tuple[KeyChain, ...] = ()
        self._sealed_hashes: tuple[bytes, ...] = ()
        self._group_key: bytes | None = None

    def __repr__(self) -> str:
        return f"ClientSetup(client {self._number}, <secret>)"

    def bind(self, keys: Sequence[AggregatorKey]) -> bytes:
        """Fix the set-up, by the aggregators' keys; returns its id.

        Raises:
            RefusedError: not one set-up of all aggregators, bound before, or started before: none comes back.
            MalformedError: a signature does not verify.
        """
        if self._setup is not None:
            raise RefusedError("this client is bound to a set-up already", "make a new set-up")
        setup, ordered = require_one_setup(self._manifest, keys)
        if self._memory is not None and setup in self._memory.started:
            raise RefusedError("this client started that set-up before", "ask the aggregators for new keys")
        self._setup, self._leader, self._aggregator_keys = setup, ordered[0].leader, ordered
        return setup

    def key(self) -> ClientKey:
        """The signed sealing key, for the leader."""
        setup = _bound(self._setup)
        message = ClientKey(setup, self._number, _still_held(self._unsealing).public_bytes)
        return message.signed_by(self._identity, setup)

    def seal_stream_keys(self, secrets: Sequence[bytes]) -> tuple[SealedStreamKey, ...]:
        """Seal a fresh K[i,s] to each aggregator's key.

        Args:
            secrets: 32 fresh random bytes for each aggregator.

        Raises:
            RefusedError: not bound yet, or keys were sealed before.
            MalformedError: there is not one secret of 32 bytes for each aggregator.
        """
        setup = _bound(self._setup)
        if self._sealed_hashes:
            raise RefusedError("stream keys were sealed in this set-up already", "make a new set-up")
        if [len(secret) for secret in secrets] != [KEY_BYTES] * len(self._manifest.aggregators):
            raise MalformedError(f"not {KEY_BYTES} secret bytes for each aggregator", "draw fresh ones")
        sealed = []
        for key, secret in zip(self._aggregator_keys, secrets, strict=True):
            info = _stream_key_info(setup, self._number, key.aggregator)
            message = SealedStreamKey(setup, self._number, key.aggregator, seal(secret, key.public_key, info))
            sealed.append(message.signed_by(self._identity, setup))
        self._chains = tuple(KeyChain(0, secret) for secret in secrets)
        self._sealed_hashes = tuple(message.sealed_hash(setup) for message in sealed)
        return tuple(sealed)

    def lead(self, keys: Mapping[int, ClientKey], secret: bytes) -> tuple[SealedGroupKey, ...]:
        """As the set-up's leader: seal the group key to every client that sent its key.

        Args:
            keys: by client number.
            secret: K, 32 fresh random bytes.

        Raises:
            RefusedError: this client is not the leader, led before, or started the set-up.
            MalformedError: a signature does not verify.
        """
        setup = _bound(self._setup)
        if self._number != self._leader or self._group_key is not None:
            raise RefusedError("only the set-up's leader makes the group key, and once")
        _still_held(self._unsealing)  # once started, K is gone from here, and another one must not follow it
        if len(secret) != KEY_BYTES:
            raise MalformedError(f"a group key has {KEY_BYTES} bytes, not {len(secret)}")
        sealed = []
        for recipient, message in keys.items():
            if message.client != recipient or message.setup != setup:
                raise RefusedError(f"the key filed under client {recipient} is of another client or set-up")
            if not 1 <= recipient <= len(self._manifest.clients):
                raise RefusedError(f"client {recipient} is not in the manifest")
            message.require_signature_of(self._manifest.clients[recipient - 1].public_key, setup)
            info = _group_key_info(setup, self._number, recipient)
            out = SealedGroupKey(setup, self._number, recipient, seal(secret, message.public_key, info))
            sealed.append(out.signed_by(self._identity, setup))
        self._group_key = secret
        return tuple(sealed)

    def receive_group_key(self, message: SealedGroupKey) -> None:
        """Unseal the group key that the leader made.

        Raises:
            RefusedError: not from the set-up's leader, not for this client and set-up, or a second one.
            MalformedError: wrong signature, or sealed for something else.
        """
        setup, leader = _bound(self._setup), self._leader
        if (message.setup, message.leader, message.recipient) != (setup, leader, self._number):
            raise RefusedError("a group key of another set-up, leader or recipient")
        message.require_signature_of(self._manifest.clients[leader - 1].public_key, setup)
        if self._group_key is not None and self._number != leader:
            raise RefusedError("a second group key in one set-up", "make a new set-up")
        info = _group_key_info(setup, leader, self._number)
        key = _still_held(self._unsealing).unseal(message.sealed, info)
        if self._group_key is not None and not equal_in_constant_time(self._group_key, key):
            raise RefusedError("the leader's own sealed key is not the one it made", "make a new set-up")
        self._group_key = key

    def receive_state(
        self, message: SealedState, vouchers: Sequence[Voucher], read: Callable[[bytes], TrainingState]
    ) -> bytes:
        """Take over a training state that others reached: as a new client, or as one that missed rounds for good.

        One client alone could give weights that make an update tell of the images behind it. So one more client than
        the manifest assumes corrupt must vouch for the same state. A client that has a state only ever jumps forward.

        Args:
            vouchers: of different clients.
            read: reads and checks a state, and says what a client must know of it.

        Returns:
            The state as it was sent.

        Raises:
            RefusedError: no group key yet, the message is not for this client and set-up, too few clients vouch for
                this state, or it is not later than the client's own.
            MalformedError: wrong signature, or sealed for something else.
        """
        setup = _bound(self._setup)
        if self._group_key is None:
            raise RefusedError("a client needs the group key before a state", "ask the leader for it")
        sender = message.sender
        known = 1 <= sender <= len(self._manifest.clients)
        if (message.setup, message.recipient) != (setup, self._number) or not known:
            raise RefusedError("a training state of another set-up, for another client, or from no client of the task")
        message.require_signature_of(self._manifest.clients[sender - 1].public_key, setup)
        info = _state_info(setup, sender, self._number)
        data = _still_held(self._unsealing).unseal_text(message.sealed, info)
        state = read(data)
        require_vouchers(self._manifest, self._number, vouchers, setup, self._group().state_id(state.digest))
        if self._memory is not None:
            require_later(self._memory, state)
        self._state = state
        return data

    def _group(self) -> GroupKey:
        if self._setup is None or self._group_key is None:
            raise RefusedError("the set-up's keys are incomplete", "finish the set-up first")
        return GroupKey(self._setup, self._group_key, self._manifest.sealed)

    def start(self, memory: ClientMemory | None) -> ClientMemory:
        """Begin to use the set-up, in one write: the older chains are gone with it.

        From this object the private half, the first chain keys, K and the older memory are gone.

        Args:
            memory: as it is stored now. Sessions whose end it does not know carry over, unless the client jumps.

        Raises:
            RefusedError: the stream keys or the group key are missing, there is no training state, or the set-up was
                started before.
        """
        setup = _bound(self._setup)
        if memory is not None and setup in memory.started:
            raise RefusedError("this client started that set-up before", "make a new set-up")
        _still_held(self._unsealing)
        if (memory is None) is not (self._memory is None):
            raise RefusedError("the client's memory of the task is missing, or is new", "give it as it is now")
        if not self._chains:
            raise RefusedError("no stream keys were sealed", "finish the set-up first")
        group = self._group()
        started = self._first(group) if memory is None else self._following(group, memory)
        self._unsealing, self._chains, self._group_key, self._memory = None, (), None, None
        return started

    def _first(self, group: GroupKey) -> ClientMemory:
        if self._state is None:
            raise RefusedError("this client has no training state", "let another client give it one")
        return ClientMemory(
            version=1,
            group=group,
            chains=self._chains,
            sealed_hashes=self._sealed_hashes,
            state=self._state,
            started=frozenset({group.setup}),
        )

    def _following(self, group: GroupKey, memory: ClientMemory) -> ClientMemory:
        # Of the sessions that this client only watched, the last may still end; with each goes its set-up's K.
        watched = [session for session in memory.followed if not session.submitted][-1:]
        changes: dict[str, Any] = {
            "followed": tuple(session for session in memory.followed if session.submitted or session in watched)
        }
        if self._state is not None:
            require_later(memory, self._state)
            changes = {"state": self._state, "followed": (), "accepted": None}
        return memory.next(
            group=group,
            chains=self._chains,
            sealed_hashes=self._sealed_hashes,
            started=memory.started | {group.setup},
            last_round=-1,
            **changes,
        )


def require_vouchers(
    manifest: Manifest, client: int, vouchers: Sequence[Voucher], setup: bytes, state_id: bytes
) -> None:
    """One more client than the manifest assumes corrupt must have reached a state, besides the one that takes it over.

    Args:
        client: the one that takes it over; its own word does not count.
        setup: the current set-up, in which the vouchers were signed.
        state_id: of the state, in that set-up.

    Raises:
        RefusedError: too few.
        MalformedError: a signature does not verify.
    """
    holders = set()
    for voucher in vouchers:
        if not 1 <= voucher.client <= len(manifest.clients) or voucher.client == client:
            continue
        if (voucher.setup, voucher.state_id) == (setup, state_id):
            voucher.require_signature_of(manifest.clients[voucher.client - 1].public_key, setup)
            holders.add(voucher.client)
    if len(holders) <= manifest.corrupt_clients:
        raise RefusedError(
            f"{len(holders)} clients vouch for this training state, and {manifest.corrupt_clients} may be corrupt",
            f"show vouchers of {manifest.corrupt_clients + 1} clients",
        )


def require_later(memory: ClientMemory, state: TrainingState) -> None:
    """A client never goes back, and never stays where it may have submitted.

    Raises:
        RefusedError: the state is not later than the client's own.
    """
    if state.counter <= memory.state.counter:
        raise RefusedError(
            f"the state is after round {state.counter}, and this client is at round {memory.state.counter}",
            "a client only jumps to a later state",
        )


def seal_state(manifest: Manifest, sender: int, identity: SigningKey, newcomer: ClientKey, state: bytes) -> SealedState:
    """A training state sealed to a client's key of a set-up; ``Client.give_state`` decides which.

    Raises:
        RefusedError: the key is of no client of the task.
        MalformedError: its signature does not verify.
    """
    recipient, setup = newcomer.client, newcomer.setup
    if not 1 <= recipient <= len(manifest.clients):
        raise RefusedError(f"client {recipient} is not in the manifest")
    newcomer.require_signature_of(manifest.clients[recipient - 1].public_key, setup)
    sealed = seal(state, newcomer.public_key, _state_info(setup, sender, recipient))
    return SealedState(setup, sender, recipient, sealed).signed_by(identity, setup)
