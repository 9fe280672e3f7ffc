"""Synthetic eyes teach a network something that carries over to persons it has never seen."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from privateyes.tasks.gaze.dataset import Person
from privateyes.tasks.gaze.metrics import mean_angular_error_deg
from privateyes.tasks.gaze.models import build_model
from privateyes.tasks.gaze.preprocess import to_model_input
from privateyes.tasks.gaze.synthetic import render_persons

TRAINING_PERSONS, UNSEEN_PERSONS, IMAGES = 10, 4, 350
EPOCHS, BATCH = 8, 32


@pytest.mark.slow
@pytest.mark.timeout(1200)  # minutes of training, and machines differ
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_small_network_halves_the_error_of_the_mean_predictor_on_unseen_persons(seed: int) -> None:
    persons = list(render_persons(seed, TRAINING_PERSONS + UNSEEN_PERSONS, IMAGES))
    known, unseen = persons[:TRAINING_PERSONS], persons[TRAINING_PERSONS:]
    model = _train(known)
    mean = np.concatenate([person.gaze for person in known]).mean(axis=0)
    constant = np.mean([mean_angular_error_deg(np.broadcast_to(mean, one.gaze.shape), one.gaze) for one in unseen])
    errors = [mean_angular_error_deg(_predict(model, person), person.gaze) for person in unseen]
    assert 8.0 < constant < 12.0
    assert np.mean(errors) < constant / 2
    # Kappa and shape cannot be known of a stranger: an error near that of known persons would mean a leak.
    assert np.mean(errors) > 2.0


def _train(persons: list[Person]) -> torch.nn.Module:
    torch.manual_seed(0)
    image, pose, gaze = (
        torch.cat([torch.from_numpy(part(person)) for person in persons])
        for part in (lambda one: to_model_input(one.image), lambda one: one.pose, lambda one: one.gaze)
    )
    model = build_model("resnet_preact_8", (36, 60), 0)
    steps = EPOCHS * (len(image) // BATCH)
    optimiser = torch.optim.Adam(model.parameters(), 4e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 4e-3, total_steps=steps)
    shuffle = torch.Generator().manual_seed(0)
    model.train()
    for _ in range(EPOCHS):
        order = torch.randperm(len(image), generator=shuffle)
        for rows in order[: len(image) // BATCH * BATCH].split(BATCH):
            optimiser.zero_grad()
            torch.nn.functional.l1_loss(model(image[rows], pose[rows]), gaze[rows]).backward()
            optimiser.step()
            schedule.step()
    return model.eval()


def _predict(model: torch.nn.Module, person: Person) -> NDArray[np.float64]:
    with torch.no_grad():
        predicted = model(torch.from_numpy(to_model_input(person.image)), torch.from_numpy(person.pose))
    return np.asarray(predicted.numpy(), dtype=np.float64)
