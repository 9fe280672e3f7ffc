"""``privateyes task continue`` on a round that was opened and refused."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import Result

from local_task import refuse
from privateyes.aggregation.messages import Agreement
from privateyes.cli.continue_tables import print_refused
from privateyes.crypto.field import COMPACT
from privateyes.crypto.signature import SigningKey
from privateyes.encoding.fixed_point import FixedPoint
from privateyes.engines.local.continuing import look
from privateyes.engines.local.parties import SecurePlan
from privateyes.engines.local.secure import SecureExchange
from privateyes.engines.local.stages import OPENING
from privateyes.experiments.record import EXPERIMENT, exclusive
from privateyes.experiments.secure import forget_secrets
from privateyes.federation.participants import ClientUpdate
from privateyes.federation.rounds import ServerState
from privateyes.federation.server_step import FedAvg
from privateyes.parties.packets import HUB
from privateyes.storage.store import PartyStore
from taking_part import taking_part

Call = Callable[..., Result]
pytestmark = pytest.mark.usefixtures("copied_stores")

NAMES = ("ada", "bob", "cyd", "[red]dan")
TASK, OTHER = Path("aggregation/all/private"), Path("aggregation/all/private-fedadam")
UPDATES = [ClientUpdate(name, 2, np.full(20, 0.1, np.float32), 0.0) for name in NAMES]


def opened(folder: Path, *mirrors: Path) -> SecureExchange:
    plan = SecurePlan(NAMES, 20, 3, FixedPoint(COMPACT, 1.0, 12, weight_max=20, roster_max=4), 2)
    return SecureExchange(plan, FedAvg(), folder, seed=1, mirrors=mirrors)


def refused_in(run: Path, *mirrors: Path) -> Path:
    """A run whose task has a second round that every client refused; the last client was not counted."""
    with closing(opened(run / TASK, *mirrors)) as exchange:
        state, _ = exchange.exchange(ServerState(np.zeros(20, np.float32)), taking_part(UPDATES))
        refuse(exchange, state, UPDATES[:3])
    (run / EXPERIMENT).write_text("")
    return run


@pytest.fixture(scope="module")
def refused_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return refused_in(tmp_path_factory.mktemp("refused") / "run")


@pytest.fixture
def run(refused_once: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(refused_once, tmp_path / "run"))


def resume(run: Path) -> None:
    """The run goes on in its refused round."""
    with closing(opened(run / TASK)) as exchange:
        state, _ = exchange.exchange(ServerState(np.zeros(20, np.float32)), taking_part(UPDATES))
        exchange.exchange(state, taking_part(UPDATES))


def words_of(result: Result) -> str:
    return " ".join(result.stdout.split())


def test_what_happened_and_what_is_safe_is_told_and_a_decision_ends_the_wait(call: Call, run: Path) -> None:
    told = call("task", "continue", run)
    assert told.exit_code == 1
    shown = words_of(told)
    assert f"{run / TASK} round 2 was opened and refused; the clients keep the model before it session " in shown
    assert "ada, bob, cyd yes 5 (tag): the sum does not carry the clients' tags: somebody altered it" in shown
    assert "[red]dan no 5 (tag): " in shown
    assert "the record names nobody: any of the 3 counted clients, an aggregator or the hub may have altered" in shown
    for row in ("send again yes the same 3 clients", "start over yes a new run", "add somebody no the two sums would"):
        assert row in shown
    assert told.stdout.endswith(f"to send it again: privateyes task continue {run / TASK} --send-again\n")

    decided = call("task", "continue", run / TASK, "--send-again")
    assert decided.exit_code == 0
    assert (
        f"decided: it is sent again, once, when the run goes on with `privateyes train {run} --resume`"
        in decided.stdout
    )
    again = call("task", "continue", run)
    assert again.exit_code == 0
    assert again.stdout == decided.stdout

    resume(run)
    accepted = call("task", "continue", run)
    assert accepted.exit_code == 0
    assert accepted.stdout == f"{run / TASK}: no session waits for a decision\n"

    forget_secrets(run / TASK)
    over = call("task", "continue", run)
    assert over.exit_code == 0
    assert over.stdout.endswith("its keys are gone: it is complete, or was cleaned, and cannot go on\n")


def test_of_several_tasks_each_is_told_and_one_that_waits_is_enough(call: Call, run: Path) -> None:
    with closing(opened(run / OTHER)) as exchange:
        exchange.exchange(ServerState(np.zeros(20, np.float32)), taking_part(UPDATES))
    told = call("task", "continue", run)
    assert told.exit_code == 1
    assert f"{run / TASK}\nround 2 was opened" in told.stdout
    assert f"{run / OTHER}: no session waits for a decision" in told.stdout
    assert call("task", "continue", run / OTHER).exit_code == 0
    shutil.copytree(run / TASK, run / "aggregation" / "p01" / "private")
    assert call("task", "continue", run, "--send-again").exit_code == 0
    for folder in (run / TASK, run / "aggregation" / "p01" / "private"):
        found = look(folder)
        assert found is not None
        assert found.asked_again


def test_a_repeat_that_was_refused_too_is_told_and_waits_again(call: Call, run: Path) -> None:
    for times in ("once", "2 times"):
        assert call("task", "continue", run, "--send-again").exit_code == 0
        with closing(opened(run / TASK)) as exchange:
            state, _ = exchange.exchange(ServerState(np.zeros(20, np.float32)), taking_part(UPDATES))
            refuse(exchange, state, UPDATES)
        told = call("task", "continue", run)
        assert told.exit_code == 1
        assert f"round 2 was opened and refused, and so was what was sent again {times}; the clients" in told.stdout


def test_a_way_that_is_not_safe_is_no_way_and_the_reason_is_one_line(call: Call, run: Path) -> None:
    found = look(run / TASK)
    assert found is not None
    with closing(PartyStore(run / TASK)) as store:
        store.remove_stage(found.sid, HUB, OPENING)
    told = call("task", "continue", run)
    assert told.exit_code == 1
    assert "send again no the hub does not keep its roster" in words_of(told)
    assert told.stdout.endswith("nothing can be sent again: start over, from other weights\n")
    refused = call("task", "continue", run, "--send-again")
    assert refused.exit_code == 2
    assert refused.stderr == (
        f"error: {run / TASK}: the session cannot be sent again: the hub does not keep its roster; see the other ways\n"
    )
    assert call("task", "continue", run).exit_code == 1


def test_whoever_the_record_proves_guilty_of_a_fault_is_named(call: Call, run: Path) -> None:
    found = look(run / TASK)
    assert found is not None
    with closing(PartyStore(run / TASK)) as store:
        key = SigningKey(store.identities()["aggregator 2"])
    second = Agreement(found.sid, 2, bytes(32)).signed_by(key, found.sid)
    (record,) = (run / TASK / "transcripts").glob("round-0002-*.jsonl")
    with record.open("a") as file:
        file.write(json.dumps({"type": "Agreement", "bytes": second.to_bytes().hex()}) + "\n")
    shown = words_of(call("task", "continue", run))
    assert "names nobody" not in shown
    assert "PROVEN (step 3) aggregator 2: signed 2 different T for one session" in shown


def test_a_record_that_cannot_be_read_names_nobody_and_the_ways_are_told_all_the_same(call: Call, run: Path) -> None:
    (record,) = (run / TASK / "transcripts").glob("round-0002-*.jsonl")
    record.write_text("no message\n" + record.read_text())
    told = call("task", "continue", run)
    assert told.exit_code == 1
    assert f"the record cannot be read, so nobody is named: {record}" in words_of(told)
    assert "start over" in told.stdout


def test_a_missing_mirror_is_told_on_stderr_and_too_few_are_an_error(call: Call, tmp_path: Path) -> None:
    mirrors = [tmp_path / name for name in "xyz"]
    run = refused_in(tmp_path / "run", *mirrors)
    assert call("task", "continue", run).stderr == ""
    shutil.rmtree(mirrors[0])
    told = call("task", "continue", run, "--send-again")
    assert told.exit_code == 0
    assert told.stderr.startswith(f"warning: the mirror in {mirrors[0]} is missing; the store goes on without it")
    assert told.stderr.count("\n") == 1
    shutil.rmtree(mirrors[1])
    refused = call("task", "continue", run)
    assert refused.exit_code == 2
    assert "error: 1 of the 3 mirrors of this store can be read" in refused.stderr


def test_in_80_columns_no_row_is_broken_and_nothing_is_cut(
    run: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    found = look(run / TASK)
    assert found is not None
    for width in (80, 200):
        monkeypatch.setattr("privateyes.cli.console._PIPE_WIDTH", width)
        print_refused(run / TASK, found)
        shown = capsys.readouterr().out
        tables = [line for line in shown.splitlines() if line.startswith("  ") or "─" in line]
        assert len(tables) > 10
        assert max(map(len, tables)) <= width
        assert "…" not in shown
        words = " ".join(shown.split())
        for way in found.ways:
            assert way.why.split()[-1] in words


def test_of_very_many_clients_with_one_fate_a_few_are_named(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = look(run / TASK)
    assert found is not None
    party = found.manifest.clients[0]
    clients = tuple(
        replace(party, name=f"c{number}", public_key=number.to_bytes(32, "big")) for number in range(1, 500)
    )
    names = tuple(client.name for client in clients)
    many = replace(found, manifest=replace(found.manifest, clients=clients), roster=names[:400], refusals={"c3": 8})
    print_refused(run / TASK, many)
    shown = " ".join(capsys.readouterr().out.split())
    assert "c1, c2, c4, c5, c6, c7, c8, c9 and 391 others yes -" in shown
    assert "c3 yes 8 (norm): the sum is longer than the norm limit allows" in shown
    assert "c401, c402, c403, c404, c405, c406, c407, c408 and 91 others no -" in shown


def test_nothing_is_decided_while_the_run_is_at_work(call: Call, run: Path) -> None:
    with exclusive(run):
        for directory in (run, run / TASK):
            refused = call("task", "continue", directory, "--send-again")
            assert refused.exit_code == 2
            assert f"another process is working in {run}" in refused.stderr
    assert call("task", "continue", run).exit_code == 1


def test_a_folder_without_a_task_is_named(call: Call, tmp_path: Path) -> None:
    refused = call("task", "continue", tmp_path)
    assert refused.exit_code == 2
    assert f"{tmp_path} holds no task" in refused.stderr
