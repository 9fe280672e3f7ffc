"""A task whose process dies at any write, with its store in one folder or in three mirrors of which one may then be
lost: the resumed run ends in the same bytes, and no party ever said two things.
"""

from __future__ import annotations

import shutil
from collections import defaultdict
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from failing_disks import Fuse, Killed, kill, lose
from local_task import dying_before
from privateyes.aggregation.messages import (
    VOID,
    Agreement,
    Announcement,
    Closing,
    Header,
    Opening,
    ResultSignature,
    RosterCommitment,
    Submission,
    Vote,
)
from privateyes.aggregation.privacy_section import Privacy
from privateyes.crypto.field import COMPACT, WIDE
from privateyes.encoding.fixed_point import FixedPoint
from privateyes.engines.local import continuing, parties
from privateyes.engines.local.message_log import MessageLog
from privateyes.engines.local.misbehaviour import AlteringAggregator
from privateyes.engines.local.parties import SecurePlan
from privateyes.engines.local.secure import SecureExchange
from privateyes.errors import AbortError
from privateyes.federation.participants import ClientUpdate
from privateyes.federation.rounds import ServerState
from privateyes.federation.server_step import FedAvg
from privateyes.parties.packets import Packet
from privateyes.storage.store import PartyStore
from taking_part import taking_part

pytestmark = pytest.mark.usefixtures("copied_stores")

NAMES, D = ("a", "b", "c"), 7
TWO = SecurePlan(NAMES, D, 2, FixedPoint(COMPACT, 1.0, 12, 20, 3), 2, privacy=Privacy(1.0))
THREE = SecurePlan(NAMES, D, 3, FixedPoint(WIDE, 1.0, 12, 20, 3), 2, privacy=Privacy(1.0))


def updates_of(round_index: int) -> list[ClientUpdate]:
    random = np.random.default_rng(round_index)
    return [
        ClientUpdate(name, 2 + index, random.normal(0, 0.6, D).astype(np.float32), 0.0)
        for index, name in enumerate(NAMES)
    ]


@dataclass
class Run:
    """A run that dies and is resumed.

    Attributes:
        folder: the task's.
        plan: the task.
        rounds: after which it is over.
        mirrors: where its store is, if not in the folder.
        state: the last one that was handed over, from which a resumed run begins.
        details: of the last round.
    """

    folder: Path
    plan: SecurePlan = TWO
    rounds: int = 2
    mirrors: tuple[Path, ...] = ()
    state: ServerState = field(default_factory=lambda: ServerState(np.zeros(D, np.float32)))
    details: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def mirrored(cls, folder: Path, **changes: Any) -> Run:
        return cls(folder, mirrors=tuple(folder / name for name in "xyz"), **changes)

    def go_on(self) -> None:
        """Rounds until it is over, or dead."""
        opened = list[PartyStore]()
        with pytest.MonkeyPatch.context() as patched:
            start = PartyStore.__init__

            def noted(store: PartyStore, *folders: Path) -> None:
                start(store, *folders)
                opened.append(store)

            patched.setattr(PartyStore, "__init__", noted)
            try:
                exchange = SecureExchange(self.plan, FedAvg(), self.folder, 5, threads=1, mirrors=self.mirrors)
                while self.state.round < self.rounds:
                    self.state, report = exchange.exchange(self.state, taking_part(updates_of(self.state.round)))
                    self.details = dict(report.details)
            finally:
                for store in opened:
                    kill(store)


@pytest.fixture
def fuse(monkeypatch: pytest.MonkeyPatch) -> Fuse:
    fuse = Fuse()
    fuse.at_every_write(monkeypatch)
    return fuse


Words = dict[Any, set[Any]]


@pytest.fixture
def spoken(monkeypatch: pytest.MonkeyPatch) -> Words:
    """Every signed message that ever crossed the wire, by type, session and speaker."""
    words = defaultdict[Any, set[Any]](set)
    carry = MessageLog.carry

    def listening(self: MessageLog, packet: Packet) -> Packet:
        for message in packet.parts:
            listen(message)
        return carry(self, packet)

    def listen(message: Any) -> None:
        match message:
            case Submission():
                words[Header, message.header.sid, message.header.client].add(message.header.to_bytes())
            case RosterCommitment() | Agreement() | Opening() | ResultSignature() | Vote():
                words[type(message), message.sid, message.aggregator].add(message.to_bytes())
            case Closing():
                words[Closing, message.sid, message.aggregator].add(message.outcome)
            case Header():
                words[Header, message.sid, message.client].add(message.to_bytes())
            case Announcement():
                words[Announcement, (message.setup, message.round), message.aggregator].add(message.to_bytes())

    monkeypatch.setattr(MessageLog, "carry", listening)
    return words


def require_one_voice(words: Words) -> None:
    assert words
    assert all(len(said) == 1 for said in words.values())
    for kind, sid, speaker in words:
        if kind is Closing and words[Closing, sid, speaker] == {VOID}:
            assert (Opening, sid, speaker) not in words


def in_peace(fuse: Fuse, run: Run) -> tuple[Run, int]:
    """The run as it ends if nobody dies, and how many steps it takes."""
    before = fuse.steps
    run.go_on()
    return run, fuse.steps - before


