"""A process that is killed between any two of its calls, or inside the database, and started again ends as one that was
left in peace, and nobody has said two things about one session.

One program imports everything once and then forks: each child plays two private rounds and kills itself, without
warning and without cleaning up, at the n-th tick. A tick is a call of any function, Python's own or built in, on any
thread, or twenty instructions of SQLite's machine.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest

from privateyes.aggregation import messages
from privateyes.aggregation.manifest import Manifest, manifest_from_toml
from privateyes.aggregation.messages import OPENED, VOID

_PROGRAM = """
import os, shutil, signal, sys, threading, traceback
from contextlib import closing
from pathlib import Path
import numpy as np
from privateyes.crypto.field import COMPACT
from privateyes.encoding.fixed_point import FixedPoint
from privateyes.engines.local import secure
from privateyes.engines.local.parties import SecurePlan
from privateyes.federation.participants import ClientUpdate, Participant
from privateyes.federation.rounds import ServerState
from privateyes.federation.server_step import FedAvg
from privateyes.storage import places, store

base, kind, kills = Path(sys.argv[1]), sys.argv[2], [int(text) for text in sys.argv[3:]]
D = 7
PLAN = SecurePlan(("a", "b", "c"), D, 2, FixedPoint(COMPACT, 1.0, 12, 20, 3), roster_min=3)
ticks, last = 0, -1

def tick(*_):
    global ticks
    ticks += 1
    if ticks == last:
        os.kill(os.getpid(), signal.SIGKILL)

def disks(folder):
    return [folder / f"disk-{number}" for number in range(3)] if kind == "mirrored" else [folder]

class Ticking(store.PartyStore):
    def __init__(self, folder):
        super().__init__(*disks(folder))
        for mirror in self._mirrors._mirrors:
            mirror.connection.execute("PRAGMA synchronous = OFF")  # the process dies here, not the machine
            if kind == "forgetful":  # what clients keep and what the session reached would hold them back, too
                for table in ("ledger", "stage", "large"):
                    kept = "" if table == "ledger" else "WHERE stage != 'model'"
                    mirror.connection.execute(f"DELETE FROM {table} {kept}")
            mirror.connection.set_progress_handler(tick, 20)

    @classmethod
    def create(cls, folder, **names):
        store.PartyStore.create(*disks(folder), **names).close()
        return cls(folder)

    @staticmethod
    def exists(folder):
        return store.PartyStore.exists(*disks(folder))

    def put_memory(self, party, body, version):
        set_up = 3 if party.startswith("aggregator") else 1  # how many versions of its memory the set-up makes
        if version <= set_up or kind != "forgetful":
            super().put_memory(party, body, version)

secure.PartyStore = places.PartyStore = Ticking

def play(directory):
    state = ServerState(np.zeros(D, np.float32))
    with closing(secure.SecureExchange(PLAN, FedAvg(), directory, seed=5)) as exchange:
        for index in range(2):
            random = np.random.default_rng(index)
            updates = [ClientUpdate(name, 5, random.normal(0, 0.3, D).astype("f4"), 0.0) for name in PLAN.clients]
            if (directory / f"done-{index}.npy").exists():  # a resumed run begins after its last checkpoint
                state = ServerState(np.load(directory / f"done-{index}.npy"), (), index + 1,
                                    (directory / f"sid-{index}").read_bytes(),
                                    lineage=(*state.lineage, state.weights()))
                continue
            state, _ = exchange.exchange(state, [Participant(update) for update in updates])
            (directory / f"sid-{index}").write_bytes(state.last_sid)
            np.save(directory / "part.npy", state.vector)
            (directory / "part.npy").rename(directory / f"done-{index}.npy")
    (directory / "result").write_bytes(state.vector.tobytes())

def child(directory, kill):
    global ticks, last
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            ticks, last = 0, kill
            threading.setprofile(tick)
            sys.setprofile(tick)
            play(directory)
            sys.setprofile(None)
            (directory / "ticks").write_text(str(ticks))
            status = 0
        except BaseException:
            sys.setprofile(None)
            traceback.print_exc()
        os._exit(status)
    return os.waitpid(pid, 0)[1]

def killed(status):
    return os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL

