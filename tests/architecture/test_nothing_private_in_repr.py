"""No data class shows what is private: where one stands in an error or a log, its arrays and keys do not.

An array of this package is a person's images or labels, a client's update, or a model that remembers them. An
experiment's ``seed`` is a number that everybody knows who knows the experiment, and decides no secret.
"""

from __future__ import annotations

import collections.abc
import dataclasses
import importlib
import inspect
import pkgutil
import typing
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

import privateyes
from privateyes.aggregation.client import Update
from privateyes.encoding.clips import ClipPlan
from privateyes.federation.observation import Observation
from privateyes.federation.participants import ClientUpdate, Participant
from privateyes.parties.client import Contribution
from privateyes.training.task import TaskOnData

# Scripts of the MPC engine's own environment, which import what is not installed here; and invented people.
ELSEWHERE = "privateyes.baselines.mpc.inside."
OPEN = ("privateyes.tasks.gaze.synthetic.",)
# What some modules import for type checkers alone, to start up quickly.
FOR_CHECKERS = {"ClipPlan": ClipPlan, "TaskOnData": TaskOnData}
ARRAYS = {np.ndarray, torch.Tensor, memoryview, bytearray}
SECRETS = ("key", "secret", "salt", "seed", "mask", "content")
PUBLIC = ("public_key", "hub_key")


def data_classes() -> Iterator[type]:
    """All of the package's but the open ones."""
    for module in pkgutil.walk_packages(privateyes.__path__, "privateyes."):
        if module.name.startswith((ELSEWHERE, *OPEN)):
            continue
        for kind in vars(importlib.import_module(module.name)).values():
            if inspect.isclass(kind) and dataclasses.is_dataclass(kind) and kind.__module__ == module.name:
                yield kind


def _kinds(hint: object) -> Iterator[object]:
    """The classes that a type is made of; a function's arguments are none of its own."""
    origin = typing.get_origin(hint)
    yield origin or hint
    if origin is not collections.abc.Callable:
        for part in typing.get_args(hint):
            yield from _kinds(part)


def shown(kind: type) -> list[str]:
    """The private fields that a data class's repr shows."""
    hints, found = typing.get_type_hints(kind, localns=FOR_CHECKERS), []
    for field in dataclasses.fields(kind):
        kinds = set(_kinds(hints[field.name]))
        is_secret = bytes in kinds and field.name.endswith(SECRETS) and field.name not in PUBLIC
        if field.repr and (kinds & ARRAYS or is_secret):
            found.append(f"{kind.__module__}.{kind.__name__}.{field.name}")
    return found


def test_no_data_class_shows_an_array_or_a_key() -> None:
    kinds = list(data_classes())
    assert len(kinds) > 150
    assert [name for kind in kinds for name in shown(kind)] == []


@dataclasses.dataclass
class Careless:
    delta: NDArray[np.float32]
    models: dict[str, tuple[torch.Tensor, ...]] | None
    rounding_key: bytes
    hidden: NDArray[np.float32] = dataclasses.field(repr=False)
    public_key: bytes = b""
    measure: collections.abc.Callable[[NDArray[np.float32]], float] = np.mean
    seed: int = 1


def test_the_search_finds_an_array_and_a_key() -> None:
    assert [name.rpartition(".")[2] for name in shown(Careless)] == ["delta", "models", "rounding_key"]


UPDATE = np.array([0.123456, -7.5], dtype=np.float32)


@pytest.mark.parametrize(
    "holder",
    [
        ClientUpdate("p01", 4242, UPDATE, 0.98765, 31337),
        Participant(ClientUpdate("p01", 4242, UPDATE, 0.98765, 31337)),
        Contribution(Update(UPDATE, 4242), b"\x9a" * 32),
        Observation("hub", 1, "update", UPDATE),
    ],
)
def test_an_update_shows_nothing_but_whose_it_is(holder) -> None:
    text = repr(holder) + str(holder)
    assert not [secret for secret in ("0.1234", "7.5", "4242", "0.98765", "31337", "9a") if secret in text]
