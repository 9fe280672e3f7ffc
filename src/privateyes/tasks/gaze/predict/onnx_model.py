"""Estimators as ONNX files, for programs that have neither torch nor this project; written, and read back.

A file takes what the network takes: pictures float32 (batch, channels, height, width) in [0, 1], pose float32
(batch, 2) (pitch, yaw) in radians, grid float32 (batch, 25, 25) of 0 and 1; it gives `gaze` float32 (batch, 2)
(pitch, yaw) in radians, or `point` (x, y) in cm. What has to be done to pictures before, and where the model comes
from, stands in its metadata.
"""

from __future__ import annotations

import contextlib
import io
import json
import logging
import warnings
from collections.abc import Iterator
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from privateyes import __version__
from privateyes.errors import DataError, UsageError
from privateyes.files import write_atomically
from privateyes.tasks.gaze.layout import GRID_CELLS
from privateyes.tasks.gaze.models import PICTURES, find_kind
from privateyes.tasks.gaze.predict.estimator import RENDERED, Columns, ModelFacts
from privateyes.tasks.gaze.preprocess import face_grid, scaled
from privateyes.training.vector import load_vector

_KEY: Final = "privateyes"
_UNITS: Final = MappingProxyType({"gaze": "(pitch, yaw), radians", "point": "(x, y), cm in the camera's plane"})
_OPSET: Final = 20
# Of weights trained on these data sets, as their converters name them.
_LICENCES: Final = MappingProxyType({"mpiigaze": "CC BY-NC-SA 4.0", "mpiifacegaze": "CC BY-NC-SA 4.0"})
_UNKNOWN_LICENCE: Final = "the training data's terms are not recorded; whoever shares this file has to look them up"


def licence_note(facts: ModelFacts) -> str:
    """What is known about the terms of a model's training data."""
    if facts.dataset == RENDERED:
        return "trained on synthetic eyes, to which no data set's terms apply"
    if facts.licence is not None:
        what = facts.dataset or "data"
        return (
            f"trained on {what}, whose file states: {facts.licence}; whoever shares this file has to look at its terms"
        )
    licence = _LICENCES.get(facts.dataset or "")
    if licence is None:
        return _UNKNOWN_LICENCE
    return f"trained on {facts.dataset} ({licence}): non-commercial use, and the same licence for whoever gets it"


def write_onnx(path: Path, facts: ModelFacts, vector: NDArray[np.float32]) -> None:
    """Write an estimator as an ONNX file with a free batch size, completely or not at all.

    Args:
        path: the file; replaced if it is there.
        facts: what the model is.
        vector: its parameters, float32 (d,).

    Raises:
        UsageError: the extra `onnx` is not installed, or torch cannot express the model in ONNX.
        TrainingError: the parameters are of another model.
        DataError: the file cannot be written.
    """
    _require("onnx", "onnxscript")
    model = facts.task().build_model(0)
    load_vector(model, vector)
    proto = _converted(model.eval(), facts)
    _strip(proto.graph)
    for key, value in _metadata(facts).items():
        entry = proto.metadata_props.add()
        entry.key, entry.value = key, value
    try:
        write_atomically(path, proto.SerializeToString(deterministic=True))
    except OSError as error:
        raise DataError(f"{path} cannot be written ({error.strerror})", "choose another folder") from error


class OnnxEstimator:
    """`Estimator` from a file that `write_onnx` wrote, run by ONNX Runtime on the CPU.

    Raises:
        UsageError: the extra `onnx` is not installed.
        DataError: the file is missing, damaged, or of another program.
    """

    def __init__(self, path: Path) -> None:
        _require("onnxruntime")
        import onnxruntime

        if not path.is_file():
            raise DataError(f"{path}: there is no such file", "export a run with `privateyes export`")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.log_severity_level = 4
        try:
            self._session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
            text = self._session.get_modelmeta().custom_metadata_map.get(_KEY)
        except _runtime_errors() as error:
            problem = f"{path} is no ONNX file, or damaged ({str(error).splitlines()[0][:120]})"
            raise DataError(problem, "export it again") from error
        if text is None:
            problem = f"{path} was not exported by privateyes, so nobody knows what it takes"
            raise DataError(problem, "name a file of `privateyes export`")
        self.facts = ModelFacts.from_json(text)
        self._channels = {entry.name: entry.shape[1] for entry in self._session.get_inputs()}

    def estimate(self, columns: Columns) -> NDArray[np.float32]:
        """See `Estimator`."""
        feeds = {name: self._input(name, columns[name]) for name in self.facts.inputs}
        estimated: NDArray[np.float32] = self._session.run([self.facts.label], feeds)[0]
        return estimated

    def _input(self, name: str, stored: NDArray[Any]) -> NDArray[np.float32]:
        tensor = torch.from_numpy(np.ascontiguousarray(stored))
        if name in PICTURES:
            tensor = scaled(tensor, int(self._channels[name]))
        elif name == "grid":
            tensor = face_grid(tensor, GRID_CELLS)
        given: NDArray[np.float32] = tensor.contiguous().numpy().astype(np.float32)
        return given