def play(fuse: Fuse, run: Run, kills: tuple[int, ...], lost: int | None = None) -> None:
    """Die at these steps, one after another, lose a disk after the first; then end in peace."""
    for place, step in enumerate(kills):
        fuse.left = step
        with pytest.raises(Killed) if place == 0 else suppress(Killed):
            run.go_on()
        fuse.left = -1
        if lost is not None and place == 0:
            lose(run.mirrors[lost])
    run.go_on()


def require_same_end(run: Run, expected: Run, words: Words) -> None:
    assert run.state.vector.tobytes() == expected.state.vector.tobytes()
    assert run.state.round == expected.state.round
    require_one_voice(words)


@pytest.mark.parametrize("plan", [TWO, THREE], ids=["2-compact", "3-wide"])
def test_a_kill_at_any_write_changes_neither_the_result_nor_what_was_said(tmp_path, fuse, spoken, plan) -> None:
    expected, steps = in_peace(fuse, Run(tmp_path / "peace", plan))
    assert steps > 100
    for step in range(0, steps, 2 if plan is TWO else 11):
        spoken.clear()
        run = Run(tmp_path / f"{step}", plan)
        play(fuse, run, (step,))
        require_same_end(run, expected, spoken)


def test_a_second_kill_during_the_recovery_changes_nothing_either(tmp_path, fuse, spoken) -> None:
    expected, steps = in_peace(fuse, Run(tmp_path / "peace", rounds=1))
    for step in range(3, steps, 9):
        spoken.clear()
        run = Run(tmp_path / f"{step}", rounds=1)
        play(fuse, run, (step, step * 7 % 20))
        require_same_end(run, expected, spoken)


def test_with_mirrors_too_whichever_of_the_disks_is_lost_afterwards(tmp_path, fuse, spoken) -> None:
    expected, steps = in_peace(fuse, Run.mirrored(tmp_path / "peace"))
    assert steps > 300
    for number, step in enumerate(range(0, steps, 13)):
        spoken.clear()
        run = Run.mirrored(tmp_path / f"{step}")
        play(fuse, run, (step,), lost=number % 3)
        require_same_end(run, expected, spoken)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_at_every_write_of_every_mirror_with_every_fate_of_the_disks_and_again_in_the_recovery(
    tmp_path, fuse, spoken
) -> None:
    expected, steps = in_peace(fuse, Run.mirrored(tmp_path / "peace"))
    for step in range(steps):
        for number, lost in enumerate((None, 0, 1, 2)):
            spoken.clear()
            run = Run.mirrored(tmp_path / f"{step} {lost}")
            play(fuse, run, (step, step * 7 % 40) if step % 4 == number else (step,), lost)
            require_same_end(run, expected, spoken)
            lose(run.folder)


def test_an_opened_session_is_finished_and_the_clipped_coordinates_are_still_known(tmp_path, fuse) -> None:
    expected, _ = in_peace(fuse, Run(tmp_path / "peace", rounds=1))
    run = Run(tmp_path / "killed", rounds=1)

    with dying_before("certify"), pytest.raises(Killed):
        run.go_on()
    run.go_on()
    assert expected.details["saturated"] > 0
    assert expected.details["shortened"] > 0
    for key in ("sid", "saturated", "shortened", "roster", "total_weight", "deviation"):
        assert (run.details[key] == expected.details[key]) is (key != "sid")


# Sent again


@pytest.fixture
def decided(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """A run whose second round was refused, as an aggregator altered its share, and is to be sent again."""
    run = Run(tmp_path / "decided", rounds=1)
    run.go_on()
    run.rounds = 2
    with monkeypatch.context() as patched:
        patched.setattr(parties, "Aggregator", AlteringAggregator)
        with pytest.raises(AbortError, match="privateyes task continue"):
            run.go_on()
    continuing.send_again(run.folder)
    return run


def resumed(run: Run, name: str) -> Run:
    """The same run in a copy of its folder."""
    copied = replace(run, folder=run.folder.with_name(name))
    shutil.copytree(run.folder, copied.folder)
    return copied


def test_a_session_that_is_sent_again_and_killed_at_any_write_ends_as_was_decided(fuse, spoken, decided) -> None:
    expected, steps = in_peace(fuse, resumed(decided, "peace"))
    assert steps > 50
    for step in range(0, steps, 2):
        spoken.clear()
        run = resumed(decided, f"{step}")
        play(fuse, run, (step,))
        require_same_end(run, expected, spoken)
        assert continuing.look(run.folder) is None


def test_whenever_it_is_killed_what_waits_is_told_right(fuse, decided) -> None:
    """Until something is opened the decision stands; then it is used up, and the run simply goes on."""
    _, steps = in_peace(fuse, resumed(decided, "peace"))
    told = []
    for step in range(0, steps, 2):
        run = resumed(decided, f"{step}")
        fuse.left = step
        with suppress(Killed):
            run.go_on()
        fuse.left = -1
        found = continuing.look(run.folder)
        assert found is None or found.asked_again
        told.append(found is None)
    assert told == sorted(told)
    assert set(told) == {False, True}
