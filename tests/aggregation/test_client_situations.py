"""Every (situation, request) pair of a client ends in what is legal there, or in an error that changes nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest

from privateyes.aggregation.client import (
    Changed,
    SubmissionSecrets,
    Submitted,
    Update,
    VerifiedAverage,
)
from privateyes.aggregation.ledger import LedgerEntry, SessionEnd
from privateyes.aggregation.memory import ClientMemory, TrainingState
from privateyes.aggregation.messages import (
    Complaint,
    Delivery,
    Disclosure,
    SealedState,
    Submission,
    Voucher,
)
from privateyes.aggregation.setup import ClientSetup
from privateyes.errors import PrivateyesError
from situations import damaged, require_client_successor
from world import World, state_after

FRESH = SubmissionSecrets(bytes(range(32)), bytes([3]) * 32)
LATER = TrainingState(bytes([7]) * 32, bytes([8]) * 32, 9)
EVERYWHERE = {"settle V", "settle S", "vouch", "give", "complain"}


class Situations:
    """Client 1 of three, with two aggregators.

    Session V was given up. Session S, of clients 1 and 2, was opened and refused; in R they send their updates again.

    Attributes:
        memories, ledgers: by situation.
        lists: announcements by round, closings by session.
        deliveries, kept: by session.
    """

    def __init__(self, mode: str) -> None:
        self.world = world = World(n=2, m=3, mode=mode)
        self.own = world.clients[1]
        self.memories: dict[str, ClientMemory] = {}
        self.ledgers: dict[str, list[LedgerEntry]] = {}
        self.lists: dict[str, list[Any]] = {}
        self.deliveries: dict[str, Delivery] = {}
        self.kept: dict[str, Any] = {}
        self._note("fresh")
        self._announce("0", watch="watching V")
        world.submit_all()
        self._note("submitted to V", kept="V")
        world.give_up()
        self._announce("1")
        self.lists["V"] = world.closings(0)
        for i in world.clients:
            world.settle(i, self.lists["V"])
        self._note("settled V")
        world.submit_all(1, 2)
        self._note("submitted to S", kept="S")
        world.finish()
        self.deliveries["S"], self.origin, self.commitments = world.delivery, world.origin, world.commitments
        self._announce("2", watch="watching R")
        self.lists["S"] = world.closings(1)
        self._send_again()
        self._note("sent again", kept="R")
        for name, session in (("accepted S", "S"), ("accepted R", "R")):
            self._accept(name, session)
        self._set_up()

    def _note(self, name: str, kept: str = "") -> None:
        self.memories[name], self.ledgers[name] = self.world.client_memories[1], list(self.world.ledgers[1])
        if kept:
            self.kept[kept] = self.world.kept[1].with_update(self.world.encoded_updates[1])

    def _announce(self, name: str, watch: str = "") -> None:
        self.world.announce()
        self.lists[name] = list(self.world.announcements)
        if watch:
            memory = self.world.client_memories[1]
            self.memories[watch] = self.own.observe(memory, self.lists[name])
            self.ledgers[watch] = list(self.world.ledgers[1])

    def _send_again(self) -> None:
        world = self.world
        for i in (1, 2):
            world.submit_again(i, self.origin, self.commitments)
        world.vote(origin=self.origin)
        world.commit(origin=self.origin)
        for step in (world.agree, world.open, world.certify):
            step()
        self.deliveries["R"] = world.deliver()

    def _accept(self, name: str, session: str) -> None:
        changed = self.ask(f"accept {session}", "sent again")
        ended = {entry.sid: entry for entry in changed.entries}
        self.memories[name] = changed.memory
        self.ledgers[name] = [ended.get(entry.sid, entry) for entry in self.ledgers["sent again"]]

    def _set_up(self) -> None:
        """Another set-up, started from each situation in which anything is followed, and from some others."""
        world, memories = self.world, dict(self.memories)
        world.client_memories[1] = memories["fresh"]
        world.set_up()
        keys = world.client_memories[1]
        for name in ("submitted to V", "settled V", "submitted to S", "watching R", "sent again", "accepted R"):
            started = memories[name].next(
                group=keys.group, chains=keys.chains, sealed_hashes=keys.sealed_hashes, last_round=-1,
                started=memories[name].started | keys.started,
            )  # fmt: skip
            self.memories[f"{name}, next set-up"], self.ledgers[f"{name}, next set-up"] = started, self.ledgers[name]
        world.client_memories[1] = self.memories["settled V, next set-up"]
        self._announce("next")

    def ask(self, request: str, situation: str, messages: Any = None, **given: Any) -> Any:
        """A request with what is right for it, or with something else."""
        what, _, name = request.partition(" ")
        own, memory, ledger = self.own, self.memories[situation], given.get("ledger", self.ledgers[situation])
        listed = self.lists.get(name, []) if messages is None else messages
        delivery = messages if isinstance(messages, Delivery) else self.deliveries.get(name)
        kept, source = given.get("kept", self.kept.get("S")), given.get("source", (self.origin, self.commitments))
        update = Update(self.world.delta(1), 2)
        calls: dict[str, Callable[[], Any]] = {
            "observe": lambda: own.observe(memory, listed),
            "submit": lambda: own.submit(memory, ledger, listed, update, FRESH, lambda piece: None),
            "again": lambda: own.submit_again(memory, ledger, listed, kept, FRESH.nonce, source),
            "resend": lambda: own.resend(memory, self.kept[name]),
            "check": lambda: own.check(memory, delivery),
            "accept": lambda: self._accepted(memory, ledger, delivery, given.get("counter", 1)),
            "settle": lambda: own.settle(memory, ledger, listed),
            "disclose": lambda: own.disclose(memory, delivery),
            "vouch": lambda: own.vouch(memory),
            "give": lambda: own.give_state(memory, self._newcomer(memory), b"", lambda data: memory.state),
            "jump": lambda: own.jump(memory, self._vouchers(memory), LATER),
            "complain": lambda: own.complain(self.deliveries["S"].sid, 5),
        }
        return calls[what]()

    def _accepted(self, memory: ClientMemory, ledger: list[LedgerEntry], delivery: Delivery, counter: int) -> Changed:
        average = VerifiedAverage(delivery.sid, np.zeros(1), 2, (1, 2), True)
        state = replace(state_after(memory.state, b"x"), counter=memory.state.counter + counter)
        return self.own.accept(memory, ledger, average, state)

    def _newcomer(self, memory: ClientMemory) -> Any:
        newcomer = ClientSetup(self.world.manifest, 3, self.world.client_keys[3])
        newcomer._setup = memory.group.setup
        return newcomer.key()

    def _vouchers(self, memory: ClientMemory) -> list[Voucher]:
        return [self.world.clients[i].vouch(replace(memory, state=LATER)) for i in (2, 3)]


REQUESTS = [
    *(f"{what} {name}" for what in ("observe", "submit", "again") for name in ("0", "1", "2", "next")),
    *(f"resend {name}" for name in ("V", "S", "R")),
    *(f"{what} {name}" for what in ("check", "accept", "disclose") for name in ("S", "R")),
    "settle V", "settle S", "vouch", "give", "jump", "complain",
]  # fmt: skip

WAITS_FOR_S = "resend S, check S, accept S, disclose S"
WAITS_FOR_R = f"{WAITS_FOR_S}, resend R, check R, accept R, disclose R"
LEGAL = {
    "fresh": "observe 0, observe 1, observe 2, submit 0, submit 1, submit 2",
    "watching V": "observe 1, observe 2, submit 1, submit 2",
    "submitted to V": "observe 1, observe 2, resend V",
    "settled V": "observe 1, observe 2, submit 1, submit 2",
    "submitted to S": f"observe 2, again 2, {WAITS_FOR_S}",
    # It is listed in R, and did not submit to it: only the others may accept that.
    "watching R": f"{WAITS_FOR_S}, accept R, disclose R",
    "sent again": WAITS_FOR_R,
    "accepted S": "disclose S, resend S",
    "accepted R": "disclose R, resend R",
    "submitted to V, next set-up": "observe next, resend V",
    "settled V, next set-up": "observe next, submit next",
    "submitted to S, next set-up": f"observe next, again next, {WAITS_FOR_S}",
    "watching R, next set-up": f"observe next, again next, {WAITS_FOR_S}, accept R, disclose R",
    "sent again, next set-up": f"observe next, again next, {WAITS_FOR_R}",
    "accepted R, next set-up": "disclose R, resend R",
}
GIVES = {
    "observe": ClientMemory, "submit": Submitted, "again": Submitted, "resend": Submission, "check": VerifiedAverage,
    "accept": Changed, "settle": Changed, "disclose": Disclosure, "vouch": Voucher, "give": SealedState,
    "jump": ClientMemory, "complain": Complaint,
}  # fmt: skip


@pytest.fixture(scope="module", params=["sealed", "public"])
def situations(request) -> Situations:
    """Both modes; nobody changes one."""
    return Situations(request.param)


def _attempt(situations: Situations, request: str, situation: str, *messages: Any, **given: Any) -> Any:
    """A request; its outcome, or the error of the project's tree that it ended with. Nothing else may escape."""
    memory = situations.memories[situation]
    before = memory.to_bytes()
    try:
        outcome = situations.ask(request, situation, *messages, **given)
    except PrivateyesError as error:
        outcome = error
    assert memory.to_bytes() == before, "a transition changes no memory; it gives a new one"
    after = outcome if isinstance(outcome, ClientMemory) else getattr(outcome, "memory", None)
    if after is not None and after is not memory:
        require_client_successor(memory, after)
    return outcome


