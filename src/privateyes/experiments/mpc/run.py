"""Runs a training under MPC and its counterpart, tests both on held-out persons, and keeps the result."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from privateyes.baselines.mpc.costs import Cost, extrapolate_batch, extrapolate_steps, full_steps, measured_cost
from privateyes.baselines.mpc.driver import Launcher, Trained, train_under_mpc
from privateyes.baselines.mpc.environment import ensure_environment
from privateyes.baselines.mpc.in_the_clear import shake, train_in_the_clear
from privateyes.baselines.mpc.job import TrainingJob
from privateyes.baselines.mpc.lock import read_lock
from privateyes.baselines.mpc.protocols import ENGINE, PROTOCOLS
from privateyes.errors import RunDirectoryError
from privateyes.experiments.diverged import require_finite
from privateyes.experiments.mpc.plan import MpcJob, features_of, probe_of, training_of
from privateyes.experiments.mpc.result import Deviation, MpcResult
from privateyes.files import write_atomically
from privateyes.training.batches import read_in_order
from privateyes.training.vector import load_vector
from privateyes.wording import counted

RESULT: Final = "mpc.json"
MODEL: Final = "model.npy"
_PREDICTED_AT_ONCE: Final = 4096


class MpcObserver(Protocol):
    """Who is told how it goes."""

    def note(self, text: str) -> None:
        """Something happens that takes a while."""
        ...

    def step_done(self, fold: str, done: int, steps: int) -> None:
        """So many steps of a fold's training are done."""
        ...


def run_mpc(job: MpcJob, folder: Path, observer: MpcObserver, launcher: Launcher | None = None) -> MpcResult:
    """Train under MPC; a finished result that the folder holds is read, not computed again.

    An interrupted training begins anew: to continue it, the parties' shares of the half-trained model would have to
    stand on this machine's disk, side by side.

    Args:
        job: of `plan_mpc`.
        folder: of this job alone; made if it is not there.
        observer: is told how it goes.
        launcher: how to start the parties; in the locked environment, made on first use, by default.

    Returns:
        The result, which the folder then holds as ``mpc.json``, and the network's parameters as ``model.npy``.

    Raises:
        UsageError: the data cannot be used, the environment cannot be made, a party failed, or training diverged.
        RunDirectoryError: the folder holds the result of another job.
    """
    training, model = training_of(job)
    digest = f"{training.digest()[:32]}-{read_lock().digest}-{_extent(job)}"
    finished = _read(folder, digest)
    if finished is not None:
        observer.note(f"{folder} is finished already")
        return finished
    if launcher is None:
        launcher = Launcher(ensure_environment(observer.note))
    fold = job.fold.name
    size = f"{counted(training.samples, 'sample')} of {counted(len(training.owners), 'person')}"
    observer.note(f"mpc {fold}: {size}, {counted(len(training.plan), 'step')}")
    trained = train_under_mpc(training, launcher, lambda done, steps: observer.step_done(fold, done, steps))
    probes = tuple(_probe(job, batch, launcher, observer) for batch in job.settings.probe_batches if job.probed)
    result = _result(job, digest, training, (trained, probes), model)
    folder.mkdir(parents=True, exist_ok=True)
    write_atomically(folder / MODEL, _as_npy(trained.vector))
    write_atomically(folder / RESULT, json.dumps(result.as_json(), indent=2, allow_nan=False).encode() + b"\n")
    return result


def read_result(folder: Path) -> MpcResult | None:
    """The result that a folder holds; None if there is none.

    Raises:
        RunDirectoryError: it is damaged.
    """
    path = folder / RESULT
    if not path.exists():
        return None
    try:
        return MpcResult.from_json(json.loads(path.read_bytes()))
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise RunDirectoryError(f"{path} is damaged ({error})", "delete the file and run again") from error


def _extent(job: MpcJob) -> str:
    """What decides the extrapolations and who is tested, beside what was trained."""
    spec = job.preparation.spec
    rounds = f"{spec.training.rounds}x{spec.training.local_epochs:g}x{spec.training.batch_size}"
    probes = "x".join(map(str, job.settings.probe_batches)) if job.probed else "none"
    samples = sum(job.preparation.samples.values())
    return f"{rounds}-{probes}-{spec.model.name}-{samples}-{'+'.join(job.fold.test)}"


def _read(folder: Path, digest: str) -> MpcResult | None:
    found = read_result(folder)
    if found is not None and found.digest != digest:
        problem = f"{folder} holds the result of another training under MPC"
        raise RunDirectoryError(problem, "choose another --out, or delete the folder")
    return found


