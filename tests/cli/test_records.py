"""A folder is the record of a whole task: files that are missing or misnamed, and very many sessions."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import Result

from audit_records import RecordedWorld, resigned, write_record
from privateyes.aggregation.messages import CLOSING, OPENED, Closing, HubCommitment

Call = Callable[..., Result]


def words(result: Result) -> str:
    return " ".join(result.stdout.split())


@pytest.fixture
def rounds(tmp_path: Path) -> SimpleNamespace:
    """A task's folder with three rounds: one that is given up, and two that are accepted."""
    world = RecordedWorld(roster_min=4)
    write_record(tmp_path / "setup.jsonl", world.said)
    (tmp_path / "manifest.toml").write_text(world.manifest.to_toml())
    files = []
    for number, run in enumerate([world.void_round, world.accepted_round, world.accepted_round]):
        world.said = []
        run()
        files.append(write_record(tmp_path / f"round-0001-session-{number:04d}.jsonl", world.said))
    return SimpleNamespace(world=world, folder=tmp_path, files=files, manifest=tmp_path / "manifest.toml")


def test_a_whole_task_is_consistent(call: Call, rounds: Any) -> None:
    result = call("transcript", "verify", rounds.folder, "--manifest", rounds.manifest)
    assert result.exit_code == 0
    assert "missing" not in words(result)


@pytest.mark.parametrize(
    ("number", "code", "text"),
    [
        (0, 1, "missing record session 0 of set-up"),
        (1, 1, "suspected record recorder a certified session before session 2 of set-up"),
        (2, 0, ""),  # what came last leaves no trace
    ],
)
def test_a_file_that_is_missing_is_told_as_far_as_anything_shows_it(
    call: Call, rounds: Any, number: int, code: int, text: str
) -> None:
    rounds.files[number].unlink()
    result = call("transcript", "verify", rounds.folder, "--manifest", rounds.manifest)
    assert result.exit_code == code
    assert text in words(result)
    assert ("consistent: nothing" in result.stdout) == (code == 0)
    assert ("incomplete: what is told as missing above was left out" in result.stdout) == (code == 1)
    kept = call("transcript", "verify", rounds.files[(number + 1) % 3], "--manifest", rounds.manifest)
    assert kept.exit_code == 0  # a file is a part


def test_a_middle_file_that_is_missing_makes_the_record_incomplete(call: Call, tmp_path: Path) -> None:
    """Of three accepted rounds: no training state contradicts it, but each number of a session has its file."""
    world = RecordedWorld(roster_min=4)
    write_record(tmp_path / "setup.jsonl", world.said)
    (tmp_path / "manifest.toml").write_text(world.manifest.to_toml())
    files = []
    for number in range(3):
        world.said = []
        world.accepted_round()
        files.append(write_record(tmp_path / f"round-{number + 1:04d}-session-{number:04d}.jsonl", world.said))
    arguments = ("transcript", "verify", tmp_path, "--manifest", tmp_path / "manifest.toml")
    assert call(*arguments).exit_code == 0
    files[1].unlink()
    answer = tmp_path / "found.json"
    result = call(*arguments, "--json", answer)
    assert result.exit_code == 1
    text = f"session 1 of set-up {world.setup.hex()[:8]} (epoch 1): it was left out or lost, or the hub skipped this"
    assert text in words(result)
    assert result.stdout.splitlines()[-1] == "nothing that is there speaks against anybody"
    found = json.loads(answer.read_text())
    assert (found["consistent"], found["complete"], found["faults"]) == (True, False, 0)


def test_a_session_that_a_later_word_calls_opened_is_missed(call: Call, rounds: Any) -> None:
    world = rounds.world
    opened = resigned(world, Closing(world.sid, 2, OPENED))
    request = world.request(CLOSING, world.round)
    write_record(rounds.folder / "later.jsonl", [opened, request])
    assert call("transcript", "verify", rounds.folder, "--manifest", rounds.manifest).exit_code == 0
    rounds.files[2].unlink()
    result = call("transcript", "verify", rounds.folder, "--manifest", rounds.manifest)
    assert result.exit_code == 1
    assert "the whole session, which aggregator 2 says was opened: it was left out or lost" in words(result)
    alone = call("transcript", "verify", rounds.folder / "later.jsonl", "--manifest", rounds.manifest)
    assert alone.exit_code == 0
    assert "it stands in another file" in words(alone)


def test_a_file_with_another_sessions_name_is_suspected(call: Call, rounds: Any) -> None:
    one, two = rounds.files[1:]
    aside = one.rename(rounds.folder / "aside")
    two.rename(one)
    aside.rename(two)
    result = call("transcript", "verify", rounds.folder, "--manifest", rounds.manifest)
    assert result.exit_code == 1
    told = "".join(words(result).split())  # a long path is broken where the column ends
    for path, number in ((one, 1), (two, 2)):
        text = f"{path} is named for session {number}, and holds the announcement of another one"
        assert "".join(text.split()) in told
    alone = call("transcript", "verify", one, "--manifest", rounds.manifest)
    assert alone.exit_code == 1


def test_a_part_of_a_task_is_not_taken_for_the_whole(call: Call, rounds: Any) -> None:
    for path in rounds.files:
        result = call("transcript", "verify", path, "--manifest", rounds.manifest)
        assert result.exit_code == 0
        assert "rounds" not in words(result)


def test_a_pipe_among_the_files_is_not_waited_for(call: Call, rounds: Any) -> None:
    os.mkfifo(rounds.folder / "more.jsonl")
    result = call("transcript", "verify", rounds.folder, "--manifest", rounds.manifest)
    assert result.exit_code == 2
    assert "holds a .jsonl that is no file" in result.stderr


def test_a_device_among_the_files_is_not_waited_for(call: Call, rounds: Any) -> None:
    (rounds.folder / "more.jsonl").symlink_to("/dev/zero")
    result = call("transcript", "verify", rounds.folder, "--manifest", rounds.manifest)
    assert result.exit_code == 2
    assert "holds a .jsonl that is no file" in result.stderr


def test_a_files_name_does_not_steer_the_terminal(call: Call, rounds: Any) -> None:
    strange = rounds.folder / "\x1b]0;owned\x07\x1b[1A\x1b[2K.jsonl"
    strange.write_text("{")
    result = call("transcript", "verify", rounds.folder, "--manifest", rounds.manifest)
    assert "?]0;owned??[1A?[2K.jsonl" in words(result) + " ".join(result.stderr.split())
    assert "\x1b]0;owned" not in result.stdout + result.stderr


def test_very_many_sessions_are_told_by_the_worst_of_them(call: Call, rounds: Any, tmp_path: Path) -> None:
    strange = [HubCommitment(number.to_bytes(32, "big"), bytes(32)) for number in range(1, 1101)]
    write_record(rounds.folder / "more.jsonl", strange)
    answer = tmp_path / "found.json"
    result = call("transcript", "verify", rounds.folder, "--manifest", rounds.manifest, "--json", answer)
    assert result.exit_code == 1
    assert "and 103 more sessions: --json FILE has them all" in words(result)
    assert "1061 more sessions with something to tell: --json FILE has them all" in words(result)
    assert len(json.loads(answer.read_text())["sessions"]) == 1103
    assert result.stdout.count("nothing in it is signed by a party of this") == 40
