"""What each party must remember on disk, so that a restart never makes it say two things about one session.

A transition returns the new memory beside the messages to send; whoever drives the party stores the first before it
sends the second. Every memory carries a version, one more than that of the memory that it follows: a store writes it
over that one alone (compare and swap), so of two handlers that began from one snapshot the second never speaks.

Everything here is secret except the sessions' outcomes.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from privateyes.aggregation.keys import GroupKey, KeyChain, session_id
from privateyes.aggregation.messages import NO_SESSION
from privateyes.aggregation.roster import Entries, transcript_digest
from privateyes.errors import MalformedError

MAX_UNFINISHED: Final = 64
"""Opened sessions before the last whose results need not be shown before the next announcement."""


@dataclass(frozen=True, slots=True)
class SessionRecord:
    """What an aggregator said about one announced session, and what it needs to repeat or to finish it.

    Its words follow from this record and its key, to the byte; only the share, which is large, is stored beside it.

    Attributes:
        setup, round, state_id: what the session was announced by.
        sid: its id, which follows from them.
        given_up: nothing more is signed or opened for it.
        voted: the entries of its vote; None before.
        rho: the roster that it committed to; empty before. ``roster_size`` is the number of its clients.
        salt, share_root: of its commitment; the salt is secret until it is opened.
        commitments: com_0..com_n under its T; none before it signed T.
        result: the result that it signed; empty before.
        finished: whether n signatures on the result were shown: then nobody needs its words any more.
    """

    setup: bytes
    round: int
    state_id: bytes
    given_up: bool = False
    voted: Entries | None = None
    rho: bytes = b""
    roster_size: int = 0
    salt: bytes = field(default=b"", repr=False)
    share_root: bytes = field(default=b"", repr=False)
    commitments: tuple[bytes, ...] = ()
    result: bytes = b""
    finished: bool = False

    @property
    def sid(self) -> bytes:
        """The session's id."""
        return session_id(self.setup, self.round, self.state_id)

    @property
    def transcript(self) -> bytes:
        """T; empty before it was signed."""
        return transcript_digest(self.sid, self.rho, self.commitments) if self.commitments else b""


@dataclass(frozen=True, slots=True)
class BoundSetup:
    """The set-up that an aggregator is bound to.

    Attributes:
        id: the set-up id.
        epoch: its label.
        leader: the client that makes its group key.
        started: whether its keys are in place; before that, nothing is announced.
    """

    id: bytes
    epoch: int
    leader: int
    started: bool = False


