from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from click.testing import Result

from audit_records import as_receipts, record_of, set_up_of, write_record
from local_task import local_parties, set_up_in
from privateyes.aggregation.aggregator import Aggregator
from privateyes.aggregation.memory import AggregatorMemory
from privateyes.aggregation.messages import (
    Agreement,
    HubCommitment,
    HubSum,
    Message,
    Opening,
)
from privateyes.aggregation.steps import OwnShare, Step
from privateyes.crypto.commitment import commit_to_sum
from privateyes.crypto.field import COMPACT
from privateyes.encoding.fixed_point import FixedPoint
from privateyes.engines.local.clock import RoleClock
from privateyes.engines.local.message_log import MessageLog
from privateyes.engines.local.misbehaviour import AlteringAggregator
from privateyes.engines.local.parties import SecurePlan
from privateyes.engines.local.session import Session, SessionResult
from privateyes.errors import BlamedError
from privateyes.storage.store import PartyStore
from privateyes.storage.transcript import TranscriptFile
from taking_part import giving

Call = Callable[..., Result]


def said_in(world: Any) -> list[Message]:
    """The session that a world is at, as its record has it."""
    return as_receipts(world, record_of(world))


@pytest.fixture
def task(make_world: Any, tmp_path: Path) -> SimpleNamespace:
    """A task's folder with its manifest, the set-up and one honest session."""
    world = make_world(roster_min=4)
    folder = tmp_path / "transcripts"
    folder.mkdir()
    (tmp_path / "manifest.toml").write_text(world.manifest.to_toml())
    write_record(folder / "setup.jsonl", set_up_of(world))
    world.run()
    write_record(folder / "round-0001-session-0000.jsonl", said_in(world))
    return SimpleNamespace(world=world, path=tmp_path, folder=folder, manifest=tmp_path / "manifest.toml")


def words(result: Result) -> str:
    return " ".join(result.stdout.split())


def test_an_honest_record_is_consistent(call: Call, task: Any) -> None:
    result = call("transcript", "verify", task.folder, "--manifest", task.manifest)
    assert result.exit_code == 0
    assert "0 certified 4/4" in words(result)
    assert "consistent: nothing in the record speaks against anybody" in result.stdout
    assert result.stderr == ""


def test_a_manifest_that_comes_with_the_record_is_warned_of(call: Call, task: Any) -> None:
    for record in (task.path, task.folder, task.folder / "round-0001-session-0000.jsonl"):
        result = call("transcript", "verify", record)
        assert result.exit_code == 0
        assert "give the copy that you pinned with --manifest" in result.stderr
        assert "signed and verified" in result.stdout


def test_a_runs_directory_is_the_record_of_its_task(call: Call, task: Any, tmp_path_factory: Any) -> None:
    run = tmp_path_factory.mktemp("run")
    shutil.copytree(task.path, run / "aggregation" / "all" / "private")
    (run / "metrics.jsonl").write_text("{}")  # a run's own, and no record
    assert call("transcript", "verify", run).exit_code == 0
    shutil.copytree(task.path, run / "aggregation" / "s00" / "private")
    result = call("transcript", "verify", run)
    assert result.exit_code == 2
    assert f"{run} is a run with 2 tasks; name one: {run / 'aggregation' / 'all' / 'private'}, " in result.stderr


def test_a_proven_fault_names_the_culprit_and_exits_with_1(call: Call, task: Any, tmp_path: Path) -> None:
    world = task.world
    second = world.signed_by_aggregator(replace(world.results[1], result=bytes(32)), 2)
    write_record(task.folder / "more.jsonl", [second, world.clients[3].complain(world.sid, 5)])
    answer = tmp_path / "found.json"
    result = call("transcript", "verify", task.folder, "--manifest", task.manifest, "--json", answer)
    assert result.exit_code == 1
    assert "proven step 4 aggregator 2 (a2) signed 2 different results for one session" in words(result)
    assert "refused check 5 client 3 (c3)" in words(result)
    assert result.stdout.splitlines()[-1] == "proven to have broken the protocol: aggregator 2"
    found = json.loads(answer.read_text())
    assert found["manifest"] == world.manifest.digest().hex()
    (session,) = found["sessions"]
    assert session["setup"] == world.setup.hex()
    assert session["session"] == 0
    assert session["findings"][0]["level"] == "proven"
    assert session["findings"][0]["parties"] == ["aggregator 2"]
    assert session["roster"] == [1, 2, 3, 4]


