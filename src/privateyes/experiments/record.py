"""The run directory: what is written where, and how it survives a kill at any moment.

Order of writing, and why: ``experiment.toml`` comes last of the files that begin a run, so a directory without it is no
run yet and is begun anew. After each round the metrics line is forced to disk first, then the checkpoint is replaced: a
kill between the two leaves a line that no checkpoint covers, which `--resume` drops before it repeats the round.
"""

from __future__ import annotations

import io
import json
import shlex
import tomllib
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from privateyes.errors import ConfigError, RunDirectoryError
from privateyes.experiments.changes import (
    BEGUN,
    as_begun,
    differences,
    listed,
    require_as_begun,
    require_same_source,
)
from privateyes.experiments.checkpoint import Checkpoint, read_checkpoint, write_checkpoint
from privateyes.experiments.spec import ExperimentSpec, dump_spec, parse_spec, require_todays_names
from privateyes.files import append_line, sole_process, write_atomically

EXPERIMENT = "experiment.toml"
MODEL_FILE = "model.json"
"""What a run's models take and give, so that they can be used where the data are not; written if the task says so."""
_BEGINNINGS = frozenset({"environment.json", ".environment.json.part", BEGUN, f".{BEGUN}.part", f".{EXPERIMENT}.part"})
_FIXED_TIME = (1980, 1, 1, 0, 0, 0)  # so that equal arrays give equal archives


