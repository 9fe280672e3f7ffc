from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from privateyes.errors import ConfigError, DataError
from privateyes.tasks.gaze.angles import angular_error_deg, vectors_from_angles
from privateyes.tasks.gaze.augment import LARGEST, Augmentation
from privateyes.tasks.gaze.dataset import Person, load_persons
from privateyes.tasks.gaze.orientation import Orientation, Verdict, orientation_of
from privateyes.tasks.gaze.synthetic import render_person

EVERYTHING = {
    "mirror": 0.5, "rotation_deg": 4.0, "shift_px": 3, "brightness": 0.1, "contrast": 0.3, "gamma": 0.3,
    "light_gradient": 0.3, "blur_px": 1.0, "noise": 0.03,
}  # fmt: skip
LIGHT = ["brightness", "contrast", "gamma", "light_gradient"]
TELLING = (Verdict.RIGHT, Verdict.RIGHT, Verdict.RIGHT)


def _generator(seed: int = 7) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def _batch(person: Person) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
    inputs = {"image": torch.from_numpy(person.image), "pose": torch.from_numpy(person.pose)}
    return inputs, torch.from_numpy(person.gaze)


def _random_batch(shape: tuple[int, ...] = (6, 36, 60), seed: int = 1) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
    generator = _generator(seed)
    image = torch.randint(0, 256, shape, generator=generator, dtype=torch.uint8)
    angles = torch.randn(2, shape[0], 2, generator=generator) * 0.2
    return {"image": image, "pose": angles[0]}, angles[1]


def _verdicts(orientation: Orientation) -> tuple[Verdict, Verdict, Verdict]:
    return orientation.order, orientation.yaw_sign, orientation.pitch_sign


@pytest.fixture(scope="module")
def rendered() -> Person:
    """300 eyes of one synthetic person."""
    return render_person(5, 0, 300)


def test_what_is_off_changes_no_byte_and_draws_no_number() -> None:
    inputs, gaze = _random_batch()
    generator = _generator()
    before = generator.get_state()
    changed, targets = Augmentation().apply(inputs, gaze, generator)
    assert all(changed[name] is inputs[name] for name in inputs)
    assert targets is gaze
    assert torch.equal(generator.get_state(), before)


@pytest.mark.parametrize("strength", EVERYTHING)
def test_each_strength_by_itself_changes_the_image_and_leaves_what_it_was_given(strength: str) -> None:
    inputs, gaze = _random_batch()
    kept = {name: tensor.clone() for name, tensor in inputs.items()}, gaze.clone()
    changed, _ = Augmentation(**{strength: EVERYTHING[strength]}).apply(inputs, gaze, _generator())
    assert not torch.equal(changed["image"], inputs["image"])
    assert changed["image"].dtype == torch.uint8
    assert changed["image"].shape == inputs["image"].shape
    assert all(torch.equal(inputs[name], kept[0][name]) for name in inputs)
    assert torch.equal(gaze, kept[1])


@pytest.mark.parametrize("strength", sorted(set(EVERYTHING) - {"mirror", "rotation_deg"}))
def test_light_focus_noise_and_shifts_leave_the_labels(strength: str) -> None:
    inputs, gaze = _random_batch()
    changed, targets = Augmentation(**{strength: EVERYTHING[strength]}).apply(inputs, gaze, _generator())
    assert torch.equal(changed["pose"], inputs["pose"])
    assert torch.equal(targets, gaze)


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others() -> None:
    inputs, gaze = _random_batch()
    augmentation = Augmentation(**EVERYTHING)
    first, second, other = (augmentation.apply(inputs, gaze, _generator(seed)) for seed in (7, 7, 8))
    assert torch.equal(first[0]["image"], second[0]["image"])
    assert torch.equal(first[1], second[1])
    assert not torch.equal(first[0]["image"], other[0]["image"])


def test_the_samples_of_a_batch_draw_changes_of_their_own() -> None:
    inputs, gaze = _random_batch((1, 36, 60))
    image = inputs["image"].expand(32, -1, -1)
    for strength in EVERYTHING:
        augmentation = Augmentation(**{strength: EVERYTHING[strength]})
        changed, _ = augmentation.apply({"image": image}, gaze.expand(32, -1), _generator())
        assert len({picture.numpy().tobytes() for picture in changed["image"]}) >= 2, strength


@pytest.mark.parametrize("shape", [(6, 36, 60), (6, 36, 60, 3), (6, 9, 15), (1, 16, 16, 3)], ids=str)
def test_grey_and_colour_images_of_any_size_keep_shape_and_type(shape: tuple[int, ...]) -> None:
    inputs, gaze = _random_batch(shape)
    changed, targets = Augmentation(**EVERYTHING).apply(inputs, gaze, _generator())
    assert changed["image"].shape == shape
    assert changed["image"].dtype == torch.uint8
    assert targets.dtype == gaze.dtype
    assert torch.isfinite(targets).all()