@dataclass(frozen=True, slots=True)
class AggregatorMemory:
    """An aggregator's durable state in one task.

    Attributes:
        version: how many memories came before this one.
        current: the set-up that it is bound to. A new one makes it terminal: its keys are gone and it never returns.
        terminal: every earlier set-up, and whether a set-up that was bound later has announced since: then whatever was
            not opened there is void.
        session: the last announced session, whatever its set-up; all earlier ones are closed.
        unfinished: opened sessions before that one of which no n result signatures were shown yet, by sid.
        opened: every session of the task that it opened, with the roster rho of each.
        chains: key chains of the current set-up by client number; secret.
        sealed_hashes: what each client's headers must name.
    """

    version: int
    current: BoundSetup
    terminal: Mapping[bytes, bool] = field(default_factory=dict)
    session: SessionRecord | None = None
    unfinished: Mapping[bytes, SessionRecord] = field(default_factory=dict)
    opened: Mapping[bytes, bytes] = field(default_factory=dict)
    chains: Mapping[int, KeyChain] = field(default_factory=dict, repr=False)
    sealed_hashes: Mapping[int, bytes] = field(default_factory=dict, repr=False)

    def next(self, **changes: Any) -> AggregatorMemory:
        """The memory after this one."""
        return replace(self, version=self.version + 1, **changes)

    def remembers(self, setup: bytes) -> bool:
        """Whether this aggregator was ever bound to a set-up."""
        return setup == self.current.id or setup in self.terminal

    def record_of(self, sid: bytes) -> SessionRecord | None:
        """The record of the last session or of an opened one that is not finished."""
        if self.session is not None and self.session.sid == sid:
            return self.session
        return self.unfinished.get(sid)

    def with_record(self, record: SessionRecord) -> AggregatorMemory:
        """The memory after this one, with a new record in the old one's place."""
        if self.session is not None and self.session.sid == record.sid:
            return self.next(session=record)
        return self.next(unfinished={**self.unfinished, record.sid: record})

    def to_bytes(self) -> bytes:
        """For the aggregator's own store."""
        return _dump(
            {
                "version": self.version,
                "current": [self.current.id.hex(), self.current.epoch, self.current.leader, self.current.started],
                "terminal": {setup.hex(): closed for setup, closed in self.terminal.items()},
                "session": None if self.session is None else _dump_record(self.session),
                "unfinished": [_dump_record(record) for record in self.unfinished.values()],
                "opened": {sid.hex(): rho.hex() for sid, rho in self.opened.items()},
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
            setup, epoch, leader, started = table["current"]
            unfinished = [_load_record(values) for values in table["unfinished"]]
            return cls(
                version=int(table["version"]),
                current=BoundSetup(bytes.fromhex(setup), int(epoch), int(leader), _load_flag(started)),
                terminal={bytes.fromhex(setup): _load_flag(closed) for setup, closed in table["terminal"].items()},
                session=None if table["session"] is None else _load_record(table["session"]),
                unfinished={record.sid: record for record in unfinished},
                opened={bytes.fromhex(sid): bytes.fromhex(rho) for sid, rho in table["opened"].items()},
                chains={int(client): _load_chain(chain) for client, chain in table["chains"].items()},
                sealed_hashes={int(client): bytes.fromhex(value) for client, value in table["sealed_hashes"].items()},
            )


@dataclass(frozen=True, slots=True)
class TrainingState:
    """What a client knows of a training state.

    Attributes:
        digest: H(state), over everything that the next round depends on; it would confirm a guess of the state.
        weights: W, over the weights alone: what an update depends on.
        counter: how many accepted rounds led to it.
    """

    digest: bytes = field(repr=False)
    weights: bytes = field(repr=False)
    counter: int


NOT_SUBMITTED: Final = b""


@dataclass(frozen=True, slots=True)
class FollowedSession:
    """A session from a client's current state whose end it does not know yet.

    Attributes:
        setup, round, state_id: what aggregators are asked about it by.
        sid: its id.
        group: the group key of its set-up, under which a result is checked.
        header_hash: of this client's header; NOT_SUBMITTED if it only followed the session.
        origin: the session whose update it sent again; no session for an ordinary one.
        roster: the client numbers of that session, which the result must have too.
    """

    setup: bytes
    round: int
    state_id: bytes
    group: GroupKey = field(repr=False)
    header_hash: bytes = NOT_SUBMITTED
    origin: bytes = NO_SESSION
    roster: tuple[int, ...] = ()

    @property
    def sid(self) -> bytes:
        """The session's id."""
        return session_id(self.setup, self.round, self.state_id)

    @property
    def chain(self) -> bytes:
        """The first session of its chain, as in the ledger."""
        return self.sid if self.origin == NO_SESSION else self.origin

    @property
    def submitted(self) -> bool:
        """Whether this client's update may be in its sum."""
        return self.header_hash != NOT_SUBMITTED


@dataclass(frozen=True, slots=True)
class ClientMemory:
    """A client's durable state in one task.

    Attributes:
        version: how many memories came before this one.
        group: the group key of the current set-up; secret.
        chains: key chains, one for each aggregator; secret.
        sealed_hashes: what its headers name, one for each aggregator.
        state: the training state that it holds, its only head.
        started: every set-up that it ever started; none of them is started again.
        followed: sessions from that state whose end it does not know.
        last_round: the last round that it followed in the current set-up, -1 before the first.
        accepted: the session that led to the current state, if this client checked it.
    """

    version: int
    group: GroupKey = field(repr=False)
    chains: tuple[KeyChain, ...] = field(repr=False)
    sealed_hashes: tuple[bytes, ...]
    state: TrainingState
    started: frozenset[bytes]
    followed: tuple[FollowedSession, ...] = ()
    last_round: int = -1
    accepted: FollowedSession | None = None

    def next(self, **changes: Any) -> ClientMemory:
        """The memory after this one."""
        return replace(self, version=self.version + 1, **changes)

    def session(self, sid: bytes) -> FollowedSession | None:
        """The session whose result may still be accepted, if this client follows it."""
        return next((session for session in self.followed if session.sid == sid), None)

    @property
    def state_id(self) -> bytes:
        """The id of its training state in the current set-up."""
        return self.group.state_id(self.state.digest)

    def to_bytes(self) -> bytes:
        """For the client's own store."""
        return _dump(
            {
                "version": self.version,
                "group": _dump_group(self.group),
                "chains": [_dump_chain(chain) for chain in self.chains],
                "sealed_hashes": [value.hex() for value in self.sealed_hashes],
                "state": [self.state.digest.hex(), self.state.weights.hex(), self.state.counter],
                "started": sorted(setup.hex() for setup in self.started),
                "followed": [_dump_followed(session) for session in self.followed],
                "last_round": self.last_round,
                "accepted": None if self.accepted is None else _dump_followed(self.accepted),
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
            digest, weights, counter = table["state"]
            return cls(
                version=int(table["version"]),
                group=_load_group(table["group"]),
                chains=tuple(_load_chain(chain) for chain in table["chains"]),
                sealed_hashes=tuple(bytes.fromhex(value) for value in table["sealed_hashes"]),
                state=TrainingState(bytes.fromhex(digest), bytes.fromhex(weights), int(counter)),
                started=frozenset(bytes.fromhex(setup) for setup in table["started"]),
                followed=tuple(_load_followed(values) for values in table["followed"]),
                last_round=int(table["last_round"]),
                accepted=None if table["accepted"] is None else _load_followed(table["accepted"]),
            )


# Not "restore a backup": an older copy brings used keys back, and with them a second answer for one session.
_LOST: Final = "treat this store as lost; never restore an older copy"


def _dump(table: Mapping[str, Any]) -> bytes:
    return json.dumps(table, separators=(",", ":"), sort_keys=False).encode()


def _load_flag(value: object) -> bool:
    if not isinstance(value, bool):
        raise TypeError(f"{value!r} is neither true nor false")
    return value


def _dump_record(record: SessionRecord) -> list[Any]:
    voted = None if record.voted is None else [[client, value.hex()] for client, value in record.voted]
    return [
        record.setup.hex(), record.round, record.state_id.hex(), record.given_up, voted, record.rho.hex(),
        record.roster_size, record.salt.hex(), record.share_root.hex(), [value.hex() for value in record.commitments],
        record.result.hex(), record.finished,
    ]  # fmt: skip


def _load_record(values: list[Any]) -> SessionRecord:
    setup, number, state_id, given_up, voted, rho, size, salt, root, commitments, result, finished = values
    entries = None if voted is None else tuple((int(client), bytes.fromhex(value)) for client, value in voted)
    return SessionRecord(
        bytes.fromhex(setup), int(number), bytes.fromhex(state_id), _load_flag(given_up), entries, bytes.fromhex(rho),
        int(size), bytes.fromhex(salt), bytes.fromhex(root), tuple(bytes.fromhex(value) for value in commitments),
        bytes.fromhex(result), _load_flag(finished),
    )  # fmt: skip


def _dump_group(group: GroupKey) -> list[Any]:
    return [group.setup.hex(), group.key.hex(), group.sealed]


def _load_group(values: list[Any]) -> GroupKey:
    setup, key, sealed = values
    return GroupKey(bytes.fromhex(setup), bytes.fromhex(key), _load_flag(sealed))


def _dump_chain(chain: KeyChain) -> list[Any]:
    return [chain.next_round, chain.key.hex()]


def _load_chain(values: list[Any]) -> KeyChain:
    return KeyChain(int(values[0]), bytes.fromhex(values[1]))


def _dump_followed(session: FollowedSession) -> list[Any]:
    return [
        session.setup.hex(), session.round, session.state_id.hex(), _dump_group(session.group),
        session.header_hash.hex(), session.origin.hex(), list(session.roster),
    ]  # fmt: skip


def _load_followed(values: list[Any]) -> FollowedSession:
    setup, number, state_id, group, header_hash, origin, roster = values
    return FollowedSession(
        bytes.fromhex(setup), int(number), bytes.fromhex(state_id), _load_group(group), bytes.fromhex(header_hash),
        bytes.fromhex(origin), tuple(int(client) for client in roster),
    )  # fmt: skip


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
