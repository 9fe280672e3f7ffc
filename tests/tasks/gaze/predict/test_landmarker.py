from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

from privateyes.errors import DataError, UsageError
from privateyes.tasks.gaze.predict.landmarker import MESH_POINTS, MODEL_PAGE, MediaPipeLandmarker


class _Landmarker:
    """What MediaPipe's landmarker does, as far as the adapter knows it."""

    def __init__(self, options: SimpleNamespace) -> None:
        self.options = options

    @classmethod
    def create_from_options(cls, options: SimpleNamespace) -> _Landmarker:
        if Path(options.base_options.model_asset_path).read_bytes() != b"good":
            raise RuntimeError("Unable to open zip archive.\nsecond line")
        return cls(options)

    def detect(self, image: SimpleNamespace) -> SimpleNamespace:
        if image.data.max() == 0:
            return SimpleNamespace(face_landmarks=[])
        points = [SimpleNamespace(x=index / 1000, y=index / 2000) for index in range(478)]
        return SimpleNamespace(face_landmarks=[points])


def _module(name: str, **content: Any) -> ModuleType:
    module = ModuleType(name)
    for key, value in content.items():
        setattr(module, key, value)
    return module


@pytest.fixture
def mediapipe(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stand-in for the package, with the names and signatures of MediaPipe 1.2."""

    def image(*, image_format: object, data: np.ndarray) -> SimpleNamespace:
        assert data.dtype == np.uint8
        assert data.flags.c_contiguous
        assert image_format == "srgb"
        return SimpleNamespace(data=data)

    vision = _module("mediapipe.tasks.python.vision", FaceLandmarkerOptions=SimpleNamespace, FaceLandmarker=_Landmarker)
    python = _module("mediapipe.tasks.python", vision=vision, BaseOptions=SimpleNamespace)
    tasks = _module("mediapipe.tasks", python=python)
    package = _module("mediapipe", tasks=tasks, Image=image, ImageFormat=SimpleNamespace(SRGB="srgb"))
    for module in (package, tasks, python, vision):
        monkeypatch.setitem(sys.modules, module.__name__, module)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "face_landmarker.task"
    path.write_bytes(b"good")
    return path


@pytest.mark.usefixtures("mediapipe")
def test_the_six_points_come_in_pixels_and_in_order(model: Path) -> None:
    frame = np.full((100, 200, 3), 9, dtype=np.uint8)
    found = MediaPipeLandmarker(model).landmarks(frame)
    assert found is not None
    np.testing.assert_allclose(found[:, 0], np.array(MESH_POINTS) / 1000 * 200 - 0.5)
    np.testing.assert_allclose(found[:, 1], np.array(MESH_POINTS) / 2000 * 100 - 0.5)


@pytest.mark.usefixtures("mediapipe")
def test_a_frame_in_another_memory_order_will_do(model: Path) -> None:
    assert MediaPipeLandmarker(model).landmarks(np.full((3, 20, 10), 9, dtype=np.uint8).T) is not None


@pytest.mark.usefixtures("mediapipe")
def test_no_face_is_none(model: Path) -> None:
    assert MediaPipeLandmarker(model).landmarks(np.zeros((10, 10, 3), dtype=np.uint8)) is None


def test_a_missing_model_file_says_where_to_get_it(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"there is no such model file; get face_landmarker\.task from") as refused:
        MediaPipeLandmarker(tmp_path / "face_landmarker.task")
    assert MODEL_PAGE in str(refused.value)


@pytest.mark.usefixtures("mediapipe")
def test_a_file_that_mediapipe_refuses_is_one_line_that_says_where_to_get_another(tmp_path: Path) -> None:
    (tmp_path / "x.task").write_bytes(b"bad")
    with pytest.raises(DataError, match=r"can use \(Unable to open zip archive.\)") as refused:
        MediaPipeLandmarker(tmp_path / "x.task")
    assert MODEL_PAGE in refused.value.remedy
    assert "\n" not in refused.value.problem


def test_without_mediapipe_the_extra_is_named(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mediapipe", None)
    with pytest.raises(UsageError, match=r"pip install 'privateyes\[camera\]'"):
        MediaPipeLandmarker(model)
