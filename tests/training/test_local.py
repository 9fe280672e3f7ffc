from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from torch import nn

from privateyes.errors import TrainingError
from privateyes.federation.seeds import derive_seed
from privateyes.training.determinism import deterministic_torch
from privateyes.training.local import train_locally
from privateyes.training.settings import Assignment, LocalSettings
from privateyes.training.task import Examples
from privateyes.training.vector import load_vector, vector_from_model

if TYPE_CHECKING:
    from privateyes.training.task import LearningTask

SETTINGS = LocalSettings(
    seed=1, rounds=10, local_epochs=2, batch_size=8, optimiser="sgd", learning_rate=0.05, momentum=0.9,
    weight_decay=0.0, schedule="constant",
)  # fmt: skip


def start(task: LearningTask) -> np.ndarray:
    return vector_from_model(task.build_model(3))


def test_training_reaches_what_there_is_to_learn(task: LearningTask) -> None:
    vector = start(task)
    for round_index in range(10):
        vector = vector + train_locally(task, SETTINGS, task.examples("a"), Assignment("a", round_index), vector).delta
    np.testing.assert_allclose(vector, [1.0, -2.0, 0.5], atol=0.01)


@pytest.mark.parametrize("optimiser", ["sgd", "adam"])
def test_a_round_is_the_same_every_time_whatever_was_drawn_before(
    task_with_dropout: LearningTask, optimiser: str
) -> None:
    task = task_with_dropout
    settings = replace(SETTINGS, optimiser=optimiser)  # type: ignore[arg-type]
    first = train_locally(task, settings, task.examples("a"), Assignment("a", 4), start(task))
    torch.rand(17)
    second = train_locally(task, settings, task.examples("a"), Assignment("a", 4), start(task))
    assert first.delta.tobytes() == second.delta.tobytes()
    assert first.loss == second.loss


def test_the_callers_random_numbers_are_left_alone(task: LearningTask) -> None:
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    train_locally(task, SETTINGS, task.examples("a"), Assignment("a", 0), start(task))
    assert torch.equal(torch.rand(3), expected)


@pytest.mark.parametrize("other", [("b", 0, 1), ("a", 1, 1), ("a", 0, 2)])
def test_another_client_round_or_seed_shuffles_otherwise(task: LearningTask, other: tuple[str, int, int]) -> None:
    client, round_index, seed = other
    first = train_locally(task, SETTINGS, task.examples("a"), Assignment("a", 0), start(task))
    second = train_locally(
        task, replace(SETTINGS, seed=seed), task.examples("a"), Assignment(client, round_index), start(task)
    )
    assert first.delta.tobytes() != second.delta.tobytes()


def test_two_epochs_of_full_batches_are_two_steps_of_gradient_descent(task: LearningTask) -> None:
    examples = task.examples("a")
    settings = replace(SETTINGS, batch_size=50, momentum=0.0)
    result = train_locally(task, settings, examples, Assignment("a", 0), start(task))
    inputs = np.c_[examples.inputs[0].numpy().astype(np.float64), np.ones(50)]
    expected = start(task).astype(np.float64)
    for _ in range(2):
        residual = inputs @ expected - examples.targets.numpy()[:, 0]
        expected = expected - 0.05 * 2 * inputs.T @ residual / 50
    np.testing.assert_allclose(start(task) + result.delta, expected, atol=1e-5)
    assert result.weight == 50


def test_the_start_vector_is_not_changed(task: LearningTask) -> None:
    vector = start(task)
    before = vector.copy()
    train_locally(task, SETTINGS, task.examples("a"), Assignment("a", 0), vector)
    np.testing.assert_array_equal(vector, before)


def test_divergence_names_client_round_and_remedy(task: LearningTask) -> None:
    settings = replace(SETTINGS, learning_rate=1e20)
    with pytest.raises(TrainingError, match=r"client p07: training diverged to .* in round 3; lower"):
        train_locally(task, settings, task.examples("a"), Assignment("p07", 2), start(task))


