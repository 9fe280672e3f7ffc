"""A client whose process dies at any write of its three mirrors, and whose disks then are all there, or one is dead, or
one is an older copy: it never says two things, its ledger loses no entry, and nothing goes backwards.
"""

from __future__ import annotations

import hashlib
import secrets
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from failing_disks import Fuse, Killed, copy, kill, lose
from large_bodies import write_large
from privateyes.aggregation.ledger import LedgerEntry, SessionEnd
from privateyes.aggregation.messages import NO_SESSION
from privateyes.errors import RunDirectoryError
from privateyes.storage.mirror import Mirror
from privateyes.storage.store import PartyStore

ROUNDS = 2
PARTY, KEY, DATA_SET = "client a", b"key", b"eyes"
SCENARIOS = [("all are there", None)] + [(fate, disk) for disk in range(3) for fate in ("is dead", "is an old copy")]


class Heard:
    """All that others ever heard of the client, and how far its store was then."""

    def __init__(self, folders: list[Path]) -> None:
        self.folders, self.words, self.accepted = folders, [set[bytes]() for _ in range(ROUNDS)], 0
        self.generation = self.version = 0
        self.on_its_tongue: tuple[int, bytes] | None = None
        self.keep_copies()

    def keep_copies(self) -> None:
        self.copies = [copy(folder, folder.with_name(f"old {folder.name}")) for folder in self.folders]

    def word(self, number: int, word: bytes) -> None:
        self.words[number].add(word)

    def note(self, store: PartyStore) -> None:
        self.generation, self.version = store.generation, store.memory_version(PARTY)

    def require_remembered_by(self, store: PartyStore) -> None:
        """What was heard is in the store, and the store is no older than it was."""
        assert store.generation >= self.generation
        assert store.memory_version(PARTY) >= self.version
        for number, words in enumerate(self.words):
            entries = store.ledger.at(bytes([number]), KEY, DATA_SET)
            assert words <= {entry.header_hash for entry in entries}
            assert number >= self.accepted or [entry.end for entry in entries] == [SessionEnd.ACCEPTED]


def entry_of(number: int, word: bytes) -> LedgerEntry:
    weights = bytes([number])
    return LedgerEntry(KEY, DATA_SET, weights, b"manifest", b"setup", number, b"state", NO_SESSION, word)


def submit(store: PartyStore, number: int, heard: Heard) -> None:
    """Store a submission, then send it; a second one would be another, as its randomness is fresh."""
    weights, update = bytes([number]), secrets.token_bytes(1000)
    word = hashlib.sha256(update).digest()
    (kept,) = write_large(store, weights, {(PARTY, "update"): update})
    with store.transaction():
        store.put_memory(PARTY, b"submitted", store.memory_version(PARTY) + 1)
        store.ledger.append(entry_of(number, word), [])
        store.put_large(kept)
        store.put_stage(weights, PARTY, "kept", word)
        heard.on_its_tongue = number, word
    heard.on_its_tongue = None


def accept(store: PartyStore, number: int) -> None:
    weights = bytes([number])
    written = store.write_state([bytes([number]) * 1000])
    with store.transaction():
        store.put_memory(PARTY, b"accepted", store.memory_version(PARTY) + 1)
        store.put_accepted(weights, number + 1, written, "{}")
        (entry,) = store.ledger.at(weights, KEY, DATA_SET)
        store.ledger.end(replace(entry, end=SessionEnd.ACCEPTED))
        store.clear_stages_of([PARTY])
    store.fold_journal()


def train(folders: list[Path], heard: Heard) -> None:
    """All rounds, from where the store is."""
    store = PartyStore(*folders)
    try:
        heard.require_remembered_by(store)
        for number in range(ROUNDS):
            if not store.ledger.at(bytes([number]), KEY, DATA_SET):
                submit(store, number, heard)
                heard.note(store)
            (entry,) = store.ledger.at(bytes([number]), KEY, DATA_SET)
            if entry.end is SessionEnd.UNKNOWN:
                update = store.large(bytes([number]), PARTY, "update")
                assert update is not None
                assert hashlib.sha256(update).digest() == entry.header_hash
                assert store.stages(bytes([number]), "kept") == {PARTY: entry.header_hash}
                heard.word(number, entry.header_hash)
                accept(store, number)
                if number == 0:
                    heard.keep_copies()
            heard.accepted = number + 1
            heard.note(store)
    finally:
        kill(store)


