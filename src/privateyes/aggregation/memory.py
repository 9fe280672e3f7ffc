"""What each party must remember on disk, so that a restart never makes it say two things about one session.

A transition returns the new memory beside the messages to send; whoever drives the state machine stores the first
before it sends the second. Everything here is secret except the session's outcome.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from privateyes.aggregation.keys import GroupKey, KeyChain
from privateyes.aggregation.messages import NO_SESSION
from privateyes.crypto.statement import equal_in_constant_time
from privateyes.errors import MalformedError, RefusedError


@dataclass(frozen=True, slots=True)
class AggregatorMemory:
    """An aggregator's durable state within an epoch.

    Attributes:
        epoch: the current epoch.
        first_epoch: since when ``opened`` is complete; later than 1 if an earlier store was lost.
        last_round: the last announced round, -1 before the first.
        last_sid: its session.
        opened: every session of the task that this aggregator opened. All other earlier ones are void.
        transcript: the one T that it signed for the last session; empty before.
        stopped: whether it gave the last session up: then nothing more is signed or opened for it.
        chains: key chains by client number; secret.
        sealed_hashes: what each client's headers must name.
    """

    epoch: int
    first_epoch: int
    last_round: int
    last_sid: bytes
    opened: frozenset[bytes]
    chains: Mapping[int, KeyChain] = field(repr=False)
    sealed_hashes: Mapping[int, bytes] = field(repr=False)
    transcript: bytes = b""
    stopped: bool = False

    def to_bytes(self) -> bytes:
        """For the aggregator's own store."""
        return _dump(
            {
                "epoch": self.epoch,
                "first_epoch": self.first_epoch,
                "last_round": self.last_round,
                "last_sid": self.last_sid.hex(),
                "opened": sorted(sid.hex() for sid in self.opened),
                "transcript": self.transcript.hex(),
                "stopped": self.stopped,
                "chains": {str(client): _dump_chain(chain) for client, chain in self.chains.items()},
                "sealed_hashes": {str(client): value.hex() for client, value in self.sealed_hashes.items()},
            }
        )

    @classmethod
    def from_bytes(cls, data: bytes) -> AggregatorMemory:
        """Read what ``to_bytes`` wrote.

        Raises:
            MalformedError: the store is damaged.
        """
        with _Damage("an aggregator's memory"):
            table = json.loads(data)
            return cls(
                epoch=int(table["epoch"]),
                first_epoch=int(table["first_epoch"]),
                last_round=int(table["last_round"]),
                last_sid=bytes.fromhex(table["last_sid"]),
                opened=frozenset(bytes.fromhex(sid) for sid in table["opened"]),
                chains={int(client): _load_chain(chain) for client, chain in table["chains"].items()},
                sealed_hashes={int(client): bytes.fromhex(value) for client, value in table["sealed_hashes"].items()},
                transcript=bytes.fromhex(table["transcript"]),
                stopped=_load_flag(table["stopped"]),
            )


NOT_SUBMITTED: Final = b""