class RunDirectory:
    """A run's directory; see `open_run` for how to get one.

    Args:
        path: the directory, which exists.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def checkpoint_path(self, fold: str, method: str) -> Path:
        """Where the last checkpoint of a method stands."""
        return self.path / "checkpoints" / fold / f"{method}.safetensors"

    def read_spec(self) -> ExperimentSpec:
        """The experiment that this directory holds.

        Raises:
            RunDirectoryError: there is none, or it is damaged.
        """
        return _read_spec(self.path)

    def freeze(self, spec: ExperimentSpec) -> None:
        """Write down the experiment that this run is of."""
        write_atomically(self.path / EXPERIMENT, dump_spec(spec).encode())

    def read_checkpoint(self, fold: str, method: str) -> Checkpoint | None:
        """The last checkpoint of a method; None before its first round is done."""
        return read_checkpoint(self.checkpoint_path(fold, method))

    def best_path(self, fold: str, method: str) -> Path:
        """Where the best round's checkpoint of a method stands, if validation persons decide which that is."""
        return self.path / "checkpoints" / fold / f"{method}.best.safetensors"

    def read_result(self, fold: str, method: str) -> Checkpoint | None:
        """The checkpoint that is a method's result: of its best round where that is kept, else the last."""
        return read_checkpoint(self.best_path(fold, method)) or self.read_checkpoint(fold, method)

    def record_round(self, line: Mapping[str, Any], checkpoint: Checkpoint, best: bool = False) -> None:
        """Put a completed round on disk: its metrics line, then the checkpoint, last of all as the method's own.

        A round that is the best so far is kept as that first. If a kill follows, the round is repeated and kept again.
        """
        append_line(self.path / "metrics.jsonl", json.dumps(line, allow_nan=False).encode())
        path = self.checkpoint_path(line["fold"], line["method"])
        path.parent.mkdir(parents=True, exist_ok=True)
        if best:
            write_checkpoint(self.best_path(line["fold"], line["method"]), checkpoint)
        write_checkpoint(path, checkpoint)

    def read_rounds(self, fold: str, method: str) -> list[dict[str, Any]]:
        """The metrics lines of a method in a fold, by round."""
        lines = [line for line in self.read_metrics() if (line["fold"], line["method"]) == (fold, method)]
        return sorted(lines, key=lambda line: line["round"])

    def read_metrics(self) -> list[dict[str, Any]]:
        """All complete metrics lines, in order."""
        path = self.path / "metrics.jsonl"
        if not path.exists():
            return []
        lines = path.read_bytes().split(b"\n")
        lines.pop()  # what follows the last newline: nothing, or a line that a kill cut short
        try:
            return [json.loads(line) for line in lines]
        except ValueError as error:
            remedy = "delete the run's directory and run again"
            raise RunDirectoryError(f"{path} is damaged ({error})", remedy) from error

    def drop_uncovered_metrics(self) -> None:
        """Drop the lines of rounds that no checkpoint covers, and a line that was cut short."""
        path = self.path / "metrics.jsonl"
        if not path.exists():
            return
        covered: dict[tuple[str, str], int] = {}
        kept = []
        for line in self.read_metrics():
            key = (line["fold"], line["method"])
            if key not in covered:
                checkpoint = self.read_checkpoint(*key)
                covered[key] = checkpoint.round if checkpoint else 0
            if line["round"] <= covered[key]:
                kept.append(json.dumps(line).encode() + b"\n")
        content = b"".join(kept)
        if content != path.read_bytes():
            write_atomically(path, content)

    def write_json(self, name: str, content: Mapping[str, Any]) -> None:
        """Replace a JSON file of the directory."""
        write_atomically(self.path / name, json.dumps(content, indent=2, allow_nan=False).encode() + b"\n")

    def read_json(self, name: str) -> dict[str, Any] | None:
        """A JSON file of the directory; None if it is not there."""
        path = self.path / name
        if not path.exists():
            return None
        try:
            content: dict[str, Any] = json.loads(path.read_bytes())
        except ValueError as error:
            raise RunDirectoryError(f"{path} is damaged ({error})", "delete the file and use --resume") from error
        return content

    def write_arrays(self, name: str, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Replace an .npz file of the directory; equal arrays give equal bytes."""
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
            for key, array in arrays.items():
                content = io.BytesIO()
                np.lib.format.write_array(content, np.ascontiguousarray(array), allow_pickle=False)
                entry = zipfile.ZipInfo(f"{key}.npy", date_time=_FIXED_TIME)
                entry.compress_type = zipfile.ZIP_DEFLATED
                archive.writestr(entry, content.getvalue())
        write_atomically(self.path / name, buffer.getvalue())


def how_to_continue(path: Path) -> str:
    """The command that continues the run in a directory."""
    return f"continue with `privateyes train {shlex.quote(str(path))} --resume`"


def check_run_directory(path: Path, spec: ExperimentSpec, resume: bool) -> None:
    """Whether `open_run` would accept; writes nothing.

    Raises:
        RunDirectoryError: the directory holds another run, the same run without `resume`, or something else; or its
            own copy of the experiment was edited.
    """
    if not path.exists():
        return
    if not path.is_dir():
        raise RunDirectoryError(f"{path} is a file", "choose another --out")
    if not (path / EXPERIMENT).exists():
        strange = sorted(entry.name for entry in path.iterdir() if entry.name not in _BEGINNINGS)
        if strange:
            problem = f"{path} holds files that are no run ({strange[0]})"
            raise RunDirectoryError(problem, "choose another --out, or empty the directory")
        return
    own = _read_spec(path)
    require_as_begun(path, own)
    found = differences(own.result_key(), spec.result_key())
    if found:
        problem = f"{path} holds another run (its {EXPERIMENT} differs: {listed(found)})"
        raise RunDirectoryError(problem, f"choose another --out, or {_deleted(path)}")
    if not resume:
        finished = (path / "results.json").is_file()
        problem = f"{path} already holds this run, {'finished' if finished else 'not finished'}"
        go_on = "see it with `privateyes report`" if finished else "continue it with --resume"
        raise RunDirectoryError(problem, f"{go_on}, choose another --out, or {_deleted(path)}")


def _deleted(path: Path) -> str:
    return f"`privateyes clean {path}`, which overwrites keys, and delete the directory"


def require_as_trained(run: RunDirectory, spec: ExperimentSpec) -> None:
    """Refuse the models of a run whose own experiment, or whose model's source, was changed since they were trained.

    Where the data are, which device computes and how persons are calibrated may have changed.

    Args:
        run: the run.
        spec: what its experiment says now.

    Raises:
        RunDirectoryError: something else differs; names it.
        ConfigError: the model's class cannot be had.
    """
    require_as_begun(run.path, spec, ("data.path", "runtime.device", "calibration"))
    require_same_source(run.path, run.read_json("environment.json") or {}, spec)


def open_run(path: Path, spec: ExperimentSpec, environment: Mapping[str, Any], resume: bool) -> RunDirectory:
    """Begin a run in `path`, or continue the same one.

    Args:
        path: made if it is not there.
        spec: the experiment.
        environment: goes into ``environment.json`` when the run begins.
        resume: whether to continue a run that has begun.

    Raises:
        RunDirectoryError: as for `check_run_directory`, or the data or the source of its model changed since the run
            began.
    """
    check_run_directory(path, spec, resume)
    run = RunDirectory(path)
    if (path / EXPERIMENT).exists():
        before = run.read_json("environment.json") or {}
        if before.get("data_sha256") != environment.get("data_sha256"):
            problem = f"the data file has changed since the run in {path} began"
            raise RunDirectoryError(problem, "restore the file, or start a new run with another --out")
        require_same_source(path, before, spec)
        if run.read_json("results.json") is None:  # `privateyes clean` removes checkpoints of a finished run
            run.drop_uncovered_metrics()
        return run
    is_new = not path.exists()
    try:
        path.mkdir(parents=True, exist_ok=True)
        run.write_json("environment.json", environment)
        run.write_json(BEGUN, as_begun(spec))
        run.freeze(spec)
    except OSError as error:
        _remove_beginnings(path, is_new)
        raise RunDirectoryError(f"{path} cannot be written ({error.strerror})", "choose another --out") from error
    return run


@contextmanager
def exclusive(path: Path) -> Iterator[None]:
    """Keep every other process out of a run's directory; the lock ends with this process, however that ends.

    Raises:
        RunDirectoryError: another process works in the directory.
    """
    with ExitStack() as held:
        try:
            held.enter_context(sole_process(path))
        except BlockingIOError:
            raise RunDirectoryError(f"another process is working in {path}", "wait for it to end, or stop it") from None
        yield


@contextmanager
def nobody_at_work_in(directory: Path) -> Iterator[None]:
    """Keep every other process out of the run to which a directory belongs, if it belongs to one.

    A task's folder lies three levels below its run's (aggregation/<fold>/<method>); the run's lock is the only one.

    Args:
        directory: a run's directory, a folder within one, or any other folder.

    Raises:
        RunDirectoryError: another process works in the run.
    """
    for candidate in (directory, *directory.resolve().parents[:3]):
        if (candidate / EXPERIMENT).is_file():
            with exclusive(candidate):
                yield
            return
    yield


def _remove_beginnings(path: Path, is_new: bool) -> None:
    """Nothing is left of a run that could not begin."""
    with suppress(OSError):
        for name in _BEGINNINGS:
            (path / name).unlink(missing_ok=True)
        if is_new:
            path.rmdir()


def _read_spec(path: Path) -> ExperimentSpec:
    location = path / EXPERIMENT
    try:
        text = location.read_text(encoding="utf-8-sig")
        with suppress(tomllib.TOMLDecodeError):
            require_todays_names(text, str(location))
        return parse_spec(text, str(location), path)
    except (OSError, UnicodeDecodeError) as error:
        if isinstance(error, PermissionError):
            raise RunDirectoryError(f"{location}: {error.strerror}", "check the file's permissions") from error
        if isinstance(error, FileNotFoundError) and not path.exists():
            raise RunDirectoryError(f"{path}: there is no such run", "name the directory of a run") from error
        problem = f"{path} is no run directory ({EXPERIMENT} cannot be read)"
        raise RunDirectoryError(problem, "name a directory that `privateyes train` wrote") from error
    except ConfigError as error:
        raise RunDirectoryError(f"the run cannot be used: {error.problem}", error.remedy) from error
