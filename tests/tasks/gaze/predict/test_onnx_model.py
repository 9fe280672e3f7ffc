from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from privateyes.errors import DataError, UsageError
from privateyes.tasks.gaze.models import MODELS
from privateyes.tasks.gaze.predict.estimator import RENDERED, ModelFacts, TorchEstimator
from privateyes.tasks.gaze.predict.onnx_model import OnnxEstimator, licence_note, write_onnx
from privateyes.tasks.gaze.preprocess import Pictures
from privateyes.training.vector import vector_from_model

onnx = pytest.importorskip("onnx", reason="the extra privateyes[onnx] is not installed")
pytest.importorskip("onnxscript", reason="the extra privateyes[onnx] is not installed")
pytest.importorskip("onnxruntime", reason="the extra privateyes[onnx] is not installed")

# Small enough to be quick; the usual sizes of gazenet and alexnet make files of hundreds of megabytes.
SIZES = {"gazenet": (18, 30), "alexnet": (96, 96), "resnet_14": (64, 64), "itracker": (64, 64), "nvgaze": (127, 127)}

LARGE = ("gazenet", "alexnet", "resnet_14", "itracker")


def _facts(name: str, dataset: str | None = None) -> ModelFacts:
    kind = MODELS[name]
    side = kind.smallest_side
    height, width = SIZES.get(name, kind.usual_size or (36, 60))
    size = (max(height, side), max(width, side))
    shape = size if kind.channels == 1 else (*size, 3)
    eyes = shape if "left" in kind.inputs else None
    return ModelFacts(name, kind.inputs, shape, eyes, kind.labels[0], Pictures(), dataset, "small: private, round 2")


def _columns(facts: ModelFacts, rows: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(rows)
    columns: dict[str, np.ndarray] = {}
    for name in facts.inputs:
        if name == "pose":
            columns[name] = rng.normal(0, 0.2, (rows, 2)).astype(np.float32)
        elif name == "grid":
            columns[name] = np.tile(np.array([[6, 8, 13, 13]], dtype=np.int16), (rows, 1))
        else:
            columns[name] = rng.integers(0, 256, (rows, *facts.image_shape)).astype(np.uint8)
    return columns


def _vector(facts: ModelFacts) -> np.ndarray:
    vector = vector_from_model(facts.task().build_model(3))
    rng = np.random.default_rng(1)
    return (vector + 0.01 * rng.standard_normal(vector.size)).astype(np.float32)


@pytest.fixture(scope="module")
def lenet(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, ModelFacts, np.ndarray]:
    """An exported LeNet, read only."""
    facts = _facts("lenet", "mpiigaze")
    path = tmp_path_factory.mktemp("onnx") / "lenet.onnx"
    vector = _vector(facts)
    write_onnx(path, facts, vector)
    return path, facts, vector


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow if name in LARGE else ()) for name in MODELS]
)
def test_every_model_gives_the_same_estimates_for_any_number_of_rows(name: str, tmp_path: Path) -> None:
    facts = _facts(name)
    vector = _vector(facts)
    path = tmp_path / "model.onnx"
    write_onnx(path, facts, vector)
    exported, original = OnnxEstimator(path), TorchEstimator(facts, vector)
    assert exported.facts == facts
    for rows in (1, 2, 5):
        columns = _columns(facts, rows)
        expected = original.estimate(columns)
        assert np.ptp(expected) > 0
        np.testing.assert_allclose(exported.estimate(columns), expected, rtol=1e-5, atol=1e-5)


def test_the_file_is_valid_and_its_batch_is_free(lenet: tuple[Path, ModelFacts, np.ndarray]) -> None:
    model = onnx.load(lenet[0])
    onnx.checker.check_model(model, full_check=True)
    shapes = {
        entry.name: [side.dim_param or side.dim_value for side in entry.type.tensor_type.shape.dim]
        for entry in (*model.graph.input, *model.graph.output)
    }
    assert shapes == {"image": ["batch", 1, 36, 60], "pose": ["batch", 2], "gaze": ["batch", 2]}


def test_the_metadata_say_what_a_stranger_has_to_know(lenet: tuple[Path, ModelFacts, np.ndarray]) -> None:
    notes = {entry.key: entry.value for entry in onnx.load(lenet[0]).metadata_props}
    inputs = json.loads(notes["inputs"])
    assert list(inputs) == ["image", "pose"]
    assert "0 to 1" in inputs["image"]
    assert "radians" in inputs["pose"]
    assert "(pitch, yaw), radians" in notes["output"]
    assert notes["source"] == "small: private, round 2"
    assert "CC BY-NC-SA 4.0" in notes["licence"]
    equalised = "each image's grey histogram equalised over its pixels (those of mpiigaze are stored so)"
    assert notes["pictures_before"] == equalised


