from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, get_args, get_origin

import pytest

from privateyes.errors import ConfigError, RunDirectoryError
from privateyes.experiments.locate import demo_experiment
from privateyes.experiments.record import RunDirectory
from privateyes.experiments.spec import ExperimentSpec, dump_spec, load_spec, parse_spec
from privateyes.experiments.spec_tables import Table
from privateyes.tasks.gaze.tables import GazeExperiment

MINIMAL = """
name = "minimal"
[data]
path = "eyes.h5"
[split]
test_persons = ["p00"]
[model]
name = "lenet"
"""


def parse(text: str) -> ExperimentSpec:
    return parse_spec(text, "x.toml", Path("/folder"))


def test_defaults_complete_a_minimal_file() -> None:
    spec = parse(MINIMAL)
    assert spec.methods == ["centralised", "local", "federated", "private"]
    assert (spec.training.rounds, spec.training.optimiser, spec.aggregation.aggregators) == (15, "sgd", 3)


@pytest.mark.parametrize(
    ("old", "new", "say"),
    [
        ('ways = ["local"]\n' + MINIMAL, 'methods = ["local"]\n' + MINIMAL, "x.toml: ways is called methods now"),
        (
            MINIMAL + '[calibration]\nmethod = "offset"\n',
            MINIMAL + '[calibration]\nadapt = "offset"\n',
            "calibration.method is called calibration.adapt now",
        ),
        (
            MINIMAL + "[training]\nrounds = 2\nworkers = 3\n",
            MINIMAL + "[training]\nrounds = 2\n[runtime]\nworkers = 3\n",
            "training.workers is called runtime.workers now",
        ),
        (
            MINIMAL + "[compare.relations]\nfrom_twin = 0.5\n",
            MINIMAL + "[compare.relations]\nfrom_counterpart = 0.5\n",
            "compare.relations.from_twin is called compare.relations.from_counterpart now",
        ),
    ],
)
def test_keys_of_earlier_versions_are_read_with_a_warning(old: str, new: str, say: str) -> None:
    with pytest.warns(FutureWarning, match=say):
        assert parse(old) == parse(new)


def test_an_old_name_beside_the_new_one_is_an_unknown_key() -> None:
    with pytest.raises(ConfigError, match="ways is not a known key"):
        parse('ways = ["local"]\nmethods = ["local"]\n' + MINIMAL)


def test_a_run_of_an_earlier_version_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "experiment.toml").write_text('ways = ["local"]\n' + MINIMAL)
    with pytest.raises(RunDirectoryError, match="is of an earlier version of privateyes; use it with that version"):
        RunDirectory(tmp_path).read_spec()


def test_a_relative_path_starts_at_the_experiment_file(tmp_path: Path) -> None:
    (tmp_path / "x.toml").write_text(MINIMAL)
    assert load_spec(tmp_path / "x.toml").data.path == str(tmp_path / "eyes.h5")


@pytest.mark.parametrize("written", ["${EYES}/a.h5", "$EYES/a.h5"])
def test_variables_in_the_path_are_expanded(monkeypatch: pytest.MonkeyPatch, written: str) -> None:
    monkeypatch.setenv("EYES", "/somewhere")
    assert parse(MINIMAL.replace("eyes.h5", written)).data.path == "/somewhere/a.h5"


def test_a_variable_that_is_not_set_is_named_with_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("EYES", raising=False)
    with pytest.raises(ConfigError, match=r"data\.path .* EYES, which is not set; set it .* or pass --data"):
        parse(MINIMAL.replace("eyes.h5", "${EYES}/a.h5"))


def mirrored(*names: str) -> str:
    return f"{MINIMAL}[store]\nmirrors = {json.dumps(names)}\n"