@pytest.mark.parametrize("strength", ["rotation_deg", "shift_px", "blur_px", "noise", *LIGHT])
def test_colours_are_changed_like_grey(strength: str) -> None:
    """Three equal channels stay what the grey image becomes; noise is drawn for each value."""
    inputs, gaze = _random_batch()
    coloured = {"image": inputs["image"][..., None].expand(-1, -1, -1, 3)}
    augmentation = Augmentation(**{strength: EVERYTHING[strength]})
    grey, _ = augmentation.apply({"image": inputs["image"]}, gaze, _generator())
    colour, _ = augmentation.apply(coloured, gaze, _generator())
    if strength == "noise":
        assert not torch.equal(colour["image"][..., 0], colour["image"][..., 1])
        return
    difference = colour["image"].int() - grey["image"][..., None].int()
    assert difference.abs().max() <= 1


@pytest.mark.parametrize("value", [0, 255])
def test_values_stay_in_range_at_full_strength(value: int) -> None:
    """A value that left the range would come round at the other end of it."""
    inputs = {"image": torch.full((64, 8, 8), value, dtype=torch.uint8)}
    strengths = dict.fromkeys(["brightness", "noise"], 0.3)
    changed, _ = Augmentation(**strengths).apply(inputs, torch.zeros(64, 2), _generator())
    levels = changed["image"].int()
    share = (levels == value).float().mean()
    assert 0.3 < share < 0.9
    one_way = Augmentation(light_gradient=0.95, gamma=2.0).apply(inputs, torch.zeros(64, 2), _generator())[0]["image"]
    if value == 0:
        assert (one_way == 0).all()


# --- labels ---


def test_mirroring_twice_is_the_identity() -> None:
    inputs, gaze = _random_batch()
    mirror = Augmentation(mirror=1.0)
    once = mirror.apply(inputs, gaze, _generator())
    twice = mirror.apply(*once, _generator())
    assert not torch.equal(once[0]["image"], inputs["image"])
    assert torch.equal(once[1], gaze * torch.tensor([1.0, -1.0]))
    assert torch.equal(once[0]["pose"], inputs["pose"] * torch.tensor([1.0, -1.0]))
    assert torch.equal(twice[0]["image"], inputs["image"])
    assert torch.equal(twice[0]["pose"], inputs["pose"])
    assert torch.equal(twice[1], gaze)


def test_mirroring_flips_image_and_labels_of_the_same_samples() -> None:
    inputs, gaze = _random_batch((200, 9, 15))
    changed, targets = Augmentation(mirror=0.25).apply(inputs, gaze, _generator())
    flipped = (changed["image"] == inputs["image"].flip(2)).flatten(1).all(dim=1)
    kept = (changed["image"] == inputs["image"]).flatten(1).all(dim=1)
    assert (flipped ^ kept).all()
    assert 30 < int(flipped.sum()) < 70
    assert torch.equal(targets[:, 1] == -gaze[:, 1], flipped)
    assert torch.equal(changed["pose"][:, 1] == -inputs["pose"][:, 1], flipped)
    assert torch.equal(targets[:, 0], gaze[:, 0])


def test_mirroring_a_face_swaps_the_eyes_and_mirrors_point_and_grid() -> None:
    shape = (4, 6, 6, 3)
    face, left, right = (
        torch.randint(0, 256, shape, generator=_generator(seed), dtype=torch.uint8) for seed in (1, 2, 3)
    )
    grid = torch.tensor([[1, 3, 5, 5], [21, 3, 5, 5], [11, 3, 5, 5], [6, 8, 13, 13]], dtype=torch.int16)
    point = torch.tensor([[1.5, -3.0]]).expand(4, -1)
    inputs = {"image": face, "left": left, "right": right, "grid": grid}
    changed, points = Augmentation(mirror=1.0).apply(inputs, point, _generator(), target="point")
    assert torch.equal(changed["image"], face.flip(2))
    assert torch.equal(changed["left"], right.flip(2))
    assert torch.equal(changed["right"], left.flip(2))
    assert changed["grid"].tolist() == [[21, 3, 5, 5], [1, 3, 5, 5], [11, 3, 5, 5], [8, 8, 13, 13]]
    assert changed["grid"].dtype == torch.int16
    assert torch.equal(points, torch.tensor([[-1.5, -3.0]]).expand(4, -1))


