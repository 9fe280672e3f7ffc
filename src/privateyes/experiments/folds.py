"""Who trains and who is tested, checked against the persons that the data hold."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from privateyes.errors import ConfigError, DataError
from privateyes.experiments.spec import ExperimentSpec, closest
from privateyes.experiments.way_names import WAYS
from privateyes.federation.cohorts import cohort_size

ONLY_FOLD = "all"
"""The fold's name where the test persons are given."""


@dataclass(frozen=True, slots=True)
class Fold:
    """One division of the persons; `train` and `test` are sorted and share nobody."""

    name: str
    train: tuple[str, ...]
    test: tuple[str, ...]


def plan_folds(spec: ExperimentSpec, persons: Sequence[str], source: str) -> list[Fold]:
    """The folds of an experiment.

    Args:
        spec: the experiment.
        persons: names of all persons in the data.
        source: what to call the data in messages.

    Raises:
        DataError: there is only one person.
        ConfigError: a named person is not in the data, too few are left for training, or the roster cannot be filled.
    """
    names = sorted(persons)
    if len(names) < 2:
        problem = f"{source} holds only one person ({', '.join(names)}), so that nobody is left to be tested on"
        raise DataError(problem, "use data of at least two persons; three for the federated ways")
    if spec.split.test_persons is not None:
        _refuse_strangers("split.test_persons", spec.split.test_persons, names, source)
        folds = [_fold(ONLY_FOLD, names, spec.split.test_persons)]
    else:
        chosen = names if spec.split.folds is None else spec.split.folds
        _refuse_strangers("split.folds", chosen, names, source)
        folds = [_fold(name, names, [name]) for name in chosen]
    for fold in folds:
        _refuse_small(spec, fold)
    return folds


def _fold(name: str, persons: Sequence[str], test: Sequence[str]) -> Fold:
    return Fold(name, tuple(person for person in persons if person not in test), tuple(sorted(test)))


def _refuse_strangers(key: str, named: Sequence[str], persons: Sequence[str], source: str) -> None:
    for name in named:
        if name not in persons:
            problem = f"{key} = {json.dumps(list(named))}: there is no person {name} in {source}"
            raise ConfigError(problem, closest(name, list(persons)))


def _refuse_small(spec: ExperimentSpec, fold: Fold) -> None:
    """A federation needs two clients, and a roster as many as it asks for."""
    count = len(fold.train)
    if count == 0:
        raise ConfigError("split.test_persons leaves nobody to train on", "test on fewer persons")
    federated = [way for way in spec.ways if WAYS[way].federated]
    if federated and count < 2:
        problem = f'ways contains "{federated[0]}", but there is only one person to train on ({fold.train[0]})'
        raise ConfigError(problem, "test on fewer persons, or leave the federated ways out")
    size = cohort_size(count, spec.federation.cohort_fraction)
    if not any(WAYS[way].secure for way in spec.ways):
        return
    if size < 2:
        problem = f"federation.cohort_fraction = {spec.federation.cohort_fraction} makes cohorts of one client"
        raise ConfigError(f"{problem}, whose update would be the sum", "raise it so that at least 2 take part")
    least = size if spec.aggregation.roster_min is None else spec.aggregation.roster_min
    if least > size:
        problem = f"aggregation.roster_min = {least} is larger than the cohort of {size} clients"
        raise ConfigError(f"{problem} (fold {fold.name})", f"set it to at most {size}, or add persons to train on")
    if least - spec.aggregation.corrupt_clients < 2:
        problem = f"aggregation.corrupt_clients = {spec.aggregation.corrupt_clients} of a roster of {least}"
        raise ConfigError(f"{problem} leaves fewer than 2 clients to hide among", "lower it, or add persons")