def test_pictures_are_told_to_be_as_they_are_where_nothing_is_done_to_them(tmp_path: Path) -> None:
    facts = _facts("small_cnn")
    write_onnx(tmp_path / "x.onnx", facts, _vector(facts))
    notes = {entry.key: entry.value for entry in onnx.load(tmp_path / "x.onnx").metadata_props}
    assert notes["pictures_before"] == "as they are"


def test_what_is_done_to_pictures_is_told(tmp_path: Path) -> None:
    plain = _facts("small_cnn")
    facts = ModelFacts(plain.model, plain.inputs, (9, 15), None, "gaze", Pictures(True, (9, 15), True))
    write_onnx(tmp_path / "x.onnx", facts, _vector(facts))
    notes = {entry.key: entry.value for entry in onnx.load(tmp_path / "x.onnx").metadata_props}
    assert [step.split()[0] for step in notes["pictures_before"].split("; ")] == ["luma", "resized", "each"]
    assert OnnxEstimator(tmp_path / "x.onnx").facts.pictures == facts.pictures


def test_the_file_tells_nothing_of_the_machine_that_made_it(lenet: tuple[Path, ModelFacts, np.ndarray]) -> None:
    model = onnx.load(lenet[0])
    for tensor in model.graph.initializer:  # random bytes could spell anything
        tensor.raw_data = b""
    content = model.SerializeToString()
    for trace in (str(Path.home()), sys.prefix, str(Path(__file__).parents[4]), "site-packages", ".py"):
        assert trace.encode() not in content


def test_the_same_model_gives_the_same_bytes(lenet: tuple[Path, ModelFacts, np.ndarray], tmp_path: Path) -> None:
    path, facts, vector = lenet
    write_onnx(tmp_path / "again.onnx", facts, vector)
    assert (tmp_path / "again.onnx").read_bytes() == path.read_bytes()


def test_the_licence_is_told_where_it_is_known_and_never_guessed() -> None:
    assert "CC BY-NC-SA 4.0" in licence_note(_facts("lenet", "mpiifacegaze"))
    assert "synthetic eyes" in licence_note(_facts("lenet", RENDERED))
    for dataset, what in ((None, "data"), ("mpiigaze", "mpiigaze")):
        stated = licence_note(replace(_facts("lenet", dataset), licence="CC BY 4.0"))
        assert stated.startswith(f"trained on {what}, whose file states: CC BY 4.0")
    for unknown in (None, "somebody's"):
        assert "not recorded" in licence_note(_facts("lenet", unknown))


# --- refusals ---


def test_a_folder_that_is_missing_is_one_line(lenet: tuple[Path, ModelFacts, np.ndarray], tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be written"):
        write_onnx(tmp_path / "none" / "x.onnx", lenet[1], lenet[2])


def test_files_that_are_no_exported_model_are_refused(
    lenet: tuple[Path, ModelFacts, np.ndarray], tmp_path: Path
) -> None:
    with pytest.raises(DataError, match="there is no such file"):
        OnnxEstimator(tmp_path / "none.onnx")
    content = lenet[0].read_bytes()
    for name, damaged in {"text": b"no model", "empty": b"", "cut": content[: len(content) // 2]}.items():
        path = tmp_path / f"{name}.onnx"
        path.write_bytes(damaged)
        with pytest.raises(DataError, match=r"is no ONNX file, or damaged"):
            OnnxEstimator(path)


def test_a_model_of_somebody_else_is_refused(lenet: tuple[Path, ModelFacts, np.ndarray], tmp_path: Path) -> None:
    model = onnx.load(lenet[0])
    del model.metadata_props[:]
    onnx.save(model, tmp_path / "foreign.onnx")
    with pytest.raises(DataError, match="was not exported by privateyes"):
        OnnxEstimator(tmp_path / "foreign.onnx")


@pytest.mark.parametrize("package", ["onnx", "onnxscript"])
def test_writing_without_a_package_names_the_extra(
    package: str, lenet: tuple[Path, ModelFacts, np.ndarray], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(UsageError, match=rf"ONNX files need {package}, .*pip install 'privateyes\[onnx\]'"):
        write_onnx(tmp_path / "x.onnx", lenet[1], lenet[2])


def test_reading_without_the_runtime_names_the_extra(
    lenet: tuple[Path, ModelFacts, np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(UsageError, match=r"ONNX files need onnxruntime, .*pip install 'privateyes\[onnx\]'"):
        OnnxEstimator(lenet[0])
