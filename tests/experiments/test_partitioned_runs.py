"""Whole small runs whose clients are not persons."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from privateyes.errors import ConfigError, DataError
from privateyes.experiments import folds as folds_module
from privateyes.experiments.prepare import prepare
from privateyes.experiments.record import RunDirectory
from privateyes.experiments.run import run_experiment
from privateyes.experiments.spec import ExperimentSpec, dump_spec, parse_spec
from privateyes.federation.partition import Partition, PartitionSettings, PersonRows, Share, divide
from privateyes.tasks.gaze.dataset import load_persons, write_persons
from privateyes.tasks.gaze.synthetic import draw_labels, render_persons

Make = Callable[..., ExperimentSpec]
KINDS = {
    "device": 'by = "device"',
    "label skew": 'by = "label_skew"\nclients = 4\nalpha = 0.5',
    "label skew within persons": 'by = "label_skew"\nclients_per_person = 2\nminimum = 5',
    "size skew": 'by = "size_skew"\nclients = 4\nsize_spread = 0.3\nminimum = 5',
}
ALL_METHODS = '["centralised", "local", "federated", "private"]'


def table(kind: str) -> str:
    return f"[partition]\n{KINDS[kind]}\n"


@pytest.mark.parametrize("kind", KINDS)
def test_no_client_of_any_kind_holds_an_image_of_a_person_who_is_tested_or_validated(
    kind: str, small_spec: Make, eyes: Path
) -> None:
    text = dump_spec(small_spec(tail=table(kind))).replace("[split]", '[split]\nvalidation_persons = ["p02"]')
    fold = prepare(parse_spec(text, "x.toml", eyes.parent)).folds[0]
    assert fold.partition is not None
    assert {share.person for shares in fold.holdings.values() for share in shares} == {"p00", "p01"}
    assert fold.clients == tuple(fold.holdings)


@pytest.mark.parametrize("kind", KINDS)
def test_a_division_that_takes_everybody_in_is_refused(
    kind: str, small_spec: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    everybody = {f"p{i:02d}": PersonRows(draw_labels(1, i, 24)) for i in range(5)}

    def careless(_: Any, settings: PartitionSettings, seed: int) -> Partition:
        return divide(everybody, settings, seed)

    monkeypatch.setattr(folds_module, "divide", careless)
    with pytest.raises(DataError, match=r"would train on \d+ samples of p0[34], a person to be tested on"):
        prepare(small_spec(tail=table(kind)))
    monkeypatch.setattr(Partition, "require_sound", lambda *_: None)
    fold = prepare(small_spec(tail=table(kind))).folds[0]
    held = {share.person for shares in fold.holdings.values() for share in shares}
    assert {"p03", "p04"} & held, "without the guard, test persons are trained on"


@pytest.mark.parametrize("kind", ["device", "label skew"])
def test_private_equals_federated_and_weights_are_samples_whatever_a_client_is(
    kind: str, small_spec: Make, silent: Any, tmp_path: Path
) -> None:
    spec = small_spec(methods=ALL_METHODS, tail=table(kind) + '[aggregation]\nfield = "wide"\n')
    results = run_experiment(spec, tmp_path / "run", silent)
    run, preparation = RunDirectory(tmp_path / "run"), prepare(spec)
    clients = preparation.clients(preparation.folds[0])
    assert sum(clients.values()) == 3 * 24
    assert results["equality"]["largest_deviation"] <= results["equality"]["bound"]
    for line in run.read_metrics():
        if line["method"] in ("federated", "private"):
            assert line["participation"]["cohort"] == sorted(clients)
    vectors = [run.read_checkpoint("all", method) for method in ("federated", "private")]
    first, second = (checkpoint.vectors[""] for checkpoint in vectors if checkpoint is not None)
    np.testing.assert_allclose(first, second, atol=1e-6)
    local = run.read_checkpoint("all", "local")
    assert local is not None
    assert sorted(local.vectors) == sorted(clients)


def test_the_pool_of_all_images_does_not_depend_on_who_holds_them(
    small_spec: Make, silent: Any, tmp_path: Path
) -> None:
    vectors = []
    for name, tail in (("persons", ""), ("devices", table("device")), ("skewed", table("label skew"))):
        run_experiment(small_spec(methods='["centralised"]', tail=tail), tmp_path / name, silent)
        checkpoint = RunDirectory(tmp_path / name).read_checkpoint("all", "centralised")
        assert checkpoint is not None
        vectors.append(checkpoint.vectors[""].tobytes())
    assert len(set(vectors)) == 1


def test_clients_train_on_their_own_rows(small_spec: Make, silent: Any, eyes: Path, tmp_path: Path) -> None:
    """One client per person through [partition], in a file that holds each device as a person of its own."""
    spec = small_spec(methods='["local"]', tail=table("device"))
    run_experiment(spec, tmp_path / "run", silent)
    fold = prepare(spec).folds[0]
    persons = {person.name: person for person in load_persons(eyes)}
    split = [persons[share.person].rows(share.rows) for shares in fold.holdings.values() for share in shares]
    renamed = [
        type(part)(name, part.image, part.pose, part.gaze) for name, part in zip(fold.clients, split, strict=True)
    ]
    write_persons(tmp_path / "split.h5", [*renamed, persons["p03"], persons["p04"]])
    run_experiment(small_spec(methods='["local"]', data=tmp_path / "split.h5"), tmp_path / "split", silent)
    ours, theirs = (RunDirectory(tmp_path / name).read_checkpoint("all", "local") for name in ("run", "split"))
    assert ours is not None
    assert theirs is not None
    assert list(ours.vectors) == list(theirs.vectors) == ["p00-d1", "p00-d2", "p01-d1", "p01-d2", "p02-d1", "p02-d2"]
    for client in ours.vectors:
        assert ours.vectors[client].tobytes() == theirs.vectors[client].tobytes()


def test_a_run_over_skewed_clients_that_was_stopped_goes_on_to_the_same_end(
    small_spec: Make, silent: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(line: Any) -> None:
        if line["round"] == 1:
            raise KeyboardInterrupt

    spec = small_spec(methods='["local", "federated"]', tail=table("label skew"))
    run_experiment(spec, tmp_path / "whole", silent)
    with monkeypatch.context() as patch:
        patch.setattr(silent, "round_done", stop)
        for _ in range(2):  # once in each method
            with pytest.raises(KeyboardInterrupt):
                run_experiment(spec, tmp_path / "stopped", silent, resume=True)
    run_experiment(spec, tmp_path / "stopped", silent, resume=True)
    for method in ("local", "federated"):
        whole, stopped = (RunDirectory(tmp_path / name).checkpoint_path("all", method) for name in ("whole", "stopped"))
        assert whole.read_bytes() == stopped.read_bytes()


def test_another_partition_is_another_run(small_spec: Make) -> None:
    keys = [json.dumps(small_spec(tail=tail).result_key()) for tail in ("", *(table(kind) for kind in KINDS))]
    assert len(set(keys)) == len(keys)
    spec = small_spec(tail=table("label skew"))
    assert parse_spec(dump_spec(spec), "x.toml", Path()) == spec


def test_too_few_clients_or_images_are_refused_before_anything_is_written(small_spec: Make) -> None:
    with pytest.raises(ConfigError, match="only one client to train on"):
        prepare(small_spec(tail='[partition]\nby = "size_skew"\nclients = 1\n'))
    with pytest.raises(ConfigError, match="cannot give 8 clients 10 samples each"):
        prepare(small_spec(tail='[partition]\nby = "label_skew"\nclients = 8\n'))
    with pytest.raises(ConfigError, match=r"client p00 would have 24 samples, fewer than partition\.minimum = 25"):
        prepare(small_spec(tail="[partition]\nminimum = 25\n"))
    with pytest.raises(ConfigError, match=r'small\.toml: partition\.by = "label_skew" needs exactly one of'):
        small_spec(tail='[partition]\nby = "label_skew"\n')
    with pytest.raises(ConfigError, match=r"partition\.alhpa is not a known key; did you mean partition\.alpha"):
        small_spec(tail="[partition]\nalhpa = 0.3\n")


def test_rendered_persons_are_divided_by_the_labels_that_they_will_have(tmp_path: Path) -> None:
    """Nothing is rendered before a run begins, but its clients are known."""
    text = (
        'name = "x"\nseed = 5\nmethods = ["federated"]\n[data]\nimage_limit = 30\n[data.synthetic]\npersons = 4\n'
        'images_per_person = 40\n[split]\ntest_persons = ["r03"]\n[model]\nname = "lenet"\n' + table("label skew")
    )
    spec = parse_spec(text, "x.toml", tmp_path)
    for index, person in enumerate(render_persons(5, 4, 40)):
        assert person.gaze is not None
        np.testing.assert_array_equal(person.gaze, draw_labels(5, index, 40))
    write_persons(tmp_path / "eyes.h5", render_persons(5, 4, 40))
    same = parse_spec(
        text.replace("[data.synthetic]\npersons = 4\nimages_per_person = 40", 'path = "eyes.h5"'), "y.toml", tmp_path
    )
    first, second = (prepare(each).folds[0].holdings for each in (spec, same))
    assert list(first) == list(second)
    for client, shares in first.items():
        assert [(share.person, share.rows.tolist()) for share in shares] == [
            (share.person, share.rows.tolist()) for share in second[client]
        ]


def test_shares_are_sent_to_workers(small_spec: Make, silent: Any, tmp_path: Path) -> None:
    spec = small_spec(tail=table("label skew"), rounds=1)
    two = spec.model_copy(update={"training": spec.training.model_copy(update={"workers": 2})})
    for name, each in (("one", spec), ("two", two)):
        run_experiment(each, tmp_path / name, silent)
    one, other = (RunDirectory(tmp_path / name).read_checkpoint("all", "federated") for name in ("one", "two"))
    assert one is not None
    assert other is not None
    assert one.vectors[""].tobytes() == other.vectors[""].tobytes()


def test_a_share_is_part_of_its_owner() -> None:
    assert len(Share("p", np.array([3, 4]))) == 2
