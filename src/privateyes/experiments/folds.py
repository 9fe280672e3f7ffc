"""Who trains and who is tested, checked against the persons that the data hold."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from privateyes.errors import ConfigError, DataError
from privateyes.experiments.method_names import METHODS
from privateyes.experiments.spec import ExperimentSpec, closest
from privateyes.federation.cohorts import cohort_size, straggler_count
from privateyes.federation.partition import Partition, PersonRows, Share, divide

ONLY_FOLD = "all"
"""The fold's name where the test persons are given."""


@dataclass(frozen=True, slots=True)
class Fold:
    """One division of the persons; `train`, `test` and `validation` are sorted and share nobody.

    `partition` says who holds which images of the training persons; where it is None, each person is a client.
    """

    name: str
    train: tuple[str, ...]
    test: tuple[str, ...]
    validation: tuple[str, ...] = ()
    partition: Partition | None = None

    @property
    def clients(self) -> tuple[str, ...]:
        """Names of the clients, sorted."""
        return self.train if self.partition is None else tuple(self.partition.clients)

    @property
    def holdings(self) -> Mapping[str, tuple[Share, ...]]:
        """Client -> the images it holds; empty where each client is a person and holds that person's."""
        return {} if self.partition is None else self.partition.clients


def plan_folds(
    spec: ExperimentSpec, persons: Sequence[str], source: str, rows: Mapping[str, PersonRows] | None = None
) -> list[Fold]:
    """The folds of an experiment.

    Args:
        spec: the experiment.
        persons: names of all persons in the data.
        source: what to call the data in messages.
        rows: everybody's labels, for [partition]; None where each person is a client.

    Raises:
        DataError: there is only one person, or a client would hold images of somebody who is not trained on.
        ConfigError: a named person is not in the data, too few are left for training, a client would hold too few
            images, or the roster cannot be filled.
    """
    names = sorted(persons)
    if len(names) < 2 and spec.split.test_persons != []:
        problem = f"{source} holds only one person ({', '.join(names)}), so that nobody is left to be tested on"
        remedy = "use data of at least two persons, three for the federated methods, or set split.test_persons = []"
        raise DataError(problem, remedy)
    validation = sorted(spec.split.validation_persons or ())
    _refuse_strangers("split.validation_persons", validation, names, source)
    others = [name for name in names if name not in validation]
    if spec.split.test_persons is not None:
        _refuse_strangers("split.test_persons", spec.split.test_persons, names, source)
        _refuse_judges("split.test_persons", spec.split.test_persons, validation)
        folds = [_fold(ONLY_FOLD, others, spec.split.test_persons, validation)]
    else:
        chosen = others if spec.split.folds is None else spec.split.folds
        _refuse_strangers("split.folds", chosen, names, source)
        _refuse_judges("split.folds", chosen, validation)
        folds = [_fold(name, others, [name], validation) for name in chosen]
    for fold in folds:
        if not fold.train:
            raise ConfigError("[split] leaves nobody to train on", "test or validate on fewer persons")
    if rows is not None:
        folds = [_divided(spec, fold, rows) for fold in folds]
    for fold in folds:
        _refuse_small(spec, fold)
    return folds


def _divided(spec: ExperimentSpec, fold: Fold, rows: Mapping[str, PersonRows]) -> Fold:
    """The fold with its clients, which are made of the training persons alone."""
    partition = divide({person: rows[person] for person in fold.train}, spec.partition.settings(), spec.seed)
    partition.require_sound(fold.train, {person: len(rows[person]) for person in fold.train})
    return replace(fold, partition=partition)


def _fold(name: str, persons: Sequence[str], test: Sequence[str], validation: Sequence[str]) -> Fold:
    train = tuple(person for person in persons if person not in test)
    return Fold(name, train, tuple(sorted(test)), tuple(validation))


def _refuse_judges(key: str, tested: Sequence[str], validation: Sequence[str]) -> None:
    """Whoever decides when training ends is no test of it."""
    for name in tested:
        if name in validation:
            problem = f"{key} = {json.dumps(list(tested))} names {name}, who is in split.validation_persons too"
            raise ConfigError(problem, "validate on other persons than are tested")


def _refuse_strangers(key: str, named: Sequence[str], persons: Sequence[str], source: str) -> None:
    for name in named:
        if name not in persons:
            problem = f"{key} = {json.dumps(list(named))}: there is no person {name} in {source}"
            raise ConfigError(problem, closest(name, list(persons)))


def _refuse_small(spec: ExperimentSpec, fold: Fold) -> None:
    """A federation needs two clients, and a roster as many as it asks for."""
    count, what = len(fold.clients), "person" if fold.partition is None else "client"
    federated = [method for method in spec.methods if METHODS[method].federated]
    if federated and count < 2:
        problem = f'methods contains "{federated[0]}", but there is only one {what} to train on ({fold.clients[0]})'
        raise ConfigError(problem, "test on fewer persons, or leave the federated methods out")
    size = cohort_size(count, spec.federation.cohort_fraction)
    _refuse_hopeless(spec, fold, size)
    if not any(METHODS[method].secure for method in spec.methods):
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
    if spec.aggregation.roster_min is None and spec.federation.dropout > 0:
        problem = f"federation.dropout = {spec.federation.dropout} makes every round in which a client is missing void"
        remedy = (
            f"set it: {size} keeps that, fewer let rounds go on with those who arrive, and their averages can then be "
            'compared with each other (docs/threat-model.md, "Over several rounds")'
        )
        raise ConfigError(f"{problem}, for aggregation.roster_min defaults to the whole cohort", remedy)


def _refuse_hopeless(spec: ExperimentSpec, fold: Fold, size: int) -> None:
    """A method whose every round would be void, because those that straggle are left out."""
    late = straggler_count(size, spec.federation.stragglers)
    for method in spec.methods:
        plan = METHODS[method]
        if not plan.federated or plan.proximal or late == 0:
            continue
        least = (spec.aggregation.roster_min or size) if plan.secure else 1
        if size - late < least:
            problem = f"federation.stragglers = {spec.federation.stragglers} makes {late} of {size} clients late"
            remedy = "lower it, lower aggregation.roster_min" if plan.secure else "lower it"
            needed = f"{method} leaves them out and needs {least} in each round (fold {fold.name})"
            raise ConfigError(f"{problem}; {needed}", f"{remedy}, or choose the method that takes what they have done")