warm = base / "warm"
warm.mkdir()
play(warm)  # compiled kernels are loaded by now
peace = base / "peace"
peace.mkdir()
assert child(peace, -1) == 0
total = int((peace / "ticks").read_text())
for number, share in enumerate(kills):
    directory = base / f"killed-{number:04d}"
    directory.mkdir()
    assert killed(child(directory, max(1, total * share // 1000))), share
    if kind == "mirrored" and number % 4:  # one disk dies with it
        shutil.rmtree(disks(directory)[number % 4 - 1], ignore_errors=True)
    if number % 2:  # a second kill, while it recovers
        child(directory, max(1, total * (share * 7 % 400) // 1000))
    assert child(directory, -1) == 0, share
print(total)
"""


def play_and_kill(base: Path, kills: list[int], store: str = "durable") -> int:
    command = [sys.executable, "-c", _PROGRAM, str(base), store, *map(str, kills)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return int(done.stdout)


def said_in(directory: Path) -> tuple[dict[tuple[Any, ...], set[bytes]], dict[tuple[bytes, int], set[int]]]:
    """Every signed statement by what it is about and who made it; and how aggregators say that sessions ended."""
    manifest: Manifest = manifest_from_toml((directory / "manifest.toml").read_text())
    words: dict[tuple[Any, ...], set[bytes]] = defaultdict(set)
    endings: dict[tuple[bytes, int], set[int]] = defaultdict(set)
    for file in (directory / "transcripts").glob("round-*.jsonl"):
        for line in file.read_bytes().splitlines(keepends=True):
            if not line.endswith(b"\n"):
                continue
            entry = json.loads(line)
            message: Any = getattr(messages, entry["type"]).from_bytes(bytes.fromhex(entry["bytes"]), manifest)
            speaker = getattr(message, "aggregator", getattr(message, "client", 0))
            if entry["type"] == "HubRequest":
                continue  # the hub may ask as often as it likes
            if entry["type"] == "Announcement":
                words["Announcement", message.setup, message.round, speaker].add(message.to_bytes())
            else:
                words[entry["type"], message.sid, speaker].add(message.to_bytes())
            if entry["type"] == "Closing":
                endings[message.sid, speaker].add(message.outcome)
            if entry["type"] == "OpeningReceipt":
                endings[message.sid, speaker].add(OPENED)
    return words, endings


def require_as_in_peace(base: Path) -> None:
    expected = (base / "peace" / "result").read_bytes()
    assert (base / "warm" / "result").read_bytes() == expected
    runs = sorted(base.glob("killed-*"))
    assert runs
    voids = 0
    for directory in runs:
        assert (directory / "result").read_bytes() == expected
        words, endings = said_in(directory)
        assert len(words) >= 36, "what two sessions without any trouble say"
        assert all(len(said) == 1 for said in words.values())
        assert all(len(outcomes) == 1 for outcomes in endings.values())
        headers = [next(iter(said)) for (kind, *_), said in words.items() if kind == "Header"]
        manifest = manifest_from_toml((directory / "manifest.toml").read_text())
        nonces = {messages.Header.from_bytes(header, manifest).nonce for header in headers}
        assert len(nonces) == len(headers), "a nonce was used twice"
        voids += any(outcomes == {VOID} for outcomes in endings.values())
    assert voids, "no kill made a session void: the moments are badly chosen"


def test_killed_at_some_moments_it_ends_as_in_peace(tmp_path: Path) -> None:
    play_and_kill(tmp_path, [150, 300, 380, 421, 447, 470, 475, 481, 493, 550, 700, 900, 970])
    require_as_in_peace(tmp_path)


def test_with_a_store_that_forgets_the_same_kills_make_parties_say_two_things(tmp_path: Path) -> None:
    play_and_kill(tmp_path, [400, 420, 440, 460], "forgetful")
    twice = {
        kind
        for directory in tmp_path.glob("killed-*")
        for (kind, *_), said in said_in(directory)[0].items()
        if len(said) > 1
    }
    assert "Header" in twice


@pytest.mark.slow
def test_with_mirrors_it_ends_as_in_peace_though_a_disk_dies_with_the_process(tmp_path: Path) -> None:
    play_and_kill(tmp_path, [20, 90, 150, 210, 300, 380, 421, 447, 470, 475, 481, 493, 550, 700, 900, 970], "mirrored")
    require_as_in_peace(tmp_path)
    alive = [len(list(directory.glob("disk-*/parties.sqlite"))) for directory in sorted(tmp_path.glob("killed-*"))]
    assert alive == [3, 2, 2, 2] * 4


@pytest.mark.slow
def test_killed_at_every_fourth_thousandth_of_the_way_it_ends_as_in_peace(tmp_path: Path) -> None:
    assert play_and_kill(tmp_path, list(range(2, 1000, 4))) > 10_000
    require_as_in_peace(tmp_path)