def _may(situations: Situations, request: str, situation: str) -> bool:
    public = not situations.world.manifest.sealed
    if request == "jump" or request.startswith("disclose"):
        return public and (request == "jump" or request in LEGAL[situation].split(", "))
    return request in EVERYWHERE or request in LEGAL[situation].split(", ")


@pytest.mark.parametrize("request_name", REQUESTS)
def test_what_is_right_is_done_in_the_situations_where_it_may_be(situations, request_name) -> None:
    assert set(situations.memories) == set(LEGAL)
    for situation in LEGAL:
        outcome = _attempt(situations, request_name, situation)
        refused = isinstance(outcome, PrivateyesError)
        assert refused != _may(situations, request_name, situation), f"{request_name} when {situation}: {outcome!r}"
        if not refused:
            assert isinstance(outcome, GIVES[request_name.partition(" ")[0]])


@pytest.mark.parametrize("name", ["V", "S", "R"])
def test_bytes_that_leave_again_are_those_that_left(situations, name) -> None:
    for situation in LEGAL:
        outcome = _attempt(situations, f"resend {name}", situation)
        if not isinstance(outcome, PrivateyesError):
            assert outcome.header == situations.kept[name].header
    sent = {own.header.share_hash for own in situations.kept.values()}
    assert len(sent) == 3