@pytest.mark.parametrize("strength", [name for name in EVERYTHING if name != "rotation_deg"])
def test_the_iris_of_rendered_eyes_still_follows_the_label(rendered: Person, strength: str) -> None:
    inputs, gaze = _batch(rendered)
    changed, targets = Augmentation(**{strength: EVERYTHING[strength]}).apply(inputs, gaze, _generator())
    assert _verdicts(orientation_of(changed["image"].numpy(), targets.numpy())) == TELLING


def test_the_iris_of_mirrored_eyes_contradicts_labels_that_were_not_mirrored(rendered: Person) -> None:
    """The twin of the test above: it would notice."""
    inputs, gaze = _batch(rendered)
    changed, targets = Augmentation(mirror=1.0).apply(inputs, gaze, _generator())
    assert _verdicts(orientation_of(changed["image"].numpy(), targets.numpy())) == TELLING
    assert _verdicts(orientation_of(changed["image"].numpy(), gaze.numpy()))[1] is Verdict.WRONG


def test_turning_keeps_the_iris_of_rendered_eyes_with_the_label(rendered: Person) -> None:
    inputs, gaze = _batch(rendered)
    changed, targets = Augmentation(rotation_deg=8.0).apply(inputs, gaze, _generator())
    assert angular_error_deg(targets.numpy(), gaze.numpy()).mean() > 0.2
    assert _verdicts(orientation_of(changed["image"].numpy(), targets.numpy())) == TELLING


def _discs(gaze: np.ndarray, size: int = 81, reach: float = 50.0) -> np.ndarray:
    """White with a dark disc at `reach` times the gaze vector's (x, y) from the centre."""
    vectors = vectors_from_angles(gaze)
    y, x = np.mgrid[:size, :size] - (size - 1) / 2
    distance = np.hypot(x - reach * vectors[:, 0, None, None], y - reach * vectors[:, 1, None, None])
    return np.rint(255 / (1 + np.exp(2 * (6 - distance)))).astype(np.uint8)


def _centroids(image: np.ndarray) -> np.ndarray:
    dark = 255.0 - image
    y, x = np.mgrid[: image.shape[1], : image.shape[2]] - (image.shape[1] - 1) / 2
    return np.stack([(dark * axis).sum((1, 2)) / dark.sum((1, 2)) for axis in (x, y)], axis=1)


@pytest.mark.parametrize("mirror", [0.0, 1.0])
def test_a_turned_disc_is_where_the_turned_label_says(mirror: float) -> None:
    gaze = np.random.default_rng(3).uniform(-0.4, 0.4, (50, 2)).astype(np.float32)
    inputs = {"image": torch.from_numpy(_discs(gaze)), "pose": torch.from_numpy(gaze)}
    changed, targets = Augmentation(rotation_deg=40.0, mirror=mirror).apply(
        inputs, torch.from_numpy(gaze), _generator()
    )
    expected = 50.0 * vectors_from_angles(targets.numpy())[:, :2]
    np.testing.assert_allclose(_centroids(changed["image"].numpy()), expected, atol=0.35)
    torch.testing.assert_close(changed["pose"], targets)
    # It would notice a label that stayed, or turned the other way.
    assert np.abs(expected - 50.0 * vectors_from_angles(gaze)[:, :2]).max() > 5


def test_a_turn_in_a_picture_that_is_wider_than_high_is_a_turn_and_no_shear() -> None:
    size, gaze = 81, np.array([[0.1, -0.3]] * 8, dtype=np.float32)
    wide = np.full((8, size, 2 * size + 1), 255, dtype=np.uint8)
    margin = (wide.shape[2] - size) // 2
    wide[:, :, margin : margin + size] = _discs(gaze)
    changed, targets = Augmentation(rotation_deg=40.0).apply(
        {"image": torch.from_numpy(wide)}, torch.from_numpy(gaze), _generator()
    )
    middle = changed["image"].numpy()[:, :, margin : margin + size]
    np.testing.assert_allclose(_centroids(middle), 50.0 * vectors_from_angles(targets.numpy())[:, :2], atol=0.35)


def test_shifts_are_whole_pixels_within_the_strength_in_every_direction() -> None:
    image = torch.zeros(400, 15, 15, dtype=torch.uint8)
    image[:, 7, 7] = 255
    changed, _ = Augmentation(shift_px=2).apply({"image": image}, torch.zeros(400, 2), _generator())
    places = {tuple(place[1:]) for place in changed["image"].nonzero().tolist()}
    assert places == {(row, column) for row in range(5, 10) for column in range(5, 10)}


def test_shifts_repeat_the_edge() -> None:
    image = torch.arange(8, dtype=torch.uint8).expand(40, 8, 8)
    changed, _ = Augmentation(shift_px=3).apply({"image": image}, torch.zeros(40, 2), _generator())
    steps = changed["image"].int().diff(dim=2)
    assert ((steps == 0) | (steps == 1)).all()
    assert changed["image"].max() == 7


