from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from privateyes.errors import ConfigError
from privateyes.experiments.compare.plan import check_settings, made_small, plan_runs, settings_of, sub_spec
from privateyes.experiments.spec import ExperimentSpec, dump_spec, parse_spec

Make = Callable[..., ExperimentSpec]


def test_there_is_a_run_for_each_seed_and_fold(comparison_spec: Make) -> None:
    runs = plan_runs(comparison_spec(), ["p00", "p01"], Path("out"), None)
    assert [(run.seed, run.fold) for run in runs] == [(s, f) for s in (1, 2, 3) for f in ("p00", "p01")]
    assert runs[3].directory == Path("out/seed-2/p01")
    assert runs[3].name == "seed 2, fold p01"
    assert runs[3].rounds == 8


def test_a_run_is_an_ordinary_experiment_of_its_seed_and_fold(comparison_spec: Make) -> None:
    spec = comparison_spec()
    found = sub_spec(spec, 2, "p01", None)
    assert (found.seed, found.split.folds, found.runtime.workers, found.compare) == (2, ["p01"], 1, None)
    same = found.model_copy(update={"seed": 3, "split": spec.split, "runtime": spec.runtime, "compare": spec.compare})
    assert same == spec
    assert parse_spec(dump_spec(found), "again", Path()) == found


def test_given_test_persons_make_one_run_for_each_seed(comparison_spec: Make) -> None:
    spec = comparison_spec(split='test_persons = ["p03", "p04"]')
    runs = plan_runs(spec, ["all"], Path("out"), None)
    assert [run.name for run in runs] == ["seed 1", "seed 2", "seed 3"]
    assert runs[0].spec.split == spec.split


def test_rendered_persons_are_the_same_for_every_seed(comparison_spec: Make, tmp_path: Path) -> None:
    found = sub_spec(comparison_spec(), 2, "p01", tmp_path / "rendered.h5")
    assert (found.data.path, found.data.synthetic) == (str(tmp_path / "rendered.h5"), None)


def test_generic_mpc_is_no_method_of_a_run(comparison_spec: Make) -> None:
    assert sub_spec(comparison_spec(methods='["federated", "mpc"]'), 1, "p00", None).methods == ["federated"]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"compare": "seeds = [1, 2, 1]"}, r"compare.seeds = .* names something twice"),
        ({"compare": 'baselines = ["federated", "federated"]'}, "compare.baselines"),
        ({"compare": 'baselines = ["fedarated"]'}, "did you mean federated"),
        ({"tail": '[compare.relations]\nadaptive_method = "adaptve"'}, "did you mean adaptive"),
        ({"methods": '["mpc"]'}, "mpc alone"),
    ],
)
def test_settings_that_cannot_be_are_refused(comparison_spec: Make, changes: dict[str, str], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        check_settings(comparison_spec(**changes))


@pytest.mark.parametrize("seeds", ["[]", "[1]", "[1, 2]", "[1, 2, -1]", '["a", 2, 3]'])
def test_fewer_than_three_seeds_are_refused(comparison_spec: Make, seeds: str) -> None:
    with pytest.raises(ConfigError, match=r"compare\.seeds"):
        comparison_spec(compare=f"seeds = {seeds}")


@pytest.mark.parametrize("noun", ['""', '" "', '"two\\nlines"', f'"{41 * "x"}"', "4"])
def test_what_persons_are_is_a_short_text(comparison_spec: Make, noun: str) -> None:
    with pytest.raises(ConfigError, match=r"compare\.persons_are = .*should be"):
        comparison_spec(compare=f"persons_are = {noun}")
    assert settings_of(comparison_spec(compare=f'persons_are = "{40 * "x"}"')).persons_are == 40 * "x"
    assert settings_of(comparison_spec()).persons_are == "persons"


def test_a_whole_number_is_a_target_too(comparison_spec: Make) -> None:
    settings = comparison_spec(compare="target_errors = [7, 6.5]").compare
    assert settings is not None
    assert settings.target_errors == [7.0, 6.5]


def test_the_small_comparison_has_two_folds_and_few_rounds(comparison_spec: Make) -> None:
    small = made_small(comparison_spec(split="leave_one_out = true", rounds=9))
    assert (small.split.folds, small.training.rounds, small.data.image_limit) == (["p00", "p01"], 2, 64)
    assert small.name == "small-quick"
    given = made_small(comparison_spec(split='test_persons = ["p03"]', rounds=1))
    assert (given.split.test_persons, given.training.rounds) == (["p03"], 1)


def test_what_a_comparison_reads_alone_changes_no_run(comparison_spec: Make) -> None:
    other = comparison_spec(compare='seeds = [7, 8, 9]\nparallel = 5\npersons_are = "day blocks"')
    assert other.result_key() == comparison_spec().result_key()
