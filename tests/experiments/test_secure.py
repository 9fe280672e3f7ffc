"""From an experiment file to the task: the manifest's numbers, and what is refused before anything is written."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from privateyes.aggregation import messages
from privateyes.aggregation.manifest import manifest_from_toml
from privateyes.aggregation.privacy_section import Privacy
from privateyes.aggregation.result import verify_disclosed
from privateyes.encoding.fixed_point import exact_clip
from privateyes.errors import ConfigError, ParameterError, RunDirectoryError
from privateyes.experiments.folds import Fold
from privateyes.experiments.record import RunDirectory
from privateyes.experiments.run import run_experiment
from privateyes.experiments.secure import (
    FOLDER,
    check_secure_plan,
    forget_secrets,
    mirror_folders,
    open_secure_exchange,
    replace_mirrors,
    secure_plan,
    task_folder,
    weight_policy,
)
from privateyes.experiments.spec import ExperimentSpec, parse_spec
from privateyes.experiments.spec_tables import Store
from privateyes.federation.participants import ClientUpdate
from privateyes.federation.rounds import ServerState
from privateyes.federation.server_step import FedAvg
from privateyes.storage import places
from privateyes.storage.mirror import Mirror
from privateyes.storage.mirrors import Mirrors
from taking_part import taking_part

NAMES = ("p00", "p01", "p02")
CLIENTS = {"p00": 10, "p01": 24, "p02": 3}
FOLD = Fold("all", NAMES, ("p03",))
D = 30


@pytest.fixture
def spec_with(eyes: Path, experiment_text: Callable[..., str]) -> Callable[[str], ExperimentSpec]:
    def make(aggregation: str) -> ExperimentSpec:
        text = experiment_text(eyes, '["private"]', tail=f"[aggregation]\n{aggregation}\n")
        return parse_spec(text, "x.toml", Path())

    return make


def test_where_all_clients_weigh_the_same_no_weight_is_above_1(spec_with: Callable[[str], ExperimentSpec]) -> None:
    spec = spec_with('[federation]\nweights = "equal"')
    assert secure_plan(spec, FOLD, CLIENTS, D).encoding.weight_max == 1
    assert weight_policy(spec)(24) == 1
    assert weight_policy(spec_with(""))(24) == 24


def test_the_plan_follows_from_the_experiment(spec_with: Callable[[str], ExperimentSpec]) -> None:
    plan = secure_plan(spec_with(""), FOLD, CLIENTS, D)
    assert (plan.clients, plan.dimension, plan.aggregators, plan.mode) == (NAMES, D, 3, "sealed")
    assert (plan.encoding.weight_max, plan.encoding.roster_max, plan.roster_min) == (24, 3, 3)
    given = 'aggregators = 5\nfield = "wide"\nroster_min = 2\nmode = "public"\nscale_bits = 7'
    plan = secure_plan(spec_with(given), FOLD, CLIENTS, D)
    assert (plan.aggregators, plan.encoding.field.name, plan.roster_min, plan.mode) == (5, "wide", 2, "public")
    assert plan.encoding.scale_bits == 7


@pytest.mark.parametrize(
    ("aggregation", "norm_clip"),
    [
        ("", 100.0),
        ("clip = 0.01", 100.0),
        ("clip = 4.0", 400.0),
        ("norm_clip = 2", 2.0),
        ("norm_clip = 0.1", exact_clip(0.1)),
        ("norm_clip = 0", None),
        ('mode = "public"', 100.0),
    ],
)
def test_the_l2_norm_is_limited_unless_the_experiment_lifts_the_limit(
    spec_with: Callable[[str], ExperimentSpec], aggregation: str, norm_clip: float | None
) -> None:
    plan = secure_plan(spec_with(aggregation), FOLD, CLIENTS, D)
    plan.require_safe()
    assert plan.privacy == (None if norm_clip is None else Privacy(norm_clip))


def test_a_coarse_grid_raises_the_default_limit_and_a_given_one_is_refused_with_the_least(
    spec_with: Callable[[str], ExperimentSpec],
) -> None:
    """With steps of 1/2 and a million parameters, four roots of d are 2000."""
    check_secure_plan(spec_with("scale_bits = 1"), FOLD, CLIENTS, 1_000_000)
    assert secure_plan(spec_with("scale_bits = 1"), FOLD, CLIENTS, 1_000_000).privacy == Privacy(2000.0)
    check_secure_plan(spec_with("scale_bits = 1\nnorm_clip = 2000"), FOLD, CLIENTS, 1_000_000)
    with pytest.raises(ParameterError, match=r"too short for 1000000 parameters.*use norm_clip = 2000\.0 or more"):
        check_secure_plan(spec_with("scale_bits = 1\nnorm_clip = 1999"), FOLD, CLIENTS, 1_000_000)


@pytest.mark.parametrize(
    ("aggregation", "message"),
    [
        ("scale_bits = 30", r"scale_bits = 30 could wrap: 3 clients x weight 24 .*use scale_bits = \d+ or less"),
        ("clip = 1e9", r"no fixed-point scale fits 3 clients of weight up to 24 with clip 1e\+09"),
    ],
)
def test_a_bound_that_would_wrap_is_refused_with_the_remedy(
    spec_with: Callable[[str], ExperimentSpec], aggregation: str, message: str
) -> None:
    with pytest.raises(ParameterError, match=message) as caught:
        check_secure_plan(spec_with(aggregation), FOLD, CLIENTS, D)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("aggregation", "message"),
    [
        ("aggregators = 1", r"aggregation\.aggregators = 1; it should be greater than or equal to 2"),
        ("norm_clip = -1", r"aggregation\.norm_clip = -1(\.0)?; it should be greater than or equal to 0"),
        ("roster_min = 1", r"aggregation\.roster_min = 1; it should be greater than or equal to 2"),
        ('mode = "open"', r"aggregation\.mode = \"open\"; it should be 'sealed' or 'public'"),
        ("mode = true", r"aggregation\.mode = true; it should be 'sealed' or 'public'"),
    ],
)
def test_what_no_task_may_have_is_refused_with_key_and_range(
    spec_with: Callable[[str], ExperimentSpec], aggregation: str, message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        spec_with(aggregation)


def test_one_client_is_no_task(spec_with: Callable[[str], ExperimentSpec]) -> None:
    with pytest.raises(ParameterError, match=r"1 client\(s\); an average over fewer than 2 clients hides nothing"):
        check_secure_plan(spec_with(""), Fold("all", ("p00",), ("p01",)), {"p00": 10}, D)


def test_a_directory_of_an_experiment_with_another_clip_is_refused(
    spec_with: Callable[[str], ExperimentSpec], tmp_path: Path
) -> None:
    updates = [ClientUpdate(name, 3, np.ones(D, np.float32), 0.0) for name in NAMES]
    folder = task_folder(tmp_path, FOLD, "private")
    exchange = open_secure_exchange(
        spec_with(""), secure_plan(spec_with(""), FOLD, CLIENTS, D), FedAvg(), folder, print
    )
    exchange.exchange(ServerState(np.zeros(D, np.float32)), taking_part(updates))
    exchange.close()
    other = spec_with("clip = 0.5")
    plan = secure_plan(other, FOLD, CLIENTS, D)
    with pytest.raises(RunDirectoryError, match=r"holds another task: clip: 1\.0 as pinned, 0\.5 here"):
        open_secure_exchange(other, plan, FedAvg(), folder, print)
    forget_secrets(folder)
    kept = sorted(path.name for path in folder.iterdir())
    assert kept == ["ended.json", "manifest.toml", "settings.json", "transcripts"]
    forget_secrets(folder)


def test_a_public_run_ends_with_the_same_model_and_anyone_can_check_every_round(
    spec_with: Callable[[str], ExperimentSpec], tmp_path: Path, listener: Any
) -> None:
    models = {}
    for mode in ("sealed", "public"):
        run_experiment(spec_with(f'mode = "{mode}"'), tmp_path / mode, listener)
        checkpoint = RunDirectory(tmp_path / mode).read_checkpoint("all", "private")
        assert checkpoint is not None
        models[mode] = checkpoint.state()
    assert models["public"].vector.tobytes() == models["sealed"].vector.tobytes()
    folder = tmp_path / "public" / FOLDER / "all" / "private"
    manifest = manifest_from_toml((folder / "manifest.toml").read_text())
    records = sorted((folder / "transcripts").glob("round-*.jsonl"))
    assert len(records) == 2
    for record in records:
        said: dict[str, list[Any]] = {}
        for line in map(json.loads, record.read_text().splitlines()):
            message = getattr(messages, line["type"]).from_bytes(bytes.fromhex(line["bytes"]), manifest)
            said.setdefault(line["type"], []).append(message)
        average = verify_disclosed(manifest, said["Delivery"][0], said["Header"], said["Disclosure"][0])
        assert average.total_weight == 72
    assert models["public"].last_sid == said["Delivery"][0].sid


# Mirrors


@pytest.fixture
def disks(tmp_path: Path) -> list[Path]:
    return [tmp_path / f"disk {number}" for number in range(3)]


@pytest.fixture
def mirrored(eyes: Path, experiment_text: Callable[..., str], disks: list[Path]) -> ExperimentSpec:
    tail = f"[store]\nmirrors = {json.dumps([str(disk) for disk in disks])}\n"
    return parse_spec(experiment_text(eyes, '["private"]', tail=tail), "x.toml", Path())


def model_of(directory: Path) -> bytes:
    checkpoint = RunDirectory(directory).read_checkpoint("all", "private")
    assert checkpoint is not None
    assert checkpoint.round == 2
    return checkpoint.state().vector.tobytes()


@pytest.fixture(scope="module")
def expected(
    eyes: Path, experiment_text: Callable[..., str], tmp_path_factory: pytest.TempPathFactory, silent: Any
) -> bytes:
    """The model of the same run without mirrors."""
    directory = tmp_path_factory.mktemp("plain") / "run"
    spec = parse_spec(experiment_text(eyes, '["private"]'), "x.toml", Path())
    run_experiment(spec, directory, silent, extras=False)
    return model_of(directory)


def stopped_after_a_round(spec: ExperimentSpec, directory: Path, listener: Any) -> None:
    record = RunDirectory.record_round

    def stop(*given: Any, **named: Any) -> None:
        record(*given, **named)
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(RunDirectory, "record_round", stop)
        with pytest.raises(KeyboardInterrupt):
            run_experiment(spec, directory, listener, extras=False)


def stores_below(*folders: Path) -> list[Path]:
    return sorted(path.parent for folder in folders for path in folder.rglob("parties.sqlite"))


def notes_of(listener: Any) -> list[str]:
    return [text for kind, text, *_ in listener.told if kind == "note"]


def test_a_run_with_mirrors_ends_in_the_same_model_and_leaves_nothing_on_the_disks(
    mirrored: ExperimentSpec, disks: list[Path], tmp_path: Path, expected: bytes, listener: Any, silent: Any
) -> None:
    run = tmp_path / "run"
    stopped_after_a_round(mirrored, run, silent)
    folders = mirror_folders(mirrored, task_folder(run, FOLD, "private"))
    assert stores_below(tmp_path) == list(folders)
    assert [folder.parents[2] for folder in folders] == disks
    run_experiment(mirrored, run, listener, resume=True, extras=False)
    assert model_of(run) == expected
    assert notes_of(listener) == []
    assert [list(disk.iterdir()) for disk in disks] == [[], [], []]


def test_a_run_goes_on_without_one_of_its_mirrors_and_says_so(
    mirrored: ExperimentSpec, disks: list[Path], tmp_path: Path, expected: bytes, listener: Any, silent: Any
) -> None:
    run = tmp_path / "run"
    stopped_after_a_round(mirrored, run, silent)
    _, lost, _ = mirror_folders(mirrored, task_folder(run, FOLD, "private"))
    shutil.rmtree(disks[1])
    run_experiment(mirrored, run, listener, resume=True, extras=False)
    assert model_of(run) == expected
    missing, unreached = notes_of(listener)
    assert missing.startswith(f"warning: the mirror in {lost} is missing; ")
    assert missing.endswith(f"in its place first: `privateyes task mirror {run} {disks[1]} NEW`")
    assert unreached.startswith(f"warning: the mirror in {lost} could not be reached, and may still hold keys")


@pytest.mark.parametrize("is_dead", [True, False], ids=["dead", "taken away"])
def test_a_fresh_mirror_takes_the_place_of_one_and_the_run_goes_on_without_a_word(
    mirrored: ExperimentSpec,
    disks: list[Path],
    tmp_path: Path,
    expected: bytes,
    listener: Any,
    silent: Any,
    is_dead: bool,
) -> None:
    run, fresh, task = tmp_path / "run", tmp_path / "fresh", task_folder(tmp_path / "run", FOLD, "private")
    stopped_after_a_round(mirrored, run, silent)
    before = mirror_folders(mirrored, task)
    if is_dead:
        shutil.rmtree(disks[1])
    old = mirror_folders(mirrored, task)[1]
    assert replace_mirrors(run, disks[1] if is_dead else old, fresh) == ([task], not is_dead)
    now = RunDirectory(run).read_spec()
    assert now.store.mirrors == [str(disks[0]), str(fresh), str(disks[2])]
    assert now.result_key() == mirrored.result_key()
    after = mirror_folders(now, task)
    assert after == (before[0], fresh / before[1].relative_to(disks[1]), before[2])
    assert stores_below(tmp_path) == sorted(after)
    run_experiment(now, run, listener, resume=True, extras=False)
    assert model_of(run) == expected
    assert stores_below(tmp_path) == []
    assert [note.partition(", and may")[0] for note in notes_of(listener)] == (
        [f"warning: the mirror in {old} could not be reached"] if is_dead else []
    )


def with_mirrors(spec: ExperimentSpec, *mirrors: Path) -> ExperimentSpec:
    return spec.model_copy(update={"store": Store(mirrors=[str(mirror) for mirror in mirrors])})


def test_mirrors_that_cannot_be_written_are_refused_before_anything_is_trained(
    mirrored: ExperimentSpec, tmp_path: Path, silent: Any
) -> None:
    first, second, run = tmp_path / "a", tmp_path / "b", tmp_path / "run"
    (tmp_path / "file").write_text("")
    for bad in (tmp_path / "file", tmp_path / "no" / "such"):
        with pytest.raises(RunDirectoryError, match=rf"store\.mirrors names {bad}, which cannot be written \("):
            run_experiment(with_mirrors(mirrored, first, second, bad), run, silent)
        assert not run.exists()


@pytest.mark.parametrize("inner", ["a/in", "run/in", "run", "linked/in", "."])
def test_mirrors_that_lie_in_each_other_or_in_the_run_are_refused(
    mirrored: ExperimentSpec, tmp_path: Path, silent: Any, inner: str
) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "linked").symlink_to(tmp_path / "a")
    spec = with_mirrors(mirrored, tmp_path / "a", tmp_path / "b", tmp_path / inner)
    with pytest.raises(RunDirectoryError, match=r"lies in .*, or .* in it; name folders on different disks"):
        run_experiment(spec, tmp_path / "run", silent)
    assert not (tmp_path / "run").exists()


def test_mirrors_on_one_disk_are_a_warning(mirrored: ExperimentSpec, tmp_path: Path, listener: Any) -> None:
    stopped_after_a_round(mirrored, tmp_path / "run", listener)
    (note,) = notes_of(listener)
    assert note.startswith("warning: some of the mirrors in store.mirrors lie on one disk; its death would take all")


def test_an_experiment_that_names_a_mirror_that_was_replaced_loses_none_and_one_that_names_another_is_refused(
    mirrored: ExperimentSpec, disks: list[Path], tmp_path: Path, expected: bytes, listener: Any, silent: Any
) -> None:
    run, fresh = tmp_path / "run", tmp_path / "fresh"
    stopped_after_a_round(mirrored, run, silent)
    shutil.rmtree(disks[1])
    replace_mirrors(run, disks[1], fresh)
    other = with_mirrors(mirrored, disks[0], disks[1], tmp_path / "other")
    with pytest.raises(RunDirectoryError, match=r"other/.* is no mirror of the store of .*, whose mirrors are: "):
        run_experiment(other, run, silent, resume=True, extras=False)
    run_experiment(mirrored, run, listener, resume=True, extras=False)
    assert model_of(run) == expected
    assert stores_below(tmp_path) == [], "the fresh one is erased too, though this experiment does not name it"


@pytest.mark.parametrize("at", ["the set", "the task's file", "the run's file"])
def test_a_replacement_that_was_killed_is_ended_by_the_same_command(
    mirrored: ExperimentSpec,
    disks: list[Path],
    tmp_path: Path,
    expected: bytes,
    listener: Any,
    silent: Any,
    monkeypatch: pytest.MonkeyPatch,
    at: str,
) -> None:
    run, fresh = tmp_path / "run", tmp_path / "fresh"
    stopped_after_a_round(mirrored, run, silent)

    def die(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        where, name = {
            "the set": (Mirrors, "_drop"),
            "the task's file": (places, "name_folders"),
            "the run's file": (RunDirectory, "freeze"),
        }[at]
        patched.setattr(where, name, die)
        with pytest.raises(KeyboardInterrupt):
            replace_mirrors(run, disks[2], fresh)
    replace_mirrors(run, disks[2], fresh)
    now = RunDirectory(run).read_spec()
    assert now.store.mirrors == [str(disks[0]), str(disks[1]), str(fresh)]
    assert len(stores_below(tmp_path)) == 3
    run_experiment(now, run, listener, resume=True, extras=False)
    assert notes_of(listener) == []
    assert model_of(run) == expected


def test_a_replacement_that_cannot_be_is_refused_and_changes_nothing(
    mirrored: ExperimentSpec, disks: list[Path], tmp_path: Path, silent: Any
) -> None:
    run, fresh = tmp_path / "run", tmp_path / "fresh"
    stopped_after_a_round(mirrored, run, silent)
    frozen = (run / "experiment.toml").read_bytes()
    with pytest.raises(
        RunDirectoryError, match=f"{fresh} is no mirror of the run in .*; its mirrors are: {disks[0]}, "
    ):
        replace_mirrors(run, fresh, disks[0])
    with pytest.raises(RunDirectoryError, match=f"{disks[1]} is a mirror of the run in .* already"):
        replace_mirrors(run, disks[0], disks[1])
    with pytest.raises(RunDirectoryError, match=f"the mirror {disks[1]}/in lies in another mirror"):
        replace_mirrors(run, disks[0], disks[1] / "in")
    with pytest.raises(RunDirectoryError, match=r"is no mirror of the store of .*; its mirrors are: "):
        places.replace_mirror(task_folder(run, FOLD, "private"), disks[0], fresh)
    first, second, _ = mirror_folders(mirrored, task_folder(run, FOLD, "private"))
    with pytest.raises(RunDirectoryError, match=f"{second} is a mirror of the store of .* already"):
        places.replace_mirror(task_folder(run, FOLD, "private"), first, second)
    for disk in disks[:2]:
        shutil.rmtree(disk)
    with pytest.raises(RunDirectoryError, match="1 of the 3 mirrors of this store can be read"):
        replace_mirrors(run, disks[0], fresh)
    assert (run / "experiment.toml").read_bytes() == frozen
    assert not fresh.exists()


def test_with_two_of_three_mirrors_gone_a_run_waits_for_one_of_them(
    mirrored: ExperimentSpec, disks: list[Path], tmp_path: Path, expected: bytes, listener: Any, silent: Any
) -> None:
    run = tmp_path / "run"
    stopped_after_a_round(mirrored, run, silent)
    for disk in disks[:2]:
        disk.rename(disk.with_name(f"{disk.name} in a drawer"))
    with pytest.raises(RunDirectoryError, match=rf"1 of the 3 mirrors .*attach another of its disks: {disks[0]}/.*"):
        run_experiment(mirrored, run, listener, resume=True, extras=False)
    disks[0].with_name(f"{disks[0].name} in a drawer").rename(disks[0])
    run_experiment(mirrored, run, listener, resume=True, extras=False)
    assert model_of(run) == expected


def test_a_run_that_was_moved_finds_its_mirrors_and_another_of_its_name_has_its_own(
    mirrored: ExperimentSpec, tmp_path: Path, expected: bytes, listener: Any, silent: Any
) -> None:
    before = task_folder(tmp_path / "run", FOLD, "private")
    stopped_after_a_round(mirrored, tmp_path / "run", silent)
    folders = mirror_folders(mirrored, before)
    (tmp_path / "run").rename(tmp_path / "moved")
    after = task_folder(tmp_path / "moved", FOLD, "private")
    assert mirror_folders(mirrored, after) == folders
    others = mirror_folders(mirrored, task_folder(tmp_path / "x" / "run", FOLD, "private"))
    assert not set(others) & set(folders)
    assert not set(mirror_folders(mirrored, task_folder(tmp_path / "moved", FOLD, "private-fedadam"))) & set(folders)
    run_experiment(mirrored, tmp_path / "moved", listener, resume=True, extras=False)
    assert model_of(tmp_path / "moved") == expected


def test_mirrors_cannot_be_named_for_a_run_that_began_without(
    mirrored: ExperimentSpec, tmp_path: Path, expected: bytes, listener: Any, silent: Any
) -> None:
    run, plain = tmp_path / "run", mirrored.model_copy(update={"store": Store()})
    stopped_after_a_round(plain, run, silent)
    with pytest.raises(RunDirectoryError, match=rf"has its store in {task_folder(run, FOLD, 'private')}, and there is"):
        run_experiment(mirrored, run, listener, resume=True, extras=False)
    run_experiment(plain, run, listener, resume=True, extras=False)
    assert model_of(run) == expected


@pytest.mark.parametrize("unlinked", range(3))
def test_keys_whose_removal_was_interrupted_are_removed_by_the_next_start(
    mirrored: ExperimentSpec,
    disks: list[Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    unlinked: int,
    silent: Any,
) -> None:
    """However few mirrors are left: they are needed no more."""
    stopped_after_a_round(mirrored, tmp_path / "run", silent)
    folder = task_folder(tmp_path / "run", FOLD, "private")
    unlink, done = Mirror.unlink, []

    def stop(mirror: Mirror) -> None:
        if len(done) == unlinked:
            raise KeyboardInterrupt
        done.append(mirror)
        unlink(mirror)

    with monkeypatch.context() as patched:
        patched.setattr(Mirror, "unlink", stop)
        with pytest.raises(KeyboardInterrupt):
            forget_secrets(folder)
    assert len(stores_below(tmp_path)) == 3 - unlinked
    forget_secrets(folder)
    assert [list(disk.iterdir()) for disk in disks] == [[], [], []]


def test_what_a_disk_holds_that_was_away_when_the_keys_were_removed_is_removed_when_it_is_back(
    mirrored: ExperimentSpec, disks: list[Path], tmp_path: Path, silent: Any
) -> None:
    stopped_after_a_round(mirrored, tmp_path / "run", silent)
    folder = task_folder(tmp_path / "run", FOLD, "private")
    disks[2].rename(tmp_path / "away")
    forget_secrets(folder)
    (tmp_path / "away").rename(disks[2])
    assert len(stores_below(tmp_path)) == 1
    forget_secrets(folder)
    assert stores_below(tmp_path) == []