def test_a_certified_result_that_all_clients_refuse_is_no_consistent_record(
    call: Call, task: Any, tmp_path: Path
) -> None:
    world = task.world
    complaints = [own.complain(world.sid, 5) for own in world.clients.values()]
    write_record(task.folder / "more.jsonl", complaints)
    answer = tmp_path / "found.json"
    result = call("transcript", "verify", task.folder, "--manifest", task.manifest, "--json", answer)
    assert result.exit_code == 1
    assert "certified, refused by 4 clients 4/4" in words(result)
    assert "consistent" not in result.stdout
    last = result.stdout.splitlines()[-1]
    where = f"(session 0 of set-up {world.setup.hex()[:8]} (epoch 1), id {world.sid.hex()[:8]}, check 5)"
    assert last.startswith(f"4 clients refused a certified result {where}: somebody")
    assert "altered the sum before it was committed" in last
    assert last.endswith("nobody is proven guilty of it")
    found = json.loads(answer.read_text())
    assert (found["consistent"], found["faults"]) == (False, 0)
    (session,) = found["sessions"]
    assert session["outcome"] == "refused"
    assert session["refusals"] == [{"client": number, "check": 5} for number in (1, 2, 3, 4)]


def test_a_refusal_of_what_the_record_does_not_have_says_so(call: Call, task: Any) -> None:
    write_record(task.folder / "more.jsonl", [task.world.clients[2].complain(task.world.sid, 3)])
    result = call("transcript", "verify", task.folder, "--manifest", task.manifest)
    assert result.exit_code == 1
    assert "certified, refused by 1 client 4/4" in words(result)
    assert "check 3): they were sent another delivery than the one in the record" in result.stdout


def test_a_refusal_of_a_public_sum_that_passes_says_so(call: Call, make_world: Any, tmp_path: Path) -> None:
    world = make_world(mode="public")
    world.run()
    manifest = tmp_path / "manifest.toml"
    manifest.write_text(world.manifest.to_toml())
    disclosure = world.clients[1].disclose(world.client_memories[1], world.delivery)
    complaint = world.clients[2].complain(world.sid, 7)
    record = write_record(tmp_path / "x.jsonl", [*said_in(world), world.delivery, disclosure, complaint])
    write_record(tmp_path / "setup.jsonl", set_up_of(world))
    result = call("transcript", "verify", record, "--manifest", manifest)
    assert result.exit_code == 1
    assert "the sum in the record passes; they were sent another one, or complain without reason" in result.stdout
    assert "false" not in result.stdout


def test_a_hub_whose_sum_is_wrong_is_suspected_and_not_one_of_several(
    call: Call, task: Any, make_world: Any, tmp_path: Path
) -> None:
    """The operators kept the uploads; the hub committed to another sum."""
    world = make_world(roster_min=4)
    world.run(to="commit")
    world.total = HubSum(world.sid, world.shifted(world.total.share, {0: 1}))
    total = commit_to_sum(world.sid, world.total.share, world.manifest.bulk_hash)
    world.hub_commitment = HubCommitment(world.sid, total)
    for step in ("agree", "open", "certify", "deliver"):
        getattr(world, step)()
    record = write_record(tmp_path / "kept.jsonl", [*said_in(world), *world.submissions.values()])
    write_record(tmp_path / "setup.jsonl", set_up_of(world))
    answer = tmp_path / "found.json"
    result = call("transcript", "verify", record, "--manifest", task.manifest, "--json", answer)
    assert result.exit_code == 1
    assert "the hub, suspected" in words(result)
    assert "suspected step 3 hub the sum that all aggregators signed T over" in words(result)
    assert "one of" not in result.stdout.replace("none of", "")
    last = "no fault is proven, 1 suspicion against the hub, or whoever altered its unsigned word on the way"
    assert result.stdout.splitlines()[-1] == last
    (fault,) = [own for own in json.loads(answer.read_text())["sessions"][0]["findings"] if own["parties"] == ["hub"]]
    assert fault["level"] == "suspected"


