from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from privateyes.errors import ConfigError
from privateyes.tasks.gaze.preprocess import Pictures, equalise, face_grid, resize, scaled, to_grey, to_model_input

image_stacks = arrays(np.uint8, array_shapes(min_dims=3, max_dims=3, max_side=7), elements=st.integers(0, 255))


@given(image_stacks)
def test_equalisation_equals_the_slow_reference(images: np.ndarray) -> None:
    expected = np.stack([_equalised_slowly(image) for image in images])
    result = equalise(images)
    assert result.dtype == np.uint8
    np.testing.assert_array_equal(result, expected)


@given(image_stacks)
def test_equalisation_keeps_the_order_of_grey_levels(images: np.ndarray) -> None:
    for before, after in zip(images, equalise(images), strict=True):
        order = np.argsort(before, axis=None, kind="stable")
        assert (np.diff(after.ravel()[order].astype(int)) >= 0).all()


def test_equalisation_removes_brightness_and_contrast() -> None:
    image = np.random.default_rng(0).integers(0, 100, (1, 36, 60)).astype(np.uint8)
    np.testing.assert_array_equal(equalise(image), equalise(image * 2 + 7))


def test_equalised_images_span_all_levels() -> None:
    image = equalise(np.random.default_rng(0).integers(90, 110, (3, 36, 60)).astype(np.uint8))
    assert (image.min(axis=(1, 2)) == 0).all()
    assert (image.max(axis=(1, 2)) == 255).all()


def test_an_image_of_one_level_stays_as_it_is() -> None:
    image = np.full((1, 4, 5), 77, dtype=np.uint8)
    np.testing.assert_array_equal(equalise(image), image)


def test_every_image_is_equalised_by_itself() -> None:
    images = np.random.default_rng(0).integers(0, 256, (5, 9, 15)).astype(np.uint8)
    np.testing.assert_array_equal(equalise(images)[3:4], equalise(images[3:4]))


def test_no_images_give_no_images() -> None:
    assert equalise(np.zeros((0, 4, 5), dtype=np.uint8)).shape == (0, 4, 5)


def test_model_input_has_one_channel_between_0_and_1() -> None:
    images = np.array([[[0, 51], [102, 255]]], dtype=np.uint8)
    result = to_model_input(images)
    assert result.shape == (1, 1, 2, 2)
    assert result.dtype == np.float32
    assert result.ravel() == pytest.approx([0.0, 0.2, 0.4, 1.0])


def _equalised_slowly(image: np.ndarray) -> np.ndarray:
    """The formula, pixel by pixel, in whole numbers: round half up of 255 (c(v) - c_min) / (N - c_min)."""
    pixels = [int(value) for value in image.ravel()]
    darkest_count = pixels.count(min(pixels))
    span = len(pixels) - darkest_count
    if span == 0:
        return image
    levels = []
    for value in pixels:
        above = sum(other <= value for other in pixels) - darkest_count
        quotient, remainder = divmod(255 * above, span)
        levels.append(quotient + (2 * remainder >= span))
    return np.array(levels, dtype=np.uint8).reshape(image.shape)


def test_tensors_are_scaled_as_arrays_are_to_the_last_bit() -> None:
    images = np.arange(256, dtype=np.uint8).reshape(2, 8, 16)
    np.testing.assert_array_equal(scaled(torch.from_numpy(images), 1).numpy(), to_model_input(images))


def test_a_grey_picture_fills_three_equal_channels_and_rgb_keeps_its_order() -> None:
    grey = torch.from_numpy(np.arange(12, dtype=np.uint8).reshape(1, 3, 4))
    three = scaled(grey, 3)
    assert three.shape == (1, 3, 3, 4)
    assert all(torch.equal(three[:, channel], scaled(grey, 1)[:, 0]) for channel in range(3))
    colour = torch.zeros((1, 2, 2, 3), dtype=torch.uint8)
    colour[..., 0] = 255
    assert scaled(colour, 3).flatten(2).sum(dim=2).tolist() == [[4.0, 0.0, 0.0]]


