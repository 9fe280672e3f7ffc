from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from privateyes.errors import ConfigError, DataError
from privateyes.experiments.prepare import prepare
from privateyes.experiments.spec import ExperimentSpec, parse_spec

Make = Callable[..., ExperimentSpec]


def test_a_preparation_knows_folds_samples_and_the_initial_model(small_spec: Make) -> None:
    preparation = prepare(small_spec())
    assert preparation.clients(preparation.folds[0]) == {"p00": 24, "p01": 24, "p02": 24}
    assert preparation.learning.image_shape == (9, 15)
    assert preparation.initial.dtype == np.float32
    np.testing.assert_array_equal(preparation.initial, prepare(small_spec(rounds=9)).initial)


def test_a_limit_on_images_counts_in_the_weights(small_spec: Make) -> None:
    spec = small_spec()
    limited = spec.model_copy(update={"data": spec.data.model_copy(update={"image_limit": 10})})
    assert set(prepare(limited).samples.values()) == {10}


def test_synthetic_persons_need_no_file() -> None:
    text = (
        'name = "x"\n[data.synthetic]\npersons = 4\nimages_per_person = 7\n'
        '[split]\nleave_one_out = true\n[model]\nname = "lenet"\n'
    )
    preparation = prepare(parse_spec(text, "x.toml", Path()))
    assert preparation.samples == {"r00": 7, "r01": 7, "r02": 7, "r03": 7}
    assert preparation.learning.image_shape == (36, 60)


def test_persons_with_images_of_another_size_are_refused(
    tmp_path: Path, make_eyes: Callable[..., Path], small_spec: Make
) -> None:
    path = make_eyes(tmp_path / "mixed.h5")
    with h5py.File(path, "r+") as file:
        del file["p02/image"]
        file["p02/image"] = np.zeros((24, 36, 60), dtype=np.uint8)
    with pytest.raises(DataError, match="p02 has 36x60 images, person p00 has 9x15"):
        prepare(small_spec(data=path))


def test_a_model_that_cannot_take_the_images_is_refused(small_spec: Make) -> None:
    spec = small_spec()
    with pytest.raises(ConfigError, match="lenet cannot take 9x15 images"):
        prepare(spec.model_copy(update={"model": spec.model.model_copy(update={"name": "lenet"})}))
