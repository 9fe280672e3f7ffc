from __future__ import annotations

import json
import os
import re
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from privateyes.crypto.field import COMPACT
from privateyes.encoding.fixed_point import FixedPoint
from privateyes.engines.local.parties import SecurePlan
from privateyes.engines.local.secure import SecureExchange
from privateyes.errors import RunDirectoryError
from privateyes.experiments.clean import Kind, Remnant, is_finished, remnants_of, remove, unreached
from privateyes.experiments.record import RunDirectory, exclusive
from privateyes.experiments.report import write_report
from privateyes.experiments.run import run_experiment
from privateyes.experiments.spec import ExperimentSpec
from privateyes.federation.participants import ClientUpdate
from privateyes.federation.rounds import ServerState
from privateyes.federation.server_step import FedAvg
from privateyes.storage.store import PartyStore
from taking_part import taking_part

pytestmark = pytest.mark.usefixtures("copied_stores")

METHODS = '["local", "federated", "private"]'
TASK = Path("aggregation/all/private")
KEPT = ("experiment.toml", "begun.json", "environment.json", "metrics.jsonl", "model.json")


@pytest.fixture(scope="module")
def stopped_once(
    tmp_path_factory: pytest.TempPathFactory,
    small_spec: Callable[..., ExperimentSpec],
    finished_run: Path,
    silent: Any,
) -> Path:
    """A run that was stopped in its last method, with sample pictures and the page that shows them; read only."""
    directory = tmp_path_factory.mktemp("stopped") / "run"
    record = RunDirectory.record_round

    def stop(self: RunDirectory, line: dict[str, Any], *arguments: Any, **named: Any) -> None:
        record(self, line, *arguments, **named)
        if line["method"] == "private":
            raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(RunDirectory, "record_round", stop)
        with pytest.raises(KeyboardInterrupt):
            run_experiment(small_spec(methods=METHODS), directory, silent)
    shutil.copy(finished_run / "samples.npz", directory)
    write_report(directory)
    return directory


@pytest.fixture
def stopped(stopped_once: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(stopped_once, tmp_path / "run"))


def clean(directory: Path, everything: bool = False) -> tuple[Remnant, ...]:
    with remnants_of(directory, everything) as remnants:
        remove(directory, remnants)
    return remnants


def files_of(directory: Path) -> dict[str, bytes]:
    return {str(path.relative_to(directory)): path.read_bytes() for path in directory.rglob("*") if path.is_file()}


def secrets_of(directory: Path) -> list[bytes]:
    with closing(PartyStore(directory / TASK)) as store:
        return list(store.identities().values())


def found_in(paths: list[Path], secrets: list[bytes]) -> int:
    return sum(secret in path.read_bytes() for path in paths for secret in secrets)


def test_what_is_there_is_said_and_nothing_else_is_touched(stopped: Path) -> None:
    (stopped / "checkpoints" / "all" / ".local.safetensors.part").write_bytes(b"half")
    (stopped / ".samples.npz.part").write_bytes(b"half")
    before = files_of(stopped)
    with remnants_of(stopped) as remnants:
        found = {(str(remnant.path.relative_to(stopped)), remnant.kind) for remnant in remnants}
        assert {remnant.path.name: remnant.size_bytes for remnant in remnants}["samples.npz"] == len(
            before["samples.npz"]
        )
        keys = next(remnant for remnant in remnants if remnant.kind is Kind.KEYS)
        assert keys.size_bytes == sum(len(before[name]) for name in before if "parties" in name) > 0
    assert found == {
        (str(TASK), Kind.KEYS),
        ("checkpoints/all/local.safetensors", Kind.LOCAL),
        ("samples.npz", Kind.SAMPLES),
        ("report.html", Kind.PAGE),
        (".samples.npz.part", Kind.PART),
        ("checkpoints/all/.local.safetensors.part", Kind.PART),
    }
    assert files_of(stopped) == before