def _probe(job: MpcJob, batch_size: int, launcher: Launcher, observer: MpcObserver) -> Cost:
    """Measured steps of the experiment's own model."""
    training, name = probe_of(job, batch_size), job.preparation.spec.model.name
    observer.note(f"mpc: measuring steps of {name} with {counted(batch_size, 'sample')}")
    trained = train_under_mpc(training, launcher, lambda done, steps: observer.step_done(f"{name} probe", done, steps))
    return measured_cost("probe", name, training.network.parameters, batch_size, trained)


def _result(
    job: MpcJob,
    digest: str,
    training: TrainingJob,
    outcome: tuple[Trained, tuple[Cost, ...]],
    model: nn.Module,
) -> MpcResult:
    trained, probes = outcome
    clear = train_in_the_clear(training, model)
    shaken = train_in_the_clear(shake(training), model)
    for whose, vector in {
        "the network": trained.vector,
        "its counterpart in the clear": clear,
        "its shaken counterpart": shaken,
    }.items():
        require_finite(vector, job.preparation.spec, "mpc", whose)
    network = training.network
    what = f"{counted(training.samples, 'sample')}, {counted(job.settings.epochs, 'epoch')}"
    measured = measured_cost(what, network.kind, network.parameters, job.settings.batch_size, trained)
    distance = np.abs(trained.vector - clear)
    return MpcResult(
        digest=digest,
        fold=job.fold.name,
        engine=ENGINE,
        protocol=training.protocol,
        parties=training.parties,
        ring_bits=training.ring_bits,
        fraction_bits=training.fraction_bits,
        threat_model=PROTOCOLS[training.protocol].threat_model,
        network=network.kind,
        parameters=network.parameters,
        samples={owner.name: len(owner.features) for owner in training.owners},
        epochs=job.settings.epochs,
        unit=job.task.metrics[0].key,
        errors=_errors(job, model, trained.vector),
        counterpart_errors=_errors(job, model, clear),
        shaken_errors=_errors(job, model, shaken),
        guess_errors=_guess_errors(job, training),
        deviation=Deviation(
            float(distance.max()), float(distance.mean()), float(np.abs(clear - training.initial).max())
        ),
        measured=measured,
        setup_s=trained.setup_s,
        total_s=trained.total_s,
        share_bytes=trained.share_bytes,
        cpu_s=tuple(party.cpu_s for party in trained.parties),
        peak_memory_bytes=tuple(party.peak_memory_bytes for party in trained.parties),
        cores=os.cpu_count() or 1,
        probes=probes,
        extrapolated=_extrapolated(job, measured, probes),
        task=job.preparation.spec.task,
    )


def _extrapolated(job: MpcJob, measured: Cost, probes: tuple[Cost, ...]) -> tuple[Cost, ...]:
    """The whole experiment: all images of the fold's persons, as many passes as the other methods make."""
    spec, settings = job.preparation.spec, job.settings
    samples = [job.preparation.samples[person] for person in job.fold.train]
    epochs = spec.training.rounds * spec.training.local_epochs
    what = f"{counted(sum(samples), 'sample')}, {epochs:g} {'epoch' if epochs == 1 else 'epochs'}"
    costs = [extrapolate_steps(measured, what, full_steps(samples, settings.batch_size, epochs))]
    if probes:
        batch = spec.training.batch_size
        costs.append(extrapolate_batch(probes, what, batch, full_steps(samples, batch, epochs)))
    return tuple(costs)


def _errors(job: MpcJob, model: nn.Module, vector: NDArray[np.float32]) -> dict[str, float]:
    """Test person -> mean error of the network with these parameters."""
    task, errors = job.task, {}
    load_vector(model, vector)
    model.eval()
    for person in job.fold.test:
        examples = task.examples(person)
        with torch.inference_mode():
            parts = read_in_order(examples, _PREDICTED_AT_ONCE)
            predicted = torch.cat([model(torch.from_numpy(features_of(part))) for part in parts]).numpy()
        require_finite(predicted, job.preparation.spec, "mpc", f"what it predicts for {person}")
        errors[person] = task.metrics[0].of(predicted, task.labels_of(person))
    return errors


def _guess_errors(job: MpcJob, training: TrainingJob) -> Mapping[str, float]:
    mean = np.concatenate([owner.targets for owner in training.owners]).mean(axis=0, dtype=np.float64)
    errors: dict[str, float] = {}
    for person in job.fold.test:
        true = job.task.labels_of(person)
        errors[person] = job.task.metrics[0].of(np.broadcast_to(mean.astype(np.float32), true.shape), true)
    return errors


def _as_npy(array: NDArray[Any]) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=False)
    return buffer.getvalue()