def strike(fate: str, disk: int | None, heard: Heard) -> None:
    """What happens to the disks while the process is dead."""
    if disk is not None:
        lose(heard.folders[disk])
        if fate == "is an old copy":
            copy(heard.copies[disk], heard.folders[disk])


@pytest.fixture
def fuse(monkeypatch: pytest.MonkeyPatch) -> Fuse:
    """A step before and after every write of every mirror, and in every start."""
    fuse = Fuse()
    fuse.at_every_write(monkeypatch)
    return fuse


def made(base: Path) -> Heard:
    folders = [base / name for name in "abc"]
    PartyStore.create(*folders).close()
    return Heard(folders)


def steps_of(fuse: Fuse, base: Path) -> int:
    """How many steps it takes in peace."""
    heard = made(base)
    before = fuse.steps
    train(heard.folders, heard)
    return fuse.steps - before


def play(fuse: Fuse, base: Path, kills: list[int], fate: str, disk: int | None) -> list[set[bytes]]:
    """Train, die at these steps, one after another, with this happening to a disk after the first; then end in peace.

    Returns:
        What was said about each round.
    """
    fuse.left = -1
    heard = made(base)
    for place, step in enumerate(kills):
        fuse.left = step
        with suppress(Killed):
            train(heard.folders, heard)
        fuse.left = -1
        if place == 0:
            strike(fate, disk, heard)
    train(heard.folders, heard)
    assert heard.accepted == ROUNDS
    return heard.words


def require_one_voice(words: list[set[bytes]]) -> None:
    assert [len(said) for said in words] == [1] * ROUNDS


def test_killed_at_any_write_it_says_nothing_twice_and_loses_nothing(fuse, tmp_path) -> None:
    """At every step, with one fate of the disks for each."""
    steps = steps_of(fuse, tmp_path / "peace")
    assert steps > 100
    for step in range(steps):
        for fate, disk in SCENARIOS[step % 7 :: 7]:
            require_one_voice(play(fuse, tmp_path / f"{step} {fate} {disk}", [step], fate, disk))


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_killed_at_any_write_with_any_fate_of_the_disks_and_again_in_its_recovery(fuse, tmp_path) -> None:
    steps = steps_of(fuse, tmp_path / "peace")
    for step in range(steps):
        for fate, disk in SCENARIOS:
            base = tmp_path / f"{step} {fate} {disk}"
            require_one_voice(play(fuse, base / "once", [step], fate, disk))
            for again in (step * 5 % 24, 24 + step * 7 % 40):
                require_one_voice(play(fuse, base / f"{again}", [step, again], fate, disk))
            lose(base)


def test_a_word_that_is_sent_when_the_first_mirror_has_it_is_lost_with_that_disk_and_another_follows(
    fuse, tmp_path, monkeypatch
) -> None:
    steps, found, all_heard = steps_of(fuse, tmp_path / "peace"), 0, []
    commit, note_copies = Mirror.commit, Heard.keep_copies

    def blurt(mirror: Mirror) -> None:
        commit(mirror)
        if all_heard and all_heard[-1].on_its_tongue is not None:
            all_heard[-1].word(*all_heard[-1].on_its_tongue)

    def listen(heard: Heard) -> None:
        all_heard.append(heard)
        note_copies(heard)

    monkeypatch.setattr(Mirror, "commit", blurt)
    monkeypatch.setattr(Heard, "keep_copies", listen)
    for step in range(steps):
        try:
            require_one_voice(play(fuse, tmp_path / f"{step}", [step], "is dead", 0))
        except AssertionError:
            found += 1
    assert found > 0


def test_two_disks_that_die_are_one_too_many_and_nothing_is_said_any_more(fuse, tmp_path) -> None:
    heard = made(tmp_path)
    fuse.left = steps_of(fuse, tmp_path / "peace") // 2
    with pytest.raises(Killed):
        train(heard.folders, heard)
    fuse.left = -1
    lose(heard.folders[0])
    lose(heard.folders[1])
    before = [set(words) for words in heard.words]
    with pytest.raises(RunDirectoryError, match="more than half"):
        train(heard.folders, heard)
    assert heard.words == before
