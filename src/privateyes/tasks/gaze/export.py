"""A run's model as a file of its own."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from privateyes.errors import ConfigError, DataError
from privateyes.tasks.gaze.predict.estimator import ModelFacts
from privateyes.tasks.gaze.predict.onnx_model import licence_note, write_onnx
from privateyes.tasks.gaze.trained import open_run_estimator


@dataclass(frozen=True, slots=True)
class Exported:
    """What was written.

    Attributes:
        facts: of the model.
        licence: what is known about the terms of its training data.
    """

    facts: ModelFacts
    licence: str


def export_run(
    directory: Path, out: Path, method: str | None = None, fold: str | None = None, client: str | None = None
) -> Exported:
    """Write a run's model as ONNX.

    Args:
        directory: the run's.
        out: the .onnx file to write.
        method: see `trained.open_estimator`, as for `fold` and `client`.

    Raises:
        ConfigError: `out` is no name of an ONNX file, or the run has no such method, fold or client.
        DataError: `out` is there already, or cannot be written.
        RunDirectoryError: there is no run, or no checkpoint yet.
        UsageError: the extra `onnx` is not installed, or the model cannot be expressed.
    """
    if out.suffix.lower() != ".onnx":
        raise ConfigError(f"{out} is no name of an ONNX file", "let it end with .onnx")
    if out.exists():
        raise DataError(f"{out} is there already", "choose another name, or delete it")
    if not out.parent.is_dir():
        raise DataError(f"{out}: the folder {out.parent} does not exist", "create it first")
    estimator = open_run_estimator(directory, method, fold, client)
    write_onnx(out, estimator.facts, estimator.vector)
    return Exported(estimator.facts, licence_note(estimator.facts))
