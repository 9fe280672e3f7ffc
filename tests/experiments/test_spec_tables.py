from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import pytest

from privateyes.errors import ConfigError
from privateyes.experiments.spec import dump_spec, parse_spec
from privateyes.tasks.gaze import tables
from privateyes.tasks.gaze.augment import Augmentation
from privateyes.tasks.gaze.strengths import LARGEST

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
    assert tables.Augmentation().model_dump() == {field.name: field.default for field in fields(Augmentation)}
    assert set(LARGEST) == set(tables.Augmentation.model_fields)


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


TRAINING = """[training]
rounds = 15
schedule = "step"
warmup_rounds = 2
decay_rounds = [10, 13]
decay_factor = 0.2
proximal_mu = 1
patience = 3
precision = "bfloat16"
[runtime]
device = "auto"
[federation]
dropout = 0.1
stragglers = 0
"""
VALIDATED = EXPERIMENT.replace("leave_one_out = true", 'leave_one_out = true\nvalidation_persons = ["p09"]')


def test_what_a_client_does_and_who_arrives_can_be_written_and_comes_back() -> None:
    spec = parse_spec(f"{VALIDATED}{TRAINING}", "x.toml", Path())
    assert spec.training.decay_rounds == [10, 13]
    assert spec.training.proximal_mu == 1.0
    assert spec.federation.dropout == 0.1
    assert spec.split.validation_persons == ["p09"]
    assert parse_spec(dump_spec(spec), "x.toml", Path()) == spec


def test_by_default_everybody_arrives_and_nothing_stops_early() -> None:
    spec = parse_spec(EXPERIMENT, "x.toml", Path())
    assert (spec.federation.dropout, spec.federation.stragglers) == (0.0, 0.0)
    assert (spec.training.patience, spec.training.warmup_rounds) == (None, 0)
    assert (spec.runtime.device, spec.training.precision) == ("cpu", "float32")


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ("[training]\nrounds = 3\nwarmup_rounds = 3", r"warmup_rounds = 3 of 3 rounds leaves none at the full"),
        ('[training]\nschedule = "step"', r"go together, and only one of them is there; give both"),
        ("[training]\ndecay_rounds = [3]", r"go together, and only one of them is there; give both"),
        ("[training]\npatience = 3", r"patience = 3 needs persons to judge by .*; name some in split\.validation_pers"),
        (
            '[training]\nschedule = "step"\ndecay_rounds = [10, 15]',
            r"decay_rounds = \[10, 15\] of 15 rounds; .* below 15",
        ),
        ('[training]\nschedule = "step"\ndecay_rounds = [9, 8]', r"name rounds in ascending order, each once"),
        ('[training]\nschedule = "step"\ndecay_rounds = [9, 9]', r"name rounds in ascending order, each once"),
        ("[training]\npatience = 0", r"training\.patience = 0"),
        ("[training]\ndecay_factor = 0", r"training\.decay_factor = 0"),
        ('[runtime]\ndevice = "gpu"', r'runtime\.device = "gpu"; it should be .cpu., .cuda. or .auto.'),
        ('[training]\nprecision = "half"', r'training\.precision = "half"'),
        ("[federation]\ndropout = 1.0", r"federation\.dropout = 1\.0"),
        ("[federation]\nstragglers = -0.1", r"federation\.stragglers = -0\.1"),
    ],
)
def test_what_cannot_be_is_refused_by_its_key(lines: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parse_spec(f"{EXPERIMENT}{lines}\n", "x.toml", Path())


def test_no_validation_persons_is_refused() -> None:
    text = EXPERIMENT.replace("leave_one_out = true", "leave_one_out = true\nvalidation_persons = []")
    with pytest.raises(ConfigError, match=r"split\.validation_persons = \[\] is empty"):
        parse_spec(text, "x.toml", Path())


def test_label_and_pictures_are_read_and_written_back() -> None:
    keys = 'label = "point"\ngrey = true\nresize = [36, 60]\nequalise = true\n'
    spec = parse_spec(EXPERIMENT.replace("[data]\n", f"[data]\n{keys}"), "x.toml", Path())
    assert (spec.data.label, spec.data.grey, spec.data.resize) == ("point", True, [36, 60])
    assert parse_spec(dump_spec(spec), "x.toml", Path()) == spec
    plain = parse_spec(EXPERIMENT, "x.toml", Path())
    assert (plain.data.label, plain.data.grey, plain.data.resize) == ("gaze", False, None)


@pytest.mark.parametrize(
    "line", ['label = "angle"', "resize = [36]", "resize = [36, 60, 3]", "resize = [0, 60]", "resize = 36"]
)
def test_impossible_labels_and_sizes_are_refused(line: str) -> None:
    with pytest.raises(ConfigError, match=rf"data\.{line.split()[0]}"):
        parse_spec(EXPERIMENT.replace("[data]\n", f"[data]\n{line}\n"), "x.toml", Path())


def test_reading_an_experiment_does_not_import_the_model_that_it_names() -> None:
    spec = parse_spec(EXPERIMENT.replace('"lenet"', '"no_such_module:Net"'), "x.toml", Path())
    assert spec.model.name == "no_such_module:Net"
    with pytest.raises(ConfigError, match=r'model\.name = "lenett" is not known; did you mean lenet'):
        parse_spec(EXPERIMENT.replace('"lenet"', '"lenett"'), "x.toml", Path())


def test_nobody_may_be_left_to_test_on_where_no_method_needs_it() -> None:
    text = EXPERIMENT.replace("leave_one_out = true", "test_persons = []")
    assert parse_spec(text, "x.toml", Path()).split.test_persons == []
    for tail, told in (("[calibration]\n", "tried out on test persons"), ("", "compared by its errors")):
        methods = 'methods = ["centralised", "mpc"]\n' if not tail else ""
        with pytest.raises(ConfigError, match=rf"split\.test_persons = \[\] leaves nobody to test on.*{told}"):
            parse_spec(methods + text + tail, "x.toml", Path())
