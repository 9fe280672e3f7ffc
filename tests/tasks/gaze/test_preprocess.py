from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from privateyes.tasks.gaze.preprocess import equalise, to_model_input

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
