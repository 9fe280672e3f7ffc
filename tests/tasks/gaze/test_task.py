from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch

from privateyes.errors import ConfigError, DataError
from privateyes.tasks.gaze.dataset import Person, load_persons
from privateyes.tasks.gaze.preprocess import equalise
from privateyes.tasks.gaze.task import GazeTask, thin_out


@pytest.fixture
def task(eyes: Path) -> GazeTask:
    return GazeTask(path=eyes, model="resnet_preact_8", image_shape=(9, 15))


def test_examples_are_the_persons_rows(task: GazeTask, eyes: Path) -> None:
    person = load_persons(eyes, ["p02"])[0]
    examples = task.examples("p02")
    np.testing.assert_array_equal(examples.inputs[0].numpy(), person.image)
    np.testing.assert_array_equal(examples.inputs[1].numpy(), person.pose)
    np.testing.assert_array_equal(examples.targets.numpy(), person.gaze)
    np.testing.assert_array_equal(task.gaze_of("p02"), person.gaze)


def test_images_are_equalised_only_when_asked_for(eyes: Path) -> None:
    task = GazeTask(path=eyes, model="resnet_preact_8", image_shape=(9, 15), equalise=True)
    expected = equalise(load_persons(eyes, ["p00"])[0].image)
    np.testing.assert_array_equal(task.examples("p00").inputs[0].numpy(), expected)


def test_the_model_sees_images_between_nought_and_one(task: GazeTask) -> None:
    class Largest(torch.nn.Module):
        def forward(self, image: torch.Tensor, pose: torch.Tensor) -> torch.Tensor:
            assert image.shape == (2, 1, 9, 15)
            return image.flatten(1).max(dim=1).values

    images = torch.full((2, 9, 15), 255, dtype=torch.uint8)
    assert task.predict(Largest(), (images, torch.zeros(2, 2))).tolist() == [1.0, 1.0]


def test_a_task_that_is_sent_to_a_worker_is_the_same(task: GazeTask) -> None:
    assert pickle.loads(pickle.dumps(task)) == task  # noqa: S301 (our own bytes)


def test_the_initial_model_depends_on_the_seed_alone(task: GazeTask) -> None:
    first, second, other = (next(task.build_model(seed).parameters()) for seed in (1, 1, 2))
    assert torch.equal(first, second)
    assert not torch.equal(first, other)


@pytest.mark.parametrize(("name", "expected"), [("l1", 0.5), ("l2", 0.5)])
def test_the_loss_is_the_mean_over_angles_and_batch(eyes: Path, name: str, expected: float) -> None:
    task = GazeTask(path=eyes, model="resnet_preact_8", image_shape=(9, 15), loss=name)  # type: ignore[arg-type]
    assert task.loss_of(torch.ones(3, 2), torch.tensor([[0.0, 1.0]] * 3)).item() == pytest.approx(expected)


def test_the_error_is_in_degrees(task: GazeTask) -> None:
    true = np.zeros((3, 2), dtype=np.float32)
    predicted = true + np.array([np.deg2rad(5), 0], dtype=np.float32)
    assert task.error(predicted, true) == pytest.approx(5.0, abs=1e-4)


def test_thinning_out_keeps_evenly_spaced_rows() -> None:
    rows = np.arange(10, dtype=np.float32)
    angles = np.stack([rows, rows], axis=1)
    person = Person("a", np.zeros((10, 2, 2), dtype=np.uint8), angles, angles)
    assert thin_out(person, 4).gaze[:, 0].tolist() == [0, 2, 5, 7]
    assert thin_out(person, 10) is person
    assert thin_out(person, None) is person


def test_images_of_another_size_than_the_models_are_refused(eyes: Path) -> None:
    task = GazeTask(path=eyes, model="lenet", image_shape=(36, 60))
    with pytest.raises(DataError, match="p00 has 9x15 images where the model was built for 36x60"):
        task.examples("p00")


def test_a_model_that_cannot_take_the_images_is_refused(eyes: Path) -> None:
    with pytest.raises(ConfigError, match="lenet"):
        GazeTask(path=eyes, model="lenet", image_shape=(9, 15)).build_model(0)
