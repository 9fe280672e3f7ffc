"""Tiny downloads in the exact format of three gaze data sets, for tests: right unless a test damages them."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from privateyes.tasks.gaze.layout import faults_of_person
from privateyes.tasks.gaze.prepare.converter import BLOCK_ROWS, Converter
from privateyes.tasks.gaze.prepare.tally import Tally


def read_person(converter: Converter, person: str) -> tuple[dict[str, NDArray[Any]], Tally]:
    """All rows of a person, after a look at the rules of the layout; and what was skipped."""
    tally = Tally()
    blocks = list(converter.blocks(person, tally))
    devices = tuple(converter.devices(person))
    for block in blocks:
        assert len(block["image"]) <= BLOCK_ROWS
        assert not list(faults_of_person(person, block, devices))
    columns = {name: np.concatenate([block[name] for block in blocks]) for name in (blocks[0] if blocks else ())}
    assert tally.used == (len(columns["image"]) if columns else 0)
    return columns, tally


def encode(pixels: NDArray[np.uint8], kind: str = "PNG", **settings: Any) -> bytes:
    """Pixels (H, W) or (H, W, 3) as a picture file."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, kind, **settings)
    return file.getvalue()


def photograph(height: int = 64, width: int = 48, seed: int = 0) -> NDArray[np.uint8]:
    """A colourful picture without two equal neighbourhoods, (H, W, 3)."""
    rng = np.random.default_rng(seed)
    return rng.integers(1, 255, (height, width, 3), dtype=np.uint8)


class Recording:
    """One GazeCapture recording; change `tables`, `frames` or `pictures`, then write it.

    All frames are 64 high and 48 wide; the face is at (10, 20), 20x20, the person's left eye on its right half.
    """

    def __init__(self, frames: int = 3, device: str = "iPhone 6", split: str = "train") -> None:
        self.frames: Any = [f"{index:05d}.jpg" for index in range(frames)]
        self.pictures: dict[str, bytes] = {
            name: encode(photograph(seed=index), "JPEG", quality=95) for index, name in enumerate(self.frames)
        }
        self.tables: dict[str, Any] = {
            "info.json": {
                "TotalFrames": frames,
                "NumFaceDetections": frames,
                "NumEyeDetections": frames,
                "Dataset": split,
                "DeviceName": device,
            },
            "appleFace.json": self._boxes(frames, 10.5, 20.25, 20.75, 20.75),
            "appleLeftEye.json": self._boxes(frames, 12.0, 5.5, 6.25, 6.25),
            "appleRightEye.json": self._boxes(frames, 2.0, 5.5, 6.25, 6.25),
            "faceGrid.json": self._boxes(frames, 6, 10, 13, 13),
            "dotInfo.json": {
                "DotNum": [0] * frames,
                "XPts": [160.0] * frames,
                "YPts": [284.0] * frames,
                "XCam": [1.064 + index for index in range(frames)],
                "YCam": [-6.0055 - index for index in range(frames)],
                "Time": [0.1 * index for index in range(frames)],
            },
            "screen.json": {"H": [568] * frames, "W": [320] * frames, "Orientation": [1] * frames},
        }

    def write(self, folder: Path) -> None:
        """Write all files into the recording's folder."""
        (folder / "frames").mkdir(parents=True)
        for name, content in self.pictures.items():
            (folder / "frames" / name).write_bytes(content)
        for name, table in {**self.tables, "frames.json": self.frames}.items():
            (folder / name).write_text(json.dumps(table))

    @staticmethod
    def _boxes(frames: int, x: float, y: float, width: float, height: float) -> dict[str, list[float]]:
        return {
            "X": [x] * frames,
            "Y": [y] * frames,
            "W": [width] * frames,
            "H": [height] * frames,
            "IsValid": [1] * frames,
        }


REAL_PREAMBLE = (*(f"# line {number} of the recording's description" for number in range(1, 14)), "")


def write_real(
    source: Path,
    number: str,
    rows: Sequence[str],
    images: Mapping[str, bytes],
    preamble: Sequence[str] = REAL_PREAMBLE,
) -> None:
    """One person of NVGaze's real set: SOURCE/NN.csv and SOURCE/NN/."""
    (source / number).mkdir(parents=True, exist_ok=True)
    for name, content in images.items():
        (source / number / name).write_bytes(content)
    (source / f"{number}.csv").write_text("\n".join([*preamble, *rows]) + "\n")


# The order of the columns that public readers of the set rely on.
SYNTHETIC_HEADER = (
    "archive,image_L_0,regionmask_withskin_L_0,regionmask_withoutskin_L_0,string_eye,float_pupil_size,"
    "float_slippage_x,float_slippage_y,float_slippage_z,float_gaze_x_degree,float_gaze_y_degree,float_blink"
)


def synthetic_row(index: int, x: float, y: float, eye: str = "L", blink: float = 0.0) -> dict[str, str]:
    """One row of footage_description.csv, by the names of the columns."""
    number = f"{index:06d}"
    return {
        "archive": "footage_image_data.zip",
        "image_L_0": f"type_img_frame_{number}.png",
        "regionmask_withskin_L_0": f"type_maskWithSkin_frame_{number}.png",
        "regionmask_withoutskin_L_0": f"type_maskWithoutSkin_frame_{number}.png",
        "string_eye": eye,
        "float_pupil_size": "3.1",
        "float_slippage_x": "0.0",
        "float_slippage_y": "0.0",
        "float_slippage_z": "0.0",
        "float_gaze_x_degree": str(x),
        "float_gaze_y_degree": str(y),
        "float_blink": str(blink),
    }


def write_synthetic(
    folder: Path, rows: Sequence[Mapping[str, str]], images: Mapping[str, bytes], header: str = SYNTHETIC_HEADER
) -> None:
    """One package of NVGaze's synthetic set."""
    folder.mkdir(parents=True)
    names = header.split(",")
    lines = [header, *(",".join(row[name] for name in names) for row in rows)]
    (folder / "footage_description.csv").write_text("\n".join(lines) + "\n")
    with zipfile.ZipFile(folder / "footage_image_data.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in images.items():
            archive.writestr(name, content)


def xgaze_columns(rows: int = 5, size: int = 8, seed: int = 0) -> dict[str, NDArray[Any]]:
    """The data sets of one person of ETH-XGaze, as its authors' program writes them; faces are blue, green, red."""
    rng = np.random.default_rng(seed)
    return {
        "face_patch": rng.integers(1, 255, (rows, size, size, 3), dtype=np.uint8),
        "face_gaze": rng.uniform(-1.2, 1.2, (rows, 2)),
        "face_head_pose": rng.uniform(-1.2, 1.2, (rows, 2)),
        "face_mat_norm": np.tile(np.eye(3), (rows, 1, 1)),
        "frame_index": np.arange(rows).reshape(-1, 1) // 2 + 600,
        "cam_index": np.arange(rows).reshape(-1, 1) % 2 * 3,
    }


def write_xgaze(path: Path, columns: Mapping[str, NDArray[Any]]) -> None:
    """One person's file, in chunks of a row and compressed as the original is."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        for name, array in columns.items():
            packed = {"compression": "lzf", "chunks": (1, *array.shape[1:])} if name == "face_patch" else {}
            file.create_dataset(name, data=array, **packed)
