from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from privateyes.errors import ConfigError, DataError
from privateyes.federation.partition import Partition, PartitionSettings, PersonRows, divide

Persons = dict[str, PersonRows]


def held(partition: Partition) -> dict[str, list[tuple[str, list[int]]]]:
    return {
        client: [(share.person, share.rows.tolist()) for share in shares]
        for client, shares in partition.clients.items()
    }


def test_every_sample_goes_to_one_client(settings: PartitionSettings, make_persons: Callable[..., Persons]) -> None:
    persons = make_persons(50, 80, 110)
    partition = divide(persons, settings, seed=4)
    for name, person in persons.items():
        rows = [share.rows for shares in partition.clients.values() for share in shares if share.person == name]
        assert sorted(np.concatenate(rows).tolist()) == list(range(len(person)))
    assert all((np.diff(share.rows) > 0).all() for shares in partition.clients.values() for share in shares)
    partition.require_sound(list(persons), {name: len(person) for name, person in persons.items()})


def test_it_depends_on_seed_and_data_and_not_on_the_order_of_persons(
    settings: PartitionSettings, make_persons: Callable[..., Persons]
) -> None:
    persons = make_persons(50, 80, 110)
    first = held(divide(persons, settings, seed=4))
    assert first == held(divide(dict(reversed(persons.items())), settings, seed=4))
    assert list(first) == sorted(first)
    drawn = settings.by in ("label_skew", "size_skew")
    assert (first != held(divide(persons, settings, seed=5))) == drawn


def test_names_say_what_a_client_is(make_persons: Callable[..., Persons]) -> None:
    persons = make_persons(40, 40)
    assert list(divide(persons, PartitionSettings(), 1).clients) == ["p00", "p01"]
    assert list(divide(persons, PartitionSettings(by="device"), 1).clients) == ["p00-d1", "p00-d2", "p01-d1", "p01-d2"]
    within = PartitionSettings(by="size_skew", clients_per_person=2, size_spread=0.5)
    assert list(divide(persons, within, 1).clients) == ["p00-c1", "p00-c2", "p01-c1", "p01-c2"]
    pooled = PartitionSettings(by="size_skew", clients=10, minimum=1)
    assert list(divide(persons, pooled, 1).clients) == [f"c{i:02d}" for i in range(1, 11)]


def test_clients_of_one_person_do_not_depend_on_the_others(make_persons: Callable[..., Persons]) -> None:
    """So a client is the same in every fold of leave-one-out."""
    persons = make_persons(60, 60, 60)
    fewer = {name: persons[name] for name in ("p00", "p01")}
    for by in ("device", "label_skew", "size_skew"):
        settings = PartitionSettings(by=by, clients_per_person=2, minimum=1)  # type: ignore[arg-type]
        among_all, among_fewer = held(divide(persons, settings, 3)), held(divide(fewer, settings, 3))
        assert {client: among_all[client] for client in among_fewer} == among_fewer


def test_pooled_clients_mix_persons_and_the_others_do_not(make_persons: Callable[..., Persons]) -> None:
    persons = make_persons(60, 60, 60)
    pooled = divide(persons, PartitionSettings(by="label_skew", clients=4), 1)
    within = divide(persons, PartitionSettings(by="label_skew", clients_per_person=4), 1)
    assert max(len(shares) for shares in pooled.clients.values()) == 3
    assert {len(shares) for shares in within.clients.values()} == {1}


def test_more_clients_than_samples_can_fill_are_refused(make_persons: Callable[..., Persons]) -> None:
    with pytest.raises(ConfigError, match="the 60 samples of all training persons cannot give 7 clients 10 samples"):
        divide(make_persons(30, 30), PartitionSettings(by="label_skew", clients=7), 1)
    with pytest.raises(ConfigError, match="the 30 samples of p00 cannot give 4 clients 10 samples"):
        divide(make_persons(30, 30), PartitionSettings(by="size_skew", clients_per_person=4), 1)


def test_a_client_below_the_minimum_is_refused_with_its_name(make_persons: Callable[..., Persons]) -> None:
    persons = make_persons(100, 100)
    steep = PartitionSettings(by="size_skew", clients=10, size_spread=2.5)
    with pytest.raises(
        ConfigError, match=r"client c\d\d would have \d samples, fewer than .* = 10; lower partition.size_"
    ):
        divide(persons, steep, 1)
    with pytest.raises(ConfigError, match=r"client p00 would have 100 samples.*= 200; leave this person out"):
        divide(persons, PartitionSettings(minimum=200), 1)
    few = {"p": PersonRows(np.zeros((30, 2)), device=np.array([0] * 25 + [1] * 5))}
    with pytest.raises(ConfigError, match="client p-d1 would have 5 samples"):
        divide(few, PartitionSettings(by="device"), 1)
    assert divide(few, PartitionSettings(by="device", minimum=5), 1).samples() == {"p-d0": 25, "p-d1": 5}


def test_two_clients_of_one_name_are_refused() -> None:
    device = np.array([0] * 20)
    persons = {
        "p": PersonRows(np.zeros((20, 2)), device=device, device_names=("a-b",)),
        "p-a": PersonRows(np.zeros((20, 2)), device=device, device_names=("b",)),
    }
    with pytest.raises(DataError, match="two clients would be called p-a-b"):
        divide(persons, PartitionSettings(by="device"), 1)


def test_nobody_is_refused() -> None:
    with pytest.raises(DataError, match="nobody's samples"):
        divide({}, PartitionSettings(), 1)


def test_a_note_comes_with_devices_that_were_made_up(make_persons: Callable[..., Persons]) -> None:
    assert divide(make_persons(40), PartitionSettings(by="device"), 1).notes
    assert not divide(make_persons(40), PartitionSettings(), 1).notes
