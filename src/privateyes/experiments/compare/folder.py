"""The directory of a comparison.

compare.toml          the experiment, complete with defaults; written first
plan.json             the folds, and how many runs went on at a time
synthetic_eyes.h5     the persons of [data.synthetic], made once for all seeds; each task has its own name for it
seed-1/p00/           a run, as `privateyes train` writes it
comparison.json       what came out, and as .csv and .html
"""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from privateyes.engines.local.thread_team import usable_cores
from privateyes.errors import ConfigError, RunDirectoryError
from privateyes.experiments.changes import differences, listed, require_same_source
from privateyes.experiments.compare.dispatch import CHECKPOINTS, RECORDS
from privateyes.experiments.compare.plan import SubRun, made_small
from privateyes.experiments.locate import require_file_or
from privateyes.experiments.record import RunDirectory, check_run_directory
from privateyes.experiments.spec import ExperimentSpec, dump_spec, load_spec, parse_spec, require_todays_names
from privateyes.files import write_atomically

EXPERIMENT = "compare.toml"
_PLAN = "plan.json"
_RUNS = Path("runs")


@dataclass(frozen=True, slots=True)
class Plan:
    """What stands fixed before anything is trained.

    Attributes:
        folds: their names.
        parallel: every number of runs that went on at a time since the comparison began.
        cores: of the machine that worked on it last.
    """

    folds: tuple[str, ...]
    parallel: tuple[int, ...]
    cores: int


@dataclass(frozen=True, slots=True)
class DiskUse:
    """Bytes on disk: of everything, and of these in models and in the secure methods' message records."""

    whole: int
    checkpoints: int
    records: int


