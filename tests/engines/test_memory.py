"""Secure averaging in anybody's own loop: the right mean, or an error that names whom and what."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

import privateyes as pe
from privateyes.crypto.field import Field
from privateyes.engines.local.misbehaviour import AlteringAggregator
from privateyes.engines.memory import SecureAverage
from privateyes.errors import AbortError, ParameterError, RefusedError, TrainingError

NAMES, D = ("ada", "bob", "cyd"), 50


def updates_of(*names: str, seed: int = 1, scale: float = 0.2) -> dict[str, np.ndarray]:
    random = np.random.default_rng(seed)
    return {name: random.normal(0, scale, D).astype(np.float32) for name in names or NAMES}


@pytest.fixture
def average():
    made = SecureAverage(NAMES, D, roster_min=2, weight_max=30, threads=1)
    yield made
    made.close()


def test_a_dozen_lines_of_anybodys_own_loop() -> None:
    average = pe.SecureAverage(clients=["ada", "bob", "cyd"], dimension=D)
    model, target = np.zeros(D), np.linspace(-0.5, 0.5, D)
    for _ in range(8):
        updates = {name: (0.5 * (target - model)).astype(np.float32) for name in average.clients}
        model += average(updates).mean
    assert np.abs(model - target).max() < 0.01


@pytest.mark.parametrize("aggregators", [2, 3, 5])
def test_the_mean_is_the_weighted_mean_within_the_stated_bound(field: Field, aggregators: int) -> None:
    average = SecureAverage(NAMES, D, aggregators=aggregators, field=field.name, weight_max=30)
    for seed in range(3):
        given, weights = updates_of(seed=seed), dict(zip(NAMES, (1, 7, 30), strict=True))
        got = average({name: (given[name], weights[name]) for name in NAMES})
        exact = sum(weights[name] * given[name].astype(np.float64) for name in NAMES) / 38
        encoding = average.manifest.encoding
        assert np.abs(got.mean - exact).max() < encoding.deviation_bound(3, 38)
        assert (got.total_weight, got.counted, got.left_out) == (38, NAMES, {})


def test_who_gives_no_update_follows_and_is_not_counted(average) -> None:
    given = updates_of("ada", "cyd")
    first = average(given)
    assert first.counted == ("ada", "cyd")
    assert np.allclose(first.mean, (given["ada"] + given["cyd"]) / 2, atol=1e-3)
    assert average(updates_of()).counted == NAMES


def test_coordinates_beyond_the_clip_are_clipped(average) -> None:
    got = average({name: np.full(D, 3.0, np.float32) for name in NAMES})
    assert np.allclose(got.mean, 1.0, atol=1e-3)


BAD = {
    "another length": (np.zeros(D + 1, np.float32), r"bob: the update is float32 \(51,\), and not 50 numbers; mend it"),
    "another shape": (np.zeros((D, 1)), r"bob: the update is float64 \(50, 1\)"),
    "a list of another length": ([1, 2], "bob: the update is list, and not 50 numbers"),
    "a list of lists": ([[1], [2, 3]], "bob: the update is list"),
    "complex numbers": (np.zeros(D, complex), "bob: the update is complex128"),
    "truths": (np.zeros(D, bool), "bob: the update is bool"),
    "texts": ("update", "bob: the update is str"),
    "nothing": (None, "bob: the update is NoneType, .*leave bob out of the mapping"),
    "a NaN": (np.full(D, np.nan, np.float32), "bob: the update holds a NaN.*mend it, or leave this client out"),
    "beyond float32": (np.full(D, 1e300), "bob: the update holds"),
    "a weight of zero": ((np.zeros(D, np.float32), 0), "bob: weight 0 is not a whole number in 1..30"),
    "a broken weight": ((np.zeros(D, np.float32), 1.5), "bob: weight 1.5 is not a whole number.*weight_max="),
    "a weight too large": ((np.zeros(D, np.float32), 31), "bob: weight 31 is not a whole number"),
    "three things": ((np.zeros(D, np.float32), 1, 2), "bob: the update is tuple"),
}


@pytest.mark.parametrize(("update", "problem"), BAD.values(), ids=BAD.keys())
def test_an_update_that_cannot_be_used_names_its_client_and_the_next_call_works(average, update, problem) -> None:
    with pytest.raises(TrainingError, match=problem):
        average({**updates_of(), "bob": update})
    assert average(updates_of()).counted == NAMES


def test_too_few_updates_are_not_averaged_and_the_next_call_works(average) -> None:
    with pytest.raises(AbortError, match=r"1 of 3 clients gave .* takes 2; give one of bob, cyd too; .*roster_min="):
        average(updates_of("ada"))
    assert average(updates_of()).counted == NAMES


def test_an_update_of_a_stranger_is_refused(average) -> None:
    with pytest.raises(ParameterError, match=r"an update is from eve, .* its clients are: ada, bob, cyd"):
        average(updates_of("ada", "eve"))
    assert average(updates_of()).counted == NAMES


def test_a_mean_that_an_aggregator_altered_is_an_error(average) -> None:
    host = average._parties.hosts["aggregator 2"]
    honest = host.own
    host.own = AlteringAggregator(honest.manifest, honest.number, honest.identity, coordinate=3, amount=5)
    with pytest.raises(AbortError, match=r"3 of 3 clients refused the result, first ada: .* tags"):
        average(updates_of())
    host.own = honest
    with pytest.raises(AbortError, match=r"a roster of 0 .*ada: a session from these weights was opened"):
        average(updates_of())  # nothing more may be sent from these weights


@pytest.mark.parametrize("kind", [np.float64, np.float16, np.int8, list])
def test_numbers_of_other_kinds_are_rounded_to_float32(average, kind) -> None:
    rounded = {name: np.round(update) for name, update in updates_of(scale=0.4).items()}
    given = {name: kind(update) if kind is list else update.astype(kind) for name, update in rounded.items()}
    assert (average(given).mean == average(rounded).mean).all()


@pytest.mark.parametrize("updates", [[np.zeros(D)] * 3, np.zeros((3, D)), None])
def test_what_is_no_mapping_is_refused(average, updates) -> None:
    with pytest.raises(ParameterError, match="give a dict from client's name to update"):
        average(updates)
    assert average(updates_of()).counted == NAMES


def test_after_its_end_it_says_so() -> None:
    average = SecureAverage(NAMES, D)
    average.close()
    average.close()
    with pytest.raises(RefusedError, match="is closed; make a new one"):
        average(updates_of())


@pytest.mark.parametrize(
    ("clients", "dimension", "problem"),
    [
        (4, D, "clients = 4 is no list of names"),
        ("ada", D, "clients = 'ada' is no list of names"),
        ([1, 2, 3], D, "clients has 1, which is no name"),
        (NAMES, 5.0, "dimension = 5.0 is no whole number"),
        (NAMES, True, "dimension = True is no whole number"),
    ],
)
def test_arguments_of_another_kind_are_named(clients, dimension, problem) -> None:
    with pytest.raises(ParameterError, match=problem):
        SecureAverage(clients, dimension)


def test_parameters_that_do_not_fit_are_refused_at_once() -> None:
    with pytest.raises(ParameterError, match="no fixed-point scale fits 3 clients of weight up to 16777215"):
        SecureAverage(NAMES, D, clip=64.0, weight_max=2**24 - 1)
    with pytest.raises(ParameterError):
        SecureAverage(NAMES, D, roster_min=1)


def test_the_package_itself_imports_nothing_heavy() -> None:
    code = (
        "import sys, privateyes; heavy = {'numpy', 'numba', 'torch', 'cryptography'} & set(sys.modules); "
        "assert not heavy, heavy; privateyes.SecureAverage; assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_every_name_of_the_package_is_there() -> None:
    assert sorted(pe.__all__) == sorted(name for name in pe.__all__ if getattr(pe, name) is not None)
    assert set(pe.__all__) <= set(dir(pe))
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        pe.nothing  # noqa: B018
