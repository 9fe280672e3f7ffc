"""From an experiment to the tasks of its secure methods: the manifest's numbers, and the exchange."""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import permutations
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Final

from privateyes.aggregation.privacy_section import Privacy
from privateyes.crypto.field import field_by_name
from privateyes.encoding.fixed_point import FixedPoint, exact_clip, largest_scale_bits
from privateyes.encoding.norm import smallest_bound
from privateyes.engines.local.parties import SecurePlan
from privateyes.engines.local.secure import SecureExchange
from privateyes.errors import ParameterError, RunDirectoryError
from privateyes.experiments.folds import Fold
from privateyes.experiments.record import RunDirectory
from privateyes.experiments.spec import ExperimentSpec
from privateyes.experiments.spec_tables import Store
from privateyes.federation.cohorts import cohort_size
from privateyes.federation.participants import WeightPolicy, by_samples, equally
from privateyes.federation.server_step import ServerOptimiser
from privateyes.files import overwrite
from privateyes.storage.mirror import BODIES_NAME, STORE_NAME
from privateyes.storage.places import (
    FOLDERS_NAME,
    forget_folders,
    left_folders,
    open_store,
    replace_mirror,
    store_folders,
    unreached_folders,
)
from privateyes.storage.store import PartyStore

LONGEST_UPDATE: Final = 100.0
"""The default limit of an update's L2 norm with a clip of at most 1, and so many clips above. Of all updates measured
where the clip leaves the coordinates alone (docs/experiments.md), the longest had 8 with SGD and 22 with Adam.
"""

_PROBE_BYTES: Final = 1 << 16

FOLDER = "aggregation"
"""Below a run's directory: <fold>/<method>/ with the task's manifest, its parties' store and its transcripts."""


def secure_plan(spec: ExperimentSpec, fold: Fold, clients: Mapping[str, int], dimension: int) -> SecurePlan:
    """The task that a secure method runs for one fold.

    Args:
        spec: the experiment; `plan_folds` has already checked the roster against the cohort.
        fold: whose clients take part.
        clients: client -> number of its samples.
        dimension: number of the model's parameters.

    Raises:
        ParameterError: the sum could wrap, or the parameters are unsafe otherwise.
    """
    given, field = spec.aggregation, field_by_name(spec.aggregation.field)
    clip, weigh = exact_clip(given.clip), weight_policy(spec)
    weight_max = max(weigh(samples) for samples in clients.values())
    cohort = cohort_size(len(fold.clients), spec.federation.cohort_fraction)
    scale_bits = given.scale_bits
    if scale_bits is None:
        scale_bits = largest_scale_bits(field, clip, weight_max, cohort)
    if scale_bits is None:
        raise ParameterError(
            f"no fixed-point scale fits {cohort} clients of weight up to {weight_max} with clip {clip:g} into the "
            f"{field.name} field",
            'use aggregation.field = "wide", or lower aggregation.clip',
        )
    encoding = FixedPoint(field, clip, scale_bits, weight_max, roster_max=cohort)
    return SecurePlan(
        clients=fold.clients,
        dimension=dimension,
        aggregators=given.aggregators,
        encoding=encoding,
        roster_min=given.roster_min or cohort,
        corrupt_clients=given.corrupt_clients,
        mode=given.mode,
        settings=training_settings(spec),
        privacy=_privacy(given.norm_clip, encoding, dimension),
    )


def weight_policy(spec: ExperimentSpec) -> WeightPolicy:
    """What an experiment's updates weigh."""
    return equally if spec.federation.weights == "equal" else by_samples