def test_a_forged_accusation_is_held_against_whoever_wrote_it(call: Call, task: Any) -> None:
    forged = replace(task.world.results[1], result=bytes(32))
    write_record(task.folder / "more.jsonl", [forged])
    result = call("transcript", "verify", task.folder, "--manifest", task.manifest)
    assert result.exit_code == 1
    assert "suspected record recorder set aside: 1 x ResultSignature in the name of aggregator 2" in words(result)
    assert "this proves nothing about aggregator 2" in words(result)
    assert "the recorder, suspected" in words(result)
    last = "no fault is proven, 1 suspicion against whoever wrote the record, altered it or lost a part of it"
    assert result.stdout.splitlines()[-1] == last


def test_an_altered_word_of_the_hub_exits_with_1(call: Call, task: Any) -> None:
    path = task.folder / "round-0001-session-0000.jsonl"
    altered = [
        replace(message, commitment=bytes(32)) if isinstance(message, HubCommitment) else message
        for message in said_in(task.world)
    ]
    write_record(path, altered)
    result = call("transcript", "verify", task.folder, "--manifest", task.manifest)
    assert result.exit_code == 1
    assert "a sum in the hub's name is not the one that T was signed over" in words(result)
    last = (
        "no fault is proven, 1 suspicion against the hub, or whoever altered its unsigned word on the way, or whoever "
        "wrote the record, altered it or lost a part of it"
    )
    assert result.stdout.splitlines()[-1] == last


def test_inconsistent_statements_exit_with_1(call: Call, task: Any) -> None:
    world = task.world
    kept = ("Announcement", "Header", "Vote", "RosterCommitment", "HubCommitment", "Agreement")
    others = [m for m in said_in(world) if type(m).__name__ in kept and m != world.agreements[1]]
    second = world.signed_by_aggregator(replace(world.agreements[1], transcript=bytes(32)), 2)
    write_record(task.folder / "round-0001-session-0000.jsonl", [*others, second])
    result = call("transcript", "verify", task.folder, "--manifest", task.manifest)
    assert result.exit_code == 1
    assert "one of several" in words(result)
    assert "one of: hub," in words(result)
    assert "no fault is proven" in result.stdout


def test_an_abort_that_blames_nobody_is_told_as_such(call: Call, task: Any) -> None:
    world = task.world
    world.accept(bytes([1]) * 32)
    world.run(to="vote")
    notices = world.give_up()
    headers = [submission.header for submission in world.submissions.values()]
    write_record(
        task.folder / "round-0002-session-0001.jsonl", [*world.announcements, *headers, *world.votes, *notices]
    )
    result = call("transcript", "verify", task.folder, "--manifest", task.manifest)
    assert result.exit_code == 0
    assert "aborted at step 2" in words(result)
    assert "1 session aborted, at the step that the table says" in result.stdout


def test_a_session_of_another_task_is_told_and_not_judged(call: Call, task: Any, make_world: Any) -> None:
    other = make_world(m=3)
    other.run()
    write_record(task.folder / "other.jsonl", [m for m in said_in(other) if type(m).__name__ == "Vote"])
    result = call("transcript", "verify", task.folder, "--manifest", task.manifest)
    assert result.exit_code == 0
    assert "1 session of another task, forged, or without the sealing keys of its set-up: not judged" in result.stdout