def test_blur_is_a_gaussian_of_the_given_width_and_keeps_the_mean() -> None:
    wide = torch.zeros(300, 31, 31, dtype=torch.uint8)
    wide[:, 11:20, 11:20] = 200
    changed, _ = Augmentation(blur_px=2.0).apply({"image": wide}, torch.zeros(300, 2), _generator())
    offsets = torch.arange(31) - 15.0
    mass = changed["image"].float()
    variance = (mass * offsets**2).sum((1, 2)) / mass.sum((1, 2))
    square = (9**2 - 1) / 12
    blurs = (variance - square).clamp_min(0).sqrt()
    assert blurs.min() < 0.4
    assert 1.7 < blurs.max() < 2.1
    np.testing.assert_allclose(mass.mean((1, 2)), wide.float().mean((1, 2)), rtol=0.01)


def test_one_light_falls_on_face_and_eyes() -> None:
    inputs = {name: torch.full((20, 8, 8), 100, dtype=torch.uint8) for name in ("image", "left", "right")}
    changed, _ = Augmentation(brightness=0.3).apply(inputs, torch.zeros(20, 2), _generator(), target="point")
    assert torch.equal(changed["image"], changed["left"])
    assert torch.equal(changed["image"], changed["right"])
    assert len(changed["image"][:, 0, 0].unique()) > 10


def test_a_light_gradient_falls_off_across_the_image_and_keeps_its_mean() -> None:
    image = torch.full((200, 16, 16), 128, dtype=torch.uint8)
    changed, _ = Augmentation(light_gradient=0.5).apply({"image": image}, torch.zeros(200, 2), _generator())
    levels = changed["image"].float()
    np.testing.assert_allclose(levels.mean((1, 2)), 128, atol=0.5)
    assert levels.max() <= 128 * 1.5 + 1
    assert levels.max() > 128 * 1.4


# --- refusals ---


@pytest.mark.parametrize("strength", EVERYTHING)
@pytest.mark.parametrize("kind", ["negative", "too large", "not a number"])
def test_strengths_out_of_range_are_refused_by_name(strength: str, kind: str) -> None:
    value = {"negative": -1, "too large": LARGEST[strength] * 1.01 + 1, "not a number": float("nan")}[kind]
    with pytest.raises(ConfigError, match=f"augmentation.{strength} = "):
        Augmentation(**{strength: value})


def test_part_of_a_pixel_is_no_shift() -> None:
    with pytest.raises(ConfigError, match="whole number of pixels"):
        Augmentation(shift_px=1.5)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("extra", "target"), [({}, "point"), ({"left": (2, 4, 4)}, "gaze"), ({"grid": (2, 4)}, "gaze")], ids=str
)
def test_rotation_is_refused_where_the_label_could_not_follow(extra: dict[str, tuple[int, ...]], target: str) -> None:
    inputs = {"image": torch.zeros(2, 4, 4, dtype=torch.uint8)}
    inputs |= {name: torch.zeros(shape, dtype=torch.uint8) for name, shape in extra.items()}
    with pytest.raises(ConfigError, match=r"augmentation\.rotation_deg needs normalised images"):
        Augmentation(rotation_deg=1.0).apply(inputs, torch.zeros(2, 2), _generator(), target=target)  # type: ignore[arg-type]


@pytest.mark.parametrize("image", [torch.zeros(2, 4, 4), torch.zeros(4, 4, dtype=torch.uint8)], ids=["float", "one"])
def test_pictures_that_are_scaled_already_or_no_batch_are_refused(image: torch.Tensor) -> None:
    with pytest.raises(DataError, match="augmentation: image is torch"):
        Augmentation(noise=0.1).apply({"image": image}, torch.zeros(2, 2), _generator())


@pytest.mark.realdata
@pytest.mark.parametrize("strength", EVERYTHING)
def test_the_iris_of_real_eyes_still_follows_the_label(data_folder: Path, strength: str) -> None:
    """Light can hide the vertical evidence of one person (ties among clipped dark pixels), but not contradict it."""
    person = load_persons(data_folder / "mpiigaze/MPIIGaze_p00_36x60.h5")[0]
    changed, targets = Augmentation(**{strength: EVERYTHING[strength]}).apply(*_batch(person), _generator())
    order, yaw_sign, pitch_sign = _verdicts(orientation_of(changed["image"].numpy(), targets.numpy()))
    assert (order, yaw_sign) == (Verdict.RIGHT, Verdict.RIGHT)
    assert pitch_sign in (Verdict.RIGHT, Verdict.UNKNOWN)