def test_a_nan_in_a_label_is_noticed(task: LearningTask) -> None:
    examples = task.examples("a")
    examples.targets[7] = float("nan")
    with pytest.raises(TrainingError, match="client a: training diverged to nan"):
        train_locally(task, SETTINGS, examples, Assignment("a", 0), start(task))


def test_a_client_without_samples_is_refused(task: LearningTask) -> None:
    nothing = Examples((torch.zeros(0, 2),), torch.zeros(0, 1))
    with pytest.raises(TrainingError, match="client a has no samples"):
        train_locally(task, SETTINGS, nothing, Assignment("a", 0), start(task))


def plain_round(task: LearningTask, settings: LocalSettings, client: str, round_index: int) -> tuple[bytes, float]:
    """The round as one writes it down first: torch's optimiser on every tensor, a loss read after every step."""
    examples, vector = task.examples(client), start(task)
    model = task.build_model(0)
    load_vector(model, vector)
    model.train()
    torch.manual_seed(derive_seed(settings.seed, "noise", client, round_index))
    order = torch.Generator().manual_seed(derive_seed(settings.seed, "client", client, round_index))
    if settings.optimiser == "adam":
        optimiser: torch.optim.Optimizer = torch.optim.Adam(
            model.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay
        )
    else:
        optimiser = torch.optim.SGD(
            model.parameters(),
            lr=settings.learning_rate,
            momentum=settings.momentum,
            weight_decay=settings.weight_decay,
        )
    loss_sum = 0.0
    for _ in range(int(settings.local_epochs)):
        permutation = torch.randperm(len(examples), generator=order)
        for begin in range(0, len(examples), settings.batch_size):
            rows = permutation[begin : begin + settings.batch_size]
            optimiser.zero_grad()
            loss = task.loss_of(task.predict(model, (examples.inputs[0][rows],)), examples.targets[rows])
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            loss_sum += loss.item() * len(rows)
    return (vector_from_model(model) - vector).tobytes(), loss_sum / (settings.local_epochs * len(examples))


@pytest.mark.parametrize("optimiser", ["sgd", "adam"])
@pytest.mark.parametrize("momentum", [0.0, 0.9])
@pytest.mark.parametrize("weight_decay", [0.0, 1e-3])
def test_one_flat_parameter_gives_the_bytes_of_a_plain_loop_over_all_tensors(
    patch_task: LearningTask, optimiser: str, momentum: float, weight_decay: float
) -> None:
    settings = replace(SETTINGS, optimiser=optimiser, momentum=momentum, weight_decay=weight_decay)  # type: ignore[arg-type]
    with deterministic_torch():
        found = train_locally(patch_task, settings, patch_task.examples("abc"), Assignment("abc", 5), start(patch_task))
        delta, loss = plain_round(patch_task, settings, "abc", 5)
    assert found.delta.tobytes() == delta
    assert found.loss == loss


def test_the_optimiser_starts_fresh_in_every_round(task: LearningTask) -> None:
    """The same job alone or after another one: no momentum, no moment passes from one to the next."""
    for optimiser in ("sgd", "adam"):
        settings = replace(SETTINGS, optimiser=optimiser)  # type: ignore[arg-type]
        alone = train_locally(task, settings, task.examples("bb"), Assignment("b", 1), start(task))
        train_locally(task, settings, task.examples("a"), Assignment("a", 0), start(task))
        after = train_locally(task, settings, task.examples("bb"), Assignment("b", 1), start(task))
        assert alone.delta.tobytes() == after.delta.tobytes()