def _converted(model: nn.Module, facts: ModelFacts) -> Any:
    """The `onnx.ModelProto` of a model."""
    kind = find_kind(facts.model)
    shapes = kind.shapes(facts.image_shape, facts.eye_shape)
    # Two samples: a dimension of one would be taken for a constant.
    samples = tuple(torch.zeros(2, *shapes[name]) for name in facts.inputs)
    try:
        with _quiet():
            program = torch.onnx.export(
                model,
                samples,
                input_names=list(facts.inputs),
                output_names=[facts.label],
                dynamic_shapes=tuple({0: "batch"} for _ in samples),
                opset_version=_OPSET,
                dynamo=True,
                external_data=False,
                verbose=False,
            )
    except (torch.onnx.errors.OnnxExporterError, RuntimeError, TypeError, ValueError) as error:
        reason = str(error).strip().partition("\n")[0]
        problem = f"model {facts.model} cannot be expressed in ONNX ({reason})"
        raise UsageError(problem, "use operations that torch.onnx knows") from error
    if program is None:
        raise UsageError(f"model {facts.model} cannot be expressed in ONNX", "use operations that torch.onnx knows")
    return program.model_proto


def _metadata(facts: ModelFacts) -> dict[str, str]:
    """For people under plain names, and for `OnnxEstimator` under one."""
    prepare = facts.pictures
    steps = ["luma of ITU-R BT.601"] if prepare.grey else []
    steps += [f"resized to {prepare.resize[0]}x{prepare.resize[1]} (height x width)"] if prepare.resize else []
    stored = f" (those of {facts.dataset} are stored so)" if facts.trained_equalised else ""
    if facts.pictures_from(None).equalise:
        steps.append(f"each image's grey histogram equalised over its pixels{stored}")
    kind = find_kind(facts.model)
    shapes = kind.shapes(facts.image_shape, facts.eye_shape)
    return {
        _KEY: json.dumps(facts.to_tree(), sort_keys=True),
        "exported_by": f"privateyes {__version__}",
        "model": facts.model,
        "source": facts.source,
        "inputs": json.dumps({name: _described(name, shapes[name]) for name in facts.inputs}),
        "output": f"{facts.label} float32 (batch, 2): {_UNITS[facts.label]}",
        "angles": "pitch > 0 up, yaw > 0 towards the image's left; 0, 0 looks into the camera",
        "right_eyes": "mirror the image and negate the yaw of pose; negate the yaw of the result",
        "pictures_before": "; ".join(steps) or "as they are",
        "licence": licence_note(facts),
    }


def _described(name: str, shape: tuple[int, ...]) -> str:
    sizes = ", ".join(str(side) for side in ("batch", *shape))
    if name in PICTURES:
        colours = "grey" if shape[0] == 1 else "red, green, blue"
        return f"float32 ({sizes}), {colours}, 0 to 1 (8-bit values / 255)"
    if name == "grid":
        return f"float32 ({sizes}), 1 where the face is in the frame, else 0"
    return f"float32 ({sizes}), head (pitch, yaw), radians"


def _strip(graph: Any) -> None:
    """Remove what the exporter notes about its own machine: stack traces with the paths of source files."""
    graph.doc_string = ""
    for part in (graph, *graph.node, *graph.input, *graph.output, *graph.value_info, *graph.initializer):
        part.ClearField("metadata_props")
        part.ClearField("doc_string")


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep the exporter's progress, and its warnings about itself and packages that it misses, to itself."""
    exporter = logging.getLogger("torch.onnx")
    level = exporter.level
    exporter.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        exporter.setLevel(level)


def _require(*packages: str) -> None:
    """Refuse to go on without packages of the extra `onnx`."""
    for package in packages:
        try:
            __import__(package)
        except ImportError as error:
            remedy = "install it with `pip install 'privateyes[onnx]'`"
            raise UsageError(f"ONNX files need {package}, which cannot be imported ({error})", remedy) from error


def _runtime_errors() -> tuple[type[Exception], ...]:
    """What ONNX Runtime raises about files."""
    from onnxruntime.capi import onnxruntime_pybind11_state as state

    return (state.Fail, state.InvalidArgument, state.InvalidProtobuf, state.InvalidGraph, state.NoSuchFile,
            state.NotImplemented, state.RuntimeException)  # fmt: skip
