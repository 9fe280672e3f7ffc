"""The points of a round at one aggregator and what a transition between them returns; aggregator.py has the rest.

A state is used once, by the one transition that it is for. A transition that raises ends the session: the state's
secrets are erased on the way out. Python can overwrite an array that it owns; of a ``bytes`` object it can only drop
its own reference (docs/threat-model.md, "Erasure").
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Generic, TypeVar

from privateyes.aggregation.memory import AggregatorMemory
from privateyes.aggregation.messages import Header, Signed
from privateyes.aggregation.roster import Entries
from privateyes.crypto.commitment import commit_to_share
from privateyes.crypto.field import Elements
from privateyes.errors import RefusedError

S = TypeVar("S", bound="State")
M = TypeVar("M", bound=Signed)


class State:
    """One point of a round at one aggregator. Using it a second time is refused: that is how one session never gets two
    answers.
    """

    __slots__ = ("_used",)

    def __init__(self) -> None:
        self._used = False

    def __repr__(self) -> str:
        return f"{type(self).__name__}({'used' if self._used else 'unused'})"

    def erase(self) -> None:
        """Overwrite or drop what is secret; most states hold nothing secret."""

    def use(self) -> None:
        """Mark this state as used.

        Raises:
            RefusedError: it was used before.
        """
        if self._used:
            raise RefusedError(
                f"the state {type(self).__name__} of this session was used already", "announce a new round"
            )
        self._used = True


@contextmanager
def using(state: S, kind: type[S]) -> Iterator[None]:
    """Use a state for the transition inside; if that raises, the session is over here and its secrets are erased.

    Raises:
        RefusedError: the state is of another point of the round, or was used before.
    """
    if not isinstance(state, kind):
        raise RefusedError(
            f"this step follows {kind.__name__}, and the session is at {type(state).__name__}",
            "take the steps in order",
        )
    state.use()
    try:
        yield
    except BaseException:
        state.erase()
        raise


@dataclass(frozen=True, slots=True)
class Step(Generic[S, M]):
    """The outcome of a transition.

    Attributes:
        state: the next state.
        message: for everyone; the hub relays it.
        memory: to be stored, together with the state, before the message is sent; None where nothing durable changes.
    """

    state: S
    message: M
    memory: AggregatorMemory | None = None


class Announced(State):
    """The round is announced; earlier sessions are closed."""

    __slots__ = ("sid",)

    def __init__(self, sid: bytes) -> None:
        super().__init__()
        self.sid = sid


class Voted(State):
    """This aggregator said which headers are valid; ``entries`` are those with their hashes."""

    __slots__ = ("entries", "headers", "rejected", "sid")

    def __init__(
        self, sid: bytes, headers: Mapping[int, Header], entries: Entries, rejected: Mapping[int, str]
    ) -> None:
        super().__init__()
        self.sid, self.headers, self.entries, self.rejected = sid, headers, entries, rejected


class Committed(State):
    """Roster and commitment are signed. Holds Z_s and the salt, which nobody else may see yet."""

    __slots__ = ("commitment", "entries", "rho", "salt", "share", "share_root", "sid")

    def __init__(
        self, sid: bytes, entries: Entries, rho: bytes, salt: bytes, aggregator: int, share: Elements, share_root: bytes
    ) -> None:
        super().__init__()
        self.sid, self.entries, self.rho = sid, entries, rho
        self.salt, self.share, self.share_root = salt, share, share_root
        self.commitment = commit_to_share(sid, rho, aggregator, salt, share.nbytes, share_root)

    def erase(self) -> None:
        """Overwrite Z_s and drop the salt."""
        self.share.fill(0)
        self.salt = b""


class Agreed(State):
    """T is signed: this session will be opened under these commitments or never."""

    __slots__ = ("commitments", "committed", "transcript")

    def __init__(self, committed: Committed, commitments: tuple[bytes, ...], transcript: bytes) -> None:
        super().__init__()
        self.committed, self.commitments, self.transcript = committed, commitments, transcript

    def erase(self) -> None:
        """Overwrite Z_s and drop the salt."""
        self.committed.erase()


class Opened(State):
    """Z_s has been sent."""

    __slots__ = ("agreed",)

    def __init__(self, agreed: Agreed) -> None:
        super().__init__()
        self.agreed = agreed

    def erase(self) -> None:
        """Overwrite Z_s and drop the salt: the opening may not have left yet."""
        self.agreed.erase()


class Certified(State):
    """The result is signed; the session is over."""

    __slots__ = ("sid",)

    def __init__(self, sid: bytes) -> None:
        super().__init__()
        self.sid = sid