@pytest.mark.parametrize("what", ["observe", "submit", "again", "settle"])
def test_nothing_is_done_on_a_list_that_is_not_right(situations, what) -> None:
    """Announcements and closings: one of every aggregator, signed, of one thing."""
    names = ("V", "S") if what == "settle" else ("0", "1", "2", "next")
    for situation in LEGAL:
        for name in names:
            request = f"{what} {name}"
            others = {other: found for other, found in situations.lists.items() if other != name}
            right = _attempt(situations, request, situation)
            for label, found in damaged(situations.lists[name], others).items():
                if label.endswith(" instead"):  # which may be right in its own place
                    continue
                outcome = _attempt(situations, request, situation, found)
                is_error = isinstance(outcome, PrivateyesError)
                assert is_error if label != "reversed" else is_error == isinstance(right, PrivateyesError)


def _deliveries(delivery: Delivery) -> Iterator[Delivery]:
    for one in fields(delivery):
        value = getattr(delivery, one.name)
        if isinstance(value, bytes):
            yield replace(delivery, **{one.name: bytes(32)})
        elif one.name != "share":
            for other in ((), value[:-1], (*value, value[-1]), value[::-1]):
                yield replace(delivery, **{one.name: other})
    share = np.array(delivery.share)
    share[-1] ^= 1
    yield replace(delivery, share=share)


@pytest.mark.parametrize("what", ["check", "disclose"])
def test_no_altered_delivery_is_taken(situations, what) -> None:
    for situation in LEGAL:
        for name, delivery in situations.deliveries.items():
            for altered in _deliveries(delivery):
                assert isinstance(_attempt(situations, f"{what} {name}", situation, altered), PrivateyesError)


def test_an_update_leaves_only_where_the_ledger_says_that_it_may(situations) -> None:
    """Whatever else the memory says: the rows decide, of a key's own tasks and of every other."""
    rows = situations.ledgers["submitted to S"]
    assert [row.end for row in rows] == [SessionEnd.VOID, SessionEnd.UNKNOWN]
    for end in SessionEnd:
        ledger = [replace(row, end=end) for row in rows]
        for situation, name in (("settled V", "1"), ("settled V, next set-up", "next")):
            outcome = _attempt(situations, f"submit {name}", situation, ledger=ledger)
            assert isinstance(outcome, Submitted) == (end is SessionEnd.VOID)
        for situation, name in (("submitted to S", "2"), ("submitted to S, next set-up", "next")):
            outcome = _attempt(situations, f"again {name}", situation, ledger=[rows[0], replace(rows[1], end=end)])
            assert isinstance(outcome, Submitted) == (end is not SessionEnd.VOID)