def test_keys_pictures_and_models_of_one_client_go_and_results_stay(stopped: Path) -> None:
    before, secrets = files_of(stopped), secrets_of(stopped)
    assert len(secrets) == 7
    linked = stopped.parent / "linked"  # the same file on disk, whatever becomes of its name
    os.link(stopped / TASK / "parties.sqlite", linked)
    assert found_in([linked], secrets) == 7
    clean(stopped)
    after = files_of(stopped)
    gone = {name for name in before if name not in after}
    assert gone == {name for name in before if "parties" in name} | {"samples.npz", "checkpoints/all/local.safetensors"}
    assert set(after) - set(before) == {str(TASK / "ended.json")}
    assert {name for name in before if name in after and after[name] != before[name]} == {"report.html"}
    assert b"data:image/png" in before["report.html"]
    assert b"data:image/png" not in after["report.html"]
    assert found_in([linked], secrets) == 0
    assert not (stopped / TASK / "parties.bodies").exists()
    with remnants_of(stopped) as left:
        assert left == ()


@pytest.mark.parametrize("damage", ["of another version", "torn", "no database", "bodies alone"])
def test_a_store_that_does_not_open_is_overwritten_all_the_same(stopped: Path, damage: str) -> None:
    secrets, path = secrets_of(stopped), stopped / TASK / "parties.sqlite"
    bodies = list((stopped / TASK / "parties.bodies").iterdir())
    assert bodies
    linked = [stopped.parent / "linked", stopped.parent / "linked body"]
    os.link(bodies[0], linked[1])
    if damage == "of another version":
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("PRAGMA user_version = 99")
    elif damage == "torn":
        path.write_bytes(path.read_bytes()[:20_000])
    elif damage == "no database":
        path.write_bytes(b"no database " + b"".join(secrets))
    else:
        path.unlink()
        linked = linked[1:]
    if damage != "bodies alone":
        os.link(path, linked[0])
    clean(stopped)
    assert not [file for file in (stopped / TASK).rglob("*") if "parties" in file.name]
    assert found_in(linked, secrets) == 0
    if damage != "torn":  # which opens, and loses the keys of its bodies in the regular method
        assert all(set(file.read_bytes()) == {0} for file in linked)


def test_a_link_is_removed_and_what_it_leads_to_is_not(stopped: Path) -> None:
    foreign = stopped.parent / "foreign"
    foreign.mkdir()
    (foreign / "letter").write_bytes(b"not of this run")
    shutil.rmtree(stopped / TASK / "parties.bodies")
    (stopped / TASK / "parties.bodies").symlink_to(foreign)
    (stopped / TASK / "parties.sqlite-journal").symlink_to(foreign / "letter")
    clean(stopped)
    assert (foreign / "letter").read_bytes() == b"not of this run"
    assert [path.name for path in sorted((stopped / TASK).iterdir())] == [
        "manifest.toml",
        "settings.json",
        "transcripts",
    ]


def test_the_store_of_a_replay_that_was_killed_goes(stopped: Path) -> None:
    shutil.copytree(
        stopped / TASK, stopped / "replay.part", ignore=shutil.ignore_patterns("transcripts", "*.toml", "*.json")
    )
    assert stopped / "replay.part" in [remnant.path for remnant in clean(stopped)]
    assert not (stopped / "replay.part").exists()


@pytest.fixture
def mirrored(tmp_path: Path) -> Path:
    """A run that was stopped in a way whose parties have three mirrors; without anything else."""
    run = tmp_path / "run"
    updates = [ClientUpdate(name, 5, np.ones(20, np.float32), 0.0) for name in "abc"]
    plan = SecurePlan(("a", "b", "c"), 20, 2, FixedPoint(COMPACT, 1.0, 12, 20, 3), 3)
    with closing(SecureExchange(plan, FedAvg(), run / TASK, 1, mirrors=mirrors_of(run))) as exchange:
        exchange.exchange(ServerState(np.zeros(20, np.float32)), taking_part(updates))
    (run / "experiment.toml").touch()
    return run


def mirrors_of(run: Path) -> list[Path]:
    return [run.parent / f"disk {number}" / "run-0" / "all" / "private" for number in range(3)]


def linked_rows(run: Path) -> list[Path]:
    """Second names of the files that hold the rows of every mirror that is there."""
    links = []
    for number, folder in enumerate(mirrors_of(run)):
        if folder.exists():
            links.append(run.parent / f"linked {number}")
            os.link(folder / "parties.sqlite", links[-1])
    return links


