"""The manifest's [privacy]: what it may say, that it fits the rest, and that all of it is pinned."""

from __future__ import annotations

import math
import tomllib
from dataclasses import fields, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from privateyes.aggregation.privacy_section import (
    GAUSSIAN_BOUND,
    GAUSSIAN_NOISE,
    Privacy,
    privacy_from_table,
    privacy_part,
)
from privateyes.crypto.field import COMPACT, WIDE
from privateyes.encoding.fixed_point import FixedPoint
from privateyes.encoding.norm import NormLimit
from privateyes.errors import ConfigError, ParameterError

PLAIN = Privacy(2.5)
NOISY = Privacy(2.5, GAUSSIAN_NOISE, "client", norm_bound=1 << 20, releases=50, delta=1e-5)
NOISY_ENCODING = FixedPoint(COMPACT, 1.0, 4, 1, 300, GAUSSIAN_BOUND)


def _read(privacy: Privacy) -> Privacy:
    return privacy_from_table(tomllib.loads("\n".join(privacy.to_toml_lines()))["privacy"])


@given(st.floats(2.0**-30, 2.0**90, width=32), st.floats(1e-12, 0.5), st.integers(1, 2**24 - 1), st.integers(1, 2**40))
def test_what_is_written_is_read_back(clip, delta, bound, releases) -> None:
    for privacy in (
        Privacy(clip),
        *(Privacy(clip, GAUSSIAN_NOISE, unit, bound, releases, delta) for unit in ("client", "record")),
    ):
        assert _read(privacy) == privacy


def test_every_value_enters_the_digest_and_so_does_the_absence_of_the_section() -> None:
    others = [
        None, PLAIN, replace(PLAIN, norm_clip=2.0), NOISY, replace(NOISY, norm_clip=2.0), replace(NOISY, unit="record"),
        replace(NOISY, norm_bound=1 << 19), replace(NOISY, releases=51), replace(NOISY, delta=1e-6),
    ]  # fmt: skip
    assert len({privacy_part(privacy) for privacy in others}) == len(others)
    assert {f.name for f in fields(Privacy)} == {"norm_clip", "noise", "unit", "norm_bound", "releases", "delta"}


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"norm_clip": 0.0}, "norm_clip"), ({"norm_clip": -1.0}, "norm_clip"), ({"norm_clip": math.nan}, "norm_clip"),
        ({"norm_clip": math.inf}, "norm_clip"), ({"norm_clip": 0.1}, "norm_clip"), ({"noise": "laplace"}, "noise"),
    ],
    ids=str,
)  # fmt: skip
@pytest.mark.parametrize("base", [PLAIN, NOISY], ids=["plain", "noisy"])
def test_an_impossible_value_is_refused_by_name(base, change, problem) -> None:
    with pytest.raises(ParameterError, match=rf"privacy\.{problem} = ") as refusal:
        replace(base, **change)
    assert refusal.value.remedy


@pytest.mark.parametrize("change", [{"unit": "client"}, {"norm_bound": 9}, {"releases": 5}, {"delta": 1e-5}], ids=str)
def test_without_noise_nothing_may_be_said_that_takes_noise(change) -> None:
    """A manifest that names a unit or a delta reads like a promise of differential privacy."""
    (key,) = change
    with pytest.raises(ParameterError, match=rf"privacy\.{key} does not go with noise"):
        replace(PLAIN, **change)


@pytest.mark.parametrize(
    "change",
    [
        {"unit": ""}, {"unit": "image"}, {"norm_bound": 0}, {"norm_bound": 1 << 24}, {"releases": 0}, {"releases": -1},
        {"delta": 0.0}, {"delta": 1.0}, {"delta": math.nan},
    ],
    ids=str,
)  # fmt: skip
def test_noise_takes_all_of_its_values(change) -> None:
    (key,) = change
    with pytest.raises(ParameterError, match=rf"privacy\.{key} = ") as refusal:
        replace(NOISY, **change)
    assert refusal.value.remedy


@given(st.floats(2.0**-20, 2.0**60, width=32), st.integers(0, 40))
def test_the_limit_is_the_clip_in_whole_steps_of_the_grid(clip, bits) -> None:
    encoding = FixedPoint(WIDE, 2.0**-20, bits, 1, 1)
    limit = Privacy(clip).limit(encoding)
    assert limit == NormLimit(math.floor(clip * 2.0**bits), bits)


