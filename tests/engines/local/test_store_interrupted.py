"""A kill or a power cut at any write of the store: what every party remembers is the state before or after a
transaction, and never a mixture; a torn file of a large body opens nothing.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from failing_disks import Killed
from local_task import dying_before
from privateyes.crypto.field import COMPACT
from privateyes.encoding.fixed_point import FixedPoint
from privateyes.engines.local import secure
from privateyes.engines.local.parties import SecurePlan
from privateyes.engines.local.secure import SecureExchange
from privateyes.errors import RunDirectoryError
from privateyes.federation.participants import ClientUpdate
from privateyes.federation.rounds import ServerState
from privateyes.federation.server_step import FedAvg
from privateyes.storage import places
from privateyes.storage.mirror import BODIES_NAME, STORE_NAME
from privateyes.storage.store import PartyStore
from taking_part import taking_part

D = 40
PLAN = SecurePlan(("a", "b", "c"), D, 2, FixedPoint(COMPACT, 1.0, 12, 20, 3), roster_min=3)
TABLES = ("task", "memory", "stage", "large", "accepted", "ledger", "mirror")
FRAME_HEADER, WAL_HEADER, PAGE = 24, 32, 4096
FRAME = FRAME_HEADER + PAGE

Rows = dict[str, list[tuple[Any, ...]]]


def updates() -> list[ClientUpdate]:
    random = np.random.default_rng(1)
    return [ClientUpdate(name, 5, random.normal(0, 0.3, D).astype(np.float32), 0.0) for name in PLAN.clients]


def start() -> ServerState:
    return ServerState(np.zeros(D, np.float32))


def run(directory: Path) -> ServerState:
    with closing(SecureExchange(PLAN, FedAvg(), directory, seed=5)) as exchange:
        return exchange.exchange(start(), taking_part(updates()))[0]


def rows_of(connection: sqlite3.Connection) -> Rows:
    return {table: sorted(connection.execute(f"SELECT * FROM {table}")) for table in TABLES}  # noqa: S608 - from above


def rows_in(folder: Path, database: bytes, journal: bytes) -> Rows:
    """What a process finds that starts with these two files, as a kill or a power cut left them."""
    folder.mkdir(exist_ok=True)
    for file in folder.iterdir():
        file.unlink()
    (folder / "x.sqlite").write_bytes(database)
    (folder / "x.sqlite-wal").write_bytes(journal)
    with closing(sqlite3.connect(folder / "x.sqlite")) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        return rows_of(connection)


@dataclass
class Moment:
    """The store's files and rows right after a transaction, or around a folding of the journal."""

    what: str
    database: bytes
    journal: bytes
    rows: Rows


class RecordingStore(PartyStore):
    """Keeps a copy of its files after everything that reached the disk."""

    moments: list[Moment]

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._path = folder / STORE_NAME
        self._note("opened")

    def _note(self, what: str) -> None:
        journal = self._path.with_name(f"{self._path.name}-wal").read_bytes()
        RecordingStore.moments.append(Moment(what, self._path.read_bytes(), journal, rows_of(self._connection)))

    @contextmanager
    def transaction(self) -> Iterator[None]:
        with super().transaction():
            yield
        self._note("transaction")

    def amend_report(self, report: str) -> None:
        super().amend_report(report)
        self._note("transaction")

    def fold_journal(self) -> None:
        self._note("before folding")
        super().fold_journal()
        self._note("folded")


@pytest.fixture(scope="module")
def moments(tmp_path_factory: pytest.TempPathFactory) -> list[Moment]:
    """Two sessions, the first of which ends void, so that erasing is among what is interrupted."""
    RecordingStore.moments = []
    with pytest.MonkeyPatch.context() as patched:
        for module in (secure, places):
            patched.setattr(module, "PartyStore", RecordingStore)
        directory = tmp_path_factory.mktemp("recorded")
        with closing(SecureExchange(PLAN, FedAvg(), directory, seed=5)) as exchange:
            full = RunDirectoryError("the disk is full")
            with dying_before("agree", full), pytest.raises(RunDirectoryError):
                exchange.exchange(start(), taking_part(updates()))
            exchange.exchange(start(), taking_part(updates()))
    return RecordingStore.moments


def transactions(moments: list[Moment]) -> Iterator[tuple[Moment, Moment]]:
    """Each transaction that wrote something, with the moment before it in the same journal."""
    for before, after in pairwise(moments):
        if after.what == "transaction" and len(after.journal) > len(before.journal):
            assert after.journal.startswith(before.journal)
            assert after.database == before.database
            yield before, after


def test_the_recorded_sessions_have_every_kind_of_transaction(moments: list[Moment]) -> None:
    pairs = list(transactions(moments))
    assert len(pairs) >= 9
    assert [moment.what for moment in moments].count("folded") >= 2
    for table in TABLES:
        assert any(before.rows[table] != after.rows[table] for before, after in pairs)
    assert any(before.rows["large"] and not after.rows["large"] for before, after in pairs)
    kept = [[[row for row in moment.rows["stage"] if row[2] == "kept"] for moment in pair] for pair in pairs]
    assert any(before and not after for before, after in kept)
    assert any(len(after.journal) - len(before.journal) > 3 * FRAME for before, after in pairs)


