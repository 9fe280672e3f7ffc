from __future__ import annotations

from pathlib import Path

import pytest

from privateyes.errors import ConfigError, DataError
from privateyes.experiments.folds import Fold, plan_folds
from privateyes.experiments.spec import ExperimentSpec, parse_spec

PERSONS = ["b", "a", "d", "c"]


def spec(split: str, methods: str = '["federated", "private"]', tail: str = "") -> ExperimentSpec:
    text = f'name = "x"\nmethods = {methods}\n[data]\npath = "e.h5"\n[split]\n{split}\n[model]\nname = "lenet"\n{tail}'
    return parse_spec(text, "x.toml", Path())


def test_given_test_persons_make_one_fold() -> None:
    folds = plan_folds(spec('test_persons = ["d", "b"]'), PERSONS, "e.h5")
    assert folds == [Fold("all", ("a", "c"), ("b", "d"))]


def test_leaving_one_out_makes_a_fold_for_each_person() -> None:
    folds = plan_folds(spec("leave_one_out = true"), PERSONS, "e.h5")
    assert [fold.name for fold in folds] == ["a", "b", "c", "d"]
    assert folds[1] == Fold("b", ("a", "c", "d"), ("b",))


def test_some_folds_can_be_chosen() -> None:
    folds = plan_folds(spec('leave_one_out = true\nfolds = ["c"]'), PERSONS, "e.h5")
    assert folds == [Fold("c", ("a", "b", "d"), ("c",))]


@pytest.mark.parametrize("split", ["leave_one_out = true", 'test_persons = ["a"]'])
def test_one_person_only_is_refused(split: str) -> None:
    with pytest.raises(DataError, match=r"e\.h5 holds only one person \(a\)"):
        plan_folds(spec(split), ["a"], "e.h5")


@pytest.mark.parametrize("split", ['test_persons = ["p01"]', 'leave_one_out = true\nfolds = ["p01"]'])
def test_a_person_who_is_not_in_the_data_is_refused_with_the_nearest_name(split: str) -> None:
    with pytest.raises(ConfigError, match=r"there is no person p01 in e\.h5; did you mean p10\?"):
        plan_folds(spec(split), ["p10", "x", "y", "z"], "e.h5")


def test_a_federation_of_one_is_refused() -> None:
    with pytest.raises(ConfigError, match="only one person to train on"):
        plan_folds(spec('test_persons = ["a"]'), ["a", "b"], "e.h5")
    assert plan_folds(spec('test_persons = ["a"]', methods='["local"]'), ["a", "b"], "e.h5")


def test_testing_everybody_is_refused() -> None:
    with pytest.raises(ConfigError, match="nobody to train on"):
        plan_folds(spec('test_persons = ["a", "b"]', methods='["local"]'), ["a", "b"], "e.h5")


def test_a_roster_larger_than_the_cohort_is_refused_only_where_it_matters() -> None:
    tail = "[federation]\ncohort_fraction = 0.7\n[aggregation]\nroster_min = 3\n"
    split = 'test_persons = ["a"]'
    with pytest.raises(ConfigError, match=r"roster_min = 3 is larger than the cohort of 2 clients.*at most 2"):
        plan_folds(spec(split, tail=tail), PERSONS, "e.h5")
    assert plan_folds(spec(split, methods='["federated"]', tail=tail), PERSONS, "e.h5")


def test_corrupt_clients_must_leave_two_honest_ones() -> None:
    with pytest.raises(ConfigError, match="corrupt_clients = 2 of a roster of 3"):
        plan_folds(spec('test_persons = ["a"]', tail="[aggregation]\ncorrupt_clients = 2\n"), PERSONS, "e.h5")


def test_a_cohort_of_one_cannot_be_private() -> None:
    with pytest.raises(ConfigError, match="cohorts of one client"):
        plan_folds(spec('test_persons = ["a"]', tail="[federation]\ncohort_fraction = 0.1\n"), PERSONS, "e.h5")