@pytest.mark.parametrize("lost", [[], [1], [0, 2]], ids=["all there", "one away", "two away"])
def test_keys_go_from_every_mirror_that_is_there_however_few_there_are(mirrored: Path, lost: list[int]) -> None:
    mirrors = mirrors_of(mirrored)
    with closing(PartyStore(*mirrors)) as store:
        secrets = list(store.identities().values())
    for number in lost:
        shutil.rmtree(mirrored.parent / f"disk {number}")
    links = linked_rows(mirrored)
    assert found_in(links, secrets) == len(secrets) * (3 - len(lost))
    sizes = [path.stat().st_size for path in mirrored.parent.glob("disk*/**/*") if path.is_file()]
    (keys,) = clean(mirrored)
    there = [folder for number, folder in enumerate(mirrors) if number not in lost]
    assert (keys.path, keys.kind, keys.mirrors) == (mirrored / TASK, Kind.KEYS, tuple(there))
    assert keys.size_bytes == sum(sizes)
    assert found_in(links, secrets) == 0
    assert [path for folder in there for path in folder.parents[2].iterdir()] == []
    kept = {path.name for path in (mirrored / TASK).iterdir()}
    assert kept == {"manifest.toml", "settings.json", "transcripts", *(["left_mirrors.json"] if lost else [])}
    assert unreached(mirrored) == [mirrors[number] for number in lost]
    assert clean(mirrored) == ()
    assert unreached(mirrored) == [mirrors[number] for number in lost], "until their disks are back"


def test_a_mirror_whose_disk_was_away_is_erased_once_it_is_back(mirrored: Path) -> None:
    mirrors = mirrors_of(mirrored)
    disk, drawer = mirrored.parent / "disk 1", mirrored.parent / "in a drawer"
    disk.rename(drawer)
    clean(mirrored)
    assert unreached(mirrored) == [mirrors[1]]
    drawer.rename(disk)
    assert unreached(mirrored) == []
    (keys,) = clean(mirrored)
    assert keys.mirrors == (mirrors[1],)
    assert not (mirrors[1] / "parties.sqlite").exists()
    assert clean(mirrored) == ()
    assert not (mirrored / TASK / "left_mirrors.json").exists()


def test_what_somebody_else_has_on_a_mirrors_disk_stays(mirrored: Path) -> None:
    letters = [folder / "letter" for folder in mirrors_of(mirrored)]
    for letter in letters:
        letter.write_bytes(b"mine")
    clean(mirrored)
    assert [letter.read_bytes() for letter in letters] == [b"mine"] * 3
    assert [list(letter.parent.iterdir()) for letter in letters] == [[letter] for letter in letters]


def test_where_it_is_not_known_where_the_mirrors_are_nothing_is_removed(mirrored: Path) -> None:
    (mirrored / TASK / "store.json").write_text("[")
    before = files_of(mirrored.parent)
    with pytest.raises(RunDirectoryError, match="does not say where the store is"):
        clean(mirrored)
    assert files_of(mirrored.parent) == before


def test_with_everything_the_shared_models_and_the_records_go_too(stopped: Path) -> None:
    before = files_of(stopped)
    kinds = {remnant.kind for remnant in clean(stopped, everything=True)}
    assert {Kind.MODEL, Kind.RECORD} < kinds
    after = files_of(stopped)
    of_task = {str(TASK / name) for name in ("ended.json", "manifest.toml", "settings.json")}
    assert set(after) == {*KEPT, "report.html", *of_task}
    assert all(after[name] == before[name] for name in KEPT)
    assert not (stopped / "checkpoints").exists()


def test_what_somebody_else_put_there_stays(stopped: Path) -> None:
    own = ["notes.txt", "checkpoints/all/notes.txt", f"{TASK}/notes.txt", "samples/eye.png"]
    own += [f"{TASK}/parties.txt", f"{TASK}/parties.minutes/june.md"]
    for name in own:
        (stopped / name).parent.mkdir(exist_ok=True)
        (stopped / name).write_bytes(b"mine")
    clean(stopped, everything=True)
    assert all((stopped / name).read_bytes() == b"mine" for name in own)


def test_a_page_of_a_damaged_run_goes(stopped: Path) -> None:
    (stopped / "environment.json").unlink()
    clean(stopped)
    assert not (stopped / "report.html").exists()


def test_a_page_without_pictures_is_left_as_it_is(stopped: Path) -> None:
    write_report(stopped, with_pictures=False)
    assert Kind.PAGE not in {remnant.kind for remnant in clean(stopped)}


