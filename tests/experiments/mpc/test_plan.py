"""From an experiment to the trainings under MPC that stand for it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from privateyes.errors import ConfigError
from privateyes.experiments.mpc.plan import MpcJob, features_of, plan_mpc, probe_of, training_of
from privateyes.experiments.prepare import Preparation
from privateyes.federation.seeds import derive_seed
from privateyes.training.task import Examples
from privateyes.training.vector import vector_from_model

MakeJob = Callable[..., MpcJob]


def test_each_training_person_shares_a_few_samples_evenly_spaced(make_job: MakeJob) -> None:
    job = make_job("samples_per_person = 6")
    training, _ = training_of(job)
    assert [(owner.name, len(owner.features)) for owner in training.owners] == [("p00", 6), ("p01", 6), ("p02", 6)]
    everything = job.task.examples("p01").rows(slice(None))
    assert np.array_equal(training.owners[1].features, features_of(everything)[[0, 4, 8, 12, 16, 20]])
    assert np.array_equal(training.owners[1].targets, everything.targets.numpy()[[0, 4, 8, 12, 16, 20]])


def test_a_person_with_fewer_samples_shares_them_all(make_job: MakeJob) -> None:
    training, _ = training_of(make_job("samples_per_person = 1000"))
    assert training.samples == 3 * 24


def test_features_are_pixels_in_unit_range_and_the_head_pose_as_it_is() -> None:
    images = torch.tensor([[[0, 51], [102, 255]]], dtype=torch.uint8)
    examples = Examples((images, torch.tensor([[-0.5, 2.0]])), torch.zeros(1, 2))
    assert features_of(examples)[0].tolist() == pytest.approx([0.0, 0.2, 0.4, 1.0, -0.5, 2.0])


def test_batches_are_shuffled_by_the_projects_seeds(make_job: MakeJob) -> None:
    training, _ = training_of(make_job("samples_per_person = 5\nbatch_size = 4\nepochs = 2"))
    order = torch.Generator().manual_seed(derive_seed(3, "client", "everybody", 0))
    assert list(sum(training.plan[:4], ())) == torch.randperm(15, generator=order).tolist()
    assert [len(rows) for rows in training.plan] == [4, 4, 4, 3] * 2


def test_the_table_decides_network_and_steps(make_job: MakeJob) -> None:
    training, _ = training_of(
        make_job('protocol = "cheetah"\nhidden = [5, 4]\nlearning_rate = 0.5\nmomentum = 0.25\nloss = "l1"')
    )
    assert (training.protocol, training.parties) == ("cheetah", 2)
    assert training.network.shapes == ((5, 137), (5,), (4, 5), (4,), (2, 4), (2,))
    assert (training.sgd.learning_rate, training.sgd.momentum, training.sgd.loss) == (0.5, 0.25, "l1")


def test_the_experiments_own_model_starts_where_the_other_methods_do(make_job: MakeJob) -> None:
    job = make_job('network = "model"')
    training, model = training_of(job)
    assert np.array_equal(training.initial, job.preparation.initial)
    assert training.network.kind == "small_cnn"
    assert training.network.parameters == vector_from_model(model).size
    assert not job.probed


def test_every_fold_is_trained_and_the_first_is_probed(
    make_preparation: Callable[..., Preparation], eyes: Path
) -> None:
    jobs = plan_mpc(make_preparation(split="leave_one_out = true"), eyes)
    assert [job.fold.name for job in jobs] == ["p00", "p01", "p02", "p03", "p04"]
    assert [job.probed for job in jobs] == [True, False, False, False, False]


def test_nothing_is_probed_if_nothing_is_asked(make_job: MakeJob) -> None:
    assert not make_job("probe_batches = []").probed


def test_a_probe_is_the_experiments_model_on_noise(make_job: MakeJob) -> None:
    job = make_job()
    probe = probe_of(job, 4)
    assert probe.network.kind == "small_cnn"
    assert [len(rows) for rows in probe.plan] == [4, 4, 4]
    assert [owner.name for owner in probe.owners] == ["noise"]
    assert probe.owners[0].features.shape == (12, 137)
    real = np.concatenate([features_of(job.task.examples(person).rows(slice(None))) for person in job.fold.train])
    assert not set(probe.owners[0].features[:, :135].ravel()) <= set(real[:, :135].ravel())


@pytest.mark.parametrize(
    ("mpc", "told"),
    [
        ("parties = 4", "mpc.parties = 4, but the protocol aby3 takes 3"),
        ("probe_batches = [4]", r"mpc.probe_batches = \[4\] are not two different batch sizes"),
        ("probe_batches = [4, 4]", "are not two different batch sizes"),
    ],
)
def test_settings_that_do_not_fit_are_refused(mpc: str, told: str, make_job: MakeJob) -> None:
    with pytest.raises(ConfigError, match=told):
        make_job(mpc)


def test_a_model_that_is_not_known_under_mpc_is_refused_as_a_network(
    make_preparation: Callable[..., Preparation], eyes: Path
) -> None:
    preparation = make_preparation('network = "model"')
    spec = preparation.spec.model_copy(update={"model": preparation.spec.model.model_copy(update={"name": "gazenet"})})
    with pytest.raises(ConfigError, match=r"gazenet is not known under MPC; set it to .*perceptron"):
        plan_mpc(replace(preparation, spec=spec), eyes)


def test_images_of_colour_are_not_given_to_models_that_take_grey_ones(
    make_preparation: Callable[..., Preparation], eyes: Path
) -> None:
    preparation = make_preparation()
    preparation = replace(preparation, learning=replace(preparation.learning, image_shape=(9, 15, 3)))
    assert not plan_mpc(preparation, eyes)[0].probed