@dataclass(frozen=True, slots=True)
class ComparisonFolder:
    """A comparison's directory, which may not be there yet."""

    path: Path

    def read_spec(self) -> ExperimentSpec:
        """The experiment that is compared here.

        Raises:
            RunDirectoryError: the directory holds no comparison, or a damaged one.
        """
        location = self.path / EXPERIMENT
        try:
            text = location.read_text(encoding="utf-8-sig")
            with suppress(tomllib.TOMLDecodeError):
                require_todays_names(text, str(location))
            return parse_spec(text, str(location), self.path)
        except (OSError, UnicodeDecodeError) as error:
            if isinstance(error, PermissionError):
                raise RunDirectoryError(f"{location}: {error.strerror}", "check the file's permissions") from error
            problem = f"{self.path} holds no comparison ({EXPERIMENT} cannot be read)"
            raise RunDirectoryError(problem, "name a directory that `privateyes compare` wrote") from error
        except ConfigError as error:
            raise RunDirectoryError(f"the comparison cannot be used: {error.problem}", error.remedy) from error

    def check(self, spec: ExperimentSpec, resume: bool) -> None:
        """Whether `begin` would accept; writes nothing.

        Raises:
            RunDirectoryError: the directory holds another comparison, this one without `resume`, or something else.
        """
        if not self.path.exists():
            return
        if not self.path.is_dir():
            raise RunDirectoryError(f"{self.path} is a file", "choose another --out")
        if not (self.path / EXPERIMENT).exists():
            strange = sorted(entry.name for entry in self.path.iterdir() if entry.name != f".{EXPERIMENT}.part")
            if strange:
                problem = f"{self.path} holds files that are no comparison ({strange[0]})"
                raise RunDirectoryError(problem, "choose another --out, or empty the directory")
            return
        found = differences(_key(self.read_spec()), _key(spec))
        if found:
            problem = f"{self.path} holds another comparison (its {EXPERIMENT} differs: {listed(found)})"
            raise RunDirectoryError(problem, "choose another --out, or delete the directory")
        if not resume:
            problem = f"{self.path} already holds this comparison"
            raise RunDirectoryError(problem, "continue it with --resume, choose another --out, or delete the directory")

    def read_plan(self) -> Plan:
        """What `begin` wrote.

        Raises:
            RunDirectoryError: it is missing or damaged.
        """
        content = RunDirectory(self.path).read_json(_PLAN)
        if content is None:
            raise RunDirectoryError(f"{self.path} has no {_PLAN}", "continue the comparison with --resume")
        try:
            return Plan(tuple(content["folds"]), tuple(content["parallel"]), int(content["cores"]))
        except (KeyError, TypeError, ValueError) as error:
            problem = f"{self.path / _PLAN} is damaged ({error!r})"
            raise RunDirectoryError(problem, "delete the file and continue with --resume") from error

    def disk_use(self) -> DiskUse:
        """What the directory takes up."""
        sizes = [(path, path.stat().st_size) for path in self.path.rglob("*") if path.is_file()]

        def within(name: str) -> int:
            return sum(size for path, size in sizes if name in path.relative_to(self.path).parts)

        return DiskUse(sum(size for _, size in sizes), within(CHECKPOINTS), within(RECORDS))

    def make(self) -> None:
        """Make the directory if it is not there.

        Raises:
            RunDirectoryError: it cannot be made.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise RunDirectoryError(f"{self.path} cannot be made ({error.strerror})", "choose another --out") from error

    def begin(self, spec: ExperimentSpec, folds: Sequence[str], parallel: int) -> None:
        """Put experiment and plan there; seeds and what is reported may have changed since the comparison began.

        Args:
            spec: the experiment.
            folds: their names.
            parallel: how many runs go on at a time from now on.
        """
        before = self.read_plan().parallel if (self.path / _PLAN).exists() else ()
        plan = {"folds": list(folds), "parallel": sorted({*before, parallel}), "cores": usable_cores()}
        self.make()
        try:
            write_atomically(self.path / EXPERIMENT, dump_spec(spec).encode())
            RunDirectory(self.path).write_json(_PLAN, plan)
        except OSError as error:
            raise RunDirectoryError(
                f"{self.path} cannot be written ({error.strerror})", "choose another --out"
            ) from error


def _key(spec: ExperimentSpec) -> dict[str, Any]:
    """What decides the results of a run, but for its seed: a comparison may be given further seeds."""
    key = spec.result_key()
    del key["seed"]
    if spec.data.synthetic is not None:
        key["rendered with"] = spec.seed
    return key


def check_runs(runs: Sequence[SubRun], data_sha256: str | None) -> None:
    """Refuse runs that are there already and do not belong to this comparison.

    Args:
        runs: all of them.
        data_sha256: of the data file; None where the comparison rendered its persons itself.

    Raises:
        RunDirectoryError: a run's experiment differs, or it was made from other data or with another source of the
            model.
    """
    for run in runs:
        check_run_directory(run.directory, run.spec, resume=True)
        before = RunDirectory(run.directory).read_json("environment.json")
        if before is None:
            continue
        require_same_source(run.directory, before, run.spec)
        if data_sha256 is not None and before.get("data_sha256") != data_sha256:
            problem = f"the data file has changed since the run in {run.directory} began"
            raise RunDirectoryError(problem, "restore the file, or start a new comparison with another --out")


def locate_comparison(
    experiment: Path, out: Path | None, data: Path | None, resume: bool, quick: bool = False
) -> tuple[ExperimentSpec, ComparisonFolder]:
    """From the command line's words to an experiment and its comparison's directory.

    Args:
        experiment: a TOML file, or a comparison's directory to continue it or to read it again.
        out: the directory; ``runs/compare-<name>`` if None.
        data: a data file to use in place of the experiment's.
        resume: whether a comparison is to be continued or read.
        quick: whether to make the experiment of a file small; a directory's is what it is.

    Raises:
        ConfigError: the file is missing or wrong.
        RunDirectoryError: a directory is named that holds no comparison, or that would have to be another one.
    """
    if not experiment.is_dir():
        if resume:
            require_file_or("comparison", experiment)
        spec = load_spec(experiment, data)
        spec = made_small(spec) if quick else spec
        return spec, ComparisonFolder(_RUNS / f"compare-{spec.name}" if out is None else out)
    if not resume:
        problem = f"{experiment} is a directory"
        remedy = "name an experiment file, or add --resume to continue this comparison, or --table to read it"
        raise ConfigError(problem, remedy)
    if out is not None or data is not None:
        problem = f"{experiment} already fixes the directory and the data of its comparison"
        raise RunDirectoryError(problem, "leave --out and --data away")
    folder = ComparisonFolder(experiment)
    return folder.read_spec(), folder
