"""Whatever the adversary does with what is in flight, with disks, processes and its own parties, the promises hold.

Random schedules over the whole network. Packets are dropped, delayed, reordered, replayed, altered, reflected and
replaced by different lies to different receivers. Parties die at any moment, with their disks or without; disks take
nothing; two handlers begin from one snapshot. The hub asks for rounds, closings, endings, repeats and set-ups under any
label at any time, shows vouchers, makes a second task of the same parties, and loses its disk. The honest aggregator
and the honest clients run the real state machines, which may raise nothing but errors of the project's tree. After
every schedule the judge (judging.py) holds everything that was said, opened and accepted against the invariant.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import replace
from unittest import mock

import pytest

from actors import MOMENTS, AggregatorActor
from client_actor import ClientActor
from coverage_table import CELLS
from disks import Disk
from doubles import Forgetful, LaxClient
from faults import WRITES
from privateyes.aggregation import aggregator, client, session_rules, setup
from privateyes.crypto.labels import Label, Role
from privateyes.crypto.statement import digest
from privateyes.parties import hub as hub_host
from schedules import Doubles, Schedules, remembered_signatures

GROUPS, SCHEDULES = 8, 250
"""2,000 schedules in ``make test``, in groups that can run side by side."""

REQUESTS = (
    "key", "bind", "stream", "start", "announce", "vote", "commit", "agree", "open", "certify", "finish", "closing",
    "give_up", "words", "seal", "lead", "group", "state", "observe", "submit", "again", "resend", "settle", "check",
    "disclose", "vouch", "give", "jump",
)  # fmt: skip
"""All that a party can be asked for."""

PACKET_FAULTS = ("drop", "late", "replay", "again", "twice", "alter", "reflect", "lie", "race")
DEATHS = (*MOMENTS, "failed", *(f"lost {moment}" for moment in MOMENTS))


@pytest.fixture(autouse=True)
def _remembered_signatures() -> Iterator[None]:
    with remembered_signatures():
        yield


def _require_no_broken_promise(schedules: Schedules, seeds: range) -> None:
    for seed in seeds:
        broken = schedules.run(seed)
        assert not broken, f"schedule {seed}: {'; '.join(dict.fromkeys(broken))}"
    for what in ("accepted", "stopped", "opened", "opened again", "void", "disclosed", "jumped", "task"):
        assert schedules.happened[what] > 0, f"the schedules are too tame or too wild: nothing {what}"
    met_steps, met_faults = ({cell[k] for cell in schedules.cells} for k in (0, 1))
    assert set(REQUESTS) <= met_steps
    assert {*PACKET_FAULTS, *DEATHS} <= met_faults


@pytest.mark.parametrize("group", range(GROUPS))
def test_no_schedule_breaks_a_promise(group, record_property) -> None:
    schedules = Schedules()
    _require_no_broken_promise(schedules, range(group * SCHEDULES, (group + 1) * SCHEDULES))
    record_property(CELLS, [[*cell, count] for cell, count in schedules.cells.items()])


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_no_schedule_breaks_a_promise_in_many_tries_which_meet_every_fault_at_every_step(record_property) -> None:
    schedules = Schedules()
    _require_no_broken_promise(schedules, range(10_000, 30_000))
    record_property(CELLS, [[*cell, count] for cell, count in schedules.cells.items()])
    assert not _never_met(schedules)


def _never_met(schedules: Schedules) -> list[tuple[str, str]]:
    """The cells that must be reachable, and were not reached."""
    cells = [(step, fault) for step in REQUESTS for fault in PACKET_FAULTS]
    cells += [(step, death) for steps in WRITES.values() for step in steps for death in DEATHS]
    return [cell for cell in cells if not schedules.cells[cell]]


# Guards that are off, one at a time


class Unsure(AggregatorActor):
    """A test double that does not look at what it said before: neither at its vote nor at its T."""

    def held(self):
        memory = super().held()
        record = memory.session
        if record is None or record.sid in memory.opened:
            return memory
        return replace(memory, session=replace(record, voted=record.voted if record.rho else None, commitments=()))

    def do_open(self, packet):
        self.held = super().held
        try:
            return super().do_open(packet)
        finally:
            del self.held


class Repentant(Forgetful):
    """A test double whose disk forgets that a session was given up."""

    loses = ("given up",)


class Returning(ClientActor):
    """A test double that goes on with an empty store."""

    returns_after_a_loss = True


@contextmanager
def _off(*patches: tuple[object, str, object]) -> Iterator[None]:
    with ExitStack() as stack:
        for target, name, double in patches:
            stack.enter_context(mock.patch.object(target, name, double))
        yield


def _by_label(manifest, epoch, leader, keys) -> bytes:
    """A set-up id as in version 1: of the label alone."""
    return digest(Label.SETUP_ID, Role.ALL, b"", manifest, epoch)


def _too_early(memory, request, sid) -> bool:
    return request.setup in memory.terminal or session_rules.is_closed(memory, request, sid)


TWO_SUMS = "two opened sums of different rosters|two different updates"
GUARDS: dict[str, tuple[str, Doubles, AbstractContextManager[None] | Callable[[], object], str]] = {
    "tags": ("rounds", Doubles(client_type=LaxClient), _off, "a wrong"),
    "fresh set-up ids": (
        "lost aggregator",
        Doubles(),
        lambda: _off((setup, "setup_id", _by_label), (hub_host, "setup_id", _by_label)),
        "opened a session that it called void",
    ),
    "the ledger": ("resubmission", Doubles(), lambda: _off((client, "require_unused", lambda rows: None)), TWO_SUMS),
    "a lost client is out": ("lost client", Doubles(client=Returning), _off, TWO_SUMS),
    "the opened roster of a repeat": (
        "sent again",
        Doubles(),
        lambda: _off((aggregator.Aggregator, "_knows", lambda *arguments: True)),
        TWO_SUMS,
    ),
    "compare and swap": (
        "two handlers",
        Doubles(),
        lambda: _off((Disk, "require_unchanged", lambda *arguments: None)),
        "two submissions to one session|two different|called void",
    ),
    "a durable end": ("given up", Doubles(aggregator=Repentant), _off, "opened a session that it called void"),
    "one word of each": ("asked otherwise", Doubles(aggregator=Unsure), _off, "two different (Vote|Agreement)"),
    "terminal is not void": (
        "terminal",
        Doubles(),
        lambda: _off((aggregator, "is_closed", _too_early)),
        "opened a session that it called void",
    ),
}
"""The plan that most schedules follow, who plays, what is off, and the promise that is then found broken."""


@pytest.mark.parametrize("guard", GUARDS)
def test_without_a_guard_some_schedule_breaks_its_promise(guard) -> None:
    plan, doubles, off, promise = GUARDS[guard]
    schedules = Schedules(doubles)
    with off():
        assert any(re.search(promise, "; ".join(schedules.run(seed, plan))) for seed in range(1000))
