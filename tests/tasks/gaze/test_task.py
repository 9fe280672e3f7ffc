from __future__ import annotations

import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from privateyes.errors import ConfigError, DataError
from privateyes.tasks.gaze.augment import Augmentation
from privateyes.tasks.gaze.dataset import load_persons
from privateyes.tasks.gaze.label_rows import kept_rows
from privateyes.tasks.gaze.preprocess import Pictures, equalise, to_grey
from privateyes.tasks.gaze.task import GazeTask


@pytest.fixture
def task(eyes: Path) -> GazeTask:
    return GazeTask(path=eyes, model="resnet_preact_8", image_shape=(9, 15))


@pytest.fixture
def faces_task(faces: Path) -> GazeTask:
    return GazeTask(faces, "itracker", (48, 48, 3), eye_shape=(36, 36, 3), label="point")


def test_examples_are_the_persons_rows(task: GazeTask, eyes: Path) -> None:
    person = load_persons(eyes, ["p02"])[0]
    examples = task.examples("p02").rows(slice(None))
    np.testing.assert_array_equal(examples.inputs[0].numpy(), person.image)
    np.testing.assert_array_equal(examples.inputs[1].numpy(), person.pose)
    np.testing.assert_array_equal(examples.targets.numpy(), person.gaze)
    np.testing.assert_array_equal(task.labels_of("p02"), person.gaze)


def test_images_are_equalised_only_when_asked_for(eyes: Path) -> None:
    task = GazeTask(path=eyes, model="resnet_preact_8", image_shape=(9, 15), pictures=Pictures(equalise=True))
    expected = equalise(load_persons(eyes, ["p00"])[0].image)
    np.testing.assert_array_equal(task.examples("p00").rows(slice(None)).inputs[0].numpy(), expected)


def test_the_model_sees_images_between_nought_and_one(task: GazeTask) -> None:
    class Largest(torch.nn.Module):
        def forward(self, image: torch.Tensor, pose: torch.Tensor) -> torch.Tensor:
            assert image.shape == (2, 1, 9, 15)
            return image.flatten(1).max(dim=1).values

    images = torch.full((2, 9, 15), 255, dtype=torch.uint8)
    assert task.predict(Largest(), (images, torch.zeros(2, 2))).tolist() == [1.0, 1.0]


def test_a_task_that_is_sent_to_a_worker_is_the_same_and_light(task: GazeTask) -> None:
    assert pickle.loads(pickle.dumps(task)) == task  # noqa: S301 (our own bytes)
    assert len(pickle.dumps(task)) < 2000


def test_inputs_come_in_the_models_order_as_they_are_stored(faces_task: GazeTask, faces: Path) -> None:
    person = load_persons(faces, ["00001"], ["left", "right", "grid", "point"])[0]
    examples = faces_task.examples("00001").rows(slice(None))
    expected = (person.image, *(person.columns[name] for name in ("left", "right", "grid")))
    assert [tensor.dtype for tensor in examples.inputs] == [torch.uint8] * 3 + [torch.int16]
    for found, stored in zip(examples.inputs, expected, strict=True):
        np.testing.assert_array_equal(found.numpy(), stored)
    np.testing.assert_array_equal(examples.targets.numpy(), person.columns["point"])
    np.testing.assert_array_equal(faces_task.labels_of("00001"), person.columns["point"])


def test_the_model_gets_pictures_grids_and_head_poses_as_floats(faces_task: GazeTask) -> None:
    class Recorder(torch.nn.Module):
        def forward(self, *inputs: torch.Tensor) -> torch.Tensor:
            self.seen = inputs
            return torch.zeros(len(inputs[0]), 2)

    recorder, batch = Recorder(), faces_task.examples("00000").rows(slice(5))
    faces_task.predict(recorder, batch.inputs)
    assert [tuple(tensor.shape) for tensor in recorder.seen] == [
        (5, 3, 48, 48), (5, 3, 36, 36), (5, 3, 36, 36), (5, 25, 25)
    ]  # fmt: skip
    assert all(tensor.dtype == torch.float32 for tensor in recorder.seen)
    assert all(float(tensor.min()) >= 0 and float(tensor.max()) <= 1 for tensor in recorder.seen)
    assert recorder.seen[3].sum(dim=(1, 2)).tolist() == [169.0] * 5


def test_points_are_judged_in_centimetres(faces_task: GazeTask, task: GazeTask) -> None:
    true = np.zeros((3, 2), dtype=np.float32)
    predicted = true + np.array([3, 4], dtype=np.float32)
    assert [one.metrics[0].key for one in (faces_task, task)] == ["cm", "deg"]
    assert faces_task.metrics[0].of(predicted, true) == 5.0


def test_pictures_are_changed_when_they_are_read(faces: Path) -> None:
    settings = Pictures(grey=True, resize=(36, 40), equalise=True)
    task = GazeTask(faces, "itracker", (36, 40), eye_shape=(36, 40), label="point", pictures=settings)
    person = load_persons(faces, ["00000"], ["right"])[0]
    examples = task.examples("00000").rows(slice(None))
    np.testing.assert_array_equal(examples.inputs[0].numpy(), settings.apply(person.image))
    np.testing.assert_array_equal(examples.inputs[2].numpy(), settings.apply(person.columns["right"]))
    assert task.build_model(0)(*(torch.rand(1, 3, 36, 40) for _ in range(3)), torch.rand(1, 25, 25)).shape == (1, 2)