@dataclass(frozen=True, slots=True)
class PendingSession:
    """A session from a client's current state whose end it does not know yet.

    Attributes:
        epoch, round, state_id: what aggregators are asked about it by.
        sid: its id.
        header_hash: of this client's header; NOT_SUBMITTED if it only followed the session.
        group: the group key of an earlier epoch, under which a late result is checked; None in the current one.
    """

    epoch: int
    round: int
    state_id: bytes
    sid: bytes
    header_hash: bytes
    group: GroupKey | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class ClientMemory:
    """A client's durable state within an epoch.

    Attributes:
        group: the group key; secret.
        chains: key chains, one for each aggregator; secret.
        sealed_hashes: what its headers name, one for each aggregator.
        state_digest: the training state that it holds, its only head.
        pending: sessions from that state that it submitted to, or that an epoch's end cut short.
        last_round: the last round that it followed, -1 before the first.
        current_sid: the session of that round; no session once its result is accepted or all n call it void.
        accepted_sid: the session that led to the current state, in this epoch; no session otherwise.
    """

    group: GroupKey = field(repr=False)
    chains: tuple[KeyChain, ...] = field(repr=False)
    sealed_hashes: tuple[bytes, ...]
    state_digest: bytes
    pending: tuple[PendingSession, ...] = ()
    last_round: int = -1
    current_sid: bytes = NO_SESSION
    accepted_sid: bytes = NO_SESSION

    def follows(self, sid: bytes) -> bool:
        """Whether a result of this session may still be accepted."""
        return sid in {self.current_sid, *(session.sid for session in self.pending)} - {NO_SESSION}

    def group_of(self, sid: bytes) -> GroupKey:
        """The group key of a session that this client follows: the current one, or that of its earlier epoch."""
        earlier = next((session.group for session in self.pending if session.sid == sid), None)
        return self.group if earlier is None else earlier

    def carried_over(self) -> tuple[PendingSession, ...]:
        """What a new epoch must remember: sessions that may still be accepted, each with its own group key."""
        sessions = self.pending
        if self.current_sid not in {NO_SESSION, *(session.sid for session in sessions)}:
            state_id = self.group.state_id(self.state_digest)
            followed = PendingSession(self.group.epoch, self.last_round, state_id, self.current_sid, NOT_SUBMITTED)
            sessions = (*sessions, followed)
        return tuple(replace(session, group=session.group or self.group) for session in sessions)

    def with_state(self, state_digest: bytes, sid: bytes) -> ClientMemory:
        """The memory after the verified average of session ``sid`` was applied: a new head, and nothing pending.

        Raises:
            RefusedError: not a session that the client follows, or the state is the one that it had: either would
                forget what it submitted.
        """
        if not self.follows(sid):
            raise RefusedError("the accepted result is of a session that this client does not follow")
        if equal_in_constant_time(state_digest, self.state_digest):
            raise RefusedError(
                "the state after an accepted result is the one before it", "count the rounds in the training state"
            )
        return replace(self, state_digest=state_digest, pending=(), current_sid=NO_SESSION, accepted_sid=sid)

    def to_bytes(self) -> bytes:
        """For the client's own store."""
        return _dump(
            {
                "group": _dump_group(self.group),
                "chains": [_dump_chain(chain) for chain in self.chains],
                "sealed_hashes": [value.hex() for value in self.sealed_hashes],
                "state_digest": self.state_digest.hex(),
                "pending": [_dump_pending(session) for session in self.pending],
                "last_round": self.last_round,
                "current_sid": self.current_sid.hex(),
                "accepted_sid": self.accepted_sid.hex(),
            }
        )

    @classmethod
    def from_bytes(cls, data: bytes) -> ClientMemory:
        """Read what ``to_bytes`` wrote.

        Raises:
            MalformedError: the store is damaged.
        """
        with _Damage("a client's memory"):
            table = json.loads(data)
            return cls(
                group=_load_group(table["group"]),
                chains=tuple(_load_chain(chain) for chain in table["chains"]),
                sealed_hashes=tuple(bytes.fromhex(value) for value in table["sealed_hashes"]),
                state_digest=bytes.fromhex(table["state_digest"]),
                pending=tuple(_load_pending(values) for values in table["pending"]),
                last_round=int(table["last_round"]),
                current_sid=bytes.fromhex(table["current_sid"]),
                accepted_sid=bytes.fromhex(table["accepted_sid"]),
            )


# Not "restore a backup": an older copy brings used keys back, and with them a second answer for one session.
_LOST: Final = "start a new epoch; never restore an older copy"


def _dump(table: Mapping[str, Any]) -> bytes:
    return json.dumps(table, separators=(",", ":"), sort_keys=True).encode()


def _load_flag(value: object) -> bool:
    if not isinstance(value, bool):
        raise TypeError(f"{value!r} is neither true nor false")
    return value


def _dump_group(group: GroupKey) -> list[Any]:
    return [group.setup.hex(), group.epoch, group.key.hex(), group.sealed]


def _load_group(values: list[Any]) -> GroupKey:
    setup, epoch, key, sealed = values
    return GroupKey(bytes.fromhex(setup), int(epoch), bytes.fromhex(key), _load_flag(sealed))


def _dump_chain(chain: KeyChain) -> list[Any]:
    return [chain.next_round, chain.key.hex()]


def _load_chain(values: list[Any]) -> KeyChain:
    return KeyChain(int(values[0]), bytes.fromhex(values[1]))


def _dump_pending(session: PendingSession) -> list[Any]:
    digests = (session.state_id, session.sid, session.header_hash)
    group = None if session.group is None else _dump_group(session.group)
    return [session.epoch, session.round, *(value.hex() for value in digests), group]


def _load_pending(values: list[Any]) -> PendingSession:
    epoch, round_number, *digests, group = values
    state_id, sid, header_hash = (bytes.fromhex(value) for value in digests)
    loaded = None if group is None else _load_group(group)
    return PendingSession(int(epoch), int(round_number), state_id, sid, header_hash, loaded)


class _Damage:
    """Turns what parsing a damaged store raises into one clear error."""

    def __init__(self, what: str) -> None:
        self._what = what

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if isinstance(error, ValueError | KeyError | TypeError | AttributeError | IndexError | ArithmeticError):
            raise MalformedError(f"{self._what} is damaged ({error})", _LOST) from None
        if isinstance(error, RecursionError):
            raise MalformedError(f"{self._what} is damaged: nested too deeply", _LOST) from None
