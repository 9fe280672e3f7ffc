from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import Result

from privateyes.aggregation.aggregator import Point
from privateyes.aggregation.messages import Message

Call = Callable[..., Result]


def write(path: Path, messages: Sequence[Message]) -> Path:
    """A record as a run writes it."""
    lines = [json.dumps({"type": type(m).__name__, "bytes": m.to_bytes().hex()}) + "\n" for m in messages]
    path.write_text("".join(lines))
    return path


def said_in(world: Any) -> list[Message]:
    """The session that a world is at, as its record has it."""
    headers = [submission.header for submission in world.submissions.values()]
    openings = [opening.receipt() for opening in world.openings]
    return [
        *world.announcements, *headers, *world.votes, *world.commitments, world.hub_commitment, *world.agreements,
        *openings, world.total.receipt(), *world.results, world.delivery.receipt(),
    ]  # fmt: skip


@pytest.fixture
def task(make_world: Any, tmp_path: Path) -> SimpleNamespace:
    """A task's folder with its manifest, the set-up and one honest session."""
    world = make_world()
    folder = tmp_path / "transcripts"
    folder.mkdir()
    (tmp_path / "manifest.toml").write_text(world.manifest.to_toml())
    sealed = [message for own in world.stream_keys.values() for message in own]
    write(folder / "setup.jsonl", [*sealed, *world.group_keys])
    world.run()
    write(folder / "round-0001-session-0000.jsonl", said_in(world))
    return SimpleNamespace(world=world, path=tmp_path, folder=folder, manifest=tmp_path / "manifest.toml")


def words(result: Result) -> str:
    return " ".join(result.stdout.split())


def test_an_honest_record_is_consistent(call: Call, task: Any) -> None:
    result = call("transcript", "verify", task.folder, "--manifest", task.manifest)
    assert result.exit_code == 0
    assert "1 0 " in words(result)
    assert "certified 4/4" in words(result)
    assert "consistent: nothing in the record speaks against anybody" in result.stdout
    assert result.stderr == ""


def test_a_manifest_that_comes_with_the_record_is_warned_of(call: Call, task: Any) -> None:
    for record in (task.path, task.folder, task.folder / "round-0001-session-0000.jsonl"):
        result = call("transcript", "verify", record)
        assert result.exit_code == 0
        assert "give your pinned copy with --manifest" in result.stderr
        assert "signed and verified" in result.stdout


def test_a_proven_fault_names_the_culprit_and_exits_with_1(call: Call, task: Any, tmp_path: Path) -> None:
    world = task.world
    second = world.signed_by_aggregator(replace(world.results[1], result=bytes(32)), 2)
    write(task.folder / "more.jsonl", [second, world.clients[3].complain(world.sid, 5)])
    answer = tmp_path / "found.json"
    result = call("transcript", "verify", task.folder, "--manifest", task.manifest, "--json", answer)
    assert result.exit_code == 1
    assert "proven step 4 aggregator 2 (a2) signed 2 different results for one session" in words(result)
    assert "refused check 5 client 3 (c3)" in words(result)
    assert result.stdout.splitlines()[-1] == "proven to have broken the protocol: aggregator 2"
    found = json.loads(answer.read_text())
    assert found["manifest"] == world.manifest.digest().hex()
    (session,) = found["sessions"]
    assert session["findings"][0]["level"] == "proven"
    assert session["findings"][0]["parties"] == ["aggregator 2"]
    assert session["roster"] == [1, 2, 3, 4]


def test_a_forged_accusation_changes_nothing(call: Call, task: Any) -> None:
    forged = replace(task.world.results[1], result=bytes(32))
    write(task.folder / "more.jsonl", [forged])
    result = call("transcript", "verify", task.folder, "--manifest", task.manifest)
    assert result.exit_code == 0
    assert "set aside: 1 x ResultSignature in the name of aggregator 2" in words(result)


def test_inconsistent_statements_exit_with_1(call: Call, task: Any) -> None:
    world = task.world
    kept = ("Announcement", "Header", "Vote", "RosterCommitment", "HubCommitment", "Agreement")
    others = [m for m in said_in(world) if type(m).__name__ in kept and m != world.agreements[1]]
    second = world.signed_by_aggregator(replace(world.agreements[1], transcript=bytes(32)), 2)
    write(task.folder / "round-0001-session-0000.jsonl", [*others, second])
    result = call("transcript", "verify", task.folder, "--manifest", task.manifest)
    assert result.exit_code == 1
    assert "one of several" in words(result)
    assert "one of: hub," in words(result)
    assert "0 faults proven" in result.stdout


def test_an_abort_that_blames_nobody_is_told_as_such(call: Call, task: Any) -> None:
    world = task.world
    world.accept(bytes([1]) * 32)
    world.run(to="vote")
    notices = [own.stop(world.aggregator_memories[s], Point.ROSTER).message for s, own in world.aggregators.items()]
    headers = [submission.header for submission in world.submissions.values()]
    write(task.folder / "round-0002-session-0001.jsonl", [*world.announcements, *headers, *world.votes, *notices])
    result = call("transcript", "verify", task.folder, "--manifest", task.manifest)
    assert result.exit_code == 0
    assert "aborted at step 2" in words(result)
    assert "1 session aborted; the signed notices above say at which step" in result.stdout