def test_mirrors_start_at_the_experiment_file_and_variables_in_them_are_expanded(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("DISK", "/disk")
    monkeypatch.setenv("HOME", "/home/ada")
    (tmp_path / "x.toml").write_text(mirrored("a", "${DISK}/b", "../c", "~/d"))
    found = load_spec(tmp_path / "x.toml")
    assert found.store.mirrors == [f"{tmp_path}/a", "/disk/b", f"{tmp_path.parent}/c", "/home/ada/d"]
    assert parse(dump_spec(found)).store.mirrors == found.store.mirrors
    assert parse(MINIMAL).store.mirrors == parse(mirrored()).store.mirrors == []


@pytest.mark.parametrize(
    ("names", "problem"),
    [
        (["a"], r"store\.mirrors = \[\"a\"\] names 1, and .* three or more mirrors or none: with two, losing"),
        (["a", "b"], r"store\.mirrors = \[\"a\", \"b\"\] names 2, .*; name three folders on different disks"),
        (["a", "b", "a"], "names a twice; give each mirror a folder of its own"),
        (["a", "b", "c", "x/../b"], "names b twice"),
        (["a", "b", "c", "/folder/c"], "names c twice"),
        (["a", "b", ""], r"store\.mirrors.* = \"\"; it should have at least 1 character"),
        (
            ["a", "b", "$NOWHERE/c"],
            r"store\.mirrors = .*NOWHERE, which is not set; set it \(export .*/of/the/mirror\)$",
        ),
    ],
)
def test_mirrors_that_could_not_help_are_refused(
    monkeypatch: pytest.MonkeyPatch, names: list[str], problem: str
) -> None:
    monkeypatch.delenv("NOWHERE", raising=False)
    with pytest.raises(ConfigError, match=problem) as caught:
        parse(mirrored(*names))
    assert "\n" not in str(caught.value)


def test_mirrors_change_no_result() -> None:
    assert parse(mirrored("a", "b", "c")).result_key() == parse(MINIMAL).result_key()
    assert "store" not in parse(mirrored("a", "b", "c")).result_key()


def test_another_data_file_replaces_path_and_synthetic_persons() -> None:
    synthetic = MINIMAL.replace('path = "eyes.h5"', "[data.synthetic]\npersons = 3\nimages_per_person = 5")
    for text in (MINIMAL, synthetic):
        spec = parse_spec(text, "x.toml", Path("/folder"), data=Path("/other.h5"))
        assert spec.data.path == "/other.h5"
        assert spec.data.synthetic is None


def test_the_dump_reads_back_to_an_equal_experiment() -> None:
    odd = MINIMAL.replace("eyes.h5", 'quo\\"te \\\\ tab\\t ü \\u007f 日本.h5')
    for spec in (parse(MINIMAL), parse(odd), demo_experiment()):
        again = parse(dump_spec(spec))
        assert again == spec
        assert dump_spec(again) == dump_spec(spec)


def test_only_the_numbers_of_workers_and_threads_leave_the_result_key_unchanged() -> None:
    key = parse(MINIMAL).result_key()
    assert parse(MINIMAL + "[runtime]\nworkers = 7\nthreads = 2\n").result_key() == key
    assert parse(MINIMAL + '[runtime]\ndevice = "cuda"\n').result_key() != key
    assert parse(MINIMAL + "[training]\nrounds = 7\n").result_key() != key


def test_whole_numbers_may_stand_for_fractions() -> None:
    assert parse(MINIMAL + "[aggregation]\nclip = 2\n").aggregation.clip == 2.0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("", "[training]\nlearning_rat = 1.0\n"), r"did you mean training\.learning_rate\?"),
        (("", "[trainin]\n"), r"trainin is not a known key; did you mean training\?"),
        (("", "[training]\nrounds = 0\n"), r"training\.rounds = 0; it should be greater than or equal to 1"),
        (("", '[training]\nrounds = "5"\n'), r'training\.rounds = "5"; it should be a valid integer'),
        (("", '[training]\nloss = "l3"\n'), r"training\.loss = \"l3\"; it should be 'l1' or 'l2'"),
        (("", "[training]\nlearning_rate = nan\n"), r"training\.learning_rate"),
        (("", "[aggregation]\naggregators = 1\n"), r"aggregation\.aggregators = 1"),
        (("", "[aggregation]\nroster_min = 3\ncorrupt_clients = 2\n"), r"roster_min = 3 with corrupt_clients = 2"),
        (("", '[federation]\nadaptive_optimiser = "fedavg"\n'), "federation.adaptive_optimiser"),
        (('"lenet"', '"lenett"'), r'model\.name = "lenett" is not known; did you mean lenet\?'),
        (('[model]\nname = "lenet"', ""), r"the table \[model\] is missing"),
        (('name = "minimal"', ""), r"the key name is missing"),
        (('"minimal"', '"a/b"'), r'name = "a/b"'),
        (('path = "eyes.h5"', ""), r"\[data\] needs exactly one of path"),
        (('["p00"]', '["p00"]\nleave_one_out = true'), r"\[split\] needs exactly one"),
        (('["p00"]', '["p00"]\nfolds = ["p00"]'), r"split\.folds goes with leave_one_out"),
        (('["p00"]', '["p00", "p00"]'), "names something twice"),
        (('name = "minimal"', 'name = "minimal"\nmethods = ["federatd"]'), 'names "federatd".* mean federated'),
        (('name = "minimal"', 'name = "minimal'), "no valid TOML"),
        (("", '\n[aggregation]\nmode = "public"\nclip_headroom = 8'), "a public record holds no clips"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named_with_key_value_and_remedy(change: tuple[str, str], message: str) -> None:
    old, new = change
    text = MINIMAL.replace(old, new) if old else MINIMAL + new
    with pytest.raises(ConfigError, match=message) as caught:
        parse(text)
    assert str(caught.value).startswith("x.toml")
    assert caught.value.remedy
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.toml: there is no such experiment file"):
        load_spec(tmp_path / "none.toml")


@pytest.mark.parametrize(
    "name",
    [
        "mpiigaze_crops",
        "mpiigaze_crops_momentum",
        "synthetic_lenet",
        "synthetic_resnet",
        "synthetic_resnet_long_rounds",
        "synthetic_resnet_private",
    ],
)
def test_the_examples_are_valid(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PRIVATEYES_DATA", "/data")
    path = Path(__file__).parents[2] / "examples" / f"{name}.toml"
    assert str(load_spec(path).data.path).startswith("/data/")


def test_no_example_is_left_unread() -> None:
    for path in (Path(__file__).parents[2] / "examples").glob("*.toml"):
        if "PRIVATEYES_DATA}" not in path.read_text():
            load_spec(path)


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ('"minimal"', '"../up"', r'name = "\.\./up"; it should be 1 to 64 letters, digits, - and _'),
        ('"lenet"', '"lenet"\n[training]\nlocal_epochs = 1.5', "local_epochs = 1.5 is neither whole nor"),
        ('"lenet"', '"lenet"\n[training]\nlocal_epochs = 0', "local_epochs = 0.0; it should be greater than"),
        ('"minimal"', '"m"\nseed = 99999999999999999999', "seed = 99999999999999999999; it should be less than"),
        (
            '"lenet"',
            '"lenet"\n[training]\nlearning_rate = 1e300',
            "training.learning_rate = 1e[+]300; it should be less",
        ),
        ('"lenet"', '"lenet"\n[aggregation]\nclip = 1e-300', "aggregation.clip = 1e-300; it should be greater"),
        ('"lenet"', '"lenet"\n[aggregation]\nscale_bits = 60', "aggregation.scale_bits = 60; it should be less"),
        ('[model]\nname = "lenet"', 'model = "lenet"', 'model = "lenet"; it should be a table'),
    ],
)
def test_values_that_would_fail_later_are_refused_with_key_and_range(before: str, after: str, message: str) -> None:
    text = MINIMAL.replace(before, after)
    if after.startswith("model"):
        text = after + text.replace(after, "")
    with pytest.raises(ConfigError, match=message):
        parse(text)