def test_validation_persons_neither_train_nor_are_tested() -> None:
    one = plan_folds(spec('test_persons = ["d"]\nvalidation_persons = ["b"]'), PERSONS, "e.h5")
    assert one == [Fold("all", ("a", "c"), ("d",), ("b",))]
    several = plan_folds(spec('leave_one_out = true\nvalidation_persons = ["b"]'), PERSONS, "e.h5")
    assert several == [
        Fold("a", ("c", "d"), ("a",), ("b",)),
        Fold("c", ("a", "d"), ("c",), ("b",)),
        Fold("d", ("a", "c"), ("d",), ("b",)),
    ]


@pytest.mark.parametrize(
    "split",
    [
        'test_persons = ["d", "b"]\nvalidation_persons = ["b"]',
        'leave_one_out = true\nfolds = ["d", "b"]\nvalidation_persons = ["b"]',
    ],
)
def test_a_validation_person_who_is_tested_too_is_refused(split: str) -> None:
    with pytest.raises(ConfigError, match=r'= \["d", "b"\] names b, who is in split\.validation_persons too'):
        plan_folds(spec(split), PERSONS, "e.h5")


def test_a_validation_person_who_is_not_in_the_data_is_refused() -> None:
    with pytest.raises(ConfigError, match="there is no person z"):
        plan_folds(spec('test_persons = ["d"]\nvalidation_persons = ["z"]'), PERSONS, "e.h5")


FIVE = ["a", "b", "c", "d", "e"]


def test_with_dropped_clients_a_secure_method_asks_for_the_smallest_roster() -> None:
    """The default, the whole cohort, is the safe one and would void most rounds; a smaller one is a choice."""
    tail = "[federation]\ndropout = 0.1\n"
    split = 'test_persons = ["e"]'
    with pytest.raises(ConfigError, match=r"dropout = 0\.1 makes every round .* void, .*whole cohort; set it: 4 keeps"):
        plan_folds(spec(split, tail=tail), FIVE, "e.h5")
    for least in (2, 4):
        assert plan_folds(spec(split, tail=f"{tail}[aggregation]\nroster_min = {least}\n"), FIVE, "e.h5")
    assert plan_folds(spec(split, '["federated"]', tail), FIVE, "e.h5")


@pytest.mark.parametrize(
    ("methods", "stragglers", "roster_min", "refused"),
    [
        ('["federated"]', 0.75, 2, None),
        ('["federated"]', 1.0, 2, "federated leaves them out and needs 1 in each round"),
        ('["fedprox"]', 1.0, 2, None),
        ('["private"]', 0.25, 3, None),
        ('["private"]', 0.5, 3, "makes 2 of 4 clients late; private leaves them out and needs 3"),
        ('["private-fedprox"]', 0.5, 4, None),
        ('["federated", "private-adaptive"]', 0.25, 4, "private-adaptive leaves them out and needs 4"),
        ('["centralised", "local"]', 1.0, 4, None),
    ],
)
def test_a_method_whose_every_round_would_be_void_is_refused(
    methods: str, stragglers: float, roster_min: int, refused: str | None
) -> None:
    tail = f"[federation]\nstragglers = {stragglers}\n[aggregation]\nroster_min = {roster_min}\n"
    given = spec('test_persons = ["e"]', methods, tail)
    if refused is None:
        assert plan_folds(given, FIVE, "e.h5")
        return
    with pytest.raises(ConfigError, match=refused):
        plan_folds(given, FIVE, "e.h5")


def test_stragglers_of_a_secure_method_that_takes_their_work_need_no_smaller_roster() -> None:
    tail = "[federation]\nstragglers = 0.5\n"
    assert plan_folds(spec('test_persons = ["e"]', '["private-fedprox"]', tail), FIVE, "e.h5")


def test_everyone_can_train_and_one_person_alone_too() -> None:
    assert plan_folds(spec("test_persons = []"), PERSONS, "e.h5") == [Fold("all", ("a", "b", "c", "d"), ())]
    assert plan_folds(spec("test_persons = []", methods='["local"]'), ["a"], "e.h5") == [Fold("all", ("a",), ())]
    with pytest.raises(ConfigError, match="only one person to train on"):
        plan_folds(spec("test_persons = []"), ["a"], "e.h5")
