from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from privateyes.errors import DataError
from privateyes.federation.partition import Partition, PartitionSettings, PersonRows, Share, divide

Persons = dict[str, PersonRows]


def rows(*numbers: int) -> np.ndarray:
    return np.array(numbers, dtype=np.int64)


def test_no_kind_of_partition_of_the_training_persons_holds_a_test_persons_row(
    settings: PartitionSettings, make_persons: Callable[..., Persons]
) -> None:
    persons = make_persons(60, 60, 60, 60)
    samples = {name: len(person) for name, person in persons.items()}
    train = {name: person for name, person in persons.items() if name != "p02"}
    partition = divide(train, settings, seed=1)
    partition.require_sound(list(train), samples)
    assert "p02" not in {share.person for shares in partition.clients.values() for share in shares}


def test_a_partition_of_everybody_would_train_on_the_test_person_and_the_guard_refuses_it(
    settings: PartitionSettings, make_persons: Callable[..., Persons]
) -> None:
    persons = make_persons(60, 60, 60, 60)
    samples = {name: len(person) for name, person in persons.items()}
    partition = divide(persons, settings, seed=1)
    leaked = sum(len(share) for shares in partition.clients.values() for share in shares if share.person == "p02")
    assert leaked == 60, "without the guard, clients hold all of the test person's samples"
    with pytest.raises(DataError, match=r"would train on \d+ samples of p02, a person to be tested on"):
        partition.require_sound(["p00", "p01", "p03"], samples)
    partition.require_sound(list(persons), samples)


def test_two_clients_may_not_hold_one_sample() -> None:
    partition = Partition({"a": (Share("p", rows(0, 1)),), "b": (Share("p", rows(1)),)})
    with pytest.raises(DataError, match="two clients hold the same sample of p"):
        partition.require_sound(["p"], {"p": 5})


@pytest.mark.parametrize("row", [-1, 5])
def test_a_sample_that_is_not_there_is_refused(row: int) -> None:
    with pytest.raises(DataError, match="beyond the 5 that there are"):
        Partition({"a": (Share("p", rows(row)),)}).require_sound(["p"], {"p": 5})


@pytest.mark.parametrize("shares", [(), (Share("p", rows()),)])
def test_a_client_without_samples_is_refused(shares: tuple[Share, ...]) -> None:
    with pytest.raises(DataError, match="client a has no samples"):
        Partition({"a": shares}).require_sound(["p"], {"p": 5})


@pytest.mark.parametrize("name", ["p/phone", "", ".hidden", "a b", "x" * 101, "p\n"])
def test_a_name_that_could_harm_a_folder_is_refused(name: str) -> None:
    with pytest.raises(DataError, match="cannot be a client's name"):
        Partition({name: (Share("p", rows(0)),)}).require_sound(["p"], {"p": 5})


def test_a_clients_weight_is_its_number_of_samples() -> None:
    partition = Partition({"a": (Share("p", rows(0, 3)), Share("q", rows(1))), "b": (Share("q", rows(0)),)})
    assert partition.samples() == {"a": 3, "b": 1}