def test_a_journal_cut_at_any_frame_and_inside_every_frame_is_the_state_before(
    moments: list[Moment], tmp_path: Path
) -> None:
    cases = 0
    for before, after in transactions(moments):
        first, last = len(before.journal), len(after.journal)
        cuts = {first, *range(max(first, WAL_HEADER), last, FRAME)}
        cuts |= {cut + inside for cut in cuts for inside in (1, 7, FRAME_HEADER, FRAME_HEADER + 2049, FRAME - 1)}
        for cut in sorted(cut for cut in cuts if first <= cut < last):
            assert rows_in(tmp_path / "x", before.database, after.journal[:cut]) == before.rows
            cases += 1
        assert rows_in(tmp_path / "x", before.database, after.journal) == after.rows
        assert before.rows != after.rows
    assert cases > 200


def test_a_journal_whose_writes_reached_the_disk_in_any_order_is_the_state_before(
    moments: list[Moment], tmp_path: Path
) -> None:
    for before, after in transactions(moments):
        first = max(len(before.journal), WAL_HEADER)
        for frame in range(first, len(after.journal), FRAME):
            for start_at, stop_at in (
                (frame, frame + FRAME),
                (frame + 100, frame + 101),
                (frame + 3000, frame + FRAME),
            ):
                torn = bytearray(after.journal)
                torn[start_at:stop_at] = bytes(byte ^ 0x5A for byte in torn[start_at:stop_at])
                assert rows_in(tmp_path / "x", before.database, bytes(torn)) == before.rows
                torn[start_at:stop_at] = bytes(stop_at - start_at)
                assert rows_in(tmp_path / "x", before.database, bytes(torn)) in (before.rows, after.rows)


def test_a_folding_that_is_interrupted_anywhere_changes_nothing(moments: list[Moment], tmp_path: Path) -> None:
    cases = 0
    for before, after in pairwise(moments):
        if after.what != "folded" or before.database == after.database:
            continue
        assert before.rows == after.rows
        end = len(after.database)
        for page in range(0, end, PAGE):
            for cut in (page, page + 1, page + 1000, page + PAGE - 1):
                torn = after.database[:cut] + before.database[cut:]
                assert rows_in(tmp_path / "x", torn, before.journal) == after.rows
                cases += 1
        assert rows_in(tmp_path / "x", after.database, before.journal) == after.rows
        assert rows_in(tmp_path / "x", after.database, b"") == after.rows
    assert cases > 100


def killed_before(directory: Path, step: str) -> None:
    """A session that dies before anybody is asked for this step."""
    exchange = SecureExchange(PLAN, FedAvg(), directory, seed=5)
    with dying_before(step), pytest.raises(Killed):
        exchange.exchange(start(), taking_part(updates()))
    exchange._store._connection.close()


def bodies(directory: Path) -> list[Path]:
    return sorted((directory / BODIES_NAME).iterdir())


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return run(tmp_path_factory.mktemp("whole")).vector.tobytes()


DAMAGES = {
    "empty": lambda content: b"",
    "torn": lambda content: content[: len(content) // 2 + 1],
    "one bit": lambda content: content[:-9] + bytes([content[-9] ^ 1]) + content[-8:],
    "longer": lambda content: content + b"\0",
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_torn_share_of_an_opened_session_is_refused_and_its_session_finished_once_it_is_whole(
    tmp_path: Path, expected: bytes, damage: str
) -> None:
    killed_before(tmp_path, "certify")
    shares = [file for file in bodies(tmp_path) if file.name.endswith(".share")]
    assert [file.name for file in shares] == ["aggregator-1.1.0.share", "aggregator-2.1.0.share"]
    for file in shares:
        whole = file.read_bytes()
        file.write_bytes(DAMAGES[damage](whole))
        with pytest.raises(RunDirectoryError, match=f"{file.name} is not what the party stored") as caught:
            run(tmp_path)
        assert "\n" not in str(caught.value)
        file.write_bytes(whole)
    assert run(tmp_path).vector.tobytes() == expected


@pytest.mark.parametrize("damage", DAMAGES)
def test_the_sum_of_an_opened_session_is_added_up_again_as_long_as_every_update_is_whole(
    tmp_path: Path, expected: bytes, damage: str
) -> None:
    killed_before(tmp_path, "certify")
    updates_of_clients = [file for file in bodies(tmp_path) if not file.name.endswith(".share")]
    assert [file.suffix for file in updates_of_clients] == [".update"] * 3
    for file in updates_of_clients:
        whole = file.read_bytes()
        file.write_bytes(DAMAGES[damage](whole))
        with pytest.raises(RunDirectoryError, match=f"{file.name} is not what the party stored"):
            run(tmp_path)
        file.write_bytes(whole)
    assert run(tmp_path).vector.tobytes() == expected


def test_a_torn_body_of_a_session_that_nobody_opened_is_not_even_looked_at(tmp_path: Path, expected: bytes) -> None:
    killed_before(tmp_path, "agree")
    for file in bodies(tmp_path):
        file.write_bytes(file.read_bytes()[:-1])
    assert run(tmp_path).vector.tobytes() == expected


def test_a_torn_accepted_state_is_refused_and_nothing_is_submitted_again(tmp_path: Path) -> None:
    run(tmp_path)
    (file,) = bodies(tmp_path)
    records = list((tmp_path / "transcripts").iterdir())
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(RunDirectoryError, match=r"accepted-1\.0 is not what the party stored"):
        run(tmp_path)
    assert list((tmp_path / "transcripts").iterdir()) == records
