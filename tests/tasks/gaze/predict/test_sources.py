from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from PIL import Image

from privateyes.errors import ConfigError, DataError, TrainingError
from privateyes.tasks.gaze.dataset import Person, write_persons
from privateyes.tasks.gaze.predict.estimator import ModelFacts
from privateyes.tasks.gaze.predict.poses import PoseSource, parse_pose
from privateyes.tasks.gaze.predict.sources import (
    Batch,
    Skipped,
    Skips,
    data_batches,
    estimate,
    find_pictures,
    picture_batches,
)
from privateyes.tasks.gaze.preprocess import Pictures, equalise

GREY = ModelFacts("lenet", ("image", "pose"), (36, 60), None, "gaze", Pictures())
NO_POSE = ModelFacts("nvgaze", ("image",), (36, 60), None, "gaze", Pictures())
FRONTAL = parse_pose("0,0")


def _eye(seed: int = 0, size: tuple[int, ...] = (36, 60)) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, size).astype(np.uint8)


def _save(path: Path, pixels: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return path


def _all(
    target: Path, facts: ModelFacts = GREY, poses: PoseSource = FRONTAL, skips: Skips | None = None
) -> list[Batch]:
    return list(picture_batches(target, facts, poses, "left", skips if skips is not None else Skips()))


class Weighing:
    """An `Estimator` whose answer tells mirrored pictures from others: the dark side, and the pose it was given."""

    def __init__(self, label: str = "gaze") -> None:
        self.facts = ModelFacts("x", ("image", "pose"), (4, 8), None, label, Pictures())  # type: ignore[arg-type]

    def estimate(self, columns: Mapping[str, np.ndarray[Any, Any]]) -> np.ndarray[Any, Any]:
        side = columns["image"][:, :, :4].mean((1, 2)) - columns["image"][:, :, 4:].mean((1, 2))
        return np.stack([side / 100, columns["pose"][:, 1] + side / 10], axis=1).astype(np.float32)


def test_one_picture_is_one_row(tmp_path: Path) -> None:
    (batch,) = _all(_save(tmp_path / "a.png", _eye()))
    assert batch.names == ("a.png",)
    assert batch.eyes == ("left",)
    np.testing.assert_array_equal(batch.columns["image"], _eye()[None])
    np.testing.assert_array_equal(batch.columns["pose"], [[0, 0]])


def test_a_folder_is_read_in_order_and_below(tmp_path: Path) -> None:
    for name in ("b.png", "a.PNG", "sub/c.bmp", "sub/notes.txt"):
        if name.endswith("txt"):
            (tmp_path / name).write_text("x")
        else:
            _save(tmp_path / name, _eye())
    (batch,) = _all(tmp_path)
    assert batch.names == ("a.PNG", "b.png", "sub/c.bmp")


def test_large_folders_come_in_batches(tmp_path: Path) -> None:
    for index in range(70):
        _save(tmp_path / f"{index:03d}.png", _eye(index))
    batches = _all(tmp_path)
    assert [len(batch) for batch in batches] == [64, 6]
    np.testing.assert_array_equal(batches[1].columns["image"][0], _eye(64))


def test_colour_pictures_become_grey_for_a_grey_model_and_grey_ones_rgb_for_a_colour_model(tmp_path: Path) -> None:
    colour = _save(tmp_path / "c.png", _eye(1, (36, 60, 3)))
    grey = _save(tmp_path / "g.png", _eye(2))
    rgb = ModelFacts("resnet_14", ("image",), (36, 60, 3), None, "gaze", Pictures())
    assert _all(colour)[0].columns["image"].shape == (1, 36, 60)
    assert _all(colour, rgb)[0].columns["image"].shape == (1, 36, 60, 3)
    np.testing.assert_array_equal(_all(grey, rgb)[0].columns["image"][0, ..., 1], _eye(2))


def test_pictures_are_prepared_as_the_run_prepared_them(tmp_path: Path) -> None:
    path = _save(tmp_path / "a.png", _eye() // 2)
    facts = ModelFacts("lenet", ("image", "pose"), (36, 60), None, "gaze", Pictures(equalise=True))
    np.testing.assert_array_equal(_all(path, facts)[0].columns["image"], equalise(_eye()[None] // 2))
    _save(tmp_path / "b.png", _eye(3, (72, 120)))
    sized = ModelFacts("lenet", ("image", "pose"), (36, 60), None, "gaze", Pictures(resize=(36, 60)))
    assert _all(tmp_path, sized)[0].columns["image"].shape == (2, 36, 60)


@pytest.mark.parametrize(
    ("dataset", "pictures", "shape", "equalised"),
    [
        ("mpiigaze", Pictures(), (36, 60), True),
        ("mpiigaze", Pictures(grey=True), (36, 60), True),
        ("mpiifacegaze", Pictures(), (36, 60), False),
        (None, Pictures(), (36, 60), False),
        ("mpiigaze", Pictures(), (36, 60, 3), False),
    ],
    ids=str,
)
def test_pictures_are_equalised_for_a_model_that_learned_from_images_that_came_so(
    tmp_path: Path, dataset: str | None, pictures: Pictures, shape: tuple[int, ...], equalised: bool
) -> None:
    dim = _eye(4, shape) // 3
    facts = ModelFacts("lenet", ("image", "pose"), shape, None, "gaze", pictures, dataset)
    (batch,) = _all(_save(tmp_path / "a.png", dim), facts)
    np.testing.assert_array_equal(batch.columns["image"], equalise(dim[None]) if equalised else dim[None])


def test_a_run_that_made_colours_grey_does_so_with_pictures_in_the_same_way(tmp_path: Path) -> None:
    colours = _eye(1, (36, 60, 3))
    facts = ModelFacts("lenet", ("image", "pose"), (36, 60), None, "gaze", Pictures(grey=True))
    (batch,) = _all(_save(tmp_path / "c.png", colours), facts)
    np.testing.assert_array_equal(batch.columns["image"], facts.pictures.apply(colours[None]))


def test_what_cannot_be_used_in_a_folder_is_named_with_its_reason(tmp_path: Path) -> None:
    good = _save(tmp_path / "good.png", _eye())
    (tmp_path / "cut.png").write_bytes(good.read_bytes()[:500])
    (tmp_path / "empty.jpg").write_bytes(b"")
    (tmp_path / "text.png").write_text("no picture")
    _save(tmp_path / "large.png", _eye(0, (72, 120)))
    _save(tmp_path / "deep.png", np.zeros((36, 60), dtype=np.uint16))
    skips = Skips()
    (batch,) = _all(tmp_path, skips=skips)
    assert batch.names == ("good.png",)
    reasons = {entry.name: entry.reason for entry in skips.found}
    assert list(reasons) == ["cut.png", "deep.png", "empty.jpg", "large.png", "text.png"]
    assert reasons["large.png"] == "the image is 72x120 grey, where the model takes 36x60 grey"
    assert all("damaged" in reasons[name] for name in ("cut.png", "empty.jpg", "text.png"))
    assert "not 8 bits" in reasons["deep.png"]


def test_what_is_no_picture_in_a_folder_is_named_and_texts_and_hidden_files_are_not(tmp_path: Path) -> None:
    _save(tmp_path / "good.png", _eye())
    reasons = {
        "a.tiff": "no .png, .jpg, .jpeg, .bmp file, so it was not read",
        "b.webp": "no .png, .jpg, .jpeg, .bmp file, so it was not read",
        "c.npy": "an array, which is not read",
        "d.MP4": "a video, which is not read",
        "sub/e.h5": "a data file, which is read on its own only",
        "sub/f": "no .png, .jpg, .jpeg, .bmp file, so it was not read",
    }
    for name in (*reasons, "poses.csv", "README.md", ".DS_Store", ".cache/x.tiff"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    skips = Skips()
    (batch,) = _all(tmp_path, skips=skips)
    assert batch.names == ("good.png",)
    assert {entry.name: entry.reason for entry in skips.found} == reasons


def test_a_single_picture_that_cannot_be_used_is_an_error_with_its_path(tmp_path: Path) -> None:
    path = _save(tmp_path / "large.png", _eye(0, (72, 120)))
    with pytest.raises(DataError, match=r"large\.png: the image is 72x120") as refused:
        _all(path, skips=Skips(strict=True))
    assert refused.value.problem.startswith(str(path))
    assert refused.value.remedy


def test_a_table_of_poses_decides_pose_and_eye_and_names_who_is_missing(tmp_path: Path) -> None:
    for name in ("a.png", "b.png", "c.png"):
        _save(tmp_path / "eyes" / name, _eye())
    table = tmp_path / "poses.csv"
    table.write_text("image,pitch_deg,yaw_deg,eye\na.png,10,20,right\nb.png,0,-5,\n")
    skips = Skips()
    (batch,) = _all(tmp_path / "eyes", poses=parse_pose(str(table)), skips=skips)
    assert batch.eyes == ("right", "left")
    np.testing.assert_allclose(np.rad2deg(batch.columns["pose"]), [[10, 20], [0, -5]], rtol=1e-6)
    assert skips.found == [Skipped("c.png", "the table of head poses has no line for it")]


def test_a_model_that_needs_the_pose_is_not_given_one_silently(tmp_path: Path) -> None:
    path = _save(tmp_path / "a.png", _eye())
    with pytest.raises(ConfigError, match="needs the head's pose") as refused:
        _all(path, poses=PoseSource())
    assert "--pose 0,0 says" in refused.value.remedy
    assert "pose" not in _all(path, NO_POSE, PoseSource())[0].columns


def test_models_of_eyes_and_grids_cannot_see_pictures(tmp_path: Path) -> None:
    facts = ModelFacts("itracker", ("image", "left", "right", "grid"), (64, 64, 3), (64, 64, 3), "point", Pictures())
    with pytest.raises(ConfigError, match="also takes left, right, grid") as refused:
        _all(_save(tmp_path / "a.png", _eye()), facts)
    assert ".h5" in refused.value.remedy


def test_places_without_pictures_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds no picture"):
        find_pictures(tmp_path)
    with pytest.raises(DataError, match="there is no such file or folder"):
        find_pictures(tmp_path / "none")
    (tmp_path / "a.webp").write_bytes(b"x")
    with pytest.raises(DataError, match=r"holds no picture, but a\.webp: no \.png, .* file.*; name a folder with"):
        find_pictures(tmp_path)
    for name, what in (("clip.mov", "a video, which is not read; store its frames"), ("x.npy", "an array, which is")):
        (tmp_path / name).write_bytes(b"x")
        with pytest.raises(DataError, match=rf"{name}: {what}"):
            find_pictures(tmp_path / name)


def test_a_camera_that_noted_how_it_was_held_is_believed(tmp_path: Path) -> None:
    picture = Image.fromarray(_eye(0, (60, 36)))
    exif = picture.getexif()
    exif[0x0112] = 6  # turn by a quarter, clockwise
    picture.save(tmp_path / "a.png", exif=exif)
    (batch,) = _all(tmp_path / "a.png")
    np.testing.assert_array_equal(batch.columns["image"][0], np.rot90(_eye(0, (60, 36)), -1))


# --- right eyes ---


def test_a_right_eye_is_seen_mirrored_and_its_yaw_is_mirrored_back() -> None:
    image = np.zeros((2, 4, 8), dtype=np.uint8)
    image[:, :, :4] = 50
    columns = {"image": image, "pose": np.array([[0.1, 0.3], [0.1, 0.3]], dtype=np.float32)}
    left, right = estimate(Weighing(), Batch(("a", "b"), ("left", "right"), columns))
    np.testing.assert_allclose(left, [0.5, 5.3], rtol=1e-6)
    # The model saw its dark side on the right and the head turned the other way: yaw -0.3 - 5, mirrored back.
    np.testing.assert_allclose(right, [-0.5, 5.3], rtol=1e-6)
    assert image[1, 0, 0] == 50


def test_mirroring_a_picture_and_calling_it_a_right_eye_mirrors_the_estimate() -> None:
    image = _eye(4, (3, 4, 8))
    pose = np.array([[0.1, 0.3]] * 3, dtype=np.float32)
    plain = estimate(Weighing(), Batch(("a",) * 3, ("left",) * 3, {"image": image, "pose": pose}))
    flipped = {"image": image[:, :, ::-1], "pose": pose * np.array([1, -1], dtype=np.float32)}
    right = estimate(Weighing(), Batch(("a",) * 3, ("right",) * 3, flipped))
    np.testing.assert_allclose(right, plain * [1, -1], rtol=1e-6)


def test_of_a_point_x_is_mirrored_back() -> None:
    columns = {"image": np.zeros((1, 4, 8), np.uint8), "pose": np.array([[0.0, 0.4]], dtype=np.float32)}
    columns["image"][:, :, :4] = 100
    (point,) = estimate(Weighing("point"), Batch(("a",), ("right",), columns))
    np.testing.assert_allclose(point, [1.0, -10.4], rtol=1e-6)


# --- data files ---


def _person(name: str, count: int = 70, **changes: Any) -> Person:
    rng = np.random.default_rng(5)
    parts: dict[str, Any] = {
        "image": rng.integers(0, 256, (count, 36, 60)).astype(np.uint8),
        "pose": rng.normal(0, 0.1, (count, 2)).astype(np.float32),
        "gaze": rng.normal(0, 0.1, (count, 2)).astype(np.float32),
    }
    return Person(name, **(parts | changes))


def test_a_data_file_comes_person_by_person_with_its_poses(tmp_path: Path) -> None:
    persons = [_person("p00"), _person("p01", 3)]
    write_persons(tmp_path / "x.h5", persons)
    batches = list(data_batches(tmp_path / "x.h5", GREY, PoseSource()))
    assert [len(batch) for batch in batches] == [64, 6, 3]
    assert batches[1].names[0] == "p00 64"
    assert set(batches[1].eyes) == {"as stored"}
    np.testing.assert_array_equal(batches[1].columns["image"], persons[0].image[64:])
    np.testing.assert_array_equal(batches[1].columns["pose"], persons[0].pose[64:])


@pytest.mark.parametrize(("origin", "equalised"), [("mpiigaze", False), ("nvgaze", True), (None, True)])
def test_other_data_are_equalised_for_a_model_of_equalised_images_and_their_own_are_not(
    tmp_path: Path, origin: str | None, equalised: bool
) -> None:
    person = _person("p00", 5)
    person.image[:] //= 3
    write_persons(tmp_path / "x.h5", [person])
    if origin is not None:
        with h5py.File(tmp_path / "x.h5", "r+") as file:
            file.attrs["dataset"] = origin
    facts = replace(GREY, dataset="mpiigaze")
    (batch,) = data_batches(tmp_path / "x.h5", facts, PoseSource())
    np.testing.assert_array_equal(batch.columns["image"], equalise(person.image) if equalised else person.image)


def test_data_without_poses_take_the_given_one_or_are_refused(tmp_path: Path) -> None:
    write_persons(tmp_path / "x.h5", [_person("p00", 2, pose=None)])
    (batch,) = data_batches(tmp_path / "x.h5", GREY, parse_pose("0,90"))
    np.testing.assert_allclose(batch.columns["pose"], [[0, np.pi / 2]] * 2)
    with pytest.raises(DataError, match="person p00 has no pose, which model lenet needs; give --pose"):
        list(data_batches(tmp_path / "x.h5", GREY, PoseSource()))


@pytest.mark.parametrize("given", ["0,0", "table.csv"])
def test_poses_that_a_data_file_would_pass_over_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "table.csv").write_text("image,pitch_deg,yaw_deg\n0.png,1,2\n")
    write_persons(tmp_path / "x.h5", [_person("p00", 2)])
    with pytest.raises(ConfigError, match="leave"):
        list(data_batches(tmp_path / "x.h5", GREY, parse_pose(given)))


def test_data_of_another_size_are_refused_by_person(tmp_path: Path) -> None:
    write_persons(tmp_path / "x.h5", [_person("p00", 2, image=np.zeros((2, 9, 15), np.uint8))])
    with pytest.raises(DataError, match="person p00: the image is 9x15 grey, where the model takes 36x60"):
        list(data_batches(tmp_path / "x.h5", GREY, PoseSource()))


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_answers_that_are_no_numbers_say_that_training_diverged(value: float) -> None:
    class Diverged(Weighing):
        def estimate(self, columns: Mapping[str, np.ndarray[Any, Any]]) -> np.ndarray[Any, Any]:
            return np.full_like(super().estimate(columns), value)

    batch = Batch(("a",), ("left",), {"image": np.zeros((1, 4, 8), np.uint8), "pose": np.zeros((1, 2), np.float32)})
    with pytest.raises(TrainingError, match="training diverged, for its answers are NaN or infinite"):
        estimate(Diverged(), batch)
