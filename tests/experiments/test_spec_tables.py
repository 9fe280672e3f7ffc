from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import pytest

from privateyes.errors import ConfigError
from privateyes.experiments import spec_tables
from privateyes.experiments.spec import dump_spec, parse_spec
from privateyes.tasks.gaze.augment import LARGEST, Augmentation

EXPERIMENT = """
name = "small"
[data]
path = "eyes.h5"
[split]
leave_one_out = true
[model]
name = "lenet"
"""


def test_the_augmentation_table_and_the_augmentation_have_the_same_keys_and_defaults() -> None:
    assert spec_tables.Augmentation().model_dump() == {field.name: field.default for field in fields(Augmentation)}
    assert set(LARGEST) == set(spec_tables.Augmentation.model_fields)


@pytest.mark.parametrize("key", LARGEST)
def test_the_augmentation_table_allows_what_the_augmentation_allows(key: str) -> None:
    text = f"{EXPERIMENT}[augmentation]\n{key} = {LARGEST[key]}\n"
    spec = parse_spec(text, "x.toml", Path())
    assert getattr(Augmentation(**spec.augmentation.model_dump()), key) == LARGEST[key]
    assert parse_spec(dump_spec(spec), "x.toml", Path()).augmentation == spec.augmentation
    with pytest.raises(ConfigError, match=rf"augmentation\.{key} = "):
        parse_spec(f"{EXPERIMENT}[augmentation]\n{key} = {LARGEST[key] + 1}\n", "x.toml", Path())
    with pytest.raises(ConfigError, match=rf"augmentation\.{key} = -1"):
        parse_spec(f"{EXPERIMENT}[augmentation]\n{key} = -1\n", "x.toml", Path())


def test_augmentation_decides_results() -> None:
    plain, strong = (
        parse_spec(f"{EXPERIMENT}[augmentation]\nnoise = {noise}\n", "x.toml", Path()) for noise in ("0.0", "0.1")
    )
    assert plain.result_key() != strong.result_key()