def test_a_byte_order_mark_is_read_over(tmp_path: Path) -> None:
    path = tmp_path / "x.toml"
    path.write_text(MINIMAL, encoding="utf-8-sig")
    assert path.read_bytes().startswith(b"\xef\xbb\xbf")
    assert load_spec(path).name == "minimal"


def list_keys(table: type[Table] = GazeExperiment, prefix: str = "") -> Iterator[str]:
    """Every key whose value is a list, however deep."""
    for key, field in table.model_fields.items():
        kinds = [field.annotation, *get_args(field.annotation)]
        kinds += [get_args(kind)[0] for kind in kinds if get_origin(kind) is Annotated]
        inner = [kind for kind in kinds if isinstance(kind, type) and issubclass(kind, Table)]
        if inner:
            yield from list_keys(inner[0], f"{prefix}{key}.")
        elif list in [get_origin(kind) or kind for kind in kinds]:
            yield f"{prefix}{key}"


LISTS = list(list_keys())


def test_there_are_lists_in_many_tables() -> None:
    expected = {"methods", "data.resize", "split.folds", "store.mirrors", "mpc.hidden", "compare.seeds"}
    assert expected < set(LISTS)


@pytest.mark.parametrize("value", ['"m/a"', "4"])
@pytest.mark.parametrize("key", LISTS)
def test_a_value_in_place_of_a_list_shows_how_a_list_is_written(key: str, value: str) -> None:
    tree = tomllib.loads(MINIMAL)
    table, _, name = key.rpartition(".")
    place = tree.setdefault(table, {}) if table else tree
    place[name] = tomllib.loads(f"x = {value}")["x"]
    with pytest.raises(ConfigError) as refused:
        parse_spec(as_toml(tree), "x.toml", Path("/folder"))
    assert refused.value.problem.removesuffix(".0") == f"x.toml: {key} = {value}"
    before, _, example = refused.value.remedy.partition(", such as ")
    assert before == "it should be a list, in brackets"
    shown = tomllib.loads(example)
    assert isinstance(shown[name], list)
    place[name] = shown[name]
    GazeExperiment.model_validate(tree)


def as_toml(tree: dict[str, Any]) -> str:
    lines = [f"{key} = {json.dumps(value)}" for key, value in tree.items() if not isinstance(value, dict)]
    for table, content in tree.items():
        if isinstance(content, dict):
            lines += [f"[{table}]", *(f"{key} = {json.dumps(value)}" for key, value in content.items())]
    return "\n".join(lines)


def test_mirrors_as_a_text_show_three_folders() -> None:
    with pytest.raises(ConfigError, match=r'such as mirrors = \["/a", "/b", "/c"\]'):
        parse(MINIMAL + '[store]\nmirrors = "m/a"\n')