@pytest.mark.parametrize(("dimension", "least"), [(1, 9), (5, 9), (6, 10), (100, 40), (101, 41), (1 << 20, 4096)])
def test_a_grid_too_coarse_for_the_norm_is_refused_with_the_norm_that_fits(dimension, least) -> None:
    encoding = FixedPoint(COMPACT, 1.0, 4, 3, 5)
    with pytest.raises(ParameterError, match=f"rounding alone needs {least}") as refusal:
        Privacy((least - 1) / 16).require_fits(encoding, dimension, 0)
    assert f"norm_clip = {least / 16!r} or more" in refusal.value.remedy
    Privacy(least / 16).require_fits(encoding, dimension, 0)


def test_noise_that_fits_is_refused_all_the_same_until_clients_can_add_it() -> None:
    with pytest.raises(ParameterError, match="cannot add noise yet"):
        NOISY.require_fits(NOISY_ENCODING, 100, 1)


@pytest.mark.parametrize(
    ("encoding", "corrupt", "problem"),
    [
        (replace(NOISY_ENCODING, weight_max=2, roster_max=100), 1, "weight_max = 2"),
        (NOISY_ENCODING, 0, "corrupt_clients = 0"),
        (replace(NOISY_ENCODING, noise_bound=0), 1, "noise_bound = 0"),
        (replace(NOISY_ENCODING, roster_max=342), 1, "could wrap"),
    ],
    ids=["weights", "its own noise", "the bound", "too many clients"],
)
def test_noise_that_does_not_fit_the_task_is_refused_for_that_reason(encoding, corrupt, problem) -> None:
    with pytest.raises(ParameterError, match=problem) as refusal:
        NOISY.require_fits(encoding, 100, corrupt)
    assert refusal.value.remedy


def test_the_most_clients_that_noise_allows_in_the_compact_field() -> None:
    with pytest.raises(ParameterError, match="cannot add noise yet"):
        NOISY.require_fits(replace(NOISY_ENCODING, roster_max=341), 100, 1)


def test_the_bounds_of_noise_are_those_of_its_name() -> None:
    """A draw from the table is at most 8191, and counts 256 steps of the grid."""
    assert (GAUSSIAN_NOISE, GAUSSIAN_BOUND) == ("dgauss-640-255", 2_096_896)
    assert replace(NOISY, norm_bound=2**24 - 1).norm_bound == 16_777_215
    with pytest.raises(ParameterError, match="norm_bound = 16777216 is outside"):
        replace(NOISY, norm_bound=2**24)


def test_a_norm_that_is_no_number_is_refused_with_one_that_is() -> None:
    for value in (math.inf, -math.inf, math.nan):
        with pytest.raises(ParameterError, match="not a positive float32") as refusal:
            Privacy(value)
        assert refusal.value.remedy == "use 1.0"


def test_a_noisy_norm_shorter_than_rounding_is_refused() -> None:
    with pytest.raises(ParameterError, match="use norm_bound = 40"):
        replace(NOISY, norm_bound=39).require_fits(NOISY_ENCODING, 100, 1)


@pytest.mark.parametrize(
    ("table", "problem"),
    [
        ({}, "key norm_clip is missing"),
        ({"norm_clip": 1.0}, "key noise is missing"),
        ({"noise": "none"}, "key norm_clip is missing"),
        ({"norm_clip": "1", "noise": "none"}, "norm_clip = '1'"),
        ({"norm_clip": True, "noise": "none"}, "norm_clip = True"),
        ({"norm_clip": 10**5000, "noise": "none"}, "norm_clip is too large"),
        ({"norm_clip": 1.0, "noise": 0}, "noise = 0"),
        ({"norm_clip": 1.0, "noise": "none", "releases": 1.5}, "releases = 1.5"),
        ({"norm_clip": 1.0, "noise": "none", "releases": 1 << 63}, "releases is too large"),
        ({"norm_clip": 1.0, "noise": "none", "clip": 1.0}, "unknown key clip"),
        ({"norm_clip": 1.0, "noise": "none", "quantile": [0.5, 10]}, "quantile.*needs noise"),
    ],
)
def test_a_wrong_table_is_refused_by_its_key(table, problem) -> None:
    with pytest.raises(ConfigError, match=problem) as refusal:
        privacy_from_table(table)
    assert refusal.value.remedy


def test_a_number_of_63_bits_is_read_and_judged() -> None:
    with pytest.raises(ParameterError, match="releases does not go with noise"):
        privacy_from_table({"norm_clip": 1.0, "noise": "none", "releases": (1 << 63) - 1})


def test_a_whole_number_is_a_norm_too() -> None:
    assert privacy_from_table({"norm_clip": 3, "noise": "none"}) == Privacy(3.0)
