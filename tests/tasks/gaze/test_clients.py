from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from privateyes.errors import ConfigError, DataError
from privateyes.experiments.clients import describe
from privateyes.experiments.prepare import prepare
from privateyes.experiments.spec import ExperimentSpec
from privateyes.federation.partition import PartitionSettings
from privateyes.tasks.gaze.clients import FileRows, clients_of_run, draw_survey, survey_clients

SKEWED = PartitionSettings(by="label_skew", clients=4, alpha=0.5)


def test_a_survey_divides_everybody_but_those_left_out(eyes: Path) -> None:
    survey = survey_clients(FileRows(eyes, ["p03", "p04"]), SKEWED, seed=1)
    assert sum(entry.samples for entry in survey.statistics) == 3 * 24
    assert {name for entry in survey.statistics for name in entry.persons} <= {"p00", "p01", "p02"}
    assert survey.title == "eyes.h5: 4 clients of 3 persons, label skew with alpha 0.5, persons pooled, seed 1"


def test_a_limit_on_images_counts(eyes: Path) -> None:
    survey = survey_clients(FileRows(eyes, image_limit=10), PartitionSettings(), seed=1)
    assert [entry.samples for entry in survey.statistics] == [10] * 5


def test_the_picture_can_be_drawn(eyes: Path, tmp_path: Path) -> None:
    draw_survey(survey_clients(FileRows(eyes), SKEWED, seed=1), tmp_path / "clients.png")
    assert (tmp_path / "clients.png").stat().st_size > 10_000


def test_a_stranger_cannot_be_left_out_and_not_everybody_can(eyes: Path) -> None:
    with pytest.raises(DataError, match="there is no person p77; the file holds p00"):
        survey_clients(FileRows(eyes, ["p77"]), SKEWED, seed=1)
    with pytest.raises(DataError, match="nobody's samples are left"):
        survey_clients(FileRows(eyes, [f"p0{i}" for i in range(5)]), SKEWED, seed=1)
    with pytest.raises(ConfigError, match="cannot give 100 clients 10 samples each"):
        survey_clients(FileRows(eyes), PartitionSettings(by="size_skew", clients=100), seed=1)


WITHIN = PartitionSettings(by="size_skew", clients_per_person=2, size_spread=0.5, minimum=2)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (PartitionSettings(), "5 clients of 5 persons, one for each person"),
        (PartitionSettings(by="device"), "10 clients of 5 persons, one for each device of a person"),
        (WITHIN, "lognormal sizes with spread 0.5, each within one person"),
    ],
)
def test_a_title_says_how_clients_are_made(eyes: Path, settings: PartitionSettings, words: str) -> None:
    assert words in survey_clients(FileRows(eyes), settings, seed=1).title


@pytest.mark.parametrize("tail", ["", '[partition]\nby = "label_skew"\nclients = 3\n'])
def test_results_describe_the_first_folds_clients(
    small_spec: Callable[..., ExperimentSpec], eyes: Path, tail: str
) -> None:
    spec = small_spec(tail=tail)
    preparation = prepare(spec)
    found = clients_of_run(preparation.folds[0], spec.partition.settings(), preparation.task(eyes))
    assert {row["name"]: row["samples"] for row in found["rows"]} == preparation.clients(preparation.folds[0])
    assert all(sum(row["cells"]) == pytest.approx(1.0) and len(row["cells"]) == 15 for row in found["rows"])
    assert found["how"] == describe(spec.partition.settings())
    assert all(abs(row["mean"][0]) < 10 and 1 < row["spread"][0] < 20 for row in found["rows"]), "degrees"
    assert not {"p03", "p04"} & {name for row in found["rows"] for name in row["persons"]}