def test_the_wrong_manifest_is_an_error(call: Call, task: Any, make_world: Any, tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.toml"
    wrong.write_text(make_world(first_client=5, set_up=False).manifest.to_toml())
    result = call("transcript", "verify", task.folder, "--manifest", wrong)
    assert result.exit_code == 2
    assert "is of this manifest's task; give the manifest that the record was made under" in result.stderr


GOOD = '{"type": "HubCommitment", "bytes": "4a"}'
DAMAGED = {
    "not JSON": ("round one\n", "line 1: not JSON; give a session's record"),
    "binary": ("\x00\x01\x02\n", "line 1: not JSON"),
    "nested": ("[" * 20000 + "\n", "line 1: not JSON"),
    "no object": ("[]\n", "not an object with the texts type and bytes"),
    "more keys": ('{"type": "Vote", "bytes": "", "x": 1}\n', "not an object with the texts type and bytes"),
    "no text": ('{"type": "Vote", "bytes": 5}\n', "not an object with the texts type and bytes"),
    "not hex": ('{"type": "Vote", "bytes": "0g"}\n', "bytes is not hexadecimal"),
    "unknown type": ('{"type": "Gossip", "bytes": "00"}\n', "'Gossip' is no message of the protocol"),
    "cut off, and more": (
        '{"type": "Vote", "by\n' + GOOD,
        "line 1: not JSON; give a session's record; if it is one, get",
    ),
    "cut off text": ("round one", "line 1: not JSON"),
    "null": ("null\n", "not an object with the texts type and bytes"),
    "too short": (GOOD + "\n", "made under another manifest: give --manifest"),
    "other kind": ('{"type": "Vote", "bytes": "4a00"}\n', "a message of kind 74 where Vote (72) was expected"),
    "version 1": ('{"type": "Vote", "bytes": "0800"}\n', "a message of protocol version 1 where Vote of version 2"),
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


@pytest.mark.parametrize("kept", [1, 17, 40])
def test_a_torn_last_line_is_noted_with_its_place_and_the_rest_is_judged(call: Call, task: Any, kept: int) -> None:
    """As a kill in the middle of a write leaves it. The line before it, whole, proves a fault all the same."""
    world = task.world
    second = world.signed_by_aggregator(replace(world.results[1], result=bytes(32)), 2)
    path = write_record(task.folder / "more.jsonl", [second, world.clients[3].complain(world.sid, 5)])
    whole, torn = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(whole + torn[:kept])
    result = call("transcript", "verify", task.folder, "--manifest", task.manifest)
    assert result.exit_code == 1
    assert "noted record" in words(result)
    told = "".join(words(result).split())  # a long path is broken where the column ends
    assert "".join(f"{path}, line 2, the last of the file, is torn".split()) in told
    assert "proven to have broken the protocol: aggregator 2" in result.stdout
    path.write_bytes(torn[:kept])
    assert call("transcript", "verify", task.folder, "--manifest", task.manifest).exit_code == 0


def test_a_last_line_that_lacks_only_its_end_is_whole(call: Call, task: Any) -> None:
    path = task.folder / "round-0001-session-0000.jsonl"
    path.write_bytes(path.read_bytes().rstrip(b"\n"))
    result = call("transcript", "verify", task.folder, "--manifest", task.manifest)
    assert result.exit_code == 0
    assert "certified 4/4" in words(result)
    assert "torn" not in result.stdout


def test_a_path_that_the_system_refuses_is_one_line_and_no_verdict(call: Call, task: Any, tmp_path: Path) -> None:
    long = tmp_path / ("x" * 300)
    loop = tmp_path / "loop.jsonl"
    loop.symlink_to(loop)
    for arguments, line in (
        ([long], "File name too long; give a session's record or a folder of records"),
        ([task.folder, "--manifest", long], "File name too long; give the task's manifest.toml"),
        ([task.folder, "--manifest", task.manifest, "--setup", long], "File name too long"),
        ([task.folder, "--manifest", task.manifest, "--setup", loop], "Too many levels of symbolic links"),
        ([task.folder, "--manifest", task.manifest, "--json", long], "cannot be written"),
    ):
        result = call("transcript", "verify", *arguments)
        assert result.exit_code == 2, line
        assert line in result.stderr
        assert len(result.stderr.splitlines()) == 1


@pytest.mark.parametrize("guilty", [False, True])
def test_the_exit_code_is_the_verdict_whoever_stops_reading(task: Any, guilty: bool) -> None:
    """As in ``privateyes transcript verify ... | head -1``."""
    if guilty:
        second = task.world.signed_by_aggregator(replace(task.world.results[1], result=bytes(32)), 2)
        write_record(task.folder / "more.jsonl", [second])
    program = "from privateyes.cli.main import main; main()"
    arguments = ["transcript", "verify", str(task.folder), "--manifest", str(task.manifest)]
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = subprocess.run([sys.executable, "-c", program, *arguments], stdout=writing, stderr=subprocess.PIPE)
    finally:
        os.close(writing)
    assert (done.returncode, done.stderr) == (int(guilty), b"")


@pytest.mark.parametrize("text", ["", '{"type": "Vote", "by'], ids=["empty", "torn"])
def test_a_record_without_a_whole_message_is_an_error(call: Call, task: Any, tmp_path: Path, text: str) -> None:
    path = tmp_path / "alone.jsonl"
    path.write_text(text)
    result = call("transcript", "verify", path, "--manifest", task.manifest)
    assert result.exit_code == 2
    assert result.stderr.startswith(f"error: {path} holds no whole message; give a session's record")


def test_what_is_not_there_is_one_line_with_the_remedy(call: Call, task: Any, tmp_path: Path) -> None:
    empty = tmp_path / "elsewhere" / "deep"
    empty.mkdir(parents=True)
    lonely = write_record(empty.parent / "x.jsonl", task.world.votes)
    folder = tmp_path / "elsewhere"
    for arguments, line in (
        ([tmp_path / "nowhere"], "does not exist"),
        ([empty, "--manifest", task.manifest], "holds no .jsonl file"),
        ([task.folder, "--manifest", tmp_path / "none.toml"], "none.toml: No such file or directory"),
        ([task.folder, "--manifest", task.folder], "Is a directory"),
        (
            [task.folder, "--manifest", task.manifest, "--setup", tmp_path / "none.jsonl"],
            "give the set-up's setup.jsonl",
        ),
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
    """Without the aggregators' sealing keys nothing shows that the session is of this manifest."""
    elsewhere = (task.folder / "setup.jsonl").rename(tmp_path / "kept.jsonl")
    without = call("transcript", "verify", task.folder, "--manifest", task.manifest)
    given = call("transcript", "verify", task.folder, "--manifest", task.manifest, "--setup", elsewhere)
    assert (without.exit_code, given.exit_code) == (2, 0)
    assert without.stderr == (
        f"error: no setup.jsonl beside the record {task.folder}, and none of {len(said_in(task.world))} messages is "
        "verified; give it with --setup\n"
    )
    assert given.stdout.splitlines()[0].split()[0] == str(len(set_up_of(task.world)) + len(said_in(task.world)))


# Real sessions among local parties, whose record is on disk


class SwappingAggregator(Aggregator):
    """Opens another share than it committed to, and signs what it opens."""

    def open(self, memory: AggregatorMemory, share: OwnShare, agreements: Sequence[Agreement]) -> Step[Opening]:
        step = Aggregator.open(self, memory, share, agreements)
        other = step.message.share.copy()
        other[0] = (int(other[0]) + 1) % self.manifest.field.prime
        receipt = replace(step.message, share=other).receipt(self.manifest.bulk_hash)
        signature = receipt.signed_by(self.identity, step.message.sid).signature
        return replace(step, message=replace(step.message, share=other, signature=signature))


@pytest.fixture
def session_of(tmp_path: Path) -> Callable[..., SessionResult]:
    """Runs a session among three clients and three aggregators, the second of the given class; writes its record."""

    def run(second: type[Aggregator], mode: str = "sealed") -> SessionResult:
        plan = SecurePlan(("a", "b", "c"), 7, 3, FixedPoint(COMPACT, 1.0, 12, 20, 3), roster_min=2, mode=mode)
        parties, store = local_parties(plan), PartyStore.create(tmp_path / "store")
        setup, record = TranscriptFile(tmp_path / "setup.jsonl"), TranscriptFile(tmp_path / "session.jsonl")
        set_up_in(store, parties, MessageLog(parties.manifest, setup.add))
        own = parties.aggregators[1]
        parties = parties.with_aggregator(second(own.manifest, own.number, own.identity))
        (tmp_path / "manifest.toml").write_text(parties.manifest.to_toml())
        inputs = {number: giving(np.full(7, 0.25, np.float32), 3, bytes(32)) for number in (1, 2, 3)}
        try:
            return Session(parties, MessageLog(parties.manifest, record.add), store, RoleClock()).run(1, inputs)
        finally:
            setup.close()
            record.close()
            store.close()

    return run


@pytest.fixture
def verified(call: Call, tmp_path: Path) -> Callable[[], tuple[Result, dict[str, Any]]]:
    """What the command says about that record, and the findings that it writes."""

    def verify() -> tuple[Result, dict[str, Any]]:
        files = [tmp_path / name for name in ("session.jsonl", "manifest.toml", "found.json")]
        result = call("transcript", "verify", files[0], "--manifest", files[1], "--json", files[2])
        return result, json.loads(files[2].read_text())

    return verify


def test_an_honest_session_on_disk_is_consistent(session_of: Any, verified: Any) -> None:
    """Without misbehaviour the two tests below would prove nothing."""
    assert len(session_of(Aggregator).averages) == 3
    result, found = verified()
    assert (result.exit_code, found["consistent"], found["faults"]) == (0, True, 0)


@pytest.mark.parametrize("mode", ["sealed", "public"])
def test_who_opens_something_else_than_it_committed_to_is_proven_guilty_by_the_record_on_disk(
    session_of: Any, verified: Any, mode: str
) -> None:
    with pytest.raises(BlamedError, match="aggregator 2"):
        session_of(SwappingAggregator, mode)
    result, found = verified()
    assert result.exit_code == 1
    (session,) = found["sessions"]
    assert session["outcome"] == "incomplete"  # it was agreed on, so nobody gives it up
    faults = [own for own in session["findings"] if own["level"] in ("proven", "inconsistent", "suspected")]
    assert [(own["level"], own["parties"]) for own in faults] == [("proven", ["aggregator 2"])]
    assert faults[0]["what"] == "opened something other than it committed to"
    assert result.stdout.splitlines()[-1] == "proven to have broken the protocol: aggregator 2"


@pytest.mark.parametrize("mode", ["sealed", "public"])
def test_a_share_that_was_altered_before_it_was_committed_is_a_refused_result_on_disk_and_proves_nobody_guilty(
    session_of: Any, verified: Any, mode: str
) -> None:
    assert sorted(session_of(AlteringAggregator, mode).refusals) == [1, 2, 3]
    result, found = verified()
    assert result.exit_code == 1
    (session,) = found["sessions"]
    assert session["outcome"] == "refused"
    assert session["refusals"] == [{"client": number, "check": 5} for number in (1, 2, 3)]
    levels = {own["level"] for own in session["findings"]}
    assert "proven" not in levels
    assert ("inconsistent" in levels) == (mode == "public")  # where anyone can see that the clients are right
    assert "certified, refused by 3 clients 3/3" in words(result)
    assert "3 clients refused a certified result" in result.stdout
    assert "altered the sum before it was committed" in result.stdout
    assert "consistent: nothing" not in result.stdout


def test_a_real_run_is_consistent(call: Call, tmp_path: Path, eyes: Path, experiment_text: Callable[..., str]) -> None:
    pytest.importorskip("torch")
    (tmp_path / "small.toml").write_text(experiment_text(eyes, methods='["private"]', rounds=1))
    assert call("train", tmp_path / "small.toml", "--out", tmp_path / "run").exit_code == 0
    task = tmp_path / "run" / "aggregation" / "all" / "private"
    result = call("transcript", "verify", task, "--manifest", task / "manifest.toml")
    assert result.exit_code == 0
    assert "certified 3/3" in words(result)
    assert call("task", "verify", task / "manifest.toml").exit_code == 0