def test_a_session_of_another_task_is_told_and_not_judged(call: Call, task: Any, make_world: Any) -> None:
    other = make_world(m=3)
    other.run()
    write(task.folder / "other.jsonl", [m for m in said_in(other) if type(m).__name__ == "Vote"])
    result = call("transcript", "verify", task.folder, "--manifest", task.manifest)
    assert result.exit_code == 0
    assert "1 session of another task, or forged: not judged" in result.stdout


def test_the_wrong_manifest_is_an_error(call: Call, task: Any, make_world: Any, tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.toml"
    wrong.write_text(make_world(first_client=5, set_up=False).manifest.to_toml())
    result = call("transcript", "verify", task.folder, "--manifest", wrong)
    assert result.exit_code == 2
    assert "is of this manifest's task; give the manifest that the record was made under" in result.stderr


GOOD = '{"type": "HubCommitment", "bytes": "0a"}'
DAMAGED = {
    "not JSON": ("round one\n", "line 1: not JSON; give a session's record"),
    "binary": ("\x00\x01\x02\n", "line 1: not JSON"),
    "nested": ("[" * 20000 + "\n", "line 1: not JSON"),
    "no object": ("[]\n", "not an object with the texts type and bytes"),
    "more keys": ('{"type": "Vote", "bytes": "", "x": 1}\n', "not an object with the texts type and bytes"),
    "no text": ('{"type": "Vote", "bytes": 5}\n', "not an object with the texts type and bytes"),
    "not hex": ('{"type": "Vote", "bytes": "0g"}\n', "bytes is not hexadecimal"),
    "unknown type": ('{"type": "Gossip", "bytes": "00"}\n', "'Gossip' is no message of the protocol"),
    "cut off": ('{"type": "Vote", "by', "cut off in the middle; remove that line"),
    "too short": (GOOD + "\n", "made under another manifest: give --manifest"),
    "other kind": ('{"type": "Vote", "bytes": "0a00"}\n', "a message of kind 10 where Vote (8) was expected"),
    "endless": ('{"type": "' + "x" * 300_000 + "\n", "longer than any message of this task"),
}


@pytest.mark.parametrize(("text", "line"), DAMAGED.values(), ids=DAMAGED.keys())
def test_damaged_records_are_one_line_with_the_remedy(call: Call, task: Any, text: str, line: str) -> None:
    path = task.folder / "round-0001-session-0000.jsonl"
    path.write_text(text)
    result = call("transcript", "verify", path, "--manifest", task.manifest)
    assert result.exit_code == 2
    assert line in result.stderr
    assert result.stderr.startswith("error: ")
    assert len(result.stderr.splitlines()) == 1
    assert len(result.stderr) < 500


def test_what_is_not_there_is_one_line_with_the_remedy(call: Call, task: Any, tmp_path: Path) -> None:
    empty = tmp_path / "elsewhere" / "deep"
    empty.mkdir(parents=True)
    lonely = write(empty.parent / "x.jsonl", task.world.votes)
    folder = tmp_path / "elsewhere"
    for arguments, line in (
        ([tmp_path / "nowhere"], "does not exist"),
        ([empty, "--manifest", task.manifest], "holds no .jsonl file"),
        ([task.folder, "--manifest", tmp_path / "none.toml"], "none.toml: No such file or directory"),
        ([task.folder, "--manifest", task.folder], "Is a directory"),
        ([task.folder, "--manifest", task.manifest, "--setup", tmp_path / "none.jsonl"], "none.jsonl: No such file"),
        ([task.folder, "--manifest", task.manifest, "--json", tmp_path / "no" / "x.json"], "cannot be written"),
    ):
        result = call("transcript", "verify", *arguments)
        assert result.exit_code == 2, line
        assert line in result.stderr
        assert len(result.stderr.splitlines()) == 1
    task.manifest.unlink()
    result = call("transcript", "verify", lonely)
    assert (result.exit_code, folder.is_dir()) == (2, True)
    assert "no manifest.toml beside" in result.stderr


def test_a_set_up_elsewhere_can_be_given(call: Call, task: Any, tmp_path: Path) -> None:
    elsewhere = (task.folder / "setup.jsonl").rename(tmp_path / "kept.jsonl")
    without = call("transcript", "verify", task.folder, "--manifest", task.manifest)
    given = call("transcript", "verify", task.folder, "--manifest", task.manifest, "--setup", elsewhere)
    assert without.exit_code == given.exit_code == 0
    count = [int(result.stdout.split()[0]) for result in (without, given)]
    assert count[1] - count[0] == 12 + 4


def test_a_real_run_is_consistent(call: Call, tmp_path: Path, eyes: Path, experiment_text: Callable[..., str]) -> None:
    pytest.importorskip("torch")
    (tmp_path / "small.toml").write_text(experiment_text(eyes, ways='["private"]', rounds=1))
    assert call("train", tmp_path / "small.toml", "--out", tmp_path / "run").exit_code == 0
    task = tmp_path / "run" / "aggregation" / "all"
    result = call("transcript", "verify", task, "--manifest", task / "manifest.toml")
    assert result.exit_code == 0
    assert "certified 3/3" in words(result)
    assert call("task", "verify", task / "manifest.toml").exit_code == 0
