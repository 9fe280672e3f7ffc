"""What may follow what: a data set's ledger, vouchers, and how an aggregator's sessions end.

Set-up ids, states and digests are only compared here, so that names do as well.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

Row = dict[str, Any]


def rows_here(rows: list[Row], key: str, data_set: str, weights: str) -> list[Row]:
    """The rows that stand in the way of a submission."""
    return [row for row in rows if row["weights"] == weights and (row["key"] == key or row["data_set"] == data_set)]


def may_submit(rows: list[Row], key: str, data_set: str, weights: str) -> bool:
    """A fresh update: only where every row is void."""
    return all(row["end"] == "void" for row in rows_here(rows, key, data_set, weights))


def _chain(row: Row) -> str:
    return str(row["origin"] or row["session"])


def may_repeat(rows: list[Row], origin: str, key: str, data_set: str, weights: str, manifest: str) -> bool:
    """The same update again: of the one chain that is not void, named by its first session, with the same key."""
    here = rows_here(rows, key, data_set, weights)
    first = [row for row in here if (row["session"], row["origin"], row["key"]) == (origin, None, key)]
    unsettled = {_chain(row) for row in here if row["end"] != "void"}
    return bool(first) and first[0]["manifest"] == manifest and unsettled == {origin}


def changed_by_end(rows: list[Row], session: str) -> list[int]:
    """The positions of the rows that a session's end changes: those that know of none yet."""
    return [at for at, row in enumerate(rows) if row["session"] == session and row["end"] == "unknown"]


def chain_is_void(rows: list[Row], chain: str) -> bool:
    """Whether the first session and all its repeats are."""
    return all(row["end"] == "void" for row in rows if _chain(row) == chain)


def enough_vouchers(vouchers: list[Row], client: int, wanted: tuple[Any, Any], clients: int, corrupt: int) -> bool:
    """One more than may be corrupt, of different clients of the task, others than the one that takes the state over.

    Args:
        wanted: the set-up and the state's id.
    """
    holders = {
        voucher["client"] for voucher in vouchers if (voucher["setup"], voucher["state_id"]) == wanted
    }  # fmt: skip
    return len({holder for holder in holders if 1 <= holder <= clients} - {client}) > corrupt


class Refused(Exception):  # noqa: N818 - a guard's answer, nothing went wrong
    """An aggregator's guard says no."""


@dataclass
class Session:
    """The last announced session."""

    setup: Any
    round: int
    state: Any
    words: set[str] = field(default_factory=set)
    given_up: bool = False

    @property
    def named(self) -> tuple[Any, int, Any]:
        """Set-up, round and state."""
        return self.setup, self.round, self.state


class Aggregator:
    """How sessions end at one aggregator whose messages are all in order; it only keeps what that depends on."""

    def __init__(self, setup: Any) -> None:
        self.current, self.started = setup, True
        self.terminal: dict[Any, bool] = {}
        self.last: Session | None = None
        self.opened: set[Any] = set()

    def bind(self, setup: Any, lost: bool = False) -> None:
        """Another set-up; ``lost`` for an aggregator without a memory."""
        if lost:
            self.terminal, self.last, self.opened = {}, None, set()
        else:
            self.terminal[self.current] = False
        self.current, self.started = setup, False

    def start(self) -> None:
        """Its keys are in place."""
        self.started = True

    def announce(self, setup: Any, number: int, state: Any) -> None:
        """Close all that came before."""
        last = self.last
        if setup != self.current or not self.started:
            raise Refused
        if last is not None and last.named == (setup, number, state):
            if last.given_up:
                raise Refused
            return
        if last is not None:
            if last.setup == setup and number <= last.round:
                raise Refused
            if "agree" in last.words and last.named not in self.opened and not last.given_up:
                raise Refused
        self.terminal = dict.fromkeys(self.terminal, True)
        self.last = Session(setup, number, state)

    def say(self, word: str) -> None:
        """vote, commit, agree or open in the last session, each after the one before."""
        order, last = ("vote", "commit", "agree", "open"), self.last
        if last is None or last.given_up or not set(order[: order.index(word)]) <= last.words:
            raise Refused
        if word in ("vote", "commit") and last.setup != self.current:
            raise Refused
        last.words.add(word)
        if word == "open":
            self.opened.add(last.named)

    def give_up(self, *named: Any) -> int:
        """The step of the protocol that the session had reached."""
        if named in self.opened or self.last is None or self.last.named != named:
            raise Refused
        self.last.given_up = True
        return 4 if "agree" in self.last.words else 3 if "commit" in self.last.words else 2

    def closing(self, setup: Any, number: int, state: Any) -> int:
        """1 if it opened that session, 0 if it never will."""
        if setup != self.current and setup not in self.terminal:
            raise Refused
        if (setup, number, state) in self.opened:
            return 1
        last = self.last
        if last is not None and last.setup == setup:
            closed = number < last.round or (last.named == (setup, number, state) and last.given_up)
        else:
            closed = self.terminal.get(setup, False)
        if not closed:
            raise Refused
        return 0