def test_a_directory_without_a_run_is_refused(tmp_path: Path) -> None:
    (tmp_path / "samples.npz").write_bytes(b"mine")
    with pytest.raises(RunDirectoryError, match="is no run directory"), remnants_of(tmp_path):
        pass
    assert (tmp_path / "samples.npz").exists()


def test_a_run_that_a_process_works_on_is_refused(stopped: Path) -> None:
    with (
        exclusive(stopped),
        pytest.raises(RunDirectoryError, match="another process is working"),
        remnants_of(stopped),
    ):
        pass


def test_no_process_may_go_on_with_a_run_while_it_is_cleaned(
    stopped: Path, small_spec: Callable[..., ExperimentSpec], listener: Any
) -> None:
    with remnants_of(stopped), pytest.raises(RunDirectoryError, match="another process is working"):
        run_experiment(small_spec(methods=METHODS), stopped, listener, resume=True)


def test_a_run_that_was_cleaned_before_its_end_says_why_it_cannot_go_on(
    stopped: Path, small_spec: Callable[..., ExperimentSpec], listener: Any
) -> None:
    assert not is_finished(stopped)
    clean(stopped)
    with pytest.raises(RunDirectoryError, match="the parties' keys are gone"):
        run_experiment(small_spec(methods=METHODS), stopped, listener, resume=True)


def test_a_finished_run_keeps_its_metrics_when_it_is_named_again(
    finished_run: Path, tmp_path: Path, small_spec: Callable[..., ExperimentSpec], listener: Any
) -> None:
    directory = Path(shutil.copytree(finished_run, tmp_path / "run"))
    metrics = (directory / "metrics.jsonl").read_bytes()
    assert is_finished(directory)
    clean(directory, everything=True)
    run_experiment(small_spec(methods='["centralised", "local", "federated"]'), directory, listener, resume=True)
    assert (directory / "metrics.jsonl").read_bytes() == metrics
    assert write_report(directory).exists()


THREATS = (Path(__file__).parents[2] / "docs" / "threat-model.md").read_text(encoding="utf-8")


def rows_of_the_threat_model() -> list[tuple[list[str], str]]:
    """Of its table, "What a run's directory keeps": the paths of each row, and how they are removed."""
    section = THREATS.partition("## What a run's directory keeps")[2].partition("\n## ")[0]
    cells = [line.strip("|").split("|") for line in section.splitlines() if line.startswith("| `")]
    return [(re.findall(r"`([^`]+)`", row[0]), row[-1]) for row in cells]


def test_the_threat_model_lists_every_file_and_how_it_is_removed(stopped: Path, finished_run: Path) -> None:
    """A row's files go with `clean`, with `clean --all` or never, as it says; the first row that fits a file counts."""
    for name in ("results.json", "checkpoints/all/local.best.safetensors", "checkpoints/all/centralised.safetensors"):
        shutil.copy(finished_run / name.replace(".best", ""), stopped / name)
    for name in (
        "synthetic_eyes.h5",
        "calibration/local-ridge.json",
        "replay.part/parties.sqlite",
        ".results.json.part",
    ):
        (stopped / name).parent.mkdir(exist_ok=True)
        (stopped / name).write_bytes(b"content")
    (stopped / "checkpoints/all/.local.safetensors.part").write_bytes(b"half")
    own = str(stopped / TASK)
    (stopped / TASK / "store.json").write_text(json.dumps({"folder": own, "mirrors": [own]}))
    (stopped / TASK / "left_mirrors.json").write_text(json.dumps([own]))
    rows = rows_of_the_threat_model()
    said, used = {}, set()
    for name in files_of(stopped):
        row = next((row for row in rows if any(fnmatch(name, path) for path in row[0])), None)
        assert row is not None, f"{name} is in no row"
        used.update(path for path in row[0] if fnmatch(name, path))
        said[name] = "--all" if "`clean --all`" in row[1] else "clean" if "`clean`" in row[1] else "never"
    assert used == {path for row in rows for path in row[0]}, "a row that fits nothing"
    clean(stopped)
    assert {name for name in said if name not in files_of(stopped)} == {
        name for name, how in said.items() if how == "clean" and name != "report.html"
    }
    clean(stopped, everything=True)
    assert {name for name in said if name in files_of(stopped)} == {
        name for name, how in said.items() if how == "never" or name == "report.html"
    }