def test_a_limit_thins_out_every_column_alike(faces_task: GazeTask) -> None:
    tasks = (replace(faces_task, image_limit=5), faces_task)
    thin, whole = (task.examples("00002").rows(slice(None)) for task in tasks)
    kept = [0, 4, 9, 14, 19]
    assert all(torch.equal(few, all_of[kept]) for few, all_of in zip(thin.inputs, whole.inputs, strict=True))
    assert torch.equal(thin.targets, whole.targets[kept])
    np.testing.assert_array_equal(replace(faces_task, image_limit=5).labels_of("00002"), thin.targets.numpy())


def test_augmentation_is_wired_to_the_models_inputs_and_the_label(faces_task: GazeTask) -> None:
    batch = faces_task.examples("00000").rows(slice(8))
    assert faces_task.augment(batch, torch.Generator()) is batch
    changed = replace(faces_task, augmentation=Augmentation(mirror=1.0)).augment(batch, torch.Generator())
    image, left, right, grid = batch.inputs
    assert torch.equal(changed.inputs[0], image.flip(2))
    assert torch.equal(changed.inputs[1], right.flip(2))
    assert torch.equal(changed.inputs[2], left.flip(2))
    assert torch.equal(changed.inputs[3][:, 0], 27 - grid[:, 0] - grid[:, 2])
    assert torch.equal(changed.targets, batch.targets * torch.tensor([-1.0, 1.0]))


def test_mirrored_angles_change_the_sign_of_both_yaws(task: GazeTask) -> None:
    batch = task.examples("p00").rows(slice(4))
    changed = replace(task, augmentation=Augmentation(mirror=1.0)).augment(batch, torch.Generator())
    signs = torch.tensor([1.0, -1.0])
    assert torch.equal(changed.inputs[1], batch.inputs[1] * signs)
    assert torch.equal(changed.targets, batch.targets * signs)


def test_the_same_generator_state_gives_the_same_batch(task: GazeTask) -> None:
    augmented = replace(task, augmentation=Augmentation(shift_px=2, noise=0.1))
    batch = task.examples("p00").rows(slice(4))
    first, again, other = (
        augmented.augment(batch, torch.Generator().manual_seed(seed)).inputs[0] for seed in (1, 1, 2)
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_an_augmentation_that_labels_cannot_follow_is_refused_at_the_start(faces_task: GazeTask) -> None:
    turned = replace(faces_task, augmentation=Augmentation(rotation_deg=5.0))
    with pytest.raises(ConfigError, match="rotation_deg needs normalised images"):
        turned.first_model(0)


def test_what_a_sample_costs_to_upload_counts_every_input(faces_task: GazeTask, task: GazeTask) -> None:
    assert task.bytes_per_sample == 9 * 15 + 8 + 8
    assert faces_task.bytes_per_sample == 3 * (48 * 48 + 2 * 36 * 36) + 8 + 8


def test_a_person_without_an_input_or_the_label_is_refused_by_name(faces: Path, eyes: Path) -> None:
    with pytest.raises(DataError, match="person 00000 has no pose; model resnet_preact_8 cannot do without"):
        GazeTask(faces, "resnet_preact_8", (48, 48, 3)).examples("00000")
    with pytest.raises(DataError, match="person 00000 has no gaze"):
        GazeTask(faces, "resnet_14", (48, 48, 3)).examples("00000")
    with pytest.raises(DataError, match="person p00 has no point"):
        GazeTask(eyes, "lenet", (9, 15), label="point").labels_of("p00")


def test_pictures_for_people_are_the_models_first(faces_task: GazeTask) -> None:
    examples = faces_task.examples("00000").rows(slice(None))
    np.testing.assert_array_equal(faces_task.pictures_of(examples), to_grey(examples.inputs[0].numpy()))


def test_colour_is_refused_where_the_model_was_built_for_grey(faces: Path) -> None:
    task = GazeTask(faces, "itracker", (48, 48), eye_shape=(36, 36, 3), label="point")
    with pytest.raises(DataError, match="00000 has 48x48 RGB images where the model was built for 48x48"):
        task.examples("00000")


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
    assert task.metrics[0].of(predicted, true) == pytest.approx(5.0, abs=1e-4)


def test_a_limit_keeps_evenly_spaced_rows() -> None:
    assert kept_rows(10, 4).tolist() == [0, 2, 5, 7]
    assert kept_rows(10, 10).tolist() == kept_rows(10, None).tolist() == list(range(10))


def test_images_of_another_size_than_the_models_are_refused(eyes: Path) -> None:
    task = GazeTask(path=eyes, model="lenet", image_shape=(36, 60))
    with pytest.raises(DataError, match="p00 has 9x15 images where the model was built for 36x60"):
        task.examples("p00")


def test_a_model_that_cannot_take_the_images_is_refused(eyes: Path) -> None:
    with pytest.raises(ConfigError, match="lenet"):
        GazeTask(path=eyes, model="lenet", image_shape=(9, 15)).build_model(0)