def training_settings(spec: ExperimentSpec) -> bytes:
    """The settings that clients train with, as a canonical file: sorted keys, no spaces, UTF-8. The manifest pins its
    digest, so that no hub can supply them.
    """
    tables = ("model", "training", "augmentation", "federation", "aggregation")
    chosen = {name: table for name, table in spec.result_key().items() if name in tables}
    return json.dumps(chosen, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def _privacy(norm_clip: float | None, encoding: FixedPoint, dimension: int) -> Privacy | None:
    """The limit of an update's L2 norm; by default one that fits the grid, however coarse that is."""
    if norm_clip == 0:
        return None
    if norm_clip is None:
        least = math.ldexp(smallest_bound(dimension), -encoding.scale_bits)
        norm_clip = max(LONGEST_UPDATE * max(1.0, encoding.clip), least)
    return Privacy(exact_clip(norm_clip))


def check_secure_plan(spec: ExperimentSpec, fold: Fold, clients: Mapping[str, int], dimension: int) -> None:
    """Refuse protocol parameters that would be unsafe; called before anything is written.

    Raises:
        ParameterError: as `secure_plan`.
    """
    plan = secure_plan(spec, fold, clients, dimension)
    plan.require_safe()


def task_folder(run_directory: Path, fold: Fold, method: str) -> Path:
    """Where the task of a secure method and a fold keeps what is its own."""
    return run_directory / FOLDER / fold.name / method


def mirror_folders(spec: ExperimentSpec, folder: Path) -> tuple[Path, ...]:
    """One folder for this task in each of the experiment's mirrors; none where it names none.

    Args:
        folder: see `task_folder`. Of two runs with one mirror each finds its own, also once its directory was moved.

    Raises:
        RunDirectoryError: the file that names the folders of a task that has begun is damaged.
    """
    named = tuple(store_folders(folder))
    if named != (folder,) and set(spec.store.mirrors) <= {str(mirror.parents[2]) for mirror in named}:
        return named
    run = folder.absolute().parents[2]
    own = f"{run.name}-{hashlib.sha256(str(run).encode()).hexdigest()[:12]}"
    return tuple(Path(mirror) / own / folder.parent.name / folder.name for mirror in spec.store.mirrors)


def require_apart(mirrors: Sequence[Path], run: Path) -> None:
    """Refuse mirrors that lie in each other or in the run: one disk, or one `rm`, would take several.

    Raises:
        RunDirectoryError: two of them do.
    """
    for one, other in permutations((*mirrors, run.absolute()), 2):
        if one.resolve().is_relative_to(other.resolve()):
            what = "the run's own directory" if run.absolute() in (one, other) else "another mirror"
            place = other if one == run.absolute() else one
            raise RunDirectoryError(
                f"the mirror {place} lies in {what}, or {what} in it", "name folders on different disks"
            )


def check_mirrors(mirrors: Sequence[Path], run: Path, note: Callable[[str], None]) -> None:
    """Try whether a run's mirrors can be written, before anything is trained; make the folders that are missing.

    The parent of each must exist: of a mistyped path, or a disk that is not mounted, that is usually not so.

    Args:
        note: is told of mirrors that lie on one disk.

    Raises:
        RunDirectoryError: one cannot be written, or they lie in each other.
    """
    require_apart(mirrors, run)
    for mirror in mirrors:
        try:
            mirror.mkdir(exist_ok=True)
            with NamedTemporaryFile(dir=mirror, prefix=".privateyes-") as file:
                file.write(bytes(_PROBE_BYTES))
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise RunDirectoryError(
                f"store.mirrors names {mirror}, which cannot be written ({error.strerror})",
                "name a folder that can be; its parent must exist, or a disk that is not mounted would go unnoticed",
            ) from None
    devices = [mirror.stat().st_dev for mirror in mirrors]
    if len(set(devices)) < len(devices):
        note("warning: some of the mirrors in store.mirrors lie on one disk; its death would take all of them at once")


def has_mirrored_tasks(run: Path) -> bool:
    """Whether a task of this run has begun, with its store in mirrors."""
    return any(run.glob(f"{FOLDER}/*/*/{FOLDERS_NAME}"))


def note_on_unreached(run: Path, mirror: Path) -> str:
    """What an operator is told of a mirror that could not be erased."""
    return (
        f"warning: the mirror in {mirror} could not be reached, and may still hold keys of all parties; attach its "
        f"disk and run `privateyes clean {run}`, or destroy the disk"
    )


def replace_mirrors(run: Path, old: Path, fresh: Path) -> tuple[list[Path], bool]:
    """Let a fresh folder take the place of one of a run's mirrors: in the store of every task, then in the frozen
    experiment. Called again after a kill, it ends what it began.

    Args:
        run: the run's directory.
        old: as `store.mirrors` names it, or the folder of a task in it; its disk may be gone.
        fresh: on another disk.

    Returns:
        The folders of the tasks whose stores have a fresh mirror, and whether the old one was there for all of them.

    Raises:
        RunDirectoryError: the run has no such mirror, or as `places.replace_mirror`.
    """
    directory = RunDirectory(run)
    spec = directory.read_spec()
    old, fresh = old.absolute(), fresh.absolute()
    if len(old.parents) > 2 and str(old.parents[2]) in spec.store.mirrors:
        old = old.parents[2]
    if str(old) not in spec.store.mirrors:
        known = ", ".join(spec.store.mirrors) or "none"
        raise RunDirectoryError(f"{old} is no mirror of the run in {run}", f"its mirrors are: {known}")
    if str(fresh) in spec.store.mirrors:
        raise RunDirectoryError(f"{fresh} is a mirror of the run in {run} already", "name a folder on another disk")
    if directory.read_json("results.json") is not None:
        raise RunDirectoryError(f"{run} is finished, and its stores were erased", "there is nothing to replace")
    require_apart([fresh, *(Path(name) for name in spec.store.mirrors if name != str(old))], run)
    done, was_there = [], True
    for task in sorted(path.parent for path in run.glob(f"{FOLDER}/*/*/{FOLDERS_NAME}")):
        for mirror in store_folders(task):
            if mirror.parents[2] == old:
                was_there &= replace_mirror(task, mirror, fresh / mirror.relative_to(old))
                done.append(task)
    mirrors = [str(fresh) if name == str(old) else name for name in spec.store.mirrors]
    directory.freeze(spec.model_copy(update={"store": Store(mirrors=mirrors)}))
    return done, was_there


def open_secure_exchange(
    spec: ExperimentSpec, plan: SecurePlan, optimiser: ServerOptimiser, folder: Path, note: Callable[[str], None]
) -> SecureExchange:
    """The exchange of a secure method, for one fold.

    Args:
        spec: the experiment.
        plan: of the task.
        optimiser: the server step, which every client runs itself.
        folder: see `task_folder`.
        note: is told of mirrors that are missing.

    Raises:
        ParameterError: as `secure_plan`.
        RunDirectoryError: the folder holds another task.
    """
    mirrors = mirror_folders(spec, folder)
    threads = spec.runtime.workers if spec.runtime.threads is None else spec.runtime.threads
    exchange = SecureExchange(plan, optimiser, folder, spec.seed, threads=threads, mirrors=mirrors)
    run = folder.absolute().parents[2]
    for missing in exchange.missing_mirrors():
        note(exchange.note_on_missing(missing, f"privateyes task mirror {run} {Path(missing).parents[2]} NEW"))
    return exchange


def forget_secrets(folder: Path) -> list[Path]:
    """Remove the parties' keys once the last round of a secure method is on disk. Does nothing where they are gone.

    A store that does not open any more, as too few of its mirrors are left, is overwritten as it is.

    Returns:
        The mirrors that could not be reached: they may still hold the keys.

    Raises:
        RunDirectoryError: the store is of another version.
    """
    folders = store_folders(folder)
    if any(PartyStore.exists(one) for one in folders):
        with suppress(RunDirectoryError):
            open_store(folder, folders).destroy()
    return remove_store_files(folder)


def remove_store_files(folder: Path) -> list[Path]:
    """Overwrite and remove what is left of a task's store, in all of its mirrors that are there; of links, the link.

    Returns:
        As `forget_secrets`.
    """
    mirrors = [one for one in (*store_folders(folder), *left_folders(folder)) if one != folder]
    unreached = unreached_folders(folder)
    for path in list(store_files(folder)):
        if path.is_dir() and not path.is_symlink():
            path.rmdir()
        else:
            overwrite(path)
    for mirror in mirrors:
        with suppress(OSError):  # it is not there, or another task of the run is
            for emptied in (mirror, *mirror.parents[:2]):
                emptied.rmdir()
    forget_folders(folder, unreached)
    return unreached


def store_files(folder: Path) -> Iterator[Path]:
    """The files of a task's store and its bodies, in every mirror; a kill may have left the one without the other."""
    names = (BODIES_NAME, *(STORE_NAME + suffix for suffix in ("", "-journal", "-shm", "-wal")))
    for place in dict.fromkeys((folder, *store_folders(folder), *left_folders(folder))):
        for path in (place / name for name in names):
            if path.is_dir() and not path.is_symlink():
                yield from sorted(path.iterdir())
                yield path
            elif path.exists() or path.is_symlink():
                yield path
