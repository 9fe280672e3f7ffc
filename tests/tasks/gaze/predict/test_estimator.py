from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from privateyes.errors import DataError, TrainingError
from privateyes.tasks.gaze.dataset import write_persons
from privateyes.tasks.gaze.predict.estimator import ModelFacts, TorchEstimator
from privateyes.tasks.gaze.preprocess import Pictures
from privateyes.tasks.gaze.synthetic import render_person
from privateyes.tasks.gaze.task import GazeTask
from privateyes.training.determinism import deterministic_torch
from privateyes.training.evaluation import predict_examples
from privateyes.training.vector import vector_from_model

FACTS = ModelFacts("lenet", ("image", "pose"), (36, 60), None, "gaze", Pictures(equalise=True), "mpiigaze", "a run")


def test_estimates_are_those_of_the_evaluation_byte_by_byte(tmp_path: Path) -> None:
    person = render_person(1, 0, 70)
    write_persons(tmp_path / "eyes.h5", [person])
    task = GazeTask(tmp_path / "eyes.h5", "lenet", (36, 60), pictures=Pictures(equalise=True))
    vector = vector_from_model(task.build_model(3))
    facts = ModelFacts.of_task(task, None)
    columns = {"image": facts.pictures.apply(person.image), "pose": person.pose}
    estimated = TorchEstimator(facts, vector).estimate(columns)
    assert estimated.shape == (70, 2)
    with deterministic_torch():  # as in a run's workers: the number of threads decides the last bits
        evaluated = predict_examples(task, vector, task.examples(person.name))
    np.testing.assert_array_equal(estimated, evaluated)
    assert np.ptp(estimated) > 0


def test_parameters_of_another_model_are_refused() -> None:
    columns = {"image": np.zeros((1, 36, 60), np.uint8), "pose": np.zeros((1, 2), np.float32)}
    with pytest.raises(TrainingError, match="for a model with 1827076 parameters"):
        TorchEstimator(FACTS, np.zeros(5, np.float32)).estimate(columns)


def test_facts_come_back_from_json() -> None:
    assert ModelFacts.from_json(json.dumps(FACTS.to_tree())) == FACTS
    eyes = ModelFacts("itracker", ("image", "left", "right", "grid"), (64, 64, 3), (32, 32, 3), "point",
                      Pictures(resize=(64, 64)))  # fmt: skip
    assert ModelFacts.from_json(json.dumps(eyes.to_tree())) == eyes


def test_descriptions_of_versions_without_a_licence_are_read() -> None:
    tree = FACTS.to_tree()
    del tree["licence"]
    assert ModelFacts.from_tree(tree) == FACTS
    stated = replace(FACTS, licence="MIT")
    assert ModelFacts.from_tree(stated.to_tree()) == stated


def test_a_task_from_facts_builds_the_same_model(tmp_path: Path) -> None:
    task = GazeTask(tmp_path / "x.h5", "resnet_14", (64, 64, 3), label="point")
    again = ModelFacts.of_task(task, None).task()
    models = [vector_from_model(each.build_model(1)) for each in (task, again)]
    np.testing.assert_array_equal(*models)
    assert again.label == "point"


DAMAGE = {
    "no JSON": "{",
    "no table": "[1]",
    "a key is missing": json.dumps({"model": "lenet"}),
    "another label": json.dumps(FACTS.to_tree() | {"label": "depth"}),
    "an unknown input": json.dumps(FACTS.to_tree() | {"inputs": ["image", "depth"]}),
    "no shape": json.dumps(FACTS.to_tree() | {"image_shape": [36]}),
    "shape of words": json.dumps(FACTS.to_tree() | {"image_shape": ["a", "b"]}),
}


@pytest.mark.parametrize("case", DAMAGE)
def test_damaged_facts_are_refused(case: str) -> None:
    with pytest.raises(DataError, match="the model's description is"):
        ModelFacts.from_json(DAMAGE[case])


@pytest.mark.parametrize("shape", [(36, 61), (72, 120), (36, 60, 3)])
def test_pictures_of_another_size_or_with_colours_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(DataError, match=r"where the model takes 36x60 grey|data.equalise needs grey"):
        FACTS.refuse_other_picture(shape)
    FACTS.refuse_other_picture((36, 60))


def test_a_run_that_resizes_and_greys_takes_every_picture() -> None:
    facts = ModelFacts("lenet", ("image", "pose"), (36, 60), None, "gaze", Pictures(grey=True, resize=(36, 60)))
    for shape in ((36, 60), (72, 120, 3), (9, 9)):
        facts.refuse_other_picture(shape)