def test_grey_is_the_luma_of_red_green_and_blue() -> None:
    pure = np.zeros((4, 1, 1, 3), dtype=np.uint8)
    pure[0, 0, 0], pure[1, 0, 0, 0], pure[2, 0, 0, 1], pure[3, 0, 0, 2] = 255, 255, 255, 255
    assert to_grey(pure).ravel().tolist() == [255, 76, 150, 29]


@pytest.mark.parametrize("colour", [(), (3,)])
def test_halving_a_picture_averages_and_keeps_its_mean(colour: tuple[int, ...]) -> None:
    pictures = np.random.default_rng(0).integers(0, 256, (5, 36, 60, *colour)).astype(np.uint8)
    smaller = resize(pictures, (18, 30))
    assert smaller.shape == (5, 18, 30, *colour)
    assert smaller.dtype == np.uint8
    assert abs(float(smaller.mean()) - float(pictures.mean())) < 0.7
    # Plain sampling keeps the noise; a mean over what a pixel covers takes most of it away.
    assert smaller.std() < 0.6 * pictures.std()


def test_a_position_in_a_picture_stays_where_it_was_when_the_size_changes() -> None:
    rows, columns = np.mgrid[0:32, 0:48]
    picture = (255 * np.exp(-((rows - 10) ** 2 + (columns - 33) ** 2) / 12)).astype(np.uint8)[None]
    for size in ((16, 24), (64, 96), (20, 48)):
        sized = resize(picture, size)[0].astype(float)
        centre = [(np.indices(size)[axis] * sized).sum() / sized.sum() for axis in (0, 1)]
        expected = [(10 + 0.5) * size[0] / 32 - 0.5, (33 + 0.5) * size[1] / 48 - 0.5]
        assert centre == pytest.approx(expected, abs=0.15), size


def test_resizing_works_in_pieces_without_a_seam(monkeypatch: pytest.MonkeyPatch) -> None:
    pictures = np.random.default_rng(0).integers(0, 256, (7, 9, 15)).astype(np.uint8)
    whole = resize(pictures, (5, 6))
    monkeypatch.setattr("privateyes.tasks.gaze.preprocess._RESIZE_BYTES", 2 * 9 * 15)
    np.testing.assert_array_equal(resize(pictures, (5, 6)), whole)
    assert resize(pictures, (9, 15)) is pictures


def test_pictures_become_grey_then_small_then_equalised() -> None:
    colour = np.random.default_rng(0).integers(0, 120, (2, 8, 12, 3)).astype(np.uint8)
    settings = Pictures(grey=True, resize=(4, 6), equalise=True)
    assert settings.shape_after((8, 12, 3)) == (4, 6)
    np.testing.assert_array_equal(settings.apply(colour), equalise(resize(to_grey(colour), (4, 6))))
    plain = Pictures()
    assert plain.apply(colour) is colour
    assert plain.shape_after((8, 12, 3)) == (8, 12, 3)


def test_colours_are_not_equalised() -> None:
    with pytest.raises(ConfigError, match=r"needs grey images, and these are RGB; set data.grey = true"):
        Pictures(equalise=True).apply(np.zeros((1, 4, 4, 3), dtype=np.uint8))


def test_a_face_grid_covers_its_cells_counted_from_one() -> None:
    boxes = torch.tensor([[1, 1, 25, 25], [2, 3, 1, 2], [25, 25, 9, 9], [-3, 0, 5, 3]], dtype=torch.int16)
    grids = face_grid(boxes, 25)
    assert grids.shape == (4, 25, 25)
    assert grids.dtype == torch.float32
    assert grids[0].sum() == 625
    assert grids[1].nonzero().tolist() == [[2, 1], [3, 1]]
    assert grids[2].nonzero().tolist() == [[24, 24]]
    assert grids[3].nonzero().tolist() == [[0, 0], [1, 0]]


def test_a_face_grid_of_the_largest_numbers_does_not_wrap_around() -> None:
    boxes = torch.tensor([[20, 1, 32767, 32767]], dtype=torch.int16)
    assert face_grid(boxes, 25)[0].sum() == 25 * 6