@pytest.mark.parametrize(("share", "steps"), [(1.0, 14), (0.5, 7), (0.51, 8), (1e-9, 1), (0.07, 1), (0.08, 2)])
def test_a_straggler_does_a_share_of_the_steps_and_at_least_one(task: LearningTask, share: float, steps: int) -> None:
    taken: list[int] = []

    class Counting(type(task)):  # type: ignore[misc]
        def loss_of(self, predicted: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
            taken.append(len(targets))
            return nn.functional.mse_loss(predicted, targets)

    result = train_locally(Counting(), SETTINGS, task.examples("a"), Assignment("a", 0, work=share), start(task))
    assert taken == ([8] * 6 + [2] + [8] * 6 + [2])[:steps]
    assert result.weight == 50  # its weight: what it holds, not what it managed


def test_a_part_of_the_work_is_the_beginning_of_the_whole(task: LearningTask) -> None:
    """One pass of two is the round of one pass; its loss is the mean over the samples that it saw."""
    half = train_locally(task, SETTINGS, task.examples("a"), Assignment("a", 0, work=0.5), start(task))
    one = train_locally(task, replace(SETTINGS, local_epochs=1), task.examples("a"), Assignment("a", 0), start(task))
    assert half.delta.tobytes() == one.delta.tobytes()
    assert half.loss == one.loss


Rows = list[list[list[int]]]


def rows_of_rounds(task: LearningTask, settings: LocalSettings, rounds: int, client: str = "a") -> Rows:
    """Round -> batch -> the rows in it."""
    examples = task.examples(client)
    numbers = {row.item(): index for index, row in enumerate(examples.inputs[0][:, 0])}
    seen: list[list[int]] = []

    class Noting(type(task)):  # type: ignore[misc]
        def predict(self, model: nn.Module, inputs: tuple[torch.Tensor, ...]) -> torch.Tensor:
            seen.append([numbers[value.item()] for value in inputs[0][:, 0]])
            predicted: torch.Tensor = model(inputs[0])
            return predicted

    found = []
    for round_index in range(rounds):
        seen = []
        train_locally(Noting(), settings, examples, Assignment(client, round_index), start(task))
        found.append(seen)
    return found


@pytest.mark.parametrize(("share", "rounds"), [(0.5, 6), (0.25, 12), (0.29, 100), (1 / 7, 21), (0.999, 100)])
def test_shares_of_a_pass_walk_through_whole_passes_in_fresh_orders(
    task: LearningTask, share: float, rounds: int
) -> None:
    """50 samples in batches of 4, all full: nothing comes twice before everything came once."""
    found = rows_of_rounds(task, replace(SETTINGS, local_epochs=share, batch_size=4), rounds)
    steps = [len(batches) for batches in found]
    assert sum(steps) == math.floor(round(share * rounds * 50 / 4, 6))
    assert max(steps) - min(steps) <= 1
    assert all(len(batch) == 4 for batches in found for batch in batches)
    walk = [row for batches in found for batch in batches for row in batch]
    passes = [walk[begin : begin + 50] for begin in range(0, len(walk) // 50 * 50, 50)]
    assert len(passes) >= 2
    assert all(sorted(rows) == list(range(50)) for rows in passes)
    assert all(one != other for one, other in pairwise(passes))


def test_a_client_with_less_than_a_batch_to_do_takes_smaller_ones(task: LearningTask) -> None:
    """A tenth of 50 samples is 5, whatever the batch size: no client works more than its share."""
    found = rows_of_rounds(task, replace(SETTINGS, local_epochs=0.1), 20)
    assert [[len(batch) for batch in batches] for batches in found] == [[5]] * 20
    assert {row for batches in found[:10] for batch in batches for row in batch} == set(range(50))


def test_a_round_takes_one_sample_at_least(task: LearningTask) -> None:
    found = rows_of_rounds(task, replace(SETTINGS, local_epochs=0.001), 60)
    assert [[len(batch) for batch in batches] for batches in found] == [[1]] * 60
    assert len({batches[0][0] for batches in found}) == 3  # the walk goes on at its own pace: a twentieth of a sample


@pytest.mark.parametrize(
    ("epochs", "work", "passed"), [(2.0, 1.0, 100), (2.0, 0.5, 50), (0.5, 1.0, 24), (0.5, 0.5, 16)]
)
def test_the_samples_that_steps_were_taken_on_are_counted(
    task: LearningTask, epochs: float, work: float, passed: int
) -> None:
    settings = replace(SETTINGS, local_epochs=epochs)
    assert (
        train_locally(task, settings, task.examples("a"), Assignment("a", 0, work=work), start(task)).passed == passed
    )


def test_clients_walk_in_orders_of_their_own(task: LearningTask) -> None:
    settings = replace(SETTINGS, local_epochs=0.5)
    assert rows_of_rounds(task, settings, 2, "a") != rows_of_rounds(task, settings, 2, "b")


def test_a_straggler_does_a_share_of_the_shares_steps(task: LearningTask) -> None:
    settings, examples = replace(SETTINGS, local_epochs=0.5, batch_size=4), task.examples("a")
    whole = train_locally(task, replace(settings, local_epochs=0.25), examples, Assignment("a", 0), start(task))
    part = train_locally(task, settings, examples, Assignment("a", 0, work=0.5), start(task))
    assert part.delta.tobytes() == whole.delta.tobytes()  # 3 of 6 steps, and 12.5 samples are 3 batches


def test_augmentation_changes_batches_and_not_their_order_and_off_means_the_same_bytes(task: LearningTask) -> None:
    seen: list[torch.Tensor] = []

    class Shaking(type(task)):  # type: ignore[misc]
        strength: float = 1.0

        def augment(self, batch: Examples, generator: torch.Generator) -> Examples:
            seen.append(batch.targets)
            noise = torch.randn(batch.inputs[0].shape, generator=generator)
            return Examples((batch.inputs[0] + self.strength * noise,), batch.targets)

    class Still(Shaking):  # draws as much, and changes nothing
        strength = 0.0

    plain, still, shaken, again = (
        train_locally(given, SETTINGS, task.examples("a"), Assignment("a", 0), start(task))
        for given in (task, Still(), Shaking(), Shaking())
    )
    assert still.delta.tobytes() == plain.delta.tobytes()
    assert shaken.delta.tobytes() == again.delta.tobytes() != plain.delta.tobytes()
    steps = len(seen) // 3
    assert all(torch.equal(one, other) for one, other in zip(seen[:steps], seen[steps : 2 * steps], strict=True))


@pytest.mark.parametrize("other", [("b", 0, 1), ("a", 1, 1), ("a", 0, 2)])
def test_augmentation_draws_anew_for_each_client_round_and_seed(
    task: LearningTask, other: tuple[str, int, int]
) -> None:
    drawn: list[float] = []

    class Noting(type(task)):  # type: ignore[misc]
        def augment(self, batch: Examples, generator: torch.Generator) -> Examples:
            drawn.append(float(torch.rand(1, generator=generator)))
            return batch

    client, round_index, seed = other
    train_locally(Noting(), SETTINGS, task.examples("a"), Assignment("a", 0), start(task))
    count = len(drawn)
    shuffling = torch.Generator().manual_seed(derive_seed(SETTINGS.seed, "client", "a", 0))
    assert drawn[0] != float(torch.rand(1, generator=shuffling))  # nor what the order is drawn from
    settings = replace(SETTINGS, seed=seed)
    train_locally(Noting(), settings, task.examples("a"), Assignment(client, round_index), start(task))
    assert len(set(drawn)) == 2 * count


def test_the_round_decides_the_step_size(task: LearningTask) -> None:
    warm = replace(SETTINGS, warmup_rounds=4, local_epochs=1, batch_size=50, momentum=0.0)
    first, full = (
        train_locally(task, settings, task.examples("a"), Assignment("a", 0), start(task)).delta
        for settings in (warm, replace(warm, warmup_rounds=0))
    )
    np.testing.assert_allclose(first, full / 5, rtol=1e-5)
